/* Conditions against the operation that made the flags: COND of FLAGS_* becomes a comparison, so
 * that the packed flags need not exist. Left alone is what no comparison says (overflow, parity).
 *
 * Fold comes after: the comparisons made here are not simplified further. */
#include <string.h>

#include "ir/pass.h"

enum { MAX_DEPTH = 4, MAX_NEW = 2 }; /* MAX_NEW: inserted before pointers are looked up again */
enum { NONE = 0xff, ALWAYS = 0xfe };
enum { STORED = 1 }; /* scratch: a PUT of the value was seen */
enum { NEAR = 6 };   /* instructions between a result and its flags */

/* Conditions come in pairs, a test and its negation; the tables hold the test's row only. */
enum { PAIRS = IR_COND_NP / 2 + 1 };

/* Comparison of the operands of a subtraction. HI and A differ by which of them is borrow. */
static const u8 after_subn[PAIRS] = {
    [IR_COND_Z / 2] = IR_EQ,   [IR_COND_C / 2] = IR_UGE,  [IR_COND_N / 2] = NONE,
    [IR_COND_V / 2] = NONE,    [IR_COND_HI / 2] = IR_UGT, [IR_COND_GE / 2] = IR_SGE,
    [IR_COND_GT / 2] = IR_SGT, [IR_COND_A / 2] = IR_ULT,  [IR_COND_P / 2] = NONE,
};
static const u8 after_sub[PAIRS] = {
    [IR_COND_Z / 2] = IR_EQ,   [IR_COND_C / 2] = IR_ULT,  [IR_COND_N / 2] = NONE,
    [IR_COND_V / 2] = NONE,    [IR_COND_HI / 2] = IR_ULT, [IR_COND_GE / 2] = IR_SGE,
    [IR_COND_GT / 2] = IR_SGT, [IR_COND_A / 2] = IR_UGT,  [IR_COND_P / 2] = NONE,
};
/* Comparison of a result with 0, where carry and overflow are 0. ALWAYS: the negation holds. */
static const u8 after_logic[PAIRS] = {
    [IR_COND_Z / 2] = IR_EQ,   [IR_COND_C / 2] = ALWAYS,  [IR_COND_N / 2] = IR_SLT,
    [IR_COND_V / 2] = ALWAYS,  [IR_COND_HI / 2] = ALWAYS, [IR_COND_GE / 2] = IR_SGE,
    [IR_COND_GT / 2] = IR_SGT, [IR_COND_A / 2] = IR_NE,   [IR_COND_P / 2] = NONE,
};
/* Comparison of x with -c after x + c, where c is neither 0 nor the least number. */
static const u8 after_add_const[PAIRS] = {
    [IR_COND_Z / 2] = IR_EQ,   [IR_COND_C / 2] = IR_UGE,  [IR_COND_N / 2] = NONE,
    [IR_COND_V / 2] = NONE,    [IR_COND_HI / 2] = IR_UGT, [IR_COND_GE / 2] = IR_SGE,
    [IR_COND_GT / 2] = IR_SGT, [IR_COND_A / 2] = IR_ULT,  [IR_COND_P / 2] = NONE,
};
/* x86's flags of a floating-point comparison: Z equal, C less, and all when unordered. */
static const u8 after_comi[PAIRS] = {
    [IR_COND_Z / 2] = IR_FUEQ,  [IR_COND_C / 2] = IR_FNGE, [IR_COND_N / 2] = ALWAYS,
    [IR_COND_V / 2] = ALWAYS,   [IR_COND_HI / 2] = IR_FLT, [IR_COND_GE / 2] = NONE,
    [IR_COND_GT / 2] = IR_FONE, [IR_COND_A / 2] = IR_FGT,  [IR_COND_P / 2] = IR_FUNO,
};
/* Arm's flags of a floating-point comparison. C without Z: greater or unordered. */
static const u8 after_fcmp[PAIRS] = {
    [IR_COND_Z / 2] = IR_FEQ,  [IR_COND_C / 2] = IR_FNLT,  [IR_COND_N / 2] = IR_FLT,
    [IR_COND_V / 2] = IR_FUNO, [IR_COND_HI / 2] = IR_FNLE, [IR_COND_GE / 2] = IR_FGE,
    [IR_COND_GT / 2] = IR_FGT, [IR_COND_A / 2] = IR_FLT,   [IR_COND_P / 2] = NONE,
};

typedef struct Resolver {
    IrRegion *region;
    u32 block;
    IrVal value; /* the COND */
    u32 depth;   /* of choices between flags that were looked through */
} Resolver;

static IrVal before(Resolver *r, const IrInsn *insn)
{
    return ir_insert_before(r->region, r->block, r->value, insn);
}

static IrVal constant(Resolver *r, IrType type, u64 value)
{
    return before(r, &(IrInsn){.op = IR_CONST,
                               .type = (u8)type,
                               .imm = value & ir_mask(ir_type_size(type) * 8)});
}

/* Makes the COND a comparison; `negate` as the COND was the second of its pair. */
static void become_cmp(Resolver *r, IrCmp cmp, bool negate, IrVal x, IrVal y)
{
    IrInsn *insn = &r->region->insns[r->value];

    insn->op = IR_CMP;
    insn->sub = (u8)(negate ? ir_cmp_negate(cmp) : cmp);
    insn->arg[0] = x;
    insn->arg[1] = y;
}

/* N after x op y: the sign of the result. */
static void become_sign(Resolver *r, IrOp op, bool negate, IrVal x, IrVal y)
{
    IrType type = r->region->insns[x].type;
    IrVal result = before(r, &(IrInsn){.op = (u8)op, .type = (u8)type, .arg = {x, y}});

    become_cmp(r, IR_SLT, negate, result, constant(r, type, 0));
}

/* Whether `insn` computes the result that `flags` are of. */
static bool is_result(const IrRegion *region, const IrInsn *insn, const IrInsn *flags)
{
    static const u8 results[IR_OP_COUNT] = {
        [IR_FLAGS_ADD] = IR_ADD, [IR_FLAGS_SUB] = IR_SUB, [IR_FLAGS_SUBN] = IR_SUB,
        [IR_FLAGS_ADC] = IR_ADC, [IR_FLAGS_SBB] = IR_SBB, [IR_FLAGS_SHL] = IR_SHL,
        [IR_FLAGS_SHR] = IR_SHR, [IR_FLAGS_SAR] = IR_SAR,
    };
    bool carry = flags->op == IR_FLAGS_ADC || flags->op == IR_FLAGS_SBB;

    if (insn->op == IR_ADD && results[flags->op] == IR_SUB) { /* x - c is x + -c after fold */
        const IrInsn *x = &region->insns[insn->arg[1]], *y = &region->insns[flags->arg[1]];
        return x->op == IR_CONST && y->op == IR_CONST && insn->arg[0] == flags->arg[0] &&
               !((x->imm + y->imm) & ir_mask(ir_type_size(insn->type) * 8));
    }
    return insn->op == results[flags->op] && insn->arg[0] == flags->arg[0] &&
           insn->arg[1] == flags->arg[1] && (!carry || insn->arg[2] == flags->arg[2]);
}

/* The result that a guest instruction put beside the flags it made of it: near these, if at all.
 * 0 if there is none. */
static IrVal stored_result(const Resolver *r, const IrInsn *flags)
{
    IrVal at = flags->prev;

    for (u32 i = 0; i < NEAR && at; i++) {
        const IrInsn *insn = &r->region->insns[at];
        if (insn->scratch == STORED && is_result(r->region, insn, flags)) {
            return at;
        }
        at = insn->prev;
    }
    return 0;
}

/* Zero and sign are tested on the result itself where there is one: the operands may be gone from
 * their registers by then. */
static bool resolve_by_result(Resolver *r, u32 cond, const IrInsn *flags)
{
    bool is_zero = cond / 2 == IR_COND_Z / 2, is_sign = cond / 2 == IR_COND_N / 2;
    IrVal result = is_zero || is_sign ? stored_result(r, flags) : 0;

    if (result) {
        IrVal zero = constant(r, (IrType)r->region->insns[result].type, 0);
        become_cmp(r, is_zero ? IR_EQ : IR_SLT, cond & 1, result, zero);
    }
    return result != 0;
}

static void resolve_sub(Resolver *r, const u8 *table, u32 cond, const IrInsn *flags)
{
    u8 cmp = table[cond / 2];
    IrVal x = ir_resolve(r->region, flags->arg[0]), y = ir_resolve(r->region, flags->arg[1]);

    if (resolve_by_result(r, cond, flags)) {
        return;
    }
    if (cond / 2 == IR_COND_N / 2) {
        become_sign(r, IR_SUB, cond & 1, x, y);
    } else if (cmp != NONE) {
        become_cmp(r, (IrCmp)cmp, cond & 1, x, y);
    }
}

/* Where the sum was put, hosts do better with the flags that the addition leaves. */
static void resolve_add(Resolver *r, u32 cond, const IrInsn *flags)
{
    IrVal x = ir_resolve(r->region, flags->arg[0]), y = ir_resolve(r->region, flags->arg[1]);
    const IrInsn *second = &r->region->insns[y];
    IrType type = second->type;
    u64 least = (u64)1 << (ir_type_size(type) * 8 - 1);
    u8 cmp = after_add_const[cond / 2];

    if (resolve_by_result(r, cond, flags) || stored_result(r, flags)) {
        return;
    }
    if (cond / 2 == IR_COND_N / 2) {
        become_sign(r, IR_ADD, cond & 1, x, y);
    } else if (second->op == IR_CONST && second->imm && second->imm != least && cmp != NONE) {
        become_cmp(r, (IrCmp)cmp, cond & 1, x, constant(r, type, -second->imm));
    } else if (cond / 2 == IR_COND_Z / 2 || cond / 2 == IR_COND_C / 2) {
        bool is_carry = cond / 2 == IR_COND_C / 2; /* the sum is less than what was added to */
        IrVal sum = before(r, &(IrInsn){.op = IR_ADD, .type = (u8)type, .arg = {x, y}});
        become_cmp(r, is_carry ? IR_ULT : IR_EQ, cond & 1, sum,
                   is_carry ? x : constant(r, type, 0));
    }
}

/* A shift by 0 leaves the flags as they were, so the count must be a constant. */
static void resolve_shift(Resolver *r, u32 cond, const IrInsn *flags)
{
    const IrInsn *count = &r->region->insns[ir_resolve(r->region, flags->arg[1])];
    u32 bits = ir_type_size(r->region->insns[flags->arg[0]].type) * 8;

    if (count->op == IR_CONST && (count->imm & (bits == 64 ? 63 : 31)) &&
        (count->imm & (bits == 64 ? 63 : 31)) < bits) {
        resolve_by_result(r, cond, flags);
    }
}

static void become_constant(Resolver *r, u64 value)
{
    r->region->insns[r->value] = (IrInsn){.op = IR_CONST,
                                          .type = IR_I32,
                                          .imm = value,
                                          .prev = r->region->insns[r->value].prev,
                                          .next = r->region->insns[r->value].next};
}

static void resolve_logic(Resolver *r, u32 cond, IrVal x)
{
    u8 cmp = after_logic[cond / 2];

    if (cmp == ALWAYS) {
        become_constant(r, cond & 1);
    } else if (cmp != NONE) {
        become_cmp(r, (IrCmp)cmp, cond & 1, x, constant(r, r->region->insns[x].type, 0));
    }
}

/* The comparison goes right behind the flags and not where the condition is: it may trap, and
 * the guest instruction that it belongs to is that one's. */
static void resolve_fcmp(Resolver *r, const u8 *table, u32 cond, const IrInsn *flags)
{
    u8 fcmp = table[cond / 2];
    IrInsn *insn = &r->region->insns[r->value];

    if (fcmp == NONE) {
        return;
    }
    if (fcmp == ALWAYS) {
        become_constant(r, cond & 1);
        return;
    }
    insn->arg[0] = ir_insert_before(
        r->region, r->block, flags->next,
        &(IrInsn){.op = IR_FCMP,
                  .type = IR_I32,
                  .sub = (fcmp ^ (cond & 1)) | (flags->sub ? IR_FCMP_SIGNALLING : 0),
                  .arg = {flags->arg[0], flags->arg[1]}});
    insn->op = IR_COPY;
    insn->sub = 0;
}

/* Whether the value is flags that a condition may profit from looking behind. */
static bool makes_flags(const Resolver *r, IrVal value)
{
    IrOp op = (IrOp)r->region->insns[value].op;

    return (op >= IR_FLAGS_ADD && op <= IR_FLAGS_MAKE) || op == IR_CONST || op == IR_SELECT;
}

static void resolve(Resolver *r);

/* A choice between flags, as Arm's CCMP makes: choose between the conditions on them. */
static void resolve_select(Resolver *r, u32 cond, const IrInsn *select)
{
    IrVal choice = select->arg[0], arms[2];

    for (u32 i = 0; i < 2; i++) {
        arms[i] = ir_resolve(r->region, select->arg[i + 1]);
        if (!makes_flags(r, arms[i])) {
            return;
        }
    }
    if (r->depth == MAX_DEPTH) {
        return;
    }
    for (u32 i = 0; i < 2; i++) {
        arms[i] =
            before(r, &(IrInsn){.op = IR_COND, .type = IR_I32, .sub = (u8)cond, .arg = {arms[i]}});
        resolve(&(Resolver){r->region, r->block, arms[i], r->depth + 1});
    }
    r->region->insns[r->value].op = IR_SELECT;
    r->region->insns[r->value].sub = 0;
    memcpy(r->region->insns[r->value].arg, (IrVal[]){choice, arms[0], arms[1], 0},
           sizeof(r->region->insns[0].arg));
}

/* The flags that a condition looks at, by pair. */
static const u32 flags_of_cond[PAIRS] = {
    [IR_COND_Z / 2] = IR_FLAG_Z,
    [IR_COND_C / 2] = IR_FLAG_C,
    [IR_COND_N / 2] = IR_FLAG_N,
    [IR_COND_V / 2] = IR_FLAG_V,
    [IR_COND_HI / 2] = IR_FLAG_C | IR_FLAG_Z,
    [IR_COND_GE / 2] = IR_FLAG_N | IR_FLAG_V,
    [IR_COND_GT / 2] = IR_FLAG_N | IR_FLAG_V | IR_FLAG_Z,
    [IR_COND_A / 2] = IR_FLAG_C | IR_FLAG_Z,
    [IR_COND_P / 2] = IR_FLAG_P,
};

/* The flags that decide the condition, behind those that merely were put together with them. */
static IrVal source_of(const IrRegion *region, IrVal flags, u32 wanted)
{
    const IrInsn *insn = &region->insns[flags];

    for (;;) {
        if (insn->op == IR_FLAGS_PICK && !(wanted & ~insn->imm)) {
            flags = insn->arg[0];
        } else if (insn->op == IR_FLAGS_PICK && !(wanted & insn->imm)) {
            flags = insn->arg[1];
        } else if (insn->op >= IR_FLAGS_ROL && insn->op <= IR_FLAGS_RCR &&
                   !(wanted & (IR_FLAG_C | IR_FLAG_V))) {
            flags = insn->arg[2];
        } else {
            return flags;
        }
        flags = ir_resolve(region, flags);
        insn = &region->insns[flags];
    }
}

static void resolve(Resolver *r)
{
    ir_reserve(r->region, MAX_NEW);
    IrInsn *insn = &r->region->insns[r->value];
    u32 cond = insn->sub;
    insn->arg[0] = source_of(r->region, insn->arg[0], flags_of_cond[cond / 2]);
    const IrInsn *flags = &r->region->insns[insn->arg[0]];

    switch ((IrOp)flags->op) {
    case IR_FLAGS_SUB:
        resolve_sub(r, after_sub, cond, flags);
        break;
    case IR_FLAGS_SUBN:
        resolve_sub(r, after_subn, cond, flags);
        break;
    case IR_FLAGS_ADD:
        resolve_add(r, cond, flags);
        break;
    case IR_FLAGS_LOGIC:
        resolve_logic(r, cond, ir_resolve(r->region, flags->arg[0]));
        break;
    case IR_FLAGS_ADC:
    case IR_FLAGS_SBB:
        resolve_by_result(r, cond, flags);
        break;
    case IR_FLAGS_SHL:
    case IR_FLAGS_SHR:
    case IR_FLAGS_SAR:
        resolve_shift(r, cond, flags);
        break;
    case IR_FLAGS_FCMP:
        resolve_fcmp(r, after_fcmp, cond, flags);
        break;
    case IR_FLAGS_COMI:
        resolve_fcmp(r, after_comi, cond, flags);
        break;
    case IR_SELECT:
        resolve_select(r, cond, flags);
        break;
    default:
        break;
    }
}

/* -- A FLAGS_FCMP or FLAGS_COMI that nothing uses any more, and whose exceptions an FCMP made of it
 * raises, goes here: to the pass `dead` it would be an effect. */

static bool is_fcmp(const IrInsn *insn)
{
    return insn->op == IR_FLAGS_FCMP || insn->op == IR_FLAGS_COMI;
}

static bool is_covered(const IrRegion *region, const IrInsn *flags)
{
    const IrInsn *next = &region->insns[flags->next];

    return next->op == IR_FCMP && next->arg[0] == flags->arg[0] && next->arg[1] == flags->arg[1] &&
           !(next->sub & IR_FCMP_SIGNALLING) == !flags->sub;
}

/* Counts every value's uses in scratch. */
static void count_uses(IrRegion *region)
{
    for (IrVal value = 0; value < region->insn_count; value++) {
        region->insns[value].scratch = 0;
    }
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            const IrInsn *insn = &region->insns[value];
            for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
                region->insns[insn->arg[i]].scratch++;
            }
        }
    }
    for (u32 i = 0; i < region->phi_arg_count; i++) {
        region->insns[region->phi_args[i]].scratch++;
    }
}

static void drop_covered(IrRegion *region)
{
    count_uses(region);
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            const IrInsn *insn = &region->insns[value];
            if (is_fcmp(insn) && !insn->scratch && is_covered(region, insn)) {
                ir_remove(region, block, value);
            }
        }
    }
}

/* The value, and a narrower one that is all that is new in it, was put. */
static void note_stored(IrRegion *region, IrVal value)
{
    IrInsn *insn = &region->insns[ir_resolve(region, value)];

    insn->scratch = STORED;
    if (insn->op == IR_DEP) {
        note_stored(region, insn->arg[1]);
    } else if (insn->op == IR_ZEXT) {
        note_stored(region, insn->arg[0]);
    }
}

void ir_pass_flags(IrRegion *region)
{
    bool has_fcmp = false;

    if (!ir_may_have(region, IR_COND) && !ir_may_have(region, IR_FLAGS_FCMP) &&
        !ir_may_have(region, IR_FLAGS_COMI)) {
        return;
    }
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            IrInsn *insn = &region->insns[value];
            has_fcmp |= is_fcmp(insn);
            insn->scratch = 0;
            if (insn->op == IR_PUT) {
                note_stored(region, insn->arg[0]);
            } else if (insn->op == IR_COND) {
                insn->arg[0] = ir_resolve(region, insn->arg[0]);
                resolve(&(Resolver){region, block, value, 0});
            }
        }
    }
    if (has_fcmp) {
        drop_covered(region);
    }
}
