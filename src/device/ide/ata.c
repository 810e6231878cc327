/* ATA disk commands (ATA8-ACS, chapter 7), and the few that packet devices share. */
#include <string.h>

#include "base/bytes.h"
#include "device/ide/ide.h"

enum { LBA_BIT = 0x40, HEADS = 16, TRACK_SECTORS = 63, MAX_TRIM = 8 };

/* -- Addresses */

u64 ata_wide_lba(u16 low, u16 mid, u16 high)
{
    return (u64)(high >> 8) << 40 | (u64)(mid >> 8) << 32 | (u64)(low >> 8) << 24 |
           (u64)(high & 0xff) << 16 | (u64)(mid & 0xff) << 8 | (low & 0xff);
}

static u64 get_lba(const IdeDrive *d, bool wide)
{
    if (wide) {
        return ata_wide_lba(d->lba_low, d->lba_mid, d->lba_high);
    }
    if (d->select & LBA_BIT) {
        return (u64)(d->select & 15) << 24 | (u64)(d->lba_high & 0xff) << 16 |
               (u64)(d->lba_mid & 0xff) << 8 | (d->lba_low & 0xff);
    }
    u64 cylinder = (u64)(d->lba_high & 0xff) << 8 | (d->lba_mid & 0xff);
    u64 sector = d->lba_low & 0xff;
    return (cylinder * HEADS + (d->select & 15)) * TRACK_SECTORS + sector - 1;
}

static void put_lba(IdeDrive *d, u64 lba, bool wide)
{
    d->lba_low = (u16)((lba & 0xff) | (wide ? (lba >> 24 & 0xff) << 8 : 0));
    d->lba_mid = (u16)((lba >> 8 & 0xff) | (wide ? (lba >> 32 & 0xff) << 8 : 0));
    d->lba_high = (u16)((lba >> 16 & 0xff) | (wide ? (lba >> 40 & 0xff) << 8 : 0));
    if (!wide) {
        d->select = (u8)((d->select & 0xf0) | (lba >> 24 & 15));
    }
}

static u32 get_count(const IdeDrive *d, bool wide)
{
    u32 count = wide ? d->count : d->count & 0xff;

    return count ? count : wide ? 65536 : 256;
}

/* Takes the address and count of a command that reads or writes; false after an error. */
static bool set_range(IdeDrive *d, bool wide)
{
    d->lba = get_lba(d, wide);
    d->left = get_count(d, wide);
    if (d->lba >= d->sectors || d->left > d->sectors - d->lba) {
        ide_fail(d, ATA_IDNF);
        return false;
    }
    return true;
}

/* -- PIO */

static u32 drq_block(const IdeDrive *d)
{
    bool multiple = d->command == 0xc4 || d->command == 0xc5 || d->command == 0x29 ||
                    d->command == 0x39 || d->command == 0xce;

    return multiple ? d->multiple * (u32)IDE_SECTOR : IDE_SECTOR;
}

static u32 next_bytes(const IdeDrive *d)
{
    return MIN(d->left, (u32)IDE_BUFFER / IDE_SECTOR) * IDE_SECTOR;
}

static void sectors_moved(IdeDrive *d, u32 bytes)
{
    d->lba += bytes / IDE_SECTOR;
    d->left -= bytes / IDE_SECTOR;
}

static void read_done(IdeDrive *d)
{
    u32 bytes = next_bytes(d);

    sectors_moved(d, bytes);
    ide_pio(d, IDE_IN, bytes, drq_block(d), IDE_AFTER_READ);
    ide_interrupt(d);
}

static void read_more(IdeDrive *d)
{
    ide_disk_buffer(d, true, d->lba * IDE_SECTOR, next_bytes(d), read_done);
}

static void want_more(IdeDrive *d)
{
    ide_pio(d, IDE_OUT, next_bytes(d), drq_block(d), IDE_AFTER_WRITE);
}

static void write_done(IdeDrive *d)
{
    sectors_moved(d, d->filled);
    if (d->left) {
        want_more(d);
        ide_interrupt(d);
    } else {
        ide_succeed(d);
    }
}

void ata_after(IdeDrive *d)
{
    if (d->after == IDE_AFTER_WRITE) {
        ide_disk_buffer(d, false, d->lba * IDE_SECTOR, d->filled, write_done);
    } else if (d->left) {
        read_more(d);
    } else {
        d->status = ATA_DRDY | ATA_DSC; /* reads end without another interrupt */
        d->after = IDE_AFTER_NOTHING;
    }
}

static void start_read(IdeDrive *d, bool wide)
{
    if (set_range(d, wide)) {
        read_more(d);
    }
}

static void start_write(IdeDrive *d, bool wide)
{
    if (disk_is_read_only(d->disk)) {
        ide_fail(d, ATA_ABRT);
    } else if (set_range(d, wide)) {
        want_more(d);
    }
}

/* -- DMA */

static void transferred(IdeDrive *d)
{
    IdeChannel *channel = d->channel;

    sectors_moved(d, d->transfer);
    if (d->left) {
        ata_dma(d);
        return;
    }
    channel->host->end(channel->host->opaque, channel, true);
    ide_succeed(d);
}

static bool is_dma_write(const IdeDrive *d)
{
    return d->command == 0xca || d->command == 0xcb || d->command == 0x35 || d->command == 0x3d;
}

static void trim_dma(IdeDrive *d);

void ata_dma(IdeDrive *d)
{
    if (d->command == 0x06) {
        trim_dma(d);
    } else {
        ide_disk_dma(d, !is_dma_write(d), IDE_SECTOR, transferred);
    }
}

static void want_dma(IdeDrive *d)
{
    IdeChannel *channel = d->channel;

    channel->dma_wanted = d->unit + 1;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    channel->host->ready(channel->host->opaque, channel);
}

static void start_dma(IdeDrive *d, bool wide)
{
    if (!d->channel->host || (is_dma_write(d) && disk_is_read_only(d->disk))) {
        ide_fail(d, ATA_ABRT);
    } else if (set_range(d, wide)) {
        want_dma(d);
    }
}

/* -- DATA SET MANAGEMENT, Trim (7.9): ranges of LBA (48 bits) and count (16) */

static void trim_next(IdeDrive *d)
{
    while (d->position < d->filled) {
        u64 entry;
        memcpy(&entry, d->buffer + d->position, 8);
        d->position += 8;
        u64 lba = entry & 0xffffffffffff, count = entry >> 48;
        if (count && lba < d->sectors && count <= d->sectors - lba) {
            ide_disk_op(d, BLOCK_OP_DISCARD, lba * IDE_SECTOR, count * IDE_SECTOR, trim_next);
            return;
        }
    }
    d->channel->host->end(d->channel->host->opaque, d->channel, true);
    ide_succeed(d);
}

static void trim_dma(IdeDrive *d)
{
    IdeChannel *channel = d->channel;
    u32 count = IDE_IOVECS, want = MIN(d->left, (u32)MAX_TRIM) * IDE_SECTOR, done = 0;
    u32 bytes = channel->host->map(channel->host->opaque, channel, d->iov, &count, want, false);

    for (u32 i = 0; i < count && done < bytes; i++) {
        memcpy(d->buffer + done, d->iov[i].iov_base, d->iov[i].iov_len);
        done += (u32)d->iov[i].iov_len;
    }
    d->position = 0;
    d->filled = d->block_end = ALIGN_DOWN(done, 8u);
    d->left = 0;
    trim_next(d);
}

static void start_trim(IdeDrive *d)
{
    d->left = d->count;
    if (!(d->feature & 1) || !d->left || d->left > MAX_TRIM || !d->channel->host ||
        disk_is_read_only(d->disk)) {
        ide_fail(d, ATA_ABRT);
    } else {
        want_dma(d);
    }
}

/* -- Other commands */

static void identify(IdeDrive *d)
{
    ide_identify(d);
    ide_pio(d, IDE_IN, IDE_SECTOR, IDE_SECTOR, IDE_AFTER_NOTHING);
    ide_interrupt(d);
}

static void set_multiple(IdeDrive *d)
{
    u32 count = d->count & 0xff;

    if (count > 128 || count & (count - 1)) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    d->multiple = (u8)count;
    ide_succeed(d);
}

/* SET FEATURES (7.45). */
static void set_features(IdeDrive *d)
{
    switch (d->feature) {
    case 0x02: /* write cache on, off */
    case 0x82:
        d->write_cache = d->feature == 0x02;
        break;
    case 0x03: { /* transfer mode: PIO, multiword DMA 0..2, Ultra DMA 0..5 */
        u8 mode = (u8)d->count, kind = mode >> 3;
        if (!(kind <= 1 || (kind == 4 && (mode & 7) <= 2) || (kind == 8 && (mode & 7) <= 5))) {
            ide_fail(d, ATA_ABRT);
            return;
        }
        d->dma_mode = mode;
        break;
    }
    case 0xaa: /* read look-ahead on, off */
    case 0x55:
        d->read_ahead = d->feature == 0xaa;
        break;
    case 0x05: /* power management and acoustics: nothing to save */
    case 0x85:
    case 0x42:
    case 0xc2:
    case 0x66:
    case 0xcc:
        break;
    default:
        ide_fail(d, ATA_ABRT);
        return;
    }
    ide_succeed(d);
}

static void flush(IdeDrive *d)
{
    ide_disk_op(d, BLOCK_OP_FLUSH, 0, 0, ide_succeed);
}

static void verify(IdeDrive *d, bool wide)
{
    if (set_range(d, wide)) {
        ide_succeed(d);
    }
}

static void native_max(IdeDrive *d, bool wide)
{
    put_lba(d, d->sectors - 1, wide);
    ide_succeed(d);
}

static void check_power(IdeDrive *d)
{
    d->count = 0xff; /* active or idle */
    ide_succeed(d);
}

/* READ LOG EXT (7.26), one page: the directory, and the queued command that failed (A.7). */
static void read_log(IdeDrive *d)
{
    enum { DIRECTORY = 0, QUEUED_ERROR = 0x10 };
    u8 *b = d->buffer, sum = 0, log = (u8)d->lba_low;

    if ((log != DIRECTORY && log != QUEUED_ERROR) || d->count != 1 || !ide_is_sata(d)) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    memset(b, 0, IDE_SECTOR);
    if (log == DIRECTORY) {
        put_le(b, 1, 2);                    /* version */
        put_le(b + 2 * QUEUED_ERROR, 1, 2); /* pages */
    } else {
        b[0] = d->failed_tag;
        b[2] = d->failed_status;
        b[3] = d->failed_error;
        put_le(b + 4, d->failed_lba, 3);
        put_le(b + 8, d->failed_lba >> 24, 3);
        put_le(b + 12, d->failed_count, 2);
        for (unsigned i = 0; i < IDE_SECTOR - 1; i++) {
            sum = (u8)(sum + b[i]);
        }
        b[IDE_SECTOR - 1] = (u8)-sum;
    }
    ide_pio(d, IDE_IN, IDE_SECTOR, IDE_SECTOR, IDE_AFTER_NOTHING);
    ide_interrupt(d);
}

/* Those that a packet device knows as well; false if it is none. */
static bool common_command(IdeDrive *d)
{
    switch (d->command) {
    case 0xef:
        set_features(d);
        return true;
    case 0xe5:
    case 0x98:
        check_power(d);
        return true;
    case 0xe0 ... 0xe3: /* STANDBY IMMEDIATE, IDLE IMMEDIATE, STANDBY, IDLE */
    case 0x94 ... 0x97:
    case 0xe6: /* SLEEP */
    case 0x99:
        ide_succeed(d);
        return true;
    case 0x00: /* NOP */
        ide_fail(d, ATA_ABRT);
        return true;
    default:
        return false;
    }
}

static void packet_device_command(IdeDrive *d)
{
    switch (d->command) {
    case 0xa0:
        atapi_start(d);
        break;
    case 0xa1:
        identify(d);
        break;
    case 0xec: /* IDENTIFY DEVICE, READ SECTORS: aborted, with the signature (7.12) */
    case 0x20:
        atapi_signature(d);
        ide_fail(d, ATA_ABRT);
        break;
    default:
        ide_fail(d, ATA_ABRT);
    }
}

void ata_command(IdeDrive *d)
{
    if (common_command(d)) {
        return;
    }
    if (d->cdrom) {
        packet_device_command(d);
        return;
    }
    switch (d->command) {
    case 0x20:
    case 0x21:
        start_read(d, false);
        break;
    case 0x24:
        start_read(d, true);
        break;
    case 0xc4:
    case 0x29:
        if (d->multiple) {
            start_read(d, d->command == 0x29);
        } else {
            ide_fail(d, ATA_ABRT);
        }
        break;
    case 0x30:
    case 0x31:
        start_write(d, false);
        break;
    case 0x34:
        start_write(d, true);
        break;
    case 0xc5:
    case 0x39:
        if (d->multiple) {
            start_write(d, d->command == 0x39);
        } else {
            ide_fail(d, ATA_ABRT);
        }
        break;
    case 0xc8:
    case 0xc9:
    case 0xca:
    case 0xcb:
        start_dma(d, false);
        break;
    case 0x25:
    case 0x35:
        start_dma(d, true);
        break;
    case 0x40:
    case 0x41:
        verify(d, false);
        break;
    case 0x42:
        verify(d, true);
        break;
    case 0x06:
        start_trim(d);
        break;
    case 0xe7:
    case 0xea:
        flush(d);
        break;
    case 0xec:
        identify(d);
        break;
    case 0xa1: /* IDENTIFY PACKET DEVICE: it is none */
        ide_fail(d, ATA_ABRT);
        break;
    case 0x2f:
        read_log(d);
        break;
    case 0xc6:
        set_multiple(d);
        break;
    case 0xf8:
        native_max(d, false);
        break;
    case 0x27:
        native_max(d, true);
        break;
    case 0x10 ... 0x1f: /* RECALIBRATE */
    case 0x70 ... 0x7f: /* SEEK */
    case 0x91:          /* INITIALIZE DEVICE PARAMETERS: the geometry is fixed */
        ide_succeed(d);
        break;
    default:
        device_guest_error(d->channel->owner, "unknown ATA command %#x", d->command);
        ide_fail(d, ATA_ABRT);
    }
}
