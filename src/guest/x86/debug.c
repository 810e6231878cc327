/* Breakpoints of the debug registers (Intel SDM volume 3, 17.2, 17.3).
 *
 * Those on instructions are faults before them; those on data and ports are traps: what an access
 * met is gathered in the state, and a #DB follows the instruction. Translated code calls this only
 * in a mode that says that DR7 has any enabled.
 * Must not emit IR. */
#include "guest/x86/helpers.h"
#include "guest/x86/system.h"

/* R/Wn of DR7. */
typedef enum BreakKind { BREAK_CODE, BREAK_WRITE, BREAK_PORT, BREAK_ACCESS } BreakKind;

static bool is_enabled(const X86State *state, unsigned n)
{
    return state->dr[7] >> 2 * n & 3;
}

static BreakKind kind_of(const X86State *state, unsigned n)
{
    return state->dr[7] >> (16 + 4 * n) & 3;
}

static u64 length_of(const X86State *state, unsigned n)
{
    static const u8 lengths[] = {1, 2, 8, 4};

    return lengths[state->dr[7] >> (18 + 4 * n) & 3];
}

/* Whether breakpoint n covers a byte of [address, address + size). */
static bool covers(const X86State *state, unsigned n, u64 address, u64 size)
{
    u64 length = length_of(state, n), start = state->dr[n] & ~(length - 1);

    return address < start + length && start < address + size;
}

/* (linear address) -> word: of the instruction there. RF spares one instruction. */
void x86_code_breakpoint(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u64 address = io[1].i;
    unsigned hits = 0;

    io[0].i = 0;
    if (state->eflags & X86_EFLAGS_RF) {
        state->eflags &= ~(u32)X86_EFLAGS_RF;
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(state, n) && kind_of(state, n) == BREAK_CODE && state->dr[n] == address) {
            hits |= 1u << n;
        }
    }
    if (hits) {
        state->dr[6] = (state->dr[6] & ~(u64)15) | hits;
        io[0].i = x86_fault(X86_DB);
    }
}

void x86_data_breakpoint_at(X86State *state, u64 address, unsigned size, bool write)
{
    for (unsigned n = 0; n < 4; n++) {
        BreakKind kind = kind_of(state, n);
        if (is_enabled(state, n) && (kind == BREAK_ACCESS || (kind == BREAK_WRITE && write)) &&
            covers(state, n, address, size)) {
            state->debug_hits |= (u8)(1u << n);
        }
    }
}

/* (linear address, size | write << 8) */
void x86_data_breakpoint(void *state, IrWord *io)
{
    x86_data_breakpoint_at(state, io[1].i, io[2].i & 0xff, io[2].i >> 8 & 1);
}

void x86_port_breakpoint(X86State *state, u16 port, unsigned size)
{
    if (!(state->dr[7] & X86_DR7_ENABLED) || !(state->cr[4] & X86_CR4_DE)) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(state, n) && kind_of(state, n) == BREAK_PORT &&
            covers(state, n, port, size)) {
            state->debug_hits |= (u8)(1u << n);
        }
    }
}
