/* A set of ACPI tables (ACPI 6.4, chapter 5): bytes, the pointers between them, and checksums,
 * ready to be put at an address or to be handed to firmware, which does that itself.
 *
 * Must not know any board. */
#ifndef MACHINE_ACPI_TABLES_H
#define MACHINE_ACPI_TABLES_H

#include "base/types.h"

enum { ACPI_POINTERS = 64, ACPI_TABLES = 16, ACPI_HEADER = 36, ACPI_RSDP = 20 };

typedef struct AcpiTables {
    u8 *bytes; /* owned: FACS, DSDT, ... RSDT */
    size_t size, room;
    u8 rsdp[ACPI_RSDP];
    struct {
        u32 at; /* of the pointer, 4 bytes; its value is an offset into `bytes` */
    } pointers[ACPI_POINTERS];
    u32 pointer_count;
    u32 tables[ACPI_TABLES]; /* offsets of those with a checksum */
    u32 table_count;
    u32 listed[ACPI_TABLES]; /* of those, what the RSDT lists */
    u32 listed_count;
} AcpiTables;

void acpi_free(AcpiTables *tables);

/* Begins a table with its header; returns its offset. What is appended is its body. */
u32 acpi_begin(AcpiTables *tables, const char signature[4], u8 revision);
void acpi_append(AcpiTables *tables, const void *bytes, size_t size);
void acpi_append_number(AcpiTables *tables, u64 value, unsigned size);
/* The same of a 32-bit pointer to another offset of the set. */
void acpi_append_pointer(AcpiTables *tables, u32 to);
/* Fills in the length; listed: the RSDT shall have it. */
void acpi_end(AcpiTables *tables, u32 start, bool listed);
/* A table without the usual header (FACS): aligned to 64. */
u32 acpi_add_raw(AcpiTables *tables, const void *bytes, size_t size);

/* Makes RSDT and RSDP: the set is complete. */
void acpi_finish(AcpiTables *tables);

/* Makes pointers and checksums right for the set at `address` and the RSDP anywhere. */
void acpi_relocate(AcpiTables *tables, u32 address);

/* Relocates the set and puts the RSDP, and the set ACPI_SET_AT behind it, into memory of that size
 * that the guest sees at `address`, a multiple of 64. False when they don't fit. */
enum { ACPI_SET_AT = 64 };
bool acpi_write(AcpiTables *tables, u8 *memory, size_t size, u32 address);

/* The linker script of QEMU's docs/specs (table-loader), for the files "etc/acpi/tables" and
 * "etc/acpi/rsdp". To be freed. */
u8 *acpi_loader_script(const AcpiTables *tables, size_t *size);

#endif
