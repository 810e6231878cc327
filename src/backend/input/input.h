/* Input: from whoever has a keyboard and a pointer (a window, a terminal, a monitor's command) to
 * the emulated devices that pass it on to the guest.
 *
 * Keys and buttons are Linux's codes (KEY_*, BTN_*: linux/input-event-codes.h). Several devices may
 * listen; an event goes to the first in the list that is active and takes its kind, and the one
 * that was made active last is the first. Everything is called under the machine lock.
 * Must not know devices or displays. */
#ifndef BACKEND_INPUT_INPUT_H
#define BACKEND_INPUT_INPUT_H

#include "base/types.h"

typedef struct InputHub InputHub;

/* Coordinates of an absolute pointer: 0 is left or top, this right or bottom. */
enum { INPUT_POSITION_MAX = 0x7fff };

enum { INPUT_LED_SCROLL = 1, INPUT_LED_NUM = 2, INPUT_LED_CAPS = 4 };

/* A device. Functions that are NULL: it takes no such events. */
typedef struct InputListener {
    void *opaque;
    /* A key went down or up; down again without up: it repeats. */
    void (*key)(void *opaque, unsigned code, bool down);
    /* Whether the guest has yet to take a key that came before. NULL: it never has. */
    bool (*busy)(void *opaque);
    void (*button)(void *opaque, unsigned code, bool down);
    /* To the right and down. */
    void (*move)(void *opaque, int dx, int dy);
    void (*position)(void *opaque, unsigned x, unsigned y);
    /* Notches: away from the user and to the right. */
    void (*wheel)(void *opaque, int vertical, int horizontal);
    /* The events since the last one belong together. */
    void (*sync)(void *opaque);
    /* The hub's. */
    bool active;
    struct InputListener *next;
} InputListener;

InputHub *input_new(void);
void input_free(InputHub *hub);

/* The listener, which the caller owns and keeps, becomes one, active. */
void input_add(InputHub *hub, InputListener *listener);
void input_remove(InputHub *hub, InputListener *listener);
/* Made active, it comes before the others: a USB tablet that the guest has set up. */
void input_set_active(InputHub *hub, InputListener *listener, bool active);

/* -- Events. They go nowhere if nobody listens. */

void input_key(InputHub *hub, unsigned code, bool down);
void input_button(InputHub *hub, unsigned code, bool down);
void input_move(InputHub *hub, int dx, int dy);
void input_position(InputHub *hub, unsigned x, unsigned y);
void input_wheel(InputHub *hub, int vertical, int horizontal);
/* Ends what belongs together, such as a movement and a button. */
void input_sync(InputHub *hub);
/* Lets go of all keys and buttons that are down: the window lost the focus. */
void input_release_all(InputHub *hub);

/* Whether the guest has not taken all keys yet: who sends many waits, for the keyboard's memory is
 * small. */
bool input_is_busy(const InputHub *hub);

/* Whether positions are wanted, so that the host's pointer need not be held. */
bool input_is_absolute(const InputHub *hub);

/* -- The keyboard's lamps, INPUT_LED_* */

void input_set_leds(InputHub *hub, unsigned leds);
unsigned input_leds(const InputHub *hub);

#endif
