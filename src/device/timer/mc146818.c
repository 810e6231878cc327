/* "mc146818rtc": the real-time clock with 256 bytes of battery-backed memory, at ports 0x70/0x71,
 * and 0x72/0x73 for the whole of the memory. Motorola MC146818A data sheet (ADI1016);
 * Intel 82371SB (PIIX3) data sheet, section 4.7 on the second pair of ports.
 *
 * The time is the machine's clock and an offset. The time registers in cmos[] hold it only while
 * updates are held (by SET or a divider in reset); else they are written when somebody looks.
 * Events set their flags in register C when somebody looks, too: `checked` is until when that was
 * done. A timer is set only for events that are to interrupt. */
#include "device/timer/mc146818.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "device/devices.h"

enum { PORT = 0x70, IRQ_NUMBER = 8, TICKS = 32768 /* per second */ };
enum { UPDATE_IN_PROGRESS_NANOSECONDS = 244000 };
/* What 64 bits of nanoseconds hold, with a margin. */
enum { FIRST_YEAR = 1700u, LAST_YEAR = 2240u };
static const s64 most_offset = (s64)(LAST_YEAR - 1970) * 366 * 86400 * (s64)NANOSECONDS;

enum Index {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    REGISTER_A,
    REGISTER_B,
    REGISTER_C,
    REGISTER_D,
    CENTURY = 0x32,
};

enum RegisterA { RATE = 0x0f, DIVIDER = 0x70, DIVIDER_RESET = 0x60, UIP = 0x80 };
enum RegisterB { HOURS_24 = 0x02, BINARY = 0x04, SET = 0x80 };
/* In registers B (enable) and C (flag). */
enum Event { UPDATE = 0x10, ALARM = 0x20, PERIODIC = 0x40, EVENTS = 0x70 };
enum { IRQF = 0x80, SQUARE_WAVE = 0x08 /* B */, VALID = 0x80 /* D */ };
enum { PM = 0x80, ALARM_ANY = 0xc0 };

typedef struct Rtc {
    Device device;
    Region ports;
    const char *base;
    u8 index[2]; /* of each pair of ports */
    u8 flags;    /* register C without IRQF */
    u8 cmos[256];
    u8 weekday_shift; /* what the guest's day of the week is ahead of the calendar's */
    s64 offset;       /* nanoseconds since 1970 of the machine's clock's zero */
    s64 checked;      /* nanoseconds since 1970 */
    Timer timer;
    Irq irq;
} Rtc;

static s64 rtc_now(const Rtc *rtc)
{
    return (s64)clock_now(rtc->device.board->clock) + rtc->offset;
}

/* Division that rounds down: the guest may go to before 1970. */
static s64 divide(s64 value, s64 by)
{
    return value / by - (value % by < 0);
}

static s64 to_seconds(s64 nanoseconds)
{
    return divide(nanoseconds, NANOSECONDS);
}

static bool in_reset(const Rtc *rtc)
{
    return (rtc->cmos[REGISTER_A] & DIVIDER_RESET) == DIVIDER_RESET;
}

/* Whether the time registers stand still. */
static bool held(const Rtc *rtc)
{
    return rtc->cmos[REGISTER_B] & SET || in_reset(rtc);
}

/* -- Numbers as register B wants them */

static u8 encode(const Rtc *rtc, unsigned value)
{
    return (u8)(rtc->cmos[REGISTER_B] & BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned decode(const Rtc *rtc, u8 value)
{
    return rtc->cmos[REGISTER_B] & BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static u8 encode_hour(const Rtc *rtc, unsigned hour)
{
    if (rtc->cmos[REGISTER_B] & HOURS_24) {
        return encode(rtc, hour);
    }
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0);
}

static unsigned decode_hour(const Rtc *rtc, u8 value)
{
    if (rtc->cmos[REGISTER_B] & HOURS_24) {
        return decode(rtc, value);
    }
    return decode(rtc, value & ~PM) % 12 + (value & PM ? 12 : 0);
}

/* -- The time registers */

static void time_to_registers(Rtc *rtc)
{
    time_t seconds = to_seconds(rtc_now(rtc));
    u8 *cmos = rtc->cmos;
    struct tm tm;

    if (!gmtime_r(&seconds, &tm)) {
        return;
    }
    unsigned year = (unsigned)(tm.tm_year + 1900);
    cmos[SECONDS] = encode(rtc, tm.tm_sec);
    cmos[MINUTES] = encode(rtc, tm.tm_min);
    cmos[HOURS] = encode_hour(rtc, tm.tm_hour);
    cmos[WEEKDAY] = encode(rtc, (tm.tm_wday + rtc->weekday_shift) % 7 + 1);
    cmos[DAY] = encode(rtc, tm.tm_mday);
    cmos[MONTH] = encode(rtc, tm.tm_mon + 1);
    cmos[YEAR] = encode(rtc, year % 100);
    cmos[CENTURY] = encode(rtc, year / 100 % 100);
}

/* Months and days may go beyond the last year. */
static s64 bounded(s64 offset)
{
    return MIN(MAX(offset, -most_offset), most_offset);
}

static void set_now(Rtc *rtc, s64 time)
{
    rtc->offset = bounded(time - (s64)clock_now(rtc->device.board->clock));
    rtc->checked = rtc_now(rtc);
}

static void registers_to_time(Rtc *rtc)
{
    const u8 *cmos = rtc->cmos;
    unsigned year = decode(rtc, cmos[CENTURY]) * 100 + decode(rtc, cmos[YEAR]);
    struct tm tm = {
        .tm_sec = (int)decode(rtc, cmos[SECONDS]),
        .tm_min = (int)decode(rtc, cmos[MINUTES]),
        .tm_hour = (int)decode_hour(rtc, cmos[HOURS]),
        .tm_mday = (int)decode(rtc, cmos[DAY]),
        .tm_mon = (int)decode(rtc, cmos[MONTH]) - 1,
        .tm_year = (int)MIN(MAX(year, FIRST_YEAR), LAST_YEAR) - 1900,
    };
    s64 fraction = rtc_now(rtc) - to_seconds(rtc_now(rtc)) * (s64)NANOSECONDS;
    s64 now = (s64)timegm(&tm) * (s64)NANOSECONDS + fraction;

    rtc->weekday_shift = (u8)((decode(rtc, cmos[WEEKDAY]) + 6 + 7 - (unsigned)tm.tm_wday) % 7);
    set_now(rtc, now);
}

/* -- Events */

/* Of the periodic event in 32768ths of a second; 0: none. */
static s64 period(const Rtc *rtc)
{
    unsigned rate = rtc->cmos[REGISTER_A] & RATE;

    if (!rate || in_reset(rtc)) {
        return 0;
    }
    return 1 << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static s64 to_ticks(s64 nanoseconds)
{
    s64 seconds = to_seconds(nanoseconds), rest = nanoseconds - seconds * (s64)NANOSECONDS;

    return seconds * TICKS + (s64)scale_u64((u64)rest, TICKS, NANOSECONDS);
}

static bool alarm_differs(const Rtc *rtc, u8 alarm, unsigned wanted, unsigned value)
{
    return (rtc->cmos[alarm] & ALARM_ANY) != ALARM_ANY && wanted != value;
}

/* The first second after `second` that the alarm is for; INT64_MAX when there is none. */
static s64 next_alarm(const Rtc *rtc, s64 second)
{
    enum { DAY_SECONDS = 86400, STEPS = 24 + 60 + 60 + 3 };
    unsigned hours = decode_hour(rtc, rtc->cmos[HOURS_ALARM]);
    unsigned minutes = decode(rtc, rtc->cmos[MINUTES_ALARM]);
    unsigned seconds = decode(rtc, rtc->cmos[SECONDS_ALARM]);
    s64 at = second + 1;

    for (int i = 0; i < STEPS; i++) {
        unsigned of_day = (unsigned)(at - divide(at, DAY_SECONDS) * DAY_SECONDS);
        if (alarm_differs(rtc, HOURS_ALARM, hours, of_day / 3600)) {
            at += 3600 - of_day % 3600;
        } else if (alarm_differs(rtc, MINUTES_ALARM, minutes, of_day / 60 % 60)) {
            at += 60 - of_day % 60;
        } else if (alarm_differs(rtc, SECONDS_ALARM, seconds, of_day % 60)) {
            at++;
        } else {
            return at;
        }
    }
    return INT64_MAX;
}

/* Flags what has happened by now. */
static void catch_up(Rtc *rtc)
{
    s64 from = rtc->checked, now = rtc_now(rtc), step = period(rtc);

    if (now <= from) {
        return;
    }
    if (step && divide(to_ticks(now), step) != divide(to_ticks(from), step)) {
        rtc->flags |= PERIODIC;
    }
    if (!held(rtc) && to_seconds(now) != to_seconds(from)) {
        rtc->flags |= UPDATE;
        rtc->flags |= next_alarm(rtc, to_seconds(from)) <= to_seconds(now) ? ALARM : 0;
    }
    rtc->checked = now;
}

/* When, in nanoseconds since 1970, the next event comes that interrupts; INT64_MAX: none. */
static s64 next_interrupt(const Rtc *rtc)
{
    u8 enabled = rtc->cmos[REGISTER_B];
    s64 now = rtc->checked, step = period(rtc), next = INT64_MAX;

    if (enabled & PERIODIC && step) {
        s64 tick = (divide(to_ticks(now), step) + 1) * step, second = divide(tick, TICKS);
        s64 part = (tick - second * TICKS) * (s64)NANOSECONDS;
        next = second * (s64)NANOSECONDS + (part + TICKS - 1) / TICKS;
    }
    if (enabled & UPDATE && !held(rtc)) {
        next = MIN(next, (to_seconds(now) + 1) * (s64)NANOSECONDS);
    }
    if (enabled & ALARM && !held(rtc)) {
        s64 alarm = next_alarm(rtc, to_seconds(now));
        next = alarm == INT64_MAX ? next : MIN(next, alarm * (s64)NANOSECONDS);
    }
    return next;
}

static u8 register_c(const Rtc *rtc)
{
    return rtc->flags | (rtc->flags & rtc->cmos[REGISTER_B] & EVENTS ? IRQF : 0);
}

/* Drives the interrupt, or awaits the next event from `checked` on. */
static void drive(Rtc *rtc)
{
    s64 next = INT64_MAX;

    irq_set(&rtc->irq, register_c(rtc) & IRQF);
    if (!(register_c(rtc) & IRQF)) {
        next = next_interrupt(rtc);
    }
    if (next == INT64_MAX) {
        timer_cancel(&rtc->timer);
    } else {
        timer_set(&rtc->timer, (u64)MAX(next - rtc->offset, (s64)0));
    }
}

static void update(void *opaque)
{
    catch_up(opaque);
    drive(opaque);
}

static void settle(void *device)
{
    Rtc *rtc = device;

    rtc->weekday_shift %= 7;
    rtc->offset = bounded(rtc->offset);
    rtc->checked = MIN(MAX(rtc->checked, -most_offset), rtc_now(rtc));
    drive(rtc);
}

/* -- Registers */

static bool is_time(u8 index)
{
    return index == SECONDS || index == MINUTES || index == HOURS || index == CENTURY ||
           (index >= WEEKDAY && index <= YEAR);
}

static u8 read_register(Rtc *rtc, u8 index)
{
    u8 value = rtc->cmos[index];

    if (is_time(index)) {
        if (!held(rtc)) {
            time_to_registers(rtc);
        }
        return rtc->cmos[index];
    }
    switch (index) {
    case REGISTER_A:
        if (!held(rtc) &&
            to_seconds(rtc_now(rtc) + UPDATE_IN_PROGRESS_NANOSECONDS) != to_seconds(rtc_now(rtc))) {
            value |= UIP;
        }
        break;
    case REGISTER_C:
        catch_up(rtc);
        value = register_c(rtc);
        rtc->flags = 0;
        update(rtc);
        break;
    case REGISTER_D:
        value = VALID;
        break;
    }
    return value;
}

/* Registers A and B: the time goes on, or stops, or is shown in another way. */
static void write_control(Rtc *rtc, u8 index, u8 value)
{
    bool was_held = held(rtc), was_reset = in_reset(rtc);

    catch_up(rtc);
    if (!was_held) {
        time_to_registers(rtc);
    }
    if (index == REGISTER_A) {
        rtc->cmos[REGISTER_A] = value & ~UIP;
    } else {
        rtc->cmos[REGISTER_B] = value & SET ? value & ~UPDATE : value;
    }
    if (was_reset && !in_reset(rtc)) { /* the first update comes after half a second */
        set_now(rtc, to_seconds(rtc_now(rtc)) * (s64)NANOSECONDS + (s64)NANOSECONDS / 2);
    }
    if (was_held && !held(rtc)) {
        registers_to_time(rtc);
    }
}

static void write_register(Rtc *rtc, u8 index, u8 value)
{
    catch_up(rtc);
    if (is_time(index)) {
        if (!held(rtc)) {
            time_to_registers(rtc);
        }
        rtc->cmos[index] = value;
        if (!held(rtc)) {
            registers_to_time(rtc);
        }
    } else if (index == REGISTER_A || index == REGISTER_B) {
        write_control(rtc, index, value);
    } else if (index != REGISTER_C && index != REGISTER_D) {
        rtc->cmos[index] = value;
    }
    if (index <= REGISTER_B) {
        update(rtc);
    }
}

u8 mc146818_get(void *device, u8 index)
{
    return ((Rtc *)device)->cmos[index];
}

void mc146818_set(void *device, u8 index, u8 value)
{
    ((Rtc *)device)->cmos[index] = value;
}

static u64 read_port(void *device, u64 port, unsigned size)
{
    Rtc *rtc = device;

    (void)size;
    return port & 1 ? read_register(rtc, rtc->index[port >> 1]) : 0xff;
}

static void write_port(void *device, u64 port, unsigned size, u64 value)
{
    Rtc *rtc = device;

    (void)size;
    if (port & 1) {
        write_register(rtc, rtc->index[port >> 1], (u8)value);
    } else { /* bit 7 of the first pair masks the NMI */
        rtc->index[port >> 1] = (u8)value & (port ? 0xff : 0x7f);
    }
}

/* -- The device */

/* What the clock shows at power-on, as seconds since 1970 in UTC. */
static bool parse_base(const char *base, s64 *seconds)
{
    struct tm tm = {0};
    time_t now = time(NULL);
    const char *end;

    if (!strcmp(base, "utc")) {
        *seconds = now;
        return true;
    }
    if (!strcmp(base, "localtime")) {
        if (localtime_r(&now, &tm)) {
            *seconds = timegm(&tm);
        }
        return true;
    }
    end = strptime(base, "%Y-%m-%d", &tm);
    if (end && *end) {
        end = strptime(end, "T%H:%M:%S", &tm);
    }
    if (!end || *end || tm.tm_year < 70 || tm.tm_year > 360) {
        return false;
    }
    *seconds = timegm(&tm);
    return true;
}

static int start(void *device, char **error)
{
    Rtc *rtc = device;
    Clock *clock = rtc->device.board->clock;
    s64 seconds = 0;

    if (!parse_base(rtc->base, &seconds)) {
        device_error(error, "%s: base=%s: it must be utc, localtime or like 2020-02-29T23:59:58",
                     rtc->device.id, rtc->base);
        return -EINVAL;
    }
    rtc->offset = seconds * (s64)NANOSECONDS - (s64)clock_now(clock);
    rtc->checked = rtc_now(rtc);
    rtc->cmos[REGISTER_A] = 0x26; /* 32.768 kHz, 1024 Hz */
    rtc->cmos[REGISTER_B] = HOURS_24;
    time_to_registers(rtc);
    timer_init(&rtc->timer, clock, update, rtc);
    device_map(rtc, 0, PORT);
    return 0;
}

static void stop(void *device)
{
    timer_cancel(&((Rtc *)device)->timer);
}

static void reset(void *device)
{
    Rtc *rtc = device;

    rtc->cmos[REGISTER_B] &= ~(EVENTS | SQUARE_WAVE);
    rtc->checked = rtc_now(rtc);
}

static const RegionOps ops = {read_port, write_port, 1, 1};

static const RegisterBank banks[] = {
    {.name = "rtc",
     .size = 4,
     .region = offsetof(Rtc, ports),
     .ports = true,
     .width = 1,
     .raw = &ops},
};

static const StateField state[] = {STATE_ARRAY(Rtc, index), STATE(Rtc, flags), STATE_END};
static const StateField kept[] = {
    STATE_ARRAY(Rtc, cmos),
    STATE(Rtc, weekday_shift),
    STATE(Rtc, offset),
    STATE(Rtc, checked),
    STATE_END,
};

static const Property properties[] = {
    {"base", PROPERTY_STRING, offsetof(Rtc, base),
     "time at power-on: utc, localtime or like 2020-02-29T23:59:58", "utc"},
    PROPERTY_END,
};

static const IrqOutput outputs[] = {{"irq", offsetof(Rtc, irq), 1}, IRQ_OUTPUT_END};

const DeviceDef device_mc146818rtc = {
    .name = "mc146818rtc",
    .summary = "MC146818A real-time clock with 256 bytes of CMOS memory",
    .size = sizeof(Rtc),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .kept = kept,
    .properties = properties,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
