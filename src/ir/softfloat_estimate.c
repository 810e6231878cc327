/* Soft float: Arm's estimate instructions. The Arm ARM defines their results exactly, by small
 * integer functions (RecipEstimate, RecipSqrtEstimate), so they are the same on every CPU. */
#include "ir/softfloat_core.h"

/* 1/x for x in [0.5, 1), given and returned as 256..511: input in 1/512, result in 1/256. */
static u32 recip_estimate_9(u32 scaled)
{
    u32 middle = scaled * 2 + 1; /* of the interval the input stands for */
    return ((1u << 19) / middle + 1) / 2;
}

/* 1/sqrt(x) for x in [0.25, 1), given as 128..511 in 1/512, returned as 256..511 in 1/256. */
static u32 rsqrt_estimate_9(u32 scaled)
{
    u32 middle = scaled < 256 ? scaled * 2 + 1 : (scaled | 1) * 2;
    u32 estimate = 512;
    while (middle * (estimate + 1) * (estimate + 1) < 1u << 28) {
        estimate++;
    }
    return (estimate + 1) / 2;
}

u32 fixed_recip_estimate(u32 a)
{
    return a >> 31 ? recip_estimate_9(a >> 23) << 23 : UINT32_MAX;
}

u32 fixed_rsqrt_estimate(u32 a)
{
    return a >> 30 ? rsqrt_estimate_9(a >> 23) << 23 : UINT32_MAX;
}

/* The 9-bit value 256..511 as a number in [1, 2) times 2^exponent. */
static FpValue from_estimate(bool sign, u32 estimate, s32 exponent)
{
    return fp_from_integer(sign, estimate, exponent - 8);
}

static u32 top_nine_bits(FpValue a)
{
    return (u32)(a.significand >> 119);
}

/* Packing does the rest of FPRecipEstimate: overflow for a tiny operand, flushing for a huge one.
 * An estimate has so few bits that it is exact even as a subnormal number. */
static FpValue recip_estimate(FpEnv *env, FpValue a)
{
    if (fp_is_nan(a)) {
        return fp_propagate_nan(env, a);
    }
    if (a.kind == FP_KIND_INFINITY) {
        return fp_zero(a.sign);
    }
    if (a.kind == FP_KIND_ZERO) {
        env->flags |= FP_DIVZERO;
        return fp_infinity(a.sign);
    }
    return from_estimate(a.sign, recip_estimate_9(top_nine_bits(a)), -a.exponent - 1);
}

static FpValue rsqrt_estimate(FpEnv *env, FpValue a)
{
    if (fp_is_nan(a)) {
        return fp_propagate_nan(env, a);
    }
    if (a.kind == FP_KIND_ZERO) {
        env->flags |= FP_DIVZERO;
        return fp_infinity(a.sign);
    }
    if (a.sign) {
        return fp_invalid(env);
    }
    if (a.kind == FP_KIND_INFINITY) {
        return fp_zero(false);
    }
    /* a = scaled * 4^half with scaled in [0.25, 1). */
    s32 half = (a.exponent + 2) >> 1;
    u32 scaled = a.exponent & 1 ? top_nine_bits(a) : top_nine_bits(a) >> 1;
    return from_estimate(false, rsqrt_estimate_9(scaled), -half);
}

FP_INLINE u128 recpx(const FpFormat *format, FpEnv *env, u128 bits)
{
    FpValue a = fp_unpack(format, env, bits);
    u128 top = (u32)fp_top_exponent_field(format);
    u128 field = bits >> (format->precision - 1) & top;

    if (fp_is_nan(a)) {
        return fp_pack(format, env, fp_propagate_nan(env, a));
    }
    field = field == 0 ? top - 1 : field ^ top;
    return fp_sign_bit(format, a.sign) | field << (format->precision - 1);
}

u32 f32_recip_estimate(FpEnv *env, u32 a)
{
    return (u32)fp_pack(&fp_f32, env, recip_estimate(env, fp_unpack(&fp_f32, env, a)));
}

u64 f64_recip_estimate(FpEnv *env, u64 a)
{
    return (u64)fp_pack(&fp_f64, env, recip_estimate(env, fp_unpack(&fp_f64, env, a)));
}

u32 f32_rsqrt_estimate(FpEnv *env, u32 a)
{
    return (u32)fp_pack(&fp_f32, env, rsqrt_estimate(env, fp_unpack(&fp_f32, env, a)));
}

u64 f64_rsqrt_estimate(FpEnv *env, u64 a)
{
    return (u64)fp_pack(&fp_f64, env, rsqrt_estimate(env, fp_unpack(&fp_f64, env, a)));
}

u32 f32_recpx(FpEnv *env, u32 a)
{
    return (u32)recpx(&fp_f32, env, a);
}

u64 f64_recpx(FpEnv *env, u64 a)
{
    return (u64)recpx(&fp_f64, env, a);
}
