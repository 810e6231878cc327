/* menura img bench: times a sequence of requests on an image. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "cmd/img/img.h"

typedef struct Bench Bench;

typedef struct Slot {
    Bench *bench;
    BlockRequest request;
    struct iovec iov;
} Slot;

struct Bench {
    ImgOptions common;
    bool write, no_drain;
    u64 count, depth, size, step, offset, flush_interval, pattern;
    IoEngine engine;

    BlockNode *node;
    IoContext *io;
    Slot *slots;
    u64 started, ended, next_offset, since_flush, in_flight;
    bool flushing;
    int result;
};

static bool parse(Bench *b, int argc, char **argv, int *status)
{
    enum { OPTION_FLUSH = IMG_OPTION_OWN, OPTION_NO_DRAIN, OPTION_PATTERN };
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"flush-interval", required_argument, NULL, OPTION_FLUSH},
                                          {"no-drain", no_argument, NULL, OPTION_NO_DRAIN},
                                          {"pattern", required_argument, NULL, OPTION_PATTERN},
                                          {"native", no_argument, NULL, 'n'},
                                          {"cache", required_argument, NULL, 't'},
                                          {"count", required_argument, NULL, 'c'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"offset", required_argument, NULL, 'o'},
                                          {"buffer-size", required_argument, NULL, 's'},
                                          {"step-size", required_argument, NULL, 'S'},
                                          {"write", no_argument, NULL, 'w'},
                                          {"aio", required_argument, NULL, 'i'},
                                          {0}};
    bool good = true;
    int option;

    while (good && (option = getopt_long(argc, argv, "c:d:f:i:no:qs:S:t:wUh", longs, NULL)) != -1) {
        switch (option) {
        case 'c':
            good = img_parse_number("request count", optarg, 1, INT32_MAX, &b->count);
            break;
        case 'd':
            good = img_parse_number("queue depth", optarg, 1, 65536, &b->depth);
            break;
        case 'i':
            good = !strcmp(optarg, "threads") || !strcmp(optarg, "io_uring") ||
                   !strcmp(optarg, "native");
            b->engine = !strcmp(optarg, "threads") ? IO_THREADS : IO_URING;
            if (!good) {
                img_error("Invalid aio option: %s", optarg);
            }
            break;
        case 'n':
            b->engine = IO_URING;
            break;
        case 'o':
            good = img_parse_size("offset", optarg, &b->offset);
            break;
        case 's':
            good = img_parse_size("buffer size", optarg, &b->size);
            break;
        case 'S':
            good = img_parse_size("step size", optarg, &b->step);
            break;
        case 'w':
            b->write = true;
            break;
        case OPTION_FLUSH:
            good = img_parse_number("flush interval", optarg, 0, INT32_MAX, &b->flush_interval);
            break;
        case OPTION_NO_DRAIN:
            b->no_drain = true;
            break;
        case OPTION_PATTERN:
            good = img_parse_number("pattern byte", optarg, 0, 255, &b->pattern);
            break;
        default:
            if (!img_take_option(&b->common, option, &img_bench, status)) {
                return false;
            }
        }
    }
    *status = good ? 0 : 1;
    return good;
}

/* -- Running: each slot starts its next request when one ends */

static void pump(Bench *b, Slot *slot);

static void flushed(BlockRequest *request, int result)
{
    Slot *slot = request->opaque;
    Bench *b = slot->bench;

    request->opaque = NULL;
    b->flushing = false;
    b->in_flight--;
    if (result < 0) {
        b->result = result;
    }
    for (u64 n = 0; n < b->depth; n++) {
        if (!b->slots[n].request.opaque) {
            pump(b, &b->slots[n]);
        }
    }
}

/* Starts a flush in a slot that is free, once all requests before it have ended. */
static void start_flush(Bench *b, Slot *slot)
{
    b->flushing = true;
    b->since_flush = 0;
    b->in_flight++;
    slot->request = (BlockRequest){.op = BLOCK_OP_FLUSH, .done = flushed, .opaque = slot};
    block_submit(b->io, b->node, &slot->request);
}

static void ended(BlockRequest *request, int result)
{
    Slot *slot = request->opaque;
    Bench *b = slot->bench;

    b->in_flight--;
    b->ended++;
    request->opaque = NULL;
    if (result < 0) {
        b->result = result;
    }
    pump(b, slot);
}

static void pump(Bench *b, Slot *slot)
{
    slot->request.opaque = NULL;
    if (b->result < 0 || b->started == b->count || (b->flushing && !b->no_drain)) {
        return;
    }
    if (b->flush_interval && b->since_flush >= b->flush_interval && !b->flushing) {
        if (b->in_flight == 0 || b->no_drain) {
            start_flush(b, slot);
        }
        return;
    }
    slot->request = (BlockRequest){
        .op = b->write ? BLOCK_OP_WRITE : BLOCK_OP_READ,
        .offset = b->next_offset,
        .bytes = b->size,
        .iov = &slot->iov,
        .done = ended,
        .opaque = slot,
    };
    b->started++;
    b->since_flush++;
    b->in_flight++;
    b->next_offset += b->step;
    if (b->next_offset + b->size > block_size(b->node)) {
        b->next_offset = b->next_offset % block_size(b->node);
        if (b->next_offset + b->size > block_size(b->node)) {
            b->next_offset = 0;
        }
    }
    block_submit(b->io, b->node, &slot->request);
}

static int run_requests(Bench *b)
{
    for (u64 n = 0; n < b->depth; n++) {
        pump(b, &b->slots[n]);
    }
    while (b->in_flight) {
        io_context_run(b->io, true);
    }
    return b->result;
}

static int bench(Bench *b)
{
    double start;
    int result;

    b->slots = calloc(b->depth, sizeof *b->slots);
    if (!b->slots) {
        return img_error("Out of memory");
    }
    for (u64 n = 0; n < b->depth; n++) {
        u8 *buffer = block_buffer_new(b->size);
        if (!buffer) {
            return img_error("Out of memory");
        }
        memset(buffer, (int)b->pattern, b->size);
        b->slots[n] = (Slot){.bench = b, .iov = {buffer, b->size}};
    }
    printf("Sending %llu %s requests, %llu bytes each, %llu in parallel (starting at offset %llu, "
           "step size %llu)\n",
           (unsigned long long)b->count, b->write ? "write" : "read", (unsigned long long)b->size,
           (unsigned long long)b->depth, (unsigned long long)b->offset,
           (unsigned long long)b->step);
    if (b->flush_interval) {
        printf("Sending flush every %llu %srequests\n", (unsigned long long)b->flush_interval,
               b->no_drain ? "" : "drained ");
    }
    fflush(stdout);
    start = img_now();
    result = run_requests(b);
    if (result < 0) {
        return img_error("Failed request: %s", strerror(-result));
    }
    printf("Run completed in %3.3f seconds.\n", img_now() - start);
    return 0;
}

static void free_slots(Bench *b)
{
    for (u64 n = 0; b->slots && n < b->depth; n++) {
        free(b->slots[n].iov.iov_base);
    }
    free(b->slots);
}

static int run(int argc, char **argv)
{
    Bench b = {.count = 75000, .depth = 64, .size = 4096, .engine = IO_AUTO};
    BlockError error;
    int status = 0;

    if (!parse(&b, argc, argv, &status)) {
        return status;
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    b.step = b.step ? b.step : b.size;
    b.next_offset = b.offset;
    b.node = img_open(&b.common, argv[optind], b.write ? BLOCK_WRITE : 0);
    if (!b.node) {
        return 1;
    }
    if (b.size == 0 || b.size > INT32_MAX || b.offset + b.size > block_size(b.node)) {
        status = img_error("The requests don't fit into the image");
    } else if (!(b.io = io_context_new(b.engine, &error))) {
        status = img_error("%s", error.text);
    } else {
        status = bench(&b);
        io_context_free(b.io);
    }
    free_slots(&b);
    img_close(b.node, argv[optind], &status);
    return status;
}

const ImgCommand img_bench = {"bench",
                              "[-c COUNT] [-d DEPTH] [-f FORMAT] [--flush-interval=N] [-i ENGINE] "
                              "[-n] [--no-drain] [-o OFFSET] [--pattern=BYTE] [-q] [-s SIZE] "
                              "[-S STEP] [-t CACHE] [-w] [-U] FILE",
                              "time a sequence of requests", run};
