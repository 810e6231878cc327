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

/* -- String comparison (Intel SDM volume 2, 4.1) */

typedef struct Strings {
    unsigned count; /* elements in a register: 8 or 16 */
    unsigned length[2];
    s32 element[2][16];
} Strings;

static Strings read_strings(const IrWord *io, unsigned control)
{
    Strings s = {.count = control & STRING_WORDS ? 8 : 16};
    unsigned bits = 128 / s.count;

    for (unsigned n = 0; n < 2; n++) {
        s.length[n] = s.count;
        for (unsigned i = s.count; i-- > 0;) {
            u64 word = io[1 + n].v[i * bits / 64] >> i * bits % 64;
            u32 element = (u32)word & ((1u << bits) - 1);
            s.element[n][i] = control & STRING_SIGNED ? (s32)(element << (32 - bits)) >> (32 - bits)
                                                      : (s32)element;
            s.length[n] = element == 0 ? i : s.length[n];
        }
        if (control & STRING_LENGTHS) {
            s.length[n] = MIN((unsigned)(io[4].i >> 8 * n & 0xff), s.count);
        }
    }
    return s;
}

/* Whether element j of the second string is in the set that the first one lists. */
static bool is_any(const Strings *s, unsigned j)
{
    for (unsigned i = 0; i < s->length[0]; i++) {
        if (s->element[0][i] == s->element[1][j]) {
            return true;
        }
    }
    return false;
}

/* In one of the ranges that pairs of elements of the first one are. */
static bool is_in_range(const Strings *s, unsigned j)
{
    for (unsigned i = 0; i + 1 < s->length[0]; i += 2) {
        if (s->element[0][i] <= s->element[1][j] && s->element[1][j] <= s->element[0][i + 1]) {
            return true;
        }
    }
    return false;
}

/* Equal to the other string's, or neither exists. */
static bool is_same(const Strings *s, unsigned j)
{
    bool exists0 = j < s->length[0], exists1 = j < s->length[1];

    return exists0 == exists1 && (!exists0 || s->element[0][j] == s->element[1][j]);
}

/* The first string begins at j, as far as the register goes. */
static bool is_substring(const Strings *s, unsigned j)
{
    for (unsigned i = 0; i < s->length[0] && i + j < s->count; i++) {
        if (i + j >= s->length[1] || s->element[0][i] != s->element[1][i + j]) {
            return false;
        }
    }
    return true;
}

static bool is_found(const Strings *s, unsigned aggregation, unsigned j)
{
    switch (aggregation) {
    case 0:
        return j < s->length[1] && is_any(s, j);
    case 1:
        return j < s->length[1] && is_in_range(s, j);
    case 2:
        return is_same(s, j);
    default:
        return is_substring(s, j);
    }
}

/* (v128, v128, i32 control, i32 lengths: of the first in bits 7..0, the second in bits 15..8) ->
 * i64: a bit for each element found, and the packed flags in the high half. */
void x86_compare_strings(void *state, IrWord *io)
{
    unsigned control = (unsigned)io[3].i, found = 0;
    Strings s = read_strings(io, control);
    u32 flags = 0;

    (void)state;
    for (unsigned j = 0; j < s.count; j++) {
        found |= (unsigned)is_found(&s, control >> STRING_AGGREGATION_SHIFT & 3, j) << j;
    }
    if (control & STRING_NEGATE) {
        found ^= (1u << (control & STRING_NEGATE_VALID ? s.length[1] : s.count)) - 1;
    }
    flags |= found ? IR_FLAG_C : 0;
    flags |= s.length[1] < s.count ? IR_FLAG_Z : 0;
    flags |= s.length[0] < s.count ? IR_FLAG_N : 0;
    flags |= found & 1 ? IR_FLAG_V : 0;
    io[0].i = found | (u64)flags << 32;
}
