/* Loads and stores of general registers (C4.1.96), without the ordered and atomic ones. */
#include "guest/aarch64/memory.h"

/* The index register of a register-offset address, extended; the shift is the caller's. */
Address address_index(Tr *t, unsigned n, unsigned m, unsigned option, unsigned shift)
{
    Address a = address_imm(t, n, 0);

    a.index = extend_reg(t, IR_I64, m, option, shift > 3 ? shift : 0);
    a.scale = shift > 3 ? 0 : (u8)shift;
    return a;
}

Address address_mode(Tr *t, unsigned n, unsigned mode, s64 offset)
{
    return address_imm(t, n, mode == MODE_POST ? 0 : offset);
}

void write_back(Tr *t, unsigned n, unsigned mode, Address a, s64 offset)
{
    if (mode & 1) {
        put_r_sp(t, n, ir_add(t->b, a.base, const_x(t, (u64)offset)));
    }
}

/* The value of a load of 1 << size bytes as register rt gets it. opc: 1 zero-extended, 2
 * sign-extended to 64 bits, 3 to 32. */
static IrVal load_extended(Tr *t, unsigned size, unsigned opc, Address a)
{
    IrVal value = load(t, lane_type(size), a, 0);

    if (opc >= 2) {
        value = ir_sext(t->b, opc == 2 ? IR_I64 : IR_I32, value);
    }
    return value;
}

/* One access; opc 0 stores. Then the base is written back as `mode` says. */
static void access_one(Tr *t, unsigned size, unsigned opc, unsigned rt, Address a)
{
    if (opc == 0) {
        store(t, a, get_r(t, lane_type(size), rt), 0);
    } else {
        put_r(t, rt, load_extended(t, size, opc, a));
    }
}

void tr_ldst_imm9(Tr *t, const A_ldst_imm9 *a)
{
    Address at = address_mode(t, a->rn, a->mode, a->imm);

    access_one(t, a->size, a->opc, a->rt, at);
    write_back(t, a->rn, a->mode, at, a->imm);
}

void tr_ldst_uimm(Tr *t, const A_ldst_uimm *a)
{
    access_one(t, a->size, a->opc, a->rt, address_imm(t, a->rn, a->imm));
}

void tr_ldst_reg(Tr *t, const A_ldst_reg *a)
{
    access_one(t, a->size, a->opc, a->rt,
               address_index(t, a->rn, a->rm, a->option, (unsigned)a->shift));
}

void tr_ldr_lit(Tr *t, const A_ldr_lit *a)
{
    Address at = {.base = const_x(t, t->pc + (u64)(s64)a->imm)};
    IrVal value = load(t, a->opc == 1 ? IR_I64 : IR_I32, at, 0);

    put_r(t, a->rt, a->opc == 2 ? ir_sext(t->b, IR_I64, value) : value);
}

void tr_ldst_pair(Tr *t, const A_ldst_pair *a)
{
    enum { SIGNED_WORDS = 1, DOUBLE_WORDS = 2 };
    IrType type = a->opc == DOUBLE_WORDS ? IR_I64 : IR_I32;
    Address first = address_mode(t, a->rn, a->mode, a->imm);
    Address second = address_plus(first, ir_type_size(type));
    IrVal x, y;

    if (a->load) {
        x = load(t, type, first, 0);
        y = load(t, type, second, 0);
        if (a->opc == SIGNED_WORDS) {
            x = ir_sext(t->b, IR_I64, x);
            y = ir_sext(t->b, IR_I64, y);
        }
        put_r(t, a->rt, x);
        put_r(t, a->rt2, y);
    } else {
        store(t, first, get_r(t, type, a->rt), 0);
        store(t, second, get_r(t, type, a->rt2), 0);
    }
    write_back(t, a->rn, a->mode, first, a->imm);
}

/* -- Prefetches are hints */

void tr_prfm_lit(Tr *t, const A_prfm_lit *a)
{
    (void)t, (void)a;
}

void tr_prfm_unscaled(Tr *t, const A_prfm_unscaled *a)
{
    (void)t, (void)a;
}

void tr_prfm_uimm(Tr *t, const A_prfm_uimm *a)
{
    (void)t, (void)a;
}

void tr_prfm_reg(Tr *t, const A_prfm_reg *a)
{
    (void)t, (void)a;
}
