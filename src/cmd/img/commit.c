/* menura img commit: writes what an overlay holds into its backing image. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "cmd/img/img.h"

enum { CHUNK = 2 << 20 };

typedef struct Commit {
    ImgOptions common;
    const char *base_name; /* NULL: the next image below */
    bool keep;             /* -d: don't empty the overlay */
    u64 rate;
} Commit;

/* The node of the chain whose image has that name. */
static BlockNode *find_base(BlockNode *top, const char *name)
{
    for (BlockNode *node = block_backing(top); node; node = block_backing(node)) {
        char *beside = block_path_beside(block_image_name(top), name);
        bool found =
            !strcmp(block_image_name(node), name) || !strcmp(block_image_name(node), beside);

        free(beside);
        if (found) {
            return node;
        }
    }
    return NULL;
}

/* One extent that a layer above base decides. */
static int copy_extent(BlockNode *top, BlockNode *base, u64 at, const BlockExtent *extent,
                       u8 *buffer)
{
    u64 end = at + extent->bytes;
    int result = 0;

    if (extent->flags & BLOCK_ZERO) {
        return block_zero(base, at, extent->bytes, BLOCK_MAY_UNMAP);
    }
    for (; at < end && result >= 0 && !img_interrupted(); at += CHUNK) {
        size_t part = MIN(CHUNK, end - at);
        result = block_pread(top, at, buffer, part);
        if (result >= 0) {
            result = block_pwrite(base, at, buffer, part, 0);
        }
    }
    return result;
}

static int copy_all(const Commit *c, BlockNode *top, BlockNode *base, ImgProgress *progress)
{
    u64 size = block_size(top), copied = 0;
    double start = img_now();
    u8 *buffer = block_buffer_new(CHUNK);
    int result = buffer ? 0 : -ENOMEM;

    for (u64 at = 0; at < size && result >= 0 && !img_interrupted();) {
        BlockExtent extent;
        result = block_map_chain(top, base, at, MIN(size - at, (u64)64 * CHUNK), &extent);
        if (result >= 0 && extent.flags & BLOCK_ALLOCATED) {
            result = copy_extent(top, base, at, &extent, buffer);
            copied += extent.bytes;
            img_throttle(c->rate, start, copied);
        }
        at += extent.bytes;
        img_progress(progress, at, size);
    }
    free(buffer);
    return result < 0 ? result : block_flush(base);
}

static int commit(const Commit *c, BlockNode *top, BlockNode *base)
{
    ImgProgress progress;
    BlockError error;
    int result;

    if (block_reopen(base, BLOCK_WRITE, &error) < 0) {
        return img_error("%s", error.text);
    }
    if (block_size(base) < block_size(top) &&
        block_truncate(base, block_size(top), BLOCK_PREALLOC_OFF, &error) < 0) {
        return img_error("%s", error.text);
    }
    img_progress_begin(&progress, &c->common, true);
    result = copy_all(c, top, base, &progress);
    img_progress_end(&progress, result >= 0 && !img_interrupted());
    if (result < 0) {
        return img_error("Could not perform commit: %s", strerror(-result));
    }
    if (img_interrupted()) {
        return img_error("interrupted; '%s' is only partly written to '%s'. Both are intact: run "
                         "the same command again to finish",
                         block_filename(top), block_filename(base));
    }
    if (!c->keep && !c->base_name && block_make_empty(top, &error) < 0) {
        return img_error("Could not empty %s: %s", block_filename(top), error.text);
    }
    if (!c->common.quiet) {
        puts("Image committed.");
    }
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"cache", required_argument, NULL, 't'},
                                          {"drop", no_argument, NULL, 'd'},
                                          {"base", required_argument, NULL, 'b'},
                                          {"rate-limit", required_argument, NULL, 'r'},
                                          {0}};
    int option, status = 0;
    BlockNode *top, *base;
    Commit c = {0};

    while ((option = getopt_long(argc, argv, "f:t:b:r:dpqh", longs, NULL)) != -1) {
        if (option == 'b') {
            c.base_name = optarg;
        } else if (option == 'd') {
            c.keep = true;
        } else if (option == 'r') {
            if (!img_parse_size("rate limit", optarg, &c.rate)) {
                return 1;
            }
        } else if (!img_take_option(&c.common, option, &img_commit, &status)) {
            return status;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    img_catch_interrupts();
    top = img_open(&c.common, argv[optind], BLOCK_WRITE | BLOCK_UNMAP);
    if (!top) {
        return 1;
    }
    base = c.base_name ? find_base(top, c.base_name) : block_backing(top);
    if (base) {
        status = commit(&c, top, base);
    } else if (c.base_name) {
        status =
            img_error("Did not find '%s' in the backing chain of '%s'", c.base_name, argv[optind]);
    } else {
        status = img_error("Image does not have a backing file");
    }
    img_close(top, argv[optind], &status);
    return status;
}

const ImgCommand img_commit = {
    "commit", "[-f FORMAT] [--image-opts] [-t CACHE] [-b BASE] [-r RATE] [-d] [-p] [-q] FILE",
    "write what an overlay holds into its backing image", run};
