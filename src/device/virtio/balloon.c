/* "virtio-balloon-pci", "virtio-balloon-device": takes memory that the guest does not need back to
 * the host (virtio 1.2, 5.5), on demand, or what the guest reports as free by itself. It tells
 * statistics of the guest's memory.
 *
 * Pages that were given back read as zeroes and come back when they are touched; so there is
 * nothing to do when the balloon shrinks. */
#include "device/virtio/balloon.h"

#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "device/devices.h"
#include "device/virtio/virtio.h"

enum {
    QUEUE_INFLATE,
    QUEUE_DEFLATE,
    QUEUE_STATISTICS, /* if it was negotiated; then comes reporting, if that was */
    QUEUES = 4,
    PAGE_SHIFT = 12,
    PAGE = 1 << PAGE_SHIFT,
    CONFIG_TARGET = 0, /* in pages */
    CONFIG_ACTUAL = 4,
    CONFIG_SIZE = 8,
    STATISTIC = 10,                   /* bytes: tag, value */
    NUMBERS = 256,                    /* page numbers that are read at once */
    CHAIN_MOST = 16 * NUMBERS,        /* of a chain; drivers send no more than 1024 */
    STATISTICS_MOST = 64 * STATISTIC, /* bytes that are looked at */
};

#define F_STATS_VQ ((u64)1 << 1)
#define F_DEFLATE_ON_OOM ((u64)1 << 2)
#define F_REPORTING ((u64)1 << 5)

const char *const balloon_statistic_names[BALLOON_STATISTICS] = {
    "swap-in",      "swap-out",         "major-faults", "minor-faults",        "free-memory",
    "total-memory", "available-memory", "disk-caches",  "hugetlb-allocations", "hugetlb-failures",
};

typedef struct Balloon {
    Virtio virtio;
    bool deflate_on_oom, reporting;
    VirtioChain chain;
    /* Saved. */
    u32 target, actual; /* pages; the target outlives resets */
    u64 statistics[BALLOON_STATISTICS];
    u16 known; /* bit n: the driver told statistic n */
    u8 waits;  /* it waits for the return of the chain that it told them with: */
    VirtioUsed held;
} Balloon;

/* -- Giving back */

/* Whole pages of the host's range. */
static void give_back(Balloon *balloon, u8 *host, u64 size)
{
    uintptr_t start = ALIGN_UP((uintptr_t)host, (uintptr_t)PAGE);
    uintptr_t end = ALIGN_DOWN((uintptr_t)host + size, (uintptr_t)PAGE);

    if (start < end) {
        u8 *pages = (u8 *)start; /* where it fails, the memory stays: nobody is harmed */
        (void)madvise(pages, end - start, MADV_DONTNEED);
        dma_done(&balloon->virtio.d.board->dma, pages, end - start);
    }
}

/* A run of the host's memory that grows while pages follow each other. */
typedef struct Run {
    u8 *host;
    u64 size;
} Run;

static void add_page(Balloon *balloon, Run *run, u64 number)
{
    u64 size = PAGE;
    u8 *host = dma_map(&balloon->virtio.d.board->dma, number << PAGE_SHIFT, &size, true);

    if (!host || size != PAGE) {
        device_guest_error(balloon, "page %#llx is no memory", (unsigned long long)number);
        return;
    }
    if (run->size && host == run->host + run->size) {
        run->size += PAGE;
        return;
    }
    give_back(balloon, run->host, run->size);
    *run = (Run){host, PAGE};
}

/* Chains of 32-bit page numbers. The pages behind the first CHAIN_MOST stay where they are: one
 * chain may name a page again and again, for hours. */
static void inflate(Balloon *balloon)
{
    u8 numbers[NUMBERS * 4];
    u64 size, at = 0;
    Run run = {NULL, 0};

    while (at < 4 * CHAIN_MOST &&
           (size = virtio_copy_out(&balloon->chain, at, numbers, sizeof numbers)) >= 4) {
        for (u64 i = 0; i + 4 <= size; i += 4) {
            add_page(balloon, &run, get_le(numbers + i, 4));
        }
        at += size;
    }
    give_back(balloon, run.host, run.size);
}

/* The chain's buffers are what is free. */
static void report(Balloon *balloon)
{
    const VirtioChain *chain = &balloon->chain;

    for (u32 i = 0; i < chain->in_count; i++) {
        const struct iovec *iov = &chain->iov[chain->out_count + i];
        give_back(balloon, iov->iov_base, iov->iov_len);
    }
}

/* -- Statistics (5.5.6.3) */

static void return_held(Balloon *balloon, VirtQueue *queue)
{
    if (balloon->waits) {
        balloon->waits = 0;
        virtqueue_publish(queue, &balloon->held, 1);
    }
}

/* The driver gets the chain back when others are wanted. */
static void take_statistics(Balloon *balloon, VirtQueue *queue)
{
    u8 bytes[STATISTIC];
    VirtioChain *chain = &balloon->chain;

    return_held(balloon, queue);
    if (!virtqueue_take(queue, chain)) {
        return;
    }
    for (u64 at = 0;
         at < STATISTICS_MOST && virtio_copy_out(chain, at, bytes, STATISTIC) == STATISTIC;
         at += STATISTIC) {
        u32 tag = (u32)get_le(bytes, 2);
        if (tag < BALLOON_STATISTICS) {
            balloon->statistics[tag] = get_le(bytes + 2, 8);
            balloon->known |= (u16)(1 << tag);
        }
    }
    balloon->waits = 1;
    balloon->held = virtqueue_written(queue, chain, 0);
}

void balloon_ask_statistics(void *device)
{
    Balloon *balloon = device;
    VirtQueue *queue = &balloon->virtio.queues[QUEUE_STATISTICS];

    if (balloon->waits && virtio_is_running(&balloon->virtio)) {
        return_held(balloon, queue);
        virtqueue_signal(queue);
    }
}

bool balloon_statistic(const void *device, u32 tag, u64 *value)
{
    const Balloon *balloon = device;

    *value = balloon->statistics[tag];
    return balloon->known >> tag & 1;
}

/* -- The device */

static void fill_config(void *device)
{
    Balloon *balloon = device;

    put_le(balloon->virtio.config + CONFIG_TARGET, balloon->target, 4);
    put_le(balloon->virtio.config + CONFIG_ACTUAL, balloon->actual, 4);
}

static void config_written(void *device, u32 at, u32 size)
{
    Balloon *balloon = device;

    (void)at, (void)size;
    balloon->actual = (u32)get_le(balloon->virtio.config + CONFIG_ACTUAL, 4);
    fill_config(balloon);
}

void balloon_set_target(void *device, u64 bytes)
{
    Balloon *balloon = device;

    balloon->target = (u32)MIN(bytes >> PAGE_SHIFT, (u64)UINT32_MAX);
    virtio_config_changed(&balloon->virtio);
}

u64 balloon_size(const void *device)
{
    return (u64)((const Balloon *)device)->actual << PAGE_SHIFT;
}

static void notify(void *device, VirtQueue *queue)
{
    Balloon *balloon = device;
    bool statistics = virtio_has(&balloon->virtio, F_STATS_VQ);

    if (queue->index == QUEUE_STATISTICS && statistics) {
        take_statistics(balloon, queue);
        return;
    }
    while (virtqueue_take(queue, &balloon->chain)) {
        if (queue->index == QUEUE_INFLATE) {
            inflate(balloon);
        } else if (queue->index != QUEUE_DEFLATE) {
            report(balloon);
        }
        virtqueue_return(queue, &balloon->chain, 0);
    }
    virtqueue_signal(queue);
}

static void reset_balloon(void *device)
{
    Balloon *balloon = device;

    balloon->actual = 0;
    balloon->known = 0;
    balloon->waits = 0;
    memset(balloon->statistics, 0, sizeof balloon->statistics);
}

static const VirtioInfo info = {
    .type = VIRTIO_BALLOON,
    .class_code = 0x00ff00,
    .queues = QUEUES,
    .features = F_STATS_VQ,
    .config_size = CONFIG_SIZE,
    .notify = notify,
    .config_reading = fill_config,
    .config_written = config_written,
    .reset = reset_balloon,
};

static int start(void *device, char **error)
{
    Balloon *balloon = device;

    balloon->virtio.offered |= balloon->deflate_on_oom ? F_DEFLATE_ON_OOM : 0;
    balloon->virtio.offered |= balloon->reporting ? F_REPORTING : 0;
    return virtio_start(device, error);
}

/* -- Descriptions */

static const StateField own_state[] = {
    STATE(Balloon, actual),
    STATE_ARRAY(Balloon, statistics),
    STATE(Balloon, known),
    STATE(Balloon, waits),
    STATE(Balloon, held.head),
    STATE(Balloon, held.places),
    STATE_END,
};

static const StateField kept[] = {
    STATE(Balloon, target),
    STATE_END,
};

static const Property properties[] = {
    {"deflate-on-oom", PROPERTY_BOOL, offsetof(Balloon, deflate_on_oom),
     "the guest may take memory back when it runs out", "off", NULL},
    {"free-page-reporting", PROPERTY_BOOL, offsetof(Balloon, reporting),
     "the guest gives back what it does not use", "off", NULL},
    PROPERTY_END,
};

VIRTIO_DEVICE(device_virtio_balloon, "virtio-balloon",
              "virtio balloon: memory that the guest does not need goes back to the host", &info,
              .size = sizeof(Balloon), .state = own_state, .kept = kept, .properties = properties,
              .start = start);
