/* Soft float: to integers, from integers, to integral values, and between formats. */
#include "ir/softfloat_core.h"

u128 fp_round_magnitude(FpValue a, FpRounding rounding, bool *inexact)
{
    *inexact = false;
    if (a.exponent >= 64) {
        return (u128)1 << 64;
    }
    /* The fraction is aligned so that its half is bit 127. */
    s32 whole_bits = a.exponent + 1;
    u128 whole = whole_bits > 0 ? a.significand >> (128 - whole_bits) : 0;
    u128 fraction = whole_bits > 0 ? a.significand << whole_bits
                                   : fp_shift_right_jam(a.significand, (u32)-whole_bits);
    *inexact = fraction != 0;
    return whole + fp_rounds_up(rounding, a.sign, whole & 1, fraction);
}

static FpValue round_to_integral(FpEnv *env, FpValue a, FpRounding rounding, bool exact,
                                 unsigned precision)
{
    bool inexact;

    if (fp_is_nan(a)) {
        return fp_propagate_nan(env, a);
    }
    if (a.kind != FP_KIND_FINITE || a.exponent >= (s32)precision) {
        return a; /* has no fraction bits */
    }
    FpValue result = fp_from_integer(a.sign, (u64)fp_round_magnitude(a, rounding, &inexact), 0);
    result.sign = a.sign;
    env->flags |= inexact && exact ? FP_INEXACT : 0;
    return result;
}

/* To an integer in [minimum, maximum], as the 64 low bits of its two's complement in *result.
 * Otherwise returns false, having raised invalid. */
static bool to_integer(FpEnv *env, FpValue a, FpRounding rounding, s64 minimum, u64 maximum,
                       u64 *result)
{
    bool inexact = false;
    u128 magnitude = 0;

    if (a.kind == FP_KIND_FINITE) {
        magnitude = fp_round_magnitude(a, rounding, &inexact);
    } else if (a.kind != FP_KIND_ZERO) {
        magnitude = (u128)1 << 64;
    }
    if (magnitude > (a.sign ? -(u64)minimum : maximum)) {
        env->flags |= FP_INVALID;
        return false;
    }
    env->flags |= inexact ? FP_INEXACT : 0;
    *result = a.sign ? -(u64)magnitude : (u64)magnitude;
    return true;
}

static u64 to_integer_saturated(FpEnv *env, FpValue a, FpRounding rounding, unsigned fraction_bits,
                                s64 minimum, u64 maximum)
{
    u64 result;

    a.exponent += (s32)fraction_bits;
    if (to_integer(env, a, rounding, minimum, maximum, &result)) {
        return result;
    }
    return fp_is_nan(a) ? 0 : a.sign ? (u64)minimum : maximum;
}

static s64 to_integer_indefinite(FpEnv *env, FpValue a, FpRounding rounding, s64 minimum,
                                 u64 maximum)
{
    u64 result;

    return to_integer(env, a, rounding, minimum, maximum, &result) ? (s64)result : minimum;
}

static FpValue from_signed(s64 a, unsigned fraction_bits)
{
    return fp_from_integer(a < 0, a < 0 ? -(u64)a : (u64)a, -(s32)fraction_bits);
}

static FpValue from_unsigned(u64 a, unsigned fraction_bits)
{
    return fp_from_integer(false, a, -(s32)fraction_bits);
}

/* The public functions from and to each integer type, of one format. */
#define INTEGERS(type, f)                                                                          \
    type f##_round_to_integral(FpEnv *env, type a, FpRounding rounding, bool exact)                \
    {                                                                                              \
        FpValue x = fp_unpack(&fp_##f, env, a);                                                    \
        return (type)fp_pack(&fp_##f, env,                                                         \
                             round_to_integral(env, x, rounding, exact, fp_##f.precision));        \
    }                                                                                              \
    TO_INTEGER(type, f, s32, INT32_MIN, INT32_MAX)                                                 \
    TO_INTEGER(type, f, u32, 0, UINT32_MAX)                                                        \
    TO_INTEGER(type, f, s64, INT64_MIN, INT64_MAX)                                                 \
    TO_INTEGER(type, f, u64, 0, UINT64_MAX)                                                        \
    TO_INDEFINITE(type, f, s32, INT32_MIN, INT32_MAX)                                              \
    TO_INDEFINITE(type, f, s64, INT64_MIN, INT64_MAX)                                              \
    FROM_INTEGER(type, f, s32, from_signed)                                                        \
    FROM_INTEGER(type, f, u32, from_unsigned)                                                      \
    FROM_INTEGER(type, f, s64, from_signed)                                                        \
    FROM_INTEGER(type, f, u64, from_unsigned)

#define TO_INTEGER(type, f, integer, minimum, maximum)                                             \
    integer f##_to_##integer(FpEnv *env, type a, FpRounding rounding, unsigned fraction_bits)      \
    {                                                                                              \
        FpValue x = fp_unpack(&fp_##f, env, a);                                                    \
        return (integer)to_integer_saturated(env, x, rounding, fraction_bits, minimum, maximum);   \
    }

#define TO_INDEFINITE(type, f, integer, minimum, maximum)                                          \
    integer f##_to_##integer##_indefinite(FpEnv *env, type a, FpRounding rounding)                 \
    {                                                                                              \
        FpValue x = fp_unpack(&fp_##f, env, a);                                                    \
        return (integer)to_integer_indefinite(env, x, rounding, minimum, maximum);                 \
    }

#define FROM_INTEGER(type, f, integer, unpack_integer)                                             \
    type f##_from_##integer(FpEnv *env, integer a, unsigned fraction_bits)                         \
    {                                                                                              \
        return (type)fp_pack(&fp_##f, env, unpack_integer(a, fraction_bits));                      \
    }

INTEGERS(u32, f32)
INTEGERS(u64, f64)

FP_INLINE u128 convert(const FpFormat *to, const FpFormat *from, FpEnv *env, FpRounding rounding,
                       u128 a)
{
    FpValue x = fp_unpack(from, env, a);
    if (unlikely(fp_is_nan(x)) && !to->finite_only) {
        x = fp_propagate_nan(env, x);
    }
    env->flags |= x.subnormal ? FP_DENORMAL : 0;
    return fp_pack_rounded(to, env, rounding, x);
}

static const FpFormat *half_format(bool alternative)
{
    return alternative ? &fp_f16_alternative : &fp_f16;
}

u64 f32_to_f64(FpEnv *env, u32 a)
{
    return (u64)convert(&fp_f64, &fp_f32, env, env->rounding, a);
}

u32 f64_to_f32(FpEnv *env, u64 a)
{
    return (u32)convert(&fp_f32, &fp_f64, env, env->rounding, a);
}

u32 f64_to_f32_odd(FpEnv *env, u64 a)
{
    return (u32)convert(&fp_f32, &fp_f64, env, FP_TO_ODD, a);
}

u16 f32_to_f16(FpEnv *env, u32 a, bool alternative)
{
    return (u16)convert(half_format(alternative), &fp_f32, env, env->rounding, a);
}

u16 f64_to_f16(FpEnv *env, u64 a, bool alternative)
{
    return (u16)convert(half_format(alternative), &fp_f64, env, env->rounding, a);
}

u32 f16_to_f32(FpEnv *env, u16 a, bool alternative)
{
    return (u32)convert(&fp_f32, half_format(alternative), env, env->rounding, a);
}

u64 f16_to_f64(FpEnv *env, u16 a, bool alternative)
{
    return (u64)convert(&fp_f64, half_format(alternative), env, env->rounding, a);
}
