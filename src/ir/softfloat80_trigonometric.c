/* x87 soft float: FSIN, FCOS, FPTAN, FPATAN. */
#include "ir/softfloat80_wide.h"

static const FpValue pi = WIDE(1, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1);
static const FpValue half_pi = WIDE(0, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1);

/* -- Sine, cosine, tangent */

/* A finite operand reduced to |angle| < pi/4, and the quadrant it comes from, for its magnitude. */
typedef struct Reduced {
    FpValue angle;
    unsigned quadrant;
} Reduced;

/* Modulo pi/2, with the x87's pi of 66 bits (Intel SDM volume 1, 8.3.8): the remainder is exact.
 * The operand must be smaller than 2^63. */
static Reduced reduce(FpValue a)
{
    enum { UNIT = 65 }; /* half_pi is an integer in units of 2^-UNIT */
    const u128 half_pi_66 = (u128)3 << 64 | 0x243f6a8885a308d3;
    Reduced result = {.angle = a};
    u128 rest = a.significand >> 64;

    result.angle.sign = false;
    if (a.exponent < -1) {
        return result;
    }
    for (s32 i = -2; i < a.exponent; i++) {
        bool fits = 2 * rest >= half_pi_66;
        rest = 2 * rest - (fits ? half_pi_66 : 0);
        result.quadrant = result.quadrant << 1 | fits;
    }
    bool above = 2 * rest > half_pi_66;
    rest = above ? half_pi_66 - rest : rest;
    result.quadrant += above;
    unsigned shift = fp_count_leading_zeros(rest);
    result.angle = (FpValue){.kind = FP_KIND_FINITE,
                             .sign = above,
                             .exponent = 127 - UNIT - (s32)shift,
                             .significand = rest << shift};
    return result;
}

/* first - first*square/((n+1)(n+2)) + ...: sine for n = 1, cosine for n = 0 */
static FpValue factorial_series(FpValue first, FpValue square, u32 n)
{
    FpValue sum = first, term = first;

    for (; !wide_is_negligible(term, sum); n += 2) {
        term = wide_negate(wide_div_small(wide_mul(term, square), (n + 1) * (n + 2)));
        sum = wide_add(sum, term);
    }
    return sum;
}

static FpValue sine(FpValue angle)
{
    return factorial_series(angle, wide_mul(angle, angle), 1);
}

static FpValue cosine(FpValue angle)
{
    return factorial_series(wide_integer(1), wide_mul(angle, angle), 0);
}

/* The sine of the reduced angle plus so many quadrants. */
static FpValue sine_from(Reduced r, unsigned quadrants)
{
    quadrants += r.quadrant;
    FpValue result = quadrants & 1 ? cosine(r.angle) : sine(r.angle);
    return quadrants & 2 ? wide_negate(result) : result;
}

typedef FpValue Function(FpValue a);

static FpValue sin_finite(FpValue a)
{
    FpValue result = sine_from(reduce(a), 0);
    return a.sign ? wide_negate(result) : result;
}

static FpValue cos_finite(FpValue a)
{
    return sine_from(reduce(a), 1);
}

static FpValue tan_finite(FpValue a)
{
    Reduced r = reduce(a);
    FpValue result = wide_div(sine_from(r, 0), sine_from(r, 1));
    return a.sign ? wide_negate(result) : result;
}

static F80 trigonometric(F80Env *env, FpValue a, bool *reduced, FpValue at_zero, Function *function)
{
    FpValue result;

    *reduced = true;
    if (fp_is_nan(a)) {
        result = fp_propagate_nan(&env->fp, a);
    } else if (a.kind == FP_KIND_INFINITY) {
        result = fp_invalid(&env->fp);
    } else if (a.kind == FP_KIND_ZERO) {
        result = at_zero;
    } else if (a.exponent >= 63) {
        *reduced = false;
        return f80_indefinite();
    } else {
        result = wide_inexact(function(a));
    }
    return f80_finish(env, fp_f80.precision, result, a.subnormal);
}

F80 f80_sin(F80Env *env, FpValue a, bool *reduced)
{
    return trigonometric(env, a, reduced, a, sin_finite);
}

F80 f80_cos(F80Env *env, FpValue a, bool *reduced)
{
    return trigonometric(env, a, reduced, wide_integer(1), cos_finite);
}

F80 f80_tan(F80Env *env, FpValue a, bool *reduced)
{
    return trigonometric(env, a, reduced, a, tan_finite);
}

/* -- Arc tangent */

/* Of 0 < a <= 1: from the nearest eighth c, as arctan(c) + arctan((a - c) / (1 + a*c)). */
static FpValue arc_tangent(FpValue a)
{
    static const FpValue of_eighths[] = {
        {.kind = FP_KIND_ZERO},
        WIDE(-4, 0xfeadd4d5617b6e32, 0xc897989f3e888ef8),
        WIDE(-3, 0xfadbafc96406eb15, 0x6dc79ef5f7a217e6),
        WIDE(-2, 0xb7b0ca0f26f78473, 0x8aa32122dcfe4483),
        WIDE(-2, 0xed63382b0dda7b45, 0x6fe445ecbc3a8d03),
        WIDE(-1, 0x8f005d5ef7f59f9b, 0x5c835e1665c43748),
        WIDE(-1, 0xa4bc7d1934f70924, 0x19a87f2a457dac9f),
        WIDE(-1, 0xb8053e2bc2319e73, 0xcb2da55210a4443d),
        WIDE(-1, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1),
    };
    unsigned sixteenths = a.exponent < -4 ? 0 : (unsigned)(a.significand >> (123 - a.exponent));
    unsigned eighths = (sixteenths + 1) / 2;
    FpValue c = wide_div_small(wide_integer(eighths), 8);
    FpValue denominator = wide_add(wide_integer(1), wide_mul(a, c));
    FpValue t = wide_div(wide_add(a, wide_negate(c)), denominator);

    return wide_add(of_eighths[eighths], wide_odd_series(t, wide_negate(wide_mul(t, t))));
}

/* The angle of a point in the first quadrant, not both coordinates being zero. */
static FpValue first_quadrant_angle(FpValue y, FpValue x)
{
    bool steep =
        y.exponent > x.exponent || (y.exponent == x.exponent && y.significand > x.significand);

    if (x.kind == y.kind && x.kind == FP_KIND_INFINITY) {
        FpValue quarter = half_pi;
        quarter.exponent--;
        return quarter;
    }
    if (y.kind == FP_KIND_INFINITY || x.kind == FP_KIND_ZERO) {
        return half_pi;
    }
    if (x.kind == FP_KIND_INFINITY || y.kind == FP_KIND_ZERO) {
        return fp_zero(false);
    }
    FpValue angle = arc_tangent(steep ? wide_div(x, y) : wide_div(y, x));
    return steep ? wide_add(half_pi, wide_negate(angle)) : angle;
}

static FpValue angle_of(FpValue y, FpValue x)
{
    bool below = y.sign, left = x.sign;
    FpValue angle = fp_zero(false);

    x.sign = y.sign = false;
    if (x.kind != FP_KIND_ZERO || y.kind != FP_KIND_ZERO) {
        angle = first_quadrant_angle(y, x);
    }
    if (left) {
        angle = wide_add(pi, wide_negate(angle));
    }
    angle.sign = below;
    return angle.kind == FP_KIND_ZERO ? angle : wide_inexact(angle);
}

F80 f80_atan(F80Env *env, FpValue y, FpValue x)
{
    bool nan = fp_is_nan(x) || fp_is_nan(y);
    FpValue result = nan ? fp_propagate_nan2(&env->fp, y, x) : angle_of(y, x);
    return f80_finish(env, fp_f80.precision, result, x.subnormal || y.subnormal);
}
