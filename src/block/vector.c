/* Windows on scatter lists: see vector.h. */
#include "block/vector.h"

#include <string.h>

BlockVector block_vector_part(const BlockVector *vector, size_t at, size_t bytes)
{
    BlockVector part = {vector->iov, vector->skip + at, bytes};

    while (bytes && part.skip >= part.iov->iov_len) {
        part.skip -= part.iov->iov_len;
        part.iov++;
    }
    return part;
}

void *block_vector_linear(const BlockVector *vector)
{
    BlockVector whole = block_vector_part(vector, 0, vector->bytes);

    if (whole.bytes && whole.iov->iov_len - whole.skip >= whole.bytes) {
        return (u8 *)whole.iov->iov_base + whole.skip;
    }
    return NULL;
}

/* The first piece of the window; the window moves past it. */
static struct iovec next_piece(BlockVector *rest)
{
    *rest = block_vector_part(rest, 0, rest->bytes);
    struct iovec piece = {(u8 *)rest->iov->iov_base + rest->skip,
                          MIN(rest->iov->iov_len - rest->skip, rest->bytes)};
    rest->skip += piece.iov_len;
    rest->bytes -= piece.iov_len;
    return piece;
}

void block_vector_store(const BlockVector *vector, const void *from, size_t bytes)
{
    BlockVector rest = block_vector_part(vector, 0, bytes);

    while (rest.bytes) {
        struct iovec piece = next_piece(&rest);
        memcpy(piece.iov_base, from, piece.iov_len);
        from = (const u8 *)from + piece.iov_len;
    }
}

void block_vector_load(const BlockVector *vector, void *to, size_t bytes)
{
    BlockVector rest = block_vector_part(vector, 0, bytes);

    while (rest.bytes) {
        struct iovec piece = next_piece(&rest);
        memcpy(to, piece.iov_base, piece.iov_len);
        to = (u8 *)to + piece.iov_len;
    }
}

void block_vector_clear(const BlockVector *vector)
{
    BlockVector rest = *vector;

    while (rest.bytes) {
        struct iovec piece = next_piece(&rest);
        memset(piece.iov_base, 0, piece.iov_len);
    }
}

bool block_vector_is_zero(const BlockVector *vector)
{
    BlockVector rest = *vector;

    while (rest.bytes) {
        struct iovec piece = next_piece(&rest);
        if (!block_is_zero(piece.iov_base, piece.iov_len)) {
            return false;
        }
    }
    return true;
}

unsigned block_vector_iovecs(const BlockVector *vector, struct iovec *out, unsigned max,
                             size_t *bytes)
{
    BlockVector rest = *vector;
    unsigned count = 0;

    while (rest.bytes && count < max) {
        struct iovec piece = next_piece(&rest);
        if (piece.iov_len) {
            out[count++] = piece;
        }
    }
    *bytes = vector->bytes - rest.bytes;
    return count;
}

bool block_is_zero(const void *data, size_t bytes)
{
    const u8 *p = data;
    u64 word;

    /* Most data that is not zero shows it at the ends or in the middle. */
    if (bytes < 16) {
        for (size_t i = 0; i < bytes; i++) {
            if (p[i]) {
                return false;
            }
        }
        return true;
    }
    if (p[0] || p[bytes - 1] || p[bytes / 2]) {
        return false;
    }
    memcpy(&word, p, sizeof word);
    /* All bytes equal the one eight before, and the first eight are zero. */
    return !word && !memcmp(p, p + 8, bytes - 8);
}
