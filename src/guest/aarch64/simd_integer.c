/* Advanced SIMD, integer: lane-wise operations on vectors of equal lanes, and across lanes.
 * Saturating ones are in simd_saturate.c, shifts in simd_shift.c. */
#include "guest/aarch64/simd.h"

/* -- Three registers */

void tr_v_addsub(Tr *t, const A_v_addsub *a)
{
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal y = get_lanes(t, a->scalar, a->q, a->rm);

    put_v(t, a->rd, vop(t, a->sub ? IR_SUB : IR_ADD, lane_type(a->size), x, y));
}

void tr_v_halving(Tr *t, const A_v_halving *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);
    u8 sub = signed_bit(a->u) | (a->op == 1 ? IR_ROUNDING : 0);

    put_v(t, a->rd, vop_sub(t, a->op == 2 ? IR_VHSUB : IR_VHADD, lane_type(a->size), sub, x, y));
}

/* BSL, BIT and BIF differ in which operand is the mask and which is the destination. */
static IrVal insert_bits(Tr *t, const A_v_logic *a, IrVal x, IrVal y)
{
    IrVal d = get_lanes(t, false, a->q, a->rd);

    switch (a->op) {
    case 5: /* BSL: rd is the mask */
        return vop3(t, IR_VBSL, IR_I64, 0, 0, d, x, y);
    case 6: /* BIT: rn where rm has ones */
        return vop3(t, IR_VBSL, IR_I64, 0, 0, y, x, d);
    default: /* BIF: rn where rm has zeros */
        return vop3(t, IR_VBSL, IR_I64, 0, 0, y, d, x);
    }
}

void tr_v_logic(Tr *t, const A_v_logic *a)
{
    static const u8 ops[] = {IR_AND, IR_ANDN, IR_OR, IR_OR, IR_XOR};
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);

    if (a->op >= 5) {
        put_v(t, a->rd, insert_bits(t, a, x, y));
    } else if (a->op == 2 && a->rn == a->rm) { /* MOV */
        put_v(t, a->rd, x);
    } else {
        y = a->op == 3 ? vbits(t, IR_NOT, y, 0) : y;
        put_v(t, a->rd, vbits(t, (IrOp)ops[a->op], x, y));
    }
}

void tr_v_cmp(Tr *t, const A_v_cmp *a)
{
    static const u8 compares[2][2] = {{IR_SGT, IR_SGE}, {IR_UGT, IR_UGE}};
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal y = get_lanes(t, a->scalar, a->q, a->rm);

    put_v(t, a->rd, vop_sub(t, IR_VCMP, lane_type(a->size), compares[a->u][a->eq], x, y));
}

void tr_v_cmeq(Tr *t, const A_v_cmeq *a)
{
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal y = get_lanes(t, a->scalar, a->q, a->rm);

    put_v(t, a->rd, vop_sub(t, IR_VCMP, lane_type(a->size), a->eq ? IR_EQ : IR_TST, x, y));
}

void tr_v_cmp0(Tr *t, const A_v_cmp0 *a)
{
    static const u8 compares[] = {IR_SGT, IR_SGE, IR_EQ, IR_SLE, IR_SLT};
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal zero = ir_vzero(t, ir_type_of(t->b, x));

    put_v(t, a->rd, vop_sub(t, IR_VCMP, lane_type(a->size), compares[a->op], x, zero));
}

void tr_v_minmax(Tr *t, const A_v_minmax *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);

    put_v(t, a->rd, vop(t, integer_minmax(a->u, a->min), lane_type(a->size), x, y));
}

/* Pairwise: the even lanes of y:x against the odd ones. */
void tr_v_minmaxp(Tr *t, const A_v_minmaxp *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);
    IrType lane = lane_type(a->size);
    IrVal even = vop(t, IR_VUZP1, lane, x, y), odd = vop(t, IR_VUZP2, lane, x, y);

    put_v(t, a->rd, vop(t, integer_minmax(a->u, a->min), lane, even, odd));
}

void tr_v_addp(Tr *t, const A_v_addp *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);

    put_v(t, a->rd, vop(t, IR_VPADD, lane_type(a->size), x, y));
}

void tr_v_abd(Tr *t, const A_v_abd *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);
    IrType lane = lane_type(a->size);
    IrVal difference = vop(t, a->u ? IR_VABDU : IR_VABDS, lane, x, y);

    if (a->acc) {
        difference = vop(t, IR_ADD, lane, get_lanes(t, false, a->q, a->rd), difference);
    }
    put_v(t, a->rd, difference);
}

/* rd + or - x * y. */
static void multiply_accumulate(Tr *t, bool sub, bool q, unsigned size, unsigned d, IrVal x,
                                IrVal y)
{
    IrType lane = lane_type(size);
    IrVal product = vop(t, IR_MUL, lane, x, y);

    put_v(t, d, vop(t, sub ? IR_SUB : IR_ADD, lane, get_lanes(t, false, q, d), product));
}

void tr_v_mla(Tr *t, const A_v_mla *a)
{
    multiply_accumulate(t, a->sub, a->q, a->size, a->rd, get_lanes(t, false, a->q, a->rn),
                        get_lanes(t, false, a->q, a->rm));
}

void tr_v_mul(Tr *t, const A_v_mul *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);

    put_v(t, a->rd, vop(t, IR_MUL, lane_type(a->size), x, y));
}

void tr_v_mla_elem(Tr *t, const A_v_mla_elem *a)
{
    multiply_accumulate(t, a->sub, a->q, a->size, a->rd, get_lanes(t, false, a->q, a->rn),
                        get_element(t, a->q, a->size, a->rm, a->index));
}

void tr_v_mul_elem(Tr *t, const A_v_mul_elem *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);

    put_v(t, a->rd,
          vop(t, IR_MUL, lane_type(a->size), x, get_element(t, a->q, a->size, a->rm, a->index)));
}

void tr_v_pmul(Tr *t, const A_v_pmul *a)
{
    put_v(t, a->rd,
          vop(t, IR_VMULP, IR_I8, get_lanes(t, false, a->q, a->rn),
              get_lanes(t, false, a->q, a->rm)));
}

/* -- Two registers */

void tr_v_rev(Tr *t, const A_v_rev *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);

    put_v(t, a->rd, vop_imm(t, IR_VREV, lane_type(a->size), 0, x, (u64)1 << a->block));
}

void tr_v_addlp(Tr *t, const A_v_addlp *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal sums = vop_sub(t, IR_VPADDL, lane_type(a->size), signed_bit(a->u), x, 0);

    if (a->acc) {
        sums = vop(t, IR_ADD, lane_type(a->size + 1u), get_lanes(t, false, a->q, a->rd), sums);
    }
    put_v(t, a->rd, sums);
}

/* CLS is the leading zeros, less one, of the lane with its sign bits made zeros. */
void tr_v_clz_cls(Tr *t, const A_v_clz_cls *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrType type = ir_type_of(t->b, x), lane = lane_type(a->size);

    if (!a->clz) {
        IrVal sign = vop_imm(t, IR_VSAR, lane, 0, x, (8u << a->size) - 1);
        IrVal one = ir_vsplat(t, type, lane, const_w(t, 1));
        IrVal zeros = vop(t, IR_CLZ, lane, vbits(t, IR_XOR, x, sign), 0);
        put_v(t, a->rd, vop(t, IR_SUB, lane, zeros, one));
        return;
    }
    put_v(t, a->rd, vop(t, IR_CLZ, lane, x, 0));
}

void tr_v_cnt(Tr *t, const A_v_cnt *a)
{
    put_v(t, a->rd, vop(t, IR_POPCNT, IR_I8, get_lanes(t, false, a->q, a->rn), 0));
}

void tr_v_not(Tr *t, const A_v_not *a)
{
    put_v(t, a->rd, vbits(t, IR_NOT, get_lanes(t, false, a->q, a->rn), 0));
}

void tr_v_rbit(Tr *t, const A_v_rbit *a)
{
    put_v(t, a->rd, vop(t, IR_BITREV, IR_I8, get_lanes(t, false, a->q, a->rn), 0));
}

void tr_v_abs(Tr *t, const A_v_abs *a)
{
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);

    put_v(t, a->rd, vop(t, a->neg ? IR_NEG : IR_VABS, lane_type(a->size), x, 0));
}

void tr_v_urecpe(Tr *t, const A_v_urecpe *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);

    put_v(t, a->rd, vop(t, a->sqrt ? IR_VRSQRTE : IR_VRECPE, IR_I32, x, 0));
}

/* -- Across lanes. The reductions give the lane zero- or sign-extended; the low bits are what
 * counts. */

static IrVal reduce(Tr *t, IrOp op, IrType type, unsigned size, bool is_unsigned, IrVal x)
{
    return ir_emit(t->b, op, type, lane_type(size), signed_bit(is_unsigned), x, 0, 0, 0, 0);
}

void tr_v_addv(Tr *t, const A_v_addv *a)
{
    IrVal sum = reduce(t, IR_VREDADD, IR_I32, a->size, true, get_lanes(t, false, a->q, a->rn));

    put_v(t, a->rd, ir_trunc(t->b, lane_type(a->size), sum));
}

/* The sum at double width: pairs first, so that no lane overflows. */
void tr_v_addlv(Tr *t, const A_v_addlv *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal pairs = vop_sub(t, IR_VPADDL, lane_type(a->size), signed_bit(a->u), x, 0);
    IrType type = a->size == 2 ? IR_I64 : IR_I32;
    IrVal sum = reduce(t, IR_VREDADD, type, a->size + 1u, true, pairs);

    put_v(t, a->rd, ir_trunc(t->b, lane_type(a->size + 1u), sum));
}

void tr_v_minmaxv(Tr *t, const A_v_minmaxv *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal found = reduce(t, a->min ? IR_VREDMIN : IR_VREDMAX, IR_I32, a->size, a->u, x);

    put_v(t, a->rd, ir_trunc(t->b, lane_type(a->size), found));
}

void tr_v_addp_scalar(Tr *t, const A_v_addp_scalar *a)
{
    put_v(t, a->rd, reduce(t, IR_VREDADD, IR_I64, 3, true, get_v128(t, a->rn)));
}
