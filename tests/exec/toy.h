/* A guest CPU of a dozen instructions, for testing the engine without any real guest, and a machine
 * to run it on: some pages of memory with permissions, an engine, signal handlers.
 *
 * Instructions are 32 bits: operation in bits 31..24, register a in 23..16, and in 15..0 a signed
 * immediate or register b. Branch offsets count instructions from the branch itself. */
#ifndef TESTS_EXEC_TOY_H
#define TESTS_EXEC_TOY_H

#include "exec/exec.h"
#include "guest/guest.h"
#include "host/host.h"

typedef enum ToyOp {
    TOY_LI,     /* a = immediate, plus the mode */
    TOY_ADDI,   /* a += immediate */
    TOY_ADD,    /* a += b */
    TOY_LOAD,   /* a = the 64 bits at b */
    TOY_STORE,  /* the 64 bits at b = a */
    TOY_STORE4, /* the 32 bits at b = a */
    TOY_BNZ,    /* branch if a != 0 */
    TOY_JUMP,   /* branch */
    TOY_CALL,   /* r7 = next pc, branch; predicted */
    TOY_RETURN, /* to r7; predicted */
    TOY_GO,     /* to the address in a */
    TOY_SYS,    /* system call: leaves with the immediate as code */
    TOY_FLUSH,  /* code in the 64 bytes round the address in a changed */
    TOY_MODE,   /* the mode becomes a */
    TOY_FADD,   /* a += b, as f64 */
    TOY_HELPER, /* the 64 bits at b = a, stored by a helper in C */
    TOY_OP_COUNT,
} ToyOp;

typedef struct ToyState {
    u64 r[8];
    u64 pc;
    u64 mode;
    u8 pad[48];
} ToyState;

/* The same guest with either rule for code that changes. */
extern const Guest toy_explicit, toy_transparent;

static inline u32 toy(ToyOp op, u32 a, s32 b)
{
    return (u32)op << 24 | a << 16 | (u16)b;
}

enum { TOY_PAGES = 64, TOY_PAGE = 4096, TOY_PAGE_INSNS = TOY_PAGE / 4 };

typedef struct Machine {
    Engine *engine;
    Vcpu *vcpu;
    ToyState *state;
    u32 *code; /* TOY_PAGES pages; guest addresses are host addresses */
    bool unwritable[TOY_PAGES], unexecutable[TOY_PAGES]; /* for the guest */
} Machine;

typedef struct MachineOptions {
    const Guest *guest; /* NULL: toy_explicit */
    size_t cache_size;
    bool single_step;
} MachineOptions;

/* A machine with one vCPU, of this thread, at the first instruction of `code`. Aborts on failure.
 */
Machine *machine_new(const Host *host, MachineOptions options);
void machine_free(Machine *machine);

/* Installs the signal handlers for this thread and makes it the one that runs `vcpu`; NULL undoes
 * it. */
void machine_attach(Vcpu *vcpu);

/* Runs from code[start] until an exit that the engine hands out. */
CpuExitKind machine_run(Machine *machine, u32 start);

/* Whether it left with the system call `code`. */
static inline bool machine_left_with(const Machine *machine, CpuExitKind kind, u32 code)
{
    const CpuCommon *common = cpu_common(machine->state);

    return kind == CPU_EXIT_IR && common->exit_code == ((u64)IR_EXIT_SYSCALL << 32 | code);
}

static inline u64 machine_address(const Machine *machine, u32 index)
{
    return (u64)(uintptr_t)&machine->code[index];
}

#endif
