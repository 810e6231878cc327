/* "port92": system control port A of the PC, port 0x92: the fast ways to open the A20 gate and to
 * reset. IBM PS/2 Hardware Interface Technical Reference, "System control port A". */
#include "device/devices.h"

enum { PORT = 0x92 };
enum ControlA { FAST_RESET = 0x01, A20_OPEN = 0x02, WRITABLE = 0x03 };

typedef struct Port92 {
    Device device;
    Region ports;
    u8 control;
    Irq a20;
} Port92;

static void settle(void *device)
{
    const Port92 *p = device;

    irq_set(&p->a20, p->control & A20_OPEN);
}

static void write_control(void *device, u64 value)
{
    Port92 *p = device;

    settle(p);
    if (value & FAST_RESET) {
        p->control &= ~FAST_RESET;
        p->device.board->event(p->device.board, BOARD_RESET, 0);
    }
}

static int start(void *device, char **error)
{
    (void)error;
    device_map(device, 0, PORT);
    return 0;
}

static const Register registers[] = {
    REG(0, "CONTROL_A", REG_FIELD(Port92, control), 0, WRITABLE, NULL, write_control),
};

static const RegisterBank banks[] = {
    {.name = "port92",
     .size = 1,
     .region = offsetof(Port92, ports),
     .ports = true,
     .width = 1,
     .registers = registers,
     .count = COUNT(registers)},
};

static const IrqOutput outputs[] = {{"a20", offsetof(Port92, a20), 1}, IRQ_OUTPUT_END};

const DeviceDef device_port92 = {
    .name = "port92",
    .summary = "system control port A: A20 gate and fast reset",
    .size = sizeof(Port92),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .outputs = outputs,
    .start = start,
    .settle = settle,
};
