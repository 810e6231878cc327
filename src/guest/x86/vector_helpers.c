/* C functions that translated vector instructions call: see vector_helpers.h.
 * io[1..] are the arguments, io[0] the result. */
#include "guest/x86/vector_helpers.h"

#include "guest/x86/state.h"
#include "guest/x86/system.h"
#include "ir/ir.h"

/* -- Unmasked floating-point exceptions */

/* () -> i32: clears the sticky flags; what they were. */
void x86_begin_float(void *state, IrWord *io)
{
    FpEnv *fp = &cpu_common(state)->fp;

    io[0].i = fp->flags;
    fp->flags = 0;
}

/* (what BEGIN_FLOAT returned) -> i32: the code word of #XM, or #UD where the system takes no
 * #XM, if an unmasked exception happened since, or 0. If one was found before computing, nothing
 * was computed: that leaves no flags of the result. */
void x86_end_float(void *state, IrWord *io)
{
    FpEnv *fp = &cpu_common(state)->fp;
    u32 mxcsr = x86_get_mxcsr(state);
    bool reports = ((const X86State *)state)->cr[4] & X86_CR4_OSXMMEXCPT;
    u32 unmasked = mxcsr & ~(mxcsr >> X86_MXCSR_MASK_SHIFT) & X86_MXCSR_EXCEPTIONS;

    if (unmasked & X86_MXCSR_BEFORE) {
        fp->flags &= FP_INVALID | FP_DENORMAL | FP_DIVZERO;
    }
    fp->flags |= (u8)io[1].i;
    io[0].i = unmasked ? x86_fault(reports ? X86_XM : X86_UD) : 0;
}

/* -- VCVTPS2PH */

/* (v128 of four f32, i32 immediate) -> v64 of four halves. Bit 2 of the immediate: rounding as
 * MXCSR says, else by bits 1..0. Flushing to zero does not apply. */
void x86_to_half_precision(void *state, IrWord *io)
{
    static const u8 roundings[] = {FP_NEAREST_EVEN, FP_DOWN, FP_UP, FP_TO_ZERO};
    FpEnv *fp = &cpu_common(state)->fp, env = *fp;
    unsigned control = (unsigned)io[2].i;
    u64 result = 0;

    if (!(control & 4)) {
        env.rounding = roundings[control & 3];
    }
    for (unsigned i = 0; i < 4; i++) {
        u32 x = (u32)(io[1].v[i / 2] >> 32 * (i % 2));
        result |= (u64)f32_to_f16(&env, x, false) << 16 * i;
    }
    fp->flags |= env.flags;
    io[0].i = result;
}
