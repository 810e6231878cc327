/* menura img rebase: gives an overlay another backing image (or none), keeping what it shows; with
 * -u only the name in it is changed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "cmd/img/img.h"

enum { CHUNK = 2 << 20, STEP = 4096 }; /* bytes; a chunk is at least a cluster */

typedef struct Rebase {
    ImgOptions common;
    const char *source_cache;
    const char *backing, *backing_format; /* backing "": none */
    bool unsafe, compress;
    u32 step; /* bytes that are compared and, if need be, written: 4096, or a compressed cluster */
    BlockNode *node, *old, *new; /* old, new: the backing images; NULL for none */
    u8 *buffer[2];
} Rebase;

/* Reads a backing image; past its end, and where there is none, are zeroes. */
static int read_backing(BlockNode *backing, u64 at, u8 *buffer, size_t bytes)
{
    u64 size = backing ? block_size(backing) : 0;
    size_t inside = at >= size ? 0 : MIN(bytes, size - at);

    memset(buffer + inside, 0, bytes - inside);
    return inside ? block_pread(backing, at, buffer, inside) : 0;
}

/* Writes what the old backing image has. */
static int write_old(const Rebase *r, u64 at, const u8 *data, size_t bytes)
{
    int result = -ENOTSUP;

    if (block_is_zero(data, bytes)) {
        /* Zeroes must be written as such: what the new image holds there must not show. */
        return block_zero(r->node, at, bytes, 0);
    }
    if (r->compress && at % r->step == 0) {
        result = block_pwrite(r->node, at, data, bytes, BLOCK_COMPRESSED);
    }
    /* A cluster that is partly there already cannot be compressed. */
    return result < 0 && result != -ENOSPC && result != -EIO
               ? block_pwrite(r->node, at, data, bytes, 0)
               : result;
}

/* Writes those parts of the chunk into the overlay that differ between old and new. */
static int keep_differences(const Rebase *r, u64 at, size_t bytes)
{
    const u8 *old = r->buffer[0], *new = r->buffer[1];
    int result = 0;

    for (size_t from = 0; from < bytes && result >= 0;) {
        size_t to = from;
        while (to < bytes && memcmp(old + to, new + to, MIN(r->step, bytes - to)) != 0) {
            to += MIN(r->step, bytes - to);
        }
        if (to > from) {
            result = write_old(r, at + from, old + from, to - from);
        }
        from = to + MIN(r->step, bytes - to);
    }
    return result;
}

static int copy_differences(const Rebase *r, ImgProgress *progress)
{
    u64 size = block_size(r->node);
    int result = 0;

    for (u64 at = 0; at < size && result >= 0 && !img_interrupted();) {
        BlockExtent extent;
        u64 bytes;

        result = block_map(r->node, at, MIN(size - at, (u64)CHUNK), &extent);
        if (result < 0) {
            break;
        }
        bytes = extent.bytes;
        if (!(extent.flags & BLOCK_ALLOCATED)) {
            result = read_backing(r->old, at, r->buffer[0], bytes);
            if (result >= 0) {
                result = read_backing(r->new, at, r->buffer[1], bytes);
            }
            if (result >= 0) {
                result = keep_differences(r, at, bytes);
            }
        }
        at += bytes;
        img_progress(progress, at, size);
    }
    return result;
}

/* The unit in which differences are kept; false if compression was asked for in vain. */
static bool choose_step(Rebase *r)
{
    BlockInfo info;
    bool good = block_info(r->node, &info, NULL) >= 0;

    if (good) {
        good = !r->compress || (info.compressed && !info.encrypted);
        r->step = r->compress && info.cluster_size ? info.cluster_size : STEP;
        block_info_free(&info);
    }
    return good;
}

static int keep_contents(Rebase *r, const char *filename)
{
    ImgProgress progress;
    int status = 0, result;

    if (!choose_step(r)) {
        return img_error("Compression not supported for this file format");
    }
    r->old = block_backing(r->node);
    if (*r->backing) {
        char *beside = block_path_beside(block_image_name(r->node), r->backing);
        r->new = img_open_as(&(ImgOptions){.share = r->common.share}, beside, r->backing_format,
                             r->source_cache, 0);
        free(beside);
        if (!r->new) {
            return 1;
        }
    }
    r->buffer[0] = block_buffer_new(CHUNK);
    r->buffer[1] = block_buffer_new(CHUNK);
    img_progress_begin(&progress, &r->common, true);
    result = r->buffer[0] && r->buffer[1] ? copy_differences(r, &progress) : -ENOMEM;
    if (result >= 0) {
        result = block_flush(r->node);
    }
    img_progress_end(&progress, result >= 0 && !img_interrupted());
    if (result < 0) {
        status = img_error("Could not rebase: %s", strerror(-result));
    } else if (img_interrupted()) {
        status = img_error("interrupted; '%s' still has its old backing file and is intact: run "
                           "the same command again to finish",
                           filename);
    }
    free(r->buffer[0]);
    free(r->buffer[1]);
    img_close(r->new, r->backing, &status);
    return status;
}

static int rebase(Rebase *r, const char *filename)
{
    BlockError error;
    int status = r->unsafe ? 0 : keep_contents(r, filename);

    if (status == 0 && block_change_backing(r->node, *r->backing ? r->backing : NULL,
                                            *r->backing ? r->backing_format : NULL, &error) < 0) {
        status = img_error("Could not change the backing file to '%s': %s", r->backing, error.text);
    }
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"cache", required_argument, NULL, 't'},
                                          {"backing", required_argument, NULL, 'b'},
                                          {"backing-format", required_argument, NULL, 'B'},
                                          {"backing-cache", required_argument, NULL, 'T'},
                                          {"backing-unsafe", no_argument, NULL, 'u'},
                                          {"compress", no_argument, NULL, 'c'},
                                          {0}};
    Rebase r = {0};
    int option, status = 0;

    while ((option = getopt_long(argc, argv, "f:F:B:b:cut:T:pqUh", longs, NULL)) != -1) {
        if (option == 'b') {
            r.backing = optarg;
        } else if (option == 'F' || option == 'B') { /* in newer versions of qemu-img */
            r.backing_format = optarg;
        } else if (option == 'c') {
            r.compress = true;
        } else if (option == 'u') {
            r.unsafe = true;
        } else if (option == 'T') {
            r.source_cache = optarg;
        } else if (!img_take_option(&r.common, option, &img_rebase, &status)) {
            return status;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    if (!r.backing) {
        return img_usage("Must specify backing file (-b) or use simple rebase mode (-u)");
    }
    img_catch_interrupts();
    r.node = img_open(&r.common, argv[optind], BLOCK_WRITE | (r.unsafe ? BLOCK_NO_BACKING : 0));
    if (!r.node) {
        return 1;
    }
    status = rebase(&r, argv[optind]);
    img_close(r.node, argv[optind], &status);
    return status;
}

const ImgCommand img_rebase = {"rebase",
                               "[-f FORMAT] [--image-opts] [-U] [-q] [-t CACHE] [-T CACHE] [-p] "
                               "[-u] [-c] -b BACKING [-F FORMAT] FILE",
                               "give an overlay another backing image", run};
