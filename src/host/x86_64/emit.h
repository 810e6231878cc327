/* The x86-64 assembler: functions that append one instruction to a buffer.
 *
 * Registers are numbered 0..15 (general) and 0..15 (vector); which file is meant follows from the
 * instruction. Opcodes are packed words (X86_OPCODE), so that selection tables hold them and the
 * same word serves the legacy SSE and the VEX encoding. The buffer is not checked per byte: whoever
 * emits makes sure by x86_room() that the next piece fits.
 *
 * Functions that change EFLAGS reset `flags_of`, the note of what EFLAGS hold; nothing else does.
 * Must not know IR. */
#ifndef HOST_X86_64_EMIT_H
#define HOST_X86_64_EMIT_H

#include "base/types.h"

enum {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
};

/* Condition codes as encoded in Jcc, SETcc, CMOVcc; the lowest bit negates. */
typedef enum X86Cond {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G,
} X86Cond;

/* CPUID features beyond the floor (SSE4.2, POPCNT, CMPXCHG16B, LAHF). */
enum {
    X86_AVX = 1 << 0,
    X86_AVX2 = 1 << 1,
    X86_BMI1 = 1 << 2,
    X86_BMI2 = 1 << 3,
    X86_LZCNT = 1 << 4,
    X86_MOVBE = 1 << 5,
    X86_FMA = 1 << 6,
    X86_F16C = 1 << 7,
    X86_AES = 1 << 8,
    X86_SHA = 1 << 9,
    X86_PCLMUL = 1 << 10,
};

/* Mandatory prefix, opcode map and opcode byte in one word. */
#define X86_OPCODE(prefix, map, byte) ((u32)(prefix) << 12 | (u32)(map) << 8 | (u32)(byte))
enum { X86_P0, X86_P66, X86_PF3, X86_PF2 };            /* prefixes, numbered as VEX.pp */
enum { X86_MAP1 = 0, X86_0F = 1, X86_0F38, X86_0F3A }; /* maps, numbered as VEX.mmmmm */
#define X86_W 0x10000u                                 /* VEX.W / REX.W */

/* A register or memory operand, as ModRM encodes. */
typedef struct X86Rm {
    u8 reg;   /* the register, or X86_MEMORY */
    u8 base;  /* X86_POOL: the block's constants, at `disp`; X86_ABSOLUTE: none */
    u8 index; /* X86_NO_INDEX: none */
    u8 scale; /* shift: 0..3 */
    s32 disp;
    bool wrap32; /* memory: the address is the sum modulo 2^32 */
} X86Rm;

enum { X86_MEMORY = 0xff, X86_POOL = 0xfe, X86_ABSOLUTE = 0xfd, X86_NO_INDEX = 0xff };

static inline X86Rm x86_reg(u8 reg)
{
    return (X86Rm){.reg = reg & 15};
}

static inline X86Rm x86_at(u8 base, s32 disp)
{
    return (X86Rm){X86_MEMORY, base, X86_NO_INDEX, 0, disp, false};
}

static inline X86Rm x86_indexed(u8 base, u8 index, u8 scale, s32 disp)
{
    return (X86Rm){X86_MEMORY, base, index, scale, disp, false};
}

static inline bool x86_is_memory(X86Rm rm)
{
    return rm.reg == X86_MEMORY;
}

/* A place whose 32-bit displacement must reach pool offset `pool` once the pool's place is known.
 */
typedef struct X86PoolUse {
    u32 site;    /* of the displacement, from the code's start */
    u32 pool;    /* offset in the pool */
    u8 trailing; /* bytes between the displacement and the instruction's end */
} X86PoolUse;

enum { X86_POOL_USES = 1024 };

typedef struct X86Asm {
    u8 *start, *at, *end;
    u32 features;
    u32 flags_of; /* an IR value whose comparison EFLAGS reflect at the moment; 0: none */
    bool full;    /* a limit was exceeded: the code is worthless */
    u32 pool_use_count;
    X86PoolUse *pool_uses; /* X86_POOL_USES of them */
} X86Asm;

/* Whether `bytes` more fit; remembers when they do not. */
static inline bool x86_room(X86Asm *as, size_t bytes)
{
    if ((size_t)(as->end - as->at) < bytes || as->pool_use_count + 64 > X86_POOL_USES) {
        as->full = true;
    }
    return !as->full;
}

static inline u32 x86_offset(const X86Asm *as)
{
    return (u32)(as->at - as->start);
}

void x86_byte(X86Asm *as, u8 byte);
void x86_u32(X86Asm *as, u32 value);
void x86_u64(X86Asm *as, u64 value);

/* -- General registers. `size` is 1, 2, 4 or 8 bytes. */

/* opcode reg, rm with `trailing` immediate bytes to follow; says nothing about EFLAGS. */
void x86_op(X86Asm *as, u32 opcode, u32 size, u8 reg, X86Rm rm, u8 trailing);
/* Arithmetic of the 00-3F rows. */
typedef enum X86Alu {
    ALU_ADD,
    ALU_OR,
    ALU_ADC,
    ALU_SBB,
    ALU_AND,
    ALU_SUB,
    ALU_XOR,
    ALU_CMP
} X86Alu;
void x86_alu(X86Asm *as, X86Alu alu, u32 size, u8 reg, X86Rm rm);
/* To memory or register rm. */
void x86_alu_to(X86Asm *as, X86Alu alu, u32 size, X86Rm rm, u8 reg);
void x86_alu_imm(X86Asm *as, X86Alu alu, u32 size, X86Rm rm, s32 imm);
void x86_test(X86Asm *as, u32 size, X86Rm rm, u8 reg);
void x86_test_imm(X86Asm *as, u32 size, X86Rm rm, s32 imm);
typedef enum X86Shift {
    SHIFT_ROL,
    SHIFT_ROR,
    SHIFT_RCL,
    SHIFT_RCR,
    SHIFT_SHL,
    SHIFT_SHR,
    SHIFT_SAR = 7
} X86Shift;
void x86_shift_imm(X86Asm *as, X86Shift shift, u32 size, u8 reg, u8 count);
void x86_shift_cl(X86Asm *as, X86Shift shift, u32 size, u8 reg);
/* The F6/F7 group: not, neg, mul, imul, div, idiv. */
typedef enum X86Unary {
    UNARY_NOT = 2,
    UNARY_NEG,
    UNARY_MUL,
    UNARY_IMUL,
    UNARY_DIV,
    UNARY_IDIV
} X86Unary;
void x86_unary(X86Asm *as, X86Unary unary, u32 size, X86Rm rm);
/* Instructions that change EFLAGS and are given by opcode (bsf, popcnt, imul, xadd ...). */
void x86_flags_op(X86Asm *as, u32 opcode, u32 size, u8 reg, X86Rm rm, u8 trailing);

/* Moves; none touches EFLAGS. */
void x86_mov(X86Asm *as, u32 size, u8 to, u8 from);
void x86_load(X86Asm *as, u32 size, u8 to, X86Rm from);
void x86_store(X86Asm *as, u32 size, X86Rm to, u8 from);
void x86_store_imm(X86Asm *as, u32 size, X86Rm to, s32 imm);
void x86_mov_imm(X86Asm *as, u8 to, u64 imm);
void x86_lea(X86Asm *as, u32 size, u8 to, X86Rm address);
/* Zero- or sign-extends from `from_size` (1, 2, 4) to `size` (4, 8); zero-extension clears all. */
void x86_movzx(X86Asm *as, u32 from_size, u8 to, X86Rm from);
void x86_movsx(X86Asm *as, u32 from_size, u32 size, u8 to, X86Rm from);
void x86_cmov(X86Asm *as, X86Cond cc, u32 size, u8 to, X86Rm from);
void x86_setcc(X86Asm *as, X86Cond cc, u8 to);
void x86_push(X86Asm *as, u8 reg);
void x86_pop(X86Asm *as, u8 reg);

/* -- Jumps */

/* A jump inside a sequence, bound later; the distance must fit in a byte. */
u8 *x86_jcc_short(X86Asm *as, X86Cond cc);
u8 *x86_jmp_short(X86Asm *as);
void x86_bind_short(X86Asm *as, u8 *jump);
/* lea reg, [rip + x]: the address of a place in the code. */
void x86_lea_code(X86Asm *as, u8 reg, const u8 *target);
/* cmp reg, [rip + x] with 64-bit operands, bound later; returns the place of the displacement. */
u8 *x86_cmp_code(X86Asm *as, u8 reg);
/* jmp, jcc or call with a 32-bit displacement; returns the place of the displacement. */
u8 *x86_jmp(X86Asm *as);
u8 *x86_jcc(X86Asm *as, X86Cond cc);
u8 *x86_call(X86Asm *as);
/* Makes the displacement at `site` reach `target`. */
void x86_bind(u8 *site, const u8 *target);
/* Pads so that the displacement of a jump whose opcode has `opcode_bytes` lies inside one aligned
 * 8-byte word: then it can be replaced while other threads run it. */
void x86_align_site(X86Asm *as, u32 opcode_bytes);
void x86_nop(X86Asm *as, u32 bytes);

/* -- Vector registers: VEX with AVX, else the legacy form, which needs to == first. */

void x86_vector(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second);
void x86_vector_imm(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second, u8 imm);
/* Two-operand instructions (moves, shuffles with one source, compares). */
void x86_vector2(X86Asm *as, u32 opcode, u8 to, X86Rm from);
void x86_vector2_imm(X86Asm *as, u32 opcode, u8 to, X86Rm from, u8 imm);
/* VEX only, on general or vector registers (BMI, FMA, vpblendvb): with `size` 8 W is set. */
void x86_vex(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second, u8 trailing);

#endif
