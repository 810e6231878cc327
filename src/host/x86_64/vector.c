/* Lowering of vector operations: the dispatch, the operations that are one instruction, and what
 * the files vector_*.c share. See vector.h. */
#include "host/x86_64/vector.h"

/* -- Operands */

X86Rm vector_rm(Compiler *c, IrVal value)
{
    X86Rm rm = use_rm(c, value, 16);

    /* Without VEX, memory operands must be aligned; the context and the pool are. */
    if (x86_is_memory(rm) && !has_feature(c, X86_AVX) && rm.base != X86_POOL && rm.disp & 15) {
        return x86_reg(use(c, value));
    }
    return rm;
}

X86Rm pool_lanes(Compiler *c, u32 log, u64 value)
{
    for (u32 bits = 8u << log; bits < 64; bits *= 2) {
        value = (value & (((u64)1 << bits) - 1)) | value << bits;
    }
    return pool_u64_pair(c, value, value);
}

/* -- Instructions in three-operand form */

void vector_move(Compiler *c, u8 to, u8 from)
{
    if (to != from) {
        x86_vector2(&c->as, V_MOVAPS, to, x86_reg(from));
    }
}

/* Copies `first` to where an instruction without VEX wants it; returns its place. */
static u8 place_first(Compiler *c, u8 to, u8 first)
{
    if (has_feature(c, X86_AVX)) {
        return first;
    }
    vector_move(c, to, first);
    return to;
}

void vector3(Compiler *c, u32 opcode, u8 to, u8 first, X86Rm second)
{
    first = place_first(c, to, first);
    x86_vector(&c->as, opcode, to, first, second);
}

void vector3_imm(Compiler *c, u32 opcode, u8 to, u8 first, X86Rm second, u8 imm)
{
    first = place_first(c, to, first);
    x86_vector_imm(&c->as, opcode, to, first, second, imm);
}

void vector_zero(Compiler *c, u8 to)
{
    x86_vector(&c->as, V_PXOR, to, to, x86_reg(to));
}

void vector_ones(Compiler *c, u8 to)
{
    x86_vector(&c->as, V_PCMPEQD, to, to, x86_reg(to));
}

void vector_shuffle(Compiler *c, u8 to, u8 from, u8 order)
{
    x86_vector2_imm(&c->as, V_PSHUFD, to, x86_reg(from), order);
}

/* The shift groups encode the operation in ModRM.reg and, with VEX, the result in vvvv. */
static void shift_group(Compiler *c, u32 opcode, u8 extension, u8 to, u8 from, u32 count)
{
    from = place_first(c, to, from);
    x86_vector_imm(&c->as, opcode, extension, to, x86_reg(from), (u8)MIN(count, 255u));
}

void vector_shift(Compiler *c, VectorShift shift, u32 log, u8 to, u8 from, u32 count)
{
    shift_group(c, PD(0x70 + log), (u8)shift, to, from, count);
}

void vector_shift_bytes(Compiler *c, VectorShift shift, u8 to, u8 from, u32 bytes)
{
    shift_group(c, PD(0x73), shift == VECTOR_SHR ? 3 : 7, to, from, bytes);
}

/* -- Whole operations */

/* Registers for value = opcode(first, rm); without VEX they are one. */
static u8 define_from(Compiler *c, IrVal value, IrVal first, u8 *from)
{
    if (has_feature(c, X86_AVX)) {
        *from = use(c, first);
        return define(c, value, 0);
    }
    return *from = define_over(c, value, first, 0);
}

u8 define_binary(Compiler *c, IrVal value, u32 opcode, IrVal first, IrVal second)
{
    X86Rm rm = vector_rm(c, second);
    u8 from, to = define_from(c, value, first, &from);

    x86_vector(&c->as, opcode, to, from, rm);
    return to;
}

bool lower_binary(Compiler *c, IrVal value, u32 opcode, IrVal first, IrVal second)
{
    define_binary(c, value, opcode, first, second);
    return true;
}

bool lower_binary_imm(Compiler *c, IrVal value, u32 opcode, IrVal first, IrVal second, u8 imm)
{
    X86Rm rm = vector_rm(c, second);
    u8 from, to = define_from(c, value, first, &from);

    x86_vector_imm(&c->as, opcode, to, from, rm, imm);
    return true;
}

bool lower_single(Compiler *c, IrVal value, u32 opcode, IrVal source)
{
    X86Rm rm = vector_rm(c, source);

    x86_vector2(&c->as, opcode, define(c, value, 0), rm);
    return true;
}

bool lower_single_imm(Compiler *c, IrVal value, u32 opcode, IrVal source, u8 imm)
{
    X86Rm rm = vector_rm(c, source);

    x86_vector2_imm(&c->as, opcode, define(c, value, 0), rm, imm);
    return true;
}

bool lower_shuffle_bytes(Compiler *c, IrVal value, IrVal source, const u8 bytes[16])
{
    u8 from = use(c, source);
    u8 to = define(c, value, 0);

    vector3(c, V_PSHUFB, to, from, pool_rm(c, bytes, 16));
    return true;
}

bool lower_same(Compiler *c, IrVal value, IrVal operand)
{
    define_over(c, value, operand, 0);
    return true;
}

bool lower_zero(Compiler *c, IrVal value)
{
    vector_zero(c, define(c, value, 0));
    return true;
}

/* -- Operations that are one instruction, by lanes of 1, 2, 4 and 8 bytes; 0: none */

static const u32 instructions[IR_OP_COUNT][4] = {
    [IR_ADD] = {V_PADDB, V_PADDW, V_PADDD, V_PADDQ},
    [IR_SUB] = {V_PSUBB, PD(0xf9), V_PSUBD, V_PSUBQ},
    [IR_MUL] = {0, V_PMULLW, P38(0x40), 0},
    [IR_AND] = {V_PAND, V_PAND, V_PAND, V_PAND},
    [IR_OR] = {V_POR, V_POR, V_POR, V_POR},
    [IR_XOR] = {V_PXOR, V_PXOR, V_PXOR, V_PXOR},
    [IR_VMINS] = {P38(0x38), PD(0xea), P38(0x39), 0},
    [IR_VMINU] = {V_PMINUB, V_PMINUW, V_PMINUD, 0},
    [IR_VMAXS] = {P38(0x3c), PD(0xee), P38(0x3d), 0},
    [IR_VMAXU] = {PD(0xde), P38(0x3e), P38(0x3f), 0},
    [IR_VADDS] = {PD(0xec), PD(0xed), 0, 0},
    [IR_VADDU] = {PD(0xdc), PD(0xdd), 0, 0},
    [IR_VSUBS] = {PD(0xe8), PD(0xe9), 0, 0},
    [IR_VSUBU] = {PD(0xd8), PD(0xd9), 0, 0},
    [IR_MULHU] = {0, PD(0xe4), 0, 0},
    [IR_MULHS] = {0, PD(0xe5), 0, 0},
    [IR_VMULHRS] = {0, P38(0x0b), 0, 0},
    [IR_VMADD] = {0, PD(0xf5), 0, 0},
    [IR_VMADDUS] = {P38(0x04), 0, 0, 0},
    [IR_VSAD] = {PD(0xf6), 0, 0, 0},
    [IR_VSIGN] = {P38(0x08), P38(0x09), P38(0x0a), 0},
};

u32 vector_instruction(IrOp op, u32 log)
{
    return instructions[op][log];
}

/* The same with arg1 as the first operand. */
static const u32 swapped_instructions[IR_OP_COUNT][4] = {
    [IR_ANDN] = {V_PANDN, V_PANDN, V_PANDN, V_PANDN},
};

/* One operand. */
static const u32 single_instructions[IR_OP_COUNT][4] = {
    [IR_VABS] = {P38(0x1c), P38(0x1d), P38(0x1e), 0},
    [IR_VMINPOS] = {0, P38(0x41), 0, 0},
};

/* Operations of several instructions, or with forms to choose from. */
static Lower *const sequences[IR_OP_COUNT] = {
    [IR_NOT] = vector_not,
    [IR_NEG] = vector_neg,
    [IR_MUL] = vector_mul,
    [IR_VABS] = vector_abs64,
    [IR_VABDS] = vector_abd,
    [IR_VABDU] = vector_abd,
    [IR_VHADD] = vector_halving,
    [IR_VHSUB] = vector_halving,
    [IR_VADDS] = vector_saturating,
    [IR_VADDU] = vector_saturating,
    [IR_VSUBS] = vector_saturating,
    [IR_VSUBU] = vector_saturating,
    [IR_VQDMULH] = vector_qdmulh,
    [IR_CLZ] = vector_count,
    [IR_POPCNT] = vector_count,
    [IR_BITREV] = vector_bitrev,
    [IR_VBSL] = vector_bsl,
    [IR_VCMP] = vector_cmp,
    [IR_VMINS] = vector_minmax64,
    [IR_VMINU] = vector_minmax64,
    [IR_VMAXS] = vector_minmax64,
    [IR_VMAXU] = vector_minmax64,
    [IR_VREDMIN] = vector_reduce,
    [IR_VREDMAX] = vector_reduce,
    [IR_VREDADD] = vector_reduce_add,
    [IR_VSHL] = vector_shift_imm,
    [IR_VSHR] = vector_shift_imm,
    [IR_VSAR] = vector_shift_imm,
    [IR_VRSHR] = vector_rounding_shift,
    [IR_VSHLV] = vector_shift_variable,
    [IR_VWIDEN] = vector_widen,
    [IR_VNARROW] = vector_narrow,
    [IR_VQNARROW] = vector_qnarrow,
    [IR_VMULL] = vector_mull,
    [IR_VPADDL] = vector_paddl,
    [IR_VSPLAT] = vector_splat,
    [IR_VGET] = vector_get,
    [IR_VSET] = vector_set,
    [IR_VZIP1] = vector_zip,
    [IR_VZIP2] = vector_zip,
    [IR_VUZP1] = vector_uzp,
    [IR_VUZP2] = vector_uzp,
    [IR_VTRN1] = vector_trn,
    [IR_VTRN2] = vector_trn,
    [IR_VEXT] = vector_ext,
    [IR_VREV] = vector_rev,
    [IR_VTBL] = vector_tbl,
    [IR_VPADD] = vector_padd,
    [IR_VPACK] = vector_pack,
    [IR_VMULE] = vector_mul_even,
    [IR_VMPSAD] = vector_mpsad,
    [IR_VSHLC] = vector_shift_count,
    [IR_VSHRC] = vector_shift_count,
    [IR_VSARC] = vector_shift_count,
    [IR_VSHLU] = vector_shift_each,
    [IR_VSHRU] = vector_shift_each,
    [IR_VSARU] = vector_shift_each,
    [IR_VBLEND] = vector_blend,
    [IR_VBLENDV] = vector_blend_by_sign,
    [IR_VSHUF] = vector_shuffle_two,
    [IR_VSHUF16] = vector_shuffle_words,
    [IR_VMOVMSK] = vector_sign_mask,
    [IR_VCAT] = vector_cat,
    [IR_VHIGH] = vector_high,
    [IR_FADD] = vector_float_binary,
    [IR_FSUB] = vector_float_binary,
    [IR_FMUL] = vector_float_binary,
    [IR_FDIV] = vector_float_binary,
    [IR_FMULX] = vector_float_binary,
    [IR_FSQRT] = vector_float_sqrt,
    [IR_FNEG] = vector_float_sign,
    [IR_FABS] = vector_float_sign,
    [IR_FMIN] = vector_float_minmax,
    [IR_FMAX] = vector_float_minmax,
    [IR_FMINNM] = vector_float_minmax,
    [IR_FMAXNM] = vector_float_minmax,
    [IR_FMA] = vector_fma,
    [IR_FRECPS] = vector_recip_step,
    [IR_VFCMP] = vector_fcmp,
    [IR_FADDSUB] = vector_addsub,
    [IR_FRCP] = vector_estimate,
    [IR_FRSQRT] = vector_estimate,
    [IR_FROUND] = vector_round,
    [IR_FCVT] = vector_fcvt,
    [IR_FCVT16] = vector_fcvt16,
    [IR_FTOI] = vector_ftoi,
    [IR_ITOF] = vector_itof,
    [IR_AES] = vector_aes,
    [IR_SHA] = vector_sha,
    [IR_VMULLP] = vector_mullp,
    [IR_VCLMUL] = vector_clmul,
};

bool lower_vector(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type, from = (IrType)insn_of(c, insn->arg[0])->type;
    u32 log = lane_log(insn);

    if (type == IR_V256 || from == IR_V256 || (type < IR_V64 && from < IR_V64)) {
        return false;
    }
    if (instructions[insn->op][log]) {
        return lower_binary(c, value, instructions[insn->op][log], insn->arg[0], insn->arg[1]);
    }
    if (swapped_instructions[insn->op][log]) {
        return lower_binary(c, value, swapped_instructions[insn->op][log], insn->arg[1],
                            insn->arg[0]);
    }
    if (single_instructions[insn->op][log]) {
        return lower_single(c, value, single_instructions[insn->op][log], insn->arg[0]);
    }
    Lower *sequence = sequences[insn->op];
    return sequence && sequence(c, value, insn);
}
