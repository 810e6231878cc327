/* FLAGS_* operations: their flags in EFLAGS, and from there in packed form.
 *
 * Often an instruction before left EFLAGS as wanted: prepare.c finds it (FUSE_EFLAGS). Packing the
 * flags of additions and subtractions leaves EFLAGS alone, so that a jump can follow.
 * Shifts: the CPU defines overflow for a count of one only. Where it matters the last bit is
 * shifted alone: the IR defines V as that gives it. */
#include <assert.h>

#include "host/x86_64/x86_64.h"

enum {
    OP_BT = X86_OPCODE(0, X86_0F, 0xa3),
    OP_BT_IMM = X86_OPCODE(0, X86_0F, 0xba), /* /4 */
    OP_IMUL = X86_OPCODE(0, X86_0F, 0xaf),
    OP_PTEST = X86_OPCODE(X86_P66, X86_0F38, 0x17),
    OP_LAHF = 0x9f,
    OP_CMC = 0xf5,
    OP_CLC = 0xf8,
    OP_STC = 0xf9,
};

static u32 operand_size(const Compiler *c, const IrInsn *flags)
{
    return ir_type_size((IrType)insn_of(c, flags->arg[0])->type);
}

/* The constant count of a shift as x86 takes it; 0: variable, or it may change no flags. */
static u32 constant_count(const Compiler *c, const IrInsn *flags)
{
    u64 count;

    if (!is_constant(c, flags->arg[1], &count)) {
        return 0;
    }
    return (u32)count & (operand_size(c, flags) == 8 ? 63 : 31);
}

u32 flags_operands(const Compiler *c, const IrInsn *flags)
{
    u64 zero;

    switch ((IrOp)flags->op) {
    case IR_FLAGS_LOGIC:
        return 1;
    case IR_FLAGS_ADD:
    case IR_FLAGS_SUB:
    case IR_FLAGS_SUBN:
    case IR_FLAGS_BT:
        return 2;
    case IR_FLAGS_MUL:
        return flags->sub & IR_SIGNED && operand_size(c, flags) > 1 ? 2 : 0;
    case IR_FLAGS_VTEST:
        return !flags->lane && insn_of(c, flags->arg[0])->type == IR_V128 ? 2 : 0;
    case IR_FLAGS_ADC:
        return 3;
    case IR_FLAGS_SBB:
        return 3;
    case IR_FLAGS_SHL:
    case IR_FLAGS_SHR:
    case IR_FLAGS_SAR:
        return !is_constant(c, flags->arg[1], &zero) ? 0 : constant_count(c, flags) ? 1 : 0;
    default:
        return 0;
    }
}

/* Needs no register where the other operands have taken all that there are. */
void emit_carry(Compiler *c, IrVal carry)
{
    u64 constant;

    if (is_constant(c, carry, &constant)) {
        x86_byte(&c->as, constant & 1 ? OP_STC : OP_CLC);
        c->as.flags_of = 0;
        return;
    }
    X86Rm bits = use_rm(c, carry, 4);
    x86_flags_op(&c->as, OP_BT_IMM, 4, 4, bits, 1);
    x86_byte(&c->as, 0);
    if (!x86_is_memory(bits)) {
        ra_unlock(&c->ra, bits.reg);
    }
}

/* scratch = x alu y, for its flags alone. */
static void compute(Compiler *c, X86Alu alu, const IrInsn *flags)
{
    IrType type = (IrType)insn_of(c, flags->arg[0])->type;
    u32 size = ir_type_size(type);
    s32 imm;
    bool immediate = is_immediate(c, flags->arg[1], type, &imm);
    X86Rm y = immediate ? x86_reg(0) : use_rm(c, flags->arg[1], size);
    u8 x = use(c, flags->arg[0]), result = scratch_int(c);

    if (alu == ALU_ADC || alu == ALU_SBB) {
        emit_carry(c, flags->arg[2]);
    }
    x86_mov(&c->as, 8, result, x);
    c->compare_at = c->as.at;
    if (immediate) {
        x86_alu_imm(&c->as, alu, size, x86_reg(result), imm);
    } else {
        x86_alu(&c->as, alu, size, result, y);
    }
    ra_release(&c->ra, result);
}

static void compare(Compiler *c, const IrInsn *flags)
{
    IrType type = (IrType)insn_of(c, flags->arg[0])->type;
    u32 size = ir_type_size(type);
    s32 imm;

    if (is_immediate(c, flags->arg[1], type, &imm)) {
        X86Rm x = use_rm(c, flags->arg[0], size);
        c->compare_at = c->as.at;
        x86_alu_imm(&c->as, ALU_CMP, size, x, imm);
    } else {
        X86Rm y = use_rm(c, flags->arg[1], size);
        u8 x = use(c, flags->arg[0]);
        c->compare_at = c->as.at;
        x86_alu(&c->as, ALU_CMP, size, x, y);
    }
}

static X86Shift shift_of(IrOp op)
{
    return op == IR_FLAGS_SHL ? SHIFT_SHL : op == IR_FLAGS_SHR ? SHIFT_SHR : SHIFT_SAR;
}

static void shift_by_constant(Compiler *c, const IrInsn *flags)
{
    u32 size = operand_size(c, flags), count = constant_count(c, flags);
    u8 x = use(c, flags->arg[0]), result = scratch_int(c);

    x86_mov(&c->as, 8, result, x);
    c->compare_at = c->as.at;
    if (count > 1) {
        x86_shift_imm(&c->as, shift_of((IrOp)flags->op), size, result, (u8)(count - 1));
    }
    x86_shift_imm(&c->as, shift_of((IrOp)flags->op), size, result, 1);
    ra_release(&c->ra, result);
}

/* Of i8 and i16 in 32 bits, where bt takes the number modulo 32: it is reduced before. */
static void test_bit(Compiler *c, const IrInsn *flags)
{
    u32 size = operand_size(c, flags);
    u8 x = use(c, flags->arg[0]);
    u64 number;

    c->compare_at = c->as.at;
    if (is_constant(c, flags->arg[1], &number)) {
        x86_flags_op(&c->as, OP_BT_IMM, MAX(size, 4), 4, x86_reg(x), 1);
        x86_byte(&c->as, (u8)(number & (size * 8 - 1)));
        return;
    }
    u8 place = use(c, flags->arg[1]);
    if (size < 4) {
        u8 reduced = scratch_int(c);
        x86_mov(&c->as, 4, reduced, place);
        x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(reduced), (s32)size * 8 - 1);
        x86_flags_op(&c->as, OP_BT, 4, reduced, x86_reg(x), 0);
        ra_release(&c->ra, reduced);
        return;
    }
    x86_flags_op(&c->as, OP_BT, size, place, x86_reg(x), 0);
}

static void multiply(Compiler *c, const IrInsn *flags)
{
    u32 size = operand_size(c, flags);
    u8 y = use(c, flags->arg[1]), x = use(c, flags->arg[0]), product = scratch_int(c);

    x86_mov(&c->as, 8, product, x);
    x86_flags_op(&c->as, OP_IMUL, size, product, x86_reg(y), 0);
    ra_release(&c->ra, product);
}

void emit_flags(Compiler *c, const IrInsn *flags)
{
    u32 size = operand_size(c, flags);

    switch ((IrOp)flags->op) {
    case IR_FLAGS_LOGIC: {
        u8 x = use(c, flags->arg[0]);
        c->compare_at = c->as.at;
        x86_test(&c->as, size, x86_reg(x), x);
        return;
    }
    case IR_FLAGS_SUB:
    case IR_FLAGS_SUBN:
        compare(c, flags);
        return;
    case IR_FLAGS_ADD:
        compute(c, ALU_ADD, flags);
        return;
    case IR_FLAGS_ADC:
        compute(c, ALU_ADC, flags);
        return;
    case IR_FLAGS_SBB:
        compute(c, ALU_SBB, flags);
        return;
    case IR_FLAGS_BT:
        test_bit(c, flags);
        return;
    case IR_FLAGS_MUL:
        multiply(c, flags);
        return;
    case IR_FLAGS_VTEST: {
        u8 y = use(c, flags->arg[1]), x = use(c, flags->arg[0]);
        c->as.flags_of = 0;
        x86_vector2(&c->as, OP_PTEST, x, x86_reg(y)); /* Z of x & y, C of y & ~x */
        return;
    }
    default:
        shift_by_constant(c, flags);
    }
}

/* -- Packed form */

enum { ARITHMETIC = IR_FLAGS };

/* The flags that an operation defines; the others are 0. */
static u32 flags_defined(IrOp op)
{
    switch (op) {
    case IR_FLAGS_LOGIC:
        return IR_FLAG_P | IR_FLAG_Z | IR_FLAG_N;
    case IR_FLAGS_BT:
        return IR_FLAG_C;
    case IR_FLAGS_MUL:
        return IR_FLAG_C | IR_FLAG_V;
    case IR_FLAGS_VTEST:
        return IR_FLAG_Z | IR_FLAG_C;
    case IR_FLAGS_SHL:
    case IR_FLAGS_SHR:
    case IR_FLAGS_SAR:
        return IR_FLAGS & ~IR_FLAG_A;
    default:
        return IR_FLAGS;
    }
}

/* EFLAGS into rax in packed form: lahf leaves ah, whose bit 1 is always set, seto al. All of them
 * without changing EFLAGS. */
static void pack_flags(Compiler *c, IrOp op)
{
    u32 defined = flags_defined(op);

    x86_byte(&c->as, OP_LAHF);
    x86_setcc(&c->as, CC_O, RAX);
    if (defined == IR_FLAGS && op != IR_FLAGS_SUBN) {
        x86_movzx(&c->as, 2, RAX, x86_reg(RAX));
        x86_lea(&c->as, 4, RAX, x86_at(RAX, -0x200));
    } else {
        x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(RAX), (s32)defined);
    }
}

bool lower_flags(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (!flags_operands(c, insn)) {
        return false;
    }
    ra_claim(&c->ra, RAX);
    if (c->fused[value] == FUSE_EFLAGS) {
        assert(c->as.flags_of && "an instruction between changed EFLAGS");
    } else {
        emit_flags(c, insn);
    }
    if (insn->op == IR_FLAGS_SUBN) {
        x86_byte(&c->as, OP_CMC);
    }
    pack_flags(c, (IrOp)insn->op);
    ra_define_in(&c->ra, value, RAX);
    return true;
}

/* Of shifts by a variable count: those of arg2 where the count is 0. */
static bool shift_by_variable(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = operand_size(c, insn);
    X86Shift shift = shift_of((IrOp)insn->op);

    ra_use_fixed(&c->ra, insn->arg[2], RAX);
    ra_use_fixed(&c->ra, insn->arg[1], RCX);
    u8 x = use(c, insn->arg[0]), result = scratch_int(c);
    x86_mov(&c->as, 8, result, x);
    x86_mov(&c->as, 4, RAX, RAX); /* the result is clean */
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(RCX), size == 8 ? 63 : 31);
    u8 *unchanged = x86_jcc_short(&c->as, CC_E);
    x86_alu_imm(&c->as, ALU_SUB, 4, x86_reg(RCX), 1);
    x86_shift_cl(&c->as, shift, size, result);
    x86_shift_imm(&c->as, shift, size, result, 1);
    pack_flags(c, (IrOp)insn->op);
    x86_bind_short(&c->as, unchanged);
    ra_define_in(&c->ra, value, RAX);
    return true;
}

bool lower_flags_shift(Compiler *c, IrVal value, const IrInsn *insn)
{
    u64 count;

    if (!is_constant(c, insn->arg[1], &count)) {
        return shift_by_variable(c, value, insn);
    }
    return lower_flags(c, value, insn);
}

/* Carry and overflow of rotations by a constant; the last bit is rotated alone, too. */
bool lower_flags_rotate(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 rotations[] = {SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR};
    X86Shift rotation = (X86Shift)rotations[insn->op - IR_FLAGS_ROL];
    u32 size = operand_size(c, insn), count = constant_count(c, insn);
    u32 fresh = IR_FLAG_C | IR_FLAG_V;

    if (!count) {
        return false;
    }
    ra_claim(&c->ra, RAX);
    u8 x = use(c, insn->arg[0]), old = use(c, insn->arg[2]), result = scratch_int(c);
    x86_mov(&c->as, 8, result, x);
    if (rotation == SHIFT_RCL || rotation == SHIFT_RCR) {
        x86_flags_op(&c->as, OP_BT_IMM, 4, 4, x86_reg(old), 1);
        x86_byte(&c->as, 8);
    }
    if (count > 1) {
        x86_shift_imm(&c->as, rotation, size, result, (u8)(count - 1));
    }
    x86_shift_imm(&c->as, rotation, size, result, 1);
    x86_byte(&c->as, OP_LAHF);
    x86_setcc(&c->as, CC_O, RAX);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(RAX), (s32)fresh);
    x86_mov(&c->as, 4, result, old);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(result), (s32)~fresh);
    x86_alu(&c->as, ALU_OR, 4, RAX, x86_reg(result));
    ra_define_in(&c->ra, value, RAX);
    return true;
}

/* (x & mask) | (y & ~mask) */
bool lower_flags_pick(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 y = use(c, insn->arg[1]), rest = scratch_int(c);

    x86_mov(&c->as, 4, rest, y);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(rest), (s32)(IR_FLAGS & ~insn->imm));
    u8 to = define_over(c, value, insn->arg[0], 0);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(to), (s32)insn->imm);
    x86_alu(&c->as, ALU_OR, 4, to, x86_reg(rest));
    return true;
}
