/* Sparse extents of VMDK disks: hosted ("KDMV") with their two copies of the tables,
 * stream-optimised with compressed grains, and the older "COWD" of ESX. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/vmdk.h"

/* Offsets of header fields of hosted extents. */
enum {
    MAGIC = 0,
    VERSION = 4,
    FLAGS = 8,
    CAPACITY = 12,
    GRAIN = 20,
    DESCRIPTOR = 28,
    DESCRIPTOR_SIZE = 36,
    TABLE_ENTRIES = 44,
    REDUNDANT = 48,
    DIRECTORY = 56,
    OVERHEAD = 64,
    NEWLINES = 73,
    COMPRESSION = 77,
    HEADER_BYTES = 512,
};

/* Of COWD extents. */
enum {
    COWD_SECTORS = 12,
    COWD_GRAIN = 16,
    COWD_DIRECTORY = 20,
    COWD_ENTRIES = 24,
    COWD_TABLE = 4096
};

enum {
    FLAG_NEWLINES = 1 << 0,
    FLAG_REDUNDANT = 1 << 1,
    FLAG_ZERO_GRAIN = 1 << 2,
    FLAG_COMPRESSED = 1 << 16,
    FLAG_MARKERS = 1 << 17,
    COMPRESSION_DEFLATE = 1,
    NEW_GRAIN = 128, /* sectors */
    NEW_ENTRIES = 512,
    NEW_DESCRIPTOR = 20, /* sectors */
    MARKER_BYTES = 12,
    ENTRY_ZERO = 1,
    DIRECTORY_MAX = 512 << 20,
};

#define DIRECTORY_AT_END (~(u64)0)

static const u8 newlines[] = "\n \r\n";

/* -- Tables */

static bool has_table(const BlockTree *tree, u32 index)
{
    return ((const VmdkExtent *)tree)->directory[index];
}

static int load(BlockNode *node, BlockTree *tree, u32 index, u64 *entries)
{
    VmdkExtent *e = (VmdkExtent *)tree;
    u32 *raw = malloc((size_t)tree->entries * 4);
    int result = raw ? block_read_exact(e->file, (u64)e->directory[index] * VMDK_SECTOR, raw,
                                        (size_t)tree->entries * 4)
                     : -ENOMEM;

    (void)node;
    for (u32 n = 0; n < tree->entries && result >= 0; n++) {
        u32 value = le32_get(&raw[n]);
        entries[n] = value == 0                              ? TREE_NOWHERE
                     : value == ENTRY_ZERO && e->zero_grains ? TREE_ZERO
                                                             : (u64)value * VMDK_SECTOR;
        if (e->compressed && entries[n] < TREE_ZERO) {
            entries[n] |= TREE_COMPRESSED;
        }
    }
    free(raw);
    return result;
}

/* Both copies of a new table and of its entry in the directory. */
static int new_table(BlockNode *node, BlockTree *tree, u32 index)
{
    (void)node, (void)tree, (void)index;
    return -ENOTSUP; /* images are made with all tables in place */
}

static int store(BlockNode *node, BlockTree *tree, u32 index, u32 entry, u64 place)
{
    VmdkExtent *e = (VmdkExtent *)tree;
    u8 value[4];
    int result;

    (void)node;
    le32_put(value, (u32)((place & ~TREE_COMPRESSED) / VMDK_SECTOR));
    result = block_pwrite(e->file, (u64)e->directory[index] * VMDK_SECTOR + 4 * (u64)entry, value,
                          sizeof value, 0);
    if (result >= 0 && e->redundant && e->redundant[index]) {
        result = block_pwrite(e->file, (u64)e->redundant[index] * VMDK_SECTOR + 4 * (u64)entry,
                              value, sizeof value, 0);
    }
    return result;
}

static int decompress(BlockNode *node, BlockTree *tree, u64 entry, u8 *out)
{
    VmdkExtent *e = (VmdkExtent *)tree;
    size_t bytes = (size_t)tree->cluster_size * 2, head = e->markers ? MARKER_BYTES : 0;
    u8 marker[MARKER_BYTES], *stream;
    int result = 0;

    (void)node;
    if (e->markers) {
        result = block_read_exact(e->file, entry, marker, sizeof marker);
        bytes = le32_get(marker + 8);
        if (result < 0 || bytes == 0 || bytes > (size_t)tree->cluster_size * 2) {
            return -EINVAL;
        }
    }
    bytes = MIN(bytes, block_size(e->file) - MIN(entry + head, block_size(e->file)));
    stream = malloc(MAX(bytes, (size_t)1));
    result = stream ? block_read_exact(e->file, entry + head, stream, bytes) : -ENOMEM;
    if (result >= 0) {
        result = block_inflate(stream, bytes, out, tree->cluster_size, true);
    }
    free(stream);
    return result;
}

static const TreeFormat vmdk_tables = {.load = load,
                                       .has_table = has_table,
                                       .new_table = new_table,
                                       .store = store,
                                       .decompress = decompress};

/* -- Opening */

static int load_directory(VmdkExtent *e, u64 sector, u32 count, u32 **directory, BlockError *error)
{
    int result;

    if ((u64)count * 4 > DIRECTORY_MAX || sector > INT64_MAX / VMDK_SECTOR) {
        return block_error(error, EFBIG, "the VMDK grain directory is too large");
    }
    *directory = malloc(MAX((size_t)count, (size_t)1) * 4);
    result = *directory
                 ? block_read_exact(e->file, sector * VMDK_SECTOR, *directory, (size_t)count * 4)
                 : -ENOMEM;
    for (u32 n = 0; n < count && result >= 0; n++) {
        (*directory)[n] = le32_get(&(*directory)[n]);
    }
    return result < 0 ? block_error(error, -result, "cannot read the VMDK grain directory: %s",
                                    strerror(-result))
                      : 0;
}

static int begin_tree(VmdkExtent *e, u64 grain, u64 entries, u64 directory, u64 redundant,
                      BlockError *error)
{
    u64 count;
    int result;

    if (grain == 0 || grain > 1 << 17 || grain & (grain - 1) || entries == 0 || entries > 1 << 16) {
        return block_error(error, EINVAL, "VMDK grain or table size out of range");
    }
    count = (e->size + grain * VMDK_SECTOR * entries - 1) / (grain * VMDK_SECTOR * entries);
    if (count > UINT32_MAX / 4) {
        return block_error(error, EFBIG, "the VMDK grain directory is too large");
    }
    result = load_directory(e, directory, (u32)count, &e->directory, error);
    if (result >= 0 && redundant) {
        result = load_directory(e, redundant, (u32)count, &e->redundant, error);
    }
    if (result < 0) {
        free(e->directory);
        free(e->redundant);
        e->directory = e->redundant = NULL;
        return result;
    }
    block_tree_init(&e->tree, &vmdk_tables, e->file, (u32)grain * VMDK_SECTOR, (u32)entries,
                    (u32)count);
    e->tree.end = ALIGN_UP(block_size(e->file), (u64)VMDK_SECTOR);
    return 0;
}

static int open_hosted(VmdkExtent *e, u8 *h, BlockError *error)
{
    u32 flags, version;

    if (le64_get(h + DIRECTORY) == DIRECTORY_AT_END) {
        /* The footer is the last sector but one, and has the header with the right places. */
        u64 size = block_size(e->file);
        if (size < 3 * VMDK_SECTOR ||
            block_read_exact(e->file, size - 2 * VMDK_SECTOR, h, HEADER_BYTES) < 0 ||
            memcmp(h, "KDMV", 4) != 0) {
            return block_error(error, EINVAL, "the stream-optimised VMDK image has no footer");
        }
    }
    version = le32_get(h + VERSION);
    flags = le32_get(h + FLAGS);
    if (version < 1 || version > 3) {
        return block_error(error, ENOTSUP, "VMDK version %u is not supported", version);
    }
    if (le64_get(h + CAPACITY) > INT64_MAX / VMDK_SECTOR) {
        return block_error(error, EFBIG, "the VMDK extent is too large");
    }
    if (flags & FLAG_COMPRESSED &&
        (h[COMPRESSION] | h[COMPRESSION + 1] << 8) != COMPRESSION_DEFLATE) {
        return block_error(error, ENOTSUP, "the VMDK extent is compressed in an unknown way");
    }
    e->size = le64_get(h + CAPACITY) * VMDK_SECTOR;
    e->compressed = flags & FLAG_COMPRESSED;
    e->markers = flags & FLAG_MARKERS;
    e->zero_grains = flags & FLAG_ZERO_GRAIN;
    e->descriptor_offset = le64_get(h + DESCRIPTOR) * VMDK_SECTOR;
    e->descriptor_size = le64_get(h + DESCRIPTOR_SIZE) * VMDK_SECTOR;
    return begin_tree(e, le64_get(h + GRAIN), le32_get(h + TABLE_ENTRIES), le64_get(h + DIRECTORY),
                      flags & FLAG_REDUNDANT ? le64_get(h + REDUNDANT) : 0, error);
}

int vmdk_open_sparse(BlockNode *node, VmdkExtent *e, BlockError *error)
{
    u8 h[HEADER_BYTES];
    int result = block_read_exact(e->file, 0, h, sizeof h);

    (void)node;
    e->kind = VMDK_SPARSE;
    if (result >= 0 && !memcmp(h, "KDMV", 4)) {
        return open_hosted(e, h, error);
    }
    if (result >= 0 && !memcmp(h, "COWD", 4)) {
        e->size = (u64)le32_get(h + COWD_SECTORS) * VMDK_SECTOR;
        return begin_tree(e, le32_get(h + COWD_GRAIN), COWD_TABLE, le32_get(h + COWD_DIRECTORY), 0,
                          error);
    }
    return block_error(error, EINVAL, "'%s' is no sparse VMDK extent", block_filename(e->file));
}

void vmdk_close_extent(VmdkExtent *e)
{
    if (e->directory) {
        block_tree_free(&e->tree);
        free(e->directory);
        free(e->redundant);
        e->directory = e->redundant = NULL;
    }
}

/* -- Compressed grains */

int vmdk_write_compressed(BlockNode *node, VmdkExtent *e, u64 offset, const BlockVector *data)
{
    u32 size = e->tree.cluster_size;
    size_t head = e->markers ? MARKER_BYTES : 0, room = (size_t)size * 2;
    u8 *grain = calloc(1, size + head + room + VMDK_SECTOR), *stream = grain ? grain + size : NULL;
    int made, result;

    if (!grain) {
        return -ENOMEM;
    }
    block_vector_load(data, grain, data->bytes);
    made = block_deflate(grain, size, stream + head, room, true);
    result = made;
    if (made >= 0) {
        if (e->markers) {
            le64_put(stream, offset / VMDK_SECTOR);
            le32_put(stream + 8, (u32)made);
        }
        result = block_tree_put(node, &e->tree, offset, TREE_COMPRESSED, stream,
                                ALIGN_UP(head + (size_t)made, (size_t)VMDK_SECTOR));
    }
    free(grain);
    return result == -EEXIST ? -EIO : result;
}

/* -- Creating */

/* Where things go in a new extent, in sectors. */
typedef struct Layout {
    u64 tables, directory_sectors, redundant, directory, data;
} Layout;

static Layout lay_out(u64 size, bool descriptor)
{
    u64 grains = (size / VMDK_SECTOR + NEW_GRAIN - 1) / NEW_GRAIN;
    u64 tables = (grains + NEW_ENTRIES - 1) / NEW_ENTRIES;
    u64 table_sectors = tables * NEW_ENTRIES * 4 / VMDK_SECTOR;
    Layout l = {.tables = tables,
                .directory_sectors = (tables * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR,
                .redundant = 1 + (descriptor ? NEW_DESCRIPTOR : 0)};

    l.directory = l.redundant + l.directory_sectors + table_sectors;
    l.data = ALIGN_UP(l.directory + l.directory_sectors + table_sectors, (u64)NEW_GRAIN);
    return l;
}

/* A directory whose tables follow it, all empty. */
static int write_directory(BlockNode *file, const Layout *l, u64 at)
{
    u32 *directory = calloc(l->directory_sectors, VMDK_SECTOR);
    int result;

    if (!directory) {
        return -ENOMEM;
    }
    for (u64 n = 0; n < l->tables; n++) {
        le32_put(&directory[n],
                 (u32)(at + l->directory_sectors + n * NEW_ENTRIES * 4 / VMDK_SECTOR));
    }
    result = block_pwrite(file, at * VMDK_SECTOR, directory, l->directory_sectors * VMDK_SECTOR, 0);
    free(directory);
    return result;
}

int vmdk_create_sparse(BlockNode *file, u64 size, bool compressed, bool zero_grains,
                       const char *descriptor, BlockError *error)
{
    Layout l = lay_out(size, descriptor);
    u32 flags = FLAG_NEWLINES | FLAG_REDUNDANT | (zero_grains ? FLAG_ZERO_GRAIN : 0) |
                (compressed ? FLAG_COMPRESSED | FLAG_MARKERS : 0);
    u8 h[HEADER_BYTES] = "KDMV";
    int result;

    le32_put(h + VERSION, compressed ? 3 : zero_grains ? 2 : 1);
    le32_put(h + FLAGS, flags);
    le64_put(h + CAPACITY, size / VMDK_SECTOR);
    le64_put(h + GRAIN, NEW_GRAIN);
    le64_put(h + DESCRIPTOR, descriptor ? 1 : 0);
    le64_put(h + DESCRIPTOR_SIZE, descriptor ? NEW_DESCRIPTOR : 0);
    le32_put(h + TABLE_ENTRIES, NEW_ENTRIES);
    le64_put(h + REDUNDANT, l.redundant);
    le64_put(h + DIRECTORY, l.directory);
    le64_put(h + OVERHEAD, l.data);
    memcpy(h + NEWLINES, newlines, 4);
    h[COMPRESSION] = compressed ? COMPRESSION_DEFLATE : 0;
    if (descriptor && strlen(descriptor) > NEW_DESCRIPTOR * VMDK_SECTOR) {
        return block_error(error, EINVAL, "the VMDK descriptor is too long");
    }
    if (l.data + size / VMDK_SECTOR > UINT32_MAX) {
        return block_error(error, EFBIG, "a sparse VMDK extent is at most 2 TiB large");
    }
    result = block_truncate(file, l.data * VMDK_SECTOR, BLOCK_PREALLOC_OFF, error);
    if (result < 0) {
        return result;
    }
    result = block_pwrite(file, 0, h, sizeof h, 0);
    if (result >= 0 && descriptor) {
        result = block_pwrite(file, VMDK_SECTOR, descriptor, strlen(descriptor), 0);
    }
    result = result < 0 ? result : write_directory(file, &l, l.redundant);
    result = result < 0 ? result : write_directory(file, &l, l.directory);
    return result < 0 ? block_error(error, -result, "cannot write: %s", strerror(-result)) : 0;
}
