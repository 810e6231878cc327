/* Character port "ring": memory, whose other end is whoever holds the port. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/char/driver.h"

typedef struct Ring {
    CharPort port;
    u8 *pending; /* fed and not taken by the user */
    size_t pending_size;
    void (*written)(void *opaque); /* the other end's; NULL: it looks by itself */
    void *opaque;
} Ring;

static int ring_open(CharPort *port, const char *argument, char **error)
{
    (void)port;
    (void)argument;
    (void)error;
    return 0;
}

static void ring_close(CharPort *port)
{
    free(((Ring *)port)->pending);
}

static void ring_written(CharPort *port)
{
    const Ring *ring = (Ring *)port;

    if (ring->written) {
        ring->written(ring->opaque);
    }
}

void char_ring_listen(CharPort *port, void (*written)(void *opaque), void *opaque)
{
    Ring *ring = (Ring *)port;

    ring->written = written;
    ring->opaque = opaque;
}

void char_ring_feed(CharPort *port, const void *bytes, size_t size)
{
    Ring *ring = (Ring *)port;
    size_t room;

    if (size) {
        ring->pending = realloc(ring->pending, ring->pending_size + size);
        if (!ring->pending) {
            abort();
        }
        memcpy(ring->pending + ring->pending_size, bytes, size);
        ring->pending_size += size;
    }
    while (ring->pending_size && port->user && (room = port->user->room(port->opaque))) {
        u8 first[256];
        size_t n = MIN(MIN(room, ring->pending_size), sizeof first);
        memcpy(first, ring->pending, n);
        ring->pending_size -= n;
        memmove(ring->pending, ring->pending + n, ring->pending_size);
        port->user->receive(port->opaque, first, n);
    }
}

size_t char_ring_take(CharPort *port, void *bytes, size_t size)
{
    size_t n = MIN(size, port->size);

    memcpy(bytes, port->buffer + port->start, n);
    port->size -= n;
    memmove(port->buffer, port->buffer + port->start + n, port->size);
    port->start = 0;
    if (port->refused && port->size < port->limit) {
        port->refused = false;
        if (port->user && port->user->drained) {
            port->user->drained(port->opaque);
        }
    }
    return n;
}

void char_ring_event(CharPort *port, CharEvent event)
{
    char_tell(port, event);
}

void char_ring_limit(CharPort *port, size_t size)
{
    port->limit = size;
}

const CharDriver char_driver_ring = {
    .name = "ring",
    .size = sizeof(Ring),
    .open = ring_open,
    .close = ring_close,
    .written = ring_written,
};
