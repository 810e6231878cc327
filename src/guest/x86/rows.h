/* The rows of the opcode tables as the generator (src/gen/opcodes) writes them, for the decoder,
 * the disassembler, the random maker and the translator's loop. docs/howto-x86-instruction.md
 * describes what they are made from. */
#ifndef GUEST_X86_ROWS_H
#define GUEST_X86_ROWS_H

#include "guest/insn.h"
#include "guest/x86/feature.h"
#include "guest/x86/x86_insn.h"

/* Operand codes of Intel's opcode maps (SDM volume 2, A.2.1), fixed registers, and a few more. */
typedef enum X86OperandCode {
    X86_CODE_A,  /* far address in the instruction */
    X86_CODE_B,  /* VEX.vvvv: general register */
    X86_CODE_C,  /* reg: control register */
    X86_CODE_D,  /* reg: debug register */
    X86_CODE_E,  /* rm: general register or memory */
    X86_CODE_G,  /* reg: general register */
    X86_CODE_H,  /* VEX.vvvv: vector register */
    X86_CODE_I,  /* immediate, zero-extended byte or sign-extended to the operand size */
    X86_CODE_sI, /* sign-extended immediate byte */
    X86_CODE_J,  /* branch displacement */
    X86_CODE_L,  /* bits 7..4 of the immediate: vector register */
    X86_CODE_M,  /* rm: memory only */
    X86_CODE_N,  /* rm: MMX register */
    X86_CODE_O,  /* absolute address in the instruction */
    X86_CODE_P,  /* reg: MMX register */
    X86_CODE_Q,  /* rm: MMX register or memory */
    X86_CODE_R,  /* rm: general register */
    X86_CODE_S,  /* reg: segment register */
    X86_CODE_U,  /* rm: vector register */
    X86_CODE_V,  /* reg: vector register */
    X86_CODE_W,  /* rm: vector register or memory */
    X86_CODE_X,  /* string source */
    X86_CODE_XB, /* XLAT's table */
    X86_CODE_Y,  /* string destination */
    X86_CODE_Z,  /* low bits of the opcode: general register */
    X86_CODE_AL,
    X86_CODE_CL,
    X86_CODE_AX,
    X86_CODE_DX,
    X86_CODE_rAX, /* of operand size */
    X86_CODE_eAX, /* of at most 32 bits */
    X86_CODE_1,
    X86_CODE_ES,
    X86_CODE_CS,
    X86_CODE_SS,
    X86_CODE_DS,
    X86_CODE_FS,
    X86_CODE_GS,
    X86_CODE_XMM0,
    X86_CODE_ST0,
    X86_CODE_STi, /* rm: x87 register */
} X86OperandCode;

typedef enum X86OperandSize {
    X86_SIZE_none, /* not accessed */
    X86_SIZE_b,
    X86_SIZE_w,
    X86_SIZE_d,
    X86_SIZE_q,
    X86_SIZE_dq,
    X86_SIZE_qq,
    X86_SIZE_x,  /* 16, or 32 with VEX.L */
    X86_SIZE_xh, /* a half, a quarter, an eighth of that */
    X86_SIZE_xq,
    X86_SIZE_xe,
    X86_SIZE_ss, /* a scalar in a vector register: 4, 8 */
    X86_SIZE_sd,
    X86_SIZE_v,  /* operand size */
    X86_SIZE_z,  /* at most 4 of it */
    X86_SIZE_y,  /* 8 with REX.W, else 4 */
    X86_SIZE_t,  /* 10 */
    X86_SIZE_s,  /* a table register: 10 in 64-bit mode, else 6 */
    X86_SIZE_p,  /* a far pointer: selector and offset */
    X86_SIZE_a,  /* two words of operand size */
    X86_SIZE_vw, /* v in a register, w in memory; and so on */
    X86_SIZE_db,
    X86_SIZE_dw,
    X86_SIZE_dd,
    X86_SIZE_qd,
    X86_SIZE_512,
    X86_SIZE_14_28, /* with operand size 2, or otherwise */
    X86_SIZE_94_108,
} X86OperandSize;

/* What a row demands of the encoding besides opcode, prefixes and ModRM bits. */
enum {
    X86_DEMAND_MEMORY = 1 << 0, /* mod != 3 */
    X86_DEMAND_W0 = 1 << 1,
    X86_DEMAND_W1 = 1 << 2,
    X86_DEMAND_L0 = 1 << 3,
    X86_DEMAND_L1 = 1 << 4,
    X86_DEMAND_CODE64 = 1 << 5,
    X86_DEMAND_NOT_CODE64 = 1 << 6,
    X86_DEMAND_NO_REX_B = 1 << 7,
    X86_DEMAND_PROTECTED = 1 << 8, /* not in real-address and virtual-8086 mode */
};

/* Sets of mandatory prefixes. */
enum { X86_MANDATORY_NONE = 1, X86_MANDATORY_66 = 2, X86_MANDATORY_F3 = 4, X86_MANDATORY_F2 = 8 };

/* Attributes of rows beyond INSN_*. */
enum {
    X86_RAW = 1 << 8,   /* the handler reads and writes operands itself */
    X86_D64 = 1 << 9,   /* operand size 8 in 64-bit mode, or 2 */
    X86_F64 = 1 << 10,  /* operand size 8 in 64-bit mode */
    X86_CPL0 = 1 << 11, /* #GP(0) outside CPL 0 */
    X86_REP = 1 << 12,  /* string instructions: F3 repeats */
    X86_REPZ = 1 << 13, /* F3 and F2 repeat under a condition */
    X86_IO = 1 << 14,
    X86_NAME_BY_ADDRESS = 1 << 15, /* the name goes by address size, not operand size */
    X86_APPROXIMATE = 1 << 16,     /* the result's last bits depend on the CPU */
    X86_ALIAS = 1 << 17,           /* another encoding of what a row before does */
    X86_VECTOR = 1 << 18,          /* has operands in vector or MMX registers */
    X86_X87 = 1 << 19,
};

/* The atomic operations of LOCK. */
typedef enum X86Lock {
    X86_LOCK_NONE, /* LOCK is #UD */
    X86_LOCK_ADD,
    X86_LOCK_OR,
    X86_LOCK_ADC,
    X86_LOCK_SBB,
    X86_LOCK_AND,
    X86_LOCK_SUB,
    X86_LOCK_XOR,
    X86_LOCK_NOT,
    X86_LOCK_NEG,
    X86_LOCK_INC,
    X86_LOCK_DEC,
    X86_LOCK_XCHG, /* atomic without the prefix as well */
    X86_LOCK_XADD,
    X86_LOCK_CMPXCHG,
    X86_LOCK_CMPXCHG8B,
} X86Lock;

typedef struct X86RowOperand {
    u8 code, size; /* X86_CODE_*, X86_SIZE_* */
    u8 access;     /* X86_READ | X86_WRITE */
} X86RowOperand;

typedef struct X86Row {
    const char *name; /* lower case; one, or three separated by bars for the sizes 2, 4 and 8 */
    const char *class_name;
    u16 handler; /* X86_DO_*: rows of one handler mean the same */
    u16 demands;
    u8 map, opcode; /* X86_MAP_*; the first of */
    u8 opcode_count;
    u8 prefixes; /* mandatory ones that select the row */
    u8 modrm_mask, modrm_bits;
    u8 need[2]; /* X86_FEATURE_* */
    u8 lock;
    u8 vsib; /* X86_SIZE_* of the vector that is the index; X86_SIZE_none: ordinary addresses */
    u32 attributes;
    u16 undefined; /* X86_EFLAGS_* that have no defined value afterwards */
    u8 operand_count;
    X86RowOperand operand[4];
} X86Row;

extern const X86Row x86_rows[X86_ROW_COUNT];

/* The rows that an opcode (and the middle field of its ModRM) may be: x86_candidates[first] and on,
 * exceptions first. */
typedef struct X86Opcode {
    u16 first;
    u8 count;
    bool modrm;
} X86Opcode;

enum { X86_MAP_ONE, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A, X86_MAP_VEX, X86_MAPS = 7 };

extern const u16 *const x86_candidates;
extern const X86Opcode x86_opcodes[X86_MAPS][256][8];

#endif
