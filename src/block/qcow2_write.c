/* Writing guest data to qcow2: in place where the cluster is ours alone; else into new clusters,
 * with what the write does not cover copied from below, and the L2 entries changed last.
 *
 * A write that maps clusters anew claims them first, so that two writers of one cluster do not both
 * allocate; others wait for it. Nothing points to the new clusters until their data is written, so
 * a failure leaves the old contents. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum {
    MAX_RUN_BYTES = 8 << 20, /* mapped anew at once, a cluster at least */
    SHORT_BYTES = 16 << 10,  /* rather read in vain than left out of one read */
};

/* --- Claims ------------------------------------------------------------------------------------
 */

bool qcow2_is_claimed(const Qcow2 *q, u64 first, u64 count)
{
    for (const Qcow2Allocation *a = q->allocations; a; a = a->next) {
        if (first < a->first + a->count && a->first < first + count) {
            return true;
        }
    }
    return false;
}

void qcow2_claim(Qcow2 *q, Qcow2Allocation *claim, u64 first, u64 count)
{
    while (qcow2_is_claimed(q, first, count)) {
        pthread_cond_wait(&q->changed, &q->lock);
    }
    *claim = (Qcow2Allocation){q->allocations, first, count};
    q->allocations = claim;
}

void qcow2_unclaim(Qcow2 *q, Qcow2Allocation *claim)
{
    Qcow2Allocation **link = &q->allocations;

    while (*link != claim) {
        link = &(*link)->next;
    }
    *link = claim->next;
    pthread_cond_broadcast(&q->changed);
}

/* --- Mapping a run anew ------------------------------------------------------------------------
 */

typedef struct Run {
    u64 first, count;         /* guest clusters */
    u64 host;                 /* of the first */
    bool fresh;               /* allocated for this: to be given back on failure */
    bool virgin;              /* reads as zeroes */
    u64 write_from, write_to; /* guest bytes that are written or copied; the rest stays unset */
} Run;

/* May the entry's own cluster take the data (it is ours, but zero or partly unset)? */
static bool reusable(const Qcow2Mapping *m)
{
    return m->copied && (m->type == QCOW2_ZERO_KEPT || m->type == QCOW2_UNSET);
}

static bool in_place(const Qcow2Mapping *m)
{
    return m->type == QCOW2_NORMAL && m->copied;
}

/* How many clusters from that of `offset` (with mapping `of_first`) on have to be mapped anew in
 * the same way. They are claimed, so that stays true. */
static int count_run(Qcow2 *q, const Qcow2Mapping *of_first, u64 offset, u64 end, u64 max,
                     u64 *count)
{
    u32 shift = q->header.cluster_bits;
    u64 first = offset >> shift;

    *count = 1;
    while (*count < max && (first + *count) << shift < end) {
        Qcow2Mapping m;
        u64 start = (first + *count) << shift;
        int result = qcow2_lookup(q, start, MIN(end - start, (u64)q->cluster_size), true, &m);
        if (result < 0) {
            return result;
        }
        bool by_subcluster = q->subclusters > 1 && of_first->type == QCOW2_UNALLOCATED;
        if (in_place(&m) || reusable(&m) || (by_subcluster && m.type != of_first->type)) {
            break;
        }
        ++*count;
    }
    return 0;
}

/* Finds host clusters for the run; may make it shorter. */
static int find_place(Qcow2 *q, const Qcow2Mapping *m, u64 offset, Run *run)
{
    u32 shift = q->header.cluster_bits;
    u64 got;

    if (q->external_data) {
        run->host = run->first << shift;
        return 0;
    }
    if (reusable(m)) {
        run->count = 1;
        run->host = m->host - (offset & (q->cluster_size - 1));
        return 0;
    }
    run->fresh = true;
    int result = qcow2_alloc(q, run->count, 1, &run->host, &got, &run->virgin);
    run->count = MIN(run->count, got);
    /* Encrypted zeroes are not zeroes. */
    run->virgin = run->virgin && q->data->can_grow && q->header.crypt == QCOW2_CRYPT_NONE;
    return result;
}

/* What must be copied around [offset, end) so that whole units are written. Without subclusters, or
 * where the old cluster has to be replaced, the unit is the cluster. */
static void find_edges(Qcow2 *q, const Qcow2Mapping *m, u64 offset, u64 end, Run *run)
{
    bool by_subcluster = q->subclusters > 1 && (m->type == QCOW2_UNALLOCATED || reusable(m));
    u64 unit = by_subcluster ? q->subcluster_size : q->cluster_size;

    run->write_from = ALIGN_DOWN(offset, unit);
    run->write_to = ALIGN_UP(end, unit);
}

/* Is there nothing but zeroes to copy? Then a virgin cluster has it already. */
static bool reads_zero(Qcow2 *q, const Qcow2Mapping *m)
{
    return m->type == QCOW2_ZERO_PLAIN || m->type == QCOW2_ZERO_KEPT ||
           ((m->type == QCOW2_UNALLOCATED || m->type == QCOW2_UNSET) && !q->node->backing);
}

/* Are the edges zeroes, before and after? They may belong to different clusters. */
static int edges_are_zero(Qcow2 *q, const Run *run, u64 offset, u64 end, bool *zero)
{
    const u64 parts[2][2] = {{run->write_from, offset}, {end, run->write_to}};

    *zero = true;
    for (size_t i = 0; i < COUNT(parts); i++) {
        u64 at = parts[i][0];
        while (*zero && at < parts[i][1]) {
            Qcow2Mapping m;
            pthread_mutex_lock(&q->lock);
            int result = qcow2_lookup(q, at, parts[i][1] - at, true, &m);
            pthread_mutex_unlock(&q->lock);
            if (result < 0) {
                return result;
            }
            *zero = reads_zero(q, &m);
            at += m.bytes;
        }
    }
    return 0;
}

static unsigned count_iovecs(const BlockVector *data)
{
    unsigned count = 0;

    for (size_t at = 0, covered; at < data->bytes; at += covered, count++) {
        struct iovec one;
        BlockVector rest = block_vector_part(data, at, data->bytes - at);
        block_vector_iovecs(&rest, &one, 1, &covered);
    }
    return count;
}

static int read_at(Qcow2 *q, u64 offset, u8 *to, size_t bytes)
{
    struct iovec iov;
    BlockVector part = block_vector_of(&iov, to, bytes);

    return bytes ? qcow2_read_range(q, offset, &part) : 0;
}

/* Writes the data with its edges in one go. */
static int write_with_edges(Qcow2 *q, const Run *run, u64 offset, const BlockVector *data)
{
    u64 end = offset + data->bytes;
    u64 host = run->host + (run->write_from - (run->first << q->header.cluster_bits));
    size_t head = offset - run->write_from, tail = run->write_to - end;
    bool at_once = head && tail && data->bytes <= SHORT_BYTES;
    size_t between = at_once ? data->bytes : 0; /* the edges are read with what is there */
    unsigned count = count_iovecs(data);
    u8 *edges = block_buffer_new(head + between + tail);
    struct iovec *iov = calloc(count + 2, sizeof *iov);
    int result = edges && iov ? 0 : -ENOMEM;

    if (!result && at_once) {
        result = read_at(q, run->write_from, edges, head + between + tail);
    } else if (!result) {
        result = read_at(q, run->write_from, edges, head);
        result = result ? result : read_at(q, end, edges + head, tail);
    }
    if (!result) {
        size_t covered;
        iov[0] = (struct iovec){edges, head};
        count = 1 + block_vector_iovecs(data, iov + 1, count, &covered);
        iov[count] = (struct iovec){edges + head + between, tail};
        BlockVector all = {iov, 0, head + data->bytes + tail};
        result = qcow2_data_write(q, host, run->write_from, &all);
    }
    free(iov);
    free(edges);
    return result;
}

static int write_run(Qcow2 *q, const Run *run, u64 offset, const BlockVector *data)
{
    u64 start = run->first << q->header.cluster_bits;
    bool zero = true;
    int result = 0;

    if (run->write_from != offset || run->write_to != offset + data->bytes) {
        zero = false;
        if (run->virgin) {
            result = edges_are_zero(q, run, offset, offset + data->bytes, &zero);
        }
    }
    if (result < 0) {
        return result;
    }
    return zero ? qcow2_data_write(q, run->host + (offset - start), offset, data)
                : write_with_edges(q, run, offset, data);
}

/* The bitmap of a cluster whose subclusters [from, to) have data now. */
static u64 bitmap_after(const Qcow2 *q, const Run *run, u64 cluster, u64 bitmap)
{
    u64 start = cluster << q->header.cluster_bits, end = start + q->cluster_size;
    u32 from = (u32)((MAX(run->write_from, start) - start) / q->subcluster_size);
    u32 to = (u32)((MIN(run->write_to, end) - start) / q->subcluster_size);
    u64 mask = (to < 32 ? (1ull << to) - 1 : QCOW2_ALL_ALLOCATED) & ~((1ull << from) - 1);

    return (bitmap & ~(mask << 32)) | mask;
}

/* Points the L2 entries at the new clusters and lets the old ones go. */
static int map_run(Qcow2 *q, const Run *run)
{
    Qcow2Slice *slice;
    u32 index;
    int result = qcow2_l2_for_write(q, run->first << q->header.cluster_bits, &slice, &index);

    for (u64 i = 0; !result && i < run->count; i++) {
        u64 bitmap, old = qcow2_entry_get(q, slice, index + (u32)i, &bitmap);
        u64 host = run->host + (i << q->header.cluster_bits);
        if (old & QCOW2_COMPRESSED) {
            bitmap = 0;
        }
        bool replaced = (old & QCOW2_COMPRESSED) || (old & QCOW2_OFFSET) != host;
        qcow2_entry_set(q, slice, index + (u32)i, host | QCOW2_COPIED,
                        bitmap_after(q, run, run->first + i, bitmap));
        if (replaced) {
            qcow2_free_entry(q, old, q->node->flags & BLOCK_UNMAP);
        }
    }
    return result;
}

/* Writes the start of `data` to clusters that have to be mapped anew; *done bytes of it. The lock
 * is held, and was since the lookup that gave `m`. */
static int write_anew(Qcow2 *q, u64 offset, const BlockVector *data, size_t *done)
{
    u32 shift = q->header.cluster_bits;
    u64 end = offset + data->bytes, first = offset >> shift;
    u64 max = MIN(MAX((u64)MAX_RUN_BYTES >> shift, 1ull), qcow2_slice_left(q, offset));
    u64 want = MIN(((end - 1) >> shift) - first + 1, max);
    Qcow2Allocation claim;
    Qcow2Mapping m;
    Run run = {.first = first};

    qcow2_claim(q, &claim, first, want);
    int result = qcow2_lookup(q, offset, data->bytes, true, &m);
    if (result < 0 || in_place(&m)) {
        qcow2_unclaim(q, &claim); /* another one was here first; look again */
        *done = 0;
        return result;
    }
    result = count_run(q, &m, offset, end, want, &run.count);
    result = result ? result : find_place(q, &m, offset, &run);
    if (!result) {
        end = MIN(end, (first + run.count) << shift);
        if (reusable(&m)) {
            end = MIN(end, offset + m.bytes);
        }
        *done = end - offset;
        BlockVector part = block_vector_part(data, 0, *done);
        find_edges(q, &m, offset, end, &run);
        pthread_mutex_unlock(&q->lock);
        result = write_run(q, &run, offset, &part);
        pthread_mutex_lock(&q->lock);
        result = result ? result : map_run(q, &run);
        if (result < 0 && run.fresh) {
            qcow2_free(q, run.host, run.count, false);
        }
    }
    qcow2_unclaim(q, &claim);
    return result;
}

int qcow2_write_range(Qcow2 *q, u64 offset, const BlockVector *data)
{
    int result = 0;

    pthread_mutex_lock(&q->lock);
    result = q->inert ? -EIO : 0;
    for (size_t at = 0; !result && at < data->bytes;) {
        Qcow2Mapping m;
        size_t done = 0;
        BlockVector rest = block_vector_part(data, at, data->bytes - at);
        result = qcow2_lookup(q, offset + at, rest.bytes, true, &m);
        if (!result && in_place(&m)) {
            done = m.bytes;
            BlockVector part = block_vector_part(&rest, 0, done);
            pthread_mutex_unlock(&q->lock);
            result = qcow2_data_write(q, m.host, offset + at, &part);
            pthread_mutex_lock(&q->lock);
        } else if (!result) {
            result = write_anew(q, offset + at, &rest, &done);
        }
        at += done;
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

int qcow2_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    Qcow2 *q = node->state;

    if (q->bitmap_count) {
        pthread_mutex_lock(&q->lock);
        qcow2_bitmaps_note(q, offset, data->bytes);
        pthread_mutex_unlock(&q->lock);
    }
    return flags & BLOCK_COMPRESSED ? qcow2_write_packed(q, offset, data)
                                    : qcow2_write_range(q, offset, data);
}
