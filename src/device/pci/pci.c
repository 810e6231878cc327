/* Configuration space, BARs and the bus. See pci.h. Section numbers are of PCI 3.0. */
#include "device/pci/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/pci/internal.h"

enum {
    CONFIG_COMMAND = 0x04,
    CONFIG_STATUS = 0x06,
    CONFIG_BAR0 = 0x10,
    CONFIG_ROM = 0x30,
    CONFIG_CAPABILITIES = 0x34,
    CONFIG_INTERRUPT_LINE = 0x3c,
    CONFIG_INTERRUPT_PIN = 0x3d,
    COMMAND_PORTS = 1,
    COMMAND_MEMORY = 2,
    COMMAND_MASTER = 4,
    COMMAND_NO_INTERRUPT = 1 << 10,
    STATUS_INTERRUPT = 1 << 3,
    STATUS_CAPABILITIES = 1 << 4,
    FIRST_CAPABILITY = 0x40,
    MULTI_FUNCTION = 0x80,
    ROM_LIMIT = 16 << 20,
};

struct PciBus {
    Board *board;
    PciWires wires;
    PciFunction *functions[PCI_SLOTS * 8];
    u32 raised[4]; /* functions that hold each line up */
};

const StateField pci_state[] = {
    STATE_ARRAY(PciFunction, config),
    STATE_ARRAY(PciFunction, msix_table),
    STATE_ARRAY(PciFunction, msix_pending),
    STATE_END,
};

const PciInfo *pci_info(const void *device)
{
    const PciFunction *f = device;

    return f->info ? f->info : f->d.def->bus;
}

/* -- Fields of configuration space */

u32 pci_get(const PciFunction *f, u32 at, unsigned size)
{
    u32 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (u32)f->config[at + i] << 8 * i;
    }
    return value;
}

void pci_put(PciFunction *f, u32 at, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size; i++) {
        f->config[at + i] = (u8)(value >> 8 * i);
    }
}

void pci_make_writable(PciFunction *f, u32 at, unsigned size, u32 mask)
{
    for (unsigned i = 0; i < size; i++) {
        f->writable[at + i] = (u8)(mask >> 8 * i);
    }
}

static u32 command(const PciFunction *f)
{
    return pci_get(f, CONFIG_COMMAND, 2);
}

bool pci_is_master(const void *device)
{
    return command(device) & COMMAND_MASTER;
}

/* -- Base address registers (6.2.5.1) */

Region *pci_bar_region(PciFunction *f, unsigned bar)
{
    const PciInfo *info = pci_info(f);

    if (info->bars[bar].kind == PCI_BAR_NONE) {
        return NULL;
    }
    return (Region *)(void *)((u8 *)f + f->d.def->banks[info->bars[bar].bank].region);
}

static bool is_wide(PciBarKind kind)
{
    return kind == PCI_BAR_MEMORY64 || kind == PCI_BAR_PREFETCH64;
}

static u32 type_bits(PciBarKind kind)
{
    switch (kind) {
    case PCI_BAR_PORTS:
        return 1;
    case PCI_BAR_MEMORY64:
        return 4;
    case PCI_BAR_PREFETCH:
        return 8;
    case PCI_BAR_PREFETCH64:
        return 12;
    default:
        return 0;
    }
}

static void place(AddressSpace *space, Region *region, bool enabled, u64 address)
{
    if (!space || (space_contains(space, region) && enabled && region->start == address)) {
        return;
    }
    space_remove(space, region);
    if (enabled) {
        space_add(space, region, address);
    }
}

/* Where a BAR says its region is; an address of 0 or with all bits set is none: it is being sized.
 */
static void place_bar(PciFunction *f, unsigned bar)
{
    PciBarKind kind = pci_info(f)->bars[bar].kind;
    Region *region = pci_bar_region(f, bar);
    bool ports = kind == PCI_BAR_PORTS, enabled;
    u64 address = pci_get(f, CONFIG_BAR0 + 4 * bar, 4) & (ports ? ~3u : ~15u);

    if (is_wide(kind)) {
        address |= (u64)pci_get(f, CONFIG_BAR0 + 4 * bar + 4, 4) << 32;
    }
    enabled = command(f) & (ports ? COMMAND_PORTS : COMMAND_MEMORY) && address &&
              address + region->size - 1 < (ports           ? 0x10000
                                            : is_wide(kind) ? 1ull << 52
                                                            : 0xfffff000);
    place(ports ? f->d.board->ports : f->d.board->memory, region, enabled, address);
}

static void place_rom(PciFunction *f)
{
    u32 bar = pci_get(f, CONFIG_ROM, 4), address = bar & ~0x7ffu;

    if (f->rom) {
        place(f->d.board->memory, &f->rom_region, bar & 1 && command(f) & COMMAND_MEMORY && address,
              address);
    }
}

static void place_all(PciFunction *f)
{
    AddressSpace *memory = f->d.board->memory, *ports = f->d.board->ports;

    space_begin(memory);
    if (ports) {
        space_begin(ports);
    }
    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        if (pci_info(f)->bars[bar].kind) {
            place_bar(f, bar);
        }
    }
    place_rom(f);
    if (ports) {
        space_commit(ports);
    }
    space_commit(memory);
}

/* The bits that hold an address are those above the size. */
static void init_bar(PciFunction *f, unsigned bar)
{
    PciBarKind kind = pci_info(f)->bars[bar].kind;
    u64 mask = ~(pci_bar_region(f, bar)->size - 1);
    u32 at = CONFIG_BAR0 + 4 * bar;

    pci_make_writable(f, at, 4, (u32)mask & (kind == PCI_BAR_PORTS ? ~3u : ~15u));
    if (is_wide(kind)) {
        pci_make_writable(f, at + 4, 4, (u32)(mask >> 32));
    }
}

/* -- Reset */

static void init_writable(PciFunction *f)
{
    pci_make_writable(f, CONFIG_COMMAND, 2, 0x0547);
    pci_make_writable(f, 0x0c, 1, 0xff); /* cache line size */
    pci_make_writable(f, 0x0d, 1, 0xf8); /* latency timer */
    pci_make_writable(f, CONFIG_INTERRUPT_LINE, 1, 0xff);
    f->clear[CONFIG_STATUS + 1] = 0xf9;
    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        if (pci_info(f)->bars[bar].kind) {
            init_bar(f, bar);
        }
    }
    if (f->rom) {
        pci_make_writable(f, CONFIG_ROM, 4, ~(u32)(f->rom_region.size - 1) | 1);
    }
}

static void reset_header(PciFunction *f)
{
    const PciInfo *info = pci_info(f);

    pci_put(f, 0x00, 2, info->vendor);
    pci_put(f, 0x02, 2, info->device);
    pci_put(f, 0x08, 1, info->revision);
    pci_put(f, 0x09, 3, info->class_code);
    pci_put(f, 0x2c, 2, info->subsystem_vendor);
    pci_put(f, 0x2e, 2, info->subsystem);
    pci_put(f, CONFIG_INTERRUPT_PIN, 1, info->interrupt_pin);
    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        if (info->bars[bar].kind) {
            pci_put(f, CONFIG_BAR0 + 4 * bar, 4, type_bits(info->bars[bar].kind));
        }
    }
    f->config[0x0e] = f->multi_function ? MULTI_FUNCTION : 0;
}

static void reset_capabilities(PciFunction *f)
{
    for (u32 i = 0; i < f->capability_count; i++) {
        const u8 at = f->capabilities[i].at;
        f->config[at] = f->capabilities[i].id;
        f->config[at + 1] = i + 1 < f->capability_count ? f->capabilities[i + 1].at : 0;
    }
    if (f->capability_count) {
        f->config[CONFIG_CAPABILITIES] = f->capabilities[0].at;
        f->config[CONFIG_STATUS] |= STATUS_CAPABILITIES;
    }
}

static void pci_reset(void *device)
{
    PciFunction *f = device;

    pci_set_interrupt(f, false);
    reset_header(f);
    reset_capabilities(f);
    pci_message_reset(f);
    if (pci_info(f)->config_reset) {
        pci_info(f)->config_reset(f);
    }
}

/* After a reset or load. */
static void pci_settle(void *device)
{
    PciFunction *f = device;

    place_all(f);
    f->level = false; /* the device's own settle() raises it again */
}

static void detach(void *device)
{
    PciFunction *f = device;

    pci_set_interrupt(f, false);
    space_remove(f->d.board->memory, &f->rom_region);
    f->bus->functions[f->slot * 8 + f->function] = NULL;
    ram_free(f->rom);
    f->rom = NULL;
}

static const DeviceBusOps pci_ops = {pci_reset, pci_settle, detach};

/* -- Configuration cycles */

static bool touches(u32 at, u32 size, u32 from, u32 length)
{
    return at < from + length && from < at + size;
}

static void written(PciFunction *f, u32 at, u32 size)
{
    if (touches(at, size, CONFIG_COMMAND, 2) || touches(at, size, CONFIG_BAR0, 24) ||
        touches(at, size, CONFIG_ROM, 4)) {
        place_all(f);
        pci_set_interrupt(f, f->wanted);
    }
    pci_message_written(f, at, size);
    if (pci_info(f)->config_written) {
        pci_info(f)->config_written(f, at, size);
    }
}

PciFunction *pci_function_at(PciBus *bus, unsigned slot, unsigned function)
{
    return slot < PCI_SLOTS && function < 8 ? bus->functions[slot * 8 + function] : NULL;
}

u32 pci_config_read(PciBus *bus, unsigned slot, unsigned function, u32 at, unsigned size)
{
    PciFunction *f = pci_function_at(bus, slot, function);

    if (!f || at + size > PCI_CONFIG_SIZE) {
        return ~0u >> (32 - 8 * size);
    }
    if (pci_info(f)->config_reading) {
        pci_info(f)->config_reading(f, at, size);
    }
    return pci_get(f, at, size);
}

void pci_config_write(PciBus *bus, unsigned slot, unsigned function, u32 at, unsigned size,
                      u32 value)
{
    PciFunction *f = pci_function_at(bus, slot, function);

    if (!f || at + size > PCI_CONFIG_SIZE) {
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        u8 byte = (u8)(value >> 8 * i), *place = &f->config[at + i];
        *place = (u8)((*place & ~f->writable[at + i]) | (byte & f->writable[at + i]));
        *place &= (u8) ~(byte & f->clear[at + i]);
    }
    written(f, at, size);
}

/* -- Interrupt pins */

static void drive(PciFunction *f, bool level)
{
    PciBus *bus = f->bus;
    unsigned line = (f->slot + pci_get(f, CONFIG_INTERRUPT_PIN, 1) - 1) & 3;

    if (level == f->level) {
        return;
    }
    f->level = level;
    bus->raised[line] += level ? 1 : -1u;
    bus->wires.interrupt(bus->wires.opaque, line, bus->raised[line] != 0);
}

void pci_set_interrupt(void *device, bool level)
{
    PciFunction *f = device;

    f->wanted = level;
    f->config[CONFIG_STATUS] =
        (u8)((f->config[CONFIG_STATUS] & ~STATUS_INTERRUPT) | (level ? STATUS_INTERRUPT : 0));
    if (f->bus) {
        drive(f, level && !(command(f) & COMMAND_NO_INTERRUPT));
    }
}

void pci_signal(void *device, bool level)
{
    if (pci_msix_enabled(device) || pci_msi_enabled(device)) {
        if (level) {
            pci_send_message(device, 0);
        }
    } else {
        pci_set_interrupt(device, level);
    }
}

/* -- Capabilities (6.7) */

u8 pci_add_capability(void *device, u8 id, u8 size)
{
    PciFunction *f = device;
    u32 n = f->capability_count++;
    u8 at = n ? (u8)(f->capabilities[n - 1].at + ALIGN_UP(f->capabilities[n - 1].size, 4))
              : FIRST_CAPABILITY;

    f->capabilities[n].at = at;
    f->capabilities[n].id = id;
    f->capabilities[n].size = size;
    return at;
}

/* -- The bus */

PciBus *pci_bus_new(Board *board, const PciWires *wires)
{
    PciBus *bus = calloc(1, sizeof *bus);

    if (!bus) {
        abort();
    }
    bus->board = board;
    bus->wires = *wires;
    return bus;
}

void pci_bus_free(PciBus *bus)
{
    free(bus);
}

void pci_bus_message(PciBus *bus, u64 address, u32 data)
{
    bus->wires.message(bus->wires.opaque, address, data);
}

/* Reads the expansion ROM's file. */
static int load_rom(PciFunction *f, char **error)
{
    struct stat st;
    u64 size = 2048;
    int fd;

    if (!f->rom_file || !*f->rom_file) {
        return 0;
    }
    fd = open(f->rom_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > ROM_LIMIT) {
        device_error(error, "%s: cannot read the ROM file %s", f->d.id, f->rom_file);
        if (fd >= 0) {
            close(fd);
        }
        return -ENOENT;
    }
    while (size < (u64)st.st_size) {
        size *= 2;
    }
    f->rom = ram_new("rom", size);
    bool whole = f->rom && read(fd, f->rom->host, (size_t)st.st_size) == st.st_size;
    close(fd);
    if (!whole) {
        device_error(error, "%s: cannot load the ROM file %s", f->d.id, f->rom_file);
        return -EIO;
    }
    f->rom_region = (Region){.name = f->d.id, .size = size, .read_only = true, .ram = f->rom};
    return 0;
}

static int find_slot(const PciBus *bus)
{
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++) {
        bool free_slot = true;
        for (unsigned function = 0; function < 8; function++) {
            free_slot &= !bus->functions[slot * 8 + function];
        }
        if (free_slot) {
            return (int)slot;
        }
    }
    return -1;
}

int pci_attach(PciBus *bus, void *device, int slot, unsigned function, char **error)
{
    PciFunction *f = device;
    int result;

    slot = slot < 0 ? find_slot(bus) : slot;
    if (slot < 0 || slot >= PCI_SLOTS || function > 7 || bus->functions[slot * 8 + (int)function]) {
        device_error(error, "%s: its PCI slot is taken, or none is free", f->d.id);
        return -EBUSY;
    }
    result = load_rom(f, error);
    if (result < 0) {
        return result;
    }
    f->bus = bus;
    f->slot = (u8)slot;
    f->function = (u8)function;
    f->d.bus_ops = &pci_ops;
    bus->functions[slot * 8 + (int)function] = f;
    if (function && bus->functions[slot * 8]) {
        bus->functions[slot * 8]->multi_function = true;
    }
    init_writable(f);
    return 0;
}

/* -- Standing in for firmware */

static void assign_bar(PciFunction *f, unsigned bar, u64 *memory, u64 *ports)
{
    PciBarKind kind = pci_info(f)->bars[bar].kind;
    u64 *next = kind == PCI_BAR_PORTS ? ports : memory;
    u64 size = pci_bar_region(f, bar)->size, address = ALIGN_UP(*next, size);

    *next = address + size;
    pci_put(f, CONFIG_BAR0 + 4 * bar, 4, (u32)address | type_bits(kind));
    if (is_wide(kind)) {
        pci_put(f, CONFIG_BAR0 + 4 * bar + 4, 4, (u32)(address >> 32));
    }
}

void pci_assign(PciBus *bus, u64 memory, u16 first_port)
{
    u64 ports = first_port;

    for (size_t i = 0; i < COUNT(bus->functions); i++) {
        PciFunction *f = bus->functions[i];
        for (unsigned bar = 0; f && bar < PCI_BARS; bar++) {
            if (pci_info(f)->bars[bar].kind) {
                assign_bar(f, bar, &memory, &ports);
            }
        }
        if (f) {
            pci_put(f, CONFIG_COMMAND, 2, command(f) | COMMAND_PORTS | COMMAND_MEMORY);
            place_all(f);
        }
    }
}
