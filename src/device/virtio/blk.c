/* "virtio-blk-pci", "virtio-blk-device": a disk (virtio 1.2, 5.2), with several queues, discard and
 * write zeroes. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/block/disk.h"
#include "device/devices.h"
#include "device/virtio/virtio.h"

enum {
    SECTOR = 512,
    IN = 0, /* request types */
    OUT = 1,
    FLUSH = 4,
    GET_ID = 8,
    DISCARD = 11,
    WRITE_ZEROES = 13,
    OK = 0,
    IOERR = 1,
    UNSUPPORTED = 2,
    HEADER = 16,
    SEGMENT = 16, /* of discard and write zeroes: sector, count, flags */
    ID_SIZE = 20,
    MAX_DISCARD = 1 << 22, /* sectors */
    UNMAP = 1,
    CONFIG_SIZE = 60,
};

#define F_SEG_MAX ((u64)1 << 2)
#define F_RO ((u64)1 << 5)
#define F_BLK_SIZE ((u64)1 << 6)
#define F_FLUSH ((u64)1 << 9)
#define F_MQ ((u64)1 << 12)
#define F_DISCARD ((u64)1 << 13)
#define F_WRITE_ZEROES ((u64)1 << 14)

typedef struct Blk Blk;

/* A request at the disk. */
typedef struct Request {
    DiskRequest disk;
    VirtioChain chain;
    VirtQueue *queue;
    Blk *blk;
    struct Request *next; /* of those in flight, or free */
} Request;

struct Blk {
    Virtio virtio;
    Disk *disk;
    char *serial;
    u32 queue_count;
    Request *busy, *free;
};

/* -- Requests */

static Request *take_request(Blk *blk)
{
    Request *r = blk->free;

    if (r) {
        blk->free = r->next;
    } else {
        r = malloc(sizeof *r);
        if (!r) {
            abort();
        }
        r->disk = (DiskRequest){0};
    }
    r->blk = blk;
    r->next = blk->busy;
    blk->busy = r;
    return r;
}

static void put_request(Request *r)
{
    Request **at = &r->blk->busy;

    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    r->next = r->blk->free;
    r->blk->free = r;
}

/* The status byte is the last one that the device writes. */
static void finish(Request *r, u8 status)
{
    u64 size = r->chain.in_size;

    virtio_copy_in(&r->chain, size - 1, &status, 1);
    virtqueue_return(r->queue, &r->chain, (u32)size);
    put_request(r);
}

/* The status byte was trimmed off the data: it is behind them. */
static void untrim(Request *r)
{
    u32 last = r->chain.out_count + r->chain.in_count - 1;

    r->chain.iov[last].iov_len++;
    r->chain.in_size++;
}

static void end_now(Request *r, u8 status)
{
    untrim(r);
    finish(r, status);
}

static void disk_done(DiskRequest *disk, int result)
{
    Request *r = (Request *)(void *)disk;
    VirtQueue *queue = r->queue;

    end_now(r, result < 0 ? IOERR : OK);
    virtqueue_signal(queue);
}

static void submit(Request *r, BlockOp op, u64 offset, u64 bytes, unsigned flags,
                   const struct iovec *iov)
{
    r->disk.done = disk_done;
    r->disk.block =
        (BlockRequest){.op = op, .flags = flags, .offset = offset, .bytes = bytes, .iov = iov};
    disk_submit(r->blk->disk, &r->disk);
}

static bool in_range(const Blk *blk, u64 sector, u64 bytes)
{
    u64 size = disk_size(blk->disk);

    return bytes % SECTOR == 0 && sector <= size / SECTOR && bytes <= size - sector * SECTOR;
}

/* A driver that cannot flush takes what was written for being safe (5.2.5.1). */
static unsigned write_flags(const Blk *blk)
{
    return virtio_has(&blk->virtio, F_FLUSH) ? 0 : BLOCK_FUA;
}

/* Reads or writes; false: refused. */
static bool transfer(Request *r, u32 type, u64 sector)
{
    Blk *blk = r->blk;
    bool in = type == IN;
    u64 bytes = in ? r->chain.in_size : r->chain.out_size;

    if (!in_range(blk, sector, bytes) || (!in && disk_is_read_only(blk->disk)) || !bytes) {
        return false;
    }
    submit(r, in ? BLOCK_OP_READ : BLOCK_OP_WRITE, sector * SECTOR, bytes,
           in ? 0 : write_flags(blk), in ? r->chain.iov + r->chain.out_count : r->chain.iov);
    return true;
}

/* One segment, as the configuration says. */
static bool discard(Request *r, u32 type)
{
    u8 segment[SEGMENT];
    u64 sector;
    u32 count, flags;

    if (virtio_copy_out(&r->chain, 0, segment, SEGMENT) != SEGMENT) {
        return false;
    }
    memcpy(&sector, segment, 8);
    memcpy(&count, segment + 8, 4);
    memcpy(&flags, segment + 12, 4);
    if (!in_range(r->blk, sector, (u64)count * SECTOR) || count > MAX_DISCARD ||
        disk_is_read_only(r->blk->disk)) {
        return false;
    }
    if (type == DISCARD) {
        submit(r, BLOCK_OP_DISCARD, sector * SECTOR, (u64)count * SECTOR, 0, NULL);
    } else {
        submit(r, BLOCK_OP_ZERO, sector * SECTOR, (u64)count * SECTOR,
               write_flags(r->blk) | (flags & UNMAP ? BLOCK_MAY_UNMAP : 0), NULL);
    }
    return true;
}

static void get_id(Request *r)
{
    char id[ID_SIZE] = {0};

    strncpy(id, r->blk->serial ? r->blk->serial : "", sizeof id);
    virtio_copy_in(&r->chain, 0, id, sizeof id);
}

static void start_request(Request *r)
{
    u8 header[HEADER];
    u32 type;
    u64 sector;

    virtio_copy_out(&r->chain, 0, header, HEADER);
    memcpy(&type, header, 4);
    memcpy(&sector, header + 8, 8);
    virtio_trim(&r->chain, HEADER, 1);
    switch (type) {
    case IN:
    case OUT:
        if (!transfer(r, type, sector)) {
            end_now(r, IOERR);
        }
        break;
    case FLUSH:
        submit(r, BLOCK_OP_FLUSH, 0, 0, 0, NULL);
        break;
    case GET_ID:
        get_id(r);
        end_now(r, OK);
        break;
    case DISCARD:
    case WRITE_ZEROES:
        if (!discard(r, type)) {
            end_now(r, IOERR);
        }
        break;
    default:
        end_now(r, UNSUPPORTED);
    }
}

static void notify(void *device, VirtQueue *queue)
{
    Blk *blk = device;

    for (;;) {
        Request *r = take_request(blk);
        r->queue = queue;
        if (!virtqueue_take(queue, &r->chain)) {
            put_request(r);
            break;
        }
        if (r->chain.out_size < HEADER || r->chain.in_size < 1) {
            virtio_break(&blk->virtio, "a request without header or status");
            put_request(r);
            break;
        }
        start_request(r);
    }
    virtqueue_signal(queue);
}

static void reset_requests(void *device)
{
    Blk *blk = device;

    while (blk->busy) {
        Request *r = blk->busy;
        disk_cancel(&r->disk);
        untrim(r);
        virtqueue_written(r->queue, &r->chain, 0); /* what was read until now */
        put_request(r);
    }
}

/* -- Description */

/* struct virtio_blk_config (5.2.4). */
static void fill_config(Blk *blk)
{
    u8 *c = blk->virtio.config;

    put_le(c, disk_size(blk->disk) / SECTOR, 8);
    put_le(c + 12, VIRTIO_QUEUE_SIZE - 2, 4); /* seg_max */
    put_le(c + 20, SECTOR, 4);
    put_le(c + 34, blk->queue_count, 2);
    put_le(c + 36, MAX_DISCARD, 4);
    put_le(c + 40, 1, 4); /* discard segments */
    put_le(c + 44, 8, 4); /* alignment in sectors */
    put_le(c + 48, MAX_DISCARD, 4);
    put_le(c + 52, 1, 4);
    c[56] = 1; /* write zeroes may unmap */
}

static void config_reading(void *device)
{
    fill_config(device);
}

/* The disk has another size. */
static void resized(void *opaque)
{
    virtio_config_changed(opaque);
}

static const VirtioInfo info = {
    .type = VIRTIO_BLOCK,
    .class_code = 0x010000,
    .queues = 1,
    .features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_MQ | F_DISCARD | F_WRITE_ZEROES,
    .config_size = CONFIG_SIZE,
    .notify = notify,
    .config_reading = config_reading,
    .reset = reset_requests,
};

static int start(void *device, char **error)
{
    Blk *blk = device;

    if (!blk->disk) {
        device_error(error, "%s needs drive=ID", blk->virtio.d.def->name);
        return -1;
    }
    if (blk->queue_count < 1 || blk->queue_count > VIRTIO_QUEUES) {
        device_error(error, "%s: num-queues can be from 1 to %d", blk->virtio.d.def->name,
                     VIRTIO_QUEUES);
        return -1;
    }
    blk->virtio.queue_count = (u16)blk->queue_count;
    blk->virtio.offered = disk_is_read_only(blk->disk) ? F_RO : 0;
    disk_set_drive(blk->disk, &(DiskDrive){.opaque = blk, .resized = resized});
    return virtio_start(device, error);
}

static void stop(void *device)
{
    Blk *blk = device;

    reset_requests(blk);
    disk_set_drive(blk->disk, NULL);
    while (blk->free) {
        Request *r = blk->free;
        blk->free = r->next;
        free(r);
    }
}

static const Property properties[] = {
    {"drive", PROPERTY_BACKEND, offsetof(Blk, disk), "the disk", NULL, "disk"},
    {"serial", PROPERTY_STRING, offsetof(Blk, serial), "serial number, up to 20 characters", NULL,
     NULL},
    {"num-queues", PROPERTY_U32, offsetof(Blk, queue_count), "queues, 1 to 16", "1", NULL},
    PROPERTY_END,
};

VIRTIO_DEVICE(device_virtio_blk, "virtio-blk", "virtio disk", &info, .size = sizeof(Blk),
              .properties = properties, .start = start, .stop = stop);
