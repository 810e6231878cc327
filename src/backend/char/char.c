/* Character ports: finding the back end, moving bytes between descriptors and the user. See char.h.
 *
 * Output is buffered and written when the loop finds the descriptor ready, so that a guest that
 * prints byte by byte costs few system calls. */
#include "backend/char/char.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/char/driver.h"
#include "backend/options.h"

enum { BUFFER_SIZE = 65536, READ_SIZE = 4096 };

static const CharDriver *const drivers[] = {
    &char_driver_file,  &char_driver_null, &char_driver_pty,  &char_driver_ring,
    &char_driver_stdio, &char_driver_tcp,  &char_driver_unix,
};

int char_switch(const char *name, const char *value, bool *on, char **error)
{
    *on = !strcmp(value, "on");
    if (!*on && strcmp(value, "off") != 0) {
        return backend_error(error, EINVAL, "%s=%s: it must be on or off", name, value);
    }
    return 0;
}

void char_set_name(CharPort *port, const char *name)
{
    free(port->name);
    port->name = strdup(name);
    if (!port->name) {
        abort();
    }
}

/* A user whose write was cut short may go on. */
static void end_refusal(CharPort *port)
{
    if (!port->refused) {
        return;
    }
    port->refused = false;
    if (port->user && port->user->drained) {
        port->user->drained(port->opaque);
    }
}

void char_tell(CharPort *port, CharEvent event)
{
    if (event != CHAR_BREAK) {
        port->connected = event == CHAR_CONNECTED;
    }
    if (port->user && port->user->event) {
        port->user->event(port->opaque, event);
    }
    if (!port->connected) {
        end_refusal(port); /* everything is taken now */
    }
}

int char_reopen(int fd, int flags)
{
    char path[40];
    struct stat st;
    int again = -1;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fstat(fd, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        again = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }
    return again >= 0 ? again : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* -- Moving bytes */

static size_t room(const CharPort *port)
{
    return port->user ? port->user->room(port->opaque) : 0;
}

static void ready(void *opaque, u32 events);

/* Watches what there is to be done with one descriptor; false if it can't be watched. */
static bool watch(CharPort *port, int fd, u32 events)
{
    if (!events) {
        loop_unwatch(port->loop, fd);
        return true;
    }
    return loop_watch(port->loop, fd, events, ready, port) == 0;
}

static void hang_up(CharPort *port)
{
    int input = port->input, output = port->output;

    if (input < 0 && output < 0) {
        return;
    }
    char_use(port, -1, -1);
    if (input >= 0) {
        loop_unwatch(port->loop, input);
        close(input);
    }
    if (output >= 0 && output != input) {
        loop_unwatch(port->loop, output);
        close(output);
    }
    port->size = 0;
    if (port->driver->hung_up) {
        port->driver->hung_up(port);
    }
    char_tell(port, CHAR_DISCONNECTED);
}

/* The user's input has ended; output may go on elsewhere. */
static void end_input(CharPort *port)
{
    if (port->input == port->output) {
        hang_up(port);
        return;
    }
    loop_unwatch(port->loop, port->input);
    close(port->input);
    port->input = -1;
}

/* Hands over what has arrived, once. Returns whether there may be more. */
static bool read_some(CharPort *port)
{
    u8 bytes[READ_SIZE];
    size_t size = MIN(room(port), sizeof bytes);
    ssize_t n;

    if (!size || port->input < 0) {
        return false;
    }
    do {
        n = read(port->input, bytes, size);
    } while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        end_input(port);
    } else if (n > 0) {
        port->user->receive(port->opaque, bytes, (size_t)n);
    }
    return n > 0;
}

/* Writes out of the buffer what the descriptor takes. */
static void write_some(CharPort *port)
{
    while (port->size && port->output >= 0) {
        size_t run = MIN(port->size, (size_t)BUFFER_SIZE - port->start);
        ssize_t n = write(port->output, port->buffer + port->start, run);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            if (errno != EAGAIN) {
                hang_up(port);
            }
            break;
        }
        port->start = (port->start + (size_t)n) % BUFFER_SIZE;
        port->size -= (size_t)n;
    }
    if (port->size < port->limit) {
        end_refusal(port);
    }
}

/* Watches for what is wanted now. */
static void update(CharPort *port)
{
    u32 in = port->input >= 0 && !port->read_freely && room(port) ? EPOLLIN : 0;
    u32 out = port->output >= 0 && port->size ? EPOLLOUT : 0;

    if (port->input >= 0 && port->input == port->output) {
        watch(port, port->input, in | out);
        return;
    }
    if (port->input >= 0 && !watch(port, port->input, in)) {
        port->read_freely = true;
    }
    if (port->output >= 0 && !watch(port, port->output, out)) {
        write_some(port); /* a plain file */
    }
}

static void ready(void *opaque, u32 events)
{
    CharPort *port = opaque;

    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        write_some(port);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        read_some(port);
    }
    update(port);
}

void char_use(CharPort *port, int input, int output)
{
    port->input = input;
    port->output = output;
    port->read_freely = false;
    if (input >= 0 || output >= 0) {
        update(port);
    }
}

void char_accept(CharPort *port)
{
    if (!port) {
        return;
    }
    if (port->driver == &char_driver_ring) {
        char_ring_feed(port, NULL, 0);
        return;
    }
    update(port);
    while (port->read_freely && read_some(port)) {
    }
}

size_t char_write(CharPort *port, const u8 *bytes, size_t size)
{
    if (!port || !port->connected) {
        return size;
    }
    size_t done = 0, limit = MIN(port->limit, (size_t)BUFFER_SIZE);
    bool idle = port->size == 0;
    while (done < size && port->size < limit) {
        size_t at = (port->start + port->size) % BUFFER_SIZE;
        size_t run = MIN(MIN(size - done, limit - port->size), BUFFER_SIZE - at);
        memcpy(port->buffer + at, bytes + done, run);
        port->size += run;
        done += run;
    }
    if (idle && done) {
        update(port);
    }
    port->refused |= done < size && !port->lossy;
    if (done && port->driver->written) {
        port->driver->written(port);
    }
    return port->lossy ? size : done;
}

/* -- Opening and closing */

/* Hands an option to the driver. */
static int take_option(void *opaque, const char *name, const char *value, char **error)
{
    CharPort *port = opaque;

    if (port->driver->option) {
        return port->driver->option(port, name, value, error);
    }
    return backend_error(error, EINVAL, "%s takes no option '%s'", port->driver->name, name);
}

static const CharDriver *find_driver(const char *spec, size_t length)
{
    for (size_t i = 0; i < COUNT(drivers); i++) {
        if (strlen(drivers[i]->name) == length && !memcmp(drivers[i]->name, spec, length)) {
            return drivers[i];
        }
    }
    return NULL;
}

static CharPort *new_port(const CharDriver *driver, const char *spec, Loop *loop)
{
    CharPort *port = calloc(1, driver->size);

    if (!port || !(port->buffer = malloc(BUFFER_SIZE))) {
        abort();
    }
    port->driver = driver;
    port->loop = loop;
    port->input = port->output = -1;
    port->limit = BUFFER_SIZE;
    port->connected = true;
    char_set_name(port, spec);
    return port;
}

static void free_port(CharPort *port)
{
    free(port->buffer);
    free(port->name);
    free(port);
}

int char_open(CharPort **port, const char *spec, Loop *loop, char **error)
{
    size_t length = strcspn(spec, ":,");
    const CharDriver *driver = find_driver(spec, length);
    int result;

    if (!driver) {
        return backend_error(
            error, EINVAL,
            "'%.*s' is no kind of character port; there are file, null, pty, stdio, "
            "tcp and unix",
            (int)length, spec);
    }
    char *argument = strdup(spec + length + (spec[length] == ':'));
    if (!argument) {
        abort();
    }
    size_t end = strcspn(argument, ",");
    char *options = argument + end + (argument[end] == ',');
    argument[end] = 0;
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error of write() */
    *port = new_port(driver, spec, loop);
    result = backend_each_option(options, take_option, *port, error);
    if (result == 0) {
        result = driver->open(*port, argument, error);
    }
    free(argument);
    if (result < 0) {
        free_port(*port);
        *port = NULL;
    }
    return result;
}

/* What the guest wrote last is not lost, unless its reader takes nothing for a second. */
static void drain(CharPort *port)
{
    write_some(port);
    while (port->size && port->output >= 0) {
        struct pollfd ready_to_take = {.fd = port->output, .events = POLLOUT};
        if (poll(&ready_to_take, 1, 1000) <= 0) {
            break;
        }
        write_some(port);
    }
}

void char_close(CharPort *port)
{
    if (!port) {
        return;
    }
    port->user = NULL;
    drain(port);
    if (port->input >= 0) {
        loop_unwatch(port->loop, port->input);
        close(port->input);
    }
    if (port->output >= 0 && port->output != port->input) {
        loop_unwatch(port->loop, port->output);
        close(port->output);
    }
    if (port->driver->close) {
        port->driver->close(port);
    }
    free_port(port);
}

void char_attach(CharPort *port, const CharUser *user, void *opaque)
{
    port->user = user;
    port->opaque = opaque;
    char_accept(port);
}

bool char_is_connected(const CharPort *port)
{
    return port && port->connected;
}

const char *char_name(const CharPort *port)
{
    return port->name;
}

/* -- "null" */

static int null_open(CharPort *port, const char *argument, char **error)
{
    (void)argument;
    (void)error;
    port->connected = false;
    return 0;
}

const CharDriver char_driver_null = {
    .name = "null",
    .size = sizeof(CharPort),
    .open = null_open,
};
