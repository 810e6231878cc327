/* The formats of floppy disks, by size. The first of a size is the usual one. */
#include "device/block/floppy.h"

static const FloppyMedia media[] = {
    /* 3.5 inches, high density */
    {80, 2, 18, 0, 4},
    {80, 2, 20, 0, 4},
    {80, 2, 21, 0, 4},
    {82, 2, 21, 0, 4},
    {83, 2, 21, 0, 4},
    {80, 2, 22, 0, 4},
    {80, 2, 23, 0, 4},
    {80, 2, 24, 0, 4},
    /* extra density */
    {80, 2, 36, 3, 5},
    {80, 2, 39, 3, 5},
    {80, 2, 40, 3, 5},
    {80, 2, 44, 3, 5},
    {80, 2, 48, 3, 5},
    /* double density */
    {80, 2, 9, 2, 3},
    {80, 2, 10, 2, 3},
    {82, 2, 10, 2, 3},
    {83, 2, 10, 2, 3},
    {80, 2, 13, 2, 3},
    {80, 2, 14, 2, 3},
    /* 5.25 inches, high density */
    {80, 2, 15, 0, 2},
    {82, 2, 18, 0, 4},
    {83, 2, 18, 0, 4},
    {80, 2, 16, 0, 2},
    {80, 2, 17, 0, 2},
    /* double density, in a drive for it */
    {40, 2, 9, 2, 1},
    {41, 2, 10, 2, 1},
    {42, 2, 10, 2, 1},
    {40, 2, 8, 2, 1},
    {40, 1, 9, 2, 1},
    {40, 1, 8, 2, 1},
};

static u64 size_of(const FloppyMedia *m)
{
    return (u64)m->cylinders * m->heads * m->sectors * FLOPPY_SECTOR;
}

/* An image that was cut off behind what is used is of the most usual format that holds it. */
const FloppyMedia *floppy_media_find(u64 size)
{
    const FloppyMedia *best = size <= size_of(&media[0]) ? &media[0] : NULL;

    for (size_t i = 0; i < COUNT(media); i++) {
        if (size_of(&media[i]) == size) {
            return &media[i];
        }
        if (size_of(&media[i]) > size && (!best || size_of(&media[i]) < size_of(best)) &&
            size > size_of(&media[0])) {
            best = &media[i];
        }
    }
    return best;
}
