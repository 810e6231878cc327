/* The connection of gdb: see gdb.h. Everything happens on the machine's main loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/gdb/gdb.h"
#include "control/gdb/target.h"

struct GdbServer {
    Machine *machine;
    int listener, client; /* -1: none */
    char *path;           /* of a Unix socket */
    GdbReader reader;
    GdbTarget target;
    char frame[GDB_FRAME_MAX]; /* the last one, which may have to be repeated */
    u32 frame_size;
};

/* -- Sending */

static void drop(GdbServer *s)
{
    if (s->client >= 0) {
        loop_unwatch(s->machine->loop, s->client);
        close(s->client);
        s->client = -1;
        gdb_target_detach(&s->target);
    }
}

/* A debugger that does not read what it asked for is dropped. */
static void send_bytes(GdbServer *s, const char *bytes, size_t size)
{
    while (size && s->client >= 0) {
        ssize_t n = send(s->client, bytes, size, MSG_NOSIGNAL);
        if (n < 0) {
            drop(s);
            return;
        }
        bytes += n;
        size -= (size_t)n;
    }
}

static void send_packet(GdbServer *s, const GdbWriter *writer)
{
    s->frame_size = gdb_frame(writer, s->frame);
    send_bytes(s, s->frame, s->frame_size);
}

/* -- Events */

static void handle_packet(GdbServer *s)
{
    GdbWriter answer = {0};

    if (!s->target.no_acknowledge) {
        send_bytes(s, "+", 1);
    }
    if (s->client >= 0 && gdb_target_packet(&s->target, s->reader.data, &answer)) {
        send_packet(s, &answer);
    }
    if (s->target.killed) {
        machine_quit(s->machine, 0);
    } else if (s->target.detached) {
        drop(s);
    }
}

static void report_stop(GdbServer *s, const Processor *processor, u64 pc)
{
    GdbWriter answer = {0};

    gdb_target_stopped(&s->target, processor, pc, &answer);
    send_packet(s, &answer);
}

/* Machine.debugger. */
static void stopped(void *opaque, Processor *processor, u64 pc)
{
    GdbServer *s = opaque;

    if (s->client >= 0 && s->target.running) {
        report_stop(s, processor, pc);
    }
}

static void handle_byte(GdbServer *s, u8 byte)
{
    switch (gdb_read_byte(&s->reader, byte)) {
    case GDB_MORE:
        break;
    case GDB_PACKET:
        handle_packet(s);
        break;
    case GDB_INTERRUPT:
        if (s->target.running) {
            machine_pause(s->machine);
            report_stop(s, NULL, 0);
        }
        break;
    case GDB_BAD:
        send_bytes(s, "-", 1);
        break;
    case GDB_AGAIN:
        send_bytes(s, s->frame, s->frame_size);
        break;
    }
}

static void client_ready(void *opaque, u32 events)
{
    GdbServer *s = opaque;
    u8 bytes[4096];
    ssize_t n = recv(s->client, bytes, sizeof bytes, MSG_DONTWAIT);

    (void)events;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        drop(s);
    }
    for (ssize_t i = 0; i < n && s->client >= 0; i++) {
        handle_byte(s, bytes[i]);
    }
}

static void listener_ready(void *opaque, u32 events)
{
    GdbServer *s = opaque;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd < 0) {
        return;
    }
    if (s->client >= 0) {
        close(fd); /* there is one already */
        return;
    }
    s->client = fd;
    s->reader = (GdbReader){0};
    s->frame_size = 0;
    gdb_target_attach(&s->target);
    loop_watch(s->machine->loop, fd, EPOLLIN, client_ready, s);
}

/* -- Listening */

static int open_listener(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && address->sa_family == AF_INET) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    }
    if (fd >= 0 && (bind(fd, address, size) < 0 || listen(fd, 1) < 0)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int listen_unix(GdbServer *s, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    unlink(path);
    s->path = strdup(path);
    return open_listener((const void *)&address, sizeof address);
}

/* "PORT", or "tcp:[HOST]:PORT". */
static int listen_tcp(const char *where)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64] = "127.0.0.1", *end;
    const char *port = where;

    if (!strncmp(where, "tcp:", 4)) {
        const char *colon = strchr(where + 4, ':');
        size_t length = colon ? (size_t)(colon - where - 4) : 0;
        if (!colon || length >= sizeof host) {
            errno = EINVAL;
            return -1;
        }
        if (length) {
            snprintf(host, sizeof host, "%.*s", (int)length, where + 4);
        }
        port = colon + 1;
    }
    unsigned long number = strtoul(port, &end, 10);
    if (end == port || *end || number > 65535 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    address.sin_port = htons((u16)number);
    return open_listener((const void *)&address, sizeof address);
}

GdbServer *gdb_server_new(Machine *machine, const char *where, char **error)
{
    GdbServer *s = calloc(1, sizeof *s);

    if (!s) {
        abort();
    }
    s->machine = machine;
    s->listener = s->client = -1;
    if (!gdb_target_init(&s->target, machine)) {
        device_error(error, "gdb cannot debug this machine's CPU");
    } else {
        s->listener = strncmp(where, "unix:", 5) ? listen_tcp(where) : listen_unix(s, where + 5);
        if (s->listener < 0) {
            device_error(error, "cannot wait for gdb at %s: %s", where, strerror(errno));
        }
    }
    if (s->listener < 0) {
        gdb_server_free(s);
        return NULL;
    }
    machine->debugger = stopped;
    machine->debugger_opaque = s;
    loop_watch(machine->loop, s->listener, EPOLLIN, listener_ready, s);
    return s;
}

void gdb_server_free(GdbServer *s)
{
    if (!s) {
        return;
    }
    if (s->client >= 0) {
        static const char ended[] = "$W00#b7";
        send(s->client, ended, sizeof ended - 1, MSG_NOSIGNAL);
        loop_unwatch(s->machine->loop, s->client);
        close(s->client);
    }
    if (s->listener >= 0) {
        loop_unwatch(s->machine->loop, s->listener);
        close(s->listener);
    }
    if (s->path) {
        unlink(s->path);
        free(s->path);
    }
    s->machine->debugger = NULL;
    gdb_target_free(&s->target);
    free(s);
}
