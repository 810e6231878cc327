/* Machines: making, running, resetting. See machine.h.
 *
 * What happens to the machine as a whole (reset, power-off) is noted by whoever causes it and done
 * on the main loop, where no vCPU is on the stack: it pauses them first. */
#include "machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/boards.h"

enum { MEMORY_BITS = 52 };

const BoardDef *board_find(const char *name)
{
    for (size_t i = 0; board_defs[i]; i++) {
        if (!strcmp(board_defs[i]->name, name)) {
            return board_defs[i];
        }
    }
    return NULL;
}

/* -- Events */

static void do_reset(Machine *machine)
{
    if (machine->options->no_reboot) {
        machine_quit(machine, 0);
        return;
    }
    processors_pause(machine);
    machine_reset(machine);
    if (!machine->paused) {
        processors_resume(machine);
    }
}

/* -- Sleep (S3): the CPUs stand, RAM is kept, and what has power may wake the machine. */

static void wake_by_key(void *opaque, unsigned code, bool down)
{
    (void)code;
    if (down) {
        machine_wake(opaque);
    }
}

static void fall_asleep(Machine *machine)
{
    if (machine->asleep || !machine->def->after_wake) {
        return;
    }
    processors_pause(machine);
    machine->asleep = true;
    machine->waker = (InputListener){.opaque = machine, .key = wake_by_key};
    input_add(machine->input, &machine->waker);
}

static void end_sleep(Machine *machine)
{
    if (machine->asleep) {
        machine->asleep = false;
        input_remove(machine->input, &machine->waker);
    }
}

static void wake_up(Machine *machine)
{
    if (!machine->asleep) {
        return;
    }
    end_sleep(machine);
    processors_reset(machine);
    for (Device *device = machine->devices; device; device = device->next) {
        if (!machine->def->has_power(machine, device)) {
            device_reset(device);
        }
    }
    machine->def->after_wake(machine);
    if (!machine->paused) {
        processors_resume(machine);
    }
}

static void tell_debugger(Machine *machine)
{
    machine_pause(machine);
    if (machine->debugger) {
        machine->debugger(machine->debugger_opaque, machine->debugged, machine->debugged_pc);
    }
}

enum { EVENT_DEBUG = 31 }; /* not a BoardEvent */

static void do_events(void *opaque)
{
    Machine *machine = opaque;
    u32 events = __atomic_exchange_n(&machine->events, 0, __ATOMIC_SEQ_CST);

    if (events & 1u << BOARD_EXIT) {
        machine_quit(machine, machine->event_detail);
    } else if (events & (1u << BOARD_POWER_OFF | 1u << BOARD_PANIC)) {
        machine_quit(machine, (events & 1u << BOARD_PANIC) != 0);
    } else if (events & (1u << BOARD_RESET | 1u << BOARD_WATCHDOG)) {
        do_reset(machine);
    } else {
        if (events & 1u << BOARD_SUSPEND) {
            fall_asleep(machine);
        }
        if (events & 1u << BOARD_WAKE) {
            wake_up(machine);
        }
        if (events & 1u << EVENT_DEBUG) {
            tell_debugger(machine);
        }
    }
}

static void note_event(Machine *machine, unsigned event)
{
    if (!__atomic_fetch_or(&machine->events, 1u << event, __ATOMIC_SEQ_CST)) {
        loop_defer(machine->loop, do_events, machine);
    }
}

static void board_event(Board *board, BoardEvent event, int detail)
{
    Machine *machine = board->opaque;

    if (event == BOARD_EXIT) {
        machine->event_detail = detail;
    }
    note_event(machine, event);
}

void machine_stop_for_debugger(Machine *machine, Processor *processor, const VcpuExit *exit)
{
    machine->state = MACHINE_PAUSED; /* it runs no further; the others follow */
    machine->debugged = processor;
    machine->debugged_pc = exit->pc;
    note_event(machine, EVENT_DEBUG);
}

/* -- What the address space tells the engine */

static void map_changed(void *opaque)
{
    Machine *machine = opaque;

    if (machine->engine) {
        engine_map_changed(machine->engine);
    }
}

static void ram_written(void *opaque, const u8 *host, u64 size)
{
    Machine *machine = opaque;

    if (machine->engine) {
        engine_ram_written(machine->engine, host, size);
    }
}

static void watch_ram(void *opaque, const u8 *host, u64 size)
{
    Machine *machine = opaque;

    if (machine->engine) {
        engine_watch_ram(machine->engine, host, size);
    }
}

/* -- Making */

static void clock_ready(void *opaque, u32 events)
{
    Machine *machine = opaque;

    (void)events;
    clock_dispatch(machine->board.clock, processors_have_run(machine));
}

static int make_core(Machine *machine, char **error)
{
    Board *board = &machine->board;

    pthread_mutex_init(&machine->lock, NULL);
    pthread_cond_init(&machine->stood, NULL);
    machine->loop = loop_new(&machine->lock);
    board->clock = clock_new();
    board->memory = space_new("memory", 1ull << MEMORY_BITS);
    board->ports = space_new("ports", 0x10000);
    if (!machine->loop || !board->clock || !board->memory || !board->ports) {
        device_error(error, "cannot make a machine: %s", strerror(errno));
        return -ENOMEM;
    }
    board->loop = machine->loop;
    board->lock = &machine->lock;
    board->dma = (MapReader){.space = board->memory};
    board->event = board_event;
    board->opaque = machine;
    space_listen(board->memory, &(SpaceListener){machine, map_changed, ram_written, watch_ram});
    return loop_watch(machine->loop, clock_fd(board->clock), EPOLLIN, clock_ready, machine);
}

static int open_port(Machine *machine, CharPort **port, const char *spec, char **error)
{
    return spec ? char_open(port, spec, machine->loop, error) : 0;
}

/* What the host supplies. */
static int make_backends(Machine *machine, char **error)
{
    const MachineOptions *options = machine->options;
    int result = open_port(machine, &machine->debug, options->debug, error);

    for (u32 i = 0; i < MACHINE_SERIAL_PORTS && result == 0; i++) {
        result = open_port(machine, &machine->serial[i], options->serial[i], error);
    }
    if (result == 0) {
        result = machine_open_backends(machine, error);
    }
    machine->display = display_new();
    machine->input = input_new();
    typing_start(machine);
    return result;
}

static void free_backends(Machine *machine)
{
    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        char_close(machine->serial[i]);
    }
    char_close(machine->debug);
    machine_close_backends(machine);
    typing_stop(machine);
    display_free(machine->display);
    input_free(machine->input);
}

static int make_ram(Machine *machine, char **error)
{
    const MachineOptions *options = machine->options;

    if (options->memory > machine->def->max_memory || options->memory < 1 << 20) {
        device_error(error, "the machine '%s' can have from 1 MiB to %llu GiB of memory",
                     machine->def->name, (unsigned long long)(machine->def->max_memory >> 30));
        return -EINVAL;
    }
    machine->ram = ram_new("guest-ram", options->memory);
    if (!machine->ram) {
        device_error(error, "cannot get %llu MiB of memory for the guest",
                     (unsigned long long)(options->memory >> 20));
        return -ENOMEM;
    }
    return 0;
}

static int make_cpus(Machine *machine, char **error)
{
    const MachineOptions *options = machine->options;
    const char *why = NULL;
    EngineOptions engine = {.guest = machine->def->guest, .accel = options->accel, .system = true};

    if (options->cpus < 1 || options->cpus > machine->def->max_cpus) {
        device_error(error, "the machine '%s' can have 1 to %u CPUs", machine->def->name,
                     machine->def->max_cpus);
        return -EINVAL;
    }
    machine->engine = engine_new(&engine, &why);
    if (!machine->engine) {
        device_error(error, "%s", why);
        return -ENOTSUP;
    }
    return processors_new(machine, options->cpus, error);
}

Machine *machine_new(const MachineOptions *options, char **error)
{
    Machine *machine = calloc(1, sizeof *machine);

    if (!machine) {
        device_error(error, "out of memory");
        return NULL;
    }
    machine->options = options;
    machine->paused = true;
    machine->def = options->board ? options->board : board_defs[0];
    if (make_core(machine, error) < 0 || make_backends(machine, error) < 0 ||
        make_ram(machine, error) < 0 || make_cpus(machine, error) < 0) {
        machine_free(machine);
        return NULL;
    }
    pthread_mutex_lock(&machine->lock);
    int result = machine->def->build(machine, options, error);
    pthread_mutex_unlock(&machine->lock);
    if (result < 0) {
        machine_free(machine);
        return NULL;
    }
    processors_attach(machine);
    return machine;
}

static void free_devices(Machine *machine)
{
    while (machine->devices) {
        Device *device = machine->devices;
        machine->devices = device->next;
        device_free(device);
    }
}

void machine_free(Machine *machine)
{
    if (!machine) {
        return;
    }
    processors_stop(machine);
    pthread_mutex_lock(&machine->lock);
    free_devices(machine);
    machine_free_drives(machine);
    if (machine->def->destroy) {
        machine->def->destroy(machine);
    }
    free_backends(machine);
    pthread_mutex_unlock(&machine->lock);
    processors_free(machine);
    if (machine->engine) {
        engine_free(machine->engine);
    }
    machine->engine = NULL;
    map_reader_end(&machine->board.dma);
    space_free(machine->board.memory);
    space_free(machine->board.ports);
    clock_free(machine->board.clock);
    loop_free(machine->loop);
    ram_free(machine->ram);
    pthread_cond_destroy(&machine->stood);
    pthread_mutex_destroy(&machine->lock);
    free(machine);
}

/* -- Running */

int machine_start(Machine *machine, char **error)
{
    int result;

    pthread_mutex_lock(&machine->lock);
    machine_reset(machine);
    result = processors_start(machine, error);
    if (result == 0 && !machine->options->stopped) {
        machine_resume(machine);
    }
    pthread_mutex_unlock(&machine->lock);
    return result;
}

int machine_run(Machine *machine)
{
    loop_run(machine->loop);
    return machine->exit_status;
}

void machine_quit(Machine *machine, int status)
{
    machine->exit_status = status;
    machine_pause(machine);
    loop_quit(machine->loop);
}

void machine_pause(Machine *machine)
{
    processors_pause(machine);
    clock_stop(machine->board.clock);
    machine->paused = true;
}

void machine_resume(Machine *machine)
{
    clock_run(machine->board.clock);
    machine->paused = false;
    if (!machine->asleep) {
        processors_resume(machine);
    }
}

void machine_reset(Machine *machine)
{
    end_sleep(machine);
    processors_reset(machine);
    for (Device *device = machine->devices; device; device = device->next) {
        device_reset(device);
    }
    if (machine->def->after_reset) {
        machine->def->after_reset(machine);
    }
}

void machine_power_button(Machine *machine)
{
    if (machine->def->power_button) {
        machine->def->power_button(machine);
    }
}

void machine_wake(Machine *machine)
{
    if (machine->def->wake) {
        machine->def->wake(machine);
    }
}

/* -- For boards */

void *machine_add(Machine *machine, void *device)
{
    Device **at = &machine->devices;

    while (*at) {
        at = &(*at)->next;
    }
    *at = device;
    return device;
}

Device *machine_find_device(const Machine *machine, const char *id)
{
    Device *device = machine->devices;

    while (device && strcmp(device->id, id) != 0) {
        device = device->next;
    }
    return device;
}

void *machine_make(Machine *machine, const DeviceDef *def, const char *id, char **error)
{
    void *device = device_new(def, &machine->board, id);

    if (device_start(device, error) < 0) {
        device_free(device);
        return NULL;
    }
    return machine_add(machine, device);
}

void *machine_make_with(Machine *machine, const DeviceDef *def, const char *property, void *backend,
                        char **error)
{
    void *device = device_new(def, &machine->board, NULL);

    if (device_set_backend(device, property, backend, error) < 0 ||
        device_start(device, error) < 0) {
        device_free(device);
        return NULL;
    }
    return machine_add(machine, device);
}

u8 *machine_read_file(const char *path, size_t *size, char **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    u8 *bytes = NULL;
    size_t done = 0;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        bytes = malloc((size_t)st.st_size + 1);
    }
    while (bytes && done < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + done, (size_t)st.st_size - done);
        if (n <= 0) {
            free(bytes);
            bytes = NULL;
        } else {
            done += (size_t)n;
        }
    }
    if (!bytes) {
        device_error(error, "cannot read %s: %s", path, strerror(errno ? errno : EINVAL));
    }
    if (fd >= 0) {
        close(fd);
    }
    *size = done;
    return bytes;
}
