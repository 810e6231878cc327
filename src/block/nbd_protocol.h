/* The numbers of the NBD protocol, for client and server (nbd_client.h, nbd_server.h): the protocol
 * document's names without NBD_, all fields big-endian on the wire. Sections named in comments are
 * those of the document (NetworkBlockDevice/nbd, doc/proto.md). */
#ifndef BLOCK_NBD_PROTOCOL_H
#define BLOCK_NBD_PROTOCOL_H

#include "base/types.h"

#define NBD_PORT "10809"

/* Magic numbers. */
#define NBD_MAGIC 0x4e42444d41474943ull           /* "NBDMAGIC": the server's first */
#define NBD_OPTION_MAGIC 0x49484156454f5054ull    /* "IHAVEOPT": newstyle, and each option */
#define NBD_OLDSTYLE_MAGIC 0x00420281861253ull    /* in its place: oldstyle */
#define NBD_OPTION_REPLY_MAGIC 0x3e889045565a9ull /* each reply to an option */
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_EXTENDED_REQUEST_MAGIC 0x21e41c71u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_STRUCTURED_REPLY_MAGIC 0x668e33efu
#define NBD_EXTENDED_REPLY_MAGIC 0x6e8a278cu

/* Handshake flags, the server's 16 bits and the client's 32. */
enum { NBD_FIXED_NEWSTYLE = 1 << 0, NBD_NO_ZEROES = 1 << 1 };

typedef enum NbdOption {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
    NBD_OPT_EXTENDED_HEADERS = 11,
} NbdOption;

/* Types of replies to options. */
#define NBD_REP_ERROR (1u << 31)
#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_META_CONTEXT 4u
#define NBD_REP_ERR_UNSUP (NBD_REP_ERROR | 1)
#define NBD_REP_ERR_POLICY (NBD_REP_ERROR | 2)
#define NBD_REP_ERR_INVALID (NBD_REP_ERROR | 3)
#define NBD_REP_ERR_PLATFORM (NBD_REP_ERROR | 4)
#define NBD_REP_ERR_TLS_REQD (NBD_REP_ERROR | 5)
#define NBD_REP_ERR_UNKNOWN (NBD_REP_ERROR | 6)
#define NBD_REP_ERR_SHUTDOWN (NBD_REP_ERROR | 7)
#define NBD_REP_ERR_BLOCK_SIZE_REQD (NBD_REP_ERROR | 8)
#define NBD_REP_ERR_TOO_BIG (NBD_REP_ERROR | 9)
#define NBD_REP_ERR_EXT_HEADER_REQD (NBD_REP_ERROR | 10)

/* Information about an export (NBD_OPT_INFO, NBD_OPT_GO). */
typedef enum NbdInformation {
    NBD_INFO_EXPORT = 0,
    NBD_INFO_NAME = 1,
    NBD_INFO_DESCRIPTION = 2,
    NBD_INFO_BLOCK_SIZE = 3,
} NbdInformation;

/* Transmission flags of an export. */
typedef enum NbdFlag {
    NBD_HAS_FLAGS = 1 << 0,
    NBD_READ_ONLY = 1 << 1,
    NBD_SEND_FLUSH = 1 << 2,
    NBD_SEND_FUA = 1 << 3,
    NBD_ROTATIONAL = 1 << 4,
    NBD_SEND_TRIM = 1 << 5,
    NBD_SEND_WRITE_ZEROES = 1 << 6,
    NBD_SEND_DF = 1 << 7,
    NBD_CAN_MULTI_CONN = 1 << 8,
    NBD_SEND_RESIZE = 1 << 9,
    NBD_SEND_CACHE = 1 << 10,
    NBD_SEND_FAST_ZERO = 1 << 11,
    NBD_BLOCK_STATUS_PAYLOAD = 1 << 12,
} NbdFlag;

typedef enum NbdCommand {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_CACHE = 5,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7,
} NbdCommand;

/* Flags of commands. */
typedef enum NbdCommandFlag {
    NBD_CMD_FUA = 1 << 0,
    NBD_CMD_NO_HOLE = 1 << 1,
    NBD_CMD_DF = 1 << 2,
    NBD_CMD_REQ_ONE = 1 << 3,
    NBD_CMD_FAST_ZERO = 1 << 4,
    NBD_CMD_PAYLOAD_LEN = 1 << 5,
} NbdCommandFlag;

/* Chunks of structured and extended replies. */
enum { NBD_CHUNK_DONE = 1 << 0 }; /* flag: the last of its reply */
#define NBD_CHUNK_ERROR_BIT (1u << 15)
typedef enum NbdChunk {
    NBD_CHUNK_NONE = 0,
    NBD_CHUNK_DATA = 1,
    NBD_CHUNK_HOLE = 2,
    NBD_CHUNK_BLOCK_STATUS = 5,
    NBD_CHUNK_BLOCK_STATUS_EXT = 6,
    NBD_CHUNK_ERROR = (1 << 15) | 1,
    NBD_CHUNK_ERROR_OFFSET = (1 << 15) | 2,
} NbdChunk;

/* How requests and replies look; each includes the ones before. */
typedef enum NbdHeaders {
    NBD_HEADERS_SIMPLE,
    NBD_HEADERS_STRUCTURED,
    NBD_HEADERS_EXTENDED, /* 64-bit lengths */
} NbdHeaders;

/* Block status. base:allocation: */
enum { NBD_STATE_HOLE = 1 << 0, NBD_STATE_ZERO = 1 << 1 };
/* qemu:dirty-bitmap:NAME: */
enum { NBD_STATE_DIRTY = 1 << 0 };

#define NBD_CONTEXT_ALLOCATION "base:allocation"
#define NBD_CONTEXT_DEPTH "qemu:allocation-depth"
#define NBD_CONTEXT_BITMAP "qemu:dirty-bitmap:" /* + NAME */

enum {
    NBD_OPTION_HEADER = 16,       /* bytes: magic, option, length */
    NBD_OPTION_REPLY_HEADER = 20, /* magic, option, type, length */
    NBD_REQUEST_HEADER = 28,      /* magic, flags, type, cookie, offset, length */
    NBD_EXTENDED_REQUEST_HEADER = 32,
    NBD_SIMPLE_REPLY_HEADER = 16,     /* magic, error, cookie */
    NBD_STRUCTURED_REPLY_HEADER = 20, /* magic, flags, type, cookie, length */
    NBD_EXTENDED_REPLY_HEADER = 32,   /* magic, flags, type, cookie, offset, length */
    NBD_LONGEST_STRING = 4096,        /* bytes of a name or message */
    NBD_ZEROES = 124,                 /* bytes at the end of NBD_OPT_EXPORT_NAME's reply */
    NBD_LARGEST_PAYLOAD = 32 << 20,   /* bytes of data in one request or reply, unless agreed */
};

/* Error numbers on the wire are Linux's, as far as the protocol knows them. Takes -errno or 0. */
u32 nbd_error_to_wire(int result);
/* Back: 0 or -errno; what the protocol doesn't know is -EINVAL. */
int nbd_error_from_wire(u32 error);

#endif
