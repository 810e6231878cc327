/* The boot order as SeaBIOS and OVMF read it: a line for each device with its path in
 * OpenFirmware's notation (IEEE 1275 and its PCI and ISA bindings; the names of nodes are those
 * that QEMU gives them, as both know no others). */
#include "machine/boot_order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/virtio/virtio.h"

enum { PATH = 128, ENTRIES = 128, CLASS_NETWORK = 0x0200, CLASS_ISA_BRIDGE = 0x0601 };

typedef struct Entry {
    u32 index;  /* Device.boot_index; 0: none */
    u32 letter; /* place of its letter in the order */
    u32 number; /* in the order of finding */
    char path[PATH];
} Entry;

/* Devices that hold systems: their letter, and what follows their path. */
static const struct Kind {
    const char *name;
    char letter;
    const char *below; /* NULL: a drive, whose path is that of its controller and its place there */
} kinds[] = {
    {"ide-hd", 'c', NULL},
    {"ide-cd", 'd', NULL},
    {"virtio-blk-device", 'c', "/disk@0,0"},
    {"virtio-blk-pci", 'c', "/disk@0,0"},
    {"nvme", 'c', "/namespace@1,0"},
};

static u32 class_of(const PciFunction *f)
{
    return pci_get(f, 0x0a, 2);
}

/* The path of a PCI function; false if it is none, or is not in a slot. */
static bool pci_path(const Device *device, char path[PATH])
{
    static const struct {
        u32 class;
        const char *name;
    } names[] = {
        {0x0100, "scsi"}, {0x0101, "ide"}, {CLASS_NETWORK, "ethernet"}, {CLASS_ISA_BRIDGE, "isa"}};
    const PciFunction *f = pci_of((void *)(uintptr_t)device);
    char name[16], function[8] = "";

    if (device->def->bus_kind != BUS_PCI || !f->bus) {
        return false;
    }
    snprintf(name, sizeof name, "pci%04x,%04x", pci_get(f, 0, 2), pci_get(f, 2, 2));
    for (size_t i = 0; i < COUNT(names); i++) {
        if (names[i].class == class_of(f)) {
            strcpy(name, names[i].name);
        }
    }
    if (f->function) {
        snprintf(function, sizeof function, ",%x", f->function);
    }
    snprintf(path, PATH, "/pci@i0cf8/%s@%x%s", name, f->slot, function);
    return true;
}

/* The same of any device that has one. */
static bool device_path(const Device *device, char path[PATH])
{
    if (device->def->bus_kind == BUS_VIRTIO) {
        snprintf(path, PATH, "/virtio-mmio@%016llx",
                 (unsigned long long)((const Virtio *)(const void *)device)->region.start);
        return true;
    }
    return pci_path(device, path);
}

/* The floppy drives' controller is on the ISA bus, wherever that is. */
static bool floppy_path(const Machine *machine, u32 drive, char path[PATH])
{
    for (const Device *device = machine->devices; device; device = device->next) {
        char bridge[PATH];
        if (pci_path(device, bridge) &&
            class_of(pci_of((void *)(uintptr_t)device)) == CLASS_ISA_BRIDGE) {
            snprintf(path, PATH, "%.64s/fdc@03f0/floppy@%x", bridge, drive);
            return true;
        }
    }
    return false;
}

/* -- Finding */

typedef struct List {
    Entry entries[ENTRIES];
    u32 count;
    const char *letters;
} List;

static void add(List *list, const Device *device, char letter, const char *path)
{
    const char *place = strchr(list->letters, letter);

    if (list->count == ENTRIES || (!place && !device->boot_index)) {
        return;
    }
    Entry *entry = &list->entries[list->count];
    *entry = (Entry){.index = device->boot_index, .number = list->count};
    entry->letter = place ? (u32)(place - list->letters) : 0;
    strcpy(entry->path, path);
    list->count++;
}

static const struct Kind *kind_of(const Device *device)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (!strcmp(device->def->name, kinds[i].name)) {
            return &kinds[i];
        }
    }
    return NULL;
}

static void add_device(const Machine *machine, List *list, const Device *device)
{
    const struct Kind *kind = kind_of(device);
    char path[PATH], drive[40], whole[PATH];

    if (kind) {
        const Device *holder = kind->below ? device : device->owner;
        if (holder && device_path(holder, path)) {
            snprintf(drive, sizeof drive, "/drive@%x/disk@%x", device->owner_bus,
                     device->owner_unit);
            snprintf(whole, sizeof whole, "%.64s%s", path, kind->below ? kind->below : drive);
            add(list, device, kind->letter, whole);
        }
    } else if (!strcmp(device->def->name, "isa-fdc")) {
        for (u32 i = 0; i < 2 && floppy_path(machine, i, path); i++) {
            add(list, device, 'a', path);
        }
    } else if (pci_path(device, path) &&
               class_of(pci_of((void *)(uintptr_t)device)) == CLASS_NETWORK) {
        add(list, device, 'n', path);
    }
}

/* Those with an index by it; then the others by letter. */
static int compare(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    u32 x_index = x->index ? x->index : ~0u, y_index = y->index ? y->index : ~0u;

    if (x_index != y_index) {
        return x_index < y_index ? -1 : 1;
    }
    if (x->letter != y->letter) {
        return x->letter < y->letter ? -1 : 1;
    }
    return x->number < y->number ? -1 : 1;
}

bool boot_order_is_given(const Machine *machine)
{
    const MachineOptions *options = machine->options;
    bool given = options->boot_order || options->boot_once || options->boot_strict;

    for (const Device *device = machine->devices; device; device = device->next) {
        given |= device->boot_index != 0;
    }
    return given;
}

char *boot_order_text(const Machine *machine, const char *letters, size_t *size)
{
    List *list = calloc(1, sizeof *list);
    char *text = calloc(ENTRIES + 1, PATH), *to = text;

    if (!list || !text) {
        abort();
    }
    list->letters = letters;
    for (const Device *device = machine->devices; device; device = device->next) {
        add_device(machine, list, device);
    }
    qsort(list->entries, list->count, sizeof list->entries[0], compare);
    for (u32 i = 0; i < list->count; i++) {
        to += sprintf(to, "%s%s", i ? "\n" : "", list->entries[i].path);
    }
    if (machine->options->boot_strict) {
        to += sprintf(to, "%sHALT", list->count ? "\n" : "");
    }
    *size = (size_t)(to - text) + 1; /* with the 0 */
    free(list);
    return text;
}
