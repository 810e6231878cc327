/* Makes slots of random AArch64 instructions for the runner, and names instructions for reports.
 *
 *   insn-slots SEED COUNT CLASS...      writes Slots with COUNT instructions in all of these
 * classes of the .isa tables, or rows of them, to standard output insn-slots --disassemble WORD...
 * one line of assembler text per hexadecimal word
 *
 * The tables make most instructions. What they leave out because it goes elsewhere or needs company
 * (branches, exclusive pairs, system registers) comes from the class "control", made here. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "guest/aarch64/internal.h"
#include "slot.h"

enum { MAX_SEQUENCE = 8, MAX_OFFSET = 64, SP = 31 };

typedef struct Maker {
    u64 seed;
    const char **classes;
    unsigned class_count;
    unsigned base; /* register of the slot's memory instructions */
    bool skipping; /* the word before may skip the next one */
} Maker;

/* splitmix64 */
static u64 next(void *context)
{
    Maker *m = context;
    u64 z = m->seed += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static u32 pick(Maker *m, u32 below)
{
    return (u32)(next(m) % below);
}

/* -- The class "control" */

static unsigned branch_over(Maker *m, u32 *words)
{
    const u32 skip = 2 << 5; /* two words further */
    u32 rt = pick(m, 32), wide = pick(m, 2) << 31, negate = pick(m, 2) << 24;

    switch (pick(m, 4)) {
    case 0: /* CBZ, CBNZ */
        words[0] = 0x34000000 | wide | negate | skip | rt;
        break;
    case 1: /* TBZ, TBNZ */
        words[0] = 0x36000000 | wide | negate | pick(m, 32) << 19 | skip | rt;
        break;
    default: /* B.cond */
        words[0] = 0x54000000 | skip | pick(m, 16);
    }
    m->skipping = true;
    return 1;
}

/* B, BL, or ADR and BR, BLR, RET, to the next word. Not through the zero register. */
static unsigned branch_next(Maker *m, u32 *words)
{
    static const u32 indirect[] = {0xd61f0000, 0xd63f0000, 0xd65f0000};
    u32 rn = pick(m, INDEX_REGISTER);

    if (pick(m, 2)) {
        words[0] = 0x14000001 | pick(m, 2) << 31;
        return 1;
    }
    words[0] = 0x10000000 | 2 << 5 | rn;
    words[1] = indirect[pick(m, 3)] | rn << 5;
    return 2;
}

/* FPSR is written without the bits that only CPUs with AArch32 keep. */
static unsigned system_register(Maker *m, u32 *words)
{
    static const u32 reads[] = {0xd53b4200, 0xd53b4400, 0xd53b4420, 0xd53b00e0};
    const u32 write_nzcv = 0xd51b4200, write_fpsr = 0xd51b4420;
    u32 rt = pick(m, INDEX_REGISTER);

    switch (pick(m, 4)) {
    case 0:
        words[0] = write_nzcv | rt;
        return 1;
    case 1:
        words[0] = 0x92400000 | 27 << 10 | rt << 5 | rt; /* and xt, xt, #0xfffffff */
        words[1] = write_fpsr | rt;
        return 2;
    default:
        words[0] = reads[pick(m, COUNT(reads))] | rt;
        return 1;
    }
}

/* A load-exclusive and a store-exclusive, of single registers or of pairs; perhaps with CLREX
 * between. Sizes are equal and registers distinct, as the manual wants them. */
static unsigned exclusive_pair(Maker *m, u32 *words)
{
    u32 pair = pick(m, 2), rn = m->base << 5;
    u32 size = (pair ? 2 + pick(m, 2) : pick(m, 4)) << 30;
    u32 order = pick(m, 2) << 15, clear = !pick(m, 8);
    u32 rt = pick(m, 8), rt2 = 8 + pick(m, 8), rs = 16 + pick(m, 8);
    u32 shape = size | pair << 21 | order | (pair ? rt2 : 0x1f) << 10 | rn;
    unsigned n = 0;

    words[n++] = 0x08400000 | 0x1f << 16 | shape | rt;
    if (clear) {
        words[n++] = 0xd5033f5f;
    }
    words[n++] = 0x08000000 | rs << 16 | shape | pick(m, 8);
    return n;
}

/* Barriers, DC ZVA, BRK, UDF. */
static unsigned other_control(Maker *m, u32 *words)
{
    static const u32 all[] = {0xd5033bbf, 0xd5033b9f, 0xd5033fdf, 0xd503203f, 0xd503203f};

    switch (pick(m, 8)) {
    case 0:
        words[0] = 0xd4200000 | pick(m, 0x10000) << 5;
        break;
    case 1:
        words[0] = pick(m, 0x10000);
        break;
    case 2:
        words[0] = 0xd50b7420 | BASE_REGISTER;
        break;
    default:
        words[0] = all[pick(m, COUNT(all))];
    }
    return 1;
}

static unsigned make_control(Maker *m, u32 *words)
{
    static unsigned (*const several[])(Maker *, u32 *) = {branch_next, system_register,
                                                          exclusive_pair};

    if (!m->skipping && pick(m, 2)) { /* only all of these words together make sense */
        return several[pick(m, COUNT(several))](m, words);
    }
    return pick(m, 4) ? branch_over(m, words) : other_control(m, words);
}

/* -- Slots */

static unsigned make_words(Maker *m, u32 *words)
{
    const char *class_name = m->classes[pick(m, m->class_count)];
    InsnRandom how = {
        .next = next,
        .context = m,
        .class_name = class_name,
        .features = AARCH64_FEATURES,
        .confine = true,
        .base = (u8)m->base,
        .index = INDEX_REGISTER,
        .avoid = 1u << m->base | 1u << INDEX_REGISTER,
        .offset_min = -MAX_OFFSET,
        .offset_max = MAX_OFFSET,
    };

    if (strcmp(class_name, "control") == 0) {
        return make_control(m, words);
    }
    words[0] = aarch64_random(&how);
    m->skipping = false;
    return 1;
}

/* The slot's flags that the word calls for. */
static u16 flags_for(u32 word)
{
    const u32 dc_zva = 0xd50b7420;
    Aarch64Insn insn;
    u32 attributes;

    if (!aarch64_decode(word, AARCH64_FEATURES, &insn)) {
        return 0;
    }
    attributes = aarch64_attributes(&insn);
    attributes |= (word & ~31u) == dc_zva ? INSN_STORES : 0;
    return (attributes & (INSN_LOADS | INSN_STORES) ? SLOT_MEMORY : 0) |
           (attributes & INSN_ENDS ? SLOT_BLOCKS : 0);
}

static void make_slot(Maker *m, Slot *slot)
{
    unsigned length = 1 + pick(m, MAX_SEQUENCE);

    m->skipping = false;
    *slot = (Slot){.seed = next(m)};
    m->base = pick(m, 4) ? BASE_REGISTER : SP;
    if (pick(m, 4) == 0) { /* AHP, DN, FZ, RMode */
        slot->fpcr = (pick(m, 2) ? pick(m, 32) : pick(m, 4)) << 22;
    }
    while (slot->count < length) {
        slot->count += (uint16_t)make_words(m, &slot->words[slot->count]);
    }
    assert(slot->count <= SLOT_WORDS);
    for (unsigned i = 0; i < slot->count; i++) {
        slot->flags |= flags_for(slot->words[i]);
    }
}

static int make_slots(Maker *m, u64 count)
{
    for (u64 made = 0; made < count;) {
        Slot slot;
        make_slot(m, &slot);
        made += slot.count;
        if (fwrite(&slot, sizeof(slot), 1, stdout) != 1) {
            perror("insn-slots");
            return 1;
        }
    }
    return fflush(stdout) != 0;
}

static void disassemble(char **words)
{
    for (; *words; words++) {
        char text[128];
        aarch64_disasm((u32)strtoul(*words, NULL, 16), 0, text, sizeof(text));
        puts(text);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--disassemble") == 0) {
        disassemble(argv + 2);
        return 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: insn-slots SEED COUNT CLASS... | --disassemble WORD...\n");
        return 2;
    }
    Maker m = {
        .seed = strtoull(argv[1], NULL, 0),
        .classes = (const char **)argv + 3,
        .class_count = (unsigned)argc - 3,
    };
    return make_slots(&m, strtoull(argv[2], NULL, 0));
}
