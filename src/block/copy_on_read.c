/* Filter "copy-on-read": what is read from a backing file is kept in the image above it, so that it
 * is fetched once.
 *
 * A copy must not overwrite what a guest writes at the same time. So copies exclude writes
 * (`lock`); writes that the layer sends past us go only to clusters that the image has already,
 * which are never copied to. */
#include <errno.h>
#include <stdlib.h>

#include "block/drivers.h"

enum { LONGEST_COPY = 1 << 20 };

typedef struct CopyOnRead {
    pthread_rwlock_t lock; /* writes hold it for reading, copies for writing */
} CopyOnRead;

static int cor_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    CopyOnRead *c = node->state;

    (void)options, (void)error;
    node->size = block_size(node->file);
    pthread_rwlock_init(&c->lock, NULL);
    return 0;
}

static int cor_close(BlockNode *node)
{
    CopyOnRead *c = node->state;

    pthread_rwlock_destroy(&c->lock);
    return 0;
}

/* Copies the start of a range that the image lacks; *copied bytes, 0 if it has it by now. */
static int copy(BlockNode *node, u64 offset, const BlockVector *data, u64 *copied)
{
    CopyOnRead *c = node->state;
    BlockNode *image = block_skip_filters(node);
    BlockExtent extent;

    *copied = 0;
    pthread_rwlock_wrlock(&c->lock);
    int result = block_map(image, offset, MIN(data->bytes, (size_t)LONGEST_COPY), &extent);
    if (!result && !(extent.flags & BLOCK_ALLOCATED)) {
        BlockVector part = block_vector_part(data, 0, extent.bytes);
        *copied = extent.bytes;
        result = block_readv(node->file, offset, &part);
        if (!result) {
            block_writev(node->file, offset, &part, 0); /* failing, it is only not kept */
        }
    }
    pthread_rwlock_unlock(&c->lock);
    return result;
}

static int cor_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    BlockNode *image = block_skip_filters(node);
    int result = 0;

    for (size_t at = 0; !result && at < data->bytes;) {
        BlockVector rest = block_vector_part(data, at, data->bytes - at);
        BlockExtent extent;
        u64 done = 0;
        result = block_map(image, offset + at, rest.bytes, &extent);
        if (!result && !(extent.flags & BLOCK_ALLOCATED) && (node->flags & BLOCK_WRITE)) {
            result = copy(node, offset + at, &rest, &done);
        }
        if (!result && !done) {
            done = extent.bytes;
            BlockVector part = block_vector_part(&rest, 0, done);
            result = block_readv(node->file, offset + at, &part);
        }
        at += done;
    }
    return result;
}

static int cor_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    CopyOnRead *c = node->state;

    pthread_rwlock_rdlock(&c->lock);
    int result = block_writev(node->file, offset, data, flags);
    pthread_rwlock_unlock(&c->lock);
    return result;
}

static int cor_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    CopyOnRead *c = node->state;

    pthread_rwlock_rdlock(&c->lock);
    int result = block_zero(node->file, offset, bytes, flags);
    pthread_rwlock_unlock(&c->lock);
    return result;
}

static int cor_discard(BlockNode *node, u64 offset, u64 bytes)
{
    CopyOnRead *c = node->state;

    pthread_rwlock_rdlock(&c->lock);
    int result = block_discard(node->file, offset, bytes);
    pthread_rwlock_unlock(&c->lock);
    return result;
}

static bool cor_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct)
{
    *direct = (BlockDirect){node->file, offset, bytes};
    return op == BLOCK_OP_WRITE;
}

static int cor_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    return block_map(node->file, offset, bytes, extent);
}

const BlockDriver block_driver_copy_on_read = {
    .name = "copy-on-read",
    .kind = BLOCK_FILTER,
    .state_size = sizeof(CopyOnRead),
    .open = cor_open,
    .close = cor_close,
    .read = cor_read,
    .write = cor_write,
    .zero = cor_zero,
    .discard = cor_discard,
    .direct = cor_direct,
    .map = cor_map,
};
