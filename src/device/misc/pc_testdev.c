/* "pc-testdev": what the kernels of kvm-unit-tests expect of a machine beside isa-debug-exit: a
 * port and a page of memory that are a device's but keep what is written, and a switch for every
 * input of the interrupt controllers. Laid out as QEMU's device of that name, whose ports at 0xe4,
 * by which the host forgets a page of the guest, have nothing to do here. */
#include "device/devices.h"

enum {
    DATA_PORT = 0xe0,
    FLUSH_PORT = 0xe4,
    LINE_PORTS = 0x2000,
    MEMORY = 0xff000000u,
    MEMORY_SIZE = 0x10000,
    LINES = 24,
};

typedef struct PcTestdev {
    Device device;
    Region data_region, flush_region, lines_region, memory_region;
    u32 data;
    u8 memory[MEMORY_SIZE];
    u8 levels[LINES];
    Irq gsi[LINES];
} PcTestdev;

static u64 read_data(void *device, u64 at, unsigned size)
{
    (void)size;
    return ((PcTestdev *)device)->data >> 8 * at;
}

static void write_data(void *device, u64 at, unsigned size, u64 value)
{
    PcTestdev *d = device;
    u32 mask = (size == 4 ? ~(u32)0 : (1u << 8 * size) - 1) << 8 * at;

    d->data = (d->data & ~mask) | ((u32)value << 8 * at & mask);
}

static u64 read_nothing(void *device, u64 at, unsigned size)
{
    (void)device;
    (void)at;
    (void)size;
    return 0;
}

static void write_nothing(void *device, u64 at, unsigned size, u64 value)
{
    (void)device;
    (void)at;
    (void)size;
    (void)value;
}

static void write_line(void *device, u64 at, unsigned size, u64 value)
{
    PcTestdev *d = device;

    (void)size;
    d->levels[at] = value != 0;
    irq_set(&d->gsi[at], d->levels[at]);
}

static u64 read_memory(void *device, u64 at, unsigned size)
{
    (void)size;
    return ((PcTestdev *)device)->memory[at];
}

static void write_memory(void *device, u64 at, unsigned size, u64 value)
{
    (void)size;
    ((PcTestdev *)device)->memory[at] = (u8)value;
}

static int start(void *device, char **error)
{
    static const u32 places[] = {DATA_PORT, FLUSH_PORT, LINE_PORTS, MEMORY};

    (void)error;
    for (unsigned n = 0; n < COUNT(places); n++) {
        device_map(device, n, places[n]);
    }
    return 0;
}

static void settle(void *device)
{
    PcTestdev *d = device;

    for (unsigned n = 0; n < LINES; n++) {
        irq_set(&d->gsi[n], d->levels[n]);
    }
}

static const RegionOps data_ops = {read_data, write_data, 1, 4};
static const RegionOps flush_ops = {read_nothing, write_nothing, 4, 4};
static const RegionOps line_ops = {read_nothing, write_line, 1, 1};
static const RegionOps memory_ops = {read_memory, write_memory, 1, 1, .unaligned = true};

static const RegisterBank banks[] = {
    {.name = "testdev-data",
     .size = 4,
     .region = offsetof(PcTestdev, data_region),
     .ports = true,
     .raw = &data_ops},
    {.name = "testdev-flush",
     .size = 4,
     .region = offsetof(PcTestdev, flush_region),
     .ports = true,
     .raw = &flush_ops},
    {.name = "testdev-lines",
     .size = LINES,
     .region = offsetof(PcTestdev, lines_region),
     .ports = true,
     .raw = &line_ops},
    {.name = "testdev-memory",
     .size = MEMORY_SIZE,
     .region = offsetof(PcTestdev, memory_region),
     .raw = &memory_ops},
};

static const StateField state[] = {
    STATE(PcTestdev, data),
    STATE_ARRAY(PcTestdev, memory),
    STATE_ARRAY(PcTestdev, levels),
    STATE_END,
};

static const IrqOutput outputs[] = {
    {"gsi", offsetof(PcTestdev, gsi), LINES},
    IRQ_OUTPUT_END,
};

const DeviceDef device_pc_testdev = {
    .name = "pc-testdev",
    .summary = "memory, ports and interrupts for test programs",
    .size = sizeof(PcTestdev),
    .bus_kind = BUS_ISA,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .outputs = outputs,
    .start = start,
    .settle = settle,
};
