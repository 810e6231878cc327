/* Random IR regions that verify: what passes and hosts are tested with.
 *
 * Every operation can come up, with operands of every kind that ir_check_insn() lets through: the
 * maker draws arguments and immediates at random and asks the verifier. Control flow is a sequence
 * of straight pieces, diamonds with PHIs, loops with PHIs and a count, and early exits, so that
 * every region ends. */
#ifndef TESTS_IR_RANDOM_REGION_H
#define TESTS_IR_RANDOM_REGION_H

#include "ir/ir.h"

typedef struct Random {
    u64 state;
} Random;

/* The next 64 random bits; below() the next number in [0, limit). */
u64 random_next(Random *random);
u32 random_below(Random *random, u32 limit);

typedef struct RandomRegionOptions {
    u32 pieces;           /* of control flow; 1: mostly one block */
    u32 insns_per_block;  /* about */
    u32 state_bytes;      /* slots lie in [0, state_bytes); a multiple of 16 */
    u64 memory;           /* guest address of memory for LOAD and others; 0: none of them */
    u32 memory_bytes;     /* a power of two */
    bool floats, vectors; /* operations on these */
    bool helpers;         /* calls of the helpers in helpers.h */
    bool exact_fp;
    /* Operations to leave out; NULL: none. */
    bool (*without)(IrOp op);
} RandomRegionOptions;

/* A region in the arena, verified. Its helpers are test_helpers, its slots have no names. The same
 * seed and options give the same region. */
IrRegion *random_region(Arena *arena, u64 seed, const RandomRegionOptions *options);

/* Fills bytes with values that operations find interesting: small, extreme, floats, random. */
void random_bytes(Random *random, void *bytes, u32 size);

/* A copy in the arena, so that one region can be run before and after a pass. */
IrRegion *region_copy(Arena *arena, const IrRegion *region);

#endif
