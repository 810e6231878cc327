/* Replacing structures of a qcow2 image whole: the new ones are written where nothing is, and one
 * write to the header names them all. Whoever is killed before or after leaves a consistent image.
 *
 * Two need it: changing the width of refcounts, and snapshots of version 2, which has no bit in the
 * header to say that refcounts and COPIED bits do not agree at the moment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum {
    HEADER_SIZE = 24, /* where the disk's size is; up to the snapshots' place all is named anew */
    HEADER_NAMES_BYTES = 72 - HEADER_SIZE,
};

/* --- Refcounts in memory -----------------------------------------------------------------------
 */

static u64 clusters_of(const Qcow2 *q, u64 bytes)
{
    return (bytes + q->cluster_size - 1) >> q->header.cluster_bits;
}

u64 *qcow2_counts_read(Qcow2 *q, u64 *clusters, int *result)
{
    u64 per_block = 1ull << q->block_bits;
    u64 in_file = clusters_of(q, block_size(q->file));

    /* Blocks for what lies far behind the end of the file count nothing that is there. */
    *clusters = MIN((u64)q->reftable_entries << q->block_bits, in_file + per_block);
    u64 *counts = calloc(*clusters + 1, 8);
    *result = counts ? 0 : -ENOMEM;
    for (u64 i = 0; !*result && i < *clusters; i++) {
        if (q->reftable[i >> q->block_bits]) {
            *result = qcow2_refcount_get(q, i, &counts[i]);
        } else {
            i |= per_block - 1;
        }
    }
    while (!*result && *clusters && !counts[*clusters - 1]) {
        --*clusters;
    }
    return counts;
}

/* Adds to the counts of what lies at an offset. */
static int add(const Qcow2 *q, Qcow2Counts *c, u64 offset, u64 clusters, int delta)
{
    u64 first = offset >> q->header.cluster_bits;

    if (first > c->clusters || clusters > c->clusters - first) {
        return -EIO;
    }
    for (u64 i = first; i < first + clusters; i++) {
        if (delta < 0 ? c->counts[i] == 0 : c->counts[i] >= q->refcount_max) {
            return delta < 0 ? -EIO : -ERANGE;
        }
        c->counts[i] += (u64)(s64)delta;
    }
    return 0;
}

int qcow2_counts_forget(const Qcow2 *q, Qcow2Counts *c)
{
    int result = add(q, c, q->header.reftable_offset, q->header.reftable_clusters, -1);

    for (u64 i = 0; !result && i < q->reftable_entries; i++) {
        result = q->reftable[i] ? add(q, c, q->reftable[i], 1, -1) : 0;
    }
    return result;
}

int qcow2_counts_write(Qcow2 *q, const Qcow2Counts *c, u32 order)
{
    Qcow2 other = {.header = q->header,
                   .refcount_bits = 1u << order,
                   .refcount_max = order == 6 ? INT64_MAX : (1ull << (1u << order)) - 1};
    u64 per_block = (u64)q->cluster_size * 8 >> order, blocks = 0, table = 1, used = c->clusters;
    u32 shift = q->header.cluster_bits;

    other.header.refcount_order = order;
    while (blocks * per_block < used + blocks + table) {
        blocks++;
        table = (blocks * 8 + q->cluster_size - 1) >> shift;
    }
    u8 *block = block_buffer_new(q->cluster_size), *entries = calloc(table, q->cluster_size);
    int result = block && entries ? 0 : -ENOMEM;
    for (u64 i = 0; !result && i < blocks; i++) {
        memset(block, 0, q->cluster_size);
        for (u64 j = 0; !result && j < per_block; j++) {
            u64 cluster = i * per_block + j;
            u64 count = cluster < used ? c->counts[cluster] : cluster < used + blocks + table;
            result = count > other.refcount_max ? -ERANGE : 0;
            qcow2_refcount_encode(&other, block, j, MIN(count, other.refcount_max));
        }
        be64_put(entries + i * 8, (used + i) << shift);
        result =
            result ? result : block_pwrite(q->file, (used + i) << shift, block, q->cluster_size, 0);
    }
    result = result ? result
                    : block_pwrite(q->file, (used + blocks) << shift, entries, table << shift, 0);
    result = result ? result : block_flush(q->file);
    free(block);
    free(entries);
    if (!result) {
        q->header.refcount_order = order;
        q->header.reftable_offset = (used + blocks) << shift;
        q->header.reftable_clusters = (u32)table;
    }
    return result;
}

int qcow2_counts_reload(Qcow2 *q, BlockError *error)
{
    qcow2_cache_forget_all(&q->refcount_cache);
    q->free_hint = 0;
    q->compressed_next = 0;
    q->reftable_dirty_from = q->reftable_dirty_to = 0;
    q->virgin = ALIGN_UP(block_size(q->file), (u64)q->cluster_size);
    return qcow2_reftable_load(q, error);
}

/* --- Snapshots ---------------------------------------------------------------------------------
 */

/* Is there room behind everything in what cannot grow (a device)? At the most, for copies of all L2
 * tables of the longest L1 table, that and the snapshots' table, and for all refcounts. */
static bool has_room(Qcow2 *q)
{
    enum { LONGEST_ENTRY = 4096 }; /* bytes, of the snapshots' table: one comes at a time */
    u64 entries = q->header.l1_entries, clusters;
    int result;

    free(qcow2_counts_read(q, &clusters, &result));
    for (u32 i = 0; i < q->snapshot_count; i++) {
        entries = MAX(entries, (u64)q->snapshots[i].l1_entries);
    }
    clusters += entries + clusters_of(q, entries * 8) +
                clusters_of(q, q->snapshot_table_bytes + LONGEST_ENTRY);
    u64 blocks = (clusters >> q->block_bits) + 2;
    clusters += blocks + blocks / 8 + 1;
    return result >= 0 && clusters <= block_size(q->file) >> q->header.cluster_bits;
}

bool qcow2_can_replace(Qcow2 *q)
{
    return q->header.version < 3 && q->header.l1_entries && (q->file->can_grow || has_room(q));
}

/* Counts the references of one L2 table's entries. */
static int add_entries(Qcow2 *q, Qcow2Counts *c, u64 table, u64 *entries, int delta)
{
    int result = block_read_exact(q->file, table, entries, q->cluster_size);

    for (u32 i = 0; !result && i < q->cluster_size / 8; i++) {
        u64 entry = be64_get(&entries[i]), offset = entry & QCOW2_OFFSET;
        u32 bytes;
        if (entry & QCOW2_COMPRESSED) {
            qcow2_packed_place(q, entry, &offset, &bytes);
            u64 start = ALIGN_DOWN(offset, (u64)q->cluster_size);
            result = add(q, c, start, clusters_of(q, offset + bytes - start), delta);
        } else if (offset) {
            result = add(q, c, offset, 1, delta);
        }
    }
    return result;
}

/* Takes the references that an L1 table holds, and those to itself. */
static int drop_references(Qcow2 *q, Qcow2Counts *c, const Qcow2L1 *l1, u64 *entries)
{
    int result = add(q, c, l1->offset, MAX(clusters_of(q, l1->entries * 8ull), 1ull), -1);

    for (u32 i = 0; !result && i < l1->entries; i++) {
        u64 table = l1->table[i] & QCOW2_OFFSET;
        result = table ? add_entries(q, c, table, entries, -1) : 0;
        result = result || !table ? result : add(q, c, table, 1, -1);
    }
    return result;
}

/* Writes copies of the L2 tables, with COPIED bits by the counts; l1 gets their places. */
static int copy_tables(Qcow2 *q, const Qcow2Counts *c, const Qcow2L1 *source, u64 place, u64 *l1,
                       u64 *entries)
{
    int result = 0;

    for (u32 i = 0; !result && i < source->entries; i++) {
        u64 table = source->table[i] & QCOW2_OFFSET;
        if (!table) {
            continue;
        }
        result = block_read_exact(q->file, table, entries, q->cluster_size);
        for (u32 n = 0; !result && n < q->cluster_size / 8; n++) {
            u64 entry = be64_get(&entries[n]);
            if (!(entry & QCOW2_COMPRESSED) && (entry & QCOW2_OFFSET)) {
                bool single = c->counts[(entry & QCOW2_OFFSET) >> q->header.cluster_bits] == 1;
                be64_put(&entries[n], single ? entry | QCOW2_COPIED : entry & ~QCOW2_COPIED);
            }
        }
        result = result ? result : block_pwrite(q->file, place, entries, q->cluster_size, 0);
        l1[i] = place | QCOW2_COPIED;
        place += q->cluster_size;
    }
    return result;
}

/* Makes the counts what they are to be, but for what is new. */
static int count_anew(Qcow2 *q, const Qcow2Replacement *r, Qcow2Counts *c, u64 *entries)
{
    int result = qcow2_counts_forget(q, c);

    for (u32 i = 0; !result && i < r->source.entries; i++) {
        u64 table = r->source.table[i] & QCOW2_OFFSET;
        result = table ? add_entries(q, c, table, entries, 1) : 0;
    }
    for (size_t i = 0; !result && i < COUNT(r->dropped); i++) {
        result = r->dropped[i].table ? drop_references(q, c, &r->dropped[i], entries) : 0;
    }
    return result || !q->snapshot_table_bytes
               ? result
               : add(q, c, q->header.snapshot_offset, clusters_of(q, q->snapshot_table_bytes), -1);
}

/* Room behind all that is in use, counted once. */
static int reserve(Qcow2Counts *c, u64 clusters)
{
    u64 *grown = realloc(c->counts, (c->clusters + clusters + 1) * sizeof *grown);

    if (!grown) {
        return -ENOMEM;
    }
    c->counts = grown;
    for (u64 i = 0; i < clusters; i++) {
        grown[c->clusters++] = 1;
    }
    return 0;
}

/* Names the new structures: this is the moment. */
static int write_names(Qcow2 *q, const Qcow2Header *h)
{
    u8 names[HEADER_NAMES_BYTES];

    be64_put(names, h->size);
    be32_put(names + 8, h->crypt);
    be32_put(names + 12, h->l1_entries);
    be64_put(names + 16, h->l1_offset);
    be64_put(names + 24, h->reftable_offset);
    be32_put(names + 32, h->reftable_clusters);
    be32_put(names + 36, h->snapshot_count);
    be64_put(names + 40, h->snapshot_offset);
    int result = block_flush(q->file);
    result = result ? result : block_pwrite(q->file, HEADER_SIZE, names, sizeof names, 0);
    return result ? result : block_flush(q->file);
}

/* Writes everything new but the refcounts; *l1 is the new table, in memory too. */
static int write_beside(Qcow2 *q, const Qcow2Replacement *r, Qcow2Counts *c, Qcow2Header *h,
                        u64 **l1, u64 *entries)
{
    u64 tables = 0, l1_clusters = MAX(clusters_of(q, r->source.entries * 8ull), 1ull);
    u64 place = c->clusters << q->header.cluster_bits;
    u64 *disk = calloc(l1_clusters, q->cluster_size);

    for (u32 i = 0; i < r->source.entries; i++) {
        tables += !!(r->source.table[i] & QCOW2_OFFSET);
    }
    *l1 = calloc(l1_clusters, q->cluster_size);
    int result =
        disk && *l1 ? reserve(c, tables + l1_clusters + clusters_of(q, r->bytes)) : -ENOMEM;
    result = result ? result : copy_tables(q, c, &r->source, place, *l1, entries);
    h->l1_offset = place + (tables << q->header.cluster_bits);
    h->l1_entries = r->source.entries;
    for (u32 i = 0; !result && i < r->source.entries; i++) {
        be64_put(&disk[i], (*l1)[i]);
    }
    result = result ? result
                    : block_pwrite(q->file, h->l1_offset, disk,
                                   l1_clusters << q->header.cluster_bits, 0);
    h->snapshot_count = r->count;
    h->snapshot_offset = r->bytes ? h->l1_offset + (l1_clusters << q->header.cluster_bits) : 0;
    if (!result && r->bytes) {
        result = block_pwrite(q->file, h->snapshot_offset, r->snapshots, r->bytes, 0);
    }
    free(disk);
    return result;
}

int qcow2_replace(Qcow2 *q, const Qcow2Replacement *r)
{
    Qcow2Header old = q->header, wanted = q->header;
    u64 *entries = block_buffer_new(q->cluster_size), *l1 = NULL;
    Qcow2Counts c;
    int result;

    c.counts = qcow2_counts_read(q, &c.clusters, &result);
    result = entries ? result : -ENOMEM;
    result = result ? result : count_anew(q, r, &c, entries);
    result = result ? result : write_beside(q, r, &c, &wanted, &l1, entries);
    result = result ? result : qcow2_counts_write(q, &c, q->header.refcount_order);
    wanted.reftable_offset = q->header.reftable_offset;
    wanted.reftable_clusters = q->header.reftable_clusters;
    wanted.size = r->size;
    result = result ? result : write_names(q, &wanted);
    free(entries);
    free(c.counts);
    if (result < 0) {
        q->header = old;
        free(l1);
        return result;
    }
    q->header = wanted;
    q->node->size = wanted.size;
    free(q->l1);
    q->l1 = l1;
    q->l1_dirty_from = q->l1_dirty_to = 0;
    q->snapshot_table_bytes = r->bytes;
    qcow2_cache_forget_all(&q->l2_cache);
    result = qcow2_counts_reload(q, NULL);
    q->inert = q->inert || result < 0; /* what is in memory is not what is on disk */
    return result;
}
