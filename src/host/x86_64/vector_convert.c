/* Rounding of floating-point lanes, and conversions between them and others. See vector_float.c.
 *
 * Conversions to integers round to integral values first, where that can raise inexact, and then
 * convert exactly; what is out of range is invalid and saturates in soft float. */
#include "host/x86_64/vector.h"

/* Immediates of roundps: 0..4, as in MXCSR or as MXCSR says. */
enum { TO_NEAREST, DOWN, UP, TO_ZERO, CURRENT, QUIETLY = 8, AWAY = 0xfe, NO_MODE = 0xff };

/* The rounding in `sub`: an immediate of roundps, AWAY or NO_MODE. */
static u8 mode_of(u8 sub)
{
    static const u8 modes[8] = {
        [FP_NEAREST_EVEN] = TO_NEAREST,
        [FP_UP] = UP,
        [FP_DOWN] = DOWN,
        [FP_TO_ZERO] = TO_ZERO,
        [FP_NEAREST_AWAY] = AWAY,
        [FP_TO_ODD] = NO_MODE,
        [6] = NO_MODE,
        [IR_ROUND_CURRENT] = CURRENT,
    };

    return modes[sub & 7];
}

/* The f32 or f64 in every lane of the instruction's type. */
static X86Rm float_lanes(Compiler *c, const IrInsn *insn, u32 f32, u64 f64)
{
    u32 log = lane_log(insn);

    return pool_lanes(c, log, log == 2 ? f32 : f64);
}

static X86Rm sign_lanes(Compiler *c, const IrInsn *insn)
{
    return float_lanes(c, insn, 1u << 31, (u64)1 << 63);
}

static void round_to(Compiler *c, const IrInsn *insn, u8 to, u8 from, u8 immediate)
{
    x86_vector2_imm(&c->as, lane_log(insn) == 2 ? P3A(0x08) : P3A(0x09), to, x86_reg(from),
                    immediate);
}

/* To nearest, ties away from zero: truncated, plus 1 with x's sign where at least half is gone. A
 * zero keeps its sign, since a zero of the same sign is added. Infinities trap. `to` is written
 * last, and may be scratch[0], as may x. */
static void round_away(Compiler *c, const IrInsn *insn, u8 to, u8 x, const u8 scratch[2],
                       u8 quietly)
{
    enum { GREATER_EQUAL_QUIET = 0x1d, NOT_LESS = 5 };
    bool avx = has_feature(c, X86_AVX);
    u8 truncated = scratch[1], step = scratch[0];

    round_to(c, insn, truncated, x, TO_ZERO | quietly);
    vector_op(c, packed_float(insn, F_SUB), step, x, truncated);
    vector3(c, V_PAND, step, step, float_lanes(c, insn, ~0u >> 1, ~(u64)0 >> 1));
    vector3_imm(c, packed_float(insn, F_CMP), step, step,
                float_lanes(c, insn, 0x3f000000, 0x3fe0000000000000),
                avx ? GREATER_EQUAL_QUIET : NOT_LESS);
    vector3(c, V_PAND, step, step, float_lanes(c, insn, 0x3f800000, 0x3ff0000000000000));
    /* The sign, taken from the truncated value, which has it too. */
    u8 sign = scratch_vector(c);
    vector3(c, V_PAND, sign, truncated, sign_lanes(c, insn));
    vector_op(c, V_POR, step, step, sign);
    ra_release(&c->ra, sign + VECTOR);
    vector_op(c, packed_float(insn, F_ADD), to, step, truncated);
}

bool vector_round(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 mode = mode_of(insn->sub), quietly = insn->sub & IR_ROUND_EXACT ? 0 : QUIETLY, x;

    if (mode == NO_MODE) {
        return false;
    }
    float_operands(c, insn, 1, &x);
    if (mode == AWAY) {
        u8 scratch[2] = {scratch_vector(c), scratch_vector(c)};
        u8 to = define(c, value, float_flags(c));
        fp_point(c);
        round_away(c, insn, to, x, scratch, quietly);
    } else {
        u8 to = define(c, value, 0);
        fp_point(c);
        round_to(c, insn, to, x, mode | quietly);
    }
    return true;
}

/* Between f32 and f64: the low half <-> all. */
bool vector_fcvt(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (insn->sub || insn_of(c, insn->arg[0])->type <= IR_I64) {
        return false;
    }
    X86Rm from = vector_rm(c, insn->arg[0]);
    u8 to = define(c, value, 0);
    fp_point(c);
    x86_vector2(&c->as, insn->type == IR_V128 ? PS(0x5a) : PD(0x5a), to, from);
    return true;
}

/* Between IEEE half and f32. */
bool vector_fcvt16(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (insn->sub || !has_feature(c, X86_F16C)) {
        return false;
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);
    fp_point(c);
    if (insn->type == IR_V128) {
        x86_vex(&c->as, P38(0x13), to, 0, x86_reg(from), 0);
    } else { /* vcvtps2ph has its registers the other way round */
        x86_vex(&c->as, P3A(0x1d), from, 0, x86_reg(to), 1);
        x86_byte(&c->as, CURRENT);
    }
    return true;
}

/* -- To integers */

/* x * 2^imm, exact unless it overflows, which must not show: then x is out of range by itself, and
 * that traps first. */
static u8 scale_up(Compiler *c, const IrInsn *insn, u8 x, u8 to)
{
    if (!insn->imm) {
        return x;
    }
    round_to(c, insn, to, x, TO_ZERO | QUIETLY);
    x86_vector2(&c->as, X86_OPCODE(X86_PF3, X86_0F, 0x5b), to, x86_reg(to)); /* cvttps2dq */
    vector3(c, PS(F_MUL), to, x, pool_lanes(c, 2, (127 + insn->imm) << 23));
    return to;
}

/* Rounds to integral values in scratch[0], raising inexact. Returns where they are. */
static u8 make_integral(Compiler *c, const IrInsn *insn, u8 x, u8 mode, const u8 scratch[2])
{
    if (mode == AWAY) {
        round_away(c, insn, scratch[0], x, scratch, 0);
    } else {
        round_to(c, insn, scratch[0], x, mode);
    }
    return scratch[0];
}

static void convert_to_signed(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 mode,
                              const u8 scratch[2])
{
    x = scale_up(c, insn, x, scratch[0]);
    if (mode == CURRENT) {
        x86_vector2(&c->as, PD(0x5b), to, x86_reg(x)); /* cvtps2dq */
        return;
    }
    if (mode != TO_ZERO) {
        x = make_integral(c, insn, x, mode, scratch);
    }
    x86_vector2(&c->as, X86_OPCODE(X86_PF3, X86_0F, 0x5b), to, x86_reg(x));
}

/* Before anything is inexact, what is out of range traps: from 2^32 on by a NaN made for min, what
 * is negative once rounded by its root. From 2^31 on, that is subtracted before and added after. */
static void convert_to_unsigned(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 mode,
                                const u8 scratch[2])
{
    enum { LESS_EQUAL = 2 };
    u8 large = scratch[1], integral;

    x = scale_up(c, insn, x, scratch[0]);
    u8 excess = scratch_vector(c);
    round_to(c, insn, large, x, mode | QUIETLY);
    x86_vector2(&c->as, V_MOVAPS, excess, pool_lanes(c, 2, 0x4f800000)); /* 2^32 */
    vector3_imm(c, PS(F_CMP), excess, excess, x86_reg(large), LESS_EQUAL);
    vector_op(c, PS(F_MIN), excess, excess, large);
    x86_vector2(&c->as, PS(F_SQRT), excess, x86_reg(excess));
    integral = make_integral(c, insn, x, mode, scratch);
    x86_vector2(&c->as, V_MOVAPS, large, pool_lanes(c, 2, 0x4f000000)); /* 2^31 */
    vector3_imm(c, PS(F_CMP), large, large, x86_reg(integral), LESS_EQUAL);
    vector3(c, V_PAND, excess, large, pool_lanes(c, 2, 0x4f000000));
    vector_op(c, PS(F_SUB), integral, integral, excess);
    x86_vector2(&c->as, X86_OPCODE(X86_PF3, X86_0F, 0x5b), integral, x86_reg(integral));
    vector_shift(c, VECTOR_SHL, 2, large, large, 31);
    vector_op(c, V_PXOR, to, integral, large);
}

/* Quadwords are converted one after the other. */
static void convert_to_quads(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 mode,
                             const u8 scratch[2])
{
    u32 convert = X86_OPCODE(X86_PF2, X86_0F, mode == CURRENT ? 0x2d : 0x2c) | X86_W;
    bool whole = insn->type == IR_V128;
    u8 low = scratch_int(c), high = scratch_int(c);

    if (mode != TO_ZERO && mode != CURRENT) {
        x = make_integral(c, insn, x, mode, scratch);
    }
    x86_vector2(&c->as, convert, low, x86_reg(x)); /* cvt(t)sd2si */
    if (whole) {
        vector_shuffle(c, scratch[0], x, 0xee);
        x86_vector2(&c->as, convert, high, x86_reg(scratch[0]));
    }
    x86_vector2(&c->as, V_MOVD_FROM_INT | X86_W, to, x86_reg(low));
    if (whole) {
        x86_vector_imm(&c->as, P3A(0x22) | X86_W, to, to, x86_reg(high), 1); /* pinsrq */
    }
}

/* v128 of f64 to v64 of i32: cvtpd2dq, cvttpd2dq */
static bool convert_doubles(Compiler *c, IrVal value, const IrInsn *insn, u8 mode)
{
    if (!(insn->sub & IR_INDEFINITE) || insn->imm || (mode != CURRENT && mode != TO_ZERO)) {
        return false;
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);
    fp_point(c);
    x86_vector2(&c->as, mode == CURRENT ? X86_OPCODE(X86_PF2, X86_0F, 0xe6) : PD(0xe6), to,
                x86_reg(from));
    return true;
}

bool vector_ftoi(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 mode = mode_of(insn->sub), x;
    bool is_unsigned = insn->sub & IR_UNSIGNED, quads = lane_log(insn) == 3;

    if (insn->type != insn_of(c, insn->arg[0])->type) {
        return convert_doubles(c, value, insn, mode);
    }
    if (insn->sub & IR_INDEFINITE && mode != CURRENT && mode != TO_ZERO) {
        return false;
    }
    if (mode == NO_MODE || (quads && (is_unsigned || insn->imm)) || (is_unsigned && mode == AWAY)) {
        return false;
    }
    float_operands(c, insn, 1, &x);
    u8 scratch[2] = {scratch_vector(c), scratch_vector(c)};
    u8 to = define(c, value, float_flags(c));
    fp_point(c);
    (quads         ? convert_to_quads
     : is_unsigned ? convert_to_unsigned
                   : convert_to_signed)(c, insn, to, x, mode, scratch);
    return true;
}

/* -- From integers (v64 of i32 to v128 of f64: cvtdq2pd): never invalid, and rounded once */

/* to *= 2^-imm: exact, as nothing gets subnormal. */
static void scale_down(Compiler *c, const IrInsn *insn, u8 to)
{
    u64 fraction = insn->imm;

    if (fraction) {
        vector3(c, packed_float(insn, F_MUL), to, to,
                float_lanes(c, insn, (u32)(127 - fraction) << 23, (1023 - fraction) << 52));
    }
}

/* Both halves are exact; their sum is rounded. */
static void convert_unsigned_doublewords(Compiler *c, u8 to, u8 x, u8 high)
{
    vector_shift(c, VECTOR_SHR, 2, high, x, 16);
    x86_vector2(&c->as, PS(0x5b), high, x86_reg(high));              /* cvtdq2ps */
    vector3(c, PS(F_MUL), high, high, pool_lanes(c, 2, 0x47800000)); /* 65536.0 */
    vector3(c, V_PAND, to, x, pool_lanes(c, 2, 0xffff));
    x86_vector2(&c->as, PS(0x5b), to, x86_reg(to));
    vector_op(c, PS(F_ADD), to, to, high);
}

/* The same by way of bits: a half under the exponent of 2^84 or 2^52 is that number plus the half.
 * When rounding down, 0 comes out as -0. */
static void convert_unsigned_quads(Compiler *c, u8 to, u8 x, u8 high)
{
    X86Rm two_84 = pool_lanes(c, 3, 0x4530000000000000);
    X86Rm two_52 = pool_lanes(c, 3, 0x4330000000000000);

    vector_shift(c, VECTOR_SHR, 3, high, x, 32);
    vector3(c, V_POR, high, high, two_84);
    vector3(c, PD(F_SUB), high, high, two_84);
    vector3(c, V_PAND, to, x, pool_lanes(c, 3, 0xffffffff));
    vector3(c, V_POR, to, to, two_52);
    vector3(c, PD(F_SUB), to, to, two_52);
    vector_op(c, PD(F_ADD), to, to, high);
    vector3(c, V_PAND, to, to, pool_lanes(c, 3, ~(u64)0 >> 1));
}

static void convert_signed_quads(Compiler *c, const IrInsn *insn, u8 to, u8 x, u8 upper)
{
    u32 convert = X86_OPCODE(X86_PF2, X86_0F, 0x2a) | X86_W; /* cvtsi2sd */
    u8 integer = scratch_int(c);

    x86_vector2(&c->as, V_MOVD_TO_INT | X86_W, x, x86_reg(integer));
    vector_zero(c, to);
    x86_vector(&c->as, convert, to, to, x86_reg(integer));
    if (insn->type == IR_V128) {
        x86_vector2_imm(&c->as, P3A(0x16) | X86_W, x, x86_reg(integer), 1); /* pextrq */
        vector_zero(c, upper);
        x86_vector(&c->as, convert, upper, upper, x86_reg(integer));
        vector_op(c, V_PUNPCKLQDQ, to, to, upper);
    }
}

bool vector_itof(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool is_unsigned = insn->sub & IR_UNSIGNED, quads = lane_log(insn) == 3;
    u8 x;

    if (insn->type != insn_of(c, insn->arg[0])->type) {
        return !is_unsigned && !insn->imm &&
               lower_single(c, value, X86_OPCODE(X86_PF3, X86_0F, 0xe6), insn->arg[0]);
    }
    float_operands(c, insn, 1, &x);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);
    if (quads && is_unsigned) {
        convert_unsigned_quads(c, to, x, other);
    } else if (quads) {
        convert_signed_quads(c, insn, to, x, other);
    } else if (is_unsigned) {
        convert_unsigned_doublewords(c, to, x, other);
    } else {
        x86_vector2(&c->as, PS(0x5b), to, x86_reg(x));
    }
    scale_down(c, insn, to);
    return true;
}
