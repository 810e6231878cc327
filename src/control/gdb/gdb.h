/* A server of gdb's remote protocol (GDB manual, appendix "Remote Serial Protocol") for a machine:
 * every vCPU is a thread, all stop together.
 *
 * While no debugger is connected nothing costs anything. A connection stops the machine; when it
 * ends, by "detach" or by itself, breakpoints go and the machine runs. One debugger at a time. */
#ifndef CONTROL_GDB_GDB_H
#define CONTROL_GDB_GDB_H

#include "machine/machine.h"

typedef struct GdbServer GdbServer;

/* Listens at "PORT", "tcp::PORT", "tcp:HOST:PORT" (HOST: a number; without one 127.0.0.1), or
 * "unix:PATH". NULL with one line in *error (to be freed). Before machine_start(). */
GdbServer *gdb_server_new(Machine *machine, const char *where, char **error);
void gdb_server_free(GdbServer *server);

#endif
