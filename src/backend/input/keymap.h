/* Which key gives a character, for those who have text and need keys: commands that type, and
 * terminals. */
#ifndef BACKEND_INPUT_KEYMAP_H
#define BACKEND_INPUT_KEYMAP_H

#include "base/types.h"

/* Linux's code of the key for a character on a US keyboard, and whether it needs shift; 0: none. */
unsigned keymap_character(char character, bool *shift);

#endif
