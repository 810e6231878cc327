/* Where NBD servers are: addresses, connecting to them and listening at them. */
#ifndef BLOCK_NBD_SOCKET_H
#define BLOCK_NBD_SOCKET_H

#include "block/options.h"

/* Either a path or a host; neither of them for a listener is every address of this machine. */
typedef struct NbdAddress {
    const char *path;       /* of a unix socket */
    const char *host;       /* name or address */
    const char *port;       /* number or service; NULL: NBD's own */
    unsigned retry_seconds; /* go on trying to connect that long */
    unsigned limit_seconds; /* for one try; 0: as long as the kernel tries */
} NbdAddress;

/* A connected socket, or -errno with an error. */
int nbd_socket_connect(const NbdAddress *address, BlockError *error);

/* A listening socket, or -errno with an error. A path must not exist, unless it is a socket that
 * nobody listens at; it then goes. */
int nbd_socket_listen(const NbdAddress *address, BlockError *error);

/* For a stream that was connected or accepted: answers go out at once, and peers that vanished are
 * noticed. */
void nbd_socket_tune(int fd);

#endif
