/* Format "parallels": Parallels expandable disk images ("WithoutFreeSpace", "WithouFreSpacExt").
 *
 * Facts: the description in QEMU's docs/interop/parallels.txt. A header of 64 bytes
 * (little-endian), a table (BAT) of 32-bit places, and clusters. In the older kind a place is in
 * sectors, in the newer ("Ext") in clusters; 0 is nowhere. The header's "in use" word says that a
 * writer did not close the image. The optional extension (dirty bitmaps) is kept, and dropped on
 * writing as the format demands of those who don't understand it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "block/table.h"

/* Offsets of header fields. */
enum {
    MAGIC = 0,
    VERSION = 16,
    HEADS = 20,
    CYLINDERS = 24,
    TRACKS = 28, /* sectors of a cluster */
    ENTRIES = 32,
    SECTORS = 36, /* 64 bits */
    IN_USE = 44,
    DATA_OFFSET = 48, /* in sectors */
    FLAGS = 52,
    EXTENSION = 56, /* 64 bits, in sectors */
    HEADER_BYTES = 64,
};

enum { SECTOR = 512, HEADER_VERSION = 2 };
enum { OPEN = 0x746f6e59 };

static const char magic_old[] = "WithoutFreeSpace", magic_new[] = "WithouFreSpacExt";

typedef struct Parallels {
    BlockTable table; /* first: see table.h */
    u32 unit;         /* bytes that an entry counts */
    bool marked;      /* IN_USE is set by us */
    bool was_in_use;
} Parallels;

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"cluster_size", BLOCK_OPTION_SIZE, "Parallels image cluster size", "1M"},
    {NULL},
};

static int parallels_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= HEADER_BYTES && le32_get(head + VERSION) == HEADER_VERSION &&
                   (!memcmp(head, magic_old, 16) || !memcmp(head, magic_new, 16))
               ? 100
               : 0;
}

static int load_entries(BlockNode *node, Parallels *p, u64 data, BlockError *error)
{
    u32 count = p->table.count;
    u8 *raw = malloc(MAX((size_t)count, (size_t)1) * 4);
    int result = raw ? block_read_exact(node->file, HEADER_BYTES, raw, (size_t)count * 4) : -ENOMEM;

    p->table.end = ALIGN_UP(MAX(data, HEADER_BYTES + (u64)count * 4), (u64)p->unit);
    for (u32 n = 0; n < count && result >= 0; n++) {
        u64 place = (u64)le32_get(raw + 4 * (size_t)n) * p->unit;
        if (place) {
            atomic_init(&p->table.at[n], place);
            p->table.end = MAX(p->table.end, place + p->table.block_size);
        }
    }
    free(raw);
    return result < 0 ? block_error(error, -result, "cannot read the Parallels block table: %s",
                                    strerror(-result))
                      : 0;
}

/* Marks the image as being written, before the first change. */
static int mark(BlockNode *node, bool in_use)
{
    u8 word[4];

    le32_put(word, in_use ? OPEN : 0);
    return block_pwrite(node->file, IN_USE, word, sizeof word, in_use ? BLOCK_FUA : 0);
}

static int store_entry(BlockNode *node, u32 index, u64 place)
{
    Parallels *p = node->state;
    u8 entry[4];

    le32_put(entry, (u32)(place / p->unit));
    return block_pwrite(node->file, HEADER_BYTES + (u64)index * 4, entry, sizeof entry, 0);
}

static int begin_writing(BlockNode *node, BlockError *error)
{
    Parallels *p = node->state;
    int result = mark(node, true);

    p->marked = result >= 0;
    return result < 0
               ? block_error(error, -result, "cannot write the header: %s", strerror(-result))
               : 0;
}

static int check_header(const u8 *h, u64 file_size, BlockError *error)
{
    u32 tracks = le32_get(h + TRACKS), entries = le32_get(h + ENTRIES);

    if (!parallels_probe(h, HEADER_BYTES, NULL)) {
        return block_error(error, EINVAL, "not a Parallels image");
    }
    if (tracks == 0 || tracks > INT32_MAX / SECTOR || (tracks & (tracks - 1)) != 0) {
        return block_error(error, EINVAL, "Parallels cluster of %u sectors is not possible",
                           tracks);
    }
    if (HEADER_BYTES + (u64)entries * 4 > file_size) {
        return block_error(error, EINVAL, "the Parallels image is cut off inside its block table");
    }
    return 0;
}

static int parallels_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Parallels *p = node->state;
    u8 h[HEADER_BYTES];
    u64 sectors;
    u32 cluster;
    bool extended;
    int result = block_read_exact(node->file, 0, h, sizeof h);

    (void)options;
    if (result < 0) {
        return block_error(error, -result, "cannot read the Parallels header");
    }
    result = check_header(h, block_size(node->file), error);
    if (result < 0) {
        return result;
    }
    extended = !memcmp(h, magic_new, 16);
    sectors = extended ? le64_get(h + SECTORS) : le32_get(h + SECTORS);
    cluster = le32_get(h + TRACKS) * SECTOR;
    if (sectors > INT64_MAX / SECTOR || sectors * SECTOR > (u64)le32_get(h + ENTRIES) * cluster) {
        return block_error(error, EINVAL, "the Parallels block table is too small for the disk");
    }
    p->unit = extended ? cluster : SECTOR;
    p->was_in_use = le32_get(h + IN_USE) == OPEN;
    p->table.store = store_entry;
    node->size = sectors * SECTOR;
    result = block_table_init(&p->table, le32_get(h + ENTRIES), cluster, error);
    if (result >= 0) {
        result = load_entries(node, p, (u64)le32_get(h + DATA_OFFSET) * SECTOR, error);
        if (result >= 0 && node->flags & BLOCK_WRITE) {
            result = begin_writing(node, error);
        }
        if (result < 0) {
            block_table_free(&p->table);
        }
    }
    return result;
}

static int end_writing(BlockNode *node)
{
    Parallels *p = node->state;
    int result = 0;

    if (p->marked) {
        result = block_flush(node->file);
        result = result < 0 ? result : mark(node, false);
        p->marked = false;
    }
    return result;
}

static int parallels_close(BlockNode *node)
{
    int result = end_writing(node);

    block_table_free(&((Parallels *)node->state)->table);
    return result;
}

static int parallels_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    return flags & BLOCK_WRITE ? begin_writing(node, error) : end_writing(node);
}

static int parallels_create(BlockNode *file, const char *filename, const BlockOptions *options,
                            BlockError *error)
{
    u64 size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)SECTOR);
    u64 cluster = block_option_number(options, create_options, "cluster_size");
    u64 entries, data, cylinders;
    u8 h[HEADER_BYTES] = {0};
    int result;

    (void)filename;
    if (cluster < SECTOR || cluster & (cluster - 1) || cluster > 1 << 30) {
        return block_error(error, EINVAL, "a cluster is a power of two from 512 to 1 GiB");
    }
    entries = (size + cluster - 1) / cluster;
    if (entries > UINT32_MAX / 8) {
        return block_error(error, EFBIG, "the size needs a larger cluster_size");
    }
    data = ALIGN_UP(HEADER_BYTES + entries * 4, cluster);
    cylinders = size / SECTOR / 16 / 32;
    memcpy(h + MAGIC, magic_new, 16);
    le32_put(h + VERSION, HEADER_VERSION);
    le32_put(h + HEADS, 16);
    le32_put(h + CYLINDERS, (u32)MIN(cylinders, (u64)INT32_MAX));
    le32_put(h + TRACKS, (u32)(cluster / SECTOR));
    le32_put(h + ENTRIES, (u32)entries);
    le64_put(h + SECTORS, size / SECTOR);
    le32_put(h + DATA_OFFSET, (u32)(data / SECTOR));
    result = block_truncate(file, data, BLOCK_PREALLOC_OFF, error);
    if (result < 0) {
        return result;
    }
    result = block_pwrite(file, 0, h, sizeof h, 0);
    return result < 0 ? block_error(error, -result, "cannot write: %s", strerror(-result)) : 0;
}

static int parallels_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Parallels *p = node->state;

    (void)error;
    info->cluster_size = p->table.block_size;
    info->dirty = p->was_in_use;
    return 0;
}

static int parallels_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error)
{
    Parallels *p = node->state;
    int result = block_table_check(node, check);

    if (p->was_in_use) {
        if (fix & BLOCK_FIX_ERRORS) {
            check->corruptions_fixed++; /* closing clears the mark */
            p->was_in_use = false;
        } else {
            check->corruptions++;
        }
    }
    return result < 0 ? block_error(error, -result, "%s", strerror(-result)) : 0;
}

const BlockDriver block_driver_parallels = {
    .name = "parallels",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Parallels),
    .probe = parallels_probe,
    .create_options = create_options,
    .open = parallels_open,
    .close = parallels_close,
    .reopen = parallels_reopen,
    .create = parallels_create,
    .read = block_table_read,
    .write = block_table_write,
    .direct = block_table_direct,
    .map = block_table_map,
    .info = parallels_info,
    .check = parallels_check,
};
