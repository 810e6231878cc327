/* menura img compare: whether two images have the same contents. Exit status: 0 same, 1 different,
 * 2 an image can't be opened, 3 or 4 an error while reading.
 *
 * Threads take pieces in order and compare them; what is told is what comes first in the images,
 * whoever finds it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"
#include "cmd/img/img.h"

enum {
    STATUS_DIFFERENT = 1,
    STATUS_NOT_OPENED = 2,
    STATUS_BAD_STATUS = 3,
    STATUS_BAD_READ = 4,
    CHUNK = 256 << 10, /* bytes read at a time: both sides stay in a core's cache */
    MOST_THREADS = 4,
    SECTOR = 512,
};

typedef struct Side {
    const char *filename;
    BlockNode *node;
    u64 size;
    BlockExtent extent; /* around the present offset */
    u64 until;          /* where it ends */
} Side;

/* Why the images are not the same, or it can't be told. */
typedef struct Finding {
    int status; /* 0: nothing found */
    u64 at;
    bool strictly;    /* only the block status differs */
    const Side *side; /* that could not be read, */
    int result;       /* because of this */
} Finding;

typedef struct Compare {
    Side side[2];
    bool strict, quiet;
    u64 total;

    pthread_mutex_t lock; /* guards all below, and the sides' extents */
    u64 next;             /* where the next piece begins */
    u64 done;             /* bytes compared */
    Finding found;        /* the first */
    ImgProgress progress;
} Compare;

/* A piece of both images. */
typedef struct Piece {
    u64 at, bytes;
    bool zero[2]; /* that side reads as zeroes */
} Piece;

static bool reads_as_zeroes(const Side *s)
{
    unsigned flags = s->extent.flags;

    return flags & BLOCK_ZERO || !(flags & BLOCK_ALLOCATED);
}

/* Looks the extent at `at` up; past the end of the image there are zeroes. */
static int look(Side *s, u64 at, u64 total)
{
    if (at < s->until) {
        return 0;
    }
    if (at >= s->size) {
        s->extent = (BlockExtent){.flags = BLOCK_ZERO};
        s->until = total;
        return 0;
    }
    int result = block_map_chain(s->node, NULL, at, s->size - at, &s->extent);
    s->until = at + s->extent.bytes;
    return result;
}

/* In strict mode what is allocated must be the same as well. */
static bool same_status(const Compare *c)
{
    unsigned mask = BLOCK_ZERO | BLOCK_DATA | BLOCK_ALLOCATED;

    return (c->side[0].extent.flags & mask) == (c->side[1].extent.flags & mask);
}

/* --- Pieces; with the lock */

static void note(Compare *c, Finding finding)
{
    if (!c->found.status || finding.at < c->found.at) {
        c->found = finding;
    }
}

/* The next piece that has to be read; false at the end, or when something was found. */
static bool take_piece(Compare *c, Piece *piece)
{
    while (c->next < c->total && !c->found.status) {
        u64 at = c->next;
        for (int n = 0; n < 2; n++) {
            int result = look(&c->side[n], at, c->total);
            if (result < 0) {
                note(c, (Finding){STATUS_BAD_STATUS, at, .side = &c->side[n], .result = result});
                return false;
            }
            piece->zero[n] = reads_as_zeroes(&c->side[n]);
        }
        if (c->strict && at < c->side[0].size && at < c->side[1].size && !same_status(c)) {
            note(c, (Finding){STATUS_DIFFERENT, at, .strictly = true});
            return false;
        }
        piece->at = at;
        piece->bytes = MIN(c->side[0].until, c->side[1].until) - at;
        if (!piece->zero[0] || !piece->zero[1]) {
            piece->bytes = MIN(piece->bytes, CHUNK);
            c->next += piece->bytes;
            return true;
        }
        c->next += piece->bytes;
        c->done += piece->bytes;
    }
    return false;
}

/* --- Comparing; without */

static size_t first_difference(const u8 *a, const u8 *b, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && (b ? !memcmp(a + at, b + at, MIN(SECTOR, bytes - at))
                            : block_is_zero(a + at, MIN(SECTOR, bytes - at)))) {
        at += MIN(SECTOR, bytes - at);
    }
    return at;
}

static Finding compare_piece(const Compare *c, const Piece *piece, u8 *const buffer[2])
{
    const u8 *data[2] = {NULL, NULL}; /* NULL: zeroes */

    for (int n = 0; n < 2; n++) {
        if (!piece->zero[n]) {
            int result = block_pread(c->side[n].node, piece->at, buffer[n], piece->bytes);
            if (result < 0) {
                return (Finding){STATUS_BAD_READ, piece->at, .side = &c->side[n], .result = result};
            }
            data[n] = buffer[n];
        }
    }
    const u8 *a = data[0] ? data[0] : data[1], *b = data[0] ? data[1] : NULL;
    if (b ? !memcmp(a, b, piece->bytes) : block_is_zero(a, piece->bytes)) {
        return (Finding){0};
    }
    /* Differences are told by the sector. */
    return (Finding){STATUS_DIFFERENT, piece->at + first_difference(a, b, piece->bytes)};
}

static void *compare_pieces(void *opaque)
{
    Compare *c = opaque;
    u8 *buffer[2] = {block_buffer_new(CHUNK), block_buffer_new(CHUNK)};
    Piece piece;

    if (!buffer[0] || !buffer[1]) {
        abort();
    }
    pthread_mutex_lock(&c->lock);
    while (take_piece(c, &piece)) {
        pthread_mutex_unlock(&c->lock);
        Finding finding = compare_piece(c, &piece, buffer);
        pthread_mutex_lock(&c->lock);
        if (finding.status) {
            note(c, finding);
        }
        c->done += piece.bytes;
        img_progress(&c->progress, c->done, c->total);
    }
    pthread_mutex_unlock(&c->lock);
    free(buffer[0]);
    free(buffer[1]);
    return NULL;
}

/* Says what was found; the exit status. */
static int tell(const Compare *c)
{
    const Finding *f = &c->found;
    unsigned long long at = f->at;

    if (f->status == STATUS_BAD_STATUS) {
        img_error("Sector allocation test failed for %s: %s", f->side->filename,
                  strerror(-f->result));
    } else if (f->status == STATUS_BAD_READ) {
        img_error("Error while reading offset %llu of %s: %s", at, f->side->filename,
                  strerror(-f->result));
    } else if (f->status && !c->quiet) {
        printf(f->strictly ? "Strict mode: Offset %llu block status mismatch!\n"
                           : "Content mismatch at offset %llu!\n",
               at);
    }
    return f->status;
}

static void compare(Compare *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[MOST_THREADS];
    unsigned started = 0;

    pthread_mutex_init(&c->lock, NULL);
    while (started + 1 < MIN(cores, (long)MOST_THREADS) &&
           pthread_create(&threads[started], NULL, compare_pieces, c) == 0) {
        started++;
    }
    compare_pieces(c);
    while (started) {
        pthread_join(threads[--started], NULL);
    }
    pthread_mutex_destroy(&c->lock);
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
    }
    status = compare_sizes(c);
    if (status) {
        return status;
    }
    img_progress_begin(&c->progress, options, true);
    c->total = MAX(c->side[0].size, c->side[1].size);
    compare(c);
    img_progress_end(&c->progress, !c->found.status);
    status = tell(c);
    if (status == 0 && !c->quiet) {
        puts("Images are identical.");
    }
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"a-format", required_argument, NULL, 'f'},
                                          {"b-format", required_argument, NULL, 'F'},
                                          {"strict", no_argument, NULL, 's'},
                                          {"cache", required_argument, NULL, 'T'},
                                          {0}};
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
        img_close(c.side[n].node, c.side[n].filename, &status);
    }
    return status;
}

const ImgCommand img_compare = {
    "compare", "[-f FORMAT] [-F FORMAT] [--image-opts] [-T CACHE] [-p] [-q] [-s] [-U] FILE1 FILE2",
    "tell whether two images have the same contents", run};
