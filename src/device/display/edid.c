/* EDID. See edid.h; the sections are the standard's. */
#include "device/display/edid.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

enum {
    REFRESH = 60,
    /* Reduced blanking (VESA Coordinated Video Timings 1.1, 3.4): pixels and lines. */
    BLANK_X = 160,
    FRONT_X = 48,
    SYNC_X = 32,
    FRONT_Y = 3,
    SYNC_Y = 6,
    DOTS_PER_INCH = 96,
};

/* 3.10.2, Detailed Timing Descriptor. */
static void fill_timing(u8 *to, u32 width, u32 height)
{
    u32 blank_y = MAX(height / 30, (u32)(FRONT_Y + SYNC_Y + 6));
    u32 clock = (width + BLANK_X) * (height + blank_y) * REFRESH / 10000; /* 10 kHz */
    u32 width_mm = width * 254 / (10 * DOTS_PER_INCH),
        height_mm = height * 254 / (10 * DOTS_PER_INCH);

    put_le(to, clock, 2);
    to[2] = (u8)width;
    to[3] = BLANK_X;
    to[4] = (u8)(width >> 8 << 4);
    to[5] = (u8)height;
    to[6] = (u8)blank_y;
    to[7] = (u8)(height >> 8 << 4 | blank_y >> 8);
    to[8] = FRONT_X;
    to[9] = SYNC_X;
    to[10] = FRONT_Y << 4 | SYNC_Y;
    to[12] = (u8)width_mm;
    to[13] = (u8)height_mm;
    to[14] = (u8)(width_mm >> 8 << 4 | height_mm >> 8);
    to[17] = 0x18; /* digital, separate syncs */
}

/* 3.10.3, Display Descriptors: 13 bytes of text or limits. */
static void fill_descriptor(u8 *to, u8 tag, const void *bytes, size_t size)
{
    to[3] = tag;
    memset(to + 5, ' ', 13);
    memcpy(to + 5, bytes, size);
}

/* 3.9, Standard Timings, all at 60 Hz. */
static void fill_standard(u8 *to)
{
    static const struct {
        u16 width;
        u8 aspect; /* 0: 16:10, 1: 4:3, 2: 5:4, 3: 16:9 */
    } modes[8] = {{640, 1},  {800, 1},  {1024, 1}, {1280, 2},
                  {1600, 1}, {1280, 0}, {1680, 0}, {1920, 3}};

    for (size_t i = 0; i < COUNT(modes); i++) {
        to[2 * i] = (u8)(modes[i].width / 8 - 31);
        to[2 * i + 1] = (u8)(modes[i].aspect << 6);
    }
}

void edid_fill(u8 *edid, u32 width, u32 height)
{
    static const u8 header[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
    /* Vertical 50 to 125 Hz, horizontal 30 to 160 kHz, clock up to 680 MHz, no formula. */
    static const u8 limits[] = {50, 125, 30, 160, 68, 0, '\n'};
    /* sRGB (3.7). */
    static const u8 colors[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    u8 sum = 0;

    memset(edid, 0, EDID_SIZE);
    memcpy(edid, header, sizeof header);
    put_be(edid + 8, ('M' - '@') << 10 | ('N' - '@') << 5 | ('R' - '@'), 2);
    edid[17] = 30; /* made in 2020 */
    edid[18] = 1;  /* EDID 1.4 */
    edid[19] = 4;
    edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (u8)(width * 254 / (100 * DOTS_PER_INCH));
    edid[22] = (u8)(height * 254 / (100 * DOTS_PER_INCH));
    edid[23] = 120;  /* gamma 2.2 */
    edid[24] = 0x06; /* sRGB, the first timing is preferred */
    memcpy(edid + 25, colors, sizeof colors);
    edid[35] = 0x21; /* 640x480, 800x600 at 60 Hz */
    edid[36] = 0x08; /* 1024x768 */
    fill_standard(edid + 38);
    fill_timing(edid + 54, width, height);
    fill_descriptor(edid + 72, 0xfd, limits, sizeof limits);
    fill_descriptor(edid + 90, 0xfc, "Menura\n", 7);
    fill_descriptor(edid + 108, 0xff, "1\n", 2);
    for (unsigned i = 0; i < EDID_SIZE - 1; i++) {
        sum = (u8)(sum + edid[i]);
    }
    edid[EDID_SIZE - 1] = (u8)-sum;
}
