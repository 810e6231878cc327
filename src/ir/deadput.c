/* Removes PUTs that are overwritten before anything can see them. One that only a fault could see
 * becomes a NOTE, which tells the host what to restore but stores nothing.
 *
 * Works backwards with two bits for each byte of the state: `dead`: the byte is written again
 * before anything reads it; `fault`: and between here and there lies an operation that may fault.
 * Every exit reads all. Across blocks only what is dead without a fault counts, so that a NOTE
 * never speaks for another block than its own. A block's state is asked for by its predecessors;
 * behind a back edge everything counts as read. */
#include <string.h>

#include "ir/graph.h"
#include "ir/pass.h"

typedef struct Deadput {
    IrRegion *region;
    u32 words; /* of each bit set */
    u64 *dead, *fault;
} Deadput;

/* Where a slot lies in a bit set. Slots that straddle words are left alone: guests align theirs. */
typedef struct Place {
    u32 word;
    u64 mask; /* 0 if it straddles */
} Place;

static Place place_of(const IrInsn *insn)
{
    u32 offset = (u32)insn->imm, size = ir_type_size(insn->type);
    u64 mask = offset % 64 + size <= 64 ? ir_mask(size) << offset % 64 : 0;

    return (Place){offset / 64, mask};
}

static void read_slot(Deadput *d, const IrInsn *insn)
{
    Place place = place_of(insn);

    if (place.mask) {
        d->dead[place.word] &= ~place.mask;
    } else {
        d->dead[place.word] = d->dead[place.word + 1] = 0;
    }
}

static void read_all(Deadput *d)
{
    memset(d->dead, 0, d->words * sizeof(u64));
}

static void write_slot(Deadput *d, u32 block, IrVal value)
{
    IrInsn *insn = &d->region->insns[value];
    Place place = place_of(insn);
    u64 *dead = &d->dead[place.word], *fault = &d->fault[place.word];

    if (!place.mask) {
        return;
    }
    if (!(~*dead & place.mask)) {
        if (*fault & place.mask) {
            insn->op = IR_NOTE;
        } else {
            ir_remove(d->region, block, value);
        }
    }
    *dead |= place.mask;
    *fault &= ~place.mask;
}

/* Left by an earlier run: it speaks for faults until the next write. */
static void note_slot(Deadput *d, u32 block, IrVal value)
{
    Place place = place_of(&d->region->insns[value]);

    if (place.mask && !(d->fault[place.word] & place.mask)) {
        ir_remove(d->region, block, value);
    }
    d->fault[place.word] &= ~place.mask;
}

static void call(Deadput *d, const IrInsn *insn)
{
    u32 flags = ir_helper_flags(d->region, insn);

    if (flags & (IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE)) {
        read_all(d);
    }
}

static void read_x87(Deadput *d)
{
    const IrX87 *x87 = d->region->x87;
    u32 end = x87 ? MIN(x87->status + IR_X87_STATUS_SIZE, d->words * 64) : 0;

    if (!x87) {
        read_all(d);
    }
    for (u32 at = x87 ? x87->registers : 0; at < end; at = ALIGN_UP(at + 1, 64)) {
        d->dead[at / 64] &= ~(ir_mask(MIN(64 - at % 64, end - at)) << at % 64);
    }
}

static void scan_insn(Deadput *d, u32 block, IrVal value)
{
    const IrInsn *insn = &d->region->insns[value];

    if (ir_may_fault(d->region, insn)) {
        memset(d->fault, 0xff, d->words * sizeof(u64));
    }
    switch ((IrOp)insn->op) {
    case IR_GET:
        read_slot(d, insn);
        break;
    case IR_PUT:
        write_slot(d, block, value);
        break;
    case IR_NOTE:
        note_slot(d, block, value);
        break;
    case IR_CALL:
        call(d, insn);
        break;
    case IR_X87:
        read_x87(d);
        break;
    default:
        break;
    }
}

/* Scans the block backwards, from what its end says. */
static void scan_block(Deadput *d, u32 block)
{
    IrVal value = d->region->blocks[block].last;

    while (value) {
        IrVal prev = d->region->insns[value].prev;
        scan_insn(d, block, value);
        value = prev;
    }
}

/* What is dead at the end of a block: what is so at the start of each successor (`starts`, by
 * block: NULL if not known). */
static void start_from(Deadput *d, u64 *const *starts, u32 block)
{
    u32 count = ir_successor_count(d->region, block);

    memset(d->dead, count ? 0xff : 0, d->words * sizeof(u64));
    memset(d->fault, 0, d->words * sizeof(u64));
    for (u32 s = 0; s < count; s++) {
        const u64 *start = starts[d->region->blocks[block].successor[s]];
        for (u32 w = 0; w < d->words; w++) {
            d->dead[w] &= start ? start[w] : 0;
        }
    }
}

static u64 *new_set(Deadput *d)
{
    return ARENA_ARRAY(d->region->arena, u64, d->words);
}

void ir_pass_deadput(IrRegion *region)
{
    Deadput d = {.region = region, .words = region->state_end / 64 + 2};
    u64 **starts = ARENA_ARRAY(region->arena, u64 *, region->block_count);
    const IrGraph *graph = ir_graph(region);

    d.dead = new_set(&d);
    d.fault = new_set(&d);
    for (u32 i = graph->order_count; i-- > 0;) {
        u32 block = graph->order[i];
        start_from(&d, starts, block);
        scan_block(&d, block);
        if (region->block_count > 1) {
            starts[block] = new_set(&d);
            for (u32 w = 0; w < d.words; w++) {
                starts[block][w] = d.dead[w] & ~d.fault[w];
            }
        }
    }
}
