/* MMX, SSE and AVX: shuffles and blends. What unpacks or packs is a row of tr_vector_binary(). */
#include "guest/x86/vector.h"

/* -- By an immediate */

/* Lanes of x, then lanes of y: eight bits for dwords in either half, two bits of the immediate in
 * each half for qwords. */
static IrVal shuffle(Tr *t, IrType lane, IrVal x, IrVal y)
{
    unsigned control = vector_immediate(t);

    return vop_imm(t, IR_VSHUF, lane, x, y, lane == IR_I32 ? control : control >> 2 * t->half & 3);
}

/* SHUFPS, SHUFPD. */
void tr_shuffle_two(Tr *t)
{
    t->out = shuffle(t, arg_lane(t), t->src[0], t->src[1]);
}

/* VPERMILPS, VPERMILPD by an immediate: arg is the lane type. */
void tr_permute_in_half(Tr *t)
{
    t->out = shuffle(t, (IrType)t->arg, t->src[0], t->src[0]);
}

/* PSHUFD */
void tr_shuffle_doublewords(Tr *t)
{
    t->out = shuffle(t, IR_I32, t->src[0], t->src[0]);
}

/* PSHUFW of MMX, PSHUFLW and PSHUFHW: arg is IR_HIGH or 0. */
void tr_shuffle_words(Tr *t)
{
    IrType type = ir_type_of(t->b, t->src[0]);
    IrVal x = ir_zext(t->b, IR_V128, t->src[0]);

    x = vop3(t, IR_VSHUF16, IR_I16, (u8)t->arg, vector_immediate(t), x, 0, 0);
    t->out = ir_trunc(t->b, type, x);
}

/* Bytes of first:second, the second one lowest, from byte `count` on; zeros above. */
void tr_PALIGNR(Tr *t)
{
    IrType type = ir_type_of(t->b, t->src[0]);
    unsigned size = ir_type_size(type), count = MIN(vector_immediate(t), 2 * size);
    bool beyond = count > size;
    IrVal low = t->src[beyond ? 0 : 1];
    IrVal high = beyond ? ir_const(t->b, type, 0) : t->src[0];

    t->out = vop_imm(t, IR_VEXT, IR_I8, low, high, beyond ? count - size : count);
}

/* BLENDPS, BLENDPD, PBLENDW, VPBLENDD: a bit for each lane; PBLENDW uses the same eight for both
 * halves. */
void tr_blend_immediate(Tr *t)
{
    IrType lane = (IrType)t->arg;
    unsigned lanes = 16 / ir_type_size(lane);
    unsigned control = vector_immediate(t) >> (lane == IR_I16 ? 0 : lanes * t->half);

    t->out = vop_imm(t, IR_VBLEND, lane, t->src[0], t->src[1], control & ((1u << lanes) - 1));
}

/* -- By a register */

void tr_PSHUFB(Tr *t)
{
    t->out = vop_sub(t, IR_VTBL, IR_I8, IR_X86, t->src[1], t->src[0]);
}

/* BLENDVPS, BLENDVPD, PBLENDVB: the last operand's signs (XMM0's in legacy encodings) choose the
 * second one's lanes. */
void tr_blend_variable(Tr *t)
{
    t->out = vop3(t, IR_VBLENDV, (IrType)t->arg, 0, 0, t->src[2], t->src[1], t->src[0]);
}

/* The byte numbers for VTBL that choose the dwords numbered by the low two bits of each lane. */
static IrVal dword_control(Tr *t, IrVal index)
{
    IrVal two_bits = ir_const_v128(t->b, 0x0000000300000003, 0x0000000300000003);
    IrVal bytes = ir_const_v128(t->b, 0x0302010003020100, 0x0302010003020100);
    IrVal number = vop(t, IR_AND, IR_I32, index, two_bits);

    number = vop_imm(t, IR_VSHL, IR_I32, number, 0, 2);
    number = vop(t, IR_OR, IR_I32, number, vop_imm(t, IR_VSHL, IR_I32, number, 0, 8));
    number = vop(t, IR_OR, IR_I32, number, vop_imm(t, IR_VSHL, IR_I32, number, 0, 16));
    return vop(t, IR_ADD, IR_I8, number, bytes);
}

/* VPERMILPS and VPERMILPD by a register: arg is the lane type; of qwords bit 1 counts. */
void tr_permute_in_half_variable(Tr *t)
{
    if (t->arg == IR_I32) {
        t->out = vop_sub(t, IR_VTBL, IR_I8, IR_X86, dword_control(t, t->src[1]), t->src[0]);
        return;
    }
    IrVal low = vop_imm(t, IR_VSHUF, IR_I64, t->src[0], t->src[0], 0);
    IrVal high = vop_imm(t, IR_VSHUF, IR_I64, t->src[0], t->src[0], 3);
    IrVal choice = vop_imm(t, IR_VSHL, IR_I64, t->src[1], 0, 62);

    t->out = vop3(t, IR_VBLENDV, IR_I64, 0, 0, choice, high, low);
}

/* VPERMD, VPERMPS: any of eight dwords, numbered by three bits of the first source. */
void tr_permute_doublewords(Tr *t)
{
    IrVal low = read_half(t, 2, 0), high = read_half(t, 2, 1), out[2];

    for (unsigned half = 0; half < 2; half++) {
        IrVal index = read_half(t, 1, half), control = dword_control(t, index);
        IrVal from_low = vop_sub(t, IR_VTBL, IR_I8, IR_X86, control, low);
        IrVal from_high = vop_sub(t, IR_VTBL, IR_I8, IR_X86, control, high);
        IrVal choice = vop_imm(t, IR_VSHL, IR_I32, index, 0, 29);
        out[half] = vop3(t, IR_VBLENDV, IR_I32, 0, 0, choice, from_high, from_low);
    }
    write_halves(t, t->i->operand[0].number, out[0], out[1]);
}

/* VPERMQ, VPERMPD: any of four qwords, numbered by two bits each of the immediate. */
void tr_permute_quadwords(Tr *t)
{
    IrVal source[2] = {read_half(t, 1, 0), read_half(t, 1, 1)}, out[2];
    unsigned control = vector_immediate(t);

    for (unsigned half = 0; half < 2; half++, control >>= 4) {
        out[half] = vop_imm(t, IR_VSHUF, IR_I64, source[control >> 1 & 1], source[control >> 3 & 1],
                            (control & 1) | (control >> 1 & 2));
    }
    write_halves(t, t->i->operand[0].number, out[0], out[1]);
}

/* VPERM2F128, VPERM2I128. */
void tr_permute_halves(Tr *t)
{
    IrVal source[4] = {read_half(t, 1, 0), read_half(t, 1, 1), read_half(t, 2, 0),
                       read_half(t, 2, 1)};
    unsigned control = vector_immediate(t);
    IrVal low = control & 8 ? vzero(t) : source[control & 3];
    IrVal high = control & 0x80 ? vzero(t) : source[control >> 4 & 3];

    write_halves(t, t->i->operand[0].number, low, high);
}

/* VINSERTF128, VINSERTI128. */
void tr_insert_half(Tr *t)
{
    IrVal inserted = read_half(t, 2, 0);
    unsigned half = vector_immediate(t) & 1;
    IrVal kept = read_half(t, 1, !half);

    write_halves(t, t->i->operand[0].number, half ? kept : inserted, half ? inserted : kept);
}

/* VEXTRACTF128, VEXTRACTI128. */
void tr_extract_half(Tr *t)
{
    IrVal x = read_half(t, 1, vector_immediate(t) & 1);

    if (is_memory(t, 0)) {
        store_memory(t, 0, x);
    } else {
        write_halves(t, t->i->operand[0].number, x, 0);
    }
}
