/* Parts of a request's path that submit.c shares with request.c. */
#ifndef BLOCK_REQUEST_H
#define BLOCK_REQUEST_H

#include "block/driver.h"

/* 0 if the node has that range (or grows to have it), else -errno. */
int block_check_range(const BlockNode *node, u64 offset, u64 bytes);
/* The same for writing. */
int block_check_write(const BlockNode *node, u64 offset, u64 bytes);

/* With the gate entered. */
int block_read_inside(BlockNode *node, u64 offset, const BlockVector *data);
int block_flush_inside(BlockNode *node);

#endif
