/* Log pages (5.14) and asynchronous events (5.2). */
#include <string.h>

#include "base/bytes.h"
#include "device/nvme/nvme.h"

enum {
    LOG_ERRORS = 1,
    LOG_HEALTH = 2,
    LOG_FIRMWARE = 3,
    LOG_EFFECTS = 5,
    KEEP_EVENTS = 1 << 15, /* DW10: reading the page does not let more events of its type happen */
    ERROR_SIZE = 64,
    SUPPORTED = 1, /* of a command's effects */
    CHANGES_DATA = 2,
    UNIT = 1000, /* sectors */
};

/* -- Events */

static u8 type_of(u32 event)
{
    return event & 7;
}

void nvme_send_events(Nvme *n)
{
    for (unsigned i = 0; i < n->event_count;) {
        u32 event = n->events[i];
        if (!n->event_request_count || !nvme_has_room(n, 0)) {
            return;
        }
        if (n->events_masked & 1 << type_of(event)) {
            i++;
            continue;
        }
        memmove(&n->events[i], &n->events[i + 1], (n->event_count - i - 1) * sizeof *n->events);
        n->event_count--;
        n->events_masked |= (u8)(1 << type_of(event));
        nvme_post(n, 0, 0, n->event_requests[--n->event_request_count], NVME_SUCCESS, event);
    }
}

/* One of a kind waits at most. */
void nvme_raise_event(Nvme *n, u32 event)
{
    for (unsigned i = 0; i < n->event_count; i++) {
        if (n->events[i] == event) {
            return;
        }
    }
    if (n->event_count < NVME_EVENTS) {
        n->events[n->event_count++] = event;
    }
    nvme_send_events(n);
}

/* -- Errors */

void nvme_log_error(Nvme *n, const NvmeRequest *r, u16 status)
{
    bool has_lba = r->queue && r->command.opcode;

    n->errors[n->error_count++ % NVME_ERRORS] = (NvmeError){
        .number = n->error_count,
        .queue = r->queue,
        .command = r->command.id,
        .status = (u16)(status << 1),
        .namespace = r->command.namespace,
        .lba = has_lba ? (u64)r->command.dword[1] << 32 | r->command.dword[0] : 0,
    };
}

/* The newest first. */
static void fill_errors(const Nvme *n, u8 *b)
{
    for (unsigned i = 0; i < MIN(n->error_count, (u64)NVME_ERRORS); i++, b += ERROR_SIZE) {
        const NvmeError *e = &n->errors[(n->error_count - 1 - i) % NVME_ERRORS];
        put_le(b, e->number, 8);
        put_le(b + 8, e->queue, 2);
        put_le(b + 10, e->command, 2);
        put_le(b + 12, e->status, 2);
        put_le(b + 14, 0xffff, 2); /* which parameter it was is not known */
        put_le(b + 16, e->lba, 8);
        put_le(b + 24, e->namespace, 4);
    }
}

/* -- Other pages */

/* Figure 194. */
static void fill_health(const Nvme *n, u8 *b)
{
    put_le(b + 1, NVME_TEMPERATURE, 2);
    b[0] = NVME_TEMPERATURE >= n->features[NVME_FEATURE_TEMPERATURE] ? 2 : 0;
    b[3] = 100; /* per cent of the spare is there, and 10 are needed */
    b[4] = 10;
    put_le(b + 32, (n->sectors_read + UNIT - 1) / UNIT, 8);
    put_le(b + 48, (n->sectors_written + UNIT - 1) / UNIT, 8);
    put_le(b + 64, n->reads, 8);
    put_le(b + 80, n->writes, 8);
    put_le(b + 112, 1, 8); /* switched on once */
    put_le(b + 128, clock_now(n->pci.d.board->clock) / NANOSECONDS / 3600, 8);
    put_le(b + 160, n->media_errors, 8);
    put_le(b + 176, n->error_count, 8);
}

static void fill_firmware(u8 *b)
{
    b[0] = 1; /* the first slot is in use */
    memcpy(b + 8, "1.0     ", 8);
}

/* Figure 204: a number for each command. */
static void fill_effects(u8 *b)
{
    static const u8 admin[] = {0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x10};
    static const u8 reading[] = {0x00, 0x02, 0x05}, writing[] = {0x01, 0x08, 0x09};

    for (size_t i = 0; i < sizeof admin; i++) {
        put_le(b + 4 * admin[i], SUPPORTED, 4);
    }
    put_le(b + 4 * 0x80, SUPPORTED | CHANGES_DATA, 4);
    for (size_t i = 0; i < sizeof reading; i++) {
        put_le(b + 1024 + 4 * reading[i], SUPPORTED, 4);
        put_le(b + 1024 + 4 * writing[i], SUPPORTED | CHANGES_DATA, 4);
    }
}

/* The events, a bit for each type, that reading a page lets happen again. */
static u8 mask_of(u32 log)
{
    return log == LOG_ERRORS ? 1 << 0 : log == LOG_HEALTH ? 1 << 1 : 0;
}

u16 nvme_get_log(Nvme *n, NvmeRequest *r)
{
    const u32 *d = r->command.dword;
    u8 bytes[NVME_PAGE] = {0}, part[NVME_PAGE] = {0};
    u64 offset = (u64)d[3] << 32 | d[2];
    u64 size = ((u64)(d[1] & 0xffff) << 16 | d[0] >> 16) * 4 + 4;

    switch (d[0] & 0xff) {
    case LOG_ERRORS:
        fill_errors(n, bytes);
        break;
    case LOG_HEALTH:
        fill_health(n, bytes);
        break;
    case LOG_FIRMWARE:
        fill_firmware(bytes);
        break;
    case LOG_EFFECTS:
        fill_effects(bytes);
        break;
    default:
        return NVME_INVALID_LOG | NVME_NO_RETRY;
    }
    if (offset >= sizeof bytes || offset % 4) {
        return NVME_INVALID_FIELD | NVME_NO_RETRY;
    }
    if (!(d[0] & KEEP_EVENTS)) {
        n->events_masked &= (u8)~mask_of(d[0] & 0xff);
    }
    memcpy(part, bytes + offset, sizeof bytes - offset); /* zeroes behind it */
    return nvme_copy_in(n, r, part, (u32)MIN(size, (u64)sizeof part));
}
