/* What a host back end supplies: IR in, runnable code out.
 *
 * A host is one const struct. exec/ owns the code cache, asks the host to compile regions into it,
 * patches the links the host reports, and enters code through the host. Two hosts exist: x86_64
 * and interp (the portable evaluator, whose "code" is the IR itself).
 *
 * Rules for generated code:
 *  - position-independent: it reaches CpuCommon, state and helpers from the context pointer, shared
 *    stubs by a relative jump inside the cache, and its own constants relative to itself;
 *  - on entry to and exit from every block the hot slots are in their pinned host registers and all
 *    other slots in memory; outside generated code all slots are in memory;
 *  - C code runs on the thread's own stack; the host's stack pointer inside generated code may be
 * the return predictor's;
 *  - a fault in generated code is resolved by recover() from the block's side table;
 *  - slots of the guest's x87 may live in the host's meanwhile, as the host likes, but for helpers
 *    with IR_HELPER_X87 and outside generated code.
 * Must not include guest/. */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "ir/ir.h"
#include "ir/tlb.h"

/* A patchable jump of a block. Offsets are from the block's code start.
 *
 * With a guard it is the inline cache of an indirect jump: the jump is taken only when the guest
 * target equals the guard, 8 aligned bytes in the code that hold HOST_GUARD_NONE until exec/ links
 * the site, once and for all to one guest address. Otherwise, and where the link is undone, the
 * jump table is probed; a miss exits with CPU_EXIT_LOOKUP and exit_link = site. */
#define HOST_GUARD_NONE (~(u64)0)

typedef struct HostLink {
    u64 target; /* guest address; unused with a guard */
    u32 site;   /* the place link() patches */
    u32 stub; /* the code it runs while not linked: exits with CPU_EXIT_LINK and exit_link = site */
    u32 guard; /* 0: none */
} HostLink;

/* Code of as many translation modes has its predicted returns apart. */
enum { HOST_RETURN_STACKS = 4 };

/* What compile() made. Arrays are in the compile arena: copy what must stay. */
typedef struct HostBlock {
    u32 size;      /* bytes of code used, constants included */
    u32 code_size; /* of these, instructions; 0: the host does not say */
    HostLink *links;
    u32 link_count;
    u8 *side_table; /* host-private encoding: faulting host offsets -> guest pc and slot recipes */
    u32 side_table_size;
} HostBlock;

/* What all regions of one engine have in common. */
typedef struct HostConfig {
    const IrSlot *hot_int; /* integer slots by heat: the first ones are pinned */
    u32 hot_int_count;
    const IrSlot *hot_vector; /* v128 slots by heat */
    u32 hot_vector_count;
    u32 code_shift; /* jump table index = (pc >> code_shift) & mask */
    u64 guest_base; /* guest address + guest_base = host address; 0 folds away */
    bool soft_mmu;  /* guest addresses are translated instead, as ir/tlb.h says; links to other
                       pages go through the jump table */
    const IrHelper *helpers;
    u32 helper_count;
    bool strong_order; /* the guest's memory order is total store order: plain accesses of hosts
                          with a weaker one must be ordered */
    bool fp_native;   /* the guest's floating point has x86's rules, FpEnv's modes being MXCSR's: an
                         x86-64 host uses its own, with Invalid masked */
    const IrX87 *x87; /* the guest's x87 unit; NULL: it has none */
} HostConfig;

/* Host registers at a fault, as the signal's ucontext holds them, or as the host itself saved them
 * for an access that went the slow way (MmuAccess). */
typedef struct HostFault {
    void *ucontext;
    const MmuAccess *access; /* NULL: ucontext counts */
    const u8 *code;          /* start of the block's code */
    const u8 *side_table;
    u32 side_table_size;
    u64 pc; /* out: guest pc of the instruction */
} HostFault;

typedef struct Host {
    const char *name;
    bool x87; /* executes X87 */
    /* Whether this machine can run it; if not, *why says what is missing. */
    bool (*usable)(const char **why);
    /* Writes entry, exit and other shared stubs to the start of an empty cache; returns their size
     * in bytes. `code` stays the cache's start for every later call. */
    size_t (*begin_cache)(u8 *code, size_t room, const HostConfig *config);
    /* Compiles the region to `code` (aligned to 16), which has `room` bytes. `cache` is the cache's
     * start. Returns 0, or -ENOSPC when it does not fit. Uses `arena` for temporaries. */
    int (*compile)(const IrRegion *region, const HostConfig *config, u8 *cache, u8 *code,
                   size_t room, Arena *arena, HostBlock *out);
    /* Runs from the block at `code` until an exit; CpuCommon says why. `state` is the guest state.
     */
    void (*enter)(void *state, const u8 *cache, const u8 *code);
    /* Makes the jump at `site` go to `target` (a block's code or its own stub), atomically with
     * respect to threads that run it. */
    void (*link)(u8 *site, const u8 *target);
    /* Prepares a new vCPU's CpuCommon.host words (return stack, control words); returns 0 or
     * -errno. */
    int (*cpu_init)(CpuCommon *common);
    void (*cpu_free)(CpuCommon *common);
    /* Forgets all predicted returns: their code may be gone. Called outside generated code by its
     * thread. */
    void (*reset_returns)(CpuCommon *common);
    /* Goes on with the returns of that number, below HOST_RETURN_STACKS, those pushed since being
     * kept for later. Called like that. */
    void (*switch_returns)(CpuCommon *common, u32 number);
    /* The same from C code that generated code called: the way back into that is kept. */
    void (*trim_returns)(CpuCommon *common);
    /* A place in the code that called the C code which runs now. */
    const u8 *(*calling_code)(const CpuCommon *common);
    /* Before and after C code that generated code called and that may use the x87: brings the
     * guest's to its slots, returning whether it was on the host; and back. NULL: it never is. */
    bool (*take_x87)(void *state);
    void (*give_x87)(void *state);
    /* common->fp changed outside generated code: derive the host's control words. */
    void (*set_fp)(CpuCommon *common);
    /* Fault at an address inside generated code: fills state and fault->pc from registers and side
     * table, as of the start of the guest instruction. Returns false if the address has no entry
     * (our bug). */
    bool (*recover)(void *state, HostFault *fault);
    /* Changes the ucontext so that returning to it leaves generated code as an exit does, without
     * storing pinned registers again. */
    void (*abandon)(void *state, const u8 *cache, void *ucontext);
    /* For a host whose code runs inside C functions: the place in the code cache that is accessing
     * guest memory right now, or NULL when none is. A signal that a fault raises outside of the
     * cache then counts as raised at that place: the block there is what recover() and abandon()
     * are called for. Async-signal-safe. May be NULL: code faults only inside the cache. */
    const u8 *(*access_site)(const CpuCommon *common);
    /* Faults that do not lie in block code: in a shared stub, e.g. the return stack overflowed.
     * Returns true if it was fixed up and the signal handler may just return. May be NULL. */
    bool (*stub_fault)(void *state, const u8 *cache, void *ucontext, u64 address);
    /* Disassembles host code to the log. May be NULL. */
    void (*disassemble)(const u8 *code, size_t size);
} Host;

extern const Host host_x86_64;
extern const Host host_interp;

/* All hosts built in, by preference; NULL-terminated. */
extern const Host *const hosts[];

#endif
