/* A seat in a window, on SDL2. See window.h.
 *
 * SDL wants to be called on one thread, and waits there for events and for the host's screen. So
 * the window has a thread, which takes the machine lock to bring the picture up to date and to copy
 * what changed into a texture, and for input; never while it waits. Who else looks at the display,
 * on whichever thread, only adds to the list of what changed. */
#include "backend/display/window.h"

#include <linux/input-event-codes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/display/sdl.h"
#include "backend/display/window_keys.h"

enum {
    FAST_MS = 16, /* from look to look while things change */
    SLOW_MS = 60, /* while nothing does */
    HIDDEN_MS = 250,
    MAX_RECTANGLES = 16,
    EMPTY_WIDTH = 640, /* without a picture */
    EMPTY_HEIGHT = 400,
};

struct WindowSeat {
    Seat seat;
    Sdl sdl;
    pthread_t thread;
    sem_t opened; /* or not: see error */
    char *error;
    bool stop; /* atomic */

    /* Under the machine lock. */
    DisplayViewer viewer;
    SDL_Rect changed[MAX_RECTANGLES];
    u32 changed_count;

    /* The thread's. */
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    int width, height; /* of the texture */
    SDL_Rect place;    /* of the picture in the window */
    bool full_screen, smooth, grabbed;
    bool own_size; /* the user has chosen the window's */
    bool exposed;  /* it is to be drawn though nothing changed */
    char title[160];
};

/* -- What changed: under the lock, from any thread */

static void add_changed(void *opaque, u32 x, u32 y, u32 width, u32 height)
{
    WindowSeat *w = opaque;
    SDL_Rect new = {(int)x, (int)y, (int)width, (int)height};
    SDL_Rect *last = w->changed_count ? &w->changed[w->changed_count - 1] : NULL;

    if (last && last->x == new.x && last->w == new.w && last->y + last->h == new.y) {
        last->h += new.h; /* the next row of the same */
    } else if (w->changed_count < MAX_RECTANGLES) {
        w->changed[w->changed_count++] = new;
    } else { /* what holds both */
        int right = MAX(last->x + last->w, new.x + new.w);
        int bottom = MAX(last->y + last->h, new.y + new.h);
        last->x = MIN(last->x, new.x);
        last->y = MIN(last->y, new.y);
        last->w = right - last->x;
        last->h = bottom - last->y;
    }
}

static void resized(void *opaque, const DisplaySurface *surface)
{
    WindowSeat *w = opaque;

    w->changed_count = 0;
    add_changed(w, 0, 0, surface->width, surface->height);
}

/* -- The picture */

/* The place of the picture in the window: in the middle, as large as it fits. */
static void place_picture(WindowSeat *w)
{
    int width, height;
    double scale;

    if (w->sdl.SDL_GetRendererOutputSize(w->renderer, &width, &height) < 0) {
        return;
    }
    scale = MIN((double)width / w->width, (double)height / w->height);
    if (!w->smooth && scale >= 1) {
        scale = (int)scale;
    }
    w->place.w = MAX((int)(w->width * scale), 1);
    w->place.h = MAX((int)(w->height * scale), 1);
    w->place.x = (width - w->place.w) / 2;
    w->place.y = (height - w->place.h) / 2;
    w->sdl.SDL_SetTextureScaleMode(w->texture, scale == (int)scale ? SDL_ScaleModeNearest
                                                                   : SDL_ScaleModeLinear);
    w->exposed = true;
}

static void make_texture(WindowSeat *w, u32 width, u32 height)
{
    w->width = width ? (int)width : EMPTY_WIDTH;
    w->height = height ? (int)height : EMPTY_HEIGHT;
    if (w->texture) {
        w->sdl.SDL_DestroyTexture(w->texture);
    }
    w->texture = w->sdl.SDL_CreateTexture(w->renderer, SDL_PIXELFORMAT_RGB888,
                                          SDL_TEXTUREACCESS_STREAMING, w->width, w->height);
    if (!w->full_screen && !w->own_size) {
        w->sdl.SDL_SetWindowSize(w->window, w->width, w->height);
    }
    place_picture(w);
}

/* Under the lock: uploads what changed. Returns whether anything did. */
static bool take_changes(WindowSeat *w)
{
    const DisplaySurface *surface = display_surface(w->seat.display);
    u32 count = w->changed_count;

    if (count && ((int)surface->width != w->width || (int)surface->height != w->height) &&
        surface->width && surface->height) {
        make_texture(w, surface->width, surface->height);
    }
    w->changed_count = 0;
    for (u32 i = 0; i < count && surface->width && surface->height; i++) {
        const SDL_Rect *r = &w->changed[i];
        w->sdl.SDL_UpdateTexture(w->texture, r,
                                 surface->pixels + (size_t)r->y * surface->width + r->x,
                                 (int)(surface->width * sizeof(u32)));
    }
    return count;
}

/* "NAME (paused) - Ctrl-Alt-G releases the mouse" */
static void set_title(WindowSeat *w, bool running)
{
    char title[sizeof w->title];

    snprintf(title, sizeof title, "%.60s%s%s", w->seat.name ? w->seat.name : "menura",
             running ? "" : " (paused)", w->grabbed ? " - Ctrl-Alt-G releases the mouse" : "");
    if (strcmp(title, w->title) != 0) {
        snprintf(w->title, sizeof w->title, "%s", title);
        w->sdl.SDL_SetWindowTitle(w->window, title);
    }
}

static bool is_hidden(WindowSeat *w)
{
    return w->sdl.SDL_GetWindowFlags(w->window) & (SDL_WINDOW_HIDDEN | SDL_WINDOW_MINIMIZED);
}

/* Brings the window up to date. Returns whether the picture changed. */
static bool draw(WindowSeat *w)
{
    bool running, changed;

    pthread_mutex_lock(w->seat.lock);
    display_update(w->seat.display);
    changed = take_changes(w);
    running = w->seat.is_running(w->seat.opaque);
    pthread_mutex_unlock(w->seat.lock);
    if (changed || w->exposed) {
        w->exposed = false;
        w->sdl.SDL_RenderClear(w->renderer);
        w->sdl.SDL_RenderCopy(w->renderer, w->texture, NULL, &w->place);
        w->sdl.SDL_RenderPresent(w->renderer);
    }
    set_title(w, running);
    return changed;
}

/* -- Input: each under the lock */

static void grab(WindowSeat *w, bool on)
{
    w->grabbed = on;
    w->sdl.SDL_SetRelativeMouseMode(on);
    w->sdl.SDL_SetWindowKeyboardGrab(w->window, on);
}

static void set_full_screen(WindowSeat *w, bool on)
{
    w->full_screen = on;
    w->sdl.SDL_SetWindowFullscreen(w->window, on ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    place_picture(w);
}

/* Ctrl-Alt with a letter. False: it is not ours. */
static bool run_shortcut(WindowSeat *w, SDL_Scancode scancode)
{
    switch (scancode) {
    case SDL_SCANCODE_G:
        grab(w, !w->grabbed);
        return true;
    case SDL_SCANCODE_F:
        set_full_screen(w, !w->full_screen);
        return true;
    case SDL_SCANCODE_S:
        w->smooth = !w->smooth;
        place_picture(w);
        return true;
    case SDL_SCANCODE_U:
        w->own_size = false;
        w->sdl.SDL_SetWindowSize(w->window, w->width, w->height);
        return true;
    default:
        return false;
    }
}

static void take_key(WindowSeat *w, const SDL_KeyboardEvent *event)
{
    bool down = event->state == SDL_PRESSED,
         ours = event->keysym.mod & KMOD_CTRL && event->keysym.mod & KMOD_ALT;
    unsigned code = window_key(event->keysym.scancode);

    if (down && ours && !event->repeat && run_shortcut(w, event->keysym.scancode)) {
        return;
    }
    if (code) {
        input_key(w->seat.input, code, down);
    }
}

static void take_motion(WindowSeat *w, const SDL_MouseMotionEvent *event)
{
    if (input_is_absolute(w->seat.input)) {
        int x = MIN(MAX(event->x - w->place.x, 0), w->place.w - 1);
        int y = MIN(MAX(event->y - w->place.y, 0), w->place.h - 1);
        input_position(w->seat.input,
                       (unsigned)((s64)x * INPUT_POSITION_MAX / MAX(w->place.w - 1, 1)),
                       (unsigned)((s64)y * INPUT_POSITION_MAX / MAX(w->place.h - 1, 1)));
    } else if (w->grabbed) {
        input_move(w->seat.input, event->xrel, event->yrel);
    }
}

static void take_button(WindowSeat *w, const SDL_MouseButtonEvent *event)
{
    static const u16 buttons[] = {[SDL_BUTTON_LEFT] = BTN_LEFT,
                                  [SDL_BUTTON_MIDDLE] = BTN_MIDDLE,
                                  [SDL_BUTTON_RIGHT] = BTN_RIGHT,
                                  [SDL_BUTTON_X1] = BTN_SIDE,
                                  [SDL_BUTTON_X2] = BTN_EXTRA};
    bool down = event->state == SDL_PRESSED;

    if (!w->grabbed && !input_is_absolute(w->seat.input)) {
        if (!down && event->button == SDL_BUTTON_LEFT) {
            grab(w, true);
        }
    } else if (event->button < COUNT(buttons) && buttons[event->button]) {
        input_button(w->seat.input, buttons[event->button], down);
    }
}

static void take_window_event(WindowSeat *w, const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_EXPOSED:
        w->exposed = true;
        break;
    case SDL_WINDOWEVENT_RESIZED: /* by the user */
        w->own_size |= !w->full_screen && (event->data1 != w->width || event->data2 != w->height);
        break;
    case SDL_WINDOWEVENT_SIZE_CHANGED:
        place_picture(w);
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        grab(w, false);
        input_release_all(w->seat.input);
        break;
    case SDL_WINDOWEVENT_ENTER:
        w->sdl.SDL_ShowCursor(!input_is_absolute(w->seat.input));
        break;
    default:
        break;
    }
}

static void quit_machine(void *opaque)
{
    WindowSeat *w = opaque;

    w->seat.act(w->seat.opaque, SEAT_QUIT);
}

static void take_event(WindowSeat *w, const SDL_Event *event)
{
    switch (event->type) {
    case SDL_QUIT:
        loop_defer(w->seat.loop, quit_machine, w);
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        take_key(w, &event->key);
        break;
    case SDL_MOUSEMOTION:
        take_motion(w, &event->motion);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        take_button(w, &event->button);
        break;
    case SDL_MOUSEWHEEL:
        input_wheel(w->seat.input, event->wheel.y, event->wheel.x);
        break;
    case SDL_WINDOWEVENT:
        take_window_event(w, &event->window);
        break;
    default:
        break;
    }
}

/* All events that are there. */
static void take_events(WindowSeat *w, SDL_Event *event)
{
    pthread_mutex_lock(w->seat.lock);
    do {
        take_event(w, event);
    } while (w->sdl.SDL_PollEvent(event));
    input_sync(w->seat.input);
    pthread_mutex_unlock(w->seat.lock);
}

/* -- The thread */

static bool open_window(WindowSeat *w)
{
    const Sdl *sdl = &w->sdl;
    u32 flags = SDL_WINDOW_RESIZABLE | (w->full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0u);

    sdl->SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    sdl->SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    sdl->SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    if (sdl->SDL_Init(SDL_INIT_VIDEO) < 0) {
        return false;
    }
    w->window =
        sdl->SDL_CreateWindow(w->seat.name ? w->seat.name : "menura", SDL_WINDOWPOS_UNDEFINED,
                              SDL_WINDOWPOS_UNDEFINED, EMPTY_WIDTH, EMPTY_HEIGHT, flags);
    w->renderer = w->window ? sdl->SDL_CreateRenderer(w->window, -1, 0) : NULL;
    if (!w->renderer) {
        return false;
    }
    make_texture(w, 0, 0);
    return w->texture;
}

static void close_window(WindowSeat *w)
{
    if (w->texture) {
        w->sdl.SDL_DestroyTexture(w->texture);
    }
    if (w->renderer) {
        w->sdl.SDL_DestroyRenderer(w->renderer);
    }
    if (w->window) {
        w->sdl.SDL_DestroyWindow(w->window);
    }
    w->sdl.SDL_Quit();
}

static void run(WindowSeat *w)
{
    int pause = FAST_MS;
    SDL_Event event;

    while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
        if (w->sdl.SDL_WaitEventTimeout(&event, is_hidden(w) ? HIDDEN_MS : pause)) {
            take_events(w, &event);
            pause = FAST_MS;
        }
        if (!is_hidden(w)) {
            pause = draw(w) ? FAST_MS : MIN(pause + 1, (int)SLOW_MS);
        }
    }
}

static void *window_thread(void *opaque)
{
    WindowSeat *w = opaque;
    bool open = open_window(w);

    if (!open && asprintf(&w->error, "cannot open a window: %s", w->sdl.SDL_GetError()) < 0) {
        abort();
    }
    sem_post(&w->opened);
    if (open) {
        run(w);
    }
    close_window(w);
    return NULL;
}

/* -- Life */

bool window_is_possible(void)
{
    const char *x11 = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    Sdl sdl;

    return ((x11 && *x11) || (wayland && *wayland)) && sdl_load(&sdl, NULL);
}

static bool start_thread(WindowSeat *w)
{
    if (pthread_create(&w->thread, NULL, window_thread, w) != 0) {
        w->error = strdup("cannot make a thread for the window");
        return false;
    }
    while (sem_wait(&w->opened) < 0) {
    }
    if (w->error) {
        pthread_join(w->thread, NULL);
    }
    return !w->error;
}

WindowSeat *window_seat_new(const Seat *seat, bool full_screen, char **error)
{
    WindowSeat *w = calloc(1, sizeof *w);

    if (!w) {
        abort();
    }
    w->seat = *seat;
    w->full_screen = full_screen;
    w->viewer = (DisplayViewer){w, resized, add_changed, NULL};
    sem_init(&w->opened, 0, 0);
    pthread_mutex_lock(seat->lock);
    display_add_viewer(seat->display, &w->viewer);
    pthread_mutex_unlock(seat->lock);
    if (!sdl_load(&w->sdl, &w->error) || !start_thread(w)) {
        *error = w->error;
        w->error = NULL;
        w->stop = true;
        window_seat_free(w);
        return NULL;
    }
    return w;
}

void window_seat_free(WindowSeat *w)
{
    if (!w) {
        return;
    }
    if (!__atomic_exchange_n(&w->stop, true, __ATOMIC_SEQ_CST)) {
        w->sdl.SDL_PushEvent(&(SDL_Event){.type = SDL_USEREVENT});
        pthread_join(w->thread, NULL);
    }
    pthread_mutex_lock(w->seat.lock);
    display_remove_viewer(w->seat.display, &w->viewer);
    pthread_mutex_unlock(w->seat.lock);
    sem_destroy(&w->opened);
    free(w);
}
