/* The client's side of the negotiation: fixed newstyle, TLS, how replies look, which block status,
 * and the export ("Handshake phase" of the protocol document). A server that knows fewer options
 * gets by with fewer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/nbd_client.h"

enum {
    LONGEST_REPLY = 2 * NBD_LONGEST_STRING + 64, /* bytes of data of an option's reply */
    MOST_REPLIES = 10000,                        /* to one option */
};

typedef struct Handshake {
    NbdChannel *channel;
    const NbdClientOptions *options;
    BlockError *error;
    bool is_fixed, no_zeroes;
} Handshake;

/* A reply to an option. */
typedef struct Reply {
    u32 type, length;
    u8 data[LONGEST_REPLY + 1]; /* a zero byte follows */
} Reply;

static int broken(Handshake *h, int result)
{
    return block_error(h->error, EIO, "the connection to the NBD server broke: %s",
                       strerror(-result));
}

static int nonsense(Handshake *h, const char *what)
{
    return block_error(h->error, EPROTO, "the NBD server breaks the protocol: %s", what);
}

static int send_option(Handshake *h, NbdOption option, const void *data, u32 bytes)
{
    u8 head[NBD_OPTION_HEADER];
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    be64_put(head, NBD_OPTION_MAGIC);
    be32_put(head + 8, option);
    be32_put(head + 12, bytes);
    int result = nbd_channel_write_with(h->channel, head, sizeof head, bytes ? &vector : NULL);
    return result ? broken(h, result) : 0;
}

static int read_reply(Handshake *h, NbdOption option, Reply *reply)
{
    u8 head[NBD_OPTION_REPLY_HEADER];
    int result = nbd_channel_read(h->channel, head, sizeof head);

    if (result) {
        return broken(h, result);
    }
    reply->type = be32_get(head + 12);
    reply->length = be32_get(head + 16);
    if (be64_get(head) != NBD_OPTION_REPLY_MAGIC || be32_get(head + 8) != option) {
        return nonsense(h, "not a reply to the option");
    }
    if (reply->length > LONGEST_REPLY) {
        return nonsense(h, "an option's reply is too long");
    }
    result = nbd_channel_read(h->channel, reply->data, reply->length);
    reply->data[reply->length] = 0;
    return result ? broken(h, result) : 0;
}

/* Is the option merely not known, or not wanted, so that one can do without? */
static bool is_declined(const Reply *reply)
{
    return reply->type == NBD_REP_ERR_UNSUP || reply->type == NBD_REP_ERR_POLICY ||
           reply->type == NBD_REP_ERR_INVALID || reply->type == NBD_REP_ERR_PLATFORM ||
           reply->type == NBD_REP_ERR_EXT_HEADER_REQD;
}

/* The server refuses: in its words, or in ours. */
static int refused(Handshake *h, const Reply *reply)
{
    static const struct {
        u32 type;
        int code;
        const char *text;
    } reasons[] = {
        {NBD_REP_ERR_TLS_REQD, EPERM,
         "the NBD server wants TLS; use nbds:// or the option tls-creds"},
        {NBD_REP_ERR_UNKNOWN, ENOENT, "the NBD server has no export of that name"},
        {NBD_REP_ERR_POLICY, EPERM, "the NBD server does not allow it"},
        {NBD_REP_ERR_SHUTDOWN, ESHUTDOWN, "the NBD server is shutting down"},
        {NBD_REP_ERR_BLOCK_SIZE_REQD, EINVAL, "the NBD server wants other block sizes"},
        {NBD_REP_ERR_UNSUP, ENOTSUP, "the NBD server does not know how to do it"},
    };
    const char *export = h->options->export ? h->options->export : "";

    for (size_t i = 0; i < COUNT(reasons); i++) {
        if (reasons[i].type == reply->type) {
            const char *text = (const char *)reply->data;
            return block_error(h->error, reasons[i].code, "export '%s': %s%s%s%s", export,
                               reasons[i].text, *text ? " (" : "", text, *text ? ")" : "");
        }
    }
    return block_error(h->error, EIO, "export '%s': the NBD server refuses with error %u", export,
                       reply->type & ~NBD_REP_ERROR);
}

/* An option that is answered by yes or no; *accepted only if the server agrees. */
static int ask(Handshake *h, NbdOption option, bool *accepted)
{
    Reply *reply = malloc(sizeof *reply);
    int result = send_option(h, option, NULL, 0);

    *accepted = false;
    result = result ? result : read_reply(h, option, reply);
    if (!result && reply->type == NBD_REP_ACK) {
        *accepted = true;
    } else if (!result && !is_declined(reply)) {
        result = refused(h, reply);
    }
    free(reply);
    return result;
}

static int begin(Handshake *h)
{
    u8 hello[18], flags[4];
    int result = nbd_channel_read(h->channel, hello, sizeof hello);

    if (result) {
        return broken(h, result);
    }
    if (be64_get(hello) != NBD_MAGIC) {
        return nonsense(h, "it is not an NBD server");
    }
    if (be64_get(hello + 8) == NBD_OLDSTYLE_MAGIC) {
        return block_error(h->error, ENOTSUP, "the NBD server knows the old protocol only");
    }
    if (be64_get(hello + 8) != NBD_OPTION_MAGIC) {
        return nonsense(h, "it is not an NBD server");
    }
    h->is_fixed = be16_get(hello + 16) & NBD_FIXED_NEWSTYLE;
    h->no_zeroes = be16_get(hello + 16) & NBD_NO_ZEROES;
    be32_put(flags, (h->is_fixed ? NBD_FIXED_NEWSTYLE : 0u) | (h->no_zeroes ? NBD_NO_ZEROES : 0u));
    result = nbd_channel_write(h->channel, flags, sizeof flags);
    return result ? broken(h, result) : 0;
}

static int start_tls(Handshake *h)
{
    bool accepted = false;

    if (!h->options->tls) {
        return 0;
    }
    int result = h->is_fixed ? ask(h, NBD_OPT_STARTTLS, &accepted) : 0;
    if (!result && !accepted) {
        return block_error(h->error, ENOTSUP, "the NBD server offers no TLS");
    }
    return result
               ? result
               : nbd_channel_start_tls(h->channel, h->options->tls, h->options->hostname, h->error);
}

static int choose_headers(Handshake *h, NbdHeaders *headers)
{
    bool accepted;
    int result = ask(h, NBD_OPT_EXTENDED_HEADERS, &accepted);

    *headers = accepted ? NBD_HEADERS_EXTENDED : NBD_HEADERS_SIMPLE;
    if (!result && !accepted) {
        result = ask(h, NBD_OPT_STRUCTURED_REPLY, &accepted);
        *headers = accepted ? NBD_HEADERS_STRUCTURED : NBD_HEADERS_SIMPLE;
    }
    return result;
}

/* Puts a length and the bytes; returns what follows. */
static u8 *put_string(u8 *to, const char *text)
{
    size_t length = strlen(text);

    be32_put(to, (u32)length);
    memcpy(to + 4, text, length);
    return to + 4 + length;
}

/* The data of NBD_OPT_SET_META_CONTEXT and _LIST_: a query, or none for NULL. */
static int send_context_option(Handshake *h, NbdOption option, const char *export,
                               const char *query)
{
    u8 *data = malloc(strlen(export) + (query ? strlen(query) : 0) + 12);
    u8 *end = put_string(data, export);

    be32_put(end, query != NULL);
    end = query ? put_string(end + 4, query) : end + 4;
    int result = send_option(h, option, data, (u32)(end - data));
    free(data);
    return result;
}

/* Chooses what block status will tell. */
static int set_context(Handshake *h, NbdExportInfo *export)
{
    const char *query = h->options->context ? h->options->context : NBD_CONTEXT_ALLOCATION;
    Reply *reply = malloc(sizeof *reply);
    int result = send_context_option(h, NBD_OPT_SET_META_CONTEXT, export->name, query);

    for (unsigned i = 0; !result; i++) {
        result = read_reply(h, NBD_OPT_SET_META_CONTEXT, reply);
        if (result || reply->type == NBD_REP_ACK || (reply->type & NBD_REP_ERROR)) {
            break; /* an error: without; a missing export is told of by what follows */
        }
        if (reply->type != NBD_REP_META_CONTEXT || reply->length < 4 || i == MOST_REPLIES) {
            result = nonsense(h, "a reply about block status");
        } else if (!strcmp((char *)reply->data + 4, query)) {
            export->has_context = true;
            export->context_id = be32_get(reply->data);
        }
    }
    free(reply);
    if (!result && h->options->context && !export->has_context) {
        result = block_error(h->error, ENOTSUP, "the NBD server offers no '%s' of export '%s'",
                             query, export->name);
    }
    return result;
}

/* One piece of information about an export. */
static int take_information(Handshake *h, const Reply *reply, NbdExportInfo *export)
{
    const u8 *data = reply->data + 2;
    u32 bytes = reply->length - 2;

    if (reply->type != NBD_REP_INFO || reply->length < 2) {
        return nonsense(h, "a reply about the export");
    }
    switch (be16_get(reply->data)) {
    case NBD_INFO_EXPORT:
        if (bytes != 10) {
            return nonsense(h, "information about the export");
        }
        export->size = be64_get(data);
        export->flags = be16_get(data + 8);
        break;
    case NBD_INFO_BLOCK_SIZE:
        if (bytes != 12) {
            return nonsense(h, "information about block sizes");
        }
        export->min_block = be32_get(data);
        export->block = be32_get(data + 4);
        export->max_payload = be32_get(data + 8);
        if (!export->min_block || (export->min_block & (export->min_block - 1)) ||
            export->min_block > BLOCK_MAX_ALIGNMENT || export->max_payload < export->min_block) {
            return nonsense(h, "impossible block sizes");
        }
        break;
    case NBD_INFO_DESCRIPTION:
        free(export->description);
        export->description = strdup((const char *)data);
        break;
    default:
        break; /* more than we asked for is allowed */
    }
    return 0;
}

/* NBD_OPT_GO or _INFO. *known is false if the server does not know the option. */
static int ask_for_export(Handshake *h, NbdOption option, NbdExportInfo *export, bool *known)
{
    static const u16 wanted[] = {NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE};
    u8 *data = malloc(strlen(export->name) + 6 + sizeof wanted);
    u8 *end = put_string(data, export->name);
    Reply *reply = malloc(sizeof *reply);

    be16_put(end, COUNT(wanted));
    for (size_t i = 0; i < COUNT(wanted); i++) {
        be16_put(end + 2 + 2 * i, wanted[i]);
    }
    int result = send_option(h, option, data, (u32)(end + 2 + sizeof wanted - data));
    *known = true;
    for (unsigned i = 0; !result; i++) {
        result = read_reply(h, option, reply);
        if (result || reply->type == NBD_REP_ACK) {
            break;
        }
        if (reply->type == NBD_REP_ERR_UNSUP) {
            *known = false;
            break;
        }
        result = reply->type & NBD_REP_ERROR ? refused(h, reply)
                 : i == MOST_REPLIES         ? nonsense(h, "endless information")
                                             : take_information(h, reply, export);
    }
    free(data);
    free(reply);
    return result;
}

/* NBD_OPT_EXPORT_NAME: to servers that know nothing better. No error comes back. */
static int demand_export(Handshake *h, NbdExportInfo *export)
{
    u8 data[10];
    int result = send_option(h, NBD_OPT_EXPORT_NAME, export->name, (u32)strlen(export->name));

    result = result ? result : nbd_channel_read(h->channel, data, sizeof data);
    result = result || h->no_zeroes ? result : nbd_channel_skip(h->channel, NBD_ZEROES);
    if (result) {
        return block_error(h->error, EIO,
                           "the NBD server hung up when asked for export '%s'; it may have none "
                           "of that name",
                           export->name);
    }
    export->size = be64_get(data);
    export->flags = be16_get(data + 8);
    return 0;
}

static void export_init(NbdExportInfo *export, const char *name)
{
    *export = (NbdExportInfo){
        .min_block = 1,
        .block = 4096,
        .max_payload = NBD_LARGEST_PAYLOAD,
        .name = strdup(name),
    };
}

int nbd_handshake(NbdChannel *channel, const NbdClientOptions *options, NbdExportInfo *export,
                  BlockError *error)
{
    Handshake h = {.channel = channel, .options = options, .error = error};
    bool known = false;

    export_init(export, options->export ? options->export : "");
    if (strlen(export->name) > NBD_LONGEST_STRING) {
        return block_error(error, EINVAL, "the name of the export is too long");
    }
    int result = begin(&h);
    result = result ? result : start_tls(&h);
    if (!result && h.is_fixed) {
        result = choose_headers(&h, &export->headers);
        if (!result && export->headers != NBD_HEADERS_SIMPLE) {
            result = set_context(&h, export);
        }
        result = result ? result : ask_for_export(&h, NBD_OPT_GO, export, &known);
    }
    if (!result && !known) {
        result = demand_export(&h, export);
    }
    if (!result && export->size > INT64_MAX) {
        result = nonsense(&h, "the export is too large");
    }
    return result;
}

/* --- What there is */

static int add_name(Handshake *h, const Reply *reply, NbdExportInfo **list, size_t *count)
{
    u32 length = reply->length < 4 ? UINT32_MAX : be32_get(reply->data);
    char *name;

    if (reply->type != NBD_REP_SERVER || length > reply->length - 4 || *count == MOST_REPLIES) {
        return nonsense(h, "the list of exports");
    }
    *list = reallocarray(*list, *count + 1, sizeof **list);
    name = strndup((const char *)reply->data + 4, length);
    if (!*list || !name) {
        abort();
    }
    export_init(&(*list)[*count], name);
    (*list)[(*count)++].description =
        length + 4 < reply->length ? strdup((const char *)reply->data + 4 + length) : NULL;
    free(name);
    return 0;
}

static int list_names(Handshake *h, NbdExportInfo **list, size_t *count)
{
    Reply *reply = malloc(sizeof *reply);
    int result = send_option(h, NBD_OPT_LIST, NULL, 0);

    while (!result) {
        result = read_reply(h, NBD_OPT_LIST, reply);
        if (result || reply->type == NBD_REP_ACK) {
            break;
        }
        result = reply->type & NBD_REP_ERROR ? refused(h, reply) : add_name(h, reply, list, count);
    }
    free(reply);
    return result;
}

static int list_contexts(Handshake *h, NbdExportInfo *export)
{
    Reply *reply = malloc(sizeof *reply);
    int result = send_context_option(h, NBD_OPT_LIST_META_CONTEXT, export->name, NULL);

    export->contexts = calloc(1, sizeof *export->contexts);
    for (size_t count = 0; !result; count++) {
        result = read_reply(h, NBD_OPT_LIST_META_CONTEXT, reply);
        if (result || reply->type != NBD_REP_META_CONTEXT) {
            break; /* the end, or an error: there are no more */
        }
        if (reply->length < 4 || count == MOST_REPLIES) {
            result = nonsense(h, "the list of block status");
            break;
        }
        export->contexts = reallocarray(export->contexts, count + 2, sizeof *export->contexts);
        export->contexts[count] = strdup((const char *)reply->data + 4);
        export->contexts[count + 1] = NULL;
    }
    free(reply);
    return result;
}

static int list_all(Handshake *h, NbdExportInfo **list, size_t *count)
{
    NbdHeaders headers = NBD_HEADERS_SIMPLE;
    bool known = true;
    int result = begin(h);

    if (!result && !h->is_fixed) {
        result = block_error(h->error, ENOTSUP, "the NBD server cannot list its exports");
    }
    result = result ? result : start_tls(h);
    result = result ? result : choose_headers(h, &headers);
    result = result ? result : list_names(h, list, count);
    for (size_t i = 0; !result && known && i < *count; i++) {
        (*list)[i].headers = headers;
        result = ask_for_export(h, NBD_OPT_INFO, &(*list)[i], &known);
        if (!result && known && headers != NBD_HEADERS_SIMPLE) {
            result = list_contexts(h, &(*list)[i]);
        }
    }
    if (!result) {
        send_option(h, NBD_OPT_ABORT, NULL, 0);
    }
    return result;
}

int nbd_client_list(int fd, const NbdClientOptions *options, NbdExportInfo **list, size_t *count,
                    BlockError *error)
{
    Handshake h = {.channel = nbd_channel_new(fd), .options = options, .error = error};

    *list = NULL;
    *count = 0;
    int result = list_all(&h, list, count);
    nbd_channel_free(h.channel);
    if (result < 0) {
        nbd_export_list_free(*list, *count);
    }
    return result;
}

void nbd_export_list_free(NbdExportInfo *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (char **context = list[i].contexts; context && *context; context++) {
            free(*context);
        }
        free(list[i].contexts);
        free(list[i].name);
        free(list[i].description);
    }
    free(list);
}
