/* Making ranges of qcow2 zero, or nothing: no data is written, only L2 entries change.
 *
 * Each piece lies within one slice and is claimed, so that no writer is mapping it. */
#include <errno.h>

#include "block/qcow2.h"

/* What becomes of an entry; new values in *entry and *bitmap. False: it stays. */
typedef bool Change(Qcow2 *q, u64 *entry, u64 *bitmap, u32 mask_from, u32 mask_to, unsigned flags);

/* Subclusters [from, to) as bits of the lower half. */
static u64 mask_of(u32 from, u32 to)
{
    return ((1ull << to) - 1) & ~((1ull << from) - 1);
}

static bool is_whole(const Qcow2 *q, u32 from, u32 to)
{
    return from == 0 && to == q->subclusters;
}

static bool is_unallocated(u64 entry, u64 bitmap)
{
    return !(entry & (QCOW2_OFFSET | QCOW2_COMPRESSED | QCOW2_COPIED | QCOW2_ZERO)) && !bitmap;
}

/* Reads as zeroes from now on. */
static bool make_zero(Qcow2 *q, u64 *entry, u64 *bitmap, u32 from, u32 to, unsigned flags)
{
    bool keep = (*entry & QCOW2_COPIED) && !(*entry & QCOW2_COMPRESSED) &&
                (!(flags & BLOCK_MAY_UNMAP) || q->external_data);
    u64 old_entry = *entry, old_bitmap = *bitmap;

    if (is_unallocated(*entry, *bitmap) && !q->node->backing && !q->external_data) {
        return false; /* reads as zeroes already */
    }
    if (q->subclusters > 1) {
        u64 mask = mask_of(from, to);
        bool whole = is_whole(q, from, to);
        *entry = keep || !whole ? *entry : 0;
        *bitmap = whole ? QCOW2_ALL_ZERO : (*bitmap & ~mask) | mask << 32;
    } else {
        *entry = (keep ? *entry : 0) | QCOW2_ZERO;
    }
    return *entry != old_entry || *bitmap != old_bitmap;
}

/* Holds nothing any more: reads as zeroes where the format can say so, else as what is below. */
static bool make_discarded(Qcow2 *q, u64 *entry, u64 *bitmap, u32 from, u32 to, unsigned flags)
{
    u64 old_entry = *entry, old_bitmap = *bitmap;

    if (is_unallocated(*entry, *bitmap) && !q->node->backing) {
        return false;
    }
    if (!is_whole(q, from, to)) {
        return make_zero(q, entry, bitmap, from, to, flags);
    }
    *entry = q->header.version >= 3 && q->subclusters == 1 ? QCOW2_ZERO : 0;
    *bitmap = q->subclusters > 1 ? QCOW2_ALL_ZERO : 0;
    return *entry != old_entry || *bitmap != old_bitmap;
}

static bool make_unallocated(Qcow2 *q, u64 *entry, u64 *bitmap, u32 from, u32 to, unsigned flags)
{
    bool changes = !is_unallocated(*entry, *bitmap);

    (void)q, (void)from, (void)to, (void)flags;
    *entry = *bitmap = 0;
    return changes;
}

/* Is anything mapped by the table of this offset? If not there need be none. */
static bool has_table(const Qcow2 *q, u64 offset)
{
    u64 number = offset >> (q->header.cluster_bits + q->l2_bits);

    return number < q->header.l1_entries && (q->l1[number] & QCOW2_OFFSET);
}

static int change_entry(Qcow2 *q, Qcow2Slice *slice, u32 index, u64 from, u64 to, Change *change,
                        unsigned flags)
{
    u64 bitmap, entry = qcow2_entry_get(q, slice, index, &bitmap);
    u64 old = entry;
    u64 start = ALIGN_DOWN(from, (u64)q->cluster_size);
    u32 first = (u32)((from - start) / q->subcluster_size);
    u32 last = (u32)((to - start + q->subcluster_size - 1) / q->subcluster_size);

    if ((entry & QCOW2_COMPRESSED) && !is_whole(q, first, last)) {
        return -ENOTSUP; /* part of a compressed cluster: has to be written */
    }
    if (change(q, &entry, &bitmap, first, last, flags)) {
        qcow2_entry_set(q, slice, index, entry, bitmap);
        if ((old & QCOW2_COMPRESSED) || (old & QCOW2_OFFSET) != (entry & QCOW2_OFFSET)) {
            qcow2_free_entry(q, old, q->node->flags & BLOCK_UNMAP);
        }
    }
    return 0;
}

/* Changes the entries of [offset, end), which lie in one slice. */
static int change_slice(Qcow2 *q, u64 offset, u64 end, Change *change, unsigned flags)
{
    u32 shift = q->header.cluster_bits, index;
    u64 first = offset >> shift, last = (end - 1) >> shift;
    Qcow2Allocation claim;
    Qcow2Slice *slice;

    qcow2_claim(q, &claim, first, last - first + 1);
    int result = qcow2_l2_for_write(q, offset, &slice, &index);
    for (u64 at = offset; !result && at < end; index++) {
        u64 next = MIN(end, ALIGN_DOWN(at, (u64)q->cluster_size) + q->cluster_size);
        result = change_entry(q, slice, index, at, next, change, flags);
        at = next;
    }
    qcow2_unclaim(q, &claim);
    return result;
}

/* `skip`: where there is no table, nothing has to change. */
static int change_range(Qcow2 *q, u64 offset, u64 bytes, Change *change, unsigned flags, bool skip)
{
    u64 end = offset + bytes;
    int result = 0;

    pthread_mutex_lock(&q->lock);
    result = q->inert ? -EIO : 0;
    while (!result && offset < end) {
        u64 left = qcow2_slice_left(q, offset) << q->header.cluster_bits;
        u64 next = MIN(end, ALIGN_DOWN(offset, (u64)q->cluster_size) + left);
        if (!skip || has_table(q, offset)) {
            result = change_slice(q, offset, next, change, flags);
        }
        offset = next;
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

int qcow2_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    Qcow2 *q = node->state;
    int result = 0;

    pthread_mutex_lock(&q->lock);
    qcow2_bitmaps_note(q, offset, bytes);
    pthread_mutex_unlock(&q->lock);
    if (q->raw_data) {
        result = block_zero(q->data, offset, bytes, flags);
    }
    if (result < 0) {
        return result;
    }
    if (q->header.version < 3) {
        /* v2 can say "zero" only by holding nothing. */
        return node->backing ? -ENOTSUP
                             : change_range(q, offset, bytes, make_unallocated, flags, true);
    }
    return change_range(q, offset, bytes, make_zero, flags, !node->backing && !q->raw_data);
}

int qcow2_discard(BlockNode *node, u64 offset, u64 bytes)
{
    Qcow2 *q = node->state;
    u64 end = offset + bytes, unit = q->cluster_size;

    if (q->raw_data) {
        return block_discard(q->data, offset, bytes); /* which stays where it is */
    }
    if (q->header.version < 3 && node->backing) {
        return -ENOTSUP; /* old contents of the backing file would appear */
    }
    offset = ALIGN_UP(offset, unit);
    end = end == node->size ? end : ALIGN_DOWN(end, unit);
    if (end <= offset) {
        return 0;
    }
    pthread_mutex_lock(&q->lock);
    qcow2_bitmaps_note(q, offset, end - offset);
    pthread_mutex_unlock(&q->lock);
    return change_range(q, offset, end - offset, make_discarded, BLOCK_MAY_UNMAP, !node->backing);
}

int qcow2_drop(Qcow2 *q, u64 offset, u64 bytes, bool expose)
{
    return change_range(q, offset, bytes, expose ? make_unallocated : make_discarded,
                        BLOCK_MAY_UNMAP, expose || !q->node->backing);
}
