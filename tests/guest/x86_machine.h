/* An x86 CPU in system mode with memory and ports, for tests without an engine: the translator's
 * IR is walked as it comes, memory is reached through the CPU's own page-table walks.
 *
 * Slow, and simple enough to be believed: what goes wrong here is the guest's fault. */
#ifndef TESTS_GUEST_X86_MACHINE_H
#define TESTS_GUEST_X86_MACHINE_H

#include "guest/bus.h"
#include "guest/guest.h"
#include "guest/x86/state.h"

typedef enum MachineStop {
    MACHINE_RUNS,
    MACHINE_HALTED,   /* and no interrupt comes in */
    MACHINE_SHUTDOWN, /* a triple fault */
} MachineStop;

typedef struct Machine {
    X86State *cpu; /* a CpuCommon before it */
    bool owns_cpu;
    u8 *ram;
    u64 ram_size;
    u64 rom_start; /* physical address of a second view of the RAM's last rom_size bytes below 1 MiB
                    */
    u64 rom_size;
    GuestBus bus;
    void *opaque; /* the test's */
    int vector;   /* of the interrupt on CPU_LINE_IRQ */
    unsigned flushes;
    u64 instructions; /* executed */
    Arena arena;
} Machine;

/* Ports and interrupt are the caller's to fill in m->bus. Exits when memory runs out. */
Machine *machine_new(u64 ram_size);
/* The same round a CPU that something else runs, and gives the bus to. */
Machine *machine_around(X86State *cpu, u64 ram_size);
void machine_free(Machine *m);
/* Executes a block of at most `count` instructions, or takes an interrupt. */
MachineStop machine_step(Machine *m, u32 count);
/* Steps until it stops or so many instructions were executed. */
MachineStop machine_run(Machine *m, u64 count);

#endif
