/* PVH: ELF kernels with a Xen note that tells a 32-bit entry (Xen's docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h). EBX has the address of hvm_start_info there. */
#include <errno.h>

#include "base/bytes.h"
#include "machine/x86/loader.h"

enum {
    NOTE_PHYS32_ENTRY = 18,
    MAGIC = 0x336ec578,
    VERSION = 1,
    /* Offsets in hvm_start_info. */
    START_VERSION = 4,
    START_MODULE_COUNT = 12,
    START_MODULES = 16,
    START_COMMAND_LINE = 24,
    START_RSDP = 32,
    START_MAP = 40,
    START_MAP_COUNT = 48,
    START_SIZE = 56,
    MODULE_SIZE = 32,
    RANGE_SIZE = 24,
};

static bool recognize(const X86Kernel *kernel)
{
    u32 size;

    return x86_is_elf(kernel) && x86_find_note(kernel, "Xen", NOTE_PHYS32_ENTRY, &size);
}

static u32 add_map(X86Kernel *kernel)
{
    u32 address;
    u8 *at = x86_add_data(kernel, kernel->map.count * RANGE_SIZE, 8, &address);

    for (u32 i = 0; i < kernel->map.count; i++, at += RANGE_SIZE) {
        const X86MemoryRange *r = &kernel->map.ranges[i];
        put_le(at, r->start, 8);
        put_le(at + 8, r->size, 8);
        put_le(at + 16, r->type, 4);
    }
    return address;
}

static u32 add_modules(X86Kernel *kernel)
{
    u32 address;
    u8 *at = x86_add_data(kernel, kernel->module_count * MODULE_SIZE, 8, &address);

    for (u32 i = 0; i < kernel->module_count; i++, at += MODULE_SIZE) {
        const X86Module *m = &kernel->modules[i];
        put_le(at, m->address, 8);
        put_le(at + 8, m->size, 8);
    }
    return address;
}

static void add_start_info(X86Kernel *kernel)
{
    u8 *start = x86_add_data(kernel, START_SIZE, 8, &kernel->ebx);

    put_le(start, MAGIC, 4);
    put_le(start + START_VERSION, VERSION, 4);
    put_le(start + START_MODULE_COUNT, kernel->module_count, 4);
    put_le(start + START_MODULES, add_modules(kernel), 8);
    put_le(start + START_COMMAND_LINE, x86_add_string(kernel, kernel->append), 8);
    put_le(start + START_RSDP, kernel->rsdp, 8);
    put_le(start + START_MAP, add_map(kernel), 8);
    put_le(start + START_MAP_COUNT, kernel->map.count, 4);
}

static int prepare(X86Kernel *kernel, char **error)
{
    u32 size, room = START_SIZE + X86_MEMORY_RANGES * RANGE_SIZE;
    const u8 *note = x86_find_note(kernel, "Xen", NOTE_PHYS32_ENTRY, &size);
    u64 entry;
    int result = x86_load_elf(kernel, &entry, error);

    if (result < 0) {
        return result;
    }
    if (size != 4 && size != 8) {
        device_error(error, "%s: the note that tells its entry is not understood", kernel->path);
        return -EINVAL;
    }
    kernel->eip = (u32)get_le(note, 4);
    room += kernel->module_count * MODULE_SIZE;
    result = x86_place_modules_and_data(kernel, room, error);
    if (result == 0) {
        add_start_info(kernel);
    }
    return result;
}

const X86KernelFormat x86_pvh = {.recognize = recognize, .prepare = prepare};
