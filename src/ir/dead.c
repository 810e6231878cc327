/* Removes values that nothing uses, and copies.
 *
 * Roots are operations with effects. A floating-point operation counts as one, as it raises flags;
 * guests rarely leave one unused. Values are marked from the roots, so that unused PHIs of loops,
 * which use each other, go as well. */
#include "ir/pass.h"

typedef struct Marker {
    IrRegion *region;
    u8 *live;     /* by value */
    IrVal *stack; /* live values whose arguments are still to be marked */
    u32 depth;
} Marker;

static bool is_root(const IrRegion *region, const IrInsn *insn)
{
    u8 properties = ir_ops[insn->op].properties;

    if (insn->op == IR_CALL) {
        return !(ir_helper_flags(region, insn) & IR_HELPER_PURE);
    }
    return properties & (IR_PROP_EFFECT | IR_PROP_END | IR_PROP_FP | IR_PROP_MEM);
}

/* Marks what stands in *arg, behind copies. */
static void mark(Marker *m, IrVal *arg)
{
    if (!*arg) {
        return;
    }
    *arg = ir_resolve(m->region, *arg);
    if (!m->live[*arg]) {
        m->live[*arg] = 1;
        m->stack[m->depth++] = *arg;
    }
}

static void mark_args(Marker *m, IrVal value, u32 phi_count)
{
    IrInsn *insn = &m->region->insns[value];

    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        mark(m, &insn->arg[i]);
    }
    if (insn->op == IR_PHI) {
        for (u32 i = 0; i < phi_count; i++) {
            mark(m, &m->region->phi_args[insn->imm + i]);
        }
    }
}

/* The roots themselves, and the number of arguments of each PHI (in scratch). */
static void mark_roots(Marker *m)
{
    IrRegion *region = m->region;

    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            IrInsn *insn = &region->insns[value];
            insn->scratch = region->blocks[block].predecessors;
            if (is_root(region, insn)) {
                m->live[value] = 1;
                mark_args(m, value, 0);
            }
        }
    }
}

static void sweep(Marker *m)
{
    IrRegion *region = m->region;

    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            if (!m->live[value]) {
                ir_remove(region, block, value);
            }
        }
    }
}

void ir_pass_dead(IrRegion *region)
{
    Marker m = {.region = region,
                .live = ARENA_ARRAY(region->arena, u8, region->insn_count),
                .stack = arena_alloc(region->arena, region->insn_count * sizeof(IrVal), 8)};

    ir_link_blocks(region);
    mark_roots(&m);
    while (m.depth) {
        IrVal value = m.stack[--m.depth];
        mark_args(&m, value, region->insns[value].scratch);
    }
    sweep(&m);
}
