/* Buffered input, gathered output, and TLS: see nbd_channel.h. */
#include "block/nbd_channel.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/tls.h"

enum { BUFFER = 32768, IOVECS = 16, RECORD = 16384 };

struct NbdChannel {
    int fd;
    gnutls_session_t tls; /* NULL: in the clear */
    size_t start, end;    /* of what was read ahead, in `input` */
    u8 input[BUFFER];
};

NbdChannel *nbd_channel_new(int fd)
{
    NbdChannel *channel = malloc(sizeof *channel);

    if (!channel) {
        abort();
    }
    channel->fd = fd;
    channel->tls = NULL;
    channel->start = channel->end = 0;
    return channel;
}

void nbd_channel_free(NbdChannel *channel)
{
    if (channel) {
        if (channel->tls) {
            gnutls_bye(channel->tls, GNUTLS_SHUT_WR);
            gnutls_deinit(channel->tls);
        }
        close(channel->fd);
        free(channel);
    }
}

void nbd_channel_shut(NbdChannel *channel)
{
    shutdown(channel->fd, SHUT_RDWR);
}

bool nbd_channel_is_tls(const NbdChannel *channel)
{
    return channel->tls;
}

/* What GnuTLS returned as bytes, 0 to try again, or -errno. */
static ssize_t tls_result(ssize_t result)
{
    if (result > 0) {
        return result;
    }
    if (result == GNUTLS_E_INTERRUPTED || result == GNUTLS_E_AGAIN) {
        return 0;
    }
    return result == 0 ? -ECONNRESET : -EIO;
}

/* Reads at least a byte into the iovecs; how many, 0 to try again, or -errno. */
static ssize_t receive(NbdChannel *channel, const struct iovec *iov, unsigned count)
{
    if (channel->tls) {
        return tls_result(gnutls_record_recv(channel->tls, iov->iov_base, iov->iov_len));
    }
    ssize_t done = readv(channel->fd, iov, (int)count);
    if (done < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    return done ? done : -ECONNRESET;
}

/* Moves what was read ahead into the window; how much. */
static size_t take_buffered(NbdChannel *channel, const BlockVector *data)
{
    size_t bytes = MIN(data->bytes, channel->end - channel->start);

    if (bytes) {
        block_vector_store(data, channel->input + channel->start, bytes);
        channel->start += bytes;
    }
    return bytes;
}

int nbd_channel_readv(NbdChannel *channel, const BlockVector *data)
{
    struct iovec iov[IOVECS];

    for (BlockVector rest = *data; rest.bytes;) {
        size_t got = take_buffered(channel, &rest), covered;
        if (!got) {
            bool ahead = rest.bytes < BUFFER;
            unsigned count = ahead ? 1 : block_vector_iovecs(&rest, iov, IOVECS, &covered);
            if (ahead) {
                iov[0] = (struct iovec){channel->input, BUFFER};
            }
            ssize_t done = receive(channel, iov, count);
            if (done < 0) {
                return (int)done;
            }
            if (ahead) {
                channel->start = 0;
                channel->end = (size_t)done;
            } else {
                got = (size_t)done;
            }
        }
        rest = block_vector_part(&rest, got, rest.bytes - got);
    }
    return 0;
}

int nbd_channel_read(NbdChannel *channel, void *data, size_t bytes)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    return nbd_channel_readv(channel, &vector);
}

int nbd_channel_skip(NbdChannel *channel, u64 bytes)
{
    u8 sink[4096];
    int result = 0;

    while (bytes && !result) {
        size_t part = MIN(bytes, (u64)sizeof sink);
        result = nbd_channel_read(channel, sink, part);
        bytes -= part;
    }
    return result;
}

/* Writes some of the iovecs; how many bytes, 0 to try again, or -errno. */
static ssize_t transmit(NbdChannel *channel, struct iovec *iov, unsigned count)
{
    if (channel->tls) {
        return tls_result(gnutls_record_send(channel->tls, iov->iov_base, iov->iov_len));
    }
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t done = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
    if (done < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    return done;
}

static int write_vector(NbdChannel *channel, const BlockVector *data)
{
    struct iovec iov[IOVECS];

    for (BlockVector rest = *data; rest.bytes;) {
        size_t covered;
        unsigned count = block_vector_iovecs(&rest, iov, IOVECS, &covered);
        ssize_t done = transmit(channel, iov, count);
        if (done < 0) {
            return (int)done;
        }
        rest = block_vector_part(&rest, (size_t)done, rest.bytes - (size_t)done);
    }
    return 0;
}

int nbd_channel_write(NbdChannel *channel, const void *data, size_t bytes)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    return write_vector(channel, &vector);
}

/* Under TLS each write makes a record of its own: what is short becomes one. */
static int write_records(NbdChannel *channel, const void *head, size_t bytes,
                         const BlockVector *data)
{
    u8 record[RECORD];

    if (data && bytes + data->bytes <= sizeof record) {
        memcpy(record, head, bytes);
        block_vector_load(data, record + bytes, data->bytes);
        return nbd_channel_write(channel, record, bytes + data->bytes);
    }
    int result = nbd_channel_write(channel, head, bytes);
    return result || !data ? result : write_vector(channel, data);
}

int nbd_channel_write_with(NbdChannel *channel, const void *head, size_t bytes,
                           const BlockVector *data)
{
    struct iovec iov[IOVECS] = {{(void *)(uintptr_t)head, bytes}};
    size_t covered = 0;

    if (channel->tls) {
        return write_records(channel, head, bytes, data);
    }
    if (data) {
        block_vector_iovecs(data, iov + 1, IOVECS - 1, &covered);
    }
    BlockVector first = {iov, 0, bytes + covered};
    int result = write_vector(channel, &first);
    if (!result && data && covered < data->bytes) {
        BlockVector rest = block_vector_part(data, covered, data->bytes - covered);
        result = write_vector(channel, &rest);
    }
    return result;
}

int nbd_channel_start_tls(NbdChannel *channel, const TlsCredentials *tls, const char *hostname,
                          BlockError *error)
{
    gnutls_session_t session;

    if (channel->start < channel->end) {
        return block_error(error, EPROTO, "the peer sent data in the clear after agreeing on TLS");
    }
    int result = tls_handshake(tls, channel->fd, hostname, &session, error);
    if (!result) {
        channel->tls = session;
    }
    return result;
}
