/* SSE and AVX: conversions between floating-point formats and integers. What is out of range
 * becomes the integer indefinite. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/vector.h"

/* sub of FTOI: the truncating CVTT forms, or as MXCSR says. */
enum {
    CONVERT_CURRENT = IR_INDEFINITE | IR_ROUND_CURRENT,
    CONVERT_TRUNCATE = IR_INDEFINITE | FP_TO_ZERO,
};

/* -- Scalars */

static IrType float_type(unsigned size)
{
    return size == 8 ? IR_F64 : IR_F32;
}

/* A conversion whose result has the first operand's type, from the last operand; the lanes above
 * are those of the destination or of VEX's first source. */
static void convert_last(Tr *t, IrOp op, IrType from)
{
    const X86Operand *operand = t->i->operand;
    unsigned last = t->i->operand_count - 1u;
    IrVal x = ir_type_is_float(from) && !is_memory(t, last)
                  ? get_vector(t, from, operand[last].number, 0)
                  : read_operand(t, last, from);
    IrVal begun;

    begun = begin_float(t);
    x = vop_to(t, op, float_type(operand[0].size), IR_VOID, 0, x);
    end_float(t, begun);
    write_scalar(t, operand[0].number, operand[last - 1].number, x);
}

/* CVTSI2SS, CVTSI2SD. */
void tr_convert_from_integer(Tr *t)
{
    convert_last(t, IR_ITOF, type_of_operand(t, t->i->operand_count - 1u));
}

/* CVTSS2SD, CVTSD2SS. */
void tr_convert_scalar(Tr *t)
{
    convert_last(t, IR_FCVT, float_type(t->i->operand[t->i->operand_count - 1].size));
}

/* CVTSS2SI, CVTTSS2SI and of doubles: arg is 1 for truncation. */
void tr_convert_to_integer(Tr *t)
{
    t->out = vop_to(t, IR_FTOI, type_of_operand(t, 0), IR_VOID,
                    t->arg ? CONVERT_TRUNCATE : CONVERT_CURRENT, t->src[0]);
}

/* -- Vectors of lanes that keep their width */

/* CVTDQ2PS. */
void tr_CVTDQ2PS(Tr *t)
{
    t->out = vop_to(t, IR_ITOF, IR_V128, IR_F32, 0, t->src[0]);
}

/* CVTPS2DQ, CVTTPS2DQ: arg is 1 for truncation. */
void tr_convert_packed_to_integer(Tr *t)
{
    t->out =
        vop_to(t, IR_FTOI, IR_V128, IR_F32, t->arg ? CONVERT_TRUNCATE : CONVERT_CURRENT, t->src[0]);
}

/* -- Between MMX registers and XMM registers */

/* Operand n, an MMX register or its like in memory; v64. */
static IrVal read_mmx(Tr *t, unsigned n)
{
    return is_memory(t, n) ? load_memory(t, IR_V64, 0)
                           : get_mmx(t, IR_V64, t->i->operand[n].number);
}

/* CVTPI2PS: the high half stays. From memory it has nothing to do with MMX. */
void tr_CVTPI2PS(Tr *t)
{
    unsigned d = t->i->operand[0].number;
    IrVal x = read_mmx(t, 1), begun;

    begun = begin_float(t);
    x = vop_to(t, IR_ITOF, IR_V64, IR_F32, 0, x);
    end_float(t, begun);
    write_scalar(t, d, d, ir_bitcast(t->b, IR_F64, x));
    if (!is_memory(t, 1)) {
        enter_mmx(t);
    }
}

void tr_CVTPI2PD(Tr *t)
{
    IrVal x = vop_to(t, IR_ITOF, IR_V128, IR_F64, 0, read_mmx(t, 1));

    write_halves(t, t->i->operand[0].number, x, 0);
    if (!is_memory(t, 1)) {
        enter_mmx(t);
    }
}

/* CVTPS2PI, CVTPD2PI and truncating, with arg 1. */
void tr_convert_to_mmx(Tr *t)
{
    const X86Operand *s = &t->i->operand[1];
    IrType from = s->size == 8 ? IR_V64 : IR_V128;
    IrVal x, begun;

    x = !is_memory(t, 1)  ? get_vector(t, from, s->number, 0)
        : from == IR_V128 ? load_aligned(t, 0)
                          : load_memory(t, from, 0);
    begun = begin_float(t);
    x = vop_to(t, IR_FTOI, IR_V64, s->size == 8 ? IR_F32 : IR_F64,
               t->arg ? CONVERT_TRUNCATE : CONVERT_CURRENT, x);
    end_float(t, begun);
    put_mmx(t, t->i->operand[0].number, x);
}

/* -- To lanes of twice the width: each half of the result from half as many bytes */

static void widen_operand(Tr *t, IrOp op, IrType lane)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];
    unsigned halves = d->size / 16;
    IrVal x[2] = {0}, out[2] = {0}, begun;

    if (halves == 2) {
        IrVal whole = read_half(t, 1, 0);
        x[0] = ir_trunc(t->b, IR_V64, whole);
        x[1] = ir_unary(t->b, IR_VHIGH, IR_V64, whole);
    } else {
        x[0] = is_memory(t, 1) ? load_memory(t, IR_V64, 0) : get_vector(t, IR_V64, s->number, 0);
    }
    begun = begin_float(t);
    for (unsigned half = 0; half < halves; half++) {
        out[half] = vop_to(t, op, IR_V128, lane, 0, x[half]);
    }
    end_float(t, begun);
    write_halves(t, d->number, out[0], out[1]);
}

void tr_CVTPS2PD(Tr *t)
{
    widen_operand(t, IR_FCVT, IR_F32);
}

void tr_CVTDQ2PD(Tr *t)
{
    widen_operand(t, IR_ITOF, IR_F64);
}

void tr_VCVTPH2PS(Tr *t)
{
    widen_operand(t, IR_FCVT16, IR_I16);
}

/* -- To lanes of half the width: a v64 from each half, joined */

static void narrow_operand(Tr *t, IrOp op, IrType lane, u8 sub)
{
    unsigned halves = t->i->operand[1].size / 16;
    IrVal x[2] = {0}, out[2] = {0}, begun;

    for (unsigned half = 0; half < halves; half++) {
        x[half] = read_checked_half(t, 1, half);
    }
    begun = begin_float(t);
    for (unsigned half = 0; half < halves; half++) {
        out[half] = vop_to(t, op, IR_V64, lane, sub, x[half]);
    }
    end_float(t, begun);
    if (halves == 2) {
        out[0] = ir_emit(t->b, IR_VCAT, IR_V128, IR_VOID, 0, out[0], out[1], 0, 0, 0);
    }
    write_halves(t, t->i->operand[0].number, out[0], 0);
}

void tr_CVTPD2PS(Tr *t)
{
    narrow_operand(t, IR_FCVT, IR_F64, 0);
}

/* CVTPD2DQ, CVTTPD2DQ: arg is 1 for truncation. */
void tr_convert_doubles_to_integer(Tr *t)
{
    narrow_operand(t, IR_FTOI, IR_F64, t->arg ? CONVERT_TRUNCATE : CONVERT_CURRENT);
}

/* VCVTPS2PH: its rounding is the immediate's, which only a helper can do; to a register or
 * memory. */
void tr_VCVTPS2PH(Tr *t)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];
    unsigned halves = s->size / 16;
    IrVal control = const32(t, vector_immediate(t)), out[2] = {0}, begun;

    if (d->kind == X86_OPERAND_MEMORY) { /* a page fault leaves MXCSR's flags alone */
        touch_operand(t);
    }
    begun = begin_float(t);
    for (unsigned half = 0; half < halves; half++) {
        IrVal x = get_vector(t, IR_V128, s->number, half);
        out[half] = ir_call(t->b, IR_V64, HELPER_TO_HALF_PRECISION, x, control, 0, 0);
    }
    end_float(t, begun);
    if (halves == 2) {
        out[0] = ir_emit(t->b, IR_VCAT, IR_V128, IR_VOID, 0, out[0], out[1], 0, 0, 0);
    }
    if (d->kind == X86_OPERAND_MEMORY) {
        store_memory(t, 0, out[0]);
    } else {
        write_halves(t, d->number, out[0], 0);
    }
}
