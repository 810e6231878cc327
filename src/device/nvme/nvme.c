/* "nvme": an NVM Express controller with one namespace, over PCI (NVM Express 1.4; numbers of
 * sections and figures are its).
 *
 * The guest writes commands into submission queues in its memory and rings a doorbell; each is read
 * once, checked, and run at the disk. When it ends, an entry is added to the completion queue that
 * its queue goes with. A command is taken only when that has room for its end, so that no end ever
 * has to wait. Commands of the admin queue are in admin.c, those of the others in io.c. */
#include "device/nvme/nvme.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/devices.h"

enum {
    COMMAND_SIZE = 64,
    COMPLETION_SIZE = 16,
    ENABLE = 1, /* CC */
    COMMAND_SET = 7 << 4,
    ARBITRATION = 7 << 11,
    SHUTDOWN = 3 << 14,
    SHUTDOWN_NORMAL = 1 << 14,
    CONFIGURATION_WRITABLE = 0x00fffff1,
    READY = 1, /* CSTS */
    FATAL = 2,
    SHUTDOWN_STATUS = 3 << 2,
    SHUTDOWN_UNDER_WAY = 1 << 2,
    SHUTDOWN_COMPLETE = 2 << 2,
    VERSION = 0x00010400,
    LARGEST_PAGE = 4, /* CAP.MPSMAX: 64 KiB */
    DOORBELLS = 0x1000,
    LARGEST_STRIDE = 4,
};

/* -- Interrupts (7.5) */

void nvme_update_interrupt(Nvme *n)
{
    bool level = false;

    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        const NvmeCompletionQueue *q = &n->completion[i];
        level |= q->size && q->interrupts && q->head != q->tail &&
                 !(q->vector < 32 && n->mask >> q->vector & 1);
    }
    pci_set_interrupt(n, level && !pci_msix_enabled(n));
}

static void signal(Nvme *n, const NvmeCompletionQueue *q)
{
    if (!pci_msix_enabled(n)) {
        nvme_update_interrupt(n);
    } else if (q->interrupts) {
        pci_send_message(n, q->vector);
    }
}

/* -- Completion queues */

static u32 count_used(const NvmeCompletionQueue *q)
{
    return (q->tail + q->size - q->head) % q->size;
}

bool nvme_has_room(const Nvme *n, u16 queue)
{
    const NvmeCompletionQueue *q = &n->completion[queue];

    return q->size && count_used(q) + q->reserved < q->size - 1;
}

void nvme_post(Nvme *n, u16 queue, u16 submission, u16 command, u16 status, u32 result)
{
    NvmeCompletionQueue *q = &n->completion[queue];
    u8 entry[COMPLETION_SIZE] = {0};

    put_le(entry, result, 4);
    put_le(entry + 8, n->submission[submission].head, 2);
    put_le(entry + 10, submission, 2);
    put_le(entry + 12, command, 2);
    put_le(entry + 14, (u32)status << 1 | q->phase, 2);
    dma_write(nvme_dma(n), q->base + (u64)q->tail * COMPLETION_SIZE, entry, sizeof entry);
    if (++q->tail == q->size) {
        q->tail = 0;
        q->phase ^= 1;
    }
    signal(n, q);
}

/* -- Requests */

static NvmeRequest *take_request(Nvme *n)
{
    NvmeRequest *r = n->free;

    if (r) {
        n->free = r->next;
    } else {
        r = calloc(1, sizeof *r);
        if (!r) {
            abort();
        }
    }
    r->nvme = n;
    r->result = 0;
    r->data.count = 0;
    r->next = n->busy;
    n->busy = r;
    n->in_flight++;
    return r;
}

static void put_request(NvmeRequest *r)
{
    Nvme *n = r->nvme;
    NvmeRequest **at = &n->busy;

    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    free(r->buffer);
    r->buffer = NULL;
    r->next = n->free;
    n->free = r;
    n->in_flight--;
}

static void run_queue(Nvme *n, u16 queue);

static void run_queues(Nvme *n)
{
    n->stalled = false;
    for (u16 i = 0; i < NVME_QUEUES; i++) {
        run_queue(n, i);
    }
}

/* Without looking for more to do. */
static void end(NvmeRequest *r, u16 status)
{
    Nvme *n = r->nvme;
    u16 queue = n->submission[r->queue].completion;

    if (status != NVME_SUCCESS) {
        nvme_log_error(n, r, status);
    }
    n->completion[queue].reserved--;
    nvme_post(n, queue, r->queue, r->command.id, status, r->result);
    put_request(r);
}

/* Goes on with what had to wait for a request. */
static void resume(Nvme *n)
{
    if (n->stalled && n->in_flight < NVME_REQUESTS) {
        run_queues(n);
    }
}

void nvme_complete(NvmeRequest *r, u16 status)
{
    Nvme *n = r->nvme;

    end(r, status);
    resume(n);
}

/* Waits for the disk without hearing of the end. */
static void cancel(NvmeRequest *r)
{
    disk_cancel(&r->disk);
    if (r->disk.block.op == BLOCK_OP_READ) {
        nvme_unmap(r->nvme, &r->data);
    }
}

static NvmeRequest *find_request(const Nvme *n, u16 queue)
{
    NvmeRequest *r = n->busy;

    while (r && r->queue != queue) {
        r = r->next;
    }
    return r;
}

/* Other requests may end meanwhile; they must not make room for new ones before all is done. */
void nvme_abort_queue(Nvme *n, u16 queue)
{
    bool stalled = n->stalled;
    NvmeRequest *r;

    n->stalled = false;
    while ((r = find_request(n, queue)) != NULL) {
        cancel(r);
        end(r, NVME_QUEUE_DELETED);
    }
    n->stalled = stalled;
}

/* -- Submission queues */

static void parse(NvmeCommand *c, const u8 *bytes)
{
    c->opcode = bytes[0];
    c->flags = bytes[1];
    c->id = (u16)get_le(bytes + 2, 2);
    c->namespace = (u32)get_le(bytes + 4, 4);
    memcpy(c->data, bytes + 24, sizeof c->data);
    for (unsigned i = 0; i < COUNT(c->dword); i++) {
        c->dword[i] = (u32)get_le(bytes + 40 + 4 * i, 4);
    }
}

static void run_command(Nvme *n, u16 queue)
{
    NvmeSubmissionQueue *q = &n->submission[queue];
    NvmeRequest *r = take_request(n);
    u8 bytes[COMMAND_SIZE] = {0};
    u16 status;

    dma_read(nvme_dma(n), q->base + (u64)q->head * COMMAND_SIZE, bytes, sizeof bytes);
    q->head = (q->head + 1) % q->size;
    parse(&r->command, bytes);
    r->queue = queue;
    n->completion[q->completion].reserved++;
    status = queue ? nvme_io(n, r) : nvme_admin(n, r);
    if (status == NVME_HELD) {
        n->completion[q->completion].reserved--;
        put_request(r);
    } else if (status != NVME_PENDING) {
        end(r, status);
    }
}

/* Takes what there is, as long as something can be done about it. */
static void run_queue(Nvme *n, u16 queue)
{
    const NvmeSubmissionQueue *q = &n->submission[queue];

    while (q->size && q->head != q->tail && n->status & READY && pci_is_master(n) &&
           nvme_has_room(n, q->completion)) {
        if (n->in_flight == NVME_REQUESTS) {
            n->stalled = true;
            break;
        }
        run_command(n, queue);
    }
}

/* -- Doorbells (3.1.24, 3.1.25) */

static void ring_submission(Nvme *n, u16 queue, u32 value)
{
    NvmeSubmissionQueue *q = &n->submission[queue];

    if (value >= q->size) {
        nvme_raise_event(n, q->size ? NVME_EVENT_DOORBELL_VALUE : NVME_EVENT_DOORBELL);
        return;
    }
    q->tail = value;
    run_queue(n, queue);
    resume(n);
}

static void ring_completion(Nvme *n, u16 queue, u32 value)
{
    NvmeCompletionQueue *q = &n->completion[queue];

    if (value >= q->size) {
        nvme_raise_event(n, q->size ? NVME_EVENT_DOORBELL_VALUE : NVME_EVENT_DOORBELL);
        return;
    }
    if ((value + q->size - q->head) % q->size > count_used(q)) {
        nvme_raise_event(n, NVME_EVENT_DOORBELL_VALUE); /* entries that are not there yet */
        return;
    }
    q->head = value;
    nvme_update_interrupt(n);
    nvme_send_events(n);
    for (u16 i = 0; i < NVME_QUEUES; i++) {
        if (n->submission[i].completion == queue) {
            run_queue(n, i);
        }
    }
    resume(n);
}

static void write_doorbell(void *device, u32 index, u64 value)
{
    Nvme *n = device;
    u32 queue = index >> n->stride >> 1;

    if (!(n->status & READY)) {
        return;
    }
    if (index & ((1u << n->stride) - 1) || queue >= NVME_QUEUES) {
        device_guest_error(n, "there is no doorbell at %#x", DOORBELLS + index * 4);
        nvme_raise_event(n, NVME_EVENT_DOORBELL);
    } else if (index >> n->stride & 1) {
        ring_completion(n, (u16)queue, (u32)value & 0xffff);
    } else {
        ring_submission(n, (u16)queue, (u32)value & 0xffff);
    }
}

/* -- Starting and stopping (7.6) */

/* Nothing is going on any more, and nobody is told. */
static void drop_requests(Nvme *n)
{
    n->stalled = false; /* or those that end meanwhile make room for new ones */
    disk_cancel(&n->flush);
    while (n->busy) {
        NvmeRequest *r = n->busy;
        cancel(r);
        put_request(r);
    }
}

/* What a controller reset resets, which the registers of the admin queues outlive. */
static void reset_controller(Nvme *n)
{
    drop_requests(n);
    memset(n->submission, 0, sizeof n->submission);
    memset(n->completion, 0, sizeof n->completion);
    memset(n->features, 0, sizeof n->features);
    n->features[NVME_FEATURE_TEMPERATURE] = NVME_TEMPERATURE + 30;
    n->features[NVME_FEATURE_WRITE_CACHE] = 1;
    n->event_request_count = n->event_count = n->events_masked = 0;
    n->mask = 0;
    n->status = 0;
    nvme_update_interrupt(n);
}

/* Why it cannot start; NULL: it can. */
static const char *find_fault(const Nvme *n)
{
    u32 page = n->configuration >> 7 & 15;

    if (page > LARGEST_PAGE) {
        return "pages larger than it can";
    }
    if (n->configuration & (COMMAND_SET | ARBITRATION)) {
        return "a command set or arbitration that it has not";
    }
    if (n->admin_submission % nvme_page(n) || n->admin_completion % nvme_page(n)) {
        return "an admin queue that does not begin with a page";
    }
    if (!(n->admin_sizes & 0xfff) || !(n->admin_sizes >> 16)) {
        return "an admin queue with one entry";
    }
    return NULL;
}

static void start_controller(Nvme *n)
{
    const char *fault = find_fault(n);

    if (fault) {
        device_guest_error(n, "is to be started with %s", fault);
        n->status = FATAL;
        return;
    }
    n->submission[0] =
        (NvmeSubmissionQueue){.base = n->admin_submission, .size = (n->admin_sizes & 0xfff) + 1};
    n->completion[0] = (NvmeCompletionQueue){.base = n->admin_completion,
                                             .size = (n->admin_sizes >> 16) + 1,
                                             .interrupts = 1,
                                             .phase = 1};
    n->status = READY;
}

static void shut_down(DiskRequest *request, int result)
{
    Nvme *n = request->opaque;

    (void)result;
    n->status = (n->status & ~(u32)SHUTDOWN_STATUS) | SHUTDOWN_COMPLETE;
}

static void start_shutdown(Nvme *n)
{
    n->status = (n->status & ~(u32)SHUTDOWN_STATUS) | SHUTDOWN_UNDER_WAY;
    n->flush.done = shut_down;
    n->flush.opaque = n;
    n->flush.block = (BlockRequest){.op = BLOCK_OP_FLUSH};
    disk_submit(n->disk, &n->flush);
}

static void write_configuration(void *device, u64 value)
{
    Nvme *n = device;
    u32 old = n->configuration;

    n->configuration = (u32)value & CONFIGURATION_WRITABLE;
    if (~old & value & ENABLE) {
        start_controller(n);
    } else if (old & ~value & ENABLE) {
        reset_controller(n);
    }
    if (value & SHUTDOWN && !(old & SHUTDOWN) && !disk_is_busy(&n->flush)) {
        start_shutdown(n);
    } else if (!(value & SHUTDOWN) && !disk_is_busy(&n->flush)) {
        n->status &= ~(u32)SHUTDOWN_STATUS;
    }
}

/* -- Registers (3.1) */

static u64 read_capabilities(void *device)
{
    const Nvme *n = device;

    /* Contiguous queues; 7.5 s to start; the NVM command set. */
    return (NVME_QUEUE_SIZE - 1) | 1u << 16 | 15u << 24 | (u64)n->stride << 32 | (u64)1 << 37 |
           (u64)LARGEST_PAGE << 52;
}

static u64 read_version(void *device)
{
    (void)device;
    return VERSION;
}

static u64 read_mask(void *device)
{
    return ((Nvme *)device)->mask;
}

static void set_mask(void *device, u64 value)
{
    Nvme *n = device;

    n->mask |= (u32)value;
    nvme_update_interrupt(n);
}

static void clear_mask(void *device, u64 value)
{
    Nvme *n = device;

    n->mask &= ~(u32)value;
    nvme_update_interrupt(n);
}

static const Register registers[] = {
    {.at = 0x00, .name = "CAP", .width = 8, .read = read_capabilities},
    REG(0x08, "VS", REG_NONE, 0, 0, read_version, NULL),
    REG(0x0c, "INTMS", REG_NONE, 0, 0, read_mask, set_mask),
    REG(0x10, "INTMC", REG_NONE, 0, 0, read_mask, clear_mask),
    REG(0x14, "CC", REG_FIELD(Nvme, configuration), 0, 0, NULL, write_configuration),
    REG(0x1c, "CSTS", REG_FIELD(Nvme, status), 0, 0, NULL, NULL),
    REG(0x20, "NSSR", REG_NONE, 0, 0, NULL, NULL),
    REG(0x24, "AQA", REG_FIELD(Nvme, admin_sizes), 0, 0x0fff0fff, NULL, NULL),
    {.at = 0x28, .name = "ASQ", REG_FIELD(Nvme, admin_submission), .width = 8, .mask = ~(u64)0xfff},
    {.at = 0x30, .name = "ACQ", REG_FIELD(Nvme, admin_completion), .width = 8, .mask = ~(u64)0xfff},
    {.at = 0x38, .name = "none", .count = 12}, /* memory buffer, boot partitions */
    {.at = 0xe00, .name = "PMRCAP", .count = 8},
    {.at = DOORBELLS, .name = "DBL", .count = 0x400, .write_at = write_doorbell},
};

static const RegisterBank banks[] = {
    {.name = "nvme",
     .size = 0x4000,
     .region = offsetof(Nvme, region),
     .width = 4,
     .registers = registers,
     .count = COUNT(registers)},
    {.name = "nvme-msix", .region = offsetof(Nvme, msix_region)},
};

/* -- Description */

static int start(void *device, char **error)
{
    Nvme *n = device;

    if (!n->disk || !n->serial) {
        device_error(error, "nvme needs %s", n->disk ? "serial=TEXT" : "drive=ID");
        return -1;
    }
    if (n->queue_limit < 1 || n->queue_limit >= NVME_QUEUES) {
        device_error(error, "nvme: max_ioqpairs can be from 1 to %d", NVME_QUEUES - 1);
        return -1;
    }
    if (n->block_size != 512 && n->block_size != 4096) {
        device_error(error, "nvme: logical_block_size is 512 or 4096");
        return -1;
    }
    if (n->stride > LARGEST_STRIDE) {
        device_error(error, "nvme: doorbell_stride can be from 0 to %d", LARGEST_STRIDE);
        return -1;
    }
    n->vector_count = n->queue_limit + 1;
    pci_add_msix(n, 4, (u16)n->vector_count);
    return 0;
}

static void stop(void *device)
{
    Nvme *n = device;

    drop_requests(n);
    while (n->free) {
        NvmeRequest *r = n->free;
        n->free = r->next;
        free(r);
    }
}

static void reset(void *device)
{
    reset_controller(device);
}

/* A loaded queue is of a size that it can have, and its places are in it. */
static void bound_queues(Nvme *n)
{
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        NvmeSubmissionQueue *s = &n->submission[i];
        NvmeCompletionQueue *c = &n->completion[i];
        c->size = c->size > 1 && c->size <= 4096 ? c->size : 0;
        c->head %= MAX(c->size, 1u);
        c->tail %= MAX(c->size, 1u);
        c->phase &= 1;
        c->reserved = 0;
        s->completion %= NVME_QUEUES;
        s->size = s->size > 1 && s->size <= 4096 ? s->size : 0;
        s->head %= MAX(s->size, 1u);
        s->tail %= MAX(s->size, 1u);
    }
    for (unsigned i = 0; i < NVME_QUEUES; i++) { /* each goes with one that exists */
        NvmeSubmissionQueue *s = &n->submission[i];
        s->size = n->completion[s->completion].size ? s->size : 0;
    }
}

static void settle(void *device)
{
    Nvme *n = device;

    drop_requests(n);
    bound_queues(n);
    n->event_request_count = MIN(n->event_request_count, (u8)NVME_EVENT_REQUESTS);
    n->event_count = MIN(n->event_count, (u8)NVME_EVENTS);
    nvme_update_interrupt(n);
}

/* It may have become a bus master. */
static void config_written(void *device, u32 at, u32 size)
{
    (void)at, (void)size;
    run_queues(device);
}

static const PciInfo info = {
    .vendor = 0x1b36,
    .device = 0x0010,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x010802,
    .revision = 2,
    .interrupt_pin = 1,
    .bars = {[0] = {PCI_BAR_MEMORY64, 0}, [4] = {PCI_BAR_MEMORY, 1}},
    .config_written = config_written,
};

static const StateField submission_state[] = {
    STATE(NvmeSubmissionQueue, base),       STATE(NvmeSubmissionQueue, size),
    STATE(NvmeSubmissionQueue, head),       STATE(NvmeSubmissionQueue, tail),
    STATE(NvmeSubmissionQueue, completion), STATE_END,
};

static const StateField completion_state[] = {
    STATE(NvmeCompletionQueue, base),   STATE(NvmeCompletionQueue, size),
    STATE(NvmeCompletionQueue, head),   STATE(NvmeCompletionQueue, tail),
    STATE(NvmeCompletionQueue, vector), STATE(NvmeCompletionQueue, interrupts),
    STATE(NvmeCompletionQueue, phase),  STATE_END,
};

static const StateField error_state[] = {
    STATE(NvmeError, number),
    STATE(NvmeError, queue),
    STATE(NvmeError, command),
    STATE(NvmeError, status),
    STATE(NvmeError, namespace),
    STATE(NvmeError, lba),
    STATE_END,
};

static const StateField state[] = {
    PCI_STATE(Nvme),
    STATE(Nvme, mask),
    STATE_STRUCTS(Nvme, submission, submission_state),
    STATE_STRUCTS(Nvme, completion, completion_state),
    STATE_ARRAY(Nvme, features),
    STATE_ARRAY(Nvme, event_requests),
    STATE_ARRAY(Nvme, events),
    STATE(Nvme, event_request_count),
    STATE(Nvme, event_count),
    STATE(Nvme, events_masked),
    STATE_STRUCTS(Nvme, errors, error_state),
    STATE(Nvme, error_count),
    STATE(Nvme, sectors_read),
    STATE(Nvme, sectors_written),
    STATE(Nvme, reads),
    STATE(Nvme, writes),
    STATE(Nvme, media_errors),
    STATE_END,
};

static const Property properties[] = {
    {"drive", PROPERTY_BACKEND, offsetof(Nvme, disk), "the disk", NULL, "disk"},
    {"serial", PROPERTY_STRING, offsetof(Nvme, serial), "serial number, up to 20 characters", NULL,
     NULL},
    {"max_ioqpairs", PROPERTY_U32, offsetof(Nvme, queue_limit), "pairs of I/O queues, 1 to 63",
     "63", NULL},
    {"logical_block_size", PROPERTY_U32, offsetof(Nvme, block_size), "512 or 4096", "512", NULL},
    {"doorbell_stride", PROPERTY_U32, offsetof(Nvme, stride),
     "doorbells are 4 << N bytes apart, 0 to 4", "0", NULL},
    PROPERTY_END,
};

const DeviceDef device_nvme = {
    .name = "nvme",
    .summary = "NVM Express disk",
    .size = sizeof(Nvme),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .properties = properties,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
