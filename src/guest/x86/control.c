/* Control, debug and I/O permission: what MOV to CRn and DRn, LMSW and port instructions check and
 * change (Intel SDM volume 3, 2.5, 17.2; volume 1, 19.5).
 *
 * Writes that change how addresses translate flush the soft MMU through the bus.
 * Must not emit IR. */
#include "guest/x86/feature.h"
#include "guest/x86/system.h"

#define CR0_FIXED (X86_CR0_ET)
#define CR0_KNOWN                                                                                  \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP |    \
     X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

static void flush(X86State *state, bool global)
{
    x86_bus(state)->flush(state, global);
}

/* -- CR0 */

/* Entering paging with EFER.LME set is entering IA-32e mode, leaving it leaves (9.8.5). */
static u32 switch_long_mode(X86State *state, u64 value)
{
    bool on = value & X86_CR0_PG, was_on = state->cr[0] & X86_CR0_PG;

    if (on && !was_on && state->efer & X86_EFER_LME) {
        const X86Segment *cs = &state->segment[X86_CS];
        if (!(state->cr[4] & X86_CR4_PAE) || cs->attributes & X86_SEGMENT_L) {
            return x86_fault_error(X86_GP, 0);
        }
        state->efer |= X86_EFER_LMA;
    } else if (!on && was_on && x86_long_mode_active(state)) {
        if (x86_in_64_bit_mode(state) || state->cr[4] & X86_CR4_PCIDE) {
            return x86_fault_error(X86_GP, 0);
        }
        state->efer &= ~(u64)X86_EFER_LMA;
    }
    return 0;
}

static bool uses_pdptes(const X86State *state)
{
    return state->cr[0] & X86_CR0_PG && state->cr[4] & X86_CR4_PAE && !x86_long_mode_active(state);
}

u32 x86_write_cr0(X86State *state, u64 value)
{
    u64 old = state->cr[0], old_efer = state->efer;
    u32 raised;

    if (value >> 32 || (value & X86_CR0_PG && !(value & X86_CR0_PE)) ||
        (value & X86_CR0_NW && !(value & X86_CR0_CD))) {
        return x86_fault_error(X86_GP, 0);
    }
    value = (value & CR0_KNOWN) | CR0_FIXED;
    X86_TRY(switch_long_mode(state, value));
    state->cr[0] = value;
    if (uses_pdptes(state) && (old ^ value) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) {
        raised = x86_load_pdptes(state);
        if (raised) {
            state->cr[0] = old;
            state->efer = old_efer;
            return raised;
        }
    }
    if ((old ^ value) & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE)) {
        flush(state, true);
    }
    return 0;
}

/* -- CR3 */

u32 x86_write_cr3(X86State *state, u64 value)
{
    u64 old = state->cr[3];
    bool keep = false;

    if (x86_long_mode_active(state)) {
        if (state->cr[4] & X86_CR4_PCIDE) {
            keep = value >> 63;
            value &= ~((u64)1 << 63);
        }
        if (value >> 52) {
            return x86_fault_error(X86_GP, 0);
        }
    } else {
        value = (u32)value;
    }
    state->cr[3] = value;
    if (uses_pdptes(state)) {
        u32 raised = x86_load_pdptes(state);
        if (raised) {
            state->cr[3] = old;
            return raised;
        }
    }
    /* Without tags the soft MMU holds one address space: kept only if it is the same one. */
    if (!keep || value != old) {
        flush(state, false);
    }
    return 0;
}

/* -- CR4 */

/* The bits that the CPU model's features allow (2.5). */
static u64 cr4_allowed(const X86State *state)
{
    static const struct {
        u32 bits;
        u8 feature;
    } known[] = {
        {X86_CR4_VME | X86_CR4_PVI, X86_FEATURE_VME},
        {X86_CR4_TSD, X86_FEATURE_TSC},
        {X86_CR4_DE, X86_FEATURE_DE},
        {X86_CR4_PSE, X86_FEATURE_PSE},
        {X86_CR4_PAE, X86_FEATURE_PAE},
        {X86_CR4_MCE, X86_FEATURE_MCE},
        {X86_CR4_PGE, X86_FEATURE_PGE},
        {X86_CR4_OSFXSR, X86_FEATURE_FXSR},
        {X86_CR4_OSXMMEXCPT, X86_FEATURE_SSE},
        {X86_CR4_UMIP, X86_FEATURE_UMIP},
        {X86_CR4_FSGSBASE, X86_FEATURE_FSGSBASE},
        {X86_CR4_PCIDE, X86_FEATURE_PCID},
        {X86_CR4_OSXSAVE, X86_FEATURE_XSAVE},
        {X86_CR4_SMEP, X86_FEATURE_SMEP},
        {X86_CR4_SMAP, X86_FEATURE_SMAP},
        {X86_CR4_LA57, X86_FEATURE_LA57},
    };
    u64 allowed = X86_CR4_PCE;

    for (size_t n = 0; n < COUNT(known); n++) {
        if (x86_has(state->features, known[n].feature)) {
            allowed |= known[n].bits;
        }
    }
    return allowed;
}

u32 x86_write_cr4(X86State *state, u64 value)
{
    u64 old = state->cr[4];
    u64 changed = old ^ value;

    if (value & ~cr4_allowed(state)) {
        return x86_fault_error(X86_GP, 0);
    }
    if (x86_long_mode_active(state) && (changed & X86_CR4_LA57 || !(value & X86_CR4_PAE))) {
        return x86_fault_error(X86_GP, 0);
    }
    if (value & ~old & X86_CR4_PCIDE && (!x86_long_mode_active(state) || state->cr[3] & 0xfff)) {
        return x86_fault_error(X86_GP, 0);
    }
    state->cr[4] = value;
    if (uses_pdptes(state) && changed & (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_SMEP)) {
        u32 raised = x86_load_pdptes(state);
        if (raised) {
            state->cr[4] = old;
            return raised;
        }
    }
    if (changed & (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP |
                   X86_CR4_PCIDE | X86_CR4_LA57)) {
        flush(state, true);
    }
    return 0;
}

u32 x86_write_cr8(X86State *state, u64 value)
{
    const GuestBus *bus = x86_bus(state);

    if (value > 15) {
        return x86_fault_error(X86_GP, 0);
    }
    state->cr8 = value;
    if (bus->priority_write) {
        bus->priority_write(bus->opaque, (u8)value);
    }
    return 0;
}

/* -- Debug registers (17.2) */

enum {
    DR6_FIXED = 0xffff0ff0,
    DR6_KNOWN = 0xe00f,
    DR7_FIXED = 0x400,
    DR7_GD = 1 << 13,
    DR7_ZERO = 0xd000 & ~DR7_GD,
};

u32 x86_write_dr(X86State *state, unsigned number, u64 value)
{
    if (number < 4) {
        state->dr[number] = value;
    } else if (value >> 32) {
        return x86_fault_error(X86_GP, 0);
    } else if (number == 6) {
        state->dr[6] = (value & DR6_KNOWN) | DR6_FIXED;
    } else {
        state->dr[7] = (value & ~(u64)DR7_ZERO) | DR7_FIXED;
    }
    return 0;
}

/* -- I/O ports */

u32 x86_check_port(X86State *state, u16 port, unsigned size)
{
    const X86Segment *tr = &state->segment[X86_TR];
    bool vm86 = state->eflags & X86_EFLAGS_VM;
    u16 map = 0, bits = 0;

    if (!(state->cr[0] & X86_CR0_PE) || (!vm86 && x86_cpl(state) <= x86_iopl(state))) {
        return 0;
    }
    if (!(tr->attributes & 8) || tr->limit < 103) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(x86_read_linear(state, tr->base + 102, &map, 2, X86_WALK_IMPLICIT));
    if (map + port / 8u + 1 > tr->limit) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(x86_read_linear(state, tr->base + map + port / 8u, &bits, 2, X86_WALK_IMPLICIT));
    return bits >> port % 8 & ((1u << size) - 1) ? x86_fault_error(X86_GP, 0) : 0;
}
