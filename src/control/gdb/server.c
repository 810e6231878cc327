/* The connection of gdb: see gdb.h. Everything happens on the machine's main loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
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

/* "unix:PATH", "tcp:[HOST]:PORT" or "PORT"; without a host, only this machine may connect. */
static int open_listener(GdbServer *s, const char *where, const char **why)
{
    bool tcp = !strncmp(where, "tcp:", 4);
    char *text = strdup(tcp ? where + 4 : where);
    SocketAddress address = {.port = text};
    int fd;

    if (!strncmp(where, "unix:", 5)) {
        address.path = where + 5;
    } else if (tcp && !socket_split(text, &address)) {
        address.port = ""; /* which is none */
    }
    if (!address.host) {
        address.host = "127.0.0.1";
    }
    fd = socket_listen(&address, why);
    if (fd >= 0 && address.path) {
        s->path = strdup(address.path);
    }
    free(text);
    return fd;
}

GdbServer *gdb_server_new(Machine *machine, const char *where, char **error)
{
    GdbServer *s = calloc(1, sizeof *s);
    const char *why;

    if (!s) {
        abort();
    }
    s->machine = machine;
    s->listener = s->client = -1;
    if (!gdb_target_init(&s->target, machine)) {
        device_error(error, "gdb cannot debug this machine's CPU");
    } else {
        s->listener = open_listener(s, where, &why);
        if (s->listener < 0) {
            device_error(error, "cannot wait for gdb at %s: %s", where, why);
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
