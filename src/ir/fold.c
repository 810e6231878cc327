/* Constant folding, algebraic rules and copy propagation.
 *
 * How it works: each operation has a list of rules in the table below; the rules themselves are in
 * fold_*.c, what they are made of in fold.h. For every instruction, arguments are first replaced by
 * what they are copies of; if all are constants the evaluator is asked; else the rules are tried in
 * order. A rule that fires has rewritten the instruction in place, perhaps into another operation,
 * and everything starts again on the result, until nothing fires. A value found to equal another
 * becomes a COPY of it, which later instructions look through and the pass `dead` removes.
 *
 * For authors of rules:
 *  1. A rule looks at f->insn and its arguments (arg_insn(), const_arg()), and either returns false
 *     having changed nothing, or rewrites f->insn and returns true. Rewrites must make progress
 *     (fewer operations, or a form closer to the canonical one), so that folding ends.
 *  2. Constants stand on the right; x - c is x + -c; masks of 8, 16 and 32 bits are EXTU. Rules
 *     need to know no other form.
 *  3. At most MAX_NEW instructions may be made (new_const(), new_insn()); arguments made so are not
 *     folded themselves.
 *  4. Floating-point arithmetic is not folded: it depends on the rounding mode and raises flags. */
#include "ir/fold.h"
#include "ir/eval.h"
#include "ir/graph.h"
#include "ir/pass.h"

/* -- The table */

enum { MAX_RULES = 8 };

static FoldFn *const rules[IR_OP_COUNT][MAX_RULES] = {
    [IR_TRUNC] = {fold_trunc_moved, fold_trunc_masked},
    [IR_ZEXT] = {fold_zext_moved},
    [IR_SEXT] = {fold_sext_moved},
    [IR_BITCAST] = {fold_bitcast_bitcast},
    [IR_SELECT] = {fold_select_simple, fold_select_boolean},
    [IR_PHI] = {fold_phi_same},
    [IR_ADD] = {fold_add_zero, fold_add_add, fold_add_neg},
    [IR_SUB] = {fold_sub_self, fold_sub_const, fold_sub_add},
    [IR_MUL] = {fold_mul_const},
    [IR_DIVU] = {fold_divu_const},
    [IR_NEG] = {fold_involution},
    [IR_NOT] = {fold_involution},
    [IR_AND] = {fold_and_const, fold_same_is_copy, fold_and_and, fold_and_shift, fold_and_extu,
                fold_and_not},
    [IR_OR] = {fold_or_const, fold_same_is_copy},
    [IR_XOR] = {fold_xor_const, fold_same_is_zero},
    [IR_ANDN] = {fold_andn_const, fold_same_is_zero},
    [IR_SHL] = {fold_shift_zero, fold_shift_shift},
    [IR_SHR] = {fold_shift_zero, fold_shift_shift, fold_shr_shl},
    [IR_SAR] = {fold_shift_zero, fold_shift_shift, fold_shr_shl},
    [IR_ROR] = {fold_shift_zero},
    [IR_SHLD] = {fold_double_shift},
    [IR_SHRD] = {fold_double_shift},
    [IR_EXTR] = {fold_extr_simple},
    [IR_EXTU] = {fold_low_half_of_sum, fold_field_whole, fold_field_field, fold_field_and,
                 fold_field_extended},
    [IR_EXTS] = {fold_field_whole, fold_field_field, fold_field_and, fold_field_extended},
    [IR_DEP] = {fold_dep_simple},
    [IR_BSWAP] = {fold_involution},
    [IR_BITREV] = {fold_involution},
    [IR_CMP] = {fold_cmp_swap, fold_cmp_self, fold_cmp_unsigned, fold_cmp_zero, fold_cmp_boolean,
                fold_tst_masked},
    [IR_ADC] = {fold_carry_const},
    [IR_SBB] = {fold_carry_const},
    [IR_DIVU2] = {fold_divu2_narrow},
    [IR_DIVFITU] = {fold_divfitu},
    [IR_FLAGS_ADC] = {fold_carry_const},
    [IR_FLAGS_SBB] = {fold_carry_const},
    [IR_FLAGS_SHL] = {fold_flags_unchanged},
    [IR_FLAGS_SHR] = {fold_flags_unchanged},
    [IR_FLAGS_SAR] = {fold_flags_unchanged},
    [IR_FLAGS_ROL] = {fold_flags_unchanged},
    [IR_FLAGS_ROR] = {fold_flags_unchanged},
    [IR_FLAGS_RCL] = {fold_flags_unchanged},
    [IR_FLAGS_RCR] = {fold_flags_unchanged},
    [IR_FLAGS_PICK] = {fold_pick_all, fold_pick_pick},
    [IR_FLAGS_NZCV] = {fold_nzcv_make},
    [IR_FNEG] = {fold_involution},
    [IR_VGET] = {fold_vget_lane},
    [IR_VSET] = {fold_vset_zero},
    [IR_VSHL] = {fold_vshift_zero},
    [IR_VSHR] = {fold_vshift_zero},
    [IR_VSAR] = {fold_vshift_zero},
    [IR_VCAT] = {fold_vcat_zero},
    [IR_VHIGH] = {fold_vhigh_cat},
    [IR_BRANCH] = {fold_branch_const},
};

/* -- The driver */

/* Evaluates a pure operation whose arguments are all constants. Not estimates: hosts have their
 * own. */
static bool evaluate(Fold *f)
{
    IrInsn *insn = f->insn;
    const IrOpInfo *info = &ir_ops[insn->op];
    IrWord args[3] = {0}, result;
    u8 types[3] = {0};

    if (insn->op == IR_COPY || insn->op == IR_FRCP || insn->op == IR_FRSQRT ||
        (info->properties & IR_PROP_FP) || !insn->arg[0] || ir_type_size(insn->type) > 16) {
        return false;
    }
    for (u32 i = 0; i < 3 && insn->arg[i]; i++) {
        const IrInsn *arg = arg_insn(f, i);
        if (arg->op != IR_CONST || arg->type == IR_V256) {
            return false;
        }
        args[i].v[0] = arg->imm;
        args[i].v[1] = arg->imm2;
        types[i] = arg->type;
    }
    ir_eval(insn, types, args, &result, NULL);
    become(f, IR_CONST, 0, 0, 0, result.v[0]);
    insn->imm2 = result.v[1];
    return true;
}

/* Constants of exchangeable operands go to the right. */
static void order_args(Fold *f)
{
    IrVal first = f->insn->arg[0];

    if ((ir_ops[f->insn->op].properties & IR_PROP_COMM) && arg_insn(f, 0)->op == IR_CONST &&
        arg_insn(f, 1)->op != IR_CONST) {
        f->insn->arg[0] = f->insn->arg[1];
        f->insn->arg[1] = first;
    }
}

static bool fold_step(Fold *f)
{
    IrInsn *insn = f->insn;

    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        insn->arg[i] = ir_resolve(f->region, insn->arg[i]);
    }
    FoldFn *const *rule = rules[insn->op];
    if (ir_ops[insn->op].properties & IR_PROP_PURE) {
        order_args(f);
        if (arg_insn(f, 0)->op == IR_CONST && evaluate(f)) {
            return true;
        }
    }
    for (; *rule; rule++) {
        if ((*rule)(f)) {
            return true;
        }
    }
    return false;
}

static void fold_insn(Fold *f, IrVal value)
{
    f->value = value;
    for (u32 step = 0; step < MAX_STEPS; step++) {
        ir_reserve(f->region, MAX_NEW);
        f->insn = &f->region->insns[value];
        if (!fold_step(f)) {
            break;
        }
    }
    f->insn->scratch = 0;
    if (f->insn->op == IR_PUT || f->insn->op == IR_NOTE) {
        arg_insn(f, 0)->scratch = STORED;
    }
}

void ir_pass_fold(IrRegion *region)
{
    Fold f = {.region = region};

    ir_link_blocks(region);
    for (f.block = 0; f.block < region->block_count; f.block++) {
        IR_FOR_EACH(region, f.block, value)
        {
            fold_insn(&f, value);
        }
    }
    if (f.cut) {
        ir_remove_unreachable(region);
    }
}
