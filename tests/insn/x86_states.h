/* Random contents of registers and memory for x86 code: they lean to the extremes. */
#ifndef TESTS_INSN_X86_STATES_H
#define TESTS_INSN_X86_STATES_H

#include "guest/x86/state.h"
#include "x86_case.h"
#include "x86_segments.h"

/* Registers that random instructions use for addresses: the base points into the data, the index
 * is small. */
enum { X86_BASE_REGISTER = X86_RBX };
static inline u8 x86_index_register(X86Environment environment)
{
    return environment == X86_FLAT64 ? 9 : X86_RBP;
}

/* All but rip and segments. */
void x86_random_registers(u64 *seed, X86Environment environment, X86Registers *r);
void x86_random_memory(u64 *seed, u8 memory[X86_DATA_SIZE]);
void x86_random_scratch(u64 *seed, u8 scratch[X86_SCRATCH_SIZE]);

#endif
