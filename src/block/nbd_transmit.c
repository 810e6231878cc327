/* The server's side of transmission: requests in, replies out ("Transmission phase" of the protocol
 * document).
 *
 * Threads take turns at receiving; each does what it received and replies, while the next one
 * receives. There is always one that receives or waits to, up to MOST_THREADS. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/nbd_connection.h"

enum {
    MOST_THREADS = 16,
    MOST_BUFFERED = 64 << 20, /* bytes of data of all requests of a connection */
    KEPT_BUFFER = 256 << 10,  /* a thread keeps that much between requests */
    SPARSE = 64 << 10,        /* reads from here on leave zeroes out */
    MOST_EXTENTS = 4096,      /* in a reply about block status */
    CACHE_STEP = 1 << 20,     /* bytes read at a time for NBD_CMD_CACHE */
};

typedef struct Request {
    NbdConnection *connection;
    u16 flags, command;
    u64 cookie, offset, bytes;
    u8 *buffer; /* data to write, or room for what is read; the thread's */
    size_t room;
    u64 counted; /* bytes counted in c->buffered */
} Request;

/* --- Memory */

static bool get_buffer(Request *r, u64 bytes)
{
    NbdConnection *c = r->connection;

    if (!r->buffer || bytes > r->room) {
        free(r->buffer);
        r->room = MAX(bytes, (u64)KEPT_BUFFER);
        r->buffer = block_buffer_new(r->room);
    }
    if (!r->buffer) {
        r->room = 0;
        return false;
    }
    pthread_mutex_lock(&c->lock);
    while (c->buffered && c->buffered + bytes > MOST_BUFFERED) {
        pthread_cond_wait(&c->room, &c->lock);
    }
    c->buffered += bytes;
    pthread_mutex_unlock(&c->lock);
    r->counted = bytes;
    return true;
}

static void put_buffer(Request *r)
{
    NbdConnection *c = r->connection;

    if (r->counted) {
        pthread_mutex_lock(&c->lock);
        c->buffered -= r->counted;
        pthread_cond_broadcast(&c->room);
        pthread_mutex_unlock(&c->lock);
        r->counted = 0;
    }
    if (r->room > KEPT_BUFFER) {
        free(r->buffer);
        r->buffer = NULL;
        r->room = 0;
    }
}

/* --- Receiving */

/* The request's header and data; an error means that the connection is over. */
static int receive(Request *r)
{
    NbdConnection *c = r->connection;
    u8 head[NBD_EXTENDED_REQUEST_HEADER];
    bool extended = c->headers == NBD_HEADERS_EXTENDED;
    int result = nbd_channel_read(c->channel, head,
                                  extended ? NBD_EXTENDED_REQUEST_HEADER : NBD_REQUEST_HEADER);

    if (result < 0) {
        return result;
    }
    if (be32_get(head) != (extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC)) {
        return -EPROTO;
    }
    r->flags = be16_get(head + 4);
    r->command = be16_get(head + 6);
    r->cookie = be64_get(head + 8);
    r->offset = be64_get(head + 16);
    r->bytes = extended ? be64_get(head + 24) : be32_get(head + 24);
    if (r->command == NBD_CMD_DISC) {
        return -ECONNRESET;
    }
    /* qemu does not flag the data of writes, although it should. */
    bool has_data = r->command == NBD_CMD_WRITE || (extended && (r->flags & NBD_CMD_PAYLOAD_LEN));
    if (!has_data) {
        return 0;
    }
    if (r->bytes > NBD_LARGEST_PAYLOAD || !get_buffer(r, r->bytes)) {
        return -EPROTO; /* there is no other way past the data */
    }
    return nbd_channel_read(c->channel, r->buffer, r->bytes);
}

/* --- Replying */

static int send_reply(NbdConnection *c, const void *head, size_t bytes, const void *data,
                      size_t data_bytes)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, data_bytes);

    pthread_mutex_lock(&c->sending);
    int result = nbd_channel_write_with(c->channel, head, bytes, data_bytes ? &vector : NULL);
    pthread_mutex_unlock(&c->sending);
    return result;
}

static int send_simple(Request *r, int result, const void *data, size_t bytes)
{
    u8 head[NBD_SIMPLE_REPLY_HEADER];

    be32_put(head, NBD_SIMPLE_REPLY_MAGIC);
    be32_put(head + 4, nbd_error_to_wire(result));
    be64_put(head + 8, r->cookie);
    return send_reply(r->connection, head, sizeof head, data, result ? 0 : bytes);
}

/* A chunk: `start` begins its payload, `data` is the rest. */
static int send_chunk(Request *r, u16 flags, u16 type, const void *start, size_t start_bytes,
                      const void *data, size_t bytes)
{
    u8 head[NBD_EXTENDED_REPLY_HEADER + 16];
    bool extended = r->connection->headers == NBD_HEADERS_EXTENDED;
    size_t size = extended ? NBD_EXTENDED_REPLY_HEADER : NBD_STRUCTURED_REPLY_HEADER;

    be32_put(head, extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC);
    be16_put(head + 4, flags);
    be16_put(head + 6, type);
    be64_put(head + 8, r->cookie);
    if (extended) {
        be64_put(head + 16, r->offset);
        be64_put(head + 24, start_bytes + bytes);
    } else {
        be32_put(head + 16, (u32)(start_bytes + bytes));
    }
    if (start_bytes) {
        memcpy(head + size, start, start_bytes);
    }
    return send_reply(r->connection, head, size + start_bytes, data, bytes);
}

static int send_error(Request *r, int result)
{
    const char *text = strerror(-result);
    size_t length = strlen(text);
    u8 start[6];

    be32_put(start, nbd_error_to_wire(result));
    be16_put(start + 4, (u16)length);
    return send_chunk(r, NBD_CHUNK_DONE, NBD_CHUNK_ERROR, start, sizeof start, text, length);
}

/* The reply to a request without data. */
static int send_result(Request *r, int result)
{
    NbdHeaders headers = r->connection->headers;

    if (headers == NBD_HEADERS_SIMPLE || (headers == NBD_HEADERS_STRUCTURED && !result)) {
        return send_simple(r, result, NULL, 0);
    }
    return result ? send_error(r, result)
                  : send_chunk(r, NBD_CHUNK_DONE, NBD_CHUNK_NONE, NULL, 0, NULL, 0);
}

/* --- Reading */

static int send_data(Request *r, u64 at, const void *data, size_t bytes, bool last)
{
    u8 start[8];

    be64_put(start, r->offset + at);
    return send_chunk(r, last ? NBD_CHUNK_DONE : 0, NBD_CHUNK_DATA, start, sizeof start, data,
                      bytes);
}

static int send_hole(Request *r, u64 at, u64 bytes, bool last)
{
    u8 start[12];

    be64_put(start, r->offset + at);
    be32_put(start + 8, (u32)bytes);
    return send_chunk(r, last ? NBD_CHUNK_DONE : 0, NBD_CHUNK_HOLE, start, sizeof start, NULL, 0);
}

/* Sends stretches of data and of zeroes as chunks of their own. */
static int read_sparse(Request *r)
{
    BlockNode *node = r->connection->export->node;
    int sent = 0;

    for (u64 at = 0; !sent && at < r->bytes;) {
        BlockExtent extent;
        int result = block_map_chain(node, NULL, r->offset + at, r->bytes - at, &extent);
        bool is_hole = !result && (extent.flags & BLOCK_ZERO);
        if (!result && !is_hole) {
            result = block_pread(node, r->offset + at, r->buffer, extent.bytes);
        }
        if (result < 0) {
            return send_error(r, result);
        }
        bool last = at + extent.bytes == r->bytes;
        sent = is_hole ? send_hole(r, at, extent.bytes, last)
                       : send_data(r, at, r->buffer, extent.bytes, last);
        at += extent.bytes;
    }
    return sent;
}

static int do_read(Request *r)
{
    NbdConnection *c = r->connection;

    if (r->bytes > NBD_LARGEST_PAYLOAD) {
        return send_result(r, -EINVAL);
    }
    if (!get_buffer(r, r->bytes)) {
        return send_result(r, -ENOMEM);
    }
    if (c->headers != NBD_HEADERS_SIMPLE && r->bytes >= SPARSE && !(r->flags & NBD_CMD_DF)) {
        return read_sparse(r);
    }
    int result = block_pread(c->export->node, r->offset, r->buffer, r->bytes);
    if (c->headers == NBD_HEADERS_SIMPLE) {
        return send_simple(r, result, r->buffer, r->bytes);
    }
    return result < 0 || !r->bytes ? send_result(r, result)
                                   : send_data(r, 0, r->buffer, r->bytes, true);
}

/* --- Block status */

typedef struct Status {
    u64 bytes;
    u32 flags;
} Status;

static int look_at(const NbdExport *export, unsigned id, u64 offset, u64 bytes, Status *status)
{
    BlockExtent extent;
    bool dirty;

    if (id >= NBD_ID_BITMAPS) {
        const char *name = export->contexts[id] + strlen(NBD_CONTEXT_BITMAP);
        int result = block_bitmap_map(export->node, name, offset, bytes, &dirty, &status->bytes);
        status->flags = dirty ? NBD_STATE_DIRTY : 0;
        status->bytes = MIN(status->bytes, bytes);
        return result;
    }
    int result = block_map_chain(export->node, NULL, offset, bytes, &extent);
    status->bytes = extent.bytes;
    if (id == NBD_ID_DEPTH) {
        status->flags = extent.flags & BLOCK_ALLOCATED ? extent.depth + 1 : 0;
    } else {
        status->flags = (extent.flags & BLOCK_DATA ? 0u : NBD_STATE_HOLE) |
                        (extent.flags & BLOCK_ZERO ? NBD_STATE_ZERO : 0u);
    }
    return result;
}

/* Fills in extents of the range, as many as fit; returns how many, or -errno. */
static int gather_status(const Request *r, unsigned id, Status *list)
{
    unsigned most = r->flags & NBD_CMD_REQ_ONE ? 1 : MOST_EXTENTS;
    unsigned count = 0;

    for (u64 at = 0; at < r->bytes;) {
        Status next;
        int result = look_at(r->connection->export, id, r->offset + at, r->bytes - at, &next);
        if (result < 0) {
            return result;
        }
        if (count && list[count - 1].flags == next.flags) {
            list[count - 1].bytes += next.bytes;
        } else if (count == most) {
            break;
        } else {
            list[count++] = next;
        }
        at += next.bytes;
    }
    return (int)count;
}

static int send_status(Request *r, unsigned id, const Status *list, unsigned count, bool last)
{
    bool extended = r->connection->headers == NBD_HEADERS_EXTENDED;
    u8 start[8], *data = malloc(count * (size_t)16);
    size_t size = extended ? 16 : 8;

    be32_put(start, id);
    be32_put(start + 4, count);
    for (unsigned i = 0; i < count; i++) {
        if (extended) {
            be64_put(data + i * size, list[i].bytes);
            be64_put(data + i * size + 8, list[i].flags);
        } else {
            be32_put(data + i * size, (u32)list[i].bytes);
            be32_put(data + i * size + 4, list[i].flags);
        }
    }
    int result = send_chunk(r, last ? NBD_CHUNK_DONE : 0,
                            extended ? NBD_CHUNK_BLOCK_STATUS_EXT : NBD_CHUNK_BLOCK_STATUS, start,
                            extended ? 8 : 4, data, count * size);
    free(data);
    return result;
}

static int do_block_status(Request *r)
{
    NbdConnection *c = r->connection;
    Status *list = malloc(MOST_EXTENTS * sizeof *list);
    int sent = 0;

    if (!r->bytes || !c->contexts || !list) {
        free(list);
        return send_result(r, list ? -EINVAL : -ENOMEM);
    }
    for (unsigned id = 0; !sent && id < NBD_MOST_CONTEXTS; id++) {
        if (c->contexts >> id & 1) {
            int count = gather_status(r, id, list);
            bool last = !(c->contexts >> id >> 1);
            sent =
                count < 0 ? send_error(r, count) : send_status(r, id, list, (unsigned)count, last);
            if (count < 0) {
                break;
            }
        }
    }
    free(list);
    return sent;
}

/* --- The others */

static int do_write(Request *r)
{
    unsigned flags = r->flags & NBD_CMD_FUA ? BLOCK_FUA : 0;

    return send_result(
        r, block_pwrite(r->connection->export->node, r->offset, r->buffer, r->bytes, flags));
}

static int do_flush(Request *r)
{
    return send_result(r, block_flush(r->connection->export->node));
}

static int do_trim(Request *r)
{
    BlockNode *node = r->connection->export->node;
    int result = block_discard(node, r->offset, r->bytes);

    return send_result(r, !result && (r->flags & NBD_CMD_FUA) ? block_flush(node) : result);
}

static int do_write_zeroes(Request *r)
{
    unsigned flags = (r->flags & NBD_CMD_FUA ? BLOCK_FUA : 0u) |
                     (r->flags & NBD_CMD_NO_HOLE ? 0u : BLOCK_MAY_UNMAP) |
                     (r->flags & NBD_CMD_FAST_ZERO ? BLOCK_NO_FALLBACK : 0u);

    return send_result(r, block_zero(r->connection->export->node, r->offset, r->bytes, flags));
}

static int do_cache(Request *r)
{
    u64 end = r->offset + MIN(r->bytes, (u64)NBD_LARGEST_PAYLOAD);
    int result = get_buffer(r, CACHE_STEP) ? 0 : -ENOMEM;

    for (u64 at = r->offset; !result && at < end; at += CACHE_STEP) {
        result =
            block_pread(r->connection->export->node, at, r->buffer, MIN((u64)CACHE_STEP, end - at));
    }
    return send_result(r, result);
}

/* What a command may have, and how it is done. */
static const struct {
    int (*act)(Request *r);
    u16 flags;   /* besides NBD_CMD_FUA, which does no harm anywhere */
    bool writes; /* refused where the export is read-only */
    int beyond;  /* the error for what lies past the end; 0: no range */
} commands[] = {
    [NBD_CMD_READ] = {do_read, NBD_CMD_DF, false, EINVAL},
    [NBD_CMD_WRITE] = {do_write, NBD_CMD_PAYLOAD_LEN, true, ENOSPC},
    [NBD_CMD_FLUSH] = {do_flush, 0, false, 0},
    [NBD_CMD_TRIM] = {do_trim, 0, true, EINVAL},
    [NBD_CMD_CACHE] = {do_cache, 0, false, EINVAL},
    [NBD_CMD_WRITE_ZEROES] = {do_write_zeroes, NBD_CMD_NO_HOLE | NBD_CMD_FAST_ZERO, true, ENOSPC},
    [NBD_CMD_BLOCK_STATUS] = {do_block_status, NBD_CMD_REQ_ONE, false, EINVAL},
};

/* What is wrong with a request: 0 or -errno. */
static int examine(const Request *r)
{
    const NbdExport *export = r->connection->export;
    u64 size = block_size(export->node);

    if (r->command >= COUNT(commands) || !commands[r->command].act ||
        (r->flags & ~(commands[r->command].flags | NBD_CMD_FUA))) {
        return -EINVAL;
    }
    if (commands[r->command].writes && !export->writable) {
        return -EPERM;
    }
    int beyond = commands[r->command].beyond;
    if (beyond && (r->offset > size || r->bytes > size - r->offset)) {
        return -beyond;
    }
    return 0;
}

static int perform(Request *r)
{
    int result = examine(r);

    return result < 0 ? send_result(r, result) : commands[r->command].act(r);
}

void nbd_transmit(NbdConnection *c)
{
    Request request = {.connection = c};
    int result;

    do {
        atomic_fetch_add(&c->idle, 1);
        pthread_mutex_lock(&c->receiving);
        atomic_fetch_sub(&c->idle, 1);
        result = c->is_over ? -ECONNRESET : receive(&request);
        c->is_over = result < 0;
        bool alone = !c->is_over && !atomic_load(&c->idle) && c->threads < MOST_THREADS;
        pthread_mutex_unlock(&c->receiving);
        if (alone) {
            nbd_connection_add_thread(c);
        }
        if (!result) {
            result = perform(&request);
        }
        put_buffer(&request);
        if (result < 0) {
            nbd_channel_shut(c->channel); /* others that wait notice, too */
        }
    } while (result >= 0);
    free(request.buffer);
}
