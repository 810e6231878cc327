/* "virtio-rng-pci": random numbers of the host (virtio 1.2, 5.4). */
#include <stdlib.h>
#include <sys/random.h>

#include "device/devices.h"
#include "device/virtio/virtio.h"

enum { TYPE = 4, AT_ONCE = 256 };

typedef struct Rng {
    VirtioPci virtio;
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

static const VirtioInfo virtio_info = {.type = TYPE, .queues = 1, .notify = notify};

static int start(void *device, char **error)
{
    return virtio_start(device, &virtio_info, error);
}

static const PciInfo info = VIRTIO_PCI_INFO(TYPE, 0x00ff00);

static const RegisterBank banks[] = VIRTIO_BANKS(Rng);

static const StateField state[] = {
    VIRTIO_STATE(Rng),
    STATE_END,
};

const DeviceDef device_virtio_rng_pci = {
    .name = "virtio-rng-pci",
    .summary = "virtio source of random numbers",
    .size = sizeof(Rng),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .start = start,
    .reset = virtio_reset,
};
