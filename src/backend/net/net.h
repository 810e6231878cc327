/* Network ports: Ethernet frames each way between a network device and something of the host.
 *
 *     NetPort *port;
 *     char *error;
 *     if (net_open(&port, "null", loop, &error) < 0) ...
 *     net_attach(port, &user, device);
 *     if (!net_send(port, iov, count)) ...     again when drained() is called
 *
 * A frame begins with the destination's address and has no checksum at its end. It is at most
 * NET_FRAME_MAX bytes, and may be shorter than Ethernet's least. Nothing here waits. Everything is
 * called under the loop's lock, if it has one.
 * Must not know devices. Back ends are written against driver.h. */
#ifndef BACKEND_NET_NET_H
#define BACKEND_NET_NET_H

#include <sys/uio.h>

#include "base/loop.h"

enum { NET_FRAME_MAX = 65550, NET_ADDRESS = 6 };

typedef struct NetPort NetPort;

/* Who uses a port. */
typedef struct NetUser {
    /* A frame has arrived. False: there is no room for it now; net_accept() tells of room. */
    bool (*receive)(void *opaque, const struct iovec *iov, u32 count);
    /* After net_send() did not take a frame: it may now. NULL: ignored. */
    void (*drained)(void *opaque);
    /* The link came up or went down. NULL: ignored. */
    void (*link)(void *opaque, bool up);
} NetUser;

/* Frames and bytes since the port was opened; device's view. */
typedef struct NetCounters {
    u64 sent_frames, sent_bytes;
    u64 received_frames, received_bytes;
} NetCounters;

/* Opens what `spec` names:
 *
 *     null       drops what is sent, never receives
 *     memory     for tests: see below
 *
 * 0 or -errno with one line in *error, to be freed. */
int net_open(NetPort **port, const char *spec, Loop *loop, char **error);

/* NULL is fine. */
void net_close(NetPort *port);

/* Makes somebody the port's user, the only one; user == NULL: nobody. */
void net_attach(NetPort *port, const NetUser *user, void *opaque);

/* Sends a frame. False: not now; drained() follows. A port that is NULL or whose link is down takes
 * all, and drops them. */
bool net_send(NetPort *port, const struct iovec *iov, u32 count);

/* The user has room again. May call receive() before it returns. NULL is fine. */
void net_accept(NetPort *port);

/* As if the cable was plugged in or pulled. */
void net_set_link(NetPort *port, bool up);
bool net_link_is_up(const NetPort *port);

const NetCounters *net_counters(const NetPort *port);

/* For messages: the spec. */
const char *net_name(const NetPort *port);

/* -- "memory": the other end is the caller */

/* A frame arrives. It waits in the port until the user has room. */
void net_memory_feed(NetPort *port, const void *frame, size_t size);
/* What waits is lost. */
void net_memory_lose(NetPort *port);
/* Takes the next frame that the user sent, up to `size` bytes of it; returns its length, 0: there
 * is none. */
size_t net_memory_take(NetPort *port, void *frame, size_t size);
/* Takes no more than `count` frames from the user until they are taken. */
void net_memory_limit(NetPort *port, u32 count);

#endif
