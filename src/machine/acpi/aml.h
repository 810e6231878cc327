/* ACPI Machine Language (ACPI 6.4, chapter 20): a buffer that terms are appended to.
 *
 *     aml_begin_device(aml, "COM1");
 *     aml_name_eisa(aml, "_HID", "PNP0501");
 *     aml_end(aml);
 *
 * Terms with a length (scopes, devices, methods, packages, buffers...) begin and end; ends nest.
 * Names are written as in ASL: "_SB.PCI0", "\\_SB", segments of up to four characters.
 * Must not know any board. */
#ifndef MACHINE_ACPI_AML_H
#define MACHINE_ACPI_AML_H

#include "base/types.h"

enum { AML_DEPTH = 16 };

typedef struct Aml {
    u8 *bytes; /* owned */
    size_t size, room;
    size_t open[AML_DEPTH]; /* where the lengths of terms that have not ended go */
    u32 depth;
} Aml;

void aml_free(Aml *aml);

/* Raw bytes, for terms that no function here knows. */
void aml_bytes(Aml *aml, const void *bytes, size_t size);
void aml_byte(Aml *aml, u8 byte);

/* -- Data (20.2.3) */
void aml_integer(Aml *aml, u64 value);
void aml_string(Aml *aml, const char *text);
void aml_name_string(Aml *aml, const char *name);

/* Name(name, value) (20.2.5.1). */
void aml_name(Aml *aml, const char *name); /* the value follows */
void aml_name_integer(Aml *aml, const char *name, u64 value);
void aml_name_string_value(Aml *aml, const char *name, const char *text);
/* The compressed id of "PNP0A03". */
void aml_name_eisa(Aml *aml, const char *name, const char *id);

/* -- Terms with a length: aml_end() ends them */
void aml_begin_scope(Aml *aml, const char *name);
void aml_begin_device(Aml *aml, const char *name);
void aml_begin_method(Aml *aml, const char *name, u8 arguments, bool serialized);
void aml_begin_package(Aml *aml, u8 count);
void aml_begin_if(Aml *aml); /* the predicate follows */
void aml_begin_else(Aml *aml);
/* Fields of a region: aml_field_element() for each. access: 1 byte, 2 word, 3 doubleword. */
void aml_begin_field(Aml *aml, const char *region, u8 access);
void aml_field_element(Aml *aml, const char *name, u32 bits); /* name NULL: bits passed over */
void aml_end(Aml *aml);

/* OperationRegion(name, space, offset, length); 0 memory, 1 I/O, 2 PCI configuration. */
void aml_operation_region(Aml *aml, const char *name, u8 space, u64 offset, u64 length);

/* -- Expressions: operands follow */
enum {
    AML_STORE = 0x70, /* source, target */
    AML_AND = 0x7b,   /* operand, operand, target */
    AML_OR = 0x7d,
    AML_RETURN = 0xa4,
    AML_EQUAL = 0x93,
    AML_NOT = 0x92,
    AML_NOTIFY = 0x86,       /* object, value */
    AML_CREATE_DWORD = 0x8a, /* buffer, byte index, name */
    AML_ARG0 = 0x68,
    AML_LOCAL0 = 0x60,
    AML_NULL = 0x00, /* no target */
};

/* -- Resource templates (6.4): Buffers of descriptors */
void aml_begin_resources(Aml *aml, const char *name);
void aml_end_resources(Aml *aml);
void aml_io(Aml *aml, u16 port, u8 count);
void aml_irq(Aml *aml, u16 mask); /* lines, edge-triggered */
void aml_dma(Aml *aml, u8 channels);
void aml_interrupt(Aml *aml, const u32 *numbers, u8 count); /* extended, level, high, shared */
void aml_word_bus(Aml *aml, u16 first, u16 last);
void aml_word_io(Aml *aml, u16 first, u16 last);
void aml_dword_memory(Aml *aml, u32 first, u32 last, bool cacheable);
void aml_memory32(Aml *aml, u32 start, u32 size);

#endif
