/* Disks behind two levels of tables: see tree.h. */
#include "block/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void block_tree_init(BlockTree *tree, const TreeFormat *format, BlockNode *data, u32 cluster_size,
                     u32 entries, u32 tables)
{
    tree->format = format;
    tree->data = data;
    tree->cluster_size = cluster_size;
    tree->entries = entries;
    tree->tables = tables;
    pthread_rwlock_init(&tree->lock, NULL);
}

void block_tree_free(BlockTree *tree)
{
    for (unsigned n = 0; n < TREE_TABLES; n++) {
        free(tree->table[n].entries);
    }
    sector_cipher_free(tree->cipher);
    pthread_rwlock_destroy(&tree->lock);
}

static bool is_place(u64 entry)
{
    return entry < TREE_COMPRESSED;
}

/* -- Tables of the second level */

/* The loaded table; NULL if it is not in memory. */
static TreeTable *find_table(BlockTree *tree, u32 index)
{
    for (unsigned n = 0; n < TREE_TABLES; n++) {
        if (tree->table[n].entries && tree->table[n].index == index) {
            tree->table[n].used = ++tree->clock;
            return &tree->table[n];
        }
    }
    return NULL;
}

/* Loads a table in place of the one used longest ago; the lock is held for writing. */
static int load_table(BlockNode *node, BlockTree *tree, u32 index, TreeTable **loaded)
{
    TreeTable *slot = &tree->table[0];
    u64 *entries = slot->entries;
    int result = 0;

    for (unsigned n = 0; n < TREE_TABLES && slot->entries; n++) {
        if (!tree->table[n].entries || tree->table[n].used < slot->used) {
            slot = &tree->table[n];
        }
    }
    entries = slot->entries ? slot->entries : malloc(tree->entries * sizeof *entries);
    if (!entries) {
        return -ENOMEM;
    }
    slot->entries = NULL;
    if (tree->format->has_table(tree, index)) {
        result = tree->format->load(node, tree, index, entries);
    } else {
        memset(entries, 0xff, tree->entries * sizeof *entries); /* TREE_NOWHERE */
    }
    if (result < 0) {
        free(entries);
        return result;
    }
    *slot = (TreeTable){.index = index, .entries = entries, .used = ++tree->clock};
    *loaded = slot;
    return 0;
}

/* The entry of a cluster, with the lock held for writing if the table may have to be loaded. */
static int find_locked(BlockNode *node, BlockTree *tree, u64 cluster, u64 *entry)
{
    u32 index = (u32)(cluster / tree->entries);
    TreeTable *table = find_table(tree, index);
    int result = table ? 0 : load_table(node, tree, index, &table);

    if (result >= 0) {
        *entry = table->entries[cluster % tree->entries];
    }
    return result;
}

int block_tree_find(BlockNode *node, BlockTree *tree, u64 offset, u64 *entry)
{
    u64 cluster = offset / tree->cluster_size;
    TreeTable *table;
    int result = 0;

    pthread_rwlock_rdlock(&tree->lock);
    table = find_table(tree, (u32)(cluster / tree->entries));
    if (table) {
        *entry = table->entries[cluster % tree->entries];
    }
    pthread_rwlock_unlock(&tree->lock);
    if (!table) {
        pthread_rwlock_wrlock(&tree->lock);
        result = find_locked(node, tree, cluster, entry);
        pthread_rwlock_unlock(&tree->lock);
    }
    return result;
}

/* -- Reading */

/* What shows through where this layer holds nothing. */
static int read_below(BlockNode *node, const BlockTree *tree, u64 at, const BlockVector *part)
{
    u64 offset = tree->below + at;
    u64 size = node->backing ? block_size(node->backing) : 0;
    size_t inside = offset >= size ? 0 : MIN(part->bytes, size - offset);
    BlockVector below = block_vector_part(part, 0, inside);
    BlockVector beyond = block_vector_part(part, inside, part->bytes - inside);

    block_vector_clear(&beyond);
    return inside ? block_readv(node->backing, offset, &below) : 0;
}

/* Decompresses the cluster and copies what is wanted of it. */
static int read_compressed(BlockNode *node, BlockTree *tree, u64 entry, u32 inside,
                           const BlockVector *part)
{
    u8 *cluster = malloc(tree->cluster_size);
    int result =
        cluster ? tree->format->decompress(node, tree, entry & ~TREE_COMPRESSED, cluster) : -ENOMEM;

    if (result >= 0) {
        block_vector_store(part, cluster + inside, part->bytes);
    }
    free(cluster);
    return result;
}

static int read_part(BlockNode *node, BlockTree *tree, u64 offset, const BlockVector *part)
{
    u32 inside = (u32)(offset % tree->cluster_size);
    u64 entry;
    int result = block_tree_find(node, tree, offset, &entry);

    if (result < 0) {
        return result;
    }
    if (is_place(entry)) {
        return tree->cipher ? sector_cipher_read(tree->cipher, offset / CRYPTO_SECTOR, tree->data,
                                                 entry + inside, part)
                            : block_readv(tree->data, entry + inside, part);
    }
    if (entry == TREE_NOWHERE) {
        return read_below(node, tree, offset, part);
    }
    if (entry == TREE_ZERO) {
        block_vector_clear(part);
        return 0;
    }
    return read_compressed(node, tree, entry, inside, part);
}

int block_tree_read(BlockNode *node, BlockTree *tree, u64 offset, const BlockVector *data)
{
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        size_t room = tree->cluster_size - (offset + at) % tree->cluster_size;
        BlockVector part = block_vector_part(data, at, MIN(room, data->bytes - at));
        result = read_part(node, tree, offset + at, &part);
        at += part.bytes;
    }
    return result;
}

/* -- Writing */

/* The whole cluster as it reads now. */
static int read_cluster(BlockNode *node, BlockTree *tree, u64 start, u64 entry, u8 *cluster)
{
    struct iovec iov;
    BlockVector whole = block_vector_of(&iov, cluster, tree->cluster_size);

    if (entry == TREE_NOWHERE) {
        return read_below(node, tree, start, &whole);
    }
    if (entry == TREE_ZERO) {
        memset(cluster, 0, tree->cluster_size);
        return 0;
    }
    return tree->format->decompress(node, tree, entry & ~TREE_COMPRESSED, cluster);
}

/* Stores the entry of a cluster, in the file and in memory. */
static int set_entry(BlockNode *node, BlockTree *tree, u64 cluster, u64 entry)
{
    u32 index = (u32)(cluster / tree->entries);
    int result = tree->format->store(node, tree, index, (u32)(cluster % tree->entries), entry);

    if (result >= 0) {
        find_table(tree, index)->entries[cluster % tree->entries] = entry;
    }
    return result;
}

/* Gives the cluster a place with its present contents and `part` over them; lock held for writing.
 */
static int allocate(BlockNode *node, BlockTree *tree, u64 offset, u64 entry,
                    const BlockVector *part)
{
    u64 cluster = offset / tree->cluster_size, start = cluster * tree->cluster_size, place;
    u32 index = (u32)(cluster / tree->entries);
    u8 *bytes = block_buffer_new(tree->cluster_size);
    int result = bytes ? 0 : -ENOMEM;

    if (result >= 0 && part->bytes < tree->cluster_size) {
        result = read_cluster(node, tree, start, entry, bytes);
    }
    if (result >= 0 && !tree->format->has_table(tree, index)) {
        result = tree->format->new_table(node, tree, index);
    }
    if (result >= 0) {
        place = tree->end;
        block_vector_load(part, bytes + (offset - start), part->bytes);
        result = tree->cipher ? sector_encrypt(tree->cipher, start / CRYPTO_SECTOR, bytes, bytes,
                                               tree->cluster_size)
                              : 0;
    }
    if (result >= 0) {
        result = block_pwrite(tree->data, place, bytes, tree->cluster_size, 0);
    }
    free(bytes);
    if (result < 0) {
        return result;
    }
    tree->end += tree->cluster_size;
    result = set_entry(node, tree, cluster, place);
    return result;
}

static int write_part(BlockNode *node, BlockTree *tree, u64 offset, const BlockVector *part,
                      unsigned flags)
{
    u64 entry;
    int result = block_tree_find(node, tree, offset, &entry);

    if (result >= 0 && !is_place(entry)) {
        pthread_rwlock_wrlock(&tree->lock);
        result = find_locked(node, tree, offset / tree->cluster_size, &entry);
        if (result >= 0 && !is_place(entry)) {
            result = allocate(node, tree, offset, entry, part);
            pthread_rwlock_unlock(&tree->lock);
            return result;
        }
        pthread_rwlock_unlock(&tree->lock);
    }
    if (result < 0) {
        return result;
    }
    u64 place = entry + offset % tree->cluster_size;
    return tree->cipher
               ? sector_cipher_write(tree->cipher, offset / CRYPTO_SECTOR, tree->data, place, part)
               : block_writev(tree->data, place, part, flags & BLOCK_FUA);
}

int block_tree_write(BlockNode *node, BlockTree *tree, u64 offset, const BlockVector *data,
                     unsigned flags)
{
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        size_t room = tree->cluster_size - (offset + at) % tree->cluster_size;
        BlockVector part = block_vector_part(data, at, MIN(room, data->bytes - at));
        result = write_part(node, tree, offset + at, &part, flags);
        at += part.bytes;
    }
    return result;
}

static int put_locked(BlockNode *node, BlockTree *tree, u64 cluster, u64 entry, const u8 *data,
                      size_t bytes)
{
    u32 index = (u32)(cluster / tree->entries);
    u64 old, place;
    int result = find_locked(node, tree, cluster, &old);

    if (result >= 0 && old < TREE_ZERO) {
        return -EEXIST;
    }
    if (result >= 0 && !tree->format->has_table(tree, index)) {
        result = tree->format->new_table(node, tree, index);
    }
    if (result >= 0) {
        place = tree->end;
        result = block_pwrite(tree->data, place, data, bytes, 0);
    }
    if (result >= 0) {
        tree->end += bytes;
        result = set_entry(node, tree, cluster, entry | place);
    }
    return result;
}

int block_tree_put(BlockNode *node, BlockTree *tree, u64 offset, u64 entry, const u8 *data,
                   size_t bytes)
{
    int result;

    pthread_rwlock_wrlock(&tree->lock);
    result = put_locked(node, tree, offset / tree->cluster_size, entry, data, bytes);
    pthread_rwlock_unlock(&tree->lock);
    return result;
}

/* -- Looking */

static void describe(const BlockNode *node, const BlockTree *tree, u64 offset, u64 entry,
                     BlockExtent *extent)
{

    if (is_place(entry)) {
        extent->flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_OFFSET;
        extent->file = tree->data;
        extent->offset = entry + offset % tree->cluster_size;
    } else if (entry == TREE_ZERO) {
        extent->flags = BLOCK_ZERO | BLOCK_ALLOCATED;
    } else if (entry == TREE_NOWHERE) {
        extent->flags = node->backing ? 0 : BLOCK_ZERO;
    } else {
        extent->flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_IS_COMPRESSED;
    }
}

int block_tree_map(BlockNode *node, BlockTree *tree, u64 offset, u64 bytes, BlockExtent *extent)
{
    u64 at = offset, entry, next;
    int result = block_tree_find(node, tree, offset, &entry);

    if (result < 0) {
        return result;
    }
    describe(node, tree, offset, entry, extent);
    do {
        at = (at / tree->cluster_size + 1) * tree->cluster_size;
        if (at - offset >= bytes || block_tree_find(node, tree, at, &next) < 0) {
            break;
        }
    } while (is_place(entry)
                 ? next == entry + (at - offset / tree->cluster_size * tree->cluster_size)
                 : next == entry || (entry < TREE_ZERO && next < TREE_ZERO && !is_place(next)));
    extent->bytes = MIN(bytes, at - offset);
    return 0;
}

/* -- Compression */

enum { RAW_12_BITS = -12 };

int block_inflate(const u8 *from, size_t bytes, u8 *to, size_t size, bool zlib)
{
    z_stream stream = {.next_in = (u8 *)(uintptr_t)from,
                       .avail_in = (uInt)bytes,
                       .next_out = to,
                       .avail_out = (uInt)size};
    int status;

    if (inflateInit2(&stream, zlib ? MAX_WBITS : RAW_12_BITS) != Z_OK) {
        return -ENOMEM;
    }
    status = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    /* The stream may be followed by padding, and need not end exactly where the output does. */
    return (status == Z_STREAM_END || status == Z_BUF_ERROR) && stream.avail_out == 0 ? 0 : -EIO;
}

int block_deflate(const u8 *from, size_t bytes, u8 *to, size_t room, bool zlib)
{
    z_stream stream = {.next_in = (u8 *)(uintptr_t)from,
                       .avail_in = (uInt)bytes,
                       .next_out = to,
                       .avail_out = (uInt)room};
    int status;

    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, zlib ? MAX_WBITS : RAW_12_BITS, 9,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    status = deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    return status == Z_STREAM_END ? (int)(room - stream.avail_out) : -ENOSPC;
}
