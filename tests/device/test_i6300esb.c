/* i6300ESB watchdog: unlocking, its two stages, reload, free-running, lock. */
#include "device/pci/pci.h"
#include "tests/device/bare.h"

enum { PRELOAD_1 = 0x00, PRELOAD_2 = 0x04, STATUS = 0x08, RELOAD = 0x0c };

static const u64 base = 0xf0000000;
static Bare bare;
static PciBus *pci;
static void *watchdog;

static u32 get(unsigned offset)
{
    return (u32)map_read(&bare.board.dma, base + offset, 4, NULL);
}

static void set(unsigned offset, u32 value)
{
    map_write(&bare.board.dma, base + offset, 4, value, NULL);
}

static void set_unlocked(unsigned offset, u32 value)
{
    set(RELOAD, 0x80);
    set(RELOAD, 0x86);
    set(offset, value);
}

static void interrupt(void *opaque, unsigned line, bool level)
{
    (void)line;
    bare_wire(opaque, 0, level);
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque;
    (void)address;
    (void)data;
}

/* About a second for each stage. */
static void set_up(u8 lock)
{
    device_reset(watchdog);
    pci_config_write(pci, 3, 0, 0x10, 4, (u32)base);
    pci_config_write(pci, 3, 0, 0x04, 2, 2);
    set_unlocked(PRELOAD_1, 1000);
    set_unlocked(PRELOAD_2, 1000);
    pci_config_write(pci, 3, 0, 0x68, 1, lock);
}

static void wait_milliseconds(u64 count)
{
    bare_wait(&bare, count * 1000000);
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    pci = pci_bus_new(&bare.board, &(PciWires){&bare, interrupt, message});
    watchdog = device_new(&device_i6300esb, &bare.board, NULL);
    device_start(watchdog, &error);
    pci_attach(pci, watchdog, 3, 0, &error);
    set_up(0);
    set(PRELOAD_1, 5);
    OK(get(PRELOAD_1) == 1000, "registers are locked");
    wait_milliseconds(5000);
    OK(!bare.wires[0].level, "it is off at first");
    set_up(2);
    wait_milliseconds(900);
    set_unlocked(RELOAD, 0x100);
    wait_milliseconds(900);
    OK(!bare.wires[0].level, "reloaded in time");
    wait_milliseconds(200);
    OK(bare.wires[0].level && get(STATUS) == 1, "the first stage interrupts");
    set(STATUS, 1);
    OK(!bare.wires[0].level && get(STATUS) == 0, "until cleared");
    OK(!bare.events[BOARD_WATCHDOG] && !(get(RELOAD) & 0x200), "the second goes on");
    wait_milliseconds(1000);
    OK(bare.events[BOARD_WATCHDOG] == 1 && get(RELOAD) & 0x200, "and runs out");
    device_reset(watchdog);
    set_up(0);
    OK(get(RELOAD) & 0x200, "which is known after the reset");
    set_unlocked(RELOAD, 0x200);
    OK(!(get(RELOAD) & 0x200), "until cleared");
    set_up(6);
    wait_milliseconds(1000);
    wait_milliseconds(1000);
    wait_milliseconds(1000);
    OK(bare.events[BOARD_WATCHDOG] == 1 && get(STATUS) == 1, "free-running: only interrupts");
    set_up(0);
    pci_config_write(pci, 3, 0, 0x60, 1, 4); /* counts of a microsecond */
    set_unlocked(PRELOAD_1, 0);
    pci_config_write(pci, 3, 0, 0x68, 1, 6);
    bare_wait(&bare, 15000);
    OK(get(STATUS) == 0, "no stage is so short that the host does nothing else");
    bare_wait(&bare, 10000);
    OK(get(STATUS) == 1, "but it ends");
    set_up(3);
    pci_config_write(pci, 3, 0, 0x68, 1, 0);
    OK(pci_config_read(pci, 3, 0, 0x68, 1) == 3, "locked");
    device_free(watchdog);
    pci_bus_free(pci);
    bare_stop(&bare);
    return tap_done();
}
