/* System mode: interrupt lines, exceptions, and what boards and DMA tell the engine. */
#include "exec/mmu.h"

void vcpu_set_bus(Vcpu *vcpu, GuestBus *bus)
{
    bus_attach(vcpu, bus);
    vcpu->mmu->bus = bus;
    vcpu->engine->guest->system->attach(vcpu->state, bus);
}

void vcpu_reset(Vcpu *vcpu)
{
    vcpu->engine->guest->reset(vcpu->state, vcpu->common);
    vcpu->engine->guest->system->attach(vcpu->state, vcpu->mmu->bus);
    mmu_flush(vcpu->state, true);
}

/* -- Interrupts and exceptions */

void vcpu_raise(Vcpu *vcpu, u32 lines)
{
    CpuCommon *common = vcpu->common;

    __atomic_or_fetch(&common->lines, lines, __ATOMIC_SEQ_CST);
    __atomic_store_n(&common->jump_table, vcpu->engine->no_jumps, __ATOMIC_SEQ_CST);
    __atomic_store_n(&common->interrupt, 1, __ATOMIC_SEQ_CST);
}

void vcpu_lower(Vcpu *vcpu, u32 lines)
{
    __atomic_and_fetch(&vcpu->common->lines, ~lines, __ATOMIC_SEQ_CST);
}

u32 vcpu_lines(const Vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->common->lines, __ATOMIC_SEQ_CST);
}

/* Who looked at the lines last may have gone with a kick. */
void system_begin(Vcpu *vcpu)
{
    signals_attach(vcpu);
    if (vcpu_lines(vcpu)) {
        __atomic_store_n(&vcpu->common->interrupt, 1, __ATOMIC_SEQ_CST);
    }
}

bool system_deliver(Vcpu *vcpu, u64 code)
{
    return vcpu->engine->guest->system->deliver(vcpu->state, code);
}

bool system_interrupt(Vcpu *vcpu)
{
    u32 lines = vcpu_lines(vcpu);

    return lines && vcpu->engine->guest->system->interrupt(vcpu->state, lines);
}

/* -- RAM */

void engine_ram_written(Engine *engine, const u8 *ram, u64 size)
{
    u64 start = (u64)(uintptr_t)ram, last = start + size - 1;
    bool watched = false;

    if (size == 0 || !__atomic_load_n(&engine->page_count, __ATOMIC_SEQ_CST)) {
        return;
    }
    for (u64 page = ALIGN_DOWN(start, (u64)CODE_PAGE); page <= last && !watched;
         page += CODE_PAGE) {
        watched = coherence_is_watched(engine, page);
    }
    if (watched) {
        pthread_mutex_lock(&engine->lock);
        coherence_ram_written(engine, start, size);
        pthread_mutex_unlock(&engine->lock);
    }
}

void engine_watch_ram(Engine *engine, const u8 *ram, u64 size)
{
    pthread_mutex_lock(&engine->lock);
    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        mmu_watch_ram(vcpu, ram, size);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* When all are outside, all see the request before they execute another block. */
void engine_map_changed(Engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        __atomic_store_n(&vcpu->mmu->forget, 1, __ATOMIC_SEQ_CST);
    }
    safepoint_stop(engine);
    safepoint_resume(engine);
    pthread_mutex_unlock(&engine->lock);
}
