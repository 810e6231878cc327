/* Devices on buses of other devices. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

static bool is_named(const Device *owner, u32 n, const char *bus)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%u", owner->id, n);
    return !bus || !strcmp(bus, name);
}

static bool is_taken(const Machine *machine, const Device *owner, u32 bus, u32 unit)
{
    bool taken = false;

    for (const Device *d = machine->devices; d; d = d->next) {
        taken |= d->owner == owner && d->owner_bus == bus && d->owner_unit == unit;
    }
    return taken;
}

/* Remembers where the device sits: at the place that was asked for, or else the first free one. */
static void note_place(const Machine *machine, Device *device, Device *owner, u32 bus, int unit)
{
    u32 place = unit < 0 ? 0 : (u32)unit;

    while (unit < 0 && is_taken(machine, owner, bus, place)) {
        place++;
    }
    device->owner = owner;
    device->owner_bus = bus;
    device->owner_unit = place;
}

int machine_plug(Machine *machine, Device *device, const char *bus, int unit, char **error)
{
    bool named = false;

    for (Device *owner = machine->devices; owner; owner = owner->next) {
        const DeviceBus *offers = owner->def->offers;
        bool fits = offers && owner->started && offers->kind == device->def->bus_kind;
        for (u32 n = 0; fits && n < offers->count; n++) {
            if (!is_named(owner, n, bus)) {
                continue;
            }
            char *why = NULL;
            int result = offers->plug(owner, n, device, unit, &why);
            if (result == 0) {
                note_place(machine, device, owner, n, unit);
            }
            if (result == 0 || bus || result != -EBUSY) {
                *error = why;
                return result;
            }
            free(why);
            named = true;
        }
    }
    if (bus) {
        device_error(error, "%s: there is no bus '%s' that it fits", device->id, bus);
    } else {
        device_error(error,
                     named ? "%s: every bus that it fits is full"
                           : "%s: no device of this machine has a bus for it",
                     device->id);
    }
    return named ? -EBUSY : -ENOENT;
}
