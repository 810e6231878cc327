/* Operations on whole images: creation, resizing, information, checking, snapshots, bitmaps. Each
 * finds the node of the format, closes its gate and calls the driver. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/gate.h"

static int cannot(const BlockNode *node, const char *what, BlockError *error)
{
    return block_error(error, ENOTSUP, "format '%s' of '%s' has no %s", node->driver->name,
                       node->filename, what);
}

/* Calls the format's function `member` with the gate closed; `what` says what it is for when there
 * is none. `write`: refuse on images opened for reading. */
#define EXCLUSIVELY(node, member, what, write, error, ...)                                         \
    ({                                                                                             \
        int outcome_;                                                                              \
        (node) = block_skip_filters(node);                                                         \
        if (!(node)->driver->member) {                                                             \
            outcome_ = cannot(node, what, error);                                                  \
        } else if ((write) && !((node)->flags & BLOCK_WRITE)) {                                    \
            outcome_ =                                                                             \
                block_error(error, EROFS, "'%s' is open for reading only", (node)->filename);      \
        } else {                                                                                   \
            block_gate_close(&(node)->gate);                                                       \
            outcome_ = (node)->driver->member(node, ##__VA_ARGS__);                                \
            block_gate_open(&(node)->gate);                                                        \
        }                                                                                          \
        outcome_;                                                                                  \
    })

/* Filters are as large as what is below them. */
static int update_sizes(BlockNode *top, int result)
{
    for (BlockNode *node = top; node->driver->kind == BLOCK_FILTER && node->file;
         node = node->file) {
        node->size = block_size(block_skip_filters(node));
    }
    return result;
}

int block_create_file(BlockNode **file, const char *filename, const BlockOptions *like,
                      BlockError *error)
{
    const BlockDriver *protocol = block_driver_for_filename(filename, error);
    BlockOptions *options = block_options_new_like(like);
    int result = protocol ? 0 : -EINVAL;

    block_options_set(options, "size", "0");
    if (!result && protocol->create) {
        result = protocol->create(NULL, filename, options, error);
    }
    block_options_set(options, "size", NULL);
    if (!result) {
        block_options_set(options, "driver", protocol->name);
        /* Nothing in a new image has been promised to last: the first flush of a user will do. */
        unsigned flags = BLOCK_WRITE | BLOCK_UNMAP | BLOCK_NO_FLUSH;
        result = block_open(file, filename, options, flags, error);
    }
    block_options_free(options);
    return result;
}

int block_create(const BlockDriver *driver, const char *filename, const BlockOptions *options,
                 BlockError *error)
{
    BlockNode *file = NULL;
    char who[80];

    if (!driver->create) {
        return block_error(error, ENOTSUP, "format '%s' cannot be created", driver->name);
    }
    snprintf(who, sizeof who, "format '%s'", driver->name);
    int result = block_options_check(options, driver->create_options, NULL, NULL, who, error);
    if (!result && driver->kind == BLOCK_FORMAT && !(driver->traits & BLOCK_OWN_FILE)) {
        result = block_create_file(&file, filename, options, error);
    }
    if (!result) {
        result = driver->create(file, filename, options, error);
    }
    int closed = block_close(file);
    if (!result && closed < 0) {
        result = block_error(error, -closed, "cannot write '%s': %s", filename, strerror(-closed));
    }
    return result;
}

int block_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    unsigned wanted = (node->flags & ~(unsigned)BLOCK_WRITE) | (flags & BLOCK_WRITE);
    bool gains = (wanted & ~node->flags) & BLOCK_WRITE;
    int result = 0;

    if (wanted == node->flags) {
        return 0;
    }
    BlockNode *children[] = {node->file, node->extra};
    for (size_t i = 0; gains && !result && i < COUNT(children); i++) {
        result = children[i] ? block_reopen(children[i], flags, error) : 0;
    }
    if (result < 0) {
        return result;
    }
    if (!gains) {
        result = block_flush(node);
        if (result < 0) {
            return block_error(error, -result, "cannot write '%s': %s", node->filename,
                               strerror(-result));
        }
    }
    block_gate_close(&node->gate);
    result = node->driver->reopen ? node->driver->reopen(node, wanted, error) : 0;
    node->flags = result < 0 ? node->flags : wanted;
    block_gate_open(&node->gate);
    for (size_t i = 0; !gains && !result && i < COUNT(children); i++) {
        result = children[i] ? block_reopen(children[i], flags, error) : 0;
    }
    return result;
}

int block_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    s64 allocated = 0;

    node = block_skip_filters(node);
    *info = (BlockInfo){.format = node->driver->name,
                        .virtual_size = block_size(node),
                        .actual_size_known = true,
                        .backing_filename = node->backing_filename,
                        .backing_format = node->backing_format};
    BlockNode *parts[] = {node, node->file, node->extra};
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (parts[i] && parts[i]->driver->kind == BLOCK_PROTOCOL) {
            s64 size = parts[i]->driver->allocated_size ? parts[i]->driver->allocated_size(parts[i])
                                                        : -ENOTSUP;
            info->actual_size_known = info->actual_size_known && size >= 0;
            allocated += MAX(size, 0);
        }
    }
    info->actual_size = (u64)allocated;
    info->is_zero_initialised = node->driver->traits & BLOCK_ZERO_ON_CREATE;
    if (!node->driver->info) {
        return 0;
    }
    return EXCLUSIVELY(node, info, "information", false, error, info, error);
}

void block_info_free(BlockInfo *info)
{
    json_object_put(info->specific);
    info->specific = NULL;
}

int block_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    if (size > INT64_MAX - 511) {
        return block_error(error, EFBIG, "a disk cannot be that large");
    }
    BlockNode *top = node;
    return update_sizes(
        top, EXCLUSIVELY(node, truncate, "way to resize", true, error, size, mode, error));
}

int block_change_backing(BlockNode *node, const char *filename, const char *format,
                         BlockError *error)
{
    return EXCLUSIVELY(node, change_backing, "backing files", true, error, filename, format, error);
}

int block_make_empty(BlockNode *node, BlockError *error)
{
    return EXCLUSIVELY(node, make_empty, "way to be emptied", true, error, error);
}

int block_amend(BlockNode *node, const BlockOptions *options, BlockProgress *progress, void *opaque,
                BlockError *error)
{
    const BlockDriver *driver = block_skip_filters(node)->driver;
    char who[80];

    snprintf(who, sizeof who, "format '%s', for amending,", driver->name);
    int result = driver->amend
                     ? block_options_check(options, driver->amend_options, NULL, NULL, who, error)
                     : 0;
    return result ? result
                  : EXCLUSIVELY(node, amend, "options to amend", true, error, options, progress,
                                opaque, error);
}

int block_measure(const BlockDriver *driver, const BlockOptions *options, BlockNode *source,
                  BlockMeasure *measure, BlockError *error)
{
    char who[80];

    if (!driver->measure) {
        return block_error(error, ENOTSUP, "format '%s' cannot be measured", driver->name);
    }
    snprintf(who, sizeof who, "format '%s'", driver->name);
    int result = block_options_check(options, driver->create_options, NULL, NULL, who, error);
    *measure = (BlockMeasure){0};
    return result ? result : driver->measure(options, source, measure, error);
}

int block_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error)
{
    *check = (BlockCheck){.report = check->report, .opaque = check->opaque};
    return EXCLUSIVELY(node, check, "consistency check", fix != 0, error, fix, check, error);
}

/* --- Snapshots ---------------------------------------------------------------------------------
 */

int block_snapshot_list(BlockNode *node, BlockSnapshot **list, BlockError *error)
{
    *list = NULL;
    return EXCLUSIVELY(node, snapshot_list, "internal snapshots", false, error, list, error);
}

int block_snapshot_find(BlockNode *node, const char *id_or_name, BlockSnapshot *found,
                        BlockError *error)
{
    BlockSnapshot *list;
    int count = block_snapshot_list(node, &list, error);
    int result = count < 0 ? count : -ENOENT;

    for (int i = 0; i < count && result; i++) {
        if (!strcmp(list[i].id, id_or_name)) {
            *found = list[i];
            result = 0;
        }
    }
    for (int i = 0; i < count && result; i++) {
        if (!strcmp(list[i].name, id_or_name)) {
            *found = list[i];
            result = 0;
        }
    }
    free(list);
    if (count >= 0 && result) {
        block_error(error, ENOENT, "there is no snapshot '%s' in '%s'", id_or_name, node->filename);
    }
    return result;
}

int block_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, BlockError *error)
{
    return EXCLUSIVELY(node, snapshot_create, "internal snapshots", true, error, snapshot, error);
}

int block_snapshot_apply(BlockNode *node, const char *id_or_name, BlockError *error)
{
    BlockSnapshot found;
    BlockNode *top = node;
    int result = block_snapshot_find(node, id_or_name, &found, error);

    result = result ? result
                    : EXCLUSIVELY(node, snapshot_apply, "internal snapshots", true, error, found.id,
                                  error);
    return update_sizes(top, result);
}

int block_snapshot_delete(BlockNode *node, const char *id_or_name, BlockError *error)
{
    BlockSnapshot found;
    int result = block_snapshot_find(node, id_or_name, &found, error);

    return result ? result
                  : EXCLUSIVELY(node, snapshot_delete, "internal snapshots", true, error, found.id,
                                error);
}

int block_snapshot_load(BlockNode *node, const char *id_or_name, BlockError *error)
{
    BlockSnapshot found;
    int result = block_snapshot_find(node, id_or_name, &found, error);

    return result ? result
                  : EXCLUSIVELY(node, snapshot_load, "internal snapshots", false, error, found.id,
                                error);
}

int block_vmstate_read(BlockNode *node, u64 offset, void *data, size_t bytes)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    return EXCLUSIVELY(node, vmstate_read, "machine state", false, NULL, offset, &vector);
}

int block_vmstate_write(BlockNode *node, u64 offset, const void *data, size_t bytes)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    return EXCLUSIVELY(node, vmstate_write, "machine state", true, NULL, offset, &vector);
}

/* --- Bitmaps -----------------------------------------------------------------------------------
 */

int block_bitmap_list(BlockNode *node, BlockBitmapInfo **list, BlockError *error)
{
    *list = NULL;
    return EXCLUSIVELY(node, bitmap_list, "dirty bitmaps", false, error, list, error);
}

int block_bitmap_add(BlockNode *node, const char *name, u32 granularity, bool enabled,
                     BlockError *error)
{
    return EXCLUSIVELY(node, bitmap_add, "dirty bitmaps", true, error, name, granularity, enabled,
                       error);
}

int block_bitmap_remove(BlockNode *node, const char *name, BlockError *error)
{
    return EXCLUSIVELY(node, bitmap_remove, "dirty bitmaps", true, error, name, error);
}

int block_bitmap_clear(BlockNode *node, const char *name, BlockError *error)
{
    return EXCLUSIVELY(node, bitmap_clear, "dirty bitmaps", true, error, name, error);
}

int block_bitmap_enable(BlockNode *node, const char *name, bool enabled, BlockError *error)
{
    return EXCLUSIVELY(node, bitmap_enable, "dirty bitmaps", true, error, name, enabled, error);
}

int block_bitmap_map(BlockNode *node, const char *name, u64 offset, u64 bytes, bool *dirty,
                     u64 *length)
{
    return EXCLUSIVELY(node, bitmap_map, "dirty bitmaps", false, NULL, name, offset, bytes, dirty,
                       length);
}

int block_bitmap_merge(BlockNode *node, const char *name, BlockNode *from_node, const char *from,
                       BlockError *error)
{
    u64 size = block_size(node);
    int result = 0;

    if (block_size(from_node) != size) {
        return block_error(error, EINVAL, "bitmaps of disks of different sizes cannot be merged");
    }
    for (u64 offset = 0, length; !result && offset < size; offset += length) {
        bool dirty = false;
        result = block_bitmap_map(from_node, from, offset, size - offset, &dirty, &length);
        if (!result && dirty) {
            result =
                EXCLUSIVELY(node, bitmap_mark, "dirty bitmaps", true, error, name, offset, length);
        }
    }
    return result ? block_error(error, -result, "cannot merge bitmap '%s' into '%s': %s", from,
                                name, strerror(-result))
                  : 0;
}
