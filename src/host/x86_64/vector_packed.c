/* Operations that the CPU has in the same form: packs, blends, shuffles by an immediate, sign
 * masks, shifts by one count or one for each lane. */
#include "host/x86_64/vector.h"

static bool is_same_operand(const Compiler *c, const IrInsn *insn)
{
    return ra_root(&c->ra, insn->arg[0]) == ra_root(&c->ra, insn->arg[1]);
}

/* Both operands of a v64 are joined first. */
bool vector_pack(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 opcodes[2][2] = {{V_PACKSSWB, V_PACKSSDW}, {V_PACKUSWB, V_PACKUSDW}};
    u32 log = lane_log(insn);
    u32 opcode = opcodes[(insn->sub & IR_TO_UNSIGNED) != 0][log];

    if (insn->type == IR_V128) {
        return lower_binary(c, value, opcode, insn->arg[0], insn->arg[1]);
    }
    u8 to = define_binary(c, value, V_PUNPCKLQDQ, insn->arg[0], insn->arg[1]);
    vector_op(c, opcode, to, to, to);
    return true;
}

bool vector_mul_even(Compiler *c, IrVal value, const IrInsn *insn)
{
    return lane_log(insn) == 2 &&
           lower_binary(c, value, insn->sub & IR_SIGNED ? V_PMULDQ : V_PMULUDQ, insn->arg[0],
                        insn->arg[1]);
}

bool vector_mpsad(Compiler *c, IrVal value, const IrInsn *insn)
{
    return lower_binary_imm(c, value, P3A(0x42), insn->arg[0], insn->arg[1], (u8)insn->imm);
}

/* -- Shifts */

/* All lanes by the low 64 bits of arg1. */
bool vector_shift_count(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 opcodes[3] = {0xf0, 0xd0, 0xe0}; /* plus log2 of the lane's size */
    u32 kind = insn->op - IR_VSHLC, log = lane_log(insn);
    IrType type = (IrType)insn_of(c, insn->arg[1])->type;

    if (log == 0 || (kind == 2 && log == 3)) {
        return false;
    }
    u8 count = use(c, insn->arg[1]);
    if (ir_type_is_int(type)) {
        u8 from = count;
        count = scratch_vector(c);
        x86_vector2(&c->as, V_MOVD_FROM_INT | (type == IR_I64 ? X86_W : 0), count, x86_reg(from));
    }
    u8 x = use(c, insn->arg[0]), to = define(c, value, has_feature(c, X86_AVX) ? 0 : RA_EARLY);
    vector_op(c, PD(opcodes[kind] + log), to, x, count);
    return true;
}

bool vector_shift_each(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 opcodes[3] = {0x47, 0x45, 0x46};
    u32 kind = insn->op - IR_VSHLU, log = lane_log(insn);

    if (!has_feature(c, X86_AVX2) || log < 2 || (kind == 2 && log == 3)) {
        return false;
    }
    return lower_binary(c, value, P38(opcodes[kind]) | (log == 3 ? X86_W : 0), insn->arg[0],
                        insn->arg[1]);
}

/* -- Blends and shuffles */

bool vector_blend(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 opcodes[4] = {0, V_PBLENDW, P3A(0x0c), P3A(0x0d)};
    u32 opcode = opcodes[lane_log(insn)];

    return opcode && lower_binary_imm(c, value, opcode, insn->arg[0], insn->arg[1], (u8)insn->imm);
}

/* The mask's register is in the immediate. */
bool vector_blend_by_sign(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 opcodes[4] = {P3A(0x4c), 0, P3A(0x4a), P3A(0x4b)};
    u32 opcode = opcodes[lane_log(insn)];

    if (!has_feature(c, X86_AVX) || !opcode) {
        return false;
    }
    u8 mask = use(c, insn->arg[0]);
    return lower_binary_imm(c, value, opcode, insn->arg[2], insn->arg[1], (u8)(mask << 4));
}

bool vector_shuffle_two(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 imm = (u8)insn->imm;

    if (lane_log(insn) == 3) {
        return lower_binary_imm(c, value, V_SHUFPD, insn->arg[0], insn->arg[1], imm);
    }
    return is_same_operand(c, insn)
               ? lower_single_imm(c, value, V_PSHUFD, insn->arg[0], imm)
               : lower_binary_imm(c, value, V_SHUFPS, insn->arg[0], insn->arg[1], imm);
}

/* pshuflw, pshufhw */
bool vector_shuffle_words(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 prefix = insn->sub & IR_HIGH ? X86_PF3 : X86_PF2;

    return insn->type == IR_V128 && lower_single_imm(c, value, X86_OPCODE(prefix, X86_0F, 0x70),
                                                     insn->arg[0], (u8)insn->imm);
}

/* -- Sign bits, of words by way of bytes. The unused half of a v64 must be zero. */

bool vector_sign_mask(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 opcodes[4] = {PD(0xd7), PD(0xd7), PS(0x50), PD(0x50)};
    u32 log = lane_log(insn);
    u8 from = use(c, insn->arg[0]);

    if (insn_of(c, insn->arg[0])->type == IR_V64 && !c->clean[insn->arg[0]]) {
        u8 clean = scratch_vector(c);
        x86_vector2(&c->as, V_MOVQ, clean, x86_reg(from));
        from = clean;
    }
    if (log == 1) {
        u8 bytes = scratch_vector(c), zero = scratch_vector(c);
        vector_zero(c, zero);
        vector_op(c, V_PACKSSWB, bytes, from, zero);
        from = bytes;
    }
    x86_vector2(&c->as, opcodes[log], define(c, value, 0), x86_reg(from));
    return true;
}
