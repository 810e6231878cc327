/* 8259A pair: initialisation, priorities, cascade, end of interrupt in its variants, polling,
 * special modes, level-triggered lines. */
#include "device/interrupt/i8259.h"
#include "tests/device/bare.h"

static Bare bare;
static void *pic;

static void initialise(u8 master_icw4, u8 slave_icw4)
{
    device_reset(pic);
    bare_out(&bare, 0x20, 0x11);
    bare_out(&bare, 0xa0, 0x11);
    bare_out(&bare, 0x21, 0x08);
    bare_out(&bare, 0xa1, 0x70);
    bare_out(&bare, 0x21, 0x04);
    bare_out(&bare, 0xa1, 0x02);
    bare_out(&bare, 0x21, master_icw4);
    bare_out(&bare, 0xa1, slave_icw4);
}

static bool intr(void)
{
    return bare.wires[0].level;
}

static void pulse(unsigned line)
{
    i8259_input(pic, line, true);
    i8259_input(pic, line, false);
}

static void test_priorities(void)
{
    initialise(1, 1);
    OK(!intr(), "silent after initialisation");
    pulse(4);
    OK(intr(), "an edge requests");
    OK(bare_in(&bare, 0x20) == 0x10, "IRR shows it");
    OK(i8259_acknowledge(pic) == 0x0c && !intr(), "acknowledged with its vector");
    bare_out(&bare, 0x20, 0x0b);
    OK(bare_in(&bare, 0x20) == 0x10, "ISR shows it");
    bare_out(&bare, 0x20, 0x0a);
    OK(bare_in(&bare, 0x20) == 0, "IRR is empty again");
    pulse(5);
    OK(!intr(), "a lower priority waits");
    pulse(1);
    OK(intr() && i8259_acknowledge(pic) == 0x09, "a higher one interrupts");
    bare_out(&bare, 0x20, 0x20);
    OK(!intr(), "the end of the higher one leaves the other in service");
    bare_out(&bare, 0x20, 0x20);
    OK(intr() && i8259_acknowledge(pic) == 0x0d, "then the waiting one comes");
    bare_out(&bare, 0x20, 0x65);
    bare_out(&bare, 0x21, 0x08);
    pulse(3);
    OK(!intr(), "a masked line waits");
    OK(bare_in(&bare, 0x21) == 0x08, "the mask reads back");
    bare_out(&bare, 0x21, 0);
    OK(intr() && i8259_acknowledge(pic) == 0x0b, "until it is unmasked");
    bare_out(&bare, 0x20, 0x63);
    OK(i8259_acknowledge(pic) == 0x0f, "no request: spurious vector");
    bare_out(&bare, 0x20, 0x0b);
    OK(bare_in(&bare, 0x20) == 0, "which is not in service");
}

static void test_cascade(void)
{
    initialise(1, 1);
    pulse(12);
    OK(intr() && bare_in(&bare, 0x20) == 0x04, "the slave asks through line 2");
    OK(i8259_acknowledge(pic) == 0x74, "the slave's vector");
    pulse(8);
    OK(!intr(), "line 2 in service blocks the slave");
    bare_out(&bare, 0x20, 0x20);
    OK(intr(), "a higher line of the slave comes after the master's end of interrupt");
    OK(i8259_acknowledge(pic) == 0x70, "its vector");
    bare_out(&bare, 0xa0, 0x20);
    bare_out(&bare, 0x20, 0x20);
    bare_out(&bare, 0xa0, 0x20);
    OK(!intr(), "all ended");

    pulse(10);
    bare_out(&bare, 0xa1, 0xff);
    OK(!intr(), "what the slave takes back, the master forgets");
    bare_out(&bare, 0xa1, 0);
    OK(i8259_acknowledge(pic) == 0x72, "and remembers");

    initialise(0x11, 1);
    pulse(12);
    i8259_acknowledge(pic);
    pulse(8);
    OK(intr() && i8259_acknowledge(pic) == 0x70, "special fully nested: the slave nests");
}

static void test_modes(void)
{
    initialise(3, 1);
    pulse(3);
    OK(i8259_acknowledge(pic) == 0x0b, "automatic end of interrupt");
    pulse(4);
    OK(intr() && i8259_acknowledge(pic) == 0x0c, "blocks nothing");
    bare_out(&bare, 0x20, 0x80);
    pulse(4);
    i8259_acknowledge(pic);
    pulse(4);
    pulse(5);
    OK(i8259_acknowledge(pic) == 0x0d, "rotation with it: the last served comes last");

    initialise(1, 1);
    bare_out(&bare, 0x20, 0xc4);
    pulse(4);
    pulse(5);
    OK(i8259_acknowledge(pic) == 0x0d, "set priority: 4 is the lowest");
    bare_out(&bare, 0x20, 0xa0);
    OK(i8259_acknowledge(pic) == 0x0c, "rotated at the end: 4 before 5");
    bare_out(&bare, 0x20, 0xe4);
    pulse(5);
    OK(intr(), "rotated at a specific end: 5 is the highest");

    initialise(1, 1);
    pulse(1);
    i8259_acknowledge(pic);
    bare_out(&bare, 0x21, 0x02);
    bare_out(&bare, 0x20, 0x68);
    pulse(6);
    OK(intr() && i8259_acknowledge(pic) == 0x0e, "special mask: lower ones are let through");
    bare_out(&bare, 0x20, 0x48);
}

static void test_poll(void)
{
    initialise(1, 1);
    bare_out(&bare, 0x20, 0x0c);
    OK(bare_in(&bare, 0x20) == 0, "polled: nothing");
    pulse(6);
    bare_out(&bare, 0x20, 0x0c);
    OK(bare_in(&bare, 0x20) == 0x86 && !intr(), "polled: line 6, acknowledged");
    OK(bare_in(&bare, 0x20) == 0, "once");
}

static void test_levels(void)
{
    initialise(1, 1);
    bare_out(&bare, 0x4d0, 0xff);
    bare_out(&bare, 0x4d1, 0xff);
    OK(bare_in(&bare, 0x4d0) == 0xf8 && bare_in(&bare, 0x4d1) == 0xde, "lines that ELCR leaves");
    i8259_input(pic, 5, true);
    OK(intr() && i8259_acknowledge(pic) == 0x0d, "a level requests");
    bare_out(&bare, 0x20, 0x20);
    OK(intr(), "and again while it lasts");
    i8259_input(pic, 5, false);
    OK(!intr(), "and no longer");
    i8259_input(pic, 11, true);
    OK(i8259_acknowledge(pic) == 0x73, "on the slave");
    bare_out(&bare, 0xa0, 0x20);
    bare_out(&bare, 0x20, 0x20);
    OK(intr(), "too");
    device_reset(pic);
    initialise(1, 1);
    bare_out(&bare, 0x4d1, 0x08);
    OK(intr(), "a reset does not forget levels");
}

int main(void)
{
    bare_start(&bare);
    pic = bare_device(&bare, &device_i8259);
    device_connect(pic, "intr", 0, bare_wire, &bare, 0);
    test_priorities();
    test_cascade();
    test_modes();
    test_poll();
    test_levels();
    device_free(pic);
    bare_stop(&bare);
    return tap_done();
}
