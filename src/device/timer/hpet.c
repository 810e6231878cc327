/* "hpet": a high precision event timer with three comparators at 100 MHz. Intel, "IA-PC HPET
 * specification" 1.0a; numbers of sections are its.
 *
 * Outputs: "irq" are the inputs of the I/O APIC by number; "legacy" replace those of the interval
 * timer and the real-time clock when the guest wants that. Property "bus" is the ApicBus for
 * interrupts by message. Mapped by the board (bank 0), usually at 0xfed00000.
 *
 * The counter is the machine's clock; a comparator sets a timer for when the counter reaches it. A
 * comparator written with a value that has just passed fires at once, for the guest could not know
 * how fast time passes here. */
#include "device/timer/hpet.h"

#include "device/devices.h"
#include "device/interrupt/apic_bus.h"

enum { TIMERS = 3, LEGACY = 2, INPUTS = 32, SIZE = 0x400, TICK = 10 /* nanoseconds */ };
/* Periodic interrupts that the host was late for are made up for, with CATCH_UP between them so
 * that the guest sees each; unless it was later than BACKLOG. None come faster than SHORTEST apart.
 * Nanoseconds. */
enum { SHORTEST = 20000, CATCH_UP = 100000, BACKLOG = NANOSECONDS };

/* Revision 1, three 64-bit timers, legacy replacement, Intel, 10^7 femtoseconds a tick. */
#define CAPABILITIES 0x009896808086a201ull

enum Config { ENABLE = 0x1, REPLACE_LEGACY = 0x2 };
enum TimerConfig {
    LEVEL = 0x2,
    INTERRUPT = 0x4,
    PERIODIC = 0x8,
    SET_VALUE = 0x40,
    NARROW = 0x100, /* 32 bits */
    ROUTE_SHIFT = 9,
    MESSAGE = 0x4000,
    TIMER_WRITABLE = 0x7f4e,
    TIMER_CAN = 0x8030, /* messages, 64 bits, periodic */
};

typedef struct Hpet Hpet;

typedef struct Comparator {
    Hpet *hpet;
    u32 index;
    Timer timer;
} Comparator;

struct Hpet {
    Device device;
    Region registers;
    ApicBus *bus;
    u32 intcap;
    u64 config, status;
    u64 counter; /* when it stands; when it runs, at `started` */
    u64 started;
    u64 timer_config[TIMERS], comparator[TIMERS], period[TIMERS], message[TIMERS];
    u8 armed[TIMERS]; /* the comparator has not been reached yet */
    u8 inputs;        /* levels */
    Comparator comparators[TIMERS];
    Irq irq[INPUTS], legacy[LEGACY];
};

static u64 now(const Hpet *h)
{
    return clock_now(h->device.board->clock);
}

static u64 counter(const Hpet *h)
{
    return h->counter + (h->config & ENABLE ? (now(h) - h->started) / TICK : 0);
}

static u64 width_mask(const Hpet *h, u32 i)
{
    return h->timer_config[i] & NARROW ? 0xffffffff : ~(u64)0;
}

/* -- Interrupts (2.3.8, 2.3.9.2) */

static const Irq *output_of(const Hpet *h, u32 i)
{
    if (h->config & REPLACE_LEGACY && i < LEGACY) {
        return &h->legacy[i];
    }
    return &h->irq[h->timer_config[i] >> ROUTE_SHIFT & 31];
}

/* Lines of level-triggered timers follow their status. */
static void update_lines(const Hpet *h)
{
    for (u32 i = 0; i < TIMERS; i++) {
        u64 config = h->timer_config[i];
        if (config & LEVEL && !(config & MESSAGE)) {
            irq_set(output_of(h, i), config & INTERRUPT && h->status & 1ull << i);
        }
    }
    for (u32 i = 0; i < LEGACY && !(h->config & REPLACE_LEGACY); i++) {
        irq_set(&h->legacy[i], h->inputs & 1 << i);
    }
}

static void interrupt(Hpet *h, u32 i)
{
    u64 config = h->timer_config[i];

    if (config & LEVEL) {
        h->status |= 1ull << i;
    }
    if (!(config & INTERRUPT)) {
        return;
    }
    if (config & MESSAGE) {
        if (h->bus) {
            apic_bus_send_msi(h->bus, h->message[i] >> 32, (u32)h->message[i]);
        }
    } else if (config & LEVEL) {
        update_lines(h);
    } else {
        irq_pulse(output_of(h, i));
    }
}

void hpet_input(void *device, unsigned line, bool level)
{
    Hpet *h = device;

    h->inputs = (u8)(level ? h->inputs | 1 << line : h->inputs & ~(1 << line));
    if (!(h->config & REPLACE_LEGACY)) {
        irq_set(&h->legacy[line], level);
    }
}

/* -- Comparators */

/* The value after the counter's of a periodic comparator; of others theirs. */
static u64 next_value(const Hpet *h, u32 i)
{
    u64 mask = width_mask(h, i), passed = (counter(h) - h->comparator[i]) & mask;
    u64 value = h->comparator[i];

    if (h->timer_config[i] & PERIODIC && h->period[i] && passed <= mask / 2) {
        value += (passed / h->period[i] + 1) * h->period[i];
    }
    return value & mask;
}

/* Sets or cancels a comparator's timer. late: what has just passed fires at once. */
static void schedule(Hpet *h, u32 i, bool late)
{
    u64 mask = width_mask(h, i), left = (h->comparator[i] - counter(h)) & mask;
    Timer *timer = &h->comparators[i].timer;

    timer_cancel(timer);
    if (!(h->config & ENABLE) || !(h->timer_config[i] & INTERRUPT) || !h->armed[i]) {
        return;
    }
    if (left > mask / 2 && late) {
        left = 0;
    }
    if (left <= UINT64_MAX / 4 / TICK) {
        timer_set(timer, now(h) + left * TICK);
    }
}

static void fire_periodic(Hpet *h, u32 i)
{
    Timer *timer = &h->comparators[i].timer;
    u64 mask = width_mask(h, i), late = (counter(h) - h->comparator[i]) & mask;
    u64 pause = MIN(h->period[i], (u64)CATCH_UP / TICK) * TICK / 2;

    if (late > BACKLOG / TICK) {
        h->comparator[i] = next_value(h, i);
    } else {
        h->comparator[i] = (h->comparator[i] + h->period[i]) & mask;
    }
    schedule(h, i, true);
    if (timer_is_set(timer)) {
        timer_set(timer, MAX(timer->due, now(h) + MAX(pause, (u64)SHORTEST)));
    }
}

static void fire(void *opaque)
{
    Comparator *c = opaque;
    Hpet *h = c->hpet;

    if (h->timer_config[c->index] & PERIODIC && h->period[c->index]) {
        fire_periodic(h, c->index);
    } else {
        h->armed[c->index] = false;
    }
    interrupt(h, c->index);
}

static void schedule_all(Hpet *h)
{
    for (u32 i = 0; i < TIMERS; i++) {
        h->comparator[i] = next_value(h, i);
        schedule(h, i, false);
    }
}

/* -- Registers (2.3) */

static u64 read_capabilities(void *device)
{
    (void)device;
    return CAPABILITIES;
}

static void write_config(void *device, u64 value)
{
    Hpet *h = device;
    bool was = h->config & ENABLE, on = value & ENABLE;
    bool replaced = h->config & REPLACE_LEGACY;

    for (u32 i = 0; i < LEGACY && (value ^ h->config) & REPLACE_LEGACY; i++) {
        irq_set(output_of(h, i), false); /* which may be another now */
    }
    if (was && !on) {
        h->counter = counter(h);
    } else if (!was && on) {
        h->started = now(h);
    }
    h->config = value & (ENABLE | REPLACE_LEGACY);
    for (u32 i = 0; i < LEGACY && !replaced && value & REPLACE_LEGACY; i++) {
        irq_set(&h->legacy[i], false);
    }
    schedule_all(h);
    update_lines(h);
}

static void write_status(void *device, u64 value)
{
    (void)value;
    update_lines(device);
}

static u64 read_counter(void *device)
{
    return counter(device);
}

/* Writing while it runs is not allowed, but has this effect. */
static void write_counter(void *device, u64 value)
{
    Hpet *h = device;

    h->counter = value;
    h->started = now(h);
    schedule_all(h);
}

static u64 read_timer_config(void *device, u32 i)
{
    const Hpet *h = device;

    return h->timer_config[i] | TIMER_CAN | (u64)h->intcap << 32;
}

static void write_timer_config(void *device, u32 i, u64 value)
{
    Hpet *h = device;
    const Irq *before = output_of(h, i);

    if (h->timer_config[i] & LEVEL) {
        irq_set(before, false);
    }
    h->timer_config[i] = value & TIMER_WRITABLE;
    h->comparator[i] &= width_mask(h, i);
    if (!(value & LEVEL)) {
        h->status &= ~(1ull << i);
    }
    h->comparator[i] = next_value(h, i);
    schedule(h, i, false);
    update_lines(h);
}

static u64 read_comparator(void *device, u32 i)
{
    const Hpet *h = device;

    return h->config & ENABLE && h->armed[i] ? next_value(h, i) : h->comparator[i];
}

/* In periodic mode a value is the period, and with SET_VALUE also the next value (2.3.9.2.2). */
static void write_comparator(void *device, u32 i, u64 value)
{
    Hpet *h = device;
    bool periodic = h->timer_config[i] & PERIODIC;

    value &= width_mask(h, i);
    if (!periodic || h->timer_config[i] & SET_VALUE) {
        h->comparator[i] = value;
    }
    if (periodic) {
        h->period[i] = value;
    }
    h->timer_config[i] &= ~(u64)SET_VALUE;
    h->armed[i] = true;
    schedule(h, i, !periodic);
}

/* -- The device */

static int start(void *device, char **error)
{
    Hpet *h = device;

    (void)error;
    for (u32 i = 0; i < TIMERS; i++) {
        Comparator *c = &h->comparators[i];
        c->hpet = h;
        c->index = i;
        timer_init(&c->timer, h->device.board->clock, fire, c);
    }
    return 0;
}

static void stop(void *device)
{
    Hpet *h = device;

    for (u32 i = 0; i < TIMERS; i++) {
        timer_cancel(&h->comparators[i].timer);
    }
}

/* What has passed meanwhile fires at once. */
static void settle(void *device)
{
    Hpet *h = device;

    h->started = MIN(h->started, now(h));
    for (u32 i = 0; i < TIMERS; i++) {
        h->comparator[i] &= width_mask(h, i);
        schedule(h, i, true);
    }
    update_lines(h);
}

static const Register registers[] = {
    REG(0x000, "GCAP_ID", REG_NONE, 0, 0, read_capabilities, NULL),
    REG(0x010, "GEN_CONF", REG_FIELD(Hpet, config), 0, 0, NULL, write_config),
    {.at = 0x020,
     .name = "GINTR_STA",
     REG_FIELD(Hpet, status),
     .clear = (1 << TIMERS) - 1,
     .write = write_status},
    REG(0x0f0, "MAIN_CNT", REG_FIELD(Hpet, counter), 0, 0, read_counter, write_counter),
    {.at = 0x100,
     .name = "TIM_CONF",
     REG_FIELD(Hpet, timer_config[0]),
     .count = TIMERS,
     .stride = 0x20,
     .read_at = read_timer_config,
     .write_at = write_timer_config},
    {.at = 0x108,
     .name = "TIM_COMP",
     REG_FIELD(Hpet, comparator[0]),
     .reset = ~0ull,
     .count = TIMERS,
     .stride = 0x20,
     .read_at = read_comparator,
     .write_at = write_comparator},
    {.at = 0x110,
     .name = "TIM_FSB",
     REG_FIELD(Hpet, message[0]),
     .mask = ~0ull,
     .count = TIMERS,
     .stride = 0x20},
};

static const RegisterBank banks[] = {
    {.name = "hpet",
     .size = SIZE,
     .region = offsetof(Hpet, registers),
     .width = 8,
     .registers = registers,
     .count = COUNT(registers)},
};

static const StateField state[] = {
    STATE(Hpet, started),
    STATE_ARRAY(Hpet, period),
    STATE_ARRAY(Hpet, armed),
    STATE_END,
};

/* The inputs are others' outputs, which a reset of this device does not change. */
static const StateField kept[] = {STATE(Hpet, inputs), STATE_END};

static const Property properties[] = {
    {"intcap", PROPERTY_U32, offsetof(Hpet, intcap), "bits: inputs that timers may be routed to",
     "0x4"},
    {"bus", PROPERTY_BACKEND, offsetof(Hpet, bus), "where messages go", NULL, "apic-bus"},
    PROPERTY_END,
};

static const IrqOutput outputs[] = {
    {"irq", offsetof(Hpet, irq), INPUTS},
    {"legacy", offsetof(Hpet, legacy), LEGACY},
    IRQ_OUTPUT_END,
};

const DeviceDef device_hpet = {
    .name = "hpet",
    .summary = "high precision event timer",
    .size = sizeof(Hpet),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .kept = kept,
    .properties = properties,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .settle = settle,
};
