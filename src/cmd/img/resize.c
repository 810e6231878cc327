/* menura img resize: makes an image larger, or with --shrink smaller. */
#include <stdio.h>
#include <string.h>

#include "cmd/img/img.h"

/* The new size: absolute, or "+N" or "-N" from the present one. */
static bool new_size(const char *text, u64 old, u64 *size)
{
    bool relative = *text == '+' || *text == '-';
    u64 amount;

    if (!img_parse_size("new size", text + relative, &amount)) {
        return false;
    }
    if (*text == '-' && amount > old) {
        img_error("New image size must be positive");
        return false;
    }
    *size = *text == '+' ? old + amount : *text == '-' ? old - amount : amount;
    return true;
}

static int resize(BlockNode *node, const char *text, BlockPrealloc mode, bool shrink, bool quiet)
{
    BlockError error;
    u64 size;

    if (!new_size(text, block_size(node), &size)) {
        return 1;
    }
    if (size < block_size(node) && !shrink) {
        return img_error("Shrinking an image deletes all data beyond its new end; "
                         "use --shrink if that is meant");
    }
    if (size < block_size(node) && mode != BLOCK_PREALLOC_OFF) {
        return img_error("Preallocation can only be used for growing images");
    }
    if (block_truncate(node, size, mode, &error) < 0) {
        return img_error("%s", error.text);
    }
    if (!quiet) {
        puts("Image resized.");
    }
    return 0;
}

static int run(int argc, char **argv)
{
    enum { OPTION_SHRINK = IMG_OPTION_OWN, OPTION_PREALLOCATION };
    static const struct option longs[] = {
        IMG_COMMON_LONG_OPTIONS,
        {"shrink", no_argument, NULL, OPTION_SHRINK},
        {"preallocation", required_argument, NULL, OPTION_PREALLOCATION},
        {0}};
    BlockPrealloc mode = BLOCK_PREALLOC_OFF;
    ImgOptions options = {0};
    const char *size = NULL;
    bool shrink = false;
    int option, status = 0;
    BlockNode *node;

    /* The size comes last, and "-1G" must not be taken for options. */
    if (argc > 2) {
        size = argv[--argc];
        argv[argc] = NULL;
    }
    while ((option = getopt_long(argc, argv, "f:qh", longs, NULL)) != -1) {
        if (option == OPTION_SHRINK) {
            shrink = true;
        } else if (option == OPTION_PREALLOCATION) {
            if (!block_prealloc_parse(optarg, &mode)) {
                return img_error("Invalid preallocation mode '%s'", optarg);
            }
        } else if (!img_take_option(&options, option, &img_resize, &status)) {
            return status;
        }
    }
    if (!size || optind != argc - 1) {
        return img_usage("Expecting image file name and size");
    }
    node = img_open(&options, argv[optind], BLOCK_WRITE);
    if (!node) {
        return 1;
    }
    status = resize(node, size, mode, shrink, options.quiet);
    img_close(node, argv[optind], &status);
    return status;
}

const ImgCommand img_resize = {
    "resize", "[-f FORMAT] [--image-opts] [--preallocation=MODE] [--shrink] [-q] FILE [+|-]SIZE",
    "change the size of an image", run};
