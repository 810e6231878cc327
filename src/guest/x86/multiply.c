/* Multiplication and division. The flags that the manual leaves undefined after a multiplication
 * are 0; a division leaves all of them as they are. */
#include "guest/x86/internal.h"

static IrVal extend(Tr *t, bool is_signed, IrType type, IrVal x)
{
    return is_signed ? ir_sext(t->b, type, x) : ir_zext(t->b, type, x);
}

static IrVal product_flags(Tr *t, bool is_signed, IrVal x, IrVal y)
{
    return ir_emit(t->b, IR_FLAGS_MUL, IR_I32, IR_VOID, is_signed ? IR_SIGNED : 0, x, y, 0, 0, 0);
}

/* -- Multiplication */

/* The accumulator times an operand, double width: AX, DX:AX, EDX:EAX or RDX:RAX. */
static void multiply(Tr *t, bool is_signed)
{
    IrType type = type_of_operand(t, 0);
    IrVal x = get_gpr(t, type, X86_RAX), y = read_operand(t, 0, type);
    IrVal flags = product_flags(t, is_signed, x, y);

    if (type >= IR_I32) {
        IrVal high = ir_binary(t->b, is_signed ? IR_MULHS : IR_MULHU, x, y);
        put_gpr(t, X86_RAX, ir_binary(t->b, IR_MUL, x, y));
        put_gpr(t, X86_RDX, high);
    } else {
        IrVal product = ir_binary(t->b, IR_MUL, extend(t, is_signed, IR_I32, x),
                                  extend(t, is_signed, IR_I32, y));
        put_gpr(t, X86_RAX, ir_trunc(t->b, IR_I16, product));
        if (type == IR_I16) {
            IrVal high = ir_binary(t->b, IR_SHR, product, const32(t, 16));
            put_gpr(t, X86_RDX, ir_trunc(t->b, IR_I16, high));
        }
    }
    set_flags(t, flags);
}

void tr_MUL(Tr *t)
{
    multiply(t, false);
}

void tr_IMUL1(Tr *t)
{
    multiply(t, true);
}

void tr_IMUL(Tr *t)
{
    t->out = ir_binary(t->b, IR_MUL, t->src[0], t->src[1]);
    t->flags_out = product_flags(t, true, t->src[0], t->src[1]);
}

void tr_MULX(Tr *t)
{
    IrType type = type_of_operand(t, 0);
    IrVal x = get_gpr(t, type, X86_RDX), y = read_operand(t, 2, type);
    IrVal high = ir_binary(t->b, IR_MULHU, x, y), low = ir_binary(t->b, IR_MUL, x, y);

    write_operand(t, 1, low); /* if both are the same register, the high half is what stays */
    write_operand(t, 0, high);
}

/* -- Division */

/* #DE unless the quotient fits. `divisor` is as wide as the dividend. */
static void check_quotient(Tr *t, bool is_signed, IrType narrow, IrVal divisor, IrVal quotient)
{
    IrType type = ir_type_of(t->b, divisor);
    IrVal zero = ir_cmp(t->b, IR_EQ, divisor, ir_const(t->b, type, 0));
    IrVal cut = extend(t, is_signed, type, ir_trunc(t->b, narrow, quotient));

    fault_if(t, ir_or(t->b, zero, ir_cmp(t->b, IR_NE, quotient, cut)), X86_DE, false, 0);
}

/* AX by a byte, or DX:AX by a word, as 32-bit numbers. */
static void divide_narrow(Tr *t, bool is_signed, IrType type)
{
    IrBuilder *b = t->b;
    IrVal divisor = extend(t, is_signed, IR_I32, read_operand(t, 0, type));
    IrVal dividend, quotient, remainder;

    if (type == IR_I8) {
        dividend = extend(t, is_signed, IR_I32, get_gpr(t, IR_I16, X86_RAX));
    } else {
        IrVal high = ir_zext(b, IR_I32, get_gpr(t, IR_I16, X86_RDX));
        dividend = ir_or(b, ir_binary(b, IR_SHL, high, const32(t, 16)),
                         ir_zext(b, IR_I32, get_gpr(t, IR_I16, X86_RAX)));
    }
    quotient = ir_binary(b, is_signed ? IR_DIVS : IR_DIVU, dividend, divisor);
    check_quotient(t, is_signed, type, divisor, quotient);
    remainder = ir_sub(b, dividend, ir_binary(b, IR_MUL, quotient, divisor));
    put_gpr(t, X86_RAX, ir_trunc(b, type, quotient));
    if (type == IR_I8) {
        put_gpr_high(t, X86_RAX, ir_trunc(b, type, remainder));
    } else {
        put_gpr(t, X86_RDX, ir_trunc(b, type, remainder));
    }
}

static void divide(Tr *t, bool is_signed)
{
    IrType type = type_of_operand(t, 0);
    IrVal high, low, divisor, fits, quotient, remainder;

    if (type < IR_I32) {
        divide_narrow(t, is_signed, type);
        return;
    }
    high = get_gpr(t, type, X86_RDX);
    low = get_gpr(t, type, X86_RAX);
    divisor = read_operand(t, 0, type);
    fits = ir_emit(t->b, is_signed ? IR_DIVFITS : IR_DIVFITU, IR_I32, IR_VOID, 0, high, low,
                   divisor, 0, 0);
    fault_if(t, ir_cmp(t->b, IR_EQ, fits, const32(t, 0)), X86_DE, false, 0);
    quotient =
        ir_emit(t->b, is_signed ? IR_DIVS2 : IR_DIVU2, type, IR_VOID, 0, high, low, divisor, 0, 0);
    remainder =
        ir_emit(t->b, is_signed ? IR_REMS2 : IR_REMU2, type, IR_VOID, 0, high, low, divisor, 0, 0);
    put_gpr(t, X86_RAX, quotient);
    put_gpr(t, X86_RDX, remainder);
}

void tr_DIV(Tr *t)
{
    divide(t, false);
}

void tr_IDIV(Tr *t)
{
    divide(t, true);
}

/* -- Sign extension into the other half */

void tr_CBW(Tr *t)
{
    IrType type = operand_type(t);

    put_gpr(t, X86_RAX, ir_sext(t->b, type, get_gpr(t, (IrType)(type - 1), X86_RAX)));
}

void tr_CWD(Tr *t)
{
    IrType type = operand_type(t);
    unsigned width = 8 * ir_type_size(type);

    put_gpr(t, X86_RDX, ir_binary(t->b, IR_SAR, get_gpr(t, type, X86_RAX), const32(t, width - 1)));
}
