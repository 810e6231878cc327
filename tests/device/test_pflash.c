/* NOR flash: reading as an array and the other ways, programming, erasing, buffers, what reaches
 * the image, chips that cannot be written. */
#include <sys/mman.h>
#include <unistd.h>

#include "device/block/disk.h"
#include "device/firmware/pflash_cfi01.h"
#include "tests/device/bare.h"

enum { SIZE = 64 << 10, BASE = 0x10000000, SECTOR = 4096 };

static Bare bare;
static int image;
static BlockNode *node;
static Disk *disk;
static void *flash;

static void start(const char *width, const char *device_width, bool read_only)
{
    BlockOptions *options = block_options_new();
    unsigned flags = read_only ? BLOCK_NO_LOCK : BLOCK_WRITE | BLOCK_NO_LOCK;
    char path[40], *error = NULL;

    snprintf(path, sizeof path, "/proc/self/fd/%d", image);
    block_options_set(options, "driver", "raw");
    if (block_open(&node, path, options, flags, NULL) < 0) {
        abort();
    }
    block_options_free(options);
    disk = disk_new(&bare.board, node, read_only, NULL);
    flash = device_new(&device_cfi_pflash01, &bare.board, NULL);
    device_set_u64(flash, "address", BASE);
    device_set(flash, "width", width, NULL);
    device_set(flash, "device-width", device_width, NULL);
    if (!disk || device_set_backend(flash, "drive", disk, NULL) < 0 ||
        device_start(flash, &error) < 0) {
        printf("Bail out! %s\n", error ? error : "no disk");
        exit(1);
    }
    device_reset(flash);
}

static void stop(void)
{
    device_free(flash);
    disk_free(disk);
    block_close(node);
}

static u64 get(u32 at, unsigned size)
{
    return map_read(&bare.board.dma, BASE + at, size, NULL);
}

static void put(u32 at, u64 value, unsigned size)
{
    map_write(&bare.board.dma, BASE + at, size, value, NULL);
}

static bool is_rom(void)
{
    return map_ram(&bare.board.dma, BASE, SIZE, false) != NULL;
}

static u8 in_image(u32 at)
{
    u8 byte = 0;

    return pread(image, &byte, 1, at) == 1 ? byte : 0;
}

static void test_reading(void)
{
    OK(is_rom() && get(0x123, 1) == 0x5a && get(0x200, 4) == 0x5a5a5a5a, "it reads as an array");
    put(0, 0x90, 1);
    OK(!is_rom() && get(0, 1) == 0x89, "it tells its manufacturer");
    put(0, 0x98, 1);
    OK(get(0x10, 1) == 'Q' && get(0x11, 1) == 'R' && get(0x12, 1) == 'Y', "it answers the query");
    OK(1u << get(0x27, 1) == SIZE && get(0x2d, 1) == SIZE / SECTOR - 1 &&
           (get(0x2f, 1) | get(0x30, 1) << 8) * 256 == SECTOR,
       "the query tells its size and sectors");
    put(0, 0x50, 1);
    OK(is_rom(), "clearing the status goes back to the array");
    put(0, 0x70, 1);
    OK(get(0x345, 1) == 0, "the status was cleared");
    put(0, 0xff, 1);
    OK(is_rom() && get(0, 1) == 0x5a, "and it is an array again");
}

static void test_programming(void)
{
    put(0x100, 0x40, 1);
    put(0x100, 0x4f, 1);
    OK(get(0, 1) == 0x80, "it is ready at once");
    put(0, 0xff, 1);
    OK(get(0x100, 1) == 0x4a, "programming clears bits");
    OK(in_image(0x100) == 0x4a && in_image(0x101) == 0x5a, "the image has them");
    put(0x100, 0x20, 1);
    put(0x100, 0x10, 1);
    OK(get(0, 1) == 0xb0, "an erasure that is not confirmed fails");
    put(0, 0x50, 1);
    OK(get(0x100, 1) == 0x4a, "and does nothing");
    put(0x1100, 0x20, 1);
    put(0x1100, 0xd0, 1);
    put(0, 0xff, 1);
    OK(get(0xfff, 1) == 0x5a && get(0x1000, 1) == 0xff && get(0x1fff, 1) == 0xff &&
           get(0x2000, 1) == 0x5a,
       "erasing sets a sector's bits");
    put(0x1000, 0x10, 1);
    put(0x1000, 0x7e, 1);
    OK(in_image(0x1000) == 0xff, "the image waits for the array");
    device_reset(flash);
    put(0, 0xff, 1);
    OK(is_rom() && in_image(0x1000) == 0x7e, "also when a reset comes first");
}

static void test_buffer(void)
{
    put(0x1010, 0xe8, 1);
    OK(get(0x1010, 1) == 0x80, "the buffer is free");
    put(0x1010, 2, 1);
    for (u32 i = 0; i < 3; i++) {
        put(0x1010 + i, 0x11 * (i + 1), 1);
    }
    OK(pflash_ram(flash)->host[0x1010] == 0xff, "nothing is programmed before it is confirmed");
    put(0x1010, 0xd0, 1);
    put(0, 0xff, 1);
    OK(get(0x1010, 1) == 0x11 && get(0x1012, 1) == 0x33 && get(0x1013, 1) == 0xff &&
           get(0x100f, 1) == 0xff,
       "a buffer is programmed");
    put(0x1020, 0xe8, 1);
    put(0x1020, 1, 1);
    put(0x1020, 0, 1);
    put(0x3020, 0, 1);
    OK(get(0, 1) == 0xb0, "a buffer for two places fails");
    put(0, 0xff, 1);
    OK(get(0x1020, 1) == 0xff && get(0x3020, 1) == 0x5a, "and does nothing");
    OK(get(0, 1) == 0x5a, "and the array is there again");
}

static void test_read_only(void)
{
    put(0, 0x10, 1);
    put(0, 0, 1);
    OK(get(0, 1) == 0x92, "a chip without write access says that it is locked");
    put(0, 0x20, 1);
    put(0, 0xd0, 1);
    OK(get(0, 1) & 0x22, "so it does when it is to be erased");
    put(0, 0x50, 1);
    OK(get(0, 1) == 0x5a && is_rom(), "it stays as it was");
}

static void test_wide(void)
{
    put(0, 0x00980098, 4);
    OK(get(0x40, 4) == 0x00510051 && get(0x44, 4) == 0x00520052, "two chips answer side by side");
    put(0, 0x00700070, 4);
    OK(get(0, 4) == 0x00800080, "and have a status each");
    put(0x2000, 0x00400040, 4);
    put(0x2000, 0x12345678, 4);
    put(0, 0x00ff00ff, 4);
    OK(get(0x2000, 4) == (0x12345678 & 0x5a5a5a5a), "a word is programmed at once");
}

int main(void)
{
    u8 bytes[SIZE];

    memset(bytes, 0x5a, sizeof bytes);
    image = memfd_create("flash", 0);
    if (image < 0 || write(image, bytes, sizeof bytes) != SIZE) {
        abort();
    }
    bare_start(&bare);
    start("1", "1", false);
    test_reading();
    test_programming();
    test_buffer();
    stop();
    start("1", "1", true);
    OK(get(0x1000, 1) == 0x7e, "what was programmed lasts");
    test_read_only();
    stop();
    start("4", "2", false);
    test_wide();
    stop();
    bare_stop(&bare);
    close(image);
    return tap_done();
}
