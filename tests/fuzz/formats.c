/* Fuzz target: any bytes as an image of each format but raw and qcow2 (which has a target of its
 * own). The first byte chooses the format, the rest is the image: it is looked at, read, checked,
 * then opened for writing and changed. What is refused is refused with a line of text; nothing may
 * crash, hang or use memory beyond what the image's size justifies. Files that an image names
 * besides itself are opened by no one: backing files are left out, and VMDK extents are all the
 * image itself.
 *
 * VHDX images are never smaller than 4 MiB, and full of checksums: their input is a list of pieces
 * (16 bits of place in KiB, 16 bits of length, bytes), and the checksums are made right. LUKS
 * images are given so, too; the passphrase is "p", and the iterations are made few.
 *
 * With FUZZ_FORMAT=NAME in the environment, all inputs are of that format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/luks.h"
#include "block/vhdx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST_INPUT = 1 << 20, CHUNK = 65536, CHUNKS = 8, EXTENTS = 4 };
enum { LUKS_BYTES = 1 << 20, LUKS_DIGEST_TIMES = 164, LUKS_SLOT_TIMES = LUKS_SLOTS_OFFSET + 4 };
enum { VHDX_BYTES = 5 << 20, REGIONS = 192 << 10, REGIONS_BYTES = 64 << 10 };

static const char *const formats[] = {"bochs", "cloop", "dmg",  "parallels", "qcow", "qed",
                                      "vdi",   "vhdx",  "vmdk", "vpc",       "luks"};

static BlockNode *open_image(const char *format, int fd, ObjectList *objects, unsigned flags)
{
    BlockOptions *options = block_options_new();
    BlockError error = {""};
    BlockNode *disk = NULL;
    char path[64], key[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    block_options_set(options, "driver", format);
    if (!strcmp(format, "luks") && !object_list_add(objects, "secret,id=p,data=p", NULL)) {
        block_options_set_objects(options, objects);
        block_options_set(options, "key-secret", "p");
    }
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

/* Takes a LUKS image its passphrase. */
static void erase_key(BlockNode *disk)
{
    BlockOptions *options = block_options_new();

    block_options_parse(options, "state=inactive,keyslot=0,force", NULL, NULL);
    block_amend(disk, options, NULL, NULL, NULL);
    block_options_free(options);
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
    erase_key(disk);
    free(buffer);
}

/* Writes the pieces into the file, which gets `room` bytes. */
static void scatter(int fd, off_t room, const uint8_t *data, size_t size)
{
    if (ftruncate(fd, room) < 0) {
        abort();
    }
    while (size > 4) {
        off_t at = (off_t)(data[0] | data[1] << 8) << 10;
        size_t bytes = MIN((size_t)(data[2] | data[3] << 8), size - 4);
        if (at + (off_t)bytes > room || pwrite(fd, data + 4, bytes, at) < 0) {
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

/* Keeps the highest bits of what counts iterations from keeping us busy. */
static void fix_iterations(int fd)
{
    static const u8 none[3];

    for (int n = -1; n < LUKS_SLOTS; n++) {
        off_t at = n < 0 ? LUKS_DIGEST_TIMES : LUKS_SLOT_TIMES + n * LUKS_SLOT_BYTES;
        if (pwrite(fd, none, sizeof none, at) < 0) {
            abort();
        }
    }
}

static void write_image(const char *format, int fd, const uint8_t *data, size_t size)
{
    if (!strcmp(format, "luks")) {
        scatter(fd, LUKS_BYTES, data, size);
        fix_iterations(fd);
        return;
    }
    if (strcmp(format, "vhdx") != 0) {
        if (write(fd, data, size) != (ssize_t)size) {
            abort();
        }
        return;
    }
    scatter(fd, VHDX_BYTES, data, size);
    fix_checksum(fd, VHDX_HEADER_1, VHDX_HEADER_BYTES);
    fix_checksum(fd, VHDX_HEADER_2, VHDX_HEADER_BYTES);
    fix_checksum(fd, REGIONS, REGIONS_BYTES);
}

static void run(const char *format, const uint8_t *data, size_t size, unsigned flags,
                void act(BlockNode *disk))
{
    ObjectList *objects = object_list_new(NULL);
    int fd = memfd_create("image", 0);

    if (fd < 0) {
        abort();
    }
    write_image(format, fd, data, size);
    BlockNode *disk = open_image(format, fd, objects, flags);
    if (disk) {
        act(disk);
        block_close(disk);
    }
    object_list_free(objects);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *format = getenv("FUZZ_FORMAT");

    if (size == 0) {
        return 0;
    }
    format = format ? format : formats[data[0] % COUNT(formats)];
    size = MIN(size - 1, (size_t)LARGEST_INPUT);
    run(format, data + 1, size, 0, look);
    run(format, data + 1, size, BLOCK_WRITE | BLOCK_UNMAP, change);
    return 0;
}
