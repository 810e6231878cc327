/* Lists of options: see options.h. */
#include "backend/options.h"

#include <string.h>

int backend_each_option(char *options,
                        int (*take)(void *port, const char *name, const char *value, char **error),
                        void *port, char **error)
{
    char *rest = NULL;
    int result = 0;

    for (char *name = strtok_r(options, ",", &rest); name && result == 0;
         name = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(name, '=');
        if (value) {
            *value++ = 0;
        }
        result = take(port, name, value ? value : "on", error);
    }
    return result;
}
