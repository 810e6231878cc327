/* Character ports: a stream of bytes each way between a device (serial port, console, debug port)
 * and something of the host.
 *
 *     CharPort *port;
 *     char *error;
 *     if (char_open(&port, "unix:/run/console,server,nowait", loop, &error) < 0) ...
 *     char_attach(port, &user, device);
 *     char_write(port, (const u8 *)"hello", 5);
 *
 * Nothing here waits: what is written goes out when the loop runs, what arrives is handed over when
 * the user has room. Everything is called under the loop's lock, if it has one.
 * Must not know devices. Back ends are written against driver.h. */
#ifndef BACKEND_CHAR_CHAR_H
#define BACKEND_CHAR_CHAR_H

#include "base/loop.h"

typedef struct CharPort CharPort;

typedef enum CharEvent {
    CHAR_CONNECTED,
    CHAR_DISCONNECTED, /* what is written is lost until somebody connects */
    CHAR_BREAK,        /* the line was held low */
} CharEvent;

/* Who uses a port. */
typedef struct CharUser {
    /* How many bytes it can take now. When it has said 0, char_accept() tells of new room. */
    size_t (*room)(void *opaque);
    /* At least 1 and at most as many bytes as there is room for. */
    void (*receive)(void *opaque, const u8 *bytes, size_t size);
    /* After char_write() took fewer bytes than it was given: it takes more now. NULL: ignored. */
    void (*drained)(void *opaque);
    /* NULL: ignored. */
    void (*event)(void *opaque, CharEvent event);
} CharUser;

/* Opens what `spec` names:
 *
 *     null                               discards, never sends
 *     stdio[,signal=off]                 the terminal, made raw; off: Ctrl-C is sent, too
 *     file:PATH[,append=on]              what is written; /dev/... and named pipes are also read
 *     pty                                a new pseudo-terminal: see char_name()
 *     unix:PATH[,server=on][,wait=off]   a socket; a server waits for its first client unless told
 *     tcp:HOST:PORT[,...]                the same; "server" and "nowait" are understood, too
 *     ring                               memory, for tests: see below
 *
 * 0 or -errno with one line in *error, to be freed. */
int char_open(CharPort **port, const char *spec, Loop *loop, char **error);

/* Writes what it can of the rest without waiting, and frees. NULL is fine. */
void char_close(CharPort *port);

/* Makes somebody the port's user, the only one; user == NULL: nobody. */
void char_attach(CharPort *port, const CharUser *user, void *opaque);

/* Takes up to `size` bytes to send and returns how many. A port that is NULL takes all, and so does
 * one that is not connected. */
size_t char_write(CharPort *port, const u8 *bytes, size_t size);

/* The user has room again. May call receive() before it returns. NULL is fine. */
void char_accept(CharPort *port);

bool char_is_connected(const CharPort *port);

/* For messages: the spec, of a pseudo-terminal its path. */
const char *char_name(const CharPort *port);

/* -- "ring": the other end is the caller */

/* Sends bytes to the user as it has room. The port keeps what does not fit yet. */
void char_ring_feed(CharPort *port, const void *bytes, size_t size);
/* Takes up to `size` bytes of what the user wrote; returns how many. */
size_t char_ring_take(CharPort *port, void *bytes, size_t size);
/* Calls `written` from inside char_write() when the user has written something; NULL: no more. */
void char_ring_listen(CharPort *port, void (*written)(void *opaque), void *opaque);
/* As if the other end did this. */
void char_ring_event(CharPort *port, CharEvent event);
/* Takes no more than `size` bytes until they are taken. */
void char_ring_limit(CharPort *port, size_t size);

#endif
