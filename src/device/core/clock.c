/* Virtual time: the host's monotonic clock less the time that the machine stood still, but not much
 * later than the earliest timer; timers in a binary heap, the earliest on a timerfd. */
#include "device/core/clock.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    SLACK = 500000, /* nanoseconds that timers are late anyway */
    PAUSE = 500000, /* between timers that are later */
};
#define LONGEST_LAG (10 * NANOSECONDS) /* that the clock waits for a timer */

struct Clock {
    /* Atomic, by way of the sequence below. */
    u64 behind; /* host time - virtual time while it runs; virtual time while it stands */
    u64 limit;  /* virtual time waits here for the earliest timer */
    bool running;
    u32 sequence; /* atomic, odd while those above change */
    int fd;
    Timer **heap; /* [1..count] */
    u32 count, room;
};

static u64 host_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * NANOSECONDS + (u64)now.tv_nsec;
}

Clock *clock_new(void)
{
    Clock *clock = calloc(1, sizeof *clock);

    if (!clock) {
        return NULL;
    }
    clock->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (clock->fd < 0) {
        free(clock);
        return NULL;
    }
    return clock;
}

void clock_free(Clock *clock)
{
    if (clock) {
        close(clock->fd);
        free(clock->heap);
        free(clock);
    }
}

/* What the time is while the clock runs, if it would be `unlimited` without its limit. */
static u64 limited(u64 unlimited, u64 limit)
{
    u64 least = unlimited - MIN(unlimited, LONGEST_LAG);

    return MAX(least, MIN(unlimited, limit));
}

/* The host's time is taken inside the sequence, before which a limit that was not seen yet could
 * be passed: time never goes back. */
u64 clock_now(const Clock *clock)
{
    u32 sequence;
    u64 behind, limit, host;
    bool running;

    do {
        sequence = __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE);
        behind = __atomic_load_n(&clock->behind, __ATOMIC_RELAXED);
        limit = __atomic_load_n(&clock->limit, __ATOMIC_RELAXED);
        running = __atomic_load_n(&clock->running, __ATOMIC_RELAXED);
        host = host_now();
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (sequence & 1 || sequence != __atomic_load_n(&clock->sequence, __ATOMIC_RELAXED));
    return running ? limited(host - behind, limit) : behind;
}

static void begin_change(Clock *clock)
{
    __atomic_add_fetch(&clock->sequence, 1, __ATOMIC_ACQ_REL);
}

static void end_change(Clock *clock)
{
    __atomic_add_fetch(&clock->sequence, 1, __ATOMIC_RELEASE);
}

static u64 due_next(const Clock *clock)
{
    return clock->count ? clock->heap[1]->due : ~(u64)0;
}

/* Where time is to wait, if it is `now`: not before that, though a timer may be set in the past. */
static void set_limit(Clock *clock, u64 now)
{
    u64 due = due_next(clock), limit = due + MIN((u64)SLACK, ~due);

    __atomic_store_n(&clock->limit, MAX(limit, now), __ATOMIC_RELAXED);
}

static void change(Clock *clock, bool running, u64 now)
{
    begin_change(clock);
    __atomic_store_n(&clock->running, running, __ATOMIC_RELAXED);
    __atomic_store_n(&clock->behind, running ? host_now() - now : now, __ATOMIC_RELAXED);
    set_limit(clock, now);
    end_change(clock);
}

/* After the earliest timer has become another. */
static void move_limit(Clock *clock)
{
    if (clock->running) {
        begin_change(clock);
        set_limit(clock, limited(host_now() - clock->behind, clock->limit));
        end_change(clock);
    }
}

/* Has the descriptor readable at that time of the host; 0: never. */
static void arm_at(const Clock *clock, u64 due)
{
    struct itimerspec when = {
        .it_value = {(time_t)(due / NANOSECONDS), (long)(due % NANOSECONDS)},
    };

    timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The same for the earliest timer. */
static void arm(const Clock *clock)
{
    u64 due = MIN(due_next(clock), (u64)INT64_MAX / 2) + clock->behind;

    arm_at(clock, clock->running && clock->count ? MAX(due, (u64)1) : 0);
}

void clock_run(Clock *clock)
{
    if (!clock->running) {
        change(clock, true, clock->behind);
        arm(clock);
    }
}

void clock_stop(Clock *clock)
{
    if (clock->running) {
        change(clock, false, clock_now(clock));
        arm(clock);
    }
}

void clock_set(Clock *clock, u64 now)
{
    change(clock, clock->running, now);
    arm(clock);
}

int clock_fd(const Clock *clock)
{
    return clock->fd;
}

/* -- The heap */

static void put(Clock *clock, u32 place, Timer *timer)
{
    clock->heap[place] = timer;
    timer->place = place;
}

static void sift_up(Clock *clock, u32 place, Timer *timer)
{
    while (place > 1 && timer->due < clock->heap[place / 2]->due) {
        put(clock, place, clock->heap[place / 2]);
        place /= 2;
    }
    put(clock, place, timer);
}

static void sift_down(Clock *clock, u32 place, Timer *timer)
{
    for (u32 child; (child = 2 * place) <= clock->count; place = child) {
        child += child < clock->count && clock->heap[child + 1]->due < clock->heap[child]->due;
        if (timer->due <= clock->heap[child]->due) {
            break;
        }
        put(clock, place, clock->heap[child]);
    }
    put(clock, place, timer);
}

static void take_out(Clock *clock, Timer *timer)
{
    u32 place = timer->place;
    Timer *last = clock->heap[clock->count--];

    timer->place = 0;
    if (last == timer) {
        return;
    }
    if (place > 1 && last->due < clock->heap[place / 2]->due) {
        sift_up(clock, place, last);
    } else {
        sift_down(clock, place, last);
    }
}

void timer_init(Timer *timer, Clock *clock, void (*fire)(void *opaque), void *opaque)
{
    *timer = (Timer){.clock = clock, .fire = fire, .opaque = opaque};
}

void timer_set(Timer *timer, u64 due)
{
    Clock *clock = timer->clock;
    u64 first = due_next(clock);

    if (timer->place) {
        take_out(clock, timer);
    }
    if (clock->count + 1 >= clock->room) {
        clock->room = MAX(16u, clock->room * 2);
        clock->heap = realloc(clock->heap, clock->room * sizeof(Timer *));
        if (!clock->heap) {
            abort();
        }
    }
    timer->due = due;
    sift_up(clock, ++clock->count, timer);
    if (due_next(clock) != first) {
        move_limit(clock);
        arm(clock);
    }
}

void timer_cancel(Timer *timer)
{
    if (timer->place) {
        take_out(timer->clock, timer);
        move_limit(timer->clock);
    }
}

/* Whether time waits for the earliest timer, or soon will. */
static bool is_late(const Clock *clock)
{
    u64 unlimited = host_now() - clock->behind;

    return clock->running && unlimited >= SLACK && due_next(clock) <= unlimited - SLACK;
}

void clock_dispatch(Clock *clock, bool ready)
{
    u64 expirations, now = clock_now(clock), until = now;

    if (read(clock->fd, &expirations, sizeof expirations) < 0) {
        /* Somebody moved the timer meanwhile. */
    }
    if (is_late(clock)) {
        ready |= now > clock->limit; /* no longer than LONGEST_LAG */
        until = MIN(now, due_next(clock) + PAUSE);
    }
    while (ready && clock->running && due_next(clock) <= until) {
        Timer *timer = clock->heap[1];
        take_out(clock, timer);
        timer->fire(timer->opaque);
    }
    move_limit(clock);
    if (!ready || is_late(clock)) {
        arm_at(clock, host_now() + PAUSE);
    } else {
        arm(clock);
    }
}

void clock_advance(Clock *clock, u64 until)
{
    while (clock->count && clock->heap[1]->due <= until) {
        Timer *timer = clock->heap[1];
        change(clock, false, MAX(timer->due, clock->behind));
        take_out(clock, timer);
        timer->fire(timer->opaque);
    }
    change(clock, false, MAX(until, clock->behind));
}
