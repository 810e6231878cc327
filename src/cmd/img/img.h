/* What the subcommands of `menura img` share: the list of commands, opening images as the command
 * line says, progress, output.
 *
 * One subcommand is one file with one `run` function; the list is in img.c. Options and output are
 * those of qemu-img, so that what calls qemu-img can call this.
 * Must not know any format. */
#ifndef CMD_IMG_IMG_H
#define CMD_IMG_IMG_H

#include <getopt.h>
#include <json-c/json.h>

#include "block/block.h"

typedef struct ImgCommand {
    const char *name;
    const char *usage; /* arguments, for help */
    const char *help;  /* one line */
    /* Gets its own arguments, argv[0] being the command's name; returns the exit status. */
    int (*run)(int argc, char **argv);
} ImgCommand;

extern const ImgCommand img_amend, img_bench, img_bitmap, img_check, img_commit, img_compare,
    img_convert, img_create, img_dd, img_info, img_map, img_measure, img_rebase, img_resize,
    img_snapshot;

/* `menura img ...` or a link named qemu-img: argv[1] is the command. Returns the exit status. */
int img_main(const char *program, int argc, char **argv);

/* -- Errors: one line on stderr, "PROGRAM: text"; returns 1, the exit status. */

int img_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Wrong usage: the same, with a hint at --help. */
int img_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -- Options that most commands have */

/* Values for getopt_long() of options without a letter. */
enum {
    IMG_OPTION_OUTPUT = 256,
    IMG_OPTION_IMAGE_OPTS,
    IMG_OPTION_OBJECT,
    IMG_OPTION_OWN, /* a command's own begin here */
};

/* -f, -t or -T, -U, -q, -p, --image-opts, --output; --object is kept for all, see below. */
typedef struct ImgOptions {
    const char *format; /* NULL: probe */
    const char *cache;  /* NULL: the command's default */
    bool image_options; /* file names are option lists */
    bool share;         /* -U */
    bool quiet;
    bool progress;
    bool json;
} ImgOptions;

#define IMG_COMMON_LONG_OPTIONS                                                                    \
    {"image-opts", no_argument, NULL, IMG_OPTION_IMAGE_OPTS},                                      \
        {"object", required_argument, NULL, IMG_OPTION_OBJECT},                                    \
        {"output", required_argument, NULL, IMG_OPTION_OUTPUT}, {"help", no_argument, NULL, 'h'},  \
        {"force-share", no_argument, NULL, 'U'}, {"quiet", no_argument, NULL, 'q'},                \
        {"format", required_argument, NULL, 'f'},                                                  \
    {                                                                                              \
        "progress", no_argument, NULL, 'p'                                                         \
    }

/* Takes a common option that getopt_long() returned; *status is set when the command ends here (a
 * bad value, -h, an unknown option). False then. */
bool img_take_option(ImgOptions *options, int option, const ImgCommand *command, int *status);

/* The same with more options of opening (which may be NULL), "driver" among them. */
BlockNode *img_open_with(const ImgOptions *options, const char *filename, const BlockOptions *more,
                         const char *cache, unsigned flags);

/* Adds those of the options of creating an image that opening it takes, too: secrets. */
void img_add_key_secrets(BlockOptions *open_options, const BlockOptions *create_options);

/* An empty list of options that knows the objects of --object. */
BlockOptions *img_options_new(void);

/* Opens with the flags and `cache` (over options->cache when not NULL); prints the error. */
BlockNode *img_open(const ImgOptions *options, const char *filename, unsigned flags);
/* The same with a format and cache mode of its own. */
BlockNode *img_open_as(const ImgOptions *options, const char *filename, const char *format,
                       const char *cache, unsigned flags);

/* Closes; an error of the last flush is printed and makes *status 1 if it was 0. */
void img_close(BlockNode *node, const char *filename, int *status);

/* A size in bytes, with suffix; prints an error and returns false if it is none. */
bool img_parse_size(const char *what, const char *text, u64 *bytes);
/* A decimal number in [low, high]; the same. */
bool img_parse_number(const char *what, const char *text, u64 low, u64 high, u64 *number);

/* -o help: prints what a table offers. */
void img_print_options(const char *driver, const char *verb, const BlockOption *table);
/* Whether the argument of -o asks for that: "help" or "?" among its words. */
bool img_wants_help(const char *options);

/* -- Output */

/* "1.25 MiB": bytes as people read them. */
const char *img_size_text(u64 bytes, char text[32]);
/* Prints a JSON value, indented, with a newline. */
void img_print_json(struct json_object *value);

/* -- Progress. On a terminal a bar with rate and remaining time; elsewhere qemu-img's lines under
 * -p. Shown on stdout, at most ten times a second. Where none is shown, SIGUSR1 asks for a line on
 * stderr. */

typedef struct ImgProgress {
    bool shown, bar;
    double start, last; /* seconds */
    bool bytes;         /* the unit is bytes: show a rate */
} ImgProgress;

void img_progress_begin(ImgProgress *progress, const ImgOptions *options, bool bytes);
/* A BlockProgress. */
void img_progress(void *progress, u64 done, u64 total);
void img_progress_end(ImgProgress *progress, bool complete);

/* Seconds of a clock that only goes forward. */
double img_now(void);

/* Bytes a second that long work may move (-r); 0 is unlimited. Sleeps when `done` bytes since
 * `start` seconds are too fast. */
void img_throttle(u64 rate, double start, u64 done);

/* -- Interruption. Between img_catch_interrupts() and the end of the process, SIGINT, SIGTERM and
 * SIGHUP only make this true; commands look at it between steps, leave the image consistent and
 * say what is left. */
void img_catch_interrupts(void);
bool img_interrupted(void);

#endif
