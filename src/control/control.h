/* Control of a running machine over a socket in the run directory: what `menura ctl NAME` talks to.
 *
 * A client sends one line, a command with its words, and gets lines back: those of the answer, with
 * a blank in front of each, and then "ok", or "error: " and why. Lines are of at most CONTROL_LINE
 * bytes. Several clients may be connected. Commands run on the main loop, under the machine lock.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "machine/machine.h"

enum { CONTROL_LINE = 4096 };

typedef struct Control Control;

/* Listens for the machine of that name. NULL with one line in *error (to be freed). */
Control *control_new(Machine *machine, const char *name, char **error);
void control_free(Control *control);

/* The path of a machine's socket, to be freed; NULL with *error. make: the directory is made. */
char *control_path(const char *name, bool make, char **error);

/* -- commands.c */

/* Where an answer goes. */
typedef struct ControlReply {
    char *text; /* lines; owned */
    size_t size;
} ControlReply;

void reply_line(ControlReply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct ControlCommand {
    const char *name, *arguments, *summary;
    /* words[0] is the command; rest is the line after it. 0 or -errno with *error. */
    int (*run)(Machine *machine, char **words, u32 count, const char *rest, ControlReply *reply,
               char **error);
} ControlCommand;

/* Ended by one without a name. */
extern const ControlCommand control_commands[];

/* Runs a line. 0 or -errno with *error. */
int control_run(Machine *machine, const char *line, ControlReply *reply, char **error);

/* -- media.c: commands, as above */
int control_change(Machine *machine, char **words, u32 count, const char *rest, ControlReply *reply,
                   char **error);
int control_eject(Machine *machine, char **words, u32 count, const char *rest, ControlReply *reply,
                  char **error);
void control_info_block(Machine *machine, ControlReply *reply);

/* -- keys.c */

/* Linux's code of a key by QEMU's name for it ("ret", "ctrl", "a", "kp_5"...); 0: unknown. */
unsigned control_key(const char *name);

#endif
