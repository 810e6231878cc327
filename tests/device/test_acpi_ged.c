/* Power management of boards without the PC's: events, sleep, reset. */
#include "device/misc/acpi_ged.h"
#include "tests/device/bare.h"

static const u64 base = 0xf0000000;
static Bare bare;
static void *ged;

static void set(unsigned offset, u8 value)
{
    map_write(&bare.board.dma, base + offset, 1, value, NULL);
}

static u32 take_events(void)
{
    return (u32)map_read(&bare.board.dma, base + ACPI_GED_EVENTS, 4, NULL);
}

int main(void)
{
    bare_start(&bare);
    ged = bare_device(&bare, &device_acpi_ged);
    device_map(ged, 0, base);
    device_connect(ged, "irq", 0, bare_wire, &bare, 0);
    OK(!take_events() && !bare.wires[0].level, "nothing happened");
    acpi_ged_raise(ged, ACPI_GED_POWER_BUTTON);
    acpi_ged_raise(ged, 4);
    OK(bare.wires[0].level, "events raise the interrupt");
    OK(take_events() == (ACPI_GED_POWER_BUTTON | 4) && !bare.wires[0].level,
       "until they are taken");
    set(ACPI_GED_SLEEP_CONTROL, 1 << 5 | 3 << 2);
    set(ACPI_GED_SLEEP_CONTROL, ACPI_GED_SLEEP_S5 << 2);
    OK(!bare.events[BOARD_POWER_OFF], "another sleep state, or the type alone, does nothing");
    set(ACPI_GED_SLEEP_CONTROL, 1 << 5 | ACPI_GED_SLEEP_S5 << 2);
    OK(bare.events[BOARD_POWER_OFF] == 1, "S5 switches off");
    set(ACPI_GED_RESET, 1);
    OK(!bare.events[BOARD_RESET], "another value does not reset");
    set(ACPI_GED_RESET, ACPI_GED_RESET_VALUE);
    OK(bare.events[BOARD_RESET] == 1, "the right one does");
    device_free(ged);
    bare_stop(&bare);
    return tap_done();
}
