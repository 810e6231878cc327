/* Keys out of a terminal's bytes. See terminal_keys.h. */
#include "backend/display/terminal_keys.h"

#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/input/keymap.h"

enum { ESCAPE = 0x1b, DELETE = 0x7f };

/* Bits of a sequence's modifier parameter, less 1. */
enum { SHIFT = 1, ALT = 2, CTRL = 4 };

/* ESC [ final, ESC O final, ESC [ 1 ; modifier final */
static const struct {
    char final;
    unsigned code;
} finals[] = {
    {'A', KEY_UP},  {'B', KEY_DOWN}, {'C', KEY_RIGHT}, {'D', KEY_LEFT},
    {'E', KEY_KP5}, {'F', KEY_END},  {'H', KEY_HOME},  {'P', KEY_F1},
    {'Q', KEY_F2},  {'R', KEY_F3},   {'S', KEY_F4},    {'M', KEY_ENTER},
};

/* ESC [ number ~ */
static const u16 numbers[] = {
    [1] = KEY_HOME,     [2] = KEY_INSERT, [3] = KEY_DELETE, [4] = KEY_END,  [5] = KEY_PAGEUP,
    [6] = KEY_PAGEDOWN, [7] = KEY_HOME,   [8] = KEY_END,    [11] = KEY_F1,  [12] = KEY_F2,
    [13] = KEY_F3,      [14] = KEY_F4,    [15] = KEY_F5,    [17] = KEY_F6,  [18] = KEY_F7,
    [19] = KEY_F8,      [20] = KEY_F9,    [21] = KEY_F10,   [23] = KEY_F11, [24] = KEY_F12,
};

/* What Ctrl was pressed with, by the control character that it gave. */
static const char with_control[] = " abcdefghijklmnopqrstuvwxyz[\\]6-";

static bool give(TerminalKey *key, unsigned code, unsigned modifiers)
{
    static const struct {
        unsigned bit, code;
    } codes[] = {{CTRL, KEY_LEFTCTRL}, {ALT, KEY_LEFTALT}, {SHIFT, KEY_LEFTSHIFT}};

    *key = (TerminalKey){0};
    if (!code) {
        return false;
    }
    for (size_t i = 0; i < COUNT(codes); i++) {
        if (modifiers & codes[i].bit) {
            key->codes[key->count++] = codes[i].code;
        }
    }
    key->codes[key->count++] = code;
    return true;
}

/* A byte by itself: a character, or Ctrl with one. */
static bool give_character(TerminalKey *key, u8 byte, unsigned modifiers)
{
    bool shift = false;
    unsigned code;

    if (byte == '\r') {
        byte = '\n';
    } else if (byte == DELETE) {
        byte = '\b';
    }
    if (byte < ' ' && byte != '\n' && byte != '\t' && byte != '\b' && byte != ESCAPE) {
        modifiers |= CTRL;
        byte = (u8)with_control[byte];
    }
    code = keymap_character((char)byte, &shift);
    return give(key, code, modifiers | (shift ? SHIFT : 0));
}

/* What the parameters and the final byte of "ESC [ ..." mean. */
static bool give_sequence(TerminalKey *key, const char *parameters, char final)
{
    char *rest;
    unsigned long number = strtoul(parameters, &rest, 10);
    unsigned modifiers = *rest == ';' ? ((unsigned)strtoul(rest + 1, NULL, 10) - 1) & 7 : 0;

    if (final == '~') {
        return give(key, number < COUNT(numbers) ? numbers[number] : 0, modifiers);
    }
    if (final == 'Z') {
        return give(key, KEY_TAB, SHIFT);
    }
    if (*parameters == '[') { /* Linux's console: F1 to F5 */
        return give(key, final >= 'A' && final <= 'E' ? KEY_F1 + (unsigned)(final - 'A') : 0, 0);
    }
    for (size_t i = 0; i < COUNT(finals); i++) {
        if (finals[i].final == final) {
            return give(key, finals[i].code, modifiers);
        }
    }
    return false;
}

/* Whether the bytes so far begin a sequence that goes on. */
static bool goes_on(const TerminalKeys *keys)
{
    u8 last = keys->bytes[keys->size - 1];

    switch (keys->size) {
    case 1:
        return true;
    case 2:
        return last == '[' || last == 'O';
    case 3:
        return keys->bytes[1] == '[' && (last < '@' || last == '[');
    default:
        return last < '@' && keys->size < sizeof keys->bytes - 1;
    }
}

bool terminal_key_take(TerminalKeys *keys, u8 byte, TerminalKey *key)
{
    if (keys->size == 0 && byte != ESCAPE) {
        return give_character(key, byte, 0);
    }
    if (keys->size == 1 && byte == ESCAPE) {
        return give(key, KEY_ESC, 0); /* and the second one may start something */
    }
    keys->bytes[keys->size++] = byte;
    if (goes_on(keys)) {
        return false;
    }
    u32 size = keys->size;
    keys->size = 0;
    if (size == 2) {
        return give_character(key, byte, ALT);
    }
    keys->bytes[size - 1] = 0;
    return give_sequence(key, (const char *)keys->bytes + 2, (char)byte);
}

bool terminal_key_end(TerminalKeys *keys, TerminalKey *key)
{
    u32 size = keys->size;

    keys->size = 0;
    switch (size) {
    case 0:
        return false;
    case 1:
        return give(key, KEY_ESC, 0);
    case 2:
        return give_character(key, keys->bytes[1], ALT);
    default:
        return false; /* cut off */
    }
}
