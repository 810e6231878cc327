/* What all virtio devices have in common, tried with the source of random numbers: both transports,
 * rings, suppression of interrupts, and drivers that do what they must not. */
#include "tests/device/virtio_driver.h"

static Bare bare;
static VirtioDriver driver;

#define BASIC (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT)

static bool is_broken(void)
{
    return driver_get(&driver, DRIVER_STATUS) & VIRTIO_NEEDS_RESET;
}

/* The device was asked for `size` bytes there and wrote them. */
static bool is_filled(u64 address, u32 size)
{
    const u8 *bytes = driver_memory(&driver, address);
    u32 set = 0;

    for (u32 i = 0; i < size; i++) {
        set += bytes[i] != 0;
    }
    return set > size / 2;
}

static void test_negotiation(const char *name)
{
    OK(driver_offered(&driver) & VIRTIO_F_VERSION_1, "%s: it is no legacy device", name);
    OK(!driver_set_up(&driver, 0), "%s: nor lets itself be used as one", name);
    OK(!driver_set_up(&driver, BASIC | (u64)1 << 50), "%s: or with features it lacks", name);
    OK(driver_set_up(&driver, BASIC), "%s: it takes what it offers", name);
}

static void test_chains(const char *name)
{
    driver_set_up(&driver, BASIC);
    memset(driver_memory(&driver, 0x1000), 0, 0x2000);
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 64, true}}, 1) == 64 && is_filled(0x1000, 64),
       "%s: a chain of one", name);
    OK(driver_do(&driver, 0, (Piece[]){{0x2000, 32, true}, {0x2800, 32, true}}, 2) == 64 &&
           is_filled(0x2000, 32) && is_filled(0x2800, 32) && !is_filled(0x2020, 32),
       "%s: a chain of two", name);
    /* A table of two descriptors at 0x3000. */
    driver_descriptor(&driver, 0x3000, &(Piece){0x2100, 32, true}, 1, 1);
    driver_descriptor(&driver, 0x3010, &(Piece){0x2900, 32, true}, 0, 0);
    driver_descriptor(&driver, driver_ring(0) + 15 * 16, &(Piece){0x3000, 32, false}, 4, 0);
    driver_offer(&driver, 0, 15);
    driver_notify(&driver, 0);
    u32 length = 0;
    OK(driver_used(&driver, 0, &length) == 15 && length == 64 && is_filled(0x2900, 32),
       "%s: an indirect chain", name);
    for (unsigned i = 0; i < 3 * DRIVER_QUEUE_SIZE; i++) {
        driver_do(&driver, 0, (Piece[]){{0x1000, 1, true}}, 1);
    }
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8 && !is_broken(),
       "%s: rings wrap", name);
}

static void test_interrupts(const char *name)
{
    u8 *avail = driver_memory(&driver, driver_ring(0) + DRIVER_AVAIL);
    Piece piece = {0x1000, 8, true};

    driver_set_up(&driver, BASIC);
    driver_do(&driver, 0, &piece, 1);
    OK(bare.wires[0].level, "%s: it interrupts", name);
    OK(driver_take_interrupt(&driver) == VIRTIO_ISR_QUEUE && !bare.wires[0].level,
       "%s: until it is told that this was seen", name);
    put_le(avail, 1, 2);
    driver_do(&driver, 0, &piece, 1);
    OK(!bare.wires[0].level, "%s: not where the driver wants none", name);
    driver_set_up(&driver, BASIC | VIRTIO_F_EVENT_IDX);
    put_le(avail + 4 + 2 * DRIVER_QUEUE_SIZE, 2, 2); /* at the third */
    driver_do(&driver, 0, &piece, 1);
    driver_take_interrupt(&driver);
    driver_do(&driver, 0, &piece, 1);
    bool early = bare.wires[0].level;
    driver_do(&driver, 0, &piece, 1);
    OK(!early && bare.wires[0].level, "%s: or when it wants it", name);
    driver_take_interrupt(&driver);
    OK(get_le(driver_memory(&driver, driver_ring(0) + DRIVER_USED) + 4 + 8 * DRIVER_QUEUE_SIZE,
              2) == 3,
       "%s: and says when it wants to be rung for", name);
}

static void breaks(const char *name, const char *what)
{
    u32 length;

    driver_notify(&driver, 0);
    OK(is_broken() && driver_used(&driver, 0, &length) < 0, "%s: %s", name, what);
    OK(driver_take_interrupt(&driver) & VIRTIO_ISR_CONFIG, "%s: the driver is told", name);
    driver_set_up(&driver, BASIC);
}

static void test_mistakes(const char *name)
{
    driver_set_up(&driver, BASIC);
    for (u16 i = 0; i < DRIVER_QUEUE_SIZE; i++) {
        driver_descriptor(&driver, driver_ring(0) + i * 16u, &(Piece){0x1000, 1, true}, 1,
                          (u16)(i + 1) % DRIVER_QUEUE_SIZE);
    }
    driver_offer(&driver, 0, 0);
    breaks(name, "a chain that bites its tail");
    driver_descriptor(&driver, driver_ring(0), &(Piece){0x1000, 1, true}, 1, 500);
    driver_offer(&driver, 0, 0);
    breaks(name, "a descriptor outside the table");
    driver_add(&driver, 0, (Piece[]){{0xf0000000, 16, true}}, 1);
    breaks(name, "a descriptor of no memory");
    driver_add(&driver, 0, (Piece[]){{0x1000, 16, true}, {0x2000, 16, false}}, 2);
    breaks(name, "what is read behind what is written");
    driver.added[0] += DRIVER_QUEUE_SIZE;
    driver_offer(&driver, 0, 0);
    breaks(name, "more chains than the ring has places");
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8,
       "%s: a reset makes it whole again", name);
    driver_set(&driver, DRIVER_QUEUE_SELECT, 0);
    driver_set(&driver, DRIVER_DESCRIPTORS, 0x5000);
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8,
       "%s: a queue in use does not move", name);
}

static void quit(void *opaque)
{
    loop_quit(opaque);
}

/* What a driver adds while it is served, without end: here a ring that is always full. */
static void test_flood(const char *name)
{
    u16 *index = (u16 *)(void *)driver_memory(&driver, driver_ring(0) + DRIVER_AVAIL + 2);
    const u8 *used = driver_memory(&driver, driver_ring(0) + DRIVER_USED);
    unsigned rounds = 0;

    driver_set_up(&driver, BASIC);
    for (u16 i = 0; i < DRIVER_QUEUE_SIZE; i++) {
        driver_add(&driver, 0, (Piece[]){{0x1000, 1, true}}, 1);
    }
    do {
        *index = (u16)(get_le(used + 2, 2) + DRIVER_QUEUE_SIZE);
        driver_notify(&driver, 0);
    } while (get_le(used + 2, 2) == *index && ++rounds < 1000);
    OK(rounds < 1000 && !is_broken(), "%s: a driver that never stops is let wait", name);
    loop_defer(bare.board.loop, quit, bare.board.loop);
    loop_run(bare.board.loop);
    OK(get_le(used + 2, 2) == *index, "%s: until the main loop has come round", name);
    *index = (u16)(*index + DRIVER_QUEUE_SIZE + 1);
    driver_notify(&driver, 0);
    OK(is_broken(), "%s: more than the ring holds is refused", name);
}

static void set_vector(u64 at, u16 vector)
{
    map_write(&bare.board.dma, DRIVER_BAR + at, 2, vector, NULL);
}

/* MSI-X: entry n sends data n. */
static void test_vectors(void)
{
    u8 at = (u8)pci_config_read(driver.pci, DRIVER_SLOT, 0, 0x34, 1);
    Piece piece = {0x1000, 8, true};

    while (pci_config_read(driver.pci, DRIVER_SLOT, 0, at, 1) != 0x11) {
        at = (u8)pci_config_read(driver.pci, DRIVER_SLOT, 0, at + 1u, 1);
    }
    pci_config_write(driver.pci, DRIVER_SLOT, 0, 0x14, 4, 0xe1000000);
    pci_config_write(driver.pci, DRIVER_SLOT, 0, at + 2u, 2, 0x8000);
    for (u32 i = 0; i < 2; i++) {
        map_write(&bare.board.dma, 0xe1000000 + 16 * i, 8, 0xfee00000, NULL);
        map_write(&bare.board.dma, 0xe1000008 + 16 * i, 8, i, NULL);
    }
    driver_set_up(&driver, BASIC);
    set_vector(0x10, 0);
    driver_set(&driver, DRIVER_QUEUE_SELECT, 0);
    set_vector(0x1a, 1);
    unsigned config = bare.wires[1].rises, queue = bare.wires[2].rises;
    driver_do(&driver, 0, &piece, 1);
    OK(bare.wires[2].rises == queue + 1 && bare.wires[1].rises == config && !bare.wires[0].level,
       "the queue's vector");
    virtio_config_changed(driver.device);
    OK(bare.wires[2].rises == queue + 1 && bare.wires[1].rises == config + 1,
       "the configuration's vector");
    set_vector(0x1a, 100);
    OK(map_read(&bare.board.dma, DRIVER_BAR + 0x1a, 2, NULL) == VIRTIO_NO_VECTOR,
       "a vector that does not exist is none");
}

static void test_mmio(void)
{
    MapReader *memory = &bare.board.dma;

    OK(map_read(memory, DRIVER_MMIO, 4, NULL) == 0x74726976 &&
           map_read(memory, DRIVER_MMIO + 4, 4, NULL) == 2 &&
           map_read(memory, DRIVER_MMIO + 8, 4, NULL) == VIRTIO_RNG,
       "the registers' magic number, version, device");
    driver_set(&driver, DRIVER_QUEUE_SELECT, 0);
    OK(map_read(memory, DRIVER_MMIO + 0x34, 4, NULL) == VIRTIO_QUEUE_SIZE, "the queue's size");
    driver_set(&driver, DRIVER_QUEUE_SELECT, 1);
    OK(map_read(memory, DRIVER_MMIO + 0x34, 4, NULL) == 0, "there is no other");
}

/* A device with an interrupt that was not seen raises its line after a load. */
static void test_load(const char *name)
{
    StateBuffer state = {0};
    char *error = NULL;

    driver_set_up(&driver, BASIC);
    driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1);
    device_save(driver.device, &state);
    driver_take_interrupt(&driver);
    OK(device_load(driver.device, &state, &error) == 0 && bare.wires[0].level,
       "%s: its line is up after a load", name);
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8, "%s: and it goes on", name);
    state_buffer_free(&state);
}

static void test_device(const DeviceDef *def)
{
    bare_start(&bare);
    driver_start(&driver, &bare, device_new(def, &bare.board, NULL));
    test_negotiation(def->name);
    test_chains(def->name);
    test_interrupts(def->name);
    test_mistakes(def->name);
    test_flood(def->name);
    test_load(def->name);
    if (driver.pci) {
        test_vectors();
    } else {
        test_mmio();
    }
    driver_stop(&driver);
    bare_stop(&bare);
}

int main(void)
{
    test_device(&device_virtio_rng_pci);
    test_device(&device_virtio_rng_device);
    return tap_done();
}
