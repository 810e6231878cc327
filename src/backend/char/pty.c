/* Character port "pty": a new pseudo-terminal. Its other end is kept open here, too, so that it
 * never hangs up; without a reader what does not fit is lost. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "backend/char/driver.h"
#include "backend/options.h"

typedef struct Pty {
    CharPort port;
    int other; /* the terminal's side */
} Pty;

static int pty_open(CharPort *port, const char *argument, char **error)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    struct termios raw;
    char path[64];
    int other = -1;

    (void)argument;
    if (fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0 && ptsname_r(fd, path, sizeof path) == 0) {
        other = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    if (other < 0 || tcgetattr(other, &raw) < 0) {
        int code = errno;
        close(fd);
        close(other);
        return backend_error(error, code, "cannot make a pseudo-terminal: %s", strerror(code));
    }
    cfmakeraw(&raw);
    tcsetattr(other, TCSANOW, &raw);
    ((Pty *)port)->other = other;
    port->lossy = true;
    char_set_name(port, path);
    char_use(port, fd, fd);
    return 0;
}

static void pty_close(CharPort *port)
{
    close(((Pty *)port)->other);
}

const CharDriver char_driver_pty = {
    .name = "pty",
    .size = sizeof(Pty),
    .open = pty_open,
    .close = pty_close,
};
