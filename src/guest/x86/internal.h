/* What the files of the x86 translator share beside translate.h.
 * Must not be included outside this folder and its tests. */
#ifndef GUEST_X86_INTERNAL_H
#define GUEST_X86_INTERNAL_H

#include "guest/x86/translate.h"

/* The code word of an exception: see state.h. */
static inline u32 x86_exception_word(unsigned vector, bool has_error, unsigned error)
{
    return vector | X86_EXCEPTION_RAISED |
           (has_error ? X86_EXCEPTION_HAS_ERROR | (u32)error << 16 : 0);
}

/* An integer cut or zero-extended to a type. */
static inline IrVal resize(Tr *t, IrType type, IrVal x)
{
    return ir_type_of(t->b, x) > type ? ir_trunc(t->b, type, x) : ir_zext(t->b, type, x);
}

/* GuestSystem.code_address. `context` is the code segment's base and, in its high half, limit; of
 * no meaning in 64-bit mode; 0 for programs in Linux's own code segments. */
static inline u64 x86_code_address(u64 context, u32 mode, u64 pc)
{
    return mode & X86_MODE_CODE64 ? pc : (u32)(pc + context);
}

/* Last valid offset in the code segment of a translation. */
static inline u64 x86_code_limit(const GuestTranslation *g)
{
    bool limited = (g->mode & X86_MODE_SYSTEM || g->context) && !(g->mode & X86_MODE_CODE64);

    return limited ? g->context >> 32 : ~(u64)0;
}

/* What decoding depends on in a translation mode. */
X86DecodeMode x86_decode_mode(u32 mode, const u64 *features);

/* Whether accesses to a segment need no checks. */
bool is_unchecked_segment(const Tr *t, unsigned segment, bool write) X86_NAME(is_unchecked_segment);
/* The type of rSP as the stack's size has it. */
IrType stack_type(const Tr *t) X86_NAME(stack_type);
/* Loads a segment register with a selector (i16), or raises. */
void move_to_segment(Tr *t, unsigned segment, IrVal selector) X86_NAME(move_to_segment);
/* The same, inline in real-address mode. */
void load_segment(Tr *t, unsigned segment, IrVal selector) X86_NAME(load_segment);
/* What MOV and POP to a segment register end with. */
void end_segment_load(Tr *t, unsigned segment) X86_NAME(end_segment_load);
/* Between the elements of a repeated string instruction (on), and behind the last: EFLAGS.RF. */
void mark_repetition(Tr *t, bool on) X86_NAME(mark_repetition);

/* #GP(0) unless an i64 is a canonical address for the paging mode in force, or one that a register
 * may hold: then 57 bits count if the CPU has CR4.LA57, set or not. */
void fault_unless_canonical(Tr *t, IrVal address) X86_NAME(fault_unless_canonical);
void fault_unless_base(Tr *t, IrVal address) X86_NAME(fault_unless_base);
/* #GP(0) where CR4.UMIP keeps instructions that tell of the system from programs. */
void check_umip(Tr *t) X86_NAME(check_umip);
/* #GP(0) unless the bit of CR4, X86_CR4_VME or X86_CR4_PVI, is set. */
void check_virtual_interrupts(Tr *t, u32 feature) X86_NAME(check_virtual_interrupts);
/* EFLAGS as PUSHF and SYSCALL see it: i32. */
IrVal get_eflags(Tr *t) X86_NAME(get_eflags);

/* Address of `size` bytes at the memory operand plus `offset`, as LOAD and STORE take it. */
X86Address memory_address(Tr *t, s64 offset, unsigned size, bool write) X86_NAME(memory_address);
/* The linear address of the memory operand, for other accesses to `size` bytes than LOAD's and
 * STORE's. `alignment` is what it must be a multiple of where that is checked. */
IrVal operand_address(Tr *t, unsigned size, unsigned alignment, bool write)
    X86_NAME(operand_address);
/* Checks alignment of, and breakpoints on, a linear address that is accessed by other means. */
void watch_linear(Tr *t, IrVal linear, unsigned size, bool write) X86_NAME(watch_linear);
/* As load_linear() and store_linear(), for parts of an operand: no alignment is checked. */
IrVal load_part_of(Tr *t, IrType type, IrVal linear, s64 offset) X86_NAME(load_part_of);
void store_part_of(Tr *t, IrVal linear, s64 offset, IrVal value) X86_NAME(store_part_of);
/* Faults unless a value can be stored at linear + offset, or in operand 0, and stores nothing: for
 * instructions that otherwise would find out too late. */
void touch_linear(Tr *t, IrType type, IrVal linear, s64 offset) X86_NAME(touch_linear);
void touch_operand(Tr *t) X86_NAME(touch_operand);

/* Atomic operations at a linear address; return the old value. */
IrVal atomic(Tr *t, IrRmw op, IrVal address, IrVal operand) X86_NAME(atomic);
IrVal compare_and_swap(Tr *t, IrVal address, IrVal expected, IrVal value)
    X86_NAME(compare_and_swap);

/* Goes on with the next instruction after one that may let interrupts come in, which are noticed
 * before it. */
void end_polling(Tr *t) X86_NAME(end_polling);
/* The same from the current IR block, in which nothing may follow. */
void emit_polling(Tr *t) X86_NAME(emit_polling);
/* After an instruction with which an interrupt shadow begins: if an interrupt waits (`when`, an
 * i32, is not 0 or absent), the next instruction is executed before it. */
void begin_shadow(Tr *t, IrVal when) X86_NAME(begin_shadow);
/* The end of one that this instruction is in. To be called before exits that no other function
 * here makes. */
void leave_shadow(Tr *t) X86_NAME(leave_shadow);
/* As end_resync(), for instructions after which no debug trap is taken. */
void end_resync_quietly(Tr *t) X86_NAME(end_resync_quietly);

/* Leaves to a guest address from the current IR block, in which nothing may follow; interrupts are
 * noticed where control may go round in a loop. */
void emit_goto(Tr *t, u64 target) X86_NAME(emit_goto);

/* The same to the next instruction, whose mode may be another. */
void emit_resync(Tr *t) X86_NAME(emit_resync);

/* The latest put of the flags turns out not to be needed, if it can still be taken back. */
void drop_flags_put(Tr *t) X86_NAME(drop_flags_put);

/* Reads, calls the handler, writes: for rows that are not raw. */
void translate_common(Tr *t, void (*handler)(Tr *t)) X86_NAME(translate_common);

/* translate.c: Guest.translate. */
void x86_translate_block(GuestTranslation *g);
/* Fetches and decodes the instruction at pc. X86_DECODE_SHORT: it could not be fetched. */
X86DecodeResult x86_fetch_insn(GuestTranslation *g, const X86DecodeMode *mode, u64 pc,
                               X86Insn *insn);

/* lookahead.c: Guest.flags_dead. */
bool x86_flags_dead(GuestTranslation *g, u64 pc);

/* system.c */
extern const GuestSystem x86_system;

/* -- registers.c: Guest.debug */
const GuestDebug *x86_debug(const void *state);

/* state.c */
void x86_reset(void *state, CpuCommon *common);

#endif
