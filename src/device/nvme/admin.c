/* Commands of the admin queue (5): queues, features, events. */
#include <string.h>

#include "base/bytes.h"
#include "device/nvme/nvme.h"

enum {
    CONTIGUOUS = 1, /* DW11 of the commands that create queues */
    INTERRUPTS = 2,
    SAVE = 1u << 31,    /* DW10 of SET FEATURES */
    SELECT_CURRENT = 0, /* DW10 of GET FEATURES, bits 8 to 10 */
    SELECT_CAPABILITIES = 3,
    CHANGEABLE = 4,
};

static u32 queue_of(const NvmeRequest *r)
{
    return r->command.dword[0] & 0xffff;
}

static u64 address_of(const NvmeRequest *r)
{
    return get_le(r->command.data, 8);
}

/* -- Queues (5.3 to 5.6) */

/* What creating either kind checks; its size is left in *size. */
static u16 check_new_queue(const Nvme *n, const NvmeRequest *r, u32 present, u32 *size)
{
    u32 id = queue_of(r);

    *size = (r->command.dword[0] >> 16) + 1;
    if (!id || id > n->queue_limit || present) {
        return NVME_INVALID_QUEUE | NVME_NO_RETRY;
    }
    if (*size < 2 || *size > NVME_QUEUE_SIZE) {
        return NVME_INVALID_QUEUE_SIZE | NVME_NO_RETRY;
    }
    if (!(r->command.dword[1] & CONTIGUOUS)) {
        return NVME_INVALID_FIELD | NVME_NO_RETRY;
    }
    return address_of(r) % nvme_page(n) ? NVME_INVALID_PRP_OFFSET | NVME_NO_RETRY : NVME_SUCCESS;
}

static u16 create_completion_queue(Nvme *n, NvmeRequest *r)
{
    u32 id = queue_of(r) % NVME_QUEUES, size, flags = r->command.dword[1];
    u16 status = check_new_queue(n, r, n->completion[id].size, &size);

    if (status != NVME_SUCCESS) {
        return status;
    }
    if (flags >> 16 >= n->vector_count) {
        return NVME_INVALID_VECTOR | NVME_NO_RETRY;
    }
    n->completion[id] = (NvmeCompletionQueue){.base = address_of(r),
                                              .size = size,
                                              .vector = (u16)(flags >> 16),
                                              .interrupts = (flags & INTERRUPTS) != 0,
                                              .phase = 1};
    return NVME_SUCCESS;
}

static u16 create_submission_queue(Nvme *n, NvmeRequest *r)
{
    u32 id = queue_of(r) % NVME_QUEUES, size, completion = r->command.dword[1] >> 16;
    u16 status = check_new_queue(n, r, n->submission[id].size, &size);

    if (status != NVME_SUCCESS) {
        return status;
    }
    if (!completion || completion >= NVME_QUEUES) {
        return NVME_INVALID_QUEUE | NVME_NO_RETRY;
    }
    if (!n->completion[completion].size) {
        return NVME_INVALID_COMPLETION_QUEUE | NVME_NO_RETRY;
    }
    n->submission[id] =
        (NvmeSubmissionQueue){.base = address_of(r), .size = size, .completion = (u16)completion};
    return NVME_SUCCESS;
}

static u16 delete_submission_queue(Nvme *n, NvmeRequest *r)
{
    u32 id = queue_of(r);

    if (!id || id >= NVME_QUEUES || !n->submission[id].size) {
        return NVME_INVALID_QUEUE | NVME_NO_RETRY;
    }
    nvme_abort_queue(n, (u16)id);
    n->submission[id] = (NvmeSubmissionQueue){0};
    return NVME_SUCCESS;
}

static u16 delete_completion_queue(Nvme *n, NvmeRequest *r)
{
    u32 id = queue_of(r);

    if (!id || id >= NVME_QUEUES || !n->completion[id].size) {
        return NVME_INVALID_QUEUE | NVME_NO_RETRY;
    }
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        if (n->submission[i].size && n->submission[i].completion == id) {
            return NVME_INVALID_DELETION | NVME_NO_RETRY;
        }
    }
    n->completion[id] = (NvmeCompletionQueue){0};
    nvme_update_interrupt(n);
    return NVME_SUCCESS;
}

/* -- Features (5.21) */

static const struct {
    u8 id;
    bool changeable;
    u32 mask; /* bits of DW11 that it has */
} features[] = {
    {NVME_FEATURE_ARBITRATION, true, 0xffffff07},
    {NVME_FEATURE_POWER, true, 0xff},
    {NVME_FEATURE_TEMPERATURE, true, 0x003fffff},
    {NVME_FEATURE_RECOVERY, true, 0x1ffff},
    {NVME_FEATURE_WRITE_CACHE, true, 1},
    {NVME_FEATURE_QUEUES, true, 0},
    {NVME_FEATURE_COALESCING, true, 0xffff},
    {NVME_FEATURE_VECTOR, true, 0},
    {NVME_FEATURE_ATOMICITY, true, 1},
    {NVME_FEATURE_EVENTS, true, 0xffff},
};

static u32 number_of_queues(const Nvme *n)
{
    return (n->queue_limit - 1) << 16 | (n->queue_limit - 1);
}

/* The threshold is of the composite temperature, from above or below; there are no other sensors.
 */
static void set_threshold(Nvme *n, u32 value)
{
    bool below = value >> 20 & 3;

    if (value >> 16 & 15) {
        return;
    }
    if (!below) {
        n->features[NVME_FEATURE_TEMPERATURE] = value & 0xffff;
    }
    if (below ? NVME_TEMPERATURE <= (value & 0xffff) : NVME_TEMPERATURE >= (value & 0xffff)) {
        nvme_raise_event(n, NVME_EVENT_TEMPERATURE);
    }
}

static u16 set_features(Nvme *n, NvmeRequest *r)
{
    u32 id = r->command.dword[0] & 0xff, value = r->command.dword[1];

    if (r->command.dword[0] & SAVE) {
        return NVME_CANNOT_SAVE | NVME_NO_RETRY;
    }
    for (size_t i = 0; i < COUNT(features); i++) {
        if (features[i].id != id) {
            continue;
        }
        if (id == NVME_FEATURE_QUEUES) {
            r->result = number_of_queues(n);
        } else if (id == NVME_FEATURE_TEMPERATURE) {
            set_threshold(n, value);
        } else if (id == NVME_FEATURE_POWER && value & 0x1f) {
            return NVME_INVALID_FIELD | NVME_NO_RETRY; /* there is one state */
        } else {
            n->features[id] = value & features[i].mask;
        }
        return NVME_SUCCESS;
    }
    return NVME_INVALID_FIELD | NVME_NO_RETRY;
}

static u32 default_of(u32 id)
{
    return id == NVME_FEATURE_TEMPERATURE   ? NVME_TEMPERATURE + 30
           : id == NVME_FEATURE_WRITE_CACHE ? 1
                                            : 0;
}

static u16 get_features(Nvme *n, NvmeRequest *r)
{
    u32 id = r->command.dword[0] & 0xff, select = r->command.dword[0] >> 8 & 7;

    for (size_t i = 0; i < COUNT(features); i++) {
        if (features[i].id != id) {
            continue;
        }
        if (select == SELECT_CAPABILITIES) {
            r->result = features[i].changeable ? CHANGEABLE : 0;
        } else if (id == NVME_FEATURE_QUEUES) {
            r->result = number_of_queues(n);
        } else if (id == NVME_FEATURE_VECTOR) {
            r->result = r->command.dword[1] & 0xffff;
        } else {
            r->result = select == SELECT_CURRENT ? n->features[id] : default_of(id);
        }
        return NVME_SUCCESS;
    }
    return NVME_INVALID_FIELD | NVME_NO_RETRY;
}

/* -- Events, and what is left */

static u16 request_event(Nvme *n, NvmeRequest *r)
{
    if (n->event_request_count == NVME_EVENT_REQUESTS) {
        return NVME_TOO_MANY_EVENT_REQUESTS | NVME_NO_RETRY;
    }
    n->event_requests[n->event_request_count++] = r->command.id;
    return NVME_HELD;
}

/* Only requests for events can be aborted (5.1): all others are at the disk and end soon. */
static u16 abort_command(Nvme *n, NvmeRequest *r)
{
    u16 queue = (u16)r->command.dword[0], id = (u16)(r->command.dword[0] >> 16);

    r->result = 1; /* not aborted */
    for (unsigned i = 0; queue == 0 && i < n->event_request_count; i++) {
        if (n->event_requests[i] == id && nvme_has_room(n, 0)) {
            n->event_requests[i] = n->event_requests[--n->event_request_count];
            nvme_post(n, 0, 0, id, NVME_ABORTED, 0);
            r->result = 0;
            break;
        }
    }
    return NVME_SUCCESS;
}

/* FIRMWARE COMMIT (5.12): there is one slot, and nothing to put there. */
static u16 commit_firmware(Nvme *n, NvmeRequest *r)
{
    (void)n, (void)r;
    return NVME_INVALID_FIRMWARE_SLOT | NVME_NO_RETRY;
}

static const struct {
    u8 opcode;
    u16 (*run)(Nvme *n, NvmeRequest *request);
} commands[] = {
    {0x00, delete_submission_queue},
    {0x01, create_submission_queue},
    {0x02, nvme_get_log},
    {0x04, delete_completion_queue},
    {0x05, create_completion_queue},
    {0x06, nvme_identify},
    {0x08, abort_command},
    {0x09, set_features},
    {0x0a, get_features},
    {0x0c, request_event},
    {0x10, commit_firmware},
    {0x80, nvme_format},
};

u16 nvme_admin(Nvme *n, NvmeRequest *r)
{
    if (r->command.flags & 3) {
        return NVME_INVALID_FIELD | NVME_NO_RETRY; /* commands cannot be fused */
    }
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (commands[i].opcode == r->command.opcode) {
            u16 status = commands[i].run(n, r);
            nvme_send_events(n);
            return status;
        }
    }
    return NVME_INVALID_OPCODE | NVME_NO_RETRY;
}
