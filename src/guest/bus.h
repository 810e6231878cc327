/* What a system-mode guest CPU sees behind its pins: physical memory, devices, interrupts.
 *
 * Who builds the machine fills one GuestBus a vCPU and hands it over with vcpu_set_bus(), which
 * fills the last part and puts functions of the engine in the place of the others, so that they
 * stand between the guest and the board. Page-table walks, the soft MMU's slow path and helpers for
 * privileged instructions call them on the vCPU's thread. User mode has none. Devices take the
 * machine lock themselves: nothing here is called with it held. ram() and dirty() must not wait for
 * a lock that anybody holds while calling the engine; the others may.
 * Must not know any guest or board. */
#ifndef GUEST_BUS_H
#define GUEST_BUS_H

#include "base/types.h"

typedef struct GuestBus {
    void *opaque;
    /* Host address of guest physical `address` if RAM (or, for reads, ROM) backs the `size` bytes
     * from there and they lie in one 4 KiB page; NULL for devices and holes. Pages of RAM are
     * aligned in the host's memory as well. The address stays valid until
     * the memory map changes (engine_map_changed()). write: the bytes are about to be written; the
     * page counts as dirty from now on. */
    u8 *(*ram)(void *opaque, u64 address, unsigned size, bool write);
    /* Whether stores to the RAM page of `address` need not be reported through ram(): it counts as
     * dirty already, or nobody asks. NULL: always. */
    bool (*dirty)(void *opaque, u64 address);
    /* Devices and holes: 1, 2, 4 or 8 bytes, as a little-endian number. */
    u64 (*read)(void *opaque, u64 address, unsigned size);
    void (*write)(void *opaque, u64 address, unsigned size, u64 value);
    /* x86's I/O ports: 1, 2 or 4 bytes. */
    u32 (*port_read)(void *opaque, u16 port, unsigned size);
    void (*port_write)(void *opaque, u16 port, unsigned size, u32 value);
    /* Model-specific registers of devices (the local APIC's base and x2APIC range): false when
     * there is no such register or the value is refused. */
    bool (*msr_read)(void *opaque, u32 index, u64 *value);
    bool (*msr_write)(void *opaque, u32 index, u64 value);
    /* The task priority register's class, 0..15 (CR8). */
    u8 (*priority_read)(void *opaque);
    void (*priority_write)(void *opaque, u8 priority);
    /* Lines that the CPU drives. x86: it enters or leaves system management mode, in which SMRAM is
     * there; an x87 exception that CR0.NE leaves to the interrupt controller (FERR#). May be NULL.
     */
    void (*set_smm)(void *opaque, bool on);
    void (*fp_error)(void *opaque);
    /* The CPU does nothing for so many nanoseconds, or until an interrupt line is up that is not
     * among `ignored` (CPU_LINE_*). May be NULL. */
    void (*rest)(void *opaque, u64 nanoseconds, u32 ignored);
    /* The machine's time in nanoseconds, which the CPU's own counters count by. NULL: the host's.
     */
    u64 (*time)(void *opaque);
    /* The CPU accepts the interrupt of CPU_LINE_IRQ: its vector; -1 if it has gone meanwhile. */
    int (*acknowledge)(void *opaque);

    /* The engine's; `state` is the guest's. Address translation changed: forget cached translations
     * of the page at `address`, or of all non-global (global: all) pages. On the vCPU's thread. */
    void (*flush_page)(void *state, u64 address);
    void (*flush)(void *state, bool global);
    /* Where in RAM the `size` bytes at a linear address are, which lie in one page, for an access
     * of that space (GuestSystem) by the CPU itself: as walk() says, but from what the soft MMU
     * remembers. 0 with *ram set, NULL if it is no RAM or a store there must be reported through
     * ram(); or the code word of an exception. */
    u64 (*find)(void *state, u64 address, unsigned size, u32 space, bool write, u8 **ram);
} GuestBus;

#endif
