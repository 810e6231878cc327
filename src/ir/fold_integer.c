/* Rules of fold for integer arithmetic and bitwise operations: see fold.c. */
#include "ir/fold.h"

/* -- Addition and its kin */

bool fold_add_zero(Fold *f)
{
    u64 c;

    return const_arg(f, 1, &c) && c == 0 && become_copy(f, f->insn->arg[0]);
}

/* (x + c1) + c2. Not where x + c1 was PUT: it is in a register, and x may not be. */
bool fold_add_add(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 c1, c2;

    if (inner->op != IR_ADD || inner->scratch == STORED || !const_arg(f, 1, &c2) ||
        !is_const(f, arg_of(f, inner, 1), &c1)) {
        return false;
    }
    return become(f, IR_ADD, 0, arg_of(f, inner, 0), new_const(f, f->insn->type, c1 + c2), 0);
}

/* x + -y, -x + y */
bool fold_add_neg(Fold *f)
{
    const IrInsn *x = arg_insn(f, 0), *y = arg_insn(f, 1);

    if (!is_scalar_int(f)) {
        return false;
    }
    if (y->op == IR_NEG) {
        return become(f, IR_SUB, 0, f->insn->arg[0], arg_of(f, y, 0), 0);
    }
    return x->op == IR_NEG && become(f, IR_SUB, 0, f->insn->arg[1], arg_of(f, x, 0), 0);
}

bool fold_sub_self(Fold *f)
{
    return f->insn->arg[0] == f->insn->arg[1] && become_zero(f);
}

bool fold_sub_const(Fold *f)
{
    u64 c;

    if (const_arg(f, 1, &c)) {
        return become(f, IR_ADD, 0, f->insn->arg[0], new_const(f, f->insn->type, -c), 0);
    }
    return const_arg(f, 0, &c) && c == 0 && become(f, IR_NEG, 0, f->insn->arg[1], 0, 0);
}

/* (x + y) - x, (x + y) - y */
bool fold_sub_add(Fold *f)
{
    const IrInsn *sum = arg_insn(f, 0);
    IrVal y = f->insn->arg[1];

    if (sum->op != IR_ADD || !is_scalar_int(f)) {
        return false;
    }
    if (arg_of(f, sum, 0) == y) {
        return become_copy(f, arg_of(f, sum, 1));
    }
    return arg_of(f, sum, 1) == y && become_copy(f, arg_of(f, sum, 0));
}

/* NEG of NEG, NOT of NOT, BSWAP of BSWAP ...: own inverses. */
bool fold_involution(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    return inner->op == f->insn->op && inner->lane == f->insn->lane &&
           become_copy(f, arg_of(f, inner, 0));
}

bool fold_mul_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_zero(f);
    }
    if (c & (c - 1)) {
        return false;
    }
    return c == 1 ? become_copy(f, f->insn->arg[0])
                  : become(f, IR_SHL, 0, f->insn->arg[0],
                           new_const(f, IR_I32, (u64)__builtin_ctzll(c)), 0);
}

/* A dividend whose high half is 0. */
bool fold_divu2_narrow(Fold *f)
{
    u64 high;

    return const_arg(f, 0, &high) && high == 0 &&
           become(f, IR_DIVU, 0, f->insn->arg[1], f->insn->arg[2], 0);
}

/* The quotient fits if the high half is less than the divisor. */
bool fold_divfitu(Fold *f)
{
    return become(f, IR_CMP, IR_ULT, f->insn->arg[0], f->insn->arg[2], 0);
}

bool fold_divu_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c) || (c & (c - 1))) {
        return false;
    }
    return c == 0   ? become_zero(f)
           : c == 1 ? become_copy(f, f->insn->arg[0])
                    : become(f, IR_SHR, 0, f->insn->arg[0],
                             new_const(f, IR_I32, (u64)__builtin_ctzll(c)), 0);
}

/* -- Bitwise operations */

bool fold_and_const(Fold *f)
{
    u64 c;
    bool wide = width(f) >= 32; /* EXTU has no narrower types */

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_zero(f);
    }
    if (is_ones(c, width(f))) {
        return become_copy(f, f->insn->arg[0]);
    }
    if (wide && (c == 0xff || c == 0xffff || c == 0xffffffff)) {
        return become(f, IR_EXTU, 0, f->insn->arg[0], 0, (u64)__builtin_popcountll(c));
    }
    return false;
}

/* (x & c1) & c2 */
bool fold_and_and(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 c1, c2;

    if (inner->op != IR_AND || !const_arg(f, 1, &c2) || !is_const(f, arg_of(f, inner, 1), &c1)) {
        return false;
    }
    return become(f, IR_AND, 0, arg_of(f, inner, 0), new_const(f, f->insn->type, c1 & c2), 0);
}

/* (x >> c) & low ones */
bool fold_and_shift(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 mask, count;

    if (inner->op != IR_SHR || width(f) < 32 || !const_arg(f, 1, &mask) || (mask & (mask + 1)) ||
        !shift_count(f, inner, &count)) {
        return false;
    }
    u64 length = MIN((u64)__builtin_popcountll(mask), width(f) - count);
    return become(f, IR_EXTU, (u8)count, arg_of(f, inner, 0), 0, length);
}

/* Of a field that the mask keeps whole or cuts at its top. */
bool fold_and_extu(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 mask;

    if (inner->op != IR_EXTU || !const_arg(f, 1, &mask)) {
        return false;
    }
    mask &= ir_mask((u32)inner->imm);
    if (mask & (mask + 1)) {
        return false;
    }
    return mask ? become(f, IR_EXTU, inner->sub, arg_of(f, inner, 0), 0,
                         (u64)__builtin_popcountll(mask))
                : become_zero(f);
}

/* x & ~y */
bool fold_and_not(Fold *f)
{
    const IrInsn *x = arg_insn(f, 0), *y = arg_insn(f, 1);

    if (y->op == IR_NOT) {
        return become(f, IR_ANDN, 0, f->insn->arg[0], arg_of(f, y, 0), 0);
    }
    return x->op == IR_NOT && become(f, IR_ANDN, 0, f->insn->arg[1], arg_of(f, x, 0), 0);
}

bool fold_same_is_copy(Fold *f)
{
    return f->insn->arg[0] == f->insn->arg[1] && become_copy(f, f->insn->arg[0]);
}

bool fold_same_is_zero(Fold *f)
{
    return f->insn->arg[0] == f->insn->arg[1] && become_zero(f);
}

bool fold_andn_const(Fold *f)
{
    u64 c;

    if (const_arg(f, 1, &c)) {
        return become(f, IR_AND, 0, f->insn->arg[0], new_const(f, f->insn->type, ~c), 0);
    }
    return const_arg(f, 0, &c) && c == 0 && become_zero(f);
}

bool fold_or_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_copy(f, f->insn->arg[0]);
    }
    return is_ones(c, width(f)) && become_const(f, c);
}

bool fold_xor_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_copy(f, f->insn->arg[0]);
    }
    if (c == 1 && f->insn->type == IR_I32 &&
        is_boolean(f, f->insn->arg[0])) { /* negation, as the rules on CMP know it */
        return become(f, IR_CMP, IR_EQ, f->insn->arg[0], new_const(f, IR_I32, 0), 0);
    }
    return is_ones(c, width(f)) && become(f, IR_NOT, 0, f->insn->arg[0], 0, 0);
}
