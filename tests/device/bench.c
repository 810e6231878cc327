/* Back ends and places for any device. See bench.h. */
#include "tests/device/bench.h"

#include <linux/input-event-codes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/char/driver.h"
#include "device/core/space.h"
#include "device/firmware/fw_cfg.h"
#include "device/interrupt/i8259.h"
#include "device/interrupt/ioapic.h"
#include "device/interrupt/lapic.h"
#include "device/pci/i440fx.h"
#include "device/pci/piix3.h"
#include "device/pci/piix4_pm.h"
#include "device/timer/hpet.h"
#include "device/virtio/virtio.h"

enum { LINE_LIMIT = 4096 }; /* bytes that the other end of a line takes unless told otherwise */
enum { FRAME_LIMIT = 64 };  /* frames, of a network */

/* -- Back ends, by the type of the property */

static void *chardev_of(Bench *bench, const Property *p)
{
    char *error;

    (void)p;
    if (!bench->chardev && char_open(&bench->chardev, "ring", bench->bare.board.loop, &error) < 0) {
        abort();
    }
    return bench->chardev;
}

static void open_image(Bench *bench)
{
    BlockOptions *options = block_options_new();
    char path[40];

    bench->image = memfd_create("image", MFD_CLOEXEC);
    if (bench->image < 0 || ftruncate(bench->image, BENCH_DISK_SIZE) < 0) {
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", bench->image);
    block_options_set(options, "driver", "raw");
    if (block_open(&bench->node, path, options, BLOCK_WRITE | BLOCK_UNMAP | BLOCK_NO_LOCK, NULL) <
        0) {
        abort();
    }
    block_options_free(options);
}

static Disk *new_disk(Bench *bench)
{
    Disk *disk;

    if (!bench->node) {
        open_image(bench);
    }
    disk = disk_new(&bench->bare.board, bench->node, false, NULL);
    if (!disk) {
        abort();
    }
    return disk;
}

static void *disk_of(Bench *bench, const Property *p)
{
    (void)p;
    bench->disk = bench->disk ? bench->disk : new_disk(bench);
    return bench->disk;
}

/* For one drive: of two with the same, only one would hear of a change. */
static void *medium_of(Bench *bench, const Property *p)
{
    (void)p;
    if (bench->medium) {
        return NULL;
    }
    bench->medium = new_disk(bench);
    return bench->medium;
}

static void *display_of(Bench *bench, const Property *p)
{
    (void)p;
    bench->display = bench->display ? bench->display : display_new();
    return bench->display;
}

static void *input_of(Bench *bench, const Property *p)
{
    (void)p;
    bench->input = bench->input ? bench->input : input_new();
    return bench->input;
}

static void *netdev_of(Bench *bench, const Property *p)
{
    char *error;

    (void)p;
    if (!bench->netdev && net_open(&bench->netdev, "memory", bench->bare.board.loop, &error) < 0) {
        abort();
    }
    return bench->netdev;
}

static void *apic_bus_of(Bench *bench, const Property *p)
{
    (void)p;
    return &bench->apic_bus;
}

static void *partner_of(Bench *bench, const Property *p)
{
    static const struct {
        const char *property;
        const DeviceDef *def;
    } partners[] = {{"dma", &device_i8237}, {"pit", &device_isa_pit}};

    for (size_t i = 0; i < COUNT(partners); i++) {
        if (!strcmp(p->name, partners[i].property)) {
            bench->partner = bare_device(&bench->bare, partners[i].def);
        }
    }
    return bench->partner;
}

static const struct {
    const char *type;
    void *(*get)(Bench *bench, const Property *p);
} backends[] = {
    {"net", netdev_of}, {"apic-bus", apic_bus_of}, {"char", chardev_of}, {"device", partner_of},
    {"disk", disk_of},  {"display", display_of},   {"input", input_of},  {"medium", medium_of},
};

static void set_backends(Bench *bench, const DeviceDef *def)
{
    const Property *p;

    for (u32 n = 0; (p = device_property_at(def, n)); n++) {
        for (size_t i = 0; p->kind == PROPERTY_BACKEND && i < COUNT(backends); i++) {
            if (!strcmp(p->type, backends[i].type)) {
                device_set_backend(bench->device, p->name, backends[i].get(bench, p), NULL);
            }
        }
    }
}

/* -- Devices that need or take more */

static void wire_bridge(Bench *bench)
{
    bench->bios = ram_new("bios", 256 * 1024);
    i440fx_wire(bench->device, bench->pci, bench->bare.ram, bench->bios);
}

static void place_bridge(Bench *bench)
{
    device_map(bench->device, 0, 0xcf8);
}

/* On the next free place of that bus of the controller. */
static void add_drive(Bench *bench, u32 bus, Disk *disk, bool cdrom)
{
    Device **place = bench->drives;
    char *error = NULL;

    while (*place) {
        place++;
    }
    *place = device_new(cdrom ? &device_ide_cd : &device_ide_hd, &bench->bare.board, NULL);
    device_set_backend(*place, "drive", disk, NULL);
    if (device_start(*place, &error) < 0 ||
        ((const Device *)bench->device)->def->offers->plug(bench->device, bus, *place, -1, &error) <
            0) {
        abort();
    }
}

static void add_drives(Bench *bench)
{
    add_drive(bench, 0, disk_of(bench, NULL), false);
    add_drive(bench, 0, medium_of(bench, NULL), true);
    add_drive(bench, 1, bench->disk, true);
    add_drive(bench, 1, NULL, true);
}

static void add_consoles(Bench *bench)
{
    static const DeviceDef *const defs[] = {&device_virtconsole, &device_virtserialport};
    char *error = NULL;

    for (size_t i = 0; i < COUNT(defs); i++) {
        bench->drives[i] = device_new(defs[i], &bench->bare.board, NULL);
        if ((i == 0 && device_set_backend(bench->drives[i], "chardev", chardev_of(bench, NULL),
                                          &error) < 0) ||
            device_start(bench->drives[i], &error) < 0 ||
            ((const Device *)bench->device)
                    ->def->offers->plug(bench->device, 0, bench->drives[i], -1, &error) < 0) {
            abort();
        }
    }
}

static void add_items(Bench *bench)
{
    fw_cfg_set(bench->device, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_number(bench->device, FW_CFG_ID, 3, 4);
    fw_cfg_set_file(bench->device, "opt/text", "text", 4);
}

static void fix_date(Bench *bench)
{
    device_set(bench->device, "base", "2020-02-29T23:59:58", NULL);
}

static void name_serial(Bench *bench)
{
    device_set(bench->device, "serial", "menura", NULL);
}

static void shrink_memory(Bench *bench)
{
    device_set_u64(bench->device, "vgamem_mb", 1);
}

static void place_power_management(Bench *bench)
{
    piix4_pm_enable(bench->device);
}

static u64 page_read(void *opaque, u64 offset, unsigned size)
{
    return lapic_read(opaque, offset, size);
}

static void page_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    lapic_write(opaque, offset, size, value);
}

/* IA32_APIC_BASE, IA32_TSC_DEADLINE, and those of x2APIC mode. */
static u32 msr_of(u64 offset)
{
    return offset == 0 ? 0x1b : offset == 8 ? 0x6e0 : (u32)(0x7fe + offset / 8);
}

static u64 msr_read(void *opaque, u64 offset, unsigned size)
{
    u64 value = 0;

    (void)size;
    lapic_msr_read(opaque, msr_of(offset), &value);
    return value;
}

static void msr_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)size;
    lapic_msr_write(opaque, msr_of(offset), value);
}

static void cpu_level(void *opaque, bool level)
{
    (void)opaque, (void)level;
}

static void cpu_event(void *opaque)
{
    (void)opaque;
}

static void cpu_startup(void *opaque, u8 vector)
{
    (void)opaque, (void)vector;
}

static u64 cpu_tsc_time(void *opaque, u64 tsc)
{
    (void)opaque;
    return tsc;
}

static void attach_cpu(Bench *bench)
{
    static const RegionOps page_ops = {page_read, page_write, 1, 4, false, false, LITTLE};
    static const RegionOps msr_ops = {msr_read, msr_write, 8, 8, false, false, LITTLE};

    lapic_attach(bench->device, &(LapicCpu){NULL, cpu_level, cpu_event, cpu_event, cpu_event,
                                            cpu_startup, cpu_tsc_time});
    bench->front[0] =
        (Region){.name = "apic-page", .size = 0x1000, .ops = &page_ops, .opaque = bench->device};
    bench->front[1] =
        (Region){.name = "apic-msrs", .size = 0x810, .ops = &msr_ops, .opaque = bench->device};
    space_add(bench->bare.board.memory, &bench->front[0], 0xfee00000);
    space_add(bench->bare.board.memory, &bench->front[1], 0xfef00000);
}

static void use_lapic(Bench *bench, u32 value)
{
    if (value & 4) {
        lapic_acknowledge(bench->device);
    } else {
        lapic_input(bench->device, value & 1, value & 2);
    }
    lapic_set_priority(bench->device, value >> 4 & 15);
}

static void use_ioapic(Bench *bench, u32 value)
{
    ioapic_input(bench->device, (value >> 8) % IOAPIC_PINS, value & 1);
}

static void use_i8259(Bench *bench, u32 value)
{
    unsigned line = value >> 8 & 15;

    if (value & 4) {
        i8259_acknowledge(bench->device);
    } else if (line != 2) {
        i8259_input(bench->device, line, value & 1);
    }
}

static void use_hpet(Bench *bench, u32 value)
{
    hpet_input(bench->device, value >> 8 & 1, value & 1);
}

static void use_piix3(Bench *bench, u32 value)
{
    piix3_interrupt(bench->device, value >> 8 & 3, value & 1);
}

static void use_power_button(Bench *bench, u32 value)
{
    (void)value;
    piix4_pm_power_button(bench->device);
}

static void add_ports(Bench *bench)
{
    add_drive(bench, 0, disk_of(bench, NULL), false);
    add_drive(bench, 1, medium_of(bench, NULL), true);
    add_drive(bench, 3, NULL, true);
}

/* Which queues a driver makes of virtio devices. */
typedef enum VirtioForm { PACKED, SPLIT, LEGACY } VirtioForm;

/* Queue n's descriptors are at n * 0x400, what is available 0x100 behind them, what was used
 * another 0x100; in the legacy form they follow each other from a page on. */
static void set_up_queue(VirtQueue *queue, VirtioForm form)
{
    enum { SIZE = 8 };
    u32 base = queue->index * 0x400u;

    if (form == LEGACY) {
        virtqueue_place(queue, (queue->index + 1) * 0x4000u, 0x1000);
        return;
    }
    virtqueue_set_size(queue, SIZE);
    virtqueue_set_address(queue, &queue->descriptors, false, base);
    virtqueue_set_address(queue, &queue->driver, false, base + 0x100);
    virtqueue_set_address(queue, &queue->device, false, base + 0x200);
    queue->enabled = 1;
}

/* As a driver does: all features that go with the form, and small queues in the memory that random
 * steps change. */
static void set_up_queues_as(Bench *bench, VirtioForm form)
{
    enum { ACKNOWLEDGED = 3 };
    Virtio *v = bench->device;
    u64 features = form == SPLIT ? v->offered & ~VIRTIO_F_PACKED : v->offered;

    virtio_write_status(v, 0);
    v->legacy = form == LEGACY;
    virtio_write_status(v, ACKNOWLEDGED);
    if (form == LEGACY) {
        virtio_accept_legacy(v, (u32)features);
    } else {
        virtio_accept_half(v, 0, (u32)features);
        virtio_accept_half(v, 1, (u32)(features >> 32));
        virtio_write_status(v, ACKNOWLEDGED | VIRTIO_FEATURES_OK);
    }
    for (u16 i = 0; i < v->queue_count; i++) {
        set_up_queue(&v->queues[i], form);
    }
    virtio_write_status(v, v->status | VIRTIO_DRIVER_OK);
}

static void set_up_queues(Bench *bench)
{
    set_up_queues_as(bench, SPLIT);
}

static void use_virtio(Bench *bench, u32 value)
{
    set_up_queues_as(bench, (VirtioForm)(value % 3));
}

static void offer_packed(Bench *bench)
{
    device_set_u64(bench->device, "packed", 1);
}

static void report_pages(Bench *bench)
{
    offer_packed(bench);
    device_set(bench->device, "free-page-reporting", "on", NULL);
}

static const struct Special {
    const DeviceDef *def;
    void (*prepare)(Bench *bench); /* before it starts */
    void (*add)(Bench *bench);     /* after, before the first reset */
    void (*place)(Bench *bench);
    void (*outside)(Bench *bench, u32 value);
} specials[] = {
    {&device_ahci, NULL, add_ports, NULL, NULL},
    {&device_apic, NULL, attach_cpu, NULL, use_lapic},
    {&device_cirrus_vga, shrink_memory, NULL, NULL, NULL},
    {&device_fw_cfg, NULL, add_items, NULL, NULL},
    {&device_hpet, NULL, NULL, NULL, use_hpet},
    {&device_i440fx, wire_bridge, NULL, place_bridge, NULL},
    {&device_i8259, NULL, NULL, NULL, use_i8259},
    {&device_ioapic, NULL, NULL, NULL, use_ioapic},
    {&device_mc146818rtc, fix_date, NULL, NULL, NULL},
    {&device_nvme, name_serial, NULL, NULL, NULL},
    {&device_piix3, NULL, NULL, NULL, use_piix3},
    {&device_piix3_ide, NULL, add_drives, NULL, NULL},
    {&device_piix4_pm, NULL, NULL, place_power_management, use_power_button},
    {&device_vga, shrink_memory, NULL, NULL, NULL},
    {&device_virtio_balloon_device, report_pages, NULL, set_up_queues, use_virtio},
    {&device_virtio_balloon_pci, report_pages, NULL, set_up_queues, use_virtio},
    {&device_virtio_blk_device, offer_packed, NULL, set_up_queues, use_virtio},
    {&device_virtio_blk_pci, offer_packed, NULL, set_up_queues, use_virtio},
    {&device_virtio_net_device, offer_packed, NULL, set_up_queues, use_virtio},
    {&device_virtio_net_pci, offer_packed, NULL, set_up_queues, use_virtio},
    {&device_virtio_rng_device, offer_packed, NULL, set_up_queues, use_virtio},
    {&device_virtio_rng_pci, offer_packed, NULL, set_up_queues, use_virtio},
    {&device_virtio_serial_device, offer_packed, add_consoles, set_up_queues, use_virtio},
    {&device_virtio_serial_pci, offer_packed, add_consoles, set_up_queues, use_virtio},
};

static const struct Special *special_of(const DeviceDef *def)
{
    static const struct Special none = {0};

    for (size_t i = 0; i < COUNT(specials); i++) {
        if (specials[i].def == def) {
            return &specials[i];
        }
    }
    return &none;
}

static const struct Special *special(const Bench *bench)
{
    return special_of(((const Device *)bench->device)->def);
}

/* -- Placing */

static void write_config(Bench *bench, u32 at, unsigned size, u32 value)
{
    pci_config_write(bench->pci, BENCH_SLOT, 0, at, size, value);
}

/* Each BAR gets an address of its own, and decoding and mastering are switched on. */
static void place_bars(Bench *bench)
{
    const PciInfo *info = pci_info(bench->device);

    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        if (info->bars[bar].kind == PCI_BAR_PORTS) {
            write_config(bench, 0x10 + 4 * bar, 4, 0xc000 + 0x400 * bar);
        } else if (info->bars[bar].kind) {
            write_config(bench, 0x10 + 4 * bar, 4, 0xe0000000 + 0x1000000 * bar);
        }
    }
    write_config(bench, 4, 2, 7);
}

/* Banks that boards place. */
static void place_banks(Bench *bench)
{
    const DeviceDef *def = ((const Device *)bench->device)->def;

    for (u32 i = 0; i < def->bank_count; i++) {
        const RegisterBank *bank = &def->banks[i];
        const Region *region = (const Region *)(void *)((u8 *)bench->device + bank->region);
        AddressSpace *space = bank->ports ? bench->bare.board.ports : bench->bare.board.memory;
        if (!space_contains(space, region)) {
            device_map(bench->device, i, bank->ports ? 0x2000 + 0x100 * i : 0xd0000000 + i * 65536);
        }
    }
}

void bench_place(Bench *bench)
{
    if (bench->pci) {
        place_bars(bench);
    } else {
        place_banks(bench);
    }
    if (special(bench)->place) {
        special(bench)->place(bench);
    }
}

/* -- Life */

static void pci_interrupt(void *opaque, unsigned line, bool level)
{
    (void)opaque, (void)line, (void)level;
}

static void pci_message(void *opaque, u64 address, u32 data)
{
    Bench *bench = opaque;

    apic_bus_send_msi(&bench->apic_bus, address, data);
}

bool bench_start(Bench *bench, const DeviceDef *def, u64 now, char **error)
{
    const struct Special *more = special_of(def);

    *bench = (Bench){.image = -1};
    bare_start(&bench->bare);
    clock_set(bench->bare.board.clock, now);
    if (def->bus_kind == BUS_PCI) {
        bench->pci =
            pci_bus_new(&bench->bare.board, &(PciWires){bench, pci_interrupt, pci_message});
    }
    bench->device = device_new(def, &bench->bare.board, NULL);
    set_backends(bench, def);
    if (more->prepare) {
        more->prepare(bench);
    }
    if (device_start(bench->device, error) < 0 ||
        (bench->pci && pci_attach(bench->pci, bench->device, BENCH_SLOT, 0, error) < 0)) {
        return false;
    }
    if (more->add) {
        more->add(bench);
    }
    bench_reset(bench);
    bench_place(bench);
    return true;
}

void bench_stop(Bench *bench)
{
    AddressSpace *memory = bench->bare.board.memory;

    for (size_t i = 0; i < COUNT(bench->front); i++) {
        space_remove(memory, &bench->front[i]);
    }
    device_free(bench->device);
    for (size_t i = 0; i < COUNT(bench->drives); i++) {
        device_free(bench->drives[i]);
    }
    device_free(bench->partner);
    disk_free(bench->disk);
    disk_free(bench->medium);
    block_close(bench->node);
    if (bench->image >= 0) {
        close(bench->image);
    }
    char_close(bench->chardev);
    net_close(bench->netdev);
    display_free(bench->display);
    input_free(bench->input);
    pci_bus_free(bench->pci);
    ram_free(bench->bios);
    bare_stop(&bench->bare);
}

void bench_reset(Bench *bench)
{
    if (bench->partner) {
        device_reset(bench->partner);
    }
    device_reset(bench->device);
}

/* -- Descriptions without memory */

static const StateField *fields_without_memory(const StateField *fields)
{
    u32 count = 0, kept = 0;

    while (fields && fields[count].name) {
        count++;
    }
    StateField *copy = calloc(count + 1, sizeof *copy);
    if (!copy) {
        abort();
    }
    for (u32 i = 0; i < count; i++) {
        if (fields[i].kind == STATE_RAM) {
            continue;
        }
        copy[kept] = fields[i];
        copy[kept].fields = fields[i].fields ? fields_without_memory(fields[i].fields) : NULL;
        kept++;
    }
    return copy;
}

static void free_fields(const StateField *fields)
{
    for (const StateField *f = fields; f->name; f++) {
        if (f->fields) {
            free_fields(f->fields);
        }
    }
    free((void *)(uintptr_t)fields);
}

DeviceDef bench_without_memory(const DeviceDef *def)
{
    DeviceDef part = *def;

    part.state = fields_without_memory(def->state);
    part.kept = fields_without_memory(def->kept);
    return part;
}

void bench_free_fields(const DeviceDef *part)
{
    free_fields(part->state);
    free_fields(part->kept);
}

/* -- Accesses */

static u32 count_regions(const Bench *bench, const AddressSpace *space)
{
    u32 count = 0;

    for (const Region *r = space->regions; r; r = r->next) {
        count += r != &bench->bare.ram_region;
    }
    return count;
}

static const Region *region_at(const Bench *bench, const AddressSpace *space, u32 index)
{
    const Region *r = space->regions;

    while (r == &bench->bare.ram_region || index--) {
        r = r->next;
    }
    return r;
}

/* Where an access goes: a reader and an address in its space. False: to configuration space. */
static bool find(Bench *bench, u32 target, u64 offset, MapReader **reader, u64 *address)
{
    const Board *board = &bench->bare.board;
    u32 ports = count_regions(bench, board->ports), memory = count_regions(bench, board->memory);
    const Region *region;

    target %= MAX(ports + memory + (bench->pci != NULL), 1u);
    if (target >= ports + memory) {
        return false;
    }
    if (target < ports) {
        region = region_at(bench, board->ports, target);
        *reader = &bench->bare.ports;
    } else {
        region = region_at(bench, board->memory, target - ports);
        *reader = &bench->bare.board.dma;
    }
    *address = region->start + offset % region->size;
    return true;
}

/* Accesses to configuration space do not cross a word. */
static u32 config_offset(u64 offset, unsigned *size)
{
    *size = MIN(*size, 4u);
    return (u32)offset & (PCI_CONFIG_SIZE - *size);
}

u64 bench_read(Bench *bench, u32 target, u64 offset, unsigned size)
{
    MapReader *reader;
    u64 address;

    if (find(bench, target, offset, &reader, &address)) {
        return map_read(reader, address, reader == &bench->bare.ports ? MIN(size, 4u) : size, NULL);
    }
    if (!bench->pci) {
        return 0;
    }
    u32 at = config_offset(offset, &size);
    return pci_config_read(bench->pci, BENCH_SLOT, 0, at, size);
}

void bench_write(Bench *bench, u32 target, u64 offset, unsigned size, u64 value)
{
    MapReader *reader;
    u64 address;

    if (find(bench, target, offset, &reader, &address)) {
        size = reader == &bench->bare.ports ? MIN(size, 4u) : size;
        map_write(reader, address, size, value & ~(u64)0 >> (64 - 8 * size), NULL);
    } else if (bench->pci) {
        u32 at = config_offset(offset, &size);
        write_config(bench, at, size, (u32)value);
    }
}

/* -- The outside */

static void use_input(Bench *bench, u32 value)
{
    static const u16 buttons[] = {BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE};
    int change = (s8)(value >> 8);

    switch (value & 3) {
    case 0:
        input_key(bench->input, value >> 8 & 0xff, value & 4);
        break;
    case 1:
        input_button(bench->input, buttons[value >> 8 & 3], value & 4);
        break;
    case 2:
        input_move(bench->input, change * 4, change);
        break;
    default:
        input_wheel(bench->input, change, 0);
    }
    input_sync(bench->input);
}

/* Nothing waits to be received: it would come after the next reset. */
static void feed(CharPort *port, const u8 *bytes, size_t size)
{
    size_t room = port->user ? port->user->room(port->opaque) : 0;

    if (room) {
        char_ring_feed(port, bytes, MIN(size, room));
    }
}

static void use_line(Bench *bench, u32 value)
{
    u8 bytes[4] = {(u8)(value >> 8), (u8)(value >> 16), (u8)(value >> 24), 0};

    switch (value & 7) {
    case 0:
        char_ring_event(bench->chardev, CHAR_BREAK);
        break;
    case 1:
        char_ring_event(bench->chardev, CHAR_DISCONNECTED);
        break;
    case 2:
        char_ring_event(bench->chardev, CHAR_CONNECTED);
        break;
    case 3:
        char_ring_limit(bench->chardev, value >> 8 & 0xff);
        break;
    default:
        feed(bench->chardev, bytes, 1 + (value >> 4 & 3));
    }
}

/* A frame, or something happens to the cable. What the device has no buffer for is lost. */
static void use_network(Bench *bench, u32 value)
{
    u8 frame[1600] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

    switch (value & 7) {
    case 0:
        net_set_link(bench->netdev, value >> 8 & 1);
        break;
    case 1:
        net_memory_limit(bench->netdev, value >> 8 & 7);
        break;
    default:
        frame[0] = (u8)(value >> 16);
        frame[12] = value & 8 ? 0x81 : 8;
        net_memory_feed(bench->netdev, frame, (value >> 8 & 0xff) * 6 + 14);
        net_memory_lose(bench->netdev);
    }
}

/* It is taken out, by force or not, or put in again. */
static void use_medium(Bench *bench, u32 value)
{
    disk_change(bench->medium, value & 1 ? bench->node : NULL, false, value & 2);
}

void bench_outside(Bench *bench, u32 value)
{
    if (special(bench)->outside) {
        special(bench)->outside(bench, value);
    }
    if (bench->input) {
        use_input(bench, value);
    }
    if (bench->chardev) {
        use_line(bench, value);
    }
    if (bench->netdev) {
        use_network(bench, value);
    }
    if (bench->medium && disk_is_removable(bench->medium)) {
        use_medium(bench, value);
    }
}

void bench_calm(Bench *bench)
{
    if (bench->medium && !disk_has_medium(bench->medium)) {
        disk_change(bench->medium, bench->node, false, true);
    }
    if (bench->netdev) {
        net_memory_limit(bench->netdev, FRAME_LIMIT);
        net_set_link(bench->netdev, true);
    }
    if (!bench->chardev) {
        return;
    }
    char_ring_limit(bench->chardev, LINE_LIMIT);
    if (!char_is_connected(bench->chardev)) {
        char_ring_event(bench->chardev, CHAR_CONNECTED);
    }
}

static void quit(void *opaque)
{
    loop_quit(opaque);
}

void bench_wait(Bench *bench, u64 nanoseconds)
{
    Loop *loop = bench->bare.board.loop;
    u8 bytes[64];

    bare_wait(&bench->bare, nanoseconds);
    loop_defer(loop, quit, loop);
    loop_run(loop);
    if (bench->disk) {
        disk_drain(bench->disk);
    }
    if (bench->medium) {
        disk_drain(bench->medium);
    }
    if (bench->display) {
        display_update(bench->display);
    }
    if (bench->chardev) {
        char_ring_take(bench->chardev, bytes, sizeof bytes);
    }
    while (bench->netdev && net_memory_take(bench->netdev, bytes, sizeof bytes)) {
    }
}
