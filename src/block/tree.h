/* What formats share whose clusters are found through two levels of tables: QED, qcow version 1,
 * VMDK. The first level is in memory, tables of the second are read when first needed and kept, a
 * bounded number of them.
 *
 * Invariants: an entry changes from "nowhere" or "zero" to a place once, after the cluster's data
 * have been written; all changes are made under `lock` held for writing, entries are read under it
 * held for reading.
 * Must not know any format: TreeFormat says how tables look in the file. */
#ifndef BLOCK_TREE_H
#define BLOCK_TREE_H

#include "block/crypto.h"
#include "block/driver.h"

/* Entries that are no byte offset in the file. */
#define TREE_NOWHERE (~(u64)0)         /* the backing node shows, or zeroes */
#define TREE_ZERO (~(u64)1)            /* zeroes */
#define TREE_COMPRESSED ((u64)1 << 63) /* or-ed to what only the format understands */

typedef struct BlockTree BlockTree;

/* What a format supplies. Functions run with the tree's lock held. */
typedef struct TreeFormat {
    /* Reads and decodes table `index` of the second level, tree->entries of them. Not called for
     * tables that have no place. */
    int (*load)(BlockNode *node, BlockTree *tree, u32 index, u64 *entries);
    /* Whether table `index` has a place. */
    bool (*has_table)(const BlockTree *tree, u32 index);
    /* Gives table `index` a place and writes it, without entries. */
    int (*new_table)(BlockNode *node, BlockTree *tree, u32 index);
    /* Puts one entry into the file: a place, or what block_tree_put() was given. */
    int (*store)(BlockNode *node, BlockTree *tree, u32 index, u32 entry, u64 place);
    /* Decompresses a cluster: `entry` without TREE_COMPRESSED; `out` holds a cluster. NULL: there
     * are none. */
    int (*decompress)(BlockNode *node, BlockTree *tree, u64 entry, u8 *out);
} TreeFormat;

typedef struct TreeTable {
    u32 index;
    _Atomic(u64) used; /* by the clock, for eviction */
    u64 *entries;      /* NULL: a free slot */
} TreeTable;

enum { TREE_TABLES = 64 }; /* second-level tables kept in memory */

struct BlockTree {
    const TreeFormat *format;
    BlockNode *data;  /* the node that holds the clusters */
    u32 cluster_size; /* bytes, a power of two */
    u32 entries;      /* of a table of the second level */
    u32 tables;       /* entries of the first level */
    u64 end;          /* where the file grows next; the format adds for tables */
    pthread_rwlock_t lock;
    TreeTable table[TREE_TABLES];
    _Atomic(u64) clock;
    SectorCipher *cipher; /* of the clusters, by the disk's sectors; NULL: in the clear. Owned. */
    u64 below; /* where this tree's disk begins in the node's: what is looked up in the backing node
                */
};

void block_tree_init(BlockTree *tree, const TreeFormat *format, BlockNode *data, u32 cluster_size,
                     u32 entries, u32 tables);
void block_tree_free(BlockTree *tree);

/* Offsets are into the tree's disk. */
int block_tree_read(BlockNode *node, BlockTree *tree, u64 offset, const BlockVector *data);
int block_tree_write(BlockNode *node, BlockTree *tree, u64 offset, const BlockVector *data,
                     unsigned flags);
int block_tree_map(BlockNode *node, BlockTree *tree, u64 offset, u64 bytes, BlockExtent *extent);

/* The entry of the cluster at an offset, loading its table: for checks. */
int block_tree_find(BlockNode *node, BlockTree *tree, u64 offset, u64 *entry);

/* Writes `bytes` at the end of the file and makes `entry` of the place there (or-ed to it) the
 * cluster's. -EEXIST when the cluster has data already. */
int block_tree_put(BlockNode *node, BlockTree *tree, u64 offset, u64 entry, const u8 *data,
                   size_t bytes);

/* Deflate streams: raw ones with a window of 12 bits (qcow), or with zlib's frame. Decompression is
 * into exactly `size` bytes; compression returns the bytes made, or -ENOSPC when they would be more
 * than `room`. */
int block_inflate(const u8 *from, size_t bytes, u8 *to, size_t size, bool zlib);
int block_deflate(const u8 *from, size_t bytes, u8 *to, size_t room, bool zlib);

#endif
