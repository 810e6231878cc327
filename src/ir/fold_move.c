/* Rules of fold for what moves bits about: conversions, and lanes of vectors. See fold.c. */
#include "ir/fold.h"

/* -- Conversions */

/* The low bits of something that moved bits about. */
bool fold_trunc_moved(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal x = arg_of(f, inner, 0);
    u32 from = bits_of(f->region->insns[x].type);

    switch ((IrOp)inner->op) {
    case IR_TRUNC:
    case IR_BITCAST:
    case IR_ZEXT:
        return become_resized(f, x);
    case IR_SEXT:
        return from >= width(f) && become_resized(f, x);
    case IR_VCAT:
        return width(f) <= 64 && become_resized(f, x);
    case IR_EXTU:
    case IR_EXTS: /* the field is wider than what is wanted */
        return inner->sub == 0 && inner->imm >= width(f) && become_resized(f, x);
    case IR_DEP: /* of the replaced part, or below it */
        return inner->sub >= width(f) ? become_resized(f, x)
                                      : inner->sub == 0 && inner->imm >= width(f) &&
                                            become_resized(f, arg_of(f, inner, 1));
    default:
        return false;
    }
}

/* The low bits of x & c, x | c where the constant does nothing to them. */
bool fold_trunc_masked(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 c;

    if ((inner->op != IR_AND && inner->op != IR_OR) || width(f) > 64 ||
        !is_const(f, arg_of(f, inner, 1), &c)) {
        return false;
    }
    u64 low = c & ir_mask(width(f));
    return (inner->op == IR_AND ? is_ones(low, width(f)) : low == 0) &&
           become_resized(f, arg_of(f, inner, 0));
}

bool fold_zext_moved(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal x = arg_of(f, inner, 0);
    IrType from = f->region->insns[x].type;

    if (inner->op == IR_ZEXT) {
        return become_resized(f, x);
    }
    if (inner->op == IR_TRUNC && from == f->insn->type && (from == IR_I32 || from == IR_I64)) {
        return become(f, IR_EXTU, 0, x, 0, bits_of(inner->type));
    }
    /* a vector's class of bits says nothing: extend from what the bits were before */
    return inner->op == IR_BITCAST && ir_type_is_vector(f->insn->type) && become_resized(f, x);
}

bool fold_sext_moved(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal x = arg_of(f, inner, 0);
    IrType from = f->region->insns[x].type;

    if (inner->op == IR_SEXT || inner->op == IR_ZEXT) {
        return become(f, (IrOp)inner->op, 0, x, 0, 0);
    }
    return inner->op == IR_TRUNC && from == f->insn->type && (from == IR_I32 || from == IR_I64) &&
           become(f, IR_EXTS, 0, x, 0, bits_of(inner->type));
}

bool fold_bitcast_bitcast(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    return (inner->op == IR_BITCAST || inner->op == IR_TRUNC) &&
           become_resized(f, arg_of(f, inner, 0));
}

/* -- Vectors */

bool fold_vget_lane(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u32 lane = bits_of(f->insn->lane);

    if (lane != width(f)) {
        return false;
    }
    if (inner->op == IR_VSET && bits_of(inner->lane) == lane) {
        IrVal set = arg_of(f, inner, 1);
        if (inner->imm != f->insn->imm) {
            f->insn->arg[0] = arg_of(f, inner, 0);
            return true;
        }
        return bits_of(f->region->insns[set].type) >= lane && become_resized(f, set);
    }
    if (inner->op == IR_VCAT && lane == 64) {
        return become_resized(f, arg_of(f, inner, (u32)f->insn->imm));
    }
    return f->insn->imm == 0 && become_resized(f, f->insn->arg[0]);
}

bool fold_vhigh_cat(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    if (inner->op == IR_VCAT) {
        return become_copy(f, arg_of(f, inner, 1));
    }
    return inner->op == IR_ZEXT && bits_of(f->region->insns[arg_of(f, inner, 0)].type) <= 64 &&
           become_zero(f);
}

/* Lane 0 of zeros set is a zero-extension. */
bool fold_vset_zero(Fold *f)
{
    const IrInsn *v = arg_insn(f, 0);

    return v->op == IR_CONST && !v->imm && !v->imm2 && f->insn->imm == 0 &&
           bits_of(arg_insn(f, 1)->type) == bits_of(f->insn->lane) &&
           bits_of(f->insn->lane) < width(f) && become(f, IR_ZEXT, 0, f->insn->arg[1], 0, 0);
}

bool fold_vcat_zero(Fold *f)
{
    const IrInsn *high = arg_insn(f, 1);

    return high->op == IR_CONST && high->imm == 0 && become(f, IR_ZEXT, 0, f->insn->arg[0], 0, 0);
}

bool fold_vshift_zero(Fold *f)
{
    return f->insn->imm == 0 && become_copy(f, f->insn->arg[0]);
}
