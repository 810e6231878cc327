/* In which order the firmware is to try the devices that hold systems. See boot_order.c. */
#ifndef MACHINE_BOOT_ORDER_H
#define MACHINE_BOOT_ORDER_H

#include "machine/machine.h"

/* Whether the user said anything about it. */
bool boot_order_is_given(const Machine *machine);
/* The contents of the fw_cfg file "bootorder", to be freed: devices with a boot index, then those
 * that `letters` stand for (a floppy, c disk, d CD, n network). */
char *boot_order_text(const Machine *machine, const char *letters, size_t *size);

#endif
