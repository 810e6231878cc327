/* The GD5446's blitter (CL-GD5446 Technical Reference Manual, "BitBLT Engine" and GR20-GR35): moves
 * rectangles inside memory, or from the CPU to it, through one of sixteen raster operations.
 *
 * Every row is made in a buffer first, whatever its source: a row of memory, a pattern of 8 by 8
 * pixels, bits that become two colours, or bytes of the CPU. Then it is combined with the
 * destination. A blit takes no time; one that waits for the CPU goes on as its bytes come. */
#include <string.h>

#include "base/bytes.h"
#include "device/display/cirrus.h"

/* A source row: pixels, and which bytes of them are drawn. */
typedef struct Row {
    u8 pixels[CIRRUS_BLIT_WIDTH + 4];
    u8 drawn[CIRRUS_BLIT_WIDTH + 4]; /* 0xff or 0 */
} Row;

/* Raster operations: bit 0 is the result for source 0, destination 0; bit 1 for 0, 1; bit 2 for
 * 1, 0; bit 3 for 1, 1. */
static const struct {
    u8 code, truth;
} rops[] = {
    {0x00, 0x0}, {0x05, 0x8}, {0x06, 0xa}, {0x09, 0x4}, {0x0b, 0x5}, {0x0d, 0xc},
    {0x0e, 0xf}, {0x50, 0x2}, {0x59, 0x6}, {0x6d, 0xe}, {0x90, 0x1}, {0x95, 0x9},
    {0xad, 0xd}, {0xd0, 0x3}, {0xd6, 0xb}, {0xda, 0x7},
};

/* Codes that mean nothing leave the destination. */
static u8 truth_of(u8 code)
{
    for (size_t i = 0; i < COUNT(rops); i++) {
        if (rops[i].code == code) {
            return rops[i].truth;
        }
    }
    return 0xa;
}

static u32 pixel_size(const CirrusBlit *b)
{
    return (b->mode & BLIT_PIXEL) / 0x10 + 1;
}

/* -- Source rows */

static void read_memory(const Cirrus *c, u32 from, u8 *to, u32 size)
{
    u32 at = from & (u32)(c->vga.vram_size - 1), run = MIN(size, (u32)c->vga.vram_size - at);

    memcpy(to, c->vga.vram->host + at, run);
    memcpy(to + run, c->vga.vram->host, size - run);
}

/* The bits, the highest first, become pixels. With transparency only those that are 1 are drawn, or
 * with BLIT_INVERT those that are 0, in the background's colour. */
static void expand(const CirrusBlit *b, Row *row, const u8 *bits, u32 bit_mask)
{
    u32 size = pixel_size(b), count = (b->width + size - 1) / size;
    bool transparent = b->mode & BLIT_TRANSPARENT, invert = b->extensions & BLIT_INVERT;

    for (u32 i = 0; i < count; i++) {
        u32 at = i & bit_mask;
        bool set = bits[at / 8] >> (7 - at % 8) & 1;
        put_le(row->pixels + (size_t)i * size, set ? b->foreground : b->background, size);
        memset(row->drawn + (size_t)i * size, !transparent || set != invert ? 0xff : 0, size);
    }
}

/* Row `y` of a pattern in memory or from the CPU; its first row is in the address's low bits. */
static void make_pattern(const Cirrus *c, Row *row, u32 y, const u8 *data)
{
    const CirrusBlit *b = &c->blit;
    u32 size = pixel_size(b), line = (y + b->from) & 7;
    u32 pitch = b->mode & BLIT_EXPAND ? 1 : size == 3 ? 32 : 8 * size;
    u8 pattern[32];

    if (data) {
        memcpy(pattern, data + line * pitch, pitch);
    } else {
        read_memory(c, (b->from & ~7u) + line * pitch, pattern, pitch);
    }
    if (b->mode & BLIT_EXPAND) {
        expand(b, row, pattern, 7);
        return;
    }
    for (u32 x = 0; x < b->width; x++) {
        row->pixels[x] = pattern[x % (8 * size)];
    }
    memset(row->drawn, 0xff, b->width);
}

static bool is_solid(const CirrusBlit *b)
{
    return b->extensions & BLIT_SOLID && b->mode & BLIT_PATTERN && b->mode & BLIT_EXPAND &&
           !(b->mode & BLIT_TRANSPARENT);
}

static void make_solid(const CirrusBlit *b, Row *row)
{
    u32 size = pixel_size(b);

    for (u32 x = 0; x < b->width; x += size) {
        put_le(row->pixels + x, b->foreground, size);
    }
    memset(row->drawn, 0xff, b->width);
}

/* data: what the CPU sent; NULL: it comes from memory. */
static void make_row(const Cirrus *c, Row *row, u32 y, const u8 *data)
{
    const CirrusBlit *b = &c->blit;
    u8 bits[CIRRUS_BLIT_WIDTH / 8];
    u32 count = ((b->width + pixel_size(b) - 1) / pixel_size(b) + 7) / 8;

    if (is_solid(b)) {
        make_solid(b, row);
    } else if (b->mode & BLIT_PATTERN) {
        make_pattern(c, row, y, data);
    } else if (b->mode & BLIT_EXPAND) { /* rows of bits lie one after the other */
        if (!data) {
            read_memory(c, b->from + y * count, bits, count);
        }
        expand(b, row, data ? data : bits, ~0u);
    } else {
        if (data) {
            memcpy(row->pixels, data, b->width);
        } else if (b->mode & BLIT_BACKWARDS) { /* addresses are those of the last bytes */
            read_memory(c, b->from - y * b->from_pitch - (b->width - 1), row->pixels, b->width);
        } else {
            read_memory(c, b->from + y * b->from_pitch, row->pixels, b->width);
        }
        memset(row->drawn, 0xff, b->width);
    }
}

/* -- Destination */

/* With colour-compare transparency pixels whose result is the key's colour are not drawn. */
static void hide_key(const CirrusBlit *b, Row *row)
{
    u32 size = MIN(pixel_size(b), 2u);

    for (u32 x = 0; x + size <= b->width; x += pixel_size(b)) {
        if (get_le(row->pixels + x, size) == (b->key & (size == 1 ? 0xffu : 0xffffu))) {
            memset(row->drawn + x, 0, pixel_size(b));
        }
    }
}

/* Bytes on the left that stay as they are. */
static u32 skipped(const CirrusBlit *b)
{
    if (!(b->mode & (BLIT_EXPAND | BLIT_PATTERN)) || is_solid(b)) {
        return 0;
    }
    return pixel_size(b) == 3 ? b->skip & 31 : (b->skip & 7) * pixel_size(b);
}

static void write_memory(Cirrus *c, u32 to, const u8 *from, u32 size)
{
    u32 at = to & (u32)(c->vga.vram_size - 1), run = MIN(size, (u32)c->vga.vram_size - at);

    memcpy(c->vga.vram->host + at, from, run);
    ram_mark(c->vga.vram, at, run);
    if (size > run) {
        memcpy(c->vga.vram->host, from + run, size - run);
        ram_mark(c->vga.vram, 0, size - run);
    }
}

/* The raster operation, into the row. */
static void combine(Row *row, const u8 *old, u32 width, u8 truth)
{
    u8 when[4];

    for (unsigned n = 0; n < COUNT(when); n++) {
        when[n] = truth >> n & 1 ? 0xff : 0;
    }
    for (u32 x = 0; x < width; x++) {
        u8 s = row->pixels[x], d = old[x];
        row->pixels[x] =
            (u8)((~s & ~d & when[0]) | (~s & d & when[1]) | (s & ~d & when[2]) | (s & d & when[3]));
    }
}

static void draw_row(Cirrus *c, Row *row, u32 y)
{
    const CirrusBlit *b = &c->blit;
    bool backwards = b->mode & BLIT_BACKWARDS;
    u32 to = backwards ? b->to - y * b->to_pitch - (b->width - 1) : b->to + y * b->to_pitch;
    u32 left = MIN(skipped(b), b->width);
    u8 old[CIRRUS_BLIT_WIDTH];

    read_memory(c, to, old, b->width);
    combine(row, old, b->width, truth_of(b->rop));
    if (b->mode & BLIT_TRANSPARENT && !(b->mode & BLIT_EXPAND)) {
        hide_key(b, row);
    }
    memset(row->drawn, 0, left);
    for (u32 x = 0; x < b->width; x++) {
        old[x] = (u8)((row->pixels[x] & row->drawn[x]) | (old[x] & ~row->drawn[x]));
    }
    write_memory(c, to, old, b->width);
}

static void do_rows(Cirrus *c, u32 first, u32 count, const u8 *data)
{
    Row row;

    for (u32 y = first; y < first + count; y++) {
        make_row(c, &row, y, data);
        draw_row(c, &row, y);
    }
}

/* -- Starting and ending */

static u32 get_number(const Cirrus *c, u8 index, u32 mask)
{
    return (u32)get_le(&c->graphics[index], 3) & mask;
}

static u32 get_color(const Cirrus *c, u8 index)
{
    return c->graphics[index] | (u32)c->graphics[0x10 + index] << 8 |
           (u32)c->graphics[0x12 + index] << 16 | (u32)c->graphics[0x14 + index] << 24;
}

static void end_blit(Cirrus *c)
{
    c->blit.rows = 0;
    c->graphics[GR_BLIT_START] &= (u8) ~(BLIT_START | BLIT_BUSY | BLIT_WAITS);
    cirrus_place_linear(c);
}

/* How many bytes the CPU sends for a row; a pattern is sent once. */
static u32 system_row_size(const CirrusBlit *b)
{
    u32 size = pixel_size(b), pixels = (b->width + size - 1) / size;

    if (b->mode & BLIT_PATTERN) {
        return b->mode & BLIT_EXPAND ? 8 : size == 3 ? 8 * 32 : 8 * 8 * size;
    }
    if (!(b->mode & BLIT_EXPAND)) {
        return (b->width + 3) & ~3u;
    }
    return b->extensions & BLIT_DWORDS ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8;
}

static void begin_blit(Cirrus *c)
{
    CirrusBlit *b = &c->blit;

    b->width = get_number(c, GR_BLIT_WIDTH, 0x1fff) + 1;
    b->height = get_number(c, GR_BLIT_HEIGHT, 0x7ff) + 1;
    b->to_pitch = get_number(c, GR_BLIT_TO_PITCH, 0x1fff);
    b->from_pitch = get_number(c, GR_BLIT_FROM_PITCH, 0x1fff);
    b->to = get_number(c, GR_BLIT_TO, 0x3fffff);
    b->from = get_number(c, GR_BLIT_FROM, 0x3fffff);
    b->foreground = get_color(c, GR_FOREGROUND);
    b->background = get_color(c, GR_BACKGROUND);
    b->key = (u16)get_number(c, GR_BLIT_KEY, 0xffff);
    b->mode = c->graphics[GR_BLIT_MODE];
    b->extensions = c->graphics[GR_BLIT_EXTENSIONS];
    b->rop = c->graphics[GR_BLIT_ROP];
    b->skip = c->graphics[GR_BLIT_SKIP];
    b->row = 0;
    if (b->mode & (BLIT_EXPAND | BLIT_PATTERN | BLIT_FROM_SYSTEM)) {
        b->mode &= (u8)~BLIT_BACKWARDS; /* there is no such thing */
    }
}

static void run_blit(Cirrus *c)
{
    CirrusBlit *b = &c->blit;

    begin_blit(c);
    if (b->mode & BLIT_TO_SYSTEM) {
        device_guest_error(c, "blit from the screen to the system");
        end_blit(c);
    } else if (b->mode & BLIT_FROM_SYSTEM) {
        b->row_size = system_row_size(b);
        b->rows = b->mode & BLIT_PATTERN ? 1 : b->height;
        c->graphics[GR_BLIT_START] |= BLIT_BUSY | BLIT_WAITS;
        cirrus_place_linear(c);
    } else {
        do_rows(c, 0, b->height, NULL);
        end_blit(c);
    }
}

void cirrus_start_blit(Cirrus *c, u8 value)
{
    u8 old = c->graphics[GR_BLIT_START];

    c->graphics[GR_BLIT_START] =
        (u8)((value & ~(BLIT_BUSY | BLIT_WAITS)) | (old & (BLIT_BUSY | BLIT_WAITS)));
    if (old & BLIT_RESET && !(value & BLIT_RESET)) {
        end_blit(c);
    } else if (!(old & BLIT_START) && value & BLIT_START) {
        run_blit(c);
    }
}

void cirrus_feed_blit(Cirrus *c, u8 value)
{
    CirrusBlit *b = &c->blit;

    if (!b->rows) {
        return;
    }
    b->data[b->row++] = value;
    if (b->row < b->row_size) {
        return;
    }
    b->row = 0;
    if (b->mode & BLIT_PATTERN) {
        do_rows(c, 0, b->height, b->data);
    } else {
        do_rows(c, b->height - b->rows, 1, b->data);
    }
    if (--b->rows == 0) {
        end_blit(c);
    }
}

/* -- State */

void cirrus_settle_blit(Cirrus *c)
{
    CirrusBlit *b = &c->blit;

    b->width = MIN(MAX(b->width, 1u), (u32)CIRRUS_BLIT_WIDTH);
    b->height = MIN(MAX(b->height, 1u), 0x800u);
    b->row_size = system_row_size(b);
    b->row = MIN(b->row, b->row_size - 1);
    b->rows = MIN(b->rows, b->mode & BLIT_PATTERN ? 1 : b->height);
}

const StateField cirrus_blit_state[] = {
    STATE(CirrusBlit, width),
    STATE(CirrusBlit, height),
    STATE(CirrusBlit, to),
    STATE(CirrusBlit, from),
    STATE(CirrusBlit, to_pitch),
    STATE(CirrusBlit, from_pitch),
    STATE(CirrusBlit, foreground),
    STATE(CirrusBlit, background),
    STATE(CirrusBlit, key),
    STATE(CirrusBlit, mode),
    STATE(CirrusBlit, extensions),
    STATE(CirrusBlit, rop),
    STATE(CirrusBlit, skip),
    STATE(CirrusBlit, rows),
    STATE(CirrusBlit, row),
    STATE_ARRAY(CirrusBlit, data),
    STATE_END,
};
