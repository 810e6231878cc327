/* Task segments and hardware task switches (Intel SDM volume 3, chapter 8).
 *
 * A switch reads the whole new TSS before it writes anything, saves the old state, and from there
 * on is in the new task: exceptions while loading its segments are delivered there and then, so
 * that the caller, which knows the old task's rip only, never sees them.
 * Must not check gates: who calls has done it. */
#include <string.h>

#include "guest/x86/system.h"

enum { TSS32_SIZE = 104, TSS16_SIZE = 44, TSS_GENERAL = 8 };

/* Where a TSS keeps things (figures 8-2 and 8-10). */
typedef struct TssLayout {
    u8 word; /* bytes of a general register */
    u8 size; /* minimum */
    u8 cr3;  /* 0: none */
    u8 eip, eflags;
    u8 general; /* the first of eight, in encoding order */
    u8 segment; /* ES; each takes segment_step bytes */
    u8 segments, segment_step;
    u8 ldt;
    u8 trap; /* 0: none */
} TssLayout;

static const TssLayout layout32 = {4, TSS32_SIZE, 28, 32, 36, 40, 72, 6, 4, 96, 100};
static const TssLayout layout16 = {2, TSS16_SIZE, 0, 14, 16, 18, 34, 4, 2, 42, 0};

static const TssLayout *layout_of(unsigned attributes)
{
    return attributes & 8 ? &layout32 : &layout16;
}

/* -- Stacks of inner privilege levels */

u32 x86_task_stack(X86State *state, unsigned cpl, u16 *ss, u32 *esp)
{
    const X86Segment *tr = &state->segment[X86_TR];
    unsigned word = tr->attributes & 8 ? 4 : 2;
    u32 at = tr->attributes & 8 ? 4 + cpl * 8 : 2 + cpl * 4;

    *esp = 0;
    if (at + 2 * word - 1 > tr->limit) {
        return x86_fault_error(X86_TS, tr->selector & 0xfffc);
    }
    X86_TRY(x86_read_linear(state, tr->base + at, esp, word, X86_WALK_IMPLICIT));
    return x86_read_linear(state, tr->base + at + word, ss, 2, X86_WALK_IMPLICIT);
}

u32 x86_task_stack64(X86State *state, unsigned index, u64 *rsp)
{
    const X86Segment *tr = &state->segment[X86_TR];
    u32 at = 4 + index * 8;

    if (at + 7 > tr->limit) {
        return x86_fault_error(X86_TS, tr->selector & 0xfffc);
    }
    X86_TRY(x86_read_linear(state, tr->base + at, rsp, 8, X86_WALK_IMPLICIT));
    return x86_canonical(state, *rsp) ? 0 : x86_fault_error(X86_STACK, 0);
}

/* -- Switches */

static u32 get(const u8 *image, unsigned at, unsigned size)
{
    u32 value = 0;

    memcpy(&value, image + at, size);
    return value;
}

static void set(u8 *image, unsigned at, unsigned size, u32 value)
{
    memcpy(image + at, &value, size);
}

static void save_registers(const X86State *state, const TssLayout *l, u64 eflags, u8 *image)
{
    set(image, l->eip, l->word, (u32)state->rip);
    set(image, l->eflags, l->word, (u32)eflags);
    for (unsigned n = 0; n < TSS_GENERAL; n++) {
        set(image, l->general + n * l->word, l->word, (u32)state->gpr[n]);
    }
    for (unsigned n = 0; n < l->segments; n++) {
        set(image, l->segment + n * l->segment_step, 2, state->segment[n].selector);
    }
}

/* Sets or clears the busy bit of a TSS descriptor in the GDT. */
static u32 set_busy(X86State *state, u16 selector, bool busy)
{
    u64 at = state->gdt_base + (selector & 0xfff8u) + 5;
    u8 type;

    X86_TRY(x86_read_linear(state, at, &type, 1, X86_WALK_IMPLICIT));
    type = (u8)(busy ? type | X86_TYPE_BUSY : type & ~X86_TYPE_BUSY);
    return x86_write_linear(state, at, &type, 1, X86_WALK_IMPLICIT);
}

/* Stores the outgoing task: the part of the TSS from EIP to the segment registers. */
static u32 save_task(X86State *state, const TssLayout *l, u64 eflags)
{
    const X86Segment *tr = &state->segment[X86_TR];
    unsigned end = l->segment + l->segments * l->segment_step;
    u8 image[TSS32_SIZE];

    X86_TRY(x86_read_linear(state, tr->base, image, l->size, X86_WALK_IMPLICIT));
    save_registers(state, l, eflags, image);
    return x86_write_linear(state, tr->base + l->eip, image + l->eip, end - l->eip,
                            X86_WALK_IMPLICIT);
}

/* General registers and flags of the incoming task; a 16-bit one has ones above. */
static void load_registers(X86State *state, const TssLayout *l, const u8 *image)
{
    u32 high = l->word == 2 ? 0xffff0000 : 0;
    u32 eflags = get(image, l->eflags, l->word);

    state->rip = get(image, l->eip, l->word);
    for (unsigned n = 0; n < TSS_GENERAL; n++) {
        state->gpr[n] = get(image, l->general + n * l->word, l->word) | high;
    }
    x86_set_eflags(state, l->word == 2 ? eflags & 0x7fd7 : eflags & 0x3f7fd7);
}

static u32 load_task_code(X86State *state, u16 selector, unsigned *cpl)
{
    u16 error = selector & 0xfffc;
    X86Descriptor d;
    unsigned type, rpl = selector & 3;

    if (error == 0) {
        return x86_fault_error(X86_TS, 0);
    }
    X86_TRY(x86_read_descriptor(state, selector, false, X86_TS, &d));
    type = x86_descriptor_type(&d);
    if (!(type & X86_TYPE_SEGMENT) || !(type & X86_TYPE_CODE) ||
        (type & X86_TYPE_CONFORMING ? x86_descriptor_dpl(&d) > rpl
                                    : x86_descriptor_dpl(&d) != rpl)) {
        return x86_fault_error(X86_TS, error);
    }
    if (!x86_descriptor_present(&d)) {
        return x86_fault_error(X86_NP, error);
    }
    X86_TRY(x86_mark_accessed(state, &d));
    x86_load_cache(state, X86_CS, selector, &d);
    *cpl = rpl;
    return 0;
}

/* As x86_load_segment(), but its #GP is #TS here. */
static u32 load_task_data(X86State *state, unsigned segment, u16 selector)
{
    u32 raised = x86_load_segment(state, segment, selector);

    if ((raised & 0xff) == X86_GP && raised) {
        raised = x86_fault_error(X86_TS, (u16)(raised >> 16));
    }
    return raised;
}

/* LDT and segment registers of the incoming task; the stack's privilege is the code's. */
static u32 load_segments(X86State *state, const TssLayout *l, const u8 *image)
{
    static const u8 data_segments[] = {X86_ES, X86_DS, X86_FS, X86_GS};
    u16 selector[6] = {0};
    u16 ldt = (u16)get(image, l->ldt, 2);
    X86Descriptor ss;
    unsigned cpl;
    u32 raised;

    for (unsigned n = 0; n < l->segments; n++) {
        selector[n] = (u16)get(image, l->segment + n * l->segment_step, 2);
    }
    for (unsigned n = 0; n < 6; n++) {
        /* Selectors are there already if loading one of them fails. */
        state->segment[n] = (X86Segment){.selector = selector[n]};
    }
    raised = x86_load_ldtr(state, ldt);
    if (raised) {
        return x86_fault_error(X86_TS, ldt & 0xfffc);
    }
    if (state->eflags & X86_EFLAGS_VM) {
        for (unsigned n = 0; n < 6; n++) {
            x86_load_real(state, n, selector[n]);
        }
        return 0;
    }
    X86_TRY(load_task_code(state, selector[X86_CS], &cpl));
    X86_TRY(x86_check_stack(state, selector[X86_SS], cpl, X86_TS, &ss));
    X86_TRY(x86_mark_accessed(state, &ss));
    x86_load_cache(state, X86_SS, selector[X86_SS], &ss);
    for (size_t n = 0; n < COUNT(data_segments); n++) {
        X86_TRY(load_task_data(state, data_segments[n], selector[data_segments[n]]));
    }
    return 0;
}

/* Busy bits, NT and the back link, as the kind of switch wants them (table 8-2). */
static u32 relink(X86State *state, u16 old, u16 selector, const X86Descriptor *d,
                  X86TaskReason reason, u8 *image)
{
    u64 base = d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000);

    if (reason != X86_TASK_CALL) {
        X86_TRY(set_busy(state, old, false));
    }
    if (reason != X86_TASK_IRET) {
        X86_TRY(set_busy(state, selector, true));
    }
    if (reason == X86_TASK_CALL) {
        set(image, 0, 2, old);
        X86_TRY(x86_write_linear(state, base, &old, 2, X86_WALK_IMPLICIT));
    }
    return 0;
}

static u32 push_error(X86State *state, const TssLayout *l, s64 error)
{
    X86Stack stack = x86_current_stack(state);

    if (error < 0) {
        return 0;
    }
    X86_TRY(x86_stack_push(state, &stack, (u64)error, l->word));
    x86_set_stack_pointer(state, &stack);
    return 0;
}

/* CR3 of the incoming task, with what depends on it. */
static u32 load_page_tables(X86State *state, const TssLayout *l, const u8 *image)
{
    return l->cr3 && state->cr[0] & X86_CR0_PG ? x86_write_cr3(state, get(image, l->cr3, 4)) : 0;
}

/* The second half of a switch, in the new task. */
static u32 begin_task(X86State *state, const TssLayout *l, const u8 *image, bool nested, s64 error)
{
    X86_TRY(load_page_tables(state, l, image));
    load_registers(state, l, image);
    if (nested) {
        state->eflags |= X86_EFLAGS_NT;
    }
    X86_TRY(load_segments(state, l, image));
    if (state->rip > state->segment[X86_CS].limit) {
        return x86_fault_error(X86_GP, 0);
    }
    if (l->trap && image[l->trap] & 1) {
        state->dr[6] |= 1 << 15;
        return x86_fault(X86_DB);
    }
    return push_error(state, l, error);
}

u32 x86_switch_task(X86State *state, u16 selector, const X86Descriptor *d, X86TaskReason reason,
                    s64 error)
{
    const TssLayout *from = layout_of(state->segment[X86_TR].attributes);
    const TssLayout *to = layout_of(d->high >> 8);
    u16 old = state->segment[X86_TR].selector;
    u64 eflags = x86_get_eflags(state);
    u8 image[TSS32_SIZE] = {0};
    X86State probe;
    X86Segment tr;
    u32 raised;

    x86_load_cache(&probe, X86_TR, selector, d);
    tr = probe.segment[X86_TR];
    tr.attributes |= X86_TYPE_BUSY;
    if (tr.limit < to->size - 1u) {
        return x86_fault_error(X86_TS, selector & 0xfffc);
    }
    X86_TRY(x86_read_linear(state, tr.base, image, to->size, X86_WALK_IMPLICIT));
    if (reason == X86_TASK_IRET) {
        eflags &= ~(u64)X86_EFLAGS_NT;
    }
    X86_TRY(save_task(state, from, eflags));
    X86_TRY(relink(state, old, selector, d, reason, image));
    state->segment[X86_TR] = tr;
    state->cr[0] |= X86_CR0_TS;
    state->dr[7] &= ~(u64)0x155; /* local breakpoints end with the task */
    raised = begin_task(state, to, image, reason == X86_TASK_CALL, error);
    if (raised && !x86_deliver(state, raised)) {
        state->shutdown = true;
    }
    return 0;
}
