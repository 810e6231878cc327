/* The SATA controller: its ports, commands by PIO and DMA, a queue, a packet, errors and resets. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/block/disk.h"
#include "device/pci/pci.h"
#include "tests/device/bare.h"

enum {
    DISK_SIZE = 4 << 20,
    CD_SIZE = 64 << 10,
    LIST = 0x1000, /* in memory: of port 0; port 1's is behind it */
    FIS = 0x2000,
    TABLES = 0x10000,
    TABLE = 0x1000,
    DATA = 0x100000,
    GHC = 4,
    IS = 8,
    PORT_IS = 0x10,
    PORT_IE = 0x14,
    PORT_CMD = 0x18,
    PORT_TFD = 0x20,
    PORT_SIG = 0x24,
    PORT_SSTS = 0x28,
    PORT_SCTL = 0x2c,
    PORT_SACT = 0x34,
    PORT_CI = 0x38,
};

static const u64 base = 0xf0000000;
static Bare bare;
static PciBus *pci;
static void *hba;
static Disk *disk, *cd;
static BlockNode *nodes[2];
static int files[2];

static u32 get(u32 offset)
{
    return (u32)map_read(&bare.board.dma, base + offset, 4, NULL);
}

static void set(u32 offset, u32 value)
{
    map_write(&bare.board.dma, base + offset, 4, value, NULL);
}

static u32 port_get(unsigned port, u32 offset)
{
    return get(0x100 + 0x80 * port + offset);
}

static void port_set(unsigned port, u32 offset, u32 value)
{
    set(0x100 + 0x80 * port + offset, value);
}

static u8 *memory(u64 address)
{
    return bare.ram->host + address;
}

static void interrupt(void *opaque, unsigned line, bool level)
{
    (void)line;
    bare_wire(opaque, 0, level);
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque, (void)address, (void)data;
}

static void quit(void *opaque)
{
    loop_quit(opaque);
}

static void wait_for_disks(void)
{
    loop_defer(bare.board.loop, quit, bare.board.loop);
    loop_run(bare.board.loop);
    disk_drain(disk);
    disk_drain(cd);
}

/* -- Setting up */

static Disk *make_disk(unsigned n, u64 size)
{
    BlockOptions *options = block_options_new();
    char path[40];
    BlockError error;

    files[n] = memfd_create("disk", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", files[n]);
    block_options_set(options, "driver", "raw");
    if (files[n] < 0 || ftruncate(files[n], (off_t)size) < 0 ||
        block_open(&nodes[n], path, options, BLOCK_WRITE | BLOCK_NO_LOCK, &error) < 0) {
        abort();
    }
    block_options_free(options);
    return disk_new(&bare.board, nodes[n], false, &error);
}

static Device *plug(const DeviceDef *def, Disk *in, u32 port)
{
    Device *drive = device_new(def, &bare.board, NULL);
    char *error = NULL;

    device_set_backend(drive, "drive", in, &error);
    if (device_start(drive, &error) < 0 ||
        device_ahci.offers->plug(hba, port, drive, -1, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    return drive;
}

/* Gives the ports memory and starts them. */
static void start_ports(void)
{
    pci_config_write(pci, 3, 0, 0x24, 4, (u32)base);
    pci_config_write(pci, 3, 0, 0x04, 2, 6);
    set(GHC, 0x80000002);
    for (unsigned port = 0; port < 2; port++) {
        port_set(port, 0x00, LIST + port * 0x400);
        port_set(port, 0x08, FIS + port * 0x100);
        port_set(port, PORT_IS, ~0u);
        port_set(port, PORT_IE, ~0u);
        port_set(port, PORT_CMD, 0x11);
    }
    set(IS, ~0u);
}

/* -- Commands */

/* A command in a slot, with data of that size at DATA + slot * 64 KiB in two pieces. */
static u8 *prepare(unsigned port, unsigned slot, u8 command, u64 lba, u16 count, u32 bytes)
{
    u8 *header = memory(LIST + port * 0x400 + slot * 32);
    u64 table = TABLES + (port * 32 + slot) % 64 * TABLE;
    u8 *fis = memory(table), *descriptor = memory(table + 0x80);
    u64 data = DATA + slot % 8 * 0x10000;

    memset(header, 0, 32);
    memset(memory(table), 0, TABLE);
    put_le(header, 5 | (bytes ? 2u << 16 : 0), 4);
    put_le(header + 8, table, 8);
    fis[0] = 0x27;
    fis[1] = 0x80;
    fis[2] = command;
    put_le(fis + 4, lba, 3);
    put_le(fis + 8, lba >> 24, 3);
    fis[7] = 0x40;
    put_le(fis + 12, count, 2);
    put_le(descriptor, data, 8);
    put_le(descriptor + 12, 511, 4); /* the first piece has 512 bytes */
    put_le(descriptor + 16, data + 512, 8);
    put_le(descriptor + 28, bytes > 512 ? bytes - 513 : 0, 4);
    return fis;
}

static u32 moved(unsigned port, unsigned slot)
{
    return (u32)get_le(memory(LIST + port * 0x400 + slot * 32 + 4), 4);
}

static void issue(unsigned port, unsigned slot)
{
    port_set(port, PORT_CI, 1u << slot);
    wait_for_disks();
}

static void fill(u8 *bytes, u32 size, u8 seed)
{
    for (u32 i = 0; i < size; i++) {
        bytes[i] = (u8)(seed + i * 7 + (i >> 9));
    }
}

static bool is_on_disk(unsigned n, u64 offset, const u8 *bytes, u32 size)
{
    static u8 found[64 << 10];

    return pread(files[n], found, size, (off_t)offset) == size && !memcmp(found, bytes, size);
}

/* -- Tests */

static void test_ports(void)
{
    OK(get(0) >> 30 == 3 && (get(0) & 31) == 5 && get(0xc) == 0x3f, "six ports, queues");
    OK(port_get(0, PORT_SSTS) == 0x123 && port_get(2, PORT_SSTS) == 0, "two have drives");
    OK(port_get(0, PORT_SIG) == 0x101 && port_get(1, PORT_SIG) == 0xeb140101 &&
           port_get(2, PORT_SIG) == ~0u,
       "signatures");
    OK(memory(FIS)[0x40] == 0x34 && memory(FIS)[0x42] == 0x50, "and the frame with it");
    OK((port_get(0, PORT_TFD) & 0x89) == 0, "ready");
}

static void test_identify(void)
{
    prepare(0, 3, 0xec, 0, 0, 512);
    issue(0, 3);
    const u8 *words = memory(DATA + 3 * 0x10000);
    OK(port_get(0, PORT_CI) == 0 && port_get(0, PORT_IS) == 2, "PIO: a setup frame");
    OK(get_le(words + 120, 4) == DISK_SIZE / 512 && get_le(words + 152, 2) == 0x106, "identified");
    OK(moved(0, 3) == 512 && memory(FIS)[0x20] == 0x5f, "512 bytes");
    OK(bare.wires[0].level && get(IS) == 1, "interrupts");
    port_set(0, PORT_IS, 2);
    set(IS, 1);
    OK(!bare.wires[0].level, "until it is acknowledged");
}

static void test_transfer(void)
{
    u8 *data = memory(DATA);

    fill(data, 8192, 1);
    prepare(0, 0, 0x35, 100, 16, 8192);
    issue(0, 0);
    OK(port_get(0, PORT_IS) == 1 && is_on_disk(0, 51200, data, 8192), "written by DMA");
    memset(data, 0, 8192);
    prepare(0, 0, 0x25, 100, 16, 8192);
    issue(0, 0);
    OK(is_on_disk(0, 51200, data, 8192) && moved(0, 0) == 8192, "and read");
    memset(data, 0, 8192);
    prepare(0, 0, 0x24, 100, 16, 8192);
    issue(0, 0);
    OK(is_on_disk(0, 51200, data, 8192) && moved(0, 0) == 8192, "and read by PIO");
    fill(data, 1024, 9);
    prepare(0, 0, 0x34, 7, 2, 1024);
    issue(0, 0);
    OK(is_on_disk(0, 3584, data, 1024) && port_get(0, PORT_CI) == 0, "written by PIO");
    port_set(0, PORT_IS, ~0u);
}

/* READ and WRITE FPDMA QUEUED: the count is in the features, the tag in the count. */
static void prepare_queued(unsigned slot, bool write, u64 lba, u16 count)
{
    u8 *fis = prepare(0, slot, write ? 0x61 : 0x60, lba, (u16)(slot << 3), count * 512u);

    fis[3] = (u8)count;
    fis[11] = (u8)(count >> 8);
}

static void test_queue(void)
{
    u32 slots = 0;
    bool good = true;

    for (unsigned slot = 0; slot < 8; slot++) {
        fill(memory(DATA + slot * 0x10000), 4096, (u8)slot);
        prepare_queued(slot, true, 1000 + slot * 8, 8);
        slots |= 1u << slot;
    }
    port_set(0, PORT_SACT, slots);
    port_set(0, PORT_CI, slots);
    OK(port_get(0, PORT_CI) == 0 && port_get(0, PORT_SACT) == slots, "eight are taken at once");
    wait_for_disks();
    for (unsigned slot = 0; slot < 8; slot++) {
        good &= is_on_disk(0, (1000 + slot * 8) * 512, memory(DATA + slot * 0x10000), 4096);
    }
    OK(good && port_get(0, PORT_SACT) == 0 && port_get(0, PORT_IS) == 8, "and end");
    OK(memory(FIS)[0x58] == 0xa1, "with a frame that sets bits");
    port_set(0, PORT_IS, ~0u);
    prepare_queued(5, false, DISK_SIZE / 512, 8);
    port_set(0, PORT_SACT, 1 << 5);
    issue(0, 5);
    OK(port_get(0, PORT_IS) & 1u << 30 && port_get(0, PORT_SACT) == 1 << 5, "one fails");
    port_set(0, PORT_CMD, 0x10);
    port_set(0, PORT_IS, ~0u);
    port_set(0, PORT_CMD, 0x11);
    OK(port_get(0, PORT_SACT) == 0, "the list is stopped, which drops it");
    prepare(0, 1, 0x2f, 0x10, 1, 512);
    issue(0, 1);
    const u8 *log = memory(DATA + 0x10000);
    OK(log[0] == 5 && log[3] == 0x10 && get_le(log + 4, 3) == DISK_SIZE / 512, "the log knows");
    port_set(0, PORT_IS, ~0u);
}

static void test_errors(void)
{
    prepare(0, 2, 0x25, DISK_SIZE / 512 - 1, 2, 1024);
    issue(0, 2);
    OK(port_get(0, PORT_TFD) == 0x1051 && port_get(0, PORT_IS) & 1u << 30, "beyond the end");
    OK(port_get(0, PORT_CI) == 1 << 2, "its slot stays");
    prepare(0, 3, 0xec, 0, 0, 512);
    issue(0, 3);
    OK(port_get(0, PORT_CI) == (1 << 2 | 1 << 3), "nothing runs");
    port_set(0, PORT_CMD, 0x10);
    port_set(0, PORT_IS, ~0u);
    port_set(0, PORT_CMD, 0x11);
    prepare(0, 3, 0xec, 0, 0, 512);
    issue(0, 3);
    OK(port_get(0, PORT_CI) == 0, "until the list was stopped");
    prepare(0, 0, 0xc8, 0, 8, 1024); /* too few descriptors for a read of eight sectors */
    issue(0, 0);
    OK(moved(0, 0) == 1024 && port_get(0, PORT_TFD) & 1, "too little memory");
    port_set(0, PORT_CMD, 0x10);
    port_set(0, PORT_IS, ~0u);
}

static void test_reset(void)
{
    port_set(0, PORT_CMD, 0x11);
    port_set(0, PORT_SCTL, 1);
    OK(port_get(0, PORT_SSTS) == 0 && port_get(0, PORT_TFD) & 0x80, "the link is reset");
    port_set(0, PORT_SCTL, 0);
    OK(port_get(0, PORT_SSTS) == 0x123 && !(port_get(0, PORT_TFD) & 0x80), "and up again");
    u8 *fis = prepare(0, 0, 0, 0, 0, 0);
    fis[1] = 0;
    fis[15] = 4;
    issue(0, 0);
    OK(port_get(0, PORT_CI) == 0 && port_get(0, PORT_TFD) & 0x80, "a frame resets the drive");
    memset(memory(FIS) + 0x40, 0, 20);
    fis[15] = 0;
    issue(0, 0);
    OK(memory(FIS)[0x40] == 0x34 && memory(FIS)[0x4c] == 1 && !(port_get(0, PORT_TFD) & 0x80),
       "which says what it is");
    set(GHC, 0x80000001);
    OK(get(GHC) == 0x80000000 && port_get(0, PORT_CMD) == 6, "the whole controller");
    start_ports();
}

/* -- The CD */

static void packet(u8 command, u32 lba, u16 count, u32 bytes, bool dma)
{
    u8 *fis = prepare(1, 0, 0xa0, 0, 0, bytes), *cdb = fis + 0x40;

    *memory(LIST + 0x400) |= 0x20;
    fis[3] = dma;
    put_le(fis + 5, 0xfffe, 2);
    cdb[0] = command;
    put_be(cdb + 2, lba, 4);
    put_be(cdb + 7, count, 2);
    if (command == 0x03) {
        cdb[4] = 18;
    }
    port_set(1, PORT_IS, ~0u);
    issue(1, 0);
}

/* The sense key, code and qualifier of the last command. */
static u32 sense(void)
{
    const u8 *data = memory(DATA);

    port_set(1, PORT_CMD, 0x10);
    port_set(1, PORT_CMD, 0x11);
    packet(0x03, 0, 0, 18, false);
    return (u32)(data[2] & 15) << 16 | (u32)data[12] << 8 | data[13];
}

static u8 media_event(void)
{
    u8 *fis = prepare(1, 0, 0xa0, 0, 0, 8), *cdb = fis + 0x40;

    *memory(LIST + 0x400) |= 0x20;
    put_le(fis + 5, 0xfffe, 2);
    cdb[0] = 0x4a;
    cdb[1] = 1;
    cdb[4] = 0x10;
    cdb[8] = 8;
    issue(1, 0);
    return memory(DATA)[4];
}

static void test_cd(void)
{
    u8 sectors[4096];

    fill(sectors, sizeof sectors, 3);
    OK(pwrite(files[1], sectors, sizeof sectors, 2048 * 4) == sizeof sectors, "a disc");
    packet(0x28, 4, 2, 4096, true);
    OK(!memcmp(memory(DATA), sectors, 4096) && port_get(1, PORT_CI) == 0, "sectors by DMA");
    OK(moved(1, 0) == 4096 && port_get(1, PORT_IS) & 1, "with a frame at the end");
    memset(memory(DATA), 0, 4096);
    packet(0x28, 4, 2, 4096, false);
    OK(!memcmp(memory(DATA), sectors, 4096) && port_get(1, PORT_CI) == 0, "by PIO");
    packet(0x28, 1000, 1, 2048, true);
    OK(port_get(1, PORT_TFD) & 1 && sense() == 0x052100, "beyond the end");
}

static void test_medium(void)
{
    media_event();
    OK(disk_change(cd, NULL, true, false) == 0 && media_event() == 3, "the disc is gone");
    packet(0x00, 0, 0, 0, false);
    OK(sense() == 0x023a00, "and missed");
    OK(disk_change(cd, nodes[1], true, false) == 0 && media_event() == 2, "another");
    packet(0x00, 0, 0, 0, false);
    OK(sense() == 0x062800, "is noticed");
    packet(0x00, 0, 0, 0, false);
    OK(!(port_get(1, PORT_TFD) & 1), "once");
    u8 *fis = prepare(1, 0, 0xa0, 0, 0, 0);
    *memory(LIST + 0x400) |= 0x20;
    fis[0x40] = 0x1e;
    fis[0x44] = 1;
    issue(1, 0);
    OK(disk_change(cd, NULL, true, false) < 0 && media_event() == 1, "a locked door");
    OK(disk_change(cd, NULL, true, true) == 0, "forced");
}

int main(void)
{
    char *error = NULL;
    Device *drives[2];

    bare_start(&bare);
    disk = make_disk(0, DISK_SIZE);
    cd = make_disk(1, CD_SIZE);
    pci = pci_bus_new(&bare.board, &(PciWires){&bare, interrupt, message});
    hba = device_new(&device_ahci, &bare.board, NULL);
    if (device_start(hba, &error) < 0 || pci_attach(pci, hba, 3, 0, &error) < 0) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    drives[0] = plug(&device_ide_hd, disk, 0);
    drives[1] = plug(&device_ide_cd, cd, 1);
    device_reset(hba);
    start_ports();
    test_ports();
    test_identify();
    test_transfer();
    test_queue();
    test_errors();
    test_reset();
    test_cd();
    test_medium();
    device_free(hba);
    device_free(drives[0]);
    device_free(drives[1]);
    disk_free(disk);
    disk_free(cd);
    block_close(nodes[0]);
    block_close(nodes[1]);
    pci_bus_free(pci);
    bare_stop(&bare);
    return tap_done();
}
