/* The interrupt messages of x86: what I/O APICs, devices (MSI) and local APICs send each other, and
 * who gets them. Intel SDM volume 3, chapter 11 (interprocessor and I/O interrupts: 11.6 to 11.8,
 * message signalled interrupts: 11.11). Everything is called under the machine lock. */
#ifndef DEVICE_INTERRUPT_APIC_BUS_H
#define DEVICE_INTERRUPT_APIC_BUS_H

#include "device/core/device.h"

typedef enum DeliveryMode {
    DELIVER_FIXED,
    DELIVER_LOWEST,
    DELIVER_SMI,
    DELIVER_NMI = 4,
    DELIVER_INIT,
    DELIVER_STARTUP,
    DELIVER_EXTERNAL, /* the vector comes from the 8259s */
} DeliveryMode;

typedef struct ApicMessage {
    u32 destination;
    bool logical; /* the destination is one */
    bool wide;    /* it has 32 bits, not 8 */
    bool level;   /* triggered by level: whoever sent it hears of the end of interrupt */
    u8 mode;      /* DeliveryMode */
    u8 vector;
} ApicMessage;

enum { APIC_BUS_LOCAL = 256, APIC_BUS_IO = 8 }; /* at most */

/* Zero it; devices enter themselves as they start and leave as they stop. */
typedef struct ApicBus {
    void *local[APIC_BUS_LOCAL]; /* by APIC id; NULL: none */
    void *io[APIC_BUS_IO];
    u32 last; /* who got the last message for the lowest priority */
} ApicBus;

/* Returns whether there is somebody who takes it. */
bool apic_bus_send(ApicBus *bus, const ApicMessage *message);

/* A 32-bit write of `data` to an address of 0xfeexxxxx. */
void apic_bus_send_msi(ApicBus *bus, u64 address, u32 data);

/* A local APIC ends a level-triggered interrupt. */
void apic_bus_end(ApicBus *bus, u8 vector);

#endif
