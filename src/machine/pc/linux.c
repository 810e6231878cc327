/* Direct boot of a Linux kernel (Documentation/arch/x86/boot.rst in Linux): kernel, initial RAM
 * disk and command line are put into memory, and the first CPU starts at the 32-bit entry point,
 * without firmware.
 *
 * Memory below 1 MiB: boot_params at 0x10000, command line at 0x20000, GDT at 0x1000. The kernel is
 * at its preferred address, the RAM disk as high as the kernel takes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/display/vga_pci.h"
#include "device/pci/piix4_pm.h"
#include "guest/x86/state.h"
#include "machine/pc/pc.h"

enum {
    GDT_AT = 0x1000,
    PARAMS_AT = 0x10000,
    COMMAND_LINE_AT = 0x20000,
    PARAMS_SIZE = 4096,
    KERNEL_AT = 0x100000,
    /* Offsets in boot_params, the setup header's in the file as well. */
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
    E820_RAM = 1,
    E820_RESERVED = 2,
};

struct LinuxImage {
    u8 *kernel, *initrd;
    size_t kernel_size, initrd_size;
    u32 setup_size; /* bytes of the real-mode part */
    const char *append;
};

/* -- Loading */

/* Whether it is a bzImage of a protocol that has all we use (2.06: cmdline_size). */
static int check_kernel(struct LinuxImage *image, const char *path, char **error)
{
    const u8 *k = image->kernel;

    if (image->kernel_size < 0x1000 || memcmp(k + HEADER, "HdrS", 4) != 0 ||
        get_le(k + BOOT_FLAG, 2) != 0xaa55) {
        device_error(error, "%s: this is no Linux kernel for x86 (bzImage)", path);
        return -EINVAL;
    }
    if (get_le(k + VERSION, 2) < 0x206 || !(k[LOADFLAGS] & LOADED_HIGH)) {
        device_error(error, "%s: this kernel's boot protocol is too old", path);
        return -EINVAL;
    }
    image->setup_size = (k[SETUP_SECTS] ? k[SETUP_SECTS] + 1u : 5u) * 512;
    if (image->setup_size >= image->kernel_size) {
        device_error(error, "%s: the kernel's file is cut off", path);
        return -EINVAL;
    }
    return 0;
}

/* The highest page-aligned place for the initial RAM disk. */
static u64 initrd_address(const Pc *pc, const struct LinuxImage *image)
{
    u64 limit = MIN(get_le(image->kernel + INITRD_ADDR_MAX, 4) + 1, pc->low_size);

    return limit < image->initrd_size ? 0 : ALIGN_DOWN(limit - image->initrd_size, (u64)4096);
}

static int check_room(const Pc *pc, const struct LinuxImage *image, char **error)
{
    u64 need = image->kernel_size - image->setup_size;
    u64 top = image->initrd_size ? initrd_address(pc, image) : pc->low_size;

    if (get_le(image->kernel + VERSION, 2) >= 0x20a) {
        u64 start = MAX(get_le(image->kernel + PREF_ADDRESS, 8), (u64)KERNEL_AT);
        need = MAX(need, start - KERNEL_AT + get_le(image->kernel + INIT_SIZE, 4));
    }
    if (KERNEL_AT + need > top) {
        device_error(error, "kernel and initrd need more than the machine's %llu MiB of memory",
                     (unsigned long long)(pc->machine->ram->size >> 20));
        return -ENOMEM;
    }
    if (image->append && strlen(image->append) >= get_le(image->kernel + CMDLINE_SIZE, 4)) {
        device_error(error, "the kernel takes command lines of up to %llu characters",
                     (unsigned long long)get_le(image->kernel + CMDLINE_SIZE, 4) - 1);
        return -E2BIG;
    }
    return 0;
}

int pc_load_linux(Pc *pc, const MachineOptions *options, char **error)
{
    struct LinuxImage *image = calloc(1, sizeof *image);
    int result;

    if (!image) {
        abort();
    }
    pc->linux_image = image;
    image->append = options->append ? options->append : "";
    image->kernel = machine_read_file(options->kernel, &image->kernel_size, error);
    if (!image->kernel) {
        return -ENOENT;
    }
    result = check_kernel(image, options->kernel, error);
    if (result < 0) {
        return result;
    }
    if (options->initrd) {
        image->initrd = machine_read_file(options->initrd, &image->initrd_size, error);
        if (!image->initrd) {
            return -ENOENT;
        }
    }
    return check_room(pc, image, error);
}

void pc_free_linux(Pc *pc)
{
    if (pc->linux_image) {
        free(pc->linux_image->kernel);
        free(pc->linux_image->initrd);
        free(pc->linux_image);
        pc->linux_image = NULL;
    }
}

/* -- Starting */

/* A frame buffer that the kernel finds in screen_info (Linux's include/uapi/linux/screen_info.h).
 */
static void add_screen(Pc *pc, u8 *params)
{
    enum {
        WIDTH = 1024,
        HEIGHT = 768,
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
    u64 base = pc->vga ? vga_pci_set_mode(pc->vga, WIDTH, HEIGHT) : 0;

    if (base) {
        params[IS_VGA] = LINEAR;
        put_le(params + LFB_WIDTH, WIDTH, 2);
        put_le(params + LFB_HEIGHT, HEIGHT, 2);
        put_le(params + LFB_DEPTH, 32, 2);
        put_le(params + LFB_BASE, base, 4);
        put_le(params + LFB_SIZE, (4 * WIDTH * HEIGHT + 0xffff) >> 16, 4);
        put_le(params + LFB_LINE, 4 * WIDTH, 2);
        memcpy(params + COLORS, colors, sizeof colors);
    }
}

/* What firmware would have done: PCI devices and power management's registers in their place, ACPI
 * tables where systems look for them. The firmware's memory is free for them. */
static void stand_in_for_firmware(Pc *pc)
{
    enum { AREA = 0xe0000, AREA_SIZE = 0x20000 };
    u8 *area = pc->bios->host + pc->bios->size - AREA_SIZE;

    pci_assign(pc->pci, MAX(pc->low_size, (u64)PC_LOW_LIMIT), PC_PCI_PORTS);
    piix4_pm_enable(pc->pm);
    pc_acpi_to_rom(pc, area, AREA_SIZE, AREA);
}

static void add_range(u8 *params, u64 start, u64 size, u32 type)
{
    u8 *entry = params + E820_TABLE + 20 * params[E820_ENTRIES]++;

    put_le(entry, start, 8);
    put_le(entry + 8, size, 8);
    put_le(entry + 16, type, 4);
}

static void fill_memory_map(const Pc *pc, u8 *params)
{
    u64 high = pc->machine->ram->size - pc->low_size;

    add_range(params, 0, 0x9fc00, E820_RAM);
    add_range(params, 0x9fc00, 0x400, E820_RESERVED);
    add_range(params, 0xe0000, 0x20000, E820_RESERVED);
    add_range(params, 0x100000, pc->low_size - 0x100000, E820_RAM);
    if (high) {
        add_range(params, 1ull << 32, high, E820_RAM);
    }
    put_le(params + ALT_MEM_K, (pc->low_size - 0x100000) >> 10, 4);
}

static void fill_params(const Pc *pc, const struct LinuxImage *image, u8 *params, u64 initrd)
{
    u32 header_end = JUMP + 2 + image->kernel[JUMP + 1];

    memset(params, 0, PARAMS_SIZE);
    memcpy(params + SETUP_SECTS, image->kernel + SETUP_SECTS, header_end - SETUP_SECTS);
    params[TYPE_OF_LOADER] = 0xff;
    params[LOADFLAGS] |= CAN_USE_HEAP;
    put_le(params + CODE32_START, KERNEL_AT, 4);
    put_le(params + HEAP_END, 0xe000, 2);
    put_le(params + COMMAND_LINE, COMMAND_LINE_AT, 4);
    put_le(params + RAMDISK_IMAGE, initrd, 4);
    put_le(params + RAMDISK_SIZE, image->initrd_size, 4);
    fill_memory_map(pc, params);
}

/* Flat 32-bit protected mode, as "32-bit boot protocol" demands: __BOOT_CS is selector 0x10,
 * __BOOT_DS 0x18. */
static void set_cpu(Pc *pc)
{
    static const u64 gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    X86State *state = vcpu_state(pc->machine->processors[0].vcpu);

    memcpy(pc->machine->ram->host + GDT_AT, gdt, sizeof gdt);
    state->gdt_base = GDT_AT;
    state->gdt_limit = sizeof gdt - 1;
    state->cr[0] |= 1;
    for (unsigned segment = X86_ES; segment <= X86_GS; segment++) {
        bool code = segment == X86_CS;
        x86_set_segment(state, segment, code ? 0x10 : 0x18, gdt[code ? 2 : 3]);
    }
    state->gpr[X86_RSI] = PARAMS_AT;
    state->gpr[X86_RSP] = PARAMS_AT;
    state->rip = KERNEL_AT;
}

void pc_start_linux(Pc *pc)
{
    const struct LinuxImage *image = pc->linux_image;
    u8 *ram = pc->machine->ram->host;
    u64 initrd = image->initrd_size ? initrd_address(pc, image) : 0;

    memcpy(ram + KERNEL_AT, image->kernel + image->setup_size,
           image->kernel_size - image->setup_size);
    if (image->initrd_size) {
        memcpy(ram + initrd, image->initrd, image->initrd_size);
    }
    stand_in_for_firmware(pc);
    fill_params(pc, image, ram + PARAMS_AT, initrd);
    add_screen(pc, ram + PARAMS_AT);
    strcpy((char *)ram + COMMAND_LINE_AT, image->append);
    engine_ram_written(pc->machine->engine, ram, pc->low_size);
    set_cpu(pc);
}
