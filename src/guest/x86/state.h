/* x86 guest registers, as generated code, the Linux layer and boards see them: one struct for
 * 16-, 32- and 64-bit modes.
 *
 * Offsets into this struct are the IR's state slots. The first 256 bytes hold what nearly every
 * block touches, so that a host whose context pointer is biased by 128 reaches it with a one-byte
 * displacement. General registers are in the order of their encoding.
 * Must not hold anything but guest-visible state: what the engine needs is in ir/cpu.h. */
#ifndef GUEST_X86_STATE_H
#define GUEST_X86_STATE_H

#include "base/types.h"

enum X86Gpr {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI, /* R8 to R15 follow */
};

/* Segment registers in the order of their encoding (Intel SDM 3.4.2), then the two system ones. */
enum X86SegmentRegister {
    X86_ES,
    X86_CS,
    X86_SS,
    X86_DS,
    X86_FS,
    X86_GS,
    X86_LDTR,
    X86_TR,
    X86_SEGMENTS,
};

/* A segment register with its descriptor cache. */
typedef struct X86Segment {
    u64 base;
    u32 limit;      /* last valid byte: granularity is applied already */
    u16 attributes; /* descriptor bits 40..55: type, S, DPL, P, limit 19:16, AVL, L, D/B, G */
    u16 selector;
} X86Segment;

/* Bits of X86Segment.attributes. */
enum {
    X86_SEGMENT_TYPE = 0xf,
    X86_SEGMENT_S = 1 << 4,
    X86_SEGMENT_DPL_SHIFT = 5,
    X86_SEGMENT_P = 1 << 7,
    X86_SEGMENT_L = 1 << 13,
    X86_SEGMENT_DB = 1 << 14,
    X86_SEGMENT_G = 1 << 15,
};

/* EFLAGS at their architectural places. The six status flags are not kept in `eflags`. */
enum {
    X86_EFLAGS_CF = 1 << 0,
    X86_EFLAGS_FIXED = 1 << 1,
    X86_EFLAGS_PF = 1 << 2,
    X86_EFLAGS_AF = 1 << 4,
    X86_EFLAGS_ZF = 1 << 6,
    X86_EFLAGS_SF = 1 << 7,
    X86_EFLAGS_TF = 1 << 8,
    X86_EFLAGS_IF = 1 << 9,
    X86_EFLAGS_DF = 1 << 10,
    X86_EFLAGS_OF = 1 << 11,
    X86_EFLAGS_IOPL = 3 << 12,
    X86_EFLAGS_NT = 1 << 14,
    X86_EFLAGS_RF = 1 << 16,
    X86_EFLAGS_VM = 1 << 17,
    X86_EFLAGS_AC = 1 << 18,
    X86_EFLAGS_VIF = 1 << 19,
    X86_EFLAGS_VIP = 1 << 20,
    X86_EFLAGS_ID = 1 << 21,
    X86_EFLAGS_STATUS = X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF |
                        X86_EFLAGS_SF | X86_EFLAGS_OF,
};

/* Exception vectors (Intel SDM volume 3, table 6-1). */
enum X86Vector {
    X86_DE = 0,
    X86_DB = 1,
    X86_NMI = 2,
    X86_BP = 3,
    X86_OF = 4,
    X86_BR = 5,
    X86_UD = 6,
    X86_NM = 7,
    X86_DF = 8,
    X86_TS = 10,
    X86_NP = 11,
    X86_STACK = 12, /* #SS */
    X86_GP = 13,
    X86_PF = 14,
    X86_MF = 16,
    X86_AC = 17,
    X86_MC = 18,
    X86_XM = 19,
};

/* The code word of IR_EXIT_EXCEPTION and VCPU_EXCEPTION: vector in bits 7..0, whether it has an
 * error code in bit 8, bit 9 set for software interrupts (INT n, INT3, INTO), bit 10 always, so
 * that no word is 0, the error code in bits 31..16. */
enum {
    X86_EXCEPTION_HAS_ERROR = 1 << 8,
    X86_EXCEPTION_SOFTWARE = 1 << 9,
    X86_EXCEPTION_RAISED = 1 << 10,
    X86_EXCEPTION_EXTERNAL = 1 << 11, /* an interrupt from outside the CPU */
    X86_EXCEPTION_INT_N = 1 << 12,    /* INT n, which virtual-8086 mode may redirect */
    X86_EXCEPTION_STEP = 1 << 13,     /* #DB of a single step */
    X86_EXCEPTION_ADDRESS = 1 << 14,  /* #GP of a data access to an address that is not canonical:
                                         #SS if it is one to the stack's segment */
    X86_EXCEPTION_LENGTH_SHIFT = 16,  /* software interrupts in system mode: bits 19..16 are the
                                         instruction's size */
};

/* X86State.apic_base */
enum { X86_APIC_BASE_BSP = 1 << 8, X86_APIC_BASE_X2APIC = 1 << 10, X86_APIC_BASE_ENABLE = 1 << 11 };

/* X86State.interrupt_shadow */
enum {
    X86_SHADOW_INTERRUPTS = 1, /* after STI */
    X86_SHADOW_TRAPS = 2,      /* after MOV SS and POP SS: debug traps, too */
};

/* X86State.halted: what a CPU that executes nothing waits for. */
enum X86Halted {
    X86_HALTED = 1,            /* HLT: an interrupt */
    X86_WAITS_FOR_STARTUP = 2, /* a processor other than the first one, after INIT */
};

/* An x87 register, or in its low 8 bytes the MMX register that shares them. */
typedef struct X86Fpr {
    u64 significand;
    u16 sign_exponent;
    u16 _[3];
} X86Fpr;

typedef struct X86State {
    u64 gpr[16];
    u64 rip;    /* not truncated: code segment base not included */
    u32 flags;  /* OF SF ZF AF PF CF in the IR's packed form, IR_FLAG_* of ir/ir.h */
    u32 eflags; /* all other bits of EFLAGS; bit 1 set */
    X86Segment segment[X86_SEGMENTS];

    /* x87: registers by physical number; ST(i) is fpr[(ftop + i) & 7]. */
    _Alignas(16) X86Fpr fpr[8];
    u8 ftop;       /* TOP, 0..7; not kept in fsw */
    u8 ftag_empty; /* bit i: physical register i is empty */
    u16 fcw;
    u16 fsw; /* TOP bits zero */
    u16 fop; /* last non-control instruction: opcode, ... */
    u64 fip; /* address, */
    u64 fdp; /* and operand address; */
    u16 fcs; /* with their selectors where the format has them */
    u16 fds;
    u32 mxcsr; /* control bits; the sticky exception bits live in CpuCommon.fp */

    _Alignas(16) u64 xmm[16][2];  /* low halves of the vector registers: low 64 bits first */
    _Alignas(16) u64 ymmh[16][2]; /* bits 255..128 of YMM registers */

    /* System registers. */
    u64 cr[5]; /* CR0, CR2, CR3, CR4 by number; [1] unused */
    u64 cr8;
    u64 xcr0;
    u64 dr[8];
    u64 efer;
    u64 star, lstar, cstar, sfmask;
    u64 kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 pat;
    u64 tsc_aux;
    u64 tsc_offset;
    u64 misc_enable;
    u64 apic_base; /* as the board's local APIC has it */
    u64 smbase;
    u64 gdt_base, idt_base;
    u32 gdt_limit, idt_limit;
    u64 pdpte[4]; /* PAE paging: the PDPTE registers */
    u64 a20_mask; /* and-ed to every physical address */
    u64 debugctl;
    u64 mtrr_default;      /* IA32_MTRR_DEF_TYPE; the memory types have no effect */
    u64 mtrr_fixed[11];    /* 64K, 16K (2), 4K (8) */
    u64 mtrr_variable[16]; /* base and mask of each of eight */
    u64 machine_check_status;
    u8 interrupt_shadow; /* X86_SHADOW...: what waits for one more instruction; 0: nothing */
    u8 nmi_blocked;      /* until the next IRET */
    u8 debug_hits;       /* breakpoints that the last instruction's accesses met: DR6's B0..B3 */
    u8 in_smm;
    u8 halted;       /* X86_HALTED... */
    u8 user_mode;    /* a Linux program: what an operating system does, we do */
    u8 trap_pending; /* the instruction before this one was executed with TF set */
    /* The board's to set, kept over resets: what CPUID says of it and its siblings. */
    u32 apic_id, processor_count;
    u32 tsc_khz;                  /* what the TSC does, if the board knows; kept over resets */
    u64 spec_ctrl;                /* IA32_SPEC_CTRL: there is no speculation to control */
    u8 shutdown;                  /* a triple fault: only reset helps */
    u8 monitor_armed;             /* MONITOR: MWAIT waits for a store to this line, */
    u64 monitor_at;               /* a linear address, */
    u64 monitored[8];             /* whose bytes were these; */
    u32 monitor_rest;             /* for so many nanoseconds at a time */
    const struct X86Model *model; /* CPUID; never NULL after reset */
    u64 features[4];              /* X86_FEATURE_* set of the model, what decoding tests */
    /* What helpers need besides: in system mode the board's, in user mode an X86UserDescriptors
     * (user_descriptors.h) or NULL. */
    void *system;
} X86State;

/* EFLAGS as PUSHF sees it: both parts together; and back (reserved bits are forced). */
u64 x86_get_eflags(const X86State *state);
void x86_set_eflags(X86State *state, u64 eflags);

/* MXCSR as STMXCSR and LDMXCSR see it, kept in step with the engine's floating-point environment.
 * `state` must be the state of a live vCPU. Reserved bits must be checked by the caller. */
u32 x86_get_mxcsr(const X86State *state);
void x86_set_mxcsr(X86State *state, u32 value);

/* The XSAVE image of x87, SSE and AVX state in the standard format (Intel SDM volume 1, 13.4), as
 * signal frames hold it. `with_avx`: 832 bytes instead of the 512 of FXSAVE64 (or FXSAVE when
 * `long_mode` is false). Restoring ignores reserved bits of MXCSR. */
void x86_save_fx(const X86State *state, u8 image[512], bool long_mode);
void x86_restore_fx(X86State *state, const u8 image[512], bool long_mode);

/* Sets up flat segments and CPL 3 as Linux does for programs: long_mode for x86-64. */
void x86_enter_user(X86State *state, bool long_mode);

/* Sets FS or GS to a base, as arch_prctl and TLS do (selector 0). */
void x86_set_segment_base(X86State *state, unsigned segment, u64 base);
/* Loads a segment register with a descriptor's 8 bytes, without checks. */
void x86_set_segment(X86State *state, unsigned segment, u16 selector, u64 descriptor);

/* The auxiliary vector's AT_HWCAP: CPUID leaf 1's EDX; and AT_HWCAP2. */
u64 x86_hwcap(const X86State *state, unsigned word);

#endif
