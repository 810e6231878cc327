/* The qcow2 header: read with every number checked against what the rest can cope with, written
 * whole. All that lies in the first cluster belongs here. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum {
    EXT_END = 0,
    EXT_BACKING_FORMAT = 0xe2792aca,
    EXT_FEATURE_NAMES = 0x6803f857,
    EXT_LUKS = 0x0537be77,
    EXT_BITMAPS = 0x23852875,
    EXT_DATA_FILE = 0x44415441,
    MAX_HEADER_BYTES = 2 << 20,
};

enum { KIND_INCOMPATIBLE, KIND_COMPATIBLE, KIND_AUTOCLEAR };

static const struct {
    u8 kind, bit;
    const char *name; /* at most 46 bytes */
} features[] = {
    {KIND_INCOMPATIBLE, 0, "dirty bit"},
    {KIND_INCOMPATIBLE, 1, "corrupt bit"},
    {KIND_INCOMPATIBLE, 2, "external data file"},
    {KIND_INCOMPATIBLE, 3, "compression type"},
    {KIND_INCOMPATIBLE, 4, "extended L2 entries"},
    {KIND_COMPATIBLE, 0, "lazy refcounts"},
    {KIND_AUTOCLEAR, 0, "bitmaps"},
    {KIND_AUTOCLEAR, 1, "raw external data"},
};

enum { FEATURE_NAME_BYTES = 48, KNOWN_INCOMPATIBLE = 0x1f, KNOWN_AUTOCLEAR = 3 };

/* Where each number is: offset, width, member. v2 ends before `incompatible`. */
#define FIELD(offset, width, member)                                                               \
    {                                                                                              \
        offset, width, offsetof(Qcow2Header, member)                                               \
    }
static const struct {
    u8 at, width;
    size_t member;
} fields[] = {
    FIELD(4, 4, version),
    FIELD(8, 8, backing_offset),
    FIELD(16, 4, backing_length),
    FIELD(20, 4, cluster_bits),
    FIELD(24, 8, size),
    FIELD(32, 4, crypt),
    FIELD(36, 4, l1_entries),
    FIELD(40, 8, l1_offset),
    FIELD(48, 8, reftable_offset),
    FIELD(56, 4, reftable_clusters),
    FIELD(60, 4, snapshot_count),
    FIELD(64, 8, snapshot_offset),
    FIELD(72, 8, incompatible),
    FIELD(80, 8, compatible),
    FIELD(88, 8, autoclear),
    FIELD(96, 4, refcount_order),
    FIELD(100, 4, length),
    FIELD(104, 1, compression),
};

static void decode(const u8 *bytes, size_t size, Qcow2Header *h)
{
    for (size_t i = 0; i < COUNT(fields); i++) {
        u8 *member = (u8 *)h + fields[i].member;
        if (fields[i].at + fields[i].width > size) {
            break;
        }
        if (fields[i].width == 8) {
            *(u64 *)member = be64_get(bytes + fields[i].at);
        } else if (fields[i].width == 4) {
            *(u32 *)member = be32_get(bytes + fields[i].at);
        } else {
            *member = bytes[fields[i].at];
        }
    }
}

static void encode(u8 *bytes, size_t size, const Qcow2Header *h)
{
    be32_put(bytes, QCOW2_MAGIC);
    for (size_t i = 0; i < COUNT(fields); i++) {
        const u8 *member = (const u8 *)h + fields[i].member;
        if (fields[i].at + fields[i].width > size) {
            break;
        }
        if (fields[i].width == 8) {
            be64_put(bytes + fields[i].at, *(const u64 *)member);
        } else if (fields[i].width == 4) {
            be32_put(bytes + fields[i].at, *(const u32 *)member);
        } else {
            bytes[fields[i].at] = *member;
        }
    }
}

void qcow2_header_free(Qcow2Header *h)
{
    free(h->backing_name);
    free(h->backing_format);
    free(h->data_file);
    free(h->unknown);
    h->backing_name = h->backing_format = h->data_file = NULL;
    h->unknown = NULL;
}

/* The name of a feature bit, from the image's own table or ours. */
static void feature_name(const u8 *table, size_t bytes, unsigned bit, char *name, size_t room)
{
    snprintf(name, room, "bit %u", bit);
    for (size_t at = 0; at + FEATURE_NAME_BYTES <= bytes; at += FEATURE_NAME_BYTES) {
        if (table[at] == KIND_INCOMPATIBLE && table[at + 1] == bit) {
            snprintf(name, room, "%.46s", (const char *)table + at + 2);
        }
    }
}

/* Takes tables and sizes that would overflow or exhaust memory for what they are. */
static int check_tables(const Qcow2Header *h, BlockError *error)
{
    u64 cluster = 1ull << h->cluster_bits;

    if (h->l1_entries > QCOW2_MAX_L1_BYTES / 8) {
        return block_error(error, EFBIG, "the qcow2 L1 table is too large");
    }
    if ((u64)h->reftable_clusters << h->cluster_bits > QCOW2_MAX_REFTABLE_BYTES) {
        return block_error(error, EFBIG, "the qcow2 refcount table is too large");
    }
    if (h->snapshot_count > QCOW2_MAX_SNAPSHOTS) {
        return block_error(error, EFBIG, "the qcow2 image has too many snapshots");
    }
    const u64 offsets[] = {h->l1_offset, h->reftable_offset, h->snapshot_offset};
    for (size_t i = 0; i < COUNT(offsets); i++) {
        if ((offsets[i] & (cluster - 1)) || offsets[i] > INT64_MAX - QCOW2_MAX_L1_BYTES) {
            return block_error(error, EINVAL, "a qcow2 table is not at a cluster's start");
        }
    }
    if (!h->reftable_clusters || !h->reftable_offset) {
        return block_error(error, EINVAL, "the qcow2 image has no refcount table");
    }
    if (h->l1_entries && !h->l1_offset) {
        return block_error(error, EINVAL, "the qcow2 image has no L1 table");
    }
    return 0;
}

static int check_numbers(const Qcow2Header *h, BlockError *error)
{
    u64 cluster = 1ull << h->cluster_bits;
    unsigned entry_bits = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? 4 : 3;

    if (h->refcount_order > 6) {
        return block_error(error, EINVAL, "qcow2 refcounts cannot be wider than 64 bits");
    }
    if (h->crypt > QCOW2_CRYPT_LUKS) {
        return block_error(error, EINVAL, "unknown qcow2 encryption method %u", h->crypt);
    }
    if (h->compression > QCOW2_ZSTD ||
        (h->compression != QCOW2_ZLIB) != !!(h->incompatible & QCOW2_INCOMPATIBLE_COMPRESSION)) {
        return block_error(error, EINVAL, "unknown qcow2 compression type %u", h->compression);
    }
    if (entry_bits == 4 && h->cluster_bits < 14) {
        return block_error(error, EINVAL, "qcow2 subclusters would be smaller than 512 bytes");
    }
    u64 l2_covers = cluster << (h->cluster_bits - entry_bits);
    u64 needed = h->size / l2_covers + (h->size % l2_covers != 0);
    if (h->size > INT64_MAX - 511 || needed > QCOW2_MAX_L1_BYTES / 8) {
        return block_error(error, EFBIG, "the qcow2 disk is too large");
    }
    if (needed > h->l1_entries) {
        return block_error(error, EINVAL, "the qcow2 L1 table is too small for the disk");
    }
    return check_tables(h, error);
}

static char *text_of(const u8 *bytes, size_t size)
{
    char *text = malloc(size + 1);

    if (text) {
        memcpy(text, bytes, size);
        text[size] = 0;
    }
    return text;
}

static int read_bitmap_extension(const u8 *body, u32 size, Qcow2Header *h, BlockError *error)
{
    if (size < 24) {
        return block_error(error, EINVAL, "the qcow2 bitmaps extension is too short");
    }
    if (!(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        return 0; /* changed by a program that does not know bitmaps: they are void */
    }
    h->bitmap_count = be32_get(body);
    h->bitmap_directory_bytes = be64_get(body + 8);
    h->bitmap_directory_offset = be64_get(body + 16);
    if (!h->bitmap_count || h->bitmap_count > QCOW2_MAX_BITMAPS ||
        h->bitmap_directory_bytes > 64u << 20 ||
        (h->bitmap_directory_offset & ((1ull << h->cluster_bits) - 1)) ||
        h->bitmap_directory_offset > INT64_MAX / 2) {
        return block_error(error, EINVAL, "the qcow2 bitmaps extension makes no sense");
    }
    h->has_bitmaps = true;
    return 0;
}

static int keep_unknown(Qcow2Header *h, const u8 *extension, size_t bytes)
{
    u8 *grown = realloc(h->unknown, h->unknown_bytes + bytes);

    if (!grown) {
        return -ENOMEM;
    }
    memcpy(grown + h->unknown_bytes, extension, bytes);
    h->unknown = grown;
    h->unknown_bytes += bytes;
    return 0;
}

/* One extension; `body` is `size` bytes at 8 past the start of the extension. */
static int read_extension(u32 type, const u8 *body, u32 size, Qcow2Header *h, BlockError *error)
{
    switch (type) {
    case EXT_BACKING_FORMAT:
        free(h->backing_format);
        h->backing_format = text_of(body, size);
        return 0;
    case EXT_DATA_FILE:
        free(h->data_file);
        h->data_file = text_of(body, size);
        return 0;
    case EXT_BITMAPS:
        return read_bitmap_extension(body, size, h, error);
    case EXT_LUKS:
        if (size < 16) {
            return block_error(error, EINVAL, "the qcow2 encryption extension is too short");
        }
        h->has_luks = true;
        h->luks_offset = be64_get(body);
        h->luks_bytes = be64_get(body + 8);
        return 0;
    case EXT_FEATURE_NAMES:
        return 0; /* written anew each time */
    default:
        return keep_unknown(h, body - 8, 8 + ALIGN_UP((size_t)size, 8));
    }
}

static int read_extensions(const u8 *bytes, size_t end, Qcow2Header *h, BlockError *error)
{
    for (size_t at = h->length; at + 8 <= end;) {
        u32 type = be32_get(bytes + at), size = be32_get(bytes + at + 4);
        if (type == EXT_END) {
            break;
        }
        if (size > end - at - 8) {
            return block_error(error, EINVAL, "a qcow2 header extension is too long");
        }
        if (at + 8 + ALIGN_UP((size_t)size, 8) > end && type != EXT_BACKING_FORMAT) {
            return block_error(error, EINVAL, "a qcow2 header extension is cut off");
        }
        int result = read_extension(type, bytes + at + 8, size, h, error);
        if (result < 0) {
            return result;
        }
        at += 8 + ALIGN_UP((size_t)size, 8);
    }
    return 0;
}

/* Complains about features that are not known, by name. */
static int check_features(const u8 *bytes, size_t end, const Qcow2Header *h, BlockError *error)
{
    u64 unknown = h->incompatible & ~(u64)KNOWN_INCOMPATIBLE;
    const u8 *names = NULL;
    size_t name_bytes = 0;
    char name[64];

    for (size_t at = h->length; at + 8 <= end;) {
        u32 type = be32_get(bytes + at), size = be32_get(bytes + at + 4);
        if (type == EXT_END || size > end - at - 8) {
            break;
        }
        if (type == EXT_FEATURE_NAMES) {
            names = bytes + at + 8;
            name_bytes = size;
        }
        at += 8 + ALIGN_UP((size_t)size, 8);
    }
    if (!unknown) {
        return 0;
    }
    feature_name(names, name_bytes, (unsigned)__builtin_ctzll(unknown), name, sizeof name);
    return block_error(error, ENOTSUP, "the qcow2 image uses an unknown feature: %s", name);
}

static int parse(const u8 *bytes, size_t size, Qcow2Header *h, BlockError *error)
{
    if (size < QCOW2_V2_HEADER || be32_get(bytes) != QCOW2_MAGIC) {
        return block_error(error, EINVAL, "this is no qcow2 image");
    }
    decode(bytes, QCOW2_V2_HEADER, h);
    if (h->version < 2 || h->version > 3) {
        return block_error(error, ENOTSUP, "unknown qcow2 version %u", h->version);
    }
    if (h->cluster_bits < QCOW2_MIN_CLUSTER_BITS || h->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
        return block_error(error, EINVAL, "a qcow2 cluster of 2^%u bytes is not possible",
                           h->cluster_bits);
    }
    size = MIN(size, (size_t)1 << h->cluster_bits);
    h->refcount_order = 4;
    h->length = QCOW2_V2_HEADER;
    if (h->version == 3) {
        if (size < QCOW2_V3_HEADER || be32_get(bytes + 100) < QCOW2_V3_HEADER ||
            be32_get(bytes + 100) > size) {
            return block_error(error, EINVAL, "the qcow2 header has an impossible length");
        }
        decode(bytes, MIN((size_t)be32_get(bytes + 100), size), h);
    }
    size_t end = size;
    if (h->backing_offset) {
        if (h->backing_offset > size || h->backing_length > QCOW2_MAX_BACKING_NAME ||
            h->backing_length > size - h->backing_offset) {
            return block_error(error, EINVAL, "the qcow2 backing file name is out of place");
        }
        end = h->backing_offset;
    }
    int result = check_features(bytes, end, h, error);
    result = result ? result : check_numbers(h, error);
    result = result ? result : read_extensions(bytes, end, h, error);
    if (!result && h->backing_offset) {
        h->backing_name = text_of(bytes + h->backing_offset, h->backing_length);
    }
    return result;
}

int qcow2_header_read(BlockNode *file, Qcow2Header *h, BlockError *error)
{
    u64 size = block_size(file);
    u8 start[QCOW2_V2_HEADER];
    int result = size < sizeof start ? -EINVAL : block_pread(file, 0, start, sizeof start);

    *h = (Qcow2Header){0};
    if (result < 0) {
        return block_error(error, -result, "cannot read the qcow2 header: %s", strerror(-result));
    }
    u32 bits = be32_get(start + 20);
    size_t bytes = bits <= QCOW2_MAX_CLUSTER_BITS ? (size_t)1 << bits : 512;
    bytes = MIN(MAX(bytes, (size_t)512), (size_t)MIN(size, (u64)MAX_HEADER_BYTES));
    u8 *cluster = block_buffer_new(bytes);
    result = cluster ? block_pread(file, 0, cluster, bytes) : -ENOMEM;
    result = result < 0 ? block_error(error, -result, "cannot read the qcow2 header: %s",
                                      strerror(-result))
                        : parse(cluster, bytes, h, error);
    free(cluster);
    if (result < 0) {
        qcow2_header_free(h);
    }
    return result;
}

/* Appends an extension; false if it does not fit. */
static bool append(u8 *cluster, size_t size, size_t *at, u32 type, const void *body, u32 bytes)
{
    size_t whole = 8 + ALIGN_UP((size_t)bytes, 8);

    if (whole > size - *at) {
        return false;
    }
    be32_put(cluster + *at, type);
    be32_put(cluster + *at + 4, bytes);
    memcpy(cluster + *at + 8, body, bytes);
    *at += whole;
    return true;
}

static bool append_feature_names(u8 *cluster, size_t size, size_t *at)
{
    u8 table[COUNT(features) * FEATURE_NAME_BYTES] = {0};

    for (size_t i = 0; i < COUNT(features); i++) {
        u8 *row = table + i * FEATURE_NAME_BYTES;
        row[0] = features[i].kind;
        row[1] = features[i].bit;
        memcpy(row + 2, features[i].name, strlen(features[i].name));
    }
    return append(cluster, size, at, EXT_FEATURE_NAMES, table, sizeof table);
}

static bool append_extensions(u8 *cluster, size_t size, const Qcow2Header *h, size_t *at)
{
    u8 body[24] = {0};
    bool good = true;

    if (h->backing_format) {
        good = append(cluster, size, at, EXT_BACKING_FORMAT, h->backing_format,
                      (u32)strlen(h->backing_format));
    }
    if (good && h->data_file) {
        good = append(cluster, size, at, EXT_DATA_FILE, h->data_file, (u32)strlen(h->data_file));
    }
    if (good && h->has_luks) {
        be64_put(body, h->luks_offset);
        be64_put(body + 8, h->luks_bytes);
        good = append(cluster, size, at, EXT_LUKS, body, 16);
    }
    /* The names are a courtesy, and left out where there is no room. */
    if (good && h->version == 3 && size >= 4096) {
        good = append_feature_names(cluster, size, at);
    }
    if (good && h->has_bitmaps) {
        memset(body, 0, sizeof body);
        be32_put(body, h->bitmap_count);
        be64_put(body + 8, h->bitmap_directory_bytes);
        be64_put(body + 16, h->bitmap_directory_offset);
        good = append(cluster, size, at, EXT_BITMAPS, body, 24);
    }
    if (good && h->unknown && h->unknown_bytes <= size - *at) {
        memcpy(cluster + *at, h->unknown, h->unknown_bytes);
        *at += h->unknown_bytes;
    }
    return good && append(cluster, size, at, EXT_END, "", 0);
}

int qcow2_header_write(BlockNode *file, const Qcow2Header *given, BlockError *error)
{
    size_t size = (size_t)1 << given->cluster_bits;
    u8 *cluster = block_buffer_new(size);
    Qcow2Header h = *given;
    int result = -ENOMEM;

    if (!cluster) {
        return block_error(error, ENOMEM, "out of memory");
    }
    memset(cluster, 0, size);
    h.length = h.version == 2 ? QCOW2_V2_HEADER : QCOW2_V3_HEADER + 8;
    size_t at = h.length;
    bool good = append_extensions(cluster, size, &h, &at);
    size_t name = h.backing_name ? strlen(h.backing_name) : 0;
    h.backing_length = (u32)name;
    h.backing_offset = name ? at : 0;
    if (!good || name > size - at || name > QCOW2_MAX_BACKING_NAME) {
        result = block_error(error, ENOSPC, "the backing file name is too long");
    } else {
        if (name) {
            memcpy(cluster + at, h.backing_name, name);
        }
        encode(cluster, h.length, &h);
        result = block_pwrite(file, 0, cluster, size, 0);
        if (result < 0) {
            block_error(error, -result, "cannot write the qcow2 header: %s", strerror(-result));
        }
    }
    free(cluster);
    return result;
}

int qcow2_header_write_features(Qcow2 *q)
{
    u8 bits[24];

    if (q->header.version < 3) {
        return 0;
    }
    be64_put(bits, q->header.incompatible);
    be64_put(bits + 8, q->header.compatible);
    be64_put(bits + 16, q->header.autoclear);
    int result = block_pwrite(q->file, 72, bits, sizeof bits, 0);
    return result ? result : block_flush(q->file);
}

int qcow2_corrupt(Qcow2 *q, const char *format, ...)
{
    char text[256];
    va_list args;

    if (!q->inert) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        fprintf(stderr, "menura: '%s' is corrupt: %s%s\n", q->node->filename, text,
                q->node->flags & BLOCK_WRITE ? "; no more writes are accepted" : "");
        q->inert = true;
        if ((q->node->flags & BLOCK_WRITE) && q->header.version == 3) {
            q->header.incompatible |= QCOW2_INCOMPATIBLE_CORRUPT;
            qcow2_header_write_features(q);
        }
    }
    return -EIO;
}
