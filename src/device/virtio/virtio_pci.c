/* The PCI transport (virtio 1.2, 4.1): the structures that the driver finds by vendor capabilities,
 * all in BAR 4, and MSI-X in BAR 1. BAR 0 is the legacy interface (virtio_pci_legacy.c). */
#include <errno.h>

#include "device/virtio/virtio.h"

enum {
    COMMON = 0x0000, /* offsets in the BAR */
    ISR = 0x1000,
    CONFIG = 0x2000,
    NOTIFY = 0x3000,
    BAR_SIZE = 0x4000,
    NOTIFY_MULTIPLIER = 4,
    CAPABILITY = 0x09,
    TYPE_COMMON = 1,
    TYPE_NOTIFY,
    TYPE_ISR,
    TYPE_CONFIG,
    TYPE_WINDOW,
    BAR = 4,
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

static void pci_update(Virtio *v)
{
    pci_set_interrupt(v, v->isr && !pci_msix_enabled(v));
}

static void pci_interrupt(Virtio *v, u16 vector)
{
    if (!pci_msix_enabled(v)) {
        pci_update(v);
    } else if (vector != VIRTIO_NO_VECTOR) {
        pci_send_message(v, vector);
    }
}

/* -- Common configuration */

static u64 read_queue(Virtio *v, u64 offset)
{
    const VirtQueue *q = virtio_selected(v);

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

static u64 read_common(Virtio *v, u64 offset)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        return v->feature_select;
    case DEVICE_FEATURE:
        return virtio_offered_half(v, v->feature_select);
    case DRIVER_FEATURE_SELECT:
        return v->driver_feature_select;
    case DRIVER_FEATURE:
        return virtio_accepted_half(v, v->driver_feature_select);
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

u16 virtio_pci_vector(const Virtio *v, u32 vector)
{
    return vector < v->pci.msix_count ? (u16)vector : VIRTIO_NO_VECTOR;
}

static void write_queue(Virtio *v, u64 offset, u32 value)
{
    VirtQueue *q = virtio_selected(v);

    if (!q) {
        return;
    }
    switch (offset) {
    case QUEUE_VECTOR:
        q->vector = virtio_pci_vector(v, value);
        break;
    case QUEUE_SIZE:
        virtqueue_set_size(q, value);
        break;
    case QUEUE_ENABLE: /* which no driver undoes but by a reset */
        q->enabled |= value == 1;
        break;
    case QUEUE_DESCRIPTORS:
    case QUEUE_DESCRIPTORS + 4:
        virtqueue_set_address(q, &q->descriptors, offset & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        virtqueue_set_address(q, &q->driver, offset & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        virtqueue_set_address(q, &q->device, offset & 4, value);
        break;
    }
}

static void write_common(Virtio *v, u64 offset, u32 value)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        v->feature_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        v->driver_feature_select = value;
        break;
    case DRIVER_FEATURE:
        virtio_accept_half(v, v->driver_feature_select, value);
        break;
    case CONFIG_VECTOR:
        v->config_vector = virtio_pci_vector(v, value);
        break;
    case STATUS:
        virtio_write_status(v, (u8)value);
        break;
    case QUEUE_SELECT:
        v->queue_select = (u16)value;
        break;
    default:
        write_queue(v, offset, value);
    }
}

/* -- The BAR */

u8 virtio_pci_take_isr(Virtio *v)
{
    u8 isr = v->isr;

    v->isr = 0;
    pci_update(v);
    return isr;
}

static u64 bar_read(void *opaque, u64 offset, unsigned size)
{
    Virtio *v = opaque;

    if (offset < COMMON_END) {
        return read_common(v, offset);
    }
    if (offset >= CONFIG && offset < CONFIG + VIRTIO_CONFIG) {
        return virtio_read_config(v, offset - CONFIG, size);
    }
    return offset == ISR ? virtio_pci_take_isr(v) : 0;
}

static void bar_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    Virtio *v = opaque;

    if (offset < COMMON_END) {
        write_common(v, offset, (u32)value);
    } else if (offset >= NOTIFY) {
        virtio_notify(v, (offset - NOTIFY) / NOTIFY_MULTIPLIER);
    } else if (offset >= CONFIG && offset < CONFIG + VIRTIO_CONFIG) {
        virtio_write_config(v, offset - CONFIG, size, value);
    }
}

static const RegionOps ops = {bar_read, bar_write, 1, 4, false, false, LITTLE};

const RegisterBank virtio_pci_banks[] = {
    {.name = "virtio", .size = BAR_SIZE, .region = offsetof(Virtio, region), .raw = &ops},
    {.name = "virtio-msix", .region = offsetof(Virtio, msix_region)},
    {.name = "virtio-legacy",
     .region = offsetof(Virtio, legacy_region),
     .ports = true,
     .raw = &virtio_pci_legacy},
};

/* -- Capabilities (4.1.4) */

static void add_capability(Virtio *v, u8 type, u32 offset, u32 length, u32 multiplier)
{
    u8 size = type == TYPE_NOTIFY || type == TYPE_WINDOW ? 20 : 16,
       at = pci_add_capability(v, CAPABILITY, size);
    struct VirtioCapability *c = &v->capabilities[v->capability_count++];

    *c = (struct VirtioCapability){at, type, size, offset, length, multiplier};
}

static void pci_reset(Virtio *v)
{
    for (u32 i = 0; i < v->capability_count; i++) {
        const struct VirtioCapability *c = &v->capabilities[i];
        pci_put(&v->pci, c->at + 2u, 1, c->size);
        pci_put(&v->pci, c->at + 3u, 1, c->type);
        pci_put(&v->pci, c->at + 4u, 4, BAR);
        pci_put(&v->pci, c->at + 8u, 4, c->offset);
        pci_put(&v->pci, c->at + 12u, 4, c->length);
        if (c->type == TYPE_NOTIFY) {
            pci_put(&v->pci, c->at + 16u, 4, c->multiplier);
        }
    }
}

/* -- The window (4.1.4.9): for firmware that does not reach the BAR, four bytes of configuration
 * space that show a part of it */

enum { WINDOW_BAR = 4, WINDOW_OFFSET = 8, WINDOW_LENGTH = 12, WINDOW_DATA = 16, WINDOW_SIZE = 20 };

static void add_window(Virtio *v)
{
    add_capability(v, TYPE_WINDOW, 0, 0, 0);
    v->window = v->capabilities[v->capability_count - 1].at;
    pci_make_writable(&v->pci, v->window + WINDOW_BAR, 1, 0xff);
    for (u32 at = WINDOW_OFFSET; at < WINDOW_SIZE; at += 4) {
        pci_make_writable(&v->pci, v->window + at, 4, UINT32_MAX);
    }
}

/* Whether an access to configuration space is one through the window, to that part of the BAR. */
static bool is_through_window(const Virtio *v, u32 at, u32 size, u32 *offset, u32 *length)
{
    u32 data = v->window + WINDOW_DATA;

    if (!v->window || at >= data + 4 || at + size <= data ||
        pci_get(&v->pci, v->window + WINDOW_BAR, 1) != BAR) {
        return false;
    }
    *offset = pci_get(&v->pci, v->window + WINDOW_OFFSET, 4);
    *length = pci_get(&v->pci, v->window + WINDOW_LENGTH, 4);
    return (*length == 1 || *length == 2 || *length == 4) && *offset % *length == 0 &&
           *offset < BAR_SIZE;
}

static void config_reading(void *device, u32 at, u32 size)
{
    Virtio *v = device;
    u32 offset, length;

    if (is_through_window(v, at, size, &offset, &length)) {
        pci_put(&v->pci, v->window + WINDOW_DATA, length, (u32)bar_read(v, offset, length));
    }
}

/* Messages may have been switched on or off, too. */
static void config_written(void *device, u32 at, u32 size)
{
    Virtio *v = device;
    u32 offset, length;

    pci_update(v);
    if (is_through_window(v, at, size, &offset, &length)) {
        bar_write(v, offset, length, pci_get(&v->pci, v->window + WINDOW_DATA, length));
    }
}

/* -- Making */

/* Identity (4.1.2): transitional devices have numbers of their own, revision 0, and their type as
 * subsystem. */
static void fill_info(Virtio *v)
{
    enum { VENDOR = 0x1af4, DEVICES = 0x1040, SUBSYSTEM = 0x1100 };
    static const u16 transitional[] = {
        [VIRTIO_NET] = 0x1000, [VIRTIO_BLOCK] = 0x1001,   [VIRTIO_CONSOLE] = 0x1003,
        [VIRTIO_RNG] = 0x1005, [VIRTIO_BALLOON] = 0x1002,
    };
    u16 type = v->info->type;

    v->pci_info = (PciInfo){
        .vendor = VENDOR,
        .device = v->no_legacy ? (u16)(DEVICES + type) : transitional[type],
        .subsystem_vendor = VENDOR,
        .subsystem = v->no_legacy ? SUBSYSTEM : type,
        .class_code = v->info->class_code,
        .revision = v->no_legacy,
        .interrupt_pin = 1,
        .config_written = config_written,
        .config_reading = config_reading,
        .bars = {[0] = {v->no_legacy ? PCI_BAR_NONE : PCI_BAR_PORTS, 2},
                 [1] = {PCI_BAR_MEMORY, 1},
                 [BAR] = {v->no_modern ? PCI_BAR_NONE : PCI_BAR_PREFETCH64, 0}},
    };
    v->pci.info = &v->pci_info;
    v->legacy_region.size = virtio_pci_legacy_size(v);
}

static void add_capabilities(Virtio *v)
{
    add_capability(v, TYPE_COMMON, COMMON, COMMON_END, 0);
    add_capability(v, TYPE_NOTIFY, NOTIFY, NOTIFY_MULTIPLIER * VIRTIO_QUEUES, NOTIFY_MULTIPLIER);
    add_capability(v, TYPE_ISR, ISR, 1, 0);
    if (v->info->config_size) {
        add_capability(v, TYPE_CONFIG, CONFIG, v->info->config_size, 0);
    }
    add_window(v);
}

static int pci_start(Virtio *v, char **error)
{
    if (v->no_legacy && v->no_modern) {
        device_error(error, "%s: with disable-legacy and disable-modern nothing is left", v->d.id);
        return -EINVAL;
    }
    fill_info(v);
    pci_add_msix(v, 1, (u16)(v->queue_count + 1));
    if (!v->no_modern) {
        add_capabilities(v);
    }
    return 0;
}

const VirtioTransport virtio_pci = {
    .start = pci_start,
    .reset = pci_reset,
    .interrupt = pci_interrupt,
    .update = pci_update,
};
