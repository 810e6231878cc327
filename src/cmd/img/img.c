/* menura img: the list of subcommands, its help, and the choice between them. */
#include "cmd/img/img.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "block/object.h"
#include "cmd/version.h"

static const ImgCommand *const commands[] = {
    &img_amend,   &img_bench,   &img_bitmap, &img_check,  &img_commit,
    &img_compare, &img_convert, &img_create, &img_dd,     &img_info,
    &img_map,     &img_measure, &img_rebase, &img_resize, &img_snapshot,
};

/* What we were called as; set once at the start. */
static const char *program_name = "menura img";

/* What --object made, for all options of this command. */
static ObjectList *objects;

static void print_formats(void)
{
    printf("\nSupported formats:");
    for (size_t n = 0; block_drivers[n]; n++) {
        printf(" %s", block_driver_name(block_drivers[n]));
    }
    putchar('\n');
}

static int help(void)
{
    printf("Usage: %s COMMAND [OPTION]... FILE...\n\n", program_name);
    for (size_t n = 0; n < COUNT(commands); n++) {
        printf("  %-9s %s\n", commands[n]->name, commands[n]->help);
    }
    printf("\n%s COMMAND --help tells the options of a command.\n"
           "\nExamples:\n"
           "  %s create -f qcow2 disk.qcow2 20G\n"
           "  %s create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2\n"
           "  %s convert -p -O qcow2 -c disk.raw disk.qcow2\n"
           "  %s info --backing-chain overlay.qcow2\n",
           program_name, program_name, program_name, program_name, program_name);
    print_formats();
    return 0;
}

static void print_error(const char *format, va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", program_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int img_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_error(format, arguments);
    va_end(arguments);
    return 1;
}

int img_usage(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_error(format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try '%s --help' for more information\n", program_name);
    return 1;
}

static int command_help(const ImgCommand *command)
{
    printf("Usage: %s %s %s\n\n%s.\n", program_name, command->name, command->usage, command->help);
    print_formats();
    return 0;
}

BlockOptions *img_options_new(void)
{
    BlockOptions *options = block_options_new();

    block_options_set_objects(options, objects);
    return options;
}

/* Makes an object. The argument may hold a secret, and stands in the list of processes: it goes. */
static bool add_object(char *text, int *status)
{
    BlockError error;
    int result = object_list_add(objects, text, &error);

    explicit_bzero(text, strlen(text));
    if (result < 0) {
        *status = img_error("%s", error.text);
    }
    return result >= 0;
}

bool img_take_option(ImgOptions *options, int option, const ImgCommand *command, int *status)
{
    switch (option) {
    case 'f':
        options->format = optarg;
        return true;
    case 't':
        options->cache = optarg;
        return true;
    case 'U':
        options->share = true;
        return true;
    case 'q':
        options->quiet = true;
        return true;
    case 'p':
        options->progress = true;
        return true;
    case IMG_OPTION_IMAGE_OPTS:
        options->image_options = true;
        return true;
    case IMG_OPTION_OBJECT:
        return add_object(optarg, status);
    case IMG_OPTION_OUTPUT:
        options->json = !strcmp(optarg, "json");
        if (options->json || !strcmp(optarg, "human")) {
            return true;
        }
        *status = img_error("--output must be used with human or json as argument.");
        return false;
    case 'h':
        *status = command_help(command);
        return false;
    default: /* getopt_long() has said what is wrong */
        *status = 1;
        return false;
    }
}

int img_main(const char *program, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    program_name = program;
    if (!*name) {
        return img_usage("Not enough arguments");
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        return help();
    }
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        printf("%s version " MENURA_VERSION "\n", program_name);
        return 0;
    }
    for (size_t n = 0; n < COUNT(commands); n++) {
        if (!strcmp(name, commands[n]->name)) {
            objects = object_list_new(NULL);
            int status = commands[n]->run(argc - 1, argv + 1);
            object_list_free(objects);
            return status;
        }
    }
    return img_usage("Command not found: %s", name);
}
