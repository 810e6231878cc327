/* Network ports: finding the back end, the link, counting. See net.h. */
#include "backend/net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/net/driver.h"
#include "backend/options.h"

static const NetDriver *const drivers[] = {&net_driver_memory, &net_driver_null};

/* -- Scatter lists */

size_t net_size(const struct iovec *iov, u32 count)
{
    size_t size = 0;

    for (u32 i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    return size;
}

size_t net_gather(const struct iovec *iov, u32 count, void *bytes, size_t size)
{
    size_t done = 0;

    for (u32 i = 0; i < count && done < size; i++) {
        size_t part = MIN(iov[i].iov_len, size - done);
        memcpy((u8 *)bytes + done, iov[i].iov_base, part);
        done += part;
    }
    return done;
}

/* -- Frames */

bool net_send(NetPort *port, const struct iovec *iov, u32 count)
{
    if (!port || port->down) {
        return true;
    }
    if (!port->driver->send(port, iov, count)) {
        port->refused = true;
        return false;
    }
    port->counters.sent_frames++;
    port->counters.sent_bytes += net_size(iov, count);
    return true;
}

void net_drained(NetPort *port)
{
    if (!port->refused) {
        return;
    }
    port->refused = false;
    if (port->user && port->user->drained) {
        port->user->drained(port->opaque);
    }
}

bool net_deliver(NetPort *port, const struct iovec *iov, u32 count)
{
    if (port->down || !port->user) {
        return true;
    }
    if (!port->user->receive(port->opaque, iov, count)) {
        return false;
    }
    port->counters.received_frames++;
    port->counters.received_bytes += net_size(iov, count);
    return true;
}

void net_accept(NetPort *port)
{
    if (port && port->driver->accept) {
        port->driver->accept(port);
    }
}

/* -- The link */

void net_set_link(NetPort *port, bool up)
{
    if (up == !port->down) {
        return;
    }
    port->down = !up;
    if (port->user && port->user->link) {
        port->user->link(port->opaque, up);
    }
    if (!up) {
        net_accept(port);  /* what waits is dropped, */
        net_drained(port); /* and what is sent as well */
    }
}

bool net_link_is_up(const NetPort *port)
{
    return port && !port->down;
}

const NetCounters *net_counters(const NetPort *port)
{
    return &port->counters;
}

const char *net_name(const NetPort *port)
{
    return port->name;
}

/* -- Opening and closing */

/* Hands an option to the driver. */
static int take_option(void *opaque, const char *name, const char *value, char **error)
{
    NetPort *port = opaque;

    if (port->driver->option) {
        return port->driver->option(port, name, value, error);
    }
    return backend_error(error, EINVAL, "%s takes no option '%s'", port->driver->name, name);
}

static const NetDriver *find_driver(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT(drivers); i++) {
        if (strlen(drivers[i]->name) == length && !memcmp(drivers[i]->name, name, length)) {
            return drivers[i];
        }
    }
    return NULL;
}

static void free_port(NetPort *port)
{
    free(port->name);
    free(port);
}

int net_open(NetPort **port, const char *spec, Loop *loop, char **error)
{
    size_t length = strcspn(spec, ",");
    const NetDriver *driver = find_driver(spec, length);
    int result;

    if (!driver) {
        return backend_error(error, EINVAL, "'%.*s' is no kind of network; there is null",
                             (int)length, spec);
    }
    NetPort *new = calloc(1, driver->size);
    char *options = strdup(spec + length);
    if (!new || !options || !(new->name = strdup(spec))) {
        abort();
    }
    new->driver = driver;
    new->loop = loop;
    result = backend_each_option(options, take_option, new, error);
    if (result == 0) {
        result = driver->open(new, error);
    }
    free(options);
    if (result < 0) {
        free_port(new);
        return result;
    }
    *port = new;
    return 0;
}

void net_close(NetPort *port)
{
    if (!port) {
        return;
    }
    port->user = NULL;
    if (port->driver->close) {
        port->driver->close(port);
    }
    free_port(port);
}

void net_attach(NetPort *port, const NetUser *user, void *opaque)
{
    port->user = user;
    port->opaque = opaque;
    net_accept(port);
}

/* -- "null" */

static int null_open(NetPort *port, char **error)
{
    (void)port, (void)error;
    return 0;
}

static bool null_send(NetPort *port, const struct iovec *iov, u32 count)
{
    (void)port, (void)iov, (void)count;
    return true;
}

const NetDriver net_driver_null = {
    .name = "null",
    .size = sizeof(NetPort),
    .open = null_open,
    .send = null_send,
};
