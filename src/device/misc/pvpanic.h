/* Where the port of a "pvpanic" is, for those who tell guests. */
#ifndef DEVICE_MISC_PVPANIC_H
#define DEVICE_MISC_PVPANIC_H

#include "base/types.h"

u32 pvpanic_port(const void *device);

#endif
