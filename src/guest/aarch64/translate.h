/* What every AArch64 instruction handler works with: the translation in progress, guest registers,
 * flags, addresses and block ends, as short functions that emit IR.
 *
 * A handler `tr_<format>(Tr *t, const A_<format> *a)` (prototypes: the generated
 * aarch64_insn.h) says what
 * one row of the .isa tables means. Its rules:
 *  - operations that may fault (memory, floating point) come before the first put, so that a fault
 *    finds the registers as they were when the instruction began: base write-back comes last;
 *  - registers are read before any is written (source and destination may be the same);
 *  - an instruction that ends the block emits its terminator through the functions below;
 *  - what decodes but is not to be executed goes to tr_undefined().
 * Slots are always read and written whole: 32-bit results are zero-extended to their x register,
 * scalar and 64-bit vector results to their v register. The optimiser removes what is not needed.
 *
 * Must not include host/ or exec/. */
#ifndef GUEST_AARCH64_TRANSLATE_H
#define GUEST_AARCH64_TRANSLATE_H

#include "guest/aarch64/aarch64_insn.h"
#include "guest/aarch64/state.h"
#include "guest/guest.h"

/* Short names here, a guest's own for the linker: all guests share a binary. */
#define AARCH64_NAME(name) __asm__("aarch64_" #name)

struct Tr {
    IrBuilder *b; /* where IR goes: &g->b */
    GuestTranslation *g;
    u64 pc;          /* of the instruction being translated */
    u32 word;        /* its encoding */
    bool ended;      /* the block has its terminator */
    IrVal flags;     /* NZCV as last computed in this block, packed; 0: only in the slot */
    IrVal flags_put; /* its put, while it can still be taken back; 0 otherwise */
};

/* The register number that means zero, or the stack pointer, by instruction. */
enum { REG_ZERO = 31, REG_SP = 31 };

#define SLOT(member) ((u32)offsetof(Aarch64State, member))
#define SLOT_X(n) ((u32)offsetof(Aarch64State, x) + 8 * (u32)(n)) /* 31: sp, which follows x30 */
#define SLOT_V(n) ((u32)offsetof(Aarch64State, v) + 16 * (u32)(n))

/* -- Constants */

static inline IrVal const_w(Tr *t, u32 value)
{
    return ir_const(t->b, IR_I32, value);
}

static inline IrVal const_x(Tr *t, u64 value)
{
    return ir_const(t->b, IR_I64, value);
}

/* -- General registers. `type` is IR_I32 (W view) or IR_I64 (X view). */

static inline IrType width_type(bool sf)
{
    return sf ? IR_I64 : IR_I32;
}

/* Reads register n; 31 reads as zero. */
IrVal get_r(Tr *t, IrType type, unsigned n) AARCH64_NAME(get_r);
/* Reads register n; 31 is the stack pointer. */
IrVal get_r_sp(Tr *t, IrType type, unsigned n) AARCH64_NAME(get_r_sp);
/* Writes an i8..i64 value, zero-extended to 64 bits; 31 discards it. */
void put_r(Tr *t, unsigned n, IrVal value) AARCH64_NAME(put_r);
/* The same; 31 is the stack pointer. */
void put_r_sp(Tr *t, unsigned n, IrVal value) AARCH64_NAME(put_r_sp);

static inline IrVal get_x(Tr *t, unsigned n)
{
    return get_r(t, IR_I64, n);
}

static inline IrVal get_w(Tr *t, unsigned n)
{
    return get_r(t, IR_I32, n);
}

static inline IrVal get_x_sp(Tr *t, unsigned n)
{
    return get_r_sp(t, IR_I64, n);
}

/* -- Vector registers */

/* The low bits of V register n as any type: i8..i64, f32, f64, v64, v128. */
IrVal get_v(Tr *t, IrType type, unsigned n) AARCH64_NAME(get_v);
/* Writes a value of any of these types; the register's upper bits become zero. */
void put_v(Tr *t, unsigned n, IrVal value) AARCH64_NAME(put_v);

static inline IrVal get_f32(Tr *t, unsigned n)
{
    return get_v(t, IR_F32, n);
}

static inline IrVal get_f64(Tr *t, unsigned n)
{
    return get_v(t, IR_F64, n);
}

static inline IrVal get_v64(Tr *t, unsigned n)
{
    return get_v(t, IR_V64, n);
}

static inline IrVal get_v128(Tr *t, unsigned n)
{
    return get_v(t, IR_V128, n);
}

/* v64 or v128, as the Q bit of vector instructions says. */
static inline IrType vector_type(bool q)
{
    return q ? IR_V128 : IR_V64;
}

/* Integer lane type of 8 << size bits (size 0..3), and float lane type (size bit: f64). */
static inline IrType lane_type(unsigned size)
{
    return (IrType)(IR_I8 + size);
}

static inline IrType float_type(bool is_double)
{
    return is_double ? IR_F64 : IR_F32;
}

/* -- Operands */

/* shared/functions: ShiftReg(). kind 0 LSL, 1 LSR, 2 ASR, 3 ROR. */
IrVal shift_imm(Tr *t, IrVal value, unsigned kind, unsigned amount) AARCH64_NAME(shift_imm);
/* ExtendReg() on register m: option 0..7 = UXTB UXTH UXTW UXTX SXTB SXTH SXTW SXTX, then << shift.
 */
IrVal extend_reg(Tr *t, IrType type, unsigned m, unsigned option, unsigned shift)
    AARCH64_NAME(extend_reg);

/* -- Flags and conditions */

/* Makes NZCV the packed flags value. */
void set_flags(Tr *t, IrVal flags) AARCH64_NAME(set_flags);
/* NZCV, packed. To be called only in IR blocks that every path through the instruction takes. */
IrVal get_flags(Tr *t) AARCH64_NAME(get_flags);
/* The latest put of the flags turns out not to be needed, if it can still be taken back. */
void drop_flags_put(Tr *t) AARCH64_NAME(drop_flags_put);
/* An i32 0 or 1: condition 0..13 of the instruction set holds; 14 and 15 give constant 1. */
IrVal condition(Tr *t, unsigned cond) AARCH64_NAME(condition);
/* PSTATE.C as an i32 0 or 1. */
IrVal carry(Tr *t) AARCH64_NAME(carry);

/* -- Memory */

typedef struct Address {
    IrVal base;
    IrVal index; /* 0: none */
    u8 scale;    /* shift of the index, 0..3 */
    s64 offset;
} Address;

/* [Xn|SP, #offset] */
Address address_imm(Tr *t, unsigned n, s64 offset) AARCH64_NAME(address_imm);
/* The same place `offset` bytes further. */
static inline Address address_plus(Address a, s64 offset)
{
    a.offset += offset;
    return a;
}
/* What the CPU makes of an address of data: the top byte goes in AARCH64_MODE_TAGGED. load() and
 * store() do it themselves. */
IrVal data_address(Tr *t, IrVal address) AARCH64_NAME(data_address);
/* Loads `type`; order: 0, or IR_MEM_ACQUIRE. */
IrVal load(Tr *t, IrType type, Address a, u8 order) AARCH64_NAME(load);
/* Stores the value at its type's width; order: 0, or IR_MEM_RELEASE. */
void store(Tr *t, Address a, IrVal value, u8 order) AARCH64_NAME(store);
/* Leaves with an alignment fault if the address is not a multiple of `size` bytes; translation
 * goes on in a new IR block. To be called before anything the instruction changes. */
void check_alignment(Tr *t, IrVal address, u32 size) AARCH64_NAME(check_alignment);

/* -- IR blocks inside a guest block */

/* A new IR block, for ir_branch(). */
u32 new_block(Tr *t) AARCH64_NAME(new_block);
/* Goes on in that block. */
void enter_block(Tr *t, u32 block) AARCH64_NAME(enter_block);

/* -- Block ends. None of the instruction's effects may come after them. */

/* Direct: to a guest address. */
void end_goto(Tr *t, u64 target) AARCH64_NAME(end_goto);
/* condition != 0: to `target`, else to the next instruction. */
void end_branch(Tr *t, IrVal condition, u64 target) AARCH64_NAME(end_branch);
/* A call: x30 is set already. */
void end_call(Tr *t, u64 target) AARCH64_NAME(end_call);
/* Leaves generated code: see IrExit. */
void end_exit(Tr *t, IrExit kind, u64 pc, u64 code) AARCH64_NAME(end_exit);
/* Indirect: op is IR_IGOTO, IR_IGOTO_CALL or IR_IGOTO_RET. */
void end_indirect(Tr *t, IrOp op, IrVal target) AARCH64_NAME(end_indirect);

/* Makes the instruction undefined: the guest gets SIGILL. */
void tr_undefined(Tr *t) AARCH64_NAME(tr_undefined);

#endif
