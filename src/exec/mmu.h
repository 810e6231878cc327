/* The soft MMU of a vCPU in system mode: translations of addresses for data (the TLBs that
 * generated code probes, ir/tlb.h) and for code, filled from the guest's page tables and the
 * board's bus.
 *
 * All belongs to the vCPU's thread, but for the low bits of write tags. */
#ifndef EXEC_MMU_H
#define EXEC_MMU_H

#include "exec/engine.h"
#include "guest/bus.h"

enum { CODE_TLB_ENTRIES = 256 };

/* Where code of a linear page is. */
typedef struct CodeTlbEntry {
    u64 tag; /* linear page | space; CODE_TLB_NONE */
    u8 *ram; /* host address of the page; NULL: not RAM */
    u64 physical;
    bool global, listed;
    u8 page_bits;
} CodeTlbEntry;

#define CODE_TLB_NONE (~(u64)0)

/* Numbers of TLB entries in use, to be looked at by a flush. */
typedef struct EntryList {
    u32 count;
    u16 entry[TLB_ENTRIES];
} EntryList;

/* What is behind the TLBs that generated code probes: more entries, found by C code. An entry
 * counts while its generation is that of mmu->generation[global]. */
enum { BACK_SETS = 1024, BACK_WAYS = 4 };

typedef struct BackEntry {
    TlbEntry entry; /* without TLB_WATCHED; info: page's size and TLB_GLOBAL */
    u64 physical;
    u32 generation;
    u32 space;
} BackEntry;

/* Addresses; empty: low > high. */
typedef struct LinearRange {
    u64 low, high;
} LinearRange;

enum { CODE_SEEN_BITS = 12, CODE_SEEN = 1 << CODE_SEEN_BITS };

typedef struct Mmu {
    GuestBus board;                        /* as the board made it */
    GuestBus *bus;                         /* what the guest calls: see bus.c */
    EntryList lists[CPU_SPACES][2];        /* not global; global */
    u64 physical[CPU_SPACES][TLB_ENTRIES]; /* pages that the entries lead to */
    BackEntry back[BACK_SETS][BACK_WAYS];
    u8 back_next;              /* way that is replaced next */
    u32 generation[2];         /* of entries that are not global; that are */
    LinearRange large[2];      /* that large pages were found at, in either half of the address
                                  space */
    LinearRange large_code[2]; /* the same of those that code was found in */
    CodeTlbEntry code[CODE_TLB_ENTRIES];
    u8 code_list[CODE_TLB_ENTRIES]; /* entries of `code` that are in use */
    u32 code_count;
    /* Small pages that code was found in since all was forgotten, hashed: not global; global. */
    u64 code_seen[2][CODE_SEEN / 64];
    u32 forget;         /* atomic: the memory map changed */
    bool running;       /* generated code, or C code that it called */
    bool was_inside;    /* before the call of the board in progress */
    bool took_x87;      /* the same: the guest's x87 is to be given back to the host */
    const u8 *way_back; /* atomic: generated code that a device access of this vCPU returns to */
    bool single_step;
    bool stopped; /* before the breakpoint at `stopped_at`, which is passed when it is run again */
    u64 stopped_at;
    /* Writes of C code that happen after they were announced: to be looked at again. */
    const u8 *late_write;
    u64 late_size;
} Mmu;

/* Makes and frees vcpu->mmu; 0 or -1. */
int mmu_init(Vcpu *vcpu);
void mmu_free(Vcpu *vcpu);

/* MmuAccessFn. */
bool mmu_access(void *state, MmuAccess *access);

/* Where a linear address's code is: 0, with *entry valid until the next call, or the code word of
 * the exception that fetching raises. */
u64 mmu_code(Vcpu *vcpu, u64 address, const CodeTlbEntry **entry);

/* -- flush.c */

static inline u64 mmu_page(u64 address)
{
    return ALIGN_DOWN(address, (u64)TLB_PAGE);
}

static inline CodeTlbEntry *mmu_code_entry(Mmu *mmu, u64 address)
{
    return &mmu->code[address >> TLB_PAGE_BITS & (CODE_TLB_ENTRIES - 1)];
}

static inline BackEntry *mmu_back_set(Mmu *mmu, u64 address)
{
    u64 page = address >> TLB_PAGE_BITS;

    return mmu->back[(page ^ page >> 10 ^ page >> 20) % BACK_SETS];
}

/* Makes the entry one that never hits; it stays listed. */
void mmu_clear_entry(TlbEntry *entry);
/* Fills entry->info, and lists the entry for flushes. */
void mmu_list_entry(Mmu *mmu, TlbEntry *entry, u32 space, u32 index, const GuestPage *page);
void mmu_list_code(Mmu *mmu, CodeTlbEntry *entry);
/* Remembers where large pages are, if this is one. */
void mmu_note_large(Mmu *mmu, u64 address, u32 page_bits);
void mmu_forget_large(Mmu *mmu);

/* Empties the near cache and the shared addends, or these alone (any thread). */
void mmu_forget_near(Vcpu *vcpu);
void mmu_forget_shared(Vcpu *vcpu);
/* Both of one page in a space. */
void mmu_forget_near_page(Vcpu *vcpu, u32 space, u64 address);
/* GuestBus.flush_page and .flush. */
void mmu_flush_page(void *state, u64 address);
void mmu_flush(void *state, bool global);
/* GuestBus.find. A store that must be reported is. */
u64 mmu_find(void *state, u64 address, unsigned size, u32 space, bool write, u8 **ram);

/* Sets TLB_WATCHED in all write tags of the vCPU that lead to the RAM. Any thread. Returns whether
 * there were any. */
bool mmu_watch_ram(Vcpu *vcpu, const u8 *ram, u64 size);

/* The RAM is about to be written by C code: exec_run() drops translations of it when generated code
 * has been left. */
void mmu_note_write(Vcpu *vcpu, const u8 *ram, u64 size);

/* -- signals.c */

/* This thread is about to run the vCPU. */
void signals_attach(Vcpu *vcpu);
/* It is about to be freed. */
void signals_detach(const Vcpu *vcpu);

/* -- debug.c */

/* Whether the vCPU is to stop before the instruction at that linear address. If not, *alone says
 * whether that is to be run by itself. */
bool debug_stops(Vcpu *vcpu, u64 linear, bool *alone);
bool debug_is_breakpoint(Engine *engine, u64 address);

/* -- bus.c: the board's functions, called for the guest */

/* Fills *bus with functions that stand between the guest and the board. */
void bus_attach(Vcpu *vcpu, GuestBus *bus);
/* C code writes the bytes before long: what is translated from them is dropped. */
void bus_announce_write(Vcpu *vcpu, const u8 *ram, u64 size);
/* Around calls of the board that may wait for locks or take long. */
void bus_leave(Vcpu *vcpu);
void bus_return(Vcpu *vcpu);

#endif
