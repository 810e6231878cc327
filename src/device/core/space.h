/* The inside of address spaces: what memory.c and map.c share. */
#ifndef DEVICE_CORE_SPACE_H
#define DEVICE_CORE_SPACE_H

#include "device/core/memory.h"

/* [start, last] shows this region. */
typedef struct SpaceRange {
    u64 start, last;
    const Region *region;
} SpaceRange;

/* Immutable but for the count. */
struct SpaceMap {
    u32 references; /* atomic */
    u32 count;
    SpaceRange ranges[]; /* by address, without overlaps */
};

struct AddressSpace {
    const char *name;
    u64 size;
    Region *regions; /* by falling priority */
    u32 changing;    /* depth of space_begin() */
    bool changed;
    SpaceMap *map;            /* atomic */
    pthread_mutex_t map_lock; /* held to replace the map, and to take a reference to it */
    SpaceListener listener;
};

/* The map of the space's regions, with one reference. NULL when memory runs out. */
SpaceMap *space_make_map(const AddressSpace *space);
SpaceMap *map_acquire(SpaceMap *map);
void map_release(SpaceMap *map);
/* The range that holds the address; NULL if none. */
const SpaceRange *map_range(const SpaceMap *map, u64 address);
/* Calls mark() for the RAM whose host addresses those are. */
void map_mark(const SpaceMap *map, const u8 *host, u64 size,
              void (*mark)(RamBlock *ram, u64 offset, u64 size));

#endif
