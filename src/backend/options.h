/* The options of a back end, "NAME=VALUE,NAME,...", as all kinds of them take them, and the line
 * that says what is wrong with them. */
#ifndef BACKEND_OPTIONS_H
#define BACKEND_OPTIONS_H

/* Calls `take` for each option of the list, which is cut up, until one fails; a name alone is "on".
 * 0 or what take() returned. */
int backend_each_option(char *options,
                        int (*take)(void *port, const char *name, const char *value, char **error),
                        void *port, char **error);

/* asprintf for `char **error`; returns -code. */
int backend_error(char **error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
