/* 8237A pair: registers, transfers both ways, down, automatic, of words; masks; pages. */
#include "device/dma/i8237.h"
#include "tests/device/bare.h"

static Bare bare;
static void *dma;
static u8 bytes[256];
static bool end;
static unsigned calls;

static void ready(void *opaque)
{
    (void)opaque;
    calls++;
}

/* Sets up channel 2 at page:address for count + 1 bytes. */
static void set_up(u8 mode, u8 page, u16 address, u16 count)
{
    bare_out(&bare, 0x0a, 6);
    bare_out(&bare, 0x0c, 0);
    bare_out(&bare, 0x0b, mode | 2);
    bare_out(&bare, 0x81, page);
    bare_out(&bare, 0x04, address & 0xff);
    bare_out(&bare, 0x04, address >> 8);
    bare_out(&bare, 0x05, count & 0xff);
    bare_out(&bare, 0x05, count >> 8);
    bare_out(&bare, 0x0a, 2);
}

static unsigned word(u16 port)
{
    bare_out(&bare, 0x0c, 0);
    unsigned low = bare_in(&bare, port);
    return low | bare_in(&bare, port) << 8;
}

static void test_bytes(void)
{
    OK(!i8237_ready(dma, 2, DMA_TO_MEMORY), "masked after reset");
    bare_out(&bare, 0xd6, 0xc0);
    bare_out(&bare, 0xd4, 0);
    i8237_attach(dma, 2, ready, NULL);
    calls = 0;
    set_up(0x44, 0x01, 0x8000, 99);
    OK(calls > 0 && i8237_ready(dma, 2, DMA_TO_MEMORY), "unmasked: the device is told");
    OK(!i8237_ready(dma, 2, DMA_FROM_MEMORY), "the direction counts");
    memset(bytes, 0x5a, sizeof bytes);
    OK(i8237_transfer(dma, 2, DMA_TO_MEMORY, bytes, 60, &end) == 60 && !end, "60 of 100");
    OK(bare.ram->host[0x18000] == 0x5a && bare.ram->host[0x1803b] == 0x5a &&
           bare.ram->host[0x1803c] == 0,
       "written where page and address say");
    OK(word(4) == 0x803c && word(5) == 39, "address and count go on");
    OK(i8237_transfer(dma, 2, DMA_TO_MEMORY, bytes, 60, &end) == 40 && end, "the rest");
    OK(word(5) == 0xffff, "the count is used up");
    OK(bare_in(&bare, 0x08) == 4 && bare_in(&bare, 0x08) == 0, "terminal count in the status");
    OK(!i8237_ready(dma, 2, DMA_TO_MEMORY), "and the channel is masked");
    bare.ram->host[0x1fffe] = 1;
    bare.ram->host[0x1ffff] = 2;
    bare.ram->host[0x10000] = 3;
    set_up(0x48, 0x01, 0xfffe, 2);
    i8237_transfer(dma, 2, DMA_FROM_MEMORY, bytes, 3, &end);
    OK(bytes[0] == 1 && bytes[1] == 2 && bytes[2] == 3 && end, "wraps within its 64 KiB");
}

static void test_modes(void)
{
    set_up(0x54, 0, 0x4000, 3);
    OK(i8237_transfer(dma, 2, DMA_TO_MEMORY, bytes, 4, &end) == 4 && end, "automatic: to the end");
    OK(word(4) == 0x4000 && word(5) == 3 && i8237_ready(dma, 2, DMA_TO_MEMORY), "and set up again");
    for (int i = 0; i < 4; i++) {
        bytes[i] = (u8)(i + 1);
    }
    set_up(0x64, 0, 0x4003, 3);
    i8237_transfer(dma, 2, DMA_TO_MEMORY, bytes, 4, &end);
    OK(!memcmp(bare.ram->host + 0x4000, "\4\3\2\1", 4) && end, "down");
    set_up(0x40, 0, 0x4000, 3);
    OK(i8237_transfer(dma, 2, DMA_FROM_MEMORY, bytes, 4, &end) == 4 && end && bytes[0] == 1,
       "verify moves nothing");
    set_up(0x44, 0, 0x4000, 3);
    bare_out(&bare, 0x08, 4);
    OK(!i8237_ready(dma, 2, DMA_TO_MEMORY), "disabled by the command");
    bare_out(&bare, 0x08, 0);
    bare_out(&bare, 0x0d, 0);
    OK(bare_in(&bare, 0x0f) == 0xff, "master clear masks all");
    bare_out(&bare, 0x0e, 0);
    OK(bare_in(&bare, 0x0f) == 0xf0, "clear mask");
}

static void test_words(void)
{
    bare_out(&bare, 0xd6, 0x49);
    bare_out(&bare, 0xd8, 0);
    bare_out(&bare, 0x8b, 0x03);
    bare_out(&bare, 0xc4, 0x00);
    bare_out(&bare, 0xc4, 0x10);
    bare_out(&bare, 0xc6, 0x01);
    bare_out(&bare, 0xc6, 0x00);
    bare_out(&bare, 0xd4, 1);
    memcpy(bare.ram->host + 0x22000, "word", 5);
    OK(i8237_transfer(dma, 5, DMA_FROM_MEMORY, bytes, 8, &end) == 4 && end, "two words");
    OK(!memcmp(bytes, "word", 4), "from an address of words, page bit 0 ignored");
    OK(bare_in(&bare, 0x8b) == 3, "pages read back");
    bare_out(&bare, 0x80, 0x77);
    OK(bare_in(&bare, 0x80) == 0x77, "and so does what is no page");
}

int main(void)
{
    bare_start(&bare);
    dma = bare_device(&bare, &device_i8237);
    test_bytes();
    test_modes();
    test_words();
    device_free(dma);
    bare_stop(&bare);
    return tap_done();
}
