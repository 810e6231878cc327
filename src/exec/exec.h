/* The execution engine: guest code is translated on demand, kept in a bounded cache, and run.
 *
 * This is what accel/ builds on, and the part of its interface (accel/vcpu.h) that needs no
 * translation between the layers is declared here. An engine holds the translations of one guest
 * address space; any number of vCPUs, each run by one host thread at a time, share it.
 *
 * Locks, outermost first:
 *   the caller's lock round changes of guest mappings (may be held when calling engine_*);
 *   the engine's lock (block table, cache, links, code pages);
 *   what ExecOptions' page_* callbacks take: a leaf, never held while calling into the engine.
 * Must not know what a system call or a device is. */
#ifndef EXEC_EXEC_H
#define EXEC_EXEC_H

#include <signal.h>

#include "base/types.h"
#include "ir/cpu.h"

typedef struct Engine Engine;
typedef struct Vcpu Vcpu;
typedef struct Guest Guest;
typedef struct GuestBus GuestBus;
typedef struct Host Host;

typedef struct ExecOptions {
    const Guest *guest;
    const Host *host;
    size_t cache_size; /* bytes of generated code kept; 0 for the default */
    bool single_step;  /* one guest instruction per block */
    bool system;       /* system mode: memory is behind the guest's MMU and each vCPU's bus */
    /* See EngineOptions. NULL: every page is writable, or executable. */
    bool (*page_writable)(void *opaque, u64 page);
    bool (*page_executable)(void *opaque, u64 page);
    void *opaque;
} ExecOptions;

typedef enum VcpuAccess { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH } VcpuAccess;

/* Details of the last CPU_EXIT_FAULT. */
typedef struct ExecFault {
    u64 address; /* guest address */
    VcpuAccess access;
    int signal;   /* SIGSEGV or SIGBUS */
    int code;     /* si_code of the host's signal */
    bool invalid; /* not an address on the host: `address` is not known */
} ExecFault;

/* Creates an engine. On failure returns NULL with a one-line message in *error (static text). */
Engine *exec_engine_new(const ExecOptions *options, const char **error);
/* All its vCPUs must be freed before. */
void engine_free(Engine *engine);

/* A vCPU with reset state; its guest state struct is vcpu_state(). NULL when memory runs out. */
Vcpu *vcpu_new(Engine *engine);
void vcpu_free(Vcpu *vcpu);

/* The guest's register struct (Aarch64State for "aarch64"). */
void *vcpu_state(Vcpu *vcpu);

/* Runs until something outside must act, and returns why: CPU_EXIT_INTERRUPT, CPU_EXIT_FAULT (see
 * exec_fault()), or CPU_EXIT_IR with exit_code in CpuCommon. The state's pc slot is up to date. */
CpuExitKind exec_run(Vcpu *vcpu);
const ExecFault *exec_fault(const Vcpu *vcpu);

/* Makes vcpu_run() return VCPU_INTERRUPT soon, or at once if it is about to start; sticky until
 * then. Async-signal-safe, callable from any thread. */
void vcpu_kick(Vcpu *vcpu);

/* To be called first in the host's SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP handlers, on the
 * thread that runs `vcpu` (NULL if none). Returns true if the signal was the engine's business:
 * either resolved (a write to a page with translated code, also by C code outside the engine) or
 * turned into an exit, with `context` changed so that returning from the handler makes vcpu_run()
 * return VCPU_FAULT. It may also leave the handler by a jump. False: not the engine's.
 *
 * Generated code may use the host's stack pointer for its own ends: every handler of a host signal
 * that can arrive on such a thread must run on an alternate stack (SA_ONSTACK). */
bool vcpu_host_signal(Vcpu *vcpu, int signal, const siginfo_t *info, void *context);

/* The guest's mapping of [start, start+size) changed (unmapped, replaced, made non-executable), or
 * its bytes did behind the guest's back: drop translations of it. Call it after the change. When it
 * returns no vCPU starts to execute the old code; one that is in the middle of an old block leaves
 * it at the block's end. Any thread but from inside generated code. */
void engine_invalidate(Engine *engine, u64 start, u64 size);

/* Whether the engine keeps the guest page write-protected because it holds translated code. The
 * Linux layer asks after it gave a page write permission, and takes the permission from those pages
 * again for which it returns true: the guest's first store then comes to vcpu_host_signal(). */
bool engine_page_is_protected(Engine *engine, u64 page);

/* Tells that something other than a store of a vCPU's thread is about to write guest memory: the
 * host kernel, into a system call's buffer (it would fail with EFAULT, or write less, where a page
 * is protected), or a device. Drops the range's translations and lifts its protection. Costs next
 * to nothing while no writable page holds code. */
void engine_prepare_write(Engine *engine, u64 start, u64 size);

/* -- System mode */

/* Attaches physical memory and devices, before the vCPU first runs; the engine fills its part of
 * *bus, which must live as long as the vCPU. */
void vcpu_set_bus(Vcpu *vcpu, GuestBus *bus);

/* The vCPU, which does not run, is as after power-on with its bus; its lines are left alone. */
void vcpu_reset(Vcpu *vcpu);

/* Interrupt lines (CPU_LINE_*; with CPU_LINE_STARTUP its vector). Any thread. Raising makes a
 * running vCPU look soon; one that is halted must be run again by its owner. */
void vcpu_raise(Vcpu *vcpu, u32 lines);
void vcpu_lower(Vcpu *vcpu, u32 lines);
/* Lines that are up. */
u32 vcpu_lines(const Vcpu *vcpu);

/* Something other than generated code and the bus's ram() is about to write guest RAM (DMA), or
 * just did; `ram` is its host address. Drops translations of code there. Any thread. Costs next to
 * nothing where there are none. */
void engine_ram_written(Engine *engine, const u8 *ram, u64 size);

/* GuestBus.dirty() says less than before of the RAM at that host address: stores there are to be
 * reported again. Any thread; when it returns no store goes unreported that begins afterwards. */
void engine_watch_ram(Engine *engine, const u8 *ram, u64 size);

/* The physical memory map changed, or A20 did: every vCPU forgets what it knows of addresses before
 * it executes another block. Any thread. */
void engine_map_changed(Engine *engine);

/* The guest's page tables and bus, on behalf of a debugger or monitor: the vCPU does not run.
 * False when nothing is mapped there. */
bool vcpu_debug_read(Vcpu *vcpu, u64 address, void *bytes, size_t size);
bool vcpu_debug_write(Vcpu *vcpu, u64 address, const void *bytes, size_t size);
/* A breakpoint at a linear address: vcpu_run() returns VCPU_DEBUG before the instruction there. */
int engine_add_breakpoint(Engine *engine, u64 address);
void engine_remove_breakpoint(Engine *engine, u64 address);
/* vcpu_run() executes one instruction, then returns VCPU_DEBUG. */
void vcpu_single_step(Vcpu *vcpu, bool on);

/* Around fork(): before it takes the locks, after it (in both) releases them; in the child only the
 * calling thread's vCPU is left and the others are freed. */
void engine_fork_prepare(Engine *engine);
void engine_fork_parent(Engine *engine);
void engine_fork_child(Engine *engine, Vcpu *survivor);

#endif
