/* The intermediate representation: typed SSA values inside a region of blocks.
 *
 * A region is what is compiled at once: one or more guest basic blocks with a control-flow graph.
 * Guest registers are state slots (byte offset + type), so nothing here knows a guest. A value is
 * the index of the instruction that makes it; instructions of a block form a doubly linked list
 * through indices, so that passes insert and delete cheaply. Everything lives in one arena.
 *
 * Invariants (ir_verify() checks them):
 *  - a value is defined once, and its definition dominates its uses (PHI: at the predecessor's
 * end);
 *  - every block ends with exactly one terminator (property END) and has none elsewhere; an empty
 * block is a deleted one, and nothing leads to it;
 *  - PHIs come first in their block; the two successors of a BRANCH differ;
 *  - block 0 is the entry and has no predecessors unless a loop returns to it;
 *  - types follow the rules in ops.def;
 *  - between an INSN and the next, operations that may fault come before the first PUT.
 *
 * Must not know guests, hosts, or where code is kept. */
#ifndef IR_IR_H
#define IR_IR_H

#include "base/arena.h"
#include "base/types.h"
#include "ir/cpu.h"

typedef enum IrType {
    IR_VOID, /* no value; also "no lane" */
    IR_I8,
    IR_I16,
    IR_I32,
    IR_I64,
    IR_I128,
    IR_F32,
    IR_F64,
    IR_V64,
    IR_V128,
    IR_V256,
    IR_TYPE_COUNT,
} IrType;

typedef enum IrOp {
#define OP(enumerator, text, rule, types, properties) IR_##enumerator,
#include "ir/ops.def"
#undef OP
    IR_OP_COUNT,
} IrOp;

/* Properties of operations: see ops.def. */
enum {
    IR_PROP_PURE = 1,
    IR_PROP_COMM = 2,
    IR_PROP_FP = 4,
    IR_PROP_MEM = 8,
    IR_PROP_STATE = 16,
    IR_PROP_END = 32,
    IR_PROP_EFFECT = 64,
};

typedef struct IrOpInfo {
    const char *text;
    const char *rule;
    const char *types;
    u8 properties;
    u8 arg_count; /* including optional ones */
} IrOpInfo;

extern const IrOpInfo ir_ops[IR_OP_COUNT];

/* `sub` of CMP and VCMP. */
typedef enum IrCmp {
    IR_EQ,
    IR_NE,
    IR_SLT,
    IR_SGE,
    IR_SGT,
    IR_SLE,
    IR_ULT,
    IR_UGE,
    IR_UGT,
    IR_ULE,
    IR_TST,
    IR_TSTZ, /* (a & b) != 0, (a & b) == 0 */
} IrCmp;

/* Packed flags: where LAHF and SETO leave them, so that an x86-64 host converts in two
 * instructions; all other bits are 0. P (parity of the low byte) and A (carry out of bit 3) are
 * defined for the integer FLAGS_* operations and 0 for FLAGS_FCMP and FLAGS_MAKE; guests without
 * them ignore them. */
enum {
    IR_FLAG_V = 1 << 0,
    IR_FLAG_C = 1 << 8,
    IR_FLAG_P = 1 << 10,
    IR_FLAG_A = 1 << 12,
    IR_FLAG_Z = 1 << 14,
    IR_FLAG_N = 1 << 15,
    IR_FLAGS = IR_FLAG_V | IR_FLAG_C | IR_FLAG_P | IR_FLAG_A | IR_FLAG_Z | IR_FLAG_N,
};

/* `sub` of COND: tests of packed flags. Each even one is followed by its negation. */
typedef enum IrCond {
    IR_COND_Z,
    IR_COND_NZ,
    IR_COND_C,
    IR_COND_NC,
    IR_COND_N,
    IR_COND_NN,
    IR_COND_V,
    IR_COND_NV,
    IR_COND_HI,
    IR_COND_LS, /* C && !Z, and its negation: Arm's unsigned orders (C = no borrow) */
    IR_COND_GE,
    IR_COND_LT, /* N == V */
    IR_COND_GT,
    IR_COND_LE, /* !Z && N == V */
    IR_COND_A,
    IR_COND_BE, /* !C && !Z, and its negation: x86's unsigned orders (C = borrow) */
    IR_COND_P,
    IR_COND_NP,
} IrCond;

/* `sub` of FCMP and VFCMP: ordered and unordered predicates. Each even one is followed by its
 * negation. */
typedef enum IrFcmp {
    IR_FEQ,
    IR_FNE, /* equal; unequal or unordered */
    IR_FLT,
    IR_FNLT, /* less; not less (greater, equal or unordered) */
    IR_FLE,
    IR_FNLE,
    IR_FGT,
    IR_FNGT,
    IR_FGE,
    IR_FNGE,
    IR_FUNO,
    IR_FORD, /* unordered; ordered */
    IR_FUEQ,
    IR_FONE, /* equal or unordered; less or greater */
    IR_FFALSE,
    IR_FTRUE,
    IR_FCMP_SIGNALLING = 16, /* or-ed in: quiet NaNs raise invalid as well */
} IrFcmp;

/* `sub` of FROUND and FTOI: FpRounding of softfloat.h, or: */
enum {
    IR_ROUND_CURRENT = 7, /* as the environment says */
    IR_ROUND_EXACT = 8,   /* or-ed in (FROUND): raise inexact */
    IR_UNSIGNED = 16,     /* or-ed in (FTOI, ITOF): the integer is unsigned */
    IR_INDEFINITE = 32,   /* or-ed in (FTOI): what doesn't fit becomes 0x80..0, as on x86 */
};

/* `sub` of FMIN, FMAX and VTBL: as x86's instructions do it. */
enum { IR_X86 = 1 };

/* Or-ed to `sub` of FADD, FSUB, FMUL, FDIV, FSQRT and x86's FMIN and FMAX of v128: only lane 0 is
 * computed, the other lanes are those of arg0. */
enum { IR_SCALAR = 2 };

/* `sub` bits of FMA: what is negated, unless it is a NaN, before it is added. */
enum {
    IR_FMA_NEGATE_PRODUCT = 1,
    IR_FMA_NEGATE_ADDEND = 2,
    IR_FMA_EVEN = 4, /* or-ed to NEGATE_ADDEND, vectors: only in lanes 0, 2, ... */
    IR_FMA_ODD = 8,  /* in lanes 1, 3, ... */
    /* v128: only lane 0 is computed, the other lanes are those of arg0, arg1 or arg2. */
    IR_FMA_SCALAR = 0x30,
    IR_FMA_SCALAR0 = 0x10,
    IR_FMA_SCALAR1 = 0x20,
    IR_FMA_SCALAR2 = 0x30,
};

/* `sub` bits of vector operations. */
enum {
    IR_SIGNED = 1,
    IR_ROUNDING = 2,
    IR_HIGH = 4,
    IR_TO_UNSIGNED = 8,
};

/* `sub` of AES. The Arm instructions add the key first, x86's add it last. */
typedef enum IrAes {
    IR_AESE,
    IR_AESD,
    IR_AESMC,
    IR_AESIMC, /* of both */
    IR_AESENC,
    IR_AESENCLAST,
    IR_AESDEC,
    IR_AESDECLAST,
    IR_AESKEYGENASSIST, /* of arg0; imm: the round constant */
} IrAes;

typedef enum IrSha {
    IR_SHA1C,
    IR_SHA1P,
    IR_SHA1M,
    IR_SHA1SU0,
    IR_SHA1SU1,
    IR_SHA1H,
    IR_SHA256H,
    IR_SHA256H2,
    IR_SHA256SU0,
    IR_SHA256SU1,
    IR_SHA1RNDS4, /* from here on x86's */
    IR_SHA1NEXTE,
    IR_SHA1MSG1,
    IR_SHA1MSG2,
    IR_SHA256RNDS2,
    IR_SHA256MSG1,
    IR_SHA256MSG2,
} IrSha;

/* `sub` of LOAD, STORE, CAS, RMW: low two bits = scale of the index (shift 0..3). */
enum {
    IR_MEM_SCALE = 3,
    IR_MEM_BIG_ENDIAN = 4,
    IR_MEM_ACQUIRE = 8,  /* LOAD, RMW */
    IR_MEM_RELEASE = 16, /* STORE, RMW; with ACQUIRE semantics of Arm's LDAR/STLR: sequentially
                            consistent among themselves */
    IR_MEM_WRAP32 = 32,  /* the address is the sum modulo 2^32 */
    IR_MEM_ALIGNED = 64, /* LOAD, STORE of v128: faults unless the address is a multiple of 16, as
                            an access to an address that is not canonical does */
};

typedef enum IrRmw {
    IR_RMW_ADD,
    IR_RMW_AND,
    IR_RMW_OR,
    IR_RMW_XOR,
    IR_RMW_XCHG,
    IR_RMW_SMAX,
    IR_RMW_SMIN,
    IR_RMW_UMAX,
    IR_RMW_UMIN,
} IrRmw;

/* `sub` of GOTO and GOTO_CALL. */
enum { IR_POLL = 1 };

/* `sub` of EXIT. */
typedef enum IrExit {
    IR_EXIT_SYSCALL,    /* imm: pc after the instruction; imm2: its immediate */
    IR_EXIT_UNDEFINED,  /* imm: pc of the instruction; imm2: its encoding */
    IR_EXIT_BREAKPOINT, /* imm: pc of the instruction; imm2: its immediate */
    IR_EXIT_FETCH,      /* imm: pc; the instruction could not be fetched */
    IR_EXIT_PC_ALIGN,   /* imm: pc, misaligned */
    IR_EXIT_RESYNC, /* imm: next pc; translation context (modes, code bytes) changed: look up again.
                       imm2 != 0: the next pc is in its slot instead */
    IR_EXIT_YIELD,  /* imm: next pc; a hint to let other threads run */
    IR_EXIT_UNALIGNED,  /* imm: pc of the instruction; CpuCommon.exit_address: the data address that
                           must be aligned and is not */
    IR_EXIT_INVALIDATE, /* imm: next pc; imm2: size in bytes of the guest code that changed (a power
                           of two), around CpuCommon.exit_address: drop its translations */
    IR_EXIT_EXCEPTION,  /* imm: pc, as the guest wants it for this exception; imm2: the guest's code
                           word for it; 0: the word is in CpuCommon.exit_address */
    IR_EXIT_HALT,       /* imm: next pc; the guest CPU waits for an interrupt */
    IR_EXIT_CODE_CHANGED, /* imm: pc; the block's code bytes are others by now */
} IrExit;

typedef u32 IrVal; /* an instruction's index; 0: none */

typedef struct IrInsn {
    u8 op;        /* IrOp */
    u8 type;      /* IrType of the result; of the value for PUT, NOTE, STORE; IR_VOID without one */
    u8 lane;      /* IrType of a lane, for vector types; IR_VOID otherwise */
    u8 sub;       /* per operation: see ops.def */
    IrVal arg[4]; /* 0 where absent */
    IrVal prev, next; /* in the block; 0 at the ends */
    u32 scratch;      /* free for a pass or the host; not preserved between them */
    u64 imm, imm2;
} IrInsn;

typedef struct IrBlock {
    IrVal first, last; /* 0 when empty */
    u32 successor[2];  /* of JUMP and BRANCH; block numbers */
    u32 predecessors;  /* count; kept by ir_link_blocks() */
    bool cold;         /* unlikely: the host puts it out of line */
} IrBlock;

/* A state slot's name, for printing and for lists of hot registers. */
typedef struct IrSlot {
    const char *name;
    u32 offset; /* bytes into the guest state */
    u8 type;    /* its full type */
} IrSlot;

enum { IR_STATE_LIMIT = 1 << 16 }; /* slots end below this offset */

/* Where a guest keeps its x87 unit: offsets of slots. The registers come first, the status word
 * last; nothing else lies between. */
typedef struct IrX87 {
    u32 registers;  /* eight of 16 bytes, by physical number: significand, sign and exponent */
    u32 top, empty; /* i8: TOP; bit i: physical register i is empty */
    u32 control;    /* i16 */
    u32 status;     /* i16; TOP's bits are zero */
} IrX87;

enum { IR_X87_REGISTERS_SIZE = 8 * 16, IR_X87_STATUS_SIZE = 2 };

typedef struct IrRegion {
    Arena *arena;  /* owner of everything below; not freed by the region */
    IrInsn *insns; /* [1, insn_count) are in use; insns[0] is never an instruction */
    u32 insn_count, insn_capacity;
    IrBlock *blocks;
    u32 block_count, block_capacity;
    IrVal *phi_args; /* see PHI; in order of predecessor block number */
    u32 phi_arg_count, phi_arg_capacity;
    u32 state_end;         /* no slot that the region uses ends beyond this offset */
    u64 ops[4];            /* set of the operations that were ever put into it */
    struct IrGraph *graph; /* what ir_graph() keeps; NULL: to be computed again */
    u64 guest_pc;          /* of the entry */
    u32 space;             /* under a soft MMU: that its loads and stores access */
    bool steady;           /* the same: their mappings do not change while it runs, as a rule */
    u64 linear;            /* the same: address of its first byte of code */
    bool exact_fp;         /* floating-point operations must not use the host FPU's NaN shortcuts */
    bool fp_native;        /* the host may take the guest's floating point for its own: it has the
                              same rules, so that nothing traps (HostConfig.fp_native) */
    const IrX87 *x87;      /* the guest's x87, where the host executes X87; NULL: it does not */
    const IrHelper *helpers; /* the guest's table: names for print and parse */
    u32 helper_count;
    const IrSlot *slots; /* the guest's slots, for names; may be NULL */
    u32 slot_count;
} IrRegion;

static inline IrInsn *ir_insn(const IrRegion *region, IrVal value)
{
    return &region->insns[value];
}

/* Whether such an operation was ever put into the region. Not for what passes make of other
 * operations in place: NOTE, COPY, CMP and the like. */
static inline bool ir_may_have(const IrRegion *region, IrOp op)
{
    return region->ops[op / 64] >> op % 64 & 1;
}

extern const u8 ir_type_sizes[IR_TYPE_COUNT];

/* Size of a type in bytes; 0 for IR_VOID. */
static inline u32 ir_type_size(IrType type)
{
    return ir_type_sizes[type];
}
static inline bool ir_type_is_int(IrType type)
{
    return type >= IR_I8 && type <= IR_I128;
}
static inline bool ir_type_is_float(IrType type)
{
    return type == IR_F32 || type == IR_F64;
}
static inline bool ir_type_is_vector(IrType type)
{
    return type >= IR_V64 && type <= IR_V256;
}
const char *ir_type_name(IrType type);

/* -- region.c: making regions */

/* Makes an empty region without blocks in the arena. */
IrRegion *ir_region_new(Arena *arena);
/* Appends a block; returns its number. */
u32 ir_block_new(IrRegion *region);
/* Appends a copy of `insn` (prev/next ignored) to the block's end; returns its value. */
IrVal ir_append(IrRegion *region, u32 block, const IrInsn *insn);
/* Inserts before/after an instruction of the block. */
IrVal ir_insert_before(IrRegion *region, u32 block, IrVal before, const IrInsn *insn);
/* Unlinks the instruction; its index is not reused. */
void ir_remove(IrRegion *region, u32 block, IrVal value);
/* Moves the instruction to just before another one of the block. */
void ir_move_before(IrRegion *region, u32 block, IrVal value, IrVal before);
/* Keeps what the region knows about its instructions right when `insn` is put into it by other
 * means than the functions above. */
void ir_note_insn(IrRegion *region, const IrInsn *insn);
/* Makes sure that the next `count` insertions do not move region->insns. */
void ir_reserve(IrRegion *region, u32 count);
/* Takes `count` consecutive elements of phi_args, zeroed; returns the index of the first. */
u32 ir_phi_args_new(IrRegion *region, u32 count);
/* IR_HELPER_* of the helper that a CALL calls; the worst when the region doesn't know it. */
u32 ir_helper_flags(const IrRegion *region, const IrInsn *call);
/* Successors inside the region: 0, 1 or 2. */
static inline u32 ir_successor_count(const IrRegion *region, u32 block)
{
    IrVal last = region->blocks[block].last;
    u8 op = region->insns[last].op;

    return !last ? 0 : op == IR_BRANCH ? 2 : op == IR_JUMP;
}
/* Whether the operation may need the precise state of its guest instruction: guest memory, helpers
 * with IR_HELPER_FAULTS, and floating point unless the region is exact_fp or fp_native. */
static inline bool ir_may_fault(const IrRegion *region, const IrInsn *insn)
{
    u8 properties = ir_ops[insn->op].properties;

    if (insn->op == IR_CALL) {
        return ir_helper_flags(region, insn) & IR_HELPER_FAULTS;
    }
    if (insn->op == IR_X87) {
        return insn->arg[0] != 0;
    }
    return (properties & IR_PROP_MEM) ||
           ((properties & IR_PROP_FP) && !region->exact_fp && !region->fp_native);
}
/* Recounts predecessors. */
void ir_link_blocks(IrRegion *region);
/* Negations and exchanges of conditions. */
IrCmp ir_cmp_negate(IrCmp cmp);
IrCmp ir_cmp_swap(IrCmp cmp);

/* Whether the instruction makes a value. */
static inline bool ir_has_value(const IrInsn *insn)
{
    return insn->type != IR_VOID && ir_ops[insn->op].rule[0] != '-';
}

/* Whether the operand of X87's instruction (imm2) is a register, or nothing. */
static inline bool ir_x87_is_register(u64 instruction)
{
    return (instruction & 0xc0) == 0xc0;
}

/* The value behind copies of it. */
static inline IrVal ir_resolve(const IrRegion *region, IrVal value)
{
    while (region->insns[value].op == IR_COPY) {
        value = region->insns[value].arg[0];
    }
    return value;
}

/* Low `bits` (1..64) ones. */
static inline u64 ir_mask(u32 bits)
{
    return ~(u64)0 >> (64 - bits);
}

/* Iterates over the values of a block in order; the body may remove the current one. */
#define IR_FOR_EACH(region, block, value)                                                          \
    for (IrVal value = (region)->blocks[block].first, next_##value;                                \
         value && (next_##value = (region)->insns[value].next, 1); value = next_##value)

/* -- print.c, parse.c, verify.c: see ir/text.h; graph.c: see ir/graph.h */

#endif
