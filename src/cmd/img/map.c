/* menura img map: which parts of an image are data, and where they lie. */
#include <stdio.h>
#include <string.h>

#include "cmd/img/img.h"

/* A run of extents that say the same. */
typedef struct Run {
    u64 start, length;
    BlockExtent extent; /* of its beginning */
} Run;

/* Asks the node that holds the bytes whether they are a hole there. */
static void look_below(BlockExtent *extent, u64 bytes)
{
    BlockExtent below;

    if (!(extent->flags & BLOCK_LOOK_BELOW) || !(extent->flags & BLOCK_OFFSET) || !extent->file ||
        block_map(extent->file, extent->offset, bytes, &below) < 0) {
        return;
    }
    extent->bytes = MIN(extent->bytes, below.bytes);
    if (below.flags & BLOCK_ZERO) {
        extent->flags |= BLOCK_ZERO;
        extent->flags &= ~(unsigned)BLOCK_DATA;
    }
}

static bool continues(const Run *run, const BlockExtent *next)
{
    const BlockExtent *e = &run->extent;

    return run->length && e->flags == next->flags && e->depth == next->depth &&
           (!(e->flags & BLOCK_OFFSET) ||
            (e->file == next->file && e->offset + run->length == next->offset));
}

/* -- Output */

static int print_human(const Run *run)
{
    const BlockExtent *e = &run->extent;

    if (!(e->flags & BLOCK_DATA) || e->flags & BLOCK_ZERO) {
        return 0;
    }
    if (!(e->flags & BLOCK_OFFSET)) {
        return img_error("File contains external, encrypted or compressed clusters.");
    }
    printf("%#-16llx%#-16llx%#-16llx%s\n", (unsigned long long)run->start,
           (unsigned long long)run->length, (unsigned long long)e->offset, block_filename(e->file));
    return 0;
}

static const char *word(unsigned flags, unsigned flag)
{
    return flags & flag ? "true" : "false";
}

static int print_json(const Run *run, bool first)
{
    const BlockExtent *e = &run->extent;

    printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, \"present\": %s, \"zero\": %s, "
           "\"data\": %s, \"compressed\": %s",
           first ? "[" : ",\n", (unsigned long long)run->start, (unsigned long long)run->length,
           e->depth, word(e->flags, BLOCK_ALLOCATED), word(e->flags, BLOCK_ZERO),
           word(e->flags, BLOCK_DATA), word(e->flags, BLOCK_IS_COMPRESSED));
    if (e->flags & BLOCK_OFFSET) {
        printf(", \"offset\": %llu", (unsigned long long)e->offset);
    }
    putchar('}');
    return 0;
}

static int print_run(const Run *run, bool json, bool *first)
{
    int status;

    if (!run->length) {
        return 0;
    }
    status = json ? print_json(run, *first) : print_human(run);
    *first = false;
    return status;
}

/* -- The command */

static int map(BlockNode *node, u64 start, u64 end, bool json)
{
    Run run = {0};
    bool first = true;
    int status = 0;

    if (!json) {
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    }
    for (u64 at = start; at < end && status == 0;) {
        BlockExtent extent;
        int result = block_map_chain(node, NULL, at, end - at, &extent);
        if (result < 0) {
            return img_error("Failed to read image metadata: %s", strerror(-result));
        }
        look_below(&extent, extent.bytes);
        if (!continues(&run, &extent)) {
            status = print_run(&run, json, &first);
            run = (Run){.start = at, .extent = extent};
        }
        run.length += extent.bytes;
        at += extent.bytes;
    }
    if (status == 0) {
        status = print_run(&run, json, &first);
    }
    if (json) {
        puts(first ? "[]" : "]");
    }
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"start-offset", required_argument, NULL, 's'},
                                          {"max-length", required_argument, NULL, 'l'},
                                          {0}};
    ImgOptions options = {0};
    u64 start = 0, length = INT64_MAX;
    int option, status = 0;
    BlockNode *node;

    while ((option = getopt_long(argc, argv, "f:s:l:Uh", longs, NULL)) != -1) {
        if (option == 's') {
            if (!img_parse_size("start offset", optarg, &start)) {
                return 1;
            }
        } else if (option == 'l') {
            if (!img_parse_size("maximum length", optarg, &length)) {
                return 1;
            }
        } else if (!img_take_option(&options, option, &img_map, &status)) {
            return status;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    node = img_open(&options, argv[optind], 0);
    if (!node) {
        return 1;
    }
    start = MIN(start, block_size(node));
    status = map(node, start, start + MIN(length, block_size(node) - start), options.json);
    img_close(node, argv[optind], &status);
    return status;
}

const ImgCommand img_map = {"map",
                            "[-f FORMAT] [--image-opts] [--start-offset=OFFSET] "
                            "[--max-length=LENGTH] [--output=human|json] [-U] FILE",
                            "show which parts are data, and where they lie", run};
