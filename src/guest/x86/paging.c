/* Page-table walks of all x86 paging modes (Intel SDM volume 3, chapter 4), and memory as the CPU
 * itself accesses it at linear addresses.
 *
 * A walk has two parts: it goes down the tables and collects rights, then checks them; accessed and
 * dirty bits are set, atomically, only when the access is allowed. Nothing is cached here: that is
 * the soft MMU's business. Entries that lie in devices or holes read as what the bus gives and are
 * never written.
 * Must not know how translated code accesses memory. */
#include <string.h>

#include "guest/x86/system.h"

enum {
    ENTRY_P = 1 << 0,
    ENTRY_RW = 1 << 1,
    ENTRY_US = 1 << 2,
    ENTRY_A = 1 << 5,
    ENTRY_D = 1 << 6,
    ENTRY_PS = 1 << 7,
    ENTRY_G = 1 << 8,
    ERROR_P = 1 << 0,
    ERROR_W = 1 << 1,
    ERROR_U = 1 << 2,
    ERROR_RSVD = 1 << 3,
    ERROR_I = 1 << 4,
    PAGE_BITS = 12,
    LEVELS_MAX = 5,
    PHYSICAL_BITS = 40,
};

#define ENTRY_XD ((u64)1 << 63)
#define ADDRESS_MASK ((((u64)1 << PHYSICAL_BITS) - 1) & ~(u64)0xfff)
#define RESERVED_HIGH (((u64)1 << 52) - ((u64)1 << PHYSICAL_BITS))

typedef struct Walk {
    X86State *state;
    u64 linear;
    unsigned flags;
    bool wide;             /* 8-byte entries */
    u64 place[LEVELS_MAX]; /* physical addresses of the entries used, */
    u64 entry[LEVELS_MAX]; /* and the entries, top first */
    unsigned count;
    u64 rights; /* RW and US: and-ed; XD: or-ed */
} Walk;

/* -- Entries in memory */

static u64 read_entry(const Walk *w, u64 place)
{
    const GuestBus *bus = x86_bus(w->state);
    unsigned size = w->wide ? 8 : 4;
    u8 *ram = bus->ram(bus->opaque, place & w->state->a20_mask, size, false);

    if (!ram) {
        return bus->read(bus->opaque, place & w->state->a20_mask, size);
    }
    return w->wide ? __atomic_load_n((u64 *)ram, __ATOMIC_RELAXED)
                   : __atomic_load_n((u32 *)ram, __ATOMIC_RELAXED);
}

/* Sets bits of the entry if it is still what was read; otherwise the walk must be done again. */
static bool update_entry(const Walk *w, unsigned n, u64 bits)
{
    const GuestBus *bus = x86_bus(w->state);
    u64 old = w->entry[n];
    u32 old32 = (u32)old;
    u8 *ram;

    if ((old & bits) == bits || w->flags & X86_WALK_PROBE) {
        return true;
    }
    ram = bus->ram(bus->opaque, w->place[n] & w->state->a20_mask, w->wide ? 8 : 4, true);
    if (!ram) {
        return true;
    }
    if (w->wide) {
        return __atomic_compare_exchange_n((u64 *)ram, &old, old | bits, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    }
    return __atomic_compare_exchange_n((u32 *)ram, &old32, old32 | (u32)bits, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* -- Faults */

static bool nx_enabled(const X86State *state)
{
    return (state->efer & X86_EFER_NXE) && (state->cr[4] & X86_CR4_PAE);
}

static u32 page_fault(const Walk *w, u16 error)
{
    if (w->flags & X86_WALK_WRITE) {
        error |= ERROR_W;
    }
    if (w->flags & X86_WALK_USER) {
        error |= ERROR_U;
    }
    if ((w->flags & X86_WALK_FETCH) && (nx_enabled(w->state) || w->state->cr[4] & X86_CR4_SMEP)) {
        error |= ERROR_I;
    }
    if (!(w->flags & X86_WALK_PROBE)) {
        w->state->cr[2] = w->linear;
    }
    return x86_fault_error(X86_PF, error);
}

/* 4.6: whether the access rights that the entries give allow the access. */
static bool allowed(const Walk *w)
{
    const X86State *state = w->state;
    bool user_page = w->rights & ENTRY_US;

    if (w->flags & X86_WALK_FETCH) {
        if (w->rights & ENTRY_XD) {
            return false;
        }
        return w->flags & X86_WALK_USER ? user_page : !(user_page && state->cr[4] & X86_CR4_SMEP);
    }
    if (w->flags & X86_WALK_USER) {
        return user_page && (!(w->flags & X86_WALK_WRITE) || w->rights & ENTRY_RW);
    }
    if (user_page && (state->cr[4] & X86_CR4_SMAP) && !(w->flags & X86_WALK_PROBE) &&
        (w->flags & X86_WALK_IMPLICIT || !(state->eflags & X86_EFLAGS_AC))) {
        return false;
    }
    return !(w->flags & X86_WALK_WRITE) || w->rights & ENTRY_RW || !(state->cr[0] & X86_CR0_WP);
}

/* -- Going down */

/* Takes one entry into the walk; false when it is not present. */
static bool take_entry(Walk *w, u64 place)
{
    u64 entry = read_entry(w, place);

    if (!(entry & ENTRY_P)) {
        return false;
    }
    w->place[w->count] = place;
    w->entry[w->count++] = entry;
    w->rights &= entry | ENTRY_XD;
    w->rights |= entry & ENTRY_XD;
    return true;
}

/* Reserved bits of an 8-byte entry (tables 4-8 to 4-20). `page_bits`: of the page it maps; 0: it
 * points to a table. */
static bool reserved_bits(const Walk *w, u64 entry, unsigned page_bits, unsigned level)
{
    u64 reserved = RESERVED_HIGH;

    if (!nx_enabled(w->state)) {
        reserved |= ENTRY_XD;
    }
    if (!x86_long_mode_active(w->state)) {
        reserved |= (u64)0x7ff << 52; /* PAE paging: bits 62..52 as well */
    }
    if (page_bits > PAGE_BITS) {
        reserved |= (((u64)1 << page_bits) - 1) & ~(u64)0x1fff; /* bit 12 is PAT */
    }
    if (level >= 4) {
        reserved |= ENTRY_PS;
    }
    return entry & reserved;
}

typedef enum WalkEnd { WALK_MAPPED, WALK_ABSENT, WALK_RESERVED } WalkEnd;

/* 4- and 5-level paging, and the two lower levels of PAE paging. */
static WalkEnd descend_wide(Walk *w, u64 table, unsigned level, unsigned *page_bits)
{
    for (;; level--) {
        unsigned shift = PAGE_BITS + 9 * (level - 1);
        bool page;
        u64 entry;

        if (!take_entry(w, table + 8 * (w->linear >> shift & 0x1ff))) {
            return WALK_ABSENT;
        }
        entry = w->entry[w->count - 1];
        page = level == 1 || ((level == 2 || level == 3) && entry & ENTRY_PS);
        if (reserved_bits(w, entry, page ? shift : 0, level)) {
            return WALK_RESERVED;
        }
        if (page) {
            *page_bits = shift;
            return WALK_MAPPED;
        }
        table = entry & ADDRESS_MASK;
    }
}

/* PAE paging (4.4): the top level is in registers, without rights. */
static WalkEnd descend_pae(Walk *w, unsigned *page_bits)
{
    u64 pdpte = w->state->pdpte[w->linear >> 30 & 3];

    return pdpte & ENTRY_P ? descend_wide(w, pdpte & ADDRESS_MASK, 2, page_bits) : WALK_ABSENT;
}

/* 32-bit paging (4.3) with 4 MiB pages and their 40-bit addresses (PSE-36). */
static WalkEnd descend_narrow(Walk *w, unsigned *page_bits)
{
    u64 table = w->state->cr[3] & 0xfffff000;
    u64 entry;

    if (!take_entry(w, table + 4 * (w->linear >> 22 & 0x3ff))) {
        return WALK_ABSENT;
    }
    entry = w->entry[0];
    if (entry & ENTRY_PS && w->state->cr[4] & X86_CR4_PSE) {
        *page_bits = 22;
        return entry & 1 << 21 ? WALK_RESERVED : WALK_MAPPED;
    }
    *page_bits = PAGE_BITS;
    return take_entry(w, (entry & 0xfffff000) + 4 * (w->linear >> PAGE_BITS & 0x3ff)) ? WALK_MAPPED
                                                                                      : WALK_ABSENT;
}

static WalkEnd descend(Walk *w, unsigned *page_bits)
{
    const X86State *state = w->state;

    w->wide = state->cr[4] & X86_CR4_PAE;
    w->rights = ENTRY_RW | ENTRY_US;
    w->count = 0;
    if (x86_long_mode_active(state)) {
        return descend_wide(w, state->cr[3] & ADDRESS_MASK, state->cr[4] & X86_CR4_LA57 ? 5 : 4,
                            page_bits);
    }
    return w->wide ? descend_pae(w, page_bits) : descend_narrow(w, page_bits);
}

/* Physical base of the page that the last entry maps. */
static u64 page_base(const Walk *w, unsigned page_bits)
{
    u64 entry = w->entry[w->count - 1];
    u64 base = w->wide ? entry & ADDRESS_MASK : entry & 0xfffff000;

    base &= ~(((u64)1 << page_bits) - 1);
    if (!w->wide && page_bits == 22) {
        base |= (entry >> 13 & 0xff) << 32;
    }
    return base;
}

/* Accessed bits everywhere, dirty in the last entry for a store; false: another CPU was faster. */
static bool set_accessed(const Walk *w)
{
    for (unsigned n = 0; n < w->count; n++) {
        u64 bits = ENTRY_A;

        if (n == w->count - 1 && w->flags & X86_WALK_WRITE) {
            bits |= ENTRY_D;
        }
        if (!update_entry(w, n, bits)) {
            return false;
        }
    }
    return true;
}

static void identity(const X86State *state, u64 linear, X86Translation *out)
{
    *out = (X86Translation){.physical = (u32)linear & state->a20_mask,
                            .page_bits = PAGE_BITS,
                            .writable = true,
                            .user = true,
                            .executable = true};
}

u32 x86_walk(X86State *state, u64 linear, unsigned flags, X86Translation *out)
{
    Walk w = {.state = state, .flags = flags};
    unsigned page_bits = 0;
    bool dirty;

    if (!(state->cr[0] & X86_CR0_PG)) {
        identity(state, linear, out);
        return 0;
    }
    w.linear = x86_long_mode_active(state) ? linear : (u32)linear;
    do {
        WalkEnd end = descend(&w, &page_bits);

        if (end != WALK_MAPPED) {
            return page_fault(&w, end == WALK_RESERVED ? ERROR_P | ERROR_RSVD : 0);
        }
        if (!allowed(&w)) {
            return page_fault(&w, ERROR_P);
        }
    } while (!set_accessed(&w));
    dirty = flags & X86_WALK_WRITE || w.entry[w.count - 1] & ENTRY_D;
    w.flags = (flags & X86_WALK_USER) | X86_WALK_WRITE;
    *out = (X86Translation){
        .physical =
            (page_base(&w, page_bits) | (w.linear & (((u64)1 << page_bits) - 1))) & state->a20_mask,
        .page_bits = (u8)page_bits,
        .writable = dirty && allowed(&w),
        .user = w.rights & ENTRY_US,
        .global = state->cr[4] & X86_CR4_PGE && w.entry[w.count - 1] & ENTRY_G,
        .executable = !(w.rights & ENTRY_XD),
    };
    return 0;
}

u32 x86_load_pdptes(X86State *state)
{
    Walk w = {.state = state, .wide = true};
    u64 pdpte[4];
    /* Bits 2..1, 8..5 and those above the physical address are reserved (table 4-8). */
    u64 reserved = 0x1e6 | ~(((u64)1 << PHYSICAL_BITS) - 1);

    for (unsigned n = 0; n < 4; n++) {
        pdpte[n] = read_entry(&w, (state->cr[3] & 0xffffffe0) + 8 * n);
        if (pdpte[n] & ENTRY_P && pdpte[n] & reserved) {
            return x86_fault_error(X86_GP, 0);
        }
    }
    memcpy(state->pdpte, pdpte, sizeof pdpte);
    return 0;
}

/* -- Accesses of the CPU itself */

/* A device or hole, byte by byte where the size is odd. */
static void read_device(const GuestBus *bus, u64 physical, u8 *bytes, unsigned size)
{
    unsigned step = size == 2 || size == 4 || size == 8 ? size : 1;

    for (unsigned at = 0; at < size; at += step) {
        u64 value = bus->read(bus->opaque, physical + at, step);
        memcpy(bytes + at, &value, step); /* hosts are little-endian, as x86 is */
    }
}

static void write_device(const GuestBus *bus, u64 physical, const u8 *bytes, unsigned size)
{
    unsigned step = size == 2 || size == 4 || size == 8 ? size : 1;

    for (unsigned at = 0; at < size; at += step) {
        u64 value = 0;
        memcpy(&value, bytes + at, step);
        bus->write(bus->opaque, physical + at, step, value);
    }
}

static unsigned room_in_page(u64 linear)
{
    return 0x1000 - (unsigned)(linear & 0xfff);
}

/* The space that an access with those flags is one of. */
static u32 space_of(const X86State *state, unsigned flags)
{
    bool guarded = flags & X86_WALK_IMPLICIT || !(state->eflags & X86_EFLAGS_AC);

    if (flags & X86_WALK_USER) {
        return X86_SPACE_USER;
    }
    return state->cr[4] & X86_CR4_SMAP && guarded ? X86_SPACE_GUARDED : X86_SPACE_SUPERVISOR;
}

u32 x86_find_ram(X86State *state, u64 linear, unsigned size, unsigned flags, u8 **ram)
{
    const GuestBus *bus = x86_bus(state);
    u64 at = x86_long_mode_active(state) ? linear : (u32)linear;

    *ram = NULL;
    if (!bus->find || flags & X86_WALK_PROBE) {
        return 0;
    }
    return (u32)bus->find(state, at, size, space_of(state, flags), flags & X86_WALK_WRITE, ram);
}

/* A piece of an access that lies in one page. */
typedef struct Piece {
    unsigned size;
    u8 *ram; /* NULL: */
    u64 physical;
} Piece;

/* Finds the RAM of a piece by way of what the engine remembers, if there is an engine, or else by a
 * walk. */
static u32 find_piece(X86State *state, u64 linear, unsigned flags, Piece *piece)
{
    const GuestBus *bus = x86_bus(state);
    bool write = flags & X86_WALK_WRITE;
    X86Translation page;

    X86_TRY(x86_find_ram(state, linear, piece->size, flags, &piece->ram));
    if (!piece->ram) {
        X86_TRY(x86_walk(state, linear, flags, &page));
        piece->physical = page.physical;
        piece->ram = bus->ram(bus->opaque, page.physical, piece->size, write);
    }
    return 0;
}

u32 x86_read_linear(X86State *state, u64 linear, void *bytes, unsigned size, unsigned flags)
{
    u8 *to = bytes;

    while (size) {
        Piece piece = {.size = MIN(size, room_in_page(linear))};

        X86_TRY(find_piece(state, linear, flags, &piece));
        if (piece.ram) {
            memcpy(to, piece.ram, piece.size);
        } else {
            read_device(x86_bus(state), piece.physical, to, piece.size);
        }
        linear += piece.size;
        to += piece.size;
        size -= piece.size;
    }
    return 0;
}

u32 x86_write_linear(X86State *state, u64 linear, const void *bytes, unsigned size, unsigned flags)
{
    unsigned first = MIN(size, room_in_page(linear));
    Piece pieces[2] = {{.size = first}, {.size = size - first}};

    /* Both pages are looked up before the first byte is written. */
    flags |= X86_WALK_WRITE;
    X86_TRY(find_piece(state, linear, flags, &pieces[0]));
    if (pieces[1].size) {
        X86_TRY(find_piece(state, linear + first, flags, &pieces[1]));
    }
    for (unsigned n = 0; n < 2 && pieces[n].size; n++) {
        if (pieces[n].ram) {
            memcpy(pieces[n].ram, bytes, pieces[n].size);
        } else {
            write_device(x86_bus(state), pieces[n].physical, bytes, pieces[n].size);
        }
        bytes = (const u8 *)bytes + pieces[n].size;
    }
    return 0;
}
