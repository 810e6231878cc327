/* vCPUs' threads, and the bus that each sees.
 *
 * A thread runs its vCPU while the machine runs, and otherwise waits on its condition variable
 * under the machine lock. Whoever wants it to look (a pause, an interrupt for a halted CPU) changes
 * the state, kicks the vCPU and signals. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "guest/guest.h"
#include "machine/machine.h"

/* -- The bus */

/* What the CPU sees at an address. */
static MapReader *memory_at(Processor *p, u64 address)
{
    u64 offset, length;

    return p->sees_hidden && map_find(&p->hidden, address, &offset, &length) ? &p->hidden
                                                                             : &p->memory;
}

static u8 *bus_ram(void *opaque, u64 address, unsigned size, bool write)
{
    return map_ram(memory_at(opaque, address), address, size, write);
}

static bool bus_dirty(void *opaque, u64 address)
{
    return map_is_dirty(memory_at(opaque, address), address);
}

u64 processor_bus_read(void *opaque, u64 address, unsigned size)
{
    Processor *p = opaque;

    return map_read(memory_at(p, address), address, size, &p->machine->lock);
}

void processor_bus_write(void *opaque, u64 address, unsigned size, u64 value)
{
    Processor *p = opaque;

    map_write(memory_at(p, address), address, size, value, &p->machine->lock);
}

static u32 port_read(void *opaque, u16 port, unsigned size)
{
    Processor *p = opaque;

    return (u32)map_read(&p->ports, port, size, &p->machine->lock);
}

static void port_write(void *opaque, u16 port, unsigned size, u32 value)
{
    Processor *p = opaque;

    map_write(&p->ports, port, size, value, &p->machine->lock);
}

static u64 machine_time(void *opaque)
{
    return clock_now(((Processor *)opaque)->machine->board.clock);
}

/* The clock of the condition variable is the wall's: one that is set costs a wrong pause. */
static void rest(void *opaque, u64 nanoseconds, u32 ignored)
{
    Processor *p = opaque;
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += (long)nanoseconds;
    end.tv_sec += end.tv_nsec / (long)NANOSECONDS;
    end.tv_nsec %= (long)NANOSECONDS;
    pthread_mutex_lock(&p->machine->lock);
    if (p->machine->state == MACHINE_RUNNING && !(vcpu_lines(p->vcpu) & ~ignored)) {
        p->idle = true;
        pthread_cond_timedwait(&p->wake, &p->machine->lock, &end);
        p->idle = false;
    }
    pthread_mutex_unlock(&p->machine->lock);
}

/* -- The thread */

void processor_wake(Processor *processor)
{
    processor->wakes++;
    processor->idle = false;
    pthread_cond_signal(&processor->wake);
}

void processor_set_lines(Processor *processor, u32 lines, bool level)
{
    if (level) {
        vcpu_raise(processor->vcpu, lines);
        processor_wake(processor);
    } else {
        vcpu_lower(processor->vcpu, lines);
    }
}

static void shut_down(Processor *p)
{
    p->stopped = true;
    p->machine->board.event(&p->machine->board, BOARD_RESET, 0);
}

static void handle(Processor *p, const VcpuExit *exit)
{
    switch (exit->kind) {
    case VCPU_SHUTDOWN:
        if (log_on(LOG_GUEST_ERRORS)) {
            log_printf("cpu%u: shut down at %#llx\n", p->index, (unsigned long long)exit->pc);
        }
        shut_down(p);
        break;
    case VCPU_DEBUG:
        machine_stop_for_debugger(p->machine, p, exit);
        break;
    default:
        break;
    }
}

static void stand(Processor *p)
{
    p->standing = p->idle = true;
    pthread_cond_broadcast(&p->machine->stood);
    pthread_cond_wait(&p->wake, &p->machine->lock);
}

/* Runs the vCPU once. It then waits if it halted, unless somebody woke it meanwhile. */
static void run_once(Processor *p)
{
    Machine *machine = p->machine;
    u32 wakes = p->wakes;
    VcpuExit exit;

    p->standing = p->idle = false;
    pthread_mutex_unlock(&machine->lock);
    vcpu_run(p->vcpu, &exit);
    pthread_mutex_lock(&machine->lock);
    handle(p, &exit);
    p->halted = exit.kind == VCPU_HALT && p->wakes == wakes;
}

static void *run(void *opaque)
{
    Processor *p = opaque;
    Machine *machine = p->machine;

    pthread_mutex_lock(&machine->lock);
    while (!machine->quitting) {
        if (machine->state != MACHINE_RUNNING || p->stopped || p->held) {
            stand(p);
        } else if (p->halted) {
            u32 wakes = p->wakes;
            stand(p);
            p->halted = p->wakes == wakes;
        } else {
            run_once(p);
        }
    }
    p->standing = true;
    pthread_cond_broadcast(&machine->stood);
    pthread_mutex_unlock(&machine->lock);
    return NULL;
}

/* -- All of them */

static void init_bus(Processor *p)
{
    Machine *machine = p->machine;

    p->memory = (MapReader){.space = machine->board.memory};
    p->ports = (MapReader){.space = machine->board.ports};
    p->bus = (GuestBus){
        .opaque = p,
        .ram = bus_ram,
        .dirty = bus_dirty,
        .read = processor_bus_read,
        .write = processor_bus_write,
        .port_read = port_read,
        .port_write = port_write,
        .rest = rest,
        .time = machine_time,
    };
}

int processors_new(Machine *machine, u32 count, char **error)
{
    machine->processors = calloc(count, sizeof *machine->processors);
    if (!machine->processors) {
        device_error(error, "out of memory");
        return -ENOMEM;
    }
    machine->processor_count = count;
    for (u32 i = 0; i < count; i++) {
        Processor *p = &machine->processors[i];
        p->machine = machine;
        p->index = i;
        p->standing = true;
        pthread_cond_init(&p->wake, NULL);
        p->vcpu = vcpu_new(machine->engine);
        if (!p->vcpu) {
            device_error(error, "out of memory for CPU %u", i);
            return -ENOMEM;
        }
        init_bus(p);
    }
    return 0;
}

void processors_attach(Machine *machine)
{
    for (u32 i = 0; i < machine->processor_count; i++) {
        vcpu_set_bus(machine->processors[i].vcpu, &machine->processors[i].bus);
    }
}

int processors_start(Machine *machine, char **error)
{
    for (u32 i = 0; i < machine->processor_count; i++) {
        Processor *p = &machine->processors[i];
        int result = pthread_create(&p->thread, NULL, run, p);
        if (result) {
            device_error(error, "cannot start a thread for CPU %u: %s", i, strerror(result));
            return -result;
        }
        p->created = true;
    }
    return 0;
}

void processors_stop(Machine *machine)
{
    pthread_mutex_lock(&machine->lock);
    machine->quitting = true;
    for (u32 i = 0; i < machine->processor_count; i++) {
        vcpu_kick(machine->processors[i].vcpu);
        processor_wake(&machine->processors[i]);
    }
    pthread_mutex_unlock(&machine->lock);
    for (u32 i = 0; i < machine->processor_count; i++) {
        if (machine->processors[i].created) {
            pthread_join(machine->processors[i].thread, NULL);
        }
    }
}

void processors_free(Machine *machine)
{
    for (u32 i = 0; i < machine->processor_count; i++) {
        Processor *p = &machine->processors[i];
        if (p->vcpu) {
            vcpu_free(p->vcpu);
        }
        map_reader_end(&p->memory);
        map_reader_end(&p->hidden);
        map_reader_end(&p->ports);
        pthread_cond_destroy(&p->wake);
    }
    free(machine->processors);
}

void processors_reset(Machine *machine)
{
    for (u32 i = 0; i < machine->processor_count; i++) {
        Processor *p = &machine->processors[i];
        p->stopped = p->halted = false;
        p->wakes++; /* it looks again, if it stands halted */
        p->sees_hidden = false;
        vcpu_lower(p->vcpu, ~0u);
        vcpu_reset(p->vcpu);
        if (machine->def->reset_cpu) {
            machine->def->reset_cpu(machine, i);
        }
    }
}

static bool all_stand(const Machine *machine)
{
    bool all = true;

    for (u32 i = 0; i < machine->processor_count; i++) {
        all &= machine->processors[i].standing || !machine->processors[i].created;
    }
    return all;
}

void processors_pause(Machine *machine)
{
    machine->state = MACHINE_PAUSED;
    for (u32 i = 0; i < machine->processor_count; i++) {
        vcpu_kick(machine->processors[i].vcpu);
    }
    while (!all_stand(machine)) {
        pthread_cond_wait(&machine->stood, &machine->lock);
    }
}

void processors_resume(Machine *machine)
{
    machine->state = MACHINE_RUNNING;
    for (u32 i = 0; i < machine->processor_count; i++) {
        Processor *p = &machine->processors[i];
        p->idle &= p->stopped || p->held;
        pthread_cond_signal(&p->wake);
    }
}

/* Nanoseconds that its thread had a processor of the host's. */
static u64 time_worked(const Processor *p)
{
    clockid_t clock;
    struct timespec time;

    if (!p->created || pthread_getcpuclockid(p->thread, &clock) ||
        clock_gettime(clock, &time) < 0) {
        return 0;
    }
    return (u64)time.tv_sec * NANOSECONDS + (u64)time.tv_nsec;
}

bool processors_have_run(Machine *machine)
{
    enum { ENOUGH = 4000000 }; /* to take an interrupt, even by code that is not translated yet */
    u64 now = clock_now(machine->board.clock);
    u64 wanted = MIN((u64)ENOUGH, (now - machine->last_run) / 2);
    bool all_idle = true, any_ran = false;

    for (u32 i = 0; i < machine->processor_count; i++) {
        Processor *p = &machine->processors[i];
        all_idle &= p->idle;
        any_ran |= !p->idle && time_worked(p) - p->worked >= wanted;
    }
    if (!all_idle && !any_ran) {
        return false;
    }
    for (u32 i = 0; i < machine->processor_count; i++) {
        machine->processors[i].worked = time_worked(&machine->processors[i]);
    }
    machine->last_run = now;
    return true;
}
