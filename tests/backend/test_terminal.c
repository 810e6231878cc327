/* Keys out of a terminal's bytes, and the bytes that bring its screen up to date. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "backend/display/terminal_keys.h"
#include "backend/display/terminal_screen.h"
#include "tests/tap.h"

typedef struct Case {
    const char *bytes;
    bool ends; /* only the end of waiting makes it a key */
    unsigned codes[4];
} Case;

static const Case cases[] = {
    {"a", false, {KEY_A}},
    {"A", false, {KEY_LEFTSHIFT, KEY_A}},
    {"\r", false, {KEY_ENTER}},
    {"\x7f", false, {KEY_BACKSPACE}},
    {"\t", false, {KEY_TAB}},
    {"\x03", false, {KEY_LEFTCTRL, KEY_C}},
    {"\x1d", false, {KEY_LEFTCTRL, KEY_RIGHTBRACE}},
    {"\x1b", true, {KEY_ESC}},
    {"\x1b"
     "x",
     false,
     {KEY_LEFTALT, KEY_X}},
    {"\x1b\x0c", false, {KEY_LEFTCTRL, KEY_LEFTALT, KEY_L}},
    {"\x1b[A", false, {KEY_UP}},
    {"\x1bOP", false, {KEY_F1}},
    {"\x1b[15~", false, {KEY_F5}},
    {"\x1b[24~", false, {KEY_F12}},
    {"\x1b[3;5~", false, {KEY_LEFTCTRL, KEY_DELETE}},
    {"\x1b[1;4D", false, {KEY_LEFTALT, KEY_LEFTSHIFT, KEY_LEFT}},
    {"\x1b[Z", false, {KEY_LEFTSHIFT, KEY_TAB}},
    {"\x1b[[C", false, {KEY_F3}},
    {"\x1b[", true, {KEY_LEFTALT, KEY_LEFTBRACE}},
    {"\x1b[999999999999~", false, {0}},
    {"\x1b[1;2", true, {0}},
    {"\xc3", false, {0}},
};

static void test_keys(void)
{
    TerminalKeys keys = {0};

    for (size_t i = 0; i < COUNT(cases); i++) {
        const Case *c = &cases[i];
        TerminalKey key = {0};
        bool good = true, done = false;
        for (const char *b = c->bytes; *b; b++) {
            done = terminal_key_take(&keys, (u8)*b, &key);
            good &= !done || (!c->ends && !b[1]);
        }
        if (c->ends) {
            done = terminal_key_end(&keys, &key);
        }
        good &= done == (c->codes[0] != 0);
        OK(good && (!done || !memcmp(key.codes, c->codes, sizeof key.codes)), "key %zu", i);
    }
    TerminalKey key;
    bool first = terminal_key_take(&keys, 0x1b, &key),
         second = terminal_key_take(&keys, 0x1b, &key);
    OK(!first && second && key.codes[0] == KEY_ESC && terminal_key_take(&keys, 'x', &key) &&
           key.codes[0] == KEY_LEFTALT,
       "Escape, then Alt-x");
}

static void random_bytes(void)
{
    TerminalKeys keys = {0};
    TerminalKey key;
    u32 state = 1, count = 0;

    for (u32 i = 0; i < 200000; i++) {
        state = state * 1664525 + 1013904223;
        u8 byte = state >> 28 < 4 ? 0x1b : state >> 28 < 8 ? '[' : (u8)(state >> 16);
        count += terminal_key_take(&keys, byte, &key) && key.count <= 4;
    }
    OK(count > 0, "any bytes are taken");
}

static const u32 palette[16] = {0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa,
                                0xaa5500, 0xaaaaaa, 0x555555, 0x5555ff, 0x55ff55, 0x55ffff,
                                0xff5555, 0xff55ff, 0xffff55, 0x123456};

static bool sends(TerminalScreen *screen, const char *wanted)
{
    bool same;

    screen->size = 0;
    terminal_screen_send(screen);
    same = screen->size == strlen(wanted) && !memcmp(screen->bytes, wanted, screen->size);
    if (!same) {
        printf("# ");
        for (size_t i = 0; i < screen->size; i++) {
            printf(screen->bytes[i] == 0x1b ? "^[" : "%c", screen->bytes[i]);
        }
        printf("\n");
    }
    return same;
}

static void test_screen(void)
{
    DisplayCell cells[4] = {{'A', 0x07}, {0xc4, 0x9f}, {'c', 0x07}, {'d', 0x07}};
    DisplayText text = {2, 2, 1, 1, true, false, cells, palette};
    TerminalScreen screen = {0};

    terminal_screen_resize(&screen, 4, 3);
    terminal_screen_put_text(&screen, &text);
    OK(sends(&screen, "\x1b[0m\x1b[?25l\x1b[2J\x1b[1;1H\x1b[0;37;40mA"
                      "\x1b[0;38;2;18;52;86;104m\xe2\x94\x80\x1b[2;1H\x1b[0;37;40mcd"
                      "\x1b[2;2H\x1b[?25h"),
       "the first picture");
    OK(sends(&screen, ""), "nothing new");
    cells[3].character = 'e';
    terminal_screen_put_text(&screen, &text);
    OK(sends(&screen, "\x1b[2;2H\x1b[0;37;40me\x1b[2;2H"), "one cell");
    text.cursor_column = 0;
    terminal_screen_put_text(&screen, &text);
    OK(sends(&screen, "\x1b[2;1H"), "the cursor");
    terminal_screen_resize(&screen, 1, 1);
    terminal_screen_put_text(&screen, &text);
    OK(sends(&screen, "\x1b[0m\x1b[?25l\x1b[2J\x1b[1;1H\x1b[0;37;40mc\x1b[1;1H\x1b[?25h"),
       "a small terminal shows the cursor's surroundings");
    text.blink = true;
    cells[2].attribute = 0x87;
    terminal_screen_put_text(&screen, &text);
    OK(sends(&screen, "\x1b[1;1H\x1b[0;5;37;40mc\x1b[1;1H"), "blinking");
    u32 pixels[4] = {0xff0000, 0xff0000, 0x0000ff, 0x0000ff};
    terminal_screen_resize(&screen, 2, 1);
    terminal_screen_put_picture(&screen, &(DisplaySurface){2, 2, pixels});
    OK(sends(&screen, "\x1b[0m\x1b[?25l\x1b[2J\x1b[1;1H\x1b[0;38;2;255;0;0;48;2;0;0;255m"
                      "\xe2\x96\x80\xe2\x96\x80"),
       "a picture in half blocks");
    terminal_screen_free(&screen);
}

int main(void)
{
    test_keys();
    random_bytes();
    test_screen();
    return tap_done();
}
