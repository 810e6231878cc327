/* Split virtqueues (virtio 1.2, 2.7): a table of descriptors, a ring of chains' heads that the
 * driver makes available, and one of those that the device has used. Positions count without end.
 */
#include <string.h>

#include "device/virtio/ring.h"

enum { AVAIL_NO_INTERRUPT = 1 };

static u16 read16(const VirtQueue *queue, u64 address)
{
    return (u16)dma_read_le(virtqueue_memory(queue), address, 2);
}

typedef struct Descriptor {
    u64 address;
    u32 length;
    u16 flags, next;
} Descriptor;

static Descriptor read_descriptor(const VirtQueue *queue, u64 table, u16 index)
{
    u8 bytes[VIRTIO_DESCRIPTOR];
    Descriptor d;

    dma_read(virtqueue_memory(queue), table + (u64)index * sizeof bytes, bytes, sizeof bytes);
    memcpy(&d.address, bytes, 8);
    memcpy(&d.length, bytes + 8, 4);
    memcpy(&d.flags, bytes + 12, 2);
    memcpy(&d.next, bytes + 14, 2);
    return d;
}

static bool is_table(VirtQueue *queue, const Descriptor *d)
{
    if (d->length % VIRTIO_DESCRIPTOR != 0) {
        virtio_break(queue->owner, "a table with a part of a descriptor");
        return false;
    }
    return true;
}

/* Follows a chain in a table of `count` descriptors, however large it says that it is: what an
 * endless chain repeats may be descriptors of nothing. */
static bool follow(VirtQueue *queue, VirtioChain *chain, u64 table, u32 count, u16 index,
                   bool indirect)
{
    for (u32 steps = 0;; steps++) {
        if (index >= count || steps >= MIN(count, (u32)VIRTIO_SEGMENTS)) {
            virtio_break(queue->owner, "a chain of descriptors without an end");
            return false;
        }
        Descriptor d = read_descriptor(queue, table, index);
        if (d.flags & VIRTIO_DESCRIPTOR_INDIRECT && !indirect &&
            virtio_has(queue->owner, VIRTIO_F_INDIRECT)) {
            return is_table(queue, &d) &&
                   follow(queue, chain, d.address, d.length / VIRTIO_DESCRIPTOR, 0, true);
        }
        if (!virtio_add_piece(queue, chain, d.address, d.length, d.flags)) {
            return false;
        }
        if (!(d.flags & VIRTIO_DESCRIPTOR_NEXT)) {
            return true;
        }
        index = d.next;
    }
}

static bool split_take(VirtQueue *queue, VirtioChain *chain)
{
    u16 available = read16(queue, queue->driver + 2);

    if ((u16)(available - queue->used) > queue->size) { /* with those that are being served */
        virtio_break(queue->owner, "more chains than the queue has places");
        return false;
    }
    /* Ask for a notification of the next one before looking for the last time. */
    if (virtio_has(queue->owner, VIRTIO_F_EVENT_IDX)) {
        dma_write_le(virtqueue_memory(queue), queue->device + 4 + 8ull * queue->size, 2,
                     queue->next);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        available = read16(queue, queue->driver + 2);
    }
    if (available == queue->next) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    chain->head = read16(queue, queue->driver + 4 + 2ull * (queue->next % queue->size));
    chain->places = 1;
    if (!follow(queue, chain, queue->descriptors, queue->size, chain->head, false)) {
        return false;
    }
    queue->next++;
    return true;
}

static void split_untake(VirtQueue *queue, u32 places)
{
    queue->next -= (u16)places;
}

static void split_publish(VirtQueue *queue, const VirtioUsed *used, u32 count)
{
    MapReader *memory = virtqueue_memory(queue);

    for (u32 i = 0; i < count; i++) {
        u64 entry = queue->device + 4 + 8ull * ((u16)(queue->used + i) % queue->size);
        dma_write_le(memory, entry, 4, used[i].head);
        dma_write_le(memory, entry + 4, 4, used[i].written);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    queue->used += (u16)count;
    dma_write_le(memory, queue->device + 2, 2, queue->used);
}

/* With event indices, where the driver named a place among the new ones (2.7.7.2). */
static bool split_is_wanted(const VirtQueue *queue)
{
    if (!virtio_has(queue->owner, VIRTIO_F_EVENT_IDX)) {
        return !(read16(queue, queue->driver) & AVAIL_NO_INTERRUPT);
    }
    u16 event = read16(queue, queue->driver + 4 + 2ull * queue->size);
    return (u16)(queue->used - event - 1) < queue->untold;
}

static void split_bound(VirtQueue *queue)
{
    (void)queue;
}

const VirtRing virtio_split = {split_take, split_untake, split_publish, split_is_wanted,
                               split_bound};
