/* Format "qcow": version 1 of QEMU's copy-on-write disks.
 *
 * Facts: the qcow (version 1) header and tables as QEMU writes them; all big-endian. Clusters of
 * the second level's tables are places, or (bit 63) a compressed stream with its length in the
 * bits above the offset. What lies at a place may be encrypted, see secret_old_cipher(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/drivers.h"
#include "block/secret.h"
#include "block/tree.h"

/* Offsets of header fields. */
enum {
    MAGIC = 0,
    VERSION = 4,
    BACKING_OFFSET = 8,
    BACKING_SIZE = 16,
    MTIME = 20,
    SIZE = 24,
    CLUSTER_BITS = 32,
    L2_BITS = 33,
    CRYPT_METHOD = 36,
    L1_OFFSET = 40,
    HEADER_BYTES = 48,
};

enum { CRYPT_NONE, CRYPT_AES };

enum { SECTOR = 512, BACKING_MAX = 1023, L1_MAX = 32 << 20 };

typedef struct Qcow {
    BlockTree tree; /* first */
    u64 *l1;        /* byte offsets; 0: none; owned */
    u64 l1_offset;
    u32 cluster_bits;
    bool encrypted;
} Qcow;

static const BlockOption open_options[] = {
    {"encrypt.format", BLOCK_OPTION_STRING, "aes: the encryption that the image must have"},
    {"encrypt.key-secret", BLOCK_OPTION_STRING, "ID of the secret that opens an encrypted image"},
    {NULL},
};

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"backing_file", BLOCK_OPTION_STRING, "File name of a base image"},
    {"backing_fmt", BLOCK_OPTION_STRING, "Format of the backing image; not kept in the image"},
    {"encryption", BLOCK_OPTION_BOOL,
     "Encrypt the image with format 'aes' (deprecated: say encrypt.format=aes)", "off"},
    {"encrypt.format", BLOCK_OPTION_STRING, "Encrypt the image; aes (legacy, weak)"},
    {"encrypt.key-secret", BLOCK_OPTION_STRING, "ID of the secret that opens the image"},
    {NULL},
};

static int qcow_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= HEADER_BYTES && !memcmp(head, "QFI\xfb", 4) && be32_get(head + VERSION) == 1
               ? 100
               : 0;
}

/* -- Tables */

static bool has_table(const BlockTree *tree, u32 index)
{
    return ((const Qcow *)tree)->l1[index];
}

static int load(BlockNode *node, BlockTree *tree, u32 index, u64 *entries)
{
    Qcow *qcow = (Qcow *)tree;
    int result = block_read_exact(node->file, qcow->l1[index], entries, (size_t)tree->entries * 8);

    for (u32 n = 0; n < tree->entries && result >= 0; n++) {
        u64 value = be64_get(&entries[n]);
        entries[n] = value ? value : TREE_NOWHERE;
        if (value >= TREE_ZERO) {
            result = -EIO;
        }
    }
    return result;
}

static int new_table(BlockNode *node, BlockTree *tree, u32 index)
{
    Qcow *qcow = (Qcow *)tree;
    u64 bytes = (u64)tree->entries * 8, place = ALIGN_UP(tree->end, (u64)tree->cluster_size);
    u8 entry[8];
    int result = block_zero(node->file, place, bytes, 0);

    if (result < 0) {
        return result;
    }
    tree->end = ALIGN_UP(place + bytes, (u64)tree->cluster_size);
    be64_put(entry, place);
    result = block_pwrite(node->file, qcow->l1_offset + 8 * (u64)index, entry, sizeof entry, 0);
    qcow->l1[index] = result < 0 ? 0 : place;
    return result;
}

static int store(BlockNode *node, BlockTree *tree, u32 index, u32 entry, u64 place)
{
    Qcow *qcow = (Qcow *)tree;
    u8 value[8];

    /* Places of whole clusters must be aligned; streams end anywhere. */
    if (place & TREE_COMPRESSED) {
        tree->end = ALIGN_UP(tree->end, (u64)tree->cluster_size);
    }
    be64_put(value, place);
    return block_pwrite(node->file, qcow->l1[index] + 8 * (u64)entry, value, sizeof value, 0);
}

static int decompress(BlockNode *node, BlockTree *tree, u64 entry, u8 *out)
{
    Qcow *qcow = (Qcow *)tree;
    unsigned shift = 63 - qcow->cluster_bits;
    size_t bytes = entry >> shift & (tree->cluster_size - 1);
    u64 offset = entry & (((u64)1 << shift) - 1);
    u8 *stream = malloc(bytes ? bytes : 1);
    int result = stream ? block_read_exact(node->file, offset, stream, bytes) : -ENOMEM;

    if (result >= 0) {
        result = block_inflate(stream, bytes, out, tree->cluster_size, false);
    }
    free(stream);
    return result;
}

static const TreeFormat qcow_tables = {.load = load,
                                       .has_table = has_table,
                                       .new_table = new_table,
                                       .store = store,
                                       .decompress = decompress};

/* -- Opening */

static int check_header(const u8 *h, BlockError *error)
{
    u32 cluster = h[CLUSTER_BITS], l2 = h[L2_BITS];
    u64 size = be64_get(h + SIZE);

    if (!qcow_probe(h, HEADER_BYTES, NULL)) {
        return block_error(error, EINVAL, "not a qcow (version 1) image");
    }
    if (cluster < 9 || cluster > 16 || l2 < 6 || l2 > 13) {
        return block_error(error, EINVAL, "qcow cluster or table size out of range");
    }
    if (be32_get(h + CRYPT_METHOD) > CRYPT_AES) {
        return block_error(error, EINVAL, "unknown qcow encryption method %u",
                           be32_get(h + CRYPT_METHOD));
    }
    if (size <= 1 || size > INT64_MAX || (size >> (cluster + l2)) * 8 > L1_MAX) {
        return block_error(error, EINVAL, "qcow image size is not possible");
    }
    return 0;
}

static int read_backing_name(BlockNode *node, const u8 *h, BlockError *error)
{
    u64 at = be64_get(h + BACKING_OFFSET);
    u32 size = be32_get(h + BACKING_SIZE);
    char name[BACKING_MAX + 1] = "";

    if (!at || !size) {
        return 0;
    }
    if (size > BACKING_MAX || block_read_exact(node->file, at, name, size) < 0) {
        return block_error(error, EINVAL, "the qcow backing file name is not readable");
    }
    node->backing_filename = strdup(name);
    return 0;
}

static int load_l1(BlockNode *node, Qcow *qcow, u32 count, BlockError *error)
{
    int result;

    qcow->l1 = malloc(MAX((size_t)count, (size_t)1) * 8);
    result = qcow->l1 ? block_read_exact(node->file, qcow->l1_offset, qcow->l1, (size_t)count * 8)
                      : -ENOMEM;
    for (u32 n = 0; n < count && result >= 0; n++) {
        qcow->l1[n] = be64_get(&qcow->l1[n]);
        result = qcow->l1[n] > INT64_MAX ? -EINVAL : 0;
    }
    if (result < 0) {
        free(qcow->l1);
        return block_error(error, -result, "cannot read the qcow first-level table: %s",
                           strerror(-result));
    }
    return 0;
}

static int qcow_close(BlockNode *node)
{
    Qcow *qcow = node->state;

    block_tree_free(&qcow->tree);
    free(qcow->l1);
    return 0;
}

/* Needs no key with BLOCK_NO_IO. */
static int open_cipher(BlockNode *node, const BlockOptions *options, const u8 *h, BlockError *error)
{
    Qcow *qcow = node->state;
    const char *format = block_options_get(options, "encrypt.format");
    const char *found = be32_get(h + CRYPT_METHOD) == CRYPT_AES ? "aes" : "none";

    if (format && strcmp(format, found) != 0) {
        return block_error(error, EINVAL,
                           "Header reported '%s' encryption format but options specify '%s'", found,
                           format);
    }
    qcow->encrypted = be32_get(h + CRYPT_METHOD) == CRYPT_AES;
    if (!qcow->encrypted) {
        return 0;
    }
    node->alignment = CRYPTO_SECTOR;
    return node->flags & BLOCK_NO_IO
               ? 0
               : secret_old_cipher(&qcow->tree.cipher, block_options_objects(options),
                                   block_options_get(options, "encrypt.key-secret"), error);
}

static int qcow_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Qcow *qcow = node->state;
    u8 h[HEADER_BYTES];
    u32 count;
    int result = block_read_exact(node->file, 0, h, sizeof h);

    if (result < 0) {
        return block_error(error, -result, "cannot read the qcow header");
    }
    result = check_header(h, error);
    result = result < 0 ? result : read_backing_name(node, h, error);
    if (result < 0) {
        return result;
    }
    node->size = ALIGN_UP(be64_get(h + SIZE), (u64)SECTOR);
    qcow->cluster_bits = h[CLUSTER_BITS];
    qcow->l1_offset = be64_get(h + L1_OFFSET);
    count = (u32)((node->size + ((u64)1 << (h[CLUSTER_BITS] + h[L2_BITS])) - 1) >>
                  (h[CLUSTER_BITS] + h[L2_BITS]));
    result = load_l1(node, qcow, count, error);
    if (result >= 0) {
        block_tree_init(&qcow->tree, &qcow_tables, node->file, 1u << h[CLUSTER_BITS],
                        1u << h[L2_BITS], count);
        qcow->tree.end = ALIGN_UP(block_size(node->file), (u64)qcow->tree.cluster_size);
        result = open_cipher(node, options, h, error);
        if (result < 0) {
            qcow_close(node);
        }
    }
    return result;
}

/* -- Data */

static int qcow_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    Qcow *qcow = node->state;

    return qcow->encrypted && !qcow->tree.cipher ? -EACCES
                                                 : block_tree_read(node, &qcow->tree, offset, data);
}

/* One whole cluster; the image's last may be cut off and is filled with zeroes. */
static int write_compressed(BlockNode *node, u64 offset, const BlockVector *data)
{
    Qcow *qcow = node->state;
    u32 size = qcow->tree.cluster_size;
    u8 *cluster = calloc(2, size), *stream = cluster ? cluster + size : NULL;
    int made, result;

    if (!cluster) {
        return -ENOMEM;
    }
    block_vector_load(data, cluster, data->bytes);
    made = block_deflate(cluster, size, stream, size - 1, false);
    if (made < 0) {
        result = block_tree_write(node, &qcow->tree, offset, data, 0);
    } else {
        result = block_tree_put(node, &qcow->tree, offset,
                                TREE_COMPRESSED | (u64)made << (63 - qcow->cluster_bits), stream,
                                (size_t)made);
    }
    free(cluster);
    return result;
}

static int qcow_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    Qcow *qcow = node->state;
    u32 size = qcow->tree.cluster_size;
    int result = 0;

    if (qcow->encrypted && (!qcow->tree.cipher || (flags & BLOCK_COMPRESSED))) {
        return qcow->tree.cipher ? -ENOTSUP : -EACCES;
    }
    if (!(flags & BLOCK_COMPRESSED)) {
        return block_tree_write(node, &qcow->tree, offset, data, flags);
    }
    if (offset % size || (data->bytes % size && offset + data->bytes != node->size)) {
        return -EINVAL;
    }
    for (size_t at = 0; at < data->bytes && result >= 0; at += size) {
        BlockVector part = block_vector_part(data, at, MIN(size, data->bytes - at));
        result = write_compressed(node, offset + at, &part);
    }
    return result;
}

static int qcow_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    Qcow *qcow = node->state;
    int result = block_tree_map(node, &qcow->tree, offset, bytes, extent);

    if (qcow->encrypted) {
        extent->flags &= ~(unsigned)BLOCK_OFFSET; /* what is there is not what is read */
    }
    return result;
}

/* -- Creating */

/* The encryption that the options ask for. */
static int choose_encryption(const BlockOptions *options, u32 *method, BlockError *error)
{
    const char *format = block_options_get(options, "encrypt.format");
    const char *id = block_options_get(options, "encrypt.key-secret");
    bool old_way = block_option_bool(options, create_options, "encryption");
    SectorCipher *cipher = NULL;

    if (old_way && format) {
        return block_error(error, EINVAL,
                           "'encrypt.format' and its alias 'encryption' can't be used at the same "
                           "time");
    }
    if (format && strcmp(format, "aes") != 0) {
        return block_error(error, EINVAL, "encrypt.format is aes, not '%s'", format);
    }
    *method = old_way || format ? CRYPT_AES : CRYPT_NONE;
    if (*method == CRYPT_NONE) {
        return id ? block_error(error, EINVAL, "Parameter 'encrypt.format' is missing") : 0;
    }
    int result = secret_old_cipher(&cipher, block_options_objects(options), id, error);
    sector_cipher_free(cipher);
    return result;
}

static int qcow_create(BlockNode *file, const char *filename, const BlockOptions *options,
                       BlockError *error)
{
    u64 size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)SECTOR);
    const char *backing = block_option_string(options, create_options, "backing_file");
    size_t name = backing ? strlen(backing) : 0;
    u64 l1 = ALIGN_UP(HEADER_BYTES + name, (size_t)8);
    u8 h[HEADER_BYTES] = "QFI\xfb";
    u32 crypt = CRYPT_NONE;
    int result = choose_encryption(options, &crypt, error);

    (void)filename;
    if (result < 0) {
        return result;
    }
    if (name > BACKING_MAX) {
        return block_error(error, EINVAL, "the backing file name is too long");
    }
    be32_put(h + VERSION, 1);
    be64_put(h + BACKING_OFFSET, backing ? HEADER_BYTES : 0);
    be32_put(h + BACKING_SIZE, (u32)name);
    be32_put(h + MTIME, backing ? (u32)time(NULL) : 0);
    be64_put(h + SIZE, size);
    /* Overlays have small clusters, so that little is copied up. */
    h[CLUSTER_BITS] = backing ? 9 : 12;
    h[L2_BITS] = backing ? 12 : 9;
    be32_put(h + CRYPT_METHOD, crypt);
    be64_put(h + L1_OFFSET, l1);
    result = check_header(h, error);
    if (result < 0) {
        return result;
    }
    result =
        block_truncate(file, l1 + ((size + (1 << 21) - 1) >> 21) * 8, BLOCK_PREALLOC_OFF, error);
    if (result < 0) {
        return result;
    }
    result = block_pwrite(file, 0, h, sizeof h, 0);
    if (result >= 0 && name) {
        result = block_pwrite(file, HEADER_BYTES, backing, name, 0);
    }
    return result < 0 ? block_error(error, -result, "cannot write: %s", strerror(-result)) : 0;
}

static int qcow_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Qcow *qcow = node->state;

    (void)error;
    info->cluster_size = qcow->tree.cluster_size;
    info->compressed = "zlib";
    info->encrypted = qcow->encrypted;
    return 0;
}

const BlockDriver block_driver_qcow = {
    .name = "qcow",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_HAS_BACKING | BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Qcow),
    .probe = qcow_probe,
    .open_options = open_options,
    .create_options = create_options,
    .open = qcow_open,
    .close = qcow_close,
    .create = qcow_create,
    .read = qcow_read,
    .write = qcow_write,
    .map = qcow_map,
    .info = qcow_info,
};
