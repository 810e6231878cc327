/* Split virtqueues (virtio 1.2, 2.7). */
#include <string.h>

#include "device/virtio/virtio.h"

enum {
    DESCRIPTOR = 16, /* bytes: address, length, flags, next */
    FLAG_NEXT = 1,
    FLAG_WRITE = 2,
    FLAG_INDIRECT = 4,
    AVAIL_NO_INTERRUPT = 1,
};

static MapReader *memory(const VirtQueue *queue)
{
    return &queue->owner->d.board->dma;
}

static u16 read16(const VirtQueue *queue, u64 address)
{
    return (u16)dma_read_le(memory(queue), address, 2);
}

typedef struct Descriptor {
    u64 address;
    u32 length;
    u16 flags, next;
} Descriptor;

static Descriptor read_descriptor(const VirtQueue *queue, u64 table, u16 index)
{
    u8 bytes[DESCRIPTOR];
    Descriptor d;

    dma_read(memory(queue), table + (u64)index * DESCRIPTOR, bytes, sizeof bytes);
    memcpy(&d.address, bytes, 8);
    memcpy(&d.length, bytes + 8, 4);
    memcpy(&d.flags, bytes + 12, 2);
    memcpy(&d.next, bytes + 14, 2);
    return d;
}

/* Adds the host's pieces of a descriptor. */
static bool add_pieces(VirtQueue *queue, VirtioChain *chain, const Descriptor *d)
{
    bool write = d->flags & FLAG_WRITE;

    for (u64 done = 0, size; done < d->length; done += size) {
        u32 n = chain->out_count + chain->in_count;
        size = d->length - done;
        u8 *host = dma_map(memory(queue), d->address + done, &size, write);
        if (!host || n == VIRTIO_SEGMENTS) {
            virtio_break(queue->owner, host ? "too many descriptors" : "a descriptor of no memory");
            return false;
        }
        chain->iov[n] = (struct iovec){host, size};
        *(write ? &chain->in_count : &chain->out_count) += 1;
    }
    *(write ? &chain->in_size : &chain->out_size) += d->length;
    return true;
}

/* Follows a chain in a table of `count` descriptors. */
static bool follow(VirtQueue *queue, VirtioChain *chain, u64 table, u32 count, u16 index,
                   bool indirect)
{
    for (u32 steps = 0;; steps++) {
        if (index >= count || steps >= count) {
            virtio_break(queue->owner, "a chain of descriptors without an end");
            return false;
        }
        Descriptor d = read_descriptor(queue, table, index);
        if (d.flags & FLAG_INDIRECT && !indirect && virtio_has(queue->owner, VIRTIO_F_INDIRECT)) {
            return d.length % DESCRIPTOR == 0 &&
                   follow(queue, chain, d.address, d.length / DESCRIPTOR, 0, true);
        }
        if (!(d.flags & FLAG_WRITE) && chain->in_count) {
            virtio_break(queue->owner, "a descriptor to be read behind one to be written");
            return false;
        }
        if (!add_pieces(queue, chain, &d)) {
            return false;
        }
        if (!(d.flags & FLAG_NEXT)) {
            return true;
        }
        index = d.next;
    }
}

static bool is_usable(const VirtQueue *queue)
{
    return queue->enabled && queue->size && virtio_is_running(queue->owner);
}

bool virtqueue_take(VirtQueue *queue, VirtioChain *chain)
{
    if (!is_usable(queue)) {
        return false;
    }
    if (!virtio_may_take(queue)) {
        return false;
    }
    u16 available = read16(queue, queue->driver + 2);
    if ((u16)(available - queue->used) > queue->size) { /* with those that are being served */
        virtio_break(queue->owner, "more chains than the queue has places");
        return false;
    }
    /* Ask for a notification of the next one before looking for the last time. */
    if (virtio_has(queue->owner, VIRTIO_F_EVENT_IDX)) {
        dma_write_le(memory(queue), queue->device + 4 + 8ull * queue->size, 2, queue->next);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        available = read16(queue, queue->driver + 2);
    }
    if (available == queue->next) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    chain->head = read16(queue, queue->driver + 4 + 2ull * (queue->next % queue->size));
    chain->out_count = chain->in_count = 0;
    chain->out_size = chain->in_size = 0;
    if (!follow(queue, chain, queue->descriptors, queue->size, chain->head, false)) {
        return false;
    }
    queue->next++;
    return true;
}

void virtqueue_untake(VirtQueue *queue, u16 count)
{
    queue->next -= count;
}

void virtqueue_fill(VirtQueue *queue, const VirtioChain *chain, u32 written, u16 index)
{
    u16 place = (u16)(queue->used + index) % MAX(queue->size, 1);
    u64 entry = queue->device + 4 + 8ull * place;

    if (!is_usable(queue)) {
        return;
    }
    for (u32 i = 0; i < chain->in_count; i++) {
        const struct iovec *iov = &chain->iov[chain->out_count + i];
        dma_done(memory(queue), iov->iov_base, iov->iov_len);
    }
    dma_write_le(memory(queue), entry, 4, chain->head);
    dma_write_le(memory(queue), entry + 4, 4, written);
}

void virtqueue_publish(VirtQueue *queue, u16 count)
{
    if (is_usable(queue)) {
        __atomic_thread_fence(__ATOMIC_RELEASE);
        queue->used += count;
        dma_write_le(memory(queue), queue->device + 2, 2, queue->used);
    }
}

void virtqueue_return(VirtQueue *queue, const VirtioChain *chain, u32 written)
{
    virtqueue_fill(queue, chain, written, 0);
    virtqueue_publish(queue, 1);
}

/* Whether `event` lies in what was used since the driver was last told (2.7.7.2). */
static bool is_wanted(VirtQueue *queue)
{
    if (!virtio_has(queue->owner, VIRTIO_F_EVENT_IDX)) {
        return !(read16(queue, queue->driver) & AVAIL_NO_INTERRUPT);
    }
    u16 event = read16(queue, queue->driver + 4 + 2ull * queue->size);
    bool wanted = !queue->signalled_valid ||
                  (u16)(queue->used - event - 1) < (u16)(queue->used - queue->signalled);
    return wanted;
}

void virtqueue_signal(VirtQueue *queue)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (is_usable(queue) && is_wanted(queue)) {
        virtio_interrupt(queue->owner, queue->vector, VIRTIO_ISR_QUEUE);
    }
    queue->signalled = queue->used;
    queue->signalled_valid = 1;
}

/* -- Copies */

static u64 copy(const struct iovec *iov, u32 count, u64 offset, u8 *bytes, u64 size, bool to_guest)
{
    u64 done = 0;

    for (u32 i = 0; i < count && done < size; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        u64 part = MIN(iov[i].iov_len - offset, size - done);
        u8 *guest = (u8 *)iov[i].iov_base + offset;
        memcpy(to_guest ? guest : bytes + done, to_guest ? bytes + done : guest, part);
        done += part;
        offset = 0;
    }
    return done;
}

u64 virtio_copy_out(const VirtioChain *chain, u64 offset, void *bytes, u64 size)
{
    return copy(chain->iov, chain->out_count, offset, bytes, size, false);
}

u64 virtio_copy_in(const VirtioChain *chain, u64 offset, const void *bytes, u64 size)
{
    return copy(chain->iov + chain->out_count, chain->in_count, offset, (u8 *)(uintptr_t)bytes,
                size, true);
}

bool virtio_trim(VirtioChain *chain, u64 out_head, u64 in_tail)
{
    struct iovec *out = chain->iov, *in = chain->iov + chain->out_count;

    if (chain->out_size < out_head || chain->in_size < in_tail) {
        return false;
    }
    chain->out_size -= out_head;
    chain->in_size -= in_tail;
    for (u32 i = 0; out_head && i < chain->out_count; i++) {
        u64 part = MIN(out_head, (u64)out[i].iov_len);
        out[i].iov_base = (u8 *)out[i].iov_base + part;
        out[i].iov_len -= part;
        out_head -= part;
    }
    for (u32 i = chain->in_count; in_tail && i-- > 0;) {
        u64 part = MIN(in_tail, (u64)in[i].iov_len);
        in[i].iov_len -= part;
        in_tail -= part;
    }
    return true;
}
