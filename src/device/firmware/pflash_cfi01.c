/* "cfi.pflash01": NOR flash with the Intel command set (JEDEC JESD68.01 and JEP137, Common Flash
 * Interface, command set 0001; Intel's 28F640J3 data sheet): where firmware keeps its code and its
 * variables.
 *
 * A bank is `width` bytes wide, of chips that are `device-width` bytes wide each and get the same
 * commands side by side. While the flash reads as an array it is ROM to the address space, which
 * costs nothing; the first command makes all reads come here. Programming clears bits, erasing sets
 * those of a sector. What was changed is written to the image when the guest goes back to reading
 * the array, and when the machine ends.
 *
 * After CLEAR STATUS the status is 0, where a chip would say "ready": OVMF tells flash from RAM and
 * ROM by that. */
#include "device/firmware/pflash_cfi01.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "device/block/disk.h"
#include "device/devices.h"

enum {
    READ_ARRAY = 0xff,
    READ_ID = 0x90,
    READ_QUERY = 0x98,
    READ_STATUS = 0x70,
    CLEAR_STATUS = 0x50,
    PROGRAM = 0x10,
    PROGRAM_TOO = 0x40,
    ERASE = 0x20,
    LOCK = 0x60,
    BUFFER = 0xe8,
    CONFIRM = 0xd0,
    STATUS_READY = 0x80,
    STATUS_ERASE_FAILED = 0x20,
    STATUS_PROGRAM_FAILED = 0x10,
    STATUS_LOCKED = 0x02,
    BUFFER_BITS = 8, /* 256 bytes a chip */
    BUFFER_SIZE = 4 << BUFFER_BITS,
    MANUFACTURER = 0x89, /* Intel */
    CHIP = 0x18,
    QUERY_START = 0x10,
    MAX_SIZE = 256 << 20,
};

/* What the next write is. */
typedef enum Phase {
    PHASE_COMMAND,
    PHASE_PROGRAM,       /* data */
    PHASE_ERASE,         /* the confirmation */
    PHASE_LOCK,          /* what to do with the lock */
    PHASE_BUFFER_COUNT,  /* how many words follow, less one */
    PHASE_BUFFER,        /* one of them */
    PHASE_BUFFER_CONFIRM /* the confirmation */
} Phase;

typedef struct Flash {
    Device d;
    Region region;
    Disk *disk;
    u64 address;
    u32 sector, width, device_width;
    RamBlock *ram;
    u64 size;
    u8 reads; /* the command that says what reads give */
    u8 phase; /* Phase */
    u8 status;
    u32 words_left;                 /* of the buffer */
    u32 buffer_start, buffer_end;   /* what of the array it replaces */
    u8 buffer[BUFFER_SIZE];         /* by address modulo its size; what is not written is ones */
    u64 changed_start, changed_end; /* what the image does not have yet */
} Flash;

RamBlock *pflash_ram(void *device)
{
    Flash *f = device;

    return f->ram;
}

static bool is_read_only(const Flash *f)
{
    return !f->disk || disk_is_read_only(f->disk);
}

/* -- The array and the image */

static void write_back(Flash *f)
{
    int result;

    if (f->changed_start >= f->changed_end || is_read_only(f)) {
        return;
    }
    result = block_pwrite(disk_node(f->disk), f->changed_start, f->ram->host + f->changed_start,
                          f->changed_end - f->changed_start, 0);
    if (result == 0) {
        result = block_flush(disk_node(f->disk));
    }
    if (result < 0 && log_on(LOG_UNIMP)) {
        log_printf("%s: cannot write to its image: %s\n", f->d.id, strerror(-result));
    }
    f->changed_start = f->size;
    f->changed_end = 0;
}

/* For the image, and for those who have translated code in it. */
static void note_change(Flash *f, u64 at, u64 size)
{
    MapReader *reader = &f->d.board->dma;
    u64 offset, length;

    map_find(reader, f->address, &offset, &length); /* gets it a map, if it was never used */
    dma_done(reader, f->ram->host + at, size);
    f->changed_start = MIN(f->changed_start, at);
    f->changed_end = MAX(f->changed_end, at + size);
}

/* Programming can only clear bits. */
static void program(Flash *f, u64 at, const u8 *bytes, u64 size)
{
    if (is_read_only(f)) {
        f->status = STATUS_READY | STATUS_PROGRAM_FAILED | STATUS_LOCKED;
        return;
    }
    size = MIN(size, f->size - at);
    for (u64 i = 0; i < size; i++) {
        f->ram->host[at + i] &= bytes[i];
    }
    if (size) { /* a loaded buffer may be empty */
        note_change(f, at, size);
    }
}

static void erase(Flash *f, u64 at)
{
    u64 start = ALIGN_DOWN(at, (u64)f->sector);

    if (is_read_only(f)) {
        f->status = STATUS_READY | STATUS_ERASE_FAILED | STATUS_LOCKED;
        return;
    }
    memset(f->ram->host + start, 0xff, f->sector);
    note_change(f, start, f->sector);
}

/* -- Reading */

static const RegionOps flash_ops;

/* As an array it is ROM, else registers. */
static void show(Flash *f, u8 reads)
{
    bool array = reads == READ_ARRAY;
    AddressSpace *space = f->d.board->memory;

    if ((f->reads == READ_ARRAY) != array || !space_contains(space, &f->region)) {
        space_remove(space, &f->region);
        f->region.ram = array ? f->ram : NULL;
        space_add(space, &f->region, f->address);
    }
    f->reads = reads;
    if (array) {
        write_back(f);
    }
}

/* Byte `index` of the Common Flash Interface's answer (JESD68.01, tables 2 to 4) of one chip. */
static u8 query(const Flash *f, u32 index)
{
    u32 chips = f->width / f->device_width, blocks = (u32)(f->size / f->sector) - 1;
    u32 block_size = f->sector / chips;
    const u8 table[] = {
        'Q',
        'R',
        'Y',
        1,
        0, /* command set 0001 */
        0x31,
        0, /* its own table */
        0,
        0,
        0,
        0, /* no other command set */
        0x45,
        0x55,
        0,
        0, /* 4.5 to 5.5 V */
        7,
        7,
        10,
        0, /* 2^n us a word, a buffer, ms an erasure */
        4,
        4,
        4,
        0,                                    /* and 2^n of that at most */
        (u8)__builtin_ctzll(f->size / chips), /* 2^n bytes, where the size is such */
        (u8)(f->device_width == 1 ? 0 : 2),
        0, /* x8, or x8 and x16 */
        BUFFER_BITS,
        0,
        1, /* one kind of blocks: */
        (u8)blocks,
        (u8)(blocks >> 8),
        (u8)(block_size >> 8),
        (u8)(block_size >> 16),
        0,
        0,
        0,
        0,
        'P',
        'R',
        'I',
        '1',
        '0', /* at 0x31: no optional features */
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    };

    return index >= QUERY_START && index - QUERY_START < sizeof table ? table[index - QUERY_START]
                                                                      : 0;
}

/* What one chip answers at a word of its. */
static u8 answer(const Flash *f, u32 word)
{
    switch (f->reads) {
    case READ_ID:
        return (u8)((word & 0xff) == 0 ? MANUFACTURER : (word & 0xff) == 1 ? CHIP : 0);
    case READ_QUERY:
        return query(f, word & 0xff);
    default:
        return f->status;
    }
}

static u64 flash_read(void *opaque, u64 offset, unsigned size)
{
    const Flash *f = opaque;
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        u64 at = offset + i;
        if (f->reads == READ_ARRAY) {
            value |= (u64)f->ram->host[at] << 8 * i;
        } else if (at % f->device_width == 0) {
            value |= (u64)answer(f, (u32)(at / f->width)) << 8 * i;
        }
    }
    return value;
}

/* -- Commands */

static void begin_buffer(Flash *f, u64 offset, u64 value)
{
    f->words_left = (u32)(value & 0xff) + 1;
    if (f->words_left * f->device_width > 1u << BUFFER_BITS) {
        f->status = STATUS_READY | STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED;
        f->phase = PHASE_COMMAND;
        return;
    }
    memset(f->buffer, 0xff, sizeof f->buffer);
    f->buffer_start = (u32)offset;
    f->buffer_end = (u32)offset;
    f->phase = PHASE_BUFFER;
}

/* All words of a buffer lie in one aligned piece of the array, of the buffer's size. */
static void fill_buffer(Flash *f, u64 offset, unsigned size, u64 value)
{
    u32 words = MAX(size / f->width, 1u);

    if (f->buffer_end == f->buffer_start) {
        f->buffer_start = f->buffer_end = (u32)offset;
    }
    if (offset / BUFFER_SIZE != f->buffer_start / BUFFER_SIZE) {
        f->status = STATUS_READY | STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED;
        f->phase = PHASE_COMMAND;
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        f->buffer[(offset + i) % BUFFER_SIZE] = (u8)(value >> 8 * i);
    }
    f->buffer_start = MIN(f->buffer_start, (u32)offset);
    f->buffer_end = MAX(f->buffer_end, (u32)offset + size);
    f->words_left -= MIN(words, f->words_left);
    if (!f->words_left) {
        f->phase = PHASE_BUFFER_CONFIRM;
    }
}

static void begin_command(Flash *f, u8 command)
{
    switch (command) {
    case READ_ARRAY:
    case READ_ID:
    case READ_QUERY:
    case READ_STATUS:
        show(f, command);
        return;
    case CLEAR_STATUS:
        f->status = 0;
        show(f, READ_ARRAY);
        return;
    case PROGRAM:
    case PROGRAM_TOO:
        f->phase = PHASE_PROGRAM;
        break;
    case ERASE:
        f->phase = PHASE_ERASE;
        break;
    case LOCK:
        f->phase = PHASE_LOCK;
        break;
    case BUFFER:
        f->phase = PHASE_BUFFER_COUNT;
        break;
    case 0x00: /* what Linux and OVMF write to come to their senses */
    case CONFIRM:
        return;
    default:
        device_guest_error(f, "there is no command %#x", command);
        show(f, READ_ARRAY);
        return;
    }
    f->status = STATUS_READY;
    show(f, READ_STATUS);
}

static void flash_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    Flash *f = opaque;
    u8 command = (u8)value, bytes[8], phase = f->phase;

    f->phase = PHASE_COMMAND;
    switch (phase) {
    case PHASE_COMMAND:
        begin_command(f, command);
        break;
    case PHASE_PROGRAM:
        put_le(bytes, value, size);
        program(f, offset, bytes, size);
        break;
    case PHASE_ERASE:
        if (command == CONFIRM) {
            erase(f, offset);
        } else {
            f->status = STATUS_READY | STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED;
        }
        break;
    case PHASE_BUFFER_COUNT:
        begin_buffer(f, offset, value);
        break;
    case PHASE_BUFFER:
        f->phase = PHASE_BUFFER;
        fill_buffer(f, offset, size, value);
        break;
    case PHASE_BUFFER_CONFIRM:
        if (command == CONFIRM) {
            program(f, f->buffer_start, f->buffer + f->buffer_start % BUFFER_SIZE,
                    f->buffer_end - f->buffer_start);
        } else {
            f->status = STATUS_READY | STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED;
        }
        break;
    default: /* PHASE_LOCK: locks are not kept */
        break;
    }
}

static const RegionOps flash_ops = {flash_read, flash_write, 1, 4, false, false, LITTLE};

/* -- Description */

/* The image's size, or that which was asked for without one. */
static int check(Flash *f, char **error)
{
    f->size = disk_size(f->disk);
    if (!f->size || f->size > MAX_SIZE || !f->sector || f->size % f->sector || f->sector % 4096) {
        device_error(error,
                     "a flash chip's image has to be of whole sectors of %u bytes, up to "
                     "%d MiB",
                     f->sector, MAX_SIZE >> 20);
        return -EINVAL;
    }
    if ((f->width != 1 && f->width != 2 && f->width != 4) || !f->device_width ||
        f->device_width > f->width || f->width % f->device_width) {
        device_error(error, "a flash bank is 1, 2 or 4 bytes wide, each chip a part of that");
        return -EINVAL;
    }
    return 0;
}

static int start(void *device, char **error)
{
    Flash *f = device;
    int result;

    if (check(f, error) < 0) {
        return -EINVAL;
    }
    f->ram = ram_new("flash", f->size);
    if (!f->ram) {
        device_error(error, "out of memory");
        return -ENOMEM;
    }
    result = block_pread(disk_node(f->disk), 0, f->ram->host, f->size);
    if (result < 0) {
        device_error(error, "cannot read the flash chip's image: %s", strerror(-result));
        return result;
    }
    f->region = (Region){.name = "flash", .size = f->size, .read_only = true, .ops = &flash_ops};
    f->region.opaque = f;
    f->changed_start = f->size;
    return 0;
}

static void stop(void *device)
{
    Flash *f = device;

    if (f->ram) {
        write_back(f);
        space_remove(f->d.board->memory, &f->region);
        ram_free(f->ram);
    }
}

static void reset(void *device)
{
    Flash *f = device;

    f->status = STATUS_READY;
    f->reads = READ_ARRAY;
}

static void settle(void *device)
{
    Flash *f = device;

    /* What was loaded may be anything. */
    f->phase = f->phase > PHASE_BUFFER_CONFIRM ? (u8)PHASE_COMMAND : f->phase;
    if (f->buffer_end < f->buffer_start || f->buffer_end > f->size ||
        (f->buffer_end && f->buffer_start / BUFFER_SIZE != (f->buffer_end - 1) / BUFFER_SIZE)) {
        f->buffer_start = f->buffer_end = 0;
    }
    space_remove(f->d.board->memory, &f->region);
    show(f, f->reads);
}

static const Property properties[] = {
    {"drive", PROPERTY_BACKEND, offsetof(Flash, disk), "what it holds", NULL, "disk"},
    {"address", PROPERTY_U64, offsetof(Flash, address), "where it lies", "0xff000000", NULL},
    {"sector-length", PROPERTY_U32, offsetof(Flash, sector), "bytes that are erased at once",
     "4096", NULL},
    {"width", PROPERTY_U32, offsetof(Flash, width), "bytes of the whole bank", "1", NULL},
    {"device-width", PROPERTY_U32, offsetof(Flash, device_width), "bytes of each chip", "1", NULL},
    PROPERTY_END,
};

static const StateField state[] = {
    STATE(Flash, reads),
    STATE(Flash, phase),
    STATE(Flash, status),
    STATE(Flash, words_left),
    STATE(Flash, buffer_start),
    STATE(Flash, buffer_end),
    STATE_ARRAY(Flash, buffer),
    {"ram", offsetof(Flash, ram), 0, 1, NULL, STATE_RAM},
    STATE_END,
};

const DeviceDef device_cfi_pflash01 = {
    .name = "cfi.pflash01",
    .summary = "NOR flash with Intel's command set",
    .size = sizeof(Flash),
    .version = 1,
    .state = state,
    .properties = properties,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
