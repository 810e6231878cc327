/* The PC's 8254 interval timer. See i8254.c. */
#ifndef DEVICE_TIMER_I8254_H
#define DEVICE_TIMER_I8254_H

#include "device/core/device.h"

/* Input GATE of counter 2; those of 0 and 1 are always high. */
void i8254_set_gate(void *device, bool level);

/* Output OUT of a counter, 0..2, now. */
bool i8254_output(void *device, unsigned counter);

/* The frequency in Hz of the square wave that counter 2 makes; 0 when it makes none. */
u32 i8254_tone(void *device);

#endif
