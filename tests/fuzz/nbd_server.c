/* Fuzz target: any bytes as what a client says to the NBD server, on two exports in memory. The
 * server answers or hangs up; when the client has said all and hung up, too, every thread must come
 * to an end. The first byte chooses: its lowest bit, to skip the handshake, so that requests are
 * reached at once, and how replies look then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/nbd_protocol.h"
#include "block/nbd_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DISK = 1 << 20, LARGEST_INPUT = 1 << 16 };

static BlockNode *open_disk(int fd)
{
    BlockOptions *options = block_options_new();
    BlockNode *disk;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    block_options_set(options, "driver", "raw");
    if (ftruncate(fd, DISK) < 0 ||
        block_open(&disk, path, options, BLOCK_WRITE | BLOCK_UNMAP | BLOCK_NO_LOCK, NULL) < 0) {
        abort();
    }
    block_options_free(options);
    return disk;
}

/* Puts an option into the buffer; how long it is. */
static size_t put_option(u8 *to, u32 option, const void *data, u32 bytes)
{
    be64_put(to, NBD_OPTION_MAGIC);
    be32_put(to + 8, option);
    be32_put(to + 12, bytes);
    memcpy(to + 16, data, bytes);
    return 16 + bytes;
}

/* The handshake that a client with that choice makes. */
static size_t put_handshake(u8 *to, u8 choice)
{
    static const u8 contexts[] = "\0\0\0\1d\0\0\0\2\0\0\0\17base:allocation"
                                 "\0\0\0\25qemu:allocation-depth";
    static const u8 go[] = "\0\0\0\1d\0\0";
    size_t at = 4;

    be32_put(to, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    if (choice & 6) {
        at += put_option(to + at, choice & 2 ? NBD_OPT_EXTENDED_HEADERS : NBD_OPT_STRUCTURED_REPLY,
                         "", 0);
        at += put_option(to + at, NBD_OPT_SET_META_CONTEXT, contexts, sizeof contexts - 1);
    }
    return at + put_option(to + at, NBD_OPT_GO, go, sizeof go - 1);
}

static void say(int fd, const void *data, size_t size)
{
    if (send(fd, data, size, MSG_NOSIGNAL) < 0) {
        return; /* the server hung up: well */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("disk", MFD_CLOEXEC), pair[2], room = 1 << 20;
    BlockNode *disk = open_disk(fd);
    NbdServer *server = nbd_server_new(&(NbdServerOptions){.handshake_seconds = 5});
    u8 handshake[512], sink[65536];
    BlockError error;

    NbdExportOptions export = {.name = "d", .node = disk, .writable = true, .show_depth = true};
    if (nbd_server_add(server, &export, &error) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        abort();
    }
    export = (NbdExportOptions){.name = "", .node = disk, .description = "the other"};
    nbd_server_add(server, &export, &error);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    nbd_server_attach(server, pair[0]);
    if (size && (data[0] & 1)) {
        say(pair[1], handshake, put_handshake(handshake, data[0]));
    }
    if (size) {
        say(pair[1], data + 1, MIN(size - 1, (size_t)LARGEST_INPUT));
    }
    shutdown(pair[1], SHUT_WR);
    while (read(pair[1], sink, sizeof sink) > 0) {
    }
    close(pair[1]);
    nbd_server_free(server);
    block_close(disk);
    close(fd);
    return 0;
}
