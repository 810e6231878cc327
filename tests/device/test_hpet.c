/* HPET: the counter, one-shot and periodic comparators, 32 and 64 bits, levels, messages, legacy
 * replacement. */
#include "device/interrupt/apic_bus.h"
#include "device/timer/hpet.h"
#include "tests/device/bare.h"

enum { CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0, TIMER = 0x100, COMPARATOR = 0x108 };
enum { MESSAGE = 0x110, PIN_WIRE = 0, LEGACY_WIRE = 1, RTC_WIRE = 2 };

static const u64 base = 0xfed00000;
static Bare bare;
static ApicBus bus;
static void *hpet;

static u64 get(unsigned offset)
{
    return map_read(&bare.board.dma, base + offset, 8, NULL);
}

static void set(unsigned offset, u64 value)
{
    map_write(&bare.board.dma, base + offset, 8, value, NULL);
}

/* Waits for so many ticks. */
static void ticks(u64 count)
{
    bare_wait(&bare, count * 10);
}

static void restart(void)
{
    device_reset(hpet);
    set(COUNTER, 0);
    set(CONFIG, 1);
    bare.wires[PIN_WIRE].rises = 0;
}

static void test_counter(void)
{
    OK(get(0) == 0x009896808086a201, "capabilities");
    restart();
    ticks(123456);
    OK(get(COUNTER) == 123456, "counts");
    OK(map_read(&bare.board.dma, base + COUNTER, 4, NULL) == 123456 &&
           map_read(&bare.board.dma, base + COUNTER + 4, 4, NULL) == 0,
       "in halves");
    set(CONFIG, 0);
    ticks(1000);
    OK(get(COUNTER) == 123456, "stands");
    map_write(&bare.board.dma, base + COUNTER + 4, 4, 1, NULL);
    OK(get(COUNTER) == 0x100000000 + 123456, "and is set");
    set(CONFIG, 1);
    ticks(4);
    OK(get(COUNTER) == 0x100000000 + 123460, "and goes on");
    OK(get(TIMER) == 0x400008030, "what a timer can");
}

static void test_one_shot(void)
{
    restart();
    set(TIMER, 2 << 9 | 4);
    set(COMPARATOR, 100000);
    ticks(90000);
    OK(!bare.wires[PIN_WIRE].rises, "not yet");
    ticks(10000);
    OK(bare.wires[PIN_WIRE].rises == 1 && !bare.wires[PIN_WIRE].level, "an edge");
    ticks(1000000);
    OK(bare.wires[PIN_WIRE].rises == 1, "once");
    set(COMPARATOR, get(COUNTER) - 5);
    ticks(1);
    OK(bare.wires[PIN_WIRE].rises == 2, "what has just passed comes at once");
    set(TIMER, 2 << 9 | 4 | 0x100);
    set(COUNTER, 0xffff0000);
    set(COMPARATOR, 0x1000);
    ticks(0x10000);
    OK(bare.wires[PIN_WIRE].rises == 2, "32 bits");
    ticks(0x1000);
    OK(bare.wires[PIN_WIRE].rises == 3, "wrap round");
}

static void test_periodic(void)
{
    restart();
    set(TIMER, 2 << 9 | 4 | 8 | 0x40);
    set(COMPARATOR, 50000);
    set(COMPARATOR, 100000);
    ticks(50000);
    OK(bare.wires[PIN_WIRE].rises == 1 && get(COMPARATOR) == 150000, "periodic: the first");
    for (int i = 0; i < 20; i++) {
        ticks(100000);
    }
    OK(bare.wires[PIN_WIRE].rises == 21 && get(COMPARATOR) == 2150000, "and all others");
    StateBuffer saved = {0};
    char *error = NULL;
    device_save(hpet, &saved);
    device_reset(hpet);
    ticks(100000);
    OK(bare.wires[PIN_WIRE].rises == 21, "a reset stops it");
    OK(device_load(hpet, &saved, &error) == 0, "loading");
    ticks(100000);
    OK(bare.wires[PIN_WIRE].rises == 23, "starts it again, with what was missed");
    state_buffer_free(&saved);
    set(TIMER, 2 << 9 | 4 | 8 | 0x40);
    set(COMPARATOR, get(COUNTER) + 10);
    set(COMPARATOR, 1);
    ticks(100);
    ticks(100);
    OK(bare.wires[PIN_WIRE].rises <= 24, "a mad rate is bounded");
}

static void test_levels(void)
{
    restart();
    set(TIMER, 2 << 9 | 4 | 2);
    set(COMPARATOR, 100);
    ticks(100);
    OK(bare.wires[PIN_WIRE].level && get(STATUS) == 1, "a level and its status");
    set(STATUS, 1);
    OK(!bare.wires[PIN_WIRE].level && get(STATUS) == 0, "until cleared");
    set(TIMER, 4 | 0x4000);
    set(MESSAGE, 0xfee0000000004045);
    set(COMPARATOR, get(COUNTER) + 100);
    ticks(100);
    OK(bare.wires[PIN_WIRE].rises == 1, "a message leaves the line alone");
}

static void test_legacy(void)
{
    restart();
    hpet_input(hpet, 0, true);
    OK(bare.wires[LEGACY_WIRE].level, "the interval timer's line goes through");
    set(CONFIG, 3);
    OK(!bare.wires[LEGACY_WIRE].level, "until it is replaced");
    hpet_input(hpet, 0, false);
    hpet_input(hpet, 0, true);
    OK(!bare.wires[LEGACY_WIRE].level, "then it is ignored");
    set(TIMER + 0x20, 4);
    set(COMPARATOR + 0x20, get(COUNTER) + 100);
    ticks(100);
    OK(bare.wires[RTC_WIRE].rises == 1, "timer 1 is the real-time clock's");
    set(CONFIG, 1);
    OK(bare.wires[LEGACY_WIRE].level, "back again");
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    hpet = device_new(&device_hpet, &bare.board, NULL);
    device_set_backend(hpet, "bus", &bus, &error);
    device_start(hpet, &error);
    device_connect(hpet, "irq", 2, bare_wire, &bare, PIN_WIRE);
    device_connect(hpet, "legacy", 0, bare_wire, &bare, LEGACY_WIRE);
    device_connect(hpet, "legacy", 1, bare_wire, &bare, RTC_WIRE);
    device_reset(hpet);
    device_map(hpet, 0, base);
    test_counter();
    test_one_shot();
    test_periodic();
    test_levels();
    test_legacy();
    device_free(hpet);
    bare_stop(&bare);
    return tap_done();
}
