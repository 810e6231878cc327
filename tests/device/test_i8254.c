/* 8254: every mode's output and counts, BCD, latches and read-back, GATE through port 0x61, the
 * interrupt. */
#include "device/timer/i8254.h"
#include "tests/device/bare.h"

static Bare bare;
static void *pit, *speaker;
static u64 base; /* ticks at the last restart */

static u64 tick(void)
{
    return scale_u64(clock_now(bare.board.clock), 1193182, NANOSECONDS);
}

/* Waits until `ticks` have passed since restart(). */
static void at(u64 ticks)
{
    u64 due = ((base + ticks) * (u128)NANOSECONDS + 1193181) / 1193182;

    bare_wait(&bare, due - clock_now(bare.board.clock));
}

/* Programs a counter, whose count is loaded at tick 0 then. */
static void program(unsigned counter, unsigned mode, u16 count)
{
    bare_out(&bare, 0x43, counter << 6 | 0x30 | mode);
    bare_out(&bare, 0x40 + counter, count & 0xff);
    bare_out(&bare, 0x40 + counter, count >> 8);
    base = tick() + 1;
    bare.wires[0].rises = 0;
}

static unsigned count_of(unsigned counter)
{
    bare_out(&bare, 0x43, counter << 6);
    unsigned low = bare_in(&bare, 0x40 + counter);
    return low | bare_in(&bare, 0x40 + counter) << 8;
}

static bool out2(void)
{
    return bare_in(&bare, 0x61) & 0x20;
}

static void gate2(bool level)
{
    bare_out(&bare, 0x61, level);
}

static void test_mode0(void)
{
    gate2(true);
    program(2, 0, 100);
    OK(!out2(), "mode 0: low at first");
    at(40);
    OK(count_of(2) == 60, "counts down");
    at(99);
    OK(!out2() && count_of(2) == 1, "low until the end");
    at(100);
    OK(out2() && count_of(2) == 0, "high at zero");
    at(101);
    OK(out2() && count_of(2) == 0xffff, "and goes on from the top");
    program(2, 0, 100);
    at(30);
    gate2(false);
    at(1000);
    OK(!out2() && count_of(2) == 70, "GATE low holds it");
    gate2(true);
    base = tick() + 1;
    at(69);
    OK(!out2() && count_of(2) == 1, "and GATE high goes on");
    at(70);
    OK(out2(), "to the end");
    program(2, 0, 100);
    bare_out(&bare, 0x42, 0x10);
    at(50);
    OK(!out2(), "the first byte of a new count stops it");
}

static void test_mode1(void)
{
    gate2(false);
    program(2, 2, 100);
    program(2, 1 << 1, 100);
    at(10);
    OK(out2(), "mode 1: high before the trigger");
    gate2(true);
    base = tick() + 1;
    at(99);
    OK(!out2() && count_of(2) == 1, "low for the count");
    at(100);
    OK(out2(), "then high");
    gate2(false);
    gate2(true);
    base = tick() + 1;
    at(50);
    gate2(false);
    gate2(true);
    at(120);
    OK(!out2(), "triggers again");
    at(151);
    OK(out2(), "for the whole count");
}

static void test_mode2(void)
{
    gate2(true);
    program(2, 2 << 1, 100);
    OK(out2(), "mode 2: high");
    at(98);
    OK(out2() && count_of(2) == 2, "until the last clock");
    at(99);
    OK(!out2() && count_of(2) == 1, "low for it");
    at(100);
    OK(out2() && count_of(2) == 100, "and again from the count");
    bare_out(&bare, 0x42, 50);
    bare_out(&bare, 0x42, 0);
    at(180);
    OK(count_of(2) == 20, "a new count waits");
    at(200);
    OK(count_of(2) == 50, "for the period's end");
    at(249);
    OK(!out2(), "and is the next period");
    at(260);
    gate2(false);
    OK(out2(), "GATE low: high at once");
    gate2(true);
    base = tick() + 1;
    at(10);
    OK(count_of(2) == 40, "GATE high: from the count");
}

static void test_mode3(void)
{
    gate2(true);
    program(2, 3 << 1, 100);
    at(10);
    OK(out2() && count_of(2) == 80, "mode 3: counts by two");
    at(50);
    OK(!out2() && count_of(2) == 100, "low half");
    at(100);
    OK(out2() && count_of(2) == 100, "next period");
    bare_out(&bare, 0x42, 20);
    bare_out(&bare, 0x42, 0);
    at(149);
    OK(out2(), "a new count waits for the half");
    at(150);
    OK(!out2(), "which ends");
    at(160);
    OK(out2(), "and the next is of the new length");
    OK(i8254_tone(pit) == 1193182 / 20, "the tone");
    program(2, 3 << 1, 5);
    at(2);
    OK(out2() && count_of(2) == 0, "odd: high for one clock more");
    at(3);
    OK(!out2() && count_of(2) == 4, "then low");
    at(5);
    OK(out2(), "in all the count");
    program(2, 3 << 1, 0);
    at(32768);
    OK(!out2() && i8254_tone(pit) == 18, "zero is 65536");
}

static void test_strobes(void)
{
    gate2(true);
    program(2, 4 << 1, 100);
    at(99);
    OK(out2(), "mode 4: high");
    at(100);
    OK(!out2(), "low for one clock at zero");
    at(101);
    OK(out2() && count_of(2) == 0xffff, "once");
    gate2(false);
    program(2, 5 << 1, 100);
    at(200);
    OK(out2(), "mode 5: nothing before the trigger");
    gate2(true);
    base = tick() + 1;
    at(100);
    OK(!out2(), "low for one clock after it");
    at(101);
    OK(out2(), "once");
}

static void test_reading(void)
{
    gate2(true);
    bare_out(&bare, 0x43, 0xb1);
    bare_out(&bare, 0x42, 0x34);
    bare_out(&bare, 0x42, 0x12);
    base = tick() + 1;
    at(35);
    OK(count_of(2) == 0x1199, "BCD counts in tens");
    bare_out(&bare, 0x43, 0x80);
    at(100);
    bare_out(&bare, 0x43, 0x80);
    OK(bare_in(&bare, 0x42) == 0x99 && bare_in(&bare, 0x42) == 0x11, "the first latch counts");
    OK(bare_in(&bare, 0x42) == 0x34 && bare_in(&bare, 0x42) == 0x11, "then the counter is read");
    bare_out(&bare, 0x43, 0xe8);
    OK(bare_in(&bare, 0x42) == 0x31, "read-back: status");
    bare_out(&bare, 0x43, 0x98);
    bare_out(&bare, 0x42, 7);
    bare_out(&bare, 0x43, 0xe8);
    OK(bare_in(&bare, 0x42) == (0x80 | 0x40 | 0x18), "OUT and null count in it");
    at(105);
    bare_out(&bare, 0x43, 0xc8);
    OK((bare_in(&bare, 0x42) & 0x40) == 0, "loaded");
    OK(bare_in(&bare, 0x42) == 3, "status and count, the latter latched: low byte only");
    bare_out(&bare, 0x43, 0xa8);
    bare_out(&bare, 0x42, 2);
    OK(bare_in(&bare, 0x42) == 2, "high byte only");
}

static void test_interrupt(void)
{
    program(0, 2 << 1, 11932);
    for (int i = 1; i <= 100; i++) {
        at(i * 11932ull);
    }
    OK(bare.wires[0].rises == 100, "mode 2: 100 interrupts in a second");
    bare_wait(&bare, 5000000);
    OK(bare.wires[0].rises == 100, "not before their time");
    program(0, 3 << 1, 0);
    at(65536);
    at(65536 * 2);
    OK(bare.wires[0].rises == 2, "mode 3: at the end of each period");
    program(0, 0, 1000);
    OK(!bare.wires[0].level, "mode 0: low");
    at(1000);
    OK(bare.wires[0].level && bare.wires[0].rises == 1, "high at the end");
    at(200000);
    OK(bare.wires[0].rises == 1, "once");
    program(0, 2 << 1, 1);
    at(1000);
    at(1001);
    OK(bare.wires[0].rises <= 45, "a mad rate is bounded");
    program(0, 2 << 1, 11932);
    clock_set(bare.board.clock, clock_now(bare.board.clock) + 55000000);
    OK(bare.wires[0].rises == 0, "the host was busy for 55 ms");
    bare_wait(&bare, 1000000);
    OK(bare.wires[0].rises == 5, "what was missed is made up for");
}

static void test_state(void)
{
    StateBuffer saved = {0}, again = {0};
    char *error = NULL;

    program(0, 2 << 1, 1000);
    program(2, 3 << 1, 1234);
    at(100);
    device_save(pit, &saved);
    device_reset(pit);
    OK(device_load(pit, &saved, &error) == 0, "loads what it saved");
    OK(count_of(2) == 1034, "and counts on");
    at(1000);
    OK(bare.wires[0].rises == 1, "and interrupts");
    device_save(pit, &again);
    OK(again.size == saved.size, "saves as much");
    state_buffer_free(&saved);
    state_buffer_free(&again);
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    pit = bare_device(&bare, &device_isa_pit);
    device_connect(pit, "irq", 0, bare_wire, &bare, 0);
    speaker = device_new(&device_isa_pcspk, &bare.board, NULL);
    device_set_backend(speaker, "pit", pit, &error);
    device_start(speaker, &error);
    device_reset(speaker);
    test_mode0();
    test_mode1();
    test_mode2();
    test_mode3();
    test_strobes();
    test_reading();
    test_interrupt();
    test_state();
    device_free(speaker);
    device_free(pit);
    bare_stop(&bare);
    return tap_done();
}
