/* The log of VHDX images: finds the newest complete sequence of entries and applies it ([MS-VHDX]
 * 2.3). Nothing is ever written to the log: see vhdx.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/vhdx.h"

/* Offsets of fields of a log entry's header, and of its descriptors. */
enum {
    ENTRY_LENGTH = 8,
    TAIL = 12,
    SEQUENCE = 16,
    DESCRIPTORS = 24,
    LOG_GUID = 32,
    FLUSHED_SIZE = 48,
    LAST_SIZE = 56,
    ENTRY_HEADER = 64,
    DESCRIPTOR = 32,
    TRAILING = 4,
    LEADING = 8, /* of a zero descriptor: how many */
    TARGET = 16,
    DESCRIPTOR_SEQUENCE = 24,
    LOG_LIMIT = 256 << 20,
};

/* What eight steps of the CRC make of each byte. */
static void make_table(u32 table[256])
{
    enum { POLYNOMIAL_REFLECTED = (int)0x82f63b78 };

    for (u32 byte = 0; byte < 256; byte++) {
        table[byte] = byte;
        for (int bit = 0; bit < 8; bit++) {
            table[byte] = table[byte] >> 1 ^ ((0 - (table[byte] & 1)) & (u32)POLYNOMIAL_REFLECTED);
        }
    }
}

static u32 add_bytes(const u32 table[256], u32 crc, const u8 *bytes, size_t size)
{
    for (size_t n = 0; n < size; n++) {
        crc = crc >> 8 ^ table[(u8)crc ^ bytes[n]];
    }
    return crc;
}

u32 vhdx_checksum(const u8 *bytes, size_t size, size_t field)
{
    static const u8 zero[4];
    size_t after = field + sizeof zero;
    u32 table[256], crc;

    make_table(table);
    crc = add_bytes(table, ~0u, bytes, field);
    crc = add_bytes(table, crc, zero, sizeof zero);
    return ~add_bytes(table, crc, bytes + after, size - after);
}

typedef struct Log {
    u8 *bytes; /* the whole ring */
    u32 size;
    const u8 *guid;
    u8 *entry; /* one entry, unwrapped; as large as the ring */
} Log;

/* Copies the entry at `at` out of the ring, if it is whole and of this log; its length or 0. */
static u32 take_entry(const Log *log, u32 at)
{
    const u8 *head = log->bytes + at;
    u32 length, first;

    if (memcmp(head, "loge", 4) != 0 || memcmp(head + LOG_GUID, log->guid, VHDX_GUID) != 0) {
        return 0;
    }
    length = le32_get(head + ENTRY_LENGTH);
    if (length < VHDX_SECTOR || length % VHDX_SECTOR || length > log->size ||
        le32_get(head + TAIL) % VHDX_SECTOR || le32_get(head + TAIL) >= log->size) {
        return 0;
    }
    first = MIN(length, log->size - at);
    memcpy(log->entry, head, first);
    memcpy(log->entry + first, log->bytes, length - first);
    if (vhdx_checksum(log->entry, length, VHDX_CHECKSUM) != le32_get(log->entry + VHDX_CHECKSUM)) {
        return 0;
    }
    return length;
}

/* Bytes from the start of an entry to its data sectors; 0 if there are too many descriptors. */
static u64 head_size(const u8 *entry)
{
    u64 bytes = ENTRY_HEADER + (u64)le32_get(entry + DESCRIPTORS) * DESCRIPTOR;

    return ALIGN_UP(bytes, (u64)VHDX_SECTOR);
}

/* One descriptor; *data is the next data sector. */
static int apply_descriptor(BlockNode *file, const u8 *d, const u8 **data, const u8 *end)
{
    u8 sector[VHDX_SECTOR];
    u64 target = le64_get(d + TARGET);

    if (target % VHDX_SECTOR) {
        return -EINVAL;
    }
    if (!memcmp(d, "zero", 4)) {
        u64 bytes = le64_get(d + LEADING);
        return bytes % VHDX_SECTOR || target + bytes < target ? -EINVAL
                                                              : block_zero(file, target, bytes, 0);
    }
    if (memcmp(d, "desc", 4) != 0 || *data + VHDX_SECTOR > end || memcmp(*data, "data", 4) != 0) {
        return -EINVAL;
    }
    memcpy(sector, d + LEADING, 8);
    memcpy(sector + 8, *data + 8, VHDX_SECTOR - 12);
    memcpy(sector + VHDX_SECTOR - 4, d + TRAILING, 4);
    *data += VHDX_SECTOR;
    return block_pwrite(file, target, sector, sizeof sector, 0);
}

static int apply_entry(BlockNode *file, const Log *log, u32 length)
{
    u64 head = head_size(log->entry);
    const u8 *data = log->entry + head;
    int result = head > length ? -EINVAL : 0;

    for (u32 n = 0; n < le32_get(log->entry + DESCRIPTORS) && result >= 0; n++) {
        const u8 *d = log->entry + ENTRY_HEADER + (size_t)n * DESCRIPTOR;
        result = le64_get(d + DESCRIPTOR_SEQUENCE) != le64_get(log->entry + SEQUENCE)
                     ? -EINVAL
                     : apply_descriptor(file, d, &data, log->entry + length);
    }
    if (result >= 0 && le64_get(log->entry + LAST_SIZE) > block_size(file)) {
        BlockError ignored;
        result =
            block_truncate(file, le64_get(log->entry + LAST_SIZE), BLOCK_PREALLOC_OFF, &ignored);
    }
    return result;
}

/* A run of entries with consecutive numbers. */
typedef struct Sequence {
    u32 tail, count; /* where it begins, how many entries */
    u64 last;        /* number of the last */
} Sequence;

/* The run that begins at `at`; it counts only when its last entry's tail is in it. */
static Sequence follow(const Log *log, u32 at)
{
    Sequence s = {.tail = at};
    u32 tail = log->size, covered = 0, length;

    while (covered < log->size && (length = take_entry(log, at)) != 0) {
        u64 number = le64_get(log->entry + SEQUENCE);
        if (s.count && number != s.last + 1) {
            break;
        }
        s.last = number;
        s.count++;
        tail = le32_get(log->entry + TAIL);
        covered += length;
        at = (at + length) % log->size;
    }
    /* What lies before the last entry's tail is in the file already. */
    if (s.count && (tail - s.tail + log->size) % log->size >= covered) {
        s.count = 0;
    }
    return s;
}

static int apply_newest(BlockNode *file, const Log *log)
{
    Sequence newest = {0};
    int result = 0;

    for (u32 at = 0; at < log->size; at += VHDX_SECTOR) {
        Sequence s = follow(log, at);
        if (s.count && s.last > newest.last) {
            newest = s;
        }
    }
    for (u32 n = 0, at = newest.tail; n < newest.count && result >= 0; n++) {
        u32 length = take_entry(log, at);
        result = apply_entry(file, log, length);
        at = (at + length) % log->size;
    }
    return result;
}

int vhdx_replay(BlockNode *file, const u8 *header, BlockError *error)
{
    u64 offset = le64_get(header + VHDX_LOG_OFFSET);
    Log log = {.size = le32_get(header + VHDX_LOG_LENGTH), .guid = header + VHDX_LOG_GUID};
    int result;

    if (block_is_zero(log.guid, VHDX_GUID)) {
        return 0;
    }
    if (log.size == 0 || log.size % VHDX_MIB || log.size > LOG_LIMIT || offset % VHDX_MIB) {
        return block_error(error, EINVAL, "the VHDX log has an impossible size or place");
    }
    log.bytes = malloc(log.size);
    log.entry = malloc(log.size);
    result = log.bytes && log.entry ? block_read_exact(file, offset, log.bytes, log.size) : -ENOMEM;
    result = result < 0 ? result : apply_newest(file, &log);
    result = result < 0 ? result : block_flush(file);
    free(log.bytes);
    free(log.entry);
    return result < 0
               ? block_error(error, -result, "cannot replay the VHDX log: %s", strerror(-result))
               : 0;
}
