/* Capture and delivery of guest signals: see signals.h for the scheme and its invariants. */
#include "user/signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "user/access.h"
#include "user/host_stubs.h"
#include "user/process.h"
#include "user/strace.h"
#include "user/syscall.h"

enum { HOST_STACK_SIZE = 64 << 10, KERNEL_SA_RESTORER = 0x04000000 };

static const int synchronous[SYNCHRONOUS_COUNT] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

/* struct sigaction as the kernel has it: the C library refuses signals that it uses itself. */
typedef struct KernelAction {
    void *handler;
    unsigned long flags;
    void (*restorer)(void);
    u64 mask;
} KernelAction;

static s64 kernel_sigaction(int signal, const KernelAction *action, KernelAction *old)
{
    return plain_syscall(SYS_rt_sigaction, (u64[6]){(u64)signal, host_to_guest(action),
                                                    host_to_guest(old), sizeof action->mask});
}

static void kernel_set_mask(u64 mask)
{
    plain_syscall(SYS_rt_sigprocmask, (u64[6]){SIG_SETMASK, host_to_guest(&mask), 0, sizeof mask});
}

/* Index in synchronous[], or -1. */
static int synchronous_index(int signal)
{
    for (int i = 0; i < SYNCHRONOUS_COUNT; i++) {
        if (synchronous[i] == signal) {
            return i;
        }
    }
    return -1;
}

static u64 synchronous_mask(void)
{
    u64 mask = 0;

    for (int i = 0; i < SYNCHRONOUS_COUNT; i++) {
        mask |= signal_bit(synchronous[i]);
    }
    return mask;
}

/* --- capture: runs in host signal handlers -----------------------------------------------------
 */

/* The emulator itself faulted: dies as the signal says, after one line. */
static void own_fault(int signal, const siginfo_t *info, const ucontext_t *context)
{
    char text[128];

    int length =
        snprintf(text, sizeof text, "menura-user: internal error: signal %d at %#llx, address %p\n",
                 signal, (unsigned long long)host_context_pc(context), info->si_addr);
    if (write(STDERR_FILENO, text, (size_t)length) < 0) {
        /* Nothing more can be said. */
    }
    signals_die(signal);
}

/* A signal sent to us that looks like a fault; it waits while the guest blocks it. */
static void hold(ThreadSignals *s, int index, const siginfo_t *info)
{
    s->held_info[index] = *info;
    s->held |= signal_bit(synchronous[index]);
    if ((~s->mask | s->awaited) & signal_bit(synchronous[index])) {
        s->pending = 1;
    }
}

static void host_handler(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    Thread *thread = thread_current();
    int index = synchronous_index(signal);
    int saved_errno = errno;

    /* rt_tgsigqueueinfo() to itself may send any code: a handler that passes a fault on does. */
    if (index >= 0 && info->si_code > 0 && !host_syscall_returned(context)) {
        if (!vcpu_host_signal(thread ? thread->vcpu : NULL, signal, info, context) &&
            !host_fix_access(context)) {
            own_fault(signal, info, context);
        }
        errno = saved_errno;
        return;
    }
    if (!thread) {
        return;
    }
    ThreadSignals *s = &thread->signals;
    if (index >= 0) {
        hold(s, index, info);
    } else {
        u64 mask = ~synchronous_mask();
        s->info = *info;
        s->signal = signal;
        s->pending = 1;
        memcpy(&context->uc_sigmask, &mask, sizeof mask);
    }
    if (s->pending) {
        host_rewind_syscall(context);
        vcpu_kick(thread->vcpu);
    }
    errno = saved_errno;
}

/* --- dispositions -------------------------------------------------------------------------------
 */

static void install(int signal, const GuestAction *action)
{
    KernelAction host = {.mask = ~(u64)0, .restorer = host_signal_return};

    if (action->handler <= GUEST_SIG_IGN && synchronous_index(signal) < 0) {
        host.handler = (void *)(uintptr_t)action->handler;
    } else {
        host.handler = (void *)host_handler;
    }
    host.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | KERNEL_SA_RESTORER |
                 (action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
    kernel_sigaction(signal, &host, NULL);
}

s64 signals_set_action(Process *process, int signal, const GuestAction *action, GuestAction *old)
{
    if (signal < 1 || signal > SIGNAL_COUNT ||
        (action && (signal == SIGKILL || signal == SIGSTOP))) {
        return -EINVAL;
    }
    pthread_mutex_lock(&process->signals.lock);
    *old = process->signals.actions[signal];
    if (action) {
        process->signals.actions[signal] = *action;
        install(signal, action);
    }
    pthread_mutex_unlock(&process->signals.lock);
    return 0;
}

void signals_init(Process *process)
{
    struct rlimit core;

    pthread_mutex_init(&process->signals.lock, NULL);
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
        KernelAction host;
        GuestAction *action = &process->signals.actions[signal];
        if (kernel_sigaction(signal, NULL, &host) == 0 && host.handler == (void *)SIG_IGN) {
            action->handler = GUEST_SIG_IGN;
        }
        if (synchronous_index(signal) >= 0) {
            install(signal, action);
        }
    }
    /* A dump would show the emulator, not the program. */
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &core);
    }
}

bool signals_thread_init(Thread *thread)
{
    void *stack = mmap(NULL, HOST_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (stack == MAP_FAILED) {
        return false;
    }
    thread->signals.host_stack = stack;
    thread->signals.alternate.ss_flags = SS_DISABLE;
    return sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = HOST_STACK_SIZE}, NULL) == 0;
}

void signals_thread_free(Thread *thread)
{
    if (thread->signals.host_stack) {
        sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
        munmap(thread->signals.host_stack, HOST_STACK_SIZE);
        thread->signals.host_stack = NULL;
    }
}

/* --- masks --------------------------------------------------------------------------------------
 */

/* Notes whether something waits for delivery. Cleared first: a handler may set it meanwhile. */
static void update_pending(ThreadSignals *s)
{
    s->pending = 0;
    if (s->signal || s->held & ~s->mask) {
        s->pending = 1;
    }
}

static s64 try_host_mask(ThreadSignals *s, u64 mask)
{
    u64 host = mask & ~synchronous_mask();

    return interruptible_syscall(&s->pending, SYS_rt_sigprocmask,
                                 (u64[6]){SIG_SETMASK, host_to_guest(&host), 0, sizeof host});
}

s64 signals_set_mask(Thread *thread, u64 mask)
{
    ThreadSignals *s = &thread->signals;

    mask &= ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    s64 result = try_host_mask(s, mask);
    if (result == 0) {
        s->mask = mask;
        if (unlikely(s->held)) {
            update_pending(s);
        }
    }
    return result;
}

s64 signals_masked_call(Thread *thread, u64 *mask, s64 number, const u64 *arguments)
{
    ThreadSignals *s = &thread->signals;

    s->suspended_mask = s->mask;
    s->suspended = true;
    s->mask = *mask & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    *mask &= ~synchronous_mask();
    if (s->held & ~s->mask) {
        s->pending = 1;
        return -EINTR;
    }
    s64 result = host_call(thread, number, arguments);
    if (result != -EINTR || !s->pending) { /* a signal that the old mask let through came first */
        s->mask = s->suspended_mask;
        s->suspended = false;
    }
    return result;
}

/* Takes one of the held signals that are in `set`; 0 when there is none. */
static int take_held(ThreadSignals *s, u64 set, siginfo_t *info)
{
    for (int i = 0; i < SYNCHRONOUS_COUNT; i++) {
        u64 bit = signal_bit(synchronous[i]);
        if (s->held & set & bit) {
            *info = s->held_info[i];
            __atomic_and_fetch(&s->held, ~bit, __ATOMIC_RELAXED); /* a handler may add to it */
            return synchronous[i];
        }
    }
    return 0;
}

s64 signals_wait(Thread *thread, u64 set, siginfo_t *info, u64 timeout)
{
    ThreadSignals *s = &thread->signals;

    s->awaited = set; /* before the look: what comes after it ends the call */
    s64 result = take_held(s, set, info);
    if (!result) {
        result = host_call(thread, SYS_rt_sigtimedwait,
                           (u64[6]){host_to_guest(&set), host_to_guest(info), timeout, sizeof set});
        int held = result < 0 ? take_held(s, set, info) : 0;
        result = held ? held : result;
    }
    s->awaited = 0;
    update_pending(s);
    return result;
}

s64 signals_block_all(Thread *thread)
{
    return try_host_mask(&thread->signals, ~(u64)0);
}

void signals_unblock(Thread *thread)
{
    try_host_mask(&thread->signals, thread->signals.mask);
}

void signals_prepare_exec(Thread *thread)
{
    const GuestAction *actions = thread->process->signals.actions;

    for (int i = 0; i < SYNCHRONOUS_COUNT; i++) {
        if (actions[synchronous[i]].handler == GUEST_SIG_IGN) {
            kernel_sigaction(synchronous[i], &(KernelAction){.handler = (void *)SIG_IGN}, NULL);
        }
    }
    kernel_set_mask(thread->signals.mask);
}

void signals_undo_exec(Thread *thread)
{
    for (int i = 0; i < SYNCHRONOUS_COUNT; i++) {
        install(synchronous[i], &thread->process->signals.actions[synchronous[i]]);
    }
    signals_unblock(thread);
}

/* --- delivery -----------------------------------------------------------------------------------
 */

void signals_die(int signal)
{
    kernel_sigaction(signal, &(KernelAction){.handler = (void *)SIG_DFL}, NULL);
    kernel_set_mask(~signal_bit(signal));
    syscall(SYS_tgkill, getpid(), gettid(), signal);
    _exit(128 + signal);
}

bool signals_on_alternate(const Thread *thread)
{
    const stack_t *alternate = &thread->signals.alternate;
    u64 base = host_to_guest(alternate->ss_sp);
    u64 at = thread->abi->get_stack(thread->state);

    return !(alternate->ss_flags & SS_DISABLE) && at > base && at - base <= alternate->ss_size;
}

/* The system call that a signal interrupted: again, or EINTR. */
static void finish_call(Thread *thread, bool restart)
{
    if (!thread->signals.call_interrupted) {
        return;
    }
    thread->signals.call_interrupted = false;
    if (restart) {
        thread->abi->restart_call(thread->state);
    } else {
        thread->abi->set_result(thread->state, -EINTR);
    }
}

static void run_handler(Thread *thread, const GuestAction *action, const siginfo_t *info,
                        u64 fault_address, u32 fault_status)
{
    ThreadSignals *s = &thread->signals;
    int signal = info->si_signo;
    GuestFrame frame = {
        .handler = action->handler,
        .restorer = action->flags & KERNEL_SA_RESTORER ? action->restorer : 0,
        .stack = thread->abi->get_stack(thread->state),
        .flags = action->flags,
        .old_mask = s->suspended ? s->suspended_mask : s->mask,
        .info = info,
        .alternate = s->alternate,
        .fault_address = fault_address,
        .fault_status = fault_status,
    };

    finish_call(thread, action->flags & SA_RESTART);
    if (action->flags & SA_ONSTACK && !(s->alternate.ss_flags & SS_DISABLE) &&
        !signals_on_alternate(thread)) {
        frame.stack = host_to_guest(s->alternate.ss_sp) + s->alternate.ss_size;
    }
    if (log_on(LOG_STRACE | LOG_SIGNAL)) {
        strace_signal(thread, signal, info->si_code);
    }
    if (!thread->abi->push_frame(thread, signal, &frame)) {
        signals_die(SIGSEGV);
    }
    s->suspended = false;
    if ((unsigned)s->alternate.ss_flags & SS_AUTODISARM) {
        s->alternate = (stack_t){.ss_flags = SS_DISABLE};
    }
    s->mask |= action->mask | (action->flags & SA_NODEFER ? 0 : signal_bit(signal));
    s->mask &= ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
}

/* The guest's action, with SA_RESETHAND done. */
static GuestAction take_action(Process *process, int signal)
{
    pthread_mutex_lock(&process->signals.lock);
    GuestAction action = process->signals.actions[signal];
    if (action.flags & SA_RESETHAND && action.handler > GUEST_SIG_IGN) {
        process->signals.actions[signal].handler = GUEST_SIG_DFL;
        install(signal, &process->signals.actions[signal]);
    }
    pthread_mutex_unlock(&process->signals.lock);
    return action;
}

/* Takes the next signal out of the slot or the held ones; 0 when there is none. */
static int take_signal(ThreadSignals *s, siginfo_t *info)
{
    int signal = s->signal;

    if (signal) {
        *info = s->info;
        s->signal = 0;
        return signal;
    }
    return take_held(s, ~s->mask, info);
}

static void deliver_one(Thread *thread)
{
    ThreadSignals *s = &thread->signals;
    siginfo_t info;

    int signal = take_signal(s, &info);
    if (signal) {
        GuestAction action = take_action(thread->process, signal);
        if (action.handler > GUEST_SIG_IGN) {
            run_handler(thread, &action, &info, 0, 0);
        } else {
            finish_call(thread, true);
            if (action.handler == GUEST_SIG_DFL && synchronous_index(signal) >= 0) {
                signals_die(signal);
            } else if (action.handler == GUEST_SIG_DFL) {
                /* The disposition changed after the capture: let the kernel act on it. */
                syscall(SYS_tgkill, getpid(), gettid(), signal);
            }
        }
    }
    update_pending(s);
    try_host_mask(s, s->mask);
}

void signals_deliver(Thread *thread)
{
    ThreadSignals *s = &thread->signals;

    while (s->pending) {
        deliver_one(thread);
    }
    if (unlikely(s->suspended)) { /* there was no handler after all */
        s->suspended = false;
        if (signals_set_mask(thread, s->suspended_mask)) {
            s->mask = s->suspended_mask; /* the host's follows with the delivery */
        }
    }
}

void signals_force(Thread *thread, int signal, int code, u64 address, u32 fault_status)
{
    ThreadSignals *s = &thread->signals;
    siginfo_t info = {.si_signo = signal, .si_code = code};
    GuestAction action = take_action(thread->process, signal);

    info.si_addr = guest_to_host(address);
    if (action.handler <= GUEST_SIG_IGN || s->mask & signal_bit(signal)) {
        if (log_on(LOG_SIGNAL)) {
            log_printf("signal %d, code %d, address %#llx, pc %#llx: terminating\n", signal, code,
                       (unsigned long long)address,
                       (unsigned long long)thread->abi->get_pc(thread->state));
        }
        signals_die(signal);
    }
    run_handler(thread, &action, &info, fault_status ? address : 0, fault_status);
    try_host_mask(s, s->mask);
}
