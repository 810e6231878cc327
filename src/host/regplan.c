/* The allocator's plan: liveness across blocks, next uses, targets, NOTE lifetimes. One backward
 * walk per block; see regalloc.h. */
#include "host/regalloc.h"

#include <string.h>

/* The put last seen of slots at offsets with the same hash; a collision forgets one, which keeps a
 * NOTE's value for longer, and a register with it. Slots of a guest's registers should not collide,
 * nor the halves of one. */
enum { PUT_HASH = 128, PUT_UNIT = 8 };
typedef struct SeenPut {
    u32 offset, size;
    u32 block; /* number plus 1 */
    u32 position;
} SeenPut;

typedef struct Plan {
    RegAlloc *ra;
    u32 *next; /* by value: position of its next use as the walk sees it */
    IrVal
        pending[REG_PINS];  /* value to be put to the pin further on, its definition not seen yet */
    u32 pending_count;      /* non-zero entries of pending */
    u32 block;              /* being walked, plus 1 */
    SeenPut puts[PUT_HASH]; /* further on in this block, where SeenPut.block says so */
    u32 *fault_before;      /* by position: the last one before it that needs NOTEs */
    /* Values that live across blocks, numbered densely; bit sets of these numbers. */
    u32 *global;   /* by value: number + 1, or 0 */
    IrVal *values; /* by number */
    u32 global_count, words;
    u64 *live_in, *live_out, *used, *defined; /* `words` per block */
} Plan;

/* -- What lives across blocks */

static void make_global(Plan *plan, IrVal value)
{
    if (!plan->global[value]) {
        plan->values[plan->global_count++] = value;
        plan->global[value] = plan->global_count;
    }
}

static void find_globals(Plan *plan)
{
    RegAlloc *ra = plan->ra;
    const IrRegion *region = ra->region;
    u32 *block_of = ARENA_ARRAY(ra->arena, u32, region->insn_count);

    for (u32 b = 0; b < region->block_count; b++) {
        IR_FOR_EACH(region, b, value)
        {
            block_of[value] = b + 1;
        }
    }
    for (u32 b = 0; b < region->block_count; b++) {
        IR_FOR_EACH(region, b, value)
        {
            const IrInsn *insn = ir_insn(region, value);
            if (!(ra->traits[value] & REG_EMITTED)) {
                continue;
            }
            for (u32 i = 0; i < ra->uses[value].count; i++) {
                if (block_of[ra->uses[value].value[i]] != b + 1) {
                    make_global(plan, ra->uses[value].value[i]);
                }
            }
            if (insn->op == IR_PHI) {
                make_global(plan, value);
                for (u32 i = 0; i < region->blocks[b].predecessors; i++) {
                    make_global(plan, ra_root(ra, region->phi_args[insn->imm + i]));
                }
            }
        }
    }
}

static u64 *set_of(const Plan *plan, u64 *sets, u32 block)
{
    return sets + (size_t)block * plan->words;
}

static void add(const Plan *plan, u64 *set, IrVal value)
{
    u32 number = plan->global[value] - 1;

    set[number / 64] |= (u64)1 << number % 64;
}

static bool contains(const Plan *plan, const u64 *set, IrVal value)
{
    u32 number = plan->global[value] - 1;

    return plan->global[value] && set[number / 64] >> number % 64 & 1;
}

static void block_sets(Plan *plan, u32 b)
{
    const RegAlloc *ra = plan->ra;
    u64 *used = set_of(plan, plan->used, b), *defined = set_of(plan, plan->defined, b);

    IR_FOR_EACH(ra->region, b, value)
    {
        if (!(ra->traits[value] & REG_EMITTED)) {
            continue;
        }
        for (u32 i = 0; i < ra->uses[value].count; i++) {
            IrVal operand = ra->uses[value].value[i];
            if (plan->global[operand] && !contains(plan, defined, operand)) {
                add(plan, used, operand);
            }
        }
        if (plan->global[value]) {
            add(plan, defined, value);
        }
    }
}

/* live_out(b) |= what successor s wants from the edge that is its predecessor number `index`. */
static void flow_back(Plan *plan, u32 b, u32 s, u32 index)
{
    const RegAlloc *ra = plan->ra;
    const IrRegion *region = ra->region;
    u64 *out = set_of(plan, plan->live_out, b), *in = set_of(plan, plan->live_in, s);

    for (u32 w = 0; w < plan->words; w++) {
        out[w] |= in[w];
    }
    for (IrVal phi = region->blocks[s].first; phi && ir_insn(region, phi)->op == IR_PHI;
         phi = ir_insn(region, phi)->next) {
        if (ra->traits[phi] & REG_EMITTED) {
            add(plan, out, ra_root(ra, region->phi_args[ir_insn(region, phi)->imm + index]));
        }
    }
}

u32 ra_successors(const IrRegion *region, u32 block)
{
    const IrBlock *b = &region->blocks[block];
    IrOp op = b->last ? (IrOp)ir_insn(region, b->last)->op : IR_EXIT;

    return op == IR_BRANCH ? 2 : op == IR_JUMP ? 1 : 0;
}

bool ra_merges(const IrRegion *region, u32 block)
{
    IrVal first = region->blocks[block].first;

    return block == 0 || region->blocks[block].predecessors > 1 ||
           (first && ir_insn(region, first)->op == IR_PHI);
}

u32 ra_predecessor_index(const IrRegion *region, u32 from, u32 successor)
{
    u32 to = region->blocks[from].successor[successor], index = 0;

    for (u32 b = 0; b < from; b++) {
        for (u32 i = 0; i < ra_successors(region, b); i++) {
            index += region->blocks[b].successor[i] == to;
        }
    }
    return index + (successor == 1 && region->blocks[from].successor[0] == to);
}

static void find_liveness(Plan *plan)
{
    const IrRegion *region = plan->ra->region;
    size_t total = (size_t)region->block_count * plan->words;
    bool changed = true;

    plan->live_in = ARENA_ARRAY(plan->ra->arena, u64, total);
    plan->live_out = ARENA_ARRAY(plan->ra->arena, u64, total);
    plan->used = ARENA_ARRAY(plan->ra->arena, u64, total);
    plan->defined = ARENA_ARRAY(plan->ra->arena, u64, total);
    for (u32 b = 0; b < region->block_count; b++) {
        block_sets(plan, b);
    }
    while (changed) {
        changed = false;
        for (u32 b = region->block_count; b-- > 0;) {
            for (u32 i = 0; i < ra_successors(region, b); i++) {
                flow_back(plan, b, region->blocks[b].successor[i],
                          ra_predecessor_index(region, b, i));
            }
            for (u32 w = 0; w < plan->words; w++) {
                u64 in = set_of(plan, plan->used, b)[w] |
                         (set_of(plan, plan->live_out, b)[w] & ~set_of(plan, plan->defined, b)[w]);
                changed |= in != set_of(plan, plan->live_in, b)[w];
                set_of(plan, plan->live_in, b)[w] = in;
            }
        }
    }
}

/* -- Targets: values computed straight into the pinned register they will be put to */

static void forget_pending(Plan *plan, u32 pin)
{
    IrVal value = plan->pending[pin];

    if (value) {
        if (plan->ra->values[value].target == pin) {
            plan->ra->values[value].target = REG_PIN_NONE;
        }
        plan->pending[pin] = 0;
        plan->pending_count--;
    }
}

static void forget_all_pending(Plan *plan)
{
    for (u32 pin = 0; plan->pending_count && pin < plan->ra->pins->count; pin++) {
        forget_pending(plan, pin);
    }
}

static void slot_access(Plan *plan, IrVal access, u32 position)
{
    RegAlloc *ra = plan->ra;
    const IrInsn *insn = ir_insn(ra->region, access);
    u32 offset = (u32)insn->imm, size = ir_type_size((IrType)insn->type);
    bool overlaps;
    u8 pin = ra_pin_of(ra->pins, offset, size, &overlaps);

    if (overlaps) {
        forget_all_pending(plan);
    } else if (pin != REG_PIN_NONE) {
        forget_pending(plan, pin);
    }
    if (insn->op == IR_GET) {
        return;
    }
    if (pin != REG_PIN_NONE && size == ra->pins->pin[pin].size && ra->uses[access].count == 1) {
        IrVal value = ra->uses[access].value[0];
        if (ir_insn(ra->region, value)->op != IR_CONST && ra->values[value].width <= size &&
            ra->values[value].class ==
                (ra->pins->pin[pin].reg < REG_COUNT / 2 ? REG_INT : REG_VECTOR)) {
            plan->pending[pin] = value;
            plan->pending_count++;
            ra->values[value].target = pin;
        }
    }
    SeenPut *seen = &plan->puts[offset / PUT_UNIT % PUT_HASH];
    if (insn->op == IR_NOTE) {
        bool covered = seen->block == plan->block && seen->offset == offset && seen->size >= size;
        u32 end = covered ? seen->position : plan->fault_before[0];
        u32 fault = plan->fault_before[end];
        for (u32 i = 0; i < ra->uses[access].count && fault > position; i++) {
            RegValue *v = &ra->values[ra->uses[access].value[i]];
            v->keep_until = MAX(v->keep_until, fault + 1);
        }
    }
    *seen = (SeenPut){offset, size, plan->block, position};
}

/* -- The backward walk */

static void walk_insn(Plan *plan, IrVal value, u32 position)
{
    RegAlloc *ra = plan->ra;
    const IrInsn *insn = ir_insn(ra->region, value);
    RegUses *uses = &ra->uses[value];

    if (!(ra->traits[value] & REG_EMITTED)) {
        return;
    }
    if (insn->type != IR_VOID && ra->root[value] == value) {
        ra->values[value].first_use = plan->next[value];
        plan->next[value] = REG_NEVER;
        u8 target = ra->values[value].target;
        if (target != REG_PIN_NONE && plan->pending[target] == value) {
            plan->pending[target] = 0; /* where else it waits, it is no target */
            plan->pending_count--;
        }
    }
    if (ra->traits[value] & (REG_FAULTS | REG_READS_STATE)) {
        forget_all_pending(plan);
    }
    if (insn->op == IR_GET || insn->op == IR_PUT || insn->op == IR_NOTE) {
        slot_access(plan, value, position);
    }
    for (u32 i = 0; i < uses->count; i++) {
        uses->next[i] = plan->next[uses->value[i]];
    }
    for (u32 i = 0; i < uses->count; i++) {
        plan->next[uses->value[i]] = position;
    }
}

/* fault_before[p], and the number of positions in element 0. */
static u32 number_positions(Plan *plan, u32 b)
{
    const RegAlloc *ra = plan->ra;
    u32 position = 0, last_fault = 0;

    IR_FOR_EACH(ra->region, b, value)
    {
        plan->fault_before[++position] = last_fault;
        if (ra->traits[value] & (REG_FAULTS | REG_READS_STATE)) {
            last_fault = position;
        }
    }
    plan->fault_before[position + 1] = last_fault;
    plan->fault_before[0] = position + 1;
    return position;
}

static void collect_live_in(Plan *plan, u32 b)
{
    RegAlloc *ra = plan->ra;
    const u64 *in = set_of(plan, plan->live_in, b);
    RegLiveIn *list = ARENA_ARRAY(ra->arena, RegLiveIn, plan->global_count + 1);
    u32 count = 0;

    for (u32 i = 0; i < plan->global_count; i++) {
        if (in[i / 64] >> i % 64 & 1) {
            list[count++] = (RegLiveIn){plan->values[i], plan->next[plan->values[i]]};
        }
    }
    for (IrVal phi = ra->region->blocks[b].first; phi && ir_insn(ra->region, phi)->op == IR_PHI;
         phi = ir_insn(ra->region, phi)->next) {
        if (ra->traits[phi] & REG_EMITTED) {
            list[count++] = (RegLiveIn){phi, ra->values[phi].first_use};
        }
    }
    ra->live_in[b] = list;
}

static void walk_block(Plan *plan, u32 b)
{
    RegAlloc *ra = plan->ra;
    u32 position = number_positions(plan, b);

    plan->block = b + 1;
    for (u32 i = 0; i < plan->global_count; i++) {
        if (contains(plan, set_of(plan, plan->live_out, b), plan->values[i])) {
            plan->next[plan->values[i]] = REG_ELSEWHERE;
        }
    }
    for (IrVal value = ra->region->blocks[b].last; value;
         value = ir_insn(ra->region, value)->prev) {
        walk_insn(plan, value, position--);
    }
    forget_all_pending(plan);
    if (!plan->global_count) {
        static const RegLiveIn none = {0};
        ra->live_in[b] = (RegLiveIn *)&none;
        return;
    }
    collect_live_in(plan, b);
    for (u32 i = 0; i < plan->global_count; i++) {
        plan->next[plan->values[i]] = REG_NEVER;
    }
}

void ra_plan(RegAlloc *ra)
{
    const IrRegion *region = ra->region;
    u32 n = region->insn_count;
    Plan plan = {.ra = ra,
                 .next = arena_alloc(ra->arena, n * sizeof(u32), 8),
                 .fault_before = arena_alloc(ra->arena, (n + 2) * sizeof(u32), 8),
                 .global = ARENA_ARRAY(ra->arena, u32, n),
                 .values = arena_alloc(ra->arena, n * sizeof(IrVal), 8)};

    memset(plan.next, 0xff, n * sizeof(u32)); /* REG_NEVER */
    if (region->block_count > 1) {
        find_globals(&plan);
        plan.words = (plan.global_count + 63) / 64;
    }
    if (plan.global_count) {
        find_liveness(&plan);
    }
    for (u32 b = 0; b < region->block_count; b++) {
        walk_block(&plan, b);
    }
}
