/* "isa-debug-exit": a port by which test programs end the machine: writing N makes the program's
 * exit status 2N + 1. */
#include "device/devices.h"

enum { SIZE_MAX_BYTES = 4 };

typedef struct DebugExit {
    Device device;
    Region ports;
    u32 iobase, iosize;
} DebugExit;

static u64 read_port(void *device, u64 port, unsigned size)
{
    (void)device;
    (void)port;
    (void)size;
    return 0;
}

static void write_port(void *device, u64 port, unsigned size, u64 value)
{
    Board *board = ((DebugExit *)device)->device.board;

    (void)port;
    (void)size;
    board->event(board, BOARD_EXIT, (int)((value << 1 | 1) & 0x7fffffff));
}

static int start(void *device, char **error)
{
    DebugExit *d = device;

    (void)error;
    d->ports.size = MIN(MAX(d->iosize, 1u), (u32)SIZE_MAX_BYTES);
    device_map(d, 0, d->iobase & 0xffff);
    return 0;
}

static const RegionOps ops = {read_port, write_port, 1, 4, .unaligned = true};

static const RegisterBank banks[] = {
    {.name = "debug-exit",
     .size = SIZE_MAX_BYTES,
     .region = offsetof(DebugExit, ports),
     .ports = true,
     .width = 1,
     .raw = &ops},
};

static const Property properties[] = {
    {"iobase", PROPERTY_U32, offsetof(DebugExit, iobase), "its port", "0x501"},
    {"iosize", PROPERTY_U32, offsetof(DebugExit, iosize), "how many bytes of ports, 1 to 4", "2"},
    PROPERTY_END,
};

const DeviceDef device_isa_debug_exit = {
    .name = "isa-debug-exit",
    .summary = "port that ends the machine with an exit status",
    .size = sizeof(DebugExit),
    .bus_kind = BUS_ISA,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .properties = properties,
    .start = start,
};
