/* Virtual time: the host's monotonic clock less the time that the machine stood still; timers in a
 * binary heap, the earliest on a timerfd. */
#include "device/core/clock.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct Clock {
    u64 behind;   /* atomic: host time - virtual time while it runs; virtual time while it stands */
    bool running; /* atomic, by way of `behind`'s sequence below */
    u32 sequence; /* atomic, odd while the two above change */
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

u64 clock_now(const Clock *clock)
{
    u32 sequence;
    u64 behind;
    bool running;

    do {
        sequence = __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE);
        behind = __atomic_load_n(&clock->behind, __ATOMIC_RELAXED);
        running = __atomic_load_n(&clock->running, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (sequence & 1 || sequence != __atomic_load_n(&clock->sequence, __ATOMIC_RELAXED));
    return running ? host_now() - behind : behind;
}

static void change(Clock *clock, bool running, u64 now)
{
    __atomic_add_fetch(&clock->sequence, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&clock->running, running, __ATOMIC_RELAXED);
    __atomic_store_n(&clock->behind, running ? host_now() - now : now, __ATOMIC_RELAXED);
    __atomic_add_fetch(&clock->sequence, 1, __ATOMIC_RELEASE);
}

/* Arms the descriptor for the earliest timer. */
static void arm(const Clock *clock)
{
    struct itimerspec when = {0};

    if (clock->running && clock->count) {
        u64 due = MIN(clock->heap[1]->due, (u64)INT64_MAX / 2) + clock->behind;
        due = MAX(due, (u64)1);
        when.it_value.tv_sec = (time_t)(due / NANOSECONDS);
        when.it_value.tv_nsec = (long)(due % NANOSECONDS);
    }
    timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &when, NULL);
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
    u64 first = clock->count ? clock->heap[1]->due : ~(u64)0;

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
    if (clock->heap[1]->due != first) {
        arm(clock);
    }
}

void timer_cancel(Timer *timer)
{
    if (timer->place) {
        take_out(timer->clock, timer);
    }
}

void clock_dispatch(Clock *clock)
{
    u64 expirations, now = clock_now(clock);

    if (read(clock->fd, &expirations, sizeof expirations) < 0) {
        /* Somebody moved the timer meanwhile. */
    }
    while (clock->running && clock->count && clock->heap[1]->due <= now) {
        Timer *timer = clock->heap[1];
        take_out(clock, timer);
        timer->fire(timer->opaque);
    }
    arm(clock);
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
