/* x87 floating point in integer arithmetic: the double extended format and the x87 rules for
 * exceptions, NaNs and unsupported encodings (Intel SDM volume 1, chapter 8).
 *
 * An operation takes unpacked operands, because instructions take them from registers and from
 * several formats in memory, and whether an operand was subnormal or a signalling NaN matters in
 * the format it came from. It returns the result in the register format.
 *
 * Every operation takes a fresh environment: what is in F80Env.fp.flags afterwards are the
 * exceptions of that operation. An exception among F80Env.unmasked changes the outcome:
 * see f80_result_lost(), and f80_add() for overflow and underflow.
 * As in softfloat.h, all state is in the environment that the caller passes, and nothing traps. */
#ifndef IR_SOFTFLOAT80_H
#define IR_SOFTFLOAT80_H

#include "ir/softfloat_core.h"

/* Bit 63 of the significand is the explicit integer bit. */
typedef struct F80 {
    u64 significand;
    u16 sign_exponent; /* sign in bit 15, the exponent biased by 16383 below */
} F80;

enum { F80_SIGN = 0x8000, F80_TOP_EXPONENT = 0x7fff, F80_BIAS = 0x3fff };

/* What unmasked overflow adds to the exponent, negated, and unmasked underflow. */
enum { F80_WRAP = 24576 };

typedef struct F80Env {
    FpEnv fp;        /* rounding and flags; the rest as f80_env() sets it */
    u8 precision;    /* significand bits of a sum, difference, product, quotient or root: 24, 53, 64
                      */
    u8 unmasked;     /* FP_* exceptions whose unmasked response is wanted */
    bool rounded_up; /* whether rounding increased the magnitude: C1; sticky like the flags */
} F80Env;

/* Remainders and transcendental functions also answer with condition code bits. */
typedef struct F80Quotient {
    u8 low_bits;  /* of the quotient's magnitude: 3 */
    bool partial; /* the operand was reduced only in part: C2 */
} F80Quotient;

static inline F80Env f80_env(FpRounding rounding, u8 precision, u8 unmasked)
{
    return (F80Env){.fp = {.rounding = rounding,
                           .default_nan_negative = true,
                           .tininess_after_rounding = true,
                           .denormal_operands = true,
                           .nan_rule = FP_NAN_X87},
                    .precision = precision,
                    .unmasked = unmasked};
}

/* What becomes of a result. */
typedef enum F80Destination {
    F80_REGISTER,
    F80_MEMORY, /* may be lost by overflow and underflow as well */
    F80_LOADED, /* pushed by FLD: a subnormal number is loaded all the same */
} F80Destination;

/* Whether an unmasked exception keeps the result of the last operation from being written (and
 * the stack from being pushed or popped). */
static inline bool f80_result_lost(const F80Env *env, F80Destination destination)
{
    static const u8 losing[] = {
        [F80_REGISTER] = FP_INVALID | FP_DENORMAL | FP_DIVZERO,
        [F80_MEMORY] = FP_INVALID | FP_OVERFLOW | FP_UNDERFLOW,
        [F80_LOADED] = FP_INVALID,
    };
    return env->fp.flags & env->unmasked & losing[destination];
}

/* The default NaN ("real indefinite"). */
static inline F80 f80_indefinite(void)
{
    return (F80){(u64)3 << 62, F80_SIGN | F80_TOP_EXPONENT};
}

/* Operands. Pseudo-denormals are subnormal numbers; unnormals, pseudo-infinities and pseudo-NaNs
 * are FP_KIND_UNSUPPORTED. */
FpValue f80_unpack(F80 a);
FpValue f80_unpack_f32(u32 a);
FpValue f80_unpack_f64(u64 a);
FpValue f80_unpack_integer(s64 a);
/* 18 decimal digits, two a byte, the lowest first, and the sign in bit 7 of the last byte. */
FpValue f80_unpack_bcd(const u8 bcd[10]);

/* FADD, FSUB, FMUL, FDIV, FSQRT, rounded to env->precision; the exponent's range stays. Unmasked
 * overflow and underflow give the rounded result with an exponent that is off by F80_WRAP; where
 * even that is out of range (FSCALE), infinity or zero. */
F80 f80_add(F80Env *env, FpValue a, FpValue b);
F80 f80_sub(F80Env *env, FpValue a, FpValue b);
F80 f80_mul(F80Env *env, FpValue a, FpValue b);
F80 f80_div(F80Env *env, FpValue a, FpValue b);
F80 f80_sqrt(F80Env *env, FpValue a);

/* FLD and FILD: the operand as a register value. FP_DENORMAL does not keep it from being loaded. */
F80 f80_load(F80Env *env, FpValue a);

/* FRNDINT */
F80 f80_round_to_integral(F80Env *env, FpValue a);
/* FSCALE: a * 2^b, b truncated to an integer. */
F80 f80_scale(F80Env *env, FpValue a, FpValue b);
/* FXTRACT: *exponent gets a's exponent as a number, the result is a scaled to [1, 2). */
F80 f80_extract(F80Env *env, FpValue a, F80 *exponent);
/* FPREM (truncating) and FPREM1 (nearest): the remainder of a / b. Where the exponents differ by 64
 * or more, one step of the reduction. */
F80 f80_remainder(F80Env *env, FpValue a, FpValue b, bool nearest, F80Quotient *quotient);

/* Transcendental functions, good to one unit in the last place. F2XM1 gives 2^a - 1 for |a| <= 1,
 * beyond which it is undefined; FYL2X gives y * log2(x), FYL2XP1 y * log2(1 + x) for x > -1. */
F80 f80_2xm1(F80Env *env, FpValue a);
F80 f80_yl2x(F80Env *env, FpValue x, FpValue y);
F80 f80_yl2xp1(F80Env *env, FpValue x, FpValue y);
/* FSIN, FCOS, FPTAN, of angles reduced by the x87's pi of 66 bits. *reduced becomes false, and
 * there is no result, from 2^63 on. */
F80 f80_sin(F80Env *env, FpValue a, bool *reduced);
F80 f80_cos(F80Env *env, FpValue a, bool *reduced);
F80 f80_tan(F80Env *env, FpValue a, bool *reduced);
/* FPATAN: the angle of the point (x, y). */
F80 f80_atan(F80Env *env, FpValue y, FpValue x);

/* FCOM; FUCOM, which is not signalling for quiet NaNs. */
FpRelation f80_compare(F80Env *env, FpValue a, FpValue b, bool signalling);

/* FST and FSTP to memory. */
u32 f80_to_f32(F80Env *env, FpValue a);
u64 f80_to_f64(F80Env *env, FpValue a);
/* FIST, FISTP and FISTTP to `bits` = 16, 32, 64; the smallest integer where that is invalid. */
s64 f80_to_integer(F80Env *env, FpValue a, FpRounding rounding, unsigned bits);
/* FBSTP; packed BCD indefinite where that is invalid. */
void f80_to_bcd(F80Env *env, FpValue a, u8 bcd[10]);

#endif
