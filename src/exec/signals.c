/* The host's signals in system mode, where nobody else takes them: generated code raises them where
 * predicted returns overflow their stack, and by floating point that traps.
 *
 * A signal tells a process, not an engine, so this is per process: the handlers, installed once,
 * those before them, and which vCPU a thread runs. Generated code has a stack pointer of its own:
 * handlers run on another stack, the thread's. */
#include <pthread.h>
#include <signal.h>

#include "exec/mmu.h"

enum { STACK_SIZE = 32 << 10 };

static _Thread_local Vcpu *running;

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
static struct sigaction before[COUNT(signals)]; /* who gets those that are not ours */

static void on_signal(int number, siginfo_t *info, void *context)
{
    if (vcpu_host_signal(running, number, info, context)) {
        return;
    }
    for (size_t i = 0; i < COUNT(signals); i++) {
        if (signals[i] == number) {
            sigaction(number, &before[i], NULL); /* what failed raises it again */
        }
    }
    if (info->si_code <= 0) { /* nothing failed: somebody sent it */
        raise(number);
    }
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &action, &before[i]);
    }
}

/* Unless it has one, as sanitizers give it. */
static void give_stack(void)
{
    static _Thread_local u8 stack[STACK_SIZE] __attribute__((aligned(16)));
    stack_t present;

    if (sigaltstack(NULL, &present) == 0 && present.ss_flags & SS_DISABLE) {
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    }
}

void signals_attach(Vcpu *vcpu)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (running != vcpu) {
        pthread_once(&once, install);
        give_stack();
        running = vcpu;
    }
}

void signals_detach(const Vcpu *vcpu)
{
    if (running == vcpu) {
        running = NULL;
    }
}
