/* A disk as devices use it: requests in flight on an image, called back under the machine lock.
 *
 * A Disk is what a PROPERTY_BACKEND of type "disk" or "medium" points to; boards make one for each
 * drive. One of type "medium" may be empty, and its image may be changed while the machine runs.
 * All functions need the machine lock. Requests are submitted on the main loop's thread, which owns
 * the I/O context; devices with I/O threads of their own use the block layer directly. */
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

/* What a drive does about changes of what is in it. The first two are those of drives whose medium
 * can be taken out, else NULL. */
typedef struct DiskDrive {
    void *opaque;
    /* Before a change to a medium of that many bytes (0: none). 0; -EBUSY: the guest has locked the
     * door, and was told that somebody wants it open; -EFBIG: no such medium is that large. */
    int (*may_change)(void *opaque, u64 size, bool force);
    void (*changed)(void *opaque);
    void (*resized)(void *opaque); /* disk_size() is another; NULL: ignored */
} DiskDrive;

/* The node stays the caller's; NULL: there is no medium. NULL with an error. */
Disk *disk_new(Board *board, BlockNode *node, bool read_only, BlockError *error);
/* Waits until nothing is in flight; nobody is called back. NULL is fine. */
void disk_free(Disk *disk);

bool disk_has_medium(const Disk *disk); /* false also for NULL */
u64 disk_size(const Disk *disk);        /* bytes; 0 without a medium */
bool disk_is_read_only(const Disk *disk);
BlockNode *disk_node(const Disk *disk); /* NULL without a medium */

/* Changes the image's size when nothing is in flight any more, and tells the drive. 0 or -errno
 * with an error. */
int disk_resize(Disk *disk, u64 size, BlockError *error);

/* The disk is in a drive; NULL: it is not any more. */
void disk_set_drive(Disk *disk, const DiskDrive *drive);
bool disk_is_removable(const Disk *disk);
/* Puts another image into the drive when nothing is in flight any more; NULL: takes it out. force:
 * even if the guest has locked the door. 0, or -errno of may_change(). */
int disk_change(Disk *disk, BlockNode *node, bool read_only, bool force);

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
