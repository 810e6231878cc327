/* "apic": the local APIC of an x86 CPU, xAPIC and x2APIC. Intel SDM volume 3, chapter 11; numbers
 * of sections are that chapter's.
 *
 * Registers are numbered as x2APIC's MSRs are from 0x800, which is their offset in the xAPIC's page
 * divided by 16. The timer counts nanoseconds, divided. Property "bus" is the ApicBus, "id" the
 * APIC id, "bsp" makes it the boot processor's: after a reset it lets the 8259s' interrupts
 * through, as firmware would set it up. */
#include "device/interrupt/lapic.h"

#include <errno.h>

#include "device/devices.h"

enum Number {
    ID = 0x02,
    VERSION = 0x03,
    TPR = 0x08,
    APR = 0x09,
    PPR = 0x0a,
    EOI = 0x0b,
    REMOTE_READ = 0x0c,
    LDR = 0x0d,
    DFR = 0x0e,
    SVR = 0x0f,
    ISR = 0x10,
    TMR = 0x18,
    IRR = 0x20,
    ESR = 0x28,
    ICR = 0x30,
    ICR_HIGH = 0x31,
    LVT = 0x32,
    INITIAL_COUNT = 0x38,
    CURRENT_COUNT = 0x39,
    DIVIDE = 0x3e,
    SELF_IPI = 0x3f,
    NUMBERS = 0x40,
};

enum Lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };
enum LvtBits {
    LVT_VECTOR = 0xff,
    LVT_MODE = 0x700,
    LVT_PENDING = 1 << 12,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASKED = 1 << 16,
    LVT_TIMER_MODE = 3 << 17,
    TIMER_PERIODIC = 1 << 17,
    TIMER_DEADLINE = 2 << 17,
};

static const u32 lvt_writable[LVTS] = {
    [LVT_TIMER] = LVT_TIMER_MODE | LVT_MASKED | LVT_VECTOR,
    [LVT_THERMAL] = LVT_MASKED | LVT_MODE | LVT_VECTOR,
    [LVT_PERFORMANCE] = LVT_MASKED | LVT_MODE | LVT_VECTOR,
    [LVT_LINT0] = LVT_MASKED | LVT_LEVEL | 1 << 13 | LVT_MODE | LVT_VECTOR,
    [LVT_LINT1] = LVT_MASKED | LVT_LEVEL | 1 << 13 | LVT_MODE | LVT_VECTOR,
    [LVT_ERROR] = LVT_MASKED | LVT_VECTOR,
};

enum { VERSION_VALUE = (LVTS - 1) << 16 | 0x14 };
enum Svr { SVR_ENABLE = 1 << 8, SVR_WRITABLE = 0x3ff };
enum Esr { ESR_SEND_VECTOR = 1 << 5, ESR_RECEIVE_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7 };

enum IcrBits {
    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_LEVEL = 1 << 15,
    ICR_SHORTHAND = 3 << 18,
    ICR_WRITABLE = 0x000ccfff,
};
enum Shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

enum Msr { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };
#define BASE_BSP (1ull << 8)
#define BASE_X2APIC (1ull << 10)
#define BASE_ENABLE (1ull << 11)
#define BASE_ADDRESS 0x000ffffffffff000ull
#define DEFAULT_ADDRESS 0xfee00000ull

/* Interrupts of the timer that the host was late for are made up for, with CATCH_UP between them so
 * that the guest sees each; unless it was later than BACKLOG. None come faster than SHORTEST apart.
 * Nanoseconds. */
enum { SHORTEST = 20000, CATCH_UP = 100000, BACKLOG = NANOSECONDS };
enum { LOWEST_VECTOR = 16 };

typedef struct Lapic {
    Device device;
    ApicBus *bus;
    u32 id;
    bool bsp;
    LapicCpu cpu;
    u64 base; /* IA32_APIC_BASE */
    u32 tpr, logical, format, spurious;
    u32 isr[8], tmr[8], irr[8];
    u32 errors, new_errors; /* ESR, and what comes into it at the next write */
    u32 command, command_high;
    u32 lvt[LVTS];
    u32 initial_count, divide;
    u64 started;   /* when the timer began to count */
    u64 deadline;  /* of the TSC; 0: none */
    u64 expected;  /* for when `timer` is set, but for delays; not saved: it follows */
    u8 external;   /* a message asked for the 8259s' vector */
    u8 inputs;     /* levels of LINT0 and LINT1 */
    bool asserted; /* INTR; not saved: it follows */
    Timer timer;
} Lapic;

static bool is_x2apic(const Lapic *a)
{
    return a->base & BASE_X2APIC;
}

bool lapic_is_enabled(const void *device)
{
    const Lapic *a = device;

    return a->base & BASE_ENABLE && a->spurious & SVR_ENABLE;
}

/* -- Vectors (11.8.3, 11.8.4) */

static void set_vector(u32 *bits, u8 vector, bool on)
{
    u32 bit = 1u << vector % 32;

    bits[vector / 32] = on ? bits[vector / 32] | bit : bits[vector / 32] & ~bit;
}

static bool has_vector(const u32 *bits, u8 vector)
{
    return bits[vector / 32] & 1u << vector % 32;
}

/* The highest, or -1. */
static int highest(const u32 *bits)
{
    for (int i = 7; i >= 0; i--) {
        if (bits[i]) {
            return 32 * i + 31 - __builtin_clz(bits[i]);
        }
    }
    return -1;
}

static u8 processor_priority(const Lapic *a)
{
    int serving = highest(a->isr);
    u32 served = serving < 0 ? 0 : (u32)serving;

    return (u8)(a->tpr >> 4 >= served >> 4 ? a->tpr : served & 0xf0);
}

u8 lapic_busyness(const void *device)
{
    const Lapic *a = device;
    u32 waiting = (u32)MAX(highest(a->irr), 0);

    return (u8)MAX(processor_priority(a), waiting & 0xf0);
}

/* The vector that the CPU is to get now, or -1. */
static int wanted_vector(const Lapic *a)
{
    int vector = lapic_is_enabled(a) ? highest(a->irr) : -1;

    return vector >= 0 && vector >> 4 > processor_priority(a) >> 4 ? vector : -1;
}

/* Whether the 8259s may interrupt, and do. */
static bool wants_external(const Lapic *a)
{
    u32 lvt = a->lvt[LVT_LINT0];

    if (!(a->base & BASE_ENABLE)) {
        return a->inputs & 1; /* the pin is INTR then (11.4.3) */
    }
    return a->external ||
           (a->inputs & 1 && !(lvt & LVT_MASKED) && (lvt & LVT_MODE) >> 8 == DELIVER_EXTERNAL);
}

/* The CPU's part, if there is a CPU. */
static void tell(const Lapic *a, void (*function)(void *opaque))
{
    if (function) {
        function(a->cpu.opaque);
    }
}

static void update(Lapic *a)
{
    bool asserted = wanted_vector(a) >= 0 || wants_external(a);

    if (asserted != a->asserted) {
        a->asserted = asserted;
        if (a->cpu.interrupt) {
            a->cpu.interrupt(a->cpu.opaque, asserted);
        }
    }
}

int lapic_acknowledge(void *device)
{
    Lapic *a = device;
    int vector = wanted_vector(a);

    if (vector >= 0) {
        set_vector(a->irr, (u8)vector, false);
        set_vector(a->isr, (u8)vector, true);
    } else if (wants_external(a)) {
        a->external = false;
        vector = LAPIC_EXTERNAL;
    }
    update(a);
    return vector;
}

static void note_error(Lapic *a, u32 error);

/* Takes an interrupt, whose vector must be 16 or more. */
static void accept(Lapic *a, u8 vector, bool level)
{
    if (vector < LOWEST_VECTOR) {
        note_error(a, ESR_RECEIVE_VECTOR);
        return;
    }
    set_vector(a->irr, vector, true);
    set_vector(a->tmr, vector, level);
    update(a);
}

/* -- The local vector table (11.5.1) */

static void deliver_local(Lapic *a, enum Lvt which)
{
    u32 lvt = a->lvt[which];

    if (lvt & LVT_MASKED) {
        return;
    }
    switch ((lvt & LVT_MODE) >> 8) {
    case DELIVER_FIXED:
        if (lvt & LVT_LEVEL) {
            a->lvt[which] |= LVT_REMOTE_IRR;
        }
        accept(a, lvt & LVT_VECTOR, lvt & LVT_LEVEL);
        break;
    case DELIVER_SMI:
        tell(a, a->cpu.smi);
        break;
    case DELIVER_NMI:
        tell(a, a->cpu.nmi);
        break;
    case DELIVER_INIT:
        tell(a, a->cpu.init);
        break;
    default: /* external: see wants_external() */
        break;
    }
}

static void note_error(Lapic *a, u32 error)
{
    bool news = !(a->new_errors & error);

    a->new_errors |= error;
    if (news) {
        deliver_local(a, LVT_ERROR);
    }
}

void lapic_input(void *device, unsigned line, bool level)
{
    Lapic *a = device;
    bool rises = level && !(a->inputs & 1 << line);
    enum Lvt which = line ? LVT_LINT1 : LVT_LINT0;
    u32 lvt = a->lvt[which];

    a->inputs = (u8)(level ? a->inputs | 1 << line : a->inputs & ~(1 << line));
    if (!(a->base & BASE_ENABLE)) {
        if (rises && line) {
            tell(a, a->cpu.nmi);
        }
    } else if (rises && !(lvt & LVT_REMOTE_IRR)) {
        deliver_local(a, which);
    }
    update(a);
}

/* -- The timer (11.5.4) */

/* What the clock is divided by. */
static u64 divisor(const Lapic *a)
{
    unsigned code = (a->divide & 3) | (a->divide >> 1 & 4);

    return code == 7 ? 1 : 2u << code;
}

static bool is_deadline_mode(const Lapic *a)
{
    return (a->lvt[LVT_TIMER] & LVT_TIMER_MODE) == TIMER_DEADLINE;
}

static u64 now(const Lapic *a)
{
    return clock_now(a->device.board->clock);
}

/* Nanoseconds that the count takes. */
static u64 timer_length(const Lapic *a)
{
    return a->initial_count * divisor(a);
}

static u32 current_count(const Lapic *a)
{
    u64 passed = (now(a) - a->started) / divisor(a);

    if (is_deadline_mode(a) || !a->initial_count) {
        return 0;
    }
    if (a->lvt[LVT_TIMER] & TIMER_PERIODIC) {
        return (u32)(a->initial_count - passed % a->initial_count);
    }
    return passed >= a->initial_count ? 0 : (u32)(a->initial_count - passed);
}

/* Sets the host's timer for the next time after `after`. */
static void schedule(Lapic *a, u64 after)
{
    u64 length = timer_length(a);

    timer_cancel(&a->timer);
    if (is_deadline_mode(a)) {
        if (!a->deadline || !a->cpu.tsc_time) {
            return;
        }
        a->expected = a->cpu.tsc_time(a->cpu.opaque, a->deadline);
    } else if (length && a->lvt[LVT_TIMER] & TIMER_PERIODIC) {
        a->expected = a->started + ((after - a->started) / length + 1) * length;
    } else if (length && after - a->started < length) {
        a->expected = a->started + length;
    } else {
        return;
    }
    timer_set(&a->timer, a->expected);
}

static void fire(void *opaque)
{
    Lapic *a = opaque;
    u64 time = now(a), length = timer_length(a), pause = MIN(length / 2, (u64)CATCH_UP);

    if (is_deadline_mode(a)) {
        a->deadline = 0;
    } else if (a->lvt[LVT_TIMER] & TIMER_PERIODIC) {
        schedule(a, time - a->expected > BACKLOG ? time : a->expected);
        timer_set(&a->timer, MAX(a->expected, time + MAX(pause, (u64)SHORTEST)));
    }
    deliver_local(a, LVT_TIMER);
}

static void write_initial_count(Lapic *a, u32 value)
{
    if (!is_deadline_mode(a)) {
        a->initial_count = value;
        a->started = now(a);
        schedule(a, a->started);
    }
}

/* The count goes on from where it is at the new speed. */
static void write_divide(Lapic *a, u32 value)
{
    u64 passed = a->initial_count - current_count(a);

    a->divide = value & 0xb;
    a->started = now(a) - passed * divisor(a);
    schedule(a, now(a));
}

static void write_lvt(Lapic *a, unsigned which, u32 value)
{
    u32 old = a->lvt[which];

    value &= lvt_writable[which];
    if (!(a->spurious & SVR_ENABLE)) {
        value |= LVT_MASKED;
    }
    a->lvt[which] = value | (value & LVT_LEVEL ? old & LVT_REMOTE_IRR : 0);
    if (which == LVT_TIMER && (old ^ value) & LVT_TIMER_MODE) {
        if ((old ^ value) & TIMER_DEADLINE) { /* to or from: disarms */
            a->initial_count = 0;
            a->deadline = 0;
        }
        schedule(a, now(a));
    }
    update(a);
}

/* -- Sending and receiving (11.6) */

bool lapic_is_addressed(const void *device, const ApicMessage *message)
{
    const Lapic *a = device;
    u32 to = message->destination, broadcast = message->wide ? 0xffffffff : 0xff;

    if (!(a->base & BASE_ENABLE)) {
        return false;
    }
    if (to == broadcast) {
        return true;
    }
    if (!message->logical) {
        return to == (is_x2apic(a) ? a->id : a->id & 0xff);
    }
    if (is_x2apic(a)) { /* clusters of 16 (11.12.10.2) */
        return to >> 16 == a->id >> 4 && to & 1u << (a->id & 15);
    }
    if (a->format >> 28 == 0xf) { /* flat: 8 bits (11.6.2.2) */
        return to & a->logical >> 24 & 0xff;
    }
    return (to >> 4 == a->logical >> 28 || to >> 4 == 0xf) && to & a->logical >> 24 & 0xf;
}

static void reset_registers(Lapic *a);

void lapic_deliver(void *device, const ApicMessage *message)
{
    Lapic *a = device;

    switch (message->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (lapic_is_enabled(a)) {
            accept(a, message->vector, message->level);
        }
        break;
    case DELIVER_SMI:
        tell(a, a->cpu.smi);
        break;
    case DELIVER_NMI:
        tell(a, a->cpu.nmi);
        break;
    case DELIVER_INIT:
        reset_registers(a);
        update(a);
        tell(a, a->cpu.init);
        break;
    case DELIVER_STARTUP:
        if (a->cpu.startup) {
            a->cpu.startup(a->cpu.opaque, message->vector);
        }
        break;
    case DELIVER_EXTERNAL:
        a->external = true;
        update(a);
        break;
    default:
        break;
    }
}

static void send_to_all(Lapic *a, const ApicMessage *message, bool self)
{
    for (u32 i = 0; a->bus && i < APIC_BUS_LOCAL; i++) {
        Lapic *other = a->bus->local[i];
        if (other && other->base & BASE_ENABLE && (self || other != a)) {
            lapic_deliver(other, message);
        }
    }
}

/* Does what the interrupt command register says. */
static void send_command(Lapic *a)
{
    u32 command = a->command, to = a->command_high;
    const ApicMessage message = {
        .destination = is_x2apic(a) ? to : to >> 24,
        .logical = command & ICR_LOGICAL,
        .wide = is_x2apic(a),
        .mode = command >> 8 & 7,
        .vector = (u8)command,
    };

    if (message.mode == DELIVER_INIT && (command & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL) {
        return; /* the end of INIT, which is for APICs of the Pentium */
    }
    if (message.mode <= DELIVER_LOWEST && message.vector < LOWEST_VECTOR) {
        note_error(a, ESR_SEND_VECTOR);
        return;
    }
    switch ((command & ICR_SHORTHAND) >> 18) {
    case TO_DESTINATION:
        if (a->bus) {
            apic_bus_send(a->bus, &message);
        }
        break;
    case TO_SELF:
        if (message.mode <= DELIVER_LOWEST) { /* others are not allowed */
            lapic_deliver(a, &message);
        }
        break;
    case TO_ALL:
        send_to_all(a, &message, true);
        break;
    default:
        send_to_all(a, &message, false);
        break;
    }
}

static void end_of_interrupt(Lapic *a)
{
    int vector = highest(a->isr);

    if (vector < 0) {
        return;
    }
    set_vector(a->isr, (u8)vector, false);
    if (has_vector(a->tmr, (u8)vector)) {
        for (unsigned i = LVT_LINT0; i <= LVT_LINT1; i++) {
            if ((a->lvt[i] & LVT_VECTOR) == (u32)vector && a->lvt[i] & LVT_REMOTE_IRR) {
                a->lvt[i] &= ~(u32)LVT_REMOTE_IRR;
                if (a->inputs & 1 << (i - LVT_LINT0)) {
                    deliver_local(a, i);
                }
            }
        }
        if (a->bus) {
            apic_bus_end(a->bus, (u8)vector);
        }
    }
    update(a);
}

/* -- Registers */

/* x2APIC's logical id follows from the id. */
static u32 logical_id(const Lapic *a)
{
    return is_x2apic(a) ? a->id >> 4 << 16 | 1u << (a->id & 15) : a->logical;
}

static u32 read_number(Lapic *a, unsigned number)
{
    if (number >= ISR && number < ISR + 24) {
        const u32 *bits = number < TMR ? a->isr : number < IRR ? a->tmr : a->irr;
        return bits[number % 8];
    }
    if (number >= LVT && number < LVT + LVTS) {
        return a->lvt[number - LVT];
    }
    switch (number) {
    case ID:
        return is_x2apic(a) ? a->id : a->id << 24;
    case VERSION:
        return VERSION_VALUE;
    case TPR:
        return a->tpr;
    case APR:
        return lapic_busyness(a);
    case PPR:
        return processor_priority(a);
    case LDR:
        return logical_id(a);
    case DFR:
        return a->format;
    case SVR:
        return a->spurious;
    case ESR:
        return a->errors;
    case ICR:
        return a->command;
    case ICR_HIGH:
        return a->command_high;
    case INITIAL_COUNT:
        return a->initial_count;
    case CURRENT_COUNT:
        return current_count(a);
    case DIVIDE:
        return a->divide;
    default:
        return 0;
    }
}

static void write_spurious(Lapic *a, u32 value)
{
    a->spurious = value & SVR_WRITABLE;
    for (unsigned i = 0; i < LVTS && !(value & SVR_ENABLE); i++) {
        a->lvt[i] |= LVT_MASKED;
    }
    update(a);
}

static void write_number(Lapic *a, unsigned number, u32 value)
{
    if (number >= LVT && number < LVT + LVTS) {
        write_lvt(a, number - LVT, value);
        return;
    }
    switch (number) {
    case TPR:
        a->tpr = value & 0xff;
        update(a);
        break;
    case EOI:
        end_of_interrupt(a);
        break;
    case LDR:
        a->logical = value & 0xff000000;
        break;
    case DFR:
        a->format = value | 0x0fffffff;
        break;
    case SVR:
        write_spurious(a, value);
        break;
    case ESR:
        a->errors = a->new_errors;
        a->new_errors = 0;
        break;
    case ICR:
        a->command = value & ICR_WRITABLE;
        send_command(a);
        break;
    case ICR_HIGH:
        a->command_high = value;
        break;
    case INITIAL_COUNT:
        write_initial_count(a, value);
        break;
    case DIVIDE:
        write_divide(a, value);
        break;
    default:
        break;
    }
}

/* What there is of the registers (11.4.1, 11.12.1.2). */
static bool exists(const Lapic *a, unsigned number, bool write)
{
    bool x2apic = is_x2apic(a);

    switch (number) {
    case ID:
    case VERSION:
    case PPR:
    case CURRENT_COUNT:
        return !write;
    case EOI:
        return write || !x2apic;
    case LDR:
        return !write || !x2apic;
    case APR:
    case REMOTE_READ:
        return !write && !x2apic;
    case DFR:
    case ICR_HIGH:
        return !x2apic;
    case SELF_IPI:
        return write && x2apic;
    case TPR:
    case SVR:
    case ESR:
    case ICR:
    case INITIAL_COUNT:
    case DIVIDE:
        return true;
    default:
        return (number >= LVT && number < LVT + LVTS) ||
               (number >= ISR && number < ISR + 24 && !write);
    }
}

u64 lapic_address(const void *device)
{
    const Lapic *a = device;

    return (a->base & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE ? a->base & BASE_ADDRESS : ~0ull;
}

u64 lapic_read(void *device, u64 offset, unsigned size)
{
    Lapic *a = device;
    unsigned number = (unsigned)(offset >> 4);
    u64 value;

    (void)size;
    if (number >= NUMBERS || !exists(a, number, false)) {
        note_error(a, ESR_REGISTER);
        return 0;
    }
    value = (offset & 12) ? 0 : read_number(a, number);
    return value >> 8 * (offset & 3);
}

void lapic_write(void *device, u64 offset, unsigned size, u64 value)
{
    Lapic *a = device;
    unsigned number = (unsigned)(offset >> 4);

    if (offset & 15 || size < 4) {
        device_guest_error(a, "write of %u bytes at offset %#llx", size,
                           (unsigned long long)offset);
    } else if (number < NUMBERS && exists(a, number, true)) {
        write_number(a, number, (u32)value);
    } else if (number >= NUMBERS || !exists(a, number, false)) {
        note_error(a, ESR_REGISTER);
    }
}

/* -- Model-specific registers */

/* Bits that may be set in x2APIC's registers. */
static u64 x2apic_writable(unsigned number)
{
    if (number >= LVT && number < LVT + LVTS) {
        return lvt_writable[number - LVT] | LVT_PENDING | LVT_REMOTE_IRR;
    }
    switch (number) {
    case TPR:
    case SELF_IPI:
        return 0xff;
    case SVR:
        return SVR_WRITABLE;
    case ICR:
        return 0xffffffff00000000 | ICR_WRITABLE;
    case INITIAL_COUNT:
        return 0xffffffff;
    case DIVIDE:
        return 0xb;
    default: /* EOI, ESR */
        return 0;
    }
}

static bool write_x2apic(Lapic *a, unsigned number, u64 value)
{
    if (number >= NUMBERS || !exists(a, number, true) || value & ~x2apic_writable(number)) {
        return false;
    }
    if (number == ICR) {
        a->command_high = (u32)(value >> 32);
    } else if (number == SELF_IPI) {
        accept(a, (u8)value, false);
        return true;
    }
    write_number(a, number, (u32)value);
    return true;
}

/* Modes change only in certain steps (11.12.5). */
static bool write_base(Lapic *a, u64 value)
{
    u64 mode = value & (BASE_ENABLE | BASE_X2APIC), old = a->base & (BASE_ENABLE | BASE_X2APIC);

    if (value & ~(BASE_BSP | BASE_X2APIC | BASE_ENABLE | BASE_ADDRESS) || mode == BASE_X2APIC ||
        (mode == (BASE_ENABLE | BASE_X2APIC) && !old) ||
        (mode == BASE_ENABLE && old & BASE_X2APIC)) {
        return false;
    }
    a->base = value;
    if (!mode && old) {
        reset_registers(a);
    }
    update(a);
    return true;
}

bool lapic_msr_read(void *device, u32 index, u64 *value)
{
    Lapic *a = device;
    unsigned number = index - MSR_X2APIC;

    if (index == MSR_APIC_BASE) {
        *value = a->base;
        return true;
    }
    if (index == MSR_TSC_DEADLINE) {
        *value = a->deadline;
        return true;
    }
    if (number >= NUMBERS || !is_x2apic(a) || !exists(a, number, false)) {
        return false;
    }
    *value = read_number(a, number);
    if (number == ICR) {
        *value |= (u64)a->command_high << 32;
    }
    return true;
}

bool lapic_msr_write(void *device, u32 index, u64 value)
{
    Lapic *a = device;

    if (index == MSR_APIC_BASE) {
        return write_base(a, value);
    }
    if (index == MSR_TSC_DEADLINE) {
        if (is_deadline_mode(a)) { /* else it is ignored (11.5.4.1) */
            a->deadline = value;
            schedule(a, now(a));
        }
        return true;
    }
    return index >= MSR_X2APIC && is_x2apic(a) && write_x2apic(a, index - MSR_X2APIC, value);
}

u8 lapic_priority(const void *device)
{
    return (u8)(((const Lapic *)device)->tpr >> 4);
}

void lapic_set_priority(void *device, u8 priority)
{
    Lapic *a = device;

    a->tpr = (u32)(priority & 15) << 4;
    update(a);
}

/* -- The device */

void lapic_attach(void *device, const LapicCpu *cpu)
{
    ((Lapic *)device)->cpu = *cpu;
}

static int start(void *device, char **error)
{
    Lapic *a = device;

    timer_init(&a->timer, a->device.board->clock, fire, a);
    if (a->id >= APIC_BUS_LOCAL || (a->bus && a->bus->local[a->id])) {
        device_error(error, "%s: id=%u: it must be 0 to %d and nobody else's", a->device.id, a->id,
                     APIC_BUS_LOCAL - 1);
        return -EINVAL;
    }
    if (a->bus) {
        a->bus->local[a->id] = a;
    }
    return 0;
}

static void stop(void *device)
{
    Lapic *a = device;

    timer_cancel(&a->timer);
    if (a->bus) {
        a->bus->local[a->id] = NULL;
    }
}

/* As after INIT (11.4.7.3). The base, and so the mode, stays. */
static void reset_registers(Lapic *a)
{
    a->tpr = a->logical = a->errors = a->new_errors = a->command = a->command_high = 0;
    a->initial_count = a->divide = 0;
    a->deadline = 0;
    a->external = false;
    a->format = 0xffffffff;
    a->spurious = 0xff;
    for (unsigned i = 0; i < 8; i++) {
        a->isr[i] = a->tmr[i] = a->irr[i] = 0;
    }
    for (unsigned i = 0; i < LVTS; i++) {
        a->lvt[i] = LVT_MASKED;
    }
    timer_cancel(&a->timer);
}

static void reset(void *device)
{
    Lapic *a = device;

    reset_registers(a);
    a->base = DEFAULT_ADDRESS | BASE_ENABLE | (a->bsp ? BASE_BSP : 0);
    if (a->bsp) {
        a->lvt[LVT_LINT0] = DELIVER_EXTERNAL << 8;
    }
}

static void settle(void *device)
{
    Lapic *a = device;

    a->inputs &= 3;
    a->started = (s64)(now(a) - a->started) < 0 ? now(a) : a->started;
    schedule(a, now(a));
    a->asserted = false;
    if (a->cpu.interrupt) {
        a->cpu.interrupt(a->cpu.opaque, false);
    }
    update(a);
}

static const StateField state[] = {
    STATE(Lapic, base),
    STATE(Lapic, tpr),
    STATE(Lapic, logical),
    STATE(Lapic, format),
    STATE(Lapic, spurious),
    STATE_ARRAY(Lapic, isr),
    STATE_ARRAY(Lapic, tmr),
    STATE_ARRAY(Lapic, irr),
    STATE(Lapic, errors),
    STATE(Lapic, new_errors),
    STATE(Lapic, command),
    STATE(Lapic, command_high),
    STATE_ARRAY(Lapic, lvt),
    STATE(Lapic, initial_count),
    STATE(Lapic, divide),
    STATE(Lapic, started),
    STATE(Lapic, deadline),
    STATE(Lapic, external),
    STATE_END,
};

/* The inputs are others' outputs, which a reset of this device does not change. */
static const StateField kept[] = {STATE(Lapic, inputs), STATE_END};

static const Property properties[] = {
    {"bus", PROPERTY_BACKEND, offsetof(Lapic, bus), "where its messages go", NULL, "apic-bus"},
    {"id", PROPERTY_U32, offsetof(Lapic, id), "APIC id", "0"},
    {"bsp", PROPERTY_BOOL, offsetof(Lapic, bsp), "the boot processor's", "off"},
    PROPERTY_END,
};

const DeviceDef device_apic = {
    .name = "apic",
    .summary = "local APIC of a CPU",
    .size = sizeof(Lapic),
    .version = 1,
    .state = state,
    .kept = kept,
    .properties = properties,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
