/* The event loop: see loop.h. Watches are kept by descriptor; one that is replaced or removed while
 * events are being handed out is recognised by its serial number. */
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct Watch {
    void (*ready)(void *opaque, u32 events); /* NULL: none */
    void *opaque;
    u32 serial;
} Watch;

typedef struct Deferred {
    void (*work)(void *opaque);
    void *opaque;
} Deferred;

struct Loop {
    pthread_mutex_t *lock;
    int epoll;
    int wake;       /* eventfd */
    Watch *watches; /* by descriptor */
    u32 watch_count;
    u32 serial;
    pthread_mutex_t defer_lock; /* guards the rest */
    Deferred *deferred;
    u32 deferred_count, deferred_room;
    bool quit;
};

static void enter(Loop *loop)
{
    if (loop->lock) {
        pthread_mutex_lock(loop->lock);
    }
}

static void leave(Loop *loop)
{
    if (loop->lock) {
        pthread_mutex_unlock(loop->lock);
    }
}

Loop *loop_new(pthread_mutex_t *lock)
{
    Loop *loop = calloc(1, sizeof *loop);
    struct epoll_event event = {.events = EPOLLIN};

    if (!loop) {
        return NULL;
    }
    loop->lock = lock;
    pthread_mutex_init(&loop->defer_lock, NULL);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    event.data.u64 = (u32)loop->wake;
    if (loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) < 0) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(Loop *loop)
{
    int saved = errno;

    if (!loop) {
        return;
    }
    if (loop->epoll >= 0) {
        close(loop->epoll);
    }
    if (loop->wake >= 0) {
        close(loop->wake);
    }
    pthread_mutex_destroy(&loop->defer_lock);
    free(loop->watches);
    free(loop->deferred);
    free(loop);
    errno = saved;
}

static int make_room(Loop *loop, u32 fd)
{
    u32 count = MAX(fd + 1, loop->watch_count * 2);
    Watch *watches;

    if (fd < loop->watch_count) {
        return 0;
    }
    watches = realloc(loop->watches, count * sizeof *watches);
    if (!watches) {
        return -ENOMEM;
    }
    for (u32 i = loop->watch_count; i < count; i++) {
        watches[i] = (Watch){0};
    }
    loop->watches = watches;
    loop->watch_count = count;
    return 0;
}

int loop_watch(Loop *loop, int fd, u32 events, void (*ready)(void *opaque, u32 events),
               void *opaque)
{
    struct epoll_event event = {.events = events};
    int result = make_room(loop, (u32)fd);

    if (result < 0) {
        return result;
    }
    Watch *watch = &loop->watches[fd];
    u32 serial = ++loop->serial;
    event.data.u64 = (u64)serial << 32 | (u32)fd;
    if (epoll_ctl(loop->epoll, watch->ready ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0) {
        return -errno;
    }
    *watch = (Watch){ready, opaque, serial};
    return 0;
}

void loop_unwatch(Loop *loop, int fd)
{
    if (fd >= 0 && (u32)fd < loop->watch_count && loop->watches[fd].ready) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
        loop->watches[fd] = (Watch){0};
    }
}

static void wake_up(Loop *loop)
{
    u64 one = 1;

    while (write(loop->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void loop_defer(Loop *loop, void (*work)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&loop->defer_lock);
    if (loop->deferred_count == loop->deferred_room) {
        loop->deferred_room = MAX(16u, loop->deferred_room * 2);
        loop->deferred = realloc(loop->deferred, loop->deferred_room * sizeof *loop->deferred);
        if (!loop->deferred) {
            abort();
        }
    }
    loop->deferred[loop->deferred_count++] = (Deferred){work, opaque};
    pthread_mutex_unlock(&loop->defer_lock);
    wake_up(loop);
}

void loop_quit(Loop *loop)
{
    pthread_mutex_lock(&loop->defer_lock);
    loop->quit = true;
    pthread_mutex_unlock(&loop->defer_lock);
    wake_up(loop);
}

/* Does what was deferred by now; what that defers comes next time. Returns whether to quit. */
static bool run_deferred(Loop *loop)
{
    u64 count;
    bool quit;

    while (read(loop->wake, &count, sizeof count) < 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&loop->defer_lock);
    Deferred *deferred = loop->deferred;
    u32 n = loop->deferred_count;
    loop->deferred = NULL;
    loop->deferred_count = loop->deferred_room = 0;
    quit = loop->quit;
    loop->quit = false;
    pthread_mutex_unlock(&loop->defer_lock);
    for (u32 i = 0; i < n; i++) {
        enter(loop);
        deferred[i].work(deferred[i].opaque);
        leave(loop);
    }
    free(deferred);
    return quit;
}

static void run_ready(Loop *loop, const struct epoll_event *event)
{
    u32 fd = (u32)event->data.u64, serial = (u32)(event->data.u64 >> 32);

    enter(loop);
    if (fd < loop->watch_count && loop->watches[fd].ready && loop->watches[fd].serial == serial) {
        Watch watch = loop->watches[fd];
        watch.ready(watch.opaque, event->events);
    }
    leave(loop);
}

void loop_run(Loop *loop)
{
    struct epoll_event events[32];
    bool quit = false;

    while (!quit) {
        int n = epoll_wait(loop->epoll, events, COUNT(events), -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == (u32)loop->wake) {
                quit = run_deferred(loop);
            } else {
                run_ready(loop, &events[i]);
            }
        }
    }
}
