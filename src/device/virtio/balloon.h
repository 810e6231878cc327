/* The balloon, for monitors: how much memory the guest has given back, and is to give back. All
 * functions take a device of either description, and need the machine lock. */
#ifndef DEVICE_VIRTIO_BALLOON_H
#define DEVICE_VIRTIO_BALLOON_H

#include "base/types.h"

/* What drivers tell (virtio 1.2, 5.5.6.3), in the order of the tags. */
enum { BALLOON_STATISTICS = 10 };
extern const char *const balloon_statistic_names[BALLOON_STATISTICS];

/* The balloon is to hold `bytes` of the guest's memory; it does when the driver gets to it. */
void balloon_set_target(void *device, u64 bytes);
/* Bytes that the guest has given back. */
u64 balloon_size(const void *device);
/* One of the statistics, as the driver told last; false: it never did. */
bool balloon_statistic(const void *device, u32 tag, u64 *value);
/* Asks the driver for new ones. */
void balloon_ask_statistics(void *device);

#endif
