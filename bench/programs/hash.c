/* Hash tables: one with open addressing for numbers, one with chains for strings. */
#include "bench.h"

enum { SLOTS = 1 << 14, BUCKETS = 1 << 12, KEYS = 6000 };

struct entry {
    struct entry *next;
    char key[12];
    uint32_t count;
};

static uint32_t keys[SLOTS], values[SLOTS];
static struct entry *buckets[BUCKETS], entries[KEYS];
static size_t used;

static uint32_t *number(uint32_t key)
{
    uint32_t at = key * 0x9e3779b1u >> (32 - 14);
    while (keys[at] && keys[at] != key) {
        at = (at + 1) % SLOTS;
    }
    keys[at] = key;
    return &values[at];
}

static uint32_t *word(const char *key)
{
    uint32_t hash = 2166136261u;
    for (const char *c = key; *c; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    }
    struct entry **bucket = &buckets[hash % BUCKETS];
    for (struct entry *e = *bucket; e; e = e->next) {
        if (strcmp(e->key, key) == 0) {
            return &e->count;
        }
    }
    struct entry *e = &entries[used++];
    *e = (struct entry){.next = *bucket};
    strcpy(e->key, key);
    *bucket = e;
    return &e->count;
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t seed = 5, sum = 0;
    for (int i = 0; i < size; i++) {
        uint32_t n = bench_random(&seed) % KEYS;
        char key[12], *end = key;
        *number(n * 7919 + 1) += n;
        for (uint32_t rest = n; rest || end == key; rest /= 26) {
            *end++ = (char)('a' + rest % 26);
        }
        *end = 0;
        sum = sum * 33 + ++*word(key) + *number(bench_random(&seed) % KEYS * 7919 + 1);
    }
    return bench_result(sum);
}
