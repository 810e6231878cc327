/* The control-flow graph of a region, computed when a pass asks for it.
 *
 * Valid until a terminator changes: who does that other than by appending one must set
 * region->graph to NULL. Blocks that cannot be reached from block 0 have no place in
 * `order` and no dominator. */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include "ir/ir.h"

enum { IR_NO_BLOCK = ~0u };

typedef struct IrGraph {
    u32 block_count;
    u32 *order; /* reachable blocks in reverse post-order: a dominator comes before what it
                   dominates */
    u32 order_count;
    bool unreachable;       /* blocks with instructions have no place there */
    u32 *rank;              /* by block: its place in `order`, or IR_NO_BLOCK */
    u32 *dominator;         /* by block: the immediate one; the entry's is itself; or IR_NO_BLOCK */
    u32 *first_predecessor; /* by block (one more than blocks): index into predecessors */
    u32 *predecessors;      /* ascending for each block, unreachable ones included */
} IrGraph;

/* Computes the graph, in `arena`. The region's successors must be in range, or are ignored. */
void ir_graph_make(const IrRegion *region, IrGraph *graph, Arena *arena);

/* The region's own graph, computed when it is not there or no longer valid; in its arena. */
const IrGraph *ir_graph(IrRegion *region);

/* Whether block a dominates block b (a block dominates itself). Both must be reachable. */
bool ir_dominates(const IrGraph *graph, u32 a, u32 b);

static inline u32 ir_predecessor_count(const IrGraph *graph, u32 block)
{
    return graph->first_predecessor[block + 1] - graph->first_predecessor[block];
}

/* Takes the edge from -> to out of the PHIs of `to`, for a caller that removes it from the
 * terminator of `from`. The graph is the one with the edge. */
void ir_phi_drop_edge(IrRegion *region, const IrGraph *graph, u32 from, u32 to);

/* Empties blocks that cannot be reached, and takes their edges out of PHIs. */
void ir_remove_unreachable(IrRegion *region);

#endif
