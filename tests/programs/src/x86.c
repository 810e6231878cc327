/* What Linux on x86 has of its own: exceptions as signals with their registers in the frame, x87
 * and SSE state of handlers, segments, the other ABI's calls, the vsyscall page.
 *
 * only: amd64 i386 */
#pragma GCC target("sse2")
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __i386__
#define STACK_POINTER "esp"
#define FREE_SEGMENT "fs" /* the C library has the other one */
enum { PC = REG_EIP, RESULT = REG_EAX, STACK = REG_UESP, FLAGS = REG_EFL };
#else
#define STACK_POINTER "rsp"
#define FREE_SEGMENT "gs"
enum { PC = REG_RIP, RESULT = REG_RAX, STACK = REG_RSP, FLAGS = REG_EFL };
#endif

static sigjmp_buf escape;
static volatile int last_signal, last_code;
static volatile long trap, error_code, flags, selectors;
static volatile uintptr_t address, pc;

static void on_exception(int signal, siginfo_t *info, void *context)
{
    const mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;

    last_signal = signal;
    last_code = info->si_code;
    address = (uintptr_t)info->si_addr;
    pc = (uintptr_t)m->gregs[PC];
    trap = m->gregs[REG_TRAPNO];
    error_code = m->gregs[REG_ERR];
    flags = m->gregs[FLAGS];
#ifdef __i386__
    selectors = m->gregs[REG_CS] << 16 | m->gregs[REG_SS];
#else
    selectors = m->gregs[REG_CSGSFS] & 0xffff;
#endif
    siglongjmp(escape, 1);
}

static void handle_all(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction action = {.sa_sigaction = on_exception, .sa_flags = SA_SIGINFO | SA_NODEFER};

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
    }
}

/* The exceptions that leave the saved pc at the instruction, as `name` that is a label there. */
#define TRY(text, instruction, ...)                                                                \
    do {                                                                                           \
        extern const char at_##text[];                                                             \
        if (!sigsetjmp(escape, 1)) {                                                               \
            asm volatile(".globl at_" #text "\nat_" #text ":\n" instruction "\n"                   \
                         :                                                                         \
                         : __VA_ARGS__                                                             \
                         : "memory", "eax", "edx");                                                \
            printf("%s: went on\n", #text);                                                        \
        } else {                                                                                   \
            printf("%s: signal %d code %d trap %ld error %ld pc +%d address %s selectors %lx\n",   \
                   #text, last_signal, last_code, trap, error_code,                                \
                   (int)(pc - (uintptr_t)at_##text),                                               \
                   address == pc  ? "pc"                                                           \
                   : address == 0 ? "0"                                                            \
                                  : "other",                                                       \
                   selectors);                                                                     \
        }                                                                                          \
    } while (0)

static void test_exceptions(void)
{
    int two[2] = {1, 5};
    (void)two;

    TRY(divide, "xorl %%ecx, %%ecx\n\tmovl $1, %%eax\n\tcltd\n\tidivl %%ecx", "c"(0));
    TRY(divide_overflow, "movl $0x80000000, %%eax\n\tcltd\n\tidivl %%ecx", "c"(-1));
    TRY(undefined, "ud2", "c"(0));
    TRY(breakpoint, "int3", "c"(0));
    TRY(int_3, ".byte 0xcd, 3", "c"(0));
    TRY(halt, "hlt", "c"(0));
    TRY(int_81, "int $0x81", "c"(0));
    TRY(input, "inb $0x80, %%al", "c"(0));
    TRY(clear_interrupts, "cli", "c"(0));
    TRY(null, "movl (%%ecx), %%eax", "c"(0));
    TRY(null_write, "movl %%eax, 16(%%ecx)", "c"(0));
    TRY(bad_selector, "movw %%cx, %%fs", "c"(0x1234 | 3));
#ifdef __i386__
    TRY(into, "movb $0x7f, %%al\n\taddb $1, %%al\n\tinto", "c"(0));
    TRY(bound, "movl $9, %%eax\n\tbound %%eax, (%%ecx)", "c"(two));
#else
    TRY(not_canonical, "movl (%%rcx), %%eax", "c"(0x8000000000000000));
#endif
    TRY(step, "pushf\n\torl $0x100, (%%" STACK_POINTER ")\n\tpopf\n\tnop\n\tnop", "c"(0));
}

static void test_float(void)
{
    volatile double zero = 0, one = 1;
    uint16_t control = 0x37b; /* zero divide unmasked */
    uint32_t mxcsr = 0x1f80 & ~0x200u;

    if (!sigsetjmp(escape, 1)) {
        asm volatile("fldcw %0\n\tfldz\n\tfld1\n\tfdivp\n\tfwait" ::"m"(control));
        puts("x87: went on");
    } else {
        printf("x87: signal %d code %d trap %ld\n", last_signal, last_code, trap);
    }
    asm volatile("fninit");
    if (!sigsetjmp(escape, 1)) {
        asm volatile("ldmxcsr %0\n\tmovsd %1, %%xmm0\n\tdivsd %2, %%xmm0" ::"m"(mxcsr), "m"(one),
                     "m"(zero)
                     : "xmm0");
        puts("sse: went on");
    } else {
        printf("sse: signal %d code %d trap %ld\n", last_signal, last_code, trap);
    }
    mxcsr = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
}

/* --- registers across a handler -----------------------------------------------------------------
 */

static void on_change(int signal, siginfo_t *info, void *context)
{
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
    double scratch = 1.5;
    uint32_t environment[7], mxcsr;
    uint64_t xmm1;

    (void)info;
    /* Handlers start with these units in their initial state. */
    asm volatile("fnstenv %0\n\tstmxcsr %1\n\tmovq %%xmm1, %2"
                 : "=m"(environment), "=m"(mxcsr), "=m"(xmm1));
    printf("handler: x87 control %x status %x tags %x mxcsr %x xmm1 %llx\n",
           environment[0] & 0xffff, environment[1] & 0xffff, environment[2] & 0xffff, mxcsr,
           (unsigned long long)xmm1);
    /* The handler's own use of the registers must not be seen outside. */
    asm volatile("fninit\n\tfld1\n\tfldpi\n\tmovsd %0, %%xmm1\n\tmovsd %0, %%xmm2" ::"m"(scratch)
                 : "xmm1", "xmm2");
#ifdef __i386__
    uint8_t *image = (uint8_t *)m->fpregs + 112;
    printf("x87 control %lx status %lx tags %lx\n", m->fpregs->cw & 0xffff, m->fpregs->sw & 0xffff,
           m->fpregs->tag & 0xffff);
#else
    uint8_t *image = (uint8_t *)m->fpregs;
    printf("x87 control %x status %x tags %x\n", m->fpregs->cwd, m->fpregs->swd,
           m->fpregs->ftw & 0xff);
#endif
    uint64_t low;
    memcpy(&low, image + 160 + 16, 8);
    printf("signal %d: xmm1 %llx in the frame, magic %d\n", signal, (unsigned long long)low,
           memcmp(image + 464, "SXPF", 4) == 0 || !memcmp(image + 464, "\0\0\0\0", 4));
    low = 0x1122334455667788;
    memcpy(image + 160 + 16, &low, 8); /* xmm1 */
    m->gregs[RESULT] = 0x12345678;
    m->gregs[FLAGS] |= 1; /* carry */
}

static void test_registers(void)
{
    struct sigaction action = {.sa_sigaction = on_change, .sa_flags = SA_SIGINFO};
    uint64_t in = 0xdeadbeefcafe, out1, out2;
    uint32_t result;
    uint8_t carry;
    double deep;
    uint16_t towards_zero = 0xf7f;
    uint32_t flushing = 0xff80;

    sigaction(SIGUSR1, &action, NULL);
    pid_t pid = getpid();
    asm volatile("fldcw %0\n\tldmxcsr %1" ::"m"(towards_zero), "m"(flushing));
    asm volatile("movq %5, %%xmm1\n\tmovq %5, %%xmm2\n\tfld1\n\tfldl2t\n\tclc\n\tint $0x80\n\t"
                 "setc %2\n\tmovq %%xmm1, %0\n\tmovq %%xmm2, %1\n\tfstp %%st(0)\n\tfstpl %3"
                 : "=m"(out1), "=m"(out2), "=m"(carry), "=m"(deep), "=a"(result)
                 : "m"(in), "a"(37), "b"(pid), "c"(SIGUSR1)
                 : "xmm1", "xmm2", "memory", "cc");
    asm volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(towards_zero), "=m"(flushing));
    printf("result %x xmm1 %llx xmm2 %llx st1 %g carry %d control %x mxcsr %x\n", result,
           (unsigned long long)out1, (unsigned long long)out2, deep, carry, towards_zero, flushing);
    asm volatile("fninit\n\tldmxcsr %0" ::"m"((uint32_t){0x1f80}));
}

static void on_old(int signal)
{
    printf("handler of one argument: %d\n", signal);
}

static void test_alternate(void)
{
    static char stack[65536];
    stack_t set = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    struct sigaction action = {.sa_handler = on_old, .sa_flags = SA_ONSTACK | SA_RESETHAND};

    sigaltstack(&set, NULL);
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    sigaction(SIGUSR2, NULL, &action);
    sigaltstack(NULL, &old);
    printf("reset %d, stack %d %zu\n", action.sa_handler == SIG_DFL, old.ss_sp == stack,
           old.ss_size);
}

/* --- segments -----------------------------------------------------------------------------------
 */

static void test_segments(void)
{
    static uint32_t words[4] = {11, 22, 33, 44};
    struct user_desc d = {.entry_number = 5,
                          .base_addr = (unsigned)(uintptr_t)words,
                          .limit = 7,
                          .seg_32bit = 1,
                          .useable = 1};
    uint32_t value = 0;
    uint8_t table[64];
    void *low = mmap((void *)0x20000000, 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    memcpy(low, words, sizeof words);
    d.base_addr = 0x20000000;
    printf("modify_ldt: %ld\n", syscall(SYS_modify_ldt, 0x11, &d, sizeof d));
    asm volatile("movw %w1, %%" FREE_SEGMENT "\n\tmovl %%" FREE_SEGMENT
                 ":4, %0\n\tmovw %w2, %%" FREE_SEGMENT
                 : "=r"(value)
                 : "r"(5 << 3 | 7), "r"(0));
    printf("through the LDT: %u\n", value);
    printf("read back: %d\n", syscall(SYS_modify_ldt, 0, table, 64) > 40);
    printf("descriptor: %02x%02x%02x\n", table[47], table[46], table[45]);
    d.entry_number = 8192;
    long result = syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
    printf("too many: %ld\n", result);
#ifdef __i386__
    d.entry_number = -1;
    d.limit = 0xfffff;
    d.limit_in_pages = 1;
    printf("set_thread_area: %ld entry %u\n", syscall(SYS_set_thread_area, &d), d.entry_number);
    asm volatile("movw %w1, %%fs\n\tmovl %%fs:8, %0\n\tmovw %w2, %%fs"
                 : "=r"(value)
                 : "r"(d.entry_number << 3 | 3), "r"(0));
    printf("through fs: %u\n", value);
    memset(&d.base_addr, 0, 12);
    printf("get_thread_area: %ld base %x\n", syscall(SYS_get_thread_area, &d), d.base_addr);
#else
    unsigned long base = 0;
    printf("ARCH_SET_GS: %ld\n", syscall(SYS_arch_prctl, ARCH_SET_GS, words));
    asm volatile("movl %%gs:12, %0" : "=r"(value));
    syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
    printf("through gs: %u, %d\n", value, base == (uintptr_t)words);
    result = syscall(SYS_arch_prctl, ARCH_SET_GS, -4096L);
    printf("bad base: %ld %s\n", result, strerror(errno));
#endif
}

/* --- calls --------------------------------------------------------------------------------------
 */

static void test_calls(void)
{
    int pid = 0;

    asm volatile("int $0x80" : "=a"(pid) : "a"(20));
    printf("getpid by int 0x80: %d\n", pid == getpid());
#ifdef __i386__
    int (*vsyscall)(void) = (int (*)(void))getauxval(AT_SYSINFO);
    asm volatile("call *%1" : "=a"(pid) : "r"(vsyscall), "a"(20));
    printf("getpid by AT_SYSINFO: %d\n", pid == getpid());
    printf("platform %s\n", (char *)getauxval(AT_PLATFORM));
#else
    time_t (*vtime)(time_t *) = (time_t(*)(time_t *))0xffffffffff600400;
    time_t now = time(NULL), then = vtime(NULL);
    printf("vsyscall time: %d\n", then >= now && then - now < 5);
    printf("platform %s\n", (char *)getauxval(AT_PLATFORM));
    void *low = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    printf("MAP_32BIT: %d\n", (uintptr_t)low < 0x80000000u);
#endif
    printf("vdso: %d\n",
           getauxval(AT_SYSINFO_EHDR) && !memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4));
}

/* -- String moves over themselves, up and down, nearer than an element and farther */

#define MOVE(instruction, direction)                                                               \
    __asm__ volatile(direction "; rep " instruction "; cld"                                        \
                     : "+S"(from), "+D"(to), "+c"(count)::"memory")

static unsigned long moved(unsigned size, int down, long apart, unsigned long elements)
{
    unsigned char bytes[256];
    unsigned long count = elements, sum = 0;
    unsigned char *from = bytes + 100 + (down ? (elements - 1) * size : 0), *to = from + apart;

    for (unsigned n = 0; n < sizeof bytes; n++) {
        bytes[n] = (unsigned char)(n * 7);
    }
    if (size == 1 && down) {
        MOVE("movsb", "std");
    } else if (size == 1) {
        MOVE("movsb", "cld");
    } else if (size == 2 && down) {
        MOVE("movsw", "std");
    } else if (size == 2) {
        MOVE("movsw", "cld");
    } else if (down) {
        MOVE("movsl", "std");
    } else {
        MOVE("movsl", "cld");
    }
    for (unsigned n = 0; n < sizeof bytes; n++) {
        sum = sum * 31 + bytes[n];
    }
    return sum + count + (unsigned long)(to - from);
}

static void test_strings(void)
{
    unsigned sum = 0;

    for (unsigned size = 1; size <= 4; size *= 2) {
        for (int down = 0; down < 2; down++) {
            for (long apart = -9; apart <= 9; apart++) {
                for (unsigned long elements = 1; elements < 12; elements++) {
                    sum = sum * 17 + (unsigned)moved(size, down, apart, elements);
                }
            }
            printf("moves of %u, %s: %x\n", size, down ? "down" : "up", sum);
        }
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    handle_all();
    test_exceptions();
    test_float();
    test_registers();
    test_alternate();
    test_segments();
    test_calls();
    test_strings();
    return 0;
}
