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
    bool global;
    u8 page_bits;
} CodeTlbEntry;

#define CODE_TLB_NONE (~(u64)0)

typedef struct Mmu {
    GuestBus board; /* as the board made it */
    GuestBus *bus;  /* what the guest calls: see bus.c */
    /* Entries in use, to be looked at by a flush. */
    u16 list[CPU_SPACES][TLB_ENTRIES];
    u32 list_count[CPU_SPACES];
    u64 physical[CPU_SPACES][TLB_ENTRIES]; /* pages that the entries lead to */
    /* Linear addresses that large pages were found at; empty: low > high. */
    u64 large_low, large_high;
    CodeTlbEntry code[CODE_TLB_ENTRIES];
    u32 forget;         /* atomic: the memory map changed */
    bool running;       /* generated code, or C code that it called */
    bool was_inside;    /* before the call of the board in progress */
    const u8 *way_back; /* atomic: generated code that a device access of this vCPU returns to */
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

/* GuestBus.flush_page and .flush. */
void mmu_flush_page(void *state, u64 address);
void mmu_flush(void *state, bool global);
/* GuestBus.find. */
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

/* -- bus.c: the board's functions, called for the guest */

/* Fills *bus with functions that stand between the guest and the board. */
void bus_attach(Vcpu *vcpu, GuestBus *bus);
/* Around calls of the board that may wait for locks or take long. */
void bus_leave(Vcpu *vcpu);
void bus_return(Vcpu *vcpu);

#endif
