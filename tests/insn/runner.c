/* Executes slots of instructions from pseudo-random states and tells what they left behind; an
 * arm64 program that runs under each emulator to be compared.
 *
 *   runner FILE           writes one 64-bit hash per GROUP slots
 *   runner FILE --states  writes the State of each slot
 *
 * FILE holds Slots (slot.h). Signals that an instruction raises are part of the result. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "slot.h"

enum { GROUP = 64, BATCH = 4096 };
/* A slot's code: the fetch of x0, its words, then branches to leave() for those that skip. */
enum { CODE_WORDS = 16 };

_Static_assert(offsetof(State, sp) == STATE_SP && offsetof(State, nzcv) == STATE_NZCV &&
                   offsetof(State, fpcr) == STATE_FPCR && offsetof(State, fpsr) == STATE_FPSR &&
                   offsetof(State, v) == STATE_V,
               "as enter.S believes");

void enter(State *state, const void *code);
void leave(void);

static State state;
static uint32_t *const code = (uint32_t *)CODE_ADDRESS;
static uint64_t *const memory = (uint64_t *)MEMORY_ADDRESS;
static const uint32_t *running; /* code of the slot being executed */

/* -- Pseudo-random states (splitmix64) */

static uint64_t next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Values at which integer, address and floating-point code turns. */
static const uint64_t special[] = {
    0,
    1,
    2,
    ~0ull,
    0x7fffffffffffffff,
    0x8000000000000000,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    0xffffffff00000000,
    0x8000000080000000,
    0x7fffffff7fffffff,
    0x0101010101010101,
    0x8080808080808080,
    0x7f7f7f7f7f7f7f7f,
    0x00ff00ff00ff00ff,
    0x8000800080008000,
    0x7fff7fff7fff7fff,
    0x3ff0000000000000, /* 1.0 */
    0xbff0000000000000,
    0x4000000000000000,
    0x7ff0000000000000, /* infinity */
    0xfff0000000000000,
    0x7ff8000000000001, /* quiet NaN */
    0x7ff0000000000001, /* signalling NaN */
    0xfff4000000000002,
    0x0000000000000003, /* subnormal */
    0x000fffffffffffff,
    0x0010000000000000, /* least normal */
    0x7fefffffffffffff, /* greatest */
    0x43e0000000000000, /* 2^63 */
    0x41dfffffffc00000, /* 2^31 - 1 */
    0x3f8000003f800000, /* pairs of singles from here */
    0x7f8000007f800000,
    0xff8000007f800000,
    0x7fc000017f800001,
    0x7fa00002ffc00003,
    0x0000000180000001,
    0x007fffff00800000,
    0x7f7fffff80000000,
    0x4f0000004effffff,
    0x3f0000003fc00000, /* 0.5, 1.5 */
    0x3c003c007c007c01, /* halves */
    0x7e0003ff0400fbff,
};

static uint64_t value(uint64_t *seed)
{
    uint64_t how = next(seed), random = next(seed);

    switch (how % 8) {
    case 0 ... 1:
        return special[how / 8 % (sizeof(special) / sizeof(*special))];
    case 2: /* few bits */
        return random >> (how / 8 % 64);
    case 3: /* doubles near 1 */
        return (random & 0x800fffffffffffff) | (0x3f0 + (how / 8 & 31)) << 52;
    case 4: /* pairs of singles near 1 */
        return (random & 0x807fffff807fffff) | (0x78 + (how / 8 & 15)) << 55 |
               (0x78 + (how / 128 & 15)) << 23;
    default:
        return random;
    }
}

static void make_state(const Slot *slot)
{
    uint64_t seed = slot->seed, middle = MEMORY_ADDRESS + MEMORY_SIZE / 2, how;

    for (int i = 0; i < 31; i++) {
        state.x[i] = value(&seed);
    }
    for (int i = 0; i < 32; i++) {
        state.v[i][0] = value(&seed);
        state.v[i][1] = value(&seed);
    }
    how = next(&seed);
    state.x[BASE_REGISTER] = middle + (how % 4 ? 0 : how / 4 % 16);
    state.x[INDEX_REGISTER] = (how >> 8) % 8 ? how >> 16 & 15 : -(how >> 16 & 15);
    state.sp = middle + (how >> 20) % 4 * 16;
    state.nzcv = how & 0xf0000000;
    state.fpcr = slot->fpcr;
    state.fpsr = how >> 32 & 7 ? 0 : 0x08000000;
    state.signal = state.fault = state.code = 0;
    if (slot->flags & SLOT_MEMORY) {
        for (size_t i = 0; i < MEMORY_SIZE / 8; i++) {
            memory[i] = next(&seed);
        }
    }
}

/* -- Execution */

/* Runs with a thread pointer that the test made up: no C library here. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    state.signal = (uint64_t)signal;
    state.code = (uint64_t)info->si_code;
    state.fault = (uc->uc_mcontext.pc - (uint64_t)running) / 4 - 1;
    uc->uc_mcontext.pc = (uint64_t)leave;
}

static uint32_t branch(const uint32_t *from, uint64_t to)
{
    return 0x14000000 | (uint32_t)((to - (uint64_t)from) / 4 & 0x3ffffff);
}

static void write_code(const Slot *slots, size_t count)
{
    const uint32_t fetch_x0 = 0xd53bd040; /* mrs x0, tpidr_el0 */

    for (size_t i = 0; i < count; i++) {
        uint32_t *at = code + i * CODE_WORDS;
        at[0] = fetch_x0;
        for (int w = 1; w < CODE_WORDS; w++) {
            at[w] = w <= slots[i].count ? slots[i].words[w - 1] : branch(&at[w], (uint64_t)leave);
        }
    }
    __builtin___clear_cache((char *)code, (char *)(code + count * CODE_WORDS));
}

static void execute(const Slot *slot, size_t index)
{
    make_state(slot);
    running = code + index * CODE_WORDS;
    enter(&state, running);
    if (slot->flags & SLOT_BLOCKS && (state.signal == SIGSEGV || state.signal == SIGBUS)) {
        state.nzcv = 0;
    }
    if (slot->flags & SLOT_MEMORY) {
        memcpy(state.memory, memory, MEMORY_SIZE);
    } else {
        memset(state.memory, 0, MEMORY_SIZE);
    }
}

/* -- Results */

static uint64_t hash_state(uint64_t hash, bool with_memory)
{
    size_t words = (with_memory ? sizeof(state) : offsetof(State, memory)) / 8;
    const uint64_t *word = (const uint64_t *)&state;

    for (size_t i = 0; i < words; i++) {
        hash = (hash ^ word[i]) * 0x100000001b3;
        hash ^= hash >> 29;
    }
    return hash;
}

static void put(const void *data, size_t size)
{
    if (fwrite(data, size, 1, stdout) != 1) {
        exit(2);
    }
}

static void run_all(const Slot *slots, size_t count, bool states)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < count; i++) {
        if (i % BATCH == 0) {
            write_code(slots + i, count - i < BATCH ? count - i : BATCH);
        }
        execute(&slots[i], i % BATCH);
        if (states) {
            put(&state, sizeof(state));
        }
        hash = hash_state(hash, slots[i].flags & SLOT_MEMORY);
        if (!states && (i % GROUP == GROUP - 1 || i + 1 == count)) {
            put(&hash, sizeof(hash));
            hash = 0;
        }
    }
}

static void *map(uint64_t address, size_t size, int protection)
{
    void *at = mmap((void *)address, size, protection,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (at != (void *)address) {
        perror("runner: mmap");
        exit(2);
    }
    return at;
}

static void catch_signals(void)
{
    static const int signals[] = {SIGILL, SIGSEGV, SIGBUS, SIGTRAP, SIGFPE};
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

int main(int argc, char **argv)
{
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    struct stat status;
    const Slot *slots;

    if (fd < 0 || fstat(fd, &status) != 0) {
        fprintf(stderr, "usage: runner FILE [--states]\n");
        return 2;
    }
    slots = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (slots == MAP_FAILED) {
        perror(argv[1]);
        return 2;
    }
    map(CODE_ADDRESS, BATCH * CODE_WORDS * 4, PROT_READ | PROT_WRITE | PROT_EXEC);
    map(MEMORY_ADDRESS, MEMORY_SIZE, PROT_READ | PROT_WRITE);
    catch_signals();
    run_all(slots, (size_t)status.st_size / sizeof(Slot), argc > 2);
    return fflush(stdout) != 0;
}
