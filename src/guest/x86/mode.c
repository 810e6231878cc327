/* The translation mode: see mode.h. */
#include "guest/x86/mode.h"
#include "guest/guest.h"
#include "guest/x86/system.h"
#include "guest/x86/x87.h"

enum { MXCSR_MASKS = 0x3f << 7 };

/* Present, code or data (S), and for data writable and not expand-down. */
enum {
    DATA_MASK = X86_SEGMENT_P | X86_SEGMENT_S | X86_TYPE_CODE | X86_TYPE_DOWN | X86_TYPE_WRITABLE,
    DATA_OPEN = X86_SEGMENT_P | X86_SEGMENT_S | X86_TYPE_WRITABLE,
    CODE_MASK = X86_SEGMENT_P | X86_SEGMENT_S | X86_TYPE_CODE | X86_TYPE_READABLE,
};

/* Whether nothing needs to be checked at accesses. */
static bool is_open(const X86Segment *segment, bool code)
{
    u16 mask = code ? CODE_MASK : DATA_MASK;

    return segment->limit == 0xffffffff &&
           (segment->attributes & mask) == (code ? CODE_MASK : DATA_OPEN);
}

static bool is_flat(const X86State *s, unsigned segment)
{
    return s->segment[segment].base == 0 && is_open(&s->segment[segment], segment == X86_CS);
}

/* Code and address sizes, and what is known of segments. */
static u32 segment_mode(const X86State *s)
{
    u32 mode = 0;

    if (x86_in_64_bit_mode(s)) {
        return X86_MODE_CODE64;
    }
    if (s->segment[X86_CS].attributes & X86_SEGMENT_DB) {
        mode |= X86_MODE_CODE32;
    }
    if (s->segment[X86_SS].attributes & X86_SEGMENT_DB) {
        mode |= X86_MODE_STACK32;
    }
    if (x86_protected_mode(s) && is_flat(s, X86_CS) && is_flat(s, X86_DS) && is_flat(s, X86_ES) &&
        is_flat(s, X86_SS)) {
        mode |= X86_MODE_FLAT;
    }
    return mode | (is_open(&s->segment[X86_FS], false) ? X86_MODE_OPEN_FS : 0) |
           (is_open(&s->segment[X86_GS], false) ? X86_MODE_OPEN_GS : 0);
}

/* Which units may be used. */
static u32 unit_mode(const X86State *s)
{
    u64 cr0 = s->cr[0], cr4 = s->cr[4];
    bool avx = (cr4 & X86_CR4_OSXSAVE) && (s->xcr0 & 6) == 6;
    bool emulated = cr0 & X86_CR0_EM;

    return (cr0 & (X86_CR0_EM | X86_CR0_TS) ? X86_MODE_NO_FPU : 0) |
           (emulated || !(cr4 & X86_CR4_OSFXSR) ? X86_MODE_NO_SSE : 0) |
           (cr0 & X86_CR0_TS ? X86_MODE_TS : 0) | (avx ? 0 : X86_MODE_NO_AVX) |
           (~s->fcw & X87_EXCEPTIONS ? X86_MODE_X87_UNMASKED : 0) |
           (~s->mxcsr & MXCSR_MASKS ? X86_MODE_XM | GUEST_MODE_EXACT_FP : 0);
}

/* What accesses to memory are checked for beside segments. */
static u32 access_mode(const X86State *s, unsigned cpl)
{
    bool ac = s->eflags & X86_EFLAGS_AC;

    return (cpl == 3 && ac && s->cr[0] & X86_CR0_AM ? X86_MODE_AC : 0) |
           (cpl < 3 && !ac && s->cr[4] & X86_CR4_SMAP ? X86_MODE_SMAP : 0) |
           (s->dr[7] & X86_DR7_ENABLED && !s->user_mode ? X86_MODE_BREAK : 0);
}

static bool is_trap_due(const X86State *s)
{
    bool hits = s->debug_hits && s->interrupt_shadow != X86_SHADOW_TRAPS;

    return s->trap_pending || hits || s->shutdown;
}

u32 x86_mode(const void *state)
{
    const X86State *s = state;
    unsigned cpl = x86_cpl(s);
    bool vm86 = s->eflags & X86_EFLAGS_VM;
    u32 mode = segment_mode(s) | unit_mode(s) | access_mode(s, cpl) | cpl << X86_MODE_CPL_SHIFT;

    if (!(s->cr[0] & X86_CR0_PE) || vm86) {
        mode |= X86_MODE_REAL | (vm86 ? X86_MODE_VM86 : 0);
    }
    if (x86_long_mode_active(s)) {
        mode |= X86_MODE_LONG | (s->cr[4] & X86_CR4_LA57 ? X86_MODE_LA57 : 0);
    }
    return mode | (cpl <= x86_iopl(s) ? X86_MODE_IOPL : 0) |
           (s->eflags & X86_EFLAGS_TF ? X86_MODE_TF : 0) | (is_trap_due(s) ? X86_MODE_TRAP : 0) |
           (s->user_mode ? 0 : X86_MODE_SYSTEM) | (s->interrupt_shadow ? X86_MODE_SHADOW : 0) |
           (s->in_smm ? X86_MODE_SMM : 0);
}
