/* Scalar floating point on the host's unit; only in regions that are not exact_fp.
 *
 * What differs between Arm and x86 traps: with Invalid unmasked a signalling NaN, a NaN made from
 * numbers and a conversion out of range never reach the result. Quiet NaNs pass through add, sub,
 * mul, div and sqrt as on Arm: the first operand's wins, so operands must not be exchanged. Where a
 * quiet NaN would be treated otherwise, it is made to trap as well: min and max do by themselves;
 * after a fused multiply-add a signalling comparison of the result with itself does. */
#include "host/x86_64/vector.h"
#include "ir/softfloat.h"

enum {
    OP_UCOMIS = PS(0x2e), /* 66 for f64 */
    OP_COMIS = PS(0x2f),
    OP_ADD = PS(0x58),
    OP_MUL = PS(0x59),
    OP_CVT_FORMAT = PS(0x5a), /* ss2sd, sd2ss, ps2pd, pd2ps by prefix */
    OP_SUB = PS(0x5c),
    OP_MIN = PS(0x5d),
    OP_DIV = PS(0x5e),
    OP_MAX = PS(0x5f),
    OP_SQRT = PS(0x51),
    OP_CMP = PS(0xc2),
    OP_CVT_FROM_INT = PS(0x2a),
    OP_CVT_TO_INT = PS(0x2d),
    OP_CVTT_TO_INT = PS(0x2c),
    OP_BTC = X86_OPCODE(0, X86_0F, 0xba), /* /7 with an immediate */
};

/* The opcode with the prefix that selects ss or sd. */
static u32 scalar_opcode(u32 opcode, IrType type)
{
    return opcode | X86_OPCODE(type == IR_F64 ? X86_PF2 : X86_PF3, 0, 0);
}

/* 66 for doubles, none for singles: comis. */
static u32 compare_opcode(u32 opcode, IrType type)
{
    return opcode | X86_OPCODE(type == IR_F64 ? X86_P66 : X86_P0, 0, 0);
}

static bool is_scalar(const IrInsn *insn)
{
    return ir_type_is_float((IrType)insn->type);
}

/* A constant of the type, alone in its register. */
static X86Rm float_constant(Compiler *c, IrType type, u64 f32, u64 f64)
{
    return pool_u64_pair(c, type == IR_F64 ? f64 : f32, 0);
}

/* -- Arithmetic */

static const u32 binary_opcodes[IR_OP_COUNT] = {
    [IR_FADD] = OP_ADD, [IR_FSUB] = OP_SUB,  [IR_FMUL] = OP_MUL,
    [IR_FDIV] = OP_DIV, [IR_FMULX] = OP_MUL, /* 0 * inf traps */
    [IR_FMIN] = OP_MIN, [IR_FMAX] = OP_MAX,  /* as x86 means them */
};

bool lower_fp_binary(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type;
    u32 opcode = scalar_opcode(binary_opcodes[insn->op], type);

    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    X86Rm second = use_rm(c, insn->arg[1], ir_type_size(type));
    if (has_feature(c, X86_AVX)) {
        u8 first = use(c, insn->arg[0]), to = define(c, value, 0);
        fp_point(c);
        x86_vector(&c->as, opcode, to, first, second);
    } else {
        u8 to = define_over(c, value, insn->arg[0], RA_NO_PIN);
        fp_point(c);
        x86_vector(&c->as, opcode, to, to, second);
    }
    return true;
}

bool lower_fp_sqrt(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    u8 x = use(c, insn->arg[0]), to = define(c, value, fp_flags(c));
    if (!has_feature(c, X86_AVX)) {
        vector_move(c, to, x); /* the rest of the register comes along */
        x = to;
    }
    fp_point(c);
    x86_vector(&c->as, scalar_opcode(OP_SQRT, (IrType)insn->type), to, x, x86_reg(x));
    return true;
}

/* Traps if `reg` holds a NaN, quiet ones included. */
static void trap_nan(Compiler *c, IrType type, u8 reg)
{
    if (!fp_traps(c)) {
        return;
    }
    c->as.flags_of = 0;
    x86_vector2(&c->as, compare_opcode(OP_COMIS, type), reg, x86_reg(reg));
}

/* x86 ranks the addend's NaN last, Arm first, and infinity times zero plus a quiet NaN is no
 * exception on x86: a NaN result traps. */
bool lower_fma(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type;

    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    if (!has_feature(c, X86_FMA)) {
        return false;
    }
    u8 x = use(c, insn->arg[0]);
    X86Rm y = use_rm(c, insn->arg[1], ir_type_size(type));
    u8 to = define_over(c, value, insn->arg[2], RA_EARLY | RA_NO_PIN);
    fp_point(c);
    x86_vex(&c->as, fused_opcode(insn, P38(0xb9)), to, x, y, 0); /* to += x * y */
    trap_nan(c, type, to);
    return true;
}

/* 2 - x * y in one rounding; infinity times zero traps. */
bool lower_frecps(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn->type;

    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    if (!has_feature(c, X86_FMA)) {
        return false;
    }
    u8 x = use(c, insn->arg[0]);
    X86Rm y = use_rm(c, insn->arg[1], ir_type_size(type));
    u8 to = define(c, value, RA_EARLY | RA_NO_PIN);
    x86_vector2(&c->as, V_MOVAPS, to, float_constant(c, type, 0x40000000, 0x4000000000000000));
    fp_point(c);
    x86_vex(&c->as, P38(0xbd) | (type == IR_F64 ? X86_W : 0), to, x, y, 0); /* to -= x * y */
    trap_nan(c, type, to);
    return true;
}

bool lower_fp_sign(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool negate = insn->op == IR_FNEG;
    u64 f32 = 0x80000000, f64 = 0x8000000000000000;

    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    u8 x = use(c, insn->arg[0]), to = define(c, value, 0);
    vector3(c, negate ? V_PXOR : V_PAND, to, x,
            float_constant(c, (IrType)insn->type, negate ? f32 : f32 - 1, negate ? f64 : f64 - 1));
    return true;
}

/* minsd gives its second operand when both are zero: do it both ways and join the signs. A NaN
 * traps, be it quiet, so that min and minNum are the same here. */
bool lower_fp_minmax(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool min = insn->op == IR_FMIN || insn->op == IR_FMINNM;
    u32 opcode = scalar_opcode(min ? OP_MIN : OP_MAX, (IrType)insn->type);

    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    if (insn->sub & IR_X86) {
        return lower_fp_binary(c, value, insn);
    }
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]), other = scratch_vector(c);
    u8 to = define(c, value, RA_EARLY | fp_flags(c));
    fp_point(c);
    vector3(c, opcode, to, x, x86_reg(y));
    vector3(c, opcode, other, y, x86_reg(x));
    x86_vector(&c->as, min ? V_POR : V_PAND, to, to, x86_reg(other));
    return true;
}

/* Code that is the same for scalars and vectors. */

bool lower_fp_mask(Compiler *c, IrVal value, const IrInsn *insn)
{
    return (is_scalar(insn) ? vector_fcmp : lower_vector)(c, value, insn);
}

bool lower_fp_estimate(Compiler *c, IrVal value, const IrInsn *insn)
{
    return (is_scalar(insn) ? vector_estimate : lower_vector)(c, value, insn);
}

/* -- Comparisons */

/* The guest address that a comparison belongs to when a later instruction emits it. */
static u64 pc_of(const Compiler *c, IrVal value)
{
    while (value && insn_of(c, value)->op != IR_INSN) {
        value = insn_of(c, value)->prev;
    }
    return value ? insn_of(c, value)->imm : c->block_pc[c->block];
}

/* comis leaves CF = less, ZF = equal, and with PF all three set when unordered. */
X86Cond emit_fp_compare(Compiler *c, IrVal fcmp, bool *parity)
{
    const IrInsn *insn = insn_of(c, fcmp);
    IrType type = (IrType)insn_of(c, insn->arg[0])->type;
    u32 predicate = insn->sub & ~(u32)IR_FCMP_SIGNALLING;
    bool negated = predicate & 1;
    u32 kind = predicate & ~1u;
    /* a < b is b > a, which CF tells apart from unordered. */
    bool swap = kind == IR_FLT || kind == IR_FLE;
    u32 opcode = compare_opcode(insn->sub & IR_FCMP_SIGNALLING ? OP_COMIS : OP_UCOMIS, type);
    u64 pc = c->pc;

    u8 first = use(c, insn->arg[swap]);
    X86Rm second = use_rm(c, insn->arg[!swap], ir_type_size(type));
    c->pc = pc_of(c, fcmp);
    fp_point(c);
    c->pc = pc;
    c->compare_at = c->as.at;
    c->as.flags_of = 0;
    x86_vector2(&c->as, opcode, first, second);
    *parity = kind == IR_FEQ;
    switch (kind) {
    case IR_FEQ:
        return negated ? CC_NE : CC_E;
    case IR_FUEQ: /* ZF is set for both */
        return negated ? CC_NE : CC_E;
    case IR_FFALSE: /* compared for its exceptions */
        x86_alu(&c->as, ALU_CMP, 4, RSP, x86_reg(RSP));
        return negated ? CC_E : CC_NE;
    case IR_FUNO:
        return negated ? CC_NP : CC_P;
    case IR_FLT:
    case IR_FGT:
        return negated ? CC_BE : CC_A;
    default:
        return negated ? CC_B : CC_AE;
    }
}

/* Arm's FCMP flags: less N, equal Z C, greater C, unordered C V. */
bool lower_flags_fcmp(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const struct {
        u8 cc;
        u16 flags;
    } steps[] = {{CC_B, IR_FLAG_N}, {CC_E, IR_FLAG_Z | IR_FLAG_C}, {CC_P, IR_FLAG_C | IR_FLAG_V}};
    IrType type = (IrType)insn_of(c, insn->arg[0])->type;

    X86Rm second = use_rm(c, insn->arg[1], ir_type_size(type));
    u8 first = use(c, insn->arg[0]), other = scratch_int(c), to = define(c, value, RA_EARLY);
    fp_point(c);
    c->as.flags_of = 0;
    x86_vector2(&c->as, compare_opcode(insn->sub ? OP_COMIS : OP_UCOMIS, type), first, second);
    x86_mov_imm(&c->as, to, IR_FLAG_C);
    for (u32 i = 0; i < COUNT(steps); i++) {
        x86_mov_imm(&c->as, other, steps[i].flags);
        x86_cmov(&c->as, (X86Cond)steps[i].cc, 4, to, x86_reg(other));
    }
    return true;
}

/* comis leaves Z, P and C as they are wanted, and lahf finds them there. */
bool lower_flags_comi(Compiler *c, IrVal value, const IrInsn *insn)
{
    enum { LAHF = 0x9f };
    IrType type = (IrType)insn_of(c, insn->arg[0])->type;
    X86Rm second = use_rm(c, insn->arg[1], ir_type_size(type));
    u8 first = use(c, insn->arg[0]);

    ra_claim(&c->ra, RAX);
    fp_point(c);
    c->as.flags_of = 0;
    x86_vector2(&c->as, compare_opcode(insn->sub ? OP_COMIS : OP_UCOMIS, type), first, second);
    x86_byte(&c->as, LAHF);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(RAX), IR_FLAG_Z | IR_FLAG_P | IR_FLAG_C);
    ra_define_in(&c->ra, value, RAX);
    return true;
}

/* -- Conversions */

/* roundsd's immediate for a rounding mode; false if there is none. */
static bool rounding_immediate(u32 mode, u8 *imm)
{
    static const u8 modes[] = {[FP_NEAREST_EVEN] = 0, [FP_UP] = 2, [FP_DOWN] = 1, [FP_TO_ZERO] = 3};

    if (mode == IR_ROUND_CURRENT) {
        *imm = 4;
        return true;
    }
    if (mode > FP_TO_ZERO) {
        return false;
    }
    *imm = modes[mode];
    return true;
}

enum { ROUND_QUIETLY = 8 }; /* do not raise inexact */

static void round_to_integral(Compiler *c, IrType type, u8 to, u8 from, u8 imm)
{
    vector3_imm(c, P3A(type == IR_F64 ? 0x0b : 0x0a), to, from, x86_reg(from), imm);
}

/* To nearest, ties away from zero: truncated, plus 1 with x's sign where at least half is gone. A
 * zero keeps its sign, since one of the same sign is added. An infinity traps at the subtraction.
 * `to` is written last. */
static void round_away(Compiler *c, IrType type, u8 to, u8 x, u8 quietly)
{
    enum { TRUNCATE = 3, NOT_LESS = 5, GREATER_EQUAL_QUIET = 0x1d };
    u8 truncated = scratch_vector(c), step = scratch_vector(c), sign = scratch_vector(c);
    u64 sign32 = 0x80000000, sign64 = 0x8000000000000000;

    round_to_integral(c, type, truncated, x, TRUNCATE | quietly);
    vector3(c, scalar_opcode(OP_SUB, type), step, x, x86_reg(truncated));
    vector3(c, V_PAND, step, step, float_constant(c, type, sign32 - 1, sign64 - 1));
    vector3_imm(c, scalar_opcode(OP_CMP, type), step, step,
                float_constant(c, type, 0x3f000000, 0x3fe0000000000000),
                has_feature(c, X86_AVX) ? GREATER_EQUAL_QUIET : NOT_LESS);
    vector3(c, V_PAND, step, step, float_constant(c, type, 0x3f800000, 0x3ff0000000000000));
    vector3(c, V_PAND, sign, x, float_constant(c, type, sign32, sign64));
    vector3(c, V_POR, step, step, x86_reg(sign));
    vector3(c, scalar_opcode(OP_ADD, type), to, truncated, x86_reg(step));
    ra_release(&c->ra, truncated + VECTOR);
    ra_release(&c->ra, step + VECTOR);
    ra_release(&c->ra, sign + VECTOR);
}

/* Rounds as `sub` of FROUND and FTOI says; false if there is no code for it. */
static bool has_rounding(u32 mode)
{
    u8 imm;

    return mode == FP_NEAREST_AWAY || rounding_immediate(mode, &imm);
}

static void round_as(Compiler *c, IrType type, u8 to, u8 x, u32 mode, u8 quietly)
{
    u8 imm = 0;

    if (mode == FP_NEAREST_AWAY) {
        round_away(c, type, to, x, quietly);
    } else {
        rounding_immediate(mode, &imm);
        round_to_integral(c, type, to, x, imm | quietly);
    }
}

bool lower_fround(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    if (!has_rounding(insn->sub & 7)) {
        return false;
    }
    u8 x = use(c, insn->arg[0]), to = define(c, value, RA_EARLY | fp_flags(c));
    fp_point(c);
    round_as(c, (IrType)insn->type, to, x, insn->sub & 7,
             insn->sub & IR_ROUND_EXACT ? 0 : ROUND_QUIETLY);
    return true;
}

/* f32 <-> f64. The instructions merge into a register: a zero one. */
bool lower_fcvt(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType from = (IrType)insn_of(c, insn->arg[0])->type;

    if (!is_scalar(insn)) {
        return lower_vector(c, value, insn);
    }
    if (insn->sub) {
        return false;
    }
    u32 opcode = scalar_opcode(OP_CVT_FORMAT, from);
    X86Rm x = use_rm(c, insn->arg[0], ir_type_size(from));
    u8 zero = scratch_vector(c);
    vector_zero(c, zero);
    fp_point(c);
    if (has_feature(c, X86_AVX)) {
        u8 to = define(c, value, 0);
        x86_vector(&c->as, opcode, to, zero, x);
    } else {
        x86_vector(&c->as, opcode, zero, zero, x);
        ra_define_in(&c->ra, value, zero + VECTOR);
    }
    return true;
}

/* Traps unless -1 < x < 2^32 or 2^64, before anything can be inexact. */
static void trap_outside(Compiler *c, IrType type, u8 x, bool wide)
{
    X86Rm quiet_nan = float_constant(c, type, 0x7fc00000, 0x7ff8000000000000);
    X86Rm limit = wide ? float_constant(c, type, 0x5f800000, 0x43f0000000000000)
                       : float_constant(c, type, 0x4f800000, 0x41f0000000000000);
    u32 comis = compare_opcode(OP_COMIS, type);

    c->as.flags_of = 0;
    fp_point(c);
    x86_vector2(&c->as, comis, x, float_constant(c, type, 0xbf800000, 0xbff0000000000000));
    u8 *low = x86_jcc_short(&c->as, CC_BE);
    x86_vector2(&c->as, comis, x, limit);
    u8 *inside = x86_jcc_short(&c->as, CC_B);
    x86_bind_short(&c->as, low);
    x86_vector2(&c->as, comis, x, quiet_nan);
    x86_bind_short(&c->as, inside);
}

static u32 to_int_opcode(IrType type, bool truncate, bool wide)
{
    return scalar_opcode(truncate ? OP_CVTT_TO_INT : OP_CVT_TO_INT, type) | (wide ? X86_W : 0);
}

/* x in [0, 2^64) to u64: from 2^63 on by way of x - 2^63. */
static void convert_u64(Compiler *c, IrType type, u8 to, u8 x)
{
    X86Rm half = float_constant(c, type, 0x5f000000, 0x43e0000000000000);
    u8 rest = scratch_vector(c);

    x86_vector2(&c->as, compare_opcode(OP_COMIS, type), x, half);
    u8 *big = x86_jcc_short(&c->as, CC_AE);
    x86_vector2(&c->as, to_int_opcode(type, true, true), to, x86_reg(x));
    u8 *done = x86_jmp_short(&c->as);
    x86_bind_short(&c->as, big);
    vector3(c, scalar_opcode(OP_SUB, type), rest, x, half);
    x86_vector2(&c->as, to_int_opcode(type, true, true), to, x86_reg(rest));
    x86_flags_op(&c->as, OP_BTC, 8, 7, x86_reg(to), 1);
    x86_byte(&c->as, 63);
    x86_bind_short(&c->as, done);
}

/* Out of range traps. Inexact must not be raised then: with other roundings than those of the
 * conversion itself the operand is rounded quietly first, and once more for the flag at the end. */
bool lower_ftoi(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType type = (IrType)insn_of(c, insn->arg[0])->type;
    u32 mode = insn->sub & 7;
    bool is_unsigned = insn->sub & IR_UNSIGNED, wide = insn->type == IR_I64;
    bool direct = mode == FP_TO_ZERO || (mode == IR_ROUND_CURRENT && !is_unsigned);

    if (ir_type_is_vector((IrType)insn->type)) {
        return lower_vector(c, value, insn);
    }
    if (insn->imm || insn->type < IR_I32 || !has_rounding(mode) ||
        (insn->sub & IR_INDEFINITE && !direct)) {
        return false;
    }
    u8 x = use(c, insn->arg[0]), rounded = x;
    if (!direct) {
        rounded = scratch_vector(c);
        fp_point(c);
        round_as(c, type, rounded, x, mode, ROUND_QUIETLY);
    }
    u8 to = define(c, value, is_unsigned || !direct ? RA_NO_PIN : 0);
    if (is_unsigned) {
        trap_outside(c, type, rounded, wide);
    }
    fp_point(c);
    if (is_unsigned && wide) {
        convert_u64(c, type, to, rounded);
    } else {
        x86_vector2(&c->as,
                    to_int_opcode(type, mode != IR_ROUND_CURRENT || !direct, wide || is_unsigned),
                    to, x86_reg(rounded));
    }
    if (!direct) {
        round_as(c, type, rounded, x, mode, 0);
    }
    return true;
}

/* u64 from 2^63 on: halved, the lost bit kept sticky, and doubled after the conversion. */
static void convert_from_u64(Compiler *c, IrType type, u8 to, u8 x)
{
    u8 half = scratch_int(c), low = scratch_int(c);
    u32 opcode = scalar_opcode(OP_CVT_FROM_INT, type) | X86_W;

    x86_test(&c->as, 8, x86_reg(x), x);
    u8 *big = x86_jcc_short(&c->as, CC_S);
    x86_vector(&c->as, opcode, to, to, x86_reg(x));
    u8 *done = x86_jmp_short(&c->as);
    x86_bind_short(&c->as, big);
    x86_mov(&c->as, 8, half, x);
    x86_mov(&c->as, 4, low, x);
    x86_shift_imm(&c->as, SHIFT_SHR, 8, half, 1);
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(low), 1);
    x86_alu(&c->as, ALU_OR, 8, half, x86_reg(low));
    x86_vector(&c->as, opcode, to, to, x86_reg(half));
    x86_vector(&c->as, scalar_opcode(OP_ADD, type), to, to, x86_reg(to));
    x86_bind_short(&c->as, done);
}

bool lower_itof(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrType from = (IrType)insn_of(c, insn->arg[0])->type;
    IrType type = (IrType)insn->type;
    bool is_unsigned = insn->sub & IR_UNSIGNED;

    if (ir_type_is_vector((IrType)insn->type)) {
        return lower_vector(c, value, insn);
    }
    if (from != IR_I32 && from != IR_I64) {
        return false;
    }
    u8 x = use(c, insn->arg[0]);
    if (is_unsigned && from == IR_I32) {
        u8 extended = scratch_int(c);
        x86_mov(&c->as, 4, extended, x);
        x = extended;
    }
    u8 to = define(c, value, RA_EARLY);
    vector_zero(c, to);
    if (is_unsigned && from == IR_I64) {
        convert_from_u64(c, type, to, x);
    } else {
        x86_vector(&c->as,
                   scalar_opcode(OP_CVT_FROM_INT, type) |
                       (is_unsigned || from == IR_I64 ? X86_W : 0),
                   to, to, x86_reg(x));
    }
    if (insn->imm) { /* a power of two: exact */
        u64 f32 = (127 - insn->imm) << 23, f64 = (1023 - insn->imm) << 52;
        x86_vector(&c->as, scalar_opcode(OP_MUL, type), to, to, float_constant(c, type, f32, f64));
    }
    return true;
}
