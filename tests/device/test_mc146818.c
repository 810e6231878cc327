/* MC146818A: the time in every format, setting it, holding it, events polled and as interrupts,
 * memory over resets, saved state. */
#include "device/timer/mc146818.h"
#include "tests/device/bare.h"

static const u64 second = NANOSECONDS;
static Bare bare;
static void *rtc;

static u8 get(u8 index)
{
    bare_out(&bare, 0x70, index);
    return bare_in(&bare, 0x71);
}

static void set(u8 index, u8 value)
{
    bare_out(&bare, 0x70, index);
    bare_out(&bare, 0x71, value);
}

/* Whether the clock shows this: hours as stored. */
static bool shows(u8 year, u8 month, u8 day, u8 hours, u8 minutes, u8 seconds)
{
    return get(9) == year && get(8) == month && get(7) == day && get(4) == hours &&
           get(2) == minutes && get(0) == seconds;
}

static void set_time(u8 hours, u8 minutes, u8 seconds)
{
    set(4, hours);
    set(2, minutes);
    set(0, seconds);
}

static void test_time(void)
{
    OK(shows(0x20, 0x02, 0x29, 0x23, 0x59, 0x58) && get(0x32) == 0x20, "the time at power-on");
    OK(get(6) == 7, "a Saturday");
    OK(get(0x0d) == 0x80, "the battery is good");
    bare_wait(&bare, 2 * second);
    OK(shows(0x20, 0x03, 0x01, 0, 0, 0), "two seconds later it is March");
    OK(get(6) == 1, "and Sunday");
    bare_wait(&bare, second - 245000);
    OK(!(get(0x0a) & 0x80), "no update in progress");
    bare_wait(&bare, 100000);
    OK(get(0x0a) & 0x80, "just before the update there is");
    set(0x0b, 0x06);
    bare_wait(&bare, 12 * second);
    OK(shows(20, 3, 1, 0, 0, 12), "binary");
    set(0x0b, 0x00);
    OK(get(4) == 0x12, "midnight of 12 hours");
    set(4, 0x92);
    OK(get(4) == 0x92, "noon");
    set(0x0b, 0x02);
    OK(get(4) == 0x12, "is noon");
}

static void test_setting(void)
{
    set(0x0b, 0x82);
    set(9, 0x99);
    set(0x32, 0x19);
    set(8, 0x12);
    set(7, 0x31);
    set_time(0x23, 0x59, 0x59);
    bare_wait(&bare, 10 * second);
    OK(shows(0x99, 0x12, 0x31, 0x23, 0x59, 0x59), "SET holds the time");
    set(0x0b, 0x02);
    bare_wait(&bare, second);
    OK(shows(0x00, 0x01, 0x01, 0, 0, 0) && get(0x32) == 0x20, "then it goes on, to a new century");
    set(0x0a, 0x76);
    set_time(0x12, 0, 0);
    bare_wait(&bare, 10 * second);
    set(0x0a, 0x26);
    bare_wait(&bare, second / 2 - 1000);
    OK(get(0) == 0, "a divider that leaves reset");
    bare_wait(&bare, 2000);
    OK(get(0) == 1, "updates after half a second");
    set(6, 5);
    bare_wait(&bare, 86400 * second);
    OK(get(6) == 6, "the day of the week is the guest's own");
}

static void test_polled(void)
{
    get(0x0c);
    bare_wait(&bare, second);
    OK((get(0x0c) & 0x50) == 0x50, "flags are set without being enabled");
    OK(get(0x0c) == 0, "and cleared as they are read");
    OK(bare.wires[0].rises == 0, "without an interrupt");
}

static void test_interrupts(void)
{
    set(0x0a, 0x2f);
    set(0x0b, 0x42);
    get(0x0c);
    for (int i = 0; i < 8; i++) {
        bare_wait(&bare, second / 4);
        get(0x0c);
        bare_wait(&bare, second / 4);
        get(0x0c);
    }
    OK(bare.wires[0].rises == 8, "periodic: twice a second at rate 15");
    set(0x0b, 0x12);
    get(0x0c);
    bare_wait(&bare, second + 1000);
    OK(bare.wires[0].level && (get(0x0c) & 0x90) == 0x90, "update");
    OK(!bare.wires[0].level, "read, and low again");
    set_time(0x07, 0x29, 0x30);
    set(5, 0x07);
    set(3, 0x30);
    set(1, 0x00);
    set(0x0b, 0x22);
    get(0x0c);
    bare_wait(&bare, 29 * second);
    OK(!bare.wires[0].level, "the alarm is not before its time");
    bare_wait(&bare, second);
    OK(bare.wires[0].level && get(0x0c) & 0x20, "but then");
    bare_wait(&bare, 86399 * second);
    OK(!bare.wires[0].level, "again a day");
    bare_wait(&bare, second);
    OK(bare.wires[0].level && get(0x0c) & 0x20, "later");
    set(5, 0xff);
    set(3, 0xff);
    bare_wait(&bare, 60 * second);
    OK(bare.wires[0].level && get(0x0c) & 0x20, "or each minute");
    set(1, 0x77);
    bare_wait(&bare, 3600 * second);
    OK(!(get(0x0c) & 0x20), "or never");
}

static void test_memory(void)
{
    StateBuffer saved = {0};
    char *error = NULL;
    u8 now = get(2);

    mc146818_set(rtc, 0x38, 0x5a);
    set(0x7f, 0x12);
    bare_out(&bare, 0x72, 0xff);
    bare_out(&bare, 0x73, 0x34);
    device_save(rtc, &saved);
    set(2, 0x17);
    device_reset(rtc);
    OK(get(0x38) == 0x5a && mc146818_get(rtc, 0x7f) == 0x12 && mc146818_get(rtc, 0xff) == 0x34,
       "memory outlives a reset");
    OK(get(2) == 0x17, "and so does the time");
    OK(!(get(0x0b) & 0x70), "interrupts are off");
    OK(device_load(rtc, &saved, &error) == 0 && get(2) == now, "state is loaded");
    bare_out(&bare, 0x70, 0xb8);
    OK(bare_in(&bare, 0x71) == 0x5a, "the NMI's bit is no part of the index");
    state_buffer_free(&saved);
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    rtc = device_new(&device_mc146818rtc, &bare.board, NULL);
    OK(device_set(rtc, "base", "tomorrow", &error) == 0 && device_start(rtc, &error) < 0,
       "refused: %s", error);
    free(error);
    device_free(rtc);
    rtc = device_new(&device_mc146818rtc, &bare.board, NULL);
    device_set(rtc, "base", "2020-02-29T23:59:58", &error);
    device_start(rtc, &error);
    device_reset(rtc);
    device_connect(rtc, "irq", 0, bare_wire, &bare, 0);
    test_time();
    test_setting();
    test_polled();
    test_interrupts();
    test_memory();
    device_free(rtc);
    bare_stop(&bare);
    return tap_done();
}
