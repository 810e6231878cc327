/* Virtio 1.2 devices over PCI: what they have in common.
 *
 * A virtio device's struct begins with a VirtioPci; its DeviceDef is
 * written with the macros below, with a VirtioInfo that says its type, features and functions.
 * Queues are split virtqueues (2.7) in guest memory, which is read and written through dma_*(): a
 * guest that changes a request while it is served harms itself only, as everything is copied or
 * mapped once. All functions need the machine lock. */
#ifndef DEVICE_VIRTIO_VIRTIO_H
#define DEVICE_VIRTIO_VIRTIO_H

#include <sys/uio.h>

#include "device/pci/pci.h"

enum { VIRTIO_QUEUES = 16, VIRTIO_QUEUE_SIZE = 256, VIRTIO_SEGMENTS = 1024, VIRTIO_CONFIG = 256 };

/* Feature bits of all devices (6). */
#define VIRTIO_F_INDIRECT ((u64)1 << 28)
#define VIRTIO_F_EVENT_IDX ((u64)1 << 29)
#define VIRTIO_F_VERSION_1 ((u64)1 << 32)

typedef struct VirtioPci VirtioPci;

typedef struct VirtQueue {
    /* Saved. */
    u16 size, enabled, vector;
    u64 descriptors, driver, device; /* addresses of the three parts */
    u16 next;                        /* avail entries taken */
    u16 used;                        /* used entries written */
    u16 signalled;                   /* the used index when the driver was last told */
    u8 signalled_valid;
    VirtioPci *owner;
    u16 index;
} VirtQueue;

/* A chain of descriptors: what the device reads, then what it writes. */
typedef struct VirtioChain {
    u16 head;
    u32 out_count, in_count;
    u64 out_size, in_size;             /* bytes */
    struct iovec iov[VIRTIO_SEGMENTS]; /* out_count, then in_count */
} VirtioChain;

typedef struct VirtioInfo {
    u16 type; /* device ID (5) */
    u16 queues;
    u32 class_code;
    u64 features; /* beside those of the transport */
    u32 config_size;
    /* A driver rang for the queue. */
    void (*notify)(void *device, VirtQueue *queue);
    /* The config bytes are up to date when this returns; NULL: they always are. */
    void (*config_reading)(void *device);
    void (*config_written)(void *device, u32 at, u32 size);
    /* The driver resets the device: requests in flight end without a trace. */
    void (*reset)(void *device);
    /* The driver is ready (DRIVER_OK). */
    void (*ready)(void *device);
} VirtioInfo;

struct VirtioPci {
    PciFunction pci;
    const VirtioInfo *info;
    Region region, msix_region;
    u64 offered; /* features */
    u16 queue_count;
    u8 config[VIRTIO_CONFIG];
    struct VirtioCapability {
        u8 at, type, size;
        u32 offset, length, multiplier;
    } capabilities[5];
    u32 capability_count;
    /* Saved. */
    u64 features; /* negotiated */
    u32 feature_select, driver_feature_select;
    u8 status, isr, generation;
    u16 queue_select, config_vector;
    VirtQueue queues[VIRTIO_QUEUES];
};

extern const StateField virtio_state[];
extern const RegionOps virtio_ops;
/* For DeviceDef.start and .reset of every device; the info's queue count may be lowered before. */
int virtio_start(void *device, const VirtioInfo *info, char **error);
void virtio_reset(void *device);

#define VIRTIO_PCI_INFO(type_, class_)                                                             \
    {                                                                                              \
        .vendor = 0x1af4, .device = 0x1040 + (type_), .subsystem_vendor = 0x1af4,                  \
        .subsystem = 0x1100, .class_code = (class_), .revision = 1, .interrupt_pin = 1,            \
        .bars = {[1] = {PCI_BAR_MEMORY, 1}, [4] = {PCI_BAR_PREFETCH64, 0}},                        \
    }
#define VIRTIO_BANKS(type)                                                                         \
    {                                                                                              \
        {.name = "virtio",                                                                         \
         .size = 0x4000,                                                                           \
         .region = offsetof(type, virtio.region),                                                  \
         .raw = &virtio_ops},                                                                      \
            {.name = "virtio-msix", .region = offsetof(type, virtio.msix_region)},                 \
    }
#define VIRTIO_STATE(type)                                                                         \
    {"pci", offsetof(type, virtio.pci), sizeof(PciFunction), 1, pci_state, STATE_VALUE},           \
    {                                                                                              \
        "virtio", offsetof(type, virtio), sizeof(VirtioPci), 1, virtio_state, STATE_VALUE          \
    }

static inline bool virtio_has(const VirtioPci *v, u64 feature)
{
    return v->features & feature;
}

/* -- Queues (queue.c) */

/* Takes the next chain; false if there is none, or it makes no sense (the device is then broken
 * until it is reset). */
bool virtqueue_take(VirtQueue *queue, VirtioChain *chain);
/* Gives it back with the number of bytes written, after telling memory about them. */
void virtqueue_return(VirtQueue *queue, const VirtioChain *chain, u32 written);
/* Tells the driver, if it wants to know. */
void virtqueue_signal(VirtQueue *queue);

/* The device changed its configuration: tells the driver. */
void virtio_config_changed(VirtioPci *v);
/* The driver did what it must not: nothing works until it resets the device. */
void virtio_break(VirtioPci *v, const char *why);

/* Copies from what the device reads, at an offset; how many bytes there were. */
u64 virtio_copy_out(const VirtioChain *chain, u64 offset, void *bytes, u64 size);
/* The same to what it writes. */
u64 virtio_copy_in(const VirtioChain *chain, u64 offset, const void *bytes, u64 size);
/* Drops bytes at the beginning of the part that is read, or at the end of the one written. */
bool virtio_trim(VirtioChain *chain, u64 out_head, u64 in_tail);

/* -- virtio_pci.c, for queue.c */
void virtio_interrupt(VirtioPci *v, u16 vector, u8 isr);

#endif
