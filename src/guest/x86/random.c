/* The maker of random x86 instructions: chooses a row, builds an encoding of it from random parts,
 * and lets the decoder judge. Rows are equally likely; values lean to the extremes.
 * Must be reproducible: everything random comes from X86Random.next. */
#include <string.h>

#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "guest/x86/state.h"

typedef struct Maker {
    const X86Random *how;
    const X86Row *row;
    u8 *bytes;
    unsigned size;
    bool narrow_address; /* 16 bits */
} Maker;

static u64 random_bits(Maker *m)
{
    return m->how->next(m->how->context);
}

static bool chance(Maker *m, unsigned one_in)
{
    return random_bits(m) % one_in == 0;
}

static void put_byte(Maker *m, unsigned byte)
{
    m->bytes[m->size++] = (u8)byte;
}

/* -- Rows */

static bool named(const X86Row *row, const char *name)
{
    return strcmp(row->name, name) == 0 || strcmp(row->class_name, name) == 0;
}

static bool has_need(const X86Random *how, unsigned feature)
{
    return feature == X86_FEATURE_NONE || x86_has(how->mode.features, feature);
}

static bool wanted(const X86Random *how, const X86Row *row)
{
    u32 special = INSN_NOT_RANDOM | INSN_ENDS | X86_CPL0 | X86_IO;

    if (!has_need(how, row->need[0]) || !has_need(how, row->need[1])) {
        return false;
    }
    if (how->name && strcmp(row->name, how->name) == 0) {
        return true;
    }
    return (!how->name || named(row, how->name)) && (how->any_row || !(row->attributes & special));
}

static const X86Row *choose_row(Maker *m)
{
    unsigned count = 0, row;

    for (unsigned tries = 0; tries < 16 && !m->how->name; tries++) { /* most rows will do */
        row = (unsigned)(random_bits(m) % X86_ROW_COUNT);
        if (wanted(m->how, &x86_rows[row])) {
            return &x86_rows[row];
        }
    }
    for (row = 0; row < X86_ROW_COUNT; row++) {
        count += wanted(m->how, &x86_rows[row]);
    }
    if (count == 0) {
        return NULL;
    }
    unsigned n = (unsigned)(random_bits(m) % count);
    for (row = 0;; row++) {
        if (wanted(m->how, &x86_rows[row]) && n-- == 0) {
            return &x86_rows[row];
        }
    }
}

/* -- Prefixes */

/* One of the mandatory prefixes that select the row, and perhaps 66 where it is the operand size.
 */
static void put_mandatory(Maker *m)
{
    static const u8 bytes[] = {0, 0x66, 0xf3, 0xf2};
    u8 accepted = m->row->prefixes;
    unsigned choice;

    if (m->row->attributes & (X86_REP | X86_REPZ)) {
        choice = (unsigned)(random_bits(m) % 4);
        choice = choice == 1 ? 0 : choice;
    } else if (accepted & X86_MANDATORY_NONE) {
        choice = accepted & X86_MANDATORY_66 && chance(m, 4);
    } else {
        do {
            choice = (unsigned)(random_bits(m) % 4);
        } while (!(accepted >> choice & 1));
    }
    if (choice != 1 && accepted != X86_MANDATORY_NONE && accepted != X86_MANDATORY_66 &&
        chance(m, 4)) {
        put_byte(m, 0x66);
    }
    if (choice) {
        put_byte(m, bytes[choice]);
    }
}

static void put_prefixes(Maker *m)
{
    static const u8 segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    bool wide = m->how->mode.code_size == 8;

    if (m->row->lock && chance(m, 4)) {
        put_byte(m, 0xf0);
    }
    m->narrow_address = m->how->mode.code_size == 2;
    if ((wide || m->how->more_prefixes) && chance(m, 8)) {
        put_byte(m, 0x67);
        m->narrow_address = m->how->mode.code_size == 4;
    }
    if (m->how->more_prefixes && chance(m, 6)) {
        put_byte(m, segments[random_bits(m) % COUNT(segments)]);
    }
    if (m->row->map < X86_MAP_VEX) {
        put_mandatory(m);
        if (m->how->mode.code_size == 8 && !chance(m, 3)) {
            unsigned w = m->row->demands & X86_DEMAND_W1 ? 8 : (unsigned)(random_bits(m) & 8);
            put_byte(m, 0x40 | w | (unsigned)(random_bits(m) & 7));
        }
    }
}

/* -- Opcodes */

static bool has_vvvv(const X86Row *row)
{
    for (unsigned i = 0; i < row->operand_count; i++) {
        if (row->operand[i].code == X86_CODE_H || row->operand[i].code == X86_CODE_B) {
            return true;
        }
    }
    return false;
}

/* A bit that the row may demand to be 0 or 1. */
static unsigned demanded_bit(Maker *m, unsigned zero, unsigned one)
{
    return m->row->demands & one ? 1 : m->row->demands & zero ? 0 : (unsigned)(random_bits(m) & 1);
}

static void put_vex(Maker *m)
{
    bool long_mode = m->how->mode.code_size == 8;
    unsigned rxb = long_mode ? (unsigned)(random_bits(m) & 7) : 7;
    unsigned vvvv = has_vvvv(m->row) ? (unsigned)(random_bits(m) & 15) : 15;
    unsigned pp = (unsigned)__builtin_ctz(m->row->prefixes);
    unsigned w = demanded_bit(m, X86_DEMAND_W0, X86_DEMAND_W1);
    unsigned last = (long_mode ? vvvv : vvvv | 8) << 3 | pp |
                    demanded_bit(m, X86_DEMAND_L0, X86_DEMAND_L1) << 2;

    if (m->row->map == X86_MAP_VEX && !w && (rxb & 3) == 3 && chance(m, 2)) {
        put_byte(m, 0xc5);
        put_byte(m, rxb >> 2 << 7 | last);
        return;
    }
    put_byte(m, 0xc4);
    put_byte(m, rxb << 5 | (m->row->map - X86_MAP_VEX + 1u));
    put_byte(m, w << 7 | last);
}

static void put_opcode(Maker *m)
{
    if (m->row->map >= X86_MAP_VEX) {
        put_vex(m);
    } else if (m->row->map != X86_MAP_ONE) {
        put_byte(m, 0x0f);
    }
    if (m->row->map == X86_MAP_0F38 || m->row->map == X86_MAP_0F3A) {
        put_byte(m, m->row->map == X86_MAP_0F38 ? 0x38 : 0x3a);
    }
    put_byte(m, m->row->opcode + (unsigned)(random_bits(m) % m->row->opcode_count));
}

/* -- ModRM */

static bool is_confined(const Maker *m)
{
    return m->how->base != X86_NO_REGISTER;
}

static void put_displacement(Maker *m, unsigned size)
{
    u64 range = (u64)((s64)m->how->displacement_max - m->how->displacement_min) + 1;
    s64 value = (s64)(random_bits(m) % range) + m->how->displacement_min;

    if (chance(m, 2)) {
        value &= ~(s64)31; /* what aligned vectors need */
    }
    for (unsigned i = 0; i < size; i++) {
        put_byte(m, (u8)(value >> (8 * i)));
    }
}

/* [BX], which the base must be, sometimes with SI or DI. */
static void put_narrow_memory(Maker *m, unsigned reg)
{
    enum { BX_SI = 0, BX_DI = 1, BX = 7 };
    unsigned mod = chance(m, 2) ? 1 : 2;
    unsigned rm = chance(m, 8) ? (chance(m, 2) ? BX_SI : BX_DI) : BX;

    put_byte(m, mod << 6 | reg << 3 | rm);
    put_displacement(m, mod);
}

/* Memory at the registers that the request names. REX is there if one of them needs it, or wrong by
 * chance; the caller looks. */
static void put_confined_memory(Maker *m, unsigned reg)
{
    if (m->narrow_address) {
        put_narrow_memory(m, reg);
        return;
    }
    bool index = m->row->vsib || chance(m, 3), sib = index || (m->how->base & 7) == 4;
    unsigned mod = chance(m, 2) ? 1 : 2;

    put_byte(m, mod << 6 | reg << 3 | (sib ? 4u : m->how->base & 7u));
    if (sib) {
        unsigned number = m->row->vsib ? (unsigned)random_bits(m) & 7 : m->how->index & 7u;
        put_byte(m, (unsigned)(random_bits(m) & 3) << 6 | (index ? number : 4) << 3 |
                        (m->how->base & 7u));
    }
    put_displacement(m, mod == 1 ? 1 : 4);
}

static void put_modrm(Maker *m)
{
    unsigned byte = (unsigned)(random_bits(m) & ~m->row->modrm_mask & 0xff) | m->row->modrm_bits;
    bool fixed_mod = (m->row->modrm_mask & 0xc0) == 0xc0;

    if (!fixed_mod && m->row->demands & X86_DEMAND_MEMORY) {
        byte &= chance(m, 2) ? 0x3f : 0x7f;
    } else if (!fixed_mod && chance(m, 2)) {
        byte |= 0xc0;
    }
    if (byte < 0xc0 && is_confined(m)) {
        put_confined_memory(m, byte >> 3 & 7);
    } else {
        put_byte(m, byte);
    }
}

/* -- Judgement */

static bool address_fits(const Maker *m, const X86Insn *insn)
{
    const X86Memory *memory = &insn->memory;
    bool indexed = memory->index != X86_NO_REGISTER;

    return memory->base == m->how->base &&
           (!indexed || m->row->vsib || memory->index == m->how->index || m->narrow_address) &&
           memory->displacement >= m->how->displacement_min &&
           memory->displacement <= m->how->displacement_max;
}

static bool registers_fit(const Maker *m, const X86Insn *insn)
{
    for (unsigned n = 0; n < insn->operand_count; n++) {
        const X86Operand *operand = &insn->operand[n];
        bool general = operand->kind == X86_OPERAND_GPR || operand->kind == X86_OPERAND_GPR_HIGH;
        if (general && operand->access & X86_WRITE && m->how->avoid_gpr >> operand->number & 1) {
            return false;
        }
    }
    return true;
}

static bool acceptable(const Maker *m, const X86Insn *insn)
{
    if (&x86_rows[insn->row] != m->row) {
        return false;
    }
    for (unsigned n = 0; is_confined(m) && n < insn->operand_count; n++) {
        unsigned code = m->row->operand[n].code;
        if (insn->operand[n].kind == X86_OPERAND_MEMORY && code != X86_CODE_XB &&
            (code == X86_CODE_O || !address_fits(m, insn))) {
            return false;
        }
    }
    return registers_fit(m, insn);
}

/* One try; 0 if nothing came of it. */
static size_t make(Maker *m)
{
    X86Insn insn;

    m->size = 0;
    put_prefixes(m);
    put_opcode(m);
    if (x86_opcodes[m->row->map][m->row->opcode]->modrm) {
        put_modrm(m);
    }
    u64 fill = chance(m, 4) ? 0 : chance(m, 4) ? ~(u64)0 : 0x5a00ff7f80ffff80;
    for (u64 more = random_bits(m) ^ (chance(m, 2) ? random_bits(m) : fill); m->size < X86_INSN_MAX;
         more = more >> 8 | more << 56) {
        put_byte(m, (u8)more);
    }
    if (x86_decode(m->bytes, X86_INSN_MAX, &m->how->mode, &insn) != X86_DECODE_OK ||
        !acceptable(m, &insn)) {
        return 0;
    }
    return insn.size;
}

size_t x86_random(const X86Random *how, u8 bytes[X86_INSN_MAX])
{
    enum { ROWS = 1000, TRIES = 100 }; /* a row may not be able to do as asked */
    u8 buffer[2 * X86_INSN_MAX];
    Maker m = {.how = how, .bytes = buffer};

    for (int i = 0; i < ROWS; i++) {
        m.row = choose_row(&m);
        for (int j = 0; m.row && j < TRIES; j++) {
            size_t size = make(&m);
            if (size) {
                memcpy(bytes, buffer, X86_INSN_MAX);
                return size;
            }
        }
    }
    return 0;
}
