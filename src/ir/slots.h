/* State slots as sets of bytes, for the passes that follow what slots hold.
 * Private to forward.c and deadput.c. */
#ifndef IR_SLOTS_H
#define IR_SLOTS_H

#include "ir/ir.h"

/* One past the last byte of the state that the region touches. */
static inline u32 ir_state_end(const IrRegion *region)
{
    u32 end = 0;

    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            const IrInsn *insn = &region->insns[value];
            if (ir_ops[insn->op].properties & IR_PROP_STATE) {
                end = MAX(end, (u32)insn->imm + ir_type_size(insn->type));
            }
        }
    }
    return end;
}

#endif
