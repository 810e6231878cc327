/* Keys out of the bytes that a terminal sends for them: characters, control characters, and the
 * escape sequences of xterm and of Linux's console (ECMA-48 5.4; xterm's "Control Sequences",
 * PC-Style Function Keys).
 *
 * A terminal says no more than which character came, so keys are typed, not pressed; those that
 * give no byte (Shift alone, Pause) do not exist. */
#ifndef BACKEND_DISPLAY_TERMINAL_KEYS_H
#define BACKEND_DISPLAY_TERMINAL_KEYS_H

#include "base/types.h"

/* Linux's codes of keys to press together, modifiers first. */
typedef struct TerminalKey {
    unsigned codes[4];
    u32 count;
} TerminalKey;

/* A sequence that is not complete yet; begins zeroed. */
typedef struct TerminalKeys {
    u8 bytes[16];
    u32 size;
} TerminalKeys;

/* Takes the next byte. True when it completes a key, which is put in *key. */
bool terminal_key_take(TerminalKeys *keys, u8 byte, TerminalKey *key);

/* Nothing followed for a while: Escape was a key, not the start of a sequence. */
bool terminal_key_end(TerminalKeys *keys, TerminalKey *key);

#endif
