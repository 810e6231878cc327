/* Advanced SIMD: shifts that do not saturate. */
#include "guest/aarch64/simd.h"

void tr_v_shr(Tr *t, const A_v_shr *a)
{
    IrType lane = lane_type((unsigned)a->size);
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal shifted = a->round ? vop_imm(t, IR_VRSHR, lane, signed_bit(a->u), x, (u64)a->shift)
                             : vop_imm(t, a->u ? IR_VSHR : IR_VSAR, lane, 0, x, (u64)a->shift);

    if (a->acc) {
        shifted = vop(t, IR_ADD, lane, get_lanes(t, a->scalar, a->q, a->rd), shifted);
    }
    put_v(t, a->rd, shifted);
}

/* The destination's bits where `mask`, which is one lane wide, has ones; else `value`'s. */
static IrVal keep_bits(Tr *t, bool scalar, bool q, unsigned size, unsigned d, u64 mask, IrVal value)
{
    IrVal old = get_lanes(t, scalar, q, d);
    IrVal kept = ir_vsplat(t, ir_type_of(t->b, old), lane_type(size), const_x(t, mask));

    return vop3(t, IR_VBSL, IR_I64, 0, 0, kept, old, value);
}

void tr_v_sri(Tr *t, const A_v_sri *a)
{
    unsigned size = (unsigned)a->size, bits = 8u << size;
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal shifted = vop_imm(t, IR_VSHR, lane_type(size), 0, x, (u64)a->shift);
    u64 kept = ~(u64)0 << (bits - (unsigned)a->shift); /* shift >= 1 */

    put_v(t, a->rd, keep_bits(t, a->scalar, a->q, size, a->rd, kept, shifted));
}

void tr_v_shl_imm(Tr *t, const A_v_shl_imm *a)
{
    unsigned size = (unsigned)a->size;
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal shifted = vop_imm(t, IR_VSHL, lane_type(size), 0, x, (u64)a->shift);

    if (a->insert) {
        u64 kept = ((u64)1 << a->shift) - 1; /* shift < bits */
        shifted = keep_bits(t, a->scalar, a->q, size, a->rd, kept, shifted);
    }
    put_v(t, a->rd, shifted);
}
