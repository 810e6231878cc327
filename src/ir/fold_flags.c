/* Rules about packed flags, and arithmetic with carries. See fold.c. */
#include "ir/fold.h"

/* ADC, SBB and their flags without a carry. */
bool fold_carry_const(Fold *f)
{
    static const u8 without[IR_OP_COUNT] = {
        [IR_ADC] = IR_ADD,
        [IR_SBB] = IR_SUB,
        [IR_FLAGS_ADC] = IR_FLAGS_ADD,
        [IR_FLAGS_SBB] = IR_FLAGS_SUB,
    };
    u64 carry;

    return const_arg(f, 2, &carry) && (carry & 1) == 0 &&
           become(f, (IrOp)without[f->insn->op], 0, f->insn->arg[0], f->insn->arg[1], 0);
}

/* A shift or rotation by 0 leaves the flags as they were. */
bool fold_flags_unchanged(Fold *f)
{
    u64 count;
    u64 mask = arg_insn(f, 0)->type == IR_I64 ? 63 : 31;

    return const_arg(f, 1, &count) && (count & mask) == 0 && become_copy(f, f->insn->arg[2]);
}

/* All flags of one. */
bool fold_pick_all(Fold *f)
{
    const IrInsn *insn = f->insn;
    IrVal only = insn->imm == IR_FLAGS          ? insn->arg[0]
                 : insn->imm == 0               ? insn->arg[1]
                 : insn->arg[0] == insn->arg[1] ? insn->arg[0]
                                                : 0;

    if (!only) {
        return false;
    }
    /* Other bits than flags are not picked. What makes flags has none, but for shifts, which pass
     * theirs on. */
    IrOp op = (IrOp)f->region->insns[only].op;
    bool shift = op >= IR_FLAGS_SHL && op <= IR_FLAGS_RCR;
    return op >= IR_FLAGS_ADD && op <= IR_FLAGS_MAKE && !shift && become_copy(f, only);
}

/* Flags picked among picked ones: those of the inner's second operand alone, or of its first. */
bool fold_pick_pick(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 1);
    u64 mask = f->insn->imm;

    if (inner->op != IR_FLAGS_PICK) {
        return false;
    }
    if (!(inner->imm & ~mask)) {
        return become(f, IR_FLAGS_PICK, 0, f->insn->arg[0], arg_of(f, inner, 1), mask);
    }
    if ((inner->imm | mask) == IR_FLAGS) {
        return become(f, IR_FLAGS_PICK, 0, f->insn->arg[0], arg_of(f, inner, 0), mask);
    }
    return false;
}

bool fold_nzcv_make(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    return inner->op == IR_FLAGS_MAKE &&
           become(f, IR_AND, 0, arg_of(f, inner, 0), new_const(f, IR_I32, 15), 0);
}
