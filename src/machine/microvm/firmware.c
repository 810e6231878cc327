/* Firmware of the microvm board: SeaBIOS as it is built for such machines, which finds virtio disks
 * over MMIO by the ACPI tables, and has its console on the serial port. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/firmware/fw_cfg.h"
#include "device/timer/mc146818.h"
#include "machine/boot_order.h"
#include "machine/microvm/microvm.h"

static const char *const places[] = {
    "/usr/share/seabios/bios-microvm.bin",
    "/usr/share/qemu/bios-microvm.bin",
    NULL,
};

int microvm_load_firmware(Microvm *vm, const MachineOptions *options, char **error)
{
    RamBlock *rom = x86_load_firmware(options, places, error);

    if (!rom) {
        return -ENOENT;
    }
    vm->firmware = rom;
    vm->firmware_region =
        (Region){.name = "bios", .size = rom->size, .read_only = true, .ram = rom};
    space_add(vm->machine->board.memory, &vm->firmware_region, (1ull << 32) - rom->size);
    return 0;
}

/* There is no chipset that would switch between ROM and RAM: it runs from RAM. */
void microvm_copy_firmware(Microvm *vm)
{
    memcpy(vm->machine->ram->host + (1 << 20) - X86_LOW_ROM,
           vm->firmware->host + vm->firmware->size - X86_LOW_ROM, X86_LOW_ROM);
}

static void tell_boot_order(Microvm *vm, const MachineOptions *options)
{
    size_t size;
    char *text;

    x86_tell_boot(options, vm->fw_cfg);
    if (boot_order_is_given(vm->machine)) {
        text = boot_order_text(vm->machine, options->boot_order ? options->boot_order : "c", &size);
        fw_cfg_set_file(vm->fw_cfg, "bootorder", text, size);
        free(text);
    }
}

void microvm_tell_firmware(Microvm *vm, const MachineOptions *options)
{
    u8 port[2];

    if (vm->machine->serial[0]) {
        put_le(port, 0x3f8, sizeof port);
        fw_cfg_set_file(vm->fw_cfg, "etc/sercon-port", port, sizeof port);
    }
    tell_boot_order(vm, options);
    x86_tell_memory(&vm->x86, vm->fw_cfg);
    microvm_acpi_to_firmware(vm);
    mc146818_set(vm->clock, 0x5f, (u8)(vm->machine->processor_count - 1));
}
