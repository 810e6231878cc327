/* A virtual CPU: run it until something outside it must act, and say what.
 *
 * One vCPU belongs to one host thread at a time. Whoever owns it (the Linux layer, a board) sees
 * typed exits only and never which accelerator ran the code. Between exits the guest's registers
 * are in vcpu_state(); while vcpu_run() is on the stack they may be in host registers. */
#ifndef ACCEL_VCPU_H
#define ACCEL_VCPU_H

#include <signal.h>

#include "base/types.h"

typedef struct Engine
    Engine; /* code cache and translator; shared by the vCPUs of one address space */
typedef struct Vcpu Vcpu;

typedef enum VcpuExitKind {
    VCPU_SYSCALL,    /* system call instruction; pc is past it */
    VCPU_UNDEFINED,  /* pc is at the undefined instruction, `code` holds its encoding */
    VCPU_BREAKPOINT, /* pc is at the breakpoint instruction, `code` holds its immediate */
    VCPU_FAULT,      /* memory fault; pc is at the instruction; address, access, host_code filled */
    VCPU_UNALIGNED,  /* pc or data alignment fault at `address` */
    VCPU_INTERRUPT,  /* vcpu_kick() was called; pc is precise */
} VcpuExitKind;

typedef enum VcpuAccess { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH } VcpuAccess;

typedef struct VcpuExit {
    VcpuExitKind kind;
    u64 pc;      /* guest address of the instruction; state pc has the same value unless said */
    u64 address; /* VCPU_FAULT, VCPU_UNALIGNED: guest address accessed */
    VcpuAccess access; /* VCPU_FAULT */
    int host_signal;   /* VCPU_FAULT: SIGSEGV or SIGBUS */
    int host_code;     /* VCPU_FAULT: si_code of the host's signal (SEGV_MAPERR, BUS_ADRALN...) */
    u32 code;
} VcpuExit;

/* What `--accel` and friends choose. */
typedef struct EngineOptions {
    const char *guest; /* name of the guest CPU: "aarch64" */
    const char *accel; /* "dbt" (NULL means it) or "interp" */
    size_t cache_size; /* bytes of generated code kept; 0 for the default */
    bool single_step;  /* one guest instruction per block */
    bool (*page_writable)(void *opaque, u64 page);   /* whether the guest may write the page: asked
                                 when   a write hits a page the engine protected */
    bool (*page_executable)(void *opaque, u64 page); /* whether the guest may execute from it */
    void *opaque;
} EngineOptions;

/* Creates the engine. On failure returns NULL with a one-line message in *error (static text). */
Engine *engine_new(const EngineOptions *options, const char **error);
void engine_free(Engine *engine);

/* A vCPU with reset state; its guest state struct is vcpu_state(). NULL when memory runs out. */
Vcpu *vcpu_new(Engine *engine);
void vcpu_free(Vcpu *vcpu);

/* The guest's register struct (Aarch64State for "aarch64"). */
void *vcpu_state(Vcpu *vcpu);

/* Runs until an exit. */
void vcpu_run(Vcpu *vcpu, VcpuExit *exit);

/* Makes vcpu_run() return VCPU_INTERRUPT soon, or at once if it is about to start; sticky until
 * then. Async-signal-safe, callable from any thread. */
void vcpu_kick(Vcpu *vcpu);

/* To be called first in the host's SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP handlers, on the
 * thread that runs `vcpu` (NULL if none). Returns true if the signal was the engine's business:
 * either resolved (a write to a page with translated code) or turned into an exit, with `context`
 * changed so that returning from the handler makes vcpu_run() return VCPU_FAULT. False: not in
 * generated code. */
bool vcpu_host_signal(Vcpu *vcpu, int signal, const siginfo_t *info, void *context);

/* The guest's mapping of [start, start+size) changed (unmapped, replaced, made non-executable, or
 * the guest asked for instruction cache maintenance): drop translations of it. Any thread. */
void engine_invalidate(Engine *engine, u64 start, u64 size);

/* Page protection the engine wants for a guest page range: the Linux layer calls this before it
 * gives [start, start+size) write permission, and must not make writable those pages for which it
 * returns true (they hold translated code). `page` is one host page. */
bool engine_page_is_protected(Engine *engine, u64 page);

/* Around fork(): before it takes the locks, after it (in both) releases them; in the child only the
 * calling thread's vCPU is left and the others are freed. */
void engine_fork_prepare(Engine *engine);
void engine_fork_parent(Engine *engine);
void engine_fork_child(Engine *engine, Vcpu *survivor);

#endif
