/* Format "vhdx": Hyper-V's newer disks, dynamic and fixed, without parent.
 *
 * Two headers, of which the newer counts; two copies of a table of regions, which names the block
 * allocation table and the metadata. What other programs left in the log is applied when the image
 * is opened for writing (vhdx_log.c), before the log is declared empty. We change one entry of the
 * allocation table at a time, after its block is written: nothing is then inconsistent at any
 * moment, and the log stays empty. */
#include "block/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/drivers.h"
#include "block/table.h"

enum {
    REGIONS_1 = 192 << 10,
    REGIONS_2 = 256 << 10,
    REGIONS_BYTES = 64 << 10,
    REGION_ENTRY = 32,
    METADATA_BYTES = 64 << 10, /* of the table; items follow */
    METADATA_ENTRY = 32,
    ENTRIES_MAX = 2047,
};

enum {
    STATE_ABSENT,
    STATE_UNDEFINED,
    STATE_ZERO,
    STATE_UNMAPPED,
    STATE_PRESENT = 6,
    STATE_PARTIAL
};

#define STATE_MASK ((u64)7)
#define PLACE_MASK (~(u64)(VHDX_MIB - 1))
#define SIZE_LIMIT ((u64)64 << 40)

static const u8 guid_table[VHDX_GUID] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                         0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
static const u8 guid_metadata[VHDX_GUID] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                            0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const u8 guid_parameters[VHDX_GUID] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                              0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const u8 guid_size[VHDX_GUID] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                        0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
static const u8 guid_identity[VHDX_GUID] = {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                            0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
static const u8 guid_logical[VHDX_GUID] = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                           0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
static const u8 guid_physical[VHDX_GUID] = {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                            0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};

typedef struct Vhdx {
    BlockTable table; /* first: see table.h */
    u8 header[VHDX_HEADER_BYTES];
    u64 header_offset; /* of the current one */
    u64 entries;       /* offset of the allocation table */
    u64 metadata;
    u32 table_bytes, metadata_bytes, sector;
    u32 chunk_ratio; /* a bitmap entry follows so many entries */
} Vhdx;

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size; max of 64TB."},
    {"log_size", BLOCK_OPTION_SIZE, "Log size; min 1MB.", "1M"},
    {"block_size", BLOCK_OPTION_SIZE, "Block Size; min 1MB, max 256MB. 0 means auto-calculate",
     "0"},
    {"subformat", BLOCK_OPTION_STRING,
     "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'", "dynamic"},
    {NULL},
};

static int vhdx_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= 8 && !memcmp(head, "vhdxfile", 8) ? 100 : 0;
}

static void new_guid(u8 *guid)
{
    if (getrandom(guid, VHDX_GUID, 0) < 0) {
        guid[0]++;
    }
    guid[7] = (u8)((guid[7] & 0xf) | 0x40);
    guid[8] = (u8)((guid[8] & 0x3f) | 0x80);
}

/* -- Opening */

static bool valid_header(const u8 *h)
{
    return !memcmp(h, "head", 4) && le16_get(h + VHDX_VERSION) == 1 &&
           vhdx_checksum(h, VHDX_HEADER_BYTES, VHDX_CHECKSUM) == le32_get(h + VHDX_CHECKSUM);
}

static int read_header(BlockNode *node, Vhdx *v, BlockError *error)
{
    static const u64 places[] = {VHDX_HEADER_1, VHDX_HEADER_2};
    u8 h[VHDX_HEADER_BYTES];

    for (size_t n = 0; n < COUNT(places); n++) {
        if (block_read_exact(node->file, places[n], h, sizeof h) >= 0 && valid_header(h) &&
            (!v->header_offset ||
             le64_get(h + VHDX_SEQUENCE) > le64_get(v->header + VHDX_SEQUENCE))) {
            memcpy(v->header, h, sizeof h);
            v->header_offset = places[n];
        }
    }
    return v->header_offset ? 0 : block_error(error, EINVAL, "the VHDX image has no valid header");
}

/* Writes the next header over the older one. */
static int write_header(BlockNode *node, Vhdx *v)
{
    u64 place = v->header_offset == VHDX_HEADER_1 ? VHDX_HEADER_2 : VHDX_HEADER_1;
    int result;

    le64_put(v->header + VHDX_SEQUENCE, le64_get(v->header + VHDX_SEQUENCE) + 1);
    le32_put(v->header + VHDX_CHECKSUM, vhdx_checksum(v->header, VHDX_HEADER_BYTES, VHDX_CHECKSUM));
    result = block_pwrite(node->file, place, v->header, VHDX_HEADER_BYTES, BLOCK_FUA);
    v->header_offset = result < 0 ? v->header_offset : place;
    return result;
}

static int take_region(Vhdx *v, const u8 *entry, u64 file_size, BlockError *error)
{
    u64 offset = le64_get(entry + 16);
    u32 length = le32_get(entry + 24);

    if (offset < VHDX_MIB || offset % VHDX_MIB || length % VHDX_MIB || offset > file_size ||
        length > file_size - offset) {
        return block_error(error, EINVAL, "a region of the VHDX image lies outside the file");
    }
    if (!memcmp(entry, guid_table, VHDX_GUID)) {
        v->entries = offset;
        v->table_bytes = length;
    } else if (!memcmp(entry, guid_metadata, VHDX_GUID)) {
        v->metadata = offset;
        v->metadata_bytes = length;
    } else if (le32_get(entry + 28) & 1) {
        return block_error(error, ENOTSUP, "the VHDX image has a region that must be understood");
    }
    return 0;
}

static int read_regions(BlockNode *node, Vhdx *v, BlockError *error)
{
    static const u64 places[] = {REGIONS_1, REGIONS_2};
    u8 *r = malloc(REGIONS_BYTES);
    int result = -EINVAL;

    for (size_t n = 0; r && n < COUNT(places); n++) {
        if (block_read_exact(node->file, places[n], r, REGIONS_BYTES) >= 0 &&
            !memcmp(r, "regi", 4) && le32_get(r + 8) <= ENTRIES_MAX &&
            vhdx_checksum(r, REGIONS_BYTES, VHDX_CHECKSUM) == le32_get(r + VHDX_CHECKSUM)) {
            result = 0;
            break;
        }
    }
    if (result < 0) {
        block_error(error, EINVAL, "the VHDX image has no valid table of regions");
    }
    for (u32 n = 0; result >= 0 && n < le32_get(r + 8); n++) {
        result = take_region(v, r + 16 + (size_t)n * REGION_ENTRY, block_size(node->file), error);
    }
    free(r);
    if (result >= 0 && (!v->entries || !v->metadata)) {
        return block_error(error, EINVAL, "the VHDX image lacks its table or its metadata");
    }
    return result;
}

/* Reads one metadata item of up to 8 bytes; false when there is none. */
static bool read_item(BlockNode *node, const Vhdx *v, const u8 *table, const u8 *guid, u64 *value)
{
    u8 bytes[8] = {0};

    for (u32 n = 0; n < le16_get(table + 10); n++) {
        const u8 *entry = table + 32 + (size_t)n * METADATA_ENTRY;
        u32 offset = le32_get(entry + 16), length = le32_get(entry + 20);
        if (!memcmp(entry, guid, VHDX_GUID)) {
            if (length > 8 || offset > v->metadata_bytes - length ||
                block_read_exact(node->file, v->metadata + offset, bytes, length) < 0) {
                return false;
            }
            *value = le64_get(bytes);
            return true;
        }
    }
    return false;
}

static int read_metadata(BlockNode *node, Vhdx *v, u32 *block, BlockError *error)
{
    u8 *table = malloc(METADATA_BYTES);
    u64 parameters = 0, sector = 0;
    int result = table ? block_read_exact(node->file, v->metadata, table, METADATA_BYTES) : -ENOMEM;

    if (result < 0 || memcmp(table, "metadata", 8) != 0 || le16_get(table + 10) > ENTRIES_MAX ||
        !read_item(node, v, table, guid_parameters, &parameters) ||
        !read_item(node, v, table, guid_size, &node->size) ||
        !read_item(node, v, table, guid_logical, &sector)) {
        free(table);
        return block_error(error, EINVAL, "the VHDX metadata are not readable");
    }
    free(table);
    *block = (u32)parameters;
    v->sector = (u32)sector;
    if (parameters >> 32 & 2) {
        return block_error(error, ENOTSUP, "VHDX images with a parent are not supported");
    }
    if ((v->sector != 512 && v->sector != 4096) || *block < VHDX_MIB || *block > 256 << 20 ||
        *block & (*block - 1) || node->size % v->sector || node->size > SIZE_LIMIT) {
        return block_error(error, EINVAL, "VHDX sector, block or disk size out of range");
    }
    return 0;
}

/* Where the entry of payload block n is: bitmap entries lie between. */
static u64 entry_index(const Vhdx *v, u64 n)
{
    return n + n / v->chunk_ratio;
}

static int load_entries(BlockNode *node, Vhdx *v, BlockError *error)
{
    u64 bytes = v->table.count ? (entry_index(v, v->table.count - 1) + 1) * 8 : 0;
    u8 *raw = malloc(MAX(bytes, (u64)1));
    int result;

    if (bytes > v->table_bytes) {
        free(raw);
        return block_error(error, EINVAL, "the VHDX allocation table is too small for the disk");
    }
    result = raw ? block_read_exact(node->file, v->entries, raw, bytes) : -ENOMEM;
    v->table.end = ALIGN_UP(block_size(node->file), (u64)VHDX_MIB);
    for (u32 n = 0; n < v->table.count && result >= 0; n++) {
        u64 entry = le64_get(raw + entry_index(v, n) * 8), place = entry & PLACE_MASK;
        unsigned state = entry & STATE_MASK;
        if (state == STATE_PRESENT) {
            result = place < VHDX_MIB || place > SIZE_LIMIT * 2 ? -EINVAL : 0;
            atomic_init(&v->table.at[n], place);
            v->table.end = MAX(v->table.end, place + v->table.block_size);
        } else if (state == STATE_PARTIAL) {
            result = -EINVAL; /* only where there is a parent */
        } else if (state == STATE_ZERO || state == STATE_UNMAPPED) {
            atomic_init(&v->table.at[n], TABLE_ZERO);
        }
    }
    free(raw);
    return result < 0 ? block_error(error, -result, "the VHDX allocation table is not valid") : 0;
}

static int store_entry(BlockNode *node, u32 index, u64 place)
{
    Vhdx *v = node->state;
    u8 entry[8];

    le64_put(entry, place | STATE_PRESENT);
    return block_pwrite(node->file, v->entries + entry_index(v, index) * 8, entry, sizeof entry, 0);
}

/* Others' log is applied and declared empty, and the file gets another identity, before we write.
 */
static int begin_writing(BlockNode *node, Vhdx *v, BlockError *error)
{
    int result = vhdx_replay(node->file, v->header, error);

    if (result < 0) {
        return result;
    }
    new_guid(v->header + VHDX_FILE_GUID);
    new_guid(v->header + VHDX_DATA_GUID);
    memset(v->header + VHDX_LOG_GUID, 0, VHDX_GUID);
    result = write_header(node, v);
    return result < 0
               ? block_error(error, -result, "cannot write the VHDX header: %s", strerror(-result))
               : 0;
}

static int vhdx_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Vhdx *v = node->state;
    u32 block = 0;
    int result;

    (void)options;
    result = read_header(node, v, error);
    if (result >= 0 && node->flags & BLOCK_WRITE) {
        result = begin_writing(node, v, error);
    } else if (result >= 0 && !block_is_zero(v->header + VHDX_LOG_GUID, VHDX_GUID)) {
        return block_error(error, EPERM,
                           "'%s' has a log that must be replayed: open it for writing, "
                           "or run check -r all",
                           node->filename);
    }
    result = result < 0 ? result : read_regions(node, v, error);
    result = result < 0 ? result : read_metadata(node, v, &block, error);
    if (result < 0) {
        return result;
    }
    v->chunk_ratio = (u32)(((u64)v->sector << 23) / block);
    v->table.store = store_entry;
    node->alignment = 1;
    result = block_table_init(&v->table, (node->size + block - 1) / block, block, error);
    if (result >= 0) {
        result = load_entries(node, v, error);
        if (result < 0) {
            block_table_free(&v->table);
        }
    }
    return result;
}

static int vhdx_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    return flags & BLOCK_WRITE ? begin_writing(node, node->state, error) : 0;
}

static int vhdx_close(BlockNode *node)
{
    block_table_free(&((Vhdx *)node->state)->table);
    return 0;
}

/* -- Creating */

typedef struct Creation {
    BlockNode *file;
    u64 size, log, block, entries_offset, entries_bytes, data;
    bool fixed;
} Creation;

static int write_headers(const Creation *c)
{
    u8 identifier[512] = "vhdxfile", h[VHDX_HEADER_BYTES] = "head";
    const char *creator = "Menura";
    int result;

    for (size_t n = 0; creator[n]; n++) {
        identifier[8 + 2 * n] = (u8)creator[n]; /* UTF-16 */
    }
    result = block_pwrite(c->file, 0, identifier, sizeof identifier, 0);
    new_guid(h + VHDX_FILE_GUID);
    new_guid(h + VHDX_DATA_GUID);
    le16_put(h + VHDX_VERSION, 1);
    le32_put(h + VHDX_LOG_LENGTH, (u32)c->log);
    le64_put(h + VHDX_LOG_OFFSET, VHDX_MIB);
    for (u64 n = 0; n < 2 && result >= 0; n++) {
        le64_put(h + VHDX_SEQUENCE, n);
        le32_put(h + VHDX_CHECKSUM, vhdx_checksum(h, sizeof h, VHDX_CHECKSUM));
        result = block_pwrite(c->file, n ? VHDX_HEADER_2 : VHDX_HEADER_1, h, sizeof h, 0);
    }
    return result;
}

static void put_region(u8 *entry, const u8 *guid, u64 offset, u64 length)
{
    memcpy(entry, guid, VHDX_GUID);
    le64_put(entry + 16, offset);
    le32_put(entry + 24, (u32)length);
    le32_put(entry + 28, 1);
}

static int write_regions(const Creation *c, u64 metadata)
{
    u8 *r = calloc(1, REGIONS_BYTES);
    int result;

    if (!r) {
        return -ENOMEM;
    }
    memcpy(r, "regi", 4);
    le32_put(r + 8, 2);
    put_region(r + 16, guid_table, c->entries_offset, c->entries_bytes);
    put_region(r + 16 + REGION_ENTRY, guid_metadata, metadata, VHDX_MIB);
    le32_put(r + VHDX_CHECKSUM, vhdx_checksum(r, REGIONS_BYTES, VHDX_CHECKSUM));
    result = block_pwrite(c->file, REGIONS_1, r, REGIONS_BYTES, 0);
    result = result < 0 ? result : block_pwrite(c->file, REGIONS_2, r, REGIONS_BYTES, 0);
    free(r);
    return result;
}

static int write_metadata(const Creation *c, u64 metadata)
{
    enum { VIRTUAL_DISK = 2, REQUIRED = 4 };
    u8 *m = calloc(1, METADATA_BYTES + 64), *items = m ? m + METADATA_BYTES : NULL;
    const struct {
        const u8 *guid;
        u32 length, bits, offset;
    } list[] = {
        {guid_parameters, 8, REQUIRED, 0},
        {guid_size, 8, REQUIRED | VIRTUAL_DISK, 8},
        {guid_identity, 16, REQUIRED | VIRTUAL_DISK, 16},
        {guid_logical, 4, REQUIRED | VIRTUAL_DISK, 32},
        {guid_physical, 4, REQUIRED | VIRTUAL_DISK, 36},
    };
    int result;

    if (!m) {
        return -ENOMEM;
    }
    memcpy(m, "metadata", 8);
    le16_put(m + 10, COUNT(list));
    for (size_t n = 0; n < COUNT(list); n++) {
        u8 *entry = m + 32 + n * METADATA_ENTRY;
        memcpy(entry, list[n].guid, VHDX_GUID);
        le32_put(entry + 16, METADATA_BYTES + list[n].offset);
        le32_put(entry + 20, list[n].length);
        le32_put(entry + 24, list[n].bits);
    }
    le32_put(items, (u32)c->block);
    le32_put(items + 4, c->fixed); /* blocks stay allocated */
    le64_put(items + 8, c->size);
    new_guid(items + 16);
    le32_put(items + 32, 512);
    le32_put(items + 36, 512);
    result = block_pwrite(c->file, metadata, m, METADATA_BYTES + 64, 0);
    free(m);
    return result;
}

/* Fixed images have all blocks in order. */
static int write_entries(const Creation *c)
{
    u64 blocks = (c->size + c->block - 1) / c->block, ratio = ((u64)512 << 23) / c->block;
    u8 entry[8];
    int result = 0;

    for (u64 n = 0; c->fixed && n < blocks && result >= 0; n++) {
        le64_put(entry, (c->data + n * c->block) | STATE_PRESENT);
        result =
            block_pwrite(c->file, c->entries_offset + (n + n / ratio) * 8, entry, sizeof entry, 0);
    }
    return result;
}

static u64 choose_block(u64 size)
{
    return size > (u64)32 << 40    ? 64 << 20
           : size > (u64)100 << 30 ? 32 << 20
           : size > (u64)1 << 30   ? 16 << 20
                                   : 8 << 20;
}

static int check_creation(const Creation *c, BlockError *error)
{
    if (c->size > SIZE_LIMIT) {
        return block_error(error, EFBIG, "a VHDX image is at most 64 TiB large");
    }
    if (c->block < VHDX_MIB || c->block > 256 << 20 || c->block & (c->block - 1)) {
        return block_error(error, EINVAL, "a VHDX block is a power of two from 1 to 256 MiB");
    }
    if (c->log < VHDX_MIB || c->log % VHDX_MIB || c->log > (u64)256 << 20) {
        return block_error(error, EINVAL, "the VHDX log has 1 to 256 whole MiB");
    }
    return 0;
}

static int vhdx_create(BlockNode *file, const char *filename, const BlockOptions *options,
                       BlockError *error)
{
    const char *kind = block_option_string(options, create_options, "subformat");
    Creation c = {
        .file = file,
        .size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)512),
        .log = block_option_number(options, create_options, "log_size"),
        .block = block_option_number(options, create_options, "block_size"),
        .fixed = !strcmp(kind, "fixed"),
    };
    u64 metadata, blocks;
    int result;

    (void)filename;
    if (!c.fixed && strcmp(kind, "dynamic") != 0) {
        return block_error(error, EINVAL, "subformat is 'dynamic' or 'fixed', not '%s'", kind);
    }
    c.block = c.block ? c.block : choose_block(c.size);
    result = check_creation(&c, error);
    if (result < 0) {
        return result;
    }
    blocks = (c.size + c.block - 1) / c.block;
    metadata = VHDX_MIB + c.log;
    c.entries_offset = metadata + VHDX_MIB;
    c.entries_bytes =
        ALIGN_UP((blocks + blocks / (((u64)512 << 23) / c.block) + 1) * 8, (u64)VHDX_MIB);
    c.data = c.entries_offset + c.entries_bytes;
    result =
        block_truncate(file, c.data + (c.fixed ? blocks * c.block : 0), BLOCK_PREALLOC_OFF, error);
    if (result < 0) {
        return result;
    }
    result = write_headers(&c);
    result = result < 0 ? result : write_regions(&c, metadata);
    result = result < 0 ? result : write_metadata(&c, metadata);
    result = result < 0 ? result : write_entries(&c);
    return result < 0 ? block_error(error, -result, "cannot write: %s", strerror(-result)) : 0;
}

static int vhdx_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Vhdx *v = node->state;

    (void)error;
    info->cluster_size = v->table.block_size;
    return 0;
}

static int vhdx_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error)
{
    int result = block_table_check(node, check);

    (void)fix; /* the log is replayed on opening; there is nothing else to repair */
    return result < 0 ? block_error(error, -result, "%s", strerror(-result)) : 0;
}

const BlockDriver block_driver_vhdx = {
    .name = "vhdx",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Vhdx),
    .probe = vhdx_probe,
    .create_options = create_options,
    .open = vhdx_open,
    .close = vhdx_close,
    .reopen = vhdx_reopen,
    .create = vhdx_create,
    .read = block_table_read,
    .write = block_table_write,
    .direct = block_table_direct,
    .map = block_table_map,
    .info = vhdx_info,
    .check = vhdx_check,
};
