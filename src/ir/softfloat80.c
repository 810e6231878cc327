/* x87 soft float: unpacking, rounding and packing, arithmetic, comparison. */
#include "ir/softfloat80_core.h"

FpValue f80_unpack(F80 a)
{
    bool sign = a.sign_exponent & F80_SIGN;
    s32 field = a.sign_exponent & F80_TOP_EXPONENT;
    u128 significand = (u128)a.significand << 64;

    if (unlikely(field == 0)) {
        if (a.significand == 0) {
            return fp_zero(sign);
        }
        unsigned shift = fp_count_leading_zeros(significand);
        return (FpValue){.kind = FP_KIND_FINITE,
                         .sign = sign,
                         .subnormal = true,
                         .exponent = 1 - F80_BIAS - (s32)shift,
                         .significand = significand << shift};
    }
    if (unlikely(!(significand & FP_TOP_BIT))) {
        return (FpValue){.kind = FP_KIND_UNSUPPORTED, .sign = sign};
    }
    if (unlikely(field == F80_TOP_EXPONENT)) {
        u128 fraction = significand & ~FP_TOP_BIT;
        FpKind nan = fraction & FP_QUIET_BIT ? FP_KIND_QUIET : FP_KIND_SIGNALLING;
        return (FpValue){
            .kind = fraction ? nan : FP_KIND_INFINITY, .sign = sign, .significand = fraction};
    }
    return (FpValue){.kind = FP_KIND_FINITE,
                     .sign = sign,
                     .exponent = field - F80_BIAS,
                     .significand = significand};
}

FpValue f80_unpack_f32(u32 a)
{
    FpEnv env = {.denormal_operands = true};
    return fp_unpack(&fp_f32, &env, a);
}

FpValue f80_unpack_f64(u64 a)
{
    FpEnv env = {.denormal_operands = true};
    return fp_unpack(&fp_f64, &env, a);
}

FpValue f80_unpack_integer(s64 a)
{
    return fp_from_integer(a < 0, a < 0 ? -(u64)a : (u64)a, 0);
}

/* A magnitude beyond the format's range: infinity or the largest number. */
static u128 round_overflow(F80Env *env, const FpFormat *format, bool sign)
{
    u128 infinity = (u128)(u32)fp_top_exponent_field(format) << (format->precision - 1);
    u8 rounding = env->fp.rounding;

    env->fp.flags |= FP_OVERFLOW | FP_INEXACT;
    env->rounded_up = rounding == FP_NEAREST_EVEN || rounding == (sign ? FP_DOWN : FP_UP);
    return infinity - !env->rounded_up;
}

/* A magnitude below the normal range. */
static u128 round_tiny(F80Env *env, const FpFormat *format, FpValue value, s32 field)
{
    u128 significand = fp_shift_right_jam(value.significand, (u32)(1 - field));
    u128 kept = significand >> (128 - format->precision);
    u128 discarded = significand << format->precision;

    env->rounded_up = fp_rounds_up(env->fp.rounding, value.sign, kept & 1, discarded);
    env->fp.flags |= discarded ? FP_UNDERFLOW | FP_INEXACT : 0;
    /* A carry into the implicit bit's place is the exponent field of the smallest normal number. */
    return kept + env->rounded_up;
}

/* Out of range even with the exponent wrapped. */
static u128 round_far(F80Env *env, const FpFormat *format, bool tiny)
{
    env->fp.flags |= FP_INEXACT;
    env->rounded_up = !tiny;
    return tiny ? 0 : (u128)(u32)fp_top_exponent_field(format) << (format->precision - 1);
}

u128 f80_round(F80Env *env, const FpFormat *format, FpValue value, bool wraps)
{
    u128 kept = value.significand >> (128 - format->precision);
    u128 discarded = value.significand << format->precision;
    bool up = fp_rounds_up(env->fp.rounding, value.sign, kept & 1, discarded);
    s32 field = value.exponent + fp_bias(format);

    kept += up;
    s32 rounded_field = field + (s32)(kept >> format->precision);
    bool tiny = rounded_field <= 0, huge = rounded_field >= fp_top_exponent_field(format);
    if (unlikely(tiny || huge)) {
        u8 exception = tiny ? FP_UNDERFLOW : FP_OVERFLOW;
        if (!(env->unmasked & exception)) {
            return tiny ? round_tiny(env, format, value, field)
                        : round_overflow(env, format, value.sign);
        }
        env->fp.flags |= exception;
        if (!wraps) {
            return 0;
        }
        field += tiny ? F80_WRAP : -F80_WRAP;
        if (field <= 0 || field >= fp_top_exponent_field(format)) {
            return round_far(env, format, tiny);
        }
    }
    env->rounded_up |= up;
    env->fp.flags |= discarded ? FP_INEXACT : 0;
    /* The implicit bit, and a carry out of the significand, add to the exponent. */
    return kept + ((u128)(u32)(field - 1) << (format->precision - 1));
}

F80 f80_pack(F80Env *env, unsigned precision, FpValue value)
{
    u16 sign = value.sign ? F80_SIGN : 0;
    FpFormat format = {.precision = (u8)precision, .exponent_bits = fp_f80.exponent_bits};

    if (likely(value.kind == FP_KIND_FINITE)) {
        u128 bits = f80_round(env, &format, value, true);
        u16 field = (u16)(bits >> (precision - 1));
        u64 fraction = (u64)(bits << (64 - precision)) & UINT64_MAX >> 1;
        return (F80){fraction | (u64)(field != 0) << 63, sign | field};
    }
    if (value.kind == FP_KIND_ZERO) {
        return (F80){0, sign};
    }
    return (F80){(u64)(value.significand >> 64) | (u64)1 << 63, sign | F80_TOP_EXPONENT};
}

F80 f80_finish(F80Env *env, unsigned precision, FpValue result, bool subnormal)
{
    f80_raise_denormal(env, result, subnormal);
    if (unlikely(f80_aborted(env))) {
        return f80_indefinite();
    }
    return f80_pack(env, precision, result);
}

F80 f80_add(F80Env *env, FpValue a, FpValue b)
{
    return f80_finish(env, env->precision, fp_add(&env->fp, a, b), a.subnormal || b.subnormal);
}

F80 f80_sub(F80Env *env, FpValue a, FpValue b)
{
    return f80_finish(env, env->precision, fp_sub(&env->fp, a, b), a.subnormal || b.subnormal);
}

F80 f80_mul(F80Env *env, FpValue a, FpValue b)
{
    return f80_finish(env, env->precision, fp_mul(&env->fp, a, b), a.subnormal || b.subnormal);
}

F80 f80_div(F80Env *env, FpValue a, FpValue b)
{
    return f80_finish(env, env->precision, fp_div(&env->fp, a, b), a.subnormal || b.subnormal);
}

F80 f80_sqrt(F80Env *env, FpValue a)
{
    return f80_finish(env, env->precision, fp_sqrt(&env->fp, a), a.subnormal);
}

F80 f80_load(F80Env *env, FpValue a)
{
    FpValue result = fp_is_nan(a) ? fp_propagate_nan(&env->fp, a) : a;
    f80_raise_denormal(env, result, a.subnormal);
    return f80_pack(env, fp_f80.precision, result);
}

FpRelation f80_compare(F80Env *env, FpValue a, FpValue b, bool signalling)
{
    return fp_compare(&env->fp, a, b, signalling);
}
