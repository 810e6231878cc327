/* What the files of device/core share. */
#ifndef DEVICE_CORE_INTERNAL_H
#define DEVICE_CORE_INTERNAL_H

#include "device/core/device.h"

/* Prepares the regions of a device's banks. */
void registers_start(Device *device);
/* Registers' fields to their reset values. */
void registers_reset(Device *device);
/* After a reset or load. */
void device_settle(Device *device);
/* Saved fields to zero, but for those that are kept; timers are cancelled. */
void state_reset(Device *device);

/* A number of 1, 2, 4 or 8 bytes in host order. */
static inline u64 get_number(const void *place, unsigned size)
{
    switch (size) {
    case 1:
        return *(const u8 *)place;
    case 2:
        return *(const u16 *)place;
    case 4:
        return *(const u32 *)place;
    default:
        return *(const u64 *)place;
    }
}

static inline void put_number(void *place, unsigned size, u64 value)
{
    switch (size) {
    case 1:
        *(u8 *)place = (u8)value;
        break;
    case 2:
        *(u16 *)place = (u16)value;
        break;
    case 4:
        *(u32 *)place = (u32)value;
        break;
    default:
        *(u64 *)place = value;
    }
}

#endif
