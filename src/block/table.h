/* What formats share whose disk is an array of equal blocks, each somewhere in the file or nowhere:
 * VDI, VHD, VHDX, Parallels, and those that are read only.
 *
 * A format loads its table into `at`, and supplies how an entry is stored; reading, allocating at
 * the end of the file, zeroing, and block status are here.
 *
 * Invariants: entries change from "nowhere" to a place once and never back while requests run;
 * a block's data is written before its entry, so that a reader of the file never finds a place
 * without data. at[] is read without a lock, written under `lock`.
 * Must not know any format. */
#ifndef BLOCK_TABLE_H
#define BLOCK_TABLE_H

#include "block/driver.h"

/* Places of blocks that have none. */
#define TABLE_NOWHERE (~(u64)0) /* unallocated: zeroes, or what the backing node holds */
#define TABLE_ZERO (~(u64)1)    /* known to be zeroes */

typedef struct BlockTable BlockTable;

/* Puts the entry of block `index`, which is at `place` now, into the file. Called under the lock.
 */
typedef int BlockTableStore(BlockNode *node, u32 index, u64 place);

struct BlockTable {
    u32 block_size; /* bytes, a power of two */
    u32 count;
    _Atomic(u64) *at; /* byte offsets in node->file; owned */
    u64 end;          /* where the next block's data go; grows */
    u32 prefix;     /* bytes before each block's data that are allocated with it (VHD's bitmap); */
    u8 prefix_fill; /* what they are filled with */
    BlockTableStore *store;
    pthread_mutex_t lock;
};

/* `count` blocks, all nowhere; -ENOMEM, -EFBIG when count is beyond reason (2^26). */
int block_table_init(BlockTable *table, u64 count, u32 block_size, BlockError *error);
void block_table_free(BlockTable *table);

/* Driver functions for nodes whose state begins with a BlockTable. */
int block_table_read(BlockNode *node, u64 offset, const BlockVector *data);
int block_table_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags);
int block_table_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent);
bool block_table_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct);

/* Checks that places are inside the file, aligned and of one block each: counts corruptions. */
int block_table_check(BlockNode *node, BlockCheck *check);

#endif
