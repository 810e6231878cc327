/* The PIIX3 south bridge's function 0: PCI to ISA. See piix3.c. */
#ifndef DEVICE_PCI_PIIX3_H
#define DEVICE_PCI_PIIX3_H

#include "device/pci/pci.h"

/* PciWires.interrupt: lines 0..3 are PIRQA..D. */
void piix3_interrupt(void *device, unsigned line, bool level);

#endif
