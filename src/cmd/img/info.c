/* menura img info: what is known of an image, and with --backing-chain of all below it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "block/driver.h"
#include "cmd/img/img.h"
#include "cmd/img/snapshot.h"

enum { BUFFER_ALIGNMENT = 4096 }; /* of block_buffer_new() */

/* -- For people */

static void print_value(struct json_object *value, int indent);

/* One member of an object or array: "name: value", nested ones below it. */
static void print_member(const char *name, struct json_object *value, int indent)
{
    bool nested =
        json_object_is_type(value, json_type_object) || json_object_is_type(value, json_type_array);

    printf("%*s", indent, "");
    for (; *name; name++) {
        putchar(*name == '-' ? ' ' : *name);
    }
    fputs(nested ? ":\n" : ": ", stdout);
    print_value(value, indent + 4);
    if (!nested) {
        putchar('\n');
    }
}

static void print_value(struct json_object *value, int indent)
{
    char index[24];

    if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, name, member)
        {
            print_member(name, member, indent);
        }
    } else if (json_object_is_type(value, json_type_array)) {
        for (size_t n = 0; n < json_object_array_length(value); n++) {
            snprintf(index, sizeof index, "[%zu]", n);
            print_member(index, json_object_array_get_idx(value, n), indent);
        }
    } else {
        fputs(json_object_get_string(value), stdout);
    }
}

/* What requests to the node look like best, by the names that qemu-img gives. */
static struct json_object *limits_of(const BlockNode *node)
{
    struct json_object *to = json_object_new_object();
    u32 zero = node->zero_alignment;

    if (zero && zero != node->alignment) {
        json_object_object_add(to, "write-zeroes-alignment", json_object_new_int64(zero));
    }
    json_object_object_add(to, "request-alignment", json_object_new_int64(node->alignment));
    json_object_object_add(to, "min-mem-alignment", json_object_new_int64(node->memory_alignment));
    json_object_object_add(to, "opt-mem-alignment", json_object_new_int64(BUFFER_ALIGNMENT));
    return to;
}

static void print_limits(const BlockNode *node, int indent)
{
    struct json_object *limits = limits_of(node);

    printf("%*sBlock limits:\n", indent, "");
    print_value(limits, indent + 4);
    json_object_put(limits);
}

static void print_child(const BlockNode *file, bool limits)
{
    BlockNode *node = (BlockNode *)(uintptr_t)file;
    BlockInfo info;
    BlockError error;
    char text[32];

    if (block_info(node, &info, &error) < 0) {
        return;
    }
    printf("Child node '/file':\n    filename: %s\n    protocol type: %s\n"
           "    file length: %s (%llu bytes)\n",
           block_filename(node), info.format, img_size_text(info.virtual_size, text),
           (unsigned long long)info.virtual_size);
    if (info.actual_size_known) {
        printf("    disk size: %s\n", img_size_text(info.actual_size, text));
    }
    if (limits) {
        print_limits(file, 4);
    }
    block_info_free(&info);
}

static void print_backing(const BlockNode *node, const BlockInfo *info)
{
    char *full;

    if (!info->backing_filename) {
        return;
    }
    full = block_path_beside(block_image_name(node), info->backing_filename);
    printf("backing file: %s", info->backing_filename);
    if (strcmp(full, info->backing_filename) != 0) {
        printf(" (actual path: %s)", full);
    }
    putchar('\n');
    if (info->backing_format) {
        printf("backing file format: %s\n", info->backing_format);
    }
    free(full);
}

static void print_info(BlockNode *node, const BlockInfo *info, bool limits)
{
    struct json_object *data;
    BlockSnapshot *snapshots;
    char text[32];
    int count;

    printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\n", block_filename(node),
           info->format, img_size_text(info->virtual_size, text),
           (unsigned long long)info->virtual_size);
    if (info->actual_size_known) {
        printf("disk size: %s\n", img_size_text(info->actual_size, text));
    } else {
        puts("disk size: unavailable");
    }
    if (info->encrypted) {
        puts("encrypted: yes");
    }
    if (info->cluster_size) {
        printf("cluster_size: %u\n", info->cluster_size);
    }
    if (info->dirty) {
        puts("cleanly shut down: no");
    }
    print_backing(node, info);
    count = block_snapshot_list(node, &snapshots, NULL);
    if (count >= 0) {
        if (count) {
            img_print_snapshots(snapshots, count);
        }
        free(snapshots);
    }
    if (limits) {
        print_limits(node, 0);
    }
    if (info->specific && json_object_object_get_ex(info->specific, "data", &data) &&
        json_object_object_length(data)) {
        puts("Format specific information:");
        print_value(data, 4);
    }
    if (block_file(node)) {
        print_child(block_file(node), limits);
    }
}

/* -- For programs */

static void add(struct json_object *to, const char *name, struct json_object *value)
{
    json_object_object_add(to, name, value);
}

static struct json_object *json_snapshots(const BlockSnapshot *list, int count)
{
    struct json_object *array = json_object_new_array();

    for (int n = 0; n < count; n++) {
        struct json_object *one = json_object_new_object();
        if (list[n].icount >= 0) {
            add(one, "icount", json_object_new_int64(list[n].icount));
        }
        add(one, "vm-clock-nsec", json_object_new_uint64(list[n].vm_clock % 1000000000));
        add(one, "name", json_object_new_string(list[n].name));
        add(one, "date-sec", json_object_new_uint64(list[n].date_seconds));
        add(one, "date-nsec", json_object_new_int64(list[n].date_nanoseconds));
        add(one, "vm-clock-sec", json_object_new_uint64(list[n].vm_clock / 1000000000));
        add(one, "id", json_object_new_string(list[n].id));
        add(one, "vm-state-size", json_object_new_uint64(list[n].vm_state_size));
        json_object_array_add(array, one);
    }
    return array;
}

static void add_backing(struct json_object *to, const BlockNode *node, const BlockInfo *info)
{
    char *full;

    if (!info->backing_filename) {
        return;
    }
    full = block_path_beside(block_image_name(node), info->backing_filename);
    add(to, "full-backing-filename", json_object_new_string(full));
    add(to, "backing-filename", json_object_new_string(info->backing_filename));
    if (info->backing_format) {
        add(to, "backing-filename-format", json_object_new_string(info->backing_format));
    }
    free(full);
}

static struct json_object *json_info(BlockNode *node, const BlockInfo *info, bool limits);

static void add_child(struct json_object *to, BlockNode *file, bool limits)
{
    struct json_object *children = json_object_new_array(), *child;
    BlockInfo info;

    if (file && block_info(file, &info, NULL) >= 0) {
        child = json_object_new_object();
        add(child, "name", json_object_new_string("file"));
        add(child, "info", json_info(file, &info, limits));
        json_object_array_add(children, child);
        block_info_free(&info);
    }
    add(to, "children", children);
}

static struct json_object *json_info(BlockNode *node, const BlockInfo *info, bool limits)
{
    struct json_object *to = json_object_new_object();
    BlockSnapshot *snapshots;
    int count;

    if (limits) {
        add(to, "limits", limits_of(node));
    }
    add_child(to, block_file(node), limits);
    count = block_snapshot_list(node, &snapshots, NULL);
    if (count >= 0) {
        if (count) {
            add(to, "snapshots", json_snapshots(snapshots, count));
        }
        free(snapshots);
    }
    add(to, "virtual-size", json_object_new_uint64(info->virtual_size));
    add(to, "filename", json_object_new_string(block_filename(node)));
    if (info->cluster_size) {
        add(to, "cluster-size", json_object_new_int64(info->cluster_size));
    }
    add(to, "format", json_object_new_string(info->format));
    if (info->actual_size_known) {
        add(to, "actual-size", json_object_new_uint64(info->actual_size));
    }
    if (info->encrypted) {
        add(to, "encrypted", json_object_new_boolean(true));
    }
    if (info->specific) {
        add(to, "format-specific", json_object_get(info->specific));
    }
    add_backing(to, node, info);
    add(to, "dirty-flag", json_object_new_boolean(info->dirty));
    return to;
}

/* -- The command */

/* Shows one layer, or into `array` when it is JSON. */
static int show(BlockNode *node, struct json_object *array, bool limits, bool first)
{
    BlockInfo info;
    BlockError error;

    if (block_info(node, &info, &error) < 0) {
        return img_error("%s", error.text);
    }
    if (array) {
        json_object_array_add(array, json_info(node, &info, limits));
    } else {
        if (!first) {
            putchar('\n');
        }
        print_info(node, &info, limits);
    }
    block_info_free(&info);
    return 0;
}

static int show_chain(BlockNode *top, const ImgOptions *options, bool limits, bool chain)
{
    struct json_object *array = options->json ? json_object_new_array() : NULL;
    int status = 0;

    for (BlockNode *node = top; node && status == 0; node = block_backing(node)) {
        node = block_skip_filters(node);
        status = show(node, array, limits, node == block_skip_filters(top));
        if (!chain) {
            break;
        }
    }
    if (array && status == 0) {
        img_print_json(chain ? array : json_object_array_get_idx(array, 0));
    }
    json_object_put(array);
    return status;
}

static int run(int argc, char **argv)
{
    enum { OPTION_CHAIN = IMG_OPTION_OWN, OPTION_LIMITS };
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"backing-chain", no_argument, NULL, OPTION_CHAIN},
                                          {"limits", no_argument, NULL, OPTION_LIMITS},
                                          {"cache", required_argument, NULL, 't'},
                                          {0}};
    ImgOptions options = {0};
    bool chain = false, limits = false;
    BlockNode *node;
    int option, status = 0;

    while ((option = getopt_long(argc, argv, "f:t:Uh", longs, NULL)) != -1) {
        if (option == OPTION_CHAIN) {
            chain = true;
        } else if (option == OPTION_LIMITS) {
            limits = true;
        } else if (!img_take_option(&options, option, &img_info, &status)) {
            return status;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    node = img_open(&options, argv[optind], BLOCK_NO_IO | (chain ? 0 : BLOCK_NO_BACKING));
    if (!node) {
        return 1;
    }
    status = show_chain(node, &options, limits, chain);
    img_close(node, argv[optind], &status);
    return status;
}

const ImgCommand img_info = {
    "info",
    "[-f FORMAT] [--image-opts] [--output=human|json] [--backing-chain] [--limits] [-t CACHE] [-U] "
    "FILE",
    "show what is known of an image", run};
