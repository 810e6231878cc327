/* Division of single and double width. The CPU faults where the IR says 0, so that is tested
 * before. A quotient and the remainder behind it are one instruction, emitted for the quotient
 * (FUSE_PAIR). */
#include "host/x86_64/x86_64.h"

static bool is_signed(const IrInsn *insn)
{
    return insn->op == IR_DIVS || insn->op == IR_DIVS2 || insn->op == IR_REMS2;
}

/* cdq, cqo */
static void extend_sign(Compiler *c, u32 size)
{
    if (size == 8) {
        x86_byte(&c->as, 0x48);
    }
    x86_byte(&c->as, 0x99);
}

static void clear(Compiler *c, u8 reg)
{
    x86_alu(&c->as, ALU_XOR, 4, reg, x86_reg(reg));
}

/* Division: by zero gives 0, the most negative number by -1 itself. */
bool lower_div(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);
    bool sign = insn->op == IR_DIVS;
    u64 constant;
    bool known = is_constant(c, insn->arg[1], &constant) && constant;
    bool minus_one = known && (size == 8 ? !~constant : (u32)constant == ~0u);

    ra_use_fixed(&c->ra, insn->arg[0], RAX);
    ra_claim(&c->ra, RDX);
    u8 divisor = use(c, insn->arg[1]);
    u8 *zero = NULL, *negate = NULL, *done = NULL;
    if (!known) {
        x86_test(&c->as, size, x86_reg(divisor), divisor);
        zero = x86_jcc_short(&c->as, CC_E);
    }
    if (sign && (!known || minus_one)) {
        x86_alu_imm(&c->as, ALU_CMP, size, x86_reg(divisor), -1);
        negate = x86_jcc_short(&c->as, CC_E);
    }
    if (sign) {
        extend_sign(c, size);
    } else {
        clear(c, RDX);
    }
    x86_unary(&c->as, sign ? UNARY_IDIV : UNARY_DIV, size, x86_reg(divisor));
    if (negate || zero) {
        done = x86_jmp_short(&c->as);
    }
    if (negate) {
        x86_bind_short(&c->as, negate);
        x86_unary(&c->as, UNARY_NEG, size, x86_reg(RAX));
        if (zero) {
            u8 *end = x86_jmp_short(&c->as);
            x86_bind_short(&c->as, zero);
            clear(c, RAX);
            x86_bind_short(&c->as, end);
        }
    } else if (zero) {
        x86_bind_short(&c->as, zero);
        clear(c, RAX);
    }
    if (done) {
        x86_bind_short(&c->as, done);
    }
    ra_define_in(&c->ra, value, RAX);
    return true;
}

/* -- Double width */

/* Whether the high half is the low half's sign: of a number as wide, not of its low bits. */
bool is_sign_of(const Compiler *c, IrVal high, IrVal low)
{
    const IrInsn *sar = insn_of(c, ra_root(&c->ra, high));
    u64 count;

    return sar->op == IR_SAR && sar->type == insn_of(c, high)->type &&
           ra_root(&c->ra, sar->arg[0]) == ra_root(&c->ra, low) &&
           is_constant(c, sar->arg[1], &count) && count == ir_type_size((IrType)sar->type) * 8 - 1;
}

/* Jumps, when the division would fault; at most four. Signed: a dividend that is one number with
 * its sign, in rax, by 0, or the least such by -1. */
static u32 guard(Compiler *c, const IrInsn *insn, u32 size, u8 divisor, u8 *jumps[4])
{
    u32 count = 0;

    if (!is_signed(insn)) {
        x86_alu(&c->as, ALU_CMP, size, RDX, x86_reg(divisor));
        jumps[count++] = x86_jcc_short(&c->as, CC_AE);
        return count;
    }
    x86_test(&c->as, size, x86_reg(divisor), divisor);
    jumps[count++] = x86_jcc_short(&c->as, CC_E);
    x86_alu_imm(&c->as, ALU_CMP, size, x86_reg(divisor), -1);
    u8 *safe = x86_jcc_short(&c->as, CC_NE);
    x86_alu_imm(&c->as, ALU_CMP, size, x86_reg(RAX), 1); /* overflows for the least number only */
    jumps[count++] = x86_jcc_short(&c->as, CC_O);
    x86_bind_short(&c->as, safe);
    return count;
}

/* Signed dividends that are more than a sign-extended number go to ir_eval. */
static bool has_code(const Compiler *c, const IrInsn *insn)
{
    return !is_signed(insn) || is_sign_of(c, insn->arg[0], insn->arg[1]);
}

bool lower_div2(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type), count;
    bool remainder = insn->op == IR_REMU2 || insn->op == IR_REMS2;
    u8 *jumps[4];

    if (c->fused[value] == FUSE_PAIRED) { /* the quotient's code has defined it */
        return true;
    }
    if (!has_code(c, insn)) {
        return false;
    }
    ra_use_fixed(&c->ra, insn->arg[1], RAX);
    if (is_signed(insn)) {
        ra_claim(&c->ra, RDX);
    } else {
        ra_use_fixed(&c->ra, insn->arg[0], RDX);
    }
    u8 divisor = use(c, insn->arg[2]);
    count = guard(c, insn, size, divisor, jumps);
    if (is_signed(insn)) {
        extend_sign(c, size);
    }
    x86_unary(&c->as, is_signed(insn) ? UNARY_IDIV : UNARY_DIV, size, x86_reg(divisor));
    u8 *done = x86_jmp_short(&c->as);
    for (u32 i = 0; i < count; i++) {
        x86_bind_short(&c->as, jumps[i]);
    }
    clear(c, RAX);
    clear(c, RDX);
    x86_bind_short(&c->as, done);
    ra_define_in(&c->ra, value, remainder ? RDX : RAX);
    if (c->fused[value] == FUSE_PAIR) {
        ra_define_in(&c->ra, insn->next, RDX);
    }
    return true;
}

/* Whether the quotient of DIVS2 fits: not where the divisor is 0, nor the least number by -1. */
bool lower_divfits(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn_of(c, insn->arg[2])->type);

    if (!is_sign_of(c, insn->arg[0], insn->arg[1])) {
        return false;
    }
    u8 low = use(c, insn->arg[1]), divisor = use(c, insn->arg[2]);
    u8 to = define(c, value, RA_EARLY);
    x86_mov_imm(&c->as, to, 0);
    x86_test(&c->as, size, x86_reg(divisor), divisor);
    x86_setcc(&c->as, CC_NE, to);
    x86_alu_imm(&c->as, ALU_CMP, size, x86_reg(divisor), -1);
    u8 *fits = x86_jcc_short(&c->as, CC_NE);
    x86_alu_imm(&c->as, ALU_CMP, size, x86_reg(low), 1);
    x86_setcc(&c->as, CC_NO, to);
    x86_bind_short(&c->as, fits);
    return true;
}
