/* What a guest CPU supplies: its state, and its instructions as IR.
 *
 * A guest is one const struct in the list `guests`. Everything about an instruction's meaning is in
 * the IR its translator emits; helpers are for what IR cannot say. Must not include host/ or exec/.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

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
    u32 max_insns; /* stop after so many guest instructions */
    /* Guest code bytes at `pc`, `size` of them, into *word in guest order; false when they cannot
     * be fetched. */
    bool (*fetch)(struct GuestTranslation *t, u64 pc, void *bytes, u32 size);
    void *opaque; /* fetch's */
    /* The state of the vCPU that asks, for what all vCPUs of an engine have in common and never
     * changes (features of the CPU). */
    const void *state;

    u64 end;        /* out: one past the last byte translated (the block covers [pc, end)) */
    u32 insn_count; /* out */
} GuestTranslation;

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
     * at most a few instructions; false when unsure. Called by translate() itself. It looks at
     * pages only that the block's own bytes lie in, so that whoever drops a page's blocks when its
     * code changes drops what was concluded from it as well. */
    bool (*flags_dead)(GuestTranslation *t, u64 pc);
    /* Text of the instruction at `bytes`; returns its size in bytes. */
    int (*disassemble)(const u8 *bytes, size_t size, u64 pc, char *text, size_t text_size);
} Guest;

enum { GUEST_MODE_EXACT_FP = 1u << 31 };

extern const Guest guest_aarch64, guest_x86_64, guest_i386;

/* All guests, NULL-terminated. */
extern const Guest *const guests[];
const Guest *guest_find(const char *name);

#endif
