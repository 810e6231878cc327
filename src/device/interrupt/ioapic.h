/* I/O APIC. See ioapic.c. */
#ifndef DEVICE_INTERRUPT_IOAPIC_H
#define DEVICE_INTERRUPT_IOAPIC_H

#include "device/interrupt/apic_bus.h"

enum { IOAPIC_PINS = 24 };

/* Input 0..23: asserted or not, whatever the polarity of the wire. */
void ioapic_input(void *device, unsigned line, bool level);

/* A local APIC ended an interrupt with this vector (called by apic_bus.c). */
void ioapic_end(void *device, u8 vector);

#endif
