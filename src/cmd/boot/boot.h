/* menura boot: a whole machine from the command line, in our words or in QEMU's. */
#ifndef CMD_BOOT_BOOT_H
#define CMD_BOOT_BOOT_H

#include "machine/machine.h"

/* What the command line asks for. */
typedef struct BootCommand {
    MachineOptions machine;
    const char *program; /* how it was called, for messages */
    bool qemu;           /* QEMU's command line */
    bool snapshot;       /* disks are left as they are */
    const char *display; /* "none", "terminal", "window"; NULL: what fits */
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
/* Adds a drive: interface and place as in DriveRequest, text is a file name, or with `options` a
 * "file=...,format=..." list. False after a message. */
bool boot_add_drive(BootCommand *command, const char *interface, int index, bool cdrom,
                    const char *text, bool options);
void boot_free_drives(BootCommand *command);

#endif
