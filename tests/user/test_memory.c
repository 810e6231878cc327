/* The guest's memory map against the kernel's behaviour, with a stand-in for the engine that
 * records what it is told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/tap.h"
#include "user/memory.h"

enum { PAGE = MEMORY_PAGE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };

static u64 invalid_start, invalid_size, protected_page;
static unsigned invalidations;

void engine_invalidate(Engine *engine, u64 start, u64 size)
{
    (void)engine;
    invalid_start = start;
    invalid_size = size;
    invalidations++;
}

bool engine_page_is_protected(Engine *engine, u64 page)
{
    (void)engine;
    return page == protected_page;
}

static MemoryMap map;

static u64 fresh(u64 pages, int protection)
{
    s64 got = memory_map(&map, 0, pages * PAGE, protection, ANON, -1, 0);

    OK(got > 0, "mmap of %d pages", (int)pages);
    return (u64)got;
}

static int protection_of(u64 address)
{
    Region region;

    return memory_find(&map, address, &region) ? region.protection : -1;
}

static void test_split_and_merge(void)
{
    u64 at = fresh(8, PROT_READ | PROT_WRITE);

    OK(memory_protect(&map, at + 2 * PAGE, 2 * PAGE, PROT_READ) == 0, "protect the middle");
    OK(protection_of(at) == 3 && protection_of(at + 2 * PAGE) == 1 &&
           protection_of(at + 4 * PAGE) == 3,
       "three regions");
    OK(memory_protect(&map, at + 2 * PAGE, 2 * PAGE, 3) == 0, "and back");
    Region region;
    OK(memory_find(&map, at, &region) && region.start <= at && region.end >= at + 8 * PAGE,
       "one region again");
    OK(memory_unmap(&map, at + 3 * PAGE, PAGE) == 0, "a hole");
    OK(protection_of(at + 3 * PAGE) == -1 && protection_of(at + 4 * PAGE) == 3, "is a hole");
    OK(memory_protect(&map, at, 8 * PAGE, PROT_READ) == -ENOMEM, "mprotect over a hole");
    OK(memory_unmap(&map, at, 8 * PAGE) == 0 && memory_unmap(&map, at, 8 * PAGE) == 0,
       "munmap skips holes");
}

static void test_fixed(void)
{
    u64 at = fresh(4, PROT_READ | PROT_WRITE);
    s64 got = memory_map(&map, at, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0);

    OK(got == -EEXIST, "MAP_FIXED_NOREPLACE refuses");
    got = memory_map(&map, at + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    OK(got == (s64)(at + PAGE) && protection_of(at + PAGE) == PROT_READ, "MAP_FIXED replaces");
    OK(memory_unmap(&map, at + 2 * PAGE, PAGE) == 0, "a hole");
    got = memory_map(&map, at, 4 * PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    OK(got == (s64)at, "MAP_FIXED over regions and a hole");

    /* Memory of the process itself is not the guest's to replace, change or unmap. */
    char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    own[0] = 'm';
    got = memory_map(&map, (u64)own, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    OK(got == -ENOMEM, "MAP_FIXED over the emulator's memory");
    OK(memory_unmap(&map, (u64)own, PAGE) == 0, "munmap of it does nothing");
    OK(memory_protect(&map, (u64)own, PAGE, PROT_NONE) == -ENOMEM, "mprotect of it");
    OK(memory_advise(&map, (u64)own, PAGE, MADV_DONTNEED) == -ENOMEM, "madvise of it");
    OK(own[0] == 'm', "it is untouched");
    munmap(own, PAGE);

    OK(memory_map(&map, at + 1, PAGE, 1, ANON | MAP_FIXED, -1, 0) == -EINVAL, "unaligned");
    OK(memory_map(&map, 0, 0, 1, ANON, -1, 0) == -EINVAL, "empty");
    OK(memory_map(&map, ~(u64)0 - PAGE + 1, PAGE, 1, ANON | MAP_FIXED, -1, 0) == -ENOMEM, "wraps");
    OK(memory_map(&map, 0, ~(u64)0, 1, ANON, -1, 0) == -ENOMEM, "too large");
}

/* Fixed mappings over a range that is the guest's in parts. */
static void test_gaps(void)
{
    u64 at = fresh(4, PROT_READ | PROT_EXEC);
    const int bad_fd = -2;

    OK(memory_unmap(&map, at, PAGE) == 0, "a gap before code");
    invalidations = 0;
    OK(memory_map(&map, at, 2 * PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == (s64)at,
       "a mapping over both");
    OK(invalidations == 1 && invalid_start == at && invalid_size == 2 * PAGE, "drops the code");
    OK(memory_unmap(&map, at, 4 * PAGE) == 0, "all is a gap");
    OK(memory_map(&map, at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, bad_fd, 0) == -EBADF,
       "a bad file");
    OK(memory_map(&map, at, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == (s64)at,
       "leaves the range free");
    OK(memory_remap(&map, at, PAGE, PAGE, MREMAP_FIXED, at + PAGE) == -EINVAL,
       "mremap with bad flags");
    OK(memory_map(&map, at + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == (s64)(at + PAGE),
       "leaves it free, too");
    memory_unmap(&map, at, 4 * PAGE);
}

static void test_code(void)
{
    u64 at = fresh(4, PROT_READ | PROT_EXEC);

    OK(memory_page_executable(&map, at) && !memory_page_writable(&map, at), "what the engine sees");
    invalidations = 0;
    OK(memory_protect(&map, at + PAGE, PAGE, PROT_READ) == 0 && invalidations == 1 &&
           invalid_start == at + PAGE && invalid_size == PAGE,
       "losing exec drops translations");
    protected_page = at + 3 * PAGE;
    OK(memory_protect(&map, at + 2 * PAGE, 2 * PAGE, 7) == 0, "writable code");
    OK(memory_page_writable(&map, protected_page), "is writable for the guest");
    *(volatile char *)(at + 2 * PAGE) = 1; /* would crash if it were not writable */
    unsigned char vector[1];
    OK(mincore((void *)protected_page, PAGE, vector) == 0, "the protected page is mapped");
    protected_page = 0;
    invalidations = 0;
    OK(memory_unmap(&map, at, 4 * PAGE) == 0 && invalidations == 2,
       "unmapping code tells the engine");
    at = fresh(1, PROT_EXEC);
    OK(*(volatile char *)at == 0, "exec-only memory can be read by the translator");
    u64 data = fresh(1, PROT_READ | PROT_WRITE);
    invalidations = 0;
    OK(memory_unmap(&map, data, PAGE) == 0 && invalidations == 0,
       "data does not concern the engine");
}

static void test_remap(void)
{
    u64 at = fresh(2, PROT_READ | PROT_WRITE);

    memset((void *)at, 'x', 2 * PAGE);
    s64 got = memory_remap(&map, at, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE, 0);
    OK(got > 0 && *(char *)(got + PAGE) == 'x', "grows");
    OK(protection_of((u64)got + 63 * PAGE) == 3, "is known");
    u64 target = fresh(64, PROT_READ);
    s64 moved =
        memory_remap(&map, (u64)got, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    OK(moved == (s64)target && protection_of(target) == 3, "moves over another mapping");
    OK(protection_of((u64)got) == -1, "the old place is free");
    OK(memory_remap(&map, 0x1000, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0) == -EFAULT, "of nothing");
}

static void test_break(void)
{
    u64 start = 0x10000000;

    memory_set_break(&map, start);
    OK(memory_break(&map, 0) == start, "brk(0)");
    OK(memory_break(&map, start + 10000) == start + 10000, "grows");
    *(char *)(start + 9999) = 1;
    OK(memory_break(&map, start - 1) == start + 10000, "not below its start");
    OK(memory_break(&map, start + 100) == start + 100 && protection_of(start + PAGE) == -1,
       "shrinks");
    s64 wall = memory_map(&map, start + 16 * PAGE, PAGE, 1, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    OK(wall > 0 && memory_break(&map, start + 32 * PAGE) == start + 100, "stops at a mapping");
}

/* Random maps and unmaps against a plain array. */
static void test_random(void)
{
    enum { PAGES = 64, ROUNDS = 4000 };
    u64 base = fresh(PAGES, PROT_NONE);
    int model[PAGES] = {0}, wrong = 0;

    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        int first = rand() % PAGES, count = 1 + rand() % (PAGES - first), kind = rand() % 3;
        int protection = rand() % 4; /* no exec: unmapped below without the engine */
        bool whole = true;
        for (int i = first; i < first + count; i++) {
            whole &= model[i] >= 0;
        }
        u64 at = base + (u64)first * PAGE, size = (u64)count * PAGE;
        s64 expected = kind == 2 && !whole ? -ENOMEM : 0;
        s64 got = kind == 0   ? memory_map(&map, at, size, protection, ANON | MAP_FIXED, -1, 0)
                  : kind == 1 ? memory_unmap(&map, at, size)
                              : memory_protect(&map, at, size, protection);
        wrong += kind == 0 ? got != (s64)at : got != expected;
        for (int i = first; got >= 0 && i < first + count; i++) {
            model[i] = kind == 1 ? -1 : protection;
        }
        for (int i = 0; i < PAGES; i++) {
            wrong += protection_of(base + (u64)i * PAGE) != model[i];
        }
    }
    OK(wrong == 0, "%d random changes agree with the model", ROUNDS);
}

/* A guest of 32 bits on a larger host. */
static void test_window(void)
{
    const u64 low = 0x10000, high = 0x70000000; /* sanitizers have memory above */
    MemoryMap narrow;

    memory_init(&narrow, 0xffffe000);
    narrow.search_low = low;
    narrow.search_high = high;
    u64 first = (u64)memory_map(&narrow, 0, 3 * PAGE, PROT_READ, ANON, -1, 0);
    u64 second = (u64)memory_map(&narrow, 0, PAGE, PROT_READ, ANON, -1, 0);
    OK(first == high - 3 * PAGE && second == first - PAGE, "from the top down");
    OK(memory_unmap(&narrow, first + PAGE, PAGE) == 0 &&
           memory_map(&narrow, 0, PAGE, PROT_READ, ANON, -1, 0) == (s64)(first + PAGE),
       "a gap is filled");
    OK(memory_map(&narrow, 0x20000000, PAGE, PROT_READ, ANON, -1, 0) == 0x20000000, "a hint");
    OK(memory_map(&narrow, 0x20000000, PAGE, PROT_READ, ANON, -1, 0) == (s64)second - PAGE,
       "a hint that is taken");
    OK(memory_map(&narrow, (u64)1 << 40, PAGE, PROT_READ, ANON, -1, 0) == (s64)second - 2 * PAGE,
       "a hint beyond");
    OK(memory_map(&narrow, 0, PAGE, PROT_READ, ANON | MEMORY_MAP_32BIT, -1, 0) == 0x40000000,
       "MAP_32BIT");
    OK(memory_map(&narrow, 0, (u64)1 << 32, PROT_READ, ANON, -1, 0) == -ENOMEM,
       "more than there is");
    s64 moved = memory_remap(&narrow, second, PAGE, 4 * PAGE, MREMAP_MAYMOVE, 0);
    OK(moved > 0 && moved < (s64)high && moved != (s64)second, "mremap moves below the limit");
    MemoryMap whole;
    memory_init(&whole, (u64)1 << 47);
    OK(memory_map(&whole, 0, PAGE, PROT_READ, ANON | MEMORY_MAP_32BIT, -1, 0) >= 0x40000000,
       "MAP_32BIT of a guest with all addresses");
    memory_free(&whole);
    narrow.search_up = true;
    narrow.search_low = 0x55555000;
    OK(memory_map(&narrow, 0, PAGE, PROT_READ, ANON, -1, 0) == 0x55555000, "from the bottom up");
    memory_free(&narrow);
}

int main(void)
{
    memory_init(&map, (u64)1 << 47);
    map.engine = (Engine *)&map; /* never looked into */
    test_split_and_merge();
    test_fixed();
    test_gaps();
    test_code();
    test_remap();
    test_break();
    test_random();
    memory_free(&map);
    test_window();
    return tap_done();
}
