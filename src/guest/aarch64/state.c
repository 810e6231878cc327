/* The AArch64 guest's registers: reset values, and views that differ from how they are kept. */
#include "guest/aarch64/internal.h"

/* FPCR: AHP, DN, FZ, RMode. Exceptions cannot trap, short vectors do not exist (C5.2.8). */
enum { FPCR_AHP = 1 << 26, FPCR_DN = 1 << 25, FPCR_FZ = 1 << 24, FPCR_RMODE_SHIFT = 22 };
enum { FPCR_BITS = FPCR_AHP | FPCR_DN | FPCR_FZ | 3 << FPCR_RMODE_SHIFT };
/* FPSR: QC, and the cumulative exceptions, which FpEnv keeps at the same places (C5.2.9). */
enum { FPSR_QC = 1 << 27, FPSR_EXCEPTIONS = 0x9f };

u32 aarch64_get_nzcv(const Aarch64State *state)
{
    u32 flags = state->flags;

    return (flags & IR_FLAG_N ? 1u << 31 : 0) | (flags & IR_FLAG_Z ? 1u << 30 : 0) |
           (flags & IR_FLAG_C ? 1u << 29 : 0) | (flags & IR_FLAG_V ? 1u << 28 : 0);
}

void aarch64_set_nzcv(Aarch64State *state, u32 nzcv)
{
    state->flags = (nzcv >> 31 & 1 ? IR_FLAG_N : 0) | (nzcv >> 30 & 1 ? IR_FLAG_Z : 0) |
                   (nzcv >> 29 & 1 ? IR_FLAG_C : 0) | (nzcv >> 28 & 1 ? IR_FLAG_V : 0);
}

u32 aarch64_get_fpcr(const Aarch64State *state)
{
    return state->fpcr;
}

void aarch64_set_fpcr(Aarch64State *state, u32 value)
{
    FpEnv *env = &cpu_common(state)->fp;

    state->fpcr = value & FPCR_BITS;
    env->rounding = value >> FPCR_RMODE_SHIFT & 3; /* FpRounding has RMode's order */
    env->flush_inputs = env->flush_outputs = value & FPCR_FZ;
    env->default_nan = value & FPCR_DN;
}

u32 aarch64_get_fpsr(const Aarch64State *state)
{
    return state->fpsr | (cpu_common((void *)state)->fp.flags & FPSR_EXCEPTIONS);
}

void aarch64_set_fpsr(Aarch64State *state, u32 value)
{
    state->fpsr = value & FPSR_QC;
    cpu_common(state)->fp.flags = value & FPSR_EXCEPTIONS;
}

void aarch64_reset(void *state, CpuCommon *common)
{
    Aarch64State *s = state;

    *s = (Aarch64State){.exclusive_address = AARCH64_EXCLUSIVE_NONE};
    common->fp = (FpEnv){.rounding = FP_NEAREST_EVEN, .nan_rule = FP_NAN_ARM};
}

u32 aarch64_mode(const void *state)
{
    const Aarch64State *s = state;

    u32 exact = s->fpcr & (FPCR_AHP | FPCR_DN | FPCR_FZ) ? GUEST_MODE_EXACT_FP : 0;

    return exact | (s->fpcr & FPCR_AHP ? AARCH64_MODE_AHP : 0) |
           (s->tagged ? AARCH64_MODE_TAGGED : 0);
}

/* Linux has programs ignore the top byte of data addresses. Few use it, so the others do not pay.
 */
bool aarch64_invalid_address(void *state)
{
    Aarch64State *s = state;
    bool first = !s->tagged;

    s->tagged = 1;
    return first;
}
