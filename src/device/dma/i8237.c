/* "i8237": the two 8237A DMA controllers of a PC with their page registers. Channels 0..3 move
 * bytes, 5..7 words; 4 is the cascade. Intel 8237A data sheet (231466-005), IBM PC AT Technical
 * Reference (ports, pages).
 *
 * Devices move blocks of bytes when they have them (i8237.h), at once: there are no cycles, so that
 * the modes single, demand and block are the same. Memory to memory transfers do not exist on a PC.
 * Registers 0x80..0x8f that are no channel's page just remember. */
#include "device/dma/i8237.h"

#include "device/devices.h"

enum { CHIPS = 2, CHANNELS = 4, CASCADE_CHANNEL = 4 };

enum Register8 { STATUS_COMMAND = 8, REQUEST, MASK_ONE, MODE, CLEAR_POINTER, MASTER_CLEAR };
enum { CLEAR_MASK = 14, MASK_ALL = 15 };
enum Command { COMMAND_DISABLE = 0x04 };
enum Mode {
    MODE_VERIFY = 0x00,
    MODE_TO_MEMORY = 0x04,
    MODE_FROM_MEMORY = 0x08,
    MODE_TRANSFER = 0x0c,
    MODE_AUTO = 0x10,
    MODE_DOWN = 0x20,
};

typedef struct Channel {
    u16 base_address, base_count;
    u16 address, count; /* bytes or words less one */
    u8 mode;
} Channel;

typedef struct Chip {
    Channel channels[CHANNELS];
    u8 command, mask;
    u8 status;  /* terminal counts reached; requests are never pending */
    u8 pointer; /* the next byte of an address or count is the high one */
} Chip;

typedef struct I8237 {
    Device device;
    Region low_ports, high_ports, page_ports;
    Chip chips[CHIPS];
    u8 pages[16];
    struct User {
        void (*ready)(void *opaque);
        void *opaque;
    } users[CHIPS * CHANNELS];
} I8237;

/* Which page register has the high bits of a channel's address. */
static const u8 page_of[CHIPS * CHANNELS] = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};

/* -- For devices */

void i8237_attach(void *device, unsigned channel, void (*ready)(void *opaque), void *opaque)
{
    ((I8237 *)device)->users[channel] = (struct User){ready, opaque};
}

static void tell_users(I8237 *dma, int which)
{
    for (int i = 0; i < CHANNELS; i++) {
        const struct User *user = &dma->users[which * CHANNELS + i];
        if (user->ready && !(dma->chips[which].mask & 1 << i)) {
            user->ready(user->opaque);
        }
    }
}

bool i8237_ready(void *device, unsigned channel, DmaDirection direction)
{
    const I8237 *dma = device;
    const Chip *chip = &dma->chips[channel / CHANNELS];
    unsigned mode = chip->channels[channel % CHANNELS].mode & MODE_TRANSFER;

    if (channel < CASCADE_CHANNEL && dma->chips[1].mask & 1) {
        return false; /* its requests go through channel 4 */
    }
    return channel != CASCADE_CHANNEL && !(chip->mask & 1 << channel % CHANNELS) &&
           !(chip->command & COMMAND_DISABLE) &&
           (mode == MODE_VERIFY ||
            mode == (direction == DMA_TO_MEMORY ? MODE_TO_MEMORY : MODE_FROM_MEMORY));
}

/* Moves one run that goes up within the channel's 64 KiB or 128 KiB. */
static void move(I8237 *dma, unsigned channel, u8 *bytes, u32 units)
{
    const Channel *c = &dma->chips[channel / CHANNELS].channels[channel % CHANNELS];
    unsigned word = channel >= CASCADE_CHANNEL;
    u64 page = dma->pages[page_of[channel]];
    u64 address = ((page & ~(u64)word) << 16) + ((u64)c->address << word);
    MapReader *memory = &dma->device.board->dma;

    if ((c->mode & MODE_TRANSFER) == MODE_TO_MEMORY) {
        dma_write(memory, address, bytes, (u64)units << word);
    } else if ((c->mode & MODE_TRANSFER) == MODE_FROM_MEMORY) {
        dma_read(memory, address, bytes, (u64)units << word);
    }
}

static void end_of_process(Chip *chip, unsigned number)
{
    Channel *c = &chip->channels[number];

    chip->status |= 1 << number;
    if (c->mode & MODE_AUTO) {
        c->address = c->base_address;
        c->count = c->base_count;
    } else {
        chip->mask |= 1 << number;
    }
}

u32 i8237_transfer(void *device, unsigned channel, DmaDirection direction, u8 *bytes, u32 size,
                   bool *end)
{
    I8237 *dma = device;
    Chip *chip = &dma->chips[channel / CHANNELS];
    Channel *c = &chip->channels[channel % CHANNELS];
    unsigned word = channel >= CASCADE_CHANNEL;
    u32 done = 0;

    *end = false;
    while (done < size && !*end && i8237_ready(dma, channel, direction)) {
        bool down = c->mode & MODE_DOWN;
        u32 run = MIN((size - done) >> word, (u32)c->count + 1);
        run = MIN(run, down ? 1 : 0x10000u - c->address);
        if (!run) {
            break;
        }
        move(dma, channel, bytes + done, run);
        done += run << word;
        c->address = (u16)(down ? c->address - run : c->address + run);
        *end = run == (u32)c->count + 1;
        c->count = (u16)(c->count - run);
    }
    if (*end) {
        end_of_process(chip, channel % CHANNELS);
    }
    return done;
}

/* -- Registers */

static u8 *byte_of(u16 *value, bool high)
{
    return (u8 *)value + (high == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__));
}

/* Addresses and counts, a byte at a time. */
static void write_channel(Chip *chip, unsigned number, u8 value)
{
    Channel *c = &chip->channels[number >> 1];
    u16 *base = number & 1 ? &c->base_count : &c->base_address;

    *byte_of(base, chip->pointer) = value;
    *(number & 1 ? &c->count : &c->address) = *base;
    chip->pointer = !chip->pointer;
}

static u8 read_channel(Chip *chip, unsigned number)
{
    const Channel *c = &chip->channels[number >> 1];
    u16 value = number & 1 ? c->count : c->address;

    chip->pointer = !chip->pointer;
    return (u8)(chip->pointer ? value : value >> 8);
}

static void clear(Chip *chip)
{
    chip->command = chip->status = chip->pointer = 0;
    chip->mask = 0xf;
}

static void write_chip(I8237 *dma, int which, unsigned number, u8 value)
{
    Chip *chip = &dma->chips[which];
    unsigned bit = 1 << (value & 3);

    switch (number) {
    case STATUS_COMMAND:
        chip->command = value;
        break;
    case REQUEST:
        if (value & 4) {
            device_guest_error(dma, "software requests are not possible on a PC");
        }
        break;
    case MASK_ONE:
        chip->mask = value & 4 ? chip->mask | bit : chip->mask & ~bit;
        break;
    case MODE:
        chip->channels[value & 3].mode = value & ~3;
        break;
    case CLEAR_POINTER:
        chip->pointer = 0;
        break;
    case MASTER_CLEAR:
        clear(chip);
        break;
    case CLEAR_MASK:
        chip->mask = 0;
        break;
    case MASK_ALL:
        chip->mask = value & 0xf;
        break;
    default:
        write_channel(chip, number, value);
        return;
    }
    tell_users(dma, which);
    if (which == 1) { /* channel 4, too, may have been waited for */
        tell_users(dma, 0);
    }
}

static u8 read_chip(I8237 *dma, int which, unsigned number)
{
    Chip *chip = &dma->chips[which];
    u8 status = chip->status;

    if (number < STATUS_COMMAND) {
        return read_channel(chip, number);
    }
    switch (number) {
    case STATUS_COMMAND:
        chip->status = 0;
        return status;
    case MASK_ALL: /* as the 82C37A has it */
        return chip->mask | 0xf0;
    default: /* the temporary register is for memory to memory */
        return 0;
    }
}

static u64 read_low(void *device, u64 port, unsigned size)
{
    (void)size;
    return read_chip(device, 0, (unsigned)port);
}

static void write_low(void *device, u64 port, unsigned size, u64 value)
{
    (void)size;
    write_chip(device, 0, (unsigned)port, (u8)value);
}

/* The second controller hangs on address lines 1..4. */
static u64 read_high(void *device, u64 port, unsigned size)
{
    (void)size;
    return read_chip(device, 1, (unsigned)port >> 1);
}

static void write_high(void *device, u64 port, unsigned size, u64 value)
{
    (void)size;
    write_chip(device, 1, (unsigned)port >> 1, (u8)value);
}

/* -- The device */

static int start(void *device, char **error)
{
    (void)error;
    device_map(device, 0, 0x00);
    device_map(device, 1, 0xc0);
    device_map(device, 2, 0x80);
    return 0;
}

static void reset(void *device)
{
    I8237 *dma = device;

    for (int i = 0; i < CHIPS; i++) {
        clear(&dma->chips[i]);
    }
}

static const RegionOps low_ops = {read_low, write_low, 1, 1};
static const RegionOps high_ops = {read_high, write_high, 1, 1};

static const Register page_registers[] = {
    {.at = 0, .name = "PAGE", REG_FIELD(I8237, pages[0]), .mask = 0xff, .count = 16, .stride = 1},
};

static const RegisterBank banks[] = {
    {.name = "dma-low",
     .size = 16,
     .region = offsetof(I8237, low_ports),
     .ports = true,
     .width = 1,
     .raw = &low_ops},
    {.name = "dma-high",
     .size = 32,
     .region = offsetof(I8237, high_ports),
     .ports = true,
     .width = 1,
     .raw = &high_ops},
    {.name = "dma-page",
     .size = 16,
     .region = offsetof(I8237, page_ports),
     .ports = true,
     .width = 1,
     .registers = page_registers,
     .count = COUNT(page_registers)},
};

static const StateField channel_state[] = {
    STATE(Channel, base_address), STATE(Channel, base_count), STATE(Channel, address),
    STATE(Channel, count),        STATE(Channel, mode),       STATE_END,
};

static const StateField chip_state[] = {
    STATE_STRUCTS(Chip, channels, channel_state),
    STATE(Chip, command),
    STATE(Chip, mask),
    STATE(Chip, status),
    STATE(Chip, pointer),
    STATE_END,
};

static const StateField state[] = {STATE_STRUCTS(I8237, chips, chip_state), STATE_END};

const DeviceDef device_i8237 = {
    .name = "i8237",
    .summary = "pair of 8237A DMA controllers",
    .size = sizeof(I8237),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .start = start,
    .reset = reset,
};
