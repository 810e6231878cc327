/* A decoded x86 instruction: what the decoder makes of its bytes, and the disassembler and the
 * translator read.
 *
 * The decoder is generated from the opcode maps (the .opcodes files), written in the Intel manual's
 * codes; it consumes prefixes, ModRM, SIB, displacement and immediates, and says for each operand
 * what it is and how wide. It knows nothing of meaning. Must not depend on the translator. */
#ifndef GUEST_X86_INSN_H
#define GUEST_X86_INSN_H

#include "base/types.h"

enum { X86_INSN_MAX = 15, X86_OPERANDS = 4, X86_NO_REGISTER = 0xff };

/* What decoding depends on. */
typedef struct X86DecodeMode {
    u8 code_size;        /* bytes of default operand and address size: 2, 4, or 8 for 64-bit mode */
    bool real;           /* real-address or virtual-8086 mode: VEX and some opcodes do not exist */
    const u64 *features; /* bit set of X86_FEATURE_* that the CPU has */
} X86DecodeMode;

typedef enum X86OperandKind {
    X86_OPERAND_NONE,
    X86_OPERAND_GPR,       /* number 0..15 */
    X86_OPERAND_GPR_HIGH,  /* AH CH DH BH: number 0..3 of the register whose bits 15..8 it is */
    X86_OPERAND_MEMORY,    /* X86Insn.memory */
    X86_OPERAND_IMMEDIATE, /* value, sign- or zero-extended as the instruction does */
    X86_OPERAND_RELATIVE,  /* value: displacement from the next instruction */
    X86_OPERAND_FAR,       /* value: offset; the selector is X86Insn.selector */
    X86_OPERAND_SEGMENT,   /* number: X86_ES.. */
    X86_OPERAND_CONTROL,
    X86_OPERAND_DEBUG,
    X86_OPERAND_VECTOR, /* XMM or YMM register; size 16 or 32, or 4 or 8 for a scalar in it */
    X86_OPERAND_MMX,
    X86_OPERAND_ST,                 /* number: i of ST(i) */
    X86_OPERAND_CONSTANT,           /* value: the implied 1 of shifts */
    X86_OPERAND_STRING_SOURCE,      /* [rSI], in the segment X86Insn.memory.segment */
    X86_OPERAND_STRING_DESTINATION, /* ES:[rDI] */
} X86OperandKind;

/* How the instruction uses an operand. */
enum { X86_READ = 1, X86_WRITE = 2 };

typedef struct X86Operand {
    u8 kind;   /* X86OperandKind */
    u16 size;  /* bytes: 1 2 4 8 10 16 32, or what LDS, FNSAVE and the like touch; 0: none */
    u8 access; /* X86_READ | X86_WRITE */
    u8 number; /* register */
    s64 value;
} X86Operand;

/* An effective address: base + (index << scale) + displacement, modulo the address size. */
typedef struct X86Memory {
    u8 base, index;   /* general registers, or X86_NO_REGISTER; a VSIB index is a vector register */
    u8 scale;         /* shift, 0..3 */
    u8 segment;       /* in force: the override, else SS for rSP and rBP, else DS */
    bool rip;         /* displacement counts from the next instruction */
    s64 displacement; /* 64 bits only where it is all there is (moffs) */
} X86Memory;

/* Prefixes as met. A mandatory prefix that selected the row is not in the set. */
enum {
    X86_PREFIX_LOCK = 1 << 0,
    X86_PREFIX_REP = 1 << 1,     /* F3 */
    X86_PREFIX_REPNE = 1 << 2,   /* F2 */
    X86_PREFIX_OPERAND = 1 << 3, /* 66 */
    X86_PREFIX_ADDRESS = 1 << 4, /* 67 */
    X86_PREFIX_SEGMENT = 1 << 5,
    X86_PREFIX_REX = 1 << 6,
};

typedef struct X86Insn {
    u16 row;         /* index into x86_rows (rows.h) */
    u8 size;         /* bytes */
    u8 operand_size; /* effective: 2, 4 or 8 */
    u8 address_size; /* effective: 2, 4 or 8 */
    u8 vector_size;  /* 0: not a VEX encoding; 16 or 32 */
    u8 prefixes;     /* X86_PREFIX_* */
    u8 opcode;       /* the last opcode byte: its low four bits are the condition of Jcc, ... */
    u8 modrm;        /* 0 when there is none */
    u8 operand_count;
    u16 selector;                     /* of X86_OPERAND_FAR */
    X86Memory memory;                 /* the one memory operand, implied ones (moffs) as well */
    X86Operand operand[X86_OPERANDS]; /* in the Intel manual's order, implied ones as well */
} X86Insn;

typedef enum X86DecodeResult {
    X86_DECODE_OK,
    X86_DECODE_UNDEFINED, /* #UD; insn->size tells how many bytes were looked at */
    X86_DECODE_TOO_LONG,  /* more than 15 bytes: #GP */
    X86_DECODE_SHORT,     /* `available` bytes are not enough */
} X86DecodeResult;

/* Decodes the instruction at `bytes`, `available` (at most 15 count) of them. */
X86DecodeResult x86_decode(const u8 *bytes, size_t available, const X86DecodeMode *mode,
                           X86Insn *insn);

/* Text in Intel's syntax as objdump -M intel prints it, `pc` being the address of the instruction
 * with respect to its segment. Returns the length as snprintf does. */
int x86_disassemble(const X86Insn *insn, const X86DecodeMode *mode, u64 pc, char *text,
                    size_t text_size);

/* How to make a random instruction. */
typedef struct X86Random {
    u64 (*next)(void *context); /* 64 random bits */
    void *context;
    const char *name; /* a mnemonic or class of rows; NULL for all */
    bool any_row;     /* also rows that end blocks, are privileged or trap by nature, unnamed */
    X86DecodeMode mode;
    bool more_prefixes; /* also segment overrides and, outside 64-bit mode, the address size's */
    u16 avoid_gpr;      /* bit set of general registers that no explicit operand may write */
    /* Memory operands are [base + displacement] or [base + index * scale + displacement] with
     * these, or anything when base is X86_NO_REGISTER. */
    u8 base, index;
    s32 displacement_min, displacement_max;
} X86Random;

/* Writes a random instruction of at most 15 bytes; returns its size, or 0 if no row fits. Rows that
 * end blocks, are privileged or trap by nature are made only when named or asked for. */
size_t x86_random(const X86Random *how, u8 bytes[X86_INSN_MAX]);

#endif
