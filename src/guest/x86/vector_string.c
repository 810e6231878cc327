/* SSE4.2 string comparison: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. */
#include "guest/x86/helpers.h"
#include "guest/x86/vector.h"
#include "guest/x86/vector_helpers.h"

/* The operands' lengths in elements for the helper, from rAX and rDX: their absolute values, 255
 * standing for all that is more than a register holds. */
static IrVal explicit_length(Tr *t, unsigned n)
{
    IrType type = t->i->operand_size == 8 ? IR_I64 : IR_I32;
    IrVal x = get_gpr(t, type, n), zero = ir_const(t->b, type, 0);
    IrVal limit = ir_const(t->b, type, 255);

    x = ir_select(t->b, ir_cmp(t->b, IR_SLT, x, zero), ir_sub(t->b, zero, x), x);
    x = ir_select(t->b, ir_cmp(t->b, IR_ULT, x, limit), x, limit);
    return ir_trunc(t->b, IR_I32, x);
}

/* A bit for each element as a vector of all-ones and zero elements. */
static IrVal spread_mask(Tr *t, IrVal bits, bool words)
{
    IrVal low, high, each;

    if (words) {
        each = ir_const_v128(t->b, 0x0008000400020001, 0x0080004000200010);
        low = vsplat(t, IR_V128, IR_I16, bits);
        return vop_sub(t, IR_VCMP, IR_I16, IR_EQ, vop(t, IR_AND, IR_I16, low, each), each);
    }
    each = ir_const_v128(t->b, 0x8040201008040201, 0x8040201008040201);
    low = vsplat(t, IR_V64, IR_I8, bits);
    high = vsplat(t, IR_V64, IR_I8, ir_binary(t->b, IR_SHR, bits, const32(t, 8)));
    low = ir_emit(t->b, IR_VCAT, IR_V128, IR_VOID, 0, low, high, 0, 0, 0);
    return vop_sub(t, IR_VCMP, IR_I8, IR_EQ, vop(t, IR_AND, IR_I8, low, each), each);
}

/* Place of the first or last element found, or the number of elements. */
static IrVal found_index(Tr *t, IrVal bits, bool last, unsigned elements)
{
    IrVal none = const32(t, elements);
    IrVal place = last ? ir_sub(t->b, const32(t, 31), ir_unary(t->b, IR_CLZ, IR_I32, bits))
                       : ir_unary(t->b, IR_CTZ, IR_I32, bits);

    return ir_select(t->b, ir_cmp(t->b, IR_EQ, bits, const32(t, 0)), none, place);
}

/* What the helper returns: bits of elements below, flags above. */
static IrVal compare(Tr *t, bool explicit)
{
    unsigned control = vector_immediate(t);
    IrVal x = read_half(t, 0, 0), y = read_half(t, 1, 0), lengths = const32(t, 0);

    if (explicit) {
        IrVal second = ir_binary(t->b, IR_SHL, explicit_length(t, X86_RDX), const32(t, 8));
        lengths = ir_or(t->b, explicit_length(t, X86_RAX), second);
        control |= STRING_LENGTHS;
    }
    return ir_call(t->b, IR_I64, HELPER_COMPARE_STRINGS, x, y, const32(t, control), lengths);
}

static void put_compared_flags(Tr *t, IrVal compared)
{
    set_flags(t, ir_trunc(t->b, IR_I32, ir_binary(t->b, IR_SHR, compared, const32(t, 32))));
}

static void compare_to_mask(Tr *t, bool explicit)
{
    unsigned control = vector_immediate(t);
    IrVal compared = compare(t, explicit), bits = ir_trunc(t->b, IR_I32, compared);

    write_halves(t, 0,
                 control & STRING_SPREAD ? spread_mask(t, bits, control & STRING_WORDS) : bits, 0);
    put_compared_flags(t, compared);
}

static void compare_to_index(Tr *t, bool explicit)
{
    unsigned control = vector_immediate(t);
    IrVal compared = compare(t, explicit), bits = ir_trunc(t->b, IR_I32, compared);

    put_gpr(t, X86_RCX,
            found_index(t, bits, control & STRING_LAST, control & STRING_WORDS ? 8 : 16));
    put_compared_flags(t, compared);
}

void tr_PCMPESTRM(Tr *t)
{
    compare_to_mask(t, true);
}

void tr_PCMPESTRI(Tr *t)
{
    compare_to_index(t, true);
}

void tr_PCMPISTRM(Tr *t)
{
    compare_to_mask(t, false);
}

void tr_PCMPISTRI(Tr *t)
{
    compare_to_index(t, false);
}
