/* From guest offsets to host offsets: the L1 table in memory, L2 tables by slices, and what an
 * entry means. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

/* Guest bytes that one L2 table maps. */
static u64 table_covers(const Qcow2 *q)
{
    return (u64)q->cluster_size << q->l2_bits;
}

static u32 entries_per_slice(const Qcow2 *q)
{
    return q->l2_cache.slice_bytes / q->entry_bytes;
}

u64 qcow2_l1_entries(const Qcow2 *q, u64 size)
{
    u64 covers = table_covers(q);

    return size / covers + (size % covers != 0);
}

u64 qcow2_slice_left(const Qcow2 *q, u64 offset)
{
    u64 cluster = offset >> q->header.cluster_bits;

    return entries_per_slice(q) - cluster % entries_per_slice(q);
}

u64 qcow2_entry_get(const Qcow2 *q, const Qcow2Slice *slice, u32 index, u64 *bitmap)
{
    const u8 *at = slice->data + (size_t)index * q->entry_bytes;

    *bitmap = q->subclusters > 1 ? be64_get(at + 8) : 0;
    return be64_get(at);
}

void qcow2_entry_set(Qcow2 *q, Qcow2Slice *slice, u32 index, u64 entry, u64 bitmap)
{
    u8 *at = slice->data + (size_t)index * q->entry_bytes;

    be64_put(at, entry);
    if (q->subclusters > 1) {
        be64_put(at + 8, bitmap);
    }
    qcow2_cache_dirty(&q->l2_cache, slice);
}

void qcow2_packed_place(const Qcow2 *q, u64 entry, u64 *offset, u32 *bytes)
{
    u32 offset_bits = 62 - (q->header.cluster_bits - 8);
    u64 sectors = (entry & (QCOW2_COMPRESSED - 1)) >> offset_bits;

    *offset = entry & ((1ull << offset_bits) - 1);
    *bytes = (u32)((sectors + 1) * 512 - (*offset & 511));
}

/* What an entry says of one of its subclusters (of the cluster if there are none). */
static Qcow2Type type_of(const Qcow2 *q, u64 entry, u64 bitmap, u32 sub)
{
    bool has_host = entry & QCOW2_OFFSET;

    if (entry & QCOW2_COMPRESSED) {
        return QCOW2_PACKED;
    }
    if (q->external_data && (entry & QCOW2_COPIED)) {
        has_host = true; /* offset 0 is a place in the data file */
    }
    if (q->subclusters > 1) {
        if (bitmap >> (32 + sub) & 1) {
            return has_host ? QCOW2_ZERO_KEPT : QCOW2_ZERO_PLAIN;
        }
        return bitmap >> sub & 1 ? QCOW2_NORMAL : has_host ? QCOW2_UNSET : QCOW2_UNALLOCATED;
    }
    if (q->header.version >= 3 && (entry & QCOW2_ZERO)) {
        return has_host ? QCOW2_ZERO_KEPT : QCOW2_ZERO_PLAIN;
    }
    return has_host ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
}

static bool has_place(Qcow2Type type)
{
    return type == QCOW2_NORMAL || type == QCOW2_ZERO_KEPT || type == QCOW2_UNSET;
}

/* Entries that no correct program writes. */
static int check_entry(Qcow2 *q, u64 offset, u64 entry, u64 bitmap)
{
    u64 host = entry & QCOW2_OFFSET;

    if (entry & QCOW2_COMPRESSED) {
        return q->external_data ? qcow2_corrupt(q, "a compressed cluster with a data file") : 0;
    }
    if (host & (q->cluster_size - 1)) {
        return qcow2_corrupt(q,
                             "the cluster of guest offset %#llx is not at a cluster's start: %#llx",
                             (unsigned long long)offset, (unsigned long long)host);
    }
    if (q->subclusters > 1 && (bitmap & bitmap >> 32 & QCOW2_ALL_ALLOCATED)) {
        return qcow2_corrupt(q, "a subcluster at guest offset %#llx is zero and data at once",
                             (unsigned long long)offset);
    }
    if (q->subclusters > 1 && (bitmap & QCOW2_ALL_ALLOCATED) && !host && !q->external_data) {
        return qcow2_corrupt(q, "a subcluster at guest offset %#llx has data, but no place",
                             (unsigned long long)offset);
    }
    return 0;
}

/* The slice with the entry of `offset`; *slice NULL: there is no table. */
static int find_slice(Qcow2 *q, u64 offset, bool wait, Qcow2Slice **slice, u32 *index)
{
    u64 number = offset / table_covers(q);
    u64 entry = (offset >> q->header.cluster_bits) & ((1u << q->l2_bits) - 1);

    *slice = NULL;
    *index = (u32)(entry % entries_per_slice(q));
    if (number >= q->header.l1_entries || !(q->l1[number] & QCOW2_OFFSET)) {
        return 0;
    }
    u64 table = q->l1[number] & QCOW2_OFFSET;
    if (table & (q->cluster_size - 1)) {
        return qcow2_corrupt(q, "L2 table %llu is not at a cluster's start: %#llx",
                             (unsigned long long)number, (unsigned long long)table);
    }
    table += entry / entries_per_slice(q) * q->l2_cache.slice_bytes;
    return qcow2_cache_get(q, &q->l2_cache, table, wait, slice);
}

/* Extends the mapping over what follows, as long as it is of the same kind in the same place. */
static int extend(Qcow2 *q, const Qcow2Slice *slice, u32 index, u64 offset, u64 limit,
                  Qcow2Mapping *m)
{
    u64 end = offset + m->bytes; /* a (sub)cluster's start from here on */

    if (m->type == QCOW2_PACKED) {
        return 0;
    }
    u32 first = index - (u32)(offset >> q->header.cluster_bits);
    while (end < limit) {
        u64 bitmap;
        u32 at = first + (u32)(end >> q->header.cluster_bits);
        if (at >= entries_per_slice(q)) {
            break;
        }
        u64 entry = qcow2_entry_get(q, slice, at, &bitmap);
        u64 in_cluster = end & (q->cluster_size - 1);
        Qcow2Type type = type_of(q, entry, bitmap, (u32)(in_cluster / q->subcluster_size));
        bool copied = entry & QCOW2_COPIED;
        u64 host = (entry & QCOW2_OFFSET) + in_cluster;
        if (type != m->type || copied != m->copied ||
            (has_place(type) && host != m->host + (end - offset))) {
            break;
        }
        if (!in_cluster) {
            int result = check_entry(q, end, entry, bitmap);
            if (result < 0) {
                return result;
            }
        }
        end += q->subcluster_size;
    }
    m->bytes = MIN(end, limit) - offset;
    return 0;
}

int qcow2_lookup(Qcow2 *q, u64 offset, u64 bytes, bool wait, Qcow2Mapping *m)
{
    Qcow2Slice *slice;
    u32 index;
    u64 bitmap;
    u64 in_cluster = offset & (q->cluster_size - 1);
    int result = find_slice(q, offset, wait, &slice, &index);

    if (result < 0) {
        return result;
    }
    *m = (Qcow2Mapping){.type = QCOW2_UNALLOCATED};
    if (!slice) {
        m->bytes = MIN(bytes, table_covers(q) - offset % table_covers(q));
        return 0;
    }
    m->entry = qcow2_entry_get(q, slice, index, &bitmap);
    result = check_entry(q, offset, m->entry, bitmap);
    if (result < 0) {
        return result;
    }
    m->type = type_of(q, m->entry, bitmap, (u32)(in_cluster / q->subcluster_size));
    m->copied = m->entry & QCOW2_COPIED;
    m->host = (m->entry & QCOW2_OFFSET) + in_cluster;
    u64 unit = m->type == QCOW2_PACKED ? q->cluster_size : q->subcluster_size;
    m->bytes = MIN(bytes, unit - (offset & (unit - 1)));
    return extend(q, slice, index, offset, offset + bytes, m);
}

/* --- Tables to write to ------------------------------------------------------------------------
 */

static void set_l1(Qcow2 *q, u32 index, u64 entry)
{
    bool none = q->l1_dirty_from >= q->l1_dirty_to;

    q->l1[index] = entry;
    q->l1_dirty_from = none ? index : MIN(q->l1_dirty_from, index);
    q->l1_dirty_to = none ? index + 1 : MAX(q->l1_dirty_to, index + 1);
}

/* Gives an L1 entry a table of its own: empty, or a copy of the one it shares. */
static int make_table(Qcow2 *q, u32 number)
{
    u64 old = q->l1[number], offset, got;
    u8 *table = block_buffer_new(q->cluster_size);
    bool virgin;
    int result = table ? 0 : -ENOMEM;

    result = result ? result : qcow2_alloc(q, 1, 1, &offset, &got, &virgin);
    if (result < 0) {
        free(table);
        return result;
    }
    qcow2_cache_forget(q, &q->l2_cache, offset, q->cluster_size);
    memset(table, 0, q->cluster_size);
    if (old & QCOW2_OFFSET) {
        /* Through the cache: slices of it may be newer there, and were written before the table
         * came to be shared, so the disk would do as well. */
        pthread_mutex_unlock(&q->lock);
        result = block_pread(q->file, old & QCOW2_OFFSET, table, q->cluster_size);
        pthread_mutex_lock(&q->lock);
    }
    if (!result) {
        pthread_mutex_unlock(&q->lock);
        result = block_pwrite(q->file, offset, table, q->cluster_size, 0);
        pthread_mutex_lock(&q->lock);
    }
    free(table);
    if (result < 0 || q->l1[number] != old) {
        qcow2_free(q, offset, 1, false); /* failed, or another was quicker */
        return result;
    }
    set_l1(q, number, offset | QCOW2_COPIED);
    if (old & QCOW2_OFFSET) {
        qcow2_free(q, old & QCOW2_OFFSET, 1, false);
    }
    return 0;
}

static bool owns_table(const Qcow2 *q, u64 number)
{
    return (q->l1[number] & QCOW2_COPIED) && (q->l1[number] & QCOW2_OFFSET);
}

int qcow2_l2_for_write(Qcow2 *q, u64 offset, Qcow2Slice **slice, u32 *index)
{
    u64 number = offset / table_covers(q);
    int result = 0;

    if (number >= q->header.l1_entries) {
        return -EIO;
    }
    for (;;) {
        while (!result && !owns_table(q, number)) {
            result = make_table(q, (u32)number);
        }
        result = result ? result : find_slice(q, offset, true, slice, index);
        if (result < 0 || owns_table(q, number)) {
            assert(result < 0 || *slice);
            return result;
        }
    }
}

/* --- A longer L1 table -------------------------------------------------------------------------
 */

int qcow2_grow_l1(Qcow2 *q, u64 entries)
{
    u64 old = q->header.l1_offset, offset, got;
    u64 old_bytes = q->header.l1_entries * 8ull;
    bool virgin;
    u8 place[12];

    if (entries <= q->header.l1_entries) {
        return 0;
    }
    if (entries > QCOW2_MAX_L1_BYTES / 8) {
        return -EFBIG;
    }
    int result = qcow2_write_back(q); /* the L1 table on disk is what it is here */
    u64 bytes = entries * 8, clusters = (bytes + q->cluster_size - 1) >> q->header.cluster_bits;
    u64 *table = calloc(clusters, q->cluster_size), *disk = calloc(clusters, q->cluster_size);
    result = result ? result : table && disk ? 0 : -ENOMEM;
    result = result ? result : qcow2_alloc(q, clusters, clusters, &offset, &got, &virgin);
    if (!result) {
        memcpy(table, q->l1, old_bytes);
        for (u64 i = 0; i < q->header.l1_entries; i++) {
            disk[i] = __builtin_bswap64(table[i]);
        }
        result = block_pwrite(q->file, offset, disk, clusters << q->header.cluster_bits, 0);
        result = result ? result : qcow2_write_back(q); /* the refcounts of the new place */
        result = result ? result : block_flush(q->file);
        be32_put(place, (u32)entries);
        be64_put(place + 4, offset);
        result = result ? result : block_pwrite(q->file, 36, place, sizeof place, 0);
        result = result ? result : block_flush(q->file);
    }
    free(disk);
    if (result < 0) {
        free(table);
        return result;
    }
    free(q->l1);
    q->l1 = table;
    q->header.l1_offset = offset;
    q->header.l1_entries = (u32)entries;
    q->l1_dirty_from = q->l1_dirty_to = 0;
    if (old_bytes) {
        qcow2_free(q, old, (old_bytes + q->cluster_size - 1) >> q->header.cluster_bits, false);
    }
    return 0;
}
