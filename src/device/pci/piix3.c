/* The PIIX3 ISA bridge (82371SB data sheet): routes PCI interrupts to the ISA lines (PIRQRCA..D,
 * 4.1.12). Its other registers only hold what is written.
 *
 * The output "irq" has sixteen lines, which the board joins with those of ISA devices. */
#include "device/pci/piix3.h"

#include "device/devices.h"

enum { PIRQRC = 0x60, PIRQRC_OFF = 0x80, LINES = 16 };

typedef struct Piix3 {
    PciFunction pci;
    Irq irq[LINES];
    u8 levels; /* of PIRQA..D, bit 0..3 */
} Piix3;

/* An ISA line is up while any PIRQ routed to it is. */
static void update(Piix3 *p)
{
    u32 up = 0;

    for (unsigned line = 0; line < 4; line++) {
        u8 route = p->pci.config[PIRQRC + line];
        if (!(route & PIRQRC_OFF) && p->levels >> line & 1) {
            up |= 1u << (route & 15);
        }
    }
    for (unsigned n = 0; n < LINES; n++) {
        irq_set(&p->irq[n], up >> n & 1);
    }
}

void piix3_interrupt(void *device, unsigned line, bool level)
{
    Piix3 *p = device;

    p->levels = (u8)((p->levels & ~(1u << line)) | (u32)level << line);
    update(p);
}

static void config_written(void *device, u32 at, u32 size)
{
    if (at + size > PIRQRC && at < PIRQRC + 4) {
        update(device);
    }
}

static void config_reset(void *device)
{
    PciFunction *f = device;

    pci_put(f, 0x04, 2, 0x0007);
    pci_put(f, 0x06, 2, 0x0200);
    pci_put(f, 0x4c, 1, 0x4d);
    pci_put(f, 0x4e, 2, 0x0003);
    pci_put(f, PIRQRC, 4, 0x80808080);
    pci_put(f, 0x69, 1, 0x02);
    pci_put(f, 0x70, 1, 0x80);
    pci_put(f, 0x76, 2, 0x0c0c);
    pci_put(f, 0xa8, 1, 0x0f);
    pci_make_writable(f, 0x04, 2, 0x0008);
    pci_make_writable(f, 0x4c, 4, 0x0fff00ff);
    pci_make_writable(f, PIRQRC, 4, 0x8f8f8f8f);
    pci_make_writable(f, 0x69, 3, 0x00ffff);
    pci_make_writable(f, 0x70, 2, 0x8f6f);
    pci_make_writable(f, 0x76, 4, 0xffff8f8f);
    pci_make_writable(f, 0xa0, 4, 0xffffffff);
    pci_make_writable(f, 0xa4, 4, 0xffffffff);
    pci_make_writable(f, 0xa8, 4, 0xffffffff);
}

static void settle(void *device)
{
    update(device);
}

static const PciInfo info = {
    .vendor = 0x8086,
    .device = 0x7000,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x060100,
    .config_written = config_written,
    .config_reset = config_reset,
};

static const StateField state[] = {
    PCI_STATE(Piix3),
    STATE_END,
};

/* What the functions drive: it follows from their own states. */
static const StateField kept[] = {
    STATE(Piix3, levels),
    STATE_END,
};

static const IrqOutput outputs[] = {
    {"irq", offsetof(Piix3, irq), LINES},
    IRQ_OUTPUT_END,
};

const DeviceDef device_piix3 = {
    .name = "PIIX3",
    .summary = "south bridge of the PC: PCI to ISA",
    .size = sizeof(Piix3),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .version = 1,
    .state = state,
    .kept = kept,
    .outputs = outputs,
    .settle = settle,
};
