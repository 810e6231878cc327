/* Format "qed": QEMU enhanced disks.
 *
 * Facts: QEMU's docs/interop/qed_spec.txt. Little-endian; a header, a table of the first level, and
 * tables of the second, all of the same size. Writers set "needs check" in the header until the
 * image is closed; places may then have leaked, but no data is wrong, as entries are written
 * after what they point to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "block/tree.h"

/* Offsets of header fields. */
enum {
    MAGIC = 0,
    CLUSTER_SIZE = 4,
    TABLE_SIZE = 8,   /* clusters */
    HEADER_SIZE = 12, /* clusters */
    FEATURES = 16,
    COMPATIBLE_FEATURES = 24,
    AUTOCLEAR_FEATURES = 32,
    L1_OFFSET = 40,
    IMAGE_SIZE = 48,
    BACKING_OFFSET = 56,
    BACKING_SIZE = 60,
    HEADER_BYTES = 64,
};

enum {
    FEATURE_BACKING = 1,
    FEATURE_NEED_CHECK = 2,
    FEATURE_BACKING_RAW = 4, /* the backing file's format must not be probed */
    FEATURES_KNOWN = 7,
};

enum { SECTOR = 512, ENTRY_ZERO = 1, BACKING_MAX = 1023 };

typedef struct Qed {
    BlockTree tree; /* first: see tree.h */
    u64 features;
    u32 table_bytes;
    u64 *l1; /* byte offsets; 0: none; owned */
    u64 l1_offset;
    bool marked; /* NEED_CHECK was set by us */
} Qed;

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"backing_file", BLOCK_OPTION_STRING, "File name of a base image"},
    {"backing_fmt", BLOCK_OPTION_STRING, "Image format of the base image"},
    {"cluster_size", BLOCK_OPTION_SIZE, "Cluster size (in bytes)", "64K"},
    {"table_size", BLOCK_OPTION_NUMBER, "L1/L2 table size (in clusters)", "4"},
    {NULL},
};

static int qed_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= HEADER_BYTES && !memcmp(head, "QED", 4) ? 100 : 0;
}

/* -- Tables */

static bool has_table(const BlockTree *tree, u32 index)
{
    return ((const Qed *)tree)->l1[index];
}

static int load(BlockNode *node, BlockTree *tree, u32 index, u64 *entries)
{
    Qed *qed = (Qed *)tree;
    int result = block_read_exact(node->file, qed->l1[index], entries, qed->table_bytes);

    for (u32 n = 0; n < qed->tree.entries && result >= 0; n++) {
        u64 value = le64_get(&entries[n]);
        entries[n] = value == 0 ? TREE_NOWHERE : value == ENTRY_ZERO ? TREE_ZERO : value;
        if (value > ENTRY_ZERO && (value % qed->tree.cluster_size || value >= TREE_COMPRESSED)) {
            return -EIO;
        }
    }
    return result;
}

static int mark(BlockNode *node)
{
    Qed *qed = node->state;
    u8 features[8];
    int result;

    if (qed->marked) {
        return 0;
    }
    le64_put(features, qed->features | FEATURE_NEED_CHECK);
    result = block_pwrite(node->file, FEATURES, features, sizeof features, BLOCK_FUA);
    qed->marked = result >= 0;
    return result;
}

static int new_table(BlockNode *node, BlockTree *tree, u32 index)
{
    Qed *qed = (Qed *)tree;
    u64 place = qed->tree.end;
    u8 entry[8];
    int result = mark(node);

    result = result < 0 ? result : block_zero(node->file, place, qed->table_bytes, 0);
    if (result < 0) {
        return result;
    }
    qed->tree.end += qed->table_bytes;
    le64_put(entry, place);
    result = block_pwrite(node->file, qed->l1_offset + 8 * (u64)index, entry, sizeof entry, 0);
    qed->l1[index] = result < 0 ? 0 : place;
    return result;
}

static int store(BlockNode *node, BlockTree *tree, u32 index, u32 entry, u64 place)
{
    Qed *qed = (Qed *)tree;
    u8 value[8];
    int result = mark(node);

    le64_put(value, place);
    return result < 0
               ? result
               : block_pwrite(node->file, qed->l1[index] + 8 * (u64)entry, value, sizeof value, 0);
}

static const TreeFormat qed_tables = {
    .load = load, .has_table = has_table, .new_table = new_table, .store = store};

/* -- Opening */

static int check_header(const u8 *h, u64 file_size, BlockError *error)
{
    u32 cluster = le32_get(h + CLUSTER_SIZE), table = le32_get(h + TABLE_SIZE);
    u64 entries;

    if (memcmp(h + MAGIC, "QED", 4) != 0) {
        return block_error(error, EINVAL, "not a QED image");
    }
    if (le64_get(h + FEATURES) & ~(u64)FEATURES_KNOWN) {
        return block_error(error, ENOTSUP, "the QED image has unknown features (%#llx)",
                           (unsigned long long)le64_get(h + FEATURES));
    }
    if (cluster < 4096 || cluster > 64 << 20 || cluster & (cluster - 1) || table < 1 ||
        table > 16 || table & (table - 1)) {
        return block_error(error, EINVAL, "QED cluster or table size out of range");
    }
    entries = (u64)table * cluster / 8;
    if (le64_get(h + IMAGE_SIZE) % SECTOR ||
        le64_get(h + IMAGE_SIZE) / cluster / entries >= entries) {
        return block_error(error, EINVAL, "QED image size is not possible");
    }
    if (le64_get(h + L1_OFFSET) % cluster || le64_get(h + L1_OFFSET) >= file_size ||
        le32_get(h + HEADER_SIZE) == 0) {
        return block_error(error, EINVAL, "QED first-level table lies beyond the end of the file");
    }
    return 0;
}

static int read_backing_name(BlockNode *node, const u8 *h, BlockError *error)
{
    u32 at = le32_get(h + BACKING_OFFSET), size = le32_get(h + BACKING_SIZE);
    char name[BACKING_MAX + 1] = "";

    if (!(le64_get(h + FEATURES) & FEATURE_BACKING)) {
        return 0;
    }
    if (size > BACKING_MAX ||
        (u64)at + size > (u64)le32_get(h + HEADER_SIZE) * le32_get(h + CLUSTER_SIZE) ||
        block_read_exact(node->file, at, name, size) < 0) {
        return block_error(error, EINVAL, "the QED backing file name is not readable");
    }
    node->backing_filename = strdup(name);
    node->backing_format = le64_get(h + FEATURES) & FEATURE_BACKING_RAW ? strdup("raw") : NULL;
    return 0;
}

static int load_l1(BlockNode *node, Qed *qed, BlockError *error)
{
    int result;

    qed->l1 = malloc(qed->table_bytes);
    result =
        qed->l1 ? block_read_exact(node->file, qed->l1_offset, qed->l1, qed->table_bytes) : -ENOMEM;
    for (u32 n = 0; n < qed->table_bytes / 8 && result >= 0; n++) {
        qed->l1[n] = le64_get(&qed->l1[n]);
        if (qed->l1[n] % qed->tree.cluster_size || qed->l1[n] > INT64_MAX) {
            result = -EINVAL;
        }
    }
    if (result < 0) {
        free(qed->l1);
        return block_error(error, -result, "cannot read the QED first-level table: %s",
                           strerror(-result));
    }
    return 0;
}

static int qed_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Qed *qed = node->state;
    u8 h[HEADER_BYTES];
    u32 cluster;
    int result = block_read_exact(node->file, 0, h, sizeof h);

    (void)options;
    if (result < 0) {
        return block_error(error, -result, "cannot read the QED header");
    }
    result = check_header(h, block_size(node->file), error);
    result = result < 0 ? result : read_backing_name(node, h, error);
    if (result < 0) {
        return result;
    }
    cluster = le32_get(h + CLUSTER_SIZE);
    qed->features = le64_get(h + FEATURES);
    qed->table_bytes = le32_get(h + TABLE_SIZE) * cluster;
    qed->l1_offset = le64_get(h + L1_OFFSET);
    qed->tree.cluster_size = cluster;
    qed->tree.end = ALIGN_UP(block_size(node->file), (u64)cluster);
    node->size = le64_get(h + IMAGE_SIZE);
    result = load_l1(node, qed, error);
    if (result >= 0) {
        block_tree_init(&qed->tree, &qed_tables, node->file, cluster, qed->table_bytes / 8,
                        qed->table_bytes / 8);
    }
    return result;
}

static int qed_close(BlockNode *node)
{
    Qed *qed = node->state;
    u8 features[8];
    int result = 0;

    if (qed->marked) {
        result = block_flush(node->file);
        le64_put(features, qed->features & ~(u64)FEATURE_NEED_CHECK);
        result =
            result < 0 ? result : block_pwrite(node->file, FEATURES, features, sizeof features, 0);
    }
    block_tree_free(&qed->tree);
    free(qed->l1);
    return result;
}

static int qed_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    return block_tree_read(node, node->state, offset, data);
}

static int qed_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    return flags & BLOCK_COMPRESSED ? -ENOTSUP
                                    : block_tree_write(node, node->state, offset, data, flags);
}

static int qed_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    return block_tree_map(node, node->state, offset, bytes, extent);
}

/* -- Creating and changing */

static int write_header(BlockNode *file, const u8 *h, const char *backing)
{
    int result = block_pwrite(file, 0, h, HEADER_BYTES, 0);

    if (result >= 0 && backing) {
        result = block_pwrite(file, HEADER_BYTES, backing, strlen(backing), 0);
    }
    return result;
}

static void put_backing(u8 *h, const char *backing, const char *format)
{
    u64 features = le64_get(h + FEATURES) & ~(u64)(FEATURE_BACKING | FEATURE_BACKING_RAW);

    if (backing) {
        features |= FEATURE_BACKING;
        features |= format && !strcmp(format, "raw") ? FEATURE_BACKING_RAW : 0;
    }
    le64_put(h + FEATURES, features);
    le32_put(h + BACKING_OFFSET, backing ? HEADER_BYTES : 0);
    le32_put(h + BACKING_SIZE, backing ? (u32)strlen(backing) : 0);
}

static int qed_create(BlockNode *file, const char *filename, const BlockOptions *options,
                      BlockError *error)
{
    u64 size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)SECTOR);
    u64 cluster = block_option_number(options, create_options, "cluster_size");
    u64 table = block_option_number(options, create_options, "table_size");
    const char *backing = block_option_string(options, create_options, "backing_file");
    u8 h[HEADER_BYTES] = {0};
    int result;

    (void)filename;
    memcpy(h, "QED", 4);
    le32_put(h + CLUSTER_SIZE, (u32)MIN(cluster, (u64)UINT32_MAX));
    le32_put(h + TABLE_SIZE, (u32)MIN(table, (u64)UINT32_MAX));
    le32_put(h + HEADER_SIZE, 1);
    le64_put(h + L1_OFFSET, cluster);
    le64_put(h + IMAGE_SIZE, size);
    result = check_header(h, UINT64_MAX, error);
    if (result < 0) {
        return result;
    }
    if (backing && strlen(backing) > BACKING_MAX) {
        return block_error(error, EINVAL, "the backing file name is too long");
    }
    put_backing(h, backing, block_option_string(options, create_options, "backing_fmt"));
    result = block_truncate(file, cluster + table * cluster, BLOCK_PREALLOC_OFF, error);
    if (result < 0) {
        return result;
    }
    result = write_header(file, h, backing);
    return result < 0 ? block_error(error, -result, "cannot write: %s", strerror(-result)) : 0;
}

static int qed_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    Qed *qed = node->state;
    u8 value[8];
    int result;

    if (mode != BLOCK_PREALLOC_OFF) {
        return block_error(error, ENOTSUP, "QED images have no preallocation");
    }
    size = ALIGN_UP(size, (u64)SECTOR);
    if (size < node->size) {
        return block_error(error, ENOTSUP, "QED images cannot be made smaller");
    }
    if (size / qed->tree.cluster_size / qed->tree.entries >= qed->tree.tables) {
        return block_error(error, EFBIG, "the size is more than the image's tables can hold");
    }
    le64_put(value, size);
    result = block_pwrite(node->file, IMAGE_SIZE, value, sizeof value, 0);
    if (result < 0) {
        return block_error(error, -result, "cannot write: %s", strerror(-result));
    }
    node->size = size;
    return 0;
}

static int qed_change_backing(BlockNode *node, const char *filename, const char *format,
                              BlockError *error)
{
    Qed *qed = node->state;
    u8 h[HEADER_BYTES];
    int result = block_read_exact(node->file, 0, h, sizeof h);

    if (filename && strlen(filename) > MIN(BACKING_MAX, qed->tree.cluster_size - HEADER_BYTES)) {
        return block_error(error, EINVAL, "the backing file name is too long");
    }
    if (result >= 0) {
        put_backing(h, filename, format);
        qed->features = le64_get(h + FEATURES);
        result = write_header(node->file, h, filename);
    }
    if (result < 0) {
        return block_error(error, -result, "cannot write: %s", strerror(-result));
    }
    free(node->backing_filename);
    free(node->backing_format);
    node->backing_filename = filename ? strdup(filename) : NULL;
    node->backing_format = filename && format ? strdup(format) : NULL;
    return 0;
}

static int qed_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Qed *qed = node->state;

    (void)error;
    info->cluster_size = qed->tree.cluster_size;
    info->dirty = qed->features & FEATURE_NEED_CHECK;
    return 0;
}

/* -- Checking: every cluster used once, inside the file; what nobody uses is a leak */

static int count_use(BlockCheck *check, u8 *used, u64 clusters, u64 first, u64 count)
{
    for (u64 n = first; n < first + count; n++) {
        if (n >= clusters || used[n]) {
            check->corruptions++;
            if (check->report) {
                check->report(check->opaque,
                              n >= clusters ? "ERROR: a cluster lies beyond the end of the file"
                                            : "ERROR: a cluster is used twice");
            }
        } else {
            used[n] = 1;
        }
    }
    return 0;
}

static int count_data(BlockNode *node, BlockCheck *check, u8 *used, u64 clusters)
{
    Qed *qed = node->state;
    u64 step = qed->tree.cluster_size, entry;
    int result = 0;

    for (u64 at = 0; at < node->size && result >= 0; at += step) {
        result = block_tree_find(node, &qed->tree, at, &entry);
        if (result >= 0 && entry < TREE_COMPRESSED) {
            check->allocated_clusters++;
            count_use(check, used, clusters, entry / step, 1);
        }
    }
    return result;
}

static int qed_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error)
{
    Qed *qed = node->state;
    u64 step = qed->tree.cluster_size;
    u64 clusters = (block_size(node->file) + step - 1) / step, per_table = qed->table_bytes / step;
    u8 *used = calloc(clusters, 1);
    int result = used ? 0 : -ENOMEM;

    check->total_clusters = (node->size + step - 1) / step;
    if (result >= 0) {
        count_use(check, used, clusters, 0, qed->l1_offset / step + per_table);
        for (u32 n = 0; n < qed->tree.tables; n++) {
            if (qed->l1[n]) {
                count_use(check, used, clusters, qed->l1[n] / step, per_table);
            }
        }
        result = count_data(node, check, used, clusters);
    }
    for (u64 n = 0; n < clusters && result >= 0; n++) {
        check->leaks += !used[n];
    }
    free(used);
    if (result >= 0 && qed->features & FEATURE_NEED_CHECK && fix && !check->corruptions) {
        qed->marked = true; /* closing writes the header without the mark */
        qed->features &= ~(u64)FEATURE_NEED_CHECK;
    }
    return result < 0 ? block_error(error, -result, "%s", strerror(-result)) : 0;
}

const BlockDriver block_driver_qed = {
    .name = "qed",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_HAS_BACKING | BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Qed),
    .probe = qed_probe,
    .create_options = create_options,
    .open = qed_open,
    .close = qed_close,
    .create = qed_create,
    .read = qed_read,
    .write = qed_write,
    .map = qed_map,
    .truncate = qed_truncate,
    .info = qed_info,
    .check = qed_check,
    .change_backing = qed_change_backing,
};
