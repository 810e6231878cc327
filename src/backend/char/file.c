/* Character port "file": what the user writes goes to a file; devices and named pipes are read,
 * too. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/char/driver.h"
#include "backend/options.h"

typedef struct File {
    CharPort port;
    bool append;
} File;

static int file_option(CharPort *port, const char *name, const char *value, char **error)
{
    if (!strcmp(name, "append")) {
        return char_switch(name, value, &((File *)port)->append, error);
    }
    return backend_error(error, EINVAL, "file takes no option '%s'", name);
}

static int file_open(CharPort *port, const char *path, char **error)
{
    const File *file = (File *)port;
    struct stat st;
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    int flags = special ? O_RDWR | O_NONBLOCK | O_NOCTTY
                        : O_WRONLY | O_CREAT | (file->append ? O_APPEND : O_TRUNC);
    int fd = open(path, flags | O_CLOEXEC, 0666);

    if (fd < 0) {
        return backend_error(error, errno, "cannot open '%s': %s", path, strerror(errno));
    }
    char_use(port, special ? fd : -1, fd);
    return 0;
}

const CharDriver char_driver_file = {
    .name = "file",
    .size = sizeof(File),
    .option = file_option,
    .open = file_open,
};
