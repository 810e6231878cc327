/* The GD5446's picture in the modes that a VGA does not have, and its cursor (CL-GD5446 Technical
 * Reference Manual, CR1B, CR1D, SR7, SR10-SR13, Hidden DAC Register). */
#include "device/display/cirrus.h"

enum {
    CR_START_HIGH = 0x1b, /* bits of the start address, and one of the offset */
    CR_START_HIGHEST = 0x1d,
    CR_MAX_SCAN = 9,
    SCAN_DOUBLED = 0x80,
    PALETTE_ON = 0x20, /* in the attribute index */
    PATTERNS = 16384,  /* of cursors, at memory's end */
};

/* -- The picture */

/* Two bytes a pixel: the hidden register says how they are divided. */
static u32 bits_of_two_bytes(const Cirrus *c)
{
    return (c->hidden_dac & 15) == 0 ? 15 : 16;
}

static u32 pixel_bits(const Cirrus *c)
{
    switch (c->seq[SR_MODE] >> 1 & 7) {
    case 0:
        return 8;
    case 2:
        return 24;
    case 4:
        return 32;
    default: /* with one clock a pixel or two */
        return bits_of_two_bytes(c);
    }
}

static u32 start_address(const Cirrus *c)
{
    const u8 *crtc = c->vga.crtc, high = c->crtc[CR_START_HIGH];

    return crtc[0xd] | (u32)crtc[0xc] << 8 | (high & 1u) << 16 | (high & 0xcu) << 15 |
           (c->crtc[CR_START_HIGHEST] & 0x80u) << 12;
}

static void note_dirty(void *opaque, u64 offset, u64 size)
{
    (void)offset, (void)size;
    *(bool *)opaque = true;
}

/* A pattern that was written changes the picture wherever the cursor is. */
static void look_at_pattern(Cirrus *c)
{
    Vga *vga = &c->vga;

    if (c->seq[SR_CURSOR] & SR_CURSOR_ON) {
        ram_take_dirty(vga->board->memory, vga->vram, DIRTY_DISPLAY, vga->vram_size - PATTERNS,
                       PATTERNS, note_dirty, &vga->all_stale);
    }
}

bool cirrus_linear(Vga *vga, VgaLinear *picture)
{
    Cirrus *c = cirrus_of(vga);
    const u8 *crtc = vga->crtc, over = crtc[7];
    u32 scan_lines = (crtc[CR_MAX_SCAN] & 31u) + 1;

    /* SeaBIOS's video BIOS leaves Screen Off (SR1) set in these modes: it means nothing here. */
    if (!(c->seq[SR_MODE] & SR_MODE_EXTENDED) || !(vga->attribute_index & PALETTE_ON)) {
        return false;
    }
    look_at_pattern(c);
    *picture = (VgaLinear){
        .width = (crtc[1] + 1u) * 8,
        .height = (crtc[0x12] | (over & 2u) << 7 | (over & 0x40u) << 3) + 1,
        .bits = pixel_bits(c),
        .repeat = crtc[CR_MAX_SCAN] & SCAN_DOUBLED ? 2 * scan_lines : scan_lines,
        .start = 4ull * start_address(c),
        .line = (crtc[0x13] | (c->crtc[CR_START_HIGH] & 0x10u) << 4) * 8,
    };
    return true;
}

/* -- The cursor: two planes, whose bits say: nothing, inverse, background, foreground */

static u32 cursor_color(const Cirrus *c, unsigned n)
{
    const u8 *entry = &c->cursor_colors[3 * n];
    u32 color = 0;

    for (unsigned i = 0; i < 3; i++) {
        color = color << 8 | (entry[i] & 63u) << 2 | (entry[i] & 63u) >> 4;
    }
    return color;
}

void cirrus_draw_cursor(Vga *vga, u32 y, u32 *row, u32 width)
{
    const Cirrus *c = cirrus_of(vga);
    bool large = c->seq[SR_CURSOR] & SR_CURSOR_64;
    u32 size = large ? 64 : 32, line = y - c->cursor_y;
    u32 which = c->seq[SR_CURSOR_PATTERN] & (large ? 0x3c : 0x3f);

    if (!(c->seq[SR_CURSOR] & SR_CURSOR_ON) || y < c->cursor_y || line >= size) {
        return;
    }
    const u8 *plane0 =
        vga->vram->host + vga->vram_size - PATTERNS + which * 256 + line * (large ? 16 : 4);
    const u8 *plane1 = plane0 + (large ? 8 : 128);
    for (u32 x = 0; x < size && c->cursor_x + x < width; x++) {
        u32 *pixel = &row[c->cursor_x + x];
        bool bit0 = plane0[x / 8] >> (7 - x % 8) & 1, bit1 = plane1[x / 8] >> (7 - x % 8) & 1;
        *pixel = bit1 ? cursor_color(c, bit0) : bit0 ? *pixel ^ 0xffffff : *pixel;
    }
}
