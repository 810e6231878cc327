/* Random x86 code that runs on the host's CPU and on Menura, and what becomes of it.
 *
 * Both sides have the same memory map: code at X86_CODE, data at X86_DATA between unmapped pages,
 * and X86_SCRATCH, which instructions reach at fixed addresses only. All addresses are below 4 GiB,
 * so that 32-bit code finds them as well. Both have the same local descriptor table
 * (x86_segments.h). */
#ifndef TESTS_INSN_X86_CASE_H
#define TESTS_INSN_X86_CASE_H

#include "base/types.h"

enum {
    X86_CODE = 0x10000000,
    X86_CODE_SLOT = 512,      /* bytes for one case */
    X86_CODE_SLOTS = 1 << 15, /* used in turn: code that changes rarely is code as usual */
    X86_DATA = 0x20000000,
    X86_DATA_SIZE = 4096,
    X86_SCRATCH = 0x28000000,
    X86_SCRATCH_SIZE = 2048,
    X86_BATCH = 32, /* cases that go to the native side at once */
};

/* Places in the scratch memory. */
enum {
    X86_COUNTER = X86_SCRATCH,      /* rounds that loops may still make */
    X86_POINTER = X86_SCRATCH + 16, /* of indirect jumps */
    X86_IMAGE = X86_SCRATCH + 64,   /* of FXSAVE and XSAVE */
};

/* Selectors by number of the segment register (enum X86SegmentRegister). */
typedef struct X86Selectors {
    u16 selector[6];
} X86Selectors;

/* What both sides load and report. */
typedef struct X86Registers {
    u64 gpr[16];
    u64 rip; /* counts from the code segment's base */
    u64 eflags;
    u8 fx[512];           /* as FXSAVE64 stores x87 and SSE */
    u64 ymmh[16][2];      /* bits 255..128 */
    X86Selectors segment; /* those of FS and GS null in 64-bit mode */
    u64 fs_base, gs_base; /* 64-bit mode */
} X86Registers;

typedef struct X86Case {
    bool long_mode;
    u32 address; /* of the code */
    u32 code_size;
    u8 code[X86_CODE_SLOT]; /* ends with INT3 */
    X86Registers registers;
    u8 memory[X86_DATA_SIZE];
    u8 scratch[X86_SCRATCH_SIZE];
} X86Case;

typedef struct X86Result {
    X86Registers registers;
    u32 vector;  /* exception that ended it: 3 if nothing went wrong */
    u32 error;   /* error code; 0 for page faults */
    u64 address; /* of a page fault */
    u8 memory[X86_DATA_SIZE];
    u8 scratch[X86_SCRATCH_SIZE];
} X86Result;

/* The host CPU, in a process of its own. */
typedef struct X86Native X86Native;

/* Aborts with a message when the host cannot. The local descriptor table is the caller's. */
X86Native *x86_native_new(void);
void x86_native_free(X86Native *native);
/* Runs `count` (at most X86_BATCH) cases one after the other, each in its slot. */
void x86_native_run(X86Native *native, const X86Case *cases, X86Result *results, unsigned count);

#endif
