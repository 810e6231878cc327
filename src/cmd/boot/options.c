/* The command lines of `menura boot` and of QEMU's system emulators: one table for both. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "base/log.h"
#include "block/options.h"
#include "cmd/boot/boot.h"
#include "cmd/version.h"

void boot_fail(const BootCommand *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", command->program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* -- Values */

static bool parse_memory(BootCommand *command, const char *text)
{
    const char *number = strncmp(text, "size=", 5) ? text : text + 5;
    char plain[32];
    size_t length = strlen(number);

    if (length > 0 && length + 2 < sizeof plain && strspn(number, "0123456789") == length) {
        snprintf(plain, sizeof plain, "%sM", number); /* MiB without a suffix, as in QEMU */
        number = plain;
    }
    if (block_parse_size(number, &command->machine.memory) < 0) {
        boot_fail(command, "'%s' is not a size of memory such as 512M or 4G", text);
        return false;
    }
    return true;
}

static const BlockOption smp_options[] = {
    {"cpus", BLOCK_OPTION_NUMBER, "how many", NULL},
    {"sockets", BLOCK_OPTION_NUMBER, "packages that they are in", NULL},
    {"cores", BLOCK_OPTION_NUMBER, "of a package", NULL},
    {"threads", BLOCK_OPTION_NUMBER, "of a core", "1"},
    {"maxcpus", BLOCK_OPTION_NUMBER, "with those to come", NULL},
    {NULL},
};

/* What is not said of packages and cores follows from the rest. Returns what is wrong, or NULL. */
static const char *count_cpus(MachineOptions *machine, const BlockOptions *options)
{
    enum { MOST = 1024 };
    u64 cpus = block_option_number(options, smp_options, "cpus");
    u64 sockets = block_option_number(options, smp_options, "sockets");
    u64 cores = block_option_number(options, smp_options, "cores");
    u64 most = block_option_number(options, smp_options, "maxcpus");

    if (MAX(MAX(cpus, sockets), cores) > MOST || (!cpus && block_options_get(options, "cpus"))) {
        return "not a number of CPUs";
    }
    cpus = cpus ? cpus : MAX(sockets, 1u) * MAX(cores, 1u);
    sockets = sockets ? sockets : cores ? MAX(cpus / cores, 1u) : 1;
    if (cpus % sockets || (cores && cpus != sockets * cores)) {
        return "sockets and cores do not make that many CPUs";
    }
    if (block_option_number(options, smp_options, "threads") != 1) {
        return "a core has one thread";
    }
    if (most && most != cpus) {
        return "no CPUs can be added later";
    }
    machine->cpus = (u32)cpus;
    machine->sockets = (u32)sockets;
    return NULL;
}

/* Takes a list of options, of which the first may be the value of `first` alone; `set` does what it
 * says. */
static bool parse_list(BootCommand *command, const char *name, const char *text, const char *first,
                       const BlockOption *table,
                       bool (*set)(BootCommand *command, const BlockOptions *options))
{
    BlockOptions *options = block_options_new();
    BlockError why;
    bool ok = block_options_parse(options, text, first, &why) == 0 &&
              block_options_check(options, table, NULL, NULL, name, &why) == 0;

    if (!ok) {
        boot_fail(command, "%s", why.text);
    }
    ok = ok && set(command, options);
    block_options_free(options);
    return ok;
}

static bool set_cpus(BootCommand *command, const BlockOptions *options)
{
    const char *wrong = count_cpus(&command->machine, options);

    if (wrong) {
        boot_fail(command, "--smp: %s", wrong);
    }
    return !wrong;
}

static bool parse_smp(BootCommand *command, const char *text)
{
    return parse_list(command, "--smp", text, "cpus", smp_options, set_cpus);
}

/* The first there is of NAME:NAME..., QEMU's "tcg" among them. */
static const Accel *find_accel(const BootCommand *command, const char *names)
{
    const Accel *accel = NULL;
    char list[64], *rest = list;

    snprintf(list, sizeof list, "%s", names);
    for (const char *name; !accel && (name = strsep(&rest, ":"));) {
        accel = accel_find(command->qemu && !strcmp(name, "tcg") ? "dbt" : name);
    }
    return accel;
}

static const BlockOption accel_options[] = {
    {"accel", BLOCK_OPTION_STRING, "its name", NULL},
    {"thread", BLOCK_OPTION_STRING, "each CPU has one, however it is", NULL},
    {NULL},
};

static const BlockOption machine_options[] = {
    {"type", BLOCK_OPTION_STRING, "its name", NULL},
    {"accel", BLOCK_OPTION_STRING, "what runs its CPUs", NULL},
    {NULL},
};

static bool set_accel(BootCommand *command, const BlockOptions *options)
{
    const char *name = block_options_get(options, "accel");
    const Accel *accel = name ? find_accel(command, name) : NULL;

    if (name && !accel) {
        boot_fail(command,
                  "there is no accelerator '%s'; `menura list accels` names those that exist",
                  name);
        return false;
    }
    command->machine.accel = accel ? accel->name : command->machine.accel;
    return true;
}

static bool parse_accel(BootCommand *command, const char *text)
{
    return parse_list(command, "--accel", text, "accel", accel_options, set_accel);
}

static bool set_machine(BootCommand *command, const BlockOptions *options)
{
    const char *name = block_options_get(options, "type");

    command->machine.board = name ? board_find(name) : command->machine.board;
    if (name && !command->machine.board) {
        boot_fail(command,
                  "there is no machine '%s'; `menura list machines` names those that exist", name);
        return false;
    }
    return set_accel(command, options);
}

static bool parse_machine(BootCommand *command, const char *text)
{
    if (!strcmp(text, "help")) {
        for (size_t i = 0; board_defs[i]; i++) {
            printf("%-12s %s\n", board_defs[i]->name, board_defs[i]->summary);
        }
        command->done = true;
        return true;
    }
    return parse_list(command, "--machine", text, "type", machine_options, set_machine);
}

/* Letters of devices, each once; stored at `order` and pointed to by `*set`. */
static bool parse_boot_letters(BootCommand *command, const char *letters, char order[8],
                               const char **set)
{
    size_t count = strspn(letters, "acdn");

    if (!count || letters[count] || count > 4) {
        boot_fail(command, "boot order '%s': letters are a (floppy), c (disk), d (cdrom), n (net)",
                  letters);
        return false;
    }
    strcpy(order, letters);
    *set = order;
    return true;
}

static bool parse_boot_switch(BootCommand *command, const char *value, bool *set)
{
    *set = !strcmp(value, "on");
    if (!*set && strcmp(value, "off") != 0) {
        boot_fail(command, "--boot: '%s' is neither on nor off", value);
        return false;
    }
    return true;
}

/* Milliseconds; 0 becomes 1, as it means something else to the machine. */
static bool parse_boot_time(BootCommand *command, const char *value, u32 *set)
{
    char *end;
    unsigned long time = strtoul(value, &end, 10);

    if (end == value || *end || time > 0xffff) {
        boot_fail(command, "--boot: '%s' is no time in milliseconds up to 65535", value);
        return false;
    }
    *set = time ? (u32)time : 1;
    return true;
}

static bool parse_boot_word(BootCommand *command, char *word)
{
    MachineOptions *machine = &command->machine;
    char *value = strchr(word, '=');

    if (!value) {
        return strcmp(word, "menu")
                   ? parse_boot_letters(command, word, command->boot_order, &machine->boot_order)
                   : parse_boot_switch(command, "on", &machine->boot_menu);
    }
    *value++ = 0;
    if (!strcmp(word, "order")) {
        return parse_boot_letters(command, value, command->boot_order, &machine->boot_order);
    } else if (!strcmp(word, "once")) {
        return parse_boot_letters(command, value, command->boot_once, &machine->boot_once);
    } else if (!strcmp(word, "menu")) {
        return parse_boot_switch(command, value, &machine->boot_menu);
    } else if (!strcmp(word, "strict")) {
        return parse_boot_switch(command, value, &machine->boot_strict);
    } else if (!strcmp(word, "splash-time")) {
        return parse_boot_time(command, value, &machine->boot_wait);
    } else if (!strcmp(word, "reboot-timeout")) {
        return !strcmp(value, "-1") || parse_boot_time(command, value, &machine->boot_retry);
    }
    boot_fail(command, "--boot: there is no '%s'", word);
    return false;
}

/* "cdn", or a list: order=cdn,once=d,menu=on,strict=on,splash-time=MS,reboot-timeout=MS. */
static bool parse_boot(BootCommand *command, const char *text)
{
    char *copy = strdup(text), *rest = copy, *word;
    bool good = true;

    while (good && (word = strsep(&rest, ",")) != NULL) {
        good = parse_boot_word(command, word);
    }
    free(copy);
    return good;
}

/* A file, or "uefi" with "vars=FILE". */
static bool parse_firmware(BootCommand *command, const char *text)
{
    if (!strcmp(text, "uefi") || !strncmp(text, "uefi,vars=", 10)) {
        return boot_add_uefi(command, text[4] ? text + 10 : NULL);
    }
    command->machine.firmware = text;
    return true;
}

/* QEMU's -nic and -net: that there is no network card need not be said. */
static bool parse_network(BootCommand *command, const char *text)
{
    if (strcmp(text, "none") != 0) {
        boot_fail(command, "-nic and -net take only none: say -netdev and -device");
        return false;
    }
    return true;
}

/* The next serial port. */
static bool add_serial(BootCommand *command, const char *text)
{
    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (!command->machine.serial[i]) {
            command->machine.serial[i] = !strcmp(text, "none") ? "null" : text;
            return true;
        }
    }
    boot_fail(command, "a machine has at most %d serial ports", MACHINE_SERIAL_PORTS);
    return false;
}

static bool set_debug_port(BootCommand *command, const char *text)
{
    command->machine.debug = strcmp(text, "none") != 0 ? text : NULL;
    return true;
}

/* QEMU's -nographic: the serial port is all there is to see. */
static bool set_no_graphic(BootCommand *command, const char *text)
{
    (void)text;
    command->display = BOOT_DISPLAY_NONE;
    return command->machine.serial[0] || add_serial(command, "terminal");
}

/* QEMU's -monitor: there is another way. */
static bool parse_monitor(BootCommand *command, const char *text)
{
    if (strcmp(text, "none") != 0) {
        boot_fail(command, "there is no monitor; give the machine a -name and use `menura ctl`");
        return false;
    }
    return true;
}

static const BlockOption rtc_options[] = {
    {"base", BLOCK_OPTION_STRING, "what it shows at the start", "utc"},
    {NULL},
};

static bool check_rtc(BootCommand *command, const BlockOptions *options)
{
    if (strcmp(block_option_string(options, rtc_options, "base"), "utc") != 0) {
        boot_fail(command, "-rtc: the clock shows UTC (base=utc)");
        return false;
    }
    return true;
}

/* QEMU's -rtc, which can only say what is so. */
static bool parse_rtc(BootCommand *command, const char *text)
{
    return parse_list(command, "-rtc", text, "base", rtc_options, check_rtc);
}

/* QEMU's -s. */
static bool set_gdb_default(BootCommand *command, const char *text)
{
    (void)text;
    command->gdb = "1234";
    return true;
}

static bool parse_log(BootCommand *command, const char *text)
{
    const char *bad;

    if (!strcmp(text, "help")) {
        log_help();
        command->done = true;
        return true;
    }
    if (!log_parse(text, &bad)) {
        boot_fail(command, "-d: unknown kind '%.*s' (-d help lists them)", (int)strcspn(bad, ","),
                  bad);
        return false;
    }
    return true;
}

/* -- Options */

typedef enum Kind {
    TEXT,    /* stored at `offset` in BootCommand */
    SWITCH,  /* sets the bool there */
    CALL,    /* set(command, value) */
    DISK,    /* a drive: interface `text`, place `number` */
    CDROM,   /* the same */
    DRIVE,   /* --drive's list */
    DEVICE,  /* appended to the devices */
    SMBIOS,  /* appended to what SMBIOS tables say */
    CHARDEV, /* a back end */
    NETDEV,
    HELP,
    VERSION,
    IGNORED, /* QEMU options that change nothing here */
} Kind;

typedef struct Option {
    const char *name; /* ours, with "--"; NULL: QEMU's only */
    const char *qemu; /* with "-"; NULL: ours only */
    Kind kind;
    bool value;
    size_t offset;
    bool (*set)(BootCommand *command, const char *value);
    const char *interface;
    int index;
} Option;

#define AT(member) offsetof(BootCommand, member)

static const Option options[] = {
    {"--memory", "-m", CALL, true, 0, parse_memory, NULL, 0},
    {"--smp", "-smp", CALL, true, 0, parse_smp, NULL, 0},
    {"--cpu", "-cpu", TEXT, true, AT(machine.cpu), NULL, NULL, 0},
    {"--machine", "-machine", CALL, true, 0, parse_machine, NULL, 0},
    {NULL, "-M", CALL, true, 0, parse_machine, NULL, 0},
    {"--accel", "-accel", CALL, true, 0, parse_accel, NULL, 0},
    {"--name", "-name", TEXT, true, AT(machine.name), NULL, NULL, 0},
    {"--firmware", NULL, CALL, true, 0, parse_firmware, NULL, 0},
    {NULL, "-bios", TEXT, true, AT(machine.firmware), NULL, NULL, 0},
    {"--kernel", "-kernel", TEXT, true, AT(machine.kernel), NULL, NULL, 0},
    {"--initrd", "-initrd", TEXT, true, AT(machine.initrd), NULL, NULL, 0},
    {"--append", "-append", TEXT, true, AT(machine.append), NULL, NULL, 0},
    {"--boot", "-boot", CALL, true, 0, parse_boot, NULL, 0},
    {"--cdrom", "-cdrom", CDROM, true, 0, NULL, "ide", 2},
    {"--floppy", "-fda", DISK, true, 0, NULL, "floppy", 0},
    {NULL, "-fdb", DISK, true, 0, NULL, "floppy", 1},
    {NULL, "-hda", DISK, true, 0, NULL, "ide", 0},
    {NULL, "-hdb", DISK, true, 0, NULL, "ide", 1},
    {NULL, "-hdc", DISK, true, 0, NULL, "ide", 2},
    {NULL, "-hdd", DISK, true, 0, NULL, "ide", 3},
    {"--drive", "-drive", DRIVE, true, 0, NULL, NULL, -1},
    {"--object", "-object", IGNORED, true, 0, NULL, NULL, 0}, /* made before: boot_add_objects() */
    {"--device", "-device", DEVICE, true, 0, NULL, NULL, 0},
    {"--smbios", "-smbios", SMBIOS, true, 0, NULL, NULL, 0},
    {"--chardev", "-chardev", CHARDEV, true, 0, NULL, NULL, 0},
    {"--netdev", "-netdev", NETDEV, true, 0, NULL, NULL, 0},
    {"--serial", "-serial", CALL, true, 0, add_serial, NULL, 0},
    {"--debug-port", "-debugcon", CALL, true, 0, set_debug_port, NULL, 0},
    {"--vga", "-vga", TEXT, true, AT(machine.vga), NULL, NULL, 0},
    {"--display", "-display", CALL, true, 0, boot_parse_display, NULL, 0},
    {"--snapshot", "-snapshot", SWITCH, false, AT(snapshot), NULL, NULL, 0},
    {"--no-reboot", "-no-reboot", SWITCH, false, AT(machine.no_reboot), NULL, NULL, 0},
    {"--stopped", "-S", SWITCH, false, AT(machine.stopped), NULL, NULL, 0},
    {"-g", "-gdb", TEXT, true, AT(gdb), NULL, NULL, 0},
    {NULL, "-monitor", CALL, true, 0, parse_monitor, NULL, 0},
    {NULL, "-s", CALL, false, 0, set_gdb_default, NULL, 0},
    {"-d", "-d", CALL, true, 0, parse_log, NULL, 0},
    {"-D", "-D", TEXT, true, AT(log_file), NULL, NULL, 0},
    {"--help", "-h", HELP, false, 0, NULL, NULL, 0},
    {"-h", "--help", HELP, false, 0, NULL, NULL, 0},
    {NULL, "-help", HELP, false, 0, NULL, NULL, 0},
    {"--version", "-version", VERSION, false, 0, NULL, NULL, 0},
    {NULL, "-curses", CALL, false, 0, boot_use_curses, NULL, 0},
    {NULL, "-full-screen", SWITCH, false, AT(full_screen), NULL, NULL, 0},
    {NULL, "-nic", CALL, true, 0, parse_network, NULL, 0},
    {NULL, "-net", CALL, true, 0, parse_network, NULL, 0},
    {NULL, "-rtc", CALL, true, 0, parse_rtc, NULL, 0},
    {NULL, "-nographic", CALL, false, 0, set_no_graphic, NULL, 0},
    {NULL, "-nodefaults", IGNORED, false, 0, NULL, NULL, 0},
    {NULL, "-no-user-config", IGNORED, false, 0, NULL, NULL, 0},
};

static void help(void)
{
    puts("Usage: menura boot [OPTION]... [DISK]\n"
         "\n"
         "Starts a PC from the disk image DISK, or from what the options say.\n"
         "\n"
         "  --memory SIZE      RAM (default 1G)       --smp N         CPUs (default 1)\n"
         "  --cpu MODEL[,+FEATURE][,-FEATURE]         --machine NAME  (default pc)\n"
         "  --cdrom FILE       CD or DVD image        --floppy FILE   floppy image\n"
         "  --drive file=FILE[,format=F][,if=ide|virtio|floppy|none][,id=ID][,cache=MODE]...\n"
         "  --object secret,id=ID,file=F              opens encrypted disks: key-secret=ID\n"
         "  --device NAME[,PROPERTY=VALUE]...         one more device; NAME,help lists them\n"
         "  --kernel FILE      start a Linux kernel   --initrd FILE   its initial RAM disk\n"
         "  --append TEXT      its command line       --firmware uefi[,vars=FILE]|FILE\n"
         "  --boot ORDER|menu|once=ORDER,strict=on... letters of a c d n in the order to try\n"
         "  --snapshot         leave disks as they are\n"
         "  --serial terminal|stdio|none|file:F|pty   --vga std|cirrus|none\n"
         "  --display window|terminal|none            --no-reboot     end instead\n"
         "  --netdev null,id=ID                       --chardev KIND[:PATH],id=ID\n"
         "  --accel dbt|interp --name NAME            --stopped       start paused\n"
         "  -g PORT|unix:PATH  wait for gdb there (--stopped: do nothing until it says so)\n"
         "  -d KIND[,KIND]...  log (-d help lists kinds)   -D FILE    log to FILE\n"
         "\n"
         "Examples:\n"
         "  menura boot debian.qcow2\n"
         "  menura boot --memory 2G --cdrom installer.iso new.qcow2\n"
         "  menura boot --kernel vmlinuz --initrd initrd.img --append console=ttyS0");
}

static const Option *find_option(const BootCommand *command, const char *word)
{
    for (size_t i = 0; i < COUNT(options); i++) {
        const char *name = command->qemu ? options[i].qemu : options[i].name;
        bool twice = command->qemu && name && !strncmp(word, "--", 2);
        if (name && (!strcmp(name, word) || (twice && !strcmp(name, word + 1)))) {
            return &options[i];
        }
    }
    return NULL;
}

static void print_device(const DeviceDef *def)
{
    const Property *p;

    printf("%s: %s\n", def->name, def->summary);
    for (u32 i = 0; (p = device_property_at(def, i)); i++) {
        printf("  %-15s %s%s%s%s\n", p->name, p->text, p->initial ? " (default " : "",
               p->initial ? p->initial : "", p->initial ? ")" : "");
    }
}

static bool add_request(DeviceRequest **at, const char *text)
{
    DeviceRequest *request = calloc(1, sizeof *request);

    if (!request) {
        abort();
    }
    while (*at) {
        at = &(*at)->next;
    }
    request->text = text;
    *at = request;
    return true;
}

/* "NAME,help" tells about a device instead. */
static bool add_device(BootCommand *command, const char *text)
{
    const char *help = strstr(text, ",help");
    char name[64];
    const DeviceDef *def;

    if (help && !help[5]) {
        snprintf(name, sizeof name, "%.*s", (int)(help - text), text);
        def = device_find(name);
        if (def) {
            print_device(def);
            command->done = true;
            return true;
        }
    }
    return add_request(&command->machine.devices, text);
}

static bool apply(BootCommand *command, const Option *o, const char *value)
{
    void *place = (u8 *)command + o->offset;

    switch (o->kind) {
    case TEXT:
        *(const char **)place = value;
        return true;
    case SWITCH:
        *(bool *)place = true;
        return true;
    case CALL:
        return o->set(command, value);
    case DISK:
    case CDROM:
        return boot_add_drive(command, o->interface, o->index, o->kind == CDROM, value, false);
    case DRIVE:
        return boot_add_drive(command, o->interface, o->index, false, value, true);
    case DEVICE:
        return add_device(command, value);
    case SMBIOS:
        return add_request(&command->machine.smbios, value);
    case CHARDEV:
    case NETDEV:
        return boot_add_backend(command, o->kind == NETDEV, value);
    case HELP:
        help();
        command->done = true;
        return true;
    case VERSION:
        puts("menura " MENURA_VERSION);
        command->done = true;
        return true;
    case IGNORED:
        return true;
    }
    return true;
}

/* One word, or an option and its value; *i is the index of what was used last. */
static bool parse_word(BootCommand *command, int argc, char **argv, int *i)
{
    char *word = argv[*i], *equals = NULL;
    const Option *o;

    if (*word != '-' || !word[1]) {
        return boot_add_drive(command, NULL, 0, false, word, false);
    }
    if (!command->qemu && !strncmp(word, "--", 2) && (equals = strchr(word, '=')) != NULL) {
        *equals = 0;
    }
    o = find_option(command, word);
    if (!o) {
        boot_fail(command, "unknown option '%s' (try --help)", word);
        return false;
    }
    if (!o->value && equals) {
        boot_fail(command, "%s takes no value", word);
        return false;
    }
    if (o->value && !equals && *i + 1 >= argc) {
        boot_fail(command, "%s needs a value (try --help)", word);
        return false;
    }
    return apply(command, o, equals ? equals + 1 : o->value ? argv[++*i] : NULL);
}

bool boot_parse(BootCommand *command, int argc, char **argv)
{
    if (!boot_add_objects(command, argc, argv)) {
        return false;
    }
    for (int i = 1; i < argc && !command->done; i++) {
        if (!parse_word(command, argc, argv, &i)) {
            return false;
        }
    }
    boot_settle_drives(command);
    return true;
}
