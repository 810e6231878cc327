/* Floating-point operations on lanes, for regions that are not exact_fp.
 *
 * Invalid traps, and the instruction is then repeated in soft float: so results matter only where
 * no operand is a signalling NaN and no result a generated one. What is left to care for:
 *  - which quiet NaN is passed on: the first operand's for two operands, as Arm has it;
 *  - the unused half of a v64, which must raise nothing: operands are copied with zeros there;
 *  - instructions that answer quiet NaNs otherwise than Arm: these operations compare first, with
 *    an instruction to which any NaN is invalid (a guard);
 *  - pinned registers: none changes before the last instruction that may trap. */
#include "host/x86_64/vector.h"

enum { COMPARE_LESS = 1 /* immediate of cmpps: signals any NaN */ };

/* Without AVX, the result takes a copy of the first operand before. */
u32 float_flags(const Compiler *c)
{
    return has_feature(c, X86_AVX) ? 0 : RA_EARLY | RA_NO_PIN;
}

void float_operands(Compiler *c, const IrInsn *insn, u32 count, u8 *regs)
{
    bool half = insn->type == IR_V64;

    for (u32 i = 0; i < count; i++) {
        if (half && !c->clean[insn->arg[i]]) {
            u8 from = use(c, insn->arg[i]);
            regs[i] = scratch_vector(c);
            x86_vector2(&c->as, V_MOVQ, regs[i], x86_reg(from));
            ra_unlock(&c->ra, from + VECTOR);
        }
    }
    for (u32 i = 0; i < count; i++) {
        if (!(half && !c->clean[insn->arg[i]])) {
            regs[i] = use(c, insn->arg[i]);
        }
    }
}

/* Keeps the promise of Compiler.clean after instructions that may have put something above. */
static void keep_clean(Compiler *c, IrVal value, const IrInsn *insn, u8 reg)
{
    if (insn->type == IR_V64 && c->clean[value]) {
        x86_vector2(&c->as, V_MOVQ, reg, x86_reg(reg));
    }
}

/* -- Arithmetic */

/* A divisor with ones in the unused half. */
static u8 safe_divisor(Compiler *c, const IrInsn *insn, u8 divisor)
{
    u64 ones = lane_log(insn) == 2 ? 0x3f8000003f800000 : 0x3ff0000000000000;
    u8 safe;

    if (insn->type != IR_V64) {
        return divisor;
    }
    safe = scratch_vector(c);
    vector3(c, V_POR, safe, divisor, pool_u64_pair(c, 0, ones));
    return safe;
}

/* Lane 0 alone: x86's scalar instructions leave the rest of the first operand. */
static bool scalar_lane(Compiler *c, IrVal value, const IrInsn *insn, IrVal operand, u8 opcode_byte)
{
    bool wide = insn->lane == IR_F64;
    u32 opcode = X86_OPCODE(wide ? X86_PF2 : X86_PF3, X86_0F, opcode_byte);
    X86Rm second = use_rm(c, operand, wide ? 8 : 4);
    u8 first, to;

    if (has_feature(c, X86_AVX)) {
        first = use(c, insn->arg[0]);
        to = define(c, value, 0);
    } else {
        first = to = define_over(c, value, insn->arg[0], RA_NO_PIN);
    }
    fp_point(c);
    x86_vector(&c->as, opcode, to, first, second);
    return true;
}

/* FMULX is like FMUL where nothing traps, as 0 * infinity does. */
bool vector_float_binary(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 opcodes[IR_OP_COUNT] = {
        [IR_FADD] = F_ADD,  [IR_FSUB] = F_SUB, [IR_FMUL] = F_MUL,
        [IR_FMULX] = F_MUL, [IR_FDIV] = F_DIV, [IR_FMIN] = F_MIN, /* as x86 means them */
        [IR_FMAX] = F_MAX};
    u8 x[2];

    if (insn->sub & IR_SCALAR) {
        return scalar_lane(c, value, insn, insn->arg[1], opcodes[insn->op]);
    }
    float_operands(c, insn, 2, x);
    if (insn->op == IR_FDIV) {
        x[1] = safe_divisor(c, insn, x[1]);
    }
    u8 to = define(c, value, float_flags(c));
    fp_point(c);
    vector_op(c, packed_float(insn, opcodes[insn->op]), to, x[0], x[1]);
    if (insn->op == IR_FSUB) { /* 0 - 0 is -0 when rounding down */
        keep_clean(c, value, insn, to);
    }
    return true;
}

bool vector_float_sqrt(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x;

    if (insn->sub & IR_SCALAR) {
        return scalar_lane(c, value, insn, insn->arg[0], F_SQRT);
    }
    float_operands(c, insn, 1, &x);
    u8 to = define(c, value, 0);
    fp_point(c);
    x86_vector2(&c->as, packed_float(insn, F_SQRT), to, x86_reg(x));
    return true;
}

/* addsubps, addsubpd */
bool vector_addsub(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x[2];

    if (insn->type != IR_V128) {
        return false;
    }
    float_operands(c, insn, 2, x);
    u8 to = define(c, value, float_flags(c));
    fp_point(c);
    vector_op(c, lane_log(insn) == 2 ? X86_OPCODE(X86_PF2, X86_0F, 0xd0) : PD(0xd0), to, x[0],
              x[1]);
    return true;
}

/* rcpps, rsqrtps, and of scalars: they raise nothing. */
bool vector_estimate(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 opcode = PS(insn->op == IR_FRCP ? 0x53 : 0x52);

    if (insn->type == IR_F32) {
        return lower_binary(c, value, opcode | X86_OPCODE(X86_PF3, 0, 0), insn->arg[0],
                            insn->arg[0]);
    }
    return lane_log(insn) == 2 && lower_single(c, value, opcode, insn->arg[0]);
}

/* FNEG and FABS flip or clear signs and raise nothing. The unused half stays, or is cleared. */
bool vector_float_sign(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool neg = insn->op == IR_FNEG, half = insn->type == IR_V64;
    u64 sign = lane_log(insn) == 2 ? 0x8000000080000000 : 0x8000000000000000;
    u64 mask = neg ? sign : ~sign;
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);

    vector3(c, neg ? V_PXOR : V_PAND, to, from, pool_u64_pair(c, mask, half ? 0 : mask));
    return true;
}

/* Any NaN is invalid. Of two zeros the CPU gives the second, so both orders are tried: the results
 * differ in their sign at most. */
bool vector_float_minmax(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool min = insn->op == IR_FMIN || insn->op == IR_FMINNM;
    u32 opcode = packed_float(insn, min ? F_MIN : F_MAX);
    u8 x[2];

    if (insn->sub & IR_X86) {
        return vector_float_binary(c, value, insn);
    }
    float_operands(c, insn, 2, x);
    u8 other = scratch_vector(c);
    u8 to = define(c, value, float_flags(c));
    fp_point(c);
    vector_op(c, opcode, other, x[0], x[1]);
    vector_op(c, opcode, to, x[1], x[0]);
    vector_op(c, min ? V_POR : V_PAND, to, to, other);
    return true;
}

/* -- Fused operations */

enum {
    F_MADD132 = P38(0x98), /* to * second + first */
    F_MADD213 = P38(0xa8), /* first * to + second */
    F_MADD231 = P38(0xb8), /* first * second + to */
    F_NMADD231 = P38(0xbc),
};

u32 fused_opcode(const IrInsn *insn, u32 opcode)
{
    bool wide = insn->type == IR_F64 || insn->lane == IR_F64;

    if (insn->sub & IR_FMA_EVEN) {
        opcode -= 2;
    } else if (insn->sub & IR_FMA_ODD) {
        opcode -= 1;
    } else {
        opcode += (insn->sub & IR_FMA_NEGATE_PRODUCT ? 4 : 0) +
                  (insn->sub & IR_FMA_NEGATE_ADDEND ? 2 : 0);
    }
    return opcode | (wide ? X86_W : 0);
}

/* Traps if a lane of either is a NaN. */
static void guard_nan(Compiler *c, const IrInsn *insn, u8 x, u8 y)
{
    if (!fp_traps(c)) {
        return;
    }
    u8 result = scratch_vector(c);

    vector3_imm(c, packed_float(insn, F_CMP), result, x, x86_reg(y), COMPARE_LESS);
    ra_release(&c->ra, result + VECTOR);
}

/* Whether the pinned register that wants the value is one of the operands. */
static bool target_is_operand(const Compiler *c, IrVal value, const u8 x[3])
{
    u8 pin = c->ra.values[value].target;
    u8 reg = pin == REG_PIN_NONE ? REG_NONE : c->header->pins.pin[pin].reg - VECTOR;

    return reg == x[0] || reg == x[1] || reg == x[2];
}

/* Lane 0 alone: the register that is written keeps its others. */
static bool fused_lane(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 opcodes[] = {P38(0x99), P38(0xa9), P38(0xb9)}; /* 132, 213, 231 */
    u32 over = (insn->sub & IR_FMA_SCALAR) / IR_FMA_SCALAR0 - 1;

    if (!has_feature(c, X86_FMA) || fp_traps(c)) {
        return false;
    }
    u8 first = use(c, insn->arg[over == 0 ? 2 : 0]);
    X86Rm second = use_rm(c, insn->arg[over == 1 ? 2 : 1], insn->lane == IR_F64 ? 8 : 4);
    u8 to = define_over(c, value, insn->arg[over], 0);
    x86_vex(&c->as, fused_opcode(insn, opcodes[over]), to, first, second, 0);
    return true;
}

/* The CPU passes on a NaN of the first factor, then of the second, last of the addend; Arm of the
 * addend first, which is guarded. The first factor is the register that is written for 132, else
 * the second register (Intel SDM volume 1, 14.5.2). */
bool vector_fma(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 x[3];

    if (insn->sub & IR_FMA_SCALAR) {
        return fused_lane(c, value, insn);
    }
    if (!has_feature(c, X86_FMA)) {
        return false;
    }
    float_operands(c, insn, 3, x);
    u8 to = define(c, value, target_is_operand(c, value, x) ? 0 : RA_NO_PIN);
    bool fresh = to != x[0] && to != x[1] && to != x[2];
    if (fresh) {
        vector_move(c, to, x[2]);
    }
    fp_point(c);
    guard_nan(c, insn, x[2], x[2]);
    if (fresh || to == x[2]) {
        x86_vex(&c->as, fused_opcode(insn, F_MADD231), to, x[0], x86_reg(x[1]), 0);
    } else if (to == x[0]) {
        x86_vex(&c->as, fused_opcode(insn, F_MADD132), to, x[2], x86_reg(x[1]), 0);
    } else {
        x86_vex(&c->as, fused_opcode(insn, F_MADD213), to, x[0], x86_reg(x[2]), 0);
    }
    return true;
}

/* 2 - x * y. Arm negates x first, which shows in NaNs; 0 * infinity traps. */
bool vector_recip_step(Compiler *c, IrVal value, const IrInsn *insn)
{
    u64 two = lane_log(insn) == 2 ? 0x4000000040000000 : 0x4000000000000000;
    u8 x[2];

    if (!has_feature(c, X86_FMA)) {
        return false;
    }
    float_operands(c, insn, 2, x);
    u8 to = define(c, value, RA_EARLY | RA_NO_PIN);
    x86_vector2(&c->as, V_MOVAPS, to, pool_u64_pair(c, two, two));
    fp_point(c);
    guard_nan(c, insn, x[0], x[1]);
    x86_vex(&c->as, fused_opcode(insn, F_NMADD231), to, x[0], x86_reg(x[1]), 0);
    return true;
}

/* -- Comparison */

/* Immediates of cmpps by predicate, not signalling and signalling. Those above 7 need VEX. */
static const u8 predicates[][2] = {
    [IR_FEQ] = {0x00, 0x10},   [IR_FNE] = {0x04, 0x14},  [IR_FLT] = {0x11, 0x01},
    [IR_FNLT] = {0x15, 0x05},  [IR_FLE] = {0x12, 0x02},  [IR_FNLE] = {0x16, 0x06},
    [IR_FGT] = {0x1e, 0x0e},   [IR_FNGT] = {0x1a, 0x0a}, [IR_FGE] = {0x1d, 0x0d},
    [IR_FNGE] = {0x19, 0x09},  [IR_FUNO] = {0x03, 0x13}, [IR_FORD] = {0x07, 0x17},
    [IR_FUEQ] = {0x08, 0x18},  [IR_FONE] = {0x0c, 0x1c}, [IR_FFALSE] = {0x0b, 0x1b},
    [IR_FTRUE] = {0x0f, 0x1f},
};

static u32 compare_mask_opcode(const IrInsn *insn)
{
    return insn->type == IR_F32   ? X86_OPCODE(X86_PF3, X86_0F, F_CMP)
           : insn->type == IR_F64 ? X86_OPCODE(X86_PF2, X86_0F, F_CMP)
                                  : packed_float(insn, F_CMP);
}

bool vector_fcmp(Compiler *c, IrVal value, const IrInsn *insn)
{
    IrFcmp compare = (IrFcmp)(insn->sub & ~IR_FCMP_SIGNALLING);
    bool signalling = insn->sub & IR_FCMP_SIGNALLING;
    bool swap = compare >= IR_FGT && compare <= IR_FNGE && !has_feature(c, X86_AVX);
    u8 x[2];

    if (swap) {
        compare =
            (IrFcmp)(compare <= IR_FNGT ? compare - IR_FGT + IR_FLT : compare - IR_FGE + IR_FLE);
    }
    u8 predicate = predicates[compare][signalling];
    if (predicate > 7 && !has_feature(c, X86_AVX)) {
        return false;
    }
    float_operands(c, insn, 2, x);
    u8 to = define(c, value, float_flags(c));
    fp_point(c);
    vector3_imm(c, compare_mask_opcode(insn), to, x[swap], x86_reg(x[!swap]), predicate);
    return true;
}
