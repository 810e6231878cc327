/* Input: who gets an event when there are several devices, letting go of keys, lamps. */
#include <linux/input-event-codes.h>

#include "backend/input/input.h"
#include "tests/tap.h"

typedef struct Counter {
    unsigned keys, buttons, moves, positions, wheels, syncs;
    unsigned code, x, y;
    bool down;
} Counter;

static void key(void *opaque, unsigned code, bool down)
{
    Counter *c = opaque;

    c->keys++;
    c->code = code;
    c->down = down;
}

static void button(void *opaque, unsigned code, bool down)
{
    Counter *c = opaque;

    c->buttons++;
    c->code = code;
    c->down = down;
}

static void move(void *opaque, int dx, int dy)
{
    ((Counter *)opaque)->moves += dx != 0 || dy != 0;
}

static void position(void *opaque, unsigned x, unsigned y)
{
    Counter *c = opaque;

    c->positions++;
    c->x = x;
    c->y = y;
}

static void wheel(void *opaque, int vertical, int horizontal)
{
    ((Counter *)opaque)->wheels += vertical != 0 || horizontal != 0;
}

static void sync(void *opaque)
{
    ((Counter *)opaque)->syncs++;
}

int main(void)
{
    Counter old = {0}, new = {0};
    InputListener ps2 = {
        .opaque = &old, .key = key, .button = button, .move = move, .wheel = wheel, .sync = sync};
    InputListener tablet = {.opaque = &new, .button = button, .position = position, .sync = sync};
    InputHub *hub = input_new();

    input_key(hub, KEY_A, true);
    input_move(hub, 1, 1);
    OK(!input_is_absolute(hub), "nobody listens, and nothing happens");
    input_add(hub, &ps2);
    input_key(hub, KEY_A, true);
    input_move(hub, 1, 1);
    input_wheel(hub, 1, 0);
    input_sync(hub);
    OK(old.keys == 1 && old.code == KEY_A && old.down && old.moves == 1 && old.wheels == 1 &&
           old.syncs == 1,
       "the only listener gets all");
    input_position(hub, 5, 5);
    OK(!input_is_absolute(hub), "but positions");
    input_add(hub, &tablet);
    OK(input_is_absolute(hub), "which a tablet wants");
    input_position(hub, 5, 0xffff);
    OK(new.positions == 1 && new.x == 5 && new.y == INPUT_POSITION_MAX, "within bounds");
    input_button(hub, BTN_LEFT, true);
    input_key(hub, KEY_B, true);
    OK(new.buttons == 1 && old.buttons == 0 && old.keys == 2, "the new one goes first if it can");
    input_set_active(hub, &tablet, false);
    input_button(hub, BTN_RIGHT, true);
    OK(new.buttons == 1 && old.buttons == 1 && !input_is_absolute(hub), "and not while inactive");
    input_set_active(hub, &ps2, false);
    input_set_active(hub, &tablet, true);
    input_set_active(hub, &ps2, true);
    input_button(hub, BTN_RIGHT, false);
    OK(old.buttons == 2, "the last to become active goes first");
    input_release_all(hub);
    OK(old.keys == 4 && !old.down && old.buttons == 3, "what is down is let go");
    input_release_all(hub);
    OK(old.keys == 4 && old.buttons == 3, "once");
    input_set_leds(hub, INPUT_LED_NUM);
    OK(input_leds(hub) == INPUT_LED_NUM, "lamps");
    input_remove(hub, &tablet);
    input_remove(hub, &ps2);
    input_remove(hub, &ps2);
    input_key(hub, KEY_A, true);
    OK(old.keys == 4, "removed");
    input_free(hub);
    return tap_done();
}
