/* Lanes that change their width: widening, narrowing, products and pairwise sums of double width.
 * Logarithms of lanes are those of the narrow ones. */
#include "host/x86_64/vector.h"

/* pmovzx, pmovsx from lanes of 1, 2, 4 bytes to twice that. */
static const u32 extend[2][3] = {{P38(0x30), P38(0x33), P38(0x35)},
                                 {P38(0x20), P38(0x23), P38(0x25)}};

bool vector_widen(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 opcode = extend[insn->sub & IR_SIGNED][lane_log(insn)];

    if (!(insn->sub & IR_HIGH)) {
        return lower_single(c, value, opcode, insn->arg[0]);
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);
    vector_shuffle(c, to, from, 0xee);
    x86_vector2(&c->as, opcode, to, x86_reg(to));
    return true;
}

bool vector_narrow(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 low_halves[2][16] = {
        {0, 2, 4, 6, 8, 10, 12, 14, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
        {0, 1, 4, 5, 8, 9, 12, 13, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}};
    u32 log = lane_log(insn);

    return log == 2 ? lower_single_imm(c, value, V_PSHUFD, insn->arg[0], 0x08)
                    : lower_shuffle_bytes(c, value, insn->arg[0], low_halves[log]);
}

/* -- Saturating */

/* Quadwords to doublewords: the low ones where the high ones merely extend them. */
static void saturate_doublewords(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool from_signed = insn->sub & IR_SIGNED, to_unsigned = insn->sub & IR_TO_UNSIGNED;
    u8 x = use(c, insn->arg[0]), high = scratch_vector(c), mask = scratch_vector(c);
    u8 to = define(c, value, RA_EARLY);

    vector_shuffle(c, high, x, 0x0d);
    vector_shuffle(c, to, x, 0x08);
    if (!from_signed) { /* all ones unless high is 0 */
        vector_zero(c, mask);
        vector_op(c, V_PCMPEQD, mask, mask, high);
        vector3(c, V_PXOR, mask, mask, pool_lanes(c, 3, ~(u64)0));
        vector_op(c, V_POR, to, to, mask);
    } else if (to_unsigned) { /* all ones above 0, zero below */
        u8 above = scratch_vector(c);
        vector_zero(c, mask);
        vector_op(c, V_PCMPGTD, above, high, mask);
        vector_op(c, V_POR, to, to, above);
        vector_shift(c, VECTOR_SAR, 2, mask, high, 31);
        vector_op(c, V_PANDN, mask, mask, to);
        vector_move(c, to, mask);
    } else { /* the limit on the side of the sign unless high is all sign of low */
        vector_shift(c, VECTOR_SAR, 2, mask, to, 31);
        vector_op(c, V_PCMPEQD, mask, mask, high);
        vector_shift(c, VECTOR_SAR, 2, high, high, 31);
        vector3(c, V_PXOR, high, high, pool_lanes(c, 2, 0x7fffffff));
        vector_op(c, V_PXOR, to, to, high);
        vector_op(c, V_PAND, to, to, mask);
        vector_op(c, V_PXOR, to, to, high);
    }
}

bool vector_qnarrow(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 pack[2][2] = {{V_PACKUSWB, V_PACKUSDW}, {V_PACKSSWB, V_PACKSSDW}};
    bool from_signed = insn->sub & IR_SIGNED, to_unsigned = insn->sub & IR_TO_UNSIGNED;
    u32 log = lane_log(insn);

    if (log == 2) {
        saturate_doublewords(c, value, insn);
        return true;
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);
    if (!from_signed) { /* packing takes its source as signed */
        vector3(c, log == 0 ? V_PMINUW : V_PMINUD, to, from,
                pool_lanes(c, log + 1, log == 0 ? 0xff : 0xffff));
        from = to;
    }
    vector_op(c, pack[from_signed && !to_unsigned][log], to, from, from);
    return true;
}

/* -- Products and sums */

static void multiply_extended_bytes(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 y, u8 other)
{
    u32 opcode = extend[insn->sub & IR_SIGNED][0];

    if (insn->sub & IR_HIGH) {
        vector_shuffle(c, to, x, 0xee);
        vector_shuffle(c, other, y, 0xee);
        x = to;
        y = other;
    }
    x86_vector2(&c->as, opcode, to, x86_reg(x));
    x86_vector2(&c->as, opcode, other, x86_reg(y));
    vector_op(c, V_PMULLW, to, to, other);
}

static void multiply_words(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 y, u8 other)
{
    vector_op(c, V_PMULLW, to, x, y);
    vector_op(c, insn->sub & IR_SIGNED ? V_PMULHW : V_PMULHUW, other, x, y);
    vector_op(c, insn->sub & IR_HIGH ? V_PUNPCKHWD : V_PUNPCKLWD, to, to, other);
}

/* The CPU multiplies the even doublewords. */
static void multiply_doublewords(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 y, u8 other)
{
    u8 order = insn->sub & IR_HIGH ? 0x32 : 0x10;

    vector_shuffle(c, to, x, order);
    vector_shuffle(c, other, y, order);
    vector_op(c, insn->sub & IR_SIGNED ? V_PMULDQ : V_PMULUDQ, to, to, other);
}

bool vector_mull(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    switch (lane_log(insn)) {
    case 0:
        multiply_extended_bytes(c, insn, to, x, y, other);
        break;
    case 1:
        multiply_words(c, insn, to, x, y, other);
        break;
    default:
        multiply_doublewords(c, insn, to, x, y, other);
        break;
    }
    return true;
}

/* Multiplies by ones and adds pairs, where there is an instruction for it. */
static void add_pairs(Compiler *c, u32 log, bool is_signed, u8 to, u8 x, u8 other)
{
    if (log == 0 && is_signed) { /* the second operand is the signed one */
        x86_vector2(&c->as, V_MOVAPS, to, pool_lanes(c, 0, 1));
        vector_op(c, V_PMADDUBSW, to, to, x);
    } else if (log == 0) {
        vector3(c, V_PMADDUBSW, to, x, pool_lanes(c, 0, 1));
    } else if (log == 1 && is_signed) {
        vector3(c, V_PMADDWD, to, x, pool_lanes(c, 1, 1));
    } else if (!is_signed) {
        vector_shift(c, VECTOR_SHR, log + 1, other, x, 8u << log);
        vector3(c, V_PAND, to, x, pool_lanes(c, log + 1, log == 1 ? 0xffff : 0xffffffff));
        vector_op(c, vector_instruction(IR_ADD, log + 1), to, to, other);
    } else {
        vector_shift(c, VECTOR_SHR, 3, other, x, 32);
        vector3(c, V_PMULDQ, other, other, pool_lanes(c, 3, 1));
        vector3(c, V_PMULDQ, to, x, pool_lanes(c, 3, 1));
        vector_op(c, V_PADDQ, to, to, other);
    }
}

bool vector_paddl(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x = use(c, insn->arg[0]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    add_pairs(c, lane_log(insn), insn->sub & IR_SIGNED, to, x, other);
    return true;
}
