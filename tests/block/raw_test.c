/* Raw images: opening by name and options, reading, writing, zeroing, locking, and the guard
 * against raw disks that turn into another format. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "tests/tap.h"

static char path[64];

static BlockNode *open_disk(const char *options, unsigned flags)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};
    BlockNode *disk = NULL;

    block_options_parse(list, options, NULL, &error);
    if (block_open(&disk, path, list, flags, &error) < 0) {
        printf("# %s\n", error.text);
    }
    block_options_free(list);
    return disk;
}

static void create(u64 size)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};

    block_options_setf(list, "size", "%llu", (unsigned long long)size);
    int result = block_create(block_driver_find("raw"), path, list, &error);
    OK(result == 0, "create %s", error.text);
    block_options_free(list);
}

static void test_data(void)
{
    BlockNode *disk = open_disk("driver=raw", BLOCK_WRITE);
    BlockExtent extent;
    u8 data[3000], back[3000];

    memset(data, 0x5a, sizeof data);
    OK(disk && block_size(disk) == 1 << 20, "the size is as created");
    OK(!block_pwrite(disk, 777, data, sizeof data, 0), "write anywhere");
    OK(!block_pread(disk, 777, back, sizeof back) && !memcmp(data, back, sizeof back), "read back");
    OK(block_pread(disk, (1 << 20) - 1, back, 2) == -EIO, "reading past the end fails");
    OK(!block_zero(disk, 1000, 1000, 0), "zero");
    memset(data + 223, 0, 1000);
    OK(!block_pread(disk, 777, back, sizeof back) && !memcmp(data, back, sizeof back), "zeroed");
    OK(!block_map_chain(disk, NULL, 512 << 10, 1 << 30, &extent) && (extent.flags & BLOCK_ZERO) &&
           extent.bytes == 512 << 10,
       "the rest is a hole");
    OK(!block_close(disk), "close");
}

static void test_guard(void)
{
    BlockNode *disk = open_disk("", BLOCK_WRITE);

    OK(disk && !strcmp(block_driver_name(block_driver(disk)), "raw"), "probed as raw");
    OK(!block_pwrite(disk, 0, "harmless", 8, 0), "an ordinary write to the start");
    OK(block_pwrite(disk, 0, "QFI\xfb\0\0\0\3", 8, 0) == -EPERM, "a qcow2 header is refused");
    OK(!block_zero(disk, 0, 8, 0) && !block_pwrite(disk, 0, "QFI\xfb\0\0", 6, 0) &&
           block_pwrite(disk, 6, "\0\3", 2, 0) == -EPERM,
       "in pieces, too");
    block_close(disk);
}

static void test_lock(void)
{
    BlockNode *writer = open_disk("driver=raw", BLOCK_WRITE);
    BlockNode *second = open_disk("driver=raw", BLOCK_WRITE);
    BlockNode *reader = open_disk("driver=raw", 0);
    BlockNode *tolerant = open_disk("driver=raw", BLOCK_SHARE);

    OK(writer && !second && !reader && tolerant, "a writer keeps others out");
    block_close(writer);
    block_close(tolerant);
    reader = open_disk("driver=raw", 0);
    BlockNode *more = open_disk("driver=raw", 0);
    writer = open_disk("driver=raw", BLOCK_WRITE);
    OK(reader && more && !writer, "readers tolerate each other, but no writer");
    block_close(reader);
    block_close(more);
}

int main(void)
{
    int fd = mkstemp(strcpy(path, "raw-test-XXXXXX"));

    close(fd);
    create(1 << 20);
    test_data();
    test_guard();
    test_lock();
    unlink(path);
    return tap_done();
}
