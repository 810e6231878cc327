/* CD and DVD drives: the PACKET command and the packets (MMC-5, SPC-3). */
#include <string.h>

#include "base/bytes.h"
#include "device/ide/ide.h"

/* Sense keys and additional codes (SPC-3, 4.5.6). */
enum {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM_ERROR = 3,
    SENSE_ILLEGAL_REQUEST = 5,
    SENSE_UNIT_ATTENTION = 6,
    CODE_INVALID_COMMAND = 0x20,
    CODE_OUT_OF_RANGE = 0x21,
    CODE_INVALID_FIELD = 0x24,
    CODE_MEDIUM_CHANGED = 0x28,
    CODE_NO_MEDIUM = 0x3a,
    CODE_REMOVAL_PREVENTED = 0x53,
    CODE_READ_ERROR = 0x11,
    /* Interrupt reason, in the count register (ATA8-APT 7.7). */
    REASON_COMMAND = 1,
    REASON_IN = 2,
    REPLY_MAX = 0x200,
};

void atapi_signature(IdeDrive *d)
{
    d->lba_mid = 0x14;
    d->lba_high = 0xeb;
    d->count = d->lba_low = 1;
}

/* -- Ends */

static void end_dma(IdeDrive *d, bool good)
{
    IdeChannel *channel = d->channel;

    if (ide_wants_dma(d)) {
        channel->host->end(channel->host->opaque, channel, good);
    }
}

static void succeed(IdeDrive *d)
{
    end_dma(d, true);
    d->count = REASON_COMMAND | REASON_IN;
    d->sense_key = d->sense_code = d->sense_qualifier = 0;
    ide_succeed(d);
}

static void check_condition(IdeDrive *d, u8 key, u8 code)
{
    end_dma(d, false);
    d->sense_key = key;
    d->sense_code = code;
    d->sense_qualifier = 0;
    d->count = REASON_COMMAND | REASON_IN;
    ide_fail(d, (u8)(key << 4 | ATA_ABRT));
}

/* -- Data to the host */

void atapi_block(IdeDrive *d)
{
    u32 size = d->block_end - d->position;

    d->count = REASON_IN;
    d->lba_mid = (u16)(size & 0xff);
    d->lba_high = (u16)(size >> 8);
}

static void offer(IdeDrive *d, u32 size, IdeAfter after)
{
    ide_pio(d, IDE_IN, size, d->byte_limit, after);
    atapi_block(d);
    ide_interrupt(d);
}

/* Moves the buffer's first bytes to memory by the bus master. */
static void reply_by_dma(IdeDrive *d)
{
    IdeChannel *channel = d->channel;
    u32 count = IDE_IOVECS, done = 0;

    channel->host->map(channel->host->opaque, channel, d->iov, &count, d->filled, true);
    for (u32 i = 0; i < count; i++) {
        memcpy(d->iov[i].iov_base, d->buffer + done, d->iov[i].iov_len);
        done += (u32)d->iov[i].iov_len;
    }
    channel->host->unmap(channel->host->opaque, channel, d->iov, count);
    succeed(d);
}

static void want_dma(IdeDrive *d)
{
    d->channel->dma_wanted = d->unit + 1;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    d->count = REASON_IN;
    d->channel->host->ready(d->channel->host->opaque, d->channel);
}

/* Sends a reply of `size` bytes, cut to what the packet allows for. */
static void reply(IdeDrive *d, u32 size, u32 allocated)
{
    size = MIN(size, allocated);
    if (!size) {
        succeed(d);
    } else if (d->packet_dma) {
        d->filled = d->block_end = size;
        d->left = 0;
        want_dma(d);
    } else {
        offer(d, size, IDE_AFTER_REPLY);
    }
}

/* -- The medium */

static void read_done(IdeDrive *d)
{
    u32 count = MIN(d->left, (u32)IDE_BUFFER / IDE_CD_SECTOR);

    d->lba += count;
    d->left -= count;
    offer(d, count * IDE_CD_SECTOR, IDE_AFTER_CD);
}

static void read_more(IdeDrive *d)
{
    u32 count = MIN(d->left, (u32)IDE_BUFFER / IDE_CD_SECTOR);

    ide_disk_buffer(d, true, d->lba * IDE_CD_SECTOR, count * IDE_CD_SECTOR, read_done);
}

static void transferred(IdeDrive *d)
{
    d->lba += d->transfer / IDE_CD_SECTOR;
    d->left -= d->transfer / IDE_CD_SECTOR;
    if (d->left) {
        ide_disk_dma(d, true, IDE_CD_SECTOR, transferred);
    } else {
        succeed(d);
    }
}

void atapi_dma(IdeDrive *d)
{
    if (d->left) {
        ide_disk_dma(d, true, IDE_CD_SECTOR, transferred);
    } else {
        reply_by_dma(d);
    }
}

static void read_sectors(IdeDrive *d, u32 lba, u32 count)
{
    if (lba >= d->sectors || count > d->sectors - lba) {
        check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_OUT_OF_RANGE);
    } else if (!count) {
        succeed(d);
    } else {
        d->lba = lba;
        d->left = count;
        if (d->packet_dma) {
            want_dma(d);
        } else {
            read_more(d);
        }
    }
}

/* READ CD (6.20): user data only. */
static void read_cd(IdeDrive *d)
{
    const u8 *p = d->packet;

    if ((p[9] & 0xf8) == 0x10) {
        read_sectors(d, (u32)get_be(p + 2, 4), (u32)get_be(p + 6, 3));
    } else if (!(p[9] & 0xf8)) {
        succeed(d);
    } else {
        check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
    }
}

/* -- Packets about the drive */

static void request_sense(IdeDrive *d)
{
    u8 *b = d->buffer;

    memset(b, 0, 18);
    b[0] = 0x70;
    b[2] = d->sense_key;
    b[7] = 10;
    b[12] = d->sense_code;
    b[13] = d->sense_qualifier;
    reply(d, 18, d->packet[4]);
}

static void inquiry(IdeDrive *d)
{
    static const char text[] = "MENURA  DVD-ROM         1.0 ";
    u8 *b = d->buffer;

    memset(b, 0, 36);
    b[0] = 5;    /* CD or DVD */
    b[1] = 0x80; /* removable */
    b[3] = 0x21;
    b[4] = 31;
    memcpy(b + 8, text, 28);
    reply(d, 36, (u32)get_be(d->packet + 3, 2));
}

static void read_capacity(IdeDrive *d)
{
    put_be(d->buffer, (u32)(d->sectors - 1), 4);
    put_be(d->buffer + 4, IDE_CD_SECTOR, 4);
    reply(d, 8, 8);
}

static void put_address(u8 *at, u32 lba, bool msf)
{
    if (msf) {
        lba += 150;
        put_be(at, lba / 75 / 60 << 16 | lba / 75 % 60 << 8 | lba % 75, 4);
    } else {
        put_be(at, lba, 4);
    }
}

/* One track descriptor of READ TOC. */
static u8 *put_track(u8 *at, u8 track, u32 lba, bool msf)
{
    memset(at, 0, 8);
    at[1] = 0x14; /* data, copying prohibited... as pressed discs say */
    at[2] = track;
    put_address(at + 4, lba, msf);
    return at + 8;
}

/* READ TOC/PMA/ATIP (6.26): formats 0 (TOC) and 1 (sessions); one track of data. */
static void read_toc(IdeDrive *d)
{
    const u8 *p = d->packet;
    bool msf = p[1] & 2;
    u8 format = p[2] & 15 ? p[2] & 15 : p[9] >> 6, *at = d->buffer + 4;

    if (format > 1 || (format == 0 && p[6] > 1 && p[6] != 0xaa)) {
        check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
        return;
    }
    if (format == 1 || p[6] <= 1) {
        at = put_track(at, 1, 0, msf);
    }
    if (format == 0) {
        at = put_track(at, 0xaa, (u32)d->sectors, msf);
    }
    put_be(d->buffer, (u32)(at - d->buffer - 2), 2);
    d->buffer[2] = d->buffer[3] = 1;
    reply(d, (u32)(at - d->buffer), (u32)get_be(p + 7, 2));
}

static u8 *put_feature(u8 *at, u16 code, u8 flags, const u8 *data, u8 size)
{
    put_be(at, code, 2);
    at[2] = flags;
    at[3] = size;
    memcpy(at + 4, data, size);
    return at + 4 + size;
}

/* GET CONFIGURATION (6.6): profiles DVD-ROM and CD-ROM. */
static void get_configuration(IdeDrive *d)
{
    enum { PROFILE_CD = 8, PROFILE_DVD = 0x10, CD_LIMIT = 80 * 60 * 75 };
    u16 profile = !ide_has_medium(d) ? 0 : d->sectors > CD_LIMIT ? PROFILE_DVD : PROFILE_CD;
    u8 profiles[8] = {0, PROFILE_DVD, profile == PROFILE_DVD, 0,
                      0, PROFILE_CD,  profile == PROFILE_CD,  0};
    static const u8 core[8] = {0, 0, 0, 2, 1}, removable[4] = {0x29};
    u8 *at = d->buffer + 8;

    memset(d->buffer, 0, REPLY_MAX);
    put_be(d->buffer + 6, profile, 2);
    at = put_feature(at, 0, 0x03, profiles, 8);
    at = put_feature(at, 1, 0x0b, core, 8);
    at = put_feature(at, 3, 0x03, removable, 4);
    put_be(d->buffer, (u32)(at - d->buffer - 4), 4);
    reply(d, (u32)(at - d->buffer), (u32)get_be(d->packet + 7, 2));
}

/* GET EVENT STATUS NOTIFICATION (6.7), polled: class media. */
static void get_event_status(IdeDrive *d)
{
    enum { POLLED = 1, CLASS_MEDIA = 0x10, NO_CLASS = 0x80 };
    u8 *b = d->buffer;

    if (!(d->packet[1] & POLLED)) {
        check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
        return;
    }
    memset(b, 0, 8);
    b[3] = CLASS_MEDIA;
    if (!(d->packet[4] & CLASS_MEDIA)) {
        put_be(b, 2, 2);
        b[2] = NO_CLASS;
        reply(d, 4, (u32)get_be(d->packet + 7, 2));
        return;
    }
    put_be(b, 6, 2);
    b[2] = 4;
    b[4] = d->media_event;
    b[5] = (ide_has_medium(d) ? 2 : 0) | (d->tray_open ? 1 : 0);
    d->media_event = IDE_EVENT_NONE;
    reply(d, 8, (u32)get_be(d->packet + 7, 2));
}

/* MODE SENSE (10): error recovery and capabilities pages. */
static void mode_sense(IdeDrive *d)
{
    u8 *b = d->buffer, page = d->packet[2] & 0x3f;
    u32 size = 8;

    memset(b, 0, REPLY_MAX);
    if (page == 0x01 || page == 0x3f) {
        b[size] = 0x01;
        b[size + 1] = 6;
        b[size + 3] = 5;
        size += 8;
    }
    if (page == 0x2a || page == 0x3f) {
        u8 *c = b + size;
        c[0] = 0x2a;
        c[1] = 18;
        c[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
        c[4] = 0x70;
        c[5] = 0x03;
        c[6] = (u8)(0x29 | (d->locked ? 2 : 0)); /* tray, can eject, can lock */
        put_be(c + 8, 706 * 16, 2);
        put_be(c + 12, 512, 2);
        put_be(c + 14, 706 * 16, 2);
        size += 20;
    }
    if (size == 8) {
        check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
        return;
    }
    put_be(b, size - 2, 2);
    b[2] = ide_has_medium(d) ? 0x01 : 0x70;
    reply(d, size, (u32)get_be(d->packet + 7, 2));
}

static void read_disc_information(IdeDrive *d)
{
    memset(d->buffer, 0, 34);
    put_be(d->buffer, 32, 2);
    d->buffer[2] = 0x0e; /* complete, finalized */
    d->buffer[3] = d->buffer[4] = d->buffer[5] = d->buffer[6] = 1;
    d->buffer[7] = 0x20;
    reply(d, 34, (u32)get_be(d->packet + 7, 2));
}

static void mechanism_status(IdeDrive *d)
{
    memset(d->buffer, 0, 8);
    d->buffer[5] = 1;
    reply(d, 8, (u32)get_be(d->packet + 8, 2));
}

/* The tray was closed or opened, or somebody changed the disc in it. */
static void note_medium(IdeDrive *d)
{
    d->medium_changed = ide_has_medium(d) && !d->tray_open;
    d->media_event = d->medium_changed ? IDE_EVENT_NEW_MEDIUM : IDE_EVENT_REMOVED;
}

/* START STOP UNIT (6.42). */
static void start_stop(IdeDrive *d)
{
    bool start = d->packet[4] & 1, load = d->packet[4] & 2;

    if (load && !start && d->locked) {
        check_condition(d, ide_has_medium(d) ? SENSE_ILLEGAL_REQUEST : SENSE_NOT_READY,
                        CODE_REMOVAL_PREVENTED);
        return;
    }
    if (load && d->tray_open == start) {
        d->tray_open = !start;
        note_medium(d);
    }
    succeed(d);
}

void atapi_medium_changed(IdeDrive *d)
{
    bool reading = d->left && d->status & (ATA_BSY | ATA_DRQ);

    d->tray_open = 0;
    note_medium(d);
    if (reading) {
        d->left = 0;
        check_condition(d, SENSE_NOT_READY, CODE_NO_MEDIUM);
    }
}

/* -- The table */

enum { NEEDS_MEDIUM = 1, IGNORES_ATTENTION = 2 };

static void test_unit_ready(IdeDrive *d)
{
    succeed(d);
}

static void prevent_removal(IdeDrive *d)
{
    d->locked = d->packet[4] & 1;
    succeed(d);
}

static void read_10(IdeDrive *d)
{
    read_sectors(d, (u32)get_be(d->packet + 2, 4), (u32)get_be(d->packet + 7, 2));
}

static void read_12(IdeDrive *d)
{
    read_sectors(d, (u32)get_be(d->packet + 2, 4), (u32)get_be(d->packet + 6, 4));
}

static void seek(IdeDrive *d)
{
    if ((u32)get_be(d->packet + 2, 4) >= d->sectors) {
        check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_OUT_OF_RANGE);
    } else {
        succeed(d);
    }
}

static const struct {
    u8 code, needs;
    void (*run)(IdeDrive *d);
} packets[] = {
    {0x00, NEEDS_MEDIUM, test_unit_ready},
    {0x03, IGNORES_ATTENTION, request_sense},
    {0x12, IGNORES_ATTENTION, inquiry},
    {0x1b, 0, start_stop},
    {0x1e, 0, prevent_removal},
    {0x25, NEEDS_MEDIUM, read_capacity},
    {0x28, NEEDS_MEDIUM, read_10},
    {0x2b, NEEDS_MEDIUM, seek},
    {0x43, NEEDS_MEDIUM, read_toc},
    {0x46, IGNORES_ATTENTION, get_configuration},
    {0x4a, IGNORES_ATTENTION, get_event_status},
    {0x51, NEEDS_MEDIUM, read_disc_information},
    {0x5a, 0, mode_sense},
    {0xa8, NEEDS_MEDIUM, read_12},
    {0xbd, 0, mechanism_status},
    {0xbe, NEEDS_MEDIUM, read_cd},
};

static void run_packet(IdeDrive *d)
{
    d->status = ATA_BSY | ATA_DRDY;
    for (size_t i = 0; i < COUNT(packets); i++) {
        if (packets[i].code != d->packet[0]) {
            continue;
        }
        bool attention = d->medium_changed && !(packets[i].needs & IGNORES_ATTENTION);
        if (attention) {
            d->medium_changed = 0;
            check_condition(d, SENSE_UNIT_ATTENTION, CODE_MEDIUM_CHANGED);
        } else if (packets[i].needs & NEEDS_MEDIUM && (!ide_has_medium(d) || d->tray_open)) {
            check_condition(d, SENSE_NOT_READY, CODE_NO_MEDIUM);
        } else {
            packets[i].run(d);
        }
        return;
    }
    check_condition(d, SENSE_ILLEGAL_REQUEST, CODE_INVALID_COMMAND);
}

/* PACKET: the host writes twelve bytes. */
void atapi_start(IdeDrive *d)
{
    d->packet_dma = d->feature & 1;
    if (d->packet_dma && !d->channel->host) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    u32 limit = (u32)(d->lba_high & 0xff) << 8 | (d->lba_mid & 0xff);
    ide_pio(d, IDE_OUT, IDE_PACKET, IDE_PACKET, IDE_AFTER_PACKET);
    d->transfer = limit;
    d->count = REASON_COMMAND;
}

void atapi_after(IdeDrive *d)
{
    switch (d->after) {
    case IDE_AFTER_PACKET:
        memcpy(d->packet, d->buffer, IDE_PACKET);
        d->left = 0;
        /* An odd limit counts as the even one below; 0 means all (ATA8-ACS 7.22). */
        d->byte_limit = d->transfer == 0 || d->transfer == 0xffff ? 0xfffe : d->transfer & ~1u;
        d->byte_limit = MAX(d->byte_limit, 2u);
        run_packet(d);
        break;
    case IDE_AFTER_CD:
        if (d->left) {
            read_more(d);
            break;
        }
        succeed(d);
        break;
    default:
        succeed(d);
    }
}
