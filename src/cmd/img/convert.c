/* menura img convert: copies images, one after the other, into a new one of any format.
 *
 * Several threads copy. Each takes the next piece of the source (under a lock, with what the
 * block status says of it), reads it, and writes what is not zero. Writing in the order of the
 * source keeps images of formats that allocate as they go contiguous, so threads take turns at it
 * unless the target has no such order (raw), compresses (which is what takes the time), or -W. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"
#include "cmd/img/img.h"

enum {
    PIECE = 2 << 20, /* bytes copied at a time */
    THREADS = 8,     /* -m's default; see choose_threads() */
    THREADS_MAX = 16,
    CLUSTER = 65536, /* where the target's format has none */
    SPARSE = 4096,   /* -S's default: bytes of zeroes worth a hole */
};

typedef struct Source {
    const char *filename;
    BlockNode *node;
    u64 start, size; /* in the target */
} Source;

typedef struct Convert {
    ImgOptions common;
    const char *output_format, *output_cache, *source_cache, *backing, *backing_format;
    const char *snapshot, *output;
    BlockOptions *options;
    u64 sparse, rate;
    u64 threads; /* 0: not said */
    bool compressed, no_create, unordered, target_is_zero, salvage, target_options;
    bool bitmaps, skip_broken;
    bool wants_help, created;

    Source *sources;
    size_t source_count;
    BlockNode *target;
    u64 total, cluster;
    bool one_writer; /* the kernel lets but one write at a time, and others spin: sleep instead */
    pthread_mutex_t writing;
    bool zero_already; /* what is not written reads as zeroes (or as the backing image) */
    ImgProgress progress;

    pthread_mutex_t lock;  /* guards everything below */
    struct Piece *waiting; /* for their turn */
    u64 next;              /* offset of the piece to take next */
    u64 written;           /* every piece that begins before it is written: whose turn it is */
    u64 done;              /* bytes dealt with */
    double start;          /* time */
    int result;            /* the first error, negative */
} Convert;

/* One piece, as a thread works on it. */
typedef struct Piece {
    const Source *source;
    u64 at, bytes;      /* in the target */
    bool zero;          /* reads as zeroes */
    bool skip;          /* nothing to do: the backing image shows */
    struct Piece *next; /* that waits */
    pthread_cond_t turn;
} Piece;

/* -- Taking pieces */

static const Source *source_at(const Convert *c, u64 at)
{
    for (size_t n = 0; n < c->source_count; n++) {
        if (at - c->sources[n].start < c->sources[n].size) {
            return &c->sources[n];
        }
    }
    return NULL;
}

/* Looks at what comes next. Pieces end at a cluster's end where they can. */
static int describe(const Convert *c, u64 at, Piece *piece)
{
    const Source *source = source_at(c, at);
    u64 inside = at - source->start, room = source->size - inside;
    BlockExtent extent;
    int result;

    result = c->backing ? block_map(source->node, inside, room, &extent)
                        : block_map_chain(source->node, NULL, inside, room, &extent);
    if (result < 0 && !c->salvage) {
        return result;
    }
    if (result < 0) {
        extent = (BlockExtent){.flags = BLOCK_DATA | BLOCK_ALLOCATED, .bytes = room};
    }
    piece->source = source;
    piece->at = at;
    piece->skip = c->backing && !(extent.flags & BLOCK_ALLOCATED);
    piece->zero = !piece->skip && (extent.flags & BLOCK_ZERO || !(extent.flags & BLOCK_ALLOCATED));
    /* -S 0: everything is to be allocated, zeroes too. */
    piece->zero = piece->zero && c->sparse;
    piece->bytes = MIN(extent.bytes, room);
    if (piece->zero || piece->skip) {
        return 0;
    }
    piece->bytes = MIN(piece->bytes, PIECE);
    if (c->compressed && source->node) {
        /* Compressed writes are of whole clusters: read across extents. */
        piece->bytes = MIN(c->cluster, room);
    }
    return 0;
}

/* Compressed targets take whole clusters only: an extent that begins or ends inside one is data. */
static void align_to_clusters(const Convert *c, Piece *piece)
{
    u64 room = piece->source->size - (piece->at - piece->source->start);

    if (!c->compressed || !(piece->zero || piece->skip)) {
        return;
    }
    if (piece->bytes < c->cluster && piece->bytes < room) {
        piece->zero = piece->skip = false;
        piece->bytes = MIN(c->cluster, room);
    } else if (piece->bytes < room) {
        piece->bytes -= piece->bytes % c->cluster;
    }
}

static bool take_piece(Convert *c, Piece *piece)
{
    bool taken = false;

    pthread_mutex_lock(&c->lock);
    if (c->result >= 0 && c->next < c->total && !img_interrupted()) {
        c->result = describe(c, c->next, piece);
        if (c->result >= 0) {
            align_to_clusters(c, piece);
            c->next += piece->bytes;
            taken = true;
        } else {
            img_error("error while reading block status at offset %llu: %s",
                      (unsigned long long)c->next, strerror(-c->result));
        }
    }
    pthread_mutex_unlock(&c->lock);
    return taken;
}

/* -- Copying one */

static int fail(const char *verb, u64 at, int result)
{
    img_error("error while %s at byte %llu: %s", verb, (unsigned long long)at, strerror(-result));
    return result;
}

/* Sector by sector where the whole can't be read; unreadable ones become zeroes. */
static void salvage(const Piece *piece, u8 *buffer)
{
    enum { SECTOR = 512 };
    u64 from = piece->at - piece->source->start;

    for (u64 at = 0; at < piece->bytes; at += SECTOR) {
        size_t part = MIN(SECTOR, piece->bytes - at);
        int result = block_pread(piece->source->node, from + at, buffer + at, part);
        if (result < 0) {
            fprintf(stderr, "warning: error while reading offset %llu: %s\n",
                    (unsigned long long)(from + at), strerror(-result));
            memset(buffer + at, 0, part);
        }
    }
}

static int read_piece(const Convert *c, const Piece *piece, u8 *buffer)
{
    int result =
        block_pread(piece->source->node, piece->at - piece->source->start, buffer, piece->bytes);

    if (result < 0 && c->salvage) {
        salvage(piece, buffer);
        result = 0;
    }
    return result < 0 ? fail("reading", piece->at, result) : 0;
}

static int write_zeroes(const Convert *c, u64 at, u64 bytes)
{
    int result = c->zero_already ? 0 : block_zero(c->target, at, bytes, BLOCK_MAY_UNMAP);

    return result < 0 ? fail("writing zeroes", at, result) : 0;
}

/* Length of the run at `data` that is all zeroes, or all not, in steps of c->sparse. */
static size_t same_run(const Convert *c, const u8 *data, size_t bytes, bool *zero)
{
    size_t at = 0;

    *zero = c->sparse && block_is_zero(data, MIN(c->sparse, bytes));
    while (at < bytes &&
           (!c->sparse || block_is_zero(data + at, MIN(c->sparse, bytes - at)) == *zero)) {
        at += c->sparse ? MIN(c->sparse, bytes - at) : bytes;
    }
    return at;
}

static int write_data(const Convert *c, u64 at, const u8 *data, size_t bytes)
{
    int result = 0;

    if (c->compressed) {
        if (c->sparse && block_is_zero(data, bytes)) {
            return write_zeroes(c, at, bytes);
        }
        result = block_pwrite(c->target, at, data, bytes, BLOCK_COMPRESSED);
        return result < 0 ? fail("compressing", at, result) : 0;
    }
    while (bytes && result >= 0) {
        bool zero;
        size_t run = same_run(c, data, bytes, &zero);
        if (zero) {
            result = write_zeroes(c, at, run);
        } else {
            result = block_pwrite(c->target, at, data, run, 0);
            result = result < 0 ? fail("writing", at, result) : 0;
        }
        at += run;
        data += run;
        bytes -= run;
    }
    return result;
}

/* -- Threads */

/* Waits until what is before the piece is written, if order matters; false if a thread failed. */
static bool wait_for_turn(Convert *c, Piece *piece)
{
    bool well;

    pthread_mutex_lock(&c->lock);
    piece->next = c->waiting;
    c->waiting = piece;
    while (!c->unordered && c->written != piece->at && c->result >= 0) {
        pthread_cond_wait(&piece->turn, &c->lock);
    }
    Piece **link = &c->waiting;
    while (*link != piece) {
        link = &(*link)->next;
    }
    *link = piece->next;
    well = c->result >= 0;
    pthread_mutex_unlock(&c->lock);
    return well;
}

/* Wakes whose turn it is: one thread, or all when there is nothing more to write. */
static void pass_turn(Convert *c)
{
    for (Piece *piece = c->waiting; piece; piece = piece->next) {
        if (piece->at == c->written || c->result < 0) {
            pthread_cond_signal(&piece->turn);
        }
    }
}

static void finish_piece(Convert *c, const Piece *piece, int result)
{
    u64 done;

    pthread_mutex_lock(&c->lock);
    if (result < 0 && c->result >= 0) {
        c->result = result;
    }
    c->written = piece->at + piece->bytes;
    c->done += piece->bytes;
    done = c->done;
    img_progress(&c->progress, done, c->total);
    pass_turn(c);
    pthread_mutex_unlock(&c->lock);
    img_throttle(c->rate, c->start, done);
}

static int copy_piece(Convert *c, Piece *piece, u8 *buffer)
{
    int result = 0;

    if (!piece->zero && !piece->skip) {
        result = read_piece(c, piece, buffer);
    }
    if (!wait_for_turn(c, piece) || result < 0 || piece->skip) {
        return result;
    }
    if (piece->zero) {
        return write_zeroes(c, piece->at, piece->bytes);
    }
    if (c->one_writer) {
        pthread_mutex_lock(&c->writing);
    }
    result = write_data(c, piece->at, buffer, piece->bytes);
    if (c->one_writer) {
        pthread_mutex_unlock(&c->writing);
    }
    return result;
}

static void *copy_pieces(void *opaque)
{
    Convert *c = opaque;
    u8 *buffer = block_buffer_new(MAX(PIECE, c->cluster));
    Piece piece = {.turn = PTHREAD_COND_INITIALIZER};

    if (!buffer) {
        pthread_mutex_lock(&c->lock);
        c->result = -ENOMEM;
        pthread_mutex_unlock(&c->lock);
    }
    while (buffer && take_piece(c, &piece)) {
        finish_piece(c, &piece, copy_piece(c, &piece, buffer));
    }
    free(buffer);
    return NULL;
}

/* Is all of the disk in files that the host caches? */
static bool is_cached(const BlockNode *node)
{
    for (; node; node = node->backing) {
        const BlockNode *file = node->file ? node->file : node;
        if (file->fd < 0 || (file->flags & BLOCK_DIRECT)) {
            return false;
        }
    }
    return true;
}

/* Threads that -m did not ask for. Where requests take long, many are to be under way; from cache
 * to cache they take as long as copying, and more threads than processors (and one in reserve) only
 * keep each other from their turn. */
static u64 choose_threads(const Convert *c)
{
    bool cached = is_cached(c->target) && !c->compressed;

    for (size_t n = 0; n < c->source_count; n++) {
        cached = cached && is_cached(c->sources[n].node);
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return cached ? MIN((u64)MAX(processors, 1l) + 1, (u64)THREADS) : THREADS;
}

static int copy_all(Convert *c)
{
    pthread_t threads[THREADS_MAX];
    size_t started = 0;

    c->threads = c->threads ? c->threads : choose_threads(c);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->writing, NULL);
    c->start = img_now();
    img_progress_begin(&c->progress, &c->common, true);
    while (started + 1 < c->threads &&
           pthread_create(&threads[started], NULL, copy_pieces, c) == 0) {
        started++;
    }
    copy_pieces(c);
    for (size_t n = 0; n < started; n++) {
        pthread_join(threads[n], NULL);
    }
    img_progress_end(&c->progress, c->result >= 0 && !img_interrupted());
    return c->result < 0 ? 1 : 0;
}

/* -- The target */

/* Options that the command line's letters stand for. */
static int complete_options(Convert *c)
{
    if (c->backing) {
        block_options_set(c->options, "backing_file", c->backing);
        if (!c->backing_format) {
            return img_error("backing format (-F) is needed with -B");
        }
        block_options_set(c->options, "backing_fmt", c->backing_format);
    }
    c->backing = block_options_get(c->options, "backing_file");
    if (!block_options_get(c->options, "size")) {
        block_options_setf(c->options, "size", "%llu", (unsigned long long)c->total);
    }
    return 0;
}

static bool asks_for_encryption(const BlockOptions *options)
{
    const char *old_way = block_options_get(options, "encryption");

    return block_options_get(options, "encrypt.format") || (old_way && !strcmp(old_way, "on"));
}

static int create_target(Convert *c)
{
    const BlockDriver *driver = block_driver_find(c->output_format);
    BlockError error;

    if (!driver) {
        return img_error("Unknown file format '%s'", c->output_format);
    }
    if (complete_options(c)) {
        return 1;
    }
    if (c->compressed && asks_for_encryption(c->options)) {
        return img_error("Compression and encryption not supported at the same time");
    }
    if (block_create(driver, c->output, c->options, &error) < 0) {
        return img_error("%s: error while converting %s: %s", c->output, c->output_format,
                         error.text);
    }
    c->created = true;
    return 0;
}

/* What the format says of the target decides how to write to it. */
static int inspect_target(Convert *c)
{
    BlockError error;
    BlockInfo info;
    const char *preallocation = block_options_get(c->options, "preallocation");

    if (block_info(c->target, &info, &error) < 0) {
        return img_error("%s", error.text);
    }
    c->cluster = info.cluster_size ? info.cluster_size : CLUSTER;
    if (c->sparse && info.cluster_size) {
        /* A hole smaller than what the target allocates at once saves nothing. */
        c->sparse = MAX(c->sparse, MIN(c->cluster, CLUSTER));
    }
    c->zero_already = c->target_is_zero || (c->created && info.is_zero_initialised && !c->backing);
    if (preallocation && !strcmp(preallocation, "full") && c->created && !c->target_is_zero) {
        c->zero_already = true;
    }
    c->compressed |= info.needs_compressed;
    c->unordered |= !strcmp(info.format, "raw") || c->compressed;
    c->one_writer = !c->compressed && !(c->target->flags & BLOCK_DIRECT);
    if (c->compressed && (!info.compressed || info.encrypted)) {
        block_info_free(&info);
        return img_error("Compression not supported for this file format");
    }
    block_info_free(&info);
    if (block_size(c->target) < c->total) {
        return img_error("output file is smaller than input file");
    }
    return 0;
}

static int open_target(Convert *c)
{
    ImgOptions options = {.image_options = c->target_options};
    BlockOptions *list = img_options_new();

    if (!c->target_options) {
        block_options_set(list, "driver", c->output_format);
        img_add_key_secrets(list, c->options);
    }
    c->target =
        img_open_with(&options, c->output, list, c->output_cache, BLOCK_WRITE | BLOCK_UNMAP);
    block_options_free(list);
    return c->target ? inspect_target(c) : 1;
}

static int copy_bitmaps(Convert *c)
{
    BlockNode *from = c->sources[0].node;
    BlockBitmapInfo *list;
    BlockError error;
    int count = block_bitmap_list(from, &list, &error), status = 0;

    if (count < 0) {
        return img_error("%s", error.text);
    }
    for (int n = 0; n < count && status == 0; n++) {
        if (list[n].in_use && c->skip_broken) {
            fprintf(stderr, "warning: Skipping inconsistent bitmap '%s'\n", list[n].name);
        } else if (list[n].in_use) {
            status = img_error("Cannot copy inconsistent bitmap '%s'", list[n].name);
        } else if (block_bitmap_add(c->target, list[n].name, list[n].granularity, list[n].enabled,
                                    &error) < 0 ||
                   block_bitmap_merge(c->target, list[n].name, from, list[n].name, &error) < 0) {
            status = img_error("Failed to populate bitmap %s: %s", list[n].name, error.text);
        }
    }
    free(list);
    return status;
}

static int fill_target(Convert *c)
{
    int status = open_target(c);

    if (status == 0) {
        status = copy_all(c);
    }
    if (status == 0 && c->bitmaps && !img_interrupted()) {
        status = copy_bitmaps(c);
    }
    img_close(c->target, c->output, &status);
    if (img_interrupted()) {
        status = c->created && unlink(c->output) == 0
                     ? img_error("interrupted; the incomplete '%s' is removed", c->output)
                     : img_error("interrupted; '%s' is incomplete", c->output);
    }
    return status;
}

/* -- Sources */

/* snapshot.id=ID,snapshot.name=NAME, or just either. */
static int load_snapshot(const Convert *c, BlockNode *node)
{
    BlockOptions *list = block_options_new();
    const char *name = c->snapshot;
    BlockError error;
    int status = 0;

    if (!strncmp(name, "snapshot.", 9)) {
        if (block_options_parse(list, name, NULL, &error) < 0) {
            status = img_error("%s", error.text);
        }
        name = block_options_get(list, "snapshot.id");
        name = name ? name : block_options_get(list, "snapshot.name");
    }
    if (status == 0 && (!name || block_snapshot_load(node, name, &error) < 0)) {
        status = img_error("Failed to load snapshot: %s", name ? error.text : c->snapshot);
    }
    block_options_free(list);
    return status;
}

static int open_sources(Convert *c, char **names)
{
    c->sources = calloc(c->source_count, sizeof *c->sources);
    for (size_t n = 0; n < c->source_count; n++) {
        Source *s = &c->sources[n];
        s->filename = names[n];
        s->node = img_open_as(&c->common, names[n], c->common.format, c->source_cache, 0);
        if (!s->node) {
            return 1;
        }
        if (c->snapshot && load_snapshot(c, s->node)) {
            return 1;
        }
        s->start = c->total;
        s->size = block_size(s->node);
        c->total += s->size;
    }
    return 0;
}

static void close_sources(Convert *c, int *status)
{
    for (size_t n = 0; c->sources && n < c->source_count; n++) {
        img_close(c->sources[n].node, c->sources[n].filename, status);
    }
    free(c->sources);
}

/* -- The command line */

enum {
    OPTION_TARGET_OPTIONS = IMG_OPTION_OWN,
    OPTION_TARGET_IS_ZERO,
    OPTION_BITMAPS,
    OPTION_SALVAGE,
    OPTION_SKIP_BROKEN,
};

static bool take_option(Convert *c, int option, int *status)
{
    BlockError error;

    switch (option) {
    case 'O':
        c->output_format = optarg;
        return true;
    case 'b': /* what newer versions of qemu-img call it */
    case 'B':
        c->backing = optarg;
        return true;
    case 'F':
        c->backing_format = optarg;
        return true;
    case 'T':
        c->source_cache = optarg;
        return true;
    case 't':
        c->output_cache = optarg;
        return true;
    case 'l':
        c->snapshot = optarg;
        return true;
    case 'c':
        c->compressed = true;
        return true;
    case 'n':
        c->no_create = true;
        return true;
    case 'W':
        c->unordered = true;
        return true;
    case 'C': /* copying takes the shortest way anyhow */
        return true;
    case OPTION_TARGET_OPTIONS:
        c->target_options = true;
        return true;
    case OPTION_TARGET_IS_ZERO:
        c->target_is_zero = true;
        return true;
    case OPTION_BITMAPS:
        c->bitmaps = true;
        return true;
    case OPTION_SKIP_BROKEN:
        c->skip_broken = true;
        return true;
    case OPTION_SALVAGE:
        c->salvage = true;
        return true;
    case 'm':
        return img_parse_number("number of coroutines", optarg, 1, THREADS_MAX, &c->threads);
    case 'S':
        return img_parse_size("sparse size", optarg, &c->sparse);
    case 'r':
        return img_parse_size("rate limit", optarg, &c->rate);
    case 'o':
        c->wants_help |= img_wants_help(optarg);
        if (!c->wants_help && block_options_parse(c->options, optarg, NULL, &error) < 0) {
            img_error("%s", error.text);
            return false;
        }
        return true;
    default:
        return img_take_option(&c->common, option, &img_convert, status);
    }
}

static bool parse(Convert *c, int argc, char **argv, int *status)
{
    static const struct option longs[] = {
        IMG_COMMON_LONG_OPTIONS,
        {"target-image-opts", no_argument, NULL, OPTION_TARGET_OPTIONS},
        {"target-is-zero", no_argument, NULL, OPTION_TARGET_IS_ZERO},
        {"bitmaps", no_argument, NULL, OPTION_BITMAPS},
        {"salvage", no_argument, NULL, OPTION_SALVAGE},
        {"skip-broken-bitmaps", no_argument, NULL, OPTION_SKIP_BROKEN},
        {"source-format", required_argument, NULL, 'f'},
        {"source-cache", required_argument, NULL, 'T'},
        {"snapshot", required_argument, NULL, 'l'},
        {"target-format", required_argument, NULL, 'O'},
        {"target-format-options", required_argument, NULL, 'o'},
        {"target-cache", required_argument, NULL, 't'},
        {"backing", required_argument, NULL, 'B'},
        {"backing-format", required_argument, NULL, 'F'},
        {"sparse-size", required_argument, NULL, 'S'},
        {"no-create", no_argument, NULL, 'n'},
        {"compress", no_argument, NULL, 'c'},
        {"rate-limit", required_argument, NULL, 'r'},
        {"parallel", required_argument, NULL, 'm'},
        {"copy-range-offloading", no_argument, NULL, 'C'},
        {"oob-writes", no_argument, NULL, 'W'},
        {0}};
    int option;

    *status = 1; /* unless help was asked for */
    while ((option = getopt_long(argc, argv, "f:O:b:B:F:Cco:l:S:pt:T:qnm:Wr:Uh", longs, NULL)) !=
           -1) {
        if (!take_option(c, option, status)) {
            return false;
        }
    }
    *status = 0;
    return true;
}

static int check_usage(const Convert *c, int names)
{
    if (names < 2 && !c->wants_help) {
        return img_usage("Must specify image file name");
    }
    if (c->compressed && c->no_create && c->common.image_options) {
        return 0;
    }
    if (c->target_is_zero && !c->no_create) {
        return img_usage("--target-is-zero requires use of -n flag");
    }
    if (c->skip_broken && !c->bitmaps) {
        return img_usage("Use of --skip-broken-bitmaps requires --bitmaps");
    }
    if (c->target_options && !c->no_create) {
        return img_usage("--target-image-opts requires use of -n flag");
    }
    if (c->sparse % 512) {
        return img_error("Invalid buffer size for sparse output specified: it must be a multiple "
                         "of 512");
    }
    return 0;
}

static int convert(Convert *c, char **names)
{
    const BlockDriver *driver = block_driver_find(c->output_format);
    int status;

    if (c->wants_help) {
        if (!driver) {
            return img_error("Unknown file format '%s'", c->output_format);
        }
        img_print_options(c->output_format, "Create", block_driver_create_options(driver));
        return 0;
    }
    status = open_sources(c, names);
    if (status == 0 && c->bitmaps && c->source_count > 1) {
        status = img_usage("Copying bitmaps only possible with single source");
    }
    if (status == 0 && !c->no_create) {
        status = create_target(c);
    }
    if (status == 0) {
        img_catch_interrupts();
        status = fill_target(c);
    }
    close_sources(c, &status);
    return status;
}

static int run(int argc, char **argv)
{
    Convert c = {
        .output_format = "raw",
        .output_cache = "unsafe",
        .options = img_options_new(),
        .sparse = SPARSE,
    };
    int status;

    if (parse(&c, argc, argv, &status)) {
        status = check_usage(&c, argc - optind);
        if (status == 0) {
            c.source_count = c.wants_help ? 0 : (size_t)(argc - optind - 1);
            c.output = c.wants_help ? NULL : argv[argc - 1];
            status = convert(&c, argv + optind);
        }
    }
    block_options_free(c.options);
    return status;
}

const ImgCommand img_convert = {
    "convert",
    "[-f FORMAT] [-O FORMAT] [-o OPTIONS|help] [-B BACKING -F FORMAT] [-c] [-C] [-l SNAPSHOT] [-m "
    "THREADS] [-n] [-p] [-q] [-r RATE] [-S SIZE] [-t CACHE] [-T CACHE] [-U] [-W] [--bitmaps "
    "[--skip-broken-bitmaps]] [--image-opts] [--salvage] [--target-image-opts] [--target-is-zero] "
    "FILE... OUTPUT",
    "copy images into a new one, of any format", run};
