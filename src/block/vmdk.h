/* What the files of the VMDK format share.
 *
 * A VMDK disk is a list of extents, named in a text, the descriptor. The text is a file of its own,
 * or is embedded in the one sparse extent there is. vmdk_descriptor.c reads and writes the text,
 * vmdk_sparse.c sparse extents, vmdk_check.c checks them, vmdk.c puts the disk together.
 * Facts: VMware's "Virtual Disk Format 5.0". Numbers are little-endian, offsets in sectors. */
#ifndef BLOCK_VMDK_H
#define BLOCK_VMDK_H

#include "block/tree.h"

enum { VMDK_SECTOR = 512, VMDK_DESCRIPTOR_MAX = 1 << 20, VMDK_NAME_MAX = 512 };

typedef enum VmdkKind { VMDK_FLAT, VMDK_SPARSE, VMDK_ZERO } VmdkKind;

/* One extent; a sparse one's tree comes first, so that the tree's functions find it. */
typedef struct VmdkExtent {
    BlockTree tree;
    VmdkKind kind;
    BlockNode *file; /* where its bytes are */
    bool own_file;   /* to be closed with the extent */
    u64 start, size; /* bytes, in the disk */
    u64 flat_offset; /* bytes, in the file */
    u32 *directory;  /* sparse: sectors of grain tables; owned */
    u32 *redundant;  /* the same of the second copy, or NULL; owned */
    bool compressed, markers, zero_grains;
    u64 descriptor_offset, descriptor_size; /* bytes; of an embedded descriptor, or 0 */
} VmdkExtent;

/* An extent as the descriptor has it. */
typedef struct VmdkLine {
    VmdkKind kind;
    u64 sectors;
    u64 offset; /* sectors, flat ones */
    char name[VMDK_NAME_MAX];
} VmdkLine;

/* The parts of a descriptor that matter. */
typedef struct VmdkDescriptor {
    u32 cid, parent_cid;
    char type[64];
    char parent[VMDK_NAME_MAX]; /* "": none */
    VmdkLine *lines;            /* owned */
    u32 count;
} VmdkDescriptor;

/* Parses the text (NUL-terminated). */
int vmdk_parse_descriptor(const char *text, VmdkDescriptor *descriptor, BlockError *error);

/* What a new descriptor is made of; `lines` has the extents' lines already as text. */
typedef struct VmdkText {
    u32 cid, parent_cid;
    const char *type, *parent, *lines, *hardware, *tools, *adapter;
    u64 sectors;
} VmdkText;

/* The text, malloc()ed. */
char *vmdk_make_descriptor(const VmdkText *text);

/* The place of the eight digits of "CID=" in a descriptor, or NULL. */
char *vmdk_find_cid(char *text);

/* Opens the sparse extent in extent->file: fills all but start. */
int vmdk_open_sparse(BlockNode *node, VmdkExtent *extent, BlockError *error);
void vmdk_close_extent(VmdkExtent *extent);

/* Writes an empty sparse extent of `size` bytes; with a descriptor embedded unless NULL. */
int vmdk_create_sparse(BlockNode *file, u64 size, bool compressed, bool zero_grains,
                       const char *descriptor, BlockError *error);

/* Writes one whole grain of a compressed extent. */
int vmdk_write_compressed(BlockNode *node, VmdkExtent *extent, u64 offset, const BlockVector *data);

/* Counts grains that cannot be where the tables say. */
int vmdk_check_extents(BlockNode *node, VmdkExtent *extents, u32 count, BlockCheck *check,
                       BlockError *error);

#endif
