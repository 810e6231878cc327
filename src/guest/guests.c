/* The list of guest CPUs. */
#include "guest/guest.h"

#include <string.h>

const Guest *const guests[] = {&guest_aarch64, &guest_x86_64, &guest_i386, NULL};

const Guest *guest_find(const char *name)
{
    for (const Guest *const *guest = guests; *guest; guest++) {
        if (strcmp((*guest)->name, name) == 0) {
            return *guest;
        }
    }
    return NULL;
}
