/* Asynchronous requests: submit many, be called back as they end.
 *
 *     IoContext *io = io_context_new(IO_AUTO, &error);
 *     BlockRequest request = {.op = BLOCK_OP_READ, .offset = 0, .iov = &iov, .bytes = 4096,
 *                             .done = got_it};
 *     block_submit(io, disk, &request);
 *     while (!finished) {
 *         io_context_run(io, true);
 *     }
 *
 * A context belongs to the one thread that submits to it and runs it; callbacks run there, inside
 * io_context_run(). A machine has one per I/O thread. Requests are unordered: one that must follow
 * another is submitted from the other's callback. Requests go to the kernel in batches, when the
 * context is run.
 *
 * A thread that has requests in flight must not call what closes a node's gate (snapshots,
 * resizing,
 * ...: see driver.h), which would wait for them: run the context until they are over, first.
 *
 * Engines: io_uring where the kernel lets us, else a pool of threads; the pool also does what is
 * more than reading and writing bytes that lie somewhere (allocation, decompression, ...). */
#ifndef BLOCK_IO_H
#define BLOCK_IO_H

#include <sys/uio.h>

#include "base/types.h"
#include "block/options.h"

typedef struct BlockNode BlockNode;
typedef struct IoContext IoContext;
typedef struct BlockRequest BlockRequest;

typedef enum BlockOp {
    BLOCK_OP_READ,
    BLOCK_OP_WRITE,
    BLOCK_OP_ZERO,
    BLOCK_OP_DISCARD,
    BLOCK_OP_FLUSH,
} BlockOp;

typedef enum IoEngine { IO_AUTO, IO_URING, IO_THREADS } IoEngine;

/* Filled in by the caller; it and the iovecs stay until `done`. */
struct BlockRequest {
    BlockOp op;
    unsigned flags; /* BlockWriteFlag */
    u64 offset;     /* bytes */
    u64 bytes;      /* the iovecs hold at least as many */
    const struct iovec *iov;
    /* result: 0 or -errno. May submit again, also this request. */
    void (*done)(BlockRequest *request, int result);
    void *opaque;

    /* The layer's own from here. */
    BlockNode *node;
    BlockRequest *next;
    u32 parts; /* in the ring */
    bool in_worker;
    u64 queued_at; /* nanoseconds */
    int result;
};

/* NULL with an error only if a certain engine was asked for that this machine lacks. */
IoContext *io_context_new(IoEngine engine, BlockError *error);

/* Runs until nothing is in flight, then frees. NULL is fine. */
void io_context_free(IoContext *io);

/* "io_uring" or "threads". */
const char *io_context_engine(const IoContext *io);

/* Starts a request. Never calls back before it returns. */
void block_submit(IoContext *io, BlockNode *node, BlockRequest *request);

/* Passes what was submitted to the kernel, waits for at least one completion if `wait` and anything
 * is in flight, calls back; returns how many requests ended. */
unsigned io_context_run(IoContext *io, bool wait);

/* A descriptor that is readable when io_context_run() has something to do, for poll(). */
int io_context_fd(IoContext *io);

#endif
