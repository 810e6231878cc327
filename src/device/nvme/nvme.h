/* What the files of the NVMe controller share (NVM Express 1.4; figures and sections are its). See
 * nvme.c. All functions need the machine lock. */
#ifndef DEVICE_NVME_NVME_H
#define DEVICE_NVME_NVME_H

#include <sys/uio.h>

#include "device/block/disk.h"
#include "device/pci/pci.h"

enum {
    NVME_QUEUES = PCI_MSIX_VECTORS, /* pairs, the admin queues included */
    NVME_QUEUE_SIZE = 2048,         /* entries, at most */
    NVME_REQUESTS = 512,            /* in flight */
    NVME_IOVECS = 256,              /* pieces of a transfer */
    NVME_TRANSFER_SHIFT = 7,        /* MDTS: 128 pages of 4 KiB */
    NVME_PAGE = 4096,
    NVME_EVENT_REQUESTS = 4,
    NVME_EVENTS = 8, /* that wait to be told */
    NVME_ERRORS = 16,
    NVME_NAMESPACE = 1, /* the only one */
    NVME_ALL_NAMESPACES = -1,
    NVME_TEMPERATURE = 273 + 40,
    NVME_FEATURES = 12,
};

/* Status of a completion (4.6.1): type and code. */
enum {
    NVME_SUCCESS = 0x000,
    NVME_INVALID_OPCODE = 0x001,
    NVME_INVALID_FIELD = 0x002,
    NVME_NO_TRANSFER = 0x004,
    NVME_ABORTED = 0x007,
    NVME_QUEUE_DELETED = 0x008,
    NVME_INVALID_NAMESPACE = 0x00b,
    NVME_INVALID_SEGMENT = 0x00d,
    NVME_TOO_MANY_DESCRIPTORS = 0x00e,
    NVME_INVALID_SGL_LENGTH = 0x00f,
    NVME_INVALID_SGL_TYPE = 0x011,
    NVME_INVALID_PRP_OFFSET = 0x013,
    NVME_OUT_OF_RANGE = 0x080,
    NVME_INVALID_COMPLETION_QUEUE = 0x100,
    NVME_INVALID_QUEUE = 0x101,
    NVME_INVALID_QUEUE_SIZE = 0x102,
    NVME_TOO_MANY_EVENT_REQUESTS = 0x105,
    NVME_INVALID_FIRMWARE_SLOT = 0x106,
    NVME_INVALID_VECTOR = 0x108,
    NVME_INVALID_LOG = 0x109,
    NVME_INVALID_FORMAT = 0x10a,
    NVME_INVALID_DELETION = 0x10c,
    NVME_CANNOT_SAVE = 0x10d,
    NVME_CANNOT_CHANGE = 0x10e,
    NVME_READ_ONLY = 0x182,
    NVME_WRITE_FAULT = 0x280,
    NVME_READ_ERROR = 0x281,
    NVME_COMPARE_FAILED = 0x285,
    NVME_NO_RETRY = 0x4000,
    NVME_PENDING = 0xffff, /* not one: the command goes on */
    NVME_HELD = 0xfffe,    /* it ends when an event happens */
};

/* Asynchronous events: type, information, log page (5.2.1). */
enum {
    NVME_EVENT_DOORBELL = 0x010000,       /* one that does not exist was written */
    NVME_EVENT_DOORBELL_VALUE = 0x010100, /* an invalid value was */
    NVME_EVENT_TEMPERATURE = 0x020101,
};

/* Identifiers of features (5.21.1). */
enum {
    NVME_FEATURE_ARBITRATION = 1,
    NVME_FEATURE_POWER,
    NVME_FEATURE_TEMPERATURE = 4,
    NVME_FEATURE_RECOVERY,
    NVME_FEATURE_WRITE_CACHE,
    NVME_FEATURE_QUEUES,
    NVME_FEATURE_COALESCING,
    NVME_FEATURE_VECTOR,
    NVME_FEATURE_ATOMICITY,
    NVME_FEATURE_EVENTS,
};

typedef struct Nvme Nvme;

typedef struct NvmeCommand {
    u8 opcode, flags;
    u16 id;
    u32 namespace;
    u8 data[16];  /* two PRP entries, or an SGL descriptor */
    u32 dword[6]; /* from 10 on */
} NvmeCommand;

/* Guest memory of a command. */
typedef struct NvmeData {
    struct iovec iov[NVME_IOVECS];
    u32 count;
} NvmeData;

/* A command that is being run. */
typedef struct NvmeRequest {
    DiskRequest disk;
    Nvme *nvme;
    u16 queue;
    NvmeCommand command;
    u32 result; /* DW0 of the completion */
    NvmeData data;
    u8 *buffer;   /* ranges to be deallocated, what is compared; NULL: none; owned */
    u32 at, size; /* in it */
    struct NvmeRequest *next;
} NvmeRequest;

typedef struct NvmeSubmissionQueue {
    u64 base;
    u32 size; /* entries; 0: there is none */
    u32 head, tail;
    u16 completion; /* its completion queue */
} NvmeSubmissionQueue;

typedef struct NvmeCompletionQueue {
    u64 base;
    u32 size;
    u32 head, tail;
    u16 vector;
    u8 interrupts; /* are enabled */
    u8 phase;
    u32 reserved; /* entries for commands that are being run; not saved */
} NvmeCompletionQueue;

/* An entry of the error log (5.14.1.1). */
typedef struct NvmeError {
    u64 number; /* from 1; 0: none */
    u16 queue, command, status;
    u32 namespace;
    u64 lba;
} NvmeError;

struct Nvme {
    PciFunction pci;
    Region region, msix_region;
    Disk *disk;
    char *serial;
    u32 queue_limit, block_size, stride; /* properties */
    u32 vector_count;
    /* Registers (3.1). */
    u32 mask, configuration, status, admin_sizes;
    u64 admin_submission, admin_completion;
    NvmeSubmissionQueue submission[NVME_QUEUES];
    NvmeCompletionQueue completion[NVME_QUEUES];
    u32 features[NVME_FEATURES];
    /* Requests for events that wait, events that do, and those that the guest was told of and whose
     * log page it did not read yet, a bit for each type. */
    u16 event_requests[NVME_EVENT_REQUESTS];
    u32 events[NVME_EVENTS];
    u8 event_request_count, event_count, events_masked;
    NvmeError errors[NVME_ERRORS];
    u64 error_count;
    u64 sectors_read, sectors_written, reads, writes, media_errors; /* sectors of 512 bytes */
    DiskRequest flush;                                              /* for a shutdown */
    NvmeRequest *busy, *free;
    u32 in_flight;
    bool stalled; /* queues wait for a free request */
};

/* -- nvme.c */
/* Ends the request. */
void nvme_complete(NvmeRequest *request, u16 status);
/* Adds an entry to a completion queue that has room. */
void nvme_post(Nvme *n, u16 queue, u16 submission, u16 command, u16 status, u32 result);
bool nvme_has_room(const Nvme *n, u16 queue);
/* Ends what a submission queue has going. */
void nvme_abort_queue(Nvme *n, u16 queue);
/* The level of the pin changes with a completion queue. */
void nvme_update_interrupt(Nvme *n);

/* -- admin.c, identify.c, log.c, io.c: run a command; its status, or NVME_PENDING */
u16 nvme_admin(Nvme *n, NvmeRequest *request);
u16 nvme_identify(Nvme *n, NvmeRequest *request);
u16 nvme_get_log(Nvme *n, NvmeRequest *request);
u16 nvme_io(Nvme *n, NvmeRequest *request);
/* Zeroes on the whole disk. */
u16 nvme_format(Nvme *n, NvmeRequest *request);
u64 nvme_blocks(const Nvme *n);

/* -- log.c */
/* Notes a command that failed. */
void nvme_log_error(Nvme *n, const NvmeRequest *request, u16 status);
/* Tells the guest, when it asks. */
void nvme_raise_event(Nvme *n, u32 event);
void nvme_send_events(Nvme *n);

/* -- data.c */
/* Maps the memory of a command that moves `bytes`. */
u16 nvme_map(Nvme *n, const NvmeCommand *command, u64 bytes, bool in, NvmeData *data);
/* After it was written to. */
void nvme_unmap(Nvme *n, NvmeData *data);
/* Copies from or to the memory of a request at once. */
u16 nvme_copy_in(Nvme *n, NvmeRequest *request, const void *bytes, u32 size);
u16 nvme_copy_out(Nvme *n, NvmeRequest *request, void *bytes, u32 size);

static inline MapReader *nvme_dma(Nvme *n)
{
    return &n->pci.d.board->dma;
}
/* Bytes of a memory page, as the guest chose (CC.MPS). */
static inline u64 nvme_page(const Nvme *n)
{
    return (u64)NVME_PAGE << (n->configuration >> 7 & 15);
}

#endif
