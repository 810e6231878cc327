/* Format "vpc": Virtual PC and Hyper-V disk images (VHD), fixed and dynamic.
 *
 * Facts: Microsoft's "Virtual Hard Disk Image Format Specification" (2006). All numbers are
 * big-endian. A fixed image is the disk followed by a footer of 512 bytes; a dynamic one begins
 * with a copy of the footer and has a header, a table of sectors (BAT), and blocks of usually
 * 2 MiB, each preceded by a bitmap of its sectors. The footer at the end moves with each new
 * block. Differencing images are refused.
 *
 * We set all bits of a new block's bitmap and clear sectors by writing zeroes; a cleared bit read
 * means zeroes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "block/drivers.h"
#include "block/table.h"

/* Offsets of footer fields. */
enum {
    COOKIE = 0,
    FEATURES = 8,
    VERSION = 12,
    DATA_OFFSET = 16,
    TIMESTAMP = 24,
    CREATOR = 28,
    CREATOR_VERSION = 32,
    CREATOR_SYSTEM = 36,
    ORIGINAL_SIZE = 40,
    CURRENT_SIZE = 48,
    CYLINDERS = 56,
    HEADS = 58,
    SECTORS = 59,
    DISK_TYPE = 60,
    CHECKSUM = 64,
    UUID = 68,
    FOOTER_BYTES = 512,
};

/* Offsets of fields of the dynamic disk header. */
enum {
    TABLE_OFFSET = 16,
    HEADER_VERSION = 24,
    ENTRIES = 28,
    BLOCK_SIZE = 32,
    HEADER_CHECKSUM = 36,
    HEADER_BYTES = 1024,
};

enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };
enum { SECTOR = 512, DEFAULT_BLOCK = 2 << 20, EPOCH_2000 = 946684800 };

#define ENTRY_NONE 0xffffffffu
#define CHS_MAX ((u64)65535 * 16 * 255) /* sectors; stands for anything larger, too */
#define SIZE_MAX_BYTES ((u64)2040 << 30)

typedef struct Vpc {
    BlockTable table; /* first: see table.h; without entries for fixed images */
    u8 footer[FOOTER_BYTES];
    u64 entries; /* offset of the BAT */
    bool dynamic;
} Vpc;

static const BlockOption open_options[] = {
    {"force_size_calc", BLOCK_OPTION_STRING,
     "which size counts: 'current_size' or 'chs'; chosen by the creator if not given"},
    {NULL},
};

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"subformat", BLOCK_OPTION_STRING,
     "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed}",
     "dynamic"},
    {"force_size", BLOCK_OPTION_BOOL,
     "Force disk size calculation to use the actual size specified, rather than using the nearest "
     "CHS-based calculation",
     "off"},
    {NULL},
};

static int vpc_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= 8 && !memcmp(head, "conectix", 8) ? 100 : 0;
}

/* The ones' complement of the sum of all bytes but the checksum's own. */
static u32 checksum(const u8 *bytes, size_t size, size_t own)
{
    u32 sum = 0;

    for (size_t n = 0; n < size; n++) {
        sum += n - own < 4 ? 0 : bytes[n];
    }
    return ~sum;
}

/* -- Opening */

/* The footer at the start of dynamic images, at the end of fixed ones. */
static int read_footer(BlockNode *node, u8 *footer, bool *at_end, BlockError *error)
{
    u64 size = block_size(node->file);
    int result =
        size < FOOTER_BYTES ? -EINVAL : block_read_exact(node->file, 0, footer, FOOTER_BYTES);

    *at_end = result >= 0 && memcmp(footer, "conectix", 8) != 0;
    if (*at_end) {
        result = block_read_exact(node->file, size - FOOTER_BYTES, footer, FOOTER_BYTES);
    }
    if (result < 0 || memcmp(footer, "conectix", 8) != 0) {
        return block_error(error, EINVAL, "not a VHD image: there is no footer");
    }
    if (be32_get(footer + CHECKSUM) != checksum(footer, FOOTER_BYTES, CHECKSUM)) {
        return block_error(error, EINVAL, "the checksum of the VHD footer is wrong");
    }
    return 0;
}

static u64 chs_size(const u8 *footer)
{
    return (u64)be16_get(footer + CYLINDERS) * footer[HEADS] * footer[SECTORS] * SECTOR;
}

/* Virtual PC meant the geometry, others since mean the size. */
static u64 disk_size(const u8 *footer, const char *forced)
{
    static const char *const by_size[] = {"win ", "qem2", "d2v ", "CTXS", "tap", "wa", "men "};
    u64 chs = chs_size(footer), current = be64_get(footer + CURRENT_SIZE);
    bool use_size = false;

    for (size_t n = 0; n < COUNT(by_size); n++) {
        use_size |= !memcmp(footer + CREATOR, by_size[n], strlen(by_size[n]));
    }
    if (forced) {
        use_size = !strcmp(forced, "current_size");
    }
    return use_size || chs == CHS_MAX * SECTOR || chs == 0 ? current : chs;
}

static int load_entries(BlockNode *node, Vpc *vpc, u32 count, BlockError *error)
{
    u32 prefix = vpc->table.prefix, size = vpc->table.block_size;
    u8 *raw = malloc(MAX((size_t)count, (size_t)1) * 4);
    u64 last = 0;
    int result = raw ? block_read_exact(node->file, vpc->entries, raw, (size_t)count * 4) : -ENOMEM;

    for (u32 n = 0; n < vpc->table.count && result >= 0; n++) {
        u32 entry = be32_get(raw + 4 * (size_t)n);
        if (entry != ENTRY_NONE) {
            u64 place = (u64)entry * SECTOR + prefix;
            atomic_init(&vpc->table.at[n], place);
            last = MAX(last, place + size);
        }
    }
    free(raw);
    vpc->table.end = MAX(last, ALIGN_UP(vpc->entries + (u64)count * 4, (u64)SECTOR));
    return result < 0 ? block_error(error, -result, "cannot read the VHD block table: %s",
                                    strerror(-result))
                      : 0;
}

static int open_dynamic(BlockNode *node, Vpc *vpc, BlockError *error)
{
    u8 header[HEADER_BYTES];
    int result =
        block_read_exact(node->file, be64_get(vpc->footer + DATA_OFFSET), header, sizeof header);
    u32 count, size;

    if (result < 0 || memcmp(header, "cxsparse", 8) != 0) {
        return block_error(error, EINVAL, "the VHD image has no dynamic disk header");
    }
    size = be32_get(header + BLOCK_SIZE);
    count = be32_get(header + ENTRIES);
    vpc->entries = be64_get(header + TABLE_OFFSET);
    if (size < SECTOR || size & (size - 1) || size > 256 << 20) {
        return block_error(error, EINVAL, "VHD block size %u is not possible", size);
    }
    if ((u64)count * size < node->size) {
        return block_error(error, EINVAL, "the VHD block table is too small for the disk");
    }
    if (vpc->entries > block_size(node->file) ||
        (u64)count * 4 > block_size(node->file) - vpc->entries) {
        return block_error(error, EINVAL, "the VHD block table lies beyond the end of the file");
    }
    vpc->table.prefix = ALIGN_UP(size / SECTOR / 8, (u32)SECTOR);
    vpc->table.prefix_fill = 0xff;
    result = block_table_init(&vpc->table, (node->size + size - 1) / size, size, error);
    if (result < 0) {
        return result;
    }
    result = load_entries(node, vpc, count, error);
    if (result < 0) {
        block_table_free(&vpc->table);
    }
    return result;
}

/* The entry, and the footer after the new end. */
static int store_entry(BlockNode *node, u32 index, u64 place)
{
    Vpc *vpc = node->state;
    u8 entry[4];
    int result;

    be32_put(entry, (u32)((place - vpc->table.prefix) / SECTOR));
    result = block_pwrite(node->file, vpc->table.end, vpc->footer, sizeof vpc->footer, 0);
    return result < 0
               ? result
               : block_pwrite(node->file, vpc->entries + (u64)index * 4, entry, sizeof entry, 0);
}

static int vpc_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Vpc *vpc = node->state;
    const char *forced = block_option_string(options, open_options, "force_size_calc");
    bool at_end;
    u32 type;
    int result;

    if (forced && strcmp(forced, "current_size") != 0 && strcmp(forced, "chs") != 0) {
        return block_error(error, EINVAL, "force_size_calc is 'current_size' or 'chs', not '%s'",
                           forced);
    }
    result = read_footer(node, vpc->footer, &at_end, error);
    if (result < 0) {
        return result;
    }
    type = be32_get(vpc->footer + DISK_TYPE);
    if (type == TYPE_DIFFERENCING || type < TYPE_FIXED || type > TYPE_DIFFERENCING) {
        return block_error(error, ENOTSUP, "VHD images of type %u are not supported", type);
    }
    vpc->dynamic = type == TYPE_DYNAMIC;
    vpc->table.store = store_entry;
    node->size = disk_size(vpc->footer, forced);
    node->alignment = 1;
    if (node->size > SIZE_MAX_BYTES) {
        return block_error(error, EFBIG, "a VHD image is at most 2040 GiB large");
    }
    if (vpc->dynamic) {
        return open_dynamic(node, vpc, error);
    }
    if (node->size > block_size(node->file) - (at_end ? FOOTER_BYTES : 0)) {
        return block_error(error, EINVAL, "the fixed VHD image is cut off");
    }
    return 0;
}

static int vpc_close(BlockNode *node)
{
    block_table_free(&((Vpc *)node->state)->table);
    return 0;
}

/* -- Data: fixed images are like raw ones */

/* A block's bitmap may have clear bits where others wrote the image: those sectors are zeroes. */
static int clear_unset(BlockNode *node, u64 place, u64 inside, const BlockVector *part)
{
    Vpc *vpc = node->state;
    u64 first = inside / SECTOR, last = (inside + part->bytes - 1) / SECTOR;
    u8 bitmap[64];
    int result = 0;

    for (u64 sector = first; sector <= last && result >= 0;) {
        u64 byte = sector / 8, bytes = MIN(last / 8 - byte + 1, (u64)sizeof bitmap);
        result = block_pread(node->file, place - vpc->table.prefix + byte, bitmap, bytes);
        for (; result >= 0 && sector <= last && sector / 8 < byte + bytes; sector++) {
            u64 from = MAX(sector * SECTOR, inside),
                to = MIN((sector + 1) * SECTOR, inside + part->bytes);
            if (!(bitmap[sector / 8 - byte] & 0x80 >> sector % 8)) {
                BlockVector hole = block_vector_part(part, from - inside, to - from);
                block_vector_clear(&hole);
            }
        }
    }
    return result;
}

static int vpc_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    Vpc *vpc = node->state;
    u32 size = vpc->table.block_size;
    int result =
        vpc->dynamic ? block_table_read(node, offset, data) : block_readv(node->file, offset, data);

    for (size_t at = 0; vpc->dynamic && at < data->bytes && result >= 0;) {
        u64 inside = (offset + at) % size;
        BlockVector part = block_vector_part(data, at, MIN(size - inside, data->bytes - at));
        u64 place = vpc->table.at[(offset + at) / size];
        if (place < TABLE_ZERO) {
            result = clear_unset(node, place, inside, &part);
        }
        at += part.bytes;
    }
    return result;
}

/* Sets the bits of what is about to be written in a block that has a place. Sectors that are
 * written in part only become valid as a whole: the rest of them is cleared first. */
static int set_bits(BlockNode *node, u64 place, u64 inside, u64 bytes)
{
    static const u8 zeroes[SECTOR];
    Vpc *vpc = node->state;
    u64 base = place - vpc->table.prefix;
    int result = 0;

    for (u64 sector = inside / SECTOR; sector <= (inside + bytes - 1) / SECTOR && result >= 0;
         sector++) {
        u8 byte, bit = 0x80 >> sector % 8;
        result = block_pread(node->file, base + sector / 8, &byte, 1);
        if (result < 0 || byte & bit) {
            continue;
        }
        result = block_pwrite(node->file, place + sector * SECTOR, zeroes, SECTOR, 0);
        byte |= bit;
        if (result >= 0) {
            result = block_pwrite(node->file, base + sector / 8, &byte, 1, 0);
        }
    }
    return result;
}

static int prepare_write(BlockNode *node, u64 offset, u64 bytes)
{
    Vpc *vpc = node->state;
    u32 size = vpc->table.block_size;
    int result = 0;

    pthread_mutex_lock(&vpc->table.lock);
    for (u64 at = offset; at < offset + bytes && result >= 0;) {
        u64 inside = at % size, part = MIN(size - inside, offset + bytes - at);
        u64 place = vpc->table.at[at / size];
        if (place < TABLE_ZERO) {
            result = set_bits(node, place, inside, part);
        }
        at += part;
    }
    pthread_mutex_unlock(&vpc->table.lock);
    return result;
}

static int vpc_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    Vpc *vpc = node->state;
    int result;

    if (flags & BLOCK_COMPRESSED) {
        return -ENOTSUP;
    }
    if (!vpc->dynamic) {
        return block_writev(node->file, offset, data, flags);
    }
    result = prepare_write(node, offset, data->bytes);
    return result < 0 ? result : block_table_write(node, offset, data, flags);
}

static int vpc_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    Vpc *vpc = node->state;

    if (vpc->dynamic) {
        /* Bitmaps between blocks keep runs to one block; clear bits are rare: say data. */
        int result = block_table_map(node, offset, bytes, extent);
        extent->flags &= ~(unsigned)BLOCK_LOOK_BELOW;
        return result;
    }
    *extent = (BlockExtent){
        .flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_OFFSET | BLOCK_LOOK_BELOW,
        .bytes = bytes,
        .offset = offset,
        .file = node->file,
    };
    return 0;
}

/* -- Creating */

/* A geometry for so many sectors (the specification's appendix). */
static void choose_geometry(u64 sectors, u16 *cylinders, u8 *heads, u8 *per_track)
{
    u32 tracks;

    sectors = MIN(sectors, CHS_MAX);
    if (sectors > (u64)65535 * 16 * 63) {
        *per_track = 255;
        *heads = 16;
        tracks = (u32)(MIN(sectors, (u64)65535 * 16 * 255) / 255);
    } else {
        *per_track = 17;
        tracks = (u32)(sectors / 17);
        *heads = (u8)MAX((tracks + 1023) / 1024, 4u);
        if (tracks >= *heads * 1024u || (tracks + 1023) / 1024 > 16) {
            *per_track = 31;
            *heads = 16;
            tracks = (u32)(sectors / 31);
        }
        if (tracks >= *heads * 1024u) {
            *per_track = 63;
            *heads = 16;
            tracks = (u32)(sectors / 63);
        }
    }
    *cylinders = (u16)(tracks / *heads);
}

/* The smallest geometry that holds `size`. */
static u64 round_to_geometry(u64 size, u16 *cylinders, u8 *heads, u8 *per_track)
{
    u64 wanted = (size + SECTOR - 1) / SECTOR, got = 0;

    for (u64 sectors = wanted; got < wanted; sectors += 17) {
        choose_geometry(sectors, cylinders, heads, per_track);
        got = (u64)*cylinders * *heads * *per_track;
        if (sectors > CHS_MAX) {
            return wanted * SECTOR;
        }
    }
    return got * SECTOR;
}

static void make_footer(u8 *f, u64 size, const char *creator, bool dynamic, u16 cylinders, u8 heads,
                        u8 per_track)
{
    memset(f, 0, FOOTER_BYTES);
    memcpy(f + COOKIE, "conectix", 8);
    be32_put(f + FEATURES, 2);
    be32_put(f + VERSION, 0x00010000);
    be64_put(f + DATA_OFFSET, dynamic ? FOOTER_BYTES : ~(u64)0);
    be32_put(f + TIMESTAMP, (u32)(time(NULL) - EPOCH_2000));
    memcpy(f + CREATOR, creator, 4);
    be32_put(f + CREATOR_VERSION, 0x00050003);
    memcpy(f + CREATOR_SYSTEM, "Wi2k", 4);
    be64_put(f + ORIGINAL_SIZE, size);
    be64_put(f + CURRENT_SIZE, size);
    be16_put(f + CYLINDERS, cylinders);
    f[HEADS] = heads;
    f[SECTORS] = per_track;
    be32_put(f + DISK_TYPE, dynamic ? TYPE_DYNAMIC : TYPE_FIXED);
    if (getrandom(f + UUID, 16, 0) < 0) {
        f[UUID] = 1;
    }
    be32_put(f + CHECKSUM, checksum(f, FOOTER_BYTES, CHECKSUM));
}

static int create_dynamic(BlockNode *file, const u8 *footer, u64 size)
{
    u64 count = (size + DEFAULT_BLOCK - 1) / DEFAULT_BLOCK;
    u64 table = FOOTER_BYTES + HEADER_BYTES, bytes = ALIGN_UP(count * 4, (u64)SECTOR);
    u8 header[HEADER_BYTES] = "cxsparse";
    u8 *entries = malloc(MAX(bytes, (u64)1));
    int result;

    if (!entries) {
        return -ENOMEM;
    }
    be64_put(header + 8, ~(u64)0);
    be64_put(header + TABLE_OFFSET, table);
    be32_put(header + HEADER_VERSION, 0x00010000);
    be32_put(header + ENTRIES, (u32)count);
    be32_put(header + BLOCK_SIZE, DEFAULT_BLOCK);
    be32_put(header + HEADER_CHECKSUM, checksum(header, HEADER_BYTES, HEADER_CHECKSUM));
    memset(entries, 0xff, bytes);
    result = block_pwrite(file, 0, footer, FOOTER_BYTES, 0);
    result = result < 0 ? result : block_pwrite(file, FOOTER_BYTES, header, sizeof header, 0);
    result = result < 0 || !bytes ? result : block_pwrite(file, table, entries, bytes, 0);
    result = result < 0 ? result : block_pwrite(file, table + bytes, footer, FOOTER_BYTES, 0);
    free(entries);
    return result;
}

static int vpc_create(BlockNode *file, const char *filename, const BlockOptions *options,
                      BlockError *error)
{
    u64 size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)SECTOR);
    const char *kind = block_option_string(options, create_options, "subformat");
    bool exact = block_option_bool(options, create_options, "force_size");
    bool dynamic = !strcmp(kind, "dynamic");
    u8 footer[FOOTER_BYTES], heads = 16, per_track = 255;
    u16 cylinders = 65535;
    int result;

    (void)filename;
    if (!dynamic && strcmp(kind, "fixed") != 0) {
        return block_error(error, EINVAL, "subformat is 'dynamic' or 'fixed', not '%s'", kind);
    }
    if (size > SIZE_MAX_BYTES) {
        return block_error(error, EFBIG, "a VHD image is at most 2040 GiB large");
    }
    if (!exact && size) {
        size = round_to_geometry(size, &cylinders, &heads, &per_track);
    }
    make_footer(footer, size, exact ? "qem2" : "qemu", dynamic, cylinders, heads, per_track);
    if (dynamic) {
        result = create_dynamic(file, footer, size);
    } else {
        result = block_truncate(file, size, BLOCK_PREALLOC_OFF, error);
        if (result >= 0) {
            result = block_pwrite(file, size, footer, sizeof footer, 0);
        }
    }
    return result < 0 ? block_error(error, -result, "cannot write: %s", strerror(-result)) : 0;
}

static int vpc_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Vpc *vpc = node->state;

    (void)error;
    info->cluster_size = vpc->dynamic ? vpc->table.block_size : 0;
    return 0;
}

const BlockDriver block_driver_vpc = {
    .name = "vpc",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Vpc),
    .probe = vpc_probe,
    .open_options = open_options,
    .create_options = create_options,
    .open = vpc_open,
    .close = vpc_close,
    .create = vpc_create,
    .read = vpc_read,
    .write = vpc_write,
    .map = vpc_map,
    .info = vpc_info,
};
