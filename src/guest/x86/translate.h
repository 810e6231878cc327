/* What every x86 instruction handler works with: the translation in progress, operands, flags,
 * addresses and block ends, as short functions that emit IR.
 *
 * A handler `tr_<NAME>(Tr *t)` says what the rows of that name in the opcode maps mean, for all
 * their widths, modes, prefixes and vector lengths. Common code (operands.c) does the rest, in this
 * order:
 *   1. reads every operand that the row marks as read into t->src[0], [1]..., in the manual's order
 *      (so `ADD rw:Ev,Gv` gives src[0] = Ev, src[1] = Gv; `VPADDB w:Vx,Hx,Wx` gives src[0] = Hx,
 *      src[1] = Wx; legacy `PADDB rw:Vx,Wx` gives the same two), each at its operand's width:
 * i8..i64, f32 or f64 for scalar floats, v64 for MMX, v128 for vectors; immediates are constants of
 * the width of the first operand. Under LOCK src[0] is the old value from one atomic operation that
 * the row's `lock=` names;
 *   2. calls the handler, which sets t->out (and t->out2 for a second written operand) and, if it
 *      changes status flags, t->flags; for vectors, once per 128-bit half (t->half 0, then 1), all
 *      sources having been loaded before;
 *   3. writes t->out to the operand marked as written (32-bit results zero-extended, 8 and 16 bits
 * merged; vectors: legacy SSE keeps bits above 127, VEX zeroes what it does not write; a scalar
 *      replaces the low lane of the first source register), all halves after the last handler call;
 *   4. puts t->flags: a store that faults leaves flags and registers alone.
 * Rows marked `raw` skip 1, 3 and 4: the handler uses the functions below itself, under these
 * rules:
 *  - operations that may fault come before the first put;
 *  - registers are read before any is written;
 *  - an instruction that ends the block emits its terminator through the functions below;
 *  - what decodes but is not to be executed goes to tr_undefined() or end_exception().
 *
 * Must not include host/ or exec/. */
#ifndef GUEST_X86_TRANSLATE_H
#define GUEST_X86_TRANSLATE_H

#include "guest/guest.h"
#include "guest/x86/insn.h"
#include "guest/x86/mode.h"
#include "guest/x86/state.h"
#include "guest/x86/x86_insn.h"

/* Short names here, a guest's own for the linker: all guests share a binary. */
#define X86_NAME(name) __asm__("x86_ir_" #name)

/* A memory operand as LOAD and STORE take it. */
typedef struct X86Address {
    IrVal base, index; /* i64; index 0: none; base 0: not computed yet */
    u8 sub;            /* scale of the index, IR_MEM_WRAP32 */
    s64 offset;
} X86Address;

typedef struct Tr {
    IrBuilder *b; /* where IR goes: &g->b */
    GuestTranslation *g;
    const X86Insn *i;    /* the instruction being translated */
    unsigned arg;        /* the row's parameter: which of a group of like instructions it is */
    unsigned lock;       /* X86_LOCK_*: the atomic operation it does under LOCK */
    u64 pc;              /* its address (rip: without the segment base) */
    u64 next;            /* the next one's, truncated to the code size */
    u32 mode;            /* X86_MODE_*, see mode.h */
    const u64 *features; /* X86_FEATURE_* of the CPU */
    IrVal src[4];        /* operands read */
    IrVal out, out2;     /* 0: nothing to write */
    IrVal flags_out;     /* packed status flags after the instruction; 0: unchanged */
    unsigned half;       /* vectors: 0 for bits 127..0, 1 for bits 255..128 */
    bool x87_quiet;      /* no x87 exception is pending: an MMX instruction has checked it */
    bool ended;          /* the block has its terminator */
    X86Address address;  /* of the memory operand, once it is computed */
    IrVal flags;     /* status flags as last computed in this block, packed; 0: only in the slot */
    IrVal flags_put; /* their put, while it can still be taken back; 0 otherwise */
} Tr;

typedef void X86Handler(Tr *t);

#define SLOT(member) ((u32)offsetof(X86State, member))
#define SLOT_GPR(n) (SLOT(gpr) + 8 * (u32)(n))
#define SLOT_XMM(n) (SLOT(xmm) + 16 * (u32)(n))
#define SLOT_YMMH(n) (SLOT(ymmh) + 16 * (u32)(n))

/* -- Constants and widths */

static inline IrVal const32(Tr *t, u32 value)
{
    return ir_const(t->b, IR_I32, value);
}

static inline IrVal const64(Tr *t, u64 value)
{
    return ir_const(t->b, IR_I64, value);
}

/* IR_I8..IR_I64 of 1, 2, 4 or 8 bytes. */
static inline IrType type_of_size(unsigned bytes)
{
    return bytes == 1 ? IR_I8 : bytes == 2 ? IR_I16 : bytes == 4 ? IR_I32 : IR_I64;
}

/* Type of the operand size of this instruction, and of its address size. */
static inline IrType operand_type(const Tr *t)
{
    return type_of_size(t->i->operand_size);
}

static inline bool in_64_bit_mode(const Tr *t)
{
    return t->mode & X86_MODE_CODE64;
}

static inline IrType address_type(const Tr *t)
{
    return type_of_size(t->i->address_size);
}

/* Type of operand n (integers). */
static inline IrType type_of_operand(const Tr *t, unsigned n)
{
    return type_of_size(t->i->operand[n].size);
}

/* -- Registers */

/* Low bits of general register n as i8..i64. */
IrVal get_gpr(Tr *t, IrType type, unsigned n) X86_NAME(get_gpr);
/* Bits 15..8 of register n (0..3), as i8. */
IrVal get_gpr_high(Tr *t, unsigned n) X86_NAME(get_gpr_high);
/* Writes i8..i64: 32 bits zero-extend, 8 and 16 bits leave the rest alone. */
void put_gpr(Tr *t, unsigned n, IrVal value) X86_NAME(put_gpr);
void put_gpr_high(Tr *t, unsigned n, IrVal value) X86_NAME(put_gpr_high);

/* XMM register n or, with half 1, bits 255..128 of YMM n: v128, or the low bits as i32, i64, f32,
 * f64, v64. */
IrVal get_vector(Tr *t, IrType type, unsigned n, unsigned half) X86_NAME(get_vector);
/* Writes a v128 to a half, leaving the other alone. */
void put_vector(Tr *t, unsigned n, unsigned half, IrVal value) X86_NAME(put_vector);
/* MMX register n, as v64 or i64. Writing sets TOP, tags and the exponent as the manual says. */
IrVal get_mmx(Tr *t, IrType type, unsigned n) X86_NAME(get_mmx);
void put_mmx(Tr *t, unsigned n, IrVal value) X86_NAME(put_mmx);

/* -- Operands of raw rows */

/* Reads operand n as `type` (memory: so many bytes are loaded; registers: low bits). */
IrVal read_operand(Tr *t, unsigned n, IrType type) X86_NAME(read_operand);
/* Writes operand n (GPR, GPR_HIGH, MEMORY, VECTOR as common code would, MMX). */
void write_operand(Tr *t, unsigned n, IrVal value) X86_NAME(write_operand);
static inline bool is_memory(const Tr *t, unsigned n)
{
    return t->i->operand[n].kind == X86_OPERAND_MEMORY;
}

/* -- Addresses: linear unless said otherwise, as i64 */

/* The effective address of the memory operand without segment base, at the address size (LEA). */
IrVal effective_address(Tr *t) X86_NAME(effective_address);
/* Loads and stores at the instruction's memory operand plus `offset` bytes. */
IrVal load_memory(Tr *t, IrType type, s64 offset) X86_NAME(load_memory);
void store_memory(Tr *t, s64 offset, IrVal value) X86_NAME(store_memory);
/* The same of a v128, with #GP(0) unless the address is a multiple of 16. */
IrVal load_aligned(Tr *t, s64 offset) X86_NAME(load_aligned);
void store_aligned(Tr *t, s64 offset, IrVal value) X86_NAME(store_aligned);
/* Linear address of segment:offset; offset has the type of its address size. Checks limits
 * unless the segment is flat: an access of `size` bytes; `write` for the checks of rights. */
IrVal linear_address(Tr *t, unsigned segment, IrVal offset, unsigned size, bool write)
    X86_NAME(linear_address);
/* Loads and stores at a linear address (i64); in modes with 32-bit linear addresses it wraps. */
IrVal load_linear(Tr *t, IrType type, IrVal linear, s64 offset) X86_NAME(load_linear);
void store_linear(Tr *t, IrVal linear, s64 offset, IrVal value) X86_NAME(store_linear);

/* -- Stack (SS, at the stack's address size). push() and pop() move the stack pointer: pop()'s put
 * comes after the load; for instructions with more than one access use stack_peek() and
 * move_stack(). */
void push(Tr *t, IrVal value) X86_NAME(push);
/* The value at rSP + offset. */
IrVal stack_peek(Tr *t, IrType type, s64 offset) X86_NAME(stack_peek);
void stack_poke(Tr *t, s64 offset, IrVal value) X86_NAME(stack_poke);
/* rSP += bytes. */
void move_stack(Tr *t, s64 bytes) X86_NAME(move_stack);

/* -- Flags and conditions */

/* Makes the status flags the packed value (what common code does with t->flags_out). */
void set_flags(Tr *t, IrVal flags) X86_NAME(set_flags);
/* Status flags, packed. To be called only in IR blocks that every path through the instruction
 * takes. */
IrVal get_flags(Tr *t) X86_NAME(get_flags);
/* An i32 0 or 1: condition 0..15 as Jcc encodes it. */
IrVal condition(Tr *t, unsigned code) X86_NAME(condition);
/* CF as an i32 0 or 1. */
IrVal carry(Tr *t) X86_NAME(carry);
/* `from` with the IR_FLAG_* bits of `mask` taken from `changed`. */
IrVal pick_flags(Tr *t, u32 mask, IrVal changed, IrVal from) X86_NAME(pick_flags);

/* -- IR blocks inside an instruction */

u32 new_block(Tr *t) X86_NAME(new_block);
void enter_block(Tr *t, u32 block) X86_NAME(enter_block);
/* Leaves with a fault at this instruction if condition (i32) != 0; before anything it changes. */
void fault_if(Tr *t, IrVal condition, unsigned vector, bool has_error, unsigned error)
    X86_NAME(fault_if);

/* -- Block ends. None of the instruction's effects may come after them. */

void end_goto(Tr *t, u64 target) X86_NAME(end_goto);
/* condition != 0: to `target`, else to the next instruction. */
void end_branch(Tr *t, IrVal condition, u64 target) X86_NAME(end_branch);
/* A near call whose return address is pushed already. */
void end_call(Tr *t, u64 target) X86_NAME(end_call);
/* Indirect: op is IR_IGOTO, IR_IGOTO_CALL or IR_IGOTO_RET; target is i16..i64. */
void end_indirect(Tr *t, IrOp op, IrVal target) X86_NAME(end_indirect);
void end_exit(Tr *t, IrExit kind, u64 pc, u64 code) X86_NAME(end_exit);
/* After an instruction that changed the mode: look up the next one again. */
void end_resync(Tr *t) X86_NAME(end_resync);
/* The same where the next instruction is the one that the state's rip says. */
void end_redirect(Tr *t) X86_NAME(end_redirect);
/* Raises an exception: a fault at this instruction. */
void end_exception(Tr *t, unsigned vector, bool has_error, unsigned error) X86_NAME(end_exception);
/* #UD, and a line under -d unimp when `why` is not NULL. */
void tr_undefined(Tr *t, const char *why) X86_NAME(tr_undefined);

/* -- Helpers: calls helper `index` (helpers.h). */

/* Calls a helper that may raise an exception: it returns 0, or the code word of the exception to
 * raise at this instruction; state it changed stays. Before anything else the instruction changes.
 */
void call_raising(Tr *t, u32 index, IrVal w, IrVal x, IrVal y, IrVal z) X86_NAME(call_raising);

#endif
