/* Address spaces: guest physical memory and I/O ports, and what lies where in them.
 *
 * Regions (RAM, ROM, registers of a device) are put into a space; where they overlap, the one with
 * the higher priority is seen. The result is an immutable sorted map, made anew and swapped whole
 * when regions come, go or move. Readers keep a MapReader each: it holds a reference to the map
 * that it read last, so look-ups take no lock and a replaced map goes when its last reader moves
 * on.
 *
 * Changing a space, and calling a device's registers, takes the machine lock (board.h). Values are
 * numbers: the register at an offset reads as the device's manual says, whatever the CPU's byte
 * order.
 * Must not know CPUs or devices. */
#ifndef DEVICE_CORE_MEMORY_H
#define DEVICE_CORE_MEMORY_H

#include <pthread.h>

#include "base/types.h"

/* Byte order in which a device takes accesses wider than a byte. */
typedef enum ByteOrder { LITTLE, BIG } ByteOrder;

/* Registers of a device in a space. */
typedef struct RegionOps {
    /* `size` bytes at an offset into the region. Never called with a size outside min..max, or
     * misaligned unless `unaligned`. */
    u64 (*read)(void *opaque, u64 offset, unsigned size);
    void (*write)(void *opaque, u64 offset, unsigned size, u64 value);
    u8 min_size, max_size; /* bytes per access that it understands; others are split, or widened
                              for reads and dropped for writes. 0: 1 and 4 */
    bool unaligned;
    bool lockless; /* called without the machine lock */
    ByteOrder order;
} RegionOps;

/* RAM or ROM of the host. */
typedef struct RamBlock {
    u8 *host;  /* page-aligned */
    u64 size;  /* bytes, multiple of 4096 */
    u8 *dirty; /* atomic: a byte per 4 KiB page, DIRTY_* bits of clients that know it as dirty; NULL
                  if there are no clients */
    u8 clients; /* atomic: DIRTY_* of those who ask */
} RamBlock;

enum { DIRTY_DISPLAY = 1, DIRTY_MIGRATION = 2 };

typedef struct Region {
    const char *name; /* static */
    u64 size;
    s32 priority;   /* higher hides lower */
    bool read_only; /* memory: writes go to ops->write, or are dropped */
    RamBlock *ram;  /* memory: at ram_offset; else NULL */
    u64 ram_offset;
    const RegionOps *ops; /* registers */
    void *opaque;
    /* The space's. */
    u64 start;
    struct Region *next;
} Region;

typedef struct AddressSpace AddressSpace;

/* What an address space tells whoever runs CPUs. Called with the machine lock held. */
typedef struct SpaceListener {
    void *opaque;
    void (*changed)(void *opaque); /* the map was swapped */
    /* A device is about to write, or has written, RAM; any thread, lock or not. */
    void (*written)(void *opaque, const u8 *host, u64 size);
    /* Stores to the RAM are to be seen again: dirty bits were taken. */
    void (*watch)(void *opaque, const u8 *host, u64 size);
} SpaceListener;

/* -- Making */

/* size: of the space in bytes; accesses beyond it hit nothing. NULL when memory runs out. */
AddressSpace *space_new(const char *name, u64 size);
void space_free(AddressSpace *space);
void space_listen(AddressSpace *space, const SpaceListener *listener);

/* The region, which the caller owns and keeps, appears at `start`. */
void space_add(AddressSpace *space, Region *region, u64 start);
/* No-op when it is not in the space. */
void space_remove(AddressSpace *space, Region *region);
bool space_contains(const AddressSpace *space, const Region *region);
/* Between these two the map is not rebuilt: for many changes at once. They nest. */
void space_begin(AddressSpace *space);
void space_commit(AddressSpace *space);

/* Writes the map to `out` as "start-end name" lines. */
void space_print(const AddressSpace *space, void (*line)(void *opaque, const char *text),
                 void *opaque);

/* RAM of `size` bytes, zeroed. NULL when memory runs out. */
RamBlock *ram_new(const char *name, u64 size);
void ram_free(RamBlock *ram);

/* -- Reading and writing */

typedef struct SpaceMap SpaceMap;

/* A reader's own; zero it, set space, and end it with map_reader_end(). One thread at a time. */
typedef struct MapReader {
    AddressSpace *space;
    SpaceMap *map;
} MapReader;

void map_reader_end(MapReader *reader);

/* The region at an address, with the offset into it, and how many bytes from there belong to it;
 * NULL for a hole. */
const Region *map_find(MapReader *reader, u64 address, u64 *offset, u64 *length);

/* Host address of `size` bytes of RAM, or for reading ROM; NULL otherwise. write: marks the pages
 * dirty for all clients; it does not tell the listener. */
u8 *map_ram(MapReader *reader, u64 address, u64 size, bool write);

/* Whether the page at an address needs no marking as dirty. */
bool map_is_dirty(MapReader *reader, u64 address);

/* Registers, RAM or nothing (reads as all ones): 1, 2, 4 or 8 bytes. Takes `lock` round calls of a
 * device's functions unless they are lockless or `lock` is NULL (it is held already). */
u64 map_read(MapReader *reader, u64 address, unsigned size, pthread_mutex_t *lock);
void map_write(MapReader *reader, u64 address, unsigned size, u64 value, pthread_mutex_t *lock);

/* -- DMA: what devices do to memory. RAM only: a device that aims at registers reads all ones and
 * writes nothing, so that it can never call itself. Any thread with its own reader. */

/* Returns false when a part of the range is no RAM; the rest is done all the same. */
bool dma_read(MapReader *reader, u64 address, void *bytes, u64 size);
bool dma_write(MapReader *reader, u64 address, const void *bytes, u64 size);
/* The host's address of up to *size bytes at `address`; *size becomes what is contiguous there.
 * NULL when there is no RAM. write: the device will write it, and calls dma_done() afterwards. */
u8 *dma_map(MapReader *reader, u64 address, u64 *size, bool write);
void dma_done(MapReader *reader, const u8 *host, u64 size);

/* Little-endian numbers. */
u64 dma_read_le(MapReader *reader, u64 address, unsigned size);
void dma_write_le(MapReader *reader, u64 address, unsigned size, u64 value);

/* -- Dirty pages */

/* Starts or stops marking for a client; at the start all pages are dirty. */
void ram_track(AddressSpace *space, RamBlock *ram, u8 client, bool on);
/* A device wrote `size` bytes (at least 1) of RAM of its own: marks the pages for all clients. */
void ram_mark(RamBlock *ram, u64 offset, u64 size);
/* Calls `page` with each run of dirty pages in [offset, offset + size) and takes their marks. */
void ram_take_dirty(AddressSpace *space, RamBlock *ram, u8 client, u64 offset, u64 size,
                    void (*run)(void *opaque, u64 offset, u64 size), void *opaque);

#endif
