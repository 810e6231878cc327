/* Runs x86 code on the host's CPU, in a child process, so that nothing it does can hurt the tester.
 *
 * The child stays in a signal handler's hands: each case begins by returning from a handler to a
 * context with the case's registers, and ends with the signal of its trap or fault. The kernel
 * loads and stores all registers, also those of 32-bit code (a far return to its code segment). */
#include "x86_case.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { CS_32 = 0x23, CS_64 = 0x33 };

/* What both processes see. */
typedef struct Shared {
    sem_t start, done;
    unsigned count;
    X86Case cases[X86_BATCH];
    X86Result results[X86_BATCH];
} Shared;

struct X86Native {
    Shared *shared;
    pid_t child;
};

/* -- The child */

static struct {
    Shared *shared;
    unsigned current;
    u8 alternate_stack[1 << 16];
} child;

static const int gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                              REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                              REG_R12, REG_R13, REG_R14, REG_R15};

/* Places in the XSAVE image of a signal frame (SDM volume 1, 13.4). */
enum { XSTATE_BV = 512, YMMH = 576 };

static u8 *extended_state(ucontext_t *context)
{
    return (u8 *)context->uc_mcontext.fpregs;
}

static void enter_case(ucontext_t *context)
{
    const X86Case *c = &child.shared->cases[child.current];
    greg_t *g = context->uc_mcontext.gregs;
    u8 *image = extended_state(context);
    u64 components;

    memcpy((u8 *)(uintptr_t)c->registers.rip, c->code, X86_CODE_SLOT);
    memcpy((u8 *)(uintptr_t)X86_DATA, c->memory, X86_DATA_SIZE);
    for (unsigned i = 0; i < COUNT(gregs); i++) {
        g[gregs[i]] = (greg_t)c->registers.gpr[i];
    }
    g[REG_RIP] = (greg_t)c->registers.rip;
    g[REG_EFL] = (greg_t)c->registers.eflags;
    u64 selectors = c->long_mode ? CS_64 : CS_32;
    g[REG_CSGSFS] = (greg_t)(selectors | (u64)X86_DATA_SELECTOR << 48);
    memcpy(image, c->registers.fx, 464); /* behind it is the kernel's */
    memcpy(&components, image + XSTATE_BV, 8);
    components |= 7;
    memcpy(image + XSTATE_BV, &components, 8);
    memcpy(image + YMMH, c->registers.ymmh, sizeof(c->registers.ymmh));
}

static void leave_case(ucontext_t *context)
{
    X86Result *r = &child.shared->results[child.current];
    const greg_t *g = context->uc_mcontext.gregs;
    const u8 *image = extended_state(context);

    for (unsigned i = 0; i < COUNT(gregs); i++) {
        r->registers.gpr[i] = (u64)g[gregs[i]];
    }
    r->registers.rip = (u64)g[REG_RIP];
    r->registers.eflags = (u64)g[REG_EFL];
    memcpy(r->registers.fx, image, 512);
    memcpy(r->registers.ymmh, image + YMMH, sizeof(r->registers.ymmh));
    memcpy(r->memory, (u8 *)(uintptr_t)X86_DATA, X86_DATA_SIZE);
    r->vector = (u32)g[REG_TRAPNO];
    r->address = r->vector == 14 ? (u64)g[REG_CR2] : 0;
}

/* SIGUSR1 begins the first batch; the others end a case. */
static void on_signal(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;

    (void)info;
    if (signal != SIGUSR1) {
        leave_case(context);
        child.current++;
    }
    if (signal == SIGUSR1 || child.current == child.shared->count) {
        if (signal != SIGUSR1) {
            sem_post(&child.shared->done);
        }
        sem_wait(&child.shared->start);
        child.current = 0;
    }
    enter_case(context);
}

static void map_fixed(u64 address, size_t size, int protection)
{
    void *wanted = (void *)(uintptr_t)address;

    if (mmap(wanted, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
        wanted) {
        perror("x86 oracle: cannot map memory");
        _exit(1);
    }
}

static _Noreturn void run_child(Shared *shared)
{
    static const int signals[] = {SIGUSR1, SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    child.shared = shared;
    map_fixed(X86_CODE, X86_CODE_SLOTS * X86_CODE_SLOT, PROT_READ | PROT_WRITE | PROT_EXEC);
    map_fixed(X86_DATA, X86_DATA_SIZE, PROT_READ | PROT_WRITE);
    sigaltstack(
        &(stack_t){.ss_sp = child.alternate_stack, .ss_size = sizeof(child.alternate_stack)}, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es"
                     :
                     : "r"(X86_DATA_SELECTOR)); /* for 32-bit code */
    raise(SIGUSR1);
    _exit(1);
}

/* -- The parent */

X86Native *x86_native_new(void)
{
    X86Native *native = calloc(1, sizeof(*native));

    native->shared =
        mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (native->shared == MAP_FAILED) {
        perror("x86 oracle: cannot map memory");
        exit(1);
    }
    sem_init(&native->shared->start, 1, 0);
    sem_init(&native->shared->done, 1, 0);
    native->child = fork();
    if (native->child == 0) {
        run_child(native->shared);
    }
    return native;
}

void x86_native_free(X86Native *native)
{
    kill(native->child, SIGKILL);
    waitpid(native->child, NULL, 0);
    munmap(native->shared, sizeof(Shared));
    free(native);
}

void x86_native_run(X86Native *native, const X86Case *cases, X86Result *results, unsigned count)
{
    Shared *shared = native->shared;
    struct timespec deadline;

    memcpy(shared->cases, cases, count * sizeof(*cases));
    shared->count = count;
    sem_post(&shared->start);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 60;
    if (sem_timedwait(&shared->done, &deadline) != 0) {
        fprintf(stderr, "x86 oracle: the native process does not answer\n");
        exit(1);
    }
    memcpy(results, shared->results, count * sizeof(*results));
}
