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

static const VirtioInfo virtio_info = {.type = VIRTIO_RNG, .queues = 1, .notify = notify};

static int start(void *device, char **error)
{
    return virtio_start(device, &virtio_info, error);
}

static const PciInfo pci_info = VIRTIO_PCI_INFO(VIRTIO_RNG, 0x00ff00);

static const StateField pci_fields[] = {VIRTIO_PCI_STATE, STATE_END};
static const StateField mmio_fields[] = {VIRTIO_MMIO_STATE, STATE_END};

const DeviceDef device_virtio_rng_pci = {
    .name = "virtio-rng-pci",
    .summary = "virtio source of random numbers",
    .size = sizeof(Rng),
    VIRTIO_ON_PCI,
    .bus = &pci_info,
    .state = pci_fields,
    .start = start,
};

const DeviceDef device_virtio_rng_device = {
    .name = "virtio-rng-device",
    .summary = "virtio source of random numbers, over MMIO",
    .size = sizeof(Rng),
    VIRTIO_ON_MMIO,
    .bus = &virtio_info,
    .state = mmio_fields,
    .start = start,
};
