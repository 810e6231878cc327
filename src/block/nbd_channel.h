/* The byte stream between an NBD client and a server: a socket, in the clear or under TLS.
 *
 * One thread may read while another writes; more than one of either kind must take turns. Input is
 * buffered, so that headers cost no call each; large pieces go straight to where they belong.
 * Results are 0 or -errno; a stream that ended is -ECONNRESET. After an error it is of no use. */
#ifndef BLOCK_NBD_CHANNEL_H
#define BLOCK_NBD_CHANNEL_H

#include "block/options.h"
#include "block/vector.h"

typedef struct NbdChannel NbdChannel;
typedef struct TlsCredentials TlsCredentials;

/* Takes the socket over. */
NbdChannel *nbd_channel_new(int fd);
/* Closes. NULL is fine. */
void nbd_channel_free(NbdChannel *channel);

int nbd_channel_read(NbdChannel *channel, void *data, size_t bytes);
int nbd_channel_readv(NbdChannel *channel, const BlockVector *data);
/* Reads and forgets. */
int nbd_channel_skip(NbdChannel *channel, u64 bytes);
int nbd_channel_write(NbdChannel *channel, const void *data, size_t bytes);
/* `head` and then `data` (NULL: nothing more), in one go where possible. */
int nbd_channel_write_with(NbdChannel *channel, const void *head, size_t bytes,
                           const BlockVector *data);

/* From any thread: reads and writes in progress, and all later ones, fail. */
void nbd_channel_shut(NbdChannel *channel);

/* Goes on under TLS. `hostname`: whom the certificate must name, for clients; NULL: not looked at.
 * Nothing may have been read ahead (-EPROTO): what came before was not protected. */
int nbd_channel_start_tls(NbdChannel *channel, const TlsCredentials *tls, const char *hostname,
                          BlockError *error);
bool nbd_channel_is_tls(const NbdChannel *channel);

#endif
