/* Serving a disk: opens it, listens, and waits for the end: a signal, or the last client's leaving.
 *
 * In the background, the process that was started waits until the one that serves is ready, and has
 * its exit status if it gets not that far. Threads start after the fork only. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/nbd_server.h"
#include "block/tls.h"
#include "cmd/nbd/nbd.h"

enum { FIRST_PASSED = 3 }; /* the first descriptor that a service manager passes */

/* --- The disk */

/* "NAME" or "snapshot.id=ID,snapshot.name=NAME": which snapshot. */
static int load_snapshot(const NbdJob *job, BlockNode *disk, BlockError *error)
{
    BlockOptions *options = block_options_new();
    const char *name = job->load_snapshot;
    int result = 0;

    if (!strncmp(name, "snapshot.", 9)) {
        result = block_options_parse(options, name, NULL, error);
        name = block_options_get(options, "snapshot.id");
        name = name ? name : block_options_get(options, "snapshot.name");
    }
    if (!result && !name) {
        result = block_error(error, EINVAL, "no snapshot is named by '%s'", job->load_snapshot);
    }
    result = result ? result : block_snapshot_load(disk, name, error);
    block_options_free(options);
    return result;
}

/* Puts a window on top that leaves the start out; owns the disk then. */
static int add_offset(const NbdJob *job, BlockNode *disk, BlockNode **window, BlockError *error)
{
    BlockOptions *options = block_options_new();

    block_options_setf(options, "offset", "%llu", (unsigned long long)job->offset);
    block_options_setf(options, "size", "%llu",
                       (unsigned long long)(block_size(disk) - MIN(job->offset, block_size(disk))));
    int result =
        block_open_over(window, block_driver_find("raw"), disk, options, disk->flags, error);
    if (!result) {
        (*window)->borrows_file = false;
    }
    block_options_free(options);
    return result;
}

static BlockNode *open_disk(const NbdJob *job, BlockError *error)
{
    BlockOptions *options = block_options_new();
    BlockNode *disk = NULL, *window;
    int result = 0;

    block_options_set_objects(options, job->objects);
    if (job->image_options) {
        result = block_options_parse(options, job->disk, "file", error);
    } else if (job->format) {
        block_options_set(options, "driver", job->format);
    }
    if (job->discard) {
        block_options_set(options, "discard", job->discard);
    }
    if (job->detect_zeroes) {
        block_options_set(options, "detect-zeroes", job->detect_zeroes);
    }
    if (!result) {
        result =
            block_open(&disk, job->image_options ? NULL : job->disk, options, job->flags, error);
    }
    block_options_free(options);
    if (!result && job->load_snapshot) {
        result = load_snapshot(job, disk, error);
    }
    if (!result && job->offset) {
        result = add_offset(job, disk, &window, error);
        disk = result ? disk : window;
    }
    if (result < 0) {
        block_close(disk);
        block_error_prefix(error, -result, "Failed to open '%s'", job->disk);
        return NULL;
    }
    return disk;
}

/* --- Listening */

/* How many sockets the service manager that started us passed. */
static int passed_sockets(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

    return pid && count && atol(pid) == getpid() ? atoi(count) : 0;
}

static int listen_all(const NbdJob *job, NbdServer *server, BlockError *error)
{
    int passed = passed_sockets();

    if (passed > 0 && job->has_address) {
        return block_error(error, EINVAL,
                           "sockets were passed to listen at; -b, -p and -k cannot be had, too");
    }
    for (int fd = FIRST_PASSED; fd < FIRST_PASSED + passed; fd++) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        nbd_server_listen(server, fd);
    }
    int fd = passed > 0 ? 0 : nbd_socket_listen(&job->address, error);
    if (fd > 0) {
        nbd_server_listen(server, fd);
    }
    return MIN(fd, 0);
}

/* --- Waiting */

static void last_left(void *opaque, unsigned left)
{
    const int *ended_fd = opaque;
    u64 one = 1;

    if (!left && write(*ended_fd, &one, sizeof one) < 0) {
        return; /* it was written before */
    }
}

static void wait_for_end(int signal_fd, int ended_fd)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = ended_fd, .events = POLLIN}};

    while (poll(fds, COUNT(fds), -1) < 0 && errno == EINTR) {
    }
}

static int write_pid(const char *path, BlockError *error)
{
    FILE *file = path ? fopen(path, "we") : NULL;

    if (path && (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) < 0)) {
        return block_error(error, errno, "cannot write '%s': %s", path, strerror(errno));
    }
    return 0;
}

/* Tells the process that was started that we are ready, and cuts what ties us to its terminal. */
static void detach(int ready_fd)
{
    if (ready_fd >= 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; fd++) {
            dup2(null, fd);
        }
        setsid();
        if (write(ready_fd, "", 1) < 0) {
            exit(1); /* nobody waits: we were told to end */
        }
        close(ready_fd);
        close(null);
    }
}

static int run_server(const NbdJob *job, BlockNode *disk, const TlsCredentials *tls, int ready_fd,
                      BlockError *error)
{
    int ended_fd = eventfd(0, EFD_CLOEXEC);
    NbdServerOptions options = {.tls = tls,
                                .most_clients = job->most_clients,
                                .handshake_seconds = job->handshake_seconds,
                                .client_left = job->persistent ? NULL : last_left,
                                .opaque = &ended_fd};
    NbdExportOptions export = {.name = job->export,
                               .description = job->description,
                               .node = disk,
                               .writable = job->flags & BLOCK_WRITE,
                               .show_depth = job->show_depth,
                               .bitmaps = job->bitmaps};
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
    NbdServer *server = nbd_server_new(&options);
    int result = nbd_server_add(server, &export, error);
    result = result ? result : listen_all(job, server, error);
    bool listens = !result;
    result = result ? result : write_pid(job->pid_file, error);
    if (!result) {
        detach(ready_fd);
        wait_for_end(signal_fd, ended_fd);
    }
    nbd_server_free(server);
    if (listens && job->address.path && passed_sockets() <= 0) {
        unlink(job->address.path);
    }
    if (!result && job->pid_file) {
        unlink(job->pid_file);
    }
    close(signal_fd);
    close(ended_fd);
    return result;
}

static int serve(const NbdJob *job, int ready_fd)
{
    const TlsCredentials *tls = NULL;
    BlockError error;
    int status = 0;

    if (job->tls_id) {
        tls = tls_credentials_find(job->objects, job->tls_id, true, &error);
        if (!tls) {
            return nbd_error(job, "%s", error.text);
        }
    }
    BlockNode *disk = open_disk(job, &error);
    if (!disk) {
        return nbd_error(job, "%s", error.text);
    }
    if (run_server(job, disk, tls, ready_fd, &error) < 0) {
        status = nbd_error(job, "%s", error.text);
    }
    int result = block_close(disk);
    if (result < 0 && !status) {
        status = nbd_error(job, "error while closing '%s': %s", job->disk, strerror(-result));
    }
    return status;
}

int nbd_serve(const NbdJob *job)
{
    int ready[2], status = 0;
    char byte;

    if (!job->background) {
        return serve(job, -1);
    }
    if (pipe2(ready, O_CLOEXEC) < 0) {
        return nbd_error(job, "cannot start another process: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child == 0) {
        close(ready[0]);
        return serve(job, ready[1]);
    }
    close(ready[1]);
    if (child < 0) {
        return nbd_error(job, "cannot start another process: %s", strerror(errno));
    }
    if (read(ready[0], &byte, 1) != 1) {
        waitpid(child, &status, 0);
        return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
    }
    return 0;
}
