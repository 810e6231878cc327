/* Calls through tables of functions, on objects of mixed kinds in an order that no predictor knows
 * by heart, and through a table indexed by data. */
#include "bench.h"

enum { OBJECTS = 512, KINDS = 6 };

struct object;
struct methods {
    uint32_t (*area)(const struct object *);
    void (*grow)(struct object *, uint32_t);
    int (*before)(const struct object *, const struct object *);
};
struct object {
    const struct methods *methods;
    uint32_t width, height;
};

static uint32_t rectangle(const struct object *o)
{
    return o->width * o->height;
}
static uint32_t triangle(const struct object *o)
{
    return o->width * o->height / 2;
}
static uint32_t circle(const struct object *o)
{
    return o->width * o->width * 355 / 113;
}
static uint32_t line(const struct object *o)
{
    return o->width;
}
static void widen(struct object *o, uint32_t by)
{
    o->width = (o->width + by) & 0x3ff;
}
static void heighten(struct object *o, uint32_t by)
{
    o->height = (o->height + by) & 0x3ff;
}
static void exchange(struct object *o, uint32_t by)
{
    uint32_t width = o->width;
    o->width = (o->height ^ by) & 0x3ff;
    o->height = width;
}
static int by_width(const struct object *a, const struct object *b)
{
    return a->width < b->width;
}
static int by_height(const struct object *a, const struct object *b)
{
    return a->height < b->height;
}

static const struct methods kinds[KINDS] = {
    {rectangle, widen, by_width}, {triangle, heighten, by_height}, {circle, exchange, by_width},
    {line, widen, by_height},     {rectangle, exchange, by_width}, {circle, heighten, by_height},
};

static uint32_t (*const transform[8])(const struct object *) = {
    rectangle, line, circle, triangle, circle, line, triangle, rectangle,
};

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    static struct object objects[OBJECTS];
    uint64_t seed = 9, sum = 0;
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = (struct object){&kinds[bench_random(&seed) % KINDS],
                                     bench_random(&seed) & 0x3ff, bench_random(&seed) & 0x3ff};
    }
    for (int round = 0; round < size; round++) {
        for (int i = 0; i < OBJECTS; i++) {
            struct object *o = &objects[i], *next = &objects[(i + 1) % OBJECTS];
            uint32_t area = o->methods->area(o);
            o->methods->grow(next, area & 15);
            sum += o->methods->before(o, next) ? area : transform[area & 7](next);
        }
    }
    return bench_result(sum);
}
