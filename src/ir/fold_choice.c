/* Rules of fold for comparisons, choices and branches: see fold.c. */
#include "ir/fold.h"
#include "ir/graph.h"

bool fold_cmp_swap(Fold *f)
{
    u64 c;

    return const_arg(f, 0, &c) && !const_arg(f, 1, &c) &&
           become(f, IR_CMP, (u8)ir_cmp_swap((IrCmp)f->insn->sub), f->insn->arg[1], f->insn->arg[0],
                  0);
}

bool fold_cmp_self(Fold *f)
{
    IrCmp cmp = f->insn->sub;

    if (f->insn->arg[0] != f->insn->arg[1]) {
        return false;
    }
    if (cmp == IR_TST || cmp == IR_TSTZ) {
        return become(f, IR_CMP, cmp == IR_TST ? IR_NE : IR_EQ, f->insn->arg[0],
                      new_const(f, arg_insn(f, 0)->type, 0), 0);
    }
    return become_const(f, cmp == IR_EQ || cmp == IR_SGE || cmp == IR_SLE || cmp == IR_UGE ||
                               cmp == IR_ULE);
}

/* Unsigned order at the ends of the range. */
bool fold_cmp_unsigned(Fold *f)
{
    u64 c;
    IrCmp cmp = f->insn->sub;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0 && (cmp == IR_ULT || cmp == IR_UGE || cmp == IR_TST || cmp == IR_TSTZ)) {
        return become_const(f, cmp == IR_UGE || cmp == IR_TSTZ);
    }
    if (c == 0 && (cmp == IR_UGT || cmp == IR_ULE)) {
        f->insn->sub = cmp == IR_UGT ? IR_NE : IR_EQ;
        return true;
    }
    return c == 1 && (cmp == IR_ULT || cmp == IR_UGE) &&
           become(f, IR_CMP, cmp == IR_ULT ? IR_EQ : IR_NE, f->insn->arg[0],
                  new_const(f, arg_insn(f, 0)->type, 0), 0);
}

/* A boolean compared with 0 or 1 is itself or its negation. */
bool fold_cmp_boolean(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrCmp cmp = f->insn->sub;
    u64 c;

    if ((cmp != IR_EQ && cmp != IR_NE) || !const_arg(f, 1, &c) || c > 1 ||
        !is_boolean(f, f->insn->arg[0]) || inner->type != IR_I32) {
        return false;
    }
    if ((cmp == IR_NE) == (c == 0)) {
        return become_copy(f, f->insn->arg[0]);
    }
    switch ((IrOp)inner->op) {
    case IR_CMP:
        return become(f, IR_CMP, (u8)ir_cmp_negate((IrCmp)inner->sub), arg_of(f, inner, 0),
                      arg_of(f, inner, 1), 0);
    case IR_COND:
        return become(f, IR_COND, inner->sub ^ 1, arg_of(f, inner, 0), 0, 0);
    default: /* not FCMP: it may trap, and this may be another guest instruction */
        return false;
    }
}

/* Equality with 0 of a difference, of common bits, of an extension. Not where that was PUT: it is
 * in a register, and its operands may not be. */
bool fold_cmp_zero(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrCmp cmp = f->insn->sub;
    u64 c;

    if ((cmp != IR_EQ && cmp != IR_NE) || !const_arg(f, 1, &c) || c != 0 ||
        inner->scratch == STORED) {
        return false;
    }
    IrVal x = arg_of(f, inner, 0), y = arg_of(f, inner, 1);
    switch ((IrOp)inner->op) {
    case IR_SUB:
    case IR_XOR:
        return become(f, IR_CMP, (u8)cmp, x, y, 0);
    case IR_AND:
        return become(f, IR_CMP, cmp == IR_EQ ? IR_TSTZ : IR_TST, x, y, 0);
    case IR_NEG:
        return become(f, IR_CMP, (u8)cmp, x, f->insn->arg[1], 0);
    case IR_ZEXT:
    case IR_SEXT:
        return ir_type_is_int(f->region->insns[x].type) &&
               become(f, IR_CMP, (u8)cmp, x, new_const(f, f->region->insns[x].type, 0), 0);
    case IR_EXTU: { /* a field: its bits in place */
        u64 field = ir_mask((u32)inner->imm) << inner->sub;
        return field <= INT32_MAX && /* larger ones are no immediate on common hosts */
               become(f, IR_CMP, cmp == IR_EQ ? IR_TSTZ : IR_TST, x,
                      new_const(f, inner->type, field), 0);
    }
    default:
        return false;
    }
}

/* Bits that the tested operand masks out itself. */
bool fold_tst_masked(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 mask, c;

    if ((f->insn->sub != IR_TST && f->insn->sub != IR_TSTZ) || inner->op != IR_AND ||
        !const_arg(f, 1, &c) || !is_const(f, arg_of(f, inner, 1), &mask)) {
        return false;
    }
    return become(f, IR_CMP, f->insn->sub, arg_of(f, inner, 0), new_const(f, inner->type, mask & c),
                  0);
}

bool fold_select_simple(Fold *f)
{
    const IrInsn *condition = arg_insn(f, 0);
    IrVal x = f->insn->arg[1], y = f->insn->arg[2];
    u64 c, zero;

    if (const_arg(f, 0, &c)) {
        return become_copy(f, c ? x : y);
    }
    if (x == y) {
        return become_copy(f, x);
    }
    if (condition->op == IR_CMP && condition->sub == IR_NE && arg_insn(f, 0)->type == IR_I32 &&
        is_const(f, arg_of(f, condition, 1), &zero) && zero == 0 &&
        f->region->insns[arg_of(f, condition, 0)].type == IR_I32) {
        f->insn->arg[0] = arg_of(f, condition, 0); /* SELECT compares with 0 itself */
        return true;
    }
    return false;
}

/* A choice between booleans, one of them constant. */
bool fold_select_boolean(Fold *f)
{
    IrVal condition = f->insn->arg[0], x = f->insn->arg[1], y = f->insn->arg[2];
    u64 c;

    if (f->insn->type != IR_I32 || !is_boolean(f, condition) || !is_boolean(f, x) ||
        !is_boolean(f, y)) {
        return false;
    }
    if (is_const(f, y, &c) && c == 0) {
        return become(f, IR_AND, 0, condition, x, 0);
    }
    if (is_const(f, x, &c)) {
        return become(f, c ? IR_OR : IR_ANDN, 0, c ? condition : y, c ? y : condition, 0);
    }
    return false;
}

/* A PHI whose arguments are all one value, or itself. The copy goes behind the other PHIs. */
bool fold_phi_same(Fold *f)
{
    IrVal *args = f->region->phi_args + f->insn->imm, same = 0, next = f->value;

    for (u32 i = 0; i < f->region->blocks[f->block].predecessors; i++) {
        IrVal arg = ir_resolve(f->region, args[i]);
        if (arg != f->value && same && arg != same) {
            return false;
        }
        same = arg != f->value ? arg : same;
    }
    if (!same) {
        return false;
    }
    while (f->region->insns[next].op == IR_PHI) {
        next = f->region->insns[next].next;
    }
    ir_move_before(f->region, f->block, f->value, next);
    return become_copy(f, same);
}

bool fold_branch_const(Fold *f)
{
    IrBlock *block = &f->region->blocks[f->block];
    u64 c;

    if (!const_arg(f, 0, &c)) {
        return false;
    }
    ir_phi_drop_edge(f->region, ir_graph(f->region), f->block, block->successor[c ? 1 : 0]);
    f->region->graph = NULL;
    block->successor[0] = block->successor[c ? 0 : 1];
    block->successor[1] = 0;
    become(f, IR_JUMP, 0, 0, 0, 0);
    ir_link_blocks(f->region);
    f->cut = true;
    return true;
}
