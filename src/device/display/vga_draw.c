/* The VGA's picture: from memory and registers to pixels.
 *
 * When something was written since the last update, all rows are made anew, and those that differ
 * from the surface are reported. Linear pictures are in vga_linear.c.
 * The CRTC counts characters; where the count's byte lies in the planes follows from its byte, word
 * or doubleword mode (CRTC registers 0x14 and 0x17). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/display/vga.h"

enum {
    SEQ_CLOCKING = 1,
    CLOCKING_8_DOTS = 1,
    CLOCKING_HALF = 8,
    CLOCKING_OFF = 0x20,
    SEQ_FONTS = 3,
    GRAPHICS_MODE = 5,
    MODE_256 = 0x40,
    MODE_INTERLEAVED = 0x20,
    GRAPHICS_MISC = 6,
    MISC_GRAPHICS = 1,
    CRTC_OVERFLOW = 7,
    CRTC_ROW_SCAN = 8,
    CRTC_MAX_SCAN = 9,
    SCAN_DOUBLED = 0x80,
    CRTC_CURSOR_START = 10,
    CRTC_CURSOR_END = 11,
    CURSOR_OFF = 0x20,
    CRTC_START = 12,
    CRTC_CURSOR = 14,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    UNDERLINE_DWORD = 0x40,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18,
    ATTRIBUTE_MODE = 0x10,
    ATTRIBUTE_LINE_GRAPHICS = 4,
    ATTRIBUTE_BLINK = 8,
    ATTRIBUTE_PAN_ENDS = 0x20,
    ATTRIBUTE_COLOR_SELECT = 0x80,
    ATTRIBUTE_PAN = 0x13,
    ATTRIBUTE_SELECT = 0x14,
    PALETTE_ON = 0x20, /* in the attribute index */
    BLINK_NS = 266000000,
};

/* -- Colours */

static u32 dac_color(const Vga *vga, unsigned n)
{
    const u8 *c = &vga->dac[3 * (n & vga->dac_mask)];
    u32 color = 0;

    for (unsigned i = 0; i < 3; i++) {
        u32 level = vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC && vga_is_vbe(vga)
                        ? c[i]
                        : (c[i] & 63u) << 2 | (c[i] & 63u) >> 4;
        color = color << 8 | level;
    }
    return color;
}

static void update_colors(Vga *vga)
{
    if (vga->colors_stale) {
        for (unsigned n = 0; n < 256; n++) {
            vga->colors[n] = dac_color(vga, n);
        }
        vga->colors_stale = false;
        vga->all_stale = true;
    }
}

/* The pixel of a four-bit colour, through the palette registers. */
static u32 palette_color(const Vga *vga, unsigned n)
{
    u8 entry = vga->attribute[n & 15], select = vga->attribute[ATTRIBUTE_SELECT];

    if (vga->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_COLOR_SELECT) {
        entry = (u8)((entry & 15) | (select & 3) << 4);
    }
    return vga->colors[(entry & 63) | (select & 12) << 4];
}

/* -- Geometry */

typedef struct Geometry {
    u32 height;     /* pixels */
    u32 columns;    /* characters, or groups of pixels that a count fetches */
    u32 scan_lines; /* per row of text or memory */
    bool doubled;
    u32 row;          /* counts from row to row */
    u32 start;        /* first count */
    u32 scan;         /* first scan line of the first row */
    u32 pan;          /* dots that the picture is shifted to the left */
    u32 line_compare; /* scan line after which counting starts at 0 */
    bool pan_ends;    /* and panning ends */
} Geometry;

static Geometry get_geometry(const Vga *vga)
{
    const u8 *crtc = vga->crtc, over = crtc[CRTC_OVERFLOW];
    Geometry g = {0};

    g.columns = crtc[1] + 1u;
    g.height = (crtc[0x12] | (over & 2u) << 7 | (over & 0x40u) << 3) + 1;
    g.scan_lines = (crtc[CRTC_MAX_SCAN] & 31u) + 1;
    g.doubled = crtc[CRTC_MAX_SCAN] & SCAN_DOUBLED;
    g.row = crtc[CRTC_OFFSET] * 2u;
    g.start = ((u32)crtc[CRTC_START] << 8 | crtc[CRTC_START + 1]) + (crtc[CRTC_ROW_SCAN] >> 5 & 3);
    g.scan = crtc[CRTC_ROW_SCAN] & 31u;
    g.pan = vga->attribute[ATTRIBUTE_PAN] & 15u;
    g.pan_ends = vga->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_PAN_ENDS;
    g.line_compare =
        crtc[CRTC_LINE_COMPARE] | (over & 0x10u) << 4 | (crtc[CRTC_MAX_SCAN] & 0x40u) << 3;
    return g;
}

/* The offset in the planes that the CRTC addresses at a count and a row scan. */
static u32 memory_offset(const Vga *vga, u32 count, u32 scan)
{
    u8 mode = vga->crtc[CRTC_MODE];
    u32 offset = count;

    if (vga->crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD) {
        offset = count << 2;
    } else if (!(mode & 0x40)) {
        offset = count << 1;
    }
    if (!(mode & 1)) {
        offset = (offset & ~(1u << 13)) | (scan & 1) << 13;
    }
    if (!(mode & 2)) {
        offset = (offset & ~(1u << 14)) | (scan >> 1 & 1) << 14;
    }
    return offset & (VGA_PLANE - 1);
}

static const u8 *planes_at(const Vga *vga, u32 offset)
{
    return vga->vram->host + 4 * (size_t)offset;
}

/* -- Rows */

u32 *vga_line(Vga *vga, u32 width)
{
    if (vga->line_room < width + 32) {
        vga->line_room = width + 32;
        vga->line = realloc(vga->line, vga->line_room * sizeof(u32));
        if (!vga->line) {
            abort();
        }
    }
    return vga->line;
}

/* Puts a finished row into the surface. */
void vga_put_row(Display *display, u32 y, const u32 *row, bool all)
{
    const DisplaySurface *surface = display_surface(display);
    u32 *to = surface->pixels + (size_t)y * surface->width;
    size_t size = surface->width * sizeof(u32);

    if (all || memcmp(to, row, size) != 0) {
        memcpy(to, row, size);
        display_changed(display, 0, y, surface->width, 1);
    }
}

static void clear_all(Vga *vga, Display *display, u32 width, u32 height, bool all)
{
    display_resize(display, width, height);
    u32 *line = vga_line(vga, width);

    memset(line, 0, width * sizeof(u32));
    for (u32 y = 0; y < height; y++) {
        vga_put_row(display, y, line, all);
    }
}

/* -- Text */

static bool blink_on(const Vga *vga)
{
    return clock_now(vga->board->clock) / BLINK_NS & 1;
}

/* Offset in plane 2 of the font that SEQ_FONTS selects: map A (attribute bit 3 set) or B. */
static u32 font_offset(const Vga *vga, bool a)
{
    u8 r = vga->seq[SEQ_FONTS];
    u32 n = a ? (r >> 2 & 3) | (r >> 3 & 4) : (r & 3) | (r >> 2 & 4);

    return (n & 3) * 0x4000 + (n >> 2) * 0x2000;
}

static u8 glyph_row(const Vga *vga, DisplayCell cell, u32 scan)
{
    u32 font = font_offset(vga, cell.attribute & 8);

    return planes_at(vga, font + cell.character * 32u + scan)[2];
}

static u32 *put_glyph(const Vga *vga, u32 *to, DisplayCell cell, u8 bits, u32 dots, bool blink)
{
    bool blinking = vga->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_BLINK && cell.attribute & 0x80;
    u8 back = cell.attribute >> 4;

    if (vga->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_BLINK) {
        back &= 7;
    }
    if (blinking && !blink) {
        bits = 0;
    }
    u32 color = palette_color(vga, cell.attribute & 15), background = palette_color(vga, back);
    for (u32 i = 0; i < 8; i++) {
        *to++ = bits >> (7 - i) & 1 ? color : background;
    }
    if (dots == 9) {
        bool extend = vga->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_LINE_GRAPHICS &&
                      cell.character >= 0xc0 && cell.character <= 0xdf;
        *to++ = extend && bits & 1 ? color : background;
    }
    return to;
}

static DisplayCell cell_at(const Vga *vga, u32 count)
{
    const u8 *planes = planes_at(vga, memory_offset(vga, count & 0xffff, 0));

    return (DisplayCell){planes[0], planes[1]};
}

static bool cursor_shows(const Vga *vga, u32 scan)
{
    u8 start = vga->crtc[CRTC_CURSOR_START], end = vga->crtc[CRTC_CURSOR_END] & 31;

    return !(start & CURSOR_OFF) && scan >= (start & 31u) && scan <= end;
}

static u32 cursor_count(const Vga *vga)
{
    return (u32)vga->crtc[CRTC_CURSOR] << 8 | vga->crtc[CRTC_CURSOR + 1];
}

/* Dots that are shifted out; with nine dots a character the counting starts at 8. */
static u32 text_pan(const Geometry *g, u32 dots)
{
    return dots == 8 ? g->pan & 7 : g->pan >= 8 ? 0 : g->pan + 1;
}

/* What a scan line of a character shows: its font's row, the cursor or the underline of monochrome
 * modes. */
static u8 cell_row(const Vga *vga, DisplayCell cell, u32 scan, bool cursor)
{
    bool underlined = (cell.attribute & 7) == 1 && scan == (vga->crtc[CRTC_UNDERLINE] & 31u);

    return cursor || underlined ? 0xff : glyph_row(vga, cell, scan);
}

static void draw_text(Vga *vga, Display *display, bool all)
{
    Geometry g = get_geometry(vga);
    u32 dots = vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9, cursor = cursor_count(vga);
    bool blink = blink_on(vga);
    u32 width = g.columns * dots, base = g.start, scan = g.scan, pan = text_pan(&g, dots);

    display_resize(display, width, g.height);
    u32 *line = vga_line(vga, width + 9);
    for (u32 y = 0; y < g.height; y++) {
        u32 *to = line;
        for (u32 column = 0; column <= g.columns; column++) { /* one more, for panning */
            DisplayCell cell = cell_at(vga, base + column);
            bool at_cursor = base + column == cursor && blink && cursor_shows(vga, scan);
            to = put_glyph(vga, to, cell, cell_row(vga, cell, scan, at_cursor), dots, blink);
        }
        vga_put_row(display, y, line + pan, all);
        if (++scan >= g.scan_lines) {
            scan = 0;
            base += g.row;
        }
        if (y == g.line_compare) {
            base = scan = 0;
            pan = g.pan_ends ? 0 : pan;
        }
    }
}

bool vga_text(void *opaque, DisplayText *text)
{
    Vga *vga = opaque;
    Geometry g = get_geometry(vga);
    u32 rows = g.height / g.scan_lines, cursor = cursor_count(vga) - g.start;

    if (vga_is_vbe(vga) || vga->graphics[GRAPHICS_MISC] & MISC_GRAPHICS ||
        !(vga->attribute_index & PALETTE_ON)) {
        return false;
    }
    update_colors(vga);
    g.columns = MIN(g.columns, (u32)VGA_MAX_COLUMNS);
    rows = MIN(rows, (u32)VGA_MAX_ROWS);
    for (u32 row = 0; row < rows; row++) {
        for (u32 column = 0; column < g.columns; column++) {
            vga->cells[row * g.columns + column] = cell_at(vga, g.start + row * g.row + column);
        }
    }
    for (unsigned n = 0; n < 16; n++) {
        vga->palette[n] = palette_color(vga, n);
    }
    *text = (DisplayText){.columns = g.columns,
                          .rows = rows,
                          .blink = vga->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_BLINK,
                          .cells = vga->cells,
                          .palette = vga->palette};
    if (g.row && cursor / g.row < rows && cursor % g.row < g.columns) {
        text->cursor_row = cursor / g.row;
        text->cursor_column = cursor % g.row;
        text->cursor = !(vga->crtc[CRTC_CURSOR_START] & CURSOR_OFF);
    }
    return true;
}

/* -- VGA graphics: each count fetches four bytes */

static u32 *put_16_colors(const Vga *vga, u32 *to, const u8 *planes)
{
    u8 enabled = vga->attribute[0x12];

    for (int bit = 7; bit >= 0; bit--) {
        unsigned n = (planes[0] >> bit & 1) | (planes[1] >> bit & 1) << 1 |
                     (planes[2] >> bit & 1) << 2 | (planes[3] >> bit & 1) << 3;
        *to++ = palette_color(vga, n & enabled);
    }
    return to;
}

/* Two bits from planes 0 and 2 for four pixels, then from 1 and 3. */
static u32 *put_interleaved(const Vga *vga, u32 *to, const u8 *planes)
{
    for (unsigned half = 0; half < 2; half++) {
        for (int shift = 6; shift >= 0; shift -= 2) {
            unsigned n = (planes[half] >> shift & 3) | (planes[half + 2] >> shift & 3) << 2;
            *to++ = palette_color(vga, n & vga->attribute[0x12]);
        }
    }
    return to;
}

static u32 *put_256_colors(const Vga *vga, u32 *to, const u8 *planes)
{
    for (unsigned plane = 0; plane < 4; plane++) {
        *to++ = vga->colors[planes[plane]];
    }
    return to;
}

/* VBE's modes of four bits: planes, as in the VGA's, but with VBE's sizes. */
static void draw_vbe_planes(Vga *vga, Display *display, bool all)
{
    const u16 *vbe = vga->vbe;
    u32 width = vbe[VBE_XRES], columns = width / 8, row = vbe[VBE_VIRT_WIDTH] / 8;
    u64 start = (u64)vbe[VBE_Y_OFFSET] * row + vbe[VBE_X_OFFSET] / 8;

    display_resize(display, width, vbe[VBE_YRES]);
    u32 *line = vga_line(vga, width);
    for (u32 y = 0; y < vbe[VBE_YRES]; y++) {
        u32 *to = line;
        for (u32 column = 0; column < columns; column++) {
            u64 offset = 4 * (start + (u64)y * row + column);
            to = put_16_colors(vga, to, vga->vram->host + offset % vga->vram_size);
        }
        vga_put_row(display, y, line, all);
    }
}

static void draw_graphics(Vga *vga, Display *display, bool all)
{
    Geometry g = get_geometry(vga);
    u8 mode = vga->graphics[GRAPHICS_MODE];
    u32 *(*put)(const Vga *, u32 *, const u8 *) = mode & MODE_256           ? put_256_colors
                                                  : mode & MODE_INTERLEAVED ? put_interleaved
                                                                            : put_16_colors;
    u32 width = g.columns * (mode & MODE_256 ? 4 : 8), base = g.start, scan = g.scan, repeat = 0;
    u32 pan = (g.pan & 7) >> (mode & MODE_256 ? 1 : 0);

    display_resize(display, width, g.height);
    u32 *line = vga_line(vga, width + 8);
    for (u32 y = 0; y < g.height; y++) {
        u32 *to = line;
        for (u32 column = 0; column <= g.columns; column++) { /* one more, for panning */
            to = put(vga, to, planes_at(vga, memory_offset(vga, base + column, scan)));
        }
        vga_put_row(display, y, line + pan, all);
        if (g.doubled && !repeat) {
            repeat = 1;
        } else {
            repeat = 0;
            if (++scan >= g.scan_lines) {
                scan = 0;
                base += g.row;
            }
        }
        if (y == g.line_compare) {
            base = scan = repeat = 0;
            pan = g.pan_ends ? 0 : pan;
        }
    }
}

/* -- All */

static void note_dirty(void *opaque, u64 offset, u64 size)
{
    (void)offset, (void)size;
    *(bool *)opaque = true;
}

/* Whether the picture may be another one than before: registers or planes were written, through the
 * frame buffer as well, or what blinks has changed. */
static bool may_differ(Vga *vga)
{
    u64 blink_time = clock_now(vga->board->clock) / BLINK_NS;
    bool text = !(vga->graphics[GRAPHICS_MISC] & MISC_GRAPHICS);
    bool differs = vga->touched || (text && blink_time != vga->blink_time);

    ram_take_dirty(vga->board->memory, vga->vram, DIRTY_DISPLAY, 0,
                   vga_is_vbe(vga) ? vga->vram_size : MIN(vga->vram_size, 4 * VGA_PLANE),
                   note_dirty, &differs);
    vga->touched = false;
    vga->blink_time = blink_time;
    return differs;
}

void vga_draw(void *opaque, Display *display, bool all)
{
    Vga *vga = opaque;
    VgaLinear linear;

    update_colors(vga);
    all |= vga->all_stale;
    vga->all_stale = false;
    if (vga->extension ? vga->extension->linear(vga, &linear) : vga_vbe_linear(vga, &linear)) {
        vga_draw_linear(vga, display, &linear, all);
    } else if (!may_differ(vga) && !all) {
        return;
    } else if (!(vga->attribute_index & PALETTE_ON) || vga->seq[SEQ_CLOCKING] & CLOCKING_OFF) {
        const DisplaySurface *surface = display_surface(display);
        clear_all(vga, display, surface->width ? surface->width : 640,
                  surface->height ? surface->height : 480, all);
    } else if (vga_is_vbe(vga)) {
        draw_vbe_planes(vga, display, all);
    } else if (vga->graphics[GRAPHICS_MISC] & MISC_GRAPHICS) {
        draw_graphics(vga, display, all);
    } else {
        draw_text(vga, display, all);
    }
}
