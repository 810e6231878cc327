/* Checking qcow2: counts how often each host cluster is referred to, going through all tables as
 * they are on disk, and compares with the refcounts; then looks whether the COPIED bits agree.
 * Repairs by setting refcounts and bits to what was counted, and by building the refcounts anew
 * where they can't be read. Trusts nothing that it reads. Runs alone (gate closed). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum { CHUNK_BITS = 16, CHUNK = 1 << CHUNK_BITS }; /* clusters of a part of the counts */

/* More clusters than that take too long; the file of an honest image is not so large. */
#define MOST_CLUSTERS (1ull << 32)

typedef struct Check {
    Qcow2 *q;
    BlockCheck *out;
    unsigned fix;
    u32 **references; /* by cluster, in chunks made when needed; stays at UINT32_MAX once there */
    u64 clusters;     /* of the file, and one more */
    u64 file_size;
    bool out_of_memory;
    bool rebuild;  /* the refcount structure itself is broken */
    u64 next_data; /* where the next cluster of an unfragmented file would be */
} Check;

static void report(Check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void report(Check *c, const char *format, ...)
{
    char line[256];
    va_list args;

    if (c->out->report) {
        va_start(args, format);
        vsnprintf(line, sizeof line, format, args);
        va_end(args);
        c->out->report(c->out->opaque, line);
    }
}

#define CORRUPT(c, ...) ((c)->out->corruptions++, report(c, "ERROR " __VA_ARGS__))

static u32 counted(const Check *c, u64 cluster)
{
    const u32 *chunk = c->references[cluster >> CHUNK_BITS];

    return chunk ? chunk[cluster % CHUNK] : 0;
}

static u64 chunk_count(const Check *c)
{
    return (c->clusters >> CHUNK_BITS) + 1;
}

/* Counts a reference to each cluster of [offset, +bytes). */
static void count(Check *c, u64 offset, u64 bytes, const char *what)
{
    u32 shift = c->q->header.cluster_bits;

    if (!bytes) {
        return;
    }
    if (offset > c->clusters << shift || bytes > (c->clusters << shift) - offset) {
        CORRUPT(c, "%s at %#llx lies past the end of the file", what, (unsigned long long)offset);
        return;
    }
    for (u64 i = offset >> shift; i <= (offset + bytes - 1) >> shift; i++) {
        u32 **chunk = &c->references[i >> CHUNK_BITS];
        *chunk = *chunk ? *chunk : calloc(CHUNK, sizeof **chunk);
        if (!*chunk) {
            c->out_of_memory = true;
            return;
        }
        (*chunk)[i % CHUNK] += (*chunk)[i % CHUNK] != UINT32_MAX;
    }
    c->out->image_end_offset =
        MAX(c->out->image_end_offset, ALIGN_UP(offset + bytes, (u64)c->q->cluster_size));
}

static bool is_misplaced(const Check *c, u64 offset)
{
    return offset & (c->q->cluster_size - 1);
}

static void count_data(Check *c, u64 entry, bool active)
{
    BlockCheck *out = c->out;

    if (is_misplaced(c, entry & QCOW2_OFFSET)) {
        CORRUPT(c, "data cluster at %#llx is not at a cluster's start",
                (unsigned long long)(entry & QCOW2_OFFSET));
        return;
    }
    if (!c->q->external_data) {
        count(c, entry & QCOW2_OFFSET, c->q->cluster_size, "data cluster");
    }
    if (active) {
        out->allocated_clusters++;
        out->fragmented_clusters += c->next_data && (entry & QCOW2_OFFSET) != c->next_data;
        c->next_data = (entry & QCOW2_OFFSET) + c->q->cluster_size;
    }
}

static void count_entry(Check *c, u64 entry, u64 bitmap, bool active)
{
    Qcow2 *q = c->q;
    u64 offset;
    u32 bytes;

    if (entry & QCOW2_COMPRESSED) {
        if (q->external_data) {
            CORRUPT(c, "a compressed cluster in an image with a data file");
            return;
        }
        if (entry & QCOW2_COPIED) {
            CORRUPT(c, "a compressed cluster has the COPIED bit: %#llx", (unsigned long long)entry);
        }
        qcow2_packed_place(q, entry, &offset, &bytes);
        count(c, offset, bytes, "compressed cluster");
        c->out->allocated_clusters += active;
        c->out->compressed_clusters += active;
        c->out->fragmented_clusters += active; /* they always are */
        return;
    }
    if (q->subclusters > 1 && (bitmap & bitmap >> 32 & QCOW2_ALL_ALLOCATED)) {
        CORRUPT(c, "a subcluster is zero and data at once: %#llx", (unsigned long long)bitmap);
    }
    if ((entry & QCOW2_OFFSET) || (q->external_data && (entry & QCOW2_COPIED))) {
        count_data(c, entry, active);
    }
}

static int count_l2(Check *c, u64 offset, u8 *table, bool active)
{
    Qcow2 *q = c->q;
    int result = block_pread(q->file, offset, table, q->cluster_size);

    if (result < 0) {
        c->out->check_errors++;
        report(c, "ERROR cannot read the L2 table at %#llx: %s", (unsigned long long)offset,
               strerror(-result));
        return 0;
    }
    for (u32 at = 0; at < q->cluster_size; at += q->entry_bytes) {
        u64 entry = be64_get(table + at);
        u64 bitmap = q->subclusters > 1 ? be64_get(table + at + 8) : 0;
        if (entry || bitmap) {
            count_entry(c, entry, bitmap, active);
        }
    }
    return 0;
}

/* An L1 table, host-endian, and all below. */
static int count_l1(Check *c, const u64 *l1, u32 entries, bool active)
{
    u8 *table = block_buffer_new(c->q->cluster_size);
    int result = table ? 0 : -ENOMEM;

    for (u32 i = 0; !result && i < entries; i++) {
        u64 offset = l1[i] & QCOW2_OFFSET;
        if (!offset) {
            continue;
        }
        if (is_misplaced(c, offset)) {
            CORRUPT(c, "L2 table %u at %#llx is not at a cluster's start", i,
                    (unsigned long long)offset);
            continue;
        }
        count(c, offset, c->q->cluster_size, "L2 table");
        u64 cluster = offset >> c->q->header.cluster_bits;
        if (cluster < c->clusters && counted(c, cluster) > c->q->snapshot_count + 1) {
            CORRUPT(c, "L2 table at %#llx is used more than once", (unsigned long long)offset);
        } else if (offset + c->q->cluster_size <= c->clusters << c->q->header.cluster_bits) {
            result = count_l2(c, offset, table, active);
        }
    }
    free(table);
    return result;
}

static int count_snapshot(Check *c, const Qcow2Snapshot *s)
{
    u64 bytes = s->l1_entries * 8ull;
    u64 *l1 = malloc(MAX(bytes, 8ull));
    int result = l1 ? 0 : -ENOMEM;

    count(c, s->l1_offset, MAX(bytes, 1ull), "L1 table of a snapshot");
    if (!result && bytes && block_read_exact(c->q->file, s->l1_offset, l1, bytes) < 0) {
        c->out->check_errors++;
        report(c, "ERROR cannot read the L1 table of snapshot '%s'", s->id);
    } else if (!result) {
        for (u32 i = 0; i < s->l1_entries; i++) {
            l1[i] = be64_get(&l1[i]);
        }
        result = count_l1(c, l1, s->l1_entries, false);
    }
    free(l1);
    return result;
}

/* The refcount structure itself. What is wrong with it is taken for missing. */
static void count_refcounts(Check *c)
{
    Qcow2 *q = c->q;

    count(c, q->header.reftable_offset, q->reftable_entries * 8ull, "refcount table");
    for (u32 i = 0; i < q->reftable_entries; i++) {
        u64 offset = q->reftable[i];
        if (!offset) {
            continue;
        }
        bool outside = offset >= c->clusters << q->header.cluster_bits;
        if (is_misplaced(c, offset) || outside) {
            CORRUPT(c, "refcount block %u is at an impossible place, %#llx", i,
                    (unsigned long long)offset);
            q->reftable[i] = 0;
            c->rebuild = true;
            continue;
        }
        count(c, offset, q->cluster_size, "refcount block");
        if (counted(c, offset >> q->header.cluster_bits) > 1) {
            CORRUPT(c, "refcount block %u lies on something else", i);
            c->rebuild = true;
        }
    }
}

static int count_bitmap_part(void *opaque, u64 offset, u64 bytes)
{
    count(opaque, offset, bytes, "bitmap");
    return 0;
}

/* Everything but the refcount structure. */
static int count_all(Check *c)
{
    Qcow2 *q = c->q;

    count(c, 0, q->cluster_size, "header");
    count(c, q->header.l1_offset, q->header.l1_entries * 8ull, "L1 table");
    int result = count_l1(c, q->l1, q->header.l1_entries, true);
    for (u32 i = 0; !result && i < q->snapshot_count; i++) {
        result = count_snapshot(c, &q->snapshots[i]);
    }
    count(c, q->header.snapshot_offset, q->snapshot_table_bytes, "snapshot table");
    if (q->header.has_luks) {
        count(c, q->header.luks_offset, q->header.luks_bytes, "encryption header");
    }
    return result ? result : qcow2_bitmaps_walk(q, count_bitmap_part, c);
}

/* --- Comparing ---------------------------------------------------------------------------------
 */

static int fix_refcount(Check *c, u64 cluster, u64 was, u64 is)
{
    bool leak = was > is;
    unsigned needed = leak ? BLOCK_FIX_LEAKS : BLOCK_FIX_ERRORS;
    bool fix = c->fix & needed;

    report(c, "%s cluster %llu refcount=%llu reference=%llu",
           fix    ? "Repairing"
           : leak ? "Leaked"
                  : "ERROR",
           (unsigned long long)cluster, (unsigned long long)was, (unsigned long long)is);
    int result = fix ? qcow2_refcount_set(c->q, cluster, is) : 0;
    if (!fix || result < 0) {
        *(leak ? &c->out->leaks : &c->out->corruptions) += 1;
    } else {
        *(leak ? &c->out->leaks_fixed : &c->out->corruptions_fixed) += 1;
    }
    return result;
}

/* Is there neither a reference nor a refcount block for the whole chunk that starts here? */
static bool nothing_there(const Check *c, u64 cluster)
{
    const Qcow2 *q = c->q;

    if (cluster % CHUNK || c->references[cluster >> CHUNK_BITS]) {
        return false;
    }
    for (u64 i = cluster >> q->block_bits; i << q->block_bits < cluster + CHUNK; i++) {
        if (i < q->reftable_entries && q->reftable[i]) {
            return false;
        }
    }
    return true;
}

static int compare(Check *c)
{
    int result = 0;

    for (u64 i = 0; !result && i < c->clusters; i++) {
        u64 was, is = counted(c, i);
        if (nothing_there(c, i)) {
            i += CHUNK - 1;
            continue;
        }
        result = qcow2_refcount_get(c->q, i, &was);
        if (!result && is > c->q->refcount_max) {
            CORRUPT(c, "cluster %llu has more references than a refcount can hold",
                    (unsigned long long)i);
        } else if (!result && was != is) {
            result = fix_refcount(c, i, was, is);
        }
    }
    return result;
}

/* Builds the refcount structure anew at the end of the file, from what was counted without it. */
static int rebuild(Check *c)
{
    Qcow2 *q = c->q;
    u32 shift = q->header.cluster_bits;
    u64 per_block = 1ull << q->block_bits, used = c->clusters, blocks = 0, table = 1;

    while (blocks * per_block < used + blocks + table) {
        blocks++;
        table = (blocks * 8 + q->cluster_size - 1) >> shift;
    }
    u64 first_table = used + blocks, end = used + blocks + table;
    u8 *block = block_buffer_new(q->cluster_size), *entries = calloc(table, q->cluster_size);
    int result = block && entries ? 0 : -ENOMEM;
    for (u64 i = 0; !result && i < blocks; i++) {
        memset(block, 0, q->cluster_size);
        for (u64 j = 0; j < per_block && i * per_block + j < end; j++) {
            u64 cluster = i * per_block + j;
            u64 is = cluster < used ? counted(c, cluster) : 1;
            qcow2_refcount_encode(q, block, j, MIN(is, q->refcount_max));
        }
        be64_put(entries + i * 8, (used + i) << shift);
        result = block_pwrite(q->file, (used + i) << shift, block, q->cluster_size, 0);
    }
    u8 place[12];
    be64_put(place, first_table << shift);
    be32_put(place + 8, (u32)table);
    result =
        result ? result : block_pwrite(q->file, first_table << shift, entries, table << shift, 0);
    result = result ? result : block_flush(q->file);
    result = result ? result : block_pwrite(q->file, 48, place, sizeof place, 0);
    result = result ? result : block_flush(q->file);
    free(block);
    free(entries);
    if (!result) {
        q->header.reftable_offset = first_table << shift;
        q->header.reftable_clusters = (u32)table;
        q->reftable_dirty_from = q->reftable_dirty_to = 0;
        qcow2_cache_forget_all(&q->refcount_cache);
        result = qcow2_reftable_load(q, NULL);
        q->virgin = end << shift;
        c->out->corruptions_fixed += c->out->corruptions;
        c->out->corruptions = 0;
        report(c, "Rebuilt the refcounts");
    }
    return result;
}

/* --- COPIED bits -------------------------------------------------------------------------------
 */

/* True if the bit had to be, and was, changed. */
static bool check_copied(Check *c, u64 *entry, u64 cluster_offset, const char *what)
{
    u64 count = 0;
    bool has = *entry & QCOW2_COPIED;

    if (qcow2_refcount_get(c->q, cluster_offset >> c->q->header.cluster_bits, &count) < 0 ||
        (count == 1) == has) {
        return false;
    }
    bool fix = c->fix & BLOCK_FIX_ERRORS;
    report(c, "%s OFLAG_COPIED %s: entry=%llx refcount=%llu", fix ? "Repairing" : "ERROR", what,
           (unsigned long long)*entry, (unsigned long long)count);
    *(fix ? &c->out->corruptions_fixed : &c->out->corruptions) += 1;
    *entry ^= fix ? QCOW2_COPIED : 0;
    return fix;
}

static int check_copied_table(Check *c, u64 offset, u8 *table)
{
    Qcow2 *q = c->q;
    bool changed = false;
    int result = block_pread(q->file, offset, table, q->cluster_size);

    for (u32 at = 0; !result && at < q->cluster_size; at += q->entry_bytes) {
        u64 entry = be64_get(table + at);
        if (!(entry & QCOW2_COMPRESSED) && (entry & QCOW2_OFFSET) && !q->external_data &&
            !is_misplaced(c, entry & QCOW2_OFFSET) &&
            check_copied(c, &entry, entry & QCOW2_OFFSET, "data cluster")) {
            be64_put(table + at, entry);
            changed = true;
        }
    }
    if (!result && changed) {
        result = block_pwrite(q->file, offset, table, q->cluster_size, 0);
        qcow2_cache_forget(q, &q->l2_cache, offset, q->cluster_size);
    }
    return result;
}

static int check_all_copied(Check *c)
{
    Qcow2 *q = c->q;
    u8 *table = block_buffer_new(q->cluster_size);
    int result = table ? 0 : -ENOMEM;

    for (u32 i = 0; !result && i < q->header.l1_entries; i++) {
        u64 offset = q->l1[i] & QCOW2_OFFSET;
        if (!offset || is_misplaced(c, offset) || offset >= c->clusters << q->header.cluster_bits) {
            continue;
        }
        if (check_copied(c, &q->l1[i], offset, "L2 cluster")) {
            q->l1_dirty_from = q->l1_dirty_from < q->l1_dirty_to ? MIN(q->l1_dirty_from, i) : i;
            q->l1_dirty_to = MAX(q->l1_dirty_to, i + 1);
        }
        result = check_copied_table(c, offset, table);
    }
    free(table);
    return result;
}

/* --- All together ------------------------------------------------------------------------------
 */

static void forget_counts(Check *c)
{
    for (u64 i = 0; i < chunk_count(c); i++) {
        free(c->references[i]);
        c->references[i] = NULL;
    }
}

/* Counts once more, without what is to be replaced. */
static int count_again(Check *c)
{
    BlockCheck *out = c->out;
    u64 found = out->corruptions;

    forget_counts(c);
    out->allocated_clusters = out->compressed_clusters = out->fragmented_clusters = 0;
    out->image_end_offset = c->next_data = 0;
    int result = count_all(c);
    out->corruptions = found;
    return result;
}

static int check_and_fix(Check *c)
{
    Qcow2 *q = c->q;
    int result = count_all(c);

    if (result < 0) {
        return result;
    }
    u64 *kept = malloc(q->reftable_entries * 8ull + 8);
    if (!kept) {
        return -ENOMEM;
    }
    memcpy(kept, q->reftable, q->reftable_entries * 8ull);
    u32 kept_entries = q->reftable_entries;
    count_refcounts(c);
    if (c->rebuild && (c->fix & BLOCK_FIX_ERRORS)) {
        result = count_again(c);
        result = result ? result : rebuild(c);
    } else if (!c->out_of_memory) {
        result = compare(c);
    }
    result = result ? result : qcow2_write_back(q);
    result = result ? result : check_all_copied(c);
    result = result ? result : qcow2_write_back(q);
    if (c->rebuild && !(c->fix & BLOCK_FIX_ERRORS) && kept_entries == q->reftable_entries) {
        memcpy(q->reftable, kept, kept_entries * 8ull);
    }
    free(kept);
    return result;
}

/* The image is as it should be: says so in the header. */
static int clear_marks(Check *c)
{
    Qcow2 *q = c->q;
    u64 marks = QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT;

    if (!(c->fix & BLOCK_FIX_ERRORS) || c->out->corruptions || c->out->check_errors) {
        return 0;
    }
    q->inert = false;
    int result = block_flush(q->file);
    if (!result && (q->header.incompatible & marks)) {
        q->header.incompatible &= ~marks;
        q->lazy = false;
        result = qcow2_header_write_features(q);
    }
    return result;
}

int qcow2_check(BlockNode *node, unsigned fix, BlockCheck *out, BlockError *error)
{
    Qcow2 *q = node->state;
    Check c = {.q = q, .out = out, .fix = fix, .file_size = block_size(q->file)};
    int result = 0;

    if (node->flags & BLOCK_WRITE) {
        pthread_mutex_lock(&q->lock);
        bool lazy = q->lazy;
        q->lazy = false; /* refcounts too */
        result = q->inert ? 0 : qcow2_settle(q);
        q->lazy = lazy && !fix;
        pthread_mutex_unlock(&q->lock);
        c.file_size = block_size(q->file);
    }
    c.clusters = ((c.file_size + q->cluster_size - 1) >> q->header.cluster_bits) + 1;
    if (c.clusters > MOST_CLUSTERS) {
        return block_error(error, EFBIG, "'%s' is too large to be checked", node->filename);
    }
    c.references = calloc(chunk_count(&c), sizeof *c.references);
    out->total_clusters = (q->header.size + q->cluster_size - 1) >> q->header.cluster_bits;
    result = result ? result : c.references ? 0 : -ENOMEM;
    pthread_mutex_lock(&q->lock);
    result = result ? result : check_and_fix(&c);
    result = result ? result : c.out_of_memory ? -ENOMEM : 0;
    result = result ? result : clear_marks(&c);
    pthread_mutex_unlock(&q->lock);
    if (c.references) {
        forget_counts(&c);
    }
    free(c.references);
    if (result < 0) {
        out->check_errors++;
        return block_error(error, -result, "cannot check '%s': %s", node->filename,
                           strerror(-result));
    }
    return 0;
}
