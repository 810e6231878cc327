/* The list of accelerators: ways to run a vCPU. */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "base/types.h"

typedef struct Host Host;

typedef struct Accel {
    const char *name;    /* for --accel */
    const char *summary; /* one line */
    /* The back end that it uses on this machine; NULL if there is none, with *why saying what is
     * missing. */
    const Host *(*host)(const char **why);
} Accel;

/* By preference; NULL-terminated. */
extern const Accel *const accels[];

/* NULL if there is none of that name. */
const Accel *accel_find(const char *name);

#endif
