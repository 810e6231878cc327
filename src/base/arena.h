/* Arena: memory that is handed out by moving a pointer and dropped whole.
 *
 * A translation, a parsed file or a request allocates freely from one arena and forgets; nothing
 * in an arena is freed alone. After arena_reset() the chunks are kept, so that a hot user (the
 * translator) allocates from the system only until it has seen its largest job.
 * Must not be shared between threads without a lock. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/types.h"

typedef struct ArenaChunk ArenaChunk;

typedef struct Arena {
    ArenaChunk *first;   /* chunks in order of use; owned */
    ArenaChunk *current; /* the one being filled; NULL before the first allocation */
    u8 *next;            /* next free byte in current */
    u8 *end;             /* one past its last byte */
} Arena;

/* An empty arena; {0} is one as well. */
void arena_init(Arena *arena);

/* Returns every chunk to the system. */
void arena_free(Arena *arena);

/* Forgets all allocations and keeps the chunks. */
void arena_reset(Arena *arena);

/* Slow path of arena_alloc(): takes a new chunk. Aborts with a message when memory is exhausted. */
void *arena_alloc_slow(Arena *arena, size_t size, size_t align);

/* `size` uninitialised bytes, aligned to `align` (a power of two). Never NULL. */
static inline void *arena_alloc(Arena *arena, size_t size, size_t align)
{
    uintptr_t at = ALIGN_UP((uintptr_t)arena->next, align);

    if (unlikely(at + size > (uintptr_t)arena->end || arena->next == NULL)) {
        return arena_alloc_slow(arena, size, align);
    }
    arena->next = (u8 *)(at + size);
    return (void *)at;
}

/* The same, zeroed. */
void *arena_zalloc(Arena *arena, size_t size, size_t align);

#define ARENA_NEW(arena, type) ((type *)arena_zalloc((arena), sizeof(type), _Alignof(type)))
#define ARENA_ARRAY(arena, type, count)                                                            \
    ((type *)arena_zalloc((arena), sizeof(type) * (count), _Alignof(type)))

/* A copy of the string that lives as long as the arena. */
char *arena_strdup(Arena *arena, const char *string);

/* printf into the arena. */
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
