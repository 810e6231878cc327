/* What the files that load kernels share: a kernel as a list of pieces of memory.
 *
 * A format's prepare() is given the kernel's file, which may be anything, and says with
 * x86_add_piece() what goes where; x86_find_room() finds places that are free of what was said
 * before. Nothing is written before x86_kernel_start(). */
#ifndef MACHINE_X86_LOADER_H
#define MACHINE_X86_LOADER_H

#include "machine/x86/kernel.h"

enum {
    X86_KERNEL_PIECES = 128,
    X86_KERNEL_MODULES = 32,
    X86_KERNEL_PAGE = 4096,
    X86_KERNEL_HIGH = 0x100000,
    X86_KERNEL_CODE = 0x10, /* selectors at the entry: Linux names these */
    X86_KERNEL_DATA = 0x18,
};

/* [address, address + memory) is in use: `bytes`, then zeroes. */
typedef struct X86Piece {
    u64 address, size, memory;
    const u8 *bytes; /* NULL: it is left as it is */
} X86Piece;

/* A file that the kernel is handed. */
typedef struct X86Module {
    u8 *bytes; /* owned */
    size_t size;
    char *text;  /* as it was asked for: file and arguments; owned */
    u64 address; /* once x86_place_modules_and_data() found it */
} X86Module;

typedef struct X86KernelFormat {
    bool (*recognize)(const X86Kernel *kernel);
    /* 0, or -errno with a line in *error. */
    int (*prepare)(X86Kernel *kernel, char **error);
    /* After everything was put into memory; may be NULL. ram: the guest's from address 0. */
    void (*add_screen)(const X86Kernel *kernel, u8 *ram, const X86Screen *screen);
    bool many_modules; /* --initrd is a list */
} X86KernelFormat;

extern const X86KernelFormat x86_linux, x86_pvh, x86_multiboot, x86_multiboot2;

struct X86Kernel {
    const X86KernelFormat *format;
    const char *path, *append; /* append is never NULL */
    u8 *file;                  /* owned */
    size_t size;
    X86Module modules[X86_KERNEL_MODULES];
    u32 module_count;
    X86MemoryMap map;
    u32 rsdp;
    X86Piece pieces[X86_KERNEL_PIECES];
    u32 piece_count;
    u8 *data; /* what the kernel is told about the machine, at data_at; owned */
    u32 data_at, data_used, data_room;
    u32 gdt;                /* its address */
    u32 eip, eax, ebx, esi; /* at the entry */
};

/* The kernel in file[0..size) (taken over) is recognized and prepared; modules are read already.
 * 0 or -errno with *error. */
int x86_kernel_prepare(X86Kernel *kernel, char **error);

/* Puts the pieces into the guest's low memory, of kernel->map.low_size bytes. */
void x86_kernel_copy(const X86Kernel *kernel, u8 *ram);

/* Fails where there is no RAM. */
int x86_add_piece(X86Kernel *kernel, u64 address, const u8 *bytes, u64 size, u64 memory,
                  char **error);
/* The lowest, or highest, page-aligned address in [from, to) with `size` bytes of RAM that no piece
 * uses; 0 if there is none. */
u64 x86_find_room(const X86Kernel *kernel, u64 size, u64 from, u64 to, bool highest);
/* Where the data will be that x86_add_data() adds, `room` bytes of it and the strings. */
int x86_place_data(X86Kernel *kernel, u32 room, char **error);
/* The same, after pieces of all modules, above the kernel. */
int x86_place_modules_and_data(X86Kernel *kernel, u32 room, char **error);
/* Zeroed memory of the data, aligned to `alignment`, and the guest's address of it. */
u8 *x86_add_data(X86Kernel *kernel, u32 size, u32 alignment, u32 *address);
/* The address of a copy. */
u32 x86_add_string(X86Kernel *kernel, const char *text);
/* The same of two with a blank between them. */
u32 x86_add_words(X86Kernel *kernel, const char *first, const char *second);

/* -- elf.c */

/* Whether it is an ELF file of an x86 CPU. */
bool x86_is_elf(const X86Kernel *kernel);
/* Pieces of its segments, at their physical addresses; *entry: the entry's. */
int x86_load_elf(X86Kernel *kernel, u64 *entry, char **error);
/* A note's contents and their size; NULL if it has none. */
const u8 *x86_find_note(const X86Kernel *kernel, const char *owner, u32 type, u32 *size);

#endif
