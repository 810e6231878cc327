/* What the files of the layer itself share; drivers don't include it. */
#ifndef BLOCK_LAYER_H
#define BLOCK_LAYER_H

#include "block/driver.h"

/* The images above the one being opened, innermost first: to find chains that bite their tails. */
typedef struct BlockAncestor {
    const struct BlockAncestor *up;
    const char *filename;
    unsigned depth;
} BlockAncestor;

/* block_open() somewhere in a backing chain. */
int block_open_below(BlockNode **node, const char *filename, const BlockOptions *options,
                     unsigned flags, const BlockAncestor *up, BlockError *error);

/* A temporary overlay on `base`, which it then owns; flags as for block_open(). */
int block_open_temporary(BlockNode **node, BlockNode *base, unsigned flags, BlockError *error);

/* Is "scheme:" one of this protocol's? */
bool block_driver_takes_scheme(const BlockDriver *driver, const char *scheme, size_t length);

/* The format that the bytes look most like, raw if like none. NULL with an error if the file cannot
 * be read. */
const BlockDriver *block_probe(BlockNode *file, const char *filename, BlockError *error);

#endif
