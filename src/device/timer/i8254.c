/* "isa-pit": an 8254 interval timer, three counters at 1.193182 MHz, at ports 0x40..0x43.
 * Intel 8254 data sheet (231164-005).
 *
 * Nothing counts: a counter knows the tick at which its count was loaded, and what it shows and
 * drives follows from the present tick. Only for OUT of counter 0 (the interrupt) a timer is set,
 * for its next rising edge; the falling edge before it is made together with it.
 * Ticks are since power-on, exact, so that nothing drifts. */
#include "device/timer/i8254.h"

#include "device/devices.h"

enum { FREQUENCY = 1193182, PORT = 0x40, COUNTERS = 3 };

/* Interrupts that the host was late for are made up for, with this between them so that the guest
 * sees each; unless it was later than BACKLOG. No interrupts come faster than SHORTEST apart: a
 * count of 1 shall not occupy the host. Nanoseconds, and ticks. */
enum { SHORTEST = 20000, CATCH_UP = 100000, BACKLOG = FREQUENCY };

enum Access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum ReadBack { READ_BACK = 3, READ_BACK_NO_STATUS = 0x10, READ_BACK_NO_COUNT = 0x20 };
enum Status { STATUS_NULL_COUNT = 0x40, STATUS_OUT = 0x80 };

typedef enum Progress {
    IDLE,     /* no count since the control word, or waiting for a trigger */
    COUNTING, /* since `start` */
    PAUSED,   /* by GATE, after `start` ticks */
} Progress;

typedef struct Counter {
    u8 mode, bcd, access;
    u8 progress;
    u8 gate;
    u8 written;     /* a count was, since the control word */
    u32 count;      /* that is being counted, 1..0x10000 */
    u32 next_count; /* to be loaded at `next_start`, or at the next trigger; 0: none */
    s64 start;      /* tick, or ticks that have passed */
    s64 next_start; /* tick */
    u8 low;         /* of a count of two bytes */
    u8 write_high;  /* the next byte written is the high one */
    u8 read_high;   /* the next byte read is */
    u8 latched;     /* bytes of `latch` to be read yet */
    u16 latch;
    u8 status_latched, status;
} Counter;

typedef struct I8254 {
    Device device;
    Region ports;
    Counter counters[COUNTERS];
    Timer timer; /* OUT 0 rises, or only changes its period */
    bool rises;  /* which of them */
    s64 rise;    /* the tick for which it is set; both are not saved: they follow */
    Irq irq;
} I8254;

static s64 ticks_now(const I8254 *pit)
{
    return (s64)scale_u64(clock_now(pit->device.board->clock), FREQUENCY, NANOSECONDS);
}

/* The first nanosecond of a tick. */
static u64 time_of(s64 tick)
{
    return (u64)(((u128)tick * NANOSECONDS + FREQUENCY - 1) / FREQUENCY);
}

/* -- What a counter does at a tick */

static bool is_periodic(const Counter *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5: a rising GATE starts them. */
static bool is_triggered(const Counter *c)
{
    return c->mode == 1 || c->mode == 5;
}

/* Ticks since the count was loaded. */
static s64 elapsed(const Counter *c, s64 tick)
{
    return c->progress == PAUSED ? c->start : MAX(tick - c->start, (s64)0);
}

/* How long OUT is high in mode 3. */
static u32 high_part(u32 count)
{
    return (count + 1) / 2;
}

/* Loads a count that was written during an earlier period. */
static void catch_up(Counter *c, s64 tick)
{
    if (c->progress == COUNTING && c->next_count && is_periodic(c) && tick >= c->next_start) {
        bool falls = c->mode == 3 && (c->next_start - c->start) % c->count;
        c->start = c->next_start - (falls ? high_part(c->next_count) : 0);
        c->count = c->next_count;
        c->next_count = 0;
    }
}

static bool output(const Counter *c, s64 tick)
{
    s64 passed = elapsed(c, tick);

    if (c->progress == IDLE) {
        return c->mode != 0;
    }
    switch (c->mode) {
    case 0:
    case 1:
        return passed >= c->count;
    case 2:
        return c->progress == PAUSED || passed % c->count != c->count - 1;
    case 3:
        return c->progress == PAUSED || passed % c->count < high_part(c->count);
    default:
        return passed != c->count;
    }
}

/* The counting element as the CPU reads it. */
static u16 current_count(const Counter *c, s64 tick)
{
    u32 modulus = c->bcd ? 10000 : 0x10000;
    s64 passed = c->progress == IDLE ? 0 : elapsed(c, tick);
    u32 left;

    if (c->mode == 2) {
        left = c->count - passed % c->count;
    } else if (c->mode == 3) { /* goes down by two, twice a period */
        u32 part = passed % c->count, high = high_part(c->count);
        left = (c->count & ~1u) - 2 * (part < high ? part : part - high);
    } else {
        left = (u32)((c->count + modulus - passed % modulus) % modulus);
    }
    left %= modulus;
    if (c->bcd) {
        left = left / 1000 << 12 | left / 100 % 10 << 8 | left / 10 % 10 << 4 | left % 10;
    }
    return (u16)left;
}

/* The first tick after `tick` at which OUT rises, or -1. */
static s64 next_rise(const Counter *c, s64 tick)
{
    s64 rise = c->start + c->count + (c->mode >= 4);

    if (c->progress != COUNTING) {
        return -1;
    }
    if (is_periodic(c)) {
        if (c->next_count && tick >= c->next_start) { /* not reached: see catch_up() */
            return c->next_start + c->next_count;
        }
        return c->start + (elapsed(c, tick) / c->count + 1) * c->count;
    }
    return rise > tick ? rise : -1;
}

/* -- The interrupt */

/* Sets the timer for what comes after a tick, but not before a time. */
static void schedule(I8254 *pit, s64 after, u64 earliest)
{
    Counter *c = &pit->counters[0];
    s64 rise = next_rise(c, after);

    /* A count that waits for the end of the period changes what comes after that. */
    pit->rises = !(rise >= 0 && c->next_count && is_periodic(c) && rise > c->next_start);
    if (!pit->rises) {
        rise = c->next_start;
    }
    pit->rise = rise;
    if (rise >= 0) {
        timer_set(&pit->timer, MAX(time_of(rise), earliest));
    } else {
        timer_cancel(&pit->timer);
    }
}

/* Brings loaded state into the bounds that arithmetic needs. */
static void bound(Counter *c, s64 tick)
{
    c->mode %= 6;
    c->count = c->count >= 1 && c->count <= 0x10000 ? c->count : 0x10000;
    c->next_count = MIN(c->next_count, 0x10000u);
    c->start = MIN(MAX(c->start, (s64)-0x20000), tick + 1);
    c->next_start = MIN(MAX(c->next_start, (s64)0), tick + 0x20000);
}

static void update_irq(I8254 *pit, s64 tick)
{
    catch_up(&pit->counters[0], tick);
    irq_set(&pit->irq, output(&pit->counters[0], tick));
    schedule(pit, tick, 0);
}

static void settle(void *device)
{
    I8254 *pit = device;
    s64 tick = ticks_now(pit);

    for (int i = 0; i < COUNTERS; i++) {
        bound(&pit->counters[i], tick);
    }
    update_irq(pit, tick);
}
static void fire(void *device)
{
    I8254 *pit = device;
    Counter *c = &pit->counters[0];
    s64 tick = ticks_now(pit), last = tick - pit->rise > BACKLOG ? tick : pit->rise;
    u64 pause = MIN(time_of(c->count) / 2, (u64)CATCH_UP);

    catch_up(c, last);
    if (pit->rises) {
        irq_set(&pit->irq, false);
    }
    irq_set(&pit->irq, pit->rises || output(c, last));
    schedule(pit, last, clock_now(pit->device.board->clock) + MAX(pause, (u64)SHORTEST));
}

/* -- Counts and control words */

/* Starts with a new count. */
static void load(Counter *c, u32 count, s64 tick)
{
    c->count = count;
    c->next_count = 0;
    if (c->gate) {
        c->progress = COUNTING;
        c->start = tick + 1;
    } else {
        c->progress = PAUSED;
        c->start = 0;
    }
}

static void write_count(Counter *c, u16 value, s64 tick)
{
    u32 count = value;

    if (c->bcd) {
        count =
            (value >> 12) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
    }
    count = count ? count : c->bcd ? 10000 : 0x10000;
    catch_up(c, tick);
    if (is_triggered(c)) {
        c->next_count = count;
    } else if (is_periodic(c) && c->progress == COUNTING) {
        s64 passed = elapsed(c, tick), part = passed % c->count;
        bool high = c->mode == 3 && part < high_part(c->count);
        c->next_count = count;
        c->next_start = c->start + passed - part + (high ? high_part(c->count) : c->count);
    } else {
        load(c, count, tick);
    }
    c->written = true;
}

static void write_counter(Counter *c, u8 value, s64 tick)
{
    if (c->access == ACCESS_LOW) {
        write_count(c, value, tick);
    } else if (c->access == ACCESS_HIGH) {
        write_count(c, (u16)(value << 8), tick);
    } else if (c->write_high) {
        c->write_high = false;
        write_count(c, (u16)(value << 8 | c->low), tick);
    } else {
        c->low = value;
        c->write_high = true;
        if (c->mode == 0) { /* the first byte stops counting */
            c->progress = IDLE;
        }
    }
}

static void latch_count(Counter *c, s64 tick)
{
    if (!c->latched) {
        c->latch = current_count(c, tick);
        c->latched = c->access == ACCESS_BOTH ? 2 : 1;
    }
}

static void latch_status(Counter *c, s64 tick)
{
    bool null_count = !c->written || c->next_count || (c->progress == COUNTING && tick < c->start);

    if (!c->status_latched) {
        c->status = (u8)(c->bcd | c->mode << 1 | c->access << 4);
        c->status |= output(c, tick) ? STATUS_OUT : 0;
        c->status |= null_count ? STATUS_NULL_COUNT : 0;
        c->status_latched = true;
    }
}

/* Only a new mode can change OUT. */
static void write_control(I8254 *pit, u8 value, s64 tick)
{
    unsigned select = value >> 6, access = value >> 4 & 3, mode = value >> 1 & 7;

    if (select == READ_BACK) {
        for (unsigned i = 0; i < COUNTERS; i++) {
            Counter *c = &pit->counters[i];
            catch_up(c, tick);
            if (value & 2 << i && !(value & READ_BACK_NO_COUNT)) {
                latch_count(c, tick);
            }
            if (value & 2 << i && !(value & READ_BACK_NO_STATUS)) {
                latch_status(c, tick);
            }
        }
        return;
    }
    Counter *c = &pit->counters[select];
    catch_up(c, tick);
    if (access == ACCESS_LATCH) {
        latch_count(c, tick);
        return;
    }
    *c = (Counter){
        .mode = mode > 5 ? mode - 4 : mode,
        .bcd = value & 1,
        .access = access,
        .gate = c->gate,
        .count = c->count,
    };
    if (select == 0) {
        update_irq(pit, tick);
    }
}

static u8 read_counter(Counter *c, s64 tick)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    u16 value = c->latched ? c->latch : current_count(c, tick);
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
    if (c->access == ACCESS_BOTH) {
        c->read_high = !c->read_high;
    }
    c->latched -= c->latched != 0;
    return (u8)(high ? value >> 8 : value);
}

static u64 read_port(void *device, u64 port, unsigned size)
{
    I8254 *pit = device;
    s64 tick = ticks_now(pit);

    (void)size;
    if (port >= COUNTERS) {
        return 0xff;
    }
    catch_up(&pit->counters[port], tick);
    return read_counter(&pit->counters[port], tick);
}

static void write_port(void *device, u64 port, unsigned size, u64 value)
{
    I8254 *pit = device;
    s64 tick = ticks_now(pit);

    (void)size;
    if (port < COUNTERS) {
        write_counter(&pit->counters[port], (u8)value, tick);
    } else {
        write_control(pit, (u8)value, tick);
    }
    if (port == 0) {
        update_irq(pit, tick);
    }
}

/* -- For the speaker */

void i8254_set_gate(void *device, bool level)
{
    I8254 *pit = device;
    Counter *c = &pit->counters[2];
    s64 tick = ticks_now(pit);
    u32 count = c->next_count ? c->next_count : c->count;

    catch_up(c, tick);
    if (level == c->gate) {
        return;
    }
    c->gate = level;
    if (is_triggered(c)) {
        if (level && c->written) {
            load(c, count, tick);
        }
    } else if (!level && c->progress == COUNTING) {
        c->start = elapsed(c, tick);
        c->progress = PAUSED;
    } else if (level && c->progress == PAUSED) {
        s64 passed = c->start;
        load(c, is_periodic(c) ? count : c->count, tick);
        c->start -= is_periodic(c) ? 0 : passed;
    }
}

bool i8254_output(void *device, unsigned counter)
{
    I8254 *pit = device;
    s64 tick = ticks_now(pit);

    catch_up(&pit->counters[counter], tick);
    return output(&pit->counters[counter], tick);
}

u32 i8254_tone(void *device)
{
    const Counter *c = &((I8254 *)device)->counters[2];

    return c->mode == 3 && c->progress == COUNTING ? FREQUENCY / c->count : 0;
}

/* -- The device */

static int start(void *device, char **error)
{
    I8254 *pit = device;

    (void)error;
    timer_init(&pit->timer, pit->device.board->clock, fire, pit);
    device_map(pit, 0, PORT);
    return 0;
}

static void stop(void *device)
{
    timer_cancel(&((I8254 *)device)->timer);
}

static void reset(void *device)
{
    I8254 *pit = device;

    for (int i = 0; i < COUNTERS; i++) {
        pit->counters[i] = (Counter){
            .mode = 3,
            .access = ACCESS_BOTH,
            .gate = i != 2,
            .count = 0x10000,
        };
    }
}

static const RegionOps ops = {read_port, write_port, 1, 1};

static const RegisterBank banks[] = {
    {.name = "pit",
     .size = 4,
     .region = offsetof(I8254, ports),
     .ports = true,
     .width = 1,
     .raw = &ops},
};

static const StateField counter_state[] = {
    STATE(Counter, mode),
    STATE(Counter, bcd),
    STATE(Counter, access),
    STATE(Counter, progress),
    STATE(Counter, gate),
    STATE(Counter, written),
    STATE(Counter, count),
    STATE(Counter, next_count),
    STATE(Counter, start),
    STATE(Counter, next_start),
    STATE(Counter, low),
    STATE(Counter, write_high),
    STATE(Counter, read_high),
    STATE(Counter, latched),
    STATE(Counter, latch),
    STATE(Counter, status),
    STATE(Counter, status_latched),
    STATE_END,
};

static const StateField state[] = {
    STATE_STRUCTS(I8254, counters, counter_state),
    STATE_END,
};

static const IrqOutput outputs[] = {{"irq", offsetof(I8254, irq), 1}, IRQ_OUTPUT_END};

const DeviceDef device_isa_pit = {
    .name = "isa-pit",
    .summary = "8254 interval timer",
    .size = sizeof(I8254),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
