/* Format "bochs": growing disk images of the Bochs emulator, read only.
 *
 * Facts: the Bochs user manual, "Redolog" images. A header of 512 bytes (little-endian), a catalog
 * of 32-bit extent numbers, and extents, each preceded by a bitmap of its sectors: a clear bit is a
 * sector of zeroes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"

/* Offsets of header fields. */
enum {
    MAGIC = 0,
    TYPE = 32,
    SUBTYPE = 48,
    VERSION = 64,
    HEADER_SIZE = 68,
    CATALOG = 72, /* number of entries */
    BITMAP = 76,  /* bytes of a bitmap */
    EXTENT = 80,  /* bytes of an extent's data */
    DISK_OLD = 84,
    DISK = 88,
    HEADER_BYTES = 512,
};

enum { SECTOR = 512, VERSION_1 = 0x00010000, VERSION_2 = 0x00020000, CATALOG_MAX = 0x100000 };

#define NOWHERE 0xffffffffu

typedef struct Bochs {
    u32 *catalog; /* extent numbers; owned */
    u32 entries, extent, bitmap_blocks, extent_blocks;
    u64 data;
} Bochs;

static int bochs_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= HEADER_BYTES && !strcmp((const char *)head + MAGIC, "Bochs Virtual HD Image") &&
                   !strcmp((const char *)head + TYPE, "Redolog") &&
                   !strcmp((const char *)head + SUBTYPE, "Growing")
               ? 100
               : 0;
}

static int load(BlockNode *node, Bochs *b, const u8 *h, BlockError *error)
{
    u32 header = le32_get(h + HEADER_SIZE);
    int result;

    b->entries = le32_get(h + CATALOG);
    b->extent = le32_get(h + EXTENT);
    if (b->entries > CATALOG_MAX || b->extent < SECTOR || b->extent & (b->extent - 1) ||
        b->extent > 1 << 23) {
        return block_error(error, EINVAL, "Bochs image with an impossible catalog or extent size");
    }
    if (node->size > (u64)b->entries * b->extent) {
        return block_error(error, EINVAL, "the Bochs catalog is too small for the disk");
    }
    b->bitmap_blocks = 1 + (le32_get(h + BITMAP) - 1) / SECTOR;
    b->extent_blocks = 1 + (b->extent - 1) / SECTOR;
    b->data = header + (u64)b->entries * 4;
    b->catalog = malloc(MAX(b->entries, 1u) * sizeof *b->catalog);
    result = b->catalog ? block_read_exact(node->file, header, b->catalog, (size_t)b->entries * 4)
                        : -ENOMEM;
    if (result < 0) {
        free(b->catalog);
        return block_error(error, -result, "cannot read the Bochs catalog: %s", strerror(-result));
    }
    for (u32 n = 0; n < b->entries; n++) {
        b->catalog[n] = le32_get(&b->catalog[n]);
    }
    return 0;
}

static int bochs_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    u8 h[HEADER_BYTES];
    int result = block_read_exact(node->file, 0, h, sizeof h);
    u32 version;

    (void)options;
    if (result < 0 || !bochs_probe(h, sizeof h, NULL)) {
        return block_error(error, EINVAL, "not a Bochs growing image");
    }
    if (node->flags & BLOCK_WRITE) {
        return block_error(error, EROFS, "Bochs images can only be read");
    }
    version = le32_get(h + VERSION);
    if (version != VERSION_1 && version != VERSION_2) {
        return block_error(error, ENOTSUP, "Bochs image version %#x is not supported", version);
    }
    node->size = ALIGN_UP(le64_get(h + (version == VERSION_1 ? DISK_OLD : DISK)), (u64)SECTOR);
    node->alignment = SECTOR;
    return load(node, node->state, h, error);
}

static int bochs_close(BlockNode *node)
{
    free(((Bochs *)node->state)->catalog);
    return 0;
}

/* Where a sector lies in the file; 0: it is zeroes. */
static int find(BlockNode *node, u64 offset, u64 *place)
{
    Bochs *b = node->state;
    u32 entry = b->catalog[offset / b->extent];
    u32 sector = (u32)(offset % b->extent / SECTOR);
    u64 base = b->data + (u64)SECTOR * entry * ((u64)b->extent_blocks + b->bitmap_blocks);
    u8 bits;
    int result;

    *place = 0;
    if (entry == NOWHERE) {
        return 0;
    }
    result = block_read_exact(node->file, base + sector / 8, &bits, 1);
    if (result >= 0 && bits >> sector % 8 & 1) {
        *place = base + (u64)SECTOR * (b->bitmap_blocks + sector);
    }
    return result;
}

static int bochs_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0; at += SECTOR) {
        BlockVector part = block_vector_part(data, at, SECTOR);
        u64 place;

        result = find(node, offset + at, &place);
        if (result < 0) {
            return result;
        }
        if (place) {
            result = block_readv(node->file, place, &part);
        } else {
            block_vector_clear(&part);
        }
    }
    return result;
}

const BlockDriver block_driver_bochs = {
    .name = "bochs",
    .kind = BLOCK_FORMAT,
    .state_size = sizeof(Bochs),
    .probe = bochs_probe,
    .open = bochs_open,
    .close = bochs_close,
    .read = bochs_read,
};
