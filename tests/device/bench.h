/* A test bench for any device of device_defs: a bare machine (bare.h) with dummy back ends for the
 * device's properties, a PCI bus if it needs one, and its regions in the address spaces. What can
 * be accessed is whatever the device has placed there, found anew at each access.
 *
 * Everything depends only on the arguments, so that what happened once happens again. */
#ifndef TESTS_DEVICE_BENCH_H
#define TESTS_DEVICE_BENCH_H

#include "backend/char/char.h"
#include "backend/display/display.h"
#include "backend/input/input.h"
#include "backend/net/net.h"
#include "device/block/disk.h"
#include "device/interrupt/apic_bus.h"
#include "device/pci/pci.h"
#include "tests/device/bare.h"

enum { BENCH_DISK_SIZE = 1440 * 1024, BENCH_SLOT = 3 };

typedef struct Bench {
    Bare bare;
    void *device;
    void *partner; /* a device that it works with; NULL: none */
    PciBus *pci;   /* NULL: it sits on another bus */
    ApicBus apic_bus;
    CharPort *chardev;
    NetPort *netdev; /* its other end is the bench */
    Display *display;
    InputHub *input;
    int image; /* a memfd of zeroes */
    BlockNode *node;
    Disk *disk;        /* NULL: it needs none */
    Disk *medium;      /* the same image, in a drive that it may be taken out of */
    Device *drives[4]; /* plugged into the device */
    RamBlock *bios;    /* a host bridge's */
    Region front[2];   /* in front of a local APIC: its page, its model-specific registers */
} Bench;

/* The device is started, reset and placed; the clock stands at `now`. False with a line in *error:
 * it does not start; bench_stop() is to be called all the same. */
bool bench_start(Bench *bench, const DeviceDef *def, u64 now, char **error);
void bench_stop(Bench *bench);

/* Resets the device and its partner, as a machine does. */
void bench_reset(Bench *bench);
/* Places what a reset took out of the address spaces, as firmware does. */
void bench_place(Bench *bench);

/* The description without the memories in its states (STATE_RAM), which are large and outlive
 * resets: in place of the device's own while it is saved or loaded. What it owns is to be freed. */
DeviceDef bench_without_memory(const DeviceDef *def);
void bench_free_fields(const DeviceDef *part);

/* An access of 1, 2, 4 or 8 bytes to a region, or for a PCI function its configuration space;
 * target and offset may be any number. */
u64 bench_read(Bench *bench, u32 target, u64 offset, unsigned size);
void bench_write(Bench *bench, u32 target, u64 offset, unsigned size, u64 value);

/* Something happens outside: what, depends on `value`. Keys, bytes on the line, interrupt inputs,
 * another medium in the drive. */
void bench_outside(Bench *bench, u32 value);
/* What lasts of it ends: a reset does not change what is outside. */
void bench_calm(Bench *bench);

/* Time passes, and what the device has going with its back ends comes to an end. */
void bench_wait(Bench *bench, u64 nanoseconds);

#endif
