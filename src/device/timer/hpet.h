/* High precision event timer. See hpet.c. */
#ifndef DEVICE_TIMER_HPET_H
#define DEVICE_TIMER_HPET_H

#include "device/core/device.h"

/* Inputs from the interval timer (0) and the real-time clock (1): they go through to the outputs
 * "legacy" unless the HPET replaces them. */
void hpet_input(void *device, unsigned line, bool level);

#endif
