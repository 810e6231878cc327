/* The program's terminal: see terminal.h. What it was like before is the process's: exit handlers
 * get no argument. */
#include "backend/char/terminal.h"

#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool raw, registered;

void terminal_raw(bool signals)
{
    struct termios now;

    if (!raw && (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &before) < 0)) {
        return;
    }
    now = before;
    now.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    now.c_oflag |= OPOST;
    now.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    now.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    now.c_cflag |= CS8;
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &now);
    raw = true;
    if (!registered) {
        registered = true;
        atexit(terminal_restore);
    }
}

void terminal_restore(void)
{
    if (raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        raw = false;
    }
}
