/* The segments of random x86 code: a local descriptor table, the same for the host's CPU and for
 * Menura, and choices of selectors for the kinds of code that there are. */
#ifndef TESTS_INSN_X86_SEGMENTS_H
#define TESTS_INSN_X86_SEGMENTS_H

#include "x86_case.h"

/* Kinds of code. */
typedef enum X86Environment {
    X86_FLAT64,
    X86_FLAT32,
    X86_SEGMENTED32, /* segments with bases, limits, rights */
    X86_SEGMENTED16,
    X86_ENVIRONMENTS,
} X86Environment;

enum {
    X86_LDT_ENTRIES = 8192,
    X86_SELECTOR_CS32 = 0x23, /* Linux's own */
    X86_SELECTOR_CS64 = 0x33,
    X86_SELECTOR_DATA = 0x2b,
    /* Data lies behind so many bytes of a segment, or a few more. */
    X86_DATA_OFFSET = 0x2000,
};

/* Fills the process's table; false if the kernel has none. */
bool x86_segments_install(void);
/* Reads it back as the CPU sees it. */
void x86_segments_read(u64 ldt[X86_LDT_ENTRIES]);

/* Bytes of the default operand size. */
unsigned x86_code_bytes(X86Environment environment);

/* Random selectors, such that loading them does not fault. */
void x86_segments_choose(X86Environment environment, u64 *seed, X86Registers *r);
/* rip for code at the address, in 16-bit code also CS. */
void x86_segments_place(X86Environment environment, u32 address, X86Registers *r);

/* A selector for a data segment register: of the table, or one that faults. */
u16 x86_segments_any(u64 *seed);

#endif
