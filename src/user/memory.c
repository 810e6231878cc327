/* The guest's memory map: see memory.h for the invariants and the lock order. */
#include "user/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/access.h"

enum {
    GUEST_PROTECTION = PROT_READ | PROT_WRITE | PROT_EXEC,
    LOW_START = 0x40000000, /* where MAP_32BIT searches, as x86's kernel does */
};
static const u64 low_end = 0x80000000;

/* --- the array of regions; all with `inner` held -----------------------------------------------
 */

/* Index of the first region that ends above the address. */
static size_t find_index(const MemoryMap *map, u64 address)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map->regions[middle].end > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void make_room(MemoryMap *map, size_t extra)
{
    if (map->count + extra <= map->capacity) {
        return;
    }
    map->capacity = MAX((size_t)256, map->capacity * 2);
    map->regions = realloc(map->regions, map->capacity * sizeof *map->regions);
    if (!map->regions) {
        abort();
    }
}

static void insert_at(MemoryMap *map, size_t index, Region region)
{
    memmove(map->regions + index + 1, map->regions + index,
            (map->count - index) * sizeof *map->regions);
    map->regions[index] = region;
    map->count++;
}

/* Makes `address` a border between regions if it lies inside one. */
static void split_at(MemoryMap *map, u64 address)
{
    size_t i = find_index(map, address);

    if (i < map->count && map->regions[i].start < address) {
        Region upper = map->regions[i];
        upper.start = address;
        map->regions[i].end = address;
        insert_at(map, i + 1, upper);
    }
}

static void remove_range(MemoryMap *map, u64 start, u64 end)
{
    make_room(map, 2);
    split_at(map, start);
    split_at(map, end);
    size_t first = find_index(map, start), last = first;
    while (last < map->count && map->regions[last].end <= end) {
        last++;
    }
    memmove(map->regions + first, map->regions + last, (map->count - last) * sizeof *map->regions);
    map->count -= last - first;
}

static bool can_merge(const Region *a, const Region *b)
{
    return a->end == b->start && a->protection == b->protection && a->shared == b->shared &&
           a->name == b->name && !a->attached && !b->attached;
}

/* Joins the region at `index` with the one before it if they are alike. */
static void merge_at(MemoryMap *map, size_t index)
{
    if (index == 0 || index >= map->count ||
        !can_merge(&map->regions[index - 1], &map->regions[index])) {
        return;
    }
    map->regions[index - 1].end = map->regions[index].end;
    memmove(map->regions + index, map->regions + index + 1,
            (map->count - index - 1) * sizeof *map->regions);
    map->count--;
}

/* --- the array with the lock taken ---------------------------------------------------------------
 */

static void set_region(MemoryMap *map, Region region)
{
    pthread_mutex_lock(&map->inner);
    remove_range(map, region.start, region.end);
    make_room(map, 1);
    size_t index = find_index(map, region.start);
    insert_at(map, index, region);
    merge_at(map, index + 1);
    merge_at(map, index);
    pthread_mutex_unlock(&map->inner);
}

static void clear_region(MemoryMap *map, u64 start, u64 end)
{
    pthread_mutex_lock(&map->inner);
    remove_range(map, start, end);
    pthread_mutex_unlock(&map->inner);
}

static void set_protection(MemoryMap *map, u64 start, u64 end, int protection)
{
    pthread_mutex_lock(&map->inner);
    make_room(map, 2);
    split_at(map, start);
    split_at(map, end);
    size_t first = find_index(map, start), i = first;
    for (; i < map->count && map->regions[i].end <= end; i++) {
        map->regions[i].protection = protection;
    }
    for (size_t at = i; at > first; at--) {
        merge_at(map, at);
    }
    merge_at(map, first);
    pthread_mutex_unlock(&map->inner);
}

bool memory_next(MemoryMap *map, u64 address, Region *region)
{
    pthread_mutex_lock(&map->inner);
    size_t i = find_index(map, address);
    bool found = i < map->count;
    if (found) {
        *region = map->regions[i];
    }
    pthread_mutex_unlock(&map->inner);
    return found;
}

bool memory_find(MemoryMap *map, u64 address, Region *region)
{
    return memory_next(map, address, region) && region->start <= address;
}

bool memory_page_writable(void *opaque, u64 page)
{
    Region region;

    return memory_find(opaque, page, &region) && (region.protection & PROT_WRITE);
}

bool memory_page_executable(void *opaque, u64 page)
{
    Region region;

    return memory_find(opaque, page, &region) && (region.protection & PROT_EXEC);
}

/* Whether every byte of the range is the guest's; *executable: whether any of it may be executed,
 * also behind a gap. */
static bool range_is_mapped(MemoryMap *map, u64 start, u64 end, bool *executable)
{
    bool mapped = true;
    Region region;

    *executable = false;
    while (start < end) {
        if (!memory_next(map, start, &region) || region.start >= end) {
            return false;
        }
        mapped &= region.start <= start;
        *executable |= (region.protection & PROT_EXEC) != 0;
        start = region.end;
    }
    return mapped;
}

/* --- talking to the kernel and the engine -------------------------------------------------------
 */

static int host_protection(int protection)
{
    return (protection & (PROT_READ | PROT_WRITE)) | (protection & PROT_EXEC ? PROT_READ : 0);
}

static int guest_protection(const MemoryMap *map, int protection)
{
    protection &= GUEST_PROTECTION;
    return map->read_implies_exec && protection & PROT_READ ? protection | PROT_EXEC : protection;
}

/* Calls of a range that cannot be executed are not the engine's business. */
static void invalidate(MemoryMap *map, u64 start, u64 end, bool executable)
{
    if (executable && map->engine) {
        engine_invalidate(map->engine, start, end - start);
    }
}

/* Takes write permission from the pages that hold translated code. Asked after the pages became
 * writable, so that a translation made meanwhile is noticed as well. */
static void keep_code_protected(MemoryMap *map, u64 start, u64 end, int protection)
{
    int both = PROT_WRITE | PROT_EXEC;

    if ((protection & both) != both || !map->engine) {
        return;
    }
    for (u64 page = start; page < end; page += MEMORY_PAGE) {
        if (engine_page_is_protected(map->engine, page)) {
            mprotect(guest_to_host(page), MEMORY_PAGE, PROT_READ);
        }
    }
}

static bool bad_range(const MemoryMap *map, u64 address, u64 size)
{
    return size > map->address_limit || address > map->address_limit - size;
}

static s64 result_of(void *pointer)
{
    return pointer == MAP_FAILED ? -errno : (s64)host_to_guest(pointer);
}

/* Gives back what claim_gaps() reserved: all of the range that is not the guest's. */
static void release_gaps(MemoryMap *map, u64 start, u64 end)
{
    Region region;

    for (u64 at = start; at < end;) {
        bool found = memory_next(map, at, &region);
        u64 gap_end = found ? MIN(region.start, end) : end;
        if (gap_end > at) {
            munmap(guest_to_host(at), gap_end - at);
        }
        at = found ? region.end : end;
    }
}

/* Reserves what is not the guest's in the range, so that a MAP_FIXED over it replaces nothing of
 * the emulator. Returns 0, or -ENOMEM with nothing changed. */
static int claim_gaps(MemoryMap *map, u64 start, u64 end)
{
    Region region;

    for (u64 at = start; at < end;) {
        bool found = memory_next(map, at, &region);
        if (found && region.start <= at) {
            at = region.end;
            continue;
        }
        u64 gap_end = found ? MIN(region.start, end) : end;
        void *got = mmap(guest_to_host(at), gap_end - at, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == MAP_FAILED) {
            int error = errno == EEXIST ? ENOMEM : errno;
            release_gaps(map, start, at);
            return -error;
        }
        at = gap_end;
    }
    return 0;
}

/* --- choosing addresses, for guests that do not have all of the host's ---------------------------
 */

typedef struct Window {
    u64 low, high; /* page aligned */
    bool up;       /* lowest free range first */
} Window;

/* A free range of `length` bytes in the window; 0: there is none. */
static u64 find_gap(MemoryMap *map, u64 length, const Window *w)
{
    u64 found = 0, at = w->low;
    Region region;

    for (bool more = true; more && at < w->high;) {
        more = memory_next(map, at, &region);
        u64 end = more ? MIN(MAX(region.start, at), w->high) : w->high;
        if (end - at >= length) {
            found = w->up ? at : end - length;
            if (w->up) {
                break;
            }
        }
        at = more ? region.end : w->high;
    }
    return found;
}

/* Maps at a free place of the window. What the map takes for free may hold something of the host's,
 * which is passed over in growing steps: it may be large. */
static s64 map_in_window(MemoryMap *map, Window w, u64 size, int protection, int flags, int fd,
                         s64 offset)
{
    u64 length = ALIGN_UP(size, MEMORY_PAGE), step = MEMORY_PAGE, at;

    for (; (at = find_gap(map, length, &w)); step *= 2) {
        s64 result = result_of(
            mmap(guest_to_host(at), size, protection, flags | MAP_FIXED_NOREPLACE, fd, offset));
        if (result != -EEXIST) {
            return result;
        }
        if (w.up) {
            w.low = at + step;
        } else {
            w.high = at + length - MIN(step, at);
        }
    }
    return -ENOMEM;
}

/* mmap(2) without MAP_FIXED: at the address asked for if it is free, else where the guest's
 * addresses are. */
static s64 map_anywhere(MemoryMap *map, u64 address, u64 size, int protection, int flags, int fd,
                        s64 offset)
{
    u64 length = ALIGN_UP(size, MEMORY_PAGE);
    Window window = {map->search_low, map->search_high, map->search_up};
    bool low = flags & MEMORY_MAP_32BIT;

    if (!low && !map->search_high) {
        return result_of(mmap(guest_to_host(address), size, protection, flags, fd, offset));
    }
    flags &= ~MEMORY_MAP_32BIT;
    address = ALIGN_DOWN(address, MEMORY_PAGE);
    if (address && address >= map->search_low && !bad_range(map, address, length)) {
        s64 result = result_of(mmap(guest_to_host(address), size, protection,
                                    flags | MAP_FIXED_NOREPLACE, fd, offset));
        if (result != -EEXIST) {
            return result;
        }
    }
    if (low) {
        window = (Window){LOW_START, low_end, true};
    }
    return map_in_window(map, window, size, protection, flags, fd, offset);
}

static s64 map_locked(MemoryMap *map, u64 address, u64 size, int protection, int flags, int fd,
                      s64 offset, const char *name)
{
    u64 length = ALIGN_UP(size, MEMORY_PAGE);

    if (size == 0 || (flags & MAP_FIXED && address % MEMORY_PAGE)) {
        return -EINVAL;
    }
    if (length == 0 ||
        bad_range(map, flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? address : 0, length)) {
        return -ENOMEM;
    }
    protection = guest_protection(map, protection);
    bool fixed = (flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE;
    if (fixed) {
        int error = claim_gaps(map, address, address + length);
        if (error) {
            return error;
        }
    }
    s64 result =
        flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
            ? result_of(mmap(guest_to_host(address), size, host_protection(protection), flags, fd,
                             offset))
            : map_anywhere(map, address, size, host_protection(protection), flags, fd, offset);
    if (result < 0 && result > -MEMORY_PAGE) {
        if (fixed) {
            release_gaps(map, address, address + length);
        }
        return result;
    }
    bool was_executable = false;
    if (fixed) {
        range_is_mapped(map, address, address + length, &was_executable);
    }
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    set_region(map, (Region){(u64)result, (u64)result + length, protection, shared, false, name});
    invalidate(map, (u64)result, (u64)result + length, was_executable);
    return result;
}

s64 memory_map(MemoryMap *map, u64 address, u64 size, int protection, int flags, int fd, s64 offset)
{
    pthread_mutex_lock(&map->changing);
    s64 result = map_locked(map, address, size, protection, flags, fd, offset, NULL);
    pthread_mutex_unlock(&map->changing);
    return result;
}

s64 memory_map_named(MemoryMap *map, u64 address, u64 size, int protection, int flags,
                     const char *name)
{
    pthread_mutex_lock(&map->changing);
    s64 result = map_locked(map, address, size, protection, flags, -1, 0, name);
    pthread_mutex_unlock(&map->changing);
    return result;
}

static s64 unmap_locked(MemoryMap *map, u64 start, u64 end)
{
    Region region;

    for (u64 at = start; at < end && memory_next(map, at, &region) && region.start < end;) {
        u64 low = MAX(region.start, at), high = MIN(region.end, end);
        if (munmap(guest_to_host(low), high - low)) {
            return -errno;
        }
        clear_region(map, low, high);
        invalidate(map, low, high, region.protection & PROT_EXEC);
        at = high;
    }
    return 0;
}

s64 memory_unmap(MemoryMap *map, u64 address, u64 size)
{
    u64 length = ALIGN_UP(size, MEMORY_PAGE);

    if (address % MEMORY_PAGE || length == 0 || bad_range(map, address, length)) {
        return -EINVAL;
    }
    pthread_mutex_lock(&map->changing);
    s64 result = unmap_locked(map, address, address + length);
    pthread_mutex_unlock(&map->changing);
    return result;
}

static s64 protect_locked(MemoryMap *map, u64 start, u64 end, int protection)
{
    bool executable;

    if (!range_is_mapped(map, start, end, &executable)) {
        return -ENOMEM;
    }
    if (mprotect(guest_to_host(start), end - start, host_protection(protection))) {
        return -errno;
    }
    set_protection(map, start, end, protection);
    /* While it stays executable, translations of unchanged code stay valid. */
    invalidate(map, start, end, executable && !(protection & PROT_EXEC));
    keep_code_protected(map, start, end, protection);
    return 0;
}

s64 memory_protect(MemoryMap *map, u64 address, u64 size, int protection)
{
    u64 length = ALIGN_UP(size, MEMORY_PAGE);

    if (address % MEMORY_PAGE) {
        return -EINVAL;
    }
    if (bad_range(map, address, length) || length < size) {
        return -ENOMEM;
    }
    pthread_mutex_lock(&map->changing);
    s64 result = protect_locked(map, address, address + length, guest_protection(map, protection));
    pthread_mutex_unlock(&map->changing);
    return result;
}

/* mremap(2) that may move, for guests that do not have all of the host's addresses: in place if
 * that is possible. */
static s64 move_in_window(MemoryMap *map, u64 old_address, u64 old_size, u64 new_size, int flags)
{
    const Window window = {map->search_low, map->search_high, map->search_up};

    if (!(flags & MREMAP_DONTUNMAP) && old_size && !bad_range(map, old_address, new_size)) {
        s64 result = result_of(
            mremap(guest_to_host(old_address), old_size, new_size, flags & ~MREMAP_MAYMOVE));
        if (result != -ENOMEM) {
            return result;
        }
    }
    s64 place = map_in_window(map, window, new_size, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place < 0) {
        return place;
    }
    s64 result = result_of(mremap(guest_to_host(old_address), old_size, new_size,
                                  flags | MREMAP_FIXED, guest_to_host((u64)place)));
    if (result < 0 && result > -MEMORY_PAGE) {
        munmap(guest_to_host((u64)place), new_size);
    }
    return result;
}

static s64 remap_locked(MemoryMap *map, u64 old_address, u64 old_size, u64 new_size, int flags,
                        u64 new_address)
{
    Region region;
    bool executable, replaced_executable = false;

    if (!memory_find(map, old_address, &region) ||
        !range_is_mapped(map, old_address, old_address + MAX(old_size, (u64)1), &executable)) {
        return -EFAULT;
    }
    if (flags & MREMAP_FIXED) {
        if (new_address % MEMORY_PAGE || bad_range(map, new_address, new_size)) {
            return -EINVAL;
        }
        int error = claim_gaps(map, new_address, new_address + new_size);
        if (error) {
            return error;
        }
        range_is_mapped(map, new_address, new_address + new_size, &replaced_executable);
    }
    s64 result = flags & MREMAP_MAYMOVE && !(flags & MREMAP_FIXED) && map->search_high
                     ? move_in_window(map, old_address, old_size, new_size, flags)
                     : result_of(mremap(guest_to_host(old_address), old_size, new_size, flags,
                                        guest_to_host(new_address)));
    if (result < 0 && result > -MEMORY_PAGE) {
        if (flags & MREMAP_FIXED) {
            release_gaps(map, new_address, new_address + new_size);
        }
        return result;
    }
    /* Nothing is copied when old_size is 0: a second mapping of shared pages. */
    if (old_size && !(flags & MREMAP_DONTUNMAP)) {
        clear_region(map, old_address, old_address + old_size);
    }
    region.start = (u64)result;
    region.end = (u64)result + new_size;
    set_region(map, region);
    if (old_size) {
        invalidate(map, old_address, old_address + old_size, executable);
    }
    invalidate(map, region.start, region.end, replaced_executable);
    return result;
}

s64 memory_remap(MemoryMap *map, u64 old_address, u64 old_size, u64 new_size, int flags,
                 u64 new_address)
{
    old_size = ALIGN_UP(old_size, MEMORY_PAGE);
    new_size = ALIGN_UP(new_size, MEMORY_PAGE);
    if (old_address % MEMORY_PAGE || new_size == 0 || bad_range(map, old_address, old_size) ||
        bad_range(map, 0, new_size)) {
        return -EINVAL;
    }
    pthread_mutex_lock(&map->changing);
    s64 result = remap_locked(map, old_address, old_size, new_size, flags, new_address);
    pthread_mutex_unlock(&map->changing);
    return result;
}

s64 memory_advise(MemoryMap *map, u64 address, u64 size, int advice)
{
    u64 length = ALIGN_UP(size, MEMORY_PAGE);
    bool executable;

    if (address % MEMORY_PAGE || length < size || bad_range(map, address, length)) {
        return -EINVAL;
    }
    pthread_mutex_lock(&map->changing);
    s64 result = -ENOMEM;
    if (range_is_mapped(map, address, address + length, &executable)) {
        result = madvise(guest_to_host(address), length, advice) ? -errno : 0;
        invalidate(map, address, address + length, executable);
    }
    pthread_mutex_unlock(&map->changing);
    return result;
}

s64 memory_attach(MemoryMap *map, int segment, u64 address, int flags)
{
    struct shmid_ds status;

    if (shmctl(segment, IPC_STAT, &status)) {
        return -errno;
    }
    u64 size = ALIGN_UP((u64)status.shm_segsz, MEMORY_PAGE);
    pthread_mutex_lock(&map->changing);
    s64 result = -EINVAL;
    if (!address && map->search_high) {
        const Window window = {map->search_low, map->search_high, map->search_up};
        address = find_gap(map, size, &window);
    }
    if (!(flags & SHM_REMAP)) { /* replacing mappings this way is not offered */
        result = result_of(shmat(segment, guest_to_host(address), flags & ~SHM_EXEC));
    }
    if (result >= 0 || result <= -MEMORY_PAGE) {
        int protection =
            PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
        set_region(map, (Region){(u64)result, (u64)result + size, protection, true, true, NULL});
    }
    pthread_mutex_unlock(&map->changing);
    return result;
}

s64 memory_detach(MemoryMap *map, u64 address)
{
    Region region;
    s64 result = -EINVAL;

    pthread_mutex_lock(&map->changing);
    if (memory_find(map, address, &region) && region.attached && region.start == address) {
        result = shmdt(guest_to_host(address)) ? -errno : 0;
        if (result == 0) {
            clear_region(map, region.start, region.end);
            invalidate(map, region.start, region.end, region.protection & PROT_EXEC);
        }
    }
    pthread_mutex_unlock(&map->changing);
    return result;
}

void memory_set_break(MemoryMap *map, u64 start)
{
    map->break_start = map->break_end = start;
}

static void move_break(MemoryMap *map, u64 end)
{
    u64 old_page = ALIGN_UP(map->break_end, MEMORY_PAGE);
    u64 new_page = ALIGN_UP(end, MEMORY_PAGE);

    if (new_page > old_page) {
        s64 got = map_locked(map, old_page, new_page - old_page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0, "[heap]");
        if (got != (s64)old_page) {
            if (got >= 0) { /* a kernel before 4.17 took the address as a hint */
                unmap_locked(map, (u64)got, (u64)got + (new_page - old_page));
            }
            return;
        }
    } else if (new_page < old_page) {
        unmap_locked(map, new_page, old_page);
    }
    map->break_end = end;
}

u64 memory_break(MemoryMap *map, u64 end)
{
    pthread_mutex_lock(&map->changing);
    if (end >= map->break_start && end < map->address_limit) {
        move_break(map, end);
    }
    u64 result = map->break_end;
    pthread_mutex_unlock(&map->changing);
    return result;
}

void memory_init(MemoryMap *map, u64 address_limit)
{
    *map = (MemoryMap){.address_limit = address_limit};
    pthread_mutex_init(&map->changing, NULL);
    pthread_mutex_init(&map->inner, NULL);
}

void memory_free(MemoryMap *map)
{
    free(map->regions);
    map->regions = NULL;
    map->count = map->capacity = 0;
}

void memory_hold_changes(MemoryMap *map)
{
    pthread_mutex_lock(&map->changing);
}

void memory_fork_prepare(MemoryMap *map)
{
    pthread_mutex_lock(&map->inner);
}

void memory_fork_done(MemoryMap *map)
{
    pthread_mutex_unlock(&map->inner);
    pthread_mutex_unlock(&map->changing);
}
