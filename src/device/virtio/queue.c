/* Virtqueues, whatever their layout (ring.h), and the chains that are taken from them. */
#include <string.h>

#include "device/virtio/ring.h"

static const VirtRing *ring_of(const VirtQueue *queue)
{
    return virtio_has(queue->owner, VIRTIO_F_PACKED) ? &virtio_packed : &virtio_split;
}

static bool is_usable(const VirtQueue *queue)
{
    return queue->enabled && queue->size && virtio_is_running(queue->owner);
}

/* -- Chains */

bool virtio_add_piece(VirtQueue *queue, VirtioChain *chain, u64 address, u32 length, u16 flags)
{
    bool write = flags & VIRTIO_DESCRIPTOR_WRITE;

    if (!write && chain->in_count) {
        virtio_break(queue->owner, "a descriptor to be read behind one to be written");
        return false;
    }
    if (chain->out_size + chain->in_size + length > UINT32_MAX) { /* 2.7.5.2 */
        virtio_break(queue->owner, "a chain of 4 GiB or more");
        return false;
    }
    for (u64 done = 0, size; done < length; done += size) {
        u32 n = chain->out_count + chain->in_count;
        size = length - done;
        u8 *host = dma_map(virtqueue_memory(queue), address + done, &size, write);
        if (!host || n == VIRTIO_SEGMENTS) {
            virtio_break(queue->owner, host ? "too many descriptors" : "a descriptor of no memory");
            return false;
        }
        chain->iov[n] = (struct iovec){host, size};
        *(write ? &chain->in_count : &chain->out_count) += 1;
    }
    *(write ? &chain->in_size : &chain->out_size) += length;
    return true;
}

bool virtqueue_take(VirtQueue *queue, VirtioChain *chain)
{
    if (!is_usable(queue) || !virtio_may_take(queue)) {
        return false;
    }
    chain->out_count = chain->in_count = 0;
    chain->out_size = chain->in_size = 0;
    return ring_of(queue)->take(queue, chain);
}

void virtqueue_untake(VirtQueue *queue, u32 places)
{
    if (queue->size) {
        ring_of(queue)->untake(queue, places);
    }
}

VirtioUsed virtqueue_written(VirtQueue *queue, const VirtioChain *chain, u32 written)
{
    for (u32 i = 0; i < chain->in_count; i++) {
        const struct iovec *iov = &chain->iov[chain->out_count + i];
        dma_done(virtqueue_memory(queue), iov->iov_base, iov->iov_len);
    }
    return (VirtioUsed){chain->head, chain->places, written};
}

void virtqueue_publish(VirtQueue *queue, const VirtioUsed *used, u32 count)
{
    if (is_usable(queue)) {
        ring_of(queue)->publish(queue, used, count);
        for (u32 i = 0; i < count; i++) {
            queue->untold += used[i].places;
        }
    }
}

void virtqueue_return(VirtQueue *queue, const VirtioChain *chain, u32 written)
{
    VirtioUsed used = virtqueue_written(queue, chain, written);

    virtqueue_publish(queue, &used, 1);
}

void virtqueue_signal(VirtQueue *queue)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (queue->untold && is_usable(queue) && ring_of(queue)->is_wanted(queue)) {
        virtio_interrupt(queue->owner, queue->vector, VIRTIO_ISR_QUEUE);
    }
    queue->untold = 0;
}

void virtqueue_settle(VirtQueue *queue)
{
    queue->size = MIN(queue->size, (u16)VIRTIO_QUEUE_SIZE);
    ring_of(queue)->bound(queue);
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
