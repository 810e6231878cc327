/* Checking VMDK disks: every grain lies inside its file, and no two lie on each other. What can be
 * wrong without losing data (the second copy of the tables) is left alone. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/vmdk.h"

/* Where the grains of an extent are. */
typedef struct Places {
    u64 *at; /* bytes */
    size_t count, room, most;
} Places;

static void __attribute__((format(printf, 2, 3))) found(BlockCheck *check, const char *format, ...)
{
    char line[200];
    va_list arguments;

    check->corruptions++;
    if (check->report) {
        va_start(arguments, format);
        vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        check->report(check->opaque, line);
    }
}

static int add_place(Places *places, u64 at)
{
    if (places->count == places->room) {
        places->room = places->room * 2 + 1024;
        u64 *grown = realloc(places->at, places->room * sizeof *grown);
        if (!grown) {
            return -ENOMEM;
        }
        places->at = grown;
    }
    places->at[places->count++] = at;
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    u64 x = *(const u64 *)a, y = *(const u64 *)b;

    return x < y ? -1 : x > y;
}

static void check_overlaps(const Places *places, u64 grain, BlockCheck *check)
{
    if (!places->count) {
        return;
    }
    qsort(places->at, places->count, sizeof *places->at, compare_places);
    for (size_t n = 1; n < places->count; n++) {
        if (places->at[n] - places->at[n - 1] < grain) {
            found(check, "ERROR: grains at file offsets %llu and %llu overlap",
                  (unsigned long long)places->at[n - 1], (unsigned long long)places->at[n]);
        }
    }
}

/* Collects the places of the grains of one table that are inside the file. */
static int check_table(BlockNode *node, VmdkExtent *e, u32 index, Places *places, BlockCheck *check)
{
    u64 grain = e->tree.cluster_size, file_end = block_size(e->file), entry;
    u64 offset = (u64)index * e->tree.entries * grain;
    u64 end = MIN(e->size, offset + e->tree.entries * grain);
    int result = 0;

    for (; !result && offset < end; offset += grain) {
        result = block_tree_find(node, &e->tree, offset, &entry);
        if (result < 0 || entry == TREE_NOWHERE || entry == TREE_ZERO) {
            continue;
        }
        u64 at = entry & ~TREE_COMPRESSED;
        if (at >= file_end) {
            found(check, "ERROR: the grain of guest offset %llu lies behind the end of the file",
                  (unsigned long long)(e->start + offset));
        } else if (places->count < places->most) {
            result = add_place(places, at);
        }
    }
    return result;
}

/* More tables or grains than the file can hold are not followed to their end. */
static int check_tables(BlockNode *node, VmdkExtent *e, Places *places, BlockCheck *check)
{
    u64 most = block_size(e->file) / ((u64)e->tree.entries * sizeof(u32)) + 1, tables = 0;
    int result = 0;

    for (u32 n = 0; !result && n < e->tree.tables; n++) {
        if (!e->directory[n]) {
            continue;
        }
        if (++tables > most || places->count == places->most) {
            found(check, "ERROR: there are more grains or tables than fit into the file");
            return 0;
        }
        result = check_table(node, e, n, places, check);
    }
    return result;
}

static int check_sparse(BlockNode *node, VmdkExtent *e, BlockCheck *check)
{
    /* Compressed grains take a sector at least. */
    u64 grain = e->compressed ? VMDK_SECTOR : e->tree.cluster_size;
    Places places = {.most = (size_t)(block_size(e->file) / grain + 1)};
    int result = check_tables(node, e, &places, check);

    if (!result && places.count) {
        check_overlaps(&places, grain, check);
    }
    free(places.at);
    return result;
}

int vmdk_check_extents(BlockNode *node, VmdkExtent *extents, u32 count, BlockCheck *check,
                       BlockError *error)
{
    int result = 0;

    for (u32 n = 0; !result && n < count; n++) {
        VmdkExtent *e = &extents[n];
        if (e->kind == VMDK_SPARSE) {
            result = check_sparse(node, e, check);
        } else if (e->kind == VMDK_FLAT && e->flat_offset + e->size > block_size(e->file)) {
            found(check, "ERROR: '%s' ends before its extent does", block_filename(e->file));
        }
    }
    return result ? block_error(error, -result, "cannot read the tables of '%s': %s",
                                node->filename, strerror(-result))
                  : 0;
}
