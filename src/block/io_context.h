/* Inside I/O contexts: what io.c, submit.c and workers.c share. */
#ifndef BLOCK_IO_CONTEXT_H
#define BLOCK_IO_CONTEXT_H

#include <liburing.h>

#include "block/driver.h"

enum { PART_LAYERS = 16, PART_IOVECS = 8 };

typedef struct BlockWorkers BlockWorkers;

/* A stretch of a request that is contiguous in one descriptor, on its way through the ring. */
typedef struct RingPart {
    struct RingPart *next;
    BlockRequest *request;
    BlockNode *node; /* whose descriptor it is; NULL: zeroes */
    u64 offset;      /* there */
    BlockVector data;
    u8 layers; /* gates held, topmost first */
    u8 epochs[PART_LAYERS];
    BlockNode *held[PART_LAYERS];
    struct iovec iov[PART_IOVECS];
} RingPart;

struct IoContext {
    bool has_ring;
    bool watching;  /* the ring polls wake_fd */
    bool is_polled; /* somebody has asked for io_context_fd() */
    struct io_uring ring;
    int wake_fd; /* written when `done` becomes non-empty */
    int poll_fd; /* for io_context_fd(); -1 */
    u32 in_flight, in_workers;
    u64 slow_until;        /* nanoseconds: no writing in this thread before */
    BlockWorkers *workers; /* made when first needed */
    RingPart *spare_parts;
    pthread_mutex_t lock; /* of the list of what is done, filled by workers */
    BlockRequest *done, *last_done;
    bool woken; /* wake_fd was written since the list was last taken */
};

/* The request is over, with request->result; from any thread. */
void io_context_done(IoContext *io, BlockRequest *request);
/* The same from the context's own thread: cheaper. */
void io_context_done_here(IoContext *io, BlockRequest *request);

/* A free submission entry. */
struct io_uring_sqe *block_ring_entry(IoContext *io);

/* The kernel has done a part; returns how many requests ended with it. */
unsigned block_part_done(IoContext *io, RingPart *part, int result);

/* Does the request with the blocking functions; 0 or -errno. */
int block_request_perform(const BlockRequest *request);

/* Queues a request that the blocking functions are to do, then io_context_done(). False: no memory.
 */
bool block_workers_queue(IoContext *io, BlockRequest *request);
/* Lets threads do what is queued; if the context's own thread would wait otherwise, it does a part
 * of it. True if it did. */
bool block_workers_run(IoContext *io, bool wait);
/* Ends the threads; nothing may be queued. NULL is fine. */
void block_workers_free(BlockWorkers *workers);

#endif
