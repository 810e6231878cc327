/* A disk as devices use it: requests in flight on an image, called back under the machine lock.
 *
 * A Disk is what a PROPERTY_BACKEND of type "disk" points to; boards make one for each drive. All
 * functions need the machine lock. Requests are submitted on the main loop's thread, which owns the
 * I/O context; devices with I/O threads of their own use the block layer directly. */
#ifndef DEVICE_BLOCK_DISK_H
#define DEVICE_BLOCK_DISK_H

#include "block/block.h"
#include "block/io.h"
#include "device/core/board.h"

typedef struct Disk Disk;

/* Filled in by the device, which keeps it and the iovecs until done() or disk_cancel(). */
typedef struct DiskRequest {
    BlockRequest block;                                    /* op, flags, offset, bytes, iov */
    void (*done)(struct DiskRequest *request, int result); /* 0 or -errno */
    void *opaque;
    Disk *disk;
    struct DiskRequest *next;
    bool busy, cancelled;
} DiskRequest;

/* The node stays the caller's. NULL with an error. */
Disk *disk_new(Board *board, BlockNode *node, bool read_only, BlockError *error);
/* Waits until nothing is in flight; nobody is called back. NULL is fine. */
void disk_free(Disk *disk);

u64 disk_size(const Disk *disk); /* bytes */
bool disk_is_read_only(const Disk *disk);
BlockNode *disk_node(const Disk *disk);

void disk_submit(Disk *disk, DiskRequest *request);
static inline bool disk_is_busy(const DiskRequest *request)
{
    return request->busy;
}
/* The device was reset: waits until the request is over, without calling done(). What a write has
 * done is done. */
void disk_cancel(DiskRequest *request);
/* Waits until nothing is in flight, and calls back (for saving the machine). */
void disk_drain(Disk *disk);

#endif
