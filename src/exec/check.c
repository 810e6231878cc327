/* See check.h. */
#include <string.h>

#include "exec/check.h"

void check_begin(Job *job)
{
    job->t.b.block = ir_block_new(job->t.b.region);
}

/* Or-s to `changed` what differs in up to 8 bytes at start + at; 0: nothing yet. */
static IrVal compare_part(IrBuilder *b, IrVal changed, IrVal start, u32 at, u32 size,
                          const u8 *expected)
{
    static const IrType types[] = {[1] = IR_I8, [2] = IR_I16, [4] = IR_I32, [8] = IR_I64};
    IrType type = types[size];
    u64 bytes = 0;

    memcpy(&bytes, expected, size);
    IrVal found = ir_load(b, type, 0, start, at);
    IrVal difference = ir_zext(b, IR_I64, ir_xor(b, found, ir_const(b, type, bytes)));
    return changed ? ir_or(b, changed, difference) : difference;
}

static IrVal compare_extent(IrBuilder *b, IrVal changed, const CodeExtent *extent, const u8 *bytes)
{
    u32 left = (u32)(extent->end - extent->start), at = 0;
    IrVal start = ir_const(b, IR_I64, extent->start);

    while (left) {
        u32 size = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        changed = compare_part(b, changed, start, at, size, bytes + at);
        at += size;
        left -= size;
    }
    return changed;
}

void check_end(Job *job)
{
    IrRegion *region = job->t.b.region;
    IrBuilder b = {.region = region, .block = 0};
    u32 leave = ir_block_new(region);
    IrVal changed = compare_extent(&b, 0, &job->extents[0], job->main_bytes);

    changed = compare_extent(&b, changed, &job->extents[1], job->ahead_bytes);
    ir_branch(&b, ir_cmp(&b, IR_NE, changed, ir_const(&b, IR_I64, 0)), leave, 1);
    region->blocks[leave].cold = true;
    b.block = leave;
    ir_exit(&b, IR_EXIT_CODE_CHANGED, region->guest_pc, 0);
    ir_link_blocks(region);
}

static bool may_store(const IrRegion *region, const IrInsn *insn)
{
    return insn->op == IR_STORE || insn->op == IR_CAS || insn->op == IR_RMW ||
           (insn->op == IR_X87 && insn->arg[0]) ||
           (insn->op == IR_CALL && ir_helper_flags(region, insn) & IR_HELPER_FAULTS);
}

/* Instructions were appended in the order of the guest's, whatever block they are in. */
u32 check_first_store(const IrRegion *region)
{
    u32 count = 0;

    for (IrVal value = 1; value < region->insn_count; value++) {
        const IrInsn *insn = ir_insn(region, value);
        count += insn->op == IR_INSN;
        if (may_store(region, insn)) {
            return count;
        }
    }
    return 0;
}
