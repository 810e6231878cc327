/* Packed flags, conditions, comparisons, and what chooses by them. A condition is emitted where it
 * is used: as a comparison right before its jump or move (emit_condition). */
#include <assert.h>

#include "host/x86_64/x86_64.h"

enum { OP_BT = X86_OPCODE(0, X86_0F, 0xba) /* /4 with an immediate */ };

/* -- Packed flags */

/* Adds ((x >> or << shift) & mask) to `to`. */
static void move_bits(Compiler *c, u8 to, u8 x, u8 temporary, s32 shift, s32 mask)
{
    x86_mov(&c->as, 4, temporary, x);
    x86_shift_imm(&c->as, shift > 0 ? SHIFT_SHL : SHIFT_SHR, 4, temporary,
                  (u8)(shift > 0 ? shift : -shift));
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(temporary), mask);
    x86_alu(&c->as, ALU_OR, 4, to, x86_reg(temporary));
}

bool lower_flags_make(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x = use(c, insn->arg[0]), temporary = scratch_int(c), to = define(c, value, RA_EARLY);

    x86_mov(&c->as, 4, to, x);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(to), IR_FLAG_V);
    move_bits(c, to, x, temporary, 7, IR_FLAG_C);
    move_bits(c, to, x, temporary, 12, IR_FLAG_Z | IR_FLAG_N);
    return true;
}

bool lower_flags_nzcv(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x = use(c, insn->arg[0]), temporary = scratch_int(c), to = define(c, value, RA_EARLY);

    x86_mov(&c->as, 4, to, x);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(to), 1);
    move_bits(c, to, x, temporary, -7, 2);
    move_bits(c, to, x, temporary, -12, 12);
    return true;
}

/* -- Conditions */

static X86Cond compare_code(IrCmp cmp)
{
    static const u8 codes[] = {
        [IR_EQ] = CC_E,  [IR_NE] = CC_NE,  [IR_SLT] = CC_L,  [IR_SGE] = CC_GE,
        [IR_SGT] = CC_G, [IR_SLE] = CC_LE, [IR_ULT] = CC_B,  [IR_UGE] = CC_AE,
        [IR_UGT] = CC_A, [IR_ULE] = CC_BE, [IR_TST] = CC_NE, [IR_TSTZ] = CC_E,
    };
    return (X86Cond)codes[cmp];
}

static bool same_operands(const Compiler *c, const IrInsn *a, const IrInsn *b)
{
    return ra_root(&c->ra, a->arg[0]) == ra_root(&c->ra, b->arg[0]) &&
           ra_root(&c->ra, a->arg[1]) == ra_root(&c->ra, b->arg[1]) &&
           insn_of(c, a->arg[0])->type == insn_of(c, b->arg[0])->type;
}

/* Whether EFLAGS answer the comparison already, from the instruction noted in flags_of. */
static bool flags_are_there(const Compiler *c, const IrInsn *cmp, X86Cond *cc)
{
    const IrInsn *last = insn_of(c, c->as.flags_of);
    u64 constant;

    if (!c->as.flags_of || cmp->sub >= IR_TST) {
        return false;
    }
    if (((last->op == IR_SUB || last->op == IR_FLAGS_SUB) && same_operands(c, last, cmp)) ||
        (last->op == IR_CMP && last->sub < IR_TST && same_operands(c, last, cmp))) {
        *cc = compare_code((IrCmp)cmp->sub);
        return true;
    }
    if (last->op == IR_CMP || last->op == IR_FLAGS_SUB ||
        ra_root(&c->ra, cmp->arg[0]) != c->as.flags_of ||
        insn_of(c, cmp->arg[0])->type != last->type || !is_constant(c, cmp->arg[1], &constant) ||
        constant) {
        return false;
    }
    switch (cmp->sub) {
    case IR_EQ:
        *cc = CC_E;
        return true;
    case IR_NE:
        *cc = CC_NE;
        return true;
    case IR_SLT:
        *cc = CC_S;
        return true;
    case IR_SGE:
        *cc = CC_NS;
        return true;
    default:
        return false;
    }
}

/* Tests of bits: one bit of 64, an immediate of 32 without sign, else registers. */
static X86Cond emit_test(Compiler *c, const IrInsn *insn, IrType type)
{
    u32 size = ir_type_size(type);
    u64 constant;

    if (is_constant(c, insn->arg[1], &constant)) {
        if (constant <= 0x7fffffff || size < 8) {
            X86Rm x = use_rm(c, insn->arg[0], MIN(size, 4));
            c->compare_at = c->as.at;
            x86_test_imm(&c->as, MIN(size, 4), x, (s32)constant);
            return compare_code((IrCmp)insn->sub);
        }
        if (!(constant & (constant - 1))) {
            u8 x = use(c, insn->arg[0]);
            c->compare_at = c->as.at;
            x86_flags_op(&c->as, OP_BT, 8, 4, x86_reg(x), 1);
            x86_byte(&c->as, (u8)__builtin_ctzll(constant));
            return insn->sub == IR_TST ? CC_B : CC_AE;
        }
    }
    X86Rm y = use_rm(c, insn->arg[1], size);
    u8 x = use(c, insn->arg[0]);
    c->compare_at = c->as.at;
    x86_test(&c->as, size, y, x);
    return compare_code((IrCmp)insn->sub);
}

static X86Cond emit_cmp(Compiler *c, const IrInsn *insn, IrVal cmp)
{
    IrType type = (IrType)insn_of(c, insn->arg[0])->type;
    u32 size = ir_type_size(type);
    X86Cond cc = compare_code((IrCmp)insn->sub);
    s32 imm;

    if (flags_are_there(c, insn, &cc)) {
        c->compare_at = c->as.at;
        return cc;
    }
    if (insn->sub >= IR_TST) {
        return emit_test(c, insn, type);
    }
    if (is_immediate(c, insn->arg[1], type, &imm)) {
        X86Rm x = use_rm(c, insn->arg[0], size);
        c->compare_at = c->as.at;
        if (imm == 0 && !x86_is_memory(x)) {
            x86_test(&c->as, size, x, x.reg);
        } else {
            x86_alu_imm(&c->as, ALU_CMP, size, x, imm);
        }
    } else if (is_immediate(c, insn->arg[0], type, &imm)) {
        X86Rm y = use_rm(c, insn->arg[1], size);
        c->compare_at = c->as.at;
        x86_alu_imm(&c->as, ALU_CMP, size, y, imm);
        return compare_code(ir_cmp_swap((IrCmp)insn->sub));
    } else {
        X86Rm y = use_rm(c, insn->arg[1], size);
        u8 x = use(c, insn->arg[0]);
        c->compare_at = c->as.at;
        x86_alu(&c->as, ALU_CMP, size, x, y);
    }
    c->as.flags_of = cmp;
    return cc;
}

/* One bit of packed flags. */
static X86Cond test_flag(Compiler *c, IrVal flags, u32 bits, X86Cond cc)
{
    X86Rm x = use_rm(c, flags, 4);

    c->compare_at = c->as.at;
    x86_test_imm(&c->as, 4, x, (s32)bits);
    return cc;
}

/* `wanted` of the bits C and Z. */
static X86Cond compare_carry_zero(Compiler *c, IrVal flags, u32 wanted, X86Cond cc)
{
    u8 x = use(c, flags), temporary = scratch_int(c);

    x86_mov(&c->as, 4, temporary, x);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(temporary), IR_FLAG_C | IR_FLAG_Z);
    c->compare_at = c->as.at;
    x86_alu_imm(&c->as, ALU_CMP, 4, x86_reg(temporary), (s32)wanted);
    ra_release(&c->ra, temporary);
    return cc;
}

/* Bit 0 = N ^ V, or-ed with Z if wanted; tested against 0. */
static X86Cond test_signed_order(Compiler *c, IrVal flags, bool zero, X86Cond cc)
{
    u8 x = use(c, flags), order = scratch_int(c);

    x86_mov(&c->as, 4, order, x);
    x86_shift_imm(&c->as, SHIFT_SHR, 4, order, 15);
    x86_alu(&c->as, ALU_XOR, 4, order, x86_reg(x));
    if (zero) {
        u8 other = scratch_int(c);
        x86_mov(&c->as, 4, other, x);
        x86_shift_imm(&c->as, SHIFT_SHR, 4, other, 14);
        x86_alu(&c->as, ALU_OR, 4, order, x86_reg(other));
        ra_release(&c->ra, other);
    }
    c->compare_at = c->as.at;
    x86_test_imm(&c->as, 4, x86_reg(order), 1);
    ra_release(&c->ra, order);
    return cc;
}

static X86Cond emit_packed_condition(Compiler *c, const IrInsn *insn)
{
    IrVal flags = insn->arg[0];
    bool negated = insn->sub & 1;

    switch (insn->sub & ~1) {
    case IR_COND_Z:
        return test_flag(c, flags, IR_FLAG_Z, negated ? CC_E : CC_NE);
    case IR_COND_C:
        return test_flag(c, flags, IR_FLAG_C, negated ? CC_E : CC_NE);
    case IR_COND_N:
        return test_flag(c, flags, IR_FLAG_N, negated ? CC_E : CC_NE);
    case IR_COND_V:
        return test_flag(c, flags, IR_FLAG_V, negated ? CC_E : CC_NE);
    case IR_COND_P:
        return test_flag(c, flags, IR_FLAG_P, negated ? CC_E : CC_NE);
    case IR_COND_HI:
        return compare_carry_zero(c, flags, IR_FLAG_C, negated ? CC_NE : CC_E);
    case IR_COND_A:
        return test_flag(c, flags, IR_FLAG_C | IR_FLAG_Z, negated ? CC_NE : CC_E);
    case IR_COND_GE:
        return test_signed_order(c, flags, false, negated ? CC_NE : CC_E);
    default:
        assert((insn->sub & ~1) == IR_COND_GT);
        return test_signed_order(c, flags, true, negated ? CC_NE : CC_E);
    }
}

/* CMP, or COND of a FLAGS_* operation that EFLAGS can hold. */
static X86Cond condition_code(const Compiler *c, const IrInsn *insn)
{
    X86Cond cc;

    if (insn->op == IR_CMP) {
        return compare_code((IrCmp)insn->sub);
    }
    bool known = condition_of_flags(c, insn_of(c, insn->arg[0]), (IrCond)insn->sub, &cc);
    assert(known && "prepare.c fused what there is no code for");
    (void)known;
    return cc;
}

X86Cond emit_condition(Compiler *c, IrVal value, bool *parity)
{
    IrVal condition = insn_of(c, value)->arg[0];
    const IrInsn *insn = insn_of(c, condition);

    *parity = false;
    c->compare_at = c->as.at;
    if (c->fused[value] == FUSE_EFLAGS) {
        assert(c->as.flags_of && "an instruction between changed EFLAGS");
        return condition_code(c, insn);
    }
    if (c->fused[value] == FUSE_PACKED) {
        return emit_packed_condition(c, insn);
    }
    if (c->fused[value] != FUSE_CONDITION) {
        if (c->as.flags_of == ra_root(&c->ra, condition) &&
            insn_of(c, c->as.flags_of)->op != IR_CMP &&
            insn_of(c, c->as.flags_of)->op != IR_FLAGS_SUB) {
            return CC_NE; /* just computed: ZF says it */
        }
        X86Rm x = use_rm(c, condition, 4);
        c->compare_at = c->as.at;
        if (x86_is_memory(x)) {
            x86_alu_imm(&c->as, ALU_CMP, 4, x, 0);
        } else {
            x86_test(&c->as, 4, x, x.reg);
        }
        return CC_NE;
    }
    if (insn->op == IR_CMP) {
        return emit_cmp(c, insn, condition);
    }
    if (insn->op == IR_FCMP) {
        return emit_fp_compare(c, condition, parity);
    }
    emit_flags(c, insn_of(c, insn->arg[0]));
    return condition_code(c, insn);
}

static void set_boolean(Compiler *c, IrVal value, X86Cond cc, bool parity)
{
    u8 second = parity ? scratch_int(c) : 0;
    u8 to = define(c, value, 0);

    x86_setcc(&c->as, cc, to);
    if (parity) {
        x86_setcc(&c->as, cc == CC_E ? CC_NP : CC_P, second);
        x86_alu(&c->as, cc == CC_E ? ALU_AND : ALU_OR, 1, to, x86_reg(second));
    }
    x86_movzx(&c->as, 1, to, x86_reg(to));
}

bool lower_cmp(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (c->fused[value] == FUSE_EFLAGS) {
        set_boolean(c, value, condition_code(c, insn), false);
    } else {
        set_boolean(c, value, emit_cmp(c, insn, value), false);
    }
    return true;
}

bool lower_fcmp(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool parity;

    (void)insn;
    X86Cond cc = emit_fp_compare(c, value, &parity);
    set_boolean(c, value, cc, parity);
    return true;
}

bool lower_cond(Compiler *c, IrVal value, const IrInsn *insn)
{
    X86Cond cc;

    if (c->fused[value] == FUSE_NONE) {
        cc = emit_packed_condition(c, insn);
    } else {
        if (c->fused[value] == FUSE_CONDITION) {
            emit_flags(c, insn_of(c, insn->arg[0]));
        }
        cc = condition_code(c, insn);
    }
    set_boolean(c, value, cc, false);
    return true;
}

/* Vector registers have no conditional move: a short jump. */
static bool select_vector(Compiler *c, IrVal value, const IrInsn *insn, X86Cond cc, bool parity)
{
    u8 x = use(c, insn->arg[1]);
    u8 to = define_over(c, value, insn->arg[2], RA_EARLY | RA_NO_PIN);
    u8 *skip = NULL, *take = NULL, *skip_unordered = NULL;

    if (parity && cc == CC_NE) {
        take = x86_jcc_short(&c->as, CC_P);
    } else if (parity) {
        skip_unordered = x86_jcc_short(&c->as, CC_P);
    }
    skip = x86_jcc_short(&c->as, cc ^ 1);
    if (take) {
        x86_bind_short(&c->as, take);
    }
    move_register(c, to + VECTOR, x + VECTOR);
    x86_bind_short(&c->as, skip);
    if (skip_unordered) {
        x86_bind_short(&c->as, skip_unordered);
    }
    return true;
}

bool lower_select(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    bool parity;
    assert(insn->type != IR_V256 && "no guest needs it yet");
    X86Cond cc = emit_condition(c, value, &parity);
    ra_unlock_all(&c->ra); /* what was compared */
    if (!is_scalar_int(insn)) {
        return select_vector(c, value, insn, cc, parity);
    }
    if (parity) {
        /* Equal and ordered: x unless NE or P. Unequal or unordered: the same with x and y changed.
         */
        bool equal = cc == CC_E;
        X86Rm y = use_rm(c, insn->arg[equal ? 2 : 1], size);
        u8 to = define_over(c, value, insn->arg[equal ? 1 : 2], 0);
        x86_cmov(&c->as, CC_NE, size, to, y);
        x86_cmov(&c->as, CC_P, size, to, y);
        return true;
    }
    IrVal x = insn->arg[1], y = insn->arg[2];
    if (prefers_second(c, value, y, x)) {
        IrVal other = x;
        x = y;
        y = other;
        cc ^= 1;
    }
    X86Rm second = use_rm(c, x, size);
    u8 to = define_over(c, value, y, 0);
    x86_cmov(&c->as, cc, size, to, second);
    return true;
}
