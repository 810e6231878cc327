/* PS/2 keyboard and mouse: what hangs on the two ports of an 8042 (i8042.c) or alike. Each takes
 * bytes from its controller and has a queue of bytes for it. See ps2_keyboard.c and ps2_mouse.c. */
#ifndef DEVICE_INPUT_PS2_H
#define DEVICE_INPUT_PS2_H

#include "backend/input/input.h"
#include "device/core/device.h"

enum { PS2_QUEUE_SIZE = 128, PS2_REPLIES = 8 };

/* Bytes on their way to the controller: answers to commands come before the rest. */
typedef struct Ps2Queue {
    u8 replies[PS2_REPLIES], reply_count;
    u8 bytes[PS2_QUEUE_SIZE], start, size;
    u8 last; /* that was taken */
    /* Something came. */
    void (*ready)(void *opaque);
    void *opaque;
} Ps2Queue;

typedef struct Ps2Keyboard {
    Ps2Queue queue;
    u8 set;     /* of scan codes, 1 to 3 */
    u8 enabled; /* scans */
    u8 command; /* that awaits its argument; 0: none */
    u8 leds, rate;
    u8 alt;           /* bits: left and right Alt are down */
    u8 no_break[32];  /* bits by code of set 3: sends no break code */
    u8 no_repeat[32]; /* sends the make code once */
    u8 down[32];      /* keys that are down */
    InputHub *input;
    InputListener listener;
} Ps2Keyboard;

typedef struct Ps2Mouse {
    Ps2Queue queue;
    u8 id; /* 0: three buttons; 3: and a wheel; 4: and five buttons */
    u8 enabled, remote, wrap, double_scale;
    u8 resolution, rate, rates[3]; /* the last that were set, the newest first */
    u8 command;
    u8 buttons, sent_buttons;
    s32 dx, dy, dz; /* to be reported: to the right, up, towards the user */
    InputHub *input;
    InputListener listener;
} Ps2Mouse;

extern const StateField ps2_keyboard_state[], ps2_mouse_state[];

/* input: whose events it takes, NULL for none; `ready` is called when bytes come into the queue. */
void ps2_keyboard_start(Ps2Keyboard *keyboard, InputHub *input, void (*ready)(void *opaque),
                        void *opaque);
void ps2_keyboard_stop(Ps2Keyboard *keyboard);
void ps2_keyboard_reset(Ps2Keyboard *keyboard);
/* A byte from the controller. */
void ps2_keyboard_write(Ps2Keyboard *keyboard, u8 byte);

void ps2_mouse_start(Ps2Mouse *mouse, InputHub *input, void (*ready)(void *opaque), void *opaque);
void ps2_mouse_stop(Ps2Mouse *mouse);
void ps2_mouse_reset(Ps2Mouse *mouse);
void ps2_mouse_write(Ps2Mouse *mouse, u8 byte);

/* Brings loaded state into its bounds. */
void ps2_keyboard_check(Ps2Keyboard *keyboard);
void ps2_mouse_check(Ps2Mouse *mouse);

/* Takes the next byte; false if there is none. */
bool ps2_keyboard_take(Ps2Keyboard *keyboard, u8 *byte);
bool ps2_mouse_take(Ps2Mouse *mouse, u8 *byte);

/* What an 8042 makes of a byte of set 2, 0xf0 (break) aside: set 1. */
u8 ps2_translate(u8 byte);

/* -- Queues (ps2.c) */

extern const StateField ps2_queue_state[];

static inline unsigned ps2_room(const Ps2Queue *queue)
{
    return PS2_QUEUE_SIZE - queue->size;
}

/* Appends what there is room for; the controller is to be told with ps2_tell(). */
void ps2_put(Ps2Queue *queue, const u8 *bytes, unsigned count);
void ps2_tell(const Ps2Queue *queue);
/* Bytes that answer a command, in place of those of the command before; tells the controller. At
 * most PS2_REPLIES. */
void ps2_reply(Ps2Queue *queue, const u8 *bytes, unsigned count);
bool ps2_take(Ps2Queue *queue, u8 *byte);
void ps2_clear(Ps2Queue *queue);
void ps2_check(Ps2Queue *queue);

#endif
