/* The flat map of an address space: made from regions by falling priority, each filling what those
 * before it left free. */
#include <stdio.h>
#include <stdlib.h>

#include "device/core/space.h"

typedef struct Building {
    SpaceMap *map;
    u32 room;
    u64 last; /* of the space */
    bool failed;
} Building;

static void insert(Building *b, u32 at, SpaceRange range)
{
    if (b->map->count == b->room) {
        SpaceMap *more;
        b->room *= 2;
        more = realloc(b->map, sizeof *more + b->room * sizeof(SpaceRange));
        if (!more) {
            b->failed = true;
            return;
        }
        b->map = more;
    }
    for (u32 i = b->map->count++; i > at; i--) {
        b->map->ranges[i] = b->map->ranges[i - 1];
    }
    b->map->ranges[at] = range;
}

/* Puts the region into every gap of [start, last]. */
static void fill(Building *b, const Region *region)
{
    u64 start = region->start, last = region->start + region->size - 1;
    u32 i = 0;

    if (region->size == 0 || start > b->last) {
        return;
    }
    last = last < start || last > b->last ? b->last : last;
    while (!b->failed) {
        while (i < b->map->count && b->map->ranges[i].last < start) {
            i++;
        }
        bool covered = i < b->map->count && b->map->ranges[i].start <= start;
        if (!covered) {
            u64 gap_last = i < b->map->count ? MIN(last, b->map->ranges[i].start - 1) : last;
            insert(b, i, (SpaceRange){start, gap_last, region});
        }
        if (b->failed || b->map->ranges[i].last >= last) {
            return;
        }
        start = b->map->ranges[i].last + 1;
    }
}

SpaceMap *space_make_map(const AddressSpace *space)
{
    Building b = {.room = 64, .last = space->size - 1};

    b.map = malloc(sizeof *b.map + b.room * sizeof(SpaceRange));
    if (!b.map) {
        return NULL;
    }
    b.map->count = 0;
    b.map->references = 1;
    for (const Region *region = space->regions; region; region = region->next) {
        fill(&b, region);
    }
    if (b.failed) {
        free(b.map);
        return NULL;
    }
    return b.map;
}

SpaceMap *map_acquire(SpaceMap *map)
{
    __atomic_add_fetch(&map->references, 1, __ATOMIC_RELAXED);
    return map;
}

void map_release(SpaceMap *map)
{
    if (map && __atomic_sub_fetch(&map->references, 1, __ATOMIC_ACQ_REL) == 0) {
        free(map);
    }
}

const SpaceRange *map_range(const SpaceMap *map, u64 address)
{
    u32 low = 0, high = map->count;

    while (low < high) {
        u32 middle = (low + high) / 2;
        if (map->ranges[middle].last < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < map->count && map->ranges[low].start <= address ? &map->ranges[low] : NULL;
}

void map_mark(const SpaceMap *map, const u8 *host, u64 size,
              void (*mark)(RamBlock *ram, u64 offset, u64 size))
{
    for (u32 i = 0; i < map->count; i++) {
        RamBlock *ram = map->ranges[i].region->ram;
        if (ram && host >= ram->host && host < ram->host + ram->size) {
            mark(ram, (u64)(host - ram->host), size);
            return;
        }
    }
}

void space_print(const AddressSpace *space, void (*line)(void *opaque, const char *text),
                 void *opaque)
{
    char text[120];

    for (u32 i = 0; i < space->map->count; i++) {
        const SpaceRange *range = &space->map->ranges[i];
        snprintf(text, sizeof text, "%016llx-%016llx %s", (unsigned long long)range->start,
                 (unsigned long long)range->last, range->region->name);
        line(opaque, text);
    }
}
