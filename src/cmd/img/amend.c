/* menura img amend: changes the options of an image in place. */
#include <stdio.h>

#include "cmd/img/img.h"

static int amend(const ImgOptions *common, const char *filename, const BlockOptions *options,
                 bool wants_help)
{
    BlockNode *node = img_open(common, filename, BLOCK_WRITE);
    ImgProgress progress;
    BlockError error;
    int status = 0;

    if (!node) {
        return 1;
    }
    if (!block_driver_amend_options(block_driver(node))) {
        status = img_error("Format driver '%s' does not support option amendment",
                           block_driver_name(block_driver(node)));
    } else if (wants_help) {
        img_print_options(block_driver_name(block_driver(node)), "Amend",
                          block_driver_amend_options(block_driver(node)));
    } else {
        img_progress_begin(&progress, common, false);
        if (block_amend(node, options, img_progress, &progress, &error) < 0) {
            img_progress_end(&progress, false);
            status = img_error("Error while amending options: %s", error.text);
        }
        img_progress_end(&progress, status == 0);
    }
    img_close(node, filename, &status);
    return status;
}

static int run(int argc, char **argv)
{
    enum { OPTION_FORCE = IMG_OPTION_OWN };
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"force", no_argument, NULL, OPTION_FORCE},
                                          {"options", required_argument, NULL, 'o'},
                                          {"cache", required_argument, NULL, 't'},
                                          {0}};
    BlockOptions *list = img_options_new();
    bool given = false, wants_help = false;
    ImgOptions options = {0};
    BlockError error;
    int option, status = 0;

    while (status == 0 && (option = getopt_long(argc, argv, "f:t:o:pqh", longs, NULL)) != -1) {
        if (option == 'o') {
            given = true;
            wants_help |= img_wants_help(optarg);
            if (!wants_help && block_options_parse(list, optarg, NULL, &error) < 0) {
                status = img_error("%s", error.text);
            }
        } else if (option == OPTION_FORCE) {
            block_options_set(list, "force", "on");
        } else if (!img_take_option(&options, option, &img_amend, &status)) {
            block_options_free(list);
            return status;
        }
    }
    if (status == 0 && !given) {
        status = img_usage("Must specify options (-o)");
    }
    if (status == 0 && optind != argc - 1) {
        status = img_usage("Expecting one image file name");
    }
    if (status == 0) {
        status = amend(&options, argv[optind], list, wants_help);
    }
    block_options_free(list);
    return status;
}

const ImgCommand img_amend = {
    "amend", "[-f FORMAT] [--image-opts] [-t CACHE] [--force] [-p] [-q] -o OPTIONS|help FILE",
    "change the options of an image in place", run};
