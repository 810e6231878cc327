/* Building IR: short constructors that append to the current block.
 *
 * A translator holds an IrBuilder; `block` is where instructions go. Constructors do no
 * optimisation: ir/fold.c is the one place for that.
 * Must not know guests. */
#ifndef IR_BUILD_H
#define IR_BUILD_H

#include "ir/ir.h"

typedef struct IrBuilder {
    IrRegion *region;
    u32 block;
} IrBuilder;

/* Appends an instruction; what the fields mean is the operation's business (ops.def). */
IrVal ir_emit(IrBuilder *b, IrOp op, IrType type, IrType lane, u8 sub, IrVal x, IrVal y, IrVal z,
              u64 imm, u64 imm2);

static inline IrType ir_type_of(const IrBuilder *b, IrVal v)
{
    return (IrType)b->region->insns[v].type;
}

/* Constants. Narrow types keep only their low bits in imm. */
IrVal ir_const(IrBuilder *b, IrType type, u64 value);
IrVal ir_const_v128(IrBuilder *b, u64 low, u64 high);

static inline IrVal ir_get(IrBuilder *b, IrType type, u32 offset)
{
    return ir_emit(b, IR_GET, type, IR_VOID, 0, 0, 0, 0, offset, 0);
}

static inline void ir_put(IrBuilder *b, u32 offset, IrVal value)
{
    ir_emit(b, IR_PUT, ir_type_of(b, value), IR_VOID, 0, value, 0, 0, offset, 0);
}

static inline IrVal ir_unary(IrBuilder *b, IrOp op, IrType type, IrVal x)
{
    return ir_emit(b, op, type, IR_VOID, 0, x, 0, 0, 0, 0);
}

/* Most two-operand operations on scalars: the type is the operands'. */
static inline IrVal ir_binary(IrBuilder *b, IrOp op, IrVal x, IrVal y)
{
    return ir_emit(b, op, ir_type_of(b, x), IR_VOID, 0, x, y, 0, 0, 0);
}

static inline IrVal ir_add(IrBuilder *b, IrVal x, IrVal y)
{
    return ir_binary(b, IR_ADD, x, y);
}
static inline IrVal ir_sub(IrBuilder *b, IrVal x, IrVal y)
{
    return ir_binary(b, IR_SUB, x, y);
}
static inline IrVal ir_and(IrBuilder *b, IrVal x, IrVal y)
{
    return ir_binary(b, IR_AND, x, y);
}
static inline IrVal ir_or(IrBuilder *b, IrVal x, IrVal y)
{
    return ir_binary(b, IR_OR, x, y);
}
static inline IrVal ir_xor(IrBuilder *b, IrVal x, IrVal y)
{
    return ir_binary(b, IR_XOR, x, y);
}

/* Lane-wise operations: type and lane given, with sub and imm as the operation wants them. */
static inline IrVal ir_vector(IrBuilder *b, IrOp op, IrType type, IrType lane, u8 sub, IrVal x,
                              IrVal y, u64 imm)
{
    return ir_emit(b, op, type, lane, sub, x, y, 0, imm, 0);
}

/* Conversions; each returns its argument when it already has the type. */
static inline IrVal ir_convert(IrBuilder *b, IrOp op, IrType type, IrVal x)
{
    return ir_type_of(b, x) == type ? x : ir_unary(b, op, type, x);
}
static inline IrVal ir_trunc(IrBuilder *b, IrType type, IrVal x)
{
    return ir_convert(b, IR_TRUNC, type, x);
}
static inline IrVal ir_zext(IrBuilder *b, IrType type, IrVal x)
{
    return ir_convert(b, IR_ZEXT, type, x);
}
static inline IrVal ir_sext(IrBuilder *b, IrType type, IrVal x)
{
    return ir_convert(b, IR_SEXT, type, x);
}
static inline IrVal ir_bitcast(IrBuilder *b, IrType type, IrVal x)
{
    return ir_convert(b, IR_BITCAST, type, x);
}

static inline IrVal ir_cmp(IrBuilder *b, IrCmp cmp, IrVal x, IrVal y)
{
    return ir_emit(b, IR_CMP, IR_I32, IR_VOID, (u8)cmp, x, y, 0, 0, 0);
}

static inline IrVal ir_select(IrBuilder *b, IrVal condition, IrVal x, IrVal y)
{
    return ir_emit(b, IR_SELECT, ir_type_of(b, x), IR_VOID, 0, condition, x, y, 0, 0);
}

static inline IrVal ir_cond(IrBuilder *b, IrCond cond, IrVal flags)
{
    return ir_emit(b, IR_COND, IR_I32, IR_VOID, (u8)cond, flags, 0, 0, 0, 0);
}

/* Packed flags of an operation on two operands: FLAGS_ADD, FLAGS_SUB, FLAGS_BT ... */
static inline IrVal ir_flags(IrBuilder *b, IrOp op, IrVal x, IrVal y)
{
    return ir_emit(b, op, IR_I32, IR_VOID, 0, x, y, 0, 0, 0);
}

/* The same of an operation that takes flags, or a carry, as its third operand. */
static inline IrVal ir_flags3(IrBuilder *b, IrOp op, IrVal x, IrVal y, IrVal flags)
{
    return ir_emit(b, op, IR_I32, IR_VOID, 0, x, y, flags, 0, 0);
}

/* The flags in `mask` (IR_FLAG_*) of x, the others of y. */
static inline IrVal ir_flags_pick(IrBuilder *b, u32 mask, IrVal x, IrVal y)
{
    return ir_emit(b, IR_FLAGS_PICK, IR_I32, IR_VOID, 0, x, y, 0, mask, 0);
}

/* Guest memory at base + offset. */
static inline IrVal ir_load(IrBuilder *b, IrType type, u8 sub, IrVal base, s64 offset)
{
    return ir_emit(b, IR_LOAD, type, IR_VOID, sub, base, 0, 0, (u64)offset, 0);
}

static inline void ir_store(IrBuilder *b, u8 sub, IrVal base, s64 offset, IrVal value)
{
    ir_emit(b, IR_STORE, ir_type_of(b, value), IR_VOID, sub, base, 0, value, (u64)offset, 0);
}

/* Calls helper number `index` with up to four arguments (0 = absent). */
static inline IrVal ir_call(IrBuilder *b, IrType result, u32 index, IrVal w, IrVal x, IrVal y,
                            IrVal z)
{
    return ir_append(
        b->region, b->block,
        &(IrInsn){.op = IR_CALL, .type = (u8)result, .arg = {w, x, y, z}, .imm = index});
}

/* Starts a guest instruction of `size` bytes at `pc`. */
static inline void ir_mark_insn(IrBuilder *b, u64 pc, u32 size)
{
    ir_emit(b, IR_INSN, IR_VOID, IR_VOID, (u8)size, 0, 0, 0, pc, 0);
}

/* Terminators. */
void ir_jump(IrBuilder *b, u32 target);
void ir_branch(IrBuilder *b, IrVal condition, u32 taken, u32 otherwise);

static inline void ir_goto(IrBuilder *b, u64 pc, bool poll)
{
    ir_emit(b, IR_GOTO, IR_VOID, IR_VOID, poll ? IR_POLL : 0, 0, 0, 0, pc, 0);
}

static inline void ir_exit(IrBuilder *b, IrExit kind, u64 pc, u64 code)
{
    ir_emit(b, IR_EXIT, IR_VOID, IR_VOID, (u8)kind, 0, 0, 0, pc, code);
}

#endif
