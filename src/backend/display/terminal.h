/* A seat in the terminal that the program runs in: the machine's screen, if it has one, and its
 * serial ports, one of them at a time; what is typed goes to what is shown. Ctrl-A and a letter is
 * for us; Ctrl-A h lists these.
 *
 * The screen is drawn on the terminal's alternate screen, serial ports write on the normal one, so
 * that their output can be scrolled back and stays when the machine has gone.
 * The terminal is as it was when the program ends, however that happens (char/terminal.h). */
#ifndef BACKEND_DISPLAY_TERMINAL_H
#define BACKEND_DISPLAY_TERMINAL_H

#include "backend/display/seat.h"

typedef struct TerminalSeat TerminalSeat;

/* Standard input and output are used from now on, a terminal or not; a screen needs one. The
 * caller blocks SIGWINCH and SIGTSTP and tells of them. NULL with one line in *error. */
TerminalSeat *terminal_seat_new(const Seat *seat, char **error);
void terminal_seat_free(TerminalSeat *terminal);

/* The terminal may be of another size, or was somebody else's meanwhile. */
void terminal_seat_resized(TerminalSeat *terminal);

#endif
