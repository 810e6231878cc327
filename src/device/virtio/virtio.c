/* What drivers see of any virtio device, behind whichever transport: features, status, queues'
 * set-up, configuration. See virtio.h. */
#include "device/virtio/virtio.h"

#include <string.h>

/* A driver that adds chains as fast as they are served must not keep the machine lock for ever:
 * after some the rest waits until the main loop comes round. */
enum { AT_ONCE = 2 * VIRTIO_QUEUE_SIZE };

enum { PAGE = 4096 }; /* of legacy drivers that say nothing */

static const VirtioTransport *transport_of(const Virtio *v)
{
    return v->d.def->bus_kind == BUS_PCI ? &virtio_pci : &virtio_mmio;
}

/* -- Interrupts */

void virtio_interrupt(Virtio *v, u16 vector, u8 isr)
{
    v->isr |= isr;
    transport_of(v)->interrupt(v, vector);
}

void virtio_config_changed(Virtio *v)
{
    v->generation++;
    if (v->status & VIRTIO_DRIVER_OK) {
        virtio_interrupt(v, v->config_vector, VIRTIO_ISR_CONFIG);
    }
}

void virtio_break(Virtio *v, const char *why)
{
    device_guest_error(v, "%s", why);
    v->status |= VIRTIO_NEEDS_RESET;
    virtio_config_changed(v);
}

/* -- Features and status */

u32 virtio_offered_half(const Virtio *v, u32 select)
{
    return select < 2 ? (u32)(v->offered >> 32 * select) : 0;
}

u32 virtio_accepted_half(const Virtio *v, u32 select)
{
    return select < 2 ? (u32)(v->features >> 32 * select) : 0;
}

static void set_half(u64 *place, bool high, u32 value)
{
    *place = high ? (u32)*place | (u64)value << 32 : (*place & ~(u64)UINT32_MAX) | value;
}

void virtio_accept_half(Virtio *v, u32 select, u32 bits)
{
    if (select < 2 && !(v->status & VIRTIO_FEATURES_OK)) {
        set_half(&v->features, select == 1, bits);
    }
}

u32 virtio_legacy_features(const Virtio *v)
{
    return (u32)(v->offered | VIRTIO_F_ANY_LAYOUT);
}

void virtio_accept_legacy(Virtio *v, u32 bits)
{
    v->features = bits & virtio_legacy_features(v);
}

static void reset_queues(Virtio *v)
{
    for (u16 i = 0; i < VIRTIO_QUEUES; i++) {
        v->queues[i] = (VirtQueue){.owner = v,
                                   .index = i,
                                   .size = i < v->queue_count ? VIRTIO_QUEUE_SIZE : 0,
                                   .vector = VIRTIO_NO_VECTOR,
                                   .align = PAGE};
    }
}

static void reset_by_driver(Virtio *v)
{
    if (v->info->reset) {
        v->info->reset(v);
    }
    v->status = v->isr = 0;
    v->features = 0;
    v->legacy = v->force_legacy;
    v->page_size = PAGE;
    v->feature_select = v->driver_feature_select = 0;
    v->queue_select = 0;
    v->config_vector = VIRTIO_NO_VECTOR;
    v->left = AT_ONCE;
    reset_queues(v);
    transport_of(v)->update(v);
}

/* Drivers may have filled queues and rung for them before they were ready. */
static void notify_all(Virtio *v)
{
    for (u16 i = 0; i < v->queue_count; i++) {
        if (v->queues[i].enabled) {
            virtio_notify(v, i);
        }
    }
}

void virtio_write_status(Virtio *v, u8 status)
{
    bool was_ready = v->status & VIRTIO_DRIVER_OK;

    if (!status) {
        reset_by_driver(v);
        return;
    }
    if (!v->legacy && status & VIRTIO_FEATURES_OK && !(v->status & VIRTIO_FEATURES_OK) &&
        (v->features & ~v->offered || !(v->features & VIRTIO_F_VERSION_1))) {
        status &= (u8)~VIRTIO_FEATURES_OK; /* not these */
    }
    v->status = status | (v->status & VIRTIO_NEEDS_RESET);
    if (!was_ready && v->status & VIRTIO_DRIVER_OK) {
        notify_all(v);
    }
}

/* -- Queues */

VirtQueue *virtio_selected(Virtio *v)
{
    return v->queue_select < v->queue_count ? &v->queues[v->queue_select] : NULL;
}

static bool may_change(const VirtQueue *queue)
{
    if (queue->enabled) {
        device_guest_error(queue->owner, "queue %u is changed while it is in use", queue->index);
    }
    return !queue->enabled;
}

void virtqueue_set_size(VirtQueue *queue, u32 size)
{
    if (may_change(queue) && size && size <= VIRTIO_QUEUE_SIZE &&
        (virtio_is_power_of_two(size) || virtio_has(queue->owner, VIRTIO_F_PACKED))) {
        queue->size = (u16)size;
    }
}

void virtqueue_set_address(VirtQueue *queue, u64 *address, bool high, u32 value)
{
    if (may_change(queue)) {
        set_half(address, high, value);
    }
}

/* A ring of what is available has flags, an index, places, and an event's index (2.7.6). */
void virtqueue_place(VirtQueue *queue, u64 address, u32 align)
{
    queue->descriptors = address;
    queue->driver = address + 16ull * queue->size;
    queue->device = ALIGN_UP(queue->driver + 6 + 2ull * queue->size, (u64)align);
    queue->enabled = address != 0;
    queue->next = queue->used = 0;
    queue->untold = 0;
}

static void resume(void *opaque)
{
    Virtio *v = opaque;
    u32 waiting = v->waiting;

    v->waiting = 0;
    v->left = AT_ONCE;
    for (u16 i = 0; i < v->queue_count; i++) {
        if (waiting >> i & 1) {
            virtio_notify(v, i);
        }
    }
}

bool virtio_may_take(VirtQueue *queue)
{
    Virtio *v = queue->owner;

    if (v->left) {
        v->left--;
        return true;
    }
    if (!v->waiting) {
        loop_defer(v->d.board->loop, resume, v);
    }
    v->waiting |= 1u << queue->index;
    return false;
}

void virtio_notify(Virtio *v, u64 queue)
{
    if (queue < v->queue_count && virtio_is_running(v)) {
        v->info->notify(v, &v->queues[queue]);
    }
}

/* -- Device configuration */

u64 virtio_read_config(Virtio *v, u64 offset, unsigned size)
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

void virtio_write_config(Virtio *v, u64 offset, unsigned size, u64 value)
{
    if (offset + size <= v->info->config_size && v->info->config_written) {
        if (v->info->config_reading) {
            v->info->config_reading(v);
        }
        memcpy(v->config + offset, &value, size);
        v->info->config_written(v, (u32)offset, size);
    }
}

/* -- Life */

int virtio_start(void *device, char **error)
{
    Virtio *v = device;

    v->info = v->d.def->bus;
    v->queue_count = v->queue_count ? v->queue_count : v->info->queues;
    v->offered |= v->info->features | VIRTIO_F_VERSION_1;
    v->offered |= v->indirect ? VIRTIO_F_INDIRECT : 0;
    v->offered |= v->event_idx ? VIRTIO_F_EVENT_IDX : 0;
    v->offered |= v->packed ? VIRTIO_F_PACKED : 0;
    return transport_of(v)->start(v, error);
}

void virtio_reset(void *device)
{
    Virtio *v = device;

    reset_by_driver(v);
    if (transport_of(v)->reset) {
        transport_of(v)->reset(v);
    }
}

void virtio_settle(void *device)
{
    Virtio *v = device;

    v->page_size = virtio_is_power_of_two(v->page_size) ? v->page_size : PAGE;
    for (u16 i = 0; i < VIRTIO_QUEUES; i++) {
        VirtQueue *queue = &v->queues[i];
        queue->owner = v;
        queue->index = i;
        queue->align = virtio_is_power_of_two(queue->align) ? queue->align : PAGE;
        virtqueue_settle(queue);
    }
    if (v->info->settle) {
        v->info->settle(v);
    }
    transport_of(v)->update(v);
}

static const StateField queue_state[] = {
    STATE(VirtQueue, size),
    STATE(VirtQueue, enabled),
    STATE(VirtQueue, align),
    STATE(VirtQueue, vector),
    STATE(VirtQueue, descriptors),
    STATE(VirtQueue, driver),
    STATE(VirtQueue, device),
    STATE(VirtQueue, next),
    STATE(VirtQueue, used),
    STATE(VirtQueue, untold),
    STATE_END,
};

static const StateField state[] = {
    STATE(Virtio, features),
    STATE(Virtio, feature_select),
    STATE(Virtio, driver_feature_select),
    STATE(Virtio, status),
    STATE(Virtio, isr),
    STATE(Virtio, generation),
    STATE(Virtio, legacy),
    STATE(Virtio, page_size),
    STATE(Virtio, queue_select),
    STATE(Virtio, config_vector),
    STATE_STRUCTS(Virtio, queues, queue_state),
    STATE_END,
};

static const StateField pci_fields[] = {
    PCI_STATE(Virtio),
    {"virtio", 0, sizeof(Virtio), 1, state, STATE_VALUE},
    STATE_END,
};

#define SWITCH(name, member, text, initial)                                                        \
    {                                                                                              \
        name, PROPERTY_BOOL, offsetof(Virtio, member), text, initial, NULL                         \
    }
#define SWITCHES                                                                                   \
    SWITCH("packed", packed, "packed queues, for drivers that know them", "off"),                  \
        SWITCH("indirect_desc", indirect, "descriptors of tables of them", "on"),                  \
        SWITCH("event_idx", event_idx, "events where the other side wants them", "on")

static const Property pci_properties[] = {
    SWITCHES,
    SWITCH("disable-legacy", no_legacy, "not for drivers of before virtio 1.0", "off"),
    SWITCH("disable-modern", no_modern, "only for those", "off"),
    PROPERTY_END,
};

static const Property mmio_properties[] = {
    SWITCHES,
    SWITCH("force-legacy", force_legacy, "for drivers of before virtio 1.0", "off"),
    PROPERTY_END,
};

const DeviceFamily virtio_pci_family = {pci_fields, pci_properties};
const DeviceFamily virtio_mmio_family = {state, mmio_properties};
