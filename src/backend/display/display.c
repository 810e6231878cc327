/* The display's surface, its source and its viewers. See display.h. */
#include "backend/display/display.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Display {
    DisplaySource source; /* draw NULL: none */
    DisplayViewer *viewers;
    DisplaySurface surface;
    bool stale; /* everything is to be drawn anew */
};

enum { MAX_SIDE = 16384 };

Display *display_new(void)
{
    Display *display = calloc(1, sizeof *display);

    if (!display) {
        abort();
    }
    return display;
}

void display_free(Display *display)
{
    if (display) {
        free(display->surface.pixels);
        free(display);
    }
}

void display_set_source(Display *display, const DisplaySource *source)
{
    display->source = source ? *source : (DisplaySource){0};
    display->stale = true;
}

void display_add_viewer(Display *display, DisplayViewer *viewer)
{
    viewer->next = display->viewers;
    display->viewers = viewer;
    if (viewer->resized) {
        viewer->resized(viewer->opaque, &display->surface);
    }
}

void display_remove_viewer(Display *display, DisplayViewer *viewer)
{
    DisplayViewer **at = &display->viewers;

    while (*at && *at != viewer) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = viewer->next;
    }
}

void display_update(Display *display)
{
    bool all = display->stale;

    display->stale = false;
    if (display->source.draw) {
        display->source.draw(display->source.opaque, display, all);
    }
}

const DisplaySurface *display_surface(const Display *display)
{
    return &display->surface;
}

bool display_text(Display *display, DisplayText *text)
{
    return display->source.text && display->source.text(display->source.opaque, text);
}

u32 *display_resize(Display *display, u32 width, u32 height)
{
    DisplaySurface *surface = &display->surface;

    width = MIN(width, (u32)MAX_SIDE);
    height = MIN(height, (u32)MAX_SIDE);
    if (surface->width == width && surface->height == height) {
        return surface->pixels;
    }
    free(surface->pixels);
    surface->pixels = calloc(MAX((size_t)width * height, (size_t)1), sizeof(u32));
    if (!surface->pixels) {
        abort();
    }
    surface->width = width;
    surface->height = height;
    for (DisplayViewer *viewer = display->viewers; viewer; viewer = viewer->next) {
        if (viewer->resized) {
            viewer->resized(viewer->opaque, surface);
        }
    }
    return surface->pixels;
}

void display_changed(Display *display, u32 x, u32 y, u32 width, u32 height)
{
    for (DisplayViewer *viewer = display->viewers; viewer; viewer = viewer->next) {
        if (viewer->changed) {
            viewer->changed(viewer->opaque, x, y, width, height);
        }
    }
}

/* -- Screenshots */

/* Three bytes a pixel. NULL when memory runs out. */
static u8 *to_rgb(const DisplaySurface *surface)
{
    size_t count = (size_t)surface->width * surface->height;
    u8 *rgb = malloc(3 * count + 1);

    for (size_t i = 0; rgb && i < count; i++) {
        rgb[3 * i] = (u8)(surface->pixels[i] >> 16);
        rgb[3 * i + 1] = (u8)(surface->pixels[i] >> 8);
        rgb[3 * i + 2] = (u8)surface->pixels[i];
    }
    return rgb;
}

static int write_ppm(const DisplaySurface *surface, const u8 *rgb, FILE *out)
{
    size_t count = 3 * (size_t)surface->width * surface->height;

    fprintf(out, "P6\n%u %u\n255\n", surface->width, surface->height);
    return fwrite(rgb, 1, count, out) == count ? 0 : -EIO;
}

static int write_png(const DisplaySurface *surface, const u8 *rgb, FILE *out)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = surface->width,
                       .height = surface->height,
                       .format = PNG_FORMAT_RGB};

    return png_image_write_to_stdio(&image, out, 0, rgb, 0, NULL) ? 0 : -EIO;
}

int display_screenshot(Display *display, const char *path)
{
    const DisplaySurface *surface = &display->surface;
    size_t length = strlen(path);
    bool ppm = length > 4 && !strcmp(path + length - 4, ".ppm");
    u8 *rgb;
    FILE *out;
    int result;

    display_update(display);
    if (!surface->width || !surface->height) {
        return -ENODATA;
    }
    rgb = to_rgb(surface);
    out = fopen(path, "we");
    if (!rgb || !out) {
        result = out ? -ENOMEM : -errno;
    } else {
        result = ppm ? write_ppm(surface, rgb, out) : write_png(surface, rgb, out);
    }
    if (out && fclose(out) != 0 && result == 0) {
        result = -errno;
    }
    free(rgb);
    return result;
}
