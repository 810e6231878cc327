/* Segment descriptors of user-mode programs, and which instruction made a system call: what the
 * Linux layer and the translator agree on.
 *
 * In user mode X86State.system points to the thread's X86UserDescriptors; the Linux layer owns it
 * and changes it between vcpu_run() calls. A load of a segment register looks its selector up here.
 * Selectors are those of Linux on x86-64, for 32-bit programs as well. */
#ifndef GUEST_X86_USER_DESCRIPTORS_H
#define GUEST_X86_USER_DESCRIPTORS_H

#include "guest/x86/state.h"

/* VcpuExit.code of VCPU_SYSCALL, and imm2 of IR_EXIT_SYSCALL. */
enum X86SyscallKind {
    X86_CALL_SYSCALL,  /* SYSCALL: rcx and r11 are set */
    X86_CALL_INT80,    /* INT 80h */
    X86_CALL_SYSENTER, /* SYSENTER */
};

enum X86UserSelector {
    X86_USER_CS32 = 0x23,
    X86_USER_DS = 0x2b,
    X86_USER_CS64 = 0x33,
    X86_USER_TLS = 0x63, /* the first of three, 8 apart: set_thread_area(2) */
};

/* Programs have no performance counters, but these: what RDPMC reads with this in ECX, plus the
 * number of a clock (CLOCK_REALTIME 0, CLOCK_MONOTONIC 1), is that clock in nanoseconds. The vDSO
 * lives on it. */
enum { X86_USER_CLOCKS = 0x434c4b00, X86_USER_CLOCK_COUNT = 2 };

enum { X86_USER_TLS_COUNT = 3, X86_USER_LDT_COUNT = 8192 };

typedef struct X86UserDescriptors {
    u64 tls[X86_USER_TLS_COUNT]; /* GDT entries 12 to 14; 0: empty */
    u64 *ldt; /* X86_USER_LDT_COUNT entries, shared by the process's threads; NULL: no LDT */
} X86UserDescriptors;

/* The descriptor that a selector names, whatever its privilege level; 0 when there is none. A null
 * selector is the caller's business. `descriptors` may be NULL. */
static inline u64 x86_user_descriptor(const X86UserDescriptors *descriptors, u16 selector)
{
    unsigned index = selector >> 3;

    if (selector & 4) { /* table indicator: LDT */
        return descriptors && descriptors->ldt
                   ? __atomic_load_n(&descriptors->ldt[index], __ATOMIC_RELAXED)
                   : 0;
    }
    switch (selector | 3) {
    case X86_USER_CS32:
        return 0x00cffb000000ffff;
    case X86_USER_DS:
        return 0x00cff3000000ffff;
    case X86_USER_CS64:
        return 0x00affb000000ffff;
    default:
        index -= X86_USER_TLS >> 3;
        return descriptors && index < X86_USER_TLS_COUNT ? descriptors->tls[index] : 0;
    }
}

#endif
