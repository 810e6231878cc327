/* REP MOVS and REP STOS, page by page.
 *
 * Invariant: whenever guest memory is touched, the registers say how far it has got, as a fault
 * there leaves the instruction for good or starts it again. A piece never crosses a page's end on
 * either side, so that it faults before it has done anything or not at all; only single elements
 * cross. Elements behave as if moved one by one, however source and destination overlap. */
#include <string.h>

#include "guest/x86/helpers.h"
#include "guest/x86/system.h"
#include "ir/ir.h"

enum { PAGE_SIZE = 4096 };

/* Guest addresses become pointers as they are, 0 as well: what is there decides, not C's rules. */
#define GUEST_POINTERS __attribute__((no_sanitize("undefined")))

/* Where a string operand is, and how it goes on. */
typedef struct Cursor {
    u64 *pointer; /* rSI or rDI */
    u64 mask;     /* of the address size */
    u64 base;     /* of the segment */
    s64 step;     /* element size, negative when going down */
} Cursor;

/* Sums of 32-bit addresses wrap, whatever the segment's base. */
static u8 *cursor_at(const Cursor *c)
{
    return (u8 *)(uintptr_t)(((*c->pointer & c->mask) + c->base) & c->mask);
}

/* Elements until the page ends; 1 for one that crosses its end. */
static u64 room(const Cursor *c)
{
    u64 size = (u64)(c->step < 0 ? -c->step : c->step);
    u64 at = (uintptr_t)cursor_at(c) % PAGE_SIZE;

    if (at + size > PAGE_SIZE) {
        return 1;
    }
    return c->step < 0 ? at / size + 1 : (PAGE_SIZE - at) / size;
}

static void advance(const Cursor *c, u64 count)
{
    u64 next = *c->pointer + count * (u64)c->step;

    *c->pointer = next & c->mask;
}

GUEST_POINTERS static void move_element(u8 *to, const u8 *from, u64 size)
{
    u64 element;

    memcpy(&element, from, size);
    memcpy(to, &element, size);
}

/* Moves `count` elements within a page on both sides, `to` and `from` being those of the first.
 * That one's first byte goes first, so that a fault is at its address; it must not be a part of any
 * element of the source then. */
GUEST_POINTERS static void move_piece(u8 *to, const u8 *from, s64 step, u64 count)
{
    u64 size = (u64)(step < 0 ? -step : step), bytes = size * count;
    u64 ahead = step < 0 ? (u64)(from - to) : (u64)(to - from);
    u64 apart = to < from ? (u64)(from - to) : (u64)(to - from);

    if (count > 1 && ahead >= bytes && apart >= size) { /* none is read after it was written */
        s64 down = step < 0 ? (s64)(bytes - size) : 0;
        memmove(to, from, 1);
        __asm__ volatile("" ::: "memory");
        memmove(to - down, from - down, bytes);
        return;
    }
    for (; count; count--, to += step, from += step) {
        switch (size) {
        case 1:
            move_element(to, from, 1);
            break;
        case 2:
            move_element(to, from, 2);
            break;
        case 4:
            move_element(to, from, 4);
            break;
        default:
            move_element(to, from, 8);
            break;
        }
        __asm__ volatile("" ::: "memory"); /* one by one */
    }
}

static bool interrupted(X86State *state)
{
    return __atomic_load_n(&cpu_common(state)->interrupt, __ATOMIC_RELAXED);
}

/* Takes `done` from rCX; what is left. */
static u64 count_down(X86State *state, u64 mask, u64 done)
{
    u64 left = (state->gpr[X86_RCX] - done) & mask;

    state->gpr[X86_RCX] = left;
    return left;
}

/* (step, address mask, source's base) -> elements left, not 0 if an interrupt is to be looked at.
 * rCX is not 0. */
void x86_rep_movs(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    s64 step = (s64)io[1].i;
    u64 mask = io[2].i;
    Cursor from = {&state->gpr[X86_RSI], mask, io[3].i, step};
    Cursor to = {&state->gpr[X86_RDI], mask, 0, step};
    u64 left = state->gpr[X86_RCX] & mask;

    do {
        u64 count = MIN(left, MIN(room(&from), room(&to)));
        move_piece(cursor_at(&to), cursor_at(&from), step, count);
        advance(&from, count);
        advance(&to, count);
        left = count_down(state, mask, count);
    } while (left && !interrupted(state));
    io[0].i = left;
}

GUEST_POINTERS static void store_piece(u8 *to, u64 value, s64 step, u64 count)
{
    u64 size = (u64)(step < 0 ? -step : step);

    if (size == 1 && step > 0) {
        *(volatile u8 *)to = (u8)value; /* a fault is at the first byte */
        memset(to, (int)(value & 0xff), count);
        return;
    }
    for (; count; count--, to += step) {
        switch (size) {
        case 1:
            memcpy(to, &value, 1);
            break;
        case 2:
            memcpy(to, &value, 2);
            break;
        case 4:
            memcpy(to, &value, 4);
            break;
        default:
            memcpy(to, &value, 8);
            break;
        }
    }
}

/* (step, address mask) -> elements left, as above. */
void x86_rep_stos(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u64 mask = io[2].i;
    Cursor to = {&state->gpr[X86_RDI], mask, 0, (s64)io[1].i};
    u64 left = state->gpr[X86_RCX] & mask;

    do {
        u64 count = MIN(left, room(&to));
        store_piece(cursor_at(&to), state->gpr[X86_RAX], to.step, count);
        advance(&to, count);
        left = count_down(state, mask, count);
    } while (left && !interrupted(state));
    io[0].i = left;
}

/* -- System mode: the same where both sides are RAM that the soft MMU remembers, and otherwise one
 * element after the other, as the CPU accesses memory. The registers are right before each. */

static unsigned access_flags(const X86State *state)
{
    return x86_cpl(state) == 3 ? X86_WALK_USER : 0;
}

static unsigned element_size(const Cursor *c)
{
    return (unsigned)(c->step < 0 ? -c->step : c->step);
}

/* The place of the first of `count` elements, which lie in one page; *at is NULL where it must be
 * done one by one. A fault is at the first. */
static u32 find_elements(X86State *state, const Cursor *c, u64 count, unsigned flags, u8 **at)
{
    u64 linear = (uintptr_t)cursor_at(c), size = element_size(c), low = linear;
    u8 *ram;

    *at = NULL;
    if (linear % PAGE_SIZE + size > PAGE_SIZE ||
        (x86_long_mode_active(state) && !x86_canonical(state, linear))) {
        return 0;
    }
    X86_TRY(x86_find_ram(state, linear, (unsigned)size, flags, &ram));
    if (ram && count > 1) {
        low = c->step < 0 ? linear - (count - 1) * size : linear;
        X86_TRY(x86_find_ram(state, low, (unsigned)(count * size), flags, &ram));
    }
    *at = ram ? ram + (linear - low) : NULL;
    return 0;
}

static u32 check_canonical(const X86State *state, const Cursor *c)
{
    u64 linear = (uintptr_t)cursor_at(c);
    bool good = !x86_in_64_bit_mode(state) || (x86_canonical(state, linear) &&
                                               x86_canonical(state, linear + element_size(c) - 1));

    return good ? 0 : x86_fault_error(X86_GP, 0);
}

/* One element to where `to` is: from memory, or `value`. */
static u32 store_element(X86State *state, const Cursor *to, u64 value)
{
    X86_TRY(check_canonical(state, to));
    return x86_write_linear(state, (uintptr_t)cursor_at(to), &value, element_size(to),
                            access_flags(state));
}

static u32 copy_element(X86State *state, const Cursor *to, const Cursor *from)
{
    u64 value = 0;

    X86_TRY(check_canonical(state, from));
    X86_TRY(x86_read_linear(state, (uintptr_t)cursor_at(from), &value, element_size(from),
                            access_flags(state)));
    return store_element(state, to, value);
}

static u32 move_in_system(X86State *state, const Cursor *to, const Cursor *from)
{
    unsigned flags = access_flags(state);
    u64 left = state->gpr[X86_RCX] & to->mask;

    do {
        u64 count = MIN(left, MIN(room(from), room(to)));
        u8 *source, *destination = NULL;

        X86_TRY(find_elements(state, from, count, flags, &source));
        if (source) {
            X86_TRY(find_elements(state, to, count, flags | X86_WALK_WRITE, &destination));
        }
        if (destination) {
            move_piece(destination, source, to->step, count);
        } else {
            count = 1;
            X86_TRY(copy_element(state, to, from));
        }
        advance(from, count);
        advance(to, count);
        left = count_down(state, to->mask, count);
    } while (left && !interrupted(state));
    return 0;
}

static u32 store_in_system(X86State *state, const Cursor *to)
{
    unsigned flags = access_flags(state) | X86_WALK_WRITE;
    u64 left = state->gpr[X86_RCX] & to->mask;

    do {
        u64 count = MIN(left, room(to));
        u8 *destination;

        X86_TRY(find_elements(state, to, count, flags, &destination));
        if (destination) {
            store_piece(destination, state->gpr[X86_RAX], to->step, count);
        } else {
            count = 1;
            X86_TRY(store_element(state, to, state->gpr[X86_RAX]));
        }
        advance(to, count);
        left = count_down(state, to->mask, count);
    } while (left && !interrupted(state));
    return 0;
}

/* (step, address mask, source's base) -> word. rCX is not 0 before, and says what is left. */
void x86_system_movs(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    s64 step = (s64)io[1].i;
    u64 mask = io[2].i;
    Cursor from = {&state->gpr[X86_RSI], mask, io[3].i, step};
    Cursor to = {&state->gpr[X86_RDI], mask, 0, step};

    io[0].i = move_in_system(state, &to, &from);
}

/* (step, address mask) -> word */
void x86_system_stos(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    Cursor to = {&state->gpr[X86_RDI], io[2].i, 0, (s64)io[1].i};

    io[0].i = store_in_system(state, &to);
}
