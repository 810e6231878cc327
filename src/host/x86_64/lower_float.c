/* Floating point on the host's unit: see x86_64.h on MXCSR, and each function on what differs
 * between Arm and x86. Only in regions that are not exact_fp. */
#include "host/x86_64/x86_64.h"

enum {
    OP_UCOMIS = X86_OPCODE(0, X86_0F, 0x2e), /* 66 for f64 */
    OP_COMIS = X86_OPCODE(0, X86_0F, 0x2f),
};

static u32 double_prefix(IrType type)
{
    return type == IR_F64 ? X86_OPCODE(X86_P66, 0, 0) : 0;
}

/* The guest address that a comparison belongs to when a later instruction emits it. */
static u64 pc_of(const Compiler *c, IrVal value)
{
    while (value && insn_of(c, value)->op != IR_INSN) {
        value = insn_of(c, value)->prev;
    }
    return value ? insn_of(c, value)->imm : c->block_pc[c->block];
}

/* comis leaves CF = less, ZF = equal, and with PF all three set when unordered. */
X86Cond emit_fp_compare(Compiler *c, IrVal fcmp, bool *parity)
{
    const IrInsn *insn = insn_of(c, fcmp);
    IrType type = (IrType)insn_of(c, insn->arg[0])->type;
    u32 predicate = insn->sub & ~(u32)IR_FCMP_SIGNALLING;
    bool negated = predicate & 1;
    u32 kind = predicate & ~1u;
    /* a < b is b > a, which CF tells apart from unordered. */
    bool swap = kind == IR_FLT || kind == IR_FLE;
    u32 opcode = (insn->sub & IR_FCMP_SIGNALLING ? OP_COMIS : OP_UCOMIS) | double_prefix(type);
    u64 pc = c->pc;

    u8 first = use(c, insn->arg[swap]);
    X86Rm second = use_rm(c, insn->arg[!swap], ir_type_size(type));
    c->pc = pc_of(c, fcmp);
    fp_point(c);
    c->pc = pc;
    c->compare_at = c->as.at;
    c->as.flags_of = 0;
    x86_vector2(&c->as, opcode, first, second);
    *parity = kind == IR_FEQ;
    switch (kind) {
    case IR_FEQ:
        return negated ? CC_NE : CC_E;
    case IR_FUNO:
        return negated ? CC_NP : CC_P;
    case IR_FLT:
    case IR_FGT:
        return negated ? CC_BE : CC_A;
    default:
        return negated ? CC_B : CC_AE;
    }
}
