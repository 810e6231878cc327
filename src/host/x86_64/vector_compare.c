/* Integer comparisons of lanes, least and greatest of two, reductions of all lanes to one. */
#include "host/x86_64/vector.h"

static const u32 equal[4] = {V_PCMPEQB, V_PCMPEQW, V_PCMPEQD, P38(0x29)};
static const u32 greater[4] = {PD(0x64), PD(0x65), V_PCMPGTD, V_PCMPGTQ};

static X86Rm sign_bits(Compiler *c)
{
    return pool_lanes(c, 3, (u64)1 << 63);
}

/* How each comparison is made. */
typedef enum Relation { EQUAL, GREATER, NOT_ABOVE, NO_COMMON_BIT } Relation;

static const struct {
    u8 relation, swap, negate;
} comparisons[] = {
    [IR_EQ] = {EQUAL, 0, 0},          [IR_NE] = {EQUAL, 0, 1},
    [IR_SLT] = {GREATER, 1, 0},       [IR_SGE] = {GREATER, 1, 1},
    [IR_SGT] = {GREATER, 0, 0},       [IR_SLE] = {GREATER, 0, 1},
    [IR_ULT] = {NOT_ABOVE, 1, 1},     [IR_UGE] = {NOT_ABOVE, 1, 0},
    [IR_UGT] = {NOT_ABOVE, 0, 1},     [IR_ULE] = {NOT_ABOVE, 0, 0},
    [IR_TST] = {NO_COMMON_BIT, 0, 1}, [IR_TSTZ] = {NO_COMMON_BIT, 0, 0},
};

/* x <= y, unsigned; quadwords give the negation. */
static void compare_unsigned(Compiler *c, u32 log, u8 to, u8 x, u8 y)
{
    if (log < 3) {
        vector_op(c, vector_instruction(IR_VMINU, log), to, x, y);
        vector_op(c, equal[log], to, to, x);
        return;
    }
    u8 other = scratch_vector(c);
    vector3(c, V_PXOR, to, x, sign_bits(c));
    vector3(c, V_PXOR, other, y, sign_bits(c));
    vector_op(c, V_PCMPGTQ, to, to, other);
}

static void test_bits(Compiler *c, u32 log, u8 to, u8 x, u8 y)
{
    u8 zero = scratch_vector(c);

    vector_op(c, V_PAND, to, x, y);
    vector_zero(c, zero);
    vector_op(c, equal[log], to, to, zero);
}

bool vector_cmp(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn);
    Relation relation = (Relation)comparisons[insn->sub].relation;
    bool swap = comparisons[insn->sub].swap, negate = comparisons[insn->sub].negate;
    IrVal first = insn->arg[swap], second = insn->arg[!swap];
    u8 to;

    if (relation <= GREATER) {
        to = define_binary(c, value, relation == EQUAL ? equal[log] : greater[log], first, second);
    } else {
        u8 x = use(c, first), y = use(c, second);
        to = define(c, value, RA_EARLY);
        if (relation == NOT_ABOVE) {
            compare_unsigned(c, log, to, x, y);
            negate ^= log == 3;
        } else {
            test_bits(c, log, to, x, y);
        }
    }
    if (negate) {
        vector3(c, V_PXOR, to, to, pool_lanes(c, 3, ~(u64)0));
    }
    return true;
}

/* Quadwords, which have no instruction: a choice by comparison. */
bool vector_minmax64(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool is_signed = insn->op == IR_VMINS || insn->op == IR_VMAXS;
    bool max = insn->op == IR_VMAXS || insn->op == IR_VMAXU;
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), mask = scratch_vector(c);

    if (is_signed) {
        vector_op(c, V_PCMPGTQ, mask, x, y);
    } else {
        vector3(c, V_PXOR, mask, x, sign_bits(c));
        vector3(c, V_PXOR, to, y, sign_bits(c));
        vector_op(c, V_PCMPGTQ, mask, mask, to);
    }
    /* Where x > y: max ? x : y. */
    vector_op(c, V_PXOR, to, x, y);
    vector_op(c, V_PAND, to, to, mask);
    vector_op(c, V_PXOR, to, to, max ? y : x);
    return true;
}

/* -- Reductions */

/* One step: the lanes, shuffled, combined with themselves; alternates between two registers. */
static u8 fold(Compiler *c, u32 opcode, u8 from, const u8 scratch[2], u8 order)
{
    u8 to = from == scratch[0] ? scratch[1] : scratch[0];

    vector_shuffle(c, to, from, order);
    vector_op(c, opcode, to, to, from);
    return to;
}

/* Doublewords of a v64 or v128. */
static u8 fold_doublewords(Compiler *c, u32 opcode, u8 from, const u8 scratch[2], bool whole)
{
    if (whole) {
        from = fold(c, opcode, from, scratch, 0x4e);
    }
    return fold(c, opcode, from, scratch, 0xb1);
}

/* The lane's low 16 or 32 bits, zero-extended. */
static u8 define_low_word(Compiler *c, IrVal value, u8 from)
{
    u8 to = define(c, value, 0);

    x86_vector2_imm(&c->as, PD(0xc5), to, x86_reg(from), 0); /* pextrw */
    return to;
}

static u8 define_low_doubleword(Compiler *c, IrVal value, u8 from, u32 wide)
{
    u8 to = define(c, value, 0);

    x86_vector2(&c->as, V_MOVD_TO_INT | wide, from, x86_reg(to));
    return to;
}

/* Bytes and words: the CPU finds the least unsigned word, so lanes are mapped to that order by
 * flipping bits, and the result is mapped back. */
static void reduce_words(Compiler *c, IrVal value, const IrInsn *insn, bool whole)
{
    u32 log = lane_log(insn), ones = log ? 0xffff : 0xff, sign = ones ^ ones >> 1;
    bool max = insn->op == IR_VREDMAX, is_signed = insn->sub & IR_SIGNED;
    u32 flip = (max ? ones : 0) ^ (is_signed ? sign : 0);
    u8 x = use(c, insn->arg[0]), scratch[2] = {scratch_vector(c), scratch_vector(c)};

    if (!whole) {
        vector_op(c, V_PUNPCKLQDQ, scratch[0], x, x);
        x = scratch[0];
    }
    if (flip) {
        vector3(c, V_PXOR, scratch[0], x, pool_lanes(c, log, flip));
        x = scratch[0];
    }
    if (log == 0) { /* the lesser byte of each pair as a word */
        vector_shift(c, VECTOR_SHR, 1, scratch[1], x, 8);
        vector_op(c, V_PMINUB, scratch[1], scratch[1], x);
        x = scratch[1];
    }
    x86_vector2(&c->as, V_PHMINPOSUW, scratch[1], x86_reg(x));
    u8 to = define_low_word(c, value, scratch[1]);
    if (flip) {
        x86_alu_imm(&c->as, ALU_XOR, 4, x86_reg(to), (s32)flip);
    }
}

bool vector_reduce(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool whole = insn_of(c, insn->arg[0])->type == IR_V128;
    bool is_signed = insn->sub & IR_SIGNED;
    IrOp op = insn->op == IR_VREDMAX ? is_signed ? IR_VMAXS : IR_VMAXU
              : is_signed            ? IR_VMINS
                                     : IR_VMINU;

    if (lane_log(insn) == 3) {
        return false;
    }
    if (lane_log(insn) < 2) {
        reduce_words(c, value, insn, whole);
        return true;
    }
    u8 x = use(c, insn->arg[0]), scratch[2] = {scratch_vector(c), scratch_vector(c)};
    x = fold_doublewords(c, vector_instruction(op, 2), x, scratch, whole);
    define_low_doubleword(c, value, x, 0);
    return true;
}

bool vector_reduce_add(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool whole = insn_of(c, insn->arg[0])->type == IR_V128;
    u8 x = use(c, insn->arg[0]), scratch[2] = {scratch_vector(c), scratch_vector(c)};

    switch (lane_log(insn)) {
    case 0:
        vector_zero(c, scratch[0]);
        vector_op(c, V_PSADBW, scratch[0], scratch[0], x); /* a sum in each half */
        x = whole ? fold(c, V_PADDD, scratch[0], scratch, 0x4e) : scratch[0];
        u8 to = define_low_doubleword(c, value, x, 0);
        x86_movzx(&c->as, 1, to, x86_reg(to));
        break;
    case 1:
        x = fold_doublewords(c, V_PADDW, x, scratch, whole);
        u8 other = x == scratch[0] ? scratch[1] : scratch[0];
        vector_shift(c, VECTOR_SHR, 2, other, x, 16);
        vector_op(c, V_PADDW, other, other, x);
        define_low_word(c, value, other);
        break;
    case 2:
        define_low_doubleword(c, value, fold_doublewords(c, V_PADDD, x, scratch, whole), 0);
        break;
    default:
        x = whole ? fold(c, V_PADDQ, x, scratch, 0x4e) : x;
        define_low_doubleword(c, value, x, X86_W);
        break;
    }
    return true;
}
