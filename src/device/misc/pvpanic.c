/* "pvpanic", "pvpanic-pci": a register by which a guest says that it crashed (QEMU's
 * docs/specs/pvpanic): a port, which Linux finds by the ACPI tables, or memory of a PCI function.
 * It reads as the events that are known; a written bit says that one of them happened. */
#include "device/misc/pvpanic.h"

#include "device/devices.h"
#include "device/pci/pci.h"

enum {
    PANICKED = 1 << 0,
    CRASH_LOADED = 1 << 1, /* it crashed, and goes on with a kernel for this case */
    BAR_SIZE = 16,
};

typedef struct Pvpanic {
    union {
        Device device;
        PciFunction pci; /* of the one on PCI */
    };
    Region region;
    u32 events, port;
} Pvpanic;

static u64 read_events(void *device, u64 offset, unsigned size)
{
    const Pvpanic *p = device;

    (void)size;
    return offset ? 0 : p->events & (PANICKED | CRASH_LOADED);
}

static void write_events(void *device, u64 offset, unsigned size, u64 value)
{
    Pvpanic *p = device;
    Board *board = p->device.board;

    (void)size;
    if (offset == 0 && value & p->events & PANICKED) {
        board->event(board, BOARD_PANIC, 0);
    }
}

u32 pvpanic_port(const void *device)
{
    return ((const Pvpanic *)device)->port & 0xffff;
}

static int start_port(void *device, char **error)
{
    Pvpanic *p = device;

    (void)error;
    device_map(p, 0, pvpanic_port(p));
    return 0;
}

static const RegionOps ops = {read_events, write_events, 1, 4, false, false, LITTLE};

static const RegisterBank port_banks[] = {
    {.name = "pvpanic",
     .size = 1,
     .region = offsetof(Pvpanic, region),
     .ports = true,
     .width = 1,
     .raw = &ops},
};

static const RegisterBank memory_banks[] = {
    {.name = "pvpanic",
     .size = BAR_SIZE,
     .region = offsetof(Pvpanic, region),
     .width = 1,
     .raw = &ops},
};

static const PciInfo info = {
    .vendor = 0x1b36,
    .device = 0x0011,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x088000,
    .revision = 1,
    .bars = {{PCI_BAR_MEMORY, 0}},
};

#define EVENTS                                                                                     \
    {                                                                                              \
        "events", PROPERTY_U32, offsetof(Pvpanic, events),                                         \
            "what it knows: 1 crashes, 2 those that the guest handles itself", "3", NULL           \
    }

static const Property port_properties[] = {
    EVENTS,
    {"ioport", PROPERTY_U32, offsetof(Pvpanic, port), "its port", "0x505", NULL},
    PROPERTY_END,
};

static const Property memory_properties[] = {EVENTS, PROPERTY_END};

static const StateField memory_state[] = {PCI_STATE(Pvpanic), STATE_END};

const DeviceDef device_pvpanic = {
    .name = "pvpanic",
    .summary = "port by which a guest says that it crashed",
    .size = sizeof(Pvpanic),
    .bus_kind = BUS_ISA,
    .banks = port_banks,
    .bank_count = COUNT(port_banks),
    .version = 1,
    .properties = port_properties,
    .start = start_port,
};

const DeviceDef device_pvpanic_pci = {
    .name = "pvpanic-pci",
    .summary = "the same on the PCI bus",
    .size = sizeof(Pvpanic),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = memory_banks,
    .bank_count = COUNT(memory_banks),
    .version = 1,
    .state = memory_state,
    .properties = memory_properties,
};
