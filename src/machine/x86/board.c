/* RAM and CPUs of x86 boards: see board.h. */
#include "machine/x86/board.h"

#include "device/devices.h"
#include "guest/x86/state.h"

enum { APIC_BASE_BSP = 1 << 8 };

void x86_map_ram(X86Board *board)
{
    Machine *machine = board->machine;
    u64 size = machine->ram->size;

    board->low_size = MIN(size, (u64)X86_LOW_LIMIT);
    board->low = (Region){.name = "ram", .size = board->low_size, .ram = machine->ram};
    space_add(machine->board.memory, &board->low, 0);
    if (size > board->low_size) {
        board->high = (Region){.name = "ram-high",
                               .size = size - board->low_size,
                               .ram = machine->ram,
                               .ram_offset = board->low_size};
        space_add(machine->board.memory, &board->high, 1ull << 32);
    }
}

int x86_choose_cpu(X86Board *board, const MachineOptions *options, char **error)
{
    u32 sockets = MAX(options->sockets, 1u), cores = options->cpus / sockets;
    char message[200];

    if (!x86_parse_cpu(options->cpu ? options->cpu : "max", &board->cpu, message, sizeof message)) {
        device_error(error, "%s", message);
        return -1;
    }
    /* APIC ids count CPUs, and have the core in their low bits. */
    if (sockets > 1 && cores & (cores - 1)) {
        device_error(error, "%u cores: with more than one socket it must be a power of two", cores);
        return -1;
    }
    return 0;
}

void x86_reset_cpu(Machine *machine, u32 index)
{
    X86State *state = vcpu_state(machine->processors[index].vcpu);

    x86_set_cpu(state, &x86_board_of(machine)->cpu);
    state->apic_id = index;
    state->processor_count = machine->processor_count / MAX(machine->options->sockets, 1u);
    if (index > 0) {
        state->apic_base &= ~(u64)APIC_BASE_BSP;
        state->halted = X86_WAITS_FOR_STARTUP;
    }
}

void x86_enter_waking_vector(Machine *machine, u32 vector)
{
    X86State *state = vcpu_state(machine->processors[0].vcpu);
    u64 base = vector & ~15u & 0xffff0;

    x86_set_segment(state, X86_CS, (u16)(base >> 4), 0x00009b000000ffff | base << 16);
    state->rip = vector & 15;
}

int x86_add_serial_ports(X86Board *board, IrqInput *input, void *receiver, char **error)
{
    Machine *machine = board->machine;

    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (!machine->serial[i]) {
            continue;
        }
        void *serial = machine_add(machine, device_new(&device_isa_serial, &machine->board, NULL));
        device_set_u64(serial, "index", i);
        if (device_set_backend(serial, "chardev", machine->serial[i], error) < 0 ||
            device_start(serial, error) < 0) {
            return -1;
        }
        device_connect(serial, "irq", 0, input, receiver, i);
    }
    return 0;
}

int x86_add_debug_port(X86Board *board, char **error)
{
    Machine *machine = board->machine;
    void *port;

    if (!machine->debug) {
        return 0;
    }
    port = machine_add(machine, device_new(&device_isa_debugcon, &machine->board, NULL));
    device_set_u64(port, "iobase", 0x402);
    return device_set_backend(port, "chardev", machine->debug, error) < 0
               ? -1
               : device_start(port, error);
}
