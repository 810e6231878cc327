/* Worker threads of an I/O context: each takes a request, does it with the blocking functions, and
 * hands it back.
 *
 * Threads are made as requests wait and none is idle, but sparingly: what ends in the host's page
 * cache is copying, which more threads than processors only slow down (the kernel lets one at a
 * time write to a file). Whatever waits for a disk or a network shows by others waiting behind it,
 * and gets company then. The thread of the context, when it would wait, takes requests, too. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "block/io_context.h"

enum {
    MOST_THREADS = 16,
    PATIENCE = 1000000, /* nanoseconds that a request may wait before there is another thread */
    MERGED_BYTES = 1 << 20,
    MERGED_IOVECS = 64,
};

struct BlockWorkers {
    IoContext *io;
    pthread_mutex_t lock;
    pthread_cond_t work;
    BlockRequest *first, *last; /* what waits */
    u32 idle, threads, processors;
    bool ending;
    pthread_t ids[MOST_THREADS];
};

int block_request_perform(const BlockRequest *r)
{
    BlockVector data = {r->iov, 0, r->bytes};

    switch (r->op) {
    case BLOCK_OP_READ:
        return block_readv(r->node, r->offset, &data);
    case BLOCK_OP_WRITE:
        return block_writev(r->node, r->offset, &data, r->flags);
    case BLOCK_OP_ZERO:
        return block_zero(r->node, r->offset, r->bytes, r->flags);
    case BLOCK_OP_DISCARD:
        return block_discard(r->node, r->offset, r->bytes);
    case BLOCK_OP_FLUSH:
        return block_flush(r->node);
    }
    return -EINVAL;
}

/* --- Writes that continue each other -----------------------------------------------------------
 */

static unsigned count_iovecs(const BlockRequest *r)
{
    unsigned count = 0;

    for (u64 bytes = 0; bytes < r->bytes; bytes += r->iov[count++].iov_len) {
    }
    return count;
}

/* May two requests become one write? Where zeroes are looked for, each stands for itself. */
static bool continues(const BlockRequest *r, const BlockRequest *next)
{
    return r->op == BLOCK_OP_WRITE && next->op == BLOCK_OP_WRITE && r->node == next->node &&
           r->flags == next->flags && next->offset == r->offset + r->bytes &&
           !(r->flags & BLOCK_COMPRESSED) && !(r->node->flags & BLOCK_DETECT_ZEROES);
}

/* Takes the first request off the queue, and with a write those behind it that continue it: a list.
 * Lock held. */
static BlockRequest *take(BlockWorkers *w)
{
    BlockRequest *first = w->first, *last = first;
    unsigned iovecs =
        first->op == BLOCK_OP_WRITE ? count_iovecs(first) : 0; /* others may have none */
    u64 bytes = first->bytes;

    for (BlockRequest *next; (next = last->next) && continues(last, next); last = next) {
        iovecs += count_iovecs(next);
        bytes += next->bytes;
        if (iovecs > MERGED_IOVECS || bytes > MERGED_BYTES) {
            break;
        }
    }
    w->first = last->next;
    last->next = NULL;
    return first;
}

/* Does the requests of a list as one. */
static int perform_merged(const BlockRequest *list)
{
    struct iovec iov[MERGED_IOVECS];
    BlockRequest merged = *list;
    unsigned count = 0;

    merged.iov = iov;
    merged.bytes = 0;
    for (const BlockRequest *r = list; r; r = r->next) {
        BlockVector data = {r->iov, 0, r->bytes};
        size_t covered;
        count += block_vector_iovecs(&data, iov + count, MERGED_IOVECS - count, &covered);
        merged.bytes += covered;
    }
    return block_request_perform(&merged);
}

static void perform_list(IoContext *io, BlockRequest *list,
                         void done(IoContext *io, BlockRequest *request))
{
    bool good = list->next && perform_merged(list) == 0;

    for (BlockRequest *next; list; list = next) {
        next = list->next;
        list->result = good ? 0 : block_request_perform(list); /* whose error it was */
        done(io, list);
    }
}

/* --- Threads -----------------------------------------------------------------------------------
 */

static void *work(void *opaque)
{
    BlockWorkers *w = opaque;

    pthread_mutex_lock(&w->lock);
    while (w->first || !w->ending) {
        if (!w->first) {
            w->idle++;
            pthread_cond_wait(&w->work, &w->lock);
            w->idle--;
            continue;
        }
        BlockRequest *list = take(w);
        pthread_mutex_unlock(&w->lock);
        perform_list(w->io, list, io_context_done);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static BlockWorkers *workers_new(IoContext *io)
{
    BlockWorkers *w = calloc(1, sizeof *w);

    if (w) {
        w->io = io;
        w->processors = (u32)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1l);
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->work, NULL);
    }
    return w;
}

/* Another thread, which takes no signals. Lock held. */
static void add_thread(BlockWorkers *w)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w->threads += pthread_create(&w->ids[w->threads], NULL, work, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static u64 nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

bool block_workers_queue(IoContext *io, BlockRequest *request)
{
    io->workers = io->workers ? io->workers : workers_new(io);
    BlockWorkers *w = io->workers;

    if (!w) {
        return false;
    }
    request->next = NULL;
    request->queued_at = nanoseconds();
    pthread_mutex_lock(&w->lock);
    *(w->first ? &w->last->next : &w->first) = request;
    w->last = request;
    pthread_mutex_unlock(&w->lock);
    return true;
}

/* Does the request end in the page cache, unless that has to be filled first? */
static bool is_quick(const BlockRequest *r)
{
    const BlockNode *node = r->node;

    while (node->file) {
        node = node->file;
    }
    return r->op != BLOCK_OP_FLUSH && !(r->flags & BLOCK_FUA) && node->fd >= 0 &&
           !(node->flags & (BLOCK_DIRECT | BLOCK_WRITETHROUGH));
}

/* How many threads there is something to do for, and how many may be busy. Lock held. */
static void count_work(const BlockWorkers *w, u32 *tasks, u32 *limit)
{
    const BlockRequest *before = NULL;

    *tasks = 0;
    *limit = w->processors;
    for (const BlockRequest *r = w->first; r; before = r, r = r->next) {
        *tasks += !before || !continues(before, r);
        *limit += !is_quick(r);
    }
    if (w->first && nanoseconds() - w->first->queued_at > PATIENCE) {
        *limit = MOST_THREADS;
    }
    *limit = MIN(*limit, (u32)MOST_THREADS);
}

/* Does what waits first in this thread. */
static bool help(BlockWorkers *w)
{
    pthread_mutex_lock(&w->lock);
    BlockRequest *list = w->first ? take(w) : NULL;
    pthread_mutex_unlock(&w->lock);
    if (list) {
        if (w->io->has_ring && io_uring_sq_ready(&w->io->ring)) {
            io_uring_submit(&w->io->ring);
        }
        perform_list(w->io, list, io_context_done_here);
    }
    return list;
}

bool block_workers_run(IoContext *io, bool wait)
{
    BlockWorkers *w = io->workers;
    u32 tasks, limit;

    if (!w) {
        return false;
    }
    pthread_mutex_lock(&w->lock);
    bool here = wait && w->first && is_quick(w->first);
    count_work(w, &tasks, &limit);
    for (u32 busy = w->threads - w->idle + here, woken = here; woken < tasks && busy < limit;
         woken++, busy++) {
        if (woken - here < w->idle) {
            pthread_cond_signal(&w->work);
        } else {
            add_thread(w);
        }
    }
    here |= w->first && !w->threads; /* there are no threads to be had */
    pthread_mutex_unlock(&w->lock);
    return here && help(w);
}

void block_workers_free(BlockWorkers *w)
{
    if (!w) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (u32 i = 0; i < w->threads; i++) {
        pthread_join(w->ids[i], NULL);
    }
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    free(w);
}
