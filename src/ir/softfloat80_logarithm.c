/* x87 soft float: F2XM1, FYL2X, FYL2XP1. */
#include "ir/softfloat80_wide.h"

static const FpValue ln2 = WIDE(-1, 0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af);
static const FpValue twice_log2_e = WIDE(1, 0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89);

/* e^a - 1, for |a| < 1: the series a + a^2/2! + a^3/3! + ... */
static FpValue exponential_minus_one(FpValue a)
{
    FpValue sum = a, term = a;

    for (u32 n = 2; !wide_is_negligible(term, sum); n++) {
        term = wide_div_small(wide_mul(term, a), n);
        sum = wide_add(sum, term);
    }
    return sum;
}

static FpValue power_minus_one(FpEnv *env, FpValue a)
{
    if (fp_is_nan(a)) {
        return fp_propagate_nan(env, a);
    }
    if (a.kind == FP_KIND_INFINITY) {
        return a.sign ? wide_integer(-1) : a;
    }
    if (a.kind == FP_KIND_ZERO) {
        return a;
    }
    if (a.exponent >= 0) {
        bool is_one = a.exponent == 0 && a.significand == FP_TOP_BIT;
        a.exponent -= is_one && a.sign;      /* 1 and -1/2 */
        return is_one ? a : wide_inexact(a); /* beyond, it is undefined: likewise what AMD's do */
    }
    return wide_inexact(exponential_minus_one(wide_mul(a, ln2)));
}

F80 f80_2xm1(F80Env *env, FpValue a)
{
    return f80_finish(env, fp_f80.precision, power_minus_one(&env->fp, a), a.subnormal);
}

/* log2((1 + s) / (1 - s)) */
static FpValue log2_of_ratio(FpValue s)
{
    return wide_mul(wide_odd_series(s, wide_mul(s, s)), twice_log2_e);
}

/* Of a finite a > 0; exact for powers of two. */
static FpValue log2_finite(FpValue a)
{
    const u128 root_of_two = (u128)0xb504f333f9de6484 << 64;
    const FpValue one = wide_integer(1);
    s32 exponent = a.exponent;

    a.exponent = 0;
    if (a.significand > root_of_two) { /* the nearer power of two is the next one */
        a.exponent = -1;
        exponent++;
    }
    FpValue above = wide_add(a, wide_negate(one));
    if (above.kind == FP_KIND_ZERO) {
        return wide_integer(exponent);
    }
    FpValue fraction = log2_of_ratio(wide_div(above, wide_add(a, one)));
    return wide_inexact(wide_add(wide_integer(exponent), fraction));
}

/* log2(1 + a) for a finite a > -1 */
static FpValue log2_of_one_plus(FpValue a)
{
    const FpValue one = wide_integer(1);

    if (a.exponent < -1) { /* |a| < 1/2 */
        return wide_inexact(log2_of_ratio(wide_div(a, wide_add(wide_integer(2), a))));
    }
    return log2_finite(wide_add(one, a));
}

/* y * logarithm, of which zero and infinity may be the latter. */
static FpValue multiply_logarithm(FpEnv *env, FpValue y, FpValue logarithm)
{
    if (y.kind == FP_KIND_FINITE && logarithm.kind == FP_KIND_FINITE) {
        bool exact = (u64)logarithm.significand == 0;
        FpValue product = wide_mul(y, logarithm);
        return exact ? product : wide_inexact(product);
    }
    return fp_mul(env, y, logarithm);
}

static FpValue y_log2(FpEnv *env, FpValue x, FpValue y)
{
    if (fp_is_nan(x) || fp_is_nan(y)) {
        return fp_propagate_nan2(env, x, y);
    }
    if (x.kind == FP_KIND_ZERO) {
        env->flags |= y.kind == FP_KIND_FINITE ? FP_DIVZERO : 0;
        return fp_mul(env, y, fp_infinity(true));
    }
    if (x.sign) {
        return fp_invalid(env);
    }
    return multiply_logarithm(env, y, x.kind == FP_KIND_INFINITY ? x : log2_finite(x));
}

F80 f80_yl2x(F80Env *env, FpValue x, FpValue y)
{
    FpValue result = y_log2(&env->fp, x, y);
    return f80_finish(env, fp_f80.precision, result, x.subnormal || y.subnormal);
}

static FpValue y_log2_of_one_plus(FpEnv *env, FpValue x, FpValue y)
{
    if (fp_is_nan(x) || fp_is_nan(y)) {
        return fp_propagate_nan2(env, x, y);
    }
    if (x.kind == FP_KIND_INFINITY && x.sign) {
        return fp_invalid(env);
    }
    if (x.kind == FP_KIND_FINITE && x.sign && x.exponent >= 0) {
        return wide_inexact(x); /* undefined; what AMD's do */
    }
    return multiply_logarithm(env, y, x.kind == FP_KIND_FINITE ? log2_of_one_plus(x) : x);
}

F80 f80_yl2xp1(F80Env *env, FpValue x, FpValue y)
{
    FpValue result = y_log2_of_one_plus(&env->fp, x, y);
    return f80_finish(env, fp_f80.precision, result, x.subnormal || y.subnormal);
}
