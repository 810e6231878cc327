/* Helpers that IR in tests may call, one of each kind, and the slots that it may name. */
#ifndef TESTS_IR_HELPERS_H
#define TESTS_IR_HELPERS_H

#include "ir/ir.h"

enum { TEST_HELPER_COUNT = 6 };
extern const IrHelper test_helpers[TEST_HELPER_COUNT];

/* What the helper "faults" saw, for tests that compare states at places that may fault. */
typedef struct TestTrace {
    u64 hash;        /* of the state at each call so far */
    u32 state_bytes; /* how much of the state counts */
} TestTrace;

/* The trace that the helpers of this thread write to; NULL: none. */
extern _Thread_local TestTrace *test_trace;

enum { TEST_SLOT_COUNT = 7 };
extern const IrSlot test_slots[TEST_SLOT_COUNT];

#endif
