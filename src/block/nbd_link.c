/* Connecting again: see nbd_link.h. The first request that finds the connection broken waits until
 * no other uses it, and then tries to make another; the rest wait for the outcome. */
#include "block/nbd_link.h"

#include <time.h>

enum { SECOND = 1000000000, PAUSE = SECOND / 10 }; /* nanoseconds */

void nbd_link_init(NbdLink *link, NbdClient *client)
{
    *link = (NbdLink){.client = client};
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->changed, NULL);
}

void nbd_link_destroy(NbdLink *link)
{
    nbd_client_free(link->client);
    pthread_mutex_destroy(&link->lock);
    pthread_cond_destroy(&link->changed);
}

static u64 nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * SECOND + (u64)t.tv_nsec;
}

/* Has the time passed in which requests wait? Lock held, the connection broken. */
static bool is_late(const NbdLink *link)
{
    return nanoseconds() - link->broken_at >= (u64)link->seconds * SECOND;
}

/* One attempt. The lock is dropped meanwhile. */
static void try(NbdLink *link)
{
    pthread_mutex_unlock(&link->lock);
    NbdClient *client = link->connect(link->opaque);
    pthread_mutex_lock(&link->lock);
    link->tried_at = nanoseconds();
    if (client) {
        nbd_client_free(link->client);
        link->client = client;
        link->broken_at = 0;
    }
}

/* Attempts until it is late, but one at least. */
static void connect_again(NbdLink *link)
{
    static const struct timespec pause = {0, PAUSE};

    link->connecting = true;
    while (link->users) {
        pthread_cond_wait(&link->changed, &link->lock);
    }
    for (try(link); link->broken_at && !is_late(link); try(link)) {
        pthread_mutex_unlock(&link->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&link->lock);
    }
    link->connecting = false;
    pthread_cond_broadcast(&link->changed);
}

NbdClient *nbd_link_enter(NbdLink *link)
{
    NbdClient *client = NULL;

    pthread_mutex_lock(&link->lock);
    while (link->connecting) {
        pthread_cond_wait(&link->changed, &link->lock);
    }
    if (link->broken_at && link->connect &&
        (!is_late(link) || nanoseconds() - link->tried_at > SECOND)) {
        connect_again(link);
    }
    if (!link->broken_at) {
        client = link->client;
        link->users++;
    }
    pthread_mutex_unlock(&link->lock);
    return client;
}

bool nbd_link_leave(NbdLink *link, const NbdClient *client)
{
    bool again = false;

    if (!client) {
        return false;
    }
    pthread_mutex_lock(&link->lock);
    if (nbd_client_is_broken(client)) {
        link->broken_at = link->broken_at ? link->broken_at : nanoseconds();
        again = link->connect && !is_late(link);
    }
    if (!--link->users) {
        pthread_cond_broadcast(&link->changed);
    }
    pthread_mutex_unlock(&link->lock);
    return again;
}
