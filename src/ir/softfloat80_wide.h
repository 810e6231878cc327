/* Inside x87 soft float: numbers of 128 significant bits, for functions that have no exact result.
 *
 * They are FpValues, finite or zero. Each operation is good to some 120 bits, so that a function
 * that needs a few dozen of them is far better than the 64 bits it is rounded to. */
#ifndef IR_SOFTFLOAT80_WIDE_H
#define IR_SOFTFLOAT80_WIDE_H

#include "ir/softfloat80_core.h"

/* significand * 2^(exponent - 127), given by its halves: the top bit must be set. */
#define WIDE(exponent_, high, low)                                                                 \
    {                                                                                              \
        .kind = FP_KIND_FINITE, .exponent = (exponent_), .significand = (u128)(high) << 64 | (low) \
    }

static inline FpValue wide_integer(s64 n)
{
    return f80_unpack_integer(n);
}

static inline FpValue wide_negate(FpValue a)
{
    a.sign = !a.sign;
    return a;
}

static inline FpValue wide_add(FpValue a, FpValue b)
{
    FpEnv env = {.rounding = FP_NEAREST_EVEN};
    return fp_add(&env, a, b);
}

FpValue wide_mul(FpValue a, FpValue b);
/* b must not be zero. */
FpValue wide_div(FpValue a, FpValue b);
/* By a small integer that is not zero. */
FpValue wide_div_small(FpValue a, u32 n);

/* Whether a term adds nothing more to a sum. */
static inline bool wide_is_negligible(FpValue term, FpValue sum)
{
    enum { BITS = 124 };
    return term.kind == FP_KIND_ZERO || term.exponent < sum.exponent - BITS;
}

/* s + s*square/3 + s*square^2/5 + ...: artanh(s) for square = s*s, arctan(s) for square = -s*s.
 * s must be well below 1. */
FpValue wide_odd_series(FpValue s, FpValue square);

/* A result that is not exact. */
static inline FpValue wide_inexact(FpValue a)
{
    a.significand |= 1;
    return a;
}

#endif
