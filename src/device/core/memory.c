/* Address spaces: regions in, maps out. See memory.h. */
#include "device/core/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "device/core/space.h"

enum { PAGE = 4096, LARGE_PAGE = 2 << 20 };

AddressSpace *space_new(const char *name, u64 size)
{
    AddressSpace *space = calloc(1, sizeof *space);

    if (!space) {
        return NULL;
    }
    space->name = name;
    space->size = size;
    pthread_mutex_init(&space->map_lock, NULL);
    space->map = space_make_map(space);
    if (!space->map) {
        space_free(space);
        return NULL;
    }
    return space;
}

void space_free(AddressSpace *space)
{
    if (space) {
        map_release(space->map);
        pthread_mutex_destroy(&space->map_lock);
        free(space);
    }
}

void space_listen(AddressSpace *space, const SpaceListener *listener)
{
    space->listener = *listener;
}

/* -- Changing */

static void rebuild(AddressSpace *space)
{
    SpaceMap *map, *old;

    if (space->changing) {
        space->changed = true;
        return;
    }
    space->changed = false;
    map = space_make_map(space);
    if (!map) {
        abort();
    }
    pthread_mutex_lock(&space->map_lock);
    old = space->map;
    __atomic_store_n(&space->map, map, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&space->map_lock);
    map_release(old);
    if (space->listener.changed) {
        space->listener.changed(space->listener.opaque);
    }
}

void space_begin(AddressSpace *space)
{
    space->changing++;
}

void space_commit(AddressSpace *space)
{
    assert(space->changing && "space_commit() without space_begin()");
    if (--space->changing == 0 && space->changed) {
        rebuild(space);
    }
}

static Region **find_link(AddressSpace *space, const Region *region)
{
    Region **at = &space->regions;

    while (*at && *at != region) {
        at = &(*at)->next;
    }
    return at;
}

bool space_contains(const AddressSpace *space, const Region *region)
{
    for (const Region *r = space->regions; r; r = r->next) {
        if (r == region) {
            return true;
        }
    }
    return false;
}

/* Kept by falling priority, the latest first among equals. */
void space_add(AddressSpace *space, Region *region, u64 start)
{
    Region **at = &space->regions;

    assert(!space_contains(space, region) && "a region is in one place at a time");
    while (*at && (*at)->priority > region->priority) {
        at = &(*at)->next;
    }
    region->start = start;
    region->next = *at;
    *at = region;
    rebuild(space);
}

void space_remove(AddressSpace *space, Region *region)
{
    Region **at = find_link(space, region);

    if (*at) {
        *at = region->next;
        region->next = NULL;
        rebuild(space);
    }
}

/* -- RAM */

static void unmap(u8 *start, u64 size)
{
    if (size) {
        munmap(start, size);
    }
}

/* Zeroed memory, NULL if there is none. Large pages, where the host has them, save a fault for each
 * small one, and misses of its TLB for as long as the guest runs. */
static u8 *map_memory(const char *name, u64 size)
{
    u64 align = size >= LARGE_PAGE ? LARGE_PAGE : PAGE;
    u8 *map = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED) {
        return NULL;
    }
    u8 *memory = (u8 *)ALIGN_UP((uintptr_t)map, (uintptr_t)align);
    unmap(map, (u64)(memory - map));
    unmap(memory + size, align - (u64)(memory - map));
    (void)madvise(memory, size, MADV_HUGEPAGE);
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, size, name); /* in /proc/PID/maps */
    return memory;
}

RamBlock *ram_new(const char *name, u64 size)
{
    RamBlock *ram = calloc(1, sizeof *ram);

    if (!ram) {
        return NULL;
    }
    ram->size = ALIGN_UP(size, (u64)PAGE);
    ram->dirty = calloc(ram->size / PAGE, 1);
    ram->host = ram->dirty ? map_memory(name, ram->size) : NULL;
    if (!ram->host) {
        ram_free(ram);
        return NULL;
    }
    return ram;
}

void ram_free(RamBlock *ram)
{
    if (!ram) {
        return;
    }
    if (ram->host) {
        munmap(ram->host, ram->size);
    }
    free(ram->dirty);
    free(ram);
}

static u8 clients_of(const RamBlock *ram)
{
    return __atomic_load_n(&ram->clients, __ATOMIC_RELAXED);
}

/* Whether all who ask know the page as dirty. */
static bool is_marked(const RamBlock *ram, u64 page)
{
    u8 clients = clients_of(ram);

    return (__atomic_load_n(&ram->dirty[page], __ATOMIC_RELAXED) & clients) == clients;
}

void ram_mark(RamBlock *ram, u64 offset, u64 size)
{
    u8 clients = clients_of(ram);

    if (!clients) {
        return;
    }
    for (u64 page = offset / PAGE; page <= (offset + size - 1) / PAGE; page++) {
        if (!is_marked(ram, page)) {
            __atomic_or_fetch(&ram->dirty[page], clients, __ATOMIC_RELAXED);
        }
    }
}

void ram_track(AddressSpace *space, RamBlock *ram, u8 client, bool on)
{
    if (!on) {
        __atomic_and_fetch(&ram->clients, (u8)~client, __ATOMIC_SEQ_CST);
        return;
    }
    for (u64 page = 0; page < ram->size / PAGE; page++) {
        __atomic_or_fetch(&ram->dirty[page], client, __ATOMIC_RELAXED);
    }
    __atomic_or_fetch(&ram->clients, client, __ATOMIC_SEQ_CST);
    (void)space;
}

/* Takes the mark of a page. */
static bool take_mark(RamBlock *ram, u64 page, u8 client)
{
    return __atomic_fetch_and(&ram->dirty[page], (u8)~client, __ATOMIC_SEQ_CST) & client;
}

void ram_take_dirty(AddressSpace *space, RamBlock *ram, u8 client, u64 offset, u64 size,
                    void (*run)(void *opaque, u64 offset, u64 size), void *opaque)
{
    u64 end = ALIGN_UP(offset + size, (u64)PAGE), start;
    const SpaceListener *listener = &space->listener;

    for (u64 at = ALIGN_DOWN(offset, (u64)PAGE); at < end; at += PAGE) {
        for (start = at; at < end && take_mark(ram, at / PAGE, client); at += PAGE) {
        }
        if (at == start) {
            continue;
        }
        /* From here on stores mark the pages again; what was stored before is seen by run(). */
        if (listener->watch) {
            listener->watch(listener->opaque, ram->host + start, at - start);
        }
        run(opaque, start, at - start);
    }
}

/* -- Readers */

/* The map as it is now. */
static const SpaceMap *current_map(MapReader *reader)
{
    AddressSpace *space = reader->space;

    if (likely(reader->map && reader->map == __atomic_load_n(&space->map, __ATOMIC_ACQUIRE))) {
        return reader->map;
    }
    map_release(reader->map);
    pthread_mutex_lock(&space->map_lock);
    reader->map = map_acquire(space->map);
    pthread_mutex_unlock(&space->map_lock);
    return reader->map;
}

void map_reader_end(MapReader *reader)
{
    map_release(reader->map);
    reader->map = NULL;
}

const Region *map_find(MapReader *reader, u64 address, u64 *offset, u64 *length)
{
    const SpaceRange *range = map_range(current_map(reader), address);

    if (!range) {
        return NULL;
    }
    *offset = address - range->region->start;
    *length = range->last - address + 1;
    return range->region;
}

static u8 *ram_at(const Region *region, u64 offset)
{
    return region->ram->host + region->ram_offset + offset;
}

u8 *map_ram(MapReader *reader, u64 address, u64 size, bool write)
{
    u64 offset, length;
    const Region *region = map_find(reader, address, &offset, &length);

    if (!region || !region->ram || length < size || (write && region->read_only)) {
        return NULL;
    }
    if (write) {
        ram_mark(region->ram, region->ram_offset + offset, size);
    }
    return ram_at(region, offset);
}

bool map_is_dirty(MapReader *reader, u64 address)
{
    u64 offset, length;
    const Region *region = map_find(reader, address, &offset, &length);

    return !region || !region->ram || is_marked(region->ram, (region->ram_offset + offset) / PAGE);
}

/* -- Registers */

static u64 swap(u64 value, unsigned size)
{
    return size == 1 ? value : __builtin_bswap64(value) >> (64 - 8 * size);
}

static u64 ones(unsigned size)
{
    return ~(u64)0 >> (64 - 8 * size);
}

static unsigned max_size(const RegionOps *ops)
{
    return ops->max_size ? ops->max_size : 4;
}

static unsigned min_size(const RegionOps *ops)
{
    return ops->min_size ? ops->min_size : 1;
}

/* How many bytes of an access of `size` at an offset to do next. */
static unsigned piece(const RegionOps *ops, u64 offset, unsigned size)
{
    unsigned step = MIN(max_size(ops), size);

    while (step > min_size(ops) && !ops->unaligned && offset % step) {
        step /= 2;
    }
    return step;
}

static u64 read_piece(const Region *region, u64 offset, unsigned size)
{
    const RegionOps *ops = region->ops;
    unsigned least = min_size(ops);

    if (size >= least && (ops->unaligned || offset % size == 0)) {
        return ops->read(region->opaque, offset, size) & ones(size);
    }
    /* Narrower than the device knows, or crooked: the aligned word that holds it. */
    u64 start = ALIGN_DOWN(offset, (u64)least);
    u64 value = ops->read(region->opaque, start, least);
    unsigned shift = (unsigned)(offset - start) * 8;
    return value >> shift & ones(size);
}

static u64 read_registers(const Region *region, u64 offset, unsigned size)
{
    u64 value = 0;

    if (!region->ops->read) {
        return ones(size);
    }
    for (unsigned done = 0, step; done < size; done += step) {
        step = piece(region->ops, offset + done, size - done);
        u64 part = read_piece(region, offset + done, step);
        if (region->ops->order == BIG) {
            value = value << 8 * step | part;
        } else {
            value |= part << 8 * done;
        }
    }
    return value;
}

static void write_registers(const Region *region, u64 offset, unsigned size, u64 value)
{
    const RegionOps *ops = region->ops;

    if (!ops || !ops->write) {
        return;
    }
    for (unsigned done = 0, step; done < size; done += step) {
        step = piece(ops, offset + done, size - done);
        unsigned shift = 8 * (ops->order == BIG ? size - done - step : done);
        if (step >= min_size(ops) && (ops->unaligned || (offset + done) % step == 0)) {
            ops->write(region->opaque, offset + done, step, value >> shift & ones(step));
        }
    }
}

static void log_hole(const MapReader *reader, const char *what, u64 address)
{
    if (log_on(LOG_UNIMP)) {
        log_printf("%s: nothing to %s at %#llx\n", reader->space->name, what,
                   (unsigned long long)address);
    }
}

static bool needs_lock(const Region *region, pthread_mutex_t *lock)
{
    return lock && !region->ops->lockless;
}

static u64 load_le(const u8 *bytes, unsigned size)
{
    u64 value = 0;

    memcpy(&value, bytes, size);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : swap(value, size);
}

u64 map_read(MapReader *reader, u64 address, unsigned size, pthread_mutex_t *lock)
{
    u64 offset, length, value;
    const Region *region = map_find(reader, address, &offset, &length);

    if (!region) {
        log_hole(reader, "read", address);
        return ones(size);
    }
    if (length < size) { /* across the end of a region */
        value = map_read(reader, address, size / 2, lock);
        return value | map_read(reader, address + size / 2, size / 2, lock) << 4 * size;
    }
    if (region->ram) {
        return load_le(ram_at(region, offset), size);
    }
    if (!needs_lock(region, lock)) {
        return read_registers(region, offset, size);
    }
    pthread_mutex_lock(lock);
    value = read_registers(region, offset, size);
    pthread_mutex_unlock(lock);
    return value;
}

static void write_ram(MapReader *reader, const Region *region, u64 offset, unsigned size, u64 value)
{
    const SpaceListener *listener = &reader->space->listener;
    u8 *host = ram_at(region, offset);

    ram_mark(region->ram, region->ram_offset + offset, size);
    value = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : swap(value, size);
    memcpy(host, &value, size);
    if (listener->written) {
        listener->written(listener->opaque, host, size);
    }
}

void map_write(MapReader *reader, u64 address, unsigned size, u64 value, pthread_mutex_t *lock)
{
    u64 offset, length;
    const Region *region = map_find(reader, address, &offset, &length);

    if (!region) {
        log_hole(reader, "write", address);
        return;
    }
    if (length < size) {
        map_write(reader, address, size / 2, value & ones(size / 2), lock);
        map_write(reader, address + size / 2, size / 2, value >> 4 * size, lock);
        return;
    }
    if (region->ram && !region->read_only) {
        write_ram(reader, region, offset, size, value);
        return;
    }
    if (!region->ops || !needs_lock(region, lock)) {
        write_registers(region, offset, size, value);
        return;
    }
    pthread_mutex_lock(lock);
    write_registers(region, offset, size, value);
    pthread_mutex_unlock(lock);
}

/* -- DMA */

u8 *dma_map(MapReader *reader, u64 address, u64 *size, bool write)
{
    u64 offset, length;
    const Region *region = map_find(reader, address, &offset, &length);

    if (!region || !region->ram || (write && region->read_only)) {
        return NULL;
    }
    *size = MIN(*size, length);
    return ram_at(region, offset);
}

void dma_done(MapReader *reader, const u8 *host, u64 size)
{
    const SpaceListener *listener = &reader->space->listener;

    map_mark(reader->map, host, size, ram_mark);
    if (listener->written) {
        listener->written(listener->opaque, host, size);
    }
}

/* How much of a range that is no RAM to pass over. */
static u64 skip(MapReader *reader, u64 address, u64 size)
{
    u64 offset, length;

    if (!map_find(reader, address, &offset, &length)) {
        length = PAGE - address % PAGE;
    }
    return MIN(size, length);
}

bool dma_read(MapReader *reader, u64 address, void *bytes, u64 size)
{
    u8 *to = bytes;
    bool whole = true;

    for (u64 done = 0, part; done < size; done += part) {
        part = size - done;
        const u8 *host = dma_map(reader, address + done, &part, false);
        if (host) {
            memcpy(to + done, host, part);
        } else {
            part = skip(reader, address + done, size - done);
            memset(to + done, 0xff, part);
            whole = false;
        }
    }
    return whole;
}

bool dma_write(MapReader *reader, u64 address, const void *bytes, u64 size)
{
    const u8 *from = bytes;
    bool whole = true;

    for (u64 done = 0, part; done < size; done += part) {
        part = size - done;
        u8 *host = dma_map(reader, address + done, &part, true);
        if (host) {
            memcpy(host, from + done, part);
            dma_done(reader, host, part);
        } else {
            part = skip(reader, address + done, size - done);
            whole = false;
        }
    }
    return whole;
}

u64 dma_read_le(MapReader *reader, u64 address, unsigned size)
{
    u8 bytes[8];

    dma_read(reader, address, bytes, size);
    return load_le(bytes, size);
}

void dma_write_le(MapReader *reader, u64 address, unsigned size, u64 value)
{
    value = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : swap(value, size);
    dma_write(reader, address, &value, size);
}
