/* Starting asynchronous requests. Reads and writes whose bytes merely lie somewhere, as the layers'
 * `direct` functions say, go to the kernel from here, in as many parts as there are stretches;
 * everything else goes to a worker.
 *
 * The gates of all layers on the way to a part stay entered until the part is done, so that what it
 * uses can't be given to another use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/file.h"
#include "block/gate.h"
#include "block/io_context.h"
#include "block/request.h"

enum {
    MOST_PARTS = 8,
    QUICK_BYTES = 65536,
    QUICK_PAGE = 4096,
    SLOW_WRITE = 10000000, /* nanoseconds: it did more than copy */
    SLOW_PAUSE = 100000000,
};

struct io_uring_sqe *block_ring_entry(IoContext *io)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&io->ring))) {
        io_uring_submit(&io->ring);
    }
    return sqe;
}

static RingPart *part_new(IoContext *io)
{
    RingPart *part = io->spare_parts;

    if (part) {
        io->spare_parts = part->next;
    } else {
        part = malloc(sizeof *part);
    }
    return part;
}

static void part_free(IoContext *io, RingPart *part)
{
    while (part->layers) {
        part->layers--;
        block_gate_leave(&part->held[part->layers]->gate, part->epochs[part->layers]);
    }
    part->next = io->spare_parts;
    io->spare_parts = part;
}

/* Enters the node's gate on behalf of the part. */
static bool hold(RingPart *part, BlockNode *node)
{
    int epoch = part->layers < PART_LAYERS ? block_gate_try_enter(&node->gate) : -1;

    if (epoch < 0) {
        return false;
    }
    part->held[part->layers] = node;
    part->epochs[part->layers++] = (u8)epoch;
    return true;
}

/* Could the kernel do it with these addresses? */
static bool is_aligned(const BlockNode *node, const RingPart *part, unsigned iovecs)
{
    u64 bits = part->offset | part->data.bytes;
    uintptr_t memory = 0;

    for (unsigned i = 0; i < iovecs; i++) {
        memory |= (uintptr_t)part->iov[i].iov_base | part->iov[i].iov_len;
    }
    return !(bits & (node->alignment - 1)) && !(memory & (node->memory_alignment - 1));
}

/* Follows the layers down from the request's node to a descriptor, for the part's data or the start
 * of it. False if it can't be said at once. */
static bool resolve(RingPart *part, BlockOp op, BlockNode *node, u64 offset)
{
    size_t covered;

    for (;;) {
        BlockDirect next;
        if (!node->driver->direct || !hold(part, node) ||
            !node->driver->direct(node, op, offset, part->data.bytes, &next)) {
            return false;
        }
        part->data.bytes = MIN(part->data.bytes, next.bytes);
        part->offset = offset = next.offset;
        if (!next.node || next.node == node) {
            part->node = next.node;
            break;
        }
        node = next.node;
    }
    if (!part->node) {
        return op == BLOCK_OP_READ;
    }
    unsigned count = block_vector_iovecs(&part->data, part->iov, PART_IOVECS, &covered);
    part->data.iov = part->iov;
    part->data.skip = 0;
    part->data.bytes = covered;
    return node->fd >= 0 && is_aligned(node, part, count);
}

static void send_part(IoContext *io, BlockOp op, RingPart *part)
{
    struct io_uring_sqe *sqe = block_ring_entry(io);
    unsigned count = 0;

    for (size_t bytes = 0; bytes < part->data.bytes; bytes += part->iov[count++].iov_len) {
    }
    if (count == 1 && op == BLOCK_OP_READ) {
        io_uring_prep_read(sqe, part->node->fd, part->iov[0].iov_base,
                           (unsigned)part->iov[0].iov_len, part->offset);
    } else if (count == 1) {
        io_uring_prep_write(sqe, part->node->fd, part->iov[0].iov_base,
                            (unsigned)part->iov[0].iov_len, part->offset);
    } else if (op == BLOCK_OP_READ) {
        io_uring_prep_readv(sqe, part->node->fd, part->iov, count, part->offset);
    } else {
        io_uring_prep_writev(sqe, part->node->fd, part->iov, count, part->offset);
    }
    io_uring_sqe_set_data(sqe, part);
}

/* The parts that make up a request, found but not sent: a list, or false. */
static bool find_parts(IoContext *io, BlockRequest *r, RingPart **parts)
{
    u64 at = 0;

    *parts = NULL;
    for (unsigned count = 0; at < r->bytes; count++) {
        RingPart *part = count < MOST_PARTS ? part_new(io) : NULL;
        if (!part) {
            return false;
        }
        BlockVector all = {r->iov, 0, r->bytes};
        part->next = *parts;
        *parts = part;
        part->layers = 0;
        part->request = r;
        part->data = block_vector_part(&all, at, r->bytes - at);
        if (!resolve(part, r->op, r->node, r->offset + at)) {
            return false;
        }
        at += part->data.bytes;
    }
    return true;
}

static u64 nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* Reads what the page cache has, at once: the ring would do the same and then tell us so. False if
 * it doesn't have all of it. */
static bool read_cached(RingPart *part)
{
    unsigned count = 0;

    for (size_t bytes = 0; bytes < part->data.bytes; bytes += part->iov[count++].iov_len) {
    }
    return preadv2(part->node->fd, part->iov, (int)count, (off_t)part->offset, RWF_NOWAIT) ==
           (ssize_t)part->data.bytes;
}

/* A small write of whole pages to the page cache is a copy, which takes less time than the thread
 * that the kernel would use for it. Unless the kernel makes writers wait because too much is to be
 * written to the disk: then it is left to the ring for a while, so that nothing else is held up. */
static bool write_cached(IoContext *io, RingPart *part)
{
    if (part->data.bytes > QUICK_BYTES || ((part->offset | part->data.bytes) & (QUICK_PAGE - 1))) {
        return false;
    }
    u64 start = nanoseconds();
    if (start < io->slow_until) {
        return false;
    }
    int result = part->node->driver->write(part->node, part->offset, &part->data, 0);
    part->request->result = part->request->result ? part->request->result : result;
    u64 end = nanoseconds();
    if (end - start > SLOW_WRITE) {
        io->slow_until = end + SLOW_PAUSE;
    }
    return true;
}

/* Does a part in this thread if that takes no longer than handing it to the kernel. */
static bool do_here(IoContext *io, RingPart *part)
{
    if (!part->node) {
        block_vector_clear(&part->data);
        return true;
    }
    if (part->node->flags & BLOCK_DIRECT) {
        return false;
    }
    return part->request->op == BLOCK_OP_READ ? read_cached(part) : write_cached(io, part);
}

static bool start_direct(IoContext *io, BlockRequest *r)
{
    RingPart *parts, *next;
    bool good = find_parts(io, r, &parts);

    r->parts = 0;
    for (RingPart *part = parts; part; part = next) {
        next = part->next;
        bool here = good && do_here(io, part);
        if (here || !good) {
            part_free(io, part);
        } else {
            r->parts++;
            send_part(io, r->op, part);
        }
    }
    if (good && !r->parts) {
        io_context_done_here(io, r);
    }
    return good;
}

/* What the kernel did not do of a part is done here. */
static int finish_part(RingPart *part, int done)
{
    bool again = done == -EAGAIN || done == -EINTR;

    if (done < 0 && !again) {
        return done;
    }
    size_t bytes = again ? 0 : (size_t)done;
    if (bytes == part->data.bytes) {
        return 0;
    }
    BlockVector rest = block_vector_part(&part->data, bytes, part->data.bytes - bytes);
    const BlockDriver *driver = part->node->driver;
    return part->request->op == BLOCK_OP_READ
               ? driver->read(part->node, part->offset + bytes, &rest)
               : driver->write(part->node, part->offset + bytes, &rest, 0);
}

unsigned block_part_done(IoContext *io, RingPart *part, int done)
{
    BlockRequest *r = part->request;
    int result = finish_part(part, done);

    if (r->op == BLOCK_OP_WRITE) {
        block_file_wrote(part->node, part->offset + part->data.bytes);
    }
    part_free(io, part);
    r->result = r->result ? r->result : result;
    if (--r->parts) {
        return 0;
    }
    io->in_flight--;
    r->done(r, r->result);
    return 1;
}

/* May the request bypass the blocking functions? */
static bool is_plain(const BlockRequest *r)
{
    if (r->op == BLOCK_OP_WRITE) {
        unsigned special = BLOCK_WRITETHROUGH | BLOCK_DETECT_ZEROES;
        return !(r->flags & (BLOCK_FUA | BLOCK_COMPRESSED)) && !(r->node->flags & special);
    }
    return r->op == BLOCK_OP_READ;
}

void block_submit(IoContext *io, BlockNode *node, BlockRequest *r)
{
    bool reads = r->op == BLOCK_OP_READ || r->op == BLOCK_OP_FLUSH;

    r->node = node;
    r->in_worker = false;
    r->result = reads ? block_check_range(node, r->offset, r->bytes)
                      : block_check_write(node, r->offset, r->bytes);
    io->in_flight++;
    if (r->result < 0 || (!r->bytes && r->op != BLOCK_OP_FLUSH)) {
        io_context_done_here(io, r);
        return;
    }
    if (io->has_ring && is_plain(r) && start_direct(io, r)) {
        return;
    }
    if (io->in_flight == 1 && !io->is_polled) {
        /* All that the thread would do is to wait for it. */
        r->result = block_request_perform(r);
        io_context_done_here(io, r);
        return;
    }
    r->in_worker = true;
    io->in_workers++;
    if (!block_workers_queue(io, r)) {
        r->result = -ENOMEM;
        io_context_done_here(io, r);
    }
}
