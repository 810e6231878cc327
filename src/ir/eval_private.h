/* How the evaluator is organised: most operations are one function on one lane, a scalar being a
 * vector of one lane; the others are a function on whole words. Each file eval_*.c supplies a table
 * of either kind, indexed by operation, NULL where the operation belongs to another.
 * Private to eval*.c. */
#ifndef IR_EVAL_PRIVATE_H
#define IR_EVAL_PRIVATE_H

#include <string.h>

#include "ir/eval.h"

typedef struct Lane {
    const IrInsn *insn;
    FpEnv *fp;
    u32 bits;    /* width of an operand's lane */
    u32 to_bits; /* of the result's */
    u32 index;   /* the lane's number */
} Lane;

/* Operands are zero-extended; the caller cuts the result to its width. */
typedef u64 LaneFn(const Lane *lane, u64 x, u64 y, u64 z);

typedef struct Eval {
    const IrInsn *insn;
    const u8 *types;
    const IrWord *args;
    IrWord *result; /* zeroed before */
    FpEnv *fp;
    u32 lane_size; /* bytes; 0 without a lane type */
    u32 lanes;     /* of the result */
} Eval;

typedef void WordFn(const Eval *e);

extern LaneFn *const eval_int_lanes[IR_OP_COUNT];
extern LaneFn *const eval_float_lanes[IR_OP_COUNT];
extern LaneFn *const eval_vector_lanes[IR_OP_COUNT];
extern WordFn *const eval_vector_words[IR_OP_COUNT];
extern WordFn *const eval_crypto_words[IR_OP_COUNT];

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lanes are little-endian in memory");

/* Lane `index` of `size` bytes (1..8), zero-extended. */
static inline u64 eval_lane(const IrWord *word, u32 size, u32 index)
{
    u64 value = 0;

    memcpy(&value, word->bytes + size * index, size);
    return value;
}

static inline void eval_set_lane(IrWord *word, u32 size, u32 index, u64 value)
{
    memcpy(word->bytes + size * index, &value, size);
}

static inline s64 eval_sign_extend(u64 value, u32 bits)
{
    return (s64)(value << (64 - bits)) >> (64 - bits);
}

/* The lane as a number, by sub's IR_SIGNED. */
static inline s128 eval_number(const Lane *l, u64 value)
{
    return l->insn->sub & IR_SIGNED ? (s128)eval_sign_extend(value, l->bits) : (s128)value;
}

/* The nearest number that `bits` bits hold. */
static inline u64 eval_saturate(s128 value, u32 bits, bool is_signed)
{
    s128 top = is_signed ? ((s128)1 << (bits - 1)) - 1 : ((s128)1 << bits) - 1;
    s128 bottom = is_signed ? -top - 1 : 0;

    return (u64)(value > top ? top : value < bottom ? bottom : value);
}

/* x * y without carries: polynomials over GF(2). */
static inline u128 eval_carryless(u64 x, u64 y)
{
    u128 product = 0;

    for (u32 i = 0; i < 64; i++) {
        product ^= y >> i & 1 ? (u128)x << i : 0;
    }
    return product;
}

/* Whether the comparison holds for two lanes of `bits` bits. */
bool eval_compare(IrCmp cmp, u64 x, u64 y, u32 bits);

#endif
