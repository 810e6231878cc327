/* The i440FX host bridge: configuration cycles by mechanism #1 (PCI 3.0, 3.2.2.3.2), shadowing of
 * ROM areas by RAM (82441FX data sheet, 3.2.18 PAM) and the SMRAM window (3.2.19).
 *
 * The windows at 0xc0000 to 0xfffff are thirteen regions, each in one of the four states that its
 * PAM bits choose; where neither reads nor writes go to RAM, expansion ROMs or the firmware are
 * seen. The SMRAM window, RAM behind the graphics adapter's, is for system management mode when
 * G_SMRAME says so, and for everybody by D_OPEN, until D_LCK. */
#include "device/pci/i440fx.h"

#include <errno.h>

#include "device/devices.h"

enum {
    PAM = 0x59,
    SMRAM = 0x72,
    SMRAM_ENABLE = 0x08, /* G_SMRAME */
    SMRAM_OPEN = 0x40,
    SMRAM_LOCK = 0x10,
    PAM_READ = 1, /* reads go to RAM */
    PAM_WRITE = 2,
    WINDOWS = 13,
    WINDOW_PRIORITY = 2,
    ENABLE = 1u << 31, /* of the configuration address */
    RESET_FULL = 1 << 2,
    SMRAM_START = 0xa0000,
    SMRAM_SIZE = 0x20000,
    BIOS_START = 0xe0000,
    BIOS_SIZE = 0x20000,
};

typedef struct I440fx {
    PciFunction pci;
    Region config_region;
    u32 address; /* CONFADD */
    u8 reset_control;
    PciBus *bus;
    RamBlock *ram, *bios;
    Region windows[WINDOWS]; /* 0: 0xf0000 to 0xfffff; then 16 KiB each from 0xc0000 */
    Region smram, hidden_smram;
    AddressSpace *hidden; /* what system management mode alone sees */
} I440fx;

void i440fx_wire(void *device, PciBus *bus, RamBlock *ram, RamBlock *bios)
{
    I440fx *h = device;

    h->bus = bus;
    h->ram = ram;
    h->bios = bios;
}

AddressSpace *i440fx_smram(void *device)
{
    return ((I440fx *)device)->hidden;
}

/* -- Windows */

static u64 window_start(unsigned n)
{
    return n == 0 ? 0xf0000 : 0xc0000 + (n - 1) * 0x4000ull;
}

static u64 window_size(unsigned n)
{
    return n == 0 ? 0x10000 : 0x4000;
}

/* PAM0's high half is window 0; then two windows a register. */
static unsigned window_bits(const I440fx *h, unsigned n)
{
    u8 pam = h->pci.config[PAM + (n + 1) / 2];

    return (n & 1 ? pam : pam >> 4) & 3;
}

static void write_through(void *opaque, u64 offset, unsigned size, u64 value)
{
    u8 *ram = opaque; /* behind the window */

    (void)size;
    ram[offset] = (u8)value;
}

/* Reads of ROM, writes to RAM: how ROMs are copied onto themselves. */
static const RegionOps through_ops = {NULL, write_through, 1, 1, true, false, LITTLE};

static void update_window(I440fx *h, unsigned n)
{
    AddressSpace *space = h->pci.d.board->memory;
    Region *window = &h->windows[n];
    u64 start = window_start(n);
    unsigned bits = window_bits(h, n);

    space_remove(space, window);
    *window = (Region){.name = "shadow", .size = window_size(n), .priority = WINDOW_PRIORITY};
    if (bits & PAM_READ) {
        window->ram = h->ram;
        window->ram_offset = start;
        window->read_only = !(bits & PAM_WRITE);
    } else if (start >= BIOS_START) {
        window->ram = h->bios;
        window->ram_offset = h->bios->size - BIOS_SIZE + (start - BIOS_START);
        window->read_only = true;
        window->ops = bits & PAM_WRITE ? &through_ops : NULL;
        window->opaque = h->ram->host + start;
    } else if (!(bits & PAM_WRITE)) {
        return; /* the bus */
    } else {
        window->ram = h->ram; /* a write-only window without a ROM behind it */
        window->ram_offset = start;
    }
    space_add(space, window, start);
}

static void show_smram(I440fx *h, AddressSpace *space, Region *region, bool on)
{
    space_remove(space, region);
    if (on) {
        *region = (Region){.name = "smram",
                           .size = SMRAM_SIZE,
                           .priority = WINDOW_PRIORITY,
                           .ram = h->ram,
                           .ram_offset = SMRAM_START};
        space_add(space, region, SMRAM_START);
    }
}

/* Whoever looks through either space learns that it changed from the other, which all look at. */
static void update_smram(I440fx *h)
{
    u8 control = h->pci.config[SMRAM];

    show_smram(h, h->hidden, &h->hidden_smram, control & SMRAM_ENABLE);
    show_smram(h, h->pci.d.board->memory, &h->smram, control & SMRAM_OPEN);
}

static void update(I440fx *h)
{
    space_begin(h->pci.d.board->memory);
    for (unsigned n = 0; n < WINDOWS; n++) {
        update_window(h, n);
    }
    update_smram(h);
    space_commit(h->pci.d.board->memory);
}

static void config_written(void *device, u32 at, u32 size)
{
    I440fx *h = device;

    if (at + size > PAM && at <= SMRAM) {
        if (h->pci.config[SMRAM] & SMRAM_LOCK) {
            h->pci.config[SMRAM] &= (u8)~SMRAM_OPEN;
            pci_make_writable(&h->pci, SMRAM, 1, 0);
        }
        update(h);
    }
}

static void config_reset(void *device)
{
    I440fx *h = device;

    pci_put(&h->pci, 0x04, 2, 0x0006);
    pci_put(&h->pci, 0x06, 2, 0x0280);
    pci_put(&h->pci, SMRAM, 1, 0x02);
    pci_make_writable(&h->pci, 0x04, 2, 0x0100);
    pci_make_writable(&h->pci, PAM, 4, 0xffffffff);
    pci_make_writable(&h->pci, PAM + 4, 3, 0xffffff);
    pci_make_writable(&h->pci, SMRAM, 1, 0x58);
}

/* -- Ports 0xcf8 to 0xcff */

static u64 config_read(void *opaque, u64 offset, unsigned size)
{
    I440fx *h = opaque;
    u32 a = h->address;

    if (offset < 4) {
        return offset == 1 && size == 1 ? h->reset_control : a >> 8 * offset;
    }
    if (!(a & ENABLE) || a >> 16 & 0xff) { /* this bus alone */
        return ~(u64)0;
    }
    return pci_config_read(h->bus, a >> 11 & 31, a >> 8 & 7, (a & 0xfc) + (u32)offset - 4, size);
}

static void write_reset_control(I440fx *h, u8 value)
{
    bool edge = value & RESET_FULL && !(h->reset_control & RESET_FULL);

    h->reset_control = value & 0x0e;
    if (edge) {
        h->pci.d.board->event(h->pci.d.board, BOARD_RESET, 0);
    }
}

static void config_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    I440fx *h = opaque;
    u32 a = h->address;

    if (offset == 1 && size == 1) {
        write_reset_control(h, (u8)value);
    } else if (offset == 0 && size == 4) {
        h->address = (u32)value & 0x80fffffc;
    } else if (offset >= 4 && a & ENABLE && !(a >> 16 & 0xff)) {
        pci_config_write(h->bus, a >> 11 & 31, a >> 8 & 7, (a & 0xfc) + (u32)offset - 4, size,
                         (u32)value);
    }
}

static const RegionOps config_ops = {config_read, config_write, 1, 4, false, false, LITTLE};

/* -- Description */

static void settle(void *device)
{
    update(device);
}

static int start(void *device, char **error)
{
    I440fx *h = device;

    h->hidden = space_new("smram", 1 << 20);
    if (!h->hidden) {
        device_error(error, "out of memory");
        return -ENOMEM;
    }
    return 0;
}

static void stop(void *device)
{
    I440fx *h = device;

    for (unsigned n = 0; n < WINDOWS; n++) {
        space_remove(h->pci.d.board->memory, &h->windows[n]);
    }
    space_remove(h->pci.d.board->memory, &h->smram);
    space_free(h->hidden);
}

static const PciInfo info = {
    .vendor = 0x8086,
    .device = 0x1237,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x060000,
    .revision = 2,
    .config_written = config_written,
    .config_reset = config_reset,
};

static const RegisterBank banks[] = {
    {.name = "pci-config",
     .size = 8,
     .region = offsetof(I440fx, config_region),
     .ports = true,
     .raw = &config_ops},
};

static const StateField state[] = {
    PCI_STATE(I440fx),
    STATE(I440fx, address),
    STATE(I440fx, reset_control),
    STATE_END,
};

const DeviceDef device_i440fx = {
    .name = "i440FX",
    .summary = "host bridge of the PC",
    .size = sizeof(I440fx),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .start = start,
    .settle = settle,
    .stop = stop,
};
