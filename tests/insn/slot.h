/* The file format between maker, runner and driver of the random instruction test, and the places
 * in memory that all of them know. Integers are little-endian.
 * Included by arm64 and host programs and by assembler sources. */
#ifndef TESTS_INSN_SLOT_H
#define TESTS_INSN_SLOT_H

/* Fixed, so that addresses in registers are the same under every emulator. */
#define CODE_ADDRESS 0x6000000 /* within reach of a branch to leave() */
#define MEMORY_ADDRESS 0x30000000
#define MEMORY_SIZE 2048

/* The register that memory instructions use as base holds an address near the middle of the memory,
 * as the stack pointer does; the index register holds a small number. */
#define BASE_REGISTER 28
#define INDEX_REGISTER 27

#define SLOT_WORDS 12
/* Flags: an instruction accesses memory; one may end a translated block, so that NZCV at a fault
 * behind it may be older if nothing would have read it any more (lookahead.c). */
#define SLOT_MEMORY 1
#define SLOT_BLOCKS 2

#ifndef __ASSEMBLER__
#include <stdint.h>

/* A few instructions to be executed in a row from a state that `seed` determines. */
typedef struct Slot {
    uint64_t seed;
    uint32_t fpcr;
    uint16_t count; /* words in use */
    uint16_t flags;
    uint32_t words[SLOT_WORDS];
} Slot;

/* What one slot leaves behind. */
typedef struct State {
    uint64_t x[31];
    uint64_t sp, nzcv, fpcr, fpsr;
    uint64_t signal; /* that ended it; 0 */
    uint64_t fault;  /* the word at which, from 0 */
    uint64_t code;   /* si_code of the signal */
    uint64_t v[32][2];
    uint64_t memory[MEMORY_SIZE / 8];
} State;
#endif

/* Offsets into State for assembler. */
#define STATE_SP 248
#define STATE_NZCV 256
#define STATE_FPCR 264
#define STATE_FPSR 272
#define STATE_V 304

#endif
