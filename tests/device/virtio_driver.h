/* A virtio driver for tests of single devices: sets a device up through either transport, makes
 * rings and chains in the memory of a bare machine (bare.h), and takes what was used.
 *
 *     VirtioDriver driver;
 *     driver_start(&driver, &bare, device, BARE_FEATURES);
 *     driver_add(&driver, 0, (Piece[]){{0x1000, 16, false}, {0x2000, 512, true}}, 2);
 *     driver_notify(&driver, 0);
 *     driver_used(&driver, 0, &length);
 *
 * Queue n's rings are at DRIVER_RINGS + n * DRIVER_RING_SIZE; tests have the memory below. */
#ifndef TESTS_DEVICE_VIRTIO_DRIVER_H
#define TESTS_DEVICE_VIRTIO_DRIVER_H

#include "base/bytes.h"
#include "device/virtio/virtio.h"
#include "tests/device/bare.h"

enum {
    DRIVER_RINGS = 0x100000,
    DRIVER_RING_SIZE = 0x10000,
    DRIVER_AVAIL = 0x4000, /* in a queue's area */
    DRIVER_USED = 0x8000,
    DRIVER_MMIO = 0xd0000000,
    DRIVER_BAR = 0xe0000000,
    DRIVER_SLOT = 3,
    DRIVER_QUEUE_SIZE = 16,
};

/* Both transports' registers: an offset and a size each. */
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
} DriverRegister;

typedef struct VirtioDriver {
    Bare *bare;
    Virtio *device;
    PciBus *pci; /* NULL: MMIO */
    u64 features;
    u16 added[VIRTIO_QUEUES], taken[VIRTIO_QUEUES]; /* chains */
    u16 next_descriptor[VIRTIO_QUEUES];
} VirtioDriver;

/* A part of a chain. */
typedef struct Piece {
    u64 address;
    u32 size;
    bool write; /* by the device */
} Piece;

static inline u64 driver_address(const VirtioDriver *driver, DriverRegister which, unsigned *size)
{
    static const struct {
        u16 mmio, pci, pci_size;
    } registers[] = {
        [DRIVER_OFFERED_SELECT] = {0x014, 0x00, 4},
        [DRIVER_OFFERED] = {0x010, 0x04, 4},
        [DRIVER_ACCEPTED_SELECT] = {0x024, 0x08, 4},
        [DRIVER_ACCEPTED] = {0x020, 0x0c, 4},
        [DRIVER_STATUS] = {0x070, 0x14, 1},
        [DRIVER_QUEUE_SELECT] = {0x030, 0x16, 2},
        [DRIVER_SIZE] = {0x038, 0x18, 2},
        [DRIVER_ENABLE] = {0x044, 0x1c, 2},
        [DRIVER_DESCRIPTORS] = {0x080, 0x20, 4},
        [DRIVER_DRIVER] = {0x090, 0x28, 4},
        [DRIVER_DEVICE] = {0x0a0, 0x30, 4},
        [DRIVER_GENERATION] = {0x0fc, 0x15, 1},
    };

    *size = driver->pci ? registers[which].pci_size : 4;
    return driver->pci ? DRIVER_BAR + registers[which].pci : DRIVER_MMIO + registers[which].mmio;
}

static inline u64 driver_get(VirtioDriver *driver, DriverRegister which)
{
    unsigned size;
    u64 address = driver_address(driver, which, &size);

    return map_read(&driver->bare->board.dma, address, size, NULL);
}

static inline void driver_set(VirtioDriver *driver, DriverRegister which, u64 value)
{
    unsigned size;
    u64 address = driver_address(driver, which, &size);

    map_write(&driver->bare->board.dma, address, size, value, NULL);
}

static inline u64 driver_config(VirtioDriver *driver, u32 at, unsigned size)
{
    u64 base = driver->pci ? DRIVER_BAR + 0x2000 : DRIVER_MMIO + 0x100;

    return map_read(&driver->bare->board.dma, base + at, size, NULL);
}

static inline void driver_set_config(VirtioDriver *driver, u32 at, unsigned size, u64 value)
{
    u64 base = driver->pci ? DRIVER_BAR + 0x2000 : DRIVER_MMIO + 0x100;

    map_write(&driver->bare->board.dma, base + at, size, value, NULL);
}

static inline void driver_notify(VirtioDriver *driver, u16 queue)
{
    u64 address = driver->pci ? DRIVER_BAR + 0x3000 + 4u * queue : DRIVER_MMIO + 0x50;

    map_write(&driver->bare->board.dma, address, driver->pci ? 2 : 4, queue, NULL);
}

/* The interrupt status, which is taken. */
static inline u8 driver_take_interrupt(VirtioDriver *driver)
{
    MapReader *memory = &driver->bare->board.dma;

    if (driver->pci) {
        return (u8)map_read(memory, DRIVER_BAR + 0x1000, 1, NULL);
    }
    u8 status = (u8)map_read(memory, DRIVER_MMIO + 0x60, 4, NULL);
    map_write(memory, DRIVER_MMIO + 0x64, 4, status, NULL);
    return status;
}

/* -- Memory */

static inline u8 *driver_memory(VirtioDriver *driver, u64 address)
{
    return driver->bare->ram->host + address;
}

static inline u64 driver_ring(u16 queue)
{
    return DRIVER_RINGS + (u64)queue * DRIVER_RING_SIZE;
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

/* Makes the chain that begins with that descriptor available. */
static inline void driver_offer(VirtioDriver *driver, u16 queue, u16 head)
{
    u8 *avail = driver_memory(driver, driver_ring(queue) + DRIVER_AVAIL);
    u16 n = driver->added[queue]++;

    put_le(avail + 4 + 2 * (n % DRIVER_QUEUE_SIZE), head, 2);
    put_le(avail + 2, driver->added[queue], 2);
}

/* Adds a chain; returns its head. Descriptors are used in turn. */
static inline u16 driver_add(VirtioDriver *driver, u16 queue, const Piece *pieces, u16 count)
{
    u16 head = driver->next_descriptor[queue];

    for (u16 i = 0; i < count; i++) {
        u16 at = (u16)(head + i) % DRIVER_QUEUE_SIZE, next = (u16)(at + 1) % DRIVER_QUEUE_SIZE;
        driver_descriptor(driver, driver_ring(queue) + at * 16u, &pieces[i], i + 1 < count, next);
        driver->next_descriptor[queue] = next;
    }
    driver_offer(driver, queue, head);
    return head;
}

/* Takes the next used chain: its head, and *length bytes written; -1: there is none. */
static inline int driver_used(VirtioDriver *driver, u16 queue, u32 *length)
{
    const u8 *used = driver_memory(driver, driver_ring(queue) + DRIVER_USED);

    if (driver->taken[queue] == get_le(used + 2, 2)) {
        return -1;
    }
    const u8 *entry = used + 4 + 8 * (driver->taken[queue]++ % DRIVER_QUEUE_SIZE);
    *length = (u32)get_le(entry + 4, 4);
    return (int)get_le(entry, 4);
}

/* Adds, rings, and takes what is used at once; -1: nothing is. */
static inline int driver_do(VirtioDriver *driver, u16 queue, const Piece *pieces, u16 count)
{
    u32 length;

    driver_add(driver, queue, pieces, count);
    driver_notify(driver, queue);
    return driver_used(driver, queue, &length) < 0 ? -1 : (int)length;
}

/* -- Setting up */

static inline u64 driver_offered(VirtioDriver *driver)
{
    u64 offered = 0;

    for (u32 half = 0; half < 2; half++) {
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
    driver_set(driver, DRIVER_SIZE, DRIVER_QUEUE_SIZE);
    driver_set(driver, DRIVER_DESCRIPTORS, ring);
    driver_set(driver, DRIVER_DRIVER, ring + DRIVER_AVAIL);
    driver_set(driver, DRIVER_DEVICE, ring + DRIVER_USED);
    driver_set(driver, DRIVER_ENABLE, 1);
}

/* Resets the device and accepts these features, if it offers them; false: it does not take them.
 * All queues are set up. */
static inline bool driver_set_up(VirtioDriver *driver, u64 features)
{
    driver_set(driver, DRIVER_STATUS, 0);
    driver_set(driver, DRIVER_STATUS, 1);
    driver_set(driver, DRIVER_STATUS, 3);
    for (u32 half = 0; half < 2; half++) {
        driver_set(driver, DRIVER_ACCEPTED_SELECT, half);
        driver_set(driver, DRIVER_ACCEPTED, (u32)(features >> 32 * half));
    }
    driver_set(driver, DRIVER_STATUS, 0xb);
    if (!(driver_get(driver, DRIVER_STATUS) & VIRTIO_FEATURES_OK)) {
        return false;
    }
    for (u16 queue = 0; queue < driver->device->queue_count; queue++) {
        driver->added[queue] = driver->taken[queue] = driver->next_descriptor[queue] = 0;
        driver_set_up_queue(driver, queue);
    }
    driver_set(driver, DRIVER_STATUS, 0xf);
    return true;
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

/* Starts and places the device, whose properties are set; wire 0 is its interrupt line, wire 1 + n
 * the message n. */
static inline void driver_start(VirtioDriver *driver, Bare *bare, void *device)
{
    char *error = NULL;

    *driver = (VirtioDriver){.bare = bare, .device = device};
    if (device_start(device, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    if (driver->device->d.def->bus_kind == BUS_PCI) {
        driver->pci =
            pci_bus_new(&bare->board, &(PciWires){bare, driver_pci_interrupt, driver_pci_message});
        pci_attach(driver->pci, device, DRIVER_SLOT, 0, &error);
        device_reset(device);
        pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x20, 4, DRIVER_BAR);
        pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x24, 4, 0);
        pci_config_write(driver->pci, DRIVER_SLOT, 0, 0x04, 2, 6);
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
