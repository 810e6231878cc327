/* What the two layouts of virtqueues, split.c and packed.c, provide and share. queue.c checks that
 * a queue may be used before it calls one. */
#ifndef DEVICE_VIRTIO_RING_H
#define DEVICE_VIRTIO_RING_H

#include "device/virtio/virtio.h"

enum {
    VIRTIO_DESCRIPTOR = 16, /* bytes */
    /* Flags of descriptors (2.7.5, 2.8.13). */
    VIRTIO_DESCRIPTOR_NEXT = 1,
    VIRTIO_DESCRIPTOR_WRITE = 2,
    VIRTIO_DESCRIPTOR_INDIRECT = 4,
};

typedef struct VirtRing {
    /* Takes the next chain, into one that is empty, and moves queue->next. */
    bool (*take)(VirtQueue *queue, VirtioChain *chain);
    void (*untake)(VirtQueue *queue, u32 places);
    /* Lets the driver see them at once, and moves queue->used. */
    void (*publish)(VirtQueue *queue, const VirtioUsed *used, u32 count);
    /* Whether the driver is to be told of the last `queue->untold` places. */
    bool (*is_wanted)(const VirtQueue *queue);
    /* Brings what was loaded into its bounds. */
    void (*bound)(VirtQueue *queue);
} VirtRing;

extern const VirtRing virtio_split, virtio_packed;

static inline MapReader *virtqueue_memory(const VirtQueue *queue)
{
    return &queue->owner->d.board->dma;
}

/* Adds the host's pieces of what a descriptor refers to. False: it makes no sense, and the device
 * is broken. */
bool virtio_add_piece(VirtQueue *queue, VirtioChain *chain, u64 address, u32 length, u16 flags);

#endif
