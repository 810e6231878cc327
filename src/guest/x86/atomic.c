/* Compare and exchange, and fences. Other instructions that may be locked are plain handlers: see
 * operands.c. */
#include "guest/x86/internal.h"

/* Equal: the destination becomes the source. Otherwise the accumulator becomes the destination; of
 * 64 bits only what is written, so that an equal 32-bit comparison leaves RAX alone. Memory is
 * written in any case. */
void tr_CMPXCHG(Tr *t)
{
    IrType type = type_of_operand(t, 0);
    IrVal accumulator = get_gpr(t, type, X86_RAX), value = read_operand(t, 1, type);
    IrVal old, equal, whole = get_gpr(t, IR_I64, X86_RAX);
    bool locked = t->i->prefixes & X86_PREFIX_LOCK;

    if (locked) {
        old = compare_and_swap(t, operand_address(t, ir_type_size(type), ir_type_size(type), true),
                               accumulator, value);
    } else {
        old = read_operand(t, 0, type);
    }
    equal = ir_cmp(t->b, IR_EQ, accumulator, old);
    if (!locked && is_memory(t, 0)) {
        store_memory(t, 0, ir_select(t->b, equal, value, old));
    }
    if (type >= IR_I32) {
        IrVal wide = ir_zext(t->b, IR_I64, old);
        ir_put(t->b, SLOT_GPR(X86_RAX), ir_select(t->b, equal, whole, wide));
    } else {
        put_gpr(t, X86_RAX, old); /* where they are equal it changes nothing */
    }
    if (!is_memory(t, 0) && type == IR_I32) { /* all 64 bits stay where they differ */
        u32 slot = SLOT_GPR(t->i->operand[0].number);
        IrVal wide = ir_zext(t->b, IR_I64, value);
        ir_put(t->b, slot, ir_select(t->b, equal, wide, ir_get(t->b, IR_I64, slot)));
    } else if (!is_memory(t, 0)) {
        write_operand(t, 0, ir_select(t->b, equal, value, old));
    }
    set_flags(t, ir_emit(t->b, IR_FLAGS_SUB, IR_I32, IR_VOID, 0, accumulator, old, 0, 0, 0));
}

static IrVal join_words(Tr *t, unsigned high, unsigned low)
{
    IrVal top = ir_binary(t->b, IR_SHL, get_gpr(t, IR_I64, high), const32(t, 32));

    return ir_or(t->b, top, ir_zext(t->b, IR_I64, get_gpr(t, IR_I32, low)));
}

static IrVal join_quadwords(Tr *t, unsigned high, unsigned low)
{
    return ir_emit(t->b, IR_VCAT, IR_V128, IR_VOID, 0,
                   ir_bitcast(t->b, IR_V64, get_gpr(t, IR_I64, low)),
                   ir_bitcast(t->b, IR_V64, get_gpr(t, IR_I64, high)), 0, 0, 0);
}

/* Only ZF changes; the accumulator does if they differ. Atomic even without LOCK. */
static void exchange_pair(Tr *t, IrVal equal, IrVal low, IrVal high)
{
    IrVal a = get_gpr(t, IR_I64, X86_RAX), d = get_gpr(t, IR_I64, X86_RDX);
    IrVal zero_flag = ir_select(t->b, equal, const32(t, IR_FLAG_Z), const32(t, 0));

    ir_put(t->b, SLOT_GPR(X86_RAX), ir_select(t->b, equal, a, low));
    ir_put(t->b, SLOT_GPR(X86_RDX), ir_select(t->b, equal, d, high));
    set_flags(t, pick_flags(t, IR_FLAG_Z, zero_flag, get_flags(t)));
}

void tr_CMPXCHG8B(Tr *t)
{
    IrVal address = operand_address(t, 8, 8, true);
    IrVal expected = join_words(t, X86_RDX, X86_RAX), value = join_words(t, X86_RCX, X86_RBX);
    IrVal old = compare_and_swap(t, address, expected, value);
    IrVal low = ir_zext(t->b, IR_I64, ir_trunc(t->b, IR_I32, old));

    exchange_pair(t, ir_cmp(t->b, IR_EQ, old, expected), low,
                  ir_binary(t->b, IR_SHR, old, const32(t, 32)));
}

void tr_CMPXCHG16B(Tr *t)
{
    IrBuilder *b = t->b;
    IrVal address = operand_address(t, 16, 1, true), expected, value, old, low, high, differ;

    fault_if(t, ir_cmp(b, IR_TST, address, const64(t, 15)), X86_GP, true, 0);
    expected = join_quadwords(t, X86_RDX, X86_RAX);
    value = join_quadwords(t, X86_RCX, X86_RBX);
    old = compare_and_swap(t, address, expected, value);
    low = ir_vector(b, IR_VGET, IR_I64, IR_I64, 0, old, 0, 0);
    high = ir_vector(b, IR_VGET, IR_I64, IR_I64, 0, old, 0, 1);
    differ = ir_or(b, ir_xor(b, low, get_gpr(t, IR_I64, X86_RAX)),
                   ir_xor(b, high, get_gpr(t, IR_I64, X86_RDX)));
    exchange_pair(t, ir_cmp(b, IR_EQ, differ, const64(t, 0)), low, high);
}

/* MFENCE, LFENCE, SFENCE: t->arg is FENCE's sub. */
void tr_fence(Tr *t)
{
    ir_emit(t->b, IR_FENCE, IR_VOID, IR_VOID, (u8)t->arg, 0, 0, 0, 0, 0);
}
