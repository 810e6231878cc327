/* Advanced SIMD, floating point. A row's scalar form uses scalar operations: unused lanes must not
 * raise exceptions. */
#include "guest/aarch64/internal.h"
#include "guest/aarch64/simd.h"

/* How a row's operands are typed: a scalar f32 or f64 (then lane is void), or a vector of lanes. */
typedef struct Shape {
    IrType type, lane;
} Shape;

static Shape shape(bool scalar, bool q, bool is_double)
{
    return scalar ? (Shape){float_type(is_double), IR_VOID}
                  : (Shape){vector_type(q), float_type(is_double)};
}

/* The same places as integers: comparison results, fixed-point numbers. */
static IrType integer_type(Shape s)
{
    return s.type == IR_F32 ? IR_I32 : s.type == IR_F64 ? IR_I64 : s.type;
}

static IrVal fop(Tr *t, IrOp op, Shape s, u8 sub, IrVal x, IrVal y, IrVal z)
{
    return ir_emit(t->b, op, s.type, s.lane, sub, x, y, z, 0, 0);
}

/* rd = op(rn, rm) */
static void binary(Tr *t, IrOp op, Shape s, unsigned d, unsigned n, unsigned m)
{
    put_v(t, d, fop(t, op, s, 0, get_v(t, s.type, n), get_v(t, s.type, m), 0));
}

/* rd = op(rn) */
static void unary(Tr *t, IrOp op, Shape s, u8 sub, unsigned d, unsigned n)
{
    put_v(t, d, fop(t, op, s, sub, get_v(t, s.type, n), 0, 0));
}

/* rd = op(even lanes, odd lanes) of rm:rn */
static void pairwise(Tr *t, IrOp op, Shape s, unsigned d, unsigned n, unsigned m)
{
    IrVal x = get_v(t, s.type, n), y = get_v(t, s.type, m);

    put_v(t, d,
          fop(t, op, s, 0, vop(t, IR_VUZP1, s.lane, x, y), vop(t, IR_VUZP2, s.lane, x, y), 0));
}

/* -- Arithmetic on three registers */

void tr_v_faddsub(Tr *t, const A_v_faddsub *a)
{
    binary(t, a->sub ? IR_FSUB : IR_FADD, shape(false, a->q, a->sz), a->rd, a->rn, a->rm);
}

void tr_v_fmul(Tr *t, const A_v_fmul *a)
{
    binary(t, IR_FMUL, shape(false, a->q, a->sz), a->rd, a->rn, a->rm);
}

void tr_v_fdiv(Tr *t, const A_v_fdiv *a)
{
    binary(t, IR_FDIV, shape(false, a->q, a->sz), a->rd, a->rn, a->rm);
}

void tr_v_faddp(Tr *t, const A_v_faddp *a)
{
    pairwise(t, IR_FADD, shape(false, a->q, a->sz), a->rd, a->rn, a->rm);
}

void tr_v_fmulx(Tr *t, const A_v_fmulx *a)
{
    binary(t, IR_FMULX, shape(a->scalar, a->q, a->sz), a->rd, a->rn, a->rm);
}

void tr_v_frecps(Tr *t, const A_v_frecps *a)
{
    binary(t, a->sqrt ? IR_FRSQRTS : IR_FRECPS, shape(a->scalar, a->q, a->sz), a->rd, a->rn, a->rm);
}

void tr_v_fabd(Tr *t, const A_v_fabd *a)
{
    Shape s = shape(a->scalar, a->q, a->sz);
    IrVal difference = fop(t, IR_FSUB, s, 0, get_v(t, s.type, a->rn), get_v(t, s.type, a->rm), 0);

    put_v(t, a->rd, fop(t, IR_FABS, s, 0, difference, 0, 0));
}

void tr_v_fminmax(Tr *t, const A_v_fminmax *a)
{
    Shape s = shape(false, a->q, a->sz);
    IrOp op = float_minmax(a->min, false);

    (a->pair ? pairwise : binary)(t, op, s, a->rd, a->rn, a->rm);
}

void tr_v_fminmaxnm(Tr *t, const A_v_fminmaxnm *a)
{
    Shape s = shape(false, a->q, a->sz);
    IrOp op = float_minmax(a->min, true);

    (a->pair ? pairwise : binary)(t, op, s, a->rd, a->rn, a->rm);
}

/* rd + rn * y, with rn negated for subtraction: it shows in NaNs. */
static void fused(Tr *t, bool sub, Shape s, unsigned d, unsigned n, IrVal y)
{
    IrVal x = get_v(t, s.type, n);

    if (sub) {
        x = fop(t, IR_FNEG, s, 0, x, 0, 0);
    }
    put_v(t, d, fop(t, IR_FMA, s, 0, x, y, get_v(t, s.type, d)));
}

void tr_v_fmla(Tr *t, const A_v_fmla *a)
{
    Shape s = shape(false, a->q, a->sz);

    fused(t, a->sub, s, a->rd, a->rn, get_v(t, s.type, a->rm));
}

/* Lane `index` of register m, in every lane of a vector. */
static IrVal element(Tr *t, Shape s, bool is_double, s64 m, s64 index)
{
    IrType lane = float_type(is_double);
    IrVal x = ir_vget(t, lane, lane, get_v128(t, (unsigned)m), (unsigned)index);

    return s.lane ? ir_vsplat(t, s.type, lane, x) : x;
}

void tr_v_fmla_elem(Tr *t, const A_v_fmla_elem *a)
{
    Shape s = shape(a->scalar, a->q, a->sz);

    fused(t, a->sub, s, a->rd, a->rn, element(t, s, a->sz, a->rm, a->index));
}

void tr_v_fmul_elem(Tr *t, const A_v_fmul_elem *a)
{
    Shape s = shape(a->scalar, a->q, a->sz);
    IrVal y = element(t, s, a->sz, a->rm, a->index);

    put_v(t, a->rd, fop(t, a->x ? IR_FMULX : IR_FMUL, s, 0, get_v(t, s.type, a->rn), y, 0));
}

/* -- Comparisons: all ones or zeros */

/* A scalar's 0 or 1 as 0 or all ones. */
static IrVal compare(Tr *t, Shape s, u8 predicate, IrVal x, IrVal y)
{
    if (s.lane) {
        return fop(t, IR_VFCMP, s, predicate, x, y, 0);
    }
    IrVal holds = ir_emit(t->b, IR_FCMP, IR_I32, IR_VOID, predicate, x, y, 0, 0, 0);
    IrType type = integer_type(s);
    return ir_unary(t->b, IR_NEG, type, ir_zext(t->b, type, holds));
}

/* FCMEQ is quiet, the orders signal on quiet NaNs. */
void tr_v_fcmp(Tr *t, const A_v_fcmp *a)
{
    Shape s = shape(a->scalar, a->q, a->sz);
    u8 predicate = !a->ge ? IR_FEQ : (a->gt ? IR_FGT : IR_FGE) | IR_FCMP_SIGNALLING;
    IrVal x = get_v(t, s.type, a->rn), y = get_v(t, s.type, a->rm);

    if (a->abs) {
        x = fop(t, IR_FABS, s, 0, x, 0, 0);
        y = fop(t, IR_FABS, s, 0, y, 0, 0);
    }
    put_v(t, a->rd, compare(t, s, predicate, x, y));
}

void tr_v_fcmp0(Tr *t, const A_v_fcmp0 *a)
{
    static const u8 predicates[] = {IR_FGT | IR_FCMP_SIGNALLING, IR_FGE | IR_FCMP_SIGNALLING,
                                    IR_FEQ, IR_FLE | IR_FCMP_SIGNALLING,
                                    IR_FLT | IR_FCMP_SIGNALLING};
    Shape s = shape(a->scalar, a->q, a->sz);

    put_v(t, a->rd,
          compare(t, s, predicates[a->op], get_v(t, s.type, a->rn), ir_const(t->b, s.type, 0)));
}

/* -- Two registers */

void tr_v_fabs(Tr *t, const A_v_fabs *a)
{
    unary(t, a->neg ? IR_FNEG : IR_FABS, shape(false, a->q, a->sz), 0, a->rd, a->rn);
}

void tr_v_fsqrt(Tr *t, const A_v_fsqrt *a)
{
    unary(t, IR_FSQRT, shape(false, a->q, a->sz), 0, a->rd, a->rn);
}

void tr_v_frecpe(Tr *t, const A_v_frecpe *a)
{
    unary(t, a->sqrt ? IR_FRSQRTE : IR_FRECPE, shape(a->scalar, a->q, a->sz), 0, a->rd, a->rn);
}

void tr_v_frecpx(Tr *t, const A_v_frecpx *a)
{
    unary(t, IR_FRECPX, shape(true, true, a->sz), 0, a->rd, a->rn);
}

void tr_v_frint(Tr *t, const A_v_frint *a)
{
    unary(t, IR_FROUND, shape(false, a->q, a->sz), float_rounding((unsigned)a->mode), a->rd, a->rn);
}

/* -- Conversions to and from integers of the same width */

static void to_integer(Tr *t, Shape s, u8 sub, u64 fraction_bits, unsigned d, unsigned n)
{
    put_v(t, d,
          ir_emit(t->b, IR_FTOI, integer_type(s), s.lane, sub, get_v(t, s.type, n), 0, 0,
                  fraction_bits, 0));
}

static void from_integer(Tr *t, Shape s, u8 sub, u64 fraction_bits, unsigned d, unsigned n)
{
    put_v(t, d,
          ir_emit(t->b, IR_ITOF, s.type, s.lane, sub, get_v(t, integer_type(s), n), 0, 0,
                  fraction_bits, 0));
}

void tr_v_fcvt_int(Tr *t, const A_v_fcvt_int *a)
{
    to_integer(t, shape(a->scalar, a->q, a->sz), (u8)a->rmode | unsigned_bit(a->u), 0, a->rd,
               a->rn);
}

void tr_v_fcvta(Tr *t, const A_v_fcvta *a)
{
    to_integer(t, shape(a->scalar, a->q, a->sz), FP_NEAREST_AWAY | unsigned_bit(a->u), 0, a->rd,
               a->rn);
}

void tr_v_fcvt_fixed(Tr *t, const A_v_fcvt_fixed *a)
{
    to_integer(t, shape(a->scalar, a->q, a->size == 3), FP_TO_ZERO | unsigned_bit(a->u),
               (u64)a->fbits, a->rd, a->rn);
}

void tr_v_int_fcvt(Tr *t, const A_v_int_fcvt *a)
{
    from_integer(t, shape(a->scalar, a->q, a->sz), unsigned_bit(a->u), 0, a->rd, a->rn);
}

void tr_v_fixed_fcvt(Tr *t, const A_v_fixed_fcvt *a)
{
    from_integer(t, shape(a->scalar, a->q, a->size == 3), unsigned_bit(a->u), (u64)a->fbits, a->rd,
                 a->rn);
}

/* -- Conversions between precisions; `lane` is the source's */

static u8 half_format(Tr *t)
{
    return (t->g->mode & AARCH64_MODE_AHP) != 0;
}

void tr_v_fcvtn(Tr *t, const A_v_fcvtn *a)
{
    IrVal x = get_v128(t, a->rn);

    put_half(t, a->q, a->rd,
             a->sz ? vnarrow(t, IR_FCVT, IR_F64, 0, x)
                   : vnarrow(t, IR_FCVT16, IR_F32, half_format(t), x));
}

void tr_v_fcvtl(Tr *t, const A_v_fcvtl *a)
{
    IrVal x = get_half(t, a->q, a->rn);

    put_v(t, a->rd,
          a->sz ? vwide(t, IR_FCVT, IR_F32, 0, x, 0)
                : vwide(t, IR_FCVT16, IR_I16, half_format(t), x, 0));
}

/* FCVT's sub 1: rounding to odd. */
void tr_v_fcvtxn(Tr *t, const A_v_fcvtxn *a)
{
    if (a->scalar) {
        put_v(t, a->rd, ir_emit(t->b, IR_FCVT, IR_F32, IR_VOID, 1, get_f64(t, a->rn), 0, 0, 0, 0));
    } else {
        put_half(t, a->q, a->rd, vnarrow(t, IR_FCVT, IR_F64, 1, get_v128(t, a->rn)));
    }
}

/* -- Pairs and lanes to a scalar */

static void reduce_pair(Tr *t, IrOp op, bool is_double, unsigned d, unsigned n)
{
    IrType type = float_type(is_double);
    IrVal v = get_v128(t, n);

    put_v(t, d, ir_binary(t->b, op, ir_vget(t, type, type, v, 0), ir_vget(t, type, type, v, 1)));
}

void tr_v_faddp_scalar(Tr *t, const A_v_faddp_scalar *a)
{
    reduce_pair(t, IR_FADD, a->sz, a->rd, a->rn);
}

void tr_v_fminmaxp_scalar(Tr *t, const A_v_fminmaxp_scalar *a)
{
    reduce_pair(t, float_minmax(a->min, false), a->sz, a->rd, a->rn);
}

void tr_v_fminmaxnmp_scalar(Tr *t, const A_v_fminmaxnmp_scalar *a)
{
    reduce_pair(t, float_minmax(a->min, true), a->sz, a->rd, a->rn);
}

/* shared/functions/vector/reduce: the halves are reduced first, (0, 1) and (2, 3). */
static void reduce_four(Tr *t, IrOp op, unsigned d, unsigned n)
{
    IrVal v = get_v128(t, n);
    IrVal low =
        ir_binary(t->b, op, ir_vget(t, IR_F32, IR_F32, v, 0), ir_vget(t, IR_F32, IR_F32, v, 1));
    IrVal high =
        ir_binary(t->b, op, ir_vget(t, IR_F32, IR_F32, v, 2), ir_vget(t, IR_F32, IR_F32, v, 3));

    put_v(t, d, ir_binary(t->b, op, low, high));
}

void tr_v_fminmaxv(Tr *t, const A_v_fminmaxv *a)
{
    reduce_four(t, float_minmax(a->min, false), a->rd, a->rn);
}

void tr_v_fminmaxnmv(Tr *t, const A_v_fminmaxnmv *a)
{
    reduce_four(t, float_minmax(a->min, true), a->rd, a->rn);
}
