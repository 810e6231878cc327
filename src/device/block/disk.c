/* Requests of devices on the main loop: see disk.h. */
#include "device/block/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct Disk {
    Board *board;
    BlockNode *node;
    bool read_only;
    DiskDrive drive; /* its functions are NULL where the image stays */
    IoContext *io;
    DiskRequest *waiting, **last; /* to be submitted */
    bool deferred;
    u32 in_flight; /* waiting ones included */
};

static void finish(DiskRequest *request, int result)
{
    request->busy = false;
    request->disk->in_flight--;
    if (!request->cancelled) {
        request->done(request, result);
    }
}

static void block_done(BlockRequest *block, int result)
{
    finish((DiskRequest *)(void *)block, result);
}

static void submit_waiting(Disk *disk)
{
    while (disk->waiting) {
        DiskRequest *request = disk->waiting;
        disk->waiting = request->next;
        request->block.done = block_done;
        block_submit(disk->io, disk->node, &request->block);
    }
    disk->last = &disk->waiting;
}

static void run_deferred(void *opaque)
{
    Disk *disk = opaque;

    disk->deferred = false;
    submit_waiting(disk);
    io_context_run(disk->io, false);
}

static void io_ready(void *opaque, u32 events)
{
    Disk *disk = opaque;

    (void)events;
    io_context_run(disk->io, false);
}

Disk *disk_new(Board *board, BlockNode *node, bool read_only, BlockError *error)
{
    Disk *disk = calloc(1, sizeof *disk);

    if (!disk) {
        abort();
    }
    disk->board = board;
    disk->node = node;
    disk->read_only = read_only;
    disk->last = &disk->waiting;
    disk->io = io_context_new(IO_AUTO, error);
    if (!disk->io ||
        loop_watch(board->loop, io_context_fd(disk->io), EPOLLIN, io_ready, disk) < 0) {
        io_context_free(disk->io);
        free(disk);
        return NULL;
    }
    return disk;
}

void disk_drain(Disk *disk)
{
    while (disk->in_flight) {
        submit_waiting(disk);
        io_context_run(disk->io, true);
    }
}

void disk_free(Disk *disk)
{
    if (disk) {
        disk_drain(disk);
        loop_unwatch(disk->board->loop, io_context_fd(disk->io));
        io_context_free(disk->io);
        free(disk);
    }
}

bool disk_has_medium(const Disk *disk)
{
    return disk && disk->node;
}

u64 disk_size(const Disk *disk)
{
    return disk->node ? block_size(disk->node) : 0;
}

bool disk_is_read_only(const Disk *disk)
{
    return disk->read_only;
}

BlockNode *disk_node(const Disk *disk)
{
    return disk->node;
}

void disk_set_drive(Disk *disk, const DiskDrive *drive)
{
    disk->drive = drive ? *drive : (DiskDrive){0};
}

bool disk_is_removable(const Disk *disk)
{
    return disk->drive.changed;
}

int disk_change(Disk *disk, BlockNode *node, bool read_only, bool force)
{
    int result = disk->drive.may_change(disk->drive.opaque, node ? block_size(node) : 0, force);

    if (result < 0) {
        return result;
    }
    disk_drain(disk);
    disk->node = node;
    disk->read_only = read_only;
    disk->drive.changed(disk->drive.opaque);
    return 0;
}

int disk_resize(Disk *disk, u64 size, BlockError *error)
{
    int result;

    disk_drain(disk);
    result = block_truncate(disk->node, size, BLOCK_PREALLOC_OFF, error);
    if (result == 0 && disk->drive.resized) {
        disk->drive.resized(disk->drive.opaque);
    }
    return result;
}

void disk_submit(Disk *disk, DiskRequest *request)
{
    request->disk = disk;
    request->busy = true;
    request->cancelled = false;
    request->next = NULL;
    *disk->last = request;
    disk->last = &request->next;
    disk->in_flight++;
    if (!disk->deferred) {
        disk->deferred = true;
        loop_defer(disk->board->loop, run_deferred, disk);
    }
}

void disk_cancel(DiskRequest *request)
{
    request->cancelled = true;
    while (request->busy) {
        submit_waiting(request->disk);
        io_context_run(request->disk->io, true);
    }
    request->cancelled = false;
}
