/* Addresses with a tag in their top byte, which loads and stores ignore: every kind of access, in
 * loops, in several threads, in signal handlers; arithmetic keeps the tag. And an address that is
 * none, tag or not.
 * only: arm64 */
#include <arm_neon.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, WORDS = 512, TAGS = 16 };

static _Alignas(64) uint64_t words[WORDS];
static _Atomic uint64_t counter;
static sigjmp_buf escape;

/* A pointer with a tag, of which the compiler knows nothing. */
static void *tag(void *pointer, unsigned value)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer | (uint64_t)value << 56;

    asm volatile("" : "+r"(address));
    return (void *)(uintptr_t)address;
}

static uint64_t test_plain(unsigned value)
{
    uint64_t *tagged = tag(words, value), sum = 0;

    for (int i = 0; i < WORDS; i++) {
        tagged[i] = (uint64_t)i * value;
    }
    for (int i = 0; i < WORDS; i++) {
        sum += words[i] + ((uint8_t *)tagged)[i * 3] + (uint64_t)((int16_t *)tagged)[i];
    }
    uint64_t *end = tagged + WORDS;
    return sum + ((uint64_t)(uintptr_t)end >> 56) + (uint64_t)(end - tagged);
}

static uint64_t test_vectors(unsigned value)
{
    uint64_t *tagged = tag(words, value);
    uint32x4x2_t both = vld2q_u32((const uint32_t *)(tagged + 2));
    uint8x16_t bytes = vld1q_u8((const uint8_t *)tagged + 3);

    vst4q_u8((uint8_t *)(tagged + 8), (uint8x16x4_t){{bytes, bytes, bytes, bytes}});
    vst1q_lane_u16((uint16_t *)tagged + 1, vreinterpretq_u16_u32(both.val[1]), 3);
    memmove(tagged + 100, tagged, 400);
    memset(tagged + 300, (int)value, 800);
    return words[100] + words[9] + words[321] + strlen((char *)(tagged + 300));
}

static uint64_t test_atomics(unsigned value)
{
    uint64_t *tagged = tag(words, value), old, more, failed;

    tagged[0] = 1;
    tagged[1] = 2;
    asm volatile("1: ldaxr %0, [%3]\n\tadd %1, %0, #5\n\tstlxr %w2, %1, [%3]\n\tcbnz %w2, 1b"
                 : "=&r"(old), "=&r"(more), "=&r"(failed)
                 : "r"(tagged)
                 : "memory");
    asm volatile("1: ldxp %0, %1, [%3]\n\tstxp %w2, %1, %0, [%3]\n\tcbnz %w2, 1b"
                 : "=&r"(old), "=&r"(more), "=&r"(failed)
                 : "r"(tagged)
                 : "memory");
    register uint64_t x4 asm("x4") = 2, x5 asm("x5") = 6;
    register uint64_t x6 asm("x6") = 10, x7 asm("x7") = 20;
    asm volatile(".arch armv8.1-a\n\tcasp x4, x5, x6, x7, [%2]\n\tldadd x6, x6, [%2]"
                 : "+r"(x4), "+r"(x5), "+r"(tagged), "+r"(x6)
                 : "r"(x7)
                 : "memory");
    return words[0] * 100 + words[1] + x4 * 1000 + x5 * 10000 + old;
}

static void on_signal(int signal)
{
    if (signal == SIGSEGV) {
        siglongjmp(escape, 1);
    }
    atomic_fetch_add((_Atomic uint64_t *)tag(&counter, 0x99), 1000);
}

static void *run(void *argument)
{
    for (int i = 0; i < 1000; i++) {
        atomic_fetch_add((_Atomic uint64_t *)tag(&counter, (unsigned)(uintptr_t)argument), 1);
    }
    return NULL;
}

static void test_no_address(unsigned shift)
{
    uint64_t *volatile nowhere = (uint64_t *)((uint64_t)(uintptr_t)words | (uint64_t)1 << shift);

    if (sigsetjmp(escape, 1)) {
        printf("bit %u: no address\n", shift);
    } else {
        printf("bit %u: %d\n", shift, nowhere[1] == words[1]);
    }
}

int main(void)
{
    pthread_t threads[THREADS];

    signal(SIGSEGV, on_signal);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    for (unsigned value = 0; value < 256; value += 255 / TAGS) {
        uint64_t plain = test_plain(value);
        uint64_t vectors = test_vectors(value);
        printf("%02x: %llx %llx %llu\n", value, (unsigned long long)plain,
               (unsigned long long)vectors, (unsigned long long)test_atomics(value));
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run, (void *)(i + 7))) {
            return EXIT_FAILURE;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("counter: %llu\n", (unsigned long long)counter);
    for (unsigned shift = 52; shift < 64; shift++) {
        test_no_address(shift);
    }
    printf("write: %zd\n", write(STDOUT_FILENO, tag("text\n", 3), 5));
    return EXIT_SUCCESS;
}
