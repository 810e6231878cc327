/* The clock while it runs: it waits for timers that come late, and catches up. How late this test
 * itself comes does not matter. */
#include <poll.h>
#include <time.h>

#include "device/core/clock.h"
#include "tests/tap.h"

enum { MILLISECOND = 1000000, PERIOD = 4 * MILLISECOND };

typedef struct Ticker {
    Timer timer;
    unsigned ticks;
} Ticker;

static void tick(void *opaque)
{
    Ticker *ticker = opaque;

    ticker->ticks++;
    timer_set(&ticker->timer, ticker->timer.due + PERIOD);
}

static void wait_milliseconds(unsigned n)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)n * MILLISECOND}, NULL);
}

static bool is_readable(const Clock *clock, int milliseconds)
{
    struct pollfd fd = {.fd = clock_fd(clock), .events = POLLIN};

    return poll(&fd, 1, milliseconds) == 1;
}

int main(void)
{
    Clock *clock = clock_new();
    Ticker ticker = {0};
    u64 before;

    timer_init(&ticker.timer, clock, tick, &ticker);
    timer_set(&ticker.timer, PERIOD);
    clock_run(clock);
    wait_milliseconds(100);
    OK(clock_now(clock) >= PERIOD && clock_now(clock) < 2 * PERIOD, "time waits for the timer");
    OK(is_readable(clock, 0), "which is due");
    clock_dispatch(clock, false);
    OK(ticker.ticks == 0 && clock_now(clock) < 2 * PERIOD, "and for a guest that has not run");
    OK(is_readable(clock, 1000), "which is asked again");
    clock_dispatch(clock, true);
    OK(ticker.ticks == 1 && clock_now(clock) < 3 * PERIOD, "one tick at a time is made up for");
    for (unsigned i = 0; i < 10; i++) {
        clock_dispatch(clock, true);
    }
    OK(ticker.ticks == 11, "until all are");
    before = clock_now(clock);
    timer_set(&ticker.timer, 0);
    OK(clock_now(clock) >= before, "a timer in the past does not set time back");
    timer_cancel(&ticker.timer);
    OK(clock_now(clock) >= 100 * MILLISECOND, "without timers time is the host's");
    clock_stop(clock);
    before = clock_now(clock);
    wait_milliseconds(2);
    OK(clock_now(clock) == before, "a stopped clock stands");
    clock_run(clock);
    OK(clock_now(clock) - before < 1000 * NANOSECONDS, "and goes on from there");
    clock_free(clock);
    return tap_done();
}
