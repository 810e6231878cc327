/* The PIIX3's IDE controller with a disk and a CD drive on one channel: data by PIO and by the bus
 * master, which serves the drive that asked for it whatever the guest has selected since. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/block/disk.h"
#include "device/pci/pci.h"
#include "tests/device/bare.h"

enum {
    DISK_SIZE = 1 << 20,
    TASK_FILE = 0x1f0, /* ports: data, error, count, three of the address, device, status */
    CONTROL = 0x3f6,
    MASTER = 0xc000,
    SLOT = 1,
    DISK = 0, /* units */
    CD = 1,
    TABLE = 0x1000, /* in memory */
    DATA = 0x80000,
    PIECE = 0x10000, /* of memory that a descriptor names */
    SECTOR = 512,
    CD_SECTOR = 2048,
};

static Bare bare;
static PciBus *pci;
static void *controller;
static Disk *disks[2];
static BlockNode *nodes[2];
static int files[2];

static u8 *memory(u64 address)
{
    return bare.ram->host + address;
}

static u8 content(unsigned unit, u32 at)
{
    return (u8)(at * 7 + (at >> 9) + 100 * unit + 1);
}

static bool is_content(unsigned unit, const u8 *bytes, u32 size)
{
    for (u32 i = 0; i < size; i++) {
        if (bytes[i] != content(unit, i)) {
            return false;
        }
    }
    return true;
}

static void quit(void *opaque)
{
    loop_quit(opaque);
}

static void wait_for_disks(void)
{
    loop_defer(bare.board.loop, quit, bare.board.loop);
    loop_run(bare.board.loop);
    disk_drain(disks[DISK]);
    disk_drain(disks[CD]);
}

/* -- Setting up */

static void make_disk(unsigned n)
{
    static u8 bytes[DISK_SIZE];
    BlockOptions *options = block_options_new();
    char path[40];
    BlockError error;

    for (u32 i = 0; i < DISK_SIZE; i++) {
        bytes[i] = content(n, i);
    }
    files[n] = memfd_create("disk", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", files[n]);
    block_options_set(options, "driver", "raw");
    if (files[n] < 0 || write(files[n], bytes, DISK_SIZE) != DISK_SIZE ||
        block_open(&nodes[n], path, options, BLOCK_WRITE | BLOCK_NO_LOCK, &error) < 0) {
        abort();
    }
    block_options_free(options);
    disks[n] = disk_new(&bare.board, nodes[n], false, &error);
}

static Device *plug(const DeviceDef *def, unsigned unit)
{
    Device *drive = device_new(def, &bare.board, NULL);
    char *error = NULL;

    make_disk(unit);
    device_set_backend(drive, "drive", disks[unit], &error);
    if (device_start(drive, &error) < 0 ||
        device_piix3_ide.offers->plug(controller, 0, drive, (int)unit, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    return drive;
}

/* Descriptors of four times 64 KiB of the same memory. */
static void make_table(void)
{
    for (u32 i = 0; i < 4; i++) {
        put_le(memory(TABLE + 8 * i), DATA, 4);
        put_le(memory(TABLE + 8 * i + 4), i == 3 ? 1u << 31 : 0, 4);
    }
}

/* -- Registers */

static u8 status(void)
{
    return bare_in(&bare, CONTROL);
}

static void start_master(void)
{
    map_write(&bare.ports, MASTER + 4, 4, TABLE, NULL);
    bare_out(&bare, MASTER + 2, 6); /* clears what was */
    bare_out(&bare, MASTER, 9);
}

static void stop_master(void)
{
    bare_out(&bare, MASTER, 0);
}

static void select_unit(unsigned unit)
{
    bare_out(&bare, TASK_FILE + 6, unit ? 0xf0 : 0xe0);
}

static void command(u8 feature, u8 count, u32 lba, u8 code)
{
    bare_out(&bare, TASK_FILE + 1, feature);
    bare_out(&bare, TASK_FILE + 2, count);
    for (unsigned i = 0; i < 3; i++) {
        bare_out(&bare, (u16)(TASK_FILE + 3 + i), (u8)(lba >> 8 * i));
    }
    bare_out(&bare, TASK_FILE + 7, code);
}

static void send_packet(u8 feature, const u8 packet[12])
{
    command(feature, 0, 0, 0xa0);
    for (unsigned i = 0; i < 12; i += 2) {
        map_write(&bare.ports, TASK_FILE, 2, get_le(packet + i, 2), NULL);
    }
}

/* -- Tests */

static void test_disk(void)
{
    u8 bytes[SECTOR];

    select_unit(DISK);
    command(0, 1, 0, 0x20);
    wait_for_disks();
    for (unsigned i = 0; i < SECTOR; i += 4) {
        put_le(bytes + i, map_read(&bare.ports, TASK_FILE, 4, NULL), 4);
    }
    OK(is_content(DISK, bytes, SECTOR) && status() == 0x50, "a sector by PIO");
    command(0, 8, 0, 0xc8);
    OK(status() & 8, "a read waits for the bus master");
    start_master();
    wait_for_disks();
    stop_master();
    OK(is_content(DISK, memory(DATA), 8 * SECTOR) && status() == 0x50, "and goes on by it");
}

/* A drive's unfinished business is not what another one's transfer runs. */
static void test_selection(void)
{
    static const u8 ready[12] = {0}, read[12] = {0x28, [8] = 1};

    select_unit(CD);
    send_packet(0, ready); /* the new medium has everybody's attention */
    select_unit(DISK);
    bare_out(&bare, TASK_FILE + 2, 0xff);
    command(1, 0xff, 0, 0x06);
    OK(status() & 1, "a list of 65535 sectors to trim is refused");
    select_unit(CD);
    send_packet(1, read);
    OK(status() & 8, "a CD drive waits for the bus master");
    select_unit(DISK);
    memset(memory(DATA), 0, PIECE);
    start_master();
    wait_for_disks();
    stop_master();
    OK(is_content(CD, memory(DATA), CD_SECTOR) && !*memory(DATA + CD_SECTOR),
       "its sector comes while the disk is selected");
    select_unit(CD);
    OK(status() == 0x50, "and its command ends");
}

static void ignore(void *opaque, u64 offset, u64 size)
{
    (void)opaque, (void)offset, (void)size;
}

/* What was on its way when a drive is reset may have come. */
static void test_reset(void)
{
    AddressSpace *space = bare.board.memory;

    ram_track(space, bare.ram, DIRTY_DISPLAY, true);
    select_unit(DISK);
    command(0, 8, 0, 0xc8);
    ram_take_dirty(space, bare.ram, DIRTY_DISPLAY, 0, bare.ram->size, ignore, NULL);
    start_master();
    bare_out(&bare, CONTROL, 4);
    bare_out(&bare, CONTROL, 0);
    stop_master();
    OK(map_is_dirty(&bare.board.dma, DATA) && !map_is_dirty(&bare.board.dma, DATA + PIECE),
       "memory of a read that was cut off counts as written");
    OK(status() == 0x50, "the drive is itself again");
    ram_track(space, bare.ram, DIRTY_DISPLAY, false);
}

static void interrupt(void *opaque, unsigned line, bool level)
{
    (void)opaque, (void)line, (void)level;
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque, (void)address, (void)data;
}

int main(void)
{
    char *error = NULL;
    Device *drives[2];

    bare_start(&bare);
    pci = pci_bus_new(&bare.board, &(PciWires){&bare, interrupt, message});
    controller = device_new(&device_piix3_ide, &bare.board, NULL);
    if (device_start(controller, &error) < 0 || pci_attach(pci, controller, SLOT, 1, &error) < 0) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    drives[DISK] = plug(&device_ide_hd, DISK);
    drives[CD] = plug(&device_ide_cd, CD);
    device_reset(controller);
    pci_config_write(pci, SLOT, 1, 0x20, 4, MASTER);
    pci_config_write(pci, SLOT, 1, 0x04, 2, 5);
    make_table();
    test_disk();
    test_selection();
    test_reset();
    device_free(controller);
    for (unsigned n = 0; n < COUNT(drives); n++) {
        device_free(drives[n]);
        disk_free(disks[n]);
        block_close(nodes[n]);
        close(files[n]);
    }
    pci_bus_free(pci);
    bare_stop(&bare);
    return tap_done();
}
