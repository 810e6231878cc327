/* The PIIX3's IDE function (82371SB data sheet, 2.3 and chapter on bus mastering): two channels at
 * their usual ports and lines, and the bus master registers behind BAR 4 (Programming Interface for
 * Bus Master IDE Controller, 1.0).
 *
 * The output "irq" has a line for each channel. */
#include "device/ide/ide.h"

#include <errno.h>

#include "device/devices.h"
#include "device/pci/pci.h"

enum {
    COMMAND_START = 1,
    COMMAND_TO_MEMORY = 8,
    STATUS_ACTIVE = 1,
    STATUS_ERROR = 2,
    STATUS_INTERRUPT = 4,
    STATUS_CAPABLE = 0x60,
    PRD_END = 1u << 31,
};

typedef struct Piix3Ide Piix3Ide;

/* The bus master of one channel. */
typedef struct Master {
    u8 command, status;
    u32 table;   /* address of the descriptors */
    u32 next;    /* of the next one to be read */
    u32 address; /* what is left of the present one */
    u32 left;
    u8 last; /* it is the last */
} Master;

struct Piix3Ide {
    PciFunction pci;
    IdeChannel channel[2];
    Master master[2];
    Region master_region;
    Irq irq[2];
    IdeHost host;
};

static Piix3Ide *owner(IdeChannel *channel)
{
    return channel->owner;
}

static Master *master_of(IdeChannel *channel)
{
    Piix3Ide *p = owner(channel);

    return &p->master[channel - p->channel];
}

/* -- DMA for the drives */

static bool is_running(const Piix3Ide *p, const Master *m)
{
    return m->command & COMMAND_START && m->status & STATUS_ACTIVE && pci_is_master(p);
}

static void dma_ready(void *opaque, IdeChannel *channel)
{
    if (is_running(opaque, master_of(channel))) {
        ide_dma_run(channel);
    }
}

/* Reads the next descriptor: address, then count (0: 64 KiB) with the end mark. */
static bool next_descriptor(Piix3Ide *p, Master *m)
{
    u64 descriptor;

    if (m->last) {
        return false;
    }
    descriptor = dma_read_le(&p->pci.d.board->dma, m->next, 8);
    m->next += 8;
    m->address = (u32)descriptor & ~1u;
    m->left = (u32)(descriptor >> 32) & 0xfffe;
    m->left = m->left ? m->left : 0x10000;
    m->last = descriptor >> 32 & PRD_END ? 1 : 0;
    return true;
}

static u32 dma_map_pieces(void *opaque, IdeChannel *channel, struct iovec *iov, u32 *count,
                          u32 bytes, bool in)
{
    Piix3Ide *p = opaque;
    Master *m = master_of(channel);
    u32 room = *count, n = 0, done = 0;

    while (done < bytes && n < room && (m->left || next_descriptor(p, m))) {
        u64 size = MIN(m->left, bytes - done);
        u8 *host = dma_map(&p->pci.d.board->dma, m->address, &size, in);
        if (!host) {
            break;
        }
        iov[n++] = (struct iovec){host, size};
        m->address += (u32)size;
        m->left -= (u32)size;
        done += (u32)size;
    }
    *count = n;
    return done;
}

static void dma_unmap_pieces(void *opaque, IdeChannel *channel, const struct iovec *iov, u32 count)
{
    Piix3Ide *p = opaque;

    (void)channel;
    for (u32 i = 0; i < count; i++) {
        dma_done(&p->pci.d.board->dma, iov[i].iov_base, iov[i].iov_len);
    }
}

static void dma_end(void *opaque, IdeChannel *channel, bool good)
{
    Master *m = master_of(channel);

    (void)opaque;
    m->status |= good ? 0 : STATUS_ERROR;
    if (m->last && !m->left) {
        m->status &= (u8)~STATUS_ACTIVE;
    }
}

/* -- Registers of the bus master */

static void write_command(Piix3Ide *p, unsigned n, u8 value)
{
    Master *m = &p->master[n];
    bool start = value & COMMAND_START && !(m->command & COMMAND_START);

    m->command = value & (COMMAND_START | COMMAND_TO_MEMORY);
    if (start) {
        m->status |= STATUS_ACTIVE;
        m->next = m->table;
        m->left = m->last = 0;
        ide_dma_run(&p->channel[n]);
    } else if (!(value & COMMAND_START)) {
        m->status &= (u8)~STATUS_ACTIVE;
    }
}

static u64 master_read(void *opaque, u64 offset, unsigned size)
{
    Piix3Ide *p = opaque;
    const Master *m = &p->master[offset >> 3];

    (void)size;
    switch (offset & 7) {
    case 0:
        return m->command;
    case 2:
        return m->status;
    case 4 ... 7:
        return m->table >> 8 * (offset & 3);
    default:
        return 0;
    }
}

static void write_table(Master *m, u64 offset, unsigned size, u32 value)
{
    u32 shift = 8 * (u32)(offset & 3), mask = (~0u >> (32 - 8 * size)) << shift;

    m->table = ((m->table & ~mask) | (value << shift & mask)) & ~3u;
}

static void master_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    Piix3Ide *p = opaque;
    Master *m = &p->master[offset >> 3];
    u8 byte = (u8)value;

    switch (offset & 7) {
    case 0:
        write_command(p, (unsigned)(offset >> 3), byte);
        break;
    case 2:
        m->status = (u8)((m->status & STATUS_ACTIVE) | (byte & STATUS_CAPABLE) |
                         (m->status & ~byte & (STATUS_ERROR | STATUS_INTERRUPT)));
        break;
    case 4 ... 7:
        write_table(m, offset, size, (u32)value);
        break;
    }
}

static const RegionOps master_ops = {master_read, master_write, 1, 4, false, false, LITTLE};

/* -- Interrupts: the bus master notes the edge */

static void channel_interrupt(void *receiver, unsigned n, bool level)
{
    Piix3Ide *p = receiver;

    if (level) {
        p->master[n].status |= STATUS_INTERRUPT;
    }
    irq_set(&p->irq[n], level);
}

/* -- Description */

/* Without a unit: the first place that is free. */
static int plug(void *device, u32 bus, const void *drive, int unit, char **error)
{
    Piix3Ide *p = device;
    IdeChannel *channel = &p->channel[bus];
    unsigned place = unit < 0 ? channel->drive[0].present : (unsigned)unit;

    if (place > 1 || channel->drive[place].present) {
        device_error(error, "%s.%u has places for two drives", p->pci.d.id, bus);
        return -EBUSY;
    }
    ide_attach(channel, place, ide_drive_config(drive));
    return 0;
}

static const DeviceBus drives = {BUS_IDE, 2, plug};

static const IdeHost host_functions = {
    .ready = dma_ready, .map = dma_map_pieces, .unmap = dma_unmap_pieces, .end = dma_end};

static int start(void *device, char **error)
{
    static const u16 ports[2][2] = {{0x1f0, 0x3f6}, {0x170, 0x376}};
    Piix3Ide *p = device;
    Board *board = p->pci.d.board;

    (void)error;
    p->host = host_functions;
    p->host.opaque = p;
    for (unsigned n = 0; n < 2; n++) {
        IdeChannel *channel = &p->channel[n];
        ide_channel_init(channel, board, p, 2);
        channel->host = &p->host;
        channel->irq = (Irq){channel_interrupt, p, n};
        space_add(board->ports, &channel->task_file, ports[n][0]);
        space_add(board->ports, &channel->control, ports[n][1]);
    }
    return 0;
}

static void stop(void *device)
{
    Piix3Ide *p = device;

    ide_channel_free(&p->channel[0]);
    ide_channel_free(&p->channel[1]);
}

static void reset(void *device)
{
    Piix3Ide *p = device;

    for (unsigned n = 0; n < 2; n++) {
        ide_channel_reset(&p->channel[n]);
    }
}

static void settle(void *device)
{
    Piix3Ide *p = device;

    for (unsigned n = 0; n < 2; n++) {
        u8 status = p->master[n].status;
        ide_channel_settle(&p->channel[n]);
        p->master[n].status = status;
    }
}

static void config_reset(void *device)
{
    PciFunction *f = device;

    pci_put(f, 0x06, 2, 0x0280);
    pci_put(f, 0x40, 4, 0x80008000); /* both channels decode */
    pci_make_writable(f, 0x04, 2, 0x0005);
    pci_make_writable(f, 0x40, 4, 0xffffffff);
    pci_make_writable(f, 0x44, 1, 0xff);
}

static const PciInfo info = {
    .vendor = 0x8086,
    .device = 0x7010,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x010180,
    .bars = {[4] = {PCI_BAR_PORTS, 0}},
    .config_reset = config_reset,
};

static const RegisterBank banks[] = {
    {.name = "ide-bus-master",
     .size = 16,
     .region = offsetof(Piix3Ide, master_region),
     .ports = true,
     .raw = &master_ops},
};

static const StateField master_state[] = {
    STATE(Master, command), STATE(Master, status), STATE(Master, table), STATE(Master, next),
    STATE(Master, address), STATE(Master, left),   STATE(Master, last),  STATE_END,
};

static const StateField state[] = {
    PCI_STATE(Piix3Ide),
    STATE_STRUCTS(Piix3Ide, channel, ide_channel_state),
    STATE_STRUCTS(Piix3Ide, master, master_state),
    STATE_END,
};

static const IrqOutput outputs[] = {
    {"irq", offsetof(Piix3Ide, irq), 2},
    IRQ_OUTPUT_END,
};

const DeviceDef device_piix3_ide = {
    .name = "piix3-ide",
    .summary = "IDE controller of the PIIX3, with bus mastering",
    .size = sizeof(Piix3Ide),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
    .offers = &drives,
};
