/* The pre-pass over a region: which values share a register and home (aliases), which instructions
 * are emitted as part of another (fusions), which not at all, and what each one uses. The result is
 * the allocator's plan input (ra.root, ra.uses, ra.traits) and Compiler.clean and .fused.
 *
 * Clean is a promise about every register and home of a value: bits above its type are zero. It is
 * what makes zero-extensions free, and lowering must keep it.
 * Emits nothing. */
#include "host/x86_64/x86_64.h"

enum { FCMP_DISTANCE = 16 };

typedef struct Prepare {
    Compiler *c;
    u32 *count;    /* by value: uses that are emitted */
    u32 *block_of; /* by value */
} Prepare;

static bool is_int(IrType type)
{
    return type >= IR_I8 && type <= IR_I64;
}

/* -- Aliases */

static bool same_class(IrType a, IrType b)
{
    return is_int(a) == is_int(b);
}

/* SEXT of a load that nothing else uses: the load sign-extends. */
static bool fuse_sign(Prepare *p, const IrInsn *insn)
{
    Compiler *c = p->c;
    const IrInsn *load = insn_of(c, insn->arg[0]);

    if (load->op != IR_LOAD || p->count[insn->arg[0]] != 1 || load->sub & IR_MEM_BIG_ENDIAN ||
        insn->type < IR_I32) {
        return false;
    }
    c->fused[insn->arg[0]] = insn->type == IR_I64 ? FUSE_SIGN64 : FUSE_SIGN32;
    c->clean[insn->arg[0]] = 0;
    c->ra.values[insn->arg[0]].width = (u8)ir_type_size((IrType)insn->type);
    return true;
}

/* The value that `value` shares everything with; itself if none. */
static IrVal alias_of(Prepare *p, IrVal value, const IrInsn *insn)
{
    Compiler *c = p->c;
    IrVal operand = insn->arg[0];
    IrType from = (IrType)insn_of(c, operand)->type, to = (IrType)insn->type;

    switch (insn->op) {
    case IR_COPY:
    case IR_BITCAST:
    case IR_TRUNC:
        return same_class(from, to) ? c->ra.root[operand] : value;
    case IR_ZEXT:
        return same_class(from, to) && c->clean[operand] ? c->ra.root[operand] : value;
    case IR_SEXT:
        return fuse_sign(p, insn) ? c->ra.root[operand] : value;
    default:
        return value;
    }
}

static bool get_is_pinned(const Compiler *c, const IrInsn *insn)
{
    bool overlaps;

    return ra_pin_of(&c->header->pins, (u32)insn->imm, ir_type_size((IrType)insn->type),
                     &overlaps) != REG_PIN_NONE;
}

static bool is_clean(const Prepare *p, const IrInsn *insn)
{
    const Compiler *c = p->c;
    const u8 *clean = c->clean;
    IrType type = (IrType)insn->type;

    switch (insn->op) {
    case IR_CONST:
    case IR_LOAD:
    case IR_CALL:
    case IR_VGET:
    case IR_ZEXT:
    case IR_BITCAST:
    case IR_FABS:
    case IR_ITOF:
    case IR_FCVT:
    case IR_VHIGH:
        return true;
    case IR_GET:
        return !get_is_pinned(c, insn);
    case IR_COPY:
        return clean[insn->arg[0]];
    case IR_TRUNC: /* of a vector to an integer it is a move of that size; else an alias */
        return type == IR_I32 && !is_int((IrType)insn_of(c, insn->arg[0])->type);
    case IR_PHI:
    case IR_CAS:
    case IR_RMW:
        return false;
    case IR_FADD:
    case IR_FSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT:
    case IR_FNEG:
        return clean[insn->arg[0]];
    default:
        return type == IR_I32;
    }
}

/* Types that fill their register have nothing to keep clean. */
static bool fills_register(IrType type)
{
    return type == IR_I64 || type == IR_I128 || type == IR_V128 || type == IR_VOID;
}

static void find_aliases(Prepare *p)
{
    Compiler *c = p->c;
    const IrRegion *region = c->region;

    for (u32 b = 0; b < region->block_count; b++) {
        IR_FOR_EACH(region, b, value)
        {
            const IrInsn *insn = ir_insn(region, value);
            if (insn->type == IR_VOID) {
                continue;
            }
            IrVal root = alias_of(p, value, insn);
            c->ra.root[value] = root;
            if (fills_register((IrType)insn->type)) {
                c->clean[value] = 1;
            } else if (root != value && insn->op == IR_BITCAST) {
                c->clean[value] = c->clean[insn->arg[0]];
            } else if (root != value && insn->op == IR_TRUNC) {
                c->clean[value] = 0;
            } else if (root != value && insn->op == IR_SEXT) {
                c->clean[value] = 1; /* movsx to 32 bits clears the rest */
            } else {
                c->clean[value] = is_clean(p, insn);
            }
        }
    }
    /* Aliases of values whose block came later were left half way. */
    for (u32 value = 1; region->block_count > 1 && value < region->insn_count; value++) {
        IrVal *root = &c->ra.root[value];
        while (*root != c->ra.root[*root]) {
            *root = c->ra.root[*root];
        }
    }
}

/* -- Counts of uses */

static void count_uses(Prepare *p)
{
    const IrRegion *region = p->c->region;

    for (u32 b = 0; b < region->block_count; b++) {
        IR_FOR_EACH(region, b, value)
        {
            const IrInsn *insn = ir_insn(region, value);
            p->block_of[value] = b;
            p->c->ra.root[value] = value;
            for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
                p->count[insn->arg[i]]++;
            }
            if (insn->op == IR_PHI) {
                for (u32 i = 0; i < region->blocks[b].predecessors; i++) {
                    p->count[region->phi_args[insn->imm + i]]++;
                }
            }
        }
    }
}

static void drop_uses(Prepare *p, const IrInsn *insn)
{
    for (u32 i = 0; i < 4; i++) {
        p->count[insn->arg[i]]--;
    }
}

/* -- Fusions */

/* After cmp: C is x86's borrow for FLAGS_SUB and its complement for FLAGS_SUBN. */
bool condition_of_flags(IrOp flags, IrCond cond, X86Cond *cc)
{
    static const u8 common[][2] = {
        {IR_COND_Z, CC_E},  {IR_COND_NZ, CC_NE}, {IR_COND_N, CC_S},   {IR_COND_NN, CC_NS},
        {IR_COND_V, CC_O},  {IR_COND_NV, CC_NO}, {IR_COND_GE, CC_GE}, {IR_COND_LT, CC_L},
        {IR_COND_GT, CC_G}, {IR_COND_LE, CC_LE}, {IR_COND_P, CC_P},   {IR_COND_NP, CC_NP},
    };
    static const u8 carry[][2] = {
        {IR_COND_C, CC_B},
        {IR_COND_NC, CC_AE},
        {IR_COND_A, CC_A},
        {IR_COND_BE, CC_BE},
    };
    static const u8 no_borrow[][2] = {
        {IR_COND_C, CC_AE},
        {IR_COND_NC, CC_B},
        {IR_COND_HI, CC_A},
        {IR_COND_LS, CC_BE},
    };

    for (u32 i = 0; i < COUNT(common); i++) {
        if (common[i][0] == cond) {
            *cc = (X86Cond)common[i][1];
            return true;
        }
    }
    const u8(*rows)[2] = flags == IR_FLAGS_SUBN ? no_borrow : carry;
    for (u32 i = 0; i < 4 && flags != IR_FLAGS_LOGIC; i++) {
        if (rows[i][0] == cond) {
            *cc = (X86Cond)rows[i][1];
            return true;
        }
    }
    return false;
}

static bool is_simple_flags(IrOp op)
{
    return op == IR_FLAGS_ADD || op == IR_FLAGS_SUB || op == IR_FLAGS_SUBN || op == IR_FLAGS_LOGIC;
}

/* An FCMP may trap, so it is fused only if all that happened since is visible nowhere. */
static bool fcmp_is_near(const Compiler *c, IrVal fcmp, IrVal user)
{
    for (u32 i = 0; i < FCMP_DISTANCE; i++) {
        user = insn_of(c, user)->prev;
        if (user == fcmp) {
            return true;
        }
        if (!user || (ir_ops[insn_of(c, user)->op].properties & (IR_PROP_EFFECT | IR_PROP_MEM) &&
                      insn_of(c, user)->op != IR_INSN)) {
            return false;
        }
    }
    return false;
}

/* The instruction whose operands the fused condition compares; NULL if it can't be fused. */
static const IrInsn *condition_source(const Prepare *p, IrVal user, IrVal condition)
{
    const Compiler *c = p->c;
    const IrInsn *insn = insn_of(c, condition);
    X86Cond cc;

    if (p->block_of[condition] != p->block_of[user]) {
        return NULL;
    }
    if (insn->op == IR_CMP) {
        return insn;
    }
    if (insn->op == IR_FCMP) {
        return !c->region->exact_fp && fcmp_is_near(c, condition, user) ? insn : NULL;
    }
    if (insn->op == IR_COND) {
        const IrInsn *flags = insn_of(c, insn->arg[0]);
        if (is_simple_flags((IrOp)flags->op) && p->block_of[insn->arg[0]] == p->block_of[user]) {
            return condition_of_flags((IrOp)flags->op, (IrCond)insn->sub, &cc) ? flags : NULL;
        }
        return insn;
    }
    return NULL;
}

static void add_use(Prepare *p, IrVal user, IrVal operand)
{
    RegUses *uses = &p->c->ra.uses[user];

    uses->value[uses->count++] = p->c->ra.root[operand];
}

static void fuse_condition(Prepare *p, IrVal user, const IrInsn *insn)
{
    const IrInsn *source = condition_source(p, user, insn->arg[0]);

    if (!source) {
        add_use(p, user, insn->arg[0]);
        return;
    }
    p->c->fused[user] = FUSE_CONDITION;
    if (source->op == IR_FCMP) {
        p->c->fused[insn->arg[0]] = FUSE_CONDITION;
    }
    p->count[insn->arg[0]]--;
    for (u32 i = 0; i < 2 && source->arg[i]; i++) {
        p->count[source->arg[i]]++;
        add_use(p, user, source->arg[i]);
    }
}

static bool is_small_shift(const Prepare *p, IrVal user, IrVal value)
{
    const Compiler *c = p->c;
    const IrInsn *insn = insn_of(c, value);
    u64 count;

    return insn->op == IR_SHL && p->count[value] == 1 && insn->type == insn_of(c, user)->type &&
           insn->type >= IR_I32 && p->block_of[value] == p->block_of[user] &&
           is_constant(c, insn->arg[1], &count) && count >= 1 && count <= 3;
}

/* Decides fusions of one instruction and lists what it uses. */
static void list_uses(Prepare *p, IrVal value, const IrInsn *insn)
{
    Compiler *c = p->c;
    u32 first = 0;

    if (insn->op == IR_BRANCH || insn->op == IR_SELECT) {
        fuse_condition(p, value, insn);
        first = 1;
    } else if (insn->op == IR_ADD && is_int((IrType)insn->type) &&
               is_small_shift(p, value, insn->arg[1])) {
        c->fused[value] = FUSE_SHIFT;
        add_use(p, value, insn->arg[0]);
        add_use(p, value, insn_of(c, insn->arg[1])->arg[0]);
        p->count[insn->arg[1]]--;
        p->count[insn_of(c, insn->arg[1])->arg[0]]++;
        return;
    } else if (insn->op == IR_CLZ && insn->type >= IR_I32 && insn->type <= IR_I64 &&
               insn_of(c, insn->arg[0])->op == IR_BITREV &&
               p->block_of[insn->arg[0]] == p->block_of[value]) {
        c->fused[value] = FUSE_CTZ;
        add_use(p, value, insn_of(c, insn->arg[0])->arg[0]);
        p->count[insn->arg[0]]--;
        p->count[insn_of(c, insn->arg[0])->arg[0]]++;
        return;
    } else if (insn->op == IR_NOTE && insn_of(c, insn->arg[0])->op == IR_ZEXT &&
               same_class((IrType)insn_of(c, insn->arg[0])->type,
                          (IrType)insn_of(c, insn_of(c, insn->arg[0])->arg[0])->type) &&
               p->block_of[insn->arg[0]] == p->block_of[value]) {
        /* The side table says that the rest is zero. */
        IrVal narrow = insn_of(c, insn->arg[0])->arg[0];
        p->count[insn->arg[0]]--;
        p->count[narrow]++;
        add_use(p, value, narrow);
        return;
    }
    for (u32 i = first; i < 4; i++) {
        if (insn->arg[i]) {
            add_use(p, value, insn->arg[i]);
        }
    }
}

static bool may_fault(const Compiler *c, const IrInsn *insn)
{
    u32 properties = ir_ops[insn->op].properties;

    if (insn->op == IR_CALL) {
        return c->config->helpers[insn->imm].flags & IR_HELPER_FAULTS;
    }
    return properties & IR_PROP_MEM || (properties & IR_PROP_FP && !c->region->exact_fp);
}

static u8 traits_of(const Compiler *c, const IrInsn *insn)
{
    u8 traits = REG_EMITTED;

    if (may_fault(c, insn)) {
        traits |= REG_FAULTS;
    }
    if (insn->op == IR_CALL &&
        c->config->helpers[insn->imm].flags & (IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE)) {
        traits |= REG_READS_STATE;
    }
    if (insn->op == IR_JUMP || insn->op == IR_BRANCH) {
        traits |= REG_READS_STATE; /* NOTEs end here: their values are stored */
    }
    return traits;
}

/* Floating-point operations stay for the flags they raise, unless their user does that. */
static bool is_removable(const Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 properties = ir_ops[insn->op].properties;

    if (properties & IR_PROP_FP && c->fused[value] != FUSE_CONDITION) {
        return false;
    }
    return insn->type != IR_VOID && insn->op != IR_PHI &&
           !(properties & (IR_PROP_EFFECT | IR_PROP_MEM | IR_PROP_END));
}

static void walk_block(Prepare *p, u32 b)
{
    Compiler *c = p->c;

    for (IrVal value = c->region->blocks[b].last, prev; value; value = prev) {
        const IrInsn *insn = insn_of(c, value);
        prev = insn->prev;
        if (is_removable(c, value, insn) && p->count[value] == 0) {
            drop_uses(p, insn);
            continue;
        }
        if (insn->op == IR_INSN || (insn->type != IR_VOID && c->ra.root[value] != value)) {
            continue;
        }
        list_uses(p, value, insn);
        c->ra.traits[value] = traits_of(c, insn);
        if (insn->op == IR_BRANCH && c->fused[value] == FUSE_CONDITION &&
            insn_of(c, insn->arg[0])->op == IR_FCMP) {
            c->ra.traits[value] |= REG_FAULTS;
        }
        if (insn->op == IR_SELECT && c->fused[value] == FUSE_CONDITION &&
            insn_of(c, insn->arg[0])->op == IR_FCMP) {
            c->ra.traits[value] |= REG_FAULTS;
        }
    }
}

void prepare_region(Compiler *c)
{
    u32 n = c->region->insn_count;
    Prepare p = {.c = c,
                 .count = ARENA_ARRAY(c->arena, u32, n),
                 .block_of = arena_alloc(c->arena, n * sizeof(u32), 8)};

    c->clean = ARENA_ARRAY(c->arena, u8, n);
    c->fused = ARENA_ARRAY(c->arena, u8, n);
    count_uses(&p);
    find_aliases(&p);
    for (u32 b = c->region->block_count; b-- > 0;) {
        walk_block(&p, b);
    }
}
