/* Virtual time, and timers on it.
 *
 * A machine's clock counts nanoseconds since power-on and stands still while the machine is
 * stopped. Timers fire on the machine's main loop, under the machine lock, at or after their time.
 *
 * On a busy host the main loop may come late. The clock waits for it just behind a timer that is
 * due, for up to ten seconds, and catches up afterwards, timer by timer: a guest that counts ticks
 * against the clock finds as many as there should be.
 *
 * All functions but clock_now() need the machine lock. */
#ifndef DEVICE_CORE_CLOCK_H
#define DEVICE_CORE_CLOCK_H

#include "base/types.h"

#define NANOSECONDS 1000000000ull /* per second */

typedef struct Clock Clock;

typedef struct Timer {
    Clock *clock;
    void (*fire)(void *opaque);
    void *opaque;
    u64 due;   /* clock_now() when it fires */
    u32 place; /* in the clock's heap, from 1; 0: not set */
} Timer;

/* Starts stopped, at 0. NULL with errno set on failure. */
Clock *clock_new(void);
void clock_free(Clock *clock);

/* Nanoseconds. Any thread. */
u64 clock_now(const Clock *clock);
void clock_run(Clock *clock);
void clock_stop(Clock *clock);
/* For loading a saved machine; the clock is stopped. */
void clock_set(Clock *clock, u64 now);

/* A descriptor that becomes readable when a timer is due, and what to do then. ready: whether the
 * guest had a chance to see what fired before; if not, the timers wait a little more. */
int clock_fd(const Clock *clock);
void clock_dispatch(Clock *clock, bool ready);

/* For tests, of a stopped clock: its time becomes `until`, and each timer that is due on the way
 * fires at its time. */
void clock_advance(Clock *clock, u64 until);

void timer_init(Timer *timer, Clock *clock, void (*fire)(void *opaque), void *opaque);
/* Sets or moves it. */
void timer_set(Timer *timer, u64 due);
void timer_cancel(Timer *timer);
static inline bool timer_is_set(const Timer *timer)
{
    return timer->place != 0;
}

/* a * b / c without overflow: for converting between rates. */
static inline u64 scale_u64(u64 a, u64 b, u64 c)
{
    return (u64)((u128)a * b / c);
}

#endif
