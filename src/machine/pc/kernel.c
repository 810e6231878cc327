/* Starting a kernel directly on the PC: what firmware would have done, done by the board. */
#include <errno.h>

#include "device/display/vga_pci.h"
#include "device/pci/piix4_pm.h"
#include "machine/pc/pc.h"

enum { ROM_AREA = 0xe0000, ROM_AREA_SIZE = 0x20000 }; /* where the RSDP is, then the tables */

int pc_load_kernel(Pc *pc, const MachineOptions *options, char **error)
{
    X86MemoryMap map;

    x86_memory_map(&map, pc->x86.low_size, pc->machine->ram->size);
    pc->kernel = x86_kernel_new(options, &map, ROM_AREA, error);
    return pc->kernel ? 0 : -EINVAL;
}

/* A frame buffer, if there is a graphics adapter. */
static X86Screen set_screen(Pc *pc)
{
    X86Screen screen = {.width = 1024, .height = 768};

    screen.base = pc->vga ? vga_pci_set_mode(pc->vga, screen.width, screen.height) : 0;
    return screen;
}

/* PCI devices and power management's registers in their place, ACPI tables where systems look for
 * them. The firmware's memory is free for them. */
static void stand_in_for_firmware(Pc *pc)
{
    u8 *area = pc->bios->host + pc->bios->size - ROM_AREA_SIZE;

    pci_assign(pc->pci, MAX(pc->x86.low_size, (u64)X86_LOW_LIMIT), PC_PCI_PORTS);
    piix4_pm_enable(pc->pm);
    pc_acpi_to_rom(pc, area, ROM_AREA_SIZE, ROM_AREA);
}

void pc_start_kernel(Pc *pc)
{
    X86Screen screen;

    stand_in_for_firmware(pc);
    screen = set_screen(pc);
    x86_kernel_start(pc->kernel, pc->machine, &screen);
}
