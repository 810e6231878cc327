/* Disks of the command line: --drive's list, and the short forms; objects that they name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/boot/boot.h"

/* What --drive takes beside the options of the image's driver. */
static const BlockOption drive_options[] = {
    {"file", BLOCK_OPTION_STRING, "image file or URL", NULL},
    {"format", BLOCK_OPTION_STRING, "format of the image; probed when missing", NULL},
    {"if", BLOCK_OPTION_STRING, "ide, sata, virtio, floppy, pflash or none", NULL},
    {"id", BLOCK_OPTION_STRING, "name for -device ...,drive=NAME", NULL},
    {"index", BLOCK_OPTION_NUMBER, "place on the interface", NULL},
    {"unit", BLOCK_OPTION_NUMBER, "the same", NULL},
    {"media", BLOCK_OPTION_STRING, "disk or cdrom", NULL},
    {"snapshot", BLOCK_OPTION_BOOL, "leave the image as it is", NULL},
    {"readonly", BLOCK_OPTION_BOOL, "refuse writes", NULL},
    {"read-only", BLOCK_OPTION_BOOL, "refuse writes", NULL},
    {"cache", BLOCK_OPTION_STRING, "none, writeback, writethrough, directsync or unsafe", NULL},
    {"aio", BLOCK_OPTION_STRING, "io_uring, threads or native", NULL},
    {"discard", BLOCK_OPTION_STRING, "unmap or ignore", NULL},
    {"detect-zeroes", BLOCK_OPTION_STRING, "on, off or unmap", NULL},
    {"key-secret", BLOCK_OPTION_STRING, "id of the object that opens an encrypted image", NULL},
    {0},
};

/* Those of them that the image's driver takes. */
static const char *const passed_on[] = {"discard", "detect-zeroes", "key-secret"};

static bool is_on(const BlockOptions *options, const char *key)
{
    return block_options_get(options, key) && block_option_bool(options, drive_options, key);
}

static bool is_passed_on(const char *name)
{
    for (size_t i = 0; i < COUNT(passed_on); i++) {
        if (!strcmp(passed_on[i], name)) {
            return true;
        }
    }
    return false;
}

/* Ours out, the image driver's left. */
static void take_own(BlockOptions *options)
{
    for (const BlockOption *o = drive_options; o->name; o++) {
        if (!is_passed_on(o->name)) {
            block_options_set(options, o->name, NULL);
        }
    }
}

static bool fill_flags(const BootCommand *command, const BlockOptions *options,
                       const DriveRequest *drive, unsigned *flags)
{
    const char *cache = block_options_get(options, "cache");
    const char *discard = block_options_get(options, "discard");
    bool read_only = is_on(options, "readonly") || is_on(options, "read-only") || drive->cdrom;

    *flags = read_only ? 0 : BLOCK_WRITE;
    if (!read_only && (command->snapshot || is_on(options, "snapshot"))) {
        *flags |= BLOCK_SNAPSHOT;
    }
    if (cache && !block_cache_mode(cache, flags)) {
        boot_fail(command,
                  "--drive cache=%s: there are none, writeback, writethrough, directsync "
                  "and unsafe",
                  cache);
        return false;
    }
    if (discard && (!strcmp(discard, "unmap") || !strcmp(discard, "on"))) {
        *flags |= BLOCK_UNMAP;
    }
    return true;
}

static bool open_image(const BootCommand *command, DriveRequest *drive, BlockOptions *options)
{
    const char *file = block_options_get(options, "file");
    const char *format = block_options_get(options, "format");
    char *name = file ? strdup(file) : NULL;
    BlockError error;
    unsigned flags;
    bool good;

    if (!fill_flags(command, options, drive, &flags)) {
        free(name);
        return false;
    }
    if (format) {
        block_options_set(options, "driver", format);
    }
    take_own(options);
    good = block_open(&drive->node, name, options, flags, &error) == 0;
    if (!good) {
        boot_fail(command, "%s", error.text);
    }
    free(name);
    return good;
}

static DriveRequest *append_drive(BootCommand *command)
{
    DriveRequest **at = &command->machine.drives, *drive = calloc(1, sizeof *drive);

    if (!drive) {
        abort();
    }
    while (*at) {
        at = &(*at)->next;
    }
    *at = drive;
    return drive;
}

static bool add_from_options(BootCommand *command, const char *interface, int index, bool cdrom,
                             BlockOptions *options)
{
    const char *wanted = block_options_get(options, "if"), *id = block_options_get(options, "id");
    const char *media = block_options_get(options, "media");
    const char *place = block_options_get(options, "unit") ? "unit" : "index";
    DriveRequest *drive = append_drive(command);

    interface = wanted ? wanted : interface;
    drive->interface = interface ? strdup(interface) : NULL;
    drive->id = id ? strdup(id) : NULL;
    drive->cdrom = cdrom || (media && !strcmp(media, "cdrom"));
    drive->index = block_options_get(options, place)
                       ? (int)block_option_number(options, drive_options, place)
                       : index;
    if (!block_options_get(options, "file") && !block_options_get(options, "file.driver")) {
        return true; /* no medium */
    }
    return open_image(command, drive, options);
}

bool boot_add_drive(BootCommand *command, const char *interface, int index, bool cdrom,
                    const char *text, bool list)
{
    static const char *const prefixes[] = {"file",    "backing",    "cache",
                                           "encrypt", "throttling", NULL};
    BlockOptions *options = block_options_new();
    BlockError error;
    bool good = true;

    block_options_set_objects(options, command->objects);
    if (!list) {
        block_options_set(options, "file", text);
    } else if (block_options_parse(options, text, NULL, &error) < 0 ||
               block_options_check(options, drive_options, NULL, prefixes, "--drive", &error) < 0) {
        boot_fail(command, "%s", error.text);
        good = false;
    }
    good = good && add_from_options(command, interface, index, cdrom, options);
    block_options_free(options);
    return good;
}

static bool add_object(BootCommand *command, const char *text)
{
    BlockError error;

    command->objects = command->objects ? command->objects : object_list_new(NULL);
    if (object_list_add(command->objects, text, &error) < 0) {
        boot_fail(command, "%s", error.text);
        return false;
    }
    return true;
}

bool boot_add_objects(BootCommand *command, int argc, char **argv)
{
    bool good = true;

    for (int i = 1; i < argc && good; i++) {
        const char *word = argv[i] + (!strncmp(argv[i], "--", 2) && command->qemu);
        const char *name = command->qemu ? "-object" : "--object";
        if (!strcmp(word, name) && i + 1 < argc) {
            good = add_object(command, argv[++i]);
        } else if (!command->qemu && !strncmp(word, "--object=", 9)) {
            good = add_object(command, word + 9);
        }
    }
    return good;
}

void boot_settle_drives(BootCommand *command)
{
    const BoardDef *board = command->machine.board ? command->machine.board : board_defs[0];

    for (DriveRequest *drive = command->machine.drives; drive; drive = drive->next) {
        drive->interface = drive->interface ? drive->interface : strdup(board->drives);
    }
}

void boot_free_drives(BootCommand *command)
{
    while (command->machine.drives) {
        DriveRequest *drive = command->machine.drives;
        command->machine.drives = drive->next;
        block_close(drive->node);
        free((char *)(uintptr_t)drive->interface);
        free((char *)(uintptr_t)drive->id);
        free(drive);
    }
    object_list_free(command->objects);
}
