/* Random sequences of x86 instructions: see x86_sequence.h.
 *
 * An item is one instruction from the opcode tables, or a few that make sense only together: a
 * loop's count and its branch, an address and the return to it, a selector and its load. Branches
 * go to items. Loops end because those backwards count down in memory first.
 *
 * Instructions that read flags that an earlier one leaves undefined are not generated; where flags
 * may come from anywhere, as there are branches, only AF is ever undefined. */
#include "x86_sequence.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "guest/x86/state.h"
#include "x86_states.h"

typedef struct Maker {
    const X86SequenceOptions *options;
    X86Sequence *s;
    u64 *seed;
    unsigned code_bytes; /* of the code that is being made */
    u32 undefined;       /* flags */
} Maker;

static u64 bits(Maker *m)
{
    return random_next(m->seed);
}

static bool chance(Maker *m, unsigned one_in)
{
    return bits(m) % one_in == 0;
}

static bool wide(const Maker *m)
{
    return m->code_bytes == 8;
}

/* Bytes of an immediate of the default operand size. */
static unsigned immediate_bytes(const Maker *m)
{
    return m->code_bytes == 2 ? 2 : 4;
}

X86DecodeMode x86_sequence_mode(const u64 *features, unsigned code_bytes)
{
    return (X86DecodeMode){.code_size = (u8)code_bytes, .features = features};
}

/* -- Instructions from the tables */

/* Whether the outcome depends on the CPU, or the row has no handler yet (opcodes --list shows
 * those). */
static bool is_vague(const Maker *m, const X86Insn *insn)
{
    const X86Row *row = &x86_rows[insn->row];

    if (row->attributes & X86_APPROXIMATE && !m->options->accurate) {
        return true;
    }
    if (row->need[0] == X86_FEATURE_SHA && insn->operand[1].kind == X86_OPERAND_MEMORY) {
        return true; /* whether memory must be aligned */
    }
    if (!x86_handlers[insn->row]) {
        return true;
    }
    if (row->handler == X86_DO_MOVSX && insn->opcode == 0x63 && insn->operand_size == 2 &&
        insn->operand[1].kind == X86_OPERAND_MEMORY) {
        return true; /* MOVSXD of 16 bits: Intel's CPUs read so many, AMD's 32 */
    }
    return (row->handler == X86_DO_SHLD || row->handler == X86_DO_SHRD) &&
           insn->operand_size == 2; /* for counts above 16 */
}

/* Whether it shows all flags, also those that conditions cannot test. */
static bool shows_flags(const X86Row *row)
{
    return row->handler == X86_DO_PUSHF || row->handler == X86_DO_LAHF ||
           row->handler == X86_DO_AAA || row->handler == X86_DO_AAS || row->handler == X86_DO_DAA ||
           row->handler == X86_DO_DAS;
}

/* Whether the instruction may follow when `undefined` flags are; what is undefined after it. */
static bool flags_fit(const X86Row *row, u32 *undefined)
{
    if (row->attributes & INSN_READS_FLAGS &&
        *undefined & ~(shows_flags(row) ? 0u : (u32)X86_EFLAGS_AF)) {
        return false;
    }
    if (row->attributes & INSN_WRITES_FLAGS) {
        *undefined = 0;
    }
    *undefined |= row->undefined;
    return true;
}

static bool flags_fit_sequence(Maker *m, const X86Row *row)
{
    if (m->s->branches) {
        return !(row->undefined & ~X86_EFLAGS_AF) && !shows_flags(row);
    }
    return flags_fit(row, &m->undefined);
}

/* FNSTENV and FNSAVE store selectors that some processors have and others no longer do. */
static bool stores_selectors(const X86Insn *insn)
{
    return x86_rows[insn->row].handler == X86_DO_FNSTENV ||
           x86_rows[insn->row].handler == X86_DO_FNSAVE;
}

static X86Piece *new_piece(Maker *m)
{
    X86Piece *piece = &m->s->insn[m->s->count++];

    assert(m->s->count <= X86_INSNS_MAX);
    *piece = (X86Piece){.code_bytes = (u8)m->code_bytes, .item = (u8)m->s->items};
    return piece;
}

static void make_plain(Maker *m, bool prefixes)
{
    X86DecodeMode mode = x86_sequence_mode(m->options->features, m->code_bytes);
    u8 index = m->code_bytes == 8 ? x86_index_register(X86_FLAT64) : X86_RBP;
    X86Random how = {
        .next = random_next,
        .context = m->seed,
        .name = m->options->name,
        .mode = mode,
        .more_prefixes = prefixes,
        .avoid_gpr = (u16)(1u << X86_BASE_REGISTER | 1u << X86_RSP | 1u << index),
        .base = X86_BASE_REGISTER,
        .index = index,
        .displacement_min = -X86_DATA_SIZE / 2 + 64,
        .displacement_max = X86_DATA_SIZE / 2 - 128,
    };

    for (int tries = 0; tries < 100; tries++) {
        X86Insn insn;
        u8 bytes[X86_INSN_MAX];
        size_t size = x86_random(&how, bytes);
        if (size == 0) {
            fprintf(stderr, "x86 oracle: nothing is called '%s'\n", how.name ? how.name : "");
            exit(2);
        }
        x86_decode(bytes, size, &mode, &insn);
        if (is_vague(m, &insn) || (stores_selectors(&insn) && (m->s->count || m->s->branches)) ||
            !flags_fit_sequence(m, &x86_rows[insn.row])) {
            continue;
        }
        X86Piece *piece = new_piece(m);
        memcpy(piece->bytes, bytes, sizeof(bytes));
        piece->size = (u8)size;
        return;
    }
}

/* -- Instructions put together by hand */

static X86Piece *put(Maker *m, const u8 *bytes, unsigned size)
{
    X86Piece *piece = new_piece(m);

    memcpy(piece->bytes, bytes, size);
    piece->size = (u8)size;
    return piece;
}

#define PUT(m, ...) put(m, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static X86Piece *append(X86Piece *piece, u64 value, unsigned width)
{
    memcpy(piece->bytes + piece->size, &value, width);
    piece->size += (u8)width;
    return piece;
}

/* Appends what is known later. */
static X86Piece *append_fixup(X86Piece *piece, X86Fixup kind, unsigned width)
{
    piece->fixup = (u8)kind;
    piece->place = piece->size;
    piece->width = (u8)width;
    return append(piece, 0, width);
}

static void to_item(X86Piece *piece, unsigned item)
{
    piece->target = (u8)item;
}

static void to_insn_ahead(X86Piece *piece, unsigned insns)
{
    piece->ahead = (u8)insns;
}

static unsigned forward(Maker *m)
{
    return m->s->items + 1 + (unsigned)(bits(m) % 3);
}

static unsigned backward(Maker *m)
{
    return (unsigned)(bits(m) % (m->s->items + 1));
}

static X86Piece *push_value(Maker *m, u64 value)
{
    return append(PUT(m, 0x68), value, immediate_bytes(m));
}

static X86Piece *push_address(Maker *m)
{
    return append_fixup(PUT(m, 0x68), X86_FIX_ADDRESS, immediate_bytes(m));
}

/* An opcode with a ModRM byte of this middle field and an absolute address: flat code only. */
static X86Piece *put_absolute(Maker *m, const u8 *opcode, unsigned size, unsigned middle,
                              u32 address)
{
    X86Piece *piece = put(m, opcode, size);

    append(piece, middle << 3 | (wide(m) ? 4 : 5), 1);
    if (wide(m)) {
        append(piece, 0x25, 1);
    }
    return append(piece, address, 4);
}

#define PUT_ABSOLUTE(m, middle, address, ...)                                                      \
    put_absolute(m, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), middle, address)

/* -- Branches */

static void make_jump(Maker *m)
{
    unsigned kind = (unsigned)(bits(m) % 24), z = immediate_bytes(m);
    X86Piece *piece;

    if (kind < 8) {
        piece = append_fixup(PUT(m, (u8)(0x70 | bits(m) % 16)), X86_FIX_RELATIVE, 1);
    } else if (kind < 16) {
        piece = append_fixup(PUT(m, 0x0f, (u8)(0x80 | bits(m) % 16)), X86_FIX_RELATIVE, z);
    } else if (kind == 16) {
        piece = append_fixup(PUT(m, 0xeb), X86_FIX_RELATIVE, 1);
    } else if (kind == 17) {
        piece = append_fixup(PUT(m, 0xe9), X86_FIX_RELATIVE, z);
    } else if (chance(m, 4)) {
        piece = append_fixup(PUT(m, 0x67, (u8)(0xe0 | bits(m) % 4)), X86_FIX_RELATIVE, 1);
    } else {
        piece = append_fixup(PUT(m, (u8)(0xe0 | bits(m) % 4)), X86_FIX_RELATIVE, 1);
    }
    to_item(piece, forward(m));
}

/* Backwards, unless the count in memory has become negative. */
static void make_loop(Maker *m)
{
    static const u8 short_jumps[] = {0xeb, 0xe2, 0x75, 0x72, 0x7c};
    unsigned end = m->s->items + 1, kind = (unsigned)(bits(m) % 6);

    PUT_ABSOLUTE(m, 1, X86_COUNTER, 0xff);
    to_item(append_fixup(PUT(m, 0x78), X86_FIX_RELATIVE, 1), end);
    X86Piece *piece = kind < COUNT(short_jumps)
                          ? append_fixup(PUT(m, short_jumps[kind]), X86_FIX_RELATIVE, 1)
                          : append_fixup(PUT(m, 0xe9), X86_FIX_RELATIVE, 4);
    to_item(piece, backward(m));
}

static void make_call(Maker *m)
{
    to_item(append_fixup(PUT(m, 0xe8), X86_FIX_RELATIVE, immediate_bytes(m)), forward(m));
}

static void make_return(Maker *m)
{
    if (!chance(m, 4)) {
        to_item(push_address(m), forward(m));
    }
    if (chance(m, 2)) {
        PUT(m, 0xc3);
    } else {
        append(PUT(m, 0xc2), bits(m) % 9 * 4, 2);
    }
}

static void make_register_jump(Maker *m)
{
    static const u8 registers[] = {X86_RAX, X86_RCX, X86_RDX, X86_RSI, X86_RDI};
    u8 n = registers[bits(m) % COUNT(registers)];

    to_item(append_fixup(PUT(m, 0xb8 | n), X86_FIX_ADDRESS, immediate_bytes(m)), forward(m));
    PUT(m, 0xff, (u8)((chance(m, 2) ? 0xe0 : 0xd0) | n));
}

static void make_memory_jump(Maker *m)
{
    X86Piece *piece = wide(m) ? PUT_ABSOLUTE(m, 0, X86_POINTER, 0x48, 0xc7)
                              : PUT_ABSOLUTE(m, 0, X86_POINTER, 0xc7);

    to_item(append_fixup(piece, X86_FIX_ADDRESS, 4), forward(m));
    PUT_ABSOLUTE(m, chance(m, 2) ? 4 : 2, X86_POINTER, 0xff);
}

/* Appends the selector of the code that runs. */
static X86Piece *append_selector(X86Piece *piece, unsigned width)
{
    piece->selector_place = piece->size;
    return append(piece, 0, width);
}

static void make_far_jump(Maker *m)
{
    X86Piece *piece =
        append_fixup(PUT(m, chance(m, 2) ? 0xea : 0x9a), X86_FIX_ADDRESS, immediate_bytes(m));

    to_item(append_selector(piece, 2), forward(m));
}

static void make_far_memory_jump(Maker *m)
{
    X86Piece *piece = PUT_ABSOLUTE(m, 0, X86_POINTER, 0xc7);

    to_item(append_fixup(piece, X86_FIX_ADDRESS, 4), forward(m));
    append_selector(PUT_ABSOLUTE(m, 0, X86_POINTER + 4, 0x66, 0xc7), 2);
    PUT_ABSOLUTE(m, chance(m, 2) ? 5 : 3, X86_POINTER, 0xff);
}

static u64 random_flags(Maker *m)
{
    static const u32 rare[] = {X86_EFLAGS_TF,   X86_EFLAGS_NT, X86_EFLAGS_ID,
                               X86_EFLAGS_IOPL, X86_EFLAGS_IF, X86_EFLAGS_AC};
    u64 flags = 0x202 | (bits(m) & (X86_EFLAGS_STATUS | X86_EFLAGS_DF));

    for (unsigned i = 0; i < COUNT(rare); i++) {
        flags ^= chance(m, 12) ? rare[i] : 0;
    }
    return flags;
}

static void put_prefix(X86Piece *piece, u8 prefix)
{
    memmove(piece->bytes + 1, piece->bytes, piece->size++);
    piece->bytes[0] = prefix;
}

static void put_wide_prefix(X86Piece *piece)
{
    put_prefix(piece, 0x48);
}

static void make_far_return(Maker *m)
{
    bool interrupt = chance(m, 2);

    if (interrupt && wide(m)) {
        push_value(m, X86_SELECTOR_DATA);
        PUT(m, 0x54); /* push rsp */
    }
    if (interrupt) {
        push_value(m, random_flags(m));
    }
    if (chance(m, 16)) {
        push_value(m, x86_segments_any(m->seed));
    } else {
        append_selector(PUT(m, 0x68), immediate_bytes(m));
    }
    to_item(push_address(m), forward(m));
    X86Piece *piece = interrupt ? PUT(m, 0xcf) : PUT(m, 0xcb);
    if (wide(m)) {
        put_wide_prefix(piece);
    }
}

/* From 64-bit code to a few instructions of 32-bit code and back. */
static void make_excursion(Maker *m)
{
    push_value(m, X86_SELECTOR_CS32);
    to_insn_ahead(push_address(m), 2);
    put_wide_prefix(PUT(m, 0xcb));
    m->code_bytes = 4;
    append(PUT(m, 0xbd), bits(m) % 64, 4); /* mov ebp: the index register */
    for (u64 n = bits(m) % 3; n; n--) {
        make_plain(m, false);
    }
    X86Piece *piece = append_fixup(PUT(m, 0xea), X86_FIX_ADDRESS, 4);
    to_insn_ahead(append(piece, X86_SELECTOR_CS64, 2), 1);
    m->code_bytes = 8;
}

/* -- Other combinations */

static void make_flags(Maker *m)
{
    switch (bits(m) % 4) {
    case 0:
        PUT(m, 0xfc);
        return;
    case 1:
        PUT(m, 0xfd);
        return;
    default:
        push_value(m, random_flags(m));
        PUT(m, 0x9d);
        return;
    }
}

/* A frame for ENTER to copy pointers from, ENTER, LEAVE. */
static void make_enter(Maker *m)
{
    bool narrow = chance(m, 6);
    u64 size = chance(m, 8) ? bits(m) % 0x3000 : bits(m) % 64,
        level = chance(m, 2) ? 0 : bits(m) % 9;

    PUT(m, 0x55);
    if (m->code_bytes == 2) {
        PUT(m, 0x89, 0xe5);
    } else if (wide(m)) {
        PUT(m, 0x48, 0x8d, 0x6c, 0x24, (u8)(bits(m) % 8 * 8));
    } else {
        PUT(m, 0x8d, 0x6c, 0x24, (u8)(bits(m) % 8 * 4));
    }
    X86Piece *enter = narrow ? PUT(m, 0x66, 0xc8) : PUT(m, 0xc8);
    append(append(enter, size, 2), level, 1);
    if (narrow) {
        PUT(m, 0x66, 0xc9);
    } else {
        PUT(m, 0xc9);
    }
    PUT(m, 0x5d);
}

/* Into DS and SS only where segments have like bases. */
static void make_segment_load(Maker *m)
{
    static const u8 numbers[] = {X86_ES, X86_FS, X86_GS, X86_DS, X86_SS};
    bool based = m->s->environment >= X86_SEGMENTED32;
    u8 n = numbers[bits(m) % (based ? 5 : 3)];
    u16 selector = x86_segments_any(m->seed);

    if (wide(m) && !(selector & ~3)) {
        return; /* some processors keep the base */
    }
    if (chance(m, 2)) {
        append(PUT(m, 0xb8), selector, immediate_bytes(m)); /* mov eax */
        PUT(m, 0x8e, 0xc0 | (u8)(n << 3));
        return;
    }
    push_value(m, selector);
    if (n >= X86_FS) {
        PUT(m, 0x0f, n == X86_FS ? 0xa1 : 0xa9);
    } else if (!wide(m)) {
        PUT(m, (u8)(0x07 | n << 3));
    }
}

/* LAR, LSL, VERR, VERW */
static void make_segment_question(Maker *m)
{
    unsigned kind = (unsigned)(bits(m) % 4);

    append(PUT(m, 0xb8), x86_segments_any(m->seed) | 4, immediate_bytes(m));
    if (kind < 2) {
        PUT(m, 0x0f, kind ? 0x02 : 0x03, (u8)(0xc0 | X86_RDX << 3));
    } else {
        PUT(m, 0x0f, 0x00, (u8)(0xe0 | (kind & 1) << 3));
    }
}

/* A dividend extended into the upper half, as compilers do: CWD, CDQ or CQO and IDIV, XOR and DIV.
 */
static void make_division(Maker *m)
{
    static const u8 divisors[] = {X86_RAX, X86_RCX, X86_RSI, X86_RDI};
    u8 divisor = divisors[bits(m) % COUNT(divisors)];
    bool is_signed = chance(m, 2), other_width = chance(m, 4);
    u8 prefix = wide(m) ? 0x48 : 0x66;

    if (chance(m, 4)) {
        append(PUT(m, 0xb8 | divisor), bits(m) % 16 - 4, immediate_bytes(m));
    }
    X86Piece *extend = is_signed ? PUT(m, 0x99) : PUT(m, 0x31, 0xd2);
    X86Piece *divide = PUT(m, 0xf7, (u8)((is_signed ? 0xf8 : 0xf0) | divisor));
    if (other_width) {
        put_prefix(extend, prefix);
        put_prefix(divide, prefix);
    }
}

/* FXSAVE, FXRSTOR, XSAVE, XSAVEC, XRSTOR; the odd address is one for a fault. */
static void make_image(Maker *m)
{
    static const u8 middles[] = {0, 4, 4, 1, 5};
    unsigned kind = (unsigned)(bits(m) % COUNT(middles));
    u32 address = X86_IMAGE + (chance(m, 16) ? 8 : 0);
    u8 opcode = kind == 2 ? 0xc7 : 0xae;

    append(PUT(m, 0xb8), chance(m, 2) ? 7 : bits(m) & 7, 4); /* the host may have more */
    append(PUT(m, 0xba), chance(m, 2) ? 0 : bits(m), 4);
    if (wide(m) && chance(m, 2)) {
        PUT_ABSOLUTE(m, middles[kind], address, 0x48, 0x0f, opcode);
    } else {
        PUT_ABSOLUTE(m, middles[kind], address, 0x0f, opcode);
    }
}

/* FRSTOR and FLDENV, of anything but the pointers in an image, which depend on the CPU; the odd
 * address is one that faults in the middle. */
static void make_x87_image(Maker *m)
{
    u32 address =
        chance(m, 16) ? X86_DATA + X86_DATA_SIZE - 10 : X86_IMAGE + 32 + (u32)bits(m) % 256;

    PUT_ABSOLUTE(m, 4, address, chance(m, 2) ? 0xdd : 0xd9);
    PUT(m, 0x9b);
}

/* What is not for programs, and INT n. */
static void make_forbidden(Maker *m)
{
    static const u8 codes[][4] = {
        /* size, bytes */
        {1, 0xf4},             /* hlt */
        {1, 0xfa},             /* cli */
        {1, 0xfb},             /* sti */
        {2, 0xe4, 0x60},       /* in al, 60h */
        {1, 0xef},             /* out dx, eax */
        {1, 0x6c},             /* insb */
        {1, 0x6f},             /* outsd */
        {2, 0x0f, 0x06},       /* clts */
        {2, 0x0f, 0x08},       /* invd */
        {2, 0x0f, 0x09},       /* wbinvd */
        {3, 0x0f, 0x20, 0xc0}, /* mov eax, cr0 */
        {3, 0x0f, 0x22, 0xd8}, /* mov cr3, eax */
        {3, 0x0f, 0x21, 0xf8}, /* mov eax, dr7 */
        {2, 0x0f, 0x30},       /* wrmsr */
        {2, 0x0f, 0x32},       /* rdmsr */
        {3, 0x0f, 0x01, 0xf8}, /* swapgs */
        {3, 0x0f, 0x00, 0xd0}, /* lldt ax */
        {3, 0x0f, 0x01, 0xf0}, /* lmsw ax */
        {2, 0x0f, 0x0b},       /* ud2 */
        {1, 0xce},             /* into */
        {2, 0xcd, 3},          /* int 3, */
        {2, 0xcd, 4},          /* and others */
        {2, 0xcd, 1},
        {2, 0xcd, 14},
        {2, 0xcd, 0x2e},
        {2, 0xcd, 0xff},
    };
    const u8 *code = codes[bits(m) % COUNT(codes)];

    put(m, code + 1, code[0]);
}

enum {
    ON_64 = 1 << X86_FLAT64,
    ON_FLAT = 1 << X86_FLAT64 | 1 << X86_FLAT32,
    ON_32 = 1 << X86_FLAT32 | 1 << X86_SEGMENTED32,
    ON_NOT_64 = ON_32 | 1 << X86_SEGMENTED16,
    ON_ALL = ON_NOT_64 | ON_64,
};

static const struct Combination {
    void (*make)(Maker *m);
    u8 environments, weight;
    bool branches;
} combinations[] = {
    {make_jump, ON_ALL, 12, true},         {make_loop, ON_FLAT, 8, true},
    {make_call, ON_ALL, 3, true},          {make_return, ON_ALL, 4, true},
    {make_register_jump, ON_ALL, 2, true}, {make_memory_jump, ON_FLAT, 2, true},
    {make_far_jump, ON_NOT_64, 2, true},   {make_far_memory_jump, ON_FLAT, 1, true},
    {make_far_return, ON_ALL, 2, true},    {make_excursion, ON_64, 2, true},
    {make_flags, ON_ALL, 3, false},        {make_enter, ON_ALL, 2, false},
    {make_segment_load, ON_ALL, 2, false}, {make_segment_question, ON_ALL, 1, false},
    {make_image, ON_FLAT, 2, false},       {make_forbidden, ON_ALL, 1, false},
    {make_division, ON_ALL, 2, false},     {make_x87_image, ON_FLAT, 2, false},
};

/* -- Sequences */

/* Whether the pieces from `first` on decode and fit; counts them. */
static bool check_pieces(Maker *m, unsigned first)
{
    for (unsigned i = first; i < m->s->count; i++) {
        const X86Piece *piece = &m->s->insn[i];
        X86DecodeMode mode = x86_sequence_mode(m->options->features, piece->code_bytes);
        X86Insn insn;
        if (x86_decode(piece->bytes, X86_INSN_MAX, &mode, &insn) != X86_DECODE_OK) {
            continue; /* #UD on both sides, or so it should be */
        }
        if (!flags_fit_sequence(m, &x86_rows[insn.row])) {
            return false;
        }
        m->options->covered[insn.row]++;
    }
    return true;
}

static bool make_combination(Maker *m)
{
    u64 weight = 0, choice;
    const struct Combination *c;

    for (c = combinations; c < combinations + COUNT(combinations); c++) {
        weight += c->weight;
    }
    choice = bits(m) % weight;
    for (c = combinations; choice >= c->weight; c++) {
        choice -= c->weight;
    }
    if (!(c->environments >> m->s->environment & 1) || (c->branches && !m->s->branches)) {
        return false;
    }
    unsigned first = m->s->count;
    u32 undefined = m->undefined;
    c->make(m);
    if (!check_pieces(m, first)) {
        m->s->count = first;
        m->undefined = undefined;
    }
    return true;
}

static void make_item(Maker *m)
{
    unsigned first = m->s->count;

    if (m->options->name || !chance(m, m->s->branches ? 2 : 4) || !make_combination(m)) {
        make_plain(m, true);
        for (unsigned i = first; i < m->s->count; i++) {
            X86DecodeMode mode = x86_sequence_mode(m->options->features, m->code_bytes);
            X86Insn insn;
            x86_decode(m->s->insn[i].bytes, X86_INSN_MAX, &mode, &insn);
            m->options->covered[insn.row]++;
        }
    }
    m->s->items++;
}

static X86Environment choose_environment(unsigned bits, u64 choice)
{
    switch (bits) {
    case 16:
        return X86_SEGMENTED16;
    case 32:
        return choice % 4 ? X86_FLAT32 : X86_SEGMENTED32;
    case 64:
        return X86_FLAT64;
    default:
        return choice % 16 < 8    ? X86_FLAT64
               : choice % 16 < 13 ? X86_FLAT32
               : choice % 16 < 14 ? X86_SEGMENTED32
                                  : X86_SEGMENTED16;
    }
}

static u32 code_bytes(const X86Sequence *s)
{
    u32 size = 0;

    for (unsigned i = 0; i < s->count; i++) {
        size += s->insn[i].size;
    }
    return size;
}

void x86_sequence_make(const X86SequenceOptions *options, u64 seed, u32 address, X86Sequence *s)
{
    enum { ITEM_BYTES = 80 }; /* at most, and the last INT3 */
    Maker m = {.options = options, .s = s, .seed = &seed};
    unsigned length = 1 + (unsigned)(bits(&m) % options->length);

    memset(s, 0, sizeof(*s));
    s->environment = choose_environment(options->bits, bits(&m));
    s->c.long_mode = s->environment == X86_FLAT64;
    s->branches = length > 1 && !options->name && chance(&m, 3);
    m.code_bytes = x86_code_bytes(s->environment);
    x86_random_registers(&seed, s->environment, &s->c.registers);
    x86_random_memory(&seed, s->c.memory);
    x86_random_scratch(&seed, s->c.scratch);
    x86_segments_choose(s->environment, &seed, &s->c.registers);
    while (s->items < length && code_bytes(s) < X86_CODE_SLOT - ITEM_BYTES) {
        make_item(&m);
    }
    x86_sequence_assemble(s, address, 0);
}

/* -- Assembly */

static u32 target_of(const X86Sequence *s, unsigned n, u32 end)
{
    const X86Piece *piece = &s->insn[n];
    unsigned i = n + piece->ahead;

    if (!piece->ahead) {
        for (i = 0; i < s->count && s->insn[i].item < piece->target;) {
            i++;
        }
    }
    while (i < s->count && s->skipped[s->insn[i].item]) {
        i++;
    }
    return i < s->count ? s->insn[i].at : end;
}

/* What doesn't reach its target goes on behind itself. */
static void fix(X86Sequence *s, unsigned n, u32 end)
{
    X86Piece *piece = &s->insn[n];
    u32 target = target_of(s, n, end), next = piece->at + piece->size;
    s64 value =
        piece->fixup == X86_FIX_RELATIVE ? (s64)target - next : (s64)(s->c.registers.rip + target);

    if (piece->fixup == X86_FIX_RELATIVE && piece->width == 1 && value != (s8)value) {
        value = 0;
    }
    memcpy(piece->bytes + piece->place, &value, piece->width);
}

void x86_sequence_assemble(X86Sequence *s, u32 address, u32 skip)
{
    u32 at = 0;

    s->c.address = address;
    x86_segments_place(s->environment, address, &s->c.registers);
    for (unsigned i = 0; i < COUNT(s->skipped); i++) {
        s->skipped[i] = skip >> i & 1;
    }
    for (unsigned i = 0; i < s->count; i++) {
        X86Piece *piece = &s->insn[i];
        piece->at = at;
        at += s->skipped[piece->item] ? 0 : piece->size;
    }
    memset(s->c.code, 0xcc, sizeof(s->c.code));
    for (unsigned i = 0; i < s->count; i++) {
        X86Piece *piece = &s->insn[i];
        if (piece->fixup) {
            fix(s, i, at);
        }
        if (piece->selector_place) {
            memcpy(piece->bytes + piece->selector_place, &s->c.registers.segment.selector[X86_CS],
                   2);
        }
        if (!s->skipped[piece->item]) {
            memcpy(s->c.code + piece->at, piece->bytes, piece->size);
        }
    }
    s->c.code_size = at + 1;
    assert(s->c.code_size <= sizeof(s->c.code));
}

u32 x86_sequence_undefined(const X86Sequence *s, const u64 *features, u64 rip)
{
    u32 undefined = 0;

    if (s->branches) {
        return X86_EFLAGS_AF;
    }
    for (unsigned i = 0; i < s->count && s->c.registers.rip + s->insn[i].at < rip; i++) {
        X86DecodeMode mode = x86_sequence_mode(features, s->insn[i].code_bytes);
        X86Insn insn;
        if (!s->skipped[s->insn[i].item] &&
            x86_decode(s->insn[i].bytes, X86_INSN_MAX, &mode, &insn) == X86_DECODE_OK) {
            flags_fit(&x86_rows[insn.row], &undefined);
        }
    }
    return undefined;
}
