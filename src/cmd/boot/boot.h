/* menura boot: a whole machine from the command line, in our words or in QEMU's. */
#ifndef CMD_BOOT_BOOT_H
#define CMD_BOOT_BOOT_H

#include "block/object.h"
#include "machine/machine.h"

typedef enum BootDisplay {
    BOOT_DISPLAY_UNSET, /* what fits */
    BOOT_DISPLAY_NONE,
    BOOT_DISPLAY_TERMINAL,
    BOOT_DISPLAY_WINDOW,
} BootDisplay;

/* What the command line asks for. */
typedef struct BootCommand {
    MachineOptions machine;
    char boot_order[8], boot_once[8]; /* what the machine's point to */
    const char *program;              /* how it was called, for messages */
    bool qemu;                        /* QEMU's command line */
    bool snapshot;                    /* disks are left as they are */
    ObjectList *objects;              /* that options of disks name; or NULL */
    BootDisplay display;
    bool full_screen;
    bool in_terminal[MACHINE_SERIAL_PORTS]; /* serial ports of the terminal's seat */
    const char *gdb;                        /* where to wait for gdb; NULL: nowhere */
    const char *log_file;
    bool done; /* --help and the like: nothing to run */
} BootCommand;

/* menura boot ... or qemu-system-...; returns the exit status. */
int boot_main(const char *program, bool qemu, int argc, char **argv);

/* -- options.c */
/* Fills *command; false after a message. */
bool boot_parse(BootCommand *command, int argc, char **argv);
/* One line to stderr, with the program's name. */
void boot_fail(const BootCommand *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* -- drives.c */
/* Adds a drive: interface (NULL: the board's usual one) and place as in DriveRequest, text is a
 * file name, or with `options` a "file=...,format=..." list. False after a message. */
bool boot_add_drive(BootCommand *command, const char *interface, int index, bool cdrom,
                    const char *text, bool options);
/* Makes what --object says, wherever it stands: before the drives, which may name it. */
bool boot_add_objects(BootCommand *command, int argc, char **argv);
/* The objects, too. */
/* The board is known: drives that were given no interface get its usual one. */
void boot_settle_drives(BootCommand *command);
void boot_free_drives(BootCommand *command);

/* -- backends.c */
/* Adds a network (--netdev) or a character device (--chardev). False after a message. */
bool boot_add_backend(BootCommand *command, bool net, const char *text);
void boot_free_backends(BootCommand *command);

/* -- seat.c */
typedef struct BootSeat BootSeat;

/* --display, by our names or QEMU's; -curses. False after a message. */
bool boot_parse_display(BootCommand *command, const char *text);
bool boot_use_curses(BootCommand *command, const char *text);
/* Settles where the screen and the serial ports go, before the machine is made; false after a
 * message. */
bool boot_choose_display(BootCommand *command);
/* The front ends, of a machine that does not run yet; some, and one line in *error, where one can't
 * be had. Signals are blocked: threads may be made. */
BootSeat *boot_seat_new(const BootCommand *command, Machine *machine, char **error);
/* Before the machine goes. NULL is fine. */
void boot_seat_free(BootSeat *seat);
/* The terminal may have changed; under the machine lock. NULL is fine. */
void boot_seat_refresh(BootSeat *seat);

/* -- firmware.c */
/* Adds OVMF's flash chips. variables: the file that keeps what the guest sets, made if it is not
 * there; NULL: that is lost at the end. False after a message. */
bool boot_add_uefi(BootCommand *command, const char *variables);

#endif
