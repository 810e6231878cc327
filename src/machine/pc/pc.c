/* The board "pc": i440FX and PIIX3 with what a PC of that time has around them.
 *
 * Memory: RAM from 0, at most up to X86_LOW_LIMIT, the rest from 4 GiB; the firmware ends at 4 GiB
 * and is seen below 1 MiB through the bridge's windows. Interrupts: sixteen ISA lines, each driven
 * by ISA devices, by the PCI lines routed to it, and by power management. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/devices.h"
#include "device/isa.h"
#include "device/pci/i440fx.h"
#include "device/pci/piix3.h"
#include "device/pci/piix4_pm.h"
#include "device/timer/hpet.h"
#include "device/timer/mc146818.h"
#include "guest/x86/state.h"
#include "machine/boards.h"
#include "machine/pc/pc.h"

static void pci_interrupt(void *opaque, unsigned line, bool level)
{
    Pc *pc = opaque;

    piix3_interrupt(pc->isa, line, level);
}

/* -- Memory */

static void map_memory(Pc *pc)
{
    Machine *machine = pc->machine;

    x86_map_ram(&pc->x86);
    if (pc->rom) {
        pc->bios_region =
            (Region){.name = "bios", .size = pc->rom->size, .read_only = true, .ram = pc->rom};
        space_add(machine->board.memory, &pc->bios_region, (1ull << 32) - pc->rom->size);
    }
}

/* -- Devices */

void *pc_add_pci(Pc *pc, const DeviceDef *def, const char *id, int slot, unsigned function,
                 char **error)
{
    void *device = machine_make(pc->machine, def, id, error);

    if (device && pci_attach(pc->pci, device, slot, function, error) < 0) {
        return NULL; /* the machine owns it */
    }
    return device;
}

static int add_bridges(Pc *pc, char **error)
{
    Machine *machine = pc->machine;

    pc->pci = pci_bus_new(&machine->board, &(PciWires){pc, pci_interrupt, x86_message});
    pc->bridge = device_new(&device_i440fx, &machine->board, NULL);
    i440fx_wire(pc->bridge, pc->pci, machine->ram, pc->bios);
    machine_add(machine, pc->bridge);
    if (device_start(pc->bridge, error) < 0 || pci_attach(pc->pci, pc->bridge, 0, 0, error) < 0) {
        return -1;
    }
    for (u32 i = 0; i < machine->processor_count; i++) {
        machine->processors[i].hidden.space = i440fx_smram(pc->bridge);
    }
    device_map(pc->bridge, 0, 0xcf8);
    pc->isa = pc_add_pci(pc, &device_piix3, NULL, 1, 0, error);
    if (!pc->isa) {
        return -1;
    }
    for (unsigned line = 0; line < PC_ISA_LINES; line++) {
        device_connect(pc->isa, "irq", line, pc_pci_input, pc, line);
    }
    return 0;
}

static void serial_input(void *receiver, unsigned index, bool level)
{
    pc_isa_input(receiver, index & 1 ? 3 : 4, level);
}

/* A20 is up while one of its switches is. */
static void a20_input(void *receiver, unsigned line, bool level)
{
    Pc *pc = receiver;
    u8 old = pc->a20;

    pc->a20 = (u8)((old & ~(1u << line)) | (u32)level << line);
    if (!old == !pc->a20) {
        return;
    }
    for (u32 i = 0; i < pc->machine->processor_count; i++) {
        X86State *state = vcpu_state(pc->machine->processors[i].vcpu);
        __atomic_store_n(&state->a20_mask, pc->a20 ? ~(u64)0 : ~(u64)(1 << 20), __ATOMIC_RELAXED);
    }
    engine_map_changed(pc->machine->engine);
}

/* A device of the board without a line of the ISA bus of its own. */
static void *add_plain(Pc *pc, const DeviceDef *def, const char *output, IrqInput *input,
                       unsigned line, char **error)
{
    void *device = machine_make(pc->machine, def, NULL, error);

    if (device && output) {
        device_connect(device, output, 0, input, pc, line);
    }
    return device;
}

/* The clock's line: an interrupt, and an event of power management. */
static void rtc_input(void *receiver, unsigned line, bool level)
{
    Pc *pc = receiver;

    hpet_input(pc->hpet, line, level);
    if (pc->pm) {
        piix4_pm_rtc_input(pc->pm, line, level);
    }
}

/* The timer's and the clock's lines go through the HPET, which may replace them. */
static int add_hpet(Pc *pc, Device *timer, char **error)
{
    pc->hpet = machine_make_with(pc->machine, &device_hpet, "bus", &pc->x86.apic_bus, error);
    if (!pc->hpet) {
        return -1;
    }
    device_connect(timer, "irq", 0, hpet_input, pc->hpet, 0);
    device_connect(pc->rtc, "irq", 0, rtc_input, pc, 1);
    device_connect(pc->hpet, "legacy", 0, pc_isa_input, pc, 0);
    device_connect(pc->hpet, "legacy", 1, pc_isa_input, pc, 8);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        device_connect(pc->hpet, "irq", pin, pc_hpet_input, pc, pin);
    }
    device_map(pc->hpet, 0, PC_HPET_ADDRESS);
    return 0;
}

/* To the first CPU, the only one that firmware prepares for it before others run. */
static void smi_input(void *receiver, unsigned line, bool level)
{
    Pc *pc = receiver;

    (void)line;
    if (level) {
        processor_set_lines(&pc->machine->processors[0], CPU_LINE_SMI, true);
    }
}

static int add_power_management(Pc *pc, char **error)
{
    pc->pm = pc_add_pci(pc, &device_piix4_pm, NULL, 1, 3, error);
    if (!pc->pm) {
        return -1;
    }
    device_connect(pc->pm, "sci", 0, pc_sci_input, pc, 9);
    device_connect(pc->pm, "smi", 0, smi_input, pc, 0);
    return 0;
}

static int add_keyboard(Pc *pc, char **error)
{
    void *keyboard =
        machine_make_with(pc->machine, &device_i8042, "input", pc->machine->input, error);

    if (!keyboard) {
        return -1;
    }
    device_connect(keyboard, "keyboard", 0, pc_isa_input, pc, 1);
    device_connect(keyboard, "mouse", 0, pc_isa_input, pc, 12);
    device_connect(keyboard, "a20", 0, a20_input, pc, PC_A20_KEYBOARD);
    return 0;
}

/* Its drives are empty until pc_add_drives(). */
static int add_floppy(Pc *pc, char **error)
{
    Board *board = &pc->machine->board;

    pc->floppy = machine_add(pc->machine, device_new(&device_isa_fdc, board, NULL));
    if (device_set_backend(pc->floppy, "dma", pc->dma, error) < 0 ||
        device_start(pc->floppy, error) < 0) {
        return -1;
    }
    device_connect(pc->floppy, "irq", 0, pc_isa_input, pc, 6);
    return 0;
}

/* Timer, RTC, DMA and what else every PC has. */
static int add_isa_devices(Pc *pc, char **error)
{
    void *timer = add_plain(pc, &device_isa_pit, "irq", pc_isa_input, 0, error);

    pc->rtc = timer ? add_plain(pc, &device_mc146818rtc, "irq", pc_isa_input, 8, error) : NULL;
    if (!pc->rtc || add_hpet(pc, timer, error) < 0 ||
        !machine_make_with(pc->machine, &device_isa_pcspk, "pit", timer, error) ||
        add_keyboard(pc, error) < 0 ||
        !add_plain(pc, &device_port92, "a20", a20_input, PC_A20_PORT92, error)) {
        return -1;
    }
    pc->dma = add_plain(pc, &device_i8237, NULL, NULL, 0, error);
    return pc->dma ? add_floppy(pc, error) : -1;
}

static int add_ide(Pc *pc, char **error)
{
    pc->ide = pc_add_pci(pc, &device_piix3_ide, "ide", 1, 1, error);
    if (!pc->ide) {
        return -1;
    }
    device_connect(pc->ide, "irq", 0, pc_isa_input, pc, 14);
    device_connect(pc->ide, "irq", 1, pc_isa_input, pc, 15);
    return 0;
}

/* Graphics adapters, by their names after --vga, and their video BIOSes. */
static const struct Adapter {
    const char *name;
    const DeviceDef *def;
    const char *rom;
} adapters[] = {
    {"std", &device_vga, "vgabios-stdvga.bin"},
    {"cirrus", &device_cirrus_vga, "vgabios-cirrus.bin"},
};

static const struct Adapter *find_adapter(const char *name)
{
    for (size_t i = 0; i < COUNT(adapters); i++) {
        if (!strcmp(adapters[i].name, name)) {
            return &adapters[i];
        }
    }
    return NULL;
}

/* The path of a video BIOS; empty if it is not there. */
static void find_rom(const char *name, char *path, size_t size)
{
    static const char *const places[] = {"/usr/share/seabios", "/usr/share/qemu"};

    for (size_t i = 0; i < COUNT(places); i++) {
        snprintf(path, size, "%s/%s", places[i], name);
        if (access(path, R_OK) == 0) {
            return;
        }
    }
    *path = 0;
}

static int add_vga(Pc *pc, const MachineOptions *options, char **error)
{
    const char *kind = options->vga ? options->vga : pc->machine->def->vga;
    const struct Adapter *adapter = find_adapter(kind);
    char rom[64];

    if (!strcmp(kind, "none")) {
        return 0;
    }
    if (!adapter) {
        device_error(error, "there is no graphics adapter '%s'; there are std, cirrus and none",
                     kind);
        return -1;
    }
    find_rom(adapter->rom, rom, sizeof rom);
    pc->vga = machine_add(pc->machine, device_new(adapter->def, &pc->machine->board, NULL));
    if (device_set(pc->vga, "romfile", rom, error) < 0 ||
        device_set_backend(pc->vga, "display", pc->machine->display, error) < 0 ||
        device_start(pc->vga, error) < 0) {
        return -1;
    }
    return pci_attach(pc->pci, pc->vga, 2, 0, error);
}

static int add_devices(Pc *pc, const MachineOptions *options, char **error)
{
    if (x86_add_interrupts(&pc->x86, true, error) < 0 || add_bridges(pc, error) < 0 ||
        add_isa_devices(pc, error) < 0 ||
        x86_add_serial_ports(&pc->x86, serial_input, pc, error) < 0 ||
        x86_add_debug_port(&pc->x86, error) < 0 || add_ide(pc, error) < 0 ||
        add_vga(pc, options, error) < 0 || add_power_management(pc, error) < 0 ||
        pc_add_drives(pc, options, error) < 0 || machine_add_requested(pc->machine, error) < 0) {
        return -1;
    }
    pc->fw_cfg = machine_make(pc->machine, &device_fw_cfg, NULL, error);
    if (!pc->fw_cfg) {
        return -1;
    }
    device_map(pc->fw_cfg, 0, 0x510);
    return 0;
}

/* -- The board */

static int build(Machine *machine, const MachineOptions *options, char **error)
{
    Pc *pc = calloc(1, sizeof *pc);

    if (!pc) {
        abort();
    }
    machine->board_data = pc;
    pc->machine = pc->x86.machine = machine;
    if (pc_load_firmware(pc, options, error) < 0) {
        return -1;
    }
    map_memory(pc);
    if (x86_choose_cpu(&pc->x86, options, error) < 0 || add_devices(pc, options, error) < 0) {
        return -1;
    }
    if (smbios_make(&pc->smbios, machine, pc->x86.low_size, options->kernel, error) < 0) {
        return -1;
    }
    pc_fill_fw_cfg(pc, options);
    return options->kernel ? pc_load_kernel(pc, options, error) : 0;
}

static void destroy(Machine *machine)
{
    Pc *pc = pc_of(machine);

    if (!pc) {
        return;
    }
    x86_kernel_free(pc->kernel);
    smbios_free(&pc->smbios);
    pci_bus_free(pc->pci);
    ram_free(pc->rom);
    free(pc);
    machine->board_data = NULL;
}

static void after_reset(Machine *machine)
{
    const MachineOptions *options = machine->options;
    Pc *pc = pc_of(machine);

    x86_reset_interrupts(&pc->x86);
    pc_set_boot_order(pc, options->boot_once && !pc->once_is_over ? options->boot_once
                                                                  : options->boot_order);
    pc->once_is_over = true;
    if (pc->kernel) {
        pc_start_kernel(pc);
    }
}

/* -- Sleep */

static void wake(Machine *machine)
{
    piix4_pm_wake(pc_of(machine)->pm);
}

/* The clock and power management, which wake it; the bridge, in whose shadow RAM firmware goes on;
 * and graphics, so that the picture comes back. */
static bool has_power(Machine *machine, const Device *device)
{
    const Pc *pc = pc_of(machine);

    return device == pc->rtc || device == pc->pm || device == pc->bridge || device == pc->vga;
}

/* Firmware looks for the shutdown status in CMOS memory, and goes to the waking vector. */
static void after_wake(Machine *machine)
{
    enum { SHUTDOWN_STATUS = 0x0f, WOKEN = 0xfe };
    Pc *pc = pc_of(machine);

    x86_reset_interrupts(&pc->x86);
    if (pc->kernel) {
        pc_wake_kernel(pc);
    } else {
        mc146818_set(pc->rtc, SHUTDOWN_STATUS, WOKEN);
    }
}

static int plug(Machine *machine, Device *device, const char *address, char **error)
{
    Pc *pc = pc_of(machine);

    switch (device->def->bus_kind) {
    case BUS_PCI:
        return pci_attach(pc->pci, device, address ? (int)strtol(address, NULL, 16) : -1, 0, error);
    case BUS_ISA:
        if (device->def->bus) {
            device_connect(device, "irq", 0, pc_isa_input, pc, isa_irq_number(device));
        } else if (device->def == &device_pc_testdev) {
            for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
                device_connect(device, "gsi", pin, pc_test_input, pc, pin);
            }
        }
        return 0;
    default:
        return -ENODEV;
    }
}

static void power_button(Machine *machine)
{
    piix4_pm_power_button(pc_of(machine)->pm);
}

const BoardDef board_pc = {
    .name = "pc",
    .summary = "PC with i440FX and PIIX3",
    .guest = "x86_64",
    .vga = "std",
    .drives = "ide",
    .max_cpus = 255,
    .max_memory = 1ull << 40,
    .build = build,
    .destroy = destroy,
    .reset_cpu = x86_reset_cpu,
    .after_reset = after_reset,
    .plug = plug,
    .power_button = power_button,
    .wake = wake,
    .has_power = has_power,
    .after_wake = after_wake,
};
