/* Soft float against MPFR: finite operands, all six rounding modes, tininess before and after
 * rounding. MPFR computes the exact result (or, for quotients and roots, far more bits than can
 * matter), scales it so that the last place of the format is 1, and rounds it to an integer; so
 * subnormal results and the modes that MPFR's own arithmetic lacks need no special treatment.
 * Infinities and NaNs are left to the tests against machines.
 * Usage: test_softfloat_mpfr [N], N times as many operands as by default. */
#include <mpfr.h>
#include <stdlib.h>

#include "ir/softfloat.h"

#include "../tap.h"
#include "softfloat_operands.h"

enum {
    EXACT_BITS = 4500, /* holds any sum of f64 products exactly */
    QUOTIENT_BITS = 256,
    OPERANDS_PER_MODE = 1000,
    FAILURES_SHOWN = 5
};

static const char *const rounding_names[] = {"nearest", "up",           "down",
                                             "to zero", "nearest away", "to odd"};

typedef enum ResultKind { ROUNDED, INTEGRAL, INTEGER } ResultKind;

typedef struct Outcome {
    u64 bits;
    u8 flags;
} Outcome;

/* The exact result of operands x into r, in which a zero has the sign that this rounding gives. */
typedef void ExactOperation(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding);
typedef u64 SoftOperation(FpEnv *e, const u64 *x);

typedef struct Operation {
    const char *name;
    unsigned operand_count;
    const OperandType *type;
    SoftOperation *soft;
    ExactOperation *exact;
    ResultKind kind;
    const OperandType *result_type; /* ROUNDED, INTEGRAL */
    s64 minimum;                    /* INTEGER; and of integer operands */
    u64 maximum;
} Operation;

static void exact_add(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_add(r, x[0], x[1], rounding);
}

static void exact_sub(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_sub(r, x[0], x[1], rounding);
}

static void exact_mul(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_mul(r, x[0], x[1], rounding);
}

static void exact_div(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    (void)rounding;
    mpfr_set_prec(r, QUOTIENT_BITS);
    mpfr_div(r, x[0], x[1], MPFR_RNDZ);
}

static void exact_sqrt(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    (void)rounding;
    mpfr_set_prec(r, QUOTIENT_BITS);
    mpfr_sqrt(r, x[0], MPFR_RNDZ);
}

static void exact_fma(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_fma(r, x[0], x[1], x[2], rounding);
}

static void exact_recip_step(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_mul(r, x[0], x[1], rounding);
    mpfr_ui_sub(r, 2, r, rounding);
}

static void exact_rsqrt_step(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_mul(r, x[0], x[1], rounding);
    mpfr_ui_sub(r, 3, r, rounding);
    mpfr_div_2ui(r, r, 1, rounding);
}

static void exact_same(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_set(r, x[0], rounding);
}

static void exact_times_2_to_13(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_mul_2ui(r, x[0], 13, rounding);
}

static void exact_over_2_to_13(mpfr_t r, mpfr_t *x, mpfr_rnd_t rounding)
{
    mpfr_div_2ui(r, x[0], 13, rounding);
}

#define SOFT(function, expression)                                                                 \
    static u64 function(FpEnv *e, const u64 *x)                                                    \
    {                                                                                              \
        return expression;                                                                         \
    }
#define SOFT1(name)                                                                                \
    SOFT(soft_f32_##name, f32_##name(e, (u32)x[0]))                                                \
    SOFT(soft_f64_##name, f64_##name(e, x[0]))
#define SOFT2(name)                                                                                \
    SOFT(soft_f32_##name, f32_##name(e, (u32)x[0], (u32)x[1]))                                     \
    SOFT(soft_f64_##name, f64_##name(e, x[0], x[1]))
#define SOFT_INTEGER(type, integer)                                                                \
    SOFT(soft_##type##_to_##integer, (u64)type##_to_##integer(e, (type)x[0], e->rounding, 0))      \
    SOFT(soft_##type##_to_##integer##_13,                                                          \
         (u64)type##_to_##integer(e, (type)x[0], e->rounding, 13))                                 \
    SOFT(soft_##type##_from_##integer, type##_from_##integer(e, (integer)x[0], 0))                 \
    SOFT(soft_##type##_from_##integer##_13, type##_from_##integer(e, (integer)x[0], 13))
#define SOFT_INTEGERS(type)                                                                        \
    SOFT_INTEGER(type, s32)                                                                        \
    SOFT_INTEGER(type, u32)                                                                        \
    SOFT_INTEGER(type, s64)                                                                        \
    SOFT_INTEGER(type, u64)

typedef u32 f32; /* bit patterns, for the macros above */
typedef u64 f64;
SOFT2(add)
SOFT2(sub)
SOFT2(mul)
SOFT2(div)
SOFT2(recip_step)
SOFT2(rsqrt_step)
SOFT1(sqrt)
SOFT(soft_f32_fma, f32_fma(e, (u32)x[0], (u32)x[1], (u32)x[2]))
SOFT(soft_f64_fma, f64_fma(e, x[0], x[1], x[2]))
SOFT(soft_f32_round, f32_round_to_integral(e, (u32)x[0], e->rounding, true))
SOFT(soft_f64_round, f64_round_to_integral(e, x[0], e->rounding, true))
SOFT(soft_f32_to_f64, f32_to_f64(e, (u32)x[0]))
SOFT(soft_f64_to_f32, f64_to_f32(e, x[0]))
SOFT(soft_f32_to_f16, f32_to_f16(e, (u32)x[0], false))
SOFT(soft_f64_to_f16, f64_to_f16(e, x[0], false))
SOFT(soft_f16_to_f32, f16_to_f32(e, (u16)x[0], false))
SOFT(soft_f16_to_f64, f16_to_f64(e, (u16)x[0], false))
SOFT_INTEGERS(f32)
SOFT_INTEGERS(f64)

#define BOTH(name, count)                                                                          \
    {"f32_" #name, count, &operand_f32, soft_f32_##name, exact_##name, ROUNDED, &operand_f32},     \
    {                                                                                              \
        "f64_" #name, count, &operand_f64, soft_f64_##name, exact_##name, ROUNDED, &operand_f64    \
    }
#define ROUND(f)                                                                                   \
    {                                                                                              \
#f "_round", 1, &operand_##f, soft_##f##_round, exact_same, INTEGRAL, &operand_##f         \
    }
#define CONVERT(from, to)                                                                          \
    {                                                                                              \
#from "_to_" #to, 1, &operand_##from, soft_##from##_to_##to, exact_same, ROUNDED,          \
            &operand_##to                                                                          \
    }
#define TO(f, integer, scaled, exact, minimum, maximum)                                            \
    {                                                                                              \
#f "_to_" #scaled, 1, &operand_##f, soft_##f##_to_##scaled, exact, INTEGER, NULL, minimum, \
            maximum                                                                                \
    }
#define FROM(f, integer, scaled, exact, minimum, maximum)                                          \
    {                                                                                              \
#f "_from_" #scaled, 1, &operand_integer, soft_##f##_from_##scaled, exact, ROUNDED,        \
            &operand_##f, minimum, maximum                                                         \
    }
#define INTEGER_TYPE(f, integer, minimum, maximum)                                                 \
    TO(f, integer, integer, exact_same, minimum, maximum),                                         \
        TO(f, integer, integer##_13, exact_times_2_to_13, minimum, maximum),                       \
        FROM(f, integer, integer, exact_same, minimum, maximum),                                   \
        FROM(f, integer, integer##_13, exact_over_2_to_13, minimum, maximum)
#define INTEGER_TYPES(f)                                                                           \
    INTEGER_TYPE(f, s32, INT32_MIN, INT32_MAX), INTEGER_TYPE(f, u32, 0, UINT32_MAX),               \
        INTEGER_TYPE(f, s64, INT64_MIN, INT64_MAX), INTEGER_TYPE(f, u64, 0, UINT64_MAX)

static const Operation operations[] = {
    BOTH(add, 2),       BOTH(sub, 2),       BOTH(mul, 2),        BOTH(div, 2),
    BOTH(sqrt, 1),      BOTH(fma, 3),       BOTH(recip_step, 2), BOTH(rsqrt_step, 2),
    ROUND(f32),         ROUND(f64),         CONVERT(f32, f64),   CONVERT(f64, f32),
    CONVERT(f32, f16),  CONVERT(f64, f16),  CONVERT(f16, f32),   CONVERT(f16, f64),
    INTEGER_TYPES(f32), INTEGER_TYPES(f64),
};

static bool is_finite(const OperandType *type, u64 bits)
{
    u64 top = ((u64)1 << type->exponent_bits) - 1;
    return type->exponent_bits == 0 || (bits >> type->fraction_bits & top) != top;
}

/* The exponent of a format's smallest subnormal number. */
static long smallest_exponent(const OperandType *type)
{
    return 2 - (1L << (type->exponent_bits - 1)) - type->fraction_bits;
}

/* An operand's value. Integers are as wide as the operation's, which its maximum tells. */
static void decode(mpfr_t value, const Operation *op, u64 bits)
{
    const OperandType *type = op->type;

    if (type->exponent_bits == 0) {
        bool narrow = op->maximum <= UINT32_MAX;
        if (op->minimum < 0) {
            mpfr_set_si(value, narrow ? (s32)bits : (s64)bits, MPFR_RNDN);
        } else {
            mpfr_set_ui(value, narrow ? (u32)bits : bits, MPFR_RNDN);
        }
        return;
    }
    u64 implicit = (u64)1 << type->fraction_bits;
    u64 fraction = bits & (implicit - 1);
    u64 field = bits >> type->fraction_bits & ((1u << type->exponent_bits) - 1);
    mpfr_set_ui_2exp(value, field ? fraction | implicit : fraction,
                     smallest_exponent(type) + (long)(field ? field - 1 : 0), MPFR_RNDN);
    if (bits >> type->fraction_bits >> type->exponent_bits) {
        mpfr_neg(value, value, MPFR_RNDN);
    }
}

/* Rounds to an integer; true if that changed the value. */
static bool round_to_integer(mpfr_t value, FpRounding rounding)
{
    static const mpfr_rnd_t directed[] = {[FP_UP] = MPFR_RNDU,
                                          [FP_DOWN] = MPFR_RNDD,
                                          [FP_TO_ZERO] = MPFR_RNDZ,
                                          [FP_TO_ODD] = MPFR_RNDZ};
    bool inexact = !mpfr_integer_p(value);

    if (rounding == FP_NEAREST_EVEN) {
        mpfr_roundeven(value, value);
    } else if (rounding == FP_NEAREST_AWAY) {
        mpfr_round(value, value);
    } else {
        mpfr_rint(value, value, directed[rounding]);
    }
    /* What has a fraction is less than 2^53 and fits. */
    if (rounding == FP_TO_ODD && inexact && mpfr_get_si(value, MPFR_RNDZ) % 2 == 0) {
        mpfr_add_si(value, value, mpfr_signbit(value) ? -1 : 1, MPFR_RNDN);
    }
    return inexact;
}

static Outcome integer_outcome(const Operation *op, mpfr_t exact, FpRounding rounding)
{
    bool inexact = round_to_integer(exact, rounding);

    if (mpfr_cmp_si(exact, op->minimum) < 0) {
        return (Outcome){(u64)op->minimum, FP_INVALID};
    }
    if (mpfr_cmp_ui(exact, op->maximum) > 0) {
        return (Outcome){op->maximum, FP_INVALID};
    }
    u64 bits =
        mpfr_sgn(exact) < 0 ? (u64)mpfr_get_si(exact, MPFR_RNDN) : mpfr_get_ui(exact, MPFR_RNDN);
    return (Outcome){bits, inexact ? FP_INEXACT : 0};
}

/* The bits of magnitude * 2^quantum, which the format can hold unless it is too large. */
static Outcome encode(const OperandType *type, bool sign, u64 magnitude, long quantum, u8 flags,
                      FpRounding rounding)
{
    u64 implicit = (u64)1 << type->fraction_bits;
    u64 infinity = (((u64)1 << type->exponent_bits) - 1) << type->fraction_bits;
    u64 sign_bit = (u64)sign << (type->fraction_bits + type->exponent_bits);

    if (magnitude == 0) {
        return (Outcome){sign_bit, flags};
    }
    for (; magnitude >= 2 * implicit; quantum++) {
        magnitude >>= 1;
    }
    for (; magnitude < implicit && quantum > smallest_exponent(type); quantum--) {
        magnitude <<= 1;
    }
    u64 field = magnitude < implicit ? 0 : (u64)(quantum - smallest_exponent(type)) + 1;
    if (field << type->fraction_bits >= infinity) {
        bool to_infinity = rounding == FP_NEAREST_EVEN || rounding == FP_NEAREST_AWAY ||
                           rounding == (sign ? FP_DOWN : FP_UP);
        return (Outcome){sign_bit | (infinity - !to_infinity), FP_OVERFLOW | FP_INEXACT};
    }
    return (Outcome){sign_bit | field << type->fraction_bits | (magnitude & (implicit - 1)), flags};
}

/* Whether rounding to the format's precision, with no limit to the exponent, gives a power of two
 * above the value. `quantum` is the exponent of the value's last place. */
static bool rounds_to_power(mpfr_t exact, long quantum, int precision, FpRounding rounding)
{
    mpfr_t value;

    mpfr_init2(value, EXACT_BITS);
    mpfr_div_2si(value, exact, quantum, MPFR_RNDN);
    round_to_integer(value, rounding);
    bool result = mpfr_get_exp(value) > precision;
    mpfr_clear(value);
    return result;
}

static Outcome rounded_outcome(const Operation *op, mpfr_t exact, const FpEnv *env)
{
    const OperandType *type = op->result_type;
    FpRounding rounding = env->rounding;
    int precision = type->fraction_bits + 1;
    long smallest = smallest_exponent(type);
    bool sign = mpfr_signbit(exact), tiny = false;
    u8 flags = 0;

    if (mpfr_zero_p(exact)) {
        return encode(type, sign, 0, 0, 0, rounding);
    }
    long quantum = mpfr_get_exp(exact) - precision;
    if (op->kind == INTEGRAL) {
        quantum = MAX(quantum, 0);
    } else if (quantum < smallest) {
        tiny = !(env->tininess_after_rounding && quantum + 1 == smallest &&
                 rounds_to_power(exact, quantum, precision, rounding));
        quantum = smallest;
    }
    mpfr_div_2si(exact, exact, quantum, MPFR_RNDN);
    if (round_to_integer(exact, rounding)) {
        flags = FP_INEXACT | (tiny ? FP_UNDERFLOW : 0);
    }
    mpfr_abs(exact, exact, MPFR_RNDN);
    return encode(type, sign, mpfr_get_ui(exact, MPFR_RNDN), quantum, flags, rounding);
}

/* MPFR's variables, made once. */
typedef struct Scratch {
    mpfr_t operands[3], exact;
} Scratch;

static bool agrees(Scratch *s, const Operation *op, const u64 *x, FpEnv env)
{
    for (unsigned k = 0; k < op->operand_count; k++) {
        decode(s->operands[k], op, x[k]);
    }
    mpfr_set_prec(s->exact, EXACT_BITS);
    op->exact(s->exact, s->operands, env.rounding == FP_DOWN ? MPFR_RNDD : MPFR_RNDN);
    if (!mpfr_number_p(s->exact)) {
        return true; /* 1/0, sqrt(-1) */
    }
    Outcome expected = op->kind == INTEGER ? integer_outcome(op, s->exact, env.rounding)
                                           : rounded_outcome(op, s->exact, &env);
    u64 bits = op->soft(&env, x);
    if (bits == expected.bits && env.flags == expected.flags) {
        return true;
    }
    printf("# %s %016lx %016lx %016lx, tininess %s rounding: MPFR %016lx flags %02x, soft %016lx "
           "flags %02x\n",
           op->name, x[0], x[1], x[2], env.tininess_after_rounding ? "after" : "before",
           expected.bits, expected.flags, bits, env.flags);
    return false;
}

static bool compare_operation(Scratch *s, const Operation *op, FpRounding rounding, u64 count)
{
    Operands random = {.state = 0x9e3779b97f4a7c15 + rounding};
    unsigned failures = 0;

    for (u64 i = 0; i < count && failures < FAILURES_SHOWN; i++) {
        u64 x[3] = {0};
        for (unsigned k = 0; k < op->operand_count; k++) {
            do {
                x[k] = next_operand(&random, op->type);
            } while (!is_finite(op->type, x[k]));
        }
        FpEnv env = {.rounding = rounding, .tininess_after_rounding = i & 1};
        failures += !agrees(s, op, x, env);
    }
    return failures == 0;
}

int main(int argc, char **argv)
{
    u64 count = OPERANDS_PER_MODE * (argc > 1 ? strtoul(argv[1], NULL, 0) : 1);
    Scratch scratch;

    mpfr_inits2(64, scratch.operands[0], scratch.operands[1], scratch.operands[2], scratch.exact,
                NULL);
    for (unsigned i = 0; i < COUNT(operations); i++) {
        for (unsigned rounding = 0; rounding < COUNT(rounding_names); rounding++) {
            OK(compare_operation(&scratch, &operations[i], rounding, count), "%s, %s",
               operations[i].name, rounding_names[rounding]);
        }
    }
    mpfr_clears(scratch.operands[0], scratch.operands[1], scratch.operands[2], scratch.exact, NULL);
    mpfr_free_cache();
    return tap_done();
}
