/* Control-flow graph: orders and dominators (Cooper, Harvey, Kennedy: "A Simple, Fast Dominance
 * Algorithm"). See graph.h. */
#include "ir/graph.h"

/* Successor `index` of a block, or IR_NO_BLOCK where it doesn't exist. */
static u32 successor(const IrRegion *region, u32 block, u32 index)
{
    u32 to = index < ir_successor_count(region, block) ? region->blocks[block].successor[index]
                                                       : IR_NO_BLOCK;
    return to < region->block_count ? to : IR_NO_BLOCK;
}

/* Arrays that only the computation needs, of block_count + 1 elements each, zeroed. */
typedef struct Scratch {
    u32 *fill;      /* by block: where its next predecessor goes */
    u32 *stack;     /* of the walk */
    u32 *visited;   /* by block: successors seen, plus one */
    u32 *successor; /* two a block: see successor() */
} Scratch;

static void make_predecessors(const IrRegion *region, IrGraph *graph, Scratch *scratch)
{
    u32 count = region->block_count, total = 0;

    for (u32 i = 0; i < count * 2; i++) {
        u32 to = scratch->successor[i] = successor(region, i / 2, i % 2);
        if (to != IR_NO_BLOCK) {
            graph->first_predecessor[to + 1]++;
        }
    }
    for (u32 i = 0; i < count; i++) {
        total += graph->first_predecessor[i + 1];
        graph->first_predecessor[i + 1] = total;
        scratch->fill[i] = graph->first_predecessor[i];
    }
    for (u32 i = 0; i < count * 2; i++) {
        u32 to = scratch->successor[i];
        if (to != IR_NO_BLOCK) {
            graph->predecessors[scratch->fill[to]++] = i / 2;
        }
    }
}

/* Depth-first walk with an explicit stack: regions may be deep. `order` is filled from its end. */
static void make_order(const IrRegion *region, IrGraph *graph, Scratch *scratch)
{
    u32 count = region->block_count, depth = 0, left = count;
    u32 *stack = scratch->stack, *visited = scratch->visited;

    stack[depth++] = 0;
    visited[0] = 1;
    while (depth) {
        u32 block = stack[depth - 1];
        if (visited[block] > 2) {
            graph->order[--left] = block;
            depth--;
            continue;
        }
        u32 to = scratch->successor[2 * block + visited[block]++ - 1];
        if (to != IR_NO_BLOCK && !visited[to]) {
            visited[to] = 1;
            stack[depth++] = to;
        }
    }
    graph->order += left;
    graph->order_count = count - left;
    for (u32 i = 0; i < count; i++) {
        graph->rank[i] = IR_NO_BLOCK;
        graph->unreachable |= !visited[i] && region->blocks[i].first;
    }
    for (u32 i = 0; i < graph->order_count; i++) {
        graph->rank[graph->order[i]] = i;
    }
}

/* The nearest common dominator of two blocks whose dominators are known. */
static u32 common_dominator(const IrGraph *graph, u32 a, u32 b)
{
    while (a != b) {
        while (graph->rank[a] > graph->rank[b]) {
            a = graph->dominator[a];
        }
        while (graph->rank[b] > graph->rank[a]) {
            b = graph->dominator[b];
        }
    }
    return a;
}

static u32 find_dominator(const IrGraph *graph, u32 block)
{
    u32 best = IR_NO_BLOCK;

    for (u32 i = graph->first_predecessor[block]; i < graph->first_predecessor[block + 1]; i++) {
        u32 from = graph->predecessors[i];
        if (graph->dominator[from] != IR_NO_BLOCK) {
            best = best == IR_NO_BLOCK ? from : common_dominator(graph, best, from);
        }
    }
    return best;
}

static void make_dominators(IrGraph *graph)
{
    bool changed = true;

    for (u32 i = 0; i < graph->block_count; i++) {
        graph->dominator[i] = i ? IR_NO_BLOCK : 0;
    }
    while (changed) {
        changed = false;
        for (u32 i = 1; i < graph->order_count; i++) {
            u32 block = graph->order[i];
            u32 dominator = find_dominator(graph, block);
            changed |= graph->dominator[block] != dominator;
            graph->dominator[block] = dominator;
        }
    }
}

void ir_graph_make(const IrRegion *region, IrGraph *graph, Arena *arena)
{
    u32 size = region->block_count + 1;
    u32 *memory = ARENA_ARRAY(arena, u32, size * 11 + 1);
    Scratch scratch = {memory, memory + size, memory + size * 2, memory + size * 9 + 1};

    *graph = (IrGraph){
        .block_count = region->block_count,
        .order = memory + size * 3,
        .rank = memory + size * 4,
        .dominator = memory + size * 5,
        .predecessors = memory + size * 6,
        .first_predecessor = memory + size * 8, /* one more */
    };
    make_predecessors(region, graph, &scratch);
    if (region->block_count) {
        make_order(region, graph, &scratch);
    }
    make_dominators(graph);
}

const IrGraph *ir_graph(IrRegion *region)
{
    if (!region->graph) {
        region->graph = arena_alloc(region->arena, sizeof(IrGraph), 8);
        ir_graph_make(region, region->graph, region->arena);
    }
    return region->graph;
}

bool ir_dominates(const IrGraph *graph, u32 a, u32 b)
{
    while (graph->rank[b] > graph->rank[a]) {
        b = graph->dominator[b];
    }
    return a == b;
}

void ir_phi_drop_edge(IrRegion *region, const IrGraph *graph, u32 from, u32 to)
{
    u32 count = ir_predecessor_count(graph, to), index = 0;

    while (graph->predecessors[graph->first_predecessor[to] + index] != from) {
        index++;
    }
    IR_FOR_EACH(region, to, value)
    {
        IrInsn *insn = &region->insns[value];
        if (insn->op != IR_PHI) {
            break;
        }
        for (u32 i = index; i + 1 < count; i++) {
            region->phi_args[insn->imm + i] = region->phi_args[insn->imm + i + 1];
        }
    }
}

void ir_remove_unreachable(IrRegion *region)
{
    const IrGraph *graph = ir_graph(region);

    if (!graph->unreachable) {
        return;
    }
    for (u32 block = 0; block < region->block_count; block++) {
        const u32 *from = graph->predecessors + graph->first_predecessor[block];
        u32 count = ir_predecessor_count(graph, block);

        if (graph->rank[block] == IR_NO_BLOCK) {
            region->blocks[block].first = region->blocks[block].last = 0;
            continue;
        }
        for (IrVal v = region->blocks[block].first; region->insns[v].op == IR_PHI;
             v = region->insns[v].next) {
            IrVal *args = region->phi_args + region->insns[v].imm;
            for (u32 i = 0, kept = 0; i < count; i++) {
                args[kept] = args[i];
                kept += graph->rank[from[i]] != IR_NO_BLOCK;
            }
        }
    }
    region->graph = NULL;
    ir_link_blocks(region);
}
