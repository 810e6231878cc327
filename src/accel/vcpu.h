/* A virtual CPU: run it until something outside it must act, and say what.
 *
 * One vCPU belongs to one host thread at a time. Whoever owns it (the Linux layer, a board) sees
 * typed exits only and never which accelerator ran the code. Between exits the guest's registers
 * are in vcpu_state(); while vcpu_run() is on the stack they may be in host registers.
 *
 * Declared in exec/exec.h, as nothing is between it and the caller: engine_free(), vcpu_new(),
 * vcpu_free(), vcpu_state(), vcpu_kick(), vcpu_host_signal(), engine_invalidate(),
 * engine_page_is_protected(), engine_prepare_write(), engine_fork_*(); and for system mode
 * vcpu_set_bus() and what follows it. */
#ifndef ACCEL_VCPU_H
#define ACCEL_VCPU_H

#include "exec/exec.h"

typedef enum VcpuExitKind {
    VCPU_SYSCALL,    /* system call instruction; pc is past it, `code` holds its immediate */
    VCPU_UNDEFINED,  /* pc is at the undefined instruction, `code` holds its encoding */
    VCPU_BREAKPOINT, /* pc is at the breakpoint instruction, `code` holds its immediate */
    VCPU_FAULT,      /* memory fault; pc is at the instruction; address, access, host_code filled */
    VCPU_UNALIGNED,  /* pc or data alignment fault at `address` */
    VCPU_INTERRUPT,  /* vcpu_kick() was called; pc is precise */
    VCPU_EXCEPTION,  /* a CPU exception: `code` is the guest's word for it, pc as it wants it */
    /* System mode, where the exits above but VCPU_INTERRUPT don't occur: */
    VCPU_HALT,     /* waits for an interrupt: run it again when vcpu_lines() are up */
    VCPU_SHUTDOWN, /* stopped for good (triple fault): only reset helps */
    VCPU_DEBUG,    /* a breakpoint, or a single step was done; pc is linear */
} VcpuExitKind;

typedef struct VcpuExit {
    VcpuExitKind kind;
    u64 pc;      /* guest address of the instruction; state pc has the same value unless said */
    u64 address; /* VCPU_FAULT, VCPU_UNALIGNED: guest address accessed */
    VcpuAccess access; /* VCPU_FAULT */
    int host_signal;   /* VCPU_FAULT: SIGSEGV or SIGBUS */
    int host_code;     /* VCPU_FAULT: si_code of the host's signal (SEGV_MAPERR, BUS_ADRALN...) */
    u32 code;
} VcpuExit;

/* What `--accel` and friends choose. The page_* callbacks are asked with the engine's lock held:
 * they must not call the engine, nor take a lock that anyone holds while calling it. They may be
 * NULL. */
typedef struct EngineOptions {
    const char *guest; /* name of the guest CPU: "aarch64" */
    const char *accel; /* "dbt" (NULL means it) or "interp" */
    size_t cache_size; /* bytes of generated code kept; 0 for the default */
    bool single_step;  /* one guest instruction per block */
    bool system;       /* a whole CPU with vcpu_set_bus(), not a Linux program's */
    bool (*page_writable)(void *opaque, u64 page);   /* whether the guest may write the page */
    bool (*page_executable)(void *opaque, u64 page); /* whether the guest may execute from it */
    void *opaque;
} EngineOptions;

/* Creates the engine. On failure returns NULL with a one-line message in *error (static text). */
Engine *engine_new(const EngineOptions *options, const char **error);

/* Runs until an exit. */
void vcpu_run(Vcpu *vcpu, VcpuExit *exit);

#endif
