/* Filter "throttle": limits requests and bytes per second, in total or by direction.
 *
 * Each limit is a clock of when the next request may start: a request waits for it and pushes it on
 * by what it costs. Up to a tenth of a second unused may be caught up with. Requests wait in their
 * thread: of an I/O context that is a worker. */
#include <errno.h>
#include <time.h>

#include "block/drivers.h"

enum { SECOND = 1000000000, BURST = SECOND / 10 };

typedef enum Limit { TOTAL, READ, WRITE, LIMITS } Limit;

typedef struct Throttle {
    pthread_mutex_t lock;
    u64 bytes[LIMITS], requests[LIMITS];          /* per second; 0: no limit */
    u64 next_bytes[LIMITS], next_request[LIMITS]; /* nanoseconds on the monotonic clock */
} Throttle;

static const BlockOption open_options[] = {
    {"bps-total", BLOCK_OPTION_SIZE, "most bytes per second"},
    {"bps-read", BLOCK_OPTION_SIZE, "most bytes read per second"},
    {"bps-write", BLOCK_OPTION_SIZE, "most bytes written per second"},
    {"iops-total", BLOCK_OPTION_NUMBER, "most requests per second"},
    {"iops-read", BLOCK_OPTION_NUMBER, "most reads per second"},
    {"iops-write", BLOCK_OPTION_NUMBER, "most writes per second"},
    {NULL},
};

static int throttle_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Throttle *t = node->state;

    (void)error;
    for (int i = 0; i < LIMITS; i++) {
        t->bytes[i] = block_option_number(options, open_options, open_options[i].name);
        t->requests[i] = block_option_number(options, open_options, open_options[LIMITS + i].name);
    }
    node->size = block_size(node->file);
    pthread_mutex_init(&t->lock, NULL);
    return 0;
}

static int throttle_close(BlockNode *node)
{
    Throttle *t = node->state;

    pthread_mutex_destroy(&t->lock);
    return 0;
}

static u64 now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * SECOND + (u64)t.tv_nsec;
}

/* Books `cost` units on a clock of `per_second`; returns when the request may start. */
static u64 book(u64 *next, u64 per_second, u64 cost, u64 time)
{
    if (!per_second) {
        return time;
    }
    u64 start = MAX(*next, time - BURST);
    *next = start + (u64)((u128)cost * SECOND / per_second);
    return MAX(start, time);
}

static void wait_for_turn(BlockNode *node, Limit direction, u64 bytes)
{
    Throttle *t = node->state;
    u64 time = now(), start = time;
    const Limit limits[] = {TOTAL, direction};

    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < COUNT(limits); i++) {
        Limit l = limits[i];
        start = MAX(start, book(&t->next_bytes[l], t->bytes[l], bytes, time));
        start = MAX(start, book(&t->next_request[l], t->requests[l], 1, time));
    }
    pthread_mutex_unlock(&t->lock);
    if (start > time) {
        struct timespec until = {(time_t)(start / SECOND), (long)(start % SECOND)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
        }
    }
}

static int throttle_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    wait_for_turn(node, READ, data->bytes);
    return block_readv(node->file, offset, data);
}

static int throttle_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    wait_for_turn(node, WRITE, data->bytes);
    return block_writev(node->file, offset, data, flags);
}

static int throttle_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    wait_for_turn(node, WRITE, bytes);
    return block_zero(node->file, offset, bytes, flags);
}

static int throttle_discard(BlockNode *node, u64 offset, u64 bytes)
{
    wait_for_turn(node, WRITE, bytes);
    return block_discard(node->file, offset, bytes);
}

static int throttle_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    return block_map(node->file, offset, bytes, extent);
}

const BlockDriver block_driver_throttle = {
    .name = "throttle",
    .kind = BLOCK_FILTER,
    .state_size = sizeof(Throttle),
    .open_options = open_options,
    .open = throttle_open,
    .close = throttle_close,
    .read = throttle_read,
    .write = throttle_write,
    .zero = throttle_zero,
    .discard = throttle_discard,
    .map = throttle_map,
};
