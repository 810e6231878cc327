/* Connecting and listening: see nbd_socket.h. */
#include "block/nbd_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include "base/socket.h"
#include "block/nbd_protocol.h"

void nbd_socket_tune(int fd)
{
    int on = 1;

    /* Fails on unix sockets, which need neither. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static SocketAddress socket_address(const NbdAddress *address)
{
    return (SocketAddress){address->path, address->host, address->port ? address->port : NBD_PORT};
}

/* Why the address will not do, in one line; `what` could not be done there. */
static int refuse(const SocketAddress *at, const char *what, int result, const char *why,
                  BlockError *error)
{
    if (at->path) {
        return block_error(error, -result, "cannot %s '%s': %s", what, at->path, why);
    }
    return block_error(error, -result, "cannot %s '%s' port %s: %s", what,
                       at->host ? at->host : "*", at->port, why);
}

int nbd_socket_connect(const NbdAddress *address, BlockError *error)
{
    static const struct timespec pause = {0, 100000000};
    SocketAddress at = socket_address(address);
    const char *why;

    for (unsigned tries = 0;; tries++) {
        int fd = socket_connect(&at, address->limit_seconds, &why);
        if (fd >= 0) {
            nbd_socket_tune(fd);
            return fd;
        }
        if (tries >= address->retry_seconds * 10) {
            return refuse(&at, "connect to", fd, why, error);
        }
        nanosleep(&pause, NULL);
    }
}

int nbd_socket_listen(const NbdAddress *address, BlockError *error)
{
    SocketAddress at = socket_address(address);
    const char *why;
    int fd = socket_listen(&at, &why);

    return fd >= 0 ? fd : refuse(&at, "listen at", fd, why, error);
}
