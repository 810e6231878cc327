/* Regions: making, inserting and removing instructions. See ir.h and build.h. */
#include <string.h>

#include "ir/build.h"

enum { FIRST_INSNS = 256, FIRST_BLOCKS = 8, FIRST_PHI_ARGS = 16 };

#define PURE IR_PROP_PURE
#define COMM IR_PROP_COMM
#define FP IR_PROP_FP
#define MEM IR_PROP_MEM
#define STATE IR_PROP_STATE
#define END IR_PROP_END
#define EFFECT IR_PROP_EFFECT

const IrOpInfo ir_ops[IR_OP_COUNT] = {
#define OP(enumerator, text, rule, types, properties)                                              \
    [IR_##enumerator] = {text, rule, types, properties, sizeof(rule) - 3},
#include "ir/ops.def"
#undef OP
};

const u8 ir_type_sizes[IR_TYPE_COUNT] = {
    [IR_I8] = 1,  [IR_I16] = 2, [IR_I32] = 4, [IR_I64] = 8,   [IR_I128] = 16,
    [IR_F32] = 4, [IR_F64] = 8, [IR_V64] = 8, [IR_V128] = 16, [IR_V256] = 32,
};

const char *ir_type_name(IrType type)
{
    static const char *const names[IR_TYPE_COUNT] = {
        [IR_VOID] = "void", [IR_I8] = "i8",     [IR_I16] = "i16",   [IR_I32] = "i32",
        [IR_I64] = "i64",   [IR_I128] = "i128", [IR_F32] = "f32",   [IR_F64] = "f64",
        [IR_V64] = "v64",   [IR_V128] = "v128", [IR_V256] = "v256",
    };

    return names[type];
}

/* A larger copy of an arena array; the old one is left to the arena. */
static void *grow(Arena *arena, const void *old, size_t size, u32 count, u32 *capacity, u32 first)
{
    u32 larger = *capacity ? *capacity * 2 : first;
    void *array = arena_alloc(arena, size * larger, 16);

    if (count) {
        memcpy(array, old, size * count);
    }
    *capacity = larger;
    return array;
}

IrRegion *ir_region_new(Arena *arena)
{
    IrRegion *region = ARENA_NEW(arena, IrRegion);

    region->arena = arena;
    region->insns = grow(arena, NULL, sizeof(IrInsn), 0, &region->insn_capacity, FIRST_INSNS);
    region->insns[0] = (IrInsn){0};
    region->insn_count = 1;
    return region;
}

u32 ir_block_new(IrRegion *region)
{
    if (region->block_count == region->block_capacity) {
        region->blocks = grow(region->arena, region->blocks, sizeof(IrBlock), region->block_count,
                              &region->block_capacity, FIRST_BLOCKS);
    }
    region->blocks[region->block_count] = (IrBlock){0};
    return region->block_count++;
}

static inline void note(IrRegion *region, const IrInsn *insn)
{
    u8 properties = ir_ops[insn->op].properties;

    region->ops[insn->op / 64] |= (u64)1 << insn->op % 64;
    if (properties & IR_PROP_STATE) {
        region->state_end = MAX(region->state_end, (u32)insn->imm + ir_type_size(insn->type));
    } else if (properties & IR_PROP_END) {
        region->graph = NULL;
    }
}

void ir_note_insn(IrRegion *region, const IrInsn *insn)
{
    note(region, insn);
}

static void enlarge(IrRegion *region)
{
    region->insns = grow(region->arena, region->insns, sizeof(IrInsn), region->insn_count,
                         &region->insn_capacity, FIRST_INSNS);
}

static inline void reserve(IrRegion *region, u32 count)
{
    while (unlikely(region->insn_count + count > region->insn_capacity)) {
        enlarge(region);
    }
}

void ir_reserve(IrRegion *region, u32 count)
{
    reserve(region, count);
}

static IrVal new_insn(IrRegion *region, const IrInsn *insn)
{
    IrInsn copy = *insn; /* it may live in the array that moves */

    note(region, &copy);
    reserve(region, 1);
    region->insns[region->insn_count] = copy;
    return region->insn_count++;
}

u32 ir_phi_args_new(IrRegion *region, u32 count)
{
    u32 first = region->phi_arg_count;

    while (first + count > region->phi_arg_capacity) {
        region->phi_args = grow(region->arena, region->phi_args, sizeof(IrVal), first,
                                &region->phi_arg_capacity, FIRST_PHI_ARGS);
    }
    memset(region->phi_args + first, 0, count * sizeof(IrVal));
    region->phi_arg_count += count;
    return first;
}

static void link_last(IrRegion *region, u32 block, IrVal value)
{
    IrBlock *b = &region->blocks[block];

    region->insns[value].prev = b->last;
    region->insns[value].next = 0;
    if (b->last) {
        region->insns[b->last].next = value;
    } else {
        b->first = value;
    }
    b->last = value;
}

IrVal ir_append(IrRegion *region, u32 block, const IrInsn *insn)
{
    IrVal value = new_insn(region, insn);

    link_last(region, block, value);
    return value;
}

/* Most instructions come from here: fields go straight to their place. */
IrVal ir_emit(IrBuilder *b, IrOp op, IrType type, IrType lane, u8 sub, IrVal x, IrVal y, IrVal z,
              u64 imm, u64 imm2)
{
    IrRegion *region = b->region;

    reserve(region, 1);
    IrVal value = region->insn_count++;
    IrInsn *insn = &region->insns[value];
    insn->op = (u8)op;
    insn->type = (u8)type;
    insn->lane = (u8)lane;
    insn->sub = sub;
    insn->arg[0] = x;
    insn->arg[1] = y;
    insn->arg[2] = z;
    insn->arg[3] = 0;
    insn->scratch = 0;
    insn->imm = imm;
    insn->imm2 = imm2;
    note(region, insn);
    link_last(region, b->block, value);
    return value;
}

IrVal ir_insert_before(IrRegion *region, u32 block, IrVal before, const IrInsn *insn)
{
    IrVal value = new_insn(region, insn);
    IrVal prev = region->insns[before].prev;

    region->insns[value].prev = prev;
    region->insns[value].next = before;
    region->insns[before].prev = value;
    if (prev) {
        region->insns[prev].next = value;
    } else {
        region->blocks[block].first = value;
    }
    return value;
}

void ir_remove(IrRegion *region, u32 block, IrVal value)
{
    IrInsn *insn = &region->insns[value];

    if (insn->prev) {
        region->insns[insn->prev].next = insn->next;
    } else {
        region->blocks[block].first = insn->next;
    }
    if (insn->next) {
        region->insns[insn->next].prev = insn->prev;
    } else {
        region->blocks[block].last = insn->prev;
    }
}

void ir_move_before(IrRegion *region, u32 block, IrVal value, IrVal before)
{
    IrInsn *insn = &region->insns[value];

    ir_remove(region, block, value);
    insn->prev = region->insns[before].prev;
    insn->next = before;
    region->insns[before].prev = value;
    if (insn->prev) {
        region->insns[insn->prev].next = value;
    } else {
        region->blocks[block].first = value;
    }
}

u32 ir_helper_flags(const IrRegion *region, const IrInsn *call)
{
    if (region->helpers && call->imm < region->helper_count) {
        return region->helpers[call->imm].flags;
    }
    return IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_FP | IR_HELPER_FAULTS;
}

void ir_link_blocks(IrRegion *region)
{
    for (u32 i = 0; i < region->block_count; i++) {
        region->blocks[i].predecessors = 0;
    }
    for (u32 i = 0; i < region->block_count; i++) {
        const IrBlock *block = &region->blocks[i];
        u32 count = ir_successor_count(region, i);
        for (u32 s = 0; s < count; s++) {
            region->blocks[block->successor[s]].predecessors++;
        }
    }
}

IrCmp ir_cmp_negate(IrCmp cmp)
{
    static const u8 negated[] = {
        [IR_EQ] = IR_NE,   [IR_NE] = IR_EQ,   [IR_SLT] = IR_SGE,  [IR_SGE] = IR_SLT,
        [IR_SGT] = IR_SLE, [IR_SLE] = IR_SGT, [IR_ULT] = IR_UGE,  [IR_UGE] = IR_ULT,
        [IR_UGT] = IR_ULE, [IR_ULE] = IR_UGT, [IR_TST] = IR_TSTZ, [IR_TSTZ] = IR_TST,
    };
    return (IrCmp)negated[cmp];
}

IrCmp ir_cmp_swap(IrCmp cmp)
{
    static const u8 swapped[] = {
        [IR_EQ] = IR_EQ,   [IR_NE] = IR_NE,   [IR_SLT] = IR_SGT, [IR_SGE] = IR_SLE,
        [IR_SGT] = IR_SLT, [IR_SLE] = IR_SGE, [IR_ULT] = IR_UGT, [IR_UGE] = IR_ULE,
        [IR_UGT] = IR_ULT, [IR_ULE] = IR_UGE, [IR_TST] = IR_TST, [IR_TSTZ] = IR_TSTZ,
    };
    return (IrCmp)swapped[cmp];
}

IrVal ir_const(IrBuilder *b, IrType type, u64 value)
{
    u32 size = ir_type_size(type);
    u64 mask = size < 8 ? ((u64)1 << (size * 8)) - 1 : ~(u64)0;

    return ir_emit(b, IR_CONST, type, IR_VOID, 0, 0, 0, 0, value & mask, 0);
}

IrVal ir_const_v128(IrBuilder *b, u64 low, u64 high)
{
    return ir_emit(b, IR_CONST, IR_V128, IR_VOID, 0, 0, 0, 0, low, high);
}

void ir_jump(IrBuilder *b, u32 target)
{
    ir_emit(b, IR_JUMP, IR_VOID, IR_VOID, 0, 0, 0, 0, 0, 0);
    b->region->blocks[b->block].successor[0] = target;
}

void ir_branch(IrBuilder *b, IrVal condition, u32 taken, u32 otherwise)
{
    ir_emit(b, IR_BRANCH, IR_VOID, IR_VOID, 0, condition, 0, 0, 0, 0);
    b->region->blocks[b->block].successor[0] = taken;
    b->region->blocks[b->block].successor[1] = otherwise;
}
