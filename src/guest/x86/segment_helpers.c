/* Segments, as translated code needs them: checks of accesses, loads of segment registers, far
 * transfers of control.
 *
 * In system mode these are segment.c's and transfer.c's work. In user mode they are done here with
 * the descriptors that Linux gives a program (user_descriptors.h), all of privilege level 3.
 * Functions return 0 or the code word of the exception, as in system.h. */
#include <string.h>

#include "guest/x86/helpers.h"
#include "guest/x86/system.h"
#include "guest/x86/user_descriptors.h"

/* (segment | size << 8 | write << 16, offset) -> word: the checks of an access to a segment that is
 * not an ordinary one, or whose limit the access exceeds (5.3 to 5.5). */
void x86_check_segment(void *state, IrWord *io)
{
    unsigned number = io[1].i & 0xff, size = io[1].i >> 8 & 0xff;
    bool write = io[1].i >> 16 & 1;
    const X86State *s = state;
    const X86Segment *segment = &s->segment[number];
    u16 rights = segment->attributes;
    bool is_code = rights & X86_TYPE_CODE;
    bool usable = (rights & X86_SEGMENT_P) && (rights & X86_SEGMENT_S) &&
                  (write ? !is_code && (rights & X86_TYPE_WRITABLE)
                         : !is_code || (rights & X86_TYPE_READABLE));

    if (!x86_protected_mode(s)) {
        usable = true;
    }
    io[0].i = usable && x86_within_limit(segment, io[2].i, size)
                  ? 0
                  : x86_fault_error(number == X86_SS ? X86_STACK : X86_GP, 0);
}

/* -- User mode: loads */

static u64 find_descriptor(const X86State *state, u16 selector)
{
    return x86_user_descriptor(state->system, selector);
}

static u16 rights_of(u64 descriptor)
{
    return (u16)(descriptor >> 40);
}

static u32 selector_fault(unsigned vector, u16 selector)
{
    return x86_fault_error(vector, selector & 0xfffc);
}

static u32 load_null(X86State *state, unsigned segment, u16 selector)
{
    if (segment == X86_SS) { /* at privilege level 3 there must be a stack */
        return x86_fault_error(X86_GP, 0);
    }
    state->segment[segment] = (X86Segment){.selector = selector};
    return 0;
}

static u32 load_user_segment(X86State *state, unsigned segment, u16 selector)
{
    enum { RPL = 3 };
    u64 descriptor = find_descriptor(state, selector);
    u16 rights = rights_of(descriptor);
    bool is_code = rights & X86_TYPE_CODE;
    bool fits = segment == X86_SS
                    ? !is_code && (rights & X86_TYPE_WRITABLE) && (selector & RPL) == 3
                    : !is_code || (rights & X86_TYPE_READABLE);

    if (!(selector & ~RPL)) {
        return load_null(state, segment, selector);
    }
    if (!(rights & X86_SEGMENT_S) || !fits) {
        return selector_fault(X86_GP, selector);
    }
    if (!(rights & X86_SEGMENT_P)) {
        return selector_fault(segment == X86_SS ? X86_STACK : X86_NP, selector);
    }
    x86_set_segment(state, segment, selector, descriptor);
    return 0;
}

/* (segment, selector) -> word: MOV, POP and LxS to a segment register. */
void x86_move_to_segment(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    unsigned segment = (unsigned)io[1].i;
    u16 selector = (u16)io[2].i;

    io[0].i = state->user_mode ? load_user_segment(state, segment, selector)
                               : x86_load_segment(state, segment, selector);
}

/* -- User mode: far transfers, between 64-bit code and compatibility mode as well. Everything is
 * checked before anything changes. */

static u32 limit_of(u64 descriptor)
{
    u32 limit = (u32)(descriptor & 0xffff) | (u32)(descriptor >> 32 & 0xf0000);

    return rights_of(descriptor) & X86_SEGMENT_G ? limit << 12 | 0xfff : limit;
}

/* Whether code may go on there; its descriptor. */
static u32 check_user_code(const X86State *state, u16 selector, u64 offset, u64 *descriptor)
{
    u16 rights;

    *descriptor = find_descriptor(state, selector);
    rights = rights_of(*descriptor);
    if (!(selector & ~3)) {
        return x86_fault_error(X86_GP, 0);
    }
    if (!(rights & X86_SEGMENT_S) || !(rights & X86_TYPE_CODE)) {
        return selector_fault(X86_GP, selector);
    }
    if (!(rights & X86_SEGMENT_P)) {
        return selector_fault(X86_NP, selector);
    }
    if (rights & X86_SEGMENT_L ? !x86_canonical(state, offset) : offset > limit_of(*descriptor)) {
        return x86_fault_error(X86_GP, 0);
    }
    return 0;
}

static void enter_user_code(X86State *state, u16 selector, u64 offset, u64 descriptor)
{
    x86_set_segment(state, X86_CS, selector | 3, descriptor);
    state->rip = offset;
}

static u64 stack_mask(const X86State *state)
{
    if (x86_in_64_bit_mode(state)) {
        return ~(u64)0;
    }
    return state->segment[X86_SS].attributes & X86_SEGMENT_DB ? 0xffffffff : 0xffff;
}

/* Whether `count` values of the stack from rSP + offset on are within its segment, and aligned if
 * that is checked. */
static u32 check_stack(const X86State *state, s64 offset, unsigned count, unsigned size)
{
    u64 mask = stack_mask(state);

    if (state->eflags & X86_EFLAGS_AC &&
        (state->segment[X86_SS].base + state->gpr[X86_RSP] + (u64)offset) % size) {
        return x86_fault_error(X86_AC, 0);
    }
    for (unsigned i = 0; mask != ~(u64)0 && i < count; i++, offset += size) {
        u64 pointer = (state->gpr[X86_RSP] + (u64)offset) & mask;
        if (!x86_within_limit(&state->segment[X86_SS], pointer, size)) {
            return x86_fault_error(X86_STACK, 0);
        }
    }
    return 0;
}

/* A value of the stack at rSP + offset: guest memory, which may fault. */
static u8 *stack_at(const X86State *state, s64 offset)
{
    u64 pointer = (state->gpr[X86_RSP] + (u64)offset) & stack_mask(state);

    if (!x86_in_64_bit_mode(state)) {
        pointer = (u32)(pointer + state->segment[X86_SS].base);
    }
    return (u8 *)(uintptr_t)pointer;
}

static u64 peek(const X86State *state, unsigned index, unsigned size)
{
    u64 value = 0;

    memcpy(&value, stack_at(state, (s64)index * size), size);
    return value;
}

static void poke(const X86State *state, s64 offset, u64 value, unsigned size)
{
    memcpy(stack_at(state, offset), &value, size);
}

/* What rSP becomes after `bytes` were popped. */
static u64 stack_pointer(const X86State *state, u64 bytes)
{
    u64 pointer = state->gpr[X86_RSP], mask = stack_mask(state);

    return (pointer & ~mask) | ((pointer + bytes) & mask);
}

static u32 user_jump(X86State *state, u16 selector, u64 offset)
{
    u64 descriptor;

    X86_TRY(check_user_code(state, selector, offset, &descriptor));
    enter_user_code(state, selector, offset, descriptor);
    return 0;
}

static u32 user_call(X86State *state, u16 selector, u64 offset, unsigned size, u64 next)
{
    u64 pointer = stack_pointer(state, -2 * (u64)size), descriptor;

    X86_TRY(check_user_code(state, selector, offset, &descriptor));
    X86_TRY(check_stack(state, -2 * (s64)size, 2, size));
    poke(state, -(s64)size, state->segment[X86_CS].selector, size);
    poke(state, -2 * (s64)size, next, size);
    enter_user_code(state, selector, offset, descriptor);
    state->gpr[X86_RSP] = pointer;
    return 0;
}

/* To the same privilege level, 3: there is none further out. */
static u32 user_return(X86State *state, unsigned size, u64 release)
{
    u64 offset, descriptor, pointer = stack_pointer(state, 2 * size + release);
    u16 selector;

    X86_TRY(check_stack(state, 0, 2, size));
    offset = peek(state, 0, size);
    selector = (u16)peek(state, 1, size);
    if ((selector & 3) != 3) {
        return selector_fault(X86_GP, selector);
    }
    X86_TRY(check_user_code(state, selector, offset, &descriptor));
    enter_user_code(state, selector, offset, descriptor);
    state->gpr[X86_RSP] = pointer;
    return 0;
}

/* In 64-bit mode IRET pops the stack pointer and SS as well. */
static u32 user_interrupt_return(X86State *state, unsigned size)
{
    enum {
        CHANGEABLE = X86_EFLAGS_STATUS | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT |
                     X86_EFLAGS_RF | X86_EFLAGS_AC | X86_EFLAGS_ID,
    };
    bool wide = x86_in_64_bit_mode(state);
    u64 offset, flags, descriptor, pointer = stack_pointer(state, 3 * size);
    u32 mask = size == 2 ? CHANGEABLE & 0xffff : CHANGEABLE;
    u16 selector;

    if (state->eflags & X86_EFLAGS_NT) { /* no return to a task in long mode */
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(check_stack(state, 0, 3, size));
    offset = peek(state, 0, size);
    selector = (u16)peek(state, 1, size);
    flags = peek(state, 2, size);
    if ((selector & 3) != 3) {
        return selector_fault(X86_GP, selector);
    }
    X86_TRY(check_user_code(state, selector, offset, &descriptor));
    if (wide) {
        pointer = peek(state, 3, size);
        X86_TRY(load_user_segment(state, X86_SS, (u16)peek(state, 4, size)));
    }
    enter_user_code(state, selector, offset, descriptor);
    state->gpr[X86_RSP] = pointer;
    x86_set_eflags(state, (flags & mask) | (x86_get_eflags(state) & ~(u64)mask));
    return 0;
}

static u32 user_transfer(X86State *state, unsigned kind, unsigned size, u64 selector, u64 offset,
                         u64 next)
{
    switch (kind) {
    case X86_FAR_JUMP:
        return user_jump(state, (u16)selector, offset);
    case X86_FAR_CALL:
        return user_call(state, (u16)selector, offset, size, next);
    case X86_FAR_RETURN:
        return user_return(state, size, offset);
    default:
        return user_interrupt_return(state, size);
    }
}

/* IRET ends what an NMI began, and sets RF for breakpoints only: see debug.c. */
static u32 system_interrupt_return(X86State *state, unsigned size)
{
    X86_TRY(x86_interrupt_return(state, size));
    state->nmi_blocked &= (u8) ~(state->in_smm ? X86_NMI_BLOCKED_BY_SMM : X86_NMI_BLOCKED);
    if (!(state->dr[7] & X86_DR7_ENABLED)) {
        state->eflags &= ~(u32)X86_EFLAGS_RF;
    }
    return 0;
}

static u32 system_transfer(X86State *state, unsigned kind, unsigned size, u64 selector, u64 offset,
                           u64 next)
{
    state->rip = next;
    switch (kind) {
    case X86_FAR_JUMP:
        return x86_far_jump(state, (u16)selector, offset, size);
    case X86_FAR_CALL:
        return x86_far_call(state, (u16)selector, offset, size);
    case X86_FAR_RETURN:
        return x86_far_return(state, size, (u16)offset);
    default:
        return system_interrupt_return(state, size);
    }
}

/* (kind X86_FAR_* | operand size << 8, selector, offset or for returns the bytes to release,
 * address of the next instruction) -> word. The state's rip is where to go on. */
void x86_far_transfer(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    unsigned kind = io[1].i & 0xff, size = io[1].i >> 8 & 0xff;

    if (state->user_mode) {
        io[0].i = user_transfer(state, kind, size, io[2].i, io[3].i, io[4].i);
        return;
    }
    io[0].i = system_transfer(state, kind, size, io[2].i, io[3].i, io[4].i);
    x86_look_again(state);
}
