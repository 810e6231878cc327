/* Inside the NBD server: a connection, and what its parts (nbd_server.c, nbd_negotiate.c,
 * nbd_transmit.c) share. Others use nbd_server.h. */
#ifndef BLOCK_NBD_CONNECTION_H
#define BLOCK_NBD_CONNECTION_H

#include <pthread.h>

#include "block/driver.h"
#include "block/nbd_channel.h"
#include "block/nbd_protocol.h"
#include "block/nbd_server.h"

/* Block status contexts of an export, by the number they have on the wire. */
enum { NBD_ID_ALLOCATION, NBD_ID_DEPTH, NBD_ID_BITMAPS, NBD_MOST_CONTEXTS = 64 };

typedef struct NbdExport {
    struct NbdExport *next;
    char *name, *description; /* description may be NULL */
    BlockNode *node;
    bool writable;
    char *contexts[NBD_MOST_CONTEXTS + 1]; /* full names; NULL: not offered. The last is NULL. */
    unsigned context_count;                /* numbers in use are less */
    unsigned users;                        /* connections; under the server's lock */
    bool is_leaving;                       /* takes no more connections */
} NbdExport;

typedef struct NbdConnection {
    struct NbdConnection *next;
    NbdServer *server;
    NbdChannel *channel;
    double deadline; /* of the handshake, seconds of a clock that only goes forward; 0: none */

    /* Agreed on. */
    NbdHeaders headers;
    bool no_zeroes;
    NbdExport *export;     /* counted among its users */
    NbdExport *context_of; /* the export that `contexts` were chosen for */
    u64 contexts;          /* bits by number */

    /* Transmission: who receives holds `receiving`, who sends `sending`. Neither is held while a
     * request is at work. */
    pthread_mutex_t receiving, sending;
    bool is_over;         /* under `receiving`: no more requests */
    atomic_uint threads;  /* that serve this connection */
    atomic_uint idle;     /* of these, wait for their turn to receive */
    pthread_mutex_t lock; /* of `buffered` */
    pthread_cond_t room;  /* it became less */
    u64 buffered;         /* bytes of data that requests at work hold */
} NbdConnection;

/* Shakes hands; 0 when transmission begins, with c->export chosen, else the connection is over. */
int nbd_negotiate(NbdConnection *c);

/* Serves until the client leaves; more threads come and go. */
void nbd_transmit(NbdConnection *c);

/* The transmission flags of an export. */
u16 nbd_export_flags(const NbdServer *server, const NbdExport *export);

/* --- nbd_server.c */

const TlsCredentials *nbd_server_tls(const NbdServer *server);

/* Finds an export (NULL: none) and puts it in a place of a connection, in place of what was there;
 * it stays while it is in such a place. False if there is none. */
bool nbd_export_take(NbdServer *server, const char *name, NbdExport **place);

/* Calls for each export with the server's lock held, until that returns non-zero. */
int nbd_export_each(NbdServer *server, int (*call)(NbdExport *export, void *opaque), void *opaque);

/* May more than one client be there at a time? */
bool nbd_server_is_shared(const NbdServer *server);

/* Another thread in nbd_transmit() for this connection; false if there can't be one. */
bool nbd_connection_add_thread(NbdConnection *c);

#endif
