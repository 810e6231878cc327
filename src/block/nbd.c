/* Protocol "nbd": an export of an NBD server as a node.
 *
 * Named by URI (nbd://host:port/export, nbd+unix:///export?socket=PATH, nbds:... for TLS), by the
 * old nbd:host:port:exportname=NAME and nbd:unix:PATH:exportname=NAME, or by options as qemu has
 * them (server.type=inet,server.host=...). */
#include "block/nbd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/drivers.h"
#include "block/nbd_socket.h"
#include "block/tls.h"

enum { SECTOR = 512 };

static const BlockOption open_options[] = {
    {"host", BLOCK_OPTION_STRING, "name or address of the server"},
    {"port", BLOCK_OPTION_STRING, "its port", NBD_PORT},
    {"path", BLOCK_OPTION_STRING, "its unix socket, in place of host and port"},
    {"export", BLOCK_OPTION_STRING, "name of the export", ""},
    {"server.type", BLOCK_OPTION_STRING, "inet, unix or fd"},
    {"server.host", BLOCK_OPTION_STRING, "name or address of the server"},
    {"server.port", BLOCK_OPTION_STRING, "its port"},
    {"server.path", BLOCK_OPTION_STRING, "its unix socket"},
    {"server.str", BLOCK_OPTION_NUMBER, "number of a connected descriptor"},
    {"tls-creds", BLOCK_OPTION_STRING, "id of an object with TLS credentials"},
    {"tls-hostname", BLOCK_OPTION_STRING, "whom the server's certificate must name"},
    {"tls", BLOCK_OPTION_BOOL, "use TLS, with credentials of these:", "off"},
    {"tls-certificates", BLOCK_OPTION_STRING,
     "directory of certificates; the system's authorities"},
    {"tls-psk-file", BLOCK_OPTION_STRING, "shared keys, in place of certificates"},
    {"tls-username", BLOCK_OPTION_STRING, "whose key"},
    {"tls-verify-peer", BLOCK_OPTION_BOOL, "check the server's certificate", "on"},
    {"x-dirty-bitmap", BLOCK_OPTION_STRING, "a context to show in place of allocation"},
    {"open-timeout", BLOCK_OPTION_NUMBER, "seconds to go on trying to connect", "0"},
    {"reconnect-delay", BLOCK_OPTION_NUMBER,
     "seconds that requests wait when the connection broke, for it to be made again", "0"},
    {NULL},
};

static const char *const schemes[] = {"nbd",      "nbds",      "nbd+tcp", "nbds+tcp",
                                      "nbd+unix", "nbds+unix", NULL};

/* --- Names */

bool block_percent_decode(char *text)
{
    char *to = text;

    for (; *text; text++) {
        unsigned value;
        if (*text != '%') {
            *to++ = *text;
        } else if (isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2]) &&
                   sscanf(text + 1, "%2x", &value) == 1 && value) {
            *to++ = (char)value;
            text += 2;
        } else {
            return false;
        }
    }
    *to = 0;
    return true;
}

/* "name=value&..." after the question mark; modifies the text. */
static int take_query(char *query, bool is_unix, BlockOptions *options, BlockError *error)
{
    static const struct {
        const char *name, *option;
    } parameters[] = {
        {"socket", "path"},
        {"tls-certificates", "tls-certificates"},
        {"tls-psk-file", "tls-psk-file"},
        {"tls-username", "tls-username"},
        {"tls-hostname", "tls-hostname"},
        {"tls-verify-peer", "tls-verify-peer"},
    };

    for (char *word; (word = strsep(&query, "&"));) {
        char *value = strchr(word, '=');
        size_t i = 0;
        if (value) {
            *value++ = 0;
        }
        while (i < COUNT(parameters) && strcmp(parameters[i].name, word)) {
            i++;
        }
        if (i == COUNT(parameters) || !value || !block_percent_decode(value) ||
            (i == 0 && !is_unix)) {
            return block_error(error, EINVAL, "cannot understand '%s' in the NBD URI", word);
        }
        if (!strcmp(word, "tls-verify-peer")) {
            value = !strcmp(value, "0") ? "off" : !strcmp(value, "1") ? "on" : value;
        }
        block_options_set(options, parameters[i].option, value);
    }
    return 0;
}

/* "[user@]host[:port]", a host that is an IPv6 address in brackets; modifies the text. */
static int take_authority(char *text, BlockOptions *options, BlockError *error)
{
    char *at = strchr(text, '@');
    char *host = at ? at + 1 : text;
    char *port;

    if (at) {
        *at = 0;
        block_options_set(options, "tls-username", text);
    }
    if (*host == '[') {
        host++;
        char *end = strchr(host, ']');
        if (!end || (end[1] && end[1] != ':')) {
            return block_error(error, EINVAL, "the host in the NBD URI lacks its ']'");
        }
        *end = 0;
        port = end[1] ? end + 2 : NULL;
    } else {
        port = strchr(host, ':');
        if (port) {
            *port++ = 0;
        }
    }
    block_options_set(options, "host", *host ? host : "localhost");
    if (port && *port) {
        block_options_set(options, "port", port);
    }
    return 0;
}

/* What follows the "//" of a URI; modifies the text. */
static int take_uri(char *text, bool is_unix, BlockOptions *options, BlockError *error)
{
    char *query = strchr(text, '?');
    int result = 0;

    if (query) {
        *query++ = 0;
        result = take_query(query, is_unix, options, error);
    }
    char *path = strchr(text, '/');
    if (path) {
        *path++ = 0;
    }
    if (!result && is_unix && (*text || !block_options_get(options, "path"))) {
        return block_error(error, EINVAL,
                           "NBD over a unix socket is nbd+unix:///EXPORT?socket=PATH");
    }
    result = result || is_unix ? result : take_authority(text, options, error);
    if (!result && path && !block_percent_decode(path)) {
        result = block_error(error, EINVAL, "cannot understand the export's name in the NBD URI");
    }
    if (!result && path && *path) {
        block_options_set(options, "export", path);
    }
    return result;
}

/* What follows "nbd:" in the old form; modifies the text. */
static int take_old(char *text, BlockOptions *options, BlockError *error)
{
    static const char mark[] = ":exportname=";
    char *export = strstr(text, mark);
    char *port;

    if (export) {
        *export = 0;
        block_options_set(options, "export", export + strlen(mark));
    }
    if (!strncmp(text, "unix:", 5)) {
        block_options_set(options, "path", text + 5);
        return 0;
    }
    port = strrchr(text, ':');
    if (!port || port == text || !port[1]) {
        return block_error(error, EINVAL,
                           "an NBD server is nbd://HOST:PORT/EXPORT, nbd:HOST:PORT or "
                           "nbd:unix:PATH");
    }
    *port++ = 0;
    block_options_set(options, "port", port);
    if (*text == '[' && text[strlen(text) - 1] == ']') {
        text[strlen(text) - 1] = 0;
        text++;
    }
    block_options_set(options, "host", text);
    return 0;
}

static int parse_filename(const char *filename, BlockOptions *options, BlockError *error)
{
    char *copy = strdup(filename);
    char *rest = strchr(copy, ':') + 1;
    bool is_unix = strstr(copy, "+unix:"), is_tls = !strncmp(copy, "nbds", 4);
    int result;

    if (!strncmp(rest, "//", 2)) {
        result = take_uri(rest + 2, is_unix, options, error);
    } else if (!strncmp(copy, "nbd:", 4)) {
        result = take_old(rest, options, error);
    } else {
        result = block_error(error, EINVAL, "the NBD URI '%s' lacks its '//'", filename);
    }
    if (is_tls && !block_options_get(options, "tls-creds")) {
        block_options_set(options, "tls", "on");
    }
    free(copy);
    return result;
}

/* --- Opening */

/* Credentials: of an object, or made of the options. */
static int choose_tls(NbdNode *nbd, const BlockOptions *options, NbdClientOptions *client,
                      BlockError *error)
{
    const char *id = block_options_get(options, "tls-creds");

    if (id) {
        client->tls = tls_credentials_find(block_options_objects(options), id, false, error);
        return client->tls ? 0 : -EINVAL;
    }
    if (!block_option_bool(options, open_options, "tls")) {
        return 0;
    }
    TlsOptions tls = {
        .directory = block_options_get(options, "tls-certificates"),
        .file = block_options_get(options, "tls-psk-file"),
        .username = block_options_get(options, "tls-username"),
        .verify_peer = block_option_bool(options, open_options, "tls-verify-peer"),
    };
    tls.kind = tls.file ? TLS_PSK : TLS_X509;
    nbd->own_tls = nbd->own_tls ? nbd->own_tls : tls_credentials_new(&tls, error);
    client->tls = nbd->own_tls;
    return nbd->own_tls ? 0 : -EINVAL;
}

/* A connected socket. *address is filled in, for messages and certificates. */
static int connect_server(const BlockOptions *options, NbdAddress *address, BlockError *error)
{
    const char *type = block_options_get(options, "server.type");
    const char *prefix = type ? "server." : "";
    char key[32];

    if (type && !strcmp(type, "fd")) {
        int fd = (int)block_option_number(options, open_options, "server.str");
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return fd >= 0 ? fd
                       : block_error(error, errno, "server.str is no open descriptor: %s",
                                     strerror(errno));
    }
    if (type && strcmp(type, "inet") && strcmp(type, "unix")) {
        return block_error(error, EINVAL, "server.type is 'inet', 'unix' or 'fd', not '%s'", type);
    }
    snprintf(key, sizeof key, "%spath", prefix);
    address->path = block_options_get(options, key);
    snprintf(key, sizeof key, "%shost", prefix);
    address->host = block_options_get(options, key);
    snprintf(key, sizeof key, "%sport", prefix);
    address->port = block_options_get(options, key);
    address->retry_seconds = (unsigned)block_option_number(options, open_options, "open-timeout");
    if (!address->path == !address->host) {
        return block_error(error, EINVAL, "the nbd driver needs either a host or a path");
    }
    return nbd_socket_connect(address, error);
}

static void name_node(BlockNode *node, const NbdAddress *address, const char *export)
{
    int result;

    if (*node->filename) {
        return;
    }
    free(node->filename);
    if (address->path) {
        result = asprintf(&node->filename, "nbd+unix:///%s?socket=%s", export, address->path);
    } else {
        result = asprintf(&node->filename, "nbd://%s:%s/%s", address->host ? address->host : "",
                          address->port ? address->port : NBD_PORT, export);
    }
    if (result < 0) {
        abort();
    }
}

int block_nbd_attach(BlockNode *node, int fd, const NbdClientOptions *options, BlockError *error)
{
    NbdNode *nbd = node->state;
    NbdClient *client = nbd_client_new(fd, options, error);

    if (!client) {
        return -EIO;
    }
    const NbdExportInfo *export = nbd_client_export(client);
    if ((export->flags & NBD_READ_ONLY) && (node->flags & BLOCK_WRITE)) {
        nbd_client_free(client);
        return block_error(error, EACCES, "the NBD server lets it be read only");
    }
    u64 unit = export->min_block;
    node->alignment = node->zero_alignment = export->min_block;
    node->size = unit == 1 ? ALIGN_UP(export->size, (u64)SECTOR) : ALIGN_DOWN(export->size, unit);
    nbd->other_context = options->context;
    nbd->size = export->size;
    nbd->flags = export->flags;
    nbd_link_init(&nbd->link, client);
    return 0;
}

/* A connected socket, and how to shake hands over it. */
static int prepare(NbdNode *nbd, const BlockOptions *options, NbdAddress *address,
                   NbdClientOptions *client, BlockError *error)
{
    *client = (NbdClientOptions){
        .export = block_option_string(options, open_options, "export"),
        .context = block_options_get(options, "x-dirty-bitmap"),
        .hostname = block_options_get(options, "tls-hostname"),
    };
    int result = choose_tls(nbd, options, client, error);
    int fd = result ? result : connect_server(options, address, error);

    client->hostname = client->hostname ? client->hostname : address->host;
    return fd;
}

/* Another connection like the node's first. */
static NbdClient *connect_again(void *opaque)
{
    BlockNode *node = opaque;
    NbdNode *nbd = node->state;
    NbdAddress address = {.limit_seconds = MAX(nbd->link.seconds, 1u)};
    NbdClientOptions options;
    int fd = prepare(nbd, nbd->options, &address, &options, NULL);
    NbdClient *client = fd < 0 ? NULL : nbd_client_new(fd, &options, NULL);
    const NbdExportInfo *export = client ? nbd_client_export(client) : NULL;

    if (export && (export->size != nbd->size || export->flags != nbd->flags ||
                   export->min_block > node->alignment)) {
        nbd_client_free(client); /* it became something else */
        client = NULL;
    }
    return client;
}

/* What connecting again needs, if the address lasts. */
static void keep_options(BlockNode *node, const BlockOptions *options)
{
    NbdNode *nbd = node->state;
    const char *type = block_options_get(options, "server.type");

    if (type && !strcmp(type, "fd")) {
        return;
    }
    nbd->options = block_options_copy(options);
    block_options_set(nbd->options, "open-timeout", NULL);
    nbd->link.seconds = (u32)block_option_number(options, open_options, "reconnect-delay");
    nbd->link.connect = connect_again;
    nbd->link.opaque = node;
}

static int nbd_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    NbdNode *nbd = node->state;
    NbdAddress address = {NULL};
    NbdClientOptions client;
    int fd = prepare(nbd, options, &address, &client, error), result = fd;

    if (fd >= 0) {
        name_node(node, &address, client.export);
        result = block_nbd_attach(node, fd, &client, error);
        if (result < 0) {
            block_error_prefix(error, -result, "'%s'", node->filename);
        } else {
            keep_options(node, options);
        }
    }
    if (result < 0) {
        tls_credentials_free(nbd->own_tls);
    }
    return result;
}

int block_nbd_close(BlockNode *node)
{
    NbdNode *nbd = node->state;

    nbd_link_destroy(&nbd->link);
    block_options_free(nbd->options);
    tls_credentials_free(nbd->own_tls);
    if (nbd->pid) {
        waitpid(nbd->pid, NULL, 0);
        close(nbd->log_fd);
    }
    return 0;
}

int block_nbd_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    NbdNode *nbd = node->state;

    return (nbd->flags & NBD_READ_ONLY) && (flags & BLOCK_WRITE)
               ? block_error(error, EACCES, "'%s' can only be read, the NBD server says",
                             node->filename)
               : 0;
}

/* --- Requests. Where the export ends inside a sector, the rest of that reads as zeroes. */

/* How much of a range the export has. */
static u64 inside(const BlockNode *node, u64 offset, u64 bytes)
{
    const NbdNode *nbd = node->state;

    return offset < nbd->size ? MIN(bytes, nbd->size - offset) : 0;
}

/* Does a request, an expression with `client`; again when the connection broke and is there again.
 */
#define WITH_CLIENT(nbd, request)                                                                  \
    ({                                                                                             \
        NbdClient *client;                                                                         \
        int outcome_;                                                                              \
        do {                                                                                       \
            client = nbd_link_enter(&(nbd)->link);                                                 \
            outcome_ = client ? (request) : -EIO;                                                  \
        } while (nbd_link_leave(&(nbd)->link, client));                                            \
        outcome_;                                                                                  \
    })

int block_nbd_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    NbdNode *nbd = node->state;
    size_t bytes = inside(node, offset, data->bytes);
    BlockVector there = block_vector_part(data, 0, bytes);

    if (bytes < data->bytes) {
        BlockVector rest = block_vector_part(data, bytes, data->bytes - bytes);
        block_vector_clear(&rest);
    }
    return WITH_CLIENT(nbd, nbd_client_read(client, offset, &there));
}

int block_nbd_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    NbdNode *nbd = node->state;
    size_t bytes = inside(node, offset, data->bytes);
    BlockVector there = block_vector_part(data, 0, bytes);

    if (bytes < data->bytes) {
        BlockVector rest = block_vector_part(data, bytes, data->bytes - bytes);
        if (!block_vector_is_zero(&rest)) {
            return -ENOSPC;
        }
    }
    return WITH_CLIENT(nbd, nbd_client_write(client, offset, &there, flags));
}

int block_nbd_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    NbdNode *nbd = node->state;

    return WITH_CLIENT(nbd, nbd_client_zero(client, offset, inside(node, offset, bytes), flags));
}

int block_nbd_discard(BlockNode *node, u64 offset, u64 bytes)
{
    NbdNode *nbd = node->state;
    u64 unit = node->alignment;
    u64 start = ALIGN_UP(offset, unit);
    u64 end = ALIGN_DOWN(offset + inside(node, offset, bytes), unit);

    return start < end ? WITH_CLIENT(nbd, nbd_client_trim(client, start, end - start)) : 0;
}

int block_nbd_flush(BlockNode *node)
{
    NbdNode *nbd = node->state;

    return node->flags & BLOCK_NO_FLUSH ? 0 : WITH_CLIENT(nbd, nbd_client_flush(client));
}

int block_nbd_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    NbdNode *nbd = node->state;
    u64 start = ALIGN_DOWN(offset, (u64)node->alignment), length;
    u64 end = ALIGN_UP(offset + inside(node, offset, bytes), (u64)node->alignment);
    u32 status;

    *extent = (BlockExtent){.flags = BLOCK_ALLOCATED | BLOCK_DATA | BLOCK_OFFSET,
                            .bytes = bytes,
                            .offset = offset,
                            .file = node};
    if (start == end) {
        extent->flags = BLOCK_ALLOCATED | BLOCK_ZERO;
        return 0;
    }
    int result = WITH_CLIENT(nbd, nbd_client_status(client, start, end - start, &status, &length));
    if (result == -ENOTSUP) {
        return 0; /* all is data */
    }
    if (result < 0 || start + length <= offset) {
        return result < 0 ? result : -EIO;
    }
    extent->bytes = MIN(bytes, start + length - offset);
    if ((status & NBD_STATE_HOLE) && ((status & NBD_STATE_ZERO) || nbd->other_context)) {
        extent->flags &= ~(unsigned)BLOCK_DATA;
    }
    if ((status & NBD_STATE_ZERO) && !nbd->other_context) {
        extent->flags |= BLOCK_ZERO;
    }
    return 0;
}

int block_nbd_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    (void)mode;
    return size <= block_size(node)
               ? 0
               : block_error(error, ENOTSUP, "'%s' cannot grow: the NBD server decides its size",
                             node->filename);
}

const BlockDriver block_driver_nbd = {
    .name = "nbd",
    .kind = BLOCK_PROTOCOL,
    .traits = BLOCK_FUA_BY_DRIVER,
    .state_size = sizeof(NbdNode),
    .schemes = schemes,
    .parse_filename = parse_filename,
    .open_options = open_options,
    .open = nbd_open,
    .close = block_nbd_close,
    .reopen = block_nbd_reopen,
    .read = block_nbd_read,
    .write = block_nbd_write,
    .zero = block_nbd_zero,
    .discard = block_nbd_discard,
    .flush = block_nbd_flush,
    .map = block_nbd_map,
    .truncate = block_nbd_truncate,
};
