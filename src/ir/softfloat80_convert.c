/* x87 soft float: to an integral value, and to the formats that instructions store. */
#include <string.h>

#include "ir/softfloat80_core.h"

/* A finite value's magnitude rounded to an integer, 2^64 if it is larger; with inexact and C1. */
static u128 round_magnitude(F80Env *env, FpValue a, FpRounding rounding)
{
    bool inexact;
    u128 magnitude = fp_round_magnitude(a, rounding, &inexact);

    if (inexact) {
        u128 truncated = a.exponent < 0 ? 0 : a.significand >> (127 - a.exponent);
        env->fp.flags |= FP_INEXACT;
        env->rounded_up = magnitude > truncated;
    }
    return magnitude;
}

F80 f80_round_to_integral(F80Env *env, FpValue a)
{
    if (a.kind != FP_KIND_FINITE || a.exponent >= 63) {
        return f80_load(env, a);
    }
    f80_raise_denormal(env, a, a.subnormal);
    if (f80_aborted(env)) {
        return f80_indefinite();
    }
    FpValue result = fp_from_integer(false, (u64)round_magnitude(env, a, env->fp.rounding), 0);
    result.sign = a.sign;
    return f80_pack(env, fp_f80.precision, result);
}

/* To a magnitude of at most `limit`; false if that is invalid. */
static bool to_magnitude(F80Env *env, FpValue a, FpRounding rounding, u64 limit, u64 *result)
{
    F80Env attempt = *env;
    u128 magnitude = 0;

    if (a.kind == FP_KIND_FINITE) {
        magnitude = round_magnitude(&attempt, a, rounding);
    } else if (a.kind != FP_KIND_ZERO) {
        magnitude = (u128)1 << 64;
    }
    if (magnitude > limit) {
        env->fp.flags |= FP_INVALID;
        return false;
    }
    *env = attempt;
    *result = (u64)magnitude;
    return true;
}

s64 f80_to_integer(F80Env *env, FpValue a, FpRounding rounding, unsigned bits)
{
    u64 smallest = (u64)1 << (bits - 1), magnitude;

    if (!to_magnitude(env, a, rounding, a.sign ? smallest : smallest - 1, &magnitude)) {
        return -(s64)(smallest - 1) - 1;
    }
    return (s64)(a.sign ? -magnitude : magnitude);
}

void f80_to_bcd(F80Env *env, FpValue a, u8 bcd[10])
{
    static const u8 indefinite[10] = {[7] = 0xc0, [8] = 0xff, [9] = 0xff};
    u64 magnitude;

    if (!to_magnitude(env, a, env->fp.rounding, 999999999999999999, &magnitude)) {
        memcpy(bcd, indefinite, sizeof(indefinite));
        return;
    }
    for (unsigned i = 0; i < 9; i++, magnitude /= 100) {
        bcd[i] = (u8)(magnitude % 10 | magnitude / 10 % 10 << 4);
    }
    bcd[9] = a.sign ? 0x80 : 0;
}

FpValue f80_unpack_bcd(const u8 bcd[10])
{
    u64 magnitude = 0;

    for (unsigned i = 9; i-- > 0;) {
        magnitude = magnitude * 100 + (bcd[i] >> 4) * 10 + (bcd[i] & 15);
    }
    FpValue result = fp_from_integer(false, magnitude, 0);
    result.sign = bcd[9] & 0x80;
    return result;
}

static u128 to_format(F80Env *env, const FpFormat *format, FpValue a)
{
    if (likely(a.kind == FP_KIND_FINITE)) {
        return fp_sign_bit(format, a.sign) | f80_round(env, format, a, false);
    }
    return fp_pack_special(format, &env->fp, fp_is_nan(a) ? fp_propagate_nan(&env->fp, a) : a);
}

u32 f80_to_f32(F80Env *env, FpValue a)
{
    return (u32)to_format(env, &fp_f32, a);
}

u64 f80_to_f64(F80Env *env, FpValue a)
{
    return (u64)to_format(env, &fp_f64, a);
}
