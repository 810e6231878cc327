/* Connecting and listening: see nbd_socket.h. */
#include "block/nbd_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "block/nbd_protocol.h"

enum { BACKLOG = 128 };

void nbd_socket_tune(int fd)
{
    int on = 1;

    /* Fails on unix sockets, which need neither. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static int unix_address(const char *path, struct sockaddr_un *address, BlockError *error)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) {
        return block_error(error, ENAMETOOLONG, "the socket path '%s' is longer than %zu bytes",
                           path, sizeof address->sun_path - 1);
    }
    strcpy(address->sun_path, path);
    return 0;
}

static int connect_unix(const char *path, BlockError *error)
{
    struct sockaddr_un address;
    int result = unix_address(path, &address, error);

    if (result < 0) {
        return result;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        return fd;
    }
    result = -errno;
    if (fd >= 0) {
        close(fd);
    }
    return block_error(error, -result, "cannot connect to '%s': %s", path, strerror(-result));
}

static int look_up(const NbdAddress *address, int flags, struct addrinfo **list, BlockError *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    const char *port = address->port ? address->port : NBD_PORT;
    int result = getaddrinfo(address->host, port, &hints, list);

    return result ? block_error(error, EINVAL, "cannot find address '%s' port '%s': %s",
                                address->host ? address->host : "*", port, gai_strerror(result))
                  : 0;
}

/* How long connecting may take, or (0) whatever follows. */
static void limit_time(int fd, unsigned seconds)
{
    struct timeval limit = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static int connect_tcp(const NbdAddress *address, BlockError *error)
{
    struct addrinfo *list;
    int result = look_up(address, 0, &list, error);

    if (result < 0) {
        return result;
    }
    for (struct addrinfo *at = list; at; at = at->ai_next) {
        int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        limit_time(fd, address->limit_seconds);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0) {
            limit_time(fd, 0);
            nbd_socket_tune(fd);
            freeaddrinfo(list);
            return fd;
        }
        result = -errno;
        if (fd >= 0) {
            close(fd);
        }
    }
    freeaddrinfo(list);
    return block_error(error, -result, "cannot connect to '%s' port %s: %s", address->host,
                       address->port ? address->port : NBD_PORT, strerror(-result));
}

int nbd_socket_connect(const NbdAddress *address, BlockError *error)
{
    static const struct timespec pause = {0, 100000000};

    for (unsigned tries = 0;; tries++) {
        int fd = address->path ? connect_unix(address->path, error) : connect_tcp(address, error);
        if (fd >= 0 || tries >= address->retry_seconds * 10) {
            return fd;
        }
        nanosleep(&pause, NULL);
    }
}

/* Removes a socket that a server left behind. */
static void remove_dead(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
            errno == ECONNREFUSED) {
            unlink(address->sun_path);
        }
        close(fd);
    }
}

static int listen_unix(const char *path, BlockError *error)
{
    struct sockaddr_un address;
    int result = unix_address(path, &address, error);

    if (result < 0) {
        return result;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    remove_dead(&address);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, BACKLOG) == 0) {
        return fd;
    }
    result = -errno;
    if (fd >= 0) {
        close(fd);
    }
    return block_error(error, -result, "cannot listen at '%s': %s", path, strerror(-result));
}

static int listen_tcp(const NbdAddress *address, BlockError *error)
{
    struct addrinfo *list;
    int result = look_up(address, AI_PASSIVE, &list, error), on = 1;

    if (result < 0) {
        return result;
    }
    for (struct addrinfo *at = list; at; at = at->ai_next) {
        int fd =
            socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
        if (fd >= 0) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        }
        if (fd >= 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
            freeaddrinfo(list);
            return fd;
        }
        result = -errno;
        if (fd >= 0) {
            close(fd);
        }
    }
    freeaddrinfo(list);
    return block_error(error, -result, "cannot listen at '%s' port %s: %s",
                       address->host ? address->host : "*",
                       address->port ? address->port : NBD_PORT, strerror(-result));
}

int nbd_socket_listen(const NbdAddress *address, BlockError *error)
{
    return address->path ? listen_unix(address->path, error) : listen_tcp(address, error);
}
