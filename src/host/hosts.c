/* The list of hosts, by preference: the best one that is usable comes first. A new host is added
 * here. */
#include "host/host.h"

const Host *const hosts[] = {
#ifdef HOST_X86_64
    &host_x86_64,
#endif
    &host_interp,
    NULL,
};
