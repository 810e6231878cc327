/* Changing the shape of a qcow2 image: size, preallocation, emptying, the backing file's name. Runs
 * alone (gate closed). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

static int io_failed(int result, const Qcow2 *q, const char *what, BlockError *error)
{
    return result ? block_error(error, -result, "cannot %s '%s': %s", what, q->node->filename,
                                strerror(-result))
                  : 0;
}

static u64 table_bytes(const Qcow2 *q)
{
    return (u64)q->cluster_size << q->l2_bits;
}

/* --- Preallocation -----------------------------------------------------------------------------
 */

/* Maps up to `want` clusters from a guest offset on that nothing maps yet; *done of them. */
static int map_empty(Qcow2 *q, u64 offset, u64 want, u64 *done, u64 *host_end)
{
    u64 host = offset, got = MIN(want, qcow2_slice_left(q, offset));
    bool virgin = true;
    Qcow2Slice *slice;
    u32 index;
    Qcow2Mapping m;

    int result = qcow2_lookup(q, offset, got << q->header.cluster_bits, true, &m);
    if (result < 0) {
        return result;
    }
    *done = MAX(m.bytes >> q->header.cluster_bits, 1ull);
    if (m.type != QCOW2_UNALLOCATED && m.type != QCOW2_ZERO_PLAIN) {
        return 0; /* mapped already */
    }
    got = MIN(got, *done);
    result = q->external_data ? 0 : qcow2_alloc(q, got, 1, &host, &got, &virgin);
    result = result ? result : qcow2_l2_for_write(q, offset, &slice, &index);
    for (u64 i = 0; !result && i < got; i++) {
        bool zero = !virgin || m.type == QCOW2_ZERO_PLAIN || q->header.crypt != QCOW2_CRYPT_NONE;
        u64 bitmap = zero ? QCOW2_ALL_ZERO : QCOW2_ALL_ALLOCATED;
        u64 entry = (host + (i << q->header.cluster_bits)) | QCOW2_COPIED;
        if (q->subclusters == 1 && zero) {
            entry |= QCOW2_ZERO;
        }
        if (q->header.backing_name && m.type == QCOW2_UNALLOCATED) {
            bitmap = 0; /* there is a place, and still the backing file shows */
        }
        qcow2_entry_set(q, slice, index + (u32)i, entry, bitmap);
    }
    *done = got;
    *host_end = host + (got << q->header.cluster_bits);
    return result;
}

int qcow2_preallocate(Qcow2 *q, u64 offset, u64 bytes, BlockPrealloc mode, BlockError *error)
{
    u64 end = ALIGN_UP(offset + bytes, (u64)q->cluster_size);
    u64 at = ALIGN_DOWN(offset, (u64)q->cluster_size), last = 0;
    int result = 0;

    if (q->header.crypt != QCOW2_CRYPT_NONE && q->header.version < 3) {
        return block_error(error, ENOTSUP,
                           "an encrypted image of version 2 (compat=0.10) cannot be preallocated: "
                           "it has no zero clusters");
    }
    if (mode == BLOCK_PREALLOC_METADATA) {
        mode = BLOCK_PREALLOC_OFF; /* of the file */
    }
    pthread_mutex_lock(&q->lock);
    while (!result && at < end) {
        u64 done, host_end = 0;
        result = map_empty(q, at, (end - at) >> q->header.cluster_bits, &done, &host_end);
        at += done << q->header.cluster_bits;
        last = MAX(last, host_end);
    }
    result = result ? result : qcow2_write_back(q);
    pthread_mutex_unlock(&q->lock);
    if (!result && last > block_size(q->data)) {
        return block_truncate(q->data, last, mode, error);
    }
    return io_failed(result, q, "preallocate", error);
}

/* --- Resizing ----------------------------------------------------------------------------------
 */

static int write_size(Qcow2 *q, u64 size)
{
    u8 bytes[8];

    be64_put(bytes, size);
    int result = block_pwrite(q->file, 24, bytes, sizeof bytes, 0);
    result = result ? result : block_flush(q->file);
    if (!result) {
        q->header.size = q->node->size = size;
    }
    return result;
}

/* Drops what lies behind the disk: old machine state, the rest of a larger disk. */
static int drop_behind(Qcow2 *q, u64 size)
{
    u64 from = ALIGN_UP(size, (u64)q->cluster_size);
    u64 to = q->header.l1_entries * table_bytes(q);
    u32 first = (u32)qcow2_l1_entries(q, size);
    int result = to > from ? qcow2_drop(q, from, to - from, true) : 0;

    pthread_mutex_lock(&q->lock);
    for (u32 i = first; !result && i < q->header.l1_entries; i++) {
        u64 table = q->l1[i] & QCOW2_OFFSET;
        if (table) {
            q->l1[i] = 0;
            q->l1_dirty_from = q->l1_dirty_from < q->l1_dirty_to ? MIN(q->l1_dirty_from, i) : i;
            q->l1_dirty_to = MAX(q->l1_dirty_to, i + 1);
            qcow2_free(q, table, 1, false);
        }
    }
    result = result ? result : qcow2_settle(q);
    pthread_mutex_unlock(&q->lock);
    return result;
}

/* Overwrites the end of a last, partly used cluster, so that growth shows zeroes. */
static int clear_tail(Qcow2 *q, u64 size)
{
    u64 end = ALIGN_UP(size, (u64)q->cluster_size);
    struct iovec iov;
    Qcow2Mapping m;

    if (end == size) {
        return 0;
    }
    pthread_mutex_lock(&q->lock);
    int result = qcow2_lookup(q, size, end - size, true, &m);
    pthread_mutex_unlock(&q->lock);
    if (result < 0 || m.type == QCOW2_ZERO_PLAIN || m.type == QCOW2_ZERO_KEPT ||
        (m.type == QCOW2_UNALLOCATED && !q->node->backing && !q->node->backing_filename)) {
        return result;
    }
    void *zeroes = calloc(1, end - size);
    BlockVector data = block_vector_of(&iov, zeroes, end - size);
    result = zeroes ? qcow2_write_range(q, size, &data) : -ENOMEM;
    free(zeroes);
    return result;
}

/* The end of the last cluster in use, below `clusters`. */
static int find_end(Qcow2 *q, u64 *clusters)
{
    u64 count = 0;
    int result = 0;

    *clusters = MIN(*clusters, (u64)q->reftable_entries << q->block_bits);
    while (!result && *clusters && !count) {
        u64 block = (*clusters - 1) >> q->block_bits;
        if (!q->reftable[block]) {
            *clusters = block << q->block_bits;
            continue;
        }
        result = qcow2_refcount_get(q, *clusters - 1, &count);
        *clusters -= !count;
    }
    return result;
}

/* Cuts off the end of the file that no cluster uses. */
static int shorten_file(Qcow2 *q, BlockError *error)
{
    /* The last one may be partly there: a compressed cluster. */
    u64 end = ALIGN_UP(block_size(q->file), (u64)q->cluster_size);
    u64 clusters = end >> q->header.cluster_bits;

    pthread_mutex_lock(&q->lock);
    int result = find_end(q, &clusters);
    u64 size = clusters << q->header.cluster_bits;
    q->virgin = end;
    pthread_mutex_unlock(&q->lock);
    if (!result && size < block_size(q->file)) {
        result = block_truncate(q->file, size, BLOCK_PREALLOC_OFF, error);
        q->virgin = result ? q->virgin : size;
    }
    return result;
}

static int shrink(Qcow2 *q, u64 size, BlockError *error)
{
    int result = clear_tail(q, size);

    /* The size first: killed in between, clusters leak, but nothing that is in use is gone. */
    result = result ? result : write_size(q, size);
    result = result ? result : drop_behind(q, size);
    if (!result && q->external_data) {
        result = block_truncate(q->data, size, BLOCK_PREALLOC_OFF, error);
    }
    return result ? io_failed(result, q, "shrink", error) : shorten_file(q, error);
}

/* Version 2 has no other way to say that something is zero. */
static int write_zeroes(Qcow2 *q, u64 offset, u64 bytes)
{
    enum { CHUNK = 1 << 20 };
    u8 *zeroes = calloc(1, CHUNK);
    int result = zeroes ? 0 : -ENOMEM;

    for (u64 at = 0; !result && at < bytes; at += CHUNK) {
        struct iovec iov;
        BlockVector part = block_vector_of(&iov, zeroes, MIN(bytes - at, (u64)CHUNK));
        result = qcow2_write_range(q, offset + at, &part);
    }
    free(zeroes);
    return result;
}

static int grow(Qcow2 *q, u64 size, BlockPrealloc mode, BlockError *error)
{
    u64 old = q->node->size, backing = q->node->backing ? block_size(q->node->backing) : 0;
    u64 start = ALIGN_UP(old, (u64)q->cluster_size);
    int result = clear_tail(q, old);

    result = result ? result : drop_behind(q, old);
    pthread_mutex_lock(&q->lock);
    result = result ? result : qcow2_grow_l1(q, qcow2_l1_entries(q, size));
    pthread_mutex_unlock(&q->lock);
    if (!result && backing > start) {
        /* What the backing file has there must not appear. */
        u64 hide = MIN(size, backing) - MIN(start, size);
        result = !hide                    ? 0
                 : q->header.version >= 3 ? qcow2_drop(q, start, hide, false)
                                          : write_zeroes(q, start, ALIGN_UP(hide, 512ull));
    }
    if (!result && q->external_data && size > block_size(q->data)) {
        BlockPrealloc data_mode = mode == BLOCK_PREALLOC_METADATA ? BLOCK_PREALLOC_OFF : mode;
        result = block_truncate(q->data, size, data_mode, error);
    }
    if (!result && (mode != BLOCK_PREALLOC_OFF || q->raw_data)) {
        result = qcow2_preallocate(q, old, size - old, mode, error);
    }
    return io_failed(result ? result : write_size(q, size), q, "grow", error);
}

int qcow2_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    Qcow2 *q = node->state;

    size = ALIGN_UP(size, (u64)512);
    if (q->snapshot_count && q->header.version < 3) {
        return block_error(error, ENOTSUP,
                           "an image of version 2 (compat=0.10) with snapshots cannot be resized");
    }
    if (qcow2_l1_entries(q, size) > QCOW2_MAX_L1_BYTES / 8) {
        return block_error(error, EFBIG, "the disk would be too large for this cluster size");
    }
    if (size < node->size && mode != BLOCK_PREALLOC_OFF) {
        return block_error(error, EINVAL, "preallocation is for growing");
    }
    int result = qcow2_bitmaps_resize(q, size);
    if (result < 0) {
        return io_failed(result, q, "resize the bitmaps of", error);
    }
    return size < node->size   ? shrink(q, size, error)
           : size > node->size ? grow(q, size, mode, error)
                               : 0;
}

/* --- Emptying, backing file --------------------------------------------------------------------
 */

int qcow2_make_empty(BlockNode *node, BlockError *error)
{
    Qcow2 *q = node->state;
    int result = qcow2_drop(q, 0, ALIGN_UP(node->size, (u64)q->cluster_size), true);

    result = result ? result : drop_behind(q, node->size);
    if (!result) {
        pthread_mutex_lock(&q->lock);
        result = qcow2_settle(q);
        pthread_mutex_unlock(&q->lock);
    }
    return result ? io_failed(result, q, "empty", error) : shorten_file(q, error);
}

int qcow2_change_backing(BlockNode *node, const char *filename, const char *format,
                         BlockError *error)
{
    Qcow2 *q = node->state;
    Qcow2Header *h = &q->header;
    char *old_name = h->backing_name, *old_format = h->backing_format;

    if (q->raw_data && filename && *filename) {
        return block_error(error, EINVAL, "an image with a raw data file has no backing file");
    }
    h->backing_name = filename && *filename ? strdup(filename) : NULL;
    h->backing_format = h->backing_name && format && *format ? strdup(format) : NULL;
    int result = qcow2_header_write(q->file, h, error);
    result = result ? result : block_flush(q->file);
    if (result < 0) {
        free(h->backing_name);
        free(h->backing_format);
        h->backing_name = old_name;
        h->backing_format = old_format;
        return result;
    }
    free(old_name);
    free(old_format);
    free(node->backing_filename);
    free(node->backing_format);
    node->backing_filename = h->backing_name ? strdup(h->backing_name) : NULL;
    node->backing_format = h->backing_format ? strdup(h->backing_format) : NULL;
    return 0;
}
