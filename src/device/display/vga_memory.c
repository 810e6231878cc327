/* The VGA's window at 0xa0000: how CPU accesses reach the four planes (IBM PS/2 Hardware Interface
 * Technical Reference, "Graphics Controller"; chain-4 and odd/even addressing of the sequencer). */
#include "device/display/vga.h"

enum {
    SEQ_MAP_MASK = 2,
    SEQ_MEMORY_MODE = 4,
    MEMORY_CHAIN4 = 8,
    MEMORY_NO_ODD_EVEN = 4,
    SET_RESET = 0,
    ENABLE_SET_RESET = 1,
    COLOR_COMPARE = 2,
    ROTATE = 3,
    READ_MAP = 4,
    MODE = 5,
    MODE_READ_COMPARE = 8,
    MODE_ODD_EVEN = 16,
    MISC = 6,
    COLOR_DONT_CARE = 7,
    BIT_MASK = 8,
};

/* The offset in the window as the memory map select bits have it: an offset into the planes'
 * address space; false when the window does not show the address. */
static bool window_offset(const Vga *vga, u64 *at)
{
    switch (vga->graphics[MISC] >> 2 & 3) {
    case 0:
        return true;
    case 1:
        return *at < 0x10000;
    case 2:
        *at -= 0x10000;
        return *at < 0x8000;
    default:
        *at -= 0x18000;
        return *at < 0x8000;
    }
}

/* VBE's modes of four planes are larger than the VGA's, and reached by bank. */
static u8 *plane_byte(Vga *vga, u64 offset, unsigned plane)
{
    offset &= VGA_PLANE - 1;
    if (vga_is_vbe(vga)) {
        offset += (u64)vga->vbe[VBE_BANK] * VGA_PLANE;
        offset %= vga->vram_size / 4;
    }
    return &vga->vram->host[offset * 4 + plane];
}

static u8 *vbe_byte(Vga *vga, u64 at)
{
    u64 offset = ((u64)vga->vbe[VBE_BANK] << 16) + at;

    return at < 0x10000 && offset < vga->vram_size ? &vga->vram->host[offset] : NULL;
}

static bool is_vbe_linear(const Vga *vga)
{
    return vga_is_vbe(vga) && vga->vbe[VBE_BPP] > 4;
}

/* -- Reading */

static u8 compare_colors(Vga *vga)
{
    u8 same = 0xff;

    for (unsigned plane = 0; plane < 4; plane++) {
        u8 wanted = vga->graphics[COLOR_COMPARE] >> plane & 1 ? 0xff : 0;
        if (vga->graphics[COLOR_DONT_CARE] >> plane & 1) {
            same &= (u8) ~(vga->latch[plane] ^ wanted);
        }
    }
    return same;
}

static u8 read_byte(Vga *vga, u64 at)
{
    u8 memory = vga->seq[SEQ_MEMORY_MODE], plane = vga->graphics[READ_MAP], value;
    const VgaExtension *more = vga->extension;

    if (more && more->window_read && more->window_read(vga, at, &value)) {
        return value;
    }
    if (is_vbe_linear(vga)) {
        const u8 *byte = vbe_byte(vga, at);
        return byte ? *byte : 0xff;
    }
    if (!window_offset(vga, &at)) {
        return 0xff;
    }
    if (memory & MEMORY_CHAIN4) {
        plane = at & 3;
        at &= ~(u64)3;
    } else if (vga->graphics[MODE] & MODE_ODD_EVEN) {
        plane = (u8)((plane & 2) | (at & 1));
        at &= ~(u64)1;
    }
    for (unsigned i = 0; i < 4; i++) {
        vga->latch[i] = *plane_byte(vga, at, i);
    }
    return vga->graphics[MODE] & MODE_READ_COMPARE ? compare_colors(vga) : vga->latch[plane];
}

/* -- Writing */

static u8 rotate(u8 value, unsigned count)
{
    return (u8)(value >> count | value << ((8 - count) & 7));
}

static u8 combine(const Vga *vga, u8 value, u8 latch)
{
    switch (vga->graphics[ROTATE] >> 3 & 3) {
    case 1:
        return value & latch;
    case 2:
        return value | latch;
    case 3:
        return value ^ latch;
    default:
        return value;
    }
}

/* What a plane gets: write modes 0 to 3. */
static u8 plane_value(const Vga *vga, u8 value, unsigned plane)
{
    u8 latch = vga->latch[plane], mask = vga->graphics[BIT_MASK];
    u8 set = vga->graphics[SET_RESET] >> plane & 1 ? 0xff : 0;
    u8 rotated = rotate(value, vga->graphics[ROTATE] & 7), result;

    switch (vga->graphics[MODE] & 3) {
    case 0:
        result = vga->graphics[ENABLE_SET_RESET] >> plane & 1 ? set : rotated;
        break;
    case 1:
        return latch;
    case 2:
        result = value >> plane & 1 ? 0xff : 0;
        break;
    default:
        mask &= rotated;
        result = set;
        break;
    }
    return (u8)((combine(vga, result, latch) & mask) | (latch & ~mask));
}

static void write_byte(Vga *vga, u64 at, u8 value)
{
    u8 memory = vga->seq[SEQ_MEMORY_MODE], planes = vga->seq[SEQ_MAP_MASK];
    const VgaExtension *more = vga->extension;

    if (more && more->window_write && more->window_write(vga, at, value)) {
        return;
    }
    if (is_vbe_linear(vga)) {
        u8 *byte = vbe_byte(vga, at);
        if (byte) {
            *byte = value;
            ram_mark(vga->vram, (u64)(byte - vga->vram->host), 1);
        }
        return;
    }
    vga->touched = true;
    if (!window_offset(vga, &at)) {
        return;
    }
    if (memory & MEMORY_CHAIN4) {
        planes &= (u8)(1 << (at & 3));
        at &= ~(u64)3;
    } else if (!(memory & MEMORY_NO_ODD_EVEN)) {
        planes &= at & 1 ? 0xa : 0x5;
        at &= ~(u64)1;
    }
    for (unsigned plane = 0; plane < 4; plane++) {
        if (planes >> plane & 1) {
            *plane_byte(vga, at, plane) = plane_value(vga, value, plane);
        }
    }
}

static u64 window_read(void *opaque, u64 offset, unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (u64)read_byte(opaque, offset + i) << 8 * i;
    }
    return value;
}

static void window_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    for (unsigned i = 0; i < size; i++) {
        write_byte(opaque, offset + i, (u8)(value >> 8 * i));
    }
}

const RegionOps vga_window_ops = {window_read, window_write, 1, 8, true, false, LITTLE};
