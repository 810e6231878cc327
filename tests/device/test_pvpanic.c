/* The register of crashes: what it knows, and what of it reaches the board. */
#include "device/pci/pci.h"
#include "tests/device/bare.h"

enum { PORT = 0x505, BAR = 0xe0000000 };

static Bare bare;

static void test_port(void)
{
    void *device = bare_device(&bare, &device_pvpanic);

    OK(bare_in(&bare, PORT) == 3, "it knows two events");
    bare_out(&bare, PORT, 2);
    OK(bare.events[BOARD_PANIC] == 0, "a guest that goes on by itself is let");
    bare_out(&bare, PORT, 0xfd);
    OK(bare.events[BOARD_PANIC] == 1, "one that crashed is told");
    device_free(device);
    device = device_new(&device_pvpanic, &bare.board, NULL);
    device_set_u64(device, "events", 2);
    device_set_u64(device, "ioport", 0x600);
    char *error;
    OK(device_start(device, &error) == 0 && bare_in(&bare, 0x600) == 2, "one of them, elsewhere");
    bare_out(&bare, 0x600, 1);
    OK(bare.events[BOARD_PANIC] == 1, "what it does not know is nothing");
    device_free(device);
}

static void wire(void *opaque, unsigned line, bool level)
{
    (void)opaque, (void)line, (void)level;
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque, (void)address, (void)data;
}

static void test_pci(void)
{
    PciBus *bus = pci_bus_new(&bare.board, &(PciWires){NULL, wire, message});
    void *device = device_new(&device_pvpanic_pci, &bare.board, NULL);
    char *error;

    device_start(device, &error);
    pci_attach(bus, device, 4, 0, &error);
    device_reset(device);
    pci_config_write(bus, 4, 0, 0x10, 4, BAR);
    pci_config_write(bus, 4, 0, 0x04, 2, 2);
    OK(pci_config_read(bus, 4, 0, 0, 4) == 0x00111b36, "its number on the PCI bus");
    OK(map_read(&bare.board.dma, BAR, 1, NULL) == 3, "it knows the same there");
    map_write(&bare.board.dma, BAR, 1, 1, NULL);
    OK(bare.events[BOARD_PANIC] == 2, "and tells");
    device_free(device);
    pci_bus_free(bus);
}

int main(void)
{
    bare_start(&bare);
    test_port();
    test_pci();
    bare_stop(&bare);
    return tap_done();
}
