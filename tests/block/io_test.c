/* Asynchronous requests: many at a time, of random kinds, on raw and qcow2 with both engines; what
 * is read must be what was written before. Requests in flight at one time don't overlap. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/io.h"
#include "tests/random.h"
#include "tests/tap.h"

enum {
    DISK = 24 << 20,
    UNIT = 4096,
    UNITS = DISK / UNIT,
    DEPTH = 32,
    REQUESTS = 4000,
    LONGEST = 40
};

typedef struct Slot {
    BlockRequest request;
    struct iovec iov[3];
    u8 *data;
    u64 first, count; /* units */
    bool busy;
} Slot;

static struct {
    BlockNode *disk;
    IoContext *io;
    u64 random;
    u8 *model;
    bool in_flight[UNITS];
    Slot slots[DEPTH];
    unsigned wrong, failed, ended;
} t;

static void done(BlockRequest *request, int result)
{
    Slot *slot = request->opaque;
    u64 bytes = slot->count * UNIT;

    t.failed += result < 0;
    if (request->op == BLOCK_OP_READ && memcmp(slot->data, t.model + slot->first * UNIT, bytes)) {
        t.wrong++;
    }
    for (u64 i = 0; i < slot->count; i++) {
        t.in_flight[slot->first + i] = false;
    }
    slot->busy = false;
    t.ended++;
}

/* Data in up to three pieces. */
static void scatter(Slot *slot, size_t bytes)
{
    size_t a = random_next(&t.random) % 2 ? bytes : random_next(&t.random) % bytes;
    size_t b = random_next(&t.random) % (bytes - a + 1);

    slot->iov[0] = (struct iovec){slot->data, a};
    slot->iov[1] = (struct iovec){slot->data + a, b};
    slot->iov[2] = (struct iovec){slot->data + a + b, bytes - a - b};
}

static void start(Slot *slot)
{
    static const BlockOp ops[] = {BLOCK_OP_READ,  BLOCK_OP_READ, BLOCK_OP_READ, BLOCK_OP_WRITE,
                                  BLOCK_OP_WRITE, BLOCK_OP_ZERO, BLOCK_OP_FLUSH};
    BlockOp op = ops[random_next(&t.random) % COUNT(ops)];

    slot->first = random_next(&t.random) % UNITS;
    slot->count = 1 + random_next(&t.random) % MIN((u64)LONGEST, UNITS - slot->first);
    for (u64 i = 0; i < slot->count; i++) {
        if (t.in_flight[slot->first + i]) {
            slot->count = i;
        }
    }
    if (!slot->count) {
        return;
    }
    u64 at = slot->first * UNIT, bytes = slot->count * UNIT;
    memset(t.in_flight + slot->first, true, slot->count);
    if (op == BLOCK_OP_WRITE) {
        for (u64 i = 0; i < bytes; i += 8) {
            u64 word = random_next(&t.random);
            memcpy(slot->data + i, &word, 8);
        }
        memcpy(t.model + at, slot->data, bytes);
    } else if (op == BLOCK_OP_ZERO) {
        memset(t.model + at, 0, bytes);
    }
    scatter(slot, bytes);
    slot->busy = true;
    slot->request = (BlockRequest){.op = op,
                                   .offset = at,
                                   .bytes = bytes,
                                   .iov = slot->iov,
                                   .done = done,
                                   .opaque = slot,
                                   .flags = op == BLOCK_OP_ZERO ? BLOCK_MAY_UNMAP : 0};
    block_submit(t.io, t.disk, &slot->request);
}

static void exercise(void)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        Slot *slot = &t.slots[random_next(&t.random) % DEPTH];
        if (slot->busy) {
            io_context_run(t.io, true);
        } else {
            start(slot);
        }
    }
    for (unsigned i = 0; i < DEPTH; i++) {
        while (t.slots[i].busy) {
            io_context_run(t.io, true);
        }
    }
}

static void create(const char *format, const char *path, const char *options)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};

    block_options_parse(list, options, NULL, &error);
    if (block_create(block_driver_find(format), path, list, &error) < 0) {
        printf("# %s\n", error.text);
    }
    block_options_free(list);
}

static void run(IoEngine engine, const char *format, unsigned flags, const char *options)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};

    unlink("io-test.img");
    create(format, "io-test.img", options);
    block_options_set(list, "driver", format);
    t.wrong = t.failed = t.ended = 0;
    memset(t.model, strstr(options, "backing") ? 0x77 : 0, DISK);
    int result =
        block_open(&t.disk, "io-test.img", list, BLOCK_WRITE | BLOCK_UNMAP | flags, &error);
    t.io = io_context_new(engine, &error);
    if (flags & BLOCK_DIRECT && result == -EINVAL) {
        OK(true, "no O_DIRECT here # SKIP");
    } else if (!t.io) {
        OK(true, "%s # SKIP", error.text);
        block_close(t.disk);
    } else {
        OK(result == 0, "open %s %s", format, error.text);
        exercise();
        OK(!t.wrong && !t.failed, "%u requests on %s %s by %s%s: %u wrong, %u failed", t.ended,
           format, options, io_context_engine(t.io), flags & BLOCK_DIRECT ? ", direct" : "",
           t.wrong, t.failed);
        u8 *back = malloc(DISK);
        OK(!block_pread(t.disk, 0, back, DISK) && !memcmp(back, t.model, DISK), "the whole disk");
        BlockCheck check = {0};
        if (!strcmp(format, "qcow2")) {
            OK(!block_check(t.disk, 0, &check, &error) && !check.corruptions && !check.leaks,
               "%llu corruptions, %llu leaks", (unsigned long long)check.corruptions,
               (unsigned long long)check.leaks);
        }
        free(back);
        OK(!block_close(t.disk), "close");
    }
    io_context_free(t.io);
    block_options_free(list);
    unlink("io-test.img");
}

int main(void)
{
    static const struct {
        const char *format, *options;
    } images[] = {
        {"raw", "size=24M"},
        {"qcow2", "size=24M"},
        {"qcow2", "size=24M,cluster_size=4k"},
        {"qcow2", "size=24M,extended_l2=on"},
        {"qcow2", "size=24M,backing_file=io-test.base,backing_fmt=raw"},
    };
    u8 *base = malloc(DISK);
    FILE *file = fopen("io-test.base", "w");

    t.model = malloc(DISK);
    for (unsigned i = 0; i < DEPTH; i++) {
        t.slots[i].data = aligned_alloc(UNIT, LONGEST * UNIT);
    }
    memset(base, 0x77, DISK);
    fwrite(base, 1, DISK, file);
    fclose(file);
    for (IoEngine engine = IO_URING; engine <= IO_THREADS; engine++) {
        for (size_t i = 0; i < COUNT(images); i++) {
            t.random = i;
            run(engine, images[i].format, 0, images[i].options);
        }
        run(engine, "qcow2", BLOCK_DIRECT, "size=24M");
    }
    for (unsigned i = 0; i < DEPTH; i++) {
        free(t.slots[i].data);
    }
    unlink("io-test.base");
    free(base);
    free(t.model);
    return tap_done();
}
