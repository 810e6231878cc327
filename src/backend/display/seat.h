/* A seat: what a user at a machine has of it. Whoever starts a machine fills one in for a front end
 * (terminal.h, window.h), which is thus told of everything and need not know what a machine is.
 *
 * All of it is used under the loop's lock. */
#ifndef BACKEND_DISPLAY_SEAT_H
#define BACKEND_DISPLAY_SEAT_H

#include <pthread.h>

#include "backend/char/char.h"
#include "backend/display/display.h"
#include "backend/input/input.h"

enum { SEAT_PORTS = 4 };

typedef enum SeatAction {
    SEAT_QUIT,         /* switch it off at once */
    SEAT_RESET,        /* press the reset button */
    SEAT_POWER_BUTTON, /* press that */
    SEAT_PAUSE,        /* pause it, or let it go on */
} SeatAction;

typedef struct Seat {
    const char *name;            /* of the machine; NULL: it has none */
    Loop *loop;                  /* the machine's main loop */
    pthread_mutex_t *lock;       /* its lock */
    Display *display;            /* NULL: there is no screen */
    InputHub *input;             /* keyboard and pointer */
    CharPort *ports[SEAT_PORTS]; /* serial ports that end here, of the kind "ring"; NULL: another
                                    place, or none */
    bool ports_first;            /* these say more than the screen */
    void *opaque;
    void (*act)(void *opaque, SeatAction action);
    /* Presses keys (Linux's codes) together, when those typed before are through. */
    void (*type)(void *opaque, const unsigned *codes, u32 count);
    bool (*is_running)(void *opaque);
} Seat;

#endif
