/* Linux kernels as they are installed, bzImage (Documentation/arch/x86/boot.rst in Linux), by the
 * 32-bit boot protocol. The kernel is put where the protocol wants it, the initial RAM disk as high
 * as the kernel takes it. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "machine/x86/loader.h"

enum {
    PARAMS_SIZE = 4096,
    KERNEL_AT = X86_KERNEL_HIGH,
    /* Offsets in boot_params, the setup header's in the file as well. */
    RSDP = 0x070,
    ALT_MEM_K = 0x1e0,
    E820_ENTRIES = 0x1e8,
    SETUP_SECTS = 0x1f1,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200,
    HEADER = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    CODE32_START = 0x214,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    HEAP_END = 0x224,
    COMMAND_LINE = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    E820_TABLE = 0x2d0,
    LOADED_HIGH = 1,
    CAN_USE_HEAP = 0x80,
};

static bool recognize(const X86Kernel *kernel)
{
    return kernel->size >= 0x1000 && !memcmp(kernel->file + HEADER, "HdrS", 4) &&
           get_le(kernel->file + BOOT_FLAG, 2) == 0xaa55;
}

/* Bytes of the real-mode part, which comes first. */
static u32 setup_size(const X86Kernel *kernel)
{
    u8 sectors = kernel->file[SETUP_SECTS];

    return (sectors ? sectors + 1u : 5u) * 512;
}

/* Whether its protocol has all we use (2.06: cmdline_size), and it takes what it is to get. */
static int check(const X86Kernel *kernel, char **error)
{
    u64 longest = get_le(kernel->file + CMDLINE_SIZE, 4);

    if (get_le(kernel->file + VERSION, 2) < 0x206 || !(kernel->file[LOADFLAGS] & LOADED_HIGH)) {
        device_error(error, "%s: this kernel's boot protocol is too old", kernel->path);
        return -EINVAL;
    }
    if (setup_size(kernel) >= kernel->size) {
        device_error(error, "%s: the kernel's file is cut off", kernel->path);
        return -EINVAL;
    }
    if (strlen(kernel->append) > longest) {
        device_error(error, "the kernel takes command lines of up to %llu characters",
                     (unsigned long long)longest);
        return -E2BIG;
    }
    return 0;
}

/* The kernel, and the memory that it unpacks itself to. */
static int place_kernel(X86Kernel *kernel, char **error)
{
    const u8 *k = kernel->file;
    u64 size = kernel->size - setup_size(kernel), need = size;
    int result;

    if (get_le(k + VERSION, 2) >= 0x20a) {
        u64 start = MIN(MAX(get_le(k + PREF_ADDRESS, 8), (u64)KERNEL_AT), (u64)1 << 32);
        need = MAX(need, start - KERNEL_AT + get_le(k + INIT_SIZE, 4));
    }
    result = x86_add_piece(kernel, KERNEL_AT, k + setup_size(kernel), size, size, error);
    return result < 0 ? result : x86_add_piece(kernel, KERNEL_AT, NULL, 0, need, error);
}

static int place_initrd(X86Kernel *kernel, char **error)
{
    u64 limit = get_le(kernel->file + INITRD_ADDR_MAX, 4) + 1;
    X86Module *m = &kernel->modules[0];

    if (!kernel->module_count || !m->size) {
        return 0;
    }
    m->address = x86_find_room(kernel, m->size, KERNEL_AT, limit, true);
    if (!m->address) {
        device_error(error, "%s: does not fit into the machine's %llu MiB beside the kernel",
                     m->text, (unsigned long long)(kernel->map.low_size >> 20));
        return -ENOMEM;
    }
    return x86_add_piece(kernel, m->address, m->bytes, m->size, m->size, error);
}

static void fill_memory_map(const X86Kernel *kernel, u8 *params)
{
    for (u32 i = 0; i < kernel->map.count; i++) {
        const X86MemoryRange *r = &kernel->map.ranges[i];
        u8 *entry = params + E820_TABLE + 20 * i;
        put_le(entry, r->start, 8);
        put_le(entry + 8, r->size, 8);
        put_le(entry + 16, r->type, 4);
    }
    params[E820_ENTRIES] = (u8)kernel->map.count;
    put_le(params + ALT_MEM_K, (kernel->map.low_size - KERNEL_AT) >> 10, 4);
}

static void add_params(X86Kernel *kernel)
{
    u32 header_end = JUMP + 2 + kernel->file[JUMP + 1];
    u8 *params = x86_add_data(kernel, PARAMS_SIZE, 16, &kernel->esi);

    memcpy(params + SETUP_SECTS, kernel->file + SETUP_SECTS, header_end - SETUP_SECTS);
    params[TYPE_OF_LOADER] = 0xff;
    params[LOADFLAGS] |= CAN_USE_HEAP;
    put_le(params + RSDP, kernel->rsdp, 8);
    put_le(params + CODE32_START, KERNEL_AT, 4);
    put_le(params + HEAP_END, 0xe000, 2);
    put_le(params + COMMAND_LINE, x86_add_string(kernel, kernel->append), 4);
    put_le(params + RAMDISK_IMAGE, kernel->modules[0].address, 4);
    put_le(params + RAMDISK_SIZE, kernel->modules[0].size, 4);
    fill_memory_map(kernel, params);
}

static int prepare(X86Kernel *kernel, char **error)
{
    int result = check(kernel, error);

    if (result == 0) {
        result = place_kernel(kernel, error);
    }
    if (result == 0) {
        result = place_initrd(kernel, error);
    }
    if (result == 0) {
        result = x86_place_data(kernel, PARAMS_SIZE, error);
    }
    if (result == 0) {
        add_params(kernel);
        kernel->eip = KERNEL_AT;
    }
    return result;
}

/* screen_info, at the start of boot_params (Linux's include/uapi/linux/screen_info.h). */
static void add_text_screen(u8 *params)
{
    enum { MODE = 6, COLUMNS = 7, EGA_BX = 0xa, ROWS = 0xe, IS_VGA = 0xf, POINTS = 0x10 };

    params[MODE] = 3;
    params[COLUMNS] = 80;
    put_le(params + EGA_BX, 3, 2); /* 256 KiB, in colour */
    params[ROWS] = 25;
    params[IS_VGA] = 1;
    put_le(params + POINTS, 16, 2);
}

static void add_screen(const X86Kernel *kernel, u8 *ram, const X86Screen *screen)
{
    enum {
        IS_VGA = 0x0f, /* offsets */
        LFB_WIDTH = 0x12,
        LFB_HEIGHT = 0x14,
        LFB_DEPTH = 0x16,
        LFB_BASE = 0x18,
        LFB_SIZE = 0x1c, /* in 64 KiB */
        LFB_LINE = 0x24,
        COLORS = 0x26, /* size and position of red, green, blue, reserved */
        LINEAR = 0x23, /* a VESA frame buffer */
    };
    static const u8 colors[8] = {8, 16, 8, 8, 8, 0, 8, 24};
    u8 *params = ram + kernel->esi;
    u64 size = 4ull * screen->width * screen->height;

    if (screen->text) {
        add_text_screen(params);
        return;
    }
    params[IS_VGA] = LINEAR;
    put_le(params + LFB_WIDTH, screen->width, 2);
    put_le(params + LFB_HEIGHT, screen->height, 2);
    put_le(params + LFB_DEPTH, 32, 2);
    put_le(params + LFB_BASE, screen->base, 4);
    put_le(params + LFB_SIZE, (size + 0xffff) >> 16, 4);
    put_le(params + LFB_LINE, 4ull * screen->width, 2);
    memcpy(params + COLORS, colors, sizeof colors);
}

const X86KernelFormat x86_linux = {
    .recognize = recognize, .prepare = prepare, .add_screen = add_screen};
