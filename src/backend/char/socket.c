/* Character ports "unix" and "tcp": a connection to a socket, or one client at a time of a socket
 * here. While nobody is connected, what is written is lost. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/char/driver.h"

typedef struct Socket {
    CharPort port;
    bool server, no_wait, delay;
    int listening; /* -1: a client */
    char *path;    /* of a socket made here; owned */
} Socket;

static int socket_option(CharPort *port, const char *name, const char *value, char **error)
{
    Socket *s = (Socket *)port;
    bool on = false;
    int result = char_switch(name, value, &on, error);

    if (result < 0) {
        return result;
    }
    if (!strcmp(name, "server")) {
        s->server = on;
    } else if (!strcmp(name, "wait")) {
        s->no_wait = !on;
    } else if (!strcmp(name, "nowait")) {
        s->no_wait = on;
    } else if (!strcmp(name, "nodelay")) {
        s->delay = !on;
    } else {
        return char_error(error, EINVAL, "%s takes no option '%s'", port->driver->name, name);
    }
    return 0;
}

/* -- Connections */

static void use(Socket *s, int fd)
{
    int on = !s->delay;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* not of a Unix socket */
    if (s->listening >= 0) {
        loop_unwatch(s->port.loop, s->listening); /* others wait for their turn */
    }
    char_use(&s->port, fd, fd);
    char_tell(&s->port, CHAR_CONNECTED);
    char_accept(&s->port);
}

static void accept_client(void *opaque, u32 events)
{
    Socket *s = opaque;
    int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0) {
        use(s, fd);
    }
}

static void await_client(CharPort *port)
{
    Socket *s = (Socket *)port;

    if (s->listening >= 0) {
        loop_watch(port->loop, s->listening, EPOLLIN, accept_client, s);
    }
}

static int start_socket(Socket *s, int fd, const struct sockaddr *address, socklen_t size,
                        char **error)
{
    int on = 1;

    s->port.connected = false;
    s->listening = -1;
    if (fd < 0) {
        return char_error(error, errno, "%s: %s", s->port.name, strerror(errno));
    }
    if (!s->server) {
        if (connect(fd, address, size) < 0) {
            return char_error(error, errno, "cannot connect %s: %s", s->port.name, strerror(errno));
        }
        use(s, fd);
        return 0;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, size) < 0 || listen(fd, 1) < 0) {
        return char_error(error, errno, "cannot listen at %s: %s", s->port.name, strerror(errno));
    }
    s->listening = fd;
    if (s->no_wait) {
        await_client(&s->port);
    } else {
        accept_client(s, 0);
    }
    return 0;
}

static void socket_close(CharPort *port)
{
    Socket *s = (Socket *)port;

    if (s->listening >= 0) {
        loop_unwatch(port->loop, s->listening);
        close(s->listening);
    }
    if (s->path) {
        unlink(s->path);
        free(s->path);
    }
}

/* -- "unix" */

/* A socket file that nobody listens at any more is in the way. */
static void remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
        errno == ECONNREFUSED) {
        unlink(address->sun_path);
    }
    close(fd);
}

static int unix_open(CharPort *port, const char *path, char **error)
{
    Socket *s = (Socket *)port;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int result, fd;

    if (!*path || strlen(path) >= sizeof address.sun_path) {
        return char_error(error, EINVAL, "'%s' is no path for a socket", path);
    }
    strcpy(address.sun_path, path);
    if (s->server) {
        remove_stale(&address);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    result = start_socket(s, fd, (struct sockaddr *)&address, sizeof address, error);
    if (result < 0) {
        close(fd);
    } else if (s->server) {
        s->path = strdup(path);
    }
    return result;
}

/* -- "tcp" */

static int tcp_open(CharPort *port, const char *argument, char **error)
{
    Socket *s = (Socket *)port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    const char *colon = strrchr(argument, ':');
    char *host;
    int result, fd;

    if (!colon) {
        return char_error(error, EINVAL, "tcp:%s: it must be HOST:PORT", argument);
    }
    host = strndup(argument, (size_t)(colon - argument));
    hints.ai_flags = s->server ? AI_PASSIVE : 0;
    result = getaddrinfo(host && *host ? host : NULL, colon + 1, &hints, &list);
    free(host);
    if (result) {
        return char_error(error, EINVAL, "tcp:%s: %s", argument, gai_strerror(result));
    }
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    result = start_socket(s, fd, list->ai_addr, list->ai_addrlen, error);
    if (result < 0) {
        close(fd);
    }
    freeaddrinfo(list);
    return result;
}

const CharDriver char_driver_unix = {
    .name = "unix",
    .size = sizeof(Socket),
    .option = socket_option,
    .open = unix_open,
    .close = socket_close,
    .hung_up = await_client,
};

const CharDriver char_driver_tcp = {
    .name = "tcp",
    .size = sizeof(Socket),
    .option = socket_option,
    .open = tcp_open,
    .close = socket_close,
    .hung_up = await_client,
};
