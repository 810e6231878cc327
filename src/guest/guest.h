/* What a guest CPU supplies: its state, and its instructions as IR.
 *
 * A guest is one const struct in the list `guests`. Everything about an instruction's meaning is in
 * the IR its translator emits; helpers are for what IR cannot say. Must not include host/ or exec/.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "guest/bus.h"
#include "guest/debug.h"
#include "ir/build.h"

/* How translated code notices that code bytes changed. */
typedef enum CodeCoherence {
    CODE_EXPLICIT, /* the guest architecture demands instruction cache maintenance (Arm, RISC-V...)
                    */
    CODE_TRANSPARENT, /* stores take effect by themselves (x86, s390x) */
} CodeCoherence;

/* One translation in progress: exec/ fills the first part, the guest the second. */
typedef struct GuestTranslation {
    IrBuilder b;   /* current block is 0, empty */
    u64 pc;        /* where to start */
    u32 mode;      /* what guest->mode() said: part of the block's key */
    u64 context;   /* what guest->system->context() said, likewise */
    u32 max_insns; /* stop after so many guest instructions */
    /* Guest code bytes at a linear address, `size` of them, into *bytes in
     * guest order; false when they cannot be fetched. */
    bool (*fetch)(struct GuestTranslation *t, u64 address, void *bytes, u32 size);
    void *opaque; /* fetch's */
    /* The state of the vCPU that asks, for what all vCPUs of an engine have in common and never
     * changes (features of the CPU). */
    const void *state;

    u64 end;        /* out: one past the last byte translated (the block covers [pc, end)) */
    u32 insn_count; /* out */
} GuestTranslation;

/* -- System mode: a CPU with memory management, exceptions and interrupts of its own */

typedef enum GuestAccess {
    GUEST_READ,
    GUEST_WRITE,
    GUEST_FETCH,
    GUEST_PEEK, /* a debugger's: no rights are checked, nothing in the guest changes */
} GuestAccess;

/* What a linear address means at the moment. */
typedef struct GuestPage {
    u64 physical;  /* of the address asked for */
    u8 page_bits;  /* log2 of the size of the page that it lies in, at least 12 */
    bool writable; /* stores from the same space need no walk of their own */
    bool global;   /* outlives a flush of the non-global */
} GuestPage;

/* Functions run on the vCPU's thread, outside generated code or in a helper or slow path of it with
 * the precise state in memory. A code word is that of IR_EXIT_EXCEPTION, never 0. */
typedef struct GuestSystem {
    /* Gives the CPU its bus, for good; a reset leaves it. */
    void (*attach)(void *state, GuestBus *bus);
    /* Spaces: kinds of accesses that see memory with different rights (user, kernel...). At most
     * CPU_SPACES. */
    u32 space_count;
    /* The space of the loads and stores of code in that mode. */
    u32 (*space)(u32 mode);
    u32 program_space; /* of programs, as against the system that changes their mappings */
    /* More that translation depends on beside the mode, for what changes rarely (base and limit of
     * the code segment). */
    u64 (*context)(const void *state);
    /* The linear address of the code at pc. */
    u64 (*code_address)(u64 context, u32 mode, u64 pc);
    /* Translates a linear address, for an access of that space. 0, or the code word of the
     * exception to raise. */
    u64 (*walk)(void *state, u64 address, GuestAccess access, u32 space, GuestPage *page);
    /* The code word of an access that must be aligned and is not (IR_MEM_ALIGNED). */
    u64 unaligned;
    /* Raises an exception; the state's pc is what the exception wants. False: the CPU is shut down
     * (x86's triple fault). */
    bool (*deliver)(void *state, u64 code);
    /* CPU_LINE_* that are up: takes the most urgent interrupt if the state lets it. Returns whether
     * it took one, after which the state, pc included, is another. */
    bool (*interrupt)(void *state, u32 lines);
    /* Whether the CPU waits for an interrupt and does nothing else. */
    bool (*halted)(const void *state);
} GuestSystem;

typedef struct Guest {
    const char *name;      /* "aarch64" */
    const char *qemu_name; /* the suffix of qemu-NAME */
    u16 elf_machine;       /* EM_* */
    u8 elf_class;          /* ELFCLASS* */
    bool big_endian;
    CodeCoherence coherence;
    bool strong_order; /* total store order (x86, s390x) */
    u32 code_shift;    /* instructions are aligned to 1 << code_shift */
    size_t state_size; /* bytes; multiple of 64 */
    u32 pc_offset;     /* slot of the program counter */
    u8 pc_type;
    const IrSlot *slots; /* every slot, for printing, gdb, snapshots */
    u32 slot_count;
    const IrSlot *hot_int, *hot_vector;
    u32 hot_int_count, hot_vector_count;
    const IrHelper *helpers;
    u32 helper_count;
    const IrX87 *x87; /* NULL: it has none */
    /* Power-on state; *common is zeroed. */
    void (*reset)(void *state, CpuCommon *common);
    /* Bits of the state that translation depends on (rounding and NaN modes, privilege, ...).
     * Direct links only join blocks of equal mode; an instruction that changes it ends its block
     * with IR_EXIT_RESYNC. Bit 31 (GUEST_MODE_EXACT_FP) asks for exact floating point. */
    u32 (*mode)(const void *state);
    /* A data access had an address that is none on the host, which says no more of it. Returns
     * whether the mode has changed so that the instruction may fare better. NULL: no mode helps. */
    bool (*invalid_address)(void *state);
    /* Emits IR for one or more instructions at t->pc, with INSN marks and terminators. */
    void (*translate)(GuestTranslation *t);
    /* Whether NZCV-like flags are overwritten before they are read on every path from pc, judged by
     * at most a few instructions; false when unsure. Called by translate() itself. What it fetched
     * the block depends on, so that whoever drops a page's blocks when its code changes drops what
     * was concluded from it as well; in system mode it must keep to the pages of the block. */
    bool (*flags_dead)(GuestTranslation *t, u64 pc);
    const GuestSystem *system; /* NULL: runs programs only */
    /* Text of the instruction at `bytes`; returns its size in bytes. */
    int (*disassemble)(const u8 *bytes, size_t size, u64 pc, char *text, size_t text_size);
    /* What debuggers see of a CPU in that state. NULL: nothing. */
    const GuestDebug *(*debug)(const void *state);
} Guest;

enum { GUEST_MODE_EXACT_FP = 1u << 31 };

extern const Guest guest_aarch64, guest_x86_64, guest_i386;

/* All guests, NULL-terminated. */
extern const Guest *const guests[];
const Guest *guest_find(const char *name);

#endif
