/* Evaluation of floating-point operations lane by lane, in soft float. Those that change the width
 * of lanes are in eval_vector.c. */
#include "ir/eval_private.h"

#define LANE(name)                                                                                 \
    static u64 name(const Lane *l __attribute__((unused)), u64 x __attribute__((unused)),          \
                    u64 y __attribute__((unused)), u64 z __attribute__((unused)))

/* One operation in both formats. */
#define FLOAT1(name)                                                                               \
    LANE(lane_##name)                                                                              \
    {                                                                                              \
        return l->bits == 32 ? f32_##name(l->fp, (u32)x) : f64_##name(l->fp, x);                   \
    }
#define FLOAT2(name)                                                                               \
    LANE(lane_##name)                                                                              \
    {                                                                                              \
        return l->bits == 32 ? f32_##name(l->fp, (u32)x, (u32)y) : f64_##name(l->fp, x, y);        \
    }

FLOAT2(add)
FLOAT2(sub)
FLOAT2(mul)
FLOAT2(div)
FLOAT1(sqrt)
FLOAT2(min)
FLOAT2(max)
FLOAT2(min_x86)
FLOAT2(max_x86)
FLOAT2(minnum)
FLOAT2(maxnum)
FLOAT2(mulx)
FLOAT1(recip_estimate)
FLOAT1(rsqrt_estimate)
FLOAT2(recip_step)
FLOAT2(rsqrt_step)
FLOAT1(recpx)

/* With the sign changed, unless it is a NaN. */
static u64 negate_number(const Lane *l, u64 x)
{
    u64 sign = (u64)1 << (l->bits - 1);
    u64 infinity = l->bits == 32 ? 0x7f800000 : 0x7ff0000000000000;

    return (x & ~sign) > infinity ? x : x ^ sign;
}

LANE(lane_fma)
{
    u8 sub = l->insn->sub;
    u8 skipped = l->index % 2 ? IR_FMA_EVEN : IR_FMA_ODD;

    if (sub & IR_FMA_NEGATE_PRODUCT) {
        x = negate_number(l, x);
    }
    if ((sub & IR_FMA_NEGATE_ADDEND) && !(sub & skipped)) {
        z = negate_number(l, z);
    }
    return l->bits == 32 ? f32_fma(l->fp, (u32)x, (u32)y, (u32)z) : f64_fma(l->fp, x, y, z);
}

LANE(lane_neg)
{
    return x ^ (u64)1 << (l->bits - 1);
}

LANE(lane_abs)
{
    return x & ~((u64)1 << (l->bits - 1));
}

static FpRelation compare(const Lane *l, u64 x, u64 y, bool signalling)
{
    if (l->bits == 32) {
        return (signalling ? f32_compare_signalling : f32_compare)(l->fp, (u32)x, (u32)y);
    }
    return (signalling ? f64_compare_signalling : f64_compare)(l->fp, x, y);
}

/* Relations for which each even IrFcmp holds. */
static const u8 holds_for[] = {
    [IR_FEQ / 2] = 1 << FP_EQUAL,
    [IR_FLT / 2] = 1 << FP_LESS,
    [IR_FLE / 2] = 1 << FP_LESS | 1 << FP_EQUAL,
    [IR_FGT / 2] = 1 << FP_GREATER,
    [IR_FGE / 2] = 1 << FP_GREATER | 1 << FP_EQUAL,
    [IR_FUNO / 2] = 1 << FP_UNORDERED,
    [IR_FUEQ / 2] = 1 << FP_UNORDERED | 1 << FP_EQUAL,
    [IR_FFALSE / 2] = 0,
};

LANE(fcmp)
{
    u8 sub = l->insn->sub, predicate = sub & ~IR_FCMP_SIGNALLING;
    FpRelation relation = compare(l, x, y, sub & IR_FCMP_SIGNALLING);

    return (holds_for[predicate / 2] >> relation & 1) ^ (predicate & 1);
}

LANE(vfcmp)
{
    return -fcmp(l, x, y, z);
}

LANE(flags_fcmp)
{
    static const u32 flags[] = {
        [FP_LESS] = IR_FLAG_N,
        [FP_EQUAL] = IR_FLAG_Z | IR_FLAG_C,
        [FP_GREATER] = IR_FLAG_C,
        [FP_UNORDERED] = IR_FLAG_C | IR_FLAG_V,
    };

    return flags[compare(l, x, y, l->insn->sub & 1)];
}

LANE(flags_comi)
{
    static const u32 flags[] = {
        [FP_LESS] = IR_FLAG_C,
        [FP_EQUAL] = IR_FLAG_Z,
        [FP_GREATER] = 0,
        [FP_UNORDERED] = IR_FLAG_Z | IR_FLAG_P | IR_FLAG_C,
    };

    return flags[compare(l, x, y, l->insn->sub & 1)];
}

LANE(min)
{
    return l->insn->sub & IR_X86 ? lane_min_x86(l, x, y, z) : lane_min(l, x, y, z);
}

LANE(max)
{
    return l->insn->sub & IR_X86 ? lane_max_x86(l, x, y, z) : lane_max(l, x, y, z);
}

/* Estimates: the f32 nearest to the true value, cut to 12 bits. Neither rounding mode nor modes
 * for subnormals matter, no flag is raised. */

static u32 cut_estimate(FpEnv *env, u64 value)
{
    u32 rounded = f64_to_f32(env, value);

    return (rounded & 0x7fffffff) > 0x7f800000 ? rounded : rounded & 0xfffff800;
}

static FpEnv estimate_env(void)
{
    return (FpEnv){.flush_inputs = true,
                   .flush_outputs = true,
                   .default_nan_negative = true,
                   .nan_rule = FP_NAN_X86_SSE};
}

LANE(rcp)
{
    FpEnv env = estimate_env();

    if (((u32)x & 0x7f800000) == 0) { /* subnormals are zeros */
        x &= 0x80000000;
    }
    return cut_estimate(&env, f64_div(&env, 0x3ff0000000000000, f32_to_f64(&env, (u32)x)));
}

LANE(rsqrt)
{
    FpEnv env = estimate_env();
    u64 root;

    if (((u32)x & 0x7f800000) == 0) {
        x &= 0x80000000;
    }
    root = f64_sqrt(&env, f32_to_f64(&env, (u32)x));
    return cut_estimate(&env, f64_div(&env, 0x3ff0000000000000, root));
}

static FpRounding rounding(const Lane *l)
{
    u8 sub = l->insn->sub & 7;

    return (FpRounding)(sub == IR_ROUND_CURRENT ? l->fp->rounding : sub);
}

LANE(lane_round)
{
    bool exact = l->insn->sub & IR_ROUND_EXACT;

    return l->bits == 32 ? f32_round_to_integral(l->fp, (u32)x, rounding(l), exact)
                         : f64_round_to_integral(l->fp, x, rounding(l), exact);
}

static u64 ftoi_saturating(const Lane *l, u64 x)
{
    FpRounding r = rounding(l);
    unsigned fraction = (unsigned)l->insn->imm;
    bool is_unsigned = l->insn->sub & IR_UNSIGNED;

    if (l->bits == 32 && l->to_bits == 32) {
        return is_unsigned ? f32_to_u32(l->fp, (u32)x, r, fraction)
                           : (u32)f32_to_s32(l->fp, (u32)x, r, fraction);
    }
    if (l->bits == 32) {
        return is_unsigned ? f32_to_u64(l->fp, (u32)x, r, fraction)
                           : (u64)f32_to_s64(l->fp, (u32)x, r, fraction);
    }
    if (l->to_bits == 32) {
        return is_unsigned ? f64_to_u32(l->fp, x, r, fraction)
                           : (u32)f64_to_s32(l->fp, x, r, fraction);
    }
    return is_unsigned ? f64_to_u64(l->fp, x, r, fraction) : (u64)f64_to_s64(l->fp, x, r, fraction);
}

LANE(ftoi)
{
    u8 flags = l->fp->flags;
    u64 result;

    l->fp->flags &= (u8)~FP_INVALID;
    result = ftoi_saturating(l, x);
    if ((l->insn->sub & IR_INDEFINITE) && (l->fp->flags & FP_INVALID)) {
        result = (u64)1 << (l->to_bits - 1);
    }
    l->fp->flags |= flags;
    return result;
}

LANE(itof)
{
    unsigned fraction = (unsigned)l->insn->imm;
    bool is_unsigned = l->insn->sub & IR_UNSIGNED;

    if (l->bits == 32 && l->to_bits == 32) {
        return is_unsigned ? f32_from_u32(l->fp, (u32)x, fraction)
                           : f32_from_s32(l->fp, (s32)x, fraction);
    }
    if (l->bits == 32) {
        return is_unsigned ? f64_from_u32(l->fp, (u32)x, fraction)
                           : f64_from_s32(l->fp, (s32)x, fraction);
    }
    if (l->to_bits == 32) {
        return is_unsigned ? f32_from_u64(l->fp, x, fraction)
                           : f32_from_s64(l->fp, (s64)x, fraction);
    }
    return is_unsigned ? f64_from_u64(l->fp, x, fraction) : f64_from_s64(l->fp, (s64)x, fraction);
}

LaneFn *const eval_float_lanes[IR_OP_COUNT] = {
    [IR_FLAGS_FCMP] = flags_fcmp,
    [IR_FLAGS_COMI] = flags_comi,
    [IR_FADD] = lane_add,
    [IR_FSUB] = lane_sub,
    [IR_FMUL] = lane_mul,
    [IR_FDIV] = lane_div,
    [IR_FSQRT] = lane_sqrt,
    [IR_FMA] = lane_fma,
    [IR_FNEG] = lane_neg,
    [IR_FABS] = lane_abs,
    [IR_FMIN] = min,
    [IR_FMAX] = max,
    [IR_FMINNM] = lane_minnum,
    [IR_FMAXNM] = lane_maxnum,
    [IR_FMULX] = lane_mulx,
    [IR_FRECPE] = lane_recip_estimate,
    [IR_FRSQRTE] = lane_rsqrt_estimate,
    [IR_FRECPX] = lane_recpx,
    [IR_FRECPS] = lane_recip_step,
    [IR_FRSQRTS] = lane_rsqrt_step,
    [IR_FRCP] = rcp,
    [IR_FRSQRT] = rsqrt,
    [IR_FCMP] = fcmp,
    [IR_VFCMP] = vfcmp,
    [IR_FROUND] = lane_round,
    [IR_FTOI] = ftoi,
    [IR_ITOF] = itof,
};
