/* Pictures with pixels side by side in memory. The memory's dirty pages say which rows to make. */
#include <string.h>

#include "base/bytes.h"
#include "device/display/vga.h"

typedef struct Drawing {
    Vga *vga;
    Display *display;
    const VgaLinear *picture;
    bool all;
} Drawing;

/* -- Pixels */

static u32 widen(u32 value, unsigned bits)
{
    return bits == 5 ? value << 3 | value >> 2 : value << 2 | value >> 4;
}

static void convert_8(const Vga *vga, u32 *to, const u8 *from, u32 width)
{
    for (u32 x = 0; x < width; x++) {
        to[x] = vga->colors[from[x]];
    }
}

static void convert_15(const Vga *vga, u32 *to, const u8 *from, u32 width)
{
    (void)vga;
    for (u32 x = 0; x < width; x++) {
        u32 value = (u32)get_le(from + 2 * x, 2);
        to[x] = widen(value >> 10 & 31, 5) << 16 | widen(value >> 5 & 31, 5) << 8 |
                widen(value & 31, 5);
    }
}

static void convert_16(const Vga *vga, u32 *to, const u8 *from, u32 width)
{
    (void)vga;
    for (u32 x = 0; x < width; x++) {
        u32 value = (u32)get_le(from + 2 * x, 2);
        to[x] = widen(value >> 11, 5) << 16 | widen(value >> 5 & 63, 6) << 8 | widen(value & 31, 5);
    }
}

static void convert_24(const Vga *vga, u32 *to, const u8 *from, u32 width)
{
    (void)vga;
    for (u32 x = 0; x < width; x++) {
        to[x] = (u32)get_le(from + 3 * x, 3);
    }
}

static void convert_32(const Vga *vga, u32 *to, const u8 *from, u32 width)
{
    (void)vga;
    for (u32 x = 0; x < width; x++) {
        to[x] = (u32)get_le(from + 4 * x, 4) & 0xffffff;
    }
}

static const struct Depth {
    u32 bits, bytes;
    void (*convert)(const Vga *vga, u32 *to, const u8 *from, u32 width);
} depths[] = {
    {8, 1, convert_8},   {15, 2, convert_15}, {16, 2, convert_16},
    {24, 3, convert_24}, {32, 4, convert_32},
};

static const struct Depth *depth_of(u32 bits)
{
    const struct Depth *depth = depths;

    while (depth->bits != bits) {
        depth++;
    }
    return depth;
}

/* -- Rows */

/* A row that runs over the end of memory is black. */
static void draw_row(const Drawing *d, u32 y)
{
    Vga *vga = d->vga;
    const VgaLinear *p = d->picture;
    const struct Depth *depth = depth_of(p->bits);
    u64 at = (p->start + (u64)(y / p->repeat) * p->line) % vga->vram_size;
    u32 *line = vga_line(vga, p->width);

    if (at + (u64)p->width * depth->bytes <= vga->vram_size) {
        depth->convert(vga, line, vga->vram->host + at, p->width);
    } else {
        memset(line, 0, p->width * sizeof *line);
    }
    if (vga->extension && vga->extension->overlay) {
        vga->extension->overlay(vga, y, line, p->width);
    }
    vga_put_row(d->display, y, line, d->all);
}

/* A run of dirty bytes, relative to the memory's start. */
static void draw_run(void *opaque, u64 offset, u64 size)
{
    const Drawing *d = opaque;
    const VgaLinear *p = d->picture;
    u64 end = offset + size - p->start;

    offset = offset > p->start ? offset - p->start : 0;
    for (u64 y = offset / p->line * p->repeat; y < p->height && y / p->repeat * p->line < end;
         y++) {
        draw_row(d, (u32)y);
    }
}

/* Everything is drawn anyway. */
static void draw_nothing(void *opaque, u64 offset, u64 size)
{
    (void)opaque, (void)offset, (void)size;
}

void vga_draw_linear(Vga *vga, Display *display, const VgaLinear *picture, bool all)
{
    u64 size = (u64)picture->line * ((picture->height - 1) / picture->repeat + 1);
    u64 start = picture->start;

    display_resize(display, picture->width, picture->height);
    if (start + size > vga->vram_size || !picture->line) { /* it wraps, or is one row all over */
        start = 0;
        size = vga->vram_size;
        all = true;
    }
    Drawing d = {vga, display, picture, all};
    ram_take_dirty(vga->board->memory, vga->vram, DIRTY_DISPLAY, start, size,
                   all ? draw_nothing : draw_run, &d);
    for (u32 y = 0; all && y < picture->height; y++) {
        draw_row(&d, y);
    }
}
