/* Scalar floating point (C4.1.96, Data Processing -- Scalar Floating-Point), for single and double
 * precision; of half precision, conversions only. All results go to the whole vector register. */
#include "guest/aarch64/internal.h"
#include "guest/aarch64/simd.h"

/* The `type` field where halves are stored, not computed with. */
enum { TYPE_HALF = 3 };

/* -- Arithmetic */

void tr_f_unary(Tr *t, const A_f_unary *a)
{
    static const u8 ops[] = {IR_COPY, IR_FABS, IR_FNEG, IR_FSQRT};
    IrType type = float_type(a->type);

    put_v(t, a->rd, ir_unary(t->b, (IrOp)ops[a->op], type, get_v(t, type, a->rn)));
}

void tr_f_arith(Tr *t, const A_f_arith *a)
{
    static const u8 ops[] = {IR_FMUL, IR_FDIV, IR_FADD, IR_FSUB};
    IrType type = float_type(a->type);

    put_v(t, a->rd,
          ir_binary(t->b, (IrOp)ops[a->op], get_v(t, type, a->rn), get_v(t, type, a->rm)));
}

void tr_f_nmul(Tr *t, const A_f_nmul *a)
{
    IrType type = float_type(a->type);
    IrVal product = ir_binary(t->b, IR_FMUL, get_v(t, type, a->rn), get_v(t, type, a->rm));

    put_v(t, a->rd, ir_unary(t->b, IR_FNEG, type, product));
}

void tr_f_minmax(Tr *t, const A_f_minmax *a)
{
    IrType type = float_type(a->type);

    put_v(
        t, a->rd,
        ir_binary(t->b, float_minmax(a->min, a->nm), get_v(t, type, a->rn), get_v(t, type, a->rm)));
}

/* Negation is of operands, before the fused operation: it shows in NaNs and zeros. */
void tr_f_madd(Tr *t, const A_f_madd *a)
{
    IrType type = float_type(a->type);
    IrVal x = get_v(t, type, a->rn);
    IrVal addend = get_v(t, type, a->ra);

    if (a->sub != a->neg) {
        x = ir_unary(t->b, IR_FNEG, type, x);
    }
    if (a->neg) {
        addend = ir_unary(t->b, IR_FNEG, type, addend);
    }
    put_v(t, a->rd,
          ir_emit(t->b, IR_FMA, type, IR_VOID, 0, x, get_v(t, type, a->rm), addend, 0, 0));
}

void tr_f_mov_imm(Tr *t, const A_f_mov_imm *a)
{
    put_v(t, a->rd, ir_const(t->b, float_type(a->type), (u64)a->imm));
}

void tr_f_rint(Tr *t, const A_f_rint *a)
{
    IrType type = float_type(a->type);

    put_v(t, a->rd,
          ir_emit(t->b, IR_FROUND, type, IR_VOID, float_rounding(a->mode), get_v(t, type, a->rn), 0,
                  0, 0, 0));
}

/* -- Comparison and selection */

static void compare(Tr *t, unsigned type, bool signalling, unsigned n, IrVal y)
{
    IrVal x = get_v(t, float_type(type), n);

    set_flags(t, ir_emit(t->b, IR_FLAGS_FCMP, IR_I32, IR_VOID, signalling, x, y, 0, 0, 0));
}

void tr_f_cmp(Tr *t, const A_f_cmp *a)
{
    compare(t, a->type, a->e, a->rn, get_v(t, float_type(a->type), a->rm));
}

void tr_f_cmp0(Tr *t, const A_f_cmp0 *a)
{
    compare(t, a->type, a->e, a->rn, ir_const(t->b, float_type(a->type), 0));
}

/* When the condition fails, nothing is compared: not even exceptions are raised. So the comparison
 * stands in a block of its own. */
void tr_f_ccmp(Tr *t, const A_f_ccmp *a)
{
    if (a->cond >= 14) {
        compare(t, a->type, a->e, a->rn, get_v(t, float_type(a->type), a->rm));
        return;
    }
    IrVal holds = condition(t, a->cond);
    u32 compared = new_block(t), skipped = new_block(t), next = new_block(t);
    ir_branch(t->b, holds, compared, skipped);

    enter_block(t, compared);
    IrType type = float_type(a->type);
    ir_put(t->b, SLOT(flags),
           ir_emit(t->b, IR_FLAGS_FCMP, IR_I32, IR_VOID, a->e, get_v(t, type, a->rn),
                   get_v(t, type, a->rm), 0, 0, 0));
    ir_jump(t->b, next);

    enter_block(t, skipped);
    ir_put(t->b, SLOT(flags), ir_unary(t->b, IR_FLAGS_MAKE, IR_I32, const_w(t, a->nzcv)));
    ir_jump(t->b, next);

    enter_block(t, next);
    t->flags = t->flags_put = 0; /* only the slot knows which of the two it was */
}

void tr_f_csel(Tr *t, const A_f_csel *a)
{
    IrType type = float_type(a->type);
    IrVal holds = condition(t, a->cond);

    put_v(t, a->rd, ir_select(t->b, holds, get_v(t, type, a->rn), get_v(t, type, a->rm)));
}

/* -- Conversions */

void tr_f_cvt(Tr *t, const A_f_cvt *a)
{
    bool half_source = a->type == TYPE_HALF, half_result = a->to == TYPE_HALF;
    IrVal x = get_v(t, half_source ? IR_I16 : float_type(a->type), a->rn);
    IrType to = half_result ? IR_I16 : float_type(a->to);

    if (half_source || half_result) {
        u8 alternative = (t->g->mode & AARCH64_MODE_AHP) != 0;
        put_v(t, a->rd, ir_emit(t->b, IR_FCVT16, to, IR_VOID, alternative, x, 0, 0, 0, 0));
    } else {
        put_v(t, a->rd, ir_unary(t->b, IR_FCVT, to, x));
    }
}

static void to_integer(Tr *t, bool sf, unsigned type, u8 sub, unsigned fraction_bits, unsigned n,
                       unsigned d)
{
    IrVal x = get_v(t, float_type(type), n);

    put_r(t, d, ir_emit(t->b, IR_FTOI, width_type(sf), IR_VOID, sub, x, 0, 0, fraction_bits, 0));
}

static void from_integer(Tr *t, bool sf, unsigned type, u8 sub, unsigned fraction_bits, unsigned n,
                         unsigned d)
{
    IrVal x = get_r(t, width_type(sf), n);

    put_v(t, d, ir_emit(t->b, IR_ITOF, float_type(type), IR_VOID, sub, x, 0, 0, fraction_bits, 0));
}

void tr_f_to_int(Tr *t, const A_f_to_int *a)
{
    u8 rounding = a->away ? FP_NEAREST_AWAY : a->rmode;

    to_integer(t, a->sf, a->type, rounding | unsigned_bit(a->u), 0, a->rn, a->rd);
}

void tr_f_to_fixed(Tr *t, const A_f_to_fixed *a)
{
    to_integer(t, a->sf, a->type, FP_TO_ZERO | unsigned_bit(a->u), (unsigned)a->fbits, a->rn,
               a->rd);
}

void tr_f_from_int(Tr *t, const A_f_from_int *a)
{
    from_integer(t, a->sf, a->type, unsigned_bit(a->u), 0, a->rn, a->rd);
}

void tr_f_from_fixed(Tr *t, const A_f_from_fixed *a)
{
    from_integer(t, a->sf, a->type, unsigned_bit(a->u), (unsigned)a->fbits, a->rn, a->rd);
}

/* FMOV between register files: bits unchanged. */
void tr_f_mov_int(Tr *t, const A_f_mov_int *a)
{
    IrType type = width_type(a->sf);

    if (a->top && a->to_v) {
        put_v(t, a->rd, ir_vset(t, get_v128(t, a->rd), IR_I64, 1, get_x(t, a->rn)));
    } else if (a->top) {
        put_r(t, a->rd, ir_vget(t, IR_I64, IR_I64, get_v128(t, a->rn), 1));
    } else if (a->to_v) {
        put_v(t, a->rd, get_r(t, type, a->rn));
    } else {
        put_r(t, a->rd, get_v(t, type, a->rn));
    }
}
