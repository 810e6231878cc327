/* Signals in every form that programs use: handlers with siginfo, nesting and masks, an alternate
 * stack, a timer that interrupts computation and system calls with and without restart, faults that
 * a handler repairs or leaves by siglongjmp, waiting with another mask, signals between threads and
 * processes, sigwaitinfo. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count, depth, deepest, last_code, on_alternate_stack;
static volatile uintptr_t last_address;
static sigjmp_buf escape;
static char alternate_stack[65536];
static char *page;

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    if (sigaction(signal, &action, NULL)) {
        perror("sigaction");
        exit(EXIT_FAILURE);
    }
}

static void on_count(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    count++;
    last_code = info->si_code;
}

static void on_nested(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    depth++;
    deepest = depth > deepest ? depth : deepest;
    if (signal == SIGUSR1 && depth < 5) {
        raise(SIGUSR1);
    }
    depth--;
}

static void on_stack(int signal, siginfo_t *info, void *context)
{
    char here;
    (void)signal, (void)info, (void)context;
    on_alternate_stack =
        &here >= alternate_stack && &here < alternate_stack + sizeof(alternate_stack);
}

static void on_fault_repair(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    last_address = (uintptr_t)info->si_addr;
    last_code = info->si_code;
    count++;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void on_fault_escape(int signal, siginfo_t *info, void *context)
{
    (void)context;
    last_code = info->si_code;
    siglongjmp(escape, signal);
}

/* Goes on behind the instruction that trapped. */
/* The two trapping instructions, with a register that the handler changes; and how it goes on. */
#ifdef __aarch64__
#define UNDEFINED(value)                                                                           \
    do {                                                                                           \
        register uint64_t x20 asm("x20") = value;                                                  \
        asm volatile("udf #0" : "+r"(x20)::"memory");                                              \
        value = x20;                                                                               \
    } while (0)
#define BREAKPOINT() asm volatile("brk #1" ::: "memory", "x20")

static void skip_trap(mcontext_t *context, int signal)
{
    (void)signal;
    context->pc += 4;
    context->regs[20] = 0x12345678;
}
#else
#define UNDEFINED(value) asm volatile("ud2" : "+a"(value)::"memory")
#define BREAKPOINT() asm volatile("int3" ::: "memory", "eax")
#ifdef __i386__
enum { PC = REG_EIP, RESULT = REG_EAX };
#else
enum { PC = REG_RIP, RESULT = REG_RAX };
#endif

static void skip_trap(mcontext_t *context, int signal)
{
    context->gregs[PC] += signal == SIGILL ? 2 : 0; /* INT3 is a trap: it has passed */
    context->gregs[RESULT] = 0x12345678;
}
#endif

static void on_trap(int signal, siginfo_t *info, void *context)
{
    ucontext_t *state = context;
    last_code = info->si_code;
    count++;
    skip_trap(&state->uc_mcontext, signal);
}

static void test_raise(void)
{
    count = 0;
    handle(SIGUSR1, on_count, 0);
    for (int i = 0; i < 1000; i++) {
        raise(SIGUSR1);
    }
    printf("raise: %d, code %d\n", count, last_code);
    handle(SIGUSR1, on_nested, SA_NODEFER);
    raise(SIGUSR1);
    printf("nested: %d\n", deepest);
    handle(SIGUSR1, on_count, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("reset to default: %d\n", now.sa_handler == SIG_DFL);
}

static void test_masks(void)
{
    sigset_t set, pending, old;
    count = 0;
    handle(SIGUSR2, on_count, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR2);
    raise(SIGUSR2);
    sigpending(&pending);
    printf("blocked: %d pending %d\n", count, sigismember(&pending, SIGUSR2));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("unblocked: %d\n", count);

    union sigval value = {.sival_int = 42};
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 3; i++) {
        value.sival_int = 42 + i;
        sigqueue(getpid(), SIGRTMIN + 1, value);
    }
    for (int i = 0; i < 3; i++) {
        int got = sigwaitinfo(&set, &info);
        printf("queued: %d %d %d\n", got - SIGRTMIN, info.si_value.sival_int, info.si_code);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void test_stack(void)
{
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack)};
    sigaltstack(&stack, NULL);
    handle(SIGUSR2, on_stack, SA_ONSTACK);
    raise(SIGUSR2);
    printf("alternate stack: %d\n", on_alternate_stack);
}

static void test_faults(void)
{
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    count = 0;
    handle(SIGSEGV, on_fault_repair, 0);
    *(volatile int *)(page + 128) = 7;
    printf("repaired fault: %d at +%d code %d value %d\n", count,
           (int)(last_address - (uintptr_t)page), last_code, *(volatile int *)(page + 128));
    handle(SIGSEGV, on_fault_escape, SA_NODEFER);
    for (volatile int i = 0; i < 200; i++) {
        int signal = sigsetjmp(escape, 1);
        if (!signal) {
            *(volatile int *)(uintptr_t)(16 + 8 * i) = 1;
        }
        count += signal == SIGSEGV;
    }
    printf("escaped faults: %d code %d\n", count, last_code);

    uintptr_t value = 1;
    count = 0;
    handle(SIGILL, on_trap, 0);
    handle(SIGTRAP, on_trap, 0);
    UNDEFINED(value);
    printf("undefined: %d code %d value %llx\n", count, last_code, (unsigned long long)value);
    BREAKPOINT();
    printf("breakpoint: %d code %d\n", count, last_code);
}

static void report_wait(const char *name, int result)
{
    printf("%s: %s, handled %d\n", name, result < 0 ? strerror(errno) : "no error", count);
}

/* All signals that wait and that sigsuspend()'s mask lets through come before it returns. */
static void test_suspend(void)
{
    static const int waiting[] = {SIGUSR1, SIGUSR2, SIGTRAP};
    sigset_t block, before, after;

    sigemptyset(&block);
    for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++) {
        handle(waiting[i], on_count, 0);
        sigaddset(&block, waiting[i]);
    }
    sigprocmask(SIG_BLOCK, &block, &before);
    count = 0;
    raise(SIGUSR1);
    raise(SIGUSR2);
    sigsuspend(&before);
    printf("suspend: %d\n", count);
    raise(SIGTRAP);
    sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, &after);
    printf("suspend: %d, still blocked %d\n", count, sigismember(&after, SIGUSR2));
}

static void ppoll_with(const sigset_t *mask)
{
    struct timespec long_time = {.tv_sec = 20};
    report_wait("ppoll", ppoll(NULL, 0, &long_time, mask));
}

static void pselect_with(const sigset_t *mask)
{
    struct timespec long_time = {.tv_sec = 20};
    report_wait("pselect", pselect(0, NULL, NULL, NULL, &long_time, mask));
}

static void epoll_pwait_with(const sigset_t *mask)
{
    struct epoll_event event;
    int epoll = epoll_create1(0);
    report_wait("epoll_pwait", epoll_pwait(epoll, &event, 1, 20000, mask));
    close(epoll);
}

/* The same for calls that wait for files, unless a file is ready. */
static void test_masked_waits(void)
{
    static void (*const waits[])(const sigset_t *) = {ppoll_with, pselect_with, epoll_pwait_with};
    struct pollfd ready = {.fd = 1, .events = POLLOUT};
    sigset_t block, before, after;

    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaddset(&block, SIGUSR2);
    sigprocmask(SIG_BLOCK, &block, &before);
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        count = 0;
        raise(SIGUSR1);
        raise(SIGUSR2);
        waits[i](&before);
    }
    count = 0;
    raise(SIGUSR1);
    printf("ready: %d", ppoll(&ready, 1, NULL, &before));
    printf(", handled %d\n", count);
    sigprocmask(SIG_SETMASK, &before, &after);
    printf("handled %d, was still blocked %d\n", count, sigismember(&after, SIGUSR2));
}

/* A signal that also is a fault's, sent while it is blocked. */
static void test_wait_for_trap(void)
{
    struct timespec no_time = {0};
    sigset_t set, before;
    siginfo_t info;

    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigprocmask(SIG_BLOCK, &set, &before);
    printf("nothing to wait for: %d\n", sigtimedwait(&set, &info, &no_time) < 0 && errno == EAGAIN);
    kill(getpid(), SIGTRAP);
    int got = sigwaitinfo(&set, &info);
    printf("waited for %d, from itself %d\n", got, info.si_pid == getpid());
    pid_t child = fork();
    if (!child) {
        usleep(100000);
        kill(getppid(), SIGTRAP);
        _exit(0);
    }
    got = sigwaitinfo(&set, &info);
    printf("waited for %d, from the child %d\n", got, info.si_pid == child);
    waitpid(child, NULL, 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void test_timer(void)
{
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    volatile double sum = 0;
    count = 0;
    handle(SIGALRM, on_count, SA_RESTART);
    setitimer(ITIMER_REAL, &often, NULL);
    while (count < 50) {
        for (int i = 1; i < 100; i++) {
            sum = sum + 1.0 / i;
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("timer: at least 50: %d, sum is finite: %d\n", count >= 50, sum > 0 && sum < 1e300);
}

/* A read from an empty pipe is interrupted, or restarted when the handler says so. */
static void test_restart(void)
{
    for (int restart = 0; restart < 2; restart++) {
        struct itimerval once = {{0, 0}, {0, 50000}};
        int ends[2];
        char byte = 0;
        if (pipe(ends)) {
            exit(EXIT_FAILURE);
        }
        count = 0;
        handle(SIGALRM, on_count, restart ? SA_RESTART : 0);
        pid_t child = fork();
        if (!child) {
            usleep(200000);
            _exit(write(ends[1], "x", 1) != 1);
        }
        setitimer(ITIMER_REAL, &once, NULL);
        ssize_t got = read(ends[0], &byte, 1);
        int error = errno;
        printf("restart %d: read %zd %s, handled %d\n", restart, got,
               got < 0 ? strerror(error) : "ok", count);
        waitpid(child, NULL, 0);
        close(ends[0]);
        close(ends[1]);
    }
}

static void *wait_for_signal(void *argument)
{
    sigset_t *set = argument;
    int signal = 0;
    sigwait(set, &signal);
    return (void *)(uintptr_t)signal;
}

static void test_threads(void)
{
    sigset_t set;
    pthread_t thread;
    void *result;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, wait_for_signal, &set);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    printf("thread got SIGUSR1: %d\n", (int)(uintptr_t)result == SIGUSR1);
}

static void test_death(void)
{
    static const int fatal[] = {SIGTERM, SIGKILL, SIGABRT, SIGSEGV, SIGFPE};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        int status;
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            signal(fatal[i], SIG_DFL);
            raise(fatal[i]);
            _exit(0);
        }
        waitpid(child, &status, 0);
        printf("child died of %d: %d\n", fatal[i], WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    test_raise();
    test_masks();
    test_stack();
    test_faults();
    test_suspend();
    test_masked_waits();
    test_wait_for_trap();
    test_timer();
    test_restart();
    test_threads();
    test_death();
    return 7;
}
