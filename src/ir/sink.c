/* Moves values that only one way out of a block uses into that way's block, when nothing else leads
 * there: the other way need not compute them. Flags stored for a rare exit are the usual case.
 *
 * Goes backwards through each block that ends in a BRANCH, so that a value moves after its users
 * and their order stays. Only pure operations move: not GETs, whose slot may be put in between, nor
 * floating-point ones, whose exceptions belong where they are. */
#include "ir/graph.h"
#include "ir/pass.h"

/* Where a value's uses are: a block number + 1, or: */
enum { UNUSED = 0, SEVERAL = ~0u };

typedef struct Sink {
    IrRegion *region;
    u32 *here;  /* by value: uses in the block that defines it */
    u32 *there; /* by value: the block + 1 of all other uses */
    u32 *home;  /* by value: the block that defines it */
} Sink;

static void use_from(Sink *s, IrVal value, u32 block)
{
    if (!value) {
        return;
    }
    if (s->home[value] == block) {
        s->here[value]++;
    } else if (s->there[value] == UNUSED) {
        s->there[value] = block + 1;
    } else if (s->there[value] != block + 1) {
        s->there[value] = SEVERAL;
    }
}

static void count_uses(Sink *s)
{
    IrRegion *region = s->region;

    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            s->home[value] = block;
        }
    }
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            const IrInsn *insn = ir_insn(region, value);
            for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
                use_from(s, insn->arg[i], block);
            }
        }
    }
    for (u32 i = 0; i < region->phi_arg_count; i++) {
        s->there[region->phi_args[i]] = SEVERAL;
    }
}

static bool is_movable(const IrInsn *insn)
{
    u8 properties = ir_ops[insn->op].properties;

    return (properties & IR_PROP_PURE) && !(properties & IR_PROP_FP) && insn->op != IR_PHI &&
           insn->op != IR_CONST;
}

/* PHIs must come first; fold makes a copy of one with one argument. */
static bool starts_with_phi(const IrRegion *region, u32 block)
{
    return ir_insn(region, region->blocks[block].first)->op == IR_PHI;
}

/* Moves the value to the start of block `to`. */
static void move(Sink *s, u32 from, u32 to, IrVal value)
{
    IrRegion *region = s->region;
    IrInsn *insn = ir_insn(region, value);
    IrBlock *block = &region->blocks[to];

    ir_remove(region, from, value);
    insn->prev = 0;
    insn->next = block->first;
    ir_insn(region, block->first)->prev = value;
    block->first = value;
    for (u32 i = 0; i < ir_ops[insn->op].arg_count; i++) {
        if (insn->arg[i] && s->home[insn->arg[i]] == from) {
            s->here[insn->arg[i]]--;
            use_from(s, insn->arg[i], to);
        }
    }
    s->home[value] = to;
}

static void sink_from(Sink *s, u32 block)
{
    IrRegion *region = s->region;
    IrVal prev;

    for (IrVal value = region->blocks[block].last; value; value = prev) {
        prev = ir_insn(region, value)->prev;
        u32 there = s->there[value];
        if (s->here[value] || there == UNUSED || there == SEVERAL ||
            region->blocks[there - 1].predecessors != 1 || starts_with_phi(region, there - 1) ||
            !is_movable(ir_insn(region, value))) {
            continue;
        }
        const u32 *successor = region->blocks[block].successor;
        if (there - 1 == successor[0] || there - 1 == successor[1]) {
            move(s, block, there - 1, value);
        }
    }
}

void ir_pass_sink(IrRegion *region)
{
    if (region->block_count == 1) {
        return;
    }
    Sink s = {.region = region,
              .here = ARENA_ARRAY(region->arena, u32, region->insn_count),
              .there = ARENA_ARRAY(region->arena, u32, region->insn_count),
              .home = ARENA_ARRAY(region->arena, u32, region->insn_count)};
    ir_link_blocks(region);
    count_uses(&s);
    for (u32 block = 0; block < region->block_count; block++) {
        IrVal last = region->blocks[block].last;
        if (last && ir_insn(region, last)->op == IR_BRANCH &&
            region->blocks[block].successor[0] != region->blocks[block].successor[1]) {
            sink_from(&s, block);
        }
    }
}
