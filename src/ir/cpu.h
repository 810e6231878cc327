/* The part of a virtual CPU that every guest, host and accelerator shares.
 *
 * In memory it stands directly before the guest's state struct: generated code holds one context
 * pointer and reaches the guest's registers at the slot offsets of the IR and this struct at
 * fixed negative offsets (CPU_COMMON_OFFSET).
 * Must not hold anything that belongs to one guest or one host. */
#ifndef IR_CPU_H
#define IR_CPU_H

#include "base/types.h"
#include "ir/softfloat.h"

/* A value of any IR type in memory, little-endian lanes. */
typedef union IrWord {
    u64 i; /* integers: zero-extended; f32, f64: bit patterns */
    u64 v[4];
    u8 bytes[32];
} __attribute__((aligned(32))) IrWord;

enum { CPU_SPILL_SLOTS = 48, CPU_HOST_WORDS = 32 };

/* Spaces of memory that the code of a guest CPU may see (GuestSystem.space()). */
enum { CPU_SPACES = 4 };

/* Interrupt lines of a vCPU in system mode. The edge-triggered ones go down when they are taken. */
enum {
    CPU_LINE_IRQ = 1,           /* maskable; up while an interrupt controller has one */
    CPU_LINE_NMI = 2,           /* edge */
    CPU_LINE_SMI = 4,           /* edge */
    CPU_LINE_INIT = 8,          /* edge */
    CPU_LINE_STARTUP = 16,      /* edge: x86's start-up IPI */
    CPU_LINE_VECTOR_SHIFT = 24, /* its vector: eight bits, valid while the line is up */
};

struct MmuAccess;

/* One entry of the table that indirect branches probe: where the code of guest `pc` begins. */
typedef struct JumpEntry {
    u64 pc;
    const void *code;
} JumpEntry;

enum { JUMP_TABLE_BITS = 14, JUMP_FOLD = 14 };

/* Index of a guest address in jump tables of 1 << JUMP_TABLE_BITS entries. Functions begin at
 * multiples of 16, or more, so that higher bits must tell them apart. */
static inline u32 jump_index(u64 pc, u32 code_shift)
{
    return (((u32)pc >> JUMP_FOLD) + (u32)pc) >> code_shift & ((1u << JUMP_TABLE_BITS) - 1);
}

typedef struct CpuCommon {
    IrWord spill[CPU_SPILL_SLOTS]; /* the host's register allocator */
    IrWord io[5];                  /* helper calls: [0] result, [1..4] arguments */
    u64 host[CPU_HOST_WORDS]; /* the host's own: saved stack pointers, scratch, FP control words */
    u64 pc;                   /* guest pc at every exit from generated code */
    u64 exit_code;            /* IR_EXIT_*: the instruction's imm2 */
    u64 exit_address; /* IR_EXIT_UNALIGNED, _INVALIDATE, _EXCEPTION: written by a guest's helper */
    const void *exit_link; /* link exits: address of the patchable jump; NULL otherwise */
    u32 host_unit;         /* the host's own, beside what it can be compared together with: */
    u32 interrupt;         /* non-zero: leave at the next check; written by other threads */
    JumpEntry *jump_table; /* probed by generated code; points to `empty` table to force exits */
    const void *helpers;   /* IrHelper array of the guest */
    FpEnv fp;              /* rounding and modes; flags are complete outside generated code only */
    u8 fp_pad[16 - sizeof(FpEnv) % 16];
    u32 exit_kind; /* CpuExitKind */
    u32 lines;     /* atomic: CPU_LINE_* that are up; system mode */
    /* The soft MMU's slow way: see ir/tlb.h. */
    bool (*mmu_access)(void *state, struct MmuAccess *access);
    void *engine; /* the owner's */
    void *vcpu;
} __attribute__((aligned(64))) CpuCommon;

/* Offset of a member of CpuCommon from the context pointer (which points to the guest state). */
#define CPU_COMMON_OFFSET(member) ((s32)offsetof(CpuCommon, member) - (s32)sizeof(CpuCommon))

static inline CpuCommon *cpu_common(void *state)
{
    return (CpuCommon *)state - 1;
}

static inline void *cpu_state(CpuCommon *common)
{
    return common + 1;
}

/* Why generated code came back. */
typedef enum CpuExitKind {
    CPU_EXIT_LINK,      /* direct jump not linked yet: pc = target, exit_link = the site */
    CPU_EXIT_LOOKUP,    /* indirect jump missed: pc = target, exit_link = its inline cache's site if
                           any */
    CPU_EXIT_INTERRUPT, /* `interrupt` was seen: pc precise */
    CPU_EXIT_IR,        /* an EXIT operation: its sub is in the high half of exit_code, imm2 low */
    CPU_EXIT_FAULT,     /* set by the fault handler: state was recovered */
    CPU_EXIT_FP, /* a floating-point operation needs the exact path: state recovered, pc at it */
    CPU_EXIT_CODE_WRITE, /* a store to translated code was put off: state recovered, pc at it */
    /* Of the engine only, in system mode: */
    CPU_EXIT_HALT,     /* the guest CPU waits for an interrupt */
    CPU_EXIT_SHUTDOWN, /* it stopped for good */
    CPU_EXIT_DEBUG,    /* a breakpoint, or a single step was done */
} CpuExitKind;

/* A C function that generated code may call: arguments in io[1..], result in io[0].
 * It may read and write guest state only if its flags say so. */
typedef void IrHelperFn(void *state, IrWord *io);

enum {
    IR_HELPER_READS_STATE = 1,  /* pinned registers are in memory during the call */
    IR_HELPER_WRITES_STATE = 2, /* and are reloaded after it */
    IR_HELPER_FP = 4,           /* common->fp is complete during the call and reloaded after it */
    IR_HELPER_FAULTS = 8,       /* may access guest memory */
    IR_HELPER_PURE = 16,        /* no effect: may be removed or merged */
    IR_HELPER_X87 = 32,         /* may read and write slots of the x87 other than its control word;
                                   others may not execute x87 instructions either */
};

typedef struct IrHelper {
    const char *name;
    IrHelperFn *function;
    u32 flags;
} IrHelper;

#endif
