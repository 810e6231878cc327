/* The US keyboard: which key gives a character. */
#include "backend/input/keymap.h"

#include <linux/input-event-codes.h>
#include <string.h>

/* Rows of the keyboard: codes count up from the first. */
static const struct {
    const char *plain, *shifted;
    unsigned first;
} rows[] = {
    {"1234567890-=", "!@#$%^&*()_+", KEY_1},
    {"qwertyuiop[]", "QWERTYUIOP{}", KEY_Q},
    {"asdfghjkl;'`", "ASDFGHJKL:\"~", KEY_A},
    {"\\zxcvbnm,./", "|ZXCVBNM<>?", KEY_BACKSLASH},
    {" ", "", KEY_SPACE},
    {"\n", "", KEY_ENTER},
    {"\t", "", KEY_TAB},
    {"\b", "", KEY_BACKSPACE},
    {"\x1b", "", KEY_ESC},
};

unsigned keymap_character(char character, bool *shift)
{
    for (size_t i = 0; character && i < COUNT(rows); i++) {
        const char *at = strchr(rows[i].plain, character);
        *shift = !at;
        if (at) {
            return rows[i].first + (unsigned)(at - rows[i].plain);
        }
        at = strchr(rows[i].shifted, character);
        if (at) {
            return rows[i].first + (unsigned)(at - rows[i].shifted);
        }
    }
    return 0;
}
