/* The VGA's registers. See vga.h. Pictures are made in vga_draw.c, memory is in vga_memory.c. */
#include "device/display/vga.h"

#include <stdlib.h>
#include <string.h>

enum {
    ATTRIBUTE = 0x3c0,
    ATTRIBUTE_READ = 0x3c1,
    MISC_WRITE = 0x3c2,
    SEQ_INDEX = 0x3c4,
    SEQ_DATA = 0x3c5,
    DAC_MASK = 0x3c6,
    DAC_READ = 0x3c7,
    DAC_WRITE = 0x3c8,
    DAC_DATA = 0x3c9,
    FEATURE_READ = 0x3ca,
    MISC_READ = 0x3cc,
    GRAPHICS_INDEX = 0x3ce,
    GRAPHICS_DATA = 0x3cf,
    CRTC_INDEX = 0x3d4, /* the colour addresses; 0x3b_ in monochrome */
    CRTC_DATA = 0x3d5,
    STATUS_1 = 0x3da,
    MISC_COLOR = 1,
    CRTC_PROTECT = 0x80, /* in CRTC register 0x11 */
    VBE_INDEX_PORT = 0x1ce,
    VBE_MAX_X = 2560,
    VBE_MAX_Y = 1600,
    VBE_VERSION_5 = 0xb0c5,
    FRAME_NS = 1000000000 / 70,
    LINE_NS = FRAME_NS / 449,
};

/* -- Sequencer, graphics controller, CRTC, attribute controller */

static const u8 seq_masks[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const u8 graphics_masks[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

static void write_crtc(Vga *vga, u8 index, u8 value)
{
    bool locked = vga->crtc[0x11] & CRTC_PROTECT;

    if (index > 0x18 || (locked && index < 7)) {
        return;
    }
    if (locked && index == 7) { /* but for the line compare bit */
        value = (u8)((vga->crtc[7] & ~0x10) | (value & 0x10));
    }
    vga->crtc[index] = value;
}

static void write_attribute(Vga *vga, u8 value)
{
    u8 index = vga->attribute_index & 0x1f;

    if (!vga->attribute_data) {
        vga->attribute_index = value & 0x3f;
    } else if (index < 0x15) {
        static const u8 masks[] = {0xef, 0xff, 0x3f, 0x0f, 0x0f};
        vga->attribute[index] = value & (index < 0x10 ? 0x3f : masks[index - 0x10]);
        vga->all_stale = true;
    }
    vga->attribute_data ^= 1;
}

/* -- DAC */

static u8 *dac_entry(Vga *vga, u8 index)
{
    const VgaExtension *more = vga->extension;
    u8 *entry = more && more->dac_entry ? more->dac_entry(vga, index) : NULL;

    return entry ? entry : &vga->dac[3 * index];
}

static void write_dac(Vga *vga, u8 value)
{
    vga->dac_bytes[vga->dac_component] = value;
    if (++vga->dac_component == 3) {
        memcpy(dac_entry(vga, vga->dac_write), vga->dac_bytes, 3);
        vga->dac_component = 0;
        vga->dac_write++;
        vga->colors_stale = true;
    }
}

static u8 read_dac(Vga *vga)
{
    u8 value = dac_entry(vga, vga->dac_read)[vga->dac_component];

    if (++vga->dac_component == 3) {
        vga->dac_component = 0;
        vga->dac_read++;
    }
    return value;
}

/* -- Input status 1: where the beam is */

static u8 read_status_1(Vga *vga)
{
    u64 at = clock_now(vga->board->clock) % FRAME_NS, line = at / LINE_NS;
    bool vertical = line >= 412, blank = line >= 400 || at % LINE_NS > LINE_NS * 4 / 5;

    vga->attribute_data = 0;
    return (u8)((line >= 412 && line < 414 ? 8 : 0) | (vertical || blank ? 1 : 0));
}

/* -- Ports */

/* The CRTC answers at the colour or the monochrome addresses; 0: the port is not decoded. */
static u16 normalize(const Vga *vga, u16 port)
{
    if (port >= 0x3c0 && port < 0x3d0) {
        return port;
    }
    bool color = port >= 0x3d0;
    return color == !!(vga->misc & MISC_COLOR) ? (u16)(0x3d0 | (port & 15)) : 0;
}

u8 vga_port_read(Vga *vga, u16 port)
{
    const VgaExtension *more = vga->extension;
    u8 value;

    port = normalize(vga, port);
    if (port && more && more->port_read && more->port_read(vga, port, &value)) {
        return value;
    }
    switch (port) {
    case ATTRIBUTE:
        return vga->attribute_data ? 0 : vga->attribute_index;
    case ATTRIBUTE_READ:
        return vga->attribute[vga->attribute_index & 0x1f];
    case MISC_WRITE: /* input status 0 */
        return 0x10;
    case SEQ_INDEX:
        return vga->seq_index;
    case SEQ_DATA:
        return vga->seq[vga->seq_index & 7];
    case DAC_MASK:
        return vga->dac_mask;
    case DAC_READ:
        return vga->dac_reading ? 3 : 0;
    case DAC_WRITE:
        return vga->dac_write;
    case DAC_DATA:
        return read_dac(vga);
    case FEATURE_READ:
        return vga->feature;
    case MISC_READ:
        return vga->misc;
    case GRAPHICS_INDEX:
        return vga->graphics_index;
    case GRAPHICS_DATA:
        return vga->graphics[vga->graphics_index & 15];
    case CRTC_INDEX:
        return vga->crtc_index;
    case CRTC_DATA:
        return vga->crtc[vga->crtc_index & 0x1f];
    case STATUS_1:
        return read_status_1(vga);
    default:
        return 0xff;
    }
}

void vga_port_write(Vga *vga, u16 port, u8 value)
{
    const VgaExtension *more = vga->extension;

    port = normalize(vga, port);
    vga->touched = true;
    if (port && more && more->port_write && more->port_write(vga, port, value)) {
        return;
    }
    switch (port) {
    case ATTRIBUTE:
        write_attribute(vga, value);
        break;
    case MISC_WRITE:
        vga->misc = value & ~0x10;
        break;
    case SEQ_INDEX:
        vga->seq_index = value & (more ? more->seq_indexes : 7);
        break;
    case SEQ_DATA:
        vga->seq[vga->seq_index & 7] = value & seq_masks[vga->seq_index & 7];
        break;
    case DAC_MASK:
        vga->dac_mask = value;
        vga->colors_stale = true;
        break;
    case DAC_READ:
        vga->dac_read = value;
        vga->dac_component = 0;
        vga->dac_reading = 1;
        break;
    case DAC_WRITE:
        vga->dac_write = value;
        vga->dac_component = 0;
        vga->dac_reading = 0;
        break;
    case DAC_DATA:
        write_dac(vga, value);
        break;
    case GRAPHICS_INDEX:
        vga->graphics_index = value & (more ? more->graphics_indexes : 15);
        break;
    case GRAPHICS_DATA:
        vga->graphics[vga->graphics_index & 15] = value & graphics_masks[vga->graphics_index & 15];
        break;
    case CRTC_INDEX:
        vga->crtc_index = value;
        break;
    case CRTC_DATA:
        write_crtc(vga, vga->crtc_index, value);
        break;
    case STATUS_1:
        vga->feature = value & 0x10;
        break;
    }
}

static u64 ports_read(Vga *vga, u16 first, u64 offset, unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (u64)vga_port_read(vga, (u16)(first + offset + i)) << 8 * i;
    }
    return value;
}

static void ports_write(Vga *vga, u16 first, u64 offset, unsigned size, u64 value)
{
    for (unsigned i = 0; i < size; i++) {
        vga_port_write(vga, (u16)(first + offset + i), (u8)(value >> 8 * i));
    }
}

#define PORT_OPS(name, first)                                                                      \
    static u64 read_##name(void *vga, u64 offset, unsigned size)                                   \
    {                                                                                              \
        return ports_read(vga, first, offset, size);                                               \
    }                                                                                              \
    static void write_##name(void *vga, u64 offset, unsigned size, u64 value)                      \
    {                                                                                              \
        ports_write(vga, first, offset, size, value);                                              \
    }                                                                                              \
    static const RegionOps ops_##name = {read_##name, write_##name, 1, 2, true, false, LITTLE};

PORT_OPS(mono, 0x3b0)
PORT_OPS(common, 0x3c0)
PORT_OPS(color, 0x3d0)

/* -- VBE */

u16 vga_vbe_read(Vga *vga, u16 index)
{
    static const u16 limits[] = {[VBE_XRES] = VBE_MAX_X, [VBE_YRES] = VBE_MAX_Y, [VBE_BPP] = 32};

    if (index >= VBE_REGISTERS) {
        return 0;
    }
    if (vga->vbe[VBE_ENABLE] & VBE_GETCAPS && index >= VBE_XRES && index <= VBE_BPP) {
        return limits[index];
    }
    return index == VBE_MEMORY_64K ? (u16)(vga->vram_size >> 16) : vga->vbe[index];
}

static u32 bytes_per_line(const Vga *vga, u32 width)
{
    u32 bits = vga->vbe[VBE_BPP] == 15 ? 16 : vga->vbe[VBE_BPP];

    return bits == 4 ? width / 8 * 4 : width * bits / 8;
}

bool vga_vbe_linear(const Vga *vga, VgaLinear *picture)
{
    const u16 *vbe = vga->vbe;
    u32 line = bytes_per_line(vga, vbe[VBE_VIRT_WIDTH]);

    if (!vga_is_vbe(vga) || vbe[VBE_BPP] == 4) {
        return false;
    }
    *picture =
        (VgaLinear){.width = vbe[VBE_XRES],
                    .height = vbe[VBE_YRES],
                    .bits = vbe[VBE_BPP],
                    .repeat = 1,
                    .start = (u64)vbe[VBE_Y_OFFSET] * line + bytes_per_line(vga, vbe[VBE_X_OFFSET]),
                    .line = line};
    return true;
}

/* Makes what follows from the sizes fit the memory. */
static void set_geometry(Vga *vga)
{
    u16 *vbe = vga->vbe;
    u32 line;

    vbe[VBE_XRES] = (u16)MIN(MAX(vbe[VBE_XRES], 8), VBE_MAX_X);
    vbe[VBE_YRES] = (u16)MIN(MAX(vbe[VBE_YRES], 1), VBE_MAX_Y);
    vbe[VBE_VIRT_WIDTH] = MAX(vbe[VBE_VIRT_WIDTH], vbe[VBE_XRES]);
    line = bytes_per_line(vga, vbe[VBE_VIRT_WIDTH]);
    if ((u64)line * vbe[VBE_YRES] > vga->vram_size) {
        vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
        line = bytes_per_line(vga, vbe[VBE_XRES]);
        vbe[VBE_YRES] = (u16)MIN((u64)vbe[VBE_YRES], vga->vram_size / MAX(line, 1u));
    }
    vbe[VBE_VIRT_HEIGHT] = (u16)MIN(vga->vram_size / MAX(line, 1u), (u64)0xffff);
    if (vbe[VBE_X_OFFSET] > vbe[VBE_VIRT_WIDTH] - vbe[VBE_XRES]) {
        vbe[VBE_X_OFFSET] = 0;
    }
    if (vbe[VBE_Y_OFFSET] > vbe[VBE_VIRT_HEIGHT] - vbe[VBE_YRES]) {
        vbe[VBE_Y_OFFSET] = 0;
    }
}

static void enable_vbe(Vga *vga, u16 value)
{
    bool was = vga_is_vbe(vga);

    if (value & VBE_ENABLED && !was) {
        vga->vbe[VBE_VIRT_WIDTH] = vga->vbe[VBE_XRES];
        vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = vga->vbe[VBE_BANK] = 0;
        set_geometry(vga);
        if (!(value & VBE_NO_CLEAR)) {
            memset(vga->vram->host, 0,
                   (size_t)bytes_per_line(vga, vga->vbe[VBE_VIRT_WIDTH]) * vga->vbe[VBE_YRES]);
        }
    }
    vga->vbe[VBE_ENABLE] = value;
    vga->colors_stale = vga->all_stale = true;
}

static bool is_depth(u16 bits)
{
    return bits == 4 || bits == 8 || bits == 15 || bits == 16 || bits == 24 || bits == 32;
}

/* While the picture is shown, it fits the memory. */
static void change_geometry(Vga *vga)
{
    if (vga_is_vbe(vga)) {
        set_geometry(vga);
        vga->all_stale = true;
    }
}

void vga_vbe_write(Vga *vga, u16 index, u16 value)
{
    u16 *vbe = vga->vbe;

    switch (index) {
    case VBE_ID:
        if (value >= 0xb0c0 && value <= VBE_VERSION_5) {
            vbe[VBE_ID] = value;
        }
        break;
    case VBE_XRES:
    case VBE_YRES:
        vbe[index] = value & (index == VBE_XRES ? ~7 : ~0);
        change_geometry(vga);
        break;
    case VBE_BPP:
        value = value ? value : 8;
        if (is_depth(value)) {
            vbe[VBE_BPP] = value;
            change_geometry(vga);
        }
        break;
    case VBE_ENABLE:
        enable_vbe(vga, value);
        break;
    case VBE_BANK:
        vbe[VBE_BANK] = (u16)(value % (vga->vram_size >> 16));
        break;
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        vbe[index] = value;
        set_geometry(vga);
        vga->all_stale = true;
        break;
    default:
        break;
    }
}

static u64 vbe_port_read(void *opaque, u64 offset, unsigned size)
{
    Vga *vga = opaque;

    (void)size;
    return offset == 0 ? vga->vbe_index : vga_vbe_read(vga, vga->vbe_index);
}

static void vbe_port_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    Vga *vga = opaque;

    (void)size;
    if (offset == 0) {
        vga->vbe_index = (u16)value;
    } else {
        vga_vbe_write(vga, vga->vbe_index, (u16)value);
    }
}

/* The data port is at 0x1cf, and at 0x1d0 for those who can't do crooked accesses. */
static const RegionOps vbe_ops = {vbe_port_read, vbe_port_write, 1, 2, true, false, LITTLE};

/* -- Text, as a video BIOS sets it: mode 3 */

void vga_set_text(Vga *vga)
{
    static const u8 seq[] = {0x03, 0x00, 0x03, 0x00, 0x02};
    static const u8 graphics[] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff};
    static const u8 crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                              0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                              0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    static const u8 attribute[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
                                   0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};

    vga_vbe_write(vga, VBE_ENABLE, 0);
    vga->misc = 0x67;
    memcpy(vga->seq, seq, sizeof seq);
    memcpy(vga->graphics, graphics, sizeof graphics);
    memcpy(vga->crtc, crtc, sizeof crtc);
    memcpy(vga->attribute, attribute, sizeof attribute);
    vga->attribute_index = 0x20;        /* the palette is on */
    for (unsigned n = 0; n < 64; n++) { /* two bits a colour: 2/3 and 1/3 */
        for (unsigned i = 0; i < 3; i++) {
            vga->dac[3 * n + i] = (u8)((n >> (2 - i) & 1) * 0x2a + (n >> (5 - i) & 1) * 0x15);
        }
    }
    vga->colors_stale = vga->all_stale = true;
}

/* -- Life */

static void add_ports(Vga *vga, unsigned n, u16 first, u64 size, const RegionOps *ops)
{
    vga->ports[n] = (Region){.name = "vga", .size = size, .ops = ops, .opaque = vga};
    space_add(vga->board->ports, &vga->ports[n], first);
}

void vga_start(Vga *vga, Board *board, void *owner, Display *display)
{
    vga->board = board;
    vga->owner = owner;
    vga->display = display;
    vga->window = (Region){.name = "vga-window",
                           .size = VGA_WINDOW,
                           .priority = 1,
                           .ops = &vga_window_ops,
                           .opaque = vga};
    space_add(board->memory, &vga->window, 0xa0000);
    add_ports(vga, 0, 0x3b0, 16, &ops_mono);
    add_ports(vga, 1, 0x3c0, 16, &ops_common);
    add_ports(vga, 2, 0x3d0, 16, &ops_color);
    if (!vga->extension) {
        add_ports(vga, 3, VBE_INDEX_PORT, 4, &vbe_ops);
    }
    ram_track(board->memory, vga->vram, DIRTY_DISPLAY, true);
    if (display) {
        display_set_source(display, &(DisplaySource){vga, vga_draw, vga_text});
    }
}

void vga_stop(Vga *vga)
{
    if (vga->display) {
        display_set_source(vga->display, NULL);
    }
    space_remove(vga->board->memory, &vga->window);
    for (size_t i = 0; i < COUNT(vga->ports); i++) {
        space_remove(vga->board->ports, &vga->ports[i]);
    }
    free(vga->line);
}

void vga_reset(Vga *vga)
{
    memset(vga->vram->host, 0, 4 * VGA_PLANE);
    vga->misc = MISC_COLOR;
    vga->dac_mask = 0xff;
    vga->vbe[VBE_ID] = VBE_VERSION_5;
    vga->vbe[VBE_BPP] = 8;
}

void vga_settle(Vga *vga)
{
    vga->vbe[VBE_BPP] = is_depth(vga->vbe[VBE_BPP]) ? vga->vbe[VBE_BPP] : 8;
    vga->dac_component = vga->dac_component % 3;
    vga->vbe[VBE_BANK] = (u16)(vga->vbe[VBE_BANK] % (vga->vram_size >> 16));
    change_geometry(vga);
    vga->colors_stale = vga->all_stale = true;
}

const StateField vga_state[] = {
    STATE(Vga, misc),
    STATE(Vga, feature),
    STATE(Vga, seq_index),
    STATE_ARRAY(Vga, seq),
    STATE(Vga, graphics_index),
    STATE_ARRAY(Vga, graphics),
    STATE(Vga, crtc_index),
    STATE_ARRAY(Vga, crtc),
    STATE(Vga, attribute_index),
    STATE_ARRAY(Vga, attribute),
    STATE(Vga, attribute_data),
    STATE(Vga, dac_mask),
    STATE(Vga, dac_reading),
    STATE(Vga, dac_read),
    STATE(Vga, dac_write),
    STATE(Vga, dac_component),
    STATE_ARRAY(Vga, dac_bytes),
    STATE_ARRAY(Vga, dac),
    STATE_ARRAY(Vga, latch),
    STATE(Vga, vbe_index),
    STATE_ARRAY(Vga, vbe),
    {"vram", offsetof(Vga, vram), 0, 1, NULL, STATE_RAM},
    STATE_END,
};
