/* Soft float: the rare cases of unpacking and packing, and the choice of NaN results.
 * Knows formats and the environment, but no operation. */
#include "ir/softfloat_core.h"

/* Zero, subnormal, infinity or NaN. */
FpValue fp_unpack_special(const FpFormat *format, FpEnv *env, u128 bits)
{
    bool sign = (bits & fp_sign_bit(format, true)) != 0;
    s32 field = (s32)(bits >> (format->precision - 1)) & fp_top_exponent_field(format);
    u128 fraction = bits << (128 - format->precision) & ~FP_TOP_BIT;

    if (field == 0) {
        if (fraction == 0) {
            return fp_zero(sign);
        }
        if (env->flush_inputs && format->flushable) {
            env->flags |= FP_INPUT_DENORMAL;
            return fp_zero(sign);
        }
        unsigned shift = fp_count_leading_zeros(fraction);
        return (FpValue){.kind = FP_KIND_FINITE,
                         .sign = sign,
                         .subnormal = env->denormal_operands && format->flushable,
                         .exponent = 1 - fp_bias(format) - (s32)shift,
                         .significand = fraction << shift};
    }
    if (fraction == 0) {
        return fp_infinity(sign);
    }
    return (FpValue){.kind = fraction & FP_QUIET_BIT ? FP_KIND_QUIET : FP_KIND_SIGNALLING,
                     .sign = sign,
                     .significand = fraction};
}

/* Zero, infinity or NaN. */
u128 fp_pack_special(const FpFormat *format, FpEnv *env, FpValue value)
{
    u128 sign = fp_sign_bit(format, value.sign);
    u128 infinity = (u128)(u32)fp_top_exponent_field(format) << (format->precision - 1);

    if (value.kind == FP_KIND_ZERO) {
        return sign;
    }
    if (format->finite_only) {
        env->flags |= FP_INVALID;
        u128 largest = fp_sign_bit(format, true) - 1;
        return value.kind == FP_KIND_INFINITY ? sign | largest : sign;
    }
    if (value.kind == FP_KIND_INFINITY) {
        return sign | infinity;
    }
    return sign | infinity | value.significand >> (128 - format->precision);
}

/* The result is too large: infinity or the largest number, by the direction of rounding. */
u128 fp_pack_overflow(const FpFormat *format, FpEnv *env, FpRounding rounding, bool sign)
{
    u128 infinity = (u128)(u32)fp_top_exponent_field(format) << (format->precision - 1);
    bool to_infinity = rounding == FP_NEAREST_EVEN || rounding == FP_NEAREST_AWAY ||
                       rounding == (sign ? FP_DOWN : FP_UP);

    if (format->finite_only) {
        return fp_pack_special(format, env, fp_infinity(sign));
    }
    env->flags |= FP_OVERFLOW | FP_INEXACT;
    return fp_sign_bit(format, sign) | (infinity - !to_infinity);
}

/* Below the normal range, unless rounding lifts it to the smallest normal number. */
u128 fp_pack_tiny(const FpFormat *format, FpEnv *env, FpRounding rounding, FpValue value)
{
    u128 sign = fp_sign_bit(format, value.sign);
    s32 field = value.exponent + fp_bias(format);
    bool tiny = true;

    if (env->tininess_after_rounding && field == 0) {
        /* With an unbounded exponent range, would it round up to the smallest normal number? */
        u128 kept = value.significand >> (128 - format->precision);
        bool all_ones = (kept & (kept + 1)) == 0;
        tiny = !(all_ones && fp_rounds_up(rounding, value.sign, kept & 1,
                                          value.significand << format->precision));
    }
    if (tiny && env->flush_outputs && format->flushable) {
        env->flags |= FP_UNDERFLOW | (env->tininess_after_rounding ? FP_INEXACT : 0);
        return sign;
    }
    u128 significand = fp_shift_right_jam(value.significand, (u32)(1 - field));
    u128 kept = significand >> (128 - format->precision);
    u128 discarded = significand << format->precision;
    if (tiny && (discarded || env->exact_underflow)) {
        env->flags |= FP_UNDERFLOW;
    }
    env->flags |= discarded ? FP_INEXACT : 0;
    /* A carry into the implicit bit's place is the exponent field of the smallest normal number. */
    kept += fp_rounds_up(rounding, value.sign, kept & 1, discarded);
    return sign | kept;
}

static FpValue default_nan(const FpEnv *env)
{
    return (FpValue){
        .kind = FP_KIND_QUIET, .sign = env->default_nan_negative, .significand = FP_QUIET_BIT};
}

FpValue fp_invalid(FpEnv *env)
{
    env->flags |= FP_INVALID;
    return default_nan(env);
}

FpValue fp_propagate_nan(FpEnv *env, FpValue a)
{
    if (a.kind >= FP_KIND_SIGNALLING) {
        env->flags |= FP_INVALID;
    }
    if (env->default_nan || a.kind == FP_KIND_UNSUPPORTED) {
        return default_nan(env);
    }
    a.kind = FP_KIND_QUIET;
    a.significand |= FP_QUIET_BIT;
    return a;
}

/* The first of the operands that is a NaN, signalling ones first where the rule says so. */
static FpValue propagate_first(FpEnv *env, const FpValue *operands, unsigned count)
{
    const FpValue *chosen = NULL;

    for (unsigned i = 0; i < count; i++) {
        const FpValue *operand = &operands[i];
        if (!fp_is_nan(*operand)) {
            continue;
        }
        bool signalling = operand->kind == FP_KIND_SIGNALLING;
        if (signalling) {
            env->flags |= FP_INVALID;
        }
        if (!chosen ||
            (env->nan_rule == FP_NAN_ARM && signalling && chosen->kind != FP_KIND_SIGNALLING)) {
            chosen = operand;
        }
    }
    return fp_propagate_nan(env, *chosen);
}

/* FP_NAN_X87 (Intel SDM volume 1, table 4-7). */
static FpValue propagate_larger(FpEnv *env, FpValue a, FpValue b)
{
    if (a.kind >= FP_KIND_SIGNALLING || b.kind >= FP_KIND_SIGNALLING) {
        env->flags |= FP_INVALID;
    }
    if (a.kind == FP_KIND_UNSUPPORTED || b.kind == FP_KIND_UNSUPPORTED) {
        return default_nan(env);
    }
    bool second = b.significand > a.significand || (b.significand == a.significand && a.sign);
    if (a.kind != b.kind) { /* quiet before signalling, before a number */
        second = a.kind != FP_KIND_QUIET && fp_is_nan(b);
    }
    return fp_propagate_nan(env, second ? b : a);
}

FpValue fp_propagate_nan2(FpEnv *env, FpValue a, FpValue b)
{
    if (env->nan_rule == FP_NAN_X87) {
        return propagate_larger(env, a, b);
    }
    return propagate_first(env, (const FpValue[]){a, b}, 2);
}

FpValue fp_propagate_nan3(FpEnv *env, FpValue a, FpValue b, FpValue addend)
{
    if (env->nan_rule == FP_NAN_ARM) {
        return propagate_first(env, (const FpValue[]){addend, a, b}, 3);
    }
    return propagate_first(env, (const FpValue[]){a, b, addend}, 3);
}
