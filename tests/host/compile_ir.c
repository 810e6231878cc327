/* Compiles the IR text on standard input for the x86-64 host and prints the instructions' bytes in
 * hexadecimal: what tests/host/golden disassembles. Prints nothing when this CPU lacks a feature
 * that the golden code uses.
 *
 * Slots: x0..x30, sp as in a guest with 32 integer registers, flags, v0..v31; x0..x9 and v0..v9 are
 * pinned; behind them the x87, which starts at 0x340 and ends with the status word at 0x3c4. The
 * helpers are "helper", which reads and writes no state, and "x87", for which the x87 is in its
 * slots. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "host/x86_64/x86_64.h"
#include "ir/text.h"

enum { INTS = 32, VECTORS = 32, PINNED = 10, CODE_AT = 1 << 16, CACHE_BYTES = 1 << 20 };

static const u32 golden_features = X86_AVX | X86_AVX2 | X86_BMI1 | X86_BMI2 | X86_LZCNT |
                                   X86_MOVBE | X86_FMA | X86_F16C | X86_AES | X86_PCLMUL;

static IrSlot slots[INTS + 1 + VECTORS];
static char names[COUNT(slots)][8];

static void name_slots(void)
{
    for (u32 i = 0; i < COUNT(slots); i++) {
        bool is_int = i < INTS, is_flags = i == INTS;
        u32 number = is_int ? i : i - INTS - 1;
        snprintf(names[i], sizeof(names[i]), is_flags ? "flags" : is_int ? "x%u" : "v%u", number);
        slots[i] = (IrSlot){.name = i == INTS - 1 ? "sp" : names[i],
                            .offset = is_int     ? 8 * number
                                      : is_flags ? 8 * INTS
                                                 : 8 * INTS + 64 + 16 * number,
                            .type = (u8)(is_int     ? IR_I64
                                         : is_flags ? IR_I32
                                                    : IR_V128)};
    }
}

enum { X87_AT = 8 * INTS + 64 + 16 * VECTORS, X87_CONTROL = X87_AT + IR_X87_REGISTERS_SIZE };

static const IrX87 x87 = {.registers = X87_AT,
                          .top = X87_CONTROL,
                          .empty = X87_CONTROL + 1,
                          .control = X87_CONTROL + 2,
                          .status = X87_CONTROL + 4};

static const IrHelper helpers[] = {
    {"helper", NULL, 0},
    {"x87", NULL, IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_X87}};

int main(void)
{
    static char text[65536];
    static Arena arena;
    HostBlock block;
    const char *error;

    text[fread(text, 1, sizeof(text) - 1, stdin)] = 0;
    if ((x86_features() & golden_features) != golden_features) {
        return 0;
    }
    x86_limit_features(golden_features);
    name_slots();
    IrRegion *region = ir_parse(&arena, text, helpers, COUNT(helpers), slots, COUNT(slots), &error);
    if (!region || (error = ir_verify(region))) {
        fprintf(stderr, "compile_ir: %s\n", error);
        return 1;
    }
    HostConfig config = {.hot_int = slots,
                         .hot_int_count = PINNED,
                         .hot_vector = &slots[INTS + 1],
                         .hot_vector_count = PINNED,
                         .code_shift = 2,
                         .helpers = helpers,
                         .helper_count = COUNT(helpers),
                         .x87 = &x87};
    region->x87 = &x87;
    u8 *cache = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    host_x86_64.begin_cache(cache, CODE_AT, &config);
    if (host_x86_64.compile(region, &config, cache, cache + CODE_AT, CACHE_BYTES - CODE_AT, &arena,
                            &block)) {
        fprintf(stderr, "compile_ir: the region does not compile\n");
        return 1;
    }
    for (u32 i = 0; i < block.code_size; i++) {
        printf("%02x", cache[CODE_AT + i]);
    }
    printf("\n");
    arena_free(&arena);
    munmap(cache, CACHE_BYTES);
    return 0;
}
