/* The AArch64 operations that test_softfloat_arm.c compares, one row each: its name, the number and
 * type of the operands, the code to run on an AArch64 machine (operands in d0-d2, the first in x0
 * too, result in x0) and the same by soft float (environment e, operands x, FPCR.AHP ahp). The test
 * runs the last column itself and the program softfloat_arm_guest.c the one before. */
#ifndef TESTS_IR_SOFTFLOAT_ARM_H
#define TESTS_IR_SOFTFLOAT_ARM_H

#include "base/types.h"

enum { FPCR_ROUNDING_SHIFT = 22, FPCR_FZ = 1 << 24, FPCR_DN = 1 << 25, FPCR_AHP = 1 << 26 };

typedef struct ArmRequest {
    u32 operation; /* row number */
    u32 fpcr;
    u64 operands[3];
} ArmRequest;

typedef struct ArmReply {
    u64 result;
    u64 fpsr;
} ArmReply;

/* clang-format off */
#define BOTH(OP, insn, soft)                                                                       \
    OP(insn##_s, 2, f32, #insn " s0, s0, s1; fmov w0, s0", f32_##soft(e, (u32)x[0], (u32)x[1]))    \
    OP(insn##_d, 2, f64, #insn " d0, d0, d1; fmov x0, d0", f64_##soft(e, x[0], x[1]))
#define BOTH1(OP, insn, soft)                                                                      \
    OP(insn##_s, 1, f32, #insn " s0, s0; fmov w0, s0", f32_##soft(e, (u32)x[0]))                   \
    OP(insn##_d, 1, f64, #insn " d0, d0; fmov x0, d0", f64_##soft(e, x[0]))
#define COMPARE(OP, insn, soft)                                                                    \
    OP(insn##_s, 2, f32, #insn " s0, s1; mrs x0, nzcv", nzcv(f32_##soft(e, (u32)x[0], (u32)x[1]))) \
    OP(insn##_d, 2, f64, #insn " d0, d1; mrs x0, nzcv", nzcv(f64_##soft(e, x[0], x[1])))
#define ROUND(OP, insn, rounding, exact)                                                           \
    OP(insn##_s, 1, f32, #insn " s0, s0; fmov w0, s0",                                             \
       f32_round_to_integral(e, (u32)x[0], rounding, exact))                                       \
    OP(insn##_d, 1, f64, #insn " d0, d0; fmov x0, d0",                                             \
       f64_round_to_integral(e, x[0], rounding, exact))
#define TO_INTEGER(OP, insn, rounding, sign)                                                       \
    OP(insn##_ws, 1, f32, #insn " w0, s0", (u32)f32_to_##sign##32(e, (u32)x[0], rounding, 0))      \
    OP(insn##_wd, 1, f64, #insn " w0, d0", (u32)f64_to_##sign##32(e, x[0], rounding, 0))           \
    OP(insn##_xs, 1, f32, #insn " x0, s0", (u64)f32_to_##sign##64(e, (u32)x[0], rounding, 0))      \
    OP(insn##_xd, 1, f64, #insn " x0, d0", (u64)f64_to_##sign##64(e, x[0], rounding, 0))
#define TO_FIXED(OP, insn, sign)                                                                   \
    OP(insn##_ws_7, 1, f32, #insn " w0, s0, #7",                                                   \
       (u32)f32_to_##sign##32(e, (u32)x[0], FP_TO_ZERO, 7))                                        \
    OP(insn##_wd_32, 1, f64, #insn " w0, d0, #32", (u32)f64_to_##sign##32(e, x[0], FP_TO_ZERO, 32)) \
    OP(insn##_xs_64, 1, f32, #insn " x0, s0, #64",                                                 \
       (u64)f32_to_##sign##64(e, (u32)x[0], FP_TO_ZERO, 64))                                       \
    OP(insn##_xd_13, 1, f64, #insn " x0, d0, #13", (u64)f64_to_##sign##64(e, x[0], FP_TO_ZERO, 13))
#define FROM_INTEGER(OP, insn, sign)                                                               \
    OP(insn##_sw, 1, integer, #insn " s0, w0; fmov w0, s0", f32_from_##sign##32(e, (sign##32)x[0], 0)) \
    OP(insn##_sx, 1, integer, #insn " s0, x0; fmov w0, s0", f32_from_##sign##64(e, (sign##64)x[0], 0)) \
    OP(insn##_dw, 1, integer, #insn " d0, w0; fmov x0, d0", f64_from_##sign##32(e, (sign##32)x[0], 0)) \
    OP(insn##_dx, 1, integer, #insn " d0, x0; fmov x0, d0", f64_from_##sign##64(e, (sign##64)x[0], 0)) \
    OP(insn##_sx_64, 1, integer, #insn " s0, x0, #64; fmov w0, s0",                                \
       f32_from_##sign##64(e, (sign##64)x[0], 64))                                                 \
    OP(insn##_dw_3, 1, integer, #insn " d0, w0, #3; fmov x0, d0",                                  \
       f64_from_##sign##32(e, (sign##32)x[0], 3))

#define ARM_OPERATIONS(OP)                                                                         \
    BOTH(OP, fadd, add)                                                                            \
    BOTH(OP, fsub, sub)                                                                            \
    BOTH(OP, fmul, mul)                                                                            \
    BOTH(OP, fdiv, div)                                                                            \
    BOTH1(OP, fsqrt, sqrt)                                                                         \
    OP(fmadd_s, 3, f32, "fmadd s0, s0, s1, s2; fmov w0, s0",                                       \
       f32_fma(e, (u32)x[0], (u32)x[1], (u32)x[2]))                                                \
    OP(fmadd_d, 3, f64, "fmadd d0, d0, d1, d2; fmov x0, d0", f64_fma(e, x[0], x[1], x[2]))         \
    BOTH(OP, fmin, min)                                                                            \
    BOTH(OP, fmax, max)                                                                            \
    BOTH(OP, fminnm, minnum)                                                                       \
    BOTH(OP, fmaxnm, maxnum)                                                                       \
    BOTH(OP, fmulx, mulx)                                                                          \
    BOTH(OP, frecps, recip_step)                                                                   \
    BOTH(OP, frsqrts, rsqrt_step)                                                                  \
    BOTH1(OP, frecpe, recip_estimate)                                                              \
    BOTH1(OP, frsqrte, rsqrt_estimate)                                                             \
    BOTH1(OP, frecpx, recpx)                                                                       \
    OP(urecpe, 1, integer, "urecpe v0.2s, v0.2s; fmov w0, s0", fixed_recip_estimate((u32)x[0]))    \
    OP(ursqrte, 1, integer, "ursqrte v0.2s, v0.2s; fmov w0, s0", fixed_rsqrt_estimate((u32)x[0]))  \
    COMPARE(OP, fcmp, compare)                                                                     \
    COMPARE(OP, fcmpe, compare_signalling)                                                         \
    ROUND(OP, frinti, e->rounding, false)                                                          \
    ROUND(OP, frintx, e->rounding, true)                                                           \
    ROUND(OP, frintn, FP_NEAREST_EVEN, false)                                                      \
    ROUND(OP, frinta, FP_NEAREST_AWAY, false)                                                      \
    ROUND(OP, frintp, FP_UP, false)                                                                \
    ROUND(OP, frintm, FP_DOWN, false)                                                              \
    ROUND(OP, frintz, FP_TO_ZERO, false)                                                           \
    TO_INTEGER(OP, fcvtns, FP_NEAREST_EVEN, s)                                                     \
    TO_INTEGER(OP, fcvtnu, FP_NEAREST_EVEN, u)                                                     \
    TO_INTEGER(OP, fcvtas, FP_NEAREST_AWAY, s)                                                     \
    TO_INTEGER(OP, fcvtau, FP_NEAREST_AWAY, u)                                                     \
    TO_INTEGER(OP, fcvtps, FP_UP, s)                                                               \
    TO_INTEGER(OP, fcvtpu, FP_UP, u)                                                               \
    TO_INTEGER(OP, fcvtms, FP_DOWN, s)                                                             \
    TO_INTEGER(OP, fcvtmu, FP_DOWN, u)                                                             \
    TO_INTEGER(OP, fcvtzs, FP_TO_ZERO, s)                                                          \
    TO_INTEGER(OP, fcvtzu, FP_TO_ZERO, u)                                                          \
    TO_FIXED(OP, fcvtzs, s)                                                                        \
    TO_FIXED(OP, fcvtzu, u)                                                                        \
    FROM_INTEGER(OP, scvtf, s)                                                                     \
    FROM_INTEGER(OP, ucvtf, u)                                                                     \
    OP(fcvt_ds, 1, f32, "fcvt d0, s0; fmov x0, d0", f32_to_f64(e, (u32)x[0]))                      \
    OP(fcvt_sd, 1, f64, "fcvt s0, d0; fmov w0, s0", f64_to_f32(e, x[0]))                           \
    OP(fcvtxn, 1, f64, "fcvtxn s0, d0; fmov w0, s0", f64_to_f32_odd(e, x[0]))                      \
    OP(fcvt_hs, 1, f32, "fcvt h0, s0; fmov w0, s0", f32_to_f16(e, (u32)x[0], ahp))                 \
    OP(fcvt_hd, 1, f64, "fcvt h0, d0; fmov w0, s0", f64_to_f16(e, x[0], ahp))                      \
    OP(fcvt_sh, 1, f16, "fcvt s0, h0; fmov w0, s0", f16_to_f32(e, (u16)x[0], ahp))                 \
    OP(fcvt_dh, 1, f16, "fcvt d0, h0; fmov x0, d0", f16_to_f64(e, (u16)x[0], ahp))
/* clang-format on */

#endif
