/* The standard graphics adapter. See vga_pci.c. */
#ifndef DEVICE_DISPLAY_VGA_PCI_H
#define DEVICE_DISPLAY_VGA_PCI_H

#include "device/core/device.h"

/* Switches to a linear frame buffer of 32 bits a pixel, as firmware would; returns its address as
 * the BAR has it, 0 if it has none or is another adapter. */
u64 vga_pci_set_mode(void *device, u16 width, u16 height);
/* Switches to 80 by 25 characters; false if it is another adapter. There is no font: only those see
 * the text who ask for characters. */
bool vga_pci_set_text(void *device);

#endif
