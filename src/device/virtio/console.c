/* "virtio-serial-pci", "virtio-serial-device": a controller of up to seven ports (virtio 1.2, 5.3),
 * and the ports that are plugged into it: "virtconsole", which Linux makes a terminal of (hvc0...),
 * and "virtserialport", a named stream for programs.
 *
 * Bytes that the guest has no buffer for stay in the character port; output that this does not take
 * stays in the queue. What is to be said to the driver about a port is a bit until the driver has a
 * buffer for it, so that nothing is lost. */
#include <errno.h>
#include <string.h>

#include "backend/char/char.h"
#include "base/bytes.h"
#include "device/devices.h"
#include "device/virtio/virtio.h"

enum {
    PORTS = (VIRTIO_QUEUES - 2) / 2,
    QUEUE_CONTROL_IN = 2, /* to the driver */
    QUEUE_CONTROL_OUT = 3,
    QUEUES = 2 * PORTS + 2,
    CONFIG_PORTS = 4,
    CONFIG_EMERGENCY = 8,
    CONFIG_SIZE = 12,
    MESSAGE = 8,       /* port, event, value */
    NAME_SIZE = 64,    /* of a port's name, at most */
    RECEIVE_MAX = 4096 /* bytes at once */
};

#define F_MULTIPORT ((u64)1 << 1)
#define F_EMERG_WRITE ((u64)1 << 2)

/* Events of control messages (5.3.6.2). */
enum {
    DEVICE_READY,
    DEVICE_ADD,
    DEVICE_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME
};

typedef struct Console Console;

typedef struct Port {
    Device device;
    CharPort *chardev;
    char *name;     /* NULL: none */
    u32 number;     /* property; ANY_NUMBER */
    Console *owner; /* NULL: it is not plugged in */
} Port;

enum { ANY_NUMBER = -1 };

struct Console {
    Virtio virtio;
    Port *ports[PORTS]; /* NULL: there is none of that number */
    VirtioChain output, chain;
    bool sending;
    /* Saved. */
    struct PortState {
        u8 open;   /* by the guest */
        u8 to_say; /* SAY_* */
        u32 sent;  /* bytes of the first chain of its output */
    } states[PORTS];
};

/* What is said of a port, in this order. */
enum { SAY_ADD = 1, SAY_CONSOLE = 2, SAY_NAME = 4, SAY_OPEN = 8 };
static const u16 said_events[] = {DEVICE_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN};

static VirtQueue *input_queue(Console *c, u32 number)
{
    return &c->virtio.queues[number ? 2 * number + 2 : 0];
}

static VirtQueue *output_queue(Console *c, u32 number)
{
    return input_queue(c, number) + 1;
}

static bool is_console(const Port *port)
{
    return port->device.def == &device_virtconsole;
}

/* -- Control (5.3.6.2) */

static bool say(Console *c, u32 number, u32 which)
{
    const Port *port = c->ports[number];
    VirtQueue *queue = &c->virtio.queues[QUEUE_CONTROL_IN];
    u8 message[MESSAGE + NAME_SIZE];
    u64 size = MESSAGE;
    u16 event = said_events[which];

    if (!virtqueue_take(queue, &c->chain)) {
        return false;
    }
    put_le(message, number, 4);
    put_le(message + 4, event, 2);
    put_le(message + 6, event != PORT_OPEN || is_console(port) || char_is_connected(port->chardev),
           2);
    if (event == PORT_NAME) {
        size_t length = MIN(strlen(port->name), (size_t)NAME_SIZE);
        memcpy(message + MESSAGE, port->name, length);
        size += length;
    }
    size = virtio_copy_in(&c->chain, 0, message, size);
    virtqueue_return(queue, &c->chain, (u32)size);
    return true;
}

/* Says what is to be said as long as the driver has buffers for it. */
static void say_all(Console *c)
{
    for (u32 number = 0; number < PORTS; number++) {
        struct PortState *state = &c->states[number];
        for (u32 which = 0; c->ports[number] && which < COUNT(said_events); which++) {
            if (!(state->to_say >> which & 1)) {
                continue;
            }
            if (!say(c, number, which)) {
                virtqueue_signal(&c->virtio.queues[QUEUE_CONTROL_IN]);
                return;
            }
            state->to_say &= (u8) ~(1u << which);
        }
    }
    virtqueue_signal(&c->virtio.queues[QUEUE_CONTROL_IN]);
}

static void hear_of_port(Console *c, u32 number, u32 event, u32 value)
{
    struct PortState *state = &c->states[number];
    const Port *port = c->ports[number];

    if (event == PORT_READY && value) {
        state->to_say |=
            SAY_OPEN | (is_console(port) ? SAY_CONSOLE : 0) | (port->name ? SAY_NAME : 0);
    } else if (event == PORT_OPEN) {
        state->open = value != 0;
        char_accept(port->chardev);
    }
}

static void hear(Console *c)
{
    VirtQueue *queue = &c->virtio.queues[QUEUE_CONTROL_OUT];
    u8 message[MESSAGE];

    while (virtqueue_take(queue, &c->output)) {
        u64 size = virtio_copy_out(&c->output, 0, message, MESSAGE);
        u32 number = (u32)get_le(message, 4), event = (u32)get_le(message + 4, 2);
        virtqueue_return(queue, &c->output, 0);
        if (size < MESSAGE) {
            device_guest_error(c, "a control message of %u bytes", (u32)size);
        } else if (event == DEVICE_READY) {
            for (u32 i = 0; i < PORTS; i++) {
                c->states[i].to_say |= c->ports[i] ? SAY_ADD : 0;
            }
        } else if (number < PORTS && c->ports[number]) {
            hear_of_port(c, number, event, (u32)get_le(message + 6, 2));
        }
    }
    virtqueue_signal(queue);
    say_all(c);
}

/* -- To the guest */

/* A driver that knows of one port only has it open. */
static bool is_open(const Console *c, u32 number)
{
    return virtio_has(&c->virtio, F_MULTIPORT) ? c->states[number].open : number == 0;
}

static size_t room(void *opaque)
{
    const Port *port = opaque;
    Console *c = port->owner;

    if (!c || !is_open(c, port->number)) {
        return 0;
    }
    VirtQueue *queue = input_queue(c, port->number);
    if (!virtqueue_take(queue, &c->chain)) {
        return 0;
    }
    virtqueue_untake(queue, c->chain.places);
    if (!c->chain.in_size) {
        virtio_break(&c->virtio, "a buffer to receive without room");
    }
    return MIN(c->chain.in_size, (u64)RECEIVE_MAX);
}

static void receive(void *opaque, const u8 *bytes, size_t size)
{
    const Port *port = opaque;
    Console *c = port->owner;
    VirtQueue *queue = input_queue(c, port->number);

    if (virtqueue_take(queue, &c->chain)) {
        u64 written = virtio_copy_in(&c->chain, 0, bytes, size);
        virtqueue_return(queue, &c->chain, (u32)written);
        virtqueue_signal(queue);
    }
}

/* -- From the guest */

/* Writes the rest of the chain; false: the port does not take all of it now. */
static bool write_chain(CharPort *chardev, const VirtioChain *chain, u32 *sent)
{
    u64 start = 0;

    for (u32 i = 0; i < chain->out_count; i++) {
        const struct iovec *iov = &chain->iov[i];
        while (*sent < start + iov->iov_len) {
            u64 at = *sent - start;
            size_t n = char_write(chardev, (const u8 *)iov->iov_base + at, iov->iov_len - at);
            if (!n) {
                return false;
            }
            *sent += (u32)n;
        }
        start += iov->iov_len;
    }
    return true;
}

/* The character port may call back from inside, when its other end goes. */
static void send(Console *c, u32 number)
{
    VirtQueue *queue = output_queue(c, number);
    u32 *sent = &c->states[number].sent;
    Port *port = c->ports[number];

    if (c->sending) {
        return;
    }
    c->sending = true;
    while (virtqueue_take(queue, &c->output)) {
        if (port && !write_chain(port->chardev, &c->output, sent)) {
            virtqueue_untake(queue, c->output.places);
            break;
        }
        *sent = 0;
        virtqueue_return(queue, &c->output, 0);
    }
    c->sending = false;
    virtqueue_signal(queue);
}

static void drained(void *opaque)
{
    const Port *port = opaque;

    if (port->owner) {
        send(port->owner, port->number);
    }
}

static void connection_changed(void *opaque, CharEvent event)
{
    const Port *port = opaque;
    Console *c = port->owner;

    if (c && event != CHAR_BREAK && virtio_is_running(&c->virtio) &&
        virtio_has(&c->virtio, F_MULTIPORT)) {
        c->states[port->number].to_say |= SAY_OPEN;
        say_all(c);
    }
}

static const CharUser user = {room, receive, drained, connection_changed};

/* -- The controller */

static void notify(void *device, VirtQueue *queue)
{
    Console *c = device;
    u32 number = queue->index < 2 ? 0 : queue->index / 2u - 1;

    if (queue->index == QUEUE_CONTROL_IN) {
        say_all(c);
    } else if (queue->index == QUEUE_CONTROL_OUT) {
        hear(c);
    } else if (queue->index & 1) {
        send(c, number);
    } else if (c->ports[number]) {
        char_accept(c->ports[number]->chardev);
    }
}

/* A byte that is to be seen whatever state the driver is in (5.3.4). */
static void config_written(void *device, u32 at, u32 size)
{
    Console *c = device;

    (void)size;
    if (at == CONFIG_EMERGENCY && c->ports[0]) {
        char_write(c->ports[0]->chardev, c->virtio.config + CONFIG_EMERGENCY, 1);
    }
    memset(c->virtio.config, 0, CONFIG_SIZE);
    put_le(c->virtio.config + CONFIG_PORTS, PORTS, 4);
}

static void reset_ports(void *device)
{
    Console *c = device;

    memset(c->states, 0, sizeof c->states);
}

static const VirtioInfo info = {
    .type = VIRTIO_CONSOLE,
    .class_code = 0x078000,
    .queues = QUEUES,
    .features = F_MULTIPORT | F_EMERG_WRITE,
    .config_size = CONFIG_SIZE,
    .notify = notify,
    .config_written = config_written,
    .reset = reset_ports,
};

static int start(void *device, char **error)
{
    Console *c = device;

    put_le(c->virtio.config + CONFIG_PORTS, PORTS, 4);
    return virtio_start(device, error);
}

static void stop(void *device)
{
    const Console *c = device;

    for (u32 i = 0; i < PORTS; i++) {
        if (c->ports[i]) {
            c->ports[i]->owner = NULL;
        }
    }
}

/* Number 0 is for a console: drivers that know one port take it for that. */
static int plug(void *device, u32 bus, const void *child, int unit, char **error)
{
    Console *c = device;
    Port *port = (Port *)(uintptr_t)child;
    u32 number = port->number == (u32)ANY_NUMBER && unit >= 0 ? (u32)unit : port->number;

    (void)bus;
    if (number == (u32)ANY_NUMBER) {
        number = is_console(port) ? 0 : 1;
        while (number < PORTS && c->ports[number]) {
            number++;
        }
    }
    if (number >= PORTS || c->ports[number]) {
        device_error(error, "%s: it has %d ports, and each number once", c->virtio.d.id, PORTS);
        return -EBUSY;
    }
    port->number = number;
    port->owner = c;
    c->ports[number] = port;
    return 0;
}

/* -- The ports */

static int start_port(void *device, char **error)
{
    Port *port = device;

    (void)error;
    if (port->chardev) {
        char_attach(port->chardev, &user, port);
    }
    return 0;
}

static void stop_port(void *device)
{
    Port *port = device;

    if (port->chardev) {
        char_attach(port->chardev, NULL, NULL);
    }
    if (port->owner) {
        port->owner->ports[port->number] = NULL;
    }
}

/* -- Descriptions */

static const StateField port_state[] = {
    STATE(struct PortState, open),
    STATE(struct PortState, to_say),
    STATE(struct PortState, sent),
    STATE_END,
};

static const StateField own_state[] = {
    STATE_STRUCTS(Console, states, port_state),
    STATE_END,
};

static const DeviceBus bus = {BUS_VIRTIO_SERIAL, 1, plug};

VIRTIO_DEVICE(device_virtio_serial, "virtio-serial",
              "virtio controller for consoles and serial ports", &info, .size = sizeof(Console),
              .state = own_state, .start = start, .stop = stop, .offers = &bus);

static const Property console_properties[] = {
    {"chardev", PROPERTY_BACKEND, offsetof(Port, chardev), "the other end", NULL, "char"},
    {"nr", PROPERTY_U32, offsetof(Port, number), "number of the port, 0 to 6; else the next",
     "0xffffffff", NULL},
    PROPERTY_END,
};

static const Property port_properties[] = {
    {"chardev", PROPERTY_BACKEND, offsetof(Port, chardev), "the other end", NULL, "char"},
    {"nr", PROPERTY_U32, offsetof(Port, number), "number of the port, 1 to 6; else the next",
     "0xffffffff", NULL},
    {"name", PROPERTY_STRING, offsetof(Port, name), "name by which the guest finds it", NULL, NULL},
    PROPERTY_END,
};

const DeviceDef device_virtconsole = {
    .name = "virtconsole",
    .summary = "console of a virtio-serial controller",
    .size = sizeof(Port),
    .bus_kind = BUS_VIRTIO_SERIAL,
    .version = 1,
    .properties = console_properties,
    .start = start_port,
    .stop = stop_port,
};

const DeviceDef device_virtserialport = {
    .name = "virtserialport",
    .summary = "named port of a virtio-serial controller",
    .size = sizeof(Port),
    .bus_kind = BUS_VIRTIO_SERIAL,
    .version = 1,
    .properties = port_properties,
    .start = start_port,
    .stop = stop_port,
};
