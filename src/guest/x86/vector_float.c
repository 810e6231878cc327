/* SSE and AVX floating-point arithmetic and comparisons. A row's argument names the lane type; the
 * scalar forms, whose operands are f32 or f64, have none. */
#include "guest/x86/arguments.h"
#include "guest/x86/vector.h"

/* -- Arithmetic: see LANES() in vector.h. MINPS and MAXPS have IR_X86 as sub. */

/* A scalar's lane 0 is computed in place, in the whole register that its other lanes stay in. */
static void scalar_binary(Tr *t)
{
    const X86Operand *last = &t->i->operand[t->i->operand_count - 1], *first = last - 1;
    IrVal x = get_vector(t, IR_V128, first->number, 0);
    IrVal y = last->kind == X86_OPERAND_VECTOR ? get_vector(t, IR_V128, last->number, 0)
                                               : ir_zext(t->b, IR_V128, t->src[1]);

    t->out = vop_sub(t, arg_op(t), arg_lane(t), arg_sub(t) | IR_SCALAR, x, y);
}

void tr_float_binary(Tr *t)
{
    if (ir_type_is_float(ir_type_of(t->b, t->src[0]))) {
        scalar_binary(t);
    } else {
        t->out = vop_sub(t, arg_op(t), arg_lane(t), arg_sub(t), t->src[0], t->src[1]);
    }
}

/* SQRTPS, RCPPS, RSQRTPS. */
void tr_float_unary(Tr *t)
{
    const X86Operand *last = &t->i->operand[t->i->operand_count - 1], *first = last - 1;

    if (arg_op(t) == IR_FSQRT && ir_type_is_float(ir_type_of(t->b, t->src[0])) &&
        last->kind == X86_OPERAND_VECTOR && last->number == first->number) {
        IrVal x = get_vector(t, IR_V128, last->number, 0); /* in place, as scalar_binary() */
        t->out = vop_sub(t, IR_FSQRT, arg_lane(t), IR_SCALAR, x, 0);
    } else {
        t->out = vop(t, arg_op(t), arg_lane(t), t->src[0], 0);
    }
}

/* HADDPS and its like: between neighbours, first those of the first operand. */
void tr_float_horizontal(Tr *t)
{
    IrType lane = arg_lane(t);
    IrVal even = vop(t, IR_VUZP1, lane, t->src[0], t->src[1]);
    IrVal odd = vop(t, IR_VUZP2, lane, t->src[0], t->src[1]);

    t->out = vop(t, arg_op(t), lane, even, odd);
}

/* ROUNDPS and its like. Bit 2 of the immediate: as MXCSR says, else bits 1..0; bit 3: no inexact
 * exception. */
void tr_round_float(Tr *t)
{
    static const u8 roundings[] = {FP_NEAREST_EVEN, FP_DOWN, FP_UP, FP_TO_ZERO};
    unsigned control = vector_immediate(t);
    u8 sub = control & 4 ? IR_ROUND_CURRENT : roundings[control & 3];

    sub |= control & 8 ? 0 : IR_ROUND_EXACT;
    t->out = vop_sub(t, IR_FROUND, (IrType)t->arg, sub, t->src[0], 0);
}

/* -- DPPS and DPPD: products chosen by the immediate's high bits, summed in pairs, to the lanes
 * that the low bits choose. A step happens only if no earlier one raised an exception, and lanes
 * that are left out raise none. */

/* Multiplies or adds in all halves: one step. */
static void dot_step(Tr *t, IrOp op, IrVal x[2], IrVal y[2])
{
    IrVal begun = begin_float(t);

    for (unsigned half = 0; half < 2 && x[half]; half++) {
        x[half] = vop(t, op, (IrType)t->arg, x[half], y[half]);
    }
    end_float(t, begun);
}

/* `v` in the lanes of `chosen`, 0 in others. */
static IrVal keep_lanes(Tr *t, IrVal v, unsigned chosen)
{
    IrType lane = (IrType)t->arg;
    unsigned all = (1u << 16 / ir_type_size(lane)) - 1;

    return (chosen & all) == all ? v : vop_imm(t, IR_VBLEND, lane, vzero(t), v, chosen & all);
}

void tr_dot_product(Tr *t)
{
    IrType lane = (IrType)t->arg;
    unsigned last = t->i->operand_count - 2u, control = vector_immediate(t);
    unsigned halves = t->i->operand[0].size / 16u;
    IrVal x[2] = {0}, y[2] = {0};

    for (unsigned half = 0; half < halves; half++) {
        x[half] = get_vector(t, IR_V128, t->i->operand[last - 1].number, half);
        x[half] = keep_lanes(t, x[half], control >> 4);
        y[half] = keep_lanes(t, read_checked_half(t, last, half), control >> 4);
    }
    dot_step(t, IR_FMUL, x, y);
    for (unsigned lanes = 16 / ir_type_size(lane); lanes > 1; lanes /= 2) {
        for (unsigned half = 0; half < halves; half++) {
            y[half] = vop(t, IR_VUZP2, lane, x[half], x[half]);
            x[half] = vop(t, IR_VUZP1, lane, x[half], x[half]);
        }
        dot_step(t, IR_FADD, x, y);
    }
    for (unsigned half = 0; half < halves; half++) {
        x[half] = keep_lanes(t, x[half], control);
    }
    write_halves(t, t->i->operand[0].number, x[0], x[1]);
}

/* -- Fused multiply-add */

/* Operand n, an f32 or f64, in its whole register. */
static IrVal whole_register(Tr *t, unsigned n)
{
    const X86Operand *operand = &t->i->operand[n];

    return operand->kind == X86_OPERAND_VECTOR ? get_vector(t, IR_V128, operand->number, 0)
                                               : ir_zext(t->b, IR_V128, t->src[n]);
}

/* x * y + z, numbers of operands, with the signs of the row's FMA_*. A scalar's lane 0 is computed
 * in place, as scalar_binary() does: `kept` says in which of the three. */
static void fused(Tr *t, unsigned x, unsigned y, unsigned z, u8 kept)
{
    static const u8 subs[] = {
        [FMA_ADD] = 0,
        [FMA_SUB] = IR_FMA_NEGATE_ADDEND,
        [FMA_NEGATED_ADD] = IR_FMA_NEGATE_PRODUCT,
        [FMA_NEGATED_SUB] = IR_FMA_NEGATE_PRODUCT | IR_FMA_NEGATE_ADDEND,
        [FMA_ADDSUB] = IR_FMA_NEGATE_ADDEND | IR_FMA_EVEN,
        [FMA_SUBADD] = IR_FMA_NEGATE_ADDEND | IR_FMA_ODD,
    };
    u8 sub = subs[arg_sub(t)];

    if (ir_type_is_float(ir_type_of(t->b, t->src[0]))) {
        IrVal a = whole_register(t, x), b = whole_register(t, y), c = whole_register(t, z);
        t->out = vop3(t, IR_FMA, arg_lane(t), sub | kept, 0, a, b, c);
    } else {
        t->out = vop3(t, IR_FMA, arg_lane(t), sub, 0, t->src[x], t->src[y], t->src[z]);
    }
}

/* First operand times third plus second, and so on. */
void tr_fma_132(Tr *t)
{
    fused(t, 0, 2, 1, IR_FMA_SCALAR0);
}

void tr_fma_213(Tr *t)
{
    fused(t, 1, 0, 2, IR_FMA_SCALAR1);
}

void tr_fma_231(Tr *t)
{
    fused(t, 1, 2, 0, IR_FMA_SCALAR2);
}

/* -- Comparisons */

/* The predicates of CMPPS and VCMPPS; the upper 16 differ in whether quiet NaNs signal. */
static u8 predicate(const Tr *t)
{
    static const u8 predicates[16] = {
        IR_FEQ,  IR_FLT | IR_FCMP_SIGNALLING,  IR_FLE | IR_FCMP_SIGNALLING,  IR_FUNO,
        IR_FNE,  IR_FNLT | IR_FCMP_SIGNALLING, IR_FNLE | IR_FCMP_SIGNALLING, IR_FORD,
        IR_FUEQ, IR_FNGE | IR_FCMP_SIGNALLING, IR_FNGT | IR_FCMP_SIGNALLING, IR_FFALSE,
        IR_FONE, IR_FGE | IR_FCMP_SIGNALLING,  IR_FGT | IR_FCMP_SIGNALLING,  IR_FTRUE,
    };
    unsigned control = vector_immediate(t) & (is_vex(t) ? 31 : 7);

    return predicates[control & 15] ^ (control & 16 ? IR_FCMP_SIGNALLING : 0);
}

/* CMPPS and its like: all ones or zeros, in scalars as well. */
void tr_float_compare(Tr *t)
{
    t->out = vop_sub(t, IR_VFCMP, arg_lane(t), predicate(t), t->src[0], t->src[1]);
}

/* UCOMISS and COMISS: arg 1 for COMISS, which signals quiet NaNs as well. */
void tr_float_compare_flags(Tr *t)
{
    t->flags_out =
        ir_emit(t->b, IR_FLAGS_COMI, IR_I32, IR_VOID, (u8)t->arg, t->src[0], t->src[1], 0, 0, 0);
}
