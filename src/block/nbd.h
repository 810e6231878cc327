/* Nodes whose bytes an NBD server keeps: what nbd.c and nbdkit.c share. */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include "block/driver.h"
#include "block/nbd_link.h"

typedef struct NbdNode {
    NbdLink link;
    u64 size;                /* bytes of the export */
    u16 flags;               /* NbdFlag, of the export */
    BlockOptions *options;   /* to connect again with; or NULL */
    TlsCredentials *own_tls; /* made of the node's own options, or NULL */
    bool other_context;      /* block status tells something else than allocation */
    int pid;                 /* of the server, if it is our child; else 0 */
    int log_fd;              /* the end of what that complains to */
} NbdNode;

/* Shakes hands over the socket, which it takes over, and sets up the node for the export. */
int block_nbd_attach(BlockNode *node, int fd, const NbdClientOptions *options, BlockError *error);

/* Members of BlockDriver; close() waits for a child to end. */
int block_nbd_close(BlockNode *node);
int block_nbd_reopen(BlockNode *node, unsigned flags, BlockError *error);
int block_nbd_read(BlockNode *node, u64 offset, const BlockVector *data);
int block_nbd_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags);
int block_nbd_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags);
int block_nbd_discard(BlockNode *node, u64 offset, u64 bytes);
int block_nbd_flush(BlockNode *node);
int block_nbd_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent);
int block_nbd_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error);

/* Undoes %XX in place; false if what follows a % is no number or a zero byte. */
bool block_percent_decode(char *text);

#endif
