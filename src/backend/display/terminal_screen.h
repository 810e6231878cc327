/* A terminal's screen: what it is to show, and the bytes that make it show that.
 *
 * The caller puts a whole picture together (the machine's text, its picture in half blocks, lines
 * of its own); only cells that differ from what the terminal shows become bytes: UTF-8 and escape
 * sequences of ECMA-48 with direct colours (ISO 8613-6). */
#ifndef BACKEND_DISPLAY_TERMINAL_SCREEN_H
#define BACKEND_DISPLAY_TERMINAL_SCREEN_H

#include <stddef.h>

#include "backend/display/display.h"

enum { TERMINAL_DEFAULT_COLOR = 1 << 24 }; /* the terminal's own */

typedef struct TerminalCell {
    u32 character;              /* Unicode */
    u32 foreground, background; /* pixels, or TERMINAL_DEFAULT_COLOR */
    bool blink;
} TerminalCell;

typedef struct TerminalCursor {
    u32 column, row;
    bool visible;
} TerminalCursor;

typedef struct TerminalScreen {
    u32 columns, rows;
    TerminalCell *wanted, *shown; /* row after row; owned */
    TerminalCursor cursor, shown_cursor;
    bool unknown; /* what the terminal shows */
    char *bytes;  /* to be sent; owned */
    size_t size, room;
} TerminalScreen;

/* A zeroed screen gets its first size, or another. */
void terminal_screen_resize(TerminalScreen *screen, u32 columns, u32 rows);
void terminal_screen_free(TerminalScreen *screen);

/* Somebody else wrote to the terminal. */
void terminal_screen_forget(TerminalScreen *screen);

/* -- What it is to show: in any order, the last one is in front */

void terminal_screen_clear(TerminalScreen *screen);
/* A text screen that is larger is shown round its cursor. */
void terminal_screen_put_text(TerminalScreen *screen, const DisplayText *text);
/* Reduced to fit; a cell is two pixels, one above the other. */
void terminal_screen_put_picture(TerminalScreen *screen, const DisplaySurface *surface);
/* ASCII in black on grey, over the width of the screen. */
void terminal_screen_put_line(TerminalScreen *screen, u32 row, const char *text);

/* Appends what the terminal lacks to `bytes`; the caller sends them and sets `size` to 0. */
void terminal_screen_send(TerminalScreen *screen);
/* Appends bytes as they are. */
void terminal_screen_append(TerminalScreen *screen, const void *bytes, size_t size);

#endif
