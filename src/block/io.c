/* I/O contexts: the completion side of asynchronous requests, and the choice of engine. How a
 * request gets to the kernel or to a worker is in submit.c; the worker pool in workers.c. */
#include "block/io_context.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RING_ENTRIES = 256 };

static bool start_ring(IoContext *io)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                     .cq_entries = 4 * RING_ENTRIES};

    return io_uring_queue_init_params(RING_ENTRIES, &io->ring, &params) == 0;
}

IoContext *io_context_new(IoEngine engine, BlockError *error)
{
    IoContext *io = calloc(1, sizeof *io);

    if (!io) {
        block_error(error, ENOMEM, "out of memory");
        return NULL;
    }
    io->poll_fd = -1;
    io->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&io->lock, NULL);
    io->has_ring = engine != IO_THREADS && start_ring(io);
    if (io->wake_fd < 0 || (engine == IO_URING && !io->has_ring)) {
        block_error(error, ENOSYS,
                    io->wake_fd < 0 ? "cannot make an event descriptor"
                                    : "io_uring is not available here");
        io_context_free(io);
        return NULL;
    }
    return io;
}

void io_context_free(IoContext *io)
{
    if (!io) {
        return;
    }
    while (io->in_flight) {
        io_context_run(io, true);
    }
    block_workers_free(io->workers);
    if (io->has_ring) {
        io_uring_queue_exit(&io->ring);
    }
    if (io->wake_fd >= 0) {
        close(io->wake_fd);
    }
    if (io->poll_fd >= 0) {
        close(io->poll_fd);
    }
    while (io->spare_parts) {
        RingPart *part = io->spare_parts;
        io->spare_parts = part->next;
        free(part);
    }
    pthread_mutex_destroy(&io->lock);
    free(io);
}

const char *io_context_engine(const IoContext *io)
{
    return io->has_ring ? "io_uring" : "threads";
}

int io_context_fd(IoContext *io)
{
    struct epoll_event readable = {.events = EPOLLIN};

    io->is_polled = true;
    if (!io->has_ring) {
        return io->wake_fd;
    }
    if (io->poll_fd < 0) {
        io->poll_fd = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(io->poll_fd, EPOLL_CTL_ADD, io->wake_fd, &readable);
        epoll_ctl(io->poll_fd, EPOLL_CTL_ADD, io->ring.ring_fd, &readable);
    }
    return io->poll_fd;
}

/* Adds to the list; wakes the thread, once, if it may be asleep. */
static void add_done(IoContext *io, BlockRequest *request, bool asleep)
{
    u64 one = 1;

    pthread_mutex_lock(&io->lock);
    request->next = NULL;
    *(io->done ? &io->last_done->next : &io->done) = request;
    io->last_done = request;
    if (asleep && !io->woken) {
        /* With the lock held, so that nobody clears it before it is set. */
        io->woken = write(io->wake_fd, &one, sizeof one) == sizeof one;
    }
    pthread_mutex_unlock(&io->lock);
}

void io_context_done(IoContext *io, BlockRequest *request)
{
    add_done(io, request, true);
}

void io_context_done_here(IoContext *io, BlockRequest *request)
{
    /* The thread looks at the list before it sleeps, unless it sleeps elsewhere. */
    add_done(io, request, io->is_polled);
}

static void clear_wake(IoContext *io)
{
    u64 count;

    io->woken = read(io->wake_fd, &count, sizeof count) < 0;
}

/* The next of what workers finished; NULL: none. One at a time: what its callback waits for may be
 * behind it. */
static BlockRequest *take_done(IoContext *io)
{
    pthread_mutex_lock(&io->lock);
    BlockRequest *request = io->done;
    if (io->woken) {
        clear_wake(io);
    }
    io->done = request ? request->next : NULL;
    pthread_mutex_unlock(&io->lock);
    return request;
}

/* Calls back for what workers finished. */
static unsigned reap_done(IoContext *io)
{
    BlockRequest *request;
    unsigned count = 0;

    while ((request = take_done(io)) != NULL) {
        io->in_flight--;
        io->in_workers -= request->in_worker;
        count++;
        request->done(request, request->result);
    }
    return count;
}

static unsigned reap_ring(IoContext *io)
{
    struct io_uring_cqe *cqe;
    unsigned count = 0;

    while (io->has_ring && io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        RingPart *part = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&io->ring, cqe);
        if (part) {
            count += block_part_done(io, part, result);
        } else {
            io->watching = false; /* the wake descriptor became readable */
        }
    }
    return count;
}

/* Sleeps until a completion. With a ring both kinds arrive there: the wake descriptor is watched by
 * the ring while workers have requests of ours. */
static void wait_for_any(IoContext *io)
{
    if (!io->has_ring) {
        struct pollfd fd = {.fd = io->wake_fd, .events = POLLIN};
        poll(&fd, 1, -1);
        return;
    }
    if (io->in_workers && !io->watching) {
        struct io_uring_sqe *sqe = block_ring_entry(io);
        io_uring_prep_poll_add(sqe, io->wake_fd, POLLIN);
        io_uring_sqe_set_data(sqe, NULL);
        io->watching = true;
    }
    io_uring_submit_and_wait(&io->ring, 1);
}

static void submit(IoContext *io)
{
    if (io->has_ring && io_uring_sq_ready(&io->ring)) {
        io_uring_submit(&io->ring);
    }
}

unsigned io_context_run(IoContext *io, bool wait)
{
    unsigned count = 0;

    if (!wait) {
        submit(io);
    }
    for (;;) {
        count += reap_ring(io);
        count += reap_done(io);
        if (count || !wait || !io->in_flight) {
            break;
        }
        if (!block_workers_run(io, true)) {
            wait_for_any(io);
        }
    }
    submit(io); /* what the callbacks started */
    block_workers_run(io, false);
    return count;
}
