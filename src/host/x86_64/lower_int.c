/* Integer arithmetic, logic, shifts and bits. Operands i8 and i16 are computed in 32 bits unless
 * their high bits matter. */
#include "host/x86_64/x86_64.h"

enum {
    OP_IMUL = X86_OPCODE(0, X86_0F, 0xaf),
    OP_LZCNT = X86_OPCODE(X86_PF3, X86_0F, 0xbd),
    OP_TZCNT = X86_OPCODE(X86_PF3, X86_0F, 0xbc),
    OP_BSF = X86_OPCODE(0, X86_0F, 0xbc),
    OP_BSR = X86_OPCODE(0, X86_0F, 0xbd),
    OP_POPCNT = X86_OPCODE(X86_PF3, X86_0F, 0xb8),
    OP_SHRD = X86_OPCODE(0, X86_0F, 0xac),
    OP_BT_IMM = X86_OPCODE(0, X86_0F, 0xba), /* /4 */
    OP_ANDN = X86_OPCODE(0, X86_0F38, 0xf2),
    OP_RORX = X86_OPCODE(X86_PF2, X86_0F3A, 0xf0),
    OP_CRC32_8 = X86_OPCODE(X86_PF2, X86_0F38, 0xf0),
    OP_CRC32 = X86_OPCODE(X86_PF2, X86_0F38, 0xf1),
    OP_MOVD_STORE = X86_OPCODE(X86_P66, X86_0F, 0x7e),
    OP_MOVD_LOAD = X86_OPCODE(X86_P66, X86_0F, 0x6e),
    OP_MOVQ = X86_OPCODE(X86_PF3, X86_0F, 0x7e),
};

static u32 type_bits(IrType type)
{
    return ir_type_size(type) * 8;
}

static u32 wide(u32 size)
{
    return size == 8 ? X86_W : 0;
}

/* Zero- or sign-extends an i8 or i16 register to 32 bits. */
static void extend(Compiler *c, IrType type, u8 to, X86Rm from, bool sign)
{
    if (sign) {
        x86_movsx(&c->as, ir_type_size(type), 4, to, from);
    } else {
        x86_movzx(&c->as, ir_type_size(type), to, from);
    }
}

/* -- Conversions */

static void int_to_vector(Compiler *c, u32 size, u8 to, X86Rm from)
{
    x86_vector2(&c->as, OP_MOVD_LOAD | wide(size), to, from);
}

static bool to_vector(Compiler *c, IrVal value, const IrInsn *insn, bool from_int)
{
    IrType from = (IrType)insn_of(c, insn->arg[0])->type;
    u32 size = ir_type_size(from);

    if (!from_int) { /* zero-extension inside a vector register */
        RegHome home;
        if (ra_from_memory(&c->ra, insn->arg[0], size, &home)) {
            u8 to = define(c, value, 0);
            load_vector(c, size, to, home_rm(home));
            return true;
        }
        u8 operand = use(c, insn->arg[0]);
        if (size == 8) {
            u8 to = define(c, value, 0);
            x86_vector2(&c->as, OP_MOVQ, to, x86_reg(operand));
        } else {
            u8 to = define(c, value, RA_EARLY);
            /* xorps to, to; movss to, operand */
            x86_vector(&c->as, X86_OPCODE(0, X86_0F, 0x57), to, to, x86_reg(to));
            x86_vector(&c->as, X86_OPCODE(X86_PF3, X86_0F, 0x10), to, to, x86_reg(operand));
        }
        return true;
    }
    if (size < 4) {
        u8 operand = use(c, insn->arg[0]), extended = scratch_int(c);
        extend(c, from, extended, x86_reg(operand), false);
        u8 to = define(c, value, 0);
        int_to_vector(c, 4, to, x86_reg(extended));
        return true;
    }
    X86Rm operand = use_rm(c, insn->arg[0], size);
    u8 to = define(c, value, 0);
    int_to_vector(c, size, to, operand);
    return true;
}

bool lower_convert(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType from = (IrType)insn_of(c, insn->arg[0])->type, type = (IrType)insn->type;
    bool int_from = from <= IR_I64, int_to = type <= IR_I64;

    if (from == IR_V256 || type == IR_V256) {
        return false;
    }
    if (!int_to) {
        return to_vector(c, value, insn, int_from);
    }
    if (!int_from) { /* TRUNC, ZEXT, BITCAST of a vector register */
        u8 operand = use(c, insn->arg[0]), to = define(c, value, 0);
        x86_vector2(&c->as, OP_MOVD_STORE | wide(MIN(ir_type_size(from), ir_type_size(type))),
                    operand, x86_reg(to));
        return true;
    }
    u32 size = ir_type_size(from);
    X86Rm operand = use_rm(c, insn->arg[0], size);
    u8 to = define(c, value, 0);
    if (insn->op == IR_SEXT) {
        x86_movsx(&c->as, size, op_size(type), to, operand);
    } else {
        x86_movzx(&c->as, size, to, operand);
    }
    return true;
}

/* -- Arithmetic and logic */

static const u8 alu_of[IR_OP_COUNT] = {
    [IR_ADD] = ALU_ADD, [IR_SUB] = ALU_SUB, [IR_AND] = ALU_AND,
    [IR_OR] = ALU_OR,   [IR_XOR] = ALU_XOR,
};

/* EFLAGS reflect the result just computed in registers of `size`. */
static void note_flags(Compiler *c, IrVal value, u32 size)
{
    c->as.flags_of = size == ir_type_size((IrType)insn_of(c, value)->type) ? value : 0;
}

static bool lower_alu_immediate(Compiler *c, IrVal value, const IrInsn *insn, s32 imm)
{
    u32 size = op_size((IrType)insn->type);
    X86Alu alu = (X86Alu)alu_of[insn->op];
    IrVal x = insn->arg[0];

    if (alu == ALU_AND && (imm == 0xff || imm == 0xffff)) {
        X86Rm operand = use_rm(c, x, imm == 0xff ? 1 : 2);
        u8 to = define(c, value, 0);
        x86_movzx(&c->as, imm == 0xff ? 1 : 2, to, operand);
        return true;
    }
    if ((alu == ALU_ADD || (alu == ALU_SUB && imm != INT32_MIN)) &&
        ra_where(&c->ra, x) != REG_NONE) {
        u8 operand = use(c, x), to = define(c, value, 0);
        if (to == operand) {
            x86_alu_imm(&c->as, alu, size, x86_reg(to), imm);
            note_flags(c, value, size);
        } else {
            x86_lea(&c->as, size, to, x86_at(operand, alu == ALU_ADD ? imm : -imm));
        }
        return true;
    }
    if (alu == ALU_XOR && imm == -1) {
        u8 to = define_over(c, value, x, 0);
        x86_unary(&c->as, UNARY_NOT, size, x86_reg(to));
        return true;
    }
    u8 to = define_over(c, value, x, 0);
    x86_alu_imm(&c->as, alu, size, x86_reg(to), imm);
    note_flags(c, value, size);
    return true;
}

/* ADD with its second operand shifted left by 1..3. */
static bool lower_add_shifted(Compiler *c, IrVal value, const IrInsn *insn)
{
    const IrInsn *shift = insn_of(c, insn->arg[1]);
    u64 count = 0;

    is_constant(c, shift->arg[1], &count);
    u8 x = use(c, insn->arg[0]), y = use(c, shift->arg[0]), to = define(c, value, 0);
    x86_lea(&c->as, op_size((IrType)insn->type), to, x86_indexed(x, y, (u8)count, 0));
    return true;
}

/* The same without a shift, where EFLAGS are to stay. */
static bool lower_add_by_lea(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    s32 imm;

    if (is_immediate(c, insn->arg[1], (IrType)insn->type, &imm)) {
        u8 x = use(c, insn->arg[0]), to = define(c, value, 0);
        x86_lea(&c->as, size, to, x86_at(x, imm));
        return true;
    }
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]), to = define(c, value, 0);
    x86_lea(&c->as, size, to, x86_indexed(x, y, 0, 0));
    return true;
}

bool prefers_second(const Compiler *c, IrVal value, IrVal x, IrVal y)
{
    u8 target = c->ra.values[value].target;
    u8 in_x = ra_where(&c->ra, x), in_y = ra_where(&c->ra, y);

    if (target != REG_PIN_NONE) {
        u8 reg = c->header->pins.pin[target].reg;
        if (in_x == reg || in_y == reg) {
            return in_y == reg && in_x != reg;
        }
    }
    if (in_y == REG_NONE) {
        return false;
    }
    return in_x == REG_NONE || (ra_live_after(&c->ra, x) && !ra_live_after(&c->ra, y));
}

/* x alu y where EFLAGS are wanted, which takes operands of the true size. */
static bool lower_setting_eflags(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);
    X86Alu alu = insn->op == IR_ADC   ? ALU_ADC
                 : insn->op == IR_SBB ? ALU_SBB
                                      : (X86Alu)alu_of[insn->op];
    bool carry = alu == ALU_ADC || alu == ALU_SBB;
    IrVal x = insn->arg[0], y = insn->arg[1];
    s32 imm;

    bool in_eflags = c->fused[value] == FUSE_EFLAGS;
    if (carry && !in_eflags) {
        use(c, insn->arg[2]); /* is to stay where it is */
    }
    if (is_immediate(c, y, (IrType)insn->type, &imm)) {
        u8 to = define_over(c, value, x, carry ? RA_EARLY : 0);
        if (carry && !in_eflags) {
            emit_carry(c, insn->arg[2]);
        }
        if (c->fused[value] == FUSE_SETS_SUB_EFLAGS) {
            x86_alu_imm(&c->as, ALU_SUB, size, x86_reg(to), -imm);
        } else {
            x86_alu_imm(&c->as, alu, size, x86_reg(to), imm);
        }
        c->as.flags_of = value;
        return true;
    }
    if (alu != ALU_SUB && alu != ALU_SBB && prefers_second(c, value, x, y)) {
        IrVal other = x;
        x = y;
        y = other;
    }
    X86Rm second = use_rm(c, y, size);
    u8 to = define_over(c, value, x, carry ? RA_EARLY : 0);
    if (carry && !in_eflags) {
        emit_carry(c, insn->arg[2]);
    }
    x86_alu(&c->as, alu, size, to, second);
    c->as.flags_of = value;
    return true;
}

/* ADC, SBB */
bool lower_carry(Compiler *c, IrVal value, const IrInsn *insn)
{
    return lower_setting_eflags(c, value, insn);
}

bool lower_alu(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    X86Alu alu = (X86Alu)alu_of[insn->op];
    IrVal x = insn->arg[0], y = insn->arg[1];
    u64 constant;
    s32 imm;

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    if (c->fused[value] == FUSE_SHIFT) {
        return lower_add_shifted(c, value, insn);
    }
    if (c->fused[value] == FUSE_SETS_EFLAGS || c->fused[value] == FUSE_SETS_SUB_EFLAGS) {
        return lower_setting_eflags(c, value, insn);
    }
    if (c->fused[value] == FUSE_KEEPS_EFLAGS) {
        return lower_add_by_lea(c, value, insn);
    }
    if (is_immediate(c, y, (IrType)insn->type, &imm)) {
        return lower_alu_immediate(c, value, insn, imm);
    }
    if (alu == ALU_AND && is_constant(c, y, &constant) && constant == 0xffffffff) {
        X86Rm operand = use_rm(c, x, 4);
        u8 to = define(c, value, 0);
        x86_movzx(&c->as, 4, to, operand);
        return true;
    }
    if (alu != ALU_SUB && prefers_second(c, value, x, y)) {
        IrVal other = x;
        x = y;
        y = other;
    }
    if (alu == ALU_ADD && ra_where(&c->ra, x) != REG_NONE) {
        X86Rm second = use_rm(c, y, size);
        u8 first = use(c, x);
        if (!x86_is_memory(second)) {
            u8 to = define(c, value, 0);
            if (to == first) {
                x86_alu(&c->as, alu, size, to, second);
                note_flags(c, value, size);
            } else if (to == second.reg) {
                x86_alu(&c->as, alu, size, to, x86_reg(first));
                note_flags(c, value, size);
            } else {
                x86_lea(&c->as, size, to, x86_indexed(first, second.reg, 0, 0));
            }
            return true;
        }
        ra_unlock(&c->ra, first);
        u8 to = define_over(c, value, x, 0);
        x86_alu(&c->as, alu, size, to, second);
        note_flags(c, value, size);
        return true;
    }
    X86Rm second = use_rm(c, y, size);
    u8 to = define_over(c, value, x, 0);
    x86_alu(&c->as, alu, size, to, second);
    note_flags(c, value, size);
    return true;
}

bool lower_unary(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    bool eflags = c->fused[value] == FUSE_SETS_EFLAGS;
    u8 to = define_over(c, value, insn->arg[0], 0);
    x86_unary(&c->as, insn->op == IR_NEG ? UNARY_NEG : UNARY_NOT,
              eflags ? ir_type_size((IrType)insn->type) : op_size((IrType)insn->type), x86_reg(to));
    c->as.flags_of = eflags ? value : 0;
    return true;
}

/* arg0 & ~arg1 */
bool lower_andn(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    if (c->as.features & X86_BMI1) {
        u8 inverted = use(c, insn->arg[1]);
        X86Rm other = use_rm(c, insn->arg[0], size);
        u8 to = define(c, value, 0);
        c->as.flags_of = 0;
        x86_vex(&c->as, OP_ANDN | wide(size), to, inverted, other, 0);
        return true;
    }
    X86Rm other = use_rm(c, insn->arg[0], size);
    u8 inverted = use(c, insn->arg[1]), to = scratch_int(c);
    x86_mov(&c->as, size, to, inverted);
    x86_unary(&c->as, UNARY_NOT, size, x86_reg(to));
    x86_alu(&c->as, ALU_AND, size, to, other);
    ra_define_in(&c->ra, value, to);
    return true;
}

bool lower_mul(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool eflags = c->fused[value] == FUSE_SETS_EFLAGS;
    u32 size = eflags ? ir_type_size((IrType)insn->type) : op_size((IrType)insn->type);
    s32 imm;

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    if (is_immediate(c, insn->arg[1], (IrType)insn->type, &imm)) {
        X86Rm operand = use_rm(c, insn->arg[0], size);
        u8 to = define(c, value, 0);
        x86_flags_op(&c->as, 0x69, size, to, operand, (u8)MIN(size, 4));
        if (size == 2) {
            x86_byte(&c->as, (u8)imm);
            x86_byte(&c->as, (u8)(imm >> 8));
        } else {
            x86_u32(&c->as, (u32)imm);
        }
        c->as.flags_of = eflags ? value : 0;
        return true;
    }
    bool second = prefers_second(c, value, insn->arg[0], insn->arg[1]);
    X86Rm operand = use_rm(c, insn->arg[!second], size);
    u8 to = define_over(c, value, insn->arg[second], 0);
    x86_flags_op(&c->as, OP_IMUL, size, to, operand, 0);
    c->as.flags_of = eflags ? value : 0;
    return true;
}

/* High half of the product: of i32 from a 64-bit product, of i64 in rdx. */
bool lower_mulh(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool sign = insn->op == IR_MULHS;

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    if (insn->type == IR_I32) {
        u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
        u8 to = scratch_int(c), other = scratch_int(c);
        if (sign) {
            x86_movsx(&c->as, 4, 8, to, x86_reg(x));
            x86_movsx(&c->as, 4, 8, other, x86_reg(y));
        } else {
            x86_mov(&c->as, 4, to, x);
            x86_mov(&c->as, 4, other, y);
        }
        x86_flags_op(&c->as, OP_IMUL, 8, to, x86_reg(other), 0);
        x86_shift_imm(&c->as, SHIFT_SHR, 8, to, 32);
        ra_define_in(&c->ra, value, to);
        return true;
    }
    ra_use_fixed(&c->ra, insn->arg[0], RAX);
    ra_claim(&c->ra, RDX);
    X86Rm y = use_rm(c, insn->arg[1], 8);
    x86_unary(&c->as, sign ? UNARY_IMUL : UNARY_MUL, 8, y);
    ra_define_in(&c->ra, value, RDX);
    return true;
}

/* -- Shifts */

static X86Shift shift_of(IrOp op)
{
    return op == IR_SHL   ? SHIFT_SHL
           : op == IR_SHR ? SHIFT_SHR
           : op == IR_SAR ? SHIFT_SAR
                          : SHIFT_ROR;
}

static bool shift_by_constant(Compiler *c, IrVal value, const IrInsn *insn, u32 count)
{
    IrType type = (IrType)insn->type;
    u32 size = op_size(type);

    if (c->fused[value] == FUSE_SETS_EFLAGS) {
        u8 to = define_over(c, value, insn->arg[0], 0);
        x86_shift_imm(&c->as, shift_of((IrOp)insn->op), ir_type_size(type), to, (u8)count);
        c->as.flags_of = value;
        return true;
    }
    if (type < IR_I32 && insn->op != IR_SHL) {
        u8 x = use(c, insn->arg[0]), to = define(c, value, 0);
        extend(c, type, to, x86_reg(x), insn->op == IR_SAR);
        x86_shift_imm(&c->as, shift_of((IrOp)insn->op), insn->op == IR_ROR ? ir_type_size(type) : 4,
                      to, (u8)count);
        return true;
    }
    if (insn->op == IR_ROR && c->as.features & X86_BMI2) {
        X86Rm x = use_rm(c, insn->arg[0], size);
        u8 to = define(c, value, 0);
        x86_vex(&c->as, OP_RORX | wide(size), to, 0, x, 1);
        x86_byte(&c->as, (u8)count);
        return true;
    }
    if (insn->op == IR_SHL && count >= 1 && count <= 3 &&
        ra_where(&c->ra, insn->arg[0]) != REG_NONE) {
        u8 x = use(c, insn->arg[0]), to = define(c, value, 0);
        if (to != x && count == 1) {
            x86_lea(&c->as, size, to, x86_indexed(x, x, 0, 0));
            return true;
        }
        if (to != x) {
            x86_mov(&c->as, size, to, x);
        }
        x86_shift_imm(&c->as, SHIFT_SHL, size, to, (u8)count);
        return true;
    }
    u8 to = define_over(c, value, insn->arg[0], 0);
    if (count) {
        x86_shift_imm(&c->as, shift_of((IrOp)insn->op), size, to, (u8)count);
    } else if (type == IR_I32) {
        x86_mov(&c->as, 4, to, to); /* keeps it clean */
    }
    return true;
}

bool lower_shift(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 bmi2[] = {
        [SHIFT_SHL] = X86_OPCODE(X86_P66, X86_0F38, 0xf7),
        [SHIFT_SHR] = X86_OPCODE(X86_PF2, X86_0F38, 0xf7),
        [SHIFT_SAR] = X86_OPCODE(X86_PF3, X86_0F38, 0xf7),
    };
    IrType type = (IrType)insn->type;
    u32 size = op_size(type);
    X86Shift shift = shift_of((IrOp)insn->op);
    u64 count;

    if (is_constant(c, insn->arg[1], &count)) {
        return shift_by_constant(c, value, insn, (u32)count & (type_bits(type) - 1));
    }
    if (type >= IR_I32 && insn->op != IR_ROR && c->as.features & X86_BMI2) {
        u8 by = use(c, insn->arg[1]);
        X86Rm x = use_rm(c, insn->arg[0], size);
        u8 to = define(c, value, 0);
        x86_vex(&c->as, bmi2[shift] | wide(size), to, by, x, 0);
        return true;
    }
    ra_use_fixed(&c->ra, insn->arg[1], RCX);
    u8 x = use(c, insn->arg[0]), to = scratch_int(c);
    if (type < IR_I32) {
        x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(RCX), (s32)type_bits(type) - 1);
        extend(c, type, to, x86_reg(x), insn->op == IR_SAR);
    } else {
        x86_mov(&c->as, size, to, x);
    }
    x86_shift_cl(&c->as, shift, insn->op == IR_ROR ? ir_type_size(type) : size, to);
    if (insn->op == IR_ROR && type == IR_I32) {
        x86_mov(&c->as, 4, to, to);
    }
    ra_define_in(&c->ra, value, to);
    return true;
}

/* Low half of (arg0:arg1 >> imm). */
bool lower_extr(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    u8 count = (u8)(insn->imm & (size * 8 - 1));

    if (!count) {
        u8 x = use(c, insn->arg[1]), to = define(c, value, 0);
        x86_mov(&c->as, size, to, x);
        return true;
    }
    if (ra_root(&c->ra, insn->arg[0]) == ra_root(&c->ra, insn->arg[1]) &&
        c->as.features & X86_BMI2) {
        X86Rm x = use_rm(c, insn->arg[0], size);
        u8 to = define(c, value, 0);
        x86_vex(&c->as, OP_RORX | wide(size), to, 0, x, 1);
        x86_byte(&c->as, count);
        return true;
    }
    u8 high = use(c, insn->arg[0]), to = define_over(c, value, insn->arg[1], 0);
    x86_flags_op(&c->as, OP_SHRD, size, high, x86_reg(to), 1);
    x86_byte(&c->as, count);
    return true;
}

/* EXTU and EXTS: bits [sub, sub + imm). */
bool lower_ext(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type), bits = size * 8;
    u32 low = insn->sub, length = (u32)insn->imm;
    bool sign = insn->op == IR_EXTS;

    if (length == 8 || length == 16 || length == 32) {
        if (low == 0) {
            X86Rm x = use_rm(c, insn->arg[0], length / 8);
            u8 to = define(c, value, 0);
            if (length == 32 && (!sign || size == 4)) {
                x86_movzx(&c->as, 4, to, x);
            } else if (sign) {
                x86_movsx(&c->as, length / 8, size, to, x);
            } else {
                x86_movzx(&c->as, length / 8, to, x);
            }
            return true;
        }
    }
    u8 to = define_over(c, value, insn->arg[0], 0);
    if (low + length == bits) {
        x86_shift_imm(&c->as, sign ? SHIFT_SAR : SHIFT_SHR, size, to, (u8)low);
    } else if (!sign && length < 32) {
        if (low) {
            x86_shift_imm(&c->as, SHIFT_SHR, size, to, (u8)low);
        }
        if (length == 8 || length == 16) {
            x86_movzx(&c->as, length / 8, to, x86_reg(to));
        } else {
            x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(to), (s32)((1u << length) - 1));
        }
    } else {
        x86_shift_imm(&c->as, SHIFT_SHL, size, to, (u8)(bits - low - length));
        x86_shift_imm(&c->as, sign ? SHIFT_SAR : SHIFT_SHR, size, to, (u8)(bits - length));
    }
    return true;
}

/* The low `length` bits of a value, moved to bit `low`, in a scratch register. */
static u8 field_of(Compiler *c, IrVal value, u32 size, u32 low, u32 length)
{
    u32 bits = size * 8;
    u64 constant;

    if (is_constant(c, value, &constant)) {
        u8 part = scratch_int(c);
        x86_mov_imm(&c->as, part, constant << (64 - length) >> (64 - length) << low);
        return part;
    }
    u8 from = use(c, value);
    u8 part = scratch_int(c);
    x86_mov(&c->as, size, part, from);
    ra_unlock(&c->ra, from);
    if (low + length < bits) {
        x86_shift_imm(&c->as, SHIFT_SHL, size, part, (u8)(bits - length));
        if (bits - length - low) {
            x86_shift_imm(&c->as, SHIFT_SHR, size, part, (u8)(bits - length - low));
        }
    } else {
        x86_shift_imm(&c->as, SHIFT_SHL, size, part, (u8)low);
    }
    return part;
}

/* arg0 with bits [sub, sub + imm) replaced by arg1's low ones. */
bool lower_dep(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    u32 low = insn->sub, length = (u32)insn->imm;
    u64 field = (length == 64 ? ~(u64)0 : ((u64)1 << length) - 1) << low;
    u64 rest = size == 8 ? ~field : (u32)~field;

    if (low == 0 && (length == 8 || length == 16)) {
        u8 y = use(c, field_operand(c, insn));
        u8 to = define_over(c, value, insn->arg[0], 0);
        x86_store(&c->as, length / 8, x86_reg(to), y);
        if (size == 4 && !c->clean[insn->arg[0]]) {
            x86_mov(&c->as, 4, to, to);
        }
        return true;
    }
    if (low == 8 && length == 8) { /* rotated to the low end and back */
        u8 y = use(c, field_operand(c, insn));
        u8 to = define_over(c, value, insn->arg[0], RA_EARLY);
        x86_shift_imm(&c->as, SHIFT_ROR, size, to, 8);
        x86_store(&c->as, 1, x86_reg(to), y);
        x86_shift_imm(&c->as, SHIFT_ROL, size, to, 8);
        return true;
    }
    u8 part = field_of(c, field_operand(c, insn), size, low, length);
    if (size == 8 && (s64)rest != (s32)rest) {
        u8 mask = scratch_int(c);
        x86_mov_imm(&c->as, mask, rest);
        u8 to = define_over(c, value, insn->arg[0], 0);
        x86_alu(&c->as, ALU_AND, 8, to, x86_reg(mask));
        x86_alu(&c->as, ALU_OR, 8, to, x86_reg(part));
        return true;
    }
    u8 to = define_over(c, value, insn->arg[0], 0);
    x86_alu_imm(&c->as, ALU_AND, size, x86_reg(to), (s32)rest);
    x86_alu(&c->as, ALU_OR, size, to, x86_reg(part));
    return true;
}

/* -- Bits */

static void count_leading(Compiler *c, u32 size, u8 to, X86Rm from)
{
    if (c->as.features & X86_LZCNT) {
        x86_flags_op(&c->as, OP_LZCNT, size, to, from, 0);
        return;
    }
    /* bsr gives the index of the highest bit, and leaves `to` alone when there is none. */
    x86_flags_op(&c->as, OP_BSR, size, to, from, 0);
    u8 *found = x86_jcc_short(&c->as, CC_NE);
    x86_mov_imm(&c->as, to, size * 16 - 1);
    x86_bind_short(&c->as, found);
    x86_alu_imm(&c->as, ALU_XOR, 4, x86_reg(to), (s32)size * 8 - 1);
}

static void count_trailing(Compiler *c, u32 size, u8 to, X86Rm from)
{
    if (c->as.features & X86_BMI1) {
        x86_flags_op(&c->as, OP_TZCNT, size, to, from, 0);
        return;
    }
    x86_flags_op(&c->as, OP_BSF, size, to, from, 0);
    u8 *found = x86_jcc_short(&c->as, CC_NE);
    x86_mov_imm(&c->as, to, size * 8);
    x86_bind_short(&c->as, found);
}

bool lower_clz(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type;
    u32 size = op_size(type);

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    if (c->fused[value] == FUSE_CTZ) {
        u8 x = use(c, insn_of(c, insn->arg[0])->arg[0]), to = define(c, value, RA_EARLY);
        count_trailing(c, size, to, x86_reg(x));
        return true;
    }
    u8 x = use(c, insn->arg[0]), to = define(c, value, RA_EARLY);
    if (type < IR_I32) {
        extend(c, type, to, x86_reg(x), false);
        x = to;
    }
    count_leading(c, size, to, x86_reg(x));
    if (type < IR_I32) {
        x86_alu_imm(&c->as, ALU_SUB, 4, x86_reg(to), 32 - (s32)type_bits(type));
    }
    return true;
}

bool lower_ctz(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type;
    u8 x = use(c, insn->arg[0]), to = define(c, value, RA_EARLY);

    if (type < IR_I32) { /* a bit just above the value stops the count there */
        x86_mov(&c->as, 4, to, x);
        x86_alu_imm(&c->as, ALU_OR, 4, x86_reg(to), 1 << type_bits(type));
        x = to;
    }
    count_trailing(c, op_size(type), to, x86_reg(x));
    return true;
}

bool lower_popcnt(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type;

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    u8 x = use(c, insn->arg[0]), to = define(c, value, RA_EARLY);
    if (type < IR_I32) {
        extend(c, type, to, x86_reg(x), false);
        x = to;
    }
    x86_flags_op(&c->as, OP_POPCNT, op_size(type), to, x86_reg(x), 0);
    return true;
}

static void swap_bytes(Compiler *c, u32 size, u8 reg)
{
    if (size == 8 || reg >= 8) {
        x86_byte(&c->as, (u8)(0x40 | (size == 8 ? 8 : 0) | (reg >= 8)));
    }
    x86_byte(&c->as, 0x0f);
    x86_byte(&c->as, 0xc8 | (reg & 7));
}

bool lower_bswap(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 to = define_over(c, value, insn->arg[0], 0);

    swap_bytes(c, op_size((IrType)insn->type), to);
    return true;
}

/* Swaps groups of `shift` bits: ((x >> shift) & mask) | ((x & mask) << shift). */
static void swap_groups(Compiler *c, u32 size, u8 to, u8 high, u8 mask, u8 shift, u64 bits)
{
    x86_mov_imm(&c->as, mask, size == 8 ? bits : (u32)bits);
    x86_mov(&c->as, size, high, to);
    x86_shift_imm(&c->as, SHIFT_SHR, size, high, shift);
    x86_alu(&c->as, ALU_AND, size, high, x86_reg(mask));
    x86_alu(&c->as, ALU_AND, size, to, x86_reg(mask));
    x86_shift_imm(&c->as, SHIFT_SHL, size, to, shift);
    x86_alu(&c->as, ALU_OR, size, to, x86_reg(high));
}

bool lower_bitrev(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);

    if (!is_scalar_int(insn)) {
        return lower_vector(c, value, insn);
    }
    if (insn->type < IR_I32) {
        return false;
    }
    u8 high = scratch_int(c), mask = scratch_int(c);
    u8 to = define_over(c, value, insn->arg[0], 0);
    swap_bytes(c, size, to);
    swap_groups(c, size, to, high, mask, 4, 0x0f0f0f0f0f0f0f0f);
    swap_groups(c, size, to, high, mask, 2, 0x3333333333333333);
    swap_groups(c, size, to, high, mask, 1, 0x5555555555555555);
    return true;
}

/* PDEP, PEXT */
bool lower_bit_deposit(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    u32 opcode = insn->op == IR_PDEP ? X86_OPCODE(X86_PF2, X86_0F38, 0xf5)
                                     : X86_OPCODE(X86_PF3, X86_0F38, 0xf5);

    if (!(c->as.features & X86_BMI2)) {
        return false;
    }
    u8 x = use(c, insn->arg[0]);
    X86Rm mask = use_rm(c, insn->arg[1], size);
    u8 to = define(c, value, 0);
    x86_vex(&c->as, opcode | wide(size), to, x, mask, 0);
    return true;
}

/* SHLD, SHRD by a variable count; by a constant they are EXTR to fold. */
bool lower_double_shift(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = op_size((IrType)insn->type);
    u32 opcode = insn->op == IR_SHLD ? X86_OPCODE(0, X86_0F, 0xa5) : X86_OPCODE(0, X86_0F, 0xad);

    ra_use_fixed(&c->ra, insn->arg[2], RCX);
    u8 other = use(c, insn->arg[1]);
    u8 to = define_over(c, value, insn->arg[0], RA_EARLY);
    x86_flags_op(&c->as, opcode, size, other, x86_reg(to), 0);
    if (size == 4) {
        x86_mov(&c->as, 4, to, to); /* clean if the count is 0, too */
    }
    return true;
}

/* RCL, RCR through C of the packed flags. */
bool lower_rotate_carry(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);
    X86Shift shift = insn->op == IR_RCL ? SHIFT_RCL : SHIFT_RCR;
    u64 count;
    bool constant = is_constant(c, insn->arg[1], &count);

    if (!constant) {
        ra_use_fixed(&c->ra, insn->arg[1], RCX);
    }
    u8 flags = use(c, insn->arg[2]);
    u8 to = define_over(c, value, insn->arg[0], RA_EARLY);
    x86_flags_op(&c->as, OP_BT_IMM, 4, 4, x86_reg(flags), 1);
    x86_byte(&c->as, 8);
    if (constant) {
        x86_shift_imm(&c->as, shift, size, to, (u8)count & (size == 8 ? 63 : 31));
    } else {
        x86_shift_cl(&c->as, shift, size, to);
    }
    if (size == 4) {
        x86_mov(&c->as, 4, to, to);
    }
    return true;
}

/* The instruction computes CRC-32C; the other polynomial goes to ir_eval. */
bool lower_crc32(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn_of(c, insn->arg[1])->type);

    if (!insn->sub) {
        return false;
    }
    u8 data = use(c, insn->arg[1]);
    u8 to = define_over(c, value, insn->arg[0], 0);
    x86_op(&c->as, size == 1 ? OP_CRC32_8 : OP_CRC32, size, to, x86_reg(data), 0);
    return true;
}
