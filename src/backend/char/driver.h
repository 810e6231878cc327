/* What a back end of character ports supplies. Most only open descriptors: char.c reads, writes and
 * buffers for them. */
#ifndef BACKEND_CHAR_DRIVER_H
#define BACKEND_CHAR_DRIVER_H

#include "backend/char/char.h"

typedef struct CharDriver {
    const char *name;
    size_t size; /* of the struct, which begins with a CharPort */
    /* argument: what follows "name:" up to the first comma, or "". Options come one by one before,
     * each "name=value"; "name" alone is "name=on". Both: 0 or -errno with a line in *error. */
    int (*option)(CharPort *port, const char *name, const char *value, char **error);
    int (*open)(CharPort *port, const char *argument, char **error);
    void (*close)(CharPort *port);
    /* The other end hung up: after this the descriptors are closed and not used any more.
     * NULL: nothing else. */
    void (*hung_up)(CharPort *port);
    /* Something new is in the buffer. NULL: nothing else. */
    void (*written)(CharPort *port);
} CharDriver;

struct CharPort {
    const CharDriver *driver;
    Loop *loop;
    char *name; /* owned */
    const CharUser *user;
    void *opaque;
    bool connected;
    bool lossy; /* drops what does not fit rather than let the user wait */
    int input;  /* descriptors that do not block, -1: none; may be the same */
    int output;
    bool read_freely; /* the input is a plain file, always ready */
    bool refused;     /* a write was cut short: the user waits */
    u8 *buffer;       /* what is to be written: a ring */
    size_t start, size, limit;
};

/* Descriptors to use from now on; closed by the port. */
void char_use(CharPort *port, int input, int output);
/* The user hears of it. */
void char_tell(CharPort *port, CharEvent event);
/* Names the port. */
void char_set_name(CharPort *port, const char *name);
/* "on" or "off" into *value; else an error. */
int char_switch(const char *name, const char *value, bool *on, char **error);

/* Another descriptor for what fd is open on, which does not block; fd itself does not change. */
int char_reopen(int fd, int flags);

extern const CharDriver char_driver_file;
extern const CharDriver char_driver_null;
extern const CharDriver char_driver_pty;
extern const CharDriver char_driver_ring;
extern const CharDriver char_driver_stdio;
extern const CharDriver char_driver_tcp;
extern const CharDriver char_driver_unix;

#endif
