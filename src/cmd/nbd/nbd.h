/* menura nbd, also called as qemu-nbd: what its files share.
 *
 * One parser serves both; they differ in their defaults and their help. Must not know any format.
 */
#ifndef CMD_NBD_NBD_H
#define CMD_NBD_NBD_H

#include "block/block.h"
#include "block/nbd_socket.h"
#include "block/object.h"

enum { NBD_MOST_BITMAPS = 60 };

/* What the command line asks for. */
typedef struct NbdJob {
    const char *program; /* what we were called as */

    const char *disk, *format, *load_snapshot;
    const char *discard, *detect_zeroes; /* as the block layer's options have them; or NULL */
    bool image_options;                  /* `disk` is a list of options */
    unsigned flags;                      /* BlockOpenFlag; with BLOCK_WRITE unless read-only */
    u64 offset;                          /* bytes of the disk that are left out */

    const char *export, *description;
    bool show_depth;
    const char *bitmaps[NBD_MOST_BITMAPS + 1];
    unsigned bitmap_count;

    NbdAddress address;
    bool has_address; /* given on the command line */
    unsigned most_clients, handshake_seconds;
    bool persistent; /* goes on when the last client has left */

    ObjectList *objects;
    const char *tls_id, *tls_hostname;
    bool list, background;
    const char *pid_file;
} NbdJob;

/* `menura nbd ...` or a link named qemu-nbd. Returns the exit status. */
int nbd_main(const char *program, int argc, char **argv, bool as_qemu);

/* Fills in *job, which holds the defaults. False when the command ends here, with *status. */
bool nbd_parse(NbdJob *job, int argc, char **argv, bool as_qemu, int *status);

/* Serves until told to end, or until the last client has left. The exit status. */
int nbd_serve(const NbdJob *job);

/* -L: prints what a server offers. The exit status. */
int nbd_list(const NbdJob *job);

/* One line on stderr; returns 1, the exit status. */
int nbd_error(const NbdJob *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
