/* Common subexpressions: of two equal pure operations the later becomes a COPY of the earlier,
 * where that one dominates it.
 *
 * Blocks are visited dominators first; a hash table chains all values seen. Floating-point
 * operations are only merged within a block and between calls of helpers that may change the
 * floating-point environment. */
#include "ir/graph.h"
#include "ir/pass.h"

typedef struct Cse {
    IrRegion *region;
    const IrGraph *graph; /* NULL: one block */
    u32 *buckets;         /* hash -> the latest value */
    u32 *chain;           /* value -> the one before with the same hash; valid where in a bucket */
    u32 *scope;           /* value -> its block, or the place of an FP operation: see scope_of() */
    u32 mask;
    u32 block;
    u32 fp_scope; /* number of the current stretch without FP environment changes */
} Cse;

static bool is_commutative(const IrInsn *insn)
{
    return ir_ops[insn->op].properties & IR_PROP_COMM;
}

static u32 hash_of(const IrInsn *insn)
{
    u64 args = insn->arg[0] + ((u64)insn->arg[1] << (is_commutative(insn) ? 0 : 20)) +
               ((u64)insn->arg[2] << 40);
    u64 hash = insn->op | (u64)insn->type << 8 | (u64)insn->lane << 16 | (u64)insn->sub << 24;

    hash = (hash ^ insn->imm ^ insn->imm2 << 32) * 0x9e3779b97f4a7c15 ^ args;
    hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15;
    return (u32)(hash >> 32);
}

static bool equal(const IrInsn *a, const IrInsn *b)
{
    bool straight = a->arg[0] == b->arg[0] && a->arg[1] == b->arg[1];
    bool swapped = is_commutative(a) && a->arg[0] == b->arg[1] && a->arg[1] == b->arg[0];

    return a->op == b->op && a->type == b->type && a->lane == b->lane && a->sub == b->sub &&
           a->imm == b->imm && a->imm2 == b->imm2 && a->arg[2] == b->arg[2] &&
           (straight || swapped);
}

static bool is_fp(const IrInsn *insn)
{
    return ir_ops[insn->op].properties & IR_PROP_FP;
}

/* Whether what `earlier` computed is there and the same now. */
static bool available(const Cse *c, IrVal earlier)
{
    if (is_fp(&c->region->insns[earlier])) {
        return c->scope[earlier] == c->fp_scope;
    }
    return !c->graph || ir_dominates(c->graph, c->scope[earlier], c->block);
}

static void resolve_args(Cse *c, IrInsn *insn)
{
    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        insn->arg[i] = ir_resolve(c->region, insn->arg[i]);
    }
}

static void visit(Cse *c, IrVal value)
{
    IrInsn *insn = &c->region->insns[value];

    resolve_args(c, insn);
    if (insn->op == IR_CALL && (ir_helper_flags(c->region, insn) & IR_HELPER_FP)) {
        c->fp_scope++;
    }
    if (!(ir_ops[insn->op].properties & IR_PROP_PURE) || insn->op == IR_PHI ||
        insn->op == IR_COPY) {
        return;
    }
    u32 *bucket = &c->buckets[hash_of(insn) & c->mask];
    for (IrVal earlier = *bucket; earlier; earlier = c->chain[earlier]) {
        if (equal(&c->region->insns[earlier], insn) && available(c, earlier)) {
            *insn = (IrInsn){.op = IR_COPY,
                             .type = insn->type,
                             .arg = {earlier},
                             .prev = insn->prev,
                             .next = insn->next};
            return;
        }
    }
    c->scope[value] = is_fp(insn) ? c->fp_scope : c->block;
    c->chain[value] = *bucket;
    *bucket = value;
}

void ir_pass_cse(IrRegion *region)
{
    Arena *arena = region->arena;
    Cse c = {.region = region, .mask = 15};
    const IrGraph *graph = ir_graph(region);

    while (c.mask < region->insn_count) {
        c.mask = c.mask * 2 + 1;
    }
    c.buckets = ARENA_ARRAY(arena, u32, c.mask + 1);
    c.chain = arena_alloc(arena, region->insn_count * sizeof(u32), 8);
    c.scope = arena_alloc(arena, region->insn_count * sizeof(u32), 8);
    c.graph = graph->order_count > 1 ? graph : NULL;
    for (u32 i = 0; i < graph->order_count; i++) {
        c.block = graph->order[i];
        c.fp_scope++;
        IR_FOR_EACH(region, c.block, value)
        {
            visit(&c, value);
        }
    }
}
