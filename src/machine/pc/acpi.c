/* The PC's ACPI tables: FADT, FACS, DSDT, MADT, HPET (ACPI 6.4; IA-PC HPET specification 1.0a). */
#include <string.h>

#include "device/devices.h"
#include "device/misc/pvpanic.h"
#include "device/pci/piix4_pm.h"
#include "machine/pc/pc.h"
#include "machine/x86/acpi.h"

enum { SCI = 9, FACS_SIZE = 64 };

/* -- DSDT: one function for each thing in it */

static void add_status(Aml *aml, u8 status)
{
    aml_name_integer(aml, "_STA", status);
}

static void add_pvpanic(const Pc *pc, Aml *aml)
{
    for (const Device *device = pc->machine->devices; device; device = device->next) {
        if (device->def == &device_pvpanic) {
            aml_begin_device(aml, "PEVT");
            aml_name_string_value(aml, "_HID", "QEMU0001");
            aml_begin_resources(aml, "_CRS");
            aml_io(aml, (u16)pvpanic_port(device), 1);
            aml_end_resources(aml);
            add_status(aml, 0xf);
            aml_end(aml);
        }
    }
}

static void add_isa_bus(const Pc *pc, Aml *aml)
{
    aml_begin_device(aml, "ISA");
    aml_name_integer(aml, "_ADR", 0x00010000);
    aml_operation_region(aml, "PIRQ", 2, 0x60, 4);
    aml_begin_field(aml, "PIRQ", 1);
    aml_field_element(aml, "PRQA", 8);
    aml_field_element(aml, "PRQB", 8);
    aml_field_element(aml, "PRQC", 8);
    aml_field_element(aml, "PRQD", 8);
    aml_end(aml);
    x86_add_isa_device(aml, "RTC", "PNP0B00", 0x70, 2, 0, 0, 8);
    x86_add_isa_device(aml, "KBD", "PNP0303", 0x60, 1, 0x64, 1, 1);
    x86_add_isa_device(aml, "MOU", "PNP0F13", 0, 0, 0, 0, 12);
    x86_add_serial_devices(aml, pc->machine);
    add_pvpanic(pc, aml);
    aml_end(aml);
}

/* A slot's pins go to the links in turn: pin n of slot s to link (s + n) % 4. */
static void add_routing(Aml *aml)
{
    static const char links[4][5] = {"LNKA", "LNKB", "LNKC", "LNKD"};

    aml_name(aml, "_PRT");
    aml_begin_package(aml, PCI_SLOTS * 4);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            aml_begin_package(aml, 4);
            aml_integer(aml, slot << 16 | 0xffff);
            aml_integer(aml, pin);
            aml_name_string(aml, links[(slot + pin) & 3]);
            aml_integer(aml, 0);
            aml_end(aml);
        }
    }
    aml_end(aml);
}

static void add_root_bus(const Pc *pc, Aml *aml)
{
    aml_begin_device(aml, "PCI0");
    aml_name_eisa(aml, "_HID", "PNP0A03");
    aml_name_integer(aml, "_UID", 0);
    aml_begin_resources(aml, "_CRS");
    aml_word_bus(aml, 0, 0xff);
    aml_io(aml, 0xcf8, 8);
    aml_word_io(aml, 0x0000, 0x0cf7);
    aml_word_io(aml, 0x0d00, 0xffff);
    aml_dword_memory(aml, 0xa0000, 0xbffff, true);
    aml_dword_memory(aml, (u32)MAX(pc->x86.low_size, (u64)0x80000000), 0xfebfffff, false);
    aml_end_resources(aml);
    add_routing(aml);
    add_isa_bus(pc, aml);
    aml_end(aml);
}

/* If (PRQx & 0x80) { Return (0x09) } Return (0x0b) */
static void add_link_status(Aml *aml, const char *route)
{
    aml_begin_method(aml, "_STA", 0, false);
    aml_begin_if(aml);
    aml_byte(aml, AML_AND);
    aml_name_string(aml, route);
    aml_integer(aml, 0x80);
    aml_byte(aml, AML_NULL);
    aml_byte(aml, AML_RETURN);
    aml_integer(aml, 0x09);
    aml_end(aml);
    aml_byte(aml, AML_RETURN);
    aml_integer(aml, 0x0b);
    aml_end(aml);
}

static void add_link_disable(Aml *aml, const char *route)
{
    aml_begin_method(aml, "_DIS", 0, false);
    aml_byte(aml, AML_OR);
    aml_name_string(aml, route);
    aml_integer(aml, 0x80);
    aml_name_string(aml, route);
    aml_end(aml);
}

/* A template whose number is the route's, unless that is off. */
static void add_link_current(Aml *aml, const char *route)
{
    static const u32 none[] = {0};

    aml_begin_resources(aml, "BUF");
    aml_interrupt(aml, none, 1);
    aml_end_resources(aml);
    aml_begin_method(aml, "_CRS", 0, true);
    aml_byte(aml, AML_CREATE_DWORD);
    aml_name_string(aml, "BUF");
    aml_integer(aml, 5);
    aml_name_string(aml, "NUM");
    aml_begin_if(aml);
    aml_byte(aml, AML_NOT);
    aml_byte(aml, AML_AND);
    aml_name_string(aml, route);
    aml_integer(aml, 0x80);
    aml_byte(aml, AML_NULL);
    aml_byte(aml, AML_STORE);
    aml_name_string(aml, route);
    aml_name_string(aml, "NUM");
    aml_end(aml);
    aml_byte(aml, AML_RETURN);
    aml_name_string(aml, "BUF");
    aml_end(aml);
}

static void add_link_set(Aml *aml, const char *route)
{
    aml_begin_method(aml, "_SRS", 1, false);
    aml_byte(aml, AML_CREATE_DWORD);
    aml_byte(aml, AML_ARG0);
    aml_integer(aml, 5);
    aml_name_string(aml, "SET");
    aml_byte(aml, AML_STORE);
    aml_name_string(aml, "SET");
    aml_name_string(aml, route);
    aml_end(aml);
}

static void add_links(Aml *aml)
{
    static const u32 possible[] = {5, 10, 11};

    for (char letter = 'A'; letter <= 'D'; letter++) {
        char link[] = {'L', 'N', 'K', letter, 0};
        char route[] = "\\_SB.PCI0.ISA.PRQ_";
        route[strlen(route) - 1] = letter;
        aml_begin_device(aml, link);
        aml_name_eisa(aml, "_HID", "PNP0C0F");
        aml_name_integer(aml, "_UID", (u64)(letter - 'A'));
        aml_begin_resources(aml, "_PRS");
        aml_interrupt(aml, possible, COUNT(possible));
        aml_end_resources(aml);
        add_link_status(aml, route);
        add_link_disable(aml, route);
        add_link_current(aml, route);
        add_link_set(aml, route);
        aml_end(aml);
    }
}

static void add_hpet_device(Aml *aml)
{
    aml_begin_device(aml, "HPET");
    aml_name_eisa(aml, "_HID", "PNP0103");
    aml_name_integer(aml, "_UID", 0);
    add_status(aml, 0x0f);
    aml_begin_resources(aml, "_CRS");
    aml_memory32(aml, PC_HPET_ADDRESS, 0x400);
    aml_end_resources(aml);
    aml_end(aml);
}

static u32 add_dsdt(const Pc *pc, AcpiTables *tables)
{
    Aml aml = {0};
    u32 start = acpi_begin(tables, "DSDT", 2);

    aml_begin_scope(&aml, "\\_SB");
    add_root_bus(pc, &aml);
    add_links(&aml);
    if (pc->hpet) {
        add_hpet_device(&aml);
    }
    x86_add_cpus(&aml, pc->machine);
    aml_end(&aml);
    x86_add_sleep_state(&aml, "\\_S3", PIIX4_SLEEP_S3);
    x86_add_sleep_state(&aml, "\\_S5", PIIX4_SLEEP_S5);
    acpi_append(tables, aml.bytes, aml.size);
    aml_free(&aml);
    acpi_end(tables, start, false);
    return start;
}

/* -- FADT (5.2.9), FACS (5.2.10) */

static u32 add_facs(AcpiTables *tables)
{
    u8 facs[FACS_SIZE] = "FACS";

    facs[4] = FACS_SIZE;
    facs[32] = 1; /* version */
    return acpi_add_raw(tables, facs, sizeof facs);
}

static void number(AcpiTables *tables, u64 value, unsigned size)
{
    acpi_append_number(tables, value, size);
}

/* A generic address: space (1: ports), bits, offset, access size, address. */
static void generic_address(AcpiTables *tables, u8 space, u8 bits, u64 address)
{
    number(tables, space, 1);
    number(tables, bits, 1);
    number(tables, 0, 2);
    number(tables, address, 8);
}

static void add_fadt(const Pc *pc, AcpiTables *tables, u32 facs, u32 dsdt)
{
    enum { WBINVD = 1, C1 = 1 << 2, SLEEP_BUTTON = 1 << 5, RESET_REGISTER = 1 << 10 };
    enum { LEGACY_DEVICES = 1, KEYBOARD_8042 = 2 };
    u32 start = acpi_begin(tables, "FACP", 3);
    u16 pm = piix4_pm_base(pc->pm);

    pm = pm ? pm : PIIX4_PM_BASE; /* what firmware will do */
    acpi_append_pointer(tables, facs);
    acpi_append_pointer(tables, dsdt);
    number(tables, 0, 1); /* reserved */
    number(tables, 1, 1); /* profile: desktop */
    number(tables, SCI, 2);
    number(tables, PIIX4_SMI_PORT, 4);
    number(tables, PIIX4_ACPI_ENABLE, 1);
    number(tables, PIIX4_ACPI_DISABLE, 1);
    number(tables, 0, 2);       /* S4BIOS, P states */
    number(tables, pm, 4);      /* PM1a event */
    number(tables, 0, 4);       /* PM1b event */
    number(tables, pm + 4u, 4); /* PM1a control */
    number(tables, 0, 4);       /* PM1b control */
    number(tables, 0, 4);       /* PM2 control */
    number(tables, pm + 8u, 4); /* timer */
    number(tables, PIIX4_GPE_BASE, 4);
    number(tables, 0, 4); /* GPE1 */
    number(tables, 4, 1); /* lengths: PM1 event, */
    number(tables, 2, 1); /* PM1 control, */
    number(tables, 0, 1); /* PM2 control, */
    number(tables, 4, 1); /* timer, */
    number(tables, 4, 1); /* GPE0, */
    number(tables, 0, 1); /* GPE1 */
    number(tables, 0, 2); /* GPE1's base, C states */
    number(tables, 0xfff, 2);
    number(tables, 0xfff, 2); /* no C2, C3 */
    number(tables, 0, 4);     /* cache flushing */
    number(tables, 0, 4);     /* duty cycle, alarm's day and month */
    number(tables, 0x32, 1);  /* century in the CMOS */
    number(tables, LEGACY_DEVICES | KEYBOARD_8042, 2);
    number(tables, 0, 1);
    number(tables, WBINVD | C1 | SLEEP_BUTTON | RESET_REGISTER, 4);
    generic_address(tables, 1, 8, 0xcf9);
    number(tables, 0x0e, 1); /* what to write there */
    number(tables, 0, 3);
    for (unsigned i = 0; i < 2; i++) { /* 64-bit addresses of FACS and DSDT: none */
        number(tables, 0, 8);
    }
    generic_address(tables, 1, 32, pm);
    generic_address(tables, 0, 0, 0);
    generic_address(tables, 1, 16, pm + 4u);
    generic_address(tables, 0, 0, 0);
    generic_address(tables, 0, 0, 0);
    generic_address(tables, 1, 32, pm + 8u);
    generic_address(tables, 1, 32, PIIX4_GPE_BASE);
    generic_address(tables, 0, 0, 0);
    acpi_end(tables, start, true);
}

/* -- MADT (5.2.12) */

static void add_madt(const Pc *pc, AcpiTables *tables)
{
    enum { LEVEL_HIGH = 0xd, PCI_LINES = 1 << 5 | 1 << SCI | 1 << 10 | 1 << 11 };
    u32 start = x86_begin_madt(tables, pc->machine, X86_MADT_PIC);

    x86_add_override(tables, 0, 2, 0);
    for (u8 line = 0; line < PC_ISA_LINES; line++) {
        if (PCI_LINES >> line & 1) {
            x86_add_override(tables, line, line, LEVEL_HIGH);
        }
    }
    number(tables, 4, 1); /* NMI at LINT1 of all */
    number(tables, 6, 1);
    number(tables, 0xff, 1);
    number(tables, 0, 2);
    number(tables, 1, 1);
    acpi_end(tables, start, true);
}

static void add_hpet(AcpiTables *tables)
{
    u32 start = acpi_begin(tables, "HPET", 1);

    number(tables, 0x8086a201, 4); /* event timer block */
    generic_address(tables, 0, 0, PC_HPET_ADDRESS);
    number(tables, 0, 1);
    number(tables, 0, 2);
    number(tables, 0, 1);
    acpi_end(tables, start, true);
}

static void make_tables(const Pc *pc, AcpiTables *tables)
{
    u32 facs = add_facs(tables), dsdt = add_dsdt(pc, tables);

    add_fadt(pc, tables, facs, dsdt);
    add_madt(pc, tables);
    if (pc->hpet) {
        add_hpet(tables);
    }
    acpi_finish(tables);
}

void pc_acpi_to_firmware(Pc *pc)
{
    AcpiTables tables = {0};

    make_tables(pc, &tables);
    x86_tell_acpi(&tables, pc->fw_cfg);
    acpi_free(&tables);
}

u32 pc_acpi_to_memory(Pc *pc, u8 *memory, u32 size, u32 address)
{
    AcpiTables tables = {0};
    bool fits;

    make_tables(pc, &tables);
    fits = acpi_write(&tables, memory, size, address);
    acpi_free(&tables);
    return fits ? address + ACPI_SET_AT : 0; /* the FACS is the first of them */
}
