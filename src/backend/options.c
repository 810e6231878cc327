/* Lists of options: see options.h. */
#include "backend/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

int backend_error(char **error, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vasprintf(error, format, args) < 0) {
        abort();
    }
    va_end(args);
    return -code;
}
