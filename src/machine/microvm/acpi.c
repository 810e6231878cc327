/* ACPI tables of the microvm board: hardware-reduced (ACPI 6.4, 4.1), so without the PC's power
 * management registers; sleep and reset registers and events are those of acpi-ged. */
#include <string.h>

#include "base/bytes.h"
#include "device/misc/acpi_ged.h"
#include "machine/microvm/microvm.h"
#include "machine/x86/acpi.h"

/* The method that the interrupt runs: takes the events and tells whom they concern (5.6.9). */
static void add_event_method(Aml *aml)
{
    aml_begin_method(aml, "_EVT", 1, true);
    aml_byte(aml, AML_STORE);
    aml_name_string(aml, "EVTS");
    aml_byte(aml, AML_LOCAL0);
    aml_begin_if(aml);
    aml_byte(aml, AML_AND);
    aml_byte(aml, AML_LOCAL0);
    aml_integer(aml, ACPI_GED_POWER_BUTTON);
    aml_byte(aml, AML_NULL);
    aml_byte(aml, AML_NOTIFY);
    aml_name_string(aml, "\\_SB.PWRB");
    aml_integer(aml, 0x80); /* it was pressed */
    aml_end(aml);
    aml_end(aml);
}

static void add_events(Aml *aml)
{
    static const u32 line[] = {MICROVM_LINE_GED};

    aml_begin_device(aml, "GED");
    aml_name_string_value(aml, "_HID", "ACPI0013");
    aml_name_integer(aml, "_UID", 0);
    aml_begin_resources(aml, "_CRS");
    aml_interrupt(aml, line, 1);
    aml_end_resources(aml);
    aml_operation_region(aml, "EREG", 0, MICROVM_GED + ACPI_GED_EVENTS, 4);
    aml_begin_field(aml, "EREG", 3);
    aml_field_element(aml, "EVTS", 32);
    aml_end(aml);
    add_event_method(aml);
    aml_end(aml);
    aml_begin_device(aml, "PWRB");
    aml_name_eisa(aml, "_HID", "PNP0C0C");
    aml_name_integer(aml, "_UID", 0);
    aml_end(aml);
}

/* The slots that have something in them; by this id Linux finds virtio-mmio devices. */
static void add_slots(const Microvm *vm, Aml *aml)
{
    for (u32 slot = 0; slot < MICROVM_SLOTS && vm->slots[slot]; slot++) {
        char name[] = {'V', 'R', (char)('0' + slot / 10), (char)('0' + slot % 10), 0};
        u32 line = microvm_slot_line(slot);
        aml_begin_device(aml, name);
        aml_name_string_value(aml, "_HID", "LNRO0005");
        aml_name_integer(aml, "_UID", slot);
        aml_name_integer(aml, "_CCA", 1);
        aml_begin_resources(aml, "_CRS");
        aml_memory32(aml, (u32)microvm_slot_address(slot), MICROVM_SLOT_SIZE);
        aml_interrupt(aml, &line, 1);
        aml_end_resources(aml);
        aml_end(aml);
    }
}

static u32 add_dsdt(const Microvm *vm, AcpiTables *tables)
{
    Aml aml = {0};
    u32 start = acpi_begin(tables, "DSDT", 2);

    aml_begin_scope(&aml, "\\_SB");
    x86_add_isa_device(&aml, "RTC", "PNP0B00", 0x70, 2, 0, 0, MICROVM_LINE_CLOCK);
    x86_add_serial_devices(&aml, vm->machine);
    add_events(&aml);
    add_slots(vm, &aml);
    x86_add_cpus(&aml, vm->machine);
    aml_end(&aml);
    x86_add_sleep_state(&aml, "\\_S5", ACPI_GED_SLEEP_S5);
    acpi_append(tables, aml.bytes, aml.size);
    aml_free(&aml);
    acpi_end(tables, start, false);
    return start;
}

/* A byte of memory as a generic address (5.2.3.2). */
static void put_address(u8 *at, u64 address)
{
    at[1] = 8; /* bits */
    at[3] = 1; /* bytes at once */
    put_le(at + 4, address, 8);
}

/* FADT (5.2.9): nearly everything in it is zero here. */
static void add_fadt(AcpiTables *tables, u32 dsdt)
{
    enum {
        SIZE = 276,
        BODY = 44, /* where `body` begins in the table */
        BOOT_FLAGS = 109 - BODY,
        FLAGS = 112 - BODY,
        RESET_REGISTER = 116 - BODY,
        RESET_VALUE = 128 - BODY,
        SLEEP_CONTROL = 244 - BODY,
        SLEEP_STATUS = 256 - BODY,
        NO_VGA = 1 << 2,
        WBINVD = 1 << 0,
        NO_FIXED_BUTTONS = 1 << 4 | 1 << 5,
        HAS_RESET = 1 << 10,
        HARDWARE_REDUCED = 1 << 20,
    };
    u32 start = acpi_begin(tables, "FACP", 6);
    u8 body[SIZE - BODY] = {0};

    acpi_append_number(tables, 0, 4); /* no FACS */
    acpi_append_pointer(tables, dsdt);
    put_le(body + BOOT_FLAGS, NO_VGA, 2);
    put_le(body + FLAGS, WBINVD | NO_FIXED_BUTTONS | HAS_RESET | HARDWARE_REDUCED, 4);
    put_address(body + RESET_REGISTER, MICROVM_GED + ACPI_GED_RESET);
    body[RESET_VALUE] = ACPI_GED_RESET_VALUE;
    put_address(body + SLEEP_CONTROL, MICROVM_GED + ACPI_GED_SLEEP_CONTROL);
    put_address(body + SLEEP_STATUS, MICROVM_GED + ACPI_GED_SLEEP_STATUS);
    acpi_append(tables, body, sizeof body);
    acpi_end(tables, start, true);
}

static void add_madt(const Microvm *vm, AcpiTables *tables)
{
    u32 start = x86_begin_madt(tables, vm->machine, vm->x86.pic ? X86_MADT_PIC : 0);

    x86_add_override(tables, 0, MICROVM_LINE_TIMER, 0);
    acpi_end(tables, start, true);
}

static void make_tables(const Microvm *vm, AcpiTables *tables)
{
    add_fadt(tables, add_dsdt(vm, tables));
    add_madt(vm, tables);
    acpi_finish(tables);
}

void microvm_acpi_to_firmware(Microvm *vm)
{
    AcpiTables tables = {0};

    make_tables(vm, &tables);
    x86_tell_acpi(&tables, vm->fw_cfg);
    acpi_free(&tables);
}

bool microvm_write_acpi(Microvm *vm)
{
    AcpiTables tables = {0};
    bool fits;

    make_tables(vm, &tables);
    fits = acpi_write(&tables, vm->machine->ram->host + MICROVM_TABLES, MICROVM_TABLES_SIZE,
                      MICROVM_TABLES);
    acpi_free(&tables);
    return fits;
}
