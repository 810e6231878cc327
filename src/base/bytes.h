/* Numbers of 1 to 8 bytes in memory, in an order of bytes that is not the host's business.
 * Must not be used where alignment and order are known to be the host's: plain accesses are faster.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/types.h"

static inline u64 get_le(const u8 *at, unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (u64)at[i] << 8 * i;
    }
    return value;
}

static inline void put_le(u8 *at, u64 value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (u8)(value >> 8 * i);
    }
}

static inline u64 get_be(const u8 *at, unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static inline void put_be(u8 *at, u64 value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (u8)(value >> 8 * (size - 1 - i));
    }
}

#endif
