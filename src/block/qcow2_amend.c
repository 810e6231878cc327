/* Changing options of an existing qcow2 image: version, lazy refcounts, refcount width, size,
 * backing file. Runs alone (gate closed). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

const BlockOption qcow2_amend_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"compat", BLOCK_OPTION_STRING, "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"backing_file", BLOCK_OPTION_STRING, "File name of a base image"},
    {"backing_fmt", BLOCK_OPTION_STRING, "Image format of the base image"},
    {"data_file", BLOCK_OPTION_STRING, "File name of an external data file"},
    {"data_file_raw", BLOCK_OPTION_BOOL, "The external data file must stay valid as a raw image"},
    {"lazy_refcounts", BLOCK_OPTION_BOOL, "Postpone refcount updates"},
    {"refcount_bits", BLOCK_OPTION_NUMBER, "Width of a reference count entry in bits"},
    LUKS_AMEND_OPTIONS("encrypt."),
    {NULL},
};

typedef struct Amend {
    Qcow2 *q;
    BlockProgress *progress;
    void *opaque;
    BlockError *error;
} Amend;

static void tell(const Amend *a, u64 done, u64 total)
{
    if (a->progress) {
        a->progress(a->opaque, done, total);
    }
}

static int write_header(const Amend *a)
{
    int result = qcow2_header_write(a->q->file, &a->q->header, a->error);

    result = result ? result : block_flush(a->q->file);
    return result;
}

/* --- Version -----------------------------------------------------------------------------------
 */

/* Version 2 knows no zero clusters: writes them out, or drops them where nothing shows through. */
static int expand_zeroes(const Amend *a)
{
    Qcow2 *q = a->q;
    u64 size = ALIGN_UP(q->header.size, (u64)q->cluster_size);
    void *zeroes = calloc(1, q->cluster_size);
    int result = zeroes ? 0 : -ENOMEM;

    for (u64 at = 0; !result && at < size;) {
        Qcow2Mapping m;
        pthread_mutex_lock(&q->lock);
        result = qcow2_lookup(q, at, size - at, true, &m);
        pthread_mutex_unlock(&q->lock);
        if (result < 0 || (m.type != QCOW2_ZERO_PLAIN && m.type != QCOW2_ZERO_KEPT)) {
            at += m.bytes;
            continue;
        }
        if (!q->header.backing_name) {
            result = qcow2_drop(q, at, m.bytes, true);
            at += m.bytes;
        }
        for (u64 end = at + m.bytes; !result && q->header.backing_name && at < end;
             at += q->cluster_size) {
            struct iovec iov;
            BlockVector data = block_vector_of(&iov, zeroes, q->cluster_size);
            result = qcow2_write_range(q, at, &data);
        }
        tell(a, at, size);
    }
    free(zeroes);
    return result;
}

static int downgrade(const Amend *a)
{
    Qcow2 *q = a->q;
    Qcow2Header *h = &q->header;
    u64 removable = QCOW2_INCOMPATIBLE_DIRTY;

    if (h->incompatible & ~removable) {
        return block_error(a->error, ENOTSUP,
                           "the image uses features that version 2 (compat=0.10) does not have");
    }
    if (h->refcount_order != 4) {
        return block_error(a->error, ENOTSUP, "version 2 (compat=0.10) has refcounts of 16 bits");
    }
    if (q->snapshot_count || q->bitmap_count) {
        return block_error(a->error, ENOTSUP,
                           "an image with snapshots or bitmaps cannot become "
                           "version 2 (compat=0.10)");
    }
    int result = expand_zeroes(a);
    pthread_mutex_lock(&q->lock);
    q->lazy = false;
    result = result ? result : qcow2_settle(q);
    pthread_mutex_unlock(&q->lock);
    if (result < 0) {
        return block_error(a->error, -result, "cannot convert zero clusters: %s",
                           strerror(-result));
    }
    h->version = 2;
    h->incompatible = h->compatible = h->autoclear = 0;
    return write_header(a);
}

static int amend_version(const Amend *a, const char *word)
{
    Qcow2Header *h = &a->q->header;

    if (!strcmp(word, "1.1") || !strcmp(word, "v3")) {
        if (h->version == 3) {
            return 0;
        }
        h->version = 3;
        return write_header(a);
    }
    if (strcmp(word, "0.10") && strcmp(word, "v2")) {
        return block_error(a->error, EINVAL, "compat is 0.10 or 1.1, not '%s'", word);
    }
    return h->version == 2 ? 0 : downgrade(a);
}

/* --- Refcount width ----------------------------------------------------------------------------
 */

static int amend_refcount_bits(const Amend *a, u64 bits)
{
    Qcow2 *q = a->q;
    Qcow2Counts c = {0};
    int result;

    if (!bits || bits > 64 || (bits & (bits - 1))) {
        return block_error(a->error, EINVAL,
                           "Refcount width must be a power of two and may not exceed 64 bits");
    }
    if (bits == q->refcount_bits) {
        return 0;
    }
    if (q->header.version < 3) {
        return block_error(a->error, EINVAL, "version 2 (compat=0.10) has refcounts of 16 bits");
    }
    pthread_mutex_lock(&q->lock);
    q->lazy = false;
    result = qcow2_settle(q);
    if (!result) {
        c.counts = qcow2_counts_read(q, &c.clusters, &result);
    }
    result = result ? result : qcow2_counts_forget(q, &c);
    result = result ? result : qcow2_counts_write(q, &c, (u32)__builtin_ctzll(bits));
    free(c.counts);
    if (!result) {
        result = write_header(a);
        q->refcount_bits = (u32)bits;
        q->refcount_max = bits == 64 ? INT64_MAX : (1ull << bits) - 1;
        q->block_bits = q->header.cluster_bits + 3 - q->header.refcount_order;
        result = result ? result : qcow2_counts_reload(q, a->error);
    }
    pthread_mutex_unlock(&q->lock);
    tell(a, 1, 1);
    return result == -ERANGE ? block_error(a->error, ERANGE,
                                           "a cluster has more references than a "
                                           "refcount of that width can hold")
           : result ? block_error(a->error, -result, "cannot change the refcount width: %s",
                                  strerror(-result))
                    : 0;
}

/* --- All of them -------------------------------------------------------------------------------
 */

static int amend_lazy(const Amend *a, bool lazy)
{
    Qcow2 *q = a->q;

    if (lazy && q->header.version < 3) {
        return block_error(a->error, EINVAL, "lazy refcounts need version 3 (compat=1.1)");
    }
    u64 bit = QCOW2_COMPATIBLE_LAZY_REFCOUNTS;
    if (!lazy == !(q->header.compatible & bit)) {
        return 0;
    }
    pthread_mutex_lock(&q->lock);
    q->header.compatible ^= bit;
    q->lazy = false;
    int result = qcow2_settle(q);
    q->header.incompatible &= ~(u64)QCOW2_INCOMPATIBLE_DIRTY;
    result = result ? result : qcow2_header_write_features(q);
    pthread_mutex_unlock(&q->lock);
    return result ? block_error(a->error, -result, "cannot write the header: %s", strerror(-result))
                  : 0;
}

static int amend_data_file(const Amend *a, const BlockOptions *options)
{
    Qcow2 *q = a->q;
    const char *name = block_options_get(options, "data_file");

    if (block_options_get(options, "data_file_raw") &&
        block_option_bool(options, qcow2_amend_options, "data_file_raw") != q->raw_data) {
        return block_error(a->error, EINVAL, "data_file_raw cannot be set on existing images");
    }
    if (!name) {
        return 0;
    }
    if (!q->external_data) {
        return block_error(a->error, EINVAL,
                           "data_file can only be set for images that use an external data file");
    }
    free(q->header.data_file);
    q->header.data_file = strdup(name);
    return write_header(a);
}

int qcow2_amend(BlockNode *node, const BlockOptions *options, BlockProgress *progress, void *opaque,
                BlockError *error)
{
    Amend a = {node->state, progress, opaque, error};
    const BlockOption *table = qcow2_amend_options;
    const char *compat = block_options_get(options, "compat");
    const char *backing = block_options_get(options, "backing_file");
    const char *format = block_options_get(options, "backing_fmt");
    bool older = compat && (!strcmp(compat, "0.10") || !strcmp(compat, "v2"));
    int result = compat && !older ? amend_version(&a, compat) : 0;

    if (!result && block_options_get(options, "lazy_refcounts")) {
        result = amend_lazy(&a, block_option_bool(options, table, "lazy_refcounts"));
    }
    if (!result && block_options_get(options, "refcount_bits")) {
        result = amend_refcount_bits(&a, block_option_number(options, table, "refcount_bits"));
    }
    result = result ? result : qcow2_crypt_amend(a.q, options, error);
    result = result ? result : amend_data_file(&a, options);
    if (!result && (backing || format)) {
        const char *old = a.q->header.backing_name, *old_format = a.q->header.backing_format;
        char *name_copy = strdup(backing ? backing : old ? old : "");
        char *format_copy = strdup(format ? format : backing ? "" : old_format ? old_format : "");
        result = qcow2_change_backing(node, name_copy, format_copy, error);
        free(name_copy);
        free(format_copy);
    }
    if (!result && block_options_get(options, "size")) {
        result = qcow2_truncate(node, block_option_number(options, table, "size"),
                                BLOCK_PREALLOC_OFF, error);
    }
    return !result && older ? amend_version(&a, compat) : result;
}
