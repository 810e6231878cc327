/* One function of the C library, chosen by FUNCTION, on blocks of many sizes and alignments. */
#include "bench.h"

enum { memcpy_, memset_, memcmp_, memchr_, strlen_, strchr_, strcmp_ };
enum { ROOM = 1 << 16 };

static char a[ROOM + 64], b[ROOM + 64];
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile set)(void *, int, size_t) = memset;
static int (*volatile compare)(const void *, const void *, size_t) = memcmp;
static void *(*volatile find)(const void *, int, size_t) = memchr;
static size_t (*volatile length)(const char *) = strlen;
static char *(*volatile find_in_string)(const char *, int) = strchr;
static int (*volatile compare_strings)(const char *, const char *) = strcmp;

/* The result depends on sizes and contents only, never on where things lie. */
static uint64_t once(size_t size, size_t shift)
{
    char *x = a + shift, *y = b + shift * 3 % 32;
    switch (FUNCTION) {
    case memcpy_:
        return (uint64_t)((char *)copy(y, x, size) - y) + (uint8_t)y[size - 1];
    case memset_:
        return (uint64_t)((char *)set(y, (int)size & 127, size) - y) + (uint8_t)y[size / 2];
    case memcmp_:
        return compare(x, y, size) == 0;
    case memchr_:
        return (uint64_t)((char *)find(x, 'z', size + 1) - x);
    case strlen_:
        return length(x);
    case strchr_:
        return (uint64_t)(find_in_string(x, 'z') - x);
    default:
        return compare_strings(x, y) == 0;
    }
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1,   3,   8,   15,   16,   31,    60,
                                   100, 200, 500, 1000, 4000, 16000, 60000};
    int size = bench_size(argc, argv);
    uint64_t sum = 0;
    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t n = sizes[s], rounds = (size_t)size * 1000 / (n + 300) + 1;
        for (size_t i = 0; i < rounds; i++) {
            size_t shift = i % 16;
            char ends = FUNCTION == memchr_ || FUNCTION == strchr_ ? 'z' : 0;
            char *end = a + shift + n, *other = b + shift * 3 % 32 + n;
            *end = *other = ends;
            sum = sum * 31 + once(n, shift);
            *end = *other = 'x';
        }
        memset(b, 'x', sizeof(b));
    }
    return bench_result(sum);
}
