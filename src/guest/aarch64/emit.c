/* Operands of AArch64 instructions as IR: registers, shifted and extended registers, conditions,
 * memory. See translate.h for what each function takes and returns.
 * Must not know any single instruction. */
#include "guest/aarch64/internal.h"
#include "guest/aarch64/translate.h"

IrVal get_r_sp(Tr *t, IrType type, unsigned n)
{
    return ir_trunc(t->b, type, ir_get(t->b, IR_I64, SLOT_X(n)));
}

IrVal get_r(Tr *t, IrType type, unsigned n)
{
    return n == REG_ZERO ? ir_const(t->b, type, 0) : get_r_sp(t, type, n);
}

void put_r_sp(Tr *t, unsigned n, IrVal value)
{
    ir_put(t->b, SLOT_X(n), ir_zext(t->b, IR_I64, value));
}

void put_r(Tr *t, unsigned n, IrVal value)
{
    if (n != REG_ZERO) {
        put_r_sp(t, n, value);
    }
}

IrVal get_v(Tr *t, IrType type, unsigned n)
{
    return ir_trunc(t->b, type, ir_get(t->b, IR_V128, SLOT_V(n)));
}

void put_v(Tr *t, unsigned n, IrVal value)
{
    ir_put(t->b, SLOT_V(n), ir_zext(t->b, IR_V128, value));
}

IrVal shift_imm(Tr *t, IrVal value, unsigned kind, unsigned amount)
{
    static const u8 ops[] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};

    if (amount == 0) {
        return value;
    }
    return ir_binary(t->b, (IrOp)ops[kind], value, const_w(t, amount));
}

IrVal extend_reg(Tr *t, IrType type, unsigned m, unsigned option, unsigned shift)
{
    IrType narrow = lane_type(option & 3);
    IrVal value;

    if (narrow >= type) { /* UXTX and SXTX take the whole register, as does UXTW of a W register */
        value = get_r(t, type, m);
    } else {
        value = get_r(t, narrow, m);
        value = option & 4 ? ir_sext(t->b, type, value) : ir_zext(t->b, type, value);
    }
    return shift_imm(t, value, 0, shift);
}

void set_flags(Tr *t, IrVal flags)
{
    drop_flags_put(t);
    t->flags = flags;
    ir_put(t->b, SLOT(flags), flags);
    t->flags_put = t->b->region->blocks[t->b->block].last;
}

IrVal get_flags(Tr *t)
{
    if (!t->flags) {
        t->flags = ir_get(t->b, IR_I32, SLOT(flags));
    }
    return t->flags;
}

IrVal condition(Tr *t, unsigned cond)
{
    /* IrCond follows the order of the manual's cond<3:0> (C1.2.4). */
    return cond >= 14 ? const_w(t, 1) : ir_cond(t->b, (IrCond)cond, get_flags(t));
}

IrVal carry(Tr *t)
{
    return ir_cond(t->b, IR_COND_C, get_flags(t));
}

Address address_imm(Tr *t, unsigned n, s64 offset)
{
    return (Address){.base = get_x_sp(t, n), .offset = offset};
}

IrVal data_address(Tr *t, IrVal address)
{
    return t->g->mode & AARCH64_MODE_TAGGED ? ir_and(t->b, address, const_x(t, ~(u64)0 >> 8))
                                            : address;
}

/* The address as one value, where that is needed to take the tag from it. */
static Address untag(Tr *t, Address a)
{
    IrVal sum = a.base;

    if (!(t->g->mode & AARCH64_MODE_TAGGED)) {
        return a;
    }
    if (a.index) {
        sum = ir_add(t->b, sum, shift_imm(t, a.index, 0, a.scale));
    }
    sum = ir_add(t->b, sum, const_x(t, (u64)a.offset));
    return (Address){.base = data_address(t, sum)};
}

IrVal load(Tr *t, IrType type, Address a, u8 order)
{
    a = untag(t, a);
    return ir_emit(t->b, IR_LOAD, type, IR_VOID, a.scale | order, a.base, a.index, 0, (u64)a.offset,
                   0);
}

void store(Tr *t, Address a, IrVal value, u8 order)
{
    a = untag(t, a);
    ir_emit(t->b, IR_STORE, ir_type_of(t->b, value), IR_VOID, a.scale | order, a.base, a.index,
            value, (u64)a.offset, 0);
}
