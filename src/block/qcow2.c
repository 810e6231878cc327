/* Format "qcow2": opening, closing, flushing, information. See qcow2.h for the parts. */
#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "block/qcow2.h"

enum {
    SLICE_BYTES = 4096,
    L2_CACHE_BYTES = 32 << 20,
    REFCOUNT_CACHE_BYTES = 8 << 20,
};

static const BlockOption open_options[] = {
    {"data-file", BLOCK_OPTION_STRING, "the external data file, if not the one in the image"},
    {"encrypt.format", BLOCK_OPTION_STRING, "luks or aes: the encryption that the image must have"},
    {"encrypt.key-secret", BLOCK_OPTION_STRING, "ID of the secret that opens an encrypted image"},
    {"lazy-refcounts", BLOCK_OPTION_BOOL, "postpone refcount updates (images of version 3)"},
    {"l2-cache-size", BLOCK_OPTION_SIZE, "most bytes of L2 tables kept in memory", "32M"},
    {"refcount-cache-size", BLOCK_OPTION_SIZE, "most bytes of refcounts kept in memory", "8M"},
    {NULL},
};

static int qcow2_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= 8 && be32_get(head) == QCOW2_MAGIC && be32_get(head + 4) >= 2 ? 100 : 0;
}

static void derive(Qcow2 *q)
{
    const Qcow2Header *h = &q->header;

    q->cluster_size = 1u << h->cluster_bits;
    q->subclusters = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? QCOW2_SUBCLUSTERS : 1;
    q->entry_bytes = q->subclusters > 1 ? 16 : 8;
    q->l2_bits = h->cluster_bits - (q->subclusters > 1 ? 4 : 3);
    q->subcluster_size = q->cluster_size / q->subclusters;
    q->refcount_bits = 1u << h->refcount_order;
    q->refcount_max = h->refcount_order == 6 ? INT64_MAX : (1ull << q->refcount_bits) - 1;
    q->block_bits = h->cluster_bits + 3 - h->refcount_order;
    q->raw_data = h->autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW;
}

static int make_caches(Qcow2 *q, const BlockOptions *options)
{
    u32 slice = MIN(q->cluster_size, (u32)SLICE_BYTES);
    u64 tables = (q->header.size >> q->header.cluster_bits) * q->entry_bytes + q->cluster_size;
    u64 most = block_option_number(options, open_options, "l2-cache-size");
    int result = qcow2_cache_init(&q->l2_cache, slice, MIN(tables, most));

    most = block_option_number(options, open_options, "refcount-cache-size");
    return result ? result : qcow2_cache_init(&q->refcount_cache, slice, MIN(most, 1ull << 30));
}

static int load_l1(Qcow2 *q, BlockError *error)
{
    size_t bytes = q->header.l1_entries * 8ull;

    q->l1 = malloc(MAX(bytes, (size_t)8));
    if (!q->l1) {
        return block_error(error, ENOMEM, "out of memory");
    }
    int result = bytes ? block_read_exact(q->file, q->header.l1_offset, q->l1, bytes) : 0;
    if (result < 0) {
        return block_error(error, -result, "cannot read the qcow2 L1 table: %s", strerror(-result));
    }
    for (u32 i = 0; i < q->header.l1_entries; i++) {
        q->l1[i] = be64_get(&q->l1[i]);
    }
    return 0;
}

static int open_data_file(Qcow2 *q, const BlockOptions *options, BlockError *error)
{
    BlockNode *node = q->node;
    char *path = NULL;
    int result = 0;

    q->data = q->file;
    if (!(q->header.incompatible & QCOW2_INCOMPATIBLE_DATA_FILE)) {
        return block_options_get(options, "data-file")
                   ? block_error(error, EINVAL, "the image has no external data file")
                   : 0;
    }
    if (q->header.data_file) {
        path = block_path_beside(block_image_name(node), q->header.data_file);
    }
    result = block_open_child(&node->extra, path, options, "data-file", block_driver_find("file"),
                              node->flags, error);
    if (result < 0) {
        block_error_prefix(error, -result, "cannot open the data file");
    }
    free(path);
    q->data = node->extra;
    q->external_data = true;
    return result;
}

static void drop_state(Qcow2 *q)
{
    qcow2_header_free(&q->header);
    qcow2_crypt_close(q);
    qcow2_cache_free(&q->l2_cache);
    qcow2_cache_free(&q->refcount_cache);
    qcow2_snapshots_free(q);
    qcow2_bitmaps_free(q);
    free(q->l1);
    free(q->reftable);
    free(q->pending.entries);
    free(q->limbo.entries);
    free(q->waiting.entries);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->changed);
}

/* What only a writer does: repair after a crash, clear what we can't keep up, take the bitmaps. */
static int begin_writing(Qcow2 *q, BlockError *error)
{
    Qcow2Header *h = &q->header;
    u64 known = QCOW2_AUTOCLEAR_BITMAPS | QCOW2_AUTOCLEAR_DATA_FILE_RAW;
    BlockCheck check = {0};
    int result = 0;

    if (q->node->flags & BLOCK_REPAIR) {
        return 0;
    }
    if (h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT) {
        return block_error(error, EIO,
                           "the image is marked corrupt: it can be read, or repaired "
                           "with 'check -r all'");
    }
    if (h->incompatible & QCOW2_INCOMPATIBLE_DIRTY) {
        result = qcow2_check(q->node, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, &check, error);
        if (!result && (check.corruptions || check.check_errors)) {
            result = block_error(error, EIO,
                                 "the image was not closed properly and cannot be "
                                 "repaired");
        }
    }
    if (!result && (h->autoclear & ~known)) {
        h->autoclear &= known;
        result = qcow2_header_write_features(q);
        if (result < 0) {
            block_error(error, -result, "cannot write the qcow2 header: %s", strerror(-result));
        }
    }
    return result ? result : qcow2_bitmaps_take(q, error);
}

static int load(Qcow2 *q, const BlockOptions *options, BlockError *error)
{
    BlockNode *node = q->node;
    const Qcow2Header *h = &q->header;

    derive(q);
    node->size = h->size;
    node->alignment = 1;
    node->zero_alignment = q->subcluster_size;
    q->virgin = ALIGN_UP(block_size(q->file), (u64)q->cluster_size);
    int result = make_caches(q, options);
    if (result < 0) {
        return block_error(error, ENOMEM, "out of memory");
    }
    result = load_l1(q, error);
    result = result ? result : qcow2_reftable_load(q, error);
    result = result ? result : qcow2_snapshots_load(q, error);
    result = result ? result : open_data_file(q, options, error);
    result = result ? result : qcow2_crypt_open(q, options, error);
    result = result ? result : qcow2_bitmaps_load(q, error);
    if (!result && h->backing_name) {
        node->backing_filename = strdup(h->backing_name);
        node->backing_format = h->backing_format ? strdup(h->backing_format) : NULL;
    }
    if (!result && h->version == 3 && block_options_get(options, "lazy-refcounts")) {
        bool on = block_option_bool(options, open_options, "lazy-refcounts");
        q->header.compatible = on ? h->compatible | QCOW2_COMPATIBLE_LAZY_REFCOUNTS
                                  : h->compatible & ~(u64)QCOW2_COMPATIBLE_LAZY_REFCOUNTS;
    }
    return !result && (node->flags & BLOCK_WRITE) ? begin_writing(q, error) : result;
}

static int qcow2_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Qcow2 *q = node->state;

    q->node = node;
    q->file = node->file;
    int result = qcow2_header_read(q->file, &q->header, error);
    if (result < 0) {
        return block_error_prefix(error, -result, "'%s'", node->filename);
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    result = load(q, options, error);
    if (result < 0) {
        drop_state(q);
        return block_error_prefix(error, -result, "'%s'", node->filename);
    }
    return 0;
}

/* Refcounts that were put off, and the dirty bit gone; the lock is held. */
static int end_lazy(Qcow2 *q)
{
    if (!q->lazy) {
        return 0;
    }
    q->lazy = false;
    int result = qcow2_write_back(q);
    result = result ? result : block_flush(q->file);
    if (!result) {
        q->header.incompatible &= ~(u64)QCOW2_INCOMPATIBLE_DIRTY;
        result = qcow2_header_write_features(q);
    }
    return result;
}

/* The file may end inside its last cluster: zeroes there need not be written. Other readers take it
 * for cut off. */
static int fill_last_cluster(Qcow2 *q)
{
    u64 size = block_size(q->file), end = ALIGN_UP(size, (u64)q->cluster_size);

    return q->file->can_grow && end > size ? block_truncate(q->file, end, BLOCK_PREALLOC_OFF, NULL)
                                           : 0;
}

/* Everything on disk. Bitmaps come before the refcounts: storing them takes clusters. */
static int finish_writing(Qcow2 *q)
{
    if (q->inert) {
        return 0;
    }
    pthread_mutex_lock(&q->lock);
    int result = qcow2_settle(q);
    pthread_mutex_unlock(&q->lock);
    result = result ? result : qcow2_bitmaps_store(q, NULL);
    pthread_mutex_lock(&q->lock);
    result = result ? result : qcow2_settle(q);
    result = result ? result : end_lazy(q);
    result = result ? result : fill_last_cluster(q);
    pthread_mutex_unlock(&q->lock);
    return result;
}

static int qcow2_close(BlockNode *node)
{
    Qcow2 *q = node->state;
    int result = node->flags & BLOCK_WRITE ? finish_writing(q) : 0;

    drop_state(q);
    return result;
}

static int qcow2_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    Qcow2 *q = node->state;

    if (flags & BLOCK_WRITE) {
        node->flags |= BLOCK_WRITE;
        int begun = begin_writing(q, error);
        node->flags &= begun < 0 ? ~(unsigned)BLOCK_WRITE : ~0u;
        return begun;
    }
    int result = finish_writing(q);
    return result < 0 ? block_error(error, -result, "cannot write '%s': %s", node->filename,
                                    strerror(-result))
                      : 0;
}

static int qcow2_flush(BlockNode *node)
{
    Qcow2 *q = node->state;

    pthread_mutex_lock(&q->lock);
    int result = q->inert ? 0 : qcow2_write_back(q);
    result = result || q->inert ? result : qcow2_release(q);
    pthread_mutex_unlock(&q->lock);
    if (!result && q->external_data) {
        result = block_flush(q->data);
    }
    return result ? result : block_flush(q->file);
}

static void add_bool(json_object *data, const char *key, bool value)
{
    json_object_object_add(data, key, json_object_new_boolean(value));
}

static void add_text(json_object *data, const char *key, const char *value)
{
    json_object_object_add(data, key, json_object_new_string(value));
}

static json_object *bitmap_information(BlockNode *node)
{
    BlockBitmapInfo *list = NULL;
    int count = qcow2_bitmap_list(node, &list, NULL);
    json_object *array = json_object_new_array();

    for (int i = 0; i < count; i++) {
        json_object *bitmap = json_object_new_object(), *flags = json_object_new_array();
        if (list[i].in_use) {
            json_object_array_add(flags, json_object_new_string("in-use"));
        }
        if (list[i].enabled) {
            json_object_array_add(flags, json_object_new_string("auto"));
        }
        json_object_object_add(bitmap, "flags", flags);
        add_text(bitmap, "name", list[i].name);
        json_object_object_add(bitmap, "granularity", json_object_new_int64(list[i].granularity));
        json_object_array_add(array, bitmap);
    }
    free(list);
    return array;
}

static json_object *specific_information(BlockNode *node)
{
    const Qcow2 *q = node->state;
    const Qcow2Header *h = &q->header;
    json_object *specific = json_object_new_object(), *data = json_object_new_object();

    add_text(specific, "type", "qcow2");
    json_object_object_add(specific, "data", data);
    add_text(data, "compat", h->version == 2 ? "0.10" : "1.1");
    add_text(data, "compression-type", h->compression == QCOW2_ZSTD ? "zstd" : "zlib");
    if (h->version == 3) {
        add_bool(data, "lazy-refcounts", h->compatible & QCOW2_COMPATIBLE_LAZY_REFCOUNTS);
    }
    if (q->bitmap_count) {
        json_object_object_add(data, "bitmaps", bitmap_information(node));
    }
    json_object_object_add(data, "refcount-bits", json_object_new_int64(q->refcount_bits));
    if (h->data_file) {
        add_text(data, "data-file", h->data_file);
    }
    qcow2_crypt_information(q, data);
    if (q->external_data) {
        add_bool(data, "data-file-raw", q->raw_data);
    }
    if (h->version == 3) {
        add_bool(data, "corrupt", h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT);
        add_bool(data, "extended-l2", q->subclusters > 1);
    }
    return specific;
}

static int qcow2_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    const Qcow2 *q = node->state;

    (void)error;
    info->cluster_size = q->cluster_size;
    info->encrypted = q->header.crypt != QCOW2_CRYPT_NONE;
    info->dirty = q->header.incompatible & QCOW2_INCOMPATIBLE_DIRTY;
    info->corrupt = q->header.incompatible & QCOW2_INCOMPATIBLE_CORRUPT;
    info->compressed = q->header.compression == QCOW2_ZSTD ? "zstd" : "zlib";
    info->vmstate_offset = qcow2_vmstate_offset(q);
    info->specific = specific_information(node);
    return 0;
}

const BlockDriver block_driver_qcow2 = {
    .name = "qcow2",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_HAS_BACKING | BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Qcow2),
    .probe = qcow2_probe,
    .open_options = open_options,
    .create_options = qcow2_create_options,
    .amend_options = qcow2_amend_options,
    .open = qcow2_open,
    .close = qcow2_close,
    .reopen = qcow2_reopen,
    .create = qcow2_create,
    .read = qcow2_read,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .direct = qcow2_direct,
    .map = qcow2_map,
    .truncate = qcow2_truncate,
    .info = qcow2_info,
    .check = qcow2_check,
    .change_backing = qcow2_change_backing,
    .make_empty = qcow2_make_empty,
    .amend = qcow2_amend,
    .measure = qcow2_measure,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .snapshot_load = qcow2_snapshot_load,
    .vmstate_read = qcow2_vmstate_read,
    .vmstate_write = qcow2_vmstate_write,
    .bitmap_list = qcow2_bitmap_list,
    .bitmap_add = qcow2_bitmap_add,
    .bitmap_remove = qcow2_bitmap_remove,
    .bitmap_clear = qcow2_bitmap_clear,
    .bitmap_enable = qcow2_bitmap_enable,
    .bitmap_map = qcow2_bitmap_map,
    .bitmap_mark = qcow2_bitmap_mark,
};
