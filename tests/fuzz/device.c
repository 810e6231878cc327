/* Fuzz target: what a guest, and the world outside, may do to a device. The first byte chooses the
 * device; the rest are steps of a byte and its operands, on a bench with dummy back ends
 * (tests/device/bench.h). A step that lacks operands takes zeroes. A state that the device saved
 * must load into it, and be saved the same again, unless damage went before.
 *
 * With FUZZ_DEVICE=NAME in the environment, all inputs are of that device. */
#include <time.h>

#include "device/devices.h"
#include "tests/device/bench.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    LARGEST_INPUT = 4096,
    LONGEST_WAIT = 22,              /* log2 of nanoseconds */
    TIME_LIMIT = 8 << LONGEST_WAIT, /* for all steps */
    MOST_RELOADS = 16,
    MEMORY_UNIT = 16, /* a memory step's address counts these */
};

/* Low four bits of a step; bits 6 and 7 are the log2 of an access's size. */
enum {
    STEP_READ,    /* target, offset (2) */
    STEP_WRITE,   /* target, offset (2), value (as the size says) */
    STEP_MEMORY,  /* address (2), count, bytes */
    STEP_WAIT,    /* log2 of nanoseconds */
    STEP_OUTSIDE, /* value (4) */
    STEP_RELOAD,  /* saves, resets and loads */
    STEP_DAMAGE,  /* where in the saved state (4), bits to change: then loads it */
    STEP_RESET,
    STEP_PLACE,
    STEP_FAR_READ, /* as above, with an offset of 4 bytes */
    STEP_FAR_WRITE,
    STEPS
};

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static u64 take(Input *input, unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size && input->size; i++) {
        value |= (u64)*input->data++ << 8 * i;
        input->size--;
    }
    return value;
}

typedef struct Run {
    Bench bench;
    DeviceDef part; /* of the device's description: what is saved and loaded here */
    u64 waited;
    u32 reloads;
    bool damaged;
} Run;

/* -- States. Memories stay out of them: to copy those takes longer than all else, and changes
 * nothing. The buffers stay from input to input, as they need not be mapped anew then. */

static void save(Run *run, StateBuffer *state)
{
    Device *device = run->bench.device;
    const DeviceDef *def = device->def;

    state->size = state->at = 0;
    device->def = &run->part;
    device_save(device, state);
    device->def = def;
}

static int load(Run *run, StateBuffer *state, char **error)
{
    Device *device = run->bench.device;
    const DeviceDef *def = device->def;
    int result;

    device->def = &run->part;
    result = device_load(device, state, error);
    device->def = def;
    return result;
}

static void must_be_same(const Run *run, const StateBuffer *a, const StateBuffer *b)
{
    size_t at = 0, size = MIN(a->size, b->size);

    if (a->size == b->size && !memcmp(a->bytes, b->bytes, size)) {
        return;
    }
    while (at < size && a->bytes[at] == b->bytes[at]) {
        at++;
    }
    fprintf(stderr, "%s: byte %zu of %zu is saved otherwise than loaded\n", run->part.name, at,
            a->size);
    abort();
}

/* With nothing in flight. */
static void reload(Run *run)
{
    static StateBuffer first, second;
    char *error = NULL;

    bench_wait(&run->bench, 0);
    save(run, &first);
    bench_reset(&run->bench);
    if (load(run, &first, &error) < 0) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    save(run, &second);
    if (!run->damaged) {
        must_be_same(run, &first, &second);
    }
}

static void load_damaged(Run *run, u32 where, u8 bits)
{
    static StateBuffer state;
    char *error = NULL;

    run->damaged = true;
    bench_wait(&run->bench, 0);
    save(run, &state);
    state.bytes[where % state.size] ^= bits;
    if ((load(run, &state, &error) < 0) != (error != NULL)) {
        abort();
    }
    free(error);
}

/* -- Steps */

static void fill_memory(Bench *bench, Input *input)
{
    u64 address = take(input, 2) * MEMORY_UNIT, count = take(input, 1);

    count = MIN(count, input->size);
    memcpy(bench->bare.ram->host + address, input->data, count);
    input->data += count;
    input->size -= count;
}

static void access_register(Bench *bench, Input *input, unsigned offset_size, bool write,
                            unsigned size)
{
    u32 target = (u32)take(input, 1);
    u64 offset = take(input, offset_size);

    if (write) {
        bench_write(bench, target, offset, size, take(input, size));
    } else {
        bench_read(bench, target, offset, size);
    }
}

static void wait(Run *run, unsigned exponent)
{
    u64 time = (u64)1 << exponent % (LONGEST_WAIT + 1);

    time = MIN(time, TIME_LIMIT - run->waited);
    run->waited += time;
    bench_wait(&run->bench, time);
}

static void damage(Run *run, Input *input)
{
    u32 where = (u32)take(input, 4);
    u8 bits = (u8)take(input, 1);

    if (run->reloads++ < MOST_RELOADS) {
        load_damaged(run, where, bits);
    }
}

static void step(Run *run, Input *input)
{
    Bench *bench = &run->bench;
    u8 what = (u8)take(input, 1);
    unsigned size = 1u << (what >> 6);

    switch ((what & 15) % STEPS) {
    case STEP_READ:
        access_register(bench, input, 2, false, size);
        break;
    case STEP_WRITE:
        access_register(bench, input, 2, true, size);
        break;
    case STEP_FAR_READ:
        access_register(bench, input, 4, false, size);
        break;
    case STEP_FAR_WRITE:
        access_register(bench, input, 4, true, size);
        break;
    case STEP_MEMORY:
        fill_memory(bench, input);
        break;
    case STEP_WAIT:
        wait(run, (unsigned)take(input, 1));
        break;
    case STEP_OUTSIDE:
        bench_outside(bench, (u32)take(input, 4));
        break;
    case STEP_RELOAD:
        if (run->reloads++ < MOST_RELOADS) {
            reload(run);
        }
        break;
    case STEP_DAMAGE:
        damage(run, input);
        break;
    case STEP_RESET:
        bench_reset(bench);
        break;
    default:
        bench_place(bench);
    }
}

/* Each device has one of 256 places, by its name, so that a new device changes the meaning of few
 * inputs; a byte means the first device from there on. */
static const DeviceDef *device_of(u8 byte)
{
    const DeviceDef *places[256] = {0};

    for (size_t i = 0; device_defs[i]; i++) {
        u8 place = 0;
        for (const char *c = device_defs[i]->name; *c; c++) {
            place = (u8)(place * 31 + *c);
        }
        while (places[place]) {
            place++;
        }
        places[place] = device_defs[i];
    }
    while (!places[byte]) {
        byte++;
    }
    return places[byte];
}

static const DeviceDef *choose(Input *input)
{
    const char *name = getenv("FUZZ_DEVICE");
    u8 byte = (u8)take(input, 1);
    const DeviceDef *def = name ? device_find(name) : device_of(byte);

    if (!def) {
        fprintf(stderr, "FUZZ_DEVICE: there is no device '%s'\n", name);
        abort();
    }
    return def;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Run run; /* large */
    Input input = {data, MIN(size, (size_t)LARGEST_INPUT)};
    const DeviceDef *def = choose(&input);
    clock_t end = clock() + CLOCKS_PER_SEC / 2; /* so much for rows of blits of megapixels */
    char *error = NULL;

    run = (Run){.part = bench_without_memory(def)};
    if (!bench_start(&run.bench, def, 0, &error)) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    while (input.size && clock() < end) {
        step(&run, &input);
    }
    reload(&run);
    bench_stop(&run.bench);
    bench_free_fields(&run.part);
    return 0;
}
