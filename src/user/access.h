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
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (u64)at[i] << 8 * (big_endian ? size - 1 - i : i);
    }
    return value;
}

static inline void put_value(u8 *at, u64 value, unsigned size, bool big_endian)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (u8)(value >> 8 * (big_endian ? size - 1 - i : i));
    }
}

#endif
