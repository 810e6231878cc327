/* Fuzz target: any bytes as what a server says to the NBD client, which connects, reads, writes,
 * asks for block status, and lists exports. What makes no sense is an error; nothing may crash,
 * hang or read beyond what came. The first byte's lowest bit answers the handshake first, so that
 * replies are reached at once; its other bits say how they look. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/nbd_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DISK = 1 << 20, LARGEST_INPUT = 1 << 16, PIECE = 8192 };

static size_t put_reply(u8 *to, u32 option, u32 type, const void *data, u32 bytes)
{
    be64_put(to, NBD_OPTION_REPLY_MAGIC);
    be32_put(to + 8, option);
    be32_put(to + 12, type);
    be32_put(to + 16, bytes);
    memcpy(to + 20, data, bytes);
    return 20 + bytes;
}

static size_t put_handshake(u8 *to, u8 choice)
{
    static const u8 context[] = "\0\0\0\1base:allocation";
    u8 export[12] = {0, NBD_INFO_EXPORT, 0, 0, 0, 0, 0, DISK >> 16};
    size_t at = 18;

    be64_put(to, NBD_MAGIC);
    be64_put(to + 8, NBD_OPTION_MAGIC);
    be16_put(to + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    at += put_reply(to + at, NBD_OPT_EXTENDED_HEADERS, choice & 2 ? NBD_REP_ACK : NBD_REP_ERR_UNSUP,
                    "", 0);
    if (!(choice & 2)) {
        at += put_reply(to + at, NBD_OPT_STRUCTURED_REPLY,
                        choice & 4 ? NBD_REP_ACK : NBD_REP_ERR_UNSUP, "", 0);
    }
    if (choice & 6) {
        at += put_reply(to + at, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, context,
                        sizeof context - 1);
        at += put_reply(to + at, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, "", 0);
    }
    be16_put(export + 10,
             NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES);
    at += put_reply(to + at, NBD_OPT_GO, NBD_REP_INFO, export, sizeof export);
    return at + put_reply(to + at, NBD_OPT_GO, NBD_REP_ACK, "", 0);
}

/* Our end of a connection to a server that says all that and hangs up. */
static int serve(const uint8_t *data, size_t size, int *other)
{
    int pair[2], room = 1 << 20;
    u8 handshake[512];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        abort();
    }
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    size_t bytes = size && (data[0] & 1) ? put_handshake(handshake, data[0]) : 0;
    if (send(pair[1], handshake, bytes, MSG_NOSIGNAL) < 0 ||
        (size && send(pair[1], data + 1, MIN(size - 1, (size_t)LARGEST_INPUT), MSG_NOSIGNAL) < 0)) {
        abort();
    }
    shutdown(pair[1], SHUT_WR);
    *other = pair[1];
    return pair[0];
}

static void use(NbdClient *client)
{
    const NbdExportInfo *export = nbd_client_export(client);
    u8 *buffer = calloc(1, PIECE);
    struct iovec iov;
    BlockVector piece = block_vector_of(&iov, buffer, PIECE);
    u32 flags;
    u64 length;

    if (export->min_block <= PIECE) {
        nbd_client_read(client, 0, &piece);
        nbd_client_status(client, 0, DISK, &flags, &length);
        nbd_client_write(client, PIECE, &piece, BLOCK_FUA);
        nbd_client_zero(client, 0, PIECE, 0);
        nbd_client_trim(client, 0, PIECE);
        nbd_client_read(client, PIECE, &piece);
        nbd_client_flush(client);
    }
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    NbdClientOptions options = {.export = "x"};
    BlockError error = {""};
    NbdExportInfo *list;
    size_t count;
    int other;

    NbdClient *client = nbd_client_new(serve(data, size, &other), &options, &error);
    if (!client && !*error.text) {
        abort();
    }
    if (client) {
        use(client);
    }
    nbd_client_free(client);
    close(other);
    if (nbd_client_list(serve(data, size, &other), &options, &list, &count, &error) == 0) {
        nbd_export_list_free(list, count);
    }
    close(other);
    return 0;
}
