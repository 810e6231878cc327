/* Fuzz target: any bytes as x86 code. The first byte chooses the mode (real, virtual-8086,
 * protected of 16 and 32 bits, 64-bit; program or system; flat segments or not) and the second what
 * else decoding and translating depend on; the rest is code. At every offset it is decoded and
 * disassembled; then it is translated block by block, and the IR must pass the verifier, before the
 * passes and after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "guest/guest.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/insn.h"
#include "guest/x86/mode.h"
#include "guest/x86/system.h"
#include "ir/pass.h"
#include "ir/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODE_START = 0x8000, LARGEST_INPUT = 512 };

typedef struct Machine {
    CpuCommon common;
    X86State cpu;
} Machine;

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

/* -- Modes */

enum {
    CHOOSE_KIND = 7, /* of the first byte: below */
    CHOOSE_SYSTEM = 8,
    CHOOSE_SEGMENTED = 16,
    CHOOSE_STACK16 = 32,
    CHOOSE_CPL3 = 64,
    CHOOSE_IOPL = 128,
    CHOOSE_DF = 1, /* of the second */
    CHOOSE_TF = 2,
    CHOOSE_TS = 4,
    CHOOSE_EM = 8,
    CHOOSE_NO_SSE = 16,
    CHOOSE_NO_AVX = 32,
    CHOOSE_UNMASKED = 64,
    CHOOSE_TRAP = 128,
};

/* Those behind are 64-bit code: plain; with breakpoints; in an interrupt shadow, with alignment
 * checks; in system management mode, under SMAP. */
enum { KIND_REAL, KIND_VM86, KIND_16, KIND_32, KIND_64, KIND_BREAK, KIND_SHADOW, KIND_SMM };

static void choose_segments(X86State *cpu, u8 how, unsigned kind)
{
    u16 privilege = how & CHOOSE_CPL3 ? 3 << X86_SEGMENT_DPL_SHIFT : 0;

    for (unsigned n = 0; n < 6; n++) {
        X86Segment *s = &cpu->segment[n];
        u16 type = n == X86_CS ? 0x1b : 0x13;
        *s = (X86Segment){.limit = 0xffffffff, .attributes = X86_SEGMENT_P | type | privilege};
        s->attributes |= kind == KIND_32 ? X86_SEGMENT_DB : 0;
        if (how & CHOOSE_SEGMENTED) {
            s->base = n * 0x1000;
            s->limit = 0xffff;
        }
    }
    if (kind > KIND_32) {
        cpu->segment[X86_CS].attributes |= X86_SEGMENT_L;
        cpu->efer = X86_EFER_LMA | X86_EFER_LME;
    }
    if (how & CHOOSE_STACK16) {
        cpu->segment[X86_SS].attributes &= (u16)~X86_SEGMENT_DB;
    }
}

static void choose_mode(Machine *m, u8 how, u8 more)
{
    unsigned kind = how & CHOOSE_KIND;
    X86State *cpu = &m->cpu;

    guest_x86_64.reset(cpu, &m->common);
    cpu->user_mode = !(how & CHOOSE_SYSTEM);
    cpu->cr[0] = X86_CR0_ET | (kind == KIND_REAL ? 0 : X86_CR0_PE) |
                 (more & CHOOSE_TS ? X86_CR0_TS : 0) | (more & CHOOSE_EM ? X86_CR0_EM : 0);
    cpu->cr[4] = (more & CHOOSE_NO_SSE ? 0 : X86_CR4_OSFXSR) | X86_CR4_OSXSAVE;
    cpu->xcr0 = more & CHOOSE_NO_AVX ? 3 : 7;
    cpu->mxcsr = more & CHOOSE_UNMASKED ? 0 : 0x1f80;
    cpu->eflags = X86_EFLAGS_FIXED | (kind == KIND_VM86 ? X86_EFLAGS_VM : 0) |
                  (how & CHOOSE_IOPL ? X86_EFLAGS_IOPL : 0) |
                  (more & CHOOSE_DF ? X86_EFLAGS_DF : 0) | (more & CHOOSE_TF ? X86_EFLAGS_TF : 0);
    cpu->trap_pending = more & CHOOSE_TRAP ? 1 : 0;
    cpu->dr[7] = kind == KIND_BREAK ? X86_DR7_ENABLED : 0;
    cpu->interrupt_shadow = kind == KIND_SHADOW;
    cpu->in_smm = kind == KIND_SMM;
    if (kind == KIND_SHADOW) {
        cpu->cr[0] |= X86_CR0_AM;
        cpu->eflags |= X86_EFLAGS_AC;
    } else if (kind == KIND_SMM) {
        cpu->cr[4] |= X86_CR4_SMAP;
    }
    choose_segments(cpu, how, kind);
}

/* -- Decoding */

static void decode(const X86State *cpu, u32 mode, const u8 *bytes, size_t size)
{
    X86DecodeMode how = {.code_size = mode & X86_MODE_CODE64   ? 8
                                      : mode & X86_MODE_CODE32 ? 4
                                                               : 2,
                         .real = mode & X86_MODE_REAL,
                         .features = cpu->features};
    char text[128];
    X86Insn insn;

    if (x86_decode(bytes, size, &how, &insn) == X86_DECODE_OK) {
        if (insn.size > MIN(size, (size_t)X86_INSN_MAX)) {
            abort();
        }
        x86_disassemble(&insn, &how, CODE_START, text, sizeof text);
        x86_disassemble(&insn, &how, CODE_START, text, 8); /* cut off, not overrun */
    }
}

/* -- Translating */

/* Translates at `at`; returns how many bytes the block covers. */
static size_t translate(const Machine *m, Input *input, Arena *arena, size_t at)
{
    const Guest *guest = &guest_x86_64;
    IrRegion *region = ir_region_new(arena);

    region->helpers = guest->helpers;
    region->helper_count = guest->helper_count;
    region->slots = guest->slots;
    region->slot_count = guest->slot_count;
    u64 context = m->cpu.user_mode ? 0 : guest->system->context(&m->cpu);
    u64 pc = CODE_START + at - (u32)context;
    region->guest_pc = pc;
    GuestTranslation t = {.b = {region, ir_block_new(region)},
                          .pc = pc,
                          .mode = guest->mode(&m->cpu),
                          .context = context,
                          .state = &m->cpu,
                          .max_insns = 64,
                          .fetch = fetch,
                          .opaque = input};
    region->exact_fp = t.mode & GUEST_MODE_EXACT_FP;
    guest->translate(&t);
    ir_link_blocks(region);
    check(region, "translated");
    ir_optimize(region, true);
    check(region, "optimized");
    return t.end > t.pc ? t.end - t.pc : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Machine machine; /* large, and made anew for each input */
    Arena arena;

    if (size < 2) {
        return 0;
    }
    Input input = {data + 2, MIN(size - 2, (size_t)LARGEST_INPUT)};
    memset(&machine, 0, sizeof machine);
    choose_mode(&machine, data[0], data[1]);
    for (size_t at = 0; at < input.size; at++) {
        decode(&machine.cpu, guest_x86_64.mode(&machine.cpu), input.data + at, input.size - at);
    }
    arena_init(&arena);
    for (size_t at = 0; at < input.size;) {
        at += translate(&machine, &input, &arena, at);
        arena_reset(&arena);
    }
    arena_free(&arena);
    return 0;
}
