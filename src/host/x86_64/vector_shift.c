/* Shifts of vector lanes. x86 has none of bytes, no arithmetic one of quadwords, and variable ones
 * of doublewords and quadwords only. */
#include "host/x86_64/vector.h"

/* Bytes: words are shifted, and what came from the neighbour is masked out. */
static void shift_bytes(Compiler *c, VectorShift shift, u8 to, u8 from, u32 count)
{
    bool left = shift == VECTOR_SHL;

    vector_shift(c, left ? VECTOR_SHL : VECTOR_SHR, 1, to, from, count);
    vector3(c, V_PAND, to, to, pool_lanes(c, 0, left ? 0xffu << count & 0xff : 0xffu >> count));
    if (shift == VECTOR_SAR) { /* extends the sign: (x ^ sign) - sign */
        X86Rm sign = pool_lanes(c, 0, 0x80u >> count);
        vector3(c, V_PXOR, to, to, sign);
        vector3(c, V_PSUBB, to, to, sign);
    }
}

static void shift_quads_arithmetically(Compiler *c, u8 to, u8 from, u32 count)
{
    u8 sign = scratch_vector(c);

    vector_shuffle(c, sign, from, 0xf5); /* the high doublewords */
    vector_shift(c, VECTOR_SAR, 2, sign, sign, 31);
    vector_shift(c, VECTOR_SHL, 3, sign, sign, 64 - count);
    vector_shift(c, VECTOR_SHR, 3, to, from, count);
    vector_op(c, V_POR, to, to, sign);
    ra_release(&c->ra, sign + VECTOR);
}

void shift_lanes(Compiler *c, VectorShift shift, u32 log, u8 to, u8 from, u32 count)
{
    if (log == 0) {
        shift_bytes(c, shift, to, from, count);
    } else if (log == 3 && shift == VECTOR_SAR) {
        shift_quads_arithmetically(c, to, from, count);
    } else {
        vector_shift(c, shift, log, to, from, count);
    }
}

bool vector_shift_imm(Compiler *c, IrVal value, const IrInsn *insn)
{
    VectorShift shift = insn->op == IR_VSHL   ? VECTOR_SHL
                        : insn->op == IR_VSHR ? VECTOR_SHR
                                              : VECTOR_SAR;
    u32 log = lane_log(insn), bits = lane_bits(insn);
    u64 count = insn->imm;

    if (count == 0) {
        return lower_same(c, value, insn->arg[0]);
    }
    if (count >= bits && shift != VECTOR_SAR) {
        return lower_zero(c, value);
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, RA_EARLY);
    if (shift == VECTOR_SAR && count >= bits - 1 && (log == 0 || log == 3)) {
        vector_zero(c, to);
        vector_op(c, log == 0 ? PD(0x64) : V_PCMPGTQ, to, to, from); /* 0 > x */
    } else {
        shift_lanes(c, shift, log, to, from, (u32)MIN(count, bits - 1));
    }
    return true;
}

/* x >> n with the last bit shifted out added. */
bool vector_rounding_shift(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn), bits = lane_bits(insn), count = (u32)insn->imm;
    bool is_signed = insn->sub & IR_SIGNED;

    if (count == bits && is_signed) {
        return lower_zero(c, value);
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, RA_EARLY);
    if (count == bits) { /* only the last bit is left */
        shift_lanes(c, VECTOR_SHR, log, to, from, bits - 1);
        return true;
    }
    shift_lanes(c, is_signed ? VECTOR_SAR : VECTOR_SHR, log, to, from, count);
    u8 last = scratch_vector(c);
    if (count > 1) {
        vector_shift(c, VECTOR_SHR, MAX(log, 1u), last, from, count - 1);
        from = last;
    }
    vector3(c, V_PAND, last, from, pool_lanes(c, log, 1));
    vector_op(c, vector_instruction(IR_ADD, log), to, to, last);
    return true;
}

/* -- By a count per lane, with AVX2. Counts are signed, negative ones shift right; the CPU takes
 * them as unsigned, so that a shift in the wrong direction gives 0 (or the sign). */

enum {
    V_PSLLV = P38(0x47), /* X86_W: quadwords */
    V_PSRLV = P38(0x45),
    V_PSRAVD = P38(0x46),
    V_BLENDVPS = P3A(0x4a), /* by the sign of each lane of a fourth register, VEX form */
    V_BLENDVPD = P3A(0x4b),
};

/* The sign-extended low byte of each lane. */
static void extract_counts(Compiler *c, u32 log, u8 to, u8 from)
{
    static const u8 low_bytes[2][16] = {{0, 4, 8, 12}, {0, 8}};

    vector3(c, V_PSHUFB, to, from, pool_rm(c, low_bytes[log - 2], 16));
    x86_vector2(&c->as, log == 2 ? P38(0x21) : P38(0x22), to, x86_reg(to)); /* pmovsxbd, -bq */
}

static void negate(Compiler *c, u32 log, u8 to, u8 from)
{
    vector_zero(c, to);
    vector_op(c, vector_instruction(IR_SUB, log), to, to, from);
}

/* to = x >> count, unsigned. With rounding, `bit` is the last bit shifted out, by count - 1. */
static void shift_right_unsigned(Compiler *c, u32 log, u8 to, u8 x, u8 count, u8 bit, bool rounding)
{
    u32 shift = V_PSRLV | (log == 3 ? X86_W : 0);

    if (rounding) {
        vector3(c, vector_instruction(IR_ADD, log), bit, count, pool_lanes(c, 3, ~(u64)0));
        x86_vex(&c->as, shift, bit, x, x86_reg(bit), 0);
        vector3(c, V_PAND, bit, bit, pool_lanes(c, log, 1));
    }
    x86_vex(&c->as, shift, to, x, x86_reg(count), 0);
    if (rounding) {
        vector_op(c, vector_instruction(IR_ADD, log), to, to, bit);
    }
}

static void shift_right_signed32(Compiler *c, u8 to, u8 x, u8 count, u8 bit, bool rounding)
{
    if (rounding) {
        vector3(c, V_PADDD, bit, count, pool_lanes(c, 3, ~(u64)0));
        x86_vex(&c->as, V_PSRAVD, bit, x, x86_reg(bit), 0);
        vector3(c, V_PAND, bit, bit, pool_lanes(c, 2, 1));
    }
    x86_vex(&c->as, V_PSRAVD, to, x, x86_reg(count), 0);
    if (rounding) {
        vector_op(c, V_PADDD, to, to, bit);
    }
}

/* By way of the bits that differ from the sign; `sign` is free for it. */
static void shift_right_signed64(Compiler *c, u8 to, u8 x, u8 count, u8 different, u8 sign)
{
    vector_zero(c, sign);
    vector_op(c, V_PCMPGTQ, sign, sign, x);
    vector_op(c, V_PXOR, different, x, sign);
    x86_vex(&c->as, V_PSRLV | X86_W, to, different, x86_reg(count), 0);
    vector_op(c, V_PXOR, to, to, sign);
}

/* x = right where the count is negative, else x. */
static void select_right(Compiler *c, u32 log, u8 x, u8 right, u8 count)
{
    x86_vex(&c->as, log == 2 ? V_BLENDVPS : V_BLENDVPD, x, x, x86_reg(right), 1);
    x86_byte(&c->as, (u8)(count << 4));
}

/* The lane of 2^log bytes at bit `position` of each doubleword, extended to all of it. */
static void extend_part(Compiler *c, u32 log, u8 to, u8 from, u32 position, bool is_signed)
{
    u32 bits = 8u << log;

    vector_shift(c, VECTOR_SHL, 2, to, from, 32 - bits - position);
    vector_shift(c, is_signed ? VECTOR_SAR : VECTOR_SHR, 2, to, to, 32 - bits);
}

/* Shifts one part of the doublewords, extended: nothing overflows there. Rounding adds 1 before the
 * last bit is shifted out. */
static void shift_part(Compiler *c, const IrInsn *insn, u8 x, u8 count, u8 right)
{
    bool is_signed = insn->sub & IR_SIGNED, rounding = insn->sub & IR_ROUNDING;

    if (rounding) { /* -count - 1 */
        vector3(c, V_PXOR, right, count, pool_lanes(c, 3, ~(u64)0));
    } else {
        negate(c, 2, right, count);
    }
    x86_vex(&c->as, is_signed ? V_PSRAVD : V_PSRLV, right, x, x86_reg(right), 0);
    if (rounding) {
        vector3(c, V_PADDD, right, right, pool_lanes(c, 2, 1));
        vector_shift(c, is_signed ? VECTOR_SAR : VECTOR_SHR, 2, right, right, 1);
    }
    x86_vex(&c->as, V_PSLLV, x, x, x86_reg(count), 0);
    select_right(c, 2, x, right, count);
}

/* Bytes and words are shifted as doublewords, one part of these after the other. */
static void shift_narrow(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn), bits = lane_bits(insn);
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 part = scratch_vector(c), count = scratch_vector(c), right = scratch_vector(c);
    u8 to = define(c, value, RA_EARLY);

    for (u32 position = 0; position < 32; position += bits) {
        extend_part(c, log, part, x, position, insn->sub & IR_SIGNED);
        extend_part(c, 0, count, y, position, true);
        shift_part(c, insn, part, count, right);
        vector_shift(c, VECTOR_SHL, 2, part, part, 32 - bits);
        vector_shift(c, VECTOR_SHR, 2, position ? part : to, part, 32 - bits - position);
        if (position) {
            vector_op(c, V_POR, to, to, part);
        }
    }
}

bool vector_shift_variable(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn), left = V_PSLLV | (log == 3 ? X86_W : 0);
    bool is_signed = insn->sub & IR_SIGNED, rounding = insn->sub & IR_ROUNDING;

    if (!has_feature(c, X86_AVX2) || (log == 3 && is_signed && rounding)) {
        return false;
    }
    if (log < 2) {
        shift_narrow(c, value, insn);
        return true;
    }
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 count = scratch_vector(c), right = scratch_vector(c), bit = scratch_vector(c);
    u8 to = define(c, value, RA_EARLY);
    extract_counts(c, log, count, y);
    negate(c, log, right, count);
    if (!is_signed) {
        shift_right_unsigned(c, log, right, x, right, bit, rounding);
        x86_vex(&c->as, left, to, x, x86_reg(count), 0);
        vector_op(c, V_POR, to, to, right);
        return true;
    }
    if (log == 2) {
        shift_right_signed32(c, right, x, right, bit, rounding);
    } else {
        shift_right_signed64(c, right, x, right, bit, to);
    }
    x86_vex(&c->as, left, to, x, x86_reg(count), 0);
    select_right(c, log, to, right, count);
    return true;
}
