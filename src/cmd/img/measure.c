/* menura img measure: how large a new image would get. */
#include <stdio.h>

#include "cmd/img/img.h"

typedef struct Measure {
    ImgOptions common;
    const char *output_format, *snapshot;
    BlockOptions *options;
    bool has_size;
} Measure;

static bool parse(Measure *m, int argc, char **argv, int *status)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"size", required_argument, NULL, 's'},
                                          {"snapshot", required_argument, NULL, 'l'},
                                          {"target-format", required_argument, NULL, 'O'},
                                          {0}};
    BlockError error;
    int option;
    u64 size;

    while ((option = getopt_long(argc, argv, "f:O:o:l:s:Uh", longs, NULL)) != -1) {
        switch (option) {
        case 'O':
            m->output_format = optarg;
            break;
        case 'l':
            m->snapshot = optarg;
            break;
        case 'o':
            if (block_options_parse(m->options, optarg, NULL, &error) < 0) {
                *status = img_error("%s", error.text);
                return false;
            }
            break;
        case 's':
            if (!img_parse_size("image size", optarg, &size)) {
                *status = 1;
                return false;
            }
            block_options_setf(m->options, "size", "%llu", (unsigned long long)size);
            m->has_size = true;
            break;
        default:
            if (!img_take_option(&m->common, option, &img_measure, status)) {
                return false;
            }
        }
    }
    return true;
}

static void print(const BlockMeasure *result, bool json)
{
    struct json_object *to;

    if (!json) {
        printf("required size: %llu\nfully allocated size: %llu\n",
               (unsigned long long)result->required, (unsigned long long)result->fully_allocated);
        if (result->has_bitmaps) {
            printf("bitmaps size: %llu\n", (unsigned long long)result->bitmaps);
        }
        return;
    }
    to = json_object_new_object();
    json_object_object_add(to, "required", json_object_new_uint64(result->required));
    json_object_object_add(to, "fully-allocated", json_object_new_uint64(result->fully_allocated));
    if (result->has_bitmaps) {
        json_object_object_add(to, "bitmaps", json_object_new_uint64(result->bitmaps));
    }
    img_print_json(to);
    json_object_put(to);
}

static int measure(Measure *m, const char *filename)
{
    const BlockDriver *driver = block_driver_find(m->output_format);
    BlockNode *source = NULL;
    BlockMeasure result;
    BlockError error;
    int status = 0;

    if (!driver) {
        return img_error("Unknown file format '%s'", m->output_format);
    }
    if (filename) {
        source = img_open(&m->common, filename, 0);
        if (!source) {
            return 1;
        }
        if (m->snapshot && block_snapshot_load(source, m->snapshot, &error) < 0) {
            status = img_error("Failed to load snapshot: %s", error.text);
        }
    }
    if (status == 0 && block_measure(driver, m->options, source, &result, &error) < 0) {
        status = img_error("%s", error.text);
    }
    if (status == 0) {
        print(&result, m->common.json);
    }
    if (source) {
        img_close(source, filename, &status);
    }
    return status;
}

static int run(int argc, char **argv)
{
    Measure m = {.output_format = "raw", .options = img_options_new()};
    int status = 0;

    if (parse(&m, argc, argv, &status)) {
        bool has_file = optind < argc;
        if (argc - optind > 1) {
            status = img_usage("At most one filename argument is allowed.");
        } else if (has_file == m.has_size) {
            status = img_usage("Either --size N or one filename must be specified.");
        } else {
            status = measure(&m, has_file ? argv[optind] : NULL);
        }
    }
    block_options_free(m.options);
    return status;
}

const ImgCommand img_measure = {"measure",
                                "[--output=human|json] [-O FORMAT] [-o OPTIONS] [--size SIZE | [-f "
                                "FORMAT] [--image-opts] [-l SNAPSHOT] [-U] FILE]",
                                "tell how large a new image would get", run};
