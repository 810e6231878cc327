/* Format "luks": a LUKS header, then the disk, encrypted sector by sector and numbered from the
 * disk's start. The header may lie in another file ("header"), so that nothing shows what the first
 * one is.
 *
 * What was never written reads as what its bytes decrypt to, not as zeroes. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "block/drivers.h"
#include "block/luks.h"

typedef struct LuksDisk {
    Luks luks;
    SectorCipher *cipher; /* NULL if opened only to be looked at */
    u64 start;            /* of the disk in the file */
    char *secret;         /* id of what it was opened with, or NULL */
} LuksDisk;

static const BlockOption open_options[] = {
    {"key-secret", BLOCK_OPTION_STRING, "ID of the secret that opens the image"},
    {"header", BLOCK_OPTION_STRING, "the file of the header, if it is not in front of the disk"},
    {NULL},
};

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    LUKS_CREATE_OPTIONS(""),
    {"detached-header", BLOCK_OPTION_BOOL, "Make only the header, of a disk in another file",
     "off"},
    {"preallocation", BLOCK_OPTION_STRING, "Preallocation mode (allowed values: off, falloc, full)",
     "off"},
    {NULL},
};

static const BlockOption amend_options[] = {LUKS_AMEND_OPTIONS(""), {NULL}};

static int open_header(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    BlockOptions *below = block_options_below(options, "header");
    int result = 0;

    if (below) {
        result = block_open_child(&node->extra, NULL, options, "header", block_driver_find("file"),
                                  node->flags, error);
        if (result < 0) {
            block_error_prefix(error, -result, "cannot open the header");
        }
    }
    block_options_free(below);
    return result;
}

static int luks_open_disk(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    LuksDisk *disk = node->state;
    const char *secret = block_options_get(options, "key-secret");
    int result = open_header(node, options, error);
    BlockNode *header = node->extra ? node->extra : node->file;

    result = result ? result : luks_load(&disk->luks, header, 0, block_size(header), error);
    if (result < 0) {
        return block_error_prefix(error, -result, "'%s'", node->filename);
    }
    disk->start = (u64)disk->luks.payload * CRYPTO_SECTOR;
    if (!disk->start && !node->extra && !(node->flags & BLOCK_NO_IO)) {
        return block_error(error, EINVAL,
                           "'%s' is only a header: name the disk's file as 'file', "
                           "and this as 'header'",
                           node->filename);
    }
    if (disk->start > block_size(node->file)) {
        return block_error(error, EINVAL, "'%s' ends before its disk begins", node->filename);
    }
    if (!(node->flags & BLOCK_NO_IO)) {
        result = luks_open(&disk->luks, options, &disk->cipher, error);
        if (result < 0) {
            return block_error_prefix(error, -result, "Could not open '%s'", node->filename);
        }
    }
    disk->secret = secret ? strdup(secret) : NULL;
    node->alignment = CRYPTO_SECTOR;
    node->size = ALIGN_DOWN(block_size(node->file) - disk->start, (u64)CRYPTO_SECTOR);
    return 0;
}

static int luks_close(BlockNode *node)
{
    LuksDisk *disk = node->state;

    sector_cipher_free(disk->cipher);
    free(disk->secret);
    return 0;
}

static int luks_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    LuksDisk *disk = node->state;

    return disk->cipher ? sector_cipher_read(disk->cipher, offset / CRYPTO_SECTOR, node->file,
                                             disk->start + offset, data)
                        : -EACCES;
}

static int luks_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    LuksDisk *disk = node->state;

    if (flags & BLOCK_COMPRESSED) {
        return -ENOTSUP;
    }
    return disk->cipher ? sector_cipher_write(disk->cipher, offset / CRYPTO_SECTOR, node->file,
                                              disk->start + offset, data)
                        : -EACCES;
}

static int luks_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    LuksDisk *disk = node->state;
    int result;

    if (size > INT64_MAX - disk->start) {
        return block_error(error, EFBIG, "a disk cannot be that large");
    }
    result = block_truncate(node->file, disk->start + size, mode, error);
    if (!result) {
        node->size = size;
    }
    return result;
}

static int luks_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    LuksDisk *disk = node->state;
    json_object *data = json_object_new_object();

    (void)error;
    luks_information(&disk->luks, data, false);
    info->encrypted = true;
    info->specific = json_object_new_object();
    json_object_object_add(info->specific, "type", json_object_new_string("luks"));
    json_object_object_add(info->specific, "data", data);
    return 0;
}

/* The options of the header and of the file around it, checked. */
static int make_wish(const BlockOptions *options, LuksWish *wish, BlockPrealloc *mode, u64 *size,
                     BlockError *error)
{
    const char *word = block_option_string(options, create_options, "preallocation");
    int result = luks_wish(wish, options, error);

    wish->detached = block_option_bool(options, create_options, "detached-header");
    *size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)CRYPTO_SECTOR);
    if (!result && (!block_prealloc_parse(word, mode) || *mode == BLOCK_PREALLOC_METADATA)) {
        result =
            block_error(error, EINVAL, "preallocation '%s' is not possible for luks images", word);
    }
    if (!result && *size > INT64_MAX - luks_area_bytes(wish)) {
        result = block_error(error, EFBIG, "The requested file size is too large");
    }
    return result;
}

static int luks_create_disk(BlockNode *file, const char *filename, const BlockOptions *options,
                            BlockError *error)
{
    BlockPrealloc mode;
    LuksWish wish;
    u64 size;
    int result = make_wish(options, &wish, &mode, &size, error);

    (void)filename;
    if (!result) {
        u64 bytes = luks_area_bytes(&wish) + (wish.detached ? 0 : size);
        result = block_truncate(file, bytes, mode, error);
    }
    return result ? result : luks_create(&wish, block_options_objects(options), file, 0, error);
}

static int luks_amend_disk(BlockNode *node, const BlockOptions *options, BlockProgress *progress,
                           void *opaque, BlockError *error)
{
    LuksDisk *disk = node->state;
    int result = luks_amend(&disk->luks, options, disk->secret, error);

    if (!result && progress) {
        progress(opaque, 1, 1);
    }
    return result;
}

static int luks_measure(const BlockOptions *options, BlockNode *source, BlockMeasure *measure,
                        BlockError *error)
{
    BlockPrealloc mode;
    LuksWish wish;
    u64 size;
    int result = make_wish(options, &wish, &mode, &size, error);

    if (!result) {
        measure->required = luks_area_bytes(&wish) + (source ? block_size(source) : size);
        measure->fully_allocated = measure->required;
    }
    return result;
}

const BlockDriver block_driver_luks = {
    .name = "luks",
    .kind = BLOCK_FORMAT,
    .state_size = sizeof(LuksDisk),
    .probe = luks_probe,
    .open_options = open_options,
    .create_options = create_options,
    .amend_options = amend_options,
    .open = luks_open_disk,
    .close = luks_close,
    .create = luks_create_disk,
    .read = luks_read,
    .write = luks_write,
    .truncate = luks_truncate,
    .info = luks_info,
    .amend = luks_amend_disk,
    .measure = luks_measure,
};
