/* Removes values that nothing uses, and copies.
 *
 * Roots are operations with effects. A floating-point operation counts as one, as it raises flags;
 * guests rarely leave one unused. Backward scans mark what roots use: one is enough where all uses
 * come after their definitions, as without loops; otherwise they repeat until nothing is marked
 * behind the scan's back. PHIs of loops that only use each other are never marked. Blocks that
 * cannot be reached go first: their uses obey no order. */
#include "ir/graph.h"
#include "ir/pass.h"

enum { LIVE = 1, PASSED = 2 };

typedef struct Marker {
    IrRegion *region;
    u8 *marks; /* by value: LIVE, PASSED by the current scan */
    bool again;
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
    if (*arg) {
        *arg = ir_resolve(m->region, *arg);
        m->again |= m->marks[*arg] == PASSED;
        m->marks[*arg] |= LIVE;
    }
}

static void mark_args(Marker *m, u32 block, IrVal value)
{
    IrInsn *insn = &m->region->insns[value];

    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        mark(m, &insn->arg[i]);
    }
    if (insn->op == IR_PHI) {
        for (u32 i = 0; i < m->region->blocks[block].predecessors; i++) {
            mark(m, &m->region->phi_args[insn->imm + i]);
        }
    }
}

/* Goes through all blocks backwards; `remove`: what is not live then goes. */
static void scan(Marker *m, bool remove)
{
    IrRegion *region = m->region;

    for (u32 block = region->block_count; block-- > 0;) {
        IrVal prev;
        for (IrVal value = region->blocks[block].last; value; value = prev) {
            prev = region->insns[value].prev;
            if ((m->marks[value] & LIVE) || is_root(region, &region->insns[value])) {
                mark_args(m, block, value);
                m->marks[value] = LIVE | PASSED;
            } else if (remove) {
                ir_remove(region, block, value);
            } else {
                m->marks[value] = PASSED;
            }
        }
    }
}

/* Whether blocks are in an order in which uses come after definitions. */
static bool is_ordered(const IrRegion *region)
{
    for (u32 block = 0; block < region->block_count; block++) {
        for (u32 i = 0; i < ir_successor_count(region, block); i++) {
            if (region->blocks[block].successor[i] <= block) {
                return false;
            }
        }
    }
    return true;
}

void ir_pass_dead(IrRegion *region)
{
    Marker m = {.region = region, .marks = ARENA_ARRAY(region->arena, u8, region->insn_count)};

    ir_remove_unreachable(region);
    ir_link_blocks(region);
    m.again = !is_ordered(region);
    while (m.again) {
        m.again = false;
        scan(&m, false);
    }
    scan(&m, true);
}
