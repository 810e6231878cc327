/* A virtio driver for tests of single devices: sets a device up through either transport, makes
 * rings and chains in the memory of a bare machine (bare.h), and takes what was used.
 *
 *     VirtioDriver driver;
 *     device = driver_new(&bare, &device_virtio_rng_pci, DRIVER_SPLIT);
 *     driver_start(&driver, &bare, device, DRIVER_SPLIT);
 *     driver_set_up(&driver, FEATURES);
 *     driver_add(&driver, 0, (Piece[]){{0x1000, 16, false}, {0x2000, 512, true}}, 2);
 *     driver_notify(&driver, 0);
 *     driver_used(&driver, 0, &length);
 *
 * It does so in each of the forms of drivers. Queue n's rings are at DRIVER_RINGS + n *
 * DRIVER_RING_SIZE; tests have the memory below. */
#ifndef TESTS_DEVICE_VIRTIO_DRIVER_H
#define TESTS_DEVICE_VIRTIO_DRIVER_H

#include "base/bytes.h"
#include "device/virtio/virtio.h"
#include "tests/device/bare.h"

enum {
    DRIVER_RINGS = 0x100000,
    DRIVER_RING_SIZE = 0x10000,
    DRIVER_PAGE = 4096,
    DRIVER_MMIO = 0xd0000000,
    DRIVER_BAR = 0xe0000000,
    DRIVER_PORTS = 0xc000,
    DRIVER_SLOT = 3,
    DRIVER_QUEUE_SIZE = 16, /* unless the device says, as legacy ones do */
};

/* Registers: an offset and a size in each of the interfaces. */
typedef enum DriverRegister {
    DRIVER_OFFERED_SELECT,
    DRIVER_OFFERED,
    DRIVER_ACCEPTED_SELECT,
    DRIVER_ACCEPTED,
    DRIVER_STATUS,
    DRIVER_QUEUE_SELECT,
    DRIVER_SIZE,
    DRIVER_ENABLE,
    DRIVER_DESCRIPTORS,
    DRIVER_DRIVER,
    DRIVER_DEVICE,
    DRIVER_GENERATION,
    DRIVER_NOTIFY,
    DRIVER_INTERRUPT,
    DRIVER_CONFIG,
    DRIVER_ADDRESS, /* legacy */
} DriverRegister;

typedef enum DriverForm {
    DRIVER_SPLIT,
    DRIVER_PACKED,
    DRIVER_LEGACY, /* of before virtio 1.0 */
    DRIVER_FORMS
} DriverForm;

typedef struct VirtioDriver {
    Bare *bare;
    Virtio *device;
    PciBus *pci; /* NULL: MMIO */
    DriverForm form;
    u64 features;
    u32 size;                                       /* of all queues */
    u16 added[VIRTIO_QUEUES], taken[VIRTIO_QUEUES]; /* chains; packed: positions */
    u16 next_descriptor[VIRTIO_QUEUES];
    struct DriverChain {
        u64 address; /* of its first piece */
        u16 places;
    } chains[VIRTIO_QUEUES][VIRTIO_QUEUE_SIZE]; /* by what they are called */
} VirtioDriver;

/* A part of a chain. */
typedef struct Piece {
    u64 address;
    u32 size;
    bool write; /* by the device */
} Piece;

static inline MapReader *driver_place(const VirtioDriver *driver, DriverRegister which,
                                      u64 *address, unsigned *size)
{
    static const struct {
        u16 mmio, pci, pci_size, ports, ports_size;
    } registers[] = {
        [DRIVER_OFFERED_SELECT] = {0x014, 0x00, 4, 0, 0},
        [DRIVER_OFFERED] = {0x010, 0x04, 4, 0, 4},
        [DRIVER_ACCEPTED_SELECT] = {0x024, 0x08, 4, 0, 0},
        [DRIVER_ACCEPTED] = {0x020, 0x0c, 4, 4, 4},
        [DRIVER_STATUS] = {0x070, 0x14, 1, 18, 1},
        [DRIVER_QUEUE_SELECT] = {0x030, 0x16, 2, 14, 2},
        [DRIVER_SIZE] = {0x038, 0x18, 2, 12, 2},
        [DRIVER_ENABLE] = {0x044, 0x1c, 2, 0, 0},
        [DRIVER_DESCRIPTORS] = {0x080, 0x20, 4, 0, 0},
        [DRIVER_DRIVER] = {0x090, 0x28, 4, 0, 0},
        [DRIVER_DEVICE] = {0x0a0, 0x30, 4, 0, 0},
        [DRIVER_GENERATION] = {0x0fc, 0x15, 1, 0, 0},
        [DRIVER_NOTIFY] = {0x050, 0x3000, 2, 16, 2},
        [DRIVER_INTERRUPT] = {0x060, 0x1000, 1, 19, 1},
        [DRIVER_CONFIG] = {0x100, 0x2000, 4, 20, 4},
        [DRIVER_ADDRESS] = {0x040, 0, 0, 8, 4},
    };

    if (driver->pci && driver->form == DRIVER_LEGACY) {
        *size = registers[which].ports_size;
        *address = DRIVER_PORTS + registers[which].ports;
        return &driver->bare->ports;
    }
    *size = driver->pci ? registers[which].pci_size : 4;
    *address =
        driver->pci ? DRIVER_BAR + registers[which].pci : DRIVER_MMIO + registers[which].mmio;
    return &driver->bare->board.dma;
}

static inline u64 driver_get(VirtioDriver *driver, DriverRegister which)
{
    unsigned size;
    u64 address;
    MapReader *space = driver_place(driver, which, &address, &size);

    return size ? map_read(space, address, size, NULL) : 0;
}

static inline void driver_set(VirtioDriver *driver, DriverRegister which, u64 value)
{
    unsigned size;
    u64 address;
    MapReader *space = driver_place(driver, which, &address, &size);

    if (size) {
        map_write(space, address, size, value, NULL);
    }
}

static inline u64 driver_config(VirtioDriver *driver, u32 at, unsigned size)
{
    unsigned unused;
    u64 address;
    MapReader *space = driver_place(driver, DRIVER_CONFIG, &address, &unused);

    return map_read(space, address + at, size, NULL);
}

static inline void driver_set_config(VirtioDriver *driver, u32 at, unsigned size, u64 value)
{
    unsigned unused;
    u64 address;
    MapReader *space = driver_place(driver, DRIVER_CONFIG, &address, &unused);

    map_write(space, address + at, size, value, NULL);
}

static inline void driver_notify(VirtioDriver *driver, u16 queue)
{
    unsigned size;
    u64 address;
    MapReader *space = driver_place(driver, DRIVER_NOTIFY, &address, &size);
    bool own = driver->pci && driver->form != DRIVER_LEGACY; /* each queue has a place of its own */

    map_write(space, address + (own ? 4u * queue : 0), size, queue, NULL);
}

/* Whether the device found a mistake; it does not tell legacy drivers. */
static inline bool driver_is_broken(VirtioDriver *driver)
{
    u64 status =
        driver->form == DRIVER_LEGACY ? driver->device->status : driver_get(driver, DRIVER_STATUS);

    return status & VIRTIO_NEEDS_RESET;
}

/* The interrupt status, which is taken. */
static inline u8 driver_take_interrupt(VirtioDriver *driver)
{
    u8 status = (u8)driver_get(driver, DRIVER_INTERRUPT);

    if (!driver->pci) {
        map_write(&driver->bare->board.dma, DRIVER_MMIO + 0x64, 4, status, NULL);
    }
    return status;
}

/* -- Memory */

static inline u8 *driver_memory(VirtioDriver *driver, u64 address)
{
    return driver->bare->ram->host + address;
}

static inline bool driver_is_packed(const VirtioDriver *driver)
{
    return driver->form == DRIVER_PACKED;
}

/* The three parts of a queue: descriptors, what the driver writes, what the device writes. Legacy
 * devices know the first only, and where the others follow. */
static inline u64 driver_ring(u16 queue)
{
    return DRIVER_RINGS + (u64)queue * DRIVER_RING_SIZE;
}

static inline u64 driver_avail(const VirtioDriver *driver, u16 queue)
{
    return driver_ring(queue) + 16ull * driver->size;
}

static inline u64 driver_used_ring(const VirtioDriver *driver, u16 queue)
{
    return ALIGN_UP(driver_avail(driver, queue) + 6 + 2ull * driver->size, (u64)DRIVER_PAGE);
}

static inline void driver_descriptor(VirtioDriver *driver, u64 at, const Piece *piece, u16 flags,
                                     u16 next)
{
    u8 *d = driver_memory(driver, at);

    put_le(d, piece->address, 8);
    put_le(d + 8, piece->size, 4);
    put_le(d + 12, flags | (piece->write ? 2 : 0), 2);
    put_le(d + 14, next, 2);
}

/* -- Chains of split queues */

/* Makes the chain that begins with that descriptor available. */
static inline void driver_offer(VirtioDriver *driver, u16 queue, u16 head)
{
    u8 *avail = driver_memory(driver, driver_avail(driver, queue));
    u16 n = driver->added[queue]++;

    put_le(avail + 4 + 2 * (n % driver->size), head, 2);
    put_le(avail + 2, driver->added[queue], 2);
}

static inline u16 driver_add_split(VirtioDriver *driver, u16 queue, const Piece *pieces, u16 count,
                                   u16 flags)
{
    u16 head = driver->next_descriptor[queue];

    driver->chains[queue][head] = (struct DriverChain){pieces->address, count};
    for (u16 i = 0; i < count; i++) {
        u16 at = (u16)((head + i) % driver->size), next = (u16)((at + 1) % driver->size);
        driver_descriptor(driver, driver_ring(queue) + at * 16u, &pieces[i],
                          flags | (i + 1 < count), next);
        driver->next_descriptor[queue] = next;
    }
    driver_offer(driver, queue, head);
    return head;
}

static inline int driver_used_split(VirtioDriver *driver, u16 queue, u32 *length)
{
    const u8 *used = driver_memory(driver, driver_used_ring(driver, queue));

    if (driver->taken[queue] == get_le(used + 2, 2)) {
        return -1;
    }
    const u8 *entry = used + 4 + 8 * (driver->taken[queue]++ % driver->size);
    *length = (u32)get_le(entry + 4, 4);
    return (int)get_le(entry, 4);
}

/* -- Of packed ones: a position counts two rounds of the ring, the wrap counter is 1 in the first
 */

static inline u64 driver_packed_place(const VirtioDriver *driver, u16 queue, u16 position)
{
    return driver_ring(queue) + 16ull * (position % driver->size);
}

static inline u16 driver_packed_flags(const VirtioDriver *driver, u16 position)
{
    return position < driver->size ? 1 << 7 : 1 << 15;
}

/* The flags of the first descriptor last. */
static inline u16 driver_add_packed(VirtioDriver *driver, u16 queue, const Piece *pieces, u16 count,
                                    u16 flags)
{
    u16 head = driver->added[queue], id = (u16)(head % driver->size);

    driver->chains[queue][id] = (struct DriverChain){pieces->address, count};
    for (u16 i = count; i-- > 0;) {
        u16 position = (u16)((head + i) % (2 * driver->size));
        u8 *d = driver_memory(driver, driver_packed_place(driver, queue, position));
        put_le(d, pieces[i].address, 8);
        put_le(d + 8, pieces[i].size, 4);
        put_le(d + 12, id, 2);
        put_le(d + 14,
               flags | driver_packed_flags(driver, position) | (pieces[i].write ? 2 : 0) |
                   (i + 1 < count),
               2);
    }
    driver->added[queue] = (u16)((head + count) % (2 * driver->size));
    return id;
}

static inline int driver_used_packed(VirtioDriver *driver, u16 queue, u32 *length)
{
    u16 position = driver->taken[queue];
    const u8 *d = driver_memory(driver, driver_packed_place(driver, queue, position));
    u32 both = 1u << 7 | 1u << 15, id = (u32)get_le(d + 12, 2);

    if ((get_le(d + 14, 2) & both) != (position < driver->size ? both : 0)) {
        return -1;
    }
    *length = (u32)get_le(d + 8, 4);
    driver->taken[queue] =
        (u16)((position + driver->chains[queue][id % driver->size].places) % (2 * driver->size));
    return (int)id;
}

/* -- Of both */

/* Adds a chain; returns what the device will call it. Descriptors are used in turn. */
static inline u16 driver_add(VirtioDriver *driver, u16 queue, const Piece *pieces, u16 count)
{
    return driver_is_packed(driver) ? driver_add_packed(driver, queue, pieces, count, 0)
                                    : driver_add_split(driver, queue, pieces, count, 0);
}

/* The same with one descriptor, of a table there. */
static inline u16 driver_add_table(VirtioDriver *driver, u16 queue, u64 table, const Piece *pieces,
                                   u16 count)
{
    enum { INDIRECT = 4 };
    Piece all = {table, 16u * count, false};

    for (u16 i = 0; i < count; i++) {
        driver_descriptor(driver, table + 16u * i, &pieces[i], i + 1 < count, (u16)(i + 1));
        if (driver_is_packed(driver)) { /* the id means nothing */
            put_le(driver_memory(driver, table + 16u * i + 12), 0x5555, 2);
            put_le(driver_memory(driver, table + 16u * i + 14), pieces[i].write ? 2 : 0, 2);
        }
    }
    return driver_is_packed(driver) ? driver_add_packed(driver, queue, &all, 1, INDIRECT)
                                    : driver_add_split(driver, queue, &all, 1, INDIRECT);
}

/* Takes the next used chain: what it is called, and *length bytes written; -1: there is none. */
static inline int driver_used(VirtioDriver *driver, u16 queue, u32 *length)
{
    return driver_is_packed(driver) ? driver_used_packed(driver, queue, length)
                                    : driver_used_split(driver, queue, length);
}

/* Adds, rings, and takes what is used at once; -1: nothing is. */
static inline int driver_do(VirtioDriver *driver, u16 queue, const Piece *pieces, u16 count)
{
    u32 length;

    driver_add(driver, queue, pieces, count);
    driver_notify(driver, queue);
    return driver_used(driver, queue, &length) < 0 ? -1 : (int)length;
}

/* Interrupts are wanted always, or never. */
static inline void driver_want_interrupts(VirtioDriver *driver, u16 queue, bool wanted)
{
    u64 at = driver_avail(driver, queue) + (driver_is_packed(driver) ? 2 : 0);

    put_le(driver_memory(driver, at), !wanted, 2);
}

/* With event indices: one is wanted when that place is used, of packed queues a place in the ring.
 */
static inline void driver_want_interrupt_at(VirtioDriver *driver, u16 queue, u16 place)
{
    u8 *avail = driver_memory(driver, driver_avail(driver, queue));

    if (driver_is_packed(driver)) {
        put_le(avail, place % driver->size | (place < driver->size ? 1u << 15 : 0), 2);
        put_le(avail + 2, 2, 2);
    } else {
        put_le(avail + 4 + 2 * driver->size, place, 2);
    }
}

/* With event indices: when the device wants to be rung for; the same places. */
static inline u16 driver_bell(VirtioDriver *driver, u16 queue)
{
    const u8 *used = driver_memory(driver, driver_used_ring(driver, queue));

    if (driver_is_packed(driver)) {
        u32 event = (u32)get_le(used, 2);
        return (u16)((event & 0x7fff) + (event >> 15 ? 0 : driver->size));
    }
    return (u16)get_le(used + 4 + 8 * driver->size, 2);
}

/* -- Setting up */

static inline u64 driver_offered(VirtioDriver *driver)
{
    u64 offered = 0;

    for (u32 half = 0; half < (driver->form == DRIVER_LEGACY ? 1 : 2); half++) {
        driver_set(driver, DRIVER_OFFERED_SELECT, half);
        offered |= driver_get(driver, DRIVER_OFFERED) << 32 * half;
    }
    return offered;
}

static inline void driver_set_up_queue(VirtioDriver *driver, u16 queue)
{
    u64 ring = driver_ring(queue);

    memset(driver_memory(driver, ring), 0, DRIVER_RING_SIZE);
    driver_set(driver, DRIVER_QUEUE_SELECT, queue);
    if (driver->form != DRIVER_LEGACY || !driver->pci) {
        driver_set(driver, DRIVER_SIZE, driver->size);
    }
    if (driver->form == DRIVER_LEGACY) {
        driver_set(driver, DRIVER_ADDRESS, ring / DRIVER_PAGE);
        return;
    }
    driver_set(driver, DRIVER_DESCRIPTORS, ring);
    driver_set(driver, DRIVER_DRIVER, driver_avail(driver, queue));
    driver_set(driver, DRIVER_DEVICE, driver_used_ring(driver, queue));
    driver_set(driver, DRIVER_ENABLE, 1);
}

static inline bool driver_negotiate(VirtioDriver *driver)
{
    for (u32 half = 0; half < (driver->form == DRIVER_LEGACY ? 1 : 2); half++) {
        driver_set(driver, DRIVER_ACCEPTED_SELECT, half);
        driver_set(driver, DRIVER_ACCEPTED, (u32)(driver->features >> 32 * half));
    }
    if (driver->form == DRIVER_LEGACY) {
        return true;
    }
    driver_set(driver, DRIVER_STATUS, 0xb);
    return driver_get(driver, DRIVER_STATUS) & VIRTIO_FEATURES_OK;
}

/* Resets the device and accepts just these features; false: it does not take them. All queues are
 * set up. */
static inline bool driver_set_up_with(VirtioDriver *driver, u64 features)
{
    driver->features = features;
    driver->size =
        driver->form == DRIVER_LEGACY && driver->pci ? VIRTIO_QUEUE_SIZE : DRIVER_QUEUE_SIZE;
    driver_set(driver, DRIVER_STATUS, 0);
    driver_set(driver, DRIVER_STATUS, 1);
    driver_set(driver, DRIVER_STATUS, 3);
    if (!driver_negotiate(driver)) {
        return false;
    }
    for (u16 queue = 0; queue < driver->device->queue_count; queue++) {
        driver->added[queue] = driver->taken[queue] = driver->next_descriptor[queue] = 0;
        driver_set_up_queue(driver, queue);
    }
    driver_set(driver, DRIVER_STATUS, driver->form == DRIVER_LEGACY ? 7 : 0xf);
    return true;
}

/* The same with the features that belong to the driver's form. */
static inline bool driver_set_up(VirtioDriver *driver, u64 features)
{
    static const u64 forms[] = {
        [DRIVER_SPLIT] = VIRTIO_F_VERSION_1,
        [DRIVER_PACKED] = VIRTIO_F_VERSION_1 | VIRTIO_F_PACKED,
        [DRIVER_LEGACY] = 0,
    };

    return driver_set_up_with(driver, features | forms[driver->form]);
}

static inline void driver_pci_interrupt(void *opaque, unsigned line, bool level)
{
    (void)line;
    bare_wire(opaque, 0, level);
}

static inline void driver_pci_message(void *opaque, u64 address, u32 data)
{
    (void)address;
    bare_wire(opaque, 1 + data % 7, true);
    bare_wire(opaque, 1 + data % 7, false);
}

/* A device whose properties let it be used in that form. */
static inline void *driver_new(Bare *bare, const DeviceDef *def, DriverForm form)
{
    void *device = device_new(def, &bare->board, NULL);

    if (form == DRIVER_PACKED) {
        device_set_u64(device, "packed", 1);
    } else if (form == DRIVER_LEGACY && def->bus_kind == BUS_VIRTIO) {
        device_set_u64(device, "force-legacy", 1);
    }
    return device;
}

static inline void driver_place_bars(VirtioDriver *driver)
{
    pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x10, 4, DRIVER_PORTS);
    pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x20, 4, DRIVER_BAR);
    pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x24, 4, 0);
    pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x04, 2, 7);
}

/* Starts and places the device, whose properties are set; wire 0 is its interrupt line, wire 1 + n
 * the message n. */
static inline void driver_start(VirtioDriver *driver, Bare *bare, void *device, DriverForm form)
{
    char *error = NULL;

    *driver = (VirtioDriver){.bare = bare, .device = device, .form = form};
    if (device_start(device, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    if (driver->device->d.def->bus_kind == BUS_PCI) {
        driver->pci =
            pci_bus_new(&bare->board, &(PciWires){bare, driver_pci_interrupt, driver_pci_message});
        pci_attach(driver->pci, device, DRIVER_SLOT, 0, &error);
        device_reset(device);
        driver_place_bars(driver);
    } else {
        device_connect(device, "irq", 0, bare_wire, bare, 0);
        device_map(device, 0, DRIVER_MMIO);
        device_reset(device);
    }
}

static inline void driver_stop(VirtioDriver *driver)
{
    device_free(driver->device);
    pci_bus_free(driver->pci);
}

#endif
