/* Character ports "unix" and "tcp": a connection to a socket, or one client at a time of a socket
 * here. While nobody is connected, what is written is lost. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/char/driver.h"
#include "backend/options.h"
#include "base/socket.h"

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
        return backend_error(error, EINVAL, "%s takes no option '%s'", port->driver->name, name);
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

/* Until somebody connects. */
static void wait_for_client(Socket *s)
{
    struct pollfd listening = {.fd = s->listening, .events = POLLIN};

    while (!s->port.connected) {
        poll(&listening, 1, -1);
        accept_client(s, 0);
    }
}

static int open_socket(Socket *s, const SocketAddress *address, char **error)
{
    const char *why;
    int fd = s->server ? socket_listen(address, &why) : socket_connect(address, 0, &why);

    s->port.connected = false;
    s->listening = -1;
    if (fd < 0) {
        return backend_error(error, -fd, "cannot %s %s: %s", s->server ? "listen at" : "connect",
                             s->port.name, why);
    }
    if (!s->server) {
        use(s, fd);
        return 0;
    }
    s->listening = fd;
    if (s->no_wait) {
        await_client(&s->port);
    } else {
        wait_for_client(s);
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

/* -- Addresses */

static int unix_open(CharPort *port, const char *path, char **error)
{
    Socket *s = (Socket *)port;
    int result = open_socket(s, &(SocketAddress){.path = path}, error);

    if (result == 0 && s->server) {
        s->path = strdup(path);
    }
    return result;
}

static int tcp_open(CharPort *port, const char *argument, char **error)
{
    char *text = strdup(argument);
    SocketAddress address;
    int result = socket_split(text, &address)
                     ? open_socket((Socket *)port, &address, error)
                     : backend_error(error, EINVAL, "tcp:%s: it must be HOST:PORT", argument);

    free(text);
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
