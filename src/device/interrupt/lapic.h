/* Local APIC: one for each x86 CPU, which calls it for its registers, its priority and to accept an
 * interrupt. See lapic.c. Everything is called under the machine lock. */
#ifndef DEVICE_INTERRUPT_LAPIC_H
#define DEVICE_INTERRUPT_LAPIC_H

#include "device/interrupt/apic_bus.h"

/* What the CPU supplies. */
typedef struct LapicCpu {
    void *opaque;
    /* INTR: lapic_acknowledge() has something. */
    void (*interrupt)(void *opaque, bool level);
    void (*nmi)(void *opaque);
    void (*smi)(void *opaque);
    void (*init)(void *opaque);
    void (*startup)(void *opaque, u8 vector);
    /* When, on the board's clock, the CPU's TSC reaches a value. */
    u64 (*tsc_time)(void *opaque, u64 tsc);
} LapicCpu;

/* To be called before the first reset; `cpu` is copied. */
void lapic_attach(void *device, const LapicCpu *cpu);

/* Inputs LINT0 (the 8259s' INTR) and LINT1 (NMI). */
void lapic_input(void *device, unsigned line, bool level);

/* The CPU accepts an interrupt: its vector, -1 if there is none any more, LAPIC_EXTERNAL if the
 * 8259s are to be asked. */
enum { LAPIC_EXTERNAL = -2 };
int lapic_acknowledge(void *device);

/* The physical address of the registers' page; ~0 if there is none (disabled, or in x2APIC mode).
 * It changes with IA32_APIC_BASE only. */
u64 lapic_address(const void *device);
/* Registers by their offset in the page. */
u64 lapic_read(void *device, u64 offset, unsigned size);
void lapic_write(void *device, u64 offset, unsigned size, u64 value);

/* IA32_APIC_BASE, IA32_TSC_DEADLINE and, in x2APIC mode, 0x800..0x8ff: false: no such register, or
 * not this value (a general protection exception). */
bool lapic_msr_read(void *device, u32 index, u64 *value);
bool lapic_msr_write(void *device, u32 index, u64 value);

/* The class of the task priority, 0..15 (CR8). */
u8 lapic_priority(const void *device);
void lapic_set_priority(void *device, u8 priority);

/* -- For apic_bus.c */

bool lapic_is_enabled(const void *device);
bool lapic_is_addressed(const void *device, const ApicMessage *message);
u8 lapic_busyness(const void *device);
void lapic_deliver(void *device, const ApicMessage *message);

#endif
