/* The VGA (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"), with the Bochs VBE
 * extensions for linear frame buffers: registers, memory and picture, for the adapters that have
 * one inside.
 *
 * Memory: byte `offset` of plane p is at vram[4 * offset + p]. While VBE is enabled, memory is
 * linear for CPU and picture alike.
 * All functions need the machine lock. */
#ifndef DEVICE_DISPLAY_VGA_H
#define DEVICE_DISPLAY_VGA_H

#include "backend/display/display.h"
#include "device/core/device.h"

enum {
    VGA_PLANE = 64 * 1024, /* bytes */
    VGA_WINDOW = 128 * 1024,
    VBE_REGISTERS = 11,
    VGA_MAX_COLUMNS = 256,
    VGA_MAX_ROWS = 128,
};

/* VBE register numbers (Bochs' vbe_display_api). */
enum {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_MEMORY_64K,
};

enum { VBE_ENABLED = 1, VBE_GETCAPS = 2, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NO_CLEAR = 0x80 };

typedef struct Vga Vga;

/* A picture that is not made in the VGA's way: pixels side by side in memory. */
typedef struct VgaLinear {
    u32 width, height; /* of the picture */
    u32 bits;          /* of a pixel: 8, 15, 16, 24 or 32 */
    u32 repeat;        /* rows of the picture that a row in memory makes */
    u64 start;         /* where it begins in memory, bytes */
    u32 line;          /* from row to row, bytes */
} VgaLinear;

/* What an adapter adds to a VGA. Functions may be NULL. Those that return a bool: false means that
 * the VGA does what it does. */
typedef struct VgaExtension {
    u8 seq_indexes, graphics_indexes;                 /* bits that the index registers have */
    bool (*port_read)(Vga *vga, u16 port, u8 *value); /* 0x3c0..0x3df: as in colour */
    bool (*port_write)(Vga *vga, u16 port, u8 value);
    bool (*window_read)(Vga *vga, u64 at, u8 *value); /* from 0xa0000 */
    bool (*window_write)(Vga *vga, u64 at, u8 value);
    u8 *(*dac_entry)(Vga *vga, u8 index); /* three bytes; NULL: the palette's */
    bool (*linear)(Vga *vga, VgaLinear *picture);
    void (*overlay)(Vga *vga, u32 y, u32 *row, u32 width); /* draws on a row of it */
} VgaExtension;

struct Vga {
    Board *board;
    void *owner; /* the device, for messages */
    Display *display;
    const VgaExtension *extension; /* NULL: Bochs VBE */
    RamBlock *vram;
    u64 vram_size;
    Region window;   /* 0xa0000 to 0xbffff */
    Region ports[4]; /* 0x3b4, 0x3c0, 0x3d4, 0x1ce */

    /* Saved. */
    u8 misc, feature;
    u8 seq_index, seq[8];
    u8 graphics_index, graphics[16];
    u8 crtc_index, crtc[32];
    u8 attribute_index, attribute[32];
    u8 attribute_data; /* the next write to 0x3c0 is data */
    u8 dac_mask, dac_reading, dac_read, dac_write, dac_component;
    u8 dac_bytes[3]; /* of the colour being written */
    u8 dac[768];
    u8 latch[4];
    u16 vbe_index, vbe[VBE_REGISTERS];

    /* The picture. */
    u32 colors[256]; /* pixels of the DAC's entries */
    bool colors_stale, all_stale;
    bool touched;   /* registers or planes were written since the picture was made */
    u64 blink_time; /* the phase it was made in */
    u32 *line;      /* a row being made */
    u32 line_room;
    u32 palette[16];
    DisplayCell cells[VGA_MAX_COLUMNS * VGA_MAX_ROWS];
};

extern const StateField vga_state[];

/* vram must be there, and the extension, if any. Ports and window are placed in the board's spaces.
 * display may be NULL. */
void vga_start(Vga *vga, Board *board, void *owner, Display *display);
void vga_stop(Vga *vga);
void vga_reset(Vga *vga);
void vga_settle(Vga *vga);

/* 80 by 25 characters in the usual colours, as a video BIOS would, but without a font. */
void vga_set_text(Vga *vga);

/* A port of the VGA: 0x3b0..0x3df; the VBE registers. For adapters that have them elsewhere too. */
u8 vga_port_read(Vga *vga, u16 port);
void vga_port_write(Vga *vga, u16 port, u8 value);
u16 vga_vbe_read(Vga *vga, u16 index);
void vga_vbe_write(Vga *vga, u16 index, u16 value);
/* The picture while VBE is enabled; false in other modes. */
bool vga_vbe_linear(const Vga *vga, VgaLinear *picture);

/* -- vga_memory.c */
extern const RegionOps vga_window_ops;
/* -- vga_draw.c */
void vga_draw(void *vga, Display *display, bool all);
bool vga_text(void *vga, DisplayText *text);
/* Room for a row of the picture, valid until the next call. */
u32 *vga_line(Vga *vga, u32 width);
/* Puts a finished row into the surface. */
void vga_put_row(Display *display, u32 y, const u32 *row, bool all);
/* -- vga_linear.c */
void vga_draw_linear(Vga *vga, Display *display, const VgaLinear *picture, bool all);

static inline bool vga_is_vbe(const Vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_ENABLED;
}

#endif
