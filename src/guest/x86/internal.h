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

/* What decoding depends on in a translation mode. */
X86DecodeMode x86_decode_mode(u32 mode, const u64 *features);

/* The linear address of the memory operand, for atomic operations on `size` bytes. */
IrVal operand_address(Tr *t, unsigned size, bool write) X86_NAME(operand_address);

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

/* state.c */
void x86_reset(void *state, CpuCommon *common);

#endif
