/* The guest's memory map: what the guest mapped, with which permissions, and the calls that change
 * it.
 *
 * The host kernel holds the pages; this map holds what the kernel cannot know: which host mappings
 * are the guest's and whether they are executable for it. Invariants:
 *  - guest memory is never executable on the host;
 *  - host protection = guest protection without exec, with read added to exec-only pages, and
 *    without write on pages that the engine protects;
 *  - no guest call changes a mapping that is not in the map (it may be the emulator's own).
 *
 * Locks: `changing` (outer) serialises the calls; `inner` guards the array and is the only one that
 * the engine's questions (memory_page_*) take. The engine is called with `inner` released: its lock
 * comes between the two.
 * Addresses and sizes are in bytes; results are a value or -errno as the kernel's. */
#ifndef USER_MEMORY_H
#define USER_MEMORY_H

#include <pthread.h>

#include "accel/vcpu.h"
#include "base/types.h"

typedef struct Region {
    u64 start, end;   /* page aligned */
    int protection;   /* PROT_* as the guest sees it */
    bool shared;      /* MAP_SHARED */
    bool attached;    /* System V shared memory; munmap by shmdt */
    const char *name; /* "[heap]", "[stack]", "[vdso]" or NULL; static text */
} Region;

typedef struct MemoryMap {
    pthread_mutex_t changing;
    pthread_mutex_t inner;
    Region *regions; /* sorted, not overlapping; owned */
    size_t count, capacity;
    u64 address_limit; /* one past the highest address that the guest may map */
    /* Where mappings without an address go: from `search_high` down, or from `search_low` up with
     * `search_up`. search_high 0: where the host likes. */
    u64 search_low, search_high;
    bool search_up;
    bool read_implies_exec; /* what is readable may be executed */
    u64 break_start, break_end;
    Engine *engine; /* may be NULL before it exists */
} MemoryMap;

enum {
    MEMORY_PAGE = 4096,
    MEMORY_MAP_32BIT = 0x40, /* mmap flag of x86 guests: an address below 2 GiB */
};

void memory_init(MemoryMap *map, u64 address_limit);
void memory_free(MemoryMap *map);

/* mmap(2) with the guest's arguments. memory_map_named() gives the region a name. */
s64 memory_map(MemoryMap *map, u64 address, u64 size, int protection, int flags, int fd,
               s64 offset);
s64 memory_map_named(MemoryMap *map, u64 address, u64 size, int protection, int flags,
                     const char *name);
s64 memory_unmap(MemoryMap *map, u64 address, u64 size);
s64 memory_protect(MemoryMap *map, u64 address, u64 size, int protection);
s64 memory_remap(MemoryMap *map, u64 old_address, u64 old_size, u64 new_size, int flags,
                 u64 new_address);
s64 memory_advise(MemoryMap *map, u64 address, u64 size, int advice);
s64 memory_attach(MemoryMap *map, int segment, u64 address, int flags); /* shmat(2) */
s64 memory_detach(MemoryMap *map, u64 address);                         /* shmdt(2) */

/* brk(2): the new or unchanged end. The start is set once, page aligned, by the loader. */
void memory_set_break(MemoryMap *map, u64 start);
u64 memory_break(MemoryMap *map, u64 end);

/* The region that holds the address; false when there is none. Any thread. */
bool memory_find(MemoryMap *map, u64 address, Region *region);

/* The first region that ends above the address; false past the last. For listings. */
bool memory_next(MemoryMap *map, u64 address, Region *region);

/* EngineOptions callbacks; `opaque` is the map. */
bool memory_page_writable(void *opaque, u64 page);
bool memory_page_executable(void *opaque, u64 page);

/* Around fork(). The engine asks memory_page_*() with its own lock taken, so that lock is to be
 * taken between these two. */
void memory_hold_changes(MemoryMap *map);
void memory_fork_prepare(MemoryMap *map);
void memory_fork_done(MemoryMap *map);

#endif
