/* What a device on the ISA bus adds to its description (DeviceDef.bus).
 * Its line to the interrupt controllers is the output "irq". */
#ifndef DEVICE_ISA_H
#define DEVICE_ISA_H

#include "device/core/device.h"

typedef struct IsaInfo {
    u32 irq_number; /* offset of the u32 in the device's struct that says which line: 0..15 */
} IsaInfo;

/* The line that a device wants; properties must be set. */
static inline u32 isa_irq_number(const void *device)
{
    const IsaInfo *info = ((const Device *)device)->def->bus;

    return *(const u32 *)((const char *)device + info->irq_number);
}

#endif
