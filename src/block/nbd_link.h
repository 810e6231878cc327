/* A client's connection that is made again when it breaks: what a node holds in place of an
 * NbdClient. Requests in progress at that time are done again over the new connection (each gives
 * the same when done twice), if it is there before a time limit ends; else they fail, and later
 * ones fail unless a connection can be had at once.
 *
 * Whatever the server had not flushed may be gone with it: as with a disk whose power fails, what
 * counts is what was flushed.
 *
 *     NbdClient *client;
 *     int result;
 *     do {
 *         client = nbd_link_enter(link);
 *         result = client ? nbd_client_flush(client) : -EIO;
 *     } while (nbd_link_leave(link, client)); */
#ifndef BLOCK_NBD_LINK_H
#define BLOCK_NBD_LINK_H

#include <pthread.h>

#include "block/nbd_client.h"

typedef struct NbdLink {
    NbdClient *client;                   /* owned */
    NbdClient *(*connect)(void *opaque); /* another one, or NULL; NULL: there is no way */
    void *opaque;
    u32 seconds; /* that requests wait for it */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    u32 users; /* requests that use the client */
    bool connecting;
    u64 broken_at; /* nanoseconds; 0: it is well */
    u64 tried_at;
} NbdLink;

void nbd_link_init(NbdLink *link, NbdClient *client);
/* Frees the client; no request may be in progress. */
void nbd_link_destroy(NbdLink *link);

/* The client for a request, perhaps after waiting for a connection; NULL if there is none. */
NbdClient *nbd_link_enter(NbdLink *link);
/* After the request, and when there was no client. True if the connection broke and the request is
 * to be done again. */
bool nbd_link_leave(NbdLink *link, const NbdClient *client);

#endif
