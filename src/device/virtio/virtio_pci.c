/* The PCI transport (virtio 1.2, 4.1), without the legacy interface: the structures that the driver
 * finds by vendor capabilities, all in BAR 4, and MSI-X in BAR 1. */
#include <string.h>

#include "device/virtio/virtio.h"

enum {
    COMMON = 0x0000, /* offsets in the BAR */
    ISR = 0x1000,
    CONFIG = 0x2000,
    NOTIFY = 0x3000,
    NOTIFY_MULTIPLIER = 4,
    CAPABILITY = 0x09,
    TYPE_COMMON = 1,
    TYPE_NOTIFY,
    TYPE_ISR,
    TYPE_CONFIG,
    STATUS_FEATURES_OK = 8,
    STATUS_DRIVER_OK = 4,
    STATUS_NEEDS_RESET = 0x40,
    NO_VECTOR = 0xffff,
    ISR_CONFIG = 2,
};

/* Offsets in the common structure (4.1.4.3). */
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_VECTOR = 0x10,
    QUEUE_COUNT = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFFSET = 0x1e,
    QUEUE_DESCRIPTORS = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    COMMON_END = 0x38,
};

/* -- Interrupts */

void virtio_interrupt(VirtioPci *v, u16 vector, u8 isr)
{
    v->isr |= isr;
    if (!pci_msix_enabled(v)) {
        pci_set_interrupt(v, true);
    } else if (vector != NO_VECTOR) {
        pci_send_message(v, vector);
    }
}

void virtio_config_changed(VirtioPci *v)
{
    v->generation++;
    if (v->status & STATUS_DRIVER_OK) {
        virtio_interrupt(v, v->config_vector, ISR_CONFIG);
    }
}

void virtio_break(VirtioPci *v, const char *why)
{
    device_guest_error(v, "%s", why);
    v->status |= STATUS_NEEDS_RESET;
    virtio_config_changed(v);
}

/* -- Common configuration */

static VirtQueue *selected(VirtioPci *v)
{
    return v->queue_select < v->queue_count ? &v->queues[v->queue_select] : NULL;
}

static u64 read_queue(VirtioPci *v, u64 offset)
{
    const VirtQueue *q = selected(v);

    if (!q) {
        return 0;
    }
    switch (offset) {
    case QUEUE_SIZE:
        return q->size;
    case QUEUE_VECTOR:
        return q->vector;
    case QUEUE_ENABLE:
        return q->enabled;
    case QUEUE_NOTIFY_OFFSET:
        return v->queue_select;
    case QUEUE_DESCRIPTORS:
        return q->descriptors;
    case QUEUE_DESCRIPTORS + 4:
        return q->descriptors >> 32;
    case QUEUE_DRIVER:
        return q->driver;
    case QUEUE_DRIVER + 4:
        return q->driver >> 32;
    case QUEUE_DEVICE:
        return q->device;
    case QUEUE_DEVICE + 4:
        return q->device >> 32;
    default:
        return 0;
    }
}

static u64 read_common(VirtioPci *v, u64 offset)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        return v->feature_select;
    case DEVICE_FEATURE:
        return v->feature_select < 2 ? (u32)(v->offered >> 32 * v->feature_select) : 0;
    case DRIVER_FEATURE_SELECT:
        return v->driver_feature_select;
    case DRIVER_FEATURE:
        return v->driver_feature_select < 2 ? (u32)(v->features >> 32 * v->driver_feature_select)
                                            : 0;
    case CONFIG_VECTOR:
        return v->config_vector;
    case QUEUE_COUNT:
        return v->queue_count;
    case STATUS:
        return v->status;
    case GENERATION:
        return v->generation;
    case QUEUE_SELECT:
        return v->queue_select;
    default:
        return read_queue(v, offset);
    }
}

static void reset_queues(VirtioPci *v)
{
    for (u16 i = 0; i < VIRTIO_QUEUES; i++) {
        v->queues[i] = (VirtQueue){.owner = v,
                                   .index = i,
                                   .size = i < v->queue_count ? VIRTIO_QUEUE_SIZE : 0,
                                   .vector = NO_VECTOR};
    }
}

/* Writing 0 to the status. */
static void reset_by_driver(VirtioPci *v)
{
    if (v->info->reset) {
        v->info->reset(v);
    }
    v->status = v->isr = 0;
    v->features = 0;
    v->feature_select = v->driver_feature_select = 0;
    v->queue_select = 0;
    v->config_vector = NO_VECTOR;
    reset_queues(v);
    pci_set_interrupt(v, false);
}

static void write_status(VirtioPci *v, u8 value)
{
    bool was_ready = v->status & STATUS_DRIVER_OK;

    if (!value) {
        reset_by_driver(v);
        return;
    }
    if (value & STATUS_FEATURES_OK && !(v->status & STATUS_FEATURES_OK) &&
        (v->features & ~v->offered || !(v->features & VIRTIO_F_VERSION_1))) {
        value &= (u8)~STATUS_FEATURES_OK; /* not these */
    }
    v->status = value | (v->status & STATUS_NEEDS_RESET);
    if (!was_ready && v->status & STATUS_DRIVER_OK && v->info->ready) {
        v->info->ready(v);
    }
}

static void set_half(u64 *place, bool high, u32 value)
{
    *place = high ? (u32)*place | (u64)value << 32 : (*place & ~(u64)UINT32_MAX) | value;
}

static void write_queue(VirtioPci *v, u64 offset, u32 value)
{
    VirtQueue *q = selected(v);

    if (!q) {
        return;
    }
    if (offset == QUEUE_VECTOR) {
        q->vector = value < v->pci.msix_count ? (u16)value : NO_VECTOR;
        return;
    }
    if (q->enabled) {
        device_guest_error(v, "queue %u is changed while it is in use", v->queue_select);
        return;
    }
    switch (offset) {
    case QUEUE_SIZE:
        if (value && value <= VIRTIO_QUEUE_SIZE && !(value & (value - 1))) {
            q->size = (u16)value;
        }
        break;
    case QUEUE_ENABLE:
        q->enabled = value == 1;
        break;
    case QUEUE_DESCRIPTORS:
    case QUEUE_DESCRIPTORS + 4:
        set_half(&q->descriptors, offset & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        set_half(&q->driver, offset & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        set_half(&q->device, offset & 4, value);
        break;
    }
}

static void write_common(VirtioPci *v, u64 offset, u32 value)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        v->feature_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        v->driver_feature_select = value;
        break;
    case DRIVER_FEATURE:
        if (v->driver_feature_select < 2 && !(v->status & STATUS_FEATURES_OK)) {
            set_half(&v->features, v->driver_feature_select == 1, value);
        }
        break;
    case CONFIG_VECTOR:
        v->config_vector = value < v->pci.msix_count ? (u16)value : NO_VECTOR;
        break;
    case STATUS:
        write_status(v, (u8)value);
        break;
    case QUEUE_SELECT:
        v->queue_select = (u16)value;
        break;
    default:
        write_queue(v, offset, value);
    }
}

/* -- Device configuration */

static u64 read_config(VirtioPci *v, u64 offset, unsigned size)
{
    u64 value = 0;

    if (v->info->config_reading) {
        v->info->config_reading(v);
    }
    if (offset + size <= v->info->config_size) {
        memcpy(&value, v->config + offset, size);
    }
    return value;
}

static void write_config(VirtioPci *v, u64 offset, unsigned size, u64 value)
{
    if (offset + size <= v->info->config_size && v->info->config_written) {
        memcpy(v->config + offset, &value, size);
        v->info->config_written(v, (u32)offset, size);
    }
}

/* -- The BAR */

static u8 take_isr(VirtioPci *v)
{
    u8 isr = v->isr;

    v->isr = 0;
    pci_set_interrupt(v, false);
    return isr;
}

static u64 bar_read(void *opaque, u64 offset, unsigned size)
{
    VirtioPci *v = opaque;

    if (offset < COMMON_END) {
        return read_common(v, offset);
    }
    if (offset >= CONFIG && offset < CONFIG + VIRTIO_CONFIG) {
        return read_config(v, offset - CONFIG, size);
    }
    return offset == ISR ? take_isr(v) : 0;
}

static void bar_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    VirtioPci *v = opaque;

    if (offset < COMMON_END) {
        write_common(v, offset, (u32)value);
    } else if (offset >= NOTIFY) {
        u64 n = (offset - NOTIFY) / NOTIFY_MULTIPLIER;
        if (n < v->queue_count && v->status & STATUS_DRIVER_OK) {
            v->info->notify(v, &v->queues[n]);
        }
    } else if (offset >= CONFIG && offset < CONFIG + VIRTIO_CONFIG) {
        write_config(v, offset - CONFIG, size, value);
    }
}

const RegionOps virtio_ops = {bar_read, bar_write, 1, 4, false, false, LITTLE};

/* -- Capabilities (4.1.4) */

static void add_capability(VirtioPci *v, u8 type, u32 offset, u32 length, u32 multiplier)
{
    u8 size = type == TYPE_NOTIFY ? 20 : 16, at = pci_add_capability(v, CAPABILITY, size);
    struct VirtioCapability *c = &v->capabilities[v->capability_count++];

    *c = (struct VirtioCapability){at, type, size, offset, length, multiplier};
}

static void put_capabilities(VirtioPci *v)
{
    for (u32 i = 0; i < v->capability_count; i++) {
        const struct VirtioCapability *c = &v->capabilities[i];
        pci_put(&v->pci, c->at + 2u, 1, c->size);
        pci_put(&v->pci, c->at + 3u, 1, c->type);
        pci_put(&v->pci, c->at + 4u, 4, 4); /* the BAR */
        pci_put(&v->pci, c->at + 8u, 4, c->offset);
        pci_put(&v->pci, c->at + 12u, 4, c->length);
        if (c->type == TYPE_NOTIFY) {
            pci_put(&v->pci, c->at + 16u, 4, c->multiplier);
        }
    }
}

int virtio_start(void *device, const VirtioInfo *info, char **error)
{
    VirtioPci *v = device;

    (void)error;
    v->info = info;
    v->queue_count = v->queue_count ? v->queue_count : info->queues;
    v->offered |= info->features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX;
    pci_add_msix(v, 1, (u16)(v->queue_count + 1));
    add_capability(v, TYPE_COMMON, COMMON, COMMON_END, 0);
    add_capability(v, TYPE_NOTIFY, NOTIFY, NOTIFY_MULTIPLIER * VIRTIO_QUEUES, NOTIFY_MULTIPLIER);
    add_capability(v, TYPE_ISR, ISR, 1, 0);
    if (info->config_size) {
        add_capability(v, TYPE_CONFIG, CONFIG, info->config_size, 0);
    }
    return 0;
}

void virtio_reset(void *device)
{
    VirtioPci *v = device;

    reset_by_driver(v);
    put_capabilities(v);
}

static const StateField queue_state[] = {
    STATE(VirtQueue, size),
    STATE(VirtQueue, enabled),
    STATE(VirtQueue, vector),
    STATE(VirtQueue, descriptors),
    STATE(VirtQueue, driver),
    STATE(VirtQueue, device),
    STATE(VirtQueue, next),
    STATE(VirtQueue, used),
    STATE(VirtQueue, signalled),
    STATE(VirtQueue, signalled_valid),
    STATE_END,
};

const StateField virtio_state[] = {
    STATE(VirtioPci, features),
    STATE(VirtioPci, feature_select),
    STATE(VirtioPci, driver_feature_select),
    STATE(VirtioPci, status),
    STATE(VirtioPci, isr),
    STATE(VirtioPci, generation),
    STATE(VirtioPci, queue_select),
    STATE(VirtioPci, config_vector),
    STATE_STRUCTS(VirtioPci, queues, queue_state),
    STATE_END,
};
