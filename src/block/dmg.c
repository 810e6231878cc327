/* Format "dmg": Apple's disk images (UDIF), read only.
 *
 * A trailer of 512 bytes at the end ("koly", big-endian) says where the data and a property list
 * are; the list's "blkx" entries hold, in base64, tables ("mish") of chunks: runs of sectors that
 * are stored, zero, or compressed. zlib and bzip2 are understood; LZFSE and ADC are refused by name
 * when such a chunk is read.
 *
 * One chunk, the last used, is kept decompressed. */
#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "block/tree.h"

/* Offsets in the trailer, in a table and in a chunk of it. */
enum {
    DATA_OFFSET = 24,
    XML_OFFSET = 216,
    XML_LENGTH = 224,
    TRAILER_BYTES = 512,
    TABLE_SECTOR = 8,
    TABLE_DATA = 24,
    TABLE_CHUNKS = 204,
    CHUNK_TYPE = 0,
    CHUNK_SECTOR = 8,
    CHUNK_SECTORS = 16,
    CHUNK_OFFSET = 24,
    CHUNK_LENGTH = 32,
    CHUNK_BYTES = 40,
};

enum {
    SECTOR = 512,
    XML_LIMIT = 64 << 20,
    CHUNKS_LIMIT = 1 << 22,
    CHUNK_LIMIT = 64 << 20, /* bytes of a chunk, compressed or not */
};

enum {
    TYPE_ZERO = 0,
    TYPE_RAW = 1,
    TYPE_IGNORE = 2,
    TYPE_COMMENT = 0x7ffffffe,
};

#define TYPE_ADC 0x80000004u
#define TYPE_ZLIB 0x80000005u
#define TYPE_BZIP2 0x80000006u
#define TYPE_LZFSE 0x80000007u
#define TYPE_END 0xffffffffu

typedef struct Chunk {
    u32 type;
    u64 start, size;    /* bytes, of the disk */
    u64 offset, length; /* bytes, in the file */
} Chunk;

typedef struct Dmg {
    Chunk *chunks; /* by start; owned */
    u32 count;
    u64 data; /* offset of the data fork */
    pthread_mutex_t lock;
    u8 *block; /* the chunk decompressed last; owned */
    u32 current;
} Dmg;

/* The trailer is at the end, which probing doesn't see: the name decides, as elsewhere. */
static int dmg_probe(const u8 *head, size_t size, const char *filename)
{
    size_t length = filename ? strlen(filename) : 0;

    (void)head, (void)size;
    return length > 4 && !strcmp(filename + length - 4, ".dmg") ? 2 : 0;
}

/* -- Tables */

static bool is_zero(u32 type)
{
    return type == TYPE_ZERO || type == TYPE_IGNORE;
}

static int add_chunk(Dmg *dmg, const Chunk *chunk, BlockError *error)
{
    Chunk *more;

    if (chunk->type == TYPE_COMMENT || chunk->type == TYPE_END || chunk->size == 0) {
        return 0;
    }
    if (dmg->count == CHUNKS_LIMIT) {
        return block_error(error, EFBIG, "the DMG image has too many chunks");
    }
    if (!is_zero(chunk->type) && (chunk->length > CHUNK_LIMIT || chunk->size > CHUNK_LIMIT)) {
        return block_error(error, EINVAL, "a chunk of the DMG image is too large");
    }
    if (dmg->count % 1024 == 0) {
        more = realloc(dmg->chunks, (dmg->count + 1024) * sizeof *more);
        if (!more) {
            return block_error(error, ENOMEM, "no memory for DMG chunks");
        }
        dmg->chunks = more;
    }
    dmg->chunks[dmg->count++] = *chunk;
    return 0;
}

static int read_table(Dmg *dmg, const u8 *table, size_t size, BlockError *error)
{
    u64 first, data;
    u32 count;

    if (size < TABLE_CHUNKS || memcmp(table, "mish", 4) != 0) {
        return 0; /* not a table of chunks */
    }
    first = be64_get(table + TABLE_SECTOR);
    data = be64_get(table + TABLE_DATA);
    count = (u32)((size - TABLE_CHUNKS) / CHUNK_BYTES);
    for (u32 n = 0; n < count; n++) {
        const u8 *c = table + TABLE_CHUNKS + (size_t)n * CHUNK_BYTES;
        u64 sector = first + be64_get(c + CHUNK_SECTOR), sectors = be64_get(c + CHUNK_SECTORS);
        Chunk chunk = {.type = be32_get(c + CHUNK_TYPE),
                       .start = sector * SECTOR,
                       .size = sectors * SECTOR,
                       .offset = dmg->data + data + be64_get(c + CHUNK_OFFSET),
                       .length = be64_get(c + CHUNK_LENGTH)};
        int result;

        if (sector > INT64_MAX / SECTOR || sectors > INT64_MAX / SECTOR - sector) {
            return block_error(error, EINVAL, "a chunk of the DMG image is out of range");
        }
        result = add_chunk(dmg, &chunk, error);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* -- The property list */

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

/* Decodes up to `end`, skipping white space; returns the bytes made in place. */
static size_t decode_base64(char *from, const char *end)
{
    u8 *to = (u8 *)from;
    size_t made = 0;
    u32 bits = 0;
    int count = 0;

    for (; from < end; from++) {
        int value = base64_value(*from);
        if (value < 0) {
            continue;
        }
        bits = bits << 6 | (u32)value;
        if (++count == 4) {
            to[made++] = (u8)(bits >> 16);
            to[made++] = (u8)(bits >> 8);
            to[made++] = (u8)bits;
            count = 0;
        }
    }
    if (count >= 2) {
        to[made++] = (u8)(bits >> (count == 2 ? 4 : 10));
    }
    if (count == 3) {
        to[made++] = (u8)(bits >> 2);
    }
    return made;
}

static int read_tables(Dmg *dmg, char *xml, BlockError *error)
{
    char *at = strstr(xml, "<key>blkx</key>"), *end;
    char *stop = at ? strstr(at, "</array>") : NULL;
    int result = 0;

    if (!at || !stop) {
        return block_error(error, EINVAL, "the DMG image's property list has no table of chunks");
    }
    while (result >= 0 && (at = strstr(at, "<data>")) && at < stop) {
        at += strlen("<data>");
        end = strstr(at, "</data>");
        if (!end) {
            break;
        }
        result = read_table(dmg, (const u8 *)at, decode_base64(at, end), error);
        at = end;
    }
    return result;
}

static int read_list(BlockNode *node, Dmg *dmg, u64 offset, u64 length, BlockError *error)
{
    char *xml;
    int result;

    if (length == 0 || length > XML_LIMIT) {
        return block_error(error, EINVAL, "the DMG image has no property list");
    }
    xml = malloc(length + 1);
    result = xml ? block_read_exact(node->file, offset, xml, length) : -ENOMEM;
    if (result < 0) {
        block_error(error, -result, "cannot read the DMG property list: %s", strerror(-result));
    } else {
        xml[length] = 0;
        result = read_tables(dmg, xml, error);
    }
    free(xml);
    return result;
}

/* -- Opening */

static int by_start(const void *a, const void *b)
{
    const Chunk *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* Sorts, and refuses overlaps. */
static int check_chunks(Dmg *dmg, BlockError *error)
{
    if (!dmg->count) {
        return block_error(error, EINVAL, "the DMG image is empty");
    }
    qsort(dmg->chunks, dmg->count, sizeof *dmg->chunks, by_start);
    for (u32 n = 1; n < dmg->count; n++) {
        if (dmg->chunks[n].start < dmg->chunks[n - 1].start + dmg->chunks[n - 1].size) {
            return block_error(error, EINVAL, "chunks of the DMG image overlap");
        }
    }
    return 0;
}

static int dmg_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Dmg *dmg = node->state;
    u64 size = block_size(node->file);
    u8 trailer[TRAILER_BYTES];
    int result;

    (void)options;
    if (node->flags & BLOCK_WRITE) {
        return block_error(error, EROFS, "DMG images can only be read");
    }
    if (size < TRAILER_BYTES ||
        block_read_exact(node->file, size - TRAILER_BYTES, trailer, sizeof trailer) < 0 ||
        memcmp(trailer, "koly", 4) != 0) {
        return block_error(error, EINVAL, "not a DMG image: there is no trailer");
    }
    dmg->data = be64_get(trailer + DATA_OFFSET);
    result =
        read_list(node, dmg, be64_get(trailer + XML_OFFSET), be64_get(trailer + XML_LENGTH), error);
    result = result < 0 ? result : check_chunks(dmg, error);
    if (result < 0) {
        free(dmg->chunks);
        return result;
    }
    node->size = dmg->chunks[dmg->count - 1].start + dmg->chunks[dmg->count - 1].size;
    node->alignment = 1;
    dmg->current = dmg->count;
    pthread_mutex_init(&dmg->lock, NULL);
    return 0;
}

static int dmg_close(BlockNode *node)
{
    Dmg *dmg = node->state;

    pthread_mutex_destroy(&dmg->lock);
    free(dmg->chunks);
    free(dmg->block);
    return 0;
}

/* -- Reading */

/* The last chunk that begins at or before the offset; count when there is none. */
static u32 find_chunk(const Dmg *dmg, u64 offset)
{
    u32 low = 0, high = dmg->count;

    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (dmg->chunks[middle].start <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? low - 1 : dmg->count;
}

static int expand(const Chunk *chunk, const u8 *stream, u8 *block)
{
    unsigned size = (unsigned)chunk->size;

    switch (chunk->type) {
    case TYPE_ZLIB:
        return block_inflate(stream, chunk->length, block, chunk->size, true);
    case TYPE_BZIP2:
        return BZ2_bzBuffToBuffDecompress((char *)block, &size, (char *)(uintptr_t)stream,
                                          (unsigned)chunk->length, 0, 0) == BZ_OK &&
                       size == chunk->size
                   ? 0
                   : -EIO;
    default: /* ADC, LZFSE, and what comes after them */
        return -ENOTSUP;
    }
}

static int load_chunk(BlockNode *node, Dmg *dmg, u32 index)
{
    const Chunk *chunk = &dmg->chunks[index];
    u8 *stream, *block;
    int result;

    if (dmg->current == index) {
        return 0;
    }
    dmg->current = dmg->count;
    block = realloc(dmg->block, chunk->size);
    if (!block) {
        return -ENOMEM;
    }
    dmg->block = block;
    stream = malloc(MAX(chunk->length, (u64)1));
    result = stream ? block_read_exact(node->file, chunk->offset, stream, chunk->length) : -ENOMEM;
    result = result < 0 ? result : expand(chunk, stream, block);
    free(stream);
    dmg->current = result < 0 ? dmg->count : index;
    return result;
}

static int read_part(BlockNode *node, u32 index, u64 inside, const BlockVector *part)
{
    Dmg *dmg = node->state;
    const Chunk *chunk = &dmg->chunks[index];
    int result;

    if (is_zero(chunk->type)) {
        block_vector_clear(part);
        return 0;
    }
    if (chunk->type == TYPE_RAW) {
        return inside + part->bytes > chunk->length
                   ? -EIO
                   : block_readv(node->file, chunk->offset + inside, part);
    }
    pthread_mutex_lock(&dmg->lock);
    result = load_chunk(node, dmg, index);
    if (result >= 0) {
        block_vector_store(part, dmg->block + inside, part->bytes);
    }
    pthread_mutex_unlock(&dmg->lock);
    return result;
}

static int dmg_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    Dmg *dmg = node->state;
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        u64 from = offset + at;
        u32 index = find_chunk(dmg, from), next = index == dmg->count ? 0 : index + 1;
        bool inside =
            index < dmg->count && from - dmg->chunks[index].start < dmg->chunks[index].size;
        u64 end = inside              ? dmg->chunks[index].start + dmg->chunks[index].size
                  : next < dmg->count ? dmg->chunks[next].start
                                      : node->size;
        BlockVector part = block_vector_part(data, at, MIN(data->bytes - at, end - from));

        if (inside) {
            result = read_part(node, index, from - dmg->chunks[index].start, &part);
        } else {
            block_vector_clear(&part); /* between chunks */
        }
        at += part.bytes;
    }
    return result;
}

const BlockDriver block_driver_dmg = {
    .name = "dmg",
    .kind = BLOCK_FORMAT,
    .state_size = sizeof(Dmg),
    .probe = dmg_probe,
    .open = dmg_open,
    .close = dmg_close,
    .read = dmg_read,
};
