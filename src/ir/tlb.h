/* The soft MMU's cache of address translations, as generated code probes it and exec/ fills it.
 *
 * A vCPU has one table for each space of its guest, direct-mapped by the number of the page. They
 * stand before its CpuCommon, the one of space 0 last, so that generated code reaches an entry at a
 * constant displacement from the context pointer. A probe takes the entry of the first byte's page
 * and compares the tag with the page of the last byte, so that an access across a page's end never
 * hits. A tag with low bits set never hits either: that is how accesses are sent the slow way.
 *
 * Between the tables and CpuCommon there is a second cache, of pages that can be loaded from, for
 * loads that are executed again and again: each looks at an entry of its own first, which holds the
 * page where it hit last. So the address to load from depends on nothing that must be looked up by
 * the guest's address. Generated code fills it from the TLB; any flush empties it.
 *
 * Next to CpuCommon are words in which generated code keeps the addend of a probe for accesses that
 * follow within the same block and page. Whatever drops an entry makes them 0, which is none.
 *
 * The vCPU's thread writes entries; others may set low bits of a write tag (atomically), which
 * takes effect with the next probe.
 * Must not know any guest or host. */
#ifndef IR_TLB_H
#define IR_TLB_H

#include "ir/cpu.h"

enum {
    TLB_PAGE_BITS = 12,
    TLB_PAGE = 1 << TLB_PAGE_BITS,
    TLB_BITS = 10,
    TLB_ENTRIES = 1 << TLB_BITS,
    TLB_ENTRY_BITS = 5, /* log2 of an entry's size */
};

/* Low bits of tags. */
enum {
    TLB_DEVICE = 1,  /* no RAM: the addend leads to the physical address */
    TLB_WATCHED = 2, /* RAM; stores are to be noticed */
    TLB_NONE = 4,    /* not this page */
};

/* TlbEntry.info, beside the page's size in bits 15..8. */
enum {
    TLB_GLOBAL = 1,
    TLB_LISTED = 2, /* in the list of entries that flushes look at, or in that of global ones */
    TLB_LISTED_GLOBAL = 4,
};

typedef struct TlbEntry {
    u64 read;   /* page that loads may access, */
    u64 write;  /* and stores; see TLB_DEVICE ... */
    u64 addend; /* host address of a byte (or physical address) - its linear address */
    u64 info;
} TlbEntry;

_Static_assert(sizeof(TlbEntry) == 1 << TLB_ENTRY_BITS, "generated code scales by this");

enum { NEAR_ENTRIES = 64 };

/* NearEntry.page when there is none: not aligned as any access that is compared. */
enum { NEAR_NONE = TLB_PAGE / 2 };

typedef struct NearEntry {
    u64 page;
    u64 addend;
} NearEntry;

enum { SHARED_ADDENDS = 8 };

static inline u64 *shared_addends(CpuCommon *common)
{
    return (u64 *)common - SHARED_ADDENDS;
}

static inline NearEntry *near_table(CpuCommon *common, u32 space)
{
    return (NearEntry *)(void *)shared_addends(common) - (size_t)(space + 1) * NEAR_ENTRIES;
}

/* Bytes before the CpuCommon of a vCPU whose guest has so many spaces, not 0. */
static inline size_t tlb_bytes(u32 spaces)
{
    return sizeof(u64) * SHARED_ADDENDS + sizeof(NearEntry) * NEAR_ENTRIES * CPU_SPACES +
           sizeof(TlbEntry) * TLB_ENTRIES * spaces;
}

static inline TlbEntry *tlb_table(CpuCommon *common, u32 space)
{
    return (TlbEntry *)(void *)((u8 *)common - tlb_bytes(space + 1));
}

static inline TlbEntry *tlb_entry(CpuCommon *common, u32 space, u64 address)
{
    return &tlb_table(common, space)[address >> TLB_PAGE_BITS & (TLB_ENTRIES - 1)];
}

/* -- The slow way */

typedef enum MmuOperation { MMU_LOAD, MMU_STORE, MMU_CAS, MMU_RMW } MmuOperation;

/* One access of generated code that the probe does not settle. */
typedef struct MmuAccess {
    u64 address;  /* linear */
    u8 operation; /* MmuOperation */
    u8 size;      /* in bytes: 1, 2, 4, 8 or 16 */
    u8 space;
    u8 sub;          /* IR_MEM_* of the operation */
    u8 rmw;          /* IrRmw */
    bool finds_only; /* a load or store that the code does itself: the page is to be found for it */
    IrWord value;    /* stored; the operand of RMW, the new value of CAS */
    IrWord expected; /* of CAS */
    IrWord result;   /* out: loaded, or the old value; zero-extended */
    const u8 *site;  /* place in the block's code that the access belongs to */
    const void *host; /* the host's registers, for recover() */
} MmuAccess;

/* Does the access. False: the access was not done, and CpuCommon says why generated code is to be
 * left, the guest's precise state being in memory. */
typedef bool MmuAccessFn(void *state, MmuAccess *access);

#endif
