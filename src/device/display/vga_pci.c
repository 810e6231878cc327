/* "VGA": the standard adapter, a VGA with Bochs VBE as PCI function 1234:1111. BAR 0 is the frame
 * buffer; BAR 2 has the monitor's EDID at 0, the VGA's ports at 0x400, the VBE registers at 0x500
 * and the byte order of the frame buffer at 0x604, as memory. */
#include "device/display/vga_pci.h"

#include "base/bytes.h"
#include "device/devices.h"
#include "device/display/edid.h"
#include "device/display/vga.h"
#include "device/pci/pci.h"

enum { MMIO_PORTS = 0x400, MMIO_VBE = 0x500, MMIO_ORDER = 0x604, ORDER_LITTLE = 0x1e1e1e1e };

typedef struct VgaPci {
    PciFunction pci;
    Vga vga;
    Region frame_buffer, mmio;
    Display *display;
    u32 memory;        /* MiB */
    u32 width, height; /* that the monitor prefers */
    u8 edid[EDID_SIZE];
} VgaPci;

static u64 mmio_read(void *opaque, u64 offset, unsigned size)
{
    VgaPci *v = opaque;

    if (offset < EDID_SIZE) {
        return get_le(&v->edid[offset], size);
    }
    if (offset >= MMIO_PORTS && offset < MMIO_PORTS + 0x20) {
        u16 port = (u16)(0x3c0 + offset - MMIO_PORTS);
        u64 value = vga_port_read(&v->vga, port);
        return size == 2 ? value | (u64)vga_port_read(&v->vga, (u16)(port + 1)) << 8 : value;
    }
    if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGISTERS) {
        return vga_vbe_read(&v->vga, (u16)((offset - MMIO_VBE) / 2));
    }
    return offset == MMIO_ORDER ? ORDER_LITTLE : 0;
}

static void mmio_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    VgaPci *v = opaque;

    if (offset >= MMIO_PORTS && offset < MMIO_PORTS + 0x20) {
        for (unsigned i = 0; i < MIN(size, 2u); i++) {
            vga_port_write(&v->vga, (u16)(0x3c0 + offset - MMIO_PORTS + i), (u8)(value >> 8 * i));
        }
    } else if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGISTERS) {
        vga_vbe_write(&v->vga, (u16)((offset - MMIO_VBE) / 2), (u16)value);
    }
}

static const RegionOps mmio_ops = {mmio_read, mmio_write, 1, 4, false, false, LITTLE};

u64 vga_pci_set_mode(void *device, u16 width, u16 height)
{
    VgaPci *v = device;

    if (v->pci.d.def != &device_vga) {
        return 0;
    }
    vga_vbe_write(&v->vga, VBE_ENABLE, 0);
    vga_vbe_write(&v->vga, VBE_XRES, width);
    vga_vbe_write(&v->vga, VBE_YRES, height);
    vga_vbe_write(&v->vga, VBE_BPP, 32);
    vga_vbe_write(&v->vga, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
    return pci_get(&v->pci, 0x10, 4) & ~15u;
}

bool vga_pci_set_text(void *device)
{
    VgaPci *v = device;

    if (v->pci.d.def != &device_vga) {
        return false;
    }
    vga_set_text(&v->vga);
    return true;
}

static int start(void *device, char **error)
{
    VgaPci *v = device;

    if (v->memory < 1 || v->memory > 256 || v->memory & (v->memory - 1)) {
        device_error(error, "VGA: vgamem_mb must be a power of two from 1 to 256");
        return -1;
    }
    if (v->width < 640 || v->width > 4095 || v->height < 480 || v->height > 4095) {
        device_error(error, "VGA: xres and yres must be from 640x480 to 4095x4095");
        return -1;
    }
    edid_fill(v->edid, v->width, v->height);
    v->vga.vram_size = (u64)v->memory << 20;
    v->vga.vram = ram_new("vga", v->vga.vram_size);
    if (!v->vga.vram) {
        device_error(error, "VGA: out of memory");
        return -1;
    }
    v->frame_buffer.ram = v->vga.vram;
    v->frame_buffer.size = v->vga.vram_size;
    vga_start(&v->vga, v->pci.d.board, v, v->display);
    return 0;
}

static void stop(void *device)
{
    VgaPci *v = device;

    vga_stop(&v->vga);
    ram_free(v->vga.vram);
}

static void reset(void *device)
{
    VgaPci *v = device;

    vga_reset(&v->vga);
}

static void settle(void *device)
{
    VgaPci *v = device;

    vga_settle(&v->vga);
}

static const PciInfo info = {
    .vendor = 0x1234,
    .device = 0x1111,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x030000,
    .revision = 2,
    .bars = {[0] = {PCI_BAR_PREFETCH, 0}, [2] = {PCI_BAR_MEMORY, 1}},
};

static const RegisterBank banks[] = {
    {.name = "vga-memory", .region = offsetof(VgaPci, frame_buffer)},
    {.name = "vga-mmio", .size = 0x1000, .region = offsetof(VgaPci, mmio), .raw = &mmio_ops},
};

static const StateField state[] = {
    PCI_STATE(VgaPci),
    {"vga", offsetof(VgaPci, vga), sizeof(Vga), 1, vga_state, STATE_VALUE},
    STATE_END,
};

static const Property properties[] = {
    {"vgamem_mb", PROPERTY_U32, offsetof(VgaPci, memory), "video memory in MiB", "16", NULL},
    {"xres", PROPERTY_U32, offsetof(VgaPci, width), "columns that the monitor prefers", "1280",
     NULL},
    {"yres", PROPERTY_U32, offsetof(VgaPci, height), "rows that it prefers", "800", NULL},
    {"romfile", PROPERTY_STRING, offsetof(VgaPci, pci.rom_file), "video BIOS", NULL, NULL},
    {"display", PROPERTY_BACKEND, offsetof(VgaPci, display), "who shows the picture", NULL,
     "display"},
    PROPERTY_END,
};

const DeviceDef device_vga = {
    .name = "VGA",
    .summary = "standard graphics adapter: VGA with linear frame buffer",
    .size = sizeof(VgaPci),
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
