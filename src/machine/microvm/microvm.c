/* The board "microvm": what a kernel for virtual machines needs and nothing else. No PCI bus;
 * virtio devices over MMIO, a serial port, timer and clock, fw_cfg, and a few registers for power
 * (acpi-ged). It starts a kernel without firmware; or firmware, for whose sake there are 8259s
 * then. ACPI tables say where things are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/devices.h"
#include "device/firmware/fw_cfg.h"
#include "device/interrupt/i8259.h"
#include "device/isa.h"
#include "device/misc/acpi_ged.h"
#include "machine/boards.h"
#include "machine/microvm/microvm.h"

/* -- Interrupt lines: several sources may share an input of the I/O APIC; the 8259s have the same
 * lines below 16, but for the timer's */

static void set_line(Microvm *vm, unsigned line, unsigned source, bool level)
{
    u32 old = vm->lines[line];

    vm->lines[line] = level ? old | 1u << source : old & ~(1u << source);
    if (!old == !vm->lines[line]) {
        return;
    }
    ioapic_input(vm->x86.ioapic, line, !old);
    if (vm->x86.pic && line < MICROVM_LINE_VIRTIO) {
        i8259_input(vm->x86.pic, line == MICROVM_LINE_TIMER ? 0 : line, !old);
    }
}

static void plain_input(void *receiver, unsigned line, bool level)
{
    set_line(receiver, line, 0, level);
}

static void serial_input(void *receiver, unsigned index, bool level)
{
    set_line(receiver, index & 1 ? 3 : 4, index, level);
}

static void slot_input(void *receiver, unsigned slot, bool level)
{
    set_line(receiver, microvm_slot_line(slot), slot, level);
}

/* -- Devices */

/* In the first slot that is free. */
static int add_virtio(Microvm *vm, Device *device, char **error)
{
    u32 slot = 0;

    while (slot < MICROVM_SLOTS && vm->slots[slot]) {
        slot++;
    }
    if (slot == MICROVM_SLOTS) {
        device_error(error, "%s: the machine has places for %d virtio devices", device->id,
                     MICROVM_SLOTS);
        return -EBUSY;
    }
    vm->slots[slot] = device;
    device_connect(device, "irq", 0, slot_input, vm, slot);
    device_map(device, 0, microvm_slot_address(slot));
    return 0;
}

static int plug(Machine *machine, Device *device, const char *address, char **error)
{
    Microvm *vm = microvm_of(machine);

    (void)address;
    switch (device->def->bus_kind) {
    case BUS_VIRTIO:
        return add_virtio(vm, device, error);
    case BUS_ISA:
        if (device->def->bus) {
            device_connect(device, "irq", 0, plain_input, vm, isa_irq_number(device));
        }
        return 0;
    case BUS_PCI:
        device_error(
            error,
            "%s: this machine has no PCI bus; its virtio devices are called virtio-...-device",
            device->def->name);
        return -EINVAL;
    default:
        return -ENODEV;
    }
}

static int add_drive(Microvm *vm, DriveRequest *drive, char **error)
{
    Machine *machine = vm->machine;
    bool none = !strcmp(drive->interface, "none");
    char id[32];
    Device *device;
    Disk *disk;

    if (!none && strcmp(drive->interface, "virtio") != 0) {
        device_error(error, "this machine has no drives of the kind '%s', only virtio",
                     drive->interface);
        return -EINVAL;
    }
    if (!drive->node) {
        device_error(error, "a disk needs an image");
        return -EINVAL;
    }
    snprintf(id, sizeof id, "%s%u", drive->interface, vm->drive_count++);
    disk = machine_add_drive(machine, drive, id, error);
    if (!disk || none) {
        return disk ? 0 : -EINVAL;
    }
    device = machine_make_with(machine, &device_virtio_blk_device, "drive", disk, error);
    return device ? add_virtio(vm, device, error) : -EINVAL;
}

/* A device with an interrupt of its own. */
static void *add_plain(Microvm *vm, const DeviceDef *def, unsigned line, char **error)
{
    void *device = machine_make(vm->machine, def, NULL, error);

    if (device) {
        device_connect(device, "irq", 0, plain_input, vm, line);
    }
    return device;
}

/* Port 0x61, which the speaker has, gates the timer that kernels measure others against. */
static int add_board_devices(Microvm *vm, char **error)
{
    void *timer = add_plain(vm, &device_isa_pit, MICROVM_LINE_TIMER, error);

    if (!timer || !machine_make_with(vm->machine, &device_isa_pcspk, "pit", timer, error)) {
        return -1;
    }
    vm->clock = add_plain(vm, &device_mc146818rtc, MICROVM_LINE_CLOCK, error);
    vm->ged = vm->clock ? add_plain(vm, &device_acpi_ged, MICROVM_LINE_GED, error) : NULL;
    if (!vm->ged) {
        return -1;
    }
    device_map(vm->ged, 0, MICROVM_GED);
    return 0;
}

static int add_fw_cfg(Microvm *vm, char **error)
{
    u32 cpus = vm->machine->processor_count;

    vm->fw_cfg = machine_make(vm->machine, &device_fw_cfg, NULL, error);
    if (!vm->fw_cfg) {
        return -1;
    }
    device_map(vm->fw_cfg, 0, 0x510);
    fw_cfg_set_number(vm->fw_cfg, FW_CFG_RAM_SIZE, vm->machine->ram->size, 8);
    fw_cfg_set_number(vm->fw_cfg, FW_CFG_CPU_COUNT, cpus, 2);
    fw_cfg_set_number(vm->fw_cfg, FW_CFG_MAX_CPUS, cpus, 2);
    return 0;
}

static int add_devices(Microvm *vm, const MachineOptions *options, char **error)
{
    if (x86_add_interrupts(&vm->x86, vm->firmware, error) < 0 || add_board_devices(vm, error) < 0 ||
        x86_add_serial_ports(&vm->x86, serial_input, vm, error) < 0 ||
        x86_add_debug_port(&vm->x86, error) < 0 || add_fw_cfg(vm, error) < 0) {
        return -1;
    }
    for (DriveRequest *drive = options->drives; drive; drive = drive->next) {
        if (add_drive(vm, drive, error) < 0) {
            return -1;
        }
    }
    return machine_add_requested(vm->machine, error);
}

/* -- The board */

static int load_kernel(Microvm *vm, const MachineOptions *options, char **error)
{
    X86MemoryMap map;

    x86_memory_map(&map, vm->x86.low_size, vm->machine->ram->size);
    vm->kernel = x86_kernel_new(options, &map, MICROVM_TABLES, error);
    return vm->kernel ? 0 : -EINVAL;
}

static int build(Machine *machine, const MachineOptions *options, char **error)
{
    Microvm *vm = calloc(1, sizeof *vm);

    if (!vm) {
        abort();
    }
    machine->board_data = vm;
    vm->machine = vm->x86.machine = machine;
    x86_map_ram(&vm->x86);
    if (!options->kernel && microvm_load_firmware(vm, options, error) < 0) {
        return -1;
    }
    if (x86_choose_cpu(&vm->x86, options, error) < 0 || add_devices(vm, options, error) < 0) {
        return -1;
    }
    if (options->kernel) {
        return load_kernel(vm, options, error);
    }
    microvm_tell_firmware(vm, options);
    return 0;
}

static void destroy(Machine *machine)
{
    Microvm *vm = microvm_of(machine);

    if (vm) {
        x86_kernel_free(vm->kernel);
        ram_free(vm->firmware);
        free(vm);
        machine->board_data = NULL;
    }
}

/* Where firmware would be entered: Linux restarts a machine with hardware-reduced ACPI by going
 * there. An interrupt without a table of them shuts the CPU down, which resets the machine. */
static void write_entry(const Microvm *vm)
{
    enum { ENTRY = 0xffff0 };
    static const u8 code[] = {
        0x2e, 0x0f, 0x01, 0x1e, 0xf8, 0xff, /* lidt cs:[0xfff8] */
        0xcc,                               /* int3 */
        0xf4,                               /* hlt */
        0,    0,    0,    0,    0,    0,    /* limit, base */
    };

    memcpy(vm->machine->ram->host + ENTRY, code, sizeof code);
}

static void after_reset(Machine *machine)
{
    Microvm *vm = microvm_of(machine);

    x86_reset_interrupts(&vm->x86);
    if (vm->firmware) {
        microvm_copy_firmware(vm);
        return;
    }
    microvm_write_acpi(vm);
    write_entry(vm);
    x86_kernel_start(vm->kernel, machine, &(X86Screen){0});
}

static void power_button(Machine *machine)
{
    acpi_ged_raise(microvm_of(machine)->ged, ACPI_GED_POWER_BUTTON);
}

const BoardDef board_microvm = {
    .name = "microvm",
    .summary = "virtio devices without PCI",
    .guest = "x86_64",
    .vga = "none",
    .drives = "virtio",
    .max_cpus = 255,
    .max_memory = 1ull << 40,
    .build = build,
    .destroy = destroy,
    .reset_cpu = x86_reset_cpu,
    .after_reset = after_reset,
    .plug = plug,
    .power_button = power_button,
};
