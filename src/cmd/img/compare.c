/* menura img compare: whether two images have the same contents. Exit status: 0 same, 1 different,
 * 2 an image can't be opened, 3 or 4 an error while reading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "cmd/img/img.h"

enum {
    STATUS_DIFFERENT = 1,
    STATUS_NOT_OPENED = 2,
    STATUS_BAD_STATUS = 3,
    STATUS_BAD_READ = 4,
    CHUNK = 2 << 20, /* bytes read at a time */
    SECTOR = 512,
};

typedef struct Side {
    const char *filename;
    BlockNode *node;
    u64 size;
    u8 *buffer;
    BlockExtent extent; /* around the present offset */
    u64 until;          /* where it ends */
} Side;

typedef struct Compare {
    Side side[2];
    bool strict, quiet;
    ImgProgress progress;
} Compare;

static bool reads_as_zeroes(const Side *s)
{
    unsigned flags = s->extent.flags;

    return flags & BLOCK_ZERO || !(flags & BLOCK_ALLOCATED);
}

/* Looks the extent at `at` up; past the end of the image there are zeroes. */
static int look(Side *s, u64 at, u64 total)
{
    int result;

    if (at < s->until) {
        return 0;
    }
    if (at >= s->size) {
        s->extent = (BlockExtent){.flags = BLOCK_ZERO};
        s->until = total;
        return 0;
    }
    result = block_map_chain(s->node, NULL, at, s->size - at, &s->extent);
    if (result < 0) {
        img_error("Sector allocation test failed for %s: %s", s->filename, strerror(-result));
        return STATUS_BAD_STATUS;
    }
    s->until = at + s->extent.bytes;
    return 0;
}

static int different(const Compare *c, u64 at)
{
    if (!c->quiet) {
        printf("Content mismatch at offset %llu!\n", (unsigned long long)at);
    }
    return STATUS_DIFFERENT;
}

static int read_side(const Side *s, u64 at, size_t bytes)
{
    int result = block_pread(s->node, at, s->buffer, bytes);

    if (result < 0) {
        img_error("Error while reading offset %llu of %s: %s", (unsigned long long)at, s->filename,
                  strerror(-result));
        return STATUS_BAD_READ;
    }
    return 0;
}

/* The first byte's offset in which the buffers differ, rounded down to a sector. */
static size_t first_difference(const u8 *a, const u8 *b, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && memcmp(a + at, b + at, MIN(SECTOR, bytes - at)) == 0) {
        at += MIN(SECTOR, bytes - at);
    }
    return at;
}

static int compare_data(Compare *c, u64 at, size_t bytes)
{
    Side *a = &c->side[0], *b = &c->side[1];
    size_t same;
    int status;

    for (int n = 0; n < 2; n++) {
        status = reads_as_zeroes(&c->side[n]) ? 0 : read_side(&c->side[n], at, bytes);
        if (status) {
            return status;
        }
    }
    if (reads_as_zeroes(a) || reads_as_zeroes(b)) {
        const u8 *data = reads_as_zeroes(a) ? b->buffer : a->buffer;
        if (block_is_zero(data, bytes)) {
            return 0;
        }
        same = 0;
        while (block_is_zero(data + same, MIN(SECTOR, bytes - same))) {
            same += SECTOR;
        }
        return different(c, at + same);
    }
    if (memcmp(a->buffer, b->buffer, bytes) == 0) {
        return 0;
    }
    same = first_difference(a->buffer, b->buffer, bytes);
    return different(c, at + same);
}

/* In strict mode what is allocated must be the same as well. */
static bool same_status(const Compare *c)
{
    unsigned mask = BLOCK_ZERO | BLOCK_DATA;

    return (c->side[0].extent.flags & mask) == (c->side[1].extent.flags & mask);
}

static int compare(Compare *c)
{
    u64 total = MAX(c->side[0].size, c->side[1].size);
    u64 at = 0;
    int status;

    while (at < total) {
        u64 bytes;

        for (int n = 0; n < 2; n++) {
            status = look(&c->side[n], at, total);
            if (status) {
                return status;
            }
        }
        bytes = MIN(c->side[0].until, c->side[1].until) - at;
        if (c->strict && at < c->side[0].size && at < c->side[1].size && !same_status(c)) {
            if (!c->quiet) {
                printf("Strict mode: Offset %llu block status mismatch!\n", (unsigned long long)at);
            }
            return STATUS_DIFFERENT;
        }
        if (!reads_as_zeroes(&c->side[0]) || !reads_as_zeroes(&c->side[1])) {
            bytes = MIN(bytes, CHUNK);
            status = compare_data(c, at, bytes);
            if (status) {
                return status;
            }
        }
        at += bytes;
        img_progress(&c->progress, at, total);
    }
    return 0;
}

static int compare_sizes(const Compare *c)
{
    u64 a = c->side[0].size, b = c->side[1].size;

    if (a == b) {
        return 0;
    }
    if (c->strict) {
        if (!c->quiet) {
            puts("Strict mode: Image size mismatch!");
        }
        return STATUS_DIFFERENT;
    }
    if (!c->quiet) {
        puts("Warning: Image size mismatch!");
    }
    return 0;
}

static int compare_all(Compare *c, const ImgOptions *options)
{
    int status;

    for (int n = 0; n < 2; n++) {
        c->side[n].size = block_size(c->side[n].node);
        c->side[n].buffer = block_buffer_new(CHUNK);
        if (!c->side[n].buffer) {
            return img_error("Out of memory");
        }
    }
    status = compare_sizes(c);
    if (status) {
        return status;
    }
    img_progress_begin(&c->progress, options, true);
    status = compare(c);
    img_progress_end(&c->progress, status == 0);
    if (status == 0 && !c->quiet) {
        puts("Images are identical.");
    }
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS, {0}};
    const char *format[2] = {NULL, NULL};
    ImgOptions options = {0};
    Compare c = {0};
    int option, status = 0;

    while ((option = getopt_long(argc, argv, "f:F:T:pqsUh", longs, NULL)) != -1) {
        if (option == 'f' || option == 'F') {
            format[option == 'F'] = optarg;
        } else if (option == 'T') {
            options.cache = optarg;
        } else if (option == 's') {
            c.strict = true;
        } else if (!img_take_option(&options, option, &img_compare, &status)) {
            return status ? STATUS_NOT_OPENED : 0;
        }
    }
    if (optind != argc - 2) {
        img_usage("Expecting two image file names");
        return STATUS_NOT_OPENED;
    }
    c.quiet = options.quiet;
    for (int n = 0; n < 2 && status == 0; n++) {
        c.side[n].filename = argv[optind + n];
        c.side[n].node = img_open_as(&options, argv[optind + n], format[n], options.cache, 0);
        status = c.side[n].node ? 0 : STATUS_NOT_OPENED;
    }
    if (status == 0) {
        status = compare_all(&c, &options);
    }
    for (int n = 0; n < 2; n++) {
        free(c.side[n].buffer);
        img_close(c.side[n].node, c.side[n].filename, &status);
    }
    return status;
}

const ImgCommand img_compare = {
    "compare", "[-f FORMAT] [-F FORMAT] [--image-opts] [-T CACHE] [-p] [-q] [-s] [-U] FILE1 FILE2",
    "tell whether two images have the same contents", run};
