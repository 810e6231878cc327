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

static const struct {
    const char *name;
    u32 size;
} types[IR_TYPE_COUNT] = {
    [IR_VOID] = {"void", 0},  [IR_I8] = {"i8", 1},      [IR_I16] = {"i16", 2},
    [IR_I32] = {"i32", 4},    [IR_I64] = {"i64", 8},    [IR_I128] = {"i128", 16},
    [IR_F32] = {"f32", 4},    [IR_F64] = {"f64", 8},    [IR_V64] = {"v64", 8},
    [IR_V128] = {"v128", 16}, [IR_V256] = {"v256", 32},
};

u32 ir_type_size(IrType type)
{
    return types[type].size;
}

const char *ir_type_name(IrType type)
{
    return types[type].name;
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

void ir_note_insn(IrRegion *region, const IrInsn *insn)
{
    u8 properties = ir_ops[insn->op].properties;

    if (properties & IR_PROP_STATE) {
        region->state_end = MAX(region->state_end, (u32)insn->imm + ir_type_size(insn->type));
    } else if (properties & IR_PROP_END) {
        region->graph = NULL;
    }
}

static IrVal new_insn(IrRegion *region, const IrInsn *insn)
{
    ir_note_insn(region, insn);
    if (region->insn_count == region->insn_capacity) {
        IrInsn copy = *insn; /* it may live in the array that moves */
        region->insns = grow(region->arena, region->insns, sizeof(IrInsn), region->insn_count,
                             &region->insn_capacity, FIRST_INSNS);
        region->insns[region->insn_count] = copy;
    } else {
        region->insns[region->insn_count] = *insn;
    }
    return region->insn_count++;
}

void ir_reserve(IrRegion *region, u32 count)
{
    while (unlikely(region->insn_count + count > region->insn_capacity)) {
        region->insns = grow(region->arena, region->insns, sizeof(IrInsn), region->insn_count,
                             &region->insn_capacity, FIRST_INSNS);
    }
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

IrVal ir_append(IrRegion *region, u32 block, const IrInsn *insn)
{
    IrVal value = new_insn(region, insn);
    IrBlock *b = &region->blocks[block];

    region->insns[value].prev = b->last;
    region->insns[value].next = 0;
    if (b->last) {
        region->insns[b->last].next = value;
    } else {
        b->first = value;
    }
    b->last = value;
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

u32 ir_successor_count(const IrRegion *region, u32 block)
{
    IrVal last = region->blocks[block].last;

    switch (last ? (IrOp)region->insns[last].op : IR_CONST) {
    case IR_BRANCH:
        return 2;
    case IR_JUMP:
        return 1;
    default:
        return 0;
    }
}

u32 ir_helper_flags(const IrRegion *region, const IrInsn *call)
{
    if (region->helpers && call->imm < region->helper_count) {
        return region->helpers[call->imm].flags;
    }
    return IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_FP | IR_HELPER_FAULTS;
}

bool ir_may_fault(const IrRegion *region, const IrInsn *insn)
{
    u8 properties = ir_ops[insn->op].properties;

    if (insn->op == IR_CALL) {
        return ir_helper_flags(region, insn) & IR_HELPER_FAULTS;
    }
    return (properties & IR_PROP_MEM) || ((properties & IR_PROP_FP) && !region->exact_fp);
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
