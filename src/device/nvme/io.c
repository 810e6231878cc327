/* Commands of the I/O queues (6): reading, writing, and what else changes blocks. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/nvme/nvme.h"

enum {
    FLUSH = 0x00,
    WRITE = 0x01,
    READ = 0x02,
    COMPARE = 0x05,
    WRITE_ZEROES = 0x08,
    DATASET_MANAGEMENT = 0x09,
    FUA = 1 << 30, /* DW12 */
    DEALLOCATE = 1 << 25,
    DATASET_DEALLOCATE = 1 << 2, /* DW11 */
    RANGE_SIZE = 16,
    SECTOR = 512,
    ERASE_NONE = 0, /* secure erase settings of FORMAT */
    ERASE_DATA = 1,
};

u64 nvme_blocks(const Nvme *n)
{
    return disk_size(n->disk) / n->block_size;
}

static bool in_range(const Nvme *n, u64 lba, u64 count)
{
    u64 blocks = nvme_blocks(n);

    return lba <= blocks && count <= blocks - lba;
}

/* -- The disk */

static void submit(NvmeRequest *r, BlockOp op, u64 offset, u64 bytes, unsigned flags,
                   void (*done)(DiskRequest *disk, int result))
{
    Nvme *n = r->nvme;
    bool writes = op == BLOCK_OP_WRITE || op == BLOCK_OP_ZERO;

    if (writes && !n->features[NVME_FEATURE_WRITE_CACHE]) {
        flags |= BLOCK_FUA;
    }
    r->disk.done = done;
    r->disk.opaque = r;
    r->disk.block = (BlockRequest){
        .op = op, .flags = flags, .offset = offset, .bytes = bytes, .iov = r->data.iov};
    disk_submit(n->disk, &r->disk);
}

/* The status of a request that failed. */
static u16 error_of(const NvmeRequest *r)
{
    r->nvme->media_errors++;
    return r->disk.block.op == BLOCK_OP_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
}

static void done(DiskRequest *disk, int result)
{
    NvmeRequest *r = disk->opaque;

    if (disk->block.op == BLOCK_OP_READ) {
        nvme_unmap(r->nvme, &r->data);
    }
    nvme_complete(r, result < 0 ? error_of(r) : NVME_SUCCESS);
}

/* -- Commands with a range of blocks */

static u64 lba_of(const NvmeRequest *r)
{
    return (u64)r->command.dword[1] << 32 | r->command.dword[0];
}

static u32 count_of(const NvmeRequest *r)
{
    return (r->command.dword[2] & 0xffff) + 1;
}

/* Whether the range exists, and for those that transfer, may be that long. */
static u16 check_range(const Nvme *n, const NvmeRequest *r, bool transfers)
{
    if (transfers && (u64)count_of(r) * n->block_size > (u64)NVME_PAGE << NVME_TRANSFER_SHIFT) {
        return NVME_INVALID_FIELD | NVME_NO_RETRY;
    }
    return in_range(n, lba_of(r), count_of(r)) ? NVME_SUCCESS : NVME_OUT_OF_RANGE | NVME_NO_RETRY;
}

static u16 transfer(Nvme *n, NvmeRequest *r, BlockOp op)
{
    u64 bytes = (u64)count_of(r) * n->block_size;
    bool in = op == BLOCK_OP_READ;
    u16 status = check_range(n, r, true);

    if (status == NVME_SUCCESS) {
        status = nvme_map(n, &r->command, bytes, in, &r->data);
    }
    if (status != NVME_SUCCESS) {
        return status;
    }
    *(in ? &n->reads : &n->writes) += 1;
    *(in ? &n->sectors_read : &n->sectors_written) += bytes / SECTOR;
    submit(r, op, lba_of(r) * n->block_size, bytes,
           !in && r->command.dword[2] & FUA ? BLOCK_FUA : 0, done);
    return NVME_PENDING;
}

static u16 read_blocks(Nvme *n, NvmeRequest *r)
{
    return transfer(n, r, BLOCK_OP_READ);
}

static u16 write_blocks(Nvme *n, NvmeRequest *r)
{
    return transfer(n, r, BLOCK_OP_WRITE);
}

static u16 write_zeroes(Nvme *n, NvmeRequest *r)
{
    u32 flags = r->command.dword[2];
    u16 status = check_range(n, r, false);

    if (status != NVME_SUCCESS) {
        return status;
    }
    submit(r, BLOCK_OP_ZERO, lba_of(r) * n->block_size, (u64)count_of(r) * n->block_size,
           (flags & FUA ? BLOCK_FUA : 0) | (flags & DEALLOCATE ? BLOCK_MAY_UNMAP : 0), done);
    return NVME_PENDING;
}

static void *make_buffer(NvmeRequest *r, u32 size)
{
    r->buffer = malloc(size);
    if (!r->buffer) {
        abort();
    }
    r->size = size;
    r->at = 0;
    return r->buffer;
}

/* What was read is in the buffer; what it should be, in the guest's memory. */
static void compare_done(DiskRequest *disk, int result)
{
    NvmeRequest *r = disk->opaque;
    u16 status = nvme_map(r->nvme, &r->command, r->size, false, &r->data);
    const u8 *at = r->buffer;

    if (result < 0) {
        status = error_of(r);
    }
    for (u32 i = 0; status == NVME_SUCCESS && i < r->data.count; i++) {
        if (memcmp(at, r->data.iov[i].iov_base, r->data.iov[i].iov_len) != 0) {
            status = NVME_COMPARE_FAILED | NVME_NO_RETRY;
        }
        at += r->data.iov[i].iov_len;
    }
    nvme_complete(r, status);
}

static u16 compare(Nvme *n, NvmeRequest *r)
{
    u16 status = check_range(n, r, true);

    if (status != NVME_SUCCESS) {
        return status;
    }
    u32 bytes = count_of(r) * n->block_size;
    r->data.iov[0] = (struct iovec){make_buffer(r, bytes), bytes};
    submit(r, BLOCK_OP_READ, lba_of(r) * n->block_size, bytes, 0, compare_done);
    return NVME_PENDING;
}

/* -- Dataset management (6.7): ranges of attributes, count, LBA; one after the other */

static void discard_next(DiskRequest *disk, int result)
{
    NvmeRequest *r = disk->opaque;
    const Nvme *n = r->nvme;

    if (result < 0) {
        nvme_complete(r, error_of(r));
        return;
    }
    while (r->at < r->size) {
        const u8 *range = r->buffer + r->at;
        u64 count = get_le(range + 4, 4), lba = get_le(range + 8, 8);
        r->at += RANGE_SIZE;
        if (count) {
            submit(r, BLOCK_OP_DISCARD, lba * n->block_size, count * n->block_size, 0,
                   discard_next);
            return;
        }
    }
    nvme_complete(r, NVME_SUCCESS);
}

static u16 manage_dataset(Nvme *n, NvmeRequest *r)
{
    u32 count = (r->command.dword[0] & 0xff) + 1;
    u16 status;

    make_buffer(r, count * RANGE_SIZE);
    status = nvme_copy_out(n, r, r->buffer, r->size);
    if (status != NVME_SUCCESS || !(r->command.dword[1] & DATASET_DEALLOCATE)) {
        return status; /* the other attributes are hints */
    }
    for (u32 i = 0; i < count; i++) {
        const u8 *range = r->buffer + i * RANGE_SIZE;
        if (!in_range(n, get_le(range + 8, 8), get_le(range + 4, 4))) {
            return NVME_OUT_OF_RANGE | NVME_NO_RETRY;
        }
    }
    /* An empty one starts the chain. */
    submit(r, BLOCK_OP_DISCARD, 0, 0, 0, discard_next);
    return NVME_PENDING;
}

/* -- The rest */

static u16 flush(Nvme *n, NvmeRequest *r)
{
    (void)n;
    submit(r, BLOCK_OP_FLUSH, 0, 0, 0, done);
    return NVME_PENDING;
}

/* FORMAT NVM (5.23): the one format that there is. What was written is gone. */
u16 nvme_format(Nvme *n, NvmeRequest *r)
{
    u32 format = r->command.dword[0] & 15, protection = r->command.dword[0] >> 5 & 7;
    u32 erase = r->command.dword[0] >> 9 & 7;

    if (r->command.namespace != NVME_NAMESPACE &&
        r->command.namespace != (u32)NVME_ALL_NAMESPACES) {
        return NVME_INVALID_NAMESPACE | NVME_NO_RETRY;
    }
    if (format || protection) {
        return NVME_INVALID_FORMAT | NVME_NO_RETRY;
    }
    if (erase != ERASE_NONE && erase != ERASE_DATA) {
        return NVME_INVALID_FIELD | NVME_NO_RETRY;
    }
    if (disk_is_read_only(n->disk)) {
        return NVME_READ_ONLY | NVME_NO_RETRY;
    }
    submit(r, BLOCK_OP_ZERO, 0, nvme_blocks(n) * n->block_size, BLOCK_MAY_UNMAP, done);
    return NVME_PENDING;
}

static const struct {
    u8 opcode;
    bool writes, all; /* all: may be of all namespaces */
    u16 (*run)(Nvme *n, NvmeRequest *request);
} commands[] = {
    {FLUSH, false, true, flush},
    {WRITE, true, false, write_blocks},
    {READ, false, false, read_blocks},
    {COMPARE, false, false, compare},
    {WRITE_ZEROES, true, false, write_zeroes},
    {DATASET_MANAGEMENT, true, false, manage_dataset},
};

u16 nvme_io(Nvme *n, NvmeRequest *r)
{
    const NvmeCommand *c = &r->command;

    if (c->flags & 3) {
        return NVME_INVALID_FIELD | NVME_NO_RETRY; /* commands cannot be fused */
    }
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (commands[i].opcode != c->opcode) {
            continue;
        }
        if (c->namespace != NVME_NAMESPACE &&
            !(commands[i].all && c->namespace == (u32)NVME_ALL_NAMESPACES)) {
            return NVME_INVALID_NAMESPACE | NVME_NO_RETRY;
        }
        if (commands[i].writes && disk_is_read_only(n->disk)) {
            return NVME_READ_ONLY | NVME_NO_RETRY;
        }
        return commands[i].run(n, r);
    }
    return NVME_INVALID_OPCODE | NVME_NO_RETRY;
}
