/* The program's terminal: see terminal.h. What it was like before is the process's: exit handlers
 * get no argument, nor do those of signals. */
#include "backend/char/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile sig_atomic_t raw;
static bool with_signals, registered;
static const char *volatile goodbye = "";

/* Signals by which programs end that nobody handles. */
static const int deaths[] = {SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGBUS, SIGSEGV, SIGSYS, SIGTRAP};

static void on_death(int number)
{
    terminal_restore();
    signal(number, SIG_DFL);
    raise(number);
}

/* Those that somebody handles are theirs. */
static void watch_deaths(void)
{
    struct sigaction action = {.sa_handler = on_death, .sa_flags = SA_ONSTACK}, present;

    for (size_t i = 0; i < COUNT(deaths); i++) {
        if (sigaction(deaths[i], NULL, &present) == 0 && present.sa_handler == SIG_DFL) {
            sigaction(deaths[i], &action, NULL);
        }
    }
}

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
    with_signals = signals;
    if (!registered) {
        registered = true;
        atexit(terminal_restore);
        watch_deaths();
    }
}

/* Calls only what a signal's handler may. */
void terminal_restore(void)
{
    size_t length = strlen(goodbye);

    if (!raw) {
        return;
    }
    raw = false;
    if (length && write(STDOUT_FILENO, goodbye, length) < 0) {
        goodbye = ""; /* nobody sees it */
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void terminal_on_restore(const char *sequence)
{
    goodbye = sequence;
}

void terminal_suspend(void)
{
    bool was = raw;

    terminal_restore();
    raise(SIGSTOP);
    if (was) {
        terminal_raw(with_signals);
    }
}

bool terminal_is_ours(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}
