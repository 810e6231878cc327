/* PCI (PCI Local Bus Specification 3.0): configuration space, base address registers, interrupts
 * and messages of functions, and the bus that they sit on.
 *
 * A PCI device's struct begins with a PciFunction (whose first member is the Device); its DeviceDef
 * has bus_kind BUS_PCI, a PciInfo as `bus`, and PCI_STATE() first in its state list. Its banks are
 * placed by the guest through the BARs that the PciInfo ties to them; a bank's size is that of its
 * Region after start(), a power of two. Memory BARs may show RAM: start() sets Region.ram.
 * All functions need the machine lock. */
#ifndef DEVICE_PCI_PCI_H
#define DEVICE_PCI_PCI_H

#include "device/core/device.h"

typedef struct PciBus PciBus;

enum { PCI_BARS = 6, PCI_CONFIG_SIZE = 256, PCI_SLOTS = 32, PCI_MSIX_VECTORS = 64 };

typedef enum PciBarKind {
    PCI_BAR_NONE,
    PCI_BAR_PORTS,
    PCI_BAR_MEMORY,   /* below 4 GiB */
    PCI_BAR_MEMORY64, /* takes the next BAR as well */
    PCI_BAR_PREFETCH, /* memory without side effects, below 4 GiB */
    PCI_BAR_PREFETCH64,
} PciBarKind;

typedef struct PciInfo {
    u16 vendor, device;
    u16 subsystem_vendor, subsystem;
    u32 class_code; /* 24 bits: class, subclass, interface */
    u8 revision;
    u8 interrupt_pin; /* 1..4: INTA..INTD; 0: none */
    struct {
        PciBarKind kind;
        u8 bank; /* of the DeviceDef */
    } bars[PCI_BARS];
    /* After a write to configuration space that the common code stored. */
    void (*config_written)(void *device, u32 at, u32 size);
    /* Before a read, to bring fields up to date. */
    void (*config_reading)(void *device, u32 at, u32 size);
    /* Sets what is fixed beyond the header, through pci_config_*(), at each reset. */
    void (*config_reset)(void *device);
} PciInfo;

typedef struct PciFunction {
    Device d;
    const PciInfo *info; /* NULL: the DeviceDef's; else start() set it */
    PciBus *bus;
    u8 slot, function;
    u8 config[PCI_CONFIG_SIZE];
    u8 writable[PCI_CONFIG_SIZE]; /* bits that the guest may change */
    u8 clear[PCI_CONFIG_SIZE];    /* bits that a written 1 clears */
    struct {
        u8 at, id, size;
    } capabilities[8];
    u32 capability_count;
    bool multi_function;
    bool wanted, level; /* of its interrupt pin: as the device, as the bus sees it */
    RamBlock *rom;      /* expansion ROM; owned */
    Region rom_region;
    char *rom_file; /* property */
    u8 msi, msix;   /* offsets of the capabilities; 0: none */
    u8 msix_bar;
    u16 msix_count;
    u8 msix_table[16 * PCI_MSIX_VECTORS]; /* 6.8.2.6 to 6.8.2.9 */
    u8 msix_pending[PCI_MSIX_VECTORS / 8];
} PciFunction;

extern const StateField pci_state[];
#define PCI_STATE(type)                                                                            \
    {                                                                                              \
        "pci", offsetof(type, pci), sizeof(PciFunction), 1, pci_state, STATE_VALUE                 \
    }

/* -- The bus */

/* What a bus drives. */
typedef struct PciWires {
    void *opaque;
    /* Line 0..3: PIRQA..D after the usual swizzle (slot + pin). */
    void (*interrupt)(void *opaque, unsigned line, bool level);
    /* A message-signalled interrupt (6.8): a 32-bit write of data to the address. */
    void (*message)(void *opaque, u64 address, u32 data);
} PciWires;

PciBus *pci_bus_new(Board *board, const PciWires *wires);
void pci_bus_free(PciBus *bus);

/* Puts a started function into a slot (-1: the first free one); several functions of a slot are
 * numbered. 0 or -errno with a line in *error. */
int pci_attach(PciBus *bus, void *device, int slot, unsigned function, char **error);
/* The function, or NULL. */
PciFunction *pci_function_at(PciBus *bus, unsigned slot, unsigned function);

/* What firmware does: gives every BAR an address, memory from `memory` up and ports from `ports`
 * up, each aligned to its size, and lets functions decode them. */
void pci_assign(PciBus *bus, u64 memory, u16 ports);

/* Configuration cycles: all ones where there is no function. address: offset in the space. */
u32 pci_config_read(PciBus *bus, unsigned slot, unsigned function, u32 at, unsigned size);
void pci_config_write(PciBus *bus, unsigned slot, unsigned function, u32 at, unsigned size,
                      u32 value);

/* -- For functions */

static inline PciFunction *pci_of(void *device)
{
    return device;
}

/* What says its class, BARs... */
const PciInfo *pci_info(const void *device);

/* Fields of configuration space, little-endian. */
u32 pci_get(const PciFunction *f, u32 at, unsigned size);
void pci_put(PciFunction *f, u32 at, unsigned size, u32 value);
/* Lets the guest change these bits. */
void pci_make_writable(PciFunction *f, u32 at, unsigned size, u32 mask);

/* The level of the function's interrupt pin. */
void pci_set_interrupt(void *device, bool level);

/* Adds a capability of `size` bytes; returns its offset. To be called in start(). */
u8 pci_add_capability(void *device, u8 id, u8 size);
/* Message-signalled interrupts: one vector (6.8.1). */
void pci_add_msi(void *device);
/* `count` vectors (6.8.2), at most PCI_MSIX_VECTORS, with table and pending bits in the bank that
 * the PciInfo ties to that BAR: its region is the common code's. */
void pci_add_msix(void *device, unsigned bar, u16 count);
bool pci_msi_enabled(const void *device);
bool pci_msix_enabled(const void *device);
/* Sends vector n (MSI: 0), if it is enabled and not masked; else it is pending. */
void pci_send_message(void *device, unsigned vector);
/* Interrupt for those with one cause: by message if enabled, else the pin. */
void pci_signal(void *device, bool level);

/* Whether the function may do DMA, decode memory, decode ports (COMMAND). */
bool pci_is_master(const void *device);

#endif
