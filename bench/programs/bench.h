/* What every benchmark program has in common: its size comes from the command line, its data from
 * one generator, and its result goes to standard output, where the runner compares it with
 * native's. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The program's first argument: how much work to do. */
static inline int bench_size(int argc, char **argv)
{
    if (argc < 2 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: %s SIZE\n", argv[0]);
        exit(2);
    }
    return atoi(argv[1]);
}

/* The same sequence everywhere. */
static inline uint32_t bench_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static inline int bench_result(uint64_t value)
{
    printf("%016llx\n", (unsigned long long)value);
    return 0;
}

/* Results that may differ in the last bits between two C libraries or contractions. */
static inline int bench_result_float(double value)
{
    printf("%.9g\n", value);
    return 0;
}

#endif
