/* menura: the command with subcommands. `run` hands over to menura-user, which is a program of its
 * own so that it can be static. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "cmd/img/img.h"
#include "cmd/version.h"

enum { BAD_USAGE = 125, CANNOT_EXECUTE = 126, NOT_FOUND = 127 };

#ifndef MENURA_LIBEXEC
#error "the build defines MENURA_LIBEXEC"
#endif

static int help(void)
{
    puts("Usage: menura COMMAND [ARGUMENT]...\n"
         "\n"
         "  run [OPTION]... PROGRAM [ARGUMENT]...   run a Linux program built for another CPU\n"
         "  img COMMAND [ARGUMENT]...               disk images: create, convert, check, ...\n"
         "  list [cpus|accels]                      what this build offers\n"
         "  --version, --help\n"
         "\n"
         "Examples:\n"
         "  menura run ./hello-arm64 world          a static program\n"
         "  menura run -L /srv/arm64 /bin/bash      a program and its libraries under a root\n"
         "  menura run --help                       the options of run\n"
         "  menura img convert -O qcow2 a.raw b.qcow2");
    return 0;
}

/* Replaces the process; returns the exit status of a failure. */
static int run(char **argv)
{
    char beside[PATH_MAX + 16];
    ssize_t length = readlink("/proc/self/exe", beside, PATH_MAX);

    argv[0] = "menura-user";
    if (length > 0) {
        beside[length] = 0;
        char *slash = strrchr(beside, '/');
        strcpy(slash ? slash + 1 : beside, "menura-user");
        execv(beside, argv);
    }
    execv(MENURA_LIBEXEC "/menura-user", argv);
    fprintf(stderr, "menura: cannot start menura-user, neither beside this program nor in %s: %s\n",
            MENURA_LIBEXEC, strerror(errno));
    return errno == ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
}

static const struct {
    const char *subject, *name, *text;
} offers[] = {
    {"cpus", "aarch64", "64-bit ARM, Linux programs"},
    {"cpus", "x86_64", "64-bit x86, Linux programs"},
    {"cpus", "i386", "32-bit x86, Linux programs"},
    {"accels", "dbt", "translate to host code"},
    {"accels", "interp", "interpret the intermediate representation; slow, runs on any host"},
};

static int list(const char *subject)
{
    bool found = false;

    for (size_t i = 0; i < COUNT(offers); i++) {
        if (!subject) {
            printf("%-8s", offers[i].subject);
        }
        if (!subject || !strcmp(offers[i].subject, subject)) {
            printf("%-10s %s\n", offers[i].name, offers[i].text);
            found = true;
        }
    }
    if (!found) {
        fprintf(stderr, "menura: nothing to list is called '%s'; there are cpus and accels\n",
                subject);
        return BAD_USAGE;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;

    if (argc && !strcmp(slash ? slash + 1 : argv[0], "qemu-img")) {
        return img_main("qemu-img", argc, argv);
    }
    if (!strcmp(command, "img")) {
        return img_main("menura img", argc - 1, argv + 1);
    }
    if (!strcmp(command, "run")) {
        return run(argv + 1);
    }
    if (!strcmp(command, "list")) {
        return list(argv[2]);
    }
    if (!strcmp(command, "--version")) {
        puts("menura " MENURA_VERSION);
        return 0;
    }
    if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help")) {
        return help();
    }
    if (*command) {
        fprintf(stderr, "menura: unknown command '%s' (try --help)\n", command);
    } else {
        fprintf(stderr, "menura: no command given (try --help)\n");
    }
    return BAD_USAGE;
}
