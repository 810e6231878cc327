/* Starting a kernel directly: what all formats have in common. See kernel.h, loader.h. */
#include "machine/x86/kernel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/x86/state.h"
#include "machine/x86/loader.h"

enum {
    LOW_END = 0x9fc00, /* below it: RAM; above it: what firmware keeps to itself */
    ROM = 0xe0000,
    DATA_FROM = 0x10000, /* below: start-up code of other CPUs, and what kernels take for theirs */
};

void x86_memory_map(X86MemoryMap *map, u64 low_size, u64 size)
{
    *map = (X86MemoryMap){
        .ranges = {{0, LOW_END, X86_MEMORY_RAM},
                   {LOW_END, 0xa0000 - LOW_END, X86_MEMORY_RESERVED},
                   {ROM, X86_KERNEL_HIGH - ROM, X86_MEMORY_RESERVED},
                   {X86_KERNEL_HIGH, low_size - X86_KERNEL_HIGH, X86_MEMORY_RAM}},
        .count = 4,
        .low_size = low_size,
    };
    if (size > low_size) {
        map->ranges[map->count++] = (X86MemoryRange){1ull << 32, size - low_size, X86_MEMORY_RAM};
    }
}

/* -- Pieces */

static bool is_ram(const X86Kernel *kernel, u64 address, u64 size)
{
    const X86MemoryMap *map = &kernel->map;

    for (u32 i = 0; i < map->count; i++) {
        const X86MemoryRange *r = &map->ranges[i];
        u64 end = MIN(r->start + r->size, map->low_size);
        if (r->type == X86_MEMORY_RAM && address >= r->start && address <= end &&
            size <= end - address) {
            return true;
        }
    }
    return false;
}

int x86_add_piece(X86Kernel *kernel, u64 address, const u8 *bytes, u64 size, u64 memory,
                  char **error)
{
    if (!is_ram(kernel, address, memory)) {
        device_error(error, "%s: needs %llu KiB at %#llx, where the machine has no memory",
                     kernel->path, (unsigned long long)((memory + 1023) >> 10),
                     (unsigned long long)address);
        return -ENOMEM;
    }
    if (kernel->piece_count == X86_KERNEL_PIECES) {
        device_error(error, "%s: has more segments than any kernel", kernel->path);
        return -E2BIG;
    }
    kernel->pieces[kernel->piece_count++] = (X86Piece){address, size, memory, bytes};
    return 0;
}

/* A piece in [start, start + size); NULL if it is free. */
static const X86Piece *find_piece(const X86Kernel *kernel, u64 start, u64 size)
{
    for (u32 i = 0; i < kernel->piece_count; i++) {
        const X86Piece *p = &kernel->pieces[i];
        if (start < p->address + p->memory && p->address < start + size) {
            return p;
        }
    }
    return NULL;
}

/* The lowest or highest place in one range of RAM: goes on from each piece that is in the way. */
static u64 find_in_range(const X86Kernel *kernel, u64 size, u64 from, u64 to, bool highest)
{
    u64 page = X86_KERNEL_PAGE;

    from = ALIGN_UP(MAX(from, page), page);
    while (from < to && size <= to - from) {
        u64 at = highest ? ALIGN_DOWN(to - size, page) : from;
        const X86Piece *piece = at >= from ? find_piece(kernel, at, size) : NULL;
        if (at < from) {
            return 0;
        }
        if (!piece) {
            return at;
        }
        if (highest) {
            to = MAX(piece->address, from);
        } else {
            from = ALIGN_UP(piece->address + piece->memory, page);
        }
    }
    return 0;
}

u64 x86_find_room(const X86Kernel *kernel, u64 size, u64 from, u64 to, bool highest)
{
    const X86MemoryMap *map = &kernel->map;
    u64 best = 0;

    for (u32 i = 0; i < map->count; i++) {
        const X86MemoryRange *r = &map->ranges[i];
        u64 start = MAX(r->start, from), end = MIN(MIN(r->start + r->size, to), map->low_size);
        u64 at = r->type == X86_MEMORY_RAM ? find_in_range(kernel, size, start, end, highest) : 0;
        if (at && (!best || highest)) {
            best = at;
        }
    }
    return best;
}

static int place_modules(X86Kernel *kernel, char **error)
{
    for (u32 i = 0; i < kernel->module_count; i++) {
        X86Module *m = &kernel->modules[i];
        m->address = x86_find_room(kernel, m->size + 1, X86_KERNEL_HIGH, ~0ull, false);
        if (!m->address) {
            device_error(error, "%s: does not fit into the machine's memory", m->text);
            return -ENOMEM;
        }
        int result = x86_add_piece(kernel, m->address, m->bytes, m->size, m->size + 1, error);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* -- Data */

static size_t count_text(const X86Kernel *kernel)
{
    size_t size = strlen(kernel->path) + strlen(kernel->append) + 2;

    for (u32 i = 0; i < kernel->module_count; i++) {
        size += strlen(kernel->modules[i].text) + 1;
    }
    return size;
}

/* Flat segments of 4 GiB, and an empty task state segment. */
static void add_gdt(X86Kernel *kernel)
{
    static const u64 gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067};
    u8 *bytes = x86_add_data(kernel, sizeof gdt, 8, &kernel->gdt);

    memcpy(bytes, gdt, sizeof gdt);
}

int x86_place_data(X86Kernel *kernel, u32 room, char **error)
{
    size_t size = room + count_text(kernel) + 256;
    u64 at = x86_find_room(kernel, size, DATA_FROM, ~0ull, false);

    kernel->data = at ? calloc(1, size) : NULL;
    if (!kernel->data) {
        device_error(error, "%s: does not fit into the machine's memory", kernel->path);
        return -ENOMEM;
    }
    kernel->data_at = (u32)at;
    kernel->data_room = (u32)size;
    add_gdt(kernel);
    return x86_add_piece(kernel, at, kernel->data, size, size, error);
}

int x86_place_modules_and_data(X86Kernel *kernel, u32 room, char **error)
{
    int result = place_modules(kernel, error);

    return result == 0 ? x86_place_data(kernel, room, error) : result;
}

u8 *x86_add_data(X86Kernel *kernel, u32 size, u32 alignment, u32 *address)
{
    u32 at = ALIGN_UP(kernel->data_used, alignment);

    assert(at + size <= kernel->data_room && "the format asked for enough room");
    kernel->data_used = at + size;
    *address = kernel->data_at + at;
    return kernel->data + at;
}

u32 x86_add_string(X86Kernel *kernel, const char *text)
{
    u32 address;

    strcpy((char *)x86_add_data(kernel, (u32)strlen(text) + 1, 1, &address), text);
    return address;
}

u32 x86_add_words(X86Kernel *kernel, const char *first, const char *second)
{
    u32 address, length = (u32)strlen(first);
    char *text = (char *)x86_add_data(kernel, length + 1, 1, &address);

    memcpy(text, first, length);
    text[length] = ' ';
    x86_add_string(kernel, second);
    return address;
}

/* -- Reading */

static const X86KernelFormat *recognize(const X86Kernel *kernel)
{
    static const X86KernelFormat *const formats[] = {&x86_linux, &x86_multiboot, &x86_multiboot2,
                                                     &x86_pvh};

    for (size_t i = 0; i < COUNT(formats); i++) {
        if (formats[i]->recognize(kernel)) {
            return formats[i];
        }
    }
    return NULL;
}

int x86_kernel_prepare(X86Kernel *kernel, char **error)
{
    if (!kernel->format) {
        kernel->format = recognize(kernel);
    }
    if (!kernel->format) {
        device_error(error,
                     "%s: no kernel for x86 that can be started directly (Linux bzImage, "
                     "multiboot, PVH)",
                     kernel->path);
        return -EINVAL;
    }
    return kernel->format->prepare(kernel, error);
}

/* Takes `text`. Its first `name_length` characters are the file's name. */
static int read_module(X86Kernel *kernel, char *text, size_t name_length, char **error)
{
    X86Module *m = &kernel->modules[kernel->module_count];
    char *name;

    if (kernel->module_count == X86_KERNEL_MODULES) {
        device_error(error, "a kernel is given at most %d modules", X86_KERNEL_MODULES);
        free(text);
        return -E2BIG;
    }
    kernel->module_count++;
    m->text = text;
    name = strndup(text, name_length);
    m->bytes = machine_read_file(name, &m->size, error);
    free(name);
    return m->bytes ? 0 : -ENOENT;
}

/* "FILE ARGUMENTS,FILE ARGUMENTS": a comma twice is one of the text. */
static int read_list(X86Kernel *kernel, const char *list, char **error)
{
    int result = 0;

    while (*list && result == 0) {
        char *text = calloc(1, strlen(list) + 1), *to = text;
        while (*list && (*list != ',' || list[1] == ',')) {
            list += *list == ',';
            *to++ = *list++;
        }
        list += *list == ',';
        result = read_module(kernel, text, strcspn(text, " "), error);
    }
    return result;
}

static int read_files(X86Kernel *kernel, const char *initrd, char **error)
{
    kernel->file = machine_read_file(kernel->path, &kernel->size, error);
    if (!kernel->file) {
        return -ENOENT;
    }
    kernel->format = recognize(kernel);
    if (!kernel->format || !initrd) {
        return 0;
    }
    return kernel->format->many_modules
               ? read_list(kernel, initrd, error)
               : read_module(kernel, strdup(initrd), strlen(initrd), error);
}

X86Kernel *x86_kernel_new(const MachineOptions *options, const X86MemoryMap *map, u32 rsdp,
                          char **error)
{
    X86Kernel *kernel = calloc(1, sizeof *kernel);

    if (!kernel) {
        abort();
    }
    kernel->path = options->kernel;
    kernel->append = options->append ? options->append : "";
    kernel->map = *map;
    kernel->rsdp = rsdp;
    if (read_files(kernel, options->initrd, error) < 0 || x86_kernel_prepare(kernel, error) < 0) {
        x86_kernel_free(kernel);
        return NULL;
    }
    return kernel;
}

void x86_kernel_free(X86Kernel *kernel)
{
    if (!kernel) {
        return;
    }
    for (u32 i = 0; i < kernel->module_count; i++) {
        free(kernel->modules[i].bytes);
        free(kernel->modules[i].text);
    }
    free(kernel->data);
    free(kernel->file);
    free(kernel);
}

/* -- Starting */

void x86_kernel_copy(const X86Kernel *kernel, u8 *ram)
{
    for (u32 i = 0; i < kernel->piece_count; i++) {
        const X86Piece *p = &kernel->pieces[i];
        if (p->bytes) {
            memcpy(ram + p->address, p->bytes, p->size);
            memset(ram + p->address + p->size, 0, p->memory - p->size);
        }
    }
}

bool x86_kernel_takes_screen(const X86Kernel *kernel)
{
    return kernel->format->add_screen != NULL;
}

/* Flat 32-bit protected mode without paging and interrupts, which is what all protocols want. */
static void set_cpu(const X86Kernel *kernel, X86State *state)
{
    const u8 *gdt = kernel->data + (kernel->gdt - kernel->data_at);

    state->gdt_base = kernel->gdt;
    state->gdt_limit = 5 * 8 - 1;
    state->cr[0] |= 1;
    for (unsigned segment = X86_ES; segment <= X86_GS; segment++) {
        u16 selector = segment == X86_CS ? X86_KERNEL_CODE : X86_KERNEL_DATA;
        x86_set_segment(state, segment, selector, get_le(gdt + selector, 8));
    }
    x86_set_segment(state, X86_TR, 0x20, get_le(gdt + 0x20, 8));
    state->gpr[X86_RAX] = kernel->eax;
    state->gpr[X86_RBX] = kernel->ebx;
    state->gpr[X86_RSI] = kernel->esi;
    state->gpr[X86_RSP] = kernel->data_at;
    state->rip = kernel->eip;
}

void x86_kernel_start(const X86Kernel *kernel, Machine *machine, const X86Screen *screen)
{
    u8 *ram = machine->ram->host;

    x86_kernel_copy(kernel, ram);
    if (kernel->format->add_screen && (screen->base || screen->text)) {
        kernel->format->add_screen(kernel, ram, screen);
    }
    engine_ram_written(machine->engine, ram, kernel->map.low_size);
    set_cpu(kernel, vcpu_state(machine->processors[0].vcpu));
}
