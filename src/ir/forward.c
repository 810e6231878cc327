/* Forwards state slots: a GET sees the value of an earlier PUT or GET of the slot, whole or in
 * part.
 *
 * For each 4-byte granule of the state, `known` names the last GET or PUT that covers it: memory
 * holds that instruction's value there, in the bytes it covers. A block with one predecessor starts
 * with what is known at that one's end, any other with nothing.
 *
 * A GET becomes a COPY, BITCAST, TRUNC, VGET, VHIGH or TRUNC of EXTU; fold makes more of them. */
#include <string.h>

#include "ir/graph.h"
#include "ir/pass.h"

enum { GRANULE_SHIFT = 2 };

typedef struct Forward {
    IrRegion *region;
    u32 granules;
    IrVal *known; /* by granule: a GET or PUT; 0: nothing */
    u32 block;
} Forward;

typedef struct Span {
    u32 first, last; /* granules, inclusive */
} Span;

static Span span_of(const IrInsn *insn)
{
    u32 offset = (u32)insn->imm, size = ir_type_size(insn->type);

    return (Span){offset >> GRANULE_SHIFT, (offset + size - 1) >> GRANULE_SHIFT};
}

static void remember(Forward *f, IrVal value)
{
    Span span = span_of(&f->region->insns[value]);

    for (u32 g = span.first; g <= span.last; g++) {
        f->known[g] = value;
    }
}

/* The GET or PUT whose bytes include all of those of `get`; 0 if there is none. */
static IrVal find(const Forward *f, const IrInsn *get)
{
    Span span = span_of(get);
    IrVal value = f->known[span.first];
    const IrInsn *insn = &f->region->insns[value];

    for (u32 g = span.first + 1; g <= span.last; g++) {
        if (f->known[g] != value) {
            return 0;
        }
    }
    bool covers = value && get->imm >= insn->imm &&
                  get->imm + ir_type_size(get->type) <= insn->imm + ir_type_size(insn->type);
    return covers ? value : 0;
}

static void become(IrInsn *insn, IrOp op, IrVal x)
{
    insn->op = (u8)op;
    insn->arg[0] = x;
    insn->imm = 0;
}

/* A part of a vector that doesn't start at its low end. */
static bool become_lane(IrInsn *get, IrVal source, u32 source_size, u32 skip)
{
    u32 size = ir_type_size(get->type);

    if (get->type == IR_V64 && source_size == 16 && skip == 8) {
        become(get, IR_VHIGH, source);
        return true;
    }
    if (ir_type_is_vector(get->type) || get->type == IR_I128 || skip % size) {
        return false;
    }
    become(get, IR_VGET, source);
    get->lane = get->type;
    get->imm = skip / size;
    return true;
}

/* The same of an integer. */
static bool become_bits(Forward *f, IrVal value, IrVal source, u32 skip)
{
    IrType from = f->region->insns[source].type;
    IrType to = f->region->insns[value].type;

    if ((from != IR_I64 && from != IR_I32) || !ir_type_is_int(to)) {
        return false;
    }
    IrVal bits = ir_insert_before(f->region, f->block, value,
                                  &(IrInsn){.op = IR_EXTU,
                                            .type = (u8)from,
                                            .sub = (u8)(skip * 8),
                                            .arg = {source},
                                            .imm = ir_type_size(to) * 8});
    become(&f->region->insns[value], IR_TRUNC, bits);
    return true;
}

/* Makes the GET a part of what the earlier GET or PUT `from` holds. False: it stays. */
static bool replace(Forward *f, IrVal value, IrVal from)
{
    const IrInsn *earlier = &f->region->insns[from];
    IrInsn *get = &f->region->insns[value];
    IrVal source = earlier->op == IR_PUT ? earlier->arg[0] : from;
    u32 skip = (u32)(get->imm - earlier->imm), source_size = ir_type_size(earlier->type);

    if (skip) {
        return ir_type_is_vector(earlier->type) ? become_lane(get, source, source_size, skip)
                                                : become_bits(f, value, source, skip);
    }
    if (get->type == earlier->type) {
        become(get, IR_COPY, source);
    } else if (get->type == IR_I128) {
        return false; /* no operation makes it from a vector */
    } else {
        become(get, ir_type_size(get->type) == source_size ? IR_BITCAST : IR_TRUNC, source);
    }
    return true;
}

/* Without a layout anything may have changed. */
static void forget_x87(Forward *f)
{
    const IrX87 *x87 = f->region->x87;
    u32 first = x87 ? x87->registers >> GRANULE_SHIFT : 0;
    u32 last = x87 ? (x87->status + IR_X87_STATUS_SIZE - 1) >> GRANULE_SHIFT : f->granules;

    for (u32 g = first; g <= last && g < f->granules; g++) {
        f->known[g] = 0;
    }
}

static void forward_insn(Forward *f, IrVal value)
{
    IrInsn *insn = &f->region->insns[value];

    switch ((IrOp)insn->op) {
    case IR_GET: {
        IrVal from = find(f, insn);
        if (!from || !replace(f, value, from)) {
            remember(f, value);
        }
        break;
    }
    case IR_PUT:
        remember(f, value);
        break;
    case IR_CALL:
        if (ir_helper_flags(f->region, insn) & IR_HELPER_WRITES_STATE) {
            memset(f->known, 0, f->granules * sizeof(IrVal));
        }
        break;
    case IR_X87:
        forget_x87(f);
        break;
    default:
        break;
    }
}

static void forward_block(Forward *f, u32 block)
{
    f->block = block;
    IR_FOR_EACH(f->region, block, value)
    {
        forward_insn(f, value);
    }
}

/* What is known at the start of `block`: what its only predecessor knew at its end (`ends`, by
 * block: NULL where nobody asks). */
static void start_from(Forward *f, const IrGraph *graph, IrVal **ends, u32 block)
{
    u32 from = graph->predecessors[graph->first_predecessor[block]];

    if (ir_predecessor_count(graph, block) == 1 && ends[from]) {
        memcpy(f->known, ends[from], f->granules * sizeof(IrVal));
    } else {
        memset(f->known, 0, f->granules * sizeof(IrVal));
    }
}

static bool reads_state(const IrRegion *region, u32 block)
{
    IR_FOR_EACH(region, block, value)
    {
        if (region->insns[value].op == IR_GET) {
            return true;
        }
    }
    return false;
}

/* Several blocks, each after its dominator. */
static void forward_region(Forward *f)
{
    IrRegion *region = f->region;
    size_t size = f->granules * sizeof(IrVal);
    IrVal **ends = ARENA_ARRAY(region->arena, IrVal *, region->block_count);
    const IrGraph *graph = ir_graph(region);

    for (u32 i = 0; i < graph->order_count; i++) {
        u32 block = graph->order[i];
        if (i) {
            start_from(f, graph, ends, block);
        }
        forward_block(f, block);
        ends[block] = arena_alloc(region->arena, size, 8);
        memcpy(ends[block], f->known, size);
    }
}

void ir_pass_forward(IrRegion *region)
{
    Forward f = {.region = region, .granules = (region->state_end >> GRANULE_SHIFT) + 1};
    bool entry_only = true;

    f.known = ARENA_ARRAY(region->arena, IrVal, f.granules);
    for (u32 block = 1; block < region->block_count; block++) {
        entry_only &= !reads_state(region, block);
    }
    ir_link_blocks(region);
    if (entry_only && !region->blocks[0].predecessors) {
        forward_block(&f, 0);
    } else {
        forward_region(&f);
    }
}
