/* Queued commands of SATA disks: READ and WRITE FPDMA QUEUED (ATA8-ACS 7.27, 7.70 in its SATA
 * parts; AHCI 1.3.1, 5.6.4). Up to 32 are at the disk at once and end in any order, each with a
 * frame that clears its bit of PxSACT. After one that failed nothing is told of the others; the
 * guest reads the log page about it and starts anew. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/ide/ahci.h"

enum {
    FIS_SET_BITS = 0xa1,
    FIS_INTERRUPT = 0x40,
    SET_BITS_AT = 0x58, /* where it is received */
    DEVICE_FUA = 0x80,
};

static AhciQueued *queued_of(Ahci *a, unsigned n, unsigned slot)
{
    AhciPort *port = &a->ports[n];

    if (!port->queued) {
        port->queued = calloc(AHCI_SLOTS, sizeof *port->queued);
        if (!port->queued) {
            abort();
        }
    }
    return &port->queued[slot];
}

static void receive(Ahci *a, unsigned n, u8 status, u8 error, u32 ended)
{
    u8 fis[8] = {FIS_SET_BITS, FIS_INTERRUPT, status, error};

    put_le(fis + 4, ended, 4);
    ahci_receive(a, n, SET_BITS_AT, fis, sizeof fis, AHCI_SET_BITS_FIS);
}

static void succeed(AhciQueued *q)
{
    Ahci *a = q->ahci;

    q->active = false;
    a->active[q->port] &= ~(1u << q->slot);
    receive(a, q->port, ATA_DRDY | ATA_DSC, 0, 1u << q->slot);
}

static void fail(AhciQueued *q, u8 error)
{
    IdeDrive *d = &q->ahci->ports[q->port].channel.drive[0];

    q->active = false;
    d->failed_tag = q->slot;
    d->failed_status = ATA_DRDY | ATA_DSC | ATA_ERR;
    d->failed_error = error;
    d->failed_lba = q->lba;
    d->failed_count = (u16)q->left;
    receive(q->ahci, q->port, d->failed_status, error, 0);
}

/* Maps whole sectors of what is left. */
static u32 map_sectors(AhciQueued *q, bool in)
{
    u32 want = MIN(q->left, UINT32_MAX / IDE_SECTOR) * IDE_SECTOR, bytes;
    AhciCursor start = q->cursor;

    q->iov_count = AHCI_QUEUE_IOVECS;
    bytes = ahci_map(q->ahci, &q->cursor, q->iov, &q->iov_count, want, in);
    if (bytes % IDE_SECTOR) {
        q->cursor = start;
        q->iov_count = AHCI_QUEUE_IOVECS;
        bytes = ahci_map(q->ahci, &q->cursor, q->iov, &q->iov_count,
                         ALIGN_DOWN(bytes, (u32)IDE_SECTOR), in);
        bytes = ALIGN_DOWN(bytes, (u32)IDE_SECTOR); /* the guest may have changed them since */
    }
    return bytes;
}

static void submit(AhciQueued *q)
{
    BlockRequest *block = &q->request.block;

    q->bytes = map_sectors(q, block->op == BLOCK_OP_READ);
    if (!q->bytes) { /* no memory there, or too few descriptors */
        fail(q, ATA_ABRT);
        return;
    }
    block->offset = q->lba * IDE_SECTOR;
    block->bytes = q->bytes;
    block->iov = q->iov;
    disk_submit(q->ahci->ports[q->port].channel.drive[0].disk, &q->request);
}

/* The guest's memory that a request at the disk has used. */
static void release_memory(AhciQueued *q)
{
    if (q->request.block.op == BLOCK_OP_READ) {
        ahci_unmap(q->ahci, q->iov, q->iov_count);
    }
}

static void request_done(DiskRequest *request, int result)
{
    AhciQueued *q = request->opaque;
    bool in = request->block.op == BLOCK_OP_READ;

    release_memory(q);
    if (q->ahci->halted[q->port]) {
        q->active = false;
        return;
    }
    if (result < 0) {
        fail(q, in ? ATA_UNC : ATA_ABRT);
        return;
    }
    q->lba += q->bytes / IDE_SECTOR;
    q->left -= q->bytes / IDE_SECTOR;
    if (q->left) {
        submit(q);
    } else {
        succeed(q);
    }
}

void ahci_queue_start(Ahci *a, unsigned n, unsigned slot, const IdeTaskFile *file,
                      const AhciCursor *cursor)
{
    const IdeDrive *d = &a->ports[n].channel.drive[0];
    AhciQueued *q = queued_of(a, n, slot);
    bool in = file->command == ATA_READ_QUEUED;

    a->issued[n] &= ~(1u << slot);
    if (q->active) {
        device_guest_error(a, "port %u: slot %u is in use", n, slot);
        return;
    }
    q->ahci = a;
    q->port = (u8)n;
    q->slot = (u8)slot;
    q->active = true;
    q->cursor = *cursor;
    q->lba = ata_wide_lba(file->lba_low, file->lba_mid, file->lba_high);
    q->left = file->features ? file->features : 65536;
    q->request.done = request_done;
    q->request.opaque = q;
    q->request.block = (BlockRequest){
        .op = in ? BLOCK_OP_READ : BLOCK_OP_WRITE,
        .flags = !in && file->device & DEVICE_FUA ? BLOCK_FUA : 0,
    };
    if (!in && disk_is_read_only(d->disk)) {
        fail(q, ATA_ABRT);
    } else if (q->lba >= d->sectors || q->left > d->sectors - q->lba) {
        fail(q, ATA_IDNF);
    } else {
        submit(q);
    }
}

void ahci_queue_cancel(Ahci *a, unsigned n)
{
    AhciPort *port = &a->ports[n];

    for (unsigned slot = 0; port->queued && slot < AHCI_SLOTS; slot++) {
        AhciQueued *q = &port->queued[slot];
        if (q->active) {
            disk_cancel(&q->request);
            release_memory(q);
            q->active = false;
        }
    }
}

void ahci_queue_free(Ahci *a, unsigned n)
{
    ahci_queue_cancel(a, n);
    free(a->ports[n].queued);
    a->ports[n].queued = NULL;
}
