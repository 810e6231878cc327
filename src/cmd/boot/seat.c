/* Where the user sees the machine and acts on it: what --display says, or what fits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/char/terminal.h"
#include "backend/display/terminal.h"
#include "backend/display/window.h"
#include "cmd/boot/boot.h"

struct BootSeat {
    Machine *machine;
    TerminalSeat *terminal;
    WindowSeat *window;
};

/* -- Names */

/* "full-screen=on", and what of QEMU's options is so here anyway. */
static bool parse_display_options(BootCommand *command, const char *text)
{
    static const char *const so_anyway[] = {"gl=off", "window-close=on", "zoom-to-fit=on"};

    while (*text == ',') {
        size_t length = strcspn(++text, ",");
        bool known = false;
        for (size_t i = 0; i < COUNT(so_anyway); i++) {
            known |= strlen(so_anyway[i]) == length && !strncmp(text, so_anyway[i], length);
        }
        if (length == 14 && !strncmp(text, "full-screen=on", length)) {
            command->full_screen = true;
        } else if (!known) {
            boot_fail(command, "a display has no option '%.*s', only full-screen=on", (int)length,
                      text);
            return false;
        }
        text += length;
    }
    return true;
}

bool boot_parse_display(BootCommand *command, const char *text)
{
    static const struct {
        const char *name;
        bool qemu; /* QEMU's name for it, or ours */
        BootDisplay display;
    } displays[] = {
        {"terminal", false, BOOT_DISPLAY_TERMINAL}, {"window", false, BOOT_DISPLAY_WINDOW},
        {"none", false, BOOT_DISPLAY_NONE},         {"curses", true, BOOT_DISPLAY_TERMINAL},
        {"gtk", true, BOOT_DISPLAY_WINDOW},         {"sdl", true, BOOT_DISPLAY_WINDOW},
        {"none", true, BOOT_DISPLAY_NONE},
    };
    size_t length = strcspn(text, ",");

    for (size_t i = 0; i < COUNT(displays); i++) {
        if (displays[i].qemu == command->qemu && strlen(displays[i].name) == length &&
            !strncmp(displays[i].name, text, length)) {
            command->display = displays[i].display;
            return parse_display_options(command, text + length);
        }
    }
    boot_fail(command, "there is no display '%.*s'; there are %s", (int)length, text,
              command->qemu ? "curses, gtk, sdl and none" : "terminal, window and none");
    return false;
}

bool boot_use_curses(BootCommand *command, const char *text)
{
    (void)text;
    return boot_parse_display(command, "curses");
}

/* -- Which */

static bool is_terminal_port(const char *spec)
{
    return spec && (!strcmp(spec, "terminal") || !strcmp(spec, "mon:stdio"));
}

/* Whether a port has standard input and output for itself. */
static bool uses_stdio(const MachineOptions *options)
{
    bool uses = options->debug && !strncmp(options->debug, "stdio", 5);

    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        uses |= options->serial[i] && !strncmp(options->serial[i], "stdio", 5);
    }
    return uses;
}

static bool has_serial(const MachineOptions *options)
{
    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (options->serial[i]) {
            return true;
        }
    }
    return false;
}

/* Who gives standard input and output to a port wants that, and for QEMU's command line a window as
 * well. */
static BootDisplay what_fits(const BootCommand *command)
{
    bool stdio = uses_stdio(&command->machine);

    if ((command->qemu || !stdio) && window_is_possible()) {
        return BOOT_DISPLAY_WINDOW;
    }
    return stdio || !terminal_is_ours() ? BOOT_DISPLAY_NONE : BOOT_DISPLAY_TERMINAL;
}

/* Ports that go to the terminal end in memory; the terminal's seat takes it from there. */
static void turn_terminal_ports(BootCommand *command)
{
    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        command->in_terminal[i] = is_terminal_port(command->machine.serial[i]);
        if (command->in_terminal[i]) {
            command->machine.serial[i] = "ring";
        }
    }
}

bool boot_choose_display(BootCommand *command)
{
    MachineOptions *options = &command->machine;

    if (command->display == BOOT_DISPLAY_UNSET) {
        command->display = what_fits(command);
    }
    if (command->display == BOOT_DISPLAY_TERMINAL) {
        if (!terminal_is_ours()) {
            boot_fail(command, "--display terminal: standard input and output are not a terminal");
            return false;
        }
        if (uses_stdio(options)) {
            boot_fail(command, "--display terminal has the terminal: stdio cannot be a port, but "
                               "--serial terminal shares it");
            return false;
        }
        options->text_screen = true;
        if (!has_serial(options)) {
            options->serial[0] = "terminal";
        }
    }
    turn_terminal_ports(command);
    return true;
}

/* -- What it may do */

static void act(void *opaque, SeatAction action)
{
    Machine *machine = opaque;

    switch (action) {
    case SEAT_QUIT:
        machine_quit(machine, 0);
        break;
    case SEAT_RESET:
        machine->board.event(&machine->board, BOARD_RESET, 0);
        break;
    case SEAT_POWER_BUTTON:
        machine_power_button(machine);
        break;
    case SEAT_PAUSE:
        if (machine->state == MACHINE_RUNNING) {
            machine_pause(machine);
        } else {
            machine_resume(machine);
        }
        break;
    }
}

static void type(void *opaque, const unsigned *codes, u32 count)
{
    machine_type_keys(opaque, codes, count);
}

static bool is_running(void *opaque)
{
    return ((const Machine *)opaque)->state == MACHINE_RUNNING;
}

static Seat make_seat(const BootCommand *command, Machine *machine)
{
    const char *append = command->machine.append;
    Seat seat = {.name = command->machine.name,
                 .loop = machine->loop,
                 .lock = &machine->lock,
                 .input = machine->input,
                 .ports_first = append && strstr(append, "console=ttyS"),
                 .opaque = machine,
                 .act = act,
                 .type = type,
                 .is_running = is_running};

    for (u32 i = 0; i < MIN((u32)SEAT_PORTS, (u32)MACHINE_SERIAL_PORTS); i++) {
        seat.ports[i] = command->in_terminal[i] ? machine->serial[i] : NULL;
    }
    return seat;
}

static bool has_terminal_port(const Seat *seat)
{
    for (u32 i = 0; i < SEAT_PORTS; i++) {
        if (seat->ports[i]) {
            return true;
        }
    }
    return false;
}

/* -- Life */

BootSeat *boot_seat_new(const BootCommand *command, Machine *machine, char **error)
{
    BootSeat *boot = calloc(1, sizeof *boot);
    Seat seat = make_seat(command, machine);

    if (!boot) {
        abort();
    }
    boot->machine = machine;
    pthread_mutex_lock(&machine->lock);
    if (command->display == BOOT_DISPLAY_TERMINAL || has_terminal_port(&seat)) {
        seat.display = command->display == BOOT_DISPLAY_TERMINAL ? machine->display : NULL;
        boot->terminal = terminal_seat_new(&seat, error);
    }
    pthread_mutex_unlock(&machine->lock);
    if (command->display == BOOT_DISPLAY_WINDOW && !*error) {
        seat.display = machine->display;
        boot->window = window_seat_new(&seat, command->full_screen, error);
    }
    return boot;
}

void boot_seat_free(BootSeat *boot)
{
    if (!boot) {
        return;
    }
    window_seat_free(boot->window);
    pthread_mutex_lock(&boot->machine->lock);
    terminal_seat_free(boot->terminal);
    pthread_mutex_unlock(&boot->machine->lock);
    free(boot);
}

void boot_seat_refresh(BootSeat *boot)
{
    if (boot) {
        terminal_seat_resized(boot->terminal);
    }
}
