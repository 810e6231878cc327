/* Fuzz target: any bytes as A64 code. Each word is decoded and disassembled; then the whole input
 * is translated block by block. The translator's IR must pass the verifier, before the passes and
 * after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "guest/aarch64/aarch64_insn.h"
#include "guest/guest.h"
#include "ir/pass.h"
#include "ir/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODE_START = 0x400000, LARGEST_INPUT = 4096 };

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static bool fetch(GuestTranslation *t, u64 pc, void *bytes, u32 size)
{
    const Input *input = t->opaque;
    u64 at = pc - CODE_START;

    if (at >= input->size || input->size - at < size) {
        return false;
    }
    memcpy(bytes, input->data + at, size);
    return true;
}

static void check(const IrRegion *region, const char *stage)
{
    const char *wrong = ir_verify(region);

    if (wrong) {
        fprintf(stderr, "%s: %s\n", stage, wrong);
        ir_print(region, stderr);
        abort();
    }
}

/* Translates at `at`; returns how many bytes the block covers. */
static size_t translate(Input *input, Arena *arena, size_t at)
{
    const Guest *guest = &guest_aarch64;
    IrRegion *region = ir_region_new(arena);

    region->helpers = guest->helpers;
    region->helper_count = guest->helper_count;
    region->slots = guest->slots;
    region->slot_count = guest->slot_count;
    region->guest_pc = CODE_START + at;
    GuestTranslation t = {.b = {region, ir_block_new(region)},
                          .pc = CODE_START + at,
                          .max_insns = 64,
                          .fetch = fetch,
                          .opaque = input};
    guest->translate(&t);
    ir_link_blocks(region);
    check(region, "translated");
    ir_optimize(region, true);
    check(region, "optimized");
    return t.end > t.pc ? t.end - t.pc : 4;
}

static void decode(u32 word)
{
    Aarch64Insn insn;
    char text[128];

    if (aarch64_decode(word, ~0u, &insn)) {
        aarch64_disasm(word, CODE_START, text, sizeof text);
        aarch64_disasm(word, CODE_START, text, 8); /* too small: cut off, not overrun */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input input = {data, MIN(size, (size_t)LARGEST_INPUT)};
    Arena arena;

    for (size_t at = 0; at + 4 <= input.size; at += 4) {
        u32 word;
        memcpy(&word, data + at, 4);
        decode(word);
    }
    arena_init(&arena);
    for (size_t at = 0; at + 4 <= input.size; at = ALIGN_UP(at, (size_t)4)) {
        at += translate(&input, &arena, at);
        arena_reset(&arena);
    }
    arena_free(&arena);
    return 0;
}
