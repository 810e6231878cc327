/* A seat in a terminal. See terminal.h.
 *
 * The picture is looked at when a timer fires: often while something happens, seldom when nothing
 * does, and not before the terminal has taken the last one. A serial port's bytes go through
 * unchanged while it is shown; what it writes unseen is kept, up to a limit. */
#include "backend/display/terminal.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "backend/char/terminal.h"
#include "backend/display/terminal_keys.h"
#include "backend/display/terminal_screen.h"

enum {
    SCREEN = -1, /* a view: the machine's screen; others are ports */
    CTRL_A = 1,
    FAST_MS = 30,      /* from look to look while things change */
    SLOW_MS = 250,     /* and when nothing changes */
    PICTURE_MS = 200,  /* of a graphics mode */
    MESSAGE_MS = 4000, /* how long one is shown */
    UNSEEN = 32768,    /* bytes of a port that are kept */
};

#define ENTER_SCREEN "\x1b[?1049h"
#define LEAVE_SCREEN "\x1b[?1049l\x1b[0m\x1b[?25h"

typedef struct TerminalPort {
    TerminalSeat *terminal;
    CharPort *port; /* NULL: none */
    u8 *unseen;     /* UNSEEN bytes, a ring; owned */
    size_t start, size;
    bool waits; /* its output is to be looked at */
} TerminalPort;

struct TerminalSeat {
    Seat seat;
    CharPort *terminal;
    TerminalPort ports[SEAT_PORTS];
    int view;
    bool alternate; /* the terminal shows its alternate screen */
    bool prefix;    /* Ctrl-A was typed */
    bool help;      /* the list of keys is shown */
    TerminalKeys keys;
    TerminalScreen screen;
    size_t sent; /* of the screen's bytes */
    DisplayViewer viewer;
    bool changed; /* the picture, since it was put on the screen */
    int timer;
    unsigned pause; /* until the next look, ms */
    char message[160];
    u64 message_end; /* milliseconds of the host's clock */
};

static void look(TerminalSeat *t);

static u64 now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
}

static void set_timer(TerminalSeat *t, unsigned ms)
{
    timerfd_settime(t->timer, 0,
                    &(struct itimerspec){.it_value = {ms / 1000, (long)(ms % 1000) * 1000000}},
                    NULL);
}

/* -- To the terminal */

/* False while it has not taken everything. */
static bool flush(TerminalSeat *t)
{
    t->sent +=
        char_write(t->terminal, (const u8 *)t->screen.bytes + t->sent, t->screen.size - t->sent);
    if (t->sent < t->screen.size) {
        return false;
    }
    t->sent = t->screen.size = 0;
    return true;
}

static void send_text(TerminalSeat *t, const char *text)
{
    terminal_screen_append(&t->screen, text, strlen(text));
    flush(t);
}

static void enter_alternate(TerminalSeat *t, bool on)
{
    if (t->alternate != on) {
        send_text(t, on ? ENTER_SCREEN : LEAVE_SCREEN);
        t->alternate = on;
        terminal_on_restore(on ? LEAVE_SCREEN : "");
        terminal_screen_forget(&t->screen);
    }
}

/* A line at the bottom of the screen, or in the stream of a serial port. */
static void show_message(TerminalSeat *t, const char *text)
{
    snprintf(t->message, sizeof t->message, "%s", text);
    if (t->view == SCREEN) {
        t->message_end = now_ms() + MESSAGE_MS;
        t->changed = true;
        look(t);
    } else {
        send_text(t, "\r\n[");
        send_text(t, t->message);
        send_text(t, "]\r\n");
    }
}

/* -- Serial ports */

static void keep(TerminalPort *p, const u8 *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        p->unseen[(p->start + p->size) % UNSEEN] = bytes[i];
        if (p->size < UNSEEN) {
            p->size++;
        } else {
            p->start = (p->start + 1) % UNSEEN;
        }
    }
}

/* Sends what came while something else was shown. */
static void show_unseen(TerminalSeat *t, TerminalPort *p)
{
    size_t run = MIN(p->size, (size_t)UNSEEN - p->start);

    terminal_screen_append(&t->screen, p->unseen + p->start, run);
    terminal_screen_append(&t->screen, p->unseen, p->size - run);
    p->start = p->size = 0;
    flush(t);
}

/* Takes what a port has written: to the terminal as fast as that takes it, or aside. */
static void pump(TerminalSeat *t, TerminalPort *p)
{
    bool shown = t->view == (int)(p - t->ports);
    u8 bytes[4096];
    size_t n;

    while ((!shown || flush(t)) && (n = char_ring_take(p->port, bytes, sizeof bytes)) > 0) {
        if (shown) {
            terminal_screen_append(&t->screen, bytes, n);
        } else {
            keep(p, bytes, n);
        }
    }
    if (shown) {
        flush(t);
    }
}

static void pump_later(void *opaque)
{
    TerminalPort *p = opaque;

    if (p->port) {
        p->waits = false;
        pump(p->terminal, p);
    }
}

/* From inside char_write() on whichever thread, under the lock. */
static void port_written(void *opaque)
{
    TerminalPort *p = opaque;

    if (!p->waits) {
        p->waits = true;
        loop_defer(p->terminal->seat.loop, pump_later, p);
    }
}

/* -- The screen */

static const struct {
    char key;
    const char *text;
} menu[] = {
    {'h', "this list"},
    {'x', "switch the machine off and leave"},
    {'c', "change between the screen and the serial ports"},
    {'s', "write a screenshot to a file"},
    {'p', "press the power button"},
    {'r', "press the reset button"},
    {'z', "pause the machine, or let it go on"},
    {'d', "send Ctrl-Alt-Delete"},
    {'b', "send a break on the serial port"},
};

static void put_help(TerminalSeat *t)
{
    char line[80];

    for (u32 i = 0; i < COUNT(menu); i++) {
        snprintf(line, sizeof line, "  Ctrl-A %c       %s", menu[i].key, menu[i].text);
        terminal_screen_put_line(&t->screen, i, line);
    }
    terminal_screen_put_line(&t->screen, COUNT(menu), "  Ctrl-A Ctrl-A  send Ctrl-A");
    t->screen.cursor.visible = false;
}

static void put_front(TerminalSeat *t)
{
    if (t->help) {
        put_help(t);
    }
    if (t->message_end > now_ms()) {
        terminal_screen_put_line(&t->screen, t->screen.rows - 1, t->message);
    }
}

/* Puts the machine's screen together. Returns the least time until the next look. */
static unsigned compose(TerminalSeat *t)
{
    DisplayText text;

    if (display_text(t->seat.display, &text)) {
        terminal_screen_clear(&t->screen);
        terminal_screen_put_text(&t->screen, &text);
        put_front(t);
        return FAST_MS;
    }
    display_update(t->seat.display);
    if (t->changed) {
        t->changed = false;
        terminal_screen_clear(&t->screen);
        terminal_screen_put_picture(&t->screen, display_surface(t->seat.display));
        put_front(t);
    }
    return PICTURE_MS;
}

/* Brings the terminal up to date, and sets the time of the next look. */
static void look(TerminalSeat *t)
{
    if (t->view != SCREEN) {
        return;
    }
    if (t->message_end && t->message_end <= now_ms()) {
        t->message_end = 0;
        t->changed = true;
    }
    if (flush(t)) {
        unsigned least = compose(t);
        terminal_screen_send(&t->screen);
        t->pause = t->screen.size ? least : MAX(MIN(t->pause * 2, (unsigned)SLOW_MS), least);
        flush(t);
    }
    set_timer(t, t->pause);
}

static void picture_resized(void *opaque, const DisplaySurface *surface)
{
    (void)surface;
    ((TerminalSeat *)opaque)->changed = true;
}

static void picture_changed(void *opaque, u32 x, u32 y, u32 width, u32 height)
{
    (void)x, (void)y, (void)width, (void)height;
    ((TerminalSeat *)opaque)->changed = true;
}

/* -- What is shown */

static void show(TerminalSeat *t, int view)
{
    char name[48];

    t->view = view;
    t->changed = true;
    enter_alternate(t, view == SCREEN);
    if (view == SCREEN) {
        look(t);
        return;
    }
    set_timer(t, 0);
    if (t->seat.display || view > 0) {
        snprintf(name, sizeof name, "serial port %d; Ctrl-A h for help", view);
        show_message(t, name);
    }
    show_unseen(t, &t->ports[view]);
    pump(t, &t->ports[view]);
}

static bool can_show(const TerminalSeat *t, int view)
{
    return view == SCREEN ? t->seat.display != NULL : t->ports[view].port != NULL;
}

static void show_next(TerminalSeat *t)
{
    int view = t->view;

    do {
        view = view + 1 == SEAT_PORTS ? SCREEN : view + 1;
    } while (!can_show(t, view) && view != t->view);
    if (view == t->view) {
        show_message(t, "there is nothing else to show");
    } else {
        show(t, view);
    }
}

/* -- From the terminal */

static void type_key(TerminalSeat *t, const TerminalKey *key)
{
    t->seat.type(t->seat.opaque, key->codes, key->count);
    t->pause = FAST_MS;
    set_timer(t, FAST_MS);
}

static void take_screenshot(TerminalSeat *t)
{
    char path[160], stamp[32], message[sizeof path + 40];
    time_t now = time(NULL);
    struct tm local;
    int result;

    if (!t->seat.display) {
        show_message(t, "there is no screen");
        return;
    }
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local);
    snprintf(path, sizeof path, "%.100s-%s.png", t->seat.name ? t->seat.name : "menura", stamp);
    result = display_screenshot(t->seat.display, path);
    if (result < 0) {
        snprintf(message, sizeof message, "%s: %s", path,
                 result == -ENODATA ? "there is no picture" : strerror(-result));
    } else {
        snprintf(message, sizeof message, "the screen is in %s", path);
    }
    show_message(t, message);
}

static void show_help(TerminalSeat *t)
{
    char line[80];

    if (t->view == SCREEN) {
        t->help = t->changed = true;
        look(t);
        return;
    }
    send_text(t, "\r\n");
    for (u32 i = 0; i < COUNT(menu); i++) {
        snprintf(line, sizeof line, "Ctrl-A %c       %s\r\n", menu[i].key, menu[i].text);
        send_text(t, line);
    }
    send_text(t, "Ctrl-A Ctrl-A  send Ctrl-A\r\n");
}

static void send_byte(TerminalSeat *t, u8 byte)
{
    TerminalKey key;

    if (t->view != SCREEN) {
        char_ring_feed(t->ports[t->view].port, &byte, 1);
    } else if (terminal_key_take(&t->keys, byte, &key)) {
        type_key(t, &key);
    } else if (t->keys.size) {
        t->pause = FAST_MS;
        set_timer(t, FAST_MS); /* if nothing follows, it was Escape */
    }
}

static void act(TerminalSeat *t, SeatAction action, const char *message)
{
    t->seat.act(t->seat.opaque, action);
    if (message) {
        show_message(t, message);
    }
}

/* The letter after Ctrl-A. */
static void run_menu(TerminalSeat *t, u8 letter)
{
    static const unsigned ctrl_alt_delete[] = {KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE};

    switch (letter) {
    case CTRL_A:
        send_byte(t, CTRL_A);
        break;
    case 'h':
    case '?':
        show_help(t);
        break;
    case 'x':
        act(t, SEAT_QUIT, NULL);
        break;
    case 'c':
        show_next(t);
        break;
    case 's':
        take_screenshot(t);
        break;
    case 'p':
        act(t, SEAT_POWER_BUTTON, "the power button was pressed");
        break;
    case 'r':
        act(t, SEAT_RESET, NULL);
        break;
    case 'z':
        act(t, SEAT_PAUSE, NULL);
        show_message(t, t->seat.is_running(t->seat.opaque) ? "running" : "paused");
        break;
    case 'd':
        t->seat.type(t->seat.opaque, ctrl_alt_delete, COUNT(ctrl_alt_delete));
        break;
    case 'b':
        if (t->view != SCREEN) {
            char_ring_event(t->ports[t->view].port, CHAR_BREAK);
        }
        break;
    default:
        show_message(t, "Ctrl-A h lists what can follow Ctrl-A");
    }
}

static size_t has_room(void *opaque)
{
    (void)opaque;
    return 256;
}

static void receive(void *opaque, const u8 *bytes, size_t size)
{
    TerminalSeat *t = opaque;

    for (size_t i = 0; i < size; i++) {
        if (t->help) { /* any key ends it */
            t->help = false;
            t->changed = true;
            look(t);
        } else if (t->prefix) {
            t->prefix = false;
            run_menu(t, bytes[i]);
        } else if (bytes[i] == CTRL_A) {
            t->prefix = true;
        } else {
            send_byte(t, bytes[i]);
        }
    }
}

/* The terminal takes more. */
static void drained(void *opaque)
{
    TerminalSeat *t = opaque;

    if (flush(t) && t->view != SCREEN) {
        pump(t, &t->ports[t->view]);
    }
}

static const CharUser terminal_user = {.room = has_room, .receive = receive, .drained = drained};

static void timer_fired(void *opaque, u32 events)
{
    TerminalSeat *t = opaque;
    TerminalKey key;
    u64 count;

    (void)events;
    if (read(t->timer, &count, sizeof count) < 0) {
        return;
    }
    if (terminal_key_end(&t->keys, &key)) {
        type_key(t, &key);
    }
    look(t);
}

/* -- Life */

void terminal_seat_resized(TerminalSeat *t)
{
    struct winsize size = {0};

    if (!t) {
        return;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row) {
        size = (struct winsize){.ws_col = 80, .ws_row = 25};
    }
    terminal_screen_resize(&t->screen, size.ws_col, size.ws_row);
    if (t->alternate) {
        send_text(t, ENTER_SCREEN);
    }
    t->changed = true;
    look(t);
}

static int first_view(const TerminalSeat *t)
{
    int view = 0;

    if (t->seat.display && !t->seat.ports_first) {
        return SCREEN;
    }
    while (view < SEAT_PORTS && !t->ports[view].port) {
        view++;
    }
    return view < SEAT_PORTS ? view : SCREEN;
}

static void add_ports(TerminalSeat *t)
{
    for (u32 i = 0; i < SEAT_PORTS; i++) {
        TerminalPort *p = &t->ports[i];
        *p = (TerminalPort){.terminal = t, .port = t->seat.ports[i]};
        if (p->port) {
            p->unseen = malloc(UNSEEN);
            if (!p->unseen) {
                abort();
            }
            char_ring_listen(p->port, port_written, p);
        }
    }
}

TerminalSeat *terminal_seat_new(const Seat *seat, char **error)
{
    TerminalSeat *t = calloc(1, sizeof *t);

    if (!t) {
        abort();
    }
    t->seat = *seat;
    t->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (t->timer < 0 || loop_watch(seat->loop, t->timer, EPOLLIN, timer_fired, t) < 0 ||
        char_open(&t->terminal, "stdio,signal=off", seat->loop, error) < 0) {
        if (!*error && asprintf(error, "the terminal: %s", strerror(errno)) < 0) {
            abort();
        }
        terminal_seat_free(t);
        return NULL;
    }
    add_ports(t);
    if (seat->display) {
        t->viewer = (DisplayViewer){t, picture_resized, picture_changed, NULL};
        display_add_viewer(seat->display, &t->viewer);
    }
    t->pause = FAST_MS;
    t->view = first_view(t);
    terminal_seat_resized(t);
    show(t, t->view);
    char_attach(t->terminal, &terminal_user, t);
    return t;
}

void terminal_seat_free(TerminalSeat *t)
{
    if (!t) {
        return;
    }
    if (t->seat.display) {
        display_remove_viewer(t->seat.display, &t->viewer);
    }
    for (u32 i = 0; i < SEAT_PORTS; i++) {
        if (t->ports[i].port) {
            pump(t, &t->ports[i]); /* the last words */
            char_ring_listen(t->ports[i].port, NULL, NULL);
            t->ports[i].port = NULL;
        }
        free(t->ports[i].unseen);
    }
    if (t->terminal) {
        enter_alternate(t, false);
        char_close(t->terminal);
    }
    if (t->timer >= 0) {
        loop_unwatch(t->seat.loop, t->timer);
        close(t->timer);
    }
    terminal_screen_free(&t->screen);
    free(t);
}
