/* The pre-pass over a region: which values share a register and home (aliases), which instructions
 * are emitted as part of another (fusions), which not at all, and what each one uses. The result is
 * the allocator's plan input (ra.root, ra.uses, ra.traits) and Compiler.clean and .fused.
 *
 * Clean is a promise about every register and home of a value: bits above its type are zero. It is
 * what makes zero-extensions free, and lowering must keep it.
 * Emits nothing. */
#include "host/x86_64/x86_64.h"

enum { FCMP_DISTANCE = 16, NOTES_COUNTED = 255 };

typedef struct Prepare {
    Compiler *c;
    u32 *count;    /* by value: uses that are emitted */
    u8 *notes;     /* by value: those of them by NOTEs, of flags */
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
            if (insn->op == IR_NOTE && p->notes[insn->arg[0]] < NOTES_COUNTED) {
                p->notes[insn->arg[0]]++;
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

/* After cmp C is x86's borrow for FLAGS_SUB and its complement for FLAGS_SUBN. */
bool condition_of_flags(const Compiler *c, const IrInsn *flags, IrCond cond, X86Cond *cc)
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
    const u8(*rows)[2] = flags->op == IR_FLAGS_SUBN ? no_borrow : carry;
    bool partial = flags->op == IR_FLAGS_BT || flags->op == IR_FLAGS_MUL;

    if (!flags_operands(c, flags)) {
        return false;
    }
    for (u32 i = 0; i < COUNT(common) && (!partial || (cond | 1) == IR_COND_NV); i++) {
        if (common[i][0] == cond) {
            *cc = (X86Cond)common[i][1];
            return flags->op != IR_FLAGS_BT;
        }
    }
    for (u32 i = 0; i < 4 && flags->op != IR_FLAGS_LOGIC; i++) {
        if (rows[i][0] == cond) {
            *cc = (X86Cond)rows[i][1];
            return !partial || (cond | 1) == IR_COND_NC;
        }
    }
    return false;
}

static void add_use(Prepare *p, IrVal user, IrVal operand)
{
    RegUses *uses = &p->c->ra.uses[user];

    uses->value[uses->count++] = p->c->ra.root[operand];
}

/* -- EFLAGS that an instruction before leaves: the code in between must not change them */

enum { EFLAGS_DISTANCE = 14 };

static bool same_root(const Compiler *c, IrVal x, IrVal y)
{
    return ra_root(&c->ra, x) == ra_root(&c->ra, y) && insn_of(c, x)->type == insn_of(c, y)->type;
}

static bool same_args(const Compiler *c, const IrInsn *x, const IrInsn *y, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        if (!same_root(c, x->arg[i], y->arg[i])) {
            return false;
        }
    }
    return true;
}

/* Shift counts: the same constant, below the width; overflow comes out right for 1 only. */
static bool same_count(const Compiler *c, const IrInsn *shift, const IrInsn *flags, bool overflow)
{
    u64 x, y;

    return is_constant(c, shift->arg[1], &x) && is_constant(c, flags->arg[1], &y) && x == y && x &&
           x < ir_type_size((IrType)shift->type) * 8 && (x == 1 || !overflow) &&
           same_root(c, shift->arg[0], flags->arg[0]);
}

/* x - c and x + -c, c an immediate that can be negated. */
static bool is_negated_constant(const Compiler *c, const IrInsn *add, const IrInsn *flags)
{
    IrType type = (IrType)add->type;
    s32 x, y;

    return add->op == IR_ADD && same_root(c, add->arg[0], flags->arg[0]) &&
           is_immediate(c, add->arg[1], type, &x) && is_immediate(c, flags->arg[1], type, &y) &&
           x != INT32_MIN && y != INT32_MIN && x != 0 && x == -y;
}

/* Whether the arithmetic instruction `value` leaves the flags of a FLAGS_* or CMP; `overflow`: V is
 * of interest. */
static bool leaves_flags(const Compiler *c, IrVal value, const IrInsn *flags, bool overflow)
{
    const IrInsn *insn = insn_of(c, value);
    u64 zero;

    if (!is_int((IrType)insn->type) || c->ra.root[value] != value) {
        return false;
    }
    switch ((IrOp)flags->op) {
    case IR_CMP:
    case IR_FLAGS_SUB:
    case IR_FLAGS_SUBN:
        return is_negated_constant(c, insn, flags) ||
               (insn->op == IR_SUB && same_args(c, insn, flags, 2)) ||
               (insn->op == IR_NEG && is_constant(c, flags->arg[0], &zero) && !zero &&
                same_root(c, insn->arg[0], flags->arg[1]));
    case IR_FLAGS_ADD:
        return insn->op == IR_ADD && same_args(c, insn, flags, 2);
    case IR_FLAGS_ADC:
        return insn->op == IR_ADC && same_args(c, insn, flags, 3);
    case IR_FLAGS_SBB:
        return insn->op == IR_SBB && same_args(c, insn, flags, 3);
    case IR_FLAGS_LOGIC:
        return (insn->op == IR_AND || insn->op == IR_OR || insn->op == IR_XOR) &&
               ra_root(&c->ra, flags->arg[0]) == value &&
               insn_of(c, flags->arg[0])->type == insn->type;
    case IR_FLAGS_SHL:
        return insn->op == IR_SHL && same_count(c, insn, flags, overflow);
    case IR_FLAGS_SHR:
        return insn->op == IR_SHR && same_count(c, insn, flags, overflow);
    case IR_FLAGS_SAR:
        return insn->op == IR_SAR && same_count(c, insn, flags, overflow);
    case IR_FLAGS_MUL:
        return insn->op == IR_MUL && insn->type != IR_I8 && same_args(c, insn, flags, 2);
    default:
        return false;
    }
}

static bool sets_eflags(const Compiler *c, IrVal value)
{
    return c->fused[value] == FUSE_SETS_EFLAGS || c->fused[value] == FUSE_SETS_SUB_EFLAGS;
}

/* Whether the instruction's code leaves EFLAGS alone. Packing flags that EFLAGS have does, for
 * additions and subtractions; these are then found from there as well. */
static bool keeps_eflags(const Prepare *p, IrVal value, const IrInsn *flags)
{
    const Compiler *c = p->c;
    const IrInsn *insn = insn_of(c, value);

    switch ((IrOp)insn->op) {
    case IR_PUT:
    case IR_NOTE:
    case IR_GET:
        return !is_x87_slot(c, (u32)insn->imm, ir_type_size((IrType)insn->type));
    case IR_INSN:
    case IR_CONST:
    case IR_COPY:
    case IR_TRUNC:
    case IR_ZEXT:
    case IR_SEXT:
    case IR_BITCAST:
        return true;
    case IR_LOAD:
        return !(insn->sub & IR_MEM_BIG_ENDIAN) && !c->config->soft_mmu;
    case IR_STORE:
        return !(insn->sub & (IR_MEM_BIG_ENDIAN | IR_MEM_RELEASE)) && !c->config->soft_mmu;
    case IR_DEP:
        return insn->sub == 0 && (insn->imm == 8 || insn->imm == 16);
    case IR_ADD:
        return (insn->type == IR_I32 || insn->type == IR_I64) && !sets_eflags(c, value);
    case IR_FLAGS_SUB:
        if (flags->op == IR_CMP && same_args(c, insn, flags, 2)) {
            return true;
        }
        /* fall through */
    case IR_FLAGS_ADD:
    case IR_FLAGS_ADC:
    case IR_FLAGS_SBB:
        if (insn->op == flags->op && same_args(c, insn, flags, insn->op >= IR_FLAGS_ADC ? 3 : 2)) {
            return true;
        }
        return p->count[value] == 0;
    default:
        return p->count[value] == 0 && ir_ops[insn->op].properties & IR_PROP_PURE &&
               !(ir_ops[insn->op].properties & IR_PROP_FP);
    }
}

/* Additions between the two are not to touch EFLAGS. */
static void keep_eflags(Prepare *p, IrVal from, IrVal to)
{
    for (IrVal value = insn_of(p->c, from)->next; value != to; value = insn_of(p->c, value)->next) {
        if (insn_of(p->c, value)->op == IR_ADD) {
            p->c->fused[value] = FUSE_KEEPS_EFLAGS;
        }
    }
}

/* The instruction before `user` whose EFLAGS are those of `flags` there; 0: none. */
static IrVal eflags_before(Prepare *p, IrVal user, const IrInsn *flags, bool overflow)
{
    const Compiler *c = p->c;
    IrVal value = insn_of(c, user)->prev;

    for (u32 i = 0; i < EFLAGS_DISTANCE && value; i++) {
        if (leaves_flags(c, value, flags, overflow)) {
            keep_eflags(p, value, user);
            return value;
        }
        if (!keeps_eflags(p, value, flags)) {
            return 0;
        }
        value = insn_of(c, value)->prev;
    }
    return 0;
}

/* Makes `user` take EFLAGS from such an instruction, if there is one. */
static bool take_eflags(Prepare *p, IrVal user, const IrInsn *flags, bool overflow)
{
    IrVal source = eflags_before(p, user, flags, overflow);

    if (source) {
        p->c->fused[user] = FUSE_EFLAGS;
        bool subtract =
            insn_of(p->c, source)->op == IR_ADD &&
            (flags->op == IR_CMP || flags->op == IR_FLAGS_SUB || flags->op == IR_FLAGS_SUBN);
        p->c->fused[source] = subtract ? FUSE_SETS_SUB_EFLAGS : FUSE_SETS_EFLAGS;
        p->count[source]++; /* it stays, even if nothing else wants it */
    }
    return source != 0;
}

static bool needs_overflow(IrCond cond)
{
    return (cond >= IR_COND_V && cond <= IR_COND_NV) || (cond >= IR_COND_GE && cond <= IR_COND_LE);
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

/* The operands that a fused comparison takes. */
static void use_operands(Prepare *p, IrVal user, const IrInsn *source, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        p->count[source->arg[i]]++;
        add_use(p, user, source->arg[i]);
    }
}

/* COND as a value of its own, or of the BRANCH or SELECT `user`. */
static void fuse_cond(Prepare *p, IrVal user, const IrInsn *cond)
{
    Compiler *c = p->c;
    const IrInsn *flags = insn_of(c, cond->arg[0]);
    bool inside = insn_of(c, user) != cond;
    X86Cond cc;

    if (p->block_of[cond->arg[0]] == p->block_of[user] &&
        condition_of_flags(c, flags, (IrCond)cond->sub, &cc)) {
        if (!take_eflags(p, user, flags, needs_overflow((IrCond)cond->sub))) {
            c->fused[user] = FUSE_CONDITION;
            use_operands(p, user, flags, flags_operands(c, flags));
        }
        p->count[cond->arg[0]] -= !inside;
        return;
    }
    c->fused[user] = inside ? FUSE_PACKED : FUSE_NONE;
    p->count[cond->arg[0]] += inside;
    add_use(p, user, cond->arg[0]);
}

/* The condition of a BRANCH or SELECT. */
static void fuse_condition(Prepare *p, IrVal user, const IrInsn *insn)
{
    Compiler *c = p->c;
    const IrInsn *condition = insn_of(c, insn->arg[0]);
    bool near = p->block_of[insn->arg[0]] == p->block_of[user];

    p->count[insn->arg[0]]--; /* or so it looks */
    if (near && condition->op == IR_CMP) {
        if (condition->sub >= IR_TST || !take_eflags(p, user, condition, true)) {
            c->fused[user] = FUSE_CONDITION;
            use_operands(p, user, condition, 2);
        }
    } else if (near && condition->op == IR_FCMP && !c->region->exact_fp &&
               fcmp_is_near(c, insn->arg[0], user)) {
        c->fused[user] = FUSE_CONDITION;
        c->fused[insn->arg[0]] = FUSE_CONDITION;
        use_operands(p, user, condition, 2);
    } else if (near && condition->op == IR_COND) {
        fuse_cond(p, user, condition);
    } else {
        p->count[insn->arg[0]]++;
        add_use(p, user, insn->arg[0]);
    }
}

/* A FLAGS_* operation that EFLAGS have the flags of needs no operands. */
static bool fuse_flags(Prepare *p, IrVal value, const IrInsn *insn)
{
    if (!flags_operands(p->c, insn) || !take_eflags(p, value, insn, true)) {
        return false;
    }
    drop_uses(p, insn);
    return true;
}

/* A shift by a constant needs neither the count nor the flags before. */
static bool fuse_shift_flags(Prepare *p, IrVal value, const IrInsn *insn)
{
    u32 count = flags_operands(p->c, insn);

    if (!count) {
        return false;
    }
    drop_uses(p, insn);
    use_operands(p, value, insn, count);
    return true;
}

/* -- Flags that only a fault could see: the side table says what to make them of, so that all they
 * cost is that their operands stay somewhere. */

enum { NOTE_DISTANCE = 64, NOTE_DEPTH = 3 };

/* Whether the NOTE ends before a helper is called that wants the slot in memory. */
static bool note_ends_early(const Compiler *c, const IrInsn *note)
{
    IrVal value = note->next;

    for (u32 i = 0; i < NOTE_DISTANCE && value; i++) {
        const IrInsn *insn = insn_of(c, value);
        bool writes = insn->op == IR_PUT || insn->op == IR_NOTE;
        if (writes && insn->imm == note->imm && insn->type == note->type) {
            return true;
        }
        if (writes && insn->imm < note->imm + ir_type_size((IrType)note->type) &&
            note->imm < insn->imm + ir_type_size((IrType)insn->type)) {
            return false; /* a part of it goes on */
        }
        if (insn->op == IR_CALL) {
            return false;
        }
        value = insn->next;
    }
    return !value;
}

/* The put sum or difference that the flags are of; 0 if there is none. */
static IrVal result_beside(const Prepare *p, IrVal flags)
{
    const IrInsn *insn = insn_of(p->c, flags);
    IrVal value = insn->prev;

    if (insn->op != IR_FLAGS_ADD && insn->op != IR_FLAGS_SUB) {
        return 0;
    }
    for (u32 i = 0; i < EFLAGS_DISTANCE && value; i++) {
        if (p->count[value] && leaves_flags(p->c, value, insn, true)) {
            return insn_of(p->c, value)->op == IR_NEG ? 0 : value;
        }
        value = insn_of(p->c, value)->prev;
    }
    return 0;
}

static bool makes_integer_flags(IrOp op)
{
    return op >= IR_FLAGS_ADD && op <= IR_FLAGS_MAKE && op != IR_FLAGS_FCMP &&
           op != IR_FLAGS_COMI && op != IR_FLAGS_VTEST;
}

/* Whether nothing but NOTEs wants the flags, and, inside of others, these. */
static bool only_notes(const Prepare *p, IrVal user, IrVal value, bool outer)
{
    const Compiler *c = p->c;

    return makes_integer_flags((IrOp)insn_of(c, value)->op) && c->note_of[value] != NOTE_OPERAND &&
           p->count[value] <= p->notes[value] + (outer ? 0u : 1u) &&
           p->block_of[value] == p->block_of[user];
}

/* How many operands the side table would name to say what `value` is made of. */
static u32 count_operands(const Prepare *p, IrVal user, IrVal value, bool outer, u32 depth)
{
    const IrInsn *insn = insn_of(p->c, value);
    u32 count = 0;

    if (!only_notes(p, user, value, outer)) {
        return 1;
    }
    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        count += depth < NOTE_DEPTH ? count_operands(p, user, insn->arg[i], false, depth + 1)
                                    : REG_OPERANDS + 1;
    }
    return count;
}

/* Makes them the NOTE's operands. */
static void list_operands(Prepare *p, IrVal user, IrVal value, bool outer)
{
    Compiler *c = p->c;
    const IrInsn *insn = insn_of(c, value);

    if (!only_notes(p, user, value, outer)) {
        c->note_of[value] = NOTE_OPERAND;
        p->count[value]++;
        add_use(p, user, value);
        return;
    }
    IrVal result = result_beside(p, value);
    c->note_of[value] = result ? result : NOTE_MADE;
    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        list_operands(p, user, i == 0 && result ? result : insn->arg[i], false);
    }
}

static bool fuse_note(Prepare *p, IrVal value, const IrInsn *note)
{
    IrVal flags = note->arg[0];
    if (!p->c->note_of) {
        p->c->note_of = ARENA_ARRAY(p->c->arena, IrVal, p->c->region->insn_count);
    }
    bool possible = only_notes(p, value, flags, true) && note_ends_early(p->c, note) &&
                    count_operands(p, value, flags, true, 0) <= REG_OPERANDS;

    if (possible) {
        list_operands(p, value, flags, true);
        p->c->fused[value] = FUSE_MADE;
        p->count[flags]--;
    }
    p->notes[flags]--;
    return possible;
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

/* A division whose high half is the low half's sign needs that only. */
static bool fuse_division(Prepare *p, IrVal value, const IrInsn *insn)
{
    Compiler *c = p->c;
    IrOp quotient = insn->op == IR_REMU2 ? IR_DIVU2 : insn->op == IR_REMS2 ? IR_DIVS2 : IR_OP_COUNT;
    bool sign = (insn->op >= IR_DIVS2 && insn->op <= IR_REMS2) || insn->op == IR_DIVFITS;
    bool by_sign = sign && is_sign_of(c, insn->arg[0], insn->arg[1]);
    const IrInsn *before = insn_of(c, insn->prev);

    if (before->op == quotient && p->count[insn->prev] && same_args(c, before, insn, 3) &&
        (!sign || by_sign)) {
        c->fused[value] = FUSE_PAIRED;
        c->fused[insn->prev] = FUSE_PAIR;
        drop_uses(p, insn);
        return true;
    }
    if (by_sign) {
        p->count[insn->arg[0]]--;
        add_use(p, value, insn->arg[1]);
        add_use(p, value, insn->arg[2]);
    }
    return by_sign;
}

/* ADC or SBB of the carry that an instruction before leaves in EFLAGS. */
static bool fuse_carry(Prepare *p, IrVal value, const IrInsn *insn)
{
    const IrInsn *cond = insn_of(p->c, insn->arg[2]);

    if (cond->op != IR_COND || cond->sub != IR_COND_C) {
        return false;
    }
    const IrInsn *flags = insn_of(p->c, cond->arg[0]);
    X86Cond cc;
    p->count[insn->arg[2]]--;
    if (condition_of_flags(p->c, flags, IR_COND_C, &cc) && cc == CC_B &&
        take_eflags(p, value, flags, false)) {
        add_use(p, value, insn->arg[0]);
        add_use(p, value, insn->arg[1]);
        return true;
    }
    p->count[insn->arg[2]]++;
    return false;
}

/* Decides fusions of one instruction and lists what it uses. */
static void list_uses(Prepare *p, IrVal value, const IrInsn *insn)
{
    Compiler *c = p->c;
    u32 first = 0;

    if (insn->op == IR_BRANCH || insn->op == IR_SELECT) {
        fuse_condition(p, value, insn);
        first = 1;
    } else if (insn->op == IR_COND) {
        fuse_cond(p, value, insn);
        return;
    } else if (insn->op == IR_CMP && insn->sub < IR_TST && take_eflags(p, value, insn, true)) {
        drop_uses(p, insn);
        return;
    } else if (insn->op >= IR_FLAGS_ADD && insn->op <= IR_FLAGS_MAKE &&
               fuse_flags(p, value, insn)) {
        return;
    } else if (insn->op >= IR_DIVU2 && insn->op <= IR_DIVFITS && fuse_division(p, value, insn)) {
        return;
    } else if ((insn->op == IR_ADC || insn->op == IR_SBB) && fuse_carry(p, value, insn)) {
        return;
    } else if (insn->op >= IR_FLAGS_SHL && insn->op <= IR_FLAGS_SAR &&
               fuse_shift_flags(p, value, insn)) {
        return;
    } else if (insn->op == IR_ADD && !sets_eflags(c, value) && is_int((IrType)insn->type) &&
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
    } else if (insn->op == IR_NOTE && makes_integer_flags((IrOp)insn_of(c, insn->arg[0])->op) &&
               fuse_note(p, value, insn)) {
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
    bool memory = ir_ops[insn->op].properties & IR_PROP_MEM && insn->sub & IR_MEM_WRAP32;
    for (u32 i = first; i < ir_ops[insn->op].arg_count; i++) {
        IrVal arg = insn->arg[i];
        if (arg && memory && ir_ops[insn->op].rule[2 + i] != 'T') {
            arg = address_operand(c, insn, i);
        } else if (insn->op == IR_DEP && i == 1) {
            arg = field_operand(c, insn);
        }
        if (arg != insn->arg[i]) {
            p->count[insn->arg[i]]--;
            p->count[arg]++;
        }
        if (arg) {
            add_use(p, value, arg);
        }
    }
}

static bool may_fault(const Compiler *c, const IrInsn *insn)
{
    u32 properties = ir_ops[insn->op].properties;

    if (insn->op == IR_CALL) {
        return c->config->helpers[insn->imm].flags & IR_HELPER_FAULTS;
    }
    if (insn->op == IR_X87) {
        return insn->arg[0] != 0;
    }
    return properties & IR_PROP_MEM || (properties & IR_PROP_FP && fp_traps(c));
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
                 .notes = ARENA_ARRAY(c->arena, u8, n),
                 .block_of = arena_alloc(c->arena, n * sizeof(u32), 8)};

    c->clean = ARENA_ARRAY(c->arena, u8, n);
    c->fused = ARENA_ARRAY(c->arena, u8, n);
    count_uses(&p);
    find_aliases(&p);
    for (u32 b = c->region->block_count; b-- > 0;) {
        walk_block(&p, b);
    }
}
