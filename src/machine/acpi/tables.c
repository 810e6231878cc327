/* ACPI tables as a set: see tables.h. */
#include "machine/acpi/tables.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    CHECKSUM_AT = 9,
    LENGTH_AT = 4,
    RSDP_CHECKSUM_AT = 8,
    RSDP_RSDT_AT = 16,
    LOADER_ENTRY = 128,
    LOADER_NAME = 56,
    LOADER_ALLOCATE = 1,
    LOADER_POINTER = 2,
    LOADER_CHECKSUM = 3,
    ZONE_HIGH = 1,
    ZONE_LOW = 2, /* 0xe0000 to 0xfffff, where the RSDP is looked for */
};

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

void acpi_free(AcpiTables *tables)
{
    free(tables->bytes);
    *tables = (AcpiTables){0};
}

void acpi_append(AcpiTables *tables, const void *bytes, size_t size)
{
    if (!tables->bytes || tables->room - tables->size < size) {
        tables->room = MAX(tables->room * 2, tables->size + size + 4096);
        tables->bytes = realloc(tables->bytes, tables->room);
        if (!tables->bytes) {
            abort();
        }
    }
    memcpy(tables->bytes + tables->size, bytes, size);
    tables->size += size;
}

void acpi_append_number(AcpiTables *tables, u64 value, unsigned size)
{
    u8 bytes[8];

    put_le(bytes, value, size);
    acpi_append(tables, bytes, size);
}

void acpi_append_pointer(AcpiTables *tables, u32 to)
{
    assert(tables->pointer_count < ACPI_POINTERS && "few pointers");
    tables->pointers[tables->pointer_count++].at = (u32)tables->size;
    acpi_append_number(tables, to, 4);
}

static void align(AcpiTables *tables, size_t to)
{
    static const u8 zeroes[64];

    acpi_append(tables, zeroes, ALIGN_UP(tables->size, to) - tables->size);
}

u32 acpi_begin(AcpiTables *tables, const char signature[4], u8 revision)
{
    u8 header[ACPI_HEADER] = {0};

    align(tables, 16);
    memcpy(header, signature, 4);
    header[8] = revision;
    memcpy(header + 10, "MENURAPC    ", 12); /* OEM id, table id */
    memcpy(header + 16, "PC      ", 8);
    header[24] = 1;
    memcpy(header + 28, "MENU", 4);
    header[32] = 1;
    acpi_append(tables, header, sizeof header);
    return (u32)(tables->size - sizeof header);
}

void acpi_end(AcpiTables *tables, u32 start, bool listed)
{
    assert(tables->table_count < ACPI_TABLES && "few tables");
    put_le(tables->bytes + start + LENGTH_AT, tables->size - start, 4);
    tables->tables[tables->table_count++] = start;
    if (listed) {
        tables->listed[tables->listed_count++] = start;
    }
}

u32 acpi_add_raw(AcpiTables *tables, const void *bytes, size_t size)
{
    align(tables, 64);
    acpi_append(tables, bytes, size);
    return (u32)(tables->size - size);
}

void acpi_finish(AcpiTables *tables)
{
    u32 rsdt = acpi_begin(tables, "RSDT", 1);

    for (u32 i = 0; i < tables->listed_count; i++) {
        acpi_append_pointer(tables, tables->listed[i]);
    }
    acpi_end(tables, rsdt, false);
    memset(tables->rsdp, 0, sizeof tables->rsdp);
    memcpy(tables->rsdp, "RSD PTR ", 8);
    memcpy(tables->rsdp + 9, "MENURA", 6);
    put_le(tables->rsdp + RSDP_RSDT_AT, rsdt, 4);
}

static u8 checksum(const u8 *bytes, size_t size)
{
    u8 sum = 0;

    while (size--) {
        sum += *bytes++;
    }
    return (u8)-sum;
}

void acpi_relocate(AcpiTables *tables, u32 address)
{
    for (u32 i = 0; i < tables->pointer_count; i++) {
        u8 *at = tables->bytes + tables->pointers[i].at;
        put_le(at, get_le(at, 4) + address, 4);
    }
    for (u32 i = 0; i < tables->table_count; i++) {
        u8 *table = tables->bytes + tables->tables[i];
        table[CHECKSUM_AT] = 0;
        table[CHECKSUM_AT] = checksum(table, get_le(table + LENGTH_AT, 4));
    }
    put_le(tables->rsdp + RSDP_RSDT_AT, get_le(tables->rsdp + RSDP_RSDT_AT, 4) + address, 4);
    tables->rsdp[RSDP_CHECKSUM_AT] = 0;
    tables->rsdp[RSDP_CHECKSUM_AT] = checksum(tables->rsdp, sizeof tables->rsdp);
}

bool acpi_write(AcpiTables *tables, u8 *memory, size_t size, u32 address)
{
    if (ACPI_SET_AT + tables->size > size) {
        return false;
    }
    acpi_relocate(tables, address + ACPI_SET_AT);
    memcpy(memory, tables->rsdp, sizeof tables->rsdp);
    memcpy(memory + ACPI_SET_AT, tables->bytes, tables->size);
    return true;
}

/* -- The loader script */

static u8 *add_entry(u8 **at, u32 command, const char *file)
{
    u8 *entry = *at;

    *at += LOADER_ENTRY;
    put_le(entry, command, 4);
    strcpy((char *)entry + 4, file);
    return entry + 4 + LOADER_NAME;
}

static void add_allocate(u8 **at, const char *file, u32 alignment, u8 zone)
{
    u8 *rest = add_entry(at, LOADER_ALLOCATE, file);

    put_le(rest, alignment, 4);
    rest[4] = zone;
}

static void add_pointer(u8 **at, const char *file, u32 offset)
{
    u8 *rest = add_entry(at, LOADER_POINTER, file);

    strcpy((char *)rest, tables_file);
    put_le(rest + LOADER_NAME, offset, 4);
    rest[LOADER_NAME + 4] = 4;
}

static void add_checksum(u8 **at, const char *file, u32 place, u32 start, u32 length)
{
    u8 *rest = add_entry(at, LOADER_CHECKSUM, file);

    put_le(rest, place, 4);
    put_le(rest + 4, start, 4);
    put_le(rest + 8, length, 4);
}

u8 *acpi_loader_script(const AcpiTables *tables, size_t *size)
{
    u32 entries = 2 + tables->pointer_count + tables->table_count + 2;
    u8 *script = calloc(entries, LOADER_ENTRY), *at = script;

    if (!script) {
        abort();
    }
    add_allocate(&at, tables_file, 64, ZONE_HIGH);
    add_allocate(&at, rsdp_file, 16, ZONE_LOW);
    for (u32 i = 0; i < tables->pointer_count; i++) {
        add_pointer(&at, tables_file, tables->pointers[i].at);
    }
    add_pointer(&at, rsdp_file, RSDP_RSDT_AT);
    for (u32 i = 0; i < tables->table_count; i++) {
        u32 start = tables->tables[i];
        add_checksum(&at, tables_file, start + CHECKSUM_AT, start,
                     (u32)get_le(tables->bytes + start + LENGTH_AT, 4));
    }
    add_checksum(&at, rsdp_file, RSDP_CHECKSUM_AT, 0, ACPI_RSDP);
    *size = (size_t)entries * LOADER_ENTRY;
    return script;
}
