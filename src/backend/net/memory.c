/* Network port "memory": two queues of frames, whose other end is whoever holds the port. */
#include <stdlib.h>
#include <string.h>

#include "backend/net/driver.h"

typedef struct Frame {
    struct Frame *next;
    size_t size;
    u8 bytes[];
} Frame;

typedef struct FrameQueue {
    Frame *first;
    u32 count;
} FrameQueue;

typedef struct Memory {
    NetPort port;
    FrameQueue sent, arriving;
    u32 limit; /* frames in `sent` */
    bool delivering;
} Memory;

static void append(FrameQueue *queue, const struct iovec *iov, u32 count)
{
    size_t size = net_size(iov, count);
    Frame *frame = malloc(sizeof *frame + size), **at = &queue->first;

    if (!frame) {
        abort();
    }
    *frame = (Frame){NULL, size};
    net_gather(iov, count, frame->bytes, size);
    while (*at) {
        at = &(*at)->next;
    }
    *at = frame;
    queue->count++;
}

static void drop_first(FrameQueue *queue)
{
    Frame *frame = queue->first;

    queue->first = frame->next;
    queue->count--;
    free(frame);
}

static int memory_open(NetPort *port, char **error)
{
    (void)error;
    ((Memory *)port)->limit = UINT32_MAX;
    return 0;
}

static void memory_close(NetPort *port)
{
    Memory *memory = (Memory *)port;

    while (memory->sent.first) {
        drop_first(&memory->sent);
    }
    net_memory_lose(port);
}

static bool memory_send(NetPort *port, const struct iovec *iov, u32 count)
{
    Memory *memory = (Memory *)port;

    if (memory->sent.count >= memory->limit) {
        return false;
    }
    append(&memory->sent, iov, count);
    return true;
}

/* The user may call back while it receives. */
static void memory_accept(NetPort *port)
{
    Memory *memory = (Memory *)port;

    if (memory->delivering) {
        return;
    }
    memory->delivering = true;
    while (memory->arriving.first) {
        Frame *frame = memory->arriving.first;
        if (!net_deliver(port, &(struct iovec){frame->bytes, frame->size}, 1)) {
            break;
        }
        drop_first(&memory->arriving);
    }
    memory->delivering = false;
}

void net_memory_feed(NetPort *port, const void *frame, size_t size)
{
    append(&((Memory *)port)->arriving, &(struct iovec){(void *)(uintptr_t)frame, size}, 1);
    memory_accept(port);
}

void net_memory_lose(NetPort *port)
{
    Memory *memory = (Memory *)port;

    while (memory->arriving.first) {
        drop_first(&memory->arriving);
    }
}

size_t net_memory_take(NetPort *port, void *frame, size_t size)
{
    Memory *memory = (Memory *)port;
    size_t length = memory->sent.first ? memory->sent.first->size : 0;

    if (!memory->sent.first) {
        return 0;
    }
    memcpy(frame, memory->sent.first->bytes, MIN(size, length));
    drop_first(&memory->sent);
    if (memory->sent.count < memory->limit) {
        net_drained(port);
    }
    return length;
}

void net_memory_limit(NetPort *port, u32 count)
{
    Memory *memory = (Memory *)port;

    memory->limit = count;
    if (memory->sent.count < memory->limit) {
        net_drained(port);
    }
}

const NetDriver net_driver_memory = {
    .name = "memory",
    .size = sizeof(Memory),
    .open = memory_open,
    .close = memory_close,
    .send = memory_send,
    .accept = memory_accept,
};
