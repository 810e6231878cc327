/* A PS/2 keyboard with 104 keys and some for media. IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and auxiliary device controller" and "Keyboards (101- and 102-key)".
 *
 * A key is a row of keys[]: its codes in sets 2 and 3. Those of set 1 are what an 8042 translates
 * those of set 2 into. Keys repeat as the host's do. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "device/input/ps2.h"

enum { EXTENDED = 0x100 /* in set 2: after 0xe0 */, BREAK = 0xf0 };

typedef struct Key {
    u16 set2; /* 0: there is no such key */
    u8 set3;
} Key;

static const Key keys[] = {
    [KEY_ESC] = {0x76, 0x08},
    [KEY_1] = {0x16, 0x16},
    [KEY_2] = {0x1e, 0x1e},
    [KEY_3] = {0x26, 0x26},
    [KEY_4] = {0x25, 0x25},
    [KEY_5] = {0x2e, 0x2e},
    [KEY_6] = {0x36, 0x36},
    [KEY_7] = {0x3d, 0x3d},
    [KEY_8] = {0x3e, 0x3e},
    [KEY_9] = {0x46, 0x46},
    [KEY_0] = {0x45, 0x45},
    [KEY_MINUS] = {0x4e, 0x4e},
    [KEY_EQUAL] = {0x55, 0x55},
    [KEY_BACKSPACE] = {0x66, 0x66},
    [KEY_TAB] = {0x0d, 0x0d},
    [KEY_Q] = {0x15, 0x15},
    [KEY_W] = {0x1d, 0x1d},
    [KEY_E] = {0x24, 0x24},
    [KEY_R] = {0x2d, 0x2d},
    [KEY_T] = {0x2c, 0x2c},
    [KEY_Y] = {0x35, 0x35},
    [KEY_U] = {0x3c, 0x3c},
    [KEY_I] = {0x43, 0x43},
    [KEY_O] = {0x44, 0x44},
    [KEY_P] = {0x4d, 0x4d},
    [KEY_LEFTBRACE] = {0x54, 0x54},
    [KEY_RIGHTBRACE] = {0x5b, 0x5b},
    [KEY_ENTER] = {0x5a, 0x5a},
    [KEY_LEFTCTRL] = {0x14, 0x11},
    [KEY_A] = {0x1c, 0x1c},
    [KEY_S] = {0x1b, 0x1b},
    [KEY_D] = {0x23, 0x23},
    [KEY_F] = {0x2b, 0x2b},
    [KEY_G] = {0x34, 0x34},
    [KEY_H] = {0x33, 0x33},
    [KEY_J] = {0x3b, 0x3b},
    [KEY_K] = {0x42, 0x42},
    [KEY_L] = {0x4b, 0x4b},
    [KEY_SEMICOLON] = {0x4c, 0x4c},
    [KEY_APOSTROPHE] = {0x52, 0x52},
    [KEY_GRAVE] = {0x0e, 0x0e},
    [KEY_LEFTSHIFT] = {0x12, 0x12},
    [KEY_BACKSLASH] = {0x5d, 0x5c},
    [KEY_Z] = {0x1a, 0x1a},
    [KEY_X] = {0x22, 0x22},
    [KEY_C] = {0x21, 0x21},
    [KEY_V] = {0x2a, 0x2a},
    [KEY_B] = {0x32, 0x32},
    [KEY_N] = {0x31, 0x31},
    [KEY_M] = {0x3a, 0x3a},
    [KEY_COMMA] = {0x41, 0x41},
    [KEY_DOT] = {0x49, 0x49},
    [KEY_SLASH] = {0x4a, 0x4a},
    [KEY_RIGHTSHIFT] = {0x59, 0x59},
    [KEY_KPASTERISK] = {0x7c, 0x7e},
    [KEY_LEFTALT] = {0x11, 0x19},
    [KEY_SPACE] = {0x29, 0x29},
    [KEY_CAPSLOCK] = {0x58, 0x14},
    [KEY_F1] = {0x05, 0x07},
    [KEY_F2] = {0x06, 0x0f},
    [KEY_F3] = {0x04, 0x17},
    [KEY_F4] = {0x0c, 0x1f},
    [KEY_F5] = {0x03, 0x27},
    [KEY_F6] = {0x0b, 0x2f},
    [KEY_F7] = {0x83, 0x37},
    [KEY_F8] = {0x0a, 0x3f},
    [KEY_F9] = {0x01, 0x47},
    [KEY_F10] = {0x09, 0x4f},
    [KEY_NUMLOCK] = {0x77, 0x76},
    [KEY_SCROLLLOCK] = {0x7e, 0x5f},
    [KEY_KP7] = {0x6c, 0x6c},
    [KEY_KP8] = {0x75, 0x75},
    [KEY_KP9] = {0x7d, 0x7d},
    [KEY_KPMINUS] = {0x7b, 0x84},
    [KEY_KP4] = {0x6b, 0x6b},
    [KEY_KP5] = {0x73, 0x73},
    [KEY_KP6] = {0x74, 0x74},
    [KEY_KPPLUS] = {0x79, 0x7c},
    [KEY_KP1] = {0x69, 0x69},
    [KEY_KP2] = {0x72, 0x72},
    [KEY_KP3] = {0x7a, 0x7a},
    [KEY_KP0] = {0x70, 0x70},
    [KEY_KPDOT] = {0x71, 0x71},
    [KEY_102ND] = {0x61, 0x13},
    [KEY_F11] = {0x78, 0x56},
    [KEY_F12] = {0x07, 0x5e},
    [KEY_RO] = {0x51, 0x51},
    [KEY_HENKAN] = {0x64, 0x86},
    [KEY_KATAKANAHIRAGANA] = {0x13, 0x87},
    [KEY_MUHENKAN] = {0x67, 0x85},
    [KEY_KPENTER] = {EXTENDED | 0x5a, 0x79},
    [KEY_RIGHTCTRL] = {EXTENDED | 0x14, 0x58},
    [KEY_KPSLASH] = {EXTENDED | 0x4a, 0x77},
    [KEY_SYSRQ] = {EXTENDED | 0x7c, 0x57},
    [KEY_RIGHTALT] = {EXTENDED | 0x11, 0x39},
    [KEY_HOME] = {EXTENDED | 0x6c, 0x6e},
    [KEY_UP] = {EXTENDED | 0x75, 0x63},
    [KEY_PAGEUP] = {EXTENDED | 0x7d, 0x6f},
    [KEY_LEFT] = {EXTENDED | 0x6b, 0x61},
    [KEY_RIGHT] = {EXTENDED | 0x74, 0x6a},
    [KEY_END] = {EXTENDED | 0x69, 0x65},
    [KEY_DOWN] = {EXTENDED | 0x72, 0x60},
    [KEY_PAGEDOWN] = {EXTENDED | 0x7a, 0x6d},
    [KEY_INSERT] = {EXTENDED | 0x70, 0x67},
    [KEY_DELETE] = {EXTENDED | 0x71, 0x64},
    [KEY_MUTE] = {EXTENDED | 0x23, 0x9c},
    [KEY_VOLUMEDOWN] = {EXTENDED | 0x21, 0x9d},
    [KEY_VOLUMEUP] = {EXTENDED | 0x32, 0x95},
    [KEY_POWER] = {EXTENDED | 0x37, 0xa1},
    [KEY_KPCOMMA] = {0x6d, 0x7b},
    [KEY_PAUSE] = {0x77, 0x62}, /* in sets 1 and 2 by itself */
    [KEY_YEN] = {0x6a, 0x5d},
    [KEY_LEFTMETA] = {EXTENDED | 0x1f, 0x8b},
    [KEY_RIGHTMETA] = {EXTENDED | 0x27, 0x8c},
    [KEY_COMPOSE] = {EXTENDED | 0x2f, 0x8d},
    [KEY_CALC] = {EXTENDED | 0x2b, 0xa3},
    [KEY_SLEEP] = {EXTENDED | 0x3f, 0xa2},
    [KEY_WAKEUP] = {EXTENDED | 0x5e, 0xa4},
    [KEY_MAIL] = {EXTENDED | 0x48, 0x98},
    [KEY_BOOKMARKS] = {EXTENDED | 0x18, 0xa5},
    [KEY_BACK] = {EXTENDED | 0x38, 0xa6},
    [KEY_FORWARD] = {EXTENDED | 0x30, 0xa7},
    [KEY_NEXTSONG] = {EXTENDED | 0x4d, 0x93},
    [KEY_PLAYPAUSE] = {EXTENDED | 0x34, 0x8a},
    [KEY_PREVIOUSSONG] = {EXTENDED | 0x15, 0x94},
    [KEY_STOPCD] = {EXTENDED | 0x3b, 0x99},
    [KEY_HOMEPAGE] = {EXTENDED | 0x3a, 0x97},
    [KEY_REFRESH] = {EXTENDED | 0x20, 0xa8},
    [KEY_SEARCH] = {EXTENDED | 0x10, 0xa9},
};

/* Keys that in set 3 send break codes and do not repeat, from the start. */
static const u8 set3_modifiers[] = {0x11, 0x12, 0x14, 0x19, 0x39, 0x58, 0x59};

/* Set 1 by codes of set 2, as in every 8042. */
static const u8 translation[] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

u8 ps2_translate(u8 byte)
{
    if (byte < COUNT(translation)) {
        return translation[byte];
    }
    return byte == 0x83 ? 0x41 : byte == 0x84 ? 0x54 : byte;
}

/* -- Keys */

static bool bit(const u8 *bits, u8 number)
{
    return bits[number / 8] & 1 << number % 8;
}

static void set_bit(u8 *bits, u8 number, bool on)
{
    u8 mask = (u8)(1 << number % 8);

    bits[number / 8] = (u8)(on ? bits[number / 8] | mask : bits[number / 8] & ~mask);
}

/* Appends a make or break code of set 1 or 2. */
static unsigned add_code(const Ps2Keyboard *k, u8 *bytes, unsigned n, u16 set2, bool down)
{
    if (set2 & EXTENDED) {
        bytes[n++] = 0xe0;
    }
    if (k->set == 1) {
        bytes[n++] = ps2_translate((u8)set2) | (down ? 0 : 0x80);
        return n;
    }
    if (!down) {
        bytes[n++] = BREAK;
    }
    bytes[n++] = (u8)set2;
    return n;
}

/* Pause has no break code: it sends both at once. */
static unsigned pause_codes(const Ps2Keyboard *k, u8 *bytes, bool down)
{
    static const u8 set1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const u8 set2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    unsigned size = k->set == 1 ? sizeof set1 : sizeof set2;

    if (!down) {
        return 0;
    }
    memcpy(bytes, k->set == 1 ? set1 : set2, size);
    return size;
}

/* Print Screen comes within a shift that nobody pressed; with Alt it is System Request. */
static unsigned print_codes(const Ps2Keyboard *k, u8 *bytes, bool down)
{
    enum { SHIFT = EXTENDED | 0x12, PRINT = EXTENDED | 0x7c, SYSTEM_REQUEST = 0x84 };
    unsigned n;

    if (k->alt) {
        return add_code(k, bytes, 0, SYSTEM_REQUEST, down);
    }
    n = add_code(k, bytes, 0, down ? SHIFT : PRINT, down);
    return add_code(k, bytes, n, down ? PRINT : SHIFT, down);
}

static unsigned set3_codes(Ps2Keyboard *k, u8 *bytes, u8 code, bool down)
{
    bool repeats = down && bit(k->down, code);

    set_bit(k->down, code, down);
    if (down ? repeats && bit(k->no_repeat, code) : bit(k->no_break, code)) {
        return 0;
    }
    if (down) {
        bytes[0] = code;
        return 1;
    }
    bytes[0] = BREAK;
    bytes[1] = code;
    return 2;
}

static void key(void *opaque, unsigned code, bool down)
{
    Ps2Keyboard *k = opaque;
    const Key *row = code < COUNT(keys) ? &keys[code] : NULL;
    u8 bytes[8];
    unsigned n;

    if (!row || !row->set2) {
        return;
    }
    if (code == KEY_LEFTALT || code == KEY_RIGHTALT) {
        u8 side = code == KEY_LEFTALT ? 1 : 2;
        k->alt = (u8)(down ? k->alt | side : k->alt & ~side);
    }
    if (!k->enabled) {
        return;
    }
    if (k->set == 3) {
        n = set3_codes(k, bytes, row->set3, down);
    } else if (code == KEY_PAUSE) {
        n = pause_codes(k, bytes, down);
    } else if (code == KEY_SYSRQ) {
        n = print_codes(k, bytes, down);
    } else {
        n = add_code(k, bytes, 0, row->set2, down);
    }
    if (n && n <= ps2_room(&k->queue)) {
        ps2_put(&k->queue, bytes, n);
        ps2_tell(&k->queue);
    }
}

/* -- Commands */

enum Reply { ACKNOWLEDGE = 0xfa, TEST_PASSED = 0xaa, RESEND = 0xfe, ECHO_REPLY = 0xee };

enum KeyboardCommand {
    SET_LEDS = 0xed,
    ECHO_COMMAND = 0xee,
    SCAN_SET = 0xf0,
    IDENTIFY = 0xf2,
    SET_RATE = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    SET_DEFAULTS = 0xf6,
    ALL_REPEAT = 0xf7,
    ALL_MAKE_BREAK = 0xf8,
    ALL_MAKE = 0xf9,
    ALL_REPEAT_BREAK = 0xfa,
    KEY_REPEAT = 0xfb,
    KEY_MAKE_BREAK = 0xfc,
    KEY_MAKE_ONLY = 0xfd,
    SEND_AGAIN = 0xfe,
    RESET_KEYBOARD = 0xff,
};

static void reply(Ps2Keyboard *k, u8 byte)
{
    ps2_reply(&k->queue, &byte, 1);
}

static void set_leds(Ps2Keyboard *k, u8 leds)
{
    k->leds = leds & 7;
    if (k->input) {
        input_set_leds(k->input, k->leds);
    }
}

static void set_defaults(Ps2Keyboard *k)
{
    k->set = 2;
    k->rate = 0x2b; /* 10.9 per second after half a second */
    k->command = 0;
    memset(k->no_break, 0xff, sizeof k->no_break);
    memset(k->no_repeat, 0, sizeof k->no_repeat);
    for (unsigned i = 0; i < COUNT(set3_modifiers); i++) {
        set_bit(k->no_break, set3_modifiers[i], false);
        set_bit(k->no_repeat, set3_modifiers[i], true);
    }
}

/* What keys do in set 3, all of them or one. */
static void set_all_types(Ps2Keyboard *k, u8 command)
{
    bool breaks = command == ALL_MAKE_BREAK || command == ALL_REPEAT_BREAK;
    bool repeats = command == ALL_REPEAT || command == ALL_REPEAT_BREAK;

    memset(k->no_break, breaks ? 0 : 0xff, sizeof k->no_break);
    memset(k->no_repeat, repeats ? 0 : 0xff, sizeof k->no_repeat);
}

static void set_type(Ps2Keyboard *k, u8 command, u8 code)
{
    set_bit(k->no_break, code, command != KEY_MAKE_BREAK);
    set_bit(k->no_repeat, code, command != KEY_REPEAT);
}

static void choose_set(Ps2Keyboard *k, u8 set)
{
    const u8 current[] = {ACKNOWLEDGE, k->set};

    if (set == 0) {
        ps2_reply(&k->queue, current, sizeof current);
    } else if (set > 3) {
        reply(k, RESEND);
    } else {
        k->set = set;
        reply(k, ACKNOWLEDGE);
    }
}

static void write_argument(Ps2Keyboard *k, u8 command, u8 byte)
{
    k->command = 0;
    switch (command) {
    case SET_LEDS:
        set_leds(k, byte);
        break;
    case SET_RATE:
        k->rate = byte & 0x7f;
        break;
    case SCAN_SET:
        choose_set(k, byte);
        return;
    default: /* one key after the other, until a command comes */
        set_type(k, command, byte);
        k->command = command;
        break;
    }
    reply(k, ACKNOWLEDGE);
}

static void write_command(Ps2Keyboard *k, u8 command)
{
    static const u8 identity[] = {ACKNOWLEDGE, 0xab, 0x83}, passed[] = {ACKNOWLEDGE, TEST_PASSED};

    k->command = 0;
    switch (command) {
    case SET_LEDS:
    case SET_RATE:
    case SCAN_SET:
    case KEY_REPEAT:
    case KEY_MAKE_BREAK:
    case KEY_MAKE_ONLY:
        k->command = command;
        reply(k, ACKNOWLEDGE);
        break;
    case ECHO_COMMAND:
        reply(k, ECHO_REPLY);
        break;
    case IDENTIFY:
        ps2_reply(&k->queue, identity, sizeof identity);
        break;
    case ENABLE:
    case DISABLE:
        ps2_clear(&k->queue);
        k->enabled = command == ENABLE;
        reply(k, ACKNOWLEDGE);
        break;
    case SET_DEFAULTS:
        set_defaults(k);
        reply(k, ACKNOWLEDGE);
        break;
    case ALL_REPEAT:
    case ALL_MAKE_BREAK:
    case ALL_MAKE:
    case ALL_REPEAT_BREAK:
        set_all_types(k, command);
        reply(k, ACKNOWLEDGE);
        break;
    case SEND_AGAIN:
        reply(k, k->queue.last);
        break;
    case RESET_KEYBOARD:
        ps2_keyboard_reset(k);
        ps2_reply(&k->queue, passed, sizeof passed);
        break;
    default:
        reply(k, RESEND);
        break;
    }
}

void ps2_keyboard_write(Ps2Keyboard *k, u8 byte)
{
    /* All commands are above the codes of keys and other arguments. */
    if (k->command && byte < SET_LEDS) {
        write_argument(k, k->command, byte);
    } else {
        write_command(k, byte);
    }
}

bool ps2_keyboard_take(Ps2Keyboard *k, u8 *byte)
{
    return ps2_take(&k->queue, byte);
}

/* -- Life */

static bool busy(void *opaque)
{
    return ((Ps2Keyboard *)opaque)->queue.size != 0;
}

void ps2_keyboard_start(Ps2Keyboard *k, InputHub *input, void (*ready)(void *opaque), void *opaque)
{
    k->queue.ready = ready;
    k->queue.opaque = opaque;
    k->input = input;
    k->listener = (InputListener){.opaque = k, .key = key, .busy = busy};
    if (input) {
        input_add(input, &k->listener);
    }
}

void ps2_keyboard_stop(Ps2Keyboard *k)
{
    if (k->input) {
        input_remove(k->input, &k->listener);
    }
}

void ps2_keyboard_reset(Ps2Keyboard *k)
{
    ps2_clear(&k->queue);
    set_defaults(k);
    memset(k->down, 0, sizeof k->down);
    k->enabled = true;
    set_leds(k, 0);
}

void ps2_keyboard_check(Ps2Keyboard *k)
{
    ps2_check(&k->queue);
}

const StateField ps2_keyboard_state[] = {
    {"queue", offsetof(Ps2Keyboard, queue), sizeof(Ps2Queue), 1, ps2_queue_state, STATE_VALUE},
    STATE(Ps2Keyboard, set),
    STATE(Ps2Keyboard, enabled),
    STATE(Ps2Keyboard, command),
    STATE(Ps2Keyboard, leds),
    STATE(Ps2Keyboard, rate),
    STATE(Ps2Keyboard, alt),
    STATE_ARRAY(Ps2Keyboard, no_break),
    STATE_ARRAY(Ps2Keyboard, no_repeat),
    STATE_ARRAY(Ps2Keyboard, down),
    STATE_END,
};
