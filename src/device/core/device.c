/* Devices' life, properties and wiring. See device.h. */
#include "device/core/device.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/core/internal.h"

void device_error(char **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vasprintf(error, format, args) < 0) {
        abort();
    }
    va_end(args);
}

void device_guest_error(const void *device, const char *format, ...)
{
    const Device *d = device;
    char text[200];
    va_list args;

    if (log_on(LOG_GUEST_ERRORS)) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        log_printf("%s: %s\n", d->id, text);
    }
}

static void *field(void *device, u32 offset)
{
    return (u8 *)device + offset;
}

/* -- Properties */

const Property *device_property_at(const DeviceDef *def, u32 index)
{
    const Property *lists[] = {def->properties, def->family ? def->family->properties : NULL};

    for (size_t i = 0; i < COUNT(lists); i++) {
        for (const Property *p = lists[i]; p && p->name; p++) {
            if (index-- == 0) {
                return p;
            }
        }
    }
    return NULL;
}

const Property *device_property(const DeviceDef *def, const char *name)
{
    const Property *p;

    for (u32 i = 0; (p = device_property_at(def, i)) && strcmp(p->name, name) != 0; i++) {
    }
    return p;
}

static bool parse_bool(const char *text, bool *value)
{
    *value = !strcmp(text, "on") || !strcmp(text, "true") || !strcmp(text, "yes");
    return *value || !strcmp(text, "off") || !strcmp(text, "false") || !strcmp(text, "no");
}

static bool parse_number(const char *text, u64 limit, bool suffix, u64 *value)
{
    static const char units[] = "KMGTP";
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 0);
    if (errno || end == text || *text == '-') {
        return false;
    }
    const char *unit = suffix && *end ? strchr(units, *end & ~0x20) : NULL;
    if (unit) {
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (*value > limit >> shift) {
            return false;
        }
        *value <<= shift;
        end++;
    }
    return !*end && *value <= limit;
}

static bool parse_mac(const char *text, u8 mac[6])
{
    int end = 0;

    return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", mac, mac + 1, mac + 2, mac + 3,
                  mac + 4, mac + 5, &end) == 6 &&
           !text[end];
}

static bool set_value(void *place, const Property *p, const char *text)
{
    u64 number;

    switch (p->kind) {
    case PROPERTY_BOOL:
        return parse_bool(text, place);
    case PROPERTY_U32:
        if (!parse_number(text, UINT32_MAX, false, &number)) {
            return false;
        }
        *(u32 *)place = (u32)number;
        return true;
    case PROPERTY_U64:
        return parse_number(text, UINT64_MAX, false, place);
    case PROPERTY_SIZE:
        return parse_number(text, UINT64_MAX, true, place);
    case PROPERTY_STRING:
        free(*(char **)place);
        *(char **)place = strdup(text);
        return true;
    case PROPERTY_MAC:
        return parse_mac(text, place);
    case PROPERTY_BACKEND:
        return false;
    }
    return false;
}

static const char *const kind_texts[] = {
    [PROPERTY_BOOL] = "on or off",
    [PROPERTY_U32] = "a number",
    [PROPERTY_U64] = "a number",
    [PROPERTY_SIZE] = "a size such as 64K or 2G",
    [PROPERTY_STRING] = "a text",
    [PROPERTY_MAC] = "an address such as 52:54:00:12:34:56",
    [PROPERTY_BACKEND] = "the id of a back end",
};

int device_set(void *device, const char *property, const char *value, char **error)
{
    Device *d = device;
    const Property *p = device_property(d->def, property);

    if (!p) {
        device_error(error, "%s has no property '%s'", d->def->name, property);
        return -ENOENT;
    }
    if (!set_value(field(device, p->offset), p, value)) {
        device_error(error, "%s: %s=%s: it must be %s", d->def->name, property, value,
                     kind_texts[p->kind]);
        return -EINVAL;
    }
    return 0;
}

int device_set_backend(void *device, const char *property, void *backend, char **error)
{
    Device *d = device;
    const Property *p = device_property(d->def, property);

    if (!p || p->kind != PROPERTY_BACKEND) {
        device_error(error, "%s has no property '%s' for a back end", d->def->name, property);
        return -ENOENT;
    }
    *(void **)field(device, p->offset) = backend;
    return 0;
}

void device_set_u64(void *device, const char *property, u64 value)
{
    Device *d = device;
    const Property *p = device_property(d->def, property);
    void *place;

    assert(p && "a board sets properties that exist");
    place = field(device, p->offset);
    switch (p->kind) {
    case PROPERTY_BOOL:
        *(bool *)place = value;
        break;
    case PROPERTY_U32:
        *(u32 *)place = (u32)value;
        break;
    default:
        assert((p->kind == PROPERTY_U64 || p->kind == PROPERTY_SIZE) && "numbers only");
        *(u64 *)place = value;
    }
}

static void free_strings(Device *d)
{
    const Property *p;

    for (u32 i = 0; (p = device_property_at(d->def, i)); i++) {
        if (p->kind == PROPERTY_STRING) {
            free(*(char **)field(d, p->offset));
        }
    }
}

/* -- Life */

void *device_new(const DeviceDef *def, Board *board, const char *id)
{
    Device *d = calloc(1, def->size);
    const Property *p;
    bool valid = true;

    if (!d) {
        abort();
    }
    d->def = def;
    d->board = board;
    d->id = strdup(id ? id : def->name);
    for (u32 i = 0; (p = device_property_at(def, i)); i++) {
        valid &= !p->initial || set_value(field(d, p->offset), p, p->initial);
    }
    assert(d->id && valid && "initial values are values");
    return d;
}

int device_start(void *device, char **error)
{
    Device *d = device;
    int result;

    assert(!d->started && "started once");
    registers_start(d);
    result = d->def->start ? d->def->start(device, error) : 0;
    d->started = result == 0;
    return result;
}

void device_free(void *device)
{
    Device *d = device;

    if (!d) {
        return;
    }
    for (u32 i = 0; i < d->def->bank_count; i++) {
        device_unmap(d, i);
    }
    if (d->bus_ops) {
        d->bus_ops->detach(d);
    }
    if (d->started && d->def->stop) {
        d->def->stop(d);
    }
    free_strings(d);
    free(d->id);
    free(d);
}

void device_settle(Device *device)
{
    if (device->bus_ops) {
        device->bus_ops->settle(device);
    }
    if (device->def->settle) {
        device->def->settle(device);
    }
}

void device_reset(void *device)
{
    Device *d = device;

    state_reset(d);
    registers_reset(d);
    if (d->bus_ops) {
        d->bus_ops->reset(d);
    }
    if (d->def->reset) {
        d->def->reset(d);
    }
    device_settle(d);
}

/* -- Wiring */

void device_connect(void *device, const char *output, unsigned index, IrqInput *input,
                    void *receiver, unsigned line)
{
    const Device *d = device;
    const IrqOutput *o = d->def->outputs;

    while (o && o->name && strcmp(o->name, output) != 0) {
        o++;
    }
    assert(o && o->name && index < MAX(o->count, 1u) && "the output exists");
    ((Irq *)field(device, o->offset))[index] = (Irq){input, receiver, line};
}

static AddressSpace *space_of(const Device *d, const RegisterBank *bank)
{
    return bank->ports ? d->board->ports : d->board->memory;
}

void device_map(void *device, unsigned bank, u64 address)
{
    Device *d = device;
    const RegisterBank *b = &d->def->banks[bank];
    AddressSpace *space = space_of(d, b);
    Region *region = field(device, b->region);

    space_begin(space);
    space_remove(space, region);
    space_add(space, region, address);
    space_commit(space);
}

void device_unmap(void *device, unsigned bank)
{
    Device *d = device;
    const RegisterBank *b = &d->def->banks[bank];

    if (space_of(d, b)) {
        space_remove(space_of(d, b), field(device, b->region));
    }
}
