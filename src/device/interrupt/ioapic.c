/* "ioapic": an I/O APIC with 24 inputs and an EOI register. Intel 82093AA data sheet (290566-001);
 * the EOI register as in Intel ICH5 data sheet (252516-001), section 9.5.
 *
 * Property "bus" is the ApicBus. Mapped by the board (bank 0), usually at 0xfec00000. */
#include "device/interrupt/ioapic.h"

#include <errno.h>

#include "device/devices.h"

enum { SELECT_OFFSET = 0x00, WINDOW_OFFSET = 0x10, EOI_OFFSET = 0x40, SIZE = 0x1000 };
enum { INDEX_ID = 0, INDEX_VERSION = 1, INDEX_ARBITRATION = 2, INDEX_ENTRIES = 0x10 };
enum { VERSION = 0x20 };

/* A redirection entry. */
#define ENTRY_VECTOR 0xffull
#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_WRITABLE (0xff0000000001afffull)

typedef struct IoApic {
    Device device;
    Region registers;
    ApicBus *bus;
    u32 id; /* in its bits 27..24 */
    u8 select;
    u32 levels; /* of the inputs */
    u64 entries[IOAPIC_PINS];
} IoApic;

static void send(IoApic *io, unsigned pin)
{
    u64 *entry = &io->entries[pin];
    const ApicMessage message = {
        .destination = *entry >> 56,
        .logical = *entry & ENTRY_LOGICAL,
        .level = *entry & ENTRY_LEVEL,
        .mode = *entry >> 8 & 7,
        .vector = *entry & ENTRY_VECTOR,
    };

    if (message.level && (message.mode == DELIVER_FIXED || message.mode == DELIVER_LOWEST)) {
        *entry |= ENTRY_REMOTE_IRR;
    }
    if (io->bus) {
        apic_bus_send(io->bus, &message);
    }
}

/* Sends what a level asks for and has not been sent. */
static void send_level(IoApic *io, unsigned pin)
{
    u64 entry = io->entries[pin];

    if (entry & ENTRY_LEVEL && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) &&
        io->levels & 1u << pin) {
        send(io, pin);
    }
}

void ioapic_input(void *device, unsigned line, bool level)
{
    IoApic *io = device;
    bool rises = level && !(io->levels & 1u << line);

    io->levels = level ? io->levels | 1u << line : io->levels & ~(1u << line);
    if (io->entries[line] & ENTRY_LEVEL) {
        send_level(io, line);
    } else if (rises && !(io->entries[line] & ENTRY_MASKED)) {
        send(io, line); /* masked edges are lost */
    }
}

void ioapic_end(void *device, u8 vector)
{
    IoApic *io = device;

    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        if ((io->entries[i] & ENTRY_VECTOR) == vector && io->entries[i] & ENTRY_LEVEL) {
            io->entries[i] &= ~ENTRY_REMOTE_IRR;
            send_level(io, i);
        }
    }
}

/* -- Registers */

static u32 read_window(const IoApic *io)
{
    unsigned entry = (io->select - INDEX_ENTRIES) / 2u;

    switch (io->select) {
    case INDEX_ID:
    case INDEX_ARBITRATION:
        return io->id;
    case INDEX_VERSION:
        return (IOAPIC_PINS - 1) << 16 | VERSION;
    default:
        if (io->select < INDEX_ENTRIES || entry >= IOAPIC_PINS) {
            return 0;
        }
        return (u32)(io->entries[entry] >> (io->select & 1 ? 32 : 0));
    }
}

static void write_entry(IoApic *io, unsigned pin, bool high, u32 value)
{
    u64 *entry = &io->entries[pin], old = *entry;
    u64 new = high ? (old & 0xffffffff) | (u64)value << 32 : (old & ~0xffffffffull) | value;

    *entry = (new &ENTRY_WRITABLE) | (old & ENTRY_REMOTE_IRR);
    if (!(*entry & ENTRY_LEVEL)) {
        *entry &= ~ENTRY_REMOTE_IRR; /* by which guests make an end of interrupt up */
    }
    send_level(io, pin);
}

static void write_window(IoApic *io, u32 value)
{
    unsigned entry = (io->select - INDEX_ENTRIES) / 2u;

    if (io->select == INDEX_ID) {
        io->id = value & 0x0f000000;
    } else if (io->select >= INDEX_ENTRIES && entry < IOAPIC_PINS) {
        write_entry(io, entry, io->select & 1, value);
    } else {
        device_guest_error(io, "write to register %#x", io->select);
    }
}

static u64 read_register(void *device, u64 offset, unsigned size)
{
    const IoApic *io = device;

    (void)size;
    return offset == SELECT_OFFSET ? io->select : offset == WINDOW_OFFSET ? read_window(io) : 0;
}

static void write_register(void *device, u64 offset, unsigned size, u64 value)
{
    IoApic *io = device;

    (void)size;
    switch (offset) {
    case SELECT_OFFSET:
        io->select = (u8)value;
        break;
    case WINDOW_OFFSET:
        write_window(io, (u32)value);
        break;
    case EOI_OFFSET:
        ioapic_end(io, (u8)value);
        break;
    default:
        device_guest_error(io, "write at offset %#llx", (unsigned long long)offset);
        break;
    }
}

/* -- The device */

static int start(void *device, char **error)
{
    IoApic *io = device;
    u32 place = 0;

    while (io->bus && place < APIC_BUS_IO && io->bus->io[place]) {
        place++;
    }
    if (place == APIC_BUS_IO) {
        device_error(error, "%s: there are too many I/O APICs", io->device.id);
        return -EBUSY;
    }
    if (io->bus) {
        io->bus->io[place] = io;
    }
    return 0;
}

static void stop(void *device)
{
    const IoApic *io = device;

    for (u32 i = 0; io->bus && i < APIC_BUS_IO; i++) {
        io->bus->io[i] = io->bus->io[i] == io ? NULL : io->bus->io[i];
    }
}

static void reset(void *device)
{
    IoApic *io = device;

    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        io->entries[i] = ENTRY_MASKED;
    }
}

static const RegionOps ops = {read_register, write_register, 4, 4};

static const RegisterBank banks[] = {
    {.name = "ioapic",
     .size = SIZE,
     .region = offsetof(IoApic, registers),
     .width = 4,
     .raw = &ops},
};

static const StateField state[] = {
    STATE(IoApic, id),
    STATE(IoApic, select),
    STATE_ARRAY(IoApic, entries),
    STATE_END,
};

/* The inputs are others' outputs, which a reset of this device does not change. */
static const StateField kept[] = {STATE(IoApic, levels), STATE_END};

static const Property properties[] = {
    {"bus", PROPERTY_BACKEND, offsetof(IoApic, bus), "where its messages go", NULL, "apic-bus"},
    PROPERTY_END,
};

const DeviceDef device_ioapic = {
    .name = "ioapic",
    .summary = "I/O APIC with 24 inputs",
    .size = sizeof(IoApic),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .kept = kept,
    .properties = properties,
    .start = start,
    .stop = stop,
    .reset = reset,
};
