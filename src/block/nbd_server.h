/* NBD server: exports of nodes for any number of clients at a time.
 *
 *     NbdServer *server = nbd_server_new(&(NbdServerOptions){.handshake_seconds = 10});
 *     nbd_server_add(server, &(NbdExportOptions){.name = "disk", .node = disk}, &error);
 *     nbd_server_listen(server, nbd_socket_listen(&address, &error));
 *     ...
 *     nbd_server_free(server);
 *
 * A thread accepts; each connection has threads of its own, as many as it has requests at work, up
 * to a bound. All connections see the same node, so a flush by one covers what another wrote
 * (several connections of one client are fine).
 *
 * Clients may be anybody: the time of a handshake, the number of clients, and the memory and
 * threads of each are bounded; what they ask is checked against the export.
 *
 * Functions may be called from any thread; what the server is given must live as long as it. */
#ifndef BLOCK_NBD_SERVER_H
#define BLOCK_NBD_SERVER_H

#include "block/block.h"

typedef struct NbdServer NbdServer;
typedef struct TlsCredentials TlsCredentials;

typedef struct NbdServerOptions {
    const TlsCredentials *tls;  /* clients must use TLS; NULL: they can't */
    unsigned most_clients;      /* more wait until others leave; 0: no bound */
    unsigned handshake_seconds; /* longest handshake; 0: no bound */
    /* A client has left, `left` are there. Called in a thread of the server, without locks. */
    void (*client_left)(void *opaque, unsigned left);
    void *opaque;
} NbdServerOptions;

typedef struct NbdExportOptions {
    const char *name;        /* "" is the one that clients get who name none */
    const char *description; /* for people, or NULL */
    BlockNode *node;
    bool writable;              /* needs a writable node */
    bool show_depth;            /* offer qemu:allocation-depth */
    const char *const *bitmaps; /* to offer as qemu:dirty-bitmap:NAME; NULL-terminated, or NULL */
} NbdExportOptions;

NbdServer *nbd_server_new(const NbdServerOptions *options);

/* Disconnects all clients and stops. The nodes stay the caller's. NULL is fine. */
void nbd_server_free(NbdServer *server);

/* Adds an export; names and options are copied. */
int nbd_server_add(NbdServer *server, const NbdExportOptions *options, BlockError *error);

/* Takes an export away; its clients are disconnected, and have gone when this returns. */
int nbd_server_remove(NbdServer *server, const char *name, BlockError *error);

/* Accepts clients at a listening socket (non-blocking), which it takes over. */
void nbd_server_listen(NbdServer *server, int fd);

/* Serves a client that is connected already; takes the socket over. */
void nbd_server_attach(NbdServer *server, int fd);

#endif
