/* The terminal that the program runs in. Raw: keys arrive one by one and unchanged, nothing is
 * echoed, output is not altered but for line ends. It is restored when the program ends: by exit(),
 * or by a signal that says that it crashed. */
#ifndef BACKEND_CHAR_TERMINAL_H
#define BACKEND_CHAR_TERMINAL_H

#include "base/types.h"

/* signals: Ctrl-C, Ctrl-\ and Ctrl-Z keep their meaning. Does nothing if standard input is no
 * terminal, or the program is in the background. */
void terminal_raw(bool signals);
void terminal_restore(void);

/* What to write to it then, before: a static string; "" for nothing. */
void terminal_on_restore(const char *sequence);

/* Restores it, stops the process (SIGTSTP was for us), and makes it raw again afterwards. */
void terminal_suspend(void);

/* Whether standard input and output are a terminal that this program may use now. */
bool terminal_is_ours(void);

#endif
