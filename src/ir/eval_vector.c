/* Evaluation of vector operations: lane-wise ones that scalars don't have, and those that move
 * lanes about or change their width. */
#include "ir/eval_private.h"

#define LANE(name)                                                                                 \
    static u64 name(const Lane *l __attribute__((unused)), u64 x __attribute__((unused)),          \
                    u64 y __attribute__((unused)), u64 z __attribute__((unused)))

static s64 as_signed(const Lane *l, u64 value)
{
    return eval_sign_extend(value, l->bits);
}

/* -- Shifts */

LANE(shl)
{
    return l->insn->imm < l->bits ? x << l->insn->imm : 0;
}

LANE(shr)
{
    return l->insn->imm < l->bits ? x >> l->insn->imm : 0;
}

LANE(sar)
{
    return (u64)(as_signed(l, x) >> MIN(l->insn->imm, l->bits - 1u));
}

/* x / 2^count, rounded down or (half up) to nearest. */
static s128 shift_right(s128 x, u32 count, bool rounding)
{
    if (count > 65) {
        count = 65; /* nothing but the sign is left of any 64-bit lane */
    }
    return count ? (x + (rounding ? (s128)1 << (count - 1) : 0)) >> count : x;
}

LANE(rshr)
{
    return (u64)shift_right(eval_number(l, x), (u32)l->insn->imm, true);
}

LANE(shlv)
{
    s32 count = (s8)y;

    if (count < 0) {
        return (u64)shift_right(eval_number(l, x), (u32)-count, l->insn->sub & IR_ROUNDING);
    }
    return (u32)count < l->bits ? x << count : 0;
}

LANE(qshlv)
{
    s128 number = eval_number(l, x);
    s32 count = (s8)y;
    bool to_signed = (l->insn->sub & IR_SIGNED) && !(l->insn->sub & IR_TO_UNSIGNED);

    if (count < 0) {
        number = shift_right(number, (u32)-count, l->insn->sub & IR_ROUNDING);
    } else if ((u32)count < l->bits) {
        number *= (s128)1 << count;
    } else { /* out of every range, unless it is 0 */
        number = number ? (number < 0 ? -1 : 1) * ((s128)1 << 100) : 0;
    }
    return eval_saturate(number, l->bits, to_signed);
}

/* -- Arithmetic */

LANE(mins)
{
    return as_signed(l, x) < as_signed(l, y) ? x : y;
}

LANE(maxs)
{
    return as_signed(l, x) > as_signed(l, y) ? x : y;
}

LANE(minu)
{
    return MIN(x, y);
}

LANE(maxu)
{
    return MAX(x, y);
}

LANE(abs_)
{
    return as_signed(l, x) < 0 ? -x : x;
}

LANE(abds)
{
    return as_signed(l, x) < as_signed(l, y) ? y - x : x - y;
}

LANE(abdu)
{
    return x < y ? y - x : x - y;
}

LANE(adds)
{
    return eval_saturate((s128)as_signed(l, x) + as_signed(l, y), l->bits, true);
}

LANE(addu)
{
    return eval_saturate((s128)x + y, l->bits, false);
}

LANE(subs)
{
    return eval_saturate((s128)as_signed(l, x) - as_signed(l, y), l->bits, true);
}

LANE(subu)
{
    return eval_saturate((s128)x - y, l->bits, false);
}

LANE(hadd)
{
    bool round = l->insn->sub & IR_ROUNDING;

    return (u64)((eval_number(l, x) + eval_number(l, y) + round) >> 1);
}

LANE(hsub)
{
    bool round = l->insn->sub & IR_ROUNDING;

    return (u64)((eval_number(l, x) - eval_number(l, y) + round) >> 1);
}

LANE(qdmulh)
{
    s128 product = (s128)as_signed(l, x) * as_signed(l, y) * 2;
    s128 round = l->insn->sub & IR_ROUNDING ? (s128)1 << (l->bits - 1) : 0;

    return eval_saturate((product + round) >> l->bits, l->bits, true);
}

LANE(mulp)
{
    return (u64)eval_carryless(x, y);
}

LANE(vcmp)
{
    return -(u64)eval_compare((IrCmp)l->insn->sub, x, y, l->bits);
}

LANE(bsl)
{
    return (x & y) | (~x & z);
}

LANE(recpe)
{
    return l->bits == 32
               ? fixed_recip_estimate((u32)x) /* or two lanes at once, without lane type */
               : fixed_recip_estimate((u32)x) | (u64)fixed_recip_estimate((u32)(x >> 32)) << 32;
}

LANE(rsqrte)
{
    return l->bits == 32
               ? fixed_rsqrt_estimate((u32)x)
               : fixed_rsqrt_estimate((u32)x) | (u64)fixed_rsqrt_estimate((u32)(x >> 32)) << 32;
}

LANE(shlu)
{
    return y < l->bits ? x << y : 0;
}

LANE(shru)
{
    return y < l->bits ? x >> y : 0;
}

LANE(saru)
{
    return (u64)(as_signed(l, x) >> MIN(y, l->bits - 1u));
}

LANE(mulhrs)
{
    return (u64)(((as_signed(l, x) * as_signed(l, y) >> 14) + 1) >> 1);
}

LANE(sign)
{
    s64 sign = as_signed(l, y);

    return sign < 0 ? -x : sign == 0 ? 0 : x;
}

LANE(blendv)
{
    return as_signed(l, x) < 0 ? y : z;
}

LaneFn *const eval_vector_lanes[IR_OP_COUNT] = {
    [IR_VSHL] = shl,       [IR_VSHR] = shr,     [IR_VSAR] = sar,       [IR_VRSHR] = rshr,
    [IR_VSHLV] = shlv,     [IR_VQSHLV] = qshlv, [IR_VMINS] = mins,     [IR_VMINU] = minu,
    [IR_VMAXS] = maxs,     [IR_VMAXU] = maxu,   [IR_VABS] = abs_,      [IR_VABDS] = abds,
    [IR_VABDU] = abdu,     [IR_VADDS] = adds,   [IR_VADDU] = addu,     [IR_VSUBS] = subs,
    [IR_VSUBU] = subu,     [IR_VHADD] = hadd,   [IR_VHSUB] = hsub,     [IR_VQDMULH] = qdmulh,
    [IR_VMULP] = mulp,     [IR_VCMP] = vcmp,    [IR_VBSL] = bsl,       [IR_VRECPE] = recpe,
    [IR_VRSQRTE] = rsqrte, [IR_VSHLU] = shlu,   [IR_VSHRU] = shru,     [IR_VSARU] = saru,
    [IR_VMULHRS] = mulhrs, [IR_VSIGN] = sign,   [IR_VBLENDV] = blendv,
};

/* All lanes by the count in arg1's low 64 bits. */
static void shift_by_count(const Eval *e)
{
    LaneFn *fn = e->insn->op == IR_VSHLC ? shlu : e->insn->op == IR_VSHRC ? shru : saru;
    Lane lane = {.insn = e->insn, .bits = e->lane_size * 8};

    for (u32 i = 0; i < e->lanes; i++) {
        u64 x = eval_lane(&e->args[0], e->lane_size, i);
        eval_set_lane(e->result, e->lane_size, i, fn(&lane, x, e->args[1].i, 0));
    }
}

static void faddsub(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i++) {
        u64 x = eval_lane(&e->args[0], e->lane_size, i);
        u64 y = eval_lane(&e->args[1], e->lane_size, i);
        u64 result = e->lane_size == 4 ? (i & 1 ? f32_add : f32_sub)(e->fp, (u32)x, (u32)y)
                                       : (i & 1 ? f64_add : f64_sub)(e->fp, x, y);
        eval_set_lane(e->result, e->lane_size, i, result);
    }
}

/* -- Lanes that move. Sources of a permutation: lane i of arg0, or lane i - lanes of arg1. */

static u64 source(const Eval *e, u32 index)
{
    return index < e->lanes ? eval_lane(&e->args[0], e->lane_size, index)
                            : eval_lane(&e->args[1], e->lane_size, index - e->lanes);
}

/* The source of lane i, of n. */
static u32 permutation(IrOp op, u32 i, u32 n)
{
    u32 odd = i & 1;

    switch (op) {
    case IR_VZIP1:
        return i / 2 + odd * n;
    case IR_VZIP2:
        return i / 2 + odd * n + n / 2;
    case IR_VUZP1:
        return i * 2;
    case IR_VUZP2:
        return i * 2 + 1;
    case IR_VTRN1:
        return i - odd + odd * n;
    default: /* IR_VTRN2 */
        return i - odd + odd * n + 1;
    }
}

static void permute(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i++) {
        eval_set_lane(e->result, e->lane_size, i,
                      source(e, permutation(e->insn->op, i, e->lanes) % (e->lanes * 2)));
    }
}

static void padd(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i++) {
        u64 sum = e->lanes > 1 ? source(e, i * 2) + source(e, i * 2 + 1)
                               : source(e, 0) + source(e, 1); /* one lane: its only neighbour */
        eval_set_lane(e->result, e->lane_size, i, sum);
    }
}

static void rev(const Eval *e)
{
    u32 group = (u32)e->insn->imm / e->lane_size;

    for (u32 i = 0; i < e->lanes; i++) {
        u32 from = i / group * group + group - 1 - i % group;
        eval_set_lane(e->result, e->lane_size, i, eval_lane(&e->args[0], e->lane_size, from));
    }
}

static void ext(const Eval *e)
{
    u32 size = ir_type_size(e->insn->type);
    u8 both[sizeof(IrWord) * 2];

    memcpy(both, &e->args[0], size);
    memcpy(both + size, &e->args[1], size);
    memcpy(e->result, both + e->insn->imm, size);
}

static void tbl(const Eval *e)
{
    u32 size = ir_type_size(e->insn->type);

    for (u32 i = 0; i < size; i++) {
        u8 index = e->args[0].bytes[i];
        if (e->insn->sub & IR_X86) {
            index = index & 0x80 ? index : index % size;
        }
        e->result->bytes[i] = index < 16 ? e->args[1].bytes[index] : 0;
    }
}

static void shuf(const Eval *e)
{
    u32 half = e->lanes / 2, bits = half; /* lanes of a half; bits that number a lane */

    for (u32 i = 0; i < e->lanes; i++) {
        u32 from = (u32)(e->insn->imm >> i * bits) & (e->lanes - 1);
        eval_set_lane(e->result, e->lane_size, i,
                      eval_lane(&e->args[i >= half], e->lane_size, from));
    }
}

static void shuf16(const Eval *e)
{
    u32 first = e->insn->sub & IR_HIGH ? 4 : 0;

    *e->result = e->args[0];
    for (u32 i = 0; i < 4; i++) {
        u32 from = (u32)(e->insn->imm >> i * 2) & 3;
        eval_set_lane(e->result, 2, first + i, eval_lane(&e->args[0], 2, first + from));
    }
}

static void blend(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i++) {
        eval_set_lane(e->result, e->lane_size, i,
                      eval_lane(&e->args[e->insn->imm >> i & 1], e->lane_size, i));
    }
}

static void movmsk(const Eval *e)
{
    u32 lanes = ir_type_size(e->types[0]) / e->lane_size;

    for (u32 i = 0; i < lanes; i++) {
        u64 lane = eval_lane(&e->args[0], e->lane_size, i);
        e->result->i |= (lane >> (e->lane_size * 8 - 1) & 1) << i;
    }
}

static void flags_vtest(const Eval *e)
{
    u32 size = e->lane_size ? e->lane_size : 8;
    u64 mask = e->lane_size ? (u64)1 << (size * 8 - 1) : ~(u64)0, both = 0, only = 0;

    for (u32 i = 0; i < ir_type_size(e->types[0]) / size; i++) {
        u64 x = eval_lane(&e->args[0], size, i), y = eval_lane(&e->args[1], size, i);
        both |= x & y & mask;
        only |= ~x & y & mask;
    }
    e->result->i = (both ? 0 : IR_FLAG_Z) | (only ? 0 : IR_FLAG_C);
}

static void splat(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i++) {
        eval_set_lane(e->result, e->lane_size, i, e->args[0].i);
    }
}

static void get(const Eval *e)
{
    e->result->i = eval_lane(&e->args[0], e->lane_size, (u32)e->insn->imm);
}

static void set(const Eval *e)
{
    *e->result = e->args[0];
    eval_set_lane(e->result, e->lane_size, (u32)e->insn->imm, e->args[1].i);
}

static void cat(const Eval *e)
{
    e->result->v[0] = e->args[0].i;
    e->result->v[1] = e->args[1].i;
}

static void high(const Eval *e)
{
    e->result->v[0] = e->args[0].v[1];
}

/* -- Lanes that change their width. lane_size is the narrow one. */

static s64 signed_lane(const IrWord *word, u32 size, u32 index)
{
    return eval_sign_extend(eval_lane(word, size, index), size * 8);
}

static void pack(const Eval *e)
{
    u32 half = e->lanes / 2, bits = e->lane_size * 8;
    bool to_signed = !(e->insn->sub & IR_TO_UNSIGNED);

    for (u32 i = 0; i < e->lanes; i++) {
        s64 wide = signed_lane(&e->args[i >= half], e->lane_size * 2, i % half);
        eval_set_lane(e->result, e->lane_size, i, eval_saturate(wide, bits, to_signed));
    }
}

static void madd(const Eval *e)
{
    const IrWord *x = e->args, *y = e->args + 1;

    for (u32 i = 0; i < e->lanes; i += 2) {
        s64 sum = signed_lane(x, 2, i) * signed_lane(y, 2, i) +
                  signed_lane(x, 2, i + 1) * signed_lane(y, 2, i + 1);
        eval_set_lane(e->result, 4, i / 2, (u64)sum);
    }
}

static void maddus(const Eval *e)
{
    const IrWord *x = e->args, *y = e->args + 1;

    for (u32 i = 0; i < e->lanes; i += 2) {
        s64 sum = x->bytes[i] * signed_lane(y, 1, i) + x->bytes[i + 1] * signed_lane(y, 1, i + 1);
        eval_set_lane(e->result, 2, i / 2, eval_saturate(sum, 16, true));
    }
}

static void mule(const Eval *e)
{
    bool is_signed = e->insn->sub & IR_SIGNED;
    u32 size = e->lane_size;

    for (u32 i = 0; i < e->lanes; i += 2) {
        u64 product =
            is_signed ? (u64)(signed_lane(&e->args[0], size, i) * signed_lane(&e->args[1], size, i))
                      : eval_lane(&e->args[0], size, i) * eval_lane(&e->args[1], size, i);
        eval_set_lane(e->result, size * 2, i / 2, product);
    }
}

static u64 byte_difference(const Eval *e, u32 i, u32 j)
{
    u8 x = e->args[0].bytes[i], y = e->args[1].bytes[j];

    return x < y ? y - x : x - y;
}

static void sad(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i += 8) {
        u64 sum = 0;
        for (u32 k = 0; k < 8; k++) {
            sum += byte_difference(e, i + k, i + k);
        }
        eval_set_lane(e->result, 8, i / 8, sum);
    }
}

static void mpsad(const Eval *e)
{
    u32 x = e->insn->imm & 4, y = (e->insn->imm & 3) * 4;

    for (u32 i = 0; i < 8; i++) {
        u64 sum = 0;
        for (u32 k = 0; k < 4; k++) {
            sum += byte_difference(e, x + i + k, y + k);
        }
        eval_set_lane(e->result, 2, i, sum);
    }
}

/* The least lane and its number. */
static void minpos(const Eval *e)
{
    u64 least = eval_lane(&e->args[0], 2, 0), place = 0;

    for (u32 i = 1; i < e->lanes; i++) {
        u64 x = eval_lane(&e->args[0], 2, i);
        if (x < least) {
            least = x;
            place = i;
        }
    }
    e->result->i = least | place << 16;
}

static void clmul(const Eval *e)
{
    u128 product = eval_carryless(e->args[0].v[e->insn->imm & 1], e->args[1].v[e->insn->imm >> 4]);

    memcpy(e->result, &product, sizeof(product));
}

/* Narrow lane i of the half that sub's IR_HIGH selects. */
static u64 narrow_lane(const Eval *e, u32 arg, u32 i)
{
    u32 half = e->insn->sub & IR_HIGH ? 8 / e->lane_size : 0;

    return eval_lane(&e->args[arg], e->lane_size, half + i);
}

/* The same as a number, by sub's IR_SIGNED. */
static u64 narrow_number(const Eval *e, u32 arg, u32 i)
{
    u64 value = narrow_lane(e, arg, i);

    return e->insn->sub & IR_SIGNED ? (u64)eval_sign_extend(value, e->lane_size * 8) : value;
}

static void widen(const Eval *e)
{
    for (u32 i = 0; i < 8 / e->lane_size; i++) {
        eval_set_lane(e->result, e->lane_size * 2, i, narrow_number(e, 0, i));
    }
}

static void mull(const Eval *e)
{
    for (u32 i = 0; i < 8 / e->lane_size; i++) {
        eval_set_lane(e->result, e->lane_size * 2, i,
                      narrow_number(e, 0, i) * narrow_number(e, 1, i));
    }
}

static void mullp(const Eval *e)
{
    for (u32 i = 0; i < 8 / e->lane_size; i++) {
        u128 product = eval_carryless(narrow_lane(e, 0, i), narrow_lane(e, 1, i));
        memcpy(e->result->bytes + i * e->lane_size * 2, &product, e->lane_size * 2);
    }
}

static void narrow(const Eval *e)
{
    for (u32 i = 0; i < e->lanes; i++) {
        eval_set_lane(e->result, e->lane_size, i, eval_lane(&e->args[0], e->lane_size * 2, i));
    }
}

static void qnarrow(const Eval *e)
{
    u32 bits = e->lane_size * 8;
    bool from_signed = e->insn->sub & IR_SIGNED;

    for (u32 i = 0; i < e->lanes; i++) {
        u64 value = eval_lane(&e->args[0], e->lane_size * 2, i);
        s128 number = from_signed ? (s128)eval_sign_extend(value, bits * 2) : (s128)value;
        bool to_signed = from_signed && !(e->insn->sub & IR_TO_UNSIGNED);
        eval_set_lane(e->result, e->lane_size, i, eval_saturate(number, bits, to_signed));
    }
}

static void paddl(const Eval *e)
{
    u32 bits = e->lane_size * 8;

    for (u32 i = 0; i < e->lanes / 2; i++) {
        u64 x = eval_lane(&e->args[0], e->lane_size, i * 2);
        u64 y = eval_lane(&e->args[0], e->lane_size, i * 2 + 1);
        if (e->insn->sub & IR_SIGNED) {
            x = (u64)eval_sign_extend(x, bits);
            y = (u64)eval_sign_extend(y, bits);
        }
        eval_set_lane(e->result, e->lane_size * 2, i, x + y);
    }
}

/* Sum, least or greatest of all lanes of arg0. */
static void reduce(const Eval *e)
{
    u32 bits = e->lane_size * 8, lanes = ir_type_size(e->types[0]) / e->lane_size;
    Lane lane = {.insn = e->insn, .bits = bits};
    bool is_signed = e->insn->sub & IR_SIGNED;
    u64 total = eval_lane(&e->args[0], e->lane_size, 0);

    for (u32 i = 1; i < lanes; i++) {
        u64 x = eval_lane(&e->args[0], e->lane_size, i);
        total = e->insn->op == IR_VREDADD   ? total + x
                : e->insn->op == IR_VREDMIN ? (is_signed ? mins : minu)(&lane, total, x, 0)
                                            : (is_signed ? maxs : maxu)(&lane, total, x, 0);
    }
    e->result->i = total & ir_mask(bits);
}

/* -- Conversions between floating-point formats, scalar or lanes */

static u64 convert(const Eval *e, u32 from_size, u64 x)
{
    return from_size == 4     ? f32_to_f64(e->fp, (u32)x)
           : e->insn->sub & 1 ? f64_to_f32_odd(e->fp, x)
                              : f64_to_f32(e->fp, x);
}

static void fcvt(const Eval *e)
{
    bool vector = ir_type_is_vector(e->insn->type);
    u32 from = vector ? e->lane_size : ir_type_size(e->types[0]), to = 12 - from;

    for (u32 i = 0; i < (vector ? 2 : 1); i++) {
        eval_set_lane(e->result, to, i, convert(e, from, eval_lane(&e->args[0], from, i)));
    }
}

static u64 convert16(const Eval *e, u32 from_size, u32 to_size, u64 x)
{
    bool alternative = e->insn->sub & 1;

    if (to_size == 2) {
        return from_size == 4 ? f32_to_f16(e->fp, (u32)x, alternative)
                              : f64_to_f16(e->fp, x, alternative);
    }
    return to_size == 4 ? f16_to_f32(e->fp, (u16)x, alternative)
                        : f16_to_f64(e->fp, (u16)x, alternative);
}

/* Vectors: four halves in a v64 <-> four f32 in a v128. */
static void fcvt16(const Eval *e)
{
    bool vector = ir_type_is_vector(e->insn->type);
    u32 to = vector ? ir_type_size(e->insn->type) / 4 : ir_type_size(e->insn->type);
    u32 from = vector ? 6 - to : ir_type_size(e->types[0]);

    for (u32 i = 0; i < (vector ? 4 : 1); i++) {
        eval_set_lane(e->result, to, i, convert16(e, from, to, eval_lane(&e->args[0], from, i)));
    }
}

WordFn *const eval_vector_words[IR_OP_COUNT] = {
    [IR_FCVT] = fcvt,
    [IR_FCVT16] = fcvt16,
    [IR_VSPLAT] = splat,
    [IR_VGET] = get,
    [IR_VSET] = set,
    [IR_VWIDEN] = widen,
    [IR_VNARROW] = narrow,
    [IR_VQNARROW] = qnarrow,
    [IR_VMULL] = mull,
    [IR_VMULLP] = mullp,
    [IR_VCAT] = cat,
    [IR_VHIGH] = high,
    [IR_VEXT] = ext,
    [IR_VZIP1] = permute,
    [IR_VZIP2] = permute,
    [IR_VUZP1] = permute,
    [IR_VUZP2] = permute,
    [IR_VTRN1] = permute,
    [IR_VTRN2] = permute,
    [IR_VREV] = rev,
    [IR_VTBL] = tbl,
    [IR_VPADD] = padd,
    [IR_VPADDL] = paddl,
    [IR_VREDADD] = reduce,
    [IR_VREDMIN] = reduce,
    [IR_VREDMAX] = reduce,
    [IR_FADDSUB] = faddsub,
    [IR_VSHLC] = shift_by_count,
    [IR_VSHRC] = shift_by_count,
    [IR_VSARC] = shift_by_count,
    [IR_VSHUF] = shuf,
    [IR_VSHUF16] = shuf16,
    [IR_VBLEND] = blend,
    [IR_VMOVMSK] = movmsk,
    [IR_FLAGS_VTEST] = flags_vtest,
    [IR_VPACK] = pack,
    [IR_VMADD] = madd,
    [IR_VMADDUS] = maddus,
    [IR_VMULE] = mule,
    [IR_VSAD] = sad,
    [IR_VMPSAD] = mpsad,
    [IR_VMINPOS] = minpos,
    [IR_VCLMUL] = clmul,
};
