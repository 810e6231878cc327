/* Interrupts of x86 boards: the I/O APIC's and devices' messages to the local APICs, and those to
 * their CPUs. */
#include <stdlib.h>
#include <string.h>

#include "device/devices.h"
#include "device/interrupt/i8259.h"
#include "device/interrupt/lapic.h"
#include "guest/x86/system.h"
#include "machine/x86/board.h"

enum { IOAPIC_ADDRESS = 0xfec00000, TSC_KHZ = 2000000 };

/* -- Local APICs and their CPUs */

static void set_interrupt(void *opaque, bool level)
{
    processor_set_lines(opaque, CPU_LINE_IRQ, level);
}

static void send_nmi(void *opaque)
{
    processor_set_lines(opaque, CPU_LINE_NMI, true);
}

static void send_smi(void *opaque)
{
    processor_set_lines(opaque, CPU_LINE_SMI, true);
}

static void send_init(void *opaque)
{
    processor_set_lines(opaque, CPU_LINE_INIT, true);
}

static void send_startup(void *opaque, u8 vector)
{
    processor_set_lines(opaque, CPU_LINE_STARTUP | (u32)vector << CPU_LINE_VECTOR_SHIFT, true);
}

static u64 tsc_time(void *opaque, u64 tsc)
{
    Processor *p = opaque;
    X86State *state = vcpu_state(p->vcpu);
    u64 now = clock_now(p->machine->board.clock), tsc_now = x86_read_tsc(state);

    return tsc <= tsc_now ? now : now + scale_u64(tsc - tsc_now, 1000000, state->tsc_khz);
}

static const LapicCpu cpu_functions = {
    .interrupt = set_interrupt,
    .nmi = send_nmi,
    .smi = send_smi,
    .init = send_init,
    .startup = send_startup,
    .tsc_time = tsc_time,
};

/* The 8259s' INTR goes to LINT0 of all; only the boot processor's lets it through. */
static void intr_input(void *receiver, unsigned line, bool level)
{
    const X86Board *board = receiver;

    (void)line;
    for (u32 i = 0; i < board->machine->processor_count; i++) {
        lapic_input(board->machine->processors[i].board_data, 0, level);
    }
}

void x86_message(void *opaque, u64 address, u32 data)
{
    X86Board *board = opaque;

    if (address >> 20 == 0xfee) {
        apic_bus_send_msi(&board->apic_bus, address, data);
    }
}

/* -- The bus of a CPU: its local APIC lies in front of what all see */

static bool is_lapic(const Processor *p, u64 address)
{
    return (address & ~(u64)0xfff) == __atomic_load_n(&p->board_page, __ATOMIC_RELAXED);
}

static u64 bus_read(void *opaque, u64 address, unsigned size)
{
    Processor *p = opaque;
    u64 value;

    if (!is_lapic(p, address)) {
        return processor_bus_read(opaque, address, size);
    }
    pthread_mutex_lock(&p->machine->lock);
    value = lapic_read(p->board_data, address & 0xfff, size);
    pthread_mutex_unlock(&p->machine->lock);
    return value;
}

static void bus_write(void *opaque, u64 address, unsigned size, u64 value)
{
    Processor *p = opaque;

    if (!is_lapic(p, address)) {
        processor_bus_write(opaque, address, size, value);
        return;
    }
    pthread_mutex_lock(&p->machine->lock);
    lapic_write(p->board_data, address & 0xfff, size, value);
    pthread_mutex_unlock(&p->machine->lock);
}

static bool msr_read(void *opaque, u32 index, u64 *value)
{
    Processor *p = opaque;
    bool good;

    pthread_mutex_lock(&p->machine->lock);
    good = lapic_msr_read(p->board_data, index, value);
    pthread_mutex_unlock(&p->machine->lock);
    return good;
}

static bool msr_write(void *opaque, u32 index, u64 value)
{
    Processor *p = opaque;
    bool good;

    pthread_mutex_lock(&p->machine->lock);
    good = lapic_msr_write(p->board_data, index, value);
    __atomic_store_n(&p->board_page, lapic_address(p->board_data), __ATOMIC_RELAXED);
    pthread_mutex_unlock(&p->machine->lock);
    return good;
}

static u8 priority_read(void *opaque)
{
    Processor *p = opaque;
    u8 priority;

    pthread_mutex_lock(&p->machine->lock);
    priority = lapic_priority(p->board_data);
    pthread_mutex_unlock(&p->machine->lock);
    return priority;
}

static void priority_write(void *opaque, u8 priority)
{
    Processor *p = opaque;

    pthread_mutex_lock(&p->machine->lock);
    lapic_set_priority(p->board_data, priority);
    pthread_mutex_unlock(&p->machine->lock);
}

static int acknowledge(void *opaque)
{
    Processor *p = opaque;
    int vector;

    pthread_mutex_lock(&p->machine->lock);
    vector = lapic_acknowledge(p->board_data);
    if (vector == LAPIC_EXTERNAL) {
        vector = i8259_acknowledge(x86_board_of(p->machine)->pic);
    }
    pthread_mutex_unlock(&p->machine->lock);
    return vector;
}

/* The CPU enters or leaves system management mode; it flushes what it knows of memory. */
static void set_smm(void *opaque, bool on)
{
    Processor *p = opaque;

    p->sees_hidden = on && p->hidden.space;
}

static void fill_bus(GuestBus *bus)
{
    bus->set_smm = set_smm;
    bus->read = bus_read;
    bus->write = bus_write;
    bus->msr_read = msr_read;
    bus->msr_write = msr_write;
    bus->priority_read = priority_read;
    bus->priority_write = priority_write;
    bus->acknowledge = acknowledge;
}

/* -- Making */

static int add_lapic(X86Board *board, Processor *p, char **error)
{
    void *lapic =
        machine_add(board->machine, device_new(&device_apic, &board->machine->board, NULL));
    LapicCpu functions = cpu_functions;

    functions.opaque = p;
    device_set_u64(lapic, "id", p->index);
    device_set_u64(lapic, "bsp", p->index == 0);
    if (device_set_backend(lapic, "bus", &board->apic_bus, error) < 0 ||
        device_start(lapic, error) < 0) {
        return -1;
    }
    lapic_attach(lapic, &functions);
    p->board_data = lapic;
    ((X86State *)vcpu_state(p->vcpu))->tsc_khz = TSC_KHZ;
    fill_bus(&p->bus);
    return 0;
}

static int add_pic(X86Board *board, char **error)
{
    board->pic = machine_make(board->machine, &device_i8259, NULL, error);
    if (!board->pic) {
        return -1;
    }
    device_connect(board->pic, "intr", 0, intr_input, board, 0);
    return 0;
}

int x86_add_interrupts(X86Board *board, bool with_pic, char **error)
{
    Machine *machine = board->machine;

    if (with_pic && add_pic(board, error) < 0) {
        return -1;
    }
    board->ioapic = machine_make_with(machine, &device_ioapic, "bus", &board->apic_bus, error);
    if (!board->ioapic) {
        return -1;
    }
    device_map(board->ioapic, 0, IOAPIC_ADDRESS);
    for (u32 i = 0; i < machine->processor_count; i++) {
        if (add_lapic(board, &machine->processors[i], error) < 0) {
            return -1;
        }
    }
    return 0;
}

void x86_reset_interrupts(X86Board *board)
{
    for (u32 i = 0; i < board->machine->processor_count; i++) {
        Processor *p = &board->machine->processors[i];
        p->board_page = lapic_address(p->board_data);
    }
}
