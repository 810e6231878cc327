/* Integer arithmetic and bit operations on lanes, where they take more than one instruction. */
#include "host/x86_64/vector.h"

bool vector_not(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);

    vector3(c, V_PXOR, to, from, pool_lanes(c, 3, ~(u64)0));
    return true;
}

bool vector_neg(Compiler *c, IrVal value, const IrInsn *insn)
{
    X86Rm from = vector_rm(c, insn->arg[0]);
    u8 to = define(c, value, RA_EARLY);

    vector_zero(c, to);
    vector3(c, vector_instruction(IR_SUB, lane_log(insn)), to, to, from);
    return true;
}

bool vector_bsl(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 mask = use(c, insn->arg[0]), x = use(c, insn->arg[1]), y = use(c, insn->arg[2]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    vector_op(c, V_PAND, to, mask, x);
    vector_op(c, V_PANDN, other, mask, y);
    vector_op(c, V_POR, to, to, other);
    return true;
}

/* The sign of each lane in all its bits; `to` differs from `from`. */
static void sign_mask(Compiler *c, u32 log, u8 to, u8 from)
{
    static const u32 greater[4] = {PD(0x64), PD(0x65), V_PCMPGTD, V_PCMPGTQ};

    vector_zero(c, to);
    vector_op(c, greater[log], to, to, from);
}

bool vector_abs64(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 from = use(c, insn->arg[0]), sign = scratch_vector(c);
    u8 to = define(c, value, 0);

    sign_mask(c, 3, sign, from);
    vector_op(c, V_PXOR, to, from, sign);
    vector_op(c, V_PSUBQ, to, to, sign);
    return true;
}

/* -- Products */

/* Odd bytes at the top of words, even ones at the bottom. */
static void multiply_bytes(Compiler *c, u8 to, u8 x, u8 y, u8 odd)
{
    vector3(c, V_PAND, to, y, pool_lanes(c, 1, 0xff00));
    vector_shift(c, VECTOR_SHR, 1, odd, x, 8);
    vector_op(c, V_PMULLW, odd, odd, to);
    vector_op(c, V_PMULLW, to, x, y);
    vector3(c, V_PAND, to, to, pool_lanes(c, 1, 0x00ff));
    vector_op(c, V_POR, to, to, odd);
}

static void multiply_quads(Compiler *c, u8 to, u8 x, u8 y, u8 cross)
{
    vector_shift(c, VECTOR_SHR, 3, cross, x, 32);
    vector_op(c, V_PMULUDQ, cross, cross, y);
    vector_shift(c, VECTOR_SHR, 3, to, y, 32);
    vector_op(c, V_PMULUDQ, to, to, x);
    vector_op(c, V_PADDQ, cross, cross, to);
    vector_shift(c, VECTOR_SHL, 3, cross, cross, 32);
    vector_op(c, V_PMULUDQ, to, x, y);
    vector_op(c, V_PADDQ, to, to, cross);
}

bool vector_mul(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    (lane_log(insn) == 0 ? multiply_bytes : multiply_quads)(c, to, x, y, other);
    return true;
}

/* The double product's high half in doublewords; `odd` is free. */
static void double_high_doublewords(Compiler *c, u8 to, u8 x, u8 y, u8 odd, bool rounding)
{
    u8 even = scratch_vector(c);
    X86Rm half = pool_lanes(c, 3, (u64)1 << 31);

    vector_shift(c, VECTOR_SHR, 3, odd, x, 32);
    vector_shift(c, VECTOR_SHR, 3, to, y, 32);
    vector_op(c, V_PMULDQ, odd, odd, to);
    vector_op(c, V_PADDQ, odd, odd, odd);
    vector_op(c, V_PMULDQ, even, x, y);
    vector_op(c, V_PADDQ, even, even, even);
    if (rounding) {
        vector3(c, V_PADDQ, odd, odd, half);
        vector3(c, V_PADDQ, even, even, half);
    }
    vector_shift(c, VECTOR_SHR, 3, even, even, 32);
    vector3_imm(c, V_PBLENDW, to, even, x86_reg(odd), 0xcc);
}

static void double_high_words(Compiler *c, u8 to, u8 x, u8 y, u8 low, bool rounding)
{
    if (rounding) {
        vector_op(c, V_PMULHRSW, to, x, y);
        return;
    }
    vector_op(c, V_PMULLW, low, x, y);
    vector_op(c, V_PMULHW, to, x, y);
    vector_shift(c, VECTOR_SHR, 1, low, low, 15);
    vector_shift(c, VECTOR_SHL, 1, to, to, 1);
    vector_op(c, V_POR, to, to, low);
}

/* Only the square of the least number overflows, to itself: that is flipped to the greatest. */
bool vector_qdmulh(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn);
    bool rounding = insn->sub & IR_ROUNDING;
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    (log == 1 ? double_high_words : double_high_doublewords)(c, to, x, y, other, rounding);
    vector3(c, log == 1 ? V_PCMPEQW : V_PCMPEQD, other, to,
            pool_lanes(c, log, (u64)1 << (lane_bits(insn) - 1)));
    vector_op(c, V_PXOR, to, to, other);
    return true;
}

/* -- Sums and differences */

bool vector_abd(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn);
    bool is_signed = insn->op == IR_VABDS;

    if (log == 3) {
        return false;
    }
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), least = scratch_vector(c);
    vector_op(c, vector_instruction(is_signed ? IR_VMAXS : IR_VMAXU, log), to, x, y);
    vector_op(c, vector_instruction(is_signed ? IR_VMINS : IR_VMINU, log), least, x, y);
    vector_op(c, vector_instruction(IR_SUB, log), to, to, least);
    return true;
}

/* Without a wider sum: with h = (x ^ y) >> 1, the halves of x + y are (x & y) + h rounded down and
 * (x | y) - h rounded up; that of x - y, rounded down, is h - (~x & y). */
bool vector_halving(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 average[2] = {PD(0xe0), PD(0xe3)}; /* unsigned, rounding */
    u32 log = lane_log(insn);
    u32 add = vector_instruction(IR_ADD, log), sub = vector_instruction(IR_SUB, log);
    bool is_signed = insn->sub & IR_SIGNED, rounding = insn->sub & IR_ROUNDING;

    if (insn->op == IR_VHSUB && rounding) {
        return false;
    }
    if (rounding && !is_signed && log < 2) {
        return lower_binary(c, value, average[log], insn->arg[0], insn->arg[1]);
    }
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY);
    u8 half = scratch_vector(c), other = scratch_vector(c);
    vector_op(c, V_PXOR, other, x, y);
    shift_lanes(c, is_signed ? VECTOR_SAR : VECTOR_SHR, log, half, other, 1);
    if (insn->op == IR_VHSUB) {
        vector_op(c, V_PANDN, other, x, y);
        vector_op(c, sub, to, half, other);
    } else {
        vector_op(c, rounding ? V_POR : V_PAND, to, x, y);
        vector_op(c, rounding ? sub : add, to, to, half);
    }
    return true;
}

/* Unsigned doublewords: what is left to the limit bounds the change. */
static void saturate_unsigned32(Compiler *c, bool sub, u8 to, u8 x, u8 y, u8 other)
{
    if (sub) {
        vector_op(c, P38(0x3f), other, x, y); /* pmaxud */
        vector_op(c, V_PSUBD, to, other, y);
    } else {
        vector3(c, V_PXOR, other, y, pool_lanes(c, 3, ~(u64)0));
        vector_op(c, V_PMINUD, other, other, x);
        vector_op(c, V_PADDD, to, other, y);
    }
}

/* Unsigned quadwords: where the sum is below x, or y above x. */
static void saturate_unsigned64(Compiler *c, bool sub, u8 to, u8 x, u8 y, u8 other)
{
    X86Rm sign = pool_lanes(c, 3, (u64)1 << 63);
    u8 flipped = scratch_vector(c);

    vector_op(c, sub ? V_PSUBQ : V_PADDQ, to, x, y);
    vector3(c, V_PXOR, other, sub ? y : x, sign);
    vector3(c, V_PXOR, flipped, sub ? x : to, sign);
    vector_op(c, V_PCMPGTQ, other, other, flipped);
    if (sub) {
        vector_op(c, V_PANDN, flipped, other, to);
        vector_move(c, to, flipped);
    } else {
        vector_op(c, V_POR, to, to, other);
    }
}

/* Signed: where the operands' signs (differing, for subtraction) and the result's say overflow,
 * the limit on x's side. */
static void saturate_signed(Compiler *c, u32 log, bool sub, u8 to, u8 x, u8 y, u8 other)
{
    u8 overflow = scratch_vector(c);

    vector_op(c, vector_instruction(sub ? IR_SUB : IR_ADD, log), to, x, y);
    vector_op(c, V_PXOR, other, x, to);
    vector_op(c, V_PXOR, overflow, y, sub ? x : to);
    vector_op(c, V_PAND, other, other, overflow);
    sign_mask(c, log, overflow, other);
    sign_mask(c, log, other, x);
    vector3(c, V_PXOR, other, other, pool_lanes(c, log, ~(u64)0 >> (65 - (8u << log))));
    vector_op(c, V_PXOR, other, other, to);
    vector_op(c, V_PAND, other, other, overflow);
    vector_op(c, V_PXOR, to, to, other);
}

/* Doublewords and quadwords; the CPU has the narrower ones. */
bool vector_saturating(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool sub = insn->op == IR_VSUBS || insn->op == IR_VSUBU;
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    if (insn->op == IR_VADDS || insn->op == IR_VSUBS) {
        saturate_signed(c, lane_log(insn), sub, to, x, y, other);
    } else if (lane_log(insn) == 2) {
        saturate_unsigned32(c, sub, to, x, y, other);
    } else {
        saturate_unsigned64(c, sub, to, x, y, other);
    }
    return true;
}

/* -- Bits of bytes, by looking up both halves */

static u8 look_up_halves(Compiler *c, IrVal value, IrVal operand, const u8 low[16],
                         const u8 high[16], u32 combine)
{
    u8 x = use(c, operand), to = define(c, value, RA_EARLY);
    u8 index = scratch_vector(c), table = scratch_vector(c);
    X86Rm mask = pool_lanes(c, 0, 0x0f);

    x86_vector2(&c->as, V_MOVAPS, to, pool_rm(c, low, 16));
    vector3(c, V_PAND, index, x, mask);
    vector_op(c, V_PSHUFB, to, to, index);
    vector_shift(c, VECTOR_SHR, 1, index, x, 4);
    vector3(c, V_PAND, index, index, mask);
    x86_vector2(&c->as, V_MOVAPS, table, pool_rm(c, high, 16));
    vector_op(c, V_PSHUFB, table, table, index);
    vector_op(c, combine, to, to, table);
    ra_release(&c->ra, index + VECTOR);
    ra_release(&c->ra, table + VECTOR);
    return to;
}

/* Counts of lanes of 2^log bytes made from those of their halves: the high half's, and where it is
 * all zeroes, the low half's as well. */
static void join_leading_zeros(Compiler *c, u32 log, u8 counts)
{
    static const u32 equal[4] = {V_PCMPEQB, V_PCMPEQW, V_PCMPEQD, P38(0x29)};
    u32 half_bits = 4u << log;
    u8 high = scratch_vector(c), full = scratch_vector(c);

    vector_shift(c, VECTOR_SHR, log, high, counts, half_bits);
    vector3(c, equal[log], full, high, pool_lanes(c, log, half_bits));
    vector3(c, V_PAND, counts, counts, pool_lanes(c, log, half_bits * 2 - 1));
    vector_op(c, V_PAND, counts, counts, full);
    vector_op(c, vector_instruction(IR_ADD, log), counts, counts, high);
    ra_release(&c->ra, high + VECTOR);
    ra_release(&c->ra, full + VECTOR);
}

bool vector_count(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 ones[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    /* Zeros above the highest one, in a byte; of a half without ones, no less than the other's. */
    static const u8 low[16] = {8, 7, 6, 6, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4};
    static const u8 high[16] = {8, 3, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0};

    if (insn->op == IR_POPCNT) {
        if (lane_log(insn) > 0) {
            return false;
        }
        look_up_halves(c, value, insn->arg[0], ones, ones, V_PADDB);
        return true;
    }
    u8 counts = look_up_halves(c, value, insn->arg[0], low, high, V_PMINUB);
    for (u32 log = 1; log <= lane_log(insn); log++) {
        join_leading_zeros(c, log, counts);
    }
    return true;
}

bool vector_bitrev(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 reversed[16] = {0x0, 0x8, 0x4, 0xc, 0x2, 0xa, 0x6, 0xe,
                                    0x1, 0x9, 0x5, 0xd, 0x3, 0xb, 0x7, 0xf};
    u8 shifted[16];

    if (lane_log(insn) > 0) {
        return false;
    }
    for (u32 i = 0; i < 16; i++) {
        shifted[i] = (u8)(reversed[i] << 4);
    }
    look_up_halves(c, value, insn->arg[0], shifted, reversed, V_POR);
    return true;
}
