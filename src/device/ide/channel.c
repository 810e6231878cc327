/* The channel: task file, selection, PIO data, resets; and how data moves between the disk and the
 * guest. See ide.h. Sections are of ATA8-ACS and ATA8-APT unless said. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/ide/ide.h"

enum {
    DATA,
    ERROR_FEATURE,
    COUNT_REGISTER,
    LBA_LOW,
    LBA_MID,
    LBA_HIGH,
    DEVICE,
    STATUS_COMMAND,
    SELECT_DRIVE_1 = 0x10,
    CONTROL_NO_INTERRUPT = 2,
    CONTROL_RESET = 4,
    CONTROL_HOB = 0x80,
    DEVICE_RESET = 0x08,
    DIAGNOSTIC = 0x90,
    DIAGNOSTIC_PASSED = 1,
};

static IdeDrive *selected(IdeChannel *channel)
{
    return &channel->drive[channel->selected];
}

/* -- Interrupts */

static void update_interrupt(IdeChannel *channel)
{
    irq_set(&channel->irq,
            channel->interrupt && !(selected(channel)->control & CONTROL_NO_INTERRUPT));
}

void ide_interrupt(IdeDrive *drive)
{
    drive->channel->interrupt = true;
    update_interrupt(drive->channel);
}

static void clear_interrupt(IdeChannel *channel)
{
    channel->interrupt = false;
    update_interrupt(channel);
}

/* -- Ends of commands */

bool ide_wants_dma(const IdeDrive *drive)
{
    return drive->channel->dma_wanted == drive->unit + 1;
}

static void end_transfer(IdeDrive *drive)
{
    drive->direction = IDE_NONE;
    drive->after = IDE_AFTER_NOTHING;
    if (ide_wants_dma(drive)) {
        drive->channel->dma_wanted = 0;
    }
}

void ide_succeed(IdeDrive *drive)
{
    end_transfer(drive);
    drive->status = ATA_DRDY | ATA_DSC;
    drive->error = 0;
    ide_interrupt(drive);
}

void ide_fail(IdeDrive *drive, u8 error)
{
    end_transfer(drive);
    drive->status = ATA_DRDY | ATA_DSC | ATA_ERR;
    drive->error = error;
    ide_interrupt(drive);
}

/* -- The disk */

static void serve_host(IdeDrive *drive);

/* The guest's memory that a request at the disk has used. */
static void release_memory(IdeDrive *drive)
{
    IdeChannel *channel = drive->channel;

    if (drive->iov_count && drive->request.block.op == BLOCK_OP_READ) {
        channel->host->unmap(channel->host->opaque, channel, drive->iov, drive->iov_count);
    }
    drive->iov_count = 0;
}

static void request_done(DiskRequest *request, int result)
{
    IdeDrive *drive = request->opaque;
    IdeChannel *channel = drive->channel;

    release_memory(drive);
    if (result < 0) {
        if (ide_wants_dma(drive) && channel->host) {
            channel->host->end(channel->host->opaque, channel, false);
        }
        ide_fail(drive, request->block.op == BLOCK_OP_READ ? ATA_UNC : ATA_ABRT);
    } else {
        drive->done(drive);
    }
    serve_host(drive);
}

static void submit(IdeDrive *drive, BlockOp op, u64 offset, u64 bytes, const struct iovec *iov,
                   IdeNext *done)
{
    if (!ide_has_medium(drive)) {
        ide_fail(drive, ATA_ABRT); /* taken out meanwhile */
        return;
    }
    drive->done = done;
    drive->status = (drive->status & (u8)~ATA_DRQ) | ATA_BSY;
    drive->request.done = request_done;
    drive->request.opaque = drive;
    drive->request.block = (BlockRequest){.op = op, .offset = offset, .bytes = bytes, .iov = iov};
    disk_submit(drive->disk, &drive->request);
}

void ide_disk_buffer(IdeDrive *drive, bool in, u64 offset, u32 bytes, IdeNext *done)
{
    drive->iov[0] = (struct iovec){drive->buffer, bytes};
    drive->iov_count = 0; /* not the guest's memory */
    submit(drive, in ? BLOCK_OP_READ : BLOCK_OP_WRITE, offset, bytes, drive->iov, done);
}

void ide_disk_op(IdeDrive *drive, BlockOp op, u64 offset, u64 bytes, IdeNext *done)
{
    submit(drive, op, offset, bytes, NULL, done);
}

void ide_disk_dma(IdeDrive *drive, bool in, u32 sector, IdeNext *done)
{
    IdeChannel *channel = drive->channel;
    u64 want = (u64)drive->left * sector;
    u32 bytes, count = IDE_IOVECS;

    bytes = channel->host->map(channel->host->opaque, channel, drive->iov, &count,
                               (u32)MIN(want, (u64)UINT32_MAX), in);
    bytes = ALIGN_DOWN(bytes, sector);
    if (!bytes) { /* no memory there, or the list of it is too short */
        channel->host->end(channel->host->opaque, channel, false);
        ide_fail(drive, ATA_ABRT);
        return;
    }
    drive->iov_count = count;
    drive->transfer = bytes;
    submit(drive, in ? BLOCK_OP_READ : BLOCK_OP_WRITE, drive->lba * sector, bytes, drive->iov,
           done);
}

/* Whichever drive the guest has selected meanwhile. */
void ide_dma_run(IdeChannel *channel)
{
    IdeDrive *drive = &channel->drive[channel->dma_wanted == 2];

    if (!channel->dma_wanted || disk_is_busy(&drive->request)) {
        return;
    }
    if (drive->cdrom) {
        atapi_dma(drive);
    } else {
        ata_dma(drive);
    }
}

/* -- PIO data */

/* Ends the DRQ block that is through. */
static void block_through(IdeDrive *drive)
{
    if (drive->position < drive->filled) {
        drive->block_end = MIN(drive->position + drive->byte_limit, drive->filled);
        if (drive->cdrom) {
            atapi_block(drive);
        }
        ide_interrupt(drive); /* the next block */
        return;
    }
    drive->direction = IDE_NONE;
    drive->status = (drive->status & (u8)~ATA_DRQ) | ATA_BSY;
    if (drive->after == IDE_AFTER_READ || drive->after == IDE_AFTER_WRITE) {
        ata_after(drive);
    } else if (drive->after == IDE_AFTER_NOTHING) {
        drive->status = ATA_DRDY | ATA_DSC;
    } else {
        atapi_after(drive);
    }
}

void ide_pio(IdeDrive *drive, u8 direction, u32 size, u32 block, IdeAfter after)
{
    drive->direction = direction;
    drive->position = 0;
    drive->filled = size;
    drive->byte_limit = block;
    drive->block_end = MIN(block, size);
    drive->after = (u8)after;
    drive->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
}

/* For a host that moves PIO data by itself, and wants to know when a command is over. To be called
 * last, when a step of a command is done. */
static void serve_host(IdeDrive *drive)
{
    IdeChannel *channel = drive->channel;
    const IdeHost *host = channel->host;

    if (!host || !host->pio) {
        return;
    }
    while (drive->status & ATA_DRQ && drive->direction != IDE_NONE) {
        host->pio(host->opaque, channel, drive->buffer + drive->position,
                  drive->block_end - drive->position, drive->direction == IDE_IN);
        clear_interrupt(channel);
        drive->position = drive->block_end;
        block_through(drive);
    }
    if (!(drive->status & (ATA_BSY | ATA_DRQ))) {
        host->ended(host->opaque, channel);
    }
}

static u64 read_data(IdeDrive *drive, unsigned size)
{
    u64 value = 0;

    if (drive->direction != IDE_IN) {
        return 0;
    }
    size = MIN(size, drive->block_end - drive->position);
    memcpy(&value, drive->buffer + drive->position, size);
    drive->position += size;
    if (drive->position == drive->block_end) {
        block_through(drive);
    }
    return value;
}

static void write_data(IdeDrive *drive, unsigned size, u64 value)
{
    if (drive->direction != IDE_OUT) {
        return;
    }
    size = MIN(size, drive->block_end - drive->position);
    memcpy(drive->buffer + drive->position, &value, size);
    drive->position += size;
    if (drive->position == drive->block_end) {
        block_through(drive);
    }
}

/* -- Resets (ATA8-APT 9.2) */

static void set_signature(IdeDrive *drive)
{
    drive->select &= SELECT_DRIVE_1;
    drive->count = drive->lba_low = 1;
    drive->lba_mid = drive->lba_high = 0;
    if (drive->cdrom) {
        atapi_signature(drive);
    }
}

static void reset_drive(IdeDrive *drive)
{
    disk_cancel(&drive->request);
    release_memory(drive);
    end_transfer(drive);
    drive->error = DIAGNOSTIC_PASSED;
    drive->status = drive->cdrom ? 0 : ATA_DRDY | ATA_DSC;
    drive->multiple = 16;
    set_signature(drive);
}

static void reset_drives(IdeChannel *channel)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        if (channel->drive[unit].present) {
            reset_drive(&channel->drive[unit]);
        }
    }
    channel->selected = 0;
    clear_interrupt(channel);
}

void ide_channel_reset(IdeChannel *channel)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        IdeDrive *drive = &channel->drive[unit];
        drive->control = drive->select = 0;
        drive->write_cache = drive->read_ahead = 1;
        drive->dma_mode = 0x45; /* Ultra DMA 5 */
        drive->sense_key = drive->sense_code = drive->sense_qualifier = 0;
        drive->tray_open = drive->locked = 0;
        drive->medium_changed = drive->media_event = 0;
    }
    reset_drives(channel);
}

/* A loaded transfer stays in the buffer. */
static void bound(IdeDrive *drive)
{
    drive->filled = MIN(drive->filled, (u32)IDE_BUFFER);
    drive->block_end = MIN(drive->block_end, drive->filled);
    drive->byte_limit = MAX(drive->byte_limit, 2u);
    if (drive->direction != IDE_NONE && drive->position >= drive->block_end) {
        drive->direction = IDE_NONE;
    }
}

void ide_channel_settle(IdeChannel *channel)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        bound(&channel->drive[unit]);
    }
    channel->selected &= 1;
    channel->dma_wanted = MIN(channel->dma_wanted, (u8)2);
    update_interrupt(channel);
}

void ide_hard_reset(IdeChannel *channel)
{
    reset_drives(channel);
}

/* -- Commands */

static void start_command(IdeChannel *channel, u8 command)
{
    IdeDrive *drive = selected(channel);

    clear_interrupt(channel);
    if (command == DIAGNOSTIC) {
        reset_drives(channel);
        ide_interrupt(&channel->drive[0]);
        serve_host(&channel->drive[0]);
        return;
    }
    if (!drive->present) {
        return;
    }
    if (command == DEVICE_RESET && drive->cdrom) {
        reset_drive(drive);
        serve_host(drive);
        return;
    }
    if (drive->status & (ATA_BSY | ATA_DRQ)) {
        return; /* ATA8-ACS 4.1: the host must not */
    }
    drive->command = command;
    drive->error = 0;
    drive->status = ATA_BSY | ATA_DRDY;
    ata_command(drive);
    serve_host(drive);
}

void ide_issue(IdeChannel *channel, const IdeTaskFile *file)
{
    IdeDrive *drive = &channel->drive[0];

    channel->selected = 0;
    drive->features16 = file->features;
    drive->feature = (u8)file->features;
    drive->count = file->count;
    drive->lba_low = file->lba_low;
    drive->lba_mid = file->lba_mid;
    drive->lba_high = file->lba_high;
    drive->select = file->device & (u8)~SELECT_DRIVE_1;
    start_command(channel, file->command);
}

/* A register with the contents that it had before in the high byte. */
static void shift_in(u16 *place, u8 value)
{
    *place = (u16)(*place << 8 | value);
}

static void write_register(IdeChannel *channel, u64 offset, u8 value)
{
    if (offset == STATUS_COMMAND) {
        start_command(channel, value);
        return;
    }
    if (offset == DEVICE) {
        channel->selected = value & SELECT_DRIVE_1 ? 1 : 0;
    }
    for (unsigned unit = 0; unit < 2; unit++) { /* both drives listen */
        IdeDrive *drive = &channel->drive[unit];
        switch (offset) {
        case ERROR_FEATURE:
            shift_in(&drive->features16, value);
            drive->feature = value;
            break;
        case COUNT_REGISTER:
            shift_in(&drive->count, value);
            break;
        case LBA_LOW:
            shift_in(&drive->lba_low, value);
            break;
        case LBA_MID:
            shift_in(&drive->lba_mid, value);
            break;
        case LBA_HIGH:
            shift_in(&drive->lba_high, value);
            break;
        case DEVICE:
            drive->select = value;
            break;
        }
        drive->control &= (u8)~CONTROL_HOB;
    }
    update_interrupt(channel);
}

static u8 half(const IdeDrive *drive, u16 value)
{
    return (u8)(drive->control & CONTROL_HOB ? value >> 8 : value);
}

/* A channel without drives floats high; one whose selected drive is missing reads as zeroes. */
static u8 read_register(IdeChannel *channel, u64 offset)
{
    IdeDrive *drive = selected(channel);

    if (!channel->drive[0].present && !channel->drive[1].present) {
        return offset == STATUS_COMMAND ? 0 : 0xff;
    }
    if (!drive->present) {
        return 0;
    }
    switch (offset) {
    case ERROR_FEATURE:
        return drive->error;
    case COUNT_REGISTER:
        return half(drive, drive->count);
    case LBA_LOW:
        return half(drive, drive->lba_low);
    case LBA_MID:
        return half(drive, drive->lba_mid);
    case LBA_HIGH:
        return half(drive, drive->lba_high);
    case DEVICE:
        return drive->select | 0xa0;
    default:
        return drive->status;
    }
}

static u64 task_file_read(void *opaque, u64 offset, unsigned size)
{
    IdeChannel *channel = opaque;
    u64 value;

    if (offset == DATA) {
        return read_data(selected(channel), size);
    }
    value = read_register(channel, offset);
    if (offset == STATUS_COMMAND) {
        clear_interrupt(channel);
    }
    return value;
}

static void task_file_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    IdeChannel *channel = opaque;

    if (offset == DATA) {
        write_data(selected(channel), size, value);
    } else {
        write_register(channel, offset, (u8)value);
    }
}

static u64 control_read(void *opaque, u64 offset, unsigned size)
{
    (void)offset, (void)size;
    return read_register(opaque, STATUS_COMMAND); /* leaves the interrupt alone */
}

void ide_control(IdeChannel *channel, u8 value)
{
    bool was = channel->drive[0].control & CONTROL_RESET;

    for (unsigned unit = 0; unit < 2; unit++) {
        channel->drive[unit].control = value;
        if (value & CONTROL_RESET && channel->drive[unit].present) {
            channel->drive[unit].status = ATA_BSY;
        }
    }
    if (was && !(value & CONTROL_RESET)) {
        reset_drives(channel);
    }
    update_interrupt(channel);
}

static void control_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset, (void)size;
    ide_control(opaque, (u8)value);
}

static const RegionOps task_file_ops = {task_file_read, task_file_write, 1, 4, true, false, LITTLE};
static const RegionOps control_ops = {control_read, control_write, 1, 1, true, false, LITTLE};

/* -- Making */

void ide_channel_init(IdeChannel *channel, Board *board, void *owner, unsigned drives)
{
    channel->board = board;
    channel->owner = owner;
    channel->task_file =
        (Region){.name = "ide", .size = 8, .ops = &task_file_ops, .opaque = channel};
    channel->control =
        (Region){.name = "ide-control", .size = 1, .ops = &control_ops, .opaque = channel};
    for (u8 unit = 0; unit < 2; unit++) {
        channel->drive[unit].channel = channel;
        channel->drive[unit].unit = unit;
        channel->drive[unit].buffer = unit < drives ? calloc(1, IDE_BUFFER) : NULL;
        if (unit < drives && !channel->drive[unit].buffer) {
            abort();
        }
    }
}

void ide_channel_free(IdeChannel *channel)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        IdeDrive *drive = &channel->drive[unit];
        disk_cancel(&drive->request);
        if (drive->cdrom && drive->disk) {
            disk_set_drive(drive->disk, NULL);
        }
        free(drive->buffer);
    }
    if (channel->board->ports) {
        space_remove(channel->board->ports, &channel->task_file);
        space_remove(channel->board->ports, &channel->control);
    }
}

/* -- Drives */

static void find_size(IdeDrive *drive)
{
    drive->sectors =
        drive->disk ? disk_size(drive->disk) / (drive->cdrom ? IDE_CD_SECTOR : IDE_SECTOR) : 0;
}

static int may_change(void *opaque, u64 size, bool force)
{
    IdeDrive *drive = opaque;

    (void)size;
    if (drive->locked && ide_has_medium(drive) && !force) {
        drive->media_event = IDE_EVENT_EJECT_REQUEST;
        return -EBUSY;
    }
    return 0;
}

static void medium_changed(void *opaque)
{
    IdeDrive *drive = opaque;

    find_size(drive);
    atapi_medium_changed(drive);
    serve_host(drive);
}

void ide_attach(IdeChannel *channel, unsigned unit, const IdeConfig *config)
{
    IdeDrive *drive = &channel->drive[unit];

    drive->present = true;
    drive->cdrom = config->cdrom;
    drive->disk = config->disk;
    drive->serial = config->serial;
    drive->model = config->model   ? config->model
                   : config->cdrom ? "MENURA DVD-ROM"
                                   : "MENURA HARDDISK";
    find_size(drive);
    if (drive->cdrom && drive->disk) {
        disk_set_drive(drive->disk, &(DiskDrive){drive, may_change, medium_changed});
    }
}

static const StateField drive_state[] = {
    STATE(IdeDrive, command),
    STATE(IdeDrive, feature),
    STATE(IdeDrive, error),
    STATE(IdeDrive, status),
    STATE(IdeDrive, select),
    STATE(IdeDrive, control),
    STATE(IdeDrive, features16),
    STATE(IdeDrive, count),
    STATE(IdeDrive, lba_low),
    STATE(IdeDrive, lba_mid),
    STATE(IdeDrive, lba_high),
    STATE(IdeDrive, multiple),
    STATE(IdeDrive, dma_mode),
    STATE(IdeDrive, write_cache),
    STATE(IdeDrive, read_ahead),
    STATE(IdeDrive, lba),
    STATE(IdeDrive, left),
    STATE(IdeDrive, position),
    STATE(IdeDrive, block_end),
    STATE(IdeDrive, filled),
    STATE(IdeDrive, direction),
    STATE(IdeDrive, after),
    {"buffer", offsetof(IdeDrive, buffer), IDE_BUFFER, 1, NULL, STATE_POINTER},
    STATE_ARRAY(IdeDrive, packet),
    STATE(IdeDrive, sense_key),
    STATE(IdeDrive, sense_code),
    STATE(IdeDrive, sense_qualifier),
    STATE(IdeDrive, medium_changed),
    STATE(IdeDrive, tray_open),
    STATE(IdeDrive, locked),
    STATE(IdeDrive, media_event),
    STATE(IdeDrive, packet_dma),
    STATE(IdeDrive, byte_limit),
    STATE(IdeDrive, failed_tag),
    STATE(IdeDrive, failed_status),
    STATE(IdeDrive, failed_error),
    STATE(IdeDrive, failed_count),
    STATE(IdeDrive, failed_lba),
    STATE_END,
};

const StateField ide_channel_state[] = {
    STATE_STRUCTS(IdeChannel, drive, drive_state),
    STATE(IdeChannel, selected),
    STATE(IdeChannel, interrupt),
    STATE(IdeChannel, dma_wanted),
    STATE_END,
};

const StateField ide_port_state[] = {
    {"drive", offsetof(IdeChannel, drive), sizeof(IdeDrive), 1, drive_state, STATE_VALUE},
    STATE(IdeChannel, interrupt),
    STATE(IdeChannel, dma_wanted),
    STATE_END,
};
