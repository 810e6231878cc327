/* menura img snapshot: lists, takes, applies and deletes internal snapshots. */
#include "cmd/img/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/img/img.h"

static void print_snapshot(const BlockSnapshot *s)
{
    time_t date = (time_t)s->date_seconds;
    u64 milliseconds = s->vm_clock / 1000000;
    char size[32], when[32], clock[32], icount[24] = "--";
    struct tm local;

    localtime_r(&date, &local);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    snprintf(clock, sizeof clock, "%04llu:%02u:%02u.%03u",
             (unsigned long long)(milliseconds / 3600000), (unsigned)(milliseconds / 60000 % 60),
             (unsigned)(milliseconds / 1000 % 60), (unsigned)(milliseconds % 1000));
    if (s->icount >= 0) {
        snprintf(icount, sizeof icount, "%lld", (long long)s->icount);
    }
    printf("%-9s %-16s %8s %20s %13s %10s\n", s->id, s->name, img_size_text(s->vm_state_size, size),
           when, clock, icount);
}

void img_print_snapshots(const BlockSnapshot *list, int count)
{
    puts("Snapshot list:");
    printf("%-9s %-16s %8s %20s %13s %10s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (int n = 0; n < count; n++) {
        print_snapshot(&list[n]);
    }
}

static int list(BlockNode *node)
{
    BlockSnapshot *snapshots;
    BlockError error;
    int count = block_snapshot_list(node, &snapshots, &error);

    if (count < 0) {
        return img_error("%s", error.text);
    }
    if (count) {
        img_print_snapshots(snapshots, count);
    }
    free(snapshots);
    return 0;
}

static int take(BlockNode *node, const char *name)
{
    BlockSnapshot snapshot = {.icount = -1};
    struct timespec now;
    BlockError error;

    if (strlen(name) >= sizeof snapshot.name) {
        return img_error("Snapshot name '%s' is too long", name);
    }
    strcpy(snapshot.name, name);
    clock_gettime(CLOCK_REALTIME, &now);
    snapshot.date_seconds = (u64)now.tv_sec;
    snapshot.date_nanoseconds = (u32)now.tv_nsec;
    if (block_snapshot_create(node, &snapshot, &error) < 0) {
        return img_error("Could not create snapshot '%s': %s", name, error.text);
    }
    return 0;
}

static int act(BlockNode *node, int action, const char *name)
{
    BlockError error;

    switch (action) {
    case 'c':
        return take(node, name);
    case 'a':
        if (block_snapshot_apply(node, name, &error) < 0) {
            return img_error("Could not apply snapshot '%s': %s", name, error.text);
        }
        return 0;
    case 'd':
        if (block_snapshot_delete(node, name, &error) < 0) {
            return img_error("Could not delete snapshot '%s': %s", name, error.text);
        }
        return 0;
    default:
        return list(node);
    }
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {IMG_COMMON_LONG_OPTIONS,
                                          {"list", no_argument, NULL, 'l'},
                                          {"create", required_argument, NULL, 'c'},
                                          {"apply", required_argument, NULL, 'a'},
                                          {"delete", required_argument, NULL, 'd'},
                                          {0}};
    ImgOptions options = {0};
    const char *name = NULL;
    int option, action = 0, status = 0;
    BlockNode *node;

    while ((option = getopt_long(argc, argv, "la:c:d:f:Uqh", longs, NULL)) != -1) {
        if (option == 'l' || option == 'a' || option == 'c' || option == 'd') {
            if (action) {
                return img_usage("Cannot mix '-l', '-a', '-c', '-d'");
            }
            action = option;
            name = optarg;
        } else if (!img_take_option(&options, option, &img_snapshot, &status)) {
            return status;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    action = action ? action : 'l';
    node = img_open(&options, argv[optind], action == 'l' ? BLOCK_NO_IO : BLOCK_WRITE);
    if (!node) {
        return 1;
    }
    status = act(node, action, name);
    img_close(node, argv[optind], &status);
    return status;
}

const ImgCommand img_snapshot = {
    "snapshot", "[-f FORMAT] [--image-opts] [-U] [-q] [-l | -a NAME | -c NAME | -d NAME] FILE",
    "list, take (-c), apply (-a) or delete (-d) internal snapshots", run};
