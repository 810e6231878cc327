/* Power management of the PIIX4. See piix4_pm.c. */
#ifndef DEVICE_PCI_PIIX4_PM_H
#define DEVICE_PCI_PIIX4_PM_H

#include "device/pci/pci.h"

/* Where firmware puts the registers, for boards that start without. */
enum { PIIX4_PM_BASE = 0x600, PIIX4_GPE_BASE = 0xafe0, PIIX4_SMI_PORT = 0xb2 };
/* What ACPI tables say to write: to the SMI port, and as sleep types. */
enum {
    PIIX4_ACPI_ENABLE = 0xf1,
    PIIX4_ACPI_DISABLE = 0xf0,
    PIIX4_SLEEP_S5 = 0,
    PIIX4_SLEEP_S3 = 1,
};

/* The user presses the power button. */
void piix4_pm_power_button(void *device);
/* What else can wake it (a key) does, if it sleeps. */
void piix4_pm_wake(void *device);
/* IrqInput for the clock's interrupt line: its alarm is an event, and may wake it. */
void piix4_pm_rtc_input(void *device, unsigned line, bool level);
/* Puts the registers to PIIX4_PM_BASE as firmware would. */
void piix4_pm_enable(void *device);

/* Where the registers are; 0: nowhere. */
u16 piix4_pm_base(const void *device);
/* Calls `moved` when that changed: what was said of it (ACPI tables) is to be said anew. */
void piix4_pm_on_move(void *device, void (*moved)(void *opaque), void *opaque);

#endif
