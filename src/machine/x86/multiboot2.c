/* Multiboot 2 kernels (specification 2.0): a header of tags within the first 32 KiB, and either an
 * ELF file or, with an address tag, one flat piece. They start as i386 ones in 32-bit mode; EBX
 * has the address of the information, a list of tags, EAX a magic number. There is no EFI, no
 * frame buffer and no copy of the RSDP, which kernels find where a BIOS has it. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "machine/x86/loader.h"

enum {
    HEADER_MAGIC = 0xe85250d6,
    LOADER_MAGIC = 0x36d76289,
    SEARCH = 32768,
    HEADER_SIZE = 16,
    TAG_OPTIONAL = 1,
    /* Tags of the header. */
    WANT_END = 0,
    WANT_INFORMATION = 1,
    WANT_ADDRESS = 2,
    WANT_ENTRY = 3,
    WANT_CONSOLE = 4,
    WANT_FRAME_BUFFER = 5,
    WANT_ALIGNED_MODULES = 6,
    /* Tags of the information. */
    INFO_END = 0,
    INFO_COMMAND_LINE = 1,
    INFO_LOADER = 2,
    INFO_MODULE = 3,
    INFO_MEMORY = 4,
    INFO_MAP = 6,
    TAG = 8, /* bytes of type and size */
    RANGE_SIZE = 24,
};

typedef struct Wishes {
    const u8 *address; /* the address tag's contents; NULL: an ELF file */
    bool has_entry;
    u32 entry;
} Wishes;

/* NULL if there is none, or its tags are not in the file. */
static const u8 *find_header(const X86Kernel *kernel)
{
    size_t end = MIN(kernel->size, (size_t)SEARCH);

    for (size_t at = 0; at + HEADER_SIZE <= end; at += 8) {
        const u8 *h = kernel->file + at;
        u64 sum = get_le(h, 4) + get_le(h + 4, 4) + get_le(h + 8, 4) + get_le(h + 12, 4);
        if (get_le(h, 4) == HEADER_MAGIC && !(sum & 0xffffffff)) {
            return get_le(h + 8, 4) <= end - at ? h : NULL;
        }
    }
    return NULL;
}

static bool recognize(const X86Kernel *kernel)
{
    return find_header(kernel) != NULL;
}

/* What one tag wants; false when that is not to be had. */
static bool read_tag(Wishes *wishes, u32 type, const u8 *tag, u32 size)
{
    switch (type) {
    case WANT_ADDRESS:
        wishes->address = size >= 24 ? tag + TAG : NULL;
        return size >= 24;
    case WANT_ENTRY:
        wishes->has_entry = size >= 12;
        wishes->entry = size >= 12 ? (u32)get_le(tag + TAG, 4) : 0;
        return size >= 12;
    case WANT_INFORMATION: /* it gets what there is */
    case WANT_CONSOLE:
    case WANT_FRAME_BUFFER:
    case WANT_ALIGNED_MODULES:
        return true;
    default:
        return false;
    }
}

static int read_header(const X86Kernel *kernel, Wishes *wishes, char **error)
{
    const u8 *h = find_header(kernel);
    u32 length = (u32)get_le(h + 8, 4), at = HEADER_SIZE;

    *wishes = (Wishes){0};
    while (at <= length && length - at >= TAG && get_le(h + at, 2) != WANT_END) {
        u32 type = (u32)get_le(h + at, 2), size = (u32)get_le(h + at + 4, 4);
        if (size < TAG || size > length - at) {
            device_error(error, "%s: its multiboot header is damaged", kernel->path);
            return -EINVAL;
        }
        if (!read_tag(wishes, type, h + at, size) && !(h[at + 2] & TAG_OPTIONAL)) {
            device_error(error, "%s: this multiboot kernel wants what is not known (tag %u)",
                         kernel->path, type);
            return -ENOTSUP;
        }
        at += ALIGN_UP(size, 8);
    }
    return 0;
}

/* header_addr, load_addr, load_end_addr, bss_end_addr. load_addr -1: from the file's start. */
static int load_flat(X86Kernel *kernel, const u8 *tag, char **error)
{
    u64 before = (u64)(find_header(kernel) - kernel->file);
    u64 header = get_le(tag, 4), start = get_le(tag + 4, 4), end = get_le(tag + 8, 4);
    u64 bss = get_le(tag + 12, 4), from;

    start = start == 0xffffffff ? header - before : start;
    from = before - (header - start); /* in the file */
    if (start > header || from > before) {
        device_error(error, "%s: its multiboot header contradicts itself", kernel->path);
        return -EINVAL;
    }
    end = end ? end : start + kernel->size - from;
    if (end < start || end - start > kernel->size - from) {
        device_error(error, "%s: the kernel's file is cut off", kernel->path);
        return -EINVAL;
    }
    return x86_add_piece(kernel, start, kernel->file + from, end - start, MAX(bss, end) - start,
                         error);
}

static int load(X86Kernel *kernel, char **error)
{
    Wishes wishes;
    u64 entry = 0;
    int result = read_header(kernel, &wishes, error);

    if (result < 0) {
        return result;
    }
    if (wishes.address ? !wishes.has_entry : !x86_is_elf(kernel)) {
        device_error(error, "%s: this multiboot kernel does not say where it belongs",
                     kernel->path);
        return -EINVAL;
    }
    result = wishes.address ? load_flat(kernel, wishes.address, error)
                            : x86_load_elf(kernel, &entry, error);
    kernel->eip = wishes.has_entry ? wishes.entry : (u32)entry;
    return result;
}

/* -- The information */

/* A tag's contents, of `size` bytes. */
static u8 *add_tag(X86Kernel *kernel, u32 type, u32 size)
{
    u32 address;
    u8 *tag = x86_add_data(kernel, TAG + size, 8, &address);

    put_le(tag, type, 4);
    put_le(tag + 4, TAG + size, 4);
    return tag + TAG;
}

static void add_memory(X86Kernel *kernel)
{
    u8 *memory = add_tag(kernel, INFO_MEMORY, 8);
    u8 *map = add_tag(kernel, INFO_MAP, 8 + kernel->map.count * RANGE_SIZE);

    put_le(memory, kernel->map.ranges[0].size >> 10, 4);
    put_le(memory + 4, (kernel->map.low_size - X86_KERNEL_HIGH) >> 10, 4);
    put_le(map, RANGE_SIZE, 4);
    for (u32 i = 0; i < kernel->map.count; i++) {
        const X86MemoryRange *r = &kernel->map.ranges[i];
        u8 *at = map + 8 + i * RANGE_SIZE;
        put_le(at, r->start, 8);
        put_le(at + 8, r->size, 8);
        put_le(at + 16, r->type, 4);
    }
}

static void add_modules(X86Kernel *kernel)
{
    for (u32 i = 0; i < kernel->module_count; i++) {
        const X86Module *m = &kernel->modules[i];
        u8 *tag = add_tag(kernel, INFO_MODULE, 8 + (u32)strlen(m->text) + 1);
        put_le(tag, m->address, 4);
        put_le(tag + 4, m->address + m->size, 4);
        strcpy((char *)tag + 8, m->text);
    }
}

static void add_information(X86Kernel *kernel)
{
    u8 *info = x86_add_data(kernel, 8, 8, &kernel->ebx);

    strcpy((char *)add_tag(kernel, INFO_COMMAND_LINE, (u32)strlen(kernel->append) + 1),
           kernel->append);
    strcpy((char *)add_tag(kernel, INFO_LOADER, 7), "menura");
    add_memory(kernel);
    add_modules(kernel);
    add_tag(kernel, INFO_END, 0);
    put_le(info, kernel->data_at + kernel->data_used - kernel->ebx, 4);
}

static int prepare(X86Kernel *kernel, char **error)
{
    u32 tags = 8 + kernel->module_count;
    u32 room = tags * 32 + X86_MEMORY_RANGES * RANGE_SIZE;
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

const X86KernelFormat x86_multiboot2 = {
    .recognize = recognize, .prepare = prepare, .many_modules = true};
