/* Character port "stdio": standard input and output, a terminal made raw. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backend/char/driver.h"
#include "backend/char/terminal.h"
#include "backend/options.h"

typedef struct Stdio {
    CharPort port;
    bool no_signals; /* signal=off */
} Stdio;

static int stdio_option(CharPort *port, const char *name, const char *value, char **error)
{
    bool signals;
    int result;

    if (strcmp(name, "signal") != 0) {
        return backend_error(error, EINVAL, "stdio takes no option '%s'", name);
    }
    result = char_switch(name, value, &signals, error);
    ((Stdio *)port)->no_signals = !signals;
    return result;
}

static int stdio_open(CharPort *port, const char *argument, char **error)
{
    int input = char_reopen(STDIN_FILENO, O_RDONLY), output = char_reopen(STDOUT_FILENO, O_WRONLY);

    (void)argument;
    if (output < 0) {
        int code = errno;
        close(input);
        return backend_error(error, code, "standard output: %s", strerror(code));
    }
    terminal_raw(!((Stdio *)port)->no_signals);
    char_use(port, input, output);
    return 0;
}

static void stdio_close(CharPort *port)
{
    (void)port;
    terminal_restore();
}

const CharDriver char_driver_stdio = {
    .name = "stdio",
    .size = sizeof(Stdio),
    .option = stdio_option,
    .open = stdio_open,
    .close = stdio_close,
};
