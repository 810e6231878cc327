/* What the Advanced SIMD handlers share: reading and writing vectors, halves, lanes and scalars,
 * and the saturation bit.
 *
 * A row that has a scalar form is translated once: the scalar is lane 0 of a 64-bit vector, and
 * what the other lanes become is cut off by put_lanes(). Floating-point scalars use scalar
 * operations instead, since computing in unused lanes could raise exceptions. Must not be included
 * outside this folder. */
#ifndef GUEST_AARCH64_SIMD_H
#define GUEST_AARCH64_SIMD_H

#include "guest/aarch64/translate.h"

/* -- Fields to IR */

/* FRINT's mode field as FROUND's sub: 0..4 are FpRounding; 6 exact, 7 current. */
static inline u8 float_rounding(unsigned mode)
{
    return mode == 6 ? IR_ROUND_CURRENT | IR_ROUND_EXACT : mode == 7 ? IR_ROUND_CURRENT : (u8)mode;
}

static inline u8 unsigned_bit(bool is_unsigned)
{
    return is_unsigned ? IR_UNSIGNED : 0;
}

/* IR_SIGNED unless the U field is set. */
static inline u8 signed_bit(bool is_unsigned)
{
    return is_unsigned ? 0 : IR_SIGNED;
}

static inline IrOp float_minmax(bool min, bool number)
{
    return number ? (min ? IR_FMINNM : IR_FMAXNM) : (min ? IR_FMIN : IR_FMAX);
}

static inline IrOp integer_minmax(bool is_unsigned, bool min)
{
    return is_unsigned ? (min ? IR_VMINU : IR_VMAXU) : (min ? IR_VMINS : IR_VMAXS);
}

/* -- Operations, with the vector type taken from x */

static inline IrVal vop3(Tr *t, IrOp op, IrType lane, u8 sub, u64 imm, IrVal x, IrVal y, IrVal z)
{
    return ir_emit(t->b, op, ir_type_of(t->b, x), lane, sub, x, y, z, imm, 0);
}

static inline IrVal vop(Tr *t, IrOp op, IrType lane, IrVal x, IrVal y)
{
    return vop3(t, op, lane, 0, 0, x, y, 0);
}

static inline IrVal vop_sub(Tr *t, IrOp op, IrType lane, u8 sub, IrVal x, IrVal y)
{
    return vop3(t, op, lane, sub, 0, x, y, 0);
}

static inline IrVal vop_imm(Tr *t, IrOp op, IrType lane, u8 sub, IrVal x, u64 imm)
{
    return vop3(t, op, lane, sub, imm, x, 0, 0);
}

/* Bitwise operations take no lanes' notice; i64 lanes stand for that. */
static inline IrVal vbits(Tr *t, IrOp op, IrVal x, IrVal y)
{
    return vop(t, op, IR_I64, x, y);
}

/* Lane `index` as `type`, which is the lane type or a wider integer. */
static inline IrVal ir_vget(Tr *t, IrType type, IrType lane, IrVal v, unsigned index)
{
    return ir_emit(t->b, IR_VGET, type, lane, 0, v, 0, 0, index, 0);
}

static inline IrVal ir_vset(Tr *t, IrVal v, IrType lane, unsigned index, IrVal x)
{
    return ir_emit(t->b, IR_VSET, ir_type_of(t->b, v), lane, 0, v, x, 0, index, 0);
}

/* A scalar's low bits in every lane. */
static inline IrVal ir_vsplat(Tr *t, IrType type, IrType lane, IrVal x)
{
    return ir_emit(t->b, IR_VSPLAT, type, lane, 0, x, 0, 0, 0, 0);
}

static inline IrVal ir_vzero(Tr *t, IrType type)
{
    return ir_const(t->b, type, 0);
}

/* Operations whose result is a v128 of lanes twice as wide. */
static inline IrVal vwide(Tr *t, IrOp op, IrType lane, u8 sub, IrVal x, IrVal y)
{
    return ir_emit(t->b, op, IR_V128, lane, sub, x, y, 0, 0, 0);
}

/* Operations from v128 to a v64 of lanes half as wide. */
static inline IrVal vnarrow(Tr *t, IrOp op, IrType lane, u8 sub, IrVal x)
{
    return ir_emit(t->b, op, IR_V64, lane, sub, x, 0, 0, 0, 0);
}

/* -- Registers */

/* Register n as a vector: 128 bits, or 64 if q is clear or only a scalar is wanted. */
static inline IrVal get_lanes(Tr *t, bool scalar, bool q, unsigned n)
{
    return get_v(t, vector_type(q && !scalar), n);
}

/* Writes a vector, or only its lane 0 of 8 << size bits. */
static inline void put_lanes(Tr *t, bool scalar, unsigned size, unsigned d, IrVal value)
{
    put_v(t, d, scalar && size < 3 ? ir_trunc(t->b, lane_type(size), value) : value);
}

/* The half of register n that "long" instructions take: low, or high if q (the ...2 forms). */
static inline IrVal get_half(Tr *t, bool q, unsigned n)
{
    return q ? ir_unary(t->b, IR_VHIGH, IR_V64, get_v128(t, n)) : get_v64(t, n);
}

/* The result of "narrow" instructions: to the low half, clearing the rest, or to the high half
 * only. */
static inline void put_half(Tr *t, bool q, unsigned d, IrVal value)
{
    put_v(t, d,
          q ? ir_emit(t->b, IR_VCAT, IR_V128, IR_VOID, 0, get_v64(t, d), value, 0, 0, 0) : value);
}

/* Lane `index` of register m in every lane of a v64, or of a v128 if q. */
static inline IrVal get_element(Tr *t, bool q, unsigned size, s64 m, s64 index)
{
    IrType lane = lane_type(size);
    IrVal element = ir_vget(t, lane, lane, get_v128(t, (unsigned)m), (unsigned)index);

    return ir_vsplat(t, vector_type(q), lane, element);
}

/* -- Saturation: simd_saturate.c */

/* FPSR.QC |= (any bit of v128 or v64 `mask` is set). Counts lane 0 of 8 << size bits only if
 * scalar. */
void note_saturation(Tr *t, bool scalar, unsigned size, IrVal mask) AARCH64_NAME(note_saturation);

#endif
