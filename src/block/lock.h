/* Locks on image files, understood by QEMU's tools as well. */
#ifndef BLOCK_LOCK_H
#define BLOCK_LOCK_H

#include "block/options.h"

typedef struct BlockLock {
    int fd;
    bool off; /* take none */
} BlockLock;

/* Takes the locks that a user with these BlockOpenFlags needs, if nobody's are in the way. */
int block_lock(BlockLock *lock, const char *filename, unsigned flags, BlockError *error);

void block_unlock(BlockLock *lock);

#endif
