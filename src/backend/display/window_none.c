/* In place of the window where SDL2 was not there when the program was built. See window.h. */
#include <stdlib.h>
#include <string.h>

#include "backend/display/window.h"

bool window_is_possible(void)
{
    return false;
}

WindowSeat *window_seat_new(const Seat *seat, bool full_screen, char **error)
{
    (void)seat, (void)full_screen;
    *error = strdup("this menura was built without windows (SDL2 was missing)");
    if (!*error) {
        abort();
    }
    return NULL;
}

void window_seat_free(WindowSeat *window)
{
    (void)window;
}
