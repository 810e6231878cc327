/* Evaluation of an operation: see eval.h for the contract, eval_private.h for the organisation.
 * Here: the dispatch, and integers and flags. */
#include <assert.h>

#include "ir/eval_private.h"

#define LANE(name)                                                                                 \
    static u64 name(const Lane *l __attribute__((unused)), u64 x __attribute__((unused)),          \
                    u64 y __attribute__((unused)), u64 z __attribute__((unused)))

static s64 as_signed(const Lane *l, u64 value)
{
    return eval_sign_extend(value, l->bits);
}

LANE(add)
{
    return x + y;
}

LANE(sub)
{
    return x - y;
}

LANE(adc)
{
    return x + y + (z & 1);
}

LANE(sbb)
{
    return x - y - (z & 1);
}

LANE(mul)
{
    return x * y;
}

LANE(mulhu)
{
    return (u64)((u128)x * y >> l->bits);
}

LANE(mulhs)
{
    return (u64)((s128)as_signed(l, x) * as_signed(l, y) >> l->bits);
}

LANE(divu)
{
    return y ? x / y : 0;
}

LANE(divs)
{
    s64 divisor = as_signed(l, y);

    return divisor == 0 ? 0 : divisor == -1 ? -x : (u64)(as_signed(l, x) / divisor);
}

/* Dividends of twice the width, high half in x. */

static u128 wide(const Lane *l, u64 x, u64 y)
{
    return (u128)x << l->bits | y;
}

static s128 wide_signed(const Lane *l, u64 x, u64 y)
{
    return (s128)((u128)as_signed(l, x) << l->bits | y);
}

LANE(divfitu)
{
    return x < z; /* so z is not 0 */
}

LANE(divfits)
{
    s128 dividend = wide_signed(l, x, y);
    s64 divisor = as_signed(l, z);

    if (divisor == 0 || (divisor == -1 && dividend == (s128)((u128)1 << 127))) {
        return 0;
    }
    return dividend / divisor == as_signed(l, (u64)(dividend / divisor) & ir_mask(l->bits));
}

LANE(divu2)
{
    return divfitu(l, x, y, z) ? (u64)(wide(l, x, y) / z) : 0;
}

LANE(remu2)
{
    return divfitu(l, x, y, z) ? (u64)(wide(l, x, y) % z) : 0;
}

LANE(divs2)
{
    return divfits(l, x, y, z) ? (u64)(wide_signed(l, x, y) / as_signed(l, z)) : 0;
}

LANE(rems2)
{
    return divfits(l, x, y, z) ? (u64)(wide_signed(l, x, y) % as_signed(l, z)) : 0;
}

LANE(neg)
{
    return -x;
}

LANE(not )
{
    return ~x;
}

LANE(and)
{
    return x & y;
}

LANE(or)
{
    return x | y;
}

LANE(xor)
{
    return x ^ y;
}

LANE(andn)
{
    return x & ~y;
}

LANE(shl)
{
    return x << y % l->bits;
}

LANE(shr)
{
    return x >> y % l->bits;
}

LANE(sar)
{
    return (u64)(as_signed(l, x) >> y % l->bits);
}

LANE(ror)
{
    u32 count = y % l->bits;

    return count ? x >> count | x << (l->bits - count) : x;
}

/* x86's counts: modulo 32, for 64-bit operands modulo 64. */
static u32 x86_count(const Lane *l, u64 count)
{
    return count & (l->bits == 64 ? 63 : 31);
}

/* Value and carry, bit `bits`, rotated left together; `count` up to the width. */
static u128 rotate_with_carry(const Lane *l, u64 x, u32 count, u32 flags)
{
    u128 both = (u128)(flags & IR_FLAG_C ? 1 : 0) << l->bits | x;
    u128 mask = ((u128)2 << l->bits) - 1;

    return count ? (both << count | both >> (l->bits + 1 - count)) & mask : both;
}

static u128 rcl_pair(const Lane *l, u64 x, u64 count, u64 flags)
{
    return rotate_with_carry(l, x, x86_count(l, count) % (l->bits + 1), (u32)flags);
}

static u128 rcr_pair(const Lane *l, u64 x, u64 count, u64 flags)
{
    u32 width = l->bits + 1;

    return rotate_with_carry(l, x, (width - x86_count(l, count) % width) % width, (u32)flags);
}

LANE(rcl)
{
    return (u64)rcl_pair(l, x, y, z);
}

LANE(rcr)
{
    return (u64)rcr_pair(l, x, y, z);
}

LANE(shld)
{
    return (u64)(((u128)x << l->bits | y) << z % l->bits >> l->bits);
}

LANE(shrd)
{
    return (u64)(((u128)y << l->bits | x) >> z % l->bits);
}

LANE(extr)
{
    return (u64)(((u128)x << l->bits | y) >> l->insn->imm);
}

LANE(extu)
{
    return x >> l->insn->sub & ir_mask((u32)l->insn->imm);
}

LANE(exts)
{
    return (u64)eval_sign_extend(x >> l->insn->sub, (u32)l->insn->imm);
}

LANE(dep)
{
    u64 mask = ir_mask((u32)l->insn->imm) << l->insn->sub;

    return (x & ~mask) | (y << l->insn->sub & mask);
}

LANE(clz)
{
    return x ? (u64)__builtin_clzll(x) - (64 - l->bits) : l->bits;
}

LANE(ctz)
{
    return x ? (u64)__builtin_ctzll(x) : l->bits;
}

LANE(popcnt)
{
    return (u64)__builtin_popcountll(x);
}

LANE(bswap)
{
    return __builtin_bswap64(x) >> (64 - l->bits);
}

LANE(bitrev)
{
    u64 reversed = 0;

    for (u32 i = 0; i < l->bits; i++) {
        reversed |= (x >> i & 1) << (l->bits - 1 - i);
    }
    return reversed;
}

LANE(pdep)
{
    u64 result = 0;

    for (u64 mask = y; mask; mask &= mask - 1, x >>= 1) {
        result |= x & 1 ? mask & -mask : 0;
    }
    return result;
}

LANE(pext)
{
    u64 result = 0;
    u32 place = 0;

    for (u64 mask = y; mask; mask &= mask - 1, place++) {
        result |= (u64)((x & mask & -mask) != 0) << place;
    }
    return result;
}

LANE(sext)
{
    return (u64)as_signed(l, x);
}

bool eval_compare(IrCmp cmp, u64 x, u64 y, u32 bits)
{
    s64 sx = eval_sign_extend(x, bits), sy = eval_sign_extend(y, bits);

    switch (cmp) {
    case IR_EQ:
        return x == y;
    case IR_NE:
        return x != y;
    case IR_SLT:
        return sx < sy;
    case IR_SGE:
        return sx >= sy;
    case IR_SGT:
        return sx > sy;
    case IR_SLE:
        return sx <= sy;
    case IR_ULT:
        return x < y;
    case IR_UGE:
        return x >= y;
    case IR_UGT:
        return x > y;
    case IR_ULE:
        return x <= y;
    case IR_TST:
        return (x & y) != 0;
    case IR_TSTZ:
        return (x & y) == 0;
    }
    return false;
}

LANE(cmp)
{
    return eval_compare((IrCmp)l->insn->sub, x, y, l->bits);
}

/* -- Packed flags */

/* N, Z and P of a result. */
static u32 flags_of(u64 result, u32 bits)
{
    return (result >> (bits - 1) & 1 ? IR_FLAG_N : 0) |
           ((result & ir_mask(bits)) == 0 ? IR_FLAG_Z : 0) |
           (__builtin_parity(result & 0xff) ? 0 : IR_FLAG_P);
}

/* Of x + y + carry. */
static u32 flags_of_sum(u64 x, u64 y, u64 carry, u32 bits)
{
    u128 sum = (u128)x + y + carry;
    u64 result = (u64)sum;

    return flags_of(result, bits) | (sum >> bits & 1 ? IR_FLAG_C : 0) |
           ((x ^ result) & (y ^ result) & (u64)1 << (bits - 1) ? IR_FLAG_V : 0) |
           ((x ^ y ^ result) & 0x10 ? IR_FLAG_A : 0);
}

LANE(flags_add)
{
    return flags_of_sum(x, y, 0, l->bits);
}

LANE(flags_adc)
{
    return flags_of_sum(x, y, z & 1, l->bits);
}

LANE(flags_sbb)
{
    u64 borrow = z & 1, result = x - y - borrow;

    return flags_of(result, l->bits) | (x < (u128)y + borrow ? IR_FLAG_C : 0) |
           ((x ^ y) & (x ^ result) & (u64)1 << (l->bits - 1) ? IR_FLAG_V : 0) |
           ((x ^ y ^ result) & 0x10 ? IR_FLAG_A : 0);
}

LANE(flags_sub)
{
    return flags_sbb(l, x, y, 0);
}

LANE(flags_subn)
{
    return flags_sub(l, x, y, z) ^ IR_FLAG_C;
}

LANE(flags_logic)
{
    return flags_of(x, l->bits);
}

LANE(flags_mul)
{
    s128 sx = l->insn->sub & IR_SIGNED ? as_signed(l, x) : (s128)x;
    s128 sy = l->insn->sub & IR_SIGNED ? as_signed(l, y) : (s128)y;
    u128 product = (u128)sx * (u128)sy, low = product & ir_mask(l->bits);

    if (l->insn->sub & IR_SIGNED) {
        low = (u128)(s128)as_signed(l, (u64)low);
    }
    return product != low ? IR_FLAG_C | IR_FLAG_V : 0;
}

/* -- Flags of shifts. The two top bits decide about V. */

static bool top_bits_differ(const Lane *l, u64 value)
{
    return (value >> (l->bits - 1) ^ value >> (l->bits - 2)) & 1;
}

static u32 carry_and_overflow(bool c, bool v)
{
    return (c ? IR_FLAG_C : 0) | (v ? IR_FLAG_V : 0);
}

LANE(flags_shl)
{
    u32 count = x86_count(l, y);
    u128 shifted = (u128)x << count; /* count may exceed the width */
    bool carry = shifted >> l->bits & 1;
    u64 result = (u64)shifted & ir_mask(l->bits);

    return count ? flags_of(result, l->bits) |
                       carry_and_overflow(carry, carry != (result >> (l->bits - 1)))
                 : z;
}

LANE(flags_shr)
{
    u32 count = x86_count(l, y);
    u64 result = x >> count;

    return count ? flags_of(result, l->bits) |
                       carry_and_overflow(x >> (count - 1) & 1, top_bits_differ(l, result))
                 : z;
}

LANE(flags_sar)
{
    u32 count = x86_count(l, y);
    s64 number = as_signed(l, x);

    return count ? flags_of((u64)(number >> count), l->bits) |
                       carry_and_overflow(number >> (count - 1) & 1, false)
                 : z;
}

/* C and V, when the count is not 0. */
static u32 rotated(u64 flags, u64 count, bool c, bool v)
{
    u32 fresh = IR_FLAG_C | IR_FLAG_V;

    return count ? ((u32)flags & ~fresh) | carry_and_overflow(c, v) : (u32)flags;
}

LANE(flags_rol)
{
    u32 count = x86_count(l, y);
    u64 result = ror(l, x, -(u64)count, 0) & ir_mask(l->bits);

    return rotated(z, count, result & 1, (result & 1) != (result >> (l->bits - 1)));
}

LANE(flags_ror)
{
    u32 count = x86_count(l, y);
    u64 result = ror(l, x, count, 0) & ir_mask(l->bits);

    return rotated(z, count, result >> (l->bits - 1), top_bits_differ(l, result));
}

LANE(flags_rcl)
{
    u128 both = rcl_pair(l, x, y, z);
    bool carry = both >> l->bits & 1;

    return rotated(z, x86_count(l, y), carry, carry != ((u64)both >> (l->bits - 1) & 1));
}

LANE(flags_rcr)
{
    u128 both = rcr_pair(l, x, y, z);

    return rotated(z, x86_count(l, y), both >> l->bits & 1, top_bits_differ(l, (u64)both));
}

LANE(flags_bt)
{
    return x >> y % l->bits & 1 ? IR_FLAG_C : 0;
}

LANE(flags_pick)
{
    return (x & l->insn->imm) | (y & IR_FLAGS & ~l->insn->imm);
}

LANE(flags_make)
{
    return (x & 8 ? IR_FLAG_N : 0) | (x & 4 ? IR_FLAG_Z : 0) | (x & 2 ? IR_FLAG_C : 0) |
           (x & 1 ? IR_FLAG_V : 0);
}

LANE(flags_nzcv)
{
    return (x & IR_FLAG_N ? 8 : 0) | (x & IR_FLAG_Z ? 4 : 0) | (x & IR_FLAG_C ? 2 : 0) |
           (x & IR_FLAG_V ? 1 : 0);
}

LANE(cond)
{
    bool n = x & IR_FLAG_N, z_ = x & IR_FLAG_Z, c = x & IR_FLAG_C, v = x & IR_FLAG_V;
    bool holds[] = {z_, c, n, v, c && !z_, n == v, !z_ && n == v, !c && !z_, (x & IR_FLAG_P) != 0};

    return holds[l->insn->sub / 2] ^ (l->insn->sub & 1);
}

LaneFn *const eval_int_lanes[IR_OP_COUNT] = {
    [IR_SEXT] = sext,
    [IR_ADD] = add,
    [IR_SUB] = sub,
    [IR_ADC] = adc,
    [IR_SBB] = sbb,
    [IR_MUL] = mul,
    [IR_MULHU] = mulhu,
    [IR_MULHS] = mulhs,
    [IR_DIVU] = divu,
    [IR_DIVS] = divs,
    [IR_DIVU2] = divu2,
    [IR_REMU2] = remu2,
    [IR_DIVS2] = divs2,
    [IR_REMS2] = rems2,
    [IR_DIVFITU] = divfitu,
    [IR_DIVFITS] = divfits,
    [IR_NEG] = neg,
    [IR_NOT] = not,
    [IR_AND] = and,
    [IR_OR] = or
    ,
    [IR_XOR] = xor,
    [IR_ANDN] = andn,
    [IR_SHL] = shl,
    [IR_SHR] = shr,
    [IR_SAR] = sar,
    [IR_ROR] = ror,
    [IR_RCL] = rcl,
    [IR_RCR] = rcr,
    [IR_SHLD] = shld,
    [IR_SHRD] = shrd,
    [IR_EXTR] = extr,
    [IR_EXTU] = extu,
    [IR_EXTS] = exts,
    [IR_DEP] = dep,
    [IR_CLZ] = clz,
    [IR_CTZ] = ctz,
    [IR_POPCNT] = popcnt,
    [IR_BSWAP] = bswap,
    [IR_BITREV] = bitrev,
    [IR_PDEP] = pdep,
    [IR_PEXT] = pext,
    [IR_CMP] = cmp,
    [IR_FLAGS_ADD] = flags_add,
    [IR_FLAGS_SUB] = flags_sub,
    [IR_FLAGS_SUBN] = flags_subn,
    [IR_FLAGS_ADC] = flags_adc,
    [IR_FLAGS_SBB] = flags_sbb,
    [IR_FLAGS_LOGIC] = flags_logic,
    [IR_FLAGS_MUL] = flags_mul,
    [IR_FLAGS_SHL] = flags_shl,
    [IR_FLAGS_SHR] = flags_shr,
    [IR_FLAGS_SAR] = flags_sar,
    [IR_FLAGS_ROL] = flags_rol,
    [IR_FLAGS_ROR] = flags_ror,
    [IR_FLAGS_RCL] = flags_rcl,
    [IR_FLAGS_RCR] = flags_rcr,
    [IR_FLAGS_BT] = flags_bt,
    [IR_FLAGS_PICK] = flags_pick,
    [IR_FLAGS_MAKE] = flags_make,
    [IR_FLAGS_NZCV] = flags_nzcv,
    [IR_COND] = cond,
};

/* -- Dispatch */

/* Operations that only move bits: the result's size and the zeroes above do the rest. */
static bool move(const Eval *e)
{
    const IrInsn *insn = e->insn;
    u32 size = ir_type_size(insn->type), from = ir_type_size(e->types[0]);
    const IrWord *source = &e->args[0];

    switch ((IrOp)insn->op) {
    case IR_CONST:
        for (u32 i = 0; i < 4; i++) { /* v256 repeats the two halves */
            e->result->v[i] = i * 8 < size ? (i & 1 ? insn->imm2 : insn->imm) : 0;
        }
        return true;
    case IR_SELECT:
        source = (u32)e->args[0].i ? &e->args[1] : &e->args[2];
        from = size;
        break;
    case IR_COPY:
    case IR_TRUNC:
    case IR_ZEXT:
    case IR_BITCAST:
        break;
    default:
        return false;
    }
    memcpy(e->result, source, MIN(size, from));
    return true;
}

/* Lanes that are computed, the others being those of args[*rest]: see IR_SCALAR. */
static u32 computed_lanes(const IrInsn *insn, u32 lanes, u32 *rest)
{
    u32 which = (insn->sub & IR_FMA_SCALAR) / IR_FMA_SCALAR0;

    *rest = 0;
    switch ((IrOp)insn->op) {
    case IR_FMA:
        *rest = which ? which - 1 : 0;
        return which ? 1 : lanes;
    case IR_FADD:
    case IR_FSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT:
    case IR_FMIN:
    case IR_FMAX:
        return insn->sub & IR_SCALAR ? 1 : lanes;
    default:
        return lanes;
    }
}

static void lanes(const Eval *e, LaneFn *fn)
{
    u32 size = e->lane_size ? e->lane_size : 8; /* bitwise operations need no lane type */
    u32 result = ir_type_size(e->insn->type), first = ir_type_size(e->types[0]);
    u32 from = e->insn->op == IR_ITOF ? size * first / result : size; /* lane: the float's */
    u32 to = e->insn->op == IR_FTOI ? size * result / first : size;
    u32 count = result / to, rest, computed = computed_lanes(e->insn, count, &rest);
    Lane lane = {e->insn, e->fp, from * 8, to * 8, 0};

    if (computed < count) {
        *e->result = e->args[rest];
    }
    for (u32 i = 0; i < computed; i++) {
        lane.index = i;
        eval_set_lane(e->result, to, i,
                      fn(&lane, eval_lane(&e->args[0], from, i), eval_lane(&e->args[1], from, i),
                         eval_lane(&e->args[2], from, i)));
    }
}

static void scalar(const Eval *e, LaneFn *fn)
{
    u32 from = ir_type_size(e->types[0]) * 8, to = ir_type_size(e->insn->type) * 8;
    Lane lane = {e->insn, e->fp, from, to, 0};

    e->result->i = fn(&lane, e->args[0].i, e->args[1].i, e->args[2].i) & ir_mask(to);
}

void ir_eval(const IrInsn *insn, const u8 arg_types[3], const IrWord args[3], IrWord *result,
             FpEnv *fp)
{
    IrOp op = insn->op;
    LaneFn *lane = eval_int_lanes[op]     ? eval_int_lanes[op]
                   : eval_float_lanes[op] ? eval_float_lanes[op]
                                          : eval_vector_lanes[op];
    WordFn *word = eval_vector_words[op] ? eval_vector_words[op] : eval_crypto_words[op];
    u32 lane_size = ir_type_size(insn->lane);
    Eval e = {insn,
              arg_types,
              args,
              result,
              fp,
              lane_size,
              lane_size ? ir_type_size(insn->type) / lane_size : 0};

    memset(result, 0, sizeof(*result));
    if (lane && ir_type_is_vector(insn->type)) {
        lanes(&e, lane);
    } else if (lane) {
        scalar(&e, lane);
    } else if (word) {
        word(&e);
    } else {
        bool moved = move(&e);
        assert(moved && "operation without a meaning");
        (void)moved;
    }
}
