/* "isa-parallel": a parallel port with a printer that never runs out of paper. IBM PC AT Technical
 * Reference, "Parallel printer adapter"; IEEE 1284, compatibility mode.
 *
 * A byte is printed at the strobe; printing takes no time unless the character port has no room:
 * the printer is busy then. */
#include <errno.h>

#include "backend/char/char.h"
#include "device/devices.h"
#include "device/isa.h"

enum { PARALLEL_PORTS = 3, UNSET = 0xffffffff };

enum Status {
    STATUS_NO_ERROR = 0x08,
    STATUS_SELECTED = 0x10,
    STATUS_NO_ACKNOWLEDGE = 0x40,
    STATUS_NOT_BUSY = 0x80,
    STATUS_UNUSED = 0x07,
};

enum Control {
    CONTROL_STROBE = 0x01,
    CONTROL_NO_RESET = 0x04,
    CONTROL_SELECT = 0x08,
    CONTROL_IRQ = 0x10,
    CONTROL_INPUT = 0x20,
    CONTROL_UNUSED = 0xc0,
};

typedef struct Parallel {
    Device device;
    Region ports;
    u32 index, iobase, irq_number;
    CharPort *chardev;
    u8 data, control;
    u8 busy; /* `printing` could not be sent yet */
    u8 printing;
    Irq irq;
} Parallel;

/* Sends the byte; then the printer acknowledges it. */
static void print(void *opaque)
{
    Parallel *p = opaque;

    if (p->busy && char_write(p->chardev, &p->printing, 1)) {
        p->busy = false;
        if (p->control & CONTROL_IRQ) {
            irq_pulse(&p->irq);
        }
    }
}

/* Printers say nothing. */
static size_t room(void *opaque)
{
    (void)opaque;
    return 0;
}

static const CharUser char_user = {.room = room, .drained = print};

static u64 read_status(void *device)
{
    const Parallel *p = device;

    return STATUS_UNUSED | STATUS_NO_ERROR | STATUS_SELECTED | STATUS_NO_ACKNOWLEDGE |
           (p->busy ? 0 : STATUS_NOT_BUSY);
}

/* Nothing drives the data lines when the port does not. */
static u64 read_data(void *device)
{
    const Parallel *p = device;

    return p->control & CONTROL_INPUT ? 0xff : p->data;
}

static u64 read_control(void *device)
{
    return ((Parallel *)device)->control | CONTROL_UNUSED;
}

static void write_control(void *device, u64 value)
{
    Parallel *p = device;
    bool strobe = value & ~(u64)p->control & CONTROL_STROBE;

    p->control = value & ~(u64)CONTROL_UNUSED;
    if (strobe && value & CONTROL_NO_RESET && !p->busy) {
        p->printing = p->data;
        p->busy = true;
        print(p);
    }
}

static const struct {
    u16 iobase;
    u8 irq;
} standard[PARALLEL_PORTS] = {{0x378, 7}, {0x278, 5}, {0x3bc, 7}};

static int start(void *device, char **error)
{
    Parallel *p = device;

    if (p->index >= PARALLEL_PORTS) {
        device_error(error, "%s: index=%u: it must be 0 to 2", p->device.id, p->index);
        return -EINVAL;
    }
    p->iobase = p->iobase == UNSET ? standard[p->index].iobase : p->iobase & 0xffff;
    p->irq_number = p->irq_number == UNSET ? standard[p->index].irq : p->irq_number & 15;
    device_map(p, 0, p->iobase);
    if (p->chardev) {
        char_attach(p->chardev, &char_user, p);
    }
    return 0;
}

static void stop(void *device)
{
    Parallel *p = device;

    if (p->chardev) {
        char_attach(p->chardev, NULL, NULL);
    }
}

static const Register registers[] = {
    REG(0, "DATA", REG_FIELD(Parallel, data), 0, 0xff, read_data, NULL),
    REG(1, "STATUS", REG_NONE, 0, 0, read_status, NULL),
    REG(2, "CONTROL", REG_FIELD(Parallel, control), CONTROL_NO_RESET | CONTROL_SELECT, 0,
        read_control, write_control),
};

static const RegisterBank banks[] = {
    {.name = "parallel",
     .size = 3,
     .region = offsetof(Parallel, ports),
     .ports = true,
     .width = 1,
     .registers = registers,
     .count = COUNT(registers)},
};

static const StateField state[] = {STATE(Parallel, busy), STATE(Parallel, printing), STATE_END};

static const Property properties[] = {
    {"index", PROPERTY_U32, offsetof(Parallel, index), "0 to 2: LPT1 to LPT3", "0"},
    {"iobase", PROPERTY_U32, offsetof(Parallel, iobase), "its first port; by index if not given",
     "0xffffffff"},
    {"irq", PROPERTY_U32, offsetof(Parallel, irq_number), "its line; by index if not given",
     "0xffffffff"},
    {"chardev", PROPERTY_BACKEND, offsetof(Parallel, chardev), "where the printer prints to", NULL,
     "char"},
    PROPERTY_END,
};

static const IrqOutput outputs[] = {{"irq", offsetof(Parallel, irq), 1}, IRQ_OUTPUT_END};

static const IsaInfo isa = {offsetof(Parallel, irq_number)};

const DeviceDef device_isa_parallel = {
    .name = "isa-parallel",
    .summary = "parallel port with a printer",
    .size = sizeof(Parallel),
    .bus_kind = BUS_ISA,
    .bus = &isa,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .properties = properties,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .settle = print,
};
