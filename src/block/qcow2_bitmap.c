/* Persistent dirty bitmaps of qcow2: which parts of the disk were written since some point.
 *
 * While an image is open for writing, the bitmaps that record are marked "in use" on disk, since
 * what is there is getting stale; at the end they are stored anew and the mark goes. After a crash
 * the mark is still there, and such a bitmap is good for nothing but being removed. Bits are loaded
 * when first needed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum {
    FLAG_IN_USE = 1 << 0,
    FLAG_AUTO = 1 << 1,
    ENTRY_BYTES = 24,
    TYPE_DIRTY = 1,
    MIN_GRANULARITY_BITS = 9,
    MAX_GRANULARITY_BITS = 31,
    MAX_BITMAP_BYTES = 512 << 20,
    MAX_NAME = 1023,
};

struct Qcow2Bitmap {
    char *name;
    u32 flags;
    u8 type, granularity_bits;
    u64 table_offset; /* 0: not on disk yet */
    u32 table_entries;
    u8 *bits;     /* NULL: not loaded */
    bool changed; /* to be stored at the end */
};

static u64 bits_for(u64 size, u32 granularity_bits)
{
    return (size + (1ull << granularity_bits) - 1) >> granularity_bits;
}

static u64 bytes_for(const Qcow2Bitmap *b, u64 size)
{
    return (bits_for(size, b->granularity_bits) + 7) / 8;
}

static u64 clusters_of(const Qcow2 *q, u64 bytes)
{
    return (bytes + q->cluster_size - 1) >> q->header.cluster_bits;
}

static void bitmap_free(Qcow2Bitmap *b)
{
    free(b->name);
    free(b->bits);
}

void qcow2_bitmaps_free(Qcow2 *q)
{
    for (u32 i = 0; i < q->bitmap_count; i++) {
        bitmap_free(&q->bitmaps[i]);
    }
    free(q->bitmaps);
    q->bitmaps = NULL;
    q->bitmap_count = 0;
}

/* --- The directory -----------------------------------------------------------------------------
 */

/* One entry at `at` of `left` bytes; its length in *used, 0 if it makes no sense. */
static void decode(const u8 *at, size_t left, const Qcow2 *q, Qcow2Bitmap *b, size_t *used)
{
    *used = 0;
    if (left < ENTRY_BYTES) {
        return;
    }
    *b = (Qcow2Bitmap){.table_offset = be64_get(at),
                       .table_entries = be32_get(at + 8),
                       .flags = be32_get(at + 12),
                       .type = at[16],
                       .granularity_bits = at[17]};
    u32 name = be16_get(at + 18), extra = be32_get(at + 20);
    size_t whole = ALIGN_UP((size_t)ENTRY_BYTES + extra + name, (size_t)8);
    if (extra || whole > left || !name || name > MAX_NAME || b->type != TYPE_DIRTY ||
        b->granularity_bits < MIN_GRANULARITY_BITS || b->granularity_bits > MAX_GRANULARITY_BITS ||
        (b->table_offset & (q->cluster_size - 1)) || b->table_offset > INT64_MAX / 2 ||
        (u64)b->table_entries << q->header.cluster_bits > MAX_BITMAP_BYTES + (2u << 20)) {
        return;
    }
    b->name = strndup((const char *)at + ENTRY_BYTES, name);
    *used = b->name ? whole : 0;
}

int qcow2_bitmaps_load(Qcow2 *q, BlockError *error)
{
    const Qcow2Header *h = &q->header;
    size_t left = h->bitmap_directory_bytes;

    if (!h->has_bitmaps) {
        return 0;
    }
    u8 *directory = malloc(left + 1);
    q->bitmaps = calloc(h->bitmap_count, sizeof *q->bitmaps);
    int result = directory && q->bitmaps ? 0 : -ENOMEM;
    result =
        result ? result : block_read_exact(q->file, h->bitmap_directory_offset, directory, left);
    for (u32 i = 0; !result && i < h->bitmap_count; i++) {
        size_t used;
        decode(directory + (h->bitmap_directory_bytes - left), left, q, &q->bitmaps[i], &used);
        left -= used;
        q->bitmap_count += used != 0;
        result = used ? 0 : -EINVAL;
    }
    free(directory);
    return result ? block_error(error, -result, "cannot read the qcow2 bitmap directory: %s",
                                strerror(-result))
                  : 0;
}

static size_t entry_size(const Qcow2Bitmap *b)
{
    return ALIGN_UP(ENTRY_BYTES + strlen(b->name), (size_t)8);
}

static u8 *encode_directory(const Qcow2 *q, size_t *bytes)
{
    *bytes = 0;
    for (u32 i = 0; i < q->bitmap_count; i++) {
        *bytes += entry_size(&q->bitmaps[i]);
    }
    u8 *directory = calloc(clusters_of(q, *bytes) + 1, q->cluster_size), *at = directory;
    for (u32 i = 0; directory && i < q->bitmap_count; i++) {
        const Qcow2Bitmap *b = &q->bitmaps[i];
        be64_put(at, b->table_offset);
        be32_put(at + 8, b->table_entries);
        be32_put(at + 12, b->flags);
        at[16] = TYPE_DIRTY;
        at[17] = b->granularity_bits;
        be16_put(at + 18, (u16)strlen(b->name));
        memcpy(at + ENTRY_BYTES, b->name, strlen(b->name));
        at += entry_size(b);
    }
    return directory;
}

/* --- Contents ----------------------------------------------------------------------------------
 */

static u64 *read_table(Qcow2 *q, const Qcow2Bitmap *b, int *result)
{
    u64 *table = calloc(b->table_entries + 1ull, 8);

    *result = table ? 0 : -ENOMEM;
    if (table && b->table_entries) {
        *result = block_read_exact(q->file, b->table_offset, table, b->table_entries * 8ull);
    }
    for (u32 i = 0; !*result && i < b->table_entries; i++) {
        table[i] = be64_get(&table[i]);
        if ((table[i] & QCOW2_OFFSET) & (q->cluster_size - 1)) {
            *result = -EINVAL;
        }
    }
    return table;
}

/* Loads the bits, if they are not there yet. */
static int need_bits(Qcow2 *q, Qcow2Bitmap *b)
{
    u64 bytes = bytes_for(b, q->node->size);
    int result = 0;

    if (b->bits) {
        return 0;
    }
    if (bytes > MAX_BITMAP_BYTES ||
        (b->table_offset && b->table_entries != clusters_of(q, bytes))) {
        return -EINVAL;
    }
    u8 *bits = calloc(clusters_of(q, bytes) + 1, q->cluster_size);
    u64 *table = bits ? read_table(q, b, &result) : NULL;
    result = bits ? result : -ENOMEM;
    for (u32 i = 0; !result && i < b->table_entries; i++) {
        u8 *at = bits + ((u64)i << q->header.cluster_bits);
        if (table[i] & QCOW2_OFFSET) {
            result = block_pread(q->file, table[i] & QCOW2_OFFSET, at, q->cluster_size);
        } else if (table[i] & 1) {
            memset(at, 0xff, q->cluster_size);
        }
    }
    free(table);
    if (result < 0) {
        free(bits);
        return result;
    }
    b->bits = bits;
    return 0;
}

static bool is_all(const u8 *bytes, size_t count, u8 value)
{
    return bytes[0] == value && !memcmp(bytes, bytes + 1, count - 1);
}

/* Writes one cluster of bits if it needs a place; the table entry in *entry. */
static int store_cluster(Qcow2 *q, const u8 *bits, u64 *entry)
{
    u64 offset, got;
    bool virgin;
    int result = 0;

    *entry = 0;
    if (is_all(bits, q->cluster_size, 0xff)) {
        *entry = 1;
    } else if (!is_all(bits, q->cluster_size, 0)) {
        result = qcow2_alloc(q, 1, 1, &offset, &got, &virgin);
        *entry = result ? 0 : offset;
        result = result ? result : block_pwrite(q->file, offset, bits, q->cluster_size, 0);
    }
    return result;
}

/* Gives back a bitmap's table and what it points to. */
static int free_stored(Qcow2 *q, const Qcow2Bitmap *b)
{
    int result = 0;

    if (!b->table_offset) {
        return 0;
    }
    u64 *table = read_table(q, b, &result);
    for (u32 i = 0; !result && i < b->table_entries; i++) {
        if (table[i] & QCOW2_OFFSET) {
            qcow2_free(q, table[i] & QCOW2_OFFSET, 1, false);
        }
    }
    free(table);
    if (!result) {
        qcow2_free(q, b->table_offset, MAX(clusters_of(q, b->table_entries * 8ull), 1ull), false);
    }
    return result;
}

/* Stores the bits in new places and gives the old ones back. */
static int store_bits(Qcow2 *q, Qcow2Bitmap *b)
{
    u64 entries = clusters_of(q, bytes_for(b, q->node->size)), offset, got;
    u64 table_clusters = MAX(clusters_of(q, entries * 8), 1ull);
    u8 *table = calloc(table_clusters, q->cluster_size);
    bool virgin;
    int result = table ? need_bits(q, b) : -ENOMEM;

    for (u64 i = 0; !result && i < entries; i++) {
        u64 entry;
        result = store_cluster(q, b->bits + (i << q->header.cluster_bits), &entry);
        be64_put(table + i * 8, entry);
    }
    result =
        result ? result : qcow2_alloc(q, table_clusters, table_clusters, &offset, &got, &virgin);
    result =
        result ? result
               : block_pwrite(q->file, offset, table, table_clusters << q->header.cluster_bits, 0);
    free(table);
    result = result ? result : free_stored(q, b);
    if (!result) {
        b->table_offset = offset;
        b->table_entries = (u32)entries;
        b->flags &= ~(u32)FLAG_IN_USE;
        b->changed = false;
    }
    return result;
}

/* Writes the directory anew and the header that names it. Lock held. */
static int store_directory(Qcow2 *q)
{
    Qcow2Header *h = &q->header;
    u64 old = h->bitmap_directory_offset,
        old_bytes = h->has_bitmaps ? h->bitmap_directory_bytes : 0;
    u64 offset = 0, got;
    bool virgin;
    size_t bytes;
    u8 *directory = encode_directory(q, &bytes);
    int result = directory ? 0 : -ENOMEM;

    if (!result && bytes) {
        u64 clusters = clusters_of(q, bytes);
        result = qcow2_alloc(q, clusters, clusters, &offset, &got, &virgin);
        result = result ? result
                        : block_pwrite(q->file, offset, directory, clusters << h->cluster_bits, 0);
    }
    free(directory);
    result = result ? result : qcow2_write_back(q);
    result = result ? result : block_flush(q->file);
    if (result < 0) {
        return result;
    }
    h->has_bitmaps = q->bitmap_count > 0;
    h->bitmap_count = q->bitmap_count;
    h->bitmap_directory_offset = offset;
    h->bitmap_directory_bytes = bytes;
    h->autoclear = h->has_bitmaps ? h->autoclear | QCOW2_AUTOCLEAR_BITMAPS
                                  : h->autoclear & ~(u64)QCOW2_AUTOCLEAR_BITMAPS;
    result = qcow2_header_write(q->file, h, NULL);
    result = result ? result : block_flush(q->file);
    if (!result && old_bytes) {
        qcow2_free(q, old, clusters_of(q, old_bytes), false);
    }
    return result;
}

/* Writes the directory over the old one: only flags differ. */
static int update_directory(Qcow2 *q)
{
    size_t bytes;
    u8 *directory = encode_directory(q, &bytes);
    int result = directory ? 0 : -ENOMEM;

    if (!result && bytes != q->header.bitmap_directory_bytes) {
        result = -EINVAL;
    }
    result = result ? result
                    : block_pwrite(q->file, q->header.bitmap_directory_offset, directory, bytes, 0);
    free(directory);
    return result ? result : block_flush(q->file);
}

static bool records(const Qcow2Bitmap *b)
{
    return (b->flags & FLAG_AUTO) && b->bits;
}

int qcow2_bitmaps_take(Qcow2 *q, BlockError *error)
{
    bool any = false;
    int result = 0;

    for (u32 i = 0; !result && i < q->bitmap_count; i++) {
        Qcow2Bitmap *b = &q->bitmaps[i];
        if ((b->flags & FLAG_AUTO) && !(b->flags & FLAG_IN_USE)) {
            result = need_bits(q, b);
            b->flags |= FLAG_IN_USE;
            b->changed = any = true;
        }
    }
    if (!result && any) {
        result = update_directory(q);
    }
    return result ? block_error(error, -result, "cannot take over the dirty bitmaps: %s",
                                strerror(-result))
                  : 0;
}

int qcow2_bitmaps_store(Qcow2 *q, BlockError *error)
{
    bool any = false;
    int result = 0;

    pthread_mutex_lock(&q->lock);
    for (u32 i = 0; !result && i < q->bitmap_count; i++) {
        if (q->bitmaps[i].changed) {
            result = store_bits(q, &q->bitmaps[i]);
            any = true;
        }
    }
    if (!result && any) {
        result = store_directory(q);
        result = result ? result : qcow2_settle(q);
    }
    pthread_mutex_unlock(&q->lock);
    return result ? block_error(error, -result, "cannot store the dirty bitmaps: %s",
                                strerror(-result))
                  : 0;
}

/* Puts a change on disk at once, and goes on recording. */
static int store_now(Qcow2 *q, BlockError *error)
{
    int result = qcow2_bitmaps_store(q, error);

    return result ? result : qcow2_bitmaps_take(q, error);
}

static void set_range(const Qcow2 *q, Qcow2Bitmap *b, u64 offset, u64 bytes)
{
    u64 last = MIN(offset + bytes, q->node->size);

    if (offset >= last) {
        return;
    }
    u64 from = offset >> b->granularity_bits, to = ((last - 1) >> b->granularity_bits) + 1;
    for (; from < to && (from & 7); from++) {
        b->bits[from / 8] |= (u8)(1u << (from & 7));
    }
    if (to - from >= 8) {
        memset(b->bits + from / 8, 0xff, (to - from) / 8);
        from += (to - from) & ~7ull;
    }
    for (; from < to; from++) {
        b->bits[from / 8] |= (u8)(1u << (from & 7));
    }
}

void qcow2_bitmaps_note(Qcow2 *q, u64 offset, u64 bytes)
{
    for (u32 i = 0; i < q->bitmap_count; i++) {
        if (records(&q->bitmaps[i])) {
            set_range(q, &q->bitmaps[i], offset, bytes);
        }
    }
}

int qcow2_bitmaps_walk(Qcow2 *q, int (*each)(void *opaque, u64 offset, u64 bytes), void *opaque)
{
    int result = 0;

    if (!q->header.has_bitmaps) {
        return 0;
    }
    result = each(opaque, q->header.bitmap_directory_offset, q->header.bitmap_directory_bytes);
    for (u32 i = 0; !result && i < q->bitmap_count; i++) {
        const Qcow2Bitmap *b = &q->bitmaps[i];
        if (!b->table_offset) {
            continue;
        }
        u64 *table = read_table(q, b, &result);
        result =
            result ? result : each(opaque, b->table_offset, MAX(b->table_entries * 8ull, 1ull));
        for (u32 j = 0; !result && j < b->table_entries; j++) {
            u64 offset = table[j] & QCOW2_OFFSET;
            result = offset ? each(opaque, offset, q->cluster_size) : 0;
        }
        free(table);
    }
    return result;
}

/* --- The operations ----------------------------------------------------------------------------
 */

static Qcow2Bitmap *find(const Qcow2 *q, const char *name)
{
    for (u32 i = 0; i < q->bitmap_count; i++) {
        if (!strcmp(q->bitmaps[i].name, name)) {
            return &q->bitmaps[i];
        }
    }
    return NULL;
}

/* One whose contents mean something, with its bits. */
static int find_good(Qcow2 *q, const char *name, Qcow2Bitmap **found, BlockError *error)
{
    Qcow2Bitmap *b = find(q, name);

    *found = b;
    if (!b) {
        return block_error(error, ENOENT, "there is no bitmap '%s'", name);
    }
    if ((b->flags & FLAG_IN_USE) && !b->bits) {
        return block_error(error, EINVAL,
                           "bitmap '%s' was not stored properly and can only be removed", name);
    }
    int result = need_bits(q, b);
    return result
               ? block_error(error, -result, "cannot read bitmap '%s': %s", name, strerror(-result))
               : 0;
}

static u64 count_dirty(Qcow2 *q, const Qcow2Bitmap *b)
{
    u64 bits = 0;

    for (u64 i = 0; b->bits && i < bytes_for(b, q->node->size); i++) {
        bits += (u64)__builtin_popcount(b->bits[i]);
    }
    return MIN(bits << b->granularity_bits, q->node->size);
}

int qcow2_bitmap_list(BlockNode *node, BlockBitmapInfo **list, BlockError *error)
{
    Qcow2 *q = node->state;

    *list = calloc(q->bitmap_count + 1, sizeof **list);
    if (!*list) {
        return block_error(error, ENOMEM, "out of memory");
    }
    for (u32 i = 0; i < q->bitmap_count; i++) {
        Qcow2Bitmap *b = &q->bitmaps[i];
        BlockBitmapInfo *out = &(*list)[i];
        out->in_use = (b->flags & FLAG_IN_USE) && !b->bits;
        if (!out->in_use) {
            need_bits(q, b);
        }
        snprintf(out->name, sizeof out->name, "%s", b->name);
        out->granularity = 1u << b->granularity_bits;
        out->enabled = b->flags & FLAG_AUTO;
        out->dirty_bytes = count_dirty(q, b);
    }
    return (int)q->bitmap_count;
}

int qcow2_bitmap_add(BlockNode *node, const char *name, u32 granularity, bool enabled,
                     BlockError *error)
{
    Qcow2 *q = node->state;
    u32 chosen = granularity ? granularity : MAX(MIN(q->cluster_size, 65536u), 4096u);

    if (q->header.version < 3) {
        return block_error(error, ENOTSUP, "bitmaps need an image of version 3 (compat=1.1)");
    }
    if (chosen & (chosen - 1) || chosen < 1u << MIN_GRANULARITY_BITS) {
        return block_error(error, EINVAL, "the granularity is a power of two from 512 on");
    }
    if (!*name || strlen(name) > MAX_NAME) {
        return block_error(error, EINVAL, "a bitmap's name has 1 to %d bytes", MAX_NAME);
    }
    if (find(q, name)) {
        return block_error(error, EEXIST, "there is a bitmap '%s' already", name);
    }
    Qcow2Bitmap b = {.granularity_bits = (u8)__builtin_ctz(chosen),
                     .type = TYPE_DIRTY,
                     .flags = enabled ? FLAG_AUTO : 0,
                     .changed = true};
    if (q->bitmap_count >= QCOW2_MAX_BITMAPS || bytes_for(&b, node->size) > MAX_BITMAP_BYTES) {
        return block_error(error, EFBIG, "the bitmap would be too large");
    }
    Qcow2Bitmap *grown = realloc(q->bitmaps, (q->bitmap_count + 1) * sizeof b);
    q->bitmaps = grown ? grown : q->bitmaps;
    b.name = strdup(name);
    int result = grown && b.name ? need_bits(q, &b) : -ENOMEM;
    if (result < 0) {
        bitmap_free(&b);
        return block_error(error, -result, "cannot add bitmap '%s': %s", name, strerror(-result));
    }
    grown[q->bitmap_count++] = b;
    return store_now(q, error);
}

int qcow2_bitmap_remove(BlockNode *node, const char *name, BlockError *error)
{
    Qcow2 *q = node->state;
    Qcow2Bitmap *b = find(q, name);

    if (!b) {
        return block_error(error, ENOENT, "there is no bitmap '%s'", name);
    }
    Qcow2Bitmap removed = *b;
    memmove(b, b + 1, (size_t)(q->bitmaps + q->bitmap_count - (b + 1)) * sizeof *b);
    q->bitmap_count--;
    pthread_mutex_lock(&q->lock);
    int result = store_directory(q);
    result = result ? result : free_stored(q, &removed);
    result = result ? result : qcow2_settle(q);
    pthread_mutex_unlock(&q->lock);
    bitmap_free(&removed);
    return result ? block_error(error, -result, "cannot remove bitmap '%s': %s", name,
                                strerror(-result))
                  : 0;
}

int qcow2_bitmap_clear(BlockNode *node, const char *name, BlockError *error)
{
    Qcow2 *q = node->state;
    Qcow2Bitmap *b;
    int result = find_good(q, name, &b, error);

    if (!result) {
        memset(b->bits, 0, bytes_for(b, node->size));
        b->changed = true;
        result = store_now(q, error);
    }
    return result;
}

int qcow2_bitmap_enable(BlockNode *node, const char *name, bool enabled, BlockError *error)
{
    Qcow2 *q = node->state;
    Qcow2Bitmap *b;
    int result = find_good(q, name, &b, error);

    if (!result) {
        b->flags = enabled ? b->flags | FLAG_AUTO : b->flags & ~(u32)FLAG_AUTO;
        b->changed = true;
        result = store_now(q, error);
    }
    return result;
}

int qcow2_bitmap_map(BlockNode *node, const char *name, u64 offset, u64 bytes, bool *dirty,
                     u64 *length)
{
    Qcow2 *q = node->state;
    Qcow2Bitmap *b;
    int result = find_good(q, name, &b, NULL);

    if (result < 0) {
        return result;
    }
    u64 end = MIN(offset + bytes, node->size), bit = offset >> b->granularity_bits;
    *dirty = b->bits[bit / 8] >> (bit & 7) & 1;
    u8 same = *dirty ? 0xff : 0;
    u64 last = end ? (end - 1) >> b->granularity_bits : 0;
    for (bit++; bit <= last;) {
        if (!(bit & 7) && b->bits[bit / 8] == same) {
            bit += 8;
        } else if ((b->bits[bit / 8] >> (bit & 7) & 1) == *dirty) {
            bit++;
        } else {
            break;
        }
    }
    *length = MIN(bit << b->granularity_bits, end) - offset;
    return 0;
}

int qcow2_bitmap_mark(BlockNode *node, const char *name, u64 offset, u64 bytes)
{
    Qcow2 *q = node->state;
    Qcow2Bitmap *b;
    int result = find_good(q, name, &b, NULL);

    if (!result) {
        set_range(q, b, offset, bytes);
        b->changed = true;
    }
    return result;
}

int qcow2_bitmaps_resize(Qcow2 *q, u64 size)
{
    int result = 0;

    for (u32 i = 0; !result && i < q->bitmap_count; i++) {
        Qcow2Bitmap *b = &q->bitmaps[i];
        if ((b->flags & FLAG_IN_USE) && !b->bits) {
            continue; /* void */
        }
        u64 bytes = bytes_for(b, size), old = bytes_for(b, q->node->size);
        result = bytes > MAX_BITMAP_BYTES ? -EFBIG : need_bits(q, b);
        u8 *bits = result ? NULL : calloc(clusters_of(q, bytes) + 1, q->cluster_size);
        if (bits) {
            u64 whole = bits_for(MIN(size, q->node->size), b->granularity_bits);
            memcpy(bits, b->bits, MIN(bytes, old));
            if (whole & 7) {
                bits[whole / 8] &= (u8)((1u << (whole & 7)) - 1);
            }
            free(b->bits);
            b->bits = bits;
            b->changed = true;
        } else {
            result = result ? result : -ENOMEM;
        }
    }
    return result;
}
