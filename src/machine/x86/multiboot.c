/* Multiboot kernels, version 1 of the specification (0.6.96): a header within the first 8 KiB, and
 * either an ELF file or, with addresses in the header, one flat piece. EBX has the address of the
 * information at the entry, EAX a magic number. There are no symbols and no VBE information. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "machine/x86/loader.h"

enum {
    HEADER_MAGIC = 0x1badb002,
    LOADER_MAGIC = 0x2badb002,
    SEARCH = 8192,
    FLAGS_UNDERSTOOD = 1 << 0 | 1 << 1 | 1 << 2, /* of those that must be: pages, memory, video */
    FLAGS_MUST = 0xffff,
    FLAG_ADDRESSES = 1 << 16,
    /* Offsets in the header. */
    HEADER_FLAGS = 4,
    HEADER_ADDRESS = 12,
    LOAD_START = 16,
    LOAD_END = 20,
    BSS_END = 24,
    ENTRY = 28,
    HEADER_SIZE = 32,
    /* The information. */
    INFO_SIZE = 120,
    INFO_MEMORY = 1 << 0,
    INFO_COMMAND_LINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MAP = 1 << 6,
    INFO_LOADER = 1 << 9,
    LOWER_KIB = 4,
    UPPER_KIB = 8,
    COMMAND_LINE = 16,
    MODULE_COUNT = 20,
    MODULES = 24,
    MAP_SIZE = 44,
    MAP = 48,
    LOADER_NAME = 64,
    MODULE_SIZE = 16,
    RANGE_SIZE = 24,
};

/* NULL if there is none. */
static const u8 *find_header(const X86Kernel *kernel)
{
    size_t end = MIN(kernel->size, (size_t)SEARCH);

    for (size_t at = 0; at + 12 <= end; at += 4) {
        const u8 *h = kernel->file + at;
        u64 magic = get_le(h, 4), flags = get_le(h + HEADER_FLAGS, 4);
        if (magic == HEADER_MAGIC && !((magic + flags + get_le(h + 8, 4)) & 0xffffffff)) {
            return h;
        }
    }
    return NULL;
}

static bool recognize(const X86Kernel *kernel)
{
    return find_header(kernel) != NULL;
}

/* A kernel that says itself where it goes: "a.out kludge". */
static int load_flat(X86Kernel *kernel, const u8 *header, char **error)
{
    u64 before = (u64)(header - kernel->file), file = kernel->size;
    u64 start, end, bss, skip;

    if (file - before < HEADER_SIZE) {
        device_error(error, "%s: the kernel's file is cut off", kernel->path);
        return -EINVAL;
    }
    start = get_le(header + LOAD_START, 4);
    end = get_le(header + LOAD_END, 4);
    bss = get_le(header + BSS_END, 4);
    skip = get_le(header + HEADER_ADDRESS, 4) - start; /* from there to the header */
    if (skip > before) {
        device_error(error, "%s: its multiboot header contradicts itself", kernel->path);
        return -EINVAL;
    }
    end = end ? end : start + file - (before - skip);
    if (end < start || end - start > file - (before - skip)) {
        device_error(error, "%s: the kernel's file is cut off", kernel->path);
        return -EINVAL;
    }
    kernel->eip = (u32)get_le(header + ENTRY, 4);
    return x86_add_piece(kernel, start, kernel->file + (before - skip), end - start,
                         MAX(bss, end) - start, error);
}

static int load(X86Kernel *kernel, char **error)
{
    const u8 *header = find_header(kernel);
    u64 flags = get_le(header + HEADER_FLAGS, 4), entry;
    int result;

    if (flags & FLAGS_MUST & ~FLAGS_UNDERSTOOD) {
        device_error(error, "%s: this multiboot kernel wants what is not known (flags %#llx)",
                     kernel->path, (unsigned long long)flags);
        return -ENOTSUP;
    }
    if (flags & FLAG_ADDRESSES) {
        return load_flat(kernel, header, error);
    }
    if (!x86_is_elf(kernel)) {
        device_error(error,
                     "%s: this multiboot kernel is no ELF file and does not say where it "
                     "belongs",
                     kernel->path);
        return -EINVAL;
    }
    result = x86_load_elf(kernel, &entry, error);
    kernel->eip = (u32)entry;
    return result;
}

static u32 add_map(X86Kernel *kernel)
{
    u32 address;
    u8 *at = x86_add_data(kernel, kernel->map.count * RANGE_SIZE, 4, &address);

    for (u32 i = 0; i < kernel->map.count; i++, at += RANGE_SIZE) {
        const X86MemoryRange *r = &kernel->map.ranges[i];
        put_le(at, RANGE_SIZE - 4, 4); /* what follows */
        put_le(at + 4, r->start, 8);
        put_le(at + 12, r->size, 8);
        put_le(at + 20, r->type, 4);
    }
    return address;
}

static u32 add_modules(X86Kernel *kernel)
{
    u32 address;
    u8 *at = x86_add_data(kernel, kernel->module_count * MODULE_SIZE, 4, &address);

    for (u32 i = 0; i < kernel->module_count; i++, at += MODULE_SIZE) {
        const X86Module *m = &kernel->modules[i];
        put_le(at, m->address, 4);
        put_le(at + 4, m->address + m->size, 4);
        put_le(at + 8, x86_add_string(kernel, m->text), 4);
    }
    return address;
}

static void add_information(X86Kernel *kernel)
{
    const X86MemoryRange *first = &kernel->map.ranges[0];
    u8 *info = x86_add_data(kernel, INFO_SIZE, 4, &kernel->ebx);

    put_le(info, INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP | INFO_LOADER, 4);
    put_le(info + LOWER_KIB, first->size >> 10, 4);
    put_le(info + UPPER_KIB, (kernel->map.low_size - X86_KERNEL_HIGH) >> 10, 4);
    put_le(info + COMMAND_LINE, x86_add_words(kernel, kernel->path, kernel->append), 4);
    put_le(info + MODULE_COUNT, kernel->module_count, 4);
    put_le(info + MODULES, add_modules(kernel), 4);
    put_le(info + MAP_SIZE, kernel->map.count * RANGE_SIZE, 4);
    put_le(info + MAP, add_map(kernel), 4);
    put_le(info + LOADER_NAME, x86_add_string(kernel, "menura"), 4);
}

static int prepare(X86Kernel *kernel, char **error)
{
    u32 room = INFO_SIZE + X86_MEMORY_RANGES * RANGE_SIZE + X86_KERNEL_MODULES * MODULE_SIZE;
    int result = load(kernel, error);

    if (result == 0) {
        result = x86_place_modules_and_data(kernel, room, error);
    }
    if (result == 0) {
        add_information(kernel);
        kernel->eax = LOADER_MAGIC;
    }
    return result;
}

const X86KernelFormat x86_multiboot = {
    .recognize = recognize, .prepare = prepare, .many_modules = true};
