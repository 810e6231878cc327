/* "isa-serial": a 16550A serial port. National Semiconductor PC16550D data sheet (June 1995).
 *
 * Bytes take no time: what is written is sent at once unless the character port has no room, and
 * the receiver's time-out comes as soon as fewer bytes than the trigger level wait. Bytes that the
 * FIFO has no room for stay in the character port, so that none is lost. */
#include "backend/char/char.h"

#include <errno.h>
#include <string.h>

#include "device/devices.h"
#include "device/isa.h"

enum { FIFO_SIZE = 16, PORTS = 8 };

enum PortRegister { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum Ier { IER_RECEIVED = 1, IER_EMPTY = 2, IER_LINE = 4, IER_MODEM = 8 };
enum Iir {
    IIR_MODEM = 0x00,
    IIR_NONE = 0x01,
    IIR_EMPTY = 0x02,
    IIR_RECEIVED = 0x04,
    IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFO = 0xc0,
};
enum Fcr { FCR_ENABLE = 1, FCR_CLEAR_RECEIVER = 2, FCR_CLEAR_TRANSMITTER = 4 };
enum Lcr { LCR_BREAK = 0x40, LCR_DIVISOR = 0x80 };
enum Mcr { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 };
enum Lsr {
    LSR_READY = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_BREAK = 0x10,
    LSR_ERRORS = 0x1e,
    LSR_EMPTY = 0x20,
    LSR_IDLE = 0x40,
};
enum Msr {
    MSR_CTS_CHANGED = 0x01,
    MSR_DSR_CHANGED = 0x02,
    MSR_RI_ENDED = 0x04,
    MSR_DCD_CHANGED = 0x08,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
    MSR_LINES = 0xf0,
};

typedef struct Fifo {
    u8 bytes[FIFO_SIZE];
    u8 start, size;
} Fifo;

typedef struct Serial {
    Device device;
    Region ports;
    u32 index, iobase, irq_number;
    CharPort *chardev;
    Fifo received, sending;
    u16 divisor;
    u8 ier, fcr, lcr, mcr, scr;
    u8 errors;      /* of LSR */
    u8 msr;         /* lines, and what changed */
    u8 empty_event; /* the transmitter became empty and nobody was told */
    Irq irq;
} Serial;

/* -- FIFOs */

static void push(Fifo *fifo, u8 byte)
{
    fifo->bytes[(fifo->start + fifo->size++) % FIFO_SIZE] = byte;
}

static u8 pop(Fifo *fifo)
{
    u8 byte = fifo->bytes[fifo->start];

    fifo->start = (fifo->start + 1) % FIFO_SIZE;
    fifo->size--;
    return byte;
}

static unsigned capacity(const Serial *s)
{
    return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned trigger_level(const Serial *s)
{
    static const u8 levels[] = {1, 4, 8, 14};

    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* -- Interrupts */

/* The first reason in the order of priority. */
static u8 identification(const Serial *s)
{
    if (s->ier & IER_LINE && s->errors) {
        return IIR_LINE;
    }
    if (s->ier & IER_RECEIVED && s->received.size) {
        return s->received.size >= trigger_level(s) ? IIR_RECEIVED : IIR_TIMEOUT;
    }
    if (s->ier & IER_EMPTY && s->empty_event) {
        return IIR_EMPTY;
    }
    if (s->ier & IER_MODEM && s->msr & ~MSR_LINES) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

/* On a PC's card OUT2 lets the interrupt through to the bus. It does so always here: guests that
 * were made on emulators forget it. */
static void update_irq(Serial *s)
{
    irq_set(&s->irq, identification(s) != IIR_NONE);
}

/* The modem's lines: what the other end of the cable drives, or in loop-back mode our own. */
static void update_lines(Serial *s)
{
    u8 lines = 0, changed;

    if (s->mcr & MCR_LOOP) {
        lines |= s->mcr & MCR_RTS ? MSR_CTS : 0;
        lines |= s->mcr & MCR_DTR ? MSR_DSR : 0;
        lines |= s->mcr & MCR_OUT1 ? MSR_RI : 0;
        lines |= s->mcr & MCR_OUT2 ? MSR_DCD : 0;
    } else if (s->chardev) {
        lines = MSR_CTS | (char_is_connected(s->chardev) ? MSR_DSR | MSR_DCD : 0);
    }
    changed = s->msr ^ lines;
    s->msr = lines | (s->msr & ~MSR_LINES);
    s->msr |= changed & MSR_CTS ? MSR_CTS_CHANGED : 0;
    s->msr |= changed & MSR_DSR ? MSR_DSR_CHANGED : 0;
    s->msr |= changed & ~lines & MSR_RI ? MSR_RI_ENDED : 0;
    s->msr |= changed & MSR_DCD ? MSR_DCD_CHANGED : 0;
}

/* -- Bytes */

static void receive_byte(Serial *s, u8 byte)
{
    if (s->received.size >= capacity(s)) {
        s->errors |= LSR_OVERRUN;
    } else {
        push(&s->received, byte);
    }
}

static size_t room(void *opaque)
{
    const Serial *s = opaque;

    return s->mcr & MCR_LOOP ? 0 : capacity(s) - MIN(s->received.size, capacity(s));
}

static void receive(void *opaque, const u8 *bytes, size_t size)
{
    Serial *s = opaque;

    for (size_t i = 0; i < size; i++) {
        receive_byte(s, bytes[i]);
    }
    update_irq(s);
}

/* Sends what waits, as far as it goes. */
static void send(void *opaque)
{
    Serial *s = opaque;

    while (s->sending.size) {
        u8 byte = s->sending.bytes[s->sending.start];
        if (s->mcr & MCR_LOOP) {
            receive_byte(s, byte);
        } else if (!char_write(s->chardev, &byte, 1)) {
            return;
        }
        pop(&s->sending);
        s->empty_event |= !s->sending.size;
    }
    update_irq(s);
}

static void event(void *opaque, CharEvent event)
{
    Serial *s = opaque;

    if (event == CHAR_BREAK) {
        s->errors |= LSR_BREAK;
        receive_byte(s, 0);
    }
    update_lines(s);
    update_irq(s);
}

static const CharUser char_user = {room, receive, send, event};

/* -- Registers */

static u8 read_data(Serial *s)
{
    u8 byte = s->received.size ? pop(&s->received) : 0;

    update_irq(s);
    if (!s->received.size) {
        char_accept(s->chardev);
    }
    return byte;
}

static void write_data(Serial *s, u8 byte)
{
    s->empty_event = false;
    if (s->sending.size < capacity(s)) {
        push(&s->sending, byte);
    }
    update_irq(s);
    send(s);
}

static u8 read_identification(Serial *s)
{
    u8 iir = identification(s);

    if (iir == IIR_EMPTY) {
        s->empty_event = false;
        update_irq(s);
    }
    return iir | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static void write_fifo_control(Serial *s, u8 value)
{
    bool switched = (value ^ s->fcr) & FCR_ENABLE;

    if (switched || value & FCR_CLEAR_RECEIVER) {
        s->received = (Fifo){0};
    }
    if (switched || value & FCR_CLEAR_TRANSMITTER) {
        s->empty_event |= s->sending.size != 0;
        s->sending = (Fifo){0};
    }
    s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    update_irq(s);
    char_accept(s->chardev);
}

static void write_enables(Serial *s, u8 value)
{
    if (value & ~s->ier & IER_EMPTY && !s->sending.size) {
        s->empty_event = true;
    }
    s->ier = value & 0xf;
    update_irq(s);
}

static void write_modem_control(Serial *s, u8 value)
{
    s->mcr = value & 0x1f;
    update_lines(s);
    update_irq(s);
    send(s);
    char_accept(s->chardev);
}

static u8 read_line_status(Serial *s)
{
    u8 lsr = s->errors | (s->received.size ? LSR_READY : 0);

    lsr |= s->sending.size ? 0 : LSR_EMPTY | LSR_IDLE;
    s->errors = 0;
    update_irq(s);
    return lsr;
}

static u8 read_modem_status(Serial *s)
{
    u8 msr = s->msr;

    s->msr &= MSR_LINES;
    update_irq(s);
    return msr;
}

static u64 read_port(void *device, u64 port, unsigned size)
{
    Serial *s = device;

    (void)size;
    if (port <= IER && s->lcr & LCR_DIVISOR) {
        return s->divisor >> 8 * port & 0xff;
    }
    switch (port) {
    case DATA:
        return read_data(s);
    case IER:
        return s->ier;
    case IIR_FCR:
        return read_identification(s);
    case LCR:
        return s->lcr;
    case MCR:
        return s->mcr;
    case LSR:
        return read_line_status(s);
    case MSR:
        return read_modem_status(s);
    default:
        return s->scr;
    }
}

static void write_port(void *device, u64 port, unsigned size, u64 value)
{
    Serial *s = device;

    (void)size;
    if (port <= IER && s->lcr & LCR_DIVISOR) {
        unsigned shift = 8 * (unsigned)port;
        s->divisor = (u16)((s->divisor & ~(0xff << shift)) | value << shift);
        return;
    }
    switch (port) {
    case DATA:
        write_data(s, (u8)value);
        break;
    case IER:
        write_enables(s, (u8)value);
        break;
    case IIR_FCR:
        write_fifo_control(s, (u8)value);
        break;
    case LCR:
        s->lcr = (u8)value;
        break;
    case MCR:
        write_modem_control(s, (u8)value);
        break;
    case SCR:
        s->scr = (u8)value;
        break;
    default: /* LSR and MSR: for tests in the factory */
        break;
    }
}

/* -- The device */

enum { SERIAL_PORTS = 4, UNSET = 0xffffffff };

static const struct {
    u16 iobase;
    u8 irq;
} standard[SERIAL_PORTS] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

static int start(void *device, char **error)
{
    Serial *s = device;

    if (s->index >= SERIAL_PORTS) {
        device_error(error, "%s: index=%u: it must be 0 to 3", s->device.id, s->index);
        return -EINVAL;
    }
    s->iobase = s->iobase == UNSET ? standard[s->index].iobase : s->iobase & 0xffff;
    s->irq_number = s->irq_number == UNSET ? standard[s->index].irq : s->irq_number & 15;
    device_map(s, 0, s->iobase);
    if (s->chardev) {
        char_attach(s->chardev, &char_user, s);
    }
    return 0;
}

static void stop(void *device)
{
    Serial *s = device;

    if (s->chardev) {
        char_attach(s->chardev, NULL, NULL);
    }
}

static void reset(void *device)
{
    Serial *s = device;

    s->divisor = 12; /* 9600 */
    update_lines(s);
    s->msr &= MSR_LINES;
}

static void settle(void *device)
{
    Serial *s = device;

    s->received.start %= FIFO_SIZE;
    s->received.size = MIN(s->received.size, (u8)FIFO_SIZE);
    s->sending.start %= FIFO_SIZE;
    s->sending.size = MIN(s->sending.size, (u8)FIFO_SIZE);
    update_irq(s);
    send(s);
    char_accept(s->chardev);
}

static const RegionOps ops = {read_port, write_port, 1, 1};

static const RegisterBank banks[] = {
    {.name = "serial",
     .size = PORTS,
     .region = offsetof(Serial, ports),
     .ports = true,
     .width = 1,
     .raw = &ops},
};

static const StateField fifo_state[] = {
    STATE_ARRAY(Fifo, bytes),
    STATE(Fifo, start),
    STATE(Fifo, size),
    STATE_END,
};

static const StateField state[] = {
    {"received", offsetof(Serial, received), sizeof(Fifo), 1, fifo_state, STATE_VALUE},
    {"sending", offsetof(Serial, sending), sizeof(Fifo), 1, fifo_state, STATE_VALUE},
    STATE(Serial, divisor),
    STATE(Serial, ier),
    STATE(Serial, fcr),
    STATE(Serial, lcr),
    STATE(Serial, mcr),
    STATE(Serial, scr),
    STATE(Serial, errors),
    STATE(Serial, msr),
    STATE(Serial, empty_event),
    STATE_END,
};

static const Property properties[] = {
    {"index", PROPERTY_U32, offsetof(Serial, index), "0 to 3: COM1 to COM4", "0"},
    {"iobase", PROPERTY_U32, offsetof(Serial, iobase), "its first port; by index if not given",
     "0xffffffff"},
    {"irq", PROPERTY_U32, offsetof(Serial, irq_number), "its line; by index if not given",
     "0xffffffff"},
    {"chardev", PROPERTY_BACKEND, offsetof(Serial, chardev), "the other end of the cable", NULL,
     "char"},
    PROPERTY_END,
};

static const IrqOutput outputs[] = {{"irq", offsetof(Serial, irq), 1}, IRQ_OUTPUT_END};

static const IsaInfo isa = {offsetof(Serial, irq_number)};

const DeviceDef device_isa_serial = {
    .name = "isa-serial",
    .summary = "16550A serial port",
    .size = sizeof(Serial),
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
    .reset = reset,
    .settle = settle,
};
