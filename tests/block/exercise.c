/* Does to a disk image what lines on standard input say, through the block layer's interface: the
 * hands of the exchange and crash tests.
 *
 *     exercise [-r] [-p] [-b] [-O OBJECT]... [-o OPTIONS] IMAGE
 *
 * opens IMAGE (-r for reading, -p for repair, -b without its backing file, -O as --object:
 * secrets). Numbers are bytes, decimal.
 *
 *     write OFFSET LENGTH BYTE       packed OFFSET LENGTH BYTE    zero OFFSET LENGTH
 *     unmap OFFSET LENGTH            discard OFFSET LENGTH        flush
 *     dump FILE                      size BYTES                   check [leaks|all]
 *     snapshot NAME                  apply NAME                   delete NAME
 *     save OFFSET LENGTH BYTE        load OFFSET LENGTH BYTE      empty
 *     bitmap add|remove|clear|enable|disable NAME                 dirty NAME
 *     map
 *
 * Each line is answered by one: "ok", "error TEXT", or what was asked for. Ends with the input. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/object.h"

static BlockError error;

/* The contents of a write: the byte, and where it went, so that misplaced data shows. */
static u8 *pattern(u64 offset, u64 length, unsigned byte)
{
    u8 *data = malloc(length + 1);

    for (u64 i = 0; i < length; i++) {
        u64 at = offset + i;
        data[i] = (u8)(byte ^ at >> 9 ^ at >> 17);
    }
    return data;
}

static int write_data(BlockNode *disk, u64 offset, u64 length, unsigned byte, unsigned flags)
{
    u8 *data = pattern(offset, length, byte);
    int result = block_pwrite(disk, offset, data, length, flags);

    free(data);
    return result;
}

static int machine_state(BlockNode *disk, bool save, u64 offset, u64 length, unsigned byte)
{
    u8 *data = pattern(offset, length, byte), *back = calloc(1, length + 1);
    int result = save ? block_vmstate_write(disk, offset, data, length)
                      : block_vmstate_read(disk, offset, back, length);

    if (!result && !save && memcmp(data, back, length)) {
        result = -EILSEQ;
    }
    free(data);
    free(back);
    return result;
}

static int dump(BlockNode *disk, const char *path)
{
    enum { CHUNK = 1 << 20 };
    FILE *out = fopen(path, "w");
    u8 *data = malloc(CHUNK);
    int result = out && data ? 0 : -ENOMEM;

    for (u64 at = 0; !result && at < block_size(disk); at += CHUNK) {
        size_t bytes = MIN((u64)CHUNK, block_size(disk) - at);
        result = block_pread(disk, at, data, bytes);
        if (!result && fwrite(data, 1, bytes, out) != bytes) {
            result = -EIO;
        }
    }
    free(data);
    if (out) {
        fclose(out);
    }
    return result;
}

static void print_line(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

static int check(BlockNode *disk, const char *fix)
{
    BlockCheck result = {.report = print_line};
    unsigned what = !strcmp(fix, "all")     ? BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS
                    : !strcmp(fix, "leaks") ? BLOCK_FIX_LEAKS
                                            : 0;

    int status = block_check(disk, what, &result, &error);
    if (!status) {
        printf("corruptions %llu leaks %llu errors %llu fixed %llu %llu\n",
               (unsigned long long)result.corruptions, (unsigned long long)result.leaks,
               (unsigned long long)result.check_errors,
               (unsigned long long)result.corruptions_fixed,
               (unsigned long long)result.leaks_fixed);
    }
    return status ? status : 1;
}

static int bitmap(BlockNode *disk, const char *verb, const char *name)
{
    return !strcmp(verb, "add")      ? block_bitmap_add(disk, name, 0, true, &error)
           : !strcmp(verb, "remove") ? block_bitmap_remove(disk, name, &error)
           : !strcmp(verb, "clear")
               ? block_bitmap_clear(disk, name, &error)
               : block_bitmap_enable(disk, name, !strcmp(verb, "enable"), &error);
}

/* Prints START-END for each dirty range. */
static int dirty(BlockNode *disk, const char *name)
{
    u64 size = block_size(disk);

    for (u64 at = 0, length; at < size; at += length) {
        bool is;
        int result = block_bitmap_map(disk, name, at, size - at, &is, &length);
        if (result < 0) {
            return result;
        }
        if (is) {
            printf("%llu-%llu ", (unsigned long long)at, (unsigned long long)(at + length));
        }
    }
    printf("\n");
    return 1;
}

static int map(BlockNode *disk)
{
    u64 size = block_size(disk);

    for (u64 at = 0; at < size;) {
        BlockExtent e;
        int result = block_map_chain(disk, NULL, at, size - at, &e);
        if (result < 0) {
            return result;
        }
        printf("%llu+%llu:%x ", (unsigned long long)at, (unsigned long long)e.bytes, e.flags);
        at += e.bytes;
    }
    printf("\n");
    return 1;
}

static int snapshot(BlockNode *disk, const char *name)
{
    BlockSnapshot s = {.icount = -1, .vm_state_size = 0};

    snprintf(s.name, sizeof s.name, "%s", name);
    return block_snapshot_create(disk, &s, &error);
}

/* Does one line: 0, -errno, or 1 if it has printed its answer. */
static int command(BlockNode *disk, char *line)
{
    char verb[32] = "", name[256] = "", more[256] = "";
    unsigned long long offset = 0, length = 0;
    unsigned byte = 0;

    sscanf(line, "%31s %255s %255s", verb, name, more);
    sscanf(line, "%*s %llu %llu %u", &offset, &length, &byte);
    error.text[0] = 0;
    return !strcmp(verb, "write")      ? write_data(disk, offset, length, byte, 0)
           : !strcmp(verb, "packed")   ? write_data(disk, offset, length, byte, BLOCK_COMPRESSED)
           : !strcmp(verb, "zero")     ? block_zero(disk, offset, length, 0)
           : !strcmp(verb, "unmap")    ? block_zero(disk, offset, length, BLOCK_MAY_UNMAP)
           : !strcmp(verb, "discard")  ? block_discard(disk, offset, length)
           : !strcmp(verb, "flush")    ? block_flush(disk)
           : !strcmp(verb, "dump")     ? dump(disk, name)
           : !strcmp(verb, "size")     ? block_truncate(disk, offset, BLOCK_PREALLOC_OFF, &error)
           : !strcmp(verb, "check")    ? check(disk, name)
           : !strcmp(verb, "snapshot") ? snapshot(disk, name)
           : !strcmp(verb, "apply")    ? block_snapshot_apply(disk, name, &error)
           : !strcmp(verb, "delete")   ? block_snapshot_delete(disk, name, &error)
           : !strcmp(verb, "save")     ? machine_state(disk, true, offset, length, byte)
           : !strcmp(verb, "load")     ? machine_state(disk, false, offset, length, byte)
           : !strcmp(verb, "empty")    ? block_make_empty(disk, &error)
           : !strcmp(verb, "bitmap")   ? bitmap(disk, name, more)
           : !strcmp(verb, "dirty")    ? dirty(disk, name)
           : !strcmp(verb, "map")      ? map(disk)
                                       : -ENOSYS;
}

static void answer(int result)
{
    if (result < 0) {
        printf("error %s\n", *error.text ? error.text : strerror(-result));
    } else if (result == 0) {
        printf("ok\n");
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    BlockOptions *options = block_options_new();
    ObjectList *objects = object_list_new(NULL);
    unsigned flags = BLOCK_WRITE | BLOCK_UNMAP;
    BlockNode *disk;
    char line[1024];

    for (int option; (option = getopt(argc, argv, "rpbo:O:")) > 0;) {
        if (option == 'r') {
            flags &= ~(unsigned)BLOCK_WRITE;
        } else if (option == 'p') {
            flags |= BLOCK_REPAIR;
        } else if (option == 'b') {
            flags |= BLOCK_NO_BACKING;
        } else if (option == 'O' && object_list_add(objects, optarg, &error) == 0) {
            block_options_set_objects(options, objects);
        } else if (option != 'o' || block_options_parse(options, optarg, NULL, &error) < 0) {
            return 2;
        }
    }
    if (block_open(&disk, argv[optind], options, flags, &error) < 0) {
        printf("error %s\n", error.text);
        return 1;
    }
    block_options_free(options);
    answer(0);
    while (fgets(line, sizeof line, stdin)) {
        answer(command(disk, line));
    }
    int result = block_close(disk);
    object_list_free(objects);
    if (result < 0) {
        fprintf(stderr, "closing: %s\n", strerror(-result));
    }
    return result < 0;
}
