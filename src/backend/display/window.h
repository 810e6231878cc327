/* A seat in a window of the host's desktop: the machine's screen, keyboard and mouse.
 *
 * Keys are positions, whatever the host's layout makes of them. A click gives the mouse and all
 * keys to the machine until Ctrl-Alt-G, unless it has a pointer that takes positions. Ctrl-Alt-F
 * is full screen, Ctrl-Alt-S fills the window smoothly or by whole factors, Ctrl-Alt-U makes it as
 * large as the picture. Closing the window switches the machine off. */
#ifndef BACKEND_DISPLAY_WINDOW_H
#define BACKEND_DISPLAY_WINDOW_H

#include "backend/display/seat.h"

typedef struct WindowSeat WindowSeat;

/* Whether there is a desktop to open a window on, and what it takes to do that. */
bool window_is_possible(void);

/* Not under the lock. The window has a thread of its own, with the signal mask of the caller. NULL
 * with one line in *error. */
WindowSeat *window_seat_new(const Seat *seat, bool full_screen, char **error);
/* Not under the lock; the loop need not run. NULL is fine. */
void window_seat_free(WindowSeat *window);

#endif
