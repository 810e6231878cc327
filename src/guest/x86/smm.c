/* System management mode: entry, the state save area, RSM (Intel SDM volume 3, chapter 34; AMD APM
 * volume 2, 10.2).
 *
 * CPUs with 64-bit mode have AMD's 64-bit save area (revision 64h), others the 32-bit one of
 * P6 processors, whose hidden parts of segments and tables are kept where Intel says nothing.
 * The save area is in physical memory, which is reached as the bus shows it to SMM.
 * Must not emit IR. */
#include <string.h>

#include "guest/x86/feature.h"
#include "guest/x86/helpers.h"
#include "guest/x86/system.h"

enum {
    AREA_OFFSET = 0xfe00, /* from SMBASE */
    AREA_SIZE = 0x200,
    ENTRY_OFFSET = 0x8000,
    REVISION_32 = 0x20000, /* SMBASE can be relocated */
    REVISION_64 = 0x20064,
    RFLAGS_DEFAULT = X86_EFLAGS_FIXED,
};

/* -- The area: an image, of which every field has an offset */

static u64 get(const u8 *area, unsigned at, unsigned size)
{
    u64 value = 0;

    memcpy(&value, area + at, size);
    return value;
}

static void set(u8 *area, unsigned at, unsigned size, u64 value)
{
    memcpy(area + at, &value, size);
}

static void access_area(X86State *state, u8 area[AREA_SIZE], bool write)
{
    const GuestBus *bus = x86_bus(state);
    u64 at = (state->smbase + AREA_OFFSET) & state->a20_mask;

    for (unsigned n = 0; n < AREA_SIZE; n += 8) {
        u8 *ram = bus->ram(bus->opaque, at + n, 8, write);
        u64 value;
        if (ram && write) {
            memcpy(ram, area + n, 8);
        } else if (ram) {
            memcpy(area + n, ram, 8);
        } else if (write) {
            bus->write(bus->opaque, at + n, 8, get(area, n, 8));
        } else {
            value = bus->read(bus->opaque, at + n, 8);
            memcpy(area + n, &value, 8);
        }
    }
}

/* Members of the state that are saved as they are: offset and size in the area of either form
 * (offset 0: not there). */
static const struct {
    u16 member;
    u8 member_size;
    u16 at64;
    u8 size64;
    u16 at32;
    u8 size32;
} fields[] = {
#define FIELD(name, size, at64, size64, at32, size32)                                              \
    {                                                                                              \
        offsetof(X86State, name), size, at64, size64, at32, size32                                 \
    }
#define GPR(n, at64, at32) FIELD(gpr[n], 8, at64, 8, at32, 4)
    GPR(X86_RAX, 0x1f8, 0x1d0),
    GPR(X86_RCX, 0x1f0, 0x1d4),
    GPR(X86_RDX, 0x1e8, 0x1d8),
    GPR(X86_RBX, 0x1e0, 0x1dc),
    GPR(X86_RSP, 0x1d8, 0x1e0),
    GPR(X86_RBP, 0x1d0, 0x1e4),
    GPR(X86_RSI, 0x1c8, 0x1e8),
    GPR(X86_RDI, 0x1c0, 0x1ec),
    GPR(8, 0x1b8, 0),
    GPR(9, 0x1b0, 0),
    GPR(10, 0x1a8, 0),
    GPR(11, 0x1a0, 0),
    GPR(12, 0x198, 0),
    GPR(13, 0x190, 0),
    GPR(14, 0x188, 0),
    GPR(15, 0x180, 0),
    FIELD(rip, 8, 0x178, 8, 0x1f0, 4),
    FIELD(dr[6], 8, 0x168, 8, 0x1cc, 4),
    FIELD(dr[7], 8, 0x160, 8, 0x1c8, 4),
    FIELD(cr[0], 8, 0x158, 8, 0x1fc, 4),
    FIELD(cr[3], 8, 0x150, 8, 0x1f8, 4),
    FIELD(cr[4], 8, 0x148, 8, 0x114, 4),
    FIELD(efer, 8, 0xd0, 8, 0, 0),
    FIELD(gdt_base, 8, 0x68, 8, 0x174, 4),
    FIELD(gdt_limit, 4, 0x64, 4, 0x170, 4),
    FIELD(idt_base, 8, 0x88, 8, 0x158, 4),
    FIELD(idt_limit, 4, 0x84, 4, 0x154, 4),
#undef GPR
#undef FIELD
};

/* Where segments are: AMD's 16 bytes each; in the 32-bit area a selector, and elsewhere attributes,
 * base and limit. */
static const struct {
    u16 at64, selector32, hidden32;
} segments[X86_SEGMENTS] = {
    [X86_ES] = {0x00, 0x1a8, 0x20},   [X86_CS] = {0x10, 0x1ac, 0x2c},
    [X86_SS] = {0x20, 0x1b0, 0x38},   [X86_DS] = {0x30, 0x1b4, 0x44},
    [X86_FS] = {0x40, 0x1b8, 0x50},   [X86_GS] = {0x50, 0x1bc, 0x5c},
    [X86_LDTR] = {0x70, 0x1c0, 0x68}, [X86_TR] = {0x90, 0x1c4, 0x74},
};

enum {
    REVISION = 0xfc,
    SMBASE_64 = 0x100,
    SMBASE_32 = 0xf8,
    HALT_64 = 0xc9, /* auto HALT restart */
    HALT_32 = 0x102,
    EFLAGS_64 = 0x170,
    EFLAGS_32 = 0x1f4,
};

static bool is_64(const X86State *state)
{
    return x86_has(state->features, X86_FEATURE_LM);
}

static void save_segment(const X86Segment *s, unsigned n, bool wide, u8 *area)
{
    unsigned at = wide ? segments[n].at64 : segments[n].hidden32;

    if (wide) {
        set(area, at, 2, s->selector);
        set(area, at + 2, 2, s->attributes);
        set(area, at + 4, 4, s->limit);
        set(area, at + 8, 8, s->base);
    } else {
        set(area, segments[n].selector32, 4, s->selector);
        set(area, at, 4, s->attributes);
        set(area, at + 4, 4, s->base);
        set(area, at + 8, 4, s->limit);
    }
}

static void restore_segment(X86Segment *s, unsigned n, bool wide, const u8 *area)
{
    unsigned at = wide ? segments[n].at64 : segments[n].hidden32;

    *s = (X86Segment){
        .selector = (u16)get(area, wide ? at : segments[n].selector32, 2),
        .attributes = (u16)get(area, wide ? at + 2 : at, 2),
        .limit = (u32)get(area, wide ? at + 4 : at + 8, 4),
        .base = wide ? get(area, at + 8, 8) : get(area, at + 4, 4),
    };
}

static void save(const X86State *state, u8 *area)
{
    bool wide = is_64(state);

    for (size_t n = 0; n < COUNT(fields); n++) {
        unsigned at = wide ? fields[n].at64 : fields[n].at32;
        if (at) {
            set(area, at, wide ? fields[n].size64 : fields[n].size32,
                get((const u8 *)state, fields[n].member, fields[n].member_size));
        }
    }
    for (unsigned n = 0; n < X86_SEGMENTS; n++) {
        save_segment(&state->segment[n], n, wide, area);
    }
    set(area, wide ? EFLAGS_64 : EFLAGS_32, 4, x86_get_eflags(state));
    set(area, REVISION, 4, wide ? REVISION_64 : REVISION_32);
    set(area, wide ? SMBASE_64 : SMBASE_32, 4, state->smbase);
    set(area, wide ? HALT_64 : HALT_32, 1, state->halted == X86_HALTED);
}

static void restore(X86State *state, const u8 *area)
{
    bool wide = is_64(state);

    for (size_t n = 0; n < COUNT(fields); n++) {
        unsigned at = wide ? fields[n].at64 : fields[n].at32;
        if (at) {
            u64 value = get(area, at, wide ? fields[n].size64 : fields[n].size32);
            memcpy((u8 *)state + fields[n].member, &value, fields[n].member_size);
        }
    }
    for (unsigned n = 0; n < X86_SEGMENTS; n++) {
        restore_segment(&state->segment[n], n, wide, area);
    }
    x86_set_eflags(state, get(area, wide ? EFLAGS_64 : EFLAGS_32, 4));
    if (get(area, REVISION, 4) & 0x20000) {
        state->smbase = get(area, wide ? SMBASE_64 : SMBASE_32, 4);
    }
    if (get(area, wide ? HALT_64 : HALT_32, 1) & 1) {
        state->rip--; /* HLT again */
    }
}

/* -- Entry (34.5) */

static void switch_memory(X86State *state, bool smm)
{
    const GuestBus *bus = x86_bus(state);

    state->in_smm = smm;
    if (bus->set_smm) {
        bus->set_smm(bus->opaque, smm);
    }
    bus->flush(state, true);
}

static void load_flat(X86State *state, unsigned segment, u16 selector, u64 base)
{
    state->segment[segment] =
        (X86Segment){.base = base,
                     .limit = 0xffffffff,
                     .selector = selector,
                     .attributes = X86_SEGMENT_G | X86_SEGMENT_P | X86_TYPE_SEGMENT |
                                   X86_TYPE_WRITABLE | X86_TYPE_ACCESSED};
}

void x86_enter_smm(X86State *state)
{
    static const u8 data[] = {X86_ES, X86_SS, X86_DS, X86_FS, X86_GS};
    u8 area[AREA_SIZE];

    switch_memory(state, true);
    access_area(state, area, false);
    save(state, area);
    access_area(state, area, true);
    state->halted = 0;
    state->interrupt_shadow = 0;
    state->nmi_blocked |= X86_NMI_BLOCKED_BY_SMM;
    x86_set_eflags(state, RFLAGS_DEFAULT);
    state->cr[0] &= ~(u64)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
    state->cr[4] = 0;
    state->efer = 0;
    state->dr[7] = 0x400;
    state->rip = ENTRY_OFFSET;
    load_flat(state, X86_CS, (u16)(state->smbase >> 4), state->smbase);
    for (size_t n = 0; n < COUNT(data); n++) {
        load_flat(state, data[n], 0, 0);
    }
}

/* () -> word: back to what was interrupted; what the area holds must make sense (34.4.1.1). */
void x86_leave_smm(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u8 area[AREA_SIZE];

    access_area(state, area, false);
    restore(state, area);
    state->nmi_blocked &= (u8)~X86_NMI_BLOCKED_BY_SMM;
    if ((state->cr[0] & X86_CR0_PG && !(state->cr[0] & X86_CR0_PE)) ||
        (state->cr[0] & X86_CR0_NW && !(state->cr[0] & X86_CR0_CD))) {
        state->shutdown = 1;
    }
    switch_memory(state, false);
    if (state->cr[0] & X86_CR0_PG && state->cr[4] & X86_CR4_PAE && !x86_long_mode_active(state) &&
        x86_load_pdptes(state)) {
        state->shutdown = 1;
    }
    x86_look_again(state);
    io[0].i = 0;
}
