/* IEEE 754 floating point in integer arithmetic: the reference meaning of the IR's floating-point
 * operations. The interpreter calls it for every operation, translated code where the host's FPU
 * would differ from the guest's.
 *
 * Values are bit patterns. All state is in the FpEnv that the caller passes, so that every function
 * may run on any number of threads; none of them traps: exceptions only set sticky flag bits.
 * Where architectures differ, FpEnv says what to do; the wording "as FADD" refers to the
 * pseudocode of the Arm Architecture Reference Manual (shared/functions/float).
 *
 * Names avoid those that <math.h> defines as macros (FP_ZERO, FP_NAN). */
#ifndef IR_SOFTFLOAT_H
#define IR_SOFTFLOAT_H

#include "base/types.h"

typedef enum FpRounding {
    FP_NEAREST_EVEN,
    FP_UP,   /* towards +infinity */
    FP_DOWN, /* towards -infinity */
    FP_TO_ZERO,
    FP_NEAREST_AWAY, /* ties away from zero */
    FP_TO_ODD,       /* an inexact result gets an odd significand: safe to round once more */
} FpRounding;

/* Sticky exception flags, at the bit places of Arm's FPSR. */
enum {
    FP_INVALID = 1,
    FP_DIVZERO = 2,
    FP_OVERFLOW = 4,
    FP_UNDERFLOW = 8,
    FP_INEXACT = 16,
    FP_DENORMAL = 64,        /* x86's DE: a subnormal operand that was not flushed; see FpEnv */
    FP_INPUT_DENORMAL = 128, /* set when flush_inputs replaced a subnormal operand by zero */
};

/* Which NaN operand becomes the (quieted) result. */
typedef enum FpNanRule {
    FP_NAN_ARM,     /* the first signalling one, else the first; a fused addend counts as first */
    FP_NAN_X86_SSE, /* the first one; a fused addend counts as last */
    FP_NAN_X87,     /* a quiet one, then that with the larger significand, then the positive one */
} FpNanRule;

typedef struct FpEnv {
    u8 rounding; /* FpRounding */
    u8 flags;    /* sticky exception bits, only ever set here */
    /* Subnormal operands and results become zero of the same sign: Arm's FZ sets both, x86 has DAZ
     * and FTZ. Half precision is exempt, as on both. A flushed result raises underflow, and with
     * tininess_after_rounding (that is, as x86 does it) inexact as well. */
    bool flush_inputs, flush_outputs;
    bool default_nan;             /* every NaN result is the default NaN */
    bool default_nan_negative;    /* the default NaN's sign: set on x86 ("real indefinite") */
    bool tininess_after_rounding; /* x86: true, Arm: false */
    u8 nan_rule;                  /* FpNanRule */
    /* Subnormal operands that are not flushed raise FP_DENORMAL, unless the operation is invalid,
     * divides by zero or has a NaN operand (Intel SDM volume 1, 4.9.2). Half precision, rounding to
     * an integral value and conversion to integers are exempt. */
    bool denormal_operands;
    /* Tiny results raise underflow even if they are exact, as where x86 has it unmasked. */
    bool exact_underflow;
} FpEnv;

typedef enum FpRelation { FP_LESS, FP_EQUAL, FP_GREATER, FP_UNORDERED } FpRelation;

u32 f32_add(FpEnv *env, u32 a, u32 b);
u32 f32_sub(FpEnv *env, u32 a, u32 b);
u32 f32_mul(FpEnv *env, u32 a, u32 b);
u32 f32_div(FpEnv *env, u32 a, u32 b);
u32 f32_sqrt(FpEnv *env, u32 a);
u64 f64_add(FpEnv *env, u64 a, u64 b);
u64 f64_sub(FpEnv *env, u64 a, u64 b);
u64 f64_mul(FpEnv *env, u64 a, u64 b);
u64 f64_div(FpEnv *env, u64 a, u64 b);
u64 f64_sqrt(FpEnv *env, u64 a);

/* a * b + c, rounded once. Infinity times zero plus a quiet NaN is the default NaN and invalid
 * under FP_NAN_ARM, the addend without an exception under FP_NAN_X86_SSE. */
u32 f32_fma(FpEnv *env, u32 a, u32 b, u32 c);
u64 f64_fma(FpEnv *env, u64 a, u64 b, u64 c);

/* As FMIN and FMAX: a NaN operand gives a NaN, and -0 is less than +0. */
u32 f32_min(FpEnv *env, u32 a, u32 b);
u32 f32_max(FpEnv *env, u32 a, u32 b);
u64 f64_min(FpEnv *env, u64 a, u64 b);
u64 f64_max(FpEnv *env, u64 a, u64 b);

/* As x86's MINSS and MAXSS: b unless a is less (greater); so b where both are zero or either is a
 * NaN, which is invalid but not quieted. Results are not flushed. */
u32 f32_min_x86(FpEnv *env, u32 a, u32 b);
u32 f32_max_x86(FpEnv *env, u32 a, u32 b);
u64 f64_min_x86(FpEnv *env, u64 a, u64 b);
u64 f64_max_x86(FpEnv *env, u64 a, u64 b);

/* As FMINNM and FMAXNM (IEEE 754-2008 minNum, maxNum): a number wins over a quiet NaN. */
u32 f32_minnum(FpEnv *env, u32 a, u32 b);
u32 f32_maxnum(FpEnv *env, u32 a, u32 b);
u64 f64_minnum(FpEnv *env, u64 a, u64 b);
u64 f64_maxnum(FpEnv *env, u64 a, u64 b);

/* As FMULX: like mul, but infinity times zero is 2 with the product's sign. */
u32 f32_mulx(FpEnv *env, u32 a, u32 b);
u64 f64_mulx(FpEnv *env, u64 a, u64 b);

/* As FRECPE and FRSQRTE: estimates of 1/a and 1/sqrt(a), good to 8 bits. */
u32 f32_recip_estimate(FpEnv *env, u32 a);
u32 f32_rsqrt_estimate(FpEnv *env, u32 a);
u64 f64_recip_estimate(FpEnv *env, u64 a);
u64 f64_rsqrt_estimate(FpEnv *env, u64 a);

/* As FRECPS and FRSQRTS: the Newton steps 2 - a*b and (3 - a*b) / 2, each rounded once. */
u32 f32_recip_step(FpEnv *env, u32 a, u32 b);
u32 f32_rsqrt_step(FpEnv *env, u32 a, u32 b);
u64 f64_recip_step(FpEnv *env, u64 a, u64 b);
u64 f64_rsqrt_step(FpEnv *env, u64 a, u64 b);

/* As FRECPX: a power of two near 1/a. */
u32 f32_recpx(FpEnv *env, u32 a);
u64 f64_recpx(FpEnv *env, u64 a);

/* As URECPE and URSQRTE: the same estimates for the unsigned fixed-point fraction a / 2^32. */
u32 fixed_recip_estimate(u32 a);
u32 fixed_rsqrt_estimate(u32 a);

/* compare raises invalid for signalling NaNs only, compare_signalling for every NaN. */
FpRelation f32_compare(FpEnv *env, u32 a, u32 b);
FpRelation f32_compare_signalling(FpEnv *env, u32 a, u32 b);
FpRelation f64_compare(FpEnv *env, u64 a, u64 b);
FpRelation f64_compare_signalling(FpEnv *env, u64 a, u64 b);

/* a rounded to an integer in its own format. exact: raise inexact if that changed the value. */
u32 f32_round_to_integral(FpEnv *env, u32 a, FpRounding rounding, bool exact);
u64 f64_round_to_integral(FpEnv *env, u64 a, FpRounding rounding, bool exact);

/* a * 2^fraction_bits (0..64) as an integer. As FCVTZS and its like: out of range saturates and a
 * NaN is 0, both with invalid and without inexact. */
s32 f32_to_s32(FpEnv *env, u32 a, FpRounding rounding, unsigned fraction_bits);
u32 f32_to_u32(FpEnv *env, u32 a, FpRounding rounding, unsigned fraction_bits);
s64 f32_to_s64(FpEnv *env, u32 a, FpRounding rounding, unsigned fraction_bits);
u64 f32_to_u64(FpEnv *env, u32 a, FpRounding rounding, unsigned fraction_bits);
s32 f64_to_s32(FpEnv *env, u64 a, FpRounding rounding, unsigned fraction_bits);
u32 f64_to_u32(FpEnv *env, u64 a, FpRounding rounding, unsigned fraction_bits);
s64 f64_to_s64(FpEnv *env, u64 a, FpRounding rounding, unsigned fraction_bits);
u64 f64_to_u64(FpEnv *env, u64 a, FpRounding rounding, unsigned fraction_bits);

/* As x86's CVTSS2SI and its like: a NaN and what is out of range give the smallest integer (Intel
 * calls it integer indefinite), with invalid and without inexact. */
s32 f32_to_s32_indefinite(FpEnv *env, u32 a, FpRounding rounding);
s64 f32_to_s64_indefinite(FpEnv *env, u32 a, FpRounding rounding);
s32 f64_to_s32_indefinite(FpEnv *env, u64 a, FpRounding rounding);
s64 f64_to_s64_indefinite(FpEnv *env, u64 a, FpRounding rounding);

/* a / 2^fraction_bits (0..64); zero gives +0. */
u32 f32_from_s32(FpEnv *env, s32 a, unsigned fraction_bits);
u32 f32_from_u32(FpEnv *env, u32 a, unsigned fraction_bits);
u32 f32_from_s64(FpEnv *env, s64 a, unsigned fraction_bits);
u32 f32_from_u64(FpEnv *env, u64 a, unsigned fraction_bits);
u64 f64_from_s32(FpEnv *env, s32 a, unsigned fraction_bits);
u64 f64_from_u32(FpEnv *env, u32 a, unsigned fraction_bits);
u64 f64_from_s64(FpEnv *env, s64 a, unsigned fraction_bits);
u64 f64_from_u64(FpEnv *env, u64 a, unsigned fraction_bits);

/* Between formats. A NaN keeps its sign and the high bits of its payload and becomes quiet.
 * f64_to_f32_odd rounds to odd whatever the environment says, as FCVTXN. */
u64 f32_to_f64(FpEnv *env, u32 a);
u32 f64_to_f32(FpEnv *env, u64 a);
u32 f64_to_f32_odd(FpEnv *env, u64 a);

/* Half precision. alternative: Arm's format without infinities and NaNs (FPCR.AHP), into which a
 * NaN converts as zero and what is too large as the largest number, both with invalid only. */
u16 f32_to_f16(FpEnv *env, u32 a, bool alternative);
u16 f64_to_f16(FpEnv *env, u64 a, bool alternative);
u32 f16_to_f32(FpEnv *env, u16 a, bool alternative);
u64 f16_to_f64(FpEnv *env, u16 a, bool alternative);

#endif
