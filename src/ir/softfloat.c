/* Soft float: arithmetic on unpacked values, and the public functions made from it.
 * Nothing here knows a format except the public functions at the end. */
#include "ir/softfloat_core.h"

/* The sign of an exact zero sum of operands of opposite signs. */
static FpValue cancelled_zero(const FpEnv *env)
{
    return fp_zero(env->rounding == FP_DOWN);
}

/* Puts the top bit of a significand that is not 0 where it belongs. */
static FpValue normalise(FpValue a)
{
    unsigned shift = fp_count_leading_zeros(a.significand);
    a.significand <<= shift;
    a.exponent -= (s32)shift;
    return a;
}

/* Sum of two finite values. Exact, or jammed far below the larger one's significand. */
FP_INLINE FpValue add_finite(const FpEnv *env, FpValue a, FpValue b)
{
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
        FpValue larger = b;
        b = a;
        a = larger;
    }
    b.significand = fp_shift_right_jam(b.significand, (u32)(a.exponent - b.exponent));
    if (a.sign != b.sign) {
        a.significand -= b.significand;
        return a.significand ? normalise(a) : cancelled_zero(env);
    }
    a.significand += b.significand;
    if (a.significand < b.significand) { /* a carry out of bit 127 */
        a.significand = FP_TOP_BIT | a.significand >> 1 | (a.significand & 1);
        a.exponent++;
    }
    return a;
}

/* Sum of two values that are not NaNs. */
FP_INLINE FpValue add_numbers(FpEnv *env, FpValue a, FpValue b)
{
    if (likely(a.kind == FP_KIND_FINITE && b.kind == FP_KIND_FINITE)) {
        return add_finite(env, a, b);
    }
    if (a.kind == FP_KIND_INFINITY) {
        return b.kind == FP_KIND_INFINITY && a.sign != b.sign ? fp_invalid(env) : a;
    }
    if (b.kind == FP_KIND_INFINITY || a.kind == FP_KIND_ZERO) {
        bool both_zero = a.kind == FP_KIND_ZERO && b.kind == FP_KIND_ZERO;
        return both_zero && a.sign != b.sign ? cancelled_zero(env) : b;
    }
    return a;
}

FpValue fp_add(FpEnv *env, FpValue a, FpValue b)
{
    if (unlikely(fp_is_nan(a) || fp_is_nan(b))) {
        return fp_propagate_nan2(env, a, b);
    }
    return add_numbers(env, a, b);
}

FpValue fp_sub(FpEnv *env, FpValue a, FpValue b)
{
    if (unlikely(fp_is_nan(a) || fp_is_nan(b))) {
        return fp_propagate_nan2(env, a, b);
    }
    b.sign = !b.sign;
    return add_numbers(env, a, b);
}

/* Exact product of two numbers, which must not be infinity times zero. */
FP_INLINE FpValue multiply_numbers(FpValue a, FpValue b)
{
    bool sign = a.sign ^ b.sign;

    if (unlikely(a.kind != FP_KIND_FINITE || b.kind != FP_KIND_FINITE)) {
        bool infinite = a.kind == FP_KIND_INFINITY || b.kind == FP_KIND_INFINITY;
        return infinite ? fp_infinity(sign) : fp_zero(sign);
    }
    return normalise((FpValue){
        .kind = FP_KIND_FINITE,
        .sign = sign,
        .exponent = a.exponent + b.exponent + 1,
        .significand = (u128)(u64)(a.significand >> 64) * (u64)(b.significand >> 64),
    });
}

static bool is_infinity_times_zero(FpValue a, FpValue b)
{
    return (a.kind == FP_KIND_INFINITY && b.kind == FP_KIND_ZERO) ||
           (a.kind == FP_KIND_ZERO && b.kind == FP_KIND_INFINITY);
}

FpValue fp_mul(FpEnv *env, FpValue a, FpValue b)
{
    if (unlikely(fp_is_nan(a) || fp_is_nan(b))) {
        return fp_propagate_nan2(env, a, b);
    }
    if (unlikely(is_infinity_times_zero(a, b))) {
        return fp_invalid(env);
    }
    return multiply_numbers(a, b);
}

FpValue fp_mulx(FpEnv *env, FpValue a, FpValue b)
{
    if (is_infinity_times_zero(a, b)) {
        return fp_from_integer(a.sign ^ b.sign, 2, 0);
    }
    return fp_mul(env, a, b);
}

FpValue fp_fma(FpEnv *env, FpValue a, FpValue b, FpValue c)
{
    bool invalid_product = is_infinity_times_zero(a, b);

    if (unlikely(fp_is_nan(a) || fp_is_nan(b) || fp_is_nan(c))) {
        if (invalid_product && c.kind == FP_KIND_QUIET && env->nan_rule == FP_NAN_ARM) {
            return fp_invalid(env);
        }
        return fp_propagate_nan3(env, a, b, c);
    }
    if (unlikely(invalid_product)) {
        return fp_invalid(env);
    }
    /* The product is exact, and add_finite jams only what cannot cancel. */
    return add_numbers(env, multiply_numbers(a, b), c);
}

/* constant - a * b without intermediate rounding, scaled by 2^scale; infinity times zero counts as
 * 0. As FPRecipStepFused and FPRSqrtStepFused, a NaN in the first operand changes its sign. */
static FpValue newton_step(FpEnv *env, u64 constant, s32 scale, FpValue a, FpValue b)
{
    a.sign = !a.sign;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_propagate_nan2(env, a, b);
    }
    FpValue result = fp_from_integer(false, constant, 0);
    if (!is_infinity_times_zero(a, b)) {
        result = add_numbers(env, result, multiply_numbers(a, b));
    }
    result.exponent += scale;
    return result;
}

FpValue fp_recip_step(FpEnv *env, FpValue a, FpValue b)
{
    return newton_step(env, 2, 0, a, b);
}

FpValue fp_rsqrt_step(FpEnv *env, FpValue a, FpValue b)
{
    return newton_step(env, 3, -1, a, b);
}

static FpValue divide_finite(FpValue a, FpValue b)
{
    u64 divisor = (u64)(b.significand >> 64);
    u128 dividend = a.significand >> 1; /* so that each quotient digit fits 64 bits */
    u64 high = (u64)(dividend / divisor);
    u128 remainder = (u128)(u64)(dividend % divisor) << 64;
    u64 low = (u64)(remainder / divisor) | (remainder % divisor != 0);

    return normalise((FpValue){.kind = FP_KIND_FINITE,
                               .sign = a.sign ^ b.sign,
                               .exponent = a.exponent - b.exponent,
                               .significand = (u128)high << 64 | low});
}

FpValue fp_div(FpEnv *env, FpValue a, FpValue b)
{
    bool sign = a.sign ^ b.sign;

    if (likely(a.kind == FP_KIND_FINITE && b.kind == FP_KIND_FINITE)) {
        return divide_finite(a, b);
    }
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_propagate_nan2(env, a, b);
    }
    if (a.kind == b.kind) { /* 0/0 or infinity/infinity */
        return fp_invalid(env);
    }
    if (a.kind == FP_KIND_INFINITY) {
        return fp_infinity(sign);
    }
    if (b.kind == FP_KIND_ZERO) {
        env->flags |= FP_DIVZERO;
        return fp_infinity(sign);
    }
    return fp_zero(sign);
}

FpValue fp_sqrt(FpEnv *env, FpValue a)
{
    enum { ROOT_BITS = 66 }; /* two more than the widest significand, so that jamming is safe */

    if (fp_is_nan(a)) {
        return fp_propagate_nan(env, a);
    }
    if (a.kind == FP_KIND_ZERO || (a.kind == FP_KIND_INFINITY && !a.sign)) {
        return a;
    }
    if (a.sign) {
        return fp_invalid(env);
    }
    /* Schoolbook square root. The radicand is taken two bits at a time from the top, starting with
     * the two left of the binary point: 01.x, or 1x.x after making the exponent even. */
    u128 radicand = a.exponent & 1 ? a.significand : a.significand >> 1;
    u128 root = 0, remainder = 0;
    for (unsigned i = 0; i < ROOT_BITS; i++) {
        remainder = remainder << 2 | (u64)(radicand >> 126);
        radicand <<= 2;
        u128 trial = root << 2 | 1;
        bool fits = remainder >= trial;
        remainder -= trial & -(u128)fits; /* a branch would be mispredicted half the time */
        root = root << 1 | fits;
    }
    a.significand = root << (128 - ROOT_BITS) | (remainder != 0);
    a.exponent >>= 1;
    return a;
}

typedef FpValue FpUnary(FpEnv *env, FpValue a);
typedef FpValue FpBinary(FpEnv *env, FpValue a, FpValue b);

FP_INLINE u128 unary(const FpFormat *format, FpUnary *operation, FpEnv *env, u128 a)
{
    FpValue x = fp_unpack(format, env, a);
    FpValue result = operation(env, x);
    if (unlikely(x.subnormal)) {
        fp_raise_denormal(env, result, false);
    }
    return fp_pack(format, env, result);
}

FP_INLINE u128 binary(const FpFormat *format, FpBinary *operation, FpEnv *env, u128 a, u128 b)
{
    FpValue x = fp_unpack(format, env, a);
    FpValue y = fp_unpack(format, env, b);
    FpValue result = operation(env, x, y);
    if (unlikely(x.subnormal || y.subnormal)) {
        fp_raise_denormal(env, result, operation == fp_div && y.kind == FP_KIND_ZERO);
    }
    return fp_pack(format, env, result);
}

FP_INLINE u128 fused(const FpFormat *format, FpEnv *env, u128 a, u128 b, u128 c)
{
    FpValue x = fp_unpack(format, env, a);
    FpValue y = fp_unpack(format, env, b);
    FpValue z = fp_unpack(format, env, c);
    FpValue result = fp_fma(env, x, y, z);
    if (unlikely(x.subnormal || y.subnormal || z.subnormal)) {
        fp_raise_denormal(env, result, false);
    }
    return fp_pack(format, env, result);
}

/* The public function of an operation, in both formats. */
#define UNARY(operation)                                                                           \
    u32 f32_##operation(FpEnv *env, u32 a)                                                         \
    {                                                                                              \
        return (u32)unary(&fp_f32, fp_##operation, env, a);                                        \
    }                                                                                              \
    u64 f64_##operation(FpEnv *env, u64 a)                                                         \
    {                                                                                              \
        return (u64)unary(&fp_f64, fp_##operation, env, a);                                        \
    }
#define BINARY(operation)                                                                          \
    u32 f32_##operation(FpEnv *env, u32 a, u32 b)                                                  \
    {                                                                                              \
        return (u32)binary(&fp_f32, fp_##operation, env, a, b);                                    \
    }                                                                                              \
    u64 f64_##operation(FpEnv *env, u64 a, u64 b)                                                  \
    {                                                                                              \
        return (u64)binary(&fp_f64, fp_##operation, env, a, b);                                    \
    }

UNARY(sqrt)
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(mulx)
BINARY(div)
BINARY(recip_step)
BINARY(rsqrt_step)

u32 f32_fma(FpEnv *env, u32 a, u32 b, u32 c)
{
    return (u32)fused(&fp_f32, env, a, b, c);
}

u64 f64_fma(FpEnv *env, u64 a, u64 b, u64 c)
{
    return (u64)fused(&fp_f64, env, a, b, c);
}
