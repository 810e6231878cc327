/* "cirrus-vga": a Cirrus Logic GD5446 on PCI (CL-GD5446 Technical Reference Manual): a VGA with
 * registers beyond its own, a linear frame buffer, a hardware cursor and a blitter.
 *
 * What the VGA has is in `vga`; `seq`, `graphics` and `crtc` hold what is beyond it, at the indexes
 * of the manual. Memory's size is a power of two; addresses in it wrap. */
#ifndef DEVICE_DISPLAY_CIRRUS_H
#define DEVICE_DISPLAY_CIRRUS_H

#include "device/display/vga.h"
#include "device/pci/pci.h"

enum {
    CIRRUS_APERTURE = 32 << 20,  /* BAR 0: memory, and from half of it on data for the blitter */
    CIRRUS_BLIT_WIDTH = 8192,    /* bytes, at most */
    CIRRUS_WINDOW_MMIO = 0x18000 /* the blitter's registers in the window, from 0xa0000 */
};

/* Sequencer registers beyond the VGA's. */
enum {
    SR_UNLOCK = 6,
    SR_MODE = 7,
    SR_DDC = 8,
    SR_DRAM = 0xf,
    SR_CURSOR_X = 0x10,
    SR_CURSOR_Y = 0x11,
    SR_CURSOR = 0x12,
    SR_CURSOR_PATTERN = 0x13,
    SR_CONFIGURATION = 0x17,
    SR_MODE_EXTENDED = 1, /* in SR_MODE: pixels side by side */
    SR_CURSOR_ON = 1,     /* in SR_CURSOR */
    SR_CURSOR_COLORS = 2,
    SR_CURSOR_64 = 4,
    SR_MMIO = 4,           /* in SR_CONFIGURATION: the blitter's registers are in memory, */
    SR_MMIO_LINEAR = 0x40, /* at the end of the linear frame buffer */
};

/* Graphics registers beyond the VGA's. */
enum {
    GR_BACKGROUND = 0,
    GR_FOREGROUND = 1,
    GR_VGA_MODE = 5,
    GR_OFFSET = 9, /* and 10 */
    GR_EXTENSIONS = 0xb,
    GR_TWO_OFFSETS = 1, /* in GR_EXTENSIONS */
    GR_BY_8 = 2,
    GR_EXTENDED_WRITES = 4,
    GR_WRITES_16 = 0x10,
    GR_OFFSET_16K = 0x20,
    GR_BLIT_WIDTH = 0x20,
    GR_BLIT_HEIGHT = 0x22,
    GR_BLIT_TO_PITCH = 0x24,
    GR_BLIT_FROM_PITCH = 0x26,
    GR_BLIT_TO = 0x28,
    GR_BLIT_FROM = 0x2c,
    GR_BLIT_SKIP = 0x2f,
    GR_BLIT_MODE = 0x30,
    GR_BLIT_START = 0x31,
    GR_BLIT_ROP = 0x32,
    GR_BLIT_EXTENSIONS = 0x33,
    GR_BLIT_KEY = 0x34,
    GR_COUNT = 0x3a,
};

/* GR_BLIT_MODE */
enum {
    BLIT_BACKWARDS = 1,
    BLIT_TO_SYSTEM = 2,
    BLIT_FROM_SYSTEM = 4,
    BLIT_TRANSPARENT = 8,
    BLIT_PIXEL = 0x30, /* bytes of a pixel, less 1 */
    BLIT_PATTERN = 0x40,
    BLIT_EXPAND = 0x80,
};

/* GR_BLIT_START */
enum {
    BLIT_BUSY = 1,
    BLIT_START = 2,
    BLIT_RESET = 4,
    BLIT_WAITS = 0x10, /* for data of the system */
    BLIT_AUTOSTART = 0x80,
};

/* GR_BLIT_EXTENSIONS */
enum { BLIT_DWORDS = 1, BLIT_INVERT = 2, BLIT_SOLID = 4 };

/* What is being moved, as the registers were when it began. */
typedef struct CirrusBlit {
    u32 width, height; /* bytes, rows */
    u32 to, from;      /* addresses; of rows to come */
    u32 to_pitch, from_pitch;
    u32 foreground, background; /* pixels */
    u16 key;                    /* not drawn, with BLIT_TRANSPARENT */
    u8 mode, extensions, rop, skip;
    /* Data of the system. */
    u32 rows;          /* that are still to come; 0: none is wanted */
    u32 row, row_size; /* bytes of a row that are there, and that make it */
    u8 data[CIRRUS_BLIT_WIDTH + 4];
} CirrusBlit;

typedef struct Cirrus {
    PciFunction pci;
    Vga vga;
    Region aperture, mmio; /* BARs 0 and 1 */
    Region linear;         /* memory in front of the aperture, where it is only that */
    Display *display;
    u32 memory; /* MiB */

    /* Saved. */
    u8 seq[32], graphics[64], crtc[64];
    u16 cursor_x, cursor_y;
    u8 cursor_colors[6]; /* DAC entries: background, foreground */
    u8 hidden_dac, hidden_reads;
    CirrusBlit blit;
} Cirrus;

static inline Cirrus *cirrus_of(Vga *vga)
{
    return vga->owner;
}

/* -- cirrus.c */
u8 cirrus_read_graphics(Cirrus *c, u8 index);
void cirrus_write_graphics(Cirrus *c, u8 index, u8 value);

/* -- cirrus_memory.c */
extern const RegionOps cirrus_aperture_ops, cirrus_mmio_ops;
bool cirrus_window_read(Vga *vga, u64 at, u8 *value);
bool cirrus_window_write(Vga *vga, u64 at, u8 value);
/* Puts memory in front of the aperture, or takes it away: after what decides about it changed. */
void cirrus_place_linear(Cirrus *c);

/* -- cirrus_draw.c */
bool cirrus_linear(Vga *vga, VgaLinear *picture);
void cirrus_draw_cursor(Vga *vga, u32 y, u32 *row, u32 width);

/* -- cirrus_blit.c */
/* GR_BLIT_START was written. */
void cirrus_start_blit(Cirrus *c, u8 value);
/* A byte from the CPU; ignored if none is wanted. */
void cirrus_feed_blit(Cirrus *c, u8 value);
static inline bool cirrus_blit_waits(const Cirrus *c)
{
    return c->blit.rows != 0;
}
/* Brings a loaded state into its bounds. */
void cirrus_settle_blit(Cirrus *c);
extern const StateField cirrus_blit_state[];

#endif
