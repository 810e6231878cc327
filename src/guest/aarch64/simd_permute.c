/* Advanced SIMD: copies between lanes and registers, permutations, table look-ups, immediates. */
#include "guest/aarch64/simd.h"

/* -- Lanes */

void tr_v_dup_lane(Tr *t, const A_v_dup_lane *a)
{
    IrType lane = lane_type((unsigned)a->size);
    IrVal element = ir_vget(t, lane, lane, get_v128(t, a->rn), (unsigned)a->index);

    put_v(t, a->rd, a->scalar ? element : ir_vsplat(t, vector_type(a->q), lane, element));
}

void tr_v_dup(Tr *t, const A_v_dup *a)
{
    IrVal x = get_r(t, width_type(a->size == 3), a->rn);

    put_v(t, a->rd, ir_vsplat(t, vector_type(a->q), lane_type((unsigned)a->size), x));
}

void tr_v_smov(Tr *t, const A_v_smov *a)
{
    IrType lane = lane_type((unsigned)a->size);
    IrVal x = ir_vget(t, lane, lane, get_v128(t, a->rn), (unsigned)a->index);

    put_r(t, a->rd, ir_sext(t->b, width_type(a->q), x));
}

void tr_v_umov(Tr *t, const A_v_umov *a)
{
    IrType lane = lane_type((unsigned)a->size);

    put_r(t, a->rd, ir_vget(t, width_type(a->q), lane, get_v128(t, a->rn), (unsigned)a->index));
}

void tr_v_ins(Tr *t, const A_v_ins *a)
{
    IrVal x = get_r(t, width_type(a->size == 3), a->rn);

    put_v(t, a->rd,
          ir_vset(t, get_v128(t, a->rd), lane_type((unsigned)a->size), (unsigned)a->index, x));
}

void tr_v_ins_lane(Tr *t, const A_v_ins_lane *a)
{
    IrType lane = lane_type((unsigned)a->size);
    IrVal x = ir_vget(t, lane, lane, get_v128(t, a->rn), (unsigned)a->from);

    put_v(t, a->rd, ir_vset(t, get_v128(t, a->rd), lane, (unsigned)a->index, x));
}

/* -- Permutations */

void tr_v_permute(Tr *t, const A_v_permute *a)
{
    static const u8 ops[4][2] = {
        [1] = {IR_VUZP1, IR_VUZP2}, [2] = {IR_VTRN1, IR_VTRN2}, [3] = {IR_VZIP1, IR_VZIP2}};
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);

    put_v(t, a->rd, vop(t, (IrOp)ops[a->op][a->second], lane_type(a->size), x, y));
}

void tr_v_ext(Tr *t, const A_v_ext *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rn);
    IrVal y = get_lanes(t, false, a->q, a->rm);

    put_v(t, a->rd, vop3(t, IR_VEXT, IR_I8, 0, a->index, x, y, 0));
}

/* VTBL gives 0 for an index above 15, so tables of several registers are or-ed together from one
 * look-up each, with the index moved down. A moved index that wraps around is above 15 as well:
 * indices are below 64 in effect, as 256 - 48 > 15. */
static IrVal look_up(Tr *t, const A_v_tbl *a, IrVal index)
{
    IrType type = ir_type_of(t->b, index);
    IrVal found = 0;

    for (unsigned i = 0; i <= a->len; i++) {
        IrVal moved =
            i == 0 ? index
                   : vop(t, IR_SUB, IR_I8, index, ir_vsplat(t, type, IR_I8, const_w(t, 16 * i)));
        IrVal part = vop(t, IR_VTBL, IR_I8, moved, get_v128(t, (a->rn + i) % 32));
        found = found ? vbits(t, IR_OR, found, part) : part;
    }
    return found;
}

void tr_v_tbl(Tr *t, const A_v_tbl *a)
{
    IrVal index = get_lanes(t, false, a->q, a->rm);
    IrVal found = look_up(t, a, index);

    if (a->tbx) {
        IrType type = ir_type_of(t->b, index);
        IrVal size = ir_vsplat(t, type, IR_I8, const_w(t, 16u * (a->len + 1u)));
        IrVal inside = vop_sub(t, IR_VCMP, IR_I8, IR_ULT, index, size);
        found = vop3(t, IR_VBSL, IR_I64, 0, 0, inside, found, get_lanes(t, false, a->q, a->rd));
    }
    put_v(t, a->rd, found);
}

/* -- Immediates */

static IrVal immediate(Tr *t, bool q, u64 imm)
{
    return q ? ir_const_v128(t->b, imm, imm) : ir_const(t->b, IR_V64, imm);
}

void tr_v_movi(Tr *t, const A_v_movi *a)
{
    put_v(t, a->rd, immediate(t, a->q, (u64)a->imm));
}

void tr_v_logic_imm(Tr *t, const A_v_logic_imm *a)
{
    IrVal x = get_lanes(t, false, a->q, a->rd);

    put_v(t, a->rd, vbits(t, a->bic ? IR_ANDN : IR_OR, x, immediate(t, a->q, (u64)a->imm)));
}
