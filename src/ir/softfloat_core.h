/* Inside soft float: formats, the unpacked form all arithmetic works on, unpacking and rounding.
 *
 * An operation unpacks its operands, computes an FpValue that is exact or jammed (see below), and
 * packs it, which rounds once. Arithmetic knows no format; only unpack and pack do, through an
 * FpFormat. They are inlined where the format is a constant, so that its fields cost nothing.
 *
 * Invariants: a finite FpValue has bit 127 of its significand set. "Jammed" means that bit 0 is the
 * OR of itself and of all lower bits of the exact result; rounding cannot tell the difference as
 * long as at least two bits lie between bit 0 and the last bit kept. Multiplication, division and
 * square root take significands of up to 64 bits (enough for f80; f128 needs a wider product). */
#ifndef IR_SOFTFLOAT_CORE_H
#define IR_SOFTFLOAT_CORE_H

#include "ir/softfloat.h"

typedef struct FpFormat {
    u8 precision;     /* significand bits, with the implicit one */
    u8 exponent_bits; /* width of the exponent field */
    bool finite_only; /* Arm's alternative half: the top exponent holds ordinary numbers */
    bool flushable;   /* obeys flush_inputs and flush_outputs */
} FpFormat;

static const FpFormat fp_f16 = {.precision = 11, .exponent_bits = 5};
static const FpFormat fp_f16_alternative = {
    .precision = 11, .exponent_bits = 5, .finite_only = true};
static const FpFormat fp_f32 = {.precision = 24, .exponent_bits = 8, .flushable = true};
static const FpFormat fp_f64 = {.precision = 53, .exponent_bits = 11, .flushable = true};

typedef enum FpKind {
    FP_KIND_ZERO,
    FP_KIND_FINITE, /* and not zero */
    FP_KIND_INFINITY,
    FP_KIND_QUIET, /* NaNs: the payload starts at bit 126 of the significand, the quiet bit */
    FP_KIND_SIGNALLING,
    FP_KIND_UNSUPPORTED, /* an x87 encoding that is no number: invalid, and the default NaN */
} FpKind;

/* FP_KIND_FINITE: significand * 2^(exponent - 127), so a value in [1, 2) * 2^exponent. */
typedef struct FpValue {
    u128 significand;
    s32 exponent;
    u8 kind; /* FpKind */
    bool sign;
    bool subnormal; /* was unpacked from a subnormal operand that may raise FP_DENORMAL */
} FpValue;

#define FP_TOP_BIT ((u128)1 << 127)
#define FP_QUIET_BIT ((u128)1 << 126)
#define FP_INLINE static inline __attribute__((always_inline))

/* The cases of unpack and pack that are rare, for any format. */
FpValue fp_unpack_special(const FpFormat *format, FpEnv *env, u128 bits);
u128 fp_pack_special(const FpFormat *format, FpEnv *env, FpValue value);
u128 fp_pack_tiny(const FpFormat *format, FpEnv *env, FpRounding rounding, FpValue value);
u128 fp_pack_overflow(const FpFormat *format, FpEnv *env, FpRounding rounding, bool sign);

/* The default NaN, raising invalid. */
FpValue fp_invalid(FpEnv *env);

/* The quieted NaN that an operation with a NaN operand returns; raises invalid for a signalling
 * one. At least one operand must be a NaN. */
FpValue fp_propagate_nan(FpEnv *env, FpValue a);
FpValue fp_propagate_nan2(FpEnv *env, FpValue a, FpValue b);
FpValue fp_propagate_nan3(FpEnv *env, FpValue a, FpValue b, FpValue addend);

/* The relation of two values; raises FP_DENORMAL as well. signalling: every NaN is invalid. */
FpRelation fp_compare(FpEnv *env, FpValue a, FpValue b, bool signalling);

/* The magnitude of a finite value, rounded to an integer. From 2^64 on, which is out of range for
 * every integer type, it is cut to 2^64. */
u128 fp_round_magnitude(FpValue a, FpRounding rounding, bool *inexact);

/* Arithmetic on unpacked values (softfloat.c). */
FpValue fp_add(FpEnv *env, FpValue a, FpValue b);
FpValue fp_sub(FpEnv *env, FpValue a, FpValue b);
FpValue fp_mul(FpEnv *env, FpValue a, FpValue b);
FpValue fp_mulx(FpEnv *env, FpValue a, FpValue b);
FpValue fp_div(FpEnv *env, FpValue a, FpValue b);
FpValue fp_sqrt(FpEnv *env, FpValue a);
FpValue fp_fma(FpEnv *env, FpValue a, FpValue b, FpValue c);
FpValue fp_recip_step(FpEnv *env, FpValue a, FpValue b);
FpValue fp_rsqrt_step(FpEnv *env, FpValue a, FpValue b);

FP_INLINE bool fp_is_nan(FpValue a)
{
    return a.kind >= FP_KIND_QUIET;
}

/* After an operation with subnormal operands: raises FP_DENORMAL unless something of higher
 * priority happened. Of that, division by zero alone does not show as a NaN. */
FP_INLINE void fp_raise_denormal(FpEnv *env, FpValue result, bool divides_by_zero)
{
    if (!fp_is_nan(result) && !divides_by_zero) {
        env->flags |= FP_DENORMAL;
    }
}

FP_INLINE FpValue fp_zero(bool sign)
{
    return (FpValue){.kind = FP_KIND_ZERO, .sign = sign};
}

FP_INLINE FpValue fp_infinity(bool sign)
{
    return (FpValue){.kind = FP_KIND_INFINITY, .sign = sign};
}

/* significand * 2^exponent with an integer significand, for constants and integers; 0 gives +0. */
FP_INLINE FpValue fp_from_integer(bool sign, u64 significand, s32 exponent)
{
    if (significand == 0) {
        return fp_zero(false);
    }
    unsigned shift = (unsigned)__builtin_clzll(significand);
    return (FpValue){.kind = FP_KIND_FINITE,
                     .sign = sign,
                     .exponent = exponent + 63 - (s32)shift,
                     .significand = (u128)(significand << shift) << 64};
}

FP_INLINE unsigned fp_count_leading_zeros(u128 x)
{
    u64 high = (u64)(x >> 64);
    return high ? (unsigned)__builtin_clzll(high) : 64 + (unsigned)__builtin_clzll((u64)x);
}

/* x >> distance, jammed. */
FP_INLINE u128 fp_shift_right_jam(u128 x, u32 distance)
{
    if (distance == 0) {
        return x;
    }
    if (distance >= 128) {
        return x != 0;
    }
    return x >> distance | (x << (128 - distance) != 0);
}

/* Whether rounding adds one to a magnitude whose last bit is `odd` and whose discarded fraction is
 * `discarded` / 2^128 (jammed). */
FP_INLINE bool fp_rounds_up(FpRounding rounding, bool sign, bool odd, u128 discarded)
{
    switch (rounding) {
    case FP_NEAREST_EVEN:
        return discarded > FP_TOP_BIT || (discarded == FP_TOP_BIT && odd);
    case FP_NEAREST_AWAY:
        return discarded >= FP_TOP_BIT;
    case FP_UP:
        return !sign && discarded != 0;
    case FP_DOWN:
        return sign && discarded != 0;
    case FP_TO_ODD:
        return !odd && discarded != 0;
    default:
        return false;
    }
}

FP_INLINE s32 fp_bias(const FpFormat *format)
{
    return (1 << (format->exponent_bits - 1)) - 1;
}

FP_INLINE s32 fp_top_exponent_field(const FpFormat *format)
{
    return (1 << format->exponent_bits) - 1;
}

FP_INLINE u128 fp_sign_bit(const FpFormat *format, bool sign)
{
    return (u128)sign << (format->exponent_bits + format->precision - 1);
}

FP_INLINE FpValue fp_unpack(const FpFormat *format, FpEnv *env, u128 bits)
{
    s32 top = fp_top_exponent_field(format);
    s32 field = (s32)(bits >> (format->precision - 1)) & top;
    if (unlikely(field == 0 || (field == top && !format->finite_only))) {
        return fp_unpack_special(format, env, bits);
    }
    return (FpValue){
        .kind = FP_KIND_FINITE,
        .sign = (bits & fp_sign_bit(format, true)) != 0,
        .exponent = field - fp_bias(format),
        .significand = FP_TOP_BIT | bits << (128 - format->precision),
    };
}

/* Rounds to the format and raises the flags of rounding. */
FP_INLINE u128 fp_pack_rounded(const FpFormat *format, FpEnv *env, FpRounding rounding,
                               FpValue value)
{
    if (unlikely(value.kind != FP_KIND_FINITE)) {
        return fp_pack_special(format, env, value);
    }
    s32 field = value.exponent + fp_bias(format);
    if (unlikely(field <= 0)) {
        return fp_pack_tiny(format, env, rounding, value);
    }
    u128 kept = value.significand >> (128 - format->precision);
    u128 discarded = value.significand << format->precision;
    kept += fp_rounds_up(rounding, value.sign, kept & 1, discarded);
    /* The implicit bit, and a carry out of the significand, add to the exponent. */
    kept += (u128)(u32)(field - 1) << (format->precision - 1);
    if (unlikely(kept >> (format->precision - 1) >=
                 (u32)fp_top_exponent_field(format) + format->finite_only)) {
        return fp_pack_overflow(format, env, rounding, value.sign);
    }
    env->flags |= discarded ? FP_INEXACT : 0;
    return kept | fp_sign_bit(format, value.sign);
}

FP_INLINE u128 fp_pack(const FpFormat *format, FpEnv *env, FpValue value)
{
    return fp_pack_rounded(format, env, env->rounding, value);
}

#endif
