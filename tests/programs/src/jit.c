/* Code that is written while the program runs: a small compiler of arithmetic into a writable and
 * executable page, functions overwritten in place again and again, the same memory through two
 * mappings, pages that switch between writable and executable, and code in malloc'd memory that
 * moves.
 *
 * only: arm64 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t Function(uint64_t, uint64_t);

enum { PAGE = 4096, RET = 0xd65f03c0 };

/* A64 encodings, with operands x0 and x1 and the result in x0. */
static uint32_t movz(unsigned reg, unsigned value)
{
    return 0xd2800000 | value << 5 | reg;
}

static uint32_t add_immediate(unsigned value)
{
    return 0x91000000 | value << 10;
}

static const uint32_t arithmetic[] = {
    0x8b010000, /* add x0, x0, x1 */
    0xcb010000, /* sub x0, x0, x1 */
    0x9b017c00, /* mul x0, x0, x1 */
    0xca010000, /* eor x0, x0, x1 */
    0x8b010c00, /* add x0, x0, x1, lsl #3 */
    0xcac11400, /* ror-and-eor: eor x0, x0, x1, ror #5 */
};

static void *map(size_t size, int protection)
{
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    return memory;
}

static void publish(void *start, size_t size)
{
    __builtin___clear_cache(start, (char *)start + size);
}

static uint64_t apply(unsigned operation, uint64_t a, uint64_t b)
{
    switch (operation) {
    case 0:
        return a + b;
    case 1:
        return a - b;
    case 2:
        return a * b;
    case 3:
        return a ^ b;
    case 4:
        return a + (b << 3);
    default:
        return a ^ (b >> 5 | b << 59);
    }
}

/* Random straight-line programs of 20 operations, each compiled over the one before. */
static int test_compile(void)
{
    uint32_t *code = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint32_t seed = 1;
    int wrong = 0;
    for (int round = 0; round < 2000; round++) {
        uint64_t wanted = (uint64_t)round, b = 0x123456789abcdef1u * (unsigned)(round + 1);
        for (int i = 0; i < 20; i++) {
            seed = seed * 1664525 + 1013904223;
            unsigned operation = (seed >> 16) % 6;
            code[i] = arithmetic[operation];
            wanted = apply(operation, wanted, b);
        }
        code[20] = RET;
        publish(code, 21 * sizeof(*code));
        wrong += ((Function *)(uintptr_t)code)((uint64_t)round, b) != wanted;
    }
    munmap(code, PAGE);
    return wrong;
}

/* One immediate patched in a function that runs between patches, with data in the same page. */
static int test_patch(void)
{
    uint32_t *code = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    volatile uint64_t *data = (uint64_t *)(code + 512);
    int wrong = 0;
    code[1] = RET;
    for (unsigned i = 0; i < 3000; i++) {
        code[0] = add_immediate(i % 4096);
        publish(code, 8);
        *data += i;
        wrong += ((Function *)(uintptr_t)code)(10, 0) != 10 + i % 4096;
    }
    wrong += *data != 3000u * 2999 / 2;
    munmap(code, PAGE);
    return wrong;
}

/* Written through one mapping, run through another. */
static int test_two_mappings(void)
{
    int fd = memfd_create("code", 0), wrong = 0;
    if (fd < 0 || ftruncate(fd, PAGE)) {
        perror("memfd_create");
        exit(EXIT_FAILURE);
    }
    uint32_t *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *executable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (writable == MAP_FAILED || executable == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    for (unsigned i = 0; i < 500; i++) {
        writable[0] = movz(0, i);
        writable[1] = RET;
        publish(executable, 8);
        wrong += ((Function *)(uintptr_t)executable)(0, 0) != i;
    }
    munmap(writable, PAGE);
    munmap(executable, PAGE);
    close(fd);
    return wrong;
}

static int test_protection(void)
{
    uint32_t *code = map(PAGE, PROT_READ | PROT_WRITE);
    int wrong = 0;
    for (unsigned i = 0; i < 500; i++) {
        mprotect(code, PAGE, PROT_READ | PROT_WRITE);
        code[0] = movz(0, i * 7);
        code[1] = RET;
        mprotect(code, PAGE, PROT_READ | PROT_EXEC);
        publish(code, 8);
        wrong += ((Function *)(uintptr_t)code)(0, 0) != i * 7;
    }
    munmap(code, PAGE);
    return wrong;
}

/* New code at an address whose old mapping is gone. */
static int test_remap(void)
{
    uint32_t *place = map(PAGE, PROT_READ | PROT_WRITE);
    int wrong = 0;
    for (unsigned i = 0; i < 300; i++) {
        munmap(place, PAGE);
        uint32_t *code = mmap(place, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        code[0] = movz(0, i + 1);
        code[1] = RET;
        publish(code, 8);
        wrong += ((Function *)(uintptr_t)code)(0, 0) != i + 1;
    }
    munmap(place, PAGE);
    return wrong;
}

/* A function that rewrites the instruction right behind its own store. */
static int test_self(void)
{
    static const uint32_t text[] = {
        0xb9000001, /* str w1, [x0]: x0 points at the instruction four below */
        0xd50b7b20, /* dc cvau, x0 */
        0xd5033b9f, /* dsb ish */
        0xd50b7520, /* ic ivau, x0 */
        0xd5033b9f, /* dsb ish */
        0xd5033fdf, /* isb */
        0xd2800000, /* mov x0, #0: the one that is replaced */
        RET,
    };
    uint32_t *code = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    int wrong = 0;
    memcpy(code, text, sizeof(text));
    publish(code, sizeof(text));
    for (unsigned i = 0; i < 500; i++) {
        uint64_t got = ((Function *)(uintptr_t)code)((uintptr_t)(code + 6), movz(0, i + 3));
        wrong += got != i + 3;
    }
    munmap(code, PAGE);
    return wrong;
}

int main(void)
{
    printf("compile: %d wrong\n", test_compile());
    printf("patch: %d wrong\n", test_patch());
    printf("two mappings: %d wrong\n", test_two_mappings());
    printf("protection: %d wrong\n", test_protection());
    printf("remap: %d wrong\n", test_remap());
    printf("self: %d wrong\n", test_self());
    return EXIT_SUCCESS;
}
