/* The machine as gdb sees it: threads, registers, memory, breakpoints; what packets ask for. */
#ifndef CONTROL_GDB_TARGET_H
#define CONTROL_GDB_TARGET_H

#include "control/gdb/packet.h"
#include "guest/debug.h"
#include "machine/machine.h"

enum { GDB_BREAKPOINTS = 256 };

typedef enum GdbSignal {
    GDB_SIGNAL_NONE = 0,
    GDB_SIGNAL_INT = 2,
    GDB_SIGNAL_TRAP = 5,
} GdbSignal;

typedef struct GdbTarget {
    Machine *machine;
    const GuestDebug *debug;
    char *description;        /* target.xml; owned */
    u32 thread;               /* index of the processor that packets are about (H) */
    bool running;             /* gdb waits for a stop */
    bool reports_breakpoints; /* gdb understands "swbreak" */
    bool no_acknowledge;      /* packets are not acknowledged any more */
    bool detached, killed;    /* after the answer: gdb is done, or the machine */
    u64 breakpoints[GDB_BREAKPOINTS];
    u32 breakpoint_count;
} GdbTarget;

/* False: the machine's CPU has no description for debuggers. */
bool gdb_target_init(GdbTarget *target, Machine *machine);
void gdb_target_free(GdbTarget *target);

/* A debugger came: the machine stops; it went: breakpoints go and the machine runs. */
void gdb_target_attach(GdbTarget *target);
void gdb_target_detach(GdbTarget *target);

/* Does what a packet says. False: there is no answer yet, target->running says why. */
bool gdb_target_packet(GdbTarget *target, const char *packet, GdbWriter *answer);
/* The answer after the machine, which `running`, stopped; linear address `pc` for a breakpoint or
 * step of `processor`, NULL if gdb asked. */
void gdb_target_stopped(GdbTarget *target, const Processor *processor, u64 pc, GdbWriter *answer);

/* -- description.c */

/* The XML of a target description; to be freed. */
char *gdb_description(const GuestDebug *debug);

#endif
