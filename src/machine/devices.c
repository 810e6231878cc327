/* Devices that users ask for: "NAME,PROPERTY=VALUE,..." (--device). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"
#include "device/devices.h"
#include "machine/machine.h"

static void *find_backend(const Machine *machine, const Property *p, const char *id)
{
    if (!strcmp(p->type, "disk") || !strcmp(p->type, "medium")) {
        return machine_find_disk(machine, id);
    }
    if (!strcmp(p->type, "char")) {
        return machine_find_chardev(machine, id);
    }
    if (!strcmp(p->type, "net")) {
        return machine_find_netdev(machine, id);
    }
    if (!strcmp(p->type, "display")) {
        return machine->display;
    }
    return !strcmp(p->type, "input") ? machine->input : NULL;
}

/* A back end by the id that the user gave it. */
static int set_backend(Machine *machine, void *device, const Property *p, const char *id,
                       char **error)
{
    void *backend = find_backend(machine, p, id);

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
           !strcmp(key, "bus") || !strcmp(key, "unit") || !strcmp(key, "bootindex");
}

/* bootindex=0 is the first to be tried. */
static int set_boot_index(Device *device, const BlockOptions *options, char **error)
{
    const char *text = block_options_get(options, "bootindex");
    char *end = NULL;
    long index = text ? strtol(text, &end, 10) : 0;

    if (text && (end == text || *end || index < 0 || index > 9999)) {
        device_error(error, "bootindex=%s: it is to be a number from 0 to 9999", text);
        return -EINVAL;
    }
    device->boot_index = text ? (u32)index + 1 : 0;
    return 0;
}

/* Network cards that are given no address have different ones all the same. */
static void choose_mac(Machine *machine, Device *device, const BlockOptions *options)
{
    char mac[24], *error;

    if (device_property(device->def, "mac") && !block_options_get(options, "mac")) {
        snprintf(mac, sizeof mac, "52:54:00:12:34:%02x", (0x56 + machine->card_count++) & 0xff);
        device_set(device, "mac", mac, &error);
    }
}

static int set_all(Machine *machine, Device *device, const BlockOptions *options, char **error)
{
    const char *key, *value;

    choose_mac(machine, device, options);
    for (size_t i = 0; block_options_at(options, i, &key, &value); i++) {
        const Property *p = device_property(device->def, key);
        int result = 0;
        if (is_placing(key)) {
            continue;
        }
        result = p && p->kind == PROPERTY_BACKEND ? set_backend(machine, device, p, value, error)
                                                  : device_set(device, key, value, error);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* On the bus that it is made for: the board's, or another device's. */
static int plug(Machine *machine, Device *device, const BlockOptions *options, char **error)
{
    const char *unit = block_options_get(options, "unit");
    int result;

    if (device->def->bus_kind == BUS_NONE) {
        device_error(error, "%s is part of a board and cannot be added", device->def->name);
        return -EINVAL;
    }
    result = machine->def->plug(machine, device, block_options_get(options, "addr"), error);
    return result == -ENODEV ? machine_plug(machine, device, block_options_get(options, "bus"),
                                            unit ? atoi(unit) : -1, error)
                             : result;
}

static int add_device(Machine *machine, const BlockOptions *options, char **error)
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
    device =
        machine_add(machine, device_new(def, &machine->board, block_options_get(options, "id")));
    result = set_boot_index(device, options, error);
    if (result == 0) {
        result = set_all(machine, device, options, error);
    }
    if (result == 0) {
        result = device_start(device, error);
    }
    return result == 0 ? plug(machine, device, options, error) : result;
}

int machine_add_requested(Machine *machine, char **error)
{
    int result = 0;

    for (const DeviceRequest *r = machine->options->devices; r && result == 0; r = r->next) {
        BlockOptions *list = block_options_new();
        BlockError why;
        if (block_options_parse(list, r->text, "driver", &why) < 0) {
            device_error(error, "--device %s: %s", r->text, why.text);
            result = -EINVAL;
        } else {
            result = add_device(machine, list, error);
        }
        block_options_free(list);
    }
    return result;
}
