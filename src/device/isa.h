/* What a device on the ISA bus adds to its description (DeviceDef.bus; NULL: it has no line).
 * Its line to the interrupt controllers is the output "irq". */
#ifndef DEVICE_ISA_H
#define DEVICE_ISA_H

#include "device/core/device.h"

typedef struct IsaInfo {
    u32 irq_number; /* offset of the u32 in the device's struct that says which line: 0..15 */
} IsaInfo;

/* The line that a started device wants, or -1. */
static inline int isa_irq_number(const void *device)
{
    const IsaInfo *info = ((const Device *)device)->def->bus;

    return info ? (int)*(const u32 *)(const void *)((const char *)device + info->irq_number) : -1;
}

#endif
