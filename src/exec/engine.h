/* What the files of exec/ share: the engine, its vCPUs, blocks, links and code pages.
 *
 * Who may touch what:
 *  - everything reached from Engine is changed under engine->lock only;
 *  - the block table and the page table may be read without it (atomic loads; see block.c,
 *    coherence.c), by threads that are "inside" for blocks: their memory is reused only when all
 *    threads are outside (safepoint.c);
 *  - a Vcpu belongs to its thread, but for the fields marked otherwise.
 * A thread may hold the lock only while outside; trylock is allowed inside. */
#ifndef EXEC_ENGINE_H
#define EXEC_ENGINE_H

#include <pthread.h>
#include <setjmp.h>

#include "base/arena.h"
#include "exec/exec.h"
#include "guest/guest.h"
#include "host/host.h"

typedef struct Block Block;
typedef struct Mmu Mmu;
typedef struct Link Link;
typedef struct CodePage CodePage;
typedef struct BlockTable BlockTable;

/* Guest memory is watched in pages of this size, which is the host's. */
enum { CODE_PAGE = 4096 };

/* What a block is for: part of its key, as the same pc may have one of each. */
typedef enum BlockKind {
    BLOCK_NORMAL,
    BLOCK_EXACT_STEP, /* one instruction with exact floating point, after a trap */
    BLOCK_ONCE,       /* one instruction, run once and never found again; watches no page */
} BlockKind;

/* A patchable direct jump. */
struct Link {
    Block *from;
    Block *to;          /* NULL: the site goes to its stub */
    Link *next, **prev; /* in to->incoming; prev points to what points here */
    u64 target;         /* guest address, of those without a guard */
    u32 site, stub;     /* offsets into from->code */
    u32 guard;          /* the same; 0: none. See HostLink */
};

/* The block itself and what the translator looked at ahead of it: code bytes it depends on. In
 * system mode guest memory is known by the host addresses of RAM, here and in code pages. */
enum { BLOCK_EXTENTS = 2, BLOCK_PAGES = 3 };

typedef struct CodeExtent {
    u64 start, end; /* addresses; empty when equal */
} CodeExtent;

/* What a block is found by. User mode has zeros from `ram` on. */
typedef struct BlockKey {
    u64 pc;
    u32 mode;
    BlockKind kind;
    u64 context;
    u64 ram;       /* host address of its first byte */
    u64 next_page; /* of an instruction across a page's end: host address of its second page; or
                      BLOCK_ANY_PAGE to find it whether it lies across or not; otherwise 0 */
} BlockKey;

enum { BLOCK_ANY_PAGE = 1 };

/* What a search reads comes first. */
struct Block {
    u64 pc;
    u32 mode;
    u8 kind; /* BlockKind */
    bool exact_fp;
    bool checked;                /* compares its code bytes when entered */
    bool dead;                   /* atomic; out of the table and all links */
    u64 context, ram, next_page; /* see BlockKey */
    Block *hash_next;            /* atomic */
    const u8 *code;
    u64 linear;   /* address of its first byte */
    u32 fp_traps; /* atomic */
    u32 code_size;
    u32 side_table_size;
    const u8 *side_table;
    Link *links;
    Link *incoming;
    u32 link_count;
    u32 page_count;
    CodePage *pages[BLOCK_PAGES];
    Block *page_next[BLOCK_PAGES], **page_prev[BLOCK_PAGES]; /* in pages[i]->blocks */
    CodeExtent extents[BLOCK_EXTENTS];
    const u8 *source;                  /* the guest bytes of the extents when it was translated */
    Block *buried_next, **buried_prev; /* among killed blocks (revive.c); NULL if in no list */
};

/* A part of the cache that is filled, and later evicted, as a whole. Blocks lie in chunks in the
 * order of their code, so that a host address is found by binary search; chunks are never moved or
 * freed while the engine lives. */
enum { CACHE_SEGMENTS = 8, CHUNK_BLOCKS = 256, SEGMENT_CHUNKS = 4096 };

typedef struct Segment {
    u8 *start, *next, *end; /* code; [next, end) is free */
    Arena arena;            /* links and side tables of its blocks */
    u32 block_count;        /* atomic */
    Block *chunks[SEGMENT_CHUNKS];
} Segment;

typedef struct Cache {
    u8 *base; /* one mapping, readable, writable and executable */
    size_t size;
    size_t segment_size;
    u32 current;   /* segment being filled */
    u32 evictions; /* how often a segment was evicted */
    Segment segments[CACHE_SEGMENTS];
} Cache;

enum { BURIED_BITS = 12, PAGE_TABLE_BITS = 10, BREAKPOINTS = 64 };

struct Engine {
    ExecOptions options;
    const Guest *guest;
    const Host *host;
    HostConfig config;
    pthread_mutex_t lock;
    u32 stopping; /* atomic: an evictor waits for all threads to be outside */
    Cache cache;
    BlockTable *blocks; /* atomic */
    Block **buried;     /* killed blocks by pc: hash table, 1 << BURIED_BITS heads */
    CodePage **pages;   /* hash table, 1 << PAGE_TABLE_BITS heads; atomic */
    u32 page_count;
    u32 protected_pages; /* atomic: pages that are write-protected though the guest may write them
                          */
    Arena arena;         /* code pages */
    JumpEntry *no_jumps; /* an empty jump table, read-only */
    Vcpu *vcpus;         /* list */
    pthread_mutex_t bus_lock; /* of a locked access to a device; taken outside, before any other */
    pthread_mutex_t breakpoint_lock; /* a leaf */
    u32 breakpoint_count;            /* atomic */
    u64 breakpoints[BREAKPOINTS];    /* linear addresses */
};

/* Targets of indirect jumps in one translation mode, with predicted returns of the same number. */
enum { JUMP_TABLES = HOST_RETURN_STACKS, JUMP_LIST = 256 };

/* Numbers of entries in use. */
typedef struct JumpList {
    u32 count; /* more than JUMP_LIST: any entry may be in use */
    u16 entry[JUMP_LIST];
} JumpList;

typedef struct JumpTable {
    JumpEntry *entries; /* their pc fields: atomic, others may clear them */
    u32 mode;
    u64 context;
    JumpList lists[2]; /* code in pages that are not global; in global pages */
} JumpTable;

struct Vcpu {
    Engine *engine;
    CpuCommon *common;
    void *state;           /* directly after *common */
    JumpEntry *jump_table; /* entries of jumps[jump_current] */
    JumpTable jumps[JUMP_TABLES];
    u32 jump_current, jump_next; /* next: to be reused next */
    Vcpu *next, **prev;          /* engine->vcpus */
    u32 inside;  /* atomic, a futex: holds pointers to blocks or runs generated code */
    u32 kicked;  /* atomic: vcpu_kick() was called */
    u32 stale;   /* atomic: code was evicted, so forget all addresses of code */
    u32 mode;    /* guest->mode() the jump table is for, */
    u64 context; /* and guest->system->context() */
    Mmu *mmu;    /* NULL in user mode */
    Arena arena; /* of the translation in progress */
    /* The fetch of guest code in progress, if any: a fault in it jumps there. */
    volatile sig_atomic_t fetching;
    sigjmp_buf fetch_fault;
    ExecFault fault;
    u64 fetch_exception; /* system mode: of the last block that could not be fetched */
    Block *fault_block;  /* that the last fault or trap was in; NULL if none */
};

/* -- cache.c */
int cache_init(Engine *engine, size_t size);
void cache_free(Engine *engine);
/* Where the next block's code goes, and how much room is there. */
u8 *cache_room(Engine *engine, size_t *room);
/* Starts filling the next segment, evicting what it holds. The lock is held. False: not now, as
 * vCPUs in devices will return to every other segment. */
bool cache_next_segment(Engine *engine);
/* Whether the segment being filled is still empty. */
bool cache_segment_is_empty(const Engine *engine);
/* Records a zeroed block at cache_room() with `size` bytes of code; NULL if the segment can't hold
 * more blocks. It is found by cache_block_at() after cache_publish(). */
Block *cache_new_block(Engine *engine, u32 size);
void cache_publish(Engine *engine);
/* Memory that lives as long as the current segment's code. */
void *cache_alloc(Engine *engine, size_t size);
/* Kills all blocks; none is revived. The lock is held. */
void cache_kill_all(Engine *engine);
bool cache_contains(const Engine *engine, const u8 *address);
/* The block, dead or alive, whose code contains the address; NULL if none. Async-signal-safe for
 * threads that are inside. */
Block *cache_block_at(const Engine *engine, const u8 *address);

/* -- block.c */
int blocks_init(Engine *engine);
void blocks_free(Engine *engine);
/* The live block of that key; the caller is inside or holds the lock. */
Block *block_find(const Engine *engine, const BlockKey *key);
BlockKey block_key(const Block *block);
bool block_has_key(const Block *block, const BlockKey *key);
void block_insert(Engine *engine, Block *block);
/* Takes the block out of the table, its pages and all links: nobody finds it any more. Threads that
 * run it leave at its end. keep: it may be revived while its code is in the cache. */
void block_kill(Engine *engine, Block *block, bool keep);

/* -- link.c */
/* Makes the jump at `site`, which wanted to go to `target`, go there. Does nothing when either is
 * gone or the lock is taken: the next exit there tries again. The caller is inside. `near`: a guess
 * which block the site is in, any that ever was one, or NULL. */
void link_site(Vcpu *vcpu, const u8 *site, Block *near, Block *target);
/* Undoes all links to and from the block. */
void link_remove_all(Engine *engine, Block *block);

/* -- coherence.c */
int coherence_init(Engine *engine);
void coherence_free(Engine *engine);
/* Makes sure that changes of the page's code bytes from now on are noticed. Returns NULL if the
 * guest can't execute from the page; else the page, with its version for coherence_unchanged(). */
CodePage *coherence_watch(Engine *engine, u64 page, u32 *version);
/* Whether, as of that version, blocks of the page must compare their bytes when entered. */
bool coherence_is_checked(u32 version);
/* Drops the blocks of that key, of any kind, one of which found that its bytes changed. The caller
 * is outside. */
void coherence_code_changed(Engine *engine, BlockKey key);
/* System mode: whether stores to the page of RAM must be noticed. */
bool coherence_is_watched(const Engine *engine, u64 address);
/* Whether the block was made of some of these bytes. */
bool coherence_depends(const Block *block, u64 start, u64 last);
/* System mode: RAM that may be watched is written. The lock is held. */
void coherence_ram_written(Engine *engine, u64 start, u64 size);
/* Whether nothing happened to the page since. The lock is held. */
bool coherence_unchanged(const CodePage *page, u32 version);
/* Adds the block to the lists of its pages; removes it. The lock is held. */
void coherence_add_block(Block *block);
/* The block was translated, and not found unchanged, after the last write to its pages. */
void coherence_note_new(Block *block);
void coherence_remove_block(Block *block);
/* A store faulted at a guest address. Returns true if the page is writable for the guest and now
 * for the host, too: the store may be repeated. The caller is outside. */
bool coherence_write_fault(Engine *engine, u64 address);
/* The guest's instruction cache maintenance: drops what is translated from bytes of the range that
 * changed. The caller is outside, on the vCPU's thread. */
void coherence_flush(Vcpu *vcpu, u64 start, u64 size);
/* Whether the guest may execute from the page. */
bool coherence_executable(const Engine *engine, u64 page);

/* -- safepoint.c */
void safepoint_enter(Vcpu *vcpu);
void safepoint_leave(Vcpu *vcpu);
/* Waits until every thread is outside, and keeps them there. The lock is held. */
void safepoint_stop(Engine *engine);
/* Has every thread forget the addresses of code before it is inside again; while they are outside.
 */
void safepoint_forget_code(Engine *engine);
void safepoint_resume(Engine *engine);

/* -- translate.c */
/* Translates the block of that key; the caller is inside, and outside for a while. NULL if the
 * first instruction can't be fetched, with vcpu->fault or vcpu->fetch_exception filled. exact_fp:
 * regardless of the mode. */
Block *translate(Vcpu *vcpu, const BlockKey *key, bool exact_fp);

/* -- jump.c */
/* Makes the tables; 0 or -1. */
int jumps_init(Vcpu *vcpu);
void jumps_free(Vcpu *vcpu);
/* Remembers where the code of block->pc is. global: which changes only where global translations
 * are forgotten. */
void jumps_remember(Vcpu *vcpu, Block *block, bool global);
/* Takes the block out of all tables of all vCPUs. The lock is held. */
void jumps_remove(Engine *engine, const Block *block);
/* Forgets predicted returns and all targets, or those that are not global. */
void jumps_forget(Vcpu *vcpu, bool global);
/* The mode or context changed. */
void jumps_switch(Vcpu *vcpu);

/* -- system.c */
/* Gives the guest an exception; false: the CPU is shut down. */
bool system_deliver(Vcpu *vcpu, u64 code);
/* exec_run() begins. */
void system_begin(Vcpu *vcpu);
/* Looks at interrupt lines; the state's pc is up to date before and after. */
bool system_interrupt(Vcpu *vcpu);

/* The address in an empty entry of a jump table: one that is never looked for there, as its own
 * index is another. Zeroed memory is an empty table but for entry 0. */
static inline u64 jump_never(u32 index)
{
    return index ? 0 : ~(u64)0;
}

/* Fibonacci hashing of a key to `bits` bits. */
static inline u32 hash_u64(u64 key, u32 bits)
{
    return (u32)(key * 0x9e3779b97f4a7c15u >> (64 - bits));
}

static inline void *guest_pointer(const Engine *engine, u64 address)
{
    return (void *)(uintptr_t)(address + engine->config.guest_base);
}

#endif
