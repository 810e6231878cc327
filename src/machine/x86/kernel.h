/* Starting a kernel directly, without firmware: Linux (bzImage), PVH, multiboot 1 and 2.
 *
 *     kernel = x86_kernel_new(options, &map, rsdp, &error);      while the board builds
 *     x86_kernel_start(kernel, machine, &screen);                after each reset
 *
 * The board stands in for the firmware: before it starts the kernel it puts ACPI tables into
 * memory and PCI devices in their places.
 * Must not know any board. */
#ifndef MACHINE_X86_KERNEL_H
#define MACHINE_X86_KERNEL_H

#include "machine/machine.h"

/* What the guest is told of its memory. Types are those of the BIOS call E820, which all boot
 * protocols have. */
enum { X86_MEMORY_RAM = 1, X86_MEMORY_RESERVED = 2, X86_MEMORY_RANGES = 16 };

typedef struct X86MemoryRange {
    u64 start, size; /* bytes */
    u32 type;        /* X86_MEMORY_* */
} X86MemoryRange;

typedef struct X86MemoryMap {
    X86MemoryRange ranges[X86_MEMORY_RANGES]; /* rising, without overlaps */
    u32 count;
    u64 low_size; /* RAM below 4 GiB is [0, low_size), but for what a board puts over it */
} X86MemoryMap;

/* A frame buffer of 32-bit pixels, x8r8g8b8, rows without gaps; or a VGA's text. Linux is told. */
typedef struct X86Screen {
    bool text; /* 80 by 25 characters; nothing else counts then */
    u64 base;  /* 0: none */
    u32 width, height;
} X86Screen;

typedef struct X86Kernel X86Kernel;

/* The map of a PC without firmware: `size` bytes of RAM, `low_size` of them below 4 GiB. */
void x86_memory_map(X86MemoryMap *map, u64 low_size, u64 size);

/* Reads and checks options->kernel and ->initrd (of multiboot kernels a list "FILE
 * ARGUMENTS,FILE..." of modules), and finds places for all. rsdp: address of the ACPI tables'
 * root; 0 if the board has none. NULL with one line in *error (to be freed). */
X86Kernel *x86_kernel_new(const MachineOptions *options, const X86MemoryMap *map, u32 rsdp,
                          char **error);
void x86_kernel_free(X86Kernel *kernel);

/* Whether it is told of a frame buffer. Others expect a VGA that shows text. */
bool x86_kernel_takes_screen(const X86Kernel *kernel);

/* Puts everything into RAM and the first CPU, which was reset, at the kernel's entry. */
void x86_kernel_start(const X86Kernel *kernel, Machine *machine, const X86Screen *screen);

#endif
