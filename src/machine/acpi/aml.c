/* Encoding of AML: see aml.h. */
#include "machine/acpi/aml.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXTENDED = 0x5b,
    OP_REGION = 0x80, /* extended */
    OP_FIELD = 0x81,
    OP_DEVICE = 0x82,
    OP_IF = 0xa0,
    OP_ELSE = 0xa1,
    RESOURCES_MAX = 4096,
};

void aml_free(Aml *aml)
{
    free(aml->bytes);
    *aml = (Aml){0};
}

void aml_bytes(Aml *aml, const void *bytes, size_t size)
{
    if (aml->room - aml->size < size) {
        aml->room = MAX(aml->room * 2, aml->size + size + 1024);
        aml->bytes = realloc(aml->bytes, aml->room);
        if (!aml->bytes) {
            abort();
        }
    }
    memcpy(aml->bytes + aml->size, bytes, size);
    aml->size += size;
}

void aml_byte(Aml *aml, u8 byte)
{
    aml_bytes(aml, &byte, 1);
}

static void put_le(Aml *aml, u64 value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        aml_byte(aml, (u8)(value >> 8 * i));
    }
}

/* -- Data and names */

void aml_integer(Aml *aml, u64 value)
{
    if (value <= 1) {
        aml_byte(aml, value ? OP_ONE : OP_ZERO);
    } else if (value <= UINT8_MAX) {
        aml_byte(aml, OP_BYTE);
        put_le(aml, value, 1);
    } else if (value <= UINT16_MAX) {
        aml_byte(aml, OP_WORD);
        put_le(aml, value, 2);
    } else if (value <= UINT32_MAX) {
        aml_byte(aml, OP_DWORD);
        put_le(aml, value, 4);
    } else {
        aml_byte(aml, OP_QWORD);
        put_le(aml, value, 8);
    }
}

void aml_string(Aml *aml, const char *text)
{
    aml_byte(aml, OP_STRING);
    aml_bytes(aml, text, strlen(text) + 1);
}

static u32 count_segments(const char *name)
{
    u32 count = 1;

    for (; *name; name++) {
        count += *name == '.';
    }
    return count;
}

/* Segments are filled up with underscores (20.2.2). */
void aml_name_string(Aml *aml, const char *name)
{
    while (*name == '\\' || *name == '^') {
        aml_byte(aml, (u8)*name++);
    }
    u32 count = count_segments(name);
    if (count == 2) {
        aml_byte(aml, OP_DUAL_NAME);
    } else if (count > 2) {
        aml_byte(aml, OP_MULTI_NAME);
        aml_byte(aml, (u8)count);
    }
    while (*name) {
        size_t length = strcspn(name, ".");
        assert(length >= 1 && length <= 4 && "segments have one to four characters");
        for (size_t i = 0; i < 4; i++) {
            aml_byte(aml, i < length ? (u8)name[i] : '_');
        }
        name += length + (name[length] == '.');
    }
}

void aml_name(Aml *aml, const char *name)
{
    aml_byte(aml, OP_NAME);
    aml_name_string(aml, name);
}

void aml_name_integer(Aml *aml, const char *name, u64 value)
{
    aml_name(aml, name);
    aml_integer(aml, value);
}

void aml_name_string_value(Aml *aml, const char *name, const char *text)
{
    aml_name(aml, name);
    aml_string(aml, text);
}

static u8 hex_digit(char c)
{
    return (u8)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of five bits, then four hexadecimal digits; big-endian in memory. */
void aml_name_eisa(Aml *aml, const char *name, const char *id)
{
    u32 letters = (u32)(id[0] - '@') << 10 | (u32)(id[1] - '@') << 5 | (u32)(id[2] - '@');

    aml_name(aml, name);
    aml_byte(aml, OP_DWORD);
    put_le(aml, letters >> 8, 1);
    put_le(aml, letters, 1);
    put_le(aml, (u64)hex_digit(id[3]) << 4 | hex_digit(id[4]), 1);
    put_le(aml, (u64)hex_digit(id[5]) << 4 | hex_digit(id[6]), 1);
}

/* -- Terms with a length */

static void begin(Aml *aml, int prefix, u8 op)
{
    assert(aml->depth < AML_DEPTH && "terms are not nested deeper");
    if (prefix) {
        aml_byte(aml, (u8)prefix);
    }
    aml_byte(aml, op);
    aml->open[aml->depth++] = aml->size;
}

/* PkgLength counts itself (20.2.4). */
void aml_end(Aml *aml)
{
    size_t start = aml->open[--aml->depth], length = aml->size - start;
    u32 extra = length + 1 < 64 ? 0 : length + 2 < 4096 ? 1 : 2;
    u8 encoded[3];

    length += extra + 1;
    encoded[0] = extra ? (u8)(extra << 6 | (length & 15)) : (u8)length;
    encoded[1] = (u8)(length >> 4);
    encoded[2] = (u8)(length >> 12);
    aml_bytes(aml, encoded, extra + 1);
    memmove(aml->bytes + start + extra + 1, aml->bytes + start, aml->size - start - extra - 1);
    memcpy(aml->bytes + start, encoded, extra + 1);
}

void aml_begin_scope(Aml *aml, const char *name)
{
    begin(aml, 0, OP_SCOPE);
    aml_name_string(aml, name);
}

void aml_begin_device(Aml *aml, const char *name)
{
    begin(aml, OP_EXTENDED, OP_DEVICE);
    aml_name_string(aml, name);
}

void aml_begin_method(Aml *aml, const char *name, u8 arguments, bool serialized)
{
    begin(aml, 0, OP_METHOD);
    aml_name_string(aml, name);
    aml_byte(aml, (u8)(arguments | (serialized ? 8 : 0)));
}

void aml_begin_package(Aml *aml, u8 count)
{
    begin(aml, 0, OP_PACKAGE);
    aml_byte(aml, count);
}

void aml_begin_if(Aml *aml)
{
    begin(aml, 0, OP_IF);
}

void aml_begin_else(Aml *aml)
{
    begin(aml, 0, OP_ELSE);
}

void aml_begin_field(Aml *aml, const char *region, u8 access)
{
    begin(aml, OP_EXTENDED, OP_FIELD);
    aml_name_string(aml, region);
    aml_byte(aml, access);
}

void aml_field_element(Aml *aml, const char *name, u32 bits)
{
    assert(bits < 4096 && "fields are small");
    if (name) {
        aml_bytes(aml, name, 4);
    } else {
        aml_byte(aml, 0);
    }
    if (bits < 64) {
        aml_byte(aml, (u8)bits);
    } else {
        aml_byte(aml, (u8)(0x40 | (bits & 15)));
        aml_byte(aml, (u8)(bits >> 4));
    }
}

void aml_operation_region(Aml *aml, const char *name, u8 space, u64 offset, u64 length)
{
    aml_byte(aml, OP_EXTENDED);
    aml_byte(aml, OP_REGION);
    aml_name_string(aml, name);
    aml_byte(aml, space);
    aml_integer(aml, offset);
    aml_integer(aml, length);
}

/* -- Resources: the buffer's size is a word, filled in at the end */

void aml_begin_resources(Aml *aml, const char *name)
{
    if (name) {
        aml_name(aml, name);
    }
    begin(aml, 0, OP_BUFFER);
    aml_byte(aml, OP_WORD);
    put_le(aml, 0, 2);
}

void aml_end_resources(Aml *aml)
{
    size_t start = aml->open[aml->depth - 1];
    size_t size;

    aml_byte(aml, 0x79); /* end tag, with a checksum that is not used */
    aml_byte(aml, 0);
    size = aml->size - start - 3;
    assert(size < RESOURCES_MAX && "templates are small");
    aml->bytes[start + 1] = (u8)size;
    aml->bytes[start + 2] = (u8)(size >> 8);
    aml_end(aml);
}

void aml_io(Aml *aml, u16 port, u8 count)
{
    aml_byte(aml, 0x47);
    aml_byte(aml, 1); /* decodes 16 bits */
    put_le(aml, port, 2);
    put_le(aml, port, 2);
    aml_byte(aml, 1);
    aml_byte(aml, count);
}

void aml_irq(Aml *aml, u16 mask)
{
    aml_byte(aml, 0x22);
    put_le(aml, mask, 2);
}

void aml_dma(Aml *aml, u8 channels)
{
    aml_byte(aml, 0x2a);
    aml_byte(aml, channels);
    aml_byte(aml, 0);
}

void aml_interrupt(Aml *aml, const u32 *numbers, u8 count)
{
    aml_byte(aml, 0x89);
    put_le(aml, 2u + 4u * count, 2);
    aml_byte(aml, 0x09); /* consumer, level, active high, shared */
    aml_byte(aml, count);
    for (u8 i = 0; i < count; i++) {
        put_le(aml, numbers[i], 4);
    }
}

/* An address space descriptor: type, general and specific flags, granularity 0, range. */
static void address_space(Aml *aml, u8 tag, unsigned width, u8 type, u8 specific, u64 first,
                          u64 last)
{
    aml_byte(aml, tag);
    put_le(aml, 3 + 5 * width, 2);
    aml_byte(aml, type);
    aml_byte(aml, 0x0c); /* minimum and maximum fixed, positive decode, producer */
    aml_byte(aml, specific);
    put_le(aml, 0, width);
    put_le(aml, first, width);
    put_le(aml, last, width);
    put_le(aml, 0, width);
    put_le(aml, last - first + 1, width);
}

void aml_word_bus(Aml *aml, u16 first, u16 last)
{
    address_space(aml, 0x88, 2, 2, 0, first, last);
}

void aml_word_io(Aml *aml, u16 first, u16 last)
{
    address_space(aml, 0x88, 2, 1, 3, first, last);
}

void aml_dword_memory(Aml *aml, u32 first, u32 last, bool cacheable)
{
    address_space(aml, 0x87, 4, 0, cacheable ? 3 : 1, first, last);
}

void aml_memory32(Aml *aml, u32 start, u32 size)
{
    aml_byte(aml, 0x86);
    put_le(aml, 9, 2);
    aml_byte(aml, 1);
    put_le(aml, start, 4);
    put_le(aml, size, 4);
}
