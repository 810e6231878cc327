/* The server as a whole: exports, accepting, and the life of connections. See nbd_server.h.
 *
 * `lock` guards the lists. A connection belongs to its threads: the last that leaves frees it. */
#include "block/nbd_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "block/nbd_connection.h"
#include "block/nbd_socket.h"

enum { MOST_LISTENERS = 16, RETRY_MS = 100 };

struct NbdServer {
    NbdServerOptions options;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection has gone */
    NbdExport *exports;
    NbdConnection *connections;
    unsigned clients, parting; /* the latter are gone but for telling so */
    int listeners[MOST_LISTENERS];
    unsigned listener_count;
    int wake_fd; /* for the thread that accepts: look again */
    pthread_t acceptor;
    bool is_ending;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const TlsCredentials *nbd_server_tls(const NbdServer *server)
{
    return server->options.tls;
}

bool nbd_server_is_shared(const NbdServer *server)
{
    return server->options.most_clients != 1;
}

static void wake(NbdServer *server)
{
    u64 one = 1;

    if (write(server->wake_fd, &one, sizeof one) < 0) {
        return; /* it is awake already */
    }
}

/* A detached thread without signals. */
static bool start_thread(void *run(void *), void *argument)
{
    pthread_attr_t attributes;
    sigset_t all, old;
    pthread_t thread;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool good = pthread_create(&thread, &attributes, run, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return good;
}

/* --- Exports */

static NbdExport *find_export(NbdServer *server, const char *name)
{
    for (NbdExport *export = server->exports; export; export = export->next) {
        if (!strcmp(export->name, name) && !export->is_leaving) {
            return export;
        }
    }
    return NULL;
}

bool nbd_export_take(NbdServer *server, const char *name, NbdExport **place)
{
    pthread_mutex_lock(&server->lock);
    if (*place) {
        (*place)->users--;
        pthread_cond_broadcast(&server->changed);
    }
    NbdExport *export = *place = name ? find_export(server, name) : NULL;
    if (export) {
        export->users++;
    }
    pthread_mutex_unlock(&server->lock);
    return export;
}

int nbd_export_each(NbdServer *server, int (*call)(NbdExport *export, void *opaque), void *opaque)
{
    int result = 0;

    pthread_mutex_lock(&server->lock);
    for (NbdExport *e = server->exports; e && !result; e = e->next) {
        result = e->is_leaving ? 0 : call(e, opaque);
    }
    pthread_mutex_unlock(&server->lock);
    return result;
}

static void export_free(NbdExport *export)
{
    for (unsigned i = 0; i < export->context_count; i++) {
        free(export->contexts[i]);
    }
    free(export->name);
    free(export->description);
    free(export);
}

static bool has_bitmap(BlockNode *node, const char *name)
{
    BlockBitmapInfo *list = NULL;
    int count = block_bitmap_list(node, &list, NULL);
    bool found = false;

    for (int i = 0; i < count; i++) {
        found = found || (!strcmp(list[i].name, name) && !list[i].in_use);
    }
    free(list);
    return found;
}

static int add_contexts(NbdExport *export, const NbdExportOptions *options, BlockError *error)
{
    export->contexts[NBD_ID_ALLOCATION] = strdup(NBD_CONTEXT_ALLOCATION);
    export->contexts[NBD_ID_DEPTH] = options->show_depth ? strdup(NBD_CONTEXT_DEPTH) : NULL;
    export->context_count = NBD_ID_BITMAPS;
    for (const char *const *name = options->bitmaps; name && *name; name++) {
        if (export->context_count == NBD_MOST_CONTEXTS) {
            return block_error(error, E2BIG, "too many bitmaps for an export");
        }
        if (!has_bitmap(options->node, *name)) {
            return block_error(error, ENOENT, "Bitmap '%s' is not found", *name);
        }
        if (asprintf(&export->contexts[export->context_count++], NBD_CONTEXT_BITMAP "%s", *name) <
            0) {
            abort();
        }
    }
    return 0;
}

int nbd_server_add(NbdServer *server, const NbdExportOptions *options, BlockError *error)
{
    NbdExport *export = calloc(1, sizeof *export);
    int result = 0;

    if (!export) {
        abort();
    }
    export->name = strdup(options->name);
    export->description = options->description ? strdup(options->description) : NULL;
    export->node = options->node;
    export->writable = options->writable;
    if (strlen(options->name) > NBD_LONGEST_STRING ||
        (options->description && strlen(options->description) > NBD_LONGEST_STRING)) {
        result = block_error(error, EINVAL, "names and descriptions of exports end at %d bytes",
                             NBD_LONGEST_STRING);
    }
    result = result ? result : add_contexts(export, options, error);
    pthread_mutex_lock(&server->lock);
    if (!result && find_export(server, export->name)) {
        result = block_error(error, EEXIST, "there is an export '%s' already", export->name);
    }
    if (!result) {
        NbdExport **end = &server->exports;
        while (*end) {
            end = &(*end)->next;
        }
        *end = export;
    }
    pthread_mutex_unlock(&server->lock);
    if (result < 0) {
        export_free(export);
    }
    return result;
}

int nbd_server_remove(NbdServer *server, const char *name, BlockError *error)
{
    pthread_mutex_lock(&server->lock);
    NbdExport *export = find_export(server, name);
    if (!export) {
        pthread_mutex_unlock(&server->lock);
        return block_error(error, ENOENT, "there is no export '%s'", name);
    }
    export->is_leaving = true;
    while (export->users) {
        for (NbdConnection *c = server->connections; c; c = c->next) {
            if (c->export == export || c->context_of == export) {
                nbd_channel_shut(c->channel);
            }
        }
        pthread_cond_wait(&server->changed, &server->lock);
    }
    NbdExport **at = &server->exports;
    while (*at != export) {
        at = &(*at)->next;
    }
    *at = export->next;
    pthread_mutex_unlock(&server->lock);
    export_free(export);
    return 0;
}

/* --- Connections */

static void connection_free(NbdConnection *c)
{
    NbdServer *server = c->server;
    NbdConnection **at = &server->connections;

    nbd_export_take(server, NULL, &c->context_of);
    nbd_export_take(server, NULL, &c->export);
    pthread_mutex_lock(&server->lock);
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    pthread_mutex_unlock(&server->lock);

    nbd_channel_free(c->channel);
    pthread_mutex_destroy(&c->receiving);
    pthread_mutex_destroy(&c->sending);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->room);
    free(c);

    pthread_mutex_lock(&server->lock);
    unsigned left = --server->clients;
    server->parting++;
    pthread_mutex_unlock(&server->lock);
    wake(server); /* there may be room for another */
    if (server->options.client_left) {
        server->options.client_left(server->options.opaque, left);
    }
    pthread_mutex_lock(&server->lock);
    server->parting--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void leave(NbdConnection *c)
{
    if (atomic_fetch_sub(&c->threads, 1) == 1) {
        connection_free(c);
    }
}

static void *transmit_more(void *opaque)
{
    NbdConnection *c = opaque;

    nbd_transmit(c);
    leave(c);
    return NULL;
}

bool nbd_connection_add_thread(NbdConnection *c)
{
    atomic_fetch_add(&c->threads, 1);
    bool good = start_thread(transmit_more, c);
    if (!good) {
        atomic_fetch_sub(&c->threads, 1); /* the caller is still counted */
    }
    return good;
}

static void *serve(void *opaque)
{
    NbdConnection *c = opaque;

    if (nbd_negotiate(c) == 0) {
        pthread_mutex_lock(&c->server->lock);
        c->deadline = 0;
        bool leaving = c->export->is_leaving;
        pthread_mutex_unlock(&c->server->lock);
        if (!leaving) {
            nbd_transmit(c);
        }
    }
    leave(c);
    return NULL;
}

void nbd_server_attach(NbdServer *server, int fd)
{
    NbdConnection *c = calloc(1, sizeof *c);

    if (!c) {
        abort();
    }
    nbd_socket_tune(fd);
    c->server = server;
    c->channel = nbd_channel_new(fd);
    c->threads = 1;
    if (server->options.handshake_seconds) {
        c->deadline = now() + server->options.handshake_seconds;
    }
    pthread_mutex_init(&c->receiving, NULL);
    pthread_mutex_init(&c->sending, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->room, NULL);
    pthread_mutex_lock(&server->lock);
    c->next = server->connections;
    server->connections = c;
    server->clients++;
    pthread_mutex_unlock(&server->lock);
    wake(server); /* one more deadline */
    if (!start_thread(serve, c)) {
        leave(c);
    }
}

/* --- Accepting */

/* Disconnects those whose handshake takes too long; how many milliseconds until the next may. */
static int end_slow_handshakes(NbdServer *server)
{
    double time = now(), next = 0;

    for (NbdConnection *c = server->connections; c; c = c->next) {
        if (c->deadline && c->deadline <= time) {
            c->deadline = 0;
            nbd_channel_shut(c->channel);
        } else if (c->deadline && (!next || c->deadline < next)) {
            next = c->deadline;
        }
    }
    return next ? (int)((next - time) * 1000) + 1 : -1;
}

/* What to wait for; listeners only while there is room for a client. */
static unsigned gather(NbdServer *server, struct pollfd *fds, int *timeout)
{
    unsigned count = 0, most = server->options.most_clients;

    fds[count++] = (struct pollfd){.fd = server->wake_fd, .events = POLLIN};
    for (unsigned i = 0; i < server->listener_count && (!most || server->clients < most); i++) {
        fds[count++] = (struct pollfd){.fd = server->listeners[i], .events = POLLIN};
    }
    *timeout = end_slow_handshakes(server);
    return count;
}

static void *accept_clients(void *opaque)
{
    struct pollfd fds[MOST_LISTENERS + 1];
    NbdServer *server = opaque;
    int timeout;
    u64 count;

    for (;;) {
        pthread_mutex_lock(&server->lock);
        bool ending = server->is_ending;
        unsigned waiting = gather(server, fds, &timeout);
        pthread_mutex_unlock(&server->lock);
        if (ending) {
            return NULL;
        }
        poll(fds, waiting, timeout);
        if (fds[0].revents && read(server->wake_fd, &count, sizeof count) < 0) {
            continue;
        }
        for (unsigned i = 1; i < waiting; i++) {
            int fd = fds[i].revents ? accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;
            if (fd >= 0) {
                nbd_server_attach(server, fd);
                break; /* look again whether there is room */
            }
            if (fds[i].revents && errno != EAGAIN && errno != ECONNABORTED) {
                poll(NULL, 0, RETRY_MS); /* no descriptors: others may close theirs */
            }
        }
    }
}

NbdServer *nbd_server_new(const NbdServerOptions *options)
{
    NbdServer *server = calloc(1, sizeof *server);
    sigset_t all, old;

    if (!server) {
        abort();
    }
    server->options = *options;
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (server->wake_fd < 0 ||
        pthread_create(&server->acceptor, NULL, accept_clients, server) != 0) {
        abort();
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return server;
}

void nbd_server_listen(NbdServer *server, int fd)
{
    pthread_mutex_lock(&server->lock);
    if (server->listener_count < MOST_LISTENERS) {
        server->listeners[server->listener_count++] = fd;
    } else {
        close(fd);
    }
    pthread_mutex_unlock(&server->lock);
    wake(server);
}

void nbd_server_free(NbdServer *server)
{
    if (!server) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    server->is_ending = true;
    pthread_mutex_unlock(&server->lock);
    wake(server);
    pthread_join(server->acceptor, NULL);
    pthread_mutex_lock(&server->lock);
    for (NbdConnection *c = server->connections; c; c = c->next) {
        nbd_channel_shut(c->channel);
    }
    while (server->clients || server->parting) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->listener_count; i++) {
        close(server->listeners[i]);
    }
    while (server->exports) {
        NbdExport *export = server->exports;
        server->exports = export->next;
        export_free(export);
    }
    close(server->wake_fd);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free(server);
}
