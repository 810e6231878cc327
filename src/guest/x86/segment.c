/* Segmentation: descriptors, segment register loads with their checks, limits, and the stack as
 * far transfers and interrupts use it (Intel SDM volume 3, chapters 3 and 5).
 *
 * Registers change only after every check has passed. Accesses to descriptor tables and task
 * segments are implicit supervisor accesses.
 * Must not know which instruction asks. */
#include <string.h>

#include "guest/x86/feature.h"
#include "guest/x86/system.h"

enum { SELECTOR_TI = 4, SELECTOR_RPL = 3 };

static u16 selector_error(u16 selector)
{
    return selector & (u16)~SELECTOR_RPL;
}

static bool is_null(u16 selector)
{
    return selector_error(selector) == 0;
}

/* -- Descriptors */

u32 x86_read_descriptor(X86State *state, u16 selector, bool wide, unsigned vector,
                        X86Descriptor *out)
{
    const X86Segment *ldt = &state->segment[X86_LDTR];
    bool local = selector & SELECTOR_TI;
    u64 base = local ? ldt->base : state->gdt_base;
    u32 limit = local ? ldt->limit : state->gdt_limit;
    u32 offset = selector & 0xfff8u;
    unsigned size = wide ? 16 : 8;
    u32 words[4] = {0};

    if (offset + size - 1 > limit || (local && !(ldt->attributes & X86_SEGMENT_P))) {
        return x86_fault_error(vector, selector_error(selector));
    }
    X86_TRY(x86_read_linear(state, base + offset, words, size, X86_WALK_IMPLICIT));
    *out = (X86Descriptor){
        .low = words[0], .high = words[1], .top = words[2], .address = base + offset};
    if (wide && words[3] & 0x1f00) {
        return x86_fault_error(vector, selector_error(selector));
    }
    return 0;
}

u32 x86_mark_accessed(X86State *state, X86Descriptor *d)
{
    u8 type;

    if (d->high & (X86_TYPE_ACCESSED << 8)) {
        return 0;
    }
    d->high |= X86_TYPE_ACCESSED << 8;
    type = (u8)(d->high >> 8);
    return x86_write_linear(state, d->address + 5, &type, 1, X86_WALK_IMPLICIT);
}

static u64 descriptor_base(const X86Descriptor *d)
{
    return d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000) | (u64)d->top << 32;
}

static u32 descriptor_limit(const X86Descriptor *d)
{
    u32 limit = (d->low & 0xffff) | (d->high & 0xf0000);

    return d->high >> 8 & X86_SEGMENT_G ? limit << 12 | 0xfff : limit;
}

void x86_load_cache(X86State *state, unsigned segment, u16 selector, const X86Descriptor *d)
{
    state->segment[segment] = (X86Segment){
        .base = descriptor_base(d),
        .limit = descriptor_limit(d),
        .attributes = (u16)(d->high >> 8),
        .selector = selector,
    };
}

void x86_load_real(X86State *state, unsigned segment, u16 selector)
{
    X86Segment *s = &state->segment[segment];

    s->selector = selector;
    s->base = (u64)selector << 4;
    if (state->eflags & X86_EFLAGS_VM) {
        s->limit = 0xffff;
        s->attributes = X86_SEGMENT_P | 3 << X86_SEGMENT_DPL_SHIFT | X86_TYPE_SEGMENT |
                        X86_TYPE_WRITABLE | X86_TYPE_ACCESSED;
    }
}

/* A null selector: the register may hold it, accesses through it fault. */
static void load_null(X86State *state, unsigned segment, u16 selector)
{
    state->segment[segment] = (X86Segment){.selector = selector};
}

/* -- Checked loads */

u32 x86_check_stack(X86State *state, u16 selector, unsigned cpl, unsigned vector, X86Descriptor *d)
{
    u16 error = selector_error(selector);
    unsigned type;

    if (is_null(selector)) {
        return x86_fault_error(vector, 0);
    }
    X86_TRY(x86_read_descriptor(state, selector, false, vector, d));
    type = x86_descriptor_type(d);
    if ((selector & SELECTOR_RPL) != cpl || x86_descriptor_dpl(d) != cpl ||
        !(type & X86_TYPE_SEGMENT) || type & X86_TYPE_CODE || !(type & X86_TYPE_WRITABLE)) {
        return x86_fault_error(vector, error);
    }
    if (!x86_descriptor_present(d)) {
        return x86_fault_error(X86_STACK, error);
    }
    return 0;
}

static u32 load_stack_segment(X86State *state, u16 selector)
{
    unsigned cpl = x86_cpl(state);
    X86Descriptor d;

    if (is_null(selector) && x86_in_64_bit_mode(state) && cpl < 3 &&
        (selector & SELECTOR_RPL) == cpl) {
        load_null(state, X86_SS, selector);
        /* The privilege level stays where it is kept. */
        state->segment[X86_SS].attributes = (u16)(cpl << X86_SEGMENT_DPL_SHIFT);
        return 0;
    }
    X86_TRY(x86_check_stack(state, selector, cpl, X86_GP, &d));
    X86_TRY(x86_mark_accessed(state, &d));
    x86_load_cache(state, X86_SS, selector, &d);
    return 0;
}

static u32 load_data_segment(X86State *state, unsigned segment, u16 selector)
{
    u16 error = selector_error(selector);
    unsigned privilege = MAX(x86_cpl(state), selector & SELECTOR_RPL);
    X86Descriptor d;
    unsigned type;
    bool conforming;

    if (is_null(selector)) {
        load_null(state, segment, selector);
        return 0;
    }
    X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, &d));
    type = x86_descriptor_type(&d);
    conforming =
        (type & (X86_TYPE_CODE | X86_TYPE_CONFORMING)) == (X86_TYPE_CODE | X86_TYPE_CONFORMING);
    if (!(type & X86_TYPE_SEGMENT) ||
        (type & (X86_TYPE_CODE | X86_TYPE_READABLE)) == X86_TYPE_CODE ||
        (!conforming && privilege > x86_descriptor_dpl(&d))) {
        return x86_fault_error(X86_GP, error);
    }
    if (!x86_descriptor_present(&d)) {
        return x86_fault_error(X86_NP, error);
    }
    X86_TRY(x86_mark_accessed(state, &d));
    x86_load_cache(state, segment, selector, &d);
    return 0;
}

u32 x86_load_segment(X86State *state, unsigned segment, u16 selector)
{
    if (!x86_protected_mode(state)) {
        x86_load_real(state, segment, selector);
        return 0;
    }
    return segment == X86_SS ? load_stack_segment(state, selector)
                             : load_data_segment(state, segment, selector);
}

void x86_drop_segments(X86State *state, unsigned cpl)
{
    static const u8 data_segments[] = {X86_ES, X86_DS, X86_FS, X86_GS};

    for (size_t n = 0; n < COUNT(data_segments); n++) {
        X86Segment *s = &state->segment[data_segments[n]];
        unsigned type = s->attributes & 0x1f;
        unsigned dpl = s->attributes >> X86_SEGMENT_DPL_SHIFT & 3;
        bool conforming =
            (type & (X86_TYPE_CODE | X86_TYPE_CONFORMING)) == (X86_TYPE_CODE | X86_TYPE_CONFORMING);

        if (!is_null(s->selector) && dpl < cpl && !conforming) {
            s->selector = 0;
            s->attributes = 0; /* the base stays, which FS and GS have in 64-bit mode */
        }
    }
}

static u32 load_system_segment(X86State *state, unsigned segment, u16 selector, unsigned types)
{
    bool wide = x86_long_mode_active(state);
    u16 error = selector_error(selector);
    X86Descriptor d;

    if (selector & SELECTOR_TI) {
        return x86_fault_error(X86_GP, error);
    }
    X86_TRY(x86_read_descriptor(state, selector, wide, X86_GP, &d));
    if (!(types >> x86_descriptor_type(&d) & 1)) {
        return x86_fault_error(X86_GP, error);
    }
    if (!x86_descriptor_present(&d)) {
        return x86_fault_error(X86_NP, error);
    }
    if (wide && !x86_canonical_base(state, descriptor_base(&d))) {
        return x86_fault_error(X86_GP, error);
    }
    if (segment == X86_TR) {
        u8 type;
        d.high |= X86_TYPE_BUSY << 8;
        type = (u8)(d.high >> 8);
        X86_TRY(x86_write_linear(state, d.address + 5, &type, 1, X86_WALK_IMPLICIT));
    }
    x86_load_cache(state, segment, selector, &d);
    return 0;
}

u32 x86_load_ldtr(X86State *state, u16 selector)
{
    if (is_null(selector)) {
        load_null(state, X86_LDTR, selector);
        return 0;
    }
    return load_system_segment(state, X86_LDTR, selector, 1 << X86_TYPE_LDT);
}

u32 x86_load_tr(X86State *state, u16 selector)
{
    unsigned types = 1u << X86_TYPE_TSS32;

    if (is_null(selector)) {
        return x86_fault_error(X86_GP, 0);
    }
    if (!x86_long_mode_active(state)) {
        types |= 1u << X86_TYPE_TSS16;
    }
    return load_system_segment(state, X86_TR, selector, types);
}

/* -- Limits */

bool x86_within_limit(const X86Segment *segment, u64 offset, unsigned size)
{
    u64 last = offset + size - 1;
    bool down = (segment->attributes & (X86_TYPE_CODE | X86_TYPE_DOWN)) == X86_TYPE_DOWN;
    u32 top = segment->attributes & X86_SEGMENT_DB ? 0xffffffff : 0xffff;

    return down ? offset > segment->limit && last <= top : last <= segment->limit;
}

static bool is_extended(u64 address, bool wide)
{
    unsigned unused = 64 - (wide ? X86_LINEAR_BITS_57 : X86_LINEAR_BITS);

    return (u64)((s64)(address << unused) >> unused) == address;
}

bool x86_canonical(const X86State *state, u64 address)
{
    return is_extended(address, state->cr[4] & X86_CR4_LA57);
}

bool x86_canonical_base(const X86State *state, u64 address)
{
    return is_extended(address, x86_has(state->features, X86_FEATURE_LA57));
}

/* -- Stacks */

X86Stack x86_current_stack(const X86State *state)
{
    X86Stack stack = {.segment = state->segment[X86_SS],
                      .pointer = state->gpr[X86_RSP],
                      .wide = x86_in_64_bit_mode(state),
                      .flags = x86_cpl(state) == 3 ? X86_WALK_USER : 0};

    stack.mask = stack.wide                                  ? ~(u64)0
                 : stack.segment.attributes & X86_SEGMENT_DB ? 0xffffffff
                                                             : 0xffff;
    stack.pointer &= stack.mask;
    return stack;
}

static bool stack_accessible(const X86State *state, const X86Stack *stack, u64 offset,
                             unsigned size)
{
    return stack->wide ? x86_canonical(state, offset) && x86_canonical(state, offset + size - 1)
                       : x86_within_limit(&stack->segment, offset, size);
}

static u64 stack_linear(const X86Stack *stack, u64 offset)
{
    return stack->wide ? offset : (u32)(stack->segment.base + offset);
}

u32 x86_stack_push(X86State *state, X86Stack *stack, u64 value, unsigned size)
{
    u64 offset = (stack->pointer - size) & stack->mask;

    if (!stack_accessible(state, stack, offset, size)) {
        return x86_fault_error(X86_STACK, 0);
    }
    X86_TRY(x86_write_linear(state, stack_linear(stack, offset), &value, size, stack->flags));
    stack->pointer = offset;
    return 0;
}

u32 x86_stack_pop(X86State *state, X86Stack *stack, u64 *value, unsigned size)
{
    *value = 0;
    if (!stack_accessible(state, stack, stack->pointer, size)) {
        return x86_fault_error(X86_STACK, 0);
    }
    X86_TRY(x86_read_linear(state, stack_linear(stack, stack->pointer), value, size, stack->flags));
    stack->pointer = (stack->pointer + size) & stack->mask;
    return 0;
}

void x86_set_stack_pointer(X86State *state, const X86Stack *stack)
{
    u64 *rsp = &state->gpr[X86_RSP];

    *rsp = stack->mask == 0xffff ? (*rsp & ~(u64)0xffff) | stack->pointer : stack->pointer;
}
