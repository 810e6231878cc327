/* SMBIOS tables (DSP0134, System Management BIOS Reference Specification 3.0; its sections are
 * cited as "7.x"). One socket with all CPUs, one memory device with all RAM.
 *
 * A structure is a formatted part, whose length its second byte tells, and strings, which the
 * formatted part names by number from 1; a 0 ends each string and one more the structure. */
#include "machine/x86/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "block/options.h"

enum {
    TYPE_BIOS = 0,
    TYPE_SYSTEM = 1,
    TYPE_BASEBOARD = 2,
    TYPE_CHASSIS = 3,
    TYPE_PROCESSOR = 4,
    TYPE_OEM_STRINGS = 11,
    TYPE_MEMORY_ARRAY = 16,
    TYPE_MEMORY_DEVICE = 17,
    TYPE_MEMORY_ADDRESS = 19,
    TYPE_BOOT = 32,
    TYPE_END = 127,
    TYPES = 18, /* that users may say something about are below */
    FORMATTED = 64,
    UNKNOWN = 2,
    SAFE = 3,
    UUID = 16,
};

/* What users may set: a string, and where the formatted part has its number. */
static const struct Setting {
    u8 type;
    const char *key;
    u8 at;
    const char *initial; /* NULL: none */
} settings[] = {
    {TYPE_BIOS, "vendor", 0x04, "Menura"},
    {TYPE_BIOS, "version", 0x05, NULL},
    {TYPE_BIOS, "date", 0x08, NULL},
    {TYPE_SYSTEM, "manufacturer", 0x04, "Menura"},
    {TYPE_SYSTEM, "product", 0x05, NULL}, /* the board's */
    {TYPE_SYSTEM, "version", 0x06, NULL},
    {TYPE_SYSTEM, "serial", 0x07, NULL},
    {TYPE_SYSTEM, "sku", 0x19, NULL},
    {TYPE_SYSTEM, "family", 0x1a, NULL},
    {TYPE_BASEBOARD, "manufacturer", 0x04, NULL},
    {TYPE_BASEBOARD, "product", 0x05, NULL},
    {TYPE_BASEBOARD, "version", 0x06, NULL},
    {TYPE_BASEBOARD, "serial", 0x07, NULL},
    {TYPE_BASEBOARD, "asset", 0x08, NULL},
    {TYPE_BASEBOARD, "location", 0x0a, NULL},
    {TYPE_CHASSIS, "manufacturer", 0x04, "Menura"},
    {TYPE_CHASSIS, "version", 0x06, NULL},
    {TYPE_CHASSIS, "serial", 0x07, NULL},
    {TYPE_CHASSIS, "asset", 0x08, NULL},
    {TYPE_CHASSIS, "sku", 0x15, NULL},
    {TYPE_PROCESSOR, "sock_pfx", 0x04, "CPU 0"},
    {TYPE_PROCESSOR, "manufacturer", 0x07, "Menura"},
    {TYPE_PROCESSOR, "version", 0x10, NULL},
    {TYPE_PROCESSOR, "serial", 0x20, NULL},
    {TYPE_PROCESSOR, "asset", 0x21, NULL},
    {TYPE_PROCESSOR, "part", 0x22, NULL},
    {TYPE_MEMORY_DEVICE, "loc_pfx", 0x10, "DIMM 0"},
    {TYPE_MEMORY_DEVICE, "bank", 0x11, NULL},
    {TYPE_MEMORY_DEVICE, "manufacturer", 0x17, "Menura"},
    {TYPE_MEMORY_DEVICE, "serial", 0x18, NULL},
    {TYPE_MEMORY_DEVICE, "asset", 0x19, NULL},
    {TYPE_MEMORY_DEVICE, "part", 0x1a, NULL},
};

typedef struct Maker {
    const Machine *machine;
    Smbios *smbios;
    BlockOptions *given[TYPES]; /* what the user said of each; owned; NULL: nothing */
    u8 part[FORMATTED];         /* the formatted part in the making */
    u8 strings[1024];
    u32 strings_size, string_count;
    u16 handle;
} Maker;

/* -- What the user said */

static const struct Setting *find_setting(u32 type, const char *key)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        if (settings[i].type == type && !strcmp(settings[i].key, key)) {
            return &settings[i];
        }
    }
    return NULL;
}

static bool parse_uuid(const char *text, u8 uuid[UUID])
{
    /* Order of the bytes: three numbers are little-endian (7.2.1). */
    static const u8 order[UUID] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    unsigned byte, n = 0;
    int used;

    for (const char *c = text; n < UUID; c += 2) {
        c += *c == '-';
        if (strspn(c, "0123456789abcdefABCDEF") < 2 || sscanf(c, "%2x%n", &byte, &used) != 1) {
            return false;
        }
        uuid[order[n++]] = (u8)byte;
    }
    return strlen(text) == 2 * UUID || strlen(text) == 2 * UUID + 4;
}

static int check(u32 type, const BlockOptions *list, char **error)
{
    const char *key, *value;
    u8 uuid[UUID];

    for (size_t i = 0; block_options_at(list, i, &key, &value); i++) {
        bool special = !strcmp(key, "type") ||
                       (type == TYPE_OEM_STRINGS && !strcmp(key, "value")) ||
                       (type == TYPE_SYSTEM && !strcmp(key, "uuid") && parse_uuid(value, uuid));
        if (!special && !find_setting(type, key)) {
            device_error(error, "--smbios type=%u: '%s=%s' cannot be set", type, key, value);
            return -EINVAL;
        }
        if (strlen(value) > 200) {
            device_error(error, "--smbios type=%u: %s is too long", type, key);
            return -EINVAL;
        }
    }
    return 0;
}

/* A later request adds to an earlier one. */
static int take(Maker *maker, const char *text, char **error)
{
    BlockOptions *list = block_options_new();
    BlockError why;
    const char *key, *value, *type_text;
    u32 type;
    int result;

    if (block_options_parse(list, text, NULL, &why) < 0) {
        device_error(error, "--smbios %s: %s", text, why.text);
        block_options_free(list);
        return -EINVAL;
    }
    type_text = block_options_get(list, "type");
    type = type_text ? (u32)strtoul(type_text, NULL, 10) : TYPES;
    if (type >= TYPES) {
        device_error(error, "--smbios %s: the type is to be a number below %d", text, TYPES);
        block_options_free(list);
        return -EINVAL;
    }
    result = check(type, list, error);
    maker->given[type] = maker->given[type] ? maker->given[type] : block_options_new();
    for (size_t i = 0; block_options_at(list, i, &key, &value); i++) {
        block_options_set(maker->given[type], key, value);
    }
    block_options_free(list);
    return result;
}

/* -- Structures */

static void begin(Maker *maker, u8 type, u8 length)
{
    memset(maker->part, 0, sizeof maker->part);
    maker->part[0] = type;
    maker->part[1] = length;
    put_le(maker->part + 2, maker->handle++, 2);
    maker->strings_size = maker->string_count = 0;
}

static void put(Maker *maker, u32 at, u64 value, unsigned size)
{
    put_le(maker->part + at, value, size);
}

static void put_string(Maker *maker, u32 at, const char *text)
{
    size_t size = strlen(text) + 1;

    if (size == 1 || maker->strings_size + size > sizeof maker->strings) {
        return;
    }
    memcpy(maker->strings + maker->strings_size, text, size);
    maker->strings_size += (u32)size;
    maker->part[at] = (u8)++maker->string_count;
}

/* All strings of the type that users may set. */
static void put_settings(Maker *maker, u8 type)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct Setting *s = &settings[i];
        const char *given = s->type == type && maker->given[type]
                                ? block_options_get(maker->given[type], s->key)
                                : NULL;
        const char *text = given ? given : s->initial;
        if (s->type == type && text) {
            put_string(maker, s->at, text);
        }
    }
}

static void end(Maker *maker)
{
    Smbios *s = maker->smbios;
    size_t length = maker->part[1], strings = maker->strings_size ? maker->strings_size : 1;

    s->bytes = realloc(s->bytes, s->size + length + strings + 1);
    if (!s->bytes) {
        abort();
    }
    memcpy(s->bytes + s->size, maker->part, length);
    memset(s->bytes + s->size + length, 0, strings + 1);
    memcpy(s->bytes + s->size + length, maker->strings, maker->strings_size);
    s->size += length + strings + 1;
}

static void add_bios(Maker *maker)
{
    enum { CHARACTERISTICS_UNKNOWN = 1 << 3, TARGETED = 1 << 2, VIRTUAL_MACHINE = 1 << 4 };

    begin(maker, TYPE_BIOS, 0x18);
    put(maker, 0x06, 0xe800, 2);
    put(maker, 0x0a, CHARACTERISTICS_UNKNOWN, 8);
    put(maker, 0x13, TARGETED | VIRTUAL_MACHINE, 1);
    put(maker, 0x16, 0xffff, 2); /* no embedded controller */
    put_settings(maker, TYPE_BIOS);
    end(maker);
}

static void add_system(Maker *maker)
{
    const BlockOptions *given = maker->given[TYPE_SYSTEM];
    const char *uuid = given ? block_options_get(given, "uuid") : NULL;

    begin(maker, TYPE_SYSTEM, 0x1b);
    if (uuid) {
        parse_uuid(uuid, maker->part + 8);
    }
    put(maker, 0x18, 6, 1); /* woken by the power switch */
    put_settings(maker, TYPE_SYSTEM);
    if (!maker->part[5]) {
        put_string(maker, 5, maker->machine->def->summary);
    }
    end(maker);
}

static void add_baseboard(Maker *maker)
{
    if (maker->given[TYPE_BASEBOARD]) {
        begin(maker, TYPE_BASEBOARD, 0x0f);
        put(maker, 0x09, 1, 1);    /* it hosts the rest */
        put(maker, 0x0d, 0x0a, 1); /* a motherboard */
        put_settings(maker, TYPE_BASEBOARD);
        end(maker);
    }
}

static void add_chassis(Maker *maker)
{
    begin(maker, TYPE_CHASSIS, 0x16);
    put(maker, 0x05, 1, 1); /* another than those that have a number */
    put(maker, 0x09, SAFE, 1);
    put(maker, 0x0a, SAFE, 1);
    put(maker, 0x0b, SAFE, 1);
    put(maker, 0x0c, UNKNOWN, 1);
    put_settings(maker, TYPE_CHASSIS);
    end(maker);
}

static void add_processor(Maker *maker)
{
    enum { CENTRAL = 3, FAMILY_IS_BELOW = 0xfe, OTHER = 1, THERE_AND_ENABLED = 0x41 };
    u32 count = maker->machine->processor_count, byte = MIN(count, 0xffu);

    begin(maker, TYPE_PROCESSOR, 0x30);
    put(maker, 0x05, CENTRAL, 1);
    put(maker, 0x06, FAMILY_IS_BELOW, 1);
    put(maker, 0x18, THERE_AND_ENABLED, 1);
    put(maker, 0x19, OTHER, 1);
    for (u32 cache = 0; cache < 3; cache++) {
        put(maker, 0x1a + 2 * cache, 0xffff, 2); /* nothing is said of it */
    }
    for (u32 i = 0; i < 3; i++) { /* cores, cores that are enabled, threads */
        put(maker, 0x23 + i, byte, 1);
        put(maker, 0x2a + 2 * i, count, 2);
    }
    put(maker, 0x26, 1 << 2, 2); /* 64-bit capable */
    put(maker, 0x28, OTHER, 2);
    put_settings(maker, TYPE_PROCESSOR);
    end(maker);
}

static void add_oem_strings(Maker *maker)
{
    const BlockOptions *given = maker->given[TYPE_OEM_STRINGS];
    const char *value = given ? block_options_get(given, "value") : NULL;

    if (value) {
        begin(maker, TYPE_OEM_STRINGS, 5);
        put_string(maker, 4, value);
        end(maker);
    }
}

/* From start up to, not including, end. */
static void add_memory_address(Maker *maker, u16 array, u64 start, u64 limit)
{
    begin(maker, TYPE_MEMORY_ADDRESS, 0x1f);
    if (limit >> 10 < 0xffffffff) {
        put(maker, 0x04, start >> 10, 4);
        put(maker, 0x08, (limit >> 10) - 1, 4);
    } else {
        put(maker, 0x04, 0xffffffff, 4);
        put(maker, 0x08, 0xffffffff, 4);
        put(maker, 0x0f, start, 8);
        put(maker, 0x17, limit - 1, 8);
    }
    put(maker, 0x0c, array, 2);
    put(maker, 0x0e, 1, 1);
    end(maker);
}

static void add_memory(Maker *maker, u64 low_size)
{
    enum { SYSTEM_MEMORY = 3, NO_CORRECTION = 3, NO_HANDLE = 0xfffe, IN_KIB = 0x80000000u };
    enum { UNKNOWN_WIDTH = 0xffff, DIMM = 9, RAM = 7, SEE_BELOW = 0x7fff };
    u64 size = maker->machine->ram->size;
    u16 array = maker->handle;

    begin(maker, TYPE_MEMORY_ARRAY, 0x17);
    put(maker, 0x04, 1, 1);
    put(maker, 0x05, SYSTEM_MEMORY, 1);
    put(maker, 0x06, NO_CORRECTION, 1);
    put(maker, 0x07, size >> 10 < IN_KIB ? size >> 10 : IN_KIB, 4);
    put(maker, 0x0b, NO_HANDLE, 2);
    put(maker, 0x0d, 1, 2);
    put(maker, 0x0f, size >> 10 < IN_KIB ? 0 : size, 8);
    end(maker);
    begin(maker, TYPE_MEMORY_DEVICE, 0x28);
    put(maker, 0x04, array, 2);
    put(maker, 0x06, NO_HANDLE, 2);
    put(maker, 0x08, UNKNOWN_WIDTH, 2);
    put(maker, 0x0a, UNKNOWN_WIDTH, 2);
    put(maker, 0x0c, size >> 20 < SEE_BELOW ? size >> 20 : SEE_BELOW, 2);
    put(maker, 0x0e, DIMM, 1);
    put(maker, 0x12, RAM, 1);
    put(maker, 0x13, 1 << 1, 2);
    put(maker, 0x1c, size >> 20 < SEE_BELOW ? 0 : size >> 20, 4);
    put_settings(maker, TYPE_MEMORY_DEVICE);
    end(maker);
    add_memory_address(maker, array, 0, low_size);
    if (size > low_size) {
        add_memory_address(maker, array, 1ull << 32, (1ull << 32) + size - low_size);
    }
}

static void add_rest(Maker *maker)
{
    begin(maker, TYPE_BOOT, 0x0b); /* booting went well */
    end(maker);
    begin(maker, TYPE_END, 4);
    end(maker);
}

static void add_all(Maker *maker, u64 low_size, bool with_bios)
{
    if (with_bios || maker->given[TYPE_BIOS]) {
        add_bios(maker);
    }
    add_system(maker);
    add_baseboard(maker);
    add_chassis(maker);
    add_processor(maker);
    add_oem_strings(maker);
    add_memory(maker, low_size);
    add_rest(maker);
}

/* -- All of it */

/* The 64-bit entry point (5.2.2) of structures at an address. */
static void make_entry(Smbios *smbios, u64 address)
{
    u8 sum = 0;

    memset(smbios->entry, 0, SMBIOS_ENTRY);
    memcpy(smbios->entry, "_SM3_", 5);
    smbios->entry[6] = SMBIOS_ENTRY;
    smbios->entry[7] = 3;  /* version 3.0 */
    smbios->entry[10] = 1; /* of the entry point */
    put_le(smbios->entry + 12, smbios->size, 4);
    put_le(smbios->entry + 16, address, 8);
    for (u32 i = 0; i < SMBIOS_ENTRY; i++) {
        sum += smbios->entry[i];
    }
    smbios->entry[5] = (u8)-sum;
}

void smbios_write(Smbios *smbios, u8 *memory, size_t size, u64 address)
{
    size_t after = ALIGN_UP((size_t)SMBIOS_ENTRY, (size_t)16);

    memset(memory, 0, size);
    if (smbios->size <= size - after) {
        make_entry(smbios, address + after);
        memcpy(memory, smbios->entry, SMBIOS_ENTRY);
        memcpy(memory + after, smbios->bytes, smbios->size);
    }
}

int smbios_make(Smbios *smbios, const Machine *machine, u64 low_size, bool with_bios, char **error)
{
    Maker maker = {.machine = machine, .smbios = smbios, .handle = 1};
    int result = 0;

    *smbios = (Smbios){0};
    for (const DeviceRequest *r = machine->options->smbios; r && result == 0; r = r->next) {
        result = take(&maker, r->text, error);
    }
    if (result == 0) {
        add_all(&maker, low_size, with_bios);
        make_entry(smbios, 0);
    }
    for (u32 i = 0; i < TYPES; i++) {
        block_options_free(maker.given[i]);
    }
    return result;
}

void smbios_free(Smbios *smbios)
{
    free(smbios->bytes);
    *smbios = (Smbios){0};
}
