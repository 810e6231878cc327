/* A terminal's screen. See terminal_screen.h. */
#include "backend/display/terminal_screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/display/code_page_437.h"

enum { UPPER_HALF_BLOCK = 0x2580 };

/* -- Memory */

static void *get_memory(void *old, size_t size)
{
    void *memory = realloc(old, MAX(size, (size_t)1));

    if (!memory) {
        abort();
    }
    return memory;
}

void terminal_screen_resize(TerminalScreen *screen, u32 columns, u32 rows)
{
    size_t size = (size_t)columns * rows * sizeof(TerminalCell);

    screen->columns = columns;
    screen->rows = rows;
    screen->wanted = get_memory(screen->wanted, size);
    screen->shown = get_memory(screen->shown, size);
    terminal_screen_forget(screen);
    terminal_screen_clear(screen);
}

void terminal_screen_free(TerminalScreen *screen)
{
    free(screen->wanted);
    free(screen->shown);
    free(screen->bytes);
}

void terminal_screen_forget(TerminalScreen *screen)
{
    screen->unknown = true;
}

/* -- What it is to show */

static TerminalCell *cell_at(TerminalScreen *screen, u32 column, u32 row)
{
    return &screen->wanted[(size_t)row * screen->columns + column];
}

void terminal_screen_clear(TerminalScreen *screen)
{
    for (size_t i = 0; i < (size_t)screen->columns * screen->rows; i++) {
        screen->wanted[i] =
            (TerminalCell){' ', TERMINAL_DEFAULT_COLOR, TERMINAL_DEFAULT_COLOR, false};
    }
    screen->cursor = (TerminalCursor){0};
}

/* The first of `whole` rows or columns to show of which `part` fit: the one with the cursor is
 * among them. */
static u32 first_shown(u32 whole, u32 part, u32 cursor)
{
    return whole > part && cursor >= part ? cursor - part + 1 : 0;
}

static TerminalCell convert(const DisplayText *text, DisplayCell cell)
{
    u8 back = cell.attribute >> 4;
    bool blink = text->blink && back & 8;

    return (TerminalCell){code_page_437[cell.character], text->palette[cell.attribute & 15],
                          text->palette[text->blink ? back & 7 : back], blink};
}

void terminal_screen_put_text(TerminalScreen *screen, const DisplayText *text)
{
    u32 left = first_shown(text->columns, screen->columns, text->cursor_column);
    u32 top = first_shown(text->rows, screen->rows, text->cursor_row);

    for (u32 row = 0; row < screen->rows && top + row < text->rows; row++) {
        const DisplayCell *from = text->cells + (size_t)(top + row) * text->columns + left;
        for (u32 column = 0; column < screen->columns && left + column < text->columns; column++) {
            *cell_at(screen, column, row) = convert(text, from[column]);
        }
    }
    if (text->cursor) {
        screen->cursor = (TerminalCursor){text->cursor_column - left, text->cursor_row - top, true};
    }
}

/* The mean of a rectangle of the surface that is `scale` / 256 pixels wide and high. */
static u32 mean_color(const DisplaySurface *surface, u32 x, u32 y, u32 scale)
{
    u32 left = (u32)((u64)x * scale >> 8), right = (u32)((u64)(x + 1) * scale >> 8);
    u32 top = (u32)((u64)y * scale >> 8), bottom = (u32)((u64)(y + 1) * scale >> 8);
    u64 sums[3] = {0}, count = 0;

    right = MIN(MAX(right, left + 1), surface->width);
    bottom = MIN(MAX(bottom, top + 1), surface->height);
    for (u32 row = top; row < bottom; row++) {
        for (u32 column = left; column < right; column++, count++) {
            u32 pixel = surface->pixels[(size_t)row * surface->width + column];
            sums[0] += pixel >> 16 & 0xff;
            sums[1] += pixel >> 8 & 0xff;
            sums[2] += pixel & 0xff;
        }
    }
    return count ? (u32)(sums[0] / count << 16 | sums[1] / count << 8 | sums[2] / count) : 0;
}

void terminal_screen_put_picture(TerminalScreen *screen, const DisplaySurface *surface)
{
    u32 across = (surface->width * 256 + screen->columns - 1) / MAX(screen->columns, 1u);
    u32 down = (surface->height * 256 + 2 * screen->rows - 1) / MAX(2 * screen->rows, 1u);
    u32 scale = MAX(MAX(across, down), 1u);
    u32 columns = MIN(surface->width * 256 / scale, screen->columns);
    u32 rows = MIN((surface->height * 256 / scale + 1) / 2, screen->rows);

    for (u32 row = 0; row < rows; row++) {
        for (u32 column = 0; column < columns; column++) {
            *cell_at(screen, column, row) =
                (TerminalCell){UPPER_HALF_BLOCK, mean_color(surface, column, 2 * row, scale),
                               mean_color(surface, column, 2 * row + 1, scale), false};
        }
    }
}

void terminal_screen_put_line(TerminalScreen *screen, u32 row, const char *text)
{
    for (u32 column = 0; row < screen->rows && column < screen->columns; column++) {
        char c = *text ? *text++ : ' ';
        *cell_at(screen, column, row) = (TerminalCell){(u8)c, 0x000000, 0xaaaaaa, false};
    }
}

/* -- Sending */

void terminal_screen_append(TerminalScreen *screen, const void *bytes, size_t size)
{
    if (screen->room < screen->size + size) {
        screen->room = 2 * (screen->size + size);
        screen->bytes = get_memory(screen->bytes, screen->room);
    }
    memcpy(screen->bytes + screen->size, bytes, size);
    screen->size += size;
}

static void append_text(TerminalScreen *screen, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append_text(TerminalScreen *screen, const char *format, ...)
{
    char text[64];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    terminal_screen_append(screen, text, (size_t)length);
}

/* UTF-8; the characters are all of the basic plane. */
static void append_character(TerminalScreen *screen, u32 c)
{
    char bytes[3];

    if (c < 0x80) {
        bytes[0] = (char)c;
        terminal_screen_append(screen, bytes, 1);
    } else if (c < 0x800) {
        bytes[0] = (char)(0xc0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 0x3f));
        terminal_screen_append(screen, bytes, 2);
    } else {
        bytes[0] = (char)(0xe0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (c & 0x3f));
        terminal_screen_append(screen, bytes, 3);
    }
}

/* Parameters of SGR for a colour. The VGA's usual sixteen are the terminal's sixteen, which people
 * choose to their taste; `first` is 30 or 40. */
static void append_color(TerminalScreen *screen, u32 color, unsigned first)
{
    static const u32 usual[16] = {0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa,
                                  0x00aaaa, 0xaaaaaa, 0x555555, 0xff5555, 0x55ff55, 0xffff55,
                                  0x5555ff, 0xff55ff, 0x55ffff, 0xffffff};

    if (color == TERMINAL_DEFAULT_COLOR) {
        return; /* reset has set it */
    }
    for (unsigned n = 0; n < COUNT(usual); n++) {
        if (usual[n] == color) {
            append_text(screen, ";%u", n < 8 ? first + n : first + 60 + n - 8);
            return;
        }
    }
    append_text(screen, ";%u;2;%u;%u;%u", first + 8, color >> 16 & 0xff, color >> 8 & 0xff,
                color & 0xff);
}

static bool looks_same(const TerminalCell *a, const TerminalCell *b)
{
    return a->foreground == b->foreground && a->background == b->background && a->blink == b->blink;
}

static void append_look(TerminalScreen *screen, const TerminalCell *cell)
{
    append_text(screen, "\x1b[0%s", cell->blink ? ";5" : "");
    append_color(screen, cell->foreground, 30);
    append_color(screen, cell->background, 40);
    terminal_screen_append(screen, "m", 1);
}

static void send_cells(TerminalScreen *screen)
{
    size_t count = (size_t)screen->columns * screen->rows, next = count; /* where output goes */
    const TerminalCell *look = NULL;                                     /* of what is written */

    for (size_t i = 0; i < count; i++) {
        const TerminalCell *cell = &screen->wanted[i], *old = &screen->shown[i];
        if (looks_same(cell, old) && cell->character == old->character) {
            continue;
        }
        if (i != next || i % screen->columns == 0) {
            append_text(screen, "\x1b[%zu;%zuH", i / screen->columns + 1, i % screen->columns + 1);
        }
        if (!look || !looks_same(look, cell)) {
            append_look(screen, cell);
            look = cell;
        }
        append_character(screen, cell->character);
        screen->shown[i] = *cell;
        next = i + 1;
    }
}

static void send_cursor(TerminalScreen *screen, bool moved)
{
    TerminalCursor *cursor = &screen->cursor, *shown = &screen->shown_cursor;

    if (cursor->visible &&
        (moved || cursor->column != shown->column || cursor->row != shown->row)) {
        append_text(screen, "\x1b[%u;%uH", cursor->row + 1, cursor->column + 1);
    }
    if (cursor->visible != shown->visible) {
        append_text(screen, "\x1b[?25%c", cursor->visible ? 'h' : 'l');
    }
    *shown = *cursor;
}

void terminal_screen_send(TerminalScreen *screen)
{
    size_t before = screen->size;

    if (screen->unknown) {
        append_text(screen, "\x1b[0m\x1b[?25l\x1b[2J");
        for (size_t i = 0; i < (size_t)screen->columns * screen->rows; i++) {
            screen->shown[i] =
                (TerminalCell){' ', TERMINAL_DEFAULT_COLOR, TERMINAL_DEFAULT_COLOR, false};
        }
        screen->shown_cursor = (TerminalCursor){0};
        screen->unknown = false;
    }
    send_cells(screen);
    send_cursor(screen, screen->size != before);
}
