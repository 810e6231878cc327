/* Fuzz target: any bytes as an image of each format but raw and qcow2 (which has a target of its
 * own). The first byte chooses the format, the rest is the image: it is looked at, read, checked,
 * then opened for writing and changed. What is refused is refused with a line of text; nothing may
 * crash, hang or use memory beyond what the image's size justifies. Files that an image names
 * besides itself are opened by no one: backing files are left out, and VMDK extents are all the
 * image itself.
 *
 * VHDX images are never smaller than 4 MiB, and full of checksums: their input is a list of pieces
 * (16 bits of place in KiB, 16 bits of length, bytes), and the checksums are made right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/vhdx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST_INPUT = 1 << 20, CHUNK = 65536, CHUNKS = 8, EXTENTS = 4 };
enum { VHDX_BYTES = 5 << 20, REGIONS = 192 << 10, REGIONS_BYTES = 64 << 10 };

static const char *const formats[] = {"bochs", "cloop", "dmg",  "parallels", "qcow",
                                      "qed",   "vdi",   "vhdx", "vmdk",      "vpc"};

static BlockNode *open_image(const char *format, int fd, unsigned flags)
{
    BlockOptions *options = block_options_new();
    BlockError error = {""};
    BlockNode *disk = NULL;
    char path[64], key[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    block_options_set(options, "driver", format);
    for (unsigned n = 0; n < EXTENTS && !strcmp(format, "vmdk"); n++) {
        snprintf(key, sizeof key, "extents.%u.filename", n);
        block_options_set(options, key, path);
    }
    int result = block_open(&disk, path, options, flags | BLOCK_NO_BACKING | BLOCK_NO_LOCK, &error);
    if ((result < 0) != (disk == NULL) || (result < 0 && !*error.text)) {
        abort();
    }
    block_options_free(options);
    return disk;
}

/* A few places across the disk. */
static u64 place(const BlockNode *disk, unsigned index)
{
    u64 size = block_size(disk), at = size / CHUNKS * index;

    return size > CHUNK ? MIN(at, size - CHUNK) : 0;
}

static void look(BlockNode *disk)
{
    BlockCheck check = {0};
    BlockExtent extent;
    BlockInfo info;
    void *buffer = malloc(CHUNK);

    if (!block_info(disk, &info, NULL)) {
        block_info_free(&info);
    }
    for (unsigned n = 0; n < CHUNKS && block_size(disk); n++) {
        block_pread(disk, place(disk, n), buffer, MIN(block_size(disk), (u64)CHUNK));
        block_map_chain(disk, NULL, place(disk, n), 1 << 24, &extent);
    }
    block_check(disk, 0, &check, NULL);
    free(buffer);
}

static void change(BlockNode *disk)
{
    u8 *buffer = malloc(CHUNK);
    u64 size = block_size(disk), bytes = MIN(size, (u64)CHUNK);

    memset(buffer, 0x5a, CHUNK);
    for (unsigned n = 0; n < CHUNKS && size; n++) {
        block_pwrite(disk, place(disk, n), buffer, bytes / (n + 1), 0);
        block_zero(disk, place(disk, n), bytes / 2, n & 1 ? BLOCK_MAY_UNMAP : 0);
    }
    block_flush(disk);
    block_truncate(disk, size + CHUNK, BLOCK_PREALLOC_OFF, NULL);
    free(buffer);
}

/* Writes the pieces into the file. */
static void scatter(int fd, const uint8_t *data, size_t size)
{
    if (ftruncate(fd, VHDX_BYTES) < 0) {
        abort();
    }
    while (size > 4) {
        off_t at = (off_t)(data[0] | data[1] << 8) << 10;
        size_t bytes = MIN((size_t)(data[2] | data[3] << 8), size - 4);
        if (at + (off_t)bytes > VHDX_BYTES || pwrite(fd, data + 4, bytes, at) < 0) {
            break;
        }
        data += 4 + bytes;
        size -= 4 + bytes;
    }
}

static void fix_checksum(int fd, off_t at, size_t bytes)
{
    static u8 part[REGIONS_BYTES];

    if (pread(fd, part, bytes, at) == (ssize_t)bytes) {
        le32_put(part + VHDX_CHECKSUM, vhdx_checksum(part, bytes, VHDX_CHECKSUM));
        if (pwrite(fd, part, bytes, at) < 0) {
            abort();
        }
    }
}

static void write_image(const char *format, int fd, const uint8_t *data, size_t size)
{
    if (strcmp(format, "vhdx") != 0) {
        if (write(fd, data, size) != (ssize_t)size) {
            abort();
        }
        return;
    }
    scatter(fd, data, size);
    fix_checksum(fd, VHDX_HEADER_1, VHDX_HEADER_BYTES);
    fix_checksum(fd, VHDX_HEADER_2, VHDX_HEADER_BYTES);
    fix_checksum(fd, REGIONS, REGIONS_BYTES);
}

static void run(const char *format, const uint8_t *data, size_t size, unsigned flags,
                void act(BlockNode *disk))
{
    int fd = memfd_create("image", 0);

    if (fd < 0) {
        abort();
    }
    write_image(format, fd, data, size);
    BlockNode *disk = open_image(format, fd, flags);
    if (disk) {
        act(disk);
        block_close(disk);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *format;

    if (size == 0) {
        return 0;
    }
    format = formats[data[0] % COUNT(formats)];
    size = MIN(size - 1, (size_t)LARGEST_INPUT);
    run(format, data + 1, size, 0, look);
    run(format, data + 1, size, BLOCK_WRITE | BLOCK_UNMAP, change);
    return 0;
}
