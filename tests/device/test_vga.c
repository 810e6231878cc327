/* The VGA's picture in each of its modes, pixel by pixel; VBE; the monitor's EDID; and that nothing
 * is drawn while nothing changes. */
#include "backend/display/display.h"
#include "device/pci/pci.h"
#include "tests/device/bare.h"

static const u64 base = 0xe0000000, registers = 0xf0000000;
static Bare bare;
static Display *display;
static u32 changes; /* reports of the display */

/* -- Registers */

static void set(u16 index_port, u8 index, u8 value)
{
    bare_out(&bare, index_port, index);
    bare_out(&bare, index_port + 1, value);
}

static void set_attribute(u8 index, u8 value)
{
    bare_in(&bare, 0x3da);
    bare_out(&bare, 0x3c0, index);
    bare_out(&bare, 0x3c0, value);
    bare_out(&bare, 0x3c0, 0x20); /* the palette is on again */
}

static void poke(u32 address, u8 value)
{
    map_write(&bare.board.dma, address, 1, value, NULL);
}

static void set_vbe(u16 index, u16 value)
{
    map_write(&bare.ports, 0x1ce, 2, index, NULL);
    map_write(&bare.ports, 0x1cf, 2, value, NULL);
}

/* What a video BIOS sets for a mode, as far as it matters here. */
typedef struct Mode {
    u8 clocking, memory;           /* sequencer 1, 4 */
    u8 columns, lines, scan;       /* CRTC 1, 0x12, 9 */
    u8 offset, underline, control; /* CRTC 0x13, 0x14, 0x17 */
    u8 mode, misc;                 /* graphics controller 5, 6 */
    u8 attribute;                  /* attribute controller 0x10 */
} Mode;

static const Mode text_80 = {0x00, 0x02, 79, 31, 0x0f, 0x28, 0x1f, 0xa3, 0x10, 0x0e, 0x0c};
static const Mode cga_4 = {0x09, 0x02, 39, 15, 0x81, 0x14, 0x00, 0xa2, 0x30, 0x0f, 0x01};
static const Mode cga_2 = {0x01, 0x06, 79, 15, 0x81, 0x28, 0x00, 0xc2, 0x00, 0x0d, 0x01};
static const Mode planar = {0x01, 0x06, 79, 31, 0x00, 0x28, 0x00, 0xe3, 0x00, 0x05, 0x01};
static const Mode mode_13 = {0x01, 0x0e, 79, 15, 0x41, 0x28, 0x40, 0xa3, 0x40, 0x05, 0x41};
static const Mode mode_x = {0x01, 0x06, 79, 15, 0x41, 0x28, 0x00, 0xe3, 0x40, 0x05, 0x41};

static void set_mode(const Mode *m)
{
    set_vbe(4, 0);
    bare_out(&bare, 0x3c2, 1);
    set(0x3c4, 1, m->clocking);
    set(0x3c4, 2, 0x0f);
    set(0x3c4, 3, 0);
    set(0x3c4, 4, m->memory);
    set(0x3d4, 0x11, 0);
    for (u8 i = 0; i < 0x19; i++) {
        set(0x3d4, i, 0);
    }
    set(0x3d4, 1, m->columns);
    set(0x3d4, 7, 0x10);
    set(0x3d4, 0x12, m->lines);
    set(0x3d4, 9, m->scan | 0x40); /* line compare: beyond the picture */
    set(0x3d4, 0x18, 0xff);
    set(0x3d4, 10, 0x20);
    set(0x3d4, 0x13, m->offset);
    set(0x3d4, 0x14, m->underline);
    set(0x3d4, 0x17, m->control);
    for (u8 i = 0; i < 9; i++) {
        set(0x3ce, i, i == 5 ? m->mode : i == 6 ? m->misc : i == 7 ? 0x0f : i == 8 ? 0xff : 0);
    }
    for (u8 i = 0; i < 16; i++) {
        set_attribute(i, i);
    }
    set_attribute(0x10, m->attribute);
    set_attribute(0x12, 0x0f);
    set_attribute(0x13, m->memory == 2 && m->mode == 0x10 ? 8 : 0);
    set_attribute(0x14, 0);
}

/* Colour n of the palette is n, n, n of 63. */
static u32 gray(u32 n)
{
    n = n << 2 | n >> 4;
    return n << 16 | n << 8 | n;
}

static void set_palette(void)
{
    bare_out(&bare, 0x3c6, 0xff);
    bare_out(&bare, 0x3c8, 0);
    for (unsigned i = 0; i < 3 * 256; i++) {
        bare_out(&bare, 0x3c9, i / 3 % 64);
    }
}

/* All planes to one value, through write mode 0. */
static void clear(void)
{
    set(0x3c4, 2, 0x0f);
    memset(map_ram(&bare.board.dma, base, 262144, true), 0, 262144);
}

/* -- The picture */

static u32 pixel(u32 x, u32 y)
{
    const DisplaySurface *surface = display_surface(display);

    display_update(display);
    return x < surface->width && y < surface->height ? surface->pixels[y * surface->width + x]
                                                     : 1u << 31;
}

static bool has_size(u32 width, u32 height)
{
    display_update(display);
    return display_surface(display)->width == width && display_surface(display)->height == height;
}

static void changed(void *opaque, u32 x, u32 y, u32 width, u32 height)
{
    (void)opaque, (void)x, (void)y, (void)width, (void)height;
    changes++;
}

/* Plane 2 has the font: character n of font f shows `bits` in scan line `line`. */
static void set_glyph(u32 font, u32 n, u32 line, u8 bits)
{
    set(0x3c4, 2, 4);
    set(0x3c4, 4, 6);
    set(0x3ce, 5, 0);
    set(0x3ce, 6, 4);
    poke(0xa0000 + font * 0x4000 + n * 32 + line, bits);
    set(0x3c4, 2, 3);
    set(0x3c4, 4, 2);
    set(0x3ce, 5, 0x10);
    set(0x3ce, 6, 0x0e);
}

static void put_text(u32 cell, u8 character, u8 attribute)
{
    poke(0xb8000 + 2 * cell, character);
    poke(0xb8001 + 2 * cell, attribute);
}

static void test_text(void)
{
    clear();
    set_mode(&text_80);
    set_glyph(0, 'A', 0, 0x81);
    set_glyph(1, 'A', 1, 0xff);
    set_glyph(0, 0xc4, 0, 0x01);
    put_text(0, 'A', 0x17);
    put_text(1, 0xc4, 0x07);
    OK(has_size(720, 32), "text: nine dots a character");
    OK(pixel(0, 0) == gray(7) && pixel(1, 0) == gray(1) && pixel(7, 0) == gray(7) &&
           pixel(8, 0) == gray(1),
       "a glyph in its colours");
    OK(pixel(9 + 7, 0) == gray(7) && pixel(9 + 8, 0) == gray(7), "line graphics in the ninth dot");
    set_attribute(0x13, 0);
    OK(pixel(6, 0) == gray(7) && pixel(0, 0) == gray(1), "panned by a dot");
    set_attribute(0x13, 8);
    set(0x3d4, 8, 1);
    set_glyph(0, 'A', 1, 0x40);
    OK(pixel(1, 0) == gray(7) && pixel(0, 0) == gray(1), "the first row begins at scan line 1");
    set(0x3d4, 8, 0);
    set(0x3c4, 3, 0x04); /* map A, for attribute bit 3: font 1 */
    put_text(0, 'A', 0x1f);
    OK(pixel(3, 1) == gray(15) && pixel(0, 0) == gray(1), "the second font");
    set(0x3c4, 3, 0);
    set(0x3d4, 0x14, 5);
    put_text(2, ' ', 0x01);
    OK(pixel(18, 5) == gray(1) && pixel(18, 4) == 0, "an underline");
    set(0x3d4, 0x14, 0x1f);
    set(0x3c4, 1, 1);
    OK(has_size(640, 32), "eight dots a character");
    set(0x3d4, 7, 0);
    set(0x3d4, 9, 0x0f);
    set(0x3d4, 0x18, 15);
    set(0x3d4, 13, 80); /* from the second row */
    OK(pixel(0, 0) == 0 && pixel(0, 16) == gray(15), "split screen: below, from the start");
}

static void test_blinking(void)
{
    DisplayText text;
    u32 seen[2] = {0};

    clear();
    set_mode(&text_80);
    set_glyph(0, 'B', 0, 0x80);
    put_text(0, 'B', 0x87);
    for (unsigned i = 0; i < 2; i++) {
        seen[i] = pixel(0, 0);
        bare_wait(&bare, 266000000);
    }
    OK((seen[0] == 0) + (seen[1] == 0) == 1, "a blinking character");
    OK(display_text(display, &text) && text.columns == 80 && text.rows == 2 && text.blink &&
           text.cells[0].character == 'B',
       "the screen's text");
    set_attribute(0x10, 4);
    OK(pixel(1, 0) == gray(8), "without blinking, a bright background");
}

static void test_planes(void)
{
    clear();
    set_mode(&planar);
    set(0x3c4, 2, 0x5);
    poke(0xa0000, 0x80);
    set(0x3c4, 2, 0xa);
    poke(0xa0000, 0xc0);
    OK(has_size(640, 32) && pixel(0, 0) == gray(15) && pixel(1, 0) == gray(10) && pixel(2, 0) == 0,
       "sixteen colours");
    set_attribute(0x13, 1);
    OK(pixel(0, 0) == gray(10), "panned");
    set_attribute(0x13, 0);
    set_attribute(0x10, 0x81);
    set_attribute(0x14, 0x07);
    OK(pixel(0, 0) == gray(0x3f & (15 | 3 << 4)), "with the colour select register");
}

static void test_cga(void)
{
    clear();
    set_mode(&cga_4);
    set(0x3c4, 2, 3);
    poke(0xb8000, 0x1b);        /* 0 1 2 3 */
    poke(0xb8000 + 8192, 0xc0); /* of the second line */
    OK(has_size(320, 16) && pixel(0, 0) == 0 && pixel(1, 0) == gray(1) && pixel(2, 0) == gray(2) &&
           pixel(3, 0) == gray(3) && pixel(1, 1) == gray(1) && pixel(0, 2) == gray(3),
       "four colours, lines in two halves");
    clear();
    set_mode(&cga_2);
    set(0x3c4, 2, 1);
    poke(0xb8000, 0x40);
    OK(has_size(640, 16) && pixel(1, 0) == gray(1) && pixel(0, 0) == 0, "two colours");
}

static void test_256(void)
{
    clear();
    set_mode(&mode_13);
    poke(0xa0000, 1);
    poke(0xa0001, 2);
    poke(0xa0000 + 320, 50);
    OK(has_size(320, 16) && pixel(0, 0) == gray(1) && pixel(1, 1) == gray(2) &&
           pixel(0, 2) == gray(50),
       "mode 13h");
    clear();
    set_mode(&mode_x);
    set(0x3c4, 2, 2);
    poke(0xa0000 + 80, 9);
    OK(has_size(320, 16) && pixel(1, 2) == gray(9) && pixel(0, 2) == 0, "mode X");
    set(0x3d4, 13, 80);
    OK(pixel(1, 0) == gray(9), "from another page");
}

/* -- VBE */

static void set_vbe_mode(u16 width, u16 height, u16 bits)
{
    set_vbe(4, 0);
    set_vbe(1, width);
    set_vbe(2, height);
    set_vbe(3, bits);
    set_vbe(4, 0x41);
}

static void test_vbe(void)
{
    set_vbe_mode(2560, 1600, 32);
    map_write(&bare.board.dma, base + 4 * (2560 * 1599 + 2559), 4, 0x123456, NULL);
    OK(has_size(2560, 1600) && pixel(2559, 1599) == 0x123456, "2560x1600 in 32 bits");
    changes = 0;
    display_update(display);
    OK(changes == 0, "nothing changed, nothing is reported");
    map_write(&bare.board.dma, base + 4 * 2560 * 100, 4, 0xff, NULL);
    OK(pixel(0, 100) == 0xff && changes == 1, "one row changed, one is reported");
    set_vbe_mode(800, 600, 4);
    set(0x3c4, 4, 6);
    set(0x3c4, 2, 8);
    set(0x3ce, 5, 0);
    set(0x3ce, 6, 5);
    set(0x3ce, 8, 0xff);
    poke(0xa0000 + 100 * 599 + 99, 1);
    OK(has_size(800, 600) && pixel(799, 599) == gray(8) && pixel(798, 599) == 0,
       "800x600 in four planes");
    set_vbe_mode(1280, 1024, 4);
    set_vbe(5, 2);
    poke(0xa0000 + 160 * 1023 - 2 * 65536, 0x80);
    OK(pixel(0, 1023) == gray(8), "1280x1024, by bank");
    set_vbe(4, 0);
}

static void test_idle(void)
{
    clear();
    set_mode(&mode_13);
    display_update(display);
    changes = 0;
    bare_wait(&bare, 10000000000);
    display_update(display);
    OK(changes == 0, "an idle picture reports nothing");
    poke(0xa0000 + 320 * 4, 7);
    display_update(display);
    OK(changes == 2, "a byte of mode 13h is two rows");
    map_ram(&bare.board.dma, base, 4096, true)[4 * 320 * 5] = 8; /* by the frame buffer */
    OK(pixel(0, 10) == gray(8), "what comes by the frame buffer is seen");
}

static void test_edid(void)
{
    u8 sum = 0;
    u32 first = (u32)map_read(&bare.board.dma, registers, 4, NULL);

    for (u32 i = 0; i < 128; i++) {
        sum = (u8)(sum + map_read(&bare.board.dma, registers + i, 1, NULL));
    }
    OK(first == 0xffffff00 && sum == 0, "an EDID with its checksum");
    OK(map_read(&bare.board.dma, registers + 56, 1, NULL) == (1280 & 0xff) &&
           map_read(&bare.board.dma, registers + 58, 1, NULL) >> 4 == 1280 >> 8,
       "that prefers 1280 columns");
}

static void interrupt(void *opaque, unsigned line, bool level)
{
    (void)opaque, (void)line, (void)level;
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque, (void)address, (void)data;
}

int main(void)
{
    DisplayViewer viewer = {.changed = changed};
    char *error = NULL;

    bare_start(&bare);
    display = display_new();
    display_add_viewer(display, &viewer);
    PciBus *pci = pci_bus_new(&bare.board, &(PciWires){NULL, interrupt, message});
    Device *vga = device_new(&device_vga, &bare.board, NULL);
    device_set_backend(vga, "display", display, NULL);
    if (device_start(vga, &error) < 0 || pci_attach(pci, vga, 2, 0, &error) < 0) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    device_reset(vga);
    pci_config_write(pci, 2, 0, 0x10, 4, (u32)base);
    pci_config_write(pci, 2, 0, 0x18, 4, (u32)registers);
    pci_config_write(pci, 2, 0, 0x04, 2, 7);
    set_palette();
    test_text();
    test_blinking();
    test_planes();
    test_cga();
    test_256();
    test_vbe();
    test_idle();
    test_edid();
    device_free(vga);
    pci_bus_free(pci);
    display_free(display);
    bare_stop(&bare);
    return tap_done();
}
