/* Loops that the compiler turns into vector code, on ELEMENT = float, int16_t or uint8_t: scaled
 * sums, minimum and maximum, blends, shifts, a dot product and a filter. */
#include "bench.h"

enum { N = 2048 };

typedef ELEMENT element;
static element a[N + 8], b[N + 8], c[N + 8], d[N + 8];

__attribute__((noinline)) static void add_scaled(element k)
{
    for (int i = 0; i < N; i++) {
        c[i] = (element)(a[i] * k + b[i]);
    }
}

__attribute__((noinline)) static void limit(element low, element high)
{
    for (int i = 0; i < N; i++) {
        element x = c[i] < low ? low : c[i];
        d[i] = x > high ? high : x;
    }
}

__attribute__((noinline)) static void blend(void)
{
    for (int i = 0; i < N; i++) {
        a[i] = b[i] > d[i] ? (element)(b[i] - d[i]) : (element)(d[i] - b[i]);
    }
}

__attribute__((noinline)) static void filter(void)
{
    for (int i = 0; i < N; i++) {
        b[i] = (element)((d[i] + d[i + 1] * 2 + d[i + 2]) / 4);
    }
}

__attribute__((noinline)) static int64_t dot(void)
{
    int32_t sum = 0;
    for (int i = 0; i < N; i++) {
        sum += (int32_t)a[i] * (int32_t)b[i];
    }
    return sum;
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t seed = 11, sum = 0;
    for (int i = 0; i < N + 8; i++) {
        a[i] = (element)(bench_random(&seed) % 100);
        b[i] = (element)(bench_random(&seed) % 100);
    }
    for (int i = 0; i < size; i++) {
        add_scaled((element)(i % 3 + 1));
        limit(5, 120);
        blend();
        filter();
        sum = sum * 31 + (uint64_t)dot();
        b[i % N] = (element)(i % 100);
    }
    return bench_result(sum);
}
