/* The block layer for those who write formats, protocols and filters.
 *
 * A driver is one const struct, listed in drivers.c. NULL members mean "cannot"; what the layer
 * then does is said at each. docs/howto-disk-format.md takes one through.
 *
 * How drivers run. Functions are plain and blocking, and run in the thread of whoever asked: the
 * tool's own thread, or a worker of an IoContext (io.h). Parallel requests are parallel calls, so a
 * driver guards what it shares with a lock and drops the lock around I/O on its children. That
 * keeps formats straight-line code (no callbacks, no coroutines), and costs no thread hop where it
 * hurts: requests whose bytes merely lie elsewhere are answered by `direct`, which says where
 * without waiting, and are then submitted to the kernel by the asking thread.
 *
 * The gate. Around every call the layer holds the node's gate: shared for read, write, zero,
 * discard, flush, map and direct (until the forwarded I/O is over); exclusive, that is with no
 * other call or I/O in progress on this node, for everything else. Shared holders count in one of
 * two epochs: block_epoch_*() lets a driver wait, without blocking anyone, until all requests that
 * may still use space that was just freed are over.
 *
 * Lock order: gate of a parent, gates of its children; driver locks are taken inside the gate and
 * never held over a call that takes the node's own gate exclusively. */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/block.h"
#include "block/io.h"

/* Where bytes are, so far as that can be said at once. */
typedef struct BlockDirect {
    BlockNode *node; /* the child that holds them; NULL: they read as zeroes */
    u64 offset;      /* there */
    u64 bytes;       /* how many, at most as asked */
} BlockDirect;

typedef enum BlockKind { BLOCK_PROTOCOL, BLOCK_FORMAT, BLOCK_FILTER } BlockKind;

typedef enum BlockTrait {
    BLOCK_HAS_BACKING = 1 << 0,    /* images may name a backing file */
    BLOCK_OWN_FILE = 1 << 1,       /* a format without a "file" child: open() opens what it needs */
    BLOCK_ZERO_ON_CREATE = 1 << 2, /* a new image reads as zeroes (subject to its file child) */
    BLOCK_FUA_BY_DRIVER = 1 << 3,  /* write and zero heed BLOCK_FUA; else the layer flushes */
} BlockTrait;

struct BlockDriver {
    const char *name;
    BlockKind kind;
    unsigned traits;   /* of BlockTrait */
    size_t state_size; /* bytes of node->state, zeroed before open */

    /* Protocols: what file names start with, before ":"; NULL-terminated. NULL: the driver's name.
     */
    const char *const *schemes;

    /* Formats: how surely the bytes are of this format, 0 (not) ... 100. `head` is the start of the
     * file, `size` <= BLOCK_PROBE_SIZE bytes of it. */
    int (*probe)(const u8 *head, size_t size, const char *filename);

    /* Protocols: puts "name:..." or "name://..." into options. NULL: "filename" is set to what
     * follows the colon ("file"), or to the whole. */
    int (*parse_filename)(const char *filename, BlockOptions *options, BlockError *error);

    /* Options of open and create; NULL: none. Values are checked before the driver is called. */
    const BlockOption *open_options, *create_options;
    const BlockOption *amend_options;

    /* Sets up node->state and node->size. Formats find node->file opened (unless BLOCK_OWN_FILE).
     * Formats with a backing file set node->backing_filename and _format; the layer opens it
     * afterwards. On failure everything but children is cleaned up by open itself. */
    int (*open)(BlockNode *node, const BlockOptions *options, BlockError *error);

    /* After all requests are over. Writes what is pending; returns the first error. Children are
     * closed by the layer. */
    int (*close)(BlockNode *node);

    /* Before and after node->flags changes between reading and writing: write out, respectively
     * load what only a writer needs. NULL: nothing to do. `flags` are the new ones. */
    int (*reopen)(BlockNode *node, unsigned flags, BlockError *error);

    /* Formats: writes an empty image into `file` (empty, writable). Protocols: file is NULL, makes
     * the file of that name. The layer closes `file`. */
    int (*create)(BlockNode *file, const char *filename, const BlockOptions *options,
                  BlockError *error);

    /* Data. Ranges lie within node->size, are multiples of node->alignment, and not empty. */
    int (*read)(BlockNode *node, u64 offset, const BlockVector *data);
    int (*write)(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags);
    /* NULL or -ENOTSUP: zeroes are written. */
    int (*zero)(BlockNode *node, u64 offset, u64 bytes, unsigned flags);
    /* What is discarded reads as anything that was there, or zeroes. NULL: ignored. */
    int (*discard)(BlockNode *node, u64 offset, u64 bytes);
    /* Puts what was written on stable storage, in the children too. NULL: the children are flushed.
     */
    int (*flush)(BlockNode *node);

    /* Fast path: says where [offset, offset + bytes) starts, for op BLOCK_OP_READ or _WRITE, if it
     * can without waiting (no I/O, no contended lock), and if for writing no metadata has to
     * change. False sends the request through read or write in a worker. NULL: always so. */
    bool (*direct)(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct);

    /* Block status of this layer, see BlockExtent. NULL: data everywhere. */
    int (*map)(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent);

    /* Sets node->size too. NULL: -ENOTSUP. */
    int (*truncate)(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error);
    /* Adds to what the layer filled in. NULL: nothing. */
    int (*info)(BlockNode *node, BlockInfo *info, BlockError *error);
    /* Bytes the host has allocated for this node's own file; negative: -errno. Protocols. */
    s64 (*allocated_size)(BlockNode *node);
    int (*check)(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error);
    int (*change_backing)(BlockNode *node, const char *filename, const char *format,
                          BlockError *error);
    int (*make_empty)(BlockNode *node, BlockError *error);
    int (*amend)(BlockNode *node, const BlockOptions *options, BlockProgress *progress,
                 void *opaque, BlockError *error);
    /* source may be NULL. */
    int (*measure)(const BlockOptions *options, BlockNode *source, BlockMeasure *measure,
                   BlockError *error);

    int (*snapshot_list)(BlockNode *node, BlockSnapshot **list, BlockError *error);
    int (*snapshot_create)(BlockNode *node, BlockSnapshot *snapshot, BlockError *error);
    /* With the id that block_snapshot_find() found. */
    int (*snapshot_apply)(BlockNode *node, const char *id, BlockError *error);
    int (*snapshot_delete)(BlockNode *node, const char *id, BlockError *error);
    int (*snapshot_load)(BlockNode *node, const char *id, BlockError *error);
    int (*vmstate_read)(BlockNode *node, u64 offset, const BlockVector *data);
    int (*vmstate_write)(BlockNode *node, u64 offset, const BlockVector *data);

    int (*bitmap_list)(BlockNode *node, BlockBitmapInfo **list, BlockError *error);
    int (*bitmap_add)(BlockNode *node, const char *name, u32 granularity, bool enabled,
                      BlockError *error);
    int (*bitmap_remove)(BlockNode *node, const char *name, BlockError *error);
    int (*bitmap_clear)(BlockNode *node, const char *name, BlockError *error);
    int (*bitmap_enable)(BlockNode *node, const char *name, bool enabled, BlockError *error);
    int (*bitmap_map)(BlockNode *node, const char *name, u64 offset, u64 bytes, bool *dirty,
                      u64 *length);
    /* Marks a range; for merging. */
    int (*bitmap_mark)(BlockNode *node, const char *name, u64 offset, u64 bytes);
};

enum {
    BLOCK_PROBE_SIZE = 2048,     /* bytes that probe() sees */
    BLOCK_MAX_ALIGNMENT = 65536, /* largest node->alignment */
    BLOCK_MAX_REQUEST = 1 << 30, /* bytes: longer requests are cut before drivers see them */
};

/* Shared by requests, exclusive for changes; see the top. */
typedef struct BlockGate {
    _Atomic(u32) users[2]; /* shared holders by epoch */
    _Atomic(u32) epoch;    /* its lowest bit chooses for newcomers */
    _Atomic(u32) closed;   /* an exclusive holder is there or waiting */
    pthread_mutex_t lock;  /* for waiting */
    pthread_cond_t changed;
} BlockGate;

struct BlockNode {
    const BlockDriver *driver;
    void *state;    /* the driver's own */
    char *filename; /* for messages and for reopening */
    unsigned flags; /* BlockOpenFlag */
    u64 size;       /* bytes; changes under the exclusive gate only, protocols that grow excepted */
    u32 alignment;  /* of requests that the driver sees; a power of two, 1 if it takes any */
    u32 memory_alignment; /* of the memory they use */
    u32 zero_alignment;   /* block_zero() passes on what is aligned to this; 0: alignment */
    int fd;          /* protocols: a descriptor whose bytes are the node's, for io_uring; else -1 */
    bool probed_raw; /* nobody said that this is raw: guard sector 0 */
    bool can_grow;   /* writes past the end enlarge it (files) */

    BlockNode *file;    /* or NULL */
    BlockNode *backing; /* or NULL */
    BlockNode *extra;   /* a second file: qcow2's data file; closed by the layer; or NULL */
    char *backing_filename, *backing_format; /* as the image has them, or NULL; owned */
    bool borrows_file;                       /* `file` is not closed with the node */
    BlockGate gate;
};

/* --- Helpers -----------------------------------------------------------------------------------
 */

/* Opens a child for a driver: options "PREFIX.*" among `options`, or else filename. `flags` as for
 * block_open(); `driver` the default when no "driver" is given (NULL: probe). */
int block_open_child(BlockNode **child, const char *filename, const BlockOptions *options,
                     const char *prefix, const BlockDriver *driver, unsigned flags,
                     BlockError *error);

/* Opens a format on a node that stays the caller's, without backing file: for create(), to work on
 * what it has just laid out. block_close() the new node first. */
int block_open_over(BlockNode **node, const BlockDriver *driver, BlockNode *file,
                    const BlockOptions *options, unsigned flags, BlockError *error);

/* Creates (or truncates) the file `filename` through its protocol and opens it for writing, with
 * the objects that `like` knows. */
int block_create_file(BlockNode **file, const char *filename, const BlockOptions *like,
                      BlockError *error);

/* Reads a whole structure from a child; -EIO when the child ends before. */
int block_read_exact(BlockNode *node, u64 offset, void *data, size_t bytes);

/* Memory fit for any node's I/O; free() it. NULL when there is none. */
void *block_buffer_new(size_t bytes);

/* A file name relative to another: "b.img" beside "/x/a.img" is "/x/b.img". malloc()ed. */
char *block_path_beside(const char *base, const char *name);

/* The name of an image for messages and for names relative to it: of the file below. */
const char *block_image_name(const BlockNode *node);

/* The format that the bytes look most like, raw if like none. */
const BlockDriver *block_probe_bytes(const u8 *head, size_t size, const char *filename);

/* Epochs of the gate: block_epoch_next() starts another and returns a ticket; block_epoch_over()
 * tells whether all requests that were there at that time have ended. One ticket at a time: no next
 * before the last is over. */
u32 block_epoch_next(BlockNode *node);
bool block_epoch_over(BlockNode *node, u32 ticket);

/* Big- and little-endian fields of on-disk structures, at any address. */
static inline u16 be16_get(const void *p)
{
    u16 v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline u32 be32_get(const void *p)
{
    u32 v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline u64 be64_get(const void *p)
{
    u64 v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void be16_put(void *p, u16 v)
{
    v = __builtin_bswap16(v);
    __builtin_memcpy(p, &v, sizeof v);
}

static inline void be32_put(void *p, u32 v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(p, &v, sizeof v);
}

static inline void be64_put(void *p, u64 v)
{
    v = __builtin_bswap64(v);
    __builtin_memcpy(p, &v, sizeof v);
}

static inline u16 le16_get(const void *p)
{
    return __builtin_bswap16(be16_get(p));
}

static inline u32 le32_get(const void *p)
{
    return __builtin_bswap32(be32_get(p));
}

static inline u64 le64_get(const void *p)
{
    return __builtin_bswap64(be64_get(p));
}

static inline void le16_put(void *p, u16 v)
{
    __builtin_memcpy(p, &v, sizeof v);
}

static inline void le32_put(void *p, u32 v)
{
    __builtin_memcpy(p, &v, sizeof v);
}

static inline void le64_put(void *p, u64 v)
{
    __builtin_memcpy(p, &v, sizeof v);
}

#endif
