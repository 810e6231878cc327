/* Compressed clusters of qcow2: zlib's raw deflate, or zstd. Packing and unpacking happen outside
 * all locks, so threads that write or read different clusters do it in parallel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "block/qcow2.h"

enum { WINDOW_BITS = 12, MEMORY_LEVEL = 9, WORD_HASH_BITS = 12 };

/* Do all bytes appear about equally often? Then a code for single bytes saves next to nothing: by
 * the bound below each takes at least 7.95 of 8 bits. */
static bool is_flat(const u8 *data, size_t bytes)
{
    u32 counts[4][256] = {0}; /* four, so that equal neighbours don't wait for each other */
    u64 squares = 0;

    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        for (unsigned k = 0; k < 4; k++) {
            counts[k][data[i + k]]++;
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        u64 count = (u64)counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
        squares += count * count;
    }
    /* The chance that two bytes are equal is 1/256 if all are equally likely. */
    return squares * 256 <= (u64)bytes * bytes / 100 * 103;
}

/* Do strings of four bytes hardly ever come again within the window? */
static bool is_unrepeated(const u8 *data, size_t bytes)
{
    u32 last[1 << WORD_HASH_BITS] = {0}; /* where a word was, + 1 */
    size_t repeats = 0;

    for (size_t i = 0; i + 4 <= bytes && repeats <= bytes / 512; i++) {
        u32 word, before;
        memcpy(&word, data + i, sizeof word);
        u32 *place = &last[word * 2654435761u >> (32 - WORD_HASH_BITS)];
        size_t at = *place;
        *place = (u32)i + 1;
        if (at && i + 1 - at <= 1 << WINDOW_BITS) {
            memcpy(&before, data + at - 1, sizeof before);
            repeats += before == word;
        }
    }
    return repeats <= bytes / 512;
}

/* Bytes of the packed form, or 0 if it would not be smaller than `bytes`. */
static size_t pack_zlib(const void *from, size_t bytes, void *to)
{
    z_stream stream = {0};
    size_t packed = 0;

    /* Much of what fills disks is packed or encrypted already, and zlib takes its time to find that
     * out. */
    if (is_flat(from, bytes) && is_unrepeated(from, bytes)) {
        return 0;
    }
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return 0;
    }
    stream.next_in = (void *)(uintptr_t)from;
    stream.avail_in = (uInt)bytes;
    stream.next_out = to;
    stream.avail_out = (uInt)bytes;
    if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
        packed = bytes - stream.avail_out;
    }
    deflateEnd(&stream);
    return packed < bytes ? packed : 0;
}

static size_t pack_zstd(const void *from, size_t bytes, void *to)
{
    size_t packed = ZSTD_compress(to, bytes, from, bytes, ZSTD_CLEVEL_DEFAULT);

    return ZSTD_isError(packed) || packed >= bytes ? 0 : packed;
}

/* What follows the packed data up to a sector's end is ignored. */
static int unpack_zlib(const void *from, size_t bytes, void *to, size_t room)
{
    z_stream stream = {0};

    if (inflateInit2(&stream, -WINDOW_BITS) != Z_OK) {
        return -ENOMEM;
    }
    stream.next_in = (void *)(uintptr_t)from;
    stream.avail_in = (uInt)bytes;
    stream.next_out = to;
    stream.avail_out = (uInt)room;
    int status = inflate(&stream, Z_FINISH);
    size_t left = stream.avail_out;
    inflateEnd(&stream);
    /* Z_BUF_ERROR: all output is there, but not the end of the stream. */
    return left == 0 && (status == Z_STREAM_END || status == Z_BUF_ERROR) ? 0 : -EIO;
}

static int unpack_zstd(const void *from, size_t bytes, void *to, size_t room)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer in = {from, bytes, 0};
    ZSTD_outBuffer out = {to, room, 0};
    size_t status = 1;

    while (context && out.pos < room) {
        size_t in_before = in.pos, out_before = out.pos;
        status = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(status) || (in.pos == in_before && out.pos == out_before)) {
            break;
        }
    }
    ZSTD_freeDCtx(context);
    return out.pos == room && !ZSTD_isError(status) ? 0 : -EIO;
}

static const struct {
    size_t (*pack)(const void *from, size_t bytes, void *to);
    int (*unpack)(const void *from, size_t bytes, void *to, size_t room);
} methods[] = {
    [QCOW2_ZLIB] = {pack_zlib, unpack_zlib},
    [QCOW2_ZSTD] = {pack_zstd, unpack_zstd},
};

int qcow2_read_packed(Qcow2 *q, u64 entry, u64 in_cluster, const BlockVector *data)
{
    u64 offset;
    u32 bytes;

    qcow2_packed_place(q, entry, &offset, &bytes);
    if (offset > block_size(q->file)) {
        return -EIO;
    }
    u8 *packed = block_buffer_new(bytes), *whole = block_buffer_new(q->cluster_size);
    int result = packed && whole ? block_pread(q->file, offset, packed, bytes) : -ENOMEM;
    result = result ? result
                    : methods[q->header.compression].unpack(packed, bytes, whole, q->cluster_size);
    if (!result) {
        block_vector_store(data, whole + in_cluster, data->bytes);
    }
    free(packed);
    free(whole);
    return result;
}

/* Stores one packed cluster. */
static int store(Qcow2 *q, u64 guest, const u8 *packed, size_t bytes)
{
    u32 offset_bits = 62 - (q->header.cluster_bits - 8), index;
    Qcow2Allocation claim;
    Qcow2Slice *slice;
    u64 host, bitmap;

    pthread_mutex_lock(&q->lock);
    qcow2_claim(q, &claim, guest >> q->header.cluster_bits, 1);
    int result = q->inert ? -EIO : qcow2_alloc_packed(q, (u32)bytes, &host);
    if (!result) {
        u64 sectors = ((host + bytes - 1) >> 9) - (host >> 9);
        u64 entry = host | sectors << offset_bits | QCOW2_COMPRESSED;
        pthread_mutex_unlock(&q->lock);
        result = host >> offset_bits ? -EFBIG : block_pwrite(q->file, host, packed, bytes, 0);
        pthread_mutex_lock(&q->lock);
        result = result ? result : qcow2_l2_for_write(q, guest, &slice, &index);
        if (!result) {
            u64 old = qcow2_entry_get(q, slice, index, &bitmap);
            qcow2_entry_set(q, slice, index, entry, 0);
            qcow2_free_entry(q, old, false);
        } else {
            qcow2_free_entry(q, entry, false);
        }
    }
    qcow2_unclaim(q, &claim);
    pthread_mutex_unlock(&q->lock);
    return result;
}

/* One cluster: `data` is all of it, or what there is of the last one. */
static int write_one(Qcow2 *q, u64 offset, const BlockVector *data)
{
    u8 *whole = block_buffer_new(q->cluster_size), *packed = block_buffer_new(q->cluster_size);
    int result = whole && packed ? 0 : -ENOMEM;

    if (!result) {
        block_vector_load(data, whole, data->bytes);
        memset(whole + data->bytes, 0, q->cluster_size - data->bytes);
        size_t bytes = methods[q->header.compression].pack(whole, q->cluster_size, packed);
        result = bytes ? store(q, offset, packed, bytes) : qcow2_write_range(q, offset, data);
    }
    free(whole);
    free(packed);
    return result;
}

int qcow2_write_packed(Qcow2 *q, u64 offset, const BlockVector *data)
{
    u64 end = offset + data->bytes;
    int result = 0;

    if (q->external_data || q->header.crypt != QCOW2_CRYPT_NONE) {
        return -ENOTSUP;
    }
    if ((offset & (q->cluster_size - 1)) ||
        ((end & (q->cluster_size - 1)) && end != block_size(q->node))) {
        return -EINVAL;
    }
    for (size_t at = 0; !result && at < data->bytes; at += q->cluster_size) {
        BlockVector part =
            block_vector_part(data, at, MIN(data->bytes - at, (size_t)q->cluster_size));
        result = write_one(q, offset + at, &part);
    }
    return result;
}
