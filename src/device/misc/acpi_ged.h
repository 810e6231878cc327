/* Power management of boards without the PC's (ACPI 6.4, 4.1 "Hardware-Reduced ACPI"): the
 * registers that tables tell of, offsets in the one bank. See acpi_ged.c. */
#ifndef DEVICE_MISC_ACPI_GED_H
#define DEVICE_MISC_ACPI_GED_H

#include "base/types.h"

enum {
    ACPI_GED_EVENTS = 0, /* 4 bytes: reading takes them */
    ACPI_GED_SLEEP_CONTROL = 4,
    ACPI_GED_SLEEP_STATUS = 5,
    ACPI_GED_RESET = 6,
    ACPI_GED_SIZE = 8,
    ACPI_GED_RESET_VALUE = 0x42,
    ACPI_GED_SLEEP_S5 = 5,     /* type in _S5 */
    ACPI_GED_POWER_BUTTON = 1, /* an event's bit */
};

/* Events happen: the interrupt is raised until they are taken. */
void acpi_ged_raise(void *device, u32 events);

#endif
