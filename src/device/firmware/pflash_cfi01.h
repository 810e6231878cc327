/* Parallel NOR flash of Intel's command set. See pflash_cfi01.c. */
#ifndef DEVICE_FIRMWARE_PFLASH_CFI01_H
#define DEVICE_FIRMWARE_PFLASH_CFI01_H

#include "device/core/device.h"

/* What the flash holds, once it is started; the device's. */
RamBlock *pflash_ram(void *device);

#endif
