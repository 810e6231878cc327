/* How large a qcow2 image gets: the same sums as for laying one out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

typedef struct Shape {
    u64 cluster;
    u32 entry_bytes;
    u32 refcount_order;
} Shape;

/* Bytes of refcount blocks and table for so many clusters, themselves included. */
static u64 refcount_bytes(const Shape *s, u64 clusters)
{
    u64 per_block = s->cluster * 8 >> s->refcount_order, per_table = s->cluster / 8;
    u64 blocks = 0, table = 0, all = clusters, last;

    do {
        last = all;
        blocks = (clusters + table + blocks + per_block - 1) / per_block;
        table = (blocks + per_table - 1) / per_table;
        all = clusters + blocks + table;
    } while (all != last);
    return (blocks + table) * s->cluster;
}

/* Bytes of an image that holds the whole disk. */
static u64 full_bytes(const Shape *s, u64 size)
{
    u64 aligned = ALIGN_UP(size, s->cluster);
    u64 entries = ALIGN_UP(aligned / s->cluster, s->cluster / s->entry_bytes);
    u64 tables = entries * s->entry_bytes;
    u64 l1 = ALIGN_UP(tables / s->cluster, s->cluster / 8) * 8;
    u64 meta = s->cluster + tables + l1;

    return meta + refcount_bytes(s, (meta + aligned) / s->cluster) + aligned;
}

/* Bytes of clusters that the source holds data for. */
static int data_bytes(const Shape *s, BlockNode *source, u64 *bytes)
{
    u64 size = block_size(source), counted = 0;

    *bytes = 0;
    for (u64 offset = 0; offset < size;) {
        BlockExtent extent;
        int result = block_map_chain(source, NULL, offset, size - offset, &extent);
        if (result < 0) {
            return result;
        }
        u64 end = offset + extent.bytes;
        if (!(extent.flags & BLOCK_ZERO) && (extent.flags & BLOCK_DATA)) {
            u64 from = MAX(ALIGN_DOWN(offset, s->cluster), counted);
            counted = MAX(counted, ALIGN_UP(end, s->cluster));
            *bytes += counted > from ? counted - from : 0;
        }
        offset = end;
    }
    return 0;
}

static u64 bitmap_bytes(const Shape *s, BlockNode *source, bool *has)
{
    BlockBitmapInfo *list = NULL;
    int count = block_bitmap_list(source, &list, NULL);
    u64 bytes = 0, directory = 0;

    for (int i = 0; i < count; i++) {
        if (list[i].in_use) {
            continue;
        }
        u64 bits = (block_size(source) + list[i].granularity - 1) / list[i].granularity;
        u64 contents = ALIGN_UP((bits + 7) / 8, s->cluster);
        bytes += contents + ALIGN_UP(contents / s->cluster * 8, s->cluster);
        directory += ALIGN_UP(24 + strlen(list[i].name), (size_t)8);
    }
    *has = count >= 0;
    free(list);
    return bytes + ALIGN_UP(directory, s->cluster);
}

int qcow2_measure(const BlockOptions *options, BlockNode *source, BlockMeasure *measure,
                  BlockError *error)
{
    const BlockOption *table = qcow2_create_options;
    const char *word = block_option_string(options, table, "preallocation");
    const char *compat = block_option_string(options, table, "compat");
    u64 width = block_option_number(options, table, "refcount_bits"), size, data = 0;
    Qcow2Header header = {0};
    LuksWish luks;
    Shape s = {.cluster = block_option_number(options, table, "cluster_size"),
               .entry_bytes = block_option_bool(options, table, "extended_l2") ? 16 : 8};
    BlockPrealloc mode;

    if (s.cluster < 512 || s.cluster > 2 << 20 || (s.cluster & (s.cluster - 1))) {
        return block_error(error, EINVAL,
                           "Cluster size must be a power of two between 512 and 2048k");
    }
    if (!width || width > 64 || (width & (width - 1))) {
        return block_error(error, EINVAL,
                           "Refcount width must be a power of two and may not exceed 64 bits");
    }
    if (!block_prealloc_parse(word, &mode)) {
        return block_error(error, EINVAL, "unknown preallocation mode '%s'", word);
    }
    int result = qcow2_crypt_wish(options, &header, &luks, error);
    if (result < 0) {
        return result;
    }
    s.refcount_order = (u32)__builtin_ctzll(width);
    size = source ? block_size(source) : block_option_number(options, table, "size");
    size = ALIGN_UP(size, (u64)512);
    if (full_bytes(&s, size) > INT64_MAX || size > INT64_MAX / 2) {
        return block_error(error, EFBIG, "the image would be too large");
    }
    bool full = mode == BLOCK_PREALLOC_FULL || mode == BLOCK_PREALLOC_FALLOC;
    result = full ? 0 : source ? data_bytes(&s, source, &data) : 0;
    if (result < 0) {
        return block_error(error, -result, "cannot read '%s': %s", block_filename(source),
                           strerror(-result));
    }
    data = full ? ALIGN_UP(size, s.cluster) : data;
    u64 luks_bytes = ALIGN_UP(header.luks_bytes, s.cluster);
    measure->fully_allocated = full_bytes(&s, size) + luks_bytes;
    measure->required = measure->fully_allocated - ALIGN_UP(size, s.cluster) + data;
    if (source && strcmp(compat, "0.10") && strcmp(compat, "v2")) {
        measure->bitmaps = bitmap_bytes(&s, source, &measure->has_bitmaps);
    }
    return 0;
}
