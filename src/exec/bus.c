/* The board's bus as the guest sees it: the engine stands between the two.
 *
 * What may wait for a lock of the board is called outside (safepoint.c), or an evictor, which holds
 * the engine's lock, might wait for a vCPU that waits for a device whose thread wants that lock.
 * Generated code that called is not evicted meanwhile: `way_back` says where it is. The guest's x87
 * is in its slots meanwhile: devices may want the host's.
 * What C code writes to RAM by way of ram() is noticed like stores of generated code.
 * Must not know any guest or board. */
#include "exec/mmu.h"

void bus_leave(Vcpu *vcpu)
{
    vcpu->mmu->was_inside = vcpu->inside;
    if (!vcpu->inside) {
        return;
    }
    const Host *host = vcpu->engine->host;
    const u8 *way_back = vcpu->mmu->running ? host->calling_code(vcpu->common) : NULL;

    vcpu->mmu->took_x87 = host->take_x87 && host->take_x87(vcpu->state);
    __atomic_store_n(&vcpu->mmu->way_back, way_back, __ATOMIC_SEQ_CST);
    safepoint_leave(vcpu);
}

void bus_return(Vcpu *vcpu)
{
    if (!vcpu->mmu->was_inside) {
        return;
    }
    safepoint_enter(vcpu);
    mmu_forget_shared(vcpu); /* anything may have happened to what they are of */
    __atomic_store_n(&vcpu->mmu->way_back, NULL, __ATOMIC_SEQ_CST);
    if (vcpu->mmu->took_x87) {
        vcpu->engine->host->give_x87(vcpu->state);
    }
    /* Returns may be predicted to go to code that was evicted; dispatch.c will forget the rest. */
    if (vcpu->mmu->running && __atomic_load_n(&vcpu->stale, __ATOMIC_SEQ_CST)) {
        vcpu->engine->host->trim_returns(vcpu->common);
    }
    if (__atomic_exchange_n(&vcpu->mmu->forget, 0, __ATOMIC_SEQ_CST)) {
        mmu_flush(vcpu->state, true);
    }
}

/* What is translated from them goes now if that is possible without waiting, and what was
 * translated meanwhile when generated code has been left. */
void bus_announce_write(Vcpu *vcpu, const u8 *ram, u64 size)
{
    Engine *engine = vcpu->engine;

    if (!coherence_is_watched(engine, (u64)(uintptr_t)ram)) {
        return;
    }
    if (pthread_mutex_trylock(&engine->lock) == 0) {
        coherence_ram_written(engine, (u64)(uintptr_t)ram, size);
        pthread_mutex_unlock(&engine->lock);
    }
    mmu_note_write(vcpu, ram, size);
    __atomic_store_n(&vcpu->common->interrupt, 1, __ATOMIC_SEQ_CST);
}

static u8 *guest_ram(void *opaque, u64 address, unsigned size, bool write)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;
    u8 *ram = board->ram(board->opaque, address, size, write);

    if (write && ram) {
        bus_announce_write(vcpu, ram, size);
    }
    return ram;
}

static bool guest_dirty(void *opaque, u64 address)
{
    const GuestBus *board = &((Vcpu *)opaque)->mmu->board;

    return !board->dirty || board->dirty(board->opaque, address);
}

static u64 guest_read(void *opaque, u64 address, unsigned size)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    u64 value = board->read(board->opaque, address, size);
    bus_return(vcpu);
    return value;
}

static void guest_write(void *opaque, u64 address, unsigned size, u64 value)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    board->write(board->opaque, address, size, value);
    bus_return(vcpu);
}

static u32 guest_port_read(void *opaque, u16 port, unsigned size)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    u32 value = board->port_read(board->opaque, port, size);
    bus_return(vcpu);
    return value;
}

static void guest_port_write(void *opaque, u16 port, unsigned size, u32 value)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    board->port_write(board->opaque, port, size, value);
    bus_return(vcpu);
}

static bool guest_msr_read(void *opaque, u32 index, u64 *value)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    bool known = board->msr_read && board->msr_read(board->opaque, index, value);
    bus_return(vcpu);
    return known;
}

static bool guest_msr_write(void *opaque, u32 index, u64 value)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    bool known = board->msr_write && board->msr_write(board->opaque, index, value);
    bus_return(vcpu);
    return known;
}

static u8 guest_priority_read(void *opaque)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    u8 priority = board->priority_read ? board->priority_read(board->opaque) : 0;
    bus_return(vcpu);
    return priority;
}

static void guest_priority_write(void *opaque, u8 priority)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    if (board->priority_write) {
        board->priority_write(board->opaque, priority);
    }
    bus_return(vcpu);
}

static void guest_set_smm(void *opaque, bool on)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    if (board->set_smm) {
        board->set_smm(board->opaque, on);
    }
    bus_return(vcpu);
}

static void guest_fp_error(void *opaque)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    if (board->fp_error) {
        board->fp_error(board->opaque);
    }
    bus_return(vcpu);
}

static int guest_acknowledge(void *opaque)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    int vector = board->acknowledge ? board->acknowledge(board->opaque) : -1;
    bus_return(vcpu);
    return vector;
}

static void guest_rest(void *opaque, u64 nanoseconds, u32 ignored)
{
    Vcpu *vcpu = opaque;
    const GuestBus *board = &vcpu->mmu->board;

    bus_leave(vcpu);
    if (board->rest) {
        board->rest(board->opaque, nanoseconds, ignored);
    }
    bus_return(vcpu);
}

/* Any thread may ask, with no lock. */
static u64 guest_time(void *opaque)
{
    const GuestBus *board = &((Vcpu *)opaque)->mmu->board;

    return board->time(board->opaque);
}

void bus_attach(Vcpu *vcpu, GuestBus *bus)
{
    vcpu->mmu->board = *bus;
    *bus = (GuestBus){
        .opaque = vcpu,
        .ram = guest_ram,
        .dirty = guest_dirty,
        .read = guest_read,
        .write = guest_write,
        .port_read = guest_port_read,
        .port_write = guest_port_write,
        .msr_read = guest_msr_read,
        .msr_write = guest_msr_write,
        .priority_read = guest_priority_read,
        .priority_write = guest_priority_write,
        .acknowledge = guest_acknowledge,
        .set_smm = guest_set_smm,
        .fp_error = guest_fp_error,
        .rest = guest_rest,
        .time = vcpu->mmu->board.time ? guest_time : NULL,
        .flush_page = mmu_flush_page,
        .flush = mmu_flush,
        .find = mmu_find,
    };
}
