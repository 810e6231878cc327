/* "isa-fdc": an 82077AA floppy disk controller with two drives, at ports 0x3f0..0x3f5 and 0x3f7.
 * Intel 82077AA data sheet (290166-007); numbers of sections are its.
 *
 * A command is a row of commands[]: its bytes come through the FIFO, then its function runs, and
 * either puts the result there or starts a transfer. A transfer moves runs of sectors to the end of
 * a track: from the disk into the buffer and on to memory, or the other way; memory is reached by
 * channel 2 of the DMA controller (property "dma"), or by the guest byte by byte.
 * Seeks and everything else that is mechanical take no time. */
#include "device/block/floppy.h"

#include <errno.h>
#include <string.h>

#include "device/devices.h"
#include "device/dma/i8237.h"

enum { DMA_CHANNEL = 2, MAX_SECTORS = 64, MAX_BYTES = 16 };
enum { PORTS_AT = 0x3f0, DIRECTION_AT = 0x3f7, PORTS = 6 };

enum Port { STATUS_A, STATUS_B, DIGITAL_OUTPUT, TAPE, MAIN_STATUS, FIFO };
enum DigitalOutput { DOR_DRIVE = 0x03, DOR_NO_RESET = 0x04, DOR_DMA = 0x08, DOR_MOTOR_A = 0x10 };
enum MainStatus { MSR_BUSY = 0x10, MSR_NO_DMA = 0x20, MSR_TO_CPU = 0x40, MSR_READY = 0x80 };
enum DataRate { DSR_RESET = 0x80, DSR_RATE = 0x03 };
enum { DIR_CHANGED = 0x80 };

enum Status0 {
    ST0_HEAD = 0x04,
    ST0_CHECK = 0x10,
    ST0_SEEK_END = 0x20,
    ST0_FAILED = 0x40,
    ST0_INVALID = 0x80,
    ST0_CHANGED = 0xc0,
};
enum Status1 {
    ST1_NO_ADDRESS = 0x01,
    ST1_PROTECTED = 0x02,
    ST1_NO_DATA = 0x04,
    ST1_DATA_ERROR = 0x20,
    ST1_END = 0x80,
};
enum Status2 { ST2_BAD_CYLINDER = 0x02, ST2_WRONG_CYLINDER = 0x10, ST2_DATA_ERROR = 0x20 };
enum Status3 {
    ST3_TWO_SIDES = 0x08,
    ST3_TRACK_0 = 0x10,
    ST3_READY = 0x20,
    ST3_PROTECTED = 0x40,
};

enum CommandBits { MULTI_TRACK = 0x80, HEAD = 0x04, DRIVE = 0x03, SPECIFY_NO_DMA = 0x01 };
enum Configure { IMPLIED_SEEK = 0x40 };

typedef enum Phase {
    COMMAND,
    WAIT_DISK, /* a request is in flight */
    TRANSFER,  /* between the buffer and memory or the guest */
    RESULT,
} Phase;

typedef enum Action { READ, WRITE, FORMAT, VERIFY } Action;

typedef struct Drive {
    struct Floppy *controller;
    Disk *disk;               /* NULL: nothing is ever in it */
    const FloppyMedia *media; /* NULL: no disk is in it */
    u8 cylinder;              /* of the heads */
    u8 changed;
} Drive;

typedef struct Floppy {
    Device device;
    Region ports, direction_port;
    void *dma; /* an i8237, or NULL */
    Disk *disks[FLOPPY_DRIVES];
    Drive drives[FLOPPY_DRIVES];
    u8 output, tape, rate, specify[2], configure[3], perpendicular, locked;
    u8 phase;
    u8 bytes[MAX_BYTES]; /* of the command or result */
    u8 count, at;
    u8 interrupting;            /* the interrupt is up */
    u8 resets_to_sense;         /* drives whose change SENSE INTERRUPT is to tell, after a reset */
    u8 seeks_done, seek_st0[4]; /* bits by drive, and their ST0 */
    /* A transfer: of the sectors from `sector` to `last`, on `head`. */
    u8 action, drive, cylinder, head, sector, last, fill;
    u8 ended;        /* terminal count */
    u32 size, moved; /* of the buffer in bytes */
    u8 buffer[MAX_SECTORS * FLOPPY_SECTOR];
    DiskRequest request;
    struct iovec vector;
    Irq irq;
} Floppy;

static void set_interrupt(Floppy *f, bool up)
{
    f->interrupting = up;
    irq_set(&f->irq, up && f->output & DOR_DMA);
}

/* -- Results */

static void put_result(Floppy *f, const u8 *bytes, u8 count)
{
    memcpy(f->bytes, bytes, count);
    f->count = count;
    f->at = 0;
    f->phase = count ? RESULT : COMMAND;
}

static void invalid(Floppy *f)
{
    const u8 result = ST0_INVALID;

    put_result(f, &result, 1);
}

/* The seven bytes of most commands, with an interrupt. */
static void finish(Floppy *f, u8 st0, u8 st1, u8 st2)
{
    const u8 result[] = {
        (u8)(st0 | (f->head ? ST0_HEAD : 0) | f->drive),
        st1,
        st2,
        f->cylinder,
        f->head,
        f->sector,
        2, /* 512 bytes */
    };

    put_result(f, result, sizeof result);
    set_interrupt(f, true);
}

/* -- Transfers */

static u64 offset_of(const Floppy *f)
{
    const FloppyMedia *m = f->drives[f->drive].media;

    return ((u64)(f->cylinder * m->heads + f->head) * m->sectors + f->sector - 1) * FLOPPY_SECTOR;
}

static void next_run(Floppy *f);

/* The run is done; goes on to the other side or ends (6.1, table 6-4: what the result says). */
static void end_run(Floppy *f)
{
    bool other_side = f->bytes[0] & MULTI_TRACK;
    u32 sectors = (f->moved + FLOPPY_SECTOR - 1) / FLOPPY_SECTOR;
    bool end_of_track;

    f->sector = (u8)(f->sector + (f->action == FORMAT ? 0 : sectors));
    end_of_track = f->sector > f->last;
    if (end_of_track) {
        bool next_cylinder = !other_side || f->head;
        f->sector = 1;
        f->head ^= other_side;
        f->cylinder = (u8)(f->cylinder + next_cylinder);
        if (!f->ended && f->action != FORMAT && next_cylinder) {
            finish(f, ST0_FAILED, ST1_END, 0);
            return;
        }
    }
    if (f->ended || f->action == FORMAT) {
        finish(f, 0, 0, 0);
    } else if (f->head >= f->drives[f->drive].media->heads) {
        finish(f, ST0_FAILED, ST1_NO_ADDRESS, 0);
    } else {
        next_run(f);
    }
}

static void disk_done(DiskRequest *request, int result)
{
    Floppy *f = request->opaque;

    if (result < 0) {
        finish(f, ST0_FAILED, ST1_DATA_ERROR, ST2_DATA_ERROR);
    } else if (f->action == READ) {
        f->phase = TRANSFER;
        f->moved = 0;
        next_run(f);
    } else {
        end_run(f);
    }
}

/* Reads or writes the buffer. What is beyond the end of a short image reads as zeroes. */
static void use_disk(Floppy *f, BlockOp op)
{
    Disk *disk = f->drives[f->drive].disk;
    u64 offset = offset_of(f), end = disk_size(disk);
    u64 size = offset >= end ? 0 : MIN((u64)f->size, end - offset);

    if (op == BLOCK_OP_READ) {
        memset(f->buffer + size, 0, f->size - size);
    }
    f->phase = WAIT_DISK;
    f->vector = (struct iovec){f->buffer, size};
    f->request = (DiskRequest){
        .block = {.op = op, .offset = offset, .bytes = size, .iov = &f->vector},
        .done = disk_done,
        .opaque = f,
    };
    if (size) {
        disk_submit(disk, &f->request);
    } else {
        disk_done(&f->request, op == BLOCK_OP_READ ? 0 : -EIO);
    }
}

/* Formatting: the guest's four bytes for each sector are in the buffer; sectors that it numbers as
 * the drive does become `fill`. */
static void write_format(Floppy *f)
{
    u32 sectors = f->moved / 4, track = f->last;

    for (u32 i = 0; i < sectors; i++) {
        if (f->buffer[4 * i] != f->cylinder || f->buffer[4 * i + 2] > track ||
            f->buffer[4 * i + 3] != 2) {
            finish(f, ST0_FAILED, ST1_NO_DATA, 0); /* not a format that an image holds */
            return;
        }
    }
    f->sector = 1;
    f->size = track * FLOPPY_SECTOR;
    memset(f->buffer, f->fill, f->size);
    use_disk(f, BLOCK_OP_WRITE);
}

/* The buffer is full, empty or not wanted any more. */
static void end_moving(Floppy *f)
{
    if (f->action == READ) {
        end_run(f);
    } else if (f->action == FORMAT) {
        write_format(f);
    } else {
        u32 size = (u32)ALIGN_UP(f->moved, (u32)FLOPPY_SECTOR);
        memset(f->buffer + f->moved, 0, size - f->moved);
        f->size = size;
        use_disk(f, BLOCK_OP_WRITE);
    }
}

static bool uses_dma(const Floppy *f)
{
    return !(f->specify[1] & SPECIFY_NO_DMA) && f->dma;
}

/* Moves what the DMA channel takes. Called again when the guest sets up the channel. */
static void move_by_dma(void *opaque)
{
    Floppy *f = opaque;
    DmaDirection direction = f->action == READ ? DMA_TO_MEMORY : DMA_FROM_MEMORY;
    bool end;

    if (f->phase != TRANSFER || !uses_dma(f) || !(f->output & DOR_DMA) ||
        !i8237_ready(f->dma, DMA_CHANNEL, direction)) {
        return;
    }
    f->moved += i8237_transfer(f->dma, DMA_CHANNEL, direction, f->buffer + f->moved,
                               f->size - f->moved, &end);
    f->ended |= end;
    if (f->ended || f->moved == f->size) {
        end_moving(f);
    }
}

/* Starts the run from `sector` to the end of the track, or goes on with one that was read. */
static void next_run(Floppy *f)
{
    if (f->phase != TRANSFER || f->moved == f->size) {
        f->moved = 0;
        f->size = (u32)(f->last - f->sector + 1) * FLOPPY_SECTOR;
        if (f->action == FORMAT) {
            f->size = 4 * f->last;
        }
        if (f->action == READ) {
            use_disk(f, BLOCK_OP_READ);
            return;
        }
        f->phase = TRANSFER;
    }
    if (uses_dma(f)) {
        move_by_dma(f);
    } else {
        set_interrupt(f, true);
    }
}

/* -- Commands that transfer */

/* The drive of the command, if it has a disk that the guest's data rate fits; else the command
 * fails. */
static const FloppyMedia *find_media(Floppy *f)
{
    const Drive *d = &f->drives[f->drive % FLOPPY_DRIVES];
    const FloppyMedia *m = f->drive < FLOPPY_DRIVES ? d->media : NULL;
    bool fits = m && (m->rate == f->rate || (m->rate == 2 && m->cylinders < 80 && f->rate == 1));

    if (!fits || f->head >= m->heads) {
        finish(f, ST0_FAILED, ST1_NO_ADDRESS, 0);
        return NULL;
    }
    return m;
}

static bool is_protected(const Floppy *f)
{
    return disk_is_read_only(f->drives[f->drive].disk);
}

static void transfer(Floppy *f, Action action)
{
    const u8 *b = f->bytes;
    const FloppyMedia *m;
    Drive *d;

    f->action = action;
    f->drive = b[1] & DRIVE;
    f->cylinder = b[2];
    f->head = b[3] & 1;
    f->sector = b[4];
    f->ended = false;
    m = find_media(f);
    if (!m) {
        return;
    }
    d = &f->drives[f->drive];
    if (f->configure[1] & IMPLIED_SEEK && f->cylinder < m->cylinders) {
        d->cylinder = f->cylinder;
    }
    f->last = MIN(b[6], m->sectors);
    if (f->cylinder != d->cylinder || f->cylinder >= m->cylinders) {
        finish(f, ST0_FAILED, ST1_NO_DATA,
               f->cylinder == 0xff ? ST2_BAD_CYLINDER : ST2_WRONG_CYLINDER);
    } else if (!f->sector || f->sector > m->sectors || f->sector > b[6] || b[5] != 2 ||
               f->head != (b[1] & HEAD) >> 2) {
        finish(f, ST0_FAILED, ST1_NO_DATA, 0);
    } else if (action == WRITE && is_protected(f)) {
        finish(f, ST0_FAILED, ST1_PROTECTED, 0);
    } else if (action == VERIFY) {
        f->moved = (u32)(f->last - f->sector + 1) * FLOPPY_SECTOR;
        f->ended = true;
        end_run(f);
    } else {
        f->phase = COMMAND; /* nothing is in the buffer */
        next_run(f);
    }
}

static void read_data(Floppy *f)
{
    transfer(f, READ);
}

/* All sectors of a track from the first on. */
static void read_track(Floppy *f)
{
    f->bytes[0] &= ~MULTI_TRACK;
    f->bytes[4] = 1;
    transfer(f, READ);
}

static void write_data(Floppy *f)
{
    transfer(f, WRITE);
}

static void verify(Floppy *f)
{
    transfer(f, VERIFY);
}

static void format_track(Floppy *f)
{
    const u8 *b = f->bytes;
    const FloppyMedia *m;

    f->action = FORMAT;
    f->drive = b[1] & DRIVE;
    f->head = (b[1] & HEAD) >> 2;
    f->sector = 1;
    f->fill = b[5];
    f->ended = false;
    f->cylinder = f->drives[f->drive % FLOPPY_DRIVES].cylinder;
    m = find_media(f);
    if (!m) {
        return;
    }
    f->last = b[3];
    if (is_protected(f)) {
        finish(f, ST0_FAILED, ST1_PROTECTED, 0);
    } else if (b[2] != 2 || b[3] != m->sectors || f->cylinder >= m->cylinders) {
        finish(f, ST0_FAILED, ST1_NO_DATA, 0);
    } else {
        f->phase = COMMAND;
        next_run(f);
    }
}

/* The sector that comes by next; a disk turns five times a second. */
static void read_id(Floppy *f)
{
    u64 turn = clock_now(f->device.board->clock) % (NANOSECONDS / 5);
    const FloppyMedia *m;

    f->drive = f->bytes[1] & DRIVE;
    f->head = (f->bytes[1] & HEAD) >> 2;
    f->cylinder = f->drives[f->drive % FLOPPY_DRIVES].cylinder;
    m = find_media(f);
    if (m) {
        f->sector = (u8)(1 + scale_u64(turn, m->sectors, NANOSECONDS / 5));
        finish(f, 0, 0, 0);
    }
}

/* -- Other commands */

/* The heads move; SENSE INTERRUPT tells the end. */
static void seek_to(Floppy *f, unsigned drive, unsigned head, unsigned cylinder, u8 st0)
{
    if (drive < FLOPPY_DRIVES) {
        Drive *d = &f->drives[drive];
        d->cylinder = (u8)cylinder;
        d->changed &= d->media == NULL;
    }
    f->seeks_done |= 1 << drive;
    f->seek_st0[drive] = (u8)(ST0_SEEK_END | st0 | (head ? ST0_HEAD : 0) | drive);
    f->phase = COMMAND;
    set_interrupt(f, true);
}

static void seek(Floppy *f)
{
    seek_to(f, f->bytes[1] & DRIVE, f->bytes[1] & HEAD, f->bytes[2], 0);
}

static void relative_seek(Floppy *f)
{
    unsigned drive = f->bytes[1] & DRIVE;
    int by = f->bytes[0] & 0x40 ? f->bytes[2] : -f->bytes[2];
    int from = drive < FLOPPY_DRIVES ? f->drives[drive].cylinder : 0;

    seek_to(f, drive, f->bytes[1] & HEAD, (unsigned)MIN(MAX(from + by, 0), 255), 0);
}

/* Without a drive there is no track 0 to be found. */
static void recalibrate(Floppy *f)
{
    unsigned drive = f->bytes[1] & DRIVE;

    seek_to(f, drive, 0, 0, drive < FLOPPY_DRIVES ? 0 : ST0_FAILED | ST0_CHECK);
}

static void sense_interrupt(Floppy *f)
{
    unsigned drive;

    if (f->resets_to_sense) {
        drive = (unsigned)__builtin_ctz(f->resets_to_sense);
        f->resets_to_sense &= f->resets_to_sense - 1;
        f->seek_st0[drive] = (u8)(ST0_CHANGED | drive);
    } else if (f->seeks_done) {
        drive = (unsigned)__builtin_ctz(f->seeks_done);
        f->seeks_done &= f->seeks_done - 1;
    } else {
        invalid(f);
        return;
    }
    const u8 result[] = {f->seek_st0[drive], drive < FLOPPY_DRIVES ? f->drives[drive].cylinder : 0};
    set_interrupt(f, false);
    put_result(f, result, sizeof result);
}

static void sense_drive(Floppy *f)
{
    unsigned drive = f->bytes[1] & DRIVE;
    u8 st3 = (u8)(ST3_TWO_SIDES | ST3_READY | (f->bytes[1] & (HEAD | DRIVE)));

    if (drive < FLOPPY_DRIVES) {
        const Drive *d = &f->drives[drive];
        st3 |= d->cylinder ? 0 : ST3_TRACK_0;
        st3 |= d->media && disk_is_read_only(d->disk) ? ST3_PROTECTED : 0;
    }
    put_result(f, &st3, 1);
}

static void specify(Floppy *f)
{
    memcpy(f->specify, f->bytes + 1, sizeof f->specify);
    f->phase = COMMAND;
}

static void configure(Floppy *f)
{
    memcpy(f->configure, f->bytes + 1, sizeof f->configure);
    f->phase = COMMAND;
}

static void perpendicular(Floppy *f)
{
    f->perpendicular =
        f->bytes[1] & 0x80 ? f->bytes[1] & 0x3f : (f->perpendicular & 0x3c) | (f->bytes[1] & 3);
    f->phase = COMMAND;
}

static void version(Floppy *f)
{
    const u8 result = 0x90;

    put_result(f, &result, 1);
}

static void lock(Floppy *f)
{
    u8 result;

    f->locked = f->bytes[0] >> 7;
    result = (u8)(f->locked << 4);
    put_result(f, &result, 1);
}

static void dump_registers(Floppy *f)
{
    const u8 result[] = {
        f->drives[0].cylinder,
        f->drives[1].cylinder,
        0,
        0,
        f->specify[0],
        f->specify[1],
        f->last,
        (u8)(f->locked << 7 | f->perpendicular),
        f->configure[1],
        f->configure[2],
    };

    put_result(f, result, sizeof result);
}

static const struct Command {
    u8 mask, value; /* of the first byte */
    u8 count;       /* of bytes, that one included */
    void (*run)(Floppy *f);
} commands[] = {
    {0x1f, 0x06, 9, read_data},      {0x1f, 0x0c, 9, read_data}, /* deleted data are not kept */
    {0x9f, 0x02, 9, read_track},     {0x3f, 0x05, 9, write_data},
    {0x3f, 0x09, 9, write_data},     {0x1f, 0x16, 9, verify},
    {0xbf, 0x0d, 6, format_track},   {0xbf, 0x0a, 2, read_id},
    {0xff, 0x0f, 3, seek},           {0xbf, 0x8f, 3, relative_seek},
    {0xff, 0x07, 2, recalibrate},    {0xff, 0x08, 1, sense_interrupt},
    {0xff, 0x04, 2, sense_drive},    {0xff, 0x03, 3, specify},
    {0xff, 0x13, 4, configure},      {0xff, 0x12, 2, perpendicular},
    {0xff, 0x10, 1, version},        {0x7f, 0x14, 1, lock},
    {0xff, 0x0e, 1, dump_registers},
};

static const struct Command *find_command(u8 byte)
{
    for (size_t i = 0; i < COUNT(commands); i++) {
        if ((byte & commands[i].mask) == commands[i].value) {
            return &commands[i];
        }
    }
    return NULL;
}

static void take_command_byte(Floppy *f, u8 byte)
{
    const struct Command *command;

    f->bytes[f->at++ % MAX_BYTES] = byte;
    command = find_command(f->bytes[0]);
    if (!command) {
        device_guest_error(f, "unknown command %#x", f->bytes[0]);
        f->at = 0;
        invalid(f);
    } else if (f->at >= command->count) {
        f->at = 0;
        command->run(f);
    }
}

/* -- Registers */

/* Ends whatever is going on. */
static void reset_controller(Floppy *f)
{
    if (disk_is_busy(&f->request)) {
        disk_cancel(&f->request);
    }
    f->phase = COMMAND;
    f->at = f->count = 0;
    f->seeks_done = 0;
    f->perpendicular &= 0x3c;
    if (!f->locked) {
        memset(f->configure, 0, sizeof f->configure);
    }
    f->resets_to_sense = 0xf;
    set_interrupt(f, true);
}

static void write_digital_output(Floppy *f, u8 value)
{
    u8 old = f->output;

    f->output = value;
    if (!(value & DOR_NO_RESET)) {
        f->interrupting = false;
    } else if (!(old & DOR_NO_RESET)) {
        reset_controller(f);
    }
    set_interrupt(f, f->interrupting);
    move_by_dma(f);
}

static u8 main_status(const Floppy *f)
{
    if (!(f->output & DOR_NO_RESET)) {
        return 0;
    }
    switch (f->phase) {
    case COMMAND:
        return f->at ? MSR_READY | MSR_BUSY : MSR_READY;
    case RESULT:
        return MSR_READY | MSR_BUSY | MSR_TO_CPU;
    case TRANSFER:
        if (!uses_dma(f)) {
            return MSR_READY | MSR_BUSY | MSR_NO_DMA | (f->action == READ ? MSR_TO_CPU : 0);
        }
        return MSR_BUSY;
    default:
        return MSR_BUSY;
    }
}

/* The guest moves a byte of a transfer by itself. */
static void moved_by_guest(Floppy *f)
{
    if (++f->moved == f->size) {
        set_interrupt(f, false);
        end_moving(f);
    }
}

static u8 read_fifo(Floppy *f)
{
    u8 byte = 0xff;

    if (f->phase == RESULT) {
        byte = f->bytes[f->at++ % MAX_BYTES];
        set_interrupt(f, false);
        if (f->at >= f->count) {
            f->phase = COMMAND;
            f->at = f->count = 0;
        }
    } else if (f->phase == TRANSFER && !uses_dma(f) && f->action == READ) {
        byte = f->buffer[f->moved];
        moved_by_guest(f);
    }
    return byte;
}

static void write_fifo(Floppy *f, u8 byte)
{
    if (!(f->output & DOR_NO_RESET)) {
        return;
    }
    if (f->phase == COMMAND) {
        take_command_byte(f, byte);
    } else if (f->phase == TRANSFER && !uses_dma(f) && f->action != READ) {
        f->buffer[f->moved] = byte;
        moved_by_guest(f);
    } else {
        device_guest_error(f, "byte %#x is not expected", byte);
    }
}

/* Bits of the PS/2 mode: interrupt pending, active-low index and protect. */
static u8 status_a(const Floppy *f)
{
    unsigned drive = f->output & DOR_DRIVE;
    bool track_0 = drive < FLOPPY_DRIVES && !f->drives[drive].cylinder;

    return (u8)(f->interrupting << 7 | !track_0 << 4 | 0x46);
}

static u8 status_b(const Floppy *f)
{
    return (u8)(0xc0 | (f->output & 1) << 5 | (f->output >> 4 & 3));
}

static u64 read_port(void *device, u64 port, unsigned size)
{
    Floppy *f = device;

    (void)size;
    switch (port) {
    case STATUS_A:
        return status_a(f);
    case STATUS_B:
        return status_b(f);
    case DIGITAL_OUTPUT:
        return f->output;
    case TAPE:
        return f->tape;
    case MAIN_STATUS:
        return main_status(f);
    default:
        return read_fifo(f);
    }
}

static void write_port(void *device, u64 port, unsigned size, u64 value)
{
    Floppy *f = device;

    (void)size;
    switch (port) {
    case DIGITAL_OUTPUT:
        write_digital_output(f, (u8)value);
        break;
    case TAPE:
        f->tape = value & 3;
        break;
    case MAIN_STATUS: /* data rate select */
        f->rate = value & DSR_RATE;
        if (value & DSR_RESET) {
            reset_controller(f);
        }
        break;
    case FIFO:
        write_fifo(f, (u8)value);
        break;
    default:
        break;
    }
}

/* Digital input: the selected drive's disk was changed. */
static u64 read_direction(void *device)
{
    const Floppy *f = device;
    unsigned drive = f->output & DOR_DRIVE;
    bool motor = f->output & DOR_MOTOR_A << drive;

    return drive < FLOPPY_DRIVES && motor && f->drives[drive].changed ? DIR_CHANGED : 0;
}

static void write_configuration(void *device, u64 value)
{
    ((Floppy *)device)->rate = value & DSR_RATE;
}

/* -- Disks */

/* Ends what is going on with the drive's disk. */
static void abort_transfer(Floppy *f, unsigned drive)
{
    bool waits = disk_is_busy(&f->request);

    if (f->drive == drive && (waits || f->phase == TRANSFER)) {
        disk_cancel(&f->request);
        finish(f, ST0_FAILED, ST1_DATA_ERROR, 0);
    }
}

static int may_change(void *opaque, u64 size, bool force)
{
    (void)opaque, (void)force;
    return size && !floppy_media_find(size) ? -EFBIG : 0;
}

/* What is in the drive now; the guest reads it from the change line. */
static void changed(void *opaque)
{
    Drive *d = opaque;

    abort_transfer(d->controller, (unsigned)(d - d->controller->drives));
    d->media = disk_has_medium(d->disk) ? floppy_media_find(disk_size(d->disk)) : NULL;
    d->changed = true;
}

int floppy_attach(void *device, unsigned drive, Disk *disk)
{
    Floppy *f = device;
    Drive *d = &f->drives[drive];

    if (may_change(d, disk_size(disk), false) < 0) {
        return -EFBIG;
    }
    d->disk = disk;
    d->controller = f;
    changed(d);
    disk_set_drive(disk, &(DiskDrive){d, may_change, changed});
    return 0;
}

u8 floppy_drive_type(const void *device, unsigned drive)
{
    const FloppyMedia *media = ((const Floppy *)device)->drives[drive].media;

    return media ? media->drive : drive == 0 ? 4 : 0;
}

/* -- The device */

static int start(void *device, char **error)
{
    Floppy *f = device;

    for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
        if (f->disks[i] && floppy_attach(f, i, f->disks[i]) < 0) {
            device_error(error, "%s: the image of drive %c is larger than any floppy disk",
                         f->device.id, "AB"[i]);
            return -EFBIG;
        }
    }
    if (f->dma) {
        i8237_attach(f->dma, DMA_CHANNEL, move_by_dma, f);
    }
    device_map(f, 0, PORTS_AT);
    device_map(f, 1, DIRECTION_AT);
    return 0;
}

static void stop(void *device)
{
    Floppy *f = device;

    if (disk_is_busy(&f->request)) {
        disk_cancel(&f->request);
    }
    for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
        if (f->drives[i].disk) {
            disk_set_drive(f->drives[i].disk, NULL);
        }
    }
    if (f->dma) {
        i8237_attach(f->dma, DMA_CHANNEL, NULL, NULL);
    }
}

/* The controller waits for DOR to let it out of its reset. */
static void reset(void *device)
{
    Floppy *f = device;

    if (disk_is_busy(&f->request)) {
        disk_cancel(&f->request);
    }
    f->rate = 2;
    for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
        f->drives[i].changed = true;
    }
}

static void settle(void *device)
{
    Floppy *f = device;

    f->drive &= DRIVE;
    f->count = MIN(f->count, (u8)MAX_BYTES);
    f->at = MIN(f->at, (u8)MAX_BYTES);
    f->size = MIN(f->size, (u32)sizeof f->buffer);
    if (f->drive >= FLOPPY_DRIVES || !f->drives[f->drive].media || f->moved >= f->size ||
        f->phase == WAIT_DISK || f->last > MAX_SECTORS || f->sector > f->last || !f->sector) {
        f->phase = f->phase == RESULT ? RESULT : COMMAND;
    }
    set_interrupt(f, f->interrupting);
}

static const RegionOps ops = {read_port, write_port, 1, 1};

static const Register direction_registers[] = {
    REG(0, "DIR", REG_NONE, 0, 0, read_direction, write_configuration),
};

static const RegisterBank banks[] = {
    {.name = "fdc",
     .size = PORTS,
     .region = offsetof(Floppy, ports),
     .ports = true,
     .width = 1,
     .raw = &ops},
    {.name = "fdc-direction",
     .size = 1,
     .region = offsetof(Floppy, direction_port),
     .ports = true,
     .width = 1,
     .registers = direction_registers,
     .count = COUNT(direction_registers)},
};

static const StateField drive_state[] = {STATE(Drive, cylinder), STATE(Drive, changed), STATE_END};

static const StateField state[] = {
    STATE_STRUCTS(Floppy, drives, drive_state),
    STATE(Floppy, output),
    STATE(Floppy, tape),
    STATE(Floppy, rate),
    STATE_ARRAY(Floppy, specify),
    STATE_ARRAY(Floppy, configure),
    STATE(Floppy, perpendicular),
    STATE(Floppy, locked),
    STATE(Floppy, phase),
    STATE_ARRAY(Floppy, bytes),
    STATE(Floppy, count),
    STATE(Floppy, at),
    STATE(Floppy, interrupting),
    STATE(Floppy, resets_to_sense),
    STATE(Floppy, seeks_done),
    STATE_ARRAY(Floppy, seek_st0),
    STATE(Floppy, action),
    STATE(Floppy, drive),
    STATE(Floppy, cylinder),
    STATE(Floppy, head),
    STATE(Floppy, sector),
    STATE(Floppy, last),
    STATE(Floppy, fill),
    STATE(Floppy, ended),
    STATE(Floppy, size),
    STATE(Floppy, moved),
    {"buffer", offsetof(Floppy, buffer), MAX_SECTORS *FLOPPY_SECTOR, 1},
    STATE_END,
};

static const Property properties[] = {
    {"driveA", PROPERTY_BACKEND, offsetof(Floppy, disks[0]), "disk in the first drive", NULL,
     "medium"},
    {"driveB", PROPERTY_BACKEND, offsetof(Floppy, disks[1]), "disk in the second drive", NULL,
     "medium"},
    {"dma", PROPERTY_BACKEND, offsetof(Floppy, dma), "the DMA controllers", NULL, "device"},
    PROPERTY_END,
};

static const IrqOutput outputs[] = {{"irq", offsetof(Floppy, irq), 1}, IRQ_OUTPUT_END};

const DeviceDef device_isa_fdc = {
    .name = "isa-fdc",
    .summary = "82077AA floppy disk controller with two drives",
    .size = sizeof(Floppy),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .properties = properties,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
