/* Guest signals: dispositions, capture by the host's handlers, delivery as guest frames.
 *
 * The host kernel does as much as it can: a signal that the guest ignores or leaves at its default
 * has that disposition on the host, too, and a thread's host mask is the guest's mask. So stopping,
 * continuing, dying, SIGCHLD rules, signalfd and sigtimedwait are the kernel's own.
 *
 * Capture: a host handler exists for signals with a guest handler and for the synchronous ones
 * (SEGV, BUS, FPE, ILL, TRAP), which the engine needs and the host never blocks. An asynchronous
 * signal is put into the thread's one pending slot and the host mask is filled until delivery, so
 * the slot never overflows. Invariant: slot full => all asynchronous signals blocked on the host.
 * Delivery happens between vcpu_run() calls. Nothing else may change the host's mask while the slot
 * is full, so every mask change goes through interruptible_syscall(). */
#ifndef USER_SIGNALS_H
#define USER_SIGNALS_H

#include <pthread.h>
#include <signal.h>

#include "base/types.h"

#ifndef SS_AUTODISARM /* the C library has it in <linux/signal.h> only, which excludes <signal.h>  \
                       */
#define SS_AUTODISARM (1u << 31)
#endif

typedef struct Thread Thread;
typedef struct Process Process;

enum { SIGNAL_COUNT = 64, SYNCHRONOUS_COUNT = 5, GUEST_SIG_DFL = 0, GUEST_SIG_IGN = 1 };

typedef struct GuestAction {
    u64 handler; /* address, GUEST_SIG_DFL or GUEST_SIG_IGN */
    u64 flags;   /* SA_*: equal on all ABIs served so far */
    u64 restorer;
    u64 mask;
} GuestAction;

typedef struct SignalTable {
    pthread_mutex_t lock;
    GuestAction actions[SIGNAL_COUNT + 1]; /* by signal number */
} SignalTable;

typedef struct ThreadSignals {
    volatile u32 pending; /* slot full, or a held signal became deliverable */
    volatile int signal;  /* in the slot; 0: empty */
    siginfo_t info;
    volatile u64 held; /* synchronous signals sent by kill() while the guest blocks them */
    siginfo_t held_info[SYNCHRONOUS_COUNT];
    volatile u64 awaited;  /* held ones that sigtimedwait() waits for */
    u64 mask;              /* guest's mask: bit n-1 is signal n */
    u64 suspended_mask;    /* what sigsuspend() replaced, while `suspended` */
    bool suspended;        /* the first handler's frame gets `suspended_mask` to go back to */
    stack_t alternate;     /* guest's sigaltstack */
    bool call_interrupted; /* the system call just made restarts or becomes EINTR at delivery */
    void *host_stack;      /* alternate stack of the host's handlers; owned */
} ThreadSignals;

/* bit of a signal in a mask */
static inline u64 signal_bit(int signal)
{
    return (u64)1 << (signal - 1);
}

/* Takes over the host's dispositions and installs the synchronous handlers. Once per process. */
void signals_init(Process *process);

/* Gives the calling host thread its signal stack; the thread's mask is set already, and all signals
 * are blocked on the host until signals_unblock(). */
bool signals_thread_init(Thread *thread);
void signals_thread_free(Thread *thread);

/* Delivers what is pending; call it between vcpu_run() calls when signals.pending is set. */
void signals_deliver(Thread *thread);

/* A fault of the guest's own: delivered at once, kills if blocked or ignored. */
void signals_force(Thread *thread, int signal, int code, u64 address, u32 fault_status);

/* Ends the process as the signal's default action would. Does not return. */
void __attribute__((noreturn)) signals_die(int signal);

/* Makes `mask` the thread's, on the host too. Returns 0 or SYSCALL_RESTART. */
s64 signals_set_mask(Thread *thread, u64 mask);

/* A host call that waits with a mask of its own, as rt_sigsuspend(2) and ppoll(2): *mask is the
 * guest's and becomes the host's; `arguments` refer to it. It stays the thread's until the handlers
 * have their frames. */
s64 signals_masked_call(Thread *thread, u64 *mask, s64 number, const u64 *arguments);

/* rt_sigtimedwait(2) with the host's layouts; `timeout` is the address of a timespec or 0. */
s64 signals_wait(Thread *thread, u64 set, siginfo_t *info, u64 timeout);

/* Fills the host's mask, or gives the guest's back: around fork, thread creation, exec. The first
 * returns 0 or SYSCALL_RESTART with nothing changed. */
s64 signals_block_all(Thread *thread);
void signals_unblock(Thread *thread);

/* Host state as a new program expects it: full mask, ignored signals ignored. */
void signals_prepare_exec(Thread *thread);
void signals_undo_exec(Thread *thread);

/* sigaction(2): sets the guest's action (unless NULL) and the host's with it; the old one into
 * *old. */
s64 signals_set_action(Process *process, int signal, const GuestAction *action, GuestAction *old);

/* Whether the stack pointer is on the guest's alternate signal stack. */
bool signals_on_alternate(const Thread *thread);

#endif
