/* Fuzz target: the loaders of kernels that are started directly. The input is a kernel's file; what
 * they accept is put into memory of the size that the loader was told of, and the entry state must
 * point into it. The first byte says how much memory and how many modules there are. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/x86/loader.h"

enum { MEMORY = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static u8 *copy(const void *bytes, size_t size)
{
    u8 *to = malloc(size + 1);

    require(to != NULL);
    memcpy(to, bytes, size);
    return to;
}

static void add_modules(X86Kernel *kernel, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        X86Module *m = &kernel->modules[kernel->module_count++];
        m->size = 5000 * i + 1;
        m->bytes = calloc(1, m->size + 1);
        m->text = strdup("module arguments");
        require(m->bytes && m->text);
    }
}

/* What a format promises of a kernel that it takes. */
static void check(const X86Kernel *kernel)
{
    for (u32 i = 0; i < kernel->piece_count; i++) {
        const X86Piece *p = &kernel->pieces[i];
        require(p->address + p->memory <= kernel->map.low_size && p->size <= p->memory);
    }
    /* Of several modules Linux takes the first, and is never given more. */
    for (u32 i = 0; i < (kernel->format == &x86_linux ? 1 : kernel->module_count); i++) {
        require(i == kernel->module_count || kernel->modules[i].address >= X86_KERNEL_HIGH);
    }
    require(kernel->data_used <= kernel->data_room);
    require(kernel->data_at + (u64)kernel->data_room <= kernel->map.low_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const X86Screen screen = {0xe0000000, 1024, 768};
    X86Kernel *kernel = calloc(1, sizeof *kernel);
    static u8 *ram;
    u8 first = size ? data[0] : 0;
    char *error = NULL;

    ram = ram ? ram : malloc(MEMORY);
    require(ram && kernel);
    if (size) {
        kernel->file = copy(data + 1, size - 1);
        kernel->size = size - 1;
        kernel->path = "kernel";
        kernel->append = "some words";
        x86_memory_map(&kernel->map, first & 1 ? MEMORY : 3 << 20, MEMORY);
        add_modules(kernel, first >> 1 & 3);
        if (x86_kernel_prepare(kernel, &error) == 0) {
            require(!error);
            check(kernel);
            x86_kernel_copy(kernel, ram);
            if (kernel->format->add_screen) {
                kernel->format->add_screen(kernel, ram, &screen);
            }
        } else {
            require(error && !strchr(error, '\n'));
        }
    }
    free(error);
    x86_kernel_free(kernel);
    return 0;
}
