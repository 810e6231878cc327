/* x87 soft float: what takes exponents apart: FPREM and FPREM1, FSCALE, FXTRACT. */
#include "ir/softfloat80_core.h"

/* Nothing here is under precision control. */
static F80 finish(F80Env *env, FpValue result, bool subnormal)
{
    return f80_finish(env, fp_f80.precision, result, subnormal);
}

/* dividend * 2^shift = quotient * divisor + *dividend, for shift < 64. The quotient's lowest 64
 * bits are returned: it has one more when the dividend is not less than the divisor. */
static u64 divide(u64 *dividend, unsigned shift, u64 divisor)
{
    u128 scaled = (u128)*dividend << shift;
    u64 quotient = (u64)(scaled / divisor);

    *dividend = (u64)(scaled % divisor);
    return quotient;
}

/* Of a finite a and b: the remainder with a's sign, exact. */
static FpValue remainder_finite(FpValue a, FpValue b, bool nearest, F80Quotient *quotient)
{
    s32 distance = a.exponent - b.exponent;
    u64 rest = (u64)(a.significand >> 64), divisor = (u64)(b.significand >> 64);

    if (distance >= 64) { /* one step, of a size that leaves a multiple of 32 */
        unsigned step = 32 | (distance & 31);
        divide(&rest, step, divisor);
        quotient->partial = true;
        FpValue result = fp_from_integer(a.sign, rest, a.exponent - (s32)step - 63);
        result.sign = a.sign;
        return result;
    }
    if (distance < 0) {
        /* Less than half of b, unless the exponents are neighbours: rest counts in half units. */
        if (!nearest || distance < -1 || rest <= divisor) {
            return a;
        }
        quotient->low_bits = 1;
        u128 difference = ((u128)divisor << 1) - rest;
        return fp_from_integer(!a.sign, (u64)difference, a.exponent - 63);
    }
    u64 q = divide(&rest, (unsigned)distance, divisor);
    bool sign = a.sign;
    u64 gap = divisor - rest; /* to the next multiple */
    if (nearest && (rest > gap || (rest == gap && q & 1))) {
        q++;
        rest = gap;
        sign = !sign;
    }
    quotient->low_bits = q & 7;
    FpValue result = fp_from_integer(sign, rest, b.exponent - 63);
    result.sign = rest ? sign : a.sign;
    return result;
}

F80 f80_remainder(F80Env *env, FpValue a, FpValue b, bool nearest, F80Quotient *quotient)
{
    bool subnormal = a.subnormal || b.subnormal;

    *quotient = (F80Quotient){0};
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return finish(env, fp_propagate_nan2(&env->fp, a, b), subnormal);
    }
    if (a.kind == FP_KIND_INFINITY || b.kind == FP_KIND_ZERO) {
        return finish(env, fp_invalid(&env->fp), subnormal);
    }
    if (a.kind == FP_KIND_ZERO || b.kind == FP_KIND_INFINITY) {
        return finish(env, a, subnormal);
    }
    F80 result = finish(env, remainder_finite(a, b, nearest, quotient), subnormal);
    if (f80_aborted(env)) {
        *quotient = (F80Quotient){0};
    }
    return result;
}

/* b truncated, cut to what moves every finite number beyond every limit. */
static s32 scale_distance(FpValue b)
{
    enum { FARTHEST = 1 << 16 };

    if (b.kind != FP_KIND_FINITE || b.exponent < 0) {
        return 0;
    }
    s32 distance = b.exponent > 16 ? FARTHEST : (s32)(b.significand >> (127 - b.exponent));
    return b.sign ? -MIN(distance, FARTHEST) : MIN(distance, FARTHEST);
}

F80 f80_scale(F80Env *env, FpValue a, FpValue b)
{
    bool subnormal = a.subnormal || b.subnormal;

    if (fp_is_nan(a) || fp_is_nan(b)) {
        return finish(env, fp_propagate_nan2(&env->fp, a, b), subnormal);
    }
    if (b.kind == FP_KIND_INFINITY) {
        bool indeterminate = a.kind == (b.sign ? FP_KIND_INFINITY : FP_KIND_ZERO);
        FpValue result = b.sign ? fp_zero(a.sign) : fp_infinity(a.sign);
        return finish(env, indeterminate ? fp_invalid(&env->fp) : result, subnormal);
    }
    a.exponent += scale_distance(b);
    return finish(env, a, subnormal);
}

F80 f80_extract(F80Env *env, FpValue a, F80 *exponent)
{
    FpValue power = fp_infinity(false);

    if (fp_is_nan(a)) {
        power = a = fp_propagate_nan(&env->fp, a);
    } else if (a.kind == FP_KIND_ZERO) {
        env->fp.flags |= FP_DIVZERO;
        power = fp_infinity(true);
    } else if (a.kind == FP_KIND_FINITE) {
        power = f80_unpack_integer(a.exponent);
        a.exponent = 0;
    }
    *exponent = finish(env, power, a.subnormal);
    return finish(env, a, a.subnormal);
}
