/* What boards of x86 CPUs have in common: RAM, the CPUs' model and start, local APICs, an I/O APIC.
 *
 * The struct that a board keeps at machine->board_data begins with an X86Board, whose `machine` it
 * sets. All functions are called while the board builds, under the machine lock, unless they say
 * otherwise. */
#ifndef MACHINE_X86_BOARD_H
#define MACHINE_X86_BOARD_H

#include "device/interrupt/apic_bus.h"
#include "guest/x86/cpuid.h"
#include "machine/acpi/tables.h"
#include "machine/machine.h"

/* RAM below 4 GiB ends here at most; behind it are devices. */
#define X86_LOW_LIMIT 0xc0000000u

typedef struct X86Board {
    Machine *machine;
    X86Cpu cpu;
    Region low, high; /* RAM below 4 GiB, and from there on */
    u64 low_size;     /* bytes of RAM below 4 GiB */
    ApicBus apic_bus;
    Device *ioapic;
    Device *pic; /* the 8259s; NULL: there are none */
} X86Board;

static inline X86Board *x86_board_of(Machine *machine)
{
    return machine->board_data;
}

/* Puts the machine's RAM at 0, and what does not fit below the limit at 4 GiB. */
void x86_map_ram(X86Board *board);

/* The model that the user asked for. */
int x86_choose_cpu(X86Board *board, const MachineOptions *options, char **error);
/* BoardDef.reset_cpu. */
void x86_reset_cpu(Machine *machine, u32 index);

/* Where firmware sends the first CPU after sleep: to the waking vector, in real mode (ACPI 6.4,
 * 16.3.3). Its registers are as after a reset. */
void x86_enter_waking_vector(Machine *machine, u32 vector);

/* Serial ports for what has something at the other end; port n's interrupt is line n of the input.
 */
int x86_add_serial_ports(X86Board *board, IrqInput *input, void *receiver, char **error);
/* The firmware's debug port, if it is wanted. */
int x86_add_debug_port(X86Board *board, char **error);

/* -- firmware.c */

/* Firmware is at the end of the first MiB as well, as much of it as fits into this. */
#define X86_LOW_ROM 0x20000u

/* A ROM with the file that the user named at its end, or the first of `places` (NULL-terminated)
 * that can be read. NULL with a line in *error; to be freed with ram_free(). */
RamBlock *x86_load_firmware(const MachineOptions *options, const char *const *places, char **error);

/* fw_cfg's items of the boot menu and what comes when nothing starts, of RAM, of ACPI tables. */
void x86_tell_boot(const MachineOptions *options, void *fw_cfg);
void x86_tell_memory(const X86Board *board, void *fw_cfg);
void x86_tell_acpi(const AcpiTables *tables, void *fw_cfg);

/* -- interrupts.c */

/* The I/O APIC, a local APIC for each CPU, and the CPUs' buses; with_pic: 8259s as well. */
int x86_add_interrupts(X86Board *board, bool with_pic, char **error);
/* After a reset of all devices. */
void x86_reset_interrupts(X86Board *board);
/* A message-signalled interrupt: a write to that address. Of an X86Board; at any time. */
void x86_message(void *opaque, u64 address, u32 data);

#endif
