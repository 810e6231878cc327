/* Format "raw": the file's bytes are the disk's, from `offset` on and `size` long if given.
 *
 * Where the user named no format and none was recognised, the guest must not be able to make the
 * next opening find another one: writes to the start that would are refused. */
#include <errno.h>
#include <string.h>

#include "block/drivers.h"

typedef struct Raw {
    u64 offset;
    bool has_size; /* a window that can't grow */
} Raw;

static const BlockOption open_options[] = {
    {"offset", BLOCK_OPTION_SIZE, "where in the file the disk starts"},
    {"size", BLOCK_OPTION_SIZE, "bytes of the disk; the rest of the file if not given"},
    {NULL},
};

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"preallocation", BLOCK_OPTION_STRING, "Preallocation mode (allowed values: off, falloc, full)",
     "off"},
    {NULL},
};

static int raw_probe(const u8 *head, size_t size, const char *filename)
{
    (void)head, (void)size, (void)filename;
    return 1; /* when nothing else fits */
}

static int raw_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Raw *raw = node->state;
    u64 file_size = block_size(node->file);

    raw->offset = block_option_number(options, open_options, "offset");
    raw->has_size = block_options_get(options, "size");
    if (raw->offset > file_size) {
        return block_error(error, EINVAL, "the offset lies past the end of the file");
    }
    /* Guests see whole sectors. */
    node->size = raw->has_size ? block_option_number(options, open_options, "size")
                               : ALIGN_UP(file_size - raw->offset, (u64)512);
    if (raw->has_size && node->size > file_size - raw->offset) {
        return block_error(error, EINVAL, "offset and size reach past the end of the file");
    }
    node->zero_alignment = 1;
    return 0;
}

/* What the file's start would be after the write: still of no known format? */
static int guard(BlockNode *node, u64 offset, const BlockVector *data)
{
    u8 head[BLOCK_PROBE_SIZE];
    size_t size = MIN(node->size, (u64)sizeof head);
    int result = block_pread(node->file, 0, head, size);

    if (result < 0) {
        return result;
    }
    block_vector_load(data, head + offset, MIN(data->bytes, size - offset));
    return block_probe_bytes(head, size, node->filename) == &block_driver_raw ? 0 : -EPERM;
}

static int raw_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    Raw *raw = node->state;

    return block_readv(node->file, raw->offset + offset, data);
}

static int raw_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    Raw *raw = node->state;
    int result = 0;

    if (flags & BLOCK_COMPRESSED) {
        return -ENOTSUP;
    }
    if (node->probed_raw && offset < MIN((u64)BLOCK_PROBE_SIZE, node->size)) {
        result = guard(node, offset, data);
    }
    return result ? result : block_writev(node->file, raw->offset + offset, data, flags);
}

static int raw_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    Raw *raw = node->state;

    return block_zero(node->file, raw->offset + offset, bytes, flags);
}

static int raw_discard(BlockNode *node, u64 offset, u64 bytes)
{
    Raw *raw = node->state;

    return block_discard(node->file, raw->offset + offset, bytes);
}

static bool raw_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct)
{
    Raw *raw = node->state;

    *direct = (BlockDirect){node->file, raw->offset + offset, bytes};
    return op == BLOCK_OP_READ || !node->probed_raw || offset >= BLOCK_PROBE_SIZE;
}

static int raw_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    Raw *raw = node->state;

    return block_map(node->file, raw->offset + offset, bytes, extent);
}

static int raw_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    Raw *raw = node->state;

    if (raw->has_size) {
        return block_error(error, ENOTSUP, "a part of a file cannot be resized");
    }
    int result = block_truncate(node->file, raw->offset + size, mode, error);
    if (!result) {
        node->size = size;
    }
    return result;
}

static int raw_create(BlockNode *file, const char *filename, const BlockOptions *options,
                      BlockError *error)
{
    const char *word = block_option_string(options, create_options, "preallocation");
    BlockPrealloc mode;

    (void)filename;
    if (!block_prealloc_parse(word, &mode) || mode == BLOCK_PREALLOC_METADATA) {
        return block_error(error, EINVAL, "preallocation '%s' is not possible for raw images",
                           word);
    }
    return block_truncate(file, block_option_number(options, create_options, "size"), mode, error);
}

static int raw_measure(const BlockOptions *options, BlockNode *source, BlockMeasure *measure,
                       BlockError *error)
{
    (void)error;
    measure->required =
        source ? block_size(source) : block_option_number(options, create_options, "size");
    measure->fully_allocated = measure->required;
    return 0;
}

const BlockDriver block_driver_raw = {
    .name = "raw",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_ZERO_ON_CREATE | BLOCK_FUA_BY_DRIVER,
    .state_size = sizeof(Raw),
    .probe = raw_probe,
    .open_options = open_options,
    .create_options = create_options,
    .open = raw_open,
    .create = raw_create,
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .direct = raw_direct,
    .map = raw_map,
    .truncate = raw_truncate,
    .measure = raw_measure,
};
