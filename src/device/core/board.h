/* What a device may use of the machine that it is in.
 *
 * The machine lock: every function of a device is called with it held, on whichever thread, unless
 * its description says otherwise (lockless regions, I/O threads). Lock order, outermost first: the
 * machine lock; a device's own; the block layer's and back ends'; the engine's. */
#ifndef DEVICE_CORE_BOARD_H
#define DEVICE_CORE_BOARD_H

#include <pthread.h>

#include "base/loop.h"
#include "device/core/clock.h"
#include "device/core/memory.h"

typedef enum BoardEvent {
    BOARD_RESET,     /* somebody asked for a reset of the whole machine */
    BOARD_POWER_OFF, /* the guest switched the machine off */
    BOARD_SUSPEND,   /* the guest went to sleep (S3) */
    BOARD_WAKE,      /* and something woke it */
    BOARD_EXIT,      /* a test device ends the machine with an exit status */
    BOARD_PANIC,     /* the guest says that it crashed */
    BOARD_WATCHDOG,  /* a watchdog ran out */
} BoardEvent;

typedef struct Board {
    AddressSpace *memory;
    AddressSpace *ports; /* x86's I/O space; NULL on boards without */
    Clock *clock;
    Loop *loop; /* the main loop; its functions run under the machine lock */
    pthread_mutex_t *lock;
    MapReader dma; /* for DMA under the machine lock */
    /* What happens takes effect soon, not within the call. */
    void (*event)(struct Board *board, BoardEvent event, int detail);
    void *opaque; /* the machine */
} Board;

#endif
