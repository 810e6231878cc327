/* Slices of qcow2 tables in memory, and putting them on disk in an order that is safe at any
 * moment: see qcow2.h.
 *
 * Slots fill up as slices are first used, so a small image costs little; when all are in use, a
 * clock finds one to drop. Dirty slices are never dropped singly: when the hand finds nothing
 * clean, everything is written back. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

int qcow2_cache_init(Qcow2Cache *cache, u32 slice_bytes, u64 bytes)
{
    u32 buckets = 16;

    cache->slice_bytes = slice_bytes;
    cache->max = (u32)MAX(bytes / slice_bytes, 16ull);
    while (buckets < cache->max) {
        buckets *= 2;
    }
    cache->bucket_mask = buckets - 1;
    cache->buckets = calloc(buckets, sizeof *cache->buckets);
    cache->slots = calloc(cache->max, sizeof *cache->slots);
    return cache->buckets && cache->slots ? 0 : -ENOMEM;
}

void qcow2_cache_free(Qcow2Cache *cache)
{
    for (u32 i = 0; i < cache->count; i++) {
        free(cache->slots[i].data);
    }
    free(cache->slots);
    free(cache->buckets);
    *cache = (Qcow2Cache){0};
}

static u32 *bucket_of(Qcow2Cache *cache, u64 offset)
{
    u64 number = offset / cache->slice_bytes;

    return &cache->buckets[(number * 0x9e3779b97f4a7c15 >> 32) & cache->bucket_mask];
}

static Qcow2Slice *find(Qcow2Cache *cache, u64 offset)
{
    for (u32 i = *bucket_of(cache, offset); i; i = cache->slots[i - 1].next) {
        if (cache->slots[i - 1].offset == offset) {
            return &cache->slots[i - 1];
        }
    }
    return NULL;
}

static void link_slice(Qcow2Cache *cache, Qcow2Slice *slice, u64 offset)
{
    u32 *bucket = bucket_of(cache, offset);

    slice->offset = offset;
    slice->next = *bucket;
    *bucket = (u32)(slice - cache->slots) + 1;
}

static void unlink_slice(Qcow2Cache *cache, Qcow2Slice *slice)
{
    u32 *link = bucket_of(cache, slice->offset);

    while (*link != (u32)(slice - cache->slots) + 1) {
        link = &cache->slots[*link - 1].next;
    }
    *link = slice->next;
    slice->offset = 0;
}

void qcow2_cache_dirty(Qcow2Cache *cache, Qcow2Slice *slice)
{
    cache->dirty += !slice->dirty;
    slice->dirty = true;
}

/* A slot to load into: a new one, or one that was not used lately. NULL: all are dirty or busy. */
static Qcow2Slice *find_slot(Qcow2Cache *cache)
{
    if (cache->count < cache->max) {
        Qcow2Slice *slice = &cache->slots[cache->count];
        slice->data = block_buffer_new(cache->slice_bytes);
        cache->count += slice->data != NULL;
        return slice->data ? slice : NULL;
    }
    for (u32 tries = 0; tries < 2 * cache->count; tries++) {
        Qcow2Slice *slice = &cache->slots[cache->hand];
        cache->hand = (cache->hand + 1) % cache->count;
        if (slice->dirty || slice->busy) {
            continue;
        }
        if (!slice->used) {
            if (slice->offset) {
                unlink_slice(cache, slice);
            }
            return slice;
        }
        slice->used = false;
    }
    return NULL;
}

static int load(Qcow2 *q, Qcow2Cache *cache, Qcow2Slice *slice)
{
    u64 offset = slice->offset;

    slice->busy = slice->loading = true;
    pthread_mutex_unlock(&q->lock);
    int result = block_pread(q->file, offset, slice->data, cache->slice_bytes);
    pthread_mutex_lock(&q->lock);
    slice->busy = slice->loading = false;
    if (result < 0) {
        unlink_slice(cache, slice);
    }
    pthread_cond_broadcast(&q->changed);
    return result;
}

int qcow2_cache_get(Qcow2 *q, Qcow2Cache *cache, u64 offset, bool wait, Qcow2Slice **found)
{
    for (;;) {
        Qcow2Slice *slice = find(cache, offset);
        int result = 0;
        if (slice && !slice->loading) {
            slice->used = true;
            *found = slice;
            return 0;
        }
        if (!wait) {
            return -EAGAIN;
        }
        if (slice) {
            pthread_cond_wait(&q->changed, &q->lock);
        } else if ((slice = find_slot(cache)) != NULL) {
            link_slice(cache, slice, offset);
            result = load(q, cache, slice);
        } else {
            result = qcow2_write_back(q);
        }
        if (result < 0) {
            return result;
        }
    }
}

void qcow2_cache_forget(Qcow2 *q, Qcow2Cache *cache, u64 offset, u64 bytes)
{
    for (u64 at = offset; at < offset + bytes;) {
        Qcow2Slice *slice = find(cache, at);
        if (slice && slice->busy) {
            pthread_cond_wait(&q->changed, &q->lock);
            continue;
        }
        if (slice) {
            cache->dirty -= slice->dirty;
            slice->dirty = false;
            unlink_slice(cache, slice);
        }
        at += cache->slice_bytes;
    }
}

void qcow2_cache_forget_all(Qcow2Cache *cache)
{
    for (u32 i = 0; i < cache->count; i++) {
        cache->slots[i].dirty = false;
        if (cache->slots[i].offset) {
            unlink_slice(cache, &cache->slots[i]);
        }
    }
    cache->dirty = 0;
}

/* --- Writing back ------------------------------------------------------------------------------
 */

/* Slices as they were when the write-back began. */
typedef struct Batch {
    u32 count;
    u32 *slots;
    u64 *offsets;
    u8 *data;
} Batch;

static void batch_free(Batch *batch)
{
    free(batch->slots);
    free(batch->offsets);
    free(batch->data);
}

/* Copies all dirty slices and marks them clean, but busy. */
static int collect(Qcow2Cache *cache, Batch *batch)
{
    *batch = (Batch){.slots = calloc(cache->dirty + 1, sizeof(u32)),
                     .offsets = calloc(cache->dirty + 1, sizeof(u64)),
                     .data = block_buffer_new((size_t)cache->dirty * cache->slice_bytes)};
    if (!batch->slots || !batch->offsets || !batch->data) {
        return -ENOMEM;
    }
    for (u32 i = 0; i < cache->count && cache->dirty; i++) {
        Qcow2Slice *slice = &cache->slots[i];
        if (!slice->dirty) {
            continue;
        }
        u32 n = batch->count++;
        batch->slots[n] = i;
        batch->offsets[n] = slice->offset;
        memcpy(batch->data + (size_t)n * cache->slice_bytes, slice->data, cache->slice_bytes);
        slice->dirty = false;
        slice->busy = true;
        cache->dirty--;
    }
    return 0;
}

static int write_batch(Qcow2 *q, const Qcow2Cache *cache, const Batch *batch)
{
    int result = 0;

    for (u32 i = 0, run; !result && i < batch->count; i += run) {
        size_t bytes = cache->slice_bytes;
        for (run = 1;
             i + run < batch->count && batch->offsets[i + run] == batch->offsets[i] + run * bytes;
             run++) {
        }
        result = block_pwrite(q->file, batch->offsets[i], batch->data + i * bytes, run * bytes, 0);
    }
    return result;
}

/* Ends the batch: slices are dirty again if it failed. */
static void settle(Qcow2Cache *cache, Batch *batch, bool failed)
{
    for (u32 i = 0; i < batch->count; i++) {
        Qcow2Slice *slice = &cache->slots[batch->slots[i]];
        slice->busy = false;
        if (failed) {
            qcow2_cache_dirty(cache, slice);
        }
    }
    batch_free(batch);
}

/* A part of the L1 or refcount table as it was. */
typedef struct TablePart {
    u64 offset;
    u32 from, to; /* entries */
    u8 *data;
} TablePart;

static int collect_table(const u64 *table, u64 offset, u32 *from, u32 *to, TablePart *part)
{
    *part = (TablePart){.offset = offset, .from = *from, .to = *to};
    if (*from >= *to) {
        part->from = part->to = 0;
        return 0;
    }
    part->data = malloc((size_t)(*to - *from) * 8);
    if (!part->data) {
        return -ENOMEM;
    }
    for (u32 i = *from; i < *to; i++) {
        be64_put(part->data + (size_t)(i - *from) * 8, table[i]);
    }
    *from = *to = 0;
    return 0;
}

static int write_table(Qcow2 *q, const TablePart *part)
{
    size_t bytes = (size_t)(part->to - part->from) * 8;

    return bytes ? block_pwrite(q->file, part->offset + part->from * 8ull, part->data, bytes, 0)
                 : 0;
}

static void settle_table(TablePart *part, u32 *from, u32 *to, bool failed)
{
    if (failed && part->to > part->from) {
        bool none = *from >= *to;
        *from = none ? part->from : MIN(*from, part->from);
        *to = none ? part->to : MAX(*to, part->to);
    }
    free(part->data);
}

typedef struct WriteBack {
    Batch refcounts, tables;
    TablePart reftable, l1;
    Qcow2FreeList freed;
} WriteBack;

static int flush_both(Qcow2 *q)
{
    int result = q->external_data ? block_flush(q->data) : 0;

    return result ? result : block_flush(q->file);
}

/* The steps; see qcow2.h. The lock is not held. */
static int write_in_order(Qcow2 *q, const WriteBack *w)
{
    int result = write_batch(q, &q->refcount_cache, &w->refcounts);

    if (!result && w->reftable.to) {
        result = block_flush(q->file);
        result = result ? result : write_table(q, &w->reftable);
    }
    if (!result && (w->tables.count || w->l1.to)) {
        result = flush_both(q);
        result = result ? result : write_batch(q, &q->l2_cache, &w->tables);
    }
    if (!result && w->l1.to) {
        result = block_flush(q->file);
        result = result ? result : write_table(q, &w->l1);
    }
    if (!result && w->freed.count) {
        result = block_flush(q->file);
    }
    return result;
}

static void give_back(Qcow2 *q, WriteBack *w, bool failed)
{
    Qcow2FreeList *to = failed ? &q->pending : &q->limbo;

    for (size_t i = 0; i < w->freed.count; i++) {
        qcow2_free_list_add(to, &w->freed.entries[i], q->header.cluster_bits);
    }
    free(w->freed.entries);
}

static bool nothing_to_write(const Qcow2 *q)
{
    return !q->l2_cache.dirty && (q->lazy || !q->refcount_cache.dirty) && !q->pending.count &&
           q->l1_dirty_from >= q->l1_dirty_to && q->reftable_dirty_from >= q->reftable_dirty_to;
}

int qcow2_write_back(Qcow2 *q)
{
    WriteBack w = {0};

    while (q->writing_back) {
        pthread_cond_wait(&q->changed, &q->lock);
    }
    if (nothing_to_write(q)) {
        return 0;
    }
    q->writing_back = true;
    int result = q->lazy ? 0 : collect(&q->refcount_cache, &w.refcounts);
    result = result ? result : collect(&q->l2_cache, &w.tables);
    result = result ? result
                    : collect_table(q->reftable, q->header.reftable_offset, &q->reftable_dirty_from,
                                    &q->reftable_dirty_to, &w.reftable);
    result = result ? result
                    : collect_table(q->l1, q->header.l1_offset, &q->l1_dirty_from, &q->l1_dirty_to,
                                    &w.l1);
    w.freed = q->pending;
    q->pending = (Qcow2FreeList){0};
    if (!result) {
        pthread_mutex_unlock(&q->lock);
        result = write_in_order(q, &w);
        pthread_mutex_lock(&q->lock);
    }
    settle(&q->refcount_cache, &w.refcounts, result < 0);
    settle(&q->l2_cache, &w.tables, result < 0);
    settle_table(&w.reftable, &q->reftable_dirty_from, &q->reftable_dirty_to, result < 0);
    settle_table(&w.l1, &q->l1_dirty_from, &q->l1_dirty_to, result < 0);
    give_back(q, &w, result < 0);
    q->writing_back = false;
    pthread_cond_broadcast(&q->changed);
    return result;
}

int qcow2_settle(Qcow2 *q)
{
    int result;

    do {
        result = qcow2_write_back(q);
        result = result ? result : qcow2_release(q);
    } while (!result && (!nothing_to_write(q) || q->limbo.count || q->waiting.count));
    return result;
}
