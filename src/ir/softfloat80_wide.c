/* x87 soft float: numbers of 128 significant bits. */
#include "ir/softfloat80_wide.h"

static FpValue normalise(bool sign, s32 exponent, u128 significand)
{
    unsigned shift = fp_count_leading_zeros(significand);

    return (FpValue){.kind = FP_KIND_FINITE,
                     .sign = sign,
                     .exponent = exponent - (s32)shift,
                     .significand = significand << shift};
}

/* The high half of a product, without carries from its lowest quarter: 1 too small at most. */
static u128 multiply_high(u128 a, u128 b)
{
    u64 a1 = (u64)(a >> 64), a0 = (u64)a, b1 = (u64)(b >> 64), b0 = (u64)b;
    u128 middle = (u128)a1 * b0, other = (u128)a0 * b1;

    return (u128)a1 * b1 + (middle >> 64) + (other >> 64) +
           (((u128)(u64)middle + (u64)other) >> 64);
}

FpValue wide_mul(FpValue a, FpValue b)
{
    bool sign = a.sign ^ b.sign;

    if (a.kind == FP_KIND_ZERO || b.kind == FP_KIND_ZERO) {
        return fp_zero(sign);
    }
    return normalise(sign, a.exponent + b.exponent + 1,
                     multiply_high(a.significand, b.significand));
}

/* Schoolbook division, a bit at a time. */
FpValue wide_div(FpValue a, FpValue b)
{
    bool sign = a.sign ^ b.sign;
    u128 rest = a.significand, quotient = 0;
    s32 exponent = a.exponent - b.exponent;

    if (a.kind == FP_KIND_ZERO) {
        return fp_zero(sign);
    }
    bool carry = false; /* bit 128 of the rest */
    for (unsigned i = 0; i < 128; i++) {
        bool fits = carry || rest >= b.significand;
        rest -= fits ? b.significand : 0;
        quotient = quotient << 1 | fits;
        carry = rest >> 127;
        rest <<= 1;
    }
    return normalise(sign, exponent, quotient);
}

FpValue wide_div_small(FpValue a, u32 n)
{
    if (a.kind == FP_KIND_ZERO) {
        return a;
    }
    return normalise(a.sign, a.exponent, a.significand / n);
}

FpValue wide_odd_series(FpValue s, FpValue square)
{
    FpValue power = s, sum = s, term = s;

    for (u32 n = 3; !wide_is_negligible(term, sum); n += 2) {
        power = wide_mul(power, square);
        term = wide_div_small(power, n);
        sum = wide_add(sum, term);
    }
    return sum;
}
