/* Signals of the host that generated code raises: guest faults, writes to code, arithmetic traps.
 *
 * The handler takes no lock and returns into no generated code that it interrupted: it recovers the
 * guest's precise state, notes what happened, and makes the thread leave as if by an exit. What is
 * to be done is then decided in dispatch.c, outside the signal. The exceptions: a fault while the
 * translator reads guest code jumps back to the translator, and a write to a protected page by C
 * code outside the engine (the Linux layer filling a guest buffer) is resolved on the spot.
 *
 * Everything here runs in a signal handler. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#include "exec/engine.h"

#if defined(__x86_64__)
static const u8 *context_pc(const ucontext_t *context)
{
    return (const u8 *)context->uc_mcontext.gregs[REG_RIP];
}

/* Bit 1 of the page fault error code (Intel SDM volume 3, 4.7). */
static bool context_wrote(const ucontext_t *context)
{
    return context->uc_mcontext.gregs[REG_ERR] & 2;
}
#else
#error "say here where this host's signal context holds the pc and the kind of access"
#endif

static bool is_memory_signal(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS;
}

/* An address that is not canonical, or not aligned where it must be, comes without address and with
 * SI_KERNEL. */
static void note_fault(Vcpu *vcpu, int signal, const siginfo_t *info, const ucontext_t *context)
{
    u64 address = (u64)(uintptr_t)info->si_addr - vcpu->engine->config.guest_base;

    vcpu->fault = (ExecFault){
        .address = address,
        .access = context_wrote(context) ? ACCESS_WRITE : ACCESS_READ,
        .signal = signal,
        .code = info->si_code,
        .invalid = signal == SIGSEGV && info->si_code == SI_KERNEL,
    };
}

/* Leaves generated code at the guest instruction that the fault at `place` in the block belongs to.
 */
static void leave_block(Vcpu *vcpu, Block *block, const u8 *place, ucontext_t *context,
                        CpuExitKind kind)
{
    const Engine *engine = vcpu->engine;
    HostFault fault = {
        .ucontext = context,
        .code = block->code,
        .side_table = block->side_table,
        .side_table_size = block->side_table_size,
    };

    if (!engine->host->recover(vcpu->state, &fault)) {
        dprintf(STDERR_FILENO,
                "menura: bug: no precise state for a fault at +0x%zx in the code of 0x%llx\n",
                (size_t)(place - block->code), (unsigned long long)block->pc);
        abort();
    }
    vcpu->common->pc = fault.pc;
    vcpu->common->exit_kind = kind;
    vcpu->fault_block = block;
    engine->host->abandon(vcpu->state, engine->cache.base, context);
}

/* Code of the cache faulted: at `place`, or in C code that it called from there. */
static bool generated_code_fault(Vcpu *vcpu, int signal, const siginfo_t *info, ucontext_t *context,
                                 const u8 *place)
{
    const Engine *engine = vcpu->engine;
    const Host *host = engine->host;
    u64 address = (u64)(uintptr_t)info->si_addr;

    if (is_memory_signal(signal) && host->stub_fault &&
        host->stub_fault(vcpu->state, engine->cache.base, context, address)) {
        return true;
    }
    Block *block = cache_block_at(engine, place);
    if (!block || (signal != SIGFPE && !is_memory_signal(signal))) {
        return false;
    }
    note_fault(vcpu, signal, info, context);
    leave_block(vcpu, block, place, context, signal == SIGFPE ? CPU_EXIT_FP : CPU_EXIT_FAULT);
    return true;
}

/* Goes back to the translator, which knows what to do without that byte. */
static _Noreturn void abort_fetch(Vcpu *vcpu, const ucontext_t *context)
{
    vcpu->fetching = 0;
    pthread_sigmask(SIG_SETMASK, &context->uc_sigmask, NULL);
    siglongjmp(vcpu->fetch_fault, 1);
}

/* Where the code is that faulted: an interpreting host is in the cache only in a manner of
 * speaking, and a helper stands for the code that called it. */
static const u8 *fault_place(const Vcpu *vcpu, const ucontext_t *context)
{
    const Host *host = vcpu->engine->host;
    const u8 *pc = context_pc(context), *site = NULL;

    if (host->access_site && !cache_contains(vcpu->engine, pc)) {
        site = host->access_site(vcpu->common);
    }
    return site ? site : pc;
}

bool vcpu_host_signal(Vcpu *vcpu, int signal, const siginfo_t *info, void *context)
{
    if (!vcpu || info->si_code <= 0) {
        return false; /* sent by a process, not raised by an instruction */
    }
    const u8 *place = fault_place(vcpu, context);
    if (cache_contains(vcpu->engine, place)) {
        return generated_code_fault(vcpu, signal, info, context, place);
    }
    if (!is_memory_signal(signal)) {
        return false;
    }
    if (vcpu->fetching) {
        note_fault(vcpu, signal, info, context);
        abort_fetch(vcpu, context);
    }
    return context_wrote(context) && !vcpu->inside &&
           coherence_write_fault(vcpu->engine,
                                 (u64)(uintptr_t)info->si_addr - vcpu->engine->config.guest_base);
}
