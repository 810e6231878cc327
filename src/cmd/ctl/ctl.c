/* menura ctl: sends one command to a machine's socket and prints the answer. */
#include "cmd/ctl/ctl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
#include "control/control.h"

enum { BAD_USAGE = 125 };

static void help(void)
{
    puts("Usage: menura ctl NAME COMMAND [ARGUMENT]...\n"
         "\n"
         "Controls the running machine NAME (menura boot --name NAME).\n");
    for (const ControlCommand *c = control_commands; c->name; c++) {
        printf("  %-12s%-14s%s\n", c->name, c->arguments, c->summary);
    }
    puts("\nExamples:\n"
         "  menura ctl mydos type 'dir\\n'\n"
         "  menura ctl mydos screenshot screen.png\n"
         "  menura ctl mydos change floppy0 disk2.img");
}

static int connect_to(const char *name)
{
    const char *why;
    char *error = NULL, *path = control_path(name, false, &error);
    int fd;

    if (!path) {
        fprintf(stderr, "menura ctl: %s\n", error);
        free(error);
        return -1;
    }
    fd = socket_connect(&(SocketAddress){.path = path}, 0, &why);
    if (fd < 0) {
        fprintf(stderr, "menura ctl: no machine named '%s' is running\n", name);
    }
    free(path);
    return fd;
}

/* Whether word i is a file here, whose name must be made absolute, for the machine may be
 * elsewhere; what is no file may be the name of an image on the network. */
static bool is_file(char **argv, int i)
{
    return (i == 1 && !strcmp(argv[0], "screenshot")) ||
           (i == 2 && !strcmp(argv[0], "change") && access(argv[i], F_OK) == 0);
}

/* The words as one line. */
static bool make_line(char *line, size_t size, int argc, char **argv)
{
    size_t used = 0;

    for (int i = 0; i < argc; i++) {
        char directory[PATH_MAX] = "";
        if (is_file(argv, i) && argv[i][0] != '/' && getcwd(directory, sizeof directory)) {
            strncat(directory, "/", sizeof directory - strlen(directory) - 1);
        }
        int n = snprintf(line + used, size - used, "%s%s%s", i ? " " : "", directory, argv[i]);
        if (n < 0 || used + (size_t)n + 2 > size) {
            return false;
        }
        used += (size_t)n;
    }
    /* A line break would end the command. */
    for (char *at; (at = strchr(line, '\n')) != NULL;) {
        *at = ' ';
    }
    line[used++] = '\n';
    line[used] = 0;
    return true;
}

/* Prints all lines, which a blank begins, but the last, which says how it went. */
static int print_answer(FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    int status = 1;

    while (getline(&line, &room, in) > 0) {
        if (!strcmp(line, "ok\n")) {
            status = 0;
            break;
        }
        if (!strncmp(line, "error: ", 7)) {
            fprintf(stderr, "menura ctl: %s", line + 7);
            break;
        }
        fputs(line + (line[0] == ' '), stdout);
    }
    free(line);
    return status;
}

int ctl_main(int argc, char **argv)
{
    char line[CONTROL_LINE];
    bool quit = argc > 2 && !strcmp(argv[2], "quit");
    int fd, status;

    if (argc < 3 || !strcmp(argv[1], "--help")) {
        help();
        return argc < 2 || strcmp(argv[1], "--help") ? BAD_USAGE : 0;
    }
    if (!make_line(line, sizeof line, argc - 2, argv + 2)) {
        fprintf(stderr, "menura ctl: the command is too long\n");
        return BAD_USAGE;
    }
    fd = connect_to(argv[1]);
    if (fd < 0) {
        return 1;
    }
    status = 1;
    FILE *in = fdopen(fd, "r");
    if (in && send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line)) {
        status = print_answer(in);
    }
    if (in) {
        fclose(in);
    }
    return quit ? 0 : status;
}
