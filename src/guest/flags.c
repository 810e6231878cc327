/* Puts of flags that nobody reads: see flags.h. */
#include "guest/flags.h"

/* Whether an operation after `value` in its block may leave with a fault. */
static bool may_fault_after(const IrRegion *region, IrVal value)
{
    for (value = region->insns[value].next; value; value = region->insns[value].next) {
        u8 properties = ir_ops[region->insns[value].op].properties;

        if (properties & (IR_PROP_MEM | IR_PROP_FP) || region->insns[value].op == IR_CALL) {
            return true;
        }
    }
    return false;
}

void guest_drop_put(IrBuilder *b, IrVal put)
{
    if (may_fault_after(b->region, put)) {
        b->region->insns[put].op = IR_NOTE;
    } else {
        ir_remove(b->region, b->block, put);
    }
}
