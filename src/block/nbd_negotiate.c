/* The server's side of the negotiation ("Handshake phase" of the protocol document): options come
 * one at a time and are answered in order. Bounded: the length of an option, their number, and by
 * nbd_server.c the time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/nbd_connection.h"

enum {
    LONGEST_OPTION = 65536, /* bytes of data that are looked at; longer ones are refused */
    LONGEST_SKIPPED = 1 << 20,
    MOST_OPTIONS = 4096,
    LONGEST_QUERIES = 1024, /* how many in one option */
    BETTER_BLOCK = 4096,    /* what we advise */
    GO_ON = 1,              /* negotiation goes on; 0 is transmission, negative the end */
};

/* An option being answered. */
typedef struct Option {
    u32 option, length;
    u8 data[LONGEST_OPTION];
} Option;

static int reply(NbdConnection *c, const Option *o, u32 type, const void *data, u32 bytes)
{
    u8 head[NBD_OPTION_REPLY_HEADER];
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    be64_put(head, NBD_OPTION_REPLY_MAGIC);
    be32_put(head + 8, o->option);
    be32_put(head + 12, type);
    be32_put(head + 16, bytes);
    int result = nbd_channel_write_with(c->channel, head, sizeof head, bytes ? &vector : NULL);
    return result < 0 ? result : GO_ON;
}

static int acknowledge(NbdConnection *c, const Option *o)
{
    return reply(c, o, NBD_REP_ACK, NULL, 0);
}

static int refuse(NbdConnection *c, const Option *o, u32 type, const char *text)
{
    return reply(c, o, type, text, (u32)strlen(text));
}

/* A string of the option's data after its length: malloc()ed, with *at moved past it. NULL if it
 * is cut off, too long or no string. */
static char *take_string(const Option *o, u32 *at)
{
    if (o->length - *at < 4) {
        return NULL;
    }
    u32 length = be32_get(o->data + *at);
    *at += 4;
    if (length > NBD_LONGEST_STRING || length > o->length - *at ||
        memchr(o->data + *at, 0, length)) {
        return NULL;
    }
    char *text = strndup((const char *)o->data + *at, length);
    *at += length;
    return text;
}

u16 nbd_export_flags(const NbdServer *server, const NbdExport *export)
{
    u16 flags = NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_CACHE;

    if (export->writable) {
        flags |= NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES | NBD_SEND_FAST_ZERO;
    } else {
        flags |= NBD_READ_ONLY;
    }
    return flags | (nbd_server_is_shared(server) ? NBD_CAN_MULTI_CONN : 0);
}

/* For this connection: reads can be in pieces where replies are structured. */
static u16 flags_here(const NbdConnection *c, const NbdExport *export)
{
    return nbd_export_flags(c->server, export) |
           (c->headers == NBD_HEADERS_SIMPLE ? 0 : NBD_SEND_DF);
}

/* Contexts count for the export that they were chosen for. */
static void settle_contexts(NbdConnection *c)
{
    if (c->context_of != c->export) {
        c->contexts = 0;
    }
    nbd_export_take(c->server, NULL, &c->context_of);
}

/* --- Options */

static int export_name(NbdConnection *c, const Option *o)
{
    char *name = strndup((const char *)o->data, o->length);
    u8 data[10 + NBD_ZEROES] = {0};
    bool found = strlen(name) == o->length && nbd_export_take(c->server, name, &c->export);

    free(name);
    if (!found) {
        return -ENOENT; /* this option has no other way to say so */
    }
    be64_put(data, block_size(c->export->node));
    be16_put(data + 8, flags_here(c, c->export));
    settle_contexts(c);
    return nbd_channel_write(c->channel, data, c->no_zeroes ? 10 : sizeof data);
}

static int abandon(NbdConnection *c, const Option *o)
{
    acknowledge(c, o);
    return -ECONNRESET;
}

typedef struct Listing {
    NbdConnection *connection;
    char **names, **descriptions;
    size_t count;
} Listing;

static int note_export(NbdExport *export, void *opaque)
{
    Listing *l = opaque;
    size_t bytes = (l->count + 1) * sizeof *l->names;

    l->names = realloc(l->names, bytes);
    l->descriptions = realloc(l->descriptions, bytes);
    if (!l->names || !l->descriptions) {
        abort();
    }
    l->names[l->count] = strdup(export->name);
    l->descriptions[l->count++] = strdup(export->description ? export->description : "");
    return 0;
}

static int list(NbdConnection *c, const Option *o)
{
    u8 *data = malloc(4 + 2 * NBD_LONGEST_STRING);
    Listing l = {.connection = c};
    int result = GO_ON;

    if (o->length) {
        free(data);
        return refuse(c, o, NBD_REP_ERR_INVALID, "NBD_OPT_LIST takes no data");
    }
    nbd_export_each(c->server, note_export, &l);
    for (size_t i = 0; i < l.count; i++) {
        size_t name = strlen(l.names[i]), description = strlen(l.descriptions[i]);
        be32_put(data, (u32)name);
        memcpy(data + 4, l.names[i], name);
        memcpy(data + 4 + name, l.descriptions[i], description);
        result =
            result < 0 ? result : reply(c, o, NBD_REP_SERVER, data, (u32)(4 + name + description));
        free(l.names[i]);
        free(l.descriptions[i]);
    }
    free(l.names);
    free(l.descriptions);
    free(data);
    return result < 0 ? result : acknowledge(c, o);
}

static int start_tls(NbdConnection *c, const Option *o)
{
    const TlsCredentials *tls = nbd_server_tls(c->server);

    if (o->length || nbd_channel_is_tls(c->channel)) {
        return refuse(c, o, NBD_REP_ERR_INVALID,
                      o->length ? "NBD_OPT_STARTTLS takes no data" : "TLS is on already");
    }
    if (!tls) {
        return refuse(c, o, NBD_REP_ERR_POLICY, "this server has no TLS");
    }
    int result = acknowledge(c, o);
    if (result < 0) {
        return result;
    }
    /* What was said in the clear may have been anybody's. */
    c->headers = NBD_HEADERS_SIMPLE;
    c->contexts = 0;
    nbd_export_take(c->server, NULL, &c->context_of);
    result = nbd_channel_start_tls(c->channel, tls, NULL, NULL);
    return result < 0 ? result : GO_ON;
}

/* One NBD_REP_INFO: its type and data. */
static int inform(NbdConnection *c, const Option *o, NbdInformation type, const void *data,
                  size_t bytes)
{
    u8 *whole = malloc(2 + bytes);

    be16_put(whole, (u16)type);
    memcpy(whole + 2, data, bytes);
    int result = reply(c, o, NBD_REP_INFO, whole, (u32)(2 + bytes));
    free(whole);
    return result;
}

static int inform_all(NbdConnection *c, const Option *o, const NbdExport *export, const u8 *wanted,
                      unsigned count)
{
    u8 data[12];
    int result = GO_ON;

    for (unsigned i = 0; i < count && result >= 0; i++) {
        const char *text = be16_get(wanted + 2 * i) == NBD_INFO_NAME          ? export->name
                           : be16_get(wanted + 2 * i) == NBD_INFO_DESCRIPTION ? export->description
                                                                              : NULL;
        if (text) {
            result = inform(c, o, be16_get(wanted + 2 * i), text, strlen(text));
        }
    }
    be32_put(data, 1);
    be32_put(data + 4, BETTER_BLOCK);
    be32_put(data + 8, NBD_LARGEST_PAYLOAD);
    result = result < 0 ? result : inform(c, o, NBD_INFO_BLOCK_SIZE, data, 12);
    be64_put(data, block_size(export->node));
    be16_put(data + 8, flags_here(c, export));
    result = result < 0 ? result : inform(c, o, NBD_INFO_EXPORT, data, 10);
    return result < 0 ? result : acknowledge(c, o);
}

/* NBD_OPT_INFO and NBD_OPT_GO. */
static int information(NbdConnection *c, const Option *o)
{
    u32 at = 0;
    char *name = take_string(o, &at);
    unsigned count = name && o->length - at >= 2 ? be16_get(o->data + at) : 0;
    int result;

    if (!name || o->length - at < 2 || o->length - at - 2 != 2 * count) {
        free(name);
        return refuse(c, o, NBD_REP_ERR_INVALID, "the option's data make no sense");
    }
    if (!nbd_export_take(c->server, name, &c->export)) {
        result = refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no export of that name");
    } else {
        result = inform_all(c, o, c->export, o->data + at + 2, count);
    }
    free(name);
    if (result >= 0 && c->export && o->option == NBD_OPT_GO) {
        settle_contexts(c);
        return 0;
    }
    nbd_export_take(c->server, NULL, &c->export);
    return result;
}

static int structured_reply(NbdConnection *c, const Option *o)
{
    if (c->headers == NBD_HEADERS_EXTENDED) {
        return refuse(c, o, NBD_REP_ERR_EXT_HEADER_REQD, "headers are extended already");
    }
    if (o->length || c->headers != NBD_HEADERS_SIMPLE) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "structured replies are on, or data were sent");
    }
    c->headers = NBD_HEADERS_STRUCTURED;
    return acknowledge(c, o);
}

static int extended_headers(NbdConnection *c, const Option *o)
{
    if (o->length || c->headers == NBD_HEADERS_EXTENDED) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "extended headers are on, or data were sent");
    }
    c->headers = NBD_HEADERS_EXTENDED;
    return acknowledge(c, o);
}

/* Contexts of an export that a query means, as bits. Listing, a namespace stands for what is in it.
 */
static u64 match_contexts(const NbdExport *export, const char *query, bool listing)
{
    size_t length = strlen(query);
    bool is_prefix = listing && length && query[length - 1] == ':';
    u64 found = 0;

    for (unsigned i = 0; i < export->context_count; i++) {
        const char *name = export->contexts[i];
        if (name && (is_prefix ? !strncmp(name, query, length) : !strcmp(name, query))) {
            found |= (u64)1 << i;
        }
    }
    return found;
}

static int tell_contexts(NbdConnection *c, const Option *o, const NbdExport *export, u64 contexts)
{
    int result = GO_ON;

    for (unsigned i = 0; i < export->context_count && result >= 0; i++) {
        if (contexts >> i & 1) {
            const char *name = export->contexts[i];
            size_t length = strlen(name);
            u8 *data = malloc(4 + length);
            be32_put(data, i);
            memcpy(data + 4, name, length);
            result = reply(c, o, NBD_REP_META_CONTEXT, data, (u32)(4 + length));
            free(data);
        }
    }
    return result < 0 ? result : acknowledge(c, o);
}

/* The queries of an option, from `at` on; false if they make no sense. */
static bool take_queries(const Option *o, u32 at, const NbdExport *export, u64 *contexts)
{
    bool listing = o->option == NBD_OPT_LIST_META_CONTEXT;
    u32 count = o->length - at < 4 ? UINT32_MAX : be32_get(o->data + at);

    at += 4;
    *contexts = 0;
    if (count > LONGEST_QUERIES) {
        return false;
    }
    if (!count && listing) {
        for (unsigned i = 0; i < export->context_count; i++) {
            *contexts |= (u64)(export->contexts[i] != NULL) << i;
        }
    }
    while (count--) {
        char *query = take_string(o, &at);
        if (!query) {
            return false;
        }
        *contexts |= match_contexts(export, query, listing);
        free(query);
    }
    return at == o->length;
}

/* NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. */
static int meta_context(NbdConnection *c, const Option *o)
{
    u32 at = 0;
    u64 contexts;
    NbdExport *export = NULL;
    int result;

    c->contexts = 0;
    nbd_export_take(c->server, NULL, &c->context_of);
    char *name = take_string(o, &at);
    if (c->headers == NBD_HEADERS_SIMPLE) {
        result = refuse(c, o, NBD_REP_ERR_INVALID, "block status needs structured replies");
    } else if (!name) {
        result = refuse(c, o, NBD_REP_ERR_INVALID, "the option's data make no sense");
    } else if (!nbd_export_take(c->server, name, &c->context_of)) {
        result = refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no export of that name");
    } else if (!take_queries(o, at, c->context_of, &contexts)) {
        result = refuse(c, o, NBD_REP_ERR_INVALID, "the queries make no sense");
    } else {
        export = c->context_of;
        result = tell_contexts(c, o, export, contexts);
    }
    free(name);
    if (export && o->option == NBD_OPT_SET_META_CONTEXT) {
        c->contexts = contexts;
    } else {
        nbd_export_take(c->server, NULL, &c->context_of);
    }
    return result;
}

/* What to do for an option: GO_ON, 0 for transmission, or -errno. */
static int answer(NbdConnection *c, const Option *o)
{
    static int (*const answers[])(NbdConnection * c, const Option *o) = {
        [NBD_OPT_EXPORT_NAME] = export_name,
        [NBD_OPT_ABORT] = abandon,
        [NBD_OPT_LIST] = list,
        [NBD_OPT_STARTTLS] = start_tls,
        [NBD_OPT_INFO] = information,
        [NBD_OPT_GO] = information,
        [NBD_OPT_STRUCTURED_REPLY] = structured_reply,
        [NBD_OPT_LIST_META_CONTEXT] = meta_context,
        [NBD_OPT_SET_META_CONTEXT] = meta_context,
        [NBD_OPT_EXTENDED_HEADERS] = extended_headers,
    };
    bool needs_tls = nbd_server_tls(c->server) && !nbd_channel_is_tls(c->channel);

    if (needs_tls && o->option != NBD_OPT_STARTTLS && o->option != NBD_OPT_ABORT) {
        return o->option == NBD_OPT_EXPORT_NAME
                   ? -EPERM
                   : refuse(c, o, NBD_REP_ERR_TLS_REQD, "this server wants TLS");
    }
    if (o->option >= COUNT(answers) || !answers[o->option]) {
        return refuse(c, o, NBD_REP_ERR_UNSUP, "this server does not know the option");
    }
    return answers[o->option](c, o);
}

static int read_option(NbdConnection *c, Option *o)
{
    u8 head[NBD_OPTION_HEADER];
    int result = nbd_channel_read(c->channel, head, sizeof head);

    if (result < 0) {
        return result;
    }
    o->option = be32_get(head + 8);
    o->length = be32_get(head + 12);
    if (be64_get(head) != NBD_OPTION_MAGIC || o->length > LONGEST_SKIPPED) {
        return -EPROTO;
    }
    if (o->length > LONGEST_OPTION) {
        result = nbd_channel_skip(c->channel, o->length);
        return result < 0 ? result : refuse(c, o, NBD_REP_ERR_TOO_BIG, "the option is too long");
    }
    return nbd_channel_read(c->channel, o->data, o->length);
}

static int greet(NbdConnection *c)
{
    u8 hello[18], flags[4];

    be64_put(hello, NBD_MAGIC);
    be64_put(hello + 8, NBD_OPTION_MAGIC);
    be16_put(hello + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    int result = nbd_channel_write(c->channel, hello, sizeof hello);
    result = result ? result : nbd_channel_read(c->channel, flags, sizeof flags);
    u32 wanted = result ? 0 : be32_get(flags);
    c->no_zeroes = wanted & NBD_NO_ZEROES;
    return wanted & ~(u32)(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES) ? -EPROTO : result;
}

int nbd_negotiate(NbdConnection *c)
{
    Option *option = malloc(sizeof *option);
    int result = greet(c) < 0 ? -EPROTO : GO_ON;

    for (unsigned i = 0; result == GO_ON && i < MOST_OPTIONS; i++) {
        result = read_option(c, option);
        if (result == 0) {
            result = answer(c, option);
        }
    }
    free(option);
    return result == GO_ON ? -EPROTO : result;
}
