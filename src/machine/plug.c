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
