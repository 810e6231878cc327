/* Virtio 1.2 devices: what they have in common, whatever the transport.
 *
 * They are transitional (1.3.1) unless properties say otherwise: drivers of before 1.0 may use them
 * through the transports' legacy interfaces. `legacy` says that one does. Such a driver takes
 * fields to be in its own byte order, which is little-endian on all machines that there are.
 *
 * A virtio device's struct begins with a Virtio. Its functions and features are a VirtioInfo; from
 * that and the members that a DeviceDef has, VIRTIO_DEVICE() makes one description for each
 * transport: "virtio-NAME-pci" and, over MMIO, "virtio-NAME-device".
 *
 * Queues are split or packed virtqueues (2.7, 2.8) in guest memory, which is read and written
 * through dma_*(): a guest that changes a request while it is served harms itself only, as
 * everything is copied or mapped once. All functions need the machine lock. */
#ifndef DEVICE_VIRTIO_VIRTIO_H
#define DEVICE_VIRTIO_VIRTIO_H

#include <sys/uio.h>

#include "device/pci/pci.h"

enum {
    VIRTIO_QUEUES = 16,
    VIRTIO_QUEUE_SIZE = 256,
    VIRTIO_SEGMENTS = 1024,
    VIRTIO_CONFIG = 256,
    VIRTIO_NO_VECTOR = 0xffff,
};

/* Device types (5). */
enum { VIRTIO_NET = 1, VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4, VIRTIO_BALLOON = 5 };

/* Device status (2.1). */
enum {
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 0x40,
};

/* Bits of the interrupt status (4.1.4.5, 4.2.2). */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

/* Feature bits of all devices (6, 6.3). */
#define VIRTIO_F_ANY_LAYOUT ((u64)1 << 27) /* legacy: of requests in pieces */
#define VIRTIO_F_INDIRECT ((u64)1 << 28)
#define VIRTIO_F_EVENT_IDX ((u64)1 << 29)
#define VIRTIO_F_VERSION_1 ((u64)1 << 32)
#define VIRTIO_F_PACKED ((u64)1 << 34)

typedef struct Virtio Virtio;

typedef struct VirtQueue {
    /* Saved. */
    u16 size, enabled, vector;
    u32 align;                       /* of its third part: legacy MMIO */
    u64 descriptors, driver, device; /* addresses of the three parts */
    u16 next, used;                  /* positions, as the layout counts them */
    u32 untold;                      /* places used since the driver was last told */
    Virtio *owner;
    u16 index;
} VirtQueue;

/* A chain of descriptors: what the device reads, then what it writes. */
typedef struct VirtioChain {
    u16 head;   /* by which the driver knows it */
    u16 places; /* that it takes in the queue */
    u32 out_count, in_count;
    u64 out_size, in_size;             /* bytes */
    struct iovec iov[VIRTIO_SEGMENTS]; /* out_count, then in_count */
} VirtioChain;

/* A chain that is given back, with the number of bytes written to it. */
typedef struct VirtioUsed {
    u16 head, places;
    u32 written;
} VirtioUsed;

typedef struct VirtioInfo {
    u16 type;       /* device ID (5) */
    u32 class_code; /* on PCI */
    u16 queues;
    u64 features; /* beside those of the transport */
    u32 config_size;
    /* A driver rang for the queue, or has become ready. */
    void (*notify)(void *device, VirtQueue *queue);
    /* The config bytes are up to date when this returns; NULL: they always are. */
    void (*config_reading)(void *device);
    /* The driver wrote these of the config bytes; NULL: it must not. */
    void (*config_written)(void *device, u32 at, u32 size);
    /* The driver resets the device: requests in flight end without a trace. */
    void (*reset)(void *device);
    /* After a load, and after a reset: as DeviceDef.settle. */
    void (*settle)(void *device);
} VirtioInfo;

struct Virtio {
    union {
        Device d;
        PciFunction pci; /* of those on PCI */
    };
    const VirtioInfo *info;
    PciInfo pci_info;
    Region region, msix_region, legacy_region;
    Irq irq;     /* of those over MMIO */
    u64 offered; /* features */
    /* Properties: what is offered. */
    bool indirect, event_idx, packed;
    bool no_legacy, no_modern; /* of those on PCI */
    bool force_legacy;         /* of those over MMIO */
    u16 queue_count;
    u8 config[VIRTIO_CONFIG];
    struct VirtioCapability {
        u8 at, type, size;
        u32 offset, length, multiplier;
    } capabilities[5];
    u32 capability_count;
    u8 window;   /* of the capabilities, that one's place; 0: none */
    u32 left;    /* chains that may be taken before the main loop comes round */
    u32 waiting; /* a bit for each queue that has more */
    /* Saved. */
    u64 features; /* negotiated */
    u32 feature_select, driver_feature_select;
    u8 status, isr, generation;
    u8 legacy;     /* the driver uses the legacy interface */
    u32 page_size; /* its pages: legacy MMIO */
    u16 queue_select, config_vector;
    VirtQueue queues[VIRTIO_QUEUES];
};

/* -- For descriptions */

/* DeviceDef.start; one of the device's own puts what is known of the config bytes into v->config,
 * may set v->queue_count and more `offered` features, and calls this. */
int virtio_start(void *device, char **error);
/* DeviceDef.reset and .settle. */
void virtio_reset(void *device);
void virtio_settle(void *device);

extern const RegisterBank virtio_pci_banks[3], virtio_mmio_banks[1];
extern const IrqOutput virtio_mmio_outputs[];
extern const DeviceFamily virtio_pci_family, virtio_mmio_family;

/* Two DeviceDefs, SYMBOL_pci and SYMBOL_device: the device's name and summary, its VirtioInfo, and
 * members that both have. */
#define VIRTIO_DEVICE(symbol, name_, summary_, info_, ...)                                         \
    const DeviceDef symbol##_pci = {                                                               \
        .name = name_ "-pci",                                                                      \
        .summary = summary_,                                                                       \
        .bus_kind = BUS_PCI,                                                                       \
        .banks = virtio_pci_banks,                                                                 \
        .bank_count = COUNT(virtio_pci_banks),                                                     \
        .family = &virtio_pci_family,                                                              \
        VIRTIO_MEMBERS(info_),                                                                     \
        __VA_ARGS__,                                                                               \
    };                                                                                             \
    const DeviceDef symbol##_device = {                                                            \
        .name = name_ "-device",                                                                   \
        .summary = summary_ ", over MMIO",                                                         \
        .bus_kind = BUS_VIRTIO,                                                                    \
        .banks = virtio_mmio_banks,                                                                \
        .bank_count = COUNT(virtio_mmio_banks),                                                    \
        .outputs = virtio_mmio_outputs,                                                            \
        .family = &virtio_mmio_family,                                                             \
        VIRTIO_MEMBERS(info_),                                                                     \
        __VA_ARGS__,                                                                               \
    }
#define VIRTIO_MEMBERS(info_)                                                                      \
    .bus = (info_), .version = 1, .reset = virtio_reset, .settle = virtio_settle

/* -- For devices */

static inline bool virtio_has(const Virtio *v, u64 feature)
{
    return v->features & feature;
}

static inline bool virtio_is_power_of_two(u32 value)
{
    return value && !(value & (value - 1));
}

/* The driver is ready, and the device not broken. Legacy drivers use a device before they say that
 * they are ready: Linux 2.6 reads partition tables. */
static inline bool virtio_is_running(const Virtio *v)
{
    u32 ready = v->legacy ? VIRTIO_DRIVER : VIRTIO_DRIVER_OK;

    return (v->status & (ready | VIRTIO_NEEDS_RESET)) == ready;
}

/* The device changed its configuration: tells the driver. */
void virtio_config_changed(Virtio *v);
/* The driver did what it must not: nothing works until it resets the device. */
void virtio_break(Virtio *v, const char *why);

/* -- Queues (queue.c) */

/* Takes the next chain; false if there is none, or it makes no sense (the device is then broken
 * until it is reset). */
bool virtqueue_take(VirtQueue *queue, VirtioChain *chain);
/* Leaves the chains that were taken last, and not given back, for later: all of their places. */
void virtqueue_untake(VirtQueue *queue, u32 places);
/* Gives it back with the number of bytes written, after telling memory about them. */
void virtqueue_return(VirtQueue *queue, const VirtioChain *chain, u32 written);
/* The same in two steps, for chains that the driver shall see at once, or later: each, then all. */
VirtioUsed virtqueue_written(VirtQueue *queue, const VirtioChain *chain, u32 written);
void virtqueue_publish(VirtQueue *queue, const VirtioUsed *used, u32 count);
/* Tells the driver of what was given back, if it wants to know. */
void virtqueue_signal(VirtQueue *queue);

/* Copies from what the device reads, at an offset; how many bytes there were. */
u64 virtio_copy_out(const VirtioChain *chain, u64 offset, void *bytes, u64 size);
/* The same to what it writes. */
u64 virtio_copy_in(const VirtioChain *chain, u64 offset, const void *bytes, u64 size);
/* Drops bytes at the beginning of the part that is read, or at the end of the one written. */
bool virtio_trim(VirtioChain *chain, u64 out_head, u64 in_tail);

/* -- For transports: the driver's side (virtio.c) */

/* 32 feature bits: what is offered, and what was accepted. */
u32 virtio_offered_half(const Virtio *v, u32 select);
u32 virtio_accepted_half(const Virtio *v, u32 select);
void virtio_accept_half(Virtio *v, u32 select, u32 bits);
/* The same through a legacy interface, where there are only these 32. */
u32 virtio_legacy_features(const Virtio *v);
void virtio_accept_legacy(Virtio *v, u32 bits);
/* 0 resets the device. */
void virtio_write_status(Virtio *v, u8 status);
u64 virtio_read_config(Virtio *v, u64 offset, unsigned size);
void virtio_write_config(Virtio *v, u64 offset, unsigned size, u64 value);
void virtio_notify(Virtio *v, u64 queue);

/* The queue that queue_select says; NULL: there is none. */
VirtQueue *virtio_selected(Virtio *v);
void virtqueue_set_size(VirtQueue *queue, u32 size);
/* Through a legacy interface: the three parts one after the other, the third aligned, a power of
 * two. 0 takes the queue out of use. */
void virtqueue_place(VirtQueue *queue, u64 address, u32 align);
/* After a load. */
void virtqueue_settle(VirtQueue *queue);
/* Half of one of the queue's addresses: descriptors, driver, device. */
void virtqueue_set_address(VirtQueue *queue, u64 *address, bool high, u32 value);

/* -- Transports, for virtio.c */

typedef struct VirtioTransport {
    int (*start)(Virtio *v, char **error);
    void (*reset)(Virtio *v); /* with all devices; not when the driver does it. May be NULL */
    /* Bits were set in v->isr, for a queue or the configuration with that vector. */
    void (*interrupt)(Virtio *v, u16 vector);
    /* v->isr changed otherwise: brings the interrupt line in accord with it. */
    void (*update)(Virtio *v);
} VirtioTransport;

extern const VirtioTransport virtio_pci, virtio_mmio;

/* Of PCI, for its legacy interface: the interrupt status, which is taken; the vector, if there is
 * such a one. */
u8 virtio_pci_take_isr(Virtio *v);
u16 virtio_pci_vector(const Virtio *v, u32 vector);
extern const RegionOps virtio_pci_legacy;
u64 virtio_pci_legacy_size(const Virtio *v);

/* For queue.c: whether another chain may be taken now; if not, the device is notified later. */
bool virtio_may_take(VirtQueue *queue);
void virtio_interrupt(Virtio *v, u16 vector, u8 isr);

#endif
