/* menura img check: finds, and repairs, errors in an image's own structures. The exit status tells
 * what is left: 2 errors, 3 leaks only, 63 no check for this format, 1 could not check. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/img/img.h"

enum { STATUS_ERRORS = 2, STATUS_LEAKS = 3, STATUS_UNSUPPORTED = 63 };

static void report(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

static void print_totals(const BlockCheck *check)
{
    if (check->total_clusters && check->allocated_clusters) {
        double used = (double)check->allocated_clusters;
        printf("%llu/%llu = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
               (unsigned long long)check->allocated_clusters,
               (unsigned long long)check->total_clusters,
               used * 100 / (double)check->total_clusters,
               (double)check->fragmented_clusters * 100 / used,
               (double)check->compressed_clusters * 100 / used);
    }
    if (check->image_end_offset) {
        printf("Image end offset: %llu\n", (unsigned long long)check->image_end_offset);
    }
}

static void print_human(const BlockCheck *check)
{
    if (check->corruptions_fixed || check->leaks_fixed) {
        printf("The following inconsistencies were found and repaired:\n\n"
               "    %llu leaked clusters\n    %llu corruptions\n\n",
               (unsigned long long)check->leaks_fixed,
               (unsigned long long)check->corruptions_fixed);
    }
    if (!check->corruptions && !check->leaks && !check->check_errors) {
        puts("No errors were found on the image.");
    }
    if (check->corruptions) {
        printf("\n%llu errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may corrupt it.\n",
               (unsigned long long)check->corruptions);
    }
    if (check->leaks) {
        printf("\n%llu leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n",
               (unsigned long long)check->leaks);
    }
    if (check->check_errors) {
        printf("\n%llu internal errors have occurred during the check.\n",
               (unsigned long long)check->check_errors);
    }
    print_totals(check);
}

static void add(struct json_object *to, const char *name, u64 value)
{
    if (value) {
        json_object_object_add(to, name, json_object_new_uint64(value));
    }
}

static void print_json(const BlockNode *node, const BlockCheck *check)
{
    struct json_object *to = json_object_new_object();

    add(to, "image-end-offset", check->image_end_offset);
    add(to, "compressed-clusters", check->compressed_clusters);
    add(to, "total-clusters", check->total_clusters);
    add(to, "corruptions", check->corruptions);
    json_object_object_add(to, "check-errors", json_object_new_uint64(check->check_errors));
    add(to, "leaks", check->leaks);
    add(to, "allocated-clusters", check->allocated_clusters);
    add(to, "fragmented-clusters", check->fragmented_clusters);
    add(to, "corruptions-fixed", check->corruptions_fixed);
    add(to, "leaks-fixed", check->leaks_fixed);
    json_object_object_add(to, "filename", json_object_new_string(block_filename(node)));
    json_object_object_add(to, "format",
                           json_object_new_string(block_driver_name(block_driver(node))));
    img_print_json(to);
    json_object_put(to);
}

static int exit_status(const BlockCheck *check)
{
    return check->check_errors  ? 1
           : check->corruptions ? STATUS_ERRORS
           : check->leaks       ? STATUS_LEAKS
                                : 0;
}

static int check_image(BlockNode *node, unsigned fix, const ImgOptions *options)
{
    BlockCheck check = {.report = options->quiet ? NULL : report};
    BlockError error;
    int result = block_check(node, fix, &check, &error);

    if (result == -ENOTSUP) {
        img_error("This image format does not support checks");
        return STATUS_UNSUPPORTED;
    }
    if (result < 0) {
        return img_error("Check failed: %s", error.text);
    }
    if (options->json) {
        print_json(node, &check);
    } else if (!options->quiet) {
        print_human(&check);
    }
    return exit_status(&check);
}

static bool parse_repair(const char *word, unsigned *fix)
{
    *fix = !strcmp(word, "leaks") ? BLOCK_FIX_LEAKS
           : !strcmp(word, "all") ? BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS
                                  : 0;
    return *fix;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"repair", required_argument, NULL, 'r'},
                                          {"cache", required_argument, NULL, 'T'},
                                          {0}};
    ImgOptions options = {0};
    unsigned fix = 0;
    int option, status = 0;
    BlockNode *node;

    while ((option = getopt_long(argc, argv, "f:r:T:qUh", longs, NULL)) != -1) {
        if (option == 'r') {
            if (!parse_repair(optarg, &fix)) {
                return img_usage("-r expects 'leaks' or 'all', not '%s'", optarg);
            }
        } else if (option == 'T') {
            options.cache = optarg;
        } else if (!img_take_option(&options, option, &img_check, &status)) {
            return status;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    node =
        img_open(&options, argv[optind], BLOCK_NO_BACKING | BLOCK_REPAIR | (fix ? BLOCK_WRITE : 0));
    if (!node) {
        return 1;
    }
    status = check_image(node, fix, &options);
    img_close(node, argv[optind], &status);
    return status;
}

const ImgCommand img_check = {
    "check",
    "[-f FORMAT] [--image-opts] [-q] [--output=human|json] [-r leaks|all] [-T CACHE] [-U] FILE",
    "look for errors in an image, and repair them (-r)", run};
