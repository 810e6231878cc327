/* Signals that a thread sends itself, with a handler that returns, and faults that are left by a
 * jump. */
#include <setjmp.h>
#include <signal.h>

#include "bench.h"

static volatile sig_atomic_t count;
static sigjmp_buf escape;

static void on_signal(int signal)
{
    count += signal == SIGUSR1;
}

static void on_fault(int signal)
{
    siglongjmp(escape, signal);
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    volatile uint64_t faults = 0;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = on_fault;
    sigaction(SIGSEGV, &action, NULL);
    for (volatile int i = 0; i < size; i++) {
        raise(SIGUSR1);
        if (i % 4 == 0) {
            if (sigsetjmp(escape, 1)) {
                faults++;
            } else {
                *(volatile int *)16 = 1;
            }
        }
    }
    return bench_result((uint64_t)count * 1000 + faults);
}
