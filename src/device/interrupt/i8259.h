/* The PC's pair of 8259A interrupt controllers: lines 0..15, one INTR output. See i8259.c. */
#ifndef DEVICE_INTERRUPT_I8259_H
#define DEVICE_INTERRUPT_I8259_H

#include "device/core/device.h"

/* An input: 0..7 of the master (2 is the slave's and must not be used), 8..15 of the slave. */
void i8259_input(void *device, unsigned line, bool level);

/* What the CPU's interrupt acknowledge cycles get: a vector, that of a spurious interrupt if there
 * is no request. */
u8 i8259_acknowledge(void *device);

#endif
