/* Format "cloop": compressed loop images of live CDs, read only.
 *
 * Facts: cloop 2's layout: 128 bytes of text, block size and number of blocks (big-endian 32 bits),
 * that many and one more 64-bit offsets, and zlib streams between them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "block/tree.h"

enum { BLOCK_SIZE = 128, BLOCK_COUNT = 132, OFFSETS = 136, BLOCK_LIMIT = 64 << 20 };
enum { SECTOR = 512, TABLE_LIMIT = 512 << 20 };

static const char signature[] = "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t "
                                "iso9660 /dev/cloop $1\n";

typedef struct Cloop {
    u32 block_size, count;
    u64 *offsets; /* count + 1; owned */
    u8 *stream;   /* the longest stream fits; owned */
    u8 *block;    /* the block decompressed last; owned */
    u32 current;  /* its number, or count */
    pthread_mutex_t lock;
} Cloop;

static int cloop_probe(const u8 *head, size_t size, const char *filename)
{
    size_t length = MIN(sizeof signature - 1, size);

    (void)filename;
    return length && !memcmp(head, signature, length) ? 2 : 0;
}

static int load_offsets(BlockNode *node, Cloop *c, BlockError *error)
{
    u64 bytes = ((u64)c->count + 1) * 8, longest = 0;
    int result;

    if (bytes > TABLE_LIMIT) {
        return block_error(error, EINVAL, "cloop image with too many blocks");
    }
    c->offsets = malloc(bytes);
    result = c->offsets ? block_read_exact(node->file, OFFSETS, c->offsets, bytes) : -ENOMEM;
    if (result < 0) {
        return block_error(error, -result, "cannot read the cloop offsets: %s", strerror(-result));
    }
    for (u32 n = 0; n <= c->count; n++) {
        c->offsets[n] = be64_get(&c->offsets[n]);
        if (n && c->offsets[n] < c->offsets[n - 1]) {
            return block_error(error, EINVAL, "cloop offsets are not in order");
        }
        longest = n ? MAX(longest, c->offsets[n] - c->offsets[n - 1]) : 0;
    }
    if (longest > 2 * (u64)BLOCK_LIMIT) {
        return block_error(error, EINVAL, "cloop block of %llu bytes is not possible",
                           (unsigned long long)longest);
    }
    c->stream = malloc(longest + 1);
    c->block = malloc(c->block_size);
    return c->stream && c->block ? 0 : block_error(error, ENOMEM, "no memory for cloop blocks");
}

static void free_all(Cloop *c)
{
    free(c->offsets);
    free(c->stream);
    free(c->block);
}

static int cloop_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Cloop *c = node->state;
    u8 h[OFFSETS];
    int result = block_read_exact(node->file, 0, h, sizeof h);

    (void)options;
    if (result < 0) {
        return block_error(error, -result, "cannot read the cloop header");
    }
    if (node->flags & BLOCK_WRITE) {
        return block_error(error, EROFS, "cloop images can only be read");
    }
    c->block_size = be32_get(h + BLOCK_SIZE);
    c->count = be32_get(h + BLOCK_COUNT);
    if (c->block_size == 0 || c->block_size % SECTOR || c->block_size > BLOCK_LIMIT) {
        return block_error(error, EINVAL, "cloop block size %u is not possible", c->block_size);
    }
    c->current = c->count;
    node->size = (u64)c->count * c->block_size;
    result = load_offsets(node, c, error);
    if (result < 0) {
        free_all(c);
        return result;
    }
    pthread_mutex_init(&c->lock, NULL);
    return 0;
}

static int cloop_close(BlockNode *node)
{
    Cloop *c = node->state;

    pthread_mutex_destroy(&c->lock);
    free_all(c);
    return 0;
}

static int load_block(BlockNode *node, Cloop *c, u32 index)
{
    size_t bytes = c->offsets[index + 1] - c->offsets[index];
    int result;

    if (c->current == index) {
        return 0;
    }
    c->current = c->count;
    result = block_read_exact(node->file, c->offsets[index], c->stream, bytes);
    result = result < 0 ? result : block_inflate(c->stream, bytes, c->block, c->block_size, true);
    c->current = result < 0 ? c->count : index;
    return result;
}

static int cloop_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    Cloop *c = node->state;
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        u32 inside = (u32)((offset + at) % c->block_size);
        BlockVector part =
            block_vector_part(data, at, MIN(c->block_size - inside, data->bytes - at));
        pthread_mutex_lock(&c->lock);
        result = load_block(node, c, (u32)((offset + at) / c->block_size));
        if (result >= 0) {
            block_vector_store(&part, c->block + inside, part.bytes);
        }
        pthread_mutex_unlock(&c->lock);
        at += part.bytes;
    }
    return result;
}

const BlockDriver block_driver_cloop = {
    .name = "cloop",
    .kind = BLOCK_FORMAT,
    .state_size = sizeof(Cloop),
    .probe = cloop_probe,
    .open = cloop_open,
    .close = cloop_close,
    .read = cloop_read,
};
