/* Input events on their way to devices: see input.h. */
#include "backend/input/input.h"

#include <linux/input-event-codes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct InputHub {
    InputListener *first;
    unsigned leds;
    u8 down[(KEY_MAX + 8) / 8]; /* bits by code: keys and buttons */
};

InputHub *input_new(void)
{
    InputHub *hub = calloc(1, sizeof *hub);

    if (!hub) {
        abort();
    }
    return hub;
}

void input_free(InputHub *hub)
{
    free(hub);
}

void input_add(InputHub *hub, InputListener *listener)
{
    listener->active = true;
    listener->next = hub->first;
    hub->first = listener;
}

void input_remove(InputHub *hub, InputListener *listener)
{
    InputListener **link = &hub->first;

    while (*link && *link != listener) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = listener->next;
    }
}

void input_set_active(InputHub *hub, InputListener *listener, bool active)
{
    if (active && !listener->active) {
        input_remove(hub, listener);
        input_add(hub, listener);
    }
    listener->active = active;
}

/* The first active listener whose function at `offset` of the struct is not NULL. */
static InputListener *taker(const InputHub *hub, size_t offset)
{
    for (InputListener *l = hub->first; l; l = l->next) {
        void (*function)(void);
        memcpy(&function, (char *)l + offset, sizeof function);
        if (l->active && function) {
            return l;
        }
    }
    return NULL;
}

#define TAKER(hub, function) taker(hub, offsetof(InputListener, function))

static void mark(InputHub *hub, unsigned code, bool down)
{
    u8 bit = (u8)(1 << code % 8);

    hub->down[code / 8] = (u8)(down ? hub->down[code / 8] | bit : hub->down[code / 8] & ~bit);
}

void input_key(InputHub *hub, unsigned code, bool down)
{
    InputListener *l = TAKER(hub, key);

    if (l && code <= KEY_MAX) {
        mark(hub, code, down);
        l->key(l->opaque, code, down);
    }
}

void input_button(InputHub *hub, unsigned code, bool down)
{
    InputListener *l = TAKER(hub, button);

    if (l && code <= KEY_MAX) {
        mark(hub, code, down);
        l->button(l->opaque, code, down);
    }
}

void input_move(InputHub *hub, int dx, int dy)
{
    InputListener *l = TAKER(hub, move);

    if (l) {
        l->move(l->opaque, dx, dy);
    }
}

void input_position(InputHub *hub, unsigned x, unsigned y)
{
    InputListener *l = TAKER(hub, position);

    if (l) {
        l->position(l->opaque, MIN(x, (unsigned)INPUT_POSITION_MAX),
                    MIN(y, (unsigned)INPUT_POSITION_MAX));
    }
}

void input_wheel(InputHub *hub, int vertical, int horizontal)
{
    InputListener *l = TAKER(hub, wheel);

    if (l) {
        l->wheel(l->opaque, vertical, horizontal);
    }
}

void input_sync(InputHub *hub)
{
    for (InputListener *l = hub->first; l; l = l->next) {
        if (l->active && l->sync) {
            l->sync(l->opaque);
        }
    }
}

void input_release_all(InputHub *hub)
{
    for (unsigned code = 0; code <= KEY_MAX; code++) {
        if (!(hub->down[code / 8] & 1 << code % 8)) {
            continue;
        }
        if (code >= BTN_MISC && code < KEY_OK) {
            input_button(hub, code, false);
        } else {
            input_key(hub, code, false);
        }
    }
    input_sync(hub);
}

bool input_is_busy(const InputHub *hub)
{
    const InputListener *l = TAKER(hub, key);

    return l && l->busy && l->busy(l->opaque);
}

bool input_is_absolute(const InputHub *hub)
{
    return TAKER(hub, position) != NULL;
}

void input_set_leds(InputHub *hub, unsigned leds)
{
    hub->leds = leds;
}

unsigned input_leds(const InputHub *hub)
{
    return hub->leds;
}
