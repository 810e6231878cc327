/* The list of devices: a new one gets a line here and one in devices.h. */
#include "device/devices.h"

#include <string.h>

const DeviceDef *const device_defs[] = {
    &device_ahci,
    &device_acpi_ged,
    &device_apic,
    &device_cfi_pflash01,
    &device_cirrus_vga,
    &device_fw_cfg,
    &device_hpet,
    &device_i440fx,
    &device_i6300esb,
    &device_i8042,
    &device_i8237,
    &device_i8259,
    &device_ich9_ahci,
    &device_ide_cd,
    &device_ide_hd,
    &device_ioapic,
    &device_isa_debug_exit,
    &device_isa_debugcon,
    &device_isa_fdc,
    &device_isa_parallel,
    &device_isa_pcspk,
    &device_isa_pit,
    &device_isa_serial,
    &device_mc146818rtc,
    &device_nvme,
    &device_pc_testdev,
    &device_piix3,
    &device_piix3_ide,
    &device_piix4_pm,
    &device_port92,
    &device_pvpanic,
    &device_pvpanic_pci,
    &device_vga,
    &device_virtconsole,
    &device_virtio_balloon_device,
    &device_virtio_balloon_pci,
    &device_virtio_blk_device,
    &device_virtio_blk_pci,
    &device_virtio_net_device,
    &device_virtio_net_pci,
    &device_virtio_rng_device,
    &device_virtio_rng_pci,
    &device_virtio_serial_device,
    &device_virtio_serial_pci,
    &device_virtserialport,
    NULL,
};

const DeviceDef *device_find(const char *name)
{
    for (size_t i = 0; device_defs[i]; i++) {
        if (!strcmp(device_defs[i]->name, name)) {
            return device_defs[i];
        }
    }
    return NULL;
}
