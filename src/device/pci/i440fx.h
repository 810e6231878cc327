/* The PC's i440FX host bridge (82441FX PMC). See i440fx.c. */
#ifndef DEVICE_PCI_I440FX_H
#define DEVICE_PCI_I440FX_H

#include "device/pci/pci.h"

/* What the bridge stands between; before device_start(). ram: the machine's, whose first megabyte
 * shows through the shadow windows. bios: the firmware, whose last 128 KiB show at 0xe0000. */
void i440fx_wire(void *device, PciBus *bus, RamBlock *ram, RamBlock *bios);

/* The SMRAM window, which a CPU in system management mode sees in front of everything else; it is
 * there while the guest has it enabled. After device_start(). */
AddressSpace *i440fx_smram(void *device);

#endif
