/* How the CPU reaches the GD5446's memory and, through memory, its registers: the window at 0xa0000
 * with its banks, the linear frame buffer, and the memory-mapped registers (CL-GD5446 Technical
 * Reference Manual, GR9-GRB, SR17, "Memory-Mapped I/O").
 *
 * The linear frame buffer is plain memory most of the time (`linear`, in front of the aperture). It
 * is taken away while writes are data for the blitter or make several pixels. */
#include "base/bytes.h"
#include "device/display/cirrus.h"

enum { MMIO_SIZE = 0x100, PAGE = 4096 };

/* -- The blitter's registers in memory */

/* Which graphics register is at an offset; 0, but for the first, means none. */
static const u8 mmio_registers[MMIO_SIZE] = {
    [0x00] = 0x00, [0x01] = 0x10, [0x02] = 0x12, [0x03] = 0x14, [0x04] = 0x01, [0x05] = 0x11,
    [0x06] = 0x13, [0x07] = 0x15, [0x08] = 0x20, [0x09] = 0x21, [0x0a] = 0x22, [0x0b] = 0x23,
    [0x0c] = 0x24, [0x0d] = 0x25, [0x0e] = 0x26, [0x0f] = 0x27, [0x10] = 0x28, [0x11] = 0x29,
    [0x12] = 0x2a, [0x14] = 0x2c, [0x15] = 0x2d, [0x16] = 0x2e, [0x17] = 0x2f, [0x18] = 0x30,
    [0x1a] = 0x32, [0x1b] = 0x33, [0x1c] = 0x34, [0x1d] = 0x35, [0x20] = 0x38, [0x21] = 0x39,
    [0x40] = 0x31,
};

/* False: there is none. */
static bool mmio_register(u64 offset, u8 *index)
{
    offset &= MMIO_SIZE - 1;
    *index = mmio_registers[offset];
    return *index || !offset;
}

static u8 mmio_read(Cirrus *c, u64 offset)
{
    u8 index;

    return mmio_register(offset, &index) ? cirrus_read_graphics(c, index) : 0xff;
}

static void mmio_write(Cirrus *c, u64 offset, u8 value)
{
    u8 index;

    if (mmio_register(offset, &index)) {
        c->vga.touched = true;
        cirrus_write_graphics(c, index, value);
    }
}

static bool mmio_in_window(const Cirrus *c)
{
    return (c->seq[SR_CONFIGURATION] & (SR_MMIO | SR_MMIO_LINEAR)) == SR_MMIO;
}

static bool mmio_in_linear(const Cirrus *c)
{
    return (c->seq[SR_CONFIGURATION] & (SR_MMIO | SR_MMIO_LINEAR)) == (SR_MMIO | SR_MMIO_LINEAR);
}

/* -- Memory */

static bool writes_pixels(const Cirrus *c)
{
    u8 mode = c->graphics[GR_VGA_MODE] & 7;

    return (mode == 4 || mode == 5) && c->graphics[GR_EXTENSIONS] & GR_EXTENDED_WRITES;
}

static bool writes_16(const Cirrus *c)
{
    u8 both = GR_EXTENDED_WRITES | GR_WRITES_16;

    return (c->graphics[GR_EXTENSIONS] & both) == both;
}

/* An address counts units of 16 or 8 bytes in some modes. */
static u64 memory_offset(const Cirrus *c, u64 at)
{
    unsigned shift = writes_16(c) ? 4 : c->graphics[GR_EXTENSIONS] & GR_BY_8 ? 3 : 0;

    return at << shift & (c->vga.vram_size - 1);
}

static void put_byte(Cirrus *c, u64 offset, u8 value)
{
    offset &= c->vga.vram_size - 1;
    c->vga.vram->host[offset] = value;
    ram_mark(c->vga.vram, offset, 1);
}

/* Write modes 4 and 5: bits become pixels of the foreground's colour, and in mode 5 of the
 * background's. */
static void put_pixels(Cirrus *c, u64 offset, u8 bits)
{
    const u8 *g = c->graphics;
    bool both = (g[GR_VGA_MODE] & 7) == 5;
    u32 size = writes_16(c) ? 2 : 1;

    for (unsigned i = 0; i < 8; i++) {
        bool set = bits >> (7 - i) & 1;
        u8 color = set ? GR_FOREGROUND : GR_BACKGROUND;
        for (u32 byte = 0; (set || both) && byte < size; byte++) {
            put_byte(c, offset + i * size + byte, g[color + 0x10 * byte]);
        }
    }
}

/* A byte of the CPU to memory, wherever it came in. */
static void put_memory(Cirrus *c, u64 at, u8 value)
{
    if (writes_pixels(c)) {
        put_pixels(c, memory_offset(c, at), value);
    } else {
        put_byte(c, memory_offset(c, at), value);
    }
}

static u8 get_memory(const Cirrus *c, u64 at)
{
    return c->vga.vram->host[memory_offset(c, at)];
}

/* -- The window */

static u64 banked(const Cirrus *c, u64 at)
{
    u8 extensions = c->graphics[GR_EXTENSIONS];
    unsigned bank = extensions & GR_TWO_OFFSETS ? at >> 15 & 1 : 0;
    u64 base = (u64)c->graphics[GR_OFFSET + bank] << (extensions & GR_OFFSET_16K ? 14 : 12);

    return base + (at & (extensions & GR_TWO_OFFSETS ? 0x7fff : 0xffff));
}

static bool is_window_mmio(const Cirrus *c, u64 at)
{
    return mmio_in_window(c) && at >= CIRRUS_WINDOW_MMIO && at < CIRRUS_WINDOW_MMIO + MMIO_SIZE;
}

bool cirrus_window_read(Vga *vga, u64 at, u8 *value)
{
    Cirrus *c = cirrus_of(vga);

    if (is_window_mmio(c, at)) {
        *value = mmio_read(c, at);
    } else if (c->seq[SR_MODE] & SR_MODE_EXTENDED) {
        *value = at < 0x10000 ? get_memory(c, banked(c, at)) : 0xff;
    } else {
        return false;
    }
    return true;
}

bool cirrus_window_write(Vga *vga, u64 at, u8 value)
{
    Cirrus *c = cirrus_of(vga);

    if (is_window_mmio(c, at)) {
        mmio_write(c, at, value);
    } else if (cirrus_blit_waits(c) && at < 0x10000) {
        cirrus_feed_blit(c, value);
    } else if (!(c->seq[SR_MODE] & SR_MODE_EXTENDED)) {
        return false;
    } else if (at < 0x10000) {
        put_memory(c, banked(c, at), value);
    }
    return true;
}

/* -- The aperture: accesses that plain memory in front of it does not take */

static bool is_aperture_mmio(const Cirrus *c, u64 offset)
{
    return mmio_in_linear(c) && offset < CIRRUS_APERTURE / 2 &&
           (offset & (c->vga.vram_size - 1)) >= c->vga.vram_size - MMIO_SIZE;
}

static u8 aperture_read_byte(Cirrus *c, u64 offset)
{
    if (is_aperture_mmio(c, offset)) {
        return mmio_read(c, offset);
    }
    return offset < CIRRUS_APERTURE / 2 ? get_memory(c, offset) : 0xff;
}

static void aperture_write_byte(Cirrus *c, u64 offset, u8 value)
{
    if (is_aperture_mmio(c, offset)) {
        mmio_write(c, offset, value);
    } else if (cirrus_blit_waits(c)) {
        cirrus_feed_blit(c, value);
    } else if (offset < CIRRUS_APERTURE / 2) {
        put_memory(c, offset, value);
    }
}

static u64 aperture_read(void *opaque, u64 offset, unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (u64)aperture_read_byte(opaque, offset + i) << 8 * i;
    }
    return value;
}

static void aperture_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    for (unsigned i = 0; i < size; i++) {
        aperture_write_byte(opaque, offset + i, (u8)(value >> 8 * i));
    }
}

const RegionOps cirrus_aperture_ops = {aperture_read, aperture_write, 1, 8, true, false, LITTLE};

void cirrus_place_linear(Cirrus *c)
{
    AddressSpace *memory = c->vga.board->memory;
    bool special = cirrus_blit_waits(c) || writes_pixels(c) || writes_16(c) ||
                   c->graphics[GR_EXTENSIONS] & GR_BY_8;
    bool wanted = !special && space_contains(memory, &c->aperture);
    u64 size = c->vga.vram_size - (mmio_in_linear(c) ? PAGE : 0);
    bool there = space_contains(memory, &c->linear);

    if (there == wanted &&
        (!there || (c->linear.size == size && c->linear.start == c->aperture.start))) {
        return;
    }
    space_begin(memory);
    space_remove(memory, &c->linear);
    if (wanted) {
        c->linear.size = size;
        space_add(memory, &c->linear, c->aperture.start);
    }
    space_commit(memory);
}

/* -- BAR 1: the VGA's ports from 0x3c0, and the blitter's registers */

static u64 bar1_read(void *opaque, u64 offset, unsigned size)
{
    Cirrus *c = opaque;

    (void)size;
    if (offset < 0x20) {
        return vga_port_read(&c->vga, (u16)(0x3c0 + offset));
    }
    return offset >= MMIO_SIZE && offset < 2 * MMIO_SIZE ? mmio_read(c, offset) : 0xff;
}

static void bar1_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    Cirrus *c = opaque;

    (void)size;
    if (offset < 0x20) {
        vga_port_write(&c->vga, (u16)(0x3c0 + offset), (u8)value);
    } else if (offset >= MMIO_SIZE && offset < 2 * MMIO_SIZE) {
        mmio_write(c, offset, (u8)value);
    }
}

const RegionOps cirrus_mmio_ops = {bar1_read, bar1_write, 1, 1, false, false, LITTLE};
