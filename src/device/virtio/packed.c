/* Packed virtqueues (virtio 1.2, 2.8): one ring of descriptors. Driver and device mark what is
 * available and what was used by two flags, whose meaning turns round each time that they pass the
 * ring's end.
 *
 * A position is a place in two rounds of the ring, 0 to 2 * size - 1: the wrap counter is 1 in the
 * first of them. Of a queue, `next` is where the next chain begins, and `used` where what is used
 * next is written; the places from `used` to `next` are the device's. */
#include <string.h>

#include "device/virtio/ring.h"

enum {
    FLAG_AVAIL = 1 << 7,
    FLAG_USED = 1 << 15,
    /* Structures for event suppression (2.8.10): a place and its wrap counter, and how it counts.
     */
    EVENT_WRAP = 1 << 15,
    EVENT_DISABLE = 1,
    EVENT_PLACE = 2,
    EVENT_MASK = 3,
};

/* -- Positions */

static u16 advance(const VirtQueue *queue, u16 position, u32 places)
{
    return (u16)((position + places) % (2u * queue->size));
}

/* How many places it is from one to another. */
static u32 distance(const VirtQueue *queue, u32 from, u32 to)
{
    return (to + 2u * queue->size - from) % (2u * queue->size);
}

static bool wrap_counter(const VirtQueue *queue, u16 position)
{
    return position < queue->size;
}

static u64 place_of(const VirtQueue *queue, u16 position)
{
    return queue->descriptors + (u64)VIRTIO_DESCRIPTOR * (position % queue->size);
}

/* -- Chains */

typedef struct Descriptor {
    u64 address;
    u32 length;
    u16 id, flags;
} Descriptor;

static Descriptor read_descriptor(const VirtQueue *queue, u64 at)
{
    u8 bytes[VIRTIO_DESCRIPTOR];
    Descriptor d;

    dma_read(virtqueue_memory(queue), at, bytes, sizeof bytes);
    memcpy(&d.address, bytes, 8);
    memcpy(&d.length, bytes + 8, 4);
    memcpy(&d.id, bytes + 12, 2);
    memcpy(&d.flags, bytes + 14, 2);
    return d;
}

static bool is_available(const VirtQueue *queue)
{
    u64 at = place_of(queue, queue->next);
    u16 flags = (u16)dma_read_le(virtqueue_memory(queue), at + 14, 2);
    bool wrap = wrap_counter(queue, queue->next);

    return !(flags & FLAG_AVAIL) == !wrap && !(flags & FLAG_USED) == wrap;
}

/* The driver is to ring when it makes the next chain available. */
static void ask_for_notification(const VirtQueue *queue)
{
    u32 place = queue->next % queue->size;

    if (virtio_has(queue->owner, VIRTIO_F_EVENT_IDX)) {
        place |= wrap_counter(queue, queue->next) ? EVENT_WRAP : 0;
        dma_write_le(virtqueue_memory(queue), queue->device, 4, place | EVENT_PLACE << 16);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
}

/* A table of descriptors, one after the other (2.8.7). */
static bool add_table(VirtQueue *queue, VirtioChain *chain, u64 table, u32 size)
{
    if (size % VIRTIO_DESCRIPTOR != 0 || size / VIRTIO_DESCRIPTOR > VIRTIO_SEGMENTS) {
        virtio_break(queue->owner, "a table with a part of a descriptor, or too many");
        return false;
    }
    for (u32 at = 0; at < size; at += VIRTIO_DESCRIPTOR) {
        Descriptor d = read_descriptor(queue, table + at);
        if (!virtio_add_piece(queue, chain, d.address, d.length, d.flags)) {
            return false;
        }
    }
    return true;
}

static bool add_descriptor(VirtQueue *queue, VirtioChain *chain, const Descriptor *d)
{
    if (d->flags & VIRTIO_DESCRIPTOR_INDIRECT && virtio_has(queue->owner, VIRTIO_F_INDIRECT)) {
        return add_table(queue, chain, d->address, d->length);
    }
    return virtio_add_piece(queue, chain, d->address, d->length, d->flags);
}

static bool packed_take(VirtQueue *queue, VirtioChain *chain)
{
    u16 position = queue->next;
    Descriptor d;

    ask_for_notification(queue);
    if (!is_available(queue)) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    do {
        if (distance(queue, queue->used, position) >= queue->size) {
            virtio_break(queue->owner, "more descriptors than the queue has places");
            return false;
        }
        d = read_descriptor(queue, place_of(queue, position));
        position = advance(queue, position, 1);
        if (!add_descriptor(queue, chain, &d)) {
            return false;
        }
    } while (d.flags & VIRTIO_DESCRIPTOR_NEXT);
    chain->head = d.id; /* of the last one */
    chain->places = (u16)distance(queue, queue->next, position);
    queue->next = position;
    return true;
}

static void packed_untake(VirtQueue *queue, u32 places)
{
    queue->next = (u16)distance(queue, places % (2u * queue->size), queue->next);
}

/* -- What was used */

static void write_used(VirtQueue *queue, u16 position, const VirtioUsed *used)
{
    MapReader *memory = virtqueue_memory(queue);
    u64 at = place_of(queue, position);
    u16 flags = wrap_counter(queue, position) ? FLAG_AVAIL | FLAG_USED : 0;

    dma_write_le(memory, at + 8, 4, used->written);
    dma_write_le(memory, at + 12, 2, used->head);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    dma_write_le(memory, at + 14, 2, flags | (used->written ? VIRTIO_DESCRIPTOR_WRITE : 0));
}

/* The last one first: the driver sees none before it sees the first. */
static void packed_publish(VirtQueue *queue, const VirtioUsed *used, u32 count)
{
    u16 position = queue->used;

    for (u32 i = 0; i < count; i++) {
        position = advance(queue, position, used[i].places);
    }
    u16 end = position;
    for (u32 i = count; i-- > 0;) {
        position = (u16)distance(queue, used[i].places % (2u * queue->size), position);
        write_used(queue, position, &used[i]);
    }
    queue->used = end;
}

static bool packed_is_wanted(const VirtQueue *queue)
{
    u32 event = (u32)dma_read_le(virtqueue_memory(queue), queue->driver, 4);
    u32 how = event >> 16 & EVENT_MASK, place = event & (EVENT_WRAP - 1);

    if (how != EVENT_PLACE || !virtio_has(queue->owner, VIRTIO_F_EVENT_IDX)) {
        return how != EVENT_DISABLE;
    }
    if (queue->untold >= 2u * queue->size) {
        return true;
    }
    place = (place + (event & EVENT_WRAP ? 0 : queue->size)) % (2u * queue->size);
    u32 first = distance(queue, queue->untold, queue->used);
    return distance(queue, first, place) < queue->untold;
}

static void packed_bound(VirtQueue *queue)
{
    queue->next = queue->next < 2u * queue->size ? queue->next : 0;
    queue->used = queue->used < 2u * queue->size ? queue->used : 0;
}

const VirtRing virtio_packed = {packed_take, packed_untake, packed_publish, packed_is_wanted,
                                packed_bound};
