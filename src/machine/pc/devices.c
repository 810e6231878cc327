/* Devices that users ask for: "NAME,PROPERTY=VALUE,..." (--device). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"
#include "device/devices.h"
#include "device/isa.h"
#include "machine/pc/pc.h"

/* A back end by the id that the user gave it. */
static int set_backend(Pc *pc, void *device, const Property *p, const char *id, char **error)
{
    void *backend = NULL;

    if (!strcmp(p->type, "disk") || !strcmp(p->type, "medium")) {
        backend = machine_find_disk(pc->machine, id);
    } else if (!strcmp(p->type, "display")) {
        backend = pc->machine->display;
    } else if (!strcmp(p->type, "input")) {
        backend = pc->machine->input;
    }
    if (!backend) {
        device_error(error, "%s=%s: there is no %s of that name", p->name, id, p->type);
        return -ENOENT;
    }
    if (!strcmp(p->type, "disk") && !disk_has_medium(backend)) {
        device_error(error, "%s=%s: a disk needs an image", p->name, id);
        return -EINVAL;
    }
    return device_set_backend(device, p->name, backend, error);
}

/* Where and what it is called is not the device's. */
static bool is_placing(const char *key)
{
    return !strcmp(key, "driver") || !strcmp(key, "id") || !strcmp(key, "addr") ||
           !strcmp(key, "bus") || !strcmp(key, "unit");
}

static int set_all(Pc *pc, Device *device, const BlockOptions *options, char **error)
{
    const char *key, *value;

    for (size_t i = 0; block_options_at(options, i, &key, &value); i++) {
        const Property *p = device_property(device->def, key);
        int result = 0;
        if (is_placing(key)) {
            continue;
        }
        result = p && p->kind == PROPERTY_BACKEND ? set_backend(pc, device, p, value, error)
                                                  : device_set(device, key, value, error);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* On the bus that it is made for. */
static int plug(Pc *pc, Device *device, const BlockOptions *options, char **error)
{
    const char *address = block_options_get(options, "addr");
    const char *unit = block_options_get(options, "unit");

    switch (device->def->bus_kind) {
    case BUS_PCI:
        return pci_attach(pc->pci, device, address ? (int)strtol(address, NULL, 16) : -1, 0, error);
    case BUS_ISA:
        if (device->def->bus) {
            device_connect(device, "irq", 0, pc_isa_input, pc, isa_irq_number(device));
        }
        return 0;
    case BUS_NONE:
        device_error(error, "%s is part of a board and cannot be added", device->def->name);
        return -EINVAL;
    default:
        return machine_plug(pc->machine, device, block_options_get(options, "bus"),
                            unit ? atoi(unit) : -1, error);
    }
}

static int add_device(Pc *pc, const BlockOptions *options, char **error)
{
    const char *name = block_options_get(options, "driver");
    const DeviceDef *def = name ? device_find(name) : NULL;
    Device *device;
    int result;

    if (!def) {
        device_error(error, "there is no device '%s'; `menura list devices` names those that exist",
                     name ? name : "");
        return -ENOENT;
    }
    device = machine_add(pc->machine,
                         device_new(def, &pc->machine->board, block_options_get(options, "id")));
    result = set_all(pc, device, options, error);
    if (result == 0) {
        result = device_start(device, error);
    }
    return result == 0 ? plug(pc, device, options, error) : result;
}

int pc_add_requested(Pc *pc, const MachineOptions *options, char **error)
{
    int result = 0;

    for (const DeviceRequest *r = options->devices; r && result == 0; r = r->next) {
        BlockOptions *list = block_options_new();
        BlockError why;
        if (block_options_parse(list, r->text, "driver", &why) < 0) {
            device_error(error, "--device %s: %s", r->text, why.text);
            result = -EINVAL;
        } else {
            result = add_device(pc, list, error);
        }
        block_options_free(list);
    }
    return result;
}
