/* The PC's interrupt lines: sixteen of the ISA bus, each to the 8259s and the I/O APIC, and inputs
 * of the I/O APIC alone. */
#include "device/interrupt/i8259.h"
#include "machine/pc/pc.h"

enum { TIMER_LINE = 0, TIMER_PIN = 2 };

/* Says who holds a line up; whether its level has changed. */
static bool hold(u8 *sources, unsigned source, bool level)
{
    u8 old = *sources;

    *sources = (u8)(level ? old | 1u << source : old & ~(1u << source));
    return !old != !*sources;
}

static void set_pin(Pc *pc, unsigned pin, unsigned source, bool level)
{
    if (hold(&pc->pins[pin], source, level)) {
        ioapic_input(pc->x86.ioapic, pin, pc->pins[pin]);
    }
}

/* The timer is on pin 2 of the I/O APIC, whose pin 0 has the 8259s on real boards. */
static void set_line(Pc *pc, unsigned line, unsigned source, bool level)
{
    if (hold(&pc->lines[line], source, level)) {
        i8259_input(pc->x86.pic, line, pc->lines[line]);
        set_pin(pc, line == TIMER_LINE ? TIMER_PIN : line, PC_PIN_LINE, pc->lines[line]);
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

void pc_hpet_input(void *receiver, unsigned pin, bool level)
{
    set_pin(receiver, pin, PC_PIN_HPET, level);
}

void pc_test_input(void *receiver, unsigned pin, bool level)
{
    if (pin < PC_ISA_LINES) {
        set_line(receiver, pin, PC_LINE_TEST, level);
    } else {
        set_pin(receiver, pin, PC_PIN_TEST, level);
    }
}
