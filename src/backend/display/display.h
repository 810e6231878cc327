/* The display: what the emulated graphics adapter shows, and who looks at it.
 *
 * An adapter is the source; it draws into one surface of 32-bit pixels when it is asked to. Viewers
 * (a window, a VNC client, a terminal, a screenshot) ask as often as they like and are told which
 * parts changed since they looked last; those of others' asking as well. In text modes the source
 * can also say its characters.
 * Everything is called under the machine lock. Must not know adapters or protocols. */
#ifndef BACKEND_DISPLAY_DISPLAY_H
#define BACKEND_DISPLAY_DISPLAY_H

#include "base/types.h"

typedef struct Display Display;

/* Pixels are 0x00RRGGBB in host byte order, row after row without gaps. */
typedef struct DisplaySurface {
    u32 width, height;
    u32 *pixels;
} DisplaySurface;

/* A character cell: code page 437 and the VGA's attribute byte. */
typedef struct DisplayCell {
    u8 character, attribute;
} DisplayCell;

typedef struct DisplayText {
    u32 columns, rows;
    u32 cursor_column, cursor_row;
    bool cursor;              /* it is shown */
    bool blink;               /* attribute bit 7 makes characters blink, not backgrounds bright */
    const DisplayCell *cells; /* row after row; valid until the next call */
    const u32 *palette;       /* sixteen colours, as pixels */
} DisplayText;

typedef struct DisplaySource {
    void *opaque;
    /* Draws what it shows: calls display_resize() where the size is another, then writes pixels and
     * reports what changed with display_changed(). all: everything is to be drawn anew. */
    void (*draw)(void *opaque, Display *display, bool all);
    /* Fills *text; false when it is not in a text mode. NULL: never. */
    bool (*text)(void *opaque, DisplayText *text);
} DisplaySource;

typedef struct DisplayViewer {
    void *opaque;
    /* The surface is of another size, or is there no more (its pixels are NULL). */
    void (*resized)(void *opaque, const DisplaySurface *surface);
    /* A part of it changed. */
    void (*changed)(void *opaque, u32 x, u32 y, u32 width, u32 height);
    struct DisplayViewer *next;
} DisplayViewer;

Display *display_new(void);
void display_free(Display *display);

/* The adapter; NULL: none any more. The latest wins. */
void display_set_source(Display *display, const DisplaySource *source);
/* Viewers own their struct and keep it. */
void display_add_viewer(Display *display, DisplayViewer *viewer);
void display_remove_viewer(Display *display, DisplayViewer *viewer);

/* Brings the surface up to date; viewers are called from inside. */
void display_update(Display *display);
/* The surface as of the last update; 0 by 0 without a source. */
const DisplaySurface *display_surface(const Display *display);
bool display_text(Display *display, DisplayText *text);

/* -- For sources, inside draw() */

/* Gives the surface that size and returns its pixels; contents are undefined if it is new. */
u32 *display_resize(Display *display, u32 width, u32 height);
void display_changed(Display *display, u32 x, u32 y, u32 width, u32 height);

/* Writes the surface to a file: PNG, or PPM where the name ends so. 0 or -errno. */
int display_screenshot(Display *display, const char *path);

#endif
