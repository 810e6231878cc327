/* "i8042": the PC's keyboard controller at ports 0x60 and 0x64, with its PS/2 keyboard and mouse.
 * IBM PS/2 Hardware Interface Technical Reference, "Keyboard and auxiliary device controller".
 *
 * One byte at a time is in the output buffer. The next one comes a little after the guest took it,
 * as over the wires of a real keyboard, because handlers may read a byte twice; an answer to a
 * command comes at once. */
#include "device/devices.h"
#include "device/input/ps2.h"

enum { DATA_PORT = 0x60, COMMAND_PORT = 0x64, BYTE_NANOSECONDS = 100000 };

enum Status {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08, /* the last write was to the command port */
    STATUS_UNLOCKED = 0x10,
    STATUS_MOUSE = 0x20, /* the output is the mouse's */
};

/* The command byte. */
enum Config {
    CONFIG_KEYBOARD_IRQ = 0x01,
    CONFIG_MOUSE_IRQ = 0x02,
    CONFIG_SYSTEM = 0x04,
    CONFIG_KEYBOARD_OFF = 0x10,
    CONFIG_MOUSE_OFF = 0x20,
    CONFIG_TRANSLATE = 0x40,
};

enum OutputPort {
    PORT_NO_RESET = 0x01,
    PORT_A20 = 0x02,
    PORT_KEYBOARD_FULL = 0x10,
    PORT_MOUSE_FULL = 0x20,
    PORT_LINES = 0xcc, /* clock and data lines at rest */
};

enum ControllerCommand {
    READ_RAM = 0x20, /* to 0x3f */
    WRITE_RAM = 0x60,
    TEST_PASSWORD = 0xa4,
    MOUSE_OFF = 0xa7,
    MOUSE_ON = 0xa8,
    TEST_MOUSE = 0xa9,
    SELF_TEST = 0xaa,
    TEST_KEYBOARD = 0xab,
    KEYBOARD_OFF = 0xad,
    KEYBOARD_ON = 0xae,
    READ_INPUT_PORT = 0xc0,
    READ_OUTPUT_PORT = 0xd0,
    WRITE_OUTPUT_PORT = 0xd1,
    WRITE_KEYBOARD_BUFFER = 0xd2,
    WRITE_MOUSE_BUFFER = 0xd3,
    WRITE_MOUSE = 0xd4,
    A20_SHUT = 0xdd,
    A20_OPEN = 0xdf,
    READ_TEST_INPUTS = 0xe0,
    PULSE_OUTPUT = 0xf0, /* to 0xff */
};

typedef struct I8042 {
    Device device;
    Region data_port, command_port;
    InputHub *input;
    u8 output; /* the buffer's byte */
    u8 status;
    u8 command; /* that awaits its byte at the data port; 0: the byte is for the keyboard */
    u8 ram[32]; /* [0]: the command byte */
    u8 output_port;
    u8 after_break; /* the keyboard sent 0xf0, which is translated with what follows */
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    Timer refill_timer;
    Irq keyboard_irq, mouse_irq, a20;
} I8042;

static void update_irqs(const I8042 *c)
{
    bool full = c->status & STATUS_OUTPUT_FULL, mouse = c->status & STATUS_MOUSE;

    irq_set(&c->keyboard_irq, full && !mouse && c->ram[0] & CONFIG_KEYBOARD_IRQ);
    irq_set(&c->mouse_irq, full && mouse && c->ram[0] & CONFIG_MOUSE_IRQ);
}

static void put_output(I8042 *c, u8 byte, bool mouse)
{
    c->output = byte;
    c->status &= ~STATUS_MOUSE;
    c->status |= STATUS_OUTPUT_FULL | (mouse ? STATUS_MOUSE : 0);
    update_irqs(c);
}

/* -- From the devices */

/* The keyboard's next byte as the guest is to see it. */
static bool take_key(I8042 *c, u8 *byte)
{
    if (c->ram[0] & CONFIG_KEYBOARD_OFF || !ps2_keyboard_take(&c->keyboard, byte)) {
        return false;
    }
    if (!(c->ram[0] & CONFIG_TRANSLATE)) {
        return true;
    }
    if (*byte == 0xf0) {
        c->after_break = 0x80;
        return take_key(c, byte);
    }
    *byte = ps2_translate(*byte) | c->after_break;
    c->after_break = 0;
    return true;
}

/* The next byte goes into the buffer if there are one and room. */
static void refill(void *opaque)
{
    I8042 *c = opaque;
    u8 byte;

    if (c->status & STATUS_OUTPUT_FULL || timer_is_set(&c->refill_timer)) {
        return;
    }
    if (take_key(c, &byte)) {
        put_output(c, byte, false);
    } else if (!(c->ram[0] & CONFIG_MOUSE_OFF) && ps2_mouse_take(&c->mouse, &byte)) {
        put_output(c, byte, true);
    }
}

/* -- The guest's commands */

static void set_output_port(I8042 *c, u8 value)
{
    c->output_port = value;
    irq_set(&c->a20, value & PORT_A20);
    if (!(value & PORT_NO_RESET)) {
        c->output_port |= PORT_NO_RESET;
        c->device.board->event(c->device.board, BOARD_RESET, 0);
    }
}

static u8 read_output_port(const I8042 *c)
{
    u8 value = c->output_port & (PORT_NO_RESET | PORT_A20);

    if (c->status & STATUS_OUTPUT_FULL) {
        value |= c->status & STATUS_MOUSE ? PORT_MOUSE_FULL : PORT_KEYBOARD_FULL;
    }
    return value | PORT_LINES;
}

static void set_config(I8042 *c, u8 value)
{
    c->ram[0] = value;
    c->status &= ~STATUS_SYSTEM;
    c->status |= value & CONFIG_SYSTEM ? STATUS_SYSTEM : 0;
    update_irqs(c);
    refill(c);
}

/* Commands without an answer; false for others. */
static bool do_command(I8042 *c, u8 command)
{
    switch (command) {
    case MOUSE_OFF:
        set_config(c, c->ram[0] | CONFIG_MOUSE_OFF);
        return true;
    case MOUSE_ON:
        set_config(c, c->ram[0] & ~CONFIG_MOUSE_OFF);
        return true;
    case KEYBOARD_OFF:
        set_config(c, c->ram[0] | CONFIG_KEYBOARD_OFF);
        return true;
    case KEYBOARD_ON:
        set_config(c, c->ram[0] & ~CONFIG_KEYBOARD_OFF);
        return true;
    case A20_SHUT:
        set_output_port(c, c->output_port & ~PORT_A20);
        return true;
    case A20_OPEN:
        set_output_port(c, c->output_port | PORT_A20);
        return true;
    case WRITE_OUTPUT_PORT:
    case WRITE_KEYBOARD_BUFFER:
    case WRITE_MOUSE_BUFFER:
    case WRITE_MOUSE:
        c->command = command;
        return true;
    default:
        if (command >= PULSE_OUTPUT && !(command & PORT_NO_RESET)) {
            set_output_port(c, c->output_port & ~PORT_NO_RESET);
        } else if (command >= WRITE_RAM && command < WRITE_RAM + 32) {
            c->command = command;
        }
        return command >= PULSE_OUTPUT || c->command == command;
    }
}

/* Others: their answer, or -1. */
static int answer(I8042 *c, u8 command)
{
    switch (command) {
    case TEST_PASSWORD:
        return 0xf1; /* none is set */
    case TEST_MOUSE:
    case TEST_KEYBOARD:
        return 0x00;
    case SELF_TEST:
        set_config(c, c->ram[0] | CONFIG_SYSTEM);
        return 0x55;
    case READ_INPUT_PORT:
        return 0x80; /* not locked */
    case READ_OUTPUT_PORT:
        return read_output_port(c);
    case READ_TEST_INPUTS:
        return 0x00;
    default:
        if (command >= READ_RAM && command < READ_RAM + 32) {
            return c->ram[command - READ_RAM];
        }
        return -1;
    }
}

static void write_command(void *device, u64 value)
{
    I8042 *c = device;
    int byte;

    c->status |= STATUS_COMMAND;
    c->command = 0;
    if (do_command(c, (u8)value)) {
        return;
    }
    byte = answer(c, (u8)value);
    if (byte < 0) {
        device_guest_error(c, "unknown command %#x", (unsigned)value);
    } else {
        put_output(c, (u8)byte, false);
    }
}

static void write_data(void *device, u64 value)
{
    I8042 *c = device;
    u8 command = c->command, byte = (u8)value;

    c->status &= ~STATUS_COMMAND;
    c->command = 0;
    switch (command) {
    case 0:
        c->ram[0] &= ~CONFIG_KEYBOARD_OFF;
        ps2_keyboard_write(&c->keyboard, byte);
        break;
    case WRITE_OUTPUT_PORT:
        set_output_port(c, byte);
        break;
    case WRITE_KEYBOARD_BUFFER:
        put_output(c, byte, false);
        break;
    case WRITE_MOUSE_BUFFER:
        put_output(c, byte, true);
        break;
    case WRITE_MOUSE:
        c->ram[0] &= ~CONFIG_MOUSE_OFF;
        ps2_mouse_write(&c->mouse, byte);
        break;
    case WRITE_RAM:
        set_config(c, byte);
        break;
    default:
        c->ram[command - WRITE_RAM] = byte;
        break;
    }
}

static u64 read_data(void *device)
{
    I8042 *c = device;
    u64 now = clock_now(c->device.board->clock);

    if (c->status & STATUS_OUTPUT_FULL) {
        c->status &= ~(STATUS_OUTPUT_FULL | STATUS_MOUSE);
        update_irqs(c);
        timer_set(&c->refill_timer, now + BYTE_NANOSECONDS);
    }
    return c->output;
}

static u64 read_status(void *device)
{
    return ((I8042 *)device)->status | STATUS_UNLOCKED;
}

/* -- The device */

static void devices_ready(void *opaque)
{
    I8042 *c = opaque;

    if (c->keyboard.queue.reply_count || c->mouse.queue.reply_count) {
        timer_cancel(&c->refill_timer);
    }
    refill(c);
}

static int start(void *device, char **error)
{
    I8042 *c = device;

    (void)error;
    timer_init(&c->refill_timer, c->device.board->clock, refill, c);
    ps2_keyboard_start(&c->keyboard, c->input, devices_ready, c);
    ps2_mouse_start(&c->mouse, c->input, devices_ready, c);
    device_map(c, 0, DATA_PORT);
    device_map(c, 1, COMMAND_PORT);
    return 0;
}

static void stop(void *device)
{
    I8042 *c = device;

    timer_cancel(&c->refill_timer);
    ps2_keyboard_stop(&c->keyboard);
    ps2_mouse_stop(&c->mouse);
}

static void reset(void *device)
{
    I8042 *c = device;

    c->ram[0] = CONFIG_KEYBOARD_IRQ | CONFIG_TRANSLATE;
    c->output_port = PORT_NO_RESET | PORT_A20;
    ps2_keyboard_reset(&c->keyboard);
    ps2_mouse_reset(&c->mouse);
}

static void settle(void *device)
{
    I8042 *c = device;

    if ((c->command < WRITE_RAM || c->command >= WRITE_RAM + 32) &&
        (c->command < WRITE_OUTPUT_PORT || c->command > WRITE_MOUSE)) {
        c->command = 0;
    }
    ps2_keyboard_check(&c->keyboard);
    ps2_mouse_check(&c->mouse);
    update_irqs(c);
    irq_set(&c->a20, c->output_port & PORT_A20);
    refill(c);
}

static const Register data_registers[] = {
    REG(0, "DATA", REG_NONE, 0, 0, read_data, write_data),
};

static const Register command_registers[] = {
    REG(0, "STATUS", REG_NONE, 0, 0, read_status, write_command),
};

static const RegisterBank banks[] = {
    {.name = "i8042-data",
     .size = 1,
     .region = offsetof(I8042, data_port),
     .ports = true,
     .width = 1,
     .registers = data_registers,
     .count = COUNT(data_registers)},
    {.name = "i8042-command",
     .size = 1,
     .region = offsetof(I8042, command_port),
     .ports = true,
     .width = 1,
     .registers = command_registers,
     .count = COUNT(command_registers)},
};

static const StateField state[] = {
    STATE(I8042, output),
    STATE(I8042, status),
    STATE(I8042, command),
    STATE_ARRAY(I8042, ram),
    STATE(I8042, output_port),
    STATE(I8042, after_break),
    {"keyboard", offsetof(I8042, keyboard), sizeof(Ps2Keyboard), 1, ps2_keyboard_state},
    {"mouse", offsetof(I8042, mouse), sizeof(Ps2Mouse), 1, ps2_mouse_state},
    STATE_ONE_TIMER(I8042, refill_timer),
    STATE_END,
};

static const Property properties[] = {
    {"input", PROPERTY_BACKEND, offsetof(I8042, input), "where keys and movements come from", NULL,
     "input"},
    PROPERTY_END,
};

static const IrqOutput outputs[] = {
    {"keyboard", offsetof(I8042, keyboard_irq), 1},
    {"mouse", offsetof(I8042, mouse_irq), 1},
    {"a20", offsetof(I8042, a20), 1},
    IRQ_OUTPUT_END,
};

const DeviceDef device_i8042 = {
    .name = "i8042",
    .summary = "keyboard controller with PS/2 keyboard and mouse",
    .size = sizeof(I8042),
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
