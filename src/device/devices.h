/* The descriptions of all devices, for the list of them and for boards. */
#ifndef DEVICE_DEVICES_H
#define DEVICE_DEVICES_H

#include "device/core/device.h"

extern const DeviceDef device_ahci;
extern const DeviceDef device_acpi_ged;
extern const DeviceDef device_apic;
extern const DeviceDef device_cfi_pflash01;
extern const DeviceDef device_cirrus_vga;
extern const DeviceDef device_fw_cfg;
extern const DeviceDef device_hpet;
extern const DeviceDef device_i440fx;
extern const DeviceDef device_i6300esb;
extern const DeviceDef device_i8042;
extern const DeviceDef device_i8237;
extern const DeviceDef device_i8259;
extern const DeviceDef device_ich9_ahci;
extern const DeviceDef device_ide_cd;
extern const DeviceDef device_ide_hd;
extern const DeviceDef device_ioapic;
extern const DeviceDef device_isa_debug_exit;
extern const DeviceDef device_isa_debugcon;
extern const DeviceDef device_isa_fdc;
extern const DeviceDef device_isa_parallel;
extern const DeviceDef device_isa_pcspk;
extern const DeviceDef device_isa_pit;
extern const DeviceDef device_isa_serial;
extern const DeviceDef device_mc146818rtc;
extern const DeviceDef device_nvme;
extern const DeviceDef device_pc_testdev;
extern const DeviceDef device_piix3;
extern const DeviceDef device_piix3_ide;
extern const DeviceDef device_piix4_pm;
extern const DeviceDef device_port92;
extern const DeviceDef device_pvpanic;
extern const DeviceDef device_pvpanic_pci;
extern const DeviceDef device_vga;
extern const DeviceDef device_virtio_balloon_device;
extern const DeviceDef device_virtio_balloon_pci;
extern const DeviceDef device_virtio_blk_device;
extern const DeviceDef device_virtio_blk_pci;
extern const DeviceDef device_virtio_net_device;
extern const DeviceDef device_virtio_net_pci;
extern const DeviceDef device_virtio_rng_device;
extern const DeviceDef device_virtconsole;
extern const DeviceDef device_virtio_rng_pci;
extern const DeviceDef device_virtio_serial_device;
extern const DeviceDef device_virtio_serial_pci;
extern const DeviceDef device_virtserialport;

#endif
