/* Reading guest data from qcow2, and saying where it is. */
#include <errno.h>
#include <string.h>

#include "block/qcow2.h"

/* The backing node's bytes, zeroes past its end. */
static int read_backing(Qcow2 *q, u64 offset, const BlockVector *data)
{
    BlockNode *backing = q->node->backing;
    u64 size = backing ? block_size(backing) : 0;
    u64 bytes = offset < size ? MIN(size - offset, (u64)data->bytes) : 0;
    int result = 0;

    if (bytes) {
        BlockVector part = block_vector_part(data, 0, bytes);
        result = block_readv(backing, offset, &part);
    }
    if (!result && bytes < data->bytes) {
        BlockVector rest = block_vector_part(data, bytes, data->bytes - bytes);
        block_vector_clear(&rest);
    }
    return result;
}

static int read_mapping(Qcow2 *q, u64 offset, const Qcow2Mapping *m, const BlockVector *data)
{
    switch (m->type) {
    case QCOW2_NORMAL:
        return qcow2_data_read(q, m->host, offset, data);
    case QCOW2_PACKED:
        return qcow2_read_packed(q, m->entry, offset & (q->cluster_size - 1), data);
    case QCOW2_UNALLOCATED:
    case QCOW2_UNSET:
        return read_backing(q, offset, data);
    case QCOW2_ZERO_PLAIN:
    case QCOW2_ZERO_KEPT:
        break;
    }
    block_vector_clear(data);
    return 0;
}

int qcow2_read_range(Qcow2 *q, u64 offset, const BlockVector *data)
{
    int result = 0;

    for (size_t at = 0; !result && at < data->bytes;) {
        Qcow2Mapping m;
        pthread_mutex_lock(&q->lock);
        result = qcow2_lookup(q, offset + at, data->bytes - at, true, &m);
        pthread_mutex_unlock(&q->lock);
        if (!result) {
            BlockVector part = block_vector_part(data, at, m.bytes);
            result = read_mapping(q, offset + at, &m, &part);
            at += m.bytes;
        }
    }
    return result;
}

int qcow2_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    return qcow2_read_range(node->state, offset, data);
}

static void direct_backing(const Qcow2 *q, u64 offset, BlockDirect *direct)
{
    BlockNode *backing = q->node->backing;
    u64 size = backing ? block_size(backing) : 0;

    direct->node = offset < size ? backing : NULL;
    direct->offset = offset;
    if (direct->node) {
        direct->bytes = MIN(direct->bytes, size - offset);
    }
}

bool qcow2_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct)
{
    Qcow2 *q = node->state;
    Qcow2Mapping m;

    if (pthread_mutex_trylock(&q->lock)) {
        return false;
    }
    bool good = qcow2_lookup(q, offset, bytes, false, &m) == 0;
    bool encrypted = q->header.crypt != QCOW2_CRYPT_NONE;
    good = good && !(encrypted && (op == BLOCK_OP_WRITE || m.type == QCOW2_NORMAL));
    *direct = (BlockDirect){q->data, m.host, m.bytes};
    if (good && op == BLOCK_OP_WRITE) {
        good = m.type == QCOW2_NORMAL && m.copied && !q->inert;
        if (good) {
            qcow2_bitmaps_note(q, offset, m.bytes);
        }
    }
    pthread_mutex_unlock(&q->lock);
    if (!good || op == BLOCK_OP_WRITE || m.type == QCOW2_NORMAL) {
        return good;
    }
    if (m.type == QCOW2_ZERO_PLAIN || m.type == QCOW2_ZERO_KEPT) {
        direct->node = NULL;
    } else if (m.type == QCOW2_PACKED) {
        return false;
    } else {
        direct_backing(q, offset, direct);
    }
    return true;
}

int qcow2_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    Qcow2 *q = node->state;
    Qcow2Mapping m = {0}, next;
    u64 done = 0;
    int result = 0;

    /* Slices end the run in places that mean nothing to the caller. */
    while (!result && done < bytes) {
        pthread_mutex_lock(&q->lock);
        result = qcow2_lookup(q, offset + done, bytes - done, true, &next);
        pthread_mutex_unlock(&q->lock);
        bool same = !result && next.type == m.type &&
                    (m.type != QCOW2_NORMAL || next.host == m.host + done);
        if (!result && done && !same) {
            break;
        }
        m = done ? m : next;
        done += result ? 0 : next.bytes;
    }
    if (result < 0) {
        return result;
    }
    *extent = (BlockExtent){.bytes = done};
    switch (m.type) {
    case QCOW2_NORMAL:
        extent->flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_OFFSET;
        extent->flags |= q->look_below ? BLOCK_LOOK_BELOW : 0;
        extent->offset = m.host;
        extent->file = q->data;
        break;
    case QCOW2_PACKED:
        extent->flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_IS_COMPRESSED;
        break;
    case QCOW2_ZERO_KEPT:
        extent->flags = BLOCK_ZERO | BLOCK_ALLOCATED | BLOCK_OFFSET;
        extent->offset = m.host;
        extent->file = q->data;
        break;
    case QCOW2_ZERO_PLAIN:
        extent->flags = BLOCK_ZERO | BLOCK_ALLOCATED;
        break;
    case QCOW2_UNALLOCATED:
    case QCOW2_UNSET:
        break;
    }
    if (q->header.crypt != QCOW2_CRYPT_NONE) {
        /* The bytes there are not the guest's. */
        extent->flags &= ~(unsigned)(BLOCK_OFFSET | BLOCK_LOOK_BELOW);
    }
    return 0;
}
