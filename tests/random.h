/* Reproducible random numbers for tests. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include "base/types.h"

/* The next 64 bits of the sequence whose state (a u64, any start) `context` points to: the
 * splitmix64 generator. Its type is that of InsnRandom.next. */
static inline u64 random_next(void *context)
{
    u64 *state = context;
    u64 z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

#endif
