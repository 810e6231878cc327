/* What pci.c and message.c share. */
#ifndef DEVICE_PCI_INTERNAL_H
#define DEVICE_PCI_INTERNAL_H

#include "device/pci/pci.h"

void pci_bus_message(PciBus *bus, u64 address, u32 data);
/* The Region of a BAR; NULL if it has none. */
Region *pci_bar_region(PciFunction *f, unsigned bar);
/* Configuration space was written there: message capabilities may be concerned. */
void pci_message_written(PciFunction *f, u32 at, u32 size);
void pci_message_reset(PciFunction *f);

#endif
