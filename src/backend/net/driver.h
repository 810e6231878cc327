/* What a back end of network ports supplies. */
#ifndef BACKEND_NET_DRIVER_H
#define BACKEND_NET_DRIVER_H

#include "backend/net/net.h"

typedef struct NetDriver {
    const char *name;
    size_t size; /* of the struct, which begins with a NetPort */
    /* Options come one by one before open(), each "name=value"; "name" alone is "name=on". NULL: it
     * takes none. Both: 0 or -errno with a line in *error. */
    int (*option)(NetPort *port, const char *name, const char *value, char **error);
    int (*open)(NetPort *port, char **error);
    void (*close)(NetPort *port); /* NULL: nothing to do */
    /* Takes a frame; false when it cannot now: it then calls net_drained(). */
    bool (*send)(NetPort *port, const struct iovec *iov, u32 count);
    /* The user may have room again for what net_deliver() did not hand over. NULL: ignored. */
    void (*accept)(NetPort *port);
} NetDriver;

struct NetPort {
    const NetDriver *driver;
    Loop *loop;
    char *name; /* owned */
    const NetUser *user;
    void *opaque;
    bool down;    /* the link */
    bool refused; /* a frame was not taken: the user waits */
    NetCounters counters;
};

/* Hands a frame to the user; false when it has no room: keep it until accept(). What arrives while
 * the link is down, or nobody is there, is dropped, and that is true. */
bool net_deliver(NetPort *port, const struct iovec *iov, u32 count);
/* send() takes frames again. */
void net_drained(NetPort *port);

/* Bytes of a scatter list; and gathers up to `size` of them. */
size_t net_size(const struct iovec *iov, u32 count);
size_t net_gather(const struct iovec *iov, u32 count, void *bytes, size_t size);

extern const NetDriver net_driver_memory;
extern const NetDriver net_driver_null;

#endif
