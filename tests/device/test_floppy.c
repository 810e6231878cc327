/* Floppy controller: geometries, reset, seeks, reading and writing through DMA and by the guest,
 * formatting, errors, change of disks. */
#include <fcntl.h>
#include <unistd.h>

#include "device/block/floppy.h"
#include "tests/device/bare.h"

enum { DOR = 0x3f2, MSR = 0x3f4, DATA = 0x3f5, DIR = 0x3f7, SIZE_1440 = 1440 << 10 };

static Bare bare;
static void *fdc, *dma;
static Disk *disk;
static BlockNode *node;
static u8 result[16];
static unsigned results;

/* Writes a command, waits for the disk, and fetches the result. */
static void start_command(unsigned count, const u8 *bytes)
{
    for (unsigned i = 0; i < count; i++) {
        if ((bare_in(&bare, MSR) & 0xc0) != 0x80) {
            OK(false, "not ready for byte %u of command %#x", i, bytes[0]);
        }
        bare_out(&bare, DATA, bytes[i]);
    }
}

static void fetch_result(void)
{
    disk_drain(disk);
    results = 0;
    while ((bare_in(&bare, MSR) & 0xd0) == 0xd0 && results < 16) {
        result[results++] = bare_in(&bare, DATA);
    }
}

#define COMMAND(...)                                                                               \
    do {                                                                                           \
        const u8 command_bytes[] = {__VA_ARGS__};                                                  \
        start_command(sizeof command_bytes, command_bytes);                                        \
        fetch_result();                                                                            \
    } while (0)

/* Sets up channel 2 for `size` bytes at 0x8000; mode: 0x46 to memory, 0x4a from it. */
static void set_dma(u8 mode, u32 size)
{
    bare_out(&bare, 0x0a, 6);
    bare_out(&bare, 0x0c, 0);
    bare_out(&bare, 0x0b, mode);
    bare_out(&bare, 0x81, 0);
    bare_out(&bare, 0x04, 0x00);
    bare_out(&bare, 0x04, 0x80);
    bare_out(&bare, 0x05, (size - 1) & 0xff);
    bare_out(&bare, 0x05, (size - 1) >> 8);
    bare_out(&bare, 0x0a, 2);
}

static bool result_is(u8 st0, u8 st1, u8 cylinder, u8 head, u8 sector)
{
    bool same = results == 7 && result[0] == st0 && result[1] == st1 && result[3] == cylinder &&
                result[4] == head && result[5] == sector && result[6] == 2;

    if (!same) {
        printf("# %u: %#x %#x %#x, %u/%u/%u\n", results, result[0], result[1], result[2], result[3],
               result[4], result[5]);
    }
    return same;
}

/* Each sector of the image begins with its number. */
static void make_image(const char *path, u32 size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    for (u32 i = 0; i < size / 512; i++) {
        u8 sector[512];
        memset(sector, (int)(i & 0xff), sizeof sector);
        sector[0] = (u8)(i >> 8);
        if (write(fd, sector, sizeof sector) != sizeof sector) {
            abort();
        }
    }
    close(fd);
}

static bool holds(const u8 *bytes, u32 number)
{
    return bytes[0] == number >> 8 && bytes[1] == (number & 0xff) && bytes[511] == bytes[1];
}

static void open_disk(const char *path, bool read_only)
{
    BlockOptions *options = block_options_new();
    BlockError error;

    block_options_set(options, "driver", "raw");
    if (block_open(&node, path, options, BLOCK_WRITE, &error) < 0) {
        printf("Bail out! %s\n", error.text);
        exit(1);
    }
    block_options_free(options);
    disk = disk_new(&bare.board, node, read_only, &error);
}

static void test_geometries(void)
{
    static const struct {
        u32 kilobytes;
        u8 cylinders, heads, sectors, drive;
    } expected[] = {
        {1440, 80, 2, 18, 4}, {2880, 80, 2, 36, 5}, {720, 80, 2, 9, 3},
        {1200, 80, 2, 15, 2}, {360, 40, 2, 9, 1},   {320, 40, 2, 8, 1},
        {180, 40, 1, 9, 1},   {160, 40, 1, 8, 1},   {1680, 80, 2, 21, 4},
    };

    for (unsigned i = 0; i < COUNT(expected); i++) {
        const FloppyMedia *m = floppy_media_find((u64)expected[i].kilobytes << 10);
        OK(m && m->cylinders == expected[i].cylinders && m->heads == expected[i].heads &&
               m->sectors == expected[i].sectors && m->drive == expected[i].drive,
           "%u KiB", expected[i].kilobytes);
    }
    OK(floppy_media_find(1000) && !floppy_media_find(8 << 20), "short images, and too large ones");
}

static void test_reset(void)
{
    bare_out(&bare, DOR, 0x00);
    OK(bare_in(&bare, MSR) == 0 && !bare.wires[0].level, "held in reset");
    bare_out(&bare, DOR, 0x1c);
    OK(bare_in(&bare, MSR) == 0x80 && bare.wires[0].level, "out of it: an interrupt");
    for (u8 i = 0; i < 4; i++) {
        COMMAND(0x08);
        OK(results == 2 && result[0] == (0xc0 | i), "drive %u was polled", i);
    }
    OK(!bare.wires[0].level, "the interrupt is gone");
    COMMAND(0x08);
    OK(results == 1 && result[0] == 0x80, "nothing more to sense");
    COMMAND(0x10);
    OK(results == 1 && result[0] == 0x90, "version");
    COMMAND(0x55);
    OK(results == 1 && result[0] == 0x80, "no such command");
    COMMAND(0x03, 0xaf, 0x02);
    COMMAND(0x13, 0x00, 0x57, 0x00);
    COMMAND(0x94);
    OK(results == 1 && result[0] == 0x10, "locked");
    COMMAND(0x0e);
    OK(results == 10 && result[4] == 0xaf && result[7] == 0x80 && result[8] == 0x57, "registers");
    COMMAND(0x13, 0x00, 0x10, 0x00);
    COMMAND(0x14);
    bare_out(&bare, DIR, 0);
}

static void test_seeks(void)
{
    OK(bare_in(&bare, DIR) == 0x80, "a new disk");
    COMMAND(0x0f, 0x00, 40);
    OK(bare.wires[0].level, "seek: interrupt");
    COMMAND(0x08);
    OK(result[0] == 0x20 && result[1] == 40, "done");
    OK(bare_in(&bare, DIR) == 0, "the disk is known now");
    COMMAND(0x04, 0x00);
    OK(results == 1 && result[0] == 0x28, "not at track 0");
    COMMAND(0x07, 0x00);
    COMMAND(0x08);
    OK(result[0] == 0x20 && result[1] == 0, "recalibrated");
    COMMAND(0x04, 0x04);
    OK(result[0] == 0x3c, "at track 0");
    COMMAND(0x8f | 0x40, 0x00, 5);
    COMMAND(0x08);
    OK(result[1] == 5, "relative");
    COMMAND(0x07, 0x02);
    COMMAND(0x08);
    OK(result[0] == 0x72, "there is no third drive");
    COMMAND(0x07, 0x00);
    COMMAND(0x08);
    COMMAND(0x4a, 0x04);
    OK(results == 7 && result[0] == 4 && result[3] == 0 && result[4] == 1 && result[5] >= 1 &&
           result[5] <= 18,
       "an address passes by");
}

static void test_reading(void)
{
    u8 *memory = bare.ram->host + 0x8000;

    set_dma(0x46, 1024);
    COMMAND(0xe6, 0x00, 0, 0, 3, 2, 18, 0x1b, 0xff);
    OK(bare.wires[0].rises > 0 && result_is(0, 0, 0, 0, 5), "two sectors");
    OK(holds(memory, 2) && holds(memory + 512, 3), "of the right place");
    set_dma(0x46, 36 * 512);
    COMMAND(0xe6, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    OK(result_is(0, 0, 1, 0, 1) && holds(memory + 35 * 512, 35), "a cylinder, both sides");
    set_dma(0x46, 20 * 512);
    COMMAND(0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    OK(result_is(0x40, 0x80, 1, 0, 1), "beyond the track without MT");
    COMMAND(0x0f, 0x00, 79);
    COMMAND(0x08);
    set_dma(0x46, 512);
    COMMAND(0xe6, 0x04, 79, 1, 18, 2, 18, 0x1b, 0xff);
    OK(result_is(0, 0, 80, 0, 1) && holds(memory, 2879), "the last sector");
    COMMAND(0xe6, 0x00, 3, 0, 1, 2, 18, 0x1b, 0xff);
    OK(result[0] == 0x40 && result[1] == 4 && result[2] == 0x10, "another cylinder");
    COMMAND(0xe6, 0x00, 79, 0, 19, 2, 19, 0x1b, 0xff);
    OK(result[0] == 0x40 && result[1] == 4, "no such sector");
    bare_out(&bare, DIR, 2);
    COMMAND(0xe6, 0x00, 79, 0, 1, 2, 18, 0x1b, 0xff);
    OK(result[0] == 0x40 && result[1] == 1, "another data rate");
    bare_out(&bare, DIR, 0);
    bare_out(&bare, 0x0a, 6);
    COMMAND(0xe6, 0x00, 79, 0, 1, 2, 18, 0x1b, 0xff);
    OK(results == 0 && bare_in(&bare, MSR) == 0x10, "waits for the channel");
    memset(memory, 0, 512);
    set_dma(0x46, 512);
    fetch_result();
    OK(result_is(0, 0, 79, 0, 2) && holds(memory, 79 * 36), "until the guest sets it up");
}

static void test_writing(void)
{
    u8 *memory = bare.ram->host + 0x8000, sectors[2048];

    COMMAND(0x0f, 0x00, 2);
    COMMAND(0x08);
    memset(memory, 0xa5, 1024);
    set_dma(0x4a, 1024);
    COMMAND(0xc5, 0x00, 2, 0, 18, 2, 18, 0x1b, 0xff);
    OK(result_is(4, 0, 2, 1, 2), "written over the end of a side");
    block_pread(node, 89 * 512 - 512, sectors, sizeof sectors);
    OK(holds(sectors, 88) && sectors[512] == 0xa5 && sectors[1535] == 0xa5 &&
           holds(sectors + 1536, 91),
       "just there");
    for (u8 i = 0; i < 18; i++) {
        const u8 id[] = {2, 0, (u8)(i + 1), 2};
        memcpy(memory + 4 * i, id, 4);
    }
    set_dma(0x4a, 72);
    COMMAND(0x4d, 0x00, 2, 18, 0x54, 0xf6);
    OK(results == 7 && result[0] == 0, "formatted");
    block_pread(node, 71 * 512, sectors, 1024);
    OK(holds(sectors, 71) && sectors[512] == 0xf6 && sectors[1023] == 0xf6, "a track");
    COMMAND(0x03, 0xaf, 0x03);
    static const u8 write[] = {0x45, 0x00, 2, 0, 1, 2, 1, 0x1b, 0xff};
    start_command(sizeof write, write);
    OK(bare_in(&bare, MSR) == 0xb0 && bare.wires[0].level, "without DMA: asks for bytes");
    for (int i = 0; i < 512; i++) {
        bare_out(&bare, DATA, (u8)i);
    }
    fetch_result();
    OK(result_is(0x40, 0x80, 3, 0, 1), "ends at the end of the track");
    static const u8 read[] = {0x46, 0x00, 2, 0, 1, 2, 1, 0x1b, 0xff};
    start_command(sizeof read, read);
    disk_drain(disk);
    bool same = true;
    for (int i = 0; i < 512; i++) {
        same &= bare_in(&bare, MSR) == 0xf0 && bare_in(&bare, DATA) == (u8)i;
    }
    fetch_result();
    OK(same && results == 7, "and is read back so");
    COMMAND(0x03, 0xaf, 0x02);
}

static void test_changes(void)
{
    OK(floppy_drive_type(fdc, 0) == 4 && floppy_drive_type(fdc, 1) == 0, "types of drives");
    OK(disk_change(disk, node, true, false) == 0, "another disk");
    OK(bare_in(&bare, DIR) == 0x80, "changed");
    COMMAND(0x0f, 0x00, 1);
    COMMAND(0x08);
    OK(bare_in(&bare, DIR) == 0, "noticed");
    COMMAND(0x04, 0x00);
    OK(result[0] & 0x40, "protected");
    set_dma(0x4a, 512);
    COMMAND(0xc5, 0x00, 1, 0, 1, 2, 18, 0x1b, 0xff);
    OK(result[0] == 0x40 && result[1] == 2, "against writing");
    disk_change(disk, NULL, false, false);
    COMMAND(0x0f, 0x00, 2);
    COMMAND(0x08);
    OK(bare_in(&bare, DIR) == 0x80, "an empty drive stays changed");
    COMMAND(0xe6, 0x00, 2, 0, 1, 2, 18, 0x1b, 0xff);
    OK(result[0] == 0x40 && result[1] == 1, "and has no sectors");
}

int main(void)
{
    static const char path[] = "floppy.img";
    char *error = NULL;

    bare_start(&bare);
    make_image(path, SIZE_1440);
    open_disk(path, false);
    dma = bare_device(&bare, &device_i8237);
    bare_out(&bare, 0xd6, 0xc0);
    bare_out(&bare, 0xd4, 0);
    fdc = device_new(&device_isa_fdc, &bare.board, NULL);
    device_set_backend(fdc, "driveA", disk, &error);
    device_set_backend(fdc, "dma", dma, &error);
    device_start(fdc, &error);
    device_connect(fdc, "irq", 0, bare_wire, &bare, 0);
    device_reset(fdc);
    test_geometries();
    test_reset();
    test_seeks();
    test_reading();
    test_writing();
    test_changes();
    device_free(fdc);
    device_free(dma);
    disk_free(disk);
    block_close(node);
    bare_stop(&bare);
    unlink(path);
    return tap_done();
}
