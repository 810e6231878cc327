/* menura: the command with subcommands. `run` hands over to menura-user, which is a program of its
 * own so that it can be static. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "block/driver.h"
#include "cmd/boot/boot.h"
#include "cmd/ctl/ctl.h"
#include "cmd/img/img.h"
#include "cmd/nbd/nbd.h"
#include "cmd/version.h"
#include "device/core/device.h"
#include "guest/x86/cpuid.h"
#include "machine/machine.h"

enum { BAD_USAGE = 125, CANNOT_EXECUTE = 126, NOT_FOUND = 127 };

#ifndef MENURA_LIBEXEC
#error "the build defines MENURA_LIBEXEC"
#endif

static int help(void)
{
    puts(
        "Usage: menura COMMAND [ARGUMENT]...\n"
        "\n"
        "  run [OPTION]... PROGRAM [ARGUMENT]...   run a Linux program built for another CPU\n"
        "  boot [OPTION]... [DISK]                 start a whole PC\n"
        "  ctl NAME COMMAND [ARGUMENT]...          control a running machine\n"
        "  img COMMAND [ARGUMENT]...               disk images: create, convert, check, ...\n"
        "  nbd [OPTION]... DISK                    serve a disk image over the network\n"
        "  list [SUBJECT]                          what this build offers: cpus, accels, formats,\n"
        "                                          machines, devices\n"
        "  --version, --help\n"
        "\n"
        "Examples:\n"
        "  menura run ./hello-arm64 world          a static program\n"
        "  menura run -L /srv/arm64 /bin/bash      a program and its libraries under a root\n"
        "  menura run --help                       the options of run\n"
        "  menura img convert -O qcow2 a.raw b.qcow2\n"
        "  menura boot --name dos disk.qcow2       a PC with that disk\n"
        "  menura ctl dos text                     what its screen shows");
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
    {"cpus", "aarch64", "64-bit ARM: Linux programs"},
    {"cpus", "x86_64", "64-bit x86: Linux programs, machines"},
    {"cpus", "i386", "32-bit x86: Linux programs"},
    {"accels", "dbt", "translate to host code"},
    {"accels", "interp", "interpret the intermediate representation; slow, runs on any host"},
};

/* One line of a listing; with its subject when everything is listed. */
static void print_offer(const char *wanted, const char *subject, const char *name, const char *text)
{
    if (!wanted) {
        printf("%-9s", subject);
    }
    printf("%-16s %s\n", name, text);
}

/* What --cpu takes for x86 guests. */
static void list_models(const char *wanted)
{
    for (const X86Model *model = x86_models; model->name; model++) {
        char text[100];
        snprintf(text, sizeof text, "x86 model: %s", model->text);
        print_offer(wanted, "cpus", model->name, text);
    }
}

static void list_formats(const char *wanted)
{
    for (size_t i = 0; block_drivers[i]; i++) {
        const BlockDriver *driver = block_drivers[i];
        if (driver->kind == BLOCK_FORMAT) {
            print_offer(wanted, "formats", driver->name,
                        driver->create ? "disk images" : "disk images, read only");
        }
    }
}

static void list_machines(const char *wanted)
{
    for (size_t i = 0; board_defs[i]; i++) {
        print_offer(wanted, "machines", board_defs[i]->name, board_defs[i]->summary);
    }
}

static void list_devices(const char *wanted)
{
    for (size_t i = 0; device_defs[i]; i++) {
        print_offer(wanted, "devices", device_defs[i]->name, device_defs[i]->summary);
    }
}

static int list(const char *wanted)
{
    static const struct {
        const char *subject;
        void (*print)(const char *wanted); /* NULL: `offers` has all */
    } subjects[] = {
        {"cpus", list_models},       {"accels", NULL},          {"formats", list_formats},
        {"machines", list_machines}, {"devices", list_devices},
    };
    bool found = false;

    for (size_t i = 0; i < COUNT(subjects); i++) {
        if (wanted && strcmp(subjects[i].subject, wanted) != 0) {
            continue;
        }
        found = true;
        for (size_t k = 0; k < COUNT(offers); k++) {
            if (!strcmp(offers[k].subject, subjects[i].subject)) {
                print_offer(wanted, offers[k].subject, offers[k].name, offers[k].text);
            }
        }
        if (subjects[i].print) {
            subjects[i].print(wanted);
        }
    }
    if (!found) {
        fprintf(stderr,
                "menura: nothing to list is called '%s'; there are cpus, accels, formats, machines "
                "and devices\n",
                wanted);
        return BAD_USAGE;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;
    const char *called = argc ? (slash ? slash + 1 : argv[0]) : "";

    if (!strcmp(called, "qemu-img")) {
        return img_main("qemu-img", argc, argv);
    }
    if (!strcmp(called, "qemu-nbd")) {
        return nbd_main("qemu-nbd", argc, argv, true);
    }
    if (!strcmp(called, "qemu-system-x86_64") || !strcmp(called, "qemu-system-i386")) {
        return boot_main(called, true, argc, argv);
    }
    if (!strcmp(command, "nbd")) {
        return nbd_main("menura nbd", argc - 1, argv + 1, false);
    }
    if (!strcmp(command, "img")) {
        return img_main("menura img", argc - 1, argv + 1);
    }
    if (!strcmp(command, "boot")) {
        return boot_main("menura boot", false, argc - 1, argv + 1);
    }
    if (!strcmp(command, "ctl")) {
        return ctl_main(argc - 1, argv + 1);
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
