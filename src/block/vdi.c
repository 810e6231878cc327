/* Format "vdi": VirtualBox disk images, dynamic and fixed ("static"), version 1.1.
 *
 * A header of 512 bytes (little-endian), a table of 32-bit block numbers, and blocks of usually
 * 1 MiB. Differencing images are refused. Facts: the header as VirtualBox writes it. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/drivers.h"
#include "block/table.h"

/* Offsets of header fields. */
enum {
    TEXT = 0,
    SIGNATURE = 0x40,
    VERSION = 0x44,
    HEADER_SIZE = 0x48,
    TYPE = 0x4c,
    OFFSET_TABLE = 0x154,
    OFFSET_DATA = 0x158,
    SECTOR_SIZE = 0x168,
    DISK_SIZE = 0x170,
    BLOCK_SIZE = 0x178,
    BLOCK_EXTRA = 0x17c,
    BLOCKS = 0x180,
    BLOCKS_ALLOCATED = 0x184,
    UUID_IMAGE = 0x188,
    UUID_SNAPSHOT = 0x198,
    UUID_LINK = 0x1a8,
    UUID_PARENT = 0x1b8,
    HEADER_BYTES = 512,
    UUID_BYTES = 16,
};

enum {
    VERSION_1_1 = 0x00010001,
    TYPE_DYNAMIC = 1,
    TYPE_STATIC = 2,
    SECTOR = 512,
    DEFAULT_BLOCK = 1 << 20,
    BLOCKS_MAX = 0x1fffffff, /* as others accept */
};

#define SIGNATURE_VALUE 0xbeda107fu

/* Entries of the table that are no block numbers. */
#define ENTRY_NONE 0xffffffffu
#define ENTRY_DISCARDED 0xfffffffeu

typedef struct Vdi {
    BlockTable table; /* first: see table.h */
    u8 header[HEADER_BYTES];
    u64 data, entries; /* offsets in the file */
    bool counted;      /* the header's number of allocated blocks is behind the table */
} Vdi;

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"static", BLOCK_OPTION_BOOL, "VDI static (pre-allocated) image", "off"},
    {"cluster_size", BLOCK_OPTION_SIZE, "VDI cluster (block) size", "1M"},
    {"preallocation", BLOCK_OPTION_STRING, "Preallocation mode (allowed values: off, metadata)",
     "off"},
    {NULL},
};

static int vdi_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= HEADER_BYTES && le32_get(head + SIGNATURE) == SIGNATURE_VALUE ? 100 : 0;
}

/* -- Opening */

static bool is_nil(const u8 *uuid)
{
    return block_is_zero(uuid, UUID_BYTES);
}

static int check_header(const u8 *h, BlockError *error)
{
    u64 size = le64_get(h + DISK_SIZE);
    u32 block = le32_get(h + BLOCK_SIZE), blocks = le32_get(h + BLOCKS);

    if (le32_get(h + SIGNATURE) != SIGNATURE_VALUE) {
        return block_error(error, EINVAL, "not a VDI image: the signature is missing");
    }
    if (le32_get(h + VERSION) != VERSION_1_1) {
        return block_error(error, ENOTSUP, "VDI version %u.%u is not supported",
                           le32_get(h + VERSION) >> 16, le32_get(h + VERSION) & 0xffff);
    }
    if (!is_nil(h + UUID_LINK) || !is_nil(h + UUID_PARENT)) {
        return block_error(error, ENOTSUP, "VDI images with a parent are not supported");
    }
    if (le32_get(h + SECTOR_SIZE) != SECTOR || le32_get(h + OFFSET_TABLE) % SECTOR ||
        le32_get(h + OFFSET_DATA) % SECTOR) {
        return block_error(error, EINVAL, "VDI header with unaligned table or data");
    }
    if (block < SECTOR || block & (block - 1) || block > 1 << 30 || le32_get(h + BLOCK_EXTRA)) {
        return block_error(error, ENOTSUP, "VDI block size %u is not supported", block);
    }
    if (size > (u64)blocks * block || blocks > BLOCKS_MAX) {
        return block_error(error, EINVAL, "VDI header: %u blocks of %u bytes can't hold %llu bytes",
                           blocks, block, (unsigned long long)size);
    }
    return 0;
}

static int load_table(BlockNode *node, Vdi *vdi, BlockError *error)
{
    u32 count = le32_get(vdi->header + BLOCKS), size = le32_get(vdi->header + BLOCK_SIZE);
    u64 last = 0;
    u32 *raw;
    int result;

    if (vdi->entries + (u64)count * 4 > block_size(node->file)) {
        return block_error(error, EINVAL, "the VDI image is cut off inside its table of blocks");
    }
    result = block_table_init(&vdi->table, count, size, error);
    if (result < 0) {
        return result;
    }
    raw = malloc(MAX((size_t)count, (size_t)1) * sizeof *raw);
    result = raw ? block_read_exact(node->file, vdi->entries, raw, (size_t)count * 4) : -ENOMEM;
    for (u32 n = 0; n < count && result >= 0; n++) {
        u32 entry = le32_get(&raw[n]);
        u64 place = vdi->data + (u64)entry * size;
        if (entry < ENTRY_DISCARDED) {
            atomic_init(&vdi->table.at[n], place);
            last = MAX(last, place + size);
        } else if (entry == ENTRY_DISCARDED) {
            atomic_init(&vdi->table.at[n], TABLE_ZERO);
        }
    }
    free(raw);
    vdi->table.end = MAX(vdi->data, last);
    if (result < 0) {
        block_table_free(&vdi->table);
        return block_error(error, -result, "cannot read the VDI table of blocks: %s",
                           strerror(-result));
    }
    return 0;
}

static int store_entry(BlockNode *node, u32 index, u64 place)
{
    Vdi *vdi = node->state;
    u8 entry[4], count[4];

    le32_put(entry, (u32)((place - vdi->data) / vdi->table.block_size));
    le32_put(count, le32_get(vdi->header + BLOCKS_ALLOCATED) + 1);
    memcpy(vdi->header + BLOCKS_ALLOCATED, count, sizeof count);
    vdi->counted = true;
    return block_pwrite(node->file, vdi->entries + (u64)index * 4, entry, sizeof entry, 0);
}

static int vdi_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Vdi *vdi = node->state;
    int result = block_read_exact(node->file, 0, vdi->header, sizeof vdi->header);

    (void)options;
    if (result < 0) {
        return block_error(error, -result, "cannot read the VDI header: %s", strerror(-result));
    }
    result = check_header(vdi->header, error);
    if (result < 0) {
        return result;
    }
    vdi->entries = le32_get(vdi->header + OFFSET_TABLE);
    vdi->data = le32_get(vdi->header + OFFSET_DATA);
    vdi->table.store = store_entry;
    node->size = ALIGN_UP(le64_get(vdi->header + DISK_SIZE), (u64)SECTOR);
    node->alignment = 1;
    return load_table(node, vdi, error);
}

/* The count of allocated blocks is only written at flushes: nobody depends on it. */
static int write_count(BlockNode *node)
{
    Vdi *vdi = node->state;
    int result = 0;

    pthread_mutex_lock(&vdi->table.lock);
    if (vdi->counted) {
        result = block_pwrite(node->file, BLOCKS_ALLOCATED, vdi->header + BLOCKS_ALLOCATED, 4, 0);
        vdi->counted = result < 0;
    }
    pthread_mutex_unlock(&vdi->table.lock);
    return result;
}

static int vdi_flush(BlockNode *node)
{
    int result = write_count(node);

    return result < 0 ? result : block_flush(node->file);
}

static int vdi_close(BlockNode *node)
{
    Vdi *vdi = node->state;
    int result = node->flags & BLOCK_WRITE ? write_count(node) : 0;

    block_table_free(&vdi->table);
    return result;
}

/* -- Creating */

static int write_table(BlockNode *file, u64 offset, u32 count, bool fixed)
{
    enum { PART = 16384 };
    u8 part[PART * 4];
    int result = 0;

    for (u32 n = 0; n < count && result >= 0; n += PART) {
        u32 entries = MIN(count - n, PART);
        for (u32 k = 0; k < entries; k++) {
            le32_put(part + 4 * k, fixed ? n + k : ENTRY_NONE);
        }
        result = block_pwrite(file, offset + (u64)n * 4, part, entries * 4, 0);
    }
    return result;
}

static void make_header(u8 *h, u64 size, u32 block, u32 blocks, bool fixed, u64 data)
{
    memset(h, 0, HEADER_BYTES);
    strcpy((char *)h + TEXT, "<<< Menura VM Virtual Disk Image >>>\n");
    le32_put(h + SIGNATURE, SIGNATURE_VALUE);
    le32_put(h + VERSION, VERSION_1_1);
    le32_put(h + HEADER_SIZE, 0x180);
    le32_put(h + TYPE, fixed ? TYPE_STATIC : TYPE_DYNAMIC);
    le32_put(h + OFFSET_TABLE, HEADER_BYTES);
    le32_put(h + OFFSET_DATA, (u32)data);
    le32_put(h + SECTOR_SIZE, SECTOR);
    le64_put(h + DISK_SIZE, size);
    le32_put(h + BLOCK_SIZE, block);
    le32_put(h + BLOCKS, blocks);
    le32_put(h + BLOCKS_ALLOCATED, fixed ? blocks : 0);
    if (getrandom(h + UUID_IMAGE, UUID_BYTES, 0) < 0 ||
        getrandom(h + UUID_SNAPSHOT, UUID_BYTES, 0) < 0) {
        h[UUID_IMAGE] = 1; /* anything but nil */
    }
    h[UUID_IMAGE + 7] = (u8)((h[UUID_IMAGE + 7] & 0xf) | 0x40); /* version 4: random */
    h[UUID_SNAPSHOT + 7] = (u8)((h[UUID_SNAPSHOT + 7] & 0xf) | 0x40);
}

static int vdi_create(BlockNode *file, const char *filename, const BlockOptions *options,
                      BlockError *error)
{
    u64 size = block_option_number(options, create_options, "size");
    u64 block = block_option_number(options, create_options, "cluster_size");
    const char *word = block_option_string(options, create_options, "preallocation");
    bool fixed = block_option_bool(options, create_options, "static") || !strcmp(word, "metadata");
    u8 header[HEADER_BYTES];
    u64 blocks, data;
    int result;

    (void)filename;
    if (strcmp(word, "off") != 0 && strcmp(word, "metadata") != 0) {
        return block_error(error, EINVAL, "preallocation '%s' is not possible for vdi images",
                           word);
    }
    if (block < SECTOR || block & (block - 1) || block > 1 << 30) {
        return block_error(error, EINVAL, "a VDI block is a power of two from 512 to 1 GiB");
    }
    size = ALIGN_UP(size, (u64)SECTOR);
    blocks = (size + block - 1) / block;
    if (blocks > BLOCKS_MAX) {
        return block_error(error, EFBIG, "the size is more than VDI can hold");
    }
    data = ALIGN_UP(HEADER_BYTES + blocks * 4, (u64)SECTOR);
    make_header(header, size, (u32)block, (u32)blocks, fixed, data);
    result = block_pwrite(file, 0, header, sizeof header, 0);
    if (result >= 0) {
        result = write_table(file, HEADER_BYTES, (u32)blocks, fixed);
    }
    if (result >= 0) {
        return block_truncate(file, data + (fixed ? blocks * block : 0), BLOCK_PREALLOC_OFF, error);
    }
    return block_error(error, -result, "cannot write: %s", strerror(-result));
}

/* -- The rest */

static int vdi_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Vdi *vdi = node->state;

    (void)error;
    info->cluster_size = vdi->table.block_size;
    return 0;
}

static int vdi_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error)
{
    int result;

    if (fix) {
        return block_error(error, ENOTSUP, "VDI images cannot be repaired");
    }
    result = block_table_check(node, check);
    return result < 0 ? block_error(error, -result, "%s", strerror(-result)) : 0;
}

const BlockDriver block_driver_vdi = {
    .name = "vdi",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Vdi),
    .probe = vdi_probe,
    .create_options = create_options,
    .open = vdi_open,
    .close = vdi_close,
    .create = vdi_create,
    .read = block_table_read,
    .write = block_table_write,
    .flush = vdi_flush,
    .direct = block_table_direct,
    .map = block_table_map,
    .info = vdi_info,
    .check = vdi_check,
};
