/* menura-user: runs a Linux program built for another CPU. A static executable that needs nothing,
 * so that it works inside any root. Links to it may be called as they like (qemu-x86_64,
 * menura-i386): the guest follows from the program. */
#include <stdlib.h>
#include <unistd.h>

#include "cmd/user_options.h"

/* Our own executable, for starting guest programs from guest programs. */
static const char *own_path(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    return length > 0 ? path : "menura-user";
}

int main(int argc, char **argv)
{
    UserCommand command;

    user_options_parse(&command, argc, argv, environ);
    if (!command.program) {
        return command.status;
    }
    command.options.self = own_path();
    return process_run(&command.options, command.program, command.arguments, command.environment);
}
