/* Internal snapshots of qcow2: a copy of the L1 table that shares all L2 tables and clusters with
 * the present state. The machine state lies in guest clusters behind the end of the disk.
 *
 * All changes here touch many refcounts and many COPIED bits, which cannot be changed in one step.
 * So the dirty bit is set on disk meanwhile (version 3): after a crash the image is repaired when
 * it is next opened for writing. Refcounts rise before anything refers to the clusters, and fall
 * after nothing does. Version 2 has no such bit; there all is written anew and switched to in one
 * step (qcow2_replace.c), unless the file cannot grow. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum {
    ENTRY_BYTES = 40,
    EXTRA_BYTES = 24, /* what we know of the extra data */
    MAX_EXTRA_BYTES = 1024,
    MAX_TABLE_BYTES = 64 << 20,
};

static void snapshot_free(Qcow2Snapshot *s)
{
    free(s->id);
    free(s->name);
    free(s->more);
}

void qcow2_snapshots_free(Qcow2 *q)
{
    for (u32 i = 0; i < q->snapshot_count; i++) {
        snapshot_free(&q->snapshots[i]);
    }
    free(q->snapshots);
    q->snapshots = NULL;
    q->snapshot_count = 0;
}

static char *text_at(BlockNode *file, u64 offset, u32 bytes)
{
    char *text = calloc(bytes + 1u, 1);

    if (text && bytes && block_read_exact(file, offset, text, bytes) < 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Reads the entry at *offset and moves past it. */
static int load_one(Qcow2 *q, u64 *offset, Qcow2Snapshot *s, BlockError *error)
{
    u8 fixed[ENTRY_BYTES], extra[MAX_EXTRA_BYTES] = {0};
    int result = block_read_exact(q->file, *offset, fixed, sizeof fixed);

    if (result < 0) {
        return block_error(error, -result, "cannot read the qcow2 snapshot table: %s",
                           strerror(-result));
    }
    *s = (Qcow2Snapshot){.l1_offset = be64_get(fixed),
                         .l1_entries = be32_get(fixed + 8),
                         .date_seconds = be32_get(fixed + 16),
                         .date_nanoseconds = be32_get(fixed + 20),
                         .vm_clock = be64_get(fixed + 24),
                         .vm_state_size = be32_get(fixed + 32),
                         .extra_bytes = be32_get(fixed + 36),
                         .disk_size = q->header.size,
                         .icount = -1};
    u32 id_bytes = be16_get(fixed + 12), name_bytes = be16_get(fixed + 14);
    if (s->extra_bytes > MAX_EXTRA_BYTES) {
        return block_error(error, EINVAL, "a qcow2 snapshot has too much extra data");
    }
    if (s->l1_entries > QCOW2_MAX_L1_BYTES / 8 || (s->l1_offset & (q->cluster_size - 1)) ||
        s->l1_offset > INT64_MAX / 2) {
        return block_error(error, EINVAL, "the L1 table of a qcow2 snapshot is out of place");
    }
    u64 at = *offset + ENTRY_BYTES;
    if (s->extra_bytes && block_read_exact(q->file, at, extra, s->extra_bytes) < 0) {
        return block_error(error, EIO, "cannot read the qcow2 snapshot table");
    }
    s->vm_state_size = s->extra_bytes >= 8 ? be64_get(extra) : s->vm_state_size;
    s->disk_size = s->extra_bytes >= 16 ? be64_get(extra + 8) : s->disk_size;
    s->icount = s->extra_bytes >= 24 ? (s64)be64_get(extra + 16) : -1;
    if (s->extra_bytes > EXTRA_BYTES && (s->more = malloc(s->extra_bytes - EXTRA_BYTES))) {
        memcpy(s->more, extra + EXTRA_BYTES, s->extra_bytes - EXTRA_BYTES);
    }
    at += s->extra_bytes;
    s->id = text_at(q->file, at, id_bytes);
    s->name = text_at(q->file, at + id_bytes, name_bytes);
    *offset = ALIGN_UP(at + id_bytes + name_bytes, 8ull);
    if (!s->id || !s->name || s->disk_size > INT64_MAX / 2) {
        snapshot_free(s);
        return block_error(error, EINVAL, "a qcow2 snapshot makes no sense");
    }
    return 0;
}

int qcow2_snapshots_load(Qcow2 *q, BlockError *error)
{
    u64 offset = q->header.snapshot_offset;
    u32 count = q->header.snapshot_count;

    if (!count) {
        return 0;
    }
    q->snapshots = calloc(count, sizeof *q->snapshots);
    if (!q->snapshots) {
        return block_error(error, ENOMEM, "out of memory");
    }
    for (u32 i = 0; i < count; i++) {
        int result = load_one(q, &offset, &q->snapshots[i], error);
        if (result < 0) {
            return result;
        }
        q->snapshot_count++;
        if (offset - q->header.snapshot_offset > MAX_TABLE_BYTES) {
            return block_error(error, EFBIG, "the qcow2 snapshot table is too large");
        }
    }
    q->snapshot_table_bytes = offset - q->header.snapshot_offset;
    return 0;
}

static size_t entry_size(const Qcow2Snapshot *s)
{
    u32 extra = MAX(s->extra_bytes, (u32)EXTRA_BYTES);

    return ALIGN_UP(ENTRY_BYTES + extra + strlen(s->id) + strlen(s->name), (size_t)8);
}

static void encode(const Qcow2Snapshot *s, u8 *at)
{
    u32 extra = s->more ? s->extra_bytes : EXTRA_BYTES;
    size_t id = strlen(s->id), name = strlen(s->name);

    be64_put(at, s->l1_offset);
    be32_put(at + 8, s->l1_entries);
    be16_put(at + 12, (u16)id);
    be16_put(at + 14, (u16)name);
    be32_put(at + 16, s->date_seconds);
    be32_put(at + 20, s->date_nanoseconds);
    be64_put(at + 24, s->vm_clock);
    be32_put(at + 32, s->vm_state_size > UINT32_MAX ? 0 : (u32)s->vm_state_size);
    be32_put(at + 36, extra);
    be64_put(at + 40, s->vm_state_size);
    be64_put(at + 48, s->disk_size);
    be64_put(at + 56, (u64)s->icount);
    if (extra > EXTRA_BYTES) {
        memcpy(at + ENTRY_BYTES + EXTRA_BYTES, s->more, extra - EXTRA_BYTES);
    }
    memcpy(at + ENTRY_BYTES + extra, s->id, id);
    memcpy(at + ENTRY_BYTES + extra + id, s->name, name);
}

static u64 clusters_of(const Qcow2 *q, u64 bytes)
{
    return (bytes + q->cluster_size - 1) >> q->header.cluster_bits;
}

/* The table as it is to be on disk, in whole clusters; *bytes of it are used. To be freed. */
static u8 *encode_all(const Qcow2 *q, u64 *bytes, int *result)
{
    *bytes = 0;
    for (u32 i = 0; i < q->snapshot_count; i++) {
        *bytes += entry_size(&q->snapshots[i]);
    }
    *result = *bytes > MAX_TABLE_BYTES ? -EFBIG : 0;
    u8 *table = *result ? NULL : calloc(MAX(clusters_of(q, *bytes), 1ull), q->cluster_size);
    *result = *result || table ? *result : -ENOMEM;
    u8 *at = table;
    for (u32 i = 0; !*result && i < q->snapshot_count; i++) {
        encode(&q->snapshots[i], at);
        at += entry_size(&q->snapshots[i]);
    }
    return table;
}

/* Writes the table to a new place, 0 if it is empty. Nothing refers to it yet. */
static int write_table(Qcow2 *q, u64 *offset, u64 *bytes)
{
    u64 got;
    bool virgin;
    int result;
    u8 *table = encode_all(q, bytes, &result);

    *offset = 0;
    if (!result && *bytes) {
        u64 clusters = clusters_of(q, *bytes);
        result = qcow2_alloc(q, clusters, clusters, offset, &got, &virgin);
        result = result
                     ? result
                     : block_pwrite(q->file, *offset, table, clusters << q->header.cluster_bits, 0);
    }
    free(table);
    return result;
}

/* Makes the header point to it; then the old one is given back. */
static int name_table(Qcow2 *q, u64 offset, u64 bytes)
{
    u64 old = q->header.snapshot_offset, old_bytes = q->snapshot_table_bytes;
    u8 place[12] = {0};

    be32_put(place, q->snapshot_count);
    be64_put(place + 4, offset);
    int result = qcow2_write_back(q);
    result = result ? result : block_flush(q->file);
    result = result ? result : block_pwrite(q->file, 60, place, sizeof place, 0);
    result = result ? result : block_flush(q->file);
    if (result < 0) {
        return result;
    }
    q->header.snapshot_count = q->snapshot_count;
    q->header.snapshot_offset = offset;
    q->snapshot_table_bytes = bytes;
    if (old_bytes) {
        qcow2_free(q, old, clusters_of(q, old_bytes), false);
    }
    return 0;
}

/* Both. */
static int store(Qcow2 *q)
{
    u64 offset, bytes;
    int result = write_table(q, &offset, &bytes);

    return result ? result : name_table(q, offset, bytes);
}

int qcow2_snapshots_store(Qcow2 *q, BlockError *error)
{
    int result = store(q);

    return result ? block_error(error, -result, "cannot write the snapshot table: %s",
                                strerror(-result))
                  : 0;
}

/* --- Walking tables ----------------------------------------------------------------------------
 */

typedef enum WalkKind {
    WALK_RISE,
    WALK_FALL, /* takes back the first `limit` rises */
    WALK_FREE,
    WALK_COPIED, /* set the COPIED bits by the refcounts; for the active table */
} WalkKind;

typedef struct Walk {
    WalkKind kind;
    u64 done;  /* refcounts changed */
    u64 limit; /* WALK_FALL: how many to change */
} Walk;

static int walk_clusters(Qcow2 *q, u64 offset, u64 clusters, Walk *walk)
{
    u64 first = offset >> q->header.cluster_bits;
    int result = 0;

    if (walk->kind == WALK_FREE) {
        qcow2_free(q, offset, clusters, true);
    }
    if (walk->kind != WALK_RISE && walk->kind != WALK_FALL) {
        return 0;
    }
    for (u64 i = 0; !result && i < clusters; i++) {
        if (walk->kind == WALK_FALL && walk->done == walk->limit) {
            break;
        }
        result = qcow2_refcount_add(q, first + i, 1, walk->kind == WALK_RISE ? 1 : -1);
        walk->done += !result;
    }
    return result;
}

/* Is the cluster at `offset` referred to once? */
static int is_single(Qcow2 *q, u64 offset, bool *single)
{
    u64 count;
    int result = qcow2_refcount_get(q, offset >> q->header.cluster_bits, &count);

    *single = count == 1;
    return result;
}

/* Sets or clears the COPIED bit of one L2 entry. */
static int update_copied(Qcow2 *q, u64 slice_offset, u32 index, u64 entry)
{
    Qcow2Slice *slice;
    bool single = true;
    u64 bitmap;
    int result = q->external_data ? 0 : is_single(q, entry & QCOW2_OFFSET, &single);

    if (result < 0 || single == !!(entry & QCOW2_COPIED)) {
        return result;
    }
    result = qcow2_cache_get(q, &q->l2_cache, slice_offset, true, &slice);
    if (!result) {
        entry = qcow2_entry_get(q, slice, index, &bitmap);
        entry = single ? entry | QCOW2_COPIED : entry & ~QCOW2_COPIED;
        qcow2_entry_set(q, slice, index, entry, bitmap);
    }
    return result;
}

static int walk_entry(Qcow2 *q, u64 slice_offset, u32 index, u64 entry, Walk *walk)
{
    if (entry & QCOW2_COMPRESSED) {
        u64 offset;
        u32 bytes;
        qcow2_packed_place(q, entry, &offset, &bytes);
        u64 start = ALIGN_DOWN(offset, (u64)q->cluster_size);
        return walk_clusters(q, start, clusters_of(q, offset + bytes - start), walk);
    }
    if (!(entry & QCOW2_OFFSET) && !(q->external_data && (entry & QCOW2_COPIED))) {
        return 0;
    }
    if (walk->kind == WALK_COPIED) {
        return update_copied(q, slice_offset, index, entry);
    }
    return q->external_data ? 0 : walk_clusters(q, entry & QCOW2_OFFSET, 1, walk);
}

static int walk_slice(Qcow2 *q, u64 offset, Walk *walk)
{
    u32 count = q->l2_cache.slice_bytes / q->entry_bytes;
    u64 *entries = malloc(count * sizeof *entries);
    u64 bitmap;
    Qcow2Slice *slice;
    int result = entries ? qcow2_cache_get(q, &q->l2_cache, offset, true, &slice) : -ENOMEM;

    /* A copy: reaching refcounts may drop the lock, and with it the slice. */
    for (u32 i = 0; !result && i < count; i++) {
        entries[i] = qcow2_entry_get(q, slice, i, &bitmap);
    }
    for (u32 i = 0; !result && i < count; i++) {
        result = walk_entry(q, offset, i, entries[i], walk);
    }
    free(entries);
    return result;
}

/* Goes through all that an L1 table (host-endian) refers to. */
static int walk_l1(Qcow2 *q, const u64 *l1, u32 count, Walk *walk)
{
    int result = 0;

    for (u32 i = 0; !result && i < count; i++) {
        u64 table = l1[i] & QCOW2_OFFSET;
        if (!table) {
            continue;
        }
        if (table & (q->cluster_size - 1)) {
            return qcow2_corrupt(q, "L2 table %u is not at a cluster's start", i);
        }
        for (u32 at = 0; !result && at < q->cluster_size; at += q->l2_cache.slice_bytes) {
            result = walk_slice(q, table + at, walk);
        }
        result = result ? result : walk_clusters(q, table, 1, walk);
    }
    return result;
}

/* Adds a reference to all that an L1 table refers to; to nothing if one of them overflows. */
static int raise_all(Qcow2 *q, const u64 *l1, u32 count)
{
    Walk rise = {.kind = WALK_RISE};
    int result = walk_l1(q, l1, count, &rise);

    if (result < 0) {
        Walk fall = {.kind = WALK_FALL, .limit = rise.done};
        walk_l1(q, l1, count, &fall);
    }
    return result;
}

static int free_all(Qcow2 *q, const u64 *l1, u32 count)
{
    Walk walk = {.kind = WALK_FREE};

    return walk_l1(q, l1, count, &walk);
}

static int set_all_copied(Qcow2 *q)
{
    Walk walk = {.kind = WALK_COPIED};
    int result = walk_l1(q, q->l1, q->header.l1_entries, &walk);

    for (u32 i = 0; !result && i < q->header.l1_entries; i++) {
        bool single;
        if (q->l1[i] & QCOW2_OFFSET) {
            result = is_single(q, q->l1[i] & QCOW2_OFFSET, &single);
            q->l1[i] = single ? q->l1[i] | QCOW2_COPIED : q->l1[i] & ~QCOW2_COPIED;
        }
    }
    q->l1_dirty_from = 0;
    q->l1_dirty_to = q->header.l1_entries;
    return result ? result : qcow2_settle(q);
}

/* --- Bracketing --------------------------------------------------------------------------------
 */

/* With everything on disk, says that refcounts are about to be inconsistent. Takes the lock. */
static int begin(Qcow2 *q)
{
    pthread_mutex_lock(&q->lock);
    int result = q->inert ? -EIO : qcow2_settle(q);
    if (!result && q->header.version >= 3 && !(q->header.incompatible & QCOW2_INCOMPATIBLE_DIRTY)) {
        q->header.incompatible |= QCOW2_INCOMPATIBLE_DIRTY;
        result = qcow2_header_write_features(q);
    }
    return result;
}

/* Ends it, if all went well; with lazy refcounts they stay so. Drops the lock. */
static int end(Qcow2 *q, int result)
{
    result = result ? result : qcow2_settle(q);
    result = result ? result : block_flush(q->file);
    if (!result && q->header.version >= 3 && !q->lazy) {
        q->header.incompatible &= ~(u64)QCOW2_INCOMPATIBLE_DIRTY;
        result = qcow2_header_write_features(q);
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

static int failed(int result, const char *what, const char *name, BlockError *error)
{
    return result == -ERANGE
               ? block_error(error, ERANGE, "cannot %s snapshot '%s': the refcounts are too narrow",
                             what, name)
               : block_error(error, -result, "cannot %s snapshot '%s': %s", what, name,
                             strerror(-result));
}

/* --- The operations ----------------------------------------------------------------------------
 */

static int find(const Qcow2 *q, const char *id)
{
    for (u32 i = 0; i < q->snapshot_count; i++) {
        if (!strcmp(q->snapshots[i].id, id)) {
            return (int)i;
        }
    }
    return -1;
}

int qcow2_snapshot_list(BlockNode *node, BlockSnapshot **list, BlockError *error)
{
    const Qcow2 *q = node->state;

    *list = calloc(q->snapshot_count + 1, sizeof **list);
    if (!*list) {
        return block_error(error, ENOMEM, "out of memory");
    }
    for (u32 i = 0; i < q->snapshot_count; i++) {
        const Qcow2Snapshot *s = &q->snapshots[i];
        BlockSnapshot *out = &(*list)[i];
        snprintf(out->id, sizeof out->id, "%s", s->id);
        snprintf(out->name, sizeof out->name, "%s", s->name);
        out->vm_state_size = s->vm_state_size;
        out->disk_size = s->disk_size;
        out->date_seconds = s->date_seconds;
        out->date_nanoseconds = s->date_nanoseconds;
        out->vm_clock = s->vm_clock;
        out->icount = s->icount;
    }
    return (int)q->snapshot_count;
}

static void choose_id(const Qcow2 *q, BlockSnapshot *s)
{
    u64 highest = 0;

    for (u32 i = 0; i < q->snapshot_count; i++) {
        highest = MAX(highest, strtoull(q->snapshots[i].id, NULL, 10));
    }
    snprintf(s->id, sizeof s->id, "%llu", (unsigned long long)highest + 1);
}

/* Writes a copy of the active L1 table; its place in *offset. */
static int copy_l1(Qcow2 *q, u64 *offset)
{
    u64 clusters = MAX(clusters_of(q, q->header.l1_entries * 8ull), 1ull), got;
    u8 *table = calloc(clusters, q->cluster_size);
    bool virgin;
    int result = table ? qcow2_alloc(q, clusters, clusters, offset, &got, &virgin) : -ENOMEM;

    for (u32 i = 0; !result && i < q->header.l1_entries; i++) {
        be64_put(table + i * 8ull, q->l1[i] & ~QCOW2_COPIED);
    }
    result = result ? result
                    : block_pwrite(q->file, *offset, table, clusters << q->header.cluster_bits, 0);
    free(table);
    return result;
}

/* Puts it into the list in memory. */
static int append(Qcow2 *q, const BlockSnapshot *from, u64 l1_offset)
{
    Qcow2Snapshot *grown = realloc(q->snapshots, (q->snapshot_count + 1) * sizeof *q->snapshots);

    if (!grown) {
        return -ENOMEM;
    }
    q->snapshots = grown;
    grown[q->snapshot_count++] = (Qcow2Snapshot){
        .id = strdup(from->id),
        .name = strdup(from->name),
        .l1_offset = l1_offset,
        .l1_entries = q->header.l1_entries,
        .date_seconds = (u32)from->date_seconds,
        .date_nanoseconds = from->date_nanoseconds,
        .vm_clock = from->vm_clock,
        .vm_state_size = from->vm_state_size,
        .disk_size = q->node->size,
        .icount = from->icount,
    };
    return 0;
}

static void drop_last(Qcow2 *q)
{
    snapshot_free(&q->snapshots[--q->snapshot_count]);
}

/* Gives back what nothing came to refer to. */
static void give_back(Qcow2 *q, u64 offset, u64 bytes)
{
    if (offset) {
        qcow2_free(q, offset, MAX(clusters_of(q, bytes), 1ull), false);
    }
}

/* First what needs space is written, to which nothing refers: when there is none, or the refcounts
 * are too narrow, all is as it was (*undone). */
static int create_in_place(Qcow2 *q, const BlockSnapshot *snapshot, bool *undone)
{
    u64 l1 = 0, table = 0, bytes = 0;
    int result = copy_l1(q, &l1);

    result = result ? result : append(q, snapshot, l1);
    bool listed = !result;
    result = result ? result : write_table(q, &table, &bytes);
    result = result ? result : raise_all(q, q->l1, q->header.l1_entries);
    *undone = result < 0;
    if (result < 0) {
        give_back(q, l1, q->header.l1_entries * 8ull);
        give_back(q, table, bytes);
    } else {
        result = set_all_copied(q);
        result = result ? result : name_table(q, table, bytes);
    }
    if (result < 0 && listed) {
        drop_last(q);
    }
    return result;
}

/* --- Version 2: all in one step ----------------------------------------------------------------
 */

static Qcow2L1 active_l1(const Qcow2 *q)
{
    return (Qcow2L1){q->l1, q->header.l1_entries, q->header.l1_offset};
}

/* Replaces the tables; the list of snapshots in memory is what it is to be. */
static int replace(Qcow2 *q, Qcow2Replacement *r)
{
    int result;
    u8 *table = encode_all(q, &r->bytes, &result);

    r->snapshots = table;
    r->count = q->snapshot_count;
    result = result ? result : qcow2_replace(q, r);
    free(table);
    return result;
}

/* The snapshot gets the active tables, and the guest goes on with copies. */
static int create_at_once(Qcow2 *q, const BlockSnapshot *snapshot)
{
    Qcow2Replacement r = {.source = active_l1(q), .size = q->header.size};
    int result = append(q, snapshot, q->header.l1_offset);

    if (!result && (result = replace(q, &r)) < 0) {
        drop_last(q);
    }
    return result;
}

static int delete_at_once(Qcow2 *q, const Qcow2L1 *l1)
{
    Qcow2Replacement r = {
        .source = active_l1(q), .dropped = {*l1, active_l1(q)}, .size = q->header.size};

    return replace(q, &r);
}

int qcow2_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, BlockError *error)
{
    Qcow2 *q = node->state;
    bool undone = false;

    if (q->external_data) {
        return block_error(error, ENOTSUP,
                           "an image with an external data file cannot have internal snapshots");
    }
    if (q->snapshot_count >= QCOW2_MAX_SNAPSHOTS) {
        return block_error(error, EFBIG, "there are too many snapshots");
    }
    if (!*snapshot->id) {
        choose_id(q, snapshot);
    } else if (find(q, snapshot->id) >= 0) {
        return block_error(error, EEXIST, "there is a snapshot with id %s", snapshot->id);
    }
    int result = begin(q);
    if (!result && qcow2_can_replace(q)) {
        result = create_at_once(q, snapshot);
    } else if (!result) {
        result = create_in_place(q, snapshot, &undone);
    }
    int ended = end(q, undone ? 0 : result);
    result = result ? result : ended;
    if (!result && snapshot->vm_state_size) {
        /* It belongs to the snapshot now. */
        u64 from = qcow2_vmstate_offset(q);
        u64 all = (u64)q->header.l1_entries << (q->l2_bits + q->header.cluster_bits);
        result = all > from ? qcow2_drop(q, from, all - from, true) : 0;
    }
    return result ? failed(result, "take", snapshot->name, error) : 0;
}

/* The snapshot's L1 table, host-endian and at least `room` entries long. NULL with -errno. */
static u64 *read_l1(Qcow2 *q, const Qcow2Snapshot *s, u32 room, int *result)
{
    u64 *l1 = calloc(MAX(MAX(s->l1_entries, room), 1u), 8);

    *result = l1 ? 0 : -ENOMEM;
    if (l1 && s->l1_entries) {
        *result = block_read_exact(q->file, s->l1_offset, l1, s->l1_entries * 8ull);
    }
    for (u32 i = 0; !*result && i < s->l1_entries; i++) {
        l1[i] = be64_get(&l1[i]) & ~QCOW2_COPIED;
    }
    return l1;
}

int qcow2_snapshot_delete(BlockNode *node, const char *id, BlockError *error)
{
    Qcow2 *q = node->state;
    int index = find(q, id), result;

    assert(index >= 0 && "the layer found it");
    Qcow2Snapshot s = q->snapshots[index];
    u64 *l1 = read_l1(q, &s, 0, &result);
    if (!result) {
        Qcow2L1 old = {l1, s.l1_entries, s.l1_offset};
        result = begin(q);
        bool at_once = !result && qcow2_can_replace(q);
        memmove(&q->snapshots[index], &q->snapshots[index + 1],
                (q->snapshot_count - (u32)index - 1) * sizeof s);
        q->snapshot_count--;
        result = result ? result : at_once ? delete_at_once(q, &old) : store(q);
        if (result < 0) {
            memmove(&q->snapshots[index + 1], &q->snapshots[index],
                    (q->snapshot_count - (u32)index) * sizeof s);
            q->snapshots[index] = s;
            q->snapshot_count++;
            pthread_mutex_unlock(&q->lock);
        } else if (at_once) {
            result = end(q, result);
        } else {
            result = free_all(q, l1, s.l1_entries);
            qcow2_free(q, s.l1_offset, MAX(clusters_of(q, s.l1_entries * 8ull), 1ull), true);
            result = result ? result : qcow2_settle(q);
            result = result ? result : set_all_copied(q);
            result = end(q, result);
        }
    }
    free(l1);
    int answer = result ? failed(result, "delete", s.name, error) : 0;
    if (find(q, s.id) < 0 || q->snapshots[find(q, s.id)].id != s.id) {
        snapshot_free(&s);
    }
    return answer;
}

static int write_size(Qcow2 *q, u64 size)
{
    u8 bytes[8];

    be64_put(bytes, size);
    int result = block_pwrite(q->file, 24, bytes, sizeof bytes, 0);
    if (!result) {
        q->header.size = q->node->size = size;
    }
    return result;
}

/* Makes the snapshot's tables the active ones. Everything is settled, the lock held. */
static int switch_to(Qcow2 *q, const Qcow2Snapshot *s)
{
    u32 entries = (u32)MAX(qcow2_l1_entries(q, s->disk_size), (u64)s->l1_entries);
    u64 *l1 = NULL;
    int result = 0;

    if (qcow2_can_replace(q)) {
        l1 = read_l1(q, s, entries, &result);
        Qcow2Replacement r = {
            .source = {l1, entries, s->l1_offset}, .dropped = {active_l1(q)}, .size = s->disk_size};
        result = result ? result : replace(q, &r);
        free(l1);
        return result;
    }
    result = qcow2_grow_l1(q, entries);

    if (!result) {
        l1 = read_l1(q, s, q->header.l1_entries, &result);
    }
    result = result ? result : raise_all(q, l1, q->header.l1_entries);
    result = result ? result : qcow2_settle(q);
    if (result < 0) {
        free(l1);
        return result;
    }
    u64 *old = q->l1;
    q->l1 = l1;
    q->l1_dirty_from = 0;
    q->l1_dirty_to = q->header.l1_entries;
    result = qcow2_write_back(q);
    if (!result && s->disk_size != q->node->size) {
        result = write_size(q, s->disk_size);
    }
    result = result ? result : block_flush(q->file);
    result = result ? result : free_all(q, old, q->header.l1_entries);
    free(old);
    result = result ? result : qcow2_settle(q);
    return result ? result : set_all_copied(q);
}

int qcow2_snapshot_apply(BlockNode *node, const char *id, BlockError *error)
{
    Qcow2 *q = node->state;
    const Qcow2Snapshot *s = &q->snapshots[find(q, id)];

    if (q->external_data) {
        return block_error(error, ENOTSUP,
                           "an image with an external data file cannot go back to a snapshot");
    }
    int result = begin(q);
    result = result ? result : switch_to(q, s);
    result = end(q, result);
    if (!result) {
        pthread_mutex_lock(&q->lock);
        qcow2_bitmaps_note(q, 0, node->size);
        pthread_mutex_unlock(&q->lock);
    }
    return result ? failed(result, "go back to", s->name, error) : 0;
}

int qcow2_snapshot_load(BlockNode *node, const char *id, BlockError *error)
{
    Qcow2 *q = node->state;
    const Qcow2Snapshot *s = &q->snapshots[find(q, id)];
    int result;

    if (node->flags & BLOCK_WRITE) {
        return block_error(error, EINVAL,
                           "a snapshot can only be shown by an image opened for "
                           "reading");
    }
    u64 *l1 = read_l1(q, s, 0, &result);
    if (!result && s->l1_entries < qcow2_l1_entries(q, s->disk_size)) {
        result = -EINVAL;
    }
    if (result < 0) {
        free(l1);
        return failed(result, "show", s->name, error);
    }
    free(q->l1);
    q->l1 = l1;
    q->header.l1_entries = s->l1_entries;
    q->header.size = node->size = s->disk_size;
    return 0;
}

/* --- Machine state -----------------------------------------------------------------------------
 */

u64 qcow2_vmstate_offset(const Qcow2 *q)
{
    return qcow2_l1_entries(q, q->header.size) << (q->l2_bits + q->header.cluster_bits);
}

/* Machine state of any alignment in an encrypted image, whose data are whole sectors. */
static int vmstate_padded(Qcow2 *q, u64 start, const BlockVector *data, bool write)
{
    u64 from = ALIGN_DOWN(start, (u64)CRYPTO_SECTOR);
    u64 bytes = ALIGN_UP(start + data->bytes, (u64)CRYPTO_SECTOR) - from;
    u8 *buffer = block_buffer_new(bytes);
    struct iovec iov;
    BlockVector padded = block_vector_of(&iov, buffer, bytes);
    int result = buffer ? qcow2_read_range(q, from, &padded) : -ENOMEM;

    if (!result && write) {
        block_vector_load(data, buffer + (start - from), data->bytes);
        result = qcow2_write_range(q, from, &padded);
    } else if (!result) {
        block_vector_store(data, buffer + (start - from), data->bytes);
    }
    free(buffer);
    return result;
}

int qcow2_vmstate_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    Qcow2 *q = node->state;

    u64 start = qcow2_vmstate_offset(q) + offset;

    return q->cipher ? vmstate_padded(q, start, data, false) : qcow2_read_range(q, start, data);
}

int qcow2_vmstate_write(BlockNode *node, u64 offset, const BlockVector *data)
{
    Qcow2 *q = node->state;
    u64 start = qcow2_vmstate_offset(q) + offset;

    pthread_mutex_lock(&q->lock);
    int result = qcow2_grow_l1(q, qcow2_l1_entries(q, start + data->bytes));
    pthread_mutex_unlock(&q->lock);
    if (result < 0) {
        return result;
    }
    return q->cipher ? vmstate_padded(q, start, data, true) : qcow2_write_range(q, start, data);
}
