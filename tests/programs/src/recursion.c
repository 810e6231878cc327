/* Recursion far deeper than any prediction of returns, with what is kept in frames on the way: a
 * pair that CASP exchanges, values across calls, a buffer; returns in order, all at once by
 * longjmp, and out of a signal handler at the bottom.
 *
 * only: arm64 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_SIZE = 256 << 20, DEPTH = 300000 };

typedef struct Pair {
    _Alignas(16) uint64_t low;
    uint64_t high;
} Pair;

static jmp_buf escape;
static volatile int *volatile nowhere;
static volatile uint64_t deepest, handled;

/* Exchanges *pair for `new` if it is `old`; what it was. */
static Pair exchange(Pair *pair, Pair old, Pair new)
{
    register uint64_t old_low asm("x4") = old.low, old_high asm("x5") = old.high;
    register uint64_t new_low asm("x6") = new.low, new_high asm("x7") = new.high;

    asm volatile(".arch armv8.1-a\n\tcaspal %0, %1, %3, %4, %2"
                 : "+r"(old_low), "+r"(old_high), "+Q"(*pair)
                 : "r"(new_low), "r"(new_high)
                 : "memory");
    return (Pair){old_low, old_high};
}

/* A pair counts the levels down and up again; every third exchange is one that must fail. */
static uint64_t __attribute__((noinline)) descend(Pair *pair, uint64_t depth)
{
    Pair here = {depth, ~depth}, old = *pair;
    Pair wanted = depth % 3 ? old : here;

    Pair was = exchange(pair, wanted, (Pair){old.low + 1, old.high ^ depth});
    if (was.low != old.low || was.high != old.high) {
        abort();
    }
    uint64_t below = depth ? descend(pair, depth - 1) : 1;
    was = exchange(&here, here, (Pair){below, old.low});
    if (was.low != depth || was.high != ~depth || here.low != below) {
        abort();
    }
    return below * 3 + here.high + pair->low;
}

static uint64_t odd(uint64_t n, double sum);

static uint64_t __attribute__((noinline)) even(uint64_t n, double sum)
{
    char text[16];

    memset(text, (int)(n & 0x7f), sizeof(text));
    uint64_t result = n ? odd(n - 1, sum + 0.5) : (uint64_t)sum;
    return result + ((unsigned char)text[n % 16] == (n & 0x7f));
}

static uint64_t __attribute__((noinline)) odd(uint64_t n, double sum)
{
    uint64_t result = n ? even(n - 1, sum + 1.5) : (uint64_t)sum;
    return result ^ n;
}

static uint64_t __attribute__((noinline)) fall(uint64_t n, void (*bottom)(void))
{
    deepest = n;
    if (n == DEPTH) {
        bottom();
        return n;
    }
    return fall(n + 1, bottom) + deepest;
}

static void jump_out(void)
{
    longjmp(escape, 1);
}

static void fault(void)
{
    *nowhere = 1;
}

static void on_fault(int signal)
{
    (void)signal;
    handled++;
    siglongjmp(escape, 2);
}

static uint64_t ackermann(uint64_t m, uint64_t n)
{
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

static void *run(void *unused)
{
    Pair pair = {0, 0};

    uint64_t result = descend(&pair, DEPTH);
    printf("pairs: %llx %llu %llx\n", (unsigned long long)result, (unsigned long long)pair.low,
           (unsigned long long)pair.high);
    printf("even and odd: %llu\n", (unsigned long long)even(DEPTH, 0));
    for (int i = 0; i < 3; i++) {
        void (*bottom)(void) = i == 1 ? fault : jump_out;
        int how = sigsetjmp(escape, 1);
        if (!how) {
            fall(0, bottom);
        }
        printf("out by %d from %llu, handled %llu\n", how, (unsigned long long)deepest,
               (unsigned long long)handled);
    }
    printf("ackermann: %llu\n", (unsigned long long)ackermann(2, 700));
    return unused;
}

int main(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    signal(SIGSEGV, on_fault);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, STACK_SIZE) ||
        pthread_create(&thread, &attributes, run, NULL)) {
        return EXIT_FAILURE;
    }
    pthread_join(thread, NULL);
    return EXIT_SUCCESS;
}
