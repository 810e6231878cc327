/* qcow2 refcounts: how many references each host cluster has, finding free ones, giving them back.
 *
 * Rises go to the cache at once, falls wait in `pending` until the tables on disk have let go, and
 * in `limbo` until no request can still be using the cluster. So what has refcount 0 in memory is
 * free in every sense. Missing refcount blocks stand for zeroes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum { MOST_PENDING = 4096 }; /* entries of the list of freed clusters */

u64 qcow2_refcount_decode(const Qcow2 *q, const u8 *block, u64 index)
{
    switch (q->header.refcount_order) {
    case 3:
        return block[index];
    case 4:
        return be16_get(block + index * 2);
    case 5:
        return be32_get(block + index * 4);
    case 6:
        return be64_get(block + index * 8);
    default: {
        /* Less than a byte: the first is in the lowest bits. */
        u32 bits = q->refcount_bits, per_byte = 8 / bits;
        return block[index / per_byte] >> (index % per_byte * bits) & ((1u << bits) - 1);
    }
    }
}

void qcow2_refcount_encode(const Qcow2 *q, u8 *block, u64 index, u64 count)
{
    assert(count <= q->refcount_max);
    switch (q->header.refcount_order) {
    case 3:
        block[index] = (u8)count;
        break;
    case 4:
        be16_put(block + index * 2, (u16)count);
        break;
    case 5:
        be32_put(block + index * 4, (u32)count);
        break;
    case 6:
        be64_put(block + index * 8, count);
        break;
    default: {
        u32 bits = q->refcount_bits, per_byte = 8 / bits;
        u32 shift = (u32)(index % per_byte) * bits;
        u8 *byte = &block[index / per_byte];
        *byte = (u8)((*byte & ~(((1u << bits) - 1) << shift)) | (u32)count << shift);
    }
    }
}

int qcow2_reftable_load(Qcow2 *q, BlockError *error)
{
    u64 entries = (u64)q->header.reftable_clusters << (q->header.cluster_bits - 3);
    size_t bytes = entries * 8;

    free(q->reftable);
    q->reftable = malloc(bytes);
    if (!q->reftable) {
        return block_error(error, ENOMEM, "out of memory");
    }
    int result = block_read_exact(q->file, q->header.reftable_offset, q->reftable, bytes);
    if (result < 0) {
        return block_error(error, -result, "cannot read the qcow2 refcount table: %s",
                           strerror(-result));
    }
    q->reftable_entries = (u32)entries;
    q->reftable_used = 0;
    for (u32 i = 0; i < entries; i++) {
        q->reftable[i] = be64_get(&q->reftable[i]);
        q->reftable_used = q->reftable[i] ? i + 1 : q->reftable_used;
    }
    return 0;
}

/* --- Reaching one refcount ---------------------------------------------------------------------
 */

static void mark_reftable(Qcow2 *q, u32 index)
{
    bool none = q->reftable_dirty_from >= q->reftable_dirty_to;

    q->reftable_used = MAX(q->reftable_used, index + 1);
    q->reftable_dirty_from = none ? index : MIN(q->reftable_dirty_from, index);
    q->reftable_dirty_to = none ? index + 1 : MAX(q->reftable_dirty_to, index + 1);
}

/* The slice that holds a cluster's refcount, and the index there. *slice NULL: there is no block.
 */
static int find_refcount(Qcow2 *q, u64 cluster, Qcow2Slice **slice, u64 *index)
{
    u64 block = cluster >> q->block_bits;
    u64 per_slice = (u64)q->refcount_cache.slice_bytes * 8 / q->refcount_bits;
    u64 in_block = cluster & ((1ull << q->block_bits) - 1);

    *slice = NULL;
    *index = in_block % per_slice;
    if (block >= q->reftable_entries || !q->reftable[block]) {
        return 0;
    }
    u64 offset = q->reftable[block];
    if (offset & (q->cluster_size - 1) || offset > INT64_MAX / 2) {
        return qcow2_corrupt(q, "refcount block %llu is at an impossible place, %#llx",
                             (unsigned long long)block, (unsigned long long)offset);
    }
    offset += in_block / per_slice * q->refcount_cache.slice_bytes;
    return qcow2_cache_get(q, &q->refcount_cache, offset, true, slice);
}

int qcow2_refcount_get(Qcow2 *q, u64 cluster, u64 *count)
{
    Qcow2Slice *slice;
    u64 index;
    int result = find_refcount(q, cluster, &slice, &index);

    *count = result < 0 || !slice ? 0 : qcow2_refcount_decode(q, slice->data, index);
    return result;
}

/* --- Growing the structure ---------------------------------------------------------------------
 */

/* A place behind everything: `blocks` refcount blocks that cover it, then `clusters` of contents.
 */
typedef struct NewArea {
    u64 first; /* cluster number: the first of a range without a block, as are all later ones */
    u64 first_block; /* index in the refcount table */
    u64 blocks, clusters;
} NewArea;

static NewArea plan_area(Qcow2 *q, u64 clusters)
{
    NewArea area = {.blocks = 1, .clusters = clusters};
    u64 per_block = 1ull << q->block_bits;
    u64 file_end = ALIGN_UP(block_size(q->file), (u64)q->cluster_size) >> q->header.cluster_bits;

    area.first_block = ALIGN_UP(file_end, per_block) >> q->block_bits;
    area.first_block = MAX(area.first_block, q->reftable_used);
    area.first = area.first_block << q->block_bits;
    while (area.blocks << q->block_bits < area.blocks + clusters) {
        area.blocks++;
    }
    return area;
}

/* Writes the blocks of an area, which count the blocks and the contents once. */
static int write_area_blocks(Qcow2 *q, const NewArea *area)
{
    u8 *block = block_buffer_new(q->cluster_size);
    u64 per_block = 1ull << q->block_bits;
    int result = block ? 0 : -ENOMEM;

    for (u64 i = 0; !result && i < area->blocks; i++) {
        memset(block, 0, q->cluster_size);
        for (u64 j = 0; j < per_block && i * per_block + j < area->blocks + area->clusters; j++) {
            qcow2_refcount_encode(q, block, j, 1);
        }
        u64 offset = (area->first + i) << q->header.cluster_bits;
        qcow2_cache_forget(q, &q->refcount_cache, offset, q->cluster_size);
        result = block_pwrite(q->file, offset, block, q->cluster_size, 0);
    }
    free(block);
    u64 end = (area->first + area->blocks + area->clusters) << q->header.cluster_bits;
    q->virgin = MAX(q->virgin, end);
    return result;
}

static int write_reftable_place(Qcow2 *q, u64 offset, u32 clusters)
{
    u8 place[12];

    be64_put(place, offset);
    be32_put(place + 8, clusters);
    int result = block_flush(q->file);
    result = result ? result : block_pwrite(q->file, 48, place, sizeof place, 0);
    return result ? result : block_flush(q->file);
}

/* The old table, longer, with the blocks of the area: host-endian. */
static u64 *longer_table(const Qcow2 *q, const NewArea *area, u64 entries)
{
    u64 *table = calloc(entries, 8);

    if (table) {
        memcpy(table, q->reftable, q->reftable_entries * 8ull);
        for (u64 i = 0; i < area->blocks; i++) {
            table[area->first_block + i] = (area->first + i) << q->header.cluster_bits;
        }
    }
    return table;
}

static int write_reftable(Qcow2 *q, const u64 *table, u64 entries, u64 offset)
{
    u64 *disk = malloc(entries * 8);
    int result = disk ? 0 : -ENOMEM;

    for (u64 i = 0; disk && i < entries; i++) {
        disk[i] = __builtin_bswap64(table[i]);
    }
    result = result ? result : block_pwrite(q->file, offset, disk, entries * 8, 0);
    free(disk);
    return result;
}

/* Makes the refcount table longer, in a new area. All that it says is on disk before the header
 * names it. The lock is held throughout: it happens rarely. */
static int grow_reftable(Qcow2 *q, u64 wanted)
{
    u32 shift = q->header.cluster_bits;
    u64 per_cluster = q->cluster_size / 8;
    u64 entries = MAX(wanted + 1, (u64)q->reftable_entries + q->reftable_entries / 2 + 1);
    NewArea area;

    if (wanted >= QCOW2_MAX_REFTABLE_BYTES / 8) {
        return -EFBIG; /* a broken image refers to clusters that no file has */
    }
    do {
        area = plan_area(q, (entries + per_cluster - 1) / per_cluster);
        entries = MAX(area.clusters * per_cluster, area.first_block + area.blocks + 1);
    } while (entries > area.clusters * per_cluster);
    if (area.clusters << shift > QCOW2_MAX_REFTABLE_BYTES) {
        return -EFBIG;
    }
    u64 *table = longer_table(q, &area, entries);
    if (!table) {
        return -ENOMEM;
    }
    u64 offset = (area.first + area.blocks) << shift;
    int result = write_area_blocks(q, &area);
    result = result ? result : write_reftable(q, table, entries, offset);
    result = result ? result : write_reftable_place(q, offset, (u32)area.clusters);
    if (result < 0) {
        free(table);
        return result;
    }
    u64 old = q->header.reftable_offset, old_clusters = q->header.reftable_clusters;
    free(q->reftable);
    q->reftable = table;
    q->reftable_entries = (u32)entries;
    q->reftable_used = (u32)(area.first_block + area.blocks);
    q->header.reftable_offset = offset;
    q->header.reftable_clusters = (u32)area.clusters;
    q->reftable_dirty_from = q->reftable_dirty_to = 0;
    qcow2_free(q, old, old_clusters, false);
    return 0;
}

/* Nobody else may change the refcount table, nor be writing it. */
static void wait_for_write_back(Qcow2 *q)
{
    while (q->writing_back) {
        pthread_cond_wait(&q->changed, &q->lock);
    }
}

/* Allocates contiguous clusters behind everything. */
static int alloc_area(Qcow2 *q, u64 clusters, u64 *offset)
{
    wait_for_write_back(q);
    NewArea area = plan_area(q, clusters);
    int result = 0;

    while (!result && area.first_block + area.blocks > q->reftable_entries) {
        result = grow_reftable(q, area.first_block + area.blocks);
        area = plan_area(q, clusters);
    }
    result = result ? result : write_area_blocks(q, &area);
    for (u64 i = 0; !result && i < area.blocks; i++) {
        q->reftable[area.first_block + i] = (area.first + i) << q->header.cluster_bits;
        mark_reftable(q, (u32)(area.first_block + i));
    }
    *offset = (area.first + area.blocks) << q->header.cluster_bits;
    return result;
}

/* Makes the block for a range of clusters none of which is in use: in the first of them. */
static int make_block(Qcow2 *q, u64 block)
{
    u64 cluster = block << q->block_bits;
    u64 offset = cluster << q->header.cluster_bits;
    const char *hit = qcow2_overlap(q, offset, q->cluster_size);
    u8 *data = block_buffer_new(q->cluster_size);

    if (!data) {
        return -ENOMEM;
    }
    if (hit) {
        free(data);
        return qcow2_corrupt(q, "a refcount block would overwrite the %s", hit);
    }
    memset(data, 0, q->cluster_size);
    qcow2_refcount_encode(q, data, 0, 1);
    qcow2_cache_forget(q, &q->refcount_cache, offset, q->cluster_size);
    q->reftable[block] = offset; /* others see it, and load it once written */
    q->virgin = MAX(q->virgin, offset + q->cluster_size);
    int result = block_pwrite(q->file, offset, data, q->cluster_size, 0);
    free(data);
    if (result < 0) {
        q->reftable[block] = 0;
        return result;
    }
    mark_reftable(q, (u32)block);
    return 0;
}

/* The same as find_refcount(), but makes what is missing. */
static int need_refcount(Qcow2 *q, u64 cluster, Qcow2Slice **slice, u64 *index)
{
    for (;;) {
        u64 block = cluster >> q->block_bits;
        int result = find_refcount(q, cluster, slice, index);
        if (result < 0 || *slice) {
            return result;
        }
        if (block >= q->reftable_entries) {
            wait_for_write_back(q);
            result = block < q->reftable_entries ? 0 : grow_reftable(q, block);
        } else {
            result = make_block(q, block);
        }
        if (result < 0) {
            return result;
        }
    }
}

/* With lazy refcounts, says on disk that they are not to be trusted before the first is not. */
static int before_change(Qcow2 *q)
{
    if ((q->header.compatible & QCOW2_COMPATIBLE_LAZY_REFCOUNTS) && !q->lazy) {
        q->header.incompatible |= QCOW2_INCOMPATIBLE_DIRTY;
        int result = qcow2_header_write_features(q);
        if (result < 0) {
            q->header.incompatible &= ~(u64)QCOW2_INCOMPATIBLE_DIRTY;
            return result;
        }
        q->lazy = true;
    }
    return 0;
}

int qcow2_refcount_set(Qcow2 *q, u64 cluster, u64 count)
{
    Qcow2Slice *slice;
    u64 index;
    int result = before_change(q);

    result = result ? result : need_refcount(q, cluster, &slice, &index);
    if (!result) {
        qcow2_refcount_encode(q, slice->data, index, count);
        qcow2_cache_dirty(&q->refcount_cache, slice);
        if (!count) {
            q->free_hint = MIN(q->free_hint, cluster);
            if (q->compressed_next >> q->header.cluster_bits == cluster) {
                q->compressed_next = 0;
            }
        }
    }
    return result;
}

int qcow2_refcount_add(Qcow2 *q, u64 cluster, u64 clusters, int delta)
{
    int result = 0;

    for (u64 i = 0; !result && i < clusters; i++) {
        u64 count;
        result = qcow2_refcount_get(q, cluster + i, &count);
        if (!result && delta < 0 && count < (u64)-delta) {
            return qcow2_corrupt(q, "cluster %#llx is given back, but has no references",
                                 (unsigned long long)(cluster + i) << q->header.cluster_bits);
        }
        if (!result && delta > 0 && q->refcount_max - count < (u64)delta) {
            return -ERANGE;
        }
        result = result ? result : qcow2_refcount_set(q, cluster + i, count + (u64)(s64)delta);
    }
    return result;
}

/* --- Allocating --------------------------------------------------------------------------------
 */

static bool hits(u64 offset, u64 bytes, u64 start, u64 length)
{
    return length && offset < start + length && start < offset + bytes;
}

const char *qcow2_overlap(const Qcow2 *q, u64 offset, u64 bytes)
{
    const Qcow2Header *h = &q->header;

    if (offset < q->cluster_size) {
        return "header";
    }
    if (hits(offset, bytes, h->l1_offset, h->l1_entries * 8ull)) {
        return "L1 table";
    }
    if (hits(offset, bytes, h->reftable_offset, q->reftable_entries * 8ull)) {
        return "refcount table";
    }
    if (hits(offset, bytes, h->snapshot_offset, q->snapshot_table_bytes)) {
        return "snapshot table";
    }
    if (h->has_bitmaps &&
        hits(offset, bytes, h->bitmap_directory_offset, h->bitmap_directory_bytes)) {
        return "bitmap directory";
    }
    for (u32 i = 0; i < q->snapshot_count; i++) {
        const Qcow2Snapshot *s = &q->snapshots[i];
        if (hits(offset, bytes, s->l1_offset, s->l1_entries * 8ull)) {
            return "L1 table of a snapshot";
        }
    }
    for (u32 i = 0; i < q->reftable_used; i++) {
        if (q->reftable[i] && hits(offset, bytes, q->reftable[i], q->cluster_size)) {
            return "refcounts";
        }
    }
    for (u32 i = 0; i < h->l1_entries; i++) {
        u64 table = q->l1[i] & QCOW2_OFFSET;
        if (table && hits(offset, bytes, table, q->cluster_size)) {
            return "L2 tables";
        }
    }
    return NULL;
}

/* Finds the first run of at least `least` free clusters from *start on, makes their refcounts 1. */
static int take_run(Qcow2 *q, u64 want, u64 least, u64 *start, u64 *got)
{
    u64 first = q->free_hint, run = 0;

    for (u64 cluster = first; run < want; cluster++) {
        u64 count;
        int result = qcow2_refcount_get(q, cluster, &count);
        if (result < 0) {
            return result;
        }
        if (cluster > (u64)INT64_MAX >> q->header.cluster_bits) {
            return -EFBIG;
        }
        if (!count) {
            run++;
            continue;
        }
        if (run >= least && run) {
            break;
        }
        if (q->free_hint == cluster) {
            q->free_hint++;
        }
        first = cluster + 1;
        run = 0;
    }
    *start = first;
    *got = run;
    return 0;
}

/* Sets the refcounts of a run that was free to 1. Fewer (*got) if one of them was taken meanwhile,
 * by another or by a refcount block that had to be made. */
static int mark_run(Qcow2 *q, u64 first, u64 *got)
{
    u64 done = 0;
    int result = 0;

    while (!result && done < *got) {
        Qcow2Slice *slice;
        u64 index;
        result = need_refcount(q, first + done, &slice, &index);
        if (result < 0 || qcow2_refcount_decode(q, slice->data, index)) {
            break;
        }
        qcow2_refcount_encode(q, slice->data, index, 1);
        qcow2_cache_dirty(&q->refcount_cache, slice);
        done++;
    }
    *got = done;
    return done ? 0 : result;
}

static void unmark_run(Qcow2 *q, u64 first, u64 count)
{
    for (u64 i = 0; i < count; i++) {
        qcow2_refcount_set(q, first + i, 0);
    }
}

int qcow2_alloc(Qcow2 *q, u64 want, u64 least, u64 *offset, u64 *got, bool *virgin)
{
    u32 shift = q->header.cluster_bits;
    int result = before_change(q);

    if (!result && q->pending.count > MOST_PENDING) {
        result = qcow2_write_back(q); /* or a guest that never flushes would find nothing free */
    }
    result = result ? result : qcow2_release(q);
    if (!result && least > 1ull << q->block_bits >> 2) {
        /* Refcount blocks would come to lie in between. */
        *got = least;
        *virgin = false;
        return alloc_area(q, least, offset);
    }
    while (!result) {
        u64 first = 0, count = 0;
        result = take_run(q, want, least, &first, &count);
        result = result ? result : mark_run(q, first, &count);
        if (result < 0) {
            break;
        }
        if (count < least || !count) {
            unmark_run(q, first, count);
            continue;
        }
        *offset = first << shift;
        *got = count;
        const char *hit = qcow2_overlap(q, *offset, count << shift);
        if (hit) {
            return qcow2_corrupt(q, "cluster %#llx is counted as free, but holds the %s",
                                 (unsigned long long)*offset, hit);
        }
        if (q->free_hint == first) {
            q->free_hint = first + count;
        }
        *virgin = *offset >= q->virgin;
        q->virgin = MAX(q->virgin, *offset + (count << shift));
        return 0;
    }
    return result;
}

int qcow2_alloc_packed(Qcow2 *q, u32 bytes, u64 *offset)
{
    u32 shift = q->header.cluster_bits;
    u64 in_cluster = q->compressed_next & (q->cluster_size - 1);
    u64 got, count;
    bool virgin;
    int result;

    /* Further into the cluster where the last one ended, if there is room in it. */
    if (in_cluster && in_cluster + bytes <= q->cluster_size) {
        u64 place = q->compressed_next, cluster = place >> shift;
        result = qcow2_refcount_get(q, cluster, &count);
        if (result < 0) {
            return result;
        }
        if (q->compressed_next == place && count && count < q->refcount_max) {
            q->compressed_next += bytes;
            *offset = place;
            return qcow2_refcount_add(q, cluster, 1, 1);
        }
    }
    /* Into the rest of that cluster and the next one, if that is free. */
    if (in_cluster) {
        u64 place = q->compressed_next, cluster = place >> shift, next = 0;
        result = qcow2_refcount_get(q, cluster, &count);
        result = result ? result : qcow2_refcount_get(q, cluster + 1, &next);
        if (result < 0) {
            return result;
        }
        if (q->compressed_next == place && count && count < q->refcount_max && !next &&
            !qcow2_overlap(q, (cluster + 1) << shift, q->cluster_size)) {
            q->compressed_next += bytes;
            q->virgin = MAX(q->virgin, (cluster + 2) << shift);
            *offset = place;
            result = qcow2_refcount_add(q, cluster, 1, 1);
            return result ? result : qcow2_refcount_add(q, cluster + 1, 1, 1);
        }
    }
    result = qcow2_alloc(q, 1, 1, offset, &got, &virgin);
    if (!result) {
        q->compressed_next = *offset + bytes;
    }
    return result;
}

/* --- Giving back -------------------------------------------------------------------------------
 */

void qcow2_free_list_add(Qcow2FreeList *list, const Qcow2Free *entry, u32 cluster_bits)
{
    Qcow2Free *last = list->count ? &list->entries[list->count - 1] : NULL;

    if (last && last->punch == entry->punch &&
        last->offset + (last->clusters << cluster_bits) == entry->offset) {
        last->clusters += entry->clusters;
        return;
    }
    if (list->count == list->room) {
        list->room = list->room * 2 + 16;
        list->entries = realloc(list->entries, list->room * sizeof *list->entries);
        assert(list->entries && "memory for a list of freed clusters");
    }
    list->entries[list->count++] = *entry;
}

void qcow2_free(Qcow2 *q, u64 offset, u64 clusters, bool punch)
{
    qcow2_free_list_add(&q->pending, &(Qcow2Free){offset, clusters, punch}, q->header.cluster_bits);
}

void qcow2_free_entry(Qcow2 *q, u64 entry, bool punch)
{
    u32 shift = q->header.cluster_bits;

    if (entry & QCOW2_COMPRESSED) {
        u64 offset;
        u32 bytes;
        qcow2_packed_place(q, entry, &offset, &bytes);
        u64 first = offset >> shift, last = (offset + bytes - 1) >> shift;
        qcow2_free(q, first << shift, last - first + 1, punch);
    } else if ((entry & QCOW2_OFFSET) && !q->external_data) {
        qcow2_free(q, entry & QCOW2_OFFSET, 1, punch);
    }
}

/* Gives clusters whose last reference is about to go back to the host. They are still counted, so
 * nobody takes them meanwhile. */
static void punch_holes(Qcow2 *q, const Qcow2Free *f)
{
    u64 first = f->offset >> q->header.cluster_bits;

    for (u64 at = 0, run; at < f->clusters; at += run + 1) {
        for (run = 0; at + run < f->clusters; run++) {
            u64 count;
            if (qcow2_refcount_get(q, first + at + run, &count) < 0 || count != 1) {
                break;
            }
        }
        if (run) {
            pthread_mutex_unlock(&q->lock);
            block_discard(q->file, (first + at) << q->header.cluster_bits,
                          run << q->header.cluster_bits);
            pthread_mutex_lock(&q->lock);
        }
    }
}

int qcow2_release(Qcow2 *q)
{
    int result = 0;

    if (!q->waiting.count && q->limbo.count) {
        q->waiting = q->limbo;
        q->limbo = (Qcow2FreeList){0};
        q->ticket = block_epoch_next(q->node);
    }
    if (!q->waiting.count || !block_epoch_over(q->node, q->ticket)) {
        return 0;
    }
    Qcow2FreeList list = q->waiting;
    q->waiting = (Qcow2FreeList){0};
    for (size_t i = 0; i < list.count; i++) {
        const Qcow2Free *f = &list.entries[i];
        if (f->punch) {
            punch_holes(q, f);
        }
        int one = qcow2_refcount_add(q, f->offset >> q->header.cluster_bits, f->clusters, -1);
        result = result ? result : one; /* what could not be given back has leaked */
    }
    free(list.entries);
    return result;
}
