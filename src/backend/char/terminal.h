/* The terminal that the program runs in. Raw: keys arrive one by one and unchanged, nothing is
 * echoed, output is not altered but for line ends. It is restored when the program exits. */
#ifndef BACKEND_CHAR_TERMINAL_H
#define BACKEND_CHAR_TERMINAL_H

#include "base/types.h"

/* signals: Ctrl-C, Ctrl-\ and Ctrl-Z keep their meaning. Does nothing if standard input is no
 * terminal, or the program is in the background. */
void terminal_raw(bool signals);
void terminal_restore(void);

#endif
