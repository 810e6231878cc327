/* Address folding: the additions behind the address of a LOAD or STORE move into its addressing
 * form, base + (index << scale) + displacement.
 *
 * An address of 32 bits, zero-extended, is one modulo 2^32 (IR_MEM_WRAP32), where additions of 32
 * bits fold as well: their operands are extended instead. Additions of 64 bits go on folding, as
 * these have the same low half.
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

/* The value as an operand of an address modulo 2^32: behind an extension, 64 bits of which the
 * upper half does not matter. */
static IrVal widened(IrRegion *region, u32 block, IrVal at, IrVal value)
{
    const IrInsn *insn = &region->insns[value];

    if (insn->op == IR_TRUNC && region->insns[insn->arg[0]].type == IR_I64) {
        return ir_resolve(region, insn->arg[0]);
    }
    return ir_insert_before(region, block, at,
                            &(IrInsn){.op = insn->op == IR_CONST ? IR_CONST : IR_ZEXT,
                                      .type = IR_I64,
                                      .arg = {insn->op == IR_CONST ? 0 : value},
                                      .imm = insn->op == IR_CONST ? (u64)(s32)insn->imm : 0});
}

/* A base that is a zero-extended sum of 32 bits becomes a sum of 64, taken modulo 2^32. */
static void fold_narrow(IrRegion *region, u32 block, IrVal value)
{
    ir_reserve(region, 4);
    IrInsn *access = &region->insns[value];
    IrVal base = ir_resolve(region, access->arg[0]);
    const IrInsn *extension = &region->insns[base];
    IrVal inner = extension->op == IR_ZEXT ? ir_resolve(region, extension->arg[0]) : 0;
    const IrInsn *add = inner ? addition(region, inner) : NULL;

    if (access->arg[1] || (access->imm && !(access->sub & IR_MEM_WRAP32)) || !add ||
        add->type != IR_I32 || extension->scratch == STORED) {
        return;
    }
    IrVal x = ir_resolve(region, add->arg[0]), y = ir_resolve(region, add->arg[1]);
    const IrInsn *shift = &region->insns[y];
    u8 sub = access->sub | IR_MEM_WRAP32;
    u64 sum = access->imm + (u64)(s32)shift->imm;
    if (shift->op == IR_CONST) {
        if ((u64)(s32)sum == sum) {
            access->sub = sub;
            access->imm = sum;
            access->arg[0] = widened(region, block, value, x);
        }
        return;
    }
    if (shift->op == IR_SHL && shift->scratch != STORED) {
        const IrInsn *count = &region->insns[ir_resolve(region, shift->arg[1])];
        if (count->op == IR_CONST && (count->imm & 31) <= 3) {
            sub |= (u8)(count->imm & 3);
            y = ir_resolve(region, shift->arg[0]);
        }
    }
    access->sub = sub;
    access->arg[0] = widened(region, block, value, x);
    access->arg[1] = widened(region, block, value, y);
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

static void fold_access(IrRegion *region, u32 block, IrVal value)
{
    /* Twice: base + index * scale + displacement is two additions. */
    fold_narrow(region, block, value);
    fold_narrow(region, block, value);
    IrInsn *access = &region->insns[value];
    access->arg[0] = ir_resolve(region, access->arg[0]);
    fold_displacement(region, access);
    if (!access->arg[1]) {
        fold_index(region, access);
        fold_displacement(region, access);
    }
}

void ir_pass_address(IrRegion *region)
{
    if (!ir_may_have(region, IR_LOAD) && !ir_may_have(region, IR_STORE) &&
        !ir_may_have(region, IR_X87)) {
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
                fold_access(region, block, value);
                break;
            case IR_X87:
                if (insn->arg[0]) {
                    fold_access(region, block, value);
                }
                break;
            default:
                break;
            }
        }
    }
}
