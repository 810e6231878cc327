/* Guest memory as seen from the Linux layer: copies that fail instead of crashing.
 *
 * Every own access to memory that a guest pointer names goes through here: an address that is not
 * mapped gives false (EFAULT to the guest). The copies are a few instructions whose faults the
 * signal handler recognises, so they cost no system call. They must never run while a lock of the
 * memory map is held: resolving the fault may take it. */
#ifndef USER_ACCESS_H
#define USER_ACCESS_H

#include <string.h>

#include "base/types.h"

/* Guest and host address spaces coincide; both directions in one place so that a base can come. */
static inline void *guest_to_host(u64 address)
{
    return (void *)(uintptr_t)address;
}

static inline u64 host_to_guest(const void *pointer)
{
    return (u64)(uintptr_t)pointer;
}

/* False when any byte is not accessible; some may have been copied then. */
bool copy_from_guest(void *to, u64 from, size_t size);
bool copy_to_guest(u64 to, const void *from, size_t size);

/* Copies a NUL-terminated string; returns its length, -EFAULT, or -ENAMETOOLONG when `size` bytes
 * do not hold it. */
s64 copy_string_from_guest(char *to, u64 from, size_t size);

/* Makes pages that the engine write-protected writable again, as a guest's store would. Returns
 * false when one of the pages is not writable for the guest either. */
bool touch_guest_pages(u64 address, size_t size);

/* Values of 1, 2, 4 or 8 bytes at a host pointer in the guest's byte order. */
static inline u64 get_value(const u8 *at, unsigned size, bool big_endian)
{
    const bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    u16 half;
    u32 word;
    u64 value;

    switch (size) {
    case 1:
        return *at;
    case 2:
        memcpy(&half, at, 2);
        return swap ? __builtin_bswap16(half) : half;
    case 4:
        memcpy(&word, at, 4);
        return swap ? __builtin_bswap32(word) : word;
    default:
        memcpy(&value, at, 8);
        return swap ? __builtin_bswap64(value) : value;
    }
}

static inline void put_value(u8 *at, u64 value, unsigned size, bool big_endian)
{
    const bool swap = big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    u16 half = swap ? __builtin_bswap16((u16)value) : (u16)value;
    u32 word = swap ? __builtin_bswap32((u32)value) : (u32)value;

    switch (size) {
    case 1:
        *at = (u8)value;
        break;
    case 2:
        memcpy(at, &half, 2);
        break;
    case 4:
        memcpy(at, &word, 4);
        break;
    default:
        value = swap ? __builtin_bswap64(value) : value;
        memcpy(at, &value, 8);
        break;
    }
}

#endif
