/* "cirrus-vga": registers of the Cirrus Logic GD5446 beyond the VGA's, and its place on the PCI bus
 * (CL-GD5446 Technical Reference Manual, chapters 4 to 9). See cirrus.h. */
#include "device/display/cirrus.h"

#include "device/devices.h"

enum { CRTC_FIRST = 0x19, CRTC_ID = 0x27, HIDDEN_AFTER = 4, ID_5446 = 0xb8 };

/* -- Sequencer */

static u8 read_seq(const Cirrus *c, u8 index)
{
    switch (index & 31) {
    case SR_CURSOR_X:
    case SR_CURSOR_Y:
        return index; /* the position's low bits are in the index */
    case SR_DDC: {    /* nobody is there: the lines are as they are driven */
        u8 driven = c->seq[SR_DDC];
        return (u8)((driven & 0x7b) | (driven & 1) << 2 | (driven & 2) << 6);
    }
    default:
        return c->seq[index & 31];
    }
}

static void write_seq(Cirrus *c, u8 index, u8 value)
{
    switch (index & 31) {
    case SR_UNLOCK:
        value = (value & 0x17) == 0x12 ? 0x12 : 0x0f;
        break;
    case SR_CURSOR_X:
        c->cursor_x = (u16)(value << 3 | index >> 5);
        break;
    case SR_CURSOR_Y:
        c->cursor_y = (u16)(value << 3 | index >> 5);
        break;
    case SR_CONFIGURATION: /* which bus it is on stays */
        value = (u8)((c->seq[SR_CONFIGURATION] & 0x38) | (value & ~0x38));
        break;
    default:
        break;
    }
    c->seq[index & 31] = value;
    c->vga.all_stale = true;
    cirrus_place_linear(c);
}

/* -- Graphics controller */

u8 cirrus_read_graphics(Cirrus *c, u8 index)
{
    return c->graphics[index & 63];
}

void cirrus_write_graphics(Cirrus *c, u8 index, u8 value)
{
    static const u8 masks[64] = {
        [GR_BLIT_WIDTH + 1] = 0x1f,      [GR_BLIT_HEIGHT + 1] = 0x07, [GR_BLIT_TO_PITCH + 1] = 0x1f,
        [GR_BLIT_FROM_PITCH + 1] = 0x1f, [GR_BLIT_TO + 2] = 0x3f,     [GR_BLIT_FROM + 2] = 0x3f,
        [GR_BLIT_EXTENSIONS] = 0x07,
    };

    if (index == GR_BLIT_START) {
        cirrus_start_blit(c, value);
        return;
    }
    c->graphics[index & 63] = value & (masks[index & 63] ? masks[index & 63] : 0xff);
    if (index <= GR_FOREGROUND) { /* also the VGA's Set/Reset and its enable */
        c->vga.graphics[index] = value & 15;
    }
    if (index == GR_VGA_MODE || index == GR_EXTENSIONS) {
        cirrus_place_linear(c);
    }
    if (index == GR_BLIT_TO + 2 && c->graphics[GR_BLIT_START] & BLIT_AUTOSTART) {
        cirrus_start_blit(c, c->graphics[GR_BLIT_START] | BLIT_START);
    }
}

/* Registers that the VGA has as well, but smaller. */
static bool is_graphics(u8 index)
{
    return index <= GR_FOREGROUND || index >= GR_OFFSET;
}

/* -- CRTC */

static u8 read_crtc(const Cirrus *c, u8 index)
{
    const Vga *vga = &c->vga;

    switch (index) {
    case 0x22: /* the data latch that Read Map Select selects */
        return vga->latch[vga->graphics[4] & 3];
    case 0x24:
        return vga->attribute_data ? 0x80 : 0;
    case 0x26:
        return vga->attribute_index & 0x3f;
    case CRTC_ID:
        return ID_5446;
    default:
        return c->crtc[index & 63];
    }
}

/* -- Ports: what the VGA does not know */

static bool read_port(Vga *vga, u16 port, u8 *value)
{
    Cirrus *c = cirrus_of(vga);

    switch (port) {
    case 0x3c5:
        *value = read_seq(c, vga->seq_index);
        return (vga->seq_index & 31) > 4;
    case 0x3c6: /* after some reads, the next one is of the hidden register */
        if (c->hidden_reads < HIDDEN_AFTER) {
            c->hidden_reads++;
            return false;
        }
        c->hidden_reads = 0;
        *value = c->hidden_dac;
        return true;
    case 0x3c7:
    case 0x3c8:
    case 0x3c9:
        c->hidden_reads = 0;
        return false;
    case 0x3cf:
        *value = c->graphics[vga->graphics_index & 63];
        return is_graphics(vga->graphics_index);
    case 0x3d5:
        *value = read_crtc(c, vga->crtc_index);
        return vga->crtc_index >= CRTC_FIRST;
    default:
        return false;
    }
}

static bool write_graphics_port(Cirrus *c, u8 index, u8 value)
{
    if (is_graphics(index) || index == GR_VGA_MODE) {
        cirrus_write_graphics(c, index, value);
    }
    return is_graphics(index);
}

static bool write_port(Vga *vga, u16 port, u8 value)
{
    Cirrus *c = cirrus_of(vga);
    bool hidden = port == 0x3c6 && c->hidden_reads == HIDDEN_AFTER;

    if (port >= 0x3c6 && port <= 0x3c9) {
        c->hidden_reads = 0;
    }
    switch (port) {
    case 0x3c5:
        if ((vga->seq_index & 31) > 4) {
            write_seq(c, vga->seq_index, value);
            return true;
        }
        return false;
    case 0x3c6:
        if (hidden) {
            c->hidden_dac = value;
            vga->all_stale = true;
        }
        return hidden;
    case 0x3cf:
        return write_graphics_port(c, vga->graphics_index & 63, value);
    case 0x3d5:
        vga->all_stale = true; /* the start address, for one */
        if (vga->crtc_index >= CRTC_FIRST && vga->crtc_index < sizeof c->crtc) {
            c->crtc[vga->crtc_index] = value;
        }
        return vga->crtc_index >= CRTC_FIRST;
    default:
        return false;
    }
}

/* While the cursor's colours are asked for, they are the palette's first and sixteenth. */
static u8 *dac_entry(Vga *vga, u8 index)
{
    Cirrus *c = cirrus_of(vga);

    if (!(c->seq[SR_CURSOR] & SR_CURSOR_COLORS)) {
        return NULL;
    }
    switch (index & 15) {
    case 0:
        return c->cursor_colors;
    case 15:
        return c->cursor_colors + 3;
    default:
        return NULL;
    }
}

static const VgaExtension extension = {
    .seq_indexes = 0xff,
    .graphics_indexes = 0x3f,
    .port_read = read_port,
    .port_write = write_port,
    .window_read = cirrus_window_read,
    .window_write = cirrus_window_write,
    .dac_entry = dac_entry,
    .linear = cirrus_linear,
    .overlay = cirrus_draw_cursor,
};

/* -- The device */

static int start(void *device, char **error)
{
    Cirrus *c = device;

    if (c->memory != 1 && c->memory != 2 && c->memory != 4) {
        device_error(error, "cirrus-vga: vgamem_mb must be 1, 2 or 4");
        return -1;
    }
    c->vga.vram_size = (u64)c->memory << 20;
    c->vga.vram = ram_new("cirrus-vga", c->vga.vram_size);
    if (!c->vga.vram) {
        device_error(error, "cirrus-vga: out of memory");
        return -1;
    }
    c->linear = (Region){.name = "cirrus-memory", .priority = 1, .ram = c->vga.vram};
    c->vga.extension = &extension;
    vga_start(&c->vga, c->pci.d.board, c, c->display);
    return 0;
}

static void stop(void *device)
{
    Cirrus *c = device;

    space_remove(c->pci.d.board->memory, &c->linear);
    vga_stop(&c->vga);
    ram_free(c->vga.vram);
}

static void reset(void *device)
{
    Cirrus *c = device;

    vga_reset(&c->vga);
    c->seq[SR_UNLOCK] = 0x0f;
    c->seq[SR_DRAM] = c->memory == 4 ? 0x98 : c->memory == 2 ? 0x18 : 0x10; /* width, banks */
    c->seq[0x15] = c->memory == 4 ? 4 : c->memory == 2 ? 3 : 2; /* where video BIOSes keep it */
    c->seq[SR_CONFIGURATION] = 0x20;                            /* on PCI */
    c->seq[0x1f] = 0x2d;                                        /* memory clock */
    c->graphics[0x18] = 0x0f;                                   /* memory timing */
}

static void settle(void *device)
{
    Cirrus *c = device;

    c->hidden_reads = MIN(c->hidden_reads, (u8)HIDDEN_AFTER);
    cirrus_settle_blit(c);
    vga_settle(&c->vga);
    cirrus_place_linear(c);
}

/* The BARs may have moved. */
static void config_written(void *device, u32 at, u32 size)
{
    (void)at, (void)size;
    cirrus_place_linear(device);
}

static const PciInfo info = {
    .vendor = 0x1013,
    .device = 0x00b8,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x030000,
    .bars = {[0] = {PCI_BAR_PREFETCH, 0}, [1] = {PCI_BAR_MEMORY, 1}},
    .config_written = config_written,
};

static const RegisterBank banks[] = {
    {.name = "cirrus-aperture",
     .size = CIRRUS_APERTURE,
     .region = offsetof(Cirrus, aperture),
     .raw = &cirrus_aperture_ops},
    {.name = "cirrus-mmio",
     .size = 0x1000,
     .region = offsetof(Cirrus, mmio),
     .raw = &cirrus_mmio_ops},
};

static const StateField state[] = {
    PCI_STATE(Cirrus),
    {"vga", offsetof(Cirrus, vga), sizeof(Vga), 1, vga_state, STATE_VALUE},
    STATE_ARRAY(Cirrus, seq),
    STATE_ARRAY(Cirrus, graphics),
    STATE_ARRAY(Cirrus, crtc),
    STATE(Cirrus, cursor_x),
    STATE(Cirrus, cursor_y),
    STATE_ARRAY(Cirrus, cursor_colors),
    STATE(Cirrus, hidden_dac),
    STATE(Cirrus, hidden_reads),
    {"blit", offsetof(Cirrus, blit), sizeof(CirrusBlit), 1, cirrus_blit_state, STATE_VALUE},
    STATE_END,
};

static const Property properties[] = {
    {"vgamem_mb", PROPERTY_U32, offsetof(Cirrus, memory), "video memory in MiB: 1, 2 or 4", "4",
     NULL},
    {"romfile", PROPERTY_STRING, offsetof(Cirrus, pci.rom_file), "video BIOS", NULL, NULL},
    {"display", PROPERTY_BACKEND, offsetof(Cirrus, display), "who shows the picture", NULL,
     "display"},
    PROPERTY_END,
};

const DeviceDef device_cirrus_vga = {
    .name = "cirrus-vga",
    .summary = "Cirrus Logic GD5446 graphics adapter",
    .size = sizeof(Cirrus),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .properties = properties,
    .start = start,
    .stop = stop,
    .reset = reset,
    .settle = settle,
};
