/* The PIIX3's IDE function. See piix3_ide.c. */
#ifndef DEVICE_IDE_PIIX3_IDE_H
#define DEVICE_IDE_PIIX3_IDE_H

#include "device/ide/ide.h"

/* Channel 0 or 1, for attaching drives. */
IdeChannel *piix3_ide_channel(void *device, unsigned n);

#endif
