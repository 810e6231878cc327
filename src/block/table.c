/* Disks that are arrays of blocks: see table.h. */
#include "block/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 1 << 26 };

int block_table_init(BlockTable *table, u64 count, u32 block_size, BlockError *error)
{
    if (count > COUNT_MAX) {
        return block_error(error, EFBIG, "the image has more blocks (%llu) than can be held",
                           (unsigned long long)count);
    }
    table->at = malloc(MAX(count, (u64)1) * sizeof *table->at);
    if (!table->at) {
        return block_error(error, ENOMEM, "no memory for the table of blocks");
    }
    for (u64 n = 0; n < count; n++) {
        atomic_init(&table->at[n], TABLE_NOWHERE);
    }
    table->count = (u32)count;
    table->block_size = block_size;
    pthread_mutex_init(&table->lock, NULL);
    return 0;
}

void block_table_free(BlockTable *table)
{
    if (table->at) {
        pthread_mutex_destroy(&table->lock);
        free(table->at);
        table->at = NULL;
    }
}

static u64 place_of(BlockTable *table, u32 index)
{
    return atomic_load_explicit(&table->at[index], memory_order_acquire);
}

static bool is_somewhere(u64 place)
{
    return place < TABLE_ZERO;
}

/* -- Reading */

static int read_part(BlockNode *node, u64 offset, const BlockVector *part)
{
    BlockTable *table = node->state;
    u64 place = place_of(table, (u32)(offset / table->block_size));

    if (is_somewhere(place)) {
        return block_readv(node->file, place + offset % table->block_size, part);
    }
    block_vector_clear(part);
    return 0;
}

int block_table_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    BlockTable *table = node->state;
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        size_t room = table->block_size - (offset + at) % table->block_size;
        BlockVector part = block_vector_part(data, at, MIN(room, data->bytes - at));
        result = read_part(node, offset + at, &part);
        at += part.bytes;
    }
    return result;
}

/* -- Writing */

/* Makes room for a block at the end of the file: its prefix, and zeroes. */
static int make_room(BlockNode *node)
{
    BlockTable *table = node->state;
    u8 *prefix;
    int result;

    result = block_zero(node->file, table->end + table->prefix, table->block_size, BLOCK_MAY_UNMAP);
    if (result < 0 || !table->prefix) {
        return result;
    }
    prefix = malloc(table->prefix);
    if (!prefix) {
        return -ENOMEM;
    }
    memset(prefix, table->prefix_fill, table->prefix);
    result = block_pwrite(node->file, table->end, prefix, table->prefix, 0);
    free(prefix);
    return result;
}

/* A new block at the end of the file with `part` in it, at `inside`. */
static int allocate(BlockNode *node, u32 index, u32 inside, const BlockVector *part)
{
    BlockTable *table = node->state;
    u64 place = table->end + table->prefix;
    int result = make_room(node);

    if (result >= 0) {
        result = block_writev(node->file, place + inside, part, 0);
    }
    if (result >= 0) {
        table->end = place + table->block_size;
        result = table->store(node, index, place);
    }
    if (result >= 0) {
        atomic_store_explicit(&table->at[index], place, memory_order_release);
    }
    return result;
}

static int write_part(BlockNode *node, u64 offset, const BlockVector *part, unsigned flags)
{
    BlockTable *table = node->state;
    u32 index = (u32)(offset / table->block_size), inside = (u32)(offset % table->block_size);
    u64 place = place_of(table, index);
    int result = 0;

    if (!is_somewhere(place)) {
        pthread_mutex_lock(&table->lock);
        place = place_of(table, index);
        if (!is_somewhere(place) && !(block_vector_is_zero(part) && !node->backing)) {
            result = allocate(node, index, inside, part);
        }
        pthread_mutex_unlock(&table->lock);
        if (!is_somewhere(place)) {
            return result;
        }
    }
    return block_writev(node->file, place + inside, part, flags & BLOCK_FUA);
}

int block_table_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    BlockTable *table = node->state;
    int result = 0;

    if (flags & BLOCK_COMPRESSED) {
        return -ENOTSUP;
    }
    for (size_t at = 0; at < data->bytes && result >= 0;) {
        size_t room = table->block_size - (offset + at) % table->block_size;
        BlockVector part = block_vector_part(data, at, MIN(room, data->bytes - at));
        result = write_part(node, offset + at, &part, flags);
        at += part.bytes;
    }
    return result;
}

/* -- Looking */

/* Blocks from `index` on that continue what the first says; at most `limit`. */
static u32 run_length(BlockTable *table, u32 index, u64 limit)
{
    u64 first = place_of(table, index);
    u32 n = 1;

    while (n < limit && index + n < table->count) {
        u64 place = place_of(table, index + n);
        if (is_somewhere(first) ? place != first + (u64)n * table->block_size : place != first) {
            break;
        }
        n++;
    }
    return n;
}

int block_table_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    BlockTable *table = node->state;
    u32 index = (u32)(offset / table->block_size), inside = (u32)(offset % table->block_size);
    u64 place = place_of(table, index);
    u64 limit = (inside + bytes + table->block_size - 1) / table->block_size;

    extent->bytes = MIN(bytes, (u64)run_length(table, index, limit) * table->block_size - inside);
    if (is_somewhere(place)) {
        extent->flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_OFFSET | BLOCK_LOOK_BELOW;
        extent->file = node->file;
        extent->offset = place + inside;
    } else if (place == TABLE_ZERO) {
        extent->flags = BLOCK_ZERO | BLOCK_ALLOCATED;
    } else {
        extent->flags = node->backing ? 0 : BLOCK_ZERO;
    }
    return 0;
}

bool block_table_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct)
{
    BlockTable *table = node->state;
    u32 inside = (u32)(offset % table->block_size);
    u64 place = place_of(table, (u32)(offset / table->block_size));

    if (!is_somewhere(place) && (op == BLOCK_OP_WRITE || node->backing)) {
        return false;
    }
    direct->node = is_somewhere(place) ? node->file : NULL;
    direct->offset = is_somewhere(place) ? place + inside : 0;
    direct->bytes = MIN(bytes, (u64)table->block_size - inside);
    return true;
}

/* -- Checking */

static int by_value(const void *a, const void *b)
{
    u64 x = *(const u64 *)a, y = *(const u64 *)b;

    return (x > y) - (x < y);
}

static void report(BlockCheck *check, const char *what, u64 place)
{
    char line[128];

    check->corruptions++;
    if (check->report) {
        snprintf(line, sizeof line, "ERROR: %s at offset %llu", what, (unsigned long long)place);
        check->report(check->opaque, line);
    }
}

int block_table_check(BlockNode *node, BlockCheck *check)
{
    BlockTable *table = node->state;
    u64 *places = malloc(MAX(table->count, 1u) * sizeof *places);
    u64 size = block_size(node->file);
    u32 count = 0;

    if (!places) {
        return -ENOMEM;
    }
    check->total_clusters = table->count;
    for (u32 n = 0; n < table->count; n++) {
        u64 place = place_of(table, n);
        if (!is_somewhere(place)) {
            continue;
        }
        places[count++] = place;
        check->image_end_offset = MAX(check->image_end_offset, place + table->block_size);
        if (place > size || size - place < 1) {
            report(check, "block beyond the end of the file", place);
        }
    }
    check->allocated_clusters = count;
    qsort(places, count, sizeof *places, by_value);
    for (u32 n = 1; n < count; n++) {
        if (places[n] - places[n - 1] < table->block_size) {
            report(check, "two blocks overlap", places[n]);
        }
    }
    free(places);
    return 0;
}
