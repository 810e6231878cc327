/* Event loop on epoll: calls functions when descriptors are ready, or when asked to soon.
 *
 * A loop may have a lock, which is held round every call of such a function and not while waiting;
 * whoever holds it may call everything here. Without one, only the loop's thread may, but for
 * loop_defer() and loop_quit(), which any thread may call at any time.
 * Must not know what the descriptors are. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <pthread.h>

#include "base/types.h"

typedef struct Loop Loop;

/* lock: not owned; NULL for none. NULL with errno set on failure. */
Loop *loop_new(pthread_mutex_t *lock);
/* Nothing may be running in it. Watches left are forgotten, their descriptors stay open. */
void loop_free(Loop *loop);

/* Calls `ready` with the EPOLL* events of the descriptor that are there, whenever one of `events`
 * is; replaces an earlier watch of the descriptor. 0 or -errno (-EPERM: a plain file). */
int loop_watch(Loop *loop, int fd, u32 events, void (*ready)(void *opaque, u32 events),
               void *opaque);
/* Stops; after it returns `ready` is not called again. To be called before the descriptor is
 * closed. */
void loop_unwatch(Loop *loop, int fd);

/* Calls `work` once, soon. */
void loop_defer(Loop *loop, void (*work)(void *opaque), void *opaque);

/* Runs until loop_quit(). */
void loop_run(Loop *loop);
void loop_quit(Loop *loop);

#endif
