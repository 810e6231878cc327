/* The legacy interface of PCI devices (virtio 1.2, 4.1.4.10), as virtio 0.9.5 had it: a block of
 * ports in BAR 0 with few registers, and the device's configuration behind them. Queues have the
 * size that the device says, and lie in one piece from a page on (2.7.2). */
#include "device/virtio/virtio.h"

/* Offsets of registers. */
enum {
    DEVICE_FEATURES = 0,
    DRIVER_FEATURES = 4,
    QUEUE_ADDRESS = 8, /* its page's number */
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    QUEUE_NOTIFY = 16,
    STATUS = 18,
    ISR = 19,
    CONFIG_VECTOR = 20, /* these two while MSI-X is enabled */
    QUEUE_VECTOR = 22,
    PAGE_SHIFT = 12,
};

/* Where the device's configuration begins. */
static u64 header_size(const Virtio *v)
{
    return pci_msix_enabled(v) ? 24 : 20;
}

static u64 read_register(Virtio *v, u64 offset)
{
    const VirtQueue *queue = virtio_selected(v);

    switch (offset) {
    case DEVICE_FEATURES:
        return virtio_legacy_features(v);
    case DRIVER_FEATURES:
        return (u32)v->features;
    case QUEUE_ADDRESS:
        return queue && queue->enabled ? queue->descriptors >> PAGE_SHIFT : 0;
    case QUEUE_SIZE:
        return queue ? queue->size : 0;
    case QUEUE_SELECT:
        return v->queue_select;
    case STATUS:
        return v->status & ~VIRTIO_NEEDS_RESET;
    case ISR:
        return virtio_pci_take_isr(v);
    case CONFIG_VECTOR:
        return v->config_vector;
    case QUEUE_VECTOR:
        return queue ? queue->vector : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

static void write_register(Virtio *v, u64 offset, u32 value)
{
    VirtQueue *queue = virtio_selected(v);

    switch (offset) {
    case DRIVER_FEATURES:
        virtio_accept_legacy(v, value);
        break;
    case QUEUE_SELECT:
        v->queue_select = (u16)value;
        break;
    case QUEUE_NOTIFY:
        virtio_notify(v, value);
        break;
    case STATUS:
        v->legacy = true;
        virtio_write_status(v, (u8)value);
        break;
    case CONFIG_VECTOR:
        v->config_vector = virtio_pci_vector(v, value);
        break;
    case QUEUE_ADDRESS:
        if (queue) {
            virtqueue_place(queue, (u64)value << PAGE_SHIFT, 1 << PAGE_SHIFT);
        }
        break;
    case QUEUE_VECTOR:
        if (queue) {
            queue->vector = virtio_pci_vector(v, value);
        }
        break;
    }
}

static u64 legacy_read(void *opaque, u64 offset, unsigned size)
{
    Virtio *v = opaque;
    u64 header = header_size(v);

    return offset < header ? read_register(v, offset)
                           : virtio_read_config(v, offset - header, size);
}

static void legacy_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    Virtio *v = opaque;
    u64 header = header_size(v);

    if (offset < header) {
        write_register(v, offset, (u32)value);
    } else {
        virtio_write_config(v, offset - header, size, value);
    }
}

const RegionOps virtio_pci_legacy = {legacy_read, legacy_write, 1, 4, false, false, LITTLE};

u64 virtio_pci_legacy_size(const Virtio *v)
{
    u64 size = 32;

    while (size < 24 + v->info->config_size) {
        size *= 2;
    }
    return size;
}
