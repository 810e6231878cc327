/* menura img dd: copies blocks of an image into a new one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "cmd/img/img.h"

enum { CHUNK = 2 << 20 };

typedef struct Dd {
    ImgOptions common;
    const char *output_format;
    const char *input, *output;
    u64 block, count, skip;
    bool has_count;
} Dd;

/* One "name=value" operand. */
static bool take_operand(Dd *d, const char *operand)
{
    const char *value = strchr(operand, '=');
    size_t length = value ? (size_t)(value - operand) : 0;

    if (!value) {
        img_error("unrecognized operand %s", operand);
        return false;
    }
    value++;
    if (length == 2 && !strncmp(operand, "if", 2)) {
        d->input = value;
        return true;
    }
    if (length == 2 && !strncmp(operand, "of", 2)) {
        d->output = value;
        return true;
    }
    if (length == 2 && !strncmp(operand, "bs", 2)) {
        if (!img_parse_size("number", value, &d->block)) {
            return false;
        }
        if (d->block == 0 || d->block > INT32_MAX) {
            img_error("Invalid number: '%s'", value);
            return false;
        }
        return true;
    }
    if (length == 5 && !strncmp(operand, "count", 5)) {
        d->has_count = true;
        return img_parse_size("number", value, &d->count);
    }
    if (length == 4 && !strncmp(operand, "skip", 4)) {
        return img_parse_size("number", value, &d->skip);
    }
    img_error("unrecognized operand %s", operand);
    return false;
}

static int copy(BlockNode *from, BlockNode *to, u64 start, u64 bytes)
{
    u8 *buffer = block_buffer_new(CHUNK);
    int result = buffer ? 0 : -ENOMEM;

    for (u64 at = 0; at < bytes && result >= 0; at += CHUNK) {
        size_t part = MIN(CHUNK, bytes - at);
        if (img_interrupted()) {
            free(buffer);
            return img_error("interrupted; '%s' is incomplete", block_filename(to));
        }
        result = block_pread(from, start + at, buffer, part);
        if (result >= 0 && !block_is_zero(buffer, part)) {
            result = block_pwrite(to, at, buffer, part, 0);
        }
    }
    free(buffer);
    return result < 0 ? img_error("error while copying: %s", strerror(-result)) : 0;
}

/* Makes the output as large as what is copied, and fills it. */
static int fill(const Dd *d, BlockNode *from)
{
    const BlockDriver *driver = block_driver_find(d->output_format);
    u64 size = block_size(from);
    u64 start = d->skip > size / d->block ? size : d->skip * d->block;
    u64 bytes = size - start;
    BlockOptions *options;
    BlockNode *to = NULL;
    BlockError error;
    int status = 0;

    if (!driver) {
        return img_error("Unknown file format '%s'", d->output_format);
    }
    if (d->has_count && d->count < bytes / d->block + 1) {
        bytes = MIN(bytes, d->count * d->block);
    }
    options = img_options_new();
    block_options_setf(options, "size", "%llu", (unsigned long long)bytes);
    if (block_create(driver, d->output, options, &error) < 0) {
        status = img_error("%s: error while creating output image: %s", d->output, error.text);
    } else {
        to = img_open_as(&(ImgOptions){0}, d->output, d->output_format, NULL, BLOCK_WRITE);
        status = to ? copy(from, to, start, bytes) : 1;
        img_close(to, d->output, &status);
    }
    block_options_free(options);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {
        IMG_COMMON_LONG_OPTIONS, {"output-format", required_argument, NULL, 'O'}, {0}};
    Dd d = {.output_format = "raw", .block = 512};
    int option, status = 0;
    BlockNode *from;

    while ((option = getopt_long(argc, argv, "f:O:Uh", longs, NULL)) != -1) {
        if (option == 'O') {
            d.output_format = optarg;
        } else if (!img_take_option(&d.common, option, &img_dd, &status)) {
            return status;
        }
    }
    for (; optind < argc; optind++) {
        if (!take_operand(&d, argv[optind])) {
            return 1;
        }
    }
    if (!d.input || !d.output) {
        return img_error("Must specify both input and output file names");
    }
    img_catch_interrupts();
    from = img_open(&d.common, d.input, 0);
    if (!from) {
        return 1;
    }
    status = fill(&d, from);
    img_close(from, d.input, &status);
    return status;
}

const ImgCommand img_dd = {
    "dd",
    "[--image-opts] [-U] [-f FORMAT] [-O FORMAT] [bs=SIZE] [count=N] [skip=N] if=FILE of=FILE",
    "copy blocks of an image into a new one", run};
