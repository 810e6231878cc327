/* Arena allocation: see arena.h. Chunks double in size up to a bound, so that small jobs stay
 * small and large ones take few system calls. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 64 << 10, LARGEST_CHUNK = 4 << 20 };

struct ArenaChunk {
    ArenaChunk *next;
    size_t size; /* bytes in data */
    _Alignas(64) u8 data[];
};

void arena_init(Arena *arena)
{
    *arena = (Arena){0};
}

void arena_free(Arena *arena)
{
    ArenaChunk *chunk = arena->first;

    while (chunk) {
        ArenaChunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    arena_init(arena);
}

static void fill(Arena *arena, ArenaChunk *chunk)
{
    arena->current = chunk;
    arena->next = chunk ? chunk->data : NULL;
    arena->end = chunk ? chunk->data + chunk->size : NULL;
}

void arena_reset(Arena *arena)
{
    fill(arena, arena->first);
}

static ArenaChunk *new_chunk(size_t size)
{
    ArenaChunk *chunk = aligned_alloc(64, ALIGN_UP(sizeof(ArenaChunk) + size, (size_t)64));

    if (!chunk) {
        fprintf(stderr, "menura: out of memory (%zu bytes)\n", size);
        abort();
    }
    chunk->next = NULL;
    chunk->size = size;
    return chunk;
}

void *arena_alloc_slow(Arena *arena, size_t size, size_t align)
{
    ArenaChunk *last = arena->current;
    size_t wanted = last ? MIN(last->size * 2, (size_t)LARGEST_CHUNK) : (size_t)FIRST_CHUNK;

    /* A chunk kept by arena_reset() may be too small for this request; it is passed over. */
    while (last && last->next) {
        last = last->next;
        if (last->size >= size + align) {
            fill(arena, last);
            return arena_alloc(arena, size, align);
        }
    }
    ArenaChunk *chunk = new_chunk(MAX(wanted, size + align));
    if (last) {
        last->next = chunk;
    } else {
        arena->first = chunk;
    }
    fill(arena, chunk);
    return arena_alloc(arena, size, align);
}

void *arena_zalloc(Arena *arena, size_t size, size_t align)
{
    return memset(arena_alloc(arena, size, align), 0, size);
}

char *arena_strdup(Arena *arena, const char *string)
{
    size_t size = strlen(string) + 1;

    return memcpy(arena_alloc(arena, size, 1), string, size);
}

char *arena_printf(Arena *arena, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = arena_alloc(arena, (size_t)length + 1, 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
