/* The block layer for those who use disks: the tool, the devices, the servers.
 *
 * A disk is a tree of nodes. The leaves are protocols (a file, an NBD server), above them stands a
 * format (raw, qcow2, ...), which may have a backing node that supplies what it does not hold, and
 * filters (throttle, copy-on-read) stand above that. Everything here takes the topmost node.
 *
 *     BlockError error;
 *     BlockNode *disk;
 *     if (block_open(&disk, "disk.qcow2", NULL, BLOCK_WRITE, &error) < 0) {
 *         fprintf(stderr, "%s\n", error.text);
 *         ...
 *     }
 *     block_pwrite(disk, 0, data, 512, 0);
 *     block_close(disk);
 *
 * Invariants:
 * - Every function may be called from any thread, at the same time as others on the same node,
 *   block_close() excepted. Formats run in the thread that calls; nothing here hops threads except
 *   block_submit(), see io.h.
 * - Offsets and sizes are bytes. No alignment is asked of the caller; the layer pads, reading first
 *   where it must.
 * - Results are 0 or -errno. Functions with a BlockError parameter also leave one line of text in
 *   it, without a newline; it may be NULL.
 * - A write has reached the disk for good when a block_flush() that began after its end returns 0.
 *
 * Drivers (formats, protocols, filters) are written against driver.h. */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdio.h>

#include "base/types.h"
#include "block/options.h"
#include "block/vector.h"

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
struct json_object;

/* How to open. */
typedef enum BlockOpenFlag {
    BLOCK_WRITE = 1 << 0,          /* for reading and writing; else for reading */
    BLOCK_DIRECT = 1 << 1,         /* around the host's page cache: cache=none, directsync */
    BLOCK_WRITETHROUGH = 1 << 2,   /* each write is flushed: cache=writethrough, directsync */
    BLOCK_NO_FLUSH = 1 << 3,       /* flushes do nothing: cache=unsafe */
    BLOCK_SNAPSHOT = 1 << 4,       /* writes go to a temporary overlay that ends with the node */
    BLOCK_NO_BACKING = 1 << 5,     /* leave the backing node out; what it holds reads as zeroes */
    BLOCK_NO_IO = 1 << 6,          /* only to look at the metadata */
    BLOCK_SHARE = 1 << 7,          /* tolerate other writers: qemu-img's -U */
    BLOCK_REPAIR = 1 << 8,         /* open although marked corrupt or dirty, for block_check() */
    BLOCK_UNMAP = 1 << 9,          /* discard=unmap: pass discards on; else they are ignored */
    BLOCK_COPY_ON_READ = 1 << 10,  /* keep what was read from the backing node; needs BLOCK_WRITE */
    BLOCK_DETECT_ZEROES = 1 << 11, /* look for zeroes in written data */
    BLOCK_NO_LOCK = 1 << 12,       /* locking=off */
} BlockOpenFlag;

/* How to write, zero or discard. */
typedef enum BlockWriteFlag {
    BLOCK_FUA = 1 << 0,         /* on stable storage before it returns */
    BLOCK_MAY_UNMAP = 1 << 1,   /* zeroing may give space back */
    BLOCK_NO_FALLBACK = 1 << 2, /* -ENOTSUP rather than writing zeroes out */
    BLOCK_COMPRESSED = 1 << 3,  /* store compressed; whole clusters, not yet allocated */
} BlockWriteFlag;

/* cache=none|writeback|writethrough|directsync|unsafe into flags (the three cache flags replaced).
 * False for another word. */
bool block_cache_mode(const char *mode, unsigned *flags);

/* --- Opening -----------------------------------------------------------------------------------
 */

/* Opens what `filename` and `options` name together; either may be NULL.
 *
 * filename: a path, "protocol:...", "json:{...}", or, when options has "driver", what that driver
 * takes. options: "driver" (a format, protocol or filter), "file.*", "backing.*", the driver's own
 * and the common ones (read-only, cache.direct, cache.no-flush, discard, detect-zeroes,
 * force-share), which win over flags. Without "driver", the format is probed, and a node whose
 * format was probed as raw refuses writes that would make it look like another format (-EPERM).
 * *node is the caller's, to be closed. */
int block_open(BlockNode **node, const char *filename, const BlockOptions *options, unsigned flags,
               BlockError *error);

/* Flushes and closes the node and its children. Errors of the last flush are returned; the node is
 * gone all the same. NULL is fine. */
int block_close(BlockNode *node);

/* Switches between reading and writing (BLOCK_WRITE) in place; other flags stay. */
int block_reopen(BlockNode *node, unsigned flags, BlockError *error);

/* Makes a new image; whatever the file held is gone. options has at least "size" unless the format
 * finds it otherwise (backing file); "backing_file", "backing_fmt", and the driver's own. */
int block_create(const BlockDriver *driver, const char *filename, const BlockOptions *options,
                 BlockError *error);

/* The list of drivers, NULL-terminated. */
extern const BlockDriver *const block_drivers[];

/* By name; NULL if there is none. */
const BlockDriver *block_driver_find(const char *name);

const char *block_driver_name(const BlockDriver *driver);

/* What creating, amending and opening take; ended by name == NULL, NULL if nothing. For more, see
 * driver.h. */
const BlockOption *block_driver_create_options(const BlockDriver *driver);
const BlockOption *block_driver_amend_options(const BlockDriver *driver);
const BlockOption *block_driver_open_options(const BlockDriver *driver);

/* The protocol that a file name asks for: "file" unless it starts with "name:". NULL with an error
 * if the name is of no known protocol. */
const BlockDriver *block_driver_for_filename(const char *filename, BlockError *error);

/* --- Looking -----------------------------------------------------------------------------------
 */

/* Bytes the guest sees. */
u64 block_size(const BlockNode *node);

/* The name it was opened by, fit for messages and block_open(). */
const char *block_filename(const BlockNode *node);

const BlockDriver *block_driver(const BlockNode *node);
BlockNode *block_file(const BlockNode *node);    /* the protocol below a format, or NULL */
BlockNode *block_backing(const BlockNode *node); /* or NULL */
bool block_writable(const BlockNode *node);

/* The node below all filters: the one with format, snapshots, bitmaps. */
BlockNode *block_skip_filters(BlockNode *node);

typedef struct BlockInfo {
    const char *format;     /* driver name */
    u64 virtual_size;       /* bytes */
    u64 actual_size;        /* bytes that the host has allocated, all files of this layer */
    bool actual_size_known; /* false for protocols that can't say */
    u32 cluster_size;       /* bytes; 0 if the format has none */
    bool encrypted, dirty, corrupt;
    const char *compressed;       /* "zlib", "zstd" or NULL: what compressed writes use */
    bool needs_compressed;        /* takes no other writes */
    const char *backing_filename; /* as in the image; NULL if none. Lives as long as the node. */
    const char *backing_format;   /* as in the image; NULL if none */
    u64 vmstate_offset;           /* where the snapshots' machine state lies; 0 if there is none */
    bool is_zero_initialised;     /* a new image of this format reads as zeroes */
    struct json_object *specific; /* {"type": ..., "data": {...}} as qemu-img prints it; or NULL */
} BlockInfo;

/* Fills *info; free with block_info_free(). */
int block_info(BlockNode *node, BlockInfo *info, BlockError *error);
void block_info_free(BlockInfo *info);

/* What is known of a range, as far as it is the same. */
typedef enum BlockExtentFlag {
    BLOCK_DATA = 1 << 0,      /* bytes are stored, here or below */
    BLOCK_ZERO = 1 << 1,      /* reads as zeroes */
    BLOCK_ALLOCATED = 1 << 2, /* this layer decides; the backing node does not show through */
    BLOCK_OFFSET = 1 << 3,    /* `file` and `offset` say where the bytes are */
    BLOCK_IS_COMPRESSED = 1 << 4,
    BLOCK_LOOK_BELOW = 1 << 5, /* `file` knows better whether it is data or a hole */
} BlockExtentFlag;

typedef struct BlockExtent {
    unsigned flags;
    u64 bytes;       /* length of the range, 1 ... as asked */
    u64 offset;      /* in `file`, when BLOCK_OFFSET */
    BlockNode *file; /* the node that holds the bytes */
    unsigned depth;  /* layers below the node asked (block_map_chain) */
} BlockExtent;

/* Describes the start of [offset, offset + bytes) in this layer alone. */
int block_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent);

/* The same through the backing chain, down to and without `base` (NULL: all). Flags lack
 * BLOCK_ALLOCATED when no layer above base decides. */
int block_map_chain(BlockNode *node, BlockNode *base, u64 offset, u64 bytes, BlockExtent *extent);

/* --- Reading and writing, in the calling thread ------------------------------------------------
 */

int block_pread(BlockNode *node, u64 offset, void *data, size_t bytes);
int block_pwrite(BlockNode *node, u64 offset, const void *data, size_t bytes, unsigned flags);
int block_readv(BlockNode *node, u64 offset, const BlockVector *data);
int block_writev(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags);
int block_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags);
int block_discard(BlockNode *node, u64 offset, u64 bytes);
int block_flush(BlockNode *node);

/* --- Changing images ---------------------------------------------------------------------------
 */

typedef enum BlockPrealloc {
    BLOCK_PREALLOC_OFF,
    BLOCK_PREALLOC_METADATA,
    BLOCK_PREALLOC_FALLOC,
    BLOCK_PREALLOC_FULL,
} BlockPrealloc;

/* "off", "metadata", "falloc", "full"; false for another word. */
bool block_prealloc_parse(const char *word, BlockPrealloc *mode);

/* Changes the size. Growth reads as zeroes, even where the backing node is longer; but for format
 * luks, where it is whatever zeroes decrypt to. */
int block_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error);

/* Writes another backing file name (NULL: none) and format into the image; what guests see changes
 * accordingly. Does not reopen the backing node. */
int block_change_backing(BlockNode *node, const char *filename, const char *format,
                         BlockError *error);

/* Drops everything that this layer holds, so that the backing node shows. */
int block_make_empty(BlockNode *node, BlockError *error);

/* Tells progress of long work: done of total, in any unit. */
typedef void BlockProgress(void *opaque, u64 done, u64 total);

/* Changes format options in place (compat, size, backing_file, lazy_refcounts, refcount_bits, ...).
 * Options not given stay. */
int block_amend(BlockNode *node, const BlockOptions *options, BlockProgress *progress, void *opaque,
                BlockError *error);

typedef struct BlockMeasure {
    u64 required;        /* bytes of a new image that holds what the source holds */
    u64 fully_allocated; /* bytes when everything is written */
    u64 bitmaps;         /* bytes the source's bitmaps need in addition */
    bool has_bitmaps;    /* source and format have bitmaps */
} BlockMeasure;

/* How large an image of that format gets: with the contents of `source`, or empty of the "size"
 * among options when source is NULL. */
int block_measure(const BlockDriver *driver, const BlockOptions *options, BlockNode *source,
                  BlockMeasure *measure, BlockError *error);

/* --- Checking ----------------------------------------------------------------------------------
 */

typedef enum BlockFix { BLOCK_FIX_LEAKS = 1, BLOCK_FIX_ERRORS = 2 } BlockFix;

typedef struct BlockCheck {
    u64 corruptions, leaks, check_errors; /* found and still there */
    u64 corruptions_fixed, leaks_fixed;
    u64 image_end_offset; /* bytes: end of the last used part; 0 if unknown */
    u64 total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    void (*report)(void *opaque,
                   const char *line); /* each finding; may be NULL. Set by the caller. */
    void *opaque;
} BlockCheck;

/* Checks the image's own structures, and repairs what `fix` (bits of BlockFix) allows. -ENOTSUP if
 * the format has no check. Only `report` and `opaque` of *check are read, the rest is set. */
int block_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error);

/* --- Internal snapshots ------------------------------------------------------------------------
 */

typedef struct BlockSnapshot {
    char id[128];
    char name[256];
    u64 vm_state_size; /* bytes */
    u64 disk_size;     /* bytes */
    u64 date_seconds;  /* since 1970 */
    u32 date_nanoseconds;
    u64 vm_clock; /* nanoseconds the machine had run */
    s64 icount;   /* instructions executed, or -1 */
} BlockSnapshot;

/* *list is malloc()ed, for the caller to free. Returns the number or -errno. */
int block_snapshot_list(BlockNode *node, BlockSnapshot **list, BlockError *error);

/* Finds by id first, then by name (qemu's order). */
int block_snapshot_find(BlockNode *node, const char *id_or_name, BlockSnapshot *found,
                        BlockError *error);

/* Takes one: name, date, vm_clock, icount and vm_state_size as given; the id is chosen when empty.
 * The machine state is what was written with block_vmstate_write() before. */
int block_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, BlockError *error);
int block_snapshot_apply(BlockNode *node, const char *id_or_name, BlockError *error);
int block_snapshot_delete(BlockNode *node, const char *id_or_name, BlockError *error);

/* Makes the node (opened for reading) show a snapshot instead of the present state: convert -l. */
int block_snapshot_load(BlockNode *node, const char *id_or_name, BlockError *error);

/* The machine state area, which is not part of the disk the guest sees. */
int block_vmstate_read(BlockNode *node, u64 offset, void *data, size_t bytes);
int block_vmstate_write(BlockNode *node, u64 offset, const void *data, size_t bytes);

/* --- Dirty bitmaps -----------------------------------------------------------------------------
 */

typedef struct BlockBitmapInfo {
    char name[1024];
    u32 granularity; /* bytes per bit */
    bool enabled;    /* records writes */
    bool in_use;     /* was not stored properly: its contents mean nothing */
    u64 dirty_bytes; /* marked */
} BlockBitmapInfo;

/* *list is malloc()ed, for the caller to free. Returns the number or -errno. */
int block_bitmap_list(BlockNode *node, BlockBitmapInfo **list, BlockError *error);
/* granularity: bytes, a power of two 512 ... 2 GiB; 0 chooses. */
int block_bitmap_add(BlockNode *node, const char *name, u32 granularity, bool enabled,
                     BlockError *error);
int block_bitmap_remove(BlockNode *node, const char *name, BlockError *error);
int block_bitmap_clear(BlockNode *node, const char *name, BlockError *error);
int block_bitmap_enable(BlockNode *node, const char *name, bool enabled, BlockError *error);
/* Marks in `name` what is marked in `from` of another node of the same size, or the same. */
int block_bitmap_merge(BlockNode *node, const char *name, BlockNode *from_node, const char *from,
                       BlockError *error);
/* Marks what is set in the range, and says how far the first byte's state lasts. */
int block_bitmap_map(BlockNode *node, const char *name, u64 offset, u64 bytes, bool *dirty,
                     u64 *length);

#endif
