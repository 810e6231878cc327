/* The MMIO transport (virtio 1.2, 4.2), version 2 and, as the legacy interface (4.2.4), version 1:
 * one page of registers and an interrupt line. Whoever makes the machine places it and tells the
 * guest where it is. */
#include "device/virtio/virtio.h"

enum {
    MAGIC = 0x74726976,
    VERSION = 2,
    LEGACY_VERSION = 1,
    VENDOR = 0x554e454d,
    CONFIG = 0x100,
    SIZE = 0x200
};

/* Offsets (4.2.2). */
enum {
    MAGIC_VALUE = 0x000,
    DEVICE_VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SELECT = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SELECT = 0x024,
    PAGE_SIZE = 0x028, /* legacy: of what the address counts */
    QUEUE_SELECT = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_ALIGN = 0x03c,   /* legacy */
    QUEUE_ADDRESS = 0x040, /* legacy */
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACKNOWLEDGE = 0x064,
    STATUS = 0x070,
    QUEUE_DESCRIPTORS = 0x080,
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0,
    SHARED_LENGTH = 0x0b0, /* shared memory: there is none */
    SHARED_END = 0x0c0,
    CONFIG_GENERATION = 0x0fc,
};

static int mmio_start(Virtio *v, char **error)
{
    (void)v, (void)error;
    return 0;
}

static void mmio_update(Virtio *v)
{
    irq_set(&v->irq, v->isr != 0);
}

static void mmio_interrupt(Virtio *v, u16 vector)
{
    (void)vector;
    mmio_update(v);
}

const VirtioTransport virtio_mmio = {
    .start = mmio_start,
    .interrupt = mmio_interrupt,
    .update = mmio_update,
};

/* -- Registers */

static u32 offered(const Virtio *v)
{
    if (v->legacy) {
        return v->feature_select ? 0 : virtio_legacy_features(v);
    }
    return virtio_offered_half(v, v->feature_select);
}

static void accept(Virtio *v, u32 bits)
{
    if (!v->legacy) {
        virtio_accept_half(v, v->driver_feature_select, bits);
    } else if (!v->driver_feature_select) {
        virtio_accept_legacy(v, bits);
    }
}

static u64 read_register(Virtio *v, u64 offset)
{
    const VirtQueue *queue = virtio_selected(v);

    switch (offset) {
    case MAGIC_VALUE:
        return MAGIC;
    case DEVICE_VERSION:
        return v->legacy ? LEGACY_VERSION : VERSION;
    case DEVICE_ID:
        return v->info->type;
    case VENDOR_ID:
        return VENDOR;
    case DEVICE_FEATURES:
        return offered(v);
    case QUEUE_SIZE_MAX:
        return queue ? VIRTIO_QUEUE_SIZE : 0;
    case QUEUE_ADDRESS:
        return queue && queue->enabled && v->legacy ? queue->descriptors / v->page_size : 0;
    case QUEUE_READY:
        return queue && !v->legacy ? queue->enabled : 0;
    case INTERRUPT_STATUS:
        return v->isr;
    case STATUS:
        return v->legacy ? v->status & ~VIRTIO_NEEDS_RESET : v->status;
    case CONFIG_GENERATION:
        return v->legacy ? 0 : v->generation;
    default:
        return offset >= SHARED_LENGTH && offset < SHARED_END ? UINT32_MAX : 0;
    }
}

/* Registers of version 1 only. */
static void write_legacy(Virtio *v, u64 offset, u32 value)
{
    VirtQueue *queue = virtio_selected(v);

    if (offset == PAGE_SIZE) {
        v->page_size = virtio_is_power_of_two(value) ? value : v->page_size;
    }
    if (!queue) {
        return;
    }
    switch (offset) {
    case QUEUE_ALIGN:
        queue->align = virtio_is_power_of_two(value) ? value : queue->align;
        break;
    case QUEUE_ADDRESS:
        virtqueue_place(queue, (u64)value * v->page_size, queue->align);
        break;
    }
}

static void write_queue(Virtio *v, u64 offset, u32 value)
{
    VirtQueue *queue = virtio_selected(v);

    if (!queue) {
        return;
    }
    switch (offset) {
    case QUEUE_READY:
        queue->enabled = value & 1;
        break;
    case QUEUE_DESCRIPTORS:
    case QUEUE_DESCRIPTORS + 4:
        virtqueue_set_address(queue, &queue->descriptors, offset & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        virtqueue_set_address(queue, &queue->driver, offset & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        virtqueue_set_address(queue, &queue->device, offset & 4, value);
        break;
    }
}

static void write_register(Virtio *v, u64 offset, u32 value)
{
    VirtQueue *queue = virtio_selected(v);

    switch (offset) {
    case DEVICE_FEATURES_SELECT:
        v->feature_select = value;
        break;
    case DRIVER_FEATURES:
        accept(v, value);
        break;
    case DRIVER_FEATURES_SELECT:
        v->driver_feature_select = value;
        break;
    case QUEUE_SELECT:
        v->queue_select = (u16)value;
        break;
    case QUEUE_SIZE:
        if (queue) {
            virtqueue_set_size(queue, value);
        }
        break;
    case QUEUE_NOTIFY:
        virtio_notify(v, value);
        break;
    case INTERRUPT_ACKNOWLEDGE:
        v->isr &= (u8)~value;
        mmio_update(v);
        break;
    case STATUS:
        virtio_write_status(v, (u8)value);
        break;
    default:
        if (v->legacy) {
            write_legacy(v, offset, value);
        } else {
            write_queue(v, offset, value);
        }
    }
}

/* Registers are words; of the configuration, any bytes. */
static bool is_word(Virtio *v, u64 offset, unsigned size)
{
    if (size != 4) {
        device_guest_error(v, "an access of %u bytes to register %#llx", size,
                           (unsigned long long)offset);
    }
    return size == 4;
}

static u64 mmio_read(void *opaque, u64 offset, unsigned size)
{
    if (offset >= CONFIG) {
        return virtio_read_config(opaque, offset - CONFIG, size);
    }
    return is_word(opaque, offset, size) ? read_register(opaque, offset) : 0;
}

static void mmio_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    if (offset >= CONFIG) {
        virtio_write_config(opaque, offset - CONFIG, size, value);
    } else if (is_word(opaque, offset, size)) {
        write_register(opaque, offset, (u32)value);
    }
}

static const RegionOps ops = {mmio_read, mmio_write, 1, 4, false, false, LITTLE};

const RegisterBank virtio_mmio_banks[] = {
    {.name = "virtio-mmio", .size = SIZE, .region = offsetof(Virtio, region), .raw = &ops},
};

const IrqOutput virtio_mmio_outputs[] = {
    {"irq", offsetof(Virtio, irq), 0},
    IRQ_OUTPUT_END,
};
