/* What the files of the AHCI controller share. See ahci.c. */
#ifndef DEVICE_IDE_AHCI_H
#define DEVICE_IDE_AHCI_H

#include "device/ide/ide.h"
#include "device/pci/pci.h"

enum { AHCI_PORTS = 6, AHCI_SLOTS = 32, AHCI_QUEUE_IOVECS = 64, AHCI_NO_SLOT = 0xff };

/* PxIS, PxIE (3.3.5). */
enum {
    AHCI_REGISTER_FIS = 1 << 0,
    AHCI_PIO_SETUP_FIS = 1 << 1,
    AHCI_SET_BITS_FIS = 1 << 3,
    AHCI_CONNECT_CHANGE = 1 << 6,
    AHCI_OVERFLOW = 1 << 24,
    AHCI_TASK_FILE_ERROR = 1 << 30,
};

typedef struct Ahci Ahci;

/* Where a command's transfer is in its physical region descriptors (4.2.3.3). */
typedef struct AhciCursor {
    u64 table;
    u32 count, index; /* of descriptors */
    u32 done;         /* bytes of the present one */
    u32 total;        /* bytes moved, for the command header */
} AhciCursor;

/* A queued command at the disk. */
typedef struct AhciQueued {
    DiskRequest request;
    Ahci *ahci;
    u8 port, slot;
    bool active;
    u64 lba;
    u32 left; /* sectors */
    AhciCursor cursor;
    u32 bytes; /* of the request */
    u32 iov_count;
    struct iovec iov[AHCI_QUEUE_IOVECS];
} AhciQueued;

typedef struct AhciPort {
    IdeChannel channel;
    u8 slot;       /* of the command that runs and is not queued; AHCI_NO_SLOT: none */
    bool starting; /* in ahci_run_port() */
    AhciCursor cursor;
    u64 table;          /* of that command */
    AhciQueued *queued; /* AHCI_SLOTS; made when first used */
} AhciPort;

struct Ahci {
    PciFunction pci;
    Region region;
    IdeHost host;
    AhciPort ports[AHCI_PORTS];
    u32 control, interrupts; /* GHC, IS */
    /* By port: PxCLB, PxFB... */
    u32 list[AHCI_PORTS], list_high[AHCI_PORTS], fis[AHCI_PORTS], fis_high[AHCI_PORTS];
    u32 status[AHCI_PORTS], enable[AHCI_PORTS], command[AHCI_PORTS], task_file[AHCI_PORTS];
    u32 signature[AHCI_PORTS], link_control[AHCI_PORTS], link_error[AHCI_PORTS];
    u32 active[AHCI_PORTS], issued[AHCI_PORTS];
    u8 halted[AHCI_PORTS]; /* a command failed: nothing runs until the guest has stopped the list */
};

/* -- ahci.c */
static inline MapReader *ahci_dma(Ahci *a)
{
    return &a->pci.d.board->dma;
}
/* Maps what comes next of up to `bytes`; returns how many bytes that is. */
u32 ahci_map(Ahci *a, AhciCursor *cursor, struct iovec *iov, u32 *count, u32 bytes, bool in);
void ahci_unmap(Ahci *a, const struct iovec *iov, u32 count);
/* Writes the count of bytes that were moved to the command header (PRDBC). */
void ahci_put_total(Ahci *a, unsigned port, unsigned slot, u32 total);
/* Puts a received FIS of that many bytes where the guest wants them, and the status and error in it
 * into PxTFD; causes: bits of PxIS. */
void ahci_receive(Ahci *a, unsigned port, u32 at, const u8 *fis, u32 size, u32 causes);
/* Looks for commands that may start. */
void ahci_run_port(Ahci *a, unsigned port);

/* -- ahci_queue.c: READ and WRITE FPDMA QUEUED */
/* Starts the queued command of a slot, whose registers the file has. */
void ahci_queue_start(Ahci *a, unsigned port, unsigned slot, const IdeTaskFile *file,
                      const AhciCursor *cursor);
/* Nobody waits for them any more. */
void ahci_queue_cancel(Ahci *a, unsigned port);
void ahci_queue_free(Ahci *a, unsigned port);

#endif
