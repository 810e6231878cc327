/* Saved state: what a device's description says is state, in the order of the description.
 *
 *     device: name (string) version (u32) size of what follows (u32) values...
 *
 * Numbers are little-endian; a string is its length (u32) and its bytes; a timer is when it is due,
 * or all ones. Registers with a field come first, then the fields of the family's state, then those
 * of DeviceDef.state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/core/internal.h"

void state_buffer_free(StateBuffer *buffer)
{
    free(buffer->bytes);
    *buffer = (StateBuffer){0};
}

/* -- Bytes */

static void append(StateBuffer *buffer, const void *bytes, size_t size)
{
    if (buffer->room - buffer->size < size) {
        buffer->room = MAX(buffer->room * 2, buffer->size + size + 256);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (!buffer->bytes) {
            abort();
        }
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

static void append_number(StateBuffer *buffer, u64 value, unsigned size)
{
    u8 bytes[8];

    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (u8)(value >> 8 * i);
    }
    append(buffer, bytes, size);
}

static bool take(StateBuffer *buffer, void *bytes, size_t size)
{
    if (buffer->size - buffer->at < size) {
        return false;
    }
    memcpy(bytes, buffer->bytes + buffer->at, size);
    buffer->at += size;
    return true;
}

static bool take_number(StateBuffer *buffer, u64 *value, unsigned size)
{
    u8 bytes[8];

    if (!take(buffer, bytes, size)) {
        return false;
    }
    *value = 0;
    for (unsigned i = 0; i < size; i++) {
        *value |= (u64)bytes[i] << 8 * i;
    }
    return true;
}

/* -- Fields: one walk saves, loads and clears */

typedef enum Action { SAVE, LOAD, CLEAR } Action;

static bool is_number(u32 size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static bool do_number(Action action, StateBuffer *buffer, void *place, unsigned size)
{
    u64 value = 0;

    if (action == SAVE) {
        append_number(buffer, get_number(place, size), size);
        return true;
    }
    if (action == LOAD && !take_number(buffer, &value, size)) {
        return false;
    }
    put_number(place, size, value);
    return true;
}

static bool do_bytes(Action action, StateBuffer *buffer, void *place, size_t size)
{
    switch (action) {
    case SAVE:
        append(buffer, place, size);
        return true;
    case LOAD:
        return take(buffer, place, size);
    case CLEAR:
        memset(place, 0, size);
    }
    return true;
}

static bool do_timer(Action action, StateBuffer *buffer, Timer *timer)
{
    u64 due;

    if (action == SAVE) {
        append_number(buffer, timer_is_set(timer) ? timer->due : ~(u64)0, 8);
        return true;
    }
    if (action == LOAD && !take_number(buffer, &due, 8)) {
        return false;
    }
    if (action == LOAD && ~due) {
        timer_set(timer, due);
    } else {
        timer_cancel(timer);
    }
    return true;
}

static bool do_fields(Action action, StateBuffer *buffer, void *base, const StateField *fields);

static bool do_element(Action action, StateBuffer *buffer, u8 *place, const StateField *f)
{
    RamBlock *ram;

    if (f->fields) {
        return do_fields(action, buffer, place, f->fields);
    }
    switch (f->kind) {
    case STATE_TIMER:
        return do_timer(action, buffer, (Timer *)(void *)place);
    case STATE_POINTER:
        return do_bytes(action, buffer, *(void **)(void *)place, f->size);
    case STATE_RAM: /* outlives resets; the machine saves it by itself */
        ram = *(RamBlock **)(void *)place;
        return action == CLEAR || do_bytes(action, buffer, ram->host, ram->size);
    default:
        return is_number(f->size) ? do_number(action, buffer, place, f->size)
                                  : do_bytes(action, buffer, place, f->size);
    }
}

static bool do_field(Action action, StateBuffer *buffer, u8 *place, const StateField *f)
{
    u32 count = MAX(f->count, 1u);

    if (f->kind == STATE_VALUE && f->size == 1 && !f->fields) { /* no order among their bytes */
        return do_bytes(action, buffer, place, count);
    }
    for (u32 i = 0; i < count; i++) {
        if (!do_element(action, buffer, place + (size_t)i * f->size, f)) {
            return false;
        }
    }
    return true;
}

static bool do_fields(Action action, StateBuffer *buffer, void *base, const StateField *fields)
{
    for (const StateField *f = fields; f && f->name; f++) {
        if (!do_field(action, buffer, (u8 *)base + f->offset, f)) {
            return false;
        }
    }
    return true;
}

static bool do_registers(Action action, StateBuffer *buffer, Device *device)
{
    for (u32 i = 0; i < device->def->bank_count; i++) {
        const RegisterBank *bank = &device->def->banks[i];
        for (u32 n = 0; n < bank->count; n++) {
            const Register *r = &bank->registers[n];
            for (u32 index = 0; r->size && index < MAX(r->count, 1u); index++) {
                u8 *place = (u8 *)device + r->offset + (size_t)index * r->size;
                if (!do_number(action, buffer, place, r->size)) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* -- Devices */

static const StateField *family_state(const Device *d)
{
    return d->def->family ? d->def->family->state : NULL;
}

void device_save(const void *device, StateBuffer *buffer)
{
    Device *d = (Device *)(uintptr_t)device;
    u32 length = (u32)strlen(d->def->name);
    size_t start;

    append_number(buffer, length, 4);
    append(buffer, d->def->name, length);
    append_number(buffer, d->def->version, 4);
    append_number(buffer, 0, 4);
    start = buffer->size;
    do_registers(SAVE, buffer, d);
    do_fields(SAVE, buffer, d, family_state(d));
    do_fields(SAVE, buffer, d, d->def->state);
    do_fields(SAVE, buffer, d, d->def->kept);
    for (unsigned i = 0; i < 4; i++) {
        buffer->bytes[start - 4 + i] = (u8)((buffer->size - start) >> 8 * i);
    }
}

static bool load_header(Device *d, StateBuffer *buffer, u64 *size)
{
    const char *name = d->def->name;
    char found[64];
    u64 length, version;

    return take_number(buffer, &length, 4) && length == strlen(name) && length < sizeof found &&
           take(buffer, found, length) && !memcmp(found, name, length) &&
           take_number(buffer, &version, 4) && version == d->def->version &&
           take_number(buffer, size, 4);
}

int device_load(void *device, StateBuffer *buffer, char **error)
{
    Device *d = device;
    u64 size;

    if (!load_header(d, buffer, &size)) {
        device_reset(d);
        device_error(error, "%s: the saved state is another device's or of another version", d->id);
        return -EINVAL;
    }
    size_t end = buffer->at + size;
    if (!do_registers(LOAD, buffer, d) || !do_fields(LOAD, buffer, d, family_state(d)) ||
        !do_fields(LOAD, buffer, d, d->def->state) || !do_fields(LOAD, buffer, d, d->def->kept) ||
        buffer->at != end) {
        device_reset(d);
        device_error(error, "%s: the saved state is damaged", d->id);
        return -EINVAL;
    }
    device_settle(d);
    return 0;
}

void state_reset(Device *device)
{
    do_fields(CLEAR, NULL, device, family_state(device));
    do_fields(CLEAR, NULL, device, device->def->state);
}
