/* The code cache: one anonymous private mapping (fork() copies it), bounded, that never fails.
 *
 * It is split into segments that are filled in order; when the last is full, the first is evicted
 * as a whole, and so on round (FIFO). Pages are touched only when code is written, so a large bound
 * costs nothing. Shared stubs of the host lie at the start of segment 0 and stay.
 *
 * Each segment owns what describes its code: the blocks in address order (for the fault handler),
 * and an arena with links and side tables. Eviction stops all threads (safepoint.c), so nobody
 * holds a pointer to any of it.
 * Must not know what a block means. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "exec/mmu.h"

enum { CODE_ALIGN = 16, SMALLEST_SEGMENT = 32 << 10 };

static const size_t default_size = (size_t)128 << 20;

int cache_init(Engine *engine, size_t size)
{
    Cache *cache = &engine->cache;

    size = size ? size : default_size;
    cache->segment_size =
        ALIGN_UP(MAX(size / CACHE_SEGMENTS, (size_t)SMALLEST_SEGMENT), (size_t)CODE_PAGE);
    cache->size = cache->segment_size * CACHE_SEGMENTS;
    cache->base = mmap(NULL, cache->size, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cache->base == MAP_FAILED) {
        cache->base = NULL;
        return -1;
    }
    for (u32 i = 0; i < CACHE_SEGMENTS; i++) {
        Segment *segment = &cache->segments[i];
        segment->start = segment->next = cache->base + i * cache->segment_size;
        segment->end = segment->start + cache->segment_size;
    }
    size_t stubs = engine->host->begin_cache(cache->base, cache->segment_size, &engine->config);
    Segment *first = &cache->segments[0];
    first->start = first->next = cache->base + ALIGN_UP(stubs, (size_t)CODE_ALIGN);
    return 0;
}

void cache_free(Engine *engine)
{
    Cache *cache = &engine->cache;

    for (u32 i = 0; i < CACHE_SEGMENTS; i++) {
        Segment *segment = &cache->segments[i];
        for (u32 c = 0; c < SEGMENT_CHUNKS && segment->chunks[c]; c++) {
            free(segment->chunks[c]);
        }
        arena_free(&segment->arena);
    }
    if (cache->base) {
        munmap(cache->base, cache->size);
    }
}

static Segment *current(const Engine *engine)
{
    return (Segment *)&engine->cache.segments[engine->cache.current];
}

u8 *cache_room(Engine *engine, size_t *room)
{
    Segment *segment = current(engine);

    *room = (size_t)(segment->end - segment->next);
    return segment->next;
}

bool cache_segment_is_empty(const Engine *engine)
{
    return current(engine)->block_count == 0;
}

void *cache_alloc(Engine *engine, size_t size)
{
    return arena_alloc(&current(engine)->arena, size, 8);
}

static Block *segment_block(const Segment *segment, u32 index)
{
    return &segment->chunks[index / CHUNK_BLOCKS][index % CHUNK_BLOCKS];
}

Block *cache_new_block(Engine *engine, u32 size)
{
    Segment *segment = current(engine);
    u32 count = segment->block_count;
    u32 chunk = count / CHUNK_BLOCKS;

    if (chunk == SEGMENT_CHUNKS) {
        return NULL;
    }
    if (!segment->chunks[chunk]) {
        segment->chunks[chunk] = malloc(CHUNK_BLOCKS * sizeof(Block));
        if (!segment->chunks[chunk]) {
            fprintf(stderr, "menura: out of memory for translated code\n");
            abort();
        }
    }
    Block *block = segment_block(segment, count);
    *block = (Block){.code = segment->next, .code_size = size};
    segment->next += ALIGN_UP((size_t)size, (size_t)CODE_ALIGN);
    segment->next = MIN(segment->next, segment->end);
    return block;
}

void cache_publish(Engine *engine)
{
    Segment *segment = current(engine);

    __atomic_store_n(&segment->block_count, segment->block_count + 1, __ATOMIC_RELEASE);
}

/* Whether a vCPU that is outside, in a device, will return to code there. */
static bool is_returned_to(const Engine *engine, const Segment *segment)
{
    for (const Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        const u8 *code = vcpu->mmu ? __atomic_load_n(&vcpu->mmu->way_back, __ATOMIC_SEQ_CST) : NULL;
        if (code >= segment->start && code < segment->end) {
            return true;
        }
    }
    return false;
}

/* The lock is held and all threads are outside, or the next segment is empty. */
static bool choose_segment(const Engine *engine, u32 *next)
{
    const Cache *cache = &engine->cache;

    for (u32 i = 1; i < CACHE_SEGMENTS; i++) {
        *next = (cache->current + i) % CACHE_SEGMENTS;
        if (!is_returned_to(engine, &cache->segments[*next])) {
            return true;
        }
    }
    return false;
}

bool cache_next_segment(Engine *engine)
{
    Cache *cache = &engine->cache;
    u32 next = (cache->current + 1) % CACHE_SEGMENTS;
    Segment *segment = &cache->segments[next];

    if (segment->block_count) {
        safepoint_stop(engine);
        if (!choose_segment(engine, &next)) {
            safepoint_resume(engine);
            return false;
        }
        segment = &cache->segments[next];
        if (log_on(LOG_CACHE)) {
            log_printf("cache: evicting %u blocks, %zu bytes\n", segment->block_count,
                       (size_t)(segment->next - segment->start));
        }
        for (u32 i = 0; i < segment->block_count; i++) {
            block_kill(engine, segment_block(segment, i), false);
        }
        safepoint_forget_code(engine);
        arena_reset(&segment->arena);
        segment->next = segment->start;
        __atomic_store_n(&segment->block_count, 0, __ATOMIC_RELAXED);
        cache->evictions++;
        safepoint_resume(engine);
    }
    cache->current = next;
    return true;
}

void cache_kill_all(Engine *engine)
{
    for (u32 i = 0; i < CACHE_SEGMENTS; i++) {
        Segment *segment = &engine->cache.segments[i];
        for (u32 b = 0; b < segment->block_count; b++) {
            block_kill(engine, segment_block(segment, b), false);
        }
    }
}

bool cache_contains(const Engine *engine, const u8 *address)
{
    const Cache *cache = &engine->cache;

    return address >= cache->base && address < cache->base + cache->size;
}

Block *cache_block_at(const Engine *engine, const u8 *address)
{
    if (!cache_contains(engine, address)) {
        return NULL;
    }
    size_t offset = (size_t)(address - engine->cache.base);
    const Segment *segment = &engine->cache.segments[offset / engine->cache.segment_size];
    u32 low = 0, high = __atomic_load_n(&segment->block_count, __ATOMIC_ACQUIRE);

    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (segment_block(segment, middle)->code <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return NULL;
    }
    Block *block = segment_block(segment, low - 1);
    return address < block->code + block->code_size ? block : NULL;
}
