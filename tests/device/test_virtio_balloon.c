/* The virtio balloon: pages that go back to the host, by number or as a report; the target;
 * statistics. */
#include <stdlib.h>
#include <sys/mman.h>

#include "device/virtio/balloon.h"
#include "tests/device/virtio_driver.h"

enum { INFLATE, DEFLATE, STATISTICS, REPORT, NUMBERS = 0x1000, PAGES = 0x40000, PAGE = 4096 };

#define STATS ((u64)1 << 1)
#define REPORTING ((u64)1 << 5)

static Bare bare;
static VirtioDriver driver;

/* Bytes that the host has for the memory. */
static u64 allocated(void)
{
    u64 pages = bare.ram->size / PAGE, count = 0;
    u8 *present = malloc(pages);

    if (present && mincore(bare.ram->host, bare.ram->size, present) == 0) {
        for (u64 i = 0; i < pages; i++) {
            count += present[i] & 1;
        }
    }
    free(present);
    return count * PAGE;
}

static void put_number(u32 index, u32 number)
{
    put_le(driver_memory(&driver, NUMBERS + 4 * index), number, 4);
}

static void test_inflate(void)
{
    driver_set_up(&driver, 0);
    memset(driver_memory(&driver, PAGES), 1, 16 * PAGE);
    for (u32 i = 0; i < 8; i++) {
        put_number(i, PAGES / PAGE + (i < 4 ? i : 2 * i)); /* a run of four, and four alone */
    }
    put_number(8, 0xffffffff);
    u64 before = allocated();
    OK(driver_do(&driver, INFLATE, (Piece[]){{NUMBERS, 36, false}}, 1) == 0 &&
           allocated() == before - 8 * PAGE,
       "eight pages go back to the host");
    OK(!*driver_memory(&driver, PAGES + 3 * PAGE) && *driver_memory(&driver, PAGES + 4 * PAGE) &&
           !*driver_memory(&driver, PAGES + 8 * PAGE),
       "they are the right ones, and read as zeroes");
    *driver_memory(&driver, PAGES) = 5;
    OK(driver_do(&driver, DEFLATE, (Piece[]){{NUMBERS, 4, false}}, 1) == 0 &&
           *driver_memory(&driver, PAGES) == 5,
       "one comes back by being used");
}

/* Chains that name pages over and over do not keep the device for ever. */
static void test_repetition(void)
{
    enum { MOST = 4096 };

    driver_set_up(&driver, 0);
    *driver_memory(&driver, PAGES) = *driver_memory(&driver, PAGES + PAGE) = 1;
    for (u32 i = 0; i <= MOST; i++) {
        put_number(i, PAGES / PAGE + i / MOST);
    }
    OK(driver_do(&driver, INFLATE, (Piece[]){{NUMBERS, 4 * (MOST + 1), false}}, 1) == 0 &&
           !*driver_memory(&driver, PAGES) && *driver_memory(&driver, PAGES + PAGE),
       "what a chain names behind the first 4096 pages stays");
}

static void test_target(void)
{
    driver_set_up(&driver, 0);
    driver_take_interrupt(&driver);
    balloon_set_target(driver.device, 64 << 20);
    OK(driver_config(&driver, 0, 4) == (64 << 20) / PAGE &&
           driver_take_interrupt(&driver) == VIRTIO_ISR_CONFIG,
       "a target is told");
    driver_set_config(&driver, 4, 4, 100);
    OK(balloon_size(driver.device) == 100 * PAGE && driver_config(&driver, 4, 4) == 100,
       "the driver tells how far it is");
    driver_set_config(&driver, 0, 4, 7);
    OK(driver_config(&driver, 0, 4) == (64 << 20) / PAGE, "but does not choose the target");
    device_reset(driver.device);
    OK(balloon_size(driver.device) == 0, "a reset empties the balloon");
    if (driver.pci) {
        driver_place_bars(&driver);
    }
    OK(driver_config(&driver, 0, 4) == (64 << 20) / PAGE, "and leaves the target");
}

static void test_statistics(void)
{
    u8 *at = driver_memory(&driver, NUMBERS);
    u64 value;
    u32 length;

    driver_set_up(&driver, STATS);
    put_le(at, 4, 2);
    put_le(at + 2, 123456789, 8);
    put_le(at + 10, 500, 2); /* a tag of later times */
    put_le(at + 20, 5, 2);
    put_le(at + 22, 1ull << 40, 8);
    OK(!balloon_statistic(driver.device, 4, &value), "at first nothing is known");
    OK(driver_do(&driver, STATISTICS, (Piece[]){{NUMBERS, 30, false}}, 1) < 0,
       "the driver's buffer is kept");
    OK(balloon_statistic(driver.device, 4, &value) && value == 123456789 &&
           balloon_statistic(driver.device, 5, &value) && value == 1ull << 40 &&
           !balloon_statistic(driver.device, 0, &value),
       "what it tells is known");
    balloon_ask_statistics(driver.device);
    OK(driver_used(&driver, STATISTICS, &length) >= 0 &&
           driver_take_interrupt(&driver) == VIRTIO_ISR_QUEUE,
       "and returned when others are wanted");
}

static void test_report(void)
{
    u16 queue = REPORT;

    OK(driver_set_up(&driver, STATS | REPORTING), "reporting is offered");
    memset(driver_memory(&driver, PAGES), 1, 16 * PAGE);
    u64 before = allocated();
    OK(driver_do(&driver, queue,
                 (Piece[]){{PAGES, 4 * PAGE, true}, {PAGES + 8 * PAGE + 100, 2 * PAGE, true}},
                 2) == 0 &&
           allocated() == before - 5 * PAGE && !*driver_memory(&driver, PAGES) &&
           *driver_memory(&driver, PAGES + 8 * PAGE + 200),
       "whole pages of what is free go back");
    driver_set_up(&driver, REPORTING);
    before = allocated();
    OK(driver_do(&driver, queue - 1, (Piece[]){{PAGES + 4 * PAGE, PAGE, true}}, 1) == 0 &&
           allocated() == before - PAGE,
       "without statistics the queue comes one earlier");
}

static void test_device(const DeviceDef *def, DriverForm form)
{
    char *error;
    void *device;

    bare_start(&bare);
    device = driver_new(&bare, def, form);
    device_set(device, "free-page-reporting", "on", &error);
    driver_start(&driver, &bare, device, form);
    test_inflate();
    test_repetition();
    test_target();
    test_statistics();
    test_report();
    driver_stop(&driver);
    bare_stop(&bare);
}

int main(void)
{
    for (DriverForm form = DRIVER_SPLIT; form < DRIVER_FORMS; form++) {
        test_device(&device_virtio_balloon_pci, form);
        test_device(&device_virtio_balloon_device, form);
    }
    return tap_done();
}
