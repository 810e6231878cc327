/* The PC's interrupt lines: sixteen of the ISA bus, each to the 8259s and the I/O APIC. */
#include "device/interrupt/i8259.h"
#include "device/interrupt/ioapic.h"
#include "machine/pc/pc.h"

enum { TIMER_LINE = 0, TIMER_PIN = 2 };

/* The timer is on pin 2 of the I/O APIC, whose pin 0 has the 8259s on real boards. */
static void set_line(Pc *pc, unsigned line, unsigned source, bool level)
{
    u8 old = pc->lines[line];
    u8 now = (u8)(level ? old | 1u << source : old & ~(1u << source));

    pc->lines[line] = now;
    if (!old != !now) {
        i8259_input(pc->x86.pic, line, now != 0);
        ioapic_input(pc->x86.ioapic, line == TIMER_LINE ? TIMER_PIN : line, now != 0);
    }
}

void pc_isa_input(void *receiver, unsigned line, bool level)
{
    set_line(receiver, line, PC_LINE_ISA, level);
}

void pc_pci_input(void *receiver, unsigned line, bool level)
{
    set_line(receiver, line, PC_LINE_PCI, level);
}

void pc_sci_input(void *receiver, unsigned line, bool level)
{
    set_line(receiver, line, PC_LINE_SCI, level);
}
