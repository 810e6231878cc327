/* A machine with no CPU for tests of single devices: memory, ports, a clock that only the test
 * moves, and wires that remember their level.
 *
 *     Bare bare;
 *     bare_start(&bare);
 *     void *pic = bare_device(&bare, &device_i8259);
 *     bare_out(&bare, 0x20, 0x11);
 *     ...
 *     device_free(pic);
 *     bare_stop(&bare);
 */
#ifndef TESTS_DEVICE_BARE_H
#define TESTS_DEVICE_BARE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/devices.h"
#include "tests/tap.h"

typedef struct Wire {
    bool level;
    unsigned rises;
} Wire;

typedef struct Bare {
    Board board;
    MapReader ports;
    RamBlock *ram;
    Region ram_region;
    Wire wires[8];
    int events[8]; /* how often each of the BoardEvents came */
    int detail;    /* of the last one */
} Bare;

static inline void bare_event(Board *board, BoardEvent event, int detail)
{
    Bare *bare = board->opaque;

    bare->events[event]++;
    bare->detail = detail;
}

/* 2 MiB of RAM at 0. */
static inline void bare_start(Bare *bare)
{
    *bare = (Bare){0};
    bare->board.memory = space_new("memory", (u64)1 << 40);
    bare->board.ports = space_new("ports", 0x10000);
    bare->board.clock = clock_new();
    bare->board.loop = loop_new(NULL);
    bare->board.event = bare_event;
    bare->board.opaque = bare;
    bare->board.dma.space = bare->board.memory;
    bare->ports.space = bare->board.ports;
    bare->ram = ram_new("ram", 2 << 20);
    if (!bare->board.memory || !bare->board.ports || !bare->board.clock || !bare->ram) {
        abort();
    }
    bare->ram_region = (Region){.name = "ram", .size = bare->ram->size, .ram = bare->ram};
    space_add(bare->board.memory, &bare->ram_region, 0);
}

static inline void bare_stop(Bare *bare)
{
    map_reader_end(&bare->ports);
    map_reader_end(&bare->board.dma);
    space_free(bare->board.memory);
    space_free(bare->board.ports);
    ram_free(bare->ram);
    clock_free(bare->board.clock);
    loop_free(bare->board.loop);
}

/* A device with initial properties, started and reset. */
static inline void *bare_device(Bare *bare, const DeviceDef *def)
{
    void *device = device_new(def, &bare->board, NULL);
    char *error = NULL;

    if (device_start(device, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    device_reset(device);
    return device;
}

/* IrqInput: `receiver` is the Bare, `line` the wire. */
static inline void bare_wire(void *receiver, unsigned line, bool level)
{
    Wire *wire = &((Bare *)receiver)->wires[line];

    wire->rises += level && !wire->level;
    wire->level = level;
}

static inline u8 bare_in(Bare *bare, u16 port)
{
    return (u8)map_read(&bare->ports, port, 1, NULL);
}

static inline void bare_out(Bare *bare, u16 port, u8 value)
{
    map_write(&bare->ports, port, 1, value, NULL);
}

/* Time passes, and what is due on the way happens at its time. */
static inline void bare_wait(Bare *bare, u64 nanoseconds)
{
    clock_advance(bare->board.clock, clock_now(bare->board.clock) + nanoseconds);
}

#endif
