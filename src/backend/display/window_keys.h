/* Keys of a window. */
#ifndef BACKEND_DISPLAY_WINDOW_KEYS_H
#define BACKEND_DISPLAY_WINDOW_KEYS_H

#include <SDL.h>

#include "base/types.h"

/* Linux's code of a key; 0: none. */
unsigned window_key(SDL_Scancode scancode);

#endif
