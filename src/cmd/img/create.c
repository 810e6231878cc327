/* menura img create: a new, empty image. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "cmd/img/img.h"

typedef struct Create {
    ImgOptions common;
    const char *format;
    const char *backing, *backing_format;
    bool unsafe; /* -u: don't open the backing file */
    bool wants_help;
    BlockOptions *options;
} Create;

static bool parse(Create *c, int argc, char **argv, int *status)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"options", required_argument, NULL, 'o'},
                                          {"backing", required_argument, NULL, 'b'},
                                          {"backing-format", required_argument, NULL, 'B'},
                                          {"backing-unsafe", no_argument, NULL, 'u'},
                                          {0}};
    BlockError error;
    int option;

    while ((option = getopt_long(argc, argv, "f:b:F:B:uo:qh", longs, NULL)) != -1) {
        switch (option) {
        case 'f':
            c->format = optarg;
            break;
        case 'b':
            c->backing = optarg;
            break;
        case 'F':
        case 'B': /* what newer versions of qemu-img call it */
            c->backing_format = optarg;
            break;
        case 'u':
            c->unsafe = true;
            break;
        case 'o':
            c->wants_help |= img_wants_help(optarg);
            if (!c->wants_help && block_options_parse(c->options, optarg, NULL, &error) < 0) {
                *status = img_error("%s", error.text);
                return false;
            }
            break;
        default:
            if (!img_take_option(&c->common, option, &img_create, status)) {
                return false;
            }
        }
    }
    return true;
}

/* The backing file must exist, and gives the size when none is given. */
static int take_backing(Create *c, const char *filename)
{
    const char *backing = block_options_get(c->options, "backing_file");
    const char *format = block_options_get(c->options, "backing_fmt");
    char size[24], *beside;
    BlockNode *node;
    int status = 0;

    if (!backing || !*backing) {
        return 0;
    }
    if (!format) {
        return img_error("%s: Backing file specified without backing format (-F or backing_fmt)",
                         filename);
    }
    if (c->unsafe) {
        return 0;
    }
    beside = block_path_beside(filename, backing);
    node = img_open_as(&(ImgOptions){.share = true}, beside, format, NULL, BLOCK_NO_IO);
    if (!node) {
        free(beside);
        return 1;
    }
    if (!block_options_get(c->options, "size")) {
        snprintf(size, sizeof size, "%llu", (unsigned long long)block_size(node));
        block_options_set(c->options, "size", size);
    }
    img_close(node, beside, &status);
    free(beside);
    return status;
}

static void announce(const Create *c, const char *filename)
{
    const char *key, *value;

    printf("Formatting '%s', fmt=%s", filename, c->format);
    for (size_t n = 0; block_options_at(c->options, n, &key, &value); n++) {
        printf(" %s=%s", key, value);
    }
    putchar('\n');
    fflush(stdout);
}

static int create(Create *c, const char *filename, const char *size_text)
{
    const BlockDriver *driver = block_driver_find(c->format);
    BlockError error;
    u64 size;
    int status;

    if (!driver) {
        return img_error("%s: Unknown file format '%s'", filename, c->format);
    }
    if (c->wants_help) {
        img_print_options(c->format, "Create", block_driver_create_options(driver));
        return 0;
    }
    if (c->backing) {
        block_options_set(c->options, "backing_file", c->backing);
    }
    if (c->backing_format) {
        block_options_set(c->options, "backing_fmt", c->backing_format);
    }
    if (size_text) {
        if (!img_parse_size("image size", size_text, &size)) {
            return 1;
        }
        block_options_setf(c->options, "size", "%llu", (unsigned long long)size);
    }
    status = take_backing(c, filename);
    if (status) {
        return status;
    }
    if (!block_options_get(c->options, "size")) {
        return img_error("%s: Image creation needs a size parameter", filename);
    }
    if (!c->common.quiet) {
        announce(c, filename);
    }
    if (block_create(driver, filename, c->options, &error) < 0) {
        return img_error("%s: %s", filename, error.text);
    }
    return 0;
}

static int run(int argc, char **argv)
{
    Create c = {.format = "raw", .options = img_options_new()};
    int status = 0;

    if (parse(&c, argc, argv, &status)) {
        if (optind >= argc && !c.wants_help) {
            status = img_usage("Expecting image file name");
        } else if (argc - optind > 2) {
            status = img_usage("Unexpected argument: %s", argv[optind + 2]);
        } else {
            status = create(&c, argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL);
        }
    }
    block_options_free(c.options);
    return status;
}

const ImgCommand img_create = {
    "create", "[-f FORMAT] [-b BACKING -F FORMAT] [-u] [-q] [-o OPTIONS|help] FILE [SIZE]",
    "make a new image", run};
