/* New qcow2 images, and how large one gets.
 *
 * A new image is laid out in order: header, refcount table, refcount blocks, L1 table. Everything
 * else is done by opening it and working on it as on any image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "block/qcow2.h"

#define SIZE_OPTION                                                                                \
    {                                                                                              \
        "size", BLOCK_OPTION_SIZE, "Virtual disk size"                                             \
    }

const BlockOption qcow2_create_options[] = {
    SIZE_OPTION,
    {"compat", BLOCK_OPTION_STRING, "Compatibility level (v2 [0.10] or v3 [1.1])", "1.1"},
    {"backing_file", BLOCK_OPTION_STRING, "File name of a base image"},
    {"backing_fmt", BLOCK_OPTION_STRING, "Image format of the base image"},
    {"data_file", BLOCK_OPTION_STRING, "File name of an external data file"},
    {"data_file_raw", BLOCK_OPTION_BOOL, "The external data file must stay valid as a raw image",
     "off"},
    {"cluster_size", BLOCK_OPTION_SIZE, "qcow2 cluster size", "65536"},
    {"extended_l2", BLOCK_OPTION_BOOL, "Extended L2 tables", "off"},
    {"preallocation", BLOCK_OPTION_STRING,
     "Preallocation mode (allowed values: off, metadata, falloc, full)", "off"},
    {"lazy_refcounts", BLOCK_OPTION_BOOL, "Postpone refcount updates", "off"},
    {"refcount_bits", BLOCK_OPTION_NUMBER, "Width of a reference count entry in bits", "16"},
    {"compression_type", BLOCK_OPTION_STRING,
     "Compression method used for image cluster compression", "zlib"},
    {"encryption", BLOCK_OPTION_BOOL,
     "Encrypt the image with format 'aes' (deprecated: say encrypt.format=aes)", "off"},
    {"encrypt.format", BLOCK_OPTION_STRING, "Encrypt the image; luks or aes (legacy, weak)"},
    LUKS_CREATE_OPTIONS("encrypt."),
    {"nocow", BLOCK_OPTION_BOOL, "Turn off copy-on-write (valid only on btrfs)", "off"},
    {NULL},
};

/* What the options come to, checked. */
typedef struct Wish {
    Qcow2Header header;
    BlockPrealloc preallocation;
    bool has_size;
    LuksWish luks;
} Wish;

static bool parse_version(const char *word, u32 *version)
{
    if (!strcmp(word, "0.10") || !strcmp(word, "v2")) {
        *version = 2;
    } else if (!strcmp(word, "1.1") || !strcmp(word, "v3")) {
        *version = 3;
    } else {
        return false;
    }
    return true;
}

static int power_of_two(u64 value)
{
    return value && !(value & (value - 1)) ? __builtin_ctzll(value) : -1;
}

static int wish_numbers(const BlockOptions *options, Wish *w, BlockError *error)
{
    const BlockOption *table = qcow2_create_options;
    Qcow2Header *h = &w->header;
    const char *word = block_option_string(options, table, "compat");

    if (!parse_version(word, &h->version)) {
        return block_error(error, EINVAL, "compat is 0.10 or 1.1, not '%s'", word);
    }
    int bits = power_of_two(block_option_number(options, table, "cluster_size"));
    if (bits < QCOW2_MIN_CLUSTER_BITS || bits > QCOW2_MAX_CLUSTER_BITS) {
        return block_error(error, EINVAL,
                           "Cluster size must be a power of two between 512 and 2048k");
    }
    h->cluster_bits = (u32)bits;
    int order = power_of_two(block_option_number(options, table, "refcount_bits"));
    if (order < 0 || order > 6) {
        return block_error(error, EINVAL,
                           "Refcount width must be a power of two and may not exceed 64 bits");
    }
    h->refcount_order = (u32)order;
    word = block_option_string(options, table, "compression_type");
    if (!strcmp(word, "zstd")) {
        h->compression = QCOW2_ZSTD;
        h->incompatible |= QCOW2_INCOMPATIBLE_COMPRESSION;
    } else if (strcmp(word, "zlib")) {
        return block_error(error, EINVAL, "compression_type is zlib or zstd, not '%s'", word);
    }
    if (block_option_bool(options, table, "extended_l2")) {
        if (bits < 14) {
            return block_error(error, EINVAL,
                               "Extended L2 entries are only supported with cluster "
                               "sizes of at least 16384 bytes");
        }
        h->incompatible |= QCOW2_INCOMPATIBLE_EXTENDED_L2;
    }
    if (block_option_bool(options, table, "lazy_refcounts")) {
        h->compatible |= QCOW2_COMPATIBLE_LAZY_REFCOUNTS;
    }
    return 0;
}

static int wish_names(const BlockOptions *options, Wish *w, BlockError *error)
{
    const BlockOption *table = qcow2_create_options;
    Qcow2Header *h = &w->header;
    const char *backing = block_options_get(options, "backing_file");
    const char *format = block_options_get(options, "backing_fmt");
    const char *data = block_options_get(options, "data_file");
    bool raw = block_option_bool(options, table, "data_file_raw");

    if (raw && !data) {
        return block_error(error, EINVAL, "data_file_raw needs a data_file");
    }
    if (raw && h->crypt != QCOW2_CRYPT_NONE) {
        return block_error(error, EINVAL, "a raw data file cannot be encrypted");
    }
    if (raw && backing && *backing) {
        return block_error(error, EINVAL, "a raw data file and a backing file exclude each other");
    }
    if (format && !block_driver_find(format)) {
        return block_error(error, EINVAL, "unknown backing format '%s'", format);
    }
    h->backing_name = backing && *backing ? strdup(backing) : NULL;
    h->backing_format = format && h->backing_name ? strdup(format) : NULL;
    if (data) {
        h->data_file = strdup(data);
        h->incompatible |= QCOW2_INCOMPATIBLE_DATA_FILE;
        h->autoclear |= raw ? QCOW2_AUTOCLEAR_DATA_FILE_RAW : 0;
    }
    return 0;
}

static int make_wish(const BlockOptions *options, Wish *w, BlockError *error)
{
    const char *word = block_option_string(options, qcow2_create_options, "preallocation");
    Qcow2Header *h = &w->header;

    *w = (Wish){.has_size = block_options_get(options, "size")};
    h->size = ALIGN_UP(block_option_number(options, qcow2_create_options, "size"), (u64)512);
    int result = wish_numbers(options, w, error);
    result = result ? result : qcow2_crypt_wish(options, h, &w->luks, error);
    result = result ? result : wish_names(options, w, error);
    if (!result && !block_prealloc_parse(word, &w->preallocation)) {
        result = block_error(error, EINVAL, "unknown preallocation mode '%s'", word);
    }
    if (!result && h->version < 3 && (h->incompatible || h->compatible || h->refcount_order != 4)) {
        result = block_error(error, EINVAL,
                             "these options need compat=1.1: cluster features, lazy "
                             "refcounts, refcounts of other than 16 bits");
    }
    if (!result && w->preallocation != BLOCK_PREALLOC_OFF && h->backing_name &&
        !(h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2)) {
        result = block_error(error, EINVAL,
                             "Backing file and preallocation can only be used at the "
                             "same time if extended_l2 is enabled");
    }
    if (result < 0) {
        qcow2_header_free(h);
    }
    return result;
}

/* Bytes of an L1 table for that size; at least a cluster, as others do. */
static u64 l1_bytes(const Qcow2Header *h)
{
    u32 entry_bits = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? 4 : 3;
    u64 covers = 1ull << (2 * h->cluster_bits - entry_bits);

    return (h->size / covers + (h->size % covers != 0)) * 8;
}

/* Writes header, tables and counts of an empty image, and leaves room for a LUKS header. */
static int lay_out(BlockNode *file, Qcow2Header *h, BlockError *error)
{
    u64 cluster = 1ull << h->cluster_bits;
    u64 l1_clusters = MAX((l1_bytes(h) + cluster - 1) >> h->cluster_bits, 1ull);
    u64 luks_clusters = ALIGN_UP(h->luks_bytes, cluster) >> h->cluster_bits;
    u64 behind = l1_clusters + luks_clusters;
    u64 per_block = cluster * 8 >> h->refcount_order;
    u64 blocks = 1;

    if (l1_bytes(h) > QCOW2_MAX_L1_BYTES) {
        return block_error(error, EFBIG, "the disk is too large for this cluster size");
    }
    u64 table_clusters = 1;
    while (blocks * per_block < 1 + table_clusters + blocks + behind) {
        blocks++;
        table_clusters = (blocks * 8 + cluster - 1) >> h->cluster_bits;
    }
    u64 used = 1 + table_clusters + blocks + behind;
    u8 *area = calloc(used, cluster);
    if (!area) {
        return block_error(error, ENOMEM, "out of memory");
    }
    Qcow2 counting = {.header = *h, .refcount_bits = 1u << h->refcount_order, .refcount_max = 1};
    h->reftable_offset = cluster;
    h->reftable_clusters = (u32)table_clusters;
    h->l1_offset = (used - behind) << h->cluster_bits;
    h->luks_offset = luks_clusters ? (used - luks_clusters) << h->cluster_bits : 0;
    h->l1_entries = (u32)(l1_bytes(h) / 8);
    for (u64 i = 0; i < blocks; i++) {
        u64 at = (1 + table_clusters + i) << h->cluster_bits;
        be64_put(area + cluster + i * 8, at);
        for (u64 j = 0; j < per_block && i * per_block + j < used; j++) {
            qcow2_refcount_encode(&counting, area + at, j, 1);
        }
    }
    int result = block_pwrite(file, cluster, area + cluster, (used - 1) << h->cluster_bits, 0);
    free(area);
    return result ? block_error(error, -result, "cannot write the image: %s", strerror(-result))
                  : qcow2_header_write(file, h, error);
}

/* The size of the backing file, for an image whose size was not given. */
static int size_of_backing(const char *filename, Wish *w, BlockError *error)
{
    BlockNode *backing;
    BlockOptions *options = block_options_new();
    char *path = block_path_beside(filename, w->header.backing_name);

    block_options_set(options, "driver", w->header.backing_format);
    int result = block_open(&backing, path, options, BLOCK_NO_IO | BLOCK_SHARE, error);
    if (!result) {
        w->header.size = block_size(backing);
        block_close(backing);
    }
    block_options_free(options);
    free(path);
    return result;
}

static int make_data_file(const char *filename, const Wish *w, const BlockOptions *options,
                          BlockError *error)
{
    BlockNode *data;
    char *path = block_path_beside(filename, w->header.data_file);
    int result = block_create_file(&data, path, options, error);

    if (!result) {
        result = block_truncate(data, w->header.size, BLOCK_PREALLOC_OFF, error);
        block_close(data);
    }
    free(path);
    return result;
}

/* Opens the new image and maps everything. A raw data file has to be mapped at any rate. */
static int preallocate(BlockNode *file, const Wish *w, BlockError *error)
{
    BlockPrealloc mode = w->preallocation;
    BlockNode *node;

    if (mode == BLOCK_PREALLOC_OFF && (w->header.autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW)) {
        mode = BLOCK_PREALLOC_METADATA;
    }
    if (mode == BLOCK_PREALLOC_OFF) {
        return 0;
    }
    unsigned flags = BLOCK_WRITE | (w->header.crypt != QCOW2_CRYPT_NONE ? BLOCK_NO_IO : 0);
    int result = block_open_over(&node, &block_driver_qcow2, file, NULL, flags, error);
    if (!result) {
        result = qcow2_preallocate(node->state, 0, node->size, mode, error);
        int closed = block_close(node);
        result = result || !closed ? result
                                   : block_error(error, -closed, "cannot write '%s': %s",
                                                 file->filename, strerror(-closed));
    }
    return result;
}

int qcow2_create(BlockNode *file, const char *filename, const BlockOptions *options,
                 BlockError *error)
{
    Wish w;
    int result = make_wish(options, &w, error);

    if (result < 0) {
        return result;
    }
    if (!w.has_size && w.header.backing_name) {
        result = size_of_backing(filename, &w, error);
    } else if (!w.has_size) {
        result = block_error(error, EINVAL, "the size of the image is not given");
    }
    result = result ? result : lay_out(file, &w.header, error);
    result = result ? result : qcow2_crypt_create(file, &w.header, options, error);
    if (!result && w.header.data_file) {
        result = make_data_file(filename, &w, options, error);
    }
    result = result ? result : preallocate(file, &w, error);
    qcow2_header_free(&w.header);
    return result;
}
