/* Message-signalled interrupts: MSI (6.8.1) and MSI-X (6.8.2) of PCI 3.0. */
#include <assert.h>
#include <string.h>

#include "device/pci/internal.h"

enum {
    CAPABILITY_MSI = 0x05,
    CAPABILITY_MSIX = 0x11,
    MSI_CONTROL = 2,
    MSI_ADDRESS = 4,
    MSI_ADDRESS_HIGH = 8,
    MSI_DATA = 12,
    MSI_ENABLE = 1,
    MSI_64 = 0x80,
    MSIX_CONTROL = 2,
    MSIX_TABLE = 4,
    MSIX_PENDING = 8,
    MSIX_ENABLE = 0x8000,
    MSIX_MASK_ALL = 0x4000,
    ENTRY = 16, /* bytes of a table entry: address, address high, data, control */
    ENTRY_DATA = 8,
    ENTRY_CONTROL = 12,
    ENTRY_MASKED = 1,
    PENDING_AT = 0x800, /* in the region */
    REGION_SIZE = 0x1000,
};

void pci_add_msi(void *device)
{
    PciFunction *f = device;

    f->msi = pci_add_capability(f, CAPABILITY_MSI, 14);
    pci_make_writable(f, f->msi + MSI_CONTROL, 2, MSI_ENABLE);
    pci_make_writable(f, f->msi + MSI_ADDRESS, 4, ~3u);
    pci_make_writable(f, f->msi + MSI_ADDRESS_HIGH, 4, ~0u);
    pci_make_writable(f, f->msi + MSI_DATA, 2, 0xffff);
}

bool pci_msi_enabled(const void *device)
{
    const PciFunction *f = device;

    return f->msi && pci_get(f, f->msi + MSI_CONTROL, 2) & MSI_ENABLE;
}

bool pci_msix_enabled(const void *device)
{
    const PciFunction *f = device;

    return f->msix && pci_get(f, f->msix + MSIX_CONTROL, 2) & MSIX_ENABLE;
}

static u32 entry_word(const PciFunction *f, unsigned vector, unsigned at)
{
    const u8 *bytes = f->msix_table + vector * ENTRY + at;

    return bytes[0] | (u32)bytes[1] << 8 | (u32)bytes[2] << 16 | (u32)bytes[3] << 24;
}

static bool is_masked(const PciFunction *f, unsigned vector)
{
    return pci_get(f, f->msix + MSIX_CONTROL, 2) & MSIX_MASK_ALL ||
           entry_word(f, vector, ENTRY_CONTROL) & ENTRY_MASKED;
}

static void send_msix(PciFunction *f, unsigned vector)
{
    u64 address = entry_word(f, vector, 0) | (u64)entry_word(f, vector, 4) << 32;

    pci_bus_message(f->bus, address, entry_word(f, vector, ENTRY_DATA));
}

void pci_send_message(void *device, unsigned vector)
{
    PciFunction *f = device;

    if (pci_msix_enabled(f)) {
        if (vector >= f->msix_count) {
            return;
        }
        if (is_masked(f, vector)) {
            f->msix_pending[vector / 8] |= (u8)(1 << vector % 8);
        } else {
            send_msix(f, vector);
        }
    } else if (pci_msi_enabled(f)) {
        u64 address = pci_get(f, f->msi + MSI_ADDRESS, 4) |
                      (u64)pci_get(f, f->msi + MSI_ADDRESS_HIGH, 4) << 32;
        pci_bus_message(f->bus, address, pci_get(f, f->msi + MSI_DATA, 2));
    }
}

/* Sends what was pending and is not masked any more. */
static void send_pending(PciFunction *f)
{
    for (unsigned vector = 0; pci_msix_enabled(f) && vector < f->msix_count; vector++) {
        u8 bit = (u8)(1 << vector % 8);
        if (f->msix_pending[vector / 8] & bit && !is_masked(f, vector)) {
            f->msix_pending[vector / 8] &= (u8)~bit;
            send_msix(f, vector);
        }
    }
}

static u64 table_read(void *opaque, u64 offset, unsigned size)
{
    PciFunction *f = opaque;
    u64 value = 0;

    if (offset + size <= (u64)f->msix_count * ENTRY) {
        memcpy(&value, f->msix_table + offset, size);
    } else if (offset >= PENDING_AT && offset + size <= PENDING_AT + sizeof f->msix_pending) {
        memcpy(&value, f->msix_pending + (offset - PENDING_AT), size);
    }
    return value;
}

static void table_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    PciFunction *f = opaque;

    if (offset + size <= (u64)f->msix_count * ENTRY) {
        memcpy(f->msix_table + offset, &value, size);
        send_pending(f);
    }
}

static const RegionOps table_ops = {table_read, table_write, 4, 8, false, false, LITTLE};

void pci_add_msix(void *device, unsigned bar, u16 count)
{
    PciFunction *f = device;
    Region *region = pci_bar_region(f, bar);

    assert(count <= PCI_MSIX_VECTORS && region && "room for the vectors, in a BAR");
    f->msix = pci_add_capability(f, CAPABILITY_MSIX, 12);
    f->msix_bar = (u8)bar;
    f->msix_count = count;
    pci_make_writable(f, f->msix + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
    region->size = REGION_SIZE;
    region->ops = &table_ops;
    region->opaque = f;
}

void pci_message_reset(PciFunction *f)
{
    if (f->msi) {
        pci_put(f, f->msi + MSI_CONTROL, 2, MSI_64);
    }
    if (f->msix) {
        pci_put(f, f->msix + MSIX_CONTROL, 2, f->msix_count - 1u);
        pci_put(f, f->msix + MSIX_TABLE, 4, f->msix_bar);
        pci_put(f, f->msix + MSIX_PENDING, 4, PENDING_AT | f->msix_bar);
        for (unsigned vector = 0; vector < f->msix_count; vector++) {
            f->msix_table[vector * ENTRY + ENTRY_CONTROL] = ENTRY_MASKED;
        }
    }
}

void pci_message_written(PciFunction *f, u32 at, u32 size)
{
    if (f->msix && at < f->msix + 4u && at + size > f->msix) {
        send_pending(f);
    }
}
