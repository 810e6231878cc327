/* Command line of menura-user, in its own form and in QEMU's. */
#ifndef CMD_USER_OPTIONS_H
#define CMD_USER_OPTIONS_H

#include "user/process.h"

typedef struct UserCommand {
    UserOptions options;
    const char *program; /* NULL: nothing to run, exit with `status` */
    char **arguments;    /* argv of the program, NULL-terminated */
    char **environment;  /* of the program, NULL-terminated; owned (never freed) */
    int status;
} UserCommand;

/* Parses the command line. Errors and --help, --version, `-d help` are printed here; then `program`
 * is NULL and `status` the exit status (125 after an error). Sets up logging. */
void user_options_parse(UserCommand *command, int argc, char **argv, char **environment);

#endif
