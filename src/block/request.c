/* Reading and writing in the calling thread: range checks, padding to the driver's alignment, and
 * what a driver leaves to the layer (zeroing by writing, flushing children).
 *
 * The paths of a request: the public function enters the gate, checks the range, and calls the
 * driver; unaligned edges of writes are read first, under the exclusive gate so that two writers of
 * one block don't lose each other's half. */
#include "block/request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/gate.h"

enum { ZERO_CHUNK = 1 << 20 }; /* bytes of zeroes written at once */

u64 block_size(const BlockNode *node)
{
    return __atomic_load_n(&node->size, __ATOMIC_RELAXED);
}

int block_check_range(const BlockNode *node, u64 offset, u64 bytes)
{
    if (offset > INT64_MAX || bytes > INT64_MAX - offset) {
        return -EINVAL;
    }
    return node->can_grow || offset + bytes <= block_size(node) ? 0 : -EIO;
}

static bool is_aligned(const BlockNode *node, u64 value)
{
    return !(value & (node->alignment - 1));
}

/* Does the memory suit the node? */
static bool memory_fits(const BlockNode *node, const BlockVector *data)
{
    if (node->memory_alignment == 1) {
        return true;
    }
    BlockVector rest = block_vector_part(data, 0, data->bytes);
    struct iovec piece;
    for (size_t bytes; rest.bytes; rest = block_vector_part(&rest, bytes, rest.bytes - bytes)) {
        if (!block_vector_iovecs(&rest, &piece, 1, &bytes)) {
            break;
        }
        if (((uintptr_t)piece.iov_base | bytes) & (node->memory_alignment - 1)) {
            return false;
        }
    }
    return true;
}

void *block_buffer_new(size_t bytes)
{
    void *buffer;

    return posix_memalign(&buffer, 4096, MAX(bytes, (size_t)1)) ? NULL : buffer;
}

static bool fits(const BlockNode *node, u64 offset, const BlockVector *data)
{
    return is_aligned(node, offset | data->bytes) && memory_fits(node, data);
}

/* Reads what the driver takes only in another shape: through a buffer. */
static int read_padded(BlockNode *node, u64 offset, const BlockVector *data)
{
    u64 start = ALIGN_DOWN(offset, node->alignment);
    u64 end = ALIGN_UP(offset + data->bytes, node->alignment);
    u8 *buffer = block_buffer_new(end - start);
    struct iovec iov;
    BlockVector padded = block_vector_of(&iov, buffer, end - start);

    if (!buffer) {
        return -ENOMEM;
    }
    int result = node->driver->read(node, start, &padded);
    if (!result) {
        block_vector_store(data, buffer + (offset - start), data->bytes);
    }
    free(buffer);
    return result;
}

/* Writes through a buffer whose edges are read first. The gate is closed. */
static int write_padded(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    u64 start = ALIGN_DOWN(offset, node->alignment);
    u64 end = ALIGN_UP(offset + data->bytes, node->alignment);
    u64 edges[] = {start, end - node->alignment};
    u8 *buffer = block_buffer_new(end - start);
    struct iovec iov;
    int result = buffer ? 0 : -ENOMEM;

    for (size_t i = 0; !result && i < COUNT(edges); i++) {
        BlockVector edge = block_vector_of(&iov, buffer + (edges[i] - start), node->alignment);
        if (offset != start || offset + data->bytes != end) {
            result = node->driver->read(node, edges[i], &edge);
        }
    }
    if (!result) {
        block_vector_load(data, buffer + (offset - start), data->bytes);
        BlockVector padded = block_vector_of(&iov, buffer, end - start);
        result = node->driver->write(node, start, &padded, flags);
    }
    free(buffer);
    return result;
}

int block_read_inside(BlockNode *node, u64 offset, const BlockVector *data)
{
    int result = 0;

    for (size_t at = 0; !result && at < data->bytes;) {
        size_t bytes = MIN(data->bytes - at, (size_t)BLOCK_MAX_REQUEST);
        BlockVector part = block_vector_part(data, at, bytes);
        result = fits(node, offset + at, &part) ? node->driver->read(node, offset + at, &part)
                                                : read_padded(node, offset + at, &part);
        at += bytes;
    }
    return result;
}

int block_readv(BlockNode *node, u64 offset, const BlockVector *data)
{
    int result = block_check_range(node, offset, data->bytes);

    if (result < 0 || !data->bytes) {
        return result;
    }
    int epoch = block_gate_enter(&node->gate);
    result = block_read_inside(node, offset, data);
    block_gate_leave(&node->gate, epoch);
    return result;
}

static int flush_children(BlockNode *node)
{
    int result = 0;
    BlockNode *children[] = {node->extra, node->file};

    for (size_t i = 0; i < COUNT(children); i++) {
        int child = children[i] ? block_flush(children[i]) : 0;
        result = result ? result : child;
    }
    return result;
}

int block_flush_inside(BlockNode *node)
{
    return node->driver->flush ? node->driver->flush(node) : flush_children(node);
}

int block_flush(BlockNode *node)
{
    if (!(node->flags & BLOCK_WRITE)) {
        return 0;
    }
    int epoch = block_gate_enter(&node->gate);
    int result = block_flush_inside(node);
    block_gate_leave(&node->gate, epoch);
    return result;
}

/* A write that the driver can take as it is. */
static int write_fitting(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    int epoch = block_gate_enter(&node->gate);
    int result = node->driver->write(node, offset, data, flags);

    block_gate_leave(&node->gate, epoch);
    return result;
}

static int write_unfitting(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    block_gate_close(&node->gate);
    int result = write_padded(node, offset, data, flags);
    block_gate_open(&node->gate);
    return result;
}

int block_check_write(const BlockNode *node, u64 offset, u64 bytes)
{
    if (!(node->flags & BLOCK_WRITE)) {
        return -EROFS;
    }
    return block_check_range(node, offset, bytes);
}

/* The flags of a write as the driver sees them. */
static unsigned for_driver(const BlockNode *node, unsigned flags)
{
    return node->driver->traits & BLOCK_FUA_BY_DRIVER ? flags : flags & ~(unsigned)BLOCK_FUA;
}

/* After a write: makes it stay if asked. */
static int finish_write(BlockNode *node, unsigned flags, int result)
{
    bool needed = flags & BLOCK_FUA & ~for_driver(node, flags);

    if (!result && (needed || (node->flags & BLOCK_WRITETHROUGH))) {
        return block_flush(node);
    }
    return result;
}

int block_writev(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    int result = block_check_write(node, offset, data->bytes);

    if (!result && data->bytes && (node->flags & BLOCK_DETECT_ZEROES) &&
        !(flags & BLOCK_COMPRESSED) && block_vector_is_zero(data)) {
        unsigned unmap = node->flags & BLOCK_UNMAP ? BLOCK_MAY_UNMAP : 0;
        return block_zero(node, offset, data->bytes, (flags & BLOCK_FUA) | unmap);
    }
    for (size_t at = 0; !result && at < data->bytes;) {
        size_t bytes = MIN(data->bytes - at, (size_t)BLOCK_MAX_REQUEST);
        BlockVector part = block_vector_part(data, at, bytes);
        result = fits(node, offset + at, &part)
                     ? write_fitting(node, offset + at, &part, for_driver(node, flags))
                     : write_unfitting(node, offset + at, &part, for_driver(node, flags));
        at += bytes;
    }
    return finish_write(node, flags, result);
}

int block_pread(BlockNode *node, u64 offset, void *data, size_t bytes)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    return block_readv(node, offset, &vector);
}

int block_pwrite(BlockNode *node, u64 offset, const void *data, size_t bytes, unsigned flags)
{
    struct iovec iov;
    BlockVector vector = block_vector_of(&iov, data, bytes);

    return block_writev(node, offset, &vector, flags);
}

int block_read_exact(BlockNode *node, u64 offset, void *data, size_t bytes)
{
    u64 size = block_size(node);

    return offset > size || bytes > size - offset ? -EIO : block_pread(node, offset, data, bytes);
}

/* Zeroes written out, from one small buffer. */
static int write_zeroes(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    void *zeroes = block_buffer_new(MIN(bytes, (u64)ZERO_CHUNK));
    int result = zeroes ? 0 : -ENOMEM;

    if (zeroes) {
        memset(zeroes, 0, MIN(bytes, (u64)ZERO_CHUNK));
    }
    while (!result && bytes) {
        size_t chunk = MIN(bytes, (u64)ZERO_CHUNK);
        struct iovec iov;
        BlockVector data = block_vector_of(&iov, zeroes, chunk);
        result = fits(node, offset, &data) ? write_fitting(node, offset, &data, flags)
                                           : write_unfitting(node, offset, &data, flags);
        offset += chunk;
        bytes -= chunk;
    }
    free(zeroes);
    return result;
}

static int zero_by_driver(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    if (!node->driver->zero) {
        return -ENOTSUP;
    }
    int epoch = block_gate_enter(&node->gate);
    int result = node->driver->zero(node, offset, bytes, flags);
    block_gate_leave(&node->gate, epoch);
    return result;
}

int block_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    u64 unit = node->zero_alignment ? node->zero_alignment : node->alignment;
    int result = block_check_write(node, offset, bytes);

    if (result < 0) {
        return result;
    }
    u64 end = offset + bytes;
    u64 start = MIN(ALIGN_UP(offset, unit), end);
    unsigned fua = for_driver(node, flags & BLOCK_FUA);
    /* The end of the disk is as good as the end of a unit. */
    u64 stop = end == block_size(node) ? end : MAX(ALIGN_DOWN(end, unit), start);
    if ((flags & BLOCK_NO_FALLBACK) && (start != offset || stop != end)) {
        return -ENOTSUP;
    }
    if (start > offset) {
        result = write_zeroes(node, offset, start - offset, fua);
    }
    if (!result && stop > start) {
        result = zero_by_driver(node, start, stop - start, for_driver(node, flags));
        if (result == -ENOTSUP && !(flags & BLOCK_NO_FALLBACK)) {
            result = write_zeroes(node, start, stop - start, fua);
        }
    }
    if (!result && end > stop) {
        result = write_zeroes(node, stop, end - stop, fua);
    }
    return finish_write(node, flags, result);
}

int block_discard(BlockNode *node, u64 offset, u64 bytes)
{
    int result = block_check_write(node, offset, bytes);

    if (result < 0 || !bytes || !node->driver->discard || !(node->flags & BLOCK_UNMAP)) {
        return result;
    }
    int epoch = block_gate_enter(&node->gate);
    result = node->driver->discard(node, offset, bytes);
    block_gate_leave(&node->gate, epoch);
    return result == -ENOTSUP ? 0 : result;
}

int block_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    u64 size = block_size(node);

    if (!bytes || offset >= size) {
        return -EINVAL;
    }
    bytes = MIN(bytes, size - offset);
    *extent = (BlockExtent){.flags = BLOCK_DATA | BLOCK_ALLOCATED, .bytes = bytes};
    if (!node->driver->map) {
        return 0;
    }
    int epoch = block_gate_enter(&node->gate);
    int result = node->driver->map(node, offset, bytes, extent);
    block_gate_leave(&node->gate, epoch);
    if (node->driver->kind == BLOCK_FORMAT && !(node->driver->traits & BLOCK_HAS_BACKING) &&
        !(extent->flags & BLOCK_ALLOCATED)) {
        /* Where nothing can be below, holding nothing means zeroes. */
        extent->flags |= BLOCK_ALLOCATED | BLOCK_ZERO;
    }
    assert(result < 0 || (extent->bytes && extent->bytes <= bytes));
    return result;
}

/* What is said to be data at some place of a file may be a hole there. */
static int look_below(BlockExtent *extent)
{
    BlockExtent below;

    if (!(extent->flags & BLOCK_LOOK_BELOW) || !(extent->flags & BLOCK_OFFSET) ||
        extent->offset >= block_size(extent->file)) {
        return 0;
    }
    int result = block_map(extent->file, extent->offset, extent->bytes, &below);
    if (!result) {
        extent->bytes = below.bytes;
        if (below.flags & BLOCK_ZERO) {
            extent->flags |= BLOCK_ZERO;
            extent->flags &= ~(unsigned)BLOCK_DATA;
        }
    }
    return result;
}

int block_map_chain(BlockNode *node, BlockNode *base, u64 offset, u64 bytes, BlockExtent *extent)
{
    unsigned depth = 0;
    int result = block_map(node, offset, bytes, extent);

    while (!result && !(extent->flags & BLOCK_ALLOCATED)) {
        node = block_skip_filters(node)->backing;
        bytes = extent->bytes;
        if (!node || node == base) {
            break;
        }
        if (offset >= block_size(node)) {
            /* Past the end of a shorter backing file are zeroes, as if it held them. */
            *extent = (BlockExtent){.flags = BLOCK_ZERO | BLOCK_ALLOCATED, .bytes = bytes};
            extent->depth = depth;
            return 0;
        }
        depth++;
        result = block_map(node, offset, bytes, extent);
    }
    if (!result && !(extent->flags & BLOCK_ALLOCATED) && !node) {
        extent->flags |= BLOCK_ZERO;
    }
    extent->depth = depth;
    return result ? result : look_below(extent);
}
