/* Inside x87 soft float: rounding and packing of results. */
#ifndef IR_SOFTFLOAT80_CORE_H
#define IR_SOFTFLOAT80_CORE_H

#include "ir/softfloat80.h"

/* The register format with the full significand. It has no implicit bit, but packs as if it had. */
static const FpFormat fp_f80 = {.precision = 64, .exponent_bits = 15};

/* Rounds a result of any kind to `precision` bits in the register format. */
F80 f80_pack(F80Env *env, unsigned precision, FpValue value);

/* The rest of an operation whose result is known but for rounding: raises FP_DENORMAL for an
 * operand, then packs, unless an exception that is unmasked prevents it. */
F80 f80_finish(F80Env *env, unsigned precision, FpValue result, bool subnormal);

/* Raises FP_DENORMAL after an operation with a subnormal operand (see fp_raise_denormal()). */
static inline void f80_raise_denormal(F80Env *env, FpValue result, bool subnormal)
{
    if (unlikely(subnormal)) {
        fp_raise_denormal(&env->fp, result, env->fp.flags & FP_DIVZERO);
    }
}

/* Whether one of the exceptions noticed so far is unmasked, and so ends the operation. */
static inline bool f80_aborted(const F80Env *env)
{
    return f80_result_lost(env, F80_REGISTER);
}

/* Rounds a finite value to a format and returns its bits there, without the sign. With `wraps`,
 * unmasked overflow and underflow give the result with a wrapped exponent. */
u128 f80_round(F80Env *env, const FpFormat *format, FpValue value, bool wraps);

#endif
