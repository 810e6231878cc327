/* Rules of fold for shifts and bit fields: see fold.c. A field is EXTU or EXTS: sub = lowest bit,
 * imm = length. */
#include "ir/fold.h"

bool fold_shift_zero(Fold *f)
{
    u64 count;

    return shift_count(f, f->insn, &count) && count == 0 && become_copy(f, f->insn->arg[0]);
}

/* (x op c1) op c2, with the same op */
bool fold_shift_shift(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrOp op = f->insn->op;
    u64 c1, c2;

    if (inner->op != op || !shift_count(f, f->insn, &c2) || !shift_count(f, inner, &c1)) {
        return false;
    }
    u64 sum = c1 + c2;
    if (sum >= width(f)) {
        if (op != IR_SAR) {
            return become_zero(f);
        }
        sum = width(f) - 1;
    }
    return become(f, op, 0, arg_of(f, inner, 0), new_const(f, IR_I32, sum), 0);
}

/* (x << a) >> b with a <= b: a field */
bool fold_shr_shl(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 up, down;

    if (inner->op != IR_SHL || width(f) < 32 || !shift_count(f, f->insn, &down) ||
        !shift_count(f, inner, &up) || up > down) {
        return false;
    }
    return become(f, f->insn->op == IR_SHR ? IR_EXTU : IR_EXTS, (u8)(down - up),
                  arg_of(f, inner, 0), 0, width(f) - down);
}

/* A field of a field, or of a shifted value. */
bool fold_field_field(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 low = f->insn->sub, length = f->insn->imm, count;

    if (inner->op == IR_EXTU) {
        if (low >= inner->imm) {
            return become_zero(f);
        }
        if (f->insn->op == IR_EXTS && low + length > inner->imm) {
            return become(f, IR_EXTU, (u8)low, f->insn->arg[0], 0, inner->imm - low);
        }
        return become(f, f->insn->op, (u8)(low + inner->sub), arg_of(f, inner, 0), 0,
                      MIN(length, inner->imm - low));
    }
    if (inner->op == IR_EXTS && low + length <= inner->imm) {
        return become(f, f->insn->op, (u8)(low + inner->sub), arg_of(f, inner, 0), 0, length);
    }
    if (inner->op == IR_SHR && shift_count(f, inner, &count) &&
        (f->insn->op == IR_EXTU || low + length + count <= width(f))) {
        return low + count >= width(f)
                   ? become_zero(f)
                   : become(f, f->insn->op, (u8)(low + count), arg_of(f, inner, 0), 0,
                            MIN(length, width(f) - low - count));
    }
    return false;
}

bool fold_field_whole(Fold *f)
{
    return f->insn->sub == 0 && f->insn->imm == width(f) && become_copy(f, f->insn->arg[0]);
}

/* A field of x & c where the mask keeps all of it. */
bool fold_field_and(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 field = ir_mask((u32)f->insn->imm) << f->insn->sub, mask;

    return inner->op == IR_AND && is_const(f, arg_of(f, inner, 1), &mask) &&
           (mask & field) == field &&
           become(f, f->insn->op, f->insn->sub, arg_of(f, inner, 0), 0, f->insn->imm);
}

/* The low bits of a value that was extended from just as many or fewer. */
bool fold_field_extended(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrOp wanted = f->insn->op == IR_EXTU ? IR_ZEXT : IR_SEXT;

    if (f->insn->sub || (inner->op != wanted && inner->op != IR_ZEXT)) {
        return false;
    }
    u32 from = bits_of(f->region->insns[arg_of(f, inner, 0)].type);
    bool keeps = inner->op == wanted ? from <= f->insn->imm : from < f->insn->imm;
    return keeps && become_copy(f, f->insn->arg[0]);
}

/* Depositing a whole value, or into zero. */
bool fold_dep_simple(Fold *f)
{
    u64 c;

    if (f->insn->imm == width(f)) {
        return become_copy(f, f->insn->arg[1]);
    }
    return f->insn->sub == 0 && const_arg(f, 0, &c) && c == 0 &&
           become(f, IR_EXTU, 0, f->insn->arg[1], 0, f->insn->imm);
}

bool fold_extr_simple(Fold *f)
{
    u64 high;

    if (f->insn->imm == 0) {
        return become_copy(f, f->insn->arg[1]);
    }
    if (f->insn->arg[0] == f->insn->arg[1]) {
        return become(f, IR_ROR, 0, f->insn->arg[0], new_const(f, IR_I32, f->insn->imm), 0);
    }
    return const_arg(f, 0, &high) && high == 0 &&
           become(f, IR_SHR, 0, f->insn->arg[1], new_const(f, IR_I32, f->insn->imm), 0);
}

/* SHLD and SHRD by a constant: bits in the middle of the two. */
bool fold_double_shift(Fold *f)
{
    u64 count;

    if (!const_arg(f, 2, &count)) {
        return false;
    }
    count %= width(f);
    if (count == 0) {
        return become_copy(f, f->insn->arg[0]);
    }
    return f->insn->op == IR_SHLD
               ? become(f, IR_EXTR, 0, f->insn->arg[0], f->insn->arg[1], width(f) - count)
               : become(f, IR_EXTR, 0, f->insn->arg[1], f->insn->arg[0], count);
}

/* The low 32 bits of a sum or difference of 64, zero-extended, are computed in 32: the extension is
 * free then. */
bool fold_low_half_of_sum(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal args[2];

    if (f->insn->type != IR_I64 || f->insn->sub != 0 || f->insn->imm != 32 ||
        (inner->op != IR_ADD && inner->op != IR_SUB) || inner->scratch == STORED) {
        return false;
    }
    IrOp op = (IrOp)inner->op;
    for (u32 i = 0; i < 2; i++) {
        IrVal arg = arg_of(f, inner, i);
        u64 constant;
        args[i] = is_const(f, arg, &constant)
                      ? new_const(f, IR_I32, constant)
                      : new_insn(f, &(IrInsn){.op = IR_TRUNC, .type = IR_I32, .arg = {arg}});
    }
    IrVal sum = new_insn(f, &(IrInsn){.op = (u8)op, .type = IR_I32, .arg = {args[0], args[1]}});
    return become(f, IR_ZEXT, 0, sum, 0, 0);
}
