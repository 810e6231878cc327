/* Runs x86 code on the host's CPU, in a child process, so that nothing it does can hurt the tester.
 *
 * The child stays in a signal handler's hands: each case begins by returning from a handler to a
 * context with the case's registers, and ends with the signal of its trap or fault. The kernel
 * loads and stores all registers but DS, ES, FS and GS with their bases, also those of 32-bit and
 * 16-bit code. */
#include "guest/x86/state.h"
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

/* What both processes see. */
typedef struct Shared {
    sem_t start, done;
    unsigned count, current;
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
    u64 thread_pointer; /* FS base of C code */
    X86Registers seen;  /* segments and bases that the case left */
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

/* Selectors fit into one word of the frame. */
static greg_t pack_selectors(const u16 *selector)
{
    return (greg_t)(selector[X86_CS] | (u64)selector[X86_SS] << 48);
}

static void enter_case(ucontext_t *context)
{
    const X86Case *c = &child.shared->cases[child.shared->current];
    greg_t *g = context->uc_mcontext.gregs;
    u8 *image = extended_state(context);
    u64 components;

    memcpy((u8 *)(uintptr_t)c->address, c->code, X86_CODE_SLOT);
    memcpy((u8 *)(uintptr_t)X86_DATA, c->memory, X86_DATA_SIZE);
    memcpy((u8 *)(uintptr_t)X86_SCRATCH, c->scratch, X86_SCRATCH_SIZE);
    for (unsigned i = 0; i < COUNT(gregs); i++) {
        g[gregs[i]] = (greg_t)c->registers.gpr[i];
    }
    g[REG_RIP] = (greg_t)c->registers.rip;
    g[REG_EFL] = (greg_t)c->registers.eflags;
    g[REG_CSGSFS] = pack_selectors(c->registers.segment.selector);
    memcpy(image, c->registers.fx, 464); /* behind it is the kernel's */
    memcpy(&components, image + XSTATE_BV, 8);
    components |= 7;
    memcpy(image + XSTATE_BV, &components, 8);
    memcpy(image + YMMH, c->registers.ymmh, sizeof(c->registers.ymmh));
}

static bool has_error_code(u32 vector)
{
    return vector == X86_TS || vector == X86_NP || vector == X86_STACK || vector == X86_GP ||
           vector == X86_AC;
}

static void leave_case(ucontext_t *context)
{
    X86Result *r = &child.shared->results[child.shared->current];
    const greg_t *g = context->uc_mcontext.gregs;
    const u8 *image = extended_state(context);

    r->registers = child.seen;
    for (unsigned i = 0; i < COUNT(gregs); i++) {
        r->registers.gpr[i] = (u64)g[gregs[i]];
    }
    r->registers.rip = (u64)g[REG_RIP];
    r->registers.eflags = (u64)g[REG_EFL];
    r->registers.segment.selector[X86_CS] = (u16)g[REG_CSGSFS];
    r->registers.segment.selector[X86_SS] = (u16)((u64)g[REG_CSGSFS] >> 48);
    memcpy(r->registers.fx, image, 512);
    memcpy(r->registers.ymmh, image + YMMH, sizeof(r->registers.ymmh));
    memcpy(r->memory, (u8 *)(uintptr_t)X86_DATA, X86_DATA_SIZE);
    memcpy(r->scratch, (u8 *)(uintptr_t)X86_SCRATCH, X86_SCRATCH_SIZE);
    r->vector = (u32)g[REG_TRAPNO];
    r->error = has_error_code(r->vector) ? (u32)g[REG_ERR] : 0; /* else an older one's */
    r->address = r->vector == X86_PF ? (u64)g[REG_CR2] : 0;
}

/* SIGUSR1 begins the first batch; the others end a case. */
static __attribute__((noinline)) void change_cases(int signal, ucontext_t *context)
{
    if (signal != SIGUSR1) {
        leave_case(context);
        child.shared->current++;
    }
    if (signal == SIGUSR1 || child.shared->current == child.shared->count) {
        if (signal != SIGUSR1) {
            sem_post(&child.shared->done);
        }
        sem_wait(&child.shared->start);
        child.shared->current = 0;
    }
    enter_case(context);
}

/* The kernel leaves the data segments alone, but C code needs its thread pointer. */
static __attribute__((no_stack_protector)) void on_signal(int signal, siginfo_t *info, void *opaque)
{
    u16 *selector = child.seen.segment.selector;
    const X86Registers *r;

    (void)info;
    __asm__ volatile("mov %%es, %0\n\tmov %%ds, %1\n\tmov %%fs, %2\n\tmov %%gs, %3"
                     : "=m"(selector[X86_ES]), "=m"(selector[X86_DS]), "=m"(selector[X86_FS]),
                       "=m"(selector[X86_GS]));
    __asm__ volatile("rdfsbase %0\n\trdgsbase %1"
                     : "=r"(child.seen.fs_base), "=r"(child.seen.gs_base));
    __asm__ volatile("mov %w0, %%fs\n\twrfsbase %1"
                     :
                     : "r"(0), "r"(child.thread_pointer)
                     : "memory");

    __builtin_ia32_writeeflags_u64(0x202); /* sigreturn() leaves NT and ID as they are now */

    change_cases(signal, opaque);

    r = &child.shared->cases[child.shared->current].registers;
    selector = (u16 *)r->segment.selector;
    __asm__ volatile("mov %0, %%es\n\tmov %1, %%ds\n\tmov %2, %%fs\n\tmov %3, %%gs"
                     :
                     : "m"(selector[X86_ES]), "m"(selector[X86_DS]), "m"(selector[X86_FS]),
                       "m"(selector[X86_GS])
                     : "memory");
    if (child.shared->cases[child.shared->current].long_mode) {
        __asm__ volatile("wrfsbase %0\n\twrgsbase %1"
                         :
                         : "r"(r->fs_base), "r"(r->gs_base)
                         : "memory");
    }
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
    map_fixed(X86_SCRATCH, X86_SCRATCH_SIZE, PROT_READ | PROT_WRITE);
    __asm__ volatile("rdfsbase %0" : "=r"(child.thread_pointer));
    sigaltstack(
        &(stack_t){.ss_sp = child.alternate_stack, .ss_size = sizeof(child.alternate_stack)}, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
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
    deadline.tv_sec += 10;
    if (sem_timedwait(&shared->done, &deadline) != 0) {
        fprintf(stderr, "x86 oracle: the native process does not answer (case %u)\n",
                shared->current);
        exit(1);
    }
    memcpy(results, shared->results, count * sizeof(*results));
}
