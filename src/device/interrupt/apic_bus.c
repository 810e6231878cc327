/* Who gets interrupt messages: see apic_bus.h. */
#include "device/interrupt/apic_bus.h"

#include "device/interrupt/ioapic.h"
#include "device/interrupt/lapic.h"

/* The least busy of those that are addressed; in turn, if several are. */
static void *find_lowest(ApicBus *bus, const ApicMessage *message)
{
    void *best = NULL;
    u32 best_number = 0;

    for (u32 i = 1; i <= APIC_BUS_LOCAL; i++) {
        u32 number = (bus->last + i) % APIC_BUS_LOCAL;
        void *apic = bus->local[number];
        if (apic && lapic_is_enabled(apic) && lapic_is_addressed(apic, message) &&
            (!best || lapic_busyness(apic) < lapic_busyness(best))) {
            best = apic;
            best_number = number;
        }
    }
    if (best) {
        bus->last = best_number;
    }
    return best;
}

bool apic_bus_send(ApicBus *bus, const ApicMessage *message)
{
    bool taken = false;

    if (message->mode == DELIVER_LOWEST) {
        void *apic = find_lowest(bus, message);
        if (apic) {
            lapic_deliver(apic, message);
        }
        return apic != NULL;
    }
    for (u32 i = 0; i < APIC_BUS_LOCAL; i++) {
        if (bus->local[i] && lapic_is_addressed(bus->local[i], message)) {
            lapic_deliver(bus->local[i], message);
            taken = true;
        }
    }
    return taken;
}

void apic_bus_send_msi(ApicBus *bus, u64 address, u32 data)
{
    const ApicMessage message = {
        .destination = address >> 12 & 0xff,
        .logical = address & 4,
        .mode = data >> 8 & 7,
        .vector = (u8)data,
        .level = data & 0x8000,
    };

    if (address >> 20 == 0xfee && (!message.level || data & 0x4000)) {
        apic_bus_send(bus, &message);
    }
}

void apic_bus_end(ApicBus *bus, u8 vector)
{
    for (u32 i = 0; i < APIC_BUS_IO; i++) {
        if (bus->io[i]) {
            ioapic_end(bus->io[i], vector);
        }
    }
}
