/* ACPI tables' parts that all x86 boards have: see acpi.h. Numbers are of ACPI 6.4. */
#include "machine/x86/acpi.h"

static void number(AcpiTables *tables, u64 value, unsigned size)
{
    acpi_append_number(tables, value, size);
}

/* -- MADT (5.2.12) */

u32 x86_begin_madt(AcpiTables *tables, const Machine *machine, u32 flags)
{
    u32 start = acpi_begin(tables, "APIC", 3);

    number(tables, 0xfee00000, 4);
    number(tables, flags, 4);
    for (u32 i = 0; i < machine->processor_count; i++) {
        number(tables, 0, 1);
        number(tables, 8, 1);
        number(tables, i, 1); /* _UID */
        number(tables, i, 1); /* APIC id */
        number(tables, 1, 4); /* enabled */
    }
    number(tables, 1, 1); /* I/O APIC */
    number(tables, 12, 1);
    number(tables, 0, 2);
    number(tables, 0xfec00000, 4);
    number(tables, 0, 4);
    return start;
}

void x86_add_override(AcpiTables *tables, u8 line, u32 interrupt, u16 flags)
{
    number(tables, 2, 1);
    number(tables, 10, 1);
    number(tables, 0, 1);
    number(tables, line, 1);
    number(tables, interrupt, 4);
    number(tables, flags, 2);
}

/* -- DSDT */

void x86_add_cpus(Aml *aml, const Machine *machine)
{
    static const char digits[] = "0123456789ABCDEF";

    for (u32 i = 0; i < machine->processor_count; i++) {
        char name[] = {'C', 'P', digits[i >> 4 & 15], digits[i & 15], 0};
        aml_begin_device(aml, name);
        aml_name_string_value(aml, "_HID", "ACPI0007");
        aml_name_integer(aml, "_UID", i);
        aml_end(aml);
    }
}

void x86_add_isa_device(Aml *aml, const char *name, const char *id, u16 port, u8 count, u16 port2,
                        u8 count2, u8 line)
{
    aml_begin_device(aml, name);
    aml_name_eisa(aml, "_HID", id);
    aml_begin_resources(aml, "_CRS");
    if (count) {
        aml_io(aml, port, count);
    }
    if (count2) {
        aml_io(aml, port2, count2);
    }
    if (line) {
        aml_irq(aml, (u16)(1u << line));
    }
    aml_end_resources(aml);
    aml_end(aml);
}

void x86_add_serial_devices(Aml *aml, const Machine *machine)
{
    static const u16 ports[MACHINE_SERIAL_PORTS] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    static const char names[MACHINE_SERIAL_PORTS][5] = {"COM1", "COM2", "COM3", "COM4"};

    for (unsigned i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i]) {
            aml_begin_device(aml, names[i]);
            aml_name_eisa(aml, "_HID", "PNP0501");
            aml_name_integer(aml, "_UID", i + 1);
            aml_begin_resources(aml, "_CRS");
            aml_io(aml, ports[i], 8);
            aml_irq(aml, i & 1 ? 1 << 3 : 1 << 4);
            aml_end_resources(aml);
            aml_end(aml);
        }
    }
}

void x86_add_sleep_state(Aml *aml, const char *name, u8 type)
{
    aml_name(aml, name);
    aml_begin_package(aml, 4);
    aml_integer(aml, type);
    aml_integer(aml, type);
    aml_integer(aml, 0);
    aml_integer(aml, 0);
    aml_end(aml);
}
