/* Stream sockets by address: connecting to one, listening at one, and writing an address down.
 *
 * Must not know what is said over them. */
#ifndef BASE_SOCKET_H
#define BASE_SOCKET_H

#include <stdbool.h>

/* Either a path, or a host and a port. Nothing in it is owned. */
typedef struct SocketAddress {
    const char *path; /* of a Unix socket; NULL: the others count */
    const char *host; /* name or number; NULL: every address of this machine to listen at, the
                         loopback to connect to */
    const char *port; /* number or service */
} SocketAddress;

/* Cuts "HOST:PORT", where HOST may be empty or, with colons of its own, in brackets, into the
 * address, which then points into the text. False: it is none. */
bool socket_split(char *text, SocketAddress *address);

/* A connected socket that is closed on exec, or -errno with the reason in *why, which lasts until
 * the thread's next strerror(). limit_seconds: how long one attempt over TCP may take; 0: as long
 * as the kernel tries. */
int socket_connect(const SocketAddress *address, unsigned limit_seconds, const char **why);

/* A listening socket that never blocks and is closed on exec, or -errno with the reason as above. A
 * path must not exist, unless it is a socket that nobody listens at any more: that goes. */
int socket_listen(const SocketAddress *address, const char **why);

#endif
