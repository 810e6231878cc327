/* ACPI tables' parts that all x86 boards have. */
#ifndef MACHINE_X86_ACPI_H
#define MACHINE_X86_ACPI_H

#include "machine/acpi/aml.h"
#include "machine/acpi/tables.h"
#include "machine/machine.h"

/* Begins the MADT (ACPI 6.4, 5.2.12) with a local APIC for each CPU and the I/O APIC, whose inputs
 * are interrupts 0 to 23; flags: X86_MADT_PIC. Returns the table's start for acpi_end(). */
enum { X86_MADT_PIC = 1 }; /* there are 8259s as well */
u32 x86_begin_madt(AcpiTables *tables, const Machine *machine, u32 flags);
/* Interrupt source override: line of the ISA bus, the interrupt that it is. */
void x86_add_override(AcpiTables *tables, u8 line, u32 interrupt, u16 flags);

/* A processor device for each CPU; in the scope \_SB. */
void x86_add_cpus(Aml *aml, const Machine *machine);

/* A device of the ISA bus with ports (count2 0: one range) and a line (0: none). */
void x86_add_isa_device(Aml *aml, const char *name, const char *id, u16 port, u8 count, u16 port2,
                        u8 count2, u8 line);
/* The serial ports that there are. */
void x86_add_serial_devices(Aml *aml, const Machine *machine);

/* Name(name, Package() { type, type, 0, 0 }). */
void x86_add_sleep_state(Aml *aml, const char *name, u8 type);

#endif
