/* Advanced SIMD: saturating arithmetic, which notes in FPSR.QC that a lane saturated.
 *
 * The note compares the saturated result with what it would be without, lane by lane, in a way that
 * differs exactly when the lane saturated. */
#include "guest/aarch64/simd.h"

enum { QC_BIT = 27 };

void note_saturation(Tr *t, bool scalar, unsigned size, IrVal mask)
{
    IrBuilder *b = t->b;
    IrVal any;

    if (scalar) {
        any = ir_vget(t, IR_I64, lane_type(size), mask, 0);
    } else {
        any = ir_vget(t, IR_I64, IR_I64, mask, 0);
        if (ir_type_of(b, mask) == IR_V128) {
            any = ir_or(b, any, ir_vget(t, IR_I64, IR_I64, mask, 1));
        }
    }
    IrVal saturated = ir_cmp(b, IR_NE, any, const_x(t, 0));
    IrVal bit = ir_binary(b, IR_SHL, saturated, const_w(t, QC_BIT));
    ir_put(b, SLOT(fpsr), ir_or(b, ir_get(b, IR_I32, SLOT(fpsr)), bit));
}

/* Writes the result and notes saturation where it differs from `exact`. */
static void put_saturated(Tr *t, bool scalar, unsigned size, unsigned d, IrVal result, IrVal exact)
{
    note_saturation(t, scalar, size, vbits(t, IR_XOR, result, exact));
    put_lanes(t, scalar, size, d, result);
}

/* -- Addition: a saturated sum is never what wrapping around gives */

void tr_v_sat_addsub(Tr *t, const A_v_sat_addsub *a)
{
    static const u8 ops[2][2] = {{IR_VADDS, IR_VSUBS}, {IR_VADDU, IR_VSUBU}};
    IrType lane = lane_type(a->size);
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal y = get_lanes(t, a->scalar, a->q, a->rm);

    put_saturated(t, a->scalar, a->size, a->rd, vop(t, (IrOp)ops[a->u][a->sub], lane, x, y),
                  vop(t, a->sub ? IR_SUB : IR_ADD, lane, x, y));
}

/* The lanes' most negative number, 0x80... */
static IrVal signed_min(Tr *t, IrType type, unsigned size)
{
    return ir_vsplat(t, type, lane_type(size), const_x(t, (u64)1 << ((8u << size) - 1)));
}

/* SUQADD: signed accumulator plus unsigned x. Moved by the accumulator's bias it is an unsigned
 * saturating addition: (d ^ min) + x, saturated at all ones, ^ min. */
static IrVal add_unsigned_to_signed(Tr *t, unsigned size, IrVal d, IrVal x)
{
    IrVal bias = signed_min(t, ir_type_of(t->b, d), size);
    IrVal sum = vop(t, IR_VADDU, lane_type(size), vbits(t, IR_XOR, d, bias), x);

    return vbits(t, IR_XOR, sum, bias);
}

/* USQADD: unsigned accumulator plus signed x: an unsigned saturating addition of the positive part,
 * and subtraction of the magnitude of the negative one. */
static IrVal add_signed_to_unsigned(Tr *t, unsigned size, IrVal d, IrVal x)
{
    IrType lane = lane_type(size);
    IrVal sign = vop_imm(t, IR_VSAR, lane, 0, x, (8u << size) - 1);
    IrVal positive = vbits(t, IR_ANDN, x, sign);
    IrVal magnitude = vbits(t, IR_AND, vop(t, IR_NEG, lane, x, 0), sign);

    return vop(t, IR_VSUBU, lane, vop(t, IR_VADDU, lane, d, positive), magnitude);
}

void tr_v_suqadd(Tr *t, const A_v_suqadd *a)
{
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal d = get_lanes(t, a->scalar, a->q, a->rd);
    IrVal result =
        a->u ? add_signed_to_unsigned(t, a->size, d, x) : add_unsigned_to_signed(t, a->size, d, x);

    put_saturated(t, a->scalar, a->size, a->rd, result, vop(t, IR_ADD, lane_type(a->size), d, x));
}

/* SQABS, SQNEG saturate for the most negative number only, which 0 - x does as well. */
void tr_v_sqabs(Tr *t, const A_v_sqabs *a)
{
    IrType lane = lane_type(a->size);
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrType type = ir_type_of(t->b, x);
    IrVal negated = vop(t, IR_VSUBS, lane, ir_vzero(t, type), x);
    IrVal wrapped = vop(t, IR_NEG, lane, x, 0);

    if (!a->neg) {
        IrVal sign = vop_imm(t, IR_VSAR, lane, 0, x, (8u << a->size) - 1);
        negated = vop3(t, IR_VBSL, IR_I64, 0, 0, sign, negated, x);
        wrapped = vop3(t, IR_VBSL, IR_I64, 0, 0, sign, wrapped, x);
    }
    put_saturated(t, a->scalar, a->size, a->rd, negated, wrapped);
}

/* -- Multiplication: doubling saturates for min * min only */

/* All ones in the lanes where both are the most negative number. */
static IrVal both_minimal(Tr *t, unsigned size, IrVal x, IrVal y)
{
    IrType lane = lane_type(size);
    IrVal min = signed_min(t, ir_type_of(t->b, x), size);

    return vbits(t, IR_AND, vop_sub(t, IR_VCMP, lane, IR_EQ, x, min),
                 vop_sub(t, IR_VCMP, lane, IR_EQ, y, min));
}

static void double_multiply_high(Tr *t, bool scalar, bool round, unsigned size, unsigned d, IrVal x,
                                 IrVal y)
{
    note_saturation(t, scalar, size, both_minimal(t, size, x, y));
    put_lanes(t, scalar, size, d,
              vop_sub(t, IR_VQDMULH, lane_type(size), round ? IR_ROUNDING : 0, x, y));
}

void tr_v_sqdmulh(Tr *t, const A_v_sqdmulh *a)
{
    double_multiply_high(t, a->scalar, a->round, a->size, a->rd,
                         get_lanes(t, a->scalar, a->q, a->rn),
                         get_lanes(t, a->scalar, a->q, a->rm));
}

void tr_v_sqdmulh_elem(Tr *t, const A_v_sqdmulh_elem *a)
{
    double_multiply_high(t, a->scalar, a->round, a->size, a->rd,
                         get_lanes(t, a->scalar, a->q, a->rn),
                         get_element(t, a->q && !a->scalar, a->size, a->rm, a->index));
}

/* The widening signed product doubled, saturating, with its note; x, y v64. */
static IrVal double_multiply_long(Tr *t, bool scalar, unsigned size, IrVal x, IrVal y)
{
    IrType wide = lane_type(size + 1);
    IrVal product = vwide(t, IR_VMULL, lane_type(size), IR_SIGNED, x, y);

    note_saturation(t, scalar, size, both_minimal(t, size, x, y));
    return vop(t, IR_VADDS, wide, product, product);
}

/* The narrow source of a long operation; scalars come from lane 0. */
static IrVal long_source(Tr *t, bool scalar, bool q, unsigned n)
{
    return get_half(t, q && !scalar, n);
}

static void put_long(Tr *t, bool scalar, unsigned size, unsigned d, IrVal value)
{
    put_v(t, d, scalar ? ir_trunc(t->b, lane_type(size + 1), value) : value);
}

static void double_multiply_accumulate(Tr *t, bool scalar, bool sub, unsigned size, unsigned d,
                                       IrVal x, IrVal y)
{
    IrType wide = lane_type(size + 1);
    IrVal product = double_multiply_long(t, scalar, size, x, y);
    IrVal old = get_v128(t, d);
    IrVal result = vop(t, sub ? IR_VSUBS : IR_VADDS, wide, old, product);
    IrVal exact = vop(t, sub ? IR_SUB : IR_ADD, wide, old, product);

    note_saturation(t, scalar, size + 1, vbits(t, IR_XOR, result, exact));
    put_long(t, scalar, size, d, result);
}

void tr_v_sqdmull(Tr *t, const A_v_sqdmull *a)
{
    IrVal x = long_source(t, a->scalar, a->q, a->rn), y = long_source(t, a->scalar, a->q, a->rm);

    put_long(t, a->scalar, a->size, a->rd, double_multiply_long(t, a->scalar, a->size, x, y));
}

void tr_v_sqdmull_elem(Tr *t, const A_v_sqdmull_elem *a)
{
    IrVal x = long_source(t, a->scalar, a->q, a->rn);
    IrVal y = get_element(t, false, a->size, a->rm, a->index);

    put_long(t, a->scalar, a->size, a->rd, double_multiply_long(t, a->scalar, a->size, x, y));
}

void tr_v_sqdmlal(Tr *t, const A_v_sqdmlal *a)
{
    double_multiply_accumulate(t, a->scalar, a->sub, a->size, a->rd,
                               long_source(t, a->scalar, a->q, a->rn),
                               long_source(t, a->scalar, a->q, a->rm));
}

void tr_v_sqdmlal_elem(Tr *t, const A_v_sqdmlal_elem *a)
{
    double_multiply_accumulate(t, a->scalar, a->sub, a->size, a->rd,
                               long_source(t, a->scalar, a->q, a->rn),
                               get_element(t, false, a->size, a->rm, a->index));
}

/* -- Narrowing: saturated unless widening the result gives the source again */

static void narrow_saturating(Tr *t, bool scalar, bool q, unsigned size, unsigned d, u8 sub,
                              IrVal wide)
{
    IrType lane = lane_type(size);
    IrVal result = vnarrow(t, IR_VQNARROW, lane, sub, wide);
    u8 result_sign = sub & IR_TO_UNSIGNED ? 0 : sub & IR_SIGNED;
    IrVal again = vwide(t, IR_VWIDEN, lane, result_sign, result, 0);

    note_saturation(t, scalar, size + 1, vbits(t, IR_XOR, again, wide));
    if (scalar) {
        put_lanes(t, true, size, d, result);
    } else {
        put_half(t, q, d, result);
    }
}

void tr_v_sqxtun(Tr *t, const A_v_sqxtun *a)
{
    narrow_saturating(t, a->scalar, a->q, a->size, a->rd, IR_SIGNED | IR_TO_UNSIGNED,
                      get_v128(t, a->rn));
}

void tr_v_sqxtn(Tr *t, const A_v_sqxtn *a)
{
    narrow_saturating(t, a->scalar, a->q, a->size, a->rd, signed_bit(a->u), get_v128(t, a->rn));
}

static IrVal shift_right_wide(Tr *t, unsigned size, bool is_signed, bool round, s64 shift,
                              unsigned n)
{
    IrType wide = lane_type(size + 1);
    IrVal x = get_v128(t, n);

    return round ? vop_imm(t, IR_VRSHR, wide, is_signed ? IR_SIGNED : 0, x, (u64)shift)
                 : vop_imm(t, is_signed ? IR_VSAR : IR_VSHR, wide, 0, x, (u64)shift);
}

void tr_v_sqshrn(Tr *t, const A_v_sqshrn *a)
{
    unsigned size = (unsigned)a->size;

    narrow_saturating(t, a->scalar, a->q, size, a->rd, signed_bit(a->u),
                      shift_right_wide(t, size, !a->u, a->round, a->shift, a->rn));
}

void tr_v_sqshrun(Tr *t, const A_v_sqshrun *a)
{
    unsigned size = (unsigned)a->size;

    narrow_saturating(t, a->scalar, a->q, size, a->rd, IR_SIGNED | IR_TO_UNSIGNED,
                      shift_right_wide(t, size, true, a->round, a->shift, a->rn));
}

/* -- Left shifts: saturated unless shifting back gives the source again */

static void shift_left_saturating(Tr *t, bool scalar, bool q, unsigned size, unsigned d, u8 sub,
                                  s64 shift, unsigned n)
{
    IrType lane = lane_type(size);
    IrVal x = get_lanes(t, scalar, q, n);
    IrVal count = ir_vsplat(t, ir_type_of(t->b, x), lane, const_x(t, (u64)shift));
    IrVal result = vop_sub(t, IR_VQSHLV, lane, sub, x, count);
    bool is_signed = (sub & IR_SIGNED) && !(sub & IR_TO_UNSIGNED);
    IrVal again = vop_imm(t, is_signed ? IR_VSAR : IR_VSHR, lane, 0, result, (u64)shift);

    note_saturation(t, scalar, size, vbits(t, IR_XOR, again, x));
    put_lanes(t, scalar, size, d, result);
}

void tr_v_sqshl_imm(Tr *t, const A_v_sqshl_imm *a)
{
    shift_left_saturating(t, a->scalar, a->q, (unsigned)a->size, a->rd, signed_bit(a->u), a->shift,
                          a->rn);
}

void tr_v_sqshlu(Tr *t, const A_v_sqshlu *a)
{
    shift_left_saturating(t, a->scalar, a->q, (unsigned)a->size, a->rd, IR_SIGNED | IR_TO_UNSIGNED,
                          a->shift, a->rn);
}

/* All ones in the lanes of x that a shift left by `count` (signed lanes) saturated to `result`: the
 * count is positive, and x is not what comes back; from `bits` on, every x but 0 saturates. */
static IrVal shift_saturated(Tr *t, bool is_signed, unsigned size, IrVal x, IrVal count,
                             IrVal result)
{
    IrType lane = lane_type(size), type = ir_type_of(t->b, x);
    IrVal zero = ir_vzero(t, type);
    IrVal largest = ir_vsplat(t, type, lane, const_x(t, (8u << size) - 1));
    IrVal back = vop_sub(t, IR_VSHLV, lane, is_signed ? IR_SIGNED : 0, result,
                         vop(t, IR_NEG, lane, count, 0));
    IrVal lost = vbits(t, IR_NOT, vop_sub(t, IR_VCMP, lane, IR_EQ, back, x), 0);
    IrVal beyond = vbits(t, IR_AND, vop_sub(t, IR_VCMP, lane, IR_SGT, count, largest),
                         vop_sub(t, IR_VCMP, lane, IR_TST, x, x));
    IrVal left = vop_sub(t, IR_VCMP, lane, IR_SGT, count, zero);

    return vbits(t, IR_AND, left, vbits(t, IR_OR, lost, beyond));
}

/* SSHL, USHL and their rounding and saturating forms: by the signed low byte of rm's lanes. */
void tr_v_shl(Tr *t, const A_v_shl *a)
{
    IrType lane = lane_type(a->size);
    IrVal x = get_lanes(t, a->scalar, a->q, a->rn);
    IrVal y = get_lanes(t, a->scalar, a->q, a->rm);
    u8 sub = signed_bit(a->u) | (a->round ? IR_ROUNDING : 0);
    IrVal result = vop_sub(t, a->sat ? IR_VQSHLV : IR_VSHLV, lane, sub, x, y);

    if (a->sat) {
        unsigned above = (8u << a->size) - 8;
        IrVal count = vop_imm(t, IR_VSAR, lane, 0, vop_imm(t, IR_VSHL, lane, 0, y, above), above);
        note_saturation(t, a->scalar, a->size,
                        shift_saturated(t, !a->u, a->size, x, count, result));
    }
    put_lanes(t, a->scalar, a->size, a->rd, result);
}
