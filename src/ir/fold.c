/* Constant folding, algebraic rules and copy propagation.
 *
 * How it works: each operation has a list of rules in the table at the end of this file. For every
 * instruction, arguments are first replaced by what they are copies of; if all are constants the
 * evaluator is asked; else the rules are tried in order. A rule that fires has rewritten the
 * instruction in place, perhaps into another operation, and everything starts again on the result,
 * until nothing fires. A value found to equal another becomes a COPY of it, which later
 * instructions look through and the pass `dead` removes.
 *
 * For authors of rules:
 *  1. A rule looks at f->insn and its arguments (arg_insn(), const_arg()), and either returns false
 *     having changed nothing, or rewrites f->insn and returns true. Rewrites must make progress
 *     (fewer operations, or a form closer to the canonical one), so that folding ends.
 *  2. Constants stand on the right; x - c is x + -c; masks of 8, 16 and 32 bits are EXTU. Rules
 *     need to know no other form.
 *  3. At most MAX_NEW instructions may be made (new_const(), new_insn()); arguments made so are not
 *     folded themselves.
 *  4. Floating-point arithmetic is not folded: it depends on the rounding mode and raises flags. */
#include "ir/eval.h"
#include "ir/graph.h"
#include "ir/pass.h"

enum { MAX_NEW = 4, MAX_STEPS = 32 };
enum { STORED = 1 }; /* scratch: a PUT or NOTE of the value was seen */

typedef struct Fold {
    IrRegion *region;
    u32 block;
    IrVal value;  /* the instruction at hand */
    IrInsn *insn; /* the same; instructions do not move while a rule runs */
    bool cut;     /* a branch lost a successor */
} Fold;

typedef bool FoldFn(Fold *f);

/* -- What rules are made of */

static IrInsn *arg_insn(const Fold *f, u32 index)
{
    return &f->region->insns[f->insn->arg[index]];
}

static IrVal arg_of(const Fold *f, const IrInsn *insn, u32 index)
{
    return ir_resolve(f->region, insn->arg[index]);
}

static u32 bits_of(IrType type)
{
    return ir_type_size(type) * 8;
}

/* Width of the instruction's result in bits. */
static u32 width(const Fold *f)
{
    return bits_of(f->insn->type);
}

/* Whether `value` is an integer constant of up to 64 bits; its value, zero-extended. */
static bool is_const(const Fold *f, IrVal value, u64 *constant)
{
    const IrInsn *insn = &f->region->insns[value];

    *constant = insn->imm;
    return insn->op == IR_CONST && ir_type_is_int(insn->type) && insn->type != IR_I128;
}

static bool const_arg(const Fold *f, u32 index, u64 *constant)
{
    return is_const(f, f->insn->arg[index], constant);
}

static bool is_ones(u64 constant, u32 bits)
{
    return constant == ir_mask(bits);
}

static IrVal new_insn(Fold *f, const IrInsn *insn)
{
    return ir_insert_before(f->region, f->block, f->value, insn);
}

static IrVal new_const(Fold *f, IrType type, u64 value)
{
    return new_insn(
        f, &(IrInsn){.op = IR_CONST, .type = (u8)type, .imm = value & ir_mask(bits_of(type))});
}

/* Rewrites the instruction; type and links stay. */
static bool become(Fold *f, IrOp op, u8 sub, IrVal x, IrVal y, u64 imm)
{
    IrInsn *insn = f->insn;

    insn->op = (u8)op;
    insn->lane = IR_VOID;
    insn->sub = sub;
    insn->arg[0] = x;
    insn->arg[1] = y;
    insn->arg[2] = insn->arg[3] = 0;
    insn->imm = imm;
    insn->imm2 = 0;
    return true;
}

static bool become_const(Fold *f, u64 value)
{
    return become(f, IR_CONST, 0, 0, 0, value & ir_mask(width(f)));
}

/* All bits zero, of any type. */
static bool become_zero(Fold *f)
{
    return become(f, IR_CONST, 0, 0, 0, 0);
}

static bool become_copy(Fold *f, IrVal of)
{
    return become(f, IR_COPY, 0, of, 0, 0);
}

/* Conversion of bits: the low bits of x, or x zero-extended, whatever the classes. */
static bool become_resized(Fold *f, IrVal x)
{
    IrType from = f->region->insns[x].type, to = f->insn->type;

    if (from == to) {
        return become_copy(f, x);
    }
    u32 from_bits = bits_of(from), to_bits = bits_of(to);
    if (to_bits > from_bits && ir_type_is_float(to)) {
        return false; /* no such ZEXT */
    }
    return become(f,
                  to_bits < from_bits   ? IR_TRUNC
                  : to_bits > from_bits ? IR_ZEXT
                                        : IR_BITCAST,
                  0, x, 0, 0);
}

static bool is_scalar_int(const Fold *f)
{
    return ir_type_is_int(f->insn->type);
}

/* Whether the value can only be 0 or 1. */
static bool is_boolean(const Fold *f, IrVal value)
{
    const IrInsn *insn = &f->region->insns[value];

    switch ((IrOp)insn->op) {
    case IR_CMP:
    case IR_FCMP:
    case IR_COND:
        return true;
    case IR_CONST:
        return insn->imm <= 1;
    case IR_EXTU:
        return insn->imm == 1;
    default:
        return false;
    }
}

/* The constant that shifts `insn` (a SHL, SHR or SAR of a scalar), modulo its width. */
static bool shift_count(const Fold *f, const IrInsn *insn, u64 *count)
{
    bool constant = is_const(f, arg_of(f, insn, 1), count);

    *count %= bits_of(insn->type);
    return constant;
}

/* -- Addition and its kin */

static bool add_zero(Fold *f)
{
    u64 c;

    return const_arg(f, 1, &c) && c == 0 && become_copy(f, f->insn->arg[0]);
}

/* (x + c1) + c2. Not where x + c1 was PUT: it is in a register, and x may not be. */
static bool add_add(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 c1, c2;

    if (inner->op != IR_ADD || inner->scratch == STORED || !const_arg(f, 1, &c2) ||
        !is_const(f, arg_of(f, inner, 1), &c1)) {
        return false;
    }
    return become(f, IR_ADD, 0, arg_of(f, inner, 0), new_const(f, f->insn->type, c1 + c2), 0);
}

/* x + -y, -x + y */
static bool add_neg(Fold *f)
{
    const IrInsn *x = arg_insn(f, 0), *y = arg_insn(f, 1);

    if (!is_scalar_int(f)) {
        return false;
    }
    if (y->op == IR_NEG) {
        return become(f, IR_SUB, 0, f->insn->arg[0], arg_of(f, y, 0), 0);
    }
    return x->op == IR_NEG && become(f, IR_SUB, 0, f->insn->arg[1], arg_of(f, x, 0), 0);
}

static bool sub_self(Fold *f)
{
    return f->insn->arg[0] == f->insn->arg[1] && become_zero(f);
}

static bool sub_const(Fold *f)
{
    u64 c;

    if (const_arg(f, 1, &c)) {
        return become(f, IR_ADD, 0, f->insn->arg[0], new_const(f, f->insn->type, -c), 0);
    }
    return const_arg(f, 0, &c) && c == 0 && become(f, IR_NEG, 0, f->insn->arg[1], 0, 0);
}

/* (x + y) - x, (x + y) - y */
static bool sub_add(Fold *f)
{
    const IrInsn *sum = arg_insn(f, 0);
    IrVal y = f->insn->arg[1];

    if (sum->op != IR_ADD || !is_scalar_int(f)) {
        return false;
    }
    if (arg_of(f, sum, 0) == y) {
        return become_copy(f, arg_of(f, sum, 1));
    }
    return arg_of(f, sum, 1) == y && become_copy(f, arg_of(f, sum, 0));
}

/* NEG of NEG, NOT of NOT, BSWAP of BSWAP ...: own inverses. */
static bool involution(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    return inner->op == f->insn->op && inner->lane == f->insn->lane &&
           become_copy(f, arg_of(f, inner, 0));
}

static bool mul_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_zero(f);
    }
    if (c & (c - 1)) {
        return false;
    }
    return c == 1 ? become_copy(f, f->insn->arg[0])
                  : become(f, IR_SHL, 0, f->insn->arg[0],
                           new_const(f, IR_I32, (u64)__builtin_ctzll(c)), 0);
}

static bool divu_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c) || (c & (c - 1))) {
        return false;
    }
    return c == 0   ? become_zero(f)
           : c == 1 ? become_copy(f, f->insn->arg[0])
                    : become(f, IR_SHR, 0, f->insn->arg[0],
                             new_const(f, IR_I32, (u64)__builtin_ctzll(c)), 0);
}

/* -- Bitwise operations */

static bool and_const(Fold *f)
{
    u64 c;
    bool wide = width(f) >= 32; /* EXTU has no narrower types */

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_zero(f);
    }
    if (is_ones(c, width(f))) {
        return become_copy(f, f->insn->arg[0]);
    }
    if (wide && (c == 0xff || c == 0xffff || c == 0xffffffff)) {
        return become(f, IR_EXTU, 0, f->insn->arg[0], 0, (u64)__builtin_popcountll(c));
    }
    return false;
}

/* (x & c1) & c2 */
static bool and_and(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 c1, c2;

    if (inner->op != IR_AND || !const_arg(f, 1, &c2) || !is_const(f, arg_of(f, inner, 1), &c1)) {
        return false;
    }
    return become(f, IR_AND, 0, arg_of(f, inner, 0), new_const(f, f->insn->type, c1 & c2), 0);
}

/* (x >> c) & low ones */
static bool and_shift(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 mask, count;

    if (inner->op != IR_SHR || width(f) < 32 || !const_arg(f, 1, &mask) || (mask & (mask + 1)) ||
        !shift_count(f, inner, &count)) {
        return false;
    }
    u64 length = MIN((u64)__builtin_popcountll(mask), width(f) - count);
    return become(f, IR_EXTU, (u8)count, arg_of(f, inner, 0), 0, length);
}

/* Of a field that the mask keeps whole or cuts at its top. */
static bool and_extu(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 mask;

    if (inner->op != IR_EXTU || !const_arg(f, 1, &mask)) {
        return false;
    }
    mask &= ir_mask((u32)inner->imm);
    if (mask & (mask + 1)) {
        return false;
    }
    return mask ? become(f, IR_EXTU, inner->sub, arg_of(f, inner, 0), 0,
                         (u64)__builtin_popcountll(mask))
                : become_zero(f);
}

/* x & ~y */
static bool and_not(Fold *f)
{
    const IrInsn *x = arg_insn(f, 0), *y = arg_insn(f, 1);

    if (y->op == IR_NOT) {
        return become(f, IR_ANDN, 0, f->insn->arg[0], arg_of(f, y, 0), 0);
    }
    return x->op == IR_NOT && become(f, IR_ANDN, 0, f->insn->arg[1], arg_of(f, x, 0), 0);
}

static bool same_is_copy(Fold *f)
{
    return f->insn->arg[0] == f->insn->arg[1] && become_copy(f, f->insn->arg[0]);
}

static bool same_is_zero(Fold *f)
{
    return f->insn->arg[0] == f->insn->arg[1] && become_zero(f);
}

static bool andn_const(Fold *f)
{
    u64 c;

    if (const_arg(f, 1, &c)) {
        return become(f, IR_AND, 0, f->insn->arg[0], new_const(f, f->insn->type, ~c), 0);
    }
    return const_arg(f, 0, &c) && c == 0 && become_zero(f);
}

static bool or_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_copy(f, f->insn->arg[0]);
    }
    return is_ones(c, width(f)) && become_const(f, c);
}

static bool xor_const(Fold *f)
{
    u64 c;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0) {
        return become_copy(f, f->insn->arg[0]);
    }
    if (c == 1 && f->insn->type == IR_I32 &&
        is_boolean(f, f->insn->arg[0])) { /* negation, as the rules on CMP know it */
        return become(f, IR_CMP, IR_EQ, f->insn->arg[0], new_const(f, IR_I32, 0), 0);
    }
    return is_ones(c, width(f)) && become(f, IR_NOT, 0, f->insn->arg[0], 0, 0);
}

/* -- Shifts and bit fields. A field is EXTU or EXTS: sub = lowest bit, imm = length. */

static bool shift_zero(Fold *f)
{
    u64 count;

    return shift_count(f, f->insn, &count) && count == 0 && become_copy(f, f->insn->arg[0]);
}

/* (x op c1) op c2, with the same op */
static bool shift_shift(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrOp op = f->insn->op;
    u64 c1, c2;

    if (inner->op != op || !shift_count(f, f->insn, &c2) || !shift_count(f, inner, &c1)) {
        return false;
    }
    u64 sum = c1 + c2;
    if (sum >= width(f)) {
        if (op != IR_SAR) {
            return become_zero(f);
        }
        sum = width(f) - 1;
    }
    return become(f, op, 0, arg_of(f, inner, 0), new_const(f, IR_I32, sum), 0);
}

/* (x << a) >> b with a <= b: a field */
static bool shr_shl(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 up, down;

    if (inner->op != IR_SHL || width(f) < 32 || !shift_count(f, f->insn, &down) ||
        !shift_count(f, inner, &up) || up > down) {
        return false;
    }
    return become(f, f->insn->op == IR_SHR ? IR_EXTU : IR_EXTS, (u8)(down - up),
                  arg_of(f, inner, 0), 0, width(f) - down);
}

/* A field of a field, or of a shifted value. */
static bool field_field(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 low = f->insn->sub, length = f->insn->imm, count;

    if (inner->op == IR_EXTU) {
        if (low >= inner->imm) {
            return become_zero(f);
        }
        if (f->insn->op == IR_EXTS && low + length > inner->imm) {
            return become(f, IR_EXTU, (u8)low, f->insn->arg[0], 0, inner->imm - low);
        }
        return become(f, f->insn->op, (u8)(low + inner->sub), arg_of(f, inner, 0), 0,
                      MIN(length, inner->imm - low));
    }
    if (inner->op == IR_EXTS && low + length <= inner->imm) {
        return become(f, f->insn->op, (u8)(low + inner->sub), arg_of(f, inner, 0), 0, length);
    }
    if (inner->op == IR_SHR && shift_count(f, inner, &count) &&
        (f->insn->op == IR_EXTU || low + length + count <= width(f))) {
        return low + count >= width(f)
                   ? become_zero(f)
                   : become(f, f->insn->op, (u8)(low + count), arg_of(f, inner, 0), 0,
                            MIN(length, width(f) - low - count));
    }
    return false;
}

static bool field_whole(Fold *f)
{
    return f->insn->sub == 0 && f->insn->imm == width(f) && become_copy(f, f->insn->arg[0]);
}

/* A field of x & c where the mask keeps all of it. */
static bool field_and(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 field = ir_mask((u32)f->insn->imm) << f->insn->sub, mask;

    return inner->op == IR_AND && is_const(f, arg_of(f, inner, 1), &mask) &&
           (mask & field) == field &&
           become(f, f->insn->op, f->insn->sub, arg_of(f, inner, 0), 0, f->insn->imm);
}

/* The low bits of a value that was extended from just as many or fewer. */
static bool field_extended(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrOp wanted = f->insn->op == IR_EXTU ? IR_ZEXT : IR_SEXT;

    if (f->insn->sub || (inner->op != wanted && inner->op != IR_ZEXT)) {
        return false;
    }
    u32 from = bits_of(f->region->insns[arg_of(f, inner, 0)].type);
    bool keeps = inner->op == wanted ? from <= f->insn->imm : from < f->insn->imm;
    return keeps && become_copy(f, f->insn->arg[0]);
}

/* Depositing a whole value, or into zero. */
static bool dep_simple(Fold *f)
{
    u64 c;

    if (f->insn->imm == width(f)) {
        return become_copy(f, f->insn->arg[1]);
    }
    return f->insn->sub == 0 && const_arg(f, 0, &c) && c == 0 &&
           become(f, IR_EXTU, 0, f->insn->arg[1], 0, f->insn->imm);
}

static bool extr_simple(Fold *f)
{
    u64 high;

    if (f->insn->imm == 0) {
        return become_copy(f, f->insn->arg[1]);
    }
    if (f->insn->arg[0] == f->insn->arg[1]) {
        return become(f, IR_ROR, 0, f->insn->arg[0], new_const(f, IR_I32, f->insn->imm), 0);
    }
    return const_arg(f, 0, &high) && high == 0 &&
           become(f, IR_SHR, 0, f->insn->arg[1], new_const(f, IR_I32, f->insn->imm), 0);
}

/* -- Conversions */

/* The low bits of something that moved bits about. */
static bool trunc_moved(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal x = arg_of(f, inner, 0);
    u32 from = bits_of(f->region->insns[x].type);

    switch ((IrOp)inner->op) {
    case IR_TRUNC:
    case IR_BITCAST:
    case IR_ZEXT:
        return become_resized(f, x);
    case IR_SEXT:
        return from >= width(f) && become_resized(f, x);
    case IR_VCAT:
        return width(f) <= 64 && become_resized(f, x);
    case IR_EXTU:
    case IR_EXTS: /* the field is wider than what is wanted */
        return inner->sub == 0 && inner->imm >= width(f) && become_resized(f, x);
    case IR_DEP: /* of the replaced part, or below it */
        return inner->sub >= width(f) ? become_resized(f, x)
                                      : inner->sub == 0 && inner->imm >= width(f) &&
                                            become_resized(f, arg_of(f, inner, 1));
    default:
        return false;
    }
}

/* The low bits of x & c, x | c where the constant does nothing to them. */
static bool trunc_masked(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 c;

    if ((inner->op != IR_AND && inner->op != IR_OR) || width(f) > 64 ||
        !is_const(f, arg_of(f, inner, 1), &c)) {
        return false;
    }
    u64 low = c & ir_mask(width(f));
    return (inner->op == IR_AND ? is_ones(low, width(f)) : low == 0) &&
           become_resized(f, arg_of(f, inner, 0));
}

static bool zext_moved(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal x = arg_of(f, inner, 0);
    IrType from = f->region->insns[x].type;

    if (inner->op == IR_ZEXT) {
        return become_resized(f, x);
    }
    if (inner->op == IR_TRUNC && from == f->insn->type && (from == IR_I32 || from == IR_I64)) {
        return become(f, IR_EXTU, 0, x, 0, bits_of(inner->type));
    }
    /* a vector's class of bits says nothing: extend from what the bits were before */
    return inner->op == IR_BITCAST && ir_type_is_vector(f->insn->type) && become_resized(f, x);
}

static bool sext_moved(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrVal x = arg_of(f, inner, 0);
    IrType from = f->region->insns[x].type;

    if (inner->op == IR_SEXT || inner->op == IR_ZEXT) {
        return become(f, (IrOp)inner->op, 0, x, 0, 0);
    }
    return inner->op == IR_TRUNC && from == f->insn->type && (from == IR_I32 || from == IR_I64) &&
           become(f, IR_EXTS, 0, x, 0, bits_of(inner->type));
}

static bool bitcast_bitcast(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    return (inner->op == IR_BITCAST || inner->op == IR_TRUNC) &&
           become_resized(f, arg_of(f, inner, 0));
}

/* -- Vectors */

static bool vget_lane(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u32 lane = bits_of(f->insn->lane);

    if (lane != width(f)) {
        return false;
    }
    if (inner->op == IR_VSET && bits_of(inner->lane) == lane) {
        IrVal set = arg_of(f, inner, 1);
        if (inner->imm != f->insn->imm) {
            f->insn->arg[0] = arg_of(f, inner, 0);
            return true;
        }
        return bits_of(f->region->insns[set].type) >= lane && become_resized(f, set);
    }
    if (inner->op == IR_VCAT && lane == 64) {
        return become_resized(f, arg_of(f, inner, (u32)f->insn->imm));
    }
    return f->insn->imm == 0 && become_resized(f, f->insn->arg[0]);
}

static bool vhigh_cat(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    if (inner->op == IR_VCAT) {
        return become_copy(f, arg_of(f, inner, 1));
    }
    return inner->op == IR_ZEXT && bits_of(f->region->insns[arg_of(f, inner, 0)].type) <= 64 &&
           become_zero(f);
}

static bool vcat_zero(Fold *f)
{
    const IrInsn *high = arg_insn(f, 1);

    return high->op == IR_CONST && high->imm == 0 && become(f, IR_ZEXT, 0, f->insn->arg[0], 0, 0);
}

static bool vshift_zero(Fold *f)
{
    return f->insn->imm == 0 && become_copy(f, f->insn->arg[0]);
}

/* -- Comparisons and choices */

static bool cmp_swap(Fold *f)
{
    u64 c;

    return const_arg(f, 0, &c) && !const_arg(f, 1, &c) &&
           become(f, IR_CMP, (u8)ir_cmp_swap((IrCmp)f->insn->sub), f->insn->arg[1], f->insn->arg[0],
                  0);
}

static bool cmp_self(Fold *f)
{
    IrCmp cmp = f->insn->sub;

    if (f->insn->arg[0] != f->insn->arg[1]) {
        return false;
    }
    if (cmp == IR_TST || cmp == IR_TSTZ) {
        return become(f, IR_CMP, cmp == IR_TST ? IR_NE : IR_EQ, f->insn->arg[0],
                      new_const(f, arg_insn(f, 0)->type, 0), 0);
    }
    return become_const(f, cmp == IR_EQ || cmp == IR_SGE || cmp == IR_SLE || cmp == IR_UGE ||
                               cmp == IR_ULE);
}

/* Unsigned order at the ends of the range. */
static bool cmp_unsigned(Fold *f)
{
    u64 c;
    IrCmp cmp = f->insn->sub;

    if (!const_arg(f, 1, &c)) {
        return false;
    }
    if (c == 0 && (cmp == IR_ULT || cmp == IR_UGE || cmp == IR_TST || cmp == IR_TSTZ)) {
        return become_const(f, cmp == IR_UGE || cmp == IR_TSTZ);
    }
    if (c == 0 && (cmp == IR_UGT || cmp == IR_ULE)) {
        f->insn->sub = cmp == IR_UGT ? IR_NE : IR_EQ;
        return true;
    }
    return c == 1 && (cmp == IR_ULT || cmp == IR_UGE) &&
           become(f, IR_CMP, cmp == IR_ULT ? IR_EQ : IR_NE, f->insn->arg[0],
                  new_const(f, arg_insn(f, 0)->type, 0), 0);
}

/* A boolean compared with 0 or 1 is itself or its negation. */
static bool cmp_boolean(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrCmp cmp = f->insn->sub;
    u64 c;

    if ((cmp != IR_EQ && cmp != IR_NE) || !const_arg(f, 1, &c) || c > 1 ||
        !is_boolean(f, f->insn->arg[0]) || inner->type != IR_I32) {
        return false;
    }
    if ((cmp == IR_NE) == (c == 0)) {
        return become_copy(f, f->insn->arg[0]);
    }
    switch ((IrOp)inner->op) {
    case IR_CMP:
        return become(f, IR_CMP, (u8)ir_cmp_negate((IrCmp)inner->sub), arg_of(f, inner, 0),
                      arg_of(f, inner, 1), 0);
    case IR_COND:
        return become(f, IR_COND, inner->sub ^ 1, arg_of(f, inner, 0), 0, 0);
    default: /* not FCMP: it may trap, and this may be another guest instruction */
        return false;
    }
}

/* Equality with 0 of a difference, of common bits, of an extension. Not where that was PUT: it is
 * in a register, and its operands may not be. */
static bool cmp_zero(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    IrCmp cmp = f->insn->sub;
    u64 c;

    if ((cmp != IR_EQ && cmp != IR_NE) || !const_arg(f, 1, &c) || c != 0 ||
        inner->scratch == STORED) {
        return false;
    }
    IrVal x = arg_of(f, inner, 0), y = arg_of(f, inner, 1);
    switch ((IrOp)inner->op) {
    case IR_SUB:
    case IR_XOR:
        return become(f, IR_CMP, (u8)cmp, x, y, 0);
    case IR_AND:
        return become(f, IR_CMP, cmp == IR_EQ ? IR_TSTZ : IR_TST, x, y, 0);
    case IR_NEG:
        return become(f, IR_CMP, (u8)cmp, x, f->insn->arg[1], 0);
    case IR_ZEXT:
    case IR_SEXT:
        return ir_type_is_int(f->region->insns[x].type) &&
               become(f, IR_CMP, (u8)cmp, x, new_const(f, f->region->insns[x].type, 0), 0);
    case IR_EXTU: { /* a field: its bits in place */
        u64 field = ir_mask((u32)inner->imm) << inner->sub;
        return field <= INT32_MAX && /* larger ones are no immediate on common hosts */
               become(f, IR_CMP, cmp == IR_EQ ? IR_TSTZ : IR_TST, x,
                      new_const(f, inner->type, field), 0);
    }
    default:
        return false;
    }
}

/* Bits that the tested operand masks out itself. */
static bool tst_masked(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);
    u64 mask, c;

    if ((f->insn->sub != IR_TST && f->insn->sub != IR_TSTZ) || inner->op != IR_AND ||
        !const_arg(f, 1, &c) || !is_const(f, arg_of(f, inner, 1), &mask)) {
        return false;
    }
    return become(f, IR_CMP, f->insn->sub, arg_of(f, inner, 0), new_const(f, inner->type, mask & c),
                  0);
}

static bool select_simple(Fold *f)
{
    const IrInsn *condition = arg_insn(f, 0);
    IrVal x = f->insn->arg[1], y = f->insn->arg[2];
    u64 c, zero;

    if (const_arg(f, 0, &c)) {
        return become_copy(f, c ? x : y);
    }
    if (x == y) {
        return become_copy(f, x);
    }
    if (condition->op == IR_CMP && condition->sub == IR_NE && arg_insn(f, 0)->type == IR_I32 &&
        is_const(f, arg_of(f, condition, 1), &zero) && zero == 0 &&
        f->region->insns[arg_of(f, condition, 0)].type == IR_I32) {
        f->insn->arg[0] = arg_of(f, condition, 0); /* SELECT compares with 0 itself */
        return true;
    }
    return false;
}

/* A choice between booleans, one of them constant. */
static bool select_boolean(Fold *f)
{
    IrVal condition = f->insn->arg[0], x = f->insn->arg[1], y = f->insn->arg[2];
    u64 c;

    if (f->insn->type != IR_I32 || !is_boolean(f, condition) || !is_boolean(f, x) ||
        !is_boolean(f, y)) {
        return false;
    }
    if (is_const(f, y, &c) && c == 0) {
        return become(f, IR_AND, 0, condition, x, 0);
    }
    if (is_const(f, x, &c)) {
        return become(f, c ? IR_OR : IR_ANDN, 0, c ? condition : y, c ? y : condition, 0);
    }
    return false;
}

static bool adc_const(Fold *f)
{
    u64 carry;

    return const_arg(f, 2, &carry) && (carry & 1) == 0 &&
           become(f, IR_FLAGS_ADD, 0, f->insn->arg[0], f->insn->arg[1], 0);
}

static bool nzcv_make(Fold *f)
{
    const IrInsn *inner = arg_insn(f, 0);

    return inner->op == IR_FLAGS_MAKE &&
           become(f, IR_AND, 0, arg_of(f, inner, 0), new_const(f, IR_I32, 15), 0);
}

/* A PHI whose arguments are all one value, or itself. The copy goes behind the other PHIs. */
static bool phi_same(Fold *f)
{
    IrVal *args = f->region->phi_args + f->insn->imm, same = 0, next = f->value;

    for (u32 i = 0; i < f->region->blocks[f->block].predecessors; i++) {
        IrVal arg = ir_resolve(f->region, args[i]);
        if (arg != f->value && same && arg != same) {
            return false;
        }
        same = arg != f->value ? arg : same;
    }
    if (!same) {
        return false;
    }
    while (f->region->insns[next].op == IR_PHI) {
        next = f->region->insns[next].next;
    }
    ir_move_before(f->region, f->block, f->value, next);
    return become_copy(f, same);
}

static bool branch_const(Fold *f)
{
    IrBlock *block = &f->region->blocks[f->block];
    u64 c;

    if (!const_arg(f, 0, &c)) {
        return false;
    }
    ir_phi_drop_edge(f->region, ir_graph(f->region), f->block, block->successor[c ? 1 : 0]);
    f->region->graph = NULL;
    block->successor[0] = block->successor[c ? 0 : 1];
    block->successor[1] = 0;
    become(f, IR_JUMP, 0, 0, 0, 0);
    ir_link_blocks(f->region);
    f->cut = true;
    return true;
}

/* -- The table */

enum { MAX_RULES = 8 };

static FoldFn *const rules[IR_OP_COUNT][MAX_RULES] = {
    [IR_TRUNC] = {trunc_moved, trunc_masked},
    [IR_ZEXT] = {zext_moved},
    [IR_SEXT] = {sext_moved},
    [IR_BITCAST] = {bitcast_bitcast},
    [IR_SELECT] = {select_simple, select_boolean},
    [IR_PHI] = {phi_same},
    [IR_ADD] = {add_zero, add_add, add_neg},
    [IR_SUB] = {sub_self, sub_const, sub_add},
    [IR_MUL] = {mul_const},
    [IR_DIVU] = {divu_const},
    [IR_NEG] = {involution},
    [IR_NOT] = {involution},
    [IR_AND] = {and_const, same_is_copy, and_and, and_shift, and_extu, and_not},
    [IR_OR] = {or_const, same_is_copy},
    [IR_XOR] = {xor_const, same_is_zero},
    [IR_ANDN] = {andn_const, same_is_zero},
    [IR_SHL] = {shift_zero, shift_shift},
    [IR_SHR] = {shift_zero, shift_shift, shr_shl},
    [IR_SAR] = {shift_zero, shift_shift, shr_shl},
    [IR_ROR] = {shift_zero},
    [IR_EXTR] = {extr_simple},
    [IR_EXTU] = {field_whole, field_field, field_and, field_extended},
    [IR_EXTS] = {field_whole, field_field, field_and, field_extended},
    [IR_DEP] = {dep_simple},
    [IR_BSWAP] = {involution},
    [IR_BITREV] = {involution},
    [IR_CMP] = {cmp_swap, cmp_self, cmp_unsigned, cmp_zero, cmp_boolean, tst_masked},
    [IR_FLAGS_ADC] = {adc_const},
    [IR_FLAGS_NZCV] = {nzcv_make},
    [IR_FNEG] = {involution},
    [IR_VGET] = {vget_lane},
    [IR_VSHL] = {vshift_zero},
    [IR_VSHR] = {vshift_zero},
    [IR_VSAR] = {vshift_zero},
    [IR_VCAT] = {vcat_zero},
    [IR_VHIGH] = {vhigh_cat},
    [IR_BRANCH] = {branch_const},
};

/* -- The driver */

/* Evaluates a pure operation whose arguments are all constants. */
static bool evaluate(Fold *f)
{
    IrInsn *insn = f->insn;
    const IrOpInfo *info = &ir_ops[insn->op];
    IrWord args[3] = {0}, result;
    u8 types[3] = {0};

    if (insn->op == IR_COPY || (info->properties & IR_PROP_FP) || !insn->arg[0] ||
        ir_type_size(insn->type) > 16) {
        return false;
    }
    for (u32 i = 0; i < 3 && insn->arg[i]; i++) {
        const IrInsn *arg = arg_insn(f, i);
        if (arg->op != IR_CONST || arg->type == IR_V256) {
            return false;
        }
        args[i].v[0] = arg->imm;
        args[i].v[1] = arg->imm2;
        types[i] = arg->type;
    }
    ir_eval(insn, types, args, &result, NULL);
    become(f, IR_CONST, 0, 0, 0, result.v[0]);
    insn->imm2 = result.v[1];
    return true;
}

/* Constants of exchangeable operands go to the right. */
static void order_args(Fold *f)
{
    IrVal first = f->insn->arg[0];

    if ((ir_ops[f->insn->op].properties & IR_PROP_COMM) && arg_insn(f, 0)->op == IR_CONST &&
        arg_insn(f, 1)->op != IR_CONST) {
        f->insn->arg[0] = f->insn->arg[1];
        f->insn->arg[1] = first;
    }
}

static bool fold_step(Fold *f)
{
    IrInsn *insn = f->insn;

    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        insn->arg[i] = ir_resolve(f->region, insn->arg[i]);
    }
    FoldFn *const *rule = rules[insn->op];
    if (ir_ops[insn->op].properties & IR_PROP_PURE) {
        order_args(f);
        if (arg_insn(f, 0)->op == IR_CONST && evaluate(f)) {
            return true;
        }
    }
    for (; *rule; rule++) {
        if ((*rule)(f)) {
            return true;
        }
    }
    return false;
}

static void fold_insn(Fold *f, IrVal value)
{
    f->value = value;
    for (u32 step = 0; step < MAX_STEPS; step++) {
        ir_reserve(f->region, MAX_NEW);
        f->insn = &f->region->insns[value];
        if (!fold_step(f)) {
            break;
        }
    }
    f->insn->scratch = 0;
    if (f->insn->op == IR_PUT || f->insn->op == IR_NOTE) {
        arg_insn(f, 0)->scratch = STORED;
    }
}

void ir_pass_fold(IrRegion *region)
{
    Fold f = {.region = region};

    ir_link_blocks(region);
    for (f.block = 0; f.block < region->block_count; f.block++) {
        IR_FOR_EACH(region, f.block, value)
        {
            fold_insn(&f, value);
        }
    }
    if (f.cut) {
        ir_remove_unreachable(region);
    }
}
