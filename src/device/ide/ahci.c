/* "ahci": the SATA controller of the ICH9, six ports (Serial ATA AHCI 1.3.1; numbers of sections
 * are its; Serial ATA 3.0 for the frames, FIS).
 *
 * A port is a channel with one drive (ide.h): the command frame that the guest left in memory goes
 * into the drive's registers, the controller moves the drive's data by the command's descriptors,
 * and writes the registers back as a frame when the command ends. Queued commands, of which many
 * run at once, are in ahci_queue.c. Everything that the guest writes to memory is read once. */
#include "device/ide/ahci.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "device/devices.h"

/* GHC, PxCMD, PxSCTL, PxSERR. */
enum {
    CONTROL_RESET = 1,
    CONTROL_INTERRUPTS = 2,
    COMMAND_START = 1 << 0,
    COMMAND_SPIN_UP = 1 << 1,
    COMMAND_POWER = 1 << 2,
    COMMAND_CLEAR = 1 << 3, /* CLO */
    COMMAND_RECEIVE = 1 << 4,
    COMMAND_RECEIVING = 1 << 14,
    COMMAND_RUNNING = 1 << 15,
    COMMAND_ATAPI = 1 << 24,
    COMMAND_LINK = 7 << 25, /* its activity LED and power, which change nothing */
    COMMAND_SLOT = 31 << 8,
    LINK_DETECT = 15,
    LINK_RESET = 1,
    LINK_DISABLE = 4,
    LINK_EXCHANGED = 1 << 26,
    LINK_UP = 0x123, /* PxSSTS: active, 3 Gbit/s, device there */
};
#define CONTROL_AHCI (1u << 31)
/* Six ports, 32 slots, 64-bit addresses, queues, CLO, 3 Gbit/s, no legacy mode. */
#define CAPABILITIES (1u << 31 | 1u << 30 | 1u << 24 | 2u << 20 | 1u << 18 | 31u << 8 | 5u)

enum {
    VERSION = 0x00010300,
    HEADER = 32, /* bytes of a command header */
    HEADER_ATAPI = 1 << 5,
    HEADER_CLEAR_BUSY = 1 << 10,
    TABLE_PACKET = 0x40, /* in a command table */
    TABLE_DESCRIPTORS = 0x80,
    DESCRIPTOR = 16,
    DESCRIPTOR_COUNT = 0x3fffff,
    FIS_COMMAND = 0x27,
    FIS_REGISTERS = 0x34,
    FIS_PIO_SETUP = 0x5f,
    FIS_SIZE = 20,
    FIS_IS_COMMAND = 0x80,
    FIS_INTERRUPT = 0x40,
    FIS_IN = 0x20,
    PIO_SETUP_AT = 0x20, /* where frames are received (4.2.1) */
    REGISTERS_AT = 0x40,
    SIGNATURE_DISK = 0x00000101,
    ATTRIBUTE_MAP = 0x90, /* in configuration space: AHCI mode */
};

/* -- Interrupts (10.7) */

/* Messages are sent for ports with a new cause; remind: for those that had one, too. */
static void update_interrupt(Ahci *a, bool remind)
{
    u32 ports = 0, fresh;

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ports |= (u32)((a->status[n] & a->enable[n]) != 0) << n;
    }
    fresh = remind ? ports | a->interrupts : ports & ~a->interrupts;
    a->interrupts |= ports;
    bool level = a->control & CONTROL_INTERRUPTS && a->interrupts;
    if (!pci_msi_enabled(a)) {
        pci_set_interrupt(a, level);
    } else if (level && fresh) {
        pci_send_message(a, 0);
    }
}

/* -- Frames to the guest */

void ahci_receive(Ahci *a, unsigned n, u32 at, const u8 *fis, u32 size, u32 causes)
{
    a->task_file[n] = fis[2] | (u32)fis[3] << 8;
    if (a->command[n] & COMMAND_RECEIVE) {
        u64 place = (u64)a->fis_high[n] << 32 | a->fis[n];
        dma_write(ahci_dma(a), place + at, fis, size);
    }
    if (fis[2] & ATA_ERR) {
        causes |= AHCI_TASK_FILE_ERROR;
        a->halted[n] = 1;
    }
    a->status[n] |= causes;
    update_interrupt(a, false);
}

/* The drive's registers, as both kinds of frame have them. */
static void fill_frame(const IdeDrive *d, u8 *fis)
{
    fis[2] = d->status;
    fis[3] = d->error;
    fis[4] = (u8)d->lba_low;
    fis[5] = (u8)d->lba_mid;
    fis[6] = (u8)d->lba_high;
    fis[7] = d->select;
    fis[8] = (u8)(d->lba_low >> 8);
    fis[9] = (u8)(d->lba_mid >> 8);
    fis[10] = (u8)(d->lba_high >> 8);
    put_le(fis + 12, d->count, 2);
}

static void receive_registers(Ahci *a, unsigned n, bool interrupt)
{
    u8 fis[FIS_SIZE] = {FIS_REGISTERS, interrupt ? FIS_INTERRUPT : 0};

    fill_frame(&a->ports[n].channel.drive[0], fis);
    ahci_receive(a, n, REGISTERS_AT, fis, sizeof fis, interrupt ? AHCI_REGISTER_FIS : 0);
}

/* After a reset of the drive, the first frame says what it is. */
static void receive_signature(Ahci *a, unsigned n)
{
    const IdeDrive *d = &a->ports[n].channel.drive[0];

    if (d->present) {
        receive_registers(a, n, false);
        a->signature[n] = d->cdrom ? 0xeb140101 : SIGNATURE_DISK;
        a->halted[n] = 0;
    }
}

/* -- Memory of a command */

void ahci_put_total(Ahci *a, unsigned n, unsigned slot, u32 total)
{
    u64 list = (u64)a->list_high[n] << 32 | a->list[n];

    dma_write_le(ahci_dma(a), list + slot * HEADER + 4, 4, total);
}

/* What is left of the present descriptor, with its address; 0: there is none. */
static u64 present_piece(Ahci *a, AhciCursor *c, u64 *address)
{
    u8 bytes[DESCRIPTOR];
    u64 size;

    for (; c->index < c->count; c->index++, c->done = 0) {
        dma_read(ahci_dma(a), c->table + (u64)c->index * DESCRIPTOR, bytes, sizeof bytes);
        size = (get_le(bytes + 12, 4) & DESCRIPTOR_COUNT) + 1;
        if (c->done < size) {
            *address = get_le(bytes, 8) + c->done;
            return size - c->done;
        }
    }
    return 0;
}

u32 ahci_map(Ahci *a, AhciCursor *c, struct iovec *iov, u32 *count, u32 bytes, bool in)
{
    u32 room = *count, n = 0, mapped = 0;
    u64 address, size;

    while (mapped < bytes && n < room && (size = present_piece(a, c, &address)) != 0) {
        size = MIN(size, (u64)(bytes - mapped));
        u8 *host = dma_map(ahci_dma(a), address, &size, in);
        if (!host) {
            break;
        }
        iov[n++] = (struct iovec){host, size};
        c->done += (u32)size;
        c->total += (u32)size;
        mapped += (u32)size;
    }
    *count = n;
    return mapped;
}

void ahci_unmap(Ahci *a, const struct iovec *iov, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        dma_done(ahci_dma(a), iov[i].iov_base, iov[i].iov_len);
    }
}

/* -- The host of the drives */

static unsigned number_of(const Ahci *a, const IdeChannel *channel)
{
    return (unsigned)((const AhciPort *)(const void *)channel - a->ports);
}

static void dma_ready(void *opaque, IdeChannel *channel)
{
    (void)opaque;
    ide_dma_run(channel);
}

static u32 dma_map_pieces(void *opaque, IdeChannel *channel, struct iovec *iov, u32 *count,
                          u32 bytes, bool in)
{
    Ahci *a = opaque;

    return ahci_map(a, &a->ports[number_of(a, channel)].cursor, iov, count, bytes, in);
}

static void dma_unmap_pieces(void *opaque, IdeChannel *channel, const struct iovec *iov, u32 count)
{
    (void)channel;
    ahci_unmap(opaque, iov, count);
}

static void dma_end(void *opaque, IdeChannel *channel, bool good)
{
    (void)opaque, (void)channel, (void)good; /* the frame at the end says it */
}

/* Copies PIO data; what the descriptors have no room for is lost. */
static bool move(Ahci *a, AhciCursor *cursor, u8 *bytes, u32 size, bool in)
{
    u64 address, part;

    while (size && (part = present_piece(a, cursor, &address)) != 0) {
        part = MIN(part, (u64)size);
        if (in) {
            dma_write(ahci_dma(a), address, bytes, part);
        } else {
            dma_read(ahci_dma(a), address, bytes, part);
        }
        cursor->done += (u32)part;
        cursor->total += (u32)part;
        bytes += part;
        size -= (u32)part;
    }
    return !size;
}

static void pio(void *opaque, IdeChannel *channel, u8 *bytes, u32 size, bool in)
{
    Ahci *a = opaque;
    unsigned n = number_of(a, channel);
    AhciPort *port = &a->ports[n];
    const IdeDrive *d = &channel->drive[0];

    if (d->after == IDE_AFTER_PACKET) {
        dma_read(ahci_dma(a), port->table + TABLE_PACKET, bytes, size);
        return;
    }
    u8 flags = (u8)((channel->interrupt ? FIS_INTERRUPT : 0) | (in ? FIS_IN : 0));
    u8 fis[FIS_SIZE] = {FIS_PIO_SETUP, flags};
    bool whole = move(a, &port->cursor, bytes, size, in);

    fill_frame(d, fis);
    fis[15] = d->status & (u8)~ATA_DRQ; /* the status at the end */
    put_le(fis + 16, size, 2);
    ahci_receive(a, n, PIO_SETUP_AT, fis, sizeof fis,
                 (channel->interrupt ? AHCI_PIO_SETUP_FIS : 0) | (whole ? 0 : AHCI_OVERFLOW));
    a->task_file[n] = fis[15] | (u32)fis[3] << 8;
}

/* The slot stays occupied after an error (6.2.2.1). */
static void ended(void *opaque, IdeChannel *channel)
{
    Ahci *a = opaque;
    unsigned n = number_of(a, channel);
    AhciPort *port = &a->ports[n];
    const IdeDrive *d = &channel->drive[0];

    if (port->slot == AHCI_NO_SLOT) {
        return;
    }
    ahci_put_total(a, n, port->slot, port->cursor.total);
    a->issued[n] &= d->status & ATA_ERR ? ~0u : ~(1u << port->slot);
    port->slot = AHCI_NO_SLOT;
    if (channel->interrupt) { /* PIO input has told its end before */
        receive_registers(a, n, true);
    } else {
        a->task_file[n] = d->status | (u32)d->error << 8;
    }
    ahci_run_port(a, n);
}

/* -- Commands (5.5) */

static bool is_running(const Ahci *a, unsigned n)
{
    return a->command[n] & COMMAND_START && !a->halted[n] && pci_is_master(a);
}

static IdeTaskFile task_file_of(const u8 *fis)
{
    return (IdeTaskFile){
        .command = fis[2],
        .features = (u16)(fis[3] | fis[11] << 8),
        .lba_low = (u16)(fis[4] | fis[8] << 8),
        .lba_mid = (u16)(fis[5] | fis[9] << 8),
        .lba_high = (u16)(fis[6] | fis[10] << 8),
        .device = fis[7],
        .count = (u16)(fis[12] | fis[13] << 8),
    };
}

/* A frame that only sets the device control register: it resets the drive. */
static void write_control(Ahci *a, unsigned n, unsigned slot, u8 value, bool clear_busy)
{
    AhciPort *port = &a->ports[n];
    bool was = port->channel.drive[0].control & 4;

    a->issued[n] &= ~(1u << slot);
    ide_control(&port->channel, value);
    if (was && !(value & 4)) {
        receive_signature(a, n);
    } else {
        a->task_file[n] = clear_busy ? ATA_DRDY : ATA_BSY;
    }
}

/* The slot's header and table, each once. */
static void start_slot(Ahci *a, unsigned n, unsigned slot)
{
    AhciPort *port = &a->ports[n];
    u8 header[HEADER] = {0}, fis[FIS_SIZE] = {0};
    u64 list = (u64)a->list_high[n] << 32 | a->list[n];

    dma_read(ahci_dma(a), list + slot * HEADER, header, sizeof header);
    u64 table = get_le(header + 8, 8) & ~(u64)127;
    AhciCursor cursor = {.table = table + TABLE_DESCRIPTORS, .count = (u32)get_le(header + 2, 2)};
    dma_read(ahci_dma(a), table, fis, sizeof fis);
    a->command[n] = (a->command[n] & ~(u32)COMMAND_SLOT) | slot << 8;
    if (fis[0] != FIS_COMMAND) {
        device_guest_error(a, "port %u: a frame of type %#x is no command", n, fis[0]);
        a->issued[n] &= ~(1u << slot);
        return;
    }
    if (!(fis[1] & FIS_IS_COMMAND)) {
        write_control(a, n, slot, fis[15], get_le(header, 2) & HEADER_CLEAR_BUSY);
        return;
    }
    IdeTaskFile file = task_file_of(fis);
    if ((file.command == ATA_READ_QUEUED || file.command == ATA_WRITE_QUEUED) &&
        !port->channel.drive[0].cdrom) {
        ahci_queue_start(a, n, slot, &file, &cursor);
        return;
    }
    port->slot = (u8)slot;
    port->cursor = cursor;
    port->table = table;
    a->task_file[n] = ATA_BSY | ATA_DRDY;
    ide_issue(&port->channel, &file);
}

/* One command at a time that is not queued. */
static bool may_start(const Ahci *a, unsigned n)
{
    return is_running(a, n) && a->issued[n] && a->ports[n].slot == AHCI_NO_SLOT &&
           !disk_is_busy(&a->ports[n].channel.drive[0].request);
}

/* A command that ends at once calls back here; the loop that started it goes on. */
void ahci_run_port(Ahci *a, unsigned n)
{
    AhciPort *port = &a->ports[n];

    if (port->starting || !port->channel.drive[0].present) {
        return;
    }
    port->starting = true;
    for (unsigned tries = 0; tries < AHCI_SLOTS && may_start(a, n); tries++) {
        start_slot(a, n, (unsigned)__builtin_ctz(a->issued[n]));
    }
    port->starting = false;
}

/* -- Resets (10.4) */

/* Stops the port's commands, without a trace. None starts when one ends meanwhile. */
static void drop_commands(Ahci *a, unsigned n)
{
    a->ports[n].slot = AHCI_NO_SLOT;
    a->active[n] = a->issued[n] = 0;
    ahci_queue_cancel(a, n);
    a->active[n] = 0;
    a->halted[n] = 0;
}

static void reset_link(Ahci *a, unsigned n)
{
    IdeChannel *channel = &a->ports[n].channel;
    bool present = channel->drive[0].present;

    drop_commands(a, n);
    ide_hard_reset(channel);
    a->task_file[n] = present ? ATA_BSY : 0x7f;
    a->signature[n] = ~0u;
    if (present && !(a->link_control[n] & LINK_DETECT)) {
        a->link_error[n] |= LINK_EXCHANGED;
        a->status[n] |= AHCI_CONNECT_CHANGE;
        receive_signature(a, n);
    }
}

static void reset_port(Ahci *a, unsigned n)
{
    a->status[n] = a->enable[n] = 0;
    a->command[n] = COMMAND_SPIN_UP | COMMAND_POWER;
    a->link_control[n] = a->link_error[n] = 0;
    reset_link(a, n);
}

static void reset_all(Ahci *a)
{
    a->control = CONTROL_AHCI;
    a->interrupts = 0;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        reset_port(a, n);
    }
    update_interrupt(a, false);
}

/* -- Registers (3) */

static u64 read_capabilities(void *device)
{
    (void)device;
    return CAPABILITIES;
}

static u64 read_ports(void *device)
{
    (void)device;
    return (1 << AHCI_PORTS) - 1;
}

static u64 read_version(void *device)
{
    (void)device;
    return VERSION;
}

static void write_control_register(void *device, u64 value)
{
    Ahci *a = device;

    if (value & CONTROL_RESET) {
        reset_all(a);
    } else {
        a->control = CONTROL_AHCI | (value & CONTROL_INTERRUPTS);
        update_interrupt(a, true);
    }
}

static void write_interrupts(void *device, u64 value)
{
    (void)value;
    update_interrupt(device, true);
}

static void write_causes(void *device, u32 n, u64 value)
{
    (void)n, (void)value;
    update_interrupt(device, false);
}

static u64 read_link_status(void *device, u32 n)
{
    const Ahci *a = device;
    u32 detect = a->link_control[n] & LINK_DETECT;

    return detect == LINK_DISABLE                            ? LINK_DISABLE
           : a->ports[n].channel.drive[0].present && !detect ? LINK_UP
                                                             : 0;
}

static void write_link_control(void *device, u32 n, u64 value)
{
    Ahci *a = device;
    u32 old = a->link_control[n];

    a->link_control[n] = (u32)value & 0xfff;
    if ((old ^ value) & LINK_DETECT) {
        reset_link(a, n);
        update_interrupt(a, false);
    }
}

static void write_command(void *device, u32 n, u64 value)
{
    static const u32 writable = COMMAND_START | COMMAND_RECEIVE | COMMAND_ATAPI | COMMAND_LINK;
    Ahci *a = device;
    u32 old = a->command[n], now = (old & ~writable) | ((u32)value & writable);

    if (value & COMMAND_CLEAR) {
        a->task_file[n] &= ~(u32)(ATA_BSY | ATA_DRQ);
    }
    now &= ~(u32)(COMMAND_RUNNING | COMMAND_RECEIVING);
    now |= now & COMMAND_START ? COMMAND_RUNNING : 0;
    now |= now & COMMAND_RECEIVE ? COMMAND_RECEIVING : 0;
    a->command[n] = now;
    if (old & ~now & COMMAND_START) {
        drop_commands(a, n);
        a->command[n] &= ~(u32)COMMAND_SLOT;
        if (a->ports[n].channel.drive[0].status & (ATA_BSY | ATA_DRQ)) {
            ide_hard_reset(&a->ports[n].channel);
        }
    }
    if (~old & now & COMMAND_RECEIVE && a->signature[n] != ~0u) {
        receive_signature(a, n); /* which nobody could receive before */
    }
    ahci_run_port(a, n);
}

static void write_active(void *device, u32 n, u64 value)
{
    Ahci *a = device;

    a->active[n] |= a->command[n] & COMMAND_START ? (u32)value : 0;
}

static void write_issued(void *device, u32 n, u64 value)
{
    Ahci *a = device;

    a->issued[n] |= a->command[n] & COMMAND_START ? (u32)value : 0;
    ahci_run_port(a, n);
}

#define PORT_REGISTER(at_, name_, field_, ...)                                                     \
    {                                                                                              \
        .at = 0x100 + (at_), .name = name_, REG_FIELD(Ahci, field_[0]), .count = AHCI_PORTS,       \
        .stride = 0x80, __VA_ARGS__                                                                \
    }

static const Register registers[] = {
    {.at = 0x00, .name = "CAP", .read = read_capabilities},
    {.at = 0x04, .name = "GHC", REG_FIELD(Ahci, control), .write = write_control_register},
    {.at = 0x08,
     .name = "IS",
     REG_FIELD(Ahci, interrupts),
     .clear = ~0u,
     .write = write_interrupts},
    {.at = 0x0c, .name = "PI", .read = read_ports},
    {.at = 0x10, .name = "VS", .read = read_version},
    {.at = 0x14, .name = "none", .count = 6}, /* coalescing, enclosures, hand-off, CAP2 */
    PORT_REGISTER(0x00, "PxCLB", list, .mask = ~0x3ffu),
    PORT_REGISTER(0x04, "PxCLBU", list_high, .mask = ~0u),
    PORT_REGISTER(0x08, "PxFB", fis, .mask = ~0xffu),
    PORT_REGISTER(0x0c, "PxFBU", fis_high, .mask = ~0u),
    PORT_REGISTER(0x10, "PxIS", status, .clear = ~0u, .write_at = write_causes),
    PORT_REGISTER(0x14, "PxIE", enable, .mask = 0xfdc000ff, .write_at = write_causes),
    PORT_REGISTER(0x18, "PxCMD", command, .write_at = write_command),
    PORT_REGISTER(0x20, "PxTFD", task_file),
    PORT_REGISTER(0x24, "PxSIG", signature),
    {.at = 0x128,
     .name = "PxSSTS",
     .count = AHCI_PORTS,
     .stride = 0x80,
     .read_at = read_link_status},
    PORT_REGISTER(0x2c, "PxSCTL", link_control, .write_at = write_link_control),
    PORT_REGISTER(0x30, "PxSERR", link_error, .clear = ~0u),
    PORT_REGISTER(0x34, "PxSACT", active, .write_at = write_active),
    PORT_REGISTER(0x38, "PxCI", issued, .write_at = write_issued),
    {.at = 0x13c, .name = "PxSNTF", .count = AHCI_PORTS, .stride = 0x80},
    {.at = 0x140, .name = "PxFBS", .count = AHCI_PORTS, .stride = 0x80},
};

static const RegisterBank banks[] = {
    {.name = "ahci",
     .size = 0x1000,
     .region = offsetof(Ahci, region),
     .width = 4,
     .registers = registers,
     .count = COUNT(registers)},
};

/* -- Description */

static int plug(void *device, u32 bus, const void *drive, int unit, char **error)
{
    Ahci *a = device;

    if (a->ports[bus].channel.drive[0].present || unit > 0) {
        device_error(error, "%s.%u has place for one drive", a->pci.d.id, bus);
        return -EBUSY;
    }
    ide_attach(&a->ports[bus].channel, 0, ide_drive_config(drive));
    return 0;
}

static int start(void *device, char **error)
{
    static const IdeHost functions = {
        .ready = dma_ready,
        .map = dma_map_pieces,
        .unmap = dma_unmap_pieces,
        .end = dma_end,
        .pio = pio,
        .ended = ended,
    };
    Ahci *a = device;

    (void)error;
    a->host = functions;
    a->host.opaque = a;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ide_channel_init(&a->ports[n].channel, a->pci.d.board, a, 1);
        a->ports[n].channel.host = &a->host;
    }
    pci_add_msi(a);
    return 0;
}

static void stop(void *device)
{
    Ahci *a = device;

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        drop_commands(a, n);
        ahci_queue_free(a, n);
        ide_channel_free(&a->ports[n].channel);
    }
}

static void reset(void *device)
{
    Ahci *a = device;

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        drop_commands(a, n);
        ide_channel_reset(&a->ports[n].channel);
    }
    reset_all(a);
}

static void settle(void *device)
{
    Ahci *a = device;

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        a->ports[n].slot = AHCI_NO_SLOT;
        ide_channel_settle(&a->ports[n].channel);
    }
    update_interrupt(a, false);
}

static void config_reset(void *device)
{
    pci_put(device, ATTRIBUTE_MAP, 1, 0x40);
}

/* It may have become a bus master. */
static void config_written(void *device, u32 at, u32 size)
{
    (void)at, (void)size;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ahci_run_port(device, n);
    }
}

static const PciInfo info = {
    .vendor = 0x8086,
    .device = 0x2922,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x010601,
    .revision = 2,
    .interrupt_pin = 1,
    .bars = {[5] = {PCI_BAR_MEMORY, 0}},
    .config_written = config_written,
    .config_reset = config_reset,
};

static const StateField port_state[] = {
    {"channel", offsetof(AhciPort, channel), sizeof(IdeChannel), 1, ide_port_state, STATE_VALUE},
    STATE_END,
};

static const StateField state[] = {
    PCI_STATE(Ahci),
    STATE_STRUCTS(Ahci, ports, port_state),
    STATE_ARRAY(Ahci, halted),
    STATE_END,
};

static const DeviceBus drives = {BUS_IDE, AHCI_PORTS, plug};

#define AHCI_DEVICE(name_)                                                                         \
    {                                                                                              \
        .name = name_, .summary = "SATA controller (AHCI) of the ICH9, with six ports",            \
        .size = sizeof(Ahci), .bus_kind = BUS_PCI, .bus = &info, .banks = banks,                   \
        .bank_count = COUNT(banks), .version = 1, .state = state, .start = start, .stop = stop,    \
        .reset = reset, .settle = settle, .offers = &drives,                                       \
    }

/* Two names of one thing, as in QEMU. */
const DeviceDef device_ahci = AHCI_DEVICE("ahci");
const DeviceDef device_ich9_ahci = AHCI_DEVICE("ich9-ahci");
