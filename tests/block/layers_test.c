/* Layers: temporary overlays, copy-on-read, throttling, and options that make trees of nodes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "block/block.h"
#include "tests/tap.h"

enum { DISK = 1 << 20 };

static u8 data[DISK], back[DISK];

static BlockNode *open_disk(const char *filename, const char *options, unsigned flags)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};
    BlockNode *disk = NULL;

    if (block_options_parse(list, options, NULL, &error) < 0 ||
        block_open(&disk, filename, list, flags, &error) < 0) {
        printf("# %s\n", error.text);
    }
    block_options_free(list);
    return disk;
}

static void create(const char *format, const char *path, const char *options)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};

    unlink(path);
    block_options_parse(list, options, NULL, &error);
    block_options_setf(list, "size", "%d", DISK);
    OK(!block_create(block_driver_find(format), path, list, &error), "create %s %s", path,
       error.text);
    block_options_free(list);
}

static bool reads(BlockNode *disk, u64 offset, u8 byte)
{
    return disk && !block_pread(disk, offset, back, 4096) && back[0] == byte &&
           !memcmp(back, back + 1, 4095);
}

static void fill_base(void)
{
    BlockNode *base = open_disk("layers.base", "driver=raw", BLOCK_WRITE);

    memset(data, 0x11, sizeof data);
    OK(!block_pwrite(base, 0, data, DISK, 0) && !block_close(base), "fill the base");
}

static void test_snapshot(void)
{
    BlockNode *disk = open_disk("layers.base", "driver=raw", BLOCK_WRITE | BLOCK_SNAPSHOT);

    memset(data, 0x22, 4096);
    OK(disk && block_writable(disk) && reads(disk, 8192, 0x11),
       "a temporary overlay shows its base");
    OK(!block_pwrite(disk, 8192, data, 4096, 0) && reads(disk, 8192, 0x22), "and takes writes");
    OK(!block_close(disk), "which end with it");
    disk = open_disk("layers.base", "driver=raw", 0);
    OK(reads(disk, 8192, 0x11), "the base is as it was");
    block_close(disk);
}

static void test_copy_on_read(void)
{
    BlockExtent extent;
    BlockNode *disk = open_disk("layers.qcow2", "driver=qcow2", BLOCK_WRITE | BLOCK_COPY_ON_READ);

    OK(disk && !block_map(disk, 0, DISK, &extent) && !(extent.flags & BLOCK_ALLOCATED),
       "an overlay holds nothing");
    OK(reads(disk, 70000, 0x11), "reads go through");
    OK(!block_map(disk, 70000, 4096, &extent) && (extent.flags & BLOCK_ALLOCATED),
       "what was read is there");
    OK(!block_map(disk, 300000, 4096, &extent) && !(extent.flags & BLOCK_ALLOCATED),
       "and nothing else");
    BlockError error;
    OK(!block_truncate(disk, 2 * DISK, BLOCK_PREALLOC_OFF, &error) &&
           block_size(disk) == 2 * DISK && reads(disk, DISK + 4096, 0),
       "growing shows through the filter");
    OK(!block_close(disk), "close");
}

static u64 milliseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

static void test_throttle(void)
{
    BlockNode *disk = open_disk(
        NULL, "driver=throttle,iops-total=50,file.driver=raw,file.file.filename=layers.base", 0);
    u64 start = milliseconds();

    for (int i = 0; i < 20; i++) {
        block_pread(disk, 0, back, 512);
    }
    /* 20 requests at 50 a second, 5 of them at once. */
    u64 took = milliseconds() - start;
    OK(disk && took >= 200, "20 requests at 50 a second took %llu ms", (unsigned long long)took);
    block_close(disk);
}

static void test_options(void)
{
    BlockNode *disk =
        open_disk("json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":"
                  "\"layers.qcow2\"},\"read-only\":true}",
                  "", BLOCK_WRITE);

    OK(disk && !block_writable(disk) && block_backing(disk), "a json: name");
    OK(block_pwrite(disk, 0, data, 512, 0) == -EROFS, "read-only means it");
    block_close(disk);
    disk = open_disk(NULL, "driver=raw,offset=4096,size=8192,file.filename=layers.base", 0);
    OK(disk && block_size(disk) == 8192, "a window on a file");
    block_close(disk);
    OK(!open_disk("layers.base", "driver=raw,sise=1", 0), "unknown options are refused");
    OK(!open_disk("layers.base", "driver=rae", 0), "unknown drivers, too");
    OK(!open_disk("nosuch:thing", "", 0), "and unknown protocols");
}

static void test_chain(void)
{
    create("qcow2", "layers.a", "backing_file=layers.b,backing_fmt=qcow2");
    create("qcow2", "layers.b", "backing_file=layers.a,backing_fmt=qcow2");
    OK(!open_disk("layers.a", "driver=qcow2", 0), "a chain that bites its tail is refused");
    unlink("layers.a");
    unlink("layers.b");
}

int main(void)
{
    create("raw", "layers.base", "");
    fill_base();
    create("qcow2", "layers.qcow2", "backing_file=layers.base,backing_fmt=raw");
    test_snapshot();
    test_copy_on_read();
    test_throttle();
    test_options();
    test_chain();
    unlink("layers.base");
    unlink("layers.qcow2");
    return tap_done();
}
