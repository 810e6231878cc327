/* "acpi-ged": what a board without the PC's power management has for it: pending events with an
 * interrupt, for a Generic Event Device (ACPI 6.4, 5.6.9); sleep control and status registers
 * (4.8.3.7); and a reset register (4.8.3.6). The board's tables say where they are and what events
 * mean. */
#include "device/misc/acpi_ged.h"

#include "device/devices.h"

enum { SLEEP_TYPE_SHIFT = 2, SLEEP_TYPE_MASK = 7, SLEEP_ENABLE = 1 << 5, WAKE_STATUS = 1 << 7 };

typedef struct Ged {
    Device device;
    Region region;
    u32 events;
    u8 control, status;
    Irq irq;
} Ged;

static void update(void *device)
{
    const Ged *ged = device;

    irq_set(&ged->irq, ged->events != 0);
}

void acpi_ged_raise(void *device, u32 events)
{
    ((Ged *)device)->events |= events;
    update(device);
}

static u64 take_events(void *device)
{
    Ged *ged = device;
    u32 events = ged->events;

    ged->events = 0;
    update(ged);
    return events;
}

static void write_control(void *device, u64 value)
{
    Board *board = ((Ged *)device)->device.board;

    if (value & SLEEP_ENABLE &&
        (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == ACPI_GED_SLEEP_S5) {
        board->event(board, BOARD_POWER_OFF, 0);
    }
}

static void write_reset(void *device, u64 value)
{
    Board *board = ((Ged *)device)->device.board;

    if (value == ACPI_GED_RESET_VALUE) {
        board->event(board, BOARD_RESET, 0);
    }
}

static const Register registers[] = {
    {.at = ACPI_GED_EVENTS,
     .name = "EVENTS",
     .offset = offsetof(Ged, events),
     .size = sizeof(((Ged *)0)->events),
     .width = 4,
     .read = take_events},
    {.at = ACPI_GED_SLEEP_CONTROL,
     .name = "SLEEP_CONTROL",
     .offset = offsetof(Ged, control),
     .size = sizeof(((Ged *)0)->control),
     .mask = SLEEP_TYPE_MASK << SLEEP_TYPE_SHIFT,
     .write = write_control},
    {.at = ACPI_GED_SLEEP_STATUS,
     .name = "SLEEP_STATUS",
     .offset = offsetof(Ged, status),
     .size = sizeof(((Ged *)0)->status),
     .clear = WAKE_STATUS},
    {.at = ACPI_GED_RESET, .name = "RESET", .write = write_reset},
};

static const RegisterBank banks[] = {
    {.name = "acpi-ged",
     .size = ACPI_GED_SIZE,
     .region = offsetof(Ged, region),
     .width = 1,
     .registers = registers,
     .count = COUNT(registers)},
};

static const IrqOutput outputs[] = {
    {"irq", offsetof(Ged, irq), 0},
    IRQ_OUTPUT_END,
};

const DeviceDef device_acpi_ged = {
    .name = "acpi-ged",
    .summary = "power button, sleep and reset without the PC's power management",
    .size = sizeof(Ged),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .outputs = outputs,
    .settle = update,
};
