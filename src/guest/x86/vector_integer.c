/* MMX, SSE and AVX: integer arithmetic, logic and comparisons, lane by lane or between neighbours.
 *
 * Most operations are one IR operation, which the row names: see LANES() in vector.h. */
#include "guest/x86/vector.h"

/* PADDB and its like. */
void tr_vector_binary(Tr *t)
{
    t->out = vop_sub(t, arg_op(t), arg_lane(t), arg_sub(t), t->src[0], t->src[1]);
}

/* PANDN, ANDNPS: it is the first operand that is complemented. */
void tr_vector_and_not(Tr *t)
{
    t->out = vop(t, IR_ANDN, IR_I64, t->src[1], t->src[0]);
}

/* PABSB, PHMINPOSUW. */
void tr_vector_unary(Tr *t)
{
    t->out = vop(t, arg_op(t), arg_lane(t), t->src[0], 0);
}

/* PHADDW and its like: between neighbours, first those of the first operand. */
void tr_vector_horizontal(Tr *t)
{
    IrType lane = arg_lane(t);
    IrVal even = vop(t, IR_VUZP1, lane, t->src[0], t->src[1]);
    IrVal odd = vop(t, IR_VUZP2, lane, t->src[0], t->src[1]);

    t->out = vop(t, arg_op(t), lane, even, odd);
}

/* MPSADBW: three bits of the immediate for each half. */
void tr_MPSADBW(Tr *t)
{
    unsigned control = vector_immediate(t) >> 3 * t->half & 7;

    t->out = vop_imm(t, IR_VMPSAD, IR_I8, t->src[0], t->src[1], control);
}

/* -- Tests: flags and masks of both halves together */

/* PTEST, VTESTPS, VTESTPD: arg is the lane type whose signs count, or void for all bits. Zero and
 * carry hold of 256 bits when they hold of each half. */
void tr_vector_test(Tr *t)
{
    IrType lane = (IrType)t->arg;
    IrVal flags = 0;

    for (unsigned half = 0; half < t->i->operand[0].size / 16u; half++) {
        IrVal x = read_half(t, 0, half), y = read_checked_half(t, 1, half);
        IrVal tested = ir_emit(t->b, IR_FLAGS_VTEST, IR_I32, lane, 0, x, y, 0, 0, 0);
        flags = half ? ir_and(t->b, flags, tested) : tested;
    }
    set_flags(t, flags);
}

/* PMOVMSKB, MOVMSKPS, MOVMSKPD. */
void tr_move_mask(Tr *t)
{
    const X86Operand *s = &t->i->operand[1];
    IrType lane = arg_lane(t);
    IrVal mask;

    if (s->kind == X86_OPERAND_MMX) {
        mask = vop_to(t, IR_VMOVMSK, IR_I32, lane, 0, get_mmx(t, IR_V64, s->number));
        enter_mmx(t);
    } else {
        mask = vop_to(t, IR_VMOVMSK, IR_I32, lane, 0, get_vector(t, IR_V128, s->number, 0));
    }
    if (s->size == 32) {
        IrVal high = vop_to(t, IR_VMOVMSK, IR_I32, lane, 0, get_vector(t, IR_V128, s->number, 1));
        IrVal shift = const32(t, 16 / ir_type_size(lane));
        mask = ir_or(t->b, mask, ir_binary(t->b, IR_SHL, high, shift));
    }
    put_gpr(t, t->i->operand[0].number, mask);
}
