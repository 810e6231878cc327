/* Private to vector*.c: what the lowerings of vector operations share.
 *
 * Code is written once, in three-operand form: vector3() and its like insert a copy where the CPU
 * has no AVX. A sequence works in scratch registers and a result defined RA_EARLY; instructions
 * that are a whole operation by themselves go through lower_binary().
 *
 * The upper half of a v64 is unspecified in operands and results, unless Compiler.clean promises
 * zeros of a result. Integer code computes it along; floating-point code must not, since what is
 * there could raise exceptions: see vector_float.c. */
#ifndef HOST_X86_64_VECTOR_H
#define HOST_X86_64_VECTOR_H

#include "host/x86_64/x86_64.h"

/* Opcodes by prefix and map. */
#define PS(byte) X86_OPCODE(X86_P0, X86_0F, byte)
#define PD(byte) X86_OPCODE(X86_P66, X86_0F, byte)
#define P38(byte) X86_OPCODE(X86_P66, X86_0F38, byte)
#define P3A(byte) X86_OPCODE(X86_P66, X86_0F3A, byte)

enum {
    V_MOVAPS = PS(0x28),
    V_MOVAPS_STORE = PS(0x29),                  /* reg: source */
    V_MOVQ = X86_OPCODE(X86_PF3, X86_0F, 0x7e), /* clears the upper half */
    V_MOVD_FROM_INT = PD(0x6e),                 /* with X86_W: movq */
    V_MOVD_TO_INT = PD(0x7e),                   /* reg: vector register, rm: integer one */
    V_PAND = PD(0xdb),
    V_PANDN = PD(0xdf), /* ~first & second */
    V_POR = PD(0xeb),
    V_PXOR = PD(0xef),
    V_PADDB = PD(0xfc),
    V_PADDW = PD(0xfd),
    V_PADDD = PD(0xfe),
    V_PADDQ = PD(0xd4),
    V_PSUBB = PD(0xf8),
    V_PSUBD = PD(0xfa),
    V_PSUBQ = PD(0xfb),
    V_PMULLW = PD(0xd5),
    V_PMULHW = PD(0xe5),
    V_PMULHUW = PD(0xe4),
    V_PMULHRSW = P38(0x0b),
    V_PMULUDQ = PD(0xf4),
    V_PMULDQ = P38(0x28),
    V_PMADDWD = PD(0xf5),
    V_PMADDUBSW = P38(0x04),
    V_PMINUB = PD(0xda),
    V_PMINUW = P38(0x3a),
    V_PMINUD = P38(0x3b),
    V_PCMPEQB = PD(0x74),
    V_PCMPEQW = PD(0x75),
    V_PCMPEQD = PD(0x76),
    V_PCMPGTD = PD(0x66),
    V_PCMPGTQ = P38(0x37),
    V_PACKSSWB = PD(0x63),
    V_PACKSSDW = PD(0x6b),
    V_PACKUSWB = PD(0x67),
    V_PACKUSDW = P38(0x2b),
    V_PUNPCKLBW = PD(0x60),
    V_PUNPCKLWD = PD(0x61),
    V_PUNPCKLDQ = PD(0x62),
    V_PUNPCKLQDQ = PD(0x6c),
    V_PUNPCKHWD = PD(0x69),
    V_PUNPCKHQDQ = PD(0x6d),
    V_PSHUFB = P38(0x00),
    V_PSHUFD = PD(0x70), /* one source, immediate */
    V_SHUFPS = PS(0xc6),
    V_SHUFPD = PD(0xc6),
    V_PALIGNR = P3A(0x0f), /* first is the high part */
    V_PBLENDW = P3A(0x0e), /* bits set: words of second */
    V_PSADBW = PD(0xf6),
    V_PHMINPOSUW = P38(0x41), /* one source */
    V_INSERTPS = P3A(0x21),
};

/* log2 of the lane's size in bytes; 3 for operations without lane type, which are bitwise. */
static inline u32 lane_log(const IrInsn *insn)
{
    switch (insn->lane) {
    case IR_I8:
        return 0;
    case IR_I16:
        return 1;
    case IR_I32:
    case IR_F32:
        return 2;
    default:
        return 3;
    }
}

static inline u32 lane_bits(const IrInsn *insn)
{
    return 8u << lane_log(insn);
}

static inline bool has_feature(const Compiler *c, u32 feature)
{
    return (c->as.features & feature) == feature;
}

/* -- vector.c */

/* The operand as a register or 16 bytes of memory that any vector instruction may read. */
X86Rm vector_rm(Compiler *c, IrVal value);
/* to = opcode(first, second); without AVX `second` must not be `to` unless `first` is. */
void vector3(Compiler *c, u32 opcode, u8 to, u8 first, X86Rm second);
void vector3_imm(Compiler *c, u32 opcode, u8 to, u8 first, X86Rm second, u8 imm);
/* The same with registers only. */
static inline void vector_op(Compiler *c, u32 opcode, u8 to, u8 first, u8 second)
{
    vector3(c, opcode, to, first, x86_reg(second));
}
void vector_move(Compiler *c, u8 to, u8 from);
void vector_zero(Compiler *c, u8 to);
void vector_ones(Compiler *c, u8 to);
/* pshufd */
void vector_shuffle(Compiler *c, u8 to, u8 from, u8 order);
/* Shifts of lanes of 2^log bytes (words to quadwords; any count), and of the whole in bytes. */
typedef enum VectorShift { VECTOR_SHR = 2, VECTOR_SAR = 4, VECTOR_SHL = 6 } VectorShift;
void vector_shift(Compiler *c, VectorShift shift, u32 log, u8 to, u8 from, u32 count);
void vector_shift_bytes(Compiler *c, VectorShift shift, u8 to, u8 from, u32 bytes);
/* The value in every lane of 2^log bytes, in the constant pool. */
X86Rm pool_lanes(Compiler *c, u32 log, u64 value);
/* The opcode of an operation that is one instruction for lanes of 2^log bytes; 0: none. */
u32 vector_instruction(IrOp op, u32 log);
/* value = opcode(first, second); returns its register, for more instructions on it. */
u8 define_binary(Compiler *c, IrVal value, u32 opcode, IrVal first, IrVal second);
/* The same as a lowering. */
bool lower_binary(Compiler *c, IrVal value, u32 opcode, IrVal first, IrVal second);
bool lower_binary_imm(Compiler *c, IrVal value, u32 opcode, IrVal first, IrVal second, u8 imm);
/* value = opcode(source): one source, as the encoding has it. */
bool lower_single(Compiler *c, IrVal value, u32 opcode, IrVal source);
bool lower_single_imm(Compiler *c, IrVal value, u32 opcode, IrVal source, u8 imm);
/* value = pshufb(source, bytes) */
bool lower_shuffle_bytes(Compiler *c, IrVal value, IrVal source, const u8 bytes[16]);
/* The value is the operand, unchanged. */
bool lower_same(Compiler *c, IrVal value, IrVal operand);
bool lower_zero(Compiler *c, IrVal value);

/* -- The lowerings by kind; lower_vector() has looked at the types and passes v64 and v128 only. */

/* vector_integer.c */
Lower vector_not, vector_neg, vector_abs64, vector_mul, vector_abd, vector_halving,
    vector_saturating, vector_qdmulh, vector_count, vector_bitrev, vector_bsl;
/* vector_compare.c */
Lower vector_cmp, vector_minmax64, vector_reduce, vector_reduce_add;
/* vector_shift.c */
Lower vector_shift_imm, vector_rounding_shift, vector_shift_variable;
/* Shifts lanes of any size, bytes included, by 0 < count < width; `to` differs from `from`; may
 * take a scratch register. */
void shift_lanes(Compiler *c, VectorShift shift, u32 log, u8 to, u8 from, u32 count);
/* vector_width.c */
Lower vector_widen, vector_narrow, vector_qnarrow, vector_mull, vector_paddl;
/* vector_permute.c */
Lower vector_splat, vector_get, vector_set, vector_zip, vector_uzp, vector_trn, vector_ext,
    vector_rev, vector_tbl, vector_padd, vector_cat, vector_high;
/* vector_packed.c */
Lower vector_pack, vector_mul_even, vector_mpsad, vector_shift_count, vector_shift_each,
    vector_blend, vector_blend_by_sign, vector_shuffle_two, vector_shuffle_words, vector_sign_mask;
/* vector_float.c: its opening comment says what all code of floating-point operations heeds */
Lower vector_float_binary, vector_float_sqrt, vector_float_sign, vector_float_minmax, vector_fma,
    vector_recip_step, vector_fcmp, vector_addsub, vector_estimate;
/* Opcode bytes of packed instructions, and the opcode for the lanes of the instruction. */
enum {
    F_SQRT = 0x51,
    F_ADD = 0x58,
    F_MUL = 0x59,
    F_SUB = 0x5c,
    F_MIN = 0x5d,
    F_DIV = 0x5e,
    F_MAX = 0x5f,
    F_CMP = 0xc2,
};
static inline u32 packed_float(const IrInsn *insn, u32 byte)
{
    return lane_log(insn) == 2 ? PS(byte) : PD(byte);
}
/* The opcode of vfmadd132, 213 or 231 turned into that for the signs and the type of an FMA. */
u32 fused_opcode(const IrInsn *insn, u32 opcode);
/* Puts the operands into registers whose unused half is 0. */
void float_operands(Compiler *c, const IrInsn *insn, u32 count, u8 *regs);
/* How to define the result of one three-operand instruction that may trap. */
u32 float_flags(const Compiler *c);
/* vector_convert.c */
Lower vector_round, vector_fcvt, vector_fcvt16, vector_ftoi, vector_itof;
/* vector_crypto.c */
Lower vector_aes, vector_sha, vector_mullp, vector_clmul;

#endif
