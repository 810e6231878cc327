/* Requests and replies of an NBD connection: see nbd_client.h.
 *
 * An Exchange is a request in flight; it lives on the stack of the thread that waits for it, and is
 * found by its cookie: the place in the table, and a count so that a reply that comes twice finds
 * nothing. Locks: `sending` (one request at a time on the wire), then `lock` (the table). Whoever
 * waits and finds nobody reading reads, without the lock, until its own reply is there; then
 * another of those who wait goes on. */
#include "block/nbd_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"

enum {
    MOST_IN_FLIGHT = 64,
    LONGEST_RANGE = 1 << 30,        /* bytes of a request without data */
    LONGEST_STATUS = (1 << 20) * 8, /* bytes of a reply about block status */
};

typedef struct Exchange {
    NbdCommand command;
    u16 flags;
    u64 offset, bytes;
    const BlockVector *data; /* to write, or where to read */
    u64 cookie;
    u64 covered; /* bytes of what was to be read that came */
    bool has_status;
    u32 status;        /* flags of the first extent */
    u64 status_length; /* and its length */
    int result;
    bool done;
    pthread_cond_t woken; /* done, or to read in another's place */
} Exchange;

struct NbdClient {
    NbdChannel *channel;
    NbdExportInfo export;
    pthread_mutex_t sending;
    pthread_mutex_t lock;
    pthread_cond_t room; /* in the table */
    Exchange *table[MOST_IN_FLIGHT];
    u32 in_flight;
    u64 count;       /* of requests: makes cookies differ */
    bool is_reading; /* somebody is */
    _Atomic(bool) is_broken;
};

NbdClient *nbd_client_new(int fd, const NbdClientOptions *options, BlockError *error)
{
    NbdClient *client = calloc(1, sizeof *client);

    if (!client) {
        abort();
    }
    client->channel = nbd_channel_new(fd);
    pthread_mutex_init(&client->sending, NULL);
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->room, NULL);
    if (nbd_handshake(client->channel, options, &client->export, error) < 0) {
        client->is_broken = true;
        nbd_client_free(client);
        return NULL;
    }
    client->export.max_payload = MIN(client->export.max_payload, (u32)NBD_LARGEST_PAYLOAD);
    client->export.max_payload = ALIGN_DOWN(client->export.max_payload, client->export.min_block);
    return client;
}

const NbdExportInfo *nbd_client_export(const NbdClient *client)
{
    return &client->export;
}

bool nbd_client_is_broken(const NbdClient *client)
{
    return client->is_broken;
}

/* --- Receiving */

/* The request that a cookie stands for, or NULL. */
static Exchange *find_exchange(NbdClient *client, u64 cookie)
{
    pthread_mutex_lock(&client->lock);
    Exchange *e = client->table[cookie % MOST_IN_FLIGHT];
    pthread_mutex_unlock(&client->lock);
    return e && e->cookie == cookie ? e : NULL;
}

static void finish(NbdClient *client, Exchange *e)
{
    pthread_mutex_lock(&client->lock);
    client->table[e->cookie % MOST_IN_FLIGHT] = NULL;
    client->in_flight--;
    e->done = true;
    pthread_cond_signal(&e->woken);
    pthread_cond_signal(&client->room);
    pthread_mutex_unlock(&client->lock);
}

static void note_error(Exchange *e, u32 wire)
{
    if (!e->result) {
        e->result = wire ? nbd_error_from_wire(wire) : -EIO;
    }
}

static int receive_simple(NbdClient *client)
{
    u8 head[NBD_SIMPLE_REPLY_HEADER - 4]; /* without the magic */
    int result = nbd_channel_read(client->channel, head, sizeof head);
    Exchange *e = result ? NULL : find_exchange(client, be64_get(head + 4));

    if (!e) {
        return result ? result : -EPROTO;
    }
    u32 error = be32_get(head);
    if (error) {
        note_error(e, error);
    } else if (e->command == NBD_CMD_READ) {
        if (client->export.headers != NBD_HEADERS_SIMPLE) {
            return -EPROTO;
        }
        result = nbd_channel_readv(client->channel, e->data);
        e->covered = e->bytes;
    }
    if (!result) {
        finish(client, e);
    }
    return result;
}

/* Part of what was asked for, or zeroes in its place. */
static int take_data(NbdClient *client, Exchange *e, bool is_hole, u64 length)
{
    u8 head[12];
    size_t head_size = is_hole ? 12 : 8;

    if (e->command != NBD_CMD_READ || length < head_size || (is_hole && length != head_size)) {
        return -EPROTO;
    }
    int result = nbd_channel_read(client->channel, head, head_size);
    if (result) {
        return result;
    }
    u64 offset = be64_get(head), bytes = is_hole ? be32_get(head + 8) : length - head_size;
    if (offset < e->offset || offset - e->offset > e->bytes || !bytes ||
        bytes > e->bytes - (offset - e->offset) || bytes > e->bytes - e->covered) {
        return -EPROTO;
    }
    BlockVector part = block_vector_part(e->data, offset - e->offset, bytes);
    e->covered += bytes;
    if (is_hole) {
        block_vector_clear(&part);
        return 0;
    }
    return nbd_channel_readv(client->channel, &part);
}

/* Extents; the first tells what we need. */
static int take_status(NbdClient *client, Exchange *e, bool is_extended, u64 length)
{
    u8 head[24]; /* context, in extended ones a count, and the first extent */
    size_t extent = is_extended ? 16 : 8, start = is_extended ? 8 : 4;

    if (e->command != NBD_CMD_BLOCK_STATUS || length < start + extent || length > LONGEST_STATUS ||
        (length - start) % extent) {
        return -EPROTO;
    }
    int result = nbd_channel_read(client->channel, head, start + extent);
    if (result) {
        return result;
    }
    if (be32_get(head) == client->export.context_id && !e->has_status) {
        e->status_length = is_extended ? be64_get(head + 8) : be32_get(head + 4);
        e->status = (u32)(is_extended ? be64_get(head + 16) : be32_get(head + 8));
        e->has_status = e->status_length > 0;
    }
    return nbd_channel_skip(client->channel, length - start - extent);
}

static int take_error(NbdClient *client, Exchange *e, u64 length)
{
    u8 head[6];

    if (length < sizeof head || length > sizeof head + NBD_LONGEST_STRING + 8) {
        return -EPROTO;
    }
    int result = nbd_channel_read(client->channel, head, sizeof head);
    if (!result) {
        note_error(e, be32_get(head));
        result = nbd_channel_skip(client->channel, length - sizeof head);
    }
    return result;
}

static int take_chunk(NbdClient *client, Exchange *e, u16 flags, u16 type, u64 length)
{
    switch (type) {
    case NBD_CHUNK_NONE:
        return length || !(flags & NBD_CHUNK_DONE) ? -EPROTO : 0;
    case NBD_CHUNK_DATA:
        return take_data(client, e, false, length);
    case NBD_CHUNK_HOLE:
        return take_data(client, e, true, length);
    case NBD_CHUNK_BLOCK_STATUS:
        return take_status(client, e, false, length);
    case NBD_CHUNK_BLOCK_STATUS_EXT:
        return take_status(client, e, true, length);
    default:
        return type & NBD_CHUNK_ERROR_BIT ? take_error(client, e, length) : -EPROTO;
    }
}

static int receive_chunk(NbdClient *client, bool is_extended)
{
    u8 head[NBD_EXTENDED_REPLY_HEADER - 4]; /* without the magic */
    size_t size = (is_extended ? NBD_EXTENDED_REPLY_HEADER : NBD_STRUCTURED_REPLY_HEADER) - 4;
    int result = nbd_channel_read(client->channel, head, size);
    Exchange *e = result ? NULL : find_exchange(client, be64_get(head + 4));

    if (!e) {
        return result ? result : -EPROTO;
    }
    u16 flags = be16_get(head);
    u64 length = is_extended ? be64_get(head + 20) : be32_get(head + 12);
    result = take_chunk(client, e, flags, be16_get(head + 2), length);
    if (!result && (flags & NBD_CHUNK_DONE)) {
        finish(client, e);
    }
    return result;
}

/* One reply, or chunk of one, for whomever it is. An error means that the connection is done for.
 */
static int receive(NbdClient *client)
{
    u8 magic[4];
    int result = nbd_channel_read(client->channel, magic, sizeof magic);

    if (result) {
        return result;
    }
    NbdHeaders headers = client->export.headers;
    switch (be32_get(magic)) {
    case NBD_SIMPLE_REPLY_MAGIC:
        return headers == NBD_HEADERS_EXTENDED ? -EPROTO : receive_simple(client);
    case NBD_STRUCTURED_REPLY_MAGIC:
        return headers == NBD_HEADERS_STRUCTURED ? receive_chunk(client, false) : -EPROTO;
    case NBD_EXTENDED_REPLY_MAGIC:
        return headers == NBD_HEADERS_EXTENDED ? receive_chunk(client, true) : -EPROTO;
    default:
        return -EPROTO;
    }
}

/* --- Waiting; with the lock */

/* No more replies come: all that wait are over. */
static void break_down(NbdClient *client)
{
    client->is_broken = true;
    nbd_channel_shut(client->channel);
    for (size_t i = 0; i < MOST_IN_FLIGHT; i++) {
        Exchange *e = client->table[i];
        if (e) {
            client->table[i] = NULL;
            client->in_flight--;
            e->result = -EIO;
            e->done = true;
            pthread_cond_signal(&e->woken);
        }
    }
    pthread_cond_broadcast(&client->room);
}

/* Lets one of those who still wait read. */
static void pass_on_reading(NbdClient *client)
{
    client->is_reading = false;
    for (size_t i = 0; i < MOST_IN_FLIGHT && client->in_flight; i++) {
        if (client->table[i]) {
            pthread_cond_signal(&client->table[i]->woken);
            break;
        }
    }
}

static void wait_for_reply(NbdClient *client, Exchange *e)
{
    while (!e->done && client->is_reading) {
        pthread_cond_wait(&e->woken, &client->lock);
    }
    if (e->done) {
        return;
    }
    client->is_reading = true;
    while (!e->done) {
        pthread_mutex_unlock(&client->lock);
        int result = receive(client);
        pthread_mutex_lock(&client->lock);
        if (result < 0) {
            break_down(client);
        }
    }
    pass_on_reading(client);
}

/* --- Sending */

/* A place in the table; -EIO if the connection is broken. */
static int enter(NbdClient *client, Exchange *e)
{
    while (client->in_flight == MOST_IN_FLIGHT && !client->is_broken) {
        pthread_cond_wait(&client->room, &client->lock);
    }
    if (client->is_broken) {
        return -EIO;
    }
    while (client->table[client->count % MOST_IN_FLIGHT]) {
        client->count++;
    }
    e->cookie = client->count++;
    client->table[e->cookie % MOST_IN_FLIGHT] = e;
    client->in_flight++;
    return 0;
}

static int transmit(NbdClient *client, const Exchange *e)
{
    bool is_extended = client->export.headers == NBD_HEADERS_EXTENDED;
    bool is_write = e->command == NBD_CMD_WRITE;
    u8 head[NBD_EXTENDED_REQUEST_HEADER];

    be32_put(head, is_extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
    be16_put(head + 4, (u16)(e->flags | (is_write && is_extended ? NBD_CMD_PAYLOAD_LEN : 0)));
    be16_put(head + 6, (u16)e->command);
    be64_put(head + 8, e->cookie);
    be64_put(head + 16, e->offset);
    if (is_extended) {
        be64_put(head + 24, e->bytes);
    } else {
        be32_put(head + 24, (u32)e->bytes);
    }
    return nbd_channel_write_with(client->channel, head,
                                  is_extended ? sizeof head : NBD_REQUEST_HEADER,
                                  is_write ? e->data : NULL);
}

static int perform(NbdClient *client, Exchange *e)
{
    pthread_cond_init(&e->woken, NULL);
    pthread_mutex_lock(&client->lock);
    int result = enter(client, e);
    pthread_mutex_unlock(&client->lock);
    if (!result) {
        pthread_mutex_lock(&client->sending);
        if (transmit(client, e) < 0) {
            nbd_channel_shut(client->channel); /* reading will fail, too */
        }
        pthread_mutex_unlock(&client->sending);
        pthread_mutex_lock(&client->lock);
        wait_for_reply(client, e);
        pthread_mutex_unlock(&client->lock);
        result = e->result;
        if (!result && e->command == NBD_CMD_READ && e->covered != e->bytes) {
            result = -EIO;
        }
    }
    pthread_cond_destroy(&e->woken);
    return result;
}

void nbd_client_free(NbdClient *client)
{
    if (!client) {
        return;
    }
    if (!client->is_broken) {
        Exchange goodbye = {.command = NBD_CMD_DISC};
        transmit(client, &goodbye);
    }
    nbd_channel_free(client->channel);
    pthread_mutex_destroy(&client->sending);
    pthread_mutex_destroy(&client->lock);
    pthread_cond_destroy(&client->room);
    free(client->export.name);
    free(client->export.description);
    free(client);
}

/* --- The requests */

int nbd_client_read(NbdClient *client, u64 offset, const BlockVector *data)
{
    int result = 0;

    for (size_t at = 0; !result && at < data->bytes;) {
        size_t bytes = MIN(data->bytes - at, (size_t)client->export.max_payload);
        BlockVector part = block_vector_part(data, at, bytes);
        Exchange e = {
            .command = NBD_CMD_READ, .offset = offset + at, .bytes = bytes, .data = &part};
        result = perform(client, &e);
        at += bytes;
    }
    return result;
}

static u16 fua(const NbdClient *client, unsigned flags)
{
    return (flags & BLOCK_FUA) && (client->export.flags & NBD_SEND_FUA) ? NBD_CMD_FUA : 0;
}

/* Where the server has no FUA, a flush does it. */
static int settle(NbdClient *client, unsigned flags, int result)
{
    bool needed = (flags & BLOCK_FUA) && !(client->export.flags & NBD_SEND_FUA);

    return !result && needed ? nbd_client_flush(client) : result;
}

int nbd_client_write(NbdClient *client, u64 offset, const BlockVector *data, unsigned flags)
{
    int result = 0;

    for (size_t at = 0; !result && at < data->bytes;) {
        size_t bytes = MIN(data->bytes - at, (size_t)client->export.max_payload);
        BlockVector part = block_vector_part(data, at, bytes);
        Exchange e = {.command = NBD_CMD_WRITE,
                      .flags = fua(client, flags),
                      .offset = offset + at,
                      .bytes = bytes,
                      .data = &part};
        result = perform(client, &e);
        at += bytes;
    }
    return settle(client, flags, result);
}

/* A command without data on a range. */
static int cover(NbdClient *client, NbdCommand command, u64 offset, u64 bytes, u16 flags)
{
    int result = 0;

    while (!result && bytes) {
        u64 part = MIN(bytes, (u64)LONGEST_RANGE);
        Exchange e = {.command = command, .flags = flags, .offset = offset, .bytes = part};
        result = perform(client, &e);
        offset += part;
        bytes -= part;
    }
    return result;
}

int nbd_client_zero(NbdClient *client, u64 offset, u64 bytes, unsigned flags)
{
    u16 wire = fua(client, flags);

    if (!(client->export.flags & NBD_SEND_WRITE_ZEROES)) {
        return -ENOTSUP;
    }
    if (!(flags & BLOCK_MAY_UNMAP)) {
        wire |= NBD_CMD_NO_HOLE;
    }
    if (flags & BLOCK_NO_FALLBACK) {
        if (!(client->export.flags & NBD_SEND_FAST_ZERO)) {
            return -ENOTSUP;
        }
        wire |= NBD_CMD_FAST_ZERO;
    }
    int result = cover(client, NBD_CMD_WRITE_ZEROES, offset, bytes, wire);
    return settle(client, flags, result);
}

int nbd_client_trim(NbdClient *client, u64 offset, u64 bytes)
{
    return client->export.flags & NBD_SEND_TRIM ? cover(client, NBD_CMD_TRIM, offset, bytes, 0)
                                                : -ENOTSUP;
}

int nbd_client_flush(NbdClient *client)
{
    Exchange e = {.command = NBD_CMD_FLUSH};

    return client->export.flags & NBD_SEND_FLUSH ? perform(client, &e) : 0;
}

int nbd_client_status(NbdClient *client, u64 offset, u64 bytes, u32 *flags, u64 *length)
{
    if (!client->export.has_context) {
        return -ENOTSUP;
    }
    Exchange e = {.command = NBD_CMD_BLOCK_STATUS,
                  .flags = NBD_CMD_REQ_ONE,
                  .offset = offset,
                  .bytes = MIN(bytes, (u64)LONGEST_RANGE)};
    int result = perform(client, &e);
    if (!result && !e.has_status) {
        result = -EIO;
    }
    *flags = e.status;
    *length = MIN(e.status_length, e.bytes);
    return result;
}
