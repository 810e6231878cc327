/* The client's side of an NBD connection: the handshake, then requests from any number of threads.
 *
 * Several requests are in flight at once; each function sends one and blocks until its answer is
 * there. There is no receiving thread: one of those who wait reads the replies for all. A
 * connection that broke stays broken, all requests then fail with -EIO.
 *
 * What the server says is checked, it may be anybody: lengths against what was asked, cookies
 * against what is in flight. */
#ifndef BLOCK_NBD_CLIENT_H
#define BLOCK_NBD_CLIENT_H

#include "block/nbd_channel.h"
#include "block/nbd_protocol.h"

typedef struct NbdClient NbdClient;

typedef struct NbdClientOptions {
    const char *export;        /* its name; NULL is "" */
    const TlsCredentials *tls; /* NULL: in the clear */
    const char *hostname;      /* whom the server's certificate must name; NULL: anyone */
    const char *context;       /* for block status, NULL: base:allocation */
} NbdClientOptions;

/* What the server says of an export. */
typedef struct NbdExportInfo {
    u64 size;        /* bytes */
    u16 flags;       /* NbdFlag */
    u32 min_block;   /* bytes: requests are multiples of it, a power of two */
    u32 block;       /* bytes: better multiples of this */
    u32 max_payload; /* bytes of data in a request */
    NbdHeaders headers;
    bool has_context;  /* block status can be asked for */
    u32 context_id;    /* as the server calls it */
    char *name;        /* malloc()ed */
    char *description; /* malloc()ed, or NULL */
    char **contexts;   /* nbd_client_list(): what block status it offers; NULL-terminated */
} NbdExportInfo;

/* Shakes hands over a connected socket, which it takes over (also when it fails). */
NbdClient *nbd_client_new(int fd, const NbdClientOptions *options, BlockError *error);
/* Says goodbye and closes; no request may be in progress. NULL is fine. */
void nbd_client_free(NbdClient *client);

const NbdExportInfo *nbd_client_export(const NbdClient *client);

/* Has the connection come to its end? */
bool nbd_client_is_broken(const NbdClient *client);

/* Ranges lie in the export and are multiples of min_block; longer ones than a request can hold are
 * cut. Flags are of BlockWriteFlag. What the export does not offer is -ENOTSUP. */
int nbd_client_read(NbdClient *client, u64 offset, const BlockVector *data);
int nbd_client_write(NbdClient *client, u64 offset, const BlockVector *data, unsigned flags);
int nbd_client_zero(NbdClient *client, u64 offset, u64 bytes, unsigned flags);
int nbd_client_trim(NbdClient *client, u64 offset, u64 bytes);
int nbd_client_flush(NbdClient *client);

/* The status flags of the start of the range in the negotiated context, and how far they last. */
int nbd_client_status(NbdClient *client, u64 offset, u64 bytes, u32 *flags, u64 *length);

/* What a server offers: *list has *count entries, for nbd_export_list_free(). Takes over fd. */
int nbd_client_list(int fd, const NbdClientOptions *options, NbdExportInfo **list, size_t *count,
                    BlockError *error);
void nbd_export_list_free(NbdExportInfo *list, size_t count);

/* --- Shared by nbd_client.c and nbd_handshake.c */

/* Negotiates until transmission begins; fills *export. The channel stays the caller's. */
int nbd_handshake(NbdChannel *channel, const NbdClientOptions *options, NbdExportInfo *export,
                  BlockError *error);

#endif
