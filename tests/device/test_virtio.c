/* What all virtio devices have in common, tried with the source of random numbers: both transports
 * and their legacy interfaces, rings of both layouts, suppression of interrupts, and drivers that
 * do what they must not. */
#include "tests/device/virtio_driver.h"

static Bare bare;
static VirtioDriver driver;

#define BASIC VIRTIO_F_INDIRECT

static bool is_broken(void)
{
    return driver_is_broken(&driver);
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

static void quit(void *opaque)
{
    loop_quit(opaque);
}

/* The main loop does what waits for it. */
static void come_round(void)
{
    loop_defer(bare.board.loop, quit, bare.board.loop);
    loop_run(bare.board.loop);
}

static void test_negotiation(const char *name)
{
    OK(driver_offered(&driver) & VIRTIO_F_VERSION_1, "%s: it is no legacy device", name);
    OK(!driver_set_up_with(&driver, 0), "%s: nor lets itself be used as one", name);
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
    u16 head =
        driver_add_table(&driver, 0, 0x3000, (Piece[]){{0x2100, 32, true}, {0x2900, 32, true}}, 2);
    driver_notify(&driver, 0);
    u32 length = 0;
    OK(driver_used(&driver, 0, &length) == head && length == 64 && is_filled(0x2900, 32),
       "%s: an indirect chain", name);
    bool all = true;
    for (u32 i = 0; i < 6 * driver.size; i++) {
        all &= driver_do(&driver, 0, (Piece[]){{0x1000, 1, true}, {0x2000, 1, true}}, 1 + i % 2) ==
               1 + (int)i % 2;
        come_round();
    }
    OK(all && !is_broken(), "%s: rings wrap, also within a chain", name);
    for (u32 i = 0; i < driver.size; i++) {
        driver_add(&driver, 0, (Piece[]){{0x1000, 3, true}}, 1);
    }
    driver_notify(&driver, 0);
    for (u32 i = 0; i < driver.size; i++) {
        all &= driver_used(&driver, 0, &length) >= 0 && length == 3;
    }
    OK(all && driver_used(&driver, 0, &length) < 0 && !is_broken(), "%s: they may be full", name);
}

/* What the n-th chain is counted as, if all are of one descriptor. */
static u16 place_of(u32 n)
{
    return (u16)(driver_is_packed(&driver) ? n % (2 * driver.size) : n);
}

static void test_interrupts(const char *name)
{
    Piece piece = {0x1000, 8, true};

    driver_set_up(&driver, BASIC);
    driver_do(&driver, 0, &piece, 1);
    OK(bare.wires[0].level, "%s: it interrupts", name);
    OK(driver_take_interrupt(&driver) == VIRTIO_ISR_QUEUE && !bare.wires[0].level,
       "%s: until it is told that this was seen", name);
    driver_notify(&driver, 0);
    OK(!bare.wires[0].level, "%s: not where nothing was used", name);
    driver_want_interrupts(&driver, 0, false);
    driver_do(&driver, 0, &piece, 1);
    OK(!bare.wires[0].level, "%s: not where the driver wants none", name);
    driver_set_up(&driver, BASIC | VIRTIO_F_EVENT_IDX);
    u32 n = 2 * driver.size + 2; /* packed: once round, and on */
    for (u32 i = 0; i < n; i++) {
        driver_want_interrupt_at(&driver, 0, place_of(i + 1));
        driver_do(&driver, 0, &piece, 1);
        come_round();
    }
    OK(!bare.wires[0].level, "%s: or not yet", name);
    driver_do(&driver, 0, &piece, 1);
    OK(bare.wires[0].level, "%s: but when it wants it", name);
    driver_take_interrupt(&driver);
    driver_notify(&driver, 0);
    OK(driver_bell(&driver, 0) == place_of(n + 1), "%s: and says when it wants to be rung for",
       name);
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
    driver_add_split(&driver, 0, &(Piece){0x3000, 24, false}, 1, 4);
    breaks(name, "half a descriptor in a table");
    driver.added[0] += (u16)driver.size;
    driver_offer(&driver, 0, 0);
    breaks(name, "more chains than the ring has places");
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8,
       "%s: a reset makes it whole again", name);
    driver_set(&driver, DRIVER_QUEUE_SELECT, 0);
    driver_set(&driver, DRIVER_DESCRIPTORS, 0x5000);
    OK(driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8,
       "%s: a queue in use does not move", name);
}

/* Drivers may not use a device before they said that they are ready, but old ones do. */
static void test_early(const char *name)
{
    driver_set_up(&driver, BASIC);
    driver_set(&driver, DRIVER_STATUS, 3);
    OK((driver_do(&driver, 0, (Piece[]){{0x1000, 8, true}}, 1) == 8) ==
           (driver.form == DRIVER_LEGACY),
       "%s: use before the driver is ready", name);
}

static void test_packed_mistakes(const char *name)
{
    Piece pieces[DRIVER_QUEUE_SIZE];

    driver_set_up(&driver, BASIC);
    for (u32 i = 0; i < COUNT(pieces); i++) {
        pieces[i] = (Piece){0x1000, 1, true};
    }
    OK(driver_do(&driver, 0, pieces, COUNT(pieces)) == (int)COUNT(pieces),
       "%s: a chain that fills the ring", name);
    driver_add(&driver, 0, pieces, COUNT(pieces));
    u8 *last = driver_memory(&driver, driver_packed_place(&driver, 0, DRIVER_QUEUE_SIZE - 1));
    last[14] |= 1;
    breaks(name, "one that goes on");
    driver_add(&driver, 0, (Piece[]){{0xf0000000, 16, true}}, 1);
    breaks(name, "a descriptor of no memory");
    driver_add(&driver, 0, (Piece[]){{0x1000, 16, true}, {0x2000, 16, false}}, 2);
    breaks(name, "what is read behind what is written");
    driver_add_packed(&driver, 0, &(Piece){0x3000, 24, false}, 1, 4);
    breaks(name, "half a descriptor in a table");
    OK(driver_do(&driver, 0, pieces, 1) == 1, "%s: a reset makes it whole again", name);
}

/* Chains that are as good as endless, in a memory of a GiB that is nothing but zeroes. */
static void test_endless(const char *name)
{
    enum { LARGE_SIZE = 1 << 30, PIECES = 5 };
    static const u64 large_at = (u64)1 << 32;
    RamBlock *large = ram_new("large", LARGE_SIZE);
    Region region = {.name = "large", .size = LARGE_SIZE, .ram = large};
    Piece pieces[PIECES];

    space_add(bare.board.memory, &region, large_at);
    driver_set_up(&driver, BASIC);
    for (u32 i = 0; i < PIECES; i++) {
        pieces[i] = (Piece){large_at, LARGE_SIZE, true};
    }
    driver_add(&driver, 0, pieces, PIECES);
    breaks(name, "a chain of 5 GiB");
    Piece table = {large_at, LARGE_SIZE, false};
    put_le(large->host + 12, 1, 2); /* of one descriptor of no bytes, which follows itself */
    if (driver_is_packed(&driver)) {
        driver_add_packed(&driver, 0, &table, 1, 4);
    } else {
        driver_add_split(&driver, 0, &table, 1, 4);
    }
    breaks(name, "a table of millions of descriptors of nothing");
    space_remove(bare.board.memory, &region);
    ram_free(large);
}

/* What a driver adds while it is served, without end: here a ring that is always full. */
static void test_flood(const char *name)
{
    u16 *index = (u16 *)(void *)driver_memory(&driver, driver_avail(&driver, 0) + 2);
    const u8 *used = driver_memory(&driver, driver_used_ring(&driver, 0));
    unsigned rounds = 0;

    driver_set_up(&driver, BASIC);
    for (u16 i = 0; i < driver.size; i++) {
        driver_add(&driver, 0, (Piece[]){{0x1000, 1, true}}, 1);
    }
    do {
        *index = (u16)(get_le(used + 2, 2) + driver.size);
        driver_notify(&driver, 0);
    } while (get_le(used + 2, 2) == *index && ++rounds < 1000);
    OK(rounds < 1000 && !is_broken(), "%s: a driver that never stops is let wait", name);
    come_round();
    OK(get_le(used + 2, 2) == *index, "%s: until the main loop has come round", name);
    *index = (u16)(*index + driver.size + 1);
    driver_notify(&driver, 0);
    OK(is_broken(), "%s: more than the ring holds is refused", name);
}

/* The vector's registers: of the configuration, of the selected queue. */
enum { CONFIG_VECTOR, QUEUE_VECTOR };

static void set_vector(unsigned which, u16 vector)
{
    if (driver.form == DRIVER_LEGACY) {
        map_write(&bare.ports, DRIVER_PORTS + 20 + 2 * which, 2, vector, NULL);
    } else {
        map_write(&bare.board.dma, DRIVER_BAR + (which ? 0x1a : 0x10), 2, vector, NULL);
    }
}

static u64 get_queue_vector(void)
{
    return driver.form == DRIVER_LEGACY ? map_read(&bare.ports, DRIVER_PORTS + 22, 2, NULL)
                                        : map_read(&bare.board.dma, DRIVER_BAR + 0x1a, 2, NULL);
}

/* The capability that has that type. */
static u32 find_capability(u8 type)
{
    u32 at = pci_config_read(driver.pci, DRIVER_SLOT, 0, 0x34, 1);

    while (at && (pci_config_read(driver.pci, DRIVER_SLOT, 0, at, 1) != 9 ||
                  pci_config_read(driver.pci, DRIVER_SLOT, 0, at + 3, 1) != type)) {
        at = pci_config_read(driver.pci, DRIVER_SLOT, 0, at + 1, 1);
    }
    return at;
}

static void look_through_window(u32 window, u32 bar, u32 offset, u32 length)
{
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 4, 1, bar);
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 8, 4, offset);
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 12, 4, length);
}

/* Registers through configuration space. */
static void test_window(void)
{
    u32 window = find_capability(5);

    look_through_window(window, 4, 0x14, 1);
    OK(window && pci_config_read(driver.pci, DRIVER_SLOT, 0, window + 16, 1) == 0xf,
       "the window shows the status");
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 16, 1, 0x8f);
    OK(driver_get(&driver, DRIVER_STATUS) == 0x8f, "and changes it");
    look_through_window(window, 4, 0x15, 4);
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 16, 4, 0);
    look_through_window(window, 4, 0x4000, 4);
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 16, 4, 0);
    look_through_window(window, 1, 0x14, 1);
    pci_config_write(driver.pci, DRIVER_SLOT, 0, window + 16, 1, 0);
    OK(driver_get(&driver, DRIVER_STATUS) == 0x8f, "places that it does not reach");
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
    set_vector(CONFIG_VECTOR, 0);
    driver_set(&driver, DRIVER_QUEUE_SELECT, 0);
    set_vector(QUEUE_VECTOR, 1);
    unsigned config = bare.wires[1].rises, queue = bare.wires[2].rises;
    driver_do(&driver, 0, &piece, 1);
    OK(bare.wires[2].rises == queue + 1 && bare.wires[1].rises == config && !bare.wires[0].level,
       "the queue's vector");
    virtio_config_changed(driver.device);
    OK(bare.wires[2].rises == queue + 1 && bare.wires[1].rises == config + 1,
       "the configuration's vector");
    if (driver.form != DRIVER_LEGACY) {
        test_window();
    }
    set_vector(QUEUE_VECTOR, 100);
    OK(get_queue_vector() == VIRTIO_NO_VECTOR, "a vector that does not exist is none");
}

static void test_mmio(void)
{
    MapReader *memory = &bare.board.dma;

    OK(map_read(memory, DRIVER_MMIO, 4, NULL) == 0x74726976 &&
           map_read(memory, DRIVER_MMIO + 4, 4, NULL) == (driver.form == DRIVER_LEGACY ? 1 : 2) &&
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

/* What tells drivers which interface there is. */
static void test_identity(const char *property, u16 device, u8 revision, bool legacy, bool modern)
{
    char *error;
    void *rng = device_new(&device_virtio_rng_pci, &bare.board, NULL);

    if (property) {
        device_set(rng, property, "on", &error);
    }
    driver_start(&driver, &bare, rng, DRIVER_SPLIT);
    OK(pci_config_read(driver.pci, DRIVER_SLOT, 0, 2, 2) == device &&
           pci_config_read(driver.pci, DRIVER_SLOT, 0, 8, 1) == revision,
       "%s: its number", property ? property : "transitional");
    OK((pci_config_read(driver.pci, DRIVER_SLOT, 0, 0x10, 4) != 0) == legacy &&
           (pci_config_read(driver.pci, DRIVER_SLOT, 0, 0x20, 4) != 0) == modern,
       "%s: its base addresses", property ? property : "transitional");
    driver_stop(&driver);
}

static void test_identities(void)
{
    char *error = NULL;

    bare_start(&bare);
    test_identity(NULL, 0x1005, 0, true, true);
    test_identity("disable-legacy", 0x1044, 1, false, true);
    test_identity("disable-modern", 0x1005, 0, true, false);
    void *none = device_new(&device_virtio_rng_pci, &bare.board, NULL);
    device_set(none, "disable-legacy", "on", &error);
    device_set(none, "disable-modern", "on", &error);
    OK(device_start(none, &error) < 0 && error, "neither is refused");
    free(error);
    device_free(none);
    bare_stop(&bare);
}

static void test_device(const DeviceDef *def, DriverForm form)
{
    static const char *const forms[] = {"", ", packed", ", legacy"};
    char name[64];

    snprintf(name, sizeof name, "%s%s", def->name, forms[form]);
    bare_start(&bare);
    driver_start(&driver, &bare, driver_new(&bare, def, form), form);
    if (form != DRIVER_LEGACY) {
        test_negotiation(name);
    }
    test_chains(name);
    test_interrupts(name);
    test_early(name);
    if (form == DRIVER_PACKED) {
        test_packed_mistakes(name);
    } else {
        test_mistakes(name);
        test_flood(name);
    }
    test_endless(name);
    test_load(name);
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
    for (DriverForm form = DRIVER_SPLIT; form < DRIVER_FORMS; form++) {
        test_device(&device_virtio_rng_pci, form);
        test_device(&device_virtio_rng_device, form);
    }
    test_identities();
    return tap_done();
}
