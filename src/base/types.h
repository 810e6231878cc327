/* Fixed-width integer names and a few macros that every part uses.
 * Invariant: depends on nothing but the C library's freestanding headers. */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned __int128 u128;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef __int128 s128;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALIGN_DOWN(value, size) ((value) & ~((__typeof__(value))(size)-1))
#define ALIGN_UP(value, size) ALIGN_DOWN((value) + (__typeof__(value))(size)-1, size)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
