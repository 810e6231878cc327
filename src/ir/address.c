/* Address folding: the additions behind the address of a LOAD or STORE move into its addressing
 * form, base + (index << scale) + displacement.
 *
 * An addition whose result was PUT before the access is left alone: it is in a register anyway, and
 * looking through it would keep the old value of that register alive (a stack pointer, say). */
#include "ir/pass.h"

enum { STORED = 1 }; /* scratch: a PUT or NOTE of the value was seen */

/* The addition that makes `value`, or NULL. */
static const IrInsn *addition(const IrRegion *region, IrVal value)
{
    const IrInsn *insn = &region->insns[value];

    return insn->op == IR_ADD && insn->scratch != STORED ? insn : NULL;
}

/* value + constant in the base goes to the displacement while that stays a signed 32-bit number. */
static void fold_displacement(const IrRegion *region, IrInsn *access)
{
    const IrInsn *add;

    while ((add = addition(region, access->arg[0]))) {
        IrVal x = ir_resolve(region, add->arg[0]), y = ir_resolve(region, add->arg[1]);
        u64 sum = access->imm + region->insns[y].imm;
        if (region->insns[y].op != IR_CONST || (u64)(s32)sum != sum) {
            return;
        }
        access->arg[0] = x;
        access->imm = sum;
    }
}

/* A shift of the index by up to 3 goes to the scale. */
static void fold_scale(const IrRegion *region, IrInsn *access)
{
    const IrInsn *shift = &region->insns[access->arg[1]];

    if (shift->op == IR_SHL && shift->scratch != STORED) {
        const IrInsn *count = &region->insns[ir_resolve(region, shift->arg[1])];
        if (count->op == IR_CONST && (count->imm & 63) <= 3) {
            access->arg[1] = ir_resolve(region, shift->arg[0]);
            access->sub |= (u8)(count->imm & 3);
        }
    }
}

static void fold_index(const IrRegion *region, IrInsn *access)
{
    const IrInsn *add = addition(region, access->arg[0]);

    if (!add) {
        return;
    }
    access->arg[0] = ir_resolve(region, add->arg[0]);
    access->arg[1] = ir_resolve(region, add->arg[1]);
    if (region->insns[access->arg[0]].op == IR_SHL) { /* the shifted one is the index */
        IrVal shifted = access->arg[0];
        access->arg[0] = access->arg[1];
        access->arg[1] = shifted;
    }
    fold_scale(region, access);
}

static void fold_access(const IrRegion *region, IrInsn *access)
{
    access->arg[0] = ir_resolve(region, access->arg[0]);
    fold_displacement(region, access);
    if (!access->arg[1]) {
        fold_index(region, access);
        fold_displacement(region, access);
    }
}

void ir_pass_address(IrRegion *region)
{
    if (!ir_may_have(region, IR_LOAD) && !ir_may_have(region, IR_STORE)) {
        return;
    }
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            region->insns[value].scratch = 0;
        }
    }
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            IrInsn *insn = &region->insns[value];
            switch ((IrOp)insn->op) {
            case IR_PUT:
            case IR_NOTE:
                region->insns[ir_resolve(region, insn->arg[0])].scratch = STORED;
                break;
            case IR_LOAD:
            case IR_STORE:
                fold_access(region, insn);
                break;
            default:
                break;
            }
        }
    }
}
