/* See helpers.h. */
#include <string.h>

#include "helpers.h"

_Thread_local TestTrace *test_trace;

static void mix(u64 value)
{
    test_trace->hash = (test_trace->hash ^ value) * 0x9e3779b97f4a7c15;
    test_trace->hash ^= test_trace->hash >> 31;
}

/* arg1 * 3 + arg2 */
static void pure(void *state, IrWord *io)
{
    (void)state;
    io[0].i = io[1].i * 3 + io[2].i;
}

/* The first slot plus arg1. */
static void reads(void *state, IrWord *io)
{
    u64 slot;

    memcpy(&slot, state, 8);
    io[0].i = slot + io[1].i;
}

/* The first slot becomes arg1. */
static void writes(void *state, IrWord *io)
{
    memcpy(state, &io[1].i, 8);
    io[0].i = 1;
}

/* Something with an effect that neither reads nor writes state. */
static void effect(void *state, IrWord *io)
{
    (void)state;
    if (test_trace) {
        mix(io[1].i);
    }
    io[0].i = ~io[1].i;
}

/* Where a fault would be taken: notes the state. */
static void faults(void *state, IrWord *io)
{
    for (u32 i = 0; test_trace && i < test_trace->state_bytes; i += 8) {
        u64 part;
        memcpy(&part, (const u8 *)state + i, 8);
        mix(part);
    }
    io[0].i = io[1].i + 1;
}

/* The rounding mode becomes the low bit of arg1: nearest or up. */
static void round_(void *state, IrWord *io)
{
    cpu_common(state)->fp.rounding = io[1].i & 1;
    io[0].i = 0;
}

const IrHelper test_helpers[TEST_HELPER_COUNT] = {
    {"pure", pure, IR_HELPER_PURE},
    {"reads", reads, IR_HELPER_READS_STATE},
    {"writes", writes, IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE},
    {"effect", effect, 0},
    {"faults", faults, IR_HELPER_FAULTS},
    {"round", round_, IR_HELPER_FP},
};

const IrSlot test_slots[TEST_SLOT_COUNT] = {
    {"x0", 0, IR_I64},    {"x1", 8, IR_I64},   {"x2", 16, IR_I64},  {"x3", 24, IR_I64},
    {"nzcv", 32, IR_I32}, {"q0", 48, IR_V128}, {"q1", 64, IR_V128},
};
