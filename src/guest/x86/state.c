/* The x86 guest's registers: reset values, and views that differ from how they are kept. */
#include "guest/x86/state.h"

#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/feature.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"
#include "guest/x86/user_descriptors.h"
#include "guest/x86/x87.h"

/* -- EFLAGS */

/* Packed flags have the order of EFLAGS's low byte in bits 15..8; OF is bit 0. */
enum { STATUS_LOW = X86_EFLAGS_STATUS & 0xff, OF_SHIFT = 11 };

u64 x86_get_eflags(const X86State *state)
{
    return (state->eflags & ~(u32)X86_EFLAGS_STATUS) | X86_EFLAGS_FIXED |
           (state->flags >> 8 & STATUS_LOW) | (state->flags & IR_FLAG_V) << OF_SHIFT;
}

void x86_set_eflags(X86State *state, u64 eflags)
{
    enum { RESERVED = 1 << 3 | 1 << 5 | 1 << 15 };

    state->flags = (u32)(eflags & STATUS_LOW) << 8 | (eflags >> OF_SHIFT & 1);
    state->eflags =
        ((u32)eflags & 0x3fffff & ~(u32)(X86_EFLAGS_STATUS | RESERVED)) | X86_EFLAGS_FIXED;
}

/* -- MXCSR (Intel SDM volume 1, 10.2.3) */

enum {
    MXCSR_EXCEPTIONS = 0x3f,
    MXCSR_DAZ = 1 << 6,
    MXCSR_UM = 1 << 11,
    MXCSR_RC_SHIFT = 13,
    MXCSR_FTZ = 1 << 15,
    MXCSR_DEFAULT = 0x1f80,
};

/* FP_* of the exception bits IE DE ZE OE UE PE, and back. */
static u8 to_fp_flags(u32 mxcsr)
{
    return (u8)((mxcsr & FP_INVALID) | (mxcsr >> 1 & 0x1e) | (mxcsr & 2 ? FP_DENORMAL : 0));
}

static u32 from_fp_flags(u8 flags)
{
    return (flags & FP_INVALID) | (flags & 0x1eu) << 1 | (flags & FP_DENORMAL ? 2 : 0);
}

u32 x86_get_mxcsr(const X86State *state)
{
    return state->mxcsr | from_fp_flags(cpu_common((void *)(uintptr_t)state)->fp.flags);
}

void x86_set_mxcsr(X86State *state, u32 value)
{
    static const u8 roundings[] = {FP_NEAREST_EVEN, FP_DOWN, FP_UP, FP_TO_ZERO};

    state->mxcsr = value & 0xffff & ~(u32)MXCSR_EXCEPTIONS;
    cpu_common(state)->fp = (FpEnv){
        .rounding = roundings[value >> MXCSR_RC_SHIFT & 3],
        .flags = to_fp_flags(value),
        .flush_inputs = value & MXCSR_DAZ,
        .flush_outputs = value & MXCSR_FTZ && value & MXCSR_UM, /* 10.2.3.3 */
        .default_nan_negative = true,
        .tininess_after_rounding = true,
        .nan_rule = FP_NAN_X86_SSE,
        .denormal_operands = true,
        .exact_underflow = !(value & MXCSR_UM),
    };
}

/* -- Segments */

void x86_set_segment(X86State *state, unsigned segment, u16 selector, u64 descriptor)
{
    u32 limit = (u32)(descriptor & 0xffff) | (u32)(descriptor >> 32 & 0xf0000);
    u16 attributes = (u16)(descriptor >> 40);

    if (attributes & X86_SEGMENT_G) {
        limit = limit << 12 | 0xfff;
    }
    state->segment[segment] = (X86Segment){
        .base = (descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000),
        .limit = limit,
        .attributes = attributes,
        .selector = selector,
    };
}

void x86_set_segment_base(X86State *state, unsigned segment, u64 base)
{
    state->segment[segment].base = base;
}

static void set_user_segment(X86State *state, unsigned segment, u16 selector)
{
    x86_set_segment(state, segment, selector, x86_user_descriptor(NULL, selector));
}

/* What Linux on a CPU with UMIP tells programs of its tables (SGDT, SIDT, SLDT, STR). */
static void set_system_tables(X86State *state)
{
    enum { LINUX_TR = 0x40 };

    state->gdt_base = 0xfffffffffffe0000;
    state->idt_base = 0xffffffffffff0000;
    state->gdt_limit = state->idt_limit = 0;
    state->segment[X86_LDTR] = (X86Segment){0};
    state->segment[X86_TR] = (X86Segment){.selector = LINUX_TR};
}

void x86_enter_user(X86State *state, bool long_mode)
{
    static const u8 data[] = {X86_ES, X86_SS, X86_DS, X86_FS, X86_GS};

    state->user_mode = 1;
    memset(state->gpr, 0, sizeof(state->gpr)); /* RDX is what programs call at their end */
    state->cr[0] =
        X86_CR0_PG | X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM;
    state->cr[4] = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_PGE | X86_CR4_MCE |
                   X86_CR4_DE | X86_CR4_FSGSBASE;
    if (x86_has(state->features, X86_FEATURE_XSAVE)) {
        state->cr[4] |= X86_CR4_OSXSAVE;
        state->xcr0 = x86_has(state->features, X86_FEATURE_AVX) ? 7 : 3;
    }
    state->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    state->eflags = X86_EFLAGS_FIXED | X86_EFLAGS_IF;
    set_user_segment(state, X86_CS, long_mode ? X86_USER_CS64 : X86_USER_CS32);
    for (unsigned i = 0; i < COUNT(data); i++) {
        bool is_null = data[i] == X86_FS || data[i] == X86_GS || (long_mode && data[i] != X86_SS);
        if (is_null) {
            state->segment[data[i]] = (X86Segment){0};
        } else {
            set_user_segment(state, data[i], X86_USER_DS);
        }
    }
    set_system_tables(state);
    x87_init(state);
    x86_set_mxcsr(state, MXCSR_DEFAULT);
}

/* -- Reset and INIT (Intel SDM volume 3, table 10-1) */

static void reset_segments(X86State *s)
{
    enum { DATA = X86_SEGMENT_P | X86_SEGMENT_S | 3, CODE = DATA | X86_TYPE_CODE };

    for (unsigned i = 0; i < X86_LDTR; i++) {
        s->segment[i] = (X86Segment){.limit = 0xffff, .attributes = DATA};
    }
    s->segment[X86_CS] =
        (X86Segment){.base = 0xffff0000, .limit = 0xffff, .attributes = CODE, .selector = 0xf000};
    s->segment[X86_LDTR] =
        (X86Segment){.limit = 0xffff, .attributes = X86_SEGMENT_P | X86_TYPE_LDT};
    s->segment[X86_TR] =
        (X86Segment){.limit = 0xffff, .attributes = X86_SEGMENT_P | X86_TYPE_TSS32 | X86_TYPE_BUSY};
    s->gdt_base = s->idt_base = 0;
    s->gdt_limit = s->idt_limit = 0xffff;
}

/* What both do. */
static void reset_core(X86State *s)
{
    u32 leaf[4];

    x86_cpuid(s, 1, 0, leaf);
    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[X86_RDX] = leaf[0];
    s->rip = 0xfff0;
    s->flags = 0;
    s->eflags = X86_EFLAGS_FIXED;
    reset_segments(s);
    s->cr[0] = (s->cr[0] & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
    s->cr[2] = s->cr[3] = s->cr[4] = s->cr8 = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->efer = 0;
    s->interrupt_shadow = s->nmi_blocked = s->debug_hits = s->trap_pending = 0;
    s->halted = s->shutdown = s->in_smm = 0;
}

/* The model, once it is chosen, and the bus stay. */
void x86_reset(void *state, CpuCommon *common)
{
    X86State *s = state;
    X86State old = *s;

    (void)common;
    *s = (X86State){.a20_mask = ~(u64)0, .cr[0] = X86_CR0_CD | X86_CR0_NW, .xcr0 = 1};
    s->system = old.model ? old.system : NULL;
    s->apic_id = old.apic_id;
    s->processor_count = old.processor_count;
    s->tsc_khz = old.tsc_khz;
    if (old.model) {
        s->model = old.model;
        memcpy(s->features, old.features, sizeof(s->features));
    } else {
        x86_set_model(s, x86_default_model());
    }
    reset_core(s);
    s->pat = 0x0007040600070406;
    s->misc_enable = 1; /* fast strings */
    s->apic_base = 0xfee00000 | X86_APIC_BASE_ENABLE | X86_APIC_BASE_BSP;
    s->smbase = 0x30000;
    x87_init(s);
    x86_set_mxcsr(s, MXCSR_DEFAULT);
}

void x86_init(X86State *s)
{
    reset_core(s);
    s->halted = s->apic_base & X86_APIC_BASE_BSP ? 0 : X86_WAITS_FOR_STARTUP;
    x86_bus(s)->flush(s, true);
}

void x86_start_up(X86State *s, u8 vector)
{
    s->segment[X86_CS].selector = (u16)(vector << 8);
    s->segment[X86_CS].base = (u64)vector << 12;
    s->rip = 0;
    s->halted = 0;
}
