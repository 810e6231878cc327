/* Worker threads of an I/O context: each takes a request, does it with the blocking functions, and
 * hands it back. Threads are made as long as requests wait and none is idle. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "block/io_context.h"

enum { MOST_THREADS = 16 };

struct BlockWorkers {
    IoContext *io;
    pthread_mutex_t lock;
    pthread_cond_t work;
    BlockRequest *first, *last;
    u32 idle, queued, threads;
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
        BlockRequest *request = w->first;
        w->first = request->next;
        w->queued--;
        pthread_mutex_unlock(&w->lock);
        request->result = block_request_perform(request);
        io_context_done(w->io, request);
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

bool block_workers_start(IoContext *io, BlockRequest *request)
{
    io->workers = io->workers ? io->workers : workers_new(io);
    BlockWorkers *w = io->workers;

    if (!w) {
        return false;
    }
    pthread_mutex_lock(&w->lock);
    if (w->idle <= w->queued && w->threads < MOST_THREADS) {
        add_thread(w);
    }
    bool good = w->threads > 0;
    if (good) {
        request->next = NULL;
        *(w->first ? &w->last->next : &w->first) = request;
        w->last = request;
        w->queued++;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return good;
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
