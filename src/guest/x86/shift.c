/* Shifts and rotations, with and without flags.
 *
 * Counts are taken modulo 32, or 64 for 64-bit operands; a count of 0 leaves the flags alone, which
 * FLAGS_SHL and the like know. So 8- and 16-bit operands may be shifted out altogether: those are
 * shifted as 32 bits. */
#include "guest/x86/internal.h"

static unsigned width_of(Tr *t, IrVal x)
{
    return 8 * ir_type_size(ir_type_of(t->b, x));
}

/* The second operand, a byte, as a count. */
static IrVal shift_count(Tr *t, unsigned n)
{
    const X86Operand *o = &t->i->operand[n];

    return o->kind == X86_OPERAND_GPR ? ir_zext(t->b, IR_I32, get_gpr(t, IR_I8, o->number))
                                      : const32(t, (u8)o->value);
}

/* Whether the count is known, and then whether it is 0. */
static bool is_constant(const Tr *t, unsigned n)
{
    return t->i->operand[n].kind != X86_OPERAND_GPR;
}

static bool is_zero(const Tr *t, unsigned n, unsigned width)
{
    return is_constant(t, n) && (t->i->operand[n].value & (width == 64 ? 63 : 31)) == 0;
}

/* The flags that an instruction with count operand n keeps for a count of 0. */
static IrVal kept_flags(Tr *t, unsigned n)
{
    return is_constant(t, n) ? const32(t, 0) : get_flags(t);
}

static IrVal shift_flags(Tr *t, IrOp op, IrVal x, IrVal count, IrVal old)
{
    return ir_emit(t->b, op, IR_I32, IR_VOID, 0, x, count, old, 0, 0);
}

/* -- Shifts */

/* x shifted by a count modulo 32 or 64. */
static IrVal shift_value(Tr *t, IrOp op, IrVal x, IrVal count)
{
    IrType type = ir_type_of(t->b, x);

    if (type < IR_I32) {
        x = op == IR_SAR ? ir_sext(t->b, IR_I32, x) : ir_zext(t->b, IR_I32, x);
    }
    return ir_trunc(t->b, type, ir_binary(t->b, op, x, count));
}

static void shift(Tr *t, IrOp op, IrOp flags_op)
{
    IrVal x = t->src[0], count = shift_count(t, 1);

    t->out = x;
    if (!is_zero(t, 1, width_of(t, x))) {
        t->out = shift_value(t, op, x, count);
        t->flags_out = shift_flags(t, flags_op, x, count, kept_flags(t, 1));
    }
}

void tr_SHL(Tr *t)
{
    shift(t, IR_SHL, IR_FLAGS_SHL);
}

void tr_SHR(Tr *t)
{
    shift(t, IR_SHR, IR_FLAGS_SHR);
}

void tr_SAR(Tr *t)
{
    shift(t, IR_SAR, IR_FLAGS_SAR);
}

/* -- Rotations: only C and V come from them, so that the other flags are always kept */

static void rotate(Tr *t, IrVal result, IrOp flags_op, IrVal count)
{
    t->out = result;
    if (!is_zero(t, 1, width_of(t, t->src[0]))) {
        t->flags_out = shift_flags(t, flags_op, t->src[0], count, get_flags(t));
    }
}

void tr_ROL(Tr *t)
{
    IrVal count = shift_count(t, 1);
    IrVal right = ir_unary(t->b, IR_NEG, IR_I32, count);

    rotate(t, ir_binary(t->b, IR_ROR, t->src[0], right), IR_FLAGS_ROL, count);
}

void tr_ROR(Tr *t)
{
    IrVal count = shift_count(t, 1);

    rotate(t, ir_binary(t->b, IR_ROR, t->src[0], count), IR_FLAGS_ROR, count);
}

static void rotate_through_carry(Tr *t, IrOp op, IrOp flags_op)
{
    IrVal x = t->src[0], count = shift_count(t, 1);
    IrVal result = ir_emit(t->b, op, ir_type_of(t->b, x), IR_VOID, 0, x, count, get_flags(t), 0, 0);

    rotate(t, result, flags_op, count);
}

void tr_RCL(Tr *t)
{
    rotate_through_carry(t, IR_RCL, IR_FLAGS_RCL);
}

void tr_RCR(Tr *t)
{
    rotate_through_carry(t, IR_RCR, IR_FLAGS_RCR);
}

/* -- Double shifts */

/* 16-bit operands: for counts above 16, which leave the result undefined, the destination's bits
 * come in again behind the source's, as they do on CPUs. */
static IrVal double_shift16(Tr *t, bool left, IrVal x, IrVal y, IrVal count)
{
    IrBuilder *b = t->b;
    IrVal sixteen = const32(t, 16), shifted;
    IrVal first = ir_zext(b, IR_I64, x), second = ir_zext(b, IR_I64, y);
    IrVal ring = ir_or(b, ir_or(b, first, ir_binary(b, IR_SHL, first, const32(t, 32))),
                       ir_binary(b, IR_SHL, second, sixteen));

    count = ir_and(b, count, const32(t, 31));
    if (left) {
        shifted = ir_binary(b, IR_SHR, ir_binary(b, IR_SHL, ring, count), const32(t, 32));
    } else {
        shifted = ir_binary(b, IR_SHR, ring, count);
    }
    return ir_trunc(b, IR_I16, shifted);
}

/* C is the last bit shifted out of the destination, V whether the sign changed. */
static IrVal double_shift_flags(Tr *t, bool left, IrVal x, IrVal result, IrVal count)
{
    IrBuilder *b = t->b;
    unsigned width = width_of(t, x);
    IrVal out = shift_flags(t, left ? IR_FLAGS_SHL : IR_FLAGS_SHR, x, count, const32(t, 0));
    IrVal changed =
        ir_binary(b, IR_SHR, ir_xor(b, result, x), const32(t, width - 1)); /* as IR_FLAG_V */
    IrVal flags = ir_unary(b, IR_FLAGS_LOGIC, IR_I32, result);

    flags = pick_flags(t, IR_FLAG_V, resize(t, IR_I32, changed), flags);
    return pick_flags(t, IR_FLAG_C, out, flags);
}

static void double_shift(Tr *t, bool left)
{
    IrVal x = t->src[0], y = t->src[1], count = shift_count(t, 2), flags;
    unsigned width = width_of(t, x);

    t->out = x;
    if (is_zero(t, 2, width)) {
        return;
    }
    if (width == 16) {
        t->out = double_shift16(t, left, x, y, count);
    } else {
        t->out = ir_emit(t->b, left ? IR_SHLD : IR_SHRD, ir_type_of(t->b, x), IR_VOID, 0, x, y,
                         count, 0, 0);
    }
    flags = double_shift_flags(t, left, x, t->out, count);
    if (!is_constant(t, 2)) {
        IrVal counted = ir_cmp(t->b, IR_TST, count, const32(t, width == 64 ? 63 : 31));
        flags = ir_select(t->b, counted, flags, get_flags(t));
    }
    t->flags_out = flags;
}

void tr_SHLD(Tr *t)
{
    double_shift(t, true);
}

void tr_SHRD(Tr *t)
{
    double_shift(t, false);
}

/* -- BMI2: without flags; operands are 32 or 64 bits wide */

void tr_SHLX(Tr *t)
{
    t->out = ir_binary(t->b, IR_SHL, t->src[0], t->src[1]);
}

void tr_SHRX(Tr *t)
{
    t->out = ir_binary(t->b, IR_SHR, t->src[0], t->src[1]);
}

void tr_SARX(Tr *t)
{
    t->out = ir_binary(t->b, IR_SAR, t->src[0], t->src[1]);
}

void tr_RORX(Tr *t)
{
    t->out = ir_binary(t->b, IR_ROR, t->src[0], const32(t, (u8)t->i->operand[2].value));
}
