/* Starting a kernel directly on the PC: what firmware would have done, done by the board. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "device/display/vga_pci.h"
#include "device/pci/piix4_pm.h"
#include "machine/pc/pc.h"

/* Where kernels look for the RSDP, and for the entry point of SMBIOS; tables follow them. */
enum { ACPI_AT = 0xe0000, SMBIOS_AT = 0xf0000, AREA_SIZE = 0x10000 };

int pc_load_kernel(Pc *pc, const MachineOptions *options, char **error)
{
    X86MemoryMap map;

    x86_memory_map(&map, pc->x86.low_size, pc->machine->ram->size);
    pc->kernel = x86_kernel_new(options, &map, ACPI_AT, error);
    return pc->kernel ? 0 : -EINVAL;
}

/* A frame buffer or text, if there is a graphics adapter. */
static X86Screen set_screen(Pc *pc)
{
    X86Screen screen = {.width = 1024, .height = 768};
    bool text = pc->machine->options->text_screen || !x86_kernel_takes_screen(pc->kernel);

    if (pc->vga && text && vga_pci_set_text(pc->vga)) {
        screen.text = true;
        return screen;
    }
    screen.base = pc->vga ? vga_pci_set_mode(pc->vga, screen.width, screen.height) : 0;
    return screen;
}

/* The 8259s' vectors are 8 and 70h as ever since the PC AT; everything is masked but the second
 * one, for there are no handlers yet. */
static void set_up_interrupts(Pc *pc)
{
    static const struct {
        u16 port;
        u8 value;
    } writes[] = {
        {0x20, 0x11}, {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01}, {0x21, 0xfb},
        {0xa0, 0x11}, {0xa1, 0x70}, {0xa1, 0x02}, {0xa1, 0x01}, {0xa1, 0xff},
    };

    for (size_t n = 0; n < COUNT(writes); n++) {
        map_write(&pc->machine->processors[0].ports, writes[n].port, 1, writes[n].value, NULL);
    }
}

static void place_devices(Pc *pc)
{
    pci_assign(pc->pci, MAX(pc->x86.low_size, (u64)X86_LOW_LIMIT), PC_PCI_PORTS);
    piix4_pm_enable(pc->pm);
    set_up_interrupts(pc);
}

/* RAM takes the place of the firmware's ROM below 1 MiB (82441FX data sheet, 3.2.18): the kernel
 * writes to the FACS among the tables. */
static void shadow_rom(Pc *pc)
{
    pci_config_write(pc->pci, 0, 0, 0x59, 1, 0x30);   /* 0xf0000 */
    pci_config_write(pc->pci, 0, 0, 0x5e, 2, 0x3333); /* 0xe0000 */
}

void pc_start_kernel(Pc *pc)
{
    u8 *ram = pc->machine->ram->host;
    X86Screen screen;

    place_devices(pc);
    shadow_rom(pc);
    memset(ram + ACPI_AT, 0, AREA_SIZE);
    pc->facs = pc_acpi_to_memory(pc, ram + ACPI_AT, AREA_SIZE, ACPI_AT);
    smbios_write(&pc->smbios, ram + SMBIOS_AT, AREA_SIZE, SMBIOS_AT);
    screen = set_screen(pc);
    x86_kernel_start(pc->kernel, pc->machine, &screen);
}

void pc_wake_kernel(Pc *pc)
{
    enum { WAKING_VECTOR = 12 }; /* in the FACS */
    const u8 *facs = pc->machine->ram->host + pc->facs;

    place_devices(pc);
    x86_enter_waking_vector(pc->machine, (u32)get_le(facs + WAKING_VECTOR, 4));
}
