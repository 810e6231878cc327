/* qcow2 inside: what its files share. The layout is that of QEMU's docs/interop/qcow2.rst.
 *
 *   qcow2.c           the driver struct: open, close, information
 *   qcow2_header.c    header and its extensions
 *   qcow2_cache.c     slices of L2 tables and refcount blocks in memory; writing them back in order
 *   qcow2_refcount.c  refcounts, finding free clusters, giving clusters back
 *   qcow2_map.c       from guest offsets to host offsets: L1 and L2
 *   qcow2_read.c, qcow2_write.c, qcow2_zero.c, qcow2_compress.c   guest data
 *   qcow2_crypt.c     encryption of guest data
 *   qcow2_replace.c   tables and refcounts written anew, and switched to at once
 *   qcow2_snapshot.c, qcow2_bitmap.c, qcow2_check.c, qcow2_resize.c, qcow2_create.c, qcow2_amend.c
 *
 * Locking: `lock` guards everything in Qcow2 and the cached tables. It is dropped around I/O, also
 * inside functions that say so; what was looked at before has to be looked at again then. Two
 * writers of one cluster exclude each other through `allocations`, not through the lock. Snapshots,
 * checks, resizing run alone (the node's gate is closed).
 *
 * Order of writes: an image on disk never refers to a cluster whose refcount does not show it, nor
 * to a table that is not there. So changes gather in memory and go out in this order, with a flush
 * of the file between the steps (qcow2_write_back):
 *   1. refcount blocks, then the refcount table;
 *   2. L2 tables, then the L1 table (the flush before makes guest data, copied data included,
 *      stable before something points to it);
 *   3. clusters that nothing on disk refers to any more are given back: their refcounts fall, and
 *      once no request that began before can still be using them, they may be allocated again.
 * Killed in between, an image has at most leaks. */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "block/driver.h"
#include "block/luks.h"

#define QCOW2_COPIED (1ull << 63)     /* refcount is exactly one: may be written in place */
#define QCOW2_COMPRESSED (1ull << 62) /* L2: the rest is laid out otherwise */
#define QCOW2_ZERO 1ull               /* L2: reads as zeroes */
#define QCOW2_OFFSET 0x00fffffffffffe00ull
#define QCOW2_ALL_ALLOCATED 0x00000000ffffffffull /* subcluster bitmaps */
#define QCOW2_ALL_ZERO 0xffffffff00000000ull

enum {
    QCOW2_MAGIC = 0x514649fb, /* "QFI\xfb" */
    QCOW2_V2_HEADER = 72,
    QCOW2_V3_HEADER = 104,
    QCOW2_MIN_CLUSTER_BITS = 9,
    QCOW2_MAX_CLUSTER_BITS = 21,
    QCOW2_MAX_BACKING_NAME = 1023,
    QCOW2_MAX_L1_BYTES = 32 << 20,
    QCOW2_MAX_REFTABLE_BYTES = 8 << 20,
    QCOW2_MAX_SNAPSHOTS = 65536,
    QCOW2_MAX_BITMAPS = 65535,
    QCOW2_SUBCLUSTERS = 32,
};

/* Feature bits. */
enum {
    QCOW2_INCOMPATIBLE_DIRTY = 1 << 0, /* refcounts may be wrong */
    QCOW2_INCOMPATIBLE_CORRUPT = 1 << 1,
    QCOW2_INCOMPATIBLE_DATA_FILE = 1 << 2,
    QCOW2_INCOMPATIBLE_COMPRESSION = 1 << 3,
    QCOW2_INCOMPATIBLE_EXTENDED_L2 = 1 << 4,
    QCOW2_COMPATIBLE_LAZY_REFCOUNTS = 1 << 0,
    QCOW2_AUTOCLEAR_BITMAPS = 1 << 0,
    QCOW2_AUTOCLEAR_DATA_FILE_RAW = 1 << 1,
};

typedef enum Qcow2Crypt { QCOW2_CRYPT_NONE, QCOW2_CRYPT_AES, QCOW2_CRYPT_LUKS } Qcow2Crypt;
typedef enum Qcow2Compression { QCOW2_ZLIB, QCOW2_ZSTD } Qcow2Compression;

/* The header as numbers; extension areas as text or places. */
typedef struct Qcow2Header {
    u32 version;
    u64 backing_offset;
    u32 backing_length;
    u32 cluster_bits;
    u64 size;
    u32 crypt;
    u32 l1_entries;
    u64 l1_offset;
    u64 reftable_offset;
    u32 reftable_clusters;
    u32 snapshot_count;
    u64 snapshot_offset;
    u64 incompatible, compatible, autoclear;
    u32 refcount_order;
    u32 length;
    u8 compression;
    /* extensions */
    char *backing_name;   /* NULL if none */
    char *backing_format; /* NULL if none */
    char *data_file;      /* NULL if none */
    bool has_bitmaps;
    u32 bitmap_count;
    u64 bitmap_directory_offset, bitmap_directory_bytes;
    bool has_luks;
    u64 luks_offset, luks_bytes;
    u8 *unknown; /* extensions that we only keep, as on disk; NULL if none */
    size_t unknown_bytes;
} Qcow2Header;

/* A slice of a table in memory. */
typedef struct Qcow2Slice {
    u64 offset; /* in the file; 0: the slot is unused */
    u8 *data;   /* big-endian, as on disk */
    bool dirty;
    bool busy; /* being read or written: neither to be used (read) nor dropped */
    bool loading;
    bool used; /* since the clock hand passed */
    u32 next;  /* in the hash chain; slot + 1, 0 ends */
} Qcow2Slice;

typedef struct Qcow2Cache {
    Qcow2Slice *slots;
    u32 count, max; /* slots in use, at most */
    u32 *buckets;   /* slot + 1 */
    u32 bucket_mask;
    u32 hand;
    u32 slice_bytes;
    u32 dirty;
} Qcow2Cache;

/* Clusters [offset, +clusters) that lose a reference once the tables on disk do not refer to them.
 */
typedef struct Qcow2Free {
    u64 offset;
    u64 clusters;
    bool punch; /* give the space back to the host */
} Qcow2Free;

typedef struct Qcow2FreeList {
    Qcow2Free *entries;
    size_t count, room;
} Qcow2FreeList;

/* Guest clusters that a writer is about to map anew. */
typedef struct Qcow2Allocation {
    struct Qcow2Allocation *next;
    u64 first, count; /* guest cluster numbers */
} Qcow2Allocation;

typedef struct Qcow2Snapshot {
    char *id, *name;
    u64 l1_offset;
    u32 l1_entries;
    u32 date_seconds, date_nanoseconds;
    u64 vm_clock;
    u64 vm_state_size;
    u64 disk_size;
    s64 icount;
    u8 *more; /* extra data past what we know */
    u32 extra_bytes;
} Qcow2Snapshot;

typedef struct Qcow2Bitmap Qcow2Bitmap; /* qcow2_bitmap.c */

typedef struct Qcow2 {
    BlockNode *node;
    BlockNode *file; /* tables, and guest data unless there is an external file */
    BlockNode *data; /* guest data */
    bool external_data, raw_data;
    Qcow2Header header;

    Luks luks;            /* if header.crypt says so */
    SectorCipher *cipher; /* of guest data; NULL if opened without a key */
    char *key_secret;     /* id of the secret that opened it, or NULL */

    u32 cluster_size;
    u32 entry_bytes;     /* of an L2 entry: 8 or 16 */
    u32 l2_bits;         /* log2 of entries of an L2 table */
    u32 subclusters;     /* per cluster: 1 or 32 */
    u32 subcluster_size; /* bytes */
    u32 refcount_bits;
    u64 refcount_max;
    u32 block_bits; /* log2 of refcounts of a block */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* allocations, busy slices, write-back */

    u64 *l1; /* host-endian; header.l1_entries of them */
    u32 l1_dirty_from, l1_dirty_to;
    u64 *reftable;
    u32 reftable_entries;
    u32 reftable_used; /* entries from here on are zero */
    u32 reftable_dirty_from, reftable_dirty_to;
    Qcow2Cache l2_cache, refcount_cache;

    u64 free_hint;         /* no free cluster below this number */
    u64 virgin;            /* host offset from which on the file was never written: zeroes */
    u64 compressed_next;   /* where the next compressed cluster goes; 0: into a new one */
    Qcow2FreeList pending; /* the tables on disk may still refer to them */
    Qcow2FreeList limbo;   /* they don't, but requests may */
    Qcow2FreeList waiting; /* the same; free when the epoch of `ticket` is over */
    u32 ticket;
    bool writing_back;
    bool lazy;  /* refcounts need not be written while the dirty bit is set */
    bool inert; /* opened to be looked at: nothing may be written (corrupt) */
    Qcow2Allocation *allocations;

    Qcow2Snapshot *snapshots;
    u32 snapshot_count;
    u64 snapshot_table_bytes;
    Qcow2Bitmap *bitmaps;
    u32 bitmap_count;
    u64 vmstate_bytes; /* written since the last snapshot */
    bool look_below;   /* preallocated: the file knows what is data */
} Qcow2;

/* What the tables say of a range. */
typedef enum Qcow2Type {
    QCOW2_UNALLOCATED, /* the backing file shows */
    QCOW2_ZERO_PLAIN,  /* zeroes, no cluster */
    QCOW2_ZERO_KEPT,   /* zeroes, with a cluster at `host` */
    QCOW2_NORMAL,      /* at `host` */
    QCOW2_PACKED,      /* compressed; `entry` says where */
    QCOW2_UNSET,       /* a subcluster that shows the backing file, with a cluster at `host` */
} Qcow2Type;

typedef struct Qcow2Mapping {
    Qcow2Type type;
    u64 bytes;   /* for so long, from the offset asked */
    u64 host;    /* in q->data, of the offset asked */
    u64 entry;   /* the L2 entry of the first cluster */
    bool copied; /* the cluster is ours alone */
} Qcow2Mapping;

/* --- qcow2_header.c */

/* Reads and checks the header and its extensions. */
int qcow2_header_read(BlockNode *file, Qcow2Header *header, BlockError *error);
void qcow2_header_free(Qcow2Header *header);
/* Writes the whole first cluster. */
int qcow2_header_write(BlockNode *file, const Qcow2Header *header, BlockError *error);
/* Writes just the feature bits and flushes. v3. */
int qcow2_header_write_features(Qcow2 *q);
/* Marks the image corrupt, once, and tells on stderr; returns -EIO. */
int qcow2_corrupt(Qcow2 *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- qcow2_cache.c (lock held) */

int qcow2_cache_init(Qcow2Cache *cache, u32 slice_bytes, u64 bytes);
void qcow2_cache_free(Qcow2Cache *cache);
/* Finds the slice that starts at the offset. *data is good until the lock is dropped, or the next
 * call. Drops the lock to read, unless !wait: then -EAGAIN. */
int qcow2_cache_get(Qcow2 *q, Qcow2Cache *cache, u64 offset, bool wait, Qcow2Slice **slice);
void qcow2_cache_dirty(Qcow2Cache *cache, Qcow2Slice *slice);
/* Forgets what lies in [offset, offset + bytes), unwritten; waits for busy ones (drops the lock).
 * For what becomes a table: an earlier table may have lain there. */
void qcow2_cache_forget(Qcow2 *q, Qcow2Cache *cache, u64 offset, u64 bytes);
/* Forgets everything, unwritten. */
void qcow2_cache_forget_all(Qcow2Cache *cache);
/* Puts all changes on disk, in order, and gives back what is free then. Drops the lock. */
int qcow2_write_back(Qcow2 *q);
/* The same until nothing is left pending. With the gate closed. */
int qcow2_settle(Qcow2 *q);

/* --- qcow2_refcount.c (lock held; all may drop it) */

int qcow2_reftable_load(Qcow2 *q, BlockError *error);
/* The refcount of a cluster number. */
int qcow2_refcount_get(Qcow2 *q, u64 cluster, u64 *count);
/* Adds to it; -ERANGE if it overflows. Makes blocks where they are missing. */
int qcow2_refcount_add(Qcow2 *q, u64 cluster, u64 clusters, int delta);
int qcow2_refcount_set(Qcow2 *q, u64 cluster, u64 count);
/* One refcount in a block in memory. */
u64 qcow2_refcount_decode(const Qcow2 *q, const u8 *block, u64 index);
void qcow2_refcount_encode(const Qcow2 *q, u8 *block, u64 index, u64 count);
/* Allocates up to `want` contiguous clusters (at least `least`); *got says how many. *virgin if
 * they are zeroes on disk. */
int qcow2_alloc(Qcow2 *q, u64 want, u64 least, u64 *offset, u64 *got, bool *virgin);
/* Allocates a place for `bytes` of compressed data. */
int qcow2_alloc_packed(Qcow2 *q, u32 bytes, u64 *offset);
/* Takes one reference from the clusters, when it is safe. */
void qcow2_free(Qcow2 *q, u64 offset, u64 clusters, bool punch);
/* Takes the references that an L2 entry holds. */
void qcow2_free_entry(Qcow2 *q, u64 entry, bool punch);
/* Releases what is safe to release now. */
int qcow2_release(Qcow2 *q);
/* Would writing [offset, +bytes) hit a table (or the header)? Says which; NULL: no. */
const char *qcow2_overlap(const Qcow2 *q, u64 offset, u64 bytes);
void qcow2_free_list_add(Qcow2FreeList *list, const Qcow2Free *entry, u32 cluster_bits);

/* --- qcow2_map.c (lock held; may drop it if wait) */

int qcow2_lookup(Qcow2 *q, u64 offset, u64 bytes, bool wait, Qcow2Mapping *mapping);
/* The slice with the entry of a guest offset, in a table that is ours alone; index of the entry in
 * the slice. Makes or copies the table. */
int qcow2_l2_for_write(Qcow2 *q, u64 offset, Qcow2Slice **slice, u32 *index);
/* Entries from that of `offset` to the end of its slice. */
u64 qcow2_slice_left(const Qcow2 *q, u64 offset);
u64 qcow2_entry_get(const Qcow2 *q, const Qcow2Slice *slice, u32 index, u64 *bitmap);
void qcow2_entry_set(Qcow2 *q, Qcow2Slice *slice, u32 index, u64 entry, u64 bitmap);
/* Where the data of a compressed cluster is. */
void qcow2_packed_place(const Qcow2 *q, u64 entry, u64 *offset, u32 *bytes);
/* Makes the L1 table at least so long. */
int qcow2_grow_l1(Qcow2 *q, u64 entries);
/* L1 entries that a disk of that size needs. */
u64 qcow2_l1_entries(const Qcow2 *q, u64 size);

/* --- qcow2_read.c, qcow2_write.c, qcow2_zero.c, qcow2_compress.c (lock not held) */

int qcow2_read(BlockNode *node, u64 offset, const BlockVector *data);
/* The same past the end of the disk, too: machine state. */
int qcow2_read_range(Qcow2 *q, u64 offset, const BlockVector *data);
int qcow2_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags);
bool qcow2_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct);
int qcow2_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent);
int qcow2_write_range(Qcow2 *q, u64 offset, const BlockVector *data);
/* Waits until nobody maps these clusters anew, then claims them. Lock held, dropped. */
void qcow2_claim(Qcow2 *q, Qcow2Allocation *claim, u64 first, u64 count);
void qcow2_unclaim(Qcow2 *q, Qcow2Allocation *claim);
bool qcow2_is_claimed(const Qcow2 *q, u64 first, u64 count);
int qcow2_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags);
int qcow2_discard(BlockNode *node, u64 offset, u64 bytes);
/* Drops all clusters of the range and makes it zero (or unallocated: expose). */
int qcow2_drop(Qcow2 *q, u64 offset, u64 bytes, bool expose);
int qcow2_read_packed(Qcow2 *q, u64 entry, u64 in_cluster, const BlockVector *data);
int qcow2_write_packed(Qcow2 *q, u64 offset, const BlockVector *data);

/* --- qcow2_crypt.c (lock not held) */

/* Takes the options "encrypt.*"; needs no key with BLOCK_NO_IO. */
int qcow2_crypt_open(Qcow2 *q, const BlockOptions *options, BlockError *error);
void qcow2_crypt_close(Qcow2 *q);
/* Guest data in the clear; `guest` is the guest's offset. Whole sectors if the image is encrypted.
 */
int qcow2_data_read(Qcow2 *q, u64 host, u64 guest, const BlockVector *data);
int qcow2_data_write(Qcow2 *q, u64 host, u64 guest, const BlockVector *data);
/* Puts into a new image's header what the options of creation say. */
int qcow2_crypt_wish(const BlockOptions *options, Qcow2Header *header, LuksWish *wish,
                     BlockError *error);
/* Writes the LUKS header to its place. */
int qcow2_crypt_create(BlockNode *file, const Qcow2Header *header, const BlockOptions *options,
                       BlockError *error);
int qcow2_crypt_amend(Qcow2 *q, const BlockOptions *options, BlockError *error);
void qcow2_crypt_information(const Qcow2 *q, struct json_object *data);

/* --- qcow2_replace.c (gate closed, lock held, everything settled) */

/* All refcounts, host-endian. */
typedef struct Qcow2Counts {
    u64 *counts; /* owned */
    u64 clusters;
} Qcow2Counts;

typedef struct Qcow2L1 {
    const u64 *table; /* host-endian; NULL: none */
    u32 entries;
    u64 offset; /* on disk */
} Qcow2L1;

/* What an image with other tables is to be. */
typedef struct Qcow2Replacement {
    Qcow2L1 source;      /* the active tables become copies of these */
    Qcow2L1 dropped[2];  /* nothing refers to these any more */
    const u8 *snapshots; /* the table of snapshots */
    u64 bytes;           /* of it */
    u32 count;           /* of snapshots */
    u64 size;            /* of the disk */
} Qcow2Replacement;

/* Does version and file ask for it and allow it? */
bool qcow2_can_replace(Qcow2 *q);
int qcow2_replace(Qcow2 *q, const Qcow2Replacement *replacement);
/* Reads all refcounts, up to the last cluster in use. For the caller to free, also on failure. */
u64 *qcow2_counts_read(Qcow2 *q, u64 *clusters, int *result);
/* Takes the references to the refcount structure itself. */
int qcow2_counts_forget(const Qcow2 *q, Qcow2Counts *counts);
/* Writes another refcount structure, of that width, behind everything, and flushes; q->header names
 * it, the one on disk does not yet. */
int qcow2_counts_write(Qcow2 *q, const Qcow2Counts *counts, u32 order);
/* Forgets all that memory knows of the old one. */
int qcow2_counts_reload(Qcow2 *q, BlockError *error);

/* --- qcow2_snapshot.c (gate closed) */

int qcow2_snapshots_load(Qcow2 *q, BlockError *error);
void qcow2_snapshots_free(Qcow2 *q);
/* Writes the table anew. */
int qcow2_snapshots_store(Qcow2 *q, BlockError *error);
int qcow2_snapshot_list(BlockNode *node, BlockSnapshot **list, BlockError *error);
int qcow2_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, BlockError *error);
int qcow2_snapshot_apply(BlockNode *node, const char *id, BlockError *error);
int qcow2_snapshot_delete(BlockNode *node, const char *id, BlockError *error);
int qcow2_snapshot_load(BlockNode *node, const char *id, BlockError *error);
int qcow2_vmstate_read(BlockNode *node, u64 offset, const BlockVector *data);
int qcow2_vmstate_write(BlockNode *node, u64 offset, const BlockVector *data);
/* Where the machine state starts in the guest's address space. */
u64 qcow2_vmstate_offset(const Qcow2 *q);

/* --- the rest */

int qcow2_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error);
int qcow2_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error);
/* Maps [offset, +bytes), data undefined or zero: preallocation. */
int qcow2_preallocate(Qcow2 *q, u64 offset, u64 bytes, BlockPrealloc mode, BlockError *error);
int qcow2_make_empty(BlockNode *node, BlockError *error);
int qcow2_change_backing(BlockNode *node, const char *filename, const char *format,
                         BlockError *error);
int qcow2_create(BlockNode *file, const char *filename, const BlockOptions *options,
                 BlockError *error);
int qcow2_measure(const BlockOptions *options, BlockNode *source, BlockMeasure *measure,
                  BlockError *error);
int qcow2_amend(BlockNode *node, const BlockOptions *options, BlockProgress *progress, void *opaque,
                BlockError *error);
extern const BlockOption qcow2_create_options[], qcow2_amend_options[];

int qcow2_bitmaps_load(Qcow2 *q, BlockError *error);
/* Tells the disk that the bitmaps it holds are not to be trusted, before the first write. */
int qcow2_bitmaps_take(Qcow2 *q, BlockError *error);
int qcow2_bitmaps_store(Qcow2 *q, BlockError *error);
void qcow2_bitmaps_free(Qcow2 *q);
/* Notes a write in all enabled bitmaps. Lock held. */
void qcow2_bitmaps_note(Qcow2 *q, u64 offset, u64 bytes);
/* Calls for each part of the file that bitmaps occupy. */
int qcow2_bitmaps_walk(Qcow2 *q, int (*each)(void *opaque, u64 offset, u64 bytes), void *opaque);
int qcow2_bitmap_list(BlockNode *node, BlockBitmapInfo **list, BlockError *error);
int qcow2_bitmap_add(BlockNode *node, const char *name, u32 granularity, bool enabled,
                     BlockError *error);
int qcow2_bitmap_remove(BlockNode *node, const char *name, BlockError *error);
int qcow2_bitmap_clear(BlockNode *node, const char *name, BlockError *error);
int qcow2_bitmap_enable(BlockNode *node, const char *name, bool enabled, BlockError *error);
int qcow2_bitmap_map(BlockNode *node, const char *name, u64 offset, u64 bytes, bool *dirty,
                     u64 *length);
int qcow2_bitmap_mark(BlockNode *node, const char *name, u64 offset, u64 bytes);
int qcow2_bitmaps_resize(Qcow2 *q, u64 size);

#endif
