/* Recursive calls: Fibonacci, Ackermann, Takeuchi, and the N queens. */
#include "bench.h"

__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) static uint32_t
fibonacci(uint32_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) static uint32_t
ackermann(uint32_t m, uint32_t n)
{
    if (m == 0) {
        return n + 1;
    }
    return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) static int
takeuchi(int x, int y, int z)
{
    if (y >= x) {
        return z;
    }
    return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

__attribute__((noinline)) static int queens(int row, uint32_t columns, uint32_t left,
                                            uint32_t right, int n)
{
    int count = 0;
    if (row == n) {
        return 1;
    }
    for (uint32_t free = ~(columns | left | right) & ((1u << n) - 1); free; free &= free - 1) {
        uint32_t bit = free & -free;
        count += queens(row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1, n);
    }
    return count;
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t sum = 0;
    for (int i = 0; i < size; i++) {
        sum = sum * 31 + fibonacci(22) + ackermann(2, 120) + (uint32_t)takeuchi(14, 8, 3) +
              (uint32_t)queens(0, 0, 0, 0, 8) + (uint64_t)i;
    }
    return bench_result(sum);
}
