/* "isa-pcspk": the system control port B at 0x61 of the PC: what gates counter 2 of the interval
 * timer and its way to the speaker, and what reads back from it. IBM PC AT Technical Reference;
 * Intel 82371SB (PIIX3) data sheet, section 2.5.3. */
#include "device/devices.h"
#include "device/timer/i8254.h"

enum { PORT = 0x61, REFRESH_NANOSECONDS = 15085 };

enum ControlB {
    TIMER_GATE = 0x01,
    SPEAKER_DATA = 0x02,
    WRITABLE = 0x0f, /* bits 2 and 3 switch parity and channel checks, which never fail */
    REFRESH = 0x10,  /* toggles with each refresh of the memory */
    TIMER_OUTPUT = 0x20,
};

typedef struct Speaker {
    Device device;
    Region ports;
    void *pit; /* an isa-pit, or NULL */
    u8 control;
} Speaker;

static u64 read_control(void *device)
{
    Speaker *s = device;
    u64 refreshes = clock_now(s->device.board->clock) / REFRESH_NANOSECONDS;

    return s->control | (refreshes & 1 ? REFRESH : 0) |
           (s->pit && i8254_output(s->pit, 2) ? TIMER_OUTPUT : 0);
}

static void write_control(void *device, u64 value)
{
    Speaker *s = device;

    if (s->pit) {
        i8254_set_gate(s->pit, value & TIMER_GATE);
    }
}

static int start(void *device, char **error)
{
    (void)error;
    device_map(device, 0, PORT);
    return 0;
}

/* The timer saves its gate itself. */
static void reset(void *device)
{
    write_control(device, 0);
}

static const Register registers[] = {
    REG(0, "CONTROL_B", REG_FIELD(Speaker, control), 0, WRITABLE, read_control, write_control),
};

static const RegisterBank banks[] = {
    {.name = "speaker",
     .size = 1,
     .region = offsetof(Speaker, ports),
     .ports = true,
     .width = 1,
     .registers = registers,
     .count = COUNT(registers)},
};

static const Property properties[] = {
    {"pit", PROPERTY_BACKEND, offsetof(Speaker, pit), "the timer that makes the tone", NULL,
     "device"},
    PROPERTY_END,
};

const DeviceDef device_isa_pcspk = {
    .name = "isa-pcspk",
    .summary = "PC speaker and system control port B",
    .size = sizeof(Speaker),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .properties = properties,
    .start = start,
    .reset = reset,
};
