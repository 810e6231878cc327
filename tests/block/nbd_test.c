/* NBD client and server in one process: threads of several clients of a server do random requests,
 * each on its own part of the disk, and what is read must be what was written before. Then exports
 * that go away under their clients, and peers that talk nonsense. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/block.h"
#include "block/nbd_client.h"
#include "block/nbd_server.h"
#include "block/nbd_socket.h"
#include "tests/random.h"
#include "tests/tap.h"

enum { PARTS = 6, PART = 1 << 20, DISK = PARTS * PART, CLIENTS = 2, STEPS = 400, LONGEST = 200000 };

static BlockNode *open_disk(const char *filename, const char *options, unsigned flags)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};
    BlockNode *disk = NULL;

    block_options_parse(list, options, NULL, &error);
    if (block_open(&disk, filename, list, flags | BLOCK_UNMAP, &error) < 0) {
        printf("# %s\n", error.text);
    }
    block_options_free(list);
    return disk;
}

static BlockNode *make_disk(const char *format)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};
    char driver[64];

    snprintf(driver, sizeof driver, "driver=%s", format);
    block_options_setf(list, "size", "%d", DISK);
    unlink("nbd-test.img");
    if (block_create(block_driver_find(format), "nbd-test.img", list, &error) < 0) {
        printf("# %s\n", error.text);
    }
    block_options_free(list);
    return open_disk("nbd-test.img", driver, BLOCK_WRITE);
}

/* A node for an export of the server, through a pair of sockets. */
static BlockNode *connect_to(NbdServer *server, const char *export)
{
    char options[256];
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return NULL;
    }
    nbd_server_attach(server, pair[0]);
    snprintf(options, sizeof options, "driver=nbd,export=%s,server.type=fd,server.str=%d", export,
             pair[1]);
    BlockNode *node = open_disk(NULL, options, BLOCK_WRITE);
    close(pair[1]);
    return node;
}

/* --- Traffic */

typedef struct Worker {
    pthread_t thread;
    BlockNode *node;
    u64 start; /* of its part */
    u64 random;
    u8 *model;
    unsigned wrong, failed;
} Worker;

static void step(Worker *w, u8 *buffer)
{
    u64 bytes = 1 + random_next(&w->random) % LONGEST,
        at = random_next(&w->random) % (PART - bytes);
    int result = 0;

    switch (random_next(&w->random) % 8) {
    case 0:
    case 1:
    case 2:
        result = block_pread(w->node, w->start + at, buffer, bytes);
        w->wrong += !result && memcmp(buffer, w->model + at, bytes);
        break;
    case 3:
        result = block_zero(w->node, w->start + at, bytes, BLOCK_MAY_UNMAP);
        memset(w->model + at, 0, bytes);
        break;
    case 4:
        result = block_zero(w->node, w->start + at, bytes, BLOCK_FUA);
        memset(w->model + at, 0, bytes);
        break;
    case 5:
        result = block_flush(w->node);
        break;
    default:
        for (u64 i = 0; i < bytes; i++) {
            buffer[i] = (u8)random_next(&w->random);
        }
        memcpy(w->model + at, buffer, bytes);
        result = block_pwrite(w->node, w->start + at, buffer, bytes, at % 3 ? 0 : BLOCK_FUA);
    }
    w->failed += result < 0;
}

static void *work(void *opaque)
{
    Worker *w = opaque;
    u8 *buffer = malloc(LONGEST);

    for (unsigned i = 0; i < STEPS; i++) {
        step(w, buffer);
    }
    free(buffer);
    return NULL;
}

/* What the server says must not contradict what is there. */
static bool map_is_right(BlockNode *node, const Worker *workers)
{
    BlockExtent extent;

    for (u64 at = 0; at < DISK; at += extent.bytes) {
        if (block_map(node, at, DISK - at, &extent) < 0) {
            return false;
        }
        for (u64 i = at; (extent.flags & BLOCK_ZERO) && i < at + extent.bytes; i++) {
            if (workers[i / PART].model[i % PART]) {
                return false;
            }
        }
    }
    return true;
}

static void test_traffic(const char *format)
{
    BlockNode *disk = make_disk(format), *clients[CLIENTS];
    NbdServer *server = nbd_server_new(&(NbdServerOptions){.handshake_seconds = 30});
    NbdExportOptions export = {.name = "disk", .node = disk, .writable = true};
    Worker workers[PARTS];
    unsigned wrong = 0, failed = 0;

    OK(nbd_server_add(server, &export, NULL) == 0, "an export");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = connect_to(server, "disk");
    }
    OK(clients[0] && clients[1] && block_size(clients[0]) == DISK, "%s: two clients", format);
    for (unsigned i = 0; i < PARTS; i++) {
        workers[i] = (Worker){.node = clients[i % CLIENTS],
                              .start = i * (u64)PART,
                              .random = i,
                              .model = calloc(1, PART)};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (unsigned i = 0; i < PARTS; i++) {
        u8 *back = malloc(PART);
        pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong;
        failed += workers[i].failed;
        wrong += block_pread(disk, workers[i].start, back, PART) < 0 ||
                 memcmp(back, workers[i].model, PART);
        free(back);
    }
    OK(!wrong && !failed, "%s: %u threads, %u wrong, %u failed", format, PARTS, wrong, failed);
    OK(map_is_right(clients[1], workers), "%s: block status agrees with the data", format);
    for (unsigned i = 0; i < CLIENTS; i++) {
        OK(block_close(clients[i]) == 0, "a client leaves");
    }
    for (unsigned i = 0; i < PARTS; i++) {
        free(workers[i].model);
    }
    nbd_server_free(server);
    OK(block_close(disk) == 0, "close");
}

/* --- Ends */

static void *read_on(void *opaque)
{
    static u8 buffer[4096];
    int result = 0;

    while (!result) {
        result = block_pread(opaque, 0, buffer, sizeof buffer);
    }
    return (void *)(intptr_t)result;
}

static void test_removal(void)
{
    BlockNode *disk = make_disk("raw");
    NbdServer *server = nbd_server_new(&(NbdServerOptions){.handshake_seconds = 30});
    NbdExportOptions export = {.name = "a", .node = disk};
    BlockError error;
    pthread_t thread;
    void *result;

    nbd_server_add(server, &export, NULL);
    OK(nbd_server_add(server, &export, &error) == -EEXIST, "%s", error.text);
    OK(!connect_to(server, "a"), "an export that is read-only is not opened for writing");
    export.name = "b";
    export.writable = true;
    nbd_server_add(server, &export, NULL);
    OK(!connect_to(server, "c"), "no such export");
    BlockNode *node = connect_to(server, "b");
    pthread_create(&thread, NULL, read_on, node);
    usleep(20000);
    OK(nbd_server_remove(server, "b", &error) == 0, "an export goes away under its client");
    pthread_join(thread, &result);
    OK((intptr_t)result == -EIO, "whose requests fail: %d", (int)(intptr_t)result);
    OK(nbd_server_remove(server, "b", &error) == -ENOENT, "%s", error.text);
    block_close(node);
    nbd_server_free(server);
    block_close(disk);
}

/* --- Nonsense */

/* Sends bytes to a server and reads until it hangs up; how much it said, or -1 if it did not hang
 * up in time. */
static int talk(NbdServer *server, const void *bytes, size_t count)
{
    struct timeval limit = {.tv_sec = 10};
    int pair[2], said = 0;
    char buffer[4096];
    ssize_t got;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -1;
    }
    nbd_server_attach(server, pair[0]);
    setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (count && write(pair[1], bytes, count) < 0) {
        return -1;
    }
    while ((got = read(pair[1], buffer, sizeof buffer)) > 0) {
        said += (int)got;
    }
    bool hung = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    close(pair[1]);
    return hung ? -1 : said;
}

static void test_nonsense(void)
{
    static const u8 unknown_flags[4] = {0, 0, 0, 4};
    static const u8 long_option[20] = {0,   0,   0, 3, 'I', 'H', 'A', 'V', 'E', 'O',
                                       'P', 'T', 0, 0, 0,   7,   255, 255, 255, 255};
    static const u8 wrong_magic[20] = {0, 0, 0, 3, 'H', 'E', 'L', 'L', 'O'};
    BlockNode *disk = make_disk("raw");
    NbdServer *server = nbd_server_new(&(NbdServerOptions){.handshake_seconds = 1});
    NbdExportOptions export = {.name = "", .node = disk};

    nbd_server_add(server, &export, NULL);
    OK(talk(server, unknown_flags, sizeof unknown_flags) == 18, "unknown flags end it");
    OK(talk(server, long_option, sizeof long_option) == 18, "so does an endless option");
    OK(talk(server, wrong_magic, sizeof wrong_magic) == 18, "or what is no option");
    OK(talk(server, NULL, 0) == 18, "a client that says nothing has a second");
    nbd_server_free(server);
    block_close(disk);
}

int main(void)
{
    test_traffic("raw");
    test_traffic("qcow2");
    test_removal();
    test_nonsense();
    unlink("nbd-test.img");
    return tap_done();
}
