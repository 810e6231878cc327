/* Advanced SIMD, integer: long, wide and narrow operations. The q bit selects the upper halves of
 * the narrow vectors; the wide ones always have 128 bits. */
#include "guest/aarch64/simd.h"

/* Sources of long operations: a whole v128 with IR_HIGH, or its low half. */
static IrVal narrow_source(Tr *t, bool q, unsigned n)
{
    return q ? get_v128(t, n) : get_v64(t, n);
}

static u8 half_bit(bool q)
{
    return q ? IR_HIGH : 0;
}

/* The lanes of a narrow source at double width. */
static IrVal widen(Tr *t, bool q, bool is_unsigned, unsigned size, unsigned n)
{
    return vwide(t, IR_VWIDEN, lane_type(size), signed_bit(is_unsigned) | half_bit(q),
                 narrow_source(t, q, n), 0);
}

void tr_v_addl(Tr *t, const A_v_addl *a)
{
    IrVal x = a->wide ? get_v128(t, a->rn) : widen(t, a->q, a->u, a->size, a->rn);
    IrVal y = widen(t, a->q, a->u, a->size, a->rm);

    put_v(t, a->rd, vop(t, a->sub ? IR_SUB : IR_ADD, lane_type(a->size + 1u), x, y));
}

/* Rounding is half of the narrow lanes' unit, added before the low half is dropped. */
static IrVal high_narrow(Tr *t, unsigned size, bool round, IrVal wide)
{
    IrType lane = lane_type(size + 1);
    unsigned bits = 8u << size;

    if (round) {
        IrVal half = ir_vsplat(t, IR_V128, lane, const_x(t, (u64)1 << (bits - 1)));
        wide = vop(t, IR_ADD, lane, wide, half);
    }
    return vnarrow(t, IR_VNARROW, lane_type(size), 0, vop_imm(t, IR_VSHR, lane, 0, wide, bits));
}

void tr_v_addhn(Tr *t, const A_v_addhn *a)
{
    IrVal sum = vop(t, a->sub ? IR_SUB : IR_ADD, lane_type(a->size + 1u), get_v128(t, a->rn),
                    get_v128(t, a->rm));

    put_half(t, a->q, a->rd, high_narrow(t, a->size, a->round, sum));
}

/* The absolute difference fits in a narrow lane without sign, so it is taken there. */
void tr_v_abdl(Tr *t, const A_v_abdl *a)
{
    IrVal difference = vop(t, a->u ? IR_VABDU : IR_VABDS, lane_type(a->size),
                           get_half(t, a->q, a->rn), get_half(t, a->q, a->rm));
    IrVal wide = vwide(t, IR_VWIDEN, lane_type(a->size), 0, difference, 0);

    if (!a->no_acc) {
        wide = vop(t, IR_ADD, lane_type(a->size + 1u), get_v128(t, a->rd), wide);
    }
    put_v(t, a->rd, wide);
}

/* -- Multiplication */

static IrVal multiply_long(Tr *t, bool q, bool is_unsigned, unsigned size, unsigned n, IrVal y)
{
    return vwide(t, IR_VMULL, lane_type(size), signed_bit(is_unsigned) | half_bit(q),
                 narrow_source(t, q, n), y);
}

static void accumulate(Tr *t, bool sub, unsigned size, unsigned d, IrVal product)
{
    put_v(t, d, vop(t, sub ? IR_SUB : IR_ADD, lane_type(size + 1), get_v128(t, d), product));
}

void tr_v_mull(Tr *t, const A_v_mull *a)
{
    put_v(t, a->rd, multiply_long(t, a->q, a->u, a->size, a->rn, narrow_source(t, a->q, a->rm)));
}

void tr_v_mull_elem(Tr *t, const A_v_mull_elem *a)
{
    IrVal y = get_element(t, a->q, a->size, a->rm, a->index);

    put_v(t, a->rd, multiply_long(t, a->q, a->u, a->size, a->rn, y));
}

void tr_v_mlal(Tr *t, const A_v_mlal *a)
{
    IrVal y = narrow_source(t, a->q, a->rm);

    accumulate(t, a->sub, a->size, a->rd, multiply_long(t, a->q, a->u, a->size, a->rn, y));
}

void tr_v_mlal_elem(Tr *t, const A_v_mlal_elem *a)
{
    IrVal y = get_element(t, a->q, a->size, a->rm, a->index);

    accumulate(t, a->sub, a->size, a->rd, multiply_long(t, a->q, a->u, a->size, a->rn, y));
}

void tr_v_pmull(Tr *t, const A_v_pmull *a)
{
    put_v(t, a->rd,
          vwide(t, IR_VMULLP, lane_type(a->size), half_bit(a->q), narrow_source(t, a->q, a->rn),
                narrow_source(t, a->q, a->rm)));
}

/* -- Narrowing and widening of one register */

void tr_v_xtn(Tr *t, const A_v_xtn *a)
{
    put_half(t, a->q, a->rd, vnarrow(t, IR_VNARROW, lane_type(a->size), 0, get_v128(t, a->rn)));
}

void tr_v_shll(Tr *t, const A_v_shll *a)
{
    IrVal wide = widen(t, a->q, true, a->size, a->rn);

    put_v(t, a->rd, vop_imm(t, IR_VSHL, lane_type(a->size + 1u), 0, wide, 8u << a->size));
}

void tr_v_shll_imm(Tr *t, const A_v_shll_imm *a)
{
    IrVal wide = widen(t, a->q, a->u, (unsigned)a->size, a->rn);

    if (a->shift) {
        wide = vop_imm(t, IR_VSHL, lane_type((unsigned)a->size + 1), 0, wide, (u64)a->shift);
    }
    put_v(t, a->rd, wide);
}

void tr_v_shrn(Tr *t, const A_v_shrn *a)
{
    IrType wide = lane_type((unsigned)a->size + 1);
    IrVal shifted =
        vop_imm(t, a->round ? IR_VRSHR : IR_VSHR, wide, 0, get_v128(t, a->rn), (u64)a->shift);

    put_half(t, a->q, a->rd, vnarrow(t, IR_VNARROW, lane_type((unsigned)a->size), 0, shifted));
}
