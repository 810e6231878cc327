/* Debugging a guest in system mode: its memory as its page tables have it, breakpoints, single
 * steps.
 *
 * A block never contains a breakpoint but at its start, and then it is one instruction that is run
 * once (BLOCK_ONCE): so nothing is linked to it, and whoever wants to go there comes to dispatch.c,
 * which asks debug_stops(). When a breakpoint is added or removed, all blocks are dropped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exec/mmu.h"

/* -- Memory */

/* Calls `copy` for each part of the range that lies in one page. */
static bool each_page(Vcpu *vcpu, u64 address, u8 *bytes, size_t size,
                      bool (*copy)(Vcpu *vcpu, u64 physical, u8 *bytes, u32 size))
{
    while (size) {
        u32 part = (u32)MIN((u64)size, TLB_PAGE - address % TLB_PAGE);
        GuestPage page = {0};
        if (vcpu->engine->guest->system->walk(vcpu->state, address, GUEST_PEEK, 0, &page) ||
            !copy(vcpu, page.physical, bytes, part)) {
            return false;
        }
        address += part;
        bytes += part;
        size -= part;
    }
    return true;
}

static bool copy_from(Vcpu *vcpu, u64 physical, u8 *bytes, u32 size)
{
    const GuestBus *board = &vcpu->mmu->board;
    const u8 *ram = board->ram(board->opaque, physical, size, false);

    if (ram) {
        memcpy(bytes, ram, size);
    }
    return ram;
}

static bool copy_to(Vcpu *vcpu, u64 physical, u8 *bytes, u32 size)
{
    const GuestBus *board = &vcpu->mmu->board;
    u8 *ram = board->ram(board->opaque, physical, size, true);

    if (ram) {
        memcpy(ram, bytes, size);
        engine_ram_written(vcpu->engine, ram, size);
    }
    return ram;
}

bool vcpu_debug_read(Vcpu *vcpu, u64 address, void *bytes, size_t size)
{
    return each_page(vcpu, address, bytes, size, copy_from);
}

bool vcpu_debug_write(Vcpu *vcpu, u64 address, const void *bytes, size_t size)
{
    return each_page(vcpu, address, (u8 *)(uintptr_t)bytes, size, copy_to);
}

/* -- Breakpoints */

static bool is_listed(const Engine *engine, u64 address)
{
    for (u32 i = 0; i < engine->breakpoint_count; i++) {
        if (engine->breakpoints[i] == address) {
            return true;
        }
    }
    return false;
}

bool debug_is_breakpoint(Engine *engine, u64 address)
{
    if (!__atomic_load_n(&engine->breakpoint_count, __ATOMIC_SEQ_CST)) {
        return false;
    }
    pthread_mutex_lock(&engine->breakpoint_lock);
    bool listed = is_listed(engine, address);
    pthread_mutex_unlock(&engine->breakpoint_lock);
    return listed;
}

static void drop_all_blocks(Engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    cache_kill_all(engine);
    pthread_mutex_unlock(&engine->lock);
}

int engine_add_breakpoint(Engine *engine, u64 address)
{
    pthread_mutex_lock(&engine->breakpoint_lock);
    bool added = engine->breakpoint_count < BREAKPOINTS && !is_listed(engine, address);
    if (added) {
        engine->breakpoints[engine->breakpoint_count] = address;
        __atomic_add_fetch(&engine->breakpoint_count, 1, __ATOMIC_SEQ_CST);
    }
    bool listed = is_listed(engine, address);
    pthread_mutex_unlock(&engine->breakpoint_lock);
    if (added) {
        drop_all_blocks(engine);
    }
    return listed ? 0 : -ENOSPC;
}

void engine_remove_breakpoint(Engine *engine, u64 address)
{
    pthread_mutex_lock(&engine->breakpoint_lock);
    for (u32 i = 0; i < engine->breakpoint_count; i++) {
        if (engine->breakpoints[i] == address) {
            engine->breakpoints[i] = engine->breakpoints[engine->breakpoint_count - 1];
            __atomic_sub_fetch(&engine->breakpoint_count, 1, __ATOMIC_SEQ_CST);
            break;
        }
    }
    pthread_mutex_unlock(&engine->breakpoint_lock);
    drop_all_blocks(engine);
}

/* -- Running */

void vcpu_single_step(Vcpu *vcpu, bool on)
{
    vcpu->mmu->single_step = on;
}

bool debug_stops(Vcpu *vcpu, u64 linear, bool *alone)
{
    Mmu *mmu = vcpu->mmu;
    bool here = debug_is_breakpoint(vcpu->engine, linear);

    if (here && !(mmu->stopped && mmu->stopped_at == linear)) {
        mmu->stopped = true;
        mmu->stopped_at = linear;
        return true;
    }
    *alone = here || mmu->single_step;
    return false;
}
