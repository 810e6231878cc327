/* The PC's real-time clock and its CMOS memory. See mc146818.c. */
#ifndef DEVICE_TIMER_MC146818_H
#define DEVICE_TIMER_MC146818_H

#include "device/core/device.h"

/* Bytes of the CMOS memory, for boards that describe themselves to their firmware there: index
 * 0x0e..0xff. They keep their values over resets. */
u8 mc146818_get(void *device, u8 index);
void mc146818_set(void *device, u8 index, u8 value);

#endif
