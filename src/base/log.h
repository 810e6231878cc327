/* Diagnostic logging: what `-d` selects, and where it goes.
 *
 * One letter or word switches one kind of message on; the hot path tests one bit of a mask.
 * Errors for the user are not logs: they go through error.h. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/types.h"

typedef enum LogKind {
    LOG_IN = 1 << 0,           /* guest instructions as decoded */
    LOG_IR = 1 << 1,           /* IR as translated */
    LOG_OPT = 1 << 2,          /* IR after all passes */
    LOG_PASSES = 1 << 3,       /* IR after each pass */
    LOG_OUT = 1 << 4,          /* host code */
    LOG_EXEC = 1 << 5,         /* every block entered through the dispatcher */
    LOG_UNIMP = 1 << 6,        /* guest features that are missing */
    LOG_GUEST_ERRORS = 1 << 7, /* guest mistakes */
    LOG_STRACE = 1 << 8,       /* guest system calls */
    LOG_SIGNAL = 1 << 9,       /* guest signals and faults */
    LOG_CACHE = 1 << 10,       /* code cache events: eviction, invalidation */
    LOG_TIME = 1 << 11,        /* what translating each block took */
} LogKind;

/* Bits of LogKind that are on. Written at start-up only. */
extern u32 log_mask;

static inline bool log_on(LogKind kind)
{
    return unlikely(log_mask & (u32)kind);
}

/* Switches on the kinds in a list such as "in,ir,out" or "all". Returns false, with the offending
 * word in *bad (into `list`, ended by ',' or NUL), when a word is unknown. */
bool log_parse(const char *list, const char **bad);

/* Prints one line per kind with its meaning, for `-d help`. */
void log_help(void);

/* Sends the log to the file (created, truncated); stderr otherwise. Returns 0 or -errno. */
int log_open(const char *path);

/* The same, adding to what the file holds. */
int log_append(const char *path);

/* printf to the log, in one write so that threads' lines do not mix. */
void log_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
