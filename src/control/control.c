/* The socket that `menura ctl` talks to: see control.h. */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/socket.h"

enum { MAX_CLIENTS = 16 };

typedef struct Client {
    Control *control;
    int fd; /* -1: free */
    char line[CONTROL_LINE];
    size_t size;
} Client;

struct Control {
    Machine *machine;
    char *path;
    int fd;
    Client clients[MAX_CLIENTS];
};

/* $XDG_RUNTIME_DIR, or one of the user's own in /tmp. */
static int run_directory(char *path, size_t size, bool make)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct stat st;

    if (base && *base) {
        snprintf(path, size, "%s/menura", base);
    } else {
        snprintf(path, size, "/tmp/menura-%u", (unsigned)getuid());
    }
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    if (make && (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
                 st.st_mode & 077)) {
        return -EPERM; /* somebody else's */
    }
    return 0;
}

char *control_path(const char *name, bool make, char **error)
{
    char directory[sizeof((struct sockaddr_un *)0)->sun_path], *path;
    int result = run_directory(directory, sizeof directory, make);

    if (result < 0) {
        device_error(error, "cannot use the directory %s: %s", directory, strerror(-result));
        return NULL;
    }
    if (!*name || strchr(name, '/') || name[0] == '.') {
        device_error(error, "'%s' is no name for a machine", name);
        return NULL;
    }
    if (asprintf(&path, "%s/%s.sock", directory, name) < 0) {
        abort();
    }
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        device_error(error, "the path of the machine's socket is too long: %s", path);
        free(path);
        return NULL;
    }
    return path;
}

/* -- Clients */

static void drop(Client *client)
{
    loop_unwatch(client->control->machine->loop, client->fd);
    close(client->fd);
    client->fd = -1;
}

/* A client that does not read is dropped. */
static void send_all(Client *client, const char *text, size_t size)
{
    while (size && client->fd >= 0) {
        ssize_t n = send(client->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            drop(client);
            return;
        }
        text += n;
        size -= (size_t)n;
    }
}

static void run_line(Client *client, const char *line)
{
    ControlReply reply = {0};
    char *error = NULL;
    int result = control_run(client->control->machine, line, &reply, &error);
    char end[CONTROL_LINE] = "ok\n";

    if (result < 0) {
        snprintf(end, sizeof end, "error: %.4000s\n", error ? error : strerror(-result));
    }
    send_all(client, reply.text, reply.size);
    send_all(client, end, strlen(end));
    free(reply.text);
    free(error);
}

static void take_lines(Client *client)
{
    char *end;

    while (client->fd >= 0 && (end = memchr(client->line, '\n', client->size)) != NULL) {
        *end = 0;
        size_t used = (size_t)(end + 1 - client->line);
        run_line(client, client->line);
        memmove(client->line, client->line + used, client->size - used);
        client->size -= used;
    }
    if (client->fd >= 0 && client->size == sizeof client->line) {
        drop(client);
    }
}

static void client_ready(void *opaque, u32 events)
{
    Client *client = opaque;
    ssize_t n = recv(client->fd, client->line + client->size, sizeof client->line - client->size,
                     MSG_DONTWAIT);

    (void)events;
    if (n > 0) {
        client->size += (size_t)n;
        take_lines(client);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        drop(client);
    }
}

static void listener_ready(void *opaque, u32 events)
{
    Control *control = opaque;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    for (u32 i = 0; fd >= 0 && i < MAX_CLIENTS; i++) {
        Client *client = &control->clients[i];
        if (client->fd < 0) {
            client->fd = fd;
            client->size = 0;
            loop_watch(control->machine->loop, fd, EPOLLIN, client_ready, client);
            return;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* -- Life */

static int listen_at(Control *control, const char *name, char **error)
{
    const char *why;

    control->fd = socket_listen(&(SocketAddress){.path = control->path}, &why);
    if (control->fd == -EADDRINUSE) {
        device_error(error, "a machine named '%s' is running", name);
        return -EADDRINUSE;
    }
    if (control->fd < 0) {
        device_error(error, "cannot listen at %s: %s", control->path, why);
        return control->fd;
    }
    return loop_watch(control->machine->loop, control->fd, EPOLLIN, listener_ready, control);
}

Control *control_new(Machine *machine, const char *name, char **error)
{
    Control *control = calloc(1, sizeof *control);

    if (!control) {
        abort();
    }
    control->machine = machine;
    control->fd = -1;
    for (u32 i = 0; i < MAX_CLIENTS; i++) {
        control->clients[i] = (Client){.control = control, .fd = -1};
    }
    control->path = control_path(name, true, error);
    if (!control->path || listen_at(control, name, error) < 0) {
        control_free(control);
        return NULL;
    }
    return control;
}

void control_free(Control *control)
{
    if (!control) {
        return;
    }
    for (u32 i = 0; i < MAX_CLIENTS; i++) {
        if (control->clients[i].fd >= 0) {
            drop(&control->clients[i]);
        }
    }
    if (control->fd >= 0) {
        loop_unwatch(control->machine->loop, control->fd);
        close(control->fd);
        unlink(control->path);
    }
    free(control->path);
    free(control);
}
