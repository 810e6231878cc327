/* Sorting by quicksort, heapsort, the C library's qsort() with a comparison function, and by radix.
 */
#include "bench.h"

enum { COUNT = 20000 };

static void quicksort(uint32_t *a, long low, long high)
{
    while (low < high) {
        uint32_t pivot = a[low + (high - low) / 2];
        long i = low, j = high;
        while (i <= j) {
            while (a[i] < pivot) {
                i++;
            }
            while (a[j] > pivot) {
                j--;
            }
            if (i <= j) {
                uint32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        quicksort(a, low, j);
        low = i;
    }
}

static void sift(uint32_t *a, size_t root, size_t count)
{
    uint32_t value = a[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        child += child + 1 < count && a[child + 1] > a[child];
        if (a[child] <= value) {
            break;
        }
        a[root] = a[child];
    }
    a[root] = value;
}

static void heapsort_(uint32_t *a, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) {
        sift(a, i, count);
    }
    for (size_t end = count - 1; end > 0; end--) {
        uint32_t t = a[0];
        a[0] = a[end];
        a[end] = t;
        sift(a, 0, end);
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void radix_sort(uint32_t *a, uint32_t *other, size_t count)
{
    for (int shift = 0; shift < 32; shift += 8) {
        size_t starts[257] = {0};
        for (size_t i = 0; i < count; i++) {
            starts[(a[i] >> shift & 255) + 1]++;
        }
        for (int i = 0; i < 256; i++) {
            starts[i + 1] += starts[i];
        }
        for (size_t i = 0; i < count; i++) {
            other[starts[a[i] >> shift & 255]++] = a[i];
        }
        memcpy(a, other, count * sizeof(*a));
    }
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    static uint32_t a[COUNT], other[COUNT];
    uint64_t seed = 3, sum = 0;
    for (int round = 0; round < size; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            a[i] = bench_random(&seed) >> (round & 4 ? 16 : 0);
        }
        switch (round & 3) {
        case 0:
            quicksort(a, 0, COUNT - 1);
            break;
        case 1:
            heapsort_(a, COUNT);
            break;
        case 2:
            qsort(a, COUNT, sizeof(*a), compare);
            break;
        default:
            radix_sort(a, other, COUNT);
        }
        for (size_t i = 1; i < COUNT; i++) {
            sum = sum * 31 + a[i] + (a[i] < a[i - 1]);
        }
    }
    return bench_result(sum);
}
