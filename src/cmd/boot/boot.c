/* menura boot: makes the machine that the command line asks for, and runs it. */
#include "cmd/boot/boot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control.h"

enum { BAD_USAGE = 125, DEFAULT_MEMORY = 1 << 30 };

/* SIGINT, SIGTERM, SIGHUP: end the machine in order. */
static void signal_ready(void *opaque, u32 events)
{
    Machine *machine = opaque;

    (void)events;
    machine_quit(machine, 0);
}

/* Blocked before threads start, so that the descriptor gets them. */
static int make_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(BootCommand *command)
{
    int signals = make_signals(), status = 1;
    char *error = NULL;
    Machine *machine = machine_new(&command->machine, &error);
    Control *control = NULL;

    if (machine && command->machine.name) {
        control = control_new(machine, command->machine.name, &error);
    }
    if (machine && !error &&
        loop_watch(machine->loop, signals, EPOLLIN, signal_ready, machine) == 0 &&
        machine_start(machine, &error) == 0) {
        status = machine_run(machine);
    }
    if (error) {
        boot_fail(command, "%s", error);
        free(error);
    }
    control_free(control);
    machine_free(machine);
    close(signals);
    return status;
}

int boot_main(const char *program, bool qemu, int argc, char **argv)
{
    BootCommand command = {.program = program, .qemu = qemu};
    int status = BAD_USAGE, result;

    command.machine.memory = DEFAULT_MEMORY;
    command.machine.cpus = 1;
    if (boot_parse(&command, argc, argv)) {
        result = command.log_file ? log_open(command.log_file) : 0;
        if (result < 0) {
            boot_fail(&command, "cannot write %s: %s", command.log_file, strerror(-result));
        } else {
            status = command.done ? 0 : run(&command);
        }
    }
    while (command.machine.devices) {
        DeviceRequest *request = command.machine.devices;
        command.machine.devices = request->next;
        free(request);
    }
    boot_free_drives(&command);
    return status;
}
