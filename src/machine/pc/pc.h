/* What the files of the PC board share. */
#ifndef MACHINE_PC_PC_H
#define MACHINE_PC_PC_H

#include "device/block/floppy.h"
#include "device/interrupt/ioapic.h"
#include "device/pci/pci.h"
#include "machine/x86/board.h"
#include "machine/x86/kernel.h"
#include "machine/x86/smbios.h"

enum {
    PC_ISA_LINES = 16,
    PC_PCI_PORTS = 0xc000, /* first port for PCI devices without firmware */
    PC_HPET_ADDRESS = 0xfed00000u,
};

/* Who may drive an ISA line, and an input of the I/O APIC: it is up while one of them does. */
enum { PC_LINE_ISA, PC_LINE_PCI, PC_LINE_SCI, PC_LINE_TEST };
enum { PC_PIN_LINE, PC_PIN_HPET, PC_PIN_TEST };

/* The switches of A20. */
enum { PC_A20_PORT92, PC_A20_KEYBOARD };

typedef struct Pc {
    X86Board x86; /* first: see x86/board.h */
    Machine *machine;
    PciBus *pci;
    RamBlock *bios; /* the firmware, as it is seen below 4 GiB */
    RamBlock *rom;  /* the same, owned; NULL: a flash chip has it */
    Region bios_region;
    Device *bridge, *isa, *rtc, *dma, *floppy, *ide, *vga, *pm, *hpet, *fw_cfg;
    /* Places of drives that are taken, a bit each; how many there are of those without places. */
    u32 ide_places, sata_places, floppy_places, virtio_drives, other_drives;
    u8 a20;                 /* bit n: switch n has it up */
    u8 lines[PC_ISA_LINES]; /* bit n: PC_LINE_n holds it up */
    bool once_is_over;      /* options->boot_once does not count any more */
    u8 pins[IOAPIC_PINS];   /* likewise, PC_PIN_n */
    X86Kernel *kernel;      /* that is started directly; NULL: none */
    u32 facs;               /* its address, if so */
    Smbios smbios;
} Pc;

static inline Pc *pc_of(Machine *machine)
{
    return machine->board_data;
}

/* A device on the bridge's bus, started and in a slot (-1: any). */
void *pc_add_pci(Pc *pc, const DeviceDef *def, const char *id, int slot, unsigned function,
                 char **error);

/* -- interrupts.c */
/* ISA lines 0..15, as ISA devices, the bridge's PCI routing and power management drive them. */
void pc_isa_input(void *receiver, unsigned line, bool level);
void pc_pci_input(void *receiver, unsigned line, bool level);
void pc_sci_input(void *receiver, unsigned line, bool level);
/* Inputs of the I/O APIC: the HPET's, and those of test devices, which below 16 are ISA lines. */
void pc_hpet_input(void *receiver, unsigned pin, bool level);
void pc_test_input(void *receiver, unsigned pin, bool level);

/* -- firmware.c */
/* Loads the firmware's file, or makes the flash chips that have it. */
int pc_load_firmware(Pc *pc, const MachineOptions *options, char **error);
/* Tells the firmware about the machine. */
void pc_fill_fw_cfg(Pc *pc, const MachineOptions *options);
/* The order of letters, as in MachineOptions; NULL: the usual one. */
void pc_set_boot_order(Pc *pc, const char *order);

/* -- acpi.c */
/* Hands the tables to the firmware. */
void pc_acpi_to_firmware(Pc *pc);
/* Puts them, with the RSDP first, into `size` bytes of memory that the guest sees at `address`.
 * Returns the address of the FACS; 0 when they don't fit. */
u32 pc_acpi_to_memory(Pc *pc, u8 *memory, u32 size, u32 address);

/* -- drives.c */
/* Attaches the drives that were asked for. */
int pc_add_drives(Pc *pc, const MachineOptions *options, char **error);

/* -- kernel.c */
/* Reads and checks the kernel that is to be started directly. */
int pc_load_kernel(Pc *pc, const MachineOptions *options, char **error);
/* Does what firmware would have done, and starts it. */
void pc_start_kernel(Pc *pc);
/* The same after sleep: the kernel goes on. */
void pc_wake_kernel(Pc *pc);

#endif
