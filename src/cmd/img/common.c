/* Opening images as the command line says, sizes and numbers, progress, interruption. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/img/img.h"

/* -- Opening */

BlockNode *img_open_with(const ImgOptions *options, const char *filename, const BlockOptions *more,
                         const char *cache, unsigned flags)
{
    const char *driver = block_options_get(more, "driver");
    BlockOptions *list;
    BlockNode *node = NULL;
    BlockError error;
    int failed = 0;

    if (cache && !block_cache_mode(cache, &flags)) {
        img_error("Invalid cache option: %s", cache);
        return NULL;
    }
    if (options->share) {
        flags |= BLOCK_SHARE;
    }
    list = more ? block_options_copy(more) : img_options_new();
    if (options->image_options) {
        failed = block_options_parse(list, filename, "file", &error);
    } else if (driver && !block_driver_find(driver)) {
        failed = block_error(&error, EINVAL, "Could not open '%s': Unknown driver '%s'", filename,
                             driver);
    }
    if (!failed) {
        failed = block_open(&node, options->image_options ? NULL : filename, list, flags, &error);
    }
    if (failed) {
        img_error("%s", error.text);
    }
    block_options_free(list);
    return failed ? NULL : node;
}

BlockNode *img_open_as(const ImgOptions *options, const char *filename, const char *format,
                       const char *cache, unsigned flags)
{
    BlockOptions *list = img_options_new();
    BlockNode *node;

    if (!options->image_options) {
        block_options_set(list, "driver", format);
    }
    node = img_open_with(options, filename, list, cache, flags);
    block_options_free(list);
    return node;
}

void img_add_key_secrets(BlockOptions *open_options, const BlockOptions *create_options)
{
    const char *key, *value;

    for (size_t n = 0; block_options_at(create_options, n, &key, &value); n++) {
        if (strstr(key, "key-secret")) {
            block_options_set(open_options, key, value);
        }
    }
}

BlockNode *img_open(const ImgOptions *options, const char *filename, unsigned flags)
{
    return img_open_as(options, filename, options->format, options->cache, flags);
}

void img_close(BlockNode *node, const char *filename, int *status)
{
    int result = block_close(node);

    if (result < 0 && *status == 0) {
        *status = img_error("Error while closing '%s': %s", filename, strerror(-result));
    }
}

/* -- Numbers */

bool img_parse_size(const char *what, const char *text, u64 *bytes)
{
    int result = block_parse_size(text, bytes);

    if (result == -ERANGE || (result == 0 && *bytes > INT64_MAX)) {
        img_error("Invalid %s '%s': it must be less than 8 EiB.", what, text);
        return false;
    }
    if (result < 0) {
        img_error("Invalid %s '%s'. You may use k, M, G, T, P or E suffixes for kilobytes, "
                  "megabytes, gigabytes, terabytes, petabytes and exabytes.",
                  what, text);
        return false;
    }
    return true;
}

bool img_parse_number(const char *what, const char *text, u64 low, u64 high, u64 *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || *number < low || *number > high) {
        img_error("Invalid %s '%s': a number from %llu to %llu is needed", what, text,
                  (unsigned long long)low, (unsigned long long)high);
        return false;
    }
    return true;
}

/* -- Help on -o */

bool img_wants_help(const char *options)
{
    while (options) {
        size_t length = strcspn(options, ",");
        if ((length == 4 && !strncmp(options, "help", 4)) || (length == 1 && *options == '?')) {
            return true;
        }
        options = options[length] ? options + length + 1 : NULL;
    }
    return false;
}

void img_print_options(const char *driver, const char *verb, const BlockOption *table)
{
    static const char *const types[] = {
        [BLOCK_OPTION_STRING] = "str",
        [BLOCK_OPTION_BOOL] = "bool (on/off)",
        [BLOCK_OPTION_SIZE] = "size",
        [BLOCK_OPTION_NUMBER] = "num",
    };

    printf("%s options for '%s':\n", verb, driver);
    for (; table && table->name; table++) {
        char name[80];
        snprintf(name, sizeof name, "%s=<%s>", table->name, types[table->type]);
        printf("  %-22s - %s\n", name, table->help);
    }
}

/* -- Output */

const char *img_size_text(u64 bytes, char text[32])
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    double value = (double)bytes;
    size_t unit = 0;

    /* Three digits: the next unit begins at 1000 of the one before. */
    while (value >= 1000 && unit + 1 < COUNT(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, "%0.3g %sB", value, units[unit]);
    return text;
}

void img_print_json(struct json_object *value)
{
    puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* -- Progress */

double img_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static volatile sig_atomic_t asked; /* by SIGUSR1 */

static void on_question(int signal)
{
    (void)signal;
    asked = 1;
}

void img_progress_begin(ImgProgress *progress, const ImgOptions *options, bool bytes)
{
    bool terminal = isatty(STDOUT_FILENO);

    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_question, .sa_flags = SA_RESTART},
              NULL);

    *progress = (ImgProgress){
        .shown = !options->quiet && (options->progress || terminal),
        .bar = terminal,
        .start = img_now(),
        .bytes = bytes,
    };
}

static void draw_bar(const ImgProgress *progress, u64 done, u64 total)
{
    enum { WIDTH = 30 };
    double part = total ? (double)done / (double)total : 1;
    double spent = img_now() - progress->start;
    int filled = (int)(part * WIDTH);
    char bar[WIDTH + 1], text[32];

    memset(bar, ' ', WIDTH);
    memset(bar, '=', (size_t)filled);
    bar[WIDTH] = 0;
    printf("\r[%s] %5.1f%%", bar, part * 100);
    if (progress->bytes && spent > 0.2) {
        printf("  %s/s", img_size_text((u64)((double)done / spent), text));
    }
    if (done && spent > 1 && done < total) {
        unsigned left = (unsigned)(spent / part - spent + 0.5);
        printf("  %u:%02u left", left / 60, left % 60);
    }
    printf("\033[K");
}

static double percent(u64 done, u64 total)
{
    return total ? 100.0 * (double)done / (double)total : 100;
}

static void draw(const ImgProgress *progress, u64 done, u64 total)
{
    if (progress->bar) {
        draw_bar(progress, done, total);
    } else {
        printf("    (%3.2f/100%%)\r", percent(done, total));
    }
    fflush(stdout);
}

void img_progress(void *opaque, u64 done, u64 total)
{
    ImgProgress *progress = opaque;
    double now;

    if (!progress->shown) {
        if (asked) {
            asked = 0;
            fprintf(stderr, "    (%3.2f/100%%)\n", percent(done, total));
        }
        return;
    }
    now = img_now();
    if (now - progress->last >= 0.1) {
        progress->last = now;
        draw(progress, done, total);
    }
}

void img_progress_end(ImgProgress *progress, bool complete)
{
    if (progress->shown) {
        if (complete) {
            draw(progress, 1, 1);
        }
        putchar('\n');
    }
    progress->shown = false;
}

void img_throttle(u64 rate, double start, u64 done)
{
    double due = rate ? start + (double)done / (double)rate - img_now() : 0;

    if (due > 0) {
        struct timespec pause = {(time_t)due, (long)((due - floor(due)) * 1e9)};
        nanosleep(&pause, NULL);
    }
}

/* -- Interruption */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

void img_catch_interrupts(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    for (size_t n = 0; n < COUNT(signals); n++) {
        sigaction(signals[n],
                  &(struct sigaction){.sa_handler = on_interrupt, .sa_flags = SA_RESTART}, NULL);
    }
}

bool img_interrupted(void)
{
    return interrupted;
}
