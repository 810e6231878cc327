/* The list of accelerators: see accel.h. A new one is added here. */
#include "accel/accel.h"

#include <string.h>

#include "host/host.h"

static const Host *translating_host(const char **why)
{
    *why = "no translator to this machine's instructions is built in";
    for (const Host *const *host = hosts; *host; host++) {
        if (*host != &host_interp && (*host)->usable(why)) {
            return *host;
        }
    }
    return NULL;
}

static const Host *interpreter(const char **why)
{
    (void)why;
    return &host_interp;
}

static const Accel dbt = {
    .name = "dbt",
    .summary = "guest code is translated to the host's instructions",
    .host = translating_host,
};

static const Accel interp = {
    .name = "interp",
    .summary = "guest code is interpreted; slow, works on every machine",
    .host = interpreter,
};

const Accel *const accels[] = {&dbt, &interp, NULL};

const Accel *accel_find(const char *name)
{
    for (const Accel *const *accel = accels; *accel; accel++) {
        if (!strcmp((*accel)->name, name)) {
            return *accel;
        }
    }
    return NULL;
}
