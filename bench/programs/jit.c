/* A guest's own compiler at work: writes a function of random arithmetic for the machine it runs
 * on, calls it a number of times, and writes the next one over it; ROUND_CALLS sets how often each
 * runs. */
#include <sys/mman.h>

#include "bench.h"

#ifndef ROUND_CALLS
#define ROUND_CALLS 50
#endif

enum { OPERATIONS = 60, PAGE = 4096 };

typedef uint64_t function(uint64_t, uint64_t);

#ifdef __aarch64__
static const uint32_t code_of[4] = {0x8b010000, 0xcb010000, 0xca010000, 0x9b017c00};

static char *emit(char *at, int operation)
{
    memcpy(at, &code_of[operation], 4);
    return at + 4;
}

static void emit_frame(char **at, int end)
{
    static const uint32_t ret = 0xd65f03c0;
    if (end) {
        memcpy(*at, &ret, 4);
        *at += 4;
    }
}
#else
/* add, sub, xor, imul rax, rsi */
static const uint8_t code_of[4][4] = {
    {0x48, 0x01, 0xf0}, {0x48, 0x29, 0xf0}, {0x48, 0x31, 0xf0}, {0x48, 0x0f, 0xaf, 0xc6}};

static char *emit(char *at, int operation)
{
    size_t size = operation == 3 ? 4 : 3;
    memcpy(at, code_of[operation], size);
    return at + size;
}

static void emit_frame(char **at, int end)
{
    static const uint8_t enter[] = {0x48, 0x89, 0xf8}, leave[] = {0xc3};
    memcpy(*at, end ? leave : enter, end ? sizeof(leave) : sizeof(enter));
    *at += end ? sizeof(leave) : sizeof(enter);
}
#endif

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t seed = 13, sum = 0;
    char *page =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (int round = 0; round < size; round++) {
        char *at = page;
        emit_frame(&at, 0);
        for (int i = 0; i < OPERATIONS; i++) {
            at = emit(at, (int)(bench_random(&seed) & 3));
        }
        emit_frame(&at, 1);
        __builtin___clear_cache(page, at);
        for (int call = 0; call < ROUND_CALLS; call++) {
            sum = ((function *)(uintptr_t)page)(sum, (uint64_t)call | 1);
        }
    }
    return bench_result(sum);
}
