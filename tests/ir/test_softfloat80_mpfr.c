/* x87 soft float against MPFR: arithmetic must be rounded correctly in every rounding mode and
 * precision, transcendental functions be off by less than one unit in the last place.
 * Exceptions and special operands are compared with the host's x87 (test_softfloat80.c).
 * Usage: test_softfloat80_mpfr [N], N times as many operands as by default. */
#include <math.h>
#include <mpfr.h>
#include <stdlib.h>

#include "ir/softfloat80.h"

#include "../tap.h"
#include "softfloat80_operands.h"

enum { OPERANDS_PER_OPERATION = 8000, FAILURES_SHOWN = 5, EXACT_BITS = 512 };

/* MPFR's variables, made once. */
typedef struct Scratch {
    mpfr_t x, y, exact, half_pi, quotient;
} Scratch;

static void set_f80(mpfr_t value, F80 a)
{
    long field = a.sign_exponent & F80_TOP_EXPONENT;

    mpfr_set_ui_2exp(value, a.significand, MAX(field, 1) - F80_BIAS - 63, MPFR_RNDN);
    mpfr_setsign(value, value, a.sign_exponent & F80_SIGN, MPFR_RNDN);
}

/* -- Arithmetic, by number: add, sub, mul, div, sqrt */

static F80 soft_arithmetic(F80Env *env, unsigned operation, FpValue a, FpValue b)
{
    switch (operation) {
    case 0:
        return f80_add(env, a, b);
    case 1:
        return f80_sub(env, a, b);
    case 2:
        return f80_mul(env, a, b);
    case 3:
        return f80_div(env, a, b);
    default:
        return f80_sqrt(env, a);
    }
}

static void exact_arithmetic(Scratch *s, unsigned operation, mpfr_rnd_t rounding)
{
    switch (operation) {
    case 0:
        mpfr_add(s->exact, s->x, s->y, rounding);
        return;
    case 1:
        mpfr_sub(s->exact, s->x, s->y, rounding);
        return;
    case 2:
        mpfr_mul(s->exact, s->x, s->y, rounding);
        return;
    case 3:
        mpfr_div(s->exact, s->x, s->y, rounding);
        return;
    default:
        mpfr_sqrt(s->exact, s->x, rounding);
        return;
    }
}

static bool is_finite(F80 a)
{
    u8 kind = f80_unpack(a).kind;
    return kind == FP_KIND_FINITE || kind == FP_KIND_ZERO;
}

/* Results that are subnormal or too large are left to the other test. */
static bool in_range(const mpfr_t value)
{
    return mpfr_zero_p(value) || (mpfr_number_p(value) && mpfr_get_exp(value) > 2 - F80_BIAS &&
                                  mpfr_get_exp(value) <= F80_BIAS + 1);
}

static bool arithmetic_agrees(Scratch *s, unsigned operation, F80 a, F80 b, unsigned mode)
{
    static const struct {
        FpRounding soft;
        mpfr_rnd_t mpfr;
    } roundings[] = {{FP_NEAREST_EVEN, MPFR_RNDN},
                     {FP_DOWN, MPFR_RNDD},
                     {FP_UP, MPFR_RNDU},
                     {FP_TO_ZERO, MPFR_RNDZ}};
    static const u8 precisions[] = {24, 53, 64};
    u8 precision = precisions[mode / 4 % 3];
    F80Env env = f80_env(roundings[mode % 4].soft, precision, 0);
    mpfr_t result;

    F80 soft = soft_arithmetic(&env, operation, f80_unpack(a), f80_unpack(b));
    set_f80(s->x, a);
    set_f80(s->y, b);
    mpfr_set_prec(s->exact, precision);
    exact_arithmetic(s, operation, roundings[mode % 4].mpfr);
    if (!in_range(s->exact)) {
        return true;
    }
    mpfr_init2(result, EXACT_BITS);
    set_f80(result, soft);
    bool same = mpfr_equal_p(result, s->exact) &&
                (!mpfr_zero_p(result) || !mpfr_signbit(result) == !mpfr_signbit(s->exact));
    mpfr_clear(result);
    return same;
}

static bool compare_arithmetic(Scratch *s, unsigned operation, u64 count)
{
    Operands random = {.state = 0x9e3779b97f4a7c15 + operation};
    unsigned failures = 0;
    F80 b = {0};

    for (u64 i = 0; i < count && failures < FAILURES_SHOWN; i++) {
        F80 a = random_f80(&random, b);
        b = random_f80(&random, a);
        if (is_finite(a) && is_finite(b) && !arithmetic_agrees(s, operation, a, b, (unsigned)i)) {
            printf("# %04x %016lx, %04x %016lx, mode %lu\n", a.sign_exponent, a.significand,
                   b.sign_exponent, b.significand, i % 12);
            failures++;
        }
    }
    return failures == 0;
}

/* -- Functions of x and y: MPFR's into `exact`, false where the function is not defined */

typedef bool ExactFunction(Scratch *s);
typedef F80 SoftFunction(F80Env *env, FpValue x, FpValue y);

static bool exact_2xm1(Scratch *s)
{
    if (mpfr_cmpabs_ui(s->x, 1) > 0) {
        return false;
    }
    mpfr_const_log2(s->exact, MPFR_RNDN);
    mpfr_mul(s->exact, s->exact, s->x, MPFR_RNDN);
    mpfr_expm1(s->exact, s->exact, MPFR_RNDN);
    return true;
}

static bool exact_yl2x(Scratch *s)
{
    if (mpfr_sgn(s->x) <= 0) {
        return false;
    }
    mpfr_log2(s->exact, s->x, MPFR_RNDN);
    mpfr_mul(s->exact, s->exact, s->y, MPFR_RNDN);
    return true;
}

static bool exact_yl2xp1(Scratch *s)
{
    if (mpfr_cmp_si(s->x, -1) <= 0) {
        return false;
    }
    mpfr_log1p(s->exact, s->x, MPFR_RNDN);
    mpfr_const_log2(s->quotient, MPFR_RNDN);
    mpfr_div(s->exact, s->exact, s->quotient, MPFR_RNDN);
    mpfr_mul(s->exact, s->exact, s->y, MPFR_RNDN);
    return true;
}

/* Reduces x to `exact`, by the x87's pi; returns the quadrant, or -1 if x is too large. */
static int reduce(Scratch *s)
{
    if (mpfr_get_exp(s->x) > 63) {
        return -1;
    }
    mpfr_div(s->quotient, s->x, s->half_pi, MPFR_RNDN);
    mpfr_rint(s->quotient, s->quotient, MPFR_RNDN);
    mpfr_mul(s->exact, s->quotient, s->half_pi, MPFR_RNDN);
    mpfr_sub(s->exact, s->x, s->exact, MPFR_RNDN);
    return mpfr_zero_p(s->x) ? 0 : (int)(mpfr_get_si(s->quotient, MPFR_RNDN) & 3);
}

/* The sine of x plus so many quadrants. */
static bool exact_sine(Scratch *s, int quadrants)
{
    int quadrant = reduce(s);

    if (quadrant < 0) {
        return false;
    }
    quadrants += quadrant;
    (quadrants & 1 ? mpfr_cos : mpfr_sin)(s->exact, s->exact, MPFR_RNDN);
    if (quadrants & 2) {
        mpfr_neg(s->exact, s->exact, MPFR_RNDN);
    }
    return true;
}

static bool exact_sin(Scratch *s)
{
    return exact_sine(s, 0);
}

static bool exact_cos(Scratch *s)
{
    return exact_sine(s, 1);
}

static bool exact_tan(Scratch *s)
{
    int quadrant = reduce(s);

    if (quadrant < 0) {
        return false;
    }
    mpfr_tan(s->exact, s->exact, MPFR_RNDN);
    if (quadrant & 1) { /* tan(a + pi/2) = -1 / tan(a) */
        mpfr_si_div(s->exact, -1, s->exact, MPFR_RNDN);
    }
    return true;
}

static bool exact_atan(Scratch *s)
{
    mpfr_atan2(s->exact, s->y, s->x, MPFR_RNDN);
    return true;
}

static F80 soft_2xm1(F80Env *env, FpValue x, FpValue y __attribute__((unused)))
{
    return f80_2xm1(env, x);
}

static F80 soft_sin(F80Env *env, FpValue x, FpValue y __attribute__((unused)))
{
    bool reduced;
    return f80_sin(env, x, &reduced);
}

static F80 soft_cos(F80Env *env, FpValue x, FpValue y __attribute__((unused)))
{
    bool reduced;
    return f80_cos(env, x, &reduced);
}

static F80 soft_tan(F80Env *env, FpValue x, FpValue y __attribute__((unused)))
{
    bool reduced;
    return f80_tan(env, x, &reduced);
}

static F80 soft_atan(F80Env *env, FpValue x, FpValue y)
{
    return f80_atan(env, y, x);
}

static const struct Row {
    const char *name;
    SoftFunction *soft;
    ExactFunction *exact;
} functions[] = {
    {"2xm1", soft_2xm1, exact_2xm1},      {"yl2x", f80_yl2x, exact_yl2x},
    {"yl2xp1", f80_yl2xp1, exact_yl2xp1}, {"sin", soft_sin, exact_sin},
    {"cos", soft_cos, exact_cos},         {"tan", soft_tan, exact_tan},
    {"atan", soft_atan, exact_atan},
};

/* The distance between s->exact and the soft result, in units of the result's last place. */
static double error_of(Scratch *s, F80 soft)
{
    mpfr_t difference;

    if (mpfr_zero_p(s->exact)) {
        return soft.significand ? HUGE_VAL : 0;
    }
    long unit = MAX(mpfr_get_exp(s->exact) - 64, 2 - F80_BIAS - 64);
    mpfr_init2(difference, EXACT_BITS);
    set_f80(difference, soft);
    mpfr_sub(difference, difference, s->exact, MPFR_RNDN);
    mpfr_div_2si(difference, difference, unit, MPFR_RNDN);
    double units = fabs(mpfr_get_d(difference, MPFR_RNDN));
    mpfr_clear(difference);
    return units;
}

static F80 random_argument(Operands *o, F80 previous)
{
    F80 a = random_f80(o, previous);

    if (random_below(o, 2)) { /* most of the rest is too large or too small to be interesting */
        a.sign_exponent =
            (u16)((a.sign_exponent & F80_SIGN) | (F80_BIAS - 15 + random_below(o, 25)));
        a.significand |= (u64)1 << 63;
    }
    return a;
}

static bool compare_function(Scratch *s, const struct Row *row, u64 count)
{
    static const u8 roundings[] = {FP_NEAREST_EVEN, FP_DOWN, FP_UP, FP_TO_ZERO};
    Operands random = {.state = 0x9e3779b97f4a7c15};
    unsigned failures = 0;
    F80 y = {0};

    mpfr_set_prec(s->exact, EXACT_BITS);
    for (u64 i = 0; i < count && failures < FAILURES_SHOWN; i++) {
        F80 x = random_argument(&random, y);
        y = random_f80(&random, x);
        set_f80(s->x, x);
        set_f80(s->y, y);
        if (!is_finite(x) || !is_finite(y) || !row->exact(s) || mpfr_get_exp(s->exact) > F80_BIAS) {
            continue;
        }
        F80Env env = f80_env(roundings[i % 4], 64, 0);
        F80 soft = row->soft(&env, f80_unpack(x), f80_unpack(y));
        double limit = i % 4 == 0 ? 0.5001 : 1;
        if (error_of(s, soft) > limit) {
            printf("# x %04x %016lx y %04x %016lx: off by %g\n", x.sign_exponent, x.significand,
                   y.sign_exponent, y.significand, error_of(s, soft));
            failures++;
        }
    }
    return failures == 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"add", "sub", "mul", "div", "sqrt"};
    u64 count = OPERANDS_PER_OPERATION * (argc > 1 ? strtoul(argv[1], NULL, 0) : 1);
    Scratch s;

    mpfr_inits2(EXACT_BITS, s.x, s.y, s.exact, s.half_pi, s.quotient, NULL);
    mpfr_set_str(s.half_pi, "3243F6A8885A308D3", 16, MPFR_RNDN);
    mpfr_div_2si(s.half_pi, s.half_pi, 65, MPFR_RNDN);
    for (unsigned i = 0; i < COUNT(names); i++) {
        OK(compare_arithmetic(&s, i, count), "%s", names[i]);
    }
    for (unsigned i = 0; i < COUNT(functions); i++) {
        OK(compare_function(&s, &functions[i], count), "%s", functions[i].name);
    }
    mpfr_clears(s.x, s.y, s.exact, s.half_pi, s.quotient, NULL);
    mpfr_free_cache();
    return tap_done();
}
