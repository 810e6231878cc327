/* menura img bitmap: adds, removes, clears, enables, disables and merges persistent dirty bitmaps.
 * Actions are done in the order given. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/img/img.h"

enum {
    ACTION_ADD = IMG_OPTION_OWN,
    ACTION_REMOVE,
    ACTION_CLEAR,
    ACTION_ENABLE,
    ACTION_DISABLE,
    ACTION_MERGE,
    ACTION_REMOVE_ALL,
    ACTIONS_MAX = 64,
};

typedef struct Action {
    int kind;
    const char *from; /* ACTION_MERGE */
} Action;

typedef struct Bitmap {
    ImgOptions common;
    const char *source, *source_format;
    u64 granularity; /* bytes; 0: chosen */
    Action action[ACTIONS_MAX];
    unsigned count;
    bool added, named; /* something adds; something needs a bitmap's name */
} Bitmap;

static bool parse(Bitmap *b, int argc, char **argv, int *status)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"add", no_argument, NULL, ACTION_ADD},
                                          {"remove", no_argument, NULL, ACTION_REMOVE},
                                          {"remove-all", no_argument, NULL, ACTION_REMOVE_ALL},
                                          {"clear", no_argument, NULL, ACTION_CLEAR},
                                          {"enable", no_argument, NULL, ACTION_ENABLE},
                                          {"disable", no_argument, NULL, ACTION_DISABLE},
                                          {"merge", required_argument, NULL, ACTION_MERGE},
                                          {"source-file", required_argument, NULL, 'b'},
                                          {"source-format", required_argument, NULL, 'F'},
                                          {"granularity", required_argument, NULL, 'g'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "f:b:F:g:h", longs, NULL)) != -1) {
        switch (option) {
        case 'b':
            b->source = optarg;
            break;
        case 'F':
            b->source_format = optarg;
            break;
        case 'g':
            if (!img_parse_size("granularity", optarg, &b->granularity)) {
                *status = 1;
                return false;
            }
            break;
        case ACTION_ADD ... ACTION_REMOVE_ALL:
            if (b->count == ACTIONS_MAX) {
                *status = img_error("At most %d actions can be given", ACTIONS_MAX);
                return false;
            }
            b->added |= option == ACTION_ADD;
            b->named |= option != ACTION_REMOVE_ALL;
            b->action[b->count++] = (Action){option, optarg};
            break;
        default:
            if (!img_take_option(&b->common, option, &img_bitmap, status)) {
                return false;
            }
        }
    }
    return true;
}

static int remove_all(BlockNode *node)
{
    BlockBitmapInfo *list;
    BlockError error;
    int count = block_bitmap_list(node, &list, &error), result = MIN(count, 0);

    for (int n = 0; n < count && result >= 0; n++) {
        result = block_bitmap_remove(node, list[n].name, &error);
    }
    free(list);
    return result < 0 ? img_error("Operation remove-all failed: %s", error.text) : 0;
}

static int act(const Bitmap *b, const Action *action, BlockNode *node, BlockNode *source,
               const char *name)
{
    static const char *const verbs[] = {"add", "remove", "clear", "enable", "disable", "merge"};
    BlockError error;
    int result = 0;

    switch (action->kind) {
    case ACTION_REMOVE_ALL:
        return remove_all(node);
    case ACTION_ADD:
        result = block_bitmap_add(node, name, (u32)b->granularity, true, &error);
        break;
    case ACTION_REMOVE:
        result = block_bitmap_remove(node, name, &error);
        break;
    case ACTION_CLEAR:
        result = block_bitmap_clear(node, name, &error);
        break;
    case ACTION_ENABLE:
    case ACTION_DISABLE:
        result = block_bitmap_enable(node, name, action->kind == ACTION_ENABLE, &error);
        break;
    case ACTION_MERGE:
        result = block_bitmap_merge(node, name, source ? source : node, action->from, &error);
        break;
    }
    if (result < 0) {
        return img_error("Operation %s on bitmap %s failed: %s", verbs[action->kind - ACTION_ADD],
                         name, error.text);
    }
    return 0;
}

static int work(const Bitmap *b, const char *filename, const char *name)
{
    BlockNode *source = NULL, *node = img_open(&b->common, filename, BLOCK_WRITE);
    int status = 0;

    if (!node) {
        return 1;
    }
    if (b->source) {
        source = img_open_as(&b->common, b->source, b->source_format, NULL, BLOCK_NO_IO);
        status = source ? 0 : 1;
    }
    for (unsigned n = 0; n < b->count && status == 0; n++) {
        status = act(b, &b->action[n], node, source, name);
    }
    img_close(source, b->source, &status);
    img_close(node, filename, &status);
    return status;
}

static int run(int argc, char **argv)
{
    Bitmap b = {0};
    int status = 0;

    if (!parse(&b, argc, argv, &status)) {
        return status;
    }
    if (optind != argc - (b.named || !b.count ? 2 : 1)) {
        return img_usage(b.named ? "Expecting filename and bitmap name" : "Expecting filename");
    }
    if (!b.count) {
        return img_usage("Need at least one of --add, --remove, --remove-all, --clear, --enable, "
                         "--disable, or --merge");
    }
    if (b.granularity && !b.added) {
        return img_usage("granularity only supported with --add");
    }
    if (b.granularity > (u64)2 << 30) {
        return img_error("Granularity must be at most 2 GiB");
    }
    return work(&b, argv[optind], b.named ? argv[optind + 1] : NULL);
}

const ImgCommand img_bitmap = {
    "bitmap",
    "(--merge SOURCE | --add | --remove | --remove-all | --clear | --enable | --disable)... [-b "
    "SOURCE_FILE [-F SOURCE_FORMAT]] [-g GRANULARITY] [--image-opts | -f FORMAT] FILE [BITMAP]",
    "change persistent dirty bitmaps", run};
