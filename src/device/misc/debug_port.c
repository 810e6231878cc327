/* "isa-debugcon": a port that sends the bytes written to it to a character port: 0xe9 for programs,
 * 0x402 for SeaBIOS and OVMF. It reads as a number by which programs find it. */
#include "backend/char/char.h"
#include "device/devices.h"

typedef struct DebugPort {
    Device device;
    Region ports;
    u32 iobase, readback;
    CharPort *chardev;
} DebugPort;

static u64 read_data(void *device)
{
    return ((DebugPort *)device)->readback;
}

static void write_data(void *device, u64 value)
{
    const u8 byte = (u8)value;

    char_write(((DebugPort *)device)->chardev, &byte, 1);
}

static int start(void *device, char **error)
{
    (void)error;
    device_map(device, 0, ((DebugPort *)device)->iobase & 0xffff);
    return 0;
}

static const Register registers[] = {
    REG(0, "DATA", REG_NONE, 0, 0, read_data, write_data),
};

static const RegisterBank banks[] = {
    {.name = "debugcon",
     .size = 1,
     .region = offsetof(DebugPort, ports),
     .ports = true,
     .width = 1,
     .registers = registers,
     .count = COUNT(registers)},
};

static const Property properties[] = {
    {"iobase", PROPERTY_U32, offsetof(DebugPort, iobase), "its port", "0xe9"},
    {"readback", PROPERTY_U32, offsetof(DebugPort, readback), "what it reads as", "0xe9"},
    {"chardev", PROPERTY_BACKEND, offsetof(DebugPort, chardev), "where the bytes go", NULL, "char"},
    PROPERTY_END,
};

const DeviceDef device_isa_debugcon = {
    .name = "isa-debugcon",
    .summary = "port for debug output of firmware and programs",
    .size = sizeof(DebugPort),
    .bus_kind = BUS_ISA,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .properties = properties,
    .start = start,
};
