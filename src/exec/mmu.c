/* The soft MMU: see mmu.h. Filling and flushing the TLBs, and accesses that go the slow way.
 *
 * A page's write tag has TLB_WATCHED while stores to it must be noticed: because code was
 * translated from it (coherence.c), or the board wants to know (GuestBus.dirty). Whoever starts to
 * watch a page says so first and then sets the bits in all TLBs; whoever fills an entry looks
 * afterwards whether the page is watched. So one of the two sees the other.
 *
 * A slow access runs inside (safepoint.c), in C code that generated code called. It may try the
 * engine's lock, not wait for it: a store that needs it and doesn't get it is put off, that is, the
 * code is left and the instruction is repeated by dispatch.c.
 * Must not know page tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/mmu.h"
#include "host/interp/memory.h"

/* -- Filling */

int mmu_init(Vcpu *vcpu)
{
    u32 spaces = vcpu->engine->guest->system->space_count;
    Mmu *mmu = calloc(1, sizeof *mmu);

    if (!mmu) {
        return -1;
    }
    for (u32 i = 0; i < spaces * TLB_ENTRIES; i++) {
        mmu_clear_entry(&tlb_table(vcpu->common, spaces - 1)[i]);
    }
    for (u32 i = 0; i < CODE_TLB_ENTRIES; i++) {
        mmu->code[i].tag = CODE_TLB_NONE;
    }
    mmu_forget_large(mmu);
    mmu->generation[false] = mmu->generation[true] = 1;
    vcpu->mmu = mmu;
    mmu_forget_near(vcpu);
    vcpu->common->mmu_access = mmu_access;
    return 0;
}

void mmu_free(Vcpu *vcpu)
{
    free(vcpu->mmu);
}

/* What an access comes to: RAM, or the board's devices. */
typedef struct Target {
    u8 *ram; /* NULL: a device or nothing */
    u64 physical;
    u32 size;     /* bytes in this page */
    bool watched; /* a store is to be noticed */
} Target;

static bool ram_is_watched(Vcpu *vcpu, const u8 *ram, u64 physical)
{
    const GuestBus *board = &vcpu->mmu->board;

    return coherence_is_watched(vcpu->engine, (u64)(uintptr_t)ram) ||
           (board->dirty && !board->dirty(board->opaque, physical));
}

/* The write tag for a page of RAM. `store`: a store is about to happen, which was reported. */
static u64 write_tag(Vcpu *vcpu, u64 page, u8 *ram, u64 physical, bool store)
{
    const GuestBus *board = &vcpu->mmu->board;

    if (!store && (ram_is_watched(vcpu, ram, physical) ||
                   !board->ram(board->opaque, physical, TLB_PAGE, true))) {
        return TLB_NONE; /* the first store will ask */
    }
    return page | (ram_is_watched(vcpu, ram, physical) ? TLB_WATCHED : 0);
}

/* The page of the access is RAM as a whole. */
static void fill_ram(Vcpu *vcpu, TlbEntry *entry, u64 address, const GuestPage *page, u8 *ram,
                     bool store)
{
    u64 linear = mmu_page(address), physical = mmu_page(page->physical);

    __atomic_store_n(&entry->write, TLB_NONE, __ATOMIC_RELAXED);
    entry->read = linear;
    __atomic_store_n(&entry->addend, (u64)(uintptr_t)ram - linear, __ATOMIC_RELAXED);
    if (!store && !page->writable) {
        return;
    }
    u64 tag = write_tag(vcpu, linear, ram, physical, store);
    __atomic_store_n(&entry->write, tag, __ATOMIC_SEQ_CST);
    if (tag == linear && ram_is_watched(vcpu, ram, physical)) {
        __atomic_store_n(&entry->write, tag | TLB_WATCHED, __ATOMIC_SEQ_CST);
    }
}

static void fill_device(TlbEntry *entry, u64 address, const GuestPage *page, bool store)
{
    u64 linear = mmu_page(address);

    entry->read = linear | TLB_DEVICE;
    __atomic_store_n(&entry->write, store || page->writable ? linear | TLB_DEVICE : TLB_NONE,
                     __ATOMIC_RELAXED);
    entry->addend = mmu_page(page->physical) - linear;
}

/* -- Behind the TLBs */

static bool is_current(const Mmu *mmu, const BackEntry *back, u64 page, u32 space)
{
    return mmu_page(back->entry.read) == page && !(back->entry.read & TLB_NONE) &&
           back->space == space &&
           back->generation == mmu->generation[back->entry.info & TLB_GLOBAL];
}

/* Keeps a copy of an entry just filled. */
static void keep_behind(Mmu *mmu, const TlbEntry *entry, u32 space, u64 physical)
{
    u64 page = mmu_page(entry->read);
    BackEntry *set = mmu_back_set(mmu, page), *back = &set[mmu->back_next++ % BACK_WAYS];

    for (u32 way = 0; way < BACK_WAYS; way++) {
        if (is_current(mmu, &set[way], page, space)) {
            back = &set[way];
        }
    }
    *back = (BackEntry){
        .entry = {.read = entry->read,
                  .write = __atomic_load_n(&entry->write, __ATOMIC_RELAXED),
                  .addend = entry->addend,
                  .info = entry->info},
        .physical = physical,
        .generation = mmu->generation[entry->info & TLB_GLOBAL],
        .space = space,
    };
    back->entry.write &= ~(u64)TLB_WATCHED;
}

/* Fills the entry from there; false if nothing is there that settles the access. */
static bool fill_from_behind(Vcpu *vcpu, TlbEntry *entry, u64 address, u32 space, bool store)
{
    Mmu *mmu = vcpu->mmu;
    u64 linear = mmu_page(address);
    BackEntry *set = mmu_back_set(mmu, address), *back = NULL;

    for (u32 way = 0; way < BACK_WAYS && !back; way++) {
        back = is_current(mmu, &set[way], linear, space) ? &set[way] : NULL;
    }
    if (!back || (store && back->entry.write & TLB_NONE)) {
        return false;
    }
    const TlbEntry *from = &back->entry;
    u8 *ram = (u8 *)(uintptr_t)(linear + from->addend);
    bool watchable = !(from->write & (TLB_NONE | TLB_DEVICE));
    __atomic_store_n(&entry->write, TLB_NONE, __ATOMIC_RELAXED);
    entry->read = from->read;
    __atomic_store_n(&entry->addend, from->addend, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->write, from->write, __ATOMIC_SEQ_CST);
    if (watchable && ram_is_watched(vcpu, ram, back->physical)) {
        __atomic_store_n(&entry->write, from->write | TLB_WATCHED, __ATOMIC_SEQ_CST);
    }
    u32 index = (u32)(entry - tlb_table(vcpu->common, space));
    mmu->physical[space][index] = back->physical;
    mmu_list_entry(
        mmu, entry, space, index,
        &(GuestPage){.global = from->info & TLB_GLOBAL, .page_bits = (u8)(from->info >> 8)});
    return true;
}

/* -- Walking */

/* Walks, and fills the entry as far as the page is one thing. Returns 0 or the exception. */
static u64 fill(Vcpu *vcpu, u64 address, u32 space, bool store, Target *target)
{
    Mmu *mmu = vcpu->mmu;
    const GuestBus *board = &mmu->board;
    GuestPage page = {0};
    u64 code = vcpu->engine->guest->system->walk(vcpu->state, address,
                                                 store ? GUEST_WRITE : GUEST_READ, space, &page);

    if (code) {
        return code;
    }
    TlbEntry *entry = tlb_entry(vcpu->common, space, address);
    u32 index = (u32)(entry - tlb_table(vcpu->common, space));
    u64 physical = mmu_page(page.physical);
    if (store) { /* the page may have become another one, which a store is enough to show */
        mmu_forget_near_page(vcpu, space, address);
    }
    u8 *ram = board->ram(board->opaque, physical, TLB_PAGE, store);
    target->physical = page.physical;
    target->ram = ram ? ram + page.physical % TLB_PAGE
                      : board->ram(board->opaque, page.physical, target->size, store);
    if (ram) {
        fill_ram(vcpu, entry, address, &page, ram, store);
    } else if (!target->ram && !board->ram(board->opaque, physical, TLB_PAGE, false)) {
        fill_device(entry, address, &page, store);
    } else {
        mmu_clear_entry(entry); /* stores to ROM, pages of several parts */
        return 0;
    }
    target->watched = store && __atomic_load_n(&entry->write, __ATOMIC_RELAXED) & TLB_WATCHED;
    mmu->physical[space][index] = physical;
    mmu_list_entry(mmu, entry, space, index, &page);
    mmu_note_large(mmu, address, page.page_bits);
    keep_behind(mmu, entry, space, physical);
    return 0;
}

/* Finds the target of an access to target->size bytes in one page. */
static u64 find_target(Vcpu *vcpu, u64 address, u32 space, bool store, Target *target)
{
    const GuestBus *board = &vcpu->mmu->board;
    TlbEntry *entry = tlb_entry(vcpu->common, space, address);
    u64 tag = store ? __atomic_load_n(&entry->write, __ATOMIC_RELAXED) : entry->read;

    if (mmu_page(tag) != mmu_page(address) || tag & TLB_NONE) {
        mmu_forget_shared(vcpu); /* of the entry's page that was, which nobody finds here now */
        if (!fill_from_behind(vcpu, entry, address, space, store)) {
            return fill(vcpu, address, space, store, target);
        }
        tag = store ? __atomic_load_n(&entry->write, __ATOMIC_RELAXED) : entry->read;
    }
    if (tag & TLB_DEVICE) {
        target->ram = NULL;
        target->physical = address + entry->addend;
        return 0;
    }
    u32 index = (u32)(entry - tlb_table(vcpu->common, space));
    target->ram = (u8 *)(uintptr_t)(address + entry->addend);
    target->physical = vcpu->mmu->physical[space][index] + address % TLB_PAGE;
    target->watched = tag & TLB_WATCHED;
    if (target->watched) {
        board->ram(board->opaque, target->physical, target->size, true);
    }
    return 0;
}

/* -- Watched stores */

bool mmu_watch_ram(Vcpu *vcpu, const u8 *ram, u64 size)
{
    u32 spaces = vcpu->engine->guest->system->space_count;
    TlbEntry *entries = tlb_table(vcpu->common, spaces - 1);
    bool found = false;

    for (u32 i = 0; i < spaces * TLB_ENTRIES; i++) {
        u64 tag = __atomic_load_n(&entries[i].write, __ATOMIC_SEQ_CST);
        u64 host = tag + __atomic_load_n(&entries[i].addend, __ATOMIC_RELAXED);
        if (!(tag % TLB_PAGE) && host + TLB_PAGE > (u64)(uintptr_t)ram &&
            host < (u64)(uintptr_t)ram + size) {
            __atomic_compare_exchange_n(&entries[i].write, &tag, tag | TLB_WATCHED, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
            found = true;
        }
    }
    mmu_forget_shared(vcpu);
    return found;
}

/* After a store that was noticed: the next one is fast if nobody watches any more. */
static void unwatch(Vcpu *vcpu, const Target *target, u64 address, u32 space)
{
    TlbEntry *entry = tlb_entry(vcpu->common, space, address);
    u64 page = mmu_page(address), watched = page | TLB_WATCHED;

    if (ram_is_watched(vcpu, target->ram, target->physical) ||
        !__atomic_compare_exchange_n(&entry->write, &watched, page, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED)) {
        return;
    }
    if (ram_is_watched(vcpu, target->ram, target->physical)) {
        __atomic_compare_exchange_n(&entry->write, &page, page | TLB_WATCHED, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
}

u64 mmu_find(void *state, u64 address, unsigned size, u32 space, bool write, u8 **ram)
{
    Vcpu *vcpu = cpu_common(state)->vcpu;
    Target target = {.size = size};
    u64 code = find_target(vcpu, address, space, write, &target);

    *ram = code ? NULL : target.ram;
    if (target.watched) {
        bus_announce_write(vcpu, target.ram, size);
        unwatch(vcpu, &target, address, space);
    }
    return code;
}

/* -- Leaving generated code at the access */

static void recover(Vcpu *vcpu, const MmuAccess *access)
{
    const Engine *engine = vcpu->engine;
    const Block *block = cache_block_at(engine, access->site);
    HostFault fault = {
        .access = access,
        .code = block->code,
        .side_table = block->side_table,
        .side_table_size = block->side_table_size,
    };

    if (!engine->host->recover(vcpu->state, &fault)) {
        fprintf(stderr, "menura: bug: no precise state for an access at +0x%zx of 0x%llx\n",
                (size_t)(access->site - block->code), (unsigned long long)block->pc);
        abort();
    }
    vcpu->common->pc = fault.pc;
}

static bool raise_exception(Vcpu *vcpu, const MmuAccess *access, u64 code)
{
    recover(vcpu, access);
    vcpu->common->exit_kind = CPU_EXIT_IR;
    vcpu->common->exit_code = (u64)IR_EXIT_EXCEPTION << 32;
    vcpu->common->exit_address = code;
    return false;
}

void mmu_note_write(Vcpu *vcpu, const u8 *ram, u64 size)
{
    Mmu *mmu = vcpu->mmu;
    const u8 *end = ram + size;

    if (mmu->late_size) {
        end = MAX(end, mmu->late_write + mmu->late_size);
        ram = MIN(ram, mmu->late_write);
    }
    mmu->late_write = ram;
    mmu->late_size = (u64)(end - ram);
}

/* The access's instruction is to be repeated. */
static bool repeat(Vcpu *vcpu, const MmuAccess *access)
{
    recover(vcpu, access);
    vcpu->common->exit_kind = CPU_EXIT_CODE_WRITE;
    return false;
}

/* It is when the code of its target is dropped. */
static bool put_off(Vcpu *vcpu, const MmuAccess *access, const Target *target)
{
    mmu_note_write(vcpu, target->ram, target->size);
    return repeat(vcpu, access);
}

/* -- Doing an access */

/* On memory of the host. */
static void access_host(MmuAccess *access, u8 *at)
{
    switch ((MmuOperation)access->operation) {
    case MMU_LOAD:
        interp_load(at, access->size, access->sub, &access->result);
        break;
    case MMU_STORE:
        interp_store(at, access->size, access->sub, &access->value);
        break;
    case MMU_CAS:
        if (access->size == 16) {
            interp_cas16(at, &access->expected, &access->value, &access->result);
        } else {
            access->result.i =
                interp_cas(at, access->size, access->sub, access->expected.i, access->value.i);
        }
        break;
    case MMU_RMW:
        access->result.i =
            interp_rmw(at, access->size, access->sub, (IrRmw)access->rmw, access->value.i);
        break;
    }
}

/* Whether it reads and writes as one. */
static bool is_locked(const MmuAccess *access)
{
    return access->operation == MMU_CAS || access->operation == MMU_RMW;
}

/* Whether the access is one to memory of the host. */
static bool lies_together(const MmuAccess *access, const Target *targets)
{
    return targets[0].ram &&
           (targets[0].size == access->size || targets[0].ram + targets[0].size == targets[1].ram);
}

/* Pieces that a device is accessed in: whole if it can be one. */
static u32 piece_size(u32 size)
{
    return size == 16 ? 8 : size == 8 || size == 4 || size == 2 ? size : 1;
}

static void read_target(Vcpu *vcpu, const Target *target, u8 *bytes)
{
    const GuestBus *board = &vcpu->mmu->board;
    u32 step = piece_size(target->size);

    if (target->ram) {
        memcpy(bytes, target->ram, target->size);
        return;
    }
    for (u32 at = 0; at < target->size; at += step) {
        u64 value = board->read(board->opaque, target->physical + at, step);
        memcpy(bytes + at, &value, step); /* hosts are little-endian */
    }
}

static void write_target(Vcpu *vcpu, const Target *target, const u8 *bytes)
{
    const GuestBus *board = &vcpu->mmu->board;
    u32 step = piece_size(target->size);

    if (target->ram) {
        memcpy(target->ram, bytes, target->size);
        return;
    }
    for (u32 at = 0; at < target->size; at += step) {
        u64 value = 0;
        memcpy(&value, bytes + at, step);
        board->write(board->opaque, target->physical + at, step, value);
    }
}

/* Through a copy: devices, and parts that lie apart. Not atomic by itself. */
static void access_copy(Vcpu *vcpu, MmuAccess *access, const Target *targets)
{
    u8 bytes[16] __attribute__((aligned(16))) = {0};
    u32 first = targets[0].size;

    if (access->operation != MMU_STORE) {
        read_target(vcpu, &targets[0], bytes);
        if (first < access->size) {
            read_target(vcpu, &targets[1], bytes + first);
        }
    }
    access_host(access, bytes);
    if (access->operation != MMU_LOAD) {
        write_target(vcpu, &targets[0], bytes);
        if (first < access->size) {
            write_target(vcpu, &targets[1], bytes + first);
        }
    }
}

static void do_access(Vcpu *vcpu, MmuAccess *access, const Target *targets)
{
    if (lies_together(access, targets)) {
        access_host(access, targets[0].ram);
    } else {
        access_copy(vcpu, access, targets);
    }
}

/* Devices, perhaps next to RAM, which is written while this vCPU is outside: what was translated
 * from there is looked at again. Other CPUs' locked accesses to devices wait for this one's. */
static void access_device(Vcpu *vcpu, MmuAccess *access, const Target *targets)
{
    pthread_mutex_t *bus_lock = is_locked(access) ? &vcpu->engine->bus_lock : NULL;

    for (u32 i = 0; i < 2; i++) {
        if (targets[i].ram && access->operation != MMU_LOAD) {
            bus_announce_write(vcpu, targets[i].ram, targets[i].size);
        }
    }
    bus_leave(vcpu);
    if (bus_lock) {
        pthread_mutex_lock(bus_lock);
    }
    access_copy(vcpu, access, targets);
    if (bus_lock) {
        pthread_mutex_unlock(bus_lock);
    }
    bus_return(vcpu);
}

/* Whether the target is what it was when it was found; if so, the store to it is reported. */
static bool is_still_there(Vcpu *vcpu, const Target *target)
{
    const GuestBus *board = &vcpu->mmu->board;

    return board->ram(board->opaque, target->physical, target->size, true) == target->ram;
}

/* Whether the block that does an access depends on the target, so that it must not go on. */
static bool hits_running(const Vcpu *vcpu, const MmuAccess *access, const Target *target)
{
    const Block *running = cache_block_at(vcpu->engine, access->site);
    u64 ram = (u64)(uintptr_t)target->ram;

    return running->kind != BLOCK_ONCE && coherence_depends(running, ram, ram + target->size - 1);
}

/* A locked access to RAM whose parts lie apart: all other CPUs are outside meanwhile. Before they
 * were, one may have changed what lies there; then the instruction is repeated, as it is where it
 * changes the code that runs. */
static bool access_alone(Vcpu *vcpu, MmuAccess *access, const Target *targets)
{
    Engine *engine = vcpu->engine;
    bool done = true;

    bus_leave(vcpu);
    pthread_mutex_lock(&engine->lock);
    safepoint_stop(engine);
    for (u32 i = 0; i < 2; i++) {
        done &= is_still_there(vcpu, &targets[i]) && !hits_running(vcpu, access, &targets[i]);
    }
    if (done) {
        for (u32 i = 0; i < 2; i++) {
            coherence_ram_written(engine, (u64)(uintptr_t)targets[i].ram, targets[i].size);
        }
        access_copy(vcpu, access, targets);
    }
    safepoint_resume(engine);
    pthread_mutex_unlock(&engine->lock);
    bus_return(vcpu);
    return done || repeat(vcpu, access);
}

/* A store to pages that are watched, perhaps for code: that is dropped under the lock, together
 * with the store. */
static bool do_watched(Vcpu *vcpu, MmuAccess *access, const Target *targets, u32 count)
{
    Engine *engine = vcpu->engine;
    bool code = false;

    for (u32 i = 0; i < count; i++) {
        if (targets[i].watched && coherence_is_watched(engine, (u64)(uintptr_t)targets[i].ram)) {
            code = true;
            if (hits_running(vcpu, access, &targets[i])) {
                return put_off(vcpu, access, &targets[i]);
            }
        }
    }
    if (!code) {
        do_access(vcpu, access, targets);
        return true;
    }
    if (pthread_mutex_trylock(&engine->lock)) {
        return put_off(vcpu, access, &targets[!targets[0].watched]);
    }
    for (u32 i = 0; i < count; i++) {
        if (targets[i].watched) {
            coherence_ram_written(engine, (u64)(uintptr_t)targets[i].ram, targets[i].size);
        }
    }
    do_access(vcpu, access, targets);
    pthread_mutex_unlock(&engine->lock);
    return true;
}

/* Finds the page of an access that generated code does itself, so that its probe will hit. Where it
 * would not, the instruction is repeated without the host's x87. */
static bool find_page(Vcpu *vcpu, const MmuAccess *access)
{
    u64 page = mmu_page(access->address);
    bool store = access->operation == MMU_STORE;
    const TlbEntry *entry = tlb_entry(vcpu->common, access->space, page);
    Target target = {.size = access->size};

    if (mmu_page(access->address + access->size - 1) == page) {
        u64 code = find_target(vcpu, access->address, access->space, store, &target);
        if (code) {
            return raise_exception(vcpu, access, code);
        }
        if (target.watched) {
            unwatch(vcpu, &target, access->address, access->space);
        }
        if (page == (store ? __atomic_load_n(&entry->write, __ATOMIC_RELAXED) : entry->read)) {
            return true;
        }
    }
    recover(vcpu, access);
    vcpu->fault_block = cache_block_at(vcpu->engine, access->site);
    vcpu->common->exit_kind = CPU_EXIT_FP;
    return false;
}

/* Does what was found. False: the code was left. */
static bool access_targets(Vcpu *vcpu, MmuAccess *access, const Target *targets, u32 count)
{
    if (!targets[0].ram || (count == 2 && !targets[1].ram)) {
        access_device(vcpu, access, targets);
    } else if (is_locked(access) && !lies_together(access, targets)) {
        return access_alone(vcpu, access, targets);
    } else if (targets[0].watched || targets[1].watched) {
        return do_watched(vcpu, access, targets, count);
    } else {
        do_access(vcpu, access, targets);
    }
    return true;
}

bool mmu_access(void *state, MmuAccess *access)
{
    Vcpu *vcpu = cpu_common(state)->vcpu;
    u64 address[2] = {access->address, mmu_page(access->address) + TLB_PAGE};
    Target targets[2] = {{.size = (u32)MIN((u64)access->size, address[1] - address[0])}};
    u32 count = targets[0].size < access->size ? 2 : 1;
    bool store = access->operation != MMU_LOAD;

    if (access->finds_only) {
        return find_page(vcpu, access);
    }
    if ((access->sub & IR_MEM_ALIGNED || (is_locked(access) && access->size == 16)) &&
        access->address & (access->size - 1u)) {
        return raise_exception(vcpu, access, vcpu->engine->guest->system->unaligned);
    }
    if (access->sub & IR_MEM_WRAP32) {
        address[1] = (u32)address[1];
    }
    targets[1].size = access->size - targets[0].size;
    for (u32 i = 0; i < count; i++) {
        u64 code = find_target(vcpu, address[i], access->space, store, &targets[i]);
        if (code) {
            return raise_exception(vcpu, access, code);
        }
    }
    if (!access_targets(vcpu, access, targets, count)) {
        return false;
    }
    for (u32 i = 0; i < count; i++) {
        if (targets[i].watched) {
            unwatch(vcpu, &targets[i], address[i], access->space);
        }
    }
    return true;
}

/* -- Code */

static u32 code_space(const Vcpu *vcpu)
{
    return vcpu->engine->guest->system->space(vcpu->mode);
}

u64 mmu_code(Vcpu *vcpu, u64 address, const CodeTlbEntry **found)
{
    Mmu *mmu = vcpu->mmu;
    u64 tag = mmu_page(address) | code_space(vcpu);
    CodeTlbEntry *entry = mmu_code_entry(mmu, address);
    GuestPage page = {0};

    *found = entry;
    if (entry->tag == tag) {
        return 0;
    }
    u64 code = vcpu->engine->guest->system->walk(vcpu->state, address, GUEST_FETCH,
                                                 code_space(vcpu), &page);
    if (code) {
        return code;
    }
    *entry = (CodeTlbEntry){
        .tag = tag,
        .ram = mmu->board.ram(mmu->board.opaque, mmu_page(page.physical), TLB_PAGE, false),
        .physical = mmu_page(page.physical),
        .global = page.global,
        .page_bits = page.page_bits,
        .listed = entry->listed,
    };
    mmu_list_code(mmu, entry);
    mmu_note_large(mmu, address, page.page_bits);
    return 0;
}
