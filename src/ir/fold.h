/* What fold's rules are made of, and their names. See fold.c for how they work and what their
 * authors must know. Private to fold*.c. */
#ifndef IR_FOLD_H
#define IR_FOLD_H

#include "ir/ir.h"

enum { MAX_NEW = 4, MAX_STEPS = 32 };
enum { STORED = 1 }; /* scratch: a PUT or NOTE of the value was seen */

typedef struct Fold {
    IrRegion *region;
    u32 block;
    IrVal value;  /* the instruction at hand */
    IrInsn *insn; /* the same; instructions do not move while a rule runs */
    bool cut;     /* a branch lost a successor */
} Fold;

typedef bool FoldFn(Fold *f);

/* -- What rules are made of */

static inline IrInsn *arg_insn(const Fold *f, u32 index)
{
    return &f->region->insns[f->insn->arg[index]];
}

static inline IrVal arg_of(const Fold *f, const IrInsn *insn, u32 index)
{
    return ir_resolve(f->region, insn->arg[index]);
}

static inline u32 bits_of(IrType type)
{
    return ir_type_size(type) * 8;
}

/* Width of the instruction's result in bits. */
static inline u32 width(const Fold *f)
{
    return bits_of(f->insn->type);
}

/* Whether `value` is an integer constant of up to 64 bits; its value, zero-extended. */
static inline bool is_const(const Fold *f, IrVal value, u64 *constant)
{
    const IrInsn *insn = &f->region->insns[value];

    *constant = insn->imm;
    return insn->op == IR_CONST && ir_type_is_int(insn->type) && insn->type != IR_I128;
}

static inline bool const_arg(const Fold *f, u32 index, u64 *constant)
{
    return is_const(f, f->insn->arg[index], constant);
}

static inline bool is_ones(u64 constant, u32 bits)
{
    return constant == ir_mask(bits);
}

static inline IrVal new_insn(Fold *f, const IrInsn *insn)
{
    return ir_insert_before(f->region, f->block, f->value, insn);
}

static inline IrVal new_const(Fold *f, IrType type, u64 value)
{
    return new_insn(
        f, &(IrInsn){.op = IR_CONST, .type = (u8)type, .imm = value & ir_mask(bits_of(type))});
}

/* Rewrites the instruction; type and links stay. */
static inline bool become(Fold *f, IrOp op, u8 sub, IrVal x, IrVal y, u64 imm)
{
    IrInsn *insn = f->insn;

    insn->op = (u8)op;
    insn->lane = IR_VOID;
    insn->sub = sub;
    insn->arg[0] = x;
    insn->arg[1] = y;
    insn->arg[2] = insn->arg[3] = 0;
    insn->imm = imm;
    insn->imm2 = 0;
    return true;
}

static inline bool become_const(Fold *f, u64 value)
{
    return become(f, IR_CONST, 0, 0, 0, value & ir_mask(width(f)));
}

/* All bits zero, of any type. */
static inline bool become_zero(Fold *f)
{
    return become(f, IR_CONST, 0, 0, 0, 0);
}

static inline bool become_copy(Fold *f, IrVal of)
{
    return become(f, IR_COPY, 0, of, 0, 0);
}

/* Conversion of bits: the low bits of x, or x zero-extended, whatever the classes. */
static inline bool become_resized(Fold *f, IrVal x)
{
    IrType from = f->region->insns[x].type, to = f->insn->type;

    if (from == to) {
        return become_copy(f, x);
    }
    u32 from_bits = bits_of(from), to_bits = bits_of(to);
    if (to_bits > from_bits && ir_type_is_float(to)) {
        return false; /* no such ZEXT */
    }
    return become(f,
                  to_bits < from_bits   ? IR_TRUNC
                  : to_bits > from_bits ? IR_ZEXT
                                        : IR_BITCAST,
                  0, x, 0, 0);
}

static inline bool is_scalar_int(const Fold *f)
{
    return ir_type_is_int(f->insn->type);
}

/* Whether the value can only be 0 or 1. */
static inline bool is_boolean(const Fold *f, IrVal value)
{
    const IrInsn *insn = &f->region->insns[value];

    switch ((IrOp)insn->op) {
    case IR_CMP:
    case IR_FCMP:
    case IR_COND:
        return true;
    case IR_CONST:
        return insn->imm <= 1;
    case IR_EXTU:
        return insn->imm == 1;
    default:
        return false;
    }
}

/* The constant that shifts `insn` (a SHL, SHR or SAR of a scalar), modulo its width. */
static inline bool shift_count(const Fold *f, const IrInsn *insn, u64 *count)
{
    bool constant = is_const(f, arg_of(f, insn, 1), count);

    *count %= bits_of(insn->type);
    return constant;
}

/* -- Rules. fold_integer.c */
FoldFn fold_add_zero;
FoldFn fold_add_add;
FoldFn fold_add_neg;
FoldFn fold_sub_self;
FoldFn fold_sub_const;
FoldFn fold_sub_add;
FoldFn fold_involution;
FoldFn fold_mul_const;
FoldFn fold_divu_const;
FoldFn fold_divu2_narrow;
FoldFn fold_divfitu;
FoldFn fold_and_const;
FoldFn fold_and_and;
FoldFn fold_and_shift;
FoldFn fold_and_extu;
FoldFn fold_and_not;
FoldFn fold_same_is_copy;
FoldFn fold_same_is_zero;
FoldFn fold_andn_const;
FoldFn fold_or_const;
FoldFn fold_xor_const;

/* fold_field.c */
FoldFn fold_shift_zero;
FoldFn fold_shift_shift;
FoldFn fold_shr_shl;
FoldFn fold_field_field;
FoldFn fold_field_whole;
FoldFn fold_field_and;
FoldFn fold_field_extended;
FoldFn fold_low_half_of_sum;
FoldFn fold_dep_simple;
FoldFn fold_extr_simple;
FoldFn fold_double_shift;

/* fold_move.c */
FoldFn fold_trunc_moved;
FoldFn fold_trunc_masked;
FoldFn fold_zext_moved;
FoldFn fold_sext_moved;
FoldFn fold_bitcast_bitcast;
FoldFn fold_vget_lane;
FoldFn fold_vset_zero;
FoldFn fold_vhigh_cat;
FoldFn fold_vcat_zero;
FoldFn fold_vshift_zero;

/* fold_flags.c */
FoldFn fold_carry_const;
FoldFn fold_flags_unchanged;
FoldFn fold_pick_all;
FoldFn fold_pick_pick;
FoldFn fold_nzcv_make;

/* fold_choice.c */
FoldFn fold_cmp_swap;
FoldFn fold_cmp_self;
FoldFn fold_cmp_unsigned;
FoldFn fold_cmp_boolean;
FoldFn fold_cmp_zero;
FoldFn fold_tst_masked;
FoldFn fold_select_simple;
FoldFn fold_select_boolean;
FoldFn fold_phi_same;
FoldFn fold_branch_const;

#endif
