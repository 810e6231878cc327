/* Fuzz target: any bytes as a qcow2 image. It is looked at, read, checked, then opened for writing,
 * changed and repaired. What is refused is refused with a line of text; nothing may crash, hang or
 * use memory beyond what the image's size justifies. Backing files are left out, and an external
 * data file is an empty one, whatever the image names. Images encrypted the old way are opened with
 * a secret; those with LUKS are only looked at (its passphrases are fuzzed in formats.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block.h"
#include "block/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST_INPUT = 1 << 20, CHUNK = 65536, CHUNKS = 8, CRYPT = 35, CRYPT_LUKS = 2 };

static BlockNode *open_image(int fd, int data_fd, bool external, const ObjectList *objects,
                             unsigned flags)
{
    BlockOptions *options = block_options_new();
    BlockError error = {""};
    BlockNode *disk = NULL;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    block_options_set(options, "driver", "qcow2");
    block_options_set(options, "encrypt.key-secret", "p");
    block_options_set_objects(options, objects);
    if (external) {
        block_options_setf(options, "data-file.filename", "/proc/self/fd/%d", data_fd);
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
    BlockSnapshot *snapshots = NULL;
    BlockBitmapInfo *bitmaps = NULL;
    BlockCheck check = {0};
    BlockInfo info;
    BlockExtent extent;
    void *buffer = malloc(CHUNK);

    if (!block_info(disk, &info, NULL)) {
        block_info_free(&info);
    }
    for (unsigned i = 0; i < CHUNKS && block_size(disk); i++) {
        block_pread(disk, place(disk, i), buffer, MIN(block_size(disk), (u64)CHUNK));
        block_map_chain(disk, NULL, place(disk, i), 1 << 24, &extent);
    }
    block_vmstate_read(disk, 0, buffer, CHUNK);
    int count = block_snapshot_list(disk, &snapshots, NULL);
    block_bitmap_list(disk, &bitmaps, NULL);
    block_check(disk, 0, &check, NULL);
    if (count > 0 && !block_writable(disk)) {
        block_snapshot_load(disk, snapshots[0].id, NULL);
    }
    free(snapshots);
    free(bitmaps);
    free(buffer);
}

static void change(BlockNode *disk)
{
    BlockSnapshot snapshot = {.name = "new", .icount = -1}, *snapshots = NULL;
    u8 *buffer = malloc(CHUNK);
    u64 size = block_size(disk), bytes = MIN(size, (u64)CHUNK);

    memset(buffer, 0x5a, CHUNK);
    for (unsigned i = 0; i < CHUNKS && size; i++) {
        block_pwrite(disk, place(disk, i), buffer, bytes / (i + 1), 0);
        block_zero(disk, place(disk, i), bytes / 2, i & 1 ? BLOCK_MAY_UNMAP : 0);
    }
    block_flush(disk);
    block_snapshot_create(disk, &snapshot, NULL);
    block_pwrite(disk, 0, buffer, MIN(size, 512ull), 0);
    block_discard(disk, 0, bytes);
    int count = block_snapshot_list(disk, &snapshots, NULL);
    if (count > 0) {
        block_snapshot_apply(disk, snapshots[0].id, NULL);
        block_snapshot_delete(disk, snapshots[0].id, NULL);
    }
    block_truncate(disk, block_size(disk) / 2, BLOCK_PREALLOC_OFF, NULL);
    free(snapshots);
    free(buffer);
}

static void repair(BlockNode *disk)
{
    BlockCheck check = {0};

    block_check(disk, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, &check, NULL);
}

static void run(const uint8_t *data, size_t size, unsigned flags, void act(BlockNode *disk))
{
    int fd = memfd_create("image", 0), data_fd = memfd_create("data", 0);
    bool external = size >= 80 && (data[79] & 4);
    ObjectList *objects = object_list_new(NULL);

    object_list_add(objects, "secret,id=p,data=p", NULL);
    flags |= size > CRYPT && data[CRYPT] == CRYPT_LUKS ? BLOCK_NO_IO : 0;
    if (fd < 0 || data_fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    BlockNode *disk = open_image(fd, data_fd, external, objects, flags);
    if (disk) {
        act(disk);
        block_close(disk);
    }
    object_list_free(objects);
    close(fd);
    close(data_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size = MIN(size, (size_t)LARGEST_INPUT);
    run(data, size, 0, look);
    run(data, size, BLOCK_WRITE | BLOCK_UNMAP, change);
    run(data, size, BLOCK_WRITE | BLOCK_REPAIR, repair);
    return 0;
}
