/* Optimizer passes and the pipeline that orders them. One file per pass, each named after it. */
#ifndef IR_PASS_H
#define IR_PASS_H

#include "ir/ir.h"

typedef void IrPassFn(IrRegion *region);

/* Constant folding and algebraic rules, with copy propagation: ir/fold.c. */
void ir_pass_fold(IrRegion *region);
/* State slots: gets see earlier puts of the same slot (also narrower and overlapping ones where
 * exact), inside blocks and along the region's dominator-safe paths: ir/forward.c. */
void ir_pass_forward(IrRegion *region);
/* Common subexpressions, dominator-scoped: ir/cse.c. */
void ir_pass_cse(IrRegion *region);
/* Conditions against their producer: COND of FLAGS_*, CMP of CMP ...: ir/flags.c. */
void ir_pass_flags(IrRegion *region);
/* Unused values: ir/dead.c. */
void ir_pass_dead(IrRegion *region);
/* Puts that are overwritten before anything can see them; those that only a fault could see become
 * NOTEs: ir/deadput.c. */
void ir_pass_deadput(IrRegion *region);
/* Values that only one way out of a block needs move there: ir/sink.c. */
void ir_pass_sink(IrRegion *region);
/* base + index << scale + displacement folded into LOAD and STORE: ir/address.c. */
void ir_pass_address(IrRegion *region);

/* The cheap pipeline for a cold block, and the full one for regions. With -d passes prints after
 * each pass; debug builds verify after each pass. */
void ir_optimize(IrRegion *region, bool full);

#endif
