/* "i8259": two cascaded 8259A interrupt controllers with edge/level control registers, as in a PC.
 * Intel 8259A data sheet (231468-003); ELCR: Intel 82371SB (PIIX3) data sheet, section 2.6.
 *
 * Invariant: what a chip requests (IRR) is never stored: it follows from latched edges, the levels
 * of the inputs and ELCR. The slave's output is a level at the master's input 2, so that a request
 * that the slave takes back can never leave a stale one behind. */
#include "device/interrupt/i8259.h"

#include "device/devices.h"

enum { MASTER, SLAVE, CHIPS };
enum { CASCADE_LINE = 2, SPURIOUS_LINE = 7 };
enum { MASTER_PORT = 0x20, SLAVE_PORT = 0xa0, ELCR_PORT = 0x4d0 };

/* Which lines can be level-triggered: not the timer, keyboard, cascade; real-time clock, FPU. */
static const u8 elcr_mask[CHIPS] = {0xf8, 0xde};

enum Icw1 { ICW1_ICW4 = 0x01, ICW1_SINGLE = 0x02, ICW1_LEVEL = 0x08, ICW1 = 0x10 };
enum Icw4 { ICW4_AUTO_EOI = 0x02, ICW4_SPECIAL_FULLY_NESTED = 0x10 };
enum Ocw3 { OCW3_READ_ISR = 0x01, OCW3_READ = 0x02, OCW3_POLL = 0x04, OCW3 = 0x08 };
enum Ocw3Mask { OCW3_SPECIAL_MASK = 0x20, OCW3_SET_SPECIAL_MASK = 0x40 };
/* Bits 7..5 of OCW2. */
enum Ocw2 { OCW2_EOI = 1, OCW2_SPECIFIC = 2, OCW2_ROTATE = 4 };

typedef struct Chip {
    u8 latch;  /* edges seen and not acknowledged */
    u8 levels; /* of the inputs */
    u8 imr, isr, elcr;
    u8 icw1, icw4;
    u8 vector;      /* ICW2 */
    u8 cascade;     /* ICW3 */
    u8 expected;    /* next ICW at the odd port: 2, 3, 4; 0: none */
    u8 lowest;      /* the line of the lowest priority */
    u8 read_isr;    /* the even port reads ISR, not IRR */
    u8 poll;        /* the next read acknowledges */
    u8 rotate_auto; /* automatic EOIs rotate */
    u8 special_mask;
} Chip;

typedef struct I8259 {
    Device device;
    Region ports[CHIPS], elcr_ports;
    Chip chips[CHIPS];
    Irq intr;
} I8259;

static int requested(const I8259 *pic, int which);

/* The IRR. */
static u8 requests(const I8259 *pic, int which)
{
    const Chip *chip = &pic->chips[which];
    u8 level = chip->icw1 & ICW1_LEVEL ? 0xff : chip->elcr;
    u8 irr = (chip->latch & ~level) | (chip->levels & level);

    if (which == MASTER) {
        irr &= ~(1 << CASCADE_LINE);
        irr |= (requested(pic, SLAVE) >= 0) << CASCADE_LINE;
    }
    return irr;
}

/* The position of the first of `lines` in order of priority, 0 being the highest; 8: none. */
static int first_priority(const Chip *chip, u8 lines)
{
    for (int i = 0; i < 8; i++) {
        if (lines & (1 << ((chip->lowest + 1 + i) & 7))) {
            return i;
        }
    }
    return 8;
}

/* The line that a chip asks the CPU to serve, or -1. */
static int requested(const I8259 *pic, int which)
{
    const Chip *chip = &pic->chips[which];
    int wanted = first_priority(chip, requests(pic, which) & ~chip->imr);
    u8 serving = chip->isr;

    if (chip->special_mask) {
        serving &= ~chip->imr;
    }
    /* The slave may interrupt itself with a higher priority, which the master can't see. */
    if (which == MASTER && (chip->icw4 & ICW4_SPECIAL_FULLY_NESTED)) {
        serving &= ~(1 << CASCADE_LINE);
    }
    if (wanted >= 8 || wanted >= first_priority(chip, serving)) {
        return -1;
    }
    return (chip->lowest + 1 + wanted) & 7;
}

static void settle(void *device)
{
    I8259 *pic = device;

    irq_set(&pic->intr, requested(pic, MASTER) >= 0);
}

void i8259_input(void *device, unsigned line, bool level)
{
    I8259 *pic = device;
    Chip *chip = &pic->chips[line >> 3];
    u8 bit = 1 << (line & 7);

    if (level && !(chip->levels & bit)) {
        chip->latch |= bit;
    }
    chip->levels = level ? chip->levels | bit : chip->levels & ~bit;
    settle(pic);
}

/* A chip's part of an acknowledge cycle: the line now served, SPURIOUS_LINE if there is none. */
static int acknowledge(I8259 *pic, int which)
{
    Chip *chip = &pic->chips[which];
    int line = requested(pic, which);

    if (line < 0) {
        return SPURIOUS_LINE;
    }
    chip->latch &= ~(1 << line);
    if (!(chip->icw4 & ICW4_AUTO_EOI)) {
        chip->isr |= 1 << line;
    } else if (chip->rotate_auto) {
        chip->lowest = line;
    }
    return line;
}

u8 i8259_acknowledge(void *device)
{
    I8259 *pic = device;
    bool cascade = requested(pic, MASTER) == CASCADE_LINE;
    int slave_line = cascade ? requested(pic, SLAVE) : -1;
    int line = acknowledge(pic, MASTER);
    u8 vector = pic->chips[MASTER].vector + line;

    if (slave_line >= 0) {
        vector = pic->chips[SLAVE].vector + acknowledge(pic, SLAVE);
    }
    settle(pic);
    return vector;
}

/* -- Commands */

/* A chip returns to the state that ICW1 puts it in. */
static void write_icw1(Chip *chip, u8 value)
{
    *chip = (Chip){
        .levels = chip->levels,
        .elcr = chip->elcr,
        .vector = chip->vector,
        .cascade = chip->cascade,
        .icw1 = value,
        .icw4 = value & ICW1_ICW4 ? chip->icw4 : 0,
        .expected = 2,
        .lowest = 7,
    };
}

static void write_ocw2(Chip *chip, u8 value)
{
    unsigned command = value >> 5;
    u8 line = value & 7;

    if (command == OCW2_ROTATE || command == 0) { /* rotate in automatic EOI mode: set, clear */
        chip->rotate_auto = command != 0;
        return;
    }
    if (command == (OCW2_SPECIFIC | OCW2_ROTATE)) { /* set priority */
        chip->lowest = line;
        return;
    }
    if (command == OCW2_SPECIFIC) { /* no operation */
        return;
    }
    if (!(command & OCW2_SPECIFIC)) {
        u8 served = chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
        int first = first_priority(chip, served);
        if (first >= 8) {
            return;
        }
        line = (chip->lowest + 1 + first) & 7;
    }
    chip->isr &= ~(1 << line);
    if (command & OCW2_ROTATE) {
        chip->lowest = line;
    }
}

static void write_ocw3(Chip *chip, u8 value)
{
    if (value & OCW3_POLL) {
        chip->poll = true;
    }
    if (value & OCW3_READ) {
        chip->read_isr = value & OCW3_READ_ISR;
    }
    if (value & OCW3_SET_SPECIAL_MASK) {
        chip->special_mask = (value & OCW3_SPECIAL_MASK) != 0;
    }
}

/* The odd port: initialisation words in their order, then the mask. */
static void write_odd(Chip *chip, u8 value)
{
    switch (chip->expected) {
    case 2:
        chip->vector = value & 0xf8;
        chip->expected = !(chip->icw1 & ICW1_SINGLE) ? 3 : chip->icw1 & ICW1_ICW4 ? 4 : 0;
        break;
    case 3:
        chip->cascade = value;
        chip->expected = chip->icw1 & ICW1_ICW4 ? 4 : 0;
        break;
    case 4:
        chip->icw4 = value & 0x1f;
        chip->expected = 0;
        break;
    default:
        chip->imr = value;
        break;
    }
}

static void write_chip(I8259 *pic, int which, u64 port, u8 value)
{
    Chip *chip = &pic->chips[which];

    if (port) {
        write_odd(chip, value);
    } else if (value & ICW1) {
        write_icw1(chip, value);
    } else if (value & OCW3) {
        write_ocw3(chip, value);
    } else {
        write_ocw2(chip, value);
    }
    settle(pic);
}

static u8 read_chip(I8259 *pic, int which, u64 port)
{
    Chip *chip = &pic->chips[which];

    if (chip->poll) {
        bool any = requested(pic, which) >= 0;
        int line = acknowledge(pic, which);
        chip->poll = false;
        settle(pic);
        return any ? 0x80 | line : 0;
    }
    return port ? chip->imr : chip->read_isr ? chip->isr : requests(pic, which);
}

static u64 read_master(void *device, u64 port, unsigned size)
{
    (void)size;
    return read_chip(device, MASTER, port);
}

static void write_master(void *device, u64 port, unsigned size, u64 value)
{
    (void)size;
    write_chip(device, MASTER, port, (u8)value);
}

static u64 read_slave(void *device, u64 port, unsigned size)
{
    (void)size;
    return read_chip(device, SLAVE, port);
}

static void write_slave(void *device, u64 port, unsigned size, u64 value)
{
    (void)size;
    write_chip(device, SLAVE, port, (u8)value);
}

static void write_elcr(void *device, u32 which, u64 value)
{
    I8259 *pic = device;

    pic->chips[which].elcr = value & elcr_mask[which];
    settle(pic);
}

static u64 read_elcr(void *device, u32 which)
{
    return ((I8259 *)device)->chips[which].elcr;
}

static int start(void *device, char **error)
{
    (void)error;
    device_map(device, 0, MASTER_PORT);
    device_map(device, 1, SLAVE_PORT);
    device_map(device, 2, ELCR_PORT);
    return 0;
}

static void reset(void *device)
{
    I8259 *pic = device;

    for (int i = 0; i < CHIPS; i++) {
        pic->chips[i].lowest = 7;
    }
}

static const RegionOps master_ops = {read_master, write_master, 1, 1};
static const RegionOps slave_ops = {read_slave, write_slave, 1, 1};

static const Register elcr_registers[] = {
    {.at = 0,
     .name = "ELCR",
     .count = 2,
     .stride = 1,
     .read_at = read_elcr,
     .write_at = write_elcr},
};

static const RegisterBank banks[] = {
    {.name = "i8259-master",
     .size = 2,
     .region = offsetof(I8259, ports[MASTER]),
     .ports = true,
     .width = 1,
     .raw = &master_ops},
    {.name = "i8259-slave",
     .size = 2,
     .region = offsetof(I8259, ports[SLAVE]),
     .ports = true,
     .width = 1,
     .raw = &slave_ops},
    {.name = "i8259-elcr",
     .size = 2,
     .region = offsetof(I8259, elcr_ports),
     .ports = true,
     .width = 1,
     .registers = elcr_registers,
     .count = COUNT(elcr_registers)},
};

static const StateField chip_state[] = {
    STATE(Chip, latch),       STATE(Chip, imr),          STATE(Chip, isr),
    STATE(Chip, elcr),        STATE(Chip, icw1),         STATE(Chip, icw4),
    STATE(Chip, vector),      STATE(Chip, cascade),      STATE(Chip, expected),
    STATE(Chip, lowest),      STATE(Chip, read_isr),     STATE(Chip, poll),
    STATE(Chip, rotate_auto), STATE(Chip, special_mask), STATE_END,
};

static const StateField state[] = {
    STATE_STRUCTS(I8259, chips, chip_state),
    STATE_END,
};

/* The inputs are others' outputs, which a reset of this device does not change. */
static const StateField kept_chip[] = {STATE(Chip, levels), STATE_END};
static const StateField kept[] = {STATE_STRUCTS(I8259, chips, kept_chip), STATE_END};

static const IrqOutput outputs[] = {{"intr", offsetof(I8259, intr), 1}, IRQ_OUTPUT_END};

const DeviceDef device_i8259 = {
    .name = "i8259",
    .summary = "pair of 8259A interrupt controllers",
    .size = sizeof(I8259),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .kept = kept,
    .outputs = outputs,
    .start = start,
    .reset = reset,
    .settle = settle,
};
