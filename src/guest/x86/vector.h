/* What the handlers of MMX, SSE and AVX share: how rows name an operation, operations on the type
 * of their operands, and operands of raw rows.
 *
 * A handler sees one v64 (MMX) or v128 at a time: common code calls it for each half of a YMM
 * operation. A scalar operation works on f32 or f64 and never on unused lanes, which could raise
 * exceptions. Must not be included outside this folder. */
#ifndef GUEST_X86_VECTOR_H
#define GUEST_X86_VECTOR_H

#include "guest/x86/translate.h"

/* -- Arguments of rows: an IR operation, the lane type it acts on, and its sub */

#define LANES(op, lane) ((unsigned)IR_##op | (unsigned)IR_##lane << 8)
#define LANES_SUB(op, lane, sub) (LANES(op, lane) | (unsigned)(sub) << 16)

static inline IrOp arg_op(const Tr *t)
{
    return (IrOp)(t->arg & 0xff);
}

static inline IrType arg_lane(const Tr *t)
{
    return (IrType)(t->arg >> 8 & 0xff);
}

static inline u8 arg_sub(const Tr *t)
{
    return (u8)(t->arg >> 16);
}

/* -- Operations, with the type taken from x; a scalar has no lanes */

static inline IrVal vop3(Tr *t, IrOp op, IrType lane, u8 sub, u64 imm, IrVal x, IrVal y, IrVal z)
{
    IrType type = ir_type_of(t->b, x);

    return ir_emit(t->b, op, type, ir_type_is_vector(type) ? lane : IR_VOID, sub, x, y, z, imm, 0);
}

static inline IrVal vop(Tr *t, IrOp op, IrType lane, IrVal x, IrVal y)
{
    return vop3(t, op, lane, 0, 0, x, y, 0);
}

static inline IrVal vop_sub(Tr *t, IrOp op, IrType lane, u8 sub, IrVal x, IrVal y)
{
    return vop3(t, op, lane, sub, 0, x, y, 0);
}

static inline IrVal vop_imm(Tr *t, IrOp op, IrType lane, IrVal x, IrVal y, u64 imm)
{
    return vop3(t, op, lane, 0, imm, x, y, 0);
}

/* Operations whose result has another type than their operands. */
static inline IrVal vop_to(Tr *t, IrOp op, IrType type, IrType lane, u8 sub, IrVal x)
{
    return ir_emit(t->b, op, type, lane, sub, x, 0, 0, 0, 0);
}

/* Lane `index` as `type`: the lane type or a wider integer. */
static inline IrVal vget(Tr *t, IrType type, IrType lane, IrVal v, unsigned index)
{
    return ir_emit(t->b, IR_VGET, type, lane, 0, v, 0, 0, index, 0);
}

static inline IrVal vset(Tr *t, IrVal v, IrType lane, unsigned index, IrVal x)
{
    return ir_emit(t->b, IR_VSET, ir_type_of(t->b, v), lane, 0, v, x, 0, index, 0);
}

static inline IrVal vsplat(Tr *t, IrType type, IrType lane, IrVal x)
{
    return ir_emit(t->b, IR_VSPLAT, type, lane, 0, x, 0, 0, 0, 0);
}

static inline IrVal vzero(Tr *t)
{
    return ir_const_v128(t->b, 0, 0);
}

/* Bytes n.. of x, with zeros behind them. */
static inline IrVal vskip(Tr *t, IrVal x, unsigned n)
{
    return n ? vop_imm(t, IR_VEXT, IR_I8, x, vzero(t), n) : x;
}

/* -- Operands */

/* Operands of a VEX encoding: a destination that is not a source, upper bits zeroed. */
static inline bool is_vex(const Tr *t)
{
    return t->i->vector_size != 0;
}

/* The last operand read: the second source, which is the only one of legacy encodings of unary
 * operations. */
static inline IrVal last_source(const Tr *t)
{
    unsigned n = COUNT(t->src) - 1;

    while (n && !t->src[n]) {
        n--;
    }
    return t->src[n];
}

/* The last operand, an immediate byte. */
static inline unsigned vector_immediate(const Tr *t)
{
    return (u8)t->i->operand[t->i->operand_count - 1].value;
}

/* -- vector_operands.c */

typedef void VectorHandler(Tr *t);

/* Whether the instruction may use the registers it names, by CR0, CR4 and XCR0; ends the block with
 * #UD or #NM if not. */
bool vector_available(Tr *t) X86_NAME(vector_available);
/* MMX instructions wait for exceptions of the x87: #MF if one is pending. */
void check_x87(Tr *t) X86_NAME(check_x87);
/* Common code of rows with vector operands that are not raw. */
void translate_vector(Tr *t, VectorHandler *handler) X86_NAME(translate_vector);

/* Half `half` of operand n, a vector register or memory: v128. Memory need not be
 * aligned. */
IrVal read_half(Tr *t, unsigned n, unsigned half) X86_NAME(read_half);
/* The same, but memory of legacy encodings must be aligned. */
IrVal read_checked_half(Tr *t, unsigned n, unsigned half) X86_NAME(read_checked_half);
/* #GP(0) unless the memory operand is aligned to `size` bytes. */
void check_vector_alignment(Tr *t, unsigned size) X86_NAME(check_vector_alignment);
/* Writes vector register n. `high` is 0 where there is no upper half: legacy encodings leave that
 * alone, VEX encodings clear it. Integers and v64 are zero-extended to v128. */
void write_halves(Tr *t, unsigned n, IrVal low, IrVal high) X86_NAME(write_halves);
/* Writes a scalar f32, f64, or an integer as one, into the low lane of register n, the other lanes
 * coming from register `merge`. */
void write_scalar(Tr *t, unsigned n, unsigned merge, IrVal value) X86_NAME(write_scalar);
/* What every MMX instruction but EMMS does to the x87 registers: TOP = 0, all valid. After what
 * may fault. */
void enter_mmx(Tr *t) X86_NAME(enter_mmx);

/* Around raw floating-point operations: with unmasked exceptions, raises #XM for what happened in
 * between. end_float() takes what begin_float() returned; it comes before anything the instruction
 * changes. */
IrVal begin_float(Tr *t) X86_NAME(begin_float);
void end_float(Tr *t, IrVal begun) X86_NAME(end_float);

#endif
