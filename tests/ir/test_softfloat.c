/* Soft float against the host's FPU: results and exception flags of every operation that SSE2,
 * SSE4.1, FMA and F16C have, in all four hardware rounding modes and with DAZ and FTZ.
 * Usage: test_softfloat [N], N times as many operands as by default. */
#include <stdlib.h>
#include <string.h>

#include "ir/softfloat.h"

#include "../tap.h"
#include "softfloat_operands.h"

#ifdef __x86_64__

enum { MXCSR_DAZ = 1 << 6, MXCSR_MASKED = 0x1f80, MXCSR_ROUNDING_SHIFT = 13, MXCSR_FTZ = 1 << 15 };

/* An operation on up to three operands; the host's takes and gives MXCSR. */
typedef u64 SoftOperation(FpEnv *env, const u64 *operands);
typedef u64 HostOperation(u32 *mxcsr, const u64 *operands);

typedef struct Operation {
    const char *name;
    unsigned operand_count;
    const OperandType *type;
    SoftOperation *soft;
    HostOperation *host;
    const char *cpu_feature; /* NULL: part of x86-64 */
} Operation;

/* In one asm statement, so that no other instruction sees this MXCSR. xmm0 is first operand and
 * result; the code may use xmm1 and xmm2 (the other operands) and rax (the first operand). */
#define HOST(function, code)                                                                       \
    static u64 function(u32 *mxcsr, const u64 *operands)                                           \
    {                                                                                              \
        u32 usual = MXCSR_MASKED;                                                                  \
        u64 result = operands[0];                                                                  \
        __asm__ volatile("ldmxcsr %1\n\tmovq %%rax, %%xmm0\n\t"                                    \
                         "movq %2, %%xmm1\n\tmovq %3, %%xmm2\n\t" code                             \
                         "\n\tstmxcsr %1\n\tldmxcsr %4"                                            \
                         : "+a"(result), "+m"(*mxcsr)                                              \
                         : "m"(operands[1]), "m"(operands[2]), "m"(usual)                          \
                         : "xmm0", "xmm1", "xmm2", "cc", "rdx");                                   \
        return result;                                                                             \
    }
#define OUT32 "\n\tmovd %%xmm0, %%eax"
#define OUT64 "\n\tmovq %%xmm0, %%rax"

HOST(host_add32, "addss %%xmm1, %%xmm0" OUT32)
HOST(host_add64, "addsd %%xmm1, %%xmm0" OUT64)
HOST(host_sub32, "subss %%xmm1, %%xmm0" OUT32)
HOST(host_sub64, "subsd %%xmm1, %%xmm0" OUT64)
HOST(host_mul32, "mulss %%xmm1, %%xmm0" OUT32)
HOST(host_mul64, "mulsd %%xmm1, %%xmm0" OUT64)
HOST(host_div32, "divss %%xmm1, %%xmm0" OUT32)
HOST(host_div64, "divsd %%xmm1, %%xmm0" OUT64)
HOST(host_sqrt32, "sqrtss %%xmm0, %%xmm0" OUT32)
HOST(host_sqrt64, "sqrtsd %%xmm0, %%xmm0" OUT64)
/* 132: xmm0 * xmm1 + xmm2, and the NaN order is that of the operands */
HOST(host_fma32, "vfmadd132ss %%xmm1, %%xmm2, %%xmm0" OUT32)
HOST(host_fma64, "vfmadd132sd %%xmm1, %%xmm2, %%xmm0" OUT64)
HOST(host_round32, "roundss $4, %%xmm0, %%xmm0" OUT32)
HOST(host_round64, "roundsd $4, %%xmm0, %%xmm0" OUT64)
HOST(host_round_quiet32, "roundss $12, %%xmm0, %%xmm0" OUT32)
HOST(host_round_quiet64, "roundsd $12, %%xmm0, %%xmm0" OUT64)
HOST(host_truncate64, "roundsd $11, %%xmm0, %%xmm0" OUT64)
HOST(host_f32_to_f64, "cvtss2sd %%xmm0, %%xmm0" OUT64)
HOST(host_f64_to_f32, "cvtsd2ss %%xmm0, %%xmm0" OUT32)
HOST(host_f32_to_f16, "vcvtps2ph $4, %%xmm0, %%xmm0\n\tpextrw $0, %%xmm0, %%eax")
HOST(host_f16_to_f32, "vcvtph2ps %%xmm0, %%xmm0" OUT32)
HOST(host_min32, "minss %%xmm1, %%xmm0" OUT32)
HOST(host_min64, "minsd %%xmm1, %%xmm0" OUT64)
HOST(host_max32, "maxss %%xmm1, %%xmm0" OUT32)
HOST(host_max64, "maxsd %%xmm1, %%xmm0" OUT64)
HOST(host_f32_to_s32, "cvtss2si %%xmm0, %%eax")
HOST(host_f32_to_s64, "cvtss2si %%xmm0, %%rax")
HOST(host_f64_to_s32, "cvtsd2si %%xmm0, %%eax")
HOST(host_f64_to_s64, "cvtsd2si %%xmm0, %%rax")
HOST(host_f64_to_s64_zero, "cvttsd2si %%xmm0, %%rax")
HOST(host_f32_from_s32, "cvtsi2ss %%eax, %%xmm0" OUT32)
HOST(host_f32_from_s64, "cvtsi2ss %%rax, %%xmm0" OUT32)
HOST(host_f64_from_s32, "cvtsi2sd %%eax, %%xmm0" OUT64)
HOST(host_f64_from_s64, "cvtsi2sd %%rax, %%xmm0" OUT64)
/* Flags ZF, PF, CF as less, equal, greater, unordered = 1, 2, 0, 7 */
#define OUT_FLAGS                                                                                  \
    "\n\tsetc %%al\n\tsetz %%ah\n\tsetp %%dl\n\tmovzbl %%dl, %%edx\n\t"                            \
    "shll $2, %%edx\n\tmovzwl %%ax, %%eax\n\torb %%al, %%dl\n\tshrl $7, %%eax\n\t"                 \
    "orl %%edx, %%eax"
HOST(host_compare32, "ucomiss %%xmm1, %%xmm0" OUT_FLAGS)
HOST(host_compare64, "ucomisd %%xmm1, %%xmm0" OUT_FLAGS)
HOST(host_compare_signalling32, "comiss %%xmm1, %%xmm0" OUT_FLAGS)
HOST(host_compare_signalling64, "comisd %%xmm1, %%xmm0" OUT_FLAGS)

#define SOFT(function, expression)                                                                 \
    static u64 function(FpEnv *e, const u64 *x)                                                    \
    {                                                                                              \
        return expression;                                                                         \
    }

static u64 eflags(FpRelation relation)
{
    return (const u8[]){1, 2, 0, 7}[relation];
}

SOFT(soft_add32, f32_add(e, (u32)x[0], (u32)x[1]))
SOFT(soft_add64, f64_add(e, x[0], x[1]))
SOFT(soft_sub32, f32_sub(e, (u32)x[0], (u32)x[1]))
SOFT(soft_sub64, f64_sub(e, x[0], x[1]))
SOFT(soft_mul32, f32_mul(e, (u32)x[0], (u32)x[1]))
SOFT(soft_mul64, f64_mul(e, x[0], x[1]))
SOFT(soft_div32, f32_div(e, (u32)x[0], (u32)x[1]))
SOFT(soft_div64, f64_div(e, x[0], x[1]))
SOFT(soft_sqrt32, f32_sqrt(e, (u32)x[0]))
SOFT(soft_sqrt64, f64_sqrt(e, x[0]))
SOFT(soft_fma32, f32_fma(e, (u32)x[0], (u32)x[1], (u32)x[2]))
SOFT(soft_fma64, f64_fma(e, x[0], x[1], x[2]))
SOFT(soft_round32, f32_round_to_integral(e, (u32)x[0], e->rounding, true))
SOFT(soft_round64, f64_round_to_integral(e, x[0], e->rounding, true))
SOFT(soft_round_quiet32, f32_round_to_integral(e, (u32)x[0], e->rounding, false))
SOFT(soft_round_quiet64, f64_round_to_integral(e, x[0], e->rounding, false))
SOFT(soft_truncate64, f64_round_to_integral(e, x[0], FP_TO_ZERO, false))
SOFT(soft_f32_to_f64, f32_to_f64(e, (u32)x[0]))
SOFT(soft_f64_to_f32, f64_to_f32(e, x[0]))
SOFT(soft_f32_to_f16, f32_to_f16(e, (u32)x[0], false))
SOFT(soft_f16_to_f32, f16_to_f32(e, (u16)x[0], false))
SOFT(soft_min32, f32_min_x86(e, (u32)x[0], (u32)x[1]))
SOFT(soft_min64, f64_min_x86(e, x[0], x[1]))
SOFT(soft_max32, f32_max_x86(e, (u32)x[0], (u32)x[1]))
SOFT(soft_max64, f64_max_x86(e, x[0], x[1]))
SOFT(soft_f32_to_s32, (u32)f32_to_s32_indefinite(e, (u32)x[0], e->rounding))
SOFT(soft_f32_to_s64, (u64)f32_to_s64_indefinite(e, (u32)x[0], e->rounding))
SOFT(soft_f64_to_s32, (u32)f64_to_s32_indefinite(e, x[0], e->rounding))
SOFT(soft_f64_to_s64, (u64)f64_to_s64_indefinite(e, x[0], e->rounding))
SOFT(soft_f64_to_s64_zero, (u64)f64_to_s64_indefinite(e, x[0], FP_TO_ZERO))
SOFT(soft_f32_from_s32, f32_from_s32(e, (s32)x[0], 0))
SOFT(soft_f32_from_s64, f32_from_s64(e, (s64)x[0], 0))
SOFT(soft_f64_from_s32, f64_from_s32(e, (s32)x[0], 0))
SOFT(soft_f64_from_s64, f64_from_s64(e, (s64)x[0], 0))
SOFT(soft_compare32, eflags(f32_compare(e, (u32)x[0], (u32)x[1])))
SOFT(soft_compare64, eflags(f64_compare(e, x[0], x[1])))
SOFT(soft_compare_signalling32, eflags(f32_compare_signalling(e, (u32)x[0], (u32)x[1])))
SOFT(soft_compare_signalling64, eflags(f64_compare_signalling(e, x[0], x[1])))

#define F32(name, count, ...)                                                                      \
    {                                                                                              \
        "f32_" #name, count, &operand_f32, soft_##name##32, host_##name##32, __VA_ARGS__           \
    }
#define F64(name, count, ...)                                                                      \
    {                                                                                              \
        "f64_" #name, count, &operand_f64, soft_##name##64, host_##name##64, __VA_ARGS__           \
    }
#define CONVERT(name, type, ...)                                                                   \
    {                                                                                              \
#name, 1, &operand_##type, soft_##name, host_##name, __VA_ARGS__                           \
    }

static const Operation operations[] = {
    F32(add, 2),
    F64(add, 2),
    F32(sub, 2),
    F64(sub, 2),
    F32(mul, 2),
    F64(mul, 2),
    F32(div, 2),
    F64(div, 2),
    F32(sqrt, 1),
    F64(sqrt, 1),
    F32(fma, 3, "fma"),
    F64(fma, 3, "fma"),
    F32(round, 1, "sse4.1"),
    F64(round, 1, "sse4.1"),
    F32(round_quiet, 1, "sse4.1"),
    F64(round_quiet, 1, "sse4.1"),
    F64(truncate, 1, "sse4.1"),
    F32(min, 2),
    F64(min, 2),
    F32(max, 2),
    F64(max, 2),
    F32(compare, 2),
    F64(compare, 2),
    F32(compare_signalling, 2),
    F64(compare_signalling, 2),
    CONVERT(f32_to_f64, f32),
    CONVERT(f64_to_f32, f64),
    CONVERT(f32_to_f16, f32, "f16c"),
    CONVERT(f16_to_f32, f16, "f16c"),
    CONVERT(f32_to_s32, f32),
    CONVERT(f32_to_s64, f32),
    CONVERT(f64_to_s32, f64),
    CONVERT(f64_to_s64, f64),
    CONVERT(f64_to_s64_zero, f64),
    CONVERT(f32_from_s32, integer),
    CONVERT(f32_from_s64, integer),
    CONVERT(f64_from_s32, integer),
    CONVERT(f64_from_s64, integer),
};

static const struct {
    const char *name;
    FpRounding rounding;
} roundings[] = {
    {"nearest", FP_NEAREST_EVEN}, {"down", FP_DOWN}, {"up", FP_UP}, {"to zero", FP_TO_ZERO}};

/* MXCSR's flags in FpEnv's places. */
static u8 flags_of_mxcsr(u32 mxcsr)
{
    u8 flags = mxcsr & 1 ? FP_INVALID : 0;
    flags |= mxcsr & 2 ? FP_DENORMAL : 0;
    flags |= mxcsr & 4 ? FP_DIVZERO : 0;
    flags |= mxcsr & 8 ? FP_OVERFLOW : 0;
    flags |= mxcsr & 16 ? FP_UNDERFLOW : 0;
    flags |= mxcsr & 32 ? FP_INEXACT : 0;
    return flags;
}

static bool agrees(const Operation *op, unsigned mode, const u64 *operands, bool daz, bool ftz)
{
    FpEnv env = {.rounding = roundings[mode].rounding,
                 .flush_inputs = daz,
                 .flush_outputs = ftz,
                 .default_nan_negative = true,
                 .tininess_after_rounding = true,
                 .denormal_operands = true,
                 .nan_rule = FP_NAN_X86_SSE};
    u32 mxcsr =
        MXCSR_MASKED | mode << MXCSR_ROUNDING_SHIFT | (daz ? MXCSR_DAZ : 0) | (ftz ? MXCSR_FTZ : 0);
    u64 host = op->host(&mxcsr, operands);
    u64 soft = op->soft(&env, operands);
    u8 host_flags = flags_of_mxcsr(mxcsr), soft_flags = env.flags & ~FP_INPUT_DENORMAL;

    if (host_flags == soft_flags && host == soft) {
        return true;
    }
    printf("# %s %016lx %016lx %016lx%s%s: host %016lx flags %02x, soft %016lx flags %02x\n",
           op->name, operands[0], operands[1], operands[2], daz ? " DAZ" : "", ftz ? " FTZ" : "",
           host, host_flags, soft, soft_flags);
    return false;
}

/* Compares one operation in one rounding mode; true if all operands agreed. */
static bool compare_operation(const Operation *op, unsigned mode, unsigned long count)
{
    enum { FAILURES_SHOWN = 5 };
    Operands random = {.state = 0x9e3779b97f4a7c15 + mode};
    unsigned failures = 0;

    for (unsigned long i = 0; i < count && failures < FAILURES_SHOWN; i++) {
        u64 operands[3] = {0};
        for (unsigned k = 0; k < op->operand_count; k++) {
            operands[k] = next_operand(&random, op->type);
        }
        failures += !agrees(op, mode, operands, i & 1, i >> 1 & 1);
    }
    return failures == 0;
}

static bool cpu_has(const char *feature)
{
    __builtin_cpu_init();
    if (!feature) {
        return true;
    }
    if (strcmp(feature, "sse4.1") == 0) {
        return __builtin_cpu_supports("sse4.1");
    }
    /* Every CPU with FMA has F16C. */
    return __builtin_cpu_supports("fma");
}

int main(int argc, char **argv)
{
    unsigned long count = 15000 * (argc > 1 ? strtoul(argv[1], NULL, 0) : 1);

    for (unsigned i = 0; i < COUNT(operations); i++) {
        const Operation *op = &operations[i];
        for (unsigned mode = 0; mode < COUNT(roundings); mode++) {
            if (!cpu_has(op->cpu_feature)) {
                OK(true, "%s, %s # SKIP no %s on this host", op->name, roundings[mode].name,
                   op->cpu_feature);
                continue;
            }
            OK(compare_operation(op, mode, count), "%s, %s", op->name, roundings[mode].name);
        }
    }
    return tap_done();
}

#else

int main(void)
{
    printf("1..0 # SKIP compares with the FPU of an x86-64 host\n");
    return 0;
}

#endif
