/* menura boot: makes the machine that the command line asks for, and runs it. */
#include "cmd/boot/boot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "backend/char/terminal.h"
#include "base/log.h"
#include "control/control.h"
#include "control/gdb/gdb.h"

enum { BAD_USAGE = 125, DEFAULT_MEMORY = 1 << 30 };

typedef struct Running {
    Machine *machine;
    BootSeat *seat;
    int signals; /* a signalfd */
} Running;

/* SIGINT, SIGTERM, SIGHUP: end the machine in order. The others are about the terminal. */
static void signal_ready(void *opaque, u32 events)
{
    const Running *running = opaque;
    struct signalfd_siginfo info;

    (void)events;
    if (read(running->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    switch (info.ssi_signo) {
    case SIGTSTP:
        terminal_suspend();
        boot_seat_refresh(running->seat);
        break;
    case SIGWINCH:
        boot_seat_refresh(running->seat);
        break;
    default:
        machine_quit(running->machine, 0);
    }
}

/* Blocked before threads start, so that the descriptor gets them. */
static int make_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(BootCommand *command)
{
    Running running = {.signals = make_signals()};
    int status = 1;
    char *error = NULL;
    Machine *machine = running.machine = machine_new(&command->machine, &error);
    Control *control = NULL;
    GdbServer *gdb = NULL;

    if (machine && command->machine.name) {
        control = control_new(machine, command->machine.name, &error);
    }
    if (machine && !error && command->gdb) {
        gdb = gdb_server_new(machine, command->gdb, &error);
    }
    if (machine && !error) {
        running.seat = boot_seat_new(command, machine, &error);
    }
    if (machine && !error &&
        loop_watch(machine->loop, running.signals, EPOLLIN, signal_ready, &running) == 0 &&
        machine_start(machine, &error) == 0) {
        status = machine_run(machine);
    }
    boot_seat_free(running.seat);
    if (error) {
        boot_fail(command, "%s", error);
        free(error);
    }
    gdb_server_free(gdb);
    control_free(control);
    machine_free(machine);
    close(running.signals);
    return status;
}

static void free_requests(DeviceRequest *request)
{
    while (request) {
        DeviceRequest *next = request->next;
        free(request);
        request = next;
    }
}

int boot_main(const char *program, bool qemu, int argc, char **argv)
{
    BootCommand command = {.program = program, .qemu = qemu};
    int status = BAD_USAGE, result;

    command.machine.memory = DEFAULT_MEMORY;
    command.machine.cpus = command.machine.sockets = 1;
    if (boot_parse(&command, argc, argv)) {
        result = command.log_file ? log_open(command.log_file) : 0;
        if (result < 0) {
            boot_fail(&command, "cannot write %s: %s", command.log_file, strerror(-result));
        } else {
            status = command.done ? 0 : boot_choose_display(&command) ? run(&command) : BAD_USAGE;
        }
    }
    free_requests(command.machine.devices);
    free_requests(command.machine.smbios);
    boot_free_drives(&command);
    boot_free_backends(&command);
    return status;
}
