/* What the files of the microvm board share. */
#ifndef MACHINE_MICROVM_MICROVM_H
#define MACHINE_MICROVM_MICROVM_H

#include "device/interrupt/ioapic.h"
#include "machine/x86/board.h"
#include "machine/x86/kernel.h"

/* Where things are. */
#define MICROVM_GED 0xfea00000u
#define MICROVM_VIRTIO 0xfeb00000u
enum {
    MICROVM_SLOTS = 24, /* of virtio devices */
    MICROVM_SLOT_SIZE = 0x200,
    MICROVM_TABLES = 0xe0000, /* the RSDP, then the other tables */
    MICROVM_TABLES_SIZE = 0x1f000,
};

/* Inputs of the I/O APIC. */
enum {
    MICROVM_LINE_TIMER = 2,
    MICROVM_LINE_CLOCK = 8,
    MICROVM_LINE_GED = 9,
    MICROVM_LINE_VIRTIO = 16, /* slots n, n + 8... share one */
    MICROVM_VIRTIO_LINES = 8,
};

typedef struct Microvm {
    X86Board x86; /* first: see x86/board.h */
    Machine *machine;
    Device *ged, *fw_cfg, *clock;
    Device *slots[MICROVM_SLOTS]; /* virtio devices; NULL: nothing there */
    u32 lines[IOAPIC_PINS];       /* bit n: source n holds it up */
    u32 drive_count;              /* that were given ids */
    X86Kernel *kernel;            /* or: */
    RamBlock *firmware;           /* a ROM that ends at 4 GiB; owned */
    Region firmware_region;
} Microvm;

static inline Microvm *microvm_of(Machine *machine)
{
    return machine->board_data;
}

static inline u64 microvm_slot_address(u32 slot)
{
    return MICROVM_VIRTIO + (u64)slot * MICROVM_SLOT_SIZE;
}

static inline u32 microvm_slot_line(u32 slot)
{
    return MICROVM_LINE_VIRTIO + slot % MICROVM_VIRTIO_LINES;
}

/* -- acpi.c */
/* Puts the tables into RAM at MICROVM_TABLES; false when they don't fit. */
bool microvm_write_acpi(Microvm *vm);
/* Or hands them to firmware. */
void microvm_acpi_to_firmware(Microvm *vm);

/* -- firmware.c */
/* Finds it and puts it below 4 GiB. */
int microvm_load_firmware(Microvm *vm, const MachineOptions *options, char **error);
/* All devices are there: what it reads of fw_cfg and the clock's memory. */
void microvm_tell_firmware(Microvm *vm, const MachineOptions *options);
/* After a reset: its copy below 1 MiB. */
void microvm_copy_firmware(Microvm *vm);

#endif
