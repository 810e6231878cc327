/* The translation mode of x86 code: what of the CPU's state the translator takes for granted. It
 * is part of a block's key; whatever changes it ends its block with end_resync().
 *
 * Must hold no bit that programs change often without need: each costs translations. */
#ifndef GUEST_X86_MODE_H
#define GUEST_X86_MODE_H

#include "guest/x86/state.h"

enum {
    X86_MODE_CODE32 = 1 << 0,  /* CS.D: default sizes 32 bits (neither: 16) */
    X86_MODE_CODE64 = 1 << 1,  /* 64-bit mode */
    X86_MODE_STACK32 = 1 << 2, /* SS.B, outside 64-bit mode */
    X86_MODE_FLAT = 1 << 3,    /* CS, DS, ES, SS: base 0, limit 4 GiB, usable, writable (not CS);
                                  never with REAL, so that loads there leave the mode alone */
    X86_MODE_REAL = 1 << 4,    /* real-address or virtual-8086 mode: loads of segments are simple */
    X86_MODE_VM86 = 1 << 5,
    X86_MODE_LONG = 1 << 6, /* EFER.LMA: IDT and paging of IA-32e mode */
    X86_MODE_CPL_SHIFT = 7, /* two bits */
    X86_MODE_CPL = 3 << 7,
    X86_MODE_IOPL = 1 << 9,    /* CPL <= IOPL: IN, OUT, CLI, STI need no check */
    X86_MODE_TF = 1 << 11,     /* EFLAGS.TF: one instruction a block, then a trap */
    X86_MODE_NO_FPU = 1 << 12, /* CR0.EM or TS: x87 gives #NM (MMX and SSE: #UD or #NM, see CR0) */
    X86_MODE_NO_SSE = 1 << 13, /* CR4.OSFXSR clear, or CR0.EM */
    X86_MODE_TS = 1 << 14,     /* CR0.TS */
    X86_MODE_NO_AVX = 1 << 15, /* CR4.OSXSAVE clear or XCR0 without AVX */
    X86_MODE_SYSTEM =
        1 << 16, /* privileged instructions and interrupts are ours, not the kernel's */
    X86_MODE_SHADOW = 1 << 17, /* interrupt shadow: the next instruction runs alone */
    X86_MODE_XM = 1 << 18,     /* MXCSR has an unmasked exception: check after each operation */
    X86_MODE_AC = 1 << 19,     /* CPL 3, CR0.AM and EFLAGS.AC: accesses must be aligned */
    X86_MODE_SMM = 1 << 20,
    X86_MODE_OPEN_FS = 1 << 21, /* FS: any base, limit 4 GiB, usable, writable */
    X86_MODE_OPEN_GS = 1 << 22,
    X86_MODE_X87_UNMASKED = 1 << 24, /* FCW has an unmasked exception: X87_ERROR may be set */
    X86_MODE_TRAP = 1 << 23,         /* a debug trap is due before the next instruction */
    X86_MODE_SMAP = 1 << 25,         /* supervisor accesses to user pages are refused */
    X86_MODE_BREAK = 1 << 26, /* DR7 has breakpoints on: checked before instructions and accesses */
    X86_MODE_LA57 = 1 << 27,  /* linear addresses have 57 bits (CR4.LA57), in long mode */
};

/* Guest.mode. */
u32 x86_mode(const void *state);

#endif
