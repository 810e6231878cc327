/* IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA8-ACS 7.12, 7.13): 256 words. */
#include <string.h>

#include "device/ide/ide.h"

static void put(IdeDrive *d, unsigned word, u32 value)
{
    d->buffer[2 * word] = (u8)value;
    d->buffer[2 * word + 1] = (u8)(value >> 8);
}

static void put2(IdeDrive *d, unsigned word, u32 value)
{
    put(d, word, value);
    put(d, word + 1, value >> 16);
}

/* Text is padded with blanks, the bytes of each word swapped. */
static void put_text(IdeDrive *d, unsigned word, unsigned words, const char *text)
{
    size_t length = strlen(text);

    for (unsigned i = 0; i < 2 * words; i++) {
        d->buffer[2 * word + (i ^ 1)] = i < length ? (u8)text[i] : ' ';
    }
}

/* Supported transfer modes, with the present one in the high byte. */
static u32 modes(const IdeDrive *d, u8 kind, u32 supported)
{
    return supported | (d->dma_mode >> 3 == kind ? 0x100u << (d->dma_mode & 7) : 0);
}

static void put_common(IdeDrive *d)
{
    put_text(d, 10, 10, d->serial ? d->serial : "MN00001");
    put_text(d, 23, 4, "1.0");
    put_text(d, 27, 20, d->model);
    put(d, 49, d->channel->host ? 0x0f00 : 0x0e00); /* DMA, LBA, IORDY */
    put(d, 53, 6);                                  /* words 64..70 and 88 are valid */
    put(d, 63, d->channel->host ? modes(d, 4, 7) : 0);
    put(d, 64, 3); /* PIO 3 and 4 */
    for (unsigned word = 65; word <= 68; word++) {
        put(d, word, 120); /* cycle times in ns */
    }
    put(d, 80, 0xf0); /* ATA/ATAPI-4 to 7 */
    put(d, 88, d->channel->host ? modes(d, 8, 0x3f) : 0);
    if (ide_is_sata(d)) {
        put(d, 76, 0x0006);  /* 1.5 and 3 Gbit/s */
        put(d, 222, 0x101f); /* SATA 2.6 */
    }
}

/* Instead of a cable: a queue, and the log of its errors. */
static void put_sata_disk(IdeDrive *d)
{
    put(d, 75, 31); /* queue depth - 1 */
    put(d, 76, 0x0106);
    put(d, 84, 0x4020);
    put(d, 87, 0x4020);
    put(d, 93, 0);
}

static void identify_disk(IdeDrive *d)
{
    u64 cylinders = d->sectors / (16 * 63);
    u32 chs;

    cylinders = MIN(MAX(cylinders, (u64)1), (u64)16383);
    chs = (u32)cylinders * 16 * 63;
    put(d, 0, 0x0040);
    put(d, 1, (u32)cylinders);
    put(d, 3, 16);
    put(d, 6, 63);
    put(d, 47, 0x8080); /* up to 128 sectors per block */
    put(d, 54, (u32)cylinders);
    put(d, 55, 16);
    put(d, 56, 63);
    put2(d, 57, chs);
    put(d, 53, 7);
    put(d, 59, d->multiple ? 0x100u | d->multiple : 0);
    put2(d, 60, (u32)MIN(d->sectors, (u64)0x0fffffff));
    put(d, 82, 0x0060 | 0x4000); /* write cache, look-ahead, NOP */
    put(d, 83, 0x7400);          /* FLUSH CACHE (EXT), 48-bit addresses */
    put(d, 84, 0x4000);
    put(d, 85, (d->write_cache ? 0x20u : 0) | (d->read_ahead ? 0x40u : 0) | 0x4000);
    put(d, 86, 0x3400);
    put(d, 87, 0x4000);
    put(d, 93, 0x4000 | (d->unit ? 0x0b01u : 0x600bu)); /* 80-conductor cable */
    put2(d, 100, (u32)d->sectors);
    put2(d, 102, (u32)(d->sectors >> 32));
    put(d, 105, 8);      /* blocks of ranges for Trim */
    put(d, 106, 0x4000); /* one logical sector per physical one */
    put(d, 169, d->channel->host ? 1 : 0);
    put(d, 217, 1); /* does not rotate */
    if (ide_is_sata(d)) {
        put_sata_disk(d);
    }
}

static void identify_cd(IdeDrive *d)
{
    put(d, 0, 0x85c0); /* packet device, CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    put(d, 71, 30);
    put(d, 72, 30);
    put(d, 82, 0x0210); /* PACKET, DEVICE RESET */
    put(d, 83, 0x4000);
    put(d, 84, 0x4000);
    put(d, 85, 0x0210);
    put(d, 87, 0x4000);
}

void ide_identify(IdeDrive *d)
{
    memset(d->buffer, 0, IDE_SECTOR);
    put_common(d);
    if (d->cdrom) {
        identify_cd(d);
    } else {
        identify_disk(d);
    }
}
