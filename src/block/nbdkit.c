/* Protocols that nbdkit speaks for us: http, https, ftp, ftps, ssh, s3, and xz and gzip, which
 * unpack a file or any of these (xz:https://host/disk.img.xz). nbdkit runs as a child process with
 * a socket of ours as its only client, and ends with the node.
 *
 * A name becomes a command line by a table: a plugin for where the bytes are, filters for how they
 * are packed. nbdkit's parameters are given as qemu's options where qemu has such. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/drivers.h"
#include "block/nbd.h"
#include "block/secret.h"

enum { MOST_WORDS = 32 };

extern char **environ;

/* The command line being made; words are malloc()ed. */
typedef struct Command {
    char *words[MOST_WORDS + 1];
    size_t count;
    int password_fd; /* what nbdkit reads a password from; -1 */
} Command;

static const BlockOption open_options[] = {
    {"url", BLOCK_OPTION_STRING, "where the image is"},
    {"sslverify", BLOCK_OPTION_BOOL, "check the server's certificate", "on"},
    {"timeout", BLOCK_OPTION_NUMBER, "seconds that the server may take"},
    {"cookie", BLOCK_OPTION_STRING, "cookies to send"},
    {"username", BLOCK_OPTION_STRING, "to log in with"},
    {"password-secret", BLOCK_OPTION_STRING, "id of the secret to log in with"},
    {"host-key-check", BLOCK_OPTION_BOOL, "ssh: check whether it is the known host", "on"},
    {"identity", BLOCK_OPTION_STRING, "ssh: file with the private key"},
    {"config", BLOCK_OPTION_STRING, "ssh: configuration file"},
    {"endpoint-url", BLOCK_OPTION_STRING, "s3: the service, if not Amazon's"},
    {NULL},
};

__attribute__((format(printf, 2, 3))) static void add(Command *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (c->count == MOST_WORDS || vasprintf(&c->words[c->count++], format, args) < 0) {
        abort();
    }
    va_end(args);
}

/* Adds "name=value" if the option was given. */
static void pass_on(Command *c, const BlockOptions *options, const char *option, const char *name)
{
    const char *value = block_options_get(options, option);

    if (value) {
        add(c, "%s=%s", name, value);
    }
}

/* A password goes through a pipe, not where all can see it. */
static int pass_password(Command *c, const BlockOptions *options, BlockError *error)
{
    const char *id = block_options_get(options, "password-secret");
    int ends[2];

    if (!id) {
        return 0;
    }
    const Secret *secret = secret_find(block_options_objects(options), id, error);
    if (!secret) {
        return -ENOENT;
    }
    if (secret->length >= PIPE_BUF || pipe2(ends, O_CLOEXEC) < 0 ||
        write(ends[1], secret->bytes, secret->length) != (ssize_t)secret->length) {
        return block_error(error, EINVAL, "cannot hand the secret '%s' over to nbdkit", id);
    }
    close(ends[1]);
    c->password_fd = ends[0];
    add(c, "password=-%d", STDERR_FILENO + 1);
    return 0;
}

/* --- Plugins: each adds its own words */

static int use_curl(Command *c, const char *name, const BlockOptions *options, BlockError *error)
{
    (void)error;
    add(c, "curl");
    add(c, "url=%s", name);
    if (!block_option_bool(options, open_options, "sslverify")) {
        add(c, "sslverify=false");
    }
    pass_on(c, options, "cookie", "cookie");
    pass_on(c, options, "timeout", "timeout");
    pass_on(c, options, "username", "user");
    return 0;
}

/* ssh://[USER@]HOST[:PORT]/PATH */
static int use_ssh(Command *c, const char *name, const BlockOptions *options, BlockError *error)
{
    char *copy = strdup(strstr(name, "://") + 3);
    char *path = strchr(copy, '/'), *user = NULL, *host = copy, *port;

    if (!path || !path[1]) {
        free(copy);
        return block_error(error, EINVAL, "'%s' is not ssh://[USER@]HOST[:PORT]/PATH", name);
    }
    add(c, "ssh");
    add(c, "path=%s", path);
    *path = 0;
    char *at = strrchr(copy, '@');
    if (at) {
        *at = 0;
        user = copy;
        host = at + 1;
    }
    port = strrchr(host, ':');
    if (port && !strchr(port, ']')) {
        *port++ = 0;
        add(c, "port=%s", port);
    }
    add(c, "host=%s", host);
    if (user) {
        add(c, "user=%s", user);
    } else {
        pass_on(c, options, "username", "user");
    }
    free(copy);
    if (!block_option_bool(options, open_options, "host-key-check")) {
        add(c, "verify-remote-host=false");
    }
    pass_on(c, options, "identity", "identity");
    pass_on(c, options, "config", "config");
    pass_on(c, options, "timeout", "timeout");
    return 0;
}

/* s3://BUCKET/KEY; who may is read from where Amazon's own tools read it. */
static int use_s3(Command *c, const char *name, const BlockOptions *options, BlockError *error)
{
    const char *bucket = strstr(name, "://") + 3;
    const char *key = strchr(bucket, '/');

    if (!key || !key[1]) {
        return block_error(error, EINVAL, "'%s' is not s3://BUCKET/KEY", name);
    }
    add(c, "S3");
    add(c, "bucket=%.*s", (int)(key - bucket), bucket);
    add(c, "key=%s", key + 1);
    pass_on(c, options, "endpoint-url", "endpoint-url");
    return 0;
}

static const struct {
    const char *scheme, *filter; /* one of filter and use */
    int (*use)(Command *c, const char *name, const BlockOptions *options, BlockError *error);
    bool writable;
} schemes[] = {
    {"http://", NULL, use_curl, false}, {"https://", NULL, use_curl, false},
    {"ftp://", NULL, use_curl, false},  {"ftps://", NULL, use_curl, false},
    {"ssh://", NULL, use_ssh, true},    {"sftp://", NULL, use_ssh, true},
    {"s3://", NULL, use_s3, false},     {"xz:", "xz", NULL, false},
    {"gzip:", "gzip", NULL, false},
};

/* The words for a name. */
static int make_command(Command *c, const BlockNode *node, const char *name,
                        const BlockOptions *options, BlockError *error)
{
    bool writable = node->flags & BLOCK_WRITE;
    const char *whole = name;
    size_t i = 0;

    add(c, "nbdkit");
    add(c, "--single");
    while (i < COUNT(schemes)) {
        size_t length = strlen(schemes[i].scheme);
        if (strncmp(name, schemes[i].scheme, length)) {
            i++;
            continue;
        }
        writable = writable && schemes[i].writable;
        if (schemes[i].use) {
            break;
        }
        if (c->count == MOST_WORDS / 2) {
            return block_error(error, EINVAL, "'%s' is packed too often", whole);
        }
        add(c, "--filter=%s", schemes[i].filter);
        name += length;
        i = 0;
    }
    if (!writable) {
        add(c, "--readonly");
    }
    if (i < COUNT(schemes)) {
        int result = schemes[i].use(c, name, options, error);
        return result ? result : pass_password(c, options, error);
    }
    add(c, "file");
    add(c, "file=%s", name);
    return 0;
}

/* --- The process */

/* Starts nbdkit with a socket as its input and output; *log_fd is what it complains to. */
static int start(Command *c, int socket, int *log_fd, BlockError *error)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return block_error(error, errno, "cannot make a pipe: %s", strerror(errno));
    }
    /* It must not wait for us to read what it says. */
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    if (c->password_fd >= 0) {
        posix_spawn_file_actions_adddup2(&actions, c->password_fd, STDERR_FILENO + 1);
    }
    /* Signals as usual, but not those that the terminal sends to us: we end it when we are done. */
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int result = posix_spawnp(&pid, c->words[0], &actions, &attributes, c->words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (result) {
        close(ends[0]);
        return result == ENOENT
                   ? block_error(error, ENOENT, "it needs the program nbdkit (package nbdkit)")
                   : block_error(error, result, "cannot start nbdkit: %s", strerror(result));
    }
    *log_fd = ends[0];
    return pid;
}

/* What nbdkit said was wrong: its first complaint, in place of ours. */
static void take_complaint(int log_fd, BlockError *error)
{
    char text[sizeof error->text];
    ssize_t bytes = read(log_fd, text, sizeof text - 1);

    if (bytes > 0 && error) {
        text[bytes] = 0;
        text[strcspn(text, "\n")] = 0;
        char *start = strstr(text, "error: ");
        block_error(error, EIO, "%s", start ? start + strlen("error: ") : text);
    }
}

static int run(BlockNode *node, Command *c, BlockError *error)
{
    NbdNode *nbd = node->state;
    int pair[2], log_fd = -1;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return block_error(error, errno, "cannot make a socket: %s", strerror(errno));
    }
    int pid = start(c, pair[1], &log_fd, error);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return pid;
    }
    int result = block_nbd_attach(node, pair[0], &(NbdClientOptions){.export = ""}, error);
    if (result < 0) {
        waitpid(pid, NULL, 0);
        take_complaint(log_fd, error);
        close(log_fd);
        return result;
    }
    nbd->pid = pid;
    nbd->log_fd = log_fd;
    return 0;
}

static int nbdkit_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    const char *name = block_options_get(options, "url");
    Command c = {.password_fd = -1};

    if (!name) {
        return block_error(error, EINVAL, "the driver '%s' needs a 'url'", node->driver->name);
    }
    if (!*node->filename) {
        free(node->filename);
        node->filename = strdup(name);
    }
    int result = make_command(&c, node, name, options, error);
    result = result ? result : run(node, &c, error);
    if (c.password_fd >= 0) {
        close(c.password_fd);
    }
    while (c.count) {
        free(c.words[--c.count]);
    }
    return result < 0 ? block_error_prefix(error, -result, "'%s'", name) : 0;
}

static int parse_filename(const char *filename, BlockOptions *options, BlockError *error)
{
    (void)error;
    block_options_set(options, "url", filename);
    return 0;
}

#define NBDKIT_DRIVER                                                                              \
    .kind = BLOCK_PROTOCOL, .traits = BLOCK_FUA_BY_DRIVER, .state_size = sizeof(NbdNode),          \
    .parse_filename = parse_filename, .open_options = open_options, .open = nbdkit_open,           \
    .close = block_nbd_close, .reopen = block_nbd_reopen, .read = block_nbd_read,                  \
    .write = block_nbd_write, .zero = block_nbd_zero, .discard = block_nbd_discard,                \
    .flush = block_nbd_flush, .map = block_nbd_map, .truncate = block_nbd_truncate

const BlockDriver block_driver_http = {.name = "http", NBDKIT_DRIVER};
const BlockDriver block_driver_https = {.name = "https", NBDKIT_DRIVER};
const BlockDriver block_driver_ftp = {.name = "ftp", NBDKIT_DRIVER};
const BlockDriver block_driver_ftps = {.name = "ftps", NBDKIT_DRIVER};
const BlockDriver block_driver_ssh = {
    .name = "ssh", .schemes = (const char *const[]){"ssh", "sftp", NULL}, NBDKIT_DRIVER};
const BlockDriver block_driver_s3 = {.name = "s3", NBDKIT_DRIVER};
const BlockDriver block_driver_xz = {.name = "xz", NBDKIT_DRIVER};
const BlockDriver block_driver_gzip = {.name = "gzip", NBDKIT_DRIVER};
