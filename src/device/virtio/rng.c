/* "virtio-rng-pci", "virtio-rng-device": random numbers of the host (virtio 1.2, 5.4). */
#include <stdlib.h>
#include <sys/random.h>

#include "device/devices.h"
#include "device/virtio/virtio.h"

enum { AT_ONCE = 256 };

typedef struct Rng {
    Virtio virtio;
    VirtioChain chain;
} Rng;

static void notify(void *device, VirtQueue *queue)
{
    Rng *rng = device;
    u8 bytes[AT_ONCE];

    while (virtqueue_take(queue, &rng->chain)) {
        ssize_t size = getrandom(bytes, MIN(rng->chain.in_size, (u64)AT_ONCE), 0);
        u64 written = virtio_copy_in(&rng->chain, 0, bytes, size > 0 ? (u64)size : 0);
        virtqueue_return(queue, &rng->chain, (u32)written);
    }
    virtqueue_signal(queue);
}

static const VirtioInfo info = {
    .type = VIRTIO_RNG,
    .class_code = 0x00ff00,
    .queues = 1,
    .notify = notify,
};

VIRTIO_DEVICE(device_virtio_rng, "virtio-rng", "virtio source of random numbers", &info,
              .size = sizeof(Rng), .start = virtio_start);
