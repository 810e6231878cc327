/* The PC's DMA controllers, for the devices that they serve. See i8237.c. */
#ifndef DEVICE_DMA_I8237_H
#define DEVICE_DMA_I8237_H

#include "device/core/device.h"

/* Where the bytes of a transfer go, seen from the device. */
typedef enum DmaDirection {
    DMA_TO_MEMORY,
    DMA_FROM_MEMORY,
} DmaDirection;

/* Whether the guest has set up channel 0..7 for transfers in a direction (or for verifying) and not
 * masked it: a device may transfer now. */
bool i8237_ready(void *device, unsigned channel, DmaDirection direction);

/* Moves up to `size` bytes between `bytes` and where the channel points. Returns how many were
 * moved; it is fewer when the count ran out: then, or when it ran out with the last byte, *end is
 * true (terminal count). A verifying channel counts without moving. A channel that is not ready
 * moves nothing. Channels 4..7 move words: `size` must be even. */
u32 i8237_transfer(void *device, unsigned channel, DmaDirection direction, u8 *bytes, u32 size,
                   bool *end);

/* `ready` is called when the guest changed something that may make a channel ready. */
void i8237_attach(void *device, unsigned channel, void (*ready)(void *opaque), void *opaque);

#endif
