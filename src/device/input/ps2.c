/* Queues between PS/2 devices and their controller: see ps2.h. */
#include "device/input/ps2.h"

#include <string.h>

const StateField ps2_queue_state[] = {
    STATE_ARRAY(Ps2Queue, replies),
    STATE(Ps2Queue, reply_count),
    STATE_ARRAY(Ps2Queue, bytes),
    STATE(Ps2Queue, start),
    STATE(Ps2Queue, size),
    STATE(Ps2Queue, last),
    STATE_END,
};

void ps2_put(Ps2Queue *queue, const u8 *bytes, unsigned count)
{
    for (unsigned i = 0; i < count && ps2_room(queue); i++) {
        queue->bytes[(queue->start + queue->size++) % PS2_QUEUE_SIZE] = bytes[i];
    }
}

void ps2_tell(const Ps2Queue *queue)
{
    if (queue->ready) {
        queue->ready(queue->opaque);
    }
}

void ps2_reply(Ps2Queue *queue, const u8 *bytes, unsigned count)
{
    queue->reply_count = (u8)MIN(count, (unsigned)PS2_REPLIES);
    memcpy(queue->replies, bytes, queue->reply_count);
    ps2_tell(queue);
}

bool ps2_take(Ps2Queue *queue, u8 *byte)
{
    if (queue->reply_count) {
        *byte = queue->replies[0];
        queue->reply_count--;
        memmove(queue->replies, queue->replies + 1, queue->reply_count);
    } else if (queue->size) {
        *byte = queue->bytes[queue->start];
        queue->start = (queue->start + 1) % PS2_QUEUE_SIZE;
        queue->size--;
    } else {
        return false;
    }
    queue->last = *byte;
    return true;
}

void ps2_clear(Ps2Queue *queue)
{
    queue->reply_count = queue->start = queue->size = 0;
}

void ps2_check(Ps2Queue *queue)
{
    queue->reply_count = MIN(queue->reply_count, (u8)PS2_REPLIES);
    queue->start %= PS2_QUEUE_SIZE;
    queue->size = MIN(queue->size, (u8)PS2_QUEUE_SIZE);
}
