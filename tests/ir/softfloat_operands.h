/* Operands for the soft float tests: bit patterns biased towards what goes wrong in floating point.
 * Deterministic for a seed; knows nothing of the code under test. */
#ifndef TESTS_IR_SOFTFLOAT_OPERANDS_H
#define TESTS_IR_SOFTFLOAT_OPERANDS_H

#include "base/types.h"

typedef struct Operands {
    u64 state;    /* of the random numbers */
    u64 previous; /* the last operand made, for near misses and cancellation */
} Operands;

/* What an operand is: a format, or an integer. */
typedef struct OperandType {
    const char *name;
    u8 fraction_bits, exponent_bits; /* 0, 0: an integer of 64 bits */
} OperandType;

static const OperandType operand_f16 = {"f16", 10, 5};
static const OperandType operand_f32 = {"f32", 23, 8};
static const OperandType operand_f64 = {"f64", 52, 11};
static const OperandType operand_integer = {"integer", 0, 0};

/* xorshift64*; the state must not be 0. */
static inline u64 random_u64(Operands *o)
{
    o->state ^= o->state >> 12;
    o->state ^= o->state << 25;
    o->state ^= o->state >> 27;
    return o->state * 0x2545f4914f6cdd1d;
}

static inline u64 random_below(Operands *o, u64 limit)
{
    return (random_u64(o) >> 32) * limit >> 32;
}

/* Random bits, few bits, or a run of ones: carries and ties are rare in random bits. */
static inline u64 random_pattern(Operands *o)
{
    u64 a = (u64)1 << random_below(o, 64), b = (u64)1 << random_below(o, 64);
    switch (random_below(o, 6)) {
    case 0:
        return a | b;
    case 1:
        return a - b;
    case 2:
        return a;
    case 3:
        return ~(a | b);
    default:
        return random_u64(o);
    }
}

static inline u64 next_operand(Operands *o, const OperandType *type)
{
    if (type->exponent_bits == 0) {
        u64 value = random_pattern(o);
        return random_below(o, 2) ? value >> random_below(o, 64) : -(value >> random_below(o, 64));
    }
    u64 top = ((u64)1 << type->exponent_bits) - 1, bias = top / 2;
    u64 fraction_mask = ((u64)1 << type->fraction_bits) - 1;
    u64 fraction = random_pattern(o) & fraction_mask;
    u64 sign = random_below(o, 2) << (type->fraction_bits + type->exponent_bits);
    u64 exponent = random_u64(o) & top;

    switch (random_below(o, 12)) {
    case 0: /* zero, infinity or a power of two */
        fraction = 0;
        exponent = (const u64[]){0, top, bias, 1, top - 1, bias + 1}[random_below(o, 6)];
        break;
    case 1: /* NaN */
        exponent = top;
        break;
    case 2: /* subnormal or just above */
        exponent = random_below(o, 2);
        break;
    case 3: /* near overflow */
        exponent = top - 1 - random_below(o, 2);
        break;
    case 4: /* near half the range, where products under- and overflow */
        exponent = bias / 2 + random_below(o, 4) + (random_below(o, 2) ? bias : 0);
        break;
    case 5:
    case 6:
    case 7: /* of a size where integers and fractions matter */
        exponent = bias - 2 + random_below(o, type->fraction_bits < 15 ? 15 : 70);
        break;
    case 8: /* a neighbour of the operand before */
        o->previous += random_below(o, 5) - 2 + (random_below(o, 3) << type->fraction_bits);
        o->previous &= (fraction_mask + 1) * (top + 1) - 1;
        return o->previous |= sign;
    default:
        break;
    }
    return o->previous = sign | exponent << type->fraction_bits | fraction;
}

#endif
