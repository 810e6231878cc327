/* Scatter lists: a window on an array of iovecs, so that a driver can pass parts of a request on
 * without copying. A window never owns memory, and the iovecs stay unchanged. */
#ifndef BLOCK_VECTOR_H
#define BLOCK_VECTOR_H

#include <sys/uio.h>

#include "base/types.h"

typedef struct BlockVector {
    const struct iovec *iov;
    size_t skip;  /* bytes of the first iovec (or more) that are before the window */
    size_t bytes; /* length of the window */
} BlockVector;

/* A window on one piece of memory. `store` must live as long as the window. */
static inline BlockVector block_vector_of(struct iovec *store, const void *data, size_t bytes)
{
    *store = (struct iovec){(void *)(uintptr_t)data, bytes};
    return (BlockVector){store, 0, bytes};
}

/* The part [at, at + bytes) of the window. */
BlockVector block_vector_part(const BlockVector *vector, size_t at, size_t bytes);

/* The window's memory if it is one piece, else NULL. */
void *block_vector_linear(const BlockVector *vector);

/* Copies between linear memory and the start of the window. */
void block_vector_store(const BlockVector *vector, const void *from, size_t bytes);
void block_vector_load(const BlockVector *vector, void *to, size_t bytes);
/* Fills the window with zeroes. */
void block_vector_clear(const BlockVector *vector);
/* Is every byte of the window zero? */
bool block_vector_is_zero(const BlockVector *vector);

/* Fills out[0 ... max) with plain iovecs for the start of the window; returns how many, with the
 * bytes they cover in *bytes. */
unsigned block_vector_iovecs(const BlockVector *vector, struct iovec *out, unsigned max,
                             size_t *bytes);

/* Are the bytes all zero? Fast: looks at a few first. */
bool block_is_zero(const void *data, size_t bytes);

#endif
